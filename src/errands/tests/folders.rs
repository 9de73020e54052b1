//! Folders in a real file system.

use std::fs::{self, File};
use std::io::Write as _;

use super::*;
use crate::api::{Key, State};

fn watching(home: &Path, after: After) -> Plan {
    let dir = home.join("drop");
    fs::create_dir_all(&dir).unwrap();
    let adding = Adding {
        into: Some(home.join("downloads/films")),
        labels: vec!["films".to_owned()],
        starts: false,
    };
    Plan { watches: vec![Watch { dir, adding, after }], ..Plan::default() }
}

fn first(standing: &Standing) -> WatchStanding {
    standing.watches.first().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_is_added_as_was_said_and_the_file_is_removed() {
    let world = World::new(|home| watching(home, After::Delete)).await;
    fs::write(world.path("drop/one.torrent"), torrent("one")).unwrap();
    let hash = "ab".repeat(20);
    fs::write(world.path("drop/two.magnet"), format!("magnet:?xt=urn:btih:{hash}\n")).unwrap();
    world.until("both added", |it| first(it).added == 2).await;
    let mut torrents = world.torrents().await;
    torrents.sort_by_key(|it| it.metadata);
    let [link, one] = &torrents[..] else { panic!("{torrents:?}") };
    assert_eq!(link.hash.as_ref(), Some(&hash));
    assert_eq!((&*one.name, one.paused, &one.labels[..]), ("one", true, &["films".to_owned()][..]));
    assert_eq!(one.dir, world.path("downloads/films").canonicalize_below());
    assert_eq!(one.state, State::Paused);
    let left: Vec<_> = fs::read_dir(world.path("drop")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A path as it is where links on the way to what is there are followed.
trait Below {
    fn canonicalize_below(&self) -> String;
}

impl Below for PathBuf {
    fn canonicalize_below(&self) -> String {
        let there = self.ancestors().find(|it| it.exists()).unwrap();
        let rest = self.strip_prefix(there).unwrap();
        there.canonicalize().unwrap().join(rest).to_string_lossy().into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_copy_is_waited_for_in_however_many_pieces_it_comes() {
    let world = World::new(|home| watching(home, After::Keep)).await;
    let bytes = torrent("slow");
    let path = world.path("drop/slow.torrent");
    // Each piece stays alone for longer than a file has to be quiet; some are closed behind, others
    // not. Longer than a bad file is waited for in all.
    let mut open = File::create(&path).unwrap();
    for (at, piece) in bytes.chunks(bytes.len() / 16 + 1).enumerate() {
        open.write_all(piece).unwrap();
        open.flush().unwrap();
        if at % 2 == 0 {
            drop(open);
            open = fs::OpenOptions::new().append(true).open(&path).unwrap();
        }
        tokio::time::sleep(PACE.quiet * 2).await;
        assert_eq!(first(&world.errands.standing()).refused, 0, "after piece {at}");
    }
    drop(open);
    world.until("added", |it| first(it).added == 1).await;
    assert_eq!((world.torrents().await.len(), path.exists()), (1, true));
    assert!(!world.path("drop/refused").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_torrent_is_moved_aside_with_the_reason() {
    let world = World::new(|home| watching(home, After::Keep)).await;
    let name = "b\u{202e}ad\n.torrent";
    fs::write(world.path("drop").join(name), "<html>").unwrap();
    fs::write(world.path("drop/bad.magnet"), "magnet:?xt=urn:btih:3\n").unwrap();
    File::create(world.path("drop/huge.torrent")).unwrap().set_len((16 << 20) + 1).unwrap();
    world.until("all refused", |it| first(it).refused == 3 && first(it).waiting == 0).await;
    let reason = |name: &str| {
        let path = world.path("drop/refused").join(format!("{name}.reason.txt"));
        fs::read_to_string(path).unwrap()
    };
    assert!(reason(name).starts_with("not a torrent: "), "{}", reason(name));
    assert!(reason("bad.magnet").starts_with("line 1: "), "{}", reason("bad.magnet"));
    assert_eq!(reason("huge.torrent"), "it is longer than 16 MiB, and no file of its kind\n");
    assert_eq!(fs::read_to_string(world.path("drop/refused").join(name)).unwrap(), "<html>");
    assert_eq!(fs::read_dir(world.path("drop")).unwrap().count(), 1);
    assert!(world.torrents().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_file_is_not_added_again_though_its_torrent_was_removed() {
    let world = World::new(|home| watching(home, After::Keep)).await;
    let plan = watching(world.home.path(), After::Keep);
    fs::write(world.path("drop/one.torrent"), torrent("one")).unwrap();
    world.until("added", |it| first(it).added == 1).await;
    world
        .until("remembered", |_| {
            fs::read_dir(world.path("errands")).is_ok_and(|it| it.count() == 1)
        })
        .await;
    let id = world.torrents().await[0].id;
    world.api.answer(Request::Remove(Key::Id(id), false)).await.unwrap();
    let world = world.again(plan).await;
    // What comes later is added, so the folder has been looked at.
    fs::write(world.path("drop/two.torrent"), torrent("two")).unwrap();
    world.until("two added", |it| first(it).added == 1 && first(it).waiting == 0).await;
    let names: Vec<_> = world.torrents().await.into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["two"]);
    assert!(world.path("drop/one.torrent").exists());
    // One that changes is another one.
    fs::write(world.path("drop/one.torrent"), torrent("three")).unwrap();
    world.until("three added", |it| first(it).added == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_gone_is_told_and_looked_for_again() {
    let world = World::new(|home| watching(home, After::Delete)).await;
    fs::write(world.path("drop/one.torrent"), torrent("one")).unwrap();
    world.until("added", |it| first(it).added == 1).await;
    fs::rename(world.path("drop"), world.path("away")).unwrap();
    fs::write(world.path("away/two.torrent"), torrent("two")).unwrap();
    world.until("told", |it| first(it).trouble.is_some()).await;
    assert_eq!(world.torrents().await.len(), 1, "it is another folder now");
    fs::rename(world.path("away"), world.path("drop")).unwrap();
    world.until("two added", |it| first(it).added == 2 && first(it).trouble.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_files_may_not_go_no_file_is_blamed() {
    let outside = |home: &Path| {
        let mut plan = watching(home, After::Delete);
        let well = plan.watches[0].clone();
        plan.watches[0].adding.into = Some(home.join("elsewhere"));
        let other = home.join("other");
        fs::create_dir(&other).unwrap();
        plan.watches.push(Watch { dir: other, ..well });
        plan
    };
    let world = World::new(outside).await;
    fs::write(world.path("drop/one.torrent"), torrent("one")).unwrap();
    let is_told = |it: &Standing| {
        first(it).trouble.is_some_and(|why| why.contains("outside of what may be written to"))
    };
    world.until("told", is_told).await;
    // One that is bad itself is refused meanwhile, in another folder.
    fs::write(world.path("other/bad.torrent"), "<html>").unwrap();
    world.until("refused", |it| it.watches.get(1).is_some_and(|it| it.refused == 1)).await;
    assert_eq!(first(&world.errands.standing()).refused, 0);
    // Another plan for the same folder.
    world.errands.follow(watching(world.home.path(), After::Delete)).await;
    world.until("added", |it| first(it).added == 1 && first(it).refused == 0).await;
}
