//! What can be set of a torrent, and of all together: at once, shown, and kept.

use super::kept::{back, keeping, rows, specs, started};
use super::slumber::{held, when};
use super::*;

use crate::base::ids::TorrentId;
use crate::net::lsd::{Lsd, LsdCommand};
use crate::roster::{Flags, Phase};
use crate::torrent::status::{SourceState, SourceStatus, Status};
use local::Local;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CLOSED: Ways =
    Ways { trackers: false, exchange: false, dht: false, lsd: false, web_seeds: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_set_of_one_is_there_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let id = session.add(torrent(1), options(home.path())).await.unwrap().id();
    for setting in [
        Setting::FilePriorities(vec![FilePriority::High]),
        Setting::Sequential(true),
        Setting::EndsFirst(true),
        Setting::Ways(CLOSED),
        Setting::PeersMax(Some(7)),
        Setting::SlotsMax(Some(2)),
        Setting::ShownName(Some("mine".to_owned())),
        Setting::DownloadLimit(Some(5000)),
        Setting::Trackers(vec![vec!["udp://a.example:1".to_owned(), String::new()], vec![]]),
    ] {
        session.set(id, setting).await.unwrap();
    }
    let before = specs(&session).await;
    let spec = &before[0];
    assert!(spec.sequential && spec.ends_first);
    assert_eq!((spec.ways, spec.peers_max, spec.slots_max), (CLOSED, Some(7), Some(2)));
    assert_eq!(spec.shown_name.as_deref(), Some("mine"));
    assert_eq!(spec.trackers.as_deref(), Some(&[vec!["udp://a.example:1".to_owned()]][..]));
    let priorities = |spec: &Spec| spec.selection.as_ref().map(|it| it.priorities().collect());
    assert_eq!(priorities(spec), Some(vec![FilePriority::High]));
    let row = rows(&session).await[0];
    assert!(row.flags.has(Flags::SEQUENTIAL | Flags::ENDS_FIRST));
    assert_eq!(row.limit_down.map(|limit| limit.get()), Some(5000));
    session.stop().await;

    let session = started(home.path(), 1).await;
    assert_eq!(specs(&session).await, before);
    let handle = back(&session, 1).await;
    assert_eq!(handle.look(|status| status.files.to_vec()), [FilePriority::High]);
    // A choice by yes and no leaves it as urgent as it was.
    session.set(id, Setting::WantedFiles(vec![true])).await.unwrap();
    assert_eq!(specs(&session).await, before);
    session.stop().await;
}

#[tokio::test]
async fn labels_and_names_have_bounds() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let many = vec!["x".to_owned(); LABELS_MAX + 1];
    let refused = session.add(torrent(1), options(home.path()).labels(many.clone())).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    let id = session.add(torrent(1), options(home.path())).await.unwrap().id();
    for setting in [
        Setting::Labels(many),
        Setting::Labels(vec!["x".repeat(LABEL_LEN_MAX + 1)]),
        Setting::Labels(vec![String::new()]),
        Setting::ShownName(Some(String::new())),
        Setting::ShownName(Some("x".repeat(NAME_LEN_MAX + 1))),
        Setting::Trackers(vec![(0..=TRACKERS_MAX).map(|it| format!("udp://{it}")).collect()]),
    ] {
        let refused = session.set(id, setting.clone()).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{setting:?}");
    }
    let most = vec!["x".repeat(LABEL_LEN_MAX); LABELS_MAX];
    session.set(id, Setting::Labels(most.clone())).await.unwrap();
    assert_eq!(specs(&session).await[0].labels, most);
    session.stop().await;
}

/// What the ledger says of all must not stand in the way of what is set of one.
fn open_to_all(home: &Path) -> SessionConfig {
    let rest = options(home).use_trackers(true).use_web_seeds(true);
    keeping(home, 5).restored(rest.waits_for_disk(true))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_torrent_leaves_trackers_and_the_dht_and_comes_back_to_them() {
    let home = tempfile::tempdir().unwrap();
    let config = open_to_all(home.path()).dht(Some(DhtOptions::default()));
    let session = Session::start(config).await.unwrap();
    let trackers = vec!["http://127.0.0.1:1/announce".to_owned()];
    let options = options(home.path()).use_trackers(true).extra_trackers(trackers);
    let handle = session.add(torrent(1), options).await.unwrap();
    let is_open = |status: &Status| !status.trackers.is_empty() && status.dht.is_some();
    let is_shut = |status: &Status| status.trackers.is_empty() && status.dht.is_none();
    when(&handle, "with all", is_open).await;
    session.set(handle.id(), Setting::Ways(CLOSED)).await.unwrap();
    when(&handle, "alone", is_shut).await;
    session.set(handle.id(), Setting::Ways(Ways::default())).await.unwrap();
    when(&handle, "with all again", is_open).await;
    session.stop().await;
}

/// A tracker that tells what it is asked, by path and event.
async fn tracker() -> (String, tokio::sync::mpsc::Receiver<String>) {
    let tracker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let (tell, told) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let (mut asked, _) = tracker.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let len = asked.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            // What is a scrape, or no first and no last word, is nobody's here.
            if let Some(event) = request.split("event=").nth(1) {
                let end = event.find(['&', ' ']).unwrap_or(event.len());
                let _ = tell.send(event[..end].to_owned()).await;
            }
            let answer = "d8:intervali1800e5:peers0:e";
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ";
            let answer = format!("{head}{}\r\n\r\n{answer}", answer.len());
            let _ = asked.write_all(answer.as_bytes()).await;
        }
    });
    (url, told)
}

async fn hears(told: &mut tokio::sync::mpsc::Receiver<String>, event: &str) {
    let heard = tokio::time::timeout(Duration::from_secs(30), told.recv()).await;
    assert_eq!(heard.ok().flatten().as_deref(), Some(event));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_trackers_are_asked_at_once_and_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(open_to_all(home.path())).await.unwrap();
    let ((old, mut at_old), (new, mut at_new)) = (tracker().await, tracker().await);
    let wish = options(home.path()).use_trackers(true).extra_trackers(vec![old]);
    let handle = session.add(torrent(1), wish).await.unwrap();
    let id = handle.id();
    hears(&mut at_old, "started").await;
    let named = |url: &String| Setting::Trackers(vec![vec![url.clone()]]);
    when(&handle, "announced", |it| it.trackers.iter().any(|it| it.peers.is_some())).await;
    session.set(id, named(&new)).await.unwrap();
    hears(&mut at_old, "stopped").await;
    hears(&mut at_new, "started").await;
    let is_new = |it: &Status| it.trackers.len() == 1 && it.trackers[0].url == new;
    when(&handle, "named", is_new).await;
    // With none nobody is asked, and with one somebody is again.
    session.set(id, Setting::Trackers(Vec::new())).await.unwrap();
    hears(&mut at_new, "stopped").await;
    session.set(id, named(&new)).await.unwrap();
    hears(&mut at_new, "started").await;
    session.stop().await;
    hears(&mut at_new, "stopped").await;

    let session = Session::start(open_to_all(home.path())).await.unwrap();
    back(&session, 1).await;
    hears(&mut at_new, "started").await;
    assert!(at_old.try_recv().is_err(), "it is not asked any more");
    session.stop().await;
}

/// Waits until that is so: who asks may be sooner than what follows from an order.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("not: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_the_torrent_names_are_left_and_taken_up_again() {
    let home = tempfile::tempdir().unwrap();
    let config = open_to_all(home.path()).allow_local_sources(true);
    let session = Session::start(config).await.unwrap();
    let info = torrent(1).raw_info().to_vec();
    // One that takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let list = format!("8:url-list{}:{url}e", url.len());
    let file = [b"d4:info", &info[..], list.as_bytes()].concat();
    let torrent = Arc::new(Torrent::parse(&file).unwrap());
    let handle = session.add(torrent, options(home.path())).await.unwrap();
    until(&handle, State::Downloading).await;
    assert_eq!(handle.sources().await.len(), 0, "it was added without");
    let closed = Ways { web_seeds: false, ..Ways::default() };
    session.set(handle.id(), Setting::Ways(Ways::default())).await.unwrap();
    let is_off = |sources: &[SourceStatus]| {
        sources.iter().map(|it| matches!(it.state, SourceState::Off { .. })).collect::<Vec<_>>()
    };
    eventually("it is asked", async || is_off(&handle.sources().await) == [false]).await;
    session.set(handle.id(), Setting::Ways(closed)).await.unwrap();
    eventually("it is left", async || is_off(&handle.sources().await) == [true]).await;
    session.set(handle.id(), Setting::Ways(Ways::default())).await.unwrap();
    eventually("it is asked", async || is_off(&handle.sources().await) == [false]).await;
    session.stop().await;
}

#[tokio::test]
async fn the_local_network_hears_of_those_that_are_open_to_it() {
    let home = tempfile::tempdir().unwrap();
    let (commands, mut ordered) = tokio::sync::mpsc::channel(16);
    let (_tell, peers) = tokio::sync::mpsc::channel(1);
    let local = |_| Local::with(Some(Lsd { commands, peers }));
    let session = Session::start_among(keeping(home.path(), 5), local).await.unwrap();
    let hash = |number| torrent(number).info_hash_v1.unwrap();
    session.add(torrent(1), options(home.path()).use_lsd(false)).await.unwrap();
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    assert_eq!(ordered.recv().await, Some(LsdCommand::Add(hash(2))));
    session.set(second.id(), Setting::Ways(CLOSED)).await.unwrap();
    assert_eq!(ordered.recv().await, Some(LsdCommand::Remove(hash(2))));
    session.set(TorrentId(1), Setting::Ways(Ways::default())).await.unwrap();
    assert_eq!(ordered.recv().await, Some(LsdCommand::Add(hash(1))));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_show_what_is_wanted_and_not_what_holds() {
    let home = tempfile::tempdir().unwrap();
    let config = keeping(home.path(), 1).download_limit(1000);
    let session = Session::start(config).await.unwrap();
    let limited = options(home.path()).download_limit(5000);
    let first = session.add(torrent(1), limited).await.unwrap();
    until(&first, State::Downloading).await;
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    until(&second, State::Queued).await;
    let limits = || async {
        let rows = rows(&session).await;
        rows.iter().map(|row| row.limit_down.map(|it| it.get())).collect::<Vec<_>>()
    };
    // The session's is lower than the first one's own.
    assert_eq!(limits().await, [Some(5000), None]);
    session.set(second.id(), Setting::DownloadLimit(Some(7))).await.unwrap();
    assert_eq!(limits().await, [Some(5000), Some(7)], "of one that waits, too");
    when(&second, "limited", |status| status.limit_down == Some(7)).await;
    first.limit_down(None).await;
    assert_eq!(limits().await, [None, Some(7)]);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_seeded_enough_is_paused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    let enough = SeedLimits { ratio: Some(0.0), time: None };
    let options = options(home.path()).seed_only(true).seeding(enough);
    let handle = session.add(held(1, &options), options.clone()).await.unwrap();
    until(&handle, State::Finished).await;
    session.set(handle.id(), Setting::Paused(true)).await.unwrap();
    until(&handle, State::Paused).await;
    eventually("the row is paused", async || rows(&session).await[0].phase == Phase::Paused).await;
    session.set(handle.id(), Setting::Paused(false)).await.unwrap();
    until(&handle, State::Finished).await;
    // It seeds on where that is said.
    handle.pause().await;
    until(&handle, State::Paused).await;
    handle.resume().await;
    until(&handle, State::Complete).await;
    session.stop().await;
}

#[tokio::test]
async fn what_is_set_of_all_is_kept_unless_the_next_session_says_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), SessionConfig::MAX_ACTIVE).await;
    assert_eq!(session.settings().await, Some(SessionSpec::default()));
    let day = Limits { down: Some(2000), up: Some(1000) };
    let night = Limits { down: None, up: Some(9000) };
    for setting in [
        SessionSetting::Limits(day),
        SessionSetting::Alternative(night),
        SessionSetting::ActiveMax(Some(1)),
    ] {
        session.set_all(setting).await.unwrap();
    }
    let rates =
        |session: &Session| Limits { down: session.limiter.rate(), up: session.up_limiter.rate() };
    assert_eq!(rates(&session), day);
    session.set_all(SessionSetting::UsesAlternative(true)).await.unwrap();
    assert_eq!(rates(&session), night);
    let before = session.settings().await.unwrap();
    session.stop().await;

    let session = started(home.path(), SessionConfig::MAX_ACTIVE).await;
    assert_eq!((session.settings().await, rates(&session)), (Some(before), night));
    session.set_all(SessionSetting::UsesAlternative(false)).await.unwrap();
    assert_eq!(rates(&session), day);
    // One at a time, until that is lifted.
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    until(&second, State::Queued).await;
    session.set_all(SessionSetting::ActiveMax(None)).await.unwrap();
    until(&second, State::Downloading).await;
    session.stop().await;

    let given = keeping(home.path(), 3).upload_limit(77);
    let session = Session::start(given).await.unwrap();
    assert_eq!(rates(&session), Limits { down: Some(2000), up: Some(77) });
    session.stop().await;
    // That was for one run.
    let session = started(home.path(), 3).await;
    assert_eq!(rates(&session), day);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_of_some_files_and_of_one_goal_leaves_the_others() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let file = |name: &str| format!("d6:lengthi16384e4:pathl1:{name}ee");
    let files = format!("d5:filesl{}{}{}e4:name1:m", file("a"), file("b"), file("c"));
    let head = format!("{files}12:piece lengthi16384e6:pieces60:");
    let info = [head.as_bytes(), &[b'x'; 60], b"e"].concat();
    let torrent = Arc::new(Torrent::from_info(&info).unwrap());
    let handle = session.add(torrent, options(home.path())).await.unwrap();
    let (id, set) = (handle.id(), async |setting| session.set(handle.id(), setting).await);
    let hour = Some(Duration::from_secs(3600));
    // Whoever changes one has not heard of what another changes.
    for setting in [
        Setting::SomeFiles(vec![(0, FileWish::Priority(FilePriority::High))]),
        Setting::SomeFiles(vec![(1, FileWish::Wanted(false))]),
        Setting::SomeFiles(vec![(0, FileWish::Wanted(true)), (2, FileWish::Wanted(true))]),
        Setting::SeedRatio(Some(2.5)),
        Setting::SeedTime(hour),
    ] {
        set(setting).await.unwrap();
    }
    let expected = [FilePriority::High, FilePriority::Off, FilePriority::Normal];
    when(&handle, "chosen", |status| status.files[..] == expected).await;
    let refused = set(Setting::SomeFiles(vec![(3, FileWish::Wanted(true))])).await.unwrap_err();
    assert_eq!(refused.to_string(), "that cannot be set: it has 3 files, and none is 3");
    let spec = session.find(id).await.unwrap().spec;
    assert_eq!((spec.goals.ratio, spec.goals.time), (Some(2.5), hour));
    let chosen: Vec<_> = spec.selection.as_ref().unwrap().priorities().collect();
    assert_eq!(chosen, expected);
    set(Setting::SeedRatio(None)).await.unwrap();
    let spec = session.find(id).await.unwrap().spec;
    assert_eq!((spec.goals.ratio, spec.goals.time), (None, hour));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_on_the_device_before_anybody_is_told_goodbye() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    // A tracker that answers whoever does not say goodbye, and then nobody.
    let tracker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let (tell, goodbye) = tokio::sync::oneshot::channel();
    let _tracker = tokio::spawn(async move {
        loop {
            let (mut asked, _) = tracker.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let len = asked.read(&mut request).await.unwrap();
            if String::from_utf8_lossy(&request[..len]).contains("event=stopped") {
                break drop(tell.send(asked));
            }
            let answer = "d8:intervali1800e5:peers0:e";
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ";
            let answer = format!("{head}{}\r\n\r\n{answer}", answer.len());
            asked.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let options = options(home.path()).use_trackers(true).extra_trackers(vec![url]);
    let handle = session.add(torrent(1), options).await.unwrap();
    when(&handle, "announced", |it| it.trackers.iter().any(|it| it.peers.is_some())).await;
    let ledger = home.path().join("state").join(crate::ledger::LEDGER);
    session.set(handle.id(), Setting::Labels(vec!["accepted last".to_owned()])).await.unwrap();
    let is_kept = || {
        let bytes = std::fs::read(&ledger).unwrap();
        bytes.windows(13).any(|it| it == b"accepted last")
    };
    // Nobody has waited for that.
    let (begun, mut stop) = (std::time::Instant::now(), Box::pin(session.stop()));
    let _goodbye = tokio::select! {
        goodbye = goodbye => goodbye.unwrap(),
        () = &mut stop => panic!("the tracker heard nothing"),
    };
    assert!(is_kept(), "the tracker heard of the end first");
    stop.await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
