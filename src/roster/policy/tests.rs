//! The machine against the rules told plainly, which look at every torrent each time.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::turns::Claim;
use super::*;

const PHASES: [Phase; 10] = [
    Phase::Queued,
    Phase::Checking,
    Phase::Downloading,
    Phase::Moving,
    Phase::Complete,
    Phase::Finished,
    Phase::Paused,
    Phase::Stopping,
    Phase::DiskTrouble,
    Phase::Failed,
];

/// One torrent as the plain rules know it.
#[derive(Clone, PartialEq, Debug)]
struct Plain {
    row: Row,
    goals: Goals,
    complete_since: Option<Instant>,
    is_over: bool,
}

/// All torrents by id, and how many may run.
#[derive(Clone, PartialEq, Debug)]
struct World {
    all: BTreeMap<TorrentId, Plain>,
    places: usize,
    next_id: u32,
}

impl World {
    fn new(places: usize) -> Self {
        Self { all: BTreeMap::new(), places, next_id: 0 }
    }

    /// Whose turn it is: the first that wait, where those that hold a place leave some.
    fn due(&self) -> Vec<TorrentId> {
        let mut rows: Vec<_> = self.all.values().map(|it| &it.row).collect();
        rows.sort_by_key(|row| (row.queue_place, row.id));
        let claims = rows.iter().map(|row| (Claim::of(row.phase), row.id));
        let taken = claims.clone().filter(|(claim, _)| *claim == Claim::Holds).count();
        let waiting = claims.filter(|(claim, _)| *claim == Claim::Waits);
        waiting.map(|(_, id)| id).take(self.places.saturating_sub(taken)).collect()
    }

    /// Who has seeded enough.
    fn enough(&mut self, now: Instant) -> Vec<TorrentId> {
        let mut enough = Vec::new();
        for (id, plain) in &mut self.all {
            let Plain { row, goals, complete_since, is_over } = plain;
            if *goals == Goals::default() || *is_over {
                continue;
            }
            let is_enough = |since: Instant| {
                let is_generous = goals.ratio.is_some_and(|ratio| row.ratio() >= ratio);
                is_generous || goals.time.is_some_and(|time| now - since >= time)
            };
            let ends = match row.phase {
                Phase::Finished => {
                    *is_over = true;
                    false
                }
                Phase::Complete => is_enough(*complete_since.get_or_insert(now)),
                Phase::DiskTrouble | Phase::Downloading if row.flags.has(Flags::SEED_ONLY) => {
                    complete_since.is_some_and(is_enough)
                }
                _ => false,
            };
            enough.extend(ends.then_some(*id));
        }
        enough
    }

    /// All orders that hold.
    fn orders(&mut self, now: Instant) -> BTreeSet<Output> {
        let enough = self.enough(now).into_iter().map(Output::Finish);
        enough.chain(self.due().into_iter().map(Output::Start)).collect()
    }

    fn set_phase(&mut self, id: TorrentId, phase: Phase) -> Option<Row> {
        let plain = self.all.get_mut(&id)?;
        plain.row.phase = phase;
        Some(plain.row)
    }

    /// What a torrent does with an order.
    fn obey(&mut self, order: Output) -> Option<Row> {
        match order {
            Output::Start(id) => self.set_phase(id, Phase::Checking),
            Output::Finish(id) => self.set_phase(id, Phase::Finished),
        }
    }

    fn any(&self, rng: &mut StdRng) -> Option<TorrentId> {
        let nth = rng.random_range(0..self.all.len().max(1));
        self.all.keys().nth(nth).copied()
    }

    /// Something happens; what the machine hears of it.
    fn happen(&mut self, rng: &mut StdRng) -> Vec<Input> {
        let kind = rng.random_range(0..20);
        if kind == 0 {
            self.places = rng.random_range(0..6);
            return vec![Input::Places(self.places)];
        }
        let Some(id) = self.any(rng).filter(|_| kind > 3 || self.all.len() > 12) else {
            return self.add(rng);
        };
        if kind == 1 {
            self.all.remove(&id);
            return vec![Input::Removed(id)];
        }
        let Some(plain) = self.all.get_mut(&id) else { return Vec::new() };
        let row = &mut plain.row;
        match kind {
            2..=10 => row.phase = PHASES[rng.random_range(0..PHASES.len())],
            11..=13 => row.queue_place = rng.random_range(0..8),
            14..=16 => row.sent_bytes += rng.random_range(0..400),
            17 => row.wanted_bytes = rng.random_range(0..3000),
            _ => row.links += 1,
        }
        vec![Input::Row(*row)]
    }

    fn add(&mut self, rng: &mut StdRng) -> Vec<Input> {
        let id = TorrentId(self.next_id);
        self.next_id += 1;
        let row = Row {
            phase: PHASES[rng.random_range(0..PHASES.len())],
            flags: Flags::default().with(Flags::SEED_ONLY, rng.random_bool(0.4)),
            queue_place: rng.random_range(0..8),
            wanted_bytes: rng.random_range(0..3000),
            sent_bytes: rng.random_range(0..1000),
            ..Row::new(id)
        };
        let ratio = rng.random_bool(0.5).then(|| f64::from(rng.random_range(0..30)) / 10.0);
        let millis = rng.random_range(0..20_000);
        let time = rng.random_bool(0.5).then(|| Duration::from_millis(millis));
        let goals = Goals { ratio, time };
        self.all.insert(id, Plain { row, goals, complete_since: None, is_over: false });
        let mut told = vec![Input::Row(row), Input::Goals { id, goals, are_by_hand: true }];
        if rng.random_bool(0.5) {
            told.reverse();
        }
        told
    }
}

/// The orders of the machine that hold.
fn standing(policy: &Policy) -> BTreeSet<Output> {
    let pending = policy.members.iter().filter_map(|(id, it)| Some((*id, it.pending?)));
    pending.map(|(id, pending)| pending.order.to(id)).collect()
}

fn tick(policy: &mut Policy, now: Instant) {
    if policy.next_timeout().is_some_and(|at| at <= now) {
        policy.handle(Input::Tick, now);
    }
    assert!(policy.next_timeout().is_none_or(|at| at > now), "it wants to look without end");
}

#[test]
fn it_orders_what_the_plain_rules_order() {
    let mut seen = [0; 2];
    for seed in 0..30 {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut now = Instant::now();
        let mut world = World::new(2);
        let mut policy = Policy::new(2);
        let mut told = BTreeMap::new();
        for step in 0..2000 {
            if rng.random_bool(0.4) {
                now += Duration::from_millis(rng.random_range(0..1500));
            }
            world.happen(&mut rng).into_iter().for_each(|input| policy.handle(input, now));
            tick(&mut policy, now);
            let orders = world.orders(now);
            assert_eq!(standing(&policy), orders, "seed {seed}, step {step}");
            let polled: Vec<_> = std::iter::from_fn(|| policy.poll_output()).collect();
            for order in &polled {
                assert!(orders.contains(order), "seed {seed}, step {step}: stale {order:?}");
                seen[usize::from(matches!(order, Output::Start(_)))] += 1;
                told.insert(*order, now);
            }
            // What holds was told, and not only long ago.
            for order in &orders {
                let at = told.get(order).expect("it was told");
                assert!(now - *at < PATIENCE, "seed {seed}, step {step}: {order:?} is forgotten");
            }
            // Many orders are lost.
            for order in polled.into_iter().filter(|_| rng.random_bool(0.5)) {
                let row = world.obey(order).expect("it is there");
                policy.handle(Input::Row(row), now);
                world.orders(now);
            }
            while let Some(order) = policy.poll_output() {
                told.insert(order, now);
            }
        }
        assert!(policy.members.len() == world.all.len() && policy.looks.len() <= world.all.len());
    }
    assert!(seen[0] > 500 && seen[1] > 500, "finished and started: {seen:?}");
}

#[test]
fn a_session_by_orders_is_one_by_looking() {
    for seed in 100..130 {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut now = Instant::now();
        let (mut looked, mut ordered) = (World::new(3), World::new(3));
        let mut policy = Policy::new(3);
        for step in 0..2000 {
            now += Duration::from_millis(rng.random_range(0..800));
            let inputs = looked.happen(&mut rng);
            for input in inputs {
                match input {
                    Input::Row(row) => {
                        let goals = looked.all[&row.id].goals;
                        let new = Plain { row, goals, complete_since: None, is_over: false };
                        ordered.all.entry(row.id).or_insert(new).row = row;
                    }
                    Input::Removed(id) => drop(ordered.all.remove(&id)),
                    _ => {}
                }
                policy.handle(input, now);
            }
            loop {
                let orders = looked.orders(now);
                for order in &orders {
                    looked.obey(*order).expect("it is there");
                }
                if orders.is_empty() {
                    break;
                }
            }
            tick(&mut policy, now);
            while let Some(order) = policy.poll_output() {
                let row = ordered.obey(order).expect("it is there");
                policy.handle(Input::Row(row), now);
            }
            let rows = |world: &World| world.all.values().map(|it| it.row).collect::<Vec<_>>();
            assert_eq!(rows(&ordered), rows(&looked), "seed {seed}, step {step}");
        }
    }
}

const ID: TorrentId = TorrentId(1);

fn row(phase: Phase) -> Row {
    Row { phase, wanted_bytes: 1000, queue_place: 0, ..Row::new(ID) }
}

fn polled(policy: &mut Policy) -> Vec<Output> {
    std::iter::from_fn(|| policy.poll_output()).collect()
}

fn by_hand(goals: Goals) -> Input {
    Input::Goals { id: ID, goals, are_by_hand: true }
}

fn seeding(goals: Goals, now: Instant) -> Policy {
    let mut policy = Policy::new(1);
    policy.handle(by_hand(goals), now);
    policy.handle(Input::Row(row(Phase::Complete)), now);
    policy
}

#[test]
fn it_is_asked_again_when_the_first_time_comes() {
    let now = Instant::now();
    let hour = Duration::from_secs(3600);
    let mut policy = seeding(Goals { ratio: Some(1.5), time: Some(hour) }, now);
    assert_eq!(policy.next_timeout(), Some(now + hour));
    policy.handle(Input::Tick, now + hour - Duration::from_millis(1));
    assert_eq!(polled(&mut policy), []);
    policy.handle(Input::Tick, now + hour);
    assert_eq!(polled(&mut policy), [Output::Finish(ID)]);
    policy.handle(Input::Row(row(Phase::Finished)), now + hour);
    assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
}

#[test]
fn a_ratio_is_reached_with_the_row_that_says_so() {
    let now = Instant::now();
    let mut policy = seeding(Goals { ratio: Some(1.5), time: None }, now);
    assert_eq!(policy.next_timeout(), None);
    for (sent_bytes, orders) in [(1499, vec![]), (1500, vec![Output::Finish(ID)])] {
        policy.handle(Input::Row(Row { sent_bytes, ..row(Phase::Complete) }), now);
        assert_eq!(polled(&mut policy), orders);
    }
}

#[test]
fn without_a_goal_it_seeds_for_ever() {
    let now = Instant::now();
    let never = Goals { ratio: None, time: Some(Duration::MAX) };
    for goals in [Goals::default(), never] {
        let mut policy = seeding(goals, now);
        let sent = Row { sent_bytes: 9999, ..row(Phase::Complete) };
        policy.handle(Input::Row(sent), now);
        assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
    }
}

#[test]
fn one_that_was_resumed_seeds_on_until_it_has_another_goal() {
    let now = Instant::now();
    let goals = |secs| Goals { ratio: None, time: Some(Duration::from_secs(secs)) };
    let mut policy = seeding(goals(0), now);
    assert_eq!(polled(&mut policy), [Output::Finish(ID)]);
    for phase in [Phase::Finished, Phase::Complete] {
        policy.handle(Input::Row(row(phase)), now);
    }
    policy.handle(by_hand(goals(0)), now);
    assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
    // Goals that come and go by themselves do not undo that.
    for secs in [0, 30, 60] {
        policy.handle(Input::Goals { id: ID, goals: goals(secs), are_by_hand: false }, now);
        assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
    }
    policy.handle(by_hand(goals(0)), now);
    policy.handle(by_hand(goals(60)), now);
    let then = now + Duration::from_secs(60);
    assert_eq!(policy.next_timeout(), Some(then));
    policy.handle(Input::Tick, then);
    assert_eq!(polled(&mut policy), [Output::Finish(ID)]);
}

#[test]
fn an_order_without_effect_is_given_again_after_a_second() {
    let now = Instant::now();
    let mut policy = Policy::new(1);
    policy.handle(Input::Row(row(Phase::Queued)), now);
    assert_eq!(polled(&mut policy), [Output::Start(ID)]);
    // It is told of other things meanwhile.
    policy.handle(Input::Row(Row { links: 1, ..row(Phase::Queued) }), now);
    assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], Some(now + PATIENCE)));
    policy.handle(Input::Tick, now + PATIENCE);
    assert_eq!(polled(&mut policy), [Output::Start(ID)]);
}

#[test]
fn what_is_not_due_any_more_is_not_ordered() {
    let now = Instant::now();
    let mut policy = Policy::new(1);
    policy.handle(Input::Row(row(Phase::Queued)), now);
    policy.handle(Input::Row(row(Phase::Paused)), now);
    assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
    policy.handle(Input::Row(row(Phase::Queued)), now);
    policy.handle(Input::Removed(ID), now);
    assert_eq!((polled(&mut policy), policy.next_timeout()), (vec![], None));
    assert!(policy.has_place());
}

#[test]
fn what_was_withdrawn_before_it_was_polled_holds_up_nobody() {
    let now = Instant::now();
    let other = TorrentId(2);
    let gone = [Input::Removed(ID), Input::Row(row(Phase::Failed))];
    for withdrawn in gone {
        let mut policy = Policy::new(2);
        policy.handle(Input::Row(row(Phase::Queued)), now);
        policy.handle(Input::Row(Row { id: other, queue_place: 1, ..row(Phase::Queued) }), now);
        policy.handle(withdrawn, now);
        assert_eq!(polled(&mut policy), [Output::Start(other)]);
    }
}

#[test]
fn orders_are_given_in_the_order_of_the_queue() {
    let now = Instant::now();
    let mut policy = Policy::new(3);
    for (id, queue_place) in [(1, 5), (2, 9), (3, 7)] {
        let id = TorrentId(id);
        policy.handle(Input::Row(Row { id, queue_place, ..row(Phase::Queued) }), now);
    }
    assert_eq!(polled(&mut policy), [1, 3, 2].map(|id| Output::Start(TorrentId(id))));
}
