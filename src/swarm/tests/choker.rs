//! Whom the choker serves, given what links moved.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::choker::{Choker, Round, Standing, slots};
use crate::base::ids::LinkId;

const ROUND: Round = Round { seeding: false, slots: 5, credit: 1000 };

struct Table {
    choker: Choker,
    standings: Vec<Standing>,
    now: Instant,
    rng: StdRng,
}

impl Table {
    /// So many links that all want something and have moved nothing, up for five minutes.
    fn new(links: u64) -> Self {
        let began = Instant::now();
        let standing = |link| Standing {
            link: LinkId(link),
            interested: true,
            unchoked: false,
            since: began,
            up_since: began,
            down_rate: 0,
            up_rate: 0,
            owes: 0,
            snubbed: false,
        };
        Self {
            choker: Choker::default(),
            standings: (0..links).map(standing).collect(),
            now: began + Duration::from_secs(300),
            rng: StdRng::seed_from_u64(1),
        }
    }

    fn choose(&mut self, round: Round, rotate: bool) -> BTreeSet<u64> {
        let (standings, now) = (&self.standings, self.now);
        let chosen = self.choker.choose(standings, round, rotate, now, &mut self.rng);
        for it in &mut self.standings {
            let unchoked = chosen.contains(&it.link);
            if unchoked != it.unchoked {
                (it.unchoked, it.since) = (unchoked, now);
            }
        }
        chosen.into_iter().map(|link| link.0).collect()
    }

    /// A round later.
    fn next(&mut self, round: Round) -> BTreeSet<u64> {
        self.now += Duration::from_secs(10);
        self.choose(round, true)
    }
}

#[test]
fn places_grow_with_the_square_root_of_the_rate() {
    assert_eq!(slots(Some(1), 0), 2);
    assert_eq!(slots(Some(10_000), 0), 2);
    assert_eq!(slots(Some(100_000), 0), 7);
    assert_eq!(slots(Some(1_000_000), 5_000_000), 24, "the limit counts, not what flows");
    assert_eq!(slots(Some(u64::MAX), 0), 100);
    assert_eq!(slots(None, 0), 16);
    assert_eq!(slots(None, 5_000_000), 54);
}

/// BEP 3: "reciprocates to the peers which ... let it download".
#[test]
fn those_who_give_most_are_served_and_one_other() {
    let mut table = Table::new(10);
    for (at, rate) in [(3, 50), (5, 40), (7, 30), (8, 20), (9, 10)] {
        table.standings[at].down_rate = rate;
    }
    let chosen = table.choose(ROUND, true);
    assert!(chosen.is_superset(&[3, 5, 7, 8].into()), "{chosen:?}");
    assert_eq!(chosen.len(), 5);
}

/// BEP 3: "there is a single peer which is unchoked regardless of its upload rate ... Optimistic
/// unchoking rotates every 30 seconds".
#[test]
fn the_optimistic_place_goes_round_every_thirty_seconds() {
    let mut table = Table::new(12);
    (0..4).for_each(|at| table.standings[at].down_rate = 10);
    table.standings[4..].iter_mut().for_each(|it| it.owes = 5000);
    let optimist = |chosen: BTreeSet<u64>| -> u64 {
        assert_eq!(chosen.len(), 5);
        *chosen.last().unwrap()
    };
    let mut lucky: Vec<u64> = vec![optimist(table.choose(ROUND, true))];
    (0..11).for_each(|_| lucky.push(optimist(table.next(ROUND))));
    for turn in lucky.chunks(3) {
        assert!(turn.iter().all(|it| *it == turn[0]), "{lucky:?}");
    }
    assert!(lucky.chunks(3).zip(lucky.chunks(3).skip(1)).all(|(a, b)| a[0] != b[0]), "{lucky:?}");
}

/// BEP 3: "new connections are three times as likely to start as the current optimistic unchoke".
#[test]
fn new_links_are_three_times_as_likely_to_be_tried() {
    let mut hits = 0;
    for seed in 0..1000 {
        let mut table = Table::new(2);
        table.rng = StdRng::seed_from_u64(seed);
        table.standings.iter_mut().for_each(|it| it.owes = 5000);
        table.standings[1].up_since = table.now;
        let chosen = table.choose(Round { slots: 1, ..ROUND }, true);
        hits += u32::from(chosen == [1].into());
    }
    assert!((700..800).contains(&hits), "{hits}");
}

/// Before anybody gave anything, all places are given; who took too much without giving has
/// but the optimistic one.
#[test]
fn strangers_are_served_on_credit_and_no_further() {
    let mut table = Table::new(5);
    assert_eq!(table.choose(ROUND, true).len(), 5);
    table.standings.iter_mut().for_each(|it| it.owes = 1000);
    table.standings[2].owes = 999;
    let chosen = table.next(ROUND);
    assert!(chosen.contains(&2), "{chosen:?}");
    assert!(chosen.len() <= 2, "{chosen:?}");
}

/// BEP 3: it "assumes it is 'snubbed' by that peer and doesn't upload to it except as an
/// optimistic unchoke", whatever it gave before.
#[test]
fn who_lets_us_wait_has_no_regular_place() {
    let mut table = Table::new(3);
    table.standings.iter_mut().for_each(|it| (it.down_rate, it.snubbed) = (100, true));
    assert_eq!(table.choose(ROUND, true).len(), 1, "the optimistic place");
    table.standings[0].snubbed = false;
    assert!(table.next(ROUND).contains(&0));
}

#[test]
fn between_rounds_only_free_places_are_filled() {
    let mut table = Table::new(8);
    let before = table.choose(ROUND, true);
    table.standings[7].down_rate = 1_000_000;
    table.standings[7].unchoked = before.contains(&7);
    assert_eq!(table.choose(ROUND, false), before);
    let first = *before.first().unwrap() as usize;
    table.standings[first].interested = false;
    let after = table.choose(ROUND, false);
    assert_eq!(after.len(), 5);
    assert_eq!(after.difference(&before).count(), 1);
}

/// Who waits the longest is next, and a turn lasts half a minute.
#[test]
fn while_seeding_all_have_their_turn() {
    let round = Round { seeding: true, slots: 2, ..ROUND };
    let mut table = Table::new(6);
    let mut turns = vec![table.choose(round, true)];
    (0..9).for_each(|_| turns.push(table.next(round)));
    let pair = |a, b| BTreeSet::from([a, b]);
    assert!(turns[..3].iter().all(|it| *it == pair(0, 1)), "{turns:?}");
    assert!(turns[3..6].iter().all(|it| *it == pair(2, 3)), "{turns:?}");
    assert!(turns[6..9].iter().all(|it| *it == pair(4, 5)), "{turns:?}");
    assert_eq!(turns[9], pair(0, 1));
}

/// Places that nobody waits for stay with the fastest.
#[test]
fn while_seeding_the_fastest_stay_if_nobody_waits() {
    let round = Round { seeding: true, slots: 3, ..ROUND };
    let mut table = Table::new(3);
    table.choose(round, true);
    (0..3).for_each(|at| table.standings[at].up_rate = at as u64);
    table.now += Duration::from_secs(30);
    assert_eq!(table.choose(Round { slots: 2, ..round }, true), [1, 2].into());
}
