//! The tracker over real sockets, byte for byte: the list over TCP, being discovered over
//! UDP, and files that change meanwhile.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::client::{
    Client, DISCOVER_TRACKER, GET_FILE_INFO, MALFORMED, NO_REQUEST, PATIENCE, chunk, get_chunk,
};
use crate::chunk::config::Live;
use crate::chunk::tracker::{Listing, bind_discovery, serve};

const PEERS: &str = "[tracker]\nip_address = 127.0.0.1\nport_number = 8000\n\n\
    [alice]\nip_address = 127.0.0.1\nport_number = 8001\n\n\
    [bob]\nip_address = 10.1.2.3\nport_number = 8002\n";
const FILE: &str = "[description]\nfilename = test.txt\nchunks_count = 3\n\n[chunks]\n\
    0 = 7b1c9c5713f25e3ff8f1d84b6dfa01045f67fcc7\n\
    1 = 9473c0216c709b1d24e8089626900a0343cdee36\n\
    2 = bd0be5d2b74e26ec4430c23c806dfd646e610cbb\n\n\
    [chunks_peers]\n0 = alice\n1 = alice, bob\n2 = \n";
/// FILE_INFO of both: chunks_count 3, filename_length 8, and no padding behind "test.txt".
const LIST: &str = "010300000000001d000300087465737\
    42e747874\
    7b1c9c5713f25e3ff8f1d84b6dfa01045f67fcc700010000\
    7f0000011f410000\
    9473c0216c709b1d24e8089626900a0343cdee3600020000\
    7f0000011f410000\
    0a0102031f420000\
    bd0be5d2b74e26ec4430c23c806dfd646e610cbb00000000";

fn list() -> Vec<u8> {
    data_encoding::HEXLOWER.decode(LIST.as_bytes()).unwrap()
}

/// FILE_INFO of a file without chunks, its name of one letter.
fn empty_list(name: u8) -> Vec<u8> {
    vec![1, 3, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, name, 0, 0, 0]
}

fn empty_file(name: &str) -> String {
    format!("[description]\nfilename = {name}\nchunks_count = 0\n[chunks]\n[chunks_peers]\n")
}

/// A tracker on ports of its own, and its files.
struct Tracker {
    tcp: SocketAddr,
    udp: SocketAddr,
    dir: TempDir,
}

impl Tracker {
    async fn start() -> Self {
        Self::start_on("127.0.0.1:0", "T1").await
    }

    async fn start_on(address: &str, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("peers.ini"), PEERS).unwrap();
        fs::write(dir.path().join("file.ini"), FILE).unwrap();
        let listing = Listing::new(Live::open(dir.path()).unwrap()).unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let tcp = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let socket = bind_discovery(0).unwrap();
        let udp = SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
        let end = std::future::pending();
        tokio::spawn(serve(listener, socket, listing, name.to_owned(), end));
        Self { tcp, udp, dir }
    }

    fn write(&self, name: &str, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.dir.path().join(name)).unwrap();
    }

    /// TRACKER_INFO of this tracker, called T1.
    fn info(&self) -> Vec<u8> {
        let [high, low] = self.tcp.port().to_be_bytes();
        vec![1, 1, 0, 0, 0, 0, 0, 5, 127, 0, 0, 1, high, low, 0, 2, b'T', b'1', 0, 0]
    }
}

#[tokio::test]
async fn the_list_is_sent_byte_for_byte_however_it_is_asked_for() {
    let tracker = Tracker::start().await;
    let mut client = Client::connect(tracker.tcp).await;
    client.ask(&GET_FILE_INFO, &list()).await;
    for byte in [1, 2, 0xaa, 0xbb, 0, 0, 0, 2] {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(&list()).await;
    client.ask(&GET_FILE_INFO.repeat(100), &list().repeat(100)).await;
}

#[tokio::test]
async fn each_fault_has_its_code_and_the_connection_goes_on() {
    let tracker = Tracker::start().await;
    let cases: [(Vec<u8>, [u8; 12]); 11] = [
        (get_chunk([7; 20]), NO_REQUEST),
        (DISCOVER_TRACKER.to_vec(), NO_REQUEST),
        (MALFORMED.to_vec(), NO_REQUEST),
        (tracker.info(), NO_REQUEST),
        (list(), NO_REQUEST),
        (chunk([7; 20], b"abcde"), NO_REQUEST),
        (vec![0, 2, 0, 0, 0, 0, 0, 2], MALFORMED),
        (vec![1, 7, 0, 0, 0, 0, 0, 2], MALFORMED),
        (vec![1, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0], MALFORMED),
        (vec![1, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0], MALFORMED),
        // A list that claims a chunk it does not have.
        (vec![1, 3, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0], MALFORMED),
    ];
    let mut client = Client::connect(tracker.tcp).await;
    for (request, error) in &cases {
        client.ask(request, error).await;
        client.ask(&GET_FILE_INFO, &list()).await;
    }
    for len in [0, 1] {
        let mut client = Client::connect(tracker.tcp).await;
        client.ask(&[1, 2, 0, 0, 0, 0, 0, len], &MALFORMED).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn changed_files_count_and_broken_ones_do_not() {
    let tracker = Tracker::start().await;
    let mut client = Client::connect(tracker.tcp).await;
    client.ask(&GET_FILE_INFO, &list()).await;
    tracker.write("file.ini", &empty_file("a"));
    client.ask(&GET_FILE_INFO, &empty_list(b'a')).await;
    tracker.write("file.ini", "[description");
    client.ask(&GET_FILE_INFO, &empty_list(b'a')).await;
    // Well-formed, but nobody is called carol.
    tracker.write("file.ini", &FILE.replace("0 = alice", "0 = carol"));
    client.ask(&GET_FILE_INFO, &empty_list(b'a')).await;
    fs::remove_file(tracker.dir.path().join("file.ini")).unwrap();
    client.ask(&GET_FILE_INFO, &empty_list(b'a')).await;
    tracker.write("file.ini", FILE);
    client.ask(&GET_FILE_INFO, &list()).await;
    // The other file counts as well.
    tracker.write("peers.ini", &PEERS.replace("10.1.2.3", "10.1.2.4"));
    let moved = LIST.replace("0a010203", "0a010204");
    let moved = data_encoding::HEXLOWER.decode(moved.as_bytes()).unwrap();
    client.ask(&GET_FILE_INFO, &moved).await;
}

#[tokio::test]
async fn a_list_with_unknown_providers_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("peers.ini"), PEERS).unwrap();
    fs::write(dir.path().join("file.ini"), FILE.replace("0 = alice", "0 = carol")).unwrap();
    let error = Listing::new(Live::open(dir.path()).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("[chunks_peers] 0: names carol"), "{error}");
}

/// Sends a datagram and expects one.
async fn ask(socket: &UdpSocket, tracker: SocketAddr, datagram: &[u8], expected: &[u8]) {
    socket.send_to(datagram, tracker).await.unwrap();
    let mut bytes = vec![0; 1 << 16];
    let received = timeout(PATIENCE, socket.recv_from(&mut bytes)).await;
    let (len, _) = received.expect("the tracker answers").unwrap();
    assert_eq!(bytes[..len], *expected, "to {:?}", &datagram[..datagram.len().min(32)]);
}

#[tokio::test]
async fn each_datagram_has_one_answer() {
    let tracker = Tracker::start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let info = tracker.info();
    ask(&socket, tracker.udp, &DISCOVER_TRACKER, &info).await;
    ask(&socket, tracker.udp, &[1, 0, 7, 7, 0, 0, 0, 2], &info).await;
    for no_request in [GET_FILE_INFO.to_vec(), get_chunk([1; 20]), info.clone(), list()] {
        ask(&socket, tracker.udp, &no_request, &NO_REQUEST).await;
    }
    let malformed: [&[u8]; 9] = [
        &[],
        &[1],
        &[1, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 2],
        &[1, 7, 0, 0, 0, 0, 0, 2],
        &[1, 0, 0, 0, 0, 0, 0, 3],
        &[1, 0, 0, 0, 0, 0, 0, 2, 0],
        // A datagram is one message.
        &[1, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 2],
        &[0xff; 60_000],
    ];
    for datagram in malformed {
        ask(&socket, tracker.udp, datagram, &MALFORMED).await;
    }
}

#[tokio::test]
async fn an_error_is_never_answered_over_udp() {
    let tracker = Tracker::start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let errors: [&[u8]; 4] = [&MALFORMED, &NO_REQUEST, &[1, 6, 0, 0, 0, 0, 0, 2], &[9, 6]];
    for error in errors {
        socket.send_to(error, tracker.udp).await.unwrap();
        // The next answer that comes is that to the next question.
        ask(&socket, tracker.udp, &DISCOVER_TRACKER, &tracker.info()).await;
    }
}

#[tokio::test]
async fn a_flood_of_one_host_gets_a_hundred_answers_a_second_and_others_theirs() {
    let tracker = Tracker::start().await;
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // A few at a time: what the system has no room for is not the tracker's doing.
    let (mut answers, mut bytes) = (0_u64, [0; 64]);
    let began = std::time::Instant::now();
    for _ in 0..50 {
        for _ in 0..10 {
            flood.send_to(&DISCOVER_TRACKER, tracker.udp).await.unwrap();
        }
        let soon = std::time::Duration::from_millis(2);
        while timeout(soon, flood.recv_from(&mut bytes)).await.is_ok() {
            answers += 1;
        }
    }
    // On a slow machine more than one second is over.
    let most = 100 * (began.elapsed().as_secs() + 1);
    assert!((100..=most).contains(&answers), "{answers} answers");
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    ask(&other, tracker.udp, &DISCOVER_TRACKER, &tracker.info()).await;
}

#[tokio::test]
async fn a_tracker_on_every_address_names_the_one_it_is_reached_at() {
    let tracker = Tracker::start_on("0.0.0.0:0", "T1").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ask(&socket, tracker.udp, &DISCOVER_TRACKER, &tracker.info()).await;
}

#[tokio::test]
async fn a_name_too_long_for_a_message_is_left_out() {
    let tracker = Tracker::start_on("127.0.0.1:0", &"x".repeat(65_536)).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut info = tracker.info();
    info.truncate(16);
    (info[7], info[15]) = (4, 0);
    ask(&socket, tracker.udp, &DISCOVER_TRACKER, &info).await;
}
