//! UDP: one socket a family, on the port that the session listens on, for all that is spoken over
//! it. The first byte of a datagram decides who reads it: `d` opens a bencoded dictionary, which
//! only the DHT sends (BEP 5); replies of UDP trackers begin with the high byte of an action, which
//! is 0 (BEP 15). Not here: what datagrams mean, and whom to believe.
//!
//! Each reader has a queue of its own; what does not fit is lost, as on the way. So whoever floods
//! us with one kind starves nobody who waits for another.

mod inbox;
mod refusals;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Error;
use crate::base::addr::canonical;
use inbox::Inbox;

/// The longest datagram that is read whole: a tracker's longest reply has 3.6 KiB.
const DATAGRAM_LEN: usize = 8 << 10;
/// The longest one for the DHT: what its nodes read at most, and more than fits an Ethernet frame.
const DHT_LEN: usize = 1500;
/// Datagrams that wait for a reader: a burst of all replies to a thousand queries has room in
/// this queue and in the system's.
const QUEUE_LEN: usize = 512;
/// Datagrams taken in before anybody else has a turn.
const BATCH: usize = 64;
/// What the system is asked to hold for us while we do other things: some 700 replies. It may
/// give less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// How long a socket is left alone that only tells errors.
const REST: Duration = Duration::from_millis(100);
/// How often a free port of one family may turn out taken in the other.
const ATTEMPTS: usize = 16;

/// The sockets of a session; cheap to clone. Reading ends with the last of them.
#[derive(Clone, Debug)]
pub struct Udp {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    port: u16,
    four: Option<Arc<UdpSocket>>,
    six: Option<Arc<UdpSocket>>,
    /// They end with this.
    _readers: JoinSet<()>,
}

/// What comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UdpNews {
    /// A datagram.
    Datagram {
        /// Its sender, canonical.
        from: SocketAddr,
        /// All of it, or as much as any reader of its kind looks at.
        bytes: Vec<u8>,
    },
    /// The system was told that nobody listens at an address that we sent to (ICMP).
    Refused {
        /// The address, canonical.
        to: SocketAddr,
    },
}

/// The queues of those who read. Whoever does not read drops its queue.
#[derive(Debug)]
pub struct UdpMail {
    /// Datagrams that open a dictionary.
    pub dht: mpsc::Receiver<UdpNews>,
    /// All others.
    pub tracker: mpsc::Receiver<UdpNews>,
}

impl Udp {
    /// Opens `port` of `bind`, or of every address of both families; when somebody has it, any
    /// other, which is told in the log. Port 0 is any. Must run inside the runtime.
    ///
    /// # Errors
    /// `Listen` when the system gives no socket.
    pub fn open(bind: Option<IpAddr>, port: u16) -> Result<(Self, UdpMail), Error> {
        match Self::open_exactly(bind, port) {
            Err(Error::PortTaken { port }) if port > 0 => {
                warn!(port, "another program has this UDP port; any other one is used");
                Ok(Self::start(open_on_any(bind)?))
            }
            opened => opened,
        }
    }

    /// Opens this port and no other; 0 is any. Must run inside the runtime.
    ///
    /// # Errors
    /// `PortTaken` when somebody has it, `Listen` when the system gives no socket.
    pub fn open_exactly(bind: Option<IpAddr>, port: u16) -> Result<(Self, UdpMail), Error> {
        let opened = if port == 0 { open_on_any(bind) } else { open_on(bind, port) };
        Ok(Self::start(opened?))
    }

    fn start([four, six]: Pair) -> (Self, UdpMail) {
        let port = |socket: &Arc<UdpSocket>| socket.local_addr().map(|local| local.port()).ok();
        let port = four.iter().chain(&six).find_map(port).unwrap_or_default();
        let (dht_post, dht) = mpsc::channel(QUEUE_LEN);
        let (tracker_post, tracker) = mpsc::channel(QUEUE_LEN);
        let post = Post { dht: dht_post, tracker: tracker_post };
        let mut readers = JoinSet::new();
        for socket in four.iter().chain(&six) {
            readers.spawn(read(socket.clone(), post.clone()));
        }
        let shared = Shared { port, four, six, _readers: readers };
        (Self { shared: Arc::new(shared) }, UdpMail { dht, tracker })
    }

    /// The port of both families.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Is there a socket of this family?
    pub fn has_v4(&self) -> bool {
        self.shared.four.is_some()
    }

    /// Is there a socket of this family?
    pub fn has_v6(&self) -> bool {
        self.shared.six.is_some()
    }

    /// Sends a datagram, or loses it when the system has no room for it now. Never waits.
    ///
    /// # Errors
    /// When it cannot leave, as when a family has no route.
    pub fn send_or_lose(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let socket = self.socket(to)?;
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(0),
            _ => Err(error),
        };
        // The first error may be an earlier datagram's, which the system tells only once.
        let sent = socket.try_send_to(bytes, to).or_else(lost);
        sent.or_else(|_| socket.try_send_to(bytes, to).or_else(lost)).map(drop)
    }

    /// Sends a datagram, as soon as the system has room for it.
    ///
    /// # Errors
    /// When it cannot leave, as when a family has no route.
    pub async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let socket = self.socket(to)?;
        match socket.send_to(bytes, to).await {
            Ok(_) => Ok(()),
            // It may be an earlier datagram's, which the system tells only once.
            Err(_) => socket.send_to(bytes, to).await.map(drop),
        }
    }

    fn socket(&self, to: SocketAddr) -> io::Result<&UdpSocket> {
        let socket = if to.is_ipv4() { &self.shared.four } else { &self.shared.six };
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        let lacking = || io::Error::other(format!("there is no {family} to send from"));
        socket.as_deref().ok_or_else(lacking)
    }
}

/// The writing ends of the queues.
#[derive(Clone)]
struct Post {
    dht: mpsc::Sender<UdpNews>,
    tracker: mpsc::Sender<UdpNews>,
}

impl Post {
    fn deliver(&self, from: SocketAddr, bytes: &[u8]) {
        match bytes.first() {
            Some(b'd') => {
                let bytes = bytes.get(..DHT_LEN).unwrap_or(bytes).to_vec();
                // In a flood the last ones are lost.
                let _ = self.dht.try_send(UdpNews::Datagram { from, bytes });
            }
            Some(_) => {
                let _ = self.tracker.try_send(UdpNews::Datagram { from, bytes: bytes.to_vec() });
            }
            None => {}
        }
    }

    /// Whoever sent what begins like this is told that nobody listens there.
    fn refuse(&self, to: SocketAddr, first: Option<u8>) {
        let reader = if first == Some(b'd') { &self.dht } else { &self.tracker };
        let _ = reader.try_send(UdpNews::Refused { to });
    }
}

async fn read(socket: Arc<UdpSocket>, post: Post) {
    let mut inbox = Inbox::new();
    loop {
        let Ok(ready) = socket.ready(Interest::READABLE | Interest::ERROR).await else { return };
        let (mut errors, mut count, mut is_empty) = (0, 0, false);
        if ready.is_error() {
            refusals::drain(&socket, BATCH, |to, first| post.refuse(canonical(to), first));
        }
        while !is_empty && count + errors < BATCH {
            let tell = |from, bytes: &[u8]| post.deliver(canonical(from), bytes);
            match inbox.take(&socket, ready.is_error(), tell) {
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_empty = true,
                // What a datagram of ours met is told here, too, but not which one.
                Err(_) => errors += 1,
            }
        }
        match errors {
            BATCH => sleep(REST).await,
            // Whoever reads them has a turn before the next ones come.
            _ if is_empty => {}
            _ => yield_now().await,
        }
    }
}

type Pair = [Option<Arc<UdpSocket>>; 2];

fn open_on_any(bind: Option<IpAddr>) -> Result<Pair, Error> {
    let mut last = open_on(bind, 0);
    for _ in 1..ATTEMPTS {
        if !matches!(last, Err(Error::PortTaken { .. })) {
            break;
        }
        last = open_on(bind, 0);
    }
    last
}

/// Opens one port; the second family takes the port that the first one got.
fn open_on(bind: Option<IpAddr>, port: u16) -> Result<Pair, Error> {
    if let Some(bind) = bind {
        let (socket, _) = open_at(SocketAddr::new(bind, port))?;
        return Ok(if bind.is_ipv4() { [Some(socket), None] } else { [None, Some(socket)] });
    }
    let (four, port) = open_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
    match open_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
        Ok((six, _)) => Ok([Some(four), Some(six)]),
        Err(taken @ Error::PortTaken { .. }) => Err(taken),
        Err(error) => {
            // A machine without IPv6 speaks IPv4 alone.
            debug!(%error, "no UDP over IPv6");
            Ok([Some(four), None])
        }
    }
}

/// The one place where these sockets are made.
fn open_at(address: SocketAddr) -> Result<(Arc<UdpSocket>, u16), Error> {
    let attempt = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        // Less than that is enough where little is going on.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        if let Err(error) = refusals::enable(&socket, address.is_ipv6()) {
            debug!(%error, "the system does not tell who refuses datagrams");
        }
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let port = socket.local_addr()?.port();
        Ok((Arc::new(socket), port))
    };
    attempt().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken { port: address.port() },
        _ => Error::Listen { address, source },
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// Longest wait for something that must come.
    const LIMIT: Duration = Duration::from_secs(10);

    async fn next(queue: &mut mpsc::Receiver<UdpNews>) -> UdpNews {
        timeout(LIMIT, queue.recv()).await.expect("news").expect("the socket is open")
    }

    fn stranger() -> (std::net::UdpSocket, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn datagram(from: SocketAddr, bytes: &[u8]) -> UdpNews {
        UdpNews::Datagram { from, bytes: bytes.to_vec() }
    }

    #[tokio::test]
    async fn the_first_byte_decides_who_reads() {
        let (udp, mut mail) = Udp::open(Some(LOOPBACK), 0).unwrap();
        let (stranger, from) = stranger();
        let to = SocketAddr::new(LOOPBACK, udp.port());
        for bytes in [&b""[..], b"\0\0\0\x01", b"d1:y1:qe", b"A"] {
            stranger.send_to(bytes, to).unwrap();
        }
        assert_eq!(next(&mut mail.dht).await, datagram(from, b"d1:y1:qe"));
        assert_eq!(next(&mut mail.tracker).await, datagram(from, b"\0\0\0\x01"));
        assert_eq!(next(&mut mail.tracker).await, datagram(from, b"A"));
        udp.send(from, b"hello").await.unwrap();
        udp.send_or_lose(from, b"again").unwrap();
        let mut buffer = [0; 9];
        for word in [b"hello", b"again"] {
            assert_eq!(stranger.recv_from(&mut buffer).unwrap(), (5, to));
            assert_eq!(&buffer[..5], word);
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_kind_does_not_hide_the_other() {
        let (udp, mut mail) = Udp::open(Some(LOOPBACK), 0).unwrap();
        let (stranger, from) = stranger();
        let to = SocketAddr::new(LOOPBACK, udp.port());
        let flood = vec![b'd'; 3000];
        for _ in 0..2000 {
            stranger.send_to(&flood, to).unwrap();
            // So that the system's own queue, which all share, does not overflow.
            tokio::task::yield_now().await;
        }
        stranger.send_to(b"\0reply", to).unwrap();
        assert_eq!(next(&mut mail.tracker).await, datagram(from, b"\0reply"));
        let mut count = 0;
        while let Ok(news) = mail.dht.try_recv() {
            assert_eq!(news, datagram(from, &flood[..DHT_LEN]));
            count += 1;
        }
        assert!(count <= QUEUE_LEN, "{count}");
    }

    #[tokio::test]
    async fn who_does_not_listen_is_told_to_whom_it_matters_and_others_are_reached_meanwhile() {
        let (udp, mut mail) = Udp::open(Some(LOOPBACK), 0).unwrap();
        let dead = |_| {
            let (gone, address) = stranger();
            drop(gone);
            address
        };
        let [one, two] = [(); 2].map(dead);
        udp.send(one, b"d1:q").await.unwrap();
        assert_eq!(next(&mut mail.dht).await, UdpNews::Refused { to: one });
        udp.send(two, b"\0\0\x04\x17").await.unwrap();
        assert_eq!(next(&mut mail.tracker).await, UdpNews::Refused { to: two });
        let (alive, address) = stranger();
        for _ in 0..20 {
            udp.send_or_lose(one, b"d").unwrap();
            udp.send_or_lose(address, b"x").unwrap();
        }
        alive.set_read_timeout(Some(LIMIT)).unwrap();
        for _ in 0..20 {
            assert_eq!(alive.recv(&mut [0; 9]).unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn both_families_share_a_port_and_a_taken_one_gives_way_to_another() {
        let (first, _mail) = Udp::open(None, 0).unwrap();
        assert!(first.has_v4());
        let (second, _mail) = Udp::open(None, first.port()).unwrap();
        assert_ne!(first.port(), second.port());
        if first.has_v6() {
            let six = first.shared.six.as_ref().unwrap();
            assert_eq!(six.local_addr().unwrap().port(), first.port());
        }
        let (four, _mail) = Udp::open(Some(LOOPBACK), 0).unwrap();
        assert!(four.has_v4() && !four.has_v6());
        let error = four.send(SocketAddr::from((Ipv6Addr::LOCALHOST, 1)), b"x").await.unwrap_err();
        assert_eq!(error.to_string(), "there is no IPv6 to send from");
    }
}
