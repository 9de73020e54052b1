//! Seeds of an earlier run of which trackers are told while they are rows.

use super::kept::{back, keeping, rows};
use super::latent::{is_here, is_served, row, seed};
use super::rules::{book, labelled};
use super::set::eventually;
use super::slumber::{held, when};
use super::*;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::base::ids::TorrentId;
use crate::roster::rules::Then;
use crate::roster::{Flags, Phase};
use crate::tracker::tiers::status::TrackerState;

const LIMIT: Duration = Duration::from_secs(30);

/// A tracker that keeps what it was told.
struct Tracker {
    url: String,
    told: Arc<Mutex<Vec<String>>>,
    lacking: Arc<AtomicUsize>,
    /// Who leaves is answered when this is over.
    holds: Arc<AtomicBool>,
}

impl Tracker {
    /// One that names this peer, of whom it says that nothing is lacking.
    async fn start(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heard, port) = (told.clone(), peer.port().to_be_bytes());
        let lacking: Arc<AtomicUsize> = Arc::default();
        let holds: Arc<AtomicBool> = Arc::default();
        let (counted, held) = (lacking.clone(), holds.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts =
                    format!("d8:completei7e10:incompletei{}e", counted.load(Ordering::SeqCst));
                let rest: &[u8] = b"8:intervali1800e5:peers6:\x7f\0\0\x01";
                let body = [counts.as_bytes(), rest, &port, b"e"].concat();
                tokio::spawn(answer(stream, body, heard.clone(), held.clone()));
            }
        });
        Self { url, told, lacking, holds }
    }

    /// One that names nobody who lacks anything.
    async fn of_seeds() -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 9))).await
    }

    /// How often it was told this event, since it forgot.
    fn count(&self, event: &str) -> usize {
        let event = format!("event={event}");
        self.told.lock().unwrap().iter().filter(|line| line.contains(&event)).count()
    }

    async fn hears(&self, event: &str, count: usize) {
        eventually(event, async || self.count(event) == count).await;
    }

    fn forget(&self) {
        self.told.lock().unwrap().clear();
    }
}

async fn answer(
    mut stream: TcpStream,
    body: Vec<u8>,
    told: Arc<Mutex<Vec<String>>>,
    holds: Arc<AtomicBool>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.is_ok_and(|len| len > 0) {
            continue;
        }
        return;
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
    let is_goodbye = line.contains("event=stopped");
    told.lock().unwrap().push(line);
    while is_goodbye && holds.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    // Who asked may have gone.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}

fn sleepy(home: &Path) -> SessionConfig {
    let rest = options(home).waits_for_disk(true).use_trackers(true);
    keeping(home, 1).awake_max(0).restored(rest)
}

/// The next session after one that had so many seeds with this tracker, which has forgotten that.
async fn announced(home: &Path, count: usize, tracker: &Tracker) -> Session {
    ended(home, count, tracker).await;
    Session::start(sleepy(home)).await.unwrap()
}

async fn ended(home: &Path, count: usize, tracker: &Tracker) {
    let session = Session::start(sleepy(home)).await.unwrap();
    for number in 0..count {
        let own = seed(home).use_trackers(true).extra_trackers(vec![tracker.url.clone()]);
        let handle = session.add(held(number, &own), own).await.unwrap();
        until(&handle, State::Complete).await;
    }
    let are_seen = async || rows(&session).await.iter().all(|row| row.phase == Phase::Complete);
    eventually("they are listed so", are_seen).await;
    tracker.hears("started", count).await;
    session.stop().await;
    tracker.hears("stopped", count).await;
    tracker.forget();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_are_told_of_rows_once_and_hear_when_they_leave() {
    const COUNT: usize = 12;
    let home = tempfile::tempdir().unwrap();
    let tracker = Tracker::of_seeds().await;
    let session = announced(home.path(), COUNT, &tracker).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    tracker.hears("started", COUNT).await;
    for line in tracker.told.lock().unwrap().iter() {
        assert!(line.contains("left=0") && line.contains("uploaded=0"), "{line}");
    }
    for id in 1..=COUNT as u32 {
        assert!(!is_here(&session, id).await, "{id}");
        let asleep = row(&session, id).await;
        assert!(asleep.phase == Phase::Complete && asleep.flags.has(Flags::ASLEEP));
    }
    let works = async || {
        let told = session.trackers(TorrentId(2)).await;
        told.len() == 1 && (told[0].state, told[0].seeds) == (TrackerState::Working, Some(7))
    };
    eventually("it is known how its tracker stands", works).await;
    // A few connections may be open still, with a task each at both ends.
    let more = || Handle::current().metrics().num_alive_tasks().saturating_sub(tasks);
    eventually("they cost no tasks", async || more() < COUNT).await;
    assert!(is_served(&session, home.path(), 1).await);
    assert!(is_here(&session, 2).await && !is_here(&session, 1).await);
    let second = back(&session, 2).await;
    when(&second, "heard of its tracker", |it| {
        it.trackers.first().is_some_and(|it| it.state == TrackerState::Working)
    })
    .await;
    assert!(session.trackers(TorrentId(2)).await.is_empty(), "it tells that itself");
    session.stop().await;
    assert_eq!((tracker.count("started"), tracker.count("stopped")), (COUNT, COUNT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lacks_something_is_met_by_a_row() {
    for lacking in [0, 1] {
        let home = tempfile::tempdir().unwrap();
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tracker = Tracker::start(peer.local_addr().unwrap()).await;
        ended(home.path(), 1, &tracker).await;
        // It was dialled by the session that has ended.
        while tokio::time::timeout(Duration::from_millis(50), peer.accept()).await.is_ok() {}
        tracker.lacking.store(lacking, Ordering::SeqCst);
        let session = Session::start(sleepy(home.path())).await.unwrap();
        if lacking == 0 {
            tracker.hears("started", 1).await;
            let is_answered = async || {
                let told = session.trackers(TorrentId(1)).await;
                told.first().is_some_and(|it| it.state == TrackerState::Working)
            };
            eventually("its tracker has answered", is_answered).await;
            // Whom it has named would have been called by now.
            assert_eq!(session.trackers(TorrentId(1)).await.len(), 1);
            assert!(!is_here(&session, 1).await, "there is nobody to serve");
        } else {
            let meets = async {
                let (mut stream, mut hello) = (peer.accept().await.unwrap().0, [0; 68]);
                stream.read_exact(&mut hello).await.unwrap();
                hello
            };
            let hello = tokio::time::timeout(LIMIT, meets).await.expect("it is dialled");
            assert_eq!(hello[28..48], held(0, &seed(home.path())).info_hash_v1.unwrap().0);
            eventually("it is here", async || is_here(&session, 1).await).await;
        }
        session.stop().await;
        assert_eq!((tracker.count("started"), tracker.count("stopped")), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_paused_or_loses_its_trackers_leaves_them() {
    let home = tempfile::tempdir().unwrap();
    let (tracker, other) = (Tracker::of_seeds().await, Tracker::of_seeds().await);
    let session = announced(home.path(), 2, &tracker).await;
    let id = TorrentId(1);
    tracker.hears("started", 2).await;
    // The answer to that counts before others are asked.
    let works = async || {
        let told = session.trackers(id).await;
        told.first().is_some_and(|it| it.state == TrackerState::Working)
    };
    eventually("it works", works).await;
    session.set(id, Setting::Paused(true)).await.unwrap();
    tracker.hears("stopped", 1).await;
    session.set(id, Setting::Paused(false)).await.unwrap();
    tracker.hears("started", 3).await;
    eventually("it works again", works).await;
    session.set(id, Setting::Trackers(vec![vec![other.url.clone()]])).await.unwrap();
    tracker.hears("stopped", 2).await;
    other.hears("started", 1).await;
    let off = Ways { trackers: false, ..Ways::default() };
    session.set(id, Setting::Ways(off)).await.unwrap();
    other.hears("stopped", 1).await;
    session.set(id, Setting::Ways(Ways::default())).await.unwrap();
    other.hears("started", 2).await;
    assert!(!is_here(&session, 1).await && !is_here(&session, 2).await);
    session.stop().await;
    assert_eq!((tracker.count("stopped"), other.count("stopped")), (3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_removed_leaves_its_tracker_before_its_hash_is_free() {
    let home = tempfile::tempdir().unwrap();
    let tracker = Tracker::of_seeds().await;
    let session = announced(home.path(), 2, &tracker).await;
    tracker.hears("started", 2).await;
    let own = seed(home.path()).use_trackers(true).extra_trackers(vec![tracker.url.clone()]);
    tracker.holds.store(true, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    let leaves = async {
        tracker.hears("stopped", 1).await;
        let goes_on = async {
            // It waits three seconds for its tracker, and one that is later says nothing.
            let is_late = begun.elapsed() > Duration::from_secs(2);
            assert!(is_late || !session.remove_number(TorrentId(1)).await.unwrap());
            let reached = session.reach(TorrentId(1)).await;
            assert!(matches!(reached, Err(Error::Unknown(_))), "{reached:?}");
            assert!(is_late || rows(&session).await.iter().all(|row| row.id.0 < 3));
            tracker.holds.store(false, Ordering::SeqCst);
        };
        // Whoever adds it again meanwhile waits for that.
        tokio::join!(session.add(held(0, &own), own.clone()), goes_on).0
    };
    let (removed, again) = tokio::join!(session.remove_number(TorrentId(1)), leaves);
    assert!(removed.unwrap());
    let handle = again.unwrap();
    assert_eq!((handle.id(), rows(&session).await.len()), (TorrentId(3), 2));
    until(&handle, State::Complete).await;
    tracker.hears("started", 3).await;
    session.stop().await;
    assert_eq!(tracker.count("stopped"), 3);
}

/// They hold of those that are here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_are_rules_who_has_trackers_comes() {
    let home = tempfile::tempdir().unwrap();
    let tracker = Tracker::of_seeds().await;
    let session = announced(home.path(), 1, &tracker).await;
    tracker.hears("started", 1).await;
    assert!(!is_here(&session, 1).await);
    let stop = Then { stop: Some(true), ..Then::default() };
    session.set_rules(book(vec![labelled("none", stop.clone())])).await.unwrap();
    eventually("it comes", async || is_here(&session, 1).await).await;
    session.stop().await;
    assert_eq!((tracker.count("started"), tracker.count("stopped")), (1, 1));
    tracker.forget();
    let rules = book(vec![labelled("none", stop)]);
    let session = Session::start(sleepy(home.path()).rules(rules)).await.unwrap();
    eventually("it comes by itself", async || is_here(&session, 1).await).await;
    tracker.hears("started", 1).await;
    session.stop().await;
}
