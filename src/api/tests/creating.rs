//! Torrents that are made of what lies on this machine.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::disk::turn;
use crate::metainfo::Torrent;

async fn create(api: &Api, creation: Creation) -> Result<Making, Refusal> {
    match api.answer(Request::Create(Box::new(creation))).await {
        Ok(Answer::Making(making)) => Ok(*making),
        Err(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

async fn makings(api: &Api) -> Vec<Making> {
    match api.answer(Request::Makings).await {
        Ok(Answer::Makings(all)) => all,
        other => panic!("{other:?}"),
    }
}

/// One as it is told when it is so.
async fn when(api: &Api, number: u32, is_so: impl Fn(&Making) -> bool) -> Making {
    let reached = async {
        loop {
            let all = makings(api).await;
            let making = all.into_iter().find(|it| it.number == number).expect("it is told");
            if is_so(&making) {
                return making;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.expect("it gets there")
}

async fn ended(api: &Api, number: u32) -> Making {
    when(api, number, |it| matches!(it.stage, Stage::Done | Stage::Failed)).await
}

fn of(path: &Path) -> Creation {
    Creation { path: path.to_str().unwrap().to_owned(), ..Creation::default() }
}

/// A folder of two files with 60,000 bytes, and a link to a file outside.
fn folder(home: &Path, name: &str) -> std::path::PathBuf {
    let dir = home.join("downloads").join(name);
    fs::create_dir_all(dir.join("inner")).unwrap();
    fs::write(dir.join("a"), vec![b'a'; 20_000]).unwrap();
    fs::write(dir.join("inner/b"), vec![b'b'; 40_000]).unwrap();
    fs::write(home.join("secret"), "between us").unwrap();
    symlink(home.join("secret"), dir.join("out")).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_is_made_of_a_folder_fetched_and_seeded() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let dir = folder(home.path(), "shared");
    let trackers = vec![vec!["http://a.invalid/x".to_owned()], vec!["udp://b.invalid:1".into()]];
    let creation = Creation {
        format: Format::Hybrid,
        piece_length: Some(16_384),
        private: true,
        comment: Some("a comment".into()),
        source: Some(String::new()),
        trackers: trackers.clone(),
        seed: true,
        labels: vec!["made".into()],
        ..of(&dir)
    };
    let begun = create(&api, creation).await.unwrap();
    assert_eq!((begun.number, &*begun.path), (1, dir.to_str().unwrap()));
    let made = ended(&api, 1).await;
    assert_eq!((made.stage, made.error.as_deref()), (Stage::Done, None), "{made:?}");
    assert_eq!((made.done_bytes, made.total_bytes), (60_000, 60_000));
    let note = made.note.unwrap();
    assert!(note.contains("shared/out (a symbolic link)"), "{note}");

    let Ok(Answer::Made(file)) = api.answer(Request::Made(1)).await else { panic!() };
    let torrent = Torrent::parse(&file.bytes).unwrap();
    assert_eq!((&*file.name, &*torrent.name), ("shared.torrent", "shared"));
    let files = torrent.files.iter().filter(|file| !file.is_pad);
    let files: Vec<_> = files.map(|file| (file.path.to_str().unwrap(), file.length)).collect();
    assert_eq!(files, [("shared/a", 20_000), ("shared/inner/b", 40_000)]);
    assert_eq!((torrent.private, torrent.piece_length), (true, 16_384));
    assert!(torrent.info_hash_v1.is_some() && torrent.info_hash_v2.is_some());
    assert_eq!((torrent.comment.as_deref(), &torrent.trackers), (Some("a comment"), &trackers));
    assert_eq!(made.magnet, Some(torrent.magnet()));

    let id = made.torrent.expect("it is seeded");
    until(&api, id, State::Seeding).await;
    let seeded = show(&api, id).await;
    assert_eq!((seeded.torrent.hash, seeded.torrent.labels), (made.hash, vec!["made".to_owned()]));
    assert_eq!(seeded.to_check_bytes, 0, "what was just hashed is not read again");

    // It is forgotten, and seeded on.
    api.answer(Request::GiveUp(1)).await.unwrap();
    assert!(makings(&api).await.is_empty());
    assert_eq!(kind(api.answer(Request::Made(1)).await), Kind::NotFound);
    assert_eq!(kind(api.answer(Request::GiveUp(1)).await), Kind::NotFound);
    assert_eq!(list(&api, None).await.torrents.len(), 1);
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_lies_below_a_root_is_made_one_of() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let dir = folder(home.path(), "shared");
    let root = dir.parent().unwrap();
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, root.join("leads out")).unwrap();
    let seeded = |creation| Creation { seed: true, ..creation };
    let named = |name: &str| Creation { name: Some(name.into()), ..of(&dir) };
    for (creation, why) in [
        (of(Path::new("/etc/passwd")), "outside of what may be written to"),
        (of(&home.path().join("secret")), "outside of what may be written to"),
        (of(&root.join("leads out")), "outside of what may be written to"),
        (of(&dir.join("out")), "outside of what may be written to"),
        (of(&root.join("../secret")), "without .."),
        (of(Path::new("shared")), "named from / on"),
        (Creation::default(), "named from / on"),
        (of(&root.join("missing")), "missing: no such file or directory"),
        (seeded(named("otherwise")), "only a torrent that is called shared can be seeded"),
        // Its files would be found below a directory that is none of ours.
        (seeded(of(root)), "outside of what may be written to"),
    ] {
        let refused = create(&api, creation.clone()).await.unwrap_err();
        assert_eq!(refused.code, Kind::Invalid, "{creation:?}");
        assert!(refused.error.contains(why) && !refused.error.contains('\n'), "{refused}");
    }
    assert!(makings(&api).await.is_empty());
    // Those can be made, and the last one names no tracker that there could be.
    assert_eq!(create(&api, named("otherwise")).await.unwrap().number, 1);
    assert_eq!(ended(&api, 1).await.name.as_deref(), Some("otherwise"));
    assert_eq!(create(&api, of(&dir.join("a"))).await.unwrap().number, 2);
    assert_eq!(ended(&api, 2).await.name.as_deref(), Some("a"));
    let bad = Creation { trackers: vec![vec!["file:///x".into()]], ..of(&dir) };
    create(&api, bad).await.unwrap();
    let failed = ended(&api, 3).await;
    assert!(failed.error.is_some_and(|why| why.starts_with("file:///x is no URL of a tracker")));
    assert_eq!(kind(api.answer(Request::Made(3)).await), Kind::Conflict);
    // What is there already is none the worse for being made again.
    create(&api, seeded(of(&dir))).await.unwrap();
    let first = ended(&api, 4).await.torrent;
    create(&api, seeded(of(&dir))).await.unwrap();
    let again = ended(&api, 5).await.torrent;
    assert_eq!((first.is_some(), first), (true, again), "{:?}", makings(&api).await);
    api.session().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_are_made_at_a_time_and_given_up_and_no_place_becomes_another() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let [one, two] = ["one", "two"].map(|name| folder(home.path(), name));
    // Somebody else reads the device.
    let state_dir = api.session().state_dir();
    let (place, stop) = (turn::Place::default(), turn::Stop::default());
    let turn = turn::wait(&state_dir, &one, &place, || {}, &stop).expect("it is free");
    for dir in [&one, &two] {
        create(&api, of(dir)).await.unwrap();
    }
    when(&api, 1, |it| it.stage == Stage::Waiting).await;
    when(&api, 2, |it| it.stage == Stage::Waiting).await;
    let refused = create(&api, of(&one)).await.unwrap_err();
    assert_eq!(refused.code, Kind::Conflict);
    assert!(refused.error.contains("2 torrents are being made"), "{refused}");
    assert_eq!(kind(api.answer(Request::Made(1)).await), Kind::Conflict);

    // Whoever gives one up makes room for another.
    api.answer(Request::GiveUp(1)).await.unwrap();
    let begun = async {
        while let Err(refusal) = create(&api, of(&one)).await {
            assert_eq!(refusal.code, Kind::Conflict);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, begun).await.expect("its place is free again");
    assert_eq!(makings(&api).await.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 3]);
    when(&api, 3, |it| it.stage == Stage::Waiting).await;

    // What leads elsewhere when it is read is not read.
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&two, &elsewhere).unwrap();
    symlink(&elsewhere, &two).unwrap();
    drop(turn);
    let failed = ended(&api, 2).await;
    assert_eq!(failed.stage, Stage::Failed);
    assert!(failed.error.unwrap().contains("outside of what may be written to"));
    assert_eq!(ended(&api, 3).await.stage, Stage::Done);
    api.session().stop().await;
}
