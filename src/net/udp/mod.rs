//! UDP: one socket a family, on the port that the session listens on, for all that is spoken over
//! it. The first byte of a datagram decides who reads it: `d` opens a bencoded dictionary, which
//! only the DHT sends (BEP 5); replies of UDP trackers begin with the high byte of an action, which
//! is 0 (BEP 15). Not here: what datagrams mean, and whom to believe.
//!
//! When the device that they belong to is gone, so are the sockets, and nothing is sent until it is
//! back; through a proxy one relay stands for both. `keeper` sees to either.
//!
//! Each reader has a queue of its own; what does not fit is lost, as on the way. So whoever floods
//! us with one kind starves nobody who waits for another.

mod inbox;
mod keeper;
mod line;
mod pair;
mod post;
mod refusals;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::Error;
use super::egress::{Egress, Purpose};

pub use post::UdpNews;

use line::{Line, socket_of};
use pair::open_pair;
use post::Post;

/// Datagrams that wait for a reader: a burst of all replies to a thousand queries has room in
/// this queue and in the system's.
const QUEUE_LEN: usize = 512;

/// The sockets of a session; cheap to clone. Reading ends with the last of them.
#[derive(Clone, Debug)]
pub struct Udp {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    port: watch::Receiver<u16>,
    /// Which families there are, or may be.
    has_v4: bool,
    has_v6: bool,
    line: watch::Receiver<Line>,
    /// It ends with this, and those who read with it.
    _keeper: JoinSet<()>,
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
    /// Opens `port` where `egress` says, of every address of both families if it says nothing; when
    /// somebody has it, any other, which is told in the log. Port 0 is any. While nothing leaves,
    /// it is opened later. Must run inside the runtime.
    ///
    /// # Errors
    /// `Listen` when the system gives no socket.
    pub fn open(egress: &Egress, port: u16) -> Result<(Self, UdpMail), Error> {
        match Self::open_exactly(egress, port) {
            Err(Error::PortTaken { port }) if port > 0 => {
                warn!(port, "another program has this UDP port; any other one is used");
                Self::open_exactly(egress, 0)
            }
            opened => opened,
        }
    }

    /// Opens this port and no other; 0 is any. Must run inside the runtime.
    ///
    /// # Errors
    /// `PortTaken` when somebody has it, `Listen` when the system gives no socket.
    pub fn open_exactly(egress: &Egress, port: u16) -> Result<(Self, UdpMail), Error> {
        let is_relayed = egress.is_proxied(Purpose::Dht);
        let opened = match (!is_relayed).then(|| open_pair(egress, port)) {
            Some(Err(Error::Held { .. })) | None => None,
            Some(opened) => Some(opened?),
        };
        // A device may come to have the other family, too.
        let may_come = egress.policy().device.is_some() && egress.policy().bind.is_none();
        let has = |family: usize| {
            may_come || opened.as_ref().is_none_or(|opened| opened.pair[family].is_some())
        };
        let (has_v4, has_v6) = (has(0), has(1));
        let (dht_post, dht) = mpsc::channel(QUEUE_LEN);
        let (tracker_post, tracker) = mpsc::channel(QUEUE_LEN);
        let post = Post { dht: dht_post, tracker: tracker_post };
        let not_yet = Line::Closed { why: "it is not open yet".into(), is_brief: true };
        let (told_line, line) = watch::channel(not_yet);
        let (told_port, its_port) = watch::channel(port);
        let told = keeper::Told { line: told_line, port: told_port };
        if let Some(opened) = &opened {
            told.open(&opened.pair);
        }
        let port = *its_port.borrow();
        let mut keeper = JoinSet::new();
        keeper.spawn(keeper::run(egress.clone(), port, opened, told, post));
        let shared = Shared { port: its_port, has_v4, has_v6, line, _keeper: keeper };
        Ok((Self { shared: Arc::new(shared) }, UdpMail { dht, tracker }))
    }

    /// The port of both families: another one where somebody took it while nothing left.
    pub fn port(&self) -> u16 {
        *self.shared.port.borrow()
    }

    /// Tells of it also when there are no sockets any more.
    pub fn port_told(&self) -> watch::Receiver<u16> {
        self.shared.port.clone()
    }

    /// Is this family spoken, or may it be?
    pub fn has_v4(&self) -> bool {
        self.shared.has_v4
    }

    /// Is this family spoken, or may it be?
    pub fn has_v6(&self) -> bool {
        self.shared.has_v6
    }

    /// Sends a datagram, or loses it when the system has no room for it now. Never waits.
    ///
    /// # Errors
    /// When it cannot leave, as when a family has no route.
    pub fn send_or_lose(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(error),
        };
        let line = self.line();
        let once = || match &line {
            Line::Own(pair) => socket_of(pair, to)?.try_send_to(bytes, to).map(drop).or_else(lost),
            Line::Relay(relay) => relay.try_send(to, bytes).or_else(lost),
            Line::Closed { why, .. } => Err(io::Error::other(why.to_string())),
        };
        // The first error may be an earlier datagram's, which the system tells only once.
        once().or_else(|_| once())
    }

    /// Sends a datagram, as soon as the system has room for it.
    ///
    /// # Errors
    /// When it cannot leave, as when a family has no route.
    pub async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let line = self.line();
        match line.send(to, bytes).await {
            Ok(()) => Ok(()),
            // It may be an earlier datagram's, which the system tells only once.
            Err(_) => line.send(to, bytes).await,
        }
    }

    /// Does nothing leave now, but may soon: the device is away, or a relay is still asked for?
    pub fn is_waiting(&self) -> bool {
        self.line().is_waiting()
    }

    /// Returns when that is over.
    pub async fn waited(&self) {
        let mut line = self.shared.line.clone();
        // The keeper ends with us.
        let _ = line.wait_for(|line| !line.is_waiting()).await;
    }

    fn line(&self) -> Line {
        self.shared.line.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use tokio::net::UdpSocket;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::post::DHT_LEN;
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn loopback() -> Egress {
        Egress::from_address(Some(LOOPBACK))
    }
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
        let (udp, mut mail) = Udp::open(&loopback(), 0).unwrap();
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
        let (udp, mut mail) = Udp::open(&loopback(), 0).unwrap();
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
        let (udp, mut mail) = Udp::open(&loopback(), 0).unwrap();
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
        let (first, _mail) = Udp::open(&Egress::default(), 0).unwrap();
        assert!(first.has_v4());
        let (second, _mail) = Udp::open(&Egress::default(), first.port()).unwrap();
        assert_ne!(first.port(), second.port());
        if first.has_v6() {
            let Line::Own([_, Some(six)]) = first.line() else { panic!("no IPv6") };
            assert_eq!(six.local_addr().unwrap().port(), first.port());
        }
        let (four, _mail) = Udp::open(&loopback(), 0).unwrap();
        assert!(four.has_v4() && !four.has_v6());
        let error = four.send(SocketAddr::from((Ipv6Addr::LOCALHOST, 1)), b"x").await.unwrap_err();
        assert_eq!(error.to_string(), "there is no IPv6 to send from");
    }

    #[tokio::test]
    async fn a_family_that_could_not_be_opened_is_tried_again_and_a_taken_port_given_up() {
        let device = Some("lo".to_owned());
        let egress = Egress::new(crate::net::egress::Policy { device, ..Default::default() });
        let mut opened = open_pair(&egress, 0).unwrap();
        let port = opened.pair[0].as_ref().unwrap().local_addr().unwrap().port();
        let again = keeper::open_again(&egress, port, &mut false).unwrap();
        assert_ne!(again.pair[0].as_ref().unwrap().local_addr().unwrap().port(), port);
        if opened.lacks_one() {
            return eprintln!("skipped: the loopback has one family");
        }
        let six = opened.pair[1].take();
        assert!(opened.complete(&egress).is_none(), "somebody has it still");
        drop(six);
        assert_eq!(opened.complete(&egress).unwrap().local_addr().unwrap().port(), port);
        assert!(!opened.lacks_one() && opened.place == egress.standing().place);
        let (udp, _mail) = Udp::open(&egress, 0).unwrap();
        assert!(udp.has_v4() && udp.has_v6(), "either may come");
    }

    /// A proxy that grants one relay, and how long it holds it is the caller's.
    async fn relayed() -> (Egress, tokio::task::JoinHandle<tokio::net::TcpStream>, UdpSocket) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("socks5://{}", listener.local_addr().unwrap()).parse().ok();
        let port = relay.local_addr().unwrap().port().to_be_bytes();
        let control = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 3]).await.unwrap();
            stream.write_all(&[5, 0]).await.unwrap();
            stream.read_exact(&mut [0; 10]).await.unwrap();
            stream.write_all(&[&[5, 0, 0, 1, 0, 0, 0, 0][..], &port].concat()).await.unwrap();
            stream
        });
        (Egress::new(crate::net::egress::Policy { proxy, ..Default::default() }), control, relay)
    }

    #[tokio::test]
    async fn through_a_proxy_datagrams_go_by_its_relay_for_as_long_as_it_holds() {
        let (egress, control, relay) = relayed().await;
        let (udp, mut mail) = Udp::open(&egress, 0).unwrap();
        let far: SocketAddr = "198.51.100.7:6881".parse().unwrap();
        assert!(udp.send(far, b"d").await.is_err(), "there is no relay yet");
        let stream = timeout(LIMIT, control).await.unwrap().unwrap();
        let sent = async {
            while udp.send(far, b"d1:q").await.is_err() {
                yield_now().await;
            }
        };
        timeout(LIMIT, sent).await.unwrap();
        let mut room = [0; 64];
        let (len, ours) = timeout(LIMIT, relay.recv_from(&mut room)).await.unwrap().unwrap();
        assert_eq!(room[..len], [0, 0, 0, 1, 198, 51, 100, 7, 0x1a, 0xe1, b'd', b'1', b':', b'q']);
        // Only the relay is heard.
        let (stranger, _) = stranger();
        stranger.send_to(b"\0\0\0\x01\x01\x02\x03\x04\0\x09d", ours).unwrap();
        relay.send_to(&room[..len], ours).await.unwrap();
        assert_eq!(next(&mut mail.dht).await, datagram(far, b"d1:q"));
        drop(stream);
        let closed = async {
            while udp.send(far, b"d").await.is_ok() {
                yield_now().await;
            }
        };
        timeout(LIMIT, closed).await.unwrap();
        assert!(mail.dht.try_recv().is_err());
        let mut watch = egress.watch();
        let told = watch.wait_for(|standing| standing.relay_trouble.is_some());
        timeout(LIMIT, told).await.unwrap().unwrap();
    }
}
