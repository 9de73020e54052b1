//! What a thread of a lane is at, and since when: so that others can see that a device does not
//! answer, for the thread itself cannot. What follows from that is not known here.
//!
//! The thread's own pulse is found through the thread, since calls to a device are made deep
//! below whoever knows of lanes.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

/// The longest that one call to a device may take before the device is called silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static OWN: OnceCell<Arc<Pulse>> = const { OnceCell::new() };
}

/// Wakes the watchdog when there is something to watch.
#[derive(Debug)]
pub(super) struct Bell {
    pub is_awake: AtomicBool,
    /// Of one place: when it is taken, the watchdog wakes.
    pub rings: Sender<()>,
}

impl Bell {
    fn ring(&self) {
        if !self.is_awake.load(Ordering::SeqCst) && !self.is_awake.swap(true, Ordering::SeqCst) {
            // When the place is taken, it is about to wake.
            let _ = self.rings.try_send(());
        }
    }
}

/// One thread's calls to a device.
#[derive(Debug)]
pub(super) struct Pulse {
    epoch: Instant,
    /// When the call began that has not returned, in nanoseconds of the epoch; 0 when none.
    begun_ns: AtomicU64,
    /// How long it may take.
    patience_ns: AtomicU64,
    bell: Arc<Bell>,
}

impl Pulse {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        let (begun_ns, patience_ns) = Default::default();
        Self { epoch: Instant::now(), begun_ns, patience_ns, bell }
    }

    /// From now on it is this thread's.
    pub(super) fn adopt(self: Arc<Self>) {
        // A thread has one for life.
        let _ = OWN.with(|own| own.set(self));
    }

    /// Is there a call that has not returned?
    pub(super) fn is_busy(&self) -> bool {
        self.begun_ns.load(Ordering::SeqCst) > 0
    }

    /// When the call began that has not returned, if any did.
    pub(super) fn begun(&self) -> Option<Instant> {
        match self.begun_ns.load(Ordering::SeqCst) {
            0 => None,
            begun_ns => Some(self.epoch + Duration::from_nanos(begun_ns)),
        }
    }

    /// When the call began that should have returned by now.
    pub(super) fn overdue(&self, now: Instant) -> Option<Instant> {
        let patience = Duration::from_nanos(self.patience_ns.load(Ordering::SeqCst));
        self.begun().filter(|begun| now.saturating_duration_since(*begun) > patience)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn set(&self, begun_ns: u64, patience_ns: u64) {
        self.patience_ns.store(patience_ns, Ordering::SeqCst);
        self.begun_ns.store(begun_ns, Ordering::SeqCst);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn with<T>(work: impl FnOnce(&Pulse) -> T) -> Option<T> {
    OWN.with(|own| own.get().map(|pulse| work(pulse)))
}

/// The thread calls a device as long as this lives.
pub(super) struct Busy {
    before: (bool, u64),
}

/// This thread is about to call a device, which may take so long.
pub(super) fn busy(patience: Duration) -> Busy {
    let before = with(|pulse| {
        let before = (pulse.is_busy(), pulse.patience_ns.load(Ordering::SeqCst));
        pulse.set(pulse.now_ns(), nanoseconds(patience));
        pulse.bell.ring();
        before
    });
    Busy { before: before.unwrap_or_default() }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let (was_busy, patience_ns) = self.before;
        with(|pulse| pulse.set(if was_busy { pulse.now_ns() } else { 0 }, patience_ns));
    }
}

/// The device has answered, and goes on answering: the next call begins. On threads of no lane,
/// and beside any call, this does nothing.
pub(super) fn beat() {
    with(|pulse| {
        if pulse.is_busy() {
            pulse.begun_ns.store(pulse.now_ns(), Ordering::SeqCst);
        }
    });
}

/// What is done meanwhile is no call to a device.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let was_busy = with(|pulse| pulse.begun_ns.swap(0, Ordering::SeqCst) > 0);
    let done = work();
    if was_busy == Some(true) {
        with(|pulse| pulse.begun_ns.store(pulse.now_ns(), Ordering::SeqCst));
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_goes_on_is_seen_from_elsewhere_and_each_answer_begins_another() {
        let (rings, rung) = crossbeam_channel::bounded(8);
        let bell = Arc::new(Bell { is_awake: AtomicBool::new(false), rings });
        let pulse = Arc::new(Pulse::new(bell));
        let seen = pulse.clone();
        std::thread::spawn(move || {
            pulse.clone().adopt();
            beat();
            assert!(!pulse.is_busy() && rung.is_empty(), "nothing has begun");
            let outer = busy(PATIENCE);
            assert_eq!(rung.try_recv(), Ok(()), "somebody is to watch");
            let late = || Instant::now() + PATIENCE + Duration::from_secs(1);
            let first = pulse.begun().unwrap();
            assert_eq!((pulse.overdue(late()), pulse.overdue(first)), (Some(first), None));
            beat();
            assert!(pulse.begun().unwrap() > first);
            assert!(aside(|| pulse.begun().is_none()) && pulse.is_busy());
            let long = busy(PATIENCE * 100);
            assert_eq!(pulse.overdue(late()), None, "this one may take its time");
            drop(long);
            assert!(pulse.overdue(late()).is_some() && rung.is_empty(), "it is awake");
            drop(outer);
            assert!(!pulse.is_busy());
        })
        .join()
        .unwrap();
        assert_eq!(seen.overdue(Instant::now() + PATIENCE * 2), None);
    }
}
