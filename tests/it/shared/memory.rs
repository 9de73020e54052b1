//! Memory: several torrents on one pool of blocks, and messages that have to fit before they are
//! kept.

use crate::cli::run::{LIMIT, Running};
use crate::content::Spec;
use crate::mock_peer::{BITS_ALL, Script, handshake};
use crate::process::{Process, driver};

use super::{Shared, listening};

const BITFIELD: u8 = 5;
const EXTENDED: u8 = 20;

/// Eighteen slow links begin more pieces than the least memory has room for. Whoever holds
/// blocks of a piece that lacks some must not keep those that are missing from being read.
#[test]
fn three_torrents_complete_on_the_least_memory() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let names = ["alpha", "beta", "gamma"];
    let all = names.map(|name| Shared::new(&home, name, 12 << 20, 6, Some(500_000)));
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(names.map(|name| format!("{name}.torrent")));
    command.args(["--memory", "8MiB", "--dir", "out", "--port", "0", "--no-repl", "-e"]);
    let mut process = Process::start("driver", command, home.path());
    let status = process.wait(LIMIT * 2);
    assert!(status.success(), "{}", process.last_words());
    all.iter().for_each(|it| it.payload.assert_same(&home.path().join("out")));
}

/// A length is compared with what this message may have before anything of its body is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_an_impossible_length_is_refused_at_its_head() {
    let home = tempfile::tempdir().expect("a folder for the test");
    // Nine pieces: a bitfield has two bytes.
    let spec = Spec::single(3, "short", 9 * 16_384, 16_384);
    std::fs::write(home.path().join("s.torrent"), spec.torrent()).expect("write a torrent");
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["s.torrent", "--dir", "out", "--port", "0", "--json"]);
    let mut running = Running::start(command.arg("--no-trackers"));
    let address = listening(&mut running);
    for (id, body_len) in [(BITFIELD, 1), (BITFIELD, 3), (BITFIELD, 262_143), (EXTENDED, 250_000)] {
        let mut peer = Script::dial(address).await.expect("the driver listens");
        let ours = handshake(BITS_ALL, spec.info_hash(), *b"-MK0100-longer-than-");
        peer.shake_hands(&ours).await.expect("its handshake");
        let prefix: u32 = body_len + 1;
        peer.send(&[&prefix.to_be_bytes()[..], &[id]].concat()).await.expect("send");
        // The id within the message, which is not what is wrong with it.
        // Whoever has seen the length may have left by now.
        let _ = peer.send(if id == EXTENDED { &[0] } else { &[] }).await;
        let end = async { while peer.message().await.is_ok() {} };
        let ended = tokio::time::timeout(LIMIT, end).await;
        assert!(ended.is_ok(), "message {id} of {body_len} bytes: it waits for the rest");
    }
}
