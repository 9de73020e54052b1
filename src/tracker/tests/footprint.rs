//! What a torrent that is announced takes in memory: a process of its own, so that nothing else
//! counts.

use std::fs;
use std::time::Duration;

use pigeon_base::base::ids::{InfoHash, PeerId};
use pigeon_net::net::egress::Egress;
use pigeon_net::net::portmap::OwnPorts;
use pigeon_tracker::tracker::task::{
    Announcer, AnnouncerConfig, Entry, NetworkTiming, QUIET_DEFAULT, TrackerConfig, TrackerEvent,
    TransferStats, http_client,
};
use pigeon_tracker::tracker::tiers::Timing;
use pigeon_tracker::tracker::tiers::status::TrackerState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Before it is measured, so that what is there once does not count.
const BEFORE: u32 = 1000;
const COUNT: u32 = 4000;
/// A little over what is measured, 1015 bytes with all that the allocator adds.
const MOST_BYTES: usize = 1100;

const SEED: TransferStats = TransferStats {
    uploaded: 0,
    downloaded: 0,
    corrupt: 0,
    redundant: 0,
    left: 0,
    wanted_left: 0,
    peers_connected: 0,
    working_peers: 0,
    is_paused: false,
};

/// Memory of this process.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 62\r\n\r\n\
        d8:completei1e10:incompletei0e8:intervali1800e5:peers6:\x7f\0\0\x01\0\x01e";
    stream.write_all(reply).await.unwrap();
}

/// Enters so many one after the other, each when the one before has announced.
async fn enter(announcer: &Announcer, url: &str, numbers: std::ops::Range<u32>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(numbers.len());
    for number in numbers {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        let config = TrackerConfig {
            tiers: vec![vec![url.to_owned()]],
            info_hash: InfoHash(hash),
            key: number,
            numwant: 100,
            is_private: false,
            was_complete: true,
            rng_seed: number.into(),
        };
        let (news, mut events) = mpsc::channel(4);
        let entry = announcer.enter(config, SEED, Some(news));
        loop {
            let event = timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap();
            if let TrackerEvent::Status(all) = event
                && all[0].state == TrackerState::Working
            {
                break;
            }
        }
        entry.listen(None);
        while events.recv().await.is_some() {}
        entries.push(entry);
    }
    entries
}

#[tokio::test]
async fn a_torrent_that_sleeps_takes_about_a_kibibyte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    let network = NetworkTiming::by(Egress::default());
    let announcer = Announcer::start(AnnouncerConfig {
        peer_id: PeerId([2; 20]),
        ports: OwnPorts::fixed(6881, 6881),
        supports_crypto: false,
        requires_crypto: false,
        client: http_client(&network).unwrap(),
        udp: None,
        timing: Timing::default(),
        network,
        quiet: QUIET_DEFAULT,
    });
    let _before = enter(&announcer, &url, 0..BEFORE).await;
    let before = resident_bytes();
    let _measured = enter(&announcer, &url, BEFORE..BEFORE + COUNT).await;
    let each = resident_bytes().saturating_sub(before) / COUNT as usize;
    eprintln!("{each} bytes each");
    assert!(each <= MOST_BYTES, "{each} bytes each");
}
