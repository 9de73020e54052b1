//! The messages against bytes typed by hand from the specification, in both directions.

use std::net::SocketAddrV4;

use proptest::prelude::*;

use crate::chunk::wire::{
    CHUNK_LEN_MAX, ChunkHash, ChunkHead, Error, ErrorCode, FILE_INFO_LEN_MAX, FileInfo, Header,
    Kind, ListedChunk, Message, TrackerInfo, error, get_chunk,
};

fn address(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// Both directions at once.
#[track_caller]
fn is(message: &Message, bytes: &[u8]) {
    let mut out = vec![0xee];
    message.encode(&mut out).unwrap();
    assert_eq!(out[0], 0xee, "what was there stays");
    assert_eq!(&out[1..], bytes, "encoded");
    assert_eq!(Message::decode(bytes).as_ref(), Ok(message), "decoded");
}

#[track_caller]
fn length_error(bytes: &[u8]) {
    let read = Message::decode(bytes);
    assert!(matches!(read, Err(Error::Length(_))), "{read:?}");
}

#[rustfmt::skip]
const HASH: [u8; 20] = [
    0x7b, 0x1c, 0x9c, 0x57, 0x13, 0xf2, 0x5e, 0x3f, 0xf8, 0xf1,
    0xd8, 0x4b, 0x6d, 0xfa, 0x01, 0x04, 0x5f, 0x67, 0xfc, 0xc7,
];

#[rustfmt::skip]
const TRACKER_INFO: &[u8] = &[
    1,                                        // version
    1,                                        // msg_type
    0, 0,                                     // reserved
    0, 0, 0, 6,                               // msg_length: 24 bytes
    192, 168, 1, 20,                          // ip_address
    0x1f, 0x40,                               // port_number 8000
    0, 7,                                     // tracker_name_length
    b'T', b'r', b'a', b'c', b'k', b'e', b'r', // tracker_name
    0,                                        // padding
];

#[rustfmt::skip]
const FILE_INFO: &[u8] = &[
    1,                                        // version
    3,                                        // msg_type
    0, 0,                                     // reserved
    0, 0, 0, 21,                              // msg_length: 84 bytes
    0, 2,                                     // chunks_count
    0, 6,                                     // filename_length
    b'a', 0xc3, 0xa9, b'.', b't', b'x',       // filename: aé.tx
    0, 0,                                     // padding
    0x7b, 0x1c, 0x9c, 0x57, 0x13, 0xf2, 0x5e, 0x3f, 0xf8, 0xf1,
    0xd8, 0x4b, 0x6d, 0xfa, 0x01, 0x04, 0x5f, 0x67, 0xfc, 0xc7, // chunk_hash
    0, 2,                                     // peers_count
    0, 0,                                     // padding
    127, 0, 0, 1,                             // ip_address
    0x1f, 0x41,                               // port_number 8001
    0, 0,                                     // padding
    10, 1, 2, 3,                              // ip_address
    0xff, 0xff,                               // port_number 65535
    0, 0,                                     // padding
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, // chunk_hash
    0, 0,                                     // peers_count
    0, 0,                                     // padding
];

#[rustfmt::skip]
const GET_CHUNK: &[u8] = &[
    1,                                        // version
    4,                                        // msg_type
    0, 0,                                     // reserved
    0, 0, 0, 7,                               // msg_length: 28 bytes
    0x7b, 0x1c, 0x9c, 0x57, 0x13, 0xf2, 0x5e, 0x3f, 0xf8, 0xf1,
    0xd8, 0x4b, 0x6d, 0xfa, 0x01, 0x04, 0x5f, 0x67, 0xfc, 0xc7, // chunk_hash
];

#[rustfmt::skip]
const CHUNK: &[u8] = &[
    1,                                        // version
    5,                                        // msg_type
    0, 0,                                     // reserved
    0, 0, 0, 10,                              // msg_length: 40 bytes
    0x7b, 0x1c, 0x9c, 0x57, 0x13, 0xf2, 0x5e, 0x3f, 0xf8, 0xf1,
    0xd8, 0x4b, 0x6d, 0xfa, 0x01, 0x04, 0x5f, 0x67, 0xfc, 0xc7, // chunk_hash
    0, 0, 0, 5,                               // chunk_content_length
    b'h', b'e', b'l', b'l', b'o',             // chunk_content
    0, 0, 0,                                  // padding
];

#[rustfmt::skip]
const ERROR: &[u8] = &[
    1,                                        // version
    6,                                        // msg_type
    0, 0,                                     // reserved
    0, 0, 0, 3,                               // msg_length: 12 bytes
    0, 2,                                     // error_code CHUNK_NOT_FOUND
    0, 0,                                     // padding
];

/// All of version, msg_type, reserved and a msg_length of 8 bytes.
const DISCOVER_TRACKER: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 2];
const GET_FILE_INFO: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 2];

const ALL: [&[u8]; 7] =
    [DISCOVER_TRACKER, TRACKER_INFO, GET_FILE_INFO, FILE_INFO, GET_CHUNK, CHUNK, ERROR];

fn tracker_info() -> TrackerInfo {
    TrackerInfo { address: address("192.168.1.20:8000"), name: "Tracker".to_owned() }
}

fn file_info() -> FileInfo {
    let counting = std::array::from_fn(|at| at as u8);
    FileInfo {
        filename: "aé.tx".to_owned(),
        chunks: vec![
            ListedChunk {
                hash: ChunkHash(HASH),
                peers: vec![address("127.0.0.1:8001"), address("10.1.2.3:65535")],
            },
            ListedChunk { hash: ChunkHash(counting), peers: vec![] },
        ],
    }
}

fn changed(bytes: &[u8], at: usize, to: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    assert_ne!(bytes[at], to);
    bytes[at] = to;
    bytes
}

#[test]
fn every_message_has_its_bytes() {
    is(&Message::DiscoverTracker, DISCOVER_TRACKER);
    is(&Message::TrackerInfo(tracker_info()), TRACKER_INFO);
    is(&Message::GetFileInfo, GET_FILE_INFO);
    is(&Message::FileInfo(file_info()), FILE_INFO);
    is(&Message::GetChunk(ChunkHash(HASH)), GET_CHUNK);
    is(&Message::Chunk { hash: ChunkHash(HASH), content: b"hello".to_vec() }, CHUNK);
    is(&Message::Error(ErrorCode::ChunkNotFound), ERROR);
    assert_eq!(get_chunk(ChunkHash(HASH)), GET_CHUNK);
    assert_eq!(error(ErrorCode::ChunkNotFound), ERROR);
    assert_eq!(FileInfo::decode_body(&FILE_INFO[8..]), Ok(file_info()));
}

#[test]
fn error_codes_have_their_numbers() {
    for (code, number, text) in [
        (ErrorCode::InvalidMessageFormat, [0, 0], "INVALID_MESSAGE_FORMAT"),
        (ErrorCode::InvalidRequest, [0, 1], "INVALID_REQUEST"),
        (ErrorCode::ChunkNotFound, [0, 2], "CHUNK_NOT_FOUND"),
        (ErrorCode::Unknown(0x0103), [1, 3], "ERROR 259"),
    ] {
        is(&Message::Error(code), &[1, 6, 0, 0, 0, 0, 0, 3, number[0], number[1], 0, 0]);
        assert_eq!(code.to_string(), text);
    }
}

#[test]
fn texts_and_contents_of_each_length_are_padded_to_a_dword() {
    for (name, padded) in
        [("", &b""[..]), ("a", b"a\0\0\0"), ("ab", b"ab\0\0"), ("abc", b"abc\0"), ("abcd", b"abcd")]
    {
        let len = name.len() as u8;
        let dwords = 4 + padded.len() as u8 / 4;
        let mut bytes = vec![1, 1, 0, 0, 0, 0, 0, dwords, 1, 2, 3, 4, 0, 5, 0, len];
        bytes.extend(padded);
        let info = TrackerInfo { address: address("1.2.3.4:5"), name: name.to_owned() };
        is(&Message::TrackerInfo(info), &bytes);

        let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 4 + dwords];
        bytes.extend(HASH);
        bytes.extend([0, 0, 0, len]);
        bytes.extend(padded);
        is(&Message::Chunk { hash: ChunkHash(HASH), content: name.into() }, &bytes);
        let head = ChunkHead { hash: ChunkHash(HASH), content_len: len.into() };
        assert_eq!(head.padding(), padded.len() - name.len());

        let mut bytes = vec![1, 3, 0, 0, 0, 0, 0, dwords - 1, 0, 0, 0, len];
        bytes.extend(padded);
        is(&Message::FileInfo(FileInfo { filename: name.to_owned(), chunks: vec![] }), &bytes);
    }
}

#[test]
fn reserved_and_padding_bytes_may_have_any_value() {
    for bytes in ALL {
        let mut odd = bytes.to_vec();
        odd[2..4].copy_from_slice(&[0xde, 0xad]);
        assert_eq!(Message::decode(&odd), Message::decode(bytes));
        assert!(Message::decode(&odd).is_ok());
    }
    let padding: [(&[u8], &[usize]); 4] = [
        (TRACKER_INFO, &[23]),
        (FILE_INFO, &[18, 19, 42, 43, 50, 51, 58, 59, 82, 83]),
        (CHUNK, &[37, 38, 39]),
        (ERROR, &[10, 11]),
    ];
    for (bytes, places) in padding {
        let mut odd = bytes.to_vec();
        for at in places {
            assert_eq!(odd[*at], 0);
            odd[*at] = 0xff;
        }
        assert_eq!(Message::decode(&odd), Message::decode(bytes));
    }
}

#[test]
fn other_versions_and_types_are_refused() {
    for bytes in ALL {
        assert_eq!(Message::decode(&changed(bytes, 0, 0)), Err(Error::Version(0)));
        assert_eq!(Message::decode(&changed(bytes, 0, 2)), Err(Error::Version(2)));
        assert_eq!(Message::decode(&changed(bytes, 1, 7)), Err(Error::Kind(7)));
        assert_eq!(Message::decode(&changed(bytes, 1, 255)), Err(Error::Kind(255)));
    }
    assert_eq!(Error::Version(2).to_string(), "message of version 2, not 1");
    assert_eq!(Error::Kind(7).to_string(), "message of unknown type 7");
}

#[test]
fn every_length_must_fit_to_the_byte() {
    length_error(&[]);
    for bytes in ALL {
        // Cut off, or longer than it says.
        for len in 0..bytes.len() {
            length_error(&bytes[..len]);
        }
        length_error(&[bytes, &[0; 4]].concat());
        // A msg_length one off, with the bytes that it says.
        let dwords = bytes[7];
        length_error(&[&changed(bytes, 7, dwords + 1)[..], &[0; 4]].concat());
        length_error(&changed(bytes, 7, dwords - 1)[..bytes.len() - 4]);
    }
    length_error(&changed(TRACKER_INFO, 15, 9));
    length_error(&changed(TRACKER_INFO, 15, 4));
    // Eight bytes of name are there, the padding included.
    assert!(Message::decode(&changed(TRACKER_INFO, 15, 8)).is_ok());
    length_error(&changed(FILE_INFO, 9, 1));
    length_error(&changed(FILE_INFO, 9, 3));
    length_error(&changed(FILE_INFO, 11, 9));
    length_error(&changed(FILE_INFO, 11, 4));
    length_error(&changed(FILE_INFO, 41, 1));
    length_error(&changed(FILE_INFO, 41, 3));
    length_error(&changed(FILE_INFO, 81, 1));
    length_error(&changed(CHUNK, 31, 9));
    length_error(&changed(CHUNK, 31, 4));
}

#[test]
fn names_must_be_utf8() {
    assert_eq!(Message::decode(&changed(TRACKER_INFO, 16, 0xff)), Err(Error::Name));
    assert_eq!(Message::decode(&changed(FILE_INFO, 14, b'x')), Err(Error::Name));
}

#[test]
fn the_type_decides_what_the_body_is() {
    // One existing tracker sends FILE_INFO so; here it is no CHUNK.
    length_error(&changed(FILE_INFO, 1, 5)[..32]);
    assert!(Message::decode(&changed(FILE_INFO, 1, 5)).is_err());
    length_error(&changed(GET_CHUNK, 1, 2));
    length_error(&changed(DISCOVER_TRACKER, 1, 6));
}

#[test]
fn claims_beyond_the_bytes_are_refused() {
    // 65,535 chunks, and a name of no bytes.
    length_error(&[1, 3, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0, 0]);
    // One chunk with 65,535 peers.
    let mut bytes = vec![1, 3, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0];
    bytes.extend(HASH);
    bytes.extend([0xff, 0xff, 0, 0]);
    length_error(&bytes);
    // A name of 65,535 bytes.
    length_error(&[1, 3, 0, 0, 0, 0, 0, 3, 0, 0, 0xff, 0xff]);
    // 64 MiB of content, and 4 GiB.
    let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 8];
    bytes.extend(HASH);
    bytes.extend([4, 0, 0, 0]);
    length_error(&bytes);
    bytes.splice(28.., [0xff; 4]);
    let most = u64::from(CHUNK_LEN_MAX);
    let expected = Error::TooLarge { what: "chunk_content_length", len: u32::MAX.into(), most };
    assert_eq!(Message::decode(&bytes), Err(expected));
}

#[test]
fn a_file_info_has_a_limit() {
    let filler = FileInfo::decode_body(&vec![0; FILE_INFO_LEN_MAX - 8]);
    assert!(matches!(filler, Err(Error::Length(_))), "taken, and then it makes no sense");
    let refused = FileInfo::decode_body(&vec![0; FILE_INFO_LEN_MAX - 7]);
    let most = FILE_INFO_LEN_MAX as u64;
    assert_eq!(refused, Err(Error::TooLarge { what: "length in bytes", len: most + 1, most }));
}

#[test]
fn what_a_field_cannot_say_is_not_sent() {
    let mut out = vec![7];
    let mut refused = |message: Message, what: &'static str| {
        let most = u16::MAX.into();
        let expected = Error::TooLarge { what, len: 65_536, most };
        assert_eq!(message.encode(&mut out), Err(expected));
        assert_eq!(out, [7]);
    };
    let long = "x".repeat(65_536);
    let info = TrackerInfo { name: long.clone(), ..tracker_info() };
    refused(Message::TrackerInfo(info), "tracker_name_length");
    let info = FileInfo { filename: long, chunks: vec![] };
    refused(Message::FileInfo(info), "filename_length");
    let chunk = ListedChunk { hash: ChunkHash(HASH), peers: vec![] };
    let info = FileInfo { filename: String::new(), chunks: vec![chunk.clone(); 65_536] };
    refused(Message::FileInfo(info), "chunks_count");
    let chunk = ListedChunk { peers: vec![address("1.2.3.4:5"); 65_536], ..chunk };
    let info = FileInfo { filename: String::new(), chunks: vec![chunk] };
    refused(Message::FileInfo(info), "peers_count");
    let most = u64::from(CHUNK_LEN_MAX);
    let head = ChunkHead { hash: ChunkHash(HASH), content_len: CHUNK_LEN_MAX + 1 };
    assert_eq!(
        head.encode(),
        Err(Error::TooLarge { what: "chunk_content_length", len: most + 1, most })
    );
}

#[test]
fn a_file_info_of_the_most_chunks_round_trips() {
    let chunk = ListedChunk { hash: ChunkHash(HASH), peers: vec![address("1.2.3.4:5")] };
    let info = FileInfo { filename: "f".to_owned(), chunks: vec![chunk; 65_535] };
    let mut out = Vec::new();
    Message::FileInfo(info.clone()).encode(&mut out).unwrap();
    assert_eq!(out.len(), 8 + 4 + 4 + 65_535 * 32);
    assert!(Message::decode(&out) == Ok(Message::FileInfo(info)));
}

#[test]
fn the_head_of_a_chunk_stands_for_itself() {
    let head = ChunkHead { hash: ChunkHash(HASH), content_len: 5 };
    let bytes: [u8; 32] = CHUNK[..32].try_into().unwrap();
    assert_eq!(head.encode(), Ok(bytes));
    assert_eq!(ChunkHead::decode(&bytes), Ok(head));
    assert_eq!(head.padding(), 3);

    let with = |at: usize, to: u8| ChunkHead::decode(&changed(&bytes, at, to).try_into().unwrap());
    assert_eq!(with(0, 2), Err(Error::Version(2)));
    assert_eq!(with(1, 3), Err(Error::Kind(3)), "FILE_INFO");
    assert_eq!(with(1, 9), Err(Error::Kind(9)));
    assert_eq!(with(2, 9), Ok(head), "reserved");
    assert!(matches!(with(7, 9), Err(Error::Length(_))), "msg_length too short");
    assert!(matches!(with(7, 11), Err(Error::Length(_))), "msg_length too long");
    assert!(matches!(with(31, 9), Err(Error::Length(_))), "content too long for it");
    assert!(matches!(with(31, 4), Err(Error::Length(_))), "content too short for it");
    assert!(matches!(with(28, 5), Err(Error::TooLarge { .. })));

    let largest = ChunkHead { hash: ChunkHash(HASH), content_len: CHUNK_LEN_MAX };
    let bytes = largest.encode().unwrap();
    // 64 MiB and 32 bytes in dwords, and 64 MiB in bytes.
    assert_eq!(bytes[..8], [1, 5, 0, 0, 1, 0, 0, 8]);
    assert_eq!(bytes[28..], [4, 0, 0, 0]);
    assert_eq!(ChunkHead::decode(&bytes), Ok(largest));
}

#[test]
fn a_header_says_where_the_message_ends_or_that_nobody_knows() {
    let header = Header::decode(&[1, 4, 9, 9, 0, 0, 0, 7]);
    assert_eq!((header.kind(), header.message_len()), (Ok(Kind::GetChunk), Some(28)));
    let header = Header::decode(&[2, 4, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(header.kind(), Err(Error::Version(2)));
    assert_eq!(header.message_len(), Some(17_179_869_180));
    assert_eq!(Header::decode(&[1, 4, 0, 0, 0, 0, 0, 1]).message_len(), None);
    assert_eq!(Header::decode(&[1, 4, 0, 0, 0, 0, 0, 0]).message_len(), None);
    assert_eq!(Header::decode(&[1, 0, 0, 0, 0, 0, 0, 2]).message_len(), Some(8));
}

#[test]
fn hashes_are_read_from_40_hex_digits_of_either_case() {
    let text = "7b1c9c5713f25e3ff8f1d84b6dfa01045f67fcc7";
    assert_eq!(text.parse(), Ok(ChunkHash(HASH)));
    assert_eq!(text.to_uppercase().parse(), Ok(ChunkHash(HASH)));
    assert_eq!(ChunkHash(HASH).to_string(), text);
    for bad in ["", &text[..38], &text[..39], &format!("{text}00"), &text.replace('b', "g")] {
        assert!(bad.parse::<ChunkHash>().is_err(), "{bad:?}");
    }
}

fn addresses() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

fn listed_chunk() -> impl Strategy<Value = ListedChunk> {
    (any::<[u8; 20]>(), proptest::collection::vec(addresses(), 0..4))
        .prop_map(|(hash, peers)| ListedChunk { hash: ChunkHash(hash), peers })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::DiscoverTracker),
        (addresses(), ".{0,9}")
            .prop_map(|(address, name)| Message::TrackerInfo(TrackerInfo { address, name })),
        Just(Message::GetFileInfo),
        (".{0,9}", proptest::collection::vec(listed_chunk(), 0..5))
            .prop_map(|(filename, chunks)| Message::FileInfo(FileInfo { filename, chunks })),
        any::<[u8; 20]>().prop_map(|hash| Message::GetChunk(ChunkHash(hash))),
        (any::<[u8; 20]>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(hash, content)| Message::Chunk { hash: ChunkHash(hash), content }),
        (3..=u16::MAX).prop_map(|code| Message::Error(ErrorCode::Unknown(code))),
        Just(Message::Error(ErrorCode::InvalidMessageFormat)),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back_and_says_its_length(message in message()) {
        let mut out = Vec::new();
        message.encode(&mut out).unwrap();
        let header = Header::decode(out.first_chunk().unwrap());
        prop_assert_eq!(header.message_len(), Some(out.len() as u64));
        prop_assert_eq!(Message::decode(&out), Ok(message));
    }

    #[test]
    fn no_bytes_bring_the_reader_down(
        kind in 0u8..8, dwords in 0u8..20, body in proptest::collection::vec(any::<u8>(), 0..80)
    ) {
        let mut bytes = vec![1, kind, 0, 0, 0, 0, 0, dwords];
        bytes.extend(&body);
        // Half of them are as long as they say.
        let _ = Message::decode(&bytes);
        bytes.resize(usize::from(dwords.max(2)) * 4, 0);
        if let Ok(message) = Message::decode(&bytes) {
            let mut out = Vec::new();
            prop_assert!(message.encode(&mut out).is_ok());
            prop_assert_eq!(Message::decode(&out), Ok(message));
        }
        let _ = FileInfo::decode_body(&body);
    }
}
