//! The embedded tracker over real sockets, asked by hand and by our own client's formats.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::tracker::announce::{Error, PeerAddr};
use crate::tracker::http::parse_reply;
use crate::tracker::server::{ServerConfig, serve};

async fn start(bind: &str) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind(bind).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let config = ServerConfig { interval_s: 77, min_interval_s: Some(5), ..Default::default() };
    tokio::spawn(serve(listener, config, async {
        let _ = stopped.await;
    }));
    (address, stop)
}

async fn ask(address: SocketAddr, target: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap(), body)
}

fn target(peer: u8, port: u16, rest: &str) -> String {
    let peer = char::from(peer).to_string().repeat(20);
    format!("/announce?info_hash=%00%ff%2Fabcdefghijklmnopq&peer_id={peer}&port={port}{rest}")
}

#[tokio::test]
async fn peers_meet_in_both_forms() {
    let (address, _stop) = start("127.0.0.1:0").await;
    let (head, body) = ask(address, &target(b'a', 1001, "&left=0&compact=1")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(
        body,
        b"d8:completei1e10:downloadedi0e11:external ip4:\x7f\0\0\x0110:incompletei0e8:intervali77e\
          12:min intervali5e5:peers0:e"
    );
    let (_, body) = ask(address, &target(b'b', 1002, "&left=9&compact=1")).await;
    let reply = parse_reply(&body).unwrap();
    assert_eq!(reply.peers, [PeerAddr::Socket("127.0.0.1:1001".parse().unwrap())]);
    assert_eq!((reply.complete, reply.incomplete), (Some(1), Some(1)));

    let (_, body) = ask(address, &target(b'c', 1003, "&left=9&compact=0&numwant=9")).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("2:ip9:127.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti1001e"), "{text}");
    assert_eq!(parse_reply(&body).unwrap().peers.len(), 2);
    let (_, body) = ask(address, &target(b'c', 1003, "&left=9&compact=0&no_peer_id=1")).await;
    assert!(!String::from_utf8_lossy(&body).contains("peer id"));

    ask(address, &target(b'a', 1001, "&left=0&event=stopped")).await;
    let (_, body) = ask(address, &target(b'c', 1003, "&left=9")).await;
    let reply = parse_reply(&body).unwrap();
    assert_eq!(reply.peers, [PeerAddr::Socket("127.0.0.1:1002".parse().unwrap())]);
}

#[tokio::test]
async fn ipv6_peers_come_apart() {
    let Ok(probe) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    drop(probe);
    let (address, _stop) = start("[::1]:0").await;
    ask(address, &target(b'a', 1001, "&left=0")).await;
    let (_, body) = ask(address, &target(b'b', 1002, "&left=1")).await;
    let six = b"5:peers0:6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x03\xe9e";
    assert!(body.ends_with(six), "{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn mistakes_are_explained() {
    let (address, stop) = start("127.0.0.1:0").await;
    let good = target(b'a', 1, "");
    let cases = [
        ("/announce", "info_hash is missing or not 20 bytes"),
        ("/announce?info_hash=short", "info_hash is missing or not 20 bytes"),
        (&good.replace("peer_id", "id"), "peer_id is missing or not 20 bytes"),
        (&good.replace("port", "p"), "port is missing or not between 0 and 65535"),
        (&good.replace("port=1", "port=70000"), "port is missing or not between 0 and 65535"),
        (&format!("{good}&left=-1"), "left is not a number"),
        (&format!("{good}&event=gone"), "event is not started, completed or stopped"),
        (&format!("{good}&x={}", "y".repeat(3000)), "the announce is too long"),
    ];
    for (target, reason) in cases {
        let (_, body) = ask(address, target).await;
        let expected = Error::Refused { reason: reason.to_owned(), retry_in: None };
        assert_eq!(parse_reply(&body), Err(expected), "{target}");
    }
    assert!(ask(address, "/other").await.0.starts_with("HTTP/1.1 404"));
    drop(stop);
}
