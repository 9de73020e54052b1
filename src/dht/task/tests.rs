//! Whole nodes over real sockets on loopback, each at an address of its own.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use tokio::time::timeout;

use super::*;
use crate::net::blocklist::parse::List;
use crate::net::egress::Egress;

/// Longest wait for something that must come; never waited for in full when all is well.
const LIMIT: Duration = Duration::from_secs(20);
const HASH: InfoHash = InfoHash([7; 20]);

fn start(last: u8, routers: &[&Dht], file: Option<&Path>) -> Dht {
    let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let (udp, mail) = Udp::open(&Egress::from_address(Some(host)), 0).unwrap();
    let mail = mail.dht;
    let routers = routers.iter().map(|router| format!("127.0.0.1:{}", router.port()));
    let (file, routers) = (file.map(Path::to_owned), routers.collect());
    Dht::start(DhtConfig { egress: Egress::default(), udp, mail, file, routers, read_only: false })
}

async fn met(dht: &Dht) -> bool {
    dht.reached(LIMIT).await
}

fn wish(port: Option<u16>) -> Wish {
    let ports = port.map(OutsidePorts::unmapped);
    Wish { ports, seed: false, haste: Haste::Urgent }
}

/// The first news that `choose` accepts.
async fn news<T>(seat: &mut Seat, choose: impl Fn(DhtNews) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = choose(poll_fn(|cx| seat.poll_next(cx)).await) {
                return found;
            }
        }
    };
    timeout(LIMIT, search).await.expect("news")
}

/// Waits for this peer.
async fn peer(seat: &mut Seat, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let is_it = |news| match news {
        DhtNews::Peers(peers) => peers.contains(&address).then_some(()),
        DhtNews::Announced { .. } => None,
    };
    news(seat, is_it).await;
}

async fn standing(dht: &Dht, is_it: impl Fn(&Standing) -> bool) {
    let mut standing = dht.standing.clone();
    timeout(LIMIT, standing.wait_for(is_it)).await.expect("a standing").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_find_each_other_through_nodes_that_know_one_another() {
    let first = start(1, &[], None);
    let others: Vec<Dht> = (2..6).map(|last| start(last, &[&first], None)).collect();
    for dht in &others {
        assert!(met(dht).await);
    }
    let mut one = others[0].seat(HASH);
    one.wish(wish(Some(1111)));
    let announced = |news| match news {
        DhtNews::Announced { nodes } => Some(nodes),
        DhtNews::Peers(_) => None,
    };
    assert!(news(&mut one, announced).await > 0);
    standing(&others[0], |it| it.both().any(|health| health.announced == 1)).await;
    let mut two = others[3].seat(HASH);
    two.wish(wish(Some(2222)));
    peer(&mut two, "127.0.0.2:1111").await;
    // Who takes no connections finds others all the same, and is not named.
    let mut three = others[2].seat(HASH);
    three.wish(wish(None));
    peer(&mut three, "127.0.0.2:1111").await;
    // How many there are is known a moment after somebody wanted to know.
    let counting = async {
        loop {
            if let Some(counted) = others[1].count(HASH).await {
                break counted;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let counted = timeout(LIMIT, counting).await.expect("a count");
    assert!(counted == (0, 1) || counted == (0, 2), "{counted:?}: the second may be on its way");
    drop(one);
    standing(&others[0], |it| it.both().all(|health| health.announced == 0)).await;
    let mut answers = others[1].ask(Question::Find(HASH)).await;
    let mut found = Vec::new();
    while let Some(answer) = timeout(LIMIT, answers.recv()).await.expect("an end") {
        if let Answer::Peers(peers) = answer {
            found.extend(peers);
        }
    }
    assert!(found.contains(&"127.0.0.2:1111".parse().unwrap()), "{found:?}");
    assert!(found.iter().all(|peer| peer.ip() != IpAddr::from([127, 0, 0, 4])), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_is_enough_to_enter_without_any_router() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dht.dat");
    let first = start(1, &[], None);
    let again = start(2, &[&first], Some(&file));
    assert!(met(&again).await);
    again.stop().await;
    drop(again);
    assert!(file.exists());
    let again = start(2, &[], Some(&file));
    assert!(met(&again).await);
    // With nothing kept there is nobody to begin with.
    std::fs::remove_file(&file).unwrap();
    let lost = start(3, &[], Some(&file));
    assert!(!lost.reached(Duration::from_millis(1500)).await);
    lost.hint(format!("127.0.0.1:{}", first.port()).parse().unwrap(), Hint::Peer);
    assert!(met(&lost).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_keep_items_and_answer_people() {
    let first = start(1, &[], None);
    let (one, two) = (start(2, &[&first], None), start(3, &[&first], None));
    assert!(met(&one).await && met(&two).await);
    let item = Item { value: b"12:Hello World!".to_vec(), signed: None };
    let target = item.target();
    let mut answers = one.ask(Question::Put(item.clone())).await;
    let ended = timeout(LIMIT, answers.recv()).await.expect("an end");
    assert!(matches!(ended, Some(Answer::Ended(tally)) if tally.stored > 0), "{ended:?}");
    let mut answers = two.ask(Question::Get { target, salt: Vec::new() }).await;
    let found = timeout(LIMIT, answers.recv()).await.expect("an answer");
    assert_eq!(found, Some(Answer::Found(item)));
    let address = format!("127.0.0.1:{}", first.port()).parse().unwrap();
    let mut answers = one.ask(Question::Ping(address)).await;
    let pong = timeout(LIMIT, answers.recv()).await.expect("an answer");
    assert!(matches!(pong, Some(Answer::Ended(Tally { round_trip: Some(_), .. }))), "{pong:?}");
    assert!(one.look().await.contacts.iter().any(|contact| contact.address == address));
}

/// A file whose readers wait for a writer, as on a disk that hangs; they go on when this is
/// dropped.
struct Hung(PathBuf);

impl Hung {
    fn at(path: &Path) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_nobody_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dht.dat");
    let hung = Hung::at(&file);
    let first = start(1, &[], None);
    let dht = start(2, &[&first], Some(&file));
    assert!(met(&dht).await, "the disk is waited for");
    assert!(!dht.look().await.contacts.is_empty());
    dht.stop().await;
    let kept = std::fs::symlink_metadata(&file).unwrap();
    assert!(!kept.is_file(), "what was not read is overwritten");
    drop(hung);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_sent_where_no_node_is_known() {
    let first = start(1, &[], None);
    let (udp, mail) = Udp::open(&Egress::default(), 0).unwrap();
    let routers = vec![format!("127.0.0.1:{}", first.port())];
    let (mail, file) = (mail.dht, None);
    let both = Dht::start(DhtConfig {
        egress: Egress::default(),
        udp,
        mail,
        file,
        routers,
        read_only: false,
    });
    assert!(met(&both).await);
    if both.standing().six.is_none() {
        // This machine has no IPv6.
        return;
    }
    let mut answers = both.ask(Question::Ping("[::1]:1".parse().unwrap())).await;
    let ended = timeout(LIMIT, answers.recv()).await.expect("an end");
    assert!(matches!(ended, Some(Answer::Ended(_))), "{ended:?}");
}

/// A router gives us another port than ours: that one is announced, and the next one as soon as it
/// changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_outside_is_announced_and_followed() {
    let first = start(1, &[], None);
    let others: Vec<Dht> = (32..34).map(|last| start(last, &[&first], None)).collect();
    for dht in &others {
        assert!(met(dht).await);
    }
    let (mut one, mut two) = (others[0].seat(HASH), others[1].seat(HASH));
    two.wish(wish(None));
    for port in [40_000, 50_000] {
        let mut ports = OutsidePorts::unmapped(1111);
        ports.four.tcp = port;
        one.wish(Wish { ports: Some(ports), ..wish(None) });
        peer(&mut two, &format!("127.0.0.32:{port}")).await;
    }
    // That address is its own: it does not ask itself, whoever names it.
    let own = tokio::net::UdpSocket::bind("127.0.0.35:0").await.unwrap();
    let other = tokio::net::UdpSocket::bind("127.0.0.36:0").await.unwrap();
    let mut ports = OutsidePorts::unmapped(1111);
    ports.four.datagrams_at = own.local_addr().ok();
    others[0].mapped(ports).await;
    for node in [&own, &other] {
        others[0].hint(node.local_addr().unwrap(), Hint::Torrent);
    }
    timeout(LIMIT, other.recv(&mut [0; 1500])).await.expect("a query").unwrap();
    assert!(own.try_recv(&mut [0; 1500]).is_err(), "it asked itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_blocked_are_neither_heard_nor_asked_until_they_are_not() {
    const PING: &[u8] = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    let egress = Egress::from_address(Some(Ipv4Addr::LOCALHOST.into()));
    let list = List::read(&b"127.0.0.9"[..], false).unwrap();
    egress.blocklist().set([("a".to_owned(), list)]);
    let (udp, mail) = Udp::open(&egress, 0).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, udp.port()));
    let node = |host: &str| tokio::net::UdpSocket::bind((host.to_owned(), 0));
    let (blocked, free) = (node("127.0.0.9").await.unwrap(), node("127.0.0.8").await.unwrap());
    let address = blocked.local_addr().unwrap();
    let (routers, mail, file) = (vec![address.to_string()], mail.dht, None);
    let config = DhtConfig { egress: egress.clone(), udp, mail, file, routers, read_only: false };
    let dht = Dht::start(config);
    let mut answers = dht.ask(Question::Ping(address)).await;
    while timeout(LIMIT, answers.recv()).await.expect("an end").is_some() {}
    // It is a router, too, and may have been asked for that.
    let asked = egress.blocklist().tally().datagrams;
    assert!((1..=2).contains(&asked), "the question: {asked}");
    blocked.send_to(PING, to).await.unwrap();
    free.send_to(PING, to).await.unwrap();
    let mut room = [0; 1500];
    timeout(LIMIT, free.recv(&mut room)).await.expect("an answer").unwrap();
    assert!(egress.blocklist().tally().datagrams > asked, "and one that came");
    assert!(blocked.try_recv(&mut room).is_err(), "neither a question nor an answer");
    egress.blocklist().set([]);
    blocked.send_to(PING, to).await.unwrap();
    timeout(LIMIT, blocked.recv(&mut room)).await.expect("an answer").unwrap();
    dht.stop().await;
}
