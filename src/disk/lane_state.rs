//! What is known of a lane from outside of its threads: what it has to do, whether its device
//! answers, and what is in memory. Not here: its threads and queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use super::warmth::Warmth;

/// What all threads of a lane, and who looks at it, may know.
#[derive(Debug)]
pub(super) struct State {
    epoch: Instant,
    pulses: Vec<Arc<Pulse>>,
    /// Since when the device is silent, in nanoseconds of the epoch; 0 while it answers.
    silent_since_ns: AtomicU64,
    /// Jobs that were taken and are not done.
    jobs: AtomicUsize,
    jobs_max: usize,
    /// Nothing is taken any more.
    pub is_stopped: AtomicBool,
    /// Threads that may still hand something to the writer.
    pub readers: AtomicUsize,
    /// Bytes that are not known to be on the device.
    pub afloat: Arc<AtomicU64>,
    /// More than these are not written before some of them are on the device.
    pub afloat_max: u64,
    /// What was in the page cache a moment ago.
    pub warmth: Arc<Warmth>,
}

impl State {
    /// Of a lane with these pulses, that takes so many jobs and has so many threads that read;
    /// `afloat_max` bytes may be written and not be on the device.
    pub(super) fn new(
        pulses: Vec<Arc<Pulse>>,
        jobs_max: usize,
        readers: usize,
        afloat_max: u64,
    ) -> Self {
        let epoch = Instant::now();
        Self {
            epoch,
            pulses,
            silent_since_ns: AtomicU64::new(0),
            jobs: AtomicUsize::new(0),
            jobs_max,
            is_stopped: AtomicBool::new(false),
            readers: AtomicUsize::new(readers),
            afloat: Arc::default(),
            afloat_max,
            warmth: Arc::new(Warmth::new(epoch)),
        }
    }

    /// A place for a job, if there is one.
    pub(super) fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        let more = |jobs| (jobs < self.jobs_max).then_some(jobs + 1);
        let taken = self.jobs.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Ticket(self.clone()))
    }

    /// Jobs that were taken and are not done.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.load(Ordering::Acquire)
    }

    /// Is the device called now?
    pub(super) fn is_busy(&self) -> bool {
        self.pulses.iter().any(|pulse| pulse.is_busy())
    }

    /// Since when the device does not answer, as it was seen last.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.silent_since_ns.load(Ordering::Acquire) {
            0 => None,
            since_ns => Some(self.epoch + Duration::from_nanos(since_ns)),
        }
    }

    /// Looks whether the device answers, and keeps that for all to see.
    pub(super) fn look(&self, now: Instant) -> Option<Instant> {
        let since = self.pulses.iter().filter_map(|pulse| pulse.overdue(now)).min();
        let nanoseconds = since.map_or(0, |since| {
            let since = since.saturating_duration_since(self.epoch).as_nanos();
            u64::try_from(since).unwrap_or(u64::MAX).max(1)
        });
        self.silent_since_ns.store(nanoseconds, Ordering::Release);
        since
    }

    /// The oldest call that has not returned.
    pub(super) fn oldest_call(&self) -> Option<Instant> {
        self.pulses.iter().filter_map(|pulse| pulse.begun()).min()
    }
}

/// A place in a lane; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket(Arc<State>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::AcqRel);
    }
}
