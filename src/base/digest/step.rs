//! SHA-1 of several long messages that come slice by slice, all of them equally far: the lanes
//! stay full though only a little of each message is in memory. Not for messages of unlike
//! lengths, but for their ends.

use super::algorithm::SHA1;
use super::message::Job;
use super::{Sha1Hash, bytes, states};

/// Bytes of a block: slices but the last are multiples of it.
pub const STEP_ALIGN: usize = 64;

/// The state of messages that go in step.
#[derive(Clone, Debug)]
pub struct Sha1InStep {
    states: Vec<[u32; 5]>,
    /// Bytes of each message until now.
    len: u64,
}

impl Sha1InStep {
    /// So many messages, at their start.
    pub fn new(count: usize) -> Self {
        Self { states: vec![SHA1.start; count], len: 0 }
    }

    /// Takes the next slice of each message.
    ///
    /// # Panics
    /// When there is not one slice a message, or they are not equally long multiples of 64
    /// bytes: the caller cuts them.
    pub fn update(&mut self, slices: &[&[u8]]) {
        assert_eq!(slices.len(), self.states.len(), "a slice for each message");
        let len = slices.first().map_or(0, |slice| slice.len());
        let fits = len.is_multiple_of(STEP_ALIGN) && slices.iter().all(|slice| slice.len() == len);
        assert!(fits, "slices that go in step");
        self.states = self.advance(slices, true);
        self.len += len as u64;
    }

    /// Takes the rest of each message, of any lengths, and tells the hashes in their order.
    ///
    /// # Panics
    /// When there is not one rest a message.
    pub fn finish(self, rests: &[&[u8]]) -> Vec<Sha1Hash> {
        assert_eq!(rests.len(), self.states.len(), "a rest for each message");
        self.advance(rests, false).into_iter().map(bytes).collect()
    }

    fn advance(&self, parts: &[&[u8]], more: bool) -> Vec<[u32; 5]> {
        let messages = parts.iter().zip(&self.states).enumerate();
        let jobs = messages.map(|(index, (part, state))| {
            Job::behind(index, *state, std::slice::from_ref(part), self.len, more)
        });
        states(&SHA1, SHA1.plan(), jobs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::sha1;

    fn message(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 + at / 253 + seed * 97) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn in_step_as_one_by_one(
            count in 1..20usize,
            blocks in prop::collection::vec(0..5usize, 0..5),
            rests in prop::collection::vec(0..200usize, 20),
        ) {
            let common: usize = blocks.iter().sum::<usize>() * STEP_ALIGN;
            let messages: Vec<_> =
                (0..count).map(|number| message(common + rests[number], number)).collect();
            let mut hashing = Sha1InStep::new(count);
            let mut at = 0;
            for len in blocks.iter().map(|count| count * STEP_ALIGN) {
                let slices: Vec<&[u8]> =
                    messages.iter().map(|message| &message[at..at + len]).collect();
                hashing.update(&slices);
                at += len;
            }
            let rests: Vec<&[u8]> = messages.iter().map(|message| &message[at..]).collect();
            let expected: Vec<_> = messages.iter().map(|message| sha1(&[message])).collect();
            prop_assert_eq!(hashing.finish(&rests), expected);
        }
    }
}
