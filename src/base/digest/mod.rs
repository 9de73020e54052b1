//! SHA-1 and SHA-256: one message, or many side by side in the lanes of vector registers.
//! Not a hasher with state to hand around: a message is given whole, as its parts, because
//! a piece lies in memory as separate blocks. The engine is chosen at run time.
//! Sources: FIPS 180-4; BEP 3 (piece hashes), BEP 52 (leaves).

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod rounds;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod message;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use self::message::Job;

/// A SHA-1 digest.
pub type Sha1Hash = [u8; 20];

/// A SHA-256 digest.
pub type Sha256Hash = [u8; 32];

/// A way to compute many SHA-1 digests. All give the same digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Sixteen messages side by side in AVX-512 registers, eight when fewer wait.
    Avx512,
    /// Eight messages side by side in AVX2 registers.
    Avx2,
    /// One message after another with the processor's SHA-1 instructions.
    ShaNi,
    /// One message after another on whatever the `sha1` crate finds.
    Portable,
}

impl Engine {
    /// The engines this machine runs, fastest first.
    pub fn available() -> Vec<Engine> {
        let all = [Engine::Avx512, Engine::Avx2, Engine::ShaNi, Engine::Portable];
        all.into_iter().filter(|engine| engine.is_available()).collect()
    }

    /// The fastest engine of this machine.
    pub fn best() -> Engine {
        let faster = [Engine::Avx512, Engine::Avx2, Engine::ShaNi];
        faster.into_iter().find(|engine| engine.is_available()).unwrap_or(Engine::Portable)
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Engine::ShaNi => {
                is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("ssse3")
                    && is_x86_feature_detected!("sse4.1")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Engine::Avx512 | Engine::Avx2 | Engine::ShaNi => false,
            Engine::Portable => true,
        }
    }

    /// The name people see, with the number of lanes.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Avx512 => "avx512 x16",
            Engine::Avx2 => "avx2 x8",
            Engine::ShaNi => "sha-ni",
            Engine::Portable => "portable",
        }
    }
}

/// The SHA-1 of one message, given as consecutive parts of any lengths.
pub fn sha1(parts: &[&[u8]]) -> Sha1Hash {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The SHA-1 of each message, in order, on the fastest engine. A message is a list of
/// consecutive parts. Number and lengths are free; sixteen of one length go fastest.
pub fn sha1_many(messages: &[Vec<&[u8]>]) -> Vec<Sha1Hash> {
    sha1_many_with(Engine::best(), messages)
}

/// Like [`sha1_many`] on a given engine; one the machine lacks is replaced by
/// [`Engine::Portable`].
pub fn sha1_many_with(engine: Engine, messages: &[Vec<&[u8]>]) -> Vec<Sha1Hash> {
    let mut hashes = vec![[0; 20]; messages.len()];
    let jobs = messages.iter().enumerate().map(|(index, parts)| Job::new(index, parts));
    let engine = if engine.is_available() { engine } else { Engine::Portable };
    match engine {
        #[cfg(target_arch = "x86_64")]
        Engine::Avx512 => hash_avx512(jobs, &mut hashes),
        #[cfg(target_arch = "x86_64")]
        Engine::Avx2 => hash_avx2(jobs, &mut hashes),
        _ => jobs.for_each(|job| job.finish(&mut hashes)),
    }
    hashes
}

/// The SHA-256 of one message, given as consecutive parts of any lengths.
pub fn sha256(parts: &[&[u8]]) -> Sha256Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The SHA-256 of each message, in order. The leaves of BEP 52 are 16 KiB each.
pub fn sha256_many(messages: &[&[u8]]) -> Vec<Sha256Hash> {
    messages.iter().map(|message| sha256(&[message])).collect()
}

/// The name of the engine that [`sha1_many`] uses on this machine.
pub fn engine_name() -> &'static str {
    Engine::best().name()
}

/// From how many messages on lanes pay: beside SHA-NI, and without it. Measured with
/// `benches/digest.rs` on a Zen 4 core, where a step of sixteen AVX-512 lanes costs as much
/// as 4.7 messages with SHA-NI, a step of eight 2.5, and a step of eight AVX2 lanes 3.7; the
/// `sha1` crate takes three times as long without SHA-NI. Sixteen lanes compete with eight.
#[cfg(target_arch = "x86_64")]
const WORTH_AVX512_X16: [usize; 2] = [11, 9];
#[cfg(target_arch = "x86_64")]
const WORTH_AVX512_X8: [usize; 2] = [3, 2];
#[cfg(target_arch = "x86_64")]
const WORTH_AVX2: [usize; 2] = [4, 2];

#[cfg(target_arch = "x86_64")]
fn worth([with, without]: [usize; 2]) -> usize {
    if Engine::ShaNi.is_available() { with } else { without }
}

/// Callers have checked that [`Engine::Avx512`] is available.
#[cfg(target_arch = "x86_64")]
fn hash_avx512<'a>(jobs: impl Iterator<Item = Job<'a>>, hashes: &mut [Sha1Hash]) {
    let left = lanes::run::<16>(jobs, hashes, worth(WORTH_AVX512_X16), |state, runs| {
        // SAFETY: the caller saw that the processor has AVX-512 F, BW and VL.
        unsafe { avx512::compress_x16(state, runs) }
    });
    let left = lanes::run::<8>(left.into_iter(), hashes, worth(WORTH_AVX512_X8), |state, runs| {
        // SAFETY: as above.
        unsafe { avx512::compress_x8(state, runs) }
    });
    left.into_iter().for_each(|job| job.finish(hashes));
}

/// Callers have checked that [`Engine::Avx2`] is available.
#[cfg(target_arch = "x86_64")]
fn hash_avx2<'a>(jobs: impl Iterator<Item = Job<'a>>, hashes: &mut [Sha1Hash]) {
    let left = lanes::run::<8>(jobs, hashes, worth(WORTH_AVX2), |state, runs| {
        // SAFETY: the caller saw that the processor has AVX2.
        unsafe { avx2::compress_x8(state, runs) }
    });
    left.into_iter().for_each(|job| job.finish(hashes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The messages and digests of FIPS 180 (one block, two blocks, empty).
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
    fn bytes(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|at| ((at * 167 + at / 251 + seed * 89) % 256) as u8).collect()
    }

    #[test]
    fn known_vectors_on_every_engine_and_count() {
        for (text, sha1_hex, sha256_hex) in KNOWN {
            let text = text.as_bytes();
            assert_eq!(hex(&sha1(&[text])), sha1_hex);
            assert_eq!(hex(&sha256(&[text])), sha256_hex);
            assert_eq!(hex(&sha256_many(&[text, b"else"])[0]), sha256_hex);
            for engine in Engine::available() {
                for count in [1, 2, 3, 8, 9, 16, 17] {
                    for hash in sha1_many_with(engine, &vec![vec![text]; count]) {
                        assert_eq!(hex(&hash), sha1_hex, "{engine:?}, {count} messages");
                    }
                }
            }
        }
    }

    #[test]
    fn a_million_letters_on_every_engine() {
        let message = vec![b'a'; 1_000_000];
        let messages = vec![message.chunks(16 * 1024).collect::<Vec<_>>(); 16];
        for engine in Engine::available() {
            for hash in sha1_many_with(engine, &messages) {
                assert_eq!(hex(&hash), "34aa973cd4c4daa4f61eeb2bdbad27316534016f", "{engine:?}");
            }
        }
    }

    #[test]
    fn every_length_around_the_padding() {
        let data: Vec<_> = (0..=130).map(|len| bytes(len, len)).collect();
        let messages: Vec<Vec<&[u8]>> = data.iter().map(|message| vec![&message[..]]).collect();
        let expected: Vec<_> = messages.iter().map(|parts| sha1(parts)).collect();
        for engine in Engine::available() {
            assert_eq!(sha1_many_with(engine, &messages), expected, "{engine:?}");
        }
    }

    #[test]
    fn no_messages_and_messages_without_parts() {
        for engine in Engine::available() {
            assert_eq!(sha1_many_with(engine, &[]), Vec::<Sha1Hash>::new());
            assert_eq!(sha1_many_with(engine, &vec![vec![]; 20]), vec![sha1(&[]); 20]);
        }
    }

    #[test]
    fn every_engine_of_this_machine_is_listed_and_named() {
        let engines = Engine::available();
        assert_eq!(engines.first(), Some(&Engine::best()));
        assert_eq!(engines.last(), Some(&Engine::Portable));
        assert_eq!(engine_name(), Engine::best().name());
    }

    fn length() -> impl Strategy<Value = usize> {
        let edges = prop::sample::select(vec![0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1024]);
        prop_oneof![edges, 0..3000usize]
    }

    /// Lengths, each with the places where the message is cut into parts.
    fn shapes() -> impl Strategy<Value = Vec<(usize, Vec<usize>)>> {
        prop::collection::vec((length(), prop::collection::vec(0..3000usize, 0..6)), 0..40)
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
        #[test]
        fn engines_agree_with_the_crate(shapes in shapes()) {
            let data: Vec<_> =
                shapes.iter().enumerate().map(|(seed, (len, _))| bytes(*len, seed)).collect();
            let messages: Vec<_> =
                data.iter().zip(&shapes).map(|(message, (_, cuts))| split(message, cuts)).collect();
            let expected: Vec<Sha1Hash> =
                data.iter().map(|message| Sha1::digest(message).into()).collect();
            for engine in Engine::available() {
                prop_assert_eq!(&sha1_many_with(engine, &messages), &expected, "{:?}", engine);
            }
            for (parts, hash) in messages.iter().zip(&expected) {
                prop_assert_eq!(&sha1(parts), hash);
            }
        }

        #[test]
        fn equal_lengths_with_a_shorter_last(count in 1..40usize, len in 0..5000usize, cut: usize) {
            let mut data: Vec<_> = (0..count).map(|seed| bytes(len, seed)).collect();
            let last = data.last_mut().expect("at least one message");
            last.truncate(cut % (len + 1));
            let messages: Vec<Vec<&[u8]>> =
                data.iter().map(|message| message.chunks(1024).collect()).collect();
            let expected: Vec<_> = messages.iter().map(|parts| sha1(parts)).collect();
            for engine in Engine::available() {
                prop_assert_eq!(&sha1_many_with(engine, &messages), &expected, "{:?}", engine);
            }
        }
    }
}
