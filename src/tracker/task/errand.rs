//! One announce or scrape on its way, over HTTP or UDP and over the address families of the
//! tracker's host. It reports what came of it; whom to ask is the driver's to know.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::fetch::{Fetched, HttpClient, NetworkTiming, resolve_host, resolve_url};
use super::udp::UdpClient;
use crate::base::addr::Locality;
use crate::base::ids::InfoHash;
use crate::tracker::announce::{
    AnnounceReply, AnnounceRequest, Error, Family, PeerAddr, SwarmCounts,
};
use crate::tracker::exchange::Ask;
use crate::tracker::http::{announce_url, is_http, parse_reply, parse_scrape, scrape_url};
use crate::tracker::tiers::TrackerIndex;
use crate::tracker::udp::{Announce, url_data};

/// Host names of peers resolved of one reply.
const MAX_PEER_HOSTS: usize = 10;

/// What an errand tells the driver.
pub(super) enum Report {
    Replied {
        tracker: TrackerIndex,
        fetched: Fetched<AnnounceReply>,
        /// The other address family has been answered already.
        is_repeat: bool,
    },
    Failed {
        tracker: TrackerIndex,
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

/// One question to one tracker.
pub(super) struct Errand {
    pub(super) tracker: TrackerIndex,
    pub(super) question: Result<Question, Error>,
    /// Its addresses, where they need no resolver.
    pub(super) known: Option<Vec<SocketAddr>>,
    pub(super) is_stopped: bool,
    pub(super) carriers: Carriers,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Errand {
    /// Announces over all families. The first reply counts for the tracker; another family's
    /// adds its peers. It fails when all families fail.
    pub(super) async fn announce(self) {
        let mut families = match self.start_families().await {
            Ok(families) => families,
            Err(error) => return self.report_failure(error).await,
        };
        let mut has_reply = false;
        let mut first_error = None;
        while let Some(ended) = families.join_next().await {
            match ended {
                Ok(Ok(fetched)) => {
                    self.report_reply(fetched, has_reply).await;
                    has_reply = true;
                }
                Ok(Err(error)) => first_error = first_error.or(Some(error)),
                Err(_) => {}
            }
        }
        if !has_reply {
            let error = first_error.unwrap_or(Error::Url("its host has no address"));
            self.report_failure(error).await;
        }
    }

    /// Scrapes over one family: the numbers are those of the whole swarm.
    pub(super) async fn scrape(self, info_hash: InfoHash) {
        let result = self.scraped(info_hash).await;
        self.report(Report::Scraped { tracker: self.tracker, result }).await;
    }

    async fn scraped(&self, info_hash: InfoHash) -> Result<SwarmCounts, Error> {
        let question = self.question.clone()?;
        let addresses = self.addresses(&question).await?;
        let family = addresses.first().map(|address| Family::of(*address));
        let family = family.ok_or(Error::Url("its host has no address"))?;
        let total = question.total(&self.carriers.network);
        let scrape = self.carriers.scrape(&question, family, addresses, info_hash);
        timeout(total, scrape).await.unwrap_or(Err(Error::Timeout(total)))
    }

    async fn start_families(
        &self,
    ) -> Result<JoinSet<Result<Fetched<AnnounceReply>, Error>>, Error> {
        let question = self.question.clone()?;
        let addresses = self.addresses(&question).await?;
        let network = &self.carriers.network;
        let total = if self.is_stopped { network.total_stopped } else { question.total(network) };
        let mut families = JoinSet::new();
        for family in Family::BOTH {
            if !addresses.iter().any(|address| Family::of(*address) == family) {
                continue;
            }
            let (carriers, question) = (self.carriers.clone(), question.clone());
            let addresses = addresses.clone();
            families.spawn(async move {
                let announce = carriers.announce(&question, family, addresses);
                timeout(total, announce).await.unwrap_or(Err(Error::Timeout(total)))
            });
        }
        Ok(families)
    }

    async fn addresses(&self, question: &Question) -> Result<Vec<SocketAddr>, Error> {
        match &self.known {
            Some(known) => Ok(known.clone()),
            None => resolve_url(question.url(), self.carriers.network.lookup).await,
        }
    }

    async fn report_failure(&self, error: Error) {
        self.report(Report::Failed { tracker: self.tracker, error }).await;
    }

    async fn report_reply(&self, fetched: Fetched<AnnounceReply>, is_repeat: bool) {
        let names: Vec<_> = hosts(&fetched.reply).take(MAX_PEER_HOSTS).collect();
        let from = Locality::of(fetched.tracker.ip());
        self.report(Report::Replied { tracker: self.tracker, fetched, is_repeat }).await;
        if names.is_empty() || self.is_stopped {
            return;
        }
        let limit = self.carriers.network.lookup;
        let mut lookups = JoinSet::new();
        for (name, port) in names {
            lookups.spawn(async move { resolve_host(&name, port, limit).await });
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
