//! A session with a ledger: what there was is there again at the next start.

use super::slumber::{asleep, fetched, held, when};
use super::*;

use std::path::PathBuf;

use crate::base::ids::TorrentId;
use crate::disk::Home;
use crate::ledger::{Ledger, Place, Spec, Trouble};
use crate::roster::{Flags, Phase, Row};

pub(super) fn keeping(dir: &Path, max_active: usize) -> SessionConfig {
    config(dir, max_active).ledger(true).restored(options(dir).waits_for_disk(true))
}

pub(super) async fn started(dir: &Path, max_active: usize) -> Session {
    Session::start(keeping(dir, max_active)).await.unwrap()
}

pub(super) async fn specs(session: &Session) -> Vec<Spec> {
    session.find_all().await.into_iter().map(|listed| Arc::unwrap_or_clone(listed.spec)).collect()
}

fn ids(specs: &[Spec]) -> Vec<u32> {
    specs.iter().map(|spec| spec.id.0).collect()
}

pub(super) async fn rows(session: &Session) -> Vec<Row> {
    session.changes(Cursor::default()).await.unwrap().changed
}

/// A torrent of an earlier run, as soon as it is here.
pub(super) async fn back(session: &Session, id: u32) -> TorrentHandle {
    let here = tokio::time::timeout(Duration::from_secs(20), session.reach(TorrentId(id)));
    here.await.expect("it comes back").expect("it is listed, and without trouble")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_come_back_in_order_with_their_numbers_and_all_that_was_set() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let mut handles = Vec::new();
    for number in 0..5 {
        let options = options(home.path())
            .labels(vec![format!("label {number}")])
            .sequential(number == 3)
            .download_limit(Some(1000 + number as u64));
        handles.push(session.add(torrent(number), options).await.unwrap());
    }
    let given: Vec<_> = handles.iter().map(|handle| handle.id().0).collect();
    assert_eq!(given, [1, 2, 3, 4, 5]);
    assert!(session.remove(torrent(2).info_hash_v1.unwrap()).await.unwrap());
    // By the torrent itself, and by the session.
    handles[0].pause().await;
    handles[1].limit_up(Some(7000)).await;
    handles[1].limit_down(None).await;
    handles[3].select_files(vec![false]).await;
    handles[3].add_web_seed(WebSeed::of_user("http://192.0.2.1/")).await.unwrap();
    let goals = SeedLimits { ratio: Some(1.5), time: Some(Duration::from_secs(3600)) };
    for (id, setting) in [
        (2, Setting::Labels(vec!["a".to_owned(), "b".to_owned()])),
        (2, Setting::Seeding(goals)),
        (5, Setting::UploadLimit(Some(9000))),
        (5, Setting::Rank(Rank::First)),
    ] {
        session.set(TorrentId(id), setting).await.unwrap();
    }
    let unknown = session.set(TorrentId(3), Setting::Paused(true)).await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown(TorrentId(3))), "{unknown}");
    let before = specs(&session).await;
    assert_eq!(ids(&before), [5, 1, 2, 4]);
    let of = |id: u32| before.iter().find(|spec| spec.id.0 == id).unwrap();
    assert!(of(1).paused && !of(2).paused && of(4).sequential);
    assert_eq!(of(1).labels, ["label 0"]);
    assert_eq!((of(1).download_limit, of(2).download_limit), (Some(1000), None));
    assert_eq!((of(2).upload_limit, of(5).upload_limit), (Some(7000), Some(9000)));
    assert_eq!((of(2).labels.len(), of(2).goals.ratio), (2, Some(1.5)));
    assert_eq!(of(4).selection.as_ref().map(|it| it.wanted().collect()), Some(vec![false]));
    assert_eq!(of(4).web_seeds, ["http://192.0.2.1/"]);
    assert_eq!(of(4).dir, home.path().join("data"));
    session.stop().await;

    let session = started(home.path(), 1).await;
    assert_eq!((session.troubles(), session.trouble()), (&[] as &[Trouble], None));
    assert_eq!(specs(&session).await, before);
    let listed: Vec<_> = rows(&session).await.iter().map(|row| row.id.0).collect();
    assert_eq!(listed, [5, 1, 2, 4], "all of them, at once");
    let again = session.add(torrent(1), options(home.path())).await.unwrap_err();
    assert!(matches!(&again, Error::Duplicate { name } if name == "0001"), "{again}");
    // The first that is not paused runs.
    until(&back(&session, 5).await, State::Downloading).await;
    until(&back(&session, 1).await, State::Paused).await;
    let second = back(&session, 2).await;
    until(&second, State::Queued).await;
    assert_eq!(second.look(|status| (status.limit_down, status.limit_up)), (None, Some(7000)));
    let fourth = back(&session, 4).await;
    assert_eq!(fourth.look(|status| status.wanted_files()), [false]);
    // A number is never used again, not even that of the last one.
    let new = session.add(torrent(2), options(home.path())).await.unwrap();
    assert_eq!(new.id(), TorrentId(6));
    assert!(session.remove(torrent(2).info_hash_v1.unwrap()).await.unwrap());
    session.stop().await;
    let session = started(home.path(), 1).await;
    assert_eq!(ids(&specs(&session).await), [5, 1, 2, 4]);
    let new = session.add(torrent(2), options(home.path())).await.unwrap();
    assert_eq!(new.id(), TorrentId(7));
    session.stop().await;
}

#[tokio::test]
async fn what_a_torrent_cannot_have_is_refused_and_what_it_had_stays() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    for number in 0..2 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    let before = specs(&session).await;
    for id in [1, 2] {
        for (setting, expected) in [
            (Setting::WantedFiles(vec![false, true]), "it has 1 files, and not 2"),
            (Setting::WantedFiles(vec![]), "it has 1 files, and not 0"),
            (
                Setting::Labels(vec!["x".repeat(2 << 20)]),
                "a label of 2097152 bytes is longer than 64",
            ),
        ] {
            let refused = session.set(TorrentId(id), setting).await.unwrap_err();
            assert!(matches!(&refused, Error::Refused(why) if why == expected), "{refused}");
        }
        let handle = back(&session, id).await;
        // By the torrent itself.
        handle.select_files(vec![false, true]).await;
        let long = WebSeed::of_user(format!("http://192.0.2.1/{}", "x".repeat(2 << 20)));
        assert!(handle.add_web_seed(long).await.is_err());
        assert_eq!(handle.look(|status| status.wanted_files()), [true]);
    }
    assert_eq!(specs(&session).await, before);
    until(&back(&session, 1).await, State::Downloading).await;
    until(&back(&session, 2).await, State::Queued).await;
    session.set(TorrentId(2), Setting::WantedFiles(vec![false])).await.unwrap();
    session.stop().await;
}

#[tokio::test]
async fn a_place_in_the_queue_decides_whose_turn_is_next() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let mut handles = Vec::new();
    for number in 0..4 {
        handles.push(session.add(torrent(number), options(home.path())).await.unwrap());
    }
    until(&handles[0], State::Downloading).await;
    session.set(TorrentId(4), Setting::Rank(Rank::At(1))).await.unwrap();
    let listed: Vec<_> = rows(&session).await.iter().map(|row| row.id.0).collect();
    assert_eq!(listed, [1, 4, 2, 3]);
    handles[0].pause().await;
    until(&handles[3], State::Downloading).await;
    assert_eq!((handles[1].state(), handles[2].state()), (State::Queued, State::Queued));
    session.stop().await;
}

#[tokio::test]
async fn one_that_is_added_paused_opens_nothing_before_it_is_told_to_go_on() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 2).await;
    let paused = options(home.path()).paused(true);
    let handle = session.add(torrent(1), paused).await.unwrap();
    assert_eq!(handle.state(), State::Paused);
    assert!(!home.path().join("data").exists());
    session.set(handle.id(), Setting::Paused(false)).await.unwrap();
    until(&handle, State::Downloading).await;
    assert!(!session.find(handle.id()).await.unwrap().spec.paused);
    session.stop().await;
}

#[tokio::test]
async fn a_state_directory_has_one_session_with_a_ledger() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let refused = Session::start(keeping(home.path(), 1)).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Ledger(_)), "{refused}");
    // Without one it is as ever.
    Session::start(config(home.path(), 1)).await.unwrap().stop().await;
    session.stop().await;
    started(home.path(), 1).await.stop().await;
}

#[tokio::test]
async fn the_file_that_was_given_is_kept_as_it_is_when_the_addition_is_answered() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let pack = home.path().join("state/torrents-1.pack");
    let file = [b"d7:comment2:hi4:info", torrent(1).raw_info(), b"e"].concat();
    let given = options(home.path()).file(file.clone());
    session.add(torrent(1), given).await.unwrap();
    assert_eq!(std::fs::read(&pack).unwrap(), file);
    // Without one, what is known is.
    session.add(torrent(2), options(home.path())).await.unwrap();
    let kept = std::fs::read(&pack).unwrap();
    let made = Torrent::parse(&kept[file.len()..]).unwrap();
    assert_eq!(made.info_hash_v1, torrent(2).info_hash_v1);
    session.stop().await;
}

#[tokio::test]
async fn a_file_of_another_torrent_is_not_kept_as_that_of_this_one() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let other = [b"d4:info", torrent(2).raw_info(), b"e"].concat();
    for (number, given) in [(1, other), (3, b"no torrent".to_vec())] {
        session.add(torrent(number), options(home.path()).file(given)).await.unwrap();
    }
    session.stop().await;
    let session = started(home.path(), 2).await;
    for id in [1, 2] {
        until(&back(&session, id).await, State::Downloading).await;
    }
    session.stop().await;
}

/// Whoever looks for the files of this torrent waits until the hurdle is [taken away](Hurdle::end).
struct Hurdle(PathBuf);

impl Hurdle {
    /// Where its record would be.
    fn before(home: &Path, number: usize) -> Self {
        let hash = torrent(number).info_hash_v1.unwrap();
        let path = home.join("state").join(format!("{hash}.resume"));
        let _ = std::fs::remove_file(&path);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        Self(path)
    }

    /// Whoever waits for it finds nothing, and nobody does so again.
    fn end(self) {
        let both_ends = std::fs::OpenOptions::new().read(true).write(true).open(&self.0).unwrap();
        std::fs::remove_file(self.0).unwrap();
        drop(both_ends);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_kept_in_whatever_order_their_files_open() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let hurdle = Hurdle::before(home.path(), 0);
    let first = session.begin(torrent(0), options(home.path()), None).await;
    let mut openings = Vec::new();
    for number in 1..50 {
        openings.push(session.begin(torrent(number), options(home.path()), None).await);
    }
    for opening in openings {
        opening.opened().await.unwrap();
    }
    hurdle.end();
    let first = first.opened().await.unwrap();
    session.set(first.id(), Setting::Labels(vec!["late".to_owned()])).await.unwrap();
    session.stop().await;
    let session = started(home.path(), 1).await;
    let specs = specs(&session).await;
    assert_eq!(ids(&specs), (1..=50).collect::<Vec<_>>());
    assert_eq!(specs[0].labels, ["late"]);
    session.stop().await;
}

#[tokio::test]
async fn without_a_ledger_nothing_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    session.add(torrent(1), options(home.path())).await.unwrap();
    assert_eq!(ids(&specs(&session).await), [1]);
    session.stop().await;
    let session = started(home.path(), 1).await;
    assert_eq!(specs(&session).await, []);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_come_back_asleep_with_what_they_have_sent() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(keeping(home.path(), 5).awake_max(0)).await.unwrap();
    let options = options(home.path()).seed_only(true);
    let mut handles = Vec::new();
    for number in 0..3 {
        handles.push(session.add(held(number, &options), options.clone()).await.unwrap());
    }
    for handle in &handles {
        asleep(handle).await;
    }
    fetched(&session, 1, held(1, &options)).await;
    when(&handles[1], "served", |status| status.uploaded_bytes == 1).await;
    let there = home.path().join("there");
    handles[2].relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    when(&handles[2], "moved", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    asleep(&handles[2]).await;
    // That they are whole is noted when the session has looked at them.
    let noted = async {
        loop {
            let specs = specs(&session).await;
            if specs.iter().all(|spec| spec.whole.is_some()) {
                break specs;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let before = tokio::time::timeout(Duration::from_secs(20), noted).await.expect("noted");
    assert!(before.iter().all(|spec| spec.completed_s.is_some()));
    assert_eq!([&before[0].dir, &before[2].dir], [&options.dir, &there]);
    session.stop().await;

    let session = Session::start(keeping(home.path(), 1).awake_max(0)).await.unwrap();
    assert_eq!(specs(&session).await, before);
    let listed = rows(&session).await;
    assert_eq!(listed.iter().map(|row| row.sent_bytes).collect::<Vec<_>>(), [0, 1, 0]);
    for id in 1..=3 {
        let handle = back(&session, id).await;
        asleep(&handle).await;
        assert_eq!(handle.look(|status| status.found.as_ref().map(|it| it.by_record)), Some(1));
    }
    assert_eq!(back(&session, 2).await.status().uploaded_in_all(), 1);
    fetched(&session, 2, held(2, &options.clone().dir(there))).await;
    session.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_of_one_costs_that_one() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    for number in 0..3 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    session.stop().await;
    let pack = home.path().join("state/torrents-1.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    let at = bytes.windows(6).position(|it| it == b"4:0001").unwrap();
    bytes[at + 5] = b'7';
    std::fs::write(&pack, bytes).unwrap();

    let session = started(home.path(), 5).await;
    for id in [1, 3] {
        until(&back(&session, id).await, State::Downloading).await;
    }
    let listed = session.find(TorrentId(2)).await.unwrap();
    assert!(listed.handle.is_none());
    assert_eq!(listed.trouble.as_deref(), Some("the metadata of torrent 2 is damaged"));
    let row = rows(&session).await[1];
    assert_eq!((row.id, row.phase), (TorrentId(2), Phase::Failed));
    assert!(row.flags.has(Flags::IN_TROUBLE));
    // It is there, and can be removed and added again.
    let hash = torrent(1).info_hash_v1.unwrap();
    assert!(session.add(torrent(1), options(home.path())).await.is_err());
    assert!(session.remove(hash).await.unwrap());
    assert!(!session.remove(hash).await.unwrap());
    let again = session.add(torrent(1), options(home.path())).await.unwrap();
    assert_eq!(again.id(), TorrentId(4));
    session.stop().await;
    let session = started(home.path(), 5).await;
    assert_eq!(ids(&specs(&session).await), [1, 3, 4]);
    session.stop().await;
}

#[tokio::test]
async fn what_the_state_directory_does_not_take_is_refused_and_what_was_kept_stays() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    for number in 0..2 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    // It is to be written anew, and whatever is written there fails.
    let (state, away) = (home.path().join("state"), home.path().join("away"));
    std::fs::remove_file(state.join("session.ledger")).unwrap();
    std::fs::rename(&state, &away).unwrap();
    std::fs::write(&state, "").unwrap();
    let refused = session.add(torrent(2), options(home.path())).await.unwrap_err();
    assert!(matches!(refused, Error::NotKept(_)), "{refused}");
    assert!(session.trouble().is_some_and(|why| why.contains("cannot write")));
    let words = refused.to_string();
    assert!(words.starts_with("it cannot be kept: cannot write "), "{words}");
    let refused = session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap_err();
    assert!(matches!(refused, Error::NotKept(_)), "{refused}");
    let words = refused.to_string();
    let expected = "it has left, but may be there again at the next start: cannot write ";
    assert!(words.starts_with(expected) && words.contains("/state/"), "{words}");
    assert_eq!(ids(&specs(&session).await), [1]);
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&away, &state).unwrap();
    let new = session.add(torrent(3), options(home.path())).await.unwrap();
    assert_eq!(new.id(), TorrentId(4));
    assert_eq!(session.trouble(), None);
    session.stop().await;
    let session = started(home.path(), 1).await;
    assert_eq!(ids(&specs(&session).await), [1, 4]);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_at_the_start_holds_up_nobody() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 2).await;
    for number in 0..2 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    session.stop().await;
    // Whoever looks for its files waits until somebody writes to its record.
    let hurdle = Hurdle::before(home.path(), 0);
    let session = started(home.path(), 2).await;
    until(&back(&session, 2).await, State::Downloading).await;
    assert_ne!(back(&session, 1).await.state(), State::Downloading);
    assert_eq!(ids(&specs(&session).await), [1, 2]);
    hurdle.end();
    until(&back(&session, 1).await, State::Downloading).await;
    session.stop().await;
}

/// Ends a session, and says what the next one finds.
async fn kept_by(home: &Path, session: Session) -> Vec<Spec> {
    session.stop().await;
    let session = started(home, 1).await;
    let specs = specs(&session).await;
    session.stop().await;
    specs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_moved_before_its_turn_is_there_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    let there = home.path().join("there");
    second.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    when(&second, "moved", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    let kept = kept_by(home.path(), session).await;
    assert_eq!([&kept[0].dir, &kept[1].dir], [&home.path().join("data"), &there]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_record_says_where_it_is_is_there_and_a_link_stays_a_link() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 2).await;
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let there = home.path().join("there");
    first.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    when(&first, "moved", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    let again = session.add(torrent(1), options(home.path())).await.unwrap();
    when(&again, "there", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    // Who says where it is to be from now on is heard.
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    let anew = options(home.path()).begins_in_dir(true);
    let again = session.add(torrent(1), anew).await.unwrap();
    when(&again, "here", |it| it.home.as_ref().is_some_and(|it| it.dir != there)).await;
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    let again = session.add(torrent(1), options(home.path()).dir(&there)).await.unwrap();
    when(&again, "there", |it| it.home.as_ref().is_some_and(|it| it.dir == there)).await;
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let second = session.add(torrent(2), options(home.path()).dir(&link)).await.unwrap();
    until(&second, State::Downloading).await;
    let kept = kept_by(home.path(), session).await;
    assert_eq!([&kept[0].dir, &kept[1].dir], [&there, &link]);
}

#[tokio::test]
async fn of_one_that_is_there_twice_the_later_one_runs_and_both_can_be_removed() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    session.add(torrent(1), options(home.path())).await.unwrap();
    session.stop().await;
    let (mut ledger, restored) = Ledger::open(&home.path().join("state")).unwrap();
    let bytes = ledger.locate(TorrentId(1)).unwrap().read().unwrap();
    let first = restored.torrents[0].spec.clone();
    // In front of the first, which would come later.
    let second = Spec { id: TorrentId(2), place: Place(first.place.0 - 1), ..first };
    ledger.add(&second, Some(bytes)).unwrap();
    ledger.commit().unwrap();
    drop(ledger);

    let session = started(home.path(), 5).await;
    until(&back(&session, 2).await, State::Downloading).await;
    let listed = session.find(TorrentId(1)).await.unwrap();
    let why = "it is there twice, and was added again later";
    assert_eq!((listed.handle.is_none(), listed.trouble.as_deref()), (true, Some(why)));
    let hash = torrent(1).info_hash_v1.unwrap();
    for left in [&[1][..], &[]] {
        assert!(session.remove(hash).await.unwrap());
        assert_eq!(ids(&specs(&session).await), left);
    }
    assert!(!session.remove(hash).await.unwrap());
    assert_eq!(kept_by(home.path(), session).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_renamed_comes_back_beside_one_that_has_its_name_now() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 5).await;
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    first.relocate(Relocation::Torrent("other".into())).await.unwrap().unwrap();
    let is_renamed = |it: &Home| it.folder.is_some() || !it.names.is_empty();
    when(&first, "renamed", |it| it.home.as_ref().is_some_and(|it| is_renamed(it))).await;
    until(&first, State::Downloading).await;
    let elsewhere = options(&home.path().join("elsewhere"));
    let namesake = held(1, &elsewhere);
    let namesake_hash = namesake.info_hash_v1.unwrap();
    let second = session.add(namesake, options(home.path())).await.unwrap();
    until(&second, State::Downloading).await;
    // Many are read between the two, so that the other one is open before.
    for number in 2..80 {
        session.add(torrent(number), options(home.path()).paused(true)).await.unwrap();
    }
    session.set(TorrentId(2), Setting::Rank(Rank::First)).await.unwrap();
    session.set(TorrentId(1), Setting::Rank(Rank::Last)).await.unwrap();
    session.stop().await;
    let session = started(home.path(), 1).await;
    until(&back(&session, 2).await, State::Downloading).await;
    let first = back(&session, 1).await;
    assert!(session.remove(namesake_hash).await.unwrap());
    until(&first, State::Downloading).await;
    assert!(first.look(|it| it.home.as_ref().is_some_and(|it| is_renamed(it))));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_names_one_torrent_though_the_first_was_never_kept() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    // It only sends, and there is nothing.
    let options = options(home.path());
    std::fs::write(home.path().join("file"), "").unwrap();
    let bad = options.clone().dir(home.path().join("file"));
    session.add(torrent(0), bad).await.unwrap_err();
    let ended = session.add(torrent(1), options.clone()).await.unwrap();
    assert_eq!(ended.id(), TorrentId(2));
    assert!(session.remove(torrent(1).info_hash_v1.unwrap()).await.unwrap());
    let bad = options.clone().dir(home.path().join("file"));
    session.add(torrent(2), bad).await.unwrap_err();
    session.stop().await;
    let session = started(home.path(), 1).await;
    assert_eq!(session.add(torrent(3), options).await.unwrap().id(), TorrentId(4));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_without_a_ledger_is_taken_over_once() {
    let home = tempfile::tempdir().unwrap();
    let hash = torrent(1).info_hash_v1.unwrap();
    let stats = home.path().join("state").join(format!("{hash}.stats"));
    std::fs::create_dir_all(home.path().join("state")).unwrap();
    std::fs::write(&stats, "d8:uploadedi77e7:versioni2ee").unwrap();
    let session = started(home.path(), 1).await;
    session.add(torrent(1), options(home.path())).await.unwrap();
    session.stop().await;
    assert!(!stats.exists(), "the ledger has it");
    let (ledger, kept) = Ledger::open(&home.path().join("state")).unwrap();
    assert_eq!(kept.torrents[0].tally.uploaded, 77);
    drop(ledger);
    let session = started(home.path(), 1).await;
    let handle = back(&session, 1).await;
    assert_eq!(handle.status().uploaded_in_all(), 77);
    // It is forgotten with its torrent.
    assert!(session.remove(hash).await.unwrap());
    let again = session.add(torrent(1), options(home.path())).await.unwrap();
    assert_eq!(again.status().uploaded_in_all(), 0);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_one_removed_while_the_session_ends_hears_that_it_has_left() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let hash = |number| torrent(number).info_hash_v1.unwrap();
    for number in 0..20 {
        session.add(torrent(number), options(home.path())).await.unwrap();
    }
    let mut removals = tokio::task::JoinSet::new();
    for number in 0..20 {
        let session = session.clone();
        removals.spawn(async move { session.remove(hash(number)).await });
    }
    while session.list().await.len() > 10 {}
    session.stop().await;
    while let Some(removed) = removals.join_next().await {
        match removed.unwrap() {
            Ok(is_removed) => assert!(is_removed),
            Err(error) => assert!(matches!(error, Error::NotKept(_) | Error::Ended), "{error}"),
        }
    }
    drop(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_to_be_removed_when_it_is_there_and_never_comes_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let hurdle = Hurdle::before(home.path(), 0);
    std::fs::write(home.path().join("file"), "").unwrap();
    let bad = options(home.path()).dir(home.path().join("file"));
    let opening = session.begin(torrent(0), bad, None).await;
    let mut removal = std::pin::pin!(session.remove(torrent(0).info_hash_v1.unwrap()));
    let asked = tokio::time::timeout(Duration::from_millis(50), &mut removal).await;
    let early = asked.ok();
    hurdle.end();
    opening.opened().await.unwrap_err();
    let removed = match early {
        Some(removed) => removed,
        None => removal.await,
    };
    assert!(matches!(removed, Ok(true)), "{removed:?}");
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_set_of_one_that_leaves() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let handle = session.add(torrent(0), options(home.path())).await.unwrap();
    // Its mailbox is full, and it reads none of it.
    let rooms: Vec<_> = std::iter::from_fn(|| handle.room_now()).collect();
    let (hash, id) = (torrent(0).info_hash_v1.unwrap(), handle.id());
    let removal = {
        let session = session.clone();
        tokio::spawn(async move { session.remove(hash).await })
    };
    while session.find(id).await.is_some() {}
    let refused = session.set(id, Setting::Paused(true));
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;
    let refused = refused.expect("it is answered").unwrap_err();
    assert!(matches!(refused, Error::Unknown(_)), "{refused}");
    drop(rooms);
    assert!(removal.await.unwrap().unwrap());
    session.stop().await;
}

#[tokio::test]
async fn more_trackers_than_a_torrent_asks_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let session = started(home.path(), 1).await;
    let named = |count: usize| -> TorrentOptions {
        let urls = (0..count).map(|nth| format!("http://127.0.0.1:1/{nth}")).collect();
        options(home.path()).extra_trackers(urls)
    };
    let refused = session.add(torrent(0), named(101)).await.unwrap_err().to_string();
    assert_eq!(refused, "that cannot be set: 101 trackers, where a torrent has 100 at most");
    session.add(torrent(0), named(100)).await.unwrap();
    session.stop().await;
}

/// Nobody else may wait then, neither for names nor for other disks.
#[test]
fn a_disk_that_hangs_takes_few_of_the_threads_that_all_share() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).max_blocking_threads(16).enable_all();
    let runtime = runtime.build().unwrap();
    let home = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let session = started(home.path(), 1).await;
        let hurdles: Vec<_> = (0..32).map(|nth| Hurdle::before(home.path(), nth)).collect();
        let mut openings = Vec::new();
        for number in 0..32 {
            openings.push(session.begin(torrent(number), options(home.path()), None).await);
        }
        // Those that may wait do so by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = tokio::task::spawn_blocking(|| ());
        let is_free = tokio::time::timeout(Duration::from_secs(10), other).await.is_ok();
        for hurdle in hurdles {
            hurdle.end();
        }
        for opening in openings {
            opening.opened().await.unwrap();
        }
        session.stop().await;
        assert!(is_free);
    });
}
