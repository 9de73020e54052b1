//! Downloads by the real `driver` from honest peers of every kind, byte by byte: what it asks
//! for, in which order, and what it leaves on disk.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::content::Spec;
use crate::mock_peer::{Answer, Asked, BITS_ALL, BITS_NONE, Behaviour, MockPeer, Script};
use crate::mock_peer::{handshake, message, piece_message};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::{Process, driver};

const LIMIT: Duration = Duration::from_secs(60);
const PIECE: u32 = 65_536;

/// A torrent and where it is downloaded to.
struct Download {
    spec: Arc<Spec>,
    home: TempDir,
}

impl Download {
    fn new(spec: Spec) -> Self {
        let home = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(home.path().join("t.torrent"), spec.torrent()).expect("write the torrent");
        Self { spec: Arc::new(spec), home }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn command(&self, peers: &[SocketAddr], more: &[&str]) -> Command {
        let mut command = driver(self.home.path());
        command.arg(self.home.path().join("t.torrent")).arg("--dir").arg(self.dir());
        command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--json"]).args(more);
        for peer in peers {
            command.arg("--peer").arg(peer.to_string());
        }
        command
    }

    fn start(&self, peers: &[SocketAddr], more: &[&str]) -> Process {
        Process::start("driver", self.command(peers, more), self.home.path())
    }

    /// Runs to the end, which is to be a complete download; what was printed.
    #[track_caller]
    fn run(&self, peers: &[SocketAddr], more: &[&str]) -> String {
        finish(self.start(peers, more))
    }

    fn path(&self, index: usize) -> PathBuf {
        let root = self.dir().join(&self.spec.name);
        match self.spec.files.get(index) {
            None => root,
            Some((path, _)) => path.iter().fold(root, |folder, part| folder.join(part)),
        }
    }

    #[track_caller]
    fn assert_whole(&self) {
        for index in 0..self.spec.files.len().max(1) {
            let is_pad = self.spec.files.get(index).is_some_and(|(path, _)| path[0] == ".pad");
            assert_eq!(self.path(index).exists(), !is_pad, "{:?}", self.path(index));
            if !is_pad {
                let found = std::fs::read(self.path(index)).expect("read a downloaded file");
                assert!(found == self.spec.file(index), "{:?} is wrong", self.path(index));
            }
        }
    }
}

#[track_caller]
fn finish(mut process: Process) -> String {
    let status = block_in_place(|| process.wait(LIMIT));
    let output = process.output();
    assert!(status.success() && !output.contains("panicked at"), "{status}:\n{output}");
    output
}

/// The first event of this name.
#[track_caller]
fn event(output: &str, name: &str) -> serde_json::Value {
    let events = output.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut named = events.filter(|event: &serde_json::Value| event["event"] == name);
    named.next().unwrap_or_else(|| panic!("no event {name}:\n{output}"))
}

fn asked(peer: &MockPeer) -> Vec<Asked> {
    peer.log.asked.lock().expect("a log").clone()
}

/// The messages of this kind that the driver sent.
fn sent(peer: &MockPeer, id: u8) -> Vec<Vec<u8>> {
    let messages = peer.log.messages.lock().expect("a log");
    messages.iter().filter(|(kind, _)| *kind == id).map(|(_, body)| body.clone()).collect()
}

/// Every block was asked for exactly once, in blocks of 16 KiB.
#[track_caller]
fn assert_asked_once(spec: &Spec, asked: &[Asked]) {
    let blocks: HashSet<_> = asked.iter().map(|it| (it.piece, it.begin, it.len)).collect();
    assert_eq!(blocks.len(), asked.len(), "blocks were asked for twice");
    assert_eq!(asked.iter().map(|it| u64::from(it.len)).sum::<u64>(), spec.total_len());
    for Asked { piece, begin, len, .. } in asked {
        assert_eq!(begin % 16_384, 0);
        assert_eq!(*len, (spec.len_of(*piece) - begin).min(16_384));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_seeders_with_and_without_extensions() {
    for (bits, is_fast, is_extended) in [
        (BITS_NONE, false, false),
        ([0, 0, 0, 0, 0, 0, 0, 4], true, false),
        ([0, 0, 0, 0, 0, 0x10, 0, 0], false, true),
        (BITS_ALL, true, true),
    ] {
        let download = Download::new(Spec::single(1, "file", 12 * 65_536 + 5, PIECE));
        let introduction = message(20, b"\0d1:md6:ut_pexi1ee4:reqqi20e1:v6:mock 1e");
        let before_pieces = if is_extended { introduction } else { Vec::new() };
        let behaviour = Behaviour { bits, before_pieces, ..Behaviour::default() };
        let peer = MockPeer::listen(download.spec.clone(), behaviour).await;
        download.run(&[peer.address], &["--no-trackers"]);
        download.assert_whole();
        assert_asked_once(&download.spec, &asked(&peer));
        assert_eq!(sent(&peer, 2), [b""], "interested once");
        // Kinds of BEP 6 and 10 only to those who understand them.
        let kinds: Vec<u8> =
            [13, 14, 15, 16, 17].into_iter().filter(|id| !sent(&peer, *id).is_empty()).collect();
        assert!(is_fast || kinds.is_empty(), "{kinds:?} to a peer without BEP 6");
        assert_eq!(!sent(&peer, 20).is_empty(), is_extended);
        if is_extended {
            let hello = String::from_utf8_lossy(&sent(&peer, 20)[0]).into_owned();
            assert!(hello.starts_with("\0d") && hello.contains("4:reqqi500e"), "{hello}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_peer_by_ipv6() {
    let download = Download::new(Spec::single(2, "file", 500_000, PIECE));
    let spec = download.spec.clone();
    let peer = MockPeer::listen_at("::1", spec, Behaviour::default()).await;
    download.run(&[peer.address], &["--no-trackers"]);
    download.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_shape() {
    for spec in [
        Spec::single(3, "one piece", 1000, PIECE),
        Spec::single(4, "one byte", 1, PIECE),
        Spec::single(5, "exact", 3 * 65_536, PIECE),
        Spec::single(6, "odd pieces", 700_000, 50_001),
        Spec::single(7, "short last block", 2 * 65_536 + 16_385, PIECE),
        Spec::multi(8, "many", &[("a", 100_000), ("b/c", 0), ("b/d", 9), ("e", 200_001)], PIECE),
        Spec::multi(
            9,
            "padded",
            &[("a", 100_000), (".pad/31072", 31_072), ("b", 70_000), (".pad/61072", 61_072)],
            PIECE,
        ),
    ] {
        let is_padded = spec.name == "padded";
        let download = Download::new(spec);
        let peer = MockPeer::listen(download.spec.clone(), Behaviour::default()).await;
        download.run(&[peer.address], &["--no-trackers"]);
        download.assert_whole();
        if !is_padded {
            assert_asked_once(&download.spec, &asked(&peer));
        }
        let again = download.run(&[peer.address], &["--no-trackers"]);
        assert_eq!(event(&again, "checked")["pieces"], download.spec.piece_count());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_without_bytes_is_complete_at_once() {
    let download = Download::new(Spec::multi(10, "empty", &[("a", 0), ("b/c", 0)], PIECE));
    download.run(&[], &["--no-trackers"]);
    download.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_chosen_files_are_fetched() {
    let files = [("a", 150_000), ("b", 300_000), ("c", 20_000), ("d", 300_000)];
    let download = Download::new(Spec::multi(11, "chosen", &files, PIECE));
    let peer = MockPeer::listen(download.spec.clone(), Behaviour::default()).await;
    download.run(&[peer.address], &["--no-trackers", "--select", "2"]);
    let found = std::fs::read(download.path(1)).expect("the chosen file");
    assert!(found == download.spec.file(1));
    for unchosen in [0, 2, 3] {
        let path = download.path(unchosen);
        assert!(!path.exists(), "{} was not wanted", path.display());
    }
    let pieces: HashSet<u32> = asked(&peer).iter().map(|it| it.piece).collect();
    assert_eq!(pieces, (150_000 / PIECE..=449_999 / PIECE).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_come_in_order_when_asked_for() {
    let download = Download::new(Spec::single(12, "film", 40 * 65_536, PIECE));
    let peer = MockPeer::listen(download.spec.clone(), Behaviour::default()).await;
    download.run(&[peer.address], &["--no-trackers", "--sequential"]);
    let order: Vec<(u32, u32)> = asked(&peer).iter().map(|it| (it.piece, it.begin)).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_before_is_not_fetched_again() {
    let download = Download::new(Spec::single(13, "resumed", 40 * 65_536, PIECE));
    let some = Behaviour { pieces: Some((0..25).collect()), ..Behaviour::default() };
    let peer = MockPeer::listen(download.spec.clone(), some).await;
    let mut process = download.start(&[peer.address], &["--no-trackers"]);
    // All that this peer has is verified when the driver says so.
    let has_25 = || process.output().contains(r#""pieces_verified":25"#);
    let deadline = Instant::now() + LIMIT;
    while !has_25() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    terminate(&process);
    let status = block_in_place(|| process.wait(LIMIT));
    assert_eq!((status.code(), status.signal()), (Some(7), None), "{}", process.output());
    drop(peer);

    let peer = MockPeer::listen(download.spec.clone(), Behaviour::default()).await;
    let output = download.run(&[peer.address], &["--no-trackers"]);
    download.assert_whole();
    assert_eq!(event(&output, "checked")["pieces"], 25);
    assert!(asked(&peer).iter().all(|it| it.piece >= 25), "{:?}", asked(&peer));
}

fn terminate(process: &Process) {
    let id = i32::try_from(process.id()).expect("a process id");
    let id = rustix::process::Pid::from_raw(id).expect("not zero");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a running child");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_peer_that_dials() {
    let download = Download::new(Spec::single(14, "dialled", 700_000, PIECE));
    let process = download.start(&[], &["--no-trackers"]);
    let deadline = Instant::now() + LIMIT;
    while !process.output().contains(r#""event":"started""#) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let port = event(&process.output(), "started")["port"].as_u64().expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
    // A stranger that asks for another torrent is turned away first.
    let mut stranger = Script::dial(address).await.expect("the driver listens");
    assert!(stranger.shake_hands(&handshake(BITS_ALL, [3; 20], [4; 20])).await.is_err());
    let _peer = MockPeer::dial(address, download.spec.clone(), Behaviour::default()).await;
    finish(process);
    download.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_faster_than_the_limit() {
    let download = Download::new(Spec::single(15, "slow", 3_000_000, PIECE));
    let peer = MockPeer::listen(download.spec.clone(), Behaviour::default()).await;
    let output = download.run(&[peer.address], &["--no-trackers", "-D", "1M"]);
    let seconds = event(&output, "completed")["seconds"].as_f64().expect("a number");
    assert!((2.4..=3.75).contains(&seconds), "3 MB at 1 MB/s took {seconds} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_peers_that_a_tracker_names() {
    let spec = Arc::new(Spec::single(16, "tracked", 700_000, PIECE));
    let peer = MockPeer::listen(spec.clone(), Behaviour::default()).await;
    let tracker = MockTracker::start(vec![Reply::peer([127, 0, 0, 1], peer.address.port())]);
    let url = tracker.url_of("/announce?passkey=a%2Fb");
    let download = Download::new(Spec::clone(&spec).with_tracker(&url));
    download.run(&[], &[]);
    download.assert_whole();
    let mut requests = Vec::new();
    while let Some(request) = tracker.next_request(Duration::ZERO) {
        requests.push(request);
    }
    assert!(requests[0].contains("passkey=a%2Fb&"), "{requests:?}");
    for (event, left) in [("started", 700_000), ("completed", 0), ("stopped", 0)] {
        let is_told = |line: &String| {
            line.contains(&format!("event={event}")) && line.contains(&format!("left={left}&"))
        };
        assert!(requests.iter().any(is_told), "no {event} with {left} left in {requests:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_every_weakness_still_gives_everything() {
    let download = Download::new(Spec::single(17, "weak", 20 * 65_536, PIECE));
    let spec = download.spec.clone();
    let weak = Behaviour::answering(move |asked| match asked.number {
        3 => Answer::Reject,
        9 => Answer::Choke(Duration::from_millis(50)),
        // Late, but right: written by hand here.
        17 => {
            let data = spec.block(asked.piece, asked.begin, asked.len);
            let raw = Answer::Raw(piece_message(asked.piece, asked.begin, &data));
            Answer::After(Duration::from_millis(100), Box::new(raw))
        }
        30 => Answer::Close,
        _ => Answer::Honest,
    });
    let weak = MockPeer::listen(download.spec.clone(), weak).await;
    download.run(&[weak.address], &["--no-trackers"]);
    download.assert_whole();
    assert!(weak.connections() > 1 && weak.requests() > 80, "{:?}", weak.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_bit_is_found_and_another_peer_gives_the_piece() {
    let download = Download::new(Spec::single(18, "bits", 20 * 65_536, PIECE));
    let flips = |asked: Asked| match asked.piece {
        7 => Answer::FlipBit,
        8 => Answer::Corrupt,
        9 => Answer::Ignore,
        _ => Answer::Honest,
    };
    let bad = MockPeer::listen(download.spec.clone(), Behaviour::answering(flips)).await;
    let peer_id = *b"-MK0100-the-good-one";
    let honest = Behaviour { peer_id, ..Behaviour::default() };
    let good = MockPeer::listen(download.spec.clone(), honest).await;
    let output = download.run(&[bad.address, good.address], &["--no-trackers"]);
    download.assert_whole();
    let good = good.address.to_string();
    let blamed = |line: &str| line.contains(r#""event":"banned""#) && line.contains(&good);
    assert!(!output.lines().any(blamed), "{output}");
}

#[test]
fn a_torrent_of_version_2_only_is_refused() {
    let torrent = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/multi-v2.torrent");
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut command = driver(home.path());
    command.arg(Path::new(torrent)).arg("--dir").arg(home.path().join("out"));
    command.args(["--port", "0", "--no-repl", "--exit-on-finish"]);
    let mut process = Process::start("driver", command, home.path());
    let status = process.wait(LIMIT);
    assert_eq!(status.code(), Some(3), "{}", process.output());
    assert!(process.output().contains("version 2"), "{}", process.output());
}
