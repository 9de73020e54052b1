//! The tracker: answers GET_FILE_INFO over TCP with what the configuration files say at that
//! time, and DISCOVER_TRACKER over UDP with where it listens. The list is only a claim; nobody
//! asks the providers. Not here: connections (`server`) and the files (`config`).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::base::addr::host_key;
use crate::base::ration::Ration;
use crate::net::egress::{Egress, address_towards};

use super::config::Live;
use super::ini::{self, FileDescription, Peers};
use super::server::{self, Request, Role, send};
use super::wire::{self, ErrorCode, FILE_INFO_LEN_MAX, Kind, Message, TrackerInfo};

/// Requests waiting for the list. More than that makes a client wait, not memory grow.
const QUEUE_LEN: usize = 64;
/// Longer than any datagram over IPv4, so that none is cut.
const DATAGRAM_LEN_MAX: usize = 1 << 16;
/// Datagrams of one host that are answered in a second: all who sit behind one address at once,
/// and a client that is tried out.
const ANSWERS_PER_S: u32 = 100;
/// Rest when the socket cannot be read, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// Opens the socket to be discovered at: port `port` (0 is any) of every address, because
/// broadcasts come to no other. Several trackers of one machine may share the port; each gets
/// the broadcasts. Must run inside the runtime.
///
/// # Errors
/// What the system says: `AddrInUse` when a program that does not share has the port.
pub fn bind_discovery(port: u16) -> io::Result<UdpSocket> {
    Egress::default().shared_port(true, port)
}

/// Why there is no list to give out; the text is about `file.ini` and does not name it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files do not fit each other.
    #[error(transparent)]
    Content(#[from] ini::Error),
    /// The list has no place in a message.
    #[error(transparent)]
    Encode(#[from] wire::Error),
}

/// What the tracker gives out: a whole FILE_INFO. Made from the files again when they change.
#[derive(Debug)]
pub struct Listing {
    config: Live,
    made_of: (Arc<Peers>, Arc<FileDescription>),
    message: Arc<Vec<u8>>,
}

impl Listing {
    /// Makes the list of the files as they are now; blocks to read them.
    ///
    /// # Errors
    /// When `file.ini` names a provider that `peers.ini` does not, or the list is too long
    /// for a message.
    pub fn new(mut config: Live) -> Result<Self, Error> {
        // What was wrong with a file was told when it was opened, or will be at its change.
        let (peers, file, _) = config.current();
        let message = Arc::new(encode(&peers, &file)?);
        Ok(Self { config, made_of: (peers, file), message })
    }

    /// The file as it was when last asked for.
    pub fn file(&self) -> &FileDescription {
        &self.made_of.1
    }

    /// The message for the files as they are now. While they are wrong the last good one
    /// stays; each trouble is logged once.
    fn current(&mut self) -> Arc<Vec<u8>> {
        let (peers, file, errors) = self.config.current();
        for error in errors {
            warn!("{error}; the tracker goes on with what it had");
        }
        let is_same = Arc::ptr_eq(&peers, &self.made_of.0) && Arc::ptr_eq(&file, &self.made_of.1);
        if !is_same {
            match encode(&peers, &file) {
                Ok(message) => self.message = Arc::new(message),
                Err(error) => warn!("file.ini: {error}; the tracker goes on with what it had"),
            }
            self.made_of = (peers, file);
        }
        self.message.clone()
    }
}

fn encode(peers: &Peers, file: &FileDescription) -> Result<Vec<u8>, Error> {
    let mut message = Vec::new();
    Message::FileInfo(file.listing(peers)?).encode(&mut message)?;
    let (len, most) = (message.len() as u64, FILE_INFO_LEN_MAX as u64);
    if len > most {
        return Err(Error::Encode(wire::Error::TooLarge { what: "FILE_INFO", len, most }));
    }
    Ok(message)
}

/// Serves `listing` over `tcp`, and over `udp` tells everybody who looks for a tracker where
/// `tcp` listens and that it is called `name`, until `end` is ready.
pub async fn serve(
    tcp: TcpListener,
    udp: UdpSocket,
    listing: Listing,
    name: String,
    end: impl Future<Output = ()>,
) {
    let (errands, queue) = mpsc::channel(QUEUE_LEN);
    let address = tcp.local_addr();
    let keeper = keep(listing, queue);
    let discovery = async {
        match address {
            Ok(SocketAddr::V4(address)) => be_discovered(udp, address, name).await,
            // An address of the other family has no place in a TRACKER_INFO.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = server::serve(tcp, Tracker { errands }, end) => {}
        () = keeper => {}
        () = discovery => {}
    }
}

type Errand = oneshot::Sender<Arc<Vec<u8>>>;

/// The list's only owner.
async fn keep(mut listing: Listing, mut queue: mpsc::Receiver<Errand>) {
    while let Some(answer) = queue.recv().await {
        // A client that hung up needs no answer.
        let _ = answer.send(listing.current());
    }
}

struct Tracker {
    errands: mpsc::Sender<Errand>,
}

impl Role for Tracker {
    async fn answer(
        &self,
        request: Request,
        stream: &TcpStream,
    ) -> io::Result<Result<u64, ErrorCode>> {
        if request != Request::FileInfo {
            return Ok(Err(ErrorCode::InvalidRequest));
        }
        let (answer, message) = oneshot::channel();
        let ended = |_| io::Error::other("the tracker ends");
        self.errands.send(answer).await.map_err(|_| io::Error::other("the tracker ends"))?;
        let message = message.await.map_err(ended)?;
        send(stream, &message).await?;
        debug!(len = message.len(), "sent the list");
        Ok(Ok(message.len() as u64))
    }
}

/// Answers datagrams for ever.
async fn be_discovered(udp: UdpSocket, address: SocketAddrV4, name: String) {
    let mut datagram = vec![0; DATAGRAM_LEN_MAX];
    let mut ration = Ration::new(ANSWERS_PER_S, Duration::from_secs(1));
    loop {
        let (len, sender) = match udp.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot be discovered");
                sleep(REST).await;
                continue;
            }
        };
        let bytes = datagram.get(..len).unwrap_or_default();
        let reply = match judge(bytes) {
            Verdict::Discover => tracker_info(reachable(address, sender), &name),
            Verdict::Wrong(code) => {
                debug!(%sender, %code, "a datagram that is no request");
                wire::error(code).to_vec()
            }
            Verdict::Silence => continue,
        };
        if !ration.take(host_key(sender.ip()), Instant::now()) {
            continue;
        }
        if let Err(error) = udp.send_to(&reply, sender).await {
            debug!(%sender, %error, "cannot answer");
        }
    }
}

/// What a datagram deserves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Discover,
    Wrong(ErrorCode),
    Silence,
}

fn judge(bytes: &[u8]) -> Verdict {
    // Two servers that answer ERROR with ERROR would never stop, and a forged source address
    // is enough to set them on each other. A malformed ERROR counts, too: their encoder may
    // have a fault.
    if bytes.get(1) == Some(&(Kind::Error as u8)) {
        return Verdict::Silence;
    }
    match Message::decode(bytes) {
        Ok(Message::DiscoverTracker) => Verdict::Discover,
        Ok(_) => Verdict::Wrong(ErrorCode::InvalidRequest),
        Err(_) => Verdict::Wrong(ErrorCode::InvalidMessageFormat),
    }
}

fn tracker_info(address: SocketAddrV4, name: &str) -> Vec<u8> {
    let mut reply = Vec::new();
    let info = TrackerInfo { address, name: name.to_owned() };
    if Message::TrackerInfo(info).encode(&mut reply).is_err() {
        // Only a name can be too long.
        let info = TrackerInfo { address, name: String::new() };
        let _ = Message::TrackerInfo(info).encode(&mut reply);
    }
    reply
}

/// The address that `client` reaches us at: a tracker that listens on every address has to
/// name the one on the way to the client.
fn reachable(address: SocketAddrV4, client: SocketAddr) -> SocketAddrV4 {
    if !address.ip().is_unspecified() {
        return address;
    }
    match address_towards(client) {
        Some(IpAddr::V4(own)) => SocketAddrV4::new(own, address.port()),
        _ => address,
    }
}
