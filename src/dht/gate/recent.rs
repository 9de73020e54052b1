//! Until when something holds for each of many addresses, in bounded memory: what is over makes
//! room, then what ends first. Addresses are known by keyed hashes, so that nobody can choose
//! who shares a place with whom.

/// Places that a key may have.
const WAYS: usize = 8;
/// Places at first.
const FIRST: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent {
    /// Key and time; a time of zero is a free place.
    slots: Vec<(u64, u64)>,
    max: usize,
}

impl Recent {
    /// For `max` addresses, a power of two.
    pub(super) fn new(max: usize) -> Self {
        Self { slots: vec![(0, 0); FIRST.min(max)], max }
    }

    /// The time of this key, to be read and set; what is not known has one that is over.
    pub(super) fn until(&mut self, key: u64, now: u64) -> &mut u64 {
        let at = loop {
            let set = self.set(key);
            let slots = &self.slots[set..set + WAYS];
            if let Some(at) = slots.iter().position(|(known, until)| *known == key && *until > 0) {
                break set + at;
            }
            let first = slots.iter().enumerate().min_by_key(|(_, (_, until))| *until);
            let (at, until) = first.map_or((0, 0), |(at, (_, until))| (at, *until));
            if until <= now || self.slots.len() >= self.max {
                self.slots[set + at] = (key, 0);
                break set + at;
            }
            self.grow(now);
        };
        &mut self.slots[at].1
    }

    fn set(&self, key: u64) -> usize {
        (key as usize) % (self.slots.len() / WAYS) * WAYS
    }

    fn grow(&mut self, now: u64) {
        let larger = vec![(0, 0); self.slots.len() * 2];
        for (key, until) in std::mem::replace(&mut self.slots, larger) {
            if until > now {
                let set = self.set(key);
                // A set of the old ones is divided between two of the new.
                if let Some(slot) = self.slots[set..set + WAYS].iter_mut().find(|it| it.1 == 0) {
                    *slot = (key, until);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_until_they_are_over() {
        let mut recent = Recent::new(4_096);
        for key in 0..1_000_u64 {
            *recent.until(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1) = 100 + key;
        }
        for key in 0..1_000_u64 {
            assert_eq!(*recent.until(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 2), 100 + key);
        }
        let places = recent.slots.len();
        assert!(places <= 4_096);
        // Others take the places of those that are over: it does not grow.
        for key in 1_000..2_000_u64 {
            *recent.until(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 5_000) = 6_000;
        }
        assert!(recent.slots.len() <= places);
    }

    #[test]
    fn a_full_one_forgets_what_ends_first() {
        let mut recent = Recent::new(64);
        // All of one set.
        for key in 1..=8_u64 {
            *recent.until(key * 64, 1) = 100 * key;
        }
        *recent.until(9 * 64, 1) = 900;
        assert_eq!(*recent.until(2 * 64, 1), 200);
        assert_eq!(*recent.until(9 * 64, 1), 900);
        assert_eq!(*recent.until(64, 1), 0, "it is not known any more");
        assert_eq!(recent.slots.len(), 64);
    }
}
