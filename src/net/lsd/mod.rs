//! Local service discovery (BEP 14): sockets in the multicast groups of every network that this
//! machine is in, and the task that reads and writes them. Which torrents are announced when is
//! `pacing`'s, which networks there are `interfaces`'.

mod interfaces;
mod pacing;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};
use tracing::debug;

use crate::base::ids::InfoHash;
use crate::net::egress::Egress;

pub use interfaces::{Interface, interfaces};
pub use pacing::LocalPeer;

use interfaces::is_near;
use pacing::Pacing;

/// The port of both groups.
pub const LSD_PORT: u16 = 6771;
/// "239.192.152.143:6771 (org-local)"
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);
/// "[ff15::efc0:988f]:6771 (site-local)"
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);
/// "implementations may want to set the IP_MULTICAST_TTL socket option to a value above 1"
const HOPS: u32 = 4;
/// How often it is looked whether this machine is in other networks than before.
const LOOK: Duration = Duration::from_secs(60);
/// News that wait.
const QUEUE: usize = 256;
/// Orders that wait: a session adds its torrents at once. Room is taken as they come.
const ORDERS: usize = 65_536;
/// Datagrams read and not yet looked at; more are a flood.
const DATAGRAMS: usize = 64;
/// Longer datagrams are cut; none that is honest is so long.
const DATAGRAM_LEN_MAX: usize = 2048;
/// Rest when a socket cannot be read, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// An order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LsdCommand {
    /// Announce a torrent, never a private one; of a v2 torrent its truncated hash.
    Add(InfoHash),
    /// Announce it no more.
    Remove(InfoHash),
}

/// Where to look for other peers.
pub struct LsdConfig {
    /// Where it leaves.
    pub egress: Egress,
    /// The port that we listen on, to be told.
    pub listen_port: u16,
    /// The port of the groups: [`LSD_PORT`] outside of tests.
    pub group_port: u16,
    /// Tells the networks that we are in: [`interfaces`] outside of tests.
    pub networks: fn() -> io::Result<Vec<Interface>>,
    /// For cookies and pauses.
    pub rng: StdRng,
}

/// Local discovery at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Lsd {
    /// Takes orders.
    pub commands: mpsc::Sender<LsdCommand>,
    /// Peers on these networks, as often as they announce themselves.
    pub peers: mpsc::Receiver<LocalPeer>,
}

impl Lsd {
    /// Starts a task. Must run inside the runtime. That there is no network now is no error: it
    /// is looked for again.
    pub fn start(config: LsdConfig) -> Self {
        let (commands, orders) = mpsc::channel(ORDERS);
        let (news, peers) = mpsc::channel(QUEUE);
        tokio::spawn(run(config, orders, news));
        Self { commands, peers }
    }
}

async fn run(
    config: LsdConfig,
    mut orders: mpsc::Receiver<LsdCommand>,
    news: mpsc::Sender<LocalPeer>,
) {
    let LsdConfig { egress, listen_port, group_port, networks, rng } = config;
    let now = || Instant::now().into_std();
    let mut pacing = Pacing::new(rng, now());
    let mut joined = Joined::new(&egress, Vec::new(), group_port);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut around = egress.watch();
    loop {
        let due = pacing.next_timeout().map(Instant::from_std);
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => match order {
                Some(LsdCommand::Add(info_hash)) => pacing.add(info_hash, now()),
                Some(LsdCommand::Remove(info_hash)) => pacing.remove(info_hash),
                None => return,
            },
            // Somebody may know sooner than we look. The sender is ours.
            () = async { tokio::select! { _ = look.tick() => {}, _ = around.changed() => {} } } => {
                let mut found = match networks() {
                    Ok(found) => found,
                    // What is joined may be as good as before.
                    Err(error) => {
                        debug!(%error, "cannot see the networks");
                        continue;
                    }
                };
                if egress.policy().device.is_some() {
                    let index = egress.standing().place.map(|place| place.index);
                    found.retain(|interface| Some(interface.index) == index);
                }
                if found != joined.interfaces {
                    joined = Joined::new(&egress, found, group_port);
                    pacing.restart(now());
                }
            }
            Some((datagram, from)) = joined.datagrams.recv() => {
                if is_near(from.ip(), &joined.interfaces) {
                    for peer in pacing.heard(from, &datagram, now()) {
                        // Whoever announces itself does it again.
                        let _ = news.try_send(peer);
                    }
                }
            }
            () = wait => {
                if let Some(announce) = pacing.poll(listen_port, now()) {
                    for (socket, group) in &joined.senders {
                        let mut datagram = Vec::new();
                        announce.encode(*group, &mut datagram);
                        if let Err(error) = socket.send_to(&datagram, *group).await {
                            debug!(%group, %error, "cannot announce on a local network");
                        }
                    }
                }
            }
        }
    }
}

/// Sockets in the groups of some networks.
struct Joined {
    interfaces: Vec<Interface>,
    /// One for each network and family, which sends there.
    senders: Vec<(UdpSocket, SocketAddr)>,
    datagrams: mpsc::Receiver<(Vec<u8>, SocketAddr)>,
    /// One for each family. They end with this.
    _readers: JoinSet<()>,
    /// So that the queue is not over when there is no reader.
    _open: mpsc::Sender<(Vec<u8>, SocketAddr)>,
}

impl Joined {
    /// Joins the groups on all of them, as far as possible.
    fn new(egress: &Egress, interfaces: Vec<Interface>, port: u16) -> Self {
        let (queue, datagrams) = mpsc::channel(DATAGRAMS);
        let (mut senders, mut readers) = (Vec::new(), JoinSet::new());
        for group in [IpAddr::from(GROUP_V4), IpAddr::from(GROUP_V6)] {
            let group = SocketAddr::new(group, port);
            for interface in &interfaces {
                match sender(egress, interface, group) {
                    Ok(Some(socket)) => senders.push((socket, group)),
                    Ok(None) => {}
                    Err(error) => debug!(?interface, %group, %error, "cannot announce there"),
                }
            }
            match receiver(egress, &interfaces, group) {
                Ok(Some(socket)) => {
                    readers.spawn(read(socket, queue.clone()));
                }
                Ok(None) => {}
                Err(error) => debug!(%group, %error, "cannot hear local peers"),
            }
        }
        Self { interfaces, senders, datagrams, _readers: readers, _open: queue }
    }
}

async fn read(socket: Arc<UdpSocket>, queue: mpsc::Sender<(Vec<u8>, SocketAddr)>) {
    let mut datagram = vec![0; DATAGRAM_LEN_MAX];
    loop {
        match socket.recv_from(&mut datagram).await {
            Ok((len, from)) => {
                let bytes = datagram.get(..len).unwrap_or_default().to_vec();
                // In a flood the last ones are lost.
                let _ = queue.try_send((bytes, from));
            }
            Err(error) => {
                debug!(%error, "cannot read from a local network");
                sleep(REST).await;
            }
        }
    }
}

/// A socket that sends to the group on one network; none when that lacks the family.
fn sender(
    egress: &Egress,
    interface: &Interface,
    group: SocketAddr,
) -> io::Result<Option<UdpSocket>> {
    let socket = egress.socket(group.is_ipv4(), false)?;
    match (group.ip(), interface.v4()) {
        (IpAddr::V4(_), Some(address)) => {
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_multicast_loop_v4(true)?;
            socket.bind(&SocketAddr::new(address.into(), 0).into())?;
        }
        (IpAddr::V6(_), _) if interface.has_v6() => {
            socket.set_only_v6(true)?;
            socket.set_multicast_if_v6(interface.index)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_multicast_loop_v6(true)?;
        }
        _ => return Ok(None),
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into()).map(Some)
}

/// A socket that hears the group on all networks that have its family; none when none has. It is
/// bound to the group, so that nothing sent to us alone comes in.
fn receiver(
    egress: &Egress,
    interfaces: &[Interface],
    group: SocketAddr,
) -> io::Result<Option<Arc<UdpSocket>>> {
    let socket = egress.socket(group.is_ipv4(), false)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    let mut count = 0;
    for interface in interfaces {
        let result = match (group.ip(), interface.v4()) {
            (IpAddr::V4(group), Some(address)) => socket.join_multicast_v4(&group, &address),
            (IpAddr::V6(group), _) if interface.has_v6() => {
                socket.join_multicast_v6(&group, interface.index)
            }
            _ => continue,
        };
        match result {
            Ok(()) => count += 1,
            Err(error) => debug!(?interface, %group, %error, "cannot join a group"),
        }
    }
    if count == 0 {
        return Ok(None);
    }
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&group.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into()).map(|socket| Some(Arc::new(socket)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The loopback alone: it hears its own multicast on Linux, though it does not say so.
    fn loopback() -> io::Result<Vec<Interface>> {
        let network = |address: &str, mask: &str| {
            (address.parse().expect("an address"), mask.parse().expect("a mask"))
        };
        let networks = vec![
            network("127.0.0.1", "255.0.0.0"),
            network("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ];
        Ok(vec![Interface { index: 1, networks }])
    }

    fn nothing() -> io::Result<Vec<Interface>> {
        Err(io::Error::other("no networks"))
    }

    /// A port that nobody uses.
    fn free_port() -> u16 {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    fn start(listen_port: u16, group_port: u16, seed: u64) -> Lsd {
        let rng = StdRng::seed_from_u64(seed);
        let egress = Egress::default();
        Lsd::start(LsdConfig { egress, listen_port, group_port, networks: loopback, rng })
    }

    const ONE: InfoHash = InfoHash([1; 20]);

    async fn within_seconds<T>(seconds: u64, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(seconds), future).await.ok()
    }

    #[tokio::test]
    async fn two_on_one_network_find_each_other() {
        let port = free_port();
        let (mut a, mut b) = (start(1111, port, 1), start(2222, port, 2));
        a.commands.send(LsdCommand::Add(ONE)).await.unwrap();
        a.commands.send(LsdCommand::Add(InfoHash([2; 20]))).await.unwrap();
        b.commands.send(LsdCommand::Add(ONE)).await.unwrap();
        let at_a = within_seconds(10, a.peers.recv()).await.flatten().expect("b is heard");
        let at_b = within_seconds(10, b.peers.recv()).await.flatten().expect("a is heard");
        assert_eq!((at_a.info_hash, at_a.address.port()), (ONE, 2222));
        assert_eq!((at_b.info_hash, at_b.address.port()), (ONE, 1111));
        assert!(at_a.address.ip().is_loopback() && at_b.address.ip().is_loopback());
    }

    /// What is sent to us alone, not to the group, is not heard.
    #[tokio::test]
    async fn only_the_group_is_heard() {
        let port = free_port();
        let mut a = start(1111, port, 1);
        a.commands.send(LsdCommand::Add(ONE)).await.unwrap();
        let text = format!("BT-SEARCH * HTTP/1.1\r\nPort: 9\r\nInfohash: {ONE}\r\n\r\n\r\n");
        let by_hand = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let group = SocketAddr::from((GROUP_V4, port));
        socket2::SockRef::from(&by_hand).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        // The group hears it as soon as the task has joined.
        let heard = async {
            loop {
                by_hand.send_to(text.as_bytes(), ("127.0.0.1", port)).unwrap();
                by_hand.send_to(text.replace("Port: 9", "Port: 10").as_bytes(), group).unwrap();
                if let Some(Some(peer)) = within_seconds(1, a.peers.recv()).await {
                    return peer;
                }
            }
        };
        let peer = within_seconds(10, heard).await.expect("the group is heard");
        assert_eq!(peer, LocalPeer { info_hash: ONE, address: "127.0.0.1:10".parse().unwrap() });
    }

    #[tokio::test]
    async fn without_a_network_it_waits() {
        let rng = StdRng::seed_from_u64(1);
        let (egress, group_port) = (Egress::default(), free_port());
        let config = LsdConfig { egress, listen_port: 1, group_port, networks: nothing, rng };
        let mut a = Lsd::start(config);
        a.commands.send(LsdCommand::Add(ONE)).await.unwrap();
        a.commands.send(LsdCommand::Remove(ONE)).await.unwrap();
        drop(a.commands);
        // The task ends with its orders.
        assert_eq!(within_seconds(10, a.peers.recv()).await, Some(None));
    }
}
