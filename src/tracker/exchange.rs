//! Questions to UDP trackers on their way: connection ids, transaction ids, when to send again,
//! and which datagram answers what. A pure machine without sockets; how long to wait in all is
//! the asker's business, and which tracker to ask is [`super::tiers`]'.
//! Source: BEP 15, "UDP connections / spoofing" and "Time outs".

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::ids::InfoHash;
use crate::tracker::announce::{Error, Family};
use crate::tracker::udp::{Announce, ConnectionId, Reply, Request, TransactionId, transaction_of};

/// "If a response is not received after 15 * 2 ^ n seconds, the client should retransmit".
pub const RETRY: Duration = Duration::from_secs(15);

/// "where n starts at 0 and is increased up to 8".
const RETRIES: u32 = 8;

/// "A client can use a connection ID until one minute after it has received it."
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// Connection ids kept: the trackers of a session that answered within the last minute.
const MAX_CONNECTIONS: usize = 256;

/// One question, named by the asker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CallId(pub u64);

/// A question, without what the protocol adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// For peers.
    Announce(Announce),
    /// For numbers of peers.
    Scrape(Vec<InfoHash>),
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a datagram. If that is impossible, report [`Exchanges::cancel`].
    Send {
        /// For this question.
        call: CallId,
        /// The tracker.
        to: SocketAddr,
        /// The bytes.
        datagram: Vec<u8>,
    },
    /// The question has come to its end.
    Done {
        /// Which.
        call: CallId,
        /// The tracker.
        tracker: SocketAddr,
        /// Its answer, of the kind that was asked for.
        result: Result<Reply, Error>,
    },
}

/// All questions of one asker.
pub struct Exchanges {
    rng: StdRng,
    retry: Duration,
    open: BTreeMap<CallId, Exchange>,
    /// Of each open question.
    transactions: BTreeMap<u32, CallId>,
    /// When each is sent again.
    due: BTreeSet<(Instant, CallId)>,
    connections: Vec<Connection>,
    outputs: VecDeque<Output>,
}

struct Connection {
    tracker: SocketAddr,
    id: ConnectionId,
    since: Instant,
}

struct Exchange {
    call: CallId,
    /// Addresses of the tracker's host in one family; the first is the one being asked.
    addresses: VecDeque<SocketAddr>,
    ask: Ask,
    step: Step,
    /// Kept when the same datagram is sent again, so that a late answer counts.
    transaction: TransactionId,
    tries: u32,
    retry_at: Instant,
    has_connected: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Connecting,
    Asking {
        connection: ConnectionId,
        since: Instant,
        /// From an earlier question: the tracker may have forgotten it since.
        is_borrowed: bool,
    },
}

impl Exchanges {
    /// `retry` is [`RETRY`] outside of tests; `rng` makes the transaction ids and has to be
    /// unpredictable.
    pub fn new(retry: Duration, rng: StdRng) -> Self {
        Self {
            rng,
            retry,
            open: BTreeMap::new(),
            transactions: BTreeMap::new(),
            due: BTreeSet::new(),
            connections: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Asks the tracker that has these `addresses`, all of one family; while it is silent,
    /// each try goes to the next one. Afterwards [`Exchanges::poll_output`] is to be drained.
    pub fn begin(&mut self, call: CallId, addresses: Vec<SocketAddr>, ask: Ask, now: Instant) {
        let Some(tracker) = addresses.first() else { return };
        let is_good = |kept: &&Connection| kept.tracker == *tracker && kept.is_good(now);
        let step = match self.connections.iter().find(is_good) {
            Some(kept) => {
                Step::Asking { connection: kept.id, since: kept.since, is_borrowed: true }
            }
            None => Step::Connecting,
        };
        let mut exchange = Exchange {
            call,
            addresses: addresses.into(),
            ask,
            step,
            transaction: self.transaction(),
            tries: 0,
            retry_at: now,
            has_connected: false,
        };
        self.send(&mut exchange, now);
        self.put(exchange);
    }

    /// Nobody waits for the answer any more.
    pub fn cancel(&mut self, call: CallId) {
        self.take(call);
    }

    /// Takes a datagram that came from `from`, canonical. What answers no open question, by
    /// address and transaction, is dropped: it is late, or forged.
    pub fn on_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(transaction) = transaction_of(datagram) else { return };
        let Some(call) = self.transactions.get(&transaction.0).copied() else { return };
        let Some(mut exchange) = self.take_if(call, |it| it.is_with(from)) else { return };
        let reply = Reply::decode(datagram, Family::of(from));
        let borrowed = matches!(exchange.step, Step::Asking { is_borrowed: true, .. });
        let result = match (reply, &exchange.step, &exchange.ask) {
            (Ok(Reply::Connect { connection, .. }), Step::Connecting, _) => {
                self.keep(from, connection, now);
                if !exchange.has_connected {
                    exchange.tries = 0;
                }
                exchange.has_connected = true;
                exchange.step = Step::Asking { connection, since: now, is_borrowed: false };
                return self.go_on(exchange, now);
            }
            (Ok(Reply::Error { .. }), ..) if borrowed => {
                self.forget(from);
                exchange.step = Step::Connecting;
                return self.go_on(exchange, now);
            }
            (Ok(Reply::Error { message, .. }), ..) => {
                self.forget(from);
                Err(Error::Refused { reason: message, retry_in: None })
            }
            (Ok(reply @ Reply::Announce { .. }), Step::Asking { .. }, Ask::Announce(_))
            | (Ok(reply @ Reply::Scrape { .. }), Step::Asking { .. }, Ask::Scrape(_)) => Ok(reply),
            (Ok(_), ..) => Err(Error::Malformed("it answers another question".to_owned())),
            (Err(error), ..) => Err(error),
        };
        self.outputs.push_back(Output::Done { call: exchange.call, tracker: from, result });
    }

    /// The system says that nobody listens at `to`, canonical: whoever is asked there is asked at
    /// its next address at once, and is out of reach when each has refused.
    pub fn refused(&mut self, to: SocketAddr, now: Instant) {
        let is_asked = |(_, exchange): &(&CallId, &Exchange)| exchange.is_with(to);
        let calls: Vec<CallId> = self.open.iter().filter(is_asked).map(|(call, _)| *call).collect();
        self.forget(to);
        for call in calls {
            let Some(mut exchange) = self.take(call) else { continue };
            exchange.addresses.pop_front();
            if exchange.addresses.is_empty() {
                let result = Err(Error::Unreachable("nobody listens there".to_owned()));
                self.outputs.push_back(Output::Done { call, tracker: to, result });
                continue;
            }
            exchange.step = Step::Connecting;
            (exchange.tries, exchange.has_connected) = (0, false);
            self.go_on(exchange, now);
        }
    }

    /// Sends again what has waited long enough.
    pub fn tick(&mut self, now: Instant) {
        let is_due = |(at, _): &&(Instant, CallId)| *at <= now;
        let due: Vec<CallId> = self.due.iter().take_while(is_due).map(|(_, call)| *call).collect();
        for call in due {
            let Some(mut exchange) = self.take(call) else { continue };
            let Some(tracker) = exchange.addresses.front().copied() else { continue };
            exchange.tries += 1;
            if exchange.tries > RETRIES {
                let waited = self.retry.saturating_mul(2_u32.saturating_pow(exchange.tries) - 1);
                let (call, result) = (exchange.call, Err(Error::Timeout(waited)));
                self.outputs.push_back(Output::Done { call, tracker, result });
                continue;
            }
            match exchange.step {
                Step::Connecting => exchange.addresses.rotate_left(1),
                Step::Asking { since, is_borrowed, .. } => {
                    if is_borrowed || now.saturating_duration_since(since) >= CONNECTION_LIFE {
                        self.forget(tracker);
                        exchange.step = Step::Connecting;
                        exchange.transaction = self.transaction();
                    }
                }
            }
            self.send(&mut exchange, now);
            self.put(exchange);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Exchanges::tick`], if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next step is another request, so it gets another number.
    fn go_on(&mut self, mut exchange: Exchange, now: Instant) {
        exchange.transaction = self.transaction();
        self.send(&mut exchange, now);
        self.put(exchange);
    }

    /// One that no open question has.
    fn transaction(&mut self) -> TransactionId {
        loop {
            let number = self.rng.random();
            if !self.transactions.contains_key(&number) {
                return TransactionId(number);
            }
        }
    }

    fn put(&mut self, exchange: Exchange) {
        let call = exchange.call;
        self.transactions.insert(exchange.transaction.0, call);
        self.due.insert((exchange.retry_at, call));
        self.open.insert(call, exchange);
    }

    fn take(&mut self, call: CallId) -> Option<Exchange> {
        self.take_if(call, |_| true)
    }

    fn take_if(&mut self, call: CallId, is_it: impl FnOnce(&Exchange) -> bool) -> Option<Exchange> {
        self.open.get(&call).filter(|exchange| is_it(exchange))?;
        let exchange = self.open.remove(&call)?;
        self.transactions.remove(&exchange.transaction.0);
        self.due.remove(&(exchange.retry_at, call));
        Some(exchange)
    }

    fn send(&mut self, exchange: &mut Exchange, now: Instant) {
        let Some(to) = exchange.addresses.front().copied() else { return };
        let (call, transaction) = (exchange.call, exchange.transaction);
        let request = match (exchange.step, &exchange.ask) {
            (Step::Connecting, _) => Request::Connect { transaction },
            (Step::Asking { connection, .. }, Ask::Announce(announce)) => {
                Request::Announce { connection, transaction, announce: announce.clone() }
            }
            (Step::Asking { connection, .. }, Ask::Scrape(info_hashes)) => {
                Request::Scrape { connection, transaction, info_hashes: info_hashes.clone() }
            }
        };
        let mut datagram = Vec::new();
        request.encode(&mut datagram);
        self.outputs.push_back(Output::Send { call, to, datagram });
        exchange.retry_at = now + self.retry.saturating_mul(1 << exchange.tries.min(RETRIES));
    }

    fn keep(&mut self, tracker: SocketAddr, id: ConnectionId, now: Instant) {
        self.connections.retain(|kept| kept.tracker != tracker && kept.is_good(now));
        if self.connections.len() >= MAX_CONNECTIONS {
            self.connections.remove(0);
        }
        self.connections.push(Connection { tracker, id, since: now });
    }

    fn forget(&mut self, tracker: SocketAddr) {
        self.connections.retain(|kept| kept.tracker != tracker);
    }
}

impl Connection {
    fn is_good(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < CONNECTION_LIFE
    }
}

impl Exchange {
    /// Scope and flow of an IPv6 address are not compared: a resolver leaves them out.
    fn is_with(&self, from: SocketAddr) -> bool {
        let asked = self.addresses.front();
        asked.is_some_and(|asked| asked.ip() == from.ip() && asked.port() == from.port())
    }
}
