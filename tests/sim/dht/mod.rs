//! Worlds around the DHT's node, over nothing but what it is told and says: many real ones, or
//! one to three among up to a million responders that act like other programs. What must hold
//! at each step is in `watch`. `PIGEON_SIM_SEED=n` runs one world, `PIGEON_SIM_SEEDS=n` so
//! many, `PIGEON_SIM_LARGE=1` adds those that take minutes.

mod breeds;
mod full;
mod letters;
mod malice;
mod recovery;
mod sky;
mod thin;
mod watch;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use pigeon::dht::NodeId;
use pigeon::dht::compact::NodeInfo;
use pigeon::dht::contacts::Start;
use pigeon::dht::nets::Family;
use pigeon::dht::saved::Saved;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn is_large() -> bool {
    number("PIGEON_SIM_LARGE").is_some_and(|large| large > 0)
}

/// `dht.dat` of a node with that id that knows these.
fn saved(id: NodeId, nodes: impl Iterator<Item = (NodeId, SocketAddr)>, family: Family) -> Vec<u8> {
    let start = |(id, address)| Start::new(NodeInfo { id, address }, None);
    Saved { id, port: 0, made_for: None, nodes: nodes.map(start).collect() }.write(family)
}

/// Of sorted figures the one that so many percent do not exceed.
fn percentile<T: Copy + Ord>(figures: &mut [T], percent: usize) -> T {
    figures.sort_unstable();
    figures[(figures.len() * percent / 100).min(figures.len() - 1)]
}
