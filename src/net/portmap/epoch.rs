//! Whether a gateway has lost its mappings: it tells with every answer for how many seconds it has
//! had them (RFC 6887, 8.5; RFC 6886, 3.6).

use std::time::{Duration, Instant};

/// Resets that are heeded are so far apart: one that tells any number is not asked without end. One
/// that comes sooner is heeded when they are over.
const APART: Duration = Duration::from_secs(60);

/// What a gateway told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Epoch {
    told: Option<(u32, Instant)>,
    reset: Option<Instant>,
    /// When a reset is to be heeded that came too soon.
    due: Option<Instant>,
}

impl Epoch {
    /// Notes what is told now; true when it has begun anew since, and that is to be heeded now.
    pub fn note(&mut self, told: u32, now: Instant) -> bool {
        let before = self.told.replace((told, now));
        let is_new = before.is_some_and(|(before, at)| {
            // "If the current epoch is less, by more than one": it went back.
            let passed = now.saturating_duration_since(at).as_secs();
            let grown = u64::from(told.saturating_sub(before));
            told.saturating_add(1) < before
                || passed + 2 < grown - grown / 16
                || grown + 2 < passed - passed / 16
        });
        is_new && self.heed(now)
    }

    /// It has begun anew: is that to be heeded now? Otherwise it is when it is [`due`](Self::due).
    pub fn heed(&mut self, now: Instant) -> bool {
        let free = self.reset.map(|at| at + APART).filter(|free| now < *free);
        self.due = free;
        if free.is_none() {
            self.reset = Some(now);
        }
        free.is_none()
    }

    /// When a reset that came too soon is to be heeded.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// All mappings are asked for anew, for whatever reason.
    pub fn settle(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_or_stands_still_is_a_new_one() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut epoch = Epoch::default();
        assert!(!epoch.note(1000, at(0)), "the first word");
        assert!(!epoch.note(1060, at(60)));
        assert!(!epoch.note(1059, at(60)), "packets overtake each other");
        assert!(!epoch.note(1115, at(120)), "clocks differ by a sixteenth");
        assert!(epoch.note(3, at(180)));
        assert!(!epoch.note(63, at(240)));
        assert!(epoch.note(63, at(400)), "it was away for a while");
        assert!(epoch.note(9000, at(500)), "we slept");
    }

    #[test]
    fn one_that_tells_any_number_is_heeded_once_a_minute() {
        let now = Instant::now();
        let mut epoch = Epoch::default();
        let heeded = (0..240_u64).filter(|second| {
            let told = if second % 2 == 0 { 5_000_000 } else { 7 };
            epoch.note(told, now + Duration::from_secs(*second))
        });
        assert_eq!(heeded.count(), 4);
    }

    #[test]
    fn a_second_reset_that_comes_soon_is_due_later() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut epoch = Epoch::default();
        assert!(!epoch.note(1000, at(0)) && epoch.due().is_none());
        assert!(epoch.note(3, at(10)) && epoch.due().is_none());
        assert!(!epoch.note(3, at(40)), "the second one");
        assert_eq!(epoch.due(), Some(at(70)));
        assert!(!epoch.note(4, at(41)));
        assert_eq!(epoch.due(), Some(at(70)), "what follows of it is no news");
        assert!(epoch.heed(at(70)) && epoch.due().is_none());
        assert!(!epoch.note(1, at(80)));
        epoch.settle();
        assert_eq!(epoch.due(), None, "all was asked for anew");
    }
}
