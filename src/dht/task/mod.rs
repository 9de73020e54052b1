//! The DHT at work: one machine a family over the session's UDP sockets. A [`Dht`] is a handle;
//! the actor behind it carries what the machines say, keeps them alive (`dht.dat`, other
//! networks, sleep) and knows who waits for what. It decides nothing of the DHT itself.

mod actor;
mod clock;
mod keep;
mod names;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use super::event::{Contact, Haste, Health, Hint, Tally, Walking};
use super::id::NodeId;
use super::items::Item;
use crate::base::ids::InfoHash;
use crate::net::Error;
use crate::net::egress::Egress;
use crate::net::portmap::OutsidePorts;
use crate::net::udp::{Udp, UdpNews};

/// Orders that wait for the actor: a session may begin with thousands of torrents, and what does
/// not fit is told again.
const ORDERS_LEN: usize = 1024;
/// Nodes that links name and that wait for the actor; what does not fit is lost.
const NAMED_LEN: usize = 200;
/// News that wait for a torrent; more are lost, and come again with the next lookup.
const NEWS_LEN: usize = 32;
/// Answers that wait for whoever asked. A lookup brings at most some hundred.
const ANSWERS_LEN: usize = 256;
/// Who ends waits so long for `dht.dat` to be written.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Public nodes that are asked where nobody else is known.
pub const ROUTERS: [&str; 3] =
    ["router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401"];

/// What the DHT is started with.
#[derive(Debug)]
pub struct DhtConfig {
    /// Who resolves the names of nodes.
    pub egress: Egress,
    /// What it speaks over.
    pub udp: Udp,
    /// What comes in for it.
    pub mail: mpsc::Receiver<UdpNews>,
    /// Where nodes are kept between runs; nowhere when none.
    pub file: Option<PathBuf>,
    /// Public nodes, `HOST:PORT`, asked last and only over a family where few answer.
    pub routers: Vec<String>,
    /// Say from the start that we take no queries (BEP 43), as a short-lived node should.
    pub read_only: bool,
}

/// A running DHT; cheap to clone. It ends with its last handle.
#[derive(Clone, Debug)]
pub struct Dht {
    orders: mpsc::Sender<Order>,
    named: mpsc::Sender<SocketAddr>,
    standing: watch::Receiver<Standing>,
    port: watch::Receiver<u16>,
    egress: Egress,
}

/// How the DHT fares, renewed every second.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Standing {
    /// Over IPv4, where there is any.
    pub four: Option<Health>,
    /// Over IPv6, where there is any.
    pub six: Option<Health>,
}

impl Standing {
    /// Nodes that answer, of both families.
    pub fn good(&self) -> usize {
        self.both().map(|health| health.good).sum()
    }

    /// Since when nobody answered, over any family, though somebody was asked.
    pub fn silent(&self) -> Option<Duration> {
        let silences = self.both().filter(|health| health.asked > 0 || health.known > 0);
        let mut silences: Vec<_> = silences.map(|health| health.silent).collect();
        silences.sort_unstable();
        silences.first().copied().flatten()
    }

    /// Those that there are.
    pub fn both(&self) -> impl Iterator<Item = &Health> {
        self.four.iter().chain(&self.six)
    }
}

/// What a torrent wants of the DHT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where it takes connections, to be announced; with none it only looks for others.
    pub ports: Option<OutsidePorts>,
    /// Whether it has everything.
    pub seed: bool,
    /// How much its lookups may cost.
    pub haste: Haste,
}

/// News for a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DhtNews {
    /// Peers. Not yet filtered of addresses that cannot be any.
    Peers(Vec<SocketAddr>),
    /// It was announced at so many nodes.
    Announced {
        /// How many.
        nodes: usize,
    },
}

/// A torrent's place in the DHT, which it leaves when this is dropped.
#[derive(Debug)]
pub struct Seat {
    hash: InfoHash,
    number: u64,
    orders: mpsc::Sender<Order>,
    wish: Option<Wish>,
    post: mpsc::Sender<DhtNews>,
    news: mpsc::Receiver<DhtNews>,
}

impl Seat {
    /// What the torrent wants from now on; whether it was heard. Never waits, and an order for
    /// which there is no room is lost.
    pub fn wish(&mut self, wish: Wish) -> bool {
        if self.wish == Some(wish) {
            return true;
        }
        let (hash, number, post) = (self.hash, self.number, self.post.clone());
        let order = Order::Wish { hash, number, wish, post };
        if self.orders.try_send(order).is_ok() {
            self.wish = Some(wish);
        }
        self.wish == Some(wish)
    }

    /// The next news, if there are any; whoever asked is woken when there are.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<DhtNews> {
        match self.news.poll_recv(cx) {
            Poll::Ready(Some(news)) => Poll::Ready(news),
            // None can come while the other end is ours.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // If there is no room, the actor sees soon that nobody listens any more.
        let _ = self.orders.try_send(Order::Leave { hash: self.hash, number: self.number });
    }
}

/// A question to the network, for people.
#[derive(Clone, Debug)]
pub enum Question {
    /// Who has a torrent?
    Find(InfoHash),
    /// How many have it (BEP 33)?
    Scrape(InfoHash),
    /// Is there a node?
    Ping(SocketAddr),
    /// What is kept under this name (BEP 44)?
    Get {
        /// SHA-1 of the value, or of the key and salt.
        target: NodeId,
        /// The salt of a signed item.
        salt: Vec<u8>,
    },
    /// Keep this (BEP 44).
    Put(Item),
}

/// What comes of a [`Question`].
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Peers.
    Peers(Vec<SocketAddr>),
    /// An item; a later one has a higher sequence number.
    Found(Item),
    /// One family has ended.
    Ended(Tally),
}

/// The DHT for people who want to know more.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Look {
    /// Nodes of both families.
    pub contacts: Vec<Contact>,
    /// Lookups under way.
    pub lookups: Vec<Walking>,
}

#[derive(Debug)]
enum Order {
    Wish { hash: InfoHash, number: u64, wish: Wish, post: mpsc::Sender<DhtNews> },
    Leave { hash: InfoHash, number: u64 },
    Hint { address: SocketAddr, by: Hint },
    Names(Vec<(String, u16)>),
    Mapped(OutsidePorts),
    Ask { question: Question, post: mpsc::Sender<Answer> },
    Look(oneshot::Sender<Look>),
    Count { hash: InfoHash, answer: oneshot::Sender<Option<(usize, usize)>> },
    Stop(oneshot::Sender<()>),
}

impl Dht {
    /// Starts it, with what an earlier run kept. Must run inside the runtime.
    pub fn start(config: DhtConfig) -> Self {
        let (orders, inbox) = mpsc::channel(ORDERS_LEN);
        let (named, names) = mpsc::channel(NAMED_LEN);
        let (told, standing) = watch::channel(Standing::default());
        let (port, egress) = (config.udp.port_told(), config.egress.clone());
        tokio::spawn(actor::run(config, inbox, names, told).in_current_span());
        Self { orders, named, standing, port, egress }
    }

    /// The UDP port that nodes reach us at.
    pub fn port(&self) -> u16 {
        *self.port.borrow()
    }

    /// The addresses of a node by its name, `HOST:PORT`.
    ///
    /// # Errors
    /// As [`Egress::lookup`].
    pub async fn resolve(&self, name: &str, limit: Duration) -> Result<Vec<SocketAddr>, Error> {
        names::resolve(&self.egress, name, limit).await
    }

    /// How it fares.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// A place for a torrent, which wants nothing yet. The latest seat of a hash counts.
    pub fn seat(&self, hash: InfoHash) -> Seat {
        let (post, news) = mpsc::channel(NEWS_LEN);
        let orders = self.orders.clone();
        Seat { hash, number: rand::random(), orders, wish: None, post, news }
    }

    /// Somebody named a node. Never waits.
    pub fn hint(&self, address: SocketAddr, by: Hint) {
        // One that does not fit is no loss.
        let _ = self.orders.try_send(Order::Hint { address, by });
    }

    /// Where links tell of nodes.
    pub fn named(&self) -> mpsc::Sender<SocketAddr> {
        self.named.clone()
    }

    /// The `nodes` of a torrent (BEP 5). Never waits.
    pub fn names(&self, nodes: &[(String, u16)]) {
        if !nodes.is_empty() {
            let _ = self.orders.try_send(Order::Names(nodes.to_vec()));
        }
    }

    /// How we are reached from outside, as a router maps our ports. Waits while it is busy.
    pub async fn mapped(&self, ports: OutsidePorts) {
        // When it has ended nobody needs to know.
        let _ = self.orders.send(Order::Mapped(ports)).await;
    }

    /// Asks the network. The channel ends when the last family has answered.
    pub async fn ask(&self, question: Question) -> mpsc::Receiver<Answer> {
        let (post, answers) = mpsc::channel(ANSWERS_LEN);
        // When it has ended, so do the answers.
        let _ = self.orders.send(Order::Ask { question, post }).await;
        answers
    }

    /// Its nodes and lookups.
    pub async fn look(&self) -> Look {
        let (answer, answered) = oneshot::channel();
        let _ = self.orders.send(Order::Look(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Seeds and leechers of a torrent, as nodes told when they were asked last (BEP 33); none
    /// until they have. They are asked because of this, at most once a minute, and not waited for.
    pub async fn count(&self, hash: InfoHash) -> Option<(usize, usize)> {
        let (answer, answered) = oneshot::channel();
        let _ = self.orders.send(Order::Count { hash, answer }).await;
        answered.await.ok().flatten()
    }

    /// Waits until some node answers; false when none did in time.
    pub async fn reached(&self, limit: Duration) -> bool {
        let mut standing = self.standing.clone();
        let reached = standing.wait_for(|standing| standing.good() > 0);
        matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_)))
    }

    /// Ends it; returns when its nodes are kept, or that takes too long.
    pub async fn stop(&self) {
        let (answer, done) = oneshot::channel();
        let stopped = async {
            let _ = self.orders.send(Order::Stop(answer)).await;
            let _ = done.await;
        };
        let _ = tokio::time::timeout(STOP_MAX, stopped).await;
    }
}

/// The clock of the machines.
fn now() -> Instant {
    Instant::now()
}
