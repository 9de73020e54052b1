//! SHA-1 of sixteen messages side by side in AVX-512 registers, or of eight in the half
//! registers that share its rotation and three-input logic. Not for use without F, BW and VL.

use std::arch::x86_64::*;

use super::lanes::{Runs, State};

/// Compresses the runs of eight lanes, which are equally long.
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn compress_x8(state: &mut State<8>, runs: &Runs<8>) {
    use half::*;
    let mut vectors = super::avx2::load_state(state);
    for block in 0..runs[0].len() {
        let mut words = super::avx2::load_words(runs, block);
        sha1_block!(vectors, words);
    }
    super::avx2::store_state(state, vectors);
}

/// Compresses the runs of sixteen lanes, which are equally long.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn compress_x16(state: &mut State<16>, runs: &Runs<16>) {
    use full::*;
    let mut vectors = [_mm512_setzero_si512(); 5];
    for (vector, words) in vectors.iter_mut().zip(&*state) {
        // SAFETY: the sixteen words are 64 readable bytes; the load needs no alignment.
        *vector = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
    }
    for block in 0..runs[0].len() {
        let mut words = load_words(runs, block);
        sha1_block!(vectors, words);
    }
    for (words, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: the sixteen words are 64 writable bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    }
}

/// One block of each lane, turned so that a vector holds the same word of all lanes. A block
/// is read by one load: sixteen buffers a power of two apart share one set of the first
/// cache, and a line would be gone before a second load.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load_words(runs: &Runs<16>, block: usize) -> [__m512i; 16] {
    let order =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    let mut rows = [_mm512_setzero_si512(); 16];
    for lane in 0..16 {
        // SAFETY: the block is 64 readable bytes; the load needs no alignment.
        let row = unsafe { _mm512_loadu_si512(runs[lane][block].as_ptr().cast()) };
        rows[lane] = _mm512_shuffle_epi8(row, order);
    }
    transpose(rows)
}

/// Turns sixteen rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    for at in [0, 2, 4, 6, 8, 10, 12, 14] {
        pairs[at] = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
        pairs[at + 1] = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
    }
    let mut fours = rows;
    for at in [0, 4, 8, 12] {
        fours[at] = _mm512_unpacklo_epi64(pairs[at], pairs[at + 2]);
        fours[at + 1] = _mm512_unpackhi_epi64(pairs[at], pairs[at + 2]);
        fours[at + 2] = _mm512_unpacklo_epi64(pairs[at + 1], pairs[at + 3]);
        fours[at + 3] = _mm512_unpackhi_epi64(pairs[at + 1], pairs[at + 3]);
    }
    // What is left is to turn four rows of four quarters, once for each word of a quarter.
    let mut columns = rows;
    for at in 0..4 {
        let even_low = _mm512_shuffle_i32x4::<0x88>(fours[at], fours[at + 4]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(fours[at + 8], fours[at + 12]);
        let odd_low = _mm512_shuffle_i32x4::<0xdd>(fours[at], fours[at + 4]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(fours[at + 8], fours[at + 12]);
        columns[at] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        columns[at + 4] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        columns[at + 8] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        columns[at + 12] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}

/// The operations of the rounds for one width. The numbers of the three-input logic are
/// the truth tables of the functions in FIPS 180-4, 4.1.1.
macro_rules! operations {
    (
        $width:ident $vector:ident: $set:ident $add:ident $xor:ident $rotate:ident $logic:ident
    ) => {
        mod $width {
            use std::arch::x86_64::*;

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn splat(word: u32) -> $vector {
                $set(word.cast_signed())
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn add(a: $vector, b: $vector) -> $vector {
                $add(a, b)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn rotate<const LEFT: i32, const RIGHT: i32>(a: $vector) -> $vector {
                $rotate::<LEFT>(a)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn xor4(a: $vector, b: $vector, c: $vector, d: $vector) -> $vector {
                $xor(parity(b, c, d), a)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn choose(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0xca>(b, c, d)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn parity(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0x96>(b, c, d)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            pub(super) fn majority(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0xe8>(b, c, d)
            }
        }
    };
}

operations!(full __m512i: _mm512_set1_epi32 _mm512_add_epi32 _mm512_xor_si512
    _mm512_rol_epi32 _mm512_ternarylogic_epi32);
operations!(half __m256i: _mm256_set1_epi32 _mm256_add_epi32 _mm256_xor_si256
    _mm256_rol_epi32 _mm256_ternarylogic_epi32);
