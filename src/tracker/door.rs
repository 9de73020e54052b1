//! Who may change the tracker's catalogue: the token, compared so that its time says nothing,
//! and the end of patience with addresses that guess. Not here: HTTP, and where the token
//! comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::base::addr::canonical_ip;

/// Wrong tokens of one address before it has to wait.
const WRONG_MAX: u32 = 200;
/// In which time they count.
const WINDOW: Duration = Duration::from_secs(10);
/// Addresses that are counted at once; each takes some 50 bytes.
const ADDRESSES_MAX: usize = 4096;

/// What somebody who wants to change something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knock {
    /// He may.
    Welcome,
    /// A token is needed.
    Missing,
    /// That is not it.
    Wrong,
    /// Too many wrong ones from there: none is looked at for a while.
    TooMany,
}

/// Keeps the token and counts wrong ones.
pub struct Door {
    /// The token's hash; none when everybody may.
    token: Option<[u8; 32]>,
    wrong: HashMap<IpAddr, Wrong>,
}

struct Wrong {
    since: Instant,
    count: u32,
}

impl Door {
    /// A door for those who know `token`, or for everybody.
    pub fn new(token: Option<&str>) -> Self {
        Self { token: token.map(digest), wrong: HashMap::new() }
    }

    /// Judges the token that somebody at `address` gave.
    pub fn knock(&mut self, given: Option<&str>, address: IpAddr, now: Instant) -> Knock {
        let Some(token) = self.token else { return Knock::Welcome };
        let source = source(address);
        let is_fresh = |wrong: &Wrong| now.saturating_duration_since(wrong.since) < WINDOW;
        let known = self.wrong.get(&source).filter(|wrong| is_fresh(wrong));
        if known.is_some_and(|wrong| wrong.count >= WRONG_MAX) {
            return Knock::TooMany;
        }
        let Some(given) = given else { return Knock::Missing };
        // Hashes have one length, and nobody can approach one byte by byte.
        let pairs = token.into_iter().zip(digest(given));
        if pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0 {
            return Knock::Welcome;
        }
        if self.wrong.len() >= ADDRESSES_MAX && !self.wrong.contains_key(&source) {
            self.wrong.retain(|_, wrong| is_fresh(wrong));
            if self.wrong.len() >= ADDRESSES_MAX {
                // So many guess at once that counting each is of no use.
                self.wrong.clear();
            }
        }
        let wrong = self.wrong.entry(source).or_insert(Wrong { since: now, count: 0 });
        if !is_fresh(wrong) {
            *wrong = Wrong { since: now, count: 0 };
        }
        wrong.count += 1;
        Knock::Wrong
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Whom a wrong token is counted against: with IPv6 the network, in which a host can have any
/// address.
fn source(address: IpAddr) -> IpAddr {
    match canonical_ip(address) {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let now = Instant::now();
        let mut door = Door::new(Some("s3cret"));
        assert_eq!(door.knock(Some("s3cret"), ip("::1"), now), Knock::Welcome);
        assert_eq!(door.knock(None, ip("::1"), now), Knock::Missing);
        for wrong in ["", "s3cre", "s3cret ", "S3CRET", "s3cret\0"] {
            assert_eq!(door.knock(Some(wrong), ip("::1"), now), Knock::Wrong, "{wrong:?}");
        }
        assert_eq!(Door::new(None).knock(None, ip("::1"), now), Knock::Welcome);
    }

    #[test]
    fn who_guesses_200_times_has_to_wait_and_others_have_not() {
        let now = Instant::now();
        let mut door = Door::new(Some("s3cret"));
        let guesser = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
        for number in 0..200 {
            assert_eq!(door.knock(Some("x"), guesser(number), now), Knock::Wrong);
        }
        assert_eq!(door.knock(Some("s3cret"), guesser(999), now), Knock::TooMany);
        assert_eq!(door.knock(Some("s3cret"), ip("2001:db8:0:2::1"), now), Knock::Welcome);
        let later = now + Duration::from_secs(10);
        assert_eq!(door.knock(Some("s3cret"), guesser(1), later), Knock::Welcome);
        assert_eq!(door.knock(Some("x"), guesser(1), later), Knock::Wrong);
    }

    #[test]
    fn many_guessers_take_little_memory() {
        let now = Instant::now();
        let mut door = Door::new(Some("s3cret"));
        for number in 0..20_000_u32 {
            door.knock(Some("x"), IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(door.wrong.len() <= ADDRESSES_MAX);
    }
}
