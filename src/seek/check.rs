//! Whether bytes are the metadata that is sought: the work of a hash job, 27 ms for 32 MiB. Not
//! here: whether they are a valid info dictionary.

use crate::base::digest::{Sha1Hash, sha1, sha1_many, sha256};
use crate::base::ids::{InfoHash, InfoHashV2};

/// What is known of a torrent before its metadata: one hash of it at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    v1: Option<InfoHash>,
    v2: Option<InfoHashV2>,
}

/// What a hash job found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The bytes have the hashes that are sought.
    pub is_right: bool,
    /// SHA-1 of each piece, to tell which sender lied.
    pub digests: Vec<Sha1Hash>,
}

impl Target {
    /// By SHA-1 (BEP 3), SHA-256 (BEP 52), or both of a hybrid; none without any.
    pub fn new(v1: Option<InfoHash>, v2: Option<InfoHashV2>) -> Option<Self> {
        (v1.is_some() || v2.is_some()).then_some(Self { v1, v2 })
    }

    /// The hash that handshakes and trackers name the torrent by: that of version 1 if it is known,
    /// else the first 20 bytes of the other (BEP 52).
    pub fn handshake_hash(&self) -> InfoHash {
        self.swarm_hashes().next().unwrap_or(InfoHash([0; 20]))
    }

    /// All hashes of that kind that are known: the DHT knows a hybrid by both.
    pub fn swarm_hashes(&self) -> impl Iterator<Item = InfoHash> + use<> {
        let cut = |hash: InfoHashV2| InfoHash(std::array::from_fn(|at| hash.0[at]));
        self.v1.into_iter().chain(self.v2.map(cut))
    }

    /// Every hash that is known, in hexadecimal digits.
    pub fn names(&self) -> Vec<String> {
        let v1 = self.v1.map(|hash| hash.to_string());
        v1.into_iter().chain(self.v2.map(|hash| hash.to_string())).collect()
    }

    /// Hashes `pieces`, which are the whole in order. All hashes that are known must match.
    pub fn check(&self, pieces: &[Box<[u8]>]) -> Checked {
        let parts: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        let is_right = self.v1.is_none_or(|hash| sha1(&parts) == hash.0)
            && self.v2.is_none_or(|hash| sha256(&parts) == hash.0);
        let alone: Vec<Vec<&[u8]>> = parts.into_iter().map(|part| vec![part]).collect();
        Checked { is_right, digests: sha1_many(&alone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hashes_that_are_known_must_match() {
        let pieces: Vec<Box<[u8]>> = vec![b"meta".as_slice().into(), b"data".as_slice().into()];
        let v1 = Some(InfoHash(sha1(&[b"metadata"])));
        let v2 = Some(InfoHashV2(sha256(&[b"metadata"])));
        let (other_v1, other_v2) = (Some(InfoHash([1; 20])), Some(InfoHashV2([1; 32])));
        let is_right = |v1, v2| Target::new(v1, v2).unwrap().check(&pieces).is_right;
        assert!(is_right(v1, None) && is_right(None, v2) && is_right(v1, v2));
        assert!(!is_right(other_v1, None) && !is_right(None, other_v2));
        assert!(!is_right(v1, other_v2) && !is_right(other_v1, v2));
        assert_eq!(Target::new(None, None), None);
        let checked = Target::new(v1, None).unwrap().check(&pieces);
        assert_eq!(checked.digests, [sha1(&[b"meta"]), sha1(&[b"data"])]);
    }
}
