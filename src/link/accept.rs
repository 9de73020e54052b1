//! Links that others open. The info-hash is read first, so that whoever owns several
//! torrents can choose one; our answer tells nothing before that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::swarm::event::DownReason;
use crate::wire::{self, Extensions, HELLO_LEN, Handshake, PEER_ID_LEN};

use super::bt::{self, BitTorrent};
use super::dialect::Opened;
use super::task::{self, Context};
use super::{Error, LinkConfig, LinkHandle, LinkReport, Stream};

/// The first part of a stranger's handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// What it can do.
    pub extensions: Extensions,
    /// The torrent it wants.
    pub info_hash: InfoHash,
}

/// Reads the first part of the handshake on a connection that came in. Give the stream to
/// [`accept`], or drop it when the torrent is not ours.
///
/// # Errors
/// When the remote says nothing within `timeout`, goes away, or speaks something else.
pub async fn read_hello(mut stream: Stream, timeout: Duration) -> Result<(Hello, Stream), Error> {
    let mut bytes = [0; HELLO_LEN];
    match tokio::time::timeout(timeout, stream.read_exact(&mut bytes)).await {
        Ok(read) => read?,
        Err(_) => return Err(Error::Silent),
    };
    let (extensions, info_hash) = wire::read_hello(&bytes)?;
    Ok((Hello { extensions, info_hash }, stream))
}

/// Answers the handshake and runs the link; never waits. `address` is the remote's end.
/// `reports` gets `Up` and later `Down`, or `Down` alone.
pub fn accept(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    stream: Stream,
    hello: Hello,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, commands) = LinkHandle::new();
    let opening = {
        let config = config.clone();
        async move { answer(stream, hello, address, &config).await }
    };
    tokio::spawn(
        task::run(Context { config, link, address, reports, commands }, opening).in_current_span(),
    );
    handle
}

async fn answer(
    stream: Stream,
    hello: Hello,
    address: SocketAddr,
    config: &LinkConfig,
) -> Result<Opened<BitTorrent>, DownReason> {
    let (mut read, mut write) = stream.split();
    let exchange = async {
        // A hybrid has two names: whoever calls is answered by the one that it knows.
        bt::send_handshake(&mut write, config, hello.info_hash).await?;
        let mut peer_id = [0; PEER_ID_LEN];
        read.read_exact(&mut peer_id).await?;
        Ok(PeerId(peer_id))
    };
    let exchanged: Result<_, Error> = tokio::time::timeout(config.timeouts.handshake, exchange)
        .await
        .unwrap_or(Err(Error::Silent));
    let Hello { extensions, info_hash } = hello;
    let remote = Handshake { extensions, info_hash, peer_id: exchanged? };
    // Whoever dialled us knows our port.
    let dialect = BitTorrent::new(config, &remote, address, None);
    Ok(Opened { read, write, dialect })
}
