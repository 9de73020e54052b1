//! Start from `dht.dat`, dead lines, and other networks.

use super::*;

fn silence(_: &Asked) -> Option<Vec<u8>> {
    None
}

fn token(_: &Asked) -> Option<Vec<u8>> {
    Some(b"5:token3:abc".to_vec())
}

#[test]
fn a_start_asks_sixteen_saved_nodes_at_once_and_more_each_tenth_second() {
    let mut bench = Bench::new(Some(&saved(1..=100)));
    assert_eq!(bench.asked.len(), 16);
    let begun = bench.now;
    bench.run(begun + 99 * MS, silence);
    assert_eq!(bench.asked.len(), 16);
    bench.run(begun + 100 * MS, silence);
    assert_eq!(bench.asked.len(), 24);
    bench.run(begun + 250 * MS, silence);
    assert_eq!(bench.asked.len(), 32);
}

#[test]
fn a_start_stops_asking_at_random_when_eight_answered() {
    let mut bench = Bench::new(Some(&saved(1..=100)));
    let mut number = 0;
    bench.run(bench.now + 10 * S, |asked| {
        number += 1;
        // Every second one is dead.
        (number % 2 == 0).then(|| token(asked)).flatten()
    });
    let health = bench.node.health(bench.now);
    assert!(health.good >= 8, "{health:?}");
    assert!(bench.asked.len() < 80, "{} queries", bench.asked.len());
}

#[test]
fn without_a_line_attempts_become_rare_and_the_return_is_noticed() {
    let mut bench = Bench::new(Some(&saved(1..=50)));
    let begun = bench.now;
    bench.run(begun + 600 * S, silence);
    // Ten minutes, nobody waits: 16 attempts of at most 64.
    assert!(bench.asked.len() <= 16 * 64, "{} queries", bench.asked.len());
    assert!(bench.node.health(bench.now).silent.is_some());
    assert_eq!(bench.node.health(bench.now).hints, 50, "nobody is forgotten");
    bench.asked.clear();
    bench.run(begun + 665 * S, token);
    assert!(bench.node.health(bench.now).good >= 8);
}

#[test]
fn whoever_waits_hears_within_three_seconds_of_the_return_of_the_line() {
    let mut bench = Bench::new(Some(&saved(1..=50)));
    let begun = bench.now;
    bench.announce(Haste::Urgent);
    bench.run(begun + 600 * S, silence);
    let quiet = bench.asked.len();
    assert!(quiet < 2_000, "{quiet} queries in ten minutes");
    bench.told.clear();
    bench.run(begun + 603 * S, token);
    let kept = bench.told.iter().find_map(|output| match output {
        Output::Announced { nodes, .. } => Some(*nodes),
        _ => None,
    });
    assert_eq!(kept, Some(8));
}

#[test]
fn a_change_of_network_asks_at_once_and_keeps_the_table() {
    let mut bench = Bench::with(1..=40);
    let before = bench.node.health(bench.now).good;
    bench.announce(Haste::Background);
    bench.run(bench.now + 3 * S, token);
    // The clock stood still meanwhile, and no announce is due by it.
    bench.now += S;
    bench.asked.clear();
    bench.handle(Input::Changed { slept: 8 * 3_600 * S });
    assert!(bench.asked.len() >= 16, "{:?}", bench.names());
    assert_eq!(bench.node.health(bench.now).good, before);
    let begun = bench.now;
    bench.told.clear();
    bench.run(begun + 2 * S, token);
    assert!(bench.asked.iter().any(|asked| asked.name == "announce_peer"));
    assert_eq!(bench.node.health(bench.now).good, before);
}

#[test]
fn a_machine_that_was_not_woken_takes_it_for_a_change() {
    let mut bench = Bench::with(1..=40);
    let health = bench.node.health(bench.now);
    bench.now += 3_600 * S;
    bench.asked.clear();
    bench.handle(Input::Wake);
    assert!(bench.asked.len() >= 16, "{:?}", bench.names());
    assert_eq!(bench.node.health(bench.now).good, health.good);
    assert!(bench.told.iter().any(|output| matches!(output, Output::Save { .. })));
}

#[test]
fn a_question_on_a_dead_line_is_answered_when_it_is_back() {
    let mut bench = Bench::with(1..=40);
    bench.find(1);
    let begun = bench.now;
    bench.run(begun + 12 * S, silence);
    assert_eq!(bench.ended(1), None);
    assert!(bench.node.health(bench.now).good >= 30, "no failure counts");
    bench.run(begun + 15 * S, |_| {
        Some(b"5:token3:abc6:valuesl6:\x50\x01\x02\x03\x1a\xe1e".to_vec())
    });
    assert_eq!(bench.peers().len(), 1);
}

#[test]
fn what_is_saved_starts_the_next_one() {
    let bench = Bench::with(1..=60);
    let bytes = bench.node.save(bench.now);
    let mut next = Bench::new(Some(&bytes));
    assert_eq!(next.node.health(next.now).id, NodeId([0xff; 20]), "the id is kept");
    // Another driver of the same user began with the same file.
    let local = SocketAddr::from(([0, 0, 0, 0], 7_999));
    let other = Node::new(Config { local, ..config() }, Some(&bytes), bench.now);
    assert_ne!(other.health(bench.now).id, NodeId([0xff; 20]), "no two have one id");
    assert_eq!(next.asked.len(), 16);
    next.run(next.now + 20 * S, token);
    assert!(next.node.health(next.now).good >= 8);
    let torn = Bench::new(Some(&bytes[..bytes.len() - 1]));
    assert_eq!(torn.asked, []);
}

#[test]
fn it_is_written_every_ten_minutes() {
    let mut bench = Bench::with(1..=20);
    let begun = bench.now;
    bench.told.clear();
    bench.run(begun + 1_800 * S, token);
    let saves = bench.told.iter().filter(|output| matches!(output, Output::Save { .. }));
    assert_eq!(saves.count(), 3);
}

#[test]
fn the_own_id_suits_what_others_see() {
    let mut bench = Bench::with(1..=30);
    let health = bench.node.health(bench.now);
    assert_eq!(health.public, None);
    for far in 40..60 {
        bench.handle(Input::Ping { ticket: Ticket(u64::from(far)), address: info(far).address });
        let asked = bench.query("ping", far);
        let bytes = [
            b"d2:ip6:\xcb\x00\x71\x09\x1a\xe11:rd2:id20:",
            &id(far).0[..],
            b"e1:t4:",
            &asked.tid,
            b"1:y1:re",
        ]
        .concat();
        bench.handle(Input::Datagram { from: asked.to, bytes: &bytes });
    }
    let address = "203.0.113.9".parse().unwrap();
    assert!(bench.told.contains(&Output::Public { address }));
    let after = bench.node.health(bench.now);
    assert!(after.id.suits(address) && after.public == Some(address));
    assert!(after.good >= health.good, "nobody is dropped for it");
}

#[test]
fn a_dead_line_is_tried_though_nobody_waits_and_few_nodes_are_known() {
    let mut bench = Bench::with(1..=6);
    let begun = bench.now;
    bench.run(begun + 300 * S, silence);
    bench.asked.clear();
    bench.run(begun + 420 * S, silence);
    let walks = bench.names().iter().filter(|(name, _)| *name == "get_peers").count();
    assert!(walks >= 6, "{:?}", bench.names());
    bench.run(begun + 490 * S, token);
    assert_eq!(bench.node.health(bench.now).silent, None);
}

#[test]
fn the_return_of_the_line_hurries_what_was_in_vain() {
    let mut bench = Bench::with(1..=20);
    bench.announce(Haste::Urgent);
    // Nobody gives a token for half an hour, so that the next attempt is far away.
    bench.run(bench.now + 1_800 * S, |_| Some(Vec::new()));
    let ticket = Ticket(9);
    for _ in 0..2 {
        bench.handle(Input::Find { ticket, hash: InfoHash([1; 20]), haste: Haste::Urgent });
        bench.run(bench.now + 21 * S, silence);
    }
    bench.told.clear();
    bench.run(bench.now + 3 * S, token);
    let kept = |output: &Output| matches!(output, Output::Announced { nodes: 8.., .. });
    assert!(bench.told.iter().any(kept), "{:?}", bench.told);
}

#[test]
fn on_a_dead_line_nobody_is_asked_but_by_probes() {
    let mut bench = Bench::with(1..=40);
    for number in 1..=5 {
        let (ticket, hash) = (Ticket(number), InfoHash([number as u8; 20]));
        bench.handle(Input::Find { ticket, hash, haste: Haste::Urgent });
    }
    let first = bench.asked.len();
    assert_eq!(first, 4 * 5 + 3);
    bench.run(bench.now + 12 * S, silence);
    // When these stall the line is taken for dead; then there is a probe each second.
    let more = bench.asked.len() - first;
    assert!((10..=16).contains(&more), "{more} queries");
    assert!(bench.names()[first..].iter().all(|(name, _)| *name == "ping"));
}

#[test]
fn nodes_that_the_other_family_names_do_not_keep_a_dead_family_asking() {
    let mut bench = Bench::new(None);
    let begun = bench.now;
    for far in 1..=3_000 {
        hint(&mut bench, far, Hint::Other);
        bench.run(begun + u32::from(far) * 200 * MS, silence);
    }
    // Ten minutes: 16 attempts of at most 64.
    assert!(bench.asked.len() <= 16 * 64, "{} queries", bench.asked.len());
}

#[test]
fn junk_does_not_push_timers_back() {
    let asked_within = |junk: &[&[u8]]| {
        let mut bench = Bench::with(1..=20);
        bench.find(1);
        let begun = bench.now;
        while bench.now < begun + 4 * S {
            bench.now += 10 * MS;
            for bytes in junk {
                let from = SocketAddr::from(([70, 1, 1, 1], 6881));
                bench.handle(Input::Datagram { from, bytes });
            }
            if bench.node.next_timeout().is_some_and(|due| due <= bench.now) {
                bench.handle(Input::Wake);
            }
        }
        bench.names()
    };
    let quiet = asked_within(&[]);
    assert!(quiet.len() > 12, "those that stall give their places to others: {quiet:?}");
    assert_eq!(asked_within(&[b"d1:junk"]), quiet);
    assert_eq!(asked_within(&[b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t4:none1:y1:re"]), quiet);
}
