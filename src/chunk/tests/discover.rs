//! Looking for trackers over real sockets, among honest and other answers.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};

use crate::chunk::config::Live;
use crate::chunk::discover::{Error, discover};
use crate::chunk::tracker::{Listing, bind_discovery, serve};
use crate::chunk::wire::TrackerInfo;
use crate::net::egress::Egress;

/// Long enough for machines that are busy with other tests.
const WAIT: Duration = Duration::from_millis(800);

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("{address} is no IPv4 address"),
    }
}

/// TRACKER_INFO for an address of a network that does not exist, called `T`.
fn info(last: u8, port: u16) -> Vec<u8> {
    info_of([192, 0, 2, last], port)
}

fn info_of(ip: [u8; 4], port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&[1, 1, 0, 0, 0, 0, 0, 5][..], &ip, &[high, low, 0, 1, b'T', 9, 9, 9]].concat()
}

fn found(last: u8, port: u16) -> TrackerInfo {
    let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), port);
    TrackerInfo { address, name: "T".to_owned() }
}

/// Answers the question that comes after `unanswered` others with all of `answers`; where it
/// does so.
async fn answer(unanswered: usize, answers: Vec<Vec<u8>>) -> SocketAddrV4 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = v4(socket.local_addr().unwrap());
    tokio::spawn(async move {
        let mut question = [0; 64];
        for number in 0.. {
            let (len, asker) = socket.recv_from(&mut question).await.unwrap();
            assert_eq!(question[..len], [1, 0, 0, 0, 0, 0, 0, 2]);
            if number < unanswered {
                continue;
            }
            for answer in &answers {
                socket.send_to(answer, asker).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn two_trackers_share_a_port_and_both_are_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("peers.ini"), "").unwrap();
    let file = "[description]\nfilename = a\nchunks_count = 0\n[chunks]\n[chunks_peers]\n";
    fs::write(dir.path().join("file.ini"), file).unwrap();
    let mut port = 0;
    let mut expected = BTreeSet::new();
    for name in ["one", "zwei Тракер"] {
        let listing = Listing::new(Live::open(dir.path()).unwrap()).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = bind_discovery(port).unwrap();
        port = udp.local_addr().unwrap().port();
        expected.insert((v4(tcp.local_addr().unwrap()), name.to_owned()));
        tokio::spawn(serve(tcp, udp, listing, name.to_owned(), std::future::pending()));
    }
    // The broadcast address of this machine's own network.
    let target = SocketAddrV4::new(Ipv4Addr::new(127, 255, 255, 255), port);
    let trackers = discover(&Egress::default(), target, WAIT).await.unwrap();
    assert_eq!(trackers.len(), 2, "{trackers:?}");
    let trackers: BTreeSet<_> = trackers.into_iter().map(|it| (it.address, it.name)).collect();
    assert_eq!(trackers, expected);
}

#[tokio::test]
async fn only_usable_addresses_count_and_each_once() {
    let answers = vec![
        vec![],
        vec![0xff; 9000],
        vec![1, 6, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0],
        vec![1, 0, 0, 0, 0, 0, 0, 2],
        info(1, 0),
        info_of([0, 0, 0, 0], 80),
        info_of([255, 255, 255, 255], 80),
        info_of([224, 0, 0, 1], 80),
        // Its name breaks off, and is not UTF-8.
        info(1, 80)[..16].to_vec(),
        [&info(1, 80)[..16], &[0xff, 0, 0, 0]].concat(),
        [info(1, 80), vec![0; 4]].concat(),
        info(7, 8000),
        info(7, 8000),
        info(7, 8001),
        info(3, 8000),
    ];
    let trackers = discover(&Egress::default(), answer(0, answers).await, WAIT).await.unwrap();
    assert_eq!(trackers, [found(7, 8000), found(7, 8001), found(3, 8000)]);
}

#[tokio::test]
async fn a_question_that_was_lost_is_asked_again() {
    let target = answer(2, vec![info(1, 80)]).await;
    // Three questions, the last one after half a second.
    let trackers = discover(&Egress::default(), target, Duration::from_millis(1500)).await.unwrap();
    assert_eq!(trackers, [found(1, 80)]);
}

#[tokio::test]
async fn a_flood_of_trackers_ends_the_search() {
    let flood = (1..=100).map(|last| info(last, 80)).collect();
    let asked = tokio::time::Instant::now();
    let trackers = discover(&Egress::default(), answer(0, flood).await, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(trackers.len(), 64);
    assert!(asked.elapsed().as_secs() < 50);
}

#[tokio::test]
async fn nobody_is_no_error_and_no_way_is_one() {
    let silent = answer(usize::MAX, Vec::new()).await;
    assert_eq!(discover(&Egress::default(), silent, Duration::from_millis(50)).await.unwrap(), []);
    // Nothing can be sent to port 0.
    let nowhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let error = discover(&Egress::default(), nowhere, WAIT).await.unwrap_err();
    assert!(matches!(error, Error::Send { target, .. } if target == nowhere));
    assert!(error.to_string().contains("--broadcast ADDR"), "{error}");
}
