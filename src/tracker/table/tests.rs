//! The table against a slow model that is plainly right, and by example.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

fn table(limits: TableLimits, now: Instant) -> SwarmTable {
    SwarmTable::new(limits, StdRng::seed_from_u64(1), now)
}

fn arrival(swarm: u8, host: u8, is_seed: bool) -> Arrival {
    Arrival {
        info_hash: InfoHash([swarm; 20]),
        peer_id: PeerId([host; 20]),
        address: SocketAddr::from(([10, 0, 0, host], 6881)),
        left: u64::from(!is_seed),
        event: None,
        numwant: None,
        own_family_only: false,
    }
}

fn announce(
    table: &mut SwarmTable,
    arrival: &Arrival,
    now: Instant,
) -> (Result<SwarmCounts, TableFull>, Vec<TablePeer>) {
    let mut peers = Vec::new();
    let counts = table.announce(arrival, now, |peer| peers.push(peer));
    (counts, peers)
}

fn hosts(table: &mut SwarmTable, arrival: &Arrival, now: Instant) -> Vec<u8> {
    let (counts, peers) = announce(table, arrival, now);
    counts.unwrap();
    let mut hosts: Vec<u8> = peers.iter().map(|peer| peer.peer_id.0[0]).collect();
    hosts.sort_unstable();
    hosts
}

#[test]
fn peers_learn_of_each_other_and_not_of_themselves() {
    let now = Instant::now();
    let mut table = table(TableLimits::default(), now);
    assert_eq!(hosts(&mut table, &arrival(1, 1, true), now), [0_u8; 0]);
    for _ in 0..2 {
        let (counts, peers) = announce(&mut table, &arrival(1, 2, false), now);
        assert_eq!(counts, Ok(SwarmCounts { complete: 1, incomplete: 1, downloaded: 0 }));
        let seed = arrival(1, 1, true);
        let expected = TablePeer { peer_id: seed.peer_id, address: seed.address, left: 0 };
        assert_eq!(peers, [expected]);
    }
    // A seed has no use for seeds, and swarms are apart.
    assert_eq!(hosts(&mut table, &arrival(1, 3, true), now), [2]);
    assert_eq!(hosts(&mut table, &arrival(2, 4, false), now), [0_u8; 0]);
    let names: Vec<u8> =
        table.peers(&InfoHash([1; 20]), 2).iter().map(|p| p.peer_id.0[0]).collect();
    assert_eq!(names, [1, 3], "seeds first");
}

#[test]
fn the_stopped_and_the_silent_are_forgotten() {
    let now = Instant::now();
    let mut table = table(TableLimits::default(), now);
    hosts(&mut table, &arrival(1, 1, true), now);
    hosts(&mut table, &arrival(1, 2, true), now);
    let stopped = Arrival { event: Some(Event::Stopped), ..arrival(1, 1, true) };
    assert_eq!(hosts(&mut table, &stopped, now), [0_u8; 0]);
    assert_eq!(hosts(&mut table, &arrival(1, 3, false), now), [2]);
    let almost = now + Duration::from_secs(3599);
    table.expire(almost);
    assert_eq!(table.totals().peers_v4, 2);
    let later = now + Duration::from_secs(3600);
    table.expire(later);
    assert_eq!((table.totals().swarms, table.totals().peers_v4, table.totals().seeds), (0, 0, 0));
    assert_eq!(hosts(&mut table, &arrival(1, 4, false), later), [0_u8; 0]);
    let stopped = Arrival { event: Some(Event::Stopped), ..arrival(1, 4, false) };
    assert_eq!(announce(&mut table, &stopped, later).0, Ok(SwarmCounts::default()));
    assert_eq!(table.counts(&InfoHash([1; 20])), None);
}

#[test]
fn only_a_leech_that_becomes_a_seed_has_downloaded() {
    let now = Instant::now();
    let mut table = table(TableLimits::default(), now);
    let completed = |host| Arrival { event: Some(Event::Completed), ..arrival(1, host, true) };
    announce(&mut table, &arrival(1, 1, false), now).0.unwrap();
    for _ in 0..3 {
        let counts = announce(&mut table, &completed(1), now).0.unwrap();
        assert_eq!(counts, SwarmCounts { complete: 1, incomplete: 0, downloaded: 1 });
    }
    // It says that it is complete and that it lacks something.
    let liar = Arrival { left: 7, ..completed(2) };
    assert_eq!(announce(&mut table, &liar, now).0.unwrap().downloaded, 1);
}

#[test]
fn sizes_are_bounded() {
    let limits = TableLimits { swarms: 2, peers: 5, peers_per_swarm: 3, ..TableLimits::default() };
    let now = Instant::now();
    let mut table = table(limits, now);
    for host in 1..=5 {
        announce(&mut table, &arrival(1, host, true), now).0.unwrap();
    }
    assert_eq!(table.totals().peers_v4, 3);
    let given = hosts(&mut table, &arrival(1, 9, false), now);
    assert!(given.len() == 2 && !given.contains(&9), "{given:?}");
    announce(&mut table, &arrival(2, 1, false), now).0.unwrap();
    // In all, of hosts with as much the one silent for longest makes room.
    for host in 2..=4 {
        let at = now + Duration::from_secs(host.into());
        announce(&mut table, &arrival(2, host, false), at).0.unwrap();
    }
    assert_eq!(table.totals().peers_v4, 5);
    // Once the others are silent, there is room again.
    let later = now + Duration::from_secs(4000);
    assert!(announce(&mut table, &arrival(3, 1, false), later).0.is_ok());
    assert_eq!(table.totals().swarms, 1);
}

/// A table in which one host has `count` swarms to itself, begun in their order; `swarm` of 1000.
fn filled(limits: TableLimits, count: u32) -> (SwarmTable, Instant) {
    let now = Instant::now();
    let mut table = table(limits, now);
    for number in 0..count {
        announce(&mut table, &flood([192, 0, 2, 66], number), now).0.unwrap();
    }
    (table, now)
}

/// Of a host that begins a swarm for each number.
fn flood(host: [u8; 4], number: u32) -> Arrival {
    let mut arrival = Arrival { address: SocketAddr::from((host, 1)), ..arrival(0, 0, false) };
    arrival.info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
    arrival
}

#[test]
fn a_host_with_as_much_as_it_may_have_replaces_its_own_first() {
    let limits = TableLimits { peers_per_host: 10, ..TableLimits::default() };
    let (mut table, now) = filled(limits, 3);
    announce(&mut table, &arrival(1, 1, true), now).0.unwrap();
    announce(
        &mut table,
        &Arrival { address: flood([192, 0, 2, 66], 0).address, ..arrival(1, 66, false) },
        now,
    )
    .0
    .unwrap();
    for number in 3..50 {
        announce(&mut table, &flood([192, 0, 2, 66], number), now).0.unwrap();
    }
    // Ten of its own, and the one that somebody else is in.
    assert_eq!((table.totals().swarms, table.totals().peers_v4), (11, 11));
    assert_eq!(table.counts(&flood([0; 4], 39).info_hash), None);
    assert!(table.counts(&flood([0; 4], 40).info_hash).is_some());
    assert_eq!(table.counts(&InfoHash([1; 20])).unwrap().complete, 1, "others stay");
    // Within an IPv6 /64 all addresses are one host's.
    for host in 0..30_u16 {
        let address = SocketAddr::from(([0x2001, 0xdb8, 0, 0, host, 0, 0, 1], 7000));
        announce(&mut table, &Arrival { address, ..arrival(9, 1, false) }, now).0.unwrap();
    }
    assert_eq!(table.totals().peers_v6, 10);
    // To announce again takes nobody's place.
    let again = flood([192, 0, 2, 66], 40);
    announce(&mut table, &again, now).0.unwrap();
    assert!(table.counts(&flood([0; 4], 41).info_hash).is_some());
}

#[test]
fn an_honest_newcomer_finds_room_in_a_table_that_others_have_filled() {
    let limits = TableLimits { swarms: 1000, peers_per_host: 600, ..TableLimits::default() };
    let (mut table, now) = filled(limits, 600);
    for number in 600..2000 {
        // The second host has as much as the first, and then gives its own.
        let _ = announce(&mut table, &flood([192, 0, 2, 67], number), now);
    }
    assert_eq!(table.totals().swarms, 1000);
    // Hosts are counted in lists, where chance leads a few to one that has much.
    let mut honest = Vec::new();
    for host in 1..=200 {
        let newcomer = Arrival { info_hash: InfoHash([host; 20]), ..arrival(0, host, true) };
        if table.host_len(newcomer.address.ip()) == 0 {
            announce(&mut table, &newcomer, now).0.unwrap();
            honest.push(host);
        }
    }
    assert_eq!(table.totals().swarms, 1000);
    assert!(honest.len() > 190, "of {} none had anything before", honest.len());
    let stays = |host: &u8| table.counts(&InfoHash([*host; 20])).is_some();
    assert!(honest.iter().all(stays), "and keeps it");
}

#[test]
fn a_full_table_takes_from_hosts_with_much_and_not_from_the_silent() {
    let limits = TableLimits { peers: 1000, peers_per_swarm: 990, ..TableLimits::default() };
    let began = Instant::now();
    let mut table = table(limits, began);
    for host in 1..=100 {
        announce(&mut table, &arrival(1, host, false), began).0.unwrap();
    }
    // Two hosts fill the rest, and go on; they are always heard of last.
    for number in 0..4000_u32 {
        let now = began + Duration::from_secs(1 + u64::from(number / 100));
        let ip = [192, 0, 2, (number % 2) as u8];
        let address = SocketAddr::from((ip, 1 + (number / 2) as u16));
        announce(&mut table, &Arrival { address, ..arrival(2, 0, false) }, now).0.unwrap();
    }
    // And those find room who have nothing yet.
    let now = began + Duration::from_secs(50);
    for host in 101..=200 {
        announce(&mut table, &arrival(1, host, false), now).0.unwrap();
    }
    assert_eq!(table.totals().peers_v4, 1000);
    let left = table.counts(&InfoHash([1; 20])).unwrap().incomplete;
    assert!(left >= 195, "{left} of 200 are left");
}

#[test]
fn the_largest_swarms_are_known_however_many_there_are() {
    let (mut table, now) = filled(TableLimits::default(), 15_000);
    for swarm in 1..=9 {
        for host in swarm..=9 {
            announce(&mut table, &arrival(swarm, host, false), now).0.unwrap();
        }
    }
    let largest = |table: &SwarmTable, most| {
        let hashes = table.largest(most).into_iter().map(|hash| hash.0[19]);
        hashes.collect::<Vec<u8>>()
    };
    assert_eq!(largest(&table, 4), [1, 2, 3, 4]);
    for host in 1..=9 {
        let stopped = Arrival { event: Some(Event::Stopped), ..arrival(1, host, false) };
        announce(&mut table, &stopped, now).0.unwrap();
    }
    assert_eq!(largest(&table, 4), [2, 3, 4, 5]);
    assert_eq!(table.largest(20_000).len(), 15_008);
}

#[test]
fn numwant_is_obeyed_and_capped() {
    let limits = TableLimits { numwant_max: 4, ..TableLimits::default() };
    let now = Instant::now();
    let mut table = table(limits, now);
    for host in 1..=9 {
        announce(&mut table, &arrival(1, host, true), now).0.unwrap();
    }
    for (numwant, given) in [(Some(0), 0), (Some(2), 2), (Some(1_000_000), 4), (None, 4)] {
        let asked = Arrival { numwant, ..arrival(1, 99, false) };
        assert_eq!(hosts(&mut table, &asked, now).len(), given, "{numwant:?}");
    }
}

#[test]
fn everybody_is_chosen_as_often_as_everybody_else() {
    let now = Instant::now();
    let mut table = table(TableLimits::default(), now);
    for host in 0..100 {
        announce(&mut table, &arrival(1, host, host % 3 == 0), now).0.unwrap();
    }
    let mut times = [0_u32; 100];
    for _ in 0..2000 {
        let asked = Arrival { numwant: Some(7), ..arrival(1, 200, false) };
        hosts(&mut table, &asked, now).iter().for_each(|host| times[usize::from(*host)] += 1);
    }
    // 140 each; five standard deviations are 57.
    assert!(times.iter().all(|times| (80..=200).contains(times)), "{times:?}");
}

#[test]
fn families_share_a_reply_and_mapped_addresses_are_ipv4() {
    let now = Instant::now();
    let mut table = table(TableLimits::default(), now);
    let six = |host: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, host], 7000));
    for host in 1..=40 {
        announce(&mut table, &arrival(1, host, true), now).0.unwrap();
        let arrival = Arrival { address: six(host.into()), ..arrival(1, host, true) };
        announce(&mut table, &arrival, now).0.unwrap();
    }
    let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0001], 6881));
    announce(&mut table, &Arrival { address: mapped, ..arrival(1, 1, true) }, now).0.unwrap();
    assert_eq!((table.totals().peers_v4, table.totals().peers_v6), (40, 40));
    let (_, peers) = announce(&mut table, &arrival(1, 99, false), now);
    assert_eq!(peers.iter().filter(|peer| peer.address.is_ipv6()).count(), 25);
    assert_eq!(peers.len(), 50);
    let own = Arrival { own_family_only: true, ..arrival(1, 99, false) };
    let (_, peers) = announce(&mut table, &own, now);
    assert!(peers.len() == 40 && peers.iter().all(|peer| peer.address.is_ipv4()));
    let own = Arrival { address: six(99), ..own };
    let (_, peers) = announce(&mut table, &own, now);
    assert!(peers.len() == 40 && peers.iter().all(|peer| peer.address.is_ipv6()));
}

/// The same in as few words as possible.
#[derive(Default)]
struct Model {
    peers: BTreeMap<(u8, SocketAddr), (u64, u64)>,
    downloaded: BTreeMap<u8, u32>,
}

impl Model {
    fn expire(&mut self, now_s: u64, life_s: u64) {
        self.peers.retain(|_, (_, seen_s)| now_s - *seen_s < life_s);
        let peers = &self.peers;
        self.downloaded.retain(|swarm, _| peers.keys().any(|(of, _)| of == swarm));
    }

    fn count(&self, swarm: u8, is_seed: bool) -> u32 {
        let of = self.peers.iter().filter(|((of, _), _)| *of == swarm);
        of.filter(|(_, (left, _))| (*left == 0) == is_seed).count() as u32
    }
}

#[derive(Clone, Debug)]
struct Act {
    swarm: u8,
    host: u8,
    is_v6: bool,
    left: u64,
    event: Option<Event>,
    numwant: usize,
    passes_s: u64,
}

fn act() -> impl Strategy<Value = Act> {
    let event = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Event::Started)),
        2 => Just(Some(Event::Completed)),
        3 => Just(Some(Event::Stopped)),
    ];
    (0..3_u8, 0..40_u8, any::<bool>(), 0..3_u64, event, 0..60_usize, 0..9_u64).prop_map(
        |(swarm, host, is_v6, left, event, numwant, passes_s)| Act {
            swarm,
            host,
            is_v6,
            left,
            event,
            numwant,
            passes_s,
        },
    )
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_slow_model(acts in proptest::collection::vec(act(), 1..400)) {
        const LIFE_S: u64 = 100;
        let peer_life = Duration::from_secs(LIFE_S);
        let limits = TableLimits { peer_life, ..TableLimits::default() };
        let began = Instant::now();
        let mut table = table(limits, began);
        let (mut model, mut now_s) = (Model::default(), 0);
        for Act { swarm, host, is_v6, left, event, numwant, passes_s } in acts {
            now_s += passes_s;
            let address = if is_v6 {
                SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()], 1))
            } else {
                SocketAddr::from(([10, 0, 0, host], 1))
            };
            let arrival = Arrival {
                address, left, event, numwant: Some(numwant), ..arrival(swarm, host, false)
            };
            let now = began + Duration::from_secs(now_s);
            let (counts, peers) = announce(&mut table, &arrival, now);

            model.expire(now_s, LIFE_S);
            if event == Some(Event::Stopped) {
                model.peers.remove(&(swarm, address));
                model.expire(now_s, LIFE_S);
            } else {
                let before = model.peers.insert((swarm, address), (left, now_s));
                let was_leech = before.is_none_or(|(left, _)| left > 0);
                if event == Some(Event::Completed) && left == 0 && was_leech {
                    *model.downloaded.entry(swarm).or_default() += 1;
                }
            }
            let expected = SwarmCounts {
                complete: model.count(swarm, true),
                incomplete: model.count(swarm, false),
                downloaded: model.downloaded.get(&swarm).copied().unwrap_or(0),
            };
            prop_assert_eq!(counts, Ok(expected));
            let can_be_given = |peer: &SocketAddr, peer_left: u64| {
                *peer != address && (left > 0 || peer_left > 0)
            };
            let of = model.peers.iter().filter(|((of, _), _)| *of == swarm);
            let eligible: BTreeMap<SocketAddr, u64> = of
                .map(|((_, peer), (peer_left, _))| (*peer, *peer_left))
                .filter(|(peer, peer_left)| can_be_given(peer, *peer_left))
                .collect();
            let is_leaving = event == Some(Event::Stopped);
            let most = if is_leaving { 0 } else { eligible.len().min(numwant) };
            prop_assert_eq!(peers.len(), most);
            let given: BTreeMap<SocketAddr, u64> =
                peers.iter().map(|peer| (peer.address, peer.left)).collect();
            prop_assert_eq!(given.len(), most, "none twice");
            prop_assert!(given.iter().all(|(peer, left)| eligible.get(peer) == Some(left)));
            let totals = table.totals();
            let lists = table.swarms.iter().map(Swarm::allocated).sum::<usize>();
            prop_assert_eq!(table.lists_bytes, lists);
            prop_assert_eq!(totals.peers_v4 + totals.peers_v6, model.peers.len());
            let seeds = model.peers.values().filter(|(left, _)| *left == 0).count();
            prop_assert_eq!(totals.seeds, seeds);
        }
    }
}
