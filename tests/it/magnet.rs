//! Magnet links from end to end: the real `driver` gets metadata from peers written by hand, good
//! and bad, and then the data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::Value;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Run, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{Behaviour, Metadata, MockPeer};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::driver;

/// A torrent whose metadata takes several pieces, and where it is downloaded to.
struct Wanted {
    spec: Arc<Spec>,
    home: TempDir,
}

impl Wanted {
    /// 2001 pieces take 40 KB of hashes.
    fn new() -> Self {
        let spec = Spec::multi(5, "album", &[("a", 80_001), ("b", 48_000)], 64);
        let home = tempfile::tempdir().expect("a folder for the test");
        Self { spec: Arc::new(spec), home }
    }

    fn hash(&self) -> String {
        self.spec.info_hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn link(&self, rest: &str) -> String {
        format!("magnet:?xt=urn:btih:{}{rest}", self.hash())
    }

    async fn peer(&self, metadata: Metadata) -> MockPeer {
        self.peer_called(*b"-MK0100-mockmockmock", metadata).await
    }

    /// Two of one id would be one peer.
    async fn peer_called(&self, peer_id: [u8; 20], metadata: Metadata) -> MockPeer {
        let behaviour = Behaviour { metadata, peer_id, ..Behaviour::default() };
        MockPeer::listen(self.spec.clone(), behaviour).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path()).args(arguments);
        command.args(["--dir", "out", "--port", "0"]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        block_in_place(|| finish(&mut self.command(arguments)))
    }

    fn path(&self, index: usize) -> PathBuf {
        self.home.path().join("out/album").join(&self.spec.files[index].0[0])
    }

    #[track_caller]
    fn assert_whole(&self) {
        for index in 0..self.spec.files.len() {
            let found = std::fs::read(self.path(index)).expect("read a downloaded file");
            assert!(found == self.spec.file(index), "{:?} is wrong", self.path(index));
        }
    }
}

fn asked(peer: &MockPeer) -> u64 {
    peer.log.metadata_asked.load(Ordering::Relaxed)
}

/// The events of this name.
fn events(ran: &Run, name: &str) -> Vec<Value> {
    let events = ran.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
    events.filter(|event: &Value| event["event"] == name).collect()
}

#[track_caller]
fn assert_code(ran: &Run, code: i32) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_magnet_link_is_downloaded_from_the_peer_that_it_names() {
    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Honest).await;
    let link = wanted.link(&format!("&dn=some&x.pe={}", peer.address));
    let ran = wanted.run(&[&link, "--save-torrent", "kept.torrent"]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    assert_eq!(peer.connections(), 1, "the download goes on with the same connection");
    assert_eq!(asked(&peer), wanted.spec.info().len().div_ceil(16_384) as u64);
    for line in ["1 some: looking for its metadata", "album   125.0 KiB   2001 pieces of 64 B"] {
        assert!(ran.stdout.contains(line), "{line:?} in {}", ran.stdout);
    }
    let kept = std::fs::read(wanted.home.path().join("kept.torrent")).expect("a .torrent");
    let info = wanted.spec.info();
    assert!(kept.windows(info.len()).any(|window| window == info));
}

/// The URLs that a link names are asked beside its peers, and whoever is first is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_hangs_holds_up_no_peer_and_silent_peers_hold_up_no_url() {
    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Honest).await;
    let server = MockTracker::start(vec![Reply::Hang]);
    let link = wanted.link(&format!("&xs={}&x.pe={}", server.url_of("/x.torrent"), peer.address));
    let start = Instant::now();
    let ran = wanted.run(&[&link]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    assert!(start.elapsed() < LIMIT / 2, "a server has half a minute");

    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Absent).await;
    let file = [b"d4:info".as_slice(), &wanted.spec.info(), b"e"].concat();
    let server = MockTracker::start(vec![Reply::body(&file)]);
    let link = wanted.link(&format!("&xs={}&x.pe={}", server.url_of("/x.torrent"), peer.address));
    let ran = wanted.run(&[&link, "--save-torrent", "kept.torrent"]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    assert_eq!(peer.connections(), 1, "the download goes on with whom the search has met");
    let kept = std::fs::read(wanted.home.path().join("kept.torrent")).expect("a .torrent");
    assert!(kept == file, "as it came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_seed_gives_metadata_and_data() {
    let (wanted, theirs) = (Wanted::new(), tempfile::tempdir().expect("a folder"));
    let data = theirs.path().join("data/album");
    std::fs::create_dir_all(&data).expect("make a folder");
    for (index, (path, _)) in wanted.spec.files.iter().enumerate() {
        std::fs::write(data.join(&path[0]), wanted.spec.file(index)).expect("write data");
    }
    std::fs::write(theirs.path().join("a.torrent"), wanted.spec.torrent()).expect("a torrent");
    block_in_place(|| {
        let mut seed = driver(theirs.path());
        seed.current_dir(theirs.path()).args(["seed", "a.torrent", "data", "--no-trackers"]);
        let mut seed = Running::start(seed.args(["--port", "0", "--json"]));
        let started: Value = serde_json::from_str(&seed.line("{")).expect("a JSON line");
        assert_eq!(started["event"], "started");
        while !seed.line("{").contains("\"completed\"") {}
        let ran = wanted.run(&[&wanted.link(&format!("&x.pe=127.0.0.1:{}", started["port"]))]);
        assert_code(&ran, 0);
        seed.type_line("quit");
        assert_code(&seed.wait(), 0);
    });
    wanted.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_hash_is_downloaded_with_a_tracker_and_told_as_json() {
    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Honest).await;
    let tracker = MockTracker::start(vec![Reply::peer([127, 0, 0, 1], peer.address.port())]);
    let ran = wanted.run(&[&wanted.hash(), "--tracker", &tracker.url(), "--json", "--no-repl"]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    let order: Vec<Value> = ["searching", "metadata_found", "started", "completed"]
        .iter()
        .map(|name| events(&ran, name).into_iter().next().expect(name))
        .collect();
    assert!(order.iter().all(|event| event["info_hash"] == wanted.hash()), "{order:?}");
    assert_eq!((&order[1]["name"], &order[1]["kept"]), (&"album".into(), &false.into()));
    let announced: Vec<String> = tracker.requests();
    assert!(announced[0].contains("left=16384&"), "something is missing: {announced:?}");
    let begun = announced.iter().filter(|line| line.contains("event=started")).count();
    assert_eq!(begun, 1, "the search and the download are one: {announced:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_beside_an_honest_peer_keep_nothing_up() {
    let wanted = Wanted::new();
    let wrong = wanted.peer_called(*b"-MK0100-wrongwrongwr", Metadata::Wrong).await;
    let refusing = wanted.peer_called(*b"-MK0100-refuserefuse", Metadata::Refused).await;
    let other = wanted.peer_called(*b"-MK0100-otherotherot", Metadata::OfLength(20_000)).await;
    let absent = wanted.peer_called(*b"-MK0100-absentabsent", Metadata::Absent).await;
    let honest = wanted.peer(Metadata::Honest).await;
    let peers = [&wrong, &refusing, &other, &absent, &honest];
    let named: String = peers.iter().map(|peer| format!("&x.pe={}", peer.address)).collect();
    let ran = wanted.run(&[&wanted.link(&named)]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    assert!(asked(&honest) >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_files_holds_for_a_link() {
    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Honest).await;
    let link = wanted.link(&format!("&so=0&x.pe={}", peer.address));
    assert_code(&wanted.run(&[&link]), 0);
    assert!(wanted.path(0).exists() && !wanted.path(1).exists());
    let ran = wanted.run(&[&link, "--select", "2"]);
    assert_code(&ran, 0);
    wanted.assert_whole();
    let ran = wanted.run(&[&link, "--select", "3"]);
    assert_code(&ran, 2);
    assert!(ran.stderr.contains("there is no file 3: the torrent has 2 files"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_kept_and_nobody_is_asked_again() {
    let wanted = Wanted::new();
    let link = {
        let peer = wanted.peer(Metadata::Honest).await;
        let link = wanted.link(&format!("&x.pe={}", peer.address));
        assert_code(&wanted.run(&[&link]), 0);
        link
    };
    let again = wanted.run(&[&link, "--no-repl", "--json"]);
    assert_code(&again, 0);
    assert_eq!(events(&again, "metadata_found")[0]["kept"], true);
    let info = block_in_place(|| {
        finish(driver(wanted.home.path()).args(["info", "--fetch", "--json", &wanted.hash()]))
    });
    assert_code(&info, 0);
    let object: Value = serde_json::from_str(&info.stdout).expect("one JSON object");
    assert_eq!(object["info_hash_v1"], wanted.hash());
    // What is broken is as good as none.
    let kept = kept_file(wanted.home.path(), &wanted.hash());
    std::fs::write(&kept, b"d4:name1:xe").expect("break it");
    let broken = wanted.run(&[&wanted.hash(), "--timeout", "1s"]);
    assert_code(&broken, 4);
}

/// The file of this hash below a home.
fn kept_file(home: &Path, hash: &str) -> PathBuf {
    let mut open = vec![home.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("list a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.ends_with(format!("{hash}.info")) => return path,
                _ => {}
            }
        }
    }
    panic!("no {hash}.info is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_to_ask_is_told_and_given_up() {
    let wanted = Wanted::new();
    let start = Instant::now();
    let ran = wanted.run(&[&wanted.hash(), "--timeout", "1s"]);
    assert_code(&ran, 4);
    assert!(start.elapsed() < LIMIT / 2);
    for words in ["names no tracker and no peer: nobody to ask", "no metadata for 1s"] {
        assert!(ran.stderr.contains(words), "{words:?} in {}", ran.stderr);
    }
    let fetched = block_in_place(|| {
        finish(driver(wanted.home.path()).args(["info", "--fetch", &wanted.hash()]))
    });
    fetched.assert_refused(4, "nobody to ask");
    // A peer that has no metadata either.
    let peer = wanted.peer(Metadata::Absent).await;
    let link = wanted.link(&format!("&x.pe={}", peer.address));
    let ran = wanted.run(&[&link, "--timeout", "1s", "--no-repl", "--json"]);
    assert_code(&ran, 4);
    assert!(ran.stderr.contains("1 peer without the metadata"), "{}", ran.stderr);
    assert_eq!(events(&ran, "metadata").last().expect("progress")["peers"], 1);
    assert_eq!(events(&ran, "stopped")[0]["complete"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_describes_no_torrent_is_bad_input() {
    // Its hash is right all the same.
    let info = b"d4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae".to_vec();
    let info_hash: [u8; 20] = Sha1::digest(&info).into();
    let wanted = Wanted::new();
    let metadata = Metadata::Honest;
    let behaviour = Behaviour {
        metadata,
        info: Some(info),
        info_hash: Some(info_hash),
        ..Behaviour::default()
    };
    let peer = MockPeer::listen(wanted.spec.clone(), behaviour).await;
    let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let ran = wanted.run(&[&format!("magnet:?xt=urn:btih:{hash}&x.pe={}", peer.address)]);
    assert_code(&ran, 3);
    assert!(ran.stderr.contains("no valid torrent"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_fetches_the_torrent_and_keeps_it_with_the_trackers_of_the_link() {
    let wanted = Wanted::new();
    let peer = wanted.peer(Metadata::Honest).await;
    let link = wanted.link(&format!("&tr=http%3A%2F%2F127.0.0.1:1%2Fa&x.pe={}", peer.address));
    let ran = block_in_place(|| {
        let mut command = driver(wanted.home.path());
        command.current_dir(wanted.home.path());
        finish(command.args(["info", &link, "--fetch", "--save-torrent", "x.torrent"]))
    });
    assert_code(&ran, 0);
    assert!(ran.stdout.contains("Name        album\n"), "{}", ran.stdout);
    let kept = std::fs::read(wanted.home.path().join("x.torrent")).expect("a .torrent");
    assert!(kept.starts_with(b"d8:announce20:http://127.0.0.1:1/a4:info"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_speak_of_a_search_and_a_peer_ends_it() {
    let wanted = Wanted::new();
    let other = Spec::multi(6, "other", &[("a", 20_001)], 16_384);
    let home = wanted.home.path();
    std::fs::write(home.join("o.torrent"), other.torrent()).expect("write a torrent");
    let peer = wanted.peer(Metadata::Honest).await;
    block_in_place(|| {
        let mut running = Running::start(&mut wanted.command(&["o.torrent"]));
        running.line("Saving to out/");
        running.type_line(&format!("add {}", wanted.link("&dn=sought")));
        running.line("2 sought: the link names no tracker and no peer");
        running.type_line("list");
        let line = running.line("   2 sought");
        assert!(line.contains("metadata"), "{line}");
        running.type_line("use sought");
        running.line("using 2 sought");
        for (command, answer) in [
            ("status", "State      looking for peers: none known"),
            ("why", "Waits for a peer: the link names none, and no tracker"),
            ("peers", "no peers connected"),
            ("files", "2 sought: its metadata is not here yet"),
            ("info", "Name        sought"),
        ] {
            running.type_line(command);
            running.line(answer);
        }
        // The same again, and one that is removed.
        running.type_line(&format!("add {}", wanted.hash()));
        running.line(&format!("{} is the same torrent as 2 sought", wanted.hash()));
        running.type_line(&format!("add {}", "7".repeat(40)));
        running.line("3 77777777: the link names no tracker");
        running.type_line("remove 3");
        running.line("removed 3 77777777; its metadata is not looked for any more");
        running.type_line(&format!("add-peer {}", peer.address));
        running.line(&format!("2 sought: trying {}", peer.address));
        running.line("2 album: Complete");
        wanted.assert_whole();
        running.type_line("quit");
        let ran = running.wait();
        assert_code(&ran, 7);
        assert!(ran.stderr.contains("2 sought: metadata found"), "{}", ran.stderr);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_a_torrent_that_runs_gives_it_its_peers() {
    let wanted = Wanted::new();
    std::fs::write(wanted.home.path().join("a.torrent"), wanted.spec.torrent()).expect("a torrent");
    let peer = wanted.peer(Metadata::Absent).await;
    block_in_place(|| {
        let mut running = Running::start(&mut wanted.command(&["a.torrent"]));
        running.line("Saving to out/");
        let link = wanted.link(&format!("&x.pe={}&tr=http://127.0.0.1:1/a", peer.address));
        running.type_line(&format!("add {link}"));
        let line = running.line("magnet:");
        let words = "is the same torrent as 1 album; 1 peer is tried there too; 1 tracker of";
        assert!(line.contains(words), "{line}");
        running.line("Complete");
        running.type_line("quit");
        running.wait();
    });
    wanted.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_ended_while_it_searches_is_not_complete() {
    let wanted = Wanted::new();
    let tracker = MockTracker::start(vec![Reply::peers(&[])]);
    let link = wanted.link(&format!("&tr={}", tracker.url()));
    block_in_place(|| {
        let mut running = Running::start(&mut wanted.command(&[&link]));
        running.line("Saving to out/");
        assert!(tracker.next_request(LIMIT).expect("an announce").contains("event=started"));
        running.type_line("quit");
        let ran = running.wait();
        assert_code(&ran, 7);
        assert!(ran.stdout.contains("Stopped before its metadata was found"), "{}", ran.stdout);
        let last = tracker.next_request(LIMIT).expect("a goodbye");
        assert!(last.contains("event=stopped"), "{last}");
    });
}
