//! Who is dialled, when again, and who makes room.

use std::ops::Range;

use super::super::Refusal;
use super::super::event::{Exit, Room};
use super::super::link::Description;
use super::*;
use crate::wire::mse::{Method, Ways};
use crate::wire::{Pex, PexFlags};

fn room(links: usize, reserve: usize) -> Input {
    Input::Room(Room { links, reserve, ..Room::UNBOUNDED })
}

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
    assert!(bench.swarm.admit(address(20), bench.now).is_err());
}

#[test]
fn with_every_place_taken_a_useless_link_makes_room() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 2);
    bench.open(1, Availability::Some(set(4, &[0])));
    bench.up(2);
    bench.learn(Source::Tracker, 3..4);
    for _ in 0..7 {
        bench.now += Duration::from_secs(9);
        bench.event(1, LinkEvent::Haves(vec![bench.piece(0)]));
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
    assert!(bench.handle(room(2, 0)).is_empty());
    assert_eq!(bench.learn(Source::Tracker, 1..9).len(), 2);
    // Another torrent was quicker: it was not the address's fault.
    assert!(
        bench.handle(Input::LinkDown { link: LinkId(1), reason: DownReason::NoRoom }).is_empty()
    );
    assert!(bench.wait(60.0).is_empty());
    assert_eq!(bench.handle(room(9, 0)).len(), 7);
}

#[test]
fn one_public_host_gets_five_places_and_a_local_one_any_number() {
    let mut bench = Bench::new(4);
    let now = bench.now;
    let mut admitted = |host: [u8; 4]| {
        let from = |port| SocketAddr::from((host, port));
        (1000..1020).filter(|port| bench.swarm.admit(from(*port), now).is_ok()).count()
    };
    assert_eq!(admitted([198, 51, 100, 7]), 5);
    assert_eq!(admitted([192, 168, 1, 7]), 20);
    // A site of IPv6 has any number of addresses and is one host all the same.
    let from = |number: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 7, number, 0, 0, 1], 6881));
    let let_in = (0..20).filter(|number| bench.swarm.admit(from(*number), now).is_ok());
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
    assert!(bench.swarm.admit(address(hosts[0]), bench.now).is_err());
    assert!(bench.swarm.admit(address(hosts[4]), bench.now).is_ok());
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
    assert!(bench.swarm.admit(address(hosts[1]), bench.now).is_err());
    bench.now += Duration::from_secs(65);
    assert!(bench.swarm.admit(address(hosts[1]), bench.now).is_ok());
}

#[test]
fn a_complete_torrent_dials_who_may_want_something_but_leaves_places_to_downloaders() {
    let mut bench = Bench::with(4, 4, |config| config.have = Bitfield::all(4));
    bench.handle(room(13, 10));
    assert_eq!(bench.learn(Source::Tracker, 1..9).len(), 3);
    // Whom the user names is dialled all the same.
    assert_eq!(bench.learn(Source::User, 20..21), ["dial 20 as 3"]);
    assert_eq!(bench.handle(room(12, 10)).len(), 2);
}

#[test]
fn dead_addresses_take_a_third_of_the_dials_at_most() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.learn(Source::Tracker, 1..31).len(), 30);
    for link in 0..30 {
        let reason = DownReason::DialFailed("refused".into());
        bench.handle(Input::LinkDown { link: LinkId(link), reason });
    }
    assert_eq!(bench.wait(5.0).len(), 10, "retries");
    assert_eq!(bench.learn(Source::Tracker, 101..131).len(), 20, "new ones");
}

#[test]
fn above_what_others_leave_to_it_the_least_useful_links_are_given_up() {
    let mut bench = Bench::new(4);
    bench.open(1, Availability::All);
    bench.up(2);
    bench.deliver(1, "0.0");
    bench.up(3);
    bench.event(3, LinkEvent::Availability(Availability::All));
    let most = |most| Input::Room(Room { most, ..Room::UNBOUNDED });
    let gone = |host| format!("peer {host}: close, its place went to another peer");
    assert_eq!(bench.handle(most(2)), [gone(2)], "it has nothing that we lack");
    assert_eq!(bench.handle(most(1)), [gone(3)]);
    assert!(bench.handle(most(1)).is_empty());
}

#[test]
fn idle_links_are_turned_over_slowly_and_those_that_wait_for_their_turn_last() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 50);
    for host in 1..51 {
        bench.up(host);
        if host <= 40 {
            bench.event(host, LinkEvent::Availability(Availability::All));
        }
    }
    bench.learn(Source::Tracker, 101..200);
    let mut closed = Vec::new();
    for _ in 0..60 {
        for line in bench.wait(5.0) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["dial", host, "as", link] => {
                    bench.dialled(link.parse().unwrap(), host.parse().unwrap());
                }
                _ => closed.extend(line.contains("close").then_some(line)),
            }
        }
    }
    // Two of fifty after 60, 150 and 240 seconds.
    assert_eq!(closed.len(), 6, "{closed:?}");
    let idle = |line: &String| (41..51).any(|host| line.starts_with(&format!("peer {host}:")));
    assert!(closed.iter().all(idle), "{closed:?}");
}

/// What an extension handshake may say of addresses.
fn told(port: Option<u16>, ours: Option<[u8; 4]>) -> LinkEvent {
    let our_address = ours.map(std::net::IpAddr::from);
    LinkEvent::Described(Description { listen_port: port, our_address, ..Description::default() })
}

/// A peer that came in from a port that nobody listens at.
fn came_in(bench: &mut Bench, host: u8) {
    let from = SocketAddr::new(address(host).ip(), 50_000);
    let link = bench.swarm.admit(from, bench.now).unwrap();
    bench.links.insert(host, link);
    bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps: caps(false) });
}

#[test]
fn who_dialled_us_is_dialled_where_it_listens_when_its_link_has_ended() {
    let mut bench = Bench::new(4);
    came_in(&mut bench, 1);
    bench.event(1, told(Some(6881), None));
    // A tracker names it too: it is the same peer.
    assert!(bench.learn(Source::Tracker, 1..2).is_empty());
    bench.down(1);
    assert_eq!(bench.wait(5.0), ["dial 1 as 1"]);
}

#[test]
fn in_a_private_torrent_who_dialled_us_is_not_dialled() {
    let mut bench = Bench::with(4, 4, |config| config.is_private = true);
    bench.learn(Source::Tracker, 2..3);
    bench
        .handle(Input::LinkDown { link: LinkId(0), reason: DownReason::DialFailed(String::new()) });
    for host in [1, 2] {
        came_in(&mut bench, host);
        bench.event(host, told(Some(6881), None));
    }
    assert!(bench.wait(30.0).is_empty(), "both are connected");
    bench.down(1);
    bench.down(2);
    assert_eq!(bench.wait(60.0), ["dial 2 as 3"], "the tracker named it");
}

#[test]
fn our_address_is_what_two_hosts_say_that_it_is() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 4);
    let ours = SocketAddr::from(([203, 0, 113, 9], 6881));
    let priority = |bench: &Bench| bench.swarm.crowd.candidates().priority(address(9));
    for host in [1, 2] {
        came_in(&mut bench, host);
    }
    bench.event(1, told(None, Some([203, 0, 113, 9])));
    bench.event(1, told(None, Some([203, 0, 113, 9])));
    // Another link of the same host is no other witness.
    let link = bench.swarm.admit(SocketAddr::new(address(1).ip(), 50_001), bench.now).unwrap();
    bench.links.insert(3, link);
    bench.handle(Input::LinkUp { link, peer_id: peer_id(3), caps: caps(false) });
    bench.event(3, told(None, Some([203, 0, 113, 9])));
    assert_eq!(priority(&bench), None);
    bench.event(2, told(None, Some([203, 0, 113, 9])));
    assert_eq!(priority(&bench), crate::base::priority::priority(ours, address(9)));
}

#[test]
fn another_brain_of_the_same_torrent_knows_whom_the_first_knew() {
    let mut bench = Bench::with(4, 4, |config| config.is_private = true);
    bench.learn(Source::Tracker, 1..3);
    bench.dialled(0, 1);
    bench.swarm.crowd.ban(address(7), false);
    let mut next = Bench::with(4, 4, |config| config.is_private = true);
    std::mem::swap(&mut bench.swarm, &mut next.swarm);
    bench.swarm.remember(next.swarm.acquaintances());
    assert_eq!(bench.swarm.admit(address(7), bench.now), Err(Refusal::Banned));
    assert_eq!(bench.handle(Input::Tick).len(), 2, "both are dialled again");
}

#[test]
fn who_left_is_known_with_the_time_and_the_reason() {
    let mut bench = Bench::new(4);
    bench.learn(Source::User, 1..2);
    bench.dialled(0, 1);
    let never = bench.swarm.known(bench.now);
    assert!(never.is_empty(), "connected ones are no such: {never:?}");
    bench.down(1);
    bench.wait(3.0);
    let known = bench.swarm.known(bench.now);
    assert_eq!(known[0].left, Some(Duration::from_secs(3)));
    assert!(known[0].last_error.is_some());
}

#[test]
fn an_address_that_has_rested_wants_a_place_though_others_have_all() {
    for have in [Bitfield::none(4), Bitfield::all(4)] {
        let mut bench = Bench::with(4, 4, |config| config.have = have);
        bench.learn(Source::User, 1..2);
        bench.dialled(0, 1);
        bench.handle(room(0, 10));
        bench.down(1);
        assert_eq!(bench.swarm.wanted_links(bench.now), 0);
        let wake = bench.now + Duration::from_secs(5);
        assert!(bench.swarm.next_timeout().is_some_and(|at| at <= wake), "it is woken for that");
        assert!(bench.wait(5.0).is_empty());
        assert_eq!(bench.swarm.wanted_links(bench.now), 1);
    }
}

#[test]
fn a_complete_torrent_dials_whom_the_user_named_in_time_though_strangers_wait() {
    let mut bench = Bench::with(4, 4, |config| config.have = Bitfield::all(4));
    bench.learn(Source::User, 1..2);
    bench.dialled(0, 1);
    bench.handle(room(10, 10));
    assert!(bench.learn(Source::Tracker, 2..9).is_empty());
    bench.down(1);
    assert_eq!(bench.wait(5.1), ["dial 1 as 1"]);
}

#[test]
fn dead_addresses_want_no_places_that_they_may_not_use() {
    let mut bench = Bench::new(4);
    for round in 0..2 {
        bench.learn(Source::Tracker, 30 * round + 1..30 * round + 31);
        for link in u64::from(round) * 30..u64::from(round + 1) * 30 {
            let reason = DownReason::DialFailed("refused".into());
            bench.handle(Input::LinkDown { link: LinkId(link), reason });
        }
    }
    bench.handle(room(0, 0));
    bench.wait(5.0);
    assert_eq!(bench.swarm.wanted_links(bench.now), 10, "so many are tried again at once");
    let dials = |dials| Input::Room(Room { links: 0, dials, ..Room::UNBOUNDED });
    bench.handle(dials(3));
    assert_eq!(bench.swarm.wanted_links(bench.now), 3);
    bench.handle(room(7, 0));
    bench.handle(room(0, 0));
    assert_eq!(bench.swarm.wanted_links(bench.now), 3, "seven are under way");
    bench.learn(Source::Tracker, 101..150);
    assert_eq!(bench.swarm.wanted_links(bench.now), 23, "thirty dials in all");
    bench.handle(Input::Pause(true));
    assert_eq!(bench.swarm.wanted_links(bench.now), 0);
}

#[test]
fn who_is_not_let_in_is_told_apart() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 6);
    let admit = |bench: &mut Bench, host| {
        let port = 1000 + bench.swarm.crowd.arriving_count() as u16;
        bench.swarm.admit(SocketAddr::new(address(host).ip(), port), bench.now)
    };
    for _ in 0..5 {
        assert!(admit(&mut bench, 1).is_ok());
    }
    assert_eq!(admit(&mut bench, 1), Err(Refusal::Crowd));
    bench.handle(room(0, 0));
    assert_eq!(admit(&mut bench, 2), Err(Refusal::NoPlace));
    bench.handle(room(9, 0));
    assert!(admit(&mut bench, 2).is_ok());
    assert_eq!(admit(&mut bench, 3), Err(Refusal::Full));
    bench.handle(Input::Pause(true));
    assert_eq!(admit(&mut bench, 3), Err(Refusal::Paused));
}

#[test]
fn who_had_to_make_place_rests_and_has_not_failed() {
    let mut bench = Bench::new(4);
    bench.learn(Source::Tracker, 1..2);
    bench.dialled(0, 1);
    bench.handle(Input::Room(Room { most: 0, ..Room::UNBOUNDED }));
    bench.handle(Input::Room(Room::UNBOUNDED));
    assert!(!bench.swarm.crowd.candidates().is_retry(address(1)));
    let early = bench.wait(59.0);
    assert!(early.is_empty(), "{early:?}");
    assert_eq!(bench.wait(2.0), ["dial 1 as 1"]);
}

/// All of `hosts` are dialled, and those of `up` take the connection.
fn learn_and_dial(bench: &mut Bench, hosts: Range<u8>, up: Range<u8>) {
    for line in bench.learn(Source::Tracker, hosts) {
        let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let (host, link) = (words[0] as u8, LinkId(words[1]));
        bench.links.insert(host, link);
        if up.contains(&host) {
            bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps: caps(false) });
        }
    }
}

#[test]
fn who_was_cut_off_with_everybody_is_dialled_at_once_when_anything_leaves_again() {
    let mut bench = Bench::new(4);
    learn_and_dial(&mut bench, 1..4, 1..3);
    // One link hears of it before the brain does, and a dial too.
    let held = DownReason::Held("waits for tun0: it is down".to_owned());
    bench.handle(Input::LinkDown { link: bench.links[&2], reason: lost() });
    assert!(bench.handle(Input::LinkDown { link: bench.links[&3], reason: held }).is_empty());
    let room = |exit| Input::Room(Room { links: 0, dials: 0, exit, ..Room::UNBOUNDED });
    let gone = bench.handle(room(Exit::Shut));
    assert_eq!(gone, ["peer 1: close, nothing leaves at present"]);
    assert!(bench.wait(600.0).is_empty());
    let mut dials = bench.handle(Input::Room(Room::UNBOUNDED));
    dials.iter_mut().for_each(|line| line.truncate("dial 1".len()));
    dials.sort_unstable();
    assert_eq!(dials, ["dial 1", "dial 2", "dial 3"]);
    let is_retry = |host| bench.swarm.crowd.candidates().is_retry(address(host));
    assert_eq!([1, 2, 3].map(is_retry), [false, true, false], "whom we cut off has not failed");
}

#[test]
fn who_is_not_reached_while_the_proxy_is_not_has_not_failed_and_links_stay() {
    let mut bench = Bench::new(4);
    learn_and_dial(&mut bench, 1..3, 1..2);
    let room = |exit| Input::Room(Room { dials: 0, exit, ..Room::UNBOUNDED });
    assert!(bench.handle(room(Exit::NoDials)).is_empty(), "it may be as good as before");
    let reason = DownReason::DialFailed("no answer".to_owned());
    bench.handle(Input::LinkDown { link: bench.links[&2], reason });
    assert!(bench.wait(60.0).is_empty());
    assert_eq!(bench.handle(Input::Room(Room::UNBOUNDED)), ["dial 2 as 2"]);
    assert!(!bench.swarm.crowd.candidates().is_retry(address(2)));
}

#[test]
fn how_a_peer_was_reached_is_remembered_and_told_with_the_next_dial() {
    let mut bench = Bench::new(4);
    let dials = bench.learn(Source::User, 1..3);
    for line in dials {
        let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let (host, link) = (words[0] as u8, LinkId(words[1]));
        bench.links.insert(host, link);
        let caps = LinkCaps { mse: (host == 1).then_some(Method::Rc4), ..caps(false) };
        bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps });
    }
    for host in [1, 2] {
        bench.swarm.handle(Input::LinkDown { link: bench.links[&host], reason: lost() }, bench.now);
    }
    bench.swarm.handle(Input::Tick, bench.now + Duration::from_secs(60));
    let mut known = std::collections::BTreeMap::new();
    while let Some(output) = bench.swarm.poll_output() {
        if let Output::Dial { address, known: ways, .. } = output {
            known.insert(host_of(address), ways);
        }
    }
    let ways = |encrypted| Ways { encrypted, plain: !encrypted, is_said_to_prefer: false };
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [(1, ways(true)), (2, ways(false))]);
}

#[test]
fn who_is_said_to_prefer_encryption_is_known_for_that() {
    let mut bench = Bench::with(4, 4, |config| config.exchanges_peers = true);
    let prefers = |bench: &Bench, host| {
        let ways = bench.swarm.crowd.candidates().ways(address(host));
        assert!(!ways.encrypted && !ways.plain, "it was not dialled");
        ways.is_said_to_prefer
    };
    // By itself, or by what it does.
    for (host, says, does) in [(1, true, None), (2, false, None), (3, false, Some(Method::Rc4))] {
        let from = SocketAddr::new(address(host).ip(), 50_000);
        let link = bench.swarm.admit(from, bench.now).unwrap();
        bench.links.insert(host, link);
        let caps = LinkCaps { mse: does, ..caps(false) };
        bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps });
        let said = Description { listen_port: Some(6881), ..Description::default() };
        bench.event(host, LinkEvent::Described(Description { prefers_encryption: says, ..said }));
    }
    assert_eq!([1, 2, 3].map(|host| prefers(&bench, host)), [true, false, true]);
    // By others (BEP 11).
    let added = vec![(address(8), PexFlags::ENCRYPTION), (address(9), PexFlags::SEED)];
    bench.event(1, LinkEvent::Peers(Pex { added, dropped: Vec::new() }));
    assert_eq!([8, 9].map(|host| prefers(&bench, host)), [true, false]);
}

/// "prefers encryption" is the peer's to say: that we came to speak so says it of nobody.
#[test]
fn others_are_told_of_a_preference_that_a_peer_has_told_itself() {
    let mut bench = Bench::with(4, 4, |config| config.exchanges_peers = true);
    learn_and_dial(&mut bench, 1..4, 1..1);
    for (host, says, mse) in [(1, false, None), (2, true, None), (3, false, Some(Method::Rc4))] {
        let caps = LinkCaps { mse, extended: true, ..caps(false) };
        let link = bench.links[&host];
        bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps });
        let said = Description { takes_peers: true, ..Description::default() };
        bench.event(host, LinkEvent::Described(Description { prefers_encryption: says, ..said }));
    }
    let mut told = std::collections::BTreeMap::new();
    for _ in 0..90 {
        bench.now += Duration::from_secs(1);
        bench.swarm.handle(Input::Tick, bench.now);
        while let Some(output) = bench.swarm.poll_output() {
            if let Output::Send { command, .. } = output
                && let LinkCommand::Peer(PeerCommand::Extended(it)) = command
                && let ExtendedCommand::TellPeers(peers) = it
            {
                told.extend(
                    peers.added.iter().map(|(address, flags)| {
                        (host_of(*address), flags.has(PexFlags::ENCRYPTION))
                    }),
                );
            }
        }
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [(1, false), (2, true), (3, false)]);
}

/// One lost packet is no answer: only who hangs up, or answers plainly, takes no encrypted one.
#[test]
fn whether_a_silent_peer_takes_encryption_stays_unknown() {
    let mut bench = Bench::new(4);
    learn_and_dial(&mut bench, 1..3, 1..1);
    for (host, is_way_unsure) in [(1, true), (2, false)] {
        let caps = LinkCaps { is_way_unsure, ..caps(false) };
        let link = bench.links[&host];
        bench.handle(Input::LinkUp { link, peer_id: peer_id(host), caps });
    }
    let plain = |host| bench.swarm.crowd.candidates().ways(address(host)).plain;
    assert_eq!([1, 2].map(plain), [false, true]);
}

#[test]
fn whom_the_users_list_has_is_left_and_forgotten() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 3);
    learn_and_dial(&mut bench, 1..4, 1..2);
    assert!(bench.learn(Source::Tracker, 4..6).is_empty(), "there are no places more");
    // One that is up, one that is on its way, and one that is over.
    let blocked = vec![bench.links[&1], bench.links[&2], LinkId(99)];
    let mut lines = bench.handle(Input::Blocked(blocked));
    lines.sort();
    let (dials, closed) = lines.split_at(2);
    assert!(dials[0].starts_with("dial 4 ") && dials[1].starts_with("dial 5 "), "{lines:?}");
    assert_eq!(closed, [1, 2].map(|host| format!("peer {host}: close, it is on the blocklist")));
    assert_eq!(bench.swarm.snapshot(bench.now).known, 3, "the others");
    bench.swarm.check_invariants();
    let is_dial = |line: &String| line.starts_with("dial 1 ") || line.starts_with("dial 2 ");
    assert!(!bench.wait(600.0).iter().any(is_dial), "nor later");
}

#[test]
fn an_address_that_may_not_be_dialled_costs_no_place() {
    let mut bench = Bench::new(4);
    bench.handle(room(1, 0));
    assert_eq!(bench.learn(Source::Tracker, 1..3), ["dial 1 as 0"]);
    let lines = bench.handle(Input::Blocked(vec![LinkId(0)]));
    assert_eq!(lines.last().map(String::as_str), Some("dial 2 as 1"), "{lines:?}");
}

#[test]
fn whom_the_users_list_has_leaves_no_place_while_nothing_leaves() {
    for (exit, admits) in [(Exit::NoDials, true), (Exit::Shut, false)] {
        let mut bench = Bench::new(4);
        bench.handle(room(1, 0));
        assert_eq!(bench.learn(Source::Tracker, 1..3), ["dial 1 as 0"]);
        bench.handle(Input::Room(Room { links: 0, dials: 0, exit, ..Room::UNBOUNDED }));
        let lines = bench.handle(Input::Blocked(vec![LinkId(0)]));
        assert!(!lines.iter().any(|line| line.starts_with("dial ")), "{lines:?}");
        assert_eq!(bench.swarm.admit(address(9), bench.now).is_ok(), admits, "{exit:?}");
        let again = bench.handle(Input::Room(Room::UNBOUNDED));
        let next = format!("dial 2 as {}", 1 + usize::from(admits));
        assert_eq!(again.last(), Some(&next), "{exit:?}");
    }
}
