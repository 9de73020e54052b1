//! Messages of the metadata extension (BEP 9): pieces of the info dictionary, asked for and
//! given. Numbers are as the peer sent them; whether they exist in the metadata is for others to
//! know.

use std::io::Write as _;

use crate::bencode::{self, MESSAGE};

use super::Error;

/// The extension's name in `m` of the extension handshake.
pub const UT_METADATA: &str = "ut_metadata";
/// Bytes of a piece of metadata, the last one apart.
pub const METADATA_PIECE_LEN: u32 = 16 * 1024;
/// The longest metadata that is asked for (limits table): the longest known has 15 MB.
pub const METADATA_LEN_MAX: u32 = 32 * 1024 * 1024;
/// The longest message: a piece and a dictionary that is far longer than any seen. XD sends the
/// whole metadata as one (majestrate/XD#132).
const MESSAGE_LEN_MAX: u32 = 17 * 1024;

/// How many pieces metadata of `len_bytes` has.
pub fn metadata_piece_count(len_bytes: u32) -> u32 {
    len_bytes.div_ceil(METADATA_PIECE_LEN)
}

/// Bytes of `piece` in metadata of `len_bytes`; none when there is no such piece.
pub fn metadata_piece_len(len_bytes: u32, piece: u32) -> Option<u32> {
    let begin = piece.checked_mul(METADATA_PIECE_LEN)?;
    let rest = len_bytes.checked_sub(begin).filter(|rest| *rest > 0)?;
    Some(rest.min(METADATA_PIECE_LEN))
}

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataMessage<'a> {
    /// 0: asks for a piece.
    Request {
        /// Its number.
        piece: u32,
    },
    /// 1: a piece.
    Data {
        /// Its number.
        piece: u32,
        /// What the sender says the whole metadata has, in bytes. I2PSnark says the piece's own
        /// length here (arvidn/libtorrent#36), so that nothing can be concluded from it.
        total_len: u32,
        /// Its bytes: all that follows the dictionary.
        bytes: &'a [u8],
    },
    /// 2: the piece that was asked for will not come.
    Reject {
        /// Its number.
        piece: u32,
    },
}

impl<'a> MetadataMessage<'a> {
    /// Reads the payload of a `ut_metadata` message. None when its type is unknown: BEP 9 wants
    /// it ignored. The piece begins where the dictionary ends; keys that are not known may stand
    /// in it.
    ///
    /// # Errors
    /// When it is too long, is not a dictionary within the limits for messages, or lacks a piece
    /// number of 32 bits.
    pub fn decode(payload: &'a [u8]) -> Result<Option<Self>, Error> {
        let name = UT_METADATA;
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if len > MESSAGE_LEN_MAX {
            return Err(Error::TooLong { len, limit: MESSAGE_LEN_MAX });
        }
        let scan = bencode::scan(payload, MESSAGE)
            .map_err(|cause| Error::UnreadableMessage { name, cause })?;
        let malformed = |what| Error::MalformedMessage { name, what };
        let dict = scan.root().dict().ok_or_else(|| malformed("is not a dictionary"))?;
        let (mut kind, mut piece, mut total_len) = (None, None, None);
        for (key, value) in dict {
            let number = || value.integer().and_then(|number| u32::try_from(number).ok());
            match key {
                b"msg_type" => kind = kind.or(value.integer()),
                b"piece" => piece = piece.or_else(number),
                b"total_size" => total_len = total_len.or_else(number),
                _ => {}
            }
        }
        let kind = kind.ok_or_else(|| malformed("has no type"))?;
        if !(0..=2).contains(&kind) {
            return Ok(None);
        }
        let piece = piece.ok_or_else(|| malformed("names no piece"))?;
        Ok(Some(match kind {
            0 => Self::Request { piece },
            1 => {
                let bytes = payload.get(scan.len..).unwrap_or_default();
                Self::Data { piece, total_len: total_len.unwrap_or(0), bytes }
            }
            _ => Self::Reject { piece },
        }))
    }

    /// Appends the payload to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = match *self {
            Self::Request { piece } => write!(into, "d8:msg_typei0e5:piecei{piece}ee"),
            Self::Data { piece, total_len, bytes } => {
                let head =
                    write!(into, "d8:msg_typei1e5:piecei{piece}e10:total_sizei{total_len}ee");
                into.extend_from_slice(bytes);
                head
            }
            Self::Reject { piece } => write!(into, "d8:msg_typei2e5:piecei{piece}ee"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::MetadataMessage::{Data, Reject, Request};
    use super::*;

    fn read(payload: &[u8]) -> Option<MetadataMessage<'_>> {
        MetadataMessage::decode(payload).unwrap()
    }

    fn refused(payload: &[u8]) -> String {
        MetadataMessage::decode(payload).unwrap_err().to_string()
    }

    /// The examples of BEP 9.
    #[test]
    fn every_message_byte_by_byte() {
        let cases: [(MetadataMessage<'_>, &[u8]); 3] = [
            (Request { piece: 0 }, b"d8:msg_typei0e5:piecei0ee"),
            (
                Data { piece: 0, total_len: 34_256, bytes: b"xxxx" },
                b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxx",
            ),
            (Reject { piece: 7 }, b"d8:msg_typei2e5:piecei7ee"),
        ];
        for (message, bytes) in cases {
            let mut written = b"before".to_vec();
            message.encode(&mut written);
            assert_eq!(written.strip_prefix(b"before"), Some(bytes));
            assert_eq!(read(bytes), Some(message));
        }
    }

    /// "The metadata piece is appended to the bencoded dictionary": a search for its end by the
    /// letters `ee` would find them in other keys, or in the piece.
    #[test]
    fn the_piece_begins_where_the_dictionary_ends() {
        let odd = b"d1:ad1:bi1ee8:msg_typei1e5:piecei2e10:total_sizei9e1:z2:eeeeed1:xe";
        assert_eq!(read(odd), Some(Data { piece: 2, total_len: 9, bytes: b"eed1:xe" }));
        assert_eq!(
            read(b"d8:msg_typei1e5:piecei2ee"),
            Some(Data { piece: 2, total_len: 0, bytes: b"" }),
            "the length of all is not needed"
        );
        assert_eq!(
            read(b"d5:piecei1e8:msg_typei0eetail"),
            Some(Request { piece: 1 }),
            "keys in any order, and what follows a request is nothing"
        );
    }

    /// "an unrecognized message ID MUST be ignored"
    #[test]
    fn unknown_types_are_ignored() {
        assert_eq!(read(b"d8:msg_typei3e5:piecei0ee"), None);
        assert_eq!(read(b"d8:msg_typei-1ee"), None);
    }

    #[test]
    fn bad_messages_are_refused() {
        assert_eq!(refused(b"le"), "its ut_metadata message is not a dictionary");
        assert_eq!(refused(b"de"), "its ut_metadata message has no type");
        assert_eq!(refused(b"d8:msg_typei0ee"), "its ut_metadata message names no piece");
        assert!(refused(b"d8:msg_typei0e5:piecei-1ee").contains("names no piece"));
        assert!(refused(b"d8:msg_typei0e5:piecei4294967296ee").contains("names no piece"));
        assert!(refused(b"d8:msg_typei0e").contains("not readable"));
        assert!(refused(b"").contains("not readable"));
        let blob = [&b"d8:msg_typei1e5:piecei0ee"[..], &[0; 17 * 1024]].concat();
        assert!(refused(&blob).contains("17408 are allowed"));
    }

    #[test]
    fn pieces_of_metadata_have_their_lengths() {
        let lens = |len| (0..4).map(|piece| metadata_piece_len(len, piece)).collect::<Vec<_>>();
        assert_eq!(lens(0), [None; 4]);
        assert_eq!(lens(32_769), [Some(16_384), Some(16_384), Some(1), None]);
        assert_eq!(lens(32_768), [Some(16_384), Some(16_384), None, None]);
        assert_eq!(metadata_piece_len(u32::MAX, u32::MAX), None);
        assert_eq!([0, 1, 16_384, 16_385].map(metadata_piece_count), [0, 1, 1, 2]);
    }
}
