//! Encrypted connections: who is reached and who is let in by each policy, both ways, with peers
//! that speak plainly, only encrypted, or either; and what trackers are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon::wire::mse::Encryption;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{BITS_NONE, Behaviour, MockPeer, Script, handshake, message};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::driver;
use crate::veil::Veil;

use Encryption::{Allow, Off, Prefer, Require};

const PIECE: u32 = 65_536;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const REQUEST: u8 = 6;
const PIECE_ID: u8 = 7;

/// How a connection came to be, or that none did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Met {
    Plainly,
    Handshake,
    Rc4,
    Never,
}

use Met::{Handshake, Never, Plainly, Rc4};

fn place() -> (TempDir, Arc<Spec>) {
    let home = tempfile::tempdir().expect("a folder for the test");
    let spec = Spec::single(18, "veiled", 300_001, PIECE);
    std::fs::write(home.path().join("t.torrent"), spec.torrent()).expect("write the torrent");
    (home, Arc::new(spec))
}

fn name(policy: Encryption) -> &'static str {
    match policy {
        Prefer => "prefer",
        Require => "require",
        Allow => "allow",
        Off => "off",
    }
}

/// Downloads with the policy `ours` from a peer that takes what `theirs` takes; how they met, and
/// how many attempts were refused before.
async fn dialled(ours: Encryption, theirs: Encryption) -> (Met, u64) {
    let (home, spec) = place();
    let peer = MockPeer::listen(spec.clone(), Behaviour::default()).await;
    let veil = Veil::before_peer(peer.address, spec.info_hash(), theirs).await;
    let mut command = driver(home.path());
    command.env("DRIVER_ENCRYPTION", name(ours)).current_dir(home.path());
    command.args(["t.torrent", "--dir", "out", "--port", "0", "-e", "--no-trackers"]);
    command.args(["--timeout", "2s", "--peer", &veil.address.to_string()]);
    let ran = block_in_place(|| finish(&mut command));
    let is_complete = ran.code == Some(0);
    if is_complete {
        let data = std::fs::read(home.path().join("out/veiled")).expect("the data");
        assert!(data == spec.file(0), "every byte is right");
    }
    let [plain, plaintext, rc4, refused] = veil.seen.counts();
    let met = match (plain, plaintext, rc4) {
        (0, 0, 0) => Never,
        (1, 0, 0) => Plainly,
        (0, 1, 0) => Handshake,
        (0, 0, 1) => Rc4,
        other => panic!("{ours:?} and {theirs:?}: {other:?}"),
    };
    assert_eq!(met != Never, is_complete, "{}", ran.stderr);
    (met, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_reaches_whom_it_may() {
    for (ours, theirs, met, refused) in [
        (Prefer, Off, Plainly, 1),
        (Prefer, Prefer, Handshake, 0),
        (Prefer, Require, Rc4, 0),
        (Require, Prefer, Rc4, 0),
        (Require, Require, Rc4, 0),
        (Allow, Off, Plainly, 0),
        (Allow, Prefer, Plainly, 0),
        (Allow, Require, Rc4, 1),
        (Off, Off, Plainly, 0),
        (Off, Prefer, Plainly, 0),
    ] {
        assert_eq!(dialled(ours, theirs).await, (met, refused), "{ours:?} dials {theirs:?}");
    }
    for (ours, theirs) in [(Require, Off), (Off, Require)] {
        let (met, refused) = dialled(ours, theirs).await;
        assert_eq!(met, Never, "{ours:?} dials {theirs:?}");
        assert!(refused > 0, "it was tried");
    }
}

/// What it answers to a command once that has these words, in one line.
fn told(running: &mut Running, order: &str, words: &str) -> String {
    let begin = Instant::now();
    loop {
        running.type_line(order);
        running.type_line("limit");
        let mut answer = String::new();
        loop {
            let line = running.line("");
            if line.starts_with("down no limit") {
                break;
            }
            answer += &format!("{} ", line.trim());
        }
        if answer.contains(words) {
            return answer;
        }
        assert!(begin.elapsed() < LIMIT, "{words:?} is not in {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_encryption_where_it_is_required_is_told_as_such() {
    let (home, spec) = place();
    let peer = MockPeer::listen(spec.clone(), Behaviour::default()).await;
    let veil = Veil::before_peer(peer.address, spec.info_hash(), Off).await;
    let tracker = MockTracker::start(vec![Reply::peer([127, 0, 0, 1], veil.address.port())]);
    let mut command = driver(home.path());
    command.env("DRIVER_ENCRYPTION", "require").current_dir(home.path());
    command.args(["t.torrent", "--dir", "out", "--port", "0", "-a", &tracker.url_of("/announce")]);
    let mut running = Running::start(&mut command);
    let guess = "it may not know encryption, which is required here";
    block_in_place(|| {
        let why = told(&mut running, "why", guess);
        assert!(why.contains("no peer reached (1 failed: "), "{why}");
        let peers = told(&mut running, "peers", guess);
        let address = veil.address;
        assert!(peers.starts_with(&format!("no peers connected of 1 known one; {address}: ")));
        assert!(told(&mut running, "peers -a", guess).contains(&address.to_string()));
        running.type_line("quit");
        assert_eq!(running.wait().code, Some(7));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_to_a_key_is_asked_plainly() {
    let (home, spec) = place();
    let peer = MockPeer::listen(spec.clone(), Behaviour::default()).await;
    let veil = Veil::before_deaf_peer(peer.address).await;
    let mut command = driver(home.path());
    command.env("DRIVER_ENCRYPTION", "prefer").current_dir(home.path());
    command.args(["t.torrent", "--dir", "out", "--port", "0", "-e", "--no-trackers"]);
    command.args(["--peer", &veil.address.to_string()]);
    let ran = block_in_place(|| finish(&mut command));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(veil.seen.counts(), [1, 0, 0, 1]);
}

/// Small clients take any bytes for a handshake, and all behind them for messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_a_key_for_a_handshake_is_asked_plainly_at_once() {
    let (home, spec) = place();
    let peer = MockPeer::listen(spec.clone(), Behaviour::default()).await;
    let veil = Veil::before_blind_peer(peer.address, spec.info_hash()).await;
    let mut command = driver(home.path());
    command.env("DRIVER_ENCRYPTION", "prefer").current_dir(home.path());
    command.args(["t.torrent", "--dir", "out", "--port", "0", "-e", "--no-trackers"]);
    command.args(["--timeout", "2s", "--peer", &veil.address.to_string()]);
    let ran = block_in_place(|| finish(&mut command));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(veil.seen.counts(), [1, 0, 0, 1]);
}

/// Starts seeding with this policy; returns where it listens.
fn seed(home: &TempDir, spec: &Spec, policy: Encryption) -> (Running, SocketAddr) {
    std::fs::create_dir_all(home.path().join("data")).expect("make a folder");
    std::fs::write(home.path().join("data/veiled"), spec.file(0)).expect("write data");
    let mut command = driver(home.path());
    command.env("DRIVER_ENCRYPTION", name(policy)).current_dir(home.path());
    command.args(["t.torrent", "--dir", "data", "--seed", "--port", "0", "--json"]);
    let mut running = Running::start(command.arg("--no-trackers"));
    let mut port = None;
    loop {
        let event: serde_json::Value =
            serde_json::from_str(&running.line("{")).expect("a JSON line");
        if event["event"] == "started" {
            port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        }
        if event["event"] == "completed" {
            let port = port.expect("the port is told before");
            return (running, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
}

/// Fetches a block by way of `address`; false when nobody answers there.
async fn fetches(address: SocketAddr, spec: &Spec, id: u8) -> bool {
    let talk = async {
        let mut peer = Script::dial(address).await?;
        peer.shake_hands(&handshake(BITS_NONE, spec.info_hash(), [id; 20])).await?;
        peer.send(&message(INTERESTED, &[])).await?;
        while !matches!(peer.message().await?, Some((UNCHOKE, _))) {}
        let ask: Vec<u8> = [1, 5, 40_000].into_iter().flat_map(u32::to_be_bytes).collect();
        peer.send(&message(REQUEST, &ask)).await?;
        loop {
            if let Some((PIECE_ID, body)) = peer.message().await? {
                return Ok::<_, std::io::Error>(body);
            }
        }
    };
    match tokio::time::timeout(LIMIT, talk).await.expect("an answer, or an end") {
        Ok(body) => {
            assert!(body[8..] == spec.block(1, 5, 40_000), "every byte is right");
            true
        }
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_lets_in_whom_it_may() {
    let mut id = 0;
    for (ours, plain, either, rc4) in [
        (Prefer, true, true, true),
        (Require, false, true, true),
        (Allow, true, true, true),
        (Off, true, false, false),
    ] {
        let (home, spec) = place();
        let (_running, address) = block_in_place(|| seed(&home, &spec, ours));
        let mut may = async |at| {
            id += 1;
            fetches(at, &spec, id).await
        };
        assert_eq!(may(address).await, plain, "{ours:?}, plainly");
        for (policy, expected) in [(Prefer, either), (Require, rc4)] {
            let veil = Veil::before_client(address, spec.info_hash(), policy).await;
            assert_eq!(may(veil.address).await, expected, "{ours:?}, from {policy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_names_no_torrent_of_ours_or_two_is_left() {
    let (home, spec) = place();
    let (_running, address) = block_in_place(|| seed(&home, &spec, Prefer));
    // By a name that we do not know.
    let veil = Veil::before_client(address, [0x55; 20], Prefer).await;
    assert!(!fetches(veil.address, &spec, 1).await);
    // By ours, and within it by another one.
    let veil = Veil::before_client(address, spec.info_hash(), Prefer).await;
    let mut peer = Script::dial(veil.address).await.expect("a veil");
    assert!(peer.shake_hands(&handshake(BITS_NONE, [0x55; 20], [2; 20])).await.is_err());
    let veil = Veil::before_client(address, spec.info_hash(), Prefer).await;
    assert!(fetches(veil.address, &spec, 3).await, "others are served");
}

// A stranger's key costs us an answer, and a key that hides nothing nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_degenerate_key_is_answered_and_then_left() {
    let (home, spec) = place();
    let (_running, address) = block_in_place(|| seed(&home, &spec, Prefer));
    for last in [0, 1] {
        let mut stranger = TcpStream::connect(address).await.expect("it listens");
        let mut flight = vec![0; 96 + 20];
        flight[95] = last;
        stranger.write_all(&flight).await.expect("send");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(LIMIT, stranger.read_to_end(&mut answer)).await;
        // It may be reset, since it said more than was read.
        let _ = read.expect("an end");
        assert!((96..=96 + 512).contains(&answer.len()) || answer.is_empty());
    }
    assert!(fetches(address, &spec, 1).await, "others are served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_hear_of_it() {
    for (policy, supports, requires) in
        [(Prefer, true, false), (Require, true, true), (Allow, true, false), (Off, false, false)]
    {
        let home = tempfile::tempdir().expect("a folder for the test");
        let tracker = MockTracker::start(vec![Reply::peers(&[])]);
        let spec = Spec::single(18, "veiled", 300_001, PIECE).with_tracker(&tracker.url());
        std::fs::write(home.path().join("t.torrent"), spec.torrent()).expect("write");
        let mut command = driver(home.path());
        command.env("DRIVER_ENCRYPTION", name(policy)).current_dir(home.path());
        command.args(["t.torrent", "--dir", "out", "--port", "0", "-e", "--timeout", "1s"]);
        block_in_place(|| finish(&mut command));
        let asked = tracker.requests().first().cloned().expect("an announce");
        assert_eq!(asked.contains("&supportcrypto=1"), supports, "{policy:?}: {asked}");
        assert_eq!(asked.contains("&requirecrypto=1"), requires, "{policy:?}: {asked}");
    }
}
