//! What tells SHA-1 and SHA-256 apart for the code around the rounds: start values, the crate
//! that hashes one message, the kernels, and the plan by which they are chosen on this
//! processor. Not the rounds, and not what runs the kernels. Source: FIPS 180-4, 5.3.1 and
//! 5.3.3.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Runs, State};
use super::message::Block;
use super::plan::Plan;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, shani};
use super::{forced, measure};

/// An algorithm, named by the number of its state words.
pub(super) struct Algorithm<const WORDS: usize> {
    /// The state before the first block.
    pub(super) start: [u32; WORDS],
    /// Compresses blocks of one message, on the best that the crate finds.
    pub(super) single: fn(&mut [u32; WORDS], &[Block]),
    #[cfg(target_arch = "x86_64")]
    pub(super) avx512_x16: Kernel<16, WORDS>,
    #[cfg(target_arch = "x86_64")]
    pub(super) avx512_x8: Kernel<8, WORDS>,
    #[cfg(target_arch = "x86_64")]
    pub(super) avx2_x8: Kernel<8, WORDS>,
    #[cfg(target_arch = "x86_64")]
    pub(super) sha_x3: Kernel<3, WORDS>,
    #[cfg(target_arch = "x86_64")]
    pub(super) sha_x2: Kernel<2, WORDS>,
    /// Kept from its first use on.
    plan: OnceLock<Plan>,
}

impl<const WORDS: usize> Algorithm<WORDS> {
    /// The engines for many messages, measured at the first call, which takes a millisecond.
    /// One that is asked for in vain does not keep anybody from hashing.
    pub(super) fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| measure::plan(self, forced().unwrap_or(None)))
    }
}

/// Compresses lanes side by side. Only for processors that have the instructions.
///
/// SAFETY: to be called after the processor was asked for them.
#[cfg(target_arch = "x86_64")]
pub(super) type Kernel<const LANES: usize, const WORDS: usize> =
    unsafe fn(&mut State<LANES, WORDS>, &Runs<LANES>);

pub(super) static SHA1: Algorithm<5> = Algorithm {
    start: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
    single: sha1::block_api::compress,
    #[cfg(target_arch = "x86_64")]
    avx512_x16: avx512::full::sha1,
    #[cfg(target_arch = "x86_64")]
    avx512_x8: avx512::half::sha1,
    #[cfg(target_arch = "x86_64")]
    avx2_x8: avx2::sha1,
    #[cfg(target_arch = "x86_64")]
    sha_x3: shani::sha1,
    #[cfg(target_arch = "x86_64")]
    sha_x2: shani::sha1,
    plan: OnceLock::new(),
};

pub(super) static SHA256: Algorithm<8> = Algorithm {
    start: [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ],
    single: sha2::block_api::compress256,
    #[cfg(target_arch = "x86_64")]
    avx512_x16: avx512::full::sha256,
    #[cfg(target_arch = "x86_64")]
    avx512_x8: avx512::half::sha256,
    #[cfg(target_arch = "x86_64")]
    avx2_x8: avx2::sha256,
    #[cfg(target_arch = "x86_64")]
    sha_x3: shani::sha256,
    #[cfg(target_arch = "x86_64")]
    sha_x2: shani::sha256,
    plan: OnceLock::new(),
};
