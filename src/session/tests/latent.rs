//! Seeds of an earlier run that are rows only, until they are called.

use super::kept::{back, keeping, rows, specs};
use super::set::eventually;
use super::slumber::{asleep, fetched, held, when};
use super::*;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::{Ledger, Spec};
use crate::roster::{EventKind, Flags, Phase, Row};

/// So that all that is complete sleeps.
fn sleepy(home: &Path) -> SessionConfig {
    keeping(home, 1).awake_max(0)
}

pub(super) fn seed(home: &Path) -> TorrentOptions {
    options(home).seed_only(true)
}

fn hash(home: &Path, number: usize) -> InfoHash {
    held(number, &seed(home)).info_hash_v1.unwrap()
}

/// A session that has so many seeds.
async fn seeding(home: &Path, count: usize) -> (Session, Vec<TorrentHandle>) {
    let session = Session::start(sleepy(home)).await.unwrap();
    let mut handles = Vec::new();
    for number in 0..count {
        let options = seed(home);
        handles.push(session.add(held(number, &options), options).await.unwrap());
    }
    for handle in &handles {
        until(handle, State::Complete).await;
    }
    // What a session has not seen yet it cannot note at its end.
    let are_seen = async || rows(&session).await.iter().all(|row| row.phase == Phase::Complete);
    eventually("they are listed so", are_seen).await;
    (session, handles)
}

/// The same, and they sleep.
async fn sleepers(home: &Path, count: usize) -> (Session, Vec<TorrentHandle>) {
    let (session, handles) = seeding(home, count).await;
    for handle in &handles {
        asleep(handle).await;
    }
    (session, handles)
}

/// The next session after one that had so many seeds, and ended well.
async fn latent(home: &Path, count: usize) -> Session {
    seeding(home, count).await.0.stop().await;
    Session::start(sleepy(home)).await.unwrap()
}

pub(super) async fn is_here(session: &Session, id: u32) -> bool {
    session.find(TorrentId(id)).await.unwrap().handle.is_some()
}

async fn spec(session: &Session, id: u32) -> Spec {
    Spec::clone(&session.find(TorrentId(id)).await.unwrap().spec)
}

pub(super) async fn row(session: &Session, id: u32) -> Row {
    session.find(TorrentId(id)).await.unwrap().row
}

/// Is a handshake for the torrent of this number answered?
pub(super) async fn is_served(session: &Session, home: &Path, number: usize) -> bool {
    let mut peer = TcpStream::connect(("127.0.0.1", session.port())).await.unwrap();
    let hello =
        [b"\x13BitTorrent protocol", &[0; 8][..], &hash(home, number).0, b"-XX0001-knockknockkn"];
    peer.write_all(&hello.concat()).await.unwrap();
    let mut answer = [0; 68];
    let answered = peer.read_exact(&mut answer);
    let answered = tokio::time::timeout(Duration::from_secs(20), answered).await;
    answered.expect("it is answered or closed").is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_listed_as_one_that_sleeps_and_serves_whoever_knocks() {
    let home = tempfile::tempdir().unwrap();
    let (session, _) = sleepers(home.path(), 3).await;
    let mut asleep_rows = Vec::new();
    eventually("they are listed so", async || {
        asleep_rows = rows(&session).await;
        asleep_rows.iter().all(|row| row.flags.has(Flags::ASLEEP))
    })
    .await;
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    assert_eq!(rows(&session).await, asleep_rows);
    let cursor = session.heads().borrow().events;
    for id in 1..=3 {
        assert!(!is_here(&session, id).await, "{id}");
    }
    fetched(&session, 1, held(1, &seed(home.path()))).await;
    assert!(is_here(&session, 2).await);
    assert!(!is_here(&session, 1).await && !is_here(&session, 3).await);
    let second = back(&session, 2).await;
    when(&second, "served", |status| status.uploaded_bytes == 1).await;
    let told = session.events(cursor).await.unwrap().unwrap();
    let phases = told.iter().filter(|it| matches!(it.kind, EventKind::PhaseChanged { .. }));
    assert_eq!(phases.count(), 0, "it seeds as it did: {told:?}");
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_found_by_an_encrypted_handshake() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 1).await;
    session.stop().await;
    let secret = |config: SessionConfig| config.encryption(Encryption::Require);
    let session = Session::start(secret(sleepy(home.path()))).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let leecher = Session::start(secret(config(other.path(), 1))).await.unwrap();
    let peers = vec![SocketAddr::from(([127, 0, 0, 1], session.port()))];
    let options = options(other.path()).peers(peers);
    let handle = leecher.add(held(0, &seed(home.path())), options).await.unwrap();
    let complete = tokio::time::timeout(Duration::from_secs(20), handle.wait_until_complete());
    complete.await.expect("it is fetched").unwrap();
    leecher.stop().await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_of_it_is_kept_and_calls_it_only_where_it_has_to_follow() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 2).await;
    let id = TorrentId(1);
    for setting in [
        Setting::Labels(vec!["films".to_owned()]),
        Setting::ShownName(Some("mine".to_owned())),
        Setting::UploadLimit(Some(7000)),
        Setting::Sequential(true),
        Setting::Rank(Rank::Last),
        Setting::Paused(true),
    ] {
        session.set(id, setting).await.unwrap();
    }
    let paused = row(&session, 1).await;
    assert_eq!((paused.phase, paused.flags.has(Flags::ASLEEP)), (Phase::Paused, true));
    assert_eq!((paused.limit_up.map(|it| it.get()), paused.done_bytes), (Some(7000), 1));
    assert_eq!(rows(&session).await.iter().map(|row| row.id.0).collect::<Vec<_>>(), [2, 1]);
    assert!(!is_served(&session, home.path(), 0).await, "it is paused");
    session.set(id, Setting::Paused(false)).await.unwrap();
    assert_eq!(row(&session, 1).await.phase, Phase::Complete);
    assert!(!is_here(&session, 1).await);
    let before = specs(&session).await;
    session.stop().await;

    let session = Session::start(sleepy(home.path())).await.unwrap();
    assert_eq!(specs(&session).await, before);
    assert!(!is_here(&session, 1).await && spec(&session, 1).await.labels == ["films"]);
    // One that it was paused by is kept as well, and then it is none.
    session.set(TorrentId(2), Setting::Paused(true)).await.unwrap();
    let refused = session.set(id, Setting::WantedFiles(vec![true, false])).await.unwrap_err();
    assert_eq!(refused.to_string(), "that cannot be set: it has 1 files, and not 2");
    assert!(is_served(&session, home.path(), 0).await, "it goes on");
    let first = back(&session, 1).await;
    when(&first, "limited", |status| status.limit_up == Some(7000)).await;
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    // It is a row, with all that it has, and so it is when somebody asks for more.
    let paused = row(&session, 2).await;
    assert_eq!((paused.phase, paused.done_bytes), (Phase::Paused, 1));
    assert!(!is_here(&session, 2).await && !is_served(&session, home.path(), 1).await);
    let second = back(&session, 2).await;
    until(&second, State::Paused).await;
    assert_eq!(second.look(|status| (status.done_bytes, status.is_asleep)), (1, true));
    assert_eq!(row(&session, 2).await.done_bytes, 1);
    // A choice of files is of one that is here.
    session.set(id, Setting::WantedFiles(vec![false])).await.unwrap();
    let first = back(&session, 1).await;
    assert_eq!(first.look(|status| status.wanted_files()), [false]);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_an_earlier_program_noted_sleeps_without_a_turn_as_it_did() {
    let home = tempfile::tempdir().unwrap();
    let (session, _) = seeding(home.path(), 2).await;
    session.add(torrent(9), options(home.path())).await.unwrap();
    session.set(TorrentId(3), Setting::Rank(Rank::First)).await.unwrap();
    session.stop().await;
    let (mut ledger, restored) = Ledger::open(&home.path().join("state")).unwrap();
    for torrent in restored.torrents {
        ledger.put(&Spec { whole: None, ..torrent.spec }).unwrap();
    }
    ledger.commit().unwrap();
    drop(ledger);
    // The first of them holds the only place.
    let session = Session::start(sleepy(home.path())).await.unwrap();
    until(&back(&session, 3).await, State::Downloading).await;
    for (id, number) in [(1, 0), (2, 1)] {
        assert!(spec(&session, id).await.completed_s.is_some());
        let mut heads = session.heads();
        let comes = async {
            while !is_here(&session, id).await {
                heads.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), comes).await.expect("it comes by itself");
        asleep(&back(&session, id).await).await;
        fetched(&session, number, held(number, &seed(home.path()))).await;
    }
    let noted = specs(&session).await.into_iter().filter(|spec| spec.whole.is_some());
    assert_eq!(noted.count(), 2, "the next run finds them as rows");
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_become_of_its_files_is_seen_when_it_is_called() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 2).await;
    let file = |name: &str| seed(home.path()).dir.join(name);
    std::fs::remove_file(file("0000")).unwrap();
    std::fs::write(file("0001"), "x").unwrap();
    assert_eq!(row(&session, 1).await.phase, Phase::Complete, "nobody has looked");
    for id in [1, 2] {
        let handle = back(&session, id).await;
        let is_lost = |status: &State| matches!(status, State::DiskTrouble(_) | State::Failed(_));
        when(&handle, "lost", |status| is_lost(&status.state) && status.done_bytes == 0).await;
        eventually("it is listed so", async || row(&session, id).await.done_bytes == 0).await;
        eventually("it is no row", async || spec(&session, id).await.whole.is_none()).await;
    }
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_removed_and_its_hash_is_free() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 3).await;
    let again = session.add(held(1, &seed(home.path())), seed(home.path())).await;
    assert!(matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
    assert!(session.remove(hash(home.path(), 1)).await.unwrap());
    assert!(!session.remove(hash(home.path(), 1)).await.unwrap());
    assert!(session.remove_number(TorrentId(3)).await.unwrap());
    assert!(!is_served(&session, home.path(), 1).await);
    // While it comes.
    let (reached, removed) =
        tokio::join!(session.reach(TorrentId(1)), session.remove_number(TorrentId(1)));
    assert!(removed.unwrap());
    assert!(reached.is_ok_and(|handle| handle.has_ended()) || rows(&session).await.is_empty());
    assert_eq!(rows(&session).await, []);
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    assert_eq!(rows(&session).await, []);
    let added = session.add(held(1, &seed(home.path())), seed(home.path())).await.unwrap();
    assert_eq!(added.id(), TorrentId(4));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_moved_and_latent_there() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 1).await;
    let there = home.path().join("there");
    let handle = back(&session, 1).await;
    handle.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    when(&handle, "moved", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    asleep(&handle).await;
    eventually("it is a row", async || spec(&session, 1).await.whole.is_some()).await;
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    assert!(!is_here(&session, 1).await && spec(&session, 1).await.dir == there);
    fetched(&session, 0, held(0, &seed(home.path()))).await;
    // One that was renamed has names that its record knows.
    let handle = back(&session, 1).await;
    handle.relocate(Relocation::Torrent("other".into())).await.unwrap().unwrap();
    let is_renamed = |it: &crate::disk::Home| it.folder.is_some() || !it.names.is_empty();
    when(&handle, "renamed", |it| it.home.as_ref().is_some_and(|it| is_renamed(it))).await;
    asleep(&handle).await;
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    assert!(spec(&session, 1).await.whole.is_none());
    asleep(&back(&session, 1).await).await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_killed_while_they_are_latent_or_asleep_finds_them_so() {
    let home = tempfile::tempdir().unwrap();
    // What a state directory is at some moment.
    let copied = |name: &str| {
        let there = home.path().join(name);
        let from = home.path().join("state");
        let ran = std::process::Command::new("cp").arg("-r").args([&from, &there]).status();
        assert!(ran.unwrap().success());
        there
    };
    let (first, _) = sleepers(home.path(), 2).await;
    first.set(TorrentId(2), Setting::Labels(vec!["a".to_owned()])).await.unwrap();
    let ledger = home.path().join("state/session.ledger");
    let noted = || {
        let bytes = std::fs::read(&ledger).unwrap();
        bytes.windows(11).filter(|it| *it == b"whole bytes").count() >= 2
            && bytes.windows(13).any(|it| it == b"6:labelsl1:ae")
    };
    eventually("it is noted", async || noted()).await;
    let killed = copied("killed");
    first.stop().await;
    let second = Session::start(sleepy(home.path()).state_dir(killed.clone())).await.unwrap();
    assert!(!is_here(&second, 1).await && spec(&second, 2).await.labels == ["a"]);
    second.stop().await;
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    std::fs::rename(killed, home.path().join("state")).unwrap();
    let second = Session::start(sleepy(home.path())).await.unwrap();
    let killed = copied("again");
    second.stop().await;
    let third = Session::start(sleepy(home.path()).state_dir(killed)).await.unwrap();
    assert!(!is_here(&third, 1).await && !is_here(&third, 2).await);
    fetched(&third, 1, held(1, &seed(home.path()))).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_awake_to_the_end_is_latent_when_it_ended_well() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(keeping(home.path(), 1)).await.unwrap();
    let handle = session.add(held(0, &seed(home.path())), seed(home.path())).await.unwrap();
    until(&handle, State::Complete).await;
    let is_seen = async || row(&session, 1).await.phase == Phase::Complete;
    eventually("it is listed so", is_seen).await;
    assert!(!handle.look(|status| status.is_asleep) && spec(&session, 1).await.whole.is_none());
    session.stop().await;
    let session = Session::start(keeping(home.path(), 1)).await.unwrap();
    assert!(!is_here(&session, 1).await);
    fetched(&session, 0, held(0, &seed(home.path()))).await;
    session.stop().await;
}

/// The goal counts on, and is the rules' to know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_seeded_enough_comes_and_finishes() {
    let home = tempfile::tempdir().unwrap();
    let session = latent(home.path(), 2).await;
    let enough = SeedLimits { ratio: None, time: Some(Duration::from_millis(1)) };
    session.set(TorrentId(1), Setting::Seeding(enough)).await.unwrap();
    let is_over = async || row(&session, 1).await.phase == Phase::Finished;
    eventually("it has finished", is_over).await;
    assert!(!is_here(&session, 2).await);
    session.stop().await;
    // It is so at the next start, too.
    let session = Session::start(sleepy(home.path())).await.unwrap();
    until(&back(&session, 1).await, State::Finished).await;
    session.stop().await;
}

/// BEP 14: that says a hash, and needs no metadata.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_network_is_told_of_one_that_is_not_here() {
    let home = tempfile::tempdir().unwrap();
    latent(home.path(), 2).await.stop().await;
    let (commands, mut ordered) = mpsc::channel(16);
    let (_heard, peers) = mpsc::channel(16);
    let local = |_| Local::with(Some(crate::net::lsd::Lsd { commands, peers }));
    let session = Session::start_among(sleepy(home.path()), local).await.unwrap();
    for number in [0, 1] {
        let told = tokio::time::timeout(Duration::from_secs(20), ordered.recv());
        let expected = crate::net::lsd::LsdCommand::Add(hash(home.path(), number));
        assert_eq!(told.await.expect("it is told"), Some(expected));
    }
    assert!(!is_here(&session, 1).await && !is_here(&session, 2).await);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_writes_is_known_before_another_one_is_added_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(sleepy(home.path())).await.unwrap();
    let own = options(home.path());
    let handle = session.add(held(0, &own), own.clone()).await.unwrap();
    until(&handle, State::Complete).await;
    session.stop().await;
    let session = Session::start(sleepy(home.path())).await.unwrap();
    // Of the same name, and another content.
    let refused = session.add(torrent(0), own.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::Taken { .. }), "{refused}");
    let elsewhere = own.dir(home.path().join("elsewhere"));
    session.add(torrent(0), elsewhere).await.unwrap();
    session.stop().await;
}
