//! SHA-1 and SHA-256 of eight messages side by side in AVX2 registers. Not for use without
//! the feature. Not sixteen in two groups by turns: their words find no room in the registers,
//! and they go at less than half the rate (SHA-1 1.5 instead of 3.6 GB/s, SHA-256 1.0 instead of
//! 1.6, on a Sapphire Rapids Xeon).

use std::arch::x86_64::*;

use super::lanes::{Runs, State};

kernels!("avx2" 8);

/// The state words of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_state<const WORDS: usize>(state: &State<8, WORDS>) -> [__m256i; WORDS] {
    let mut vectors = [_mm256_setzero_si256(); WORDS];
    for (vector, words) in vectors.iter_mut().zip(state) {
        // SAFETY: the eight words are 32 readable bytes; the load needs no alignment.
        *vector = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
    }
    vectors
}

/// The reverse of [`load_state`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_state<const WORDS: usize>(
    state: &mut State<8, WORDS>,
    vectors: [__m256i; WORDS],
) {
    for (words, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: the eight words are 32 writable bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    }
}

/// Loads a quarter of the lanes of one block, two: the first eight words of each into the
/// rows up to 8, the others into those after, and pairs the words.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_quarter<const QUARTER: usize>(
    rows: &mut [__m256i; 16],
    runs: &Runs<8>,
    block: usize,
) {
    let order = _mm256_broadcastsi128_si256(_mm_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    ));
    let load = |lane: usize| {
        let bytes = runs[lane][block].as_ptr();
        // SAFETY: the block is 64 readable bytes, read as two halves of 32; the loads need
        // no alignment.
        let halves =
            unsafe { [_mm256_loadu_si256(bytes.cast()), _mm256_loadu_si256(bytes.add(32).cast())] };
        halves.map(|half| _mm256_shuffle_epi8(half, order))
    };
    let (even, odd) = (load(QUARTER * 2), load(QUARTER * 2 + 1));
    for (half, rows) in rows.chunks_exact_mut(8).enumerate() {
        rows[QUARTER * 2] = _mm256_unpacklo_epi32(even[half], odd[half]);
        rows[QUARTER * 2 + 1] = _mm256_unpackhi_epi32(even[half], odd[half]);
    }
}

/// Turns the pairs, so that a vector holds the same word of all lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn turn(pairs: [__m256i; 16]) -> [__m256i; 16] {
    let (mut fours, mut words) = (pairs, pairs);
    for at in [0, 4, 8, 12] {
        fours[at] = _mm256_unpacklo_epi64(pairs[at], pairs[at + 2]);
        fours[at + 1] = _mm256_unpackhi_epi64(pairs[at], pairs[at + 2]);
        fours[at + 2] = _mm256_unpacklo_epi64(pairs[at + 1], pairs[at + 3]);
        fours[at + 3] = _mm256_unpackhi_epi64(pairs[at + 1], pairs[at + 3]);
    }
    for at in [0, 1, 2, 3, 8, 9, 10, 11] {
        words[at] = _mm256_permute2x128_si256::<0x20>(fours[at], fours[at + 4]);
        words[at + 4] = _mm256_permute2x128_si256::<0x31>(fours[at], fours[at + 4]);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(a: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(a), _mm256_srli_epi32::<RIGHT>(a))
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift<const RIGHT: i32>(a: __m256i) -> __m256i {
    _mm256_srli_epi32::<RIGHT>(a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor4(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d))
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parity(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_xor_si256(b, _mm256_xor_si256(c, d))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    let both = _mm256_and_si256(c, d);
    _mm256_or_si256(both, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
}
