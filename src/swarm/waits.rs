//! "Blocked on" accounting: what a download waited for, over the last minute and over its
//! life. It never decides anything; it only answers `why`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a torrent (or one link) is waiting for. Exactly one at any time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// Nothing: complete, or paused by the user.
    Nothing,
    /// No peer is connected, and no tracker has answered yet.
    Tracker,
    /// No peer is connected though some are known, or none are known at all.
    Peers,
    /// Peers have what we lack, and all of them choke us.
    Unchoke,
    /// No connected peer has a piece that we lack.
    Pieces,
    /// Requests are out and the pipeline is full: the peers or the line set the speed.
    Transfer,
    /// Our own queue is the limit: peers would take more requests than we ask.
    Pipeline,
    /// Memory is full of blocks that wait for the disk.
    Disk,
    /// Memory is full of blocks that wait to be hashed.
    Hash,
    /// The user's rate limit.
    Limit,
    /// Servers of files rest, or no connection to them is to be had.
    SourceWaits,
    /// Servers of files send nothing, or very little.
    SourceSlow,
    /// Servers have other files than the torrent.
    SourcesDiffer,
}

impl Cause {
    /// All causes, in the order in which a report lists them.
    pub const ALL: [Self; 13] = [
        Self::Transfer,
        Self::Unchoke,
        Self::Pieces,
        Self::Peers,
        Self::Tracker,
        Self::Pipeline,
        Self::Disk,
        Self::Hash,
        Self::Limit,
        Self::SourceWaits,
        Self::SourceSlow,
        Self::SourcesDiffer,
        Self::Nothing,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

const SECONDS_KEPT: usize = 60;
type TimeByCause = [Duration; Cause::ALL.len()];

/// Time by cause, kept for the last minute and for life.
#[derive(Clone, Debug)]
pub struct Waits {
    since: Instant,
    cause: Cause,
    life: TimeByCause,
    /// One entry a second, oldest first; the last is being filled.
    seconds: VecDeque<TimeByCause>,
    second_began: Instant,
}

/// Shares of time by cause, largest first; causes that took no time are left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WaitReport {
    /// The cause right now.
    pub now: Option<Cause>,
    /// Shares of the last minute, 0 to 1.
    pub minute: Vec<(Cause, f64)>,
    /// Shares of the whole life, 0 to 1.
    pub life: Vec<(Cause, f64)>,
}

impl Waits {
    /// Begins to account at `now`.
    pub fn new(cause: Cause, now: Instant) -> Self {
        Self {
            since: now,
            cause,
            life: TimeByCause::default(),
            seconds: VecDeque::from([TimeByCause::default()]),
            second_began: now,
        }
    }

    /// The same account goes on: the time since it was last looked at is nobody's.
    pub fn go_on(self, cause: Cause, now: Instant) -> Self {
        let seconds = VecDeque::from([TimeByCause::default()]);
        Self { since: now, cause, seconds, second_began: now, ..self }
    }

    /// From `now` on the cause is `cause`; the time before belongs to the one before.
    pub fn switch(&mut self, cause: Cause, now: Instant) {
        self.settle(now);
        self.cause = cause;
    }

    /// The cause now.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The shares as of `now`.
    pub fn report(&self, now: Instant) -> WaitReport {
        let mut settled = self.clone();
        settled.settle(now);
        let minute = settled.seconds.iter().fold(TimeByCause::default(), |mut sum, second| {
            sum.iter_mut().zip(second).for_each(|(sum, part)| *sum += *part);
            sum
        });
        WaitReport { now: Some(self.cause), minute: shares(&minute), life: shares(&settled.life) }
    }

    fn settle(&mut self, now: Instant) {
        const SECOND: Duration = Duration::from_secs(1);
        let kept_from = now.checked_sub(SECOND * SECONDS_KEPT as u32 * 2);
        if let Some(kept_from) = kept_from.filter(|from| *from > self.since) {
            // A long silence: what lies before the last minute matters to the life only.
            self.life[self.cause.index()] += kept_from - self.since;
            self.since = kept_from;
            self.second_began = kept_from;
            self.seconds = VecDeque::from([TimeByCause::default()]);
        }
        while self.second_began + SECOND <= now {
            let end = self.second_began + SECOND;
            self.credit(end);
            self.second_began = end;
            self.seconds.push_back(TimeByCause::default());
            if self.seconds.len() > SECONDS_KEPT {
                self.seconds.pop_front();
            }
        }
        self.credit(now);
    }

    fn credit(&mut self, until: Instant) {
        let span = until.saturating_duration_since(self.since);
        self.life[self.cause.index()] += span;
        if let Some(second) = self.seconds.back_mut() {
            second[self.cause.index()] += span;
        }
        self.since = self.since.max(until);
    }
}

fn shares(times: &TimeByCause) -> Vec<(Cause, f64)> {
    let total: f64 = times.iter().map(Duration::as_secs_f64).sum();
    let mut shares: Vec<_> = Cause::ALL
        .into_iter()
        .map(|cause| (cause, times[cause.index()].as_secs_f64() / total.max(1e-9)))
        .filter(|(_, share)| *share > 0.0)
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// How busy the hands are, as they report it.
#[derive(Debug, Default)]
pub(super) struct Load {
    hashing: Duration,
    writing: Duration,
    /// Links wait for blocks: the pool has none left.
    pub starved: bool,
    /// The user's rate limit holds links back.
    pub limited: bool,
}

impl Load {
    pub(super) fn note(&mut self, hashing: Duration, writing: Duration) {
        (self.hashing, self.writing) = (hashing, writing);
    }

    /// Is more time spent on hashing than on writing?
    pub(super) fn is_mostly_hashing(&self) -> bool {
        self.hashing > self.writing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_belongs_to_the_cause_that_held() {
        let start = Instant::now();
        let at = |s| start + Duration::from_millis(s);
        let mut waits = Waits::new(Cause::Tracker, start);
        waits.switch(Cause::Unchoke, at(1_000));
        waits.switch(Cause::Transfer, at(3_500));
        let report = waits.report(at(4_000));
        assert_eq!(report.now, Some(Cause::Transfer));
        assert_eq!(report.life, report.minute);
        let expected = [(Cause::Unchoke, 0.625), (Cause::Tracker, 0.25), (Cause::Transfer, 0.125)];
        assert_eq!(report.life, expected);
    }

    #[test]
    fn an_account_that_goes_on_keeps_its_life_and_not_the_time_between() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waits = Waits::new(Cause::Tracker, start);
        waits.switch(Cause::Transfer, at(3));
        waits.switch(Cause::Transfer, at(4));
        let waits = waits.go_on(Cause::Peers, at(1000));
        let report = waits.report(at(1004));
        assert_eq!(report.minute, [(Cause::Peers, 1.0)]);
        let life = [(Cause::Peers, 0.5), (Cause::Tracker, 0.375), (Cause::Transfer, 0.125)];
        assert_eq!(report.life, life);
    }

    #[test]
    fn the_minute_forgets_and_the_life_does_not() {
        let start = Instant::now();
        let mut waits = Waits::new(Cause::Peers, start);
        waits.switch(Cause::Transfer, start + Duration::from_secs(100));
        let report = waits.report(start + Duration::from_secs(200));
        assert_eq!(report.minute, [(Cause::Transfer, 1.0)]);
        assert_eq!(report.life, [(Cause::Transfer, 0.5), (Cause::Peers, 0.5)]);
        let much_later = waits.report(start + Duration::from_secs(10_000));
        assert_eq!(much_later.minute, [(Cause::Transfer, 1.0)]);
        assert_eq!(much_later.life[0], (Cause::Transfer, 0.99));
    }
}
