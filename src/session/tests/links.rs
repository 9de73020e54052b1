//! Links in a session: what they are until peers have told their metadata, and what they become.

use super::kept::{back, keeping, rows, specs, started};
use super::set::eventually;
use super::*;

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::base::ids::TorrentId;
use crate::ledger::Spec;
use crate::roster::{EventKind, Phase, Row};

const LIMIT: Duration = Duration::from_secs(20);

/// A link to this torrent, which names these peers and wants these files.
fn link(torrent: &Torrent, peers: &[SocketAddr], wanted: &str) -> Magnet {
    let peers: String = peers.iter().map(|peer| format!("&x.pe={peer}")).collect();
    let wanted = if wanted.is_empty() { String::new() } else { format!("&so={wanted}") };
    let hash = torrent.info_hash_v1.unwrap();
    Magnet::parse(&format!("magnet:?xt=urn:btih:{hash}&dn=told{peers}{wanted}")).unwrap()
}

/// A link to what nobody has.
fn lonely(number: u32) -> Magnet {
    Magnet::parse(&format!("magnet:?xt=urn:btih:{number:040x}")).unwrap()
}

/// Waits until the row of a torrent is such a one.
async fn until_row(session: &Session, id: u32, what: &str, is_so: impl Fn(&Row) -> bool) -> Row {
    let mut heads = session.heads();
    let reached = async {
        loop {
            let row = rows(session).await.into_iter().find(|row| row.id.0 == id);
            if let Some(row) = row.filter(&is_so) {
                return row;
            }
            heads.changed().await.unwrap();
        }
    };
    let reached = tokio::time::timeout(LIMIT, reached).await;
    reached.unwrap_or_else(|_| panic!("{id} is not {what}"))
}

async fn until_phase(session: &Session, id: u32, phase: Phase) -> Row {
    until_row(session, id, &format!("{phase:?}"), |row| row.phase == phase).await
}

async fn kinds(session: &Session) -> Vec<EventKind> {
    let boot = session.heads().borrow().events.boot;
    let events = session.events(Cursor { boot, number: 0 }).await.unwrap().unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

async fn spec_of(session: &Session, id: u32) -> Spec {
    Arc::unwrap_or_clone(session.find(TorrentId(id)).await.unwrap().spec)
}

/// A session that seeds this torrent below its home.
async fn seeding(home: &Path, torrent: &Arc<Torrent>, bytes: &[u8]) -> (Session, TorrentHandle) {
    std::fs::create_dir_all(home.join("data")).unwrap();
    std::fs::write(home.join("data/m"), bytes).unwrap();
    let seed = session(home, 5).await;
    let serving = seed.add(torrent.clone(), options(home)).await.unwrap();
    until(&serving, State::Complete).await;
    (seed, serving)
}

fn address(session: &Session) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], session.port()))
}

/// Where connections to that are counted.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                // Either of them may go.
                let _ = copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (address, count)
}

/// Puts the metadata of a torrent where an earlier search would have kept it.
fn keep_info(home: &Path, torrent: &Torrent) {
    let path = home.join("state").join(format!("{}.info", torrent.info_hash_v1.unwrap()));
    std::fs::write(path, torrent.raw_info()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_has_its_number_at_once_and_is_the_torrent_of_it_when_its_metadata_comes() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (torrent, bytes) = payload(false);
    let (seed, serving) = seeding(there.path(), &torrent, &bytes).await;
    // Slow enough to be met in the middle.
    seed.limit_up(Some(300_000));
    let session = started(here.path(), 5).await;
    let taken = options(here.path()).paused(true).labels(vec!["a".to_owned()]);
    let (relay, connections) = relay(address(&seed)).await;
    let known = link(&torrent, &[relay], "");
    assert_eq!(session.add_link(known.clone(), taken).await.unwrap(), TorrentId(1));
    let again = session.add_link(known, options(here.path())).await.unwrap_err();
    assert!(matches!(&again, Error::Duplicate { name } if name == "told"), "{again}");
    let second = session.add_link(lonely(7), options(here.path())).await.unwrap();
    until_phase(&session, second.0, Phase::Seeking).await;
    // One that is paused asks nobody, and takes what is set.
    let row = until_phase(&session, 1, Phase::Paused).await;
    assert_eq!((row.links, serving.peers(true).await.len()), (0, 0));
    assert!(session.find(TorrentId(1)).await.unwrap().search.is_none());
    for setting in [
        Setting::Labels(vec!["b".to_owned()]),
        Setting::DownloadLimit(Some(9_000_000)),
        Setting::Sequential(true),
        Setting::Rank(Rank::Last),
    ] {
        session.set(TorrentId(1), setting).await.unwrap();
    }
    let refused = session.set(TorrentId(1), Setting::WantedFiles(vec![true])).await.unwrap_err();
    assert_eq!(refused.to_string(), "that cannot be set: its files are not known yet");
    let refused = session.reach(TorrentId(1)).await.unwrap_err();
    assert!(refused.to_string().starts_with("its metadata is not known yet"), "{refused}");
    session.set(TorrentId(1), Setting::Paused(false)).await.unwrap();
    until_row(&session, 1, "met", |row| row.missing_bytes > 0 && row.down_rate > 0).await;
    // Who has told the metadata was not dialled again for the data, nor has dialled us.
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert!(serving.peers(false).await.iter().all(|peer| peer.incoming));
    seed.limit_up(None);
    until_phase(&session, 1, Phase::Complete).await;
    assert_eq!(std::fs::read(here.path().join("data/m")).unwrap(), bytes);
    let spec = spec_of(&session, 1).await;
    assert_eq!((spec.name.as_str(), &spec.link, spec.sequential), ("m", &None, true));
    assert_eq!((&spec.labels[0][..], spec.download_limit), ("b", Some(9_000_000)));
    let order: Vec<_> = specs(&session).await.iter().map(|spec| spec.id.0).collect();
    assert_eq!(order, [2, 1]);
    let kinds = kinds(&session).await;
    let at = |kind: EventKind| kinds.iter().position(|it| *it == kind).expect("it is told");
    let metadata = at(EventKind::Metadata("m".into()));
    let sought = EventKind::PhaseChanged { from: Phase::Queued, to: Phase::Seeking };
    assert!(at(EventKind::Added) < at(sought) && metadata < at(EventKind::Completed), "{kinds:?}");
    session.stop().await;

    let session = started(here.path(), 5).await;
    assert_eq!(session.troubles(), []);
    until(&back(&session, 1).await, State::Complete).await;
    assert_eq!(session.metadata(TorrentId(1)).await.unwrap().raw_info(), torrent.raw_info());
    session.stop().await;
    seed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_sought_on_after_a_restart_with_all_that_was_set() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (torrent, bytes) = payload(false);
    let session = started(here.path(), 5).await;
    let taken = options(here.path()).extra_trackers(vec!["http://192.0.2.1/".to_owned()]);
    session.add_link(link(&torrent, &[], ""), taken).await.unwrap();
    session.add_link(lonely(7), options(here.path()).paused(true)).await.unwrap();
    for (id, setting) in [
        (1, Setting::Labels(vec!["x".to_owned()])),
        (1, Setting::UploadLimit(Some(5_000_000))),
        (2, Setting::ShownName(Some("mine".to_owned()))),
        (2, Setting::Rank(Rank::First)),
    ] {
        session.set(TorrentId(id), setting).await.unwrap();
    }
    let renamed = EventKind::Renamed("mine".into());
    assert!(kinds(&session).await.contains(&renamed));
    until_phase(&session, 1, Phase::Seeking).await;
    let before = specs(&session).await;
    let called: Vec<_> = before.iter().map(|spec| spec.called().into_owned()).collect();
    assert_eq!(called, ["mine", "told"]);
    session.stop().await;

    let session = started(here.path(), 5).await;
    assert_eq!((specs(&session).await, session.troubles()), (before, &[] as &[Trouble]));
    until_phase(&session, 2, Phase::Paused).await;
    until_phase(&session, 1, Phase::Seeking).await;
    assert_eq!(kinds(&session).await.iter().filter(|it| **it == EventKind::Added).count(), 0);
    let (seed, _) = seeding(there.path(), &torrent, &bytes).await;
    let desk = session.find(TorrentId(1)).await.unwrap().search.expect("it is sought");
    desk.add_peer(address(&seed)).await;
    until_phase(&session, 1, Phase::Complete).await;
    let spec = spec_of(&session, 1).await;
    assert_eq!((&spec.labels[0][..], spec.upload_limit), ("x", Some(5_000_000)));
    // A number is not used again, also not that of a link.
    assert!(session.remove_number(TorrentId(2)).await.unwrap());
    assert_eq!(session.add_link(lonely(8), options(here.path())).await.unwrap(), TorrentId(3));
    assert!(session.remove(lonely(8).info_hash_v1.unwrap()).await.unwrap());
    assert_eq!(rows(&session).await.len(), 1);
    session.stop().await;
    seed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_are_sought_at_once_and_others_wait_as_rows() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(keeping(home.path(), 1)).await.unwrap();
    let running = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&running, State::Downloading).await;
    for number in 1..=260 {
        session.add_link(lonely(number), options(home.path())).await.unwrap();
    }
    let sought = async |session: &Session| {
        let rows = rows(session).await;
        let of = |phase| rows.iter().filter(|row| row.phase == phase).count();
        (of(Phase::Seeking), of(Phase::Queued))
    };
    until_phase(&session, 2, Phase::Seeking).await;
    assert_eq!(sought(&session).await, (256, 4), "and the download has its place");
    assert_eq!(running.state(), State::Downloading);
    // The first in the queue is next.
    session.set(TorrentId(261), Setting::Rank(Rank::First)).await.unwrap();
    assert_eq!(sought(&session).await, (256, 4));
    session.set(TorrentId(2), Setting::Paused(true)).await.unwrap();
    until_phase(&session, 261, Phase::Seeking).await;
    assert_eq!(sought(&session).await, (256, 3));
    assert!(session.remove_number(TorrentId(261)).await.unwrap());
    until_phase(&session, 258, Phase::Seeking).await;
    assert_eq!(sought(&session).await, (256, 2));
    session.stop().await;
}

#[tokio::test]
async fn a_link_that_waits_has_its_turn_though_nobody_is_found_for_the_others() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    for number in 1..=257 {
        session.add_link(lonely(number), options(home.path())).await.unwrap();
    }
    until_phase(&session, 256, Phase::Seeking).await;
    until_phase(&session, 257, Phase::Queued).await;
    tokio::time::pause();
    tokio::time::advance(rounds::TURN + Duration::from_secs(5)).await;
    tokio::time::resume();
    until_phase(&session, 257, Phase::Seeking).await;
    // Others whose turns are over go on changing places.
    eventually("all places are taken", async || {
        let rows = rows(&session).await;
        let count = rows.iter().filter(|row| row.phase == Phase::Seeking).count();
        assert!(count <= 256, "one rests for it: {count}");
        count == 256
    })
    .await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_torrent_of_a_link_that_is_sought_is_that_of_its_number() {
    for paused in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let session = started(home.path(), 5).await;
        let (torrent, _) = payload(false);
        let own = options(home.path()).labels(vec!["a".to_owned()]).paused(paused);
        session.add_link(link(&torrent, &[], ""), own).await.unwrap();
        until_phase(&session, 1, if paused { Phase::Paused } else { Phase::Seeking }).await;
        let others = options(&home.path().join("elsewhere")).labels(vec!["b".to_owned()]);
        let handle = session.add(torrent.clone(), others.clone()).await.unwrap();
        assert_eq!(handle.id(), TorrentId(1));
        until(&handle, if paused { State::Paused } else { State::Downloading }).await;
        let spec = spec_of(&session, 1).await;
        assert_eq!((&spec.labels[0][..], spec.link, spec.paused), ("a", None, paused));
        assert_eq!(spec.dir, home.path().join("data"), "it is as it was");
        let again = session.add(torrent, others).await.unwrap_err();
        assert!(matches!(again, Error::Duplicate { .. }), "{again}");
        session.stop().await;
        let session = started(home.path(), 5).await;
        assert_eq!(session.troubles(), []);
        back(&session, 1).await;
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_become_a_torrent_says_why_and_is_sought_again_when_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    // Two with the same file, and other bytes in it.
    let info = "d6:lengthi1e4:name4:000112:piece lengthi16384e6:pieces20:yyyyyyyyyyyyyyyyyyyye";
    let other = Torrent::from_info(info.as_bytes()).unwrap();
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    keep_info(home.path(), &other);
    session.add_link(link(&other, &[], ""), options(home.path())).await.unwrap();
    let row = until_phase(&session, 2, Phase::Failed).await;
    assert!(row.flags.has(crate::roster::Flags::IN_TROUBLE));
    let trouble = session.find(TorrentId(2)).await.unwrap().trouble.expect("a reason");
    assert!(trouble.contains("belongs to the torrent 0001"), "{trouble}");
    assert!(kinds(&session).await.contains(&EventKind::Trouble(trouble)));
    let resumed = Setting::Paused(false);
    session.set(TorrentId(2), resumed.clone()).await.unwrap();
    until_phase(&session, 2, Phase::Failed).await;
    assert!(session.remove_number(TorrentId(1)).await.unwrap());
    session.set(TorrentId(2), resumed).await.unwrap();
    until_phase(&session, 2, Phase::Downloading).await;
    assert_eq!(spec_of(&session, 2).await.link, None);
    session.stop().await;
}

/// BEP 52: a link names one half of a hybrid, whose other half is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_under_another_number_is_not_there_twice() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    let bytes = include_bytes!("../../../tests/data/multi-hybrid.torrent");
    let hybrid = Arc::new(Torrent::parse(bytes).unwrap());
    let half = |v2: bool| Magnet {
        info_hash_v1: hybrid.info_hash_v1.filter(|_| !v2),
        info_hash_v2: hybrid.info_hash_v2.filter(|_| v2),
        ..Magnet::default()
    };
    session.add_link(half(true), options(home.path())).await.unwrap();
    session.add_link(half(false), options(home.path())).await.unwrap();
    until_phase(&session, 2, Phase::Seeking).await;
    let taken = session.add(hybrid.clone(), options(home.path())).await.unwrap_err();
    assert!(matches!(&taken, Error::Duplicate { .. }), "{taken}");
    // Without the other one it is free.
    assert!(session.remove_number(TorrentId(2)).await.unwrap());
    session.set(TorrentId(1), Setting::Paused(false)).await.unwrap();
    let handle = session.add(hybrid, options(home.path())).await.unwrap();
    assert_eq!(handle.id(), TorrentId(1));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_removed_with_its_files_takes_none_of_others() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    let data = home.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("told"), "mine").unwrap();
    session.add_link(link(&payload(false).0, &[], ""), options(home.path())).await.unwrap();
    // Nor does it keep a torrent from leaving with its own.
    session.add_link(lonely(3), options(home.path())).await.unwrap();
    session.add(torrent(1), options(home.path())).await.unwrap();
    assert!(matches!(session.erase(TorrentId(3)).await, Ok(Some(Erasure::Gone(_)))));
    assert!(matches!(session.erase(TorrentId(1)).await, Ok(Some(Erasure::Gone(_)))));
    assert_eq!(std::fs::read(data.join("told")).unwrap(), b"mine");
    assert_eq!(rows(&session).await.len(), 1);
    session.stop().await;
}

/// BEP 53, and what was set instead; pad files are counted by links alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_that_a_link_or_its_user_chose_are_wanted() {
    let file = |name: &str, pad: &str| format!("d{pad}6:lengthi16384e4:pathl1:{name}ee");
    let files = [file("a", ""), file("b", "4:attr1:p"), file("c", ""), file("d", "")].concat();
    let head = format!("d5:filesl{files}e4:name1:m12:piece lengthi16384e6:pieces80:");
    let info = [head.as_bytes(), &[b'x'; 80], b"e"].concat();
    let torrent = Torrent::from_info(&info).unwrap();
    let mine = |flags: &[bool]| Some(flags.to_vec());
    for (so, numbers, expected) in [
        ("", None, Ok(None)),
        ("2", None, Ok(mine(&[false, false, true, false]))),
        ("2", mine(&[true, true]), Ok(mine(&[true, false, true, false]))),
        ("", mine(&[true, true, true]), Ok(None)),
        ("1,9", None, Err("its link chooses none of the 3 files that it has")),
        ("", mine(&[false, false, false, true]), Err("there is no file 4: it has 3 files")),
    ] {
        let home = tempfile::tempdir().unwrap();
        let session = started(home.path(), 5).await;
        keep_info(home.path(), &torrent);
        let mut taken = options(home.path());
        taken.wanted_files = numbers;
        session.add_link(link(&torrent, &[], so), taken).await.unwrap();
        let settled = [Phase::Failed, Phase::Downloading];
        until_row(&session, 1, "settled", |row| settled.contains(&row.phase)).await;
        let listed = session.find(TorrentId(1)).await.unwrap();
        let flags = listed.spec.selection.as_ref().map(|it| it.wanted().collect::<Vec<_>>());
        match expected {
            Ok(expected) => assert_eq!(flags, expected, "{so}"),
            Err(why) => {
                let trouble = listed.trouble.expect("a reason");
                assert!(trouble.ends_with(why), "{trouble}");
            }
        }
        session.stop().await;
    }
}
