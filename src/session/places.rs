//! Who may have how many connections when there are too few for all. While there are enough
//! nobody is bounded; when a torrent lacks its minimum, those who have most above theirs give
//! back what was lent to them, and nobody takes more before it has them. A pure rule; who counts
//! and who closes is elsewhere.

/// Links that each torrent is sure of, as long as there are so many for each.
const SURE: usize = 20;

/// How one torrent stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Links that it has, dials included.
    pub held: usize,
    /// Links that it would make beside them.
    pub wanted: usize,
}

/// How many links each torrent may have, of `total` in all: as many as it likes while everybody
/// has its minimum or wants no more.
pub(super) fn divide(standings: &[Standing], total: usize) -> Vec<usize> {
    let busy = standings.iter().filter(|it| it.held + it.wanted > 0).count();
    let sure = SURE.min(total / busy.max(1)).max(1);
    let lacks = |it: &Standing| sure.min(it.held + it.wanted).saturating_sub(it.held);
    let lacking: usize = standings.iter().map(lacks).sum();
    let held: usize = standings.iter().map(|it| it.held).sum();
    let wanted: usize = standings.iter().map(|it| it.wanted).sum();
    if lacking == 0 || held + wanted <= total {
        return vec![usize::MAX; standings.len()];
    }
    let most = |it: &Standing| if lacks(it) > 0 { sure } else { it.held };
    let mut allowed: Vec<usize> = standings.iter().map(most).collect();
    for _ in 0..(lacking + held).saturating_sub(total) {
        let richest = allowed.iter_mut().filter(|most| **most > sure).max();
        let Some(richest) = richest else { break };
        *richest -= 1;
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(standings: &[(usize, usize)]) -> Vec<usize> {
        let standing = |(held, wanted): &(usize, usize)| Standing { held: *held, wanted: *wanted };
        divide(&standings.iter().map(standing).collect::<Vec<_>>(), 400)
    }

    const ANY: usize = usize::MAX;

    #[test]
    fn nobody_is_bounded_while_everybody_has_its_minimum() {
        assert!(divided(&[]).is_empty());
        assert_eq!(divided(&[(400, 600), (0, 0)]), [ANY, ANY]);
        assert_eq!(divided(&[(200, 600), (200, 600)]), [ANY, ANY]);
        assert_eq!(divided(&[(300, 40), (0, 60)]), [ANY, ANY]);
    }

    #[test]
    fn five_with_eighty_idle_links_each_make_place_for_a_sixth() {
        let full = [(80, 0); 5];
        let one = divided(&[&full[..], &[(0, 1)]].concat());
        assert_eq!(one.iter().take(5).sum::<usize>(), 399);
        let many = divided(&[&full[..], &[(0, 50)]].concat());
        assert_eq!(many, [76, 76, 76, 76, 76, 20]);
    }

    #[test]
    fn nobody_grows_while_another_lacks_its_minimum() {
        assert_eq!(divided(&[(300, 600), (0, 60)]), [300, 20]);
        // Five are free, but five more have to come back first.
        assert_eq!(divided(&[(370, 90), (20, 9), (5, 60)]), [360, 20, 20]);
    }

    #[test]
    fn hundreds_of_torrents_get_one_each_before_any_gets_two() {
        let mut standings = vec![(1, 50); 399];
        standings.extend([(1, 50), (0, 50)]);
        let allowed = divided(&standings);
        assert!(allowed.iter().all(|most| *most == 1));
        let allowed = divided(&[&[(40, 0); 10][..], &[(0, 9); 190]].concat());
        // Two for each, and those who have forty give up all that is lacking.
        assert_eq!(allowed, [&[2; 10][..], &[2; 190]].concat());
    }

    #[test]
    fn what_is_allowed_is_never_more_than_there_is_and_takes_from_the_richest() {
        let mut state = 7u32;
        let mut number = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) % below) as usize
        };
        for _ in 0..500 {
            let mut left = 400;
            let standings: Vec<_> = (0..number(60) + 2)
                .map(|_| {
                    let held = number(120).min(left);
                    left -= held;
                    Standing { held, wanted: number(40) }
                })
                .collect();
            let allowed = divide(&standings, 400);
            if allowed.iter().all(|most| *most == ANY) {
                continue;
            }
            assert!(allowed.iter().sum::<usize>() <= 400 + 20 * standings.len());
            // Who lacks its minimum may use what is free, or else somebody might.
            let mut grow = standings.iter().zip(&allowed).filter(|(it, most)| **most > it.held);
            let may_grow = grow.any(|(it, _)| it.wanted > 0);
            assert!(may_grow || left == 0, "frozen: {standings:?} {allowed:?}");
            let after = standings.iter().zip(&allowed).map(|(it, most)| {
                assert!(*most >= it.held.min(6), "nobody goes below its minimum");
                (it.held + it.wanted).min(*most)
            });
            assert!(after.sum::<usize>() <= 400, "{standings:?} {allowed:?}");
        }
    }
}
