//! Items that the network keeps for anybody (BEP 44): what they are named by, who may change
//! them, and those that we keep. Not here: tokens, and who looks for an item.

mod kept;
#[cfg(test)]
mod tests;

use ring::signature::{ED25519, UnparsedPublicKey};

use super::id::NodeId;
use super::message::{ItemView, SignedView};
use crate::base::digest::sha1;
use crate::bencode::{self, Limits, Value};

pub use kept::{Items, Unkept};

/// "any bencoded type, whose encoded size <= 1000".
pub const VALUE_LEN_MAX: usize = 1_000;
/// "The salt string MUST NOT be longer than 64 bytes."
pub const SALT_LEN_MAX: usize = 64;
/// Of a value: a datagram has no more.
const LIMITS: Limits = Limits { depth: 10, tokens: 500 };

/// One item: bytes that are named by their hash, or by whose key signed them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The bencoded value, at most 1,000 bytes, kept as it came.
    pub value: Vec<u8>,
    /// Who signed it; none for an item that is named by its own hash.
    pub signed: Option<Signed>,
}

/// Who signed an item, and which of his it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// Ed25519 public key.
    pub key: [u8; 32],
    /// At most 64 bytes that tell several items of one key apart.
    pub salt: Vec<u8>,
    /// The higher one replaces the lower.
    pub seq: i64,
    /// Ed25519 signature of salt, sequence number and value.
    pub signature: [u8; 64],
}

impl Item {
    /// The item that somebody gave for `target`, if it is that, and signed as it must be;
    /// `salt` is the asker's, since replies have none.
    pub fn checked(view: &ItemView<'_>, target: &NodeId, salt: &[u8]) -> Option<Self> {
        let signed = view.signed.map(|signed| SignedView { salt, ..signed });
        let view = ItemView { signed, ..*view };
        let is_whole = view.value.len() <= VALUE_LEN_MAX && salt.len() <= SALT_LEN_MAX;
        (is_whole && view.target() == *target && view.is_signed_well()).then(|| Self {
            value: view.value.to_vec(),
            signed: signed.map(|signed| Signed {
                key: *signed.key,
                salt: salt.to_vec(),
                seq: signed.seq,
                signature: *signed.signature,
            }),
        })
    }

    /// What it is found by.
    pub fn target(&self) -> NodeId {
        self.view().target()
    }

    /// As messages have it.
    pub fn view(&self) -> ItemView<'_> {
        let signed = self.signed.as_ref().map(|signed| SignedView {
            key: &signed.key,
            salt: &signed.salt,
            seq: signed.seq,
            signature: &signed.signature,
        });
        ItemView { value: &self.value, signed }
    }
}

impl ItemView<'_> {
    /// "the SHA-1 hash of the public key" and the salt, or of the value if nobody signed it.
    pub fn target(&self) -> NodeId {
        NodeId(match self.signed {
            Some(signed) => sha1(&[signed.key, signed.salt]),
            None => sha1(&[self.value]),
        })
    }

    /// Whether nobody has to have signed it, or the one has whose key it names.
    pub fn is_signed_well(&self) -> bool {
        let Some(signed) = self.signed else { return true };
        let key = UnparsedPublicKey::new(&ED25519, signed.key);
        key.verify(&text_to_sign(signed.salt, signed.seq, self.value), signed.signature).is_ok()
    }
}

/// "4:salt6:foobar3:seqi4e1:v12:Hello world!", the salt only if there is one.
pub fn text_to_sign(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() + salt.len() + 48);
    if !salt.is_empty() {
        text.extend_from_slice(format!("4:salt{}:", salt.len()).as_bytes());
        text.extend_from_slice(salt);
    }
    text.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    text.extend_from_slice(value);
    text
}

/// Whether bytes are one bencoded value, written in the one way that BEP 3 allows. Others would
/// have another hash at each node that writes it anew.
pub fn is_canonical(value: &[u8]) -> bool {
    let scan = bencode::scan(value, LIMITS);
    scan.is_ok_and(|scan| {
        scan.len == value.len() && scan.root().odd_number().is_none() && is_sorted(scan.root())
    })
}

/// Not deep: the limits have been kept.
fn is_sorted(value: Value<'_>) -> bool {
    if let Some(dict) = value.dict() {
        return dict.is_sorted_by(|a, b| a.0 < b.0) && { dict }.all(|(_, value)| is_sorted(value));
    }
    value.list().into_iter().flatten().all(is_sorted)
}
