//! The announcer with many torrents: who hears what, who goes first, and how many at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc, oneshot};
use tokio::time::timeout;

use super::mock_tracker::{MockTracker, Script};
use super::task::{announcer, config_of, millis, peer};
use crate::base::ids::{InfoHash, TorrentId};
use crate::net::egress::Egress;
use crate::net::portmap::OwnPorts;
use crate::tracker::task::{
    Announcer, Entry, HTTP_BOUNDS, Lookout, NetworkTiming, TrackerCommand, TrackerConfig,
    TrackerEvent, TransferStats,
};
use crate::tracker::tiers::status::TrackerState;
use crate::tracker::tiers::{ManualAnnounce, Timing};

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(30);

const LEECH: TransferStats = TransferStats {
    uploaded: 0,
    downloaded: 0,
    corrupt: 0,
    redundant: 0,
    left: 99,
    wanted_left: 99,
    peers_connected: 0,
    working_peers: 0,
    is_paused: false,
};
const SEED: TransferStats = TransferStats { left: 0, wanted_left: 0, ..LEECH };

fn usual() -> Announcer {
    let network = NetworkTiming::by(Egress::default());
    announcer(None, network, Timing::default(), OwnPorts::fixed(6881, 6881))
}

/// The torrent of this number, with one tracker.
fn torrent(number: u16, url: &str) -> TrackerConfig {
    let mut hash = [0; 20];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    TrackerConfig { info_hash: InfoHash(hash), ..config_of(&[&[url.to_owned()]]) }
}

/// Enters with ears.
fn enter(
    announcer: &Announcer,
    config: TrackerConfig,
    stats: TransferStats,
) -> (Entry, mpsc::Receiver<TrackerEvent>) {
    let (news, events) = mpsc::channel(64);
    (announcer.enter(config, stats, Some(news)), events)
}

async fn event(events: &mut mpsc::Receiver<TrackerEvent>) -> TrackerEvent {
    timeout(LIMIT, events.recv()).await.expect("an event in time").expect("the announcer is there")
}

/// The first peers that are named.
async fn peers(events: &mut mpsc::Receiver<TrackerEvent>) -> Vec<SocketAddr> {
    loop {
        if let TrackerEvent::Peers { addresses } = event(events).await {
            return addresses;
        }
    }
}

/// A tracker that counts who asks at the same time.
#[derive(Clone)]
struct Counter {
    counts: Arc<Mutex<Counts>>,
    /// Nobody is answered before so many have asked.
    together: Arc<Barrier>,
    /// It answers nobody any more.
    hangs: Arc<AtomicBool>,
    url: String,
}

#[derive(Default)]
struct Counts {
    now: usize,
    most: usize,
    /// Request lines, in the order of arrival.
    lines: Vec<String>,
}

impl Counter {
    async fn start(together: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let together = Arc::new(Barrier::new(together));
        let hangs = Arc::default();
        let counter = Self { counts: Arc::default(), together, hangs, url };
        let own = counter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(own.clone().answer(stream));
            }
        });
        counter
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
        let line = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
        {
            let mut counts = self.counts.lock().unwrap();
            counts.now += 1;
            counts.most = counts.most.max(counts.now);
            counts.lines.push(line);
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.together.wait().await;
        self.counts.lock().unwrap().now -= 1;
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 56\r\n\r\n\
            d8:completei0e10:incompletei0e8:intervali1800e5:peers0:e";
        stream.write_all(reply).await.unwrap();
    }

    fn lines(&self) -> Vec<String> {
        self.counts.lock().unwrap().lines.clone()
    }

    /// Waits until so many have asked.
    async fn asked(&self, count: usize) {
        let reached = async {
            while self.counts.lock().unwrap().lines.len() < count {
                tokio::time::sleep(millis(5)).await;
            }
        };
        timeout(LIMIT, reached).await.expect("all ask in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_torrents_hear_each_their_own_events() {
    let first = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let second = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 2)]);
    let announcer = usual();
    let (one, mut of_one) = enter(&announcer, torrent(1, &first.url()), LEECH);
    let (two, mut of_two) = enter(&announcer, torrent(2, &second.url()), LEECH);
    assert_eq!(peers(&mut of_one).await, peer("127.0.0.1:1"));
    assert_eq!(peers(&mut of_two).await, peer("127.0.0.1:2"));
    one.stop().await;
    two.stop().await;
    // Their channels are closed with them.
    for (mut events, own) in [(of_one, &first), (of_two, &second)] {
        while let Some(event) = events.recv().await {
            let TrackerEvent::Status(all) = event else { panic!("{event:?}") };
            assert!(all.iter().all(|status| status.url == own.url()), "{all:?}");
        }
        assert_eq!(own.requests().len(), 2);
    }
}

#[tokio::test]
async fn thousands_that_begin_ask_a_few_at_a_time_and_downloads_first() {
    const COUNT: u16 = 5000;
    let tracker = Counter::start(HTTP_BOUNDS.site).await;
    let announcer = usual();
    let mut entries = Vec::new();
    // Every third sleeps, seeds or downloads.
    for number in 0..COUNT {
        let config = torrent(number, &tracker.url);
        entries.push(match number % 3 {
            0 => announcer.enter(config, SEED, None),
            1 => {
                let (entry, mut events) = enter(&announcer, config, SEED);
                tokio::spawn(async move { while events.recv().await.is_some() {} });
                entry
            }
            _ => announcer.enter(config, LEECH, None),
        });
    }
    tracker.asked(usize::from(COUNT)).await;
    assert_eq!(tracker.counts.lock().unwrap().most, HTTP_BOUNDS.site);
    let lines = tracker.lines();
    let downloads = lines.iter().filter(|line| line.contains("&left=99&")).count();
    assert_eq!(downloads, usize::from(COUNT / 3));
    // What is sent off one after the other arrives so, but for those on their way together.
    let slack = HTTP_BOUNDS.site;
    let is_download = |line: &&String| line.contains("&left=99&");
    assert!(lines[..downloads - slack].iter().all(|line| is_download(&line)));
    let is_asleep = |line: &&String| line.contains("&numwant=0&") && !is_download(line);
    let awake = usize::from(COUNT) - lines.iter().filter(is_asleep).count();
    assert!(!lines[..awake - slack].iter().any(|line| is_asleep(&line)));
    let mut hashes: Vec<&str> = lines.iter().map(|line| hash_in(line)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), usize::from(COUNT), "each is announced once");
}

fn hash_in(line: &str) -> &str {
    line.split(['?', '&']).find(|pair| pair.starts_with("info_hash=")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_ears_asks_for_no_peers_and_hears_how_it_stands_when_they_are_back() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let announcer = usual();
    let (entry, mut events) = enter(&announcer, torrent(1, &tracker.url()), SEED);
    assert_eq!(peers(&mut events).await, peer("127.0.0.1:1"));
    let next = || tracker.next_request(LIMIT).unwrap();
    assert!(next().contains("&numwant=50&"));
    entry.listen(None);
    while events.recv().await.is_some() {}
    // It is announced all the same.
    entry.publish(TransferStats { is_paused: true, ..SEED });
    assert!(next().contains("&event=stopped"));
    entry.publish(SEED);
    let line = next();
    assert!(line.contains("&numwant=0&") && line.contains("&event=started"), "{line}");
    let answered = async {
        loop {
            let (answer, told) = oneshot::channel();
            entry.tell(TrackerCommand::Announce(answer));
            if let ManualAnnounce::AllowedIn(..) = told.await.unwrap() {
                return;
            }
        }
    };
    timeout(LIMIT, answered).await.expect("an answer");
    let (news, mut events) = mpsc::channel(64);
    entry.listen(Some(news));
    let first = event(&mut events).await;
    let TrackerEvent::Status(all) = first else { panic!("{first:?}") };
    assert_eq!((all[0].state, all[0].peers), (TrackerState::Working, Some(1)));
    entry.stop().await;
    assert_eq!(tracker.requests().len(), 1, "nothing but the goodbye");
    while let Some(event) = events.recv().await {
        assert!(matches!(event, TrackerEvent::Status(_)), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_out_hears_of_whom_lacks_something_and_the_torrent_goes_on_when_it_is_here() {
    let counted = |lacking: usize| {
        let body = format!("d8:completei3e10:incompletei{lacking}e8:intervali1800e5:peers6:");
        Script::body(&[body.as_bytes(), &[127, 0, 0, 1, 0, 7], b"e"].concat())
    };
    let [seeds, other] = [0, 1].map(|lacking| MockTracker::start(vec![counted(lacking)]));
    let announcer = usual();
    let (named, mut heard) = mpsc::channel(4);
    let unseen = |number: u16, url: &str| {
        let lookout = Lookout { id: TorrentId(number.into()), named: named.clone() };
        announcer.enter_unseen(torrent(number, url), SEED, lookout)
    };
    let status = async |entry: &Entry| {
        let (answer, told) = oneshot::channel();
        entry.look(answer);
        timeout(LIMIT, told).await.expect("at once").unwrap_or_default()
    };
    let first = unseen(1, &seeds.url());
    let line = seeds.next_request(LIMIT).unwrap();
    assert!(line.contains("&numwant=50&") && line.contains("&event=started"), "{line}");
    let answered = async {
        while status(&first).await[0].state != TrackerState::Working {
            tokio::time::sleep(millis(5)).await;
        }
    };
    timeout(LIMIT, answered).await.expect("an answer");
    let second = unseen(2, &other.url());
    let told = timeout(LIMIT, heard.recv()).await.expect("somebody is named");
    assert_eq!(told, Some((TorrentId(2), peer("127.0.0.1:7"))), "all others are seeds");
    let (news, mut events) = mpsc::channel(64);
    second.listen(Some(news));
    let first_event = event(&mut events).await;
    let TrackerEvent::Status(all) = first_event else { panic!("{first_event:?}") };
    assert_eq!((all[0].state, all[0].leeches), (TrackerState::Working, Some(1)));
    first.stop().await;
    second.stop().await;
    assert!(status(&first).await.is_empty(), "it has left");
    assert!(heard.try_recv().is_err());
    let left: Vec<String> = seeds.requests().into_iter().chain(other.requests()).collect();
    let is_started: Vec<bool> = left.iter().map(|it| it.contains("event=started")).collect();
    assert_eq!(is_started, [false, true, false], "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_leave_within_the_budget_and_a_tracker_that_hangs_holds_up_no_other() {
    const COUNT: u16 = 600;
    let hanging = Counter::start(1).await;
    let good = Counter::start(1).await;
    let announcer = usual();
    let enter = |number: u16| {
        let url = if number.is_multiple_of(2) { &hanging.url } else { &good.url };
        announcer.enter(torrent(number, url), SEED, None)
    };
    let entries: Vec<Entry> = (0..COUNT).map(enter).collect();
    let half = usize::from(COUNT / 2);
    hanging.asked(half).await;
    good.asked(half).await;
    hanging.hangs.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    let stops: Vec<_> = entries.iter().map(Entry::stop).collect();
    for stop in stops {
        timeout(LIMIT, stop).await.expect("an end");
    }
    assert!(begin.elapsed() < Timing::default().stop_budget + Duration::from_secs(2));
    let told =
        |lines: Vec<String>| lines.iter().filter(|line| line.contains("&event=stopped")).count();
    assert_eq!(told(good.lines()), half);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_dropped_says_stopped() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let announcer = usual();
    let (entry, mut events) = enter(&announcer, torrent(1, &tracker.url()), LEECH);
    peers(&mut events).await;
    tracker.next_request(LIMIT).unwrap();
    // The last handle: what is to be said is said all the same.
    drop(announcer);
    drop(entry);
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.contains("&event=stopped"), "{line}");
    while events.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_enters_paused_leaves_nobody_and_enters_when_it_goes_on() {
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], 1)]);
    let announcer = usual();
    let paused = TransferStats { is_paused: true, ..SEED };
    let (entry, mut events) = enter(&announcer, torrent(1, &tracker.url()), paused);
    // Whoever asks behind it is answered when its own letter was read.
    let (answer, answered) = oneshot::channel();
    entry.look(answer);
    assert!(!timeout(LIMIT, answered).await.expect("an answer").unwrap().is_empty());
    entry.publish(SEED);
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.contains("&event=started"), "{line}");
    peers(&mut events).await;
    entry.publish(paused);
    let line = tracker.next_request(LIMIT).unwrap();
    assert!(line.contains("&event=stopped"), "{line}");
    entry.stop().await;
    assert_eq!(tracker.requests(), Vec::<String>::new());
}
