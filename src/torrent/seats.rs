//! A torrent's seats in the DHT, one for each of its hashes: what it wants of it, and what it
//! hears. One that is private, or whose session has no DHT, has none. When to look for whom is the
//! DHT's to know.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::base::ids::InfoHash;
use crate::dht::Haste;
use crate::dht::task::{Dht, DhtNews, Seat, Wish};
use crate::net::portmap::OwnPorts;

use super::status::DhtStatus;

/// With fewer peers than this, a torrent that lacks something has no time.
const PEERS_FEW: u32 = 5;
/// With so many it has; in between it goes on as it was.
const PEERS_ENOUGH: u32 = 10;

/// What a torrent needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// It takes part: neither paused nor ending.
    pub takes_part: bool,
    /// It has everything.
    pub is_seed: bool,
    /// Something wanted is missing.
    pub lacks: bool,
    /// Peers that are connected.
    pub peers: u32,
}

/// The seats of a torrent.
#[derive(Debug)]
pub(super) struct Seats {
    dht: Option<Dht>,
    hashes: Vec<InfoHash>,
    /// To be announced, as they are outside, where anybody can connect.
    ports: OwnPorts,
    seats: Vec<Seat>,
    haste: Haste,
    announced: Option<(Instant, usize)>,
}

impl Seats {
    /// None taken yet. `dht` is none for a private torrent.
    pub fn new(dht: Option<Dht>, hashes: Vec<InfoHash>, ports: OwnPorts) -> Self {
        Self { dht, hashes, ports, seats: Vec::new(), haste: Haste::Urgent, announced: None }
    }

    /// With this DHT from now on; seats in another one, or where there is none any more, are left.
    pub fn change(&mut self, dht: Option<Dht>) {
        if self.dht.is_some() != dht.is_some() {
            self.seats.clear();
            self.announced = None;
            self.dht = dht;
        }
    }

    /// Are they those of a torrent with these hashes?
    pub fn are_of(&self, hashes: &[InfoHash]) -> bool {
        self.hashes == hashes
    }

    /// Takes seats, or leaves them, by what the torrent needs; whether the DHT has heard of it all.
    /// Never waits.
    pub fn take(&mut self, needs: Needs) -> bool {
        let Some(dht) = self.dht.as_ref().filter(|_| needs.takes_part) else {
            self.seats.clear();
            self.announced = None;
            return true;
        };
        if self.seats.is_empty() {
            self.seats = self.hashes.iter().map(|hash| dht.seat(*hash)).collect();
        }
        self.haste = match (needs.lacks, needs.peers) {
            (true, ..PEERS_FEW) => Haste::Urgent,
            (true, ..PEERS_ENOUGH) => self.haste,
            _ => Haste::Background,
        };
        let ports = (self.ports.listen() > 0).then(|| self.ports.outside());
        let wish = Wish { ports, seed: needs.is_seed, haste: self.haste };
        let mut is_heard = true;
        for seat in &mut self.seats {
            is_heard &= seat.wish(wish);
        }
        is_heard
    }

    /// The next news; waits for ever where there are no seats. May be dropped without loss.
    pub async fn next(&mut self) -> DhtNews {
        poll_fn(|cx| {
            for seat in &mut self.seats {
                if let Poll::Ready(news) = seat.poll_next(cx) {
                    if let DhtNews::Announced { nodes } = news {
                        self.announced = Some((Instant::now(), nodes));
                    }
                    return Poll::Ready(news);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// How the DHT fares, and what it did for this torrent; none where it does nothing.
    pub fn status(&self, now: Instant) -> Option<DhtStatus> {
        let dht = self.dht.as_ref().filter(|_| !self.seats.is_empty())?;
        let standing = dht.standing();
        // In whole seconds, so that not every look shows another one.
        let whole =
            |now: Instant, at| Duration::from_secs(now.saturating_duration_since(at).as_secs());
        Some(DhtStatus {
            nodes: standing.good(),
            known: standing.both().map(|health| health.known + health.hints).sum(),
            silent: standing.silent().map(|it| Duration::from_secs(it.as_secs())),
            announced: self.announced.map(|(at, nodes)| (whole(now, at), nodes)),
        })
    }
}
