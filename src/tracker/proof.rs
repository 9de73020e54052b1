//! Who is who between a catalogue and those who change it. The token itself is never sent: a
//! tracker shows first that it knows it, then each change shows that its sender does. Not here:
//! HTTP, and who may come in (`door`).
//!
//! The protocol is our own. `GET /introduction?nonce=HEX` (16 bytes that the asker chose) is
//! answered by an [`Introduction`]; a change carries `Authorization: Pigeon nonce=HEX,body=HEX,
//! mac=HEX`. What is signed stands at `Identity::sign`, `TokenKey::proof` and
//! `TokenKey::change`. Sources: RFC 2104 (HMAC), RFC 8018 (PBKDF2), RFC 8032 (Ed25519).

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use data_encoding::HEXLOWER;
use ring::hmac::{self, Context, HMAC_SHA256};
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Rounds from a token to its key: 40 ms for us, and as much for each guess of whoever asked a
/// tracker to introduce itself and now tries words at home.
const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).unwrap();

/// Longest address that is believed: a textual IPv6 address with scope and port has fewer.
const ADDRESS_LEN_MAX: usize = 80;

/// What an asker chose, so that no old answer is one to it.
pub type AskerNonce = [u8; 16];
/// What a tracker chose, for one change.
pub type ChangeNonce = [u8; 32];

/// A tracker's public key: which tracker it is, over restarts and addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackerKey(pub [u8; 32]);

impl TrackerKey {
    /// The beginning of it, which has room in a datagram. Anybody can copy it.
    pub fn instance(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// The key that [`TrackerKey`] was displayed as.
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }
}

impl fmt::Display for TrackerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A tracker's own key.
#[derive(Debug)]
pub struct Identity(Ed25519KeyPair);

impl Identity {
    /// The identity of a seed, which has to be secret and unpredictable; none if the seed makes
    /// no key.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// Its public half.
    pub fn key(&self) -> TrackerKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        TrackerKey(key)
    }

    /// Signs "pigeon tracker 1", a zero, both nonces and the address.
    fn sign(&self, asker: &AskerNonce, nonce: &ChangeNonce, address: &str) -> Vec<u8> {
        self.0.sign(&signed(asker, nonce, address)).as_ref().to_vec()
    }
}

fn signed(asker: &AskerNonce, nonce: &ChangeNonce, address: &str) -> Vec<u8> {
    [b"pigeon tracker 1\0".as_slice(), asker, nonce, address.as_bytes()].concat()
}

/// A change, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Of the tracker's last introduction.
    pub nonce: &'a ChangeNonce,
    /// PUT or DELETE.
    pub method: &'a str,
    /// Of the catalogue, as people read it: proxies rewrite paths.
    pub name: &'a str,
    /// The SHA-256 of what is sent.
    pub body: &'a [u8; 32],
}

/// What a token is good for, at one tracker.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// The key of `token` at the tracker `tracker`; takes some 40 ms.
    pub fn new(token: &str, tracker: &TrackerKey) -> Self {
        let salt = [b"pigeon tracker 1\0".as_slice(), &tracker.0].concat();
        let mut key = [0; 32];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, token.as_bytes(), &mut key);
        Self(key)
    }

    /// What only a tracker with the token can say: over "pigeon token 1", a zero, its key, both
    /// nonces and the address.
    fn proof(
        &self,
        tracker: &TrackerKey,
        asker: &AskerNonce,
        nonce: &ChangeNonce,
        address: &str,
    ) -> [u8; 32] {
        self.mac(&[b"pigeon token 1\0", &tracker.0, asker, nonce, address.as_bytes()])
    }

    /// What only a sender with the token can say: over "pigeon change 1", a zero, the nonce, the
    /// body's hash, the method, a space and the name.
    fn change(&self, change: &Change<'_>) -> [u8; 32] {
        let (method, name) = (change.method.as_bytes(), change.name.as_bytes());
        self.mac(&[b"pigeon change 1\0", change.nonce, change.body, method, b" ", name])
    }

    /// Whether somebody with the token sent it; in constant time.
    pub fn is_of(&self, change: &Change<'_>, mac: &[u8; 32]) -> bool {
        self.change(change).ct_eq(mac).into()
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.0, parts)
    }
}

/// What a tracker says about itself, as JSON; numbers are hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// Which tracker it is.
    key: String,
    /// For one change, within a minute.
    nonce: String,
    /// Where it was asked.
    address: String,
    /// That it is the one of `key`.
    signature: String,
    /// That it knows the token; none when it wants none.
    proof: Option<String>,
}

/// A tracker that has shown which one it is.
#[derive(Clone, Debug)]
pub struct Introduced {
    /// Which.
    pub key: TrackerKey,
    /// For one change.
    pub nonce: ChangeNonce,
    /// Where it says that it was asked.
    pub address: SocketAddr,
    proof: Option<[u8; 32]>,
}

impl Introduction {
    /// What a tracker answers that was asked at `address`.
    pub fn new(
        identity: &Identity,
        token: Option<&TokenKey>,
        asker: &AskerNonce,
        nonce: &ChangeNonce,
        address: SocketAddr,
    ) -> Self {
        let (key, address) = (identity.key(), address.to_string());
        let proof = |token: &TokenKey| {
            let proof = token.proof(&key, asker, nonce, &address);
            HEXLOWER.encode(&proof)
        };
        Self {
            key: key.to_string(),
            nonce: HEXLOWER.encode(nonce),
            signature: HEXLOWER.encode(&identity.sign(asker, nonce, &address)),
            proof: token.map(proof),
            address,
        }
    }

    /// Looks at a stranger's introduction; none if it is not signed by the one whose key it
    /// names.
    pub fn check(&self, asker: &AskerNonce) -> Option<Introduced> {
        let (key, nonce) = (TrackerKey::parse(&self.key)?, decode(&self.nonce)?);
        let signature: [u8; 64] = decode(&self.signature)?;
        let proof = match &self.proof {
            Some(text) => Some(decode(text)?),
            None => None,
        };
        if self.address.len() > ADDRESS_LEN_MAX {
            return None;
        }
        let message = signed(asker, &nonce, &self.address);
        UnparsedPublicKey::new(&ED25519, key.0).verify(&message, &signature).ok()?;
        let address: SocketAddr = self.address.parse().ok()?;
        // One address has one text, so that it can be signed again from what was read.
        (address.to_string() == self.address).then_some(Introduced { key, nonce, address, proof })
    }
}

impl Introduced {
    /// Whether the tracker wants a token for changes.
    pub fn wants_token(&self) -> bool {
        self.proof.is_some()
    }

    /// The key of `token`, if the tracker has shown that it knows it, too. Takes some 40 ms.
    pub fn proven(&self, token: &str, asker: &AskerNonce) -> Option<TokenKey> {
        let (proof, token) = (self.proof?, TokenKey::new(token, &self.key));
        let expected = token.proof(&self.key, asker, &self.nonce, &self.address.to_string());
        bool::from(expected.ct_eq(&proof)).then_some(token)
    }
}

/// A change's `Authorization`, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedChange {
    /// Which of the tracker's nonces.
    pub nonce: ChangeNonce,
    /// The SHA-256 of the body, as it is claimed.
    pub body: [u8; 32],
    /// That the sender knows the token.
    pub mac: [u8; 32],
}

impl SignedChange {
    /// Signs a change.
    pub fn new(token: &TokenKey, change: &Change<'_>) -> Self {
        let mac = token.change(change);
        Self { nonce: *change.nonce, body: *change.body, mac }
    }

    /// The header's value.
    pub fn to_header(&self) -> String {
        let [nonce, body, mac] = [self.nonce, self.body, self.mac].map(|it| HEXLOWER.encode(&it));
        format!("Pigeon nonce={nonce},body={body},mac={mac}")
    }

    /// Reads the header's value.
    pub fn from_header(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("pigeon") {
            return None;
        }
        let mut fields = rest.splitn(3, ',').map(str::trim);
        let mut field = |key: &str| fields.next()?.strip_prefix(key).and_then(decode);
        let signed = Self { nonce: field("nonce=")?, body: field("body=")?, mac: field("mac=")? };
        Some(signed)
    }
}

/// HMAC-SHA-256 (RFC 2104) over the parts, one behind the other.
pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut mac = [0; 32];
    mac.copy_from_slice(context.sign().as_ref());
    mac
}

/// The hash of a body.
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Exactly so many bytes in lower hexadecimal.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: AskerNonce = [1; 16];
    const NONCE: ChangeNonce = [2; 32];

    fn identity() -> Identity {
        Identity::from_seed(&[9; 32]).unwrap()
    }

    fn address() -> SocketAddr {
        "10.0.0.2:6969".parse().unwrap()
    }

    fn introduction(token: &str) -> Introduction {
        let token = TokenKey::new(token, &identity().key());
        Introduction::new(&identity(), Some(&token), &ASKER, &NONCE, address())
    }

    /// Numbers of Python's `hashlib.pbkdf2_hmac` and `hmac`, from the text above.
    #[test]
    fn keys_and_codes_are_those_of_the_standards() {
        let token = TokenKey::new("blue-door", &TrackerKey([7; 32]));
        let hex = |mac: [u8; 32]| HEXLOWER.encode(&mac);
        assert_eq!(
            HEXLOWER.encode(&token.0),
            "8f043f688198eb53b666aaa740b4b7c39292fd2372cb95e489d6eb27c68c73e1"
        );
        let proof = token.proof(&TrackerKey([7; 32]), &ASKER, &NONCE, "10.0.0.2:6969");
        assert_eq!(hex(proof), "dc651d6e6d83e3a00fde553f02b1956d0f20f5228d100f140cf1c449c6a49dc2");
        let change = Change { nonce: &NONCE, method: "PUT", name: "a b", body: &[3; 32] };
        assert_eq!(
            hex(token.change(&change)),
            "28b0e838fcc836a167a7228574e726f7853df5505cfb2cbb3005403a99084825"
        );
    }

    #[test]
    fn a_tracker_shows_which_one_it_is_and_that_it_knows_the_token() {
        let introduced = introduction("blue-door").check(&ASKER).unwrap();
        assert_eq!((introduced.key, introduced.address), (identity().key(), address()));
        assert!(introduced.wants_token());
        assert!(introduced.proven("blue-door", &ASKER).is_some());
        assert!(introduced.proven("blue-doo", &ASKER).is_none());
        let open = Introduction::new(&identity(), None, &ASKER, &NONCE, address());
        let open = open.check(&ASKER).unwrap();
        assert!(!open.wants_token() && open.proven("", &ASKER).is_none());
    }

    #[test]
    fn what_was_said_to_others_or_about_others_shows_nothing() {
        let said = introduction("blue-door");
        assert!(said.check(&[0; 16]).is_none(), "an old answer");
        for (address, nonce) in [("10.0.0.3:6969", 2), ("10.0.0.2:6969", 3)] {
            let nonce = HEXLOWER.encode(&[nonce; 32]);
            let told = Introduction { address: address.to_owned(), nonce, ..said.clone() };
            assert!(told.check(&ASKER).is_none(), "{told:?}");
        }
        // Signed anew by a thief of the proof, who has another key.
        let thief = Identity::from_seed(&[8; 32]).unwrap();
        let forged = Introduction::new(&thief, None, &ASKER, &NONCE, address());
        let forged = Introduction { proof: said.proof, ..forged };
        assert!(forged.check(&ASKER).unwrap().proven("blue-door", &ASKER).is_none());
    }

    #[test]
    fn a_change_is_signed_with_all_that_matters() {
        let token = TokenKey::new("blue-door", &identity().key());
        let change = Change { nonce: &NONCE, method: "PUT", name: "a", body: &[3; 32] };
        let header = SignedChange::new(&token, &change).to_header();
        let signed = SignedChange::from_header(&header).unwrap();
        assert_eq!((signed.nonce, signed.body), (NONCE, [3; 32]));
        assert!(token.is_of(&change, &signed.mac));
        for other in [
            Change { nonce: &[0; 32], ..change },
            Change { method: "DELETE", ..change },
            Change { name: "b", ..change },
            Change { body: &[4; 32], ..change },
        ] {
            assert!(!token.is_of(&other, &signed.mac), "{other:?}");
        }
        for bad in ["Bearer x", "Pigeon", "Pigeon nonce=,body=,mac=", &header[..header.len() - 1]] {
            assert_eq!(SignedChange::from_header(bad), None, "{bad}");
        }
    }
}
