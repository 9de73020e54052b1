//! The task over real sockets, against trackers scripted byte by byte, with short timeouts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::mock_tracker::{MockTracker, Script, gzip_bomb};
use crate::base::ids::{InfoHash, PeerId};
use crate::net::egress::{Egress, Policy};
use crate::net::portmap::{Mapping, OutsidePorts, OwnPorts, Protocol, State};
use crate::tracker::server::{ServerConfig, serve};
use crate::tracker::task::{
    Announcer, AnnouncerConfig, Entry, NetworkTiming, QUIET_DEFAULT, TrackerCommand, TrackerConfig,
    TrackerEvent, TransferStats, UdpClient, http_client,
};
use crate::tracker::tiers::status::TrackerState;
use crate::tracker::tiers::{ManualAnnounce, Timing};

/// Longest wait for something that must come; never waited for in full when all is well.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) struct Torrent {
    pub(super) events: mpsc::Receiver<TrackerEvent>,
    pub(super) entry: Entry,
}

/// What a torrent that is no private one announces with.
pub(super) fn config_of(tiers: &[&[String]]) -> TrackerConfig {
    TrackerConfig {
        tiers: tiers.iter().map(|tier| tier.to_vec()).collect(),
        info_hash: InfoHash([1; 20]),
        key: 7,
        numwant: 50,
        is_private: false,
        was_complete: false,
        rng_seed: 1,
    }
}

/// An announcer with these times.
pub(super) fn announcer(
    udp: Option<UdpClient>,
    network: NetworkTiming,
    timing: Timing,
    ports: OwnPorts,
) -> Announcer {
    Announcer::start(AnnouncerConfig {
        peer_id: PeerId(*b"-PN0100-abcdefghijkl"),
        ports,
        supports_crypto: false,
        requires_crypto: false,
        client: http_client(&network).unwrap(),
        udp,
        timing,
        network,
        quiet: QUIET_DEFAULT,
    })
}

impl Torrent {
    pub(super) fn start(tiers: &[&[String]]) -> Self {
        Self::asking(tiers, None)
    }

    /// Over these UDP sockets.
    pub(super) fn asking(tiers: &[&[String]], udp: Option<UdpClient>) -> Self {
        let network = NetworkTiming {
            egress: Egress::default(),
            connect: millis(300),
            read: millis(300),
            total: millis(600),
            total_stopped: millis(300),
            total_udp: millis(600),
            retry_udp: millis(100),
            lookup: millis(300),
            link_local: false,
        };
        let timing = Timing {
            hedge: millis(150),
            patience: millis(150),
            stop_budget: millis(200),
            ..Timing::default()
        };
        Self::over(udp, tiers, network, timing, OwnPorts::fixed(6881, 6881))
    }

    pub(super) fn with(
        tiers: &[&[String]],
        network: NetworkTiming,
        timing: Timing,
        port: u16,
    ) -> Self {
        Self::over(None, tiers, network, timing, OwnPorts::fixed(port, port))
    }

    fn over(
        udp: Option<UdpClient>,
        tiers: &[&[String]],
        network: NetworkTiming,
        timing: Timing,
        ports: OwnPorts,
    ) -> Self {
        let stats = TransferStats { left: 99, wanted_left: 99, ..TransferStats::default() };
        let (news, events) = mpsc::channel(64);
        let announcer = announcer(udp, network, timing, ports);
        Self { events, entry: announcer.enter(config_of(tiers), stats, Some(news)) }
    }

    /// The first event that `choose` accepts.
    pub(super) async fn event<T>(&mut self, choose: impl Fn(TrackerEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the task is alive");
                if let Some(found) = choose(event) {
                    return found;
                }
            }
        };
        timeout(LIMIT, search).await.expect("an event")
    }

    pub(super) async fn peers(&mut self) -> Vec<SocketAddr> {
        self.event(|event| match event {
            TrackerEvent::Peers { addresses, .. } => Some(addresses),
            _ => None,
        })
        .await
    }

    pub(super) async fn failure(&mut self) -> String {
        self.event(|event| match event {
            TrackerEvent::Failure { text, .. } => Some(text),
            _ => None,
        })
        .await
    }

    pub(super) async fn stop(self) -> Duration {
        let begin = Instant::now();
        timeout(LIMIT, self.entry.stop()).await.expect("an end");
        begin.elapsed()
    }
}

pub(super) fn peer(text: &str) -> Vec<SocketAddr> {
    vec![text.parse().unwrap()]
}

/// What the only tracker's first failure says.
async fn failure_of(script: Script) -> String {
    let tracker = MockTracker::start(vec![script]);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    torrent.failure().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announce_carries_what_it_must_and_keeps_the_passkey() {
    let tracker = MockTracker::start(vec![Script::peer([10, 1, 2, 3], 6881)]);
    let url = tracker.url_of("/announce.php?passkey=aB%2fZ'&x=1");
    let mut torrent = Torrent::start(&[&[url]]);
    // The tracker is on this machine, so that a private peer is believed.
    assert_eq!(torrent.peers().await, peer("10.1.2.3:6881"));
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.starts_with("GET /announce.php?passkey=aB%2fZ%27&x=1&info_hash=%01%01"), "{line}");
    let rest = "&peer_id=-PN0100-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=99\
        &corrupt=0&redundant=0&compact=1&no_peer_id=1&numwant=50&key=00000007&event=started HTTP/1.1";
    assert!(line.ends_with(rest), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_fall_back_from_every_kind_of_broken_tracker() {
    let slow = Script::Drip(b"HTTP/1.1 200 OK\r\n".to_vec(), millis(40));
    for broken in [Script::Close, Script::Hang, slow, Script::Endless] {
        let bad = MockTracker::start(vec![broken.clone()]);
        let good = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
        let begin = Instant::now();
        let mut torrent = Torrent::start(&[&[bad.url()], &[good.url()]]);
        assert_eq!(torrent.peers().await, peer("127.0.0.1:1"), "{broken:?}");
        // Nobody is connected: the hedge is taken before the timeout of 600 ms.
        assert!(begin.elapsed() < millis(550), "{broken:?}: {:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_and_a_dead_name_are_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut torrent = Torrent::start(&[&[format!("http://{closed}/announce")]]);
    let text = torrent.failure().await;
    assert!(text.starts_with("cannot reach tracker: ") && text.contains("refused"), "{text}");
    let mut torrent = Torrent::start(&[&["http://tracker.invalid/announce?passkey=S3".to_owned()]]);
    let text = torrent.failure().await;
    assert!(text.starts_with("cannot resolve tracker host tracker.invalid: "), "{text}");
    assert!(!text.contains("S3"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hang_and_drip_end_in_time() {
    let text = failure_of(Script::Hang).await;
    assert!(text.contains("cannot reach tracker: ") || text.contains("did not answer"), "{text}");
    // Every byte comes in time, and yet there is an end.
    let head = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
    let drip = Script::Drip([head, &[b'x'; 9999]].concat(), millis(5));
    let tracker = MockTracker::start(vec![drip]);
    let network = NetworkTiming { total: millis(400), ..NetworkTiming::by(Egress::default()) };
    let mut torrent = Torrent::with(&[&[tracker.url()]], network, Timing::default(), 6881);
    assert_eq!(torrent.failure().await, "tracker did not answer within 0.4 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_on_the_wire_and_unpacked() {
    let too_long = "tracker's reply is longer than 1048576 bytes";
    assert_eq!(failure_of(Script::Endless).await, too_long);
    let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    assert_eq!(failure_of(Script::Raw(announced)).await, too_long);
    let bomb = gzip_bomb(64 << 20);
    assert!(bomb.len() < 500_000);
    let packed = Script::response("200 OK", "Content-Encoding: gzip\r\n", &bomb);
    assert_eq!(failure_of(packed).await, too_long);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_answers_are_explained() {
    let html = b"<html><body>It works!</body></html>";
    let web_page = "tracker answered with a web page instead of peers";
    assert_eq!(failure_of(Script::body(html)).await, web_page);
    let not_found = Script::response("404 Not Found", "", html);
    assert_eq!(failure_of(not_found).await, "tracker answered HTTP status 404");
    let refusal = Script::response("403 Forbidden", "", b"d14:failure reason11:not allowede");
    assert_eq!(failure_of(refusal).await, "tracker refused: not allowed");
    let text = failure_of(Script::body(b"d5:peers6:abc")).await;
    assert!(text.starts_with("tracker's reply is malformed: "), "{text}");
    let deep = [b"d1:x".as_slice(), &[b'l'; 900_000]].concat();
    let text = failure_of(Script::body(&deep)).await;
    assert!(text.starts_with("tracker's reply is malformed: "), "{text}");
    let text = failure_of(Script::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await;
    assert!(text.starts_with("cannot reach tracker: "), "{text}");
}

/// A reply with the peer 127.0.0.1:1, packed.
const PACKED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xb1\xb0\xca\xcc\x2b\x49\x2d\x2a\x4b\
    \xcc\xc9\x34\xb4\x30\x30\x48\x35\xb5\x2a\x48\x4d\x2d\x2a\x36\xb3\xaa\x67\x60\x60\
    \x64\x60\x4c\x05\x00\x8a\x81\x54\xec\x21\x00\x00\x00";

// RFC 9110, 8.4.1: names of codings have no case, and `x-gzip` is gzip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_has_several_names() {
    for name in ["gzip", "x-gzip", "GZIP", "X-Gzip"] {
        let reply = Script::response("200 OK", &format!("Content-Encoding: {name}\r\n"), PACKED);
        let tracker = MockTracker::start(vec![reply]);
        let mut torrent = Torrent::start(&[&[tracker.url()]]);
        assert_eq!(torrent.peers().await, peer("127.0.0.1:1"), "{name}");
    }
    let bomb = Script::response("200 OK", "Content-Encoding: x-gzip\r\n", &gzip_bomb(64 << 20));
    assert_eq!(failure_of(bomb).await, "tracker's reply is longer than 1048576 bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_comes_with_a_failure_is_kept() {
    let refusal = b"d14:failure reason4:slowe";
    let over = std::time::SystemTime::now() + Duration::from_secs(3601);
    let date = format!("Retry-After: {}\r\n", httpdate::fmt_http_date(over));
    for (status, headers, body) in [
        ("429 Too Many Requests", "Retry-After: 3600\r\n", b"".as_slice()),
        ("503 Service Unavailable", date.as_str(), b""),
        ("503 Service Unavailable", "Retry-After: 3600\r\n", refusal),
        ("429 Too Many Requests", "", b"d14:failure reason4:slow8:intervali3600ee"),
    ] {
        let tracker = MockTracker::start(vec![Script::response(status, headers, body)]);
        let mut torrent = Torrent::start(&[&[tracker.url()]]);
        torrent.failure().await;
        let (asked, answered) = oneshot::channel();
        torrent.entry.tell(TrackerCommand::Announce(asked));
        let ManualAnnounce::AllowedIn(_, wait) = answered.await.unwrap() else {
            panic!("{status} {headers}: the time was not kept");
        };
        assert!((3590..=3601).contains(&wait.as_secs()), "{status} {headers}: {wait:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_content_type_does_not_matter() {
    let body = b"d8:intervali1800e5:peers6:\x7f\0\0\x01\0\x01e";
    let reply = Script::response("200 OK", "Content-Type: text/html\r\n", body);
    let tracker = MockTracker::start(vec![reply]);
    assert_eq!(Torrent::start(&[&[tracker.url()]]).peers().await, peer("127.0.0.1:1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_five_times_and_not_anywhere() {
    let good = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let hop = MockTracker::start(vec![Script::redirect(&good.url_of("/announce2?moved=1"))]);
    let mut torrent = Torrent::start(&[&[hop.url()]]);
    assert_eq!(torrent.peers().await, peer("127.0.0.1:1"));
    assert_eq!(good.next_request(LIMIT).unwrap(), "GET /announce2?moved=1 HTTP/1.1");

    let looping = MockTracker::start(vec![Script::redirect("/announce")]);
    let mut torrent = Torrent::start(&[&[looping.url()]]);
    assert_eq!(torrent.failure().await, "tracker redirects more than 5 times");
    assert_eq!(looping.requests().len(), 6);

    let unusable = "tracker redirects to an unusable address";
    for target in ["file:///etc/passwd", "gopher://127.0.0.1/announce", "http://", ""] {
        let script = Script::response("302 Found", &format!("Location: {target}\r\n"), b"");
        let text = failure_of(script).await;
        let is_loop = target.is_empty() && text.contains("more than 5");
        assert!(text == unusable || is_loop, "{target}: {text}");
    }
    assert_eq!(failure_of(Script::response("302 Found", "", b"")).await, unusable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_is_asked_for_announces_only() {
    let service = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let refused = "tracker leads to the loopback address 127.0.0.1, which is not allowed";
    let mut torrent = Torrent::start(&[&[service.url_of("/admin/delete?all=1")]]);
    assert_eq!(torrent.failure().await, refused);
    let hop = MockTracker::start(vec![Script::redirect(&service.url_of("/admin"))]);
    let mut torrent = Torrent::start(&[&[hop.url()]]);
    assert_eq!(torrent.failure().await, refused);
    // A name for this machine is this machine.
    let named = service.url_of("/admin").replace("127.0.0.1", "localhost");
    let mut torrent = Torrent::start(&[&[named]]);
    assert!(torrent.failure().await.starts_with("tracker leads to the loopback address"));
    assert_eq!(service.requests(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tracker_id_is_sent_back_and_the_minimum_holds_for_the_user() {
    let body = b"d8:intervali1800e12:min intervali600e5:peers0:10:tracker id3:a&\xffe";
    let tracker = MockTracker::start(vec![Script::body(body)]);
    let torrent = Torrent::start(&[&[tracker.url()]]);
    assert!(!tracker.next_request(LIMIT).unwrap().contains("trackerid"));
    let asked = async {
        loop {
            let (answer, told) = oneshot::channel();
            torrent.entry.tell(TrackerCommand::Announce(answer));
            match told.await.unwrap() {
                ManualAnnounce::Asking(_) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let ManualAnnounce::AllowedIn(url, wait) = timeout(LIMIT, asked).await.unwrap() else {
        panic!("the minimum was not held");
    };
    assert_eq!(url, tracker.url());
    assert!((590..=600).contains(&wait.as_secs()), "{wait:?}");
    torrent.entry.tell(TrackerCommand::Completed);
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.contains("&event=completed&trackerid=a%26%FF "), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_is_sent_with_the_figures_and_within_its_budget() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1), Script::Hang]);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    torrent.peers().await;
    let figures = TransferStats {
        uploaded: 5,
        downloaded: 6,
        corrupt: 3,
        redundant: 4,
        left: 7,
        wanted_left: 7,
        ..Default::default()
    };
    torrent.entry.publish(figures);
    let took = torrent.stop().await;
    assert!(took < millis(1500), "{took:?}");
    tracker.next_request(LIMIT).unwrap();
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.contains("&uploaded=5&downloaded=6&left=7&corrupt=3&redundant=4&"), "{line}");
    assert!(line.contains("&numwant=0&") && line.contains("&event=stopped"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_torrent_says_stopped_and_started_when_it_goes_on() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    torrent.peers().await;
    let next = || tracker.next_request(LIMIT).unwrap();
    assert!(next().contains("&event=started"));
    let figures =
        TransferStats { left: 99, wanted_left: 99, is_paused: true, ..Default::default() };
    torrent.entry.publish(figures);
    let line = next();
    assert!(line.contains("&numwant=0&") && line.contains("&event=stopped"), "{line}");
    let (asked, answered) = oneshot::channel();
    torrent.entry.tell(TrackerCommand::Announce(asked));
    assert_eq!(answered.await.unwrap(), ManualAnnounce::Paused);
    torrent.entry.publish(TransferStats { is_paused: false, ..figures });
    let line = next();
    assert!(line.contains("&numwant=50&") && line.contains("&event=started"), "{line}");
    torrent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_never_answered_does_not_delay_the_end() {
    let tracker = MockTracker::start(vec![Script::Hang]);
    let torrent = Torrent::start(&[&[tracker.url()]]);
    tracker.next_request(LIMIT).unwrap();
    let took = torrent.stop().await;
    assert!(took < millis(150), "{took:?}");
    assert_eq!(tracker.requests(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_that_reads_no_events_can_still_be_stopped() {
    let body = b"d8:intervali1e5:peers6:\x7f\0\0\x01\0\x0115:warning message1:xe";
    let tracker = MockTracker::start(vec![Script::body(body)]);
    let timing = Timing { interval_floor_alone: millis(1), ..Timing::default() };
    let network =
        NetworkTiming { total_stopped: millis(300), ..NetworkTiming::by(Egress::default()) };
    let torrent = Torrent::with(&[&[tracker.url()]], network, timing, 6881);
    tracker.next_request(LIMIT).unwrap();
    torrent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warning_is_told_and_the_announce_counts() {
    let body = b"d11:external ip4:\x01\x02\x03\x048:intervali1800e5:peers0:\
        15:warning message7:be nicee";
    let tracker = MockTracker::start(vec![Script::body(body)]);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    let external = torrent.event(|event| match event {
        TrackerEvent::ExternalIp(address) => Some(address),
        _ => None,
    });
    assert_eq!(external.await.to_string(), "1.2.3.4");
    let warning = torrent.event(|event| match event {
        TrackerEvent::Warning { text, .. } => Some(text),
        _ => None,
    });
    assert_eq!(warning.await, "be nice");
    let state = torrent.event(|event| match event {
        TrackerEvent::Status(status) => {
            Some(status[0].state).filter(|state| *state != TrackerState::Announcing)
        }
        _ => None,
    });
    assert_eq!(state.await, TrackerState::Working);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_one_tracker_are_told_once_in_a_while() {
    let tracker = MockTracker::start(vec![Script::body(b"d14:failure reason2:noe")]);
    let timing = Timing { backoff: millis(1), ..Timing::default() };
    let mut torrent =
        Torrent::with(&[&[tracker.url()]], NetworkTiming::by(Egress::default()), timing, 6881);
    for _ in 0..3 {
        tracker.next_request(LIMIT).unwrap();
    }
    // All but the first of them are in the status only.
    let fails = torrent.event(|event| match event {
        TrackerEvent::Failure { .. } => Some(()),
        _ => None,
    });
    fails.await;
    let again = torrent.event(|event| match event {
        TrackerEvent::Failure { .. } => panic!("told twice"),
        TrackerEvent::Status(status) => match status[0].state {
            TrackerState::Failing(fails) if fails >= 3 => Some(()),
            _ => None,
        },
        _ => None,
    });
    again.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_are_names_are_resolved() {
    let body = b"d8:intervali1800e5:peersld2:ip9:localhost4:porti7eeee";
    let tracker = MockTracker::start(vec![Script::body(body)]);
    let mut torrent = Torrent::start(&[&[tracker.url()]]);
    let addresses = torrent.peers().await;
    assert_eq!(addresses.len(), 1);
    assert!(addresses[0].ip().is_loopback() && addresses[0].port() == 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_goes_to_the_tracker_itself_and_not_past_its_redirect() {
    // Another address than the first tracker's, or the mistake would not show.
    let good = MockTracker::start_at("127.0.0.2", vec![Script::peer([127, 0, 0, 1], 1)]);
    let hop = MockTracker::start(vec![Script::redirect(&good.url())]);
    let mut torrent = Torrent::start(&[&[hop.url()]]);
    torrent.peers().await;
    torrent.stop().await;
    let asked = hop.requests();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].contains("&event=stopped"), "{}", asked[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_where_tls_was_asked_for_is_a_failure() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let url = tracker.url().replace("http://", "https://");
    let text = Torrent::start(&[&[url]]).failure().await;
    assert!(text.starts_with("cannot reach tracker: "), "{text}");
}

// BEP 7: "An announce should be made for each local IP address".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_meet_at_the_embedded_tracker_over_both_families() {
    let four = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = four.local_addr().unwrap().port();
    let names = tokio::net::lookup_host(("localhost", port)).await.unwrap();
    let has_six = names.into_iter().any(|address| address.is_ipv6());
    let six = TcpListener::bind(("::1", port)).await.ok().filter(|_| has_six);
    let mut expected = vec![SocketAddr::from(([127, 0, 0, 1], 1001))];
    let config = ServerConfig::default();
    tokio::spawn(serve(four, config.clone(), std::future::pending()));
    match six {
        Some(six) => {
            expected.push(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1001)));
            tokio::spawn(serve(six, config, std::future::pending()));
        }
        None => eprintln!("IPv6 part skipped: localhost has no IPv6 address here"),
    }
    let url = format!("http://localhost:{port}/announce");
    let start = |port| {
        let network = NetworkTiming::by(Egress::default());
        Torrent::with(&[std::slice::from_ref(&url)], network, Timing::default(), port)
    };
    let mut first = start(1001);
    for _ in &expected {
        let external = first.event(|event| match event {
            TrackerEvent::ExternalIp(address) => Some(address),
            _ => None,
        });
        assert!(external.await.is_loopback());
    }
    let mut second = start(1002);
    let mut met = Vec::new();
    for _ in &expected {
        met.extend(second.peers().await);
    }
    met.sort_unstable();
    assert_eq!(met, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_with_an_ipv6_address_is_asked() {
    let Ok(six) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let url = format!("http://{}/announce", six.local_addr().unwrap());
    tokio::spawn(serve(six, ServerConfig::default(), std::future::pending()));
    let mut torrent = Torrent::start(&[&[url]]);
    let external = torrent.event(|event| match event {
        TrackerEvent::ExternalIp(address) => Some(address),
        _ => None,
    });
    assert_eq!(external.await.to_string(), "::1");
}

/// A router gives us another port than ours: whoever comes through it is told that one, and again
/// when it changes. Through a proxy no tracker is one of our own network; this one is both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_are_told_the_port_outside_and_follow_it() {
    let tracker = MockTracker::start(vec![Script::body(b"d8:intervali1800e5:peers0:e")]);
    let proxy = tracker.url().trim_end_matches("/announce").parse().ok();
    let egress = Egress::new(Policy { proxy, ..Policy::default() });
    let (ports, told) = OwnPorts::mapped(6881, 6881);
    map(&told, 40_000);
    let outside = telling("http://tracker.example/announce".to_owned(), egress, ports);
    // A scrape that comes to a proxy looks like any other request.
    let next = |limit| {
        let lines = std::iter::from_fn(|| tracker.next_request(limit));
        let mut announces = lines.filter(|line| line.contains("/announce?"));
        announces.next().unwrap()
    };
    let line = next(LIMIT);
    assert!(line.contains("&port=40000&"), "{line}");
    map(&told, 50_000);
    // Ten seconds later, if the answer to the first was on its way.
    let line = next(3 * LIMIT);
    assert!(line.contains("&port=50000&"), "{line}");
    outside.stop().await;
    assert!(next(LIMIT).contains("&event=stopped"));
}

/// Whoever is here is told the port here, whether its URL names an address or a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_of_our_own_network_are_told_the_port_inside() {
    let tracker = MockTracker::start(vec![Script::body(b"d8:intervali1800e5:peers0:e")]);
    let (ports, told) = OwnPorts::mapped(6881, 6881);
    map(&told, 40_000);
    for host in ["127.0.0.1", "localhost"] {
        let url = tracker.url().replace("127.0.0.1", host);
        let inside = telling(url, Egress::default(), ports.clone());
        let line = tracker.next_request(LIMIT).unwrap();
        assert!(line.contains("&port=6881&"), "{host}: {line}");
        inside.stop().await;
        let line = tracker.next_request(LIMIT).unwrap();
        assert!(line.contains("&port=6881&") && line.contains("&event=stopped"), "{host}: {line}");
    }
}

/// A torrent with one tracker that leaves so and has these ports.
fn telling(url: String, egress: Egress, ports: OwnPorts) -> Torrent {
    let timing = Timing { interval_floor_alone: Duration::ZERO, ..Timing::default() };
    Torrent::over(None, &[&[url]], NetworkTiming::by(egress), timing, ports)
}

/// The router opens this port.
fn map(told: &watch::Sender<OutsidePorts>, port: u16) {
    let mapping = Mapping {
        protocol: Protocol::NatPmp,
        gateway: [192, 168, 1, 1].into(),
        address: [93, 184, 216, 34].into(),
        tcp: port,
        udp: Some(port),
        lifetime: Some(Duration::from_secs(60)),
    };
    told.send_modify(|all| all.note(true, 6881, &State::Mapped(mapping)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_beyond_the_most_are_told_of() {
    let urls: Vec<String> = (0..103).map(|nth| format!("http://127.0.0.1:1/{nth}")).collect();
    let again = urls[..7].to_vec();
    let network = NetworkTiming::by(Egress::default());
    let mut torrent = Torrent::with(&[&urls, &again], network, Timing::default(), 6881);
    let (url, text) = torrent
        .event(|event| match event {
            TrackerEvent::Failure { url, text } if text.contains("not asked") => Some((url, text)),
            _ => None,
        })
        .await;
    assert_eq!(url, urls[100]);
    assert_eq!(text, "it is not asked: a torrent has 100 trackers at most, and 3 more are named");
}
