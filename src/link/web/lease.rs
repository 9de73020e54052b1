//! What torrents and their links know of the pool of connections to servers: its handle, and what
//! one is given by it. Who gets what is decided by `session`, which owns the pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::addr::Locality;
use crate::base::ids::InfoHash;
use crate::base::url::{Origin, Site, Url};
use crate::link::report::Wait;
use crate::link::stream::{ReadSide, WriteSide};
use crate::net::egress::Place;
use crate::net::limiter::Limiter;

use super::tls::Tls;

/// Orders that wait for the pool; whoever gives more waits, too.
const ORDERS_LEN: usize = 64;

/// A handle to the pool of connections to servers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Origins {
    orders: mpsc::Sender<Order>,
    /// How links connect.
    pub(super) policy: Arc<Policy>,
}

/// How links to servers connect.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What servers prove their names with.
    pub tls: Tls,
    /// Torrents and redirects may lead anywhere, into our own network, too.
    pub allows_local: bool,
    /// Users may name servers there. Not where whoever asks counts as one.
    pub believes_users: bool,
    /// Connections of one torrent to one site.
    pub connections: usize,
    /// The limit on what all servers together send, beside that of each torrent; it shares the
    /// torrents' tree.
    pub limiter: Option<Arc<Limiter>>,
    /// How long a server that owes an answer, or the rest of one, may send nothing.
    pub patience: Duration,
    /// How long a link is kept that nothing is fetched over: others may want its slot.
    pub idle: Duration,
}

impl Default for Policy {
    /// With 20 s of patience, as libtorrent has it.
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            allows_local: false,
            believes_users: true,
            connections: Self::CONNECTIONS,
            limiter: None,
            patience: Duration::from_secs(20),
            idle: Duration::from_secs(2),
        }
    }
}

impl Policy {
    /// Connections of one torrent to one site when nothing else is asked for (WebTorrent#710 found
    /// four best, users of archive.org take five to ten).
    pub const CONNECTIONS: usize = 8;
}

/// What the pool is told.
#[derive(Debug)]
pub enum Order {
    /// Somebody wants a connection.
    Lease(Ask),
    /// A lease is over.
    End {
        /// Which.
        ticket: u64,
        /// What may be used again.
        connections: Vec<Connection>,
    },
    /// A site has sent something over a lease, for the first time.
    Brings {
        /// Which.
        ticket: u64,
    },
    /// A site is busy, as somebody with this lease saw.
    Busy {
        /// Which lease.
        ticket: u64,
        /// In words for people, `it` being the server.
        why: String,
        /// How long it says that it wants to be left alone.
        retry_after: Option<Duration>,
        /// So long nobody asks it; none if only this connection is one too many.
        answer: oneshot::Sender<Option<Duration>>,
    },
    /// Where does this URL lead?
    Target {
        /// The URL of a file.
        url: Url,
        /// Where, if that is known and still holds.
        answer: oneshot::Sender<Option<Target>>,
    },
    /// This URL does not lead there any more.
    NoRedirect {
        /// The URL of a file.
        url: Url,
        /// Where it led.
        target: Url,
    },
    /// This URL leads there until then; when none, to where is not to be kept.
    Redirect {
        /// The URL of a file.
        url: Url,
        /// Where, and for how long that may be believed.
        target: Option<(Target, Duration)>,
    },
}

/// Somebody wants a connection.
#[derive(Debug)]
pub struct Ask {
    /// To whom.
    pub site: Site,
    /// For which torrent.
    pub torrent: InfoHash,
    /// Bytes that the torrent lacks.
    pub left_bytes: u64,
    /// Where is told why there is none at present.
    pub waits: watch::Sender<Option<Wait>>,
    /// Where it is given. Dropping the other end is to want none any more.
    pub answer: oneshot::Sender<Lease>,
}

/// Where a redirect leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The URL.
    pub url: Url,
    /// Where the server lies that said so.
    pub from: Locality,
}

/// What all leases of one site share with the pool.
#[derive(Debug, Default)]
pub struct Gauge {
    bytes: AtomicU64,
    answers: AtomicU64,
    is_contended: AtomicBool,
}

impl Gauge {
    /// Bytes that came, and answers that came to their end.
    pub fn read(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.answers.load(Ordering::Relaxed))
    }

    /// Whether others want the slots.
    pub fn contend(&self, is: bool) {
        self.is_contended.store(is, Ordering::Relaxed);
    }
}

/// The right to use one connection to a site, or to where it redirects. Dropping it
/// gives it back.
#[derive(Debug)]
pub struct Lease {
    ticket: u64,
    gauge: Arc<Gauge>,
    /// Open connections, at most one to each server.
    pub(super) connections: Vec<Connection>,
    /// Something came over it.
    brings: bool,
    back: Option<oneshot::Sender<Vec<Connection>>>,
}

impl Lease {
    /// One that is told to whoever holds the other end when it is over, with the connections that
    /// may be used again.
    pub fn new(
        ticket: u64,
        gauge: Arc<Gauge>,
        connections: Vec<Connection>,
    ) -> (Self, oneshot::Receiver<Vec<Connection>>) {
        let (back, over) = oneshot::channel();
        (Self { ticket, gauge, connections, brings: false, back: Some(back) }, over)
    }

    /// Bytes came.
    pub(super) fn on_bytes(&self, bytes: u64) {
        self.gauge.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An answer came to its end.
    pub(super) fn on_answer(&self) {
        self.gauge.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Do others want it?
    pub(super) fn is_contended(&self) -> bool {
        self.gauge.is_contended.load(Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // A session that is gone needs no connections.
            let _ = back.send(std::mem::take(&mut self.connections));
        }
    }
}

impl Origins {
    /// A handle, and the end that the pool reads.
    pub fn new(policy: Policy) -> (Self, mpsc::Receiver<Order>) {
        let (orders, read) = mpsc::channel(ORDERS_LEN);
        (Self { orders, policy: Arc::new(policy) }, read)
    }

    /// Connections of one torrent to one site.
    pub fn connections(&self) -> usize {
        self.policy.connections
    }

    /// The limit on what all servers together send, in bytes per second.
    pub fn limit(&self) -> Option<u64> {
        self.policy.limiter.as_ref()?.own_rate()
    }

    /// Does that limit hold something back now?
    pub fn is_limited(&self, now: Instant) -> bool {
        self.policy.limiter.as_ref().is_some_and(|limiter| limiter.holds_back(now))
    }

    /// Asks for a connection; `waits` is told why it takes long. None when the session is over.
    pub(super) async fn lease(
        &self,
        site: Site,
        (torrent, left_bytes): (InfoHash, u64),
        waits: watch::Sender<Option<Wait>>,
    ) -> Option<Lease> {
        self.ask(|answer| Order::Lease(Ask { site, torrent, left_bytes, waits, answer })).await
    }

    /// Tells that the site sends over this lease, if that is new.
    pub(super) async fn brings(&self, lease: &mut Lease) {
        if !std::mem::replace(&mut lease.brings, true) {
            // A session that is over opens no more.
            let _ = self.orders.send(Order::Brings { ticket: lease.ticket }).await;
        }
    }

    /// Tells that the site is busy; so long it is left alone. None if it is not, since only this
    /// connection is one too many.
    pub(super) async fn busy(
        &self,
        lease: &Lease,
        why: String,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let ticket = lease.ticket;
        self.ask(|answer| Order::Busy { ticket, why, retry_after, answer }).await.flatten()
    }

    /// Gives a lease back: whoever asks after this may get its connections.
    pub(super) async fn end(&self, mut lease: Lease) {
        let (ticket, connections) = (lease.ticket, std::mem::take(&mut lease.connections));
        // A session that is over needs none.
        let _ = self.orders.send(Order::End { ticket, connections }).await;
    }

    /// Where this URL leads, if that is known.
    pub(super) async fn target(&self, url: Url) -> Option<Target> {
        self.ask(|answer| Order::Target { url, answer }).await.flatten()
    }

    /// Forgets that this URL leads there.
    pub(super) async fn forget(&self, url: Url, target: Url) {
        // A session that is over remembers nothing.
        let _ = self.orders.send(Order::NoRedirect { url, target }).await;
    }

    /// Remembers where this URL leads, or that nothing is known of it.
    pub(super) async fn remember(&self, url: Url, target: Option<(Target, Duration)>) {
        // A session that is over remembers nothing.
        let _ = self.orders.send(Order::Redirect { url, target }).await;
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// An open connection to a server.
#[derive(Debug)]
pub struct Connection {
    pub(super) origin: Origin,
    pub(super) address: SocketAddr,
    /// Where it was opened, if a device is chosen.
    pub(super) place: Option<Place>,
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
    /// Answers that came over it whole and right, from a server that keeps connections.
    pub(super) clean: u32,
}

impl Connection {
    /// Whom it leads to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Is it open, with nothing to be read? Over TLS that cannot be known.
    pub(super) fn is_at_rest(&self) -> bool {
        self.read.is_at_rest()
    }
}
