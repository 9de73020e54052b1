//! Every engine forced in turn against the known vectors and the crates, at every length
//! around a block and around the padding, with messages in one and in many parts.

use proptest::prelude::*;

use super::*;

/// The messages and digests of FIPS 180 (empty, one block, two blocks).
const KNOWN: [(&str, &str, &str); 3] = [
    (
        "",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        "abc",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
];

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Bytes that differ from place to place and from message to message.
fn bytes_of(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 167 + at / 251 + seed * 89) % 256) as u8).collect()
}

/// Both algorithms against the crates: by a plan, on every engine, as chosen for this machine.
fn assert_like_the_crates(messages: &[Vec<&[u8]>], plan: &Plan) {
    let whole: Vec<Vec<u8>> = messages.iter().map(|parts| parts.concat()).collect();
    let whole: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
    let sha1_hashes: Vec<Sha1Hash> = whole.iter().map(|all| Sha1::digest(all).into()).collect();
    let sha256_hashes: Vec<Sha256Hash> =
        whole.iter().map(|all| Sha256::digest(all).into()).collect();
    let parts = || messages.iter().map(Vec::as_slice);
    assert_eq!(many(&SHA1, plan, parts()), sha1_hashes, "{plan}");
    assert_eq!(many(&SHA256, plan, parts()), sha256_hashes, "{plan}");
    for engine in Engine::available() {
        let only = Plan::only(engine);
        assert_eq!(many(&SHA256, &only, parts()), sha256_hashes, "{engine:?}");
        assert_eq!(sha1_many_with(engine, messages), sha1_hashes, "{engine:?}");
        assert_eq!(sha256_many_with(engine, &whole), sha256_hashes, "{engine:?}");
    }
    assert_eq!(sha1_many(messages), sha1_hashes);
    assert_eq!(sha256_many(&whole), sha256_hashes);
    for (parts, (sha1_hash, sha256_hash)) in
        messages.iter().zip(sha1_hashes.iter().zip(&sha256_hashes))
    {
        assert_eq!(&sha1(parts), sha1_hash);
        assert_eq!(&sha256(parts), sha256_hash);
    }
}

#[test]
fn known_vectors_on_every_engine_and_count() {
    for (text, sha1_hex, sha256_hex) in KNOWN {
        let text = text.as_bytes();
        assert_eq!(hex(&sha1(&[text])), sha1_hex);
        assert_eq!(hex(&sha256(&[text])), sha256_hex);
        for engine in Engine::available() {
            for count in [1, 2, 3, 7, 8, 9, 15, 16, 17, 33] {
                let hashes = sha1_many_with(engine, &vec![vec![text]; count]);
                assert_eq!(hashes.len(), count);
                for hash in hashes {
                    assert_eq!(hex(&hash), sha1_hex, "{engine:?}, {count} messages");
                }
                let hashes = sha256_many_with(engine, &vec![text; count]);
                assert_eq!(hashes.len(), count);
                for hash in hashes {
                    assert_eq!(hex(&hash), sha256_hex, "{engine:?}, {count} messages");
                }
            }
        }
    }
}

#[test]
fn a_million_letters_in_every_lane() {
    let message = vec![b'a'; 1_000_000];
    for hash in sha1_many(&vec![message.chunks(16 * 1024).collect(); 16]) {
        assert_eq!(hex(&hash), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }
    for hash in sha256_many(&[&message[..]; 16]) {
        let known = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(hex(&hash), known);
    }
}

#[test]
fn every_length_around_blocks_and_padding() {
    let data: Vec<_> = (0..=200).map(|len| bytes_of(len, len)).collect();
    // Mixed in one call, and each length in lanes of its own.
    let mixed: Vec<Vec<&[u8]>> = data.iter().map(|message| vec![&message[..]]).collect();
    assert_like_the_crates(&mixed, &Plan::only(Engine::Single));
    for len in (0..=130).chain([1023, 1024, 1025, 16383, 16384, 16385]) {
        let data: Vec<_> = (0..17).map(|seed| bytes_of(len, seed)).collect();
        let equal: Vec<Vec<&[u8]>> = data.iter().map(|message| vec![&message[..]]).collect();
        assert_like_the_crates(&equal, &Plan::only(Engine::Single));
    }
}

#[test]
fn no_messages_and_messages_without_parts() {
    assert_like_the_crates(&[], &Plan::only(Engine::Single));
    assert_like_the_crates(&vec![vec![]; 20], &Plan::only(Engine::Single));
    assert_like_the_crates(&vec![vec![&[][..]; 3]; 20], &Plan::only(Engine::Single));
}

#[test]
fn every_number_of_messages_of_odd_lengths() {
    for count in 0..=40 {
        let data: Vec<_> = (0..count).map(|seed| bytes_of(seed * 97 % 701, seed)).collect();
        let messages: Vec<Vec<&[u8]>> = data.iter().map(|all| all.chunks(61).collect()).collect();
        assert_like_the_crates(&messages, &Plan::only(Engine::Single));
    }
}

#[test]
fn an_engine_hands_back_what_it_is_not_for() {
    let data: Vec<_> = (0..5).map(|seed| bytes_of(300, seed)).collect();
    let parts: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let queue = |count: usize| {
        let parts = parts[..count].iter().map(slice::from_ref);
        let jobs = parts.enumerate();
        Queue::new(jobs.map(|(index, parts)| Job::new(index, SHA256.start, parts)))
    };
    let expected: Vec<Sha256Hash> = data.iter().map(|all| Sha256::digest(all).into()).collect();
    for engine in Engine::available() {
        let mut hashes = [[0; 8]; 5];
        let mut too_few = queue(4);
        engine.run(&SHA256, &mut too_few, &mut hashes, |left| left >= 5);
        assert_eq!(too_few.len(), 4, "{engine:?}");
        assert_eq!(hashes, [[0; 8]; 5], "{engine:?}");
        let mut enough = queue(5);
        engine.run(&SHA256, &mut enough, &mut hashes, |left| left >= 4);
        assert!(enough.len() < 5, "{engine:?}");
        Engine::Single.run(&SHA256, &mut enough, &mut hashes, |_| true);
        assert_eq!(hashes.map(bytes::<8, 32>).to_vec(), expected, "{engine:?}");
    }
}

#[test]
fn any_engine_goes_on_where_any_other_stopped() {
    // Each message ends alone, so that every number is asked for.
    let data: Vec<_> = (0..24).map(|seed| bytes_of(seed * 640 + 5, seed)).collect();
    let messages: Vec<Vec<&[u8]>> = data.iter().map(|message| vec![&message[..]]).collect();
    let engines = Engine::available();
    for turn in 0..engines.len() {
        let choices = std::array::from_fn(|at| engines[(at + turn) % engines.len()]);
        assert_like_the_crates(&messages, &Plan::by(choices));
    }
}

fn length() -> impl Strategy<Value = usize> {
    let edges = prop::sample::select(vec![0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1024]);
    prop_oneof![edges, 0..3000usize]
}

/// Lengths, each with the places where the message is cut into parts.
fn shapes() -> impl Strategy<Value = Vec<(usize, Vec<usize>)>> {
    prop::collection::vec((length(), prop::collection::vec(0..3000usize, 0..6)), 0..40)
}

/// Any engine for any number of messages.
fn plan() -> impl Strategy<Value = Plan> {
    let engine = || prop::sample::select(Engine::available());
    prop::array::uniform16(engine()).prop_map(Plan::by)
}

fn split<'a>(mut message: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for cut in cuts {
        let (part, rest) = message.split_at(cut % (message.len() + 1));
        parts.push(part);
        message = rest;
    }
    parts.push(message);
    parts
}

proptest! {
    // Each case goes through every engine of both algorithms.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mixed_lengths_in_any_parts_by_any_plan(shapes in shapes(), plan in plan()) {
        let data: Vec<_> =
            shapes.iter().enumerate().map(|(seed, (len, _))| bytes_of(*len, seed)).collect();
        let messages: Vec<_> =
            data.iter().zip(&shapes).map(|(message, (_, cuts))| split(message, cuts)).collect();
        assert_like_the_crates(&messages, &plan);
    }

    #[test]
    fn equal_lengths_with_a_shorter_last(count in 1..40usize, len in 0..5000usize, cut: usize) {
        let mut data: Vec<_> = (0..count).map(|seed| bytes_of(len, seed)).collect();
        let last = data.last_mut().expect("at least one message");
        last.truncate(cut % (len + 1));
        let messages: Vec<Vec<&[u8]>> =
            data.iter().map(|message| message.chunks(1024).collect()).collect();
        assert_like_the_crates(&messages, &Plan::only(Engine::Single));
    }
}
