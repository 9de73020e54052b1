//! SHA-1 and SHA-256 of sixteen messages side by side in AVX-512 registers, or of eight in the
//! half registers that share their rotation and three-input logic. Not for use without F, BW
//! and VL.

use std::arch::x86_64::*;

use super::lanes::{Runs, State};

/// How far before its use a line is asked for, in bytes. Sixteen streams are many for the
/// processor's own prefetch: with data in memory this gains 2 % for SHA-1 (6.14 to 6.26 GB/s)
/// and 3 % for SHA-256; 256 and 1024 do the same. Eight lanes lose 5 % by it and do without.
const AHEAD: usize = 512;

/// The state words of sixteen lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_state<const WORDS: usize>(state: &State<16, WORDS>) -> [__m512i; WORDS] {
    let mut vectors = [_mm512_setzero_si512(); WORDS];
    for (vector, words) in vectors.iter_mut().zip(state) {
        // SAFETY: the sixteen words are 64 readable bytes; the load needs no alignment.
        *vector = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
    }
    vectors
}

/// The reverse of [`load_state`].
#[inline]
#[target_feature(enable = "avx512f")]
fn store_state<const WORDS: usize>(state: &mut State<16, WORDS>, vectors: [__m512i; WORDS]) {
    for (words, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: the sixteen words are 64 writable bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    }
}

/// Loads a quarter of the lanes of one block, and makes of their four rows four rows of which
/// each holds, four times, the same word of all four lanes. A line is read by one load:
/// sixteen buffers a power of two apart share one set of the first cache, and it would be
/// gone before a second load.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load_quarter<const QUARTER: usize>(rows: &mut [__m512i; 16], runs: &Runs<16>, block: usize) {
    let order =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    let load = |at: usize| {
        let bytes = runs[QUARTER * 4 + at][block].as_ptr();
        // SAFETY: the block is 64 readable bytes; the load needs no alignment. A prefetch
        // reads nothing, and may be of any address.
        let row = unsafe {
            _mm_prefetch::<_MM_HINT_T0>(bytes.wrapping_add(AHEAD).cast());
            _mm512_loadu_si512(bytes.cast())
        };
        _mm512_shuffle_epi8(row, order)
    };
    let quarter = [load(0), load(1), load(2), load(3)];
    let low_0 = _mm512_unpacklo_epi32(quarter[0], quarter[1]);
    let high_0 = _mm512_unpackhi_epi32(quarter[0], quarter[1]);
    let low_1 = _mm512_unpacklo_epi32(quarter[2], quarter[3]);
    let high_1 = _mm512_unpackhi_epi32(quarter[2], quarter[3]);
    rows[QUARTER * 4] = _mm512_unpacklo_epi64(low_0, low_1);
    rows[QUARTER * 4 + 1] = _mm512_unpackhi_epi64(low_0, low_1);
    rows[QUARTER * 4 + 2] = _mm512_unpacklo_epi64(high_0, high_1);
    rows[QUARTER * 4 + 3] = _mm512_unpackhi_epi64(high_0, high_1);
}

/// Turns four rows of four quarters, once for each word of a quarter: then a vector holds the
/// same word of all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut words = rows;
    for at in 0..4 {
        let even_low = _mm512_shuffle_i32x4::<0x88>(rows[at], rows[at + 4]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(rows[at + 8], rows[at + 12]);
        let odd_low = _mm512_shuffle_i32x4::<0xdd>(rows[at], rows[at + 4]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(rows[at + 8], rows[at + 12]);
        words[at] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        words[at + 4] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        words[at + 8] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        words[at + 12] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    words
}

/// The operations of the rounds for one width, and its kernels. The numbers of the three-input
/// logic are the truth tables of the functions in FIPS 180-4, 4.1.1 and 4.1.2.
macro_rules! width {
    (
        $width:ident $lanes:literal $vector:ident
        { $add:ident $xor:ident $rotate:ident $shift:ident<$bits:ident> $logic:ident $splat:ident }
        from $($loads:ident)::+
    ) => {
        pub(super) mod $width {
            use std::arch::x86_64::*;

            use super::super::lanes::{Runs, State};
            use $($loads)::+::{load_quarter, load_state, store_state, turn};

            kernels!("avx512f,avx512bw,avx512vl" $lanes);

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn splat(word: u32) -> $vector {
                $splat(word.cast_signed())
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn add(a: $vector, b: $vector) -> $vector {
                $add(a, b)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn rotate<const LEFT: i32, const RIGHT: i32>(a: $vector) -> $vector {
                $rotate::<LEFT>(a)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn shift<const RIGHT: $bits>(a: $vector) -> $vector {
                $shift::<RIGHT>(a)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn xor4(a: $vector, b: $vector, c: $vector, d: $vector) -> $vector {
                $xor(parity(b, c, d), a)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn choose(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0xca>(b, c, d)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn parity(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0x96>(b, c, d)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            fn majority(b: $vector, c: $vector, d: $vector) -> $vector {
                $logic::<0xe8>(b, c, d)
            }
        }
    };
}

width!(full 16 __m512i
    { _mm512_add_epi32 _mm512_xor_si512 _mm512_rol_epi32 _mm512_srli_epi32<u32>
      _mm512_ternarylogic_epi32 _mm512_set1_epi32 }
    from super);
width!(half 8 __m256i
    { _mm256_add_epi32 _mm256_xor_si256 _mm256_rol_epi32 _mm256_srli_epi32<i32>
      _mm256_ternarylogic_epi32 _mm256_set1_epi32 }
    from super::super::avx2);
