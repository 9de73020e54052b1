//! A whole session, asked and told by values alone.

use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;
use sha1::Digest as _;

use super::*;
use crate::base::ids::TorrentId;
use crate::net::egress::Egress;
use crate::session::{Session, SessionConfig, TorrentOptions};

mod creating;
mod hosts;

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(20);

/// A torrent of two files with a pad file between, of 3 pieces that nobody has.
fn torrent(name: &str) -> String {
    let files = "d6:lengthi20000e4:pathl1:aeed4:attr1:p6:lengthi12768e4:pathl4:.pad1:0ee\
                 d6:lengthi40000e4:pathl1:bee";
    let mut bytes = format!(
        "d4:infod5:filesl{files}e4:name{}:{name}12:piece lengthi32768e6:pieces60:",
        name.len()
    )
    .into_bytes();
    bytes.extend([b'x'; 60]);
    bytes.extend(b"ee");
    BASE64.encode(&bytes)
}

fn addition(name: &str) -> Addition {
    Addition { torrent: Some(torrent(name)), ..Addition::default() }
}

async fn api(dir: &Path) -> Api {
    let rest = TorrentOptions::default().use_trackers(false);
    let config = SessionConfig::default().state_dir(dir.join("state")).listen(false).ledger(true);
    let session = Session::start(config.restored(rest.clone())).await.unwrap();
    let downloads = dir.join("downloads");
    Api::new(
        session,
        ApiConfig {
            allows_local: false,
            version: "1",
            dir: downloads.clone(),
            roots: Roots::new(vec![downloads]),
            egress: Egress::default(),
            rest,
            speaker: |waiting| format!("it is torrent {}", waiting.id.0),
        },
    )
}

async fn list(api: &Api, since: Option<Mark>) -> List {
    match api.answer(Request::List(since)).await {
        Ok(Answer::List(list)) => list,
        other => panic!("{other:?}"),
    }
}

async fn add(api: &Api, addition: Addition) -> Added {
    match api.answer(Request::Add(Box::new(addition))).await {
        Ok(Answer::Added(added)) => added,
        other => panic!("{other:?}"),
    }
}

async fn show(api: &Api, id: u32) -> Details {
    match api.answer(Request::Show(Key::Id(id))).await {
        Ok(Answer::Torrent(details)) => *details,
        other => panic!("{other:?}"),
    }
}

/// Waits until a torrent does that.
async fn until(api: &Api, id: u32, state: State) {
    let mut heads = api.heads();
    let reached = async {
        while show(api, id).await.torrent.state != state {
            heads.changed().await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, reached).await.expect("it gets there");
}

async fn find(api: &Api, words: &str) -> Found {
    match api.answer(Request::Find(words.into())).await {
        Ok(Answer::Found(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn kind(outcome: Outcome) -> Kind {
    outcome.expect_err("it is refused").code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_lives_by_values_alone_and_outlives_its_session() {
    let home = tempfile::tempdir().unwrap();
    let api_1 = api(home.path()).await;
    let empty = list(&api_1, None).await;
    assert!(empty.full && empty.torrents.is_empty());
    let Ok(Answer::Events(start)) = api_1.answer(Request::Events(None)).await else { panic!() };
    let added = add(&api_1, Addition { labels: vec!["x".into()], ..addition("one") }).await;
    assert_eq!((added.id, &*added.name, added.was_there), (Some(1), "one", false));
    let again = add(&api_1, addition("one")).await;
    assert_eq!(again, Added { was_there: true, ..added.clone() }, "who tries again harms nothing");
    assert_eq!(add(&api_1, Addition { paused: true, ..addition("two") }).await.id, Some(2));
    until(&api_1, 1, State::Downloading).await;
    until(&api_1, 2, State::Paused).await;

    // Changes alone are told, each to who asks by either name.
    let before = list(&api_1, None).await;
    assert_eq!(before.torrents.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2]);
    let patch = Patch {
        limit_down: Some(1000),
        labels: Some(vec!["a".into(), "b".into()]),
        seed_ratio: Some(2.0),
        place: Some(Place::Top),
        sequential: Some(true),
        ends_first: Some(true),
        ..Patch::default()
    };
    let by_hash = Key::Hash(before.torrents[1].hash.clone().unwrap());
    api_1.answer(Request::Set(by_hash, Box::new(patch))).await.unwrap();
    let changes = list(&api_1, Some(before.cursor)).await;
    assert!(!changes.full && changes.removed.is_empty());
    let changed = changes.torrents.iter().find(|it| it.id == 2).unwrap();
    assert_eq!((changed.limits.down, &*changed.labels[1]), (Some(1000), "b"));
    assert_eq!(list(&api_1, None).await.torrents[0].id, 2, "it is at the top");

    // Files are numbered without those that nobody sees.
    let choice = FilePatch { want: vec![2], skip: vec![1], ..FilePatch::default() };
    api_1.answer(Request::SetFiles(Key::Id(1), choice)).await.unwrap();
    let Ok(Answer::Files(files)) = api_1.answer(Request::Files(Key::Id(1))).await else { panic!() };
    let seen: Vec<_> = files.iter().map(|it| (it.number, it.size, it.wanted)).collect();
    assert_eq!(seen, [(1, 20_000, false), (2, 40_000, true)]);
    let urgent = FilePatch { high: vec![2], low: vec![1], ..FilePatch::default() };
    api_1.answer(Request::SetFiles(Key::Id(1), urgent)).await.unwrap();
    let again = FilePatch { want: vec![2], ..FilePatch::default() };
    api_1.answer(Request::SetFiles(Key::Id(1), again)).await.unwrap();
    let Ok(Answer::Files(files)) = api_1.answer(Request::Files(Key::Id(1))).await else { panic!() };
    let seen: Vec<_> = files.iter().map(|it| (it.wanted, it.priority)).collect();
    assert_eq!(seen, [(true, Priority::Low), (true, Priority::High)], "as urgent as it was");
    let wrong = FilePatch { want: vec![3], ..FilePatch::default() };
    assert_eq!(kind(api_1.answer(Request::SetFiles(Key::Id(1), wrong)).await), Kind::Invalid);
    let Ok(Answer::Why(why)) = api_1.answer(Request::Why(Key::Id(1))).await else { panic!() };
    assert_eq!(why.text, "it is torrent 1");

    let Ok(Answer::Events(told)) = api_1.answer(Request::Events(Some(start.cursor))).await else {
        panic!()
    };
    let added: Vec<_> = told.events.iter().filter(|it| it.what == What::Added).collect();
    assert_eq!(added.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2]);
    assert!(!told.has_gap);
    api_1.session().stop().await;
    drop(api_1);

    let api_2 = api(home.path()).await;
    let Ok(Answer::Events(told)) = api_2.answer(Request::Events(Some(told.cursor))).await else {
        panic!()
    };
    assert!(told.has_gap && told.missed.is_none(), "it is another run");
    assert!(list(&api_2, Some(changes.cursor)).await.full);
    until(&api_2, 2, State::Paused).await;
    let second = show(&api_2, 2).await;
    assert_eq!((second.torrent.labels.len(), second.torrent.seed_ratio), (2, Some(2.0)));
    assert!(second.torrent.sequential && second.torrent.ends_first);
    api_2.answer(Request::Do(Key::Id(2), Deed::Resume)).await.unwrap();
    until(&api_2, 2, State::Downloading).await;
    let before = list(&api_2, None).await;
    api_2.answer(Request::Remove(Key::Id(1), false)).await.unwrap();
    assert_eq!(list(&api_2, Some(before.cursor)).await.removed, [1]);
    assert_eq!(kind(api_2.answer(Request::Show(Key::Id(1))).await), Kind::NotFound);
    assert_eq!(kind(api_2.answer(Request::Remove(Key::Id(1), false)).await), Kind::NotFound);
    api_2.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_a_torrent_with_a_number_while_it_is_sought() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let hash = "ab".repeat(20);
    let link = format!("magnet:?xt=urn:btih:{hash}&dn=film");
    let link = |labels: &[&str]| Addition {
        link: Some(link.clone()),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..Addition::default()
    };
    let added = add(&api, link(&["a"])).await;
    let expected = Added { id: Some(1), hash, name: "film".into(), was_there: false };
    assert_eq!(added, expected);
    assert_eq!(add(&api, link(&["b"])).await, Added { was_there: true, ..expected });
    until(&api, 1, State::Seeking).await;
    let details = show(&api, 1).await;
    assert_eq!(
        (details.search.as_deref(), details.torrent.labels),
        (Some("it is torrent 1"), vec!["a".into()])
    );
    assert!(details.torrent.progress < 1.0 && details.torrent.wanted_bytes == 0);
    let Ok(Answer::Session(standing)) = api.answer(Request::Session).await else { panic!() };
    assert_eq!((standing.torrents, standing.seeking, standing.downloading), (1, 1, 0));
    let key = || Key::Id(1);
    let Ok(Answer::Why(why)) = api.answer(Request::Why(key())).await else { panic!() };
    assert_eq!(why.text, "it is torrent 1");
    // Nobody listens there.
    let deed = Deed::AddPeer { address: "127.0.0.1:9".into() };
    api.answer(Request::Do(key(), deed)).await.unwrap();
    let refused = async {
        loop {
            match api.answer(Request::Peers(key(), true)).await {
                Ok(Answer::Peers(peers)) if peers.iter().any(|it| it.error.is_some()) => break,
                Ok(Answer::Peers(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, refused).await.expect("it is dialled");
    for request in [Request::Files(key()), Request::Do(key(), Deed::Verify), Request::Rules(key())]
    {
        let refused = api.answer(request.clone()).await.unwrap_err();
        assert!(
            refused.error.contains("not known") || refused.error.contains("not here"),
            "{request:?}: {refused}"
        );
    }
    let patch = Patch { limit_down: Some(9), place: Some(Place::Top), ..Patch::default() };
    api.answer(Request::Set(key(), Box::new(patch))).await.unwrap();
    api.answer(Request::Do(key(), Deed::Pause)).await.unwrap();
    until(&api, 1, State::Paused).await;
    let details = show(&api, 1).await;
    assert_eq!((details.search, details.torrent.limits.down), (None, Some(9)));
    let Ok(Answer::Why(why)) = api.answer(Request::Why(key())).await else { panic!() };
    assert_eq!(why.text, "it rests: its metadata is sought when it is resumed\n");
    api.answer(Request::Do(key(), Deed::Resume)).await.unwrap();
    until(&api, 1, State::Seeking).await;
    api.answer(Request::Remove(key(), true)).await.unwrap();
    assert_eq!(kind(api.answer(Request::Show(key())).await), Kind::NotFound);
    assert_eq!(add(&api, link(&[])).await.id, Some(2), "it can be sought again");
    let wrong = Addition { files: Some(vec![0]), ..link(&[]) };
    assert_eq!(kind(api.answer(Request::Add(Box::new(wrong))).await), Kind::Invalid);
    api.session().stop().await;
}

/// A torrent of the same two files, of zeros alone; `source` tells it from others.
fn zeros(source: char) -> Addition {
    let files = "d6:lengthi20000e4:pathl1:aeed4:attr1:p6:lengthi12768e4:pathl4:.pad1:0ee\
                 d6:lengthi40000e4:pathl1:bee";
    let mut bytes =
        format!("d4:infod5:filesl{files}e4:name5:zeros12:piece lengthi32768e6:pieces60:")
            .into_bytes();
    for len in [32768, 32768, 7232] {
        bytes.extend(sha1::Sha1::digest(vec![0; len]));
    }
    bytes.extend(format!("6:source1:{source}ee").into_bytes());
    Addition { torrent: Some(BASE64.encode(&bytes)), ..Addition::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_leaves_with_its_files_unless_another_one_has_the_same() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("downloads/zeros");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), [0; 20_000]).unwrap();
    std::fs::write(folder.join("b"), [0; 40_000]).unwrap();
    let api = api(home.path()).await;
    assert_eq!(add(&api, zeros('1')).await.id, Some(1));
    until(&api, 1, State::Seeding).await;
    assert_eq!(add(&api, Addition { paused: true, ..zeros('2') }).await.id, Some(2));
    let refused = api.answer(Request::Remove(Key::Id(1), true)).await.unwrap_err();
    assert_eq!(refused.code, Kind::Conflict);
    assert_eq!(refused.error, "zeros has files in the same place: remove that one first");
    assert_eq!(show(&api, 1).await.torrent.state, State::Seeding, "it is as it was");
    api.answer(Request::Remove(Key::Id(2), false)).await.unwrap();
    assert!(folder.join("a").exists(), "the data of the other one stays");
    let Ok(Answer::Done(done)) = api.answer(Request::Remove(Key::Id(1), true)).await else {
        panic!()
    };
    assert_eq!((done.id, done.note.as_deref()), (Some(1), Some("2 files are gone, 58.6 KiB")));
    assert!(!folder.exists() && home.path().join("downloads").is_dir());
    assert!(list(&api, None).await.torrents.is_empty());
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_of_an_earlier_run_is_set_and_told_of_without_coming() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("downloads/zeros");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), [0; 20_000]).unwrap();
    std::fs::write(folder.join("b"), [0; 40_000]).unwrap();
    let begun = api(home.path()).await;
    add(&begun, zeros('1')).await;
    until(&begun, 1, State::Seeding).await;
    begun.session().stop().await;
    drop(begun);
    for asked in [Request::Why(Key::Id(1)), Request::Files(Key::Id(1)), Request::Show(Key::Id(1))] {
        let api = api(home.path()).await;
        let is_here = async || {
            api.session().find(TorrentId(1)).await.is_some_and(|listed| listed.handle.is_some())
        };
        let limits = Patch { limit_up: Some(1000), ..Patch::default() };
        for order in [
            Request::Set(Key::Id(1), Box::new(limits)),
            Request::Do(Key::Id(1), Deed::Pause),
            Request::Do(Key::Id(1), Deed::Resume),
        ] {
            api.answer(order).await.unwrap();
        }
        let listed = list(&api, None).await.torrents.remove(0);
        assert_eq!((listed.state, listed.asleep), (State::Seeding, true));
        assert_eq!((listed.done_bytes, listed.limits.up), (60_000, Some(1000)));
        assert!(!is_here().await, "for {asked:?}");
        // Its files are all here, under names that its metadata tells.
        match api.answer(asked).await.unwrap() {
            Answer::Why(why) => assert_eq!(why.text, "it is torrent 1"),
            Answer::Files(files) => assert_eq!((files[1].size, files[1].progress), (40_000, 1.0)),
            Answer::Torrent(it) => assert_eq!((it.pieces, it.pieces_done), (3, 3)),
            other => panic!("{other:?}"),
        }
        assert!(!is_here().await);
        api.session().stop().await;
    }
    // With its data, though it is not here.
    let api = api(home.path()).await;
    let Ok(Answer::Done(done)) = api.answer(Request::Remove(Key::Id(1), true)).await else {
        panic!()
    };
    assert_eq!(done.note.as_deref(), Some("2 files are gone, 58.6 KiB"));
    assert!(!folder.exists() && list(&api, None).await.torrents.is_empty());
    api.session().stop().await;
}

/// Zeros that are here, with words of a maker and trackers.
fn described(home: &Path) -> Addition {
    let folder = home.join("downloads/zeros");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), [0; 20_000]).unwrap();
    std::fs::write(folder.join("b"), [0; 40_000]).unwrap();
    let bytes = BASE64.decode(zeros('1').torrent.unwrap().as_bytes()).unwrap();
    let mut said = b"d8:announce8:http://a7:comment5:words10:created by5:maker".to_vec();
    said.extend(b"13:creation datei86400e");
    said.extend(&bytes[1..]);
    Addition {
        torrent: Some(BASE64.encode(&said)),
        trackers: vec!["http://b".to_owned()],
        ..Addition::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_torrent_says_of_itself_is_told_without_waking_it() {
    let home = tempfile::tempdir().unwrap();
    let facts = async |api: &Api| match api.answer(Request::Facts(Key::Id(1))).await {
        Ok(Answer::Facts(facts)) => *facts,
        other => panic!("{other:?}"),
    };
    let begun = api(home.path()).await;
    assert_eq!(kind(begun.answer(Request::Facts(Key::Id(1))).await), Kind::NotFound);
    add(&begun, described(home.path())).await;
    until(&begun, 1, State::Seeding).await;
    let told = facts(&begun).await;
    let words = |text: &str| Some(text.to_owned());
    assert_eq!(
        (told.pieces, told.piece_length, &*told.have),
        (3, 32_768, &*BASE64.encode(b"\xe0"))
    );
    assert_eq!((told.comment, told.creator), (words("words"), words("maker")));
    assert_eq!((told.created_at, told.private, told.single), (Some(86_400), false, false));
    assert_eq!(told.trackers, [["http://b"], ["http://a"]]);
    assert!(told.magnet.starts_with("magnet:?xt=urn:btih:"), "{}", told.magnet);
    let Ok(Answer::Files(files)) = begun.answer(Request::Files(Key::Id(1))).await else { panic!() };
    let pieces: Vec<_> = files.iter().map(|it| (it.begin_piece, it.end_piece)).collect();
    assert_eq!(pieces, [(0, 1), (1, 3)]);
    let before = show(&begun, 1).await.torrent;
    assert_eq!((before.size, before.files, before.missing_bytes), (60_000, 2, 0));
    begun.session().stop().await;
    drop(begun);

    let later = api(home.path()).await;
    assert_eq!(facts(&later).await.have, BASE64.encode(b"\xe0"), "all is here");
    let listed = list(&later, None).await.torrents.remove(0);
    // Of the files of one that sleeps it is not known which are of padding.
    assert_eq!((listed.size, listed.files, listed.asleep), (60_000, 3, true));
    let details = show(&later, 1).await;
    assert_eq!((details.pieces, details.pieces_done), (3, 3));
    let of = |request: fn(Key) -> Request| later.answer(request(Key::Id(1)));
    assert_eq!(of(|key| Request::Peers(key, true)).await, Ok(Answer::Peers(Vec::new())));
    assert_eq!(of(Request::Sources).await, Ok(Answer::Sources(Vec::new())));
    let Ok(Answer::Trackers(trackers)) = of(Request::Trackers).await else { panic!() };
    let told: Vec<_> = trackers.iter().map(|it| (it.tier, &*it.url, &*it.state)).collect();
    assert_eq!(told, [(1, "http://b", "not asked yet"), (2, "http://a", "not asked yet")]);
    assert!(matches!(of(Request::Why).await, Ok(Answer::Why(_))));
    let found = later.session().find(TorrentId(1)).await.unwrap();
    assert!(found.handle.is_none(), "it sleeps on");
    later.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_a_torrent_seeds_goes_on_with_the_clock() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    add(&api, described(home.path())).await;
    until(&api, 1, State::Seeding).await;
    let begun = std::time::Instant::now();
    let seeded = async {
        while show(&api, 1).await.torrent.seeding_s < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, seeded).await.expect("time passes");
    assert!(begun.elapsed() > Duration::from_millis(400), "{:?}", begun.elapsed());
    let it = show(&api, 1).await.torrent;
    assert!(it.active_s >= it.seeding_s && it.active_s < 20, "{it:?}");
    let resting = Request::Do(Key::Id(1), Deed::Pause);
    api.answer(resting).await.unwrap();
    until(&api, 1, State::Paused).await;
    // It goes on when its turn comes, which is at once for a seed.
    api.answer(Request::Do(Key::Id(1), Deed::Unpause)).await.unwrap();
    until(&api, 1, State::Seeding).await;
    api.session().stop().await;
}

#[tokio::test]
async fn how_much_room_there_is_is_told_of_where_files_may_go() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let room = async |dir: &Path| api.answer(Request::Room(dir.display().to_string())).await;
    let root = home.path().join("downloads");
    for (dir, exists) in [(root.clone(), true), (root.join("x/y"), false)] {
        std::fs::create_dir_all(&root).unwrap();
        let Ok(Answer::Room(told)) = room(&dir).await else { panic!("{}", dir.display()) };
        assert_eq!(
            (told.exists, Path::new(&told.dir).ends_with(dir.file_name().unwrap())),
            (exists, true)
        );
        let (free, total) = (told.free_bytes.unwrap(), told.total_bytes.unwrap());
        assert!(free > 0 && free <= total, "{told:?}");
    }
    for outside in ["/etc", "downloads", ""] {
        assert_eq!(kind(room(Path::new(outside)).await), Kind::Invalid, "{outside}");
    }
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_that_gets_another_name_is_listed_by_it() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    add(&api, described(home.path())).await;
    until(&api, 1, State::Seeding).await;
    let rename =
        |name: &str| Request::Do(Key::Id(1), Deed::Rename { file: None, name: name.into() });
    api.answer(rename("ones")).await.unwrap();
    assert_eq!(list(&api, None).await.torrents[0].name, "ones");
    assert!(home.path().join("downloads/ones/a").exists());
    assert!(api.answer(rename("a/b")).await.is_err());
    assert_eq!(show(&api, 1).await.torrent.name, "ones", "it is as it was");
    api.session().stop().await;
}

#[tokio::test]
async fn how_many_run_and_whom_they_meet_is_set_and_lifted() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    add(&api, Addition { paused: true, ..addition("one") }).await;
    let set = async |active: u32, peers: u32| {
        let all = SessionPatch { active_max: Some(active), ..SessionPatch::default() };
        api.answer(Request::SetSession(all)).await.unwrap();
        let own = Patch { peers_max: Some(peers), ..Patch::default() };
        api.answer(Request::Set(Key::Id(1), Box::new(own))).await.unwrap();
        match api.answer(Request::Session).await {
            Ok(Answer::Session(standing)) => (standing.active_max, show(&api, 1).await.peers_max),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(set(7, 30).await, (Some(7), Some(30)));
    assert_eq!(set(0, 0).await, (None, None));
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_a_torrent_never_had_stay_when_it_leaves() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("downloads/zeros");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), [0; 20_000]).unwrap();
    let api = api(home.path()).await;
    add(&api, Addition { paused: true, ..zeros('1') }).await;
    let Ok(Answer::Done(done)) = api.answer(Request::Remove(Key::Id(1), true)).await else {
        panic!()
    };
    let note = done.note.unwrap();
    assert!(note.contains("/zeros/a stays: it is not as the torrent left it"), "{note}");
    assert!(folder.join("a").exists());
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_added_is_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let bytes = |text: &str| Addition { torrent: Some(text.into()), ..Addition::default() };
    let url = |url: &str| Addition { url: Some(url.into()), ..Addition::default() };
    for wrong in [
        Addition::default(),
        bytes("no base64!"),
        bytes(&BASE64.encode(b"d4:infodee")),
        Addition { link: Some("magnet:?x".into()), ..addition("one") },
        Addition { link: Some("magnet:?dn=film".into()), ..Addition::default() },
        Addition { dir: Some("/etc".into()), ..addition("one") },
        Addition { dir: Some("downloads".into()), ..addition("one") },
        Addition { files: Some(vec![0]), ..addition("one") },
        Addition { seed_ratio: Some(-1.0), ..addition("one") },
        url("file:///etc/passwd"),
        url("http://169.254.169.254/latest/x.torrent"),
        url("http://127.0.0.1:1/"),
    ] {
        let refused = api.answer(Request::Add(Box::new(wrong.clone()))).await;
        let refused = refused.expect_err("it is no torrent");
        assert_eq!(refused.code, Kind::Invalid, "{wrong:?}: {refused}");
    }
    assert!(list(&api, None).await.torrents.is_empty());
    api.session().stop().await;
}

#[tokio::test]
async fn patches_that_come_at_once_are_all_of_effect() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    add(&api, Addition { paused: true, ..addition("one") }).await;
    until(&api, 1, State::Paused).await;
    let skip = |number| FilePatch { skip: vec![number], ..FilePatch::default() };
    let files = |number| api.answer(Request::SetFiles(Key::Id(1), skip(number)));
    let goal = |patch: Patch| api.answer(Request::Set(Key::Id(1), Box::new(patch)));
    let (one, other) = tokio::join!(files(1), files(2));
    one.and(other).unwrap();
    let ratio = Patch { seed_ratio: Some(2.0), ..Patch::default() };
    let time = Patch { seed_time_s: Some(60), ..Patch::default() };
    let (one, other) = tokio::join!(goal(ratio), goal(time));
    one.and(other).unwrap();
    let Ok(Answer::Files(files)) = api.answer(Request::Files(Key::Id(1))).await else { panic!() };
    assert_eq!(files.iter().map(|it| it.wanted).collect::<Vec<_>>(), [false, false]);
    let high = FilePatch { high: vec![1], ..FilePatch::default() };
    let low = FilePatch { low: vec![2], ..FilePatch::default() };
    let files = |patch| api.answer(Request::SetFiles(Key::Id(1), patch));
    let (one, other) = tokio::join!(files(high), files(low));
    one.and(other).unwrap();
    let Ok(Answer::Files(files)) = api.answer(Request::Files(Key::Id(1))).await else { panic!() };
    let told: Vec<_> = files.iter().map(|it| it.priority).collect();
    assert_eq!(told, [Priority::High, Priority::Low]);
    let shown = show(&api, 1).await;
    assert_eq!((shown.torrent.seed_ratio, shown.torrent.seed_time_s), (Some(2.0), Some(60)));
    api.session().stop().await;
}

/// Its piece would be fetched for nothing but zeros that nobody sends.
#[tokio::test]
async fn padding_is_wanted_with_everything_else_alone() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    add(&api, Addition { paused: true, files: Some(vec![2]), ..addition("one") }).await;
    let wanted = async || {
        let listed = api.session().find(TorrentId(1)).await.unwrap();
        listed.spec.selection.as_ref().map(|it| it.wanted().collect::<Vec<_>>())
    };
    assert_eq!(wanted().await, Some(vec![false, false, true]));
    for (patch, expected) in [
        (FilePatch { want: vec![1], ..FilePatch::default() }, None),
        (FilePatch { skip: vec![1], ..FilePatch::default() }, Some(vec![false, false, true])),
        (FilePatch { high: vec![1], ..FilePatch::default() }, Some(vec![true, true, true])),
    ] {
        api.answer(Request::SetFiles(Key::Id(1), patch.clone())).await.unwrap();
        assert_eq!(wanted().await, expected, "{patch:?}");
    }
    api.session().stop().await;
}

#[tokio::test]
async fn a_url_leads_into_our_network_only_where_the_settings_say_so() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = format!("http://{}/x.torrent", server.local_addr().unwrap());
    for (url, address) in [
        (&*local, "loopback address 127.0.0.1"),
        ("http://169.254.169.254/x.torrent", "link-local address 169.254.169.254"),
        ("http://[fe80::1]/x.torrent", "link-local address fe80::1"),
        ("http://10.0.0.1/x.torrent", "private address 10.0.0.1"),
    ] {
        let addition = Addition { url: Some(url.to_owned()), ..Addition::default() };
        let refused = api.answer(Request::Add(Box::new(addition))).await.unwrap_err();
        let why = format!("it leads to the {address}, which is not allowed");
        assert_eq!(refused.code, Kind::Invalid, "{refused}");
        assert!(refused.error.starts_with(&why), "{refused}");
    }
    let asked = tokio::time::timeout(Duration::from_millis(50), server.accept()).await;
    assert!(asked.is_err(), "it was asked");
    api.session().stop().await;
}

#[tokio::test]
async fn files_outside_of_the_roots_stay_with_their_torrent() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("elsewhere/zeros");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), [0; 20_000]).unwrap();
    std::fs::write(folder.join("b"), [0; 40_000]).unwrap();
    let api = api(home.path()).await;
    // It was told so by somebody who may: the user, at its start.
    let bytes = BASE64.decode(zeros('1').torrent.unwrap().as_bytes()).unwrap();
    let torrent = std::sync::Arc::new(crate::metainfo::Torrent::parse(&bytes).unwrap());
    let options = TorrentOptions::default().use_trackers(false).dir(home.path().join("elsewhere"));
    api.session().add(torrent, options).await.unwrap();
    until(&api, 1, State::Seeding).await;
    let refused = api.answer(Request::Remove(Key::Id(1), true)).await.unwrap_err();
    assert_eq!(refused.code, Kind::Invalid, "{refused}");
    assert!(refused.error.contains("is outside of what may be written to"), "{refused}");
    assert!(folder.join("a").exists() && list(&api, None).await.torrents.len() == 1);
    api.session().stop().await;
}

#[tokio::test]
async fn a_disk_that_hangs_is_looked_at_once_for_its_room() {
    let looking = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let (thaw, frozen) = std::sync::mpsc::sync_channel::<()>(1);
    let looks = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let seen = looks.clone();
    let look = move || {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        frozen.recv().ok().map(|()| 7)
    };
    let first = tokio::spawn(desk::one_at_a_time(looking.clone(), look));
    while looks.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let others = (0..10).map(|_| {
        let looks = looks.clone();
        tokio::spawn(desk::one_at_a_time(looking.clone(), move || {
            looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Some(8)
        }))
    });
    let others: Vec<_> = others.collect();
    // Each has begun to wait, of which nothing but time is needed.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    for other in others {
        assert_eq!(other.await.unwrap(), None, "nobody waits for long");
    }
    assert_eq!(first.await.unwrap(), None);
    assert_eq!(
        looks.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "one thread hangs, and no more"
    );
    tokio::time::resume();
    thaw.send(()).unwrap();
    let free = async {
        loop {
            if let Some(free) = desk::one_at_a_time(looking.clone(), || Some(9)).await {
                return free;
            }
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, free).await.unwrap(), 9, "it answers again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_find_torrents_by_their_names_and_by_their_files() {
    let home = tempfile::tempdir().unwrap();
    let api_1 = api(home.path()).await;
    for name in ["Red Apple", "Green apple", "pear"] {
        add(&api_1, Addition { paused: true, ..addition(name) }).await;
    }
    until(&api_1, 3, State::Paused).await;
    let ids = |found: &Found| found.torrents.iter().map(|it| it.id).collect::<Vec<_>>();
    let named = find(&api_1, "apple").await;
    assert_eq!((ids(&named), named.more, named.unread), (vec![1, 2], false, 0));
    assert!(named.torrents.iter().all(|it| it.named && it.files.is_empty()), "{named:?}");
    assert_eq!(ids(&find(&api_1, "APPLE red").await), [1]);
    assert_eq!(find(&api_1, "plum").await, Found::default());
    // Each torrent has a file `b`; the pad file is none that anybody seeks.
    let files = find(&api_1, "pear B").await;
    let file = FoundFile { number: 2, path: "pear/b".into(), size: 40_000 };
    assert_eq!(files.torrents[0].files, [file]);
    assert_eq!((ids(&files), files.torrents[0].named), (vec![3], false));
    assert!(find(&api_1, "pad").await.torrents.is_empty());
    let rename = Deed::Rename { file: Some(2), name: "photo.jpg".into() };
    api_1.answer(Request::Do(Key::Id(3), rename)).await.unwrap();
    assert_eq!(find(&api_1, "photo").await.torrents[0].files[0].path, "pear/photo.jpg");
    let hash = show(&api_1, 2).await.torrent.hash.unwrap().to_uppercase();
    assert_eq!(ids(&find(&api_1, &hash).await), [2]);
    api_1.session().stop().await;
    // What sleeps, or waits for its turn, is found as well.
    let api_2 = api(home.path()).await;
    assert_eq!(ids(&find(&api_2, "pear b").await), [3]);
    assert_eq!(find(&api_2, " ").await, Found::default(), "whoever seeks nothing finds nothing");
    assert_eq!(kind(api_2.answer(Request::Find("x".repeat(129))).await), Kind::Invalid);
}
