//! Private torrents (BEP 27): whoever offers peers, only those of the tracker are connected.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use super::run::{LIMIT, Run, Running, finish};
use crate::mock_tracker::{MockTracker, Script};
use crate::payload::Payload;
use crate::process::driver;
use crate::seeder::Seeder;

/// Slow enough to be met in the middle: 2 MB in two seconds.
const RATE: u64 = 1_000_000;

#[test]
fn peers_that_no_tracker_named_get_not_one_byte() {
    let payload = Arc::new(Payload::new(5, "secret", 64 << 10, &[("f", 2_000_000)]).private());
    let seeder = Seeder::start(payload.clone(), Some(RATE));
    let tracker = MockTracker::start(vec![Script::peer([127, 0, 0, 1], seeder.address().port())]);
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = payload.torrent(Some(&tracker.url()));
    std::fs::write(home.path().join("s.torrent"), torrent).expect("write the torrent");
    let (bait, address) = bait();

    let download = |more: &[&str]| {
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(["s.torrent", "--dir", "out", "--port", "0"]);
        command.args(more);
        command
    };
    let refused: Run = finish(&mut download(&["--peer", &address.to_string()]));
    refused.assert_refused(2, "private: only its trackers may name peers; leave --peer out");
    let listing = ["--chunk-tracker", &address.to_string()];
    finish(&mut download(&listing)).assert_refused(2, "leave --chunk-tracker out");

    let mut running = Running::start(&mut download(&[]));
    assert!(seeder.wait_served(100_000, LIMIT), "nothing was asked for");
    running.type_line(&format!("add-peer {address}"));
    running.line("the torrent is private: only its trackers may name peers");
    running.end_input();
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    payload.assert_same(&home.path().join("out"));
    let bitten = bait.accept();
    assert!(bitten.is_err(), "somebody connected to what no tracker named: {bitten:?}");
}

/// Somebody who would take a connection, and does not wait for one.
fn bait() -> (TcpListener, SocketAddr) {
    let bait = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on loopback");
    bait.set_nonblocking(true).expect("a socket that does not wait");
    let address = bait.local_addr().expect("a listener's address");
    (bait, address)
}
