//! Tokens: 128 bits that nobody guesses, compared so that the time says nothing, and the end of
//! patience with hosts that try. Not here: where a token is kept, and what it opens.
//! Source: RFC 6750 section 2.1 (`Authorization: Bearer`), RFC 7617 (`Basic`).

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base::addr::host_key;
use crate::base::ration::Ration;

/// Wrong tokens of one host before it has to wait.
const WRONG_MAX: u32 = 200;
/// In which time they count.
const WINDOW: Duration = Duration::from_secs(10);

/// The text of a new token. `random` has to be unpredictable.
pub fn spell(random: u128) -> String {
    format!("{random:032x}")
}

/// A token, as far as it is needed to know it again.
#[derive(Clone)]
pub struct Token {
    /// Hashes have one length, and nobody can approach one byte by byte.
    digest: [u8; 32],
}

impl Token {
    /// The token with this text.
    pub fn new(text: &str) -> Self {
        Self { digest: Sha256::digest(text).into() }
    }

    /// Whether `given` is its text. How long that takes depends on the length of what is given
    /// alone.
    pub fn is(&self, given: &str) -> bool {
        self.digest.ct_eq(&Self::new(given).digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The token of `Bearer TOKEN`, the value of an `Authorization`.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The password of `Basic` credentials, the value of an `Authorization` (RFC 7617). Tools of
/// other programs show a token so, with whatever user they have.
pub fn basic(authorization: &str) -> Option<String> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(credentials.trim().as_bytes()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Counts wrong tokens of each host; an IPv6 /64 is one. Bounded memory, however many guess.
#[derive(Debug)]
pub struct Guesses {
    wrong: Ration,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { wrong: Ration::new(WRONG_MAX, WINDOW) }
    }
}

impl Guesses {
    /// Whether what somebody at `address` shows is looked at: not after 200 wrong ones, until ten
    /// seconds after the first of them. Who is not looked at may be right and does not hear it.
    pub fn are_heard(&self, address: IpAddr, now: Instant) -> bool {
        self.wrong.is_left_for(host_key(address), now)
    }

    /// Somebody at `address` has shown a wrong one.
    pub fn note(&mut self, address: IpAddr, now: Instant) {
        self.wrong.take(host_key(address), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_128_bits_and_one_text() {
        assert_eq!(spell(0x0123_4567_89ab_cdef), "00000000000000000123456789abcdef");
        assert_eq!(spell(u128::MAX), "f".repeat(32));
        let token = Token::new("s3cret");
        assert!(token.is("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3CRET", "s3cret\0", "s3cres"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)", "it stays out of logs");
    }

    /// How long a comparison takes is not measured here: the machine's own noise is larger. That it
    /// is the one that takes the same time for all is read.
    #[test]
    fn tokens_are_compared_in_a_time_that_says_nothing() {
        let (code, _) = include_str!("token.rs").split_once("#[cfg(test)]").unwrap();
        let (_, compares) = code.split_once("pub fn is(&self, given: &str) -> bool {").unwrap();
        let (compares, _) = compares.split_once("\n    }").unwrap();
        assert_eq!(compares.trim(), "self.digest.ct_eq(&Self::new(given).digest).into()");
        // Nothing else of it can be compared, or shown.
        assert_eq!(code.matches("PartialEq").count(), 0);
        assert_eq!(code.matches("digest").count(), 5, "the field, its making, and that");
        let gate = include_str!("../rpc/gate.rs");
        assert!(gate.contains("token.is(shown)") && !gate.contains("text()"));
    }

    #[test]
    fn only_bearers_bear_tokens() {
        for value in ["Bearer a b", "bearer  a b ", "BEARER a b"] {
            assert_eq!(bearer(value), Some("a b"), "{value}");
        }
        for value in ["", "Bearer", "Basic a", "Bearera b", " Bearer a"] {
            assert_eq!(bearer(value), None, "{value}");
        }
    }

    #[test]
    fn the_password_of_any_user_is_a_token() {
        for (user, value) in [("u:a:b", "Basic"), (":a:b", "basic "), ("\u{e4}:a:b", "BASIC")] {
            let value = format!("{value} {}", BASE64.encode(user.as_bytes()));
            assert_eq!(basic(&value).as_deref(), Some("a:b"), "{value}");
        }
        for value in ["", "Basic", "Basic !", "Basic dQ==", "Bearer dTph", "Basic dTr/"] {
            assert_eq!(basic(value), None, "{value}");
        }
    }

    #[test]
    fn a_host_that_guesses_waits_and_others_do_not() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let guesser = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
        for number in 0..200 {
            assert!(guesses.are_heard(guesser(number), now), "{number}");
            guesses.note(guesser(number), now);
        }
        let almost = now + Duration::from_millis(9_999);
        assert!(!guesses.are_heard(guesser(999), almost));
        assert!(guesses.are_heard(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), almost));
        assert!(guesses.are_heard(guesser(1), now + Duration::from_secs(10)));
    }
}
