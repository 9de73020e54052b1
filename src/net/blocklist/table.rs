//! The addresses of a blocklist, in as little room as a lookup needs to be quick: sorted ranges
//! that do not touch, eight bytes each, and where those of each /16 begin. A million take 8.3 MB.
//! Not here: how lists are written.

use std::net::IpAddr;

use super::line::Range;

/// Ranges of one list at most, of both families together.
pub const RANGES_MAX: usize = 4_000_000;
/// So many more than may be are taken in before it is looked whether some are one: each merging is
/// to be worth its while.
const MERGE_EACH: usize = RANGES_MAX / 4;
/// Networks of IPv4 that have an entry in the index.
const SIXTEENS: usize = 1 << 16;

/// More ranges than [`RANGES_MAX`] which are not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

/// Collects ranges, in any order and as often as they come.
#[derive(Debug, Default)]
pub struct Builder {
    four: Vec<(u32, u32)>,
    six: Vec<(u128, u128)>,
    /// How many there were when they were merged last.
    merged: usize,
}

impl Builder {
    /// Takes a range in.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, range: Range) -> Result<(), TooMany> {
        match range {
            Range::Four(first, last) => self.four.push((first, last)),
            Range::Six(first, last) => self.six.push((first, last)),
        }
        if self.count() > self.merged.max(RANGES_MAX) + MERGE_EACH {
            self.merge();
            self.merged = self.count();
            self.check()?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.four.len() + self.six.len()
    }

    fn check(&self) -> Result<(), TooMany> {
        if self.count() > RANGES_MAX { Err(TooMany) } else { Ok(()) }
    }

    fn merge(&mut self) {
        merge(&mut self.four, |last| last.checked_add(1));
        merge(&mut self.six, |last| last.checked_add(1));
    }

    /// All of them.
    ///
    /// # Errors
    /// When there are too many.
    pub fn table(mut self) -> Result<Table, TooMany> {
        self.merge();
        self.check()?;
        let Self { four, six, .. } = self;
        let starts = four.iter().map(|range| range.0).collect();
        let ends = four.into_iter().map(|range| range.1).collect();
        Ok(Table::indexed(starts, ends, six.into()))
    }
}

fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|range, kept| {
        let touches = range.0 <= kept.1 || next(kept.1) == Some(range.0);
        if touches {
            kept.1 = kept.1.max(range.1);
        }
        touches
    });
}

/// Which addresses are blocked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// First addresses of ranges, in order.
    starts: Box<[u32]>,
    /// Their last ones.
    ends: Box<[u32]>,
    /// How many ranges begin before each /16, and how many there are.
    index: Box<[u32]>,
    six: Box<[(u128, u128)]>,
}

impl Table {
    fn indexed(starts: Box<[u32]>, ends: Box<[u32]>, six: Box<[(u128, u128)]>) -> Self {
        let mut index = vec![0; SIXTEENS + 1];
        for start in &starts {
            index[sixteen(*start) + 1] += 1;
        }
        for at in 1..index.len() {
            index[at] += index[at - 1];
        }
        Self { starts, ends, index: index.into(), six }
    }

    /// Of ranges that are in order and do not touch; none when they are otherwise, or too many.
    pub fn of_sorted(
        starts: Box<[u32]>,
        ends: Box<[u32]>,
        six: Box<[(u128, u128)]>,
    ) -> Option<Self> {
        let count = starts.len() + six.len();
        let follow = |at: usize| at == 0 || ends[at - 1].checked_add(1) < Some(starts[at]);
        let is_range = |at: usize| starts[at] <= ends[at] && follow(at) && ends_before(&ends, at);
        let is_sound = starts.len() == ends.len()
            && count <= RANGES_MAX
            && (0..starts.len()).all(is_range)
            && six.iter().all(|(first, last)| first <= last)
            && six
                .windows(2)
                .all(|pair| pair[0].1.checked_add(1).is_some_and(|next| next < pair[1].0));
        is_sound.then(|| Self::indexed(starts, ends, six))
    }

    /// Is this address blocked? One of IPv6 that means one of IPv4 is that.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.has_four(ip.to_bits()),
            IpAddr::V6(ip) => {
                let ip = ip.to_bits();
                let begun = self.six.partition_point(|(first, _)| *first <= ip);
                begun > 0 && self.six[begun - 1].1 >= ip
            }
        }
    }

    fn has_four(&self, ip: u32) -> bool {
        let at = sixteen(ip);
        let (from, to) = (self.index[at] as usize, self.index[at + 1] as usize);
        // The last one that has begun may be of an earlier /16.
        let begun = from + self.starts[from..to].partition_point(|start| *start <= ip);
        begun > 0 && self.ends[begun - 1] >= ip
    }

    /// Ranges that do not touch, of both families.
    pub fn count(&self) -> usize {
        self.starts.len() + self.six.len()
    }

    /// Does it block more than half of all addresses of IPv4?
    pub fn is_broad(&self) -> bool {
        let ranges = self.starts.iter().zip(&self.ends);
        let blocked: u64 = ranges.map(|(start, end)| u64::from(end - start) + 1).sum();
        blocked > 1 << 31
    }

    /// First and last addresses of IPv4's ranges, and IPv6's ranges.
    pub fn parts(&self) -> (&[u32], &[u32], &[(u128, u128)]) {
        (&self.starts, &self.ends, &self.six)
    }

    /// How much memory it takes, in bytes.
    pub fn held_bytes(&self) -> usize {
        let fours = self.starts.len() + self.ends.len() + self.index.len();
        fours * size_of::<u32>() + self.six.len() * size_of::<(u128, u128)>()
    }
}

/// Is the range here not the last that can be, or the last?
fn ends_before(ends: &[u32], at: usize) -> bool {
    ends[at] < u32::MAX || at + 1 == ends.len()
}

fn sixteen(ip: u32) -> usize {
    (ip >> 16) as usize
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn table(ranges: &[Range]) -> Table {
        let mut builder = Builder::default();
        ranges.iter().for_each(|range| builder.add(*range).unwrap());
        builder.table().unwrap()
    }

    fn has(table: &Table, ip: u32) -> bool {
        let is_in = table.contains(Ipv4Addr::from_bits(ip).into());
        let mapped = Ipv4Addr::from_bits(ip).to_ipv6_mapped();
        assert_eq!(table.contains(mapped.into()), is_in, "one address, two ways to write it");
        is_in
    }

    #[test]
    fn the_first_and_the_last_address_are_not_lost() {
        let ends = table(&[Range::Four(0, 0), Range::Four(u32::MAX, u32::MAX)]);
        assert!(
            has(&ends, 0) && !has(&ends, 1) && !has(&ends, u32::MAX - 1) && has(&ends, u32::MAX)
        );
        let all = table(&[Range::Four(1, u32::MAX), Range::Four(0, 7)]);
        assert_eq!(all.count(), 1);
        assert!(has(&all, 0) && has(&all, 1 << 31) && has(&all, u32::MAX) && all.is_broad());
        let last = table(&[Range::Six(u128::MAX, u128::MAX), Range::Six(u128::MAX - 1, u128::MAX)]);
        assert!(last.contains(Ipv6Addr::from_bits(u128::MAX).into()) && last.count() == 1);
    }

    #[test]
    fn half_of_all_addresses_is_not_broad_and_one_more_is() {
        assert!(!table(&[Range::Four(0, (1 << 31) - 1)]).is_broad());
        assert!(
            table(&[Range::Four(0, (1 << 31) - 1), Range::Four(u32::MAX, u32::MAX)]).is_broad()
        );
        assert!(!table(&[Range::Six(0, u128::MAX)]).is_broad());
    }

    #[test]
    fn a_million_ranges_take_nine_megabytes_at_most() {
        let mut builder = Builder::default();
        for number in 0..1_000_000_u32 {
            builder.add(Range::Four(number * 4_000, number * 4_000 + 700)).unwrap();
        }
        let table = builder.table().unwrap();
        assert_eq!(table.count(), 1_000_000);
        assert!(table.held_bytes() <= 9_000_000, "{}", table.held_bytes());
        assert!(has(&table, 999_999 * 4_000 + 700) && !has(&table, 999_999 * 4_000 + 701));
    }

    #[test]
    fn too_many_ranges_are_refused_and_the_same_ones_again_are_none() {
        let mut builder = Builder::default();
        for _ in 0..3 {
            for number in 0..2_000_000_u32 {
                builder.add(Range::Four(number * 3, number * 3)).unwrap();
            }
        }
        let more = (2_000_000..5_000_000_u32)
            .try_for_each(|number| builder.add(Range::Four(number * 3, number * 3)));
        let refused = more.and_then(|()| builder.table().map(|_| ()));
        assert_eq!(refused, Err(TooMany));
    }

    #[test]
    fn what_is_not_in_order_is_no_table() {
        let of = |four: &[(u32, u32)], six: &[(u128, u128)]| {
            let starts = four.iter().map(|range| range.0).collect();
            Table::of_sorted(starts, four.iter().map(|range| range.1).collect(), six.into())
        };
        assert!(of(&[(1, 2), (4, 4), (9, u32::MAX)], &[(1, 1), (3, u128::MAX)]).is_some());
        assert!(of(&[], &[]).is_some());
        for four in [&[(2, 1)][..], &[(1, 2), (3, 4)], &[(4, 5), (1, 2)], &[(0, u32::MAX), (1, 1)]]
        {
            assert!(of(four, &[]).is_none(), "{four:?}");
        }
        for six in [&[(2, 1)][..], &[(1, 2), (3, 4)], &[(4, 5), (1, 2)], &[(0, u128::MAX), (1, 1)]]
        {
            assert!(of(&[], six).is_none(), "{six:?}");
        }
        assert!(Table::of_sorted([1].into(), [].into(), [].into()).is_none());
    }

    /// Close to each other, at both ends, and at the borders of /16s.
    fn ip() -> impl Strategy<Value = u32> {
        let near = |at: u32| (0..6_u32).prop_map(move |more| at.wrapping_add(more).wrapping_sub(3));
        prop_oneof![near(0), near(1 << 16), near(2 << 16), near(77 << 16), 0..400_000_u32]
    }

    proptest! {
        #[test]
        fn lookups_agree_with_looking_at_every_range(
            ranges in prop::collection::vec((ip(), ip()), 0..60),
            asked in prop::collection::vec(ip(), 1..60),
        ) {
            let sorted = |(a, b): &(u32, u32)| (*a.min(b), *a.max(b));
            let ranges: Vec<_> = ranges.iter().map(sorted).collect();
            let wide = |ip: u32| u128::from(ip) << 90 | u128::from(ip);
            let both = ranges.iter().flat_map(|(first, last)| {
                [Range::Four(*first, *last), Range::Six(wide(*first), wide(*last))]
            });
            let table = table(&both.collect::<Vec<_>>());
            let edges = ranges.iter().flat_map(|(first, last)| {
                [*first, *last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for ip in asked.into_iter().chain(edges) {
                let naive = ranges.iter().any(|(first, last)| (*first..=*last).contains(&ip));
                prop_assert_eq!(has(&table, ip), naive, "{}", ip);
                let wide_naive =
                    ranges.iter().any(|(a, b)| (wide(*a)..=wide(*b)).contains(&wide(ip)));
                let v6 = Ipv6Addr::from_bits(wide(ip));
                // Those below that mean IPv4 are looked up there.
                if v6.to_ipv4_mapped().is_none() {
                    prop_assert_eq!(table.contains(v6.into()), wide_naive);
                }
            }
            let (starts, ends, six) = table.parts();
            let again = Table::of_sorted(starts.into(), ends.into(), six.into());
            prop_assert_eq!(again.as_ref(), Some(&table));
        }
    }
}
