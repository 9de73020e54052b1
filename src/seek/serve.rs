//! Metadata for peers that ask (BEP 9), piece by piece: in turn, no more at a time than what
//! fills a line, and a refusal for everything else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::wire::{METADATA_PIECE_LEN, metadata_piece_count, metadata_piece_len};

/// Pieces that a peer may wait for at a time, as at Transmission.
const QUEUED_MAX: usize = 64;
/// Bytes handed to one link that have not left (libtorrent's limit).
const UNDERWAY_MAX: usize = 160 * 1024;
/// The same of all links.
const UNDERWAY_ALL_MAX: usize = 2 * 1024 * 1024;
/// How often a peer may have the whole: "Typically the number of pieces of metadata times a
/// factor".
const TIMES_MAX: u32 = 4;

/// What to send, from [`Serve::poll_output`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Served<P> {
    /// A piece of the metadata; tell [`Serve::sent`] when it has left.
    Data {
        /// To whom.
        peer: P,
        /// Its number.
        piece: u32,
        /// Where it lies in the metadata.
        range: Range<usize>,
    },
    /// That a piece will not come.
    Reject {
        /// To whom.
        peer: P,
        /// Its number.
        piece: u32,
    },
}

#[derive(Debug, Default)]
struct Guest {
    queued: VecDeque<u32>,
    underway: usize,
    /// Pieces that it was given.
    had: u32,
}

/// Answers all peers of one torrent. Whose requests are not to be answered, of a private torrent
/// say, is for others to know.
#[derive(Debug)]
pub struct Serve<P> {
    metadata: Option<Arc<[u8]>>,
    guests: BTreeMap<P, Guest>,
    underway: usize,
    /// Who was served last: the next one is behind it.
    last: Option<P>,
    outputs: VecDeque<Served<P>>,
}

impl<P: Copy + Ord + Debug> Serve<P> {
    /// One that knows the metadata, or does not yet.
    pub fn new(metadata: Option<Arc<[u8]>>) -> Self {
        let (guests, outputs) = (BTreeMap::new(), VecDeque::new());
        Self { metadata, guests, underway: 0, last: None, outputs }
    }

    /// It is known now: from now on pieces are given.
    pub fn know(&mut self, metadata: Arc<[u8]>) {
        self.metadata = Some(metadata);
    }

    /// The metadata, of which [`Served::Data`] names parts.
    pub fn metadata(&self) -> Option<&Arc<[u8]>> {
        self.metadata.as_ref()
    }

    /// A peer asks for a piece. "Peers that do not have the entire metadata MUST respond with a
    /// reject message to any metadata request."
    pub fn requested(&mut self, peer: P, piece: u32) {
        let len = self.len();
        let most = metadata_piece_count(len).saturating_mul(TIMES_MAX);
        let exists = metadata_piece_len(len, piece).is_some();
        let guest = self.guests.entry(peer).or_default();
        let waits = u32::try_from(guest.queued.len()).unwrap_or(u32::MAX);
        let has_had_enough = guest.had.saturating_add(waits) >= most;
        if !exists || has_had_enough || guest.queued.len() >= QUEUED_MAX {
            self.outputs.push_back(Served::Reject { peer, piece });
        } else {
            guest.queued.push_back(piece);
            self.serve();
        }
    }

    /// So many bytes of pieces have left for a peer.
    pub fn sent(&mut self, peer: P, bytes: usize) {
        let Some(guest) = self.guests.get_mut(&peer) else { return };
        let bytes = bytes.min(guest.underway);
        guest.underway -= bytes;
        self.underway -= bytes;
        self.serve();
    }

    /// A peer is gone, and what it waited for with it.
    pub fn gone(&mut self, peer: P) {
        self.outputs.retain(|output| match output {
            Served::Data { peer: to, .. } | Served::Reject { peer: to, .. } => *to != peer,
        });
        if let Some(guest) = self.guests.remove(&peer) {
            self.underway -= guest.underway;
            self.serve();
        }
    }

    /// The next message to send.
    pub fn poll_output(&mut self) -> Option<Served<P>> {
        self.outputs.pop_front()
    }

    fn len(&self) -> u32 {
        let len = self.metadata.as_ref().map_or(0, |metadata| metadata.len());
        u32::try_from(len).unwrap_or(0)
    }

    /// One piece for each in turn, as long as there is room.
    fn serve(&mut self) {
        while let Some(peer) = self.next() {
            self.last = Some(peer);
            let len = self.len();
            let Some(guest) = self.guests.get_mut(&peer) else { return };
            let Some(piece) = guest.queued.pop_front() else { return };
            let bytes = metadata_piece_len(len, piece).unwrap_or(0) as usize;
            guest.had += 1;
            guest.underway += bytes;
            self.underway += bytes;
            let begin = piece as usize * METADATA_PIECE_LEN as usize;
            self.outputs.push_back(Served::Data { peer, piece, range: begin..begin + bytes });
        }
    }

    fn next(&self) -> Option<P> {
        let piece_len = METADATA_PIECE_LEN as usize;
        if self.underway + piece_len > UNDERWAY_ALL_MAX {
            return None;
        }
        let has_room = |guest: &Guest| guest.underway + piece_len <= UNDERWAY_MAX;
        let mut ready = self.guests.iter().filter(|(_, it)| !it.queued.is_empty() && has_room(it));
        let mut behind = ready.clone().filter(|(peer, _)| self.last.is_none_or(|it| **peer > it));
        behind.next().or_else(|| ready.next()).map(|(peer, _)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(serve: &mut Serve<u8>) -> Vec<Served<u8>> {
        std::iter::from_fn(|| serve.poll_output()).collect()
    }

    fn numbers(said: &[Served<u8>]) -> (Vec<u32>, Vec<u32>) {
        let (mut data, mut rejects) = (Vec::new(), Vec::new());
        for it in said {
            match it {
                Served::Data { piece, .. } => data.push(*piece),
                Served::Reject { piece, .. } => rejects.push(*piece),
            }
        }
        (data, rejects)
    }

    fn metadata(len: usize) -> Option<Arc<[u8]>> {
        Some(vec![7; len].into())
    }

    #[test]
    fn pieces_that_exist_are_given_and_others_refused() {
        let mut serve = Serve::new(metadata(16_384 + 100));
        [0, 1, 2, u32::MAX].into_iter().for_each(|piece| serve.requested(1, piece));
        assert_eq!(
            drain(&mut serve),
            [
                Served::Data { peer: 1, piece: 0, range: 0..16_384 },
                Served::Data { peer: 1, piece: 1, range: 16_384..16_484 },
                Served::Reject { peer: 1, piece: 2 },
                Served::Reject { peer: 1, piece: u32::MAX },
            ]
        );
    }

    #[test]
    fn everything_is_refused_while_it_is_unknown() {
        let mut serve = Serve::new(None);
        serve.requested(1, 0);
        assert_eq!(drain(&mut serve), [Served::Reject { peer: 1, piece: 0 }]);
        serve.know(vec![1, 2, 3].into());
        serve.requested(1, 0);
        assert_eq!(drain(&mut serve), [Served::Data { peer: 1, piece: 0, range: 0..3 }]);
    }

    #[test]
    fn ten_pieces_are_underway_and_64_wait() {
        let mut serve = Serve::new(metadata(100 * 16_384));
        (0..100).for_each(|piece| serve.requested(1, piece));
        let (data, rejects) = numbers(&drain(&mut serve));
        assert_eq!(data, (0..10).collect::<Vec<_>>(), "160 KiB");
        assert_eq!(rejects, (74..100).collect::<Vec<_>>());
        serve.sent(1, 2 * 16_384);
        assert_eq!(numbers(&drain(&mut serve)).0, [10, 11]);
        // More than was underway is not believed.
        serve.sent(1, usize::MAX);
        assert_eq!(numbers(&drain(&mut serve)).0.len(), 10);
    }

    #[test]
    fn peers_are_served_in_turn_and_all_together_within_2_mib() {
        let mut serve = Serve::new(metadata(30 * 16_384));
        for peer in 0..20 {
            (0..30).for_each(|piece| serve.requested(peer, piece));
        }
        assert_eq!(drain(&mut serve).len(), 128);
        // Whoever came last is served as soon as there is room, before the first ones again.
        serve.sent(0, 16_384);
        let next = |serve: &mut Serve<u8>| match serve.poll_output() {
            Some(Served::Data { peer, .. }) => peer,
            other => panic!("{other:?}"),
        };
        assert_eq!(next(&mut serve), 13);
        serve.sent(0, 16_384);
        assert_eq!(next(&mut serve), 14);
        serve.gone(1);
        assert_eq!(drain(&mut serve).len(), 10, "what one had underway is free");
    }

    #[test]
    fn nobody_has_it_more_than_four_times() {
        let mut serve = Serve::new(metadata(10));
        let mut given = 0;
        for _ in 0..10 {
            serve.requested(1, 0);
            given += numbers(&drain(&mut serve)).0.len();
            serve.sent(1, 10);
        }
        assert_eq!(given, 4);
    }

    #[test]
    fn nothing_is_said_to_who_is_gone() {
        let mut serve = Serve::new(metadata(10));
        serve.requested(1, 0);
        serve.requested(1, 5);
        serve.gone(1);
        assert_eq!(drain(&mut serve), []);
        serve.sent(1, 10);
        serve.requested(1, 0);
        assert_eq!(drain(&mut serve).len(), 1, "another link of the same name begins anew");
    }
}
