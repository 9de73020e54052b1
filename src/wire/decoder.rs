//! A streaming decoder: bytes in any portions go in, whole messages come out. What is
//! incomplete is kept here and not in the read buffer, so that one buffer serves all links
//! of a thread; data is copied once, from that buffer into a pooled block. Not here: whether
//! a message makes sense.

use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;

use super::{Error, Message, Request};

/// The longest message body with its id, unless the bitfield alone is longer.
pub const BODY_MAX: u32 = 256 * 1024;
/// The longest bitfield while the metadata is sought: of two million pieces.
pub const BITFIELD_UNKNOWN_MAX: usize = 256 * 1024;
/// The longest extended message with its own id: a piece of metadata (16 KiB, BEP 9) and its
/// dictionary, twice. Handshakes (BEP 10) have some hundred bytes.
pub const EXTENDED_MAX: usize = 32 * 1024;
/// The longest message that is collected without leave: sets of 8,192 pieces, and any extension
/// handshake that is not padded.
pub const COLLECT_OWN: usize = 1024;
/// A message that is collected has so much more memory than has come, at most.
const GROWTH: usize = 4 * 1024;

/// Prefix, id and the longest fixed body (`request`).
const HEAD_MAX: usize = 17;
const PREFIX_LEN: usize = 4;
const ID_LEN: usize = 5;
/// Prefix, id, piece and begin of a `piece` message.
const PIECE_HEAD_LEN: usize = 13;

/// The decoder of one link.
#[derive(Debug)]
pub struct Decoder {
    /// None while nobody knows: any length within the limit.
    bitfield_len: Option<usize>,
    body_max: u32,
    /// The message's first bytes; `filled` of `need` are there.
    head: [u8; HEAD_MAX],
    filled: usize,
    need: usize,
    body: Body,
    /// The message at hand may be collected though it is long.
    granted: bool,
}

/// What must be given before the next bytes can be taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// An empty block.
    Block,
    /// Leave to collect a message of so many bytes.
    Room(usize),
}

/// What comes after the head.
#[derive(Debug)]
enum Body {
    /// The head itself is still coming.
    Head,
    /// A bitfield or an extended payload.
    Long { left: usize, bytes: Vec<u8> },
    /// Data of a piece.
    Data { left: usize, block: Block },
    /// Something unknown.
    Skip { left: usize },
}

impl Decoder {
    /// For a torrent whose bitfields have `bitfield_len` bytes; none while that is not known.
    pub fn new(bitfield_len: Option<usize>) -> Self {
        let bitfield = bitfield_len.unwrap_or(BITFIELD_UNKNOWN_MAX);
        let bitfield = u32::try_from(bitfield).unwrap_or(BODY_MAX).saturating_add(1);
        Self {
            bitfield_len,
            body_max: bitfield.max(BODY_MAX),
            head: [0; HEAD_MAX],
            filled: 0,
            need: PREFIX_LEN,
            body: Body::Head,
            granted: false,
        }
    }

    /// Takes in `bytes` and appends the messages they complete to `out`; `blocks` are empty
    /// blocks to fill. Returns how many bytes were used: all of them, unless something is
    /// [needed](Self::need); then the rest is to be given again with it.
    ///
    /// # Errors
    /// What breaks the protocol. Messages before it are in `out`; the link is of no more use.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        out: &mut Vec<Message>,
    ) -> Result<usize, Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.body {
                Body::Head => {
                    let part = cut(&mut rest, self.need - self.filled);
                    self.head[self.filled..self.filled + part.len()].copy_from_slice(part);
                    self.filled += part.len();
                    if self.filled == self.need && !self.on_head(blocks, out)? {
                        break;
                    }
                }
                Body::Long { left, bytes } => {
                    let part = cut(&mut rest, *left);
                    if bytes.capacity() - bytes.len() < part.len() {
                        bytes.reserve_exact(part.len().max(GROWTH.min(*left)));
                    }
                    *left -= part.len();
                    bytes.extend_from_slice(part);
                    if *left == 0 {
                        let bytes = std::mem::take(bytes);
                        self.finish(self.long(bytes), out);
                    }
                }
                Body::Data { left, block } => {
                    let part = cut(&mut rest, *left);
                    *left -= part.len();
                    block.append(part);
                    if *left == 0 {
                        self.finish_data(out);
                    }
                }
                Body::Skip { left } => {
                    *left -= cut(&mut rest, *left).len();
                    if *left == 0 {
                        self.restart();
                    }
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Bytes that the message at hand still lacks, when they need nothing that is not here.
    pub fn body_left(&self) -> usize {
        match &self.body {
            Body::Data { left, .. } | Body::Long { left, .. } | Body::Skip { left } => *left,
            Body::Head => 0,
        }
    }

    /// What the next bytes need.
    pub fn need(&self) -> Need {
        match (&self.body, self.head[PREFIX_LEN]) {
            (Body::Head, _) if self.filled < self.need => Need::Nothing,
            (Body::Head, 7) => Need::Block,
            (Body::Head, _) if !self.granted => Need::Room(self.len_after(self.filled)),
            _ => Need::Nothing,
        }
    }

    /// The long message at hand may be collected.
    pub fn grant(&mut self) {
        self.granted = true;
    }

    /// Is a message collected for which leave was given?
    pub fn is_collecting(&self) -> bool {
        self.granted
    }

    /// Does a block come that has begun?
    pub fn is_filling(&self) -> bool {
        matches!(self.body, Body::Data { .. })
    }

    /// The head has as many bytes as were needed: goes on from there. False when a block is
    /// needed and there is none, or leave.
    fn on_head(&mut self, blocks: &mut Vec<Block>, out: &mut Vec<Message>) -> Result<bool, Error> {
        match (self.filled, self.head[PREFIX_LEN]) {
            (PREFIX_LEN, _) => self.on_prefix(out)?,
            (ID_LEN, id) => return self.on_id(id, out),
            (PIECE_HEAD_LEN, 7) => {
                let Some(block) = blocks.pop() else { return Ok(false) };
                self.body = Body::Data { left: self.len_after(PIECE_HEAD_LEN), block };
            }
            (_, 20) => return Ok(self.begin_long(out)),
            _ => self.finish(self.fixed(), out),
        }
        Ok(true)
    }

    fn on_prefix(&mut self, out: &mut Vec<Message>) -> Result<(), Error> {
        match self.word(0) {
            0 => self.finish(Message::KeepAlive, out),
            len if len > self.body_max => {
                return Err(Error::TooLong { len, limit: self.body_max });
            }
            _ => self.need = ID_LEN,
        }
        Ok(())
    }

    /// The length of every known message is checked here, before any of its body is kept.
    fn on_id(&mut self, id: u8, out: &mut Vec<Message>) -> Result<bool, Error> {
        let len = self.len_after(ID_LEN);
        let (fits, head_len) = match id {
            0..=3 | 14 | 15 => (len == 0, 0),
            9 => (len == 2, 2),
            4 | 13 | 17 => (len == 4, 4),
            6 | 8 | 16 => (len == 12, 12),
            5 => (self.bitfield_len.map_or(len <= BITFIELD_UNKNOWN_MAX, |it| len == it), 0),
            7 => ((9..=8 + BLOCK_LEN).contains(&len), 8),
            20 => ((1..=EXTENDED_MAX).contains(&len), 1),
            _ => {
                out.push(Message::Unknown { id, len: self.word(0) - 1 });
                self.body = Body::Skip { left: len };
                if len == 0 {
                    self.restart();
                }
                return Ok(true);
            }
        };
        if !fits {
            return Err(Error::BodyLength { id, len: self.word(0) - 1 });
        }
        match (id, head_len) {
            (5, _) => return Ok(self.begin_long(out)),
            (_, 0) => self.finish(self.fixed(), out),
            _ => self.need = ID_LEN + head_len,
        }
        Ok(true)
    }

    /// False when it is so long that it needs leave.
    fn begin_long(&mut self, out: &mut Vec<Message>) -> bool {
        let left = self.len_after(self.filled);
        if left > COLLECT_OWN && !self.granted {
            return false;
        }
        if left == 0 {
            self.finish(self.long(Vec::new()), out);
        } else {
            self.body = Body::Long { left, bytes: Vec::new() };
        }
        true
    }

    fn long(&self, bytes: Vec<u8>) -> Message {
        match self.head[PREFIX_LEN] {
            5 => Message::Bitfield(bytes),
            _ => Message::Extended { id: self.head[ID_LEN], payload: bytes },
        }
    }

    fn fixed(&self) -> Message {
        let request = || Request { piece: self.word(5), begin: self.word(9), len: self.word(13) };
        match self.head[PREFIX_LEN] {
            0 => Message::Choke,
            1 => Message::Unchoke,
            2 => Message::Interested,
            3 => Message::NotInterested,
            4 => Message::Have(self.word(5)),
            6 => Message::Request(request()),
            8 => Message::Cancel(request()),
            9 => Message::Port(u16::from_be_bytes([self.head[5], self.head[6]])),
            13 => Message::Suggest(self.word(5)),
            14 => Message::HaveAll,
            15 => Message::HaveNone,
            16 => Message::Reject(request()),
            17 => Message::AllowedFast(self.word(5)),
            id => unreachable!("message {id} is not of fixed length"),
        }
    }

    fn finish_data(&mut self, out: &mut Vec<Message>) {
        let (piece, begin) = (self.word(5), self.word(9));
        if let Body::Data { block, .. } = std::mem::replace(&mut self.body, Body::Head) {
            self.finish(Message::Piece { piece, begin, data: block }, out);
        }
    }

    fn finish(&mut self, message: Message, out: &mut Vec<Message>) {
        out.push(message);
        self.restart();
    }

    fn restart(&mut self) {
        self.filled = 0;
        self.need = PREFIX_LEN;
        self.body = Body::Head;
        self.granted = false;
    }

    /// Bytes of the message beyond its first `head_len`, prefix included in both.
    fn len_after(&self, head_len: usize) -> usize {
        (self.word(0) as usize + PREFIX_LEN).saturating_sub(head_len)
    }

    fn word(&self, at: usize) -> u32 {
        let [a, b, c, d] = [self.head[at], self.head[at + 1], self.head[at + 2], self.head[at + 3]];
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Cuts up to `count` bytes off the front of `rest`.
fn cut<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (part, later) = rest.split_at(count.min(rest.len()));
    *rest = later;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pool::BlockPool;
    use proptest::prelude::*;

    const POOL_BLOCKS: usize = 64;

    fn blocks(pool: &BlockPool, count: usize) -> Vec<Block> {
        let mut blocks = Vec::new();
        assert_eq!(pool.take(count, &mut blocks), count);
        blocks
    }

    fn pool() -> BlockPool {
        BlockPool::new(POOL_BLOCKS * BLOCK_LEN)
    }

    /// Decodes in portions that end at `cuts`; shows the messages, since blocks have no
    /// equality.
    fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, Error> {
        let pool = pool();
        let mut decoder = Decoder::new(Some(2));
        let mut out = Vec::new();
        let mut begin = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            let mut spare = blocks(&pool, POOL_BLOCKS / 2);
            while begin < end {
                if matches!(decoder.need(), Need::Room(_)) {
                    decoder.grant();
                }
                let used = decoder.feed(&bytes[begin..end], &mut spare, &mut out)?;
                let goes_on = used > 0 || matches!(decoder.need(), Need::Room(_));
                assert!(goes_on, "there are blocks, and leave is given");
                begin += used;
            }
        }
        Ok(out.iter().map(show).collect())
    }

    fn show(message: &Message) -> String {
        match message {
            Message::Piece { piece, begin, data } => {
                format!("Piece {piece} {begin} {:?}", data.bytes())
            }
            other => format!("{other:?}"),
        }
    }

    fn refused(bytes: &[u8]) -> String {
        decode(bytes, &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_of_everything() {
        let stream = b"\0\0\0\x03\x05\xC0\x01\0\0\0\x04\x14\0de\0\0\0\0\0\0\0\x01\x01\
            \0\0\0\x0b\x07\0\0\0\x02\0\0\x40\0xy\0\0\0\x03\x63zz\0\0\0\x01\x63\
            \0\0\0\x03\x09\x1a\xe1\0\0\0\x05\x04\0\0\0\x09";
        assert_eq!(
            decode(stream, &[]).unwrap(),
            [
                "Bitfield([192, 1])",
                "Extended { id: 0, payload: [100, 101] }",
                "KeepAlive",
                "Unchoke",
                "Piece 2 16384 [120, 121]",
                "Unknown { id: 99, len: 2 }",
                "Unknown { id: 99, len: 0 }",
                "Port(6881)",
                "Have(9)",
            ]
        );
    }

    #[test]
    fn hash_messages_of_v2_peers_are_skipped() {
        // BEP 52: 21 hash request, 22 hashes, 23 hash reject.
        let stream = b"\0\0\0\x04\x15abc\0\0\0\x02\x16a\0\0\0\x01\x17\0\0\0\x01\x01";
        let shown = decode(stream, &[]).unwrap();
        assert_eq!(shown.len(), 4);
        assert_eq!(shown.last().unwrap(), "Unchoke");
    }

    #[test]
    fn the_prefix_alone_refuses_what_is_too_long() {
        assert!(refused(&[0, 4, 0, 1]).contains("262145 bytes; 262144 are allowed"));
        assert!(refused(&[0xFF; 4]).contains("4294967295"));
        assert!(decode(&[0, 4, 0, 0], &[]).unwrap().is_empty());
        // A bitfield longer than that is possible only where the torrent needs it.
        let mut decoder = Decoder::new(Some(BODY_MAX as usize));
        let used = decoder.feed(&[0, 4, 0, 1, 5], &mut Vec::new(), &mut Vec::new());
        assert_eq!(used.unwrap(), 5);
    }

    #[test]
    fn a_long_message_is_refused_at_its_id_when_it_cannot_be_right() {
        for (bytes, len) in [(b"\0\0\0\x02\x05", 1), (b"\0\0\0\x04\x05", 3), (b"\0\0\0\x01\x05", 0)]
        {
            assert_eq!(refused(bytes), format!("it sent message 5 with a body of {len} bytes"));
        }
        assert_eq!(refused(b"\0\0\x80\x02\x14"), "it sent message 20 with a body of 32769 bytes");
        assert!(decode(b"\0\0\x80\x01\x14", &[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_long_is_collected_only_with_leave_and_no_faster_than_it_comes() {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(Some(100_000));
        let head = b"\0\x01\x86\xA1\x05";
        assert_eq!(decoder.feed(head, &mut Vec::new(), &mut out).unwrap(), 5);
        assert_eq!(decoder.feed(&[7], &mut Vec::new(), &mut out).unwrap(), 0);
        assert_eq!((decoder.need(), decoder.is_collecting()), (Need::Room(100_000), false));
        decoder.grant();
        assert_eq!((decoder.need(), decoder.body_left()), (Need::Nothing, 0));
        for begin in (0..100_000).step_by(50) {
            assert_eq!(decoder.feed(&[7; 50], &mut Vec::new(), &mut out).unwrap(), 50);
            if let Body::Long { bytes, .. } = &decoder.body {
                assert!(bytes.capacity() <= (begin + 50 + GROWTH).min(100_000));
                assert!(decoder.is_collecting());
            }
        }
        assert!(matches!(&out[..], [Message::Bitfield(bytes)] if bytes.len() == 100_000));
        // Leave is for one message.
        assert!(!decoder.is_collecting());
        let used = decoder.feed(b"\0\0\x04\x03\x14\x01xx", &mut Vec::new(), &mut out).unwrap();
        assert_eq!((used, decoder.need()), (6, Need::Room(1_025)));
        // What is short needs none.
        let mut decoder = Decoder::new(Some(1));
        decoder.feed(b"\0\0\x04\x02\x14\x01xx", &mut Vec::new(), &mut out).unwrap();
        assert_eq!((decoder.need(), decoder.body_left()), (Need::Nothing, 1_022));
    }

    #[test]
    fn every_fixed_message_of_another_length_is_refused_at_its_id() {
        let lens = [
            (0, 0),
            (1, 0),
            (2, 0),
            (3, 0),
            (4, 4),
            (6, 12),
            (8, 12),
            (9, 2),
            (13, 4),
            (14, 0),
            (15, 0),
            (16, 12),
            (17, 4),
        ];
        for (id, len) in lens {
            for wrong in [len + 1, len + 2, 2_000u16].into_iter().chain(len.checked_sub(1)) {
                let [high, low] = (wrong + 1).to_be_bytes();
                let message = refused(&[0, 0, high, low, id]);
                assert_eq!(message, format!("it sent message {id} with a body of {wrong} bytes"));
            }
        }
    }

    #[test]
    fn pieces_hold_one_to_16384_bytes_and_extended_at_least_an_id() {
        assert_eq!(refused(b"\0\0\x40\x0a\x07"), "it sent message 7 with a body of 16393 bytes");
        assert_eq!(refused(b"\0\0\0\x09\x07"), "it sent message 7 with a body of 8 bytes");
        assert_eq!(refused(b"\0\0\0\x05\x07"), "it sent message 7 with a body of 4 bytes");
        assert_eq!(refused(b"\0\0\0\x01\x14"), "it sent message 20 with a body of 0 bytes");
        assert!(decode(b"\0\0\x40\x09\x07", &[]).unwrap().is_empty());
    }

    #[test]
    fn it_stops_at_data_without_a_block_and_goes_on_with_one() {
        let pool = pool();
        let mut decoder = Decoder::new(Some(1));
        let mut out = Vec::new();
        let stream = b"\0\0\0\x01\0\0\0\0\x0a\x07\0\0\0\x01\0\0\0\0q\0\0\0\x01\x01";
        let used = decoder.feed(stream, &mut Vec::new(), &mut out).unwrap();
        assert_eq!((used, decoder.need()), (5 + 13, Need::Block));
        assert_eq!(out.len(), 1);
        // Without a block there is no progress, and no harm.
        assert_eq!(decoder.feed(&stream[used..], &mut Vec::new(), &mut out).unwrap(), 0);
        let mut spare = blocks(&pool, 2);
        let rest = decoder.feed(&stream[used..], &mut spare, &mut out).unwrap();
        assert_eq!(used + rest, stream.len());
        assert_eq!(spare.len(), 1);
        assert_eq!(show(&out[1]), "Piece 1 0 [113]");
        assert_eq!(show(&out[2]), "Unchoke");
    }

    #[test]
    fn messages_before_an_error_are_not_lost() {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(Some(1));
        assert!(decoder.feed(b"\0\0\0\x01\x01\0\0\0\x02\0", &mut Vec::new(), &mut out).is_err());
        assert_eq!(show(&out[0]), "Unchoke");
    }

    /// Any message that the decoder takes, from plain numbers.
    fn message(pool: &BlockPool, kind: u8, [a, b, c]: [u32; 3], bytes: &[u8]) -> Message {
        let request = Request { piece: a, begin: b, len: c };
        match kind % 18 {
            0 => Message::Choke,
            1 => Message::Unchoke,
            2 => Message::Interested,
            3 => Message::NotInterested,
            4 => Message::Have(a),
            5 => Message::Bitfield(vec![a as u8, b as u8]),
            6 => Message::Request(request),
            7 => {
                let mut data = blocks(pool, 1).remove(0);
                data.append(&[1]);
                data.append(bytes);
                Message::Piece { piece: a, begin: b, data }
            }
            8 => Message::Cancel(request),
            9 => Message::Port(a as u16),
            10 => Message::Suggest(a),
            11 => Message::HaveAll,
            12 => Message::HaveNone,
            13 => Message::Reject(request),
            14 => Message::AllowedFast(a),
            15 => Message::Extended { id: b as u8, payload: bytes.to_vec() },
            _ => Message::KeepAlive,
        }
    }

    type Parts = (u8, [u32; 3], Vec<u8>);

    fn parts() -> impl Strategy<Value = Vec<Parts>> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        proptest::collection::vec((any::<u8>(), any::<[u32; 3]>(), bytes), 0..12)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_messages_that_were_written(
            parts in parts(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let pool = pool();
            let (mut bytes, mut shown) = (Vec::new(), Vec::new());
            for (kind, words, body) in parts {
                let message = message(&pool, kind, words, &body);
                message.encode(&mut bytes);
                shown.push(show(&message));
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(&decode(&bytes, &cuts).unwrap(), &shown);
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&decode(&bytes, &every).unwrap(), &shown);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), 0..24u8, any::<u8>()], 0..600)
        ) {
            let _ = decode(&bytes, &[bytes.len() / 2]);
        }
    }
}
