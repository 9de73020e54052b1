//! One half of the brain: who there is. Whom to dial and let in, which one of two links to the
//! same peer stays, which are given up, who gets an upload slot, and whom never to speak to
//! again. What the links are good for it is told by the other half, which knows the torrent; it
//! works as well while nobody knows that yet.

mod acquaintances;
pub mod candidates;
pub mod choker;
mod debts;
pub mod exchange;
mod links;
mod newcomer;
mod peer;
mod room;
mod unchoking;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::ids::{LinkId, PeerId};
use crate::wire::{Pex, PexFlags};

use super::effects::Effects;
use super::event::{Room, Source};
use super::link::{CloseReason, Description, ExtendedCommand, LinkCommand, PeerCommand};
use super::report::Known;

pub use acquaintances::Acquaintances;
pub use newcomer::Refusal;

pub(super) use newcomer::NewPeer;
pub(super) use peer::Peer;
pub(super) use unchoking::Slots;

use candidates::Candidates;
use choker::{Round, Standing};
use debts::Debts;
use exchange::{Exchange, Taken};
use peer::Arriving;
use unchoking::Unchoking;

/// How a crowd behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrowdConfig {
    /// Our own id, to know ourselves when we meet.
    pub peer_id: PeerId,
    /// The port that peers can reach us at; 0 when there is none.
    pub listen_port: u16,
    /// BEP 27: only those that trackers name are dialled.
    pub is_private: bool,
    /// Peers tell each other of others (BEP 11).
    pub exchanges_peers: bool,
    /// Most links, dials included.
    pub max_peers: usize,
    /// Seed of all chance.
    pub seed: u64,
}

/// What the torrent needs of the crowd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Nothing is missing.
    pub is_complete: bool,
    /// There is something to give.
    pub has_any: bool,
}

/// What a link is used for, as the other half knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Payload goes over it.
    pub is_moving: bool,
    /// It has what we lack, or wants what we have.
    pub has_business: bool,
    /// Payload in all, both ways.
    pub moved_bytes: u64,
}

/// Who there is.
#[derive(Debug)]
pub(super) struct Crowd {
    config: CrowdConfig,
    candidates: Candidates,
    exchange: Exchange,
    arriving: BTreeMap<LinkId, Arriving>,
    peers: BTreeMap<LinkId, Peer>,
    debts: Debts,
    unchoking: Unchoking,
    /// As it was told last; what was taken since is off.
    room: Room,
    /// Not before that do idle links make place again.
    next_turnover: Option<Instant>,
    paused: bool,
    met_anybody: bool,
    next_link: u64,
    rng: StdRng,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(config: CrowdConfig, now: Instant) -> Self {
        let mut exchange = Exchange::default();
        if config.is_private || !config.exchanges_peers {
            exchange.stop();
        }
        Self {
            exchange,
            candidates: Candidates::default(),
            arriving: BTreeMap::new(),
            peers: BTreeMap::new(),
            debts: Debts::default(),
            unchoking: Unchoking::new(now),
            room: Room::UNBOUNDED,
            next_turnover: None,
            paused: false,
            met_anybody: false,
            next_link: 0,
            rng: StdRng::seed_from_u64(config.seed),
            config,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Everybody who is connected.
    pub(super) fn peers(&self) -> &BTreeMap<LinkId, Peer> {
        &self.peers
    }

    /// Links on their way up.
    pub(super) fn arriving_count(&self) -> usize {
        self.arriving.len()
    }

    /// Dials under way.
    pub(super) fn dials(&self) -> usize {
        self.arriving.values().filter(|arriving| !arriving.incoming).count()
    }

    /// Everybody who is known.
    pub(super) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Addresses that are known and not connected.
    pub(super) fn known(&self, now: Instant) -> Vec<Known> {
        let known = |(address, why, left_at): (_, Option<&str>, Option<Instant>)| Known {
            address,
            last_error: why.map(str::to_owned),
            left: left_at.map(|at| now.saturating_duration_since(at)),
        };
        self.candidates.idle().map(known).collect()
    }

    /// Is a link on its way up, whichever side began it?
    pub(super) fn is_arriving(&self, link: LinkId) -> bool {
        self.arriving.contains_key(&link)
    }

    /// The peer of a live link.
    pub(super) fn peer(&self, link: LinkId) -> Option<&Peer> {
        self.peers.get(&link)
    }

    /// Who named a peer, if that is known still.
    pub(super) fn source_of(&self, peer: &Peer) -> Option<Source> {
        self.candidates.source(peer.home())
    }

    /// Something came on this link that nobody asked for; how often that was.
    pub(super) fn strike(&mut self, link: LinkId) -> Option<u32> {
        self.peers.get_mut(&link).map(Peer::strike)
    }

    /// What a peer told of itself; `is_seed` by what it has.
    pub(super) fn on_described(
        &mut self,
        link: LinkId,
        description: &Description,
        is_seed: bool,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if let Some(client) = &description.client {
            peer.set_client(client);
        }
        self.on_addresses_told(link, description.listen_port, description.our_address);
        let Some(peer) = self.peers.get(&link) else { return };
        let flag = |is_so, flag| if is_so { flag } else { PexFlags::default() };
        let says = description.prefers_encryption;
        if says || peer.mse().is_some() {
            self.candidates.prefers_encryption(peer.home());
        }
        // Others are told what it says of itself, not how we came to speak.
        let flags = flag(says, PexFlags::ENCRYPTION)
            .with(flag(is_seed || description.upload_only == Some(true), PexFlags::SEED))
            .with(flag(!peer.is_incoming(), PexFlags::REACHABLE));
        let takes = description.takes_peers;
        self.exchange.described(link, peer.listens_at(), flags, takes, now, &mut self.rng);
    }

    /// A peer tells of others.
    pub(super) fn on_peers_told(
        &mut self,
        link: LinkId,
        peers: Pex,
        now: Instant,
        out: &mut Effects,
    ) {
        match self.exchange.take(link, peers, self.candidates.ours(), now) {
            Taken::Contacts { added, dropped } => {
                for address in dropped {
                    self.candidates.dropped(address, &mut self.rng);
                }
                let prefer = |(_, flags): &&(_, PexFlags)| flags.has(PexFlags::ENCRYPTION);
                let preferring: Vec<_> = added.iter().filter(prefer).map(|it| it.0).collect();
                let added = added.into_iter().map(|(address, _)| address).collect();
                self.on_candidates(Source::Pex, added);
                for address in preferring {
                    self.candidates.prefers_encryption(address);
                }
            }
            Taken::Ignored => {}
            Taken::Close(why) => out.close(link, CloseReason::Misbehaved(why)),
        }
    }

    /// Tells peers of others, as far as that is due.
    pub(super) fn exchange_peers(&mut self, now: Instant, out: &mut Effects) {
        while let Some((link, peers)) = self.exchange.poll(now) {
            out.send(link, ExtendedCommand::TellPeers(peers));
        }
    }

    /// When peers are to be told of others.
    pub(super) fn next_exchange(&self) -> Option<Instant> {
        self.exchange.next_timeout()
    }

    /// The torrent turned out to be private (BEP 27): whom only peers, the local network or
    /// the DHT named is left, those who came in are not dialled back, and nobody is told of others
    /// any more.
    pub(super) fn become_private(&mut self, out: &mut Effects) {
        self.config.is_private = true;
        self.exchange.stop();
        for (link, peer) in &self.peers {
            let is_left = match peer.is_incoming() {
                true => self.candidates.is_hearsay(peer.home()),
                false => !self.candidates.is_named(peer.address()),
            };
            match is_left {
                true => out.close(*link, CloseReason::Private),
                false => out.send(*link, PeerCommand::StopExchange),
            }
        }
        let is_left = |it: &Arriving| !it.incoming && !self.candidates.is_named(it.address);
        for (link, arriving) in &self.arriving {
            match is_left(arriving) {
                true => out.send(*link, LinkCommand::Close(CloseReason::Private)),
                false => out.send(*link, PeerCommand::StopExchange),
            }
        }
        let left: Vec<_> = self.arriving.extract_if(.., |_, it| is_left(it)).collect();
        left.into_iter().for_each(|(_, it)| self.candidates.forget(it.address));
        self.candidates.forget_unnamed();
    }

    /// Whether peers tell each other of others from now on, unless the torrent is private. A link
    /// that was born without that, or was told to stop, stays so.
    pub(super) fn set_exchange(&mut self, exchanges: bool, now: Instant, out: &mut Effects) {
        if std::mem::replace(&mut self.config.exchanges_peers, exchanges) == exchanges
            || self.config.is_private
        {
            return;
        }
        if exchanges {
            self.exchange = Exchange::default();
            for (link, peer) in &self.peers {
                self.exchange.joined(*link, peer.address(), now);
            }
            return;
        }
        self.exchange.stop();
        for link in self.peers.keys().chain(self.arriving.keys()) {
            out.send(*link, PeerCommand::StopExchange);
        }
    }

    /// The link delivered.
    pub(super) fn worked(&mut self, address: SocketAddr) {
        self.candidates.worked(address);
    }

    /// What went wrong there before does not count.
    pub(super) fn forgive(&mut self, address: SocketAddr) {
        self.candidates.forgive(address);
    }

    /// Seeds that rest are of use again.
    pub(super) fn wake_all(&mut self) {
        self.candidates.wake_all();
    }

    /// Never speaks to a liar again; `alone` spares others at its host. The links that are over by
    /// that, or none if it was banned before.
    pub(super) fn ban(&mut self, address: SocketAddr, alone: bool) -> Option<Vec<LinkId>> {
        if self.candidates.is_banned(address) {
            return None;
        }
        match alone {
            true => self.candidates.shun(address),
            false => self.candidates.ban(address),
        }
        self.candidates.note_banned(address);
        let banned = |peer: &Peer| self.candidates.is_banned(peer.address());
        let links = self.peers.iter().filter(|(_, peer)| banned(peer)).map(|(link, _)| *link);
        Some(links.collect())
    }

    /// Is this another upload limit than before?
    pub(super) fn set_upload_limit(&mut self, limit: Option<u64>) -> bool {
        self.unchoking.set_limit(limit)
    }

    pub(super) fn upload_limit(&self) -> Option<u64> {
        self.unchoking.limit()
    }

    /// Is this another bound on upload slots than before? All are given anew then.
    pub(super) fn set_slots_max(&mut self, most: Option<usize>, now: Instant) -> bool {
        self.unchoking.set_most(most, now)
    }

    /// When upload slots are to be given anew, if anybody wants one.
    pub(super) fn next_round(&self) -> Option<Instant> {
        self.unchoking.next().filter(|_| !self.paused)
    }

    /// Is the round over?
    pub(super) fn is_round_over(&mut self, now: Instant) -> bool {
        self.unchoking.is_over(now)
    }

    /// Gives upload slots: all of them anew when the round is over, else only free ones.
    pub(super) fn give_slots(
        &mut self,
        standings: &[Standing],
        round: Round,
        is_over: bool,
        now: Instant,
    ) -> Slots {
        self.unchoking.give(standings, round, is_over, now, &mut self.rng)
    }

    /// Whether anybody is served, or wants to be.
    pub(super) fn set_slots_wanted(&mut self, is_wanted: bool) {
        self.unchoking.set_wanted(is_wanted);
    }

    /// Asserts what must hold of who is connected, and how.
    pub(super) fn check_invariants(&self) {
        let both = self.peers.keys().find(|link| self.arriving.contains_key(link));
        assert_eq!(both, None, "no link is up and still arriving");
        assert!(!self.paused || self.peers.is_empty(), "a paused torrent has no links");
        let links = self.peers.len() + self.arriving.len();
        assert!(links <= self.config.max_peers, "{links} links in {}", self.config.max_peers);
        let ids: std::collections::HashSet<_> = self.peers.values().map(Peer::peer_id).collect();
        assert_eq!(ids.len(), self.peers.len(), "one link to each peer");
        for (link, peer) in &self.peers {
            let address = peer.address();
            let is_banned = self.candidates.is_banned(address);
            assert!(!is_banned, "{link:?} goes to {address}, which is banned");
        }
    }
}
