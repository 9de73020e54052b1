//! Limits in virtual time.

use rand::{RngExt as _, SeedableRng as _};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn gate() -> (Gate, Instant) {
    let (mut rng, now) = (StdRng::seed_from_u64(3), Instant::now());
    (Gate::new(64, &mut rng, now), now)
}

fn ip(n: u32) -> IpAddr {
    IpAddr::V4((0x0900_0000 + n).into())
}

#[test]
fn a_host_may_ask_five_times_a_second() {
    let (mut gate, start) = gate();
    // For an hour.
    assert!((0..18_000).all(|n| gate.admits(ip(1), start + n * 200 * MS)));
    // Fifty at once after a rest.
    let then = start + Duration::from_secs(7_200);
    assert_eq!((0..50).filter(|_| gate.admits(ip(1), then)).count(), 50);
}

#[test]
fn who_floods_is_not_heard_for_five_minutes_and_harms_nobody_else() {
    let (mut gate, start) = gate();
    let admitted = (0..1_000).filter(|_| gate.admits(ip(1), start)).count();
    assert_eq!(admitted, 50);
    assert!(gate.admits(ip(2), start));
    // Now and then a query: still nothing.
    assert!((0..30).all(|n| !gate.admits(ip(1), start + n * 10_000 * MS)));
    assert!(!gate.admits(ip(1), start + 299_900 * MS));
    // Afterwards it may ask as all do, and floods no better than before.
    let after = start + 301_000 * MS;
    assert!(gate.admits(ip(1), after));
    let again = (0..1_000).filter(|n| gate.admits(ip(1), after + *n * MS)).count();
    assert!(again <= 12, "{again}");
}

/// One that goes on and on stays silenced.
#[test]
fn a_flood_without_end_is_answered_hardly_at_all() {
    let (mut gate, start) = gate();
    let admitted = (0..360_000).filter(|n| gate.admits(ip(1), start + *n * 10 * MS)).count();
    assert!(admitted < 50 * 13, "{admitted} of 360,000 in an hour");
}

#[test]
fn a_64_of_ipv6_is_one_host_and_loopback_none() {
    let (mut gate, now) = gate();
    let six = |n: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, n]);
    assert_eq!((0..1_000).filter(|n| gate.admits(six(*n), now)).count(), 50);
    let home: IpAddr = [127, 0, 0, 1].into();
    assert!((0..10_000).all(|_| gate.admits(home, now) && gate.may_reply(home, 1_000, now)));
    let node = SocketAddr::new(home, 1_000);
    assert!((0..10_000).all(|_| gate.ask(node, Haste::Background, now).is_ok()));
}

/// 10,000 a second from sources that are all forged: replies stay within their budget, memory
/// within its bound, and own queries have theirs.
#[test]
fn a_flood_from_everywhere_takes_no_more_than_the_reply_budget() {
    let (mut gate, start) = gate();
    let mut rng = StdRng::seed_from_u64(8);
    let (mut bytes, mut asked) = (0, 0);
    for n in 0..100_000_u32 {
        let now = start + n * MS / 10;
        let from = ip(rng.random_range(0..1 << 24));
        if gate.admits(from, now) && gate.may_reply(from, 300, now) {
            bytes += 300;
        }
        if n % 200 == 0 {
            let to = SocketAddr::new(ip(n), 6881);
            asked += usize::from(gate.ask(to, Haste::Background, now).is_ok());
        }
    }
    assert!(bytes <= 8_000 * 10 + 16_000, "{bytes} in 10 s");
    assert!(bytes > 8_000 * 9);
    assert_eq!(asked, 500, "fifty a second of our own");
}

#[test]
fn fresh_flows_have_a_budget_and_known_ones_none() {
    let (mut gate, start) = gate();
    let node = |n: u32| SocketAddr::new(ip(n), 6881);
    let sent = (0..10_000).filter(|n| gate.ask(node(*n), Haste::Background, start).is_ok());
    assert_eq!(sent.count(), 128);
    // The first of them again: no entry of a router's is needed for it.
    assert_eq!(gate.ask(node(0), Haste::Background, start), Ok(()));
    // Others have to wait as long as it says.
    let later = gate.ask(node(500), Haste::Background, start).unwrap_err();
    assert!(later > start && later <= start + 16 * MS);
    assert_eq!(gate.next_flow(Haste::Background, start), later);
    assert_eq!(gate.ask(node(500), Haste::Background, later), Ok(()));
    // Those that somebody waits for have as many again.
    let urgent = (20_000..30_000).filter(|n| gate.ask(node(*n), Haste::Urgent, start).is_ok());
    assert_eq!(urgent.count(), 128);
    // After half a minute an address is fresh again.
    let (mut gate, start) = self::gate();
    assert!((0..128).all(|n| gate.ask(node(n), Haste::Background, start).is_ok()));
    let soon = start + 29_000 * MS;
    assert!((0..128).all(|n| gate.ask(node(n), Haste::Background, soon).is_ok()));
    assert_eq!(gate.ask(node(500), Haste::Background, soon), Ok(()));
}

/// The invariant of the design: in no window of 30 s more fresh flows than the budget.
#[test]
fn flows_stay_within_the_budget_in_each_window() {
    let (mut gate, start) = gate();
    let mut rng = StdRng::seed_from_u64(4);
    let mut fresh: Vec<u32> = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for at in 0..90_000_u32 {
        let to = SocketAddr::new(ip(rng.random_range(0..20_000)), 6881);
        if gate.ask(to, Haste::Background, start + at * MS).is_ok() {
            let before = last.insert(to, at);
            if before.is_none_or(|before| at - before >= 30_000) {
                fresh.push(at);
            }
        }
    }
    for (index, at) in fresh.iter().enumerate() {
        let window = fresh[index..].iter().take_while(|later| **later - at < 30_000).count();
        assert!(window <= 64 * 30 + 128, "{window} in 30 s");
    }
    assert!(fresh.len() > 64 * 85);
}

/// Thousands of ids are named at one victim: it gets two queries in five seconds.
#[test]
fn nobody_is_steered_against_one_host() {
    let (mut gate, start) = gate();
    let mut sent = Vec::new();
    for at in 0..60_000_u32 {
        let to = SocketAddr::new(ip(7), 1_000 + (at % 50_000) as u16);
        if gate.ask(to, Haste::Urgent, start + at * MS).is_ok() {
            sent.push(at);
        }
    }
    assert!(sent[..4] == [0, 1, 2, 3], "four at once");
    assert!((27..=28).contains(&sent.len()), "{} in a minute", sent.len());
    assert!(sent[3..].windows(3).all(|three| three[2] - three[0] >= 4_997), "{sent:?}");
    // Who is told to wait may go at the time that he was told.
    let victim = SocketAddr::new(ip(7), 9);
    let then = start + 60_000 * MS;
    let later = (0..5).find_map(|_| gate.ask(victim, Haste::Urgent, then).err()).unwrap();
    assert_eq!(gate.ask(victim, Haste::Urgent, later), Ok(()));
}
