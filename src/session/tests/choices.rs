//! Which files of a torrent are wanted, in sessions without a ledger that come one after the other.

use super::*;

/// A torrent of three files that are nowhere to be had.
fn three() -> Arc<Torrent> {
    let file = |name: &str| format!("d6:lengthi16384e4:pathl1:{name}ee");
    let files = ["a", "b", "c"].map(file).concat();
    let head = format!("d5:filesl{files}e4:name1:m12:piece lengthi16384e6:pieces60:");
    let info = [head.as_bytes(), &[b'x'; 60], b"e"].concat();
    Arc::new(Torrent::from_info(&info).unwrap())
}

/// A session of its own adds the torrent below this directory, and tells which files are wanted
/// there. Where these are to be chosen, they are; then all is moved, if it is to be.
async fn wanted(root: &Path, dir: &str, chosen: Option<[bool; 3]>, to: Option<&str>) -> Vec<bool> {
    let mut options = options(root).dir(root.join(dir));
    options.wanted_files = chosen.map(Vec::from);
    let to = to.map(|to| root.join(to));
    wanted_as(root, options, to.as_deref()).await
}

/// The same for a torrent that is added so.
async fn wanted_as(root: &Path, options: TorrentOptions, to: Option<&Path>) -> Vec<bool> {
    let session = session(root, 1).await;
    let handle = session.add(three(), options).await.unwrap();
    until(&handle, State::Downloading).await;
    let wanted = handle.status().wanted_files();
    if let Some(to) = to {
        let moved = handle.relocate(Relocation::Dir(to.to_owned())).await;
        moved.expect("it runs").unwrap();
        let mut status = handle.watch();
        let is_there = |status: &crate::torrent::status::Status| {
            status.home.as_ref().is_some_and(|home| home.dir == to)
                && status.state == State::Downloading
        };
        let there = tokio::time::timeout(Duration::from_secs(20), status.wait_for(is_there));
        there.await.expect("it is moved").unwrap();
    }
    session.stop().await;
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_directory_has_its_own_choice_and_a_move_takes_it_along() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (first, last, all) = ([true, false, false], [false, false, true], [true; 3]);
    assert_eq!(wanted(root, "one", Some(first), None).await, first);
    assert_eq!(wanted(root, "two", None, None).await, all, "nothing was chosen there");
    assert_eq!(wanted(root, "one", None, None).await, first);
    assert_eq!(wanted(root, "two", Some(last), None).await, last);
    assert_eq!(wanted(root, "one", None, Some("three")).await, first);
    assert_eq!(wanted(root, "three", None, None).await, first);
    assert_eq!(wanted(root, "one", None, None).await, first, "its files are in the third");
    assert_eq!(wanted(root, "two", None, None).await, last);
    assert_eq!(wanted(root, "two", Some(all), None).await, all);
    assert_eq!(wanted(root, "two", None, None).await, all);
    assert_eq!(wanted(root, "three", None, None).await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_choice_by_whatever_name_it_is_called() {
    let root = tempfile::tempdir().unwrap();
    let root = &root.path().canonicalize().unwrap();
    std::os::unix::fs::symlink(root, root.join("link")).unwrap();
    let here = std::env::current_dir().unwrap();
    let up: std::path::PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(root.strip_prefix("/").unwrap());
    let first = [true, false, false];
    for (called, [one, two]) in [(relative, ["a", "b"]), (root.join("link"), ["c", "d"])] {
        let mut chosen = options(root).dir(called.join(one));
        chosen.wanted_files = Some(first.to_vec());
        assert_eq!(wanted_as(root, chosen, None).await, first);
        assert_eq!(wanted(root, one, None, None).await, first, "by its lasting name");
        let again = options(root).dir(called.join(one));
        assert_eq!(wanted_as(root, again, Some(&called.join(two))).await, first);
        assert_eq!(wanted(root, two, None, None).await, first, "they were moved there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_no_directory_is_for_the_first_one() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let stats = root.join("state").join(format!("{}.stats", three().info_hash_v1.unwrap()));
    std::fs::create_dir_all(root.join("state")).unwrap();
    std::fs::write(&stats, b"d5:filesi3e8:uploadedi0e7:versioni2e6:wanted1:\x80e").unwrap();
    assert_eq!(wanted(root, "one", None, None).await, [true, false, false]);
    assert_eq!(wanted(root, "two", None, None).await, [true; 3]);
    assert_eq!(wanted(root, "one", None, None).await, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_begins_anew_where_files_came_from_takes_no_choice_of_theirs() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let first = [true, false, false];
    assert_eq!(wanted(root, "one", Some(first), Some("two")).await, first);
    let anew = options(root).dir(root.join("one")).check(CheckMode::NoResume);
    assert_eq!(wanted_as(root, anew, None).await, [true; 3]);
    assert_eq!(wanted(root, "two", None, None).await, first, "it is theirs still");
    assert_eq!(wanted(root, "one", None, None).await, [true; 3]);
}
