//! Queries and their replies, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::SeedableRng as _;

use super::*;
use crate::dht::bloom::Bloom;
use crate::dht::compact::NodeInfo;
use crate::dht::items::Item;
use crate::dht::message::{ItemView, SignedView, Want};

const TID: &[u8] = b"abcd";

/// A node with everything that it answers with.
struct World {
    answers: Answers,
    table: Table,
    gate: Gate,
    rng: StdRng,
    now: Instant,
    out: Vec<u8>,
}

fn hash(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

fn from(n: u8) -> SocketAddr {
    ([9, 9, n, 1], 6881).into()
}

fn ask(method: Method<'_>) -> Query<'_> {
    Query { id: NodeId([0x77; 20]), read_only: false, want: Want::default(), method }
}

fn get_peers(n: u8) -> Query<'static> {
    ask(Method::GetPeers { hash: hash(n), noseed: false, scrape: false })
}

impl World {
    fn new(nodes: u8) -> Self {
        let (mut rng, now) = (StdRng::seed_from_u64(2), Instant::now());
        let own = NodeId::random(&mut rng);
        let mut world = Self {
            answers: Answers::new(own, Family::V4, &mut rng, now),
            table: Table::new(own, now),
            gate: Gate::new(64, &mut rng, now),
            rng,
            now,
            out: Vec::new(),
        };
        for n in 0..nodes {
            let id = NodeId::random(&mut world.rng);
            let node = NodeInfo { id, address: ([50, n, 1, 1], 6881).into() };
            world.table.answered(node, None, now);
        }
        world
    }

    fn bytes(&mut self, datagram: &[u8], from: SocketAddr) -> Outcome {
        let asked = Asked { message: Message::decode(datagram), len: datagram.len(), from };
        let (table, gate, rng) = (&self.table, &mut self.gate, &mut self.rng);
        let around = Around { table, own_peer: None, gate, rng, now: self.now };
        let outcome = self.answers.answer(&asked, around, &mut self.out);
        let has_reply = matches!(outcome, Outcome::Answered | Outcome::Refused);
        assert_eq!(self.out.is_empty(), !has_reply);
        assert!(self.out.len() <= 1_024 && self.out.len() <= 10 * datagram.len());
        self.answers.check_invariants();
        outcome
    }

    fn query(&mut self, query: &Query<'_>, from: SocketAddr) -> Reply<'_> {
        let mut datagram = Vec::new();
        query.write(TID, &mut datagram);
        assert_eq!(self.bytes(&datagram, from), Outcome::Answered, "{query:?}");
        let message = Message::decode(&self.out).unwrap();
        assert_eq!(message.transaction, TID);
        assert_eq!(message.seen_at, Some(from.into()), "BEP 42: the requestor's IP and port");
        match message.body {
            Body::Reply(reply) => {
                assert_eq!(reply.id, self.table.own());
                reply
            }
            other => panic!("{other:?}"),
        }
    }

    fn refusal(&mut self, query: &Query<'_>, from: SocketAddr) -> i64 {
        let mut datagram = Vec::new();
        query.write(TID, &mut datagram);
        assert_eq!(self.bytes(&datagram, from), Outcome::Refused, "{query:?}");
        match Message::decode(&self.out).unwrap().body {
            Body::Error(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    fn token(&mut self, n: u8, from: SocketAddr) -> Vec<u8> {
        self.query(&get_peers(n), from).token.unwrap().to_vec()
    }

    /// Announces after asking, as everybody must.
    fn announce(&mut self, n: u8, from: SocketAddr, seed: bool) {
        let token = self.token(n, from);
        let method = Method::AnnouncePeer {
            hash: hash(n),
            port: from.port(),
            implied: false,
            seed,
            token: &token,
        };
        self.query(&ask(method), from);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn home(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[test]
fn a_ping_is_answered_by_name() {
    let mut world = World::new(20);
    let reply = world.query(&ask(Method::Ping), from(1));
    assert!(reply.nodes.is_none() && reply.token.is_none() && reply.values.is_empty());
}

#[test]
fn the_eight_nearest_that_answer_are_named() {
    let mut world = World::new(40);
    let target = NodeId([0x31; 20]);
    let dead = world.table.closest::<8>(&target, |_| true).iter().next().unwrap().address();
    world.table.failed(dead, false);
    // Heard, and never answered.
    let unverified = NodeInfo { id: target, address: ([60, 1, 1, 1], 1_000).into() };
    world.table.heard(unverified, world.now);
    let mut expected: Vec<_> =
        world.table.entries().filter(|entry| entry.is_alive()).map(Entry::info).collect();
    expected.sort_by_key(|node| node.id.distance(&target));
    expected.truncate(8);
    for method in [
        Method::FindNode { target },
        Method::GetPeers { hash: InfoHash(target.0), noseed: false, scrape: false },
        Method::Get { target, seq: None },
        Method::SampleInfohashes { target },
        // A method that we do not know, as libtorrent has it.
        Method::Other { name: b"vote", target: Some(target) },
    ] {
        let named: Vec<_> = world.query(&ask(method), from(1)).named().collect();
        assert_eq!(named, expected, "{method:?}");
    }
    // BEP 32: only what is wanted.
    let mut query = ask(Method::FindNode { target });
    query.want = Want { v4: false, v6: true };
    assert_eq!(world.query(&query, from(1)).named().count(), 0);
    query.want.v4 = true;
    assert_eq!(world.query(&query, from(1)).named().count(), 8);
}

#[test]
fn local_nodes_are_named_to_local_askers_only() {
    let mut world = World::new(3);
    for n in 0..4 {
        let id = NodeId::random(&mut world.rng);
        let node = NodeInfo { id, address: ([192, 168, n, 1], 6881).into() };
        world.table.answered(node, None, world.now);
    }
    let find = ask(Method::FindNode { target: NodeId([1; 20]) });
    assert_eq!(world.query(&find, from(1)).named().count(), 3);
    assert_eq!(world.query(&find, ([192, 168, 9, 1], 6881).into()).named().count(), 7);
}

#[test]
fn who_announced_is_told_of_and_nobody_else() {
    let mut world = World::new(20);
    let reply = world.query(&get_peers(1), from(1));
    assert!(reply.values.is_empty() && reply.named().count() == 8, "nodes always");
    world.announce(1, from(1), false);
    world.announce(1, from(2), false);
    world.announce(2, from(3), false);
    let reply = world.query(&get_peers(1), from(9));
    let peers: BTreeSet<_> = reply.values.iter().collect();
    assert_eq!(peers, BTreeSet::from([from(1), from(2)]));
    assert_eq!(reply.named().count(), 8);
    assert_eq!(world.answers.stored(), 3);
}

#[test]
fn the_datagrams_port_counts_when_it_is_implied() {
    let mut world = World::new(0);
    let peers = |world: &mut World, port, implied| {
        let token = world.token(1, from(1));
        let method =
            Method::AnnouncePeer { hash: hash(1), port, implied, seed: false, token: &token };
        world.query(&ask(method), from(1));
        let reply = world.query(&get_peers(1), from(9));
        reply.values.iter().map(|peer| peer.port()).collect::<BTreeSet<_>>()
    };
    assert_eq!(peers(&mut world, 1_234, true), BTreeSet::from([6_881]));
    assert_eq!(peers(&mut world, 1_234, false), BTreeSet::from([6_881, 1_234]));
    // jech/dht of old reads port 1 where it is implied.
    let token = world.token(2, from(1));
    let method =
        Method::AnnouncePeer { hash: hash(2), port: 1, implied: false, seed: false, token: &token };
    assert_eq!(world.refusal(&ask(method), from(1)), 203);
}

/// Fake announces of a victim: only a packet's sender is stored, and only with his own token.
#[test]
fn tokens_of_others_and_old_ones_store_nothing() {
    let mut world = World::new(0);
    let token = world.token(1, from(1));
    let announce = |n, token| {
        ask(Method::AnnouncePeer { hash: hash(n), port: 80, implied: false, seed: false, token })
    };
    assert_eq!(world.refusal(&announce(1, &token), from(2)), 203, "another address");
    assert_eq!(world.refusal(&announce(2, &token), from(1)), 203, "another torrent");
    assert_eq!(world.refusal(&announce(1, b"x"), from(1)), 203);
    world.pass(601);
    assert_eq!(world.refusal(&announce(1, &token), from(1)), 203, "older than ten minutes");
    assert_eq!(world.answers.stored(), 0);
    // Another port of the same address is the same asker: translators change it.
    let token = world.token(1, from(1));
    world.query(&announce(1, &token), SocketAddr::new(from(1).ip(), 9));
    assert_eq!(world.answers.stored(), 1);
}

#[test]
fn a_full_torrent_gives_no_token() {
    let mut world = World::new(0);
    for port in 0..500 {
        world.announce(1, home(1_000 + port), false);
    }
    assert_eq!(world.query(&get_peers(1), from(1)).token, None);
    assert!(world.query(&get_peers(2), from(1)).token.is_some());
    let reply = world.query(&get_peers(1), from(1));
    assert_eq!(reply.values.iter().count(), 50);
}

#[test]
fn fifty_peers_and_eight_nodes_fit_where_the_query_allows() {
    let mut world = World::new(20);
    (0..100).for_each(|port| world.announce(1, home(1_000 + port), port % 2 == 0));
    let reply = world.query(&get_peers(1), from(1));
    assert_eq!((reply.values.iter().count(), reply.named().count()), (50, 8));
    assert!(world.out.len() <= 740, "{} bytes", world.out.len());
    // The shortest query that there can be.
    let short = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:\x01\x01\x01\x01\x01\x01\x01\x01\
        \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01e1:q9:get_peers1:t1:a1:y1:qe";
    assert_eq!(world.bytes(short, from(1)), Outcome::Answered);
    // BEP 33: no seeds.
    let query = ask(Method::GetPeers { hash: hash(1), noseed: true, scrape: false });
    let reply = world.query(&query, from(1));
    assert_eq!(reply.values.iter().count(), 50);
    assert!(reply.values.iter().all(|peer| peer.port() % 2 == 1));
}

#[test]
fn filters_are_given_for_known_torrents_only() {
    let mut world = World::new(20);
    let scrape = |n| ask(Method::GetPeers { hash: hash(n), noseed: false, scrape: true });
    let reply = world.query(&scrape(1), from(1));
    assert!(reply.seeds.is_none() && reply.leechers.is_none() && reply.token.is_some());
    world.announce(1, from(1), true);
    world.announce(1, from(2), false);
    world.announce(1, from(3), false);
    let reply = world.query(&scrape(1), from(9));
    let (mut seeds, mut leechers) = (Bloom::default(), Bloom::default());
    seeds.insert(from(1).ip());
    [2, 3].iter().for_each(|n| leechers.insert(from(*n).ip()));
    assert_eq!(reply.seeds, Some(&seeds.0));
    assert_eq!(reply.leechers, Some(&leechers.0));
    assert!(reply.values.is_empty() && reply.named().count() == 8);
}

#[test]
fn ipv6_has_its_own_keys_and_fits() {
    let mut world = World::new(0);
    let own = world.table.own();
    world.answers = Answers::new(own, Family::V6, &mut world.rng, world.now);
    for n in 0..20_u16 {
        let id = NodeId::random(&mut world.rng);
        let node = NodeInfo { id, address: ([0x2001, 0xdb8, n, 1, 0, 0, 0, 1], 80).into() };
        world.table.answered(node, None, world.now);
    }
    let asker: SocketAddr = "[2001:db8:ffff::1]:6881".parse().unwrap();
    for n in 0..40_u16 {
        let peer = ([0x2001, 0xdb9, n, 1, 0, 0, 0, 1], 80).into();
        world.announce(1, peer, false);
        world.pass(1);
    }
    let reply = world.query(&get_peers(1), asker);
    assert!(reply.nodes.is_none());
    assert_eq!(reply.named().count(), 8);
    assert!((20..=24).contains(&reply.values.iter().count()), "{:?}", reply.values.iter().count());
}

#[test]
fn items_are_put_with_a_token_and_given_back() {
    let mut world = World::new(20);
    let item = Item { value: b"12:Hello World!".to_vec(), signed: None };
    let target = item.target();
    let get = |seq| ask(Method::Get { target, seq });
    let token = world.query(&get(None), from(1)).token.unwrap().to_vec();
    let put = |token, value| {
        let item = ItemView { value, signed: None };
        ask(Method::Put { token, item, cas: None })
    };
    assert_eq!(world.refusal(&put(b"nonsense", &item.value), from(1)), 203);
    assert_eq!(world.refusal(&put(&token, b"5:other"), from(1)), 203, "a token for another");
    world.query(&put(&token, &item.value), from(1));
    let reply = world.query(&get(None), from(2));
    assert_eq!(reply.item, Some(item.view()));
    assert_eq!((reply.named().count(), reply.token.is_some()), (8, true));
    assert_eq!(world.query(&get(Some(7)), from(2)).item, Some(item.view()), "no number: all of it");
    // Codes of the shelf reach the asker.
    let unsorted = b"d1:bi1e1:ai1ee";
    let target = NodeId(crate::base::digest::sha1(&[unsorted]));
    let method = Method::Get { target, seq: None };
    let token = world.query(&ask(method), from(3)).token.unwrap().to_vec();
    assert_eq!(world.refusal(&put(&token, unsorted), from(3)), 203);
}

/// BEP 44: "an item's value should only be sent if its sequence number is greater".
#[test]
fn an_item_that_the_asker_has_is_not_sent_again() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    // The first vector of BEP 44: number 1 of this key.
    let key = hex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548");
    let signature = hex("305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
        1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01");
    let signed = SignedView {
        key: key.as_slice().try_into().unwrap(),
        salt: b"",
        seq: 1,
        signature: signature.as_slice().try_into().unwrap(),
    };
    let item = ItemView { value: b"12:Hello World!", signed: Some(signed) };
    let mut world = World::new(20);
    let get = |seq| ask(Method::Get { target: item.target(), seq });
    let token = world.query(&get(None), from(1)).token.unwrap().to_vec();
    world.query(&ask(Method::Put { token: &token, item, cas: None }), from(1));
    for (known, given) in [(None, Some(item)), (Some(0), Some(item)), (Some(1), None)] {
        let reply = world.query(&get(known), from(2));
        assert_eq!((reply.seq, reply.item), (Some(1), given), "{known:?} is known");
        assert_eq!(reply.named().count(), 8);
    }
}

#[test]
fn a_long_item_comes_without_nodes_and_one_too_long_not_at_all() {
    let mut world = World::new(20);
    for (len, has_item, nodes) in [(500, true, 8), (700, true, 0), (990, false, 8)] {
        let value = format!("{len}:{}", "x".repeat(len)).into_bytes();
        let item = Item { value, signed: None };
        let get = ask(Method::Get { target: item.target(), seq: None });
        let token = world.query(&get, home(1)).token.unwrap().to_vec();
        let put = Method::Put { token: &token, item: item.view(), cas: None };
        world.query(&ask(put), home(1));
        let reply = world.query(&get, home(1));
        assert_eq!((reply.item.is_some(), reply.named().count()), (has_item, nodes), "{len}");
    }
}

#[test]
fn surveys_get_twenty_torrents_each_ten_seconds() {
    let mut world = World::new(20);
    (0..30).for_each(|n| world.announce(n, home(1_000), false));
    let ask_samples = ask(Method::SampleInfohashes { target: NodeId([1; 20]) });
    let reply = world.query(&ask_samples, from(1));
    let given = reply.samples.unwrap();
    assert_eq!((given.hashes.len(), given.count, given.interval_s), (20 * 20, 30, 21_600));
    assert_eq!(reply.named().count(), 8);
    assert_eq!(world.refusal(&ask_samples, from(1)), 201);
    world.pass(10);
    world.query(&ask_samples, from(1));
}

#[test]
fn what_is_no_query_is_not_answered() {
    let mut world = World::new(20);
    let reply = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
    let error = b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";
    for bytes in [&reply[..], error, b"de", b"d1:t2:aa1:y1:ze", b"not bencode", b""] {
        assert_eq!(world.bytes(bytes, from(1)), Outcome::Silent);
    }
    // A reflector: our own query comes back.
    let mut own = ask(Method::Ping);
    own.id = world.table.own();
    let mut bytes = Vec::new();
    own.write(TID, &mut bytes);
    assert_eq!(world.bytes(&bytes, from(1)), Outcome::Silent);
}

#[test]
fn malformed_and_unknown_queries_are_refused() {
    let mut world = World::new(20);
    assert_eq!(world.refusal(&ask(Method::Other { name: b"vote", target: None }), from(1)), 204);
    let bad = b"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe";
    assert_eq!(world.bytes(bad, from(1)), Outcome::Refused);
    let message = Message::decode(&world.out).unwrap();
    assert_eq!(message.transaction, b"aa");
    assert!(matches!(message.body, Body::Error(Refusal { code: 203, .. })));
}

#[test]
fn who_floods_is_not_heard_and_a_flood_takes_no_more_than_the_budget() {
    let mut world = World::new(20);
    let mut ping = Vec::new();
    ask(Method::Ping).write(TID, &mut ping);
    let heard = (0..1_000).filter(|_| world.bytes(&ping, from(1)) == Outcome::Answered).count();
    assert_eq!(heard, 50);
    // Malformed ones count as all others.
    let bad = b"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe";
    assert_eq!(world.bytes(bad, from(1)), Outcome::Unheard);
    // From everywhere, the dearest question.
    (0..100).for_each(|port| world.announce(1, home(1_000 + port), false));
    world.pass(100);
    let mut dear = Vec::new();
    get_peers(1).write(TID, &mut dear);
    let mut bytes = 0;
    for n in 0..20_000_u32 {
        if n % 10 == 0 {
            world.now += Duration::from_millis(1);
        }
        let [_, b, c, d] = n.to_be_bytes();
        world.bytes(&dear, ([20, b, c, d], 6881).into());
        bytes += world.out.len();
    }
    assert!(bytes <= 16_000 + 2 * 8_000, "{bytes} in two seconds");
    assert!(bytes > 28_000);
}

#[test]
fn nothing_is_allocated_for_a_reply_once_the_buffers_are_there() {
    let mut world = World::new(20);
    (0..100).for_each(|port| world.announce(1, home(1_000 + port), false));
    let pointers = |world: &World| {
        [&world.out, &world.answers.nodes, &world.answers.peers]
            .map(|buffer| (buffer.as_ptr(), buffer.capacity()))
    };
    world.query(&get_peers(1), from(1));
    world.pass(1);
    let scrape = ask(Method::GetPeers { hash: hash(1), noseed: false, scrape: true });
    world.query(&scrape, from(1));
    let before = pointers(&world);
    (0..20).for_each(|n| {
        world.pass(1);
        world.query(&get_peers(1), from(n));
        world.query(&ask(Method::Ping), from(n));
    });
    assert_eq!(pointers(&world), before);
}
