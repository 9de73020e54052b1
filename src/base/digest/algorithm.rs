//! What tells SHA-1 and SHA-256 apart for the code around the rounds: start values, the crate
//! that hashes one message, and the kernels with the number of messages they pay from.
//! Not the rounds, and not what runs the kernels. Source: FIPS 180-4, 5.3.1 and 5.3.3.

use super::Engine;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Runs, State};
use super::message::Block;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

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
}

impl<const WORDS: usize> Algorithm<WORDS> {
    /// The engines for many messages, each with the number of messages that it pays from.
    /// Those that the machine lacks are to be passed over.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn plan(&self) -> [(Engine, usize); 3] {
        let has_sha = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
        let pays = |worth: [usize; 2]| if has_sha { worth[0] } else { worth[1] };
        [
            (Engine::Avx512, pays(self.avx512_x16.worth)),
            (Engine::Avx512Half, pays(self.avx512_x8.worth)),
            (Engine::Avx2, pays(self.avx2_x8.worth)),
        ]
    }

    /// The engines for many messages: none but the crates.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn plan(&self) -> [(Engine, usize); 0] {
        []
    }
}

/// Compresses lanes side by side. Only for processors that have the registers.
#[cfg(target_arch = "x86_64")]
pub(super) struct Kernel<const LANES: usize, const WORDS: usize> {
    /// SAFETY: to be called after the processor was asked for the instructions.
    pub(super) compress: unsafe fn(&mut State<LANES, WORDS>, &Runs<LANES>),
    /// From how many messages on a step pays: beside the processor's SHA instructions, and
    /// without them. With sixteen lanes: rather than eight lanes and the rest one by one.
    pub(super) worth: [usize; 2],
}

/// For a kernel that pays for no number of messages.
#[cfg(target_arch = "x86_64")]
const NEVER: usize = usize::MAX;

// The numbers beside the kernels come from `benches/digest.rs` on a Sapphire Rapids Xeon: the
// time of a step over all lanes, in times that one message takes by itself.

/// A step costs, beside SHA-NI (1.63 GB/s; 0.69 without): 4.1 messages with sixteen lanes
/// (4.7 on a Zen 4), 2.6 with eight of AVX-512 (2.5), 4.4 with AVX2 (3.7); without SHA-NI
/// 1.7, 1.1 and 1.9.
pub(super) const SHA1: Algorithm<5> = Algorithm {
    start: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
    single: sha1::block_api::compress,
    #[cfg(target_arch = "x86_64")]
    avx512_x16: Kernel { compress: avx512::full::sha1, worth: [10, 9] },
    #[cfg(target_arch = "x86_64")]
    avx512_x8: Kernel { compress: avx512::half::sha1, worth: [3, 2] },
    #[cfg(target_arch = "x86_64")]
    avx2_x8: Kernel { compress: avx2::sha1, worth: [5, 2] },
};

/// A step costs, beside SHA-NI (1.48 GB/s; 0.29 without): 7.2 messages with sixteen lanes, 4.8
/// with eight of AVX-512, 8.9 with AVX2, which is no gain; without SHA-NI 1.4, 0.9 and 1.7.
pub(super) const SHA256: Algorithm<8> = Algorithm {
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
    avx512_x16: Kernel { compress: avx512::full::sha256, worth: [11, 9] },
    #[cfg(target_arch = "x86_64")]
    avx512_x8: Kernel { compress: avx512::half::sha256, worth: [5, 2] },
    #[cfg(target_arch = "x86_64")]
    avx2_x8: Kernel { compress: avx2::sha256, worth: [NEVER, 2] },
};
