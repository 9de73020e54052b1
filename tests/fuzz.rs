//! A fuzz smoke: bytes of strangers, mutated from well-formed ones by a seeded generator, go
//! into every decoder. Nothing may panic or abort. `PIGEON_FUZZ_SECONDS` makes it longer.

use std::time::{Duration, Instant};

use pigeon::base::pool::BlockPool;
use pigeon::base::units::BLOCK_LEN;
use pigeon::bencode;
use pigeon::metainfo::Torrent;
use pigeon::tracker::announce::Family;
use pigeon::tracker::http::parse_reply;
use pigeon::tracker::udp::{Reply, Request};
use pigeon::wire::{Decoder, ExtendedHandshake, HANDSHAKE_LEN, Handshake};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const TORRENT: &[u8] = b"d8:announce9:http://a/13:announce-listll9:http://b/ee4:infod5:filesl\
    d6:lengthi70000e4:pathl1:a2:..eed4:attr1:p6:lengthi2768e4:pathl4:.pad1:0ee\
    d6:lengthi5e4:pathl4:\xff\xfe/be10:path.utf-8l1:ceee4:name3:set12:piece lengthi32768e\
    6:pieces60:aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbcccccccccccccccccccce7:privatei1ee\n";
const REPLY: &[u8] =
    b"d8:completei5e11:external ip4:\x01\x02\x03\x0410:incompletei7e8:intervali1800e\
    5:peers12:\x7f\0\0\x01\x1a\xe1\x0a\0\0\x01\x1a\xe16:peers618:0123456789abcdefgh\
    8:retry ini5e10:tracker id3:abc15:warning message2:hie";
const UDP_ANNOUNCE: &[u8] =
    b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x01\xde\xad\xbe\xefABCDEFGHIJKLMNOPQRST\
    -PN0100-abcdefghijkl\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x02\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\
    \0\0\0\0\x0a\x0b\x0c\x0d\0\0\0\x50\x1a\xe1\x02\x0c/dir?a=b&c=d\x01\x09\x03xyz\x02\x01e\0";
const UDP_REPLIES: [&[u8]; 4] = [
    b"\0\0\0\0\xde\xad\xbe\xef\x01\x02\x03\x04\x05\x06\x07\x08",
    b"\0\0\0\x01\xde\xad\xbe\xef\0\0\x07\x08\0\0\0\x03\0\0\0\x05\x01\x02\x03\x04\x1a\xe1\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1",
    b"\0\0\0\x02\xde\xad\xbe\xef\0\0\0\x0b\0\0\x35\xcc\0\0\0\x13\0\0\0\x15",
    b"\0\0\0\x03\xde\xad\xbe\xefbusy",
];
const EXTENDED: &[u8] =
    b"d1:md6:ut_pexi1ee1:pi6881e4:reqqi500e11:upload_onlyi1e1:v6:Client6:yourip4:\x01\x02\x03\x04e";
const MESSAGES: &[u8] =
    b"\0\0\0\x01\x0e\0\0\0\x05\x04\0\0\0\x01\0\0\0\x0d\x06\0\0\0\0\0\0\0\0\0\0\x40\0\
    \0\0\0\x0c\x07\0\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\x05\x11\0\0\0\x02\0\0\0\x03\x05\xff\xf0";

/// Changes, drops, doubles and inserts bytes at random places.
fn mutated(rng: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..8) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = rng.random(),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let run = rng.random_range(1..200);
                let byte = *[b'l', b'd', b'9', 0xff, b'e'].get(run % 5).unwrap_or(&b'i');
                bytes.splice(at..at, std::iter::repeat_n(byte, run));
            }
            _ => {
                let end = rng.random_range(at..=bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

fn messages(bytes: &[u8], pool: &BlockPool) {
    let (mut blocks, mut out) = (Vec::new(), Vec::new());
    pool.take(4, &mut blocks);
    let mut decoder = Decoder::new(2);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    if decoder.feed(first, &mut blocks, &mut out).is_ok() {
        let _ = decoder.feed(second, &mut blocks, &mut out);
    }
}

#[test]
fn fuzz_every_decoder_of_strangers_bytes() {
    let seconds = std::env::var("PIGEON_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs_f64(seconds.unwrap_or(0.5));
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let pool = BlockPool::new(8 * BLOCK_LEN);
    let mut rounds = 0_u64;
    while Instant::now() < end || rounds < 100 {
        let torrent = mutated(&mut rng, TORRENT);
        if let Ok(torrent) = Torrent::parse(&torrent) {
            // What was accepted is also safe to use.
            torrent.files.iter().for_each(|file| assert!(file.path.is_relative()));
            let _ = torrent.magnet();
        }
        let _ = bencode::scan(&torrent, bencode::TORRENT);
        let _ = parse_reply(&mutated(&mut rng, REPLY));
        let _ = ExtendedHandshake::default().update(&mutated(&mut rng, EXTENDED));
        if let Some(request) = Request::decode(&mutated(&mut rng, UDP_ANNOUNCE)) {
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            assert_eq!(Request::decode(&bytes), Some(request), "what was read can be written");
        }
        for reply in UDP_REPLIES {
            let reply = mutated(&mut rng, reply);
            let _ = Reply::decode(&reply, Family::V4);
            let _ = Reply::decode(&reply, Family::V6);
        }
        messages(&mutated(&mut rng, MESSAGES), &pool);
        let mut handshake = [0; HANDSHAKE_LEN];
        rng.fill(&mut handshake[..]);
        let _ = Handshake::decode(&handshake);
        rounds += 1;
    }
    println!("{rounds} rounds");
}
