//! Feeds of a server on this machine.

use std::sync::Arc;

use super::server::{Server, answer};
use super::*;
use crate::api::{Chore, Key};

/// A feed that is asked every second.
fn feed(url: String) -> Feed {
    let adding = Adding { labels: vec!["fed".to_owned()], starts: false, ..Adding::default() };
    Feed { url, interval: Duration::from_secs(1), adding, ..Feed::default() }
}

fn fed(feed: Feed) -> Plan {
    Plan { feeds: vec![feed], ..Plan::default() }
}

fn first(standing: &Standing) -> FeedStanding {
    standing.feeds.first().cloned().unwrap_or_default()
}

/// A feed of these items, each a title and a link.
fn rss(items: &[(&str, &str)]) -> Vec<u8> {
    let items = items
        .iter()
        .map(|(title, link)| format!("<item><title>{title}</title><link>{link}</link></item>"));
    let items: String = items.collect();
    format!("<rss version=\"2.0\"><channel><title>t</title>{items}</channel></rss>").into_bytes()
}

fn magnet(digit: char) -> String {
    format!("magnet:?xt=urn:btih:{}", digit.to_string().repeat(40))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_change_is_not_sent_again_and_each_item_is_added_once() {
    let server = Server::start(|_, asked| match asked.header("if-none-match") {
        Some("\"one\"") => answer("304 Not Modified", "", b""),
        _ => {
            let body = rss(&[("a", &magnet('a')), ("b", &magnet('b'))]);
            let headers = "ETag: \"one\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
            answer("200 OK", headers, &body)
        }
    })
    .await;
    let plan = fed(feed(server.url("/feed?key=secret")));
    let world = World::new(|_| plan.clone()).await;
    world.until("asked three times", |_| server.asked().len() >= 3).await;
    let asked = server.asked();
    assert_eq!(asked[0].header("if-none-match"), None);
    for asked in &asked[1..] {
        assert_eq!(asked.header("if-none-match"), Some("\"one\""));
        assert_eq!(asked.header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
    let standing = first(&world.errands.standing());
    assert_eq!((standing.added, standing.known, standing.items), (2, 0, 2), "{standing:?}");
    assert!(!standing.name.contains("secret"));
    let torrents = world.torrents().await;
    assert!(torrents.iter().all(|it| it.paused && it.labels == ["fed"]), "{torrents:?}");
    // After a restart, what was removed does not come back.
    let id = torrents[0].id;
    world.api.answer(Request::Remove(Key::Id(id), false)).await.unwrap();
    let before = server.asked().len();
    let world = world.again(plan).await;
    world.until("asked again", |_| server.asked().len() >= before + 2).await;
    assert_eq!(server.asked()[before].header("if-none-match"), Some("\"one\""));
    assert_eq!(world.torrents().await.len(), 1);
    // With other rules all items are judged anew, and those that were added still count.
    let mut other = feed(server.url("/feed?key=secret"));
    other.exclude = vec![Pattern::new("nothing").unwrap()];
    let before = server.asked().len();
    world.errands.follow(fed(other)).await;
    world.until("read again", |it| first(it).items == 2).await;
    assert_eq!(
        server.asked()[before..].iter().filter(|it| it.header("if-none-match").is_none()).count(),
        1
    );
    assert_eq!(world.torrents().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_of_the_feeds_own_server_is_fetched_and_no_other_local_one() {
    let other = Server::start(|_, _| answer("200 OK", "", &torrent("other"))).await;
    let elsewhere = other.url("/other.torrent");
    let server = Server::start(move |_, asked| match asked.path() {
        "/get/1" => answer("200 OK", "", &torrent("own")),
        _ => {
            let own = format!("http://{}/get/1", asked.header("host").unwrap());
            answer("200 OK", "", &rss(&[("own", &own), ("other", &elsewhere)]))
        }
    })
    .await;
    let world = World::new(|_| fed(feed(server.url("/feed")))).await;
    world.until("tried often enough", |it| first(it).failed == 1).await;
    let standing = first(&world.errands.standing());
    assert_eq!(standing.added, 1);
    let why = standing.last_refusal.unwrap();
    assert!(why.starts_with("other: it leads to the loopback address"), "{why}");
    assert_eq!(other.asked().len(), 0, "it was never asked");
    assert_eq!(world.torrents().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_moved_for_good_is_asked_there() {
    let server = Server::start(|_, asked| match asked.path() {
        "/old" => answer("301 Moved Permanently", "Location: /new\r\n", b""),
        "/new" => answer("302 Found", "Location: /for-now\r\n", b""),
        _ => answer("200 OK", "", &rss(&[("a", &magnet('a'))])),
    })
    .await;
    let world = World::new(|_| fed(feed(server.url("/old")))).await;
    world.until("asked twice", |_| server.asked().len() >= 5).await;
    let paths: Vec<_> = server.asked().iter().map(|it| it.path().to_owned()).collect();
    assert_eq!(paths[..5], ["/old", "/new", "/for-now", "/new", "/for-now"]);
    assert_eq!(world.torrents().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_too_long_or_not_given_is_told_and_asked_for_later() {
    let whole = rss(&[("a", &magnet('a'))]);
    let broken = whole[..whole.len() - 3].to_vec();
    // One byte more than is read, with and without a length before it.
    let long = vec![b' '; (10 << 20) + 1];
    let unsaid = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), long.clone()].concat();
    let just = [whole.clone(), vec![b' '; (10 << 20) - whole.len()]].concat();
    let soon = "Retry-After: 3000\r\n";
    for (told, why, pause_s) in [
        (answer("200 OK", "", &broken), "broken XML at byte", 60),
        (answer("200 OK", "", b"<html></html>"), "it is no feed: neither RSS nor Atom", 60),
        (answer("200 OK", "", &long), "it is longer than 10 MiB", 60),
        (unsaid, "it is longer than 10 MiB", 60),
        (answer("200 OK", "", &just), "", 2),
        (answer("404 Not Found", "", b""), "the server says 404 Not Found", 60),
        (answer("429 Slow", soon, b""), "the server says 429 Too Many Requests", 3000),
    ] {
        let told = Arc::new(told);
        let server = Server::start(move |_, _| told.to_vec()).await;
        let world = World::new(|_| fed(feed(server.url("/")))).await;
        world.until("asked", |it| first(it).asked_at.is_some()).await;
        let standing = first(&world.errands.standing());
        let trouble = standing.trouble.unwrap_or_default();
        assert!(trouble.starts_with(why) && trouble.is_empty() == why.is_empty(), "{trouble}");
        assert_eq!(world.torrents().await.len(), usize::from(why.is_empty()), "{why}");
        world.until("planned", |it| first(it).next_at > first(it).asked_at).await;
        let standing = first(&world.errands.standing());
        let pause = standing.next_at.unwrap() - standing.asked_at.unwrap();
        assert!(
            (pause_s * 4 / 5..=pause_s * 2).contains(&pause) || why.is_empty(),
            "{why}: {pause}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_episode_the_first_is_added() {
    let (one, two, three) = (magnet('a'), magnet('b'), magnet('c'));
    let body =
        rss(&[("Show S01E02 720p", &one), ("show.1x02.1080p", &two), ("Show S01E03", &three)]);
    let server = Server::start(move |_, _| answer("200 OK", "", &body)).await;
    let once = Feed { once: true, ..feed(server.url("/")) };
    let world = World::new(|_| fed(once)).await;
    world.until("asked twice", |_| server.asked().len() >= 2).await;
    let mut hashes: Vec<_> = world.torrents().await.into_iter().filter_map(|it| it.hash).collect();
    hashes.sort();
    assert_eq!(hashes, ["a".repeat(40), "c".repeat(40)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_are_asked_out_of_turn_but_not_twice_in_a_minute() {
    let server = Server::start(|_, _| answer("200 OK", "", &rss(&[]))).await;
    let interval = Duration::from_secs(3600);
    let hourly = || fed(Feed { interval, ..feed(server.url("/feed")) });
    let world = World::new(|_| hourly()).await;
    world.until("asked", |it| first(it).asked_at.is_some()).await;
    let look = |world: &World| world.errands.chore(Chore::Look {});
    assert_eq!(look(&world), "all feeds were asked less than a minute ago");
    // Two minutes later, as far as it knows.
    world.errands.stop().await;
    let kept = std::fs::read_dir(world.path("errands")).unwrap().next().unwrap().unwrap().path();
    let mut seen: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    seen["asked_at"] = (seen["asked_at"].as_u64().unwrap() - 120).into();
    std::fs::write(&kept, seen.to_string()).unwrap();
    let world = world.again(hourly()).await;
    world.until("followed", |it| first(it).next_at.is_some()).await;
    assert!(first(&world.errands.standing()).asked_at.is_some(), "it was asked before");
    assert_eq!(server.asked().len(), 1, "it is not its turn");
    assert_eq!(look(&world), "1 feed is asked now");
    world.until("asked out of turn", |_| server.asked().len() == 2).await;
    world.errands.follow(Plan::default()).await;
    assert_eq!(look(&world), "no feed is followed");
}
