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
use crate::wire::mse::{self, Method};
use crate::wire::{self, Extensions, HELLO_LEN, Handshake, PEER_ID_LEN, PROTOCOL};

use super::bt::{self, BitTorrent};
use super::config::LinkConfig;
use super::dialect::Opened;
use super::error::Error;
use super::report::{LinkHandle, LinkReport};
use super::secrecy::{self, Beginning, Door, Hidden};
use super::stream::{Begun, ReadSide, Stream};
use super::task::{self, Context};

/// The first part of a stranger's handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// What it can do.
    pub extensions: Extensions,
    /// The torrent it wants.
    pub info_hash: InfoHash,
    /// What hides the connection, if it began with an encrypted handshake.
    pub mse: Option<Method>,
    /// What came of its peer id already.
    early: Vec<u8>,
}

/// Reads the first part of the handshake on a connection that came in, plain or encrypted as the
/// door says. Give the stream to [`accept`], or drop it when the torrent is not ours.
///
/// # Errors
/// When the remote says nothing within `timeout`, goes away, speaks something else, or in a way
/// that is not taken.
pub async fn read_hello(
    stream: Stream,
    timeout: Duration,
    door: &Door,
) -> Result<(Hello, Stream), Error> {
    match tokio::time::timeout(timeout, hear_hello(stream, door)).await {
        Ok(heard) => heard,
        Err(_) => Err(Error::Silent),
    }
}

async fn hear_hello(stream: Stream, door: &Door) -> Result<(Hello, Stream), Error> {
    if !door.policy().takes_encrypted() {
        let (mut read, write) = stream.split();
        let hello = hello_on(&mut read, &[], None).await?;
        return Ok((hello, Stream::Begun(Begun { read, write })));
    }
    let (hello, read, write) = match secrecy::take(stream.split(), door).await? {
        Beginning::Plain(..) if !door.policy().takes_plain() => {
            return Err(mse::Error::Plain.into());
        }
        Beginning::Plain(mut read, write) => {
            (hello_on(&mut read, PROTOCOL, None).await?, read, write)
        }
        Beginning::Hidden(Hidden { mut read, write, torrent, initial, method }) => {
            let hello = hello_on(&mut read, &initial, Some(method)).await?;
            if hello.info_hash != torrent {
                return Err(mse::Error::OtherTorrent.into());
            }
            (hello, read, write)
        }
    };
    Ok((hello, Stream::Begun(Begun { read, write })))
}

/// The hello that begins with `begun`; of that nothing more is read than it lacks.
async fn hello_on(read: &mut ReadSide, begun: &[u8], mse: Option<Method>) -> Result<Hello, Error> {
    let mut bytes = [0; HELLO_LEN];
    let (hello, early) = begun.split_at_checked(HELLO_LEN).unwrap_or((begun, &[]));
    let (known, missing) = bytes.split_at_mut(hello.len());
    known.copy_from_slice(hello);
    read.read_exact(missing).await?;
    let (extensions, info_hash) = wire::read_hello(&bytes)?;
    Ok(Hello { extensions, info_hash, mse, early: early.to_vec() })
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
    let Hello { extensions, info_hash, mse, early } = hello;
    let exchange = async {
        // A hybrid has two names: whoever calls is answered by the one that it knows.
        bt::send_handshake(&mut write, config, info_hash).await?;
        let mut peer_id = [0; PEER_ID_LEN];
        let (known, missing) = peer_id.split_at_mut(early.len().min(PEER_ID_LEN));
        known.copy_from_slice(early.get(..known.len()).unwrap_or_default());
        read.read_exact(missing).await?;
        Ok(PeerId(peer_id))
    };
    let exchanged: Result<_, Error> = tokio::time::timeout(config.timeouts.handshake, exchange)
        .await
        .unwrap_or(Err(Error::Silent));
    let remote = Handshake { extensions, info_hash, peer_id: exchanged? };
    // Whoever dialled us knows our port.
    let dialect = BitTorrent::new(config, &remote, mse, address, None);
    Ok(Opened { read, write, dialect })
}
