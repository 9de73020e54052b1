//! Announces and scrapes over UDP: the task that runs [`Exchanges`] over the sockets of a session,
//! for all its torrents. What the datagrams mean is decided there; nothing here trusts a
//! stranger. Source: BEP 15.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use super::clock::{now, sleep_to};
use super::fetch::{Fetched, MAX_ADDRESSES};
use crate::net::egress::Egress;
use crate::net::udp::{Udp, UdpNews};
use crate::tracker::announce::{AnnounceReply, Error, Family, PeerAddr, SwarmCounts};
use crate::tracker::exchange::{Ask, CallId, Exchanges, Output};
use crate::tracker::http::{MAX_WAIT, check_hop};
use crate::tracker::udp::{Reply, url_data};

/// Questions that wait for the task; more would wait with their askers.
const CALLS_LEN: usize = 16;

/// Questions under way: an announce over both families for some eight trackers of each of a
/// thousand torrents that begin at once. More than that fail.
const MAX_CALLS: usize = 16_384;

/// Datagrams taken in before the task looks at anything else, so that a flood of junk does not
/// keep it from sending.
const DATAGRAMS_BATCH: usize = 32;

/// So many questions are under way before it is looked whether anybody waits for them.
const LOOK_LEAST: usize = 160;

type Answer = Result<(Reply, SocketAddr), Error>;

struct Call {
    addresses: Vec<SocketAddr>,
    ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// Asks UDP trackers, for all torrents of a session. A handle to the task, which ends with the
/// last of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UdpClient {
    calls: mpsc::Sender<Call>,
}

impl UdpClient {
    /// Asks over these sockets, whose readers deliver to `mail`. `retry` is the time before a
    /// datagram is sent again for the first time. Must run inside the runtime.
    pub fn over(udp: Udp, mail: mpsc::Receiver<UdpNews>, retry: Duration) -> Self {
        Self::start(Line::Open(udp, mail), retry)
    }

    /// Asks over sockets of its own, opened when they are needed; `bind` is our own address, any
    /// when none.
    pub(super) fn alone(retry: Duration, egress: Egress) -> Self {
        Self::start(Line::Closed(egress), retry)
    }

    fn start(line: Line, retry: Duration) -> Self {
        let (calls, inbox) = mpsc::channel(CALLS_LEN);
        tokio::spawn(Hand::new(line, retry).run(inbox));
        Self { calls }
    }

    /// Announces over `family` to the tracker of `url`, which has these addresses. The caller
    /// limits the time.
    pub(super) async fn announce(
        &self,
        url: &str,
        family: Family,
        addresses: Vec<SocketAddr>,
        ask: Ask,
    ) -> Result<Fetched<AnnounceReply>, Error> {
        let (reply, tracker) = self.ask(url, family, addresses, ask).await?;
        let Reply::Announce { interval_s, leechers, seeders, peers, .. } = reply else {
            return Err(Error::Malformed("it is no reply to an announce".to_owned()));
        };
        let reply = AnnounceReply {
            interval: Some(Duration::from_secs(interval_s.into()).min(MAX_WAIT)),
            peers: peers.into_iter().map(PeerAddr::Socket).collect(),
            complete: Some(seeders.into()),
            incomplete: Some(leechers.into()),
            ..AnnounceReply::default()
        };
        Ok(Fetched { reply, tracker, first_hop: tracker })
    }

    /// Scrapes, as [`UdpClient::announce`].
    pub(super) async fn scrape(
        &self,
        url: &str,
        family: Family,
        addresses: Vec<SocketAddr>,
        ask: Ask,
    ) -> Result<SwarmCounts, Error> {
        let (reply, _) = self.ask(url, family, addresses, ask).await?;
        let Reply::Scrape { counts, .. } = reply else {
            return Err(Error::Malformed("it is no reply to a scrape".to_owned()));
        };
        let counts = counts.first();
        let counts =
            counts.ok_or_else(|| Error::Malformed("it says nothing of this torrent".to_owned()))?;
        Ok(SwarmCounts {
            complete: Some(counts.seeders.into()),
            incomplete: Some(counts.leechers.into()),
            downloaded: Some(counts.completed.into()),
        })
    }

    async fn ask(
        &self,
        url: &str,
        family: Family,
        mut addresses: Vec<SocketAddr>,
        ask: Ask,
    ) -> Answer {
        addresses.retain(|address| Family::of(*address) == family);
        addresses.truncate(MAX_ADDRESSES);
        for address in &addresses {
            check_hop(None, address.ip(), path(url)?)?;
        }
        let (answer, answered) = oneshot::channel();
        let gone = || Error::Network("the torrent is ending".to_owned());
        self.calls.send(Call { addresses, ask, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The path that decides whether a local address may be asked. UDP URLs often have none; that
/// is as good as `/announce`, since nothing but the fixed 16 bytes of a connect goes out before
/// the other end has proved itself a tracker.
fn path(url: &str) -> Result<&str, Error> {
    let data = url_data(url)?;
    let path = data.split_once('?').map_or(data, |(path, _)| path);
    Ok(if matches!(path, "" | "/") { "/announce" } else { path })
}

/// What is asked over.
enum Line {
    /// Nothing yet: it is to leave here.
    Closed(Egress),
    Open(Udp, mpsc::Receiver<UdpNews>),
}

impl Line {
    fn open(&mut self) -> Result<&Udp, Error> {
        if let Self::Closed(egress) = self {
            let opened = Udp::open(egress, 0);
            let (udp, mail) = opened.map_err(|error| Error::Unreachable(error.to_string()))?;
            *self = Self::Open(udp, mail.tracker);
        }
        match self {
            Self::Open(udp, _) => Ok(udp),
            Self::Closed(_) => Err(Error::Network("there is no socket".to_owned())),
        }
    }

    fn udp(&self) -> Option<Udp> {
        match self {
            Self::Open(udp, _) => Some(udp.clone()),
            Self::Closed(_) => None,
        }
    }

    /// Takes what has come into `news`.
    async fn receive(&mut self, news: &mut Vec<UdpNews>) {
        if let Self::Open(_, mail) = self
            && mail.recv_many(news, DATAGRAMS_BATCH).await > 0
        {
            return;
        }
        // There is no more to come.
        std::future::pending().await
    }
}

/// Returns when anything may leave again, or when it is known that nothing will.
async fn waited(away: Option<Udp>) {
    match away {
        Some(udp) => udp.waited().await,
        None => std::future::pending().await,
    }
}

struct Hand {
    exchanges: Exchanges,
    line: Line,
    askers: BTreeMap<CallId, oneshot::Sender<Answer>>,
    /// Of each call, what is to be sent as soon as anything leaves.
    held: BTreeMap<CallId, (SocketAddr, Vec<u8>)>,
    next_call: u64,
    /// So many askers are looked through for those who have gone.
    look_at: usize,
}

impl Hand {
    fn new(line: Line, retry: Duration) -> Self {
        Self {
            line,
            exchanges: Exchanges::new(retry, StdRng::from_rng(&mut rand::rng())),
            askers: BTreeMap::new(),
            held: BTreeMap::new(),
            next_call: 0,
            look_at: LOOK_LEAST,
        }
    }

    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut news = Vec::with_capacity(DATAGRAMS_BATCH);
        loop {
            let wake = self.exchanges.next_timeout();
            let away = self.line.udp().filter(|_| !self.held.is_empty());
            tokio::select! {
                call = calls.recv() => match call {
                    Some(call) => self.on_call(call),
                    None => return,
                },
                () = self.line.receive(&mut news) => {
                    news.drain(..).for_each(|news| self.on_news(news));
                }
                () = sleep_to(wake), if wake.is_some() => self.exchanges.tick(now()),
                () = waited(away) => self.send_held().await,
            }
            self.follow().await;
        }
    }

    fn on_call(&mut self, call: Call) {
        if self.askers.len() >= self.look_at {
            self.forget_gone();
        }
        let refusal = match self.askers.len() >= MAX_CALLS {
            true => Some(Error::Network("too many trackers are being asked at once".to_owned())),
            false => self.line.open().err(),
        };
        if let Some(error) = refusal {
            // The asker may have gone.
            let _ = call.answer.send(Err(error));
            return;
        }
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.askers.insert(id, call.answer);
        self.exchanges.begin(id, call.addresses, call.ask, now());
    }

    /// Nobody waits for these answers any more. Looked for whenever there are twice as many.
    fn forget_gone(&mut self) {
        let gone: Vec<CallId> = self
            .askers
            .iter()
            .filter(|(_, asker)| asker.is_closed())
            .map(|(call, _)| *call)
            .collect();
        for id in gone {
            self.cancel(id);
        }
        self.look_at = (self.askers.len() * 2).clamp(LOOK_LEAST, MAX_CALLS);
    }

    fn on_news(&mut self, news: UdpNews) {
        match news {
            UdpNews::Datagram { from, bytes } => self.exchanges.on_datagram(from, &bytes, now()),
            UdpNews::Refused { to } => self.exchanges.refused(to, now()),
        }
    }

    /// Does what the machine wants.
    async fn follow(&mut self) {
        while let Some(output) = self.exchanges.poll_output() {
            match output {
                Output::Send { call, to, datagram } => self.send(call, to, &datagram).await,
                Output::Done { call, tracker, result } => {
                    self.answer(call, result.map(|reply| (reply, tracker)));
                }
            }
        }
    }

    async fn send(&mut self, call: CallId, to: SocketAddr, datagram: &[u8]) {
        if self.askers.get(&call).is_none_or(oneshot::Sender::is_closed) {
            return self.cancel(call);
        }
        let Line::Open(udp, _) = &self.line else { return };
        // What is asked while the device or the relay is away is asked when it is back.
        if udp.is_waiting() {
            self.held.insert(call, (to, datagram.to_vec()));
            return;
        }
        // A datagram that does not leave, as when a family has no route, never will.
        if let Err(cause) = udp.send(to, datagram).await {
            // It has just gone away.
            if udp.is_waiting() {
                self.held.insert(call, (to, datagram.to_vec()));
                return;
            }
            self.exchanges.cancel(call);
            self.answer(call, Err(Error::Unreachable(cause.to_string())));
        }
    }

    async fn send_held(&mut self) {
        for (call, (to, datagram)) in std::mem::take(&mut self.held) {
            self.send(call, to, &datagram).await;
        }
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        self.held.remove(&call);
        if let Some(asker) = self.askers.remove(&call) {
            // The asker may have gone.
            let _ = asker.send(answer);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.held.remove(&call);
        self.askers.remove(&call);
        self.exchanges.cancel(call);
    }
}
