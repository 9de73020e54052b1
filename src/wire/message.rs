//! The messages of BEPs 3, 5, 6 and 10, and how they are written. Numbers are as the peer
//! sent them, unchecked: what exists in the torrent is the link's question.

use crate::base::pool::Block;

/// A part of a piece, as `request`, `cancel` and `reject` name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// Number of the piece.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// One message. `Debug` of a `Piece` shows its bytes.
#[derive(Debug)]
pub enum Message {
    /// A prefix of 0.
    KeepAlive,
    /// 0: requests will not be served.
    Choke,
    /// 1: requests will be served.
    Unchoke,
    /// 2: the sender wants data.
    Interested,
    /// 3: the sender wants nothing.
    NotInterested,
    /// 4: the sender has this piece.
    Have(u32),
    /// 5: the pieces that the sender has.
    Bitfield(Vec<u8>),
    /// 6: asks for data.
    Request(Request),
    /// 7: data.
    Piece {
        /// Number of the piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// The bytes.
        data: Block,
    },
    /// 8: takes a request back.
    Cancel(Request),
    /// 9: the UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// 13: a piece that is cheap to send (BEP 6).
    Suggest(u32),
    /// 14: the sender has every piece (BEP 6).
    HaveAll,
    /// 15: the sender has no piece (BEP 6).
    HaveNone,
    /// 16: this request will not be served (BEP 6).
    Reject(Request),
    /// 17: this piece may be requested while choked (BEP 6).
    AllowedFast(u32),
    /// 20: a message of the extension protocol (BEP 10).
    Extended {
        /// 0 is the extension handshake.
        id: u8,
        /// What follows the id.
        payload: Vec<u8>,
    },
    /// Any other id. Its body is skipped, never stored.
    Unknown {
        /// The message id.
        id: u8,
        /// Bytes after the id.
        len: u32,
    },
}

impl Message {
    /// Appends the message, with its length prefix, to `into`. `Unknown` has no bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => into.extend_from_slice(&[0; 4]),
            Self::Choke => head(into, 0, 0),
            Self::Unchoke => head(into, 1, 0),
            Self::Interested => head(into, 2, 0),
            Self::NotInterested => head(into, 3, 0),
            Self::Have(piece) => words(into, 4, &[*piece]),
            Self::Bitfield(bytes) => {
                head(into, 5, bytes.len());
                into.extend_from_slice(bytes);
            }
            Self::Request(request) => request.encode(into, 6),
            Self::Piece { piece, begin, data } => {
                head(into, 7, 8 + data.len_bytes());
                into.extend_from_slice(&piece.to_be_bytes());
                into.extend_from_slice(&begin.to_be_bytes());
                into.extend_from_slice(data.bytes());
            }
            Self::Cancel(request) => request.encode(into, 8),
            Self::Port(port) => {
                head(into, 9, 2);
                into.extend_from_slice(&port.to_be_bytes());
            }
            Self::Suggest(piece) => words(into, 13, &[*piece]),
            Self::HaveAll => head(into, 14, 0),
            Self::HaveNone => head(into, 15, 0),
            Self::Reject(request) => request.encode(into, 16),
            Self::AllowedFast(piece) => words(into, 17, &[*piece]),
            Self::Extended { id, payload } => {
                head(into, 20, 1 + payload.len());
                into.push(*id);
                into.extend_from_slice(payload);
            }
            Self::Unknown { .. } => {}
        }
    }
}

impl Request {
    fn encode(self, into: &mut Vec<u8>, id: u8) {
        words(into, id, &[self.piece, self.begin, self.len]);
    }
}

/// Length prefix and id of a message with `body_len` bytes after the id.
fn head(into: &mut Vec<u8>, id: u8, body_len: usize) {
    let len = u32::try_from(body_len + 1).expect("our own messages are far below 4 GiB");
    into.extend_from_slice(&len.to_be_bytes());
    into.push(id);
}

fn words(into: &mut Vec<u8>, id: u8, words: &[u32]) {
    head(into, id, 4 * words.len());
    into.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_byte_by_byte() {
        let request = Request { piece: 1, begin: 0x4000, len: 0x203 };
        let cases: [(Message, &[u8]); 17] = [
            (Message::KeepAlive, b"\0\0\0\0"),
            (Message::Choke, b"\0\0\0\x01\0"),
            (Message::Unchoke, b"\0\0\0\x01\x01"),
            (Message::Interested, b"\0\0\0\x01\x02"),
            (Message::NotInterested, b"\0\0\0\x01\x03"),
            (Message::Have(0x0102_0304), b"\0\0\0\x05\x04\x01\x02\x03\x04"),
            (Message::Bitfield(vec![0xA0, 1]), b"\0\0\0\x03\x05\xA0\x01"),
            (Message::Request(request), b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\x02\x03"),
            (Message::Cancel(request), b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\0\0\x02\x03"),
            (Message::Port(6881), b"\0\0\0\x03\x09\x1a\xe1"),
            (Message::Suggest(7), b"\0\0\0\x05\x0d\0\0\0\x07"),
            (Message::HaveAll, b"\0\0\0\x01\x0e"),
            (Message::HaveNone, b"\0\0\0\x01\x0f"),
            (Message::Reject(request), b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\0\x02\x03"),
            (Message::AllowedFast(7), b"\0\0\0\x05\x11\0\0\0\x07"),
            (Message::Extended { id: 0, payload: b"de".to_vec() }, b"\0\0\0\x04\x14\0de"),
            (Message::Unknown { id: 99, len: 4 }, b""),
        ];
        for (message, bytes) in cases {
            let mut written = Vec::new();
            message.encode(&mut written);
            assert_eq!(written, bytes, "{message:?}");
        }
    }
}
