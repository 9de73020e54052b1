//! Plans in virtual time.

use super::*;

use crate::base::url::Url;

/// Connections of one torrent to one site.
const TORRENT_MAX: usize = 8;

/// A connection: its number and its server.
#[derive(Debug, PartialEq, Eq)]
struct Wire(u32, &'static str);

impl Open for Wire {
    type Origin = &'static str;

    fn origin(&self) -> &Self::Origin {
        &self.1
    }
}

struct Desk {
    plan: Plan<Wire>,
    now: Instant,
    next: u64,
    /// Slots of the one site that is measured, and what it has sent.
    held: Vec<u64>,
    bytes: u64,
    answers: u64,
}

impl Desk {
    fn new() -> Self {
        let (now, held) = (Instant::now(), Vec::new());
        Self { plan: Plan::new(TORRENT_MAX, 1), now, next: 0, held, bytes: 0, answers: 0 }
    }

    fn ask(&mut self, name: &str, torrent: u8) -> u64 {
        self.ask_for(name, torrent, 1)
    }

    /// A torrent asks that lacks so many bytes.
    fn ask_for(&mut self, name: &str, torrent: u8, left_bytes: u64) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.plan.ask(ticket, site(name), (InfoHash([torrent; 20]), left_bytes), self.now);
        ticket
    }

    fn end(&mut self, ticket: u64, connections: Vec<Wire>) {
        self.plan.end(ticket, connections, self.now);
    }

    fn busy(&mut self, ticket: u64, retry_after: Option<u64>) -> Duration {
        let retry_after = retry_after.map(Duration::from_secs);
        self.plan.busy(ticket, Busy { why: "it says 503".to_owned(), retry_after }, self.now)
    }

    /// Lets time pass, as whoever owns the plan does.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.plan.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.plan.tick(self.now);
        }
        self.now = end;
        self.plan.tick(self.now);
    }

    fn outputs(&mut self) -> Vec<Output<Wire>> {
        std::iter::from_fn(|| self.plan.poll_output()).collect()
    }

    /// The tickets that were given a slot.
    fn granted(&mut self) -> Vec<u64> {
        let ticket = |output| match output {
            Output::Grant { ticket, .. } => Some(ticket),
            _ => None,
        };
        self.outputs().into_iter().filter_map(ticket).collect()
    }
}

const ORIGIN: &str = "mirror";

fn site(name: &str) -> Site {
    Url::parse(&format!("http://{name}/")).unwrap().origin().site()
}

#[test]
fn two_slots_at_first_and_the_rest_wait_without_a_word_to_their_own_torrent() {
    let mut desk = Desk::new();
    let tickets: Vec<_> = (0..4).map(|_| desk.ask(ORIGIN, 1)).collect();
    assert_eq!(desk.granted(), tickets[..2]);
    let other = desk.ask(ORIGIN, 2);
    let why = "all 2 connections to it are in use".to_owned();
    let told = [
        Output::Contended { site: site(ORIGIN), is: true },
        Output::Wait { ticket: other, until: None, why },
    ];
    assert_eq!(desk.outputs(), told);
    // Others are others.
    let another = desk.ask("another", 1);
    assert_eq!(desk.granted(), [another]);
}

#[test]
fn slots_go_to_the_torrent_that_holds_fewest_and_among_equals_to_who_came_first() {
    let mut desk = Desk::new();
    let [a, b, c] = [1, 1, 1].map(|torrent| desk.ask(ORIGIN, torrent));
    let d = desk.ask(ORIGIN, 2);
    let e = desk.ask(ORIGIN, 3);
    assert_eq!(desk.granted(), [a, b]);
    desk.end(a, Vec::new());
    assert_eq!(desk.granted(), [d], "the second torrent holds none");
    desk.end(d, Vec::new());
    assert_eq!(desk.granted(), [e]);
    desk.end(e, Vec::new());
    assert_eq!(desk.granted(), [c]);
    assert!(!desk.plan.sites[&site(ORIGIN)].is_contended);
}

#[test]
fn among_torrents_that_hold_equally_many_the_one_that_lacks_least_comes_first() {
    let mut desk = Desk::new();
    let [a, b] = [1, 1].map(|torrent| desk.ask_for(ORIGIN, torrent, 5));
    let large = desk.ask_for(ORIGIN, 2, 1 << 40);
    let small = desk.ask_for(ORIGIN, 3, 1 << 20);
    let again = desk.ask_for(ORIGIN, 1, 5);
    assert_eq!(desk.granted(), [a, b]);
    desk.end(a, Vec::new());
    assert_eq!(desk.granted(), [small], "the first one lacks less, and holds one");
    desk.end(b, Vec::new());
    assert_eq!(desk.granted(), [again], "it holds none now");
    desk.end(again, Vec::new());
    assert_eq!(desk.granted(), [large]);
}

#[test]
fn a_ticket_that_is_withdrawn_gets_nothing() {
    let mut desk = Desk::new();
    let [a, b, c, d] = [1, 1, 2, 3].map(|torrent| desk.ask(ORIGIN, torrent));
    assert_eq!(desk.granted(), [a, b]);
    desk.end(c, Vec::new());
    desk.end(b, Vec::new());
    assert_eq!(desk.granted(), [d]);
    desk.end(d, Vec::new());
    desk.end(d, Vec::new());
    desk.end(a, Vec::new());
    assert_eq!(desk.outputs(), [], "nobody waits");
    desk.pass(Duration::ZERO);
    assert!(!desk.plan.knows(&site(ORIGIN)) && desk.plan.leases == 0);
}

#[test]
fn open_connections_are_kept_for_the_next_one_to_each_server_and_not_for_long() {
    let mut desk = Desk::new();
    let [a, b] = [1, 1].map(|torrent| desk.ask(ORIGIN, torrent));
    desk.granted();
    desk.end(a, vec![Wire(1, "front"), Wire(2, "back")]);
    desk.pass(Duration::from_secs(1));
    desk.end(b, vec![Wire(3, "back")]);
    // No more are kept than there are slots.
    let c = desk.ask(ORIGIN, 2);
    let connections = vec![Wire(3, "back")];
    assert_eq!(desk.outputs(), [Output::Grant { ticket: c, connections }]);
    let d = desk.ask(ORIGIN, 3);
    let connections = vec![Wire(2, "back")];
    assert_eq!(desk.outputs(), [Output::Grant { ticket: d, connections }]);
    desk.end(c, vec![Wire(4, "front")]);
    desk.pass(IDLE_MAX - Duration::from_millis(1));
    assert!(desk.plan.knows(&site(ORIGIN)));
    let e = desk.ask(ORIGIN, 2);
    let connections = vec![Wire(4, "front")];
    assert_eq!(desk.outputs(), [Output::Grant { ticket: e, connections }]);
    desk.end(e, vec![Wire(4, "front")]);
    desk.end(d, Vec::new());
    desk.pass(IDLE_MAX);
    assert!(!desk.plan.knows(&site(ORIGIN)), "nothing is held for nobody");
}

#[test]
fn an_origin_that_is_busy_is_left_alone_as_long_as_it_says() {
    let mut desk = Desk::new();
    let [a, b] = [1, 1].map(|torrent| desk.ask(ORIGIN, torrent));
    let c = desk.ask(ORIGIN, 2);
    desk.outputs();
    assert_eq!(desk.busy(a, Some(3)), Duration::from_secs(3));
    let until = desk.now + Duration::from_secs(3);
    let why = "it says 503".to_owned();
    let wait = Output::Wait { ticket: c, until: Some(until), why };
    assert!(desk.outputs().contains(&wait));
    // One that was told the same a moment later.
    assert_eq!(desk.busy(b, Some(3)), Duration::from_secs(3));
    desk.end(a, Vec::new());
    desk.end(b, Vec::new());
    assert!(desk.granted().is_empty());
    desk.pass(Duration::from_millis(2999));
    assert!(desk.granted().is_empty());
    assert_eq!(desk.plan.next_timeout(), Some(until));
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.granted(), [c]);
    // Half of the slots, counted once.
    desk.ask(ORIGIN, 3);
    assert!(desk.granted().is_empty());
}

#[test]
fn without_a_word_the_wait_doubles_up_to_two_minutes_and_begins_anew_after_an_answer() {
    let mut desk = Desk::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let ticket = desk.ask(ORIGIN, 1);
        assert_eq!(desk.granted(), [ticket]);
        let wait = desk.busy(ticket, None);
        desk.end(ticket, Vec::new());
        desk.pass(wait);
        waits.push(wait.as_secs_f64());
    }
    for (wait, least) in waits.iter().zip([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0, 120.0, 120.0]) {
        assert!((least..=least * 1.2).contains(wait), "{waits:?}");
    }
    assert!(waits.windows(2).any(|pair| pair[1] % pair[0] != 0.0), "by chance a little longer");
    let ticket = desk.ask(ORIGIN, 1);
    desk.plan.measure(&site(ORIGIN), 1000, 1, desk.now);
    assert!(desk.busy(ticket, None) < Duration::from_secs(3));
}

/// Runs an site for a while that brings what `rate` says of the number of its connections, each
/// second. Returns how many there were in each second.
fn climb(desk: &mut Desk, seconds: u64, rate: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut counts = Vec::new();
    for _ in 0..seconds {
        let granted = desk.granted();
        desk.held.extend(granted);
        desk.pass(Duration::from_secs(1));
        desk.bytes += rate(desk.held.len());
        desk.answers += desk.held.len() as u64;
        desk.plan.measure(&site(ORIGIN), desk.bytes, desk.answers, desk.now);
        if desk.plan.sites[&site(ORIGIN)].is_contended {
            // One goes after its run, and wants to come back.
            let ticket = desk.held.remove(0);
            let torrent = desk.plan.sites[&site(ORIGIN)].held[&ticket].0[0];
            desk.end(ticket, Vec::new());
            desk.ask(ORIGIN, torrent);
        }
        counts.push(desk.held.len());
    }
    counts
}

#[test]
fn slots_grow_while_each_brings_a_tenth_more_up_to_what_one_torrent_may_have() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    let counts = climb(&mut desk, 60, |held| held as u64 * 1_000_000);
    assert_eq!(counts.last(), Some(&TORRENT_MAX), "{counts:?}");
    // With two torrents the site's own cap holds.
    for _ in 0..12 {
        desk.ask(ORIGIN, 2);
    }
    let counts = climb(&mut desk, 120, |held| held as u64 * 1_000_000);
    assert!(counts.iter().all(|count| *count <= ORIGIN_MAX), "{counts:?}");
}

#[test]
fn slots_that_bring_nothing_are_given_up_and_tried_ever_more_seldom() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    // All that the line carries comes over three.
    let counts = climb(&mut desk, 400, |held| held.min(3) as u64 * 1_000_000);
    let late = &counts[100..];
    assert!(late.iter().all(|count| (2..=4).contains(count)), "{counts:?}");
    let three = late.iter().filter(|count| **count == 3).count();
    assert!(three * 10 > late.len() * 8, "{three} of {}: {counts:?}", late.len());
}

#[test]
fn an_origin_that_was_busy_gets_no_more_slots_for_half_a_minute() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    climb(&mut desk, 30, |held| held as u64 * 1_000_000);
    let before = desk.plan.sites[&site(ORIGIN)].climb.slots();
    assert!(before >= 6, "{before}");
    let ticket = *desk.plan.sites[&site(ORIGIN)].held.keys().next().unwrap();
    desk.busy(ticket, Some(1));
    assert_eq!(desk.plan.sites[&site(ORIGIN)].climb.slots(), before / 2);
    let counts = climb(&mut desk, 29, |held| held as u64 * 1_000_000);
    assert!(desk.plan.sites[&site(ORIGIN)].climb.slots() <= before / 2, "{counts:?}");
    let counts = climb(&mut desk, 30, |held| held as u64 * 1_000_000);
    assert!(desk.plan.sites[&site(ORIGIN)].climb.slots() > before / 2, "{counts:?}");
}

#[test]
fn when_all_that_the_sites_share_is_taken_those_that_have_most_give_to_one_that_has_none() {
    let mut desk = Desk::new();
    // Each has two, and would use a third.
    let names: Vec<_> = (0..LEASES_MAX / 2).map(|number| format!("a{number}")).collect();
    let asked: Vec<_> = names.iter().map(|name| [1; 3].map(|it| desk.ask(name, it))).collect();
    assert_eq!(desk.granted().len(), LEASES_MAX);
    let new = desk.ask("new", 2);
    let outputs = desk.outputs();
    let contended = |is| {
        move |output: &&Output<Wire>| match output {
            Output::Contended { is: it, .. } => *it == is,
            _ => false,
        }
    };
    // And the new one itself, whose torrent waits.
    assert_eq!(outputs.iter().filter(contended(true)).count(), LEASES_MAX / 2 + 1);
    let why = "there are too many connections already".to_owned();
    assert!(outputs.contains(&Output::Wait { ticket: new, until: None, why }));
    desk.end(asked[0][0], Vec::new());
    let outputs = desk.outputs();
    assert!(outputs.contains(&Output::Grant { ticket: new, connections: Vec::new() }));
    assert_eq!(outputs.iter().filter(contended(false)).count(), LEASES_MAX / 2 + 1);
    assert!(desk.plan.sites.values().all(|state| !state.is_contended));
}
