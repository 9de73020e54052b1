//! What a query is answered: within a budget, never more than 1,024 bytes nor ten times the
//! query, so that we are no help against anybody whose address is forged. Nothing is allocated
//! for an answer. Not here: what its sender is worth to the table.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;

use super::compact::{self, Values};
use super::gate::Gate;
use super::id::NodeId;
use super::items::Items;
use super::message::{
    Body, Flaw, Message, Method, Query, REPLY_LEN_MAX, Refusal, Reply, Samples, code,
};
use super::nets::{Family, is_usable_node};
use super::peers::PeerStore;
use super::sample::Sampler;
use super::table::{Entry, Table};
use super::token::{TOKEN_LEN, Tokens};
use crate::base::addr::{COMPACT_V4_LEN, COMPACT_V6_LEN, write_compact};
use crate::base::ids::InfoHash;

/// How many times longer than the query a reply may be.
const GAIN_MAX: usize = 10;
/// Nodes in a reply: k of BEP 5.
const NODES: usize = 8;
/// Peers in a reply: what fits with the nodes (BEP 32's 1,024 bytes).
const PEERS_V4: usize = 50;
/// The same over IPv6.
const PEERS_V6: usize = 24;
/// `6:valuesl` and `e`.
const VALUES_FRAME: usize = 10;
/// `6:` and a peer.
const PEER_V4: usize = 2 + COMPACT_V4_LEN;
/// `18:` and a peer.
const PEER_V6: usize = 3 + COMPACT_V6_LEN;

/// A datagram that somebody sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it says.
    pub message: Result<Message<'a>, Flaw<'a>>,
    /// Its bytes.
    pub len: usize,
    /// Its sender.
    pub from: SocketAddr,
}

/// What an answer is made with.
#[derive(Debug)]
pub struct Around<'a> {
    /// The nodes that are named.
    pub table: &'a Table,
    /// Where we are a peer of the torrent that is asked for, if that is to be told.
    pub own_peer: Option<SocketAddr>,
    /// How much passes.
    pub gate: &'a mut Gate,
    /// Chance.
    pub rng: &'a mut StdRng,
    /// The time.
    pub now: Instant,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its sender is not heard now, or there is no budget for replies.
    Unheard,
    /// There is nothing to say to it.
    Silent,
    /// It is refused.
    Refused,
    /// It is answered.
    Answered,
}

/// All that others get from us.
#[derive(Debug)]
pub struct Answers {
    family: Family,
    tokens: Tokens,
    store: PeerStore,
    items: Items,
    sampler: Sampler,
    /// Compact nodes and peers of the reply that is being made.
    nodes: Vec<u8>,
    peers: Vec<u8>,
}

impl Answers {
    /// For a node named `own`, with nothing stored.
    pub fn new(own: NodeId, family: Family, rng: &mut StdRng, now: Instant) -> Self {
        Self {
            family,
            tokens: Tokens::new(rng, now),
            store: PeerStore::new(own, family, now),
            items: Items::new(own, now),
            sampler: Sampler::new(now),
            nodes: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// Our own id is another one.
    pub fn rename(&mut self, own: NodeId) {
        self.store.rename(own);
        self.items.rename(own);
    }

    /// Peers that are stored for others.
    pub fn stored(&self) -> usize {
        self.store.peers()
    }

    /// Peers of a torrent that others told us, for a lookup of ours: in a net of two nobody else
    /// has them.
    pub fn own_peers(
        &self,
        hash: InfoHash,
        noseed: bool,
        rng: &mut StdRng,
    ) -> impl Iterator<Item = SocketAddr> + use<> {
        let mut bytes = Vec::new();
        self.store.sample(hash, noseed, compact::PEERS_MAX, rng, &mut bytes);
        let len = match self.family {
            Family::V4 => COMPACT_V4_LEN,
            Family::V6 => COMPACT_V6_LEN,
        };
        let peers: Vec<SocketAddr> = bytes.chunks_exact(len).filter_map(compact::peer).collect();
        peers.into_iter()
    }

    /// Everything that must hold at any time.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        self.store.check_invariants();
    }

    /// Makes the reply to a query in `out`, which is empty unless there is one. Replies and
    /// errors are never answered.
    pub fn answer(
        &mut self,
        asked: &Asked<'_>,
        mut around: Around<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        out.clear();
        let (to, now) = (asked.from, around.now);
        let (transaction, query) = match asked.message {
            Ok(Message { transaction, body: Body::Query(query), .. }) => (transaction, Ok(query)),
            Err(Flaw::Query { transaction, what }) => (transaction, Err(what)),
            _ => return Outcome::Silent,
        };
        // Whoever has our name sends us what we sent.
        if query.is_ok_and(|query| query.id == around.table.own()) {
            return Outcome::Silent;
        }
        if !around.gate.admits(to.ip(), now) || !around.gate.has_reply_left(to.ip(), now) {
            return Outcome::Unheard;
        }
        self.store.sweep(now);
        self.items.sweep(now);
        let cap = REPLY_LEN_MAX.min(asked.len * GAIN_MAX);
        let mut letter = Letter { transaction, to, cap, out };
        let done = match query {
            Ok(query) => self.reply(&query, &mut letter, &mut around),
            Err(what) => Err(refuse(code::PROTOCOL, what)),
        };
        if let Err(refusal) = done {
            out.clear();
            refusal.write(transaction, to, out);
        }
        if out.len() > cap {
            out.clear();
            return Outcome::Silent;
        }
        if !around.gate.may_reply(to.ip(), out.len(), now) {
            out.clear();
            return Outcome::Unheard;
        }
        if done.is_err() { Outcome::Refused } else { Outcome::Answered }
    }

    fn reply(
        &mut self,
        query: &Query<'_>,
        letter: &mut Letter<'_>,
        around: &mut Around<'_>,
    ) -> Result<(), Refusal<'static>> {
        let reply = Reply { id: around.table.own(), ..Reply::default() };
        match query.method {
            Method::Ping => letter.write(&reply),
            Method::FindNode { target } | Method::Other { target: Some(target), .. } => {
                let nodes = gather(&mut self.nodes, &target, letter.to, around.table);
                letter.write(&self.family.add_nodes(reply, query, nodes));
            }
            Method::Other { target: None, .. } => {
                return Err(refuse(code::METHOD_UNKNOWN, "unknown method"));
            }
            Method::GetPeers { hash, noseed, scrape } => {
                let wish = Wish { hash, noseed, scrape };
                self.give_peers(reply, wish, query, letter, around);
            }
            Method::AnnouncePeer { hash, port, implied, seed, token } => {
                self.check_token(token, &hash.into(), letter.to, around)?;
                // Behind a translator the datagram's port is the one that others reach.
                let port = if implied { letter.to.port() } else { port };
                if port <= 1 {
                    return Err(refuse(code::PROTOCOL, "nobody listens at this port"));
                }
                let peer = SocketAddr::new(letter.to.ip(), port);
                let stored = self.store.announce(hash, peer, seed, around.now);
                stored.map_err(|_| refuse(code::SERVER, "full"))?;
                letter.write(&reply);
            }
            Method::Get { target, seq } => {
                self.give_item(reply, (&target, seq), query, letter, around);
            }
            Method::Put { token, item, cas } => {
                self.check_token(token, &item.target(), letter.to, around)?;
                let kept = self.items.put(&item, cas, letter.to.ip(), around.now);
                kept.map_err(|unkept| refuse(unkept.code(), unkept.text()))?;
                letter.write(&reply);
            }
            Method::SampleInfohashes { target } => {
                if !self.sampler.admits(letter.to.ip(), around.now) {
                    return Err(refuse(code::GENERIC, "ask again after the interval"));
                }
                let count = u32::try_from(self.store.torrents()).unwrap_or(u32::MAX);
                let (hashes, interval_s) = self.sampler.sample(&self.store, around.rng, around.now);
                let nodes = gather(&mut self.nodes, &target, letter.to, around.table);
                let reply = self.family.add_nodes(reply, query, nodes);
                let samples = Some(Samples { hashes, count, interval_s });
                letter.write(&Reply { samples, ..reply });
            }
        }
        Ok(())
    }

    /// Nodes always, peers as many as fit, and a token unless an announce would be in vain.
    fn give_peers(
        &mut self,
        reply: Reply<'_>,
        wish: Wish,
        query: &Query<'_>,
        letter: &mut Letter<'_>,
        around: &mut Around<'_>,
    ) {
        let (to, hash) = (letter.to, wish.hash);
        let target = NodeId::from(hash);
        let token = self
            .store
            .has_room(hash)
            .then(|| self.tokens.issue(to.ip(), &target, around.rng, around.now));
        let nodes = gather(&mut self.nodes, &target, to, around.table);
        let reply = self.family.add_nodes(reply, query, nodes);
        let reply = Reply { token: token.as_ref().map(<[u8; TOKEN_LEN]>::as_slice), ..reply };
        letter.write(&reply);
        if wish.scrape {
            if let Some((seeds, leechers)) = self.store.filters(hash) {
                let filters = Reply { seeds: Some(&seeds.0), leechers: Some(&leechers.0), ..reply };
                letter.write_if_fits(&filters);
            }
            return;
        }
        let (entry, most) = match self.family {
            Family::V4 => (PEER_V4, PEERS_V4),
            Family::V6 => (PEER_V6, PEERS_V6),
        };
        let room = letter.room().saturating_sub(VALUES_FRAME) / entry;
        let most = most.min(room);
        self.peers.clear();
        if let Some(own) = around.own_peer.filter(|_| most > 0) {
            write_compact(own, &mut self.peers);
        }
        let others = most - self.peers.len().min(1);
        self.store.sample(hash, wish.noseed, others, around.rng, &mut self.peers);
        if !self.peers.is_empty() {
            let values = Values::Packed(&self.peers, self.family);
            letter.write(&Reply { values, ..reply });
        }
    }

    /// The item, with nodes if both fit; where it does not fit alone, its sequence number and
    /// nodes, by which others that have it are found.
    fn give_item(
        &mut self,
        reply: Reply<'_>,
        (target, newer_than): (&NodeId, Option<i64>),
        query: &Query<'_>,
        letter: &mut Letter<'_>,
        around: &mut Around<'_>,
    ) {
        let to = letter.to;
        let token = self.tokens.issue(to.ip(), target, around.rng, around.now);
        let item = self.items.find(target);
        let seq = item.and_then(|item| item.signed).map(|signed| signed.seq);
        let is_known = seq.zip(newer_than).is_some_and(|(seq, known)| seq <= known);
        let nodes = gather(&mut self.nodes, target, to, around.table);
        let reply = Reply { token: Some(&token), seq, ..reply };
        let with_nodes = self.family.add_nodes(reply, query, nodes);
        letter.write(&with_nodes);
        if item.is_some() && !is_known {
            let fits = letter.write_if_fits(&Reply { item, ..with_nodes });
            if !fits {
                letter.write_if_fits(&Reply { item, ..reply });
            }
        }
    }

    fn check_token(
        &mut self,
        token: &[u8],
        target: &NodeId,
        from: SocketAddr,
        around: &mut Around<'_>,
    ) -> Result<(), Refusal<'static>> {
        let is_good = self.tokens.accepts(from.ip(), target, token, around.rng, around.now);
        if is_good { Ok(()) } else { Err(refuse(code::PROTOCOL, "bad token")) }
    }
}

/// What a `get_peers` wants.
#[derive(Clone, Copy)]
struct Wish {
    hash: InfoHash,
    noseed: bool,
    scrape: bool,
}

/// A reply that is being written.
struct Letter<'a> {
    transaction: &'a [u8],
    to: SocketAddr,
    cap: usize,
    out: &'a mut Vec<u8>,
}

impl Letter<'_> {
    fn write(&mut self, reply: &Reply<'_>) {
        self.out.clear();
        reply.write(self.transaction, self.to, self.out);
    }

    /// Writes this instead of what stands there, unless it is too long.
    fn write_if_fits(&mut self, reply: &Reply<'_>) -> bool {
        let before = self.out.len();
        reply.write(self.transaction, self.to, self.out);
        let fits = self.out.len() - before <= self.cap;
        if fits {
            self.out.drain(..before);
        } else {
            self.out.truncate(before);
        }
        fits
    }

    /// How many bytes more it may have.
    fn room(&self) -> usize {
        self.cap.saturating_sub(self.out.len())
    }
}

impl Family {
    /// Adds nodes of this family, if the query wants such.
    fn add_nodes<'a>(self, reply: Reply<'a>, query: &Query<'_>, nodes: &'a [u8]) -> Reply<'a> {
        let nodes = query.want.covers(self, self).then_some(nodes);
        match self {
            Self::V4 => Reply { nodes, ..reply },
            Self::V6 => Reply { nodes6: nodes, ..reply },
        }
    }
}

/// The nodes near a target that answer, without local ones for those that are not local.
fn gather<'a>(nodes: &'a mut Vec<u8>, target: &NodeId, to: SocketAddr, table: &Table) -> &'a [u8] {
    nodes.clear();
    let fits = |entry: &Entry| entry.is_alive() && is_usable_node(entry.address(), to.ip());
    table.closest::<NODES>(target, fits).iter().for_each(|entry| entry.info().write(nodes));
    nodes
}

fn refuse(code: i64, text: &'static str) -> Refusal<'static> {
    Refusal { code, text: text.as_bytes() }
}
