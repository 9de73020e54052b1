//! What the brain of a torrent must know at birth.

use std::sync::Arc;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{InfoHash, PeerId};
use crate::base::layout::Layout;

/// What a brain must know at birth.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The geometry.
    pub layout: Layout,
    /// Files, to know pad bytes (BEP 47).
    pub extents: Extents,
    /// The torrent, of which the gifts to newcomers depend (BEP 6).
    pub info_hash: InfoHash,
    /// Verified pieces.
    pub have: Bitfield,
    /// Those of them that were hashed since the start; the others are before they are sent.
    pub proven: Bitfield,
    /// Pieces of wanted files.
    pub wanted: Bitfield,
    /// Blocks that open pieces may hold before they are spilled, until `Input::Share` says
    /// otherwise.
    pub share_blocks: usize,
    /// Most links, dials included.
    pub max_peers: usize,
    /// Pieces in order.
    pub sequential: bool,
    /// BEP 27: dial only peers that trackers name, whoever else offers addresses. Connections
    /// that come in are taken all the same: newcomers of whom the tracker has told us nothing
    /// yet were told of us, and come from ports that no tracker knows. Whoever comes was let
    /// in by somebody who knows the info-hash, our address and our port.
    pub is_private: bool,
    /// The port that peers can reach us at; 0 when there is none.
    pub listen_port: u16,
    /// Our own id, to know ourselves when we meet.
    pub peer_id: PeerId,
    /// Peers tell each other of others (BEP 11), unless the torrent is private.
    pub exchanges_peers: bool,
    /// The info dictionary as it is hashed, for peers that seek it; none where it is not given.
    pub metadata: Option<Arc<[u8]>>,
    /// Seed of all chance in here.
    pub seed: u64,
}
