//! The session id of a request: no page of another site can set the header that names it, which is
//! all that it is for. It is another one every hour; that of the last hour is taken, too, so that
//! nobody is turned away between two questions.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// How long one is given out.
const HOUR: Duration = Duration::from_secs(3600);

/// Gives them out, and knows them again.
pub(super) struct Passports {
    /// Its keys are of this life of the process.
    keys: RandomState,
    began: Instant,
}

impl Passports {
    /// From now on.
    pub fn new() -> Self {
        Self { keys: RandomState::new(), began: Instant::now() }
    }

    /// The one of now: 48 characters.
    pub fn now(&self) -> String {
        self.of(self.hour(Instant::now()))
    }

    /// Is this one that was given out lately?
    pub fn knows(&self, shown: &str) -> bool {
        self.knew(shown, Instant::now())
    }

    fn knew(&self, shown: &str, now: Instant) -> bool {
        let hour = self.hour(now);
        [Some(hour), hour.checked_sub(1)].into_iter().flatten().any(|it| shown == self.of(it))
    }

    fn hour(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / HOUR.as_secs()
    }

    fn of(&self, hour: u64) -> String {
        let words = (0_u8..3).map(|nth| format!("{:016x}", self.keys.hash_one((hour, nth))));
        words.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_known_for_its_hour_and_the_next() {
        let passports = Passports::new();
        let first = passports.now();
        assert_eq!(first.len(), 48);
        let at = |hours| passports.began + HOUR * hours;
        assert!(passports.knew(&first, at(0)) && passports.knew(&first, at(1)));
        assert!(!passports.knew(&first, at(2)));
        let next = passports.of(1);
        assert_ne!(next, first);
        assert!(!passports.knew(&next, at(0)) && !passports.knew("", at(0)));
        assert!(!Passports::new().knows(&first), "another run has others");
    }
}
