//! A choice of files: what trackers and peers hear of a torrent of which not all is wanted, and
//! what remains of the choice at the next start.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{Behaviour, MockPeer};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::driver;

const PIECE: u32 = 65_536;
const LEN: u64 = 470_000;
/// The pieces that the second file lies in.
const CHOSEN: std::ops::Range<u32> = 2..7;
/// What is missing when they are here.
const REST: u64 = LEN - 5 * 65_536;

/// A torrent of three files, its tracker, and a peer.
struct Place {
    home: TempDir,
    spec: Arc<Spec>,
    peer: MockPeer,
    tracker: MockTracker,
}

impl Place {
    /// With a peer that has these pieces.
    async fn new(pieces: std::ops::Range<u32>) -> Self {
        let files = [("a", 150_000), ("b", 300_000), ("c", 20_000)];
        let tracker = MockTracker::start(vec![Reply::peers(&[])]);
        let spec = Spec::multi(31, "chosen", &files, PIECE).with_tracker(&tracker.url());
        let home = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(home.path().join("t.torrent"), spec.torrent()).expect("write the torrent");
        let spec = Arc::new(spec);
        let some = Behaviour { pieces: Some(pieces.collect()), ..Behaviour::default() };
        let peer = MockPeer::listen(spec.clone(), some).await;
        Self { home, spec, peer, tracker }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path()).args(["t.torrent", "--dir", "out", "--port", "0"]);
        command.args(["--peer", &self.peer.address.to_string()]).args(more);
        command
    }

    /// Event and `left` of what the tracker heard since it was asked last.
    fn heard(&self) -> Vec<(String, u64)> {
        let value = |line: &str, key: &str| {
            let found = line.split(['&', ' ']).find_map(|pair| pair.strip_prefix(key));
            found.unwrap_or("-").to_owned()
        };
        let told = |line: &String| {
            (value(line, "event="), value(line, "left=").parse().expect("a number"))
        };
        self.tracker.requests().iter().map(told).collect()
    }

    /// Waits until the peer has heard this in an extension handshake.
    #[track_caller]
    fn assert_hears(&self, words: &str) {
        let deadline = Instant::now() + LIMIT;
        let is_told = || {
            let messages = self.peer.log.messages.lock().expect("a log");
            let mut told = messages.iter().filter(|(id, _)| *id == 20).map(|(_, body)| body);
            told.any(|body| String::from_utf8_lossy(body).contains(words))
        };
        while !is_told() {
            assert!(Instant::now() < deadline, "{words} is not told");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn assert_has(&self, index: usize) {
        let path = self.home.path().join("out/chosen").join(&self.spec.files[index].0[0]);
        let found = std::fs::read(&path).expect("read a downloaded file");
        assert!(found == self.spec.file(index), "{} is wrong", path.display());
    }
}

fn told(events: &[(&str, u64)]) -> Vec<(String, u64)> {
    events.iter().map(|(event, left)| ((*event).to_owned(), *left)).collect()
}

// BEP 3: `left` is "The number of bytes this peer still has to download"; BEP 21 for the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_choice_is_a_partial_seed_to_trackers_and_peers() {
    let place = Place::new(CHOSEN).await;
    let mut running = Running::start(&mut place.command(&["--select", "2", "--seed"]));
    block_in_place(|| {
        running.line("Complete: ");
        place.assert_hears("11:upload_onlyi1e");
        running.type_line("quit");
        assert_eq!(running.wait().code, Some(0));
    });
    place.assert_has(1);
    assert_eq!(place.heard(), told(&[("started", LEN), ("stopped", REST)]));
    // The next start goes on with the choice, and as what it is.
    let ran = block_in_place(|| finish(&mut place.command(&["-e"])));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("1 of 3 files selected"), "{}", ran.stdout);
    assert!(!place.home.path().join("out/chosen/a").exists());
    assert_eq!(place.heard(), told(&[("paused", REST), ("stopped", REST)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completed_is_told_once_when_all_is_here_and_not_for_a_choice() {
    let place = Place::new(0..8).await;
    let run = |more: &[&str]| {
        let ran = block_in_place(|| finish(&mut place.command(more)));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        (ran.stdout, place.heard())
    };
    let (_, heard) = run(&["-e", "--select", "2"]);
    assert!(heard.iter().all(|(event, left)| event != "completed" && *left >= REST), "{heard:?}");
    let (said, heard) = run(&["-e", "--select", "all"]);
    assert!(!said.contains("selected"), "{said}");
    assert_eq!(heard, told(&[("started", REST), ("completed", 0), ("stopped", 0)]));
    (0..3).for_each(|index| place.assert_has(index));
    for more in [&["-e"][..], &["-e", "--check"]] {
        let (said, heard) = run(more);
        assert!(!said.contains("selected"), "{said}");
        assert_eq!(heard, told(&[("started", 0), ("stopped", 0)]), "{more:?}");
    }
}

// The chosen file shares a piece with each of its neighbours: the last 18928 bytes of the first
// file, and the first 8752 of the third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_files_that_were_not_chosen_is_small_and_used_when_they_are() {
    let place = Place::new(0..8).await;
    let run = |more: &[&str]| {
        let ran = block_in_place(|| finish(&mut place.command(more)));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    };
    let lens = || {
        let dir = std::fs::read_dir(place.home.path().join("out/chosen")).expect("a directory");
        let len = |entry: std::fs::DirEntry| entry.metadata().expect("look at a file").len();
        let mut lens: Vec<u64> = dir.map(|entry| len(entry.expect("a file"))).collect();
        lens.sort_unstable();
        lens
    };
    let asked = || place.peer.requests();
    run(&["-e", "--select", "2"]);
    assert_eq!(lens(), [8752, 18_928, 300_000]);
    let before = asked();
    run(&["-e", "--check"]);
    assert_eq!((lens(), asked()), (vec![8752, 18_928, 300_000], before));
    run(&["-e", "--select", "all"]);
    assert_eq!(lens(), [20_000, 150_000, 300_000]);
    (0..3).for_each(|index| place.assert_has(index));
    // Two pieces of the first file and the end of the third, 16 KiB at a time.
    assert_eq!(asked() - before, 2 * 4 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_torrent_may_have_a_directory_of_its_own() {
    let place = Place::new(0..8).await;
    let other = Spec::single(5, "other", 100_000, PIECE);
    let path = place.home.path().join("my other.torrent");
    std::fs::write(&path, other.torrent()).expect("write the torrent");
    let peer = MockPeer::listen(Arc::new(other.clone()), Behaviour::default()).await;
    let peer = peer.address.to_string();
    let has_other = |dir: &str| {
        let found = std::fs::read(place.home.path().join(dir).join("other"));
        assert!(found.expect("the other one's file") == other.file(0));
    };
    let more = ["--peer", &peer, "my other.torrent", "--dir", "two", "-e"];
    let ran = block_in_place(|| finish(&mut place.command(&more)));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("\nSaving to two/\n"), "{}", ran.stdout);
    place.assert_has(1);
    has_other("two");
    let ran = block_in_place(|| finish(&mut place.command(&["-d", "two", "-d", "three"])));
    ran.assert_refused(2, "not 3 times for 1 torrent");
    let mut running = Running::start(&mut place.command(&["--peer", &peer, "--seed"]));
    block_in_place(|| {
        running.line("Complete: ");
        running.type_line("add my other.torrent at the prompt");
        running.line("2 other: added");
        running.line("2 other: Complete");
        running.type_line("quit");
        assert_eq!(running.wait().code, Some(0));
    });
    has_other("at the prompt");
}
