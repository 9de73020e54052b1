//! The roster and the rules with 50,000 torrents: what one change costs, what a reader that polls
//! after it, what a reader of everything. It measures no session and no torrent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use pigeon::base::ids::TorrentId;
use pigeon::roster::policy::{Goals, Input, Output, Policy};
use pigeon::roster::{Cursor, EventKind, Events, Phase, Roster, Row};

const TORRENTS: u32 = 50_000;
/// How far the torrent of the next change is from that of the last; has no divisor in common.
const STRIDE: u32 = 7_919;

fn main() {
    divan::main();
}

fn row(id: u32) -> Row {
    Row {
        queue_place: u64::from(id) << 32,
        phase: if id.is_multiple_of(10) { Phase::Queued } else { Phase::Complete },
        wanted_bytes: 1 << 30,
        done_bytes: 1 << 30,
        ..Row::new(TorrentId(id))
    }
}

fn roster() -> Roster {
    let mut roster = Roster::new(1);
    for id in 0..TORRENTS {
        roster.apply(row(id));
    }
    roster
}

/// Rows that differ from those before, of one torrent after the other.
fn changes() -> impl FnMut() -> Row {
    let mut turn = 0u64;
    move || {
        turn += 1;
        let id = (turn * u64::from(STRIDE) % u64::from(TORRENTS)) as u32;
        Row { sent_bytes: turn, ..row(id) }
    }
}

#[divan::bench]
fn fill(bencher: Bencher) {
    bencher.bench_local(roster);
}

#[divan::bench]
fn apply_one_change(bencher: Bencher) {
    let (mut roster, mut next) = (roster(), changes());
    bencher.bench_local(move || roster.apply(next()));
}

#[divan::bench]
fn apply_no_change(bencher: Bencher) {
    let mut roster = roster();
    bencher.bench_local(move || roster.apply(black_box(row(4_711))));
}

#[divan::bench]
fn since_one_change(bencher: Bencher) {
    let (roster, mut next) = (RefCell::new(roster()), changes());
    let change = || {
        let cursor = roster.borrow().cursor();
        roster.borrow_mut().apply(next());
        cursor
    };
    bencher.with_inputs(change).bench_local_values(|cursor| roster.borrow().since(cursor));
}

#[divan::bench]
fn since_the_beginning(bencher: Bencher) {
    let roster = roster();
    bencher.bench_local(|| roster.since(Cursor::default()));
}

/// All torrents changed: not a full answer, but as long.
#[divan::bench]
fn since_all_changed(bencher: Bencher) {
    let mut roster = roster();
    roster.apply(Row { links: 1, ..row(0) });
    let cursor = roster.cursor();
    for id in 0..TORRENTS {
        roster.apply(Row { links: 2, ..row(id) });
    }
    bencher.bench_local(|| roster.since(cursor));
}

fn is_in(phase: Phase, id: TorrentId) -> Input {
    Input::Row(Row { phase, ..row(id.0) })
}

fn by_hand(id: TorrentId, goals: Goals) -> Input {
    Input::Goals { id, goals, are_by_hand: true }
}

/// Five places, a tenth waits, all others seed towards a ratio and a time. Who runs comes with it.
fn policy(now: Instant) -> (Policy, VecDeque<TorrentId>) {
    let (mut policy, mut running) = (Policy::new(5), VecDeque::new());
    for id in 0..TORRENTS {
        let time = Duration::from_secs(u64::from(id) + 3600);
        let goals = Goals { ratio: Some(2.0), time: Some(time) };
        policy.handle(by_hand(TorrentId(id), goals), now);
        policy.handle(Input::Row(row(id)), now);
    }
    while let Some(Output::Start(id)) = policy.poll_output() {
        policy.handle(is_in(Phase::Checking, id), now);
        running.push_back(id);
    }
    (policy, running)
}

/// One torrent sent something.
#[divan::bench]
fn policy_a_row_without_consequence(bencher: Bencher) {
    let now = Instant::now();
    let ((mut policy, _), mut next) = (policy(now), changes());
    bencher.bench_local(move || {
        policy.handle(Input::Row(next()), now);
        policy.poll_output()
    });
}

/// One that runs is through, the next in line starts, and the first stands in line again: three
/// rows.
#[divan::bench]
fn policy_a_turn(bencher: Bencher) {
    let now = Instant::now();
    let (mut policy, mut running) = policy(now);
    let mut end = u64::from(TORRENTS) << 32;
    bencher.bench_local(move || {
        let through = running.pop_front().expect("five run");
        policy.handle(is_in(Phase::Paused, through), now);
        let Some(Output::Start(next)) = policy.poll_output() else { panic!("nobody starts") };
        policy.handle(is_in(Phase::Checking, next), now);
        running.push_back(next);
        end += 1;
        let again = Row { phase: Phase::Queued, queue_place: end, ..row(through.0) };
        policy.handle(Input::Row(again), now);
    });
}

/// One torrent after the other has seeded long enough, finishes, and is resumed with a new goal.
#[divan::bench]
fn policy_a_goal(bencher: Bencher) {
    let now = Instant::now();
    let (mut policy, _) = policy(now);
    bencher.bench_local(move || {
        let at = policy.next_timeout().expect("there are goals");
        policy.handle(Input::Tick, at);
        let Some(Output::Finish(id)) = policy.poll_output() else { panic!("nobody finishes") };
        policy.handle(is_in(Phase::Finished, id), at);
        policy.handle(is_in(Phase::Complete, id), at);
        let time = Some(at.duration_since(now) + Duration::from_secs(60_000));
        policy.handle(by_hand(id, Goals { ratio: Some(2.0), time }), at);
    });
}

#[divan::bench]
fn an_event(bencher: Bencher) {
    let mut events = Events::new(1);
    let change = EventKind::PhaseChanged { from: Phase::Queued, to: Phase::Checking };
    bencher.bench_local(move || events.push(TorrentId(1), 1, black_box(change.clone())));
}
