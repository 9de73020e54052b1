//! Blocklists of a million ranges: to read one has to take half a second at most, to look an
//! address up 0.4 µs, and what is kept 9 MB.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pigeon::net::blocklist::parse::List;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const RANGES: u32 = 1_000_000;
/// Addresses asked for, more than the processor remembers the way to.
const ASKED: usize = 1 << 16;

fn main() {
    let held = List::read(text().as_bytes(), false).expect("a list").table.held_bytes();
    println!("{RANGES} ranges are kept in {held} bytes");
    divan::main();
}

/// Ranges that do not touch, all over IPv4, and as in lists of the world in order.
fn text() -> String {
    let mut rng = StdRng::seed_from_u64(6);
    let mut text = String::new();
    for number in 0..RANGES {
        let first = number * 4_290 + rng.random_range(0..2_000);
        let last = first + rng.random_range(0..2_000);
        let (first, last) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
        writeln!(text, "Some Organisation, number {number}:{first}-{last}").expect("memory");
    }
    text
}

#[divan::bench(sample_count = 10)]
fn read(bencher: Bencher<'_, '_>) {
    let text = text();
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| List::read(black_box(text.as_bytes()), false));
}

#[divan::bench]
fn look_up(bencher: Bencher<'_, '_>) {
    let list = List::read(text().as_bytes(), false).expect("a list");
    let mut rng = StdRng::seed_from_u64(7);
    let asked: Vec<IpAddr> = (0..ASKED).map(|_| Ipv4Addr::from_bits(rng.random()).into()).collect();
    bencher
        .counter(ItemsCount::new(ASKED))
        .bench_local(|| asked.iter().filter(|ip| list.table.contains(black_box(**ip))).count());
}
