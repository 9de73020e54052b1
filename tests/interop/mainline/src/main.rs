//! Nodes of the DHT by the crate mainline: ROLE ADDRESS:PORT... of ADDRESS:PORT... [-- HASH]
//!
//! `net` keeps a node at each address and says "ready" when each has found others by those behind
//! `of`; `announce` is one that stays and says "announced"; `find` says the first peers of a hash.
// It warns of everything that waits, and a program of one question may wait.
#![expect(deprecated)]

use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

use mainline::{Dht, Id};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (role, words) = words.split_first().expect("a role");
    let mut parts = words.split(|word| word == "--");
    let mut addresses = parts.next().expect("addresses").split(|word| word == "of");
    let own = addresses.next().expect("addresses of ours");
    let others = addresses.next().expect("addresses of others");
    let nodes: Vec<Dht> = own.iter().map(|address| node(address, others)).collect();
    if role == "net" {
        println!("ready");
        return stay();
    }
    let word = &parts.next().expect("a hash")[0];
    let hash: Id = word.parse().expect("forty digits");
    match role.as_str() {
        "announce" => {
            let port = own[0].parse::<SocketAddrV4>().expect("an address").port();
            nodes[0].announce_peer(hash, Some(port)).expect("somebody keeps it");
            println!("announced");
            stay()
        }
        "find" => loop {
            if let Some(peers) = nodes[0].get_peers(hash).find(|peers| !peers.is_empty()) {
                return peers.iter().for_each(|peer| println!("peer {peer}"));
            }
            // It was too early, perhaps.
            thread::sleep(Duration::from_secs(1));
        },
        other => panic!("{other} is no role"),
    }
}

/// A node that has found others.
fn node(address: &str, others: &[String]) -> Dht {
    let address: SocketAddrV4 = address.parse().expect("ADDRESS:PORT");
    let mut builder = Dht::builder();
    builder.server_mode().bootstrap(others).bind_address(*address.ip()).port(address.port());
    let node = builder.build().expect("a socket");
    while !node.bootstrapped() {
        thread::sleep(Duration::from_secs(1));
    }
    node
}

fn stay() {
    loop {
        thread::park();
    }
}
