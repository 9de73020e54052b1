//! Torrents that leave with their files, and whoever comes to where those are meanwhile.

use super::kept::started;
use super::slumber::held;
use super::*;

use crate::base::ids::TorrentId;
use crate::disk::Erased;
use crate::ledger::{Ledger, Restored};

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(20);

/// A session that seeds a torrent of one byte, which stands there.
async fn seeding(home: &Path) -> (Session, TorrentHandle) {
    let session = started(home, 5).await;
    let options = options(home);
    let handle = session.add(held(1, &options), options.clone()).await.unwrap();
    until(&handle, State::Complete).await;
    (session, handle)
}

fn kept(home: &Path) -> (Ledger, Restored) {
    Ledger::open(&home.join("state")).unwrap()
}

fn gone() -> Option<Erasure> {
    Some(Erasure::Gone(Erased { files: 1, bytes: 1, ..Erased::default() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_to_where_files_are_being_removed() {
    let home = tempfile::tempdir().unwrap();
    let (session, first) = seeding(home.path()).await;
    let options = options(home.path());
    let waiting = session.add(torrent(2), options.clone().paused(true)).await.unwrap();
    until(&waiting, State::Paused).await;
    // Where the files of that one are only its record knows, and whoever reads that hangs.
    let hash = torrent(2).info_hash_v1.unwrap();
    let record = home.path().join("state").join(format!("{hash}.resume"));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &record, mode).unwrap();
    let id = first.id();
    let mut erasing = Box::pin(session.erase(id));
    assert!(tokio::time::timeout(Duration::ZERO, &mut erasing).await.is_err(), "the disk hangs");
    let again = session.erase(id).await.unwrap_err();
    assert_eq!(again.to_string(), "it is being removed with its files already");
    let elsewhere = options.clone().dir(home.path().join("by another name"));
    for options in [options.clone(), elsewhere, options.clone().seed_only(true)] {
        let refused = session.add(torrent(1), options).await.unwrap_err();
        assert!(matches!(&refused, Error::Doomed { name } if name == "0001"), "{refused}");
    }
    let third = session.add(torrent(3), options.clone()).await.unwrap();
    let there = |name: &str| Relocation::Torrent(name.to_owned());
    let refused = third.relocate(there("0001")).await.unwrap().unwrap_err();
    assert_eq!(refused, "0001 is being removed with its files from there");
    let refused = first.relocate(there("x")).await.unwrap().unwrap_err();
    assert_eq!(refused, "it is being removed with its files");
    assert!(options.dir.join("0001").exists());
    // The disk answers.
    let aside = home.path().join("aside");
    std::fs::rename(&record, &aside).unwrap();
    tokio::task::spawn_blocking(move || std::fs::write(aside, "")).await.unwrap().unwrap();
    let erased = tokio::time::timeout(LIMIT, erasing).await.expect("it goes on");
    assert_eq!(erased.unwrap(), gone());
    assert!(!options.dir.join("0001").exists() && session.find(id).await.is_none());
    assert_eq!(session.erase(id).await.unwrap(), None, "it has left");
    let new = session.add(torrent(1), options).await.unwrap();
    until(&new, State::Downloading).await;
    session.stop().await;
    assert!(kept(home.path()).1.to_erase.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_came_just_before_keeps_what_it_shares() {
    let home = tempfile::tempdir().unwrap();
    let (session, first) = seeding(home.path()).await;
    let options = options(home.path());
    // It is on its way in, and no list shows it: whoever opens it hangs.
    let hash = twin().info_hash_v1.unwrap();
    let stats = home.path().join("state").join(format!("{hash}.stats"));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &stats, mode).unwrap();
    let coming = session.begin(twin(), options.clone(), None).await;
    let refused = session.erase(first.id()).await.unwrap_err();
    assert_eq!(refused.to_string(), "0001 has files in the same place: remove that one first");
    assert!(options.dir.join("0001").exists() && session.find(first.id()).await.is_some());
    tokio::task::spawn_blocking(move || std::fs::write(stats, "")).await.unwrap().unwrap();
    until(&coming.opened().await.unwrap(), State::Complete).await;
    session.stop().await;
}

/// Another torrent of the same file.
fn twin() -> Arc<Torrent> {
    let head = b"d4:infod6:lengthi1e4:name4:000112:piece lengthi16384e6:pieces20:";
    let bytes = [&head[..], &sha1(&[&[1]]), b"6:source1:aee"].concat();
    Arc::new(Torrent::parse(&bytes).unwrap())
}

/// Ends a session and removes its first torrent as one that was killed before its files went.
async fn killed(session: Session, home: &Path) {
    session.stop().await;
    drop(session);
    let (mut ledger, restored) = kept(home);
    ledger.erase(&restored.torrents[0].spec).unwrap();
    ledger.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_session_did_not_remove_goes_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let file = options(home.path()).dir.join("0001");
    let (session, _) = seeding(home.path()).await;
    killed(session, home.path()).await;
    assert!(file.exists());
    let session = started(home.path(), 5).await;
    assert_eq!((session.find_all().await.len(), session.troubles().len()), (0, 0));
    let goes = async {
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, goes).await.expect("it goes");
    session.stop().await;
    drop(session);
    let (ledger, restored) = kept(home.path());
    assert!(restored.to_erase.is_empty() && restored.torrents.is_empty());
    assert_eq!(ledger.next_id(), Some(TorrentId(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_torrent_has_by_then_stays() {
    let home = tempfile::tempdir().unwrap();
    let options = options(home.path());
    let (session, _) = seeding(home.path()).await;
    let second = session.add(twin(), options.clone()).await.unwrap();
    until(&second, State::Complete).await;
    killed(session, home.path()).await;
    let session = started(home.path(), 5).await;
    // One look at the disk later nobody is refused any more.
    let free = async {
        while let Err(refused) = session.add(torrent(1), options.clone().paused(true)).await {
            match refused {
                Error::Doomed { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
                // It is open by now.
                Error::Taken { .. } => return,
                other => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, free).await.expect("it is given up");
    assert!(options.dir.join("0001").exists());
    session.stop().await;
    drop(session);
    assert!(kept(home.path()).1.to_erase.is_empty(), "it will be no better the next time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_is_removed_by_its_number_whoever_has_its_hash() {
    let home = tempfile::tempdir().unwrap();
    let (session, first) = seeding(home.path()).await;
    assert!(!session.remove_number(TorrentId(9)).await.unwrap());
    assert!(session.remove_number(first.id()).await.unwrap());
    assert!(first.has_ended() && !session.remove_number(first.id()).await.unwrap());
    // The same torrent has another number then, and one that waits leaves as well.
    let again = session.add(torrent(1), options(home.path()).paused(true)).await.unwrap();
    assert_eq!(again.id(), TorrentId(2));
    assert!(!session.remove_number(first.id()).await.unwrap());
    session.stop().await;
    let session = started(home.path(), 5).await;
    assert!(session.remove_number(TorrentId(2)).await.unwrap(), "before it is here, too");
    session.stop().await;
    drop(session);
    assert!(kept(home.path()).1.torrents.is_empty());
}
