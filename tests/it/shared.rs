//! What several torrents and several peers of one process share: memory, connections, dials, the
//! way out of a link. Each must get what is due to it, whatever the others hold. Deadlines here
//! only tell *at all* from *never*; how long things take is measured elsewhere.

mod links;
mod memory;
mod places;

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run::Running;
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::payload::Payload;
use crate::seeder::Seeder;

/// A torrent with a tracker of its own, so that its peers are asked by nobody else.
struct Shared {
    payload: Arc<Payload>,
    /// Serve until they are dropped.
    _seeders: Vec<Seeder>,
    _tracker: MockTracker,
}

impl Shared {
    /// Writes `NAME.torrent` below `home`; each of the seeders sends so many bytes a second.
    fn new(home: &TempDir, name: &str, len: u64, seeders: usize, rate: Option<u64>) -> Self {
        // First letters tell them apart.
        let seed = u64::from(name.as_bytes()[0]);
        let payload = Arc::new(Payload::new(seed, name, 1 << 20, &[("file", len)]));
        let seeders: Vec<_> = (0..seeders).map(|_| Seeder::start(payload.clone(), rate)).collect();
        let addresses: Vec<_> = seeders.iter().map(|seeder| v4(seeder.address())).collect();
        let tracker = MockTracker::start(vec![Reply::peers(&addresses)]);
        let path = home.path().join(format!("{name}.torrent"));
        std::fs::write(path, payload.torrent(Some(&tracker.url()))).expect("write a torrent");
        Self { payload, _seeders: seeders, _tracker: tracker }
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} is on loopback, which is IPv4 here"),
    }
}

/// An event of this name, waited for.
fn event(running: &mut Running, name: &str) -> Value {
    loop {
        let event: Value = serde_json::from_str(&running.line("{")).expect("a JSON line");
        if event["event"] == name {
            return event;
        }
    }
}

/// Where it listens.
fn listening(running: &mut Running) -> SocketAddr {
    let port = event(running, "started")["port"].as_u64().expect("a port");
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")))
}
