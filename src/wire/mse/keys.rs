//! Diffie and Hellman's exchange as MSE has it: 768 bits, generator 2, exponents of 160 bits. The
//! keys of strangers are numbers to be careful with, and each of our own is used once.

use std::sync::LazyLock;

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U192, U768, const_monty_params};

/// Bytes of a public key and of a secret.
pub const KEY_LEN: usize = 96;
/// Bytes of a private key.
pub const PRIVATE_LEN: usize = 20;
/// Bits of it that one row of the table stands for.
const ROW_BITS: usize = 4;

const_monty_params!(
    Prime,
    U768,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563",
    "The prime of MSE."
);

type Number = ConstMontyForm<Prime, { U768::LIMBS }>;
type Row = [Number; 1 << ROW_BITS];

/// Row n has the powers of 2 ^ 16 ^ n: a public key is one factor of each of the 40 rows, 14 µs
/// instead of 83 (61 KiB, made when it is needed first).
static POWERS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let mut base = Number::new(&U768::from_u8(2));
    (0..PRIVATE_LEN * 8 / ROW_BITS)
        .map(|_| {
            let mut row = [Number::ONE; 1 << ROW_BITS];
            for at in 1..row.len() {
                row[at] = row[at - 1].mul(&base);
            }
            base = row[row.len() - 1].mul(&base);
            row
        })
        .collect()
});

/// A number of our own by chance, for one connection.
pub struct PrivateKey([u8; PRIVATE_LEN]);

/// What a side tells of its key, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey(pub [u8; KEY_LEN]);

/// What both sides know, and nobody who listens to them.
#[derive(Clone)]
pub struct Secret(pub(super) [u8; KEY_LEN]);

impl PrivateKey {
    /// Of these bytes, which must be by chance.
    pub fn new(bytes: [u8; PRIVATE_LEN]) -> Self {
        Self(bytes)
    }

    /// What may be told of it.
    pub fn public(&self) -> PublicKey {
        let halves = self.0.iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
        let factors = POWERS.iter().zip(halves).map(|(row, half)| row[usize::from(half)]);
        PublicKey(bytes_of(&factors.fold(Number::ONE, |product, factor| product.mul(&factor))))
    }

    /// The secret shared with whoever told this key; about 83 µs. None of a key that makes the
    /// secret known to all: 0, 1, the prime less 1, and what is not below the prime.
    pub fn agree(&self, theirs: &PublicKey) -> Option<Secret> {
        let theirs = U768::from_be_slice(&theirs.0);
        let last = Prime::last();
        if theirs <= U768::ONE || theirs >= last {
            return None;
        }
        let mut exponent = [0; U192::BYTES];
        exponent[U192::BYTES - PRIVATE_LEN..].copy_from_slice(&self.0);
        let exponent = U192::from_be_slice(&exponent);
        let bits = (PRIVATE_LEN * 8) as u32;
        Some(Secret(bytes_of(&Number::new(&theirs).pow_bounded_exp(&exponent, bits))))
    }
}

impl Prime {
    /// The greatest number below it.
    fn last() -> U768 {
        use crypto_bigint::modular::ConstMontyParams;
        Self::PARAMS.modulus().as_ref().wrapping_sub(&U768::ONE)
    }
}

fn bytes_of(number: &Number) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    bytes.copy_from_slice(number.retrieve().to_be_bytes().as_ref());
    bytes
}

impl Secret {
    /// As digests are made of it, big-endian.
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// Only that there is one.
impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Only that there is one.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(number: u8) -> [u8; KEY_LEN] {
        let mut bytes = [0; KEY_LEN];
        bytes[KEY_LEN - 1] = number;
        bytes
    }

    /// The prime and its neighbours.
    fn prime_plus(offset: i8) -> [u8; KEY_LEN] {
        let last = Prime::last();
        let number = match offset {
            -1 => last,
            0 => last.wrapping_add(&U768::ONE),
            _ => last.wrapping_add(&U768::from_u8(2)),
        };
        let mut bytes = [0; KEY_LEN];
        bytes.copy_from_slice(number.to_be_bytes().as_ref());
        bytes
    }

    #[test]
    fn two_that_exchange_keys_share_a_secret() {
        let (one, other) = (PrivateKey::new([0x5A; 20]), PrivateKey::new([0xC3; 20]));
        let secret = one.agree(&other.public()).unwrap();
        assert_eq!(secret.0, other.agree(&one.public()).unwrap().0);
        let third = PrivateKey::new([1; 20]);
        assert_ne!(secret.0, third.agree(&other.public()).unwrap().0);
    }

    #[test]
    fn the_table_is_the_powers_of_two() {
        let mut ten = [0; PRIVATE_LEN];
        ten[PRIVATE_LEN - 1] = 10;
        let mut expected = [0; KEY_LEN];
        expected[KEY_LEN - 2] = 4;
        assert_eq!(PrivateKey::new(ten).public().0, expected, "2 ^ 10");
        let two = PublicKey(small(2));
        for bytes in [[0xFF; 20], [0x80; 20], [7; 20], *b"any twenty bytes her"] {
            let key = PrivateKey::new(bytes);
            assert_eq!(key.public().0, key.agree(&two).unwrap().0);
        }
    }

    #[test]
    fn keys_that_give_the_secret_away_are_refused() {
        let key = PrivateKey::new([9; 20]);
        let degenerate =
            [small(0), small(1), prime_plus(-1), prime_plus(0), prime_plus(1), [0xFF; KEY_LEN]];
        for theirs in degenerate {
            assert!(key.agree(&PublicKey(theirs)).is_none(), "{theirs:02x?}");
        }
        assert!(key.agree(&PublicKey(small(2))).is_some());
    }
}
