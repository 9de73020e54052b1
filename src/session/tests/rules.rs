//! Rules of a session: what they make of its torrents, and that what was set by hand outlives them.

use super::kept::{keeping, rows, specs};
use super::slumber::when;
use super::*;

use crate::roster::Phase;
use crate::roster::rules::{Book, Caps, Hours, Queue, Rule, Schedule, Span, Then, When};
use crate::torrent::status::Status;

pub(super) fn labelled(label: &str, then: Then) -> Rule {
    let when = When { labels: vec![label.to_owned()], ..When::default() };
    Rule { name: label.to_owned(), when, then }
}

pub(super) fn book(rules: Vec<Rule>) -> Book {
    Book { rules, ..Book::default() }
}

fn stop() -> Then {
    Then { stop: Some(true), ..Then::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_rules_end_with_them_and_those_set_by_hand_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let slow = Then { download_limit: Some(Some(7)), ..Then::default() };
    let rules = book(vec![labelled("slow", slow)]);
    let session = Session::start(keeping(home.path(), 1).rules(rules)).await.unwrap();
    let options = options(home.path()).download_limit(Some(5000));
    let handle = session.add(torrent(1), options).await.unwrap();
    let id = handle.id();
    let limited = async |limit: Option<u64>| {
        when(&handle, "limited", |status: &Status| status.limit_down == limit).await;
    };
    limited(Some(5000)).await;
    session.set(id, Setting::Labels(vec!["slow".to_owned()])).await.unwrap();
    limited(Some(7)).await;
    // What is set by hand meanwhile is noted, and holds afterwards.
    session.set(id, Setting::DownloadLimit(Some(6000))).await.unwrap();
    session.set(id, Setting::UploadLimit(Some(3))).await.unwrap();
    when(&handle, "the other limit", |status: &Status| status.limit_up == Some(3)).await;
    assert_eq!(handle.status().limit_down, Some(7));
    assert_eq!(specs(&session).await[0].download_limit, Some(6000));
    let ruled = session.ruled(id).await.unwrap();
    assert_eq!(ruled.overlay.download_limit, Some(Some(7)));
    session.set(id, Setting::Labels(Vec::new())).await.unwrap();
    limited(Some(6000)).await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_stopped_by_a_rule_goes_on_when_it_ends_and_holds_up_nobody() {
    let home = tempfile::tempdir().unwrap();
    let rules = book(vec![labelled("later", stop())]);
    let session = Session::start(keeping(home.path(), 1).rules(rules)).await.unwrap();
    let later = options(home.path()).labels(vec!["later".to_owned()]);
    let first = session.add(torrent(1), later).await.unwrap();
    let second = session.add(torrent(2), options(home.path())).await.unwrap();
    until(&first, State::Paused).await;
    until(&second, State::Downloading).await;
    // A word of the user is noted, and the rule holds.
    first.resume().await;
    let ruled = session.ruled(first.id()).await.unwrap();
    assert_eq!(ruled.rest.as_deref(), Some("rule 1 (later) stops it"));
    assert!(!specs(&session).await[0].paused);
    // What is ordered later is obeyed later.
    let obeyed = async |limit| {
        session.set(first.id(), Setting::UploadLimit(Some(limit))).await.unwrap();
        when(&first, "limited", |status: &Status| status.limit_up == Some(limit)).await;
    };
    obeyed(5).await;
    assert_eq!(first.state(), State::Paused);
    session.set_rules(Book::default()).await.unwrap();
    until(&first, State::Downloading).await;
    // One that its user has stopped, too, stays so.
    session.set_rules(book(vec![labelled("later", stop())])).await.unwrap();
    until(&first, State::Paused).await;
    first.pause().await;
    session.set_rules(Book::default()).await.unwrap();
    assert!(specs(&session).await[0].paused);
    obeyed(6).await;
    assert_eq!(
        (first.state(), session.ruled(first.id()).await.unwrap().rest),
        (State::Paused, None)
    );
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_puts_one_first_in_the_queue() {
    let home = tempfile::tempdir().unwrap();
    let first = Then { queue: Some(Queue::First), ..Then::default() };
    let rules = book(vec![labelled("soon", first), labelled("off", stop())]);
    let session = Session::start(keeping(home.path(), 1).rules(rules)).await.unwrap();
    let mut handles = Vec::new();
    for (number, labels) in [(1, &[][..]), (2, &[]), (3, &["soon".to_owned()])] {
        let options = options(home.path()).labels(labels.to_vec());
        handles.push(session.add(torrent(number), options).await.unwrap());
    }
    until(&handles[0], State::Downloading).await;
    until(&handles[2], State::Queued).await;
    session.set(handles[0].id(), Setting::Labels(vec!["off".to_owned()])).await.unwrap();
    until(&handles[2], State::Downloading).await;
    assert_eq!(handles[1].state(), State::Queued);
    let ids: Vec<_> = rows(&session).await.iter().map(|row| row.id.0).collect();
    assert_eq!(ids, [1, 2, 3], "the queue of the user is as it was");
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_rest_while_less_is_free_than_is_to_stay_and_go_on_by_themselves() {
    let home = tempfile::tempdir().unwrap();
    let guard = |keep| Book { keep_free: Some(keep), ..Book::default() };
    let session = Session::start(keeping(home.path(), 2).rules(guard(1 << 60))).await.unwrap();
    let handle = session.add(torrent(1), options(home.path())).await.unwrap();
    let phase = async |wanted: Phase| {
        let wait = async {
            loop {
                let listed = session.find(handle.id()).await.unwrap();
                if listed.row.phase == wanted {
                    return listed;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        waited.unwrap_or_else(|_| panic!("not {wanted:?}"))
    };
    let listed = phase(Phase::DiskTrouble).await;
    assert_eq!(handle.state(), State::Paused);
    let trouble = listed.trouble.unwrap().to_string();
    let (dir, rest) = (
        home.path().join("data"),
        "are to stay: it goes on with 1.0 EiB; remove something or lower keep-free",
    );
    assert!(trouble.starts_with(&format!("{} has ", dir.display())), "{trouble}");
    assert!(trouble.ends_with(&format!(" free, 1.0 EiB {rest}")), "{trouble}");
    assert!(!listed.spec.paused);
    session.set_rules(guard(1)).await.unwrap();
    assert_eq!(phase(Phase::Downloading).await.trouble, None);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_space_decides_where_a_rule_asks_for_it() {
    let home = tempfile::tempdir().unwrap();
    let free = Span { from: Some(1), below: None };
    let rule =
        Rule { name: "any".to_owned(), when: When { free, ..When::default() }, then: stop() };
    let session = Session::start(keeping(home.path(), 2).rules(book(vec![rule]))).await.unwrap();
    let handle = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&handle, State::Paused).await;
    let ruled = session.ruled(handle.id()).await.unwrap();
    assert!(ruled.facts.free.is_some_and(|free| free > 0));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_holds_until_somebody_switches_by_hand() {
    let home = tempfile::tempdir().unwrap();
    let always = Hours { days: Hours::EVERY_DAY, from: 0, to: 24 * 60 };
    let limits = Some(Caps { down: Some(Some(11)), up: None });
    let schedules = vec![Schedule { hours: always, limits }];
    let rules = Book { schedules, ..Book::default() };
    let config = || keeping(home.path(), 2).rules(rules.clone());
    let session = Session::start(config()).await.unwrap();
    let slow = (Limits { down: Some(11), up: None }, true);
    let holds = async |session: &Session, wanted: (Limits, bool)| {
        let wait = async {
            while session.limits_now().await != Some(wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the limits hold");
    };
    holds(&session, slow).await;
    let usual = Limits { down: Some(99), up: None };
    session.set_all(SessionSetting::Limits(usual)).await.unwrap();
    assert_eq!(session.limits_now().await, Some(slow), "those wait");
    session.set_all(SessionSetting::UsesAlternative(false)).await.unwrap();
    assert_eq!(session.limits_now().await, Some((usual, false)));
    assert_eq!(session.limiter.rate(), Some(99));
    session.set_all(SessionSetting::UsesAlternative(true)).await.unwrap();
    assert_eq!(session.limits_now().await, Some(slow));
    session.set_all(SessionSetting::UsesAlternative(false)).await.unwrap();
    session.stop().await;
    // The ledger keeps the word of the user; the next run begins as the schedule says.
    let session = Session::start(config()).await.unwrap();
    assert!(!session.settings().await.unwrap().uses_alternative);
    holds(&session, slow).await;
    session.set_rules(Book::default()).await.unwrap();
    assert_eq!(session.limits_now().await, Some((usual, false)));
    session.stop().await;
}
