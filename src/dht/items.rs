//! Items that the network keeps for anybody (BEP 44).

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
