//! Announces a second and memory a peer of the embedded tracker. Without arguments: of the table
//! alone, then over UDP and loopback of a tracker in this process. With arguments the load goes
//! to any UDP tracker, so that another one can be measured in the same run:
//!
//! ```text
//! cargo bench --bench tracker -- udp 127.0.0.1:6969 [SECONDS [TORRENTS [PEERS [PID]]]]
//! ```
//!
//! `serve ADDR` runs our tracker alone, on that address, to be measured so. First every peer announces itself once, then peers renew themselves at random for SECONDS,
//! each time with 50 peers wanted. PID is the tracker's: its memory before and after is told.
//! The load comes from one thread, 16 addresses of 127/8 and 64 requests at once.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use pigeon::base::ids::{InfoHash, PeerId};
use pigeon::tracker::announce::Event;
use pigeon::tracker::server::{Server, ServerConfig};
use pigeon::tracker::table::{Arrival, SwarmTable, TableLimits};
use pigeon::tracker::udp::{Announce, ConnectionId, Reply, Request, TransactionId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const SOURCES: usize = 16;
const AT_ONCE: usize = 64;

/// How much of what.
#[derive(Clone, Copy)]
struct Load {
    seconds: u64,
    torrents: usize,
    peers: usize,
    pid: u32,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let number = |at: usize, default: usize| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let load = Load {
        seconds: number(2, 5) as u64,
        torrents: number(3, 2_000),
        peers: number(4, 200_000),
        pid: number(5, std::process::id() as usize) as u32,
    };
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(arguments.get(1).expect("an address").parse().expect("an address")),
        Some("udp") => {
            let address = arguments.get(1).expect("an address").parse().expect("an address");
            over_udp(address, load);
        }
        _ => {
            for (torrents, peers) in [(2_000, 200_000), (10_000, 1_000_000), (200_000, 400_000)] {
                table_alone(torrents, peers);
            }
            own_over_udp(load);
        }
    }
}

/// As of a tracker, but for the few addresses that the load comes from.
fn limits() -> TableLimits {
    TableLimits { peers_per_host: usize::MAX, ..TableLimits::default() }
}

/// The peer of a number: where it sends from, its port and its torrent.
fn peer(number: usize, torrents: usize) -> (usize, u16, InfoHash, PeerId) {
    let port = (number / SOURCES % 65_000 + 1) as u16;
    let mut info_hash = [0x5a; 20];
    info_hash[..8].copy_from_slice(&mixed((number % torrents) as u64).to_be_bytes());
    let mut peer_id = *b"-XX0000-000000000000";
    peer_id[12..].copy_from_slice(&(number as u64).to_be_bytes());
    (number % SOURCES, port, InfoHash(info_hash), PeerId(peer_id))
}

/// A number without a pattern.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn table_alone(torrents: usize, peers: usize) {
    let before = rss_bytes(std::process::id());
    let now = Instant::now();
    let mut table = SwarmTable::new(limits(), StdRng::seed_from_u64(1), now);
    let mut given = 0_u64;
    let mut announce = |number: usize| {
        let (source, port, info_hash, peer_id) = peer(number, torrents);
        let arrival = Arrival {
            info_hash,
            peer_id,
            address: SocketAddr::from(([127, 1, 1, source as u8], port)),
            left: (number % 4) as u64,
            event: None,
            numwant: Some(50),
            own_family_only: true,
        };
        table.announce(&arrival, now, |_| given += 1).expect("room");
    };
    let began = Instant::now();
    (0..peers).for_each(&mut announce);
    let entered = peers as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let renewals = 1_000_000;
    (0..renewals).for_each(|number| announce(mixed(number) as usize % peers));
    let renewed = renewals as f64 / began.elapsed().as_secs_f64();
    let grown = rss_bytes(std::process::id()).saturating_sub(before);
    let reckoned = table.totals().memory_bytes;
    println!(
        "table, {peers} peers of {torrents} torrents: {entered:.0} entries/s, {renewed:.0} \
         renewals/s, {:.0} B a peer ({:.0} B of memory grown), {given} peers given",
        reckoned as f64 / peers as f64,
        grown as f64 / peers as f64,
    );
}

fn own_over_udp(load: Load) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (address, server) = runtime.block_on(server("127.0.0.1:0".parse().expect("an address")));
    runtime.spawn(server.run(std::future::pending()));
    over_udp(address, load);
}

fn serve(address: SocketAddr) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (_, server) = server(address).await;
        server.run(std::future::pending()).await.expect("a tracker");
    });
}

async fn server(address: SocketAddr) -> (SocketAddr, Server) {
    let http = tokio::net::TcpListener::bind(address).await.expect("a port");
    let udp = tokio::net::UdpSocket::bind(address).await.expect("a port");
    let address = udp.local_addr().expect("its number");
    let config = ServerConfig { limits: limits(), ..ServerConfig::default() };
    (address, Server { http: vec![http], udp: vec![udp], config, library: None })
}

struct Source {
    socket: UdpSocket,
    connection: ConnectionId,
}

fn over_udp(tracker: SocketAddr, load: Load) {
    let mut sources: Vec<Source> = (0..SOURCES).map(|number| source(number, tracker)).collect();
    let before = rss_bytes(load.pid);
    let began = Instant::now();
    let answered = send_all(&mut sources, load, 0..load.peers);
    let entered = answered as f64 / began.elapsed().as_secs_f64();
    let lost = load.peers - answered;
    let grown = rss_bytes(load.pid).saturating_sub(before);
    sources = (0..SOURCES).map(|number| source(number, tracker)).collect();
    let began = Instant::now();
    let end = began + Duration::from_secs(load.seconds);
    let (mut answered, mut round) = (0, 0_u64);
    while Instant::now() < end {
        let numbers = (0..4096).map(|number| mixed(round * 4096 + number) as usize % load.peers);
        answered += send_all(&mut sources, load, numbers);
        round += 1;
    }
    let renewed = answered as f64 / began.elapsed().as_secs_f64();
    let lost = lost + (round * 4096) as usize - answered;
    println!(
        "{tracker}, {} peers of {} torrents: {entered:.0} entries/s, {renewed:.0} renewals/s, \
         {lost} lost, {:.0} B of memory a peer",
        load.peers,
        load.torrents,
        grown as f64 / load.peers as f64,
    );
}

fn source(number: usize, tracker: SocketAddr) -> Source {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 1, 1, number as u8 + 1], 0)));
    let socket = socket.expect("a port");
    socket.connect(tracker).expect("a way to the tracker");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    let mut datagram = Vec::new();
    Request::Connect { transaction: TransactionId(1) }.encode(&mut datagram);
    let mut buffer = [0; 2048];
    for _ in 0..25 {
        socket.send(&datagram).expect("a sent datagram");
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let read = Reply::decode(&buffer[..len], pigeon::tracker::announce::Family::V4);
        if let Ok(Reply::Connect { connection, .. }) = read {
            return Source { socket, connection };
        }
    }
    panic!("no answer from {tracker}");
}

/// Sends announces of these peers, [`AT_ONCE`] at a time; returns how many were answered.
fn send_all(sources: &mut [Source], load: Load, numbers: impl Iterator<Item = usize>) -> usize {
    let mut numbers = numbers.peekable();
    let (mut datagram, mut buffer) = (Vec::with_capacity(128), [0; 4096]);
    let (mut answered, mut waiting) = (0, [0_usize; SOURCES]);
    while numbers.peek().is_some() {
        for number in numbers.by_ref().take(AT_ONCE) {
            let (from, port, info_hash, peer_id) = peer(number, load.torrents);
            let left = (number % 4) as u64;
            let announce = Announce {
                info_hash,
                peer_id,
                downloaded: 0,
                left,
                uploaded: 0,
                event: Some(Event::Started),
                key: number as u32,
                numwant: Some(50),
                port,
                url_data: Vec::new(),
            };
            datagram.clear();
            let Source { socket, connection } = &sources[from];
            let transaction = TransactionId(number as u32);
            let connection = *connection;
            Request::Announce { connection, transaction, announce }.encode(&mut datagram);
            socket.send(&datagram).expect("a sent datagram");
            waiting[from] += 1;
        }
        for (source, waiting) in sources.iter().zip(&mut waiting) {
            while *waiting > 0 {
                match source.socket.recv(&mut buffer) {
                    // The action of an announce's reply.
                    Ok(len) if len >= 20 && buffer[..4] == [0, 0, 0, 1] => answered += 1,
                    Ok(_) => {}
                    Err(_) => {
                        *waiting = 0;
                        break;
                    }
                }
                *waiting -= 1;
            }
        }
    }
    answered
}
