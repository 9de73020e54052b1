//! Connections that come in: read their handshake, find their torrent, hand them over. It
//! holds a bounded number of strangers that have not said what they want.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::base::addr::{Host, Locality, host_key};
use crate::base::ids::InfoHash;
use crate::link::{Hello, read_hello};
use crate::net::tcp::Listening;
use crate::torrent::incoming::Incoming;

/// Connections that have not finished their handshake (limits table); more are closed.
const HALF_OPEN_MAX: usize = 256;
/// Of those, as many from one public host.
const HALF_OPEN_HOST_MAX: usize = 16;
/// Time for a stranger to say what it wants (limits table).
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Rest when the system has no file descriptor left, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// A torrent that takes connections.
#[derive(Debug)]
pub(super) struct Registration {
    pub info_hash: InfoHash,
    pub incoming: mpsc::Sender<Incoming>,
}

/// Accepts until the session is gone.
pub(super) async fn run(listening: Listening, mut registrations: mpsc::Receiver<Registration>) {
    let mut torrents: HashMap<InfoHash, mpsc::Sender<Incoming>> = HashMap::new();
    let mut hellos = JoinSet::new();
    let mut hosts: HashMap<Host, usize> = HashMap::new();
    loop {
        tokio::select! {
            registration = registrations.recv() => match registration {
                Some(Registration { info_hash, incoming }) => {
                    torrents.insert(info_hash, incoming);
                }
                None => return,
            },
            accepted = accept(&listening.listeners) => match accepted {
                Ok(it) if hellos.len() < HALF_OPEN_MAX && may_try(&mut hosts, it.1.ip()) => {
                    hellos.spawn(hello(it));
                }
                Ok(_) => debug!("too many connections without a handshake; one closed"),
                Err(error) => rest_after(&error).await,
            },
            Some(done) = hellos.join_next(), if !hellos.is_empty() => {
                // A panic in there is our own and goes on here.
                let (host, incoming) = done.unwrap_or_else(|e| resume_unwind(e.into_panic()));
                leave(&mut hosts, host);
                if let Some(incoming) = incoming {
                    route(&mut torrents, incoming);
                }
            }
        }
    }
}

/// The next connection on any of the sockets; there are one or two.
async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        let mut accepted = listeners.iter().map(|listener| listener.poll_accept(cx));
        accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Counts a connection of a public host; false when it has too many that say nothing. Behind
/// a local address any number of honest peers may live.
fn may_try(hosts: &mut HashMap<Host, usize>, host: IpAddr) -> bool {
    let count = hosts.entry(host_key(host)).or_default();
    let fits = *count < HALF_OPEN_HOST_MAX || Locality::of(host) != Locality::Public;
    *count += usize::from(fits);
    fits
}

fn leave(hosts: &mut HashMap<Host, usize>, host: IpAddr) {
    let host = host_key(host);
    if let Some(count) = hosts.get_mut(&host) {
        *count -= 1;
        if *count == 0 {
            hosts.remove(&host);
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

fn route(torrents: &mut HashMap<InfoHash, mpsc::Sender<Incoming>>, incoming: Incoming) {
    let Hello { info_hash, .. } = incoming.hello;
    let Some(torrent) = torrents.get(&info_hash) else {
        debug!(%info_hash, address = %incoming.address, "a peer asked for a torrent we lack");
        return;
    };
    // A torrent too busy for one more connection can do without it.
    if let Err(mpsc::error::TrySendError::Closed(_)) = torrent.try_send(incoming) {
        torrents.remove(&info_hash);
    }
}

async fn rest_after(error: &io::Error) {
    warn!(%error, "cannot accept connections");
    sleep(REST).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_host_may_be_silent_on_sixteen_connections_and_a_local_one_on_any_number() {
        let mut hosts = HashMap::new();
        let mut tried = |host: &str| {
            let host = host.parse().unwrap();
            (0..100).filter(|_| may_try(&mut hosts, host)).count()
        };
        assert_eq!((tried("198.51.100.7"), tried("127.0.0.1")), (16, 100));
        let public = "198.51.100.7".parse().unwrap();
        leave(&mut hosts, public);
        assert!(may_try(&mut hosts, public) && !may_try(&mut hosts, public));
        (0..16).for_each(|_| leave(&mut hosts, public));
        assert!(!hosts.contains_key(&host_key(public)));
    }

    #[test]
    fn a_site_of_ipv6_is_one_host() {
        let mut hosts = HashMap::new();
        let one_of = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, number, 0, 0, 1]);
        assert_eq!((0..100).filter(|it| may_try(&mut hosts, one_of(*it))).count(), 16);
        (0..16).for_each(|number| leave(&mut hosts, one_of(number)));
        assert!(hosts.is_empty());
    }
}
