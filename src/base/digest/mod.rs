//! SHA-1 and SHA-256: one message, or many side by side in the lanes of vector registers.
//! A message is given whole, as its parts, because a piece lies in memory as separate blocks;
//! or many are given slice by slice, all equally far. The engines are chosen at run time, by
//! what they cost on the processor that runs.
//! Sources: FIPS 180-4; BEP 3 (piece hashes), BEP 52 (leaves).

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod rounds;

mod algorithm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod engine;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod measure;
mod message;
mod plan;
mod queue;
#[cfg(target_arch = "x86_64")]
mod shani;
mod step;
#[cfg(test)]
mod tests;

use std::slice;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use self::algorithm::{Algorithm, SHA1, SHA256};
use self::message::Job;
use self::queue::Queue;

pub use self::engine::{Engine, FORCED_BY, NoEngine, forced};
pub use self::plan::Plan;
pub use self::step::Sha1InStep;

/// A SHA-1 digest.
pub type Sha1Hash = [u8; 20];

/// A SHA-256 digest.
pub type Sha256Hash = [u8; 32];

/// The engines for SHA-1, measured when first they are needed: that takes a millisecond.
pub fn sha1_plan() -> &'static Plan {
    SHA1.plan()
}

/// The engines for SHA-256, measured when first they are needed: that takes a millisecond.
pub fn sha256_plan() -> &'static Plan {
    SHA256.plan()
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
    many(&SHA1, SHA1.plan(), messages.iter().map(Vec::as_slice))
}

/// Like [`sha1_many`] on a given engine, however few the messages; one that the machine lacks
/// is replaced by [`Engine::Single`]. For tests and benches.
pub fn sha1_many_with(engine: Engine, messages: &[Vec<&[u8]>]) -> Vec<Sha1Hash> {
    many(&SHA1, &Plan::only(engine), messages.iter().map(Vec::as_slice))
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
    many(&SHA256, SHA256.plan(), messages.iter().map(slice::from_ref))
}

/// Like [`sha256_many`] on a given engine, however few the messages; one that the machine
/// lacks is replaced by [`Engine::Single`]. For tests and benches.
pub fn sha256_many_with(engine: Engine, messages: &[&[u8]]) -> Vec<Sha256Hash> {
    many(&SHA256, &Plan::only(engine), messages.iter().map(slice::from_ref))
}

/// Hashes messages by a plan. `BYTES` is four times `WORDS`.
fn many<'a, const WORDS: usize, const BYTES: usize>(
    algorithm: &Algorithm<WORDS>,
    plan: &Plan,
    messages: impl ExactSizeIterator<Item = &'a [&'a [u8]]>,
) -> Vec<[u8; BYTES]> {
    let start = algorithm.start;
    let jobs = messages.enumerate().map(|(index, parts)| Job::new(index, start, parts));
    states(algorithm, plan, jobs).into_iter().map(bytes).collect()
}

/// The states that jobs, numbered from 0 on, come to by a plan, which is asked again each time
/// that fewer are left.
fn states<'a, const WORDS: usize>(
    algorithm: &Algorithm<WORDS>,
    plan: &Plan,
    jobs: impl ExactSizeIterator<Item = Job<'a, WORDS>>,
) -> Vec<[u32; WORDS]> {
    let mut states = vec![[0; WORDS]; jobs.len()];
    let mut queue = Queue::new(jobs);
    while queue.len() > 0 {
        let engine = plan.engine(queue.len());
        engine.run(algorithm, &mut queue, &mut states, |left| plan.engine(left) == engine);
    }
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
