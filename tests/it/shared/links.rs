//! Links beside links, and both ways of one: what is slow holds back nobody but itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Running};
use crate::content::Spec;
use crate::mock_peer::{
    Answer, BITS_NONE, Behaviour, MockPeer, Script, handshake, message, piece_message,
};
use crate::process::{Process, driver};

use super::listening;

const BLOCK: u32 = 16_384;
const PIECE: u32 = 4 * BLOCK;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE_ID: u8 = 7;

/// BEP 3 has one stream for both ways. A block takes minutes at this limit; what we ask for must
/// not wait for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_do_not_wait_behind_a_limited_upload() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let spec = Arc::new(Spec::single(1, "mutual", 64 * u64::from(PIECE), PIECE));
    std::fs::write(home.path().join("m.torrent"), spec.torrent()).expect("write a torrent");
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["m.torrent", "--dir", "out", "--port", "0", "--json"]);
    let mut running = Running::start(command.args(["--no-trackers", "--upload-limit", "100"]));
    let address = listening(&mut running);

    let mut peer = Script::dial(address).await.expect("the driver listens");
    let ours = handshake(BITS_NONE, spec.info_hash(), *b"-MK0100-mutual-peer-");
    peer.shake_hands(&ours).await.expect("its handshake");
    // All but the first piece, which the driver gets elsewhere.
    let bits = [&[0x7F][..], &[0xFF; 7]].concat();
    peer.send(&message(BITFIELD, &bits)).await.expect("send");
    let first = Behaviour { pieces: Some(vec![0]), ..Behaviour::default() };
    let _first = MockPeer::dial(address, spec.clone(), first).await;
    let begun = tokio::time::timeout(LIMIT, begin_upload(&mut peer)).await;
    let body_len = begun.expect("it does not upload");
    // The block is on its way when the driver may begin to ask.
    let traded = tokio::time::timeout(LIMIT, trade(&mut peer, &spec, body_len)).await;
    assert!(traded.is_ok(), "it does not ask while it uploads");
}

/// Asks for the first piece as soon as the driver has it, until the head of a block arrives; the
/// length of the rest of it.
async fn begin_upload(peer: &mut Script) -> usize {
    loop {
        let (id, body_len) = head(peer).await;
        if id == PIECE_ID {
            return body_len;
        }
        peer.read(body_len).await.expect("a body");
        match id {
            HAVE => peer.send(&message(INTERESTED, &[])).await.expect("send"),
            // One block may be free under the limit; the others have to wait.
            UNCHOKE => {
                let begins = (0..PIECE).step_by(BLOCK as usize);
                let asks: Vec<u8> = begins.flat_map(first_piece).collect();
                peer.send(&asks).await.expect("send");
            }
            _ => {}
        }
    }
}

/// Unchokes the driver and gives all pieces but the first. What comes begins with `body_len`
/// bytes of a block.
async fn trade(peer: &mut Script, spec: &Spec, body_len: usize) {
    peer.send(&message(UNCHOKE, &[])).await.expect("send");
    peer.read(body_len).await.expect("a block");
    let mut missing = (spec.total_len() - u64::from(PIECE)) / u64::from(BLOCK);
    while missing > 0 {
        let (id, body_len) = head(peer).await;
        let body = peer.read(body_len).await.expect("a body");
        if id == REQUEST {
            let word =
                |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
            let data = spec.block(word(0), word(4), word(8));
            peer.send(&piece_message(word(0), word(4), &data)).await.expect("send");
            missing -= 1;
        }
    }
}

/// The id of the next message, and the length of its body.
async fn head(peer: &mut Script) -> (u8, usize) {
    loop {
        let prefix = peer.read(4).await.expect("a prefix");
        let len = u32::from_be_bytes(prefix.try_into().expect("four bytes"));
        if len > 0 {
            return (peer.read(1).await.expect("an id")[0], len as usize - 1);
        }
    }
}

/// A request for a block of the first piece.
fn first_piece(begin: u32) -> Vec<u8> {
    message(REQUEST, &[0, begin, BLOCK].map(u32::to_be_bytes).concat())
}

/// One that was fast owes many blocks when it begins to drip; it is never silent. Its blocks are
/// fetched elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_begins_to_drip_does_not_keep_what_it_owes() {
    const FAST: u64 = 300;
    let home = tempfile::tempdir().expect("a folder for the test");
    let spec = Arc::new(Spec::single(4, "drip", 16 << 20, 4 * PIECE));
    std::fs::write(home.path().join("d.torrent"), spec.torrent()).expect("write a torrent");
    let honest = || Answer::After(Duration::from_millis(2), Box::new(Answer::Honest));
    let steady =
        Behaviour { peer_id: *b"-MK0100-steady-peer-", ..Behaviour::answering(move |_| honest()) };
    let dripping = Behaviour::answering(|asked| match asked.number {
        0..FAST => Answer::Honest,
        _ => Answer::After(Duration::from_millis(1900), Box::new(Answer::Honest)),
    });
    let steady = MockPeer::listen(spec.clone(), steady).await;
    let dripping = MockPeer::listen(spec.clone(), dripping).await;
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["d.torrent", "--dir", "out", "--port", "0", "-e"]);
    command.args(["--no-trackers", "--no-repl"]);
    for peer in [&steady, &dripping] {
        command.args(["--peer", &peer.address.to_string()]);
    }
    let mut process = Process::start("driver", command, home.path());
    let status = block_in_place(|| process.wait(LIMIT * 2));
    assert!(status.success(), "{}", process.last_words());
    assert!(dripping.requests() > FAST, "it never came to drip");
    let found = std::fs::read(home.path().join("out/drip")).expect("the file");
    assert!(found == spec.file(0), "the data is wrong");
}
