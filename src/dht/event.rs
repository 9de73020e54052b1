//! What the DHT's machine hears and says. Source: BEP 5, 32, 33, 42, 43, 44, 51.

use std::net::SocketAddr;
use std::time::Duration;

use super::id::NodeId;
use crate::base::ids::InfoHash;

/// Names one question of ours to the network; the asker makes it up and hears of it until `Ended`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// How much a lookup may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Haste {
    /// Somebody waits for it: a torrent without a layout, or with few peers.
    Urgent,
    /// Upkeep.
    Background,
}

/// Who named a node that we have not heard from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    /// A torrent's `nodes`, or the user.
    Torrent,
    /// A peer's PORT message, or a peer whose handshake has the DHT bit.
    Peer,
    /// A sender of local service discovery.
    Lan,
    /// A node of the other family, in a reply to that family's machine (BEP 32).
    Other,
    /// A public router: asked last.
    Router,
}

/// A fact for [`super::Node::handle`].
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram whose first byte is `d`.
    Datagram {
        /// Its sender.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The system says that nobody listens there (ICMP).
    Refused {
        /// Where.
        to: SocketAddr,
    },
    /// Find peers of a torrent, once.
    Find {
        /// Its name.
        ticket: Ticket,
        /// The torrent.
        hash: InfoHash,
        /// How much it may cost.
        haste: Haste,
    },
    /// Say again and again that we have a torrent, until `Forget`; replaces what was said of it.
    /// Its lookups bring peers, too.
    Announce {
        /// The torrent.
        hash: InfoHash,
        /// Where we take connections.
        port: u16,
        /// Whether the port is the one our datagrams leave from as well, by which nodes behind
        /// a translator may find it (`implied_port`, BEP 5).
        implied: bool,
        /// Whether we have all of it (BEP 33).
        seed: bool,
        /// How much each of its lookups may cost: urgent while few peers are known.
        haste: Haste,
    },
    /// Look for peers of a torrent again and again, until `Forget`, without a word of us, as who
    /// takes no connections does; replaces what was said of it.
    Seek {
        /// The torrent.
        hash: InfoHash,
        /// Whether we have all of it: seeds are not looked for then.
        seed: bool,
        /// How much each of its lookups may cost.
        haste: Haste,
    },
    /// Nothing of this torrent any more: neither announces nor any `Find`, which ends with what
    /// it has found.
    Forget {
        /// The torrent.
        hash: InfoHash,
    },
    /// A node that somebody named.
    Hinted {
        /// Where.
        address: SocketAddr,
        /// Who named it.
        by: Hint,
    },
    /// Ask one node for its name, for people.
    Ping {
        /// Its name.
        ticket: Ticket,
        /// Whom.
        address: SocketAddr,
    },
    /// Find an item (BEP 44).
    Get {
        /// Its name.
        ticket: Ticket,
        /// SHA-1 of the value, or of the key and salt.
        target: NodeId,
        /// The salt of a signed item.
        salt: Vec<u8>,
    },
    /// Store an item (BEP 44) at the nodes nearest to its target.
    Put {
        /// Its name.
        ticket: Ticket,
        /// What.
        item: super::items::Item,
    },
    /// How many there are in a swarm (BEP 33).
    Scrape {
        /// Its name.
        ticket: Ticket,
        /// The torrent.
        hash: InfoHash,
    },
    /// The network is another one, or the machine slept: `slept` is what the monotonic clock
    /// missed of it.
    Changed {
        /// Time that the monotonic clock did not count.
        slept: Duration,
    },
    /// Our address as the outside sees it, from the port mapping; none when it is gone.
    Mapped {
        /// Address and port.
        address: Option<SocketAddr>,
    },
    /// How many good nodes the machine of the other family has: while they are few, ours ask for
    /// nodes of that family as well (`want`, BEP 32).
    Other {
        /// Their number.
        good: usize,
    },
    /// The time of [`super::Node::next_timeout`] has come.
    Wake,
}

/// An effect of [`super::Node::poll_output`].
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Peers of a torrent, as soon as a node names them, or they announce themselves to us.
    Peers {
        /// The torrent.
        hash: InfoHash,
        /// Addresses, each new in this lookup.
        peers: Vec<SocketAddr>,
        /// The `Find` that brought them; none for an announce's lookup, or a `Seek`'s.
        ticket: Option<Ticket>,
    },
    /// A valid item; another one only with a higher sequence number.
    Found {
        /// The `Get`.
        ticket: Ticket,
        /// What was found.
        item: super::items::Item,
    },
    /// A question came to its end, at most 20 s after it was asked.
    Ended {
        /// Which.
        ticket: Ticket,
        /// How it went.
        tally: Tally,
    },
    /// The announce of a torrent is done for now.
    Announced {
        /// The torrent.
        hash: InfoHash,
        /// Nodes that took it.
        nodes: usize,
        /// Until the next.
        again: Duration,
    },
    /// What others see as our address, agreed by many.
    Public {
        /// The address.
        address: std::net::IpAddr,
    },
    /// Nodes of the other family that were named: hints for its machine.
    Others {
        /// Where they are.
        nodes: Vec<SocketAddr>,
    },
    /// The contents of `dht.dat` for this machine.
    Save {
        /// See [`super::saved`].
        bytes: Vec<u8>,
    },
}

/// How a question went.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Queries sent.
    pub asked: usize,
    /// Replies.
    pub answered: usize,
    /// Peers that were named.
    pub peers: usize,
    /// Nodes that stored what was put or announced.
    pub stored: usize,
    /// Seeds and leechers by their filters (BEP 33), where asked for.
    pub swarm: Option<(usize, usize)>,
    /// The round trip of a `Ping`.
    pub round_trip: Option<Duration>,
}

/// How the node fares, for people.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Health {
    /// Our id.
    pub id: NodeId,
    /// Nodes in the table that answer.
    pub good: usize,
    /// Nodes in the table and its spares.
    pub known: usize,
    /// Nodes that somebody named and that have not answered yet.
    pub hints: usize,
    /// Lookups under way, with how many queries.
    pub lookups: usize,
    /// Queries under way.
    pub asked: usize,
    /// Torrents that are announced.
    pub announced: usize,
    /// Announces that are later than they should be, by how much at most.
    pub late: Duration,
    /// Peers of others' torrents that are stored.
    pub stored: usize,
    /// Datagrams in and out in the last second.
    pub rates: (u32, u32),
    /// Our own address as others see it.
    pub public: Option<std::net::IpAddr>,
    /// Whether we say that we take no queries (BEP 43).
    pub read_only: bool,
    /// Since when nothing came, if queries are out.
    pub silent: Option<Duration>,
}

/// What a machine is born with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of ours that it stands for: its family decides which nodes it talks to. The
    /// port is where its datagrams leave from; the host may be unspecified.
    pub local: SocketAddr,
    /// Source of all chance: ids, secrets, transaction ids, jitter.
    pub seed: [u8; 32],
    /// Say from the start that we take no queries, and answer none (BEP 43); else whether any
    /// reach us is found out, and those that do are answered.
    pub read_only: bool,
    /// Queries a second that reach addresses not spoken to in the last 30 s.
    pub fresh_flows: u32,
}

/// A node of the table, for people and for `dht.dat`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Contact {
    /// Its name.
    pub id: NodeId,
    /// Where.
    pub address: SocketAddr,
    /// Its latest round trip.
    pub round_trip: Option<Duration>,
    /// Time since its last answer.
    pub heard: Duration,
}

/// A lookup under way, for people.
#[derive(Clone, PartialEq, Debug)]
pub struct Walking {
    /// What is looked for.
    pub target: NodeId,
    /// How much it may cost.
    pub haste: Haste,
    /// Since when.
    pub age: Duration,
    /// How far it is.
    pub tally: Tally,
    /// Nodes that it knows.
    pub known: usize,
    /// Bits that the nearest one that answered has in common with the target.
    pub level: usize,
    /// Nodes whose answer it waits for, nearest first, and whether each takes long.
    pub waits_for: Vec<(SocketAddr, bool)>,
}
