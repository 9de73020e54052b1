//! Connections and dials: who gets one when somebody else has them all, or has no need of them.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::cli::run::{LIMIT, Place, Running};
use crate::content::Spec;
use crate::mock_peer::{BITS_NONE, Script, handshake};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::driver;

use super::{Shared, v4};

/// So that a download of 3 MB takes more than a moment.
const STEADY: Option<u64> = Some(1_500_000);

/// Waits until somebody connects and asks for this torrent.
async fn assert_dialled(listener: TcpListener, info_hash: [u8; 20]) {
    let hello = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut hello = [0; 68];
        stream.read_exact(&mut hello).await.expect("a handshake");
        hello
    };
    let hello = tokio::time::timeout(LIMIT, hello).await.expect("it does not dial");
    assert_eq!(hello[28..48], info_hash);
}

/// A seed that cannot be dialled itself has no other way to whoever comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_torrent_dials_a_peer_that_is_named() {
    let place = Place::new(STEADY);
    let mut running = Running::start(&mut place.command(&["--seed"]));
    running.line("Complete: ");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    running.type_line(&format!("add-peer {}", listener.local_addr().expect("its address")));
    running.line("trying ");
    assert_dialled(listener, place.payload.info_hash()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_torrent_dials_a_peer_that_the_tracker_tells() {
    let place = Place::new(STEADY);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let late = v4(listener.local_addr().expect("its address"));
    // The second request tells that the download is complete.
    let replies = [v4(place.seeder.address()), late].map(|address| Reply::peers(&[address]));
    let tracker = MockTracker::start(replies.to_vec());
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["s.torrent", "--dir", "out", "--port", "0"]);
    let mut running = Running::start(command.args(["--seed", "--tracker", &tracker.url()]));
    running.line("Complete: ");
    assert_dialled(listener, place.payload.info_hash()).await;
}

/// As many connections as a session has, none of which does anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_torrent_gets_a_place_in_a_session_full_of_idle_links() {
    const LINKS: usize = 400;
    let home = tempfile::tempdir().expect("a folder for the test");
    let later = Shared::new(&home, "later", 1 << 20, 1, None);
    let idle = Spec::single(2, "idle", 100_000, 65_536);
    std::fs::write(home.path().join("idle.torrent"), idle.torrent()).expect("write a torrent");
    std::fs::create_dir(home.path().join("out")).expect("make a folder");
    std::fs::write(home.path().join("out/idle"), idle.file(0)).expect("write data");
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["idle.torrent", "--dir", "out", "--port", "0"]);
    command.args(["--seed", "--max-peers", &LINKS.to_string()]);
    let mut running = Running::start(&mut command);
    let saving = running.line("Saving to");
    let port = saving.rsplit(' ').next().and_then(|port| port.parse().ok()).expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    running.line("Complete");
    let mut links = Vec::new();
    for number in 0..LINKS {
        let mut link = Script::dial(address).await.expect("the driver listens");
        let id = format!("-MK0100-idle-{number:07}").into_bytes().try_into().expect("twenty");
        let ours = handshake(BITS_NONE, idle.info_hash(), id);
        link.shake_hands(&ours).await.expect("there is a place for it");
        links.push(link);
    }
    running.type_line("add later.torrent");
    running.line("2 later: Complete");
    later.payload.assert_same(&home.path().join("out"));
}
