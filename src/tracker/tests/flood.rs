//! The embedded tracker over UDP, and what strangers do to it: forged connection ids, questions
//! made to be amplified, slow and idle connections.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::served::{PATIENCE, Served};
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::{Event, Family};
use crate::tracker::catalogue::CatalogueLimits;
use crate::tracker::server::{Library, ServerConfig};
use crate::tracker::udp::{Announce, ConnectionId, Reply, Request, TransactionId};

const TRANSACTION: TransactionId = TransactionId(0x0102_0304);

/// A client that sends what it is told.
struct Client {
    socket: UdpSocket,
    family: Family,
}

impl Client {
    async fn new(served: &Served, bind: &str) -> Self {
        let socket = UdpSocket::bind(bind).await.unwrap();
        socket.connect(served.udp).await.unwrap();
        Self { socket, family: Family::of(served.udp) }
    }

    async fn ask(&self, request: &Request) -> Reply {
        let mut datagram = Vec::new();
        request.encode(&mut datagram);
        self.socket.send(&datagram).await.unwrap();
        let mut buffer = [0; 4096];
        let len = timeout(PATIENCE, self.socket.recv(&mut buffer)).await.unwrap().unwrap();
        Reply::decode(&buffer[..len], self.family).unwrap()
    }

    async fn connect(&self) -> ConnectionId {
        match self.ask(&Request::Connect { transaction: TRANSACTION }).await {
            Reply::Connect { transaction: TRANSACTION, connection } => connection,
            other => panic!("{other:?}"),
        }
    }

    /// Sends `datagrams` and then a scrape that is good; how many bytes came back before its
    /// reply, which is the last one.
    async fn bytes_back(&self, datagrams: &[Vec<u8>]) -> usize {
        let connection = self.connect().await;
        for datagram in datagrams {
            self.socket.send(datagram).await.unwrap();
        }
        let mut last = Vec::new();
        let transaction = TransactionId(0xffff_fffe);
        let info_hashes = vec![InfoHash([0; 20])];
        Request::Scrape { connection, transaction, info_hashes }.encode(&mut last);
        let (mut bytes, mut buffer) = (0, [0; 4096]);
        loop {
            // Nothing overtakes on loopback, but a full queue loses.
            self.socket.send(&last).await.unwrap();
            let received = timeout(Duration::from_secs(2), async {
                loop {
                    let len = self.socket.recv(&mut buffer).await.unwrap();
                    match Reply::decode(&buffer[..len], self.family) {
                        Ok(reply) if reply.transaction() == transaction => return,
                        _ => bytes += len,
                    }
                }
            });
            if received.await.is_ok() {
                return bytes;
            }
        }
    }
}

fn announce(connection: ConnectionId, left: u64, port: u16) -> Request {
    let announce = Announce {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([b'p'; 20]),
        downloaded: 0,
        left,
        uploaded: 0,
        event: Some(Event::Started),
        key: 1,
        numwant: None,
        port,
        url_data: b"/announce?x".to_vec(),
    };
    Request::Announce { connection, transaction: TRANSACTION, announce }
}

#[tokio::test]
async fn peers_meet_over_udp_and_http() {
    let served = Served::start(ServerConfig::default(), None).await;
    let client = Client::new(&served, "127.0.0.1:0").await;
    let connection = client.connect().await;
    let expected = |leechers, seeders, peers: &[&str]| Reply::Announce {
        transaction: TRANSACTION,
        interval_s: 1800,
        leechers,
        seeders,
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
    };
    assert_eq!(client.ask(&announce(connection, 0, 1001)).await, expected(0, 1, &[]));
    let second = expected(1, 1, &["127.0.0.1:1001"]);
    assert_eq!(client.ask(&announce(connection, 9, 1002)).await, second);
    // One that takes no connections is told of others and not named to them.
    let third = client.ask(&announce(connection, 9, 0)).await;
    let Reply::Announce { leechers: 1, seeders: 1, peers, .. } = third else { panic!("{third:?}") };
    assert_eq!(peers.len(), 2);

    let hash = "%07".repeat(20);
    let scraped =
        served.get(&format!("/scrape?info_hash={hash}&info_hash={}", "x".repeat(20))).await;
    let mut expected = b"d5:filesd20:".to_vec();
    expected.extend([7; 20]);
    expected.extend(b"d8:completei1e10:downloadedi0e10:incompletei1ee20:");
    expected.extend([b'x'; 20]);
    expected.extend(b"d8:completei0e10:downloadedi0e10:incompletei0eeee");
    assert_eq!(scraped.body, expected, "{}", scraped.text());
    let info_hashes = vec![InfoHash([9; 20]), InfoHash([7; 20])];
    let scrape = Request::Scrape { connection, transaction: TRANSACTION, info_hashes };
    let Reply::Scrape { counts, .. } = client.ask(&scrape).await else { panic!() };
    let numbers: Vec<_> = counts.iter().map(|it| (it.seeders, it.completed, it.leechers)).collect();
    assert_eq!(numbers, [(0, 0, 0), (1, 0, 1)]);
}

#[tokio::test]
async fn ipv6_has_replies_of_its_own() {
    if UdpSocket::bind("[::1]:0").await.is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let served = Served::start_at("[::1]:0", ServerConfig::default(), None).await;
    let client = Client::new(&served, "[::1]:0").await;
    let connection = client.connect().await;
    client.ask(&announce(connection, 0, 1001)).await;
    let reply = client.ask(&announce(connection, 9, 1002)).await;
    let Reply::Announce { peers, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(peers, ["[::1]:1001".parse().unwrap()]);
}

#[tokio::test]
async fn forged_connection_ids_get_no_answer() {
    let served = Served::start(ServerConfig::default(), None).await;
    let client = Client::new(&served, "127.0.0.1:0").await;
    let good = client.connect().await;
    let encode = |connection| {
        let mut datagram = Vec::new();
        announce(connection, 0, 1001).encode(&mut datagram);
        let info_hashes = vec![InfoHash([7; 20]); 70];
        let mut scrape = Vec::new();
        Request::Scrape { connection, transaction: TRANSACTION, info_hashes }.encode(&mut scrape);
        [datagram, scrape]
    };
    let forged = [0, u64::MAX, 0x0417_2710_1980, good.0 ^ 1, good.0 ^ (1 << 60)];
    let datagrams: Vec<Vec<u8>> =
        forged.into_iter().flat_map(|id| encode(ConnectionId(id))).collect();
    assert_eq!(client.bytes_back(&datagrams).await, 0);
    // That of another address is one of them.
    let other = Client::new(&served, "127.0.0.2:0").await;
    assert_eq!(other.bytes_back(&encode(good)).await, 0);
    let stats = served.get("/stats").await.json();
    assert_eq!((stats["udp"]["forged"].as_u64(), stats["peers"].as_u64()), (Some(12), Some(0)));
    assert!(client.bytes_back(&encode(good)).await > 0, "its own is good");
}

#[tokio::test]
async fn noise_is_never_answered_with_more() {
    let served = Served::start(ServerConfig::default(), None).await;
    let client = Client::new(&served, "127.0.0.1:0").await;
    let mut datagrams: Vec<Vec<u8>> = (0..120).map(|len| vec![0; len]).collect();
    let mut connect = Vec::new();
    Request::Connect { transaction: TRANSACTION }.encode(&mut connect);
    datagrams.extend((1..16).map(|len| connect[..len].to_vec()));
    datagrams.push([&connect[..8], &[0, 0, 0, 3], &connect[12..]].concat());
    assert_eq!(client.bytes_back(&datagrams).await, 0);
    assert_eq!(client.bytes_back(&[connect]).await, 16);
}

#[tokio::test]
async fn a_flood_leaves_bounded_memory_and_others_served() {
    let mut config = ServerConfig::default();
    config.limits.peers = 1000;
    config.limits.swarms = 100;
    let served = Served::start(config, None).await;
    let client = Client::new(&served, "127.0.0.1:0").await;
    let connection = client.connect().await;
    for number in 0..20_000_u32 {
        let mut request = announce(connection, 1, (number % 60_000 + 1) as u16);
        if let Request::Announce { announce, .. } = &mut request {
            announce.info_hash.0[..4].copy_from_slice(&(number % 300).to_be_bytes());
        }
        let mut datagram = Vec::new();
        request.encode(&mut datagram);
        // The system may have no room for it; a flood does not care.
        let _ = client.socket.send(&datagram).await;
        tokio::task::yield_now().await;
    }
    let stats = served.get("/stats").await.json();
    assert!(stats["peers"].as_u64().unwrap() <= 1000, "{stats}");
    assert!(stats["torrents"].as_u64().unwrap() <= 100, "{stats}");
    let page = served.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("default-src 'none'") && page.head.contains("nosniff"),
        "{}",
        page.head
    );
    let metrics = served.get("/metrics").await.text();
    assert!(metrics.contains("\npigeon_tracker_announces_total{transport=\"udp\"} "), "{metrics}");
}

#[tokio::test]
async fn idle_connections_make_room_for_those_who_ask() {
    let served = Served::start(ServerConfig::default(), None).await;
    let mut idle = Vec::new();
    // More than there are places; below the descriptors that this test may have.
    for _ in 0..(800 + 50).min(descriptors().saturating_sub(1000).max(100)) {
        idle.push(TcpStream::connect(served.http).await.unwrap());
    }
    let asked = Instant::now();
    assert_eq!(served.get("/stats").await.status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// A catalogue whose list is longer than what the system holds of an answer.
fn long_catalogue(dir: &std::path::Path) -> Library {
    let lines: Vec<_> = (0..1000_u16)
        .map(|number| {
            let mut bytes = super::served::torrent(0);
            let end = bytes.len() - 2;
            bytes[end - 2..end].copy_from_slice(&number.to_be_bytes());
            let parsed = crate::metainfo::Torrent::parse(&bytes).unwrap();
            let info_hash = parsed.info_hash_v1.unwrap().to_string();
            std::fs::write(dir.join(format!("{info_hash}.torrent")), bytes).unwrap();
            let name = format!("{number:04}-{}", "\"".repeat(250));
            serde_json::json!({ "name": name, "info_hash": info_hash, "added_s": 0 })
        })
        .collect();
    let index = serde_json::json!({ "version": 1, "torrents": lines });
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    let (library, damaged) = super::served::open(dir, CatalogueLimits::default(), None);
    assert_eq!(damaged, [""; 0]);
    library
}

#[tokio::test]
async fn slow_readers_do_not_hold_the_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(ServerConfig::default(), Some(long_catalogue(dir.path()))).await;
    let mut slow = Vec::new();
    for number in 0..20_u16 {
        // Each of them gets another list, for somebody has come since.
        let hash = urlencoding::encode_binary(&super::served::info_hash(0)).into_owned();
        let query =
            format!("info_hash={hash}&peer_id={}&port={}&left=1", "x".repeat(20), number + 1);
        served.get(&format!("/announce?{query}")).await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(served.http).await.unwrap();
        stream.write_all(b"GET /catalogue HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        slow.push(stream);
    }
    let asked = Instant::now();
    let list = served.get("/catalogue").await;
    assert_eq!((list.status, list.body.len() > 1 << 19), (200, true), "{} bytes", list.body.len());
    let name =
        urlencoding::encode(list.json()["torrents"][7]["name"].as_str().unwrap()).into_owned();
    assert_eq!(served.get(&format!("/catalogue/{name}")).await.status, 200);
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    // Those who take nothing are let go.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    for mut stream in slow {
        let mut rest = Vec::new();
        // The system may tell it as a reset.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.len() < list.body.len(), "{} bytes came", rest.len());
    }
}

#[tokio::test]
async fn the_page_shows_the_largest_of_any_number_of_swarms() {
    let served = Served::start(ServerConfig::default(), None).await;
    let client = Client::new(&served, "127.0.0.1:0").await;
    let connection = client.connect().await;
    for number in 0..1000_u16 {
        // The first swarm is the largest.
        let mut request = announce(connection, 1, number + 1);
        if let Request::Announce { announce, .. } = &mut request
            && number % 2 == 0
        {
            announce.info_hash.0[..2].copy_from_slice(&number.to_be_bytes());
        }
        client.ask(&request).await;
    }
    let page = served.get("/").await.text();
    let first = page.find(&"07".repeat(20)).expect("the largest one");
    assert_eq!(page[..first].matches("<code>").count(), 2, "it is the first");
    assert!(page.contains("301 smaller ones are not shown"), "{page}");
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024)
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_ends_after_ten_seconds() {
    let served = Served::start(ServerConfig::default(), None).await;
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    let began = Instant::now();
    stream.write_all(b"GET /announce HTTP/1.1\r\nX").await.unwrap();
    let mut answer = Vec::new();
    // The server may take the connection back.
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(began.elapsed().as_secs(), 10);

    // Between two requests as well.
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    stream.write_all(b"GET /style.css HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test]
async fn heads_and_queries_have_an_end() {
    let served = Served::start(ServerConfig::default(), None).await;
    let long = format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    assert_eq!(served.send(&long, b"").await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(served.send(&many, b"").await.status, 431);
    let seventy_one: String =
        (0..71).map(|n| format!("&info_hash=%{n:02x}{}", "x".repeat(19))).collect();
    let refused = served.get(&format!("/scrape?{}", &seventy_one[1..])).await.text();
    assert_eq!(refused, "d14:failure reason35:a scrape is for at most 70 torrentse");
    assert!(served.get("/scrape").await.text().starts_with("d14:failure reason"));
    assert!(served.get("/scrape?info_hash=x").await.text().contains("not 20 bytes"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn queries_of_strangers_are_answered_in_bencode(query in "[ -~&&[^# ]]{0,300}") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let served = Served::start(ServerConfig::default(), None).await;
            for path in ["announce", "scrape"] {
                let answer = served.get(&format!("/{path}?{query}")).await;
                assert!(answer.status == 400 || answer.body.starts_with(b"d"), "{answer:?}");
            }
        });
    }
}
