//! Which run comes next: the parts of a torrent that nobody has begun, and how several links
//! divide them. Each begins where it meets another one as late as may be.

use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

use super::picker::Picker;

/// The pieces of these ranges that may be begun, in rows. Those in `crumbs` are left to peers, as
/// long as one has them.
pub(super) fn gaps<'a>(
    picker: &'a Picker,
    ranges: &'a [Range<u32>],
    crumbs: &'a [u32],
) -> impl Iterator<Item = Range<u32>> + 'a {
    gaps_where(picker, ranges, crumbs, |_| true)
}

/// The same of the pieces of one grade of urgency.
pub(super) fn gaps_of<'a>(
    grade: usize,
    picker: &'a Picker,
    ranges: &'a [Range<u32>],
    crumbs: &'a [u32],
) -> impl Iterator<Item = Range<u32>> + 'a {
    gaps_where(picker, ranges, crumbs, move |number| picker.grade(number) == grade)
}

fn gaps_where<'a>(
    picker: &'a Picker,
    ranges: &'a [Range<u32>],
    crumbs: &'a [u32],
    is_meant: impl Fn(u32) -> bool + Copy + 'a,
) -> impl Iterator<Item = Range<u32>> + 'a {
    let is_free = move |number: u32| {
        let is_left = || crumbs.binary_search(&number).is_ok() && picker.is_at_hand(number);
        picker.is_free(number) && is_meant(number) && !is_left()
    };
    ranges.iter().flat_map(move |range| {
        let (mut at, end) = (range.start, range.end);
        std::iter::from_fn(move || {
            let begin = (at..end).find(|number| is_free(*number))?;
            at = (begin..end).find(|number| !is_free(*number)).unwrap_or(end);
            Some(begin..at)
        })
    })
}

/// What a link would take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// At most so many pieces.
    most: u32,
    /// The piece behind its last run.
    next: Option<u32>,
    /// Only from there on.
    is_ahead: bool,
    /// What comes first is wanted first.
    sequential: bool,
}

impl Want {
    /// At most so many pieces; if it has a run, the one from there on.
    pub(super) fn new(most: u32, next: Option<u32>, is_ahead: bool, sequential: bool) -> Self {
        Self { most: most.max(1), next, is_ahead, sequential }
    }
}

/// The next run out of these gaps: what follows the last one; else of the largest gap, or the
/// first one of a sequential torrent, the beginning. But where another link is on its way into
/// the gap (`follows` a run), the second half of it.
pub(super) fn choose(
    gaps: impl Iterator<Item = Range<u32>>,
    want: Want,
    follows: impl Fn(u32) -> bool,
    rng: &mut StdRng,
) -> Option<Range<u32>> {
    let (mut best, mut ties): (Range<u32>, u32) = (0..0, 0);
    for gap in gaps {
        if let Some(next) = want.next.filter(|next| gap.contains(next)) {
            return Some(next..gap.end.min(next.saturating_add(want.most)));
        }
        let is_behind = want.next.is_none_or(|next| gap.start >= next);
        if want.is_ahead && !is_behind || want.sequential && !best.is_empty() {
            continue;
        }
        match gap.len().cmp(&best.len()) {
            std::cmp::Ordering::Less => continue,
            std::cmp::Ordering::Greater => ties = 1,
            std::cmp::Ordering::Equal => ties += 1,
        }
        if ties == 1 || !want.sequential && rng.random_range(0..ties) == 0 {
            best = gap;
        }
    }
    let len = best.end - best.start;
    let is_split = len > want.most && !want.sequential && follows(best.start);
    let begin = if is_split { best.start + len / 2 } else { best.start };
    (len > 0).then(|| begin..best.end.min(begin.saturating_add(want.most)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bitfield::Bitfield;
    use crate::base::layout::Layout;
    use rand::SeedableRng;

    fn picker(count: u32, gone: &[u32]) -> (Layout, Picker) {
        let layout = Layout::new(u64::from(count) * 16384, 16384).unwrap();
        let mut picker = Picker::new(layout, &Bitfield::all(count));
        gone.iter().for_each(|piece| picker.remove(layout.piece(*piece).unwrap()));
        (layout, picker)
    }

    fn chosen(gaps: &[Range<u32>], want: Want, follows: u32) -> Option<Range<u32>> {
        let mut rng = StdRng::seed_from_u64(1);
        choose(gaps.iter().cloned(), want, |piece| piece == follows, &mut rng)
    }

    /// One range, which is no list of its numbers.
    fn only(begin: u32, end: u32) -> Range<u32> {
        begin..end
    }

    const NOBODY: u32 = u32::MAX;

    #[test]
    fn gaps_are_rows_of_free_pieces_inside_the_ranges() {
        let (layout, mut picker) = picker(20, &[3, 4, 9, 15]);
        let rows = |picker: &Picker, ranges: &[Range<u32>], crumbs: &[u32]| {
            gaps(picker, ranges, crumbs).collect::<Vec<_>>()
        };
        assert_eq!(rows(&picker, &[only(0, 20)], &[]), [0..3, 5..9, 10..15, 16..20]);
        assert_eq!(rows(&picker, &[1..6, 8..12], &[]), [1..3, 5..6, 8..9, 10..12]);
        // Pieces of very many parts are asked of servers only when no peer has them.
        assert_eq!(rows(&picker, &[only(10, 15)], &[12]), [only(10, 15)]);
        picker.peer_gained(layout.piece(12).unwrap());
        assert_eq!(rows(&picker, &[only(10, 15)], &[12]), [10..12, 13..15]);
    }

    #[test]
    fn the_largest_gap_is_taken_from_its_beginning_and_ties_at_random() {
        let gaps = [0..3, 5..12, 14..16];
        assert_eq!(chosen(&gaps, Want::new(4, None, false, false), NOBODY), Some(5..9));
        assert_eq!(chosen(&gaps, Want::new(40, None, false, false), NOBODY), Some(5..12));
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let want = Want::new(2, None, false, false);
            let tied = [0..3, 5..8, 10..13].into_iter();
            firsts.extend(choose(tied, want, |_| false, &mut rng).map(|run| run.start));
        }
        assert_eq!(firsts, [0, 5, 10].into());
    }

    #[test]
    fn a_gap_that_another_run_comes_to_is_halved() {
        let whole = [only(10, 50)];
        assert_eq!(chosen(&whole, Want::new(4, None, false, false), 10), Some(30..34));
        // Nothing is left for the other one all the same.
        assert_eq!(chosen(&whole, Want::new(40, None, false, false), 10), Some(10..50));
    }

    #[test]
    fn a_link_goes_on_where_it_was() {
        let gaps = [0..3, 5..12, 14..16];
        assert_eq!(chosen(&gaps, Want::new(8, Some(2), false, false), NOBODY), Some(2..3));
        assert_eq!(chosen(&gaps, Want::new(8, Some(13), false, false), NOBODY), Some(5..12));
        // Ahead of the end of a run only what stands behind it can be ordered.
        assert_eq!(chosen(&gaps, Want::new(8, Some(13), true, false), NOBODY), Some(14..16));
        assert_eq!(chosen(&gaps, Want::new(8, Some(16), true, false), NOBODY), None);
    }

    #[test]
    fn a_sequential_torrent_takes_the_first_gap() {
        let gaps = [2..4, 5..12];
        assert_eq!(chosen(&gaps, Want::new(9, None, false, true), NOBODY), Some(2..4));
        assert_eq!(chosen(&gaps[1..], Want::new(3, None, false, true), 5), Some(5..8));
    }
}
