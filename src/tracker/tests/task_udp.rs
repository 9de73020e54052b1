//! The task against UDP trackers on loopback whose replies are written by hand.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::mock_tracker::{MockTracker, Script};
use super::mock_udp_tracker::{ANNOUNCE, Asked, CONNECT, CONNECTION, MockUdpTracker, SCRAPE};
use super::task::{Torrent, millis, peer};
use crate::net::egress::{Egress, Policy};
use crate::net::udp::{Udp, UdpNews};
use crate::tracker::task::{NetworkTiming, TrackerCommand, TrackerEvent, TransferStats, UdpClient};
use crate::tracker::tiers::Timing;
use crate::tracker::tiers::status::TrackerStatus;

/// 127.0.0.1:1.
const PEER: &[u8] = &[127, 0, 0, 1, 0, 1];

fn honest(asked: &Asked<'_>) {
    asked.honest(PEER);
}

async fn failure_of(answer: impl FnMut(&Asked<'_>) + Send + 'static) -> String {
    let tracker = MockUdpTracker::start(answer);
    Torrent::start(&[&[tracker.url()]]).failure().await
}

/// The first status in which the tracker satisfies `is_it`.
async fn status(torrent: &mut Torrent, is_it: impl Fn(&TrackerStatus) -> bool) -> TrackerStatus {
    let choose = |event| match event {
        TrackerEvent::Status(all) => all.into_iter().next().filter(|status| is_it(status)),
        _ => None,
    };
    torrent.event(choose).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announce_carries_what_it_must_and_the_path_of_the_url() {
    let tracker = MockUdpTracker::start(honest);
    let mut torrent = Torrent::start(&[&[tracker.url_of("/announce?passkey=aB%2f#x")]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
    let requests = tracker.requests();
    let [connect, announce] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(connect[..12], *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0");
    assert_eq!(connect.len(), 16);
    let expected = [
        &CONNECTION[..],
        b"\0\0\0\x01",
        &announce[12..16],
        &[1; 20],
        b"-PN0100-abcdefghijkl\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x63\0\0\0\0\0\0\0\0",
        b"\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\x32\x1a\xe1",
        b"\x02\x17/announce?passkey=aB%2f",
    ]
    .concat();
    assert_eq!(*announce, expected);
    assert_ne!(announce[12..16], connect[12..16], "each request has its own transaction");
    let status = status(&mut torrent, |status| status.seeds.is_some()).await;
    assert_eq!((status.seeds, status.leeches, status.peers), (Some(1), Some(0), Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_datagram_is_sent_again() {
    let tracker = MockUdpTracker::start(|asked| {
        // Every other one is lost.
        if asked.count % 2 == 1 {
            honest(asked);
        }
    });
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
    let actions: Vec<u8> = tracker.requests().iter().map(|request| request[11]).collect();
    assert_eq!(actions, [CONNECT, CONNECT, ANNOUNCE, ANNOUNCE]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_tracker_is_known_at_once_where_the_system_tells() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", gone.local_addr().unwrap());
    drop(gone);
    let begin = std::time::Instant::now();
    let text = Torrent::start(&[&[url]]).failure().await;
    assert_eq!(text, "cannot reach tracker: nobody listens there");
    assert!(begin.elapsed() < millis(550), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_of_a_session_ask_over_one_socket_that_others_use_too() {
    let ports = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = ports.clone();
    let tracker = MockUdpTracker::start(move |asked| {
        seen.lock().unwrap().insert(asked.from.port());
        honest(asked);
    });
    let (udp, mut mail) = Udp::open(&Egress::from_address(Some([127, 0, 0, 1].into())), 0).unwrap();
    let client = UdpClient::over(udp.clone(), mail.tracker, millis(100));
    let start = || Torrent::asking(&[&[tracker.url()]], Some(client.clone()));
    let (mut one, mut two) = (start(), start());
    let node = UdpSocket::bind("127.0.0.1:0").unwrap();
    node.send_to(b"d1:y1:qe", ("127.0.0.1", udp.port())).unwrap();
    assert_eq!(one.peers().await, peer("127.0.0.1:1"));
    assert_eq!(two.peers().await, peer("127.0.0.1:1"));
    let from = node.local_addr().unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), mail.dht.recv()).await.unwrap();
    assert_eq!(heard, Some(UdpNews::Datagram { from, bytes: b"d1:y1:qe".to_vec() }));
    assert_eq!(*ports.lock().unwrap(), BTreeSet::from([udp.port()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_while_nothing_leaves_is_sent_as_soon_as_something_does() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5://{}", proxy.local_addr().unwrap()).parse().ok();
    let egress = Egress::new(Policy { proxy: url, ..Policy::default() });
    let (udp, mail) = Udp::open(&egress, 0).unwrap();
    assert!(udp.is_waiting());
    let client = UdpClient::over(udp, mail.tracker, Duration::from_secs(600));
    let mut torrent = Torrent::asking(&[&["udp://127.0.0.9:6970".to_owned()]], Some(client));
    status(&mut torrent, |_| true).await;
    let granted = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        let port = relay.local_addr().unwrap().port().to_be_bytes();
        stream.write_all(&[&[5, 0, 0, 1, 0, 0, 0, 0][..], &port].concat()).await.unwrap();
        let mut room = [0; 64];
        let (len, _) = relay.recv_from(&mut room).await.unwrap();
        (stream, room[..len].to_vec())
    };
    let (_held, asked) = tokio::select! {
        asked = granted => asked,
        why = torrent.failure() => panic!("{why}"),
    };
    assert_eq!(asked[..10], [0, 0, 0, 1, 127, 0, 0, 9, 0x1b, 0x3a]);
    assert_eq!(asked[10..22], *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_tracker_gives_way_to_the_next_tier() {
    let silent = MockUdpTracker::start(|_| ());
    let good = MockUdpTracker::start(honest);
    let begin = std::time::Instant::now();
    let mut torrent = Torrent::start(&[&[silent.url()], &[good.url()]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
    assert!(begin.elapsed() < millis(550), "{:?}", begin.elapsed());
    assert_eq!(torrent.failure().await, "tracker did not answer within 0.6 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hostile_tracker_answers_is_explained_or_outlived() {
    assert_eq!(failure_of(|asked| asked.error(b"not here\x1b[2J")).await.len(), 29);
    let silence = "tracker did not answer within 0.6 s";
    let flip = |asked: &Asked<'_>| {
        let mut reply = [asked.head(CONNECT), CONNECTION.to_vec()].concat();
        reply[7] ^= 1;
        asked.send(&reply);
    };
    assert_eq!(failure_of(flip).await, silence);
    let elsewhere = |asked: &Asked<'_>| {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let reply = [asked.head(CONNECT), CONNECTION.to_vec()].concat();
        other.send_to(&reply, asked.from).unwrap();
    };
    assert_eq!(failure_of(elsewhere).await, silence);
    assert_eq!(failure_of(|asked| asked.send(b"\0\0\0\0\0\0\0")).await, silence);
    let cut = |asked: &Asked<'_>| asked.send(&[asked.head(CONNECT), vec![1; 7]].concat());
    let text = failure_of(cut).await;
    assert_eq!(text, "tracker's reply is malformed: too short, or of an unknown kind");
    let mixed = |asked: &Asked<'_>| asked.send(&[asked.head(SCRAPE), vec![1; 12]].concat());
    let text = failure_of(mixed).await;
    assert_eq!(text, "tracker's reply is malformed: it answers another question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_junk_does_not_hide_the_reply() {
    let tracker = MockUdpTracker::start(|asked| {
        for number in 0..2000_u32 {
            let mut junk = vec![0; 60];
            junk[..4].copy_from_slice(&number.to_be_bytes());
            asked.send(&junk);
            if number % 400 == 0 {
                // The client's buffer is not endless, and that is no fault of it.
                std::thread::sleep(millis(1));
            }
        }
        std::thread::sleep(millis(5));
        honest(asked);
    });
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_peers_and_intervals_are_bounded() {
    let tracker = MockUdpTracker::start(|asked| match asked.action() {
        CONNECT => asked.connected(),
        _ => asked.peers(0, &[127, 0, 0, 1, 0, 1].repeat(10_000)),
    });
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    assert_eq!(torrent.peers().await.len(), 200);
    let status = status(&mut torrent, |status| status.next_announce_at.is_some()).await;
    let wait = status.next_announce_at.unwrap() - std::time::Instant::now();
    assert!(wait > Duration::from_secs(55), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_goes_over_the_same_connection() {
    let tracker = MockUdpTracker::start(honest);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    torrent.peers().await;
    let figures =
        TransferStats { uploaded: 5, downloaded: 6, left: 7, wanted_left: 7, ..Default::default() };
    torrent.entry.publish(figures);
    torrent.stop().await;
    let requests = tracker.requests();
    assert_eq!(requests.len(), 3, "no second connect");
    let stopped = &requests[2];
    assert_eq!(stopped[..8], CONNECTION);
    let figures = b"\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x05\0\0\0\x03";
    assert_eq!(stopped[56..84], *figures);
    assert_eq!(stopped[92..96], [0; 4], "no peers are wanted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_has_a_budget_and_is_not_sent_twice() {
    let tracker = MockUdpTracker::start(|asked| {
        if asked.count < 2 {
            honest(asked);
        }
    });
    let network = NetworkTiming::by(Egress::default());
    let timing = Timing { stop_budget: millis(200), ..Timing::default() };
    let mut torrent = Torrent::with(&[&[tracker.url()]], network, timing, 6881);
    torrent.peers().await;
    let took = torrent.stop().await;
    assert!(took < millis(1500), "{took:?}");
    assert_eq!(tracker.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_addresses_are_asked_for_announces_only() {
    let service = MockUdpTracker::start(honest);
    let refused = "tracker leads to the loopback address 127.0.0.1, which is not allowed";
    let mut torrent = Torrent::start(&[&[service.url_of("/admin")]]);
    assert_eq!(torrent.failure().await, refused);
    assert!(service.requests().is_empty());
    // Without a path nothing is said that a service could mistake.
    let mut torrent = Torrent::start(&[&[service.url_of("")]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
    assert_eq!(service.requests()[1].len(), 98);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_urls_are_explained() {
    for (url, words) in [
        ("udp://", "tracker address is unusable: has no host"),
        ("udp://XN--e1afmkfd.example:1/a", "tracker host xn--e1afmkfd.example is an intern"),
    ] {
        let text = Torrent::start(&[&[url.to_owned()]]).failure().await;
        assert!(text.starts_with(words), "{url}: {text}");
    }
}

// BEP 15: "Clients that resolve hostnames to v4 and v6 and then announce to both should use
// the same key for both."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_families_of_a_host_are_announced_to_with_one_key() {
    let four = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = four.local_addr().unwrap().port();
    let names = tokio::net::lookup_host(("localhost", port)).await.unwrap();
    let has_six = names.into_iter().any(|address| address.is_ipv6());
    let Some(six) = UdpSocket::bind(("::1", port)).ok().filter(|_| has_six) else {
        eprintln!("skipped: localhost has no IPv6 address here");
        return;
    };
    let mapped = [&[0; 10][..], &[255, 255, 10, 1, 2, 3, 0, 9]].concat();
    let own = [&[0; 15][..], &[1, 0, 8]].concat();
    let six = MockUdpTracker::on(six, move |asked| asked.honest(&[&mapped[..], &own].concat()));
    let four = MockUdpTracker::on(four, honest);
    let mut torrent = Torrent::start(&[&[format!("udp://localhost:{port}/announce")]]);
    let mut peers = torrent.peers().await;
    peers.extend(torrent.peers().await);
    peers.sort_unstable();
    let expected = ["10.1.2.3:9", "127.0.0.1:1", "[::1]:8"];
    assert_eq!(peers, expected.map(|text| text.parse::<SocketAddr>().unwrap()));
    torrent.stop().await;
    let (four, six) = (four.requests(), six.requests());
    assert_eq!((four.len(), six.len()), (3, 3), "connect, started, stopped");
    assert_eq!(four[1][88..92], six[1][88..92]);
    assert_eq!(four[1][84..88], [0; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_is_made_when_wanted_and_not_again() {
    let tracker = MockUdpTracker::start(honest);
    let web = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    // The other tier's numbers are told by a scrape only, since it is not needed.
    let counts = |status: &TrackerStatus| (status.seeds, status.downloaded, status.leeches);
    let expected = (Some(5), Some(7), Some(6));
    for urls in [[web.url(), tracker.url()], [tracker.url(), web.url()]] {
        let mut torrent = Torrent::start(&[&[urls[0].clone()], &[urls[1].clone()]]);
        let busy = TransferStats {
            left: 1,
            wanted_left: 1,
            peers_connected: 1,
            working_peers: 1,
            ..Default::default()
        };
        torrent.entry.publish(busy);
        torrent.peers().await;
        torrent.entry.tell(TrackerCommand::Scrape);
        torrent.entry.tell(TrackerCommand::Scrape);
        let both = torrent.event(|event| match event {
            TrackerEvent::Status(all) => all.get(1).filter(|s| counts(s) == expected).cloned(),
            _ => None,
        });
        both.await;
        torrent.stop().await;
    }
    let scrapes = tracker.requests().iter().filter(|request| request[11] == SCRAPE).count();
    assert_eq!(scrapes, 1);
    let lines = web.scrapes();
    assert_eq!(lines[0], format!("GET /scrape?info_hash={} HTTP/1.1", "%01".repeat(20)));
    // Once because its reply to the announce lacked the counts, once because it was wanted.
    assert_eq!(lines.len(), 2, "{lines:?}");
}
