//! The machine of UDP exchanges in virtual time: datagrams in, exact lists of outputs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::ids::InfoHash;
use crate::tracker::announce::Family;
use crate::tracker::exchange::{Ask, CallId, Exchanges, Output, RETRY};
use crate::tracker::udp::{ConnectionId, Reply, Request, TransactionId};

struct World {
    exchanges: Exchanges,
    start: Instant,
    now: Instant,
    /// The last datagram that left.
    last: Option<(SocketAddr, Request)>,
    transactions: Vec<u32>,
}

fn tracker() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 80))
}

fn ask() -> Ask {
    Ask::Scrape(vec![InfoHash([7; 20])])
}

fn refused(words: &str) -> String {
    format!("0 failed: tracker refused: {words}")
}

impl World {
    fn new() -> Self {
        let start = Instant::now();
        let exchanges = Exchanges::new(RETRY, StdRng::seed_from_u64(3));
        Self { exchanges, start, now: start, last: None, transactions: Vec::new() }
    }

    fn begin(&mut self, call: u64) -> Vec<String> {
        self.begin_at(call, vec![tracker()])
    }

    fn begin_at(&mut self, call: u64, addresses: Vec<SocketAddr>) -> Vec<String> {
        self.exchanges.begin(CallId(call), addresses, ask(), self.now);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(output) = self.exchanges.poll_output() {
            all.push(match output {
                Output::Send { call, to, datagram } => {
                    let request = Request::decode(&datagram).expect("a request");
                    let words = match &request {
                        Request::Connect { .. } => "connect".to_owned(),
                        Request::Announce { .. } => "announce".to_owned(),
                        Request::Scrape { connection, .. } => format!("scrape {}", connection.0),
                    };
                    self.transactions.push(request.transaction().0);
                    self.last = Some((to, request));
                    format!("{} {words} to {}", call.0, to.ip())
                }
                Output::Done { call, result: Ok(_), .. } => format!("{} done", call.0),
                Output::Done { call, result: Err(error), .. } => {
                    format!("{} failed: {error}", call.0)
                }
            });
        }
        all
    }

    fn transaction(&self) -> TransactionId {
        self.last.as_ref().expect("something was sent").1.transaction()
    }

    fn receive(&mut self, from: SocketAddr, reply: &Reply) -> Vec<String> {
        let mut datagram = Vec::new();
        reply.encode(Family::of(from), &mut datagram);
        self.exchanges.on_datagram(from, &datagram, self.now);
        self.outputs()
    }

    /// The tracker answers the last datagram with this connection id.
    fn connected(&mut self, id: u64) -> Vec<String> {
        let (transaction, connection) = (self.transaction(), ConnectionId(id));
        self.receive(tracker(), &Reply::Connect { transaction, connection })
    }

    fn scraped(&mut self) -> Vec<String> {
        let transaction = self.transaction();
        self.receive(tracker(), &Reply::Scrape { transaction, counts: Vec::new() })
    }

    fn error(&mut self, words: &str) -> Vec<String> {
        let (transaction, message) = (self.transaction(), words.to_owned());
        self.receive(tracker(), &Reply::Error { transaction, message })
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// What comes out until `second` after the start.
    fn until(&mut self, second: u64) -> Vec<(u64, String)> {
        let end = self.start + Duration::from_secs(second);
        let mut all = Vec::new();
        while let Some(wake) = self.exchanges.next_timeout().filter(|wake| *wake <= end) {
            self.now = wake;
            self.exchanges.tick(self.now);
            let second = (self.now - self.start).as_secs();
            let outputs = self.outputs();
            assert!(!outputs.is_empty(), "a timeout came to nothing");
            all.extend(outputs.into_iter().map(|output| (second, output)));
        }
        self.now = end;
        all
    }
}

const CONNECT: &str = "0 connect to 192.0.2.1";

fn at(second: u64, output: &str) -> (u64, String) {
    (second, output.to_owned())
}

// BEP 15, "Connect times out": t = 0, 15, 45, 105, etc; n is at most 8.
#[test]
fn a_connect_is_sent_nine_times_and_given_up() {
    let mut world = World::new();
    assert_eq!(world.begin(0), [CONNECT]);
    let seconds: Vec<u64> = world.until(10_000).iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [15, 45, 105, 225, 465, 945, 1905, 3825, 7665]);
    assert_eq!(world.exchanges.next_timeout(), None);
    assert_eq!(world.transactions.len(), 9);
    world.transactions.dedup();
    assert_eq!(world.transactions.len(), 1, "a late answer to an earlier try counts");
}

// BEP 15, "Announce times out".
#[test]
fn a_question_is_sent_again_and_connects_again_when_its_connection_is_old() {
    let mut world = World::new();
    world.begin(0);
    world.pass(1);
    assert_eq!(world.connected(5), ["0 scrape 5 to 192.0.2.1"]);
    let scrape = "0 scrape 5 to 192.0.2.1";
    let expected = [at(16, scrape), at(46, scrape), at(106, CONNECT), at(226, CONNECT)];
    assert_eq!(world.until(230), expected);
    assert_eq!(world.connected(6), ["0 scrape 6 to 192.0.2.1"]);
    assert_eq!(world.scraped(), ["0 done"]);
    assert_eq!(world.exchanges.next_timeout(), None);
}

// "A client can use a connection ID until one minute after it has received it."
#[test]
fn a_connection_is_used_for_a_minute() {
    let mut world = World::new();
    world.begin(0);
    world.connected(5);
    world.scraped();
    world.pass(59);
    assert_eq!(world.begin(1), ["1 scrape 5 to 192.0.2.1"]);
    assert_eq!(world.scraped(), ["1 done"]);
    world.pass(1);
    assert_eq!(world.begin(2), ["2 connect to 192.0.2.1"]);
    let other = SocketAddr::from(([192, 0, 2, 2], 80));
    world.connected(6);
    assert_eq!(world.begin_at(3, vec![other]), ["3 connect to 192.0.2.2"]);
}

#[test]
fn a_tracker_that_forgot_the_connection_is_connected_again() {
    for is_silent in [false, true] {
        let mut world = World::new();
        world.begin(0);
        world.connected(5);
        world.scraped();
        assert_eq!(world.begin(1), ["1 scrape 5 to 192.0.2.1"]);
        let again = if is_silent {
            world.until(15).into_iter().map(|(_, output)| output).collect()
        } else {
            world.error("connection id unknown")
        };
        assert_eq!(again, ["1 connect to 192.0.2.1"], "{is_silent}");
        assert_eq!(world.connected(6), ["1 scrape 6 to 192.0.2.1"]);
        // The second time it is meant.
        assert_eq!(world.error("no"), ["1 failed: tracker refused: no"]);
        assert_eq!(world.begin(2), ["2 connect to 192.0.2.1"]);
    }
}

#[test]
fn an_error_ends_the_question() {
    let mut world = World::new();
    world.begin(0);
    assert_eq!(world.error("full"), [refused("full")]);
    assert_eq!(world.exchanges.next_timeout(), None);
}

#[test]
fn late_and_forged_datagrams_are_dropped() {
    let mut world = World::new();
    world.begin(0);
    let transaction = world.transaction();
    let forged = Reply::Connect { transaction, connection: ConnectionId(1) };
    for stranger in ["192.0.2.9:80", "192.0.2.1:81", "[2001:db8::1]:80"] {
        assert_eq!(world.receive(stranger.parse().unwrap(), &forged), [""; 0], "{stranger}");
    }
    let wrong = TransactionId(transaction.0 ^ 1);
    let guessed = Reply::Connect { transaction: wrong, connection: ConnectionId(1) };
    assert_eq!(world.receive(tracker(), &guessed), [""; 0]);
    for len in 0..8 {
        world.exchanges.on_datagram(tracker(), &[0; 8][..len], world.now);
    }
    assert_eq!(world.connected(5), ["0 scrape 5 to 192.0.2.1"]);
    // The same reply again is late by now.
    assert_eq!(world.receive(tracker(), &forged), [""; 0]);
    assert_ne!(world.transaction(), transaction);
    assert_eq!(world.scraped(), ["0 done"]);
    assert_eq!(world.scraped(), [""; 0]);
}

#[test]
fn a_tracker_that_talks_nonsense_has_failed() {
    let mut world = World::new();
    world.begin(0);
    let words = "0 failed: tracker's reply is malformed: it answers another question";
    assert_eq!(world.scraped(), [words]);
    world.begin(0);
    let cut = [&[0; 4][..], &world.transaction().0.to_be_bytes(), &[1; 7]].concat();
    world.exchanges.on_datagram(tracker(), &cut, world.now);
    let words = "0 failed: tracker's reply is malformed: too short, or of an unknown kind";
    assert_eq!(world.outputs(), [words]);
}

#[test]
fn silent_addresses_take_turns() {
    let mut world = World::new();
    let addresses = [1, 2, 3].map(|host| SocketAddr::from(([192, 0, 2, host], 80)));
    world.begin_at(0, addresses.to_vec());
    let hosts: Vec<String> =
        world.until(300).into_iter().map(|(_, output)| output[output.len() - 1..].into()).collect();
    assert_eq!(hosts, ["2", "3", "1", "2"]);
    // One that was left is not listened to any more.
    let (transaction, connection) = (world.transaction(), ConnectionId(1));
    let reply = Reply::Connect { transaction, connection };
    assert_eq!(world.receive(addresses[2], &reply), [""; 0]);
    assert_eq!(world.receive(addresses[1], &reply), ["0 scrape 1 to 192.0.2.2"]);
}

#[test]
fn an_address_that_refuses_gives_way_to_the_next_at_once() {
    let mut world = World::new();
    let addresses = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 80)));
    let other = SocketAddr::from(([192, 0, 2, 9], 80));
    world.begin_at(0, addresses.to_vec());
    world.begin_at(1, vec![other]);
    let refused = |world: &mut World, to| {
        world.exchanges.refused(to, world.now);
        world.outputs()
    };
    // Nobody is asked there at present.
    assert_eq!(refused(&mut world, addresses[1]), [""; 0]);
    assert_eq!(refused(&mut world, addresses[0]), ["0 connect to 192.0.2.2"]);
    assert_eq!(refused(&mut world, addresses[0]), [""; 0]);
    let words = "0 failed: cannot reach tracker: nobody listens there";
    assert_eq!(refused(&mut world, addresses[1]), [words]);
    assert_eq!(world.until(15), [at(15, "1 connect to 192.0.2.9")]);
}

#[test]
fn a_cancelled_question_sends_nothing_more() {
    let mut world = World::new();
    world.begin(0);
    world.exchanges.cancel(CallId(0));
    assert_eq!(world.until(100), []);
    assert_eq!(world.connected(5), [""; 0]);
}

proptest! {
    // Whatever comes from wherever: every question ends once, and within its tries.
    #[test]
    fn any_datagrams_are_survived(
        steps in prop::collection::vec(
            (0u8..6, 0u8..4, prop::collection::vec(any::<u8>(), 0..40), 0u64..100), 1..60),
    ) {
        let mut world = World::new();
        let (mut begun, mut ended) = (0, 0);
        for (kind, action, tail, wait) in steps {
            let outputs = match kind {
                0 => {
                    begun += 1;
                    world.begin(begun)
                }
                1 => {
                    let second = (world.now - world.start).as_secs() + wait;
                    world.until(second).into_iter().map(|(_, output)| output).collect()
                }
                _ if world.last.is_none() => Vec::new(),
                _ => {
                    let transaction = world.transaction().0.to_be_bytes();
                    let datagram = [&[0, 0, 0, action][..], &transaction, &tail].concat();
                    world.exchanges.on_datagram(tracker(), &datagram, world.now);
                    world.outputs()
                }
            };
            let is_end = |output: &&String| output.contains("done") || output.contains("failed");
            ended += outputs.iter().filter(is_end).count() as u64;
        }
        let rest = world.until(1_000_000);
        let is_end = |output: &&(u64, String)| output.1.contains("failed");
        ended += rest.iter().filter(is_end).count() as u64;
        prop_assert_eq!(begun, ended);
    }
}
