//! Connections that come in: read their handshake, find their torrent, hand them over. It
//! holds a bounded number of strangers that have not said what they want.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use crate::base::addr::{Host, Locality, host_key};
use crate::base::ids::InfoHash;
use crate::link::{Hello, read_hello};
use crate::net::egress::{Egress, Place};
use crate::net::guests::accept;
use crate::net::tcp::{self, Listening};
use crate::torrent::incoming::Incoming;

/// Connections that have not finished their handshake (limits table); more are closed.
const HALF_OPEN_MAX: usize = 256;
/// Of those, as many from one public host.
const HALF_OPEN_HOST_MAX: usize = 16;
/// And as many from one local address: behind it any number of honest peers may live, but a
/// public host always finds room.
const HALF_OPEN_LOCAL_MAX: usize = HALF_OPEN_MAX * 3 / 4;
/// Time for a stranger to say what it wants (limits table).
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A port that could not be listened on is tried again so long after.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How often those are forgotten whose torrent is gone: a channel takes some kilobytes.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A torrent that takes connections.
#[derive(Debug)]
pub(super) struct Registration {
    pub info_hash: InfoHash,
    pub incoming: mpsc::Sender<Incoming>,
}

/// Accepts until the session is gone, and listens again when the device comes back or has another
/// address. On port 0 nobody is ever listened to.
pub(super) async fn run(
    egress: Egress,
    mut listening: Listening,
    mut registrations: mpsc::Receiver<Registration>,
) {
    let mut since = egress.standing().place;
    let most = half_open_max();
    let mut torrents = Torrents::default();
    let mut hellos = JoinSet::new();
    let mut strangers = Strangers::default();
    let mut forgetting = interval(FORGET_EVERY);
    forgetting.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            registration = registrations.recv() => match registration {
                Some(registration) => torrents.register(registration),
                None => return,
            },
            it = accept(&listening.listeners) => {
                if hellos.len() < most && strangers.may_try(it.1.ip()) {
                    hellos.spawn(hello(it));
                } else {
                    debug!("too many connections without a handshake; one closed");
                }
            }
            () = listens_anew(&egress, since, &listening) => {
                since = egress.standing().place;
                // The port is to be free.
                listening.listeners.clear();
                match tcp::listen(&egress, Some(listening.port)) {
                    Ok(again) => listening = again,
                    Err(error) => debug!(%error, "nobody can connect to us at present"),
                }
            }
            Some(done) = hellos.join_next(), if !hellos.is_empty() => {
                // A panic in there is our own and goes on here.
                let (host, incoming) = done.unwrap_or_else(|e| resume_unwind(e.into_panic()));
                strangers.leave(host);
                if let Some(incoming) = incoming {
                    torrents.route(incoming);
                }
            }
            _ = forgetting.tick() => torrents.forget_gone(),
        }
    }
}

/// Waits until it is time to listen anew: there is another device or address, or nobody listens.
async fn listens_anew(egress: &Egress, since: Option<Place>, listening: &Listening) {
    match (listening.port, listening.listeners.is_empty()) {
        (0, _) => std::future::pending().await,
        (_, true) => sleep(LISTEN_AGAIN).await,
        (_, false) => egress.lost(since).await,
    }
}

/// As many as are let in without a handshake: where there are few descriptors, files and peers are
/// to have some of them.
fn half_open_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).min(HALF_OPEN_MAX)
}

/// Who has not said yet what it wants.
#[derive(Default)]
struct Strangers {
    hosts: HashMap<Host, usize>,
    /// A translator before us is told once.
    has_warned: bool,
}

impl Strangers {
    /// Counts a connection; false when its host has too many that say nothing.
    fn may_try(&mut self, address: IpAddr) -> bool {
        let count = self.hosts.entry(host_key(address)).or_default();
        let locality = Locality::of(address);
        let fits = match locality {
            Locality::Public => *count < HALF_OPEN_HOST_MAX,
            _ => *count < HALF_OPEN_LOCAL_MAX,
        };
        *count += usize::from(fits);
        // Honest neighbours may come many at once, and are never that many.
        let may_translate = !matches!(locality, Locality::Public | Locality::Loopback);
        if !fits && may_translate && !self.has_warned {
            self.has_warned = true;
            warn!(
                "{count} connections of {address} at once say nothing: if it translates the \
                 addresses of others (a container's bridge does), limits of one host count nobody; \
                 let the container use the network of its machine"
            );
        }
        fits
    }

    fn leave(&mut self, address: IpAddr) {
        let host = host_key(address);
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}

async fn hello((stream, address): (TcpStream, SocketAddr)) -> (IpAddr, Option<Incoming>) {
    let incoming = match read_hello(stream.into(), HELLO_LIMIT).await {
        Ok((hello, stream)) => Some(Incoming { address, hello, stream }),
        Err(error) => {
            debug!(%address, %error, "no handshake");
            None
        }
    };
    (address.ip(), incoming)
}

/// Who takes connections for which torrent.
#[derive(Default)]
struct Torrents(HashMap<InfoHash, mpsc::Sender<Incoming>>);

impl Torrents {
    fn register(&mut self, Registration { info_hash, incoming }: Registration) {
        self.0.insert(info_hash, incoming);
    }

    fn route(&mut self, incoming: Incoming) {
        let Hello { info_hash, .. } = incoming.hello;
        let Some(torrent) = self.0.get(&info_hash) else {
            debug!(%info_hash, address = %incoming.address, "a peer asked for a torrent we lack");
            return;
        };
        // A torrent too busy for one more connection can do without it.
        if let Err(mpsc::error::TrySendError::Closed(_)) = torrent.try_send(incoming) {
            self.0.remove(&info_hash);
        }
    }

    fn forget_gone(&mut self) {
        self.0.retain(|_, torrent| !torrent.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_host_may_be_silent_on_sixteen_connections_and_a_local_one_on_most() {
        let mut strangers = Strangers::default();
        let mut tried = |host: &str| {
            let host = host.parse().unwrap();
            (0..300).filter(|_| strangers.may_try(host)).count()
        };
        assert_eq!((tried("198.51.100.7"), tried("127.0.0.1")), (16, 192));
        let public = "198.51.100.7".parse().unwrap();
        strangers.leave(public);
        assert!(strangers.may_try(public) && !strangers.may_try(public));
        (0..16).for_each(|_| strangers.leave(public));
        assert!(!strangers.hosts.contains_key(&host_key(public)));
    }

    #[test]
    fn one_address_for_many_strangers_is_told() {
        let mut strangers = Strangers::default();
        for (address, is_told) in [("127.0.0.1", false), ("8.8.8.8", false), ("172.17.0.1", true)] {
            (0..192).for_each(|_| _ = strangers.may_try(address.parse().unwrap()));
            assert!(!strangers.has_warned, "all of a local one found room");
            strangers.may_try(address.parse().unwrap());
            assert_eq!(strangers.has_warned, is_told, "{address}");
        }
    }

    #[test]
    fn a_site_of_ipv6_is_one_host() {
        let mut strangers = Strangers::default();
        let one_of = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, number, 0, 0, 1]);
        assert_eq!((0..100).filter(|it| strangers.may_try(one_of(*it))).count(), 16);
        (0..16).for_each(|number| strangers.leave(one_of(number)));
        assert!(strangers.hosts.is_empty());
    }

    #[test]
    fn removed_torrents_are_forgotten_though_nobody_asks_for_them() {
        let mut torrents = Torrents::default();
        let (kept, _takes) = mpsc::channel(1);
        let (gone, _) = mpsc::channel(1);
        torrents.register(Registration { info_hash: InfoHash([1; 20]), incoming: kept });
        torrents.register(Registration { info_hash: InfoHash([2; 20]), incoming: gone });
        torrents.forget_gone();
        assert_eq!(torrents.0.keys().collect::<Vec<_>>(), [&InfoHash([1; 20])]);
    }
}
