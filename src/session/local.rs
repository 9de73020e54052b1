//! Peers in the local network (BEP 14): which torrents it is told of, and which torrent is told of
//! whom. The datagrams are `net::lsd`'s.

use std::net::SocketAddr;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::base::ids::InfoHash;
use crate::net::lsd::{LSD_PORT, LocalPeer, Lsd, LsdCommand, LsdConfig, interfaces};
use crate::torrent::seeking::SeekDesk;

/// Local discovery of a session, which may be off.
#[derive(Debug)]
pub(super) struct Local {
    lsd: Option<Lsd>,
    /// Searches for metadata; they end without a word.
    seeks: Vec<(InfoHash, SeekDesk)>,
}

impl Local {
    /// One that listens, unless it is off or there is no port to tell. Must run inside the runtime.
    pub(super) fn start(is_on: bool, listen_port: u16) -> Self {
        let config = || LsdConfig {
            listen_port,
            group_port: LSD_PORT,
            networks: interfaces,
            rng: StdRng::seed_from_u64(rand::random()),
        };
        let lsd = (is_on && listen_port > 0).then(|| Lsd::start(config()));
        Self { lsd, seeks: Vec::new() }
    }

    /// The next peer that announces itself; waits for ever when discovery is off.
    pub(super) async fn next(&mut self) -> LocalPeer {
        match &mut self.lsd {
            Some(lsd) => match lsd.peers.recv().await {
                Some(peer) => peer,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Tells the network of a torrent that is not private.
    pub(super) fn announce(&self, info_hash: InfoHash) {
        self.tell(LsdCommand::Add(info_hash));
    }

    /// Tells it of a search, and the search of whom it hears.
    pub(super) fn seek(&mut self, info_hash: InfoHash, desk: SeekDesk) {
        self.announce(info_hash);
        self.seeks.push((info_hash, desk));
    }

    /// A torrent is gone, or turned out to be private.
    pub(super) fn forget(&mut self, info_hash: InfoHash) {
        self.tell(LsdCommand::Remove(info_hash));
        self.seeks.retain(|(sought, _)| *sought != info_hash);
    }

    /// Searches that a peer is for are told of it; those that are over are forgotten.
    pub(super) fn tell_seeks(&mut self, info_hash: InfoHash, address: SocketAddr) {
        self.seeks.retain(|(sought, desk)| *sought != info_hash || desk.local_peer(address));
    }

    fn tell(&self, command: LsdCommand) {
        if let Some(lsd) = &self.lsd {
            // One that does not fit is not announced; the queue is longer than any session is wide.
            let _ = lsd.commands.try_send(command);
        }
    }
}
