//! Peers in the local network (BEP 14): which torrents it is told of, and which torrent is told of
//! whom. The datagrams are `net::lsd`'s.

use std::net::SocketAddr;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::base::ids::InfoHash;
use crate::net::egress::{Egress, Purpose};
use crate::net::lsd::{LSD_PORT, LocalPeer, Lsd, LsdCommand, LsdConfig, interfaces};
use crate::torrent::seeking::SeekWatch;

/// Local discovery of a session, which may be off.
#[derive(Debug)]
pub(super) struct Local {
    lsd: Option<Lsd>,
    seeks: Vec<Sought>,
}

/// A search for metadata.
#[derive(Debug)]
struct Sought {
    info_hash: InfoHash,
    watched: SeekWatch,
    /// The network was told of it. That is not before others are asked at all: of a torrent whose
    /// metadata was kept it is known whether it is private.
    is_announced: bool,
}

impl Local {
    /// One that listens, unless it is off or there is no port to tell. Must run inside the runtime.
    pub(super) fn start(is_on: bool, egress: &Egress, listen_port: u16) -> Self {
        let is_on = is_on && egress.off(Purpose::Lsd).is_none();
        let config = || LsdConfig {
            egress: egress.clone(),
            listen_port,
            group_port: LSD_PORT,
            networks: interfaces,
            rng: StdRng::seed_from_u64(rand::random()),
        };
        Self::with((is_on && listen_port > 0).then(|| Lsd::start(config())))
    }

    /// One that hears and tells by this.
    pub(super) fn with(lsd: Option<Lsd>) -> Self {
        Self { lsd, seeks: Vec::new() }
    }

    /// Is anybody told?
    pub(super) fn is_on(&self) -> bool {
        self.lsd.is_some()
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

    /// A search has begun.
    pub(super) fn seek(&mut self, info_hash: InfoHash, watched: SeekWatch) {
        self.seeks.push(Sought { info_hash, watched, is_announced: false });
    }

    /// Tells the network of searches that ask others by now, and takes back those that are over.
    pub(super) fn look_at_seeks(&mut self) {
        for mut sought in std::mem::take(&mut self.seeks) {
            match sought.watched.is_asking() {
                Some(is_asking) => {
                    if is_asking && !sought.is_announced {
                        sought.is_announced = true;
                        self.announce(sought.info_hash);
                    }
                    self.seeks.push(sought);
                }
                None if sought.is_announced => self.forget(sought.info_hash),
                None => {}
            }
        }
    }

    /// A torrent is gone.
    pub(super) fn forget(&self, info_hash: InfoHash) {
        self.tell(LsdCommand::Remove(info_hash));
    }

    /// Searches that a peer is for are told of it.
    pub(super) fn tell_seeks(&self, info_hash: InfoHash, address: SocketAddr) {
        let seeks = self.seeks.iter().filter(|sought| sought.info_hash == info_hash);
        seeks.for_each(|sought| sought.watched.local_peer(address));
    }

    fn tell(&self, command: LsdCommand) {
        if let Some(lsd) = &self.lsd {
            // One that does not fit is not announced; the queue is longer than any session is wide.
            let _ = lsd.commands.try_send(command);
        }
    }
}
