//! What a stranger gets who asks the program for data, byte by byte: right blocks of any size
//! and place, nothing of a piece that rotted on disk, and no memory for one who never reads.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run::Running;
use crate::content::Spec;
use crate::mock_peer::{BITS_ALL, BITS_NONE, Script, handshake, message};
use crate::process::driver;

const PIECE: u32 = 65_536;
const LIMIT: Duration = Duration::from_secs(20);
const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const REQUEST: u8 = 6;
const PIECE_ID: u8 = 7;
const CANCEL: u8 = 8;
const REJECT: u8 = 16;

/// A torrent of two files with its data beside it.
fn place() -> (TempDir, Arc<Spec>) {
    let home = tempfile::tempdir().expect("a folder for the test");
    let spec = Spec::multi(5, "album", &[("a", 100_001), ("b", 300_000)], PIECE);
    std::fs::write(home.path().join("album.torrent"), spec.torrent()).expect("write a torrent");
    let data = home.path().join("data").join("album");
    std::fs::create_dir_all(&data).expect("make a folder");
    std::fs::write(data.join("a"), spec.file(0)).expect("write data");
    std::fs::write(data.join("b"), spec.file(1)).expect("write data");
    (home, Arc::new(spec))
}

/// Starts seeding what is there; returns where it listens.
fn seed(home: &TempDir) -> (Running, SocketAddr) {
    let mut command = driver(home.path());
    command.current_dir(home.path());
    command.args(["album.torrent", "--dir", "data", "--seed", "--port", "0", "--json"]);
    let mut running = Running::start(command.arg("--no-trackers"));
    let mut port = None;
    loop {
        let event: Value = serde_json::from_str(&running.line("{")).expect("a JSON line");
        if event["event"] == "started" {
            port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        }
        if event["event"] == "completed" {
            let port = port.expect("the port is told before");
            return (running, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
}

/// A peer that is interested and was unchoked.
async fn unchoked(address: SocketAddr, spec: &Spec, bits: [u8; 8], id: u8) -> Script {
    let mut peer = Script::dial(address).await.expect("the driver listens");
    let ours = handshake(bits, spec.info_hash(), [id; 20]);
    peer.shake_hands(&ours).await.expect("its handshake");
    peer.send(&message(INTERESTED, &[])).await.expect("send");
    let told = async { while !matches!(peer.message().await, Ok(Some((UNCHOKE, _)))) {} };
    tokio::time::timeout(LIMIT, told).await.expect("an unchoke");
    peer
}

fn numbers(piece: u32, begin: u32, len: u32) -> Vec<u8> {
    [piece, begin, len].iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The next `piece` or `reject`.
async fn answer(peer: &mut Script) -> (u8, Vec<u8>) {
    let wait = async {
        loop {
            match peer.message().await.expect("an answer") {
                Some((id @ (PIECE_ID | REJECT | CHOKE), body)) => return (id, body),
                _ => continue,
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_any_size_and_place_are_right() {
    let (home, spec) = place();
    let (_running, address) = seed(&home);
    let mut peer = unchoked(address, &spec, BITS_ALL, 1).await;
    // Across two files, at odd places, a single byte, a whole piece, the short last piece.
    let last = spec.piece_count() - 1;
    let asks = [
        (1, 34_000, 5_000),
        (0, 0, 16_384),
        (0, 65_535, 1),
        (2, 1, 65_535),
        (3, 0, PIECE),
        (last, 0, spec.len_of(last)),
    ];
    let all: Vec<u8> =
        asks.iter().flat_map(|(p, b, l)| message(REQUEST, &numbers(*p, *b, *l))).collect();
    peer.send(&all).await.expect("send");
    for (piece, begin, len) in asks {
        let (id, body) = answer(&mut peer).await;
        assert_eq!(id, PIECE_ID);
        assert_eq!(body[..8], numbers(piece, begin, 0)[..8]);
        assert!(body[8..] == spec.block(piece, begin, len), "{piece} {begin} {len}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_never_reads_costs_nothing_and_others_are_served() {
    let (home, spec) = place();
    let (running, address) = seed(&home);
    let mut deaf = unchoked(address, &spec, BITS_NONE, 2).await;
    // Far more than sockets hold: what fits is 900 times the torrent's largest piece.
    let asks: Vec<u8> = (0..900).flat_map(|_| message(REQUEST, &numbers(2, 0, PIECE))).collect();
    deaf.send(&asks).await.expect("send");
    let before = peak_bytes(running.id());
    let mut peer = unchoked(address, &spec, BITS_ALL, 3).await;
    for piece in 0..spec.piece_count() {
        let len = spec.len_of(piece);
        peer.send(&message(REQUEST, &numbers(piece, 0, len))).await.expect("send");
        let (id, body) = answer(&mut peer).await;
        assert!(id == PIECE_ID && body[8..] == spec.block(piece, 0, len), "{piece}");
    }
    let grown = peak_bytes(running.id()) - before;
    assert!(grown < 8 << 20, "it holds {grown} bytes for one who does not read");
}

fn peak_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

// BEP 6: a request is answered by the block or a reject, also when it is cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_one_answer_with_the_fast_extension() {
    let (home, spec) = place();
    let (_running, address) = seed(&home);
    let mut peer = unchoked(address, &spec, BITS_ALL, 4).await;
    let mut all = Vec::new();
    for begin in (0..PIECE).step_by(16_384) {
        all.extend(message(REQUEST, &numbers(4, begin, 16_384)));
        all.extend(message(CANCEL, &numbers(4, begin, 16_384)));
    }
    peer.send(&all).await.expect("send");
    let mut begins = Vec::new();
    for _ in 0..4 {
        let (_, body) = answer(&mut peer).await;
        begins.push(u32::from_be_bytes([body[4], body[5], body[6], body[7]]));
    }
    begins.sort_unstable();
    assert_eq!(begins, [0, 16_384, 32_768, 49_152]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_rotted_on_disk_is_not_sent() {
    let (home, spec) = place();
    // The first run leaves a record that vouches for all pieces.
    let (mut running, _) = seed(&home);
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(0));
    rot(&home, "b", 50_000);
    let (mut running, address) = seed(&home);
    let mut peer = unchoked(address, &spec, BITS_ALL, 5).await;
    // Byte 50,000 of the second file is in piece 2; its neighbour is as it was.
    for (piece, expected) in [(3, PIECE_ID), (2, REJECT)] {
        peer.send(&message(REQUEST, &numbers(piece, 0, 16_384))).await.expect("send");
        let (id, body) = answer(&mut peer).await;
        assert_eq!(id, expected, "piece {piece}");
        assert!(id == REJECT || body[8..] == spec.block(piece, 0, 16_384));
    }
    let lost = loop {
        let event: Value = serde_json::from_str(&running.line("{")).expect("a JSON line");
        if event["event"] == "piece_lost" {
            break event;
        }
    };
    assert_eq!(lost["piece"], 2);
}

/// What was promised cannot be sent: the link ends, and nothing else is sent in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_under_a_seed_ends_the_link_that_asks_for_it() {
    let (home, spec) = place();
    let (_running, address) = seed(&home);
    let mut peer = unchoked(address, &spec, BITS_NONE, 6).await;
    let ask = message(REQUEST, &numbers(4, 0, 16_384));
    peer.send(&ask).await.expect("send");
    let (id, body) = answer(&mut peer).await;
    assert!(id == PIECE_ID && body[8..] == spec.block(4, 0, 16_384));
    let path = home.path().join("data/album/b");
    File::options().write(true).open(path).and_then(|file| file.set_len(1000)).expect("cut it");
    peer.send(&ask).await.expect("send");
    let end = async {
        loop {
            match peer.message().await {
                Ok(Some((PIECE_ID, body))) => break Some(body),
                Ok(_) => {}
                Err(_) => break None,
            }
        }
    };
    let sent = tokio::time::timeout(LIMIT, end).await.expect("an answer or an end");
    assert_eq!(sent, None, "there is nothing to send");
    // Others get what is there.
    let mut other = unchoked(address, &spec, BITS_ALL, 7).await;
    other.send(&message(REQUEST, &numbers(0, 0, 16_384))).await.expect("send");
    let (id, body) = answer(&mut other).await;
    assert!(id == PIECE_ID && body[8..] == spec.block(0, 0, 16_384));
}

/// Changes a byte as a failing disk does: neither length nor times tell.
fn rot(home: &TempDir, file: &str, at: u64) {
    let path = home.path().join("data").join("album").join(file);
    let meta = std::fs::metadata(&path).expect("the file");
    let opened = File::options().read(true).write(true).open(&path).expect("open it");
    let mut byte = [0];
    opened.read_exact_at(&mut byte, at).expect("read it");
    opened.write_all_at(&[byte[0] ^ 1], at).expect("change it");
    use std::os::unix::fs::MetadataExt as _;
    let time = |s, ns| Timespec { tv_sec: s, tv_nsec: ns };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    utimensat(CWD, &path, &times, AtFlags::empty()).expect("set its times back");
}
