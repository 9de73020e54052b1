//! A link that a peer begins. Its handshake is read first, since it names the torrent; ours
//! goes out when the torrent has let it in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::base::ids::LinkId;
use crate::swarm::event::DownReason;
use crate::wire::handshake::{self, Handshake};

use super::dial::words;
use super::{LinkConfig, LinkHandle, LinkNews, LinkReport, bt, channel};

/// Time for a stranger to say what it wants (limits table).
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// A handshake that came in.
pub type Hello = Handshake;

/// Reads the handshake of a connection that came in.
///
/// # Errors
/// It is not BitTorrent, takes longer than ten seconds, or ends before.
pub async fn read_hello(mut stream: TcpStream) -> Result<(Hello, TcpStream), DownReason> {
    let mut bytes = [0; handshake::LEN];
    let read = timeout(HELLO_LIMIT, stream.read_exact(&mut bytes)).await;
    read.map_err(|_| DownReason::TimedOut("it sent no handshake in time"))?
        .map_err(|error| DownReason::Lost(words(&error)))?;
    let hello =
        Handshake::decode(&bytes).map_err(|error| DownReason::Violated(error.to_string()))?;
    Ok((hello, stream))
}

/// Starts a link on a connection that was let in.
pub fn accept(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    mut stream: TcpStream,
    hello: Hello,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, orders) = channel();
    tokio::spawn(async move {
        let ours = Handshake::ours(config.info_hash, config.peer_id).encode();
        match stream.write_all(&ours).await {
            Ok(()) => bt::run(config, link, address, hello, false, stream, orders, reports).await,
            Err(error) => {
                let news = LinkNews::Down(DownReason::Lost(words(&error)));
                // A torrent that has ended needs no word.
                let _ = reports.send(LinkReport { link, news }).await;
            }
        }
    });
    handle
}
