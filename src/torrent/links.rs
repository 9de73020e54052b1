//! The links of one torrent as its task holds them: their ends, the places that they take, and
//! what the brain orders of each, sent as one batch. Whom to dial or let in, and what to say to
//! whom, is the brain's; it hears in facts what came of its orders.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::base::ids::{LinkId, SourceId};
use crate::link::web::Wait;
use crate::link::{self, LinkConfig, LinkHandle, LinkNews, LinkReport};
use crate::net::portmap::{OutsidePorts, OwnPorts};
use crate::swarm::event::{DownReason, Input, Source};
use crate::swarm::link::{CloseReason, LinkCommand};
use crate::wire::mse::Ways;

use super::blocked::Blocked;
use super::incoming::Incoming;
use super::places::Places;

/// Reads that wait for the brain. Each holds at most 17 blocks, and the pool bounds those.
const REPORTS_LEN: usize = 256;

/// All links of a torrent.
#[derive(Debug)]
pub(super) struct Links {
    /// What those have in common that are made from now on.
    pub config: Arc<LinkConfig>,
    /// The connections that it may have.
    pub places: Places,
    /// How we were reached from outside when that was asked last.
    outside: Option<OutsidePorts>,
    /// What links tell.
    pub reports: mpsc::Receiver<LinkReport>,
    /// Whom nobody is to be linked to.
    pub blocked: Blocked,
    reporting: mpsc::Sender<LinkReport>,
    handles: BTreeMap<LinkId, LinkHandle>,
    /// Where those to peers go, and whether we dialled them.
    addresses: BTreeMap<LinkId, (SocketAddr, bool)>,
    /// Of those, the ones to servers of files.
    sources: BTreeMap<LinkId, SourceId>,
    /// Orders of the brain by link, sent as one batch each.
    outbox: BTreeMap<LinkId, Vec<LinkCommand>>,
}

impl Links {
    /// None yet.
    pub fn new(config: LinkConfig, places: Places) -> Self {
        let (reporting, reports) = mpsc::channel(REPORTS_LEN);
        let blocked = Blocked::new(config.egress.blocklist().clone());
        Self {
            config: Arc::new(config),
            places,
            outside: None,
            reports,
            blocked,
            reporting,
            handles: BTreeMap::new(),
            addresses: BTreeMap::new(),
            sources: BTreeMap::new(),
            outbox: BTreeMap::new(),
        }
    }

    /// Where others find us who see us at this address.
    pub fn ours(&self, ip: IpAddr) -> SocketAddr {
        let port = self.config.ports.as_ref().map_or(0, |ports| ports.peers_towards(ip));
        SocketAddr::new(ip, port)
    }

    /// Where a router has others find us, if that is news.
    pub fn newly_found(&mut self) -> impl Iterator<Item = SocketAddr> + use<> {
        let outside = self.config.ports.as_ref().map(OwnPorts::outside);
        let is_new = self.outside != outside;
        self.outside = outside;
        let both = outside.filter(|_| is_new).map(|it| [it.four.peers_at, it.six.peers_at]);
        both.into_iter().flatten().flatten()
    }

    /// Links that are up, or on their way.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Dials, when that may be and there is a place for it; else the fact that it came to nothing.
    #[must_use]
    pub fn dial(&mut self, link: LinkId, address: SocketAddr, known: Ways) -> Option<Input> {
        self.dial_by(link, address, |config, reports| {
            link::dial(config, link, address, known, reports)
        })
    }

    /// The same, by another protocol.
    #[must_use]
    pub fn dial_by(
        &mut self,
        link: LinkId,
        address: SocketAddr,
        dial: impl FnOnce(Arc<LinkConfig>, mpsc::Sender<LinkReport>) -> LinkHandle,
    ) -> Option<Input> {
        // Whoever named it did so before the list came, or by a course listing.
        if self.blocked.is_met(address, Source::Pex) {
            return Some(Input::Blocked(vec![link]));
        }
        self.addresses.insert(link, (address, true));
        if !self.places.dial(link) {
            self.addresses.remove(&link);
            return Some(no_room(link));
        }
        self.handles.insert(link, dial(self.config.clone(), self.reporting.clone()));
        None
    }

    /// Has a link made to a server of files. It takes no place: those who wait for one would keep
    /// peers out, and how many connections a server may have is counted by the session.
    pub fn lease(
        &mut self,
        link: LinkId,
        source: SourceId,
        dial: impl FnOnce(Arc<LinkConfig>, mpsc::Sender<LinkReport>) -> LinkHandle,
    ) {
        self.sources.insert(link, source);
        self.handles.insert(link, dial(self.config.clone(), self.reporting.clone()));
    }

    /// Lets a connection in, when there is a place for it; else the fact that it came to nothing.
    #[must_use]
    pub fn accept(&mut self, link: LinkId, incoming: Incoming) -> Option<Input> {
        // A list may have come since it was let in.
        if self.blocked.has(incoming.address) {
            return Some(Input::Blocked(vec![link]));
        }
        if !self.places.take(link) {
            return Some(no_room(link));
        }
        let Incoming { address, stream, hello } = incoming;
        self.addresses.insert(link, (address, false));
        let (config, reports) = (self.config.clone(), self.reporting.clone());
        self.handles.insert(link, link::accept(config, link, address, stream, hello, reports));
        None
    }

    /// What a link tells, as a fact for the brain, if it is one.
    pub fn on_news(&mut self, link: LinkId, news: LinkNews) -> Option<Input> {
        Some(match news {
            LinkNews::Waits(Wait { until, why }) => {
                Input::SourceWaits { source: *self.sources.get(&link)?, until, why }
            }
            LinkNews::Up { peer_id, caps, .. } => {
                self.places.up(link);
                Input::LinkUp { link, peer_id, caps }
            }
            LinkNews::Events(mut events) => {
                self.blocked.sift_told(&mut events);
                Input::LinkEvents { link, events }
            }
            LinkNews::Down(reason) => {
                debug!(link = link.0, %reason, "link down");
                self.forget(link);
                Input::LinkDown { link, reason }
            }
        })
    }

    /// The blocklist has changed: the links that are to end by it, as a fact for the brain.
    pub fn newly_blocked(&mut self) -> Input {
        let mut links = Vec::new();
        for (link, (address, is_dialled)) in &self.addresses {
            if !self.blocked.has(*address) {
                continue;
            }
            links.push(*link);
            if *is_dialled {
                // It may be dialled again when it is blocked no more.
                self.blocked.meet(*address, Source::Pex);
            }
        }
        if !links.is_empty() {
            info!(count = links.len(), "connections end: their peers are on the blocklist now");
        }
        Input::Blocked(links)
    }

    /// Keeps an order until [`post`](Self::post).
    pub fn order(&mut self, link: LinkId, command: LinkCommand) {
        self.outbox.entry(link).or_default().push(command);
    }

    /// Hands each link its orders; the facts that follow. None when there were no orders.
    pub fn post(&mut self) -> Option<Vec<Input>> {
        if self.outbox.is_empty() {
            return None;
        }
        let orders = std::mem::take(&mut self.outbox);
        Some(orders.into_iter().filter_map(|(link, batch)| self.hand(link, batch)).collect())
    }

    /// Hands a batch to a link. One that leaves so many batches lying is not reading.
    fn hand(&mut self, link: LinkId, batch: Vec<LinkCommand>) -> Option<Input> {
        let handle = self.handles.get(&link)?;
        let is_end = matches!(batch.last(), Some(LinkCommand::Close(_)));
        let sent = handle.commands.try_send(batch);
        let is_full = matches!(sent, Err(mpsc::error::TrySendError::Full(_)));
        if is_end || is_full {
            // Dropping the handle ends the link once it has read what was sent.
            self.forget(link);
        }
        let reason = DownReason::TimedOut("it did not read what we sent");
        is_full.then_some(Input::LinkDown { link, reason })
    }

    /// Tells all links to end. They still report what they did, until the reports end.
    pub fn close_all(&mut self, reason: CloseReason) {
        for (link, handle) in std::mem::take(&mut self.handles) {
            // A link that is gone needs no word.
            let _ = handle.commands.try_send(vec![LinkCommand::Close(reason)]);
            self.places.down(link);
        }
        self.addresses.clear();
        // Nobody but the links themselves keeps the way open on which they report.
        self.reporting = mpsc::channel(1).0;
    }

    fn forget(&mut self, link: LinkId) {
        self.handles.remove(&link);
        self.addresses.remove(&link);
        self.sources.remove(&link);
        self.places.down(link);
    }
}

fn no_room(link: LinkId) -> Input {
    Input::LinkDown { link, reason: DownReason::NoRoom }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::sync::Notify;

    use crate::base::ids::{InfoHash, PeerId};
    use crate::base::pool::BlockPool;
    use crate::link::{LinkTimeouts, Secrecy, Subject};
    use crate::net::blocklist::parse::List;
    use crate::net::egress::Egress;
    use crate::net::limiter::Limiter;
    use crate::swarm::link::{Availability, LinkEvent, PeerCommand};
    use crate::torrent::places::{Account, Shared};
    use crate::wire::mse::Encryption;
    use crate::wire::{Pex, PexFlags};

    fn links() -> Links {
        let limiter = Arc::new(Limiter::new(None));
        let config = LinkConfig {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            subject: Subject::default(),
            exchanges_peers: false,
            pool: BlockPool::new(1 << 20),
            limiter: limiter.clone(),
            up_limiter: limiter,
            ports: None,
            egress: Egress::default(),
            dht: None,
            secrecy: Secrecy::new(Encryption::Off),
            timeouts: LinkTimeouts::default(),
        };
        let account = Account::new(Shared::new(Arc::new(Notify::new())));
        Links::new(config, Places::new(account))
    }

    fn is_down(fact: Option<Input>, why: &DownReason) -> bool {
        matches!(fact, Some(Input::LinkDown { reason, .. }) if reason == *why)
    }

    #[tokio::test]
    async fn a_dial_without_a_place_is_told_and_nobody_is_called() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut links = links();
        links.places.account().allow(1);
        assert!(links.dial(LinkId(1), address, Ways::default()).is_none());
        assert!(is_down(links.dial(LinkId(2), address, Ways::default()), &DownReason::NoRoom));
        assert_eq!((links.len(), links.places.account().held()), (1, 1));
        listener.accept().await.unwrap();
        let another = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(another.is_err(), "one call");
    }

    #[tokio::test]
    async fn a_link_that_takes_no_orders_is_over_and_one_told_to_end_is_forgotten() {
        let mut links = links();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let close = |links: &mut Links, link| {
            links.order(link, LinkCommand::Close(CloseReason::Stopping));
            links.post()
        };
        assert!(links.post().is_none(), "there is nothing to send");
        let mut unread = Vec::new();
        for link in [LinkId(1), LinkId(2)] {
            let (commands, orders) = mpsc::channel(1);
            unread.push(orders);
            assert!(links.dial_by(link, address, |_, _| LinkHandle { commands }).is_none());
        }
        links.order(LinkId(1), LinkCommand::Peer(PeerCommand::Availability(Availability::None)));
        assert_eq!(links.post().unwrap().len(), 0);
        links.order(LinkId(1), LinkCommand::Peer(PeerCommand::Choke));
        let mut facts = links.post().unwrap();
        let why = DownReason::TimedOut("it did not read what we sent");
        assert!(is_down(facts.pop(), &why) && facts.is_empty());
        assert_eq!(links.len(), 1);
        assert_eq!(close(&mut links, LinkId(2)).unwrap().len(), 0, "it knows");
        assert!(links.is_empty() && links.places.account().held() == 0);
    }
    #[tokio::test]
    async fn whom_the_list_has_is_not_called_nor_told_of_and_is_left_when_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut links = links();
        let blocklist = links.config.egress.blocklist().clone();
        let set = |text: &str| {
            let list = List::read(text.as_bytes(), false).unwrap();
            blocklist.set([("a".to_owned(), list)]);
        };
        let told = |links: &mut Links, ips: [&str; 2]| {
            let added =
                ips.map(|ip| (SocketAddr::new(ip.parse().unwrap(), 1), PexFlags::default()));
            let peers = Pex { added: added.to_vec(), dropped: Vec::new() };
            let news = LinkNews::Events(vec![LinkEvent::Peers(peers)]);
            let Some(Input::LinkEvents { mut events, .. }) = links.on_news(LinkId(7), news) else {
                panic!("no fact")
            };
            let Some(LinkEvent::Peers(peers)) = events.pop() else { panic!("no peers") };
            peers.added.into_iter().map(|(address, _)| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert!(links.dial(LinkId(1), address, Ways::default()).is_none());
        listener.accept().await.unwrap();
        assert_eq!(told(&mut links, ["192.0.2.1", "192.0.2.2"]).len(), 2);
        set("127.0.0.1\n192.0.2.2");
        tokio::time::timeout(Duration::from_secs(20), links.blocked.changed()).await.unwrap();
        let is_left =
            |fact: Input, those: &[LinkId]| matches!(fact, Input::Blocked(links) if links == those);
        assert!(is_left(links.newly_blocked(), &[LinkId(1)]));
        assert!(is_left(links.dial(LinkId(2), address, Ways::default()).unwrap(), &[LinkId(2)]));
        let provider = links.dial_by(LinkId(3), address, |_, _| panic!("a provider is called"));
        assert!(is_left(provider.unwrap(), &[LinkId(3)]));
        assert_eq!(links.places.account().held(), 1, "only the first had a place");
        assert_eq!(told(&mut links, ["192.0.2.1", "192.0.2.2"]), ["192.0.2.1"]);
        let named = vec![address, "[::ffff:192.0.2.2]:9".parse().unwrap()];
        assert!(links.blocked.sift(Source::Tracker, named).is_empty());
        assert_eq!((links.blocked.count(), blocklist.tally().dials), (3, 2), "one was connected");
        set("192.0.2.2");
        let freed = links.blocked.freed();
        assert_eq!(freed.into_iter().collect::<Vec<_>>(), [(Source::Pex, vec![address])]);
        assert_eq!(links.blocked.count(), 2);
        let another = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(another.is_err(), "one call");
    }
}
