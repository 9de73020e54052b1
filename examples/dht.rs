//! Who has a torrent, by the DHT alone:
//! `cargo run --example dht -- ADDRESS NODES`, where NODES is a file of lines `HOST PORT` by which
//! it is entered. Then `find HASH` and `announce HASH` are taken, a line each, and each first peer
//! is printed as `peer HASH`.

use std::io::BufRead as _;

use pigeon::base::ids::InfoHash;
use pigeon::dht::task::{Answer, Dht, DhtConfig, Question, Seat, Wish};
use pigeon::dht::{Haste, Hint};
use pigeon::net::egress::Egress;
use pigeon::net::portmap::OutsidePorts;
use pigeon::net::udp::Udp;
use tokio::sync::mpsc;

/// Where nodes and peers reach us.
const PORT: u16 = 7881;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: dht ADDRESS NODES")?.parse()?;
    let nodes = std::fs::read_to_string(arguments.next().ok_or("usage: dht ADDRESS NODES")?)?;
    let egress = Egress::from_address(Some(address));
    let (udp, mail) = Udp::open(&egress, PORT)?;
    let config = DhtConfig {
        egress,
        udp,
        mail: mail.dht,
        file: None,
        routers: Vec::new(),
        read_only: false,
    };
    let dht = Dht::start(config);
    for node in nodes.lines().filter_map(|line| line.replace(' ', ":").parse().ok()) {
        dht.hint(node, Hint::Torrent);
    }
    println!("ready");
    let mut seats: Vec<Seat> = Vec::new();
    let (lines, mut typed) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = typed.recv().await {
        let Some((word, hash)) = line.split_once(' ') else { continue };
        let Some(hash) = read_hash(hash) else { continue };
        if word == "announce" {
            let mut seat = dht.seat(hash);
            let ports = Some(OutsidePorts::unmapped(PORT));
            seat.wish(Wish { ports, seed: true, haste: Haste::Urgent });
            seats.push(seat);
            continue;
        }
        let mut answers = dht.ask(Question::Find(hash)).await;
        tokio::spawn(async move {
            while let Some(answer) = answers.recv().await {
                if matches!(&answer, Answer::Peers(peers) if !peers.is_empty()) {
                    println!("peer {hash}");
                    return;
                }
            }
        });
    }
    dht.stop().await;
    Ok(())
}

fn read_hash(text: &str) -> Option<InfoHash> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
    bytes.try_into().ok().map(InfoHash)
}
