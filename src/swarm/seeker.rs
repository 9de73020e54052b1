//! The brain of a torrent of which only a hash is known: it meets the crowd, gathers the metadata
//! from it (BEP 9), and hands the crowd, links and all, to the brain that trades. What to ask of
//! whom is decided by `seek`; what remotes say of their pieces until then is kept by their links.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::ids::{LinkId, PeerId};
use crate::seek::{self, Appetite, CheckId, Checked, Progress, Seek};

use super::crowd::{Acquaintances, Crowd, CrowdConfig, Need, NewPeer, Refusal, Usage};
use super::effects::{Effect, Effects, Notice, STRIKES_MAX};
use super::event::{DownReason, Event, Input, Output};
use super::link::{
    Availability, CloseReason, LinkCaps, LinkCommand, LinkEvent, MetadataCommand, MetadataEvent,
    PeerCommand,
};
use super::report::Known;

/// How often idle links make place for others.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// Holders whose link has ended that are remembered, since what they sent may turn out to be wrong.
const GONE_MAX: usize = 64;
/// Nothing is here, and something is missing.
const NEED: Need = Need { is_complete: false, has_any: false };

/// What a seeker must know at birth.
#[derive(Clone, Copy, Debug)]
pub struct SeekerConfig {
    /// Our own id, to know ourselves when we meet.
    pub peer_id: PeerId,
    /// The port that peers can reach us at; 0 when there is none.
    pub listen_port: u16,
    /// Most links, dials included.
    pub max_peers: usize,
    /// Peers tell each other of others (BEP 11), as long as the torrent is not private.
    pub exchanges_peers: bool,
    /// Bytes of metadata that nobody has proven yet, at most.
    pub memory: usize,
    /// Seed of all chance in here.
    pub seed: u64,
}

/// An effect from [`Seeker::poll_output`].
#[derive(Debug)]
pub enum SeekerOutput {
    /// As the other brain's.
    Do(Output),
    /// Hash a copy of the metadata; answer with [`Seeker::checked`].
    Check {
        /// Which copy.
        check: CheckId,
        /// All its pieces, in order.
        pieces: Vec<Box<[u8]>>,
    },
    /// The copy that was checked last is the metadata. Nothing follows.
    Found,
}

/// A link as a seeker knows it.
#[derive(Debug)]
struct Met {
    peer_id: PeerId,
    caps: LinkCaps,
    /// It claims to have the metadata.
    is_holder: bool,
}

/// A live link in words and numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct SeekerLink {
    /// Where.
    pub address: SocketAddr,
    /// What it calls itself, or its peer id as text.
    pub client: String,
    /// It connected to us.
    pub incoming: bool,
    /// It claims to have the metadata.
    pub is_holder: bool,
}

/// Everybody whom a seeker has met, for the brain that trades.
#[derive(Debug)]
pub struct Company {
    pub(super) crowd: Crowd,
    pub(super) links: Vec<(LinkId, PeerId, LinkCaps)>,
}

impl Company {
    /// What is to be remembered of them when their links are let go.
    pub fn acquaintances(self) -> Acquaintances {
        self.crowd.acquaintances()
    }
}

/// The brain.
#[derive(Debug)]
pub struct Seeker {
    crowd: Crowd,
    seek: Seek<LinkId>,
    met: BTreeMap<LinkId, Met>,
    /// Holders whose link has ended last.
    gone: VecDeque<(LinkId, SocketAddr)>,
    out: Effects,
    outputs: VecDeque<SeekerOutput>,
    next_housekeeping: Instant,
}

impl Seeker {
    /// One that knows no peer yet.
    pub fn new(config: SeekerConfig, now: Instant) -> Self {
        let crowd = CrowdConfig {
            peer_id: config.peer_id,
            listen_port: config.listen_port,
            is_private: false,
            exchanges_peers: config.exchanges_peers,
            max_peers: config.max_peers,
            seed: config.seed,
        };
        Self {
            crowd: Crowd::new(crowd, now),
            seek: Seek::new(config.memory),
            met: BTreeMap::new(),
            gone: VecDeque::new(),
            out: Effects::default(),
            outputs: VecDeque::new(),
            next_housekeeping: now,
        }
    }

    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&mut self, address: SocketAddr, now: Instant) -> Result<LinkId, Refusal> {
        let usage = |link| usage(&self.met, link);
        let admitted = self.crowd.admit(address, usage, now, &mut self.out);
        self.carry(now);
        admitted
    }

    /// Takes in one fact of links, addresses, places, or time; there are no others here yet. What
    /// follows from several is up to [`settle`](Self::settle), once after the last.
    pub fn note(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp { link, peer_id, caps } => self.on_link_up(link, peer_id, caps, now),
            Input::LinkEvents { link, events } => {
                events.into_iter().for_each(|event| self.on_link_event(link, event, now));
            }
            Input::LinkDown { link, reason } => self.on_link_down(link, &reason, now),
            Input::Candidates { source, addresses } => self.crowd.on_candidates(source, addresses),
            Input::Blocked(links) => self.crowd.on_blocked(&links, &mut self.out),
            Input::OurAddress(ours) => self.crowd.set_ours(ours),
            Input::Room(room) => {
                let usage = |link| usage(&self.met, link);
                self.crowd.on_room(room, usage, now, &mut self.out);
            }
            Input::Pause(pause) => self.on_pause(pause, now),
            Input::Tick => self.on_tick(now),
            other => debug_assert!(false, "nothing is traded yet: {other:?}"),
        }
        self.carry(now);
    }

    /// A copy of the metadata was hashed.
    pub fn checked(&mut self, check: CheckId, verdict: Checked, now: Instant) {
        self.seek.handle(seek::Input::Checked { check, verdict }, now);
        self.carry(now);
    }

    /// So many bytes of metadata that nobody has proven may be held from now on.
    pub fn allow(&mut self, bytes: usize, now: Instant) {
        self.seek.handle(seek::Input::Allowance(bytes), now);
        self.carry(now);
    }

    /// How many would be held.
    pub fn appetite(&self) -> Appetite {
        self.seek.appetite()
    }

    /// Draws the conclusions from all facts noted since the last time. Effects wait in
    /// [`poll_output`](Self::poll_output).
    pub fn settle(&mut self, now: Instant) {
        self.crowd.dial_more(NEED, now, &mut self.out);
        self.crowd.exchange_peers(now, &mut self.out);
        self.carry(now);
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<SeekerOutput> {
        let Some(output) = self.out.poll() else { return self.outputs.pop_front() };
        if let Output::Send { link, command } = &output {
            let met = self.met.get(link);
            let may = met.is_none_or(|met| met.caps.allow(command));
            debug_assert!(may, "{link:?} cannot {command:?}");
        }
        Some(SeekerOutput::Do(output))
    }

    /// When `Input::Tick` is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let times = self.seek.next_timeout().into_iter().chain(self.crowd.next_dial(NEED));
        let is_busy = !self.crowd.peers().is_empty();
        let housekeeping = is_busy.then_some(self.next_housekeeping);
        times.chain(self.crowd.next_exchange()).chain(housekeeping).min()
    }

    /// How many links more would be made at once if others left places.
    pub fn wanted_links(&mut self, now: Instant) -> usize {
        self.crowd.wanted_links(NEED, now)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.seek.progress()
    }

    /// Dials under way, and addresses that wait for one.
    pub fn reach(&self) -> (usize, usize) {
        (self.crowd.dials(), self.crowd.candidates().idle_count())
    }

    /// All live links.
    pub fn links(&self) -> Vec<SeekerLink> {
        let links = self.crowd.peers().iter().map(|(link, peer)| SeekerLink {
            address: peer.address(),
            client: peer.client_shown(),
            incoming: peer.is_incoming(),
            is_holder: self.met.get(link).is_some_and(|met| met.is_holder),
        });
        links.collect()
    }

    /// Addresses that are known and not connected.
    pub fn known(&self, now: Instant) -> Vec<Known> {
        self.crowd.known(now)
    }

    /// The crowd as it is, for the brain that trades. Whom it does not want any more is told to go;
    /// those effects are to be carried out, too.
    pub fn into_company(mut self, is_private: bool, now: Instant) -> (Company, Vec<Output>) {
        if is_private {
            self.crowd.become_private(&mut self.out);
            self.carry(now);
        }
        let links = self.met.into_iter().map(|(link, met)| (link, met.peer_id, met.caps));
        let company = Company { links: links.collect(), crowd: self.crowd };
        let mut out = self.out;
        (company, std::iter::from_fn(|| out.poll()).collect())
    }

    /// Asserts that the brain's parts agree with each other. To be called after
    /// [`settle`](Self::settle), by tests.
    ///
    /// # Panics
    /// When an invariant does not hold, with the invariant in words.
    pub fn check_invariants(&self) {
        self.crowd.check_invariants();
        let is_same = self.crowd.peers().keys().eq(self.met.keys());
        assert!(is_same, "who is in the crowd was met, and nobody else");
        self.seek.check_invariants(|link| self.met.contains_key(&link));
    }

    fn on_link_up(&mut self, link: LinkId, peer_id: PeerId, caps: LinkCaps, now: Instant) {
        let met = self.crowd.on_link_up(link, peer_id, &caps, now, &mut self.out);
        // One to the same peer may have made way for it.
        self.carry(now);
        let Some(NewPeer { .. }) = met else { return };
        self.met.insert(link, Met { peer_id, caps, is_holder: false });
        self.out.send(link, PeerCommand::Availability(Availability::None));
    }

    fn on_link_event(&mut self, link: LinkId, event: LinkEvent, now: Instant) {
        let Some(met) = self.met.get_mut(&link) else { return };
        match event {
            LinkEvent::Described(description) => {
                met.is_holder = description.takes_metadata && description.metadata_len.is_some();
                self.crowd.on_described(link, &description, false, now);
                let input = match description.takes_metadata {
                    true => seek::Input::Claimed { peer: link, len: description.metadata_len },
                    false => seek::Input::Gone { peer: link },
                };
                self.seek.handle(input, now);
            }
            LinkEvent::Metadata(MetadataEvent::Asked(piece)) => {
                // "Peers that do not have the entire metadata MUST respond with a reject message".
                self.out.send(link, MetadataCommand::Refuse(piece));
            }
            LinkEvent::Metadata(MetadataEvent::Piece { piece, bytes }) => {
                self.seek.handle(seek::Input::Data { peer: link, piece, bytes }, now);
            }
            LinkEvent::Metadata(MetadataEvent::Refused(piece)) => {
                self.seek.handle(seek::Input::Rejected { peer: link, piece }, now);
            }
            LinkEvent::Peers(peers) => {
                self.crowd.on_peers_told(link, peers, now, &mut self.out);
            }
            LinkEvent::Stray(_) => self.out.strike(link),
            // Kept by the link until the torrent is known.
            _ => {}
        }
        self.carry(now);
    }

    fn on_link_down(&mut self, link: LinkId, reason: &DownReason, now: Instant) {
        if self.crowd.is_arriving(link) {
            return self.crowd.on_arrival_failed(link, reason, now);
        }
        self.forget(link, now);
        if let Some(peer) = self.crowd.remove(link, None, now) {
            self.crowd.on_ended(&peer, false, reason, now);
        }
    }

    fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant) {
        self.forget(link, now);
        let Some(peer) = self.crowd.remove(link, Some(reason), now) else { return };
        self.out.send(link, LinkCommand::Close(reason));
        self.crowd.on_closed(&peer, reason, now);
    }

    fn forget(&mut self, link: LinkId, now: Instant) {
        let was_holder = self.met.remove(&link).is_some_and(|met| met.is_holder);
        if let Some(peer) = self.crowd.peer(link).filter(|_| was_holder) {
            self.gone.truncate(GONE_MAX - 1);
            self.gone.push_front((link, peer.address()));
        }
        self.seek.handle(seek::Input::Gone { peer: link }, now);
    }

    fn on_pause(&mut self, pause: bool, now: Instant) {
        self.crowd.set_paused(pause);
        if pause {
            let links: Vec<_> = self.crowd.peers().keys().copied().collect();
            links.into_iter().for_each(|link| self.close(link, CloseReason::Stopping, now));
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.seek.handle(seek::Input::Tick, now);
        if now >= self.next_housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            let usage = |link| usage(&self.met, link);
            self.crowd.turn_over(NEED, usage, now, &mut self.out);
        }
    }

    /// Carries what has followed to where it belongs.
    fn carry(&mut self, now: Instant) {
        self.take_sought(now);
        for effect in self.out.take() {
            match effect {
                Effect::Output(output) => self.out.push(output),
                Effect::Notice(notice) => {
                    self.on_notice(notice, now);
                    self.carry(now);
                }
            }
        }
    }

    fn on_notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Close(link, reason) => self.close(link, reason, now),
            Notice::Strike(link) => {
                if self.crowd.strike(link).is_some_and(|strikes| strikes > STRIKES_MAX) {
                    let reason = CloseReason::Misbehaved("it kept sending what nobody asked for");
                    self.out.close(link, reason);
                }
            }
            Notice::Liar { address, alone } => {
                let Some(links) = self.crowd.ban(address, alone) else { return };
                self.out.tell(Event::Banned(address));
                links.into_iter().for_each(|link| self.out.close(link, CloseReason::CorruptData));
            }
            // Of a trade that has not begun.
            Notice::Worked(_)
            | Notice::Forgiven(_)
            | Notice::Reassigned { .. }
            | Notice::Missing => {}
        }
    }

    fn take_sought(&mut self, now: Instant) {
        while let Some(output) = self.seek.poll_output() {
            match output {
                seek::Output::Ask { peer, pieces } => {
                    self.out.send(peer, MetadataCommand::Ask(pieces));
                }
                seek::Output::Check { check, pieces } => {
                    self.outputs.push_back(SeekerOutput::Check { check, pieces });
                }
                seek::Output::Ban { peer } => {
                    // Whoever lies may not wait until that is found out.
                    let gone = self.gone.iter().find(|(link, _)| *link == peer);
                    let here = self.crowd.peer(peer).map(|peer| peer.address());
                    let address = here.or(gone.map(|(_, address)| *address));
                    if let Some(address) = address {
                        self.out.notice(Notice::Liar { address, alone: false });
                    }
                }
                seek::Output::Close { peer } => {
                    let why = "it kept sending metadata that nobody asked for";
                    self.close(peer, CloseReason::Misbehaved(why), now);
                }
                seek::Output::Done => self.outputs.push_back(SeekerOutput::Found),
            }
        }
    }
}

/// What a link is used for: whoever has the metadata is not given up.
fn usage(met: &BTreeMap<LinkId, Met>, link: LinkId) -> Usage {
    let is_holder = met.get(&link).is_some_and(|met| met.is_holder);
    Usage { is_moving: is_holder, has_business: is_holder, moved_bytes: 0 }
}
