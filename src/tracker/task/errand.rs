//! One announce or scrape on its way, over HTTP or UDP and over one address family of the
//! tracker's host. It reports what came of it; whom to ask is the driver's to know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::fetch::{Fetched, HttpClient, MAX_ADDRESSES, NetworkTiming, resolve_host, resolve_url};
use super::udp::UdpClient;
use crate::base::addr::Locality;
use crate::base::ids::InfoHash;
use crate::tracker::announce::{
    AnnounceReply, AnnounceRequest, Error, Family, PeerAddr, SwarmCounts,
};
use crate::tracker::exchange::Ask;
use crate::tracker::http::{announce_url, is_http, parse_reply, parse_scrape, scrape_url};
use crate::tracker::tiers::{Call, TrackerIndex};
use crate::tracker::udp::{Announce, url_data};

/// Host names of peers resolved of one reply.
const MAX_PEER_HOSTS: usize = 10;

/// What an errand tells the driver.
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
}

/// What carries questions to trackers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Carriers {
    pub(super) http: HttpClient,
    pub(super) udp: UdpClient,
    pub(super) network: NetworkTiming,
}

/// A question and how it is carried.
#[derive(Clone)]
pub(super) enum Question {
    Http { url: String },
    Udp { url: String, ask: Ask },
}

impl Question {
    pub(super) fn announce(base: &str, request: &AnnounceRequest) -> Result<Self, Error> {
        if is_http(base) {
            return Ok(Self::Http { url: announce_url(base, request)? });
        }
        let announce = Announce::new(request, url_data(base)?);
        Ok(Self::Udp { url: base.to_owned(), ask: Ask::Announce(announce) })
    }

    pub(super) fn scrape(base: &str, info_hash: InfoHash) -> Result<Self, Error> {
        if is_http(base) {
            return Ok(Self::Http { url: scrape_url(base, info_hash)? });
        }
        url_data(base)?;
        Ok(Self::Udp { url: base.to_owned(), ask: Ask::Scrape(vec![info_hash]) })
    }

    fn url(&self) -> &str {
        match self {
            Self::Http { url } | Self::Udp { url, .. } => url,
        }
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
    pub(super) question: Result<Question, Error>,
    pub(super) host: Host,
    /// Its address, where it needs no resolver.
    pub(super) known: Option<SocketAddr>,
    /// How many of its addresses were tried before: the next ones come first.
    pub(super) skip: usize,
    pub(super) is_stopped: bool,
    pub(super) carriers: Carriers,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Errand {
    /// Announces over the family of `call`.
    pub(super) async fn announce(self, call: Call) {
        match self.announced(call.family).await {
            Ok(fetched) => self.report_reply(call, fetched).await,
            Err(error) => self.report(Report::Failed { call, error }).await,
        }
    }

    async fn announced(&self, family: Family) -> Result<Fetched<AnnounceReply>, Error> {
        let question = self.question.as_ref().map_err(Clone::clone)?;
        let mut addresses = self.addresses(question).await?;
        addresses.retain(|address| Family::of(*address) == family);
        if addresses.is_empty() {
            return Err(Error::NoAddress(family));
        }
        if addresses.len() > MAX_ADDRESSES {
            let skip = self.skip % addresses.len();
            addresses.rotate_left(skip);
        }
        let network = &self.carriers.network;
        let total = if self.is_stopped { network.total_stopped } else { question.total(network) };
        let announce = async {
            let is_web = matches!(question, Question::Http { .. });
            let _place = match addresses.first().filter(|_| self.is_stopped && is_web) {
                Some(tracker) => self.carriers.http.goodbye(*tracker).await,
                None => None,
            };
            self.carriers.announce(question, family, addresses).await
        };
        timeout(total, announce).await.unwrap_or(Err(Error::Timeout(total)))
    }

    /// Scrapes over one family: the numbers are those of the whole swarm.
    pub(super) async fn scrape(self, tracker: TrackerIndex, info_hash: InfoHash) {
        let result = self.scraped(info_hash).await;
        self.report(Report::Scraped { tracker, result }).await;
    }

    async fn scraped(&self, info_hash: InfoHash) -> Result<SwarmCounts, Error> {
        let question = self.question.as_ref().map_err(Clone::clone)?;
        let addresses = self.addresses(question).await?;
        let family = addresses.first().map(|address| Family::of(*address));
        let family = family.ok_or(Error::Url("its host has no address"))?;
        let total = question.total(&self.carriers.network);
        let scrape = self.carriers.scrape(question, family, addresses, info_hash);
        timeout(total, scrape).await.unwrap_or(Err(Error::Timeout(total)))
    }

    async fn addresses(&self, question: &Question) -> Result<Vec<SocketAddr>, Error> {
        if let Some(known) = self.known {
            return Ok(vec![known]);
        }
        let NetworkTiming { egress, lookup: limit, .. } = &self.carriers.network;
        let limit = *limit;
        self.host.get_or_init(|| resolve_url(egress, question.url(), limit)).await.clone()
    }

    async fn report_reply(&self, call: Call, fetched: Fetched<AnnounceReply>) {
        let names: Vec<_> = hosts(&fetched.reply).take(MAX_PEER_HOSTS).collect();
        let from = Locality::of(fetched.tracker.ip());
        self.report(Report::Replied { call, fetched }).await;
        if names.is_empty() || self.is_stopped {
            return;
        }
        let limit = self.carriers.network.lookup;
        let mut lookups = JoinSet::new();
        for (name, port) in names {
            let egress = self.carriers.network.egress.clone();
            lookups.spawn(async move { resolve_host(&egress, &name, port, limit).await });
        }
        let found = lookups.join_all().await;
        // A name with many addresses is still one peer.
        let addresses = found.into_iter().flatten().filter_map(|found| found.first().copied());
        self.report(Report::Resolved { addresses: addresses.collect(), from }).await;
    }

    async fn report(&self, report: Report) {
        // The driver is gone only when nobody wants to know.
        let _ = self.reports.send(report).await;
    }
}

/// The peers of a reply that are addresses.
pub(super) fn sockets(reply: &AnnounceReply) -> Vec<SocketAddr> {
    let socket = |peer: &PeerAddr| match peer {
        PeerAddr::Socket(address) => Some(*address),
        PeerAddr::Host { .. } => None,
    };
    reply.peers.iter().filter_map(socket).collect()
}

fn hosts(reply: &AnnounceReply) -> impl Iterator<Item = (String, u16)> + '_ {
    reply.peers.iter().filter_map(|peer| match peer {
        PeerAddr::Host { name, port } => Some((name.clone(), *port)),
        PeerAddr::Socket(_) => None,
    })
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
            question: Question::announce(&url, &request()),
            host: Arc::new(OnceCell::new_with(Some(Ok(addresses.clone().collect())))),
            known: None,
            skip,
            is_stopped: false,
            carriers: carriers.clone(),
            reports: mpsc::channel(1).0,
        };
        for skip in [0, 3] {
            let failed = errand(skip).announced(Family::V4).await;
            assert!(failed.is_err_and(|error| !error.has_reached()), "{skip}");
        }
        let heard = tokio::spawn(async move { alive.accept().await.is_ok() });
        let _ = errand(6).announced(Family::V4).await;
        assert!(heard.await.unwrap());
        let none = errand(0).announced(Family::V6).await;
        assert_eq!(none.err(), Some(Error::NoAddress(Family::V6)));
    }
}
