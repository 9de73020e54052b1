//! The store's limits, in virtual time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::SeedableRng as _;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn store() -> (PeerStore, Instant) {
    let now = Instant::now();
    (PeerStore::new(NodeId([0; 20]), Family::V4, now), now)
}

fn hash(n: u32) -> InfoHash {
    let mut hash = [0x55; 20];
    hash[16..].copy_from_slice(&n.to_be_bytes());
    InfoHash(hash)
}

fn peer(n: u32, port: u16) -> SocketAddr {
    let [a, b, c, d] = n.to_be_bytes();
    ([9 + a, b, c, d], port).into()
}

fn sample(store: &PeerStore, hash: InfoHash, noseed: bool, max: usize) -> Vec<SocketAddr> {
    let mut out = Vec::new();
    store.sample(hash, noseed, max, &mut StdRng::seed_from_u64(3), &mut out);
    crate::base::addr::parse_compact_v4(&out).collect()
}

fn knows(store: &PeerStore, hash: InfoHash) -> bool {
    store.position(hash).is_ok()
}

#[test]
fn peers_come_back_as_they_were_announced() {
    let (mut store, now) = store();
    let peers: BTreeSet<_> = (0..40).map(|n| peer(n, 6881)).collect();
    for peer in peers.iter().rev() {
        store.announce(hash(1), *peer, false, now).unwrap();
    }
    store.announce(hash(2), peer(99, 1), false, now).unwrap();
    assert_eq!(sample(&store, hash(1), false, 50).into_iter().collect::<BTreeSet<_>>(), peers);
    assert!(sample(&store, hash(3), false, 50).is_empty());
    assert!(knows(&store, hash(1)) && !knows(&store, hash(3)));
    assert_eq!((store.torrents(), store.peers()), (2, 41));
    // A second port of an address is a second peer, the same again is none.
    store.announce(hash(2), peer(99, 2), false, now).unwrap();
    store.announce(hash(2), peer(99, 2), false, now).unwrap();
    assert_eq!(sample(&store, hash(2), false, 50).len(), 2);
    store.check_invariants();
}

#[test]
fn a_sample_holds_each_once_and_is_spread_over_all() {
    let (mut store, now) = store();
    (0..500).for_each(|n| store.announce(hash(1), peer(n, 80), n % 5 == 0, now).unwrap());
    let mut seen = BTreeSet::new();
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..200 {
        let mut out = Vec::new();
        store.sample(hash(1), false, 50, &mut rng, &mut out);
        let some: BTreeSet<_> = crate::base::addr::parse_compact_v4(&out).collect();
        assert_eq!((some.len(), out.len()), (50, 300));
        seen.extend(some);
    }
    assert!(seen.len() > 490, "{} of 500 are told of", seen.len());
    // BEP 33: "should try to fill the values list with non-seed items".
    let some = sample(&store, hash(1), true, 50);
    assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 50);
    let number = |peer: &SocketAddr| match peer.ip() {
        IpAddr::V4(v4) => v4.to_bits() - 0x0900_0000,
        IpAddr::V6(_) => unreachable!("an IPv4 store"),
    };
    assert!(some.iter().all(|peer| number(peer) % 5 != 0));
    assert_eq!(sample(&store, hash(1), true, 450).len(), 400);
}

#[test]
fn a_peer_is_forgotten_after_forty_five_minutes_of_silence() {
    let (mut store, start) = store();
    store.announce(hash(1), peer(1, 80), false, start).unwrap();
    store.announce(hash(1), peer(2, 80), false, start).unwrap();
    store.announce(hash(1), peer(1, 80), false, start + 1_800 * SECOND).unwrap();
    store.sweep(start + 2_690 * SECOND);
    assert_eq!(store.peers(), 2);
    store.sweep(start + 2_800 * SECOND);
    assert_eq!(sample(&store, hash(1), false, 50), [peer(1, 80)]);
    store.sweep(start + 4_600 * SECOND);
    assert_eq!((store.torrents(), store.peers()), (0, 0));
    store.check_invariants();
    // Times wrap after 18 hours.
    store.announce(hash(1), peer(1, 80), false, start + 65_500 * SECOND).unwrap();
    store.sweep(start + 65_600 * SECOND);
    assert_eq!(store.peers(), 1);
    store.sweep(start + (65_500 + 65_536 + 60) * SECOND);
    assert_eq!(store.peers(), 0, "and are not believed after a long silence");
}

#[test]
fn a_torrent_has_five_hundred_peers_and_says_so() {
    let (mut store, now) = store();
    for n in 0..500 {
        assert!(store.has_room(hash(1)));
        store.announce(hash(1), peer(n, 80), false, now).unwrap();
    }
    assert!(!store.has_room(hash(1)), "no token for one more");
    assert_eq!(store.announce(hash(1), peer(500, 80), false, now), Err(Full::Torrent));
    assert_eq!(store.announce(hash(1), peer(7, 80), true, now), Ok(()), "who is there may stay");
    assert!(store.has_room(hash(2)));
}

/// A flood of announces by one host, or by one /64.
#[test]
fn a_host_is_a_peer_of_sixty_four_torrents() {
    let (mut store, now) = store();
    let announced = (0..1_000)
        .filter(|n| store.announce(hash(*n), peer(1, 80 + *n as u16), false, now).is_ok());
    assert_eq!(announced.count(), 64);
    assert_eq!(store.announce(hash(7), peer(1, 9), false, now), Err(Full::Host));
    assert_eq!(store.announce(hash(900), peer(2, 80), false, now), Ok(()));
    let mut six = PeerStore::new(NodeId([0; 20]), Family::V6, now);
    let announced = (0..1_000_u16).filter(|n| {
        let address = ([0x2001, 0xdb8, 1, 2, *n, 0, 0, 1], 80);
        six.announce(hash((*n).into()), address.into(), false, now).is_ok()
    });
    assert_eq!(announced.count(), 64);
    six.check_invariants();
}

#[test]
fn when_it_is_full_the_far_and_old_leave_and_the_farther_get_no_token() {
    let (mut store, start) = store();
    let own = store.own;
    // Half of them share no bit with our id, half of them one.
    let far = |n: u32| {
        let mut hash = hash(n);
        hash.0[0] = if n.is_multiple_of(2) { 0xff } else { 0x7f };
        hash
    };
    for n in 0..2_000 {
        let now = start + n / 10 * SECOND;
        store.announce(far(n), peer(n, 80), false, now).unwrap();
    }
    let now = start + 300 * SECOND;
    assert_eq!(store.torrents(), 2_000);
    assert!(!store.has_room(far(4_000)));
    assert_eq!(store.announce(far(4_000), peer(1, 80), false, now), Err(Full::Torrent));
    assert!(store.has_room(far(4_001)), "nearer than half of them");
    store.announce(far(4_001), peer(1, 80), false, now).unwrap();
    assert_eq!(store.torrents(), 2_000);
    let ten: Vec<_> = (0..10).step_by(2).filter(|n| !knows(&store, far(*n))).collect();
    assert_eq!(ten.len(), 1, "one of the oldest that are farthest");
    // Our id is another one, near those that were far.
    let mut own = own;
    own.0[0] = 0xff;
    store.rename(own);
    assert!(store.has_room(far(4_000)) && !store.has_room(far(4_003)));
    store.check_invariants();
}

#[test]
fn ten_thousand_peers_take_at_most_160_kib() {
    for (torrents, peers) in [(20, 500), (100, 100), (1_000, 10)] {
        let (mut store, now) = store();
        for n in 0..torrents * peers {
            store.announce(hash(n % torrents), peer(n, 80), false, now).unwrap();
        }
        assert_eq!(store.peers(), 10_000);
        assert!(store.memory() <= 160 << 10, "{torrents} torrents: {}", store.memory());
        store.check_invariants();
    }
}

#[test]
fn the_whole_store_stays_within_its_bytes() {
    let now = Instant::now();
    let mut store = PeerStore::new(NodeId([0; 20]), Family::V6, now);
    assert_eq!(store.bytes_max, 4 << 20);
    // A tenth of it is as good and ten times as quick.
    store.bytes_max /= 10;
    let refused = (0..30_000_u32).filter(|n| {
        let peer = ([0x2001, (n >> 16) as u16, *n as u16, 1, 0, 0, 0, 1], 80);
        store.announce(hash(n / 500), peer.into(), false, now).is_err()
    });
    assert!(refused.count() > 5_000, "it is full");
    store.check_invariants();
    assert!(store.memory() > 400_000, "{} bytes", store.memory());
    assert!(!store.has_room(hash(1_000)));
}

#[test]
fn filters_are_of_addresses_and_of_known_torrents() {
    let (mut store, now) = store();
    assert_eq!(store.filters(hash(1)), None);
    for n in 0..100 {
        store.announce(hash(1), peer(n, 80), n < 30, now).unwrap();
        store.announce(hash(1), peer(n, 81), n < 30, now).unwrap();
    }
    let (seeds, leechers) = store.filters(hash(1)).unwrap();
    assert!((28.0..32.0).contains(&seeds.estimate()), "{}", seeds.estimate());
    assert!((66.0..74.0).contains(&leechers.estimate()), "{}", leechers.estimate());
}

proptest! {
    /// A map says what must be there.
    #[test]
    fn it_is_a_map_of_sets(operations in proptest::collection::vec(
        (0..6_u32, 0..40_u32, 0..3_u16, any::<bool>(), 0..600_u64), 1..300,
    )) {
        let (mut store, mut now) = store();
        let mut model = std::collections::BTreeMap::new();
        for (torrent, n, port, is_seed, wait) in operations {
            now += Duration::from_secs(wait);
            store.announce(hash(torrent), peer(n, port), is_seed, now).unwrap();
            model.insert((torrent, peer(n, port)), (now, is_seed));
            store.check_invariants();
        }
        store.sweep(now + SWEEP_EACH);
        let age = |at: Instant| (now + SWEEP_EACH).duration_since(at);
        for torrent in 0..6 {
            let found = sample(&store, hash(torrent), false, 500);
            let found: BTreeSet<_> = found.into_iter().collect();
            for ((_, peer), (at, _)) in model.iter().filter(|((known, _), _)| *known == torrent) {
                if age(*at) < PEER_LIFE - 4 * SECOND {
                    prop_assert!(found.contains(peer));
                } else if age(*at) > PEER_LIFE + 4 * SECOND {
                    prop_assert!(!found.contains(peer));
                }
            }
            let known = |peer: &SocketAddr| model.contains_key(&(torrent, *peer));
            prop_assert!(found.iter().all(known));
        }
    }
}
