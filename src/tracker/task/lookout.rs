//! Who looks out for a torrent that is not here: of its trackers it hears whom they name, as long
//! as anybody there may lack something, and nothing else. Many look out over one channel.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::base::ids::TorrentId;

/// Whom trackers named for which torrent.
pub type Named = (TorrentId, Vec<SocketAddr>);

/// Who looks out for one torrent.
#[derive(Clone, Debug)]
pub struct Lookout {
    /// For which.
    pub id: TorrentId,
    /// What does not fit in here is lost: whoever lacks something is named again with the next
    /// announce.
    pub named: mpsc::Sender<Named>,
}

impl Lookout {
    pub(super) fn tell(&self, addresses: Vec<SocketAddr>) {
        let _ = self.named.try_send((self.id, addresses));
    }
}
