//! Rules in virtual time: what holds of torrents when facts, free space and the clock change.

use super::*;

const DAY: u64 = 86_400;
const HOUR: u64 = 3600;
const GIB: u64 = 1 << 30;
const A: TorrentId = TorrentId(1);
const B: TorrentId = TorrentId(2);
/// A Monday at midnight, UTC.
const MONDAY: u64 = 4 * DAY + 52 * 7 * DAY;

fn utc(unix_s: u64) -> Wall {
    Wall { unix_s, offset: |_| 0 }
}

fn facts() -> Facts {
    let trackers = ["tracker.example.org".into()].into();
    Facts {
        trackers,
        labels: vec!["linux".into()],
        size: 4 * GIB,
        added_s: MONDAY,
        ..Facts::default()
    }
}

fn rule(when: When, then: Then) -> Rule {
    Rule { name: "x".to_owned(), when, then }
}

fn limit(bytes: u64) -> Then {
    Then { download_limit: Some(Some(bytes)), ..Then::default() }
}

fn every_day(from: u16, to: u16) -> Hours {
    Hours { days: Hours::EVERY_DAY, from: from * 60, to: to * 60 }
}

fn stop() -> Then {
    Then { stop: Some(true), ..Then::default() }
}

/// Rules that know the first torrent, on a Monday at midnight, all told.
fn with(rules: Vec<Rule>) -> Rules {
    with_book(Book { rules, ..Book::default() })
}

fn with_book(book: Book) -> Rules {
    let mut rules = Rules::default();
    rules.handle(Input::Book(Arc::new(book)), utc(MONDAY));
    rules.handle(Input::Torrent(A, Box::new(facts())), utc(MONDAY));
    told(&mut rules);
    rules
}

fn told(rules: &mut Rules) -> Vec<Output> {
    std::iter::from_fn(|| rules.poll_output()).collect()
}

fn down(rules: &Rules) -> Option<Option<u64>> {
    rules.overlay(A).download_limit
}

/// Tells the time whenever that is wanted, until then.
fn pass(rules: &mut Rules, until: u64) -> Vec<(u64, Output)> {
    let mut all = Vec::new();
    while let Some(at) = rules.next_timeout().filter(|at| *at <= until) {
        rules.handle(Input::Tick, utc(at));
        all.extend(told(rules).into_iter().map(|output| (at, output)));
    }
    all
}

#[test]
fn later_rules_go_before_earlier_ones_and_labels_add_up() {
    let labelled = |label: &str| Then { labels: vec![label.to_owned()], ..limit(7) };
    let all = rule(When::default(), Then { upload_limit: Some(Some(5)), ..labelled("all") });
    let linux = When { labels: vec!["linux".into()], ..When::default() };
    let linux = rule(linux, Then { download_limit: Some(None), ..labelled("big") });
    let other = When { labels: vec!["film".into()], ..When::default() };
    let rules = with(vec![all, linux, rule(other, limit(1))]);
    let overlay = rules.overlay(A);
    assert_eq!((overlay.download_limit, overlay.upload_limit), (Some(None), Some(Some(5))));
    assert_eq!(overlay.labels, ["all", "big"]);
    // A label that a rule gives is none that rules ask for.
    let big = When { labels: vec!["big".into()], ..When::default() };
    let chain = with(vec![rule(When::default(), labelled("big")), rule(big, limit(1))]);
    assert_eq!(down(&chain), Some(Some(7)));
}

#[test]
fn every_condition_has_to_hold() {
    let host = |host: &str| When { trackers: vec![host.to_owned()], ..When::default() };
    let size = |from, below| When { size: Span { from, below }, ..When::default() };
    for (when, matches) in [
        (host("example.org"), true),
        (host("example.com"), false),
        (When { private: Some(false), ..host("example.org") }, true),
        (When { private: Some(true), ..host("example.org") }, false),
        (size(Some(4 * GIB), None), true),
        (size(None, Some(4 * GIB)), false),
        (When { seeds: Span { from: Some(1), below: None }, ..When::default() }, false),
    ] {
        let rules = with(vec![rule(when.clone(), limit(7))]);
        assert_eq!(down(&rules).is_some(), matches, "{when:?}");
    }
}

#[test]
fn a_label_that_is_taken_away_takes_its_rule_with_it() {
    let linux = When { labels: vec!["linux".into()], ..When::default() };
    let mut rules = with(vec![rule(linux, limit(7))]);
    assert_eq!(down(&rules), Some(Some(7)));
    let facts = Facts { labels: Vec::new(), ..facts() };
    rules.handle(Input::Torrent(A, Box::new(facts)), utc(MONDAY));
    assert_eq!(told(&mut rules), [Output::Changed(A)]);
    assert_eq!(down(&rules), None);
}

#[test]
fn hours_begin_and_end_by_themselves() {
    let night = When { hours: Some(every_day(22, 6)), ..When::default() };
    let mut rules = with(vec![rule(night, limit(7))]);
    assert_eq!(down(&rules), Some(Some(7)), "it is midnight");
    let changed = pass(&mut rules, MONDAY + DAY);
    let (morning, evening) = (MONDAY + 6 * HOUR, MONDAY + 22 * HOUR);
    assert_eq!(changed, [(morning, Output::Changed(A)), (evening, Output::Changed(A))]);
    assert_eq!(down(&rules), Some(Some(7)));
}

#[test]
fn age_passes_its_bounds_in_time() {
    let old = When { age: Span { from: Some(30 * DAY), below: Some(31 * DAY) }, ..When::default() };
    let mut rules = with(vec![rule(old, stop())]);
    assert_eq!(rules.next_timeout(), Some(MONDAY + 30 * DAY));
    let changed = pass(&mut rules, MONDAY + 90 * DAY);
    let expected = [30, 31].map(|day| (MONDAY + day * DAY, Output::Changed(A)));
    assert_eq!(changed, expected);
    assert_eq!((rules.next_timeout(), rules.overlay(A)), (None, Overlay::default()));
}

#[test]
fn a_ratio_is_reached_with_the_fact_that_says_so() {
    let fair = When { ratio: Span { from: Some(1.0), below: None }, ..When::default() };
    let mut rules = with(vec![rule(fair, stop())]);
    let stands = |ratio| Input::Moving(A, Moving { ratio, ..Moving::default() });
    rules.handle(stands(0.99), utc(MONDAY));
    assert_eq!(told(&mut rules), []);
    rules.handle(stands(1.0), utc(MONDAY));
    assert_eq!(told(&mut rules), [Output::Changed(A)]);
    assert_eq!(rules.overlay(A).rest, Some(Rest::Rule(0)));
}

#[test]
fn one_that_rests_does_not_go_on_because_it_meets_nobody() {
    let fed = When { seeds: Span { from: Some(5), below: None }, ..When::default() };
    let mut rules = with(vec![rule(fed, stop())]);
    let stands = |seeds| Input::Moving(A, Moving { seeds, ..Moving::default() });
    rules.handle(stands(5), utc(MONDAY));
    assert_eq!(told(&mut rules), [Output::Changed(A)]);
    rules.handle(stands(0), utc(MONDAY));
    assert_eq!((told(&mut rules), rules.overlay(A).rest), (vec![], Some(Rest::Rule(0))));
}

#[test]
fn a_later_rule_may_say_that_it_is_not_stopped() {
    let go = Then { stop: Some(false), ..Then::default() };
    let public = When { private: Some(false), ..When::default() };
    let rules = with(vec![rule(When::default(), stop()), rule(public, go)]);
    assert_eq!(rules.overlay(A).rest, None);
}

fn on(device: Device, needs_room: bool) -> Moving {
    Moving { device: Some(device), needs_room, ..Moving::default() }
}

#[test]
fn downloads_rest_while_a_device_has_too_little_and_go_on_with_clearly_more() {
    let book = Book { keep_free: Some(8 * GIB), ..Book::default() };
    let mut rules = with_book(book);
    rules.handle(Input::Torrent(B, Box::new(facts())), utc(MONDAY));
    rules.handle(Input::Moving(A, on(7, true)), utc(MONDAY));
    rules.handle(Input::Moving(B, on(7, false)), utc(MONDAY));
    let free = |rules: &mut Rules, device, bytes| {
        rules.handle(Input::Free(device, bytes), utc(MONDAY));
        told(rules)
    };
    assert_eq!(free(&mut rules, 7, Some(8 * GIB)), []);
    assert_eq!(free(&mut rules, 8, Some(0)), [], "that is another device");
    assert_eq!(free(&mut rules, 7, Some(8 * GIB - 1)), [Output::Changed(A)], "a seed goes on");
    assert_eq!(rules.overlay(A).rest, Some(Rest::NoRoom));
    assert_eq!(free(&mut rules, 7, Some(8 * GIB)), [], "it is hardly more");
    assert_eq!(free(&mut rules, 7, Some(9 * GIB)), [Output::Changed(A)]);
    assert_eq!(rules.overlay(A).rest, None);
    assert_eq!(free(&mut rules, 7, Some(8 * GIB)), [], "nor less than is to stay");
    // A device that does not say holds up nobody.
    assert_eq!(free(&mut rules, 7, Some(0)), [Output::Changed(A)]);
    assert_eq!(free(&mut rules, 7, None), [Output::Changed(A)]);
    // One that moves away goes on elsewhere.
    assert_eq!(free(&mut rules, 7, Some(0)), [Output::Changed(A)]);
    rules.handle(Input::Moving(A, on(9, true)), utc(MONDAY));
    assert_eq!((told(&mut rules), rules.overlay(A).rest), (vec![Output::Changed(A)], None));
}

#[test]
fn schedules_switch_and_the_last_one_decides() {
    let caps = Caps { down: Some(Some(5)), up: None };
    let schedules = vec![
        Schedule { hours: every_day(8, 18), limits: None },
        Schedule { hours: every_day(12, 13), limits: Some(caps) },
    ];
    let mut rules = Rules::default();
    let book = Arc::new(Book { schedules, ..Book::default() });
    rules.handle(Input::Book(book), utc(MONDAY));
    assert_eq!(told(&mut rules), [Output::Switched(Switch::Off)]);
    let switched = pass(&mut rules, MONDAY + DAY);
    let expected = [
        (8, Switch::On(None)),
        (12, Switch::On(Some(caps))),
        (13, Switch::On(None)),
        (18, Switch::Off),
    ];
    let expected = expected.map(|(hour, it)| (MONDAY + hour * HOUR, Output::Switched(it)));
    assert_eq!(switched, expected);
    rules.handle(Input::Book(Arc::default()), utc(MONDAY + DAY));
    assert_eq!(told(&mut rules), [Output::Switched(Switch::ByHand)]);
    rules.handle(Input::Book(Arc::default()), utc(MONDAY + DAY));
    assert_eq!(told(&mut rules), []);
}

#[test]
fn hours_that_were_slept_through_switch_all_the_same() {
    let schedules = vec![Schedule { hours: every_day(8, 18), limits: None }];
    let book = Book { schedules, ..Book::default() };
    let mut rules = with_book(book);
    // Within the same hours nothing is switched, whoever switched by hand.
    rules.handle(Input::Tick, utc(MONDAY + 7 * HOUR));
    assert_eq!(told(&mut rules), []);
    rules.handle(Input::Tick, utc(MONDAY + 19 * HOUR));
    assert_eq!(told(&mut rules), [Output::Switched(Switch::Off)]);
}

#[test]
fn a_clock_that_is_set_forward_or_back_is_believed() {
    let night = When { hours: Some(every_day(22, 6)), ..When::default() };
    let young = When { age: Span { from: None, below: Some(2 * DAY) }, ..When::default() };
    let mut rules = with(vec![rule(night, limit(7)), rule(young, stop())]);
    let state = |rules: &Rules| (down(rules).is_some(), rules.overlay(A).rest.is_some());
    assert_eq!(state(&rules), (true, true));
    rules.handle(Input::Tick, utc(MONDAY + 5 * DAY + 12 * HOUR));
    assert_eq!(state(&rules), (false, false));
    rules.handle(Input::Tick, utc(MONDAY + HOUR));
    assert_eq!(state(&rules), (true, true));
    assert_eq!(rules.next_timeout(), Some(MONDAY + 6 * HOUR));
}

#[test]
fn a_new_book_is_about_those_that_are_there() {
    let mut rules = with(vec![rule(When::default(), limit(7))]);
    let book = Book { rules: vec![rule(When::default(), limit(9))], ..Book::default() };
    rules.handle(Input::Book(Arc::new(book)), utc(MONDAY));
    assert_eq!((told(&mut rules), down(&rules)), (vec![Output::Changed(A)], Some(Some(9))));
    rules.handle(Input::Book(Arc::default()), utc(MONDAY));
    assert_eq!((told(&mut rules), down(&rules)), (vec![Output::Changed(A)], None));
}

/// 50,000 torrents, a day: those are looked at to which something happens, and at the two edges of
/// the hours those that the rule may be about.
#[test]
fn nobody_is_looked_at_for_nothing() {
    const COUNT: u32 = 50_000;
    let night =
        When { hours: Some(every_day(22, 6)), labels: vec!["night".into()], ..When::default() };
    let old = When { age: Span { from: Some(DAY / 2), below: None }, ..When::default() };
    let little = When { free: Span { from: None, below: Some(GIB) }, ..When::default() };
    let mut rules = Rules::default();
    let book = [rule(night, limit(7)), rule(old, limit(8)), rule(little, stop())];
    let book = Book { rules: book.to_vec(), ..Book::default() };
    rules.handle(Input::Book(Arc::new(book)), utc(MONDAY));
    for id in 0..COUNT {
        let labels = if id < 10 { vec!["night".to_owned()] } else { Vec::new() };
        // All but a hundred are older than any bound.
        let added_s = if id < 100 { MONDAY } else { 0 };
        let facts = Facts { labels, added_s, ..facts() };
        rules.handle(Input::Torrent(TorrentId(id), Box::new(facts)), utc(MONDAY));
        rules.handle(Input::Moving(TorrentId(id), on(u64::from(id % 2), false)), utc(MONDAY));
    }
    let begun = rules.looked();
    for second in 0..DAY {
        let now = utc(MONDAY + second);
        rules.handle(Input::Tick, now);
        rules.handle(Input::Free(0, Some(2 * GIB + second)), now);
        rules.handle(Input::Moving(A, on(1, false)), now);
    }
    // Ten at 6 and at 22, a hundred at noon.
    assert_eq!(rules.looked() - begun, 2 * 10 + 100);
    told(&mut rules);
    rules.handle(Input::Free(0, Some(0)), utc(MONDAY + DAY));
    assert_eq!(told(&mut rules).len(), COUNT as usize / 2);
}

#[test]
fn it_is_told_which_rules_fire_and_why_the_others_do_not() {
    let linux = When { labels: vec!["linux".into()], ..When::default() };
    let fair = When { ratio: Span { from: Some(2.0), below: None }, ..When::default() };
    let film = When { labels: vec!["film".into()], private: Some(false), ..When::default() };
    let book = Book {
        rules: vec![
            rule(When::default(), Then { upload_limit: Some(None), ..limit(1024) }),
            rule(linux, limit(2048)),
            rule(When::default(), limit(4096)),
            rule(fair, stop()),
            rule(film, stop()),
        ],
        ..Book::default()
    };
    let rules = with_book(book.clone());
    let verdicts = rules.verdicts(A, utc(MONDAY)).unwrap();
    assert_eq!(verdicts, book.verdicts(rules.facts(A).unwrap(), utc(MONDAY)));
    let fates: Vec<Fate> = verdicts.iter().map(|it| it.fate).collect();
    assert_eq!(fates, [Fate::Fires, Fate::Overruled, Fate::Fires, Fate::Misses, Fate::Misses]);
    assert_eq!(verdicts[0].says, ["download limit 1.0 KiB/s", "upload limit off"]);
    assert_eq!(verdicts[0].overruled, ["download limit 1.0 KiB/s"]);
    assert_eq!(verdicts[1].because, ["its labels are linux (label linux)"]);
    assert_eq!(verdicts[3].because, ["its ratio is 0.00, not ratio at least 2.00"]);
    assert_eq!(verdicts[4].because, ["its labels are linux, not label film"]);
    assert_eq!(rules.verdicts(B, utc(MONDAY)), None);
}
