//! Who sent wrong data. A piece whose blocks all came from one end convicts it at once.
//! Otherwise the block hashes of the failed piece are kept until the piece is right; the
//! blocks that differ then name the liars, and nobody else is ever blamed.

use std::collections::BTreeMap;

use crate::base::layout::PieceIndex;
use crate::swarm::event::BlockHashes;
use crate::swarm::link::Endpoint;

/// Failed attempts that are kept for one piece.
const ATTEMPTS_MAX: usize = 4;
/// Pieces under suspicion at most; beyond that evidence of others is dropped.
const PIECES_MAX: usize = 256;
/// Blocks of which hash and sender are kept in all attempts together, 52 bytes each: 3.4 MB. One
/// attempt at the longest piece has half as many.
const BLOCKS_MAX: usize = 65_536;

#[derive(Debug)]
struct Attempt {
    hashes: BlockHashes,
    senders: Vec<Option<Endpoint>>,
}

/// The evidence of one torrent.
#[derive(Debug, Default)]
pub struct Suspects {
    attempts: BTreeMap<PieceIndex, Evidence>,
}

#[derive(Debug, Default)]
struct Evidence {
    failures: u32,
    attempts: Vec<Attempt>,
}

impl Suspects {
    /// Has this piece failed before? Then it is fetched from one peer alone, and its block
    /// hashes are wanted.
    pub fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// How often the piece failed with more than one sender.
    pub fn failures(&self, piece: PieceIndex) -> u32 {
        self.attempts.get(&piece).map_or(0, |evidence| evidence.failures)
    }

    /// A piece failed. Returns who is guilty beyond doubt: the only sender.
    pub fn failed(
        &mut self,
        piece: PieceIndex,
        hashes: BlockHashes,
        senders: Vec<Option<Endpoint>>,
    ) -> Option<Endpoint> {
        let mut known = senders.iter().flatten();
        let first = known.next().copied();
        if known.all(|sender| Some(*sender) == first) {
            return first;
        }
        if self.attempts.len() >= PIECES_MAX && !self.attempts.contains_key(&piece) {
            self.attempts.pop_first();
        }
        let is_over = |kept: &Self| kept.blocks() + hashes.len() > BLOCKS_MAX;
        while is_over(self)
            && let Some(other) = self.attempts.keys().find(|other| **other != piece).copied()
        {
            self.attempts.remove(&other);
        }
        let fits = !is_over(self);
        let evidence = self.attempts.entry(piece).or_default();
        evidence.failures = evidence.failures.saturating_add(1);
        if evidence.attempts.len() < ATTEMPTS_MAX && fits {
            evidence.attempts.push(Attempt { hashes, senders });
        }
        None
    }

    /// Blocks of which something is kept.
    fn blocks(&self) -> usize {
        let attempts = self.attempts.values().flat_map(|evidence| &evidence.attempts);
        attempts.map(|attempt| attempt.hashes.len()).sum()
    }

    /// A piece is right; `hashes` are those of its blocks. Returns those who sent
    /// other bytes before.
    pub fn passed(&mut self, piece: PieceIndex, hashes: Option<&BlockHashes>) -> Vec<Endpoint> {
        let Some(evidence) = self.attempts.remove(&piece) else { return Vec::new() };
        let Some(hashes) = hashes else { return Vec::new() };
        let mut liars: Vec<Endpoint> = evidence
            .attempts
            .iter()
            .flat_map(|attempt| attempt.hashes.iter().zip(hashes).zip(&attempt.senders))
            .filter(|((sent, right), _)| sent != right)
            .filter_map(|(_, sender)| *sender)
            .collect();
        liars.sort_unstable();
        liars.dedup();
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;

    fn piece() -> PieceIndex {
        Layout::new(10, 10).unwrap().piece(0).unwrap()
    }

    fn peer(host: u8) -> Option<Endpoint> {
        Some(Endpoint::Peer(([192, 0, 2, host], 1).into()))
    }

    #[test]
    fn the_only_sender_is_guilty_at_once() {
        let mut suspects = Suspects::default();
        let senders = vec![peer(1), None, peer(1)];
        assert_eq!(suspects.failed(piece(), vec![[0; 20]; 3], senders), peer(1));
        assert!(!suspects.is_suspect(piece()));
    }

    #[test]
    fn of_many_senders_only_those_whose_blocks_differ_are_guilty() {
        let mut suspects = Suspects::default();
        let sent = vec![[1; 20], [2; 20], [3; 20], [4; 20]];
        let senders = vec![peer(1), peer(2), peer(3), peer(2)];
        assert_eq!(suspects.failed(piece(), sent, senders), None);
        assert!(suspects.is_suspect(piece()));
        let right = vec![[1; 20], [9; 20], [3; 20], [4; 20]];
        let liars = suspects.passed(piece(), Some(&right));
        assert_eq!(liars, [peer(2).unwrap()]);
        assert!(!suspects.is_suspect(piece()));
    }

    /// Two pieces of 512 MiB fill what may be kept: a third one takes the place of others.
    #[test]
    fn evidence_is_bounded_by_blocks_not_by_pieces() {
        let layout = Layout::new(4 << 29, 1 << 29).unwrap();
        let mut suspects = Suspects::default();
        let blocks = (1 << 29) / 16384;
        for piece in layout.pieces().take(3) {
            let mut senders = vec![peer(1); blocks];
            senders[0] = peer(2);
            assert_eq!(suspects.failed(piece, vec![[7; 20]; blocks], senders), None);
            assert!(suspects.is_suspect(piece) && suspects.blocks() <= BLOCKS_MAX);
        }
        assert!(!suspects.is_suspect(layout.piece(0).unwrap()));
    }
}
