//! Anything at all in any order: what must always hold does, and every question ends once.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::super::items::Item;
use super::super::super::lookup::LOOKUP_MAX;
use super::*;

/// Questions that have not ended, with the time they were asked at.
type Open = BTreeMap<u64, Instant>;

fn some_hash(rng: &mut StdRng) -> InfoHash {
    let mut hash = HASH;
    hash.0[0] = rng.random_range(0..8);
    hash
}

/// What a stranger, or somebody whom we asked, sends.
fn datagram(bench: &Bench, rng: &mut StdRng) -> (SocketAddr, Vec<u8>) {
    let fars: Vec<u16> = (0..rng.random_range(0..12)).map(|_| rng.random_range(0..3_000)).collect();
    let mut bytes: Vec<u8> = match bench.asked.len() {
        0 => (0..rng.random_range(0..80)).map(|_| rng.random()).collect(),
        count => {
            let asked = &bench.asked[rng.random_range(count.saturating_sub(40)..count)];
            let [_, low, high, _] = octets(asked.to);
            let far = u16::from_be_bytes([high, low]) + u16::from(rng.random_ratio(1, 10));
            let values = b"6:valuesl6:\x50\x01\x02\x03\x1a\xe16:\x7f\x00\x00\x01\x1a\xe1e";
            let rest = match rng.random_range(0..5) {
                0 => Vec::new(),
                1 => [&nodes(&fars)[..], values].concat(),
                2 => b"5:nodes7:tornone".to_vec(),
                _ => nodes(&fars),
            };
            let bytes = match rng.random_range(0..12) {
                0 => asked.bytes.clone(),
                1 => [b"d1:eli201e4:busye1:t4:", &asked.tid[..], b"1:y1:ee"].concat(),
                _ => reply(&asked.tid, id(far), &rest),
            };
            let to = if rng.random_ratio(1, 15) { info(far + 1).address } else { asked.to };
            return (to, bytes);
        }
    };
    bytes.insert(0, b'd');
    (info(rng.random_range(0..3_000)).address, bytes)
}

fn anything(bench: &mut Bench, open: &mut Open, number: u64, rng: &mut StdRng) {
    let (ticket, hash) = (Ticket(number), some_hash(rng));
    let haste = if rng.random() { Haste::Urgent } else { Haste::Background };
    let address = info(rng.random_range(0..3_000)).address;
    let what = rng.random_range(0..200);
    if what < 8 {
        // It may end in the very call that asks it.
        open.insert(number, bench.now);
    }
    match what {
        0..4 => bench.handle(Input::Find { ticket, hash, haste }),
        4 => bench.handle(Input::Get { ticket, target: hash.into(), salt: Vec::new() }),
        5 => {
            let item = Item { value: format!("i{number}e").into_bytes(), signed: None };
            bench.handle(Input::Put { ticket, item });
        }
        6 => bench.handle(Input::Scrape { ticket, hash }),
        7 => bench.handle(Input::Ping { ticket, address }),
        8..12 => {
            let (port, implied, seed) = (rng.random_range(2..9_000), rng.random(), rng.random());
            bench.handle(Input::Announce { hash, port, implied, seed, haste });
        }
        12..14 => bench.handle(Input::Forget { hash }),
        14..18 => bench.handle(Input::Hinted { address, by: Hint::Peer }),
        18 => bench.handle(Input::Changed { slept: 600 * S }),
        19 => bench.handle(Input::Refused { to: address }),
        20 => bench.handle(Input::Other { good: rng.random_range(0..20) }),
        21..120 => {
            let (from, bytes) = datagram(bench, rng);
            bench.handle(Input::Datagram { from, bytes: &bytes });
        }
        _ => {
            // Time passes, now and then with nobody awake.
            bench.now += rng.random_range(0..60) * MS;
            if rng.random_ratio(1, 400) {
                bench.now += 100 * S;
            }
            bench.handle(Input::Wake);
        }
    }
}

#[test]
fn whatever_comes_invariants_hold_and_questions_end() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = Bench::new(Some(&saved(1..=rng.random_range(1..100))));
        let mut open = Open::new();
        for number in 0..2_000 {
            anything(&mut bench, &mut open, number, &mut rng);
            for output in bench.told.drain(..) {
                if let Output::Ended { ticket: Ticket(ended), .. } = output {
                    assert!(open.remove(&ended).is_some(), "seed {seed}: {ended} ended twice");
                }
            }
            if let Some(due) = bench.node.next_timeout() {
                assert!(due > bench.now, "seed {seed}: it would never sleep");
            }
        }
        let end = bench.now + LOOKUP_MAX;
        bench.run(end, |_| None);
        for output in &bench.told {
            if let Output::Ended { ticket: Ticket(ended), .. } = output {
                assert!(open.remove(ended).is_some(), "seed {seed}: {ended} ended twice");
            }
        }
        assert!(open.is_empty(), "seed {seed}: {open:?} never ended");
    }
}
