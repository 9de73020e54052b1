//! SHA-1 of eight messages side by side in AVX2 registers. Not for use without the feature.

use std::arch::x86_64::*;

use super::lanes::{Runs, State};

/// Compresses the runs of eight lanes, which are equally long.
#[target_feature(enable = "avx2")]
pub(super) fn compress_x8(state: &mut State<8>, runs: &Runs<8>) {
    let mut vectors = load_state(state);
    for block in 0..runs[0].len() {
        let mut words = load_words(runs, block);
        sha1_block!(vectors, words);
    }
    store_state(state, vectors);
}

/// The state words of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_state(state: &State<8>) -> [__m256i; 5] {
    let mut vectors = [_mm256_setzero_si256(); 5];
    for (vector, words) in vectors.iter_mut().zip(state) {
        // SAFETY: the eight words are 32 readable bytes; the load needs no alignment.
        *vector = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
    }
    vectors
}

/// The reverse of [`load_state`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_state(state: &mut State<8>, vectors: [__m256i; 5]) {
    for (words, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: the eight words are 32 writable bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    }
}

/// One block of each lane, turned so that a vector holds the same word of all lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_words(runs: &Runs<8>, block: usize) -> [__m256i; 16] {
    let zero = _mm256_setzero_si256();
    let (mut low, mut high) = ([zero; 8], [zero; 8]);
    for lane in 0..8 {
        let bytes = &runs[lane][block];
        // SAFETY: the block is 64 readable bytes, read as two halves of 32; the loads need
        // no alignment.
        unsafe {
            low[lane] = _mm256_loadu_si256(bytes.as_ptr().cast());
            high[lane] = _mm256_loadu_si256(bytes.as_ptr().add(32).cast());
        }
    }
    let (low, high) = (transpose(low), transpose(high));
    let mut words = [zero; 16];
    for at in 0..8 {
        words[at] = big_endian(low[at]);
        words[at + 8] = big_endian(high[at]);
    }
    words
}

/// Turns eight rows of eight words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let mut pairs = rows;
    for at in [0, 2, 4, 6] {
        pairs[at] = _mm256_unpacklo_epi32(rows[at], rows[at + 1]);
        pairs[at + 1] = _mm256_unpackhi_epi32(rows[at], rows[at + 1]);
    }
    let mut fours = rows;
    for at in [0, 4] {
        fours[at] = _mm256_unpacklo_epi64(pairs[at], pairs[at + 2]);
        fours[at + 1] = _mm256_unpackhi_epi64(pairs[at], pairs[at + 2]);
        fours[at + 2] = _mm256_unpacklo_epi64(pairs[at + 1], pairs[at + 3]);
        fours[at + 3] = _mm256_unpackhi_epi64(pairs[at + 1], pairs[at + 3]);
    }
    let mut columns = rows;
    for at in 0..4 {
        columns[at] = _mm256_permute2x128_si256::<0x20>(fours[at], fours[at + 4]);
        columns[at + 4] = _mm256_permute2x128_si256::<0x31>(fours[at], fours[at + 4]);
    }
    columns
}

#[inline]
#[target_feature(enable = "avx2")]
fn big_endian(words: __m256i) -> __m256i {
    let order = _mm256_broadcastsi128_si256(_mm_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    ));
    _mm256_shuffle_epi8(words, order)
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
