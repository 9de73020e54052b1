//! SHA-1 and SHA-256: one message, or many side by side in the lanes of vector registers.
//! A message is given whole, as its parts, because a piece lies in memory as separate blocks;
//! or many are given slice by slice, all equally far. The engine is chosen at run time.
//! Sources: FIPS 180-4; BEP 3 (piece hashes), BEP 52 (leaves).

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod rounds;

mod algorithm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod message;
mod step;
#[cfg(test)]
mod tests;

use std::slice;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use self::algorithm::{Algorithm, SHA1, SHA256};
use self::message::Job;

pub use self::step::Sha1InStep;

/// A SHA-1 digest.
pub type Sha1Hash = [u8; 20];

/// A SHA-256 digest.
pub type Sha256Hash = [u8; 32];

/// A way to hash many messages. All give the same digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Sixteen messages side by side in AVX-512 registers.
    Avx512,
    /// Eight messages side by side in the half registers of AVX-512.
    Avx512Half,
    /// Eight messages side by side in AVX2 registers.
    Avx2,
    /// One message after another through the crates, which use the processor's SHA
    /// instructions where it has them (SHA-NI, or SHA2 of ARMv8).
    Single,
}

impl Engine {
    /// The engines this machine runs, the one for most messages first.
    pub fn available() -> Vec<Engine> {
        let all = [Engine::Avx512, Engine::Avx512Half, Engine::Avx2, Engine::Single];
        all.into_iter().filter(|engine| engine.is_available()).collect()
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 | Engine::Avx512Half => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(not(target_arch = "x86_64"))]
            Engine::Avx512 | Engine::Avx512Half | Engine::Avx2 => false,
            Engine::Single => true,
        }
    }

    /// The name people see, with the number of lanes.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Avx512 => "avx512 x16",
            Engine::Avx512Half => "avx512 x8",
            Engine::Avx2 => "avx2 x8",
            Engine::Single => "one by one",
        }
    }

    /// Hashes jobs until fewer than `worth` are left, which it hands back: all of them when the
    /// machine lacks the instructions.
    fn run<'a, const WORDS: usize>(
        self,
        algorithm: &Algorithm<WORDS>,
        worth: usize,
        jobs: impl Iterator<Item = Job<'a, WORDS>>,
        hashes: &mut [[u32; WORDS]],
    ) -> Vec<Job<'a, WORDS>> {
        if !self.is_available() {
            return jobs.collect();
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => lanes::run(jobs, hashes, worth, |state, runs| {
                // SAFETY: the processor has the instructions, as was seen above.
                unsafe { (algorithm.avx512_x16.compress)(state, runs) }
            }),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Half => lanes::run(jobs, hashes, worth, |state, runs| {
                // SAFETY: the processor has the instructions, as was seen above.
                unsafe { (algorithm.avx512_x8.compress)(state, runs) }
            }),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => lanes::run(jobs, hashes, worth, |state, runs| {
                // SAFETY: the processor has the instructions, as was seen above.
                unsafe { (algorithm.avx2_x8.compress)(state, runs) }
            }),
            _ => {
                jobs.for_each(|job| job.finish(hashes, algorithm.single));
                Vec::new()
            }
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

/// The SHA-1 of each message, in order, on the engines that are fastest for so many. A message
/// is a list of consecutive parts. Number and lengths are free; sixteen of one length go
/// fastest.
pub fn sha1_many(messages: &[Vec<&[u8]>]) -> Vec<Sha1Hash> {
    many(&SHA1, &SHA1.plan(), messages.iter().map(Vec::as_slice))
}

/// Like [`sha1_many`] on a given engine, however few the messages; one that the machine lacks
/// is replaced by [`Engine::Single`]. For tests and benches.
pub fn sha1_many_with(engine: Engine, messages: &[Vec<&[u8]>]) -> Vec<Sha1Hash> {
    many(&SHA1, &[(engine, 1)], messages.iter().map(Vec::as_slice))
}

/// The SHA-256 of one message, given as consecutive parts of any lengths.
pub fn sha256(parts: &[&[u8]]) -> Sha256Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The SHA-256 of each message, in order, on the engines that are fastest for so many. The
/// leaves of BEP 52 are 16 KiB each; sixteen of one length go fastest.
pub fn sha256_many(messages: &[&[u8]]) -> Vec<Sha256Hash> {
    many(&SHA256, &SHA256.plan(), messages.iter().map(slice::from_ref))
}

/// Like [`sha256_many`] on a given engine, however few the messages; one that the machine
/// lacks is replaced by [`Engine::Single`]. For tests and benches.
pub fn sha256_many_with(engine: Engine, messages: &[&[u8]]) -> Vec<Sha256Hash> {
    many(&SHA256, &[(engine, 1)], messages.iter().map(slice::from_ref))
}

/// Hashes messages on the engines of a plan: each as long as the number of messages that is
/// given beside it is left, and what remains one by one. `BYTES` is four times `WORDS`.
fn many<'a, const WORDS: usize, const BYTES: usize>(
    algorithm: &Algorithm<WORDS>,
    plan: &[(Engine, usize)],
    messages: impl ExactSizeIterator<Item = &'a [&'a [u8]]>,
) -> Vec<[u8; BYTES]> {
    let start = algorithm.start;
    let jobs = messages.enumerate().map(|(index, parts)| Job::new(index, start, parts));
    states(algorithm, plan, jobs).into_iter().map(bytes).collect()
}

/// The states that jobs, numbered from 0 on, come to by a plan.
fn states<'a, const WORDS: usize>(
    algorithm: &Algorithm<WORDS>,
    plan: &[(Engine, usize)],
    mut jobs: impl ExactSizeIterator<Item = Job<'a, WORDS>>,
) -> Vec<[u32; WORDS]> {
    let mut states = vec![[0; WORDS]; jobs.len()];
    let mut left = Vec::new();
    for (engine, worth) in plan {
        left = engine.run(algorithm, *worth, left.into_iter().chain(&mut jobs), &mut states);
    }
    Engine::Single.run(algorithm, 1, left.into_iter().chain(jobs), &mut states);
    states
}

/// The digest that a final state stands for.
fn bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}
