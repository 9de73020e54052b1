//! Events as they happen, and readers that come again, are slow, or go.

use std::pin::pin;

use axum::body::{Body, HttpBody as _};

use super::*;
use crate::api::{Answer, Mark};

/// Reads on until all of this has come, in this order; what came.
async fn until(stream: &mut TcpStream, parts: &[&str]) -> String {
    let mut text = String::new();
    let read = async {
        loop {
            let mut rest = &*text;
            let is_there = |part: &&str| match rest.split_once(*part) {
                Some((_, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            };
            if parts.iter().all(is_there) {
                return;
            }
            let mut buffer = vec![0; 4096];
            let len = stream.read(&mut buffer).await.unwrap();
            assert!(len > 0, "it ends: {text}");
            text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{parts:?} do not come"));
    text
}

async fn listen(served: &Served, query: &str, more: &str) -> TcpStream {
    let more = format!("Accept: text/event-stream\r\n{more}");
    let mut stream = served.connect().await;
    let head = with_token(&format!("GET /api/v1/events{query}"), &more);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn head(served: &Served) -> Mark {
    let events = served.get("/api/v1/events").await.json();
    assert_eq!((&events["events"], &events["has_gap"]), (&json!([]), &json!(false)));
    events["cursor"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_event_arrives_and_a_reader_that_comes_again_goes_on_behind_it() {
    let served = Served::start().await;
    let before = head(&served).await;
    let mut stream = listen(&served, "", "").await;
    let hello = until(&mut stream, &["\r\n\r\n", "\n\n"]).await;
    assert!(hello.contains("content-type: text/event-stream\r\n"), "{hello}");
    assert!(hello.contains("cache-control: no-store\r\n"), "{hello}");
    assert!(hello.contains(&format!("id: {before}\n\n")), "{hello}");
    let one = served.add("one").await;
    let added = until(&mut stream, &["event: added\n", "\n\n"]).await;
    let number = before.0.number + 1;
    let mark = Mark(crate::roster::Cursor { number, ..before.0 });
    let data = added.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["number"], &data["id"]), (&json!(number), &json!(one)));
    assert!(added.contains(&format!("id: {mark}\nevent: added\n")), "{added}");
    drop(stream);

    // It comes again: what it names as its last stands above what its URL says.
    let last = format!("Last-Event-ID: {mark}\r\n");
    let mut again = listen(&served, &format!("?since={before}"), &last).await;
    served.add("two").await;
    let rest = until(&mut again, &["event: added\n", "\n\n"]).await;
    assert_eq!(rest.matches("event: added\n").count(), 1, "{rest}");
    assert!(!rest.contains("event: gap"), "{rest}");
    // From the beginning there are both.
    let mut all = listen(&served, &format!("?since={before}"), "").await;
    until(&mut all, &["event: added\n", "event: added\n"]).await;
}

/// The same of lists.
async fn listen_to_lists(served: &Served, query: &str) -> TcpStream {
    let mut stream = served.connect().await;
    let line = format!("GET /api/v1/torrents{query}");
    let head = with_token(&line, "Accept: text/event-stream\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn lists_are_told_as_they_change() {
    let served = Served::start().await;
    let one = served.add("one").await;
    let mut whole = listen_to_lists(&served, "").await;
    let first = until(&mut whole, &["event: list\n", "\n\n"]).await;
    assert!(first.contains("content-type: text/event-stream\r\n"), "{first}");
    assert!(first.contains("\"full\":true") && first.contains("\"name\":\"one\""), "{first}");

    let cursor = served.get("/api/v1/torrents").await.json()["cursor"].clone();
    let mut later = listen_to_lists(&served, &format!("?since={}", cursor.as_str().unwrap())).await;
    let two = served.add("two").await;
    let news = until(&mut later, &["event: list\n", "\"name\":\"two\"", "\n\n"]).await;
    assert!(news.contains("\"full\":false"), "{news}");
    let gone = served.ask(&format!("DELETE /api/v1/torrents/{one}"), "").await;
    assert_eq!(gone.status(), 200);
    until(&mut later, &[&format!("\"removed\":[{one}]"), "\n\n"]).await;
    until(&mut whole, &[&format!("\"id\":{two}"), &format!("\"removed\":[{one}]")]).await;
}

#[tokio::test]
async fn what_was_missed_is_told() {
    let served = Served::start().await;
    served.add("one").await;
    let Mark(now) = head(&served).await;
    // Of an earlier run, and of what never was.
    let future = Mark(crate::roster::Cursor { number: now.number + 1000, ..now }).to_string();
    for since in ["1-1", &future] {
        let query = format!("?since={since}");
        let polled = served.get(&format!("/api/v1/events{query}")).await.json();
        assert_eq!((&polled["has_gap"], polled.get("missed")), (&json!(true), None));
        assert_eq!(polled["events"][0]["event"], json!("added"));
        let mut stream = listen(&served, &query, "").await;
        let text = until(&mut stream, &["event: gap\n", "event: added\n"]).await;
        let first = Mark(crate::roster::Cursor { number: 0, ..now });
        let gap = format!("id: {first}\nevent: gap\ndata: {{\"event\":\"gap\",\"missed\":null}}\n");
        assert!(text.contains(&gap), "{text}");
    }
}

#[tokio::test]
async fn who_polls_hears_each_event_once() {
    let served = Served::start().await;
    let mut since = Mark(crate::roster::Cursor { number: 0, ..head(&served).await.0 });
    let (mut numbers, mut added) = (Vec::new(), 0);
    for turn in 0..20 {
        served.add(&format!("torrent {turn}")).await;
        // At once: what waits for news may not have been told yet.
        for _ in 0..3 {
            let answer = served.api.answer(Request::Events(Some(since))).await;
            let Ok(Answer::Events(told)) = answer else { panic!("{answer:?}") };
            assert!(!told.has_gap && told.cursor.0.number >= since.0.number, "{told:?}");
            added += told.events.iter().filter(|it| it.what == crate::api::What::Added).count();
            numbers.extend(told.events.iter().map(|event| event.number));
            since = told.cursor;
        }
    }
    let whole: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!((numbers, added), (whole, 20));
}

/// The next part of a body, if there is one by now.
async fn part(body: &mut Body) -> Option<String> {
    let next = std::future::poll_fn(|cx| pin!(&mut *body).poll_frame(cx));
    let frame = timeout(Duration::from_secs(1), next).await.ok()??.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_reader_that_takes_its_time_has_nothing_queued_for_it() {
    let served = Served::start().await;
    let mut heads = served.api.heads();
    let press = press::Press::start(served.api.clone(), stream::written);
    let mut body = stream::answer(&served.api, press, None).into_body();
    for name in 0..20 {
        served.add(&format!("torrent {name}")).await;
        let known = heads.borrow_and_update().events.number;
        assert!(known > 0);
    }
    // One part is on its way, one waits to be: all that happened later is read when it is taken.
    let mut parts = Vec::new();
    let mut added = 0;
    while added < 20 {
        let text = part(&mut body).await.expect("all are told");
        added += text.matches("event: added\n").count();
        parts.push(added);
    }
    assert!(parts.len() <= 5, "{parts:?}");
}

#[tokio::test]
async fn a_reader_that_goes_leaves_nothing_behind() {
    let served = Served::start().await;
    served.get("/api/v1/session").await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let settle = async |wanted: usize| {
        // Long before a stream is noticed to be gone when it breaks its silence.
        let until = Instant::now() + Duration::from_secs(10);
        while alive() > wanted {
            assert!(Instant::now() < until, "{} tasks, and not {wanted}", alive());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let before = alive();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = listen(&served, "", "").await;
        until(&mut stream, &["\n\n"]).await;
        streams.push(stream);
    }
    assert!(alive() >= before + 40, "a connection and a stream each");
    drop(streams);
    settle(before).await;
}

#[tokio::test]
async fn silence_is_broken_every_fifteen_seconds() {
    let served = Served::start().await;
    let press = press::Press::start(served.api.clone(), stream::written);
    let mut body = stream::answer(&served.api, press, None).into_body();
    assert!(part(&mut body).await.unwrap().starts_with("id: "));
    tokio::time::pause();
    let began = Instant::now();
    let next = std::future::poll_fn(|cx| pin!(&mut body).poll_frame(cx)).await;
    let data = next.unwrap().unwrap().into_data().unwrap();
    assert_eq!((&data[..], began.elapsed().as_secs()), (&b":\n\n"[..], 15));
}

#[tokio::test]
async fn our_own_client_hears_them_over_both_doors() {
    let served = Served::start().await;
    let url = format!("http://{}", served.address);
    for (target, name) in [
        (Target::Url { url, token: TOKEN.to_owned() }, "one"),
        (Target::Socket(served.socket.clone()), "two"),
    ] {
        let client = Client::new(target).unwrap();
        let mut events = client.events(None).await.unwrap();
        // It listens when its answer has begun.
        let id = served.add(name).await;
        let event = timeout(PATIENCE, async {
            loop {
                let event = events.next().await.unwrap().unwrap();
                if event.data["event"] == "added" && event.data["id"] == id {
                    return event;
                }
            }
        });
        assert!(event.await.unwrap().mark.is_some());
        let list: crate::api::List = client.ask(&Request::List(None)).await.unwrap();
        assert!(list.torrents.iter().any(|it| it.id == id));
    }
    let url = format!("http://{}", served.address);
    let wrong = Client::new(Target::Url { url, token: "wrong".to_owned() }).unwrap();
    assert!(matches!(wrong.ask::<Value>(&Request::Session).await, Err(ClientError::Token(_))));
}

#[tokio::test]
async fn what_many_want_to_hear_is_asked_for_and_worded_once() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static WORDED: AtomicU32 = AtomicU32::new(0);
    let served = Served::start().await;
    let press = press::Press::start(served.api.clone(), |events| {
        WORDED.fetch_add(1, Ordering::Relaxed);
        stream::written(events)
    });
    let since = head(&served).await;
    served.add("one").await;
    let mut heads = served.api.heads();
    heads.wait_for(|heads| heads.events.number > since.0.number).await.unwrap();
    let first = press.news(since).await.unwrap();
    assert!(std::str::from_utf8(&first.text).unwrap().contains("event: added\n"));
    // All that is told so far is heard by whoever asks from the same moment.
    let until = first.next;
    let known = WORDED.load(Ordering::Relaxed);
    for _ in 0..20 {
        let again = press.news(since).await.unwrap();
        if again.next == until {
            assert_eq!(again.text, first.text);
        }
    }
    let more = WORDED.load(Ordering::Relaxed) - known;
    assert!(more < 20, "{more}");
    // What happens then is told, too, and to nobody twice.
    let rest = press.news(until).await.unwrap();
    served.add("two").await;
    let mut at = rest.next;
    let mut text = String::new();
    while !text.contains("event: added\n") {
        heads.wait_for(|heads| heads.events.number > at.0.number).await.unwrap();
        let news = press.news(at).await.unwrap();
        text += std::str::from_utf8(&news.text).unwrap();
        at = news.next;
    }
    assert_eq!(text.matches("event: added\n").count(), 1);
}
