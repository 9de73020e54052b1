//! One object makes all sockets, and fails closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::net::Error;

const LIMIT: Duration = Duration::from_secs(5);

fn egress(device: &str) -> Egress {
    Egress::new(Policy { device: Some(device.to_owned()), ..Policy::default() })
}

#[tokio::test]
async fn without_the_device_no_socket_is_made() {
    let egress = egress("tun77");
    let held = |error: Error| match error {
        Error::Held { why } => why,
        other => panic!("{other}"),
    };
    let why = "waits for tun77: there is no such device";
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    assert_eq!(held(egress.connect(&to.into(), Purpose::Peer, LIMIT).await.unwrap_err()), why);
    let unbound = held(egress.socket(true, false).map(|_| ()).unwrap_err());
    assert!(unbound.starts_with("waits for tun77: "), "{unbound}");
    assert_eq!(held(egress.datagrams(Purpose::Course, to).map(|_| ()).unwrap_err()), why);
    assert_eq!(held(egress.addresses().unwrap_err()), why);
    let looked_up = egress.lookup("tracker.example", 80, Purpose::Tracker, LIMIT).await;
    assert_eq!(held(looked_up.unwrap_err()), why);
    assert_eq!(egress.standing().state, State::Waiting(why.to_owned()));
}

#[tokio::test]
async fn peers_that_are_to_go_through_a_proxy_go_nowhere_without_one() {
    let egress = Egress::new(Policy { only_peers: true, ..Policy::default() });
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let held = |error| matches!(error, Error::Held { .. });
    assert!(held(egress.connect(&to.into(), Purpose::Peer, LIMIT).await.unwrap_err()));
    assert!(held(egress.socket(true, false).map(|_| ()).unwrap_err()));
}

#[tokio::test]
async fn sockets_are_bound_to_the_device_and_its_address() {
    let egress = egress("lo");
    let socket = egress.socket(true, true).unwrap();
    assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let stream = egress.connect(&to.into(), Purpose::Peer, LIMIT).await.unwrap();
    assert!(stream.nodelay().unwrap());
    assert_eq!(stream.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn what_cannot_go_through_a_proxy_is_off() {
    let with = |url: &str, only_peers| {
        let policy = Policy { proxy: url.parse().ok(), only_peers, ..Policy::default() };
        let egress = Egress::new(policy);
        assert!(!egress.listens());
        let off = |purpose: &Purpose| egress.off(*purpose).is_some();
        Purpose::ALL.into_iter().filter(off).collect::<Vec<_>>()
    };
    use Purpose::{Dht, Lsd, PortMap};
    assert_eq!(with("socks5://192.0.2.1:1080", false), [Lsd, PortMap]);
    assert_eq!(with("http://192.0.2.1:3128", false), [Dht, Lsd, PortMap]);
    assert_eq!(with("http://192.0.2.1:3128", true), [Lsd, PortMap]);
    assert!(Purpose::ALL.iter().all(|purpose| Egress::default().off(*purpose).is_none()));
}
