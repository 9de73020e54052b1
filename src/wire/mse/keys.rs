//! Diffie and Hellman's exchange as MSE has it: 768 bits, generator 2, exponents of 160 bits. The
//! keys of strangers are numbers to be careful with, and each of our own is used once.

use std::sync::LazyLock;

use super::prime::{self, Number, Powers};

/// Bytes of a public key and of a secret.
pub const KEY_LEN: usize = prime::BYTES;
/// Bytes of a private key.
pub const PRIVATE_LEN: usize = 20;

/// The powers of the generator (61 KiB, made when they are needed first).
static POWERS: LazyLock<Powers> = LazyLock::new(|| Powers::of(2, PRIVATE_LEN));

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
        PublicKey(POWERS.power(&self.0).bytes())
    }

    /// The secret shared with whoever told this key. None of a key that makes the secret known to
    /// all: 0, 1, the prime less 1, and what is not below the prime.
    pub fn agree(&self, theirs: &PublicKey) -> Option<Secret> {
        let hides = prime::is_between_one_and_last(&theirs.0);
        hides.then(|| Secret(Number::new(&theirs.0).power(&self.0).bytes()))
    }
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
        let prime = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
                     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
                     4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563";
        let mut bytes: [u8; KEY_LEN] =
            data_encoding::HEXLOWER.decode(prime.as_bytes()).unwrap().try_into().unwrap();
        bytes[KEY_LEN - 1] = bytes[KEY_LEN - 1].wrapping_add_signed(offset);
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
        for theirs in [small(2), prime_plus(-2)] {
            assert!(key.agree(&PublicKey(theirs)).is_some(), "{theirs:02x?}");
        }
    }
}
