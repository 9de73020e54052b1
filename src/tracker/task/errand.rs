//! One announce or scrape on its way, over HTTP or UDP and over one address family of the
//! tracker's host. It ends with what came of it; whom to ask and when is not its to know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ears::Room;
use super::fetch::{Fetched, HttpClient, MAX_ADDRESSES, NetworkTiming, resolve_host, resolve_url};
use super::udp::UdpClient;
use crate::base::addr::Locality;
use crate::base::ids::InfoHash;
use crate::net::portmap::OwnPorts;
use crate::tracker::announce::{
    AnnounceReply, AnnounceRequest, Error, Family, PeerAddr, SwarmCounts,
};
use crate::tracker::exchange::Ask;
use crate::tracker::http::{announce_url, is_http, parse_reply, parse_scrape, scrape_url};
use crate::tracker::tiers::{Call, TrackerIndex};
use crate::tracker::udp::{Announce, url_data};

/// Host names of peers resolved of one reply.
const MAX_PEER_HOSTS: usize = 10;

/// What came of a job.
pub(super) enum Report {
    Replied {
        call: Call,
        fetched: Fetched<AnnounceReply>,
    },
    Failed {
        call: Call,
        error: Error,
    },
    Scraped {
        tracker: TrackerIndex,
        result: Result<SwarmCounts, Error>,
    },
    /// Peers that were names.
    Resolved {
        addresses: Vec<SocketAddr>,
        from: Locality,
    },
    Room(Room),
}

/// What carries questions to trackers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Carriers {
    pub(super) http: HttpClient,
    pub(super) udp: UdpClient,
    pub(super) network: NetworkTiming,
}

/// A question and how it is carried.
enum Question {
    Http { url: String },
    Udp { url: String, ask: Ask },
}

impl Question {
    fn announce(base: &str, request: &AnnounceRequest) -> Result<Self, Error> {
        if is_http(base) {
            return Ok(Self::Http { url: announce_url(base, request)? });
        }
        let announce = Announce::new(request, url_data(base)?);
        Ok(Self::Udp { url: base.to_owned(), ask: Ask::Announce(announce) })
    }

    fn scrape(base: &str, info_hash: InfoHash) -> Result<Self, Error> {
        if is_http(base) {
            return Ok(Self::Http { url: scrape_url(base, info_hash)? });
        }
        url_data(base)?;
        Ok(Self::Udp { url: base.to_owned(), ask: Ask::Scrape(vec![info_hash]) })
    }

    /// Time for all of it, but for `stopped`.
    fn total(&self, network: &NetworkTiming) -> Duration {
        match self {
            Self::Http { .. } => network.total,
            Self::Udp { .. } => network.total_udp,
        }
    }
}

impl Carriers {
    async fn announce(
        &self,
        question: &Question,
        family: Family,
        addresses: Vec<SocketAddr>,
    ) -> Result<Fetched<AnnounceReply>, Error> {
        match question {
            Question::Http { url } => {
                self.http.fetch(url, family, addresses, &self.network, parse_reply).await
            }
            Question::Udp { url, ask } => {
                self.udp.announce(url, family, addresses, ask.clone()).await
            }
        }
    }

    async fn scrape(
        &self,
        question: &Question,
        family: Family,
        addresses: Vec<SocketAddr>,
        info_hash: InfoHash,
    ) -> Result<SwarmCounts, Error> {
        match question {
            Question::Http { url } => {
                let parse = |body: &[u8]| parse_scrape(body, info_hash);
                let fetched = self.http.fetch(url, family, addresses, &self.network, parse);
                Ok(fetched.await?.reply)
            }
            Question::Udp { url, ask } => {
                self.udp.scrape(url, family, addresses, ask.clone()).await
            }
        }
    }
}

/// The addresses of a tracker's host, looked up by the first that needs them.
pub(super) type Host = Arc<OnceCell<Result<Vec<SocketAddr>, Error>>>;

/// One question to one tracker.
pub(super) struct Errand {
    /// Its URL in the announce list.
    pub(super) url: Arc<str>,
    pub(super) host: Host,
    /// Its address, where it needs no resolver.
    pub(super) known: Option<SocketAddr>,
    /// How many of its addresses were tried before: the next ones come first.
    pub(super) skip: usize,
    pub(super) is_stopped: bool,
    pub(super) carriers: Carriers,
}

impl Errand {
    /// Announces over the family of `call`: the request, but for the port.
    pub(super) async fn announce(
        self,
        call: Call,
        request: AnnounceRequest,
        ports: OwnPorts,
    ) -> Report {
        match self.announced(call.family, request, &ports).await {
            Ok(fetched) => Report::Replied { call, fetched },
            Err(error) => Report::Failed { call, error },
        }
    }

    async fn announced(
        &self,
        family: Family,
        mut request: AnnounceRequest,
        ports: &OwnPorts,
    ) -> Result<Fetched<AnnounceReply>, Error> {
        let mut addresses = self.addresses().await?;
        addresses.retain(|address| Family::of(*address) == family);
        if addresses.len() > MAX_ADDRESSES {
            let skip = self.skip % addresses.len();
            addresses.rotate_left(skip);
        }
        let first = addresses.first().ok_or(Error::NoAddress(family))?;
        // One in our own network sees us from inside, also where it has a name.
        request.port = ports.peers_towards(first.ip());
        let question = Question::announce(&self.url, &request)?;
        let network = &self.carriers.network;
        let total = if self.is_stopped { network.total_stopped } else { question.total(network) };
        let announce = self.carriers.announce(&question, family, addresses);
        timeout(total, announce).await.unwrap_or(Err(Error::Timeout(total)))
    }

    /// Scrapes over one family: the numbers are those of the whole swarm.
    pub(super) async fn scrape(self, tracker: TrackerIndex, info_hash: InfoHash) -> Report {
        Report::Scraped { tracker, result: self.scraped(info_hash).await }
    }

    async fn scraped(&self, info_hash: InfoHash) -> Result<SwarmCounts, Error> {
        let question = Question::scrape(&self.url, info_hash)?;
        let addresses = self.addresses().await?;
        let family = addresses.first().map(|address| Family::of(*address));
        let family = family.ok_or(Error::Url("its host has no address"))?;
        let total = question.total(&self.carriers.network);
        let scrape = self.carriers.scrape(&question, family, addresses, info_hash);
        timeout(total, scrape).await.unwrap_or(Err(Error::Timeout(total)))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        if let Some(known) = self.known {
            return Ok(vec![known]);
        }
        let network = &self.carriers.network;
        self.host.get_or_init(|| resolve_url(network, &self.url)).await.clone()
    }
}

/// Looks up peers that are names; `from` is who named them.
pub(super) async fn resolved(
    names: Vec<(String, u16)>,
    from: Locality,
    network: NetworkTiming,
) -> Report {
    let NetworkTiming { egress, lookup: limit, .. } = network;
    let mut lookups = JoinSet::new();
    for (name, port) in names {
        let egress = egress.clone();
        lookups.spawn(async move { resolve_host(&egress, &name, port, limit).await });
    }
    let found = lookups.join_all().await;
    // A name with many addresses is still one peer.
    let addresses = found.into_iter().flatten().filter_map(|found| found.first().copied());
    Report::Resolved { addresses: addresses.collect(), from }
}

/// Scheme, host and port of a tracker's URL, as text that is the same for all its torrents.
pub(super) fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}").to_ascii_lowercase()
}

/// The peers of a reply that are addresses.
pub(super) fn sockets(reply: &AnnounceReply) -> Vec<SocketAddr> {
    let socket = |peer: &PeerAddr| match peer {
        PeerAddr::Socket(address) => Some(*address),
        PeerAddr::Host { .. } => None,
    };
    reply.peers.iter().filter_map(socket).collect()
}

/// The peers of a reply that are names, as many as are looked up.
pub(super) fn names(reply: &AnnounceReply) -> Vec<(String, u16)> {
    let name = |peer: &PeerAddr| match peer {
        PeerAddr::Host { name, port } => Some((name.clone(), *port)),
        PeerAddr::Socket(_) => None,
    };
    reply.peers.iter().filter_map(name).take(MAX_PEER_HOSTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::PeerId;
    use crate::net::egress::Egress;
    use crate::tracker::task::http_client;

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 1,
            uploaded: 0,
            downloaded: 0,
            corrupt: 0,
            redundant: 0,
            left: 1,
            event: None,
            key: 0,
            numwant: 1,
            tracker_id: None,
            supports_crypto: false,
            requires_crypto: false,
        }
    }

    #[test]
    fn torrents_share_the_host_whatever_their_urls_are() {
        for url in ["http://A.example:80/announce?key=1", "http://u:p@a.example:80#x"] {
            assert_eq!(host_of(url), "http://a.example:80");
        }
        assert_eq!(host_of("udp://[::1]:6969"), "udp://[::1]:6969");
        assert_ne!(host_of("udp://a.example:80"), host_of("http://a.example:80"));
    }

    /// One address in seven answers; the others refuse.
    #[tokio::test]
    async fn every_address_of_a_name_gets_its_turn() {
        let alive = tokio::net::TcpListener::bind("127.0.0.7:0").await.unwrap();
        let port = alive.local_addr().unwrap().port();
        let addresses = (1..=7).map(|last| SocketAddr::from(([127, 0, 0, last], port)));
        let url = format!("http://many.example:{port}/announce");
        let network = NetworkTiming::by(Egress::default());
        let carriers = Carriers {
            http: http_client(&network).unwrap(),
            udp: UdpClient::alone(network.retry_udp, network.egress.clone()),
            network,
        };
        let errand = |skip| Errand {
            url: url.as_str().into(),
            host: Arc::new(OnceCell::new_with(Some(Ok(addresses.clone().collect())))),
            known: None,
            skip,
            is_stopped: false,
            carriers: carriers.clone(),
        };
        let ports = OwnPorts::fixed(1, 1);
        for skip in [0, 3] {
            let failed = errand(skip).announced(Family::V4, request(), &ports).await;
            assert!(failed.is_err_and(|error| !error.has_reached()), "{skip}");
        }
        let heard = tokio::spawn(async move { alive.accept().await.is_ok() });
        let _ = errand(6).announced(Family::V4, request(), &ports).await;
        assert!(heard.await.unwrap());
        let none = errand(0).announced(Family::V6, request(), &ports).await;
        assert_eq!(none.err(), Some(Error::NoAddress(Family::V6)));
    }
}
