//! Trackers of the local network find each other and are found without an address typed: a
//! question by multicast and broadcast, an answer from each tracker. Both sides. Not here: what
//! is asked of a tracker that was found; nobody has checked that it answers.
//!
//! The protocol is our own, over UDP and IPv4. All numbers are big endian.
//!
//! ```text
//! question, 96 bytes, to port 6770 of 239.192.152.144, of 255.255.255.255 and 127.255.255.255,
//! and of the broadcast address of each network that this machine is in
//!   0  8  "PIGEON?" and the version, 1
//!   8  8  nonce
//!  16     zeros, so that no answer is longer than its question
//! answer, at most 96 bytes, to where the question came from
//!   0  8  "PIGEON!" and the version, 1
//!   8  8  the question's nonce
//!  16  8  which tracker: the beginning of its key (`proof`), or random
//!  24  4  where it listens over HTTP; 0.0.0.0 is where the answer comes from
//!  28  2  on which port
//!  30  1  length of its name, at most 64
//!  31     its name, UTF-8
//! ```
//!
//! A tracker that listens on loopback only answers questions of its own machine. An asker
//! believes another machine only what it says about itself, and keeps the answers of all: which
//! tracker it is, anybody can copy, so two that say the same are two until one has shown it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::base::addr::{Host, host_key};
use crate::base::ration::Ration;
use crate::metainfo::clean_name;
use crate::net::egress::{Egress, Purpose, is_own};

/// The UDP port of trackers that can be found.
pub const FIND_PORT: u16 = 6770;

/// Of the block that an organisation may use as it likes (RFC 2365).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 144);
/// Everybody on this machine, however many share the port.
const THIS_MACHINE: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

const QUESTION: &[u8; 8] = b"PIGEON?\x01";
const ANSWER: &[u8; 8] = b"PIGEON!\x01";
const QUESTION_LEN: usize = 96;
const NAME_LEN_MAX: usize = 64;
const HEAD_LEN: usize = 31;

/// Answers of a tracker to one host in a second.
const ANSWERS_PER_S: u32 = 20;
/// When the question is sent, in milliseconds from the start: a datagram may get lost.
const ASK_AT_MS: [u64; 3] = [0, 250, 500];
/// More trackers than anybody would choose from, of one host: no other loses its place to it.
const TRACKERS_HOST_MAX: usize = 16;
/// And of all hosts, whose addresses may be forged.
const TRACKERS_MAX: usize = 1024;
/// Networks of this machine that are asked.
const NETWORKS_MAX: usize = 16;
/// Rest when the socket cannot be read, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// A tracker that answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundTracker {
    /// Where to ask it: `http://ADDRESS:PORT`, to which `/announce` and the like are added.
    pub url: String,
    /// What it calls itself; cleaned, and still a stranger's text.
    pub name: String,
    /// Which tracker it says it is: the beginning of its key, which anybody can copy.
    pub instance: [u8; 8],
}

/// A tracker that wants to be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beacon {
    /// Where it listens over HTTP: unspecified for every address.
    pub http: SocketAddrV4,
    /// What it calls itself, cut to 64 bytes.
    pub name: String,
    /// Which tracker it is: the beginning of its key, or random.
    pub instance: [u8; 8],
}

/// Opens the socket to be found at; several trackers of one machine may share `port`. Must run
/// inside the runtime.
///
/// # Errors
/// What the system says: `AddrInUse` when a program that does not share has the port.
pub fn bind(port: u16) -> io::Result<UdpSocket> {
    let socket = Egress::default().shared_port(true, port)?;
    // A machine without a way to the group still gets broadcasts.
    if let Err(error) = socket.join_multicast_v4(GROUP, Ipv4Addr::UNSPECIFIED) {
        debug!(%error, "no multicast");
    }
    Ok(socket)
}

/// Answers questions that come to `socket` for ever.
pub async fn be_found(socket: UdpSocket, beacon: Beacon) {
    let instance = beacon.instance;
    let name = beacon.name.get(..beacon.name.floor_char_boundary(NAME_LEN_MAX)).unwrap_or_default();
    let own = *beacon.http.ip();
    // A tracker on one address answers from there, as askers expect it.
    let from_own = match own.is_unspecified() || own.is_loopback() {
        true => None,
        false => {
            let here = SocketAddr::from((own, 0));
            Egress::default().datagrams(Purpose::Catalogue, here).ok()
        }
    };
    let mut datagram = [0; QUESTION_LEN + 1];
    let mut ration = Ration::new(ANSWERS_PER_S, Duration::from_secs(1));
    loop {
        let (len, asker) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot be found");
                sleep(REST).await;
                continue;
            }
        };
        let Some(nonce) = datagram.get(..len).and_then(read_question) else { continue };
        let now = Instant::now().into_std();
        if !ration.take(host_key(asker.ip()), now) || (own.is_loopback() && !is_own(asker.ip())) {
            continue;
        }
        let answer = write_answer(nonce, instance, beacon.http, name);
        let way = from_own.as_ref().filter(|_| !asker.ip().is_loopback()).unwrap_or(&socket);
        if let Err(error) = way.send_to(&answer, asker).await {
            debug!(%asker, %error, "cannot answer");
        }
    }
}

/// Looks for trackers of the local network and of this machine for as long as `patience`, about
/// a second. In the order of their answers, no address twice; none when nothing can be sent.
pub async fn find_trackers(egress: &Egress, patience: Duration) -> Vec<FoundTracker> {
    find_at(egress, FIND_PORT, patience).await
}

/// As [`find_trackers`], of trackers that are found at another port.
pub async fn find_at(egress: &Egress, port: u16, patience: Duration) -> Vec<FoundTracker> {
    match ask(egress, port, patience).await {
        Ok(found) => found.trackers,
        Err(error) => {
            debug!(%error, "cannot look for trackers");
            Vec::new()
        }
    }
}

/// Who has answered.
#[derive(Default)]
struct Found {
    trackers: Vec<FoundTracker>,
    by_host: HashMap<Host, usize>,
}

impl Found {
    /// Keeps an answer, unless its address has answered already, or its sender often enough.
    fn keep(&mut self, sender: IpAddr, tracker: FoundTracker) {
        let host = host_key(sender);
        let count = self.by_host.get(&host).copied().unwrap_or_default();
        if count >= TRACKERS_HOST_MAX || self.trackers.len() >= TRACKERS_MAX {
            return;
        }
        if self.trackers.iter().any(|known| known.url == tracker.url) {
            return;
        }
        self.by_host.insert(host, count + 1);
        self.trackers.push(tracker);
    }
}

async fn ask(egress: &Egress, port: u16, patience: Duration) -> io::Result<Found> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = egress.datagrams(Purpose::Catalogue, any)?;
    socket.set_broadcast(true)?;
    let nonce: [u8; 8] = rand::random();
    let mut question = [0; QUESTION_LEN];
    question[..8].copy_from_slice(QUESTION);
    question[8..16].copy_from_slice(&nonce);
    let mut targets = vec![THIS_MACHINE, GROUP, Ipv4Addr::BROADCAST];
    // By a chosen device its own networks alone are asked, not through it those of others.
    let networks = networks_of(egress.policy().device.as_deref());
    targets.extend(networks.into_iter().map(|network| network.broadcast()));
    let start = Instant::now();
    let end = start + patience;
    let mut found = Found::default();
    for (number, at_ms) in ASK_AT_MS.into_iter().enumerate() {
        if number > 0 && start + Duration::from_millis(at_ms) >= end {
            break;
        }
        for target in &targets {
            // A machine without a way out has no way to some of them.
            if let Err(error) = socket.send_to(&question, (*target, port)).await {
                debug!(%target, %error, "cannot ask there");
            }
        }
        let next = ASK_AT_MS.get(number + 1).map(|ms| start + Duration::from_millis(*ms));
        let until = next.map_or(end, |next| next.min(end));
        // Its end is that of its time.
        let _ = timeout_at(until, collect(&socket, nonce, &mut found)).await;
    }
    Ok(found)
}

/// Collects answers until somebody stops it.
async fn collect(socket: &UdpSocket, nonce: [u8; 8], found: &mut Found) {
    let mut datagram = [0; QUESTION_LEN];
    loop {
        let (len, sender) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "cannot read answers");
                // Asking again may help; spinning does not.
                return std::future::pending().await;
            }
        };
        let bytes = datagram.get(..len).unwrap_or_default();
        match read_answer(bytes, nonce, sender.ip()) {
            Some(tracker) => found.keep(sender.ip(), tracker),
            None => debug!(%sender, "an answer that is none"),
        }
    }
}

/// A network that this machine is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalNetwork {
    /// Its first address.
    pub first: Ipv4Addr,
    /// Its mask.
    pub mask: Ipv4Addr,
}

impl LocalNetwork {
    fn has(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask.to_bits() == self.first.to_bits()
    }

    fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | !self.mask.to_bits())
    }
}

/// The networks that this machine is in, as Linux tells; none elsewhere. 255.255.255.255 goes
/// into one of them only, and into none without a default route. At most 16.
pub fn local_networks() -> Vec<LocalNetwork> {
    networks_of(None)
}

/// The same, of one device alone if one is named.
fn networks_of(device: Option<&str>) -> Vec<LocalNetwork> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default(), device)
}

/// Whether an address is of this machine or of a network that it is in, by the device that is
/// chosen if there is one.
pub fn is_at_hand(address: Ipv4Addr, egress: &Egress) -> bool {
    let networks = networks_of(egress.policy().device.as_deref());
    address.is_loopback() || networks.iter().any(|network| network.has(address))
}

/// Interface, destination, gateway, flags, three numbers and the mask; addresses are hex digits
/// of a number in the machine's order of bytes.
fn parse_routes(text: &str, device: Option<&str>) -> Vec<LocalNetwork> {
    let address = |digits: &str| {
        u32::from_str_radix(digits, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()))
    };
    let network = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|name| device.is_none_or(|device| device == *name))?;
        let (first, gateway) = (address(words.next()?)?, address(words.next()?)?);
        let mask = address(words.nth(4)?)?;
        // The default route is no network, and one of two addresses has no broadcast.
        let has_broadcast = (1..=30).contains(&mask.to_bits().leading_ones());
        (gateway.is_unspecified() && has_broadcast && !first.is_loopback())
            .then_some(LocalNetwork { first, mask })
    };
    text.lines().filter_map(network).take(NETWORKS_MAX).collect()
}

fn read_question(bytes: &[u8]) -> Option<[u8; 8]> {
    let (kind, rest) = bytes.split_first_chunk::<8>()?;
    let is_question = kind == QUESTION && bytes.len() == QUESTION_LEN;
    rest.first_chunk::<8>().copied().filter(|_| is_question)
}

fn write_answer(nonce: [u8; 8], instance: [u8; 8], http: SocketAddrV4, name: &str) -> Vec<u8> {
    let mut answer = Vec::with_capacity(QUESTION_LEN);
    answer.extend(ANSWER);
    answer.extend(nonce);
    answer.extend(instance);
    answer.extend(http.ip().octets());
    answer.extend(http.port().to_be_bytes());
    // The caller has cut it.
    answer.push(u8::try_from(name.len()).unwrap_or(0));
    answer.extend(name.as_bytes());
    answer
}

/// None for what is no answer to `nonce`, and for a machine that speaks for another one.
fn read_answer(bytes: &[u8], nonce: [u8; 8], sender: IpAddr) -> Option<FoundTracker> {
    let head = bytes.first_chunk::<HEAD_LEN>()?;
    if !head.starts_with(ANSWER) || head.get(8..16)? != nonce {
        return None;
    }
    let instance: [u8; 8] = head.get(16..24)?.try_into().ok()?;
    let named: [u8; 4] = head.get(24..28)?.try_into().ok()?;
    let (named, IpAddr::V4(sender)) = (Ipv4Addr::from(named), sender) else { return None };
    let ip = match named {
        Ipv4Addr::UNSPECIFIED => sender,
        _ if named == sender || (is_own(sender.into()) && is_own(named.into())) => named,
        _ => return None,
    };
    let port = u16::from_be_bytes(head.get(28..30)?.try_into().ok()?);
    let name_len = usize::from(*head.last()?);
    let name = bytes.get(HEAD_LEN..)?.get(..name_len)?;
    if port == 0 || name_len > NAME_LEN_MAX || ip.is_multicast() || ip.is_broadcast() {
        return None;
    }
    let url = format!("http://{}", SocketAddrV4::new(ip, port));
    Some(FoundTracker { url, name: clean_name(name), instance })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 8] = *b"12345678";
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    fn at(ip: Ipv4Addr) -> SocketAddrV4 {
        SocketAddrV4::new(ip, 6969)
    }

    #[test]
    fn no_answer_is_longer_than_its_question() {
        let name = "x".repeat(NAME_LEN_MAX);
        assert!(write_answer(NONCE, [0; 8], at(ELSEWHERE), &name).len() <= QUESTION_LEN);
        let mut question = [0; QUESTION_LEN];
        question[..8].copy_from_slice(QUESTION);
        assert!(read_question(&question).is_some());
        assert_eq!(read_question(&question[..QUESTION_LEN - 1]), None, "a short one gets none");
    }

    #[test]
    fn another_machine_is_believed_what_it_says_about_itself() {
        let url = |named, sender: Ipv4Addr| {
            let answer = write_answer(NONCE, [0; 8], at(named), "lab\x1b[2J");
            let read = read_answer(&answer, NONCE, sender.into());
            read.map(|tracker| (tracker.url, tracker.name))
        };
        let expected = Some(("http://192.0.2.7:6969".to_owned(), "lab_[2J".to_owned()));
        assert_eq!(url(Ipv4Addr::UNSPECIFIED, ELSEWHERE), expected);
        assert_eq!(url(ELSEWHERE, ELSEWHERE), expected);
        for named in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 8)] {
            assert_eq!(url(named, ELSEWHERE), None, "{named}");
        }
        assert!(url(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).is_some());
    }

    #[test]
    fn networks_are_read_from_the_routes() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                    eth0 00000000 FE02000A 0003 0 0 0 00000000 0 0 0\n\
                    eth0 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
                    tun0 0100000A 00000000 0005 0 0 0 FFFFFFFF 0 0 0\n\
                    eth1 0000A8C0 00000000 0001 0 0 0 0000F8FF 0 0 0\nx\n";
        // Written as a machine with the small end first sees them.
        if cfg!(target_endian = "little") {
            let broadcasts = |device| -> Vec<Ipv4Addr> {
                parse_routes(text, device).into_iter().map(LocalNetwork::broadcast).collect()
            };
            let expected = [Ipv4Addr::new(10, 0, 2, 255), Ipv4Addr::new(192, 175, 255, 255)];
            assert_eq!(broadcasts(None), expected);
            assert_eq!(broadcasts(Some("eth1")), expected[1..]);
            assert_eq!(broadcasts(Some("tun0")), Vec::<Ipv4Addr>::new());
        }
        assert!(
            parse_routes(&"eth0 0002000A 00000000 0 0 0 0 00FFFFFF\n".repeat(99), None).len() <= 16
        );
    }

    #[test]
    fn answers_cut_short_or_to_others_are_none() {
        let answer = write_answer(NONCE, [0; 8], at(ELSEWHERE), "lab");
        for len in 0..answer.len() {
            assert_eq!(read_answer(&answer[..len], NONCE, ELSEWHERE.into()), None, "{len}");
        }
        assert_eq!(read_answer(&answer, [0; 8], ELSEWHERE.into()), None);
    }

    fn beacon(http: SocketAddrV4, name: &str, instance: u8) -> Beacon {
        Beacon { http, name: name.to_owned(), instance: [instance; 8] }
    }

    #[tokio::test]
    async fn trackers_of_this_machine_are_found_together() {
        let first = bind(0).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = bind(port).unwrap();
        let all = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7070);
        tokio::spawn(be_found(first, beacon(at(Ipv4Addr::LOCALHOST), "one", 1)));
        tokio::spawn(be_found(second, beacon(all, &"é".repeat(60), 2)));
        let found = find_at(&Egress::default(), port, Duration::from_millis(700)).await;
        let count = |url: &str| found.iter().filter(|tracker| tracker.url == url).count();
        assert_eq!(count("http://127.0.0.1:6969"), 1, "each once: {found:?}");
        assert!(count("http://127.0.0.1:7070") <= 1, "each once: {found:?}");
        let (one, other): (Vec<_>, Vec<_>) = found.iter().partition(|it| it.instance == [1; 8]);
        assert!(one.len() == 1 && one[0].name == "one", "{found:?}");
        assert!(!other.is_empty(), "{found:?}");
        for tracker in other {
            assert_eq!((tracker.instance, &tracker.name), ([2; 8], &"é".repeat(32)), "{found:?}");
            assert!(tracker.url.ends_with(":7070"), "{found:?}");
        }
    }

    #[tokio::test]
    async fn one_that_copies_another_replaces_nobody() {
        let real = bind(0).unwrap();
        let port = real.local_addr().unwrap().port();
        let copy = bind(port).unwrap();
        let other = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6970);
        tokio::spawn(be_found(real, beacon(at(Ipv4Addr::LOCALHOST), "real", 1)));
        tokio::spawn(be_found(copy, beacon(other, "real", 1)));
        let found = find_at(&Egress::default(), port, Duration::from_millis(700)).await;
        let mut urls: Vec<&str> = found.iter().map(|tracker| tracker.url.as_str()).collect();
        urls.sort_unstable();
        assert_eq!(urls, ["http://127.0.0.1:6969", "http://127.0.0.1:6970"]);
    }

    #[test]
    fn a_host_that_answers_without_end_leaves_room_for_others() {
        let mut found = Found::default();
        let tracker = |ip: Ipv4Addr, port| FoundTracker {
            url: format!("http://{}", SocketAddrV4::new(ip, port)),
            name: String::new(),
            instance: [0; 8],
        };
        for port in 1..2000 {
            found.keep(ELSEWHERE.into(), tracker(ELSEWHERE, port));
        }
        assert_eq!(found.trackers.len(), TRACKERS_HOST_MAX);
        let honest = Ipv4Addr::new(192, 0, 2, 8);
        found.keep(honest.into(), tracker(honest, 6969));
        assert_eq!(found.trackers.last(), Some(&tracker(honest, 6969)));
        for number in 0..3000_u32 {
            let ip = Ipv4Addr::from_bits(0x0a00_0000 + number);
            found.keep(ip.into(), tracker(ip, 1));
        }
        assert_eq!(found.trackers.len(), TRACKERS_MAX);
        assert!(found.by_host.len() <= TRACKERS_MAX, "forged addresses cost no more than that");
    }

    #[test]
    fn a_network_has_the_addresses_below_its_mask() {
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        let network = LocalNetwork { first: Ipv4Addr::new(10, 0, 7, 0), mask };
        assert!(network.has(Ipv4Addr::new(10, 0, 7, 200)));
        assert!(!network.has(Ipv4Addr::new(10, 0, 8, 200)));
        let any = Egress::default();
        assert!(
            is_at_hand(Ipv4Addr::LOCALHOST, &any) && !is_at_hand(Ipv4Addr::new(240, 0, 0, 1), &any)
        );
    }

    #[tokio::test]
    async fn a_flood_of_one_host_gets_twenty_answers_a_second_and_others_theirs() {
        let socket = bind(0).unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(be_found(socket, beacon(at(Ipv4Addr::UNSPECIFIED), "one", 1)));
        let mut question = [0; QUESTION_LEN];
        question[..8].copy_from_slice(QUESTION);
        let answers = async |asker: &UdpSocket, count| {
            for _ in 0..count {
                asker.send_to(&question, ("127.0.0.1", port)).await.unwrap();
            }
            let mut answers = 0_u64;
            let soon = Instant::now() + Duration::from_millis(300);
            while timeout_at(soon, asker.recv_from(&mut [0; 200])).await.is_ok() {
                answers += 1;
            }
            answers
        };
        let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let began = Instant::now();
        let answers_to_flood = answers(&flood, 60).await;
        // On a slow machine more than one second is over.
        let most = 20 * (began.elapsed().as_secs() + 1);
        assert!((20..=most).contains(&answers_to_flood), "{answers_to_flood} answers");
        let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        assert_eq!(answers(&other, 3).await, 3);
    }

    #[test]
    fn fuzz_datagrams() {
        crate::fuzz::run("lan_datagrams", |bytes| {
            let _ = read_question(bytes);
            if let Some(found) = read_answer(bytes, NONCE, ELSEWHERE.into()) {
                assert!(found.url.starts_with("http://192.0.2.7:"), "{}", found.url);
                assert!(!found.name.contains(char::is_control), "{:?}", found.name);
            }
            assert!(parse_routes(&String::from_utf8_lossy(bytes), None).len() <= NETWORKS_MAX);
        });
    }
}
