//! SHA-1 and SHA-256 of two or three messages in turn with the processor's SHA instructions.
//! Each waits for the one before it in its message, and meanwhile does those of the others.
//! On a Sapphire Rapids Xeon two go at 2.4 GB/s instead of 2.1 for SHA-1, 2.3 instead of 1.9
//! for SHA-256, and three as fast as two. Not for one message, which the crates do as well, and
//! not for use without SHA, SSE4.1 and SSSE3. Sources: FIPS 180-4, 6.1.2 and 6.2.2; Intel, "Intel
//! SHA Extensions" (2013).

use std::arch::x86_64::*;
use std::array;

use super::lanes::{Runs, State};
use super::rounds::SHA256_CONSTANTS;

/// SHA-1 of the runs of all lanes, which are equally long.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha1<const LANES: usize>(state: &mut State<LANES, 5>, runs: &Runs<LANES>) {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut four: [__m128i; LANES] = array::from_fn(|lane| {
        let [a, b, c, d, _] = state.map(|words| words[lane].cast_signed());
        _mm_set_epi32(a, b, c, d)
    });
    let mut fifth: [__m128i; LANES] =
        array::from_fn(|lane| _mm_set_epi32(state[4][lane].cast_signed(), 0, 0, 0));
    for block in 0..runs[0].len() {
        let mut words: [_; LANES] = array::from_fn(|lane| load(runs[lane], block, order));
        let mut rounds = four;
        // What the fifth word comes from: the first, four rounds before.
        let mut before = fifth;
        macro_rules! twenty {
            ($function:literal: $($group:literal)*) => { $({
                for lane in 0..LANES {
                    let words = &mut words[lane];
                    if $group >= 4 {
                        let mixed = _mm_sha1msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                        let mixed = _mm_xor_si128(mixed, words[($group + 2) % 4]);
                        words[$group % 4] = _mm_sha1msg2_epu32(mixed, words[($group + 3) % 4]);
                    }
                    let word = words[$group % 4];
                    let added = match $group {
                        0 => _mm_add_epi32(before[lane], word),
                        _ => _mm_sha1nexte_epu32(before[lane], word),
                    };
                    before[lane] = rounds[lane];
                    rounds[lane] = _mm_sha1rnds4_epu32::<$function>(rounds[lane], added);
                }
            })* };
        }
        twenty!(0: 0 1 2 3 4);
        twenty!(1: 5 6 7 8 9);
        twenty!(2: 10 11 12 13 14);
        twenty!(3: 15 16 17 18 19);
        for lane in 0..LANES {
            fifth[lane] = _mm_sha1nexte_epu32(before[lane], fifth[lane]);
            four[lane] = _mm_add_epi32(four[lane], rounds[lane]);
        }
    }
    for lane in 0..LANES {
        state[0][lane] = _mm_extract_epi32::<3>(four[lane]).cast_unsigned();
        state[1][lane] = _mm_extract_epi32::<2>(four[lane]).cast_unsigned();
        state[2][lane] = _mm_extract_epi32::<1>(four[lane]).cast_unsigned();
        state[3][lane] = _mm_extract_epi32::<0>(four[lane]).cast_unsigned();
        state[4][lane] = _mm_extract_epi32::<3>(fifth[lane]).cast_unsigned();
    }
}

/// SHA-256 of the runs of all lanes, which are equally long.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha256<const LANES: usize>(state: &mut State<LANES, 8>, runs: &Runs<LANES>) {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let pick = |lane: usize, [a, b, c, d]: [usize; 4]| {
        let word = |at: usize| state[at][lane].cast_signed();
        _mm_set_epi32(word(a), word(b), word(c), word(d))
    };
    // The instructions want the words a, b, e and f together, and c, d, g and h.
    let mut abef: [__m128i; LANES] = array::from_fn(|lane| pick(lane, [0, 1, 4, 5]));
    let mut cdgh: [__m128i; LANES] = array::from_fn(|lane| pick(lane, [2, 3, 6, 7]));
    for block in 0..runs[0].len() {
        let mut words: [_; LANES] = array::from_fn(|lane| load(runs[lane], block, order));
        let (mut first, mut second) = (abef, cdgh);
        macro_rules! rounds {
            ($($group:literal)*) => { $({
                let constant = {
                    let [a, b, c, d] = array::from_fn(|at| {
                        SHA256_CONSTANTS[$group * 4 + at].cast_signed()
                    });
                    _mm_set_epi32(d, c, b, a)
                };
                for lane in 0..LANES {
                    let words = &mut words[lane];
                    if $group >= 4 {
                        let (recent, last) = (words[($group + 2) % 4], words[($group + 3) % 4]);
                        let mixed =
                            _mm_sha256msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                        let mixed = _mm_add_epi32(mixed, _mm_alignr_epi8::<4>(last, recent));
                        words[$group % 4] = _mm_sha256msg2_epu32(mixed, last);
                    }
                    let added = _mm_add_epi32(words[$group % 4], constant);
                    let (one, two) = (first[lane], second[lane]);
                    let two = _mm_sha256rnds2_epu32(two, one, added);
                    let added = _mm_shuffle_epi32::<0x0e>(added);
                    (first[lane], second[lane]) = (_mm_sha256rnds2_epu32(one, two, added), two);
                }
            })* };
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..LANES {
            abef[lane] = _mm_add_epi32(abef[lane], first[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], second[lane]);
        }
    }
    for lane in 0..LANES {
        for (words, vector) in [([0, 1, 4, 5], abef[lane]), ([2, 3, 6, 7], cdgh[lane])] {
            state[words[0]][lane] = _mm_extract_epi32::<3>(vector).cast_unsigned();
            state[words[1]][lane] = _mm_extract_epi32::<2>(vector).cast_unsigned();
            state[words[2]][lane] = _mm_extract_epi32::<1>(vector).cast_unsigned();
            state[words[3]][lane] = _mm_extract_epi32::<0>(vector).cast_unsigned();
        }
    }
}

/// The words of a block, four in a vector, turned by `order` from the bytes of the message.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn load(run: &[[u8; 64]], block: usize, order: __m128i) -> [__m128i; 4] {
    let bytes = run[block].as_ptr();
    array::from_fn(|at| {
        // SAFETY: the block is 64 readable bytes, of which these are sixteen; the load needs
        // no alignment.
        let vector = unsafe { _mm_loadu_si128(bytes.add(at * 16).cast()) };
        _mm_shuffle_epi8(vector, order)
    })
}
