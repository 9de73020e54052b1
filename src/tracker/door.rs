//! Who may change the tracker's catalogue: those who show that they know the token, compared so
//! that its time says nothing, each proof good once; and the end of patience with hosts that
//! guess. Not here: HTTP, what is signed ([`super::proof`]), and where the token comes from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;

use crate::http::token::{Guesses, Token};
use crate::tracker::proof::{Change, ChangeNonce, SignedChange, TokenKey, mac};

/// How long a nonce is good.
const NONCE_LIFE: Duration = Duration::from_secs(60);
/// Nonces that are remembered as used: only who knows the token uses any up.
const USED_MAX: usize = 4096;

/// What somebody who wants to change something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knock {
    /// He may.
    Welcome,
    /// A token is needed.
    Missing,
    /// That is not it.
    Wrong,
    /// The nonce is too old, was used, or is none of ours.
    Stale,
    /// Too many wrong ones from there, or too many changes: none is looked at for a while.
    TooMany,
}

/// What somebody shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// The token itself.
    Token(String),
    /// That he knows it.
    Signed {
        /// How.
        change: SignedChange,
        /// The request's method.
        method: String,
        /// The name that it is about.
        name: String,
    },
}

/// Makes nonces that need no memory: a time, a number, and a code that only we can make.
#[derive(Clone)]
pub struct NonceMint {
    secret: [u8; 32],
    began_at: Instant,
}

impl NonceMint {
    /// `secret` has to be unpredictable; nonces of another one are none.
    pub fn new(secret: [u8; 32], now: Instant) -> Self {
        Self { secret, began_at: now }
    }

    /// A nonce for the next minute; `random` makes it another one than others of this moment.
    pub fn mint(&self, random: [u8; 8], now: Instant) -> ChangeNonce {
        let mut nonce = [0; 32];
        let (head, code) = nonce.split_at_mut(16);
        let at_ms = self.age_ms(now);
        head[..8].copy_from_slice(&at_ms.to_be_bytes());
        head[8..].copy_from_slice(&random);
        code.copy_from_slice(&self.code(head));
        nonce
    }

    fn is_good(&self, nonce: &ChangeNonce, now: Instant) -> bool {
        let (head, code) = nonce.split_at(16);
        if !bool::from(self.code(head).as_slice().ct_eq(code)) {
            return false;
        }
        let minted_ms = head.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let age_ms = self.age_ms(now).saturating_sub(minted_ms);
        u128::from(age_ms) < NONCE_LIFE.as_millis()
    }

    fn code(&self, head: &[u8]) -> [u8; 16] {
        *mac(&self.secret, &[head]).first_chunk().unwrap_or(&[0; 16])
    }

    fn age_ms(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.began_at);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Keeps the token and counts wrong ones.
pub struct Door {
    /// The token and its key here; none when everybody may.
    token: Option<(Token, TokenKey)>,
    mint: NonceMint,
    /// When they were used.
    used: HashMap<ChangeNonce, Instant>,
    guesses: Guesses,
}

impl Door {
    /// A door for those who know `token`, whose key at this tracker is given with it, or for
    /// everybody. `mint` makes the nonces that are good here.
    pub fn new(token: Option<(&str, TokenKey)>, mint: NonceMint) -> Self {
        let token = token.map(|(token, key)| (Token::new(token), key));
        Self { token, mint, used: HashMap::new(), guesses: Guesses::default() }
    }

    /// Judges what somebody at `address` shows.
    pub fn knock(&mut self, shown: &Shown, address: IpAddr, now: Instant) -> Knock {
        let Some((token, key)) = &self.token else { return Knock::Welcome };
        if !self.guesses.are_heard(address, now) {
            return Knock::TooMany;
        }
        let is_right = match shown {
            Shown::Nothing => return Knock::Missing,
            Shown::Token(given) => token.is(given),
            Shown::Signed { change: SignedChange { nonce, .. }, .. }
                if !self.mint.is_good(nonce, now) =>
            {
                return Knock::Stale;
            }
            Shown::Signed { change: SignedChange { nonce, body, mac }, method, name } => {
                key.is_of(&Change { nonce, method, name, body }, mac)
            }
        };
        match shown {
            _ if !is_right => {
                self.guesses.note(address, now);
                Knock::Wrong
            }
            Shown::Signed { change, .. } => self.use_up(change.nonce, now),
            _ => Knock::Welcome,
        }
    }

    fn use_up(&mut self, nonce: ChangeNonce, now: Instant) -> Knock {
        if self.used.contains_key(&nonce) {
            return Knock::Stale;
        }
        if self.used.len() >= USED_MAX {
            self.used.retain(|_, at| now.saturating_duration_since(*at) < NONCE_LIFE);
            if self.used.len() >= USED_MAX {
                return Knock::TooMany;
            }
        }
        self.used.insert(nonce, now);
        Knock::Welcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::proof::TrackerKey;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A door with a token, and what makes its nonces.
    fn door(now: Instant) -> (Door, NonceMint, TokenKey) {
        let (mint, key) =
            (NonceMint::new([5; 32], now), TokenKey::new("s3cret", &TrackerKey([1; 32])));
        (Door::new(Some(("s3cret", key.clone())), mint.clone()), mint, key)
    }

    fn token(token: &str) -> Shown {
        Shown::Token(token.to_owned())
    }

    fn signed(key: &TokenKey, nonce: &ChangeNonce) -> Shown {
        let change = Change { nonce, method: "PUT", name: "a", body: &[3; 32] };
        let change = SignedChange::new(key, &change);
        Shown::Signed { change, method: "PUT".to_owned(), name: "a".to_owned() }
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let now = Instant::now();
        let (mut door, mint, _) = door(now);
        assert_eq!(door.knock(&token("s3cret"), ip("::1"), now), Knock::Welcome);
        assert_eq!(door.knock(&Shown::Nothing, ip("::1"), now), Knock::Missing);
        for wrong in ["", "s3cre", "s3cret ", "S3CRET", "s3cret\0"] {
            assert_eq!(door.knock(&token(wrong), ip("::1"), now), Knock::Wrong, "{wrong:?}");
        }
        let mut open = Door::new(None, mint);
        assert_eq!(open.knock(&Shown::Nothing, ip("::1"), now), Knock::Welcome);
    }

    #[test]
    fn a_signed_change_opens_once_and_within_a_minute() {
        let now = Instant::now();
        let (mut door, mint, key) = door(now);
        let nonce = mint.mint([1; 8], now);
        assert_eq!(door.knock(&signed(&key, &nonce), ip("::1"), now), Knock::Welcome);
        assert_eq!(door.knock(&signed(&key, &nonce), ip("::1"), now), Knock::Stale, "replayed");
        let late = mint.mint([2; 8], now);
        let almost = now + Duration::from_millis(59_999);
        assert_eq!(door.knock(&signed(&key, &late), ip("::1"), almost), Knock::Welcome);
        let late = mint.mint([3; 8], now);
        let minute = now + NONCE_LIFE;
        assert_eq!(door.knock(&signed(&key, &late), ip("::1"), minute), Knock::Stale);
        // One that we never made, and one that was made younger.
        let mut younger = mint.mint([4; 8], now);
        younger[7] ^= 1;
        for forged in [[0; 32], younger] {
            assert_eq!(door.knock(&signed(&key, &forged), ip("::1"), now), Knock::Stale);
        }
    }

    #[test]
    fn a_change_signed_for_something_else_counts_as_a_guess() {
        let now = Instant::now();
        let (mut door, mint, key) = door(now);
        let nonce = mint.mint([1; 8], now);
        let Shown::Signed { change, .. } = signed(&key, &nonce) else { panic!() };
        let other = Shown::Signed { change, method: "DELETE".to_owned(), name: "a".to_owned() };
        assert_eq!(door.knock(&other, ip("::1"), now), Knock::Wrong);
        assert_eq!(door.knock(&signed(&key, &nonce), ip("::1"), now), Knock::Welcome, "not used");
        let stranger = TokenKey::new("guess", &TrackerKey([1; 32]));
        for number in 0..199 {
            let nonce = mint.mint([number; 8], now);
            assert_eq!(door.knock(&signed(&stranger, &nonce), ip("::1"), now), Knock::Wrong);
        }
        assert_eq!(door.knock(&token("s3cret"), ip("::1"), now), Knock::TooMany);
    }

    #[test]
    fn used_nonces_take_bounded_memory() {
        let now = Instant::now();
        let (mut door, mint, key) = door(now);
        for number in 0..USED_MAX as u64 + 9 {
            let nonce = mint.mint(number.to_be_bytes(), now);
            let expected = if number < USED_MAX as u64 { Knock::Welcome } else { Knock::TooMany };
            assert_eq!(door.knock(&signed(&key, &nonce), ip("::1"), now), expected);
        }
        let later = now + NONCE_LIFE;
        let nonce = mint.mint([0; 8], later);
        assert_eq!(door.knock(&signed(&key, &nonce), ip("::1"), later), Knock::Welcome);
        assert_eq!(door.used.len(), 1);
    }

    #[test]
    fn who_guesses_200_times_has_to_wait_and_others_have_not() {
        let now = Instant::now();
        let (mut door, ..) = door(now);
        let guesser = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
        for number in 0..200 {
            assert_eq!(door.knock(&token("x"), guesser(number), now), Knock::Wrong);
        }
        assert_eq!(door.knock(&token("s3cret"), guesser(999), now), Knock::TooMany);
        assert_eq!(door.knock(&token("s3cret"), ip("2001:db8:0:2::1"), now), Knock::Welcome);
        let later = now + Duration::from_secs(10);
        assert_eq!(door.knock(&token("s3cret"), guesser(1), later), Knock::Welcome);
        assert_eq!(door.knock(&token("x"), guesser(1), later), Knock::Wrong);
    }
}
