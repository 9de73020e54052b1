//! Worlds of peers in virtual time: honest ones of any speed among liars of all kinds. Whatever
//! they do, memory stays within the allowance, nobody honest is banned, and the metadata comes as
//! long as one honest peer stays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Honest,
    /// Leaves again and again, and comes back under another name.
    Fickle,
    /// Refuses for a minute.
    Busy,
    /// Finds out after a while.
    Seeker,
    Silent,
    /// Right length, wrong bytes: in all pieces or one.
    Liar,
    HalfLiar,
    /// Another length, and bytes for it.
    SizeLiar,
    /// Another length, a piece every four seconds.
    Dripper,
    /// The right length, a wrong piece every four seconds.
    SlowLiar,
    Refuser,
    WrongLengths,
    /// Names another length every second.
    Changer,
    /// Sends what nobody asked for.
    Flooder,
}

const BAD: [Kind; 10] = [
    Kind::Silent,
    Kind::Liar,
    Kind::HalfLiar,
    Kind::SizeLiar,
    Kind::Dripper,
    Kind::SlowLiar,
    Kind::Refuser,
    Kind::WrongLengths,
    Kind::Changer,
    Kind::Flooder,
];

impl Kind {
    fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::Fickle | Self::Busy | Self::Seeker)
    }
}

#[derive(Clone, Debug)]
struct Actor {
    kind: Kind,
    len: u32,
    delay: Duration,
    /// Time that a piece takes on its line.
    per_piece: Duration,
    free_at: Instant,
    since: Instant,
}

enum Event {
    Input(Input<u32>),
    /// The actor does what it does by itself.
    Act(u32),
}

struct World {
    seek: Seek<u32>,
    rng: StdRng,
    now: Instant,
    start: Instant,
    actors: BTreeMap<u32, Actor>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    waiting: BTreeMap<u64, Event>,
    next: u64,
    len: u32,
    content: Vec<u8>,
    allowance: usize,
    outstanding: BTreeMap<u32, usize>,
    in_checks: BTreeMap<u64, usize>,
    is_done: bool,
    trace: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let len = match rng.random_range(0..3) {
            0 => rng.random_range(1..20_000),
            1 => rng.random_range(20_000..400_000),
            _ => rng.random_range(400_000..3_000_000),
        };
        let allowance = rng.random_range(1..4) * 3_000_000;
        Self {
            seek: Seek::new(allowance),
            rng,
            now,
            start: now,
            actors: BTreeMap::new(),
            events: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            len,
            content: metadata(len),
            allowance,
            outstanding: BTreeMap::new(),
            in_checks: BTreeMap::new(),
            is_done: false,
            trace: String::new(),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.next += 1;
        self.events.push(Reverse((at, self.next)));
        self.waiting.insert(self.next, event);
    }

    fn join(&mut self, kind: Kind, at: Instant) {
        let name = self.actors.len() as u32;
        let len = match kind {
            Kind::SizeLiar | Kind::Dripper => self.rng.random_range(1..3_000_000),
            _ => self.len,
        };
        let slow = self.rng.random_ratio(1, 4);
        let per_piece_ms = if slow { self.rng.random_range(50..400) } else { 1 };
        let delay = Duration::from_millis(self.rng.random_range(1..600));
        let per_piece = Duration::from_millis(per_piece_ms);
        self.actors.insert(name, Actor { kind, len, delay, per_piece, free_at: at, since: at });
        let len = (kind != Kind::Seeker).then_some(len);
        self.at(at, Event::Input(Input::Claimed { peer: name, len }));
        let first = match kind {
            Kind::Seeker => 5_000,
            Kind::Fickle => self.rng.random_range(100..20_000),
            Kind::Changer => 1_000,
            Kind::Flooder => 200,
            _ => return,
        };
        self.at(at + Duration::from_millis(first), Event::Act(name));
    }

    fn act(&mut self, name: u32) {
        let Some(actor) = self.actors.get(&name).cloned() else { return };
        match actor.kind {
            Kind::Seeker => {
                self.say(Input::Claimed { peer: name, len: Some(actor.len) });
            }
            Kind::Fickle => {
                self.say(Input::Gone { peer: name });
                let back = self.now + Duration::from_millis(500);
                self.join(Kind::Fickle, back);
            }
            Kind::Changer => {
                let len = self.rng.random_range(1..3_000_000);
                self.say(Input::Claimed { peer: name, len: Some(len) });
                self.at(self.now + Duration::from_secs(1), Event::Act(name));
            }
            Kind::Flooder => {
                let piece = self.rng.random_range(0..4);
                self.say(Input::Data { peer: name, piece, bytes: vec![1; 16_384].into() });
                self.at(self.now + Duration::from_millis(200), Event::Act(name));
            }
            _ => {}
        }
    }

    fn say(&mut self, input: Input<u32>) {
        match &input {
            Input::Data { peer, .. } | Input::Rejected { peer, .. } => {
                let count = self.outstanding.entry(*peer).or_default();
                *count = count.saturating_sub(1);
            }
            _ => {}
        }
        self.seek.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.seek.poll_output() {
            match output {
                Output::Ask { peer, pieces } => self.on_ask(peer, pieces),
                Output::Check { check, pieces } => {
                    self.in_checks.insert(check.0, pieces.iter().map(|piece| piece.len()).sum());
                    let verdict = target_of(&self.content).check(&pieces);
                    let late = Duration::from_millis(self.rng.random_range(0..50));
                    self.at(self.now + late, Event::Input(Input::Checked { check, verdict }));
                }
                Output::Ban { peer } | Output::Close { peer } => {
                    let kind = self.actors[&peer].kind;
                    self.trace += &format!("{:?}: {peer} {kind:?} out\n", self.now - self.start);
                    assert!(!kind.is_honest(), "{kind:?} {peer} is banned\n{}", self.trace);
                    self.at(self.now, Event::Input(Input::Gone { peer }));
                }
                Output::Done => self.is_done = true,
            }
        }
        self.check_limits();
    }

    fn check_limits(&self) {
        let held: usize =
            self.seek.lengths.values().flat_map(|it| &it.copies).map(Attempt::held_bytes).sum();
        let hashed: usize = self.in_checks.values().sum();
        assert!(self.seek.reserved() <= self.allowance, "{} reserved", self.seek.reserved());
        assert!(held + hashed <= self.allowance, "{held} held and {hashed} in the checks");
        let open = self.seek.lengths.values().filter(|length| length.is_open()).count();
        assert!(open <= 4);
        for length in self.seek.lengths.values() {
            assert!(length.copies.len() <= 3 && (length.is_solo || length.copies.len() <= 1));
            assert!(length.copies.iter().all(|copy| copy.members.len() <= 3));
        }
    }

    fn on_ask(&mut self, peer: u32, pieces: Vec<u32>) {
        let Some(mut actor) = self.actors.get(&peer).cloned() else { return };
        for piece in pieces {
            let count = metadata_piece_count(actor.len);
            assert!(piece < count || actor.kind == Kind::Changer, "{piece} of {count}");
            let is_drip = matches!(actor.kind, Kind::Dripper | Kind::SlowLiar);
            let took = if is_drip { Duration::from_secs(4) } else { actor.per_piece };
            actor.free_at = actor.free_at.max(self.now) + took;
            let at = actor.free_at + actor.delay;
            let right = |world: &Self| -> Box<[u8]> {
                let begin = piece as usize * 16_384;
                world.content[begin..world.content.len().min(begin + 16_384)].into()
            };
            let wrong = |len: u32, by: u8| -> Box<[u8]> {
                vec![by; metadata_piece_len(len, piece).unwrap_or(1) as usize].into()
            };
            let is_busy =
                actor.kind == Kind::Busy && self.now < actor.since + Duration::from_secs(60);
            let bytes = match actor.kind {
                Kind::Silent => continue,
                Kind::Refuser => None,
                Kind::Busy if is_busy => None,
                Kind::Honest | Kind::Fickle | Kind::Busy | Kind::Seeker | Kind::Flooder => {
                    Some(right(self))
                }
                Kind::HalfLiar if piece + 1 != count => Some(right(self)),
                Kind::WrongLengths => Some(vec![0; 7].into()),
                _ => Some(wrong(actor.len, peer as u8)),
            };
            let input = match bytes {
                Some(bytes) => Input::Data { peer, piece, bytes },
                None => Input::Rejected { peer, piece },
            };
            self.at(at, Event::Input(input));
        }
        self.actors.insert(peer, actor);
    }

    /// Lets the time pass until it is done, or `most` is over.
    fn run(&mut self, most: Duration) -> Duration {
        while !self.is_done && self.now < self.start + most {
            let due = self.seek.next_timeout();
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let Some(next) = due.into_iter().chain(event).min() else { break };
            self.now = self.now.max(next);
            if event.is_some_and(|at| at <= self.now) {
                let Some(Reverse((_, number))) = self.events.pop() else { break };
                match self.waiting.remove(&number) {
                    Some(Event::Input(input)) => {
                        if let Input::Checked { check, .. } = &input {
                            self.in_checks.remove(&check.0);
                        }
                        self.say(input);
                    }
                    Some(Event::Act(name)) => self.act(name),
                    None => {}
                }
            } else {
                self.seek.handle(Input::Tick, self.now);
                let next = self.seek.next_timeout();
                assert!(next.is_none_or(|next| next > self.now), "woken for ever\n{}", self.trace);
                self.drain();
            }
        }
        self.now - self.start
    }
}

fn target_of(content: &[u8]) -> Target {
    Target::new(Some(InfoHash(sha1(&[content]))), None).unwrap()
}

/// Any crowd with one honest peer that stays.
#[test]
fn the_metadata_comes_and_no_honest_peer_is_banned() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut world = World::new(seed);
        let count = world.rng.random_range(0..25);
        let stays = [Kind::Honest, Kind::Busy, Kind::Seeker][world.rng.random_range(0..3)];
        let stays_after = world.rng.random_range(0..3_000);
        world.join(stays, world.start + Duration::from_millis(stays_after));
        for _ in 0..count {
            let at = world.start + Duration::from_millis(world.rng.random_range(0..5_000));
            let kind = match world.rng.random_ratio(1, 5) {
                true => [Kind::Honest, Kind::Fickle][world.rng.random_range(0..2)],
                false => BAD[world.rng.random_range(0..BAD.len())],
            };
            world.join(kind, at);
        }
        let took = world.run(Duration::from_secs(1_800));
        assert!(world.is_done, "seed {seed}: not in {took:?}\n{}", world.trace);
        times.push(took);
    }
    times.sort_unstable();
    let (median, last) = (times[100], times[199]);
    assert!(median < Duration::from_secs(5), "{median:?} {last:?}");
}

/// Target 13 of the design: three peers, one of which lies or is silent; 1 MB, 100 ms.
#[test]
fn three_peers_one_of_which_is_bad() {
    for (kind, most_ms) in [
        (Kind::Honest, 500),
        (Kind::Liar, 2_500),
        (Kind::HalfLiar, 2_500),
        (Kind::Silent, 2_500),
        (Kind::SlowLiar, 2_500),
        (Kind::Refuser, 800),
    ] {
        for seed in 0..10 {
            let mut world = World::new(seed);
            world.len = 1 << 20;
            world.content = metadata(world.len);
            world.allowance = ALLOWANCE;
            world.seek = Seek::new(ALLOWANCE);
            // The bad one first: it is the one that is asked.
            for kind in [kind, Kind::Honest, Kind::Honest] {
                world.join(kind, world.start);
            }
            for actor in world.actors.values_mut() {
                actor.delay = Duration::from_millis(100);
                actor.per_piece = Duration::from_micros(1_600);
            }
            let took = world.run(Duration::from_secs(60));
            assert!(world.is_done && took <= Duration::from_millis(most_ms), "{kind:?} {took:?}");
        }
    }
}

/// A hundred peers with a hundred lengths, silent all of them, and one that tells the truth.
#[test]
fn a_hundred_lengths_end_with_the_right_one() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        for number in 0..100 {
            let kind = if number % 2 == 0 { Kind::SizeLiar } else { Kind::Dripper };
            world.join(kind, world.start);
        }
        world.join(Kind::Honest, world.start + Duration::from_secs(1));
        let took = world.run(Duration::from_secs(3_600));
        assert!(world.is_done, "seed {seed}: not in {took:?}");
    }
}
