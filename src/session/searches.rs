//! How many bytes of metadata that nobody has proven each search of a session may hold, so that
//! together they hold no more than one number. How they tell what they would hold is
//! `torrent::allowance`'s.
//!
//! Half is divided equally, so that no liar in one search keeps another small. The other half makes
//! up what the smallest lack to fetch whatever peers claim; one always gets that, for no metadata
//! is longer than it, so that they never all wait for each other.

use crate::seek::Appetite;
use crate::torrent::allowance::{Allowance, AllowanceWatch, allowance};
use crate::wire::METADATA_LEN_MAX;

use super::shares::fill;

/// Bytes of all searches of a session.
const UNPROVEN_BYTES: usize = 64 << 20;

const _: () = assert!(METADATA_LEN_MAX as usize <= UNPROVEN_BYTES / 2, "one length always fits");

/// The searches that run, in the order of their begin.
#[derive(Debug, Default)]
pub(super) struct Searches(Vec<AllowanceWatch>);

impl Searches {
    /// One more begins.
    pub fn begin(&mut self) -> Allowance {
        let (search, watched) = allowance();
        self.0.push(watched);
        self.share_out();
        search
    }

    /// Divides what there is among those that run. What is taken away is told first.
    pub fn share_out(&mut self) {
        self.0.retain(|search| !search.is_over());
        let appetites: Vec<Appetite> = self.0.iter().map(AllowanceWatch::appetite).collect();
        let given = divide(UNPROVEN_BYTES, &appetites);
        for less in [true, false] {
            let both = self.0.iter().zip(&given);
            both.filter(|(search, bytes)| (**bytes < search.allowed()) == less)
                .for_each(|(search, bytes)| search.allow(*bytes));
        }
    }
}

/// The bytes of each, at most `total` together.
fn divide(total: usize, appetites: &[Appetite]) -> Vec<usize> {
    let most = |given: &[usize]| {
        let left = appetites.iter().zip(given).map(|(it, given)| it.most.saturating_sub(*given));
        left.map(|most| (0, most)).collect::<Vec<_>>()
    };
    let mut given = fill(total / 2, &most(&vec![0; appetites.len()]));
    let mut spare = total - given.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..appetites.len()).collect();
    order.sort_by_key(|at| appetites[*at].least);
    for at in order {
        let lack = appetites[at].least.saturating_sub(given[at]);
        if lack <= spare {
            given[at] += lack;
            spare -= lack;
        }
    }
    let rest = fill(spare, &most(&given));
    given.iter().zip(rest).map(|(given, rest)| given + rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    fn wants(least: usize, most: usize) -> Appetite {
        Appetite { least, most }
    }

    #[test]
    fn one_alone_may_hold_all_that_it_can_use() {
        assert_eq!(divide(64 * MIB, &[Appetite::UNKNOWN]), [64 * MIB]);
        assert_eq!(divide(64 * MIB, &[wants(MIB, 3 * MIB)]), [3 * MIB]);
        assert_eq!(divide(64 * MIB, &[]), [0; 0]);
    }

    #[test]
    fn what_one_needs_at_least_it_gets_before_others_get_more() {
        let appetites = [wants(32 * MIB, 400 * MIB), wants(32 * MIB, 400 * MIB), wants(9, 9)];
        let given = divide(64 * MIB, &appetites);
        // Both lack half of it, and one gets it, the first.
        assert!(given[0] >= 32 * MIB && given[2] == 9, "{given:?}");
        assert!(given[1] >= 15 * MIB, "{given:?}");
    }

    #[test]
    fn of_hundreds_some_can_always_go_on() {
        let given = divide(64 * MIB, &vec![wants(MIB, 12 * MIB); 300]);
        assert!(given.iter().filter(|bytes| **bytes >= MIB).count() > 30, "{given:?}");
        let given = divide(64 * MIB, &vec![wants(32 * MIB, 400 * MIB); 300]);
        assert!(given.iter().any(|bytes| *bytes >= 32 * MIB), "{given:?}");
    }

    #[test]
    fn searches_hold_no_more_than_one_session_may() {
        let mut searches = Searches::default();
        let mut all: Vec<_> = (0..9).map(|_| searches.begin()).collect();
        let sum =
            |searches: &Searches| searches.0.iter().map(AllowanceWatch::allowed).sum::<usize>();
        // But for what cannot be divided.
        assert!((UNPROVEN_BYTES - 99..=UNPROVEN_BYTES).contains(&sum(&searches)));
        all.truncate(1);
        searches.share_out();
        let allowed: Vec<_> = searches.0.iter().map(AllowanceWatch::allowed).collect();
        assert_eq!(allowed, [UNPROVEN_BYTES], "those that are over hold nothing");
    }

    proptest! {
        #[test]
        fn it_is_never_more_than_there_is_nor_than_is_of_use(
            total in 64 * MIB..100 * MIB,
            appetites in prop::collection::vec((1usize..32 * MIB, 0usize..400 * MIB), 1..100),
        ) {
            let appetites: Vec<_> =
                appetites.into_iter().map(|(least, more)| wants(least, least + more)).collect();
            let given = divide(total, &appetites);
            prop_assert!(given.iter().sum::<usize>() <= total);
            prop_assert!(given.iter().zip(&appetites).all(|(given, it)| *given <= it.most));
            prop_assert!(given.iter().zip(&appetites).any(|(given, it)| *given >= it.least));
        }
    }
}
