//! A session from outside: what it lets in, in what order torrents run, and what those cost
//! that wait. Without peers, trackers and data: transfers are tested with the whole program.

mod announced;
mod away;
mod choices;
mod erased;
mod kept;
mod killed;
mod latent;
mod links;
mod records;
mod rules;
mod searches;
mod set;
mod slumber;
mod verified;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::base::digest::sha1;
use crate::disk::Relocation;
use crate::metainfo::Magnet;
use crate::net::blocklist::{Lists, Source};
use crate::net::egress::Egress;
use crate::seek::{Progress, Target};
use crate::torrent::seeking::{SeekError, Sought};
use crate::torrent::status::{PeerStatus, State};

/// A torrent of one byte that is nowhere to be had.
fn torrent(number: usize) -> Arc<Torrent> {
    let name = format!("{number:04}");
    let info = format!("d6:lengthi1e4:name4:{name}12:piece lengthi16384e6:pieces20:");
    let bytes = [b"d4:info", info.as_bytes(), &[b'x'; 20], b"ee"].concat();
    Arc::new(Torrent::parse(&bytes).unwrap())
}

fn options(dir: &Path) -> TorrentOptions {
    TorrentOptions::default()
        .dir(dir.join("data"))
        .use_trackers(false)
        .use_web_seeds(false)
        .checks_room(false)
        .max_peers(10)
}

#[test]
fn a_kept_choice_is_for_downloads_that_go_on() {
    let chosen = persist::Chosen { dir: None, wanted: [true, false].into() };
    let kept = persist::Kept { choice: Some(chosen), ..persist::Kept::default() };
    let options = options(Path::new("/d"));
    assert_eq!(kept.choice_for(&options, 2), Some(vec![true, false]));
    assert_eq!(kept.choice_for(&options, 3), None, "of another torrent");
    let seed = options.clone().seed_only(true);
    assert_eq!(kept.choice_for(&seed, 2), None);
    let anew = options.check(CheckMode::NoResume);
    assert_eq!(kept.choice_for(&anew, 2), None);
}

async fn session(dir: &Path, max_active: usize) -> Session {
    Session::start(config(dir, max_active)).await.unwrap()
}

fn config(dir: &Path, max_active: usize) -> SessionConfig {
    SessionConfig::default()
        .port(0)
        // The peers of these tests speak plainly.
        .encryption(Encryption::Off)
        .state_dir(dir.join("state"))
        .max_active(max_active)
}

async fn until(handle: &TorrentHandle, state: State) {
    let mut status = handle.watch();
    let reached = status.wait_for(|status| status.state == state);
    let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
    reached.unwrap_or_else(|_| panic!("not {state:?}")).unwrap();
}

#[tokio::test]
async fn the_next_in_order_starts_when_a_place_becomes_free() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 2).await;
    let mut handles = Vec::new();
    for number in 0..5 {
        handles.push(session.add(torrent(number), options(home.path())).await.unwrap());
    }
    until(&handles[0], State::Downloading).await;
    until(&handles[1], State::Downloading).await;
    assert!(handles[2..].iter().all(|handle| handle.state() == State::Queued));
    handles[2].pause().await;
    until(&handles[2], State::Paused).await;
    handles[0].pause().await;
    until(&handles[3], State::Downloading).await;
    assert_eq!((handles[2].state(), handles[4].state()), (State::Paused, State::Queued));
    // Out of turn; then two places are taken twice, and nobody else comes.
    handles[0].resume().await;
    until(&handles[0], State::Downloading).await;
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    assert_eq!(handles[4].state(), State::Queued);
    assert!(session.remove(torrent(3).info_hash_v1.unwrap()).await.unwrap());
    until(&handles[4], State::Downloading).await;
    session.stop().await;
}

#[tokio::test]
async fn a_queued_torrent_is_moved_and_keeps_its_turn() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    second.pause().await;
    until(&second, State::Paused).await;
    let there = home.path().join("there");
    let what = Relocation::Dir(there.clone());
    let moved = tokio::time::timeout(Duration::from_secs(20), second.relocate(what));
    let moved = moved.await.expect("a queued torrent is moved").unwrap().unwrap();
    assert_eq!((moved.home.dir, moved.copy_bytes), (there.clone(), 0));
    until(&second, State::Paused).await;
    second.unpause().await;
    until(&second, State::Queued).await;
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    until(&second, State::Downloading).await;
    assert_eq!(second.status().home.unwrap().dir, there);
    let refused = second.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap_err();
    assert_eq!(refused, format!("its files are in {} already", there.display()));
    until(&second, State::Downloading).await;
    session.stop().await;
    assert!(second.relocate(Relocation::Torrent("x".into())).await.is_none());
}

#[tokio::test]
async fn a_torrent_is_there_once_and_its_hash_is_free_when_it_has_left() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let info_hash = torrent(1).info_hash_v1.unwrap();
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    let refused = session.add(torrent(1), options(home.path())).await.unwrap_err();
    assert!(matches!(&refused, Error::Duplicate { name } if name == "0001"), "{refused}");
    assert!(session.remove(info_hash).await.unwrap());
    assert!(first.has_ended());
    assert!(!session.remove(info_hash).await.unwrap(), "it has left");
    assert!(session.list().await.is_empty());
    let again = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&again, State::Downloading).await;
    assert_eq!(session.list().await.len(), 1);
    session.stop().await;
    let refused = session.add(torrent(2), options(home.path())).await.unwrap_err();
    assert!(matches!(refused, Error::Ended), "{refused}");
}

#[tokio::test]
async fn metadata_that_was_kept_is_found_without_asking_anybody() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let wanted = torrent(1);
    let hash = wanted.info_hash_v1.unwrap();
    let kept = home.path().join("state").join(format!("{hash}.info"));
    std::fs::write(kept, wanted.raw_info()).unwrap();
    let link = Magnet::of(&wanted);
    let request = SeekRequest::of(Target::new(Some(hash), None).unwrap(), &link);
    let seeking = session.seek(request.clone()).await.unwrap();
    let status = seeking.status();
    let sought = seeking.found().await.unwrap();
    assert!(sought.contacts.is_none() && !status.borrow().is_asking);
    let found = Arc::new(sought.torrent);
    assert_eq!(found.raw_info(), wanted.raw_info());
    session.add_among(found, options(home.path()), None).await.unwrap();
    let refused = session.seek(request).await.unwrap_err();
    assert!(matches!(&refused, Error::Duplicate { name } if name == "0001"), "{refused}");
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_no_other_torrent() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let hash = |number| torrent(number).info_hash_v1.unwrap();
    // Whoever reads it waits until somebody writes to it.
    let hangs = home.path().join("state").join(format!("{}.stats", hash(1)));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &hangs, mode).unwrap();
    let mut first = std::pin::pin!(session.add(torrent(1), options(home.path())));
    let asked = tokio::time::timeout(Duration::ZERO, &mut first).await;
    assert!(asked.is_err(), "it waits for the disk");
    let again = session.add(torrent(1), options(home.path())).await.unwrap_err();
    assert!(matches!(again, Error::Duplicate { .. }), "{again}");
    let others = async {
        let second = session.add(torrent(2), options(home.path())).await.unwrap();
        until(&second, State::Downloading).await;
        session.add(torrent(3), options(home.path())).await.unwrap();
        assert!(session.remove(hash(3)).await.unwrap());
        session.list().await
    };
    let listed = tokio::time::timeout(Duration::from_secs(20), others).await;
    let listed = listed.expect("nobody waits for the disk that hangs");
    assert_eq!(listed.iter().map(|(hash, _)| *hash).collect::<Vec<_>>(), [hash(2)]);
    tokio::task::spawn_blocking(move || std::fs::write(hangs, "")).await.unwrap().unwrap();
    until(&first.await.unwrap(), State::Downloading).await;
    let listed = session.list().await.into_iter().map(|(hash, _)| hash);
    assert_eq!(listed.collect::<Vec<_>>(), [hash(1), hash(2)], "in the order of the queue");
    session.stop().await;
}

#[tokio::test]
async fn a_thousand_that_wait_cost_a_task_each_and_no_open_file() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let first = session.add(torrent(0), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let (tasks, files) = (Handle::current().metrics().num_alive_tasks(), open_files());
    for number in 1..=1000 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    let more = Handle::current().metrics().num_alive_tasks() - tasks;
    assert!(more <= 1000, "{more} tasks for 1000 torrents");
    // Other tests of this process open some meanwhile.
    assert!(open_files() < files + 500, "{} files, {files} before", open_files());
    let began = std::time::Instant::now();
    session.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let kept = std::fs::read_dir(home.path().join("state")).unwrap();
    let is_file = |it: &std::fs::DirEntry| it.file_type().unwrap().is_file();
    let records =
        kept.map(Result::unwrap).filter(|it| is_file(it) && it.path().extension().is_some());
    assert_eq!(records.count(), 1);
}

/// A torrent of 64 pieces, and its bytes.
fn payload(is_private: bool) -> (Arc<Torrent>, Vec<u8>) {
    let bytes: Vec<u8> =
        (0..64 * 16_384u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let hashes = bytes.chunks(16_384).flat_map(|piece| sha1(&[piece]));
    let private = if is_private { "7:privatei1e" } else { "" };
    let head = format!("d6:lengthi{}e4:name1:m12:piece lengthi16384e6:pieces1280:", bytes.len());
    let info = [head.as_bytes(), &hashes.collect::<Vec<u8>>(), private.as_bytes(), b"e"].concat();
    (Arc::new(Torrent::from_info(&info).unwrap()), bytes)
}

fn request(torrent: &Torrent, peers: Vec<SocketAddr>) -> SeekRequest {
    SeekRequest {
        target: Target::new(torrent.info_hash_v1, None).unwrap(),
        peers,
        trackers: Vec::new(),
        max_peers: 10,
        exchange_peers: true,
    }
}

/// From nothing but a hash and an address: the metadata first, and the data over the same link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_the_torrent_and_the_download_goes_on_over_its_links() {
    for is_private in [false, true] {
        let (torrent, bytes) = payload(is_private);
        let (seeds, leeches) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(seeds.path().join("data")).unwrap();
        std::fs::write(seeds.path().join("data/m"), &bytes).unwrap();
        let seed = session(seeds.path(), 5).await;
        let serving = seed.add(torrent.clone(), options(seeds.path())).await.unwrap();
        until(&serving, State::Complete).await;

        let leech = session(leeches.path(), 5).await;
        let address = SocketAddr::from(([127, 0, 0, 1], seed.port()));
        let seeking = leech.seek(request(&torrent, vec![address])).await.unwrap();
        let sought = tokio::time::timeout(Duration::from_secs(20), seeking.found());
        let Sought { torrent: found, contacts } = sought.await.expect("in time").unwrap();
        assert_eq!(found.raw_info(), torrent.raw_info());
        let before = serving.peers(true).await;
        assert_eq!(before.len(), 1, "{before:?}");

        // Slow enough to be met in the middle.
        seed.limit_up(Some(300_000));
        let taken = options(leeches.path());
        let downloading = leech.add_among(Arc::new(found), taken, contacts).await.unwrap();
        let mut status = downloading.watch();
        status.wait_for(|status| status.pieces_verified > 0).await.unwrap();
        let after = serving.peers(true).await;
        let addresses =
            |peers: &[PeerStatus]| peers.iter().map(|it| it.address).collect::<Vec<_>>();
        // Had it come again, it would have come from another port.
        assert_eq!(addresses(&before), addresses(&after));
        seed.limit_up(None);
        until(&downloading, State::Complete).await;
        assert_eq!(std::fs::read(leeches.path().join("data/m")).unwrap(), bytes);
        leech.stop().await;
        seed.stop().await;
    }
}

#[tokio::test]
async fn a_search_for_what_nobody_has_waits_and_ends_when_it_is_told() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let (torrent, _) = payload(false);
    let seeking = session.seek(request(&torrent, Vec::new())).await.unwrap();
    let desk = seeking.desk();
    assert_eq!(seeking.status().borrow().progress, Progress::default());
    desk.stop().await;
    assert!(matches!(seeking.found().await, Err(SeekError::Ended)));
    // What is there need not be sought.
    session.add(torrent.clone(), options(home.path())).await.unwrap();
    let refused = session.seek(request(&torrent, Vec::new())).await.unwrap_err();
    assert!(matches!(&refused, Error::Duplicate { name } if name == "m"), "{refused}");
    session.stop().await;
}

/// What it was not to have is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_was_only_seeded_finishes_and_does_not_fail() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let bytes = vec![7; 16_384];
    let hashes = [sha1(&[bytes.as_slice()]), [b'x'; 20]].concat();
    let file = |name: &str| format!("d6:lengthi16384e4:pathl1:{name}ee");
    let files = format!("d5:filesl{}{}e4:name1:m", file("a"), file("b"));
    let head = format!("{files}12:piece lengthi16384e6:pieces40:");
    let info = [head.as_bytes(), &hashes, b"e"].concat();
    let torrent = Arc::new(Torrent::from_info(&info).unwrap());
    let options = options(home.path()).wanted_files(vec![true, false]).seed_only(true);
    std::fs::create_dir_all(options.dir.join("m")).unwrap();
    std::fs::write(options.dir.join("m/a"), bytes).unwrap();
    let part = session.add(torrent, options).await.unwrap();
    until(&part, State::Complete).await;
    part.finish();
    until(&part, State::Finished).await;
    session.stop().await;
}

#[tokio::test]
async fn without_its_blocklist_no_session_starts_and_nobody_listens() {
    let home = tempfile::tempdir().unwrap();
    let egress = Egress::default();
    let sources = vec![Source::parse("/no/such/list").unwrap()];
    let blocklists = Lists { sources, ..Lists::default() };
    let config = config(home.path(), 1).blocklists(blocklists).egress(egress.clone());
    let refused = Session::start(config).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Blocklist(_)), "{refused}");
    assert!(!egress.blocklist().is_on());
}

#[tokio::test]
async fn whoever_is_blocked_is_closed_before_a_byte_and_others_are_heard() {
    use tokio::io::AsyncReadExt as _;
    let home = tempfile::tempdir().unwrap();
    let list = home.path().join("list");
    std::fs::write(&list, "127.0.0.9").unwrap();
    let sources = vec![Source::parse(list.to_str().unwrap()).unwrap()];
    let blocklists = Lists { sources, ..Lists::default() };
    let config = config(home.path(), 1).blocklists(blocklists);
    let egress = config.egress.clone();
    let session = Session::start(config).await.unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], session.port()));
    let come = |from: [u8; 4]| async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    };
    let (mut free, mut blocked) = (come([127, 0, 0, 8]).await, come([127, 0, 0, 9]).await);
    let end = tokio::time::timeout(Duration::from_secs(20), blocked.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(egress.blocklist().tally().connections, 1);
    // It has come before, and is waited for.
    let heard = tokio::time::timeout(Duration::from_millis(50), free.read(&mut [0])).await;
    assert!(heard.is_err(), "{heard:?}");
    session.stop().await;
}
