//! Swarms in the order of their size, kept as they change: one list for each size, so that a
//! peer more or less moves a swarm to the next list. Not here: what a swarm is.

/// No swarm.
const NONE: u32 = u32::MAX;

/// The order. A swarm that nobody is in has no place in it.
#[derive(Default)]
pub(super) struct Ranks {
    /// The first swarm of each size, the empty ones among them.
    heads: Vec<u32>,
    places: Vec<Place>,
}

/// Where a swarm stands.
#[derive(Clone, Copy)]
struct Place {
    size: u32,
    before: u32,
    after: u32,
}

impl Ranks {
    /// Bytes that are allocated.
    pub fn allocated(&self) -> usize {
        self.heads.capacity() * size_of::<u32>() + self.places.capacity() * size_of::<Place>()
    }

    /// How large a swarm is now.
    pub fn set(&mut self, swarm: u32, size: usize) {
        let (at, size) = (swarm as usize, size as u32);
        if self.places.len() <= at {
            self.places.resize(at + 1, Place { size: 0, before: NONE, after: NONE });
        }
        if self.places[at].size == size {
            return;
        }
        self.take_out(swarm);
        if self.heads.len() <= size as usize {
            self.heads.resize(size as usize + 1, NONE);
        }
        self.places[at].size = size;
        if size == 0 {
            return;
        }
        let after = std::mem::replace(&mut self.heads[size as usize], swarm);
        self.places[at] = Place { size, before: NONE, after };
        if after != NONE {
            self.places[after as usize].before = swarm;
        }
    }

    /// The swarms that somebody is in, the largest first.
    pub fn largest_first(&self) -> impl Iterator<Item = u32> + '_ {
        let known = |swarm: u32| (swarm != NONE).then_some(swarm);
        self.heads.iter().rev().flat_map(move |head| {
            std::iter::successors(known(*head), move |swarm| {
                known(self.places[*swarm as usize].after)
            })
        })
    }

    fn take_out(&mut self, swarm: u32) {
        let Place { size, before, after } = self.places[swarm as usize];
        if size == 0 {
            return;
        }
        match before {
            NONE => self.heads[size as usize] = after,
            _ => self.places[before as usize].after = after,
        }
        if after != NONE {
            self.places[after as usize].before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_sizes(
            acts in proptest::collection::vec((0..20_u32, 0..9_usize), 1..200),
        ) {
            let (mut ranks, mut sizes) = (Ranks::default(), [0; 20]);
            for (swarm, size) in acts {
                ranks.set(swarm, size);
                sizes[swarm as usize] = size;
                let ranked: Vec<u32> = ranks.largest_first().collect();
                let listed = ranked.iter().map(|swarm| sizes[*swarm as usize]);
                prop_assert!(listed.is_sorted_by(|a, b| a >= b), "{ranked:?} of {sizes:?}");
                let mut known = ranked.clone();
                known.sort_unstable();
                known.dedup();
                prop_assert_eq!(known.len(), ranked.len(), "none twice");
                prop_assert_eq!(known.len(), sizes.iter().filter(|size| **size > 0).count());
            }
        }
    }
}
