//! A link that we begin: connect, say who we are, hear who answers. One time limit for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::base::ids::LinkId;
use crate::net::tcp;
use crate::swarm::event::DownReason;
use crate::wire::handshake::{self, Handshake};

use super::{LinkConfig, LinkHandle, LinkNews, LinkReport, bt, channel};

/// Starts a link to `address`. It reports `Up` and what follows, or only `Down`.
pub fn dial(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, orders) = channel();
    tokio::spawn(async move {
        match open(&config, address).await {
            Ok((theirs, stream)) => {
                bt::run(config, link, address, theirs, true, stream, orders, reports).await;
            }
            Err(reason) => {
                let report = LinkReport { link, news: LinkNews::Down(reason) };
                // A torrent that has ended needs no word.
                let _ = reports.send(report).await;
            }
        }
    });
    handle
}

async fn open(
    config: &LinkConfig,
    address: SocketAddr,
) -> Result<(Handshake, TcpStream), DownReason> {
    let limit = config.timeouts.handshake;
    let connected = timeout(limit, tcp::connect(address, config.bind)).await;
    let mut stream = connected
        .map_err(|_| DownReason::DialFailed("it did not answer".into()))?
        .map_err(|error| DownReason::DialFailed(words(&error)))?;
    let theirs = timeout(limit, greet(config, &mut stream)).await;
    let theirs = theirs.map_err(|_| DownReason::TimedOut("it sent no handshake in time"))??;
    Ok((theirs, stream))
}

async fn greet(config: &LinkConfig, stream: &mut TcpStream) -> Result<Handshake, DownReason> {
    let lost = |error: io::Error| DownReason::Lost(format!("no handshake: {}", words(&error)));
    let ours = Handshake::ours(config.info_hash, config.peer_id).encode();
    stream.write_all(&ours).await.map_err(lost)?;
    let mut bytes = [0; handshake::LEN];
    stream.read_exact(&mut bytes).await.map_err(lost)?;
    let theirs =
        Handshake::decode(&bytes).map_err(|error| DownReason::Violated(error.to_string()))?;
    // BEP 3: "If both sides don't send the same value, they sever the connection."
    if theirs.info_hash != config.info_hash {
        return Err(DownReason::Violated("it answered for another torrent".into()));
    }
    Ok(theirs)
}

/// A network error in words, without the system's number.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "not reachable".into()
        }
        _ => error.to_string(),
    }
}
