//! Hostile UDP trackers: each alone with a peer that the user named, and each before an honest
//! HTTP tracker of the next tier.

use std::net::UdpSocket;
use std::sync::Arc;

use super::trackers::judged;
use super::{HONEST_RATE, PAYLOAD, all, run};
use crate::mock_tracker::{MockTracker, Script};
use crate::mock_udp_tracker::{ANNOUNCE, Asked, CONNECT, CONNECTION, MockUdpTracker, SCRAPE};
use crate::seeder::Seeder;

type Answer = fn(&Asked<'_>);

const KINDS: [(&str, Answer); 17] = [
    ("is silent", |_| ()),
    ("answers another transaction", |asked| {
        let mut reply = connected(asked);
        reply[4] ^= 0x80;
        asked.send(&reply);
    }),
    ("answers from another port", |asked| {
        let other = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        // The client may have gone.
        let _ = other.send_to(&connected(asked), asked.from);
    }),
    ("sends seven bytes", |asked| asked.send(&[0; 7])),
    ("sends nothing in a datagram", |asked| asked.send(b"")),
    ("cuts its connect reply", |asked| asked.send(&connected(asked)[..15])),
    ("cuts its announce reply", |asked| match asked.action() {
        CONNECT => asked.connected(),
        _ => asked.send(&asked.head(ANNOUNCE)),
    }),
    ("injects escapes", |asked| asked.error(b"\x1b]0;pwned\x07\x1b[2J\r\n\xe2\x80\xae")),
    ("floods with junk", |asked| {
        let junk: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; 512]).collect();
        (0..20).for_each(|_| junk.iter().for_each(|junk| asked.send(junk)));
    }),
    ("forgets every connection", |asked| match asked.action() {
        CONNECT => {
            let id = (asked.count as u64).to_be_bytes();
            asked.send(&[asked.head(CONNECT).as_slice(), &id].concat());
        }
        _ => asked.error(b"connection id unknown"),
    }),
    ("connects for ever", |asked| asked.connected()),
    ("answers an announce with a scrape", |asked| match asked.action() {
        CONNECT => asked.connected(),
        _ => asked.send(&[asked.head(SCRAPE), vec![1; 12]].concat()),
    }),
    ("sends the request back", |asked| asked.send(asked.request)),
    ("has an interval of 0", |asked| match asked.action() {
        CONNECT => asked.connected(),
        _ => asked.peers(0, b""),
    }),
    ("has an endless interval", |asked| match asked.action() {
        CONNECT => asked.connected(),
        _ => asked.peers(u32::MAX, b""),
    }),
    ("names only unusable peers", |asked| asked.honest(&[127, 0, 0, 1, 0, 0].repeat(3))),
    ("invents peers", |asked| {
        let peer = |number: u16| {
            let [high, low] = number.to_be_bytes();
            [127, 9, high, low, 0, 1]
        };
        let peers: Vec<u8> = (0..10_000).flat_map(peer).collect();
        asked.honest(&peers);
    }),
];

fn connected(asked: &Asked<'_>) -> Vec<u8> {
    [asked.head(CONNECT).as_slice(), &CONNECTION].concat()
}

/// A connect and what follows it count as one announce.
fn announces(tracker: &MockUdpTracker) -> usize {
    let requests = tracker.requests();
    let of = |action| requests.iter().filter(|request| request.get(11) == Some(&action)).count();
    of(CONNECT).max(of(ANNOUNCE))
}

#[test]
fn no_misbehaviour_of_a_udp_tracker_stops_a_download_from_a_named_peer() {
    all(KINDS.len(), |index| {
        let (name, answer) = KINDS[index];
        let tracker = MockUdpTracker::start(answer);
        let seeder = Seeder::start(Arc::clone(&PAYLOAD), Some(HONEST_RATE));
        let outcome = run(&[seeder.address()], &["--tracker", &tracker.url()], |_| ());
        judged(&format!("{name} (udp)"), outcome, announces(&tracker))
    });
}

#[test]
fn behind_a_udp_tracker_that_misbehaves_the_next_tier_is_asked() {
    all(KINDS.len(), |index| {
        let (name, answer) = KINDS[index];
        let tracker = MockUdpTracker::start(answer);
        let seeder = Seeder::start(Arc::clone(&PAYLOAD), Some(HONEST_RATE));
        let honest =
            MockTracker::start(vec![Script::peer([127, 0, 0, 1], seeder.address().port())]);
        let urls = ["--tracker", &tracker.url(), "--tracker", &honest.url()];
        judged(&format!("{name} (udp)"), run(&[], &urls, |_| ()), announces(&tracker))
    });
}

#[test]
fn a_udp_tracker_that_behaves_names_its_peers() {
    let seeder = Seeder::start(Arc::clone(&PAYLOAD), Some(HONEST_RATE));
    let [high, low] = seeder.address().port().to_be_bytes();
    let tracker = MockUdpTracker::start(move |asked| asked.honest(&[127, 0, 0, 1, high, low]));
    // UDP trackers are often written without a path.
    let outcome = run(&[], &["--tracker", &tracker.url_of("")], |_| ());
    judged("behaves (udp)", outcome, announces(&tracker)).unwrap_or_else(|why| panic!("{why}"));
}
