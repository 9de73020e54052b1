//! When latent torrents come, or are announced as rows, that nobody called: one after the other, so
//! that a start of thousands is no storm. A machine: it hears who is to come, and names who comes
//! now. Whoever has trackers, or a place in the DHT, is to be found there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::base::ids::TorrentId;

/// So many come in a second: each costs half a millisecond of a processor, and one or two
/// announces. 50,000 are here in 17 minutes, which is less than trackers have others wait.
const CALLS_PER_S: u32 = 50;

/// Who is to come.
#[derive(Debug)]
pub(super) struct Calls {
    waiting: VecDeque<TorrentId>,
    /// Nobody comes before.
    next_at: Option<Instant>,
    rng: StdRng,
}

impl Calls {
    /// Nobody yet.
    pub fn new(rng: StdRng) -> Self {
        Self { waiting: VecDeque::new(), next_at: None, rng }
    }

    /// A torrent is to come, behind those that are.
    pub fn push(&mut self, id: TorrentId, now: Instant) {
        self.waiting.push_back(id);
        if self.next_at.is_none() {
            self.next_at = Some(now + self.gap());
        }
    }

    /// Who comes now. What was late is not made up for.
    pub fn next(&mut self, now: Instant) -> Option<TorrentId> {
        self.next_at.filter(|at| *at <= now)?;
        let next = self.waiting.pop_front();
        // A gap lies behind the last one, too.
        self.next_at = next.map(|_| now + self.gap());
        next
    }

    /// When to ask again who comes.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.next_at
    }

    /// Half to one and a half times as long as they have on average: many that begin at once do not
    /// ask the same trackers in step.
    fn gap(&mut self) -> Duration {
        Duration::from_secs(1).mul_f64(self.rng.random_range(0.5..1.5)) / CALLS_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rand::SeedableRng as _;

    #[test]
    fn they_come_in_order_at_a_rate_that_is_never_made_up_for() {
        let start = Instant::now();
        let mut calls = Calls::new(StdRng::seed_from_u64(1));
        assert_eq!((calls.next(start), calls.next_timeout()), (None, None));
        (0..1000).for_each(|id| calls.push(TorrentId(id), start));
        assert_eq!(calls.next(start), None, "none at once");
        let (mut now, mut came, mut gaps) = (start, Vec::new(), Vec::new());
        while let Some(at) = calls.next_timeout() {
            gaps.push(at - now);
            now = at;
            came.extend(calls.next(now));
            assert_eq!(calls.next(now), None, "one at a time");
        }
        assert_eq!(came, (0..1000).map(TorrentId).collect::<Vec<_>>());
        let took = now - start;
        assert!((19.0..21.0).contains(&took.as_secs_f64()), "1000 in {took:?}");
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least < Duration::from_millis(12) && *most > Duration::from_millis(28));
        // Late by an hour, they do not come all together.
        (0..3).for_each(|id| calls.push(TorrentId(id), now));
        let late = now + Duration::from_secs(3600);
        assert_eq!((calls.next(late), calls.next(late)), (Some(TorrentId(0)), None));
    }
}
