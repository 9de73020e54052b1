//! Who is dialled, when again, and who makes room.

use super::*;

#[test]
fn at_most_thirty_dials_are_under_way() {
    let mut bench = Bench::new(4);
    let lines = bench.learn(Source::Tracker, 1..60);
    assert_eq!(lines.len(), 30);
    let failed = DownReason::DialFailed("refused".into());
    let next = bench.handle(Input::LinkDown { link: LinkId(0), reason: failed });
    assert_eq!(next.len(), 1);
    assert!(next[0].starts_with("dial "), "{next:?}");
}

#[test]
fn a_dial_that_fails_is_made_again_later_and_later() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.learn(Source::Tracker, 1..2), ["dial 1 as 0"]);
    for (link, wait) in [(0, 5), (1, 20), (2, 45)] {
        let reason = DownReason::DialFailed("refused".into());
        assert!(bench.handle(Input::LinkDown { link: LinkId(link), reason }).is_empty());
        let early = bench.wait(f64::from(wait) - 0.1);
        assert!(early.is_empty(), "{early:?}");
        let lines = bench.wait(0.2);
        assert_eq!(lines, [format!("dial 1 as {}", link + 1)]);
    }
}

#[test]
fn no_more_links_than_allowed() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 3);
    bench.up(1);
    let dials = bench.learn(Source::Tracker, 2..9);
    assert_eq!(dials.len(), 2);
    assert!(bench.swarm.admit(address(20), bench.now).is_none());
}

#[test]
fn with_every_place_taken_a_useless_link_makes_room() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 2);
    bench.open(1, Availability::Some(set(4, &[0])));
    bench.up(2);
    bench.learn(Source::Tracker, 3..4);
    for _ in 0..7 {
        bench.now += Duration::from_secs(9);
        bench.event(1, LinkEvent::Have(bench.piece(0)));
        let name = format!("0.{}", bench.swarm.snapshot(bench.now).held_blocks.min(3));
        let lines = bench.deliver(1, &name);
        assert!(!lines.iter().any(|line| line.contains("dial")), "{lines:?}");
    }
    let lines = bench.wait(6.0);
    let expected = ["peer 2: close, its place went to another peer", "dial 3 as 2"];
    assert_eq!(lines, expected);
}

#[test]
fn a_lost_peer_is_dialled_again_soon() {
    let mut bench = Bench::new(4);
    bench.learn(Source::Tracker, 1..2);
    bench.dialled(0, 1);
    bench.down(1);
    let lines = bench.wait(5.0);
    assert!(lines.contains(&"dial 1 as 1".to_owned()), "{lines:?}");
}

#[test]
fn without_room_beside_other_torrents_nobody_is_dialled() {
    let mut bench = Bench::new(4);
    assert!(bench.handle(Input::Room(2)).is_empty());
    assert_eq!(bench.learn(Source::Tracker, 1..9).len(), 2);
    // Another torrent was quicker: it was not the address's fault.
    assert!(
        bench.handle(Input::LinkDown { link: LinkId(1), reason: DownReason::NoRoom }).is_empty()
    );
    assert!(bench.wait(60.0).is_empty());
    assert_eq!(bench.handle(Input::Room(9)).len(), 7);
}

#[test]
fn one_public_host_gets_five_places_and_a_local_one_any_number() {
    let mut bench = Bench::new(4);
    let now = bench.now;
    let mut admitted = |host: [u8; 4]| {
        let from = |port| SocketAddr::from((host, port));
        (1000..1020).filter(|port| bench.swarm.admit(from(*port), now).is_some()).count()
    };
    assert_eq!(admitted([198, 51, 100, 7]), 5);
    assert_eq!(admitted([192, 168, 1, 7]), 20);
    // A site of IPv6 has any number of addresses and is one host all the same.
    let from = |number: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 7, number, 0, 0, 1], 6881));
    let let_in = (0..20).filter(|number| bench.swarm.admit(from(*number), now).is_some());
    assert_eq!(let_in.count(), 5);
}

/// Hosts by their canonical priority to us, the lowest first; one of each priority.
fn by_priority(bench: &mut Bench, hosts: std::ops::Range<u8>) -> Vec<u8> {
    let ours = SocketAddr::from(([203, 0, 113, 9], 6881));
    bench.handle(Input::OurAddress(ours));
    let mut hosts: Vec<u8> = hosts.collect();
    let priority = |host: &u8| crate::base::priority::priority(ours, address(*host));
    hosts.sort_by_key(priority);
    hosts.dedup_by_key(|host| priority(host));
    hosts
}

#[test]
fn equals_are_dialled_by_canonical_priority() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 1);
    bench.handle(Input::Pause(true));
    bench.learn(Source::Tracker, 1..40);
    let hosts = by_priority(&mut bench, 1..40);
    let best = hosts[hosts.len() - 1];
    assert_eq!(bench.handle(Input::Pause(false)), [format!("dial {best} as 0")]);
}

#[test]
fn with_every_place_taken_a_higher_priority_gets_in_for_the_lowest() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 3);
    let hosts = by_priority(&mut bench, 1..20);
    for host in &hosts[1..4] {
        bench.up(*host);
    }
    assert!(bench.swarm.admit(address(hosts[0]), bench.now).is_none());
    assert!(bench.swarm.admit(address(hosts[4]), bench.now).is_some());
    let lines = bench.handle(Input::Tick);
    assert_eq!(lines, [format!("peer {}: close, its place went to another peer", hosts[1])]);
}

#[test]
fn a_peer_that_brings_something_keeps_its_place() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 1);
    let hosts = by_priority(&mut bench, 1..3);
    bench.open(hosts[0], Availability::All);
    bench.deliver(hosts[0], "0.0");
    bench.now += Duration::from_secs(1);
    assert!(bench.swarm.admit(address(hosts[1]), bench.now).is_none());
    bench.now += Duration::from_secs(65);
    assert!(bench.swarm.admit(address(hosts[1]), bench.now).is_some());
}
