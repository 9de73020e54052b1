//! Links that we open. Each is tried in the way that is likelier to be taken, with an encrypted
//! handshake or a plain one, and where that may be at once in the other if nothing was heard, or
//! a plain answer to a key: a peer that has answered to a way speaks it, and whatever it does then
//! means something else. One that was silent may have been lost on the way: that it takes an
//! encrypted handshake is not ruled out by that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;

use crate::base::ids::LinkId;
use crate::net::egress::Purpose;
use crate::swarm::event::DownReason;
use crate::wire::mse::{self, Method, Way, Ways};
use crate::wire::{Handshake, PROTOCOL};

use super::bt::{self, BitTorrent};
use super::config::LinkConfig;
use super::dialect::Opened;
use super::error::{Error, not_dialled};
use super::report::{LinkHandle, LinkReport};
use super::secrecy::{self, Beginning, Hidden};
use super::stream::{ReadSide, Stream, WriteSide};
use super::task::{self, Context};

/// How long to hear nothing before the other way is tried.
const FALL_BACK_AFTER: Duration = Duration::from_secs(5);

/// Connects to a peer of which `known` is known, and runs the link; never waits. `reports` gets
/// `Up` and later `Down`, or `Down` alone.
pub fn dial(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    known: Ways,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, commands) = LinkHandle::new();
    let opening = {
        let config = config.clone();
        async move { open(&config, address, known).await }
    };
    tokio::spawn(
        task::run(Context { config, link, address, reports, commands }, opening).in_current_span(),
    );
    handle
}

async fn open(
    config: &LinkConfig,
    address: SocketAddr,
    known: Ways,
) -> Result<Opened<BitTorrent>, DownReason> {
    let (first, other) = config.secrecy.policy.attempts(known);
    let deadline = Instant::now() + config.timeouts.connect + config.timeouts.handshake;
    let patience = other.map_or(config.timeouts.handshake, |_| FALL_BACK_AFTER);
    let mut attempt = Attempt {
        config,
        address,
        patience,
        has_heard: false,
        is_plain: false,
        has_hung_up: false,
    };
    let tried = attempt.run(first).await;
    let Some(other) = other else {
        return tried.map_err(|why| match attempt.has_heard {
            true => why,
            false => with_guess(why, first),
        });
    };
    match tried {
        Err(DownReason::HandshakeFailed(_)) if !attempt.has_heard || attempt.is_plain => {
            let (patience, was_answered) =
                (config.timeouts.handshake, attempt.is_plain || attempt.has_hung_up);
            let mut again = Attempt { patience, has_heard: false, ..attempt };
            // Both together take no longer than one may.
            let opened = timeout_at(deadline, again.run(other)).await;
            let mut opened = opened.unwrap_or_else(|_| Err(Error::Silent.into()))?;
            if other == Way::Plain && !was_answered {
                opened.dialect.doubt_way();
            }
            Ok(opened)
        }
        tried => tried,
    }
}

/// A peer that says nothing where only one way of beginning may be tried perhaps takes the other
/// one, which is the user's to allow.
fn with_guess(why: DownReason, only: Way) -> DownReason {
    let DownReason::HandshakeFailed(why) = why else { return why };
    let guess = match only {
        Way::Plain => "it may require encryption, which is off here",
        Way::Encrypted => "it may not know encryption, which is required here",
    };
    DownReason::HandshakeFailed(format!("{why}; {guess}"))
}

/// Did the remote end the connection, and not the network?
fn is_end(cause: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(cause.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

type Sides = (ReadSide, WriteSide);

/// A connection on which both handshakes were said.
struct Exchanged {
    read: ReadSide,
    write: WriteSide,
    remote: Handshake,
    mse: Option<Method>,
}

/// One connection to a peer.
struct Attempt<'a> {
    config: &'a LinkConfig,
    address: SocketAddr,
    /// How long to wait for the first byte.
    patience: Duration,
    /// Has the remote said anything?
    has_heard: bool,
    /// It has answered our key plainly.
    is_plain: bool,
    /// It has ended the connection before both handshakes were said.
    has_hung_up: bool,
}

impl Attempt<'_> {
    async fn run(&mut self, way: Way) -> Result<Opened<BitTorrent>, DownReason> {
        let (config, address) = (self.config, self.address);
        let to = address.into();
        let connecting = config.egress.connect(&to, Purpose::Peer, config.timeouts.connect);
        let stream = connecting.await.map_err(not_dialled)?;
        let sides = Stream::Tcp(stream).split();
        let exchange = async {
            match way {
                Way::Plain => self.plainly(sides).await,
                Way::Encrypted => self.hidden(sides).await,
            }
        };
        let limit = config.timeouts.handshake;
        let exchanged = timeout(limit, exchange).await.unwrap_or(Err(Error::Silent));
        self.has_hung_up = matches!(&exchanged, Err(Error::Lost(cause)) if is_end(cause));
        let Exchanged { read, write, remote, mse } = exchanged?;
        if remote.info_hash != config.info_hash {
            return Err(DownReason::Violated("it answered for another torrent".to_owned()));
        }
        // Only whom we dial needs to be told our port.
        let port = config.ports.as_ref().map(|ports| ports.peers_towards(address.ip()));
        let dialect = BitTorrent::new(config, &remote, mse, address, port);
        Ok(Opened { read, write, dialect })
    }

    async fn plainly(&mut self, (mut read, mut write): Sides) -> Result<Exchanged, Error> {
        bt::send_handshake(&mut write, self.config, self.config.info_hash).await?;
        let mut first = [0; PROTOCOL.len()];
        let len = self.hear(&mut read, &mut first).await?;
        let remote = bt::read_handshake(&mut read, first.get(..len).unwrap_or_default()).await?;
        Ok(Exchanged { read, write, remote, mse: None })
    }

    async fn hidden(&mut self, sides: Sides) -> Result<Exchanged, Error> {
        let config = self.config;
        let ours = bt::handshake(config, config.info_hash).encode();
        let hear = async |read: &mut ReadSide, bytes: &mut [u8]| self.hear(read, bytes).await;
        match secrecy::open(sides, config.info_hash, &ours, &config.secrecy, hear).await? {
            // It has answered our key as if it were a handshake. What it makes of the bytes that
            // it has not read yet nobody knows: they are none of a new connection's.
            Beginning::Plain(..) => {
                self.is_plain = true;
                Err(mse::Error::Plain.into())
            }
            Beginning::Hidden(Hidden { mut read, write, method, .. }) => {
                let remote = bt::read_handshake(&mut read, &[]).await?;
                Ok(Exchanged { read, write, remote, mse: Some(method) })
            }
        }
    }

    /// The first bytes that the remote says.
    async fn hear(&mut self, read: &mut ReadSide, bytes: &mut [u8]) -> Result<usize, Error> {
        let heard = timeout(self.patience, read.read(bytes)).await;
        match heard.map_err(|_| Error::Silent)?? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            len => {
                self.has_heard = true;
                Ok(len)
            }
        }
    }
}
