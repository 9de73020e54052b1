//! All messages of BEPs 3, 5, 6 and 10, as values and as bytes. Integers are four bytes,
//! big-endian. Nothing here knows the torrent, so indices are unchecked.

use crate::base::pool::Block;

/// A request, cancel or reject: part of a piece, as named on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Piece number.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// A message from a peer, or to one.
#[derive(Debug)]
pub enum Message {
    /// Length zero.
    KeepAlive,
    /// 0
    Choke,
    /// 1
    Unchoke,
    /// 2
    Interested,
    /// 3
    NotInterested,
    /// 4
    Have(u32),
    /// 5
    Bitfield(Vec<u8>),
    /// 6
    Request(Part),
    /// 7: payload in a pooled block; received only.
    Piece {
        /// Piece number.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// The payload.
        block: Block,
    },
    /// 8
    Cancel(Part),
    /// 9 (BEP 5)
    Port(u16),
    /// 13 (BEP 6)
    Suggest(u32),
    /// 14 (BEP 6)
    HaveAll,
    /// 15 (BEP 6)
    HaveNone,
    /// 16 (BEP 6)
    Reject(Part),
    /// 17 (BEP 6)
    AllowedFast(u32),
    /// 20 (BEP 10): extended message id and payload.
    Extended(u8, Vec<u8>),
    /// Any other type; its body was skipped.
    Unknown(u8),
}

pub(super) const CHOKE: u8 = 0;
pub(super) const UNCHOKE: u8 = 1;
pub(super) const INTERESTED: u8 = 2;
pub(super) const NOT_INTERESTED: u8 = 3;
pub(super) const HAVE: u8 = 4;
pub(super) const BITFIELD: u8 = 5;
pub(super) const REQUEST: u8 = 6;
pub(super) const PIECE: u8 = 7;
pub(super) const CANCEL: u8 = 8;
pub(super) const PORT: u8 = 9;
pub(super) const SUGGEST: u8 = 13;
pub(super) const HAVE_ALL: u8 = 14;
pub(super) const HAVE_NONE: u8 = 15;
pub(super) const REJECT: u8 = 16;
pub(super) const ALLOWED_FAST: u8 = 17;
pub(super) const EXTENDED: u8 = 20;

impl Message {
    /// Appends the message as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => out.extend([0; 4]),
            Self::Choke => head(out, CHOKE, 0),
            Self::Unchoke => head(out, UNCHOKE, 0),
            Self::Interested => head(out, INTERESTED, 0),
            Self::NotInterested => head(out, NOT_INTERESTED, 0),
            Self::Have(piece) => number(out, HAVE, *piece),
            Self::Bitfield(bits) => {
                head(out, BITFIELD, bits.len());
                out.extend(bits);
            }
            Self::Request(of) => part(out, REQUEST, *of),
            Self::Piece { piece, begin, block } => {
                piece_message(out, *piece, *begin, block.bytes())
            }
            Self::Cancel(of) => part(out, CANCEL, *of),
            Self::Port(port) => {
                head(out, PORT, 2);
                out.extend(port.to_be_bytes());
            }
            Self::Suggest(piece) => number(out, SUGGEST, *piece),
            Self::HaveAll => head(out, HAVE_ALL, 0),
            Self::HaveNone => head(out, HAVE_NONE, 0),
            Self::Reject(of) => part(out, REJECT, *of),
            Self::AllowedFast(piece) => number(out, ALLOWED_FAST, *piece),
            Self::Extended(id, payload) => {
                head(out, EXTENDED, 1 + payload.len());
                out.push(*id);
                out.extend(payload);
            }
            Self::Unknown(id) => head(out, *id, 0),
        }
    }
}

/// Appends a `piece` message with this payload.
pub fn piece_message(out: &mut Vec<u8>, piece: u32, begin: u32, payload: &[u8]) {
    head(out, PIECE, 8 + payload.len());
    out.extend(piece.to_be_bytes());
    out.extend(begin.to_be_bytes());
    out.extend(payload);
}

fn head(out: &mut Vec<u8>, id: u8, body_len: usize) {
    let len = u32::try_from(body_len + 1).expect("our own messages are far below 4 GiB");
    out.extend(len.to_be_bytes());
    out.push(id);
}

fn number(out: &mut Vec<u8>, id: u8, value: u32) {
    head(out, id, 4);
    out.extend(value.to_be_bytes());
}

fn part(out: &mut Vec<u8>, id: u8, part: Part) {
    head(out, id, 12);
    for value in [part.piece, part.begin, part.len] {
        out.extend(value.to_be_bytes());
    }
}
