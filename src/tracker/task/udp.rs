//! The UDP sockets of one torrent's announces and scrapes, one a family, and the task that
//! runs [`Exchanges`] over them. What the datagrams mean is decided there; nothing here trusts
//! a stranger. Source: BEP 15.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::fetch::{Fetched, MAX_ADDRESSES};
use super::{now, sleep_to};
use crate::base::addr::canonical;
use crate::tracker::announce::{AnnounceReply, Error, Family, PeerAddr, SwarmCounts};
use crate::tracker::exchange::{Ask, CallId, Exchanges, Output};
use crate::tracker::http::{MAX_WAIT, check_hop};
use crate::tracker::udp::{MAX_REPLY_LEN, Reply, url_data};

/// Questions that wait for the task; more would wait with their askers.
const CALLS_LEN: usize = 16;

/// Questions under way: an announce and a scrape over both families, for some forty trackers
/// at once. More than that fail.
const MAX_CALLS: usize = 160;

/// Datagrams taken in before the task looks at anything else, so that a flood of junk does not
/// keep it from sending.
const DATAGRAMS_BATCH: usize = 32;

type Answer = Result<(Reply, SocketAddr), Error>;

struct Call {
    family: Family,
    addresses: Vec<SocketAddr>,
    ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// A handle to the task, which ends with the last of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct UdpClient {
    calls: mpsc::Sender<Call>,
}

impl UdpClient {
    /// Starts the task; it opens no socket before it is needed. `retry` is the time before a
    /// datagram is sent again for the first time, `bind` our own address, any when none.
    pub(super) fn start(retry: Duration, bind: Option<IpAddr>) -> Self {
        let (calls, inbox) = mpsc::channel(CALLS_LEN);
        tokio::spawn(Hand::new(retry, bind).run(inbox));
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
        self.calls.send(Call { family, addresses, ask, answer }).await.map_err(|_| gone())?;
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

struct Hand {
    exchanges: Exchanges,
    bind: Option<IpAddr>,
    four: Option<UdpSocket>,
    six: Option<UdpSocket>,
    askers: BTreeMap<CallId, oneshot::Sender<Answer>>,
    next_call: u64,
    buffer: Vec<u8>,
}

impl Hand {
    fn new(retry: Duration, bind: Option<IpAddr>) -> Self {
        Self {
            bind,
            exchanges: Exchanges::new(retry, StdRng::from_rng(&mut rand::rng())),
            four: None,
            six: None,
            askers: BTreeMap::new(),
            next_call: 0,
            buffer: Vec::new(),
        }
    }

    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        loop {
            let wake = self.exchanges.next_timeout();
            tokio::select! {
                call = calls.recv() => match call {
                    Some(call) => self.on_call(call).await,
                    None => return,
                },
                () = readable(self.four.as_ref()) => self.receive(Family::V4),
                () = readable(self.six.as_ref()) => self.receive(Family::V6),
                () = sleep_to(wake), if wake.is_some() => self.exchanges.tick(now()),
            }
            self.follow().await;
        }
    }

    async fn on_call(&mut self, call: Call) {
        let gone: Vec<CallId> = self
            .askers
            .iter()
            .filter(|(_, asker)| asker.is_closed())
            .map(|(call, _)| *call)
            .collect();
        for id in gone {
            self.cancel(id);
        }
        let refusal = if self.askers.len() >= MAX_CALLS {
            Some(Error::Network("too many trackers are being asked at once".to_owned()))
        } else {
            self.open(call.family).await.err().map(|cause| Error::Unreachable(cause.to_string()))
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

    async fn open(&mut self, family: Family) -> std::io::Result<()> {
        self.buffer.resize(MAX_REPLY_LEN, 0);
        match family {
            Family::V4 if self.four.is_none() => {
                self.four = Some(
                    UdpSocket::bind((self.bind.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0)).await?,
                );
            }
            Family::V6 if self.six.is_none() => {
                self.six = Some(
                    UdpSocket::bind((self.bind.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), 0)).await?,
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, family: Family) {
        let socket = if family == Family::V4 { &self.four } else { &self.six };
        let Some(socket) = socket else { return };
        for _ in 0..DATAGRAMS_BATCH {
            let Ok((len, from)) = socket.try_recv_from(&mut self.buffer) else { return };
            let datagram = self.buffer.get(..len).unwrap_or_default();
            self.exchanges.on_datagram(canonical(from), datagram, now());
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
        let socket = if Family::of(to) == Family::V4 { &self.four } else { &self.six };
        let Some(socket) = socket else { return };
        // A datagram that does not leave, as when a family has no route, never will.
        if let Err(cause) = socket.send_to(datagram, to).await {
            self.exchanges.cancel(call);
            self.answer(call, Err(Error::Unreachable(cause.to_string())));
        }
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        if let Some(asker) = self.askers.remove(&call) {
            // The asker may have gone.
            let _ = asker.send(answer);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.askers.remove(&call);
        self.exchanges.cancel(call);
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        // An error shows itself again when reading.
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}
