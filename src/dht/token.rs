//! What an announce has to bring, so that nobody announces others (BEP 5): proof that its sender
//! was asked for from the same address a while ago. Nothing is remembered for it.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;

use super::id::NodeId;
use crate::base::addr::canonical_ip;

/// Bytes of a token of ours: jech/dht throws away those of 40, libtorrent has 4.
pub const TOKEN_LEN: usize = 8;
/// "changes the secret every five minutes and accepts tokens up to ten minutes old" (BEP 5).
const SECRET_LIFE: Duration = Duration::from_secs(5 * 60);

/// What others cannot guess, to make hashes with that nobody can choose.
#[derive(Clone, Copy)]
pub(super) struct Secret([u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        let mut secret = [0; 16];
        rng.fill_bytes(&mut secret);
        Self(secret)
    }

    /// SipHash of the secret and what `write` adds.
    pub(super) fn hash(&self, write: impl FnOnce(&mut DefaultHasher)) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write(&mut hasher);
        hasher.finish()
    }
}

/// Makes and checks tokens.
#[derive(Debug)]
pub struct Tokens {
    current: Secret,
    previous: Secret,
    changed_at: Instant,
}

impl Tokens {
    /// With secrets of its own.
    pub fn new(rng: &mut StdRng, now: Instant) -> Self {
        Self { current: Secret::new(rng), previous: Secret::new(rng), changed_at: now }
    }

    /// The token for `to` to store something under `target`, good for five minutes at least.
    pub fn issue(
        &mut self,
        to: IpAddr,
        target: &NodeId,
        rng: &mut StdRng,
        now: Instant,
    ) -> [u8; TOKEN_LEN] {
        self.turn(rng, now);
        token(&self.current, to, target)
    }

    /// Whether `from` brings a token for `target` that was made at most ten minutes ago.
    pub fn accepts(
        &mut self,
        from: IpAddr,
        target: &NodeId,
        shown: &[u8],
        rng: &mut StdRng,
        now: Instant,
    ) -> bool {
        self.turn(rng, now);
        [&self.current, &self.previous].iter().any(|secret| token(secret, from, target) == shown)
    }

    fn turn(&mut self, rng: &mut StdRng, now: Instant) {
        let age = now.saturating_duration_since(self.changed_at);
        if age >= SECRET_LIFE {
            let fresh = Secret::new(rng);
            self.previous = if age < 2 * SECRET_LIFE { self.current } else { Secret::new(rng) };
            self.current = fresh;
            self.changed_at = now;
        }
    }
}

/// Not of the port: translators change it between two datagrams.
fn token(secret: &Secret, ip: IpAddr, target: &NodeId) -> [u8; TOKEN_LEN] {
    let hash = secret.hash(|hasher| {
        canonical_ip(ip).hash(hasher);
        target.0.hash(hasher);
    });
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const A: NodeId = NodeId([1; 20]);
    const B: NodeId = NodeId([2; 20]);

    #[test]
    fn a_token_is_good_for_its_address_and_target_alone() {
        let (mut rng, now) = (StdRng::seed_from_u64(1), Instant::now());
        let mut tokens = Tokens::new(&mut rng, now);
        let [x, y]: [IpAddr; 2] = [[9, 9, 9, 9].into(), [9, 9, 9, 8].into()];
        let token = tokens.issue(x, &A, &mut rng, now);
        let mut accepts =
            |ip, target: &NodeId, shown: &[u8]| tokens.accepts(ip, target, shown, &mut rng, now);
        assert!(accepts(x, &A, &token));
        assert!(accepts("::ffff:9.9.9.9".parse().unwrap(), &A, &token));
        assert!(!accepts(y, &A, &token), "of another address");
        assert!(!accepts(x, &B, &token), "for another torrent");
        assert!(!accepts(x, &A, &token[..7]));
        assert!(!accepts(x, &A, b""));
        let mut other = StdRng::seed_from_u64(2);
        let foreign = Tokens::new(&mut other, now).issue(x, &A, &mut other, now);
        assert!(!accepts(x, &A, &foreign), "of another node");
    }

    /// BEP 5: "accepts tokens up to ten minutes old".
    #[test]
    fn a_token_lives_five_to_ten_minutes() {
        let (mut rng, start) = (StdRng::seed_from_u64(1), Instant::now());
        let x: IpAddr = [9, 9, 9, 9].into();
        for asked_s in [0, 7, 299, 301, 1_000] {
            let mut tokens = Tokens::new(&mut rng, start);
            let then = start + Duration::from_secs(asked_s);
            let token = tokens.issue(x, &A, &mut rng, then);
            for age_s in (0..300).step_by(50) {
                let now = then + Duration::from_secs(age_s);
                tokens.issue(x, &B, &mut rng, now);
                assert!(tokens.accepts(x, &A, &token, &mut rng, now), "{age_s} s old");
            }
            let now = then + Duration::from_secs(601);
            assert!(!tokens.accepts(x, &A, &token, &mut rng, now), "asked at {asked_s} s");
        }
    }

    #[test]
    fn after_a_long_silence_no_old_token_is_good() {
        let (mut rng, start) = (StdRng::seed_from_u64(1), Instant::now());
        let mut tokens = Tokens::new(&mut rng, start);
        let x: IpAddr = [9, 9, 9, 9].into();
        let token = tokens.issue(x, &A, &mut rng, start);
        let now = start + Duration::from_secs(3_600);
        assert!(!tokens.accepts(x, &A, &token, &mut rng, now));
    }
}
