//! Torrents with web seeds at odd servers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;

/// One file, eight pieces of a MiB and a bit.
fn iso(seed: u64) -> Payload {
    Payload::new(seed, "set", 1 << 20, &[("a.iso", 8 * MIB + 5)])
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("make a folder")
}

#[test]
fn a_server_that_answers_ranges_with_the_whole_file_is_enough() {
    let (home, payload) = (home(), iso(1));
    let server = serve(&payload, |_| Reply::Whole);
    assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
    let (requests, connections) = (server.requests().len(), server.connections());
    assert!(requests <= 6 && connections <= 8, "{requests} requests, {connections} connections");
}

#[test]
fn servers_with_ways_of_their_own_bring_all_of_it() {
    let ways = [Reply::Chunked(1000), Reply::Old, Reply::Last, Reply::ThenClose];
    for (seed, way) in (30..).zip(ways) {
        let (home, payload) = (home(), iso(seed));
        let server = serve(&payload, move |_| way.clone());
        assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
    }
}

#[test]
fn who_speaks_no_http_at_first_is_asked_again_a_while_later() {
    let (home, payload) = (home(), iso(40));
    let server = serve(&payload, |request| match request.number {
        0 => Reply::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()),
        1 => Reply::Close,
        _ => Reply::Honest,
    });
    let output = assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
    assert!(!has_event(&output, &["\"off\""]), "{output}");
}

#[test]
fn parts_that_are_shorter_than_asked_for_are_gone_on_from() {
    let (home, payload) = (home(), iso(2));
    let server = serve(&payload, |_| Reply::Short(300_001));
    assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
    let least = payload.len().div_ceil(300_001) as usize;
    let requests = server.requests().len();
    assert!((least..2 * least + 8).contains(&requests), "{requests} requests");
}

#[test]
fn of_a_server_that_mislabels_its_parts_nothing_counts() {
    let (home, payload) = (home(), iso(3));
    let total = payload.len();
    let odd = serve(&payload, move |_| Reply::Says(Some(format!("bytes 7-9/{total}"))));
    let good = serve(&payload, |_| Reply::Honest);
    let urls = [&*odd.url("/"), &*good.url("/")];
    let output = assert_comes(home.path(), &payload, &urls, &[]);
    let site = format!("\"source\":\"{}\"", odd.address);
    assert!(has_event(&output, &["web_source", &site, "file_off"]), "{output}");
    assert!(!has_event(&output, &["hash_failed"]), "{output}");
}

#[test]
fn signed_addresses_that_expire_are_asked_for_anew_and_no_more_often() {
    const GOOD_FOR: usize = 3;
    let (home, payload) = (home(), Payload::new(4, "set", 256 << 10, &[("a.iso", 24 * MIB)]));
    // Requests that each signature was used for.
    let signed = Arc::new(Mutex::new(Vec::<usize>::new()));
    let uses = signed.clone();
    let content = payload.contents().remove(0).1;
    let store = MockWeb::start(vec![("/store".to_owned(), content)], move |request| {
        let number = request.target.rsplit('=').next().and_then(|it| it.parse::<usize>().ok());
        let mut uses = uses.lock().expect("no panic");
        match number.and_then(|number| uses.get_mut(number)) {
            Some(used) if *used < GOOD_FOR => {
                *used += 1;
                Reply::Honest
            }
            _ => Reply::status("403 Forbidden"),
        }
    });
    let (target, signing) = (store.url("/store"), signed.clone());
    let front = serve(&payload, move |_| {
        let mut signed = signing.lock().expect("no panic");
        signed.push(0);
        Reply::redirect(&format!("{target}?X-Amz-Expires=3600&n={}", signed.len() - 1))
    });
    assert_comes(home.path(), &payload, &[&front.url("/")], &[]);
    let useful = store.requests().len();
    let asked = front.requests().len();
    // Each connection may find out for itself.
    assert!(asked <= useful.div_ceil(GOOD_FOR) + 9, "{asked} for {useful}");
    assert!(signed.lock().expect("no panic").len() > 1, "none expired");
}

/// A server that says that it is busy, whoever asks, for a second after it was asked first.
fn busy_at_first(payload: &Payload, status: &'static str) -> (MockWeb, Arc<AtomicUsize>) {
    let (first, refused) = (Mutex::new(None::<Instant>), Arc::new(AtomicUsize::new(0)));
    let count = refused.clone();
    let server = serve(payload, move |_| {
        let since = *first.lock().expect("no panic").get_or_insert_with(Instant::now);
        if since.elapsed() >= Duration::from_secs(1) {
            return Reply::Honest;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Status(status, "Retry-After: 1\r\n".to_owned(), b"not now".to_vec())
    });
    (server, refused)
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_says() {
    for (seed, status) in [(5, "503 Service Unavailable"), (6, "429 Too Many Requests")] {
        let (home, payload) = (home(), iso(seed));
        let (server, refused) = busy_at_first(&payload, status);
        let output = assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
        let refused = refused.load(Ordering::SeqCst);
        // Two connections are tried at first.
        assert!((1..=2).contains(&refused), "{status}: {refused} refused");
        assert!(has_event(&output, &["web_source", "\"waits\"", &status[..3]]), "{output}");
    }
}

#[test]
fn connections_that_break_in_the_middle_cost_nothing_twice() {
    let (home, payload) = (home(), iso(7));
    let server = serve(&payload, |request| match (request.number, request.place) {
        (..6, 0) => Reply::BreakAfter(200_000),
        _ => Reply::Honest,
    });
    let output = assert_comes(home.path(), &payload, &[&server.url("/")], &[]);
    assert!(!has_event(&output, &["\"off\""]), "{output}");
}

#[test]
fn what_a_silent_server_owes_comes_from_another() {
    let (home, payload) = (home(), iso(8));
    let silent = serve(&payload, |_| Reply::StallAfter(100_000));
    let good = serve(&payload, |_| Reply::Honest);
    let urls = [&*silent.url("/"), &*good.url("/")];
    assert_comes(home.path(), &payload, &urls, &[]);
}
