//! Message Stream Encryption, also called Protocol Encryption: a handshake before the handshake
//! by which two peers hide what they speak from those who carry it, and agree on whether what
//! follows is hidden too. No BEP has it; the bytes are those of Vuze's description, which every
//! client speaks:
//!
//! ```text
//! A→B  Ya (96)  PadA (0–512)
//! B→A  Yb (96)  PadB (0–512)
//! A→B  SHA1("req1" S)  SHA1("req2" SKEY) xor SHA1("req3" S)
//!      RC4a{ VC = 8 × 0, provide u32, len(PadC) u16, PadC, len(IA) u16, IA }
//! B→A  RC4b{ VC, select u32, len(PadD) u16, PadD }
//! ```
//!
//! SKEY is the torrent's info-hash, IA the first bytes of what A has to say. Whoever listens to all
//! of it and knows the torrent can read on: this is against filters, and keeps no secret.
//!
//! Not here: sockets, whom to call how (`policy` says only what may be), and when to give up.

mod keys;
mod machine;
mod policy;
mod prime;
mod rc4;

use crate::base::digest::{Sha1Hash, sha1};
use crate::base::ids::InfoHash;

pub use keys::{KEY_LEN, PRIVATE_LEN, PrivateKey, PublicKey, Secret};
pub use machine::{Ciphers, INITIAL_MAX, Machine, Outcome, PAD_MAX, Step};
pub use policy::{Encryption, Way, Ways};
pub use rc4::Rc4;

/// What hides the stream behind the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// Nothing does: only the handshake is hidden.
    Plaintext,
    /// RC4 does.
    Rc4,
}

impl Method {
    /// Its bit where methods are offered and selected.
    fn bit(self) -> u32 {
        match self {
            Self::Plaintext => 1,
            Self::Rc4 => 2,
        }
    }
}

/// Why a handshake came to nothing. Always the remote's doing, or that of somebody between us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Its key would make the secret known to all.
    #[error("it sent a key that hides nothing")]
    Key,
    /// A pad is too long, or what must follow it never comes.
    #[error("its encrypted handshake is not readable: more than {PAD_MAX} bytes of padding")]
    Pad,
    /// What was encrypted is something else than it should be.
    #[error("its encrypted handshake is not readable")]
    Unreadable,
    /// It wants a torrent that we do not have.
    #[error("it asked, encrypted, for a torrent that we lack")]
    UnknownTorrent,
    /// It offers, or selects, no method that may be.
    #[error("it and we can agree on no encryption")]
    Method,
    /// Its first words are too long.
    #[error("its encrypted handshake announces {0} bytes at once")]
    Initial(u16),
    /// It means one torrent in the encrypted handshake, and another one in that inside.
    #[error("it asked for another torrent than its encrypted handshake did")]
    OtherTorrent,
    /// It speaks plainly, and that is not wanted.
    #[error("it does not encrypt, and encryption is required")]
    Plain,
}

/// How a stranger names a torrent in the handshake: by SHA1("req2" SKEY). A session finds the
/// torrent by this at once, however many there are.
pub fn torrent_key(skey: InfoHash) -> Sha1Hash {
    sha1(&[b"req2", &skey.0])
}

#[cfg(test)]
mod tests;
