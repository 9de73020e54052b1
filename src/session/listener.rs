//! Connections that come in: read their handshake, find their torrent, hand them over. It
//! holds a bounded number of strangers that have not said what they want.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::base::ids::InfoHash;
use crate::link::{Hello, read_hello};
use crate::net::tcp::Listening;
use crate::torrent::incoming::Incoming;

/// Connections that have not finished their handshake (limits table); more are closed.
const HALF_OPEN_MAX: usize = 256;
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
    loop {
        tokio::select! {
            registration = registrations.recv() => match registration {
                Some(Registration { info_hash, incoming }) => {
                    torrents.insert(info_hash, incoming);
                }
                None => return,
            },
            accepted = accept(&listening.listeners) => match accepted {
                Ok(connection) if hellos.len() < HALF_OPEN_MAX => {
                    hellos.spawn(hello(connection));
                }
                Ok(_) => debug!("too many connections without a handshake; one closed"),
                Err(error) => rest_after(&error).await,
            },
            Some(done) = hellos.join_next(), if !hellos.is_empty() => {
                if let Ok(Some(incoming)) = done {
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

async fn hello((stream, address): (TcpStream, SocketAddr)) -> Option<Incoming> {
    match read_hello(stream.into(), HELLO_LIMIT).await {
        Ok((hello, stream)) => Some(Incoming { address, hello, stream }),
        Err(error) => {
            debug!(%address, %error, "no handshake");
            None
        }
    }
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
