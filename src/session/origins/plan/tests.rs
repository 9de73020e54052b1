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
    /// How often it had no time.
    refused: u32,
}

impl Desk {
    fn new() -> Self {
        let (now, held) = (Instant::now(), Vec::new());
        let plan = Plan::new(TORRENT_MAX, 1);
        Self { plan, now, next: 0, held, bytes: 0, answers: 0, refused: 0 }
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

    fn busy(&mut self, ticket: u64, retry_after: Option<u64>) -> Option<Duration> {
        let retry_after = retry_after.map(Duration::from_secs);
        self.plan.busy(ticket, Busy { why: "it says 503".to_owned(), retry_after }, self.now)
    }

    /// Whose slot that is.
    fn torrent(&self, ticket: u64) -> u8 {
        self.plan.sites[&site(ORIGIN)].held[&ticket].torrent.0[0]
    }

    /// Gives a slot back, and wants another one for that torrent.
    fn again(&mut self, ticket: u64, torrent: u8) {
        self.end(ticket, Vec::new());
        self.ask(ORIGIN, torrent);
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
    assert_eq!(desk.busy(a, Some(3)), Some(Duration::from_secs(3)));
    let until = desk.now + Duration::from_secs(3);
    let why = "it says 503".to_owned();
    let wait = Output::Wait { ticket: c, until: Some(until), why };
    assert!(desk.outputs().contains(&wait));
    // One that was told the same a moment later.
    assert_eq!(desk.busy(b, Some(3)), Some(Duration::from_secs(3)));
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
        let wait = desk.busy(ticket, None).unwrap();
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
    assert!(desk.busy(ticket, None).unwrap() < Duration::from_secs(3));
}

const TENTH: Duration = Duration::from_millis(100);

/// Runs a site for a while that brings what `rate` says of the number of its connections, each
/// tenth of a second, over each of them. It has no time for more than `most` of them. Returns how
/// many there were in each tenth, and how often it said so.
fn run(desk: &mut Desk, time: Duration, rate: impl Fn(usize) -> u64, most: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    for _ in 0..time.as_millis() / TENTH.as_millis() {
        loop {
            let granted = desk.granted();
            if granted.is_empty() {
                break;
            }
            for ticket in granted {
                if desk.held.len() < most {
                    desk.held.push(ticket);
                    desk.plan.brings(ticket, desk.now);
                } else {
                    desk.refused += 1;
                    let torrent = desk.torrent(ticket);
                    desk.busy(ticket, None);
                    desk.again(ticket, torrent);
                }
            }
        }
        desk.pass(TENTH);
        desk.bytes += rate(desk.held.len()) / 10;
        desk.answers += desk.held.len() as u64;
        desk.plan.measure(&site(ORIGIN), desk.bytes, desk.answers, desk.now);
        if desk.plan.sites[&site(ORIGIN)].is_contended {
            // One goes after its run, and wants to come back.
            let ticket = desk.held.remove(0);
            let torrent = desk.torrent(ticket);
            desk.again(ticket, torrent);
        }
        counts.push(desk.held.len());
    }
    counts
}

fn climb(desk: &mut Desk, seconds: u64, rate: impl Fn(usize) -> u64) -> Vec<usize> {
    run(desk, Duration::from_secs(seconds), rate, usize::MAX)
}

fn each(held: usize) -> u64 {
    held as u64 * 1_000_000
}

#[test]
fn slots_double_while_each_brings_its_share_up_to_what_one_torrent_may_have() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    let counts = climb(&mut desk, 2, each);
    assert_eq!(counts[..4], [2; 4], "{counts:?}");
    assert!(counts.contains(&4) && counts.iter().all(|it| [2, 4, 8].contains(it)), "{counts:?}");
    assert_eq!(counts.last(), Some(&TORRENT_MAX), "{counts:?}");
    // With two torrents the site's own cap holds.
    for _ in 0..12 {
        desk.ask(ORIGIN, 2);
    }
    let counts = climb(&mut desk, 60, each);
    assert_eq!(counts.iter().max(), Some(&ORIGIN_MAX), "{counts:?}");
}

#[test]
fn doubling_ends_at_as_many_as_the_line_carries() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    // Eight bring as much as five would.
    let counts = climb(&mut desk, 5, |held| each(held.min(5)));
    assert!(counts.contains(&8), "{counts:?}");
    assert_eq!(counts.last(), Some(&5), "{counts:?}");
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    // One would be enough.
    let counts = climb(&mut desk, 5, |held| each(held.min(1)));
    assert_eq!((counts.iter().max(), counts.last()), (Some(&4), Some(&2)), "{counts:?}");
}

#[test]
fn slots_that_bring_nothing_are_given_up_and_tried_ever_more_seldom() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    // All that the line carries comes over three.
    let counts = climb(&mut desk, 400, |held| each(held.min(3)));
    let late = &counts[1000..];
    assert!(late.iter().all(|count| (2..=4).contains(count)), "{counts:?}");
    let three = late.iter().filter(|count| **count == 3).count();
    assert!(three * 10 > late.len() * 8, "{three} of {}: {counts:?}", late.len());
}

#[test]
fn connections_beyond_those_that_are_served_come_one_at_a_time() {
    let mut desk = Desk::new();
    let tickets: Vec<_> = (0..8).map(|_| desk.ask(ORIGIN, 1)).collect();
    assert_eq!(desk.granted(), tickets[..2]);
    let served = |desk: &mut Desk, at: usize| desk.plan.brings(tickets[at], desk.now);
    served(&mut desk, 0);
    served(&mut desk, 1);
    for tenth in 1..7 {
        desk.pass(TENTH);
        desk.plan.measure(&site(ORIGIN), tenth * 100_000, 2, desk.now);
    }
    assert_eq!(desk.plan.sites[&site(ORIGIN)].climb.slots(), 4);
    assert_eq!(desk.granted(), tickets[2..3]);
    served(&mut desk, 2);
    assert_eq!(desk.granted(), tickets[3..4]);
    // Those that it has served before come at once.
    served(&mut desk, 3);
    desk.end(tickets[0], Vec::new());
    desk.end(tickets[1], Vec::new());
    assert_eq!(desk.granted(), tickets[4..6]);
}

#[test]
fn a_site_that_has_no_time_for_one_more_is_asked_over_the_others_and_says_so_seldom() {
    let mut desk = Desk::new();
    for torrent in [1, 2] {
        for _ in 0..12 {
            desk.ask(ORIGIN, torrent);
        }
    }
    // Its limit is found by one refusal, and tried again after half a minute.
    let counts = run(&mut desk, Duration::from_secs(30), each, 9);
    assert_eq!((desk.refused, counts.last()), (1, Some(&9)), "{counts:?}");
    assert!(counts[30..].iter().all(|count| *count == 9), "{counts:?}");
    run(&mut desk, Duration::from_secs(300), each, 9);
    assert!((2..=6).contains(&desk.refused), "{}", desk.refused);
}

#[test]
fn a_site_that_says_when_to_come_back_is_left_alone_whoever_is_served() {
    let mut desk = Desk::new();
    let [a, b] = [1, 1].map(|torrent| desk.ask(ORIGIN, torrent));
    assert_eq!(desk.granted(), [a, b]);
    desk.plan.brings(a, desk.now);
    assert_eq!(desk.busy(b, Some(3)), Some(Duration::from_secs(3)));
    let mut desk = Desk::new();
    let [a, b, c] = [1, 1, 2].map(|torrent| desk.ask(ORIGIN, torrent));
    assert_eq!(desk.granted(), [a, b]);
    desk.plan.brings(a, desk.now);
    assert_eq!(desk.busy(b, None), None, "one is enough for it");
    desk.end(b, Vec::new());
    assert!(desk.granted().is_empty());
    desk.end(a, Vec::new());
    assert_eq!(desk.granted(), [c]);
}

#[test]
fn who_is_served_gives_nothing_back_because_another_was_one_too_many() {
    let mut desk = Desk::new();
    let [a, b] = [1, 1].map(|torrent| desk.ask(ORIGIN, torrent));
    assert_eq!(desk.granted(), [a, b]);
    desk.plan.brings(a, desk.now);
    assert_eq!(desk.busy(b, None), None);
    // While the other one's connection is still about to end.
    assert_eq!(desk.outputs(), []);
    desk.end(b, Vec::new());
    assert_eq!(desk.outputs(), []);
}

#[test]
fn a_site_that_was_busy_gets_no_more_slots_for_half_a_minute() {
    let mut desk = Desk::new();
    for _ in 0..12 {
        desk.ask(ORIGIN, 1);
    }
    climb(&mut desk, 5, each);
    let before = desk.plan.sites[&site(ORIGIN)].climb.slots();
    assert_eq!(before, TORRENT_MAX);
    let ticket = *desk.plan.sites[&site(ORIGIN)].held.keys().next().unwrap();
    desk.busy(ticket, Some(1));
    assert_eq!(desk.plan.sites[&site(ORIGIN)].climb.slots(), before / 2);
    let counts = climb(&mut desk, 29, each);
    assert!(desk.plan.sites[&site(ORIGIN)].climb.slots() <= before / 2, "{counts:?}");
    let counts = climb(&mut desk, 30, each);
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
