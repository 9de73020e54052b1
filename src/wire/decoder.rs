//! A streaming decoder of peer messages. It is fed whatever a read brought and keeps what is
//! incomplete itself, so that one read buffer can serve all links of a thread. The payload
//! of a `piece` message is copied once, into a pooled block; nothing else touches it.
//!
//! Lengths are judged on the prefix, before anything is stored.

use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;

use super::Error;
use super::message::{self as m, Message, Part};

/// The longest message of any type but `bitfield` (limits table).
const MESSAGE_MAX: u32 = 256 * 1024;
/// Length prefix, type, piece and begin: what must be seen before a payload is placed.
const PIECE_HEAD: usize = 13;

/// Decoder of one connection, after its handshake.
#[derive(Debug)]
pub struct Decoder {
    limit: u32,
    state: State,
    /// Length prefix and first bytes of a message, as far as they came.
    head: [u8; PIECE_HEAD],
    head_len: usize,
}

#[derive(Debug)]
enum State {
    /// Collecting length and type, or the whole head of a `piece`.
    Head,
    /// Collecting the payload of a `piece`.
    Payload { piece: u32, begin: u32, left: usize, block: Block },
    /// Collecting the body of a short message; its type is in `head`.
    Body { id: u8, left: usize, body: Vec<u8> },
    /// Passing over the body of an unknown message.
    Skip { id: u8, left: usize },
}

impl Decoder {
    /// A decoder for a torrent of `piece_count` pieces, which bounds its bitfield.
    pub fn new(piece_count: u32) -> Self {
        Self {
            limit: MESSAGE_MAX.max(piece_count.div_ceil(8) + 1),
            state: State::Head,
            head: [0; PIECE_HEAD],
            head_len: 0,
        }
    }

    /// Decodes `bytes`, taking blocks off `spare` for payloads and appending messages to
    /// `out`. Returns how many bytes were used: all of them, unless `spare` ran out.
    ///
    /// # Errors
    /// The peer broke the protocol; nothing after that has a meaning.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        spare: &mut Vec<Block>,
        out: &mut Vec<Message>,
    ) -> Result<usize, Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = rest.len();
            rest = self.step(rest, spare, out)?;
            if rest.len() == before {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn step<'a>(
        &mut self,
        bytes: &'a [u8],
        spare: &mut Vec<Block>,
        out: &mut Vec<Message>,
    ) -> Result<&'a [u8], Error> {
        match &mut self.state {
            State::Head => self.step_head(bytes, spare, out),
            State::Payload { left, block, .. } => {
                let (now, rest) = bytes.split_at((*left).min(bytes.len()));
                block.append(now);
                *left -= now.len();
                if *left == 0 {
                    self.finish(out)?;
                }
                Ok(rest)
            }
            State::Body { left, body, .. } => {
                let (now, rest) = bytes.split_at((*left).min(bytes.len()));
                body.extend_from_slice(now);
                *left -= now.len();
                if *left == 0 {
                    self.finish(out)?;
                }
                Ok(rest)
            }
            State::Skip { left, .. } => {
                let (now, rest) = bytes.split_at((*left).min(bytes.len()));
                *left -= now.len();
                if *left == 0 {
                    self.finish(out)?;
                }
                Ok(rest)
            }
        }
    }

    fn step_head<'a>(
        &mut self,
        bytes: &'a [u8],
        spare: &mut Vec<Block>,
        out: &mut Vec<Message>,
    ) -> Result<&'a [u8], Error> {
        let needed = self.head_needed();
        let (now, rest) = bytes.split_at((needed - self.head_len).min(bytes.len()));
        self.head[self.head_len..self.head_len + now.len()].copy_from_slice(now);
        self.head_len += now.len();
        if self.head_len < needed {
            return Ok(rest);
        }
        let len = be32(&self.head, 0);
        if len > self.limit {
            return Err(Error::TooLong { len, limit: self.limit });
        }
        match needed {
            4 if len == 0 => {
                out.push(Message::KeepAlive);
                self.head_len = 0;
            }
            4 => {}
            5 => self.begin_body(len, out)?,
            _ => {
                let Some(block) = spare.pop() else {
                    // One byte of the head is asked for again when there is a block.
                    self.head_len -= 1;
                    return Ok(&bytes[now.len().saturating_sub(1)..]);
                };
                let left = len as usize - 9;
                let (piece, begin) = (be32(&self.head, 5), be32(&self.head, 9));
                self.state = State::Payload { piece, begin, left, block };
                if left == 0 {
                    self.finish(out)?;
                }
            }
        }
        Ok(rest)
    }

    /// How much of the head must be there before the next decision: the length, then the
    /// type, then for a `piece` its numbers.
    fn head_needed(&self) -> usize {
        match self.head_len {
            0..4 => 4,
            4 => 5,
            _ => PIECE_HEAD,
        }
    }

    fn begin_body(&mut self, len: u32, out: &mut Vec<Message>) -> Result<(), Error> {
        let id = self.head[4];
        let left = len as usize - 1;
        check_len(id, len)?;
        if id == m::PIECE {
            // The rest of the head follows.
            return Ok(());
        }
        self.state = if is_known(id) {
            State::Body { id, left, body: Vec::with_capacity(left) }
        } else {
            State::Skip { id, left }
        };
        if left == 0 {
            self.finish(out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Message>) -> Result<(), Error> {
        self.head_len = 0;
        out.push(match std::mem::replace(&mut self.state, State::Head) {
            State::Head => return Ok(()),
            State::Payload { piece, begin, block, .. } => Message::Piece { piece, begin, block },
            State::Skip { id, .. } => Message::Unknown(id),
            State::Body { id, body, .. } => parse(id, body),
        });
        Ok(())
    }
}

fn is_known(id: u8) -> bool {
    matches!(id, m::CHOKE..=m::PORT | m::SUGGEST..=m::ALLOWED_FAST | m::EXTENDED)
}

/// Judges the length of a message, type byte included, by its type.
fn check_len(id: u8, len: u32) -> Result<(), Error> {
    let (name, fits) = match id {
        m::CHOKE => ("choke", len == 1),
        m::UNCHOKE => ("unchoke", len == 1),
        m::INTERESTED => ("interested", len == 1),
        m::NOT_INTERESTED => ("not interested", len == 1),
        m::HAVE => ("have", len == 5),
        m::REQUEST => ("request", len == 13),
        m::PIECE => ("piece", (9..=9 + BLOCK_LEN as u32).contains(&len)),
        m::CANCEL => ("cancel", len == 13),
        m::PORT => ("port", len == 3),
        m::SUGGEST => ("suggest piece", len == 5),
        m::HAVE_ALL => ("have all", len == 1),
        m::HAVE_NONE => ("have none", len == 1),
        m::REJECT => ("reject", len == 13),
        m::ALLOWED_FAST => ("allowed fast", len == 5),
        m::EXTENDED => ("extended", len >= 2),
        // A bitfield is judged by the link, which knows the torrent.
        _ => ("", true),
    };
    if fits { Ok(()) } else { Err(Error::BadLength { name, len }) }
}

/// A short message whose length was judged before.
fn parse(id: u8, mut body: Vec<u8>) -> Message {
    let number = |at| be32(&body, at);
    let part = || Part { piece: be32(&body, 0), begin: be32(&body, 4), len: be32(&body, 8) };
    match id {
        m::CHOKE => Message::Choke,
        m::UNCHOKE => Message::Unchoke,
        m::INTERESTED => Message::Interested,
        m::NOT_INTERESTED => Message::NotInterested,
        m::HAVE => Message::Have(number(0)),
        m::BITFIELD => Message::Bitfield(body),
        m::REQUEST => Message::Request(part()),
        m::CANCEL => Message::Cancel(part()),
        m::PORT => Message::Port(body.first_chunk().map_or(0, |port| u16::from_be_bytes(*port))),
        m::SUGGEST => Message::Suggest(number(0)),
        m::HAVE_ALL => Message::HaveAll,
        m::HAVE_NONE => Message::HaveNone,
        m::REJECT => Message::Reject(part()),
        m::ALLOWED_FAST => Message::AllowedFast(number(0)),
        m::EXTENDED if !body.is_empty() => {
            let extended = body.remove(0);
            Message::Extended(extended, body)
        }
        _ => Message::Unknown(id),
    }
}

/// The integer at `at`; zero beyond the end, which judged lengths exclude.
fn be32(bytes: &[u8], at: usize) -> u32 {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pool::BlockPool;
    use proptest::prelude::*;

    fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, Error> {
        let pool = BlockPool::new(64 * BLOCK_LEN);
        let (mut spare, mut out) = (Vec::new(), Vec::new());
        pool.take(32, &mut spare);
        let mut decoder = Decoder::new(100);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            let part = &bytes[pair[0]..pair[1]];
            assert_eq!(decoder.feed(part, &mut spare, &mut out)?, part.len());
        }
        Ok(out.iter().map(show).collect())
    }

    fn show(message: &Message) -> String {
        match message {
            Message::Piece { piece, begin, block } => {
                format!("Piece {piece} {begin} {:?}", block.bytes())
            }
            other => format!("{other:?}"),
        }
    }

    /// Written by hand from BEPs 3, 5, 6 and 10, so that our encoder is no witness.
    const ALL: &[(&[u8], &str)] = &[
        (&[0, 0, 0, 0], "KeepAlive"),
        (&[0, 0, 0, 1, 0], "Choke"),
        (&[0, 0, 0, 1, 1], "Unchoke"),
        (&[0, 0, 0, 1, 2], "Interested"),
        (&[0, 0, 0, 1, 3], "NotInterested"),
        (&[0, 0, 0, 5, 4, 0, 0, 1, 2], "Have(258)"),
        (&[0, 0, 0, 3, 5, 0xf0, 1], "Bitfield([240, 1])"),
        (
            &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x40, 0],
            "Request(Part { piece: 1, begin: 16384, len: 16384 })",
        ),
        (&[0, 0, 0, 11, 7, 0, 0, 0, 2, 0, 0, 0x40, 0, 8, 9], "Piece 2 16384 [8, 9]"),
        (&[0, 0, 0, 9, 7, 0, 0, 0, 2, 0, 0, 0, 0], "Piece 2 0 []"),
        (
            &[0, 0, 0, 13, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
            "Cancel(Part { piece: 1, begin: 0, len: 7 })",
        ),
        (&[0, 0, 0, 3, 9, 0x1a, 0xe1], "Port(6881)"),
        (&[0, 0, 0, 5, 13, 0, 0, 0, 3], "Suggest(3)"),
        (&[0, 0, 0, 1, 14], "HaveAll"),
        (&[0, 0, 0, 1, 15], "HaveNone"),
        (
            &[0, 0, 0, 13, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
            "Reject(Part { piece: 1, begin: 0, len: 7 })",
        ),
        (&[0, 0, 0, 5, 17, 0, 0, 0, 3], "AllowedFast(3)"),
        (&[0, 0, 0, 4, 20, 0, b'd', b'e'], "Extended(0, [100, 101])"),
        (&[0, 0, 0, 3, 99, 1, 2], "Unknown(99)"),
        (&[0, 0, 0, 1, 21], "Unknown(21)"),
    ];

    #[test]
    fn every_message_reads_as_its_bep_says() {
        for (bytes, shown) in ALL {
            assert_eq!(decode(bytes, &[]).unwrap(), [*shown]);
        }
    }

    #[test]
    fn what_we_write_is_what_the_bep_says() {
        for (bytes, _) in ALL.iter().filter(|(bytes, _)| bytes.get(4) != Some(&99)) {
            let pool = BlockPool::new(BLOCK_LEN);
            let (mut spare, mut out, mut written) = (Vec::new(), Vec::new(), Vec::new());
            pool.take(1, &mut spare);
            Decoder::new(100).feed(bytes, &mut spare, &mut out).unwrap();
            out[0].encode(&mut written);
            assert_eq!(written, *bytes);
        }
    }

    #[test]
    fn lengths_are_refused_on_the_prefix() {
        let long = decode(&[0, 4, 0, 1], &[]);
        assert_eq!(long, Err(Error::TooLong { len: 0x4_0001, limit: MESSAGE_MAX }));
        assert!(decode(&[0xff; 4], &[]).is_err());
        let piece = decode(&[0, 0, 0x40, 10, 7], &[]);
        assert_eq!(piece, Err(Error::BadLength { name: "piece", len: 16394 }));
        for (id, len) in [(0, 2), (1, 5), (4, 4), (6, 12), (7, 8), (9, 4), (14, 2), (20, 1)] {
            assert!(decode(&[0, 0, 0, len, id], &[]).is_err(), "type {id} of length {len}");
        }
    }

    #[test]
    fn a_bitfield_of_the_largest_torrent_fits() {
        let count = crate::base::layout::PIECES_MAX;
        let mut bytes = Vec::new();
        Message::Bitfield(vec![1; count as usize / 8]).encode(&mut bytes);
        let (mut spare, mut out) = (Vec::new(), Vec::new());
        let mut decoder = Decoder::new(count);
        assert_eq!(decoder.feed(&bytes, &mut spare, &mut out), Ok(bytes.len()));
        assert!(matches!(&out[..], [Message::Bitfield(bits)] if bits.len() == 262_144));
    }

    #[test]
    fn without_a_spare_block_it_waits_and_loses_nothing() {
        let bytes = ALL[8].0;
        let pool = BlockPool::new(BLOCK_LEN);
        for cut in 0..bytes.len() {
            let (mut spare, mut out) = (Vec::new(), Vec::new());
            let mut decoder = Decoder::new(100);
            let mut used = decoder.feed(&bytes[..cut], &mut spare, &mut out).unwrap();
            used += decoder.feed(&bytes[used..], &mut spare, &mut out).unwrap();
            assert!(out.is_empty() && used < bytes.len());
            pool.take(1, &mut spare);
            used += decoder.feed(&bytes[used..], &mut spare, &mut out).unwrap();
            assert_eq!((used, show(&out[0]).as_str()), (bytes.len(), ALL[8].1));
        }
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_messages(
            picks in proptest::collection::vec(0..ALL.len(), 1..20),
            cuts in proptest::collection::vec(any::<usize>(), 0..30),
        ) {
            let bytes: Vec<u8> = picks.iter().flat_map(|pick| ALL[*pick].0).copied().collect();
            let shown: Vec<_> = picks.iter().map(|pick| ALL[*pick].1).collect();
            prop_assert_eq!(decode(&bytes, &cuts).unwrap(), shown);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(any::<usize>(), 0..5),
        ) {
            let _ = decode(&bytes, &cuts);
        }
    }
}
