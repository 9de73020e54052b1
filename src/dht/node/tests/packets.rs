//! What leaves for whom, and what real nodes' odd answers do to it.

use super::*;

#[test]
fn on_an_empty_table_a_lookup_starts_with_the_first_hint() {
    let mut bench = Bench::new(None);
    bench.find(1);
    assert_eq!(bench.asked, []);
    bench.now += S;
    hint(&mut bench, 5, Hint::Peer);
    // The attempt to start and the lookup itself.
    let mut names = bench.names();
    names.sort_unstable();
    assert_eq!(names, [("get_peers", 5), ("get_peers", 5)]);
    let asked = bench.asked.iter().find(|asked| asked.target == Some(id(0))).unwrap().clone();
    let bytes = reply(&asked.tid, id(5), &nodes(&[1, 2]));
    bench.handle(Input::Datagram { from: asked.to, bytes: &bytes });
    let near: Vec<_> = bench.names().into_iter().filter(|(_, far)| *far < 5).collect();
    assert_eq!(near, [("get_peers", 1), ("get_peers", 2)]);
}

#[test]
fn a_hundred_hints_at_once_are_one_start() {
    let mut bench = Bench::new(None);
    (1..=100).for_each(|far| hint(&mut bench, far, Hint::Peer));
    assert_eq!(bench.asked.len(), 16);
    bench.run(bench.now + 500 * MS, |_| Some(nodes(&[200, 201])));
    assert!(bench.asked.len() <= 40, "{} queries", bench.asked.len());
}

#[test]
fn queries_carry_four_bytes_and_walk_with_get_peers_alone() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    assert_eq!(bench.asked.len(), 5, "they are the nearest there are");
    for asked in &bench.asked {
        assert_eq!((asked.tid.len(), asked.name), (4, "get_peers"));
        assert!(!asked.bytes.windows(2).any(|pair| pair == b"ro"), "a trial is under way");
    }
    let first: Vec<u16> = bench.names().iter().map(|(_, far)| *far).collect();
    assert_eq!(first, [1, 2, 3, 4, 5]);
}

#[test]
fn who_was_named_lately_is_where_the_next_lookup_begins_for_which_somebody_waits() {
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    bench.find(1);
    bench.answer("get_peers", 1_000, &nodes(&[5]));
    bench.asked.clear();
    bench.find(2);
    assert_eq!(bench.names()[0], ("get_peers", 5));
    bench.asked.clear();
    bench.announce(Haste::Background);
    assert_eq!(bench.names()[0], ("get_peers", 1_000));
}

#[test]
fn an_announce_goes_to_the_eight_nearest_while_a_near_one_is_silent() {
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    let begun = bench.now;
    bench.announce(Haste::Urgent);
    let mut times = Vec::new();
    let end = bench.now + 600 * MS;
    let mut now = Vec::new();
    bench.run(end, |asked| {
        if asked.name == "announce_peer" {
            now.push(asked.clone());
        }
        let silent = asked.to == info(2_000).address;
        (!silent).then(|| b"5:token3:abc".to_vec())
    });
    times.extend(bench.names().into_iter().filter(|(name, _)| *name == "announce_peer"));
    let fars: Vec<u16> = times.iter().map(|(_, far)| *far).collect();
    assert_eq!(fars, [1, 3, 4, 5, 6, 7, 8, 9].map(|n| n * 1_000), "within 0.6 s of {begun:?}");
    for asked in &now {
        let text = String::from_utf8_lossy(&asked.bytes).into_owned();
        // Without `implied_port` the port counts; rqbit wants the key, old nodes its number.
        assert!(text.contains("4:porti7000e") && !text.contains("implied"), "{text}");
        assert!(text.contains("5:token3:abc") && !text.contains("seed"), "{text}");
    }
    // It is done when the copies are, and the next is after 15 minutes: nobody was found.
    bench.run(end + S, |_| Some(b"5:token3:abc".to_vec()));
    let announced = bench.told.iter().find_map(|output| match output {
        Output::Announced { nodes, again, .. } => Some((*nodes, *again)),
        _ => None,
    });
    assert_eq!(announced, Some((8, 5 * S)));
}

#[test]
fn implied_port_and_seed_are_said_when_they_are_true() {
    let mut bench = Bench::with(1..=10);
    let (port, haste) = (7_000, Haste::Background);
    bench.handle(Input::Announce { hash: HASH, port, implied: true, seed: true, haste });
    bench.run(bench.now + 2 * S, |_| Some(b"5:token3:abc".to_vec()));
    let asked = bench.asked.iter().find(|asked| asked.name == "announce_peer").unwrap();
    let text = String::from_utf8_lossy(&asked.bytes).into_owned();
    assert!(text.contains("12:implied_porti1e") && text.contains("4:porti7000e"), "{text}");
    assert!(text.contains("4:seedi1e"), "{text}");
    let get = bench.asked.iter().find(|asked| asked.name == "get_peers").unwrap();
    assert!(String::from_utf8_lossy(&get.bytes).contains("6:noseedi1e"), "seeds need none");
}

#[test]
fn a_token_of_any_length_is_given_back_untouched() {
    for len in [1, 4, 8, 20, 32, 128] {
        let mut bench = Bench::with(1..=8);
        let token: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let rest = [format!("5:token{len}:").as_bytes(), &token].concat();
        bench.announce(Haste::Background);
        bench.run(bench.now + 2 * S, |_| Some(rest.clone()));
        let announces = bench.asked.iter().filter(|asked| asked.name == "announce_peer");
        let carried =
            announces.filter(|asked| asked.bytes.windows(rest.len()).any(|part| part == rest));
        assert_eq!(carried.count(), 8, "{len} bytes");
    }
}

#[test]
fn peers_are_passed_on_with_each_reply_and_bad_ones_are_not() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let values = |list: &[[u8; 6]]| {
        let list: Vec<u8> = list.iter().flat_map(|peer| [b"6:", &peer[..]].concat()).collect();
        [b"5:token1:x6:valuesl", &list[..], b"e"].concat()
    };
    // An empty list is none found.
    bench.answer("get_peers", 1, b"5:token1:x6:valueslee");
    assert_eq!(bench.peers(), []);
    let good = [80, 1, 2, 3, 0x1a, 0xe1];
    let bad = [
        [80, 1, 2, 3, 0, 0],
        [80, 1, 2, 3, 0, 1],
        [0, 1, 2, 3, 0x1a, 0xe1],
        [10, 0, 0, 1, 0x1a, 0xe1],
        [127, 0, 0, 1, 0x1a, 0xe1],
        [224, 0, 0, 1, 0x1a, 0xe1],
    ];
    bench.answer("get_peers", 2, &values(&[&[good][..], &bad[..]].concat()));
    let found: SocketAddr = "80.1.2.3:6881".parse().unwrap();
    assert_eq!(bench.peers(), [found]);
    // Each once.
    bench.answer("get_peers", 3, &values(&[good]));
    assert_eq!(bench.peers(), [found]);
    assert_eq!(bench.ended(1), None, "it goes on, calmly");
    bench.run(bench.now + 2 * S, |_| Some(Vec::new()));
    assert_eq!(bench.ended(1).map(|tally| tally.peers), Some(1));
}

#[test]
fn a_hundred_peers_of_one_reply_are_enough() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let values = |net: u8| {
        let peer = |n: u8| [b"6:", &[80, net, n, 1, 0x1a, 0xe1][..]].concat();
        let list: Vec<u8> = (0..150).flat_map(peer).collect();
        [b"5:token1:x6:valuesl", &list[..], b"e"].concat()
    };
    bench.answer("get_peers", 1, &values(1));
    assert_eq!(bench.peers().len(), 100);
    bench.answer("get_peers", 2, &values(2));
    assert_eq!(bench.peers().len(), 200, "and as many of another one");
}

#[test]
fn replies_from_elsewhere_or_without_a_query_change_nothing() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let known = bench.node.health(bench.now);
    let asked = bench.query("get_peers", 1);
    let good = reply(&asked.tid, id(1), &nodes(&[0]));
    let mut port = asked.to;
    port.set_port(6_882);
    bench.handle(Input::Datagram { from: port, bytes: &good });
    let wrong = reply(b"wrng", id(1), &nodes(&[0]));
    bench.handle(Input::Datagram { from: asked.to, bytes: &wrong });
    let stranger = reply(b"wrng", id(500), &nodes(&[0]));
    bench.handle(Input::Datagram { from: info(500).address, bytes: &stranger });
    assert_eq!(bench.asked.len(), 5);
    assert_eq!(bench.node.health(bench.now).known, known.known);
    bench.handle(Input::Datagram { from: asked.to, bytes: &good });
    assert_eq!(bench.names().last(), Some(&("get_peers", 0)));
    // Twice is once too often.
    let len = bench.asked.len();
    bench.handle(Input::Datagram { from: asked.to, bytes: &good });
    assert_eq!(bench.asked.len(), len);
}

#[test]
fn reflectors_are_no_nodes() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let asked = bench.query("get_peers", 1);
    // Our own id, and our own query.
    let own = reply(&asked.tid, NodeId([0xff; 20]), &nodes(&[0]));
    bench.handle(Input::Datagram { from: asked.to, bytes: &own });
    assert!(!bench.names().contains(&("get_peers", 0)), "whom it names is not asked");
    // The same of one whose name nobody knows.
    let mut fresh = Bench::new(None);
    fresh.find(1);
    hint(&mut fresh, 5, Hint::Peer);
    for asked in fresh.asked.clone() {
        let own = reply(&asked.tid, fresh.node.health(fresh.now).id, &nodes(&[0]));
        fresh.handle(Input::Datagram { from: asked.to, bytes: &own });
    }
    assert!(fresh.asked.iter().all(|asked| asked.to == info(5).address));
    let other = bench.query("get_peers", 2);
    let len = bench.asked.len();
    bench.handle(Input::Datagram { from: other.to, bytes: &other.bytes });
    assert_eq!(bench.asked.len(), len);
    bench.run(bench.now + 2 * S, |_| Some(Vec::new()));
    assert!(bench.ended(1).is_some());
}

#[test]
fn an_answer_under_another_name_brings_nothing() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let asked = bench.query("get_peers", 1);
    let bytes = reply(&asked.tid, id(999), &nodes(&[0]));
    bench.handle(Input::Datagram { from: asked.to, bytes: &bytes });
    assert!(!bench.names().contains(&("get_peers", 0)));
    let there = bench.node.contacts(bench.now);
    assert!(there.iter().all(|c| c.id != id(1) && c.id != id(999)), "both are suspect");
}

#[test]
fn an_error_proves_life_and_is_not_asked_again() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let asked = bench.query("get_peers", 1);
    let error = [b"d1:eli201e5:busyee1:t4:", &asked.tid[..], b"1:y1:ee"].concat();
    let error = String::from_utf8_lossy(&error).replace("5:busye", "4:busye").into_bytes();
    // The id may hold bytes that are no text.
    let error = if error.windows(4).any(|part| part == asked.tid) {
        error
    } else {
        [b"d1:eli201e4:busye1:t4:", &asked.tid[..], b"1:y1:ee"].concat()
    };
    bench.handle(Input::Datagram { from: asked.to, bytes: &error });
    bench.run(bench.now + 10 * S, |_| Some(Vec::new()));
    let count = bench.names().iter().filter(|name| **name == ("get_peers", 1)).count();
    assert_eq!(count, 1);
    let there = bench.node.contacts(bench.now);
    assert!(there.iter().any(|contact| contact.id == id(1)), "it keeps its place");
    assert!(bench.ended(1).is_some());
}

#[test]
fn nobody_is_asked_whom_no_node_may_have_named() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let mut list = Vec::new();
    let bad = ["0.1.2.3:6881", "80.0.0.1:0", "80.0.0.2:1", "10.0.0.1:6881", "127.0.0.1:6881"];
    for (n, address) in bad.iter().enumerate() {
        let node = NodeInfo { id: id(0), address: address.parse().unwrap() };
        let mut near = node;
        near.id.0[19] = n as u8 + 1;
        near.write(&mut list);
    }
    let rest = [format!("5:nodes{}:", list.len()).as_bytes(), &list, b"5:token1:x"].concat();
    bench.answer("get_peers", 1, &rest);
    let asked: Vec<u16> = bench.names().iter().map(|(_, far)| *far).collect();
    assert_eq!(asked, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn nobody_talks_to_himself() {
    let mut bench = Bench::with(1..=20);
    let own: SocketAddr = "80.9.9.9:7000".parse().unwrap();
    bench.handle(Input::Mapped { address: Some(own) });
    bench.handle(Input::Hinted { address: own, by: Hint::Peer });
    bench.announce(Haste::Urgent);
    let mut list = Vec::new();
    NodeInfo { id: id(0), address: own }.write(&mut list);
    // Another address under our id.
    NodeInfo { id: NodeId([0xff; 20]), address: "80.9.9.8:7".parse().unwrap() }.write(&mut list);
    let rest = [
        format!("5:nodes{}:", list.len()).as_bytes(),
        &list,
        b"5:token1:x6:valuesl6:\x50\x09\x09\x09\x1b\x586:\x50\x09\x09\x09\x1b\x59e",
    ]
    .concat();
    bench.answer("get_peers", 1, &rest);
    assert!(bench.asked.iter().all(|asked| asked.to != own && asked.to.port() != 7));
    assert_eq!(bench.peers(), ["80.9.9.9:7001".parse().unwrap()], "a neighbour may be there");
}

#[test]
fn a_torn_list_of_nodes_is_used_as_far_as_it_goes() {
    let mut bench = Bench::with(10..=30);
    bench.find(1);
    let mut list = Vec::new();
    info(1).write(&mut list);
    list.extend_from_slice(&[7; 11]);
    let rest = [format!("5:nodes{}:", list.len()).as_bytes(), &list].concat();
    bench.answer("get_peers", 10, &rest);
    assert_eq!(bench.names().last(), Some(&("get_peers", 1)));
}

#[test]
fn a_ping_for_people_ends_with_its_round_trip_or_without() {
    let mut bench = Bench::with(1..=4);
    bench.handle(Input::Ping { ticket: Ticket(7), address: info(900).address });
    bench.now += 30 * MS;
    bench.answer("ping", 900, b"");
    assert_eq!(bench.ended(7).unwrap().round_trip, Some(30 * MS));
    bench.handle(Input::Ping { ticket: Ticket(8), address: info(901).address });
    bench.run(bench.now + 9 * S, |_| None);
    assert_eq!(bench.ended(8).map(|tally| (tally.answered, tally.round_trip)), Some((0, None)));
    bench.handle(Input::Ping { ticket: Ticket(9), address: info(902).address });
    bench.handle(Input::Refused { to: info(902).address });
    assert!(bench.ended(9).is_some(), "the system knows at once");
}

#[test]
fn every_question_ends_once_within_twenty_seconds() {
    let mut bench = Bench::with(1..=20);
    let begun = bench.now;
    for number in 0..100 {
        let mut hash = HASH;
        hash.0[0] = number as u8;
        bench.handle(Input::Find { ticket: Ticket(number), hash, haste: Haste::Urgent });
    }
    // Some end soon and make room for others, whose time runs all the same.
    bench.run(begun + S, |asked| (asked.target != Some(id(0))).then(Vec::new));
    bench.run(begun + 20 * S, |_| None);
    for number in 0..100 {
        let ends = bench.told.iter().filter(
            |output| matches!(output, Output::Ended { ticket, .. } if *ticket == Ticket(number)),
        );
        assert_eq!(ends.count(), 1, "question {number}");
    }
}

#[test]
fn a_torrent_that_is_forgotten_is_not_looked_for_any_more() {
    let mut bench = Bench::with(1..=20);
    bench.announce(Haste::Urgent);
    bench.find(1);
    for number in 2..=70 {
        let hash = InfoHash([number as u8; 20]);
        bench.handle(Input::Find { ticket: Ticket(number), hash, haste: Haste::Urgent });
    }
    bench.find(71);
    bench.handle(Input::Find { ticket: Ticket(72), hash: HASH, haste: Haste::Background });
    assert!([1, 71, 72].iter().all(|number| bench.ended(*number).is_none()));
    bench.handle(Input::Forget { hash: HASH });
    assert!(bench.ended(1).is_some_and(|tally| tally.asked > 0), "it ran");
    assert_eq!([71, 72].map(|number| bench.ended(number)), [Some(Tally::default()); 2]);
    assert_eq!(bench.ended(2), None, "another torrent");
    bench.asked.clear();
    bench.run(bench.now + 20 * S, |_| Some(b"5:token3:abc".to_vec()));
    assert!(bench.asked.iter().all(|asked| asked.target != Some(id(0))));
    assert!((2..=70).all(|number| bench.ended(number).is_some()));
}

#[test]
fn nodes_of_the_other_family_are_wanted_while_it_has_few() {
    let mut bench = Bench::with(1..=20);
    bench.find(1);
    let wants = |asked: &Asked| String::from_utf8_lossy(&asked.bytes).contains("4:wantl2:n42:n6e");
    assert!(bench.asked.iter().all(wants));
    let mut six = id(77).0.to_vec();
    six.extend_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    six.extend_from_slice(&6_881_u16.to_be_bytes());
    bench.answer("get_peers", 1, &[b"6:nodes638:", &six[..]].concat());
    let nodes = vec!["[2001:db8::7]:6881".parse().unwrap()];
    assert!(bench.told.contains(&Output::Others { nodes }));
    bench.handle(Input::Other { good: 8 });
    bench.asked.clear();
    bench.find(2);
    assert!(!bench.asked.is_empty() && !bench.asked.iter().any(wants));
}

#[test]
fn an_item_is_found_by_its_own_hash_and_a_false_one_is_not() {
    let mut bench = Bench::with(1..=20);
    // SHA-1 of `12:Hello World!` (BEP 44, test vectors).
    let target =
        data_encoding::HEXLOWER.decode(b"e5f96f6f38320f0f33959cb4d3d656452117aadb").unwrap();
    let target = NodeId(target.try_into().unwrap());
    bench.handle(Input::Get { ticket: Ticket(3), target, salt: Vec::new() });
    assert!(bench.asked.iter().all(|asked| asked.name == "get" && asked.target == Some(target)));
    let fars: Vec<u16> = bench.names().iter().map(|(_, far)| *far).collect();
    bench.answer("get", fars[0], b"1:v12:Hello_World!");
    assert!(!bench.told.iter().any(|output| matches!(output, Output::Found { .. })));
    bench.answer("get", fars[1], b"1:v12:Hello World!");
    let found = bench.told.iter().any(
        |output| matches!(output, Output::Found { item, .. } if item.value == b"12:Hello World!"),
    );
    assert!(found && bench.ended(3).is_some(), "there is no other");
}

#[test]
fn a_scrape_counts_all_filters_as_one() {
    let mut bench = Bench::with(1..=20);
    bench.handle(Input::Scrape { ticket: Ticket(4), hash: HASH });
    assert!(String::from_utf8_lossy(&bench.asked[0].bytes).contains("6:scrapei1e"));
    let mut seeds = crate::dht::bloom::Bloom::default();
    (1..=50).for_each(|last| seeds.insert([80, 0, 0, last].into()));
    let mut leechers = crate::dht::bloom::Bloom::default();
    (1..=20).for_each(|last| leechers.insert([80, 0, 1, last].into()));
    let rest = [b"4:BFpe256:", &leechers.0[..], b"4:BFsd256:", &seeds.0[..]].concat();
    bench.answer("get_peers", 1, &rest);
    bench.answer("get_peers", 2, &rest);
    // A node that knows no filters has one of the seeds, and one more.
    bench.answer("get_peers", 3, b"6:valuesl6:\x50\x00\x00\x01AB6:\x50\x00\x02\x01ABe");
    bench.run(bench.now + 2 * S, |_| Some(Vec::new()));
    let (seeds, leechers) = bench.ended(4).unwrap().swarm.unwrap();
    assert!((48..=52).contains(&seeds) && (20..=22).contains(&leechers), "{seeds} {leechers}");
    assert_eq!(bench.peers(), [], "nobody wanted peers");
}

/// What a read-only node is answered that asks for peers.
fn told_to(bench: &mut Bench, far: u16, from: SocketAddr) -> Vec<u8> {
    let get = [b"d1:ad2:id20:", &id(far).0[..], b"9:info_hash20:", &HASH.0[..]].concat();
    let get = [&get[..], b"e1:q9:get_peers2:roi1e1:t2:aa1:y1:qe"].concat();
    bench.node.handle(Input::Datagram { from, bytes: &get }, bench.now);
    let Some(Output::Send { bytes, .. }) = bench.node.poll_output() else { panic!("no reply") };
    bytes
}

fn reply_of(bytes: &[u8]) -> Reply<'_> {
    match Message::decode(bytes) {
        Ok(Message { body: Body::Reply(reply), .. }) => reply,
        other => panic!("no reply: {other:?}"),
    }
}

/// A node has us keep that it has a torrent, at port 7001.
fn announced_by(bench: &mut Bench, far: u16) -> SocketAddr {
    let from = info(far).address;
    let bytes = told_to(bench, far, from);
    let token = reply_of(&bytes).token.expect("there is room").to_vec();
    let announce = [
        b"d1:ad2:id20:",
        &id(far).0[..],
        b"9:info_hash20:",
        &HASH.0[..],
        b"4:porti7001e5:token8:",
        &token,
        b"e1:q13:announce_peer1:t2:ab1:y1:qe",
    ]
    .concat();
    bench.handle(Input::Datagram { from, bytes: &announce });
    SocketAddr::new(from.ip(), 7_001)
}

/// `driver dht get` keeps nothing for others: in a net of two nobody else could tell of us.
#[test]
fn where_few_are_known_we_name_ourselves_for_what_we_announce() {
    let here = SocketAddr::from(([127, 0, 0, 1], 9_000));
    let named = |bench: &mut Bench, from| {
        let bytes = told_to(bench, 5, from);
        reply_of(&bytes).values.iter().collect::<Vec<_>>()
    };
    let ours = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let mut bench = Bench::new(None);
    assert_eq!(named(&mut bench, here), [], "it is none of ours");
    bench.announce(Haste::Background);
    assert_eq!(named(&mut bench, here), [ours]);
    assert_eq!(named(&mut bench, info(5).address), [], "nobody told us how others see us");
    let address = Some(SocketAddr::from(([80, 1, 2, 3], 7_500)));
    bench.handle(Input::Mapped { address });
    let public = SocketAddr::from(([80, 1, 2, 3], 7_000));
    assert_eq!(named(&mut bench, info(5).address), [public]);
    bench.handle(Input::Seek { hash: HASH, seed: false, haste: Haste::Background });
    assert_eq!(named(&mut bench, here), [], "we only look for it");
    // With eight others it is kept where all look for it.
    let mut bench = Bench::with(1..=20);
    bench.announce(Haste::Background);
    bench.take();
    assert_eq!(named(&mut bench, here), []);
}

#[test]
fn what_was_announced_to_us_is_found_at_once() {
    let mut bench = Bench::new(None);
    let peer = announced_by(&mut bench, 5);
    bench.find(1);
    assert_eq!(bench.peers(), [peer]);
    assert_eq!(bench.ended(1), None, "others may know more");
}

#[test]
fn who_announces_to_us_is_found_by_all_that_look_for_him() {
    let found = |ask: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new(None);
        ask(&mut bench);
        let peer = announced_by(&mut bench, 5);
        // Each announce is told once.
        (bench.peers().iter().all(|it| *it == peer), bench.peers().len())
    };
    let seek = |bench: &mut Bench| {
        bench.handle(Input::Seek { hash: HASH, seed: false, haste: Haste::Urgent });
    };
    assert_eq!(found(&|bench| bench.find(1)), (true, 1));
    assert_eq!(found(&|bench| bench.announce(Haste::Urgent)), (true, 1));
    assert_eq!(found(&seek), (true, 1));
    let both = |bench: &mut Bench| {
        seek(bench);
        bench.find(1);
    };
    assert_eq!(found(&both), (true, 2), "two wait for him");
    let other = |bench: &mut Bench| {
        let hash = InfoHash([9; 20]);
        bench.handle(Input::Seek { hash, seed: false, haste: Haste::Urgent });
    };
    assert_eq!(found(&other), (true, 0));
    assert_eq!(found(&|bench| bench.announce(Haste::Background)), (true, 0), "it has enough");
}

#[test]
fn who_only_looks_says_nothing_of_itself() {
    let mut bench = Bench::with(1..=20);
    bench.handle(Input::Seek { hash: HASH, seed: false, haste: Haste::Urgent });
    bench.run(bench.now + 60 * S, |_| Some(b"5:token3:abc".to_vec()));
    assert!(bench.asked.iter().all(|asked| asked.name != "announce_peer"));
    let looks =
        bench.asked.iter().filter(|it| it.target == Some(id(0)) && it.to == info(1).address);
    assert_eq!(looks.count(), 4, "at once, and 5, 15 and 35 seconds later");
    assert!(!bench.told.iter().any(|output| matches!(output, Output::Announced { .. })));
    assert_eq!(bench.node.health(bench.now).announced, 0);
}

#[test]
fn a_lookup_that_waits_for_somebody_begins_with_whoever_answers_first() {
    let mut bench = Bench::new(None);
    bench.find(1);
    // A router is asked by the attempt to start alone.
    hint(&mut bench, 5, Hint::Router);
    assert_eq!(bench.names(), [("get_peers", 5)]);
    assert_ne!(bench.asked[0].target, Some(id(0)));
    bench.answer("get_peers", 5, &nodes(&[]));
    assert_eq!(bench.names(), [("get_peers", 5), ("get_peers", 5)]);
    assert_eq!(bench.asked[1].target, Some(id(0)));
}

#[test]
fn who_comes_to_a_lonely_node_is_asked_at_once_and_given_what_waits() {
    let mut bench = Bench::new(None);
    bench.announce(Haste::Background);
    assert_eq!(bench.asked, []);
    let ping = [b"d1:ad2:id20:", &id(5).0[..], b"e1:q4:ping1:t2:aa1:y1:qe"].concat();
    bench.handle(Input::Datagram { from: info(5).address, bytes: &ping });
    bench.handle(Input::Datagram { from: info(5).address, bytes: &ping });
    assert_eq!(bench.names(), [("ping", 5)], "once");
    bench.run(bench.now + S, |_| Some(b"5:token3:abc".to_vec()));
    assert!(bench.names().contains(&("announce_peer", 5)), "{:?}", bench.names());
    // With more of them others find us, and it waits as in any net.
    let mut bench = Bench::with(1..=20);
    let ping = [b"d1:ad2:id20:", &id(500).0[..], b"e1:q4:ping1:t2:aa1:y1:qe"].concat();
    bench.handle(Input::Datagram { from: info(500).address, bytes: &ping });
    assert_eq!(bench.asked, []);
}

#[test]
fn what_was_in_vain_goes_again_when_somebody_is_met() {
    let mut bench = Bench::with([1]);
    bench.announce(Haste::Urgent);
    // Nobody gives a token, and the next time is 80 s after the one that follows in 40.
    bench.run(bench.now + 50 * S, |_| Some(Vec::new()));
    bench.asked.clear();
    let ping = [b"d1:ad2:id20:", &id(2).0[..], b"e1:q4:ping1:t2:aa1:y1:qe"].concat();
    bench.handle(Input::Datagram { from: info(2).address, bytes: &ping });
    bench.run(bench.now + S, |asked| {
        Some(if asked.to == info(2).address { b"5:token3:abc".to_vec() } else { Vec::new() })
    });
    assert!(bench.names().contains(&("announce_peer", 2)), "{:?}", bench.names());
}

#[test]
fn an_announce_that_nobody_acknowledged_is_repeated_once() {
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    bench.announce(Haste::Urgent);
    let silent = info(2_000).address;
    let mut counts = (0, 0);
    bench.run(bench.now + 4 * S, |asked| {
        let is_its = asked.name == "announce_peer" && asked.to == silent;
        counts.0 += usize::from(is_its);
        // The second one arrives.
        (!is_its || counts.0 == 2).then(|| b"5:token3:abc".to_vec())
    });
    assert_eq!(counts.0, 2);
    let announced = bench.told.iter().find_map(|output| match output {
        Output::Announced { nodes, .. } => Some(*nodes),
        _ => None,
    });
    assert_eq!(announced, Some(8));
    let its: Vec<&Asked> =
        bench.asked.iter().filter(|it| it.name == "announce_peer" && it.to == silent).collect();
    assert_eq!(its[0].bytes, its[1].bytes, "under the same id");
    // It answers none: twice is enough, and the others are not asked again.
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    bench.announce(Haste::Urgent);
    bench.run(bench.now + 4 * S, |asked| {
        (asked.name != "announce_peer" || asked.to != silent).then(|| b"5:token3:abc".to_vec())
    });
    counts.1 = bench.asked.iter().filter(|it| it.name == "announce_peer").count();
    assert_eq!(counts.1, 9);
}

#[test]
fn who_answered_lately_is_not_absent_for_one_lost_datagram() {
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    let silent = info(1_000).address;
    let is_walk = |it: &&Asked| it.to == silent && it.target == Some(id(0));
    let asks = |bench: &Bench| bench.asked.iter().filter(is_walk).count();
    for (number, asked) in [(1, 1), (2, 2), (3, 2)] {
        bench.find(number);
        bench.run(bench.now + 10 * S, |it| (it.to != silent).then(Vec::new));
        assert_eq!(asks(&bench), asked, "after lookup {number}");
    }
}

#[test]
fn upkeep_is_slow_when_nobody_asks() {
    let mut bench = Bench::with(1..=20);
    let begun = bench.now;
    bench.run(begun + 1_200 * S, |_| Some(b"5:token3:abc".to_vec()));
    bench.asked.clear();
    bench.wakes = 0;
    bench.run(begun + 2_400 * S, |_| Some(b"5:token3:abc".to_vec()));
    assert!(bench.wakes < 1_200, "{} wakes in 20 minutes", bench.wakes);
    let each_s = bench.asked.len() as f64 / 1_200.0;
    assert!(each_s <= 0.5, "{each_s} queries a second");
    assert!(bench.node.health(bench.now).good >= 15);
}

#[test]
fn announces_for_which_nobody_waits_are_spread() {
    let mut bench = Bench::with((1..=20).map(|n| n * 1_000));
    for first in 0..40 {
        let (mut hash, haste) = (HASH, Haste::Background);
        hash.0[0] = first;
        bench.handle(Input::Announce { hash, port: 7_000, implied: false, seed: true, haste });
    }
    // One at once, and one each 170 ms: three queries each at first.
    assert_eq!(bench.asked.len(), 3);
    let begun = bench.now;
    bench.run(begun + 100 * MS, |_| None);
    assert_eq!(bench.asked.len(), 3);
    bench.run(begun + 170 * MS, |_| None);
    assert!(bench.asked.len() >= 6, "{:?}", bench.names());
}

#[test]
fn who_is_told_to_be_read_only_answers_nobody_and_who_found_it_out_does() {
    let answers = |read_only, age| {
        let begun = Instant::now();
        let mut node = Node::new(Config { read_only, ..config() }, None, begun);
        let now = begun + age;
        while let Some(due) = node.next_timeout().filter(|due| *due <= now) {
            node.handle(Input::Wake, due);
        }
        assert!(node.health(now).read_only);
        let bytes = [b"d1:ad2:id20:", &id(7).0[..], b"e1:q4:ping1:t2:aa1:y1:qe"].concat();
        let from = info(7).address;
        node.handle(Input::Datagram { from, bytes: &bytes }, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        outputs.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == from))
    };
    assert!(!answers(true, S));
    assert!(answers(false, 900 * S), "nobody proved yet that we are reached");
}
