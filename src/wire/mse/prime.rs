//! Numbers modulo the one prime of MSE, in Montgomery's form: 12 words of 64 bits, nothing is
//! allocated, and no branch or address depends on a number. Not for other primes: that the highest
//! word of this one is all ones is made use of. Sources: P. Montgomery, "Modular Multiplication
//! Without Trial Division" (1985); S. Gueron, "Efficient Software Implementations of Modular
//! Exponentiation" (2012), for numbers that are below 2 ^ 768 only, not below the prime.

use std::hint::black_box;

const WORDS: usize = 12;
/// Bytes of a number.
pub(super) const BYTES: usize = WORDS * 8;
/// Bits of an exponent that one factor stands for.
const WINDOW_BITS: usize = 4;
/// As many factors are to choose from.
const WINDOW: usize = 1 << WINDOW_BITS;

/// The lowest word first.
type Words = [u64; WORDS];

/// The prime.
const PRIME: Words = [
    0x0000_0000_0009_0563,
    0xf44c_42e9_a63a_3621,
    0xe485_b576_625e_7ec6,
    0x4fe1_356d_6d51_c245,
    0x302b_0a6d_f25f_1437,
    0xef95_19b3_cd3a_431b,
    0x514a_0879_8e34_04dd,
    0x020b_bea6_3b13_9b22,
    0x2902_4e08_8a67_cc74,
    0xc4c6_628b_80dc_1cd1,
    0xc90f_daa2_2168_c234,
    0xffff_ffff_ffff_ffff,
];

/// What makes the lowest word zero: -1 / prime modulo 2 ^ 64. Each step doubles the bits that are
/// right.
const NEGATIVE_INVERSE: u64 = {
    let mut inverse: u64 = 1;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(PRIME[0].wrapping_mul(inverse)));
        step += 1;
    }
    inverse.wrapping_neg()
};

/// 2 ^ 1536 modulo the prime: a product with it brings a number into Montgomery's form.
const SQUARE: Words = {
    let mut number = ONE.0;
    let mut bit = 0;
    while bit < WORDS * 64 {
        number = double(number);
        bit += 1;
    }
    number
};

/// One in Montgomery's form, 2 ^ 768 less the prime.
const ONE: Number = Number(less_prime([0; WORDS], u64::MAX).0);

/// A number in Montgomery's form: n stands for n / 2 ^ 768. More than one stand for the same, since
/// it may be anything below 2 ^ 768.
#[derive(Clone, Copy)]
pub(super) struct Number(Words);

/// Factors of which one is taken without telling which.
pub(super) type Row = [Number; WINDOW];

impl Number {
    /// Of a number below the prime, big-endian.
    pub(super) fn new(bytes: &[u8; BYTES]) -> Self {
        Self(words_of(bytes)).times(&Self(SQUARE))
    }

    /// The number modulo the prime, big-endian.
    pub(super) fn bytes(&self) -> [u8; BYTES] {
        let mut one = [0; WORDS];
        one[0] = 1;
        // The product with a plain one is at most the prime.
        let number = self.times(&Self(one)).0;
        let (less, is_below) = less_prime(number, u64::MAX);
        let number = select(is_below, &number, &less);
        let mut bytes = [0; BYTES];
        for (bytes, word) in bytes.rchunks_exact_mut(8).zip(number) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The product.
    fn times(&self, other: &Self) -> Self {
        let mut product = [0; WORDS * 2];
        for low in 0..WORDS {
            let mut carry = 0;
            for high in 0..WORDS {
                let at = low + high;
                (product[at], carry) = multiply_add(self.0[high], other.0[low], product[at], carry);
            }
            product[low + WORDS] = carry;
        }
        Self(reduce(product))
    }

    /// The product with itself.
    fn squared(&self) -> Self {
        // Each product of two different words once, then all twice.
        let mut square = [0; WORDS * 2];
        for low in 0..WORDS {
            let mut carry = 0;
            for high in low + 1..WORDS {
                let at = low + high;
                (square[at], carry) = multiply_add(self.0[low], self.0[high], square[at], carry);
            }
            square[low + WORDS] = carry;
        }
        let (mut bit, mut carry) = (0, 0);
        for at in 0..WORDS {
            let (low, high) = (square[at * 2], square[at * 2 + 1]);
            let (doubled_low, doubled_high) = (low << 1 | bit, high << 1 | low >> 63);
            bit = high >> 63;
            let product = u128::from(self.0[at]) * u128::from(self.0[at]);
            (square[at * 2], carry) = add(doubled_low, product as u64, carry);
            (square[at * 2 + 1], carry) = add(doubled_high, (product >> 64) as u64, carry);
        }
        Self(reduce(square))
    }

    /// Its power by a big-endian exponent, in a time that tells nothing of either.
    pub(super) fn power<const LEN: usize>(&self, exponent: &[u8; LEN]) -> Self {
        let row = self.row();
        let mut power = ONE;
        for digit in digits(exponent) {
            for _ in 0..WINDOW_BITS {
                power = power.squared();
            }
            power = power.times(&choose(&row, digit));
        }
        power
    }

    /// Its powers from 0 on.
    fn row(&self) -> Row {
        let mut row = [ONE; WINDOW];
        for at in 1..WINDOW {
            row[at] = row[at - 1].times(self);
        }
        row
    }
}

/// Is it above 1, and below the prime by more than 1? For numbers of strangers: they are no
/// secret.
pub(super) fn is_between_one_and_last(bytes: &[u8; BYTES]) -> bool {
    let (words, mut last) = (words_of(bytes), PRIME);
    last[0] -= 1;
    let is_above_one = words[0] > 1 || words[1..].iter().any(|word| *word > 0);
    is_above_one && words.iter().rev().lt(last.iter().rev())
}

/// The powers of one number, ready for many exponents: the lowest digit's row first.
pub(super) struct Powers(Vec<Row>);

impl Powers {
    /// Of a small number, for exponents of so many bytes.
    pub(super) fn of(number: u8, exponent_len: usize) -> Self {
        let mut bytes = [0; BYTES];
        bytes[BYTES - 1] = number;
        let mut base = Number::new(&bytes);
        let rows = (0..exponent_len * 8 / WINDOW_BITS).map(|_| {
            let row = base.row();
            base = row[WINDOW - 1].times(&base);
            row
        });
        Self(rows.collect())
    }

    /// The power by a big-endian exponent, in a time that tells nothing of it.
    pub(super) fn power<const LEN: usize>(&self, exponent: &[u8; LEN]) -> Number {
        let rows = self.0.iter().rev().zip(digits(exponent));
        rows.fold(ONE, |power, (row, digit)| power.times(&choose(row, digit)))
    }
}

/// The digits of an exponent, the highest first.
fn digits(exponent: &[u8]) -> impl Iterator<Item = u8> {
    exponent.iter().flat_map(|byte| [byte >> WINDOW_BITS, byte & (WINDOW as u8 - 1)])
}

/// The factor of that number, after a look at all of them.
fn choose(row: &Row, digit: u8) -> Number {
    let mut chosen = [0; WORDS];
    for (at, number) in row.iter().enumerate() {
        let is_it = mask((u64::from(digit) ^ at as u64).wrapping_sub(1) >> 63);
        chosen.iter_mut().zip(number.0).for_each(|(chosen, word)| *chosen |= word & is_it);
    }
    Number(chosen)
}

/// All ones for one, none for zero; the compiler is not to know that there are only two.
fn mask(bit: u64) -> u64 {
    black_box(bit).wrapping_neg()
}

/// The first for one, the second for zero.
fn select(bit: u64, first: &Words, second: &Words) -> Words {
    let first_mask = mask(bit);
    std::array::from_fn(|at| first[at] & first_mask | second[at] & !first_mask)
}

/// `a * b + c + d`, which has always room in two words: the lower and the higher.
#[inline]
const fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let sum = a as u128 * b as u128 + c as u128 + d as u128;
    (sum as u64, (sum >> 64) as u64)
}

/// `a + b + carry`, and the carry from that.
#[inline]
const fn add(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let sum = a as u128 + b as u128 + carry as u128;
    (sum as u64, (sum >> 64) as u64)
}

/// The number less those bits of the prime that are in the mask, and the borrow from that.
const fn less_prime(number: Words, mask: u64) -> (Words, u64) {
    let (mut less, mut borrow) = ([0; WORDS], 0);
    let mut at = 0;
    while at < WORDS {
        let (word, first) = number[at].overflowing_sub(PRIME[at] & mask);
        let (word, second) = word.overflowing_sub(borrow);
        less[at] = word;
        borrow = (first | second) as u64;
        at += 1;
    }
    (less, borrow)
}

/// Twice a number below the prime modulo that; for constants.
const fn double(number: Words) -> Words {
    let (mut twice, mut bit) = ([0; WORDS], 0);
    let mut at = 0;
    while at < WORDS {
        twice[at] = number[at] << 1 | bit;
        bit = number[at] >> 63;
        at += 1;
    }
    let (less, borrow) = less_prime(twice, u64::MAX);
    if bit == borrow { less } else { twice }
}

/// A sum below 2 ^ 768 and the prime, with what is above its words, as a number.
#[inline]
fn below(sum: Words, above: u64) -> Words {
    less_prime(sum, mask(above)).0
}

/// A product divided by 2 ^ 768.
#[inline]
fn reduce(mut product: [u64; WORDS * 2]) -> Words {
    let mut above = 0;
    for low in 0..WORDS {
        let quotient = product[low].wrapping_mul(NEGATIVE_INVERSE);
        let mut carry = 0;
        for at in 0..WORDS {
            let word = &mut product[low + at];
            (*word, carry) = multiply_add(PRIME[at], quotient, *word, carry);
        }
        let high = &mut product[low + WORDS];
        (*high, above) = add(*high, carry, above);
    }
    let mut sum = [0; WORDS];
    sum.copy_from_slice(&product[WORDS..]);
    below(sum, above)
}

/// From big-endian bytes.
fn words_of(bytes: &[u8; BYTES]) -> Words {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.rchunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The prime and what differs from it by so much.
    fn prime_plus(offset: i8) -> [u8; BYTES] {
        let mut words = PRIME;
        words[0] = words[0].wrapping_add_signed(offset.into());
        bytes_of(words)
    }

    fn bytes_of(words: Words) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (bytes, word) in bytes.rchunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    fn small(number: u8) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[BYTES - 1] = number;
        bytes
    }

    /// The sum modulo the prime of numbers below it.
    fn slow_sum(a: Words, b: Words) -> Words {
        let (mut sum, mut carry) = ([0; WORDS], 0);
        for at in 0..WORDS {
            (sum[at], carry) = add(a[at], b[at], carry);
        }
        let (less, borrow) = less_prime(sum, u64::MAX);
        if carry == borrow { less } else { sum }
    }

    /// The product modulo the prime, by doubling and adding alone.
    fn slow_product(a: &[u8; BYTES], b: &[u8; BYTES]) -> [u8; BYTES] {
        let (a, mut product) = (slow_sum(words_of(a), [0; WORDS]), [0; WORDS]);
        for byte in b {
            for bit in (0..8).rev() {
                product = slow_sum(product, product);
                if byte >> bit & 1 == 1 {
                    product = slow_sum(product, a);
                }
            }
        }
        bytes_of(product)
    }

    fn slow_power(base: &[u8; BYTES], exponent: &[u8]) -> [u8; BYTES] {
        let mut power = small(1);
        for byte in exponent {
            for bit in (0..8).rev() {
                power = slow_product(&power, &power);
                if byte >> bit & 1 == 1 {
                    power = slow_product(&power, base);
                }
            }
        }
        power
    }

    fn edges() -> Vec<[u8; BYTES]> {
        let mut edges = vec![small(0), small(1), small(2), [0x55; BYTES], [0xaa; BYTES]];
        edges.extend([prime_plus(-2), prime_plus(-1), prime_plus(0), prime_plus(1), [0xff; BYTES]]);
        // Long rows of carries, and none.
        let mut high = [0; BYTES];
        high[0] = 0x80;
        edges.push(high);
        edges.extend((8..BYTES).step_by(8).map(|zeros| {
            let mut bytes = [0xff; BYTES];
            bytes[zeros - 8..zeros].fill(0);
            bytes
        }));
        edges
    }

    #[test]
    fn products_and_squares_at_the_edges() {
        for a in edges() {
            for b in edges() {
                let product = Number::new(&a).times(&Number::new(&b));
                assert_eq!(product.bytes(), slow_product(&a, &b), "{a:02x?} {b:02x?}");
            }
            assert_eq!(Number::new(&a).squared().bytes(), slow_product(&a, &a), "{a:02x?}");
            assert_eq!(Number::new(&a).bytes(), slow_product(&a, &small(1)), "{a:02x?}");
        }
    }

    /// Words that are no number's form by chance: all below 2 ^ 768 are forms.
    #[test]
    fn every_form_is_multiplied_and_squared_alike() {
        let is_same = |form: [u8; BYTES]| {
            let number = Number(words_of(&form));
            let square = slow_product(&number.bytes(), &number.bytes());
            assert_eq!(number.times(&number).bytes(), square, "{form:02x?}");
            assert_eq!(number.squared().bytes(), square, "{form:02x?}");
        };
        edges().into_iter().for_each(is_same);
    }

    #[test]
    fn powers_at_the_edges() {
        let exponents = [[0; 20], [0xff; 20], [0x0f; 20], [0xf0; 20], *b"any twenty bytes her"];
        for base in [small(0), small(1), small(2), prime_plus(-1), [0x55; BYTES]] {
            for exponent in exponents {
                let power = Number::new(&base).power(&exponent);
                assert_eq!(
                    power.bytes(),
                    slow_power(&base, &exponent),
                    "{base:02x?} {exponent:02x?}"
                );
            }
        }
        let powers = Powers::of(2, 20);
        for exponent in exponents {
            assert_eq!(powers.power(&exponent).bytes(), slow_power(&small(2), &exponent));
        }
    }

    /// What Python makes of `pow(3, 2 ** 160 - 1, p)`.
    #[test]
    fn a_power_that_another_program_made() {
        let expected = "9343e7fdb24967ec7248195f85914f03f13d9dc2c8fdbb7d63d24845151c073f\
                        7237017759156dd5846491868886c3c5fdea6906151f4f894ae5b8f887bf9e19\
                        0e46f0a970cc215d20c158eced2c6fcaded967c5afcfb993e9aa29dabb57c954";
        let power = Number::new(&small(3)).power(&[0xff; 20]).bytes();
        assert_eq!(data_encoding::HEXLOWER.encode(&power), expected);
    }

    fn number() -> impl Strategy<Value = [u8; BYTES]> {
        prop::collection::vec(any::<u8>(), BYTES).prop_map(|bytes| bytes.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn products_and_squares(a in number(), b in number()) {
            let (one, other) = (Number::new(&a), Number::new(&b));
            prop_assert_eq!(one.times(&other).bytes(), slow_product(&a, &b));
            prop_assert_eq!(one.squared().bytes(), slow_product(&a, &a));
            let (one, other) = (Number(words_of(&a)), Number(words_of(&b)));
            prop_assert_eq!(one.times(&other).bytes(), slow_product(&one.bytes(), &other.bytes()));
            prop_assert_eq!(one.squared().bytes(), one.times(&one).bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn powers(base in number(), exponent in any::<[u8; 20]>()) {
            let power = Number::new(&base).power(&exponent).bytes();
            prop_assert_eq!(power, slow_power(&base, &exponent));
            let of_two = Powers::of(2, 20).power(&exponent).bytes();
            prop_assert_eq!(of_two, slow_power(&small(2), &exponent));
        }
    }
}
