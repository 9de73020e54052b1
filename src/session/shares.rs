//! How many blocks of the pool the open pieces of each torrent may hold: together at most half,
//! so that the other half is always there for reading, hashing and writing, and what lies with
//! one torrent never stops another. Pure arithmetic: who downloads is known elsewhere.
//!
//! Everybody gets the same, but nobody more than is left to fetch, and, where that fits,
//! nobody less than two open pieces take. A torrent with too little spills blocks to disk
//! sooner; it never stands still.

/// What decides about the share of a torrent that downloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Demand {
    /// Blocks of a piece.
    pub piece_blocks: usize,
    /// Blocks that are still to be fetched, at least about.
    pub rest_blocks: usize,
}

impl Demand {
    /// Two open pieces, for with one alone a single slow peer could hold up everybody.
    fn least(self) -> usize {
        self.piece_blocks.saturating_mul(2)
    }

    /// More would lie idle. Blocks that are partly padding make the rest look smaller than it
    /// is, so it is not trusted down to the last.
    fn most(self) -> usize {
        self.rest_blocks.max(self.least())
    }
}

/// Open pieces of all torrents together may hold so many of the pool's blocks.
pub(super) fn total(pool_blocks: usize) -> usize {
    pool_blocks / 2
}

/// The share of each demand, in blocks; their sum is at most `total`.
pub(super) fn divide(total: usize, demands: &[Demand]) -> Vec<usize> {
    let least = demands.iter().fold(0usize, |sum, demand| sum.saturating_add(demand.least()));
    let bounds: Vec<(usize, usize)> = match least <= total {
        true => demands.iter().map(|demand| (demand.least(), demand.most())).collect(),
        // What is missing is missing to those that need most.
        false => demands.iter().map(|demand| (0, demand.least())).collect(),
    };
    fill(total, &bounds)
}

/// The same level for all, but within the bounds of each, as high as `total` allows. The lower
/// bounds must fit.
pub(super) fn fill(total: usize, bounds: &[(usize, usize)]) -> Vec<usize> {
    let of = |level: usize| bounds.iter().map(move |(low, high)| level.clamp(*low, *high));
    let fits = |level| of(level).fold(0usize, usize::saturating_add) <= total;
    // The highest level that fits: level 0 does, and sums only grow with it.
    let (mut level, mut too_high) = (0, total + 1);
    while too_high - level > 1 {
        let middle = level + (too_high - level) / 2;
        match fits(middle) {
            true => level = middle,
            false => too_high = middle,
        }
    }
    of(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// Half of the default pool.
    const TOTAL: usize = 1340;

    fn demand(piece_blocks: usize, rest_blocks: usize) -> Demand {
        Demand { piece_blocks, rest_blocks }
    }

    #[test]
    fn one_alone_has_all() {
        assert_eq!(divide(TOTAL, &[demand(16, 1_000_000)]), [TOTAL]);
        assert_eq!(divide(TOTAL, &[]), [0; 0]);
    }

    #[test]
    fn equals_share_equally() {
        assert_eq!(divide(TOTAL, &[demand(16, 1_000_000); 5]), [268; 5]);
        // Two pieces of 4 MiB do not fit five times.
        assert_eq!(divide(TOTAL, &[demand(256, 1_000_000); 5]), [268; 5]);
    }

    #[test]
    fn two_open_pieces_fit_where_they_can() {
        let demands = [demand(256, 1_000_000), demand(16, 1_000_000), demand(16, 1_000_000)];
        assert_eq!(divide(TOTAL, &demands), [512, 414, 414]);
        let many = [vec![demand(256, 1_000_000)], vec![demand(1, 1_000_000); 400]].concat();
        let shares = divide(TOTAL, &many);
        assert_eq!((shares[0], shares[1], shares[400]), (512, 2, 2));
    }

    #[test]
    fn what_one_cannot_use_others_have() {
        assert_eq!(divide(TOTAL, &[demand(1, 40), demand(16, 1_000_000)]), [40, 1300]);
        // Its whole rest is two pieces or less.
        assert_eq!(divide(TOTAL, &[demand(16, 1), demand(16, 1_000_000)]), [32, 1308]);
    }

    #[test]
    fn more_torrents_than_blocks_leave_nothing_to_some_and_are_no_mistake() {
        assert_eq!(divide(10, &[demand(1, 9); 20]), [0; 20]);
        assert_eq!(divide(0, &[demand(usize::MAX, usize::MAX)]), [0]);
        assert_eq!(divide(7, &[demand(usize::MAX, usize::MAX); 3]), [2; 3]);
    }

    proptest! {
        #[test]
        fn shares_are_within_the_total_and_fair(
            total in 0usize..100_000,
            demands in prop::collection::vec((1usize..5000, 0usize..100_000), 0..200),
        ) {
            let demands: Vec<_> = demands.into_iter().map(|(a, b)| demand(a, b)).collect();
            let shares = divide(total, &demands);
            prop_assert_eq!(shares.len(), demands.len());
            prop_assert!(shares.iter().sum::<usize>() <= total);
            let fits = demands.iter().map(|demand| demand.least()).sum::<usize>() <= total;
            for (share, demand) in shares.iter().zip(&demands) {
                prop_assert!(*share <= demand.most());
                prop_assert!(!fits || *share >= demand.least());
                // Who has less than another could not use more.
                for other in shares.iter().zip(&demands).filter(|(other, _)| *share < **other) {
                    let is_least = fits && *other.0 == other.1.least();
                    let is_most = *share == if fits { demand.most() } else { demand.least() };
                    prop_assert!(is_least || is_most, "{share} of {demand:?} beside {other:?}");
                }
            }
            // Nothing is left over that each could still be given one of.
            let left = total - shares.iter().sum::<usize>();
            let open = shares.iter().zip(&demands).filter(|(share, demand)| {
                **share < if fits { demand.most() } else { demand.least() }
            });
            let open = open.count();
            prop_assert!(open == 0 || left < open.max(1) || demands.is_empty());
        }
    }
}
