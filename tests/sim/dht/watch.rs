//! What must hold for every node at every step, as far as it is seen from outside: where its
//! datagrams go, how many, what a reply may be, and that each question ends once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pigeon::base::addr::{Host, Locality, host_key};
use pigeon::dht::{Output, Ticket};

use super::letters::{self, Kind};

/// Routers forget a flow after it.
const FLOW: Duration = Duration::from_secs(30);
/// Fresh flows in such a time: 64 a second and 128 at once, for each of both hastes.
pub const FLOWS_CALM: usize = 64 * 30 + 128;
pub const FLOWS_MAX: usize = 2 * FLOWS_CALM;
/// Queries to one host: four at once, then two in five seconds.
const HOST_EACH: Duration = Duration::from_millis(2_500);
const HOST_BURST: u32 = 4;
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const REPLY_MAX: usize = 1_024;
const GAIN_MAX: usize = 10;

/// The query that a node answers, if it does.
#[derive(Clone, Debug)]
pub struct Asked {
    pub from: SocketAddr,
    pub len: usize,
    pub kind: Kind,
    pub transaction: Vec<u8>,
}

pub struct Watch {
    /// Its own addresses, as far as it can know them, and since when.
    own: Vec<(SocketAddr, Instant)>,
    answered: BTreeSet<SocketAddr>,
    flows: BTreeMap<SocketAddr, Instant>,
    sends: VecDeque<(Instant, SocketAddr)>,
    hosts: BTreeMap<Host, Instant>,
    questions: BTreeMap<u64, Instant>,
    /// What it may announce.
    pub announced: BTreeSet<[u8; 20]>,
    second: (u64, usize),
    pub flows_most: usize,
    pub flows_allowed: usize,
    pub rate_most: usize,
    pub queries: u64,
    pub replies: u64,
    pub wakes: u64,
    began: Instant,
}

impl Watch {
    pub fn new(began: Instant) -> Self {
        Self {
            own: Vec::new(),
            answered: BTreeSet::new(),
            flows: BTreeMap::new(),
            sends: VecDeque::new(),
            hosts: BTreeMap::new(),
            questions: BTreeMap::new(),
            announced: BTreeSet::new(),
            second: (0, 0),
            flows_most: 0,
            flows_allowed: FLOWS_MAX,
            rate_most: 0,
            queries: 0,
            replies: 0,
            wakes: 0,
            began,
        }
    }

    pub fn asks(&mut self, ticket: Ticket, now: Instant) {
        assert!(self.questions.insert(ticket.0, now).is_none(), "{ticket:?} is used twice");
    }

    /// It knows by now where it is itself.
    pub fn knows(&mut self, own: SocketAddr, now: Instant) {
        self.own.push((own, now));
    }

    /// A datagram reached it.
    pub fn received(&mut self, from: SocketAddr, bytes: &[u8]) -> Asked {
        let kind = letters::kind(bytes);
        if kind == Kind::Reply {
            self.answered.insert(from);
        }
        let transaction = letters::transaction(bytes).to_vec();
        Asked { from, len: bytes.len(), kind, transaction }
    }

    /// It said something while it dealt with `asked`; a reply uses that up.
    pub fn output(&mut self, output: &Output, asked: &mut Option<Asked>, now: Instant) {
        match output {
            Output::Send { to, bytes } => self.sent(*to, bytes, asked, now),
            Output::Ended { ticket, tally } => {
                let begun = self.questions.remove(&ticket.0);
                let begun = begun.unwrap_or_else(|| panic!("{ticket:?} ends twice: {tally:?}"));
                let took = now - begun;
                assert!(took <= ENDS_WITHIN, "{ticket:?} took {took:?}");
            }
            Output::Peers { peers, .. } => {
                for peer in peers {
                    assert!(is_somewhere(*peer), "{peer} is no peer");
                }
            }
            Output::Others { nodes } => assert!(nodes.iter().all(|node| is_somewhere(*node))),
            _ => {}
        }
    }

    /// At any time.
    pub fn look(&self, now: Instant) {
        let late = self.questions.iter().find(|(_, begun)| now > **begun + ENDS_WITHIN);
        assert!(late.is_none(), "a question has no end: {late:?}");
    }

    pub fn open_questions(&self) -> usize {
        self.questions.len()
    }

    fn sent(&mut self, to: SocketAddr, bytes: &[u8], asked: &mut Option<Asked>, now: Instant) {
        assert!(is_somewhere(to), "a datagram to {to}");
        // A lookup may have heard of the address before it was known to be ours.
        let is_own =
            |(own, since): &(SocketAddr, Instant)| *own == to && now > *since + ENDS_WITHIN;
        assert!(!self.own.iter().any(is_own), "a datagram to itself");
        let second = (now - self.began).as_secs();
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.rate_most = self.rate_most.max(self.second.1);
        match letters::kind(bytes) {
            Kind::Query => self.queried(to, bytes, now),
            Kind::Reply | Kind::Error => {
                self.replies += 1;
                let Some(asked) = asked.take() else { panic!("a reply that nobody asked for") };
                assert_eq!(to, asked.from, "a reply to another one");
                assert!(asked.kind == Kind::Query || asked.kind == Kind::Other, "{asked:?}");
                assert!(bytes.len() <= REPLY_MAX.min(asked.len * GAIN_MAX), "a long reply");
                assert_eq!(letters::transaction(bytes), asked.transaction);
                for node in letters::named(bytes) {
                    assert!(self.answered.contains(&node), "{node} is named and unverified");
                }
            }
            Kind::Other => panic!("no message: {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    fn queried(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        self.queries += 1;
        if letters::is_announce(bytes) {
            let hash = letters::hash(bytes).expect("an announce has a hash");
            assert!(self.announced.contains(&hash), "nobody said that this be announced");
            assert_eq!(letters::text(bytes, b"5:token").map(<[u8]>::is_empty), Some(false));
        }
        self.flows.insert(to, now);
        self.sends.push_back((now, to));
        while let Some((at, old)) = self.sends.front().copied().filter(|(at, _)| *at + FLOW < now) {
            self.sends.pop_front();
            if self.flows.get(&old) == Some(&at) {
                self.flows.remove(&old);
            }
        }
        self.flows_most = self.flows_most.max(self.flows.len());
        assert!(self.flows.len() <= self.flows_allowed, "{} flows in 30 s", self.flows.len());
        let paid = self.hosts.entry(host_key(to.ip())).or_insert(now);
        *paid = (*paid).max(now) + HOST_EACH;
        let most = HOST_EACH * HOST_BURST + Duration::from_millis(5);
        assert!(*paid <= now + most, "{to} is flooded");
    }
}

fn is_somewhere(address: SocketAddr) -> bool {
    Locality::of(address.ip()) == Locality::Public && address.port() > 1
}
