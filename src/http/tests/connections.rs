//! Connections that are too many, too slow or too long, and what stands on every answer.

use super::*;

#[tokio::test]
async fn a_request_knows_both_ends_of_its_connection() {
    let served = Served::start(8).await;
    let mut stream = served.connect().await;
    let own = stream.local_addr().unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.text(), format!("{own} asks {}", served.address));
    assert_eq!(served.counts(), [1, 0, 1]);
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_guessing_keeping_and_showing_it_to_others() {
    let served = Served::start(8).await;
    for (target, status) in [("/", 200), ("/nothing", 404), ("/upload", 405)] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nConnection: close\r\nOrigin: http://evil.example\r\n\r\n"
        );
        let Answer { head, body } = served.send(&request, b"").await;
        let head = head.to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{target}: {head}");
        for line in ["\r\nx-content-type-options: nosniff\r\n", "\r\ncache-control: no-store\r\n"] {
            assert!(head.contains(line), "{target}: {head}");
        }
        assert!(!head.contains("access-control"), "{target}: {head}");
        if status == 404 {
            assert_eq!(body, b"{\"error\":\"there is nothing here\"}\n");
        }
    }
}

#[tokio::test]
async fn a_head_has_an_end() {
    let served = Served::start(8).await;
    let with = |lines: &str| format!("GET / HTTP/1.1\r\nConnection: close\r\n{lines}\r\n");
    let long = |len| format!("X: {}\r\n", "y".repeat(len));
    assert_eq!(served.send(&with(&long(15 << 10)), b"").await.status(), 200);
    // One line of a megabyte, of which no more than the limit is held.
    assert_eq!(served.send(&with(&long(1 << 20)), b"").await.status(), 431);
    assert_eq!(served.send(&with(&"X: y\r\n".repeat(63)), b"").await.status(), 200);
    assert_eq!(served.send(&with(&"X: y\r\n".repeat(64)), b"").await.status(), 431);
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 17));
    assert_eq!(served.send(&line, b"").await.status(), 431);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_ends_after_ten_seconds() {
    let served = Served::start(8).await;
    let (mut reader, mut writer) = served.sent("GET / HTTP/1.1\r\nX: ").await.into_split();
    // Who comes later has been served, so that the time of the first one runs.
    served.get("/").await;
    tokio::time::pause();
    let began = Instant::now();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let _ = timeout(PATIENCE, reader.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
    dripping.abort();
}

#[tokio::test]
async fn the_longest_idle_makes_room_and_who_waits_for_an_answer_does_not() {
    let served = Served::start(2).await;
    let mut waiting = served.sent("GET /held HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    timeout(PATIENCE, served.asked.notified()).await.unwrap();
    let mut idle = served.connect().await;
    let mut next = served.sent("GET / HTTP/1.1\r\n\r\n").await;
    assert!(is_gone(&mut idle).await, "two are there, and neither is this one");
    let mut status = [0; 12];
    timeout(PATIENCE, next.read_exact(&mut status)).await.unwrap().unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    // Now the last one is idle, though it was answered.
    assert_eq!(served.get("/").await.status(), 200);
    served.go_on.notify_one();
    assert_eq!(Answer::read(&mut waiting).await.text(), "at last");
    assert_eq!(served.counts(), [4, 2, 3]);
}

#[tokio::test]
async fn a_thousand_requests_are_the_last_of_a_connection() {
    let served = Served::start(8).await;
    let request = "GET / HTTP/1.1\r\n\r\n";
    let (mut reader, mut writer) = served.connect().await.into_split();
    let asking = tokio::spawn(async move {
        // The server may close while the last ones are sent.
        let _ = writer.write_all(request.repeat(1001).as_bytes()).await;
        writer
    });
    let mut answers = Vec::new();
    let _ = timeout(PATIENCE, reader.read_to_end(&mut answers)).await.unwrap();
    let _writer = asking.await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 1000);
    let last = answers.rfind("HTTP/1.1 200 ").unwrap();
    assert_eq!(answers.find("connection: close\r\n").map(|at| at > last), Some(true));
    assert_eq!(served.counts(), [1, 0, 1000]);
}

#[tokio::test]
async fn a_connection_lasts_ten_minutes() {
    let served = Served::start(8).await;
    let mut stream = served.sent("GET /held HTTP/1.1\r\n\r\n").await;
    timeout(PATIENCE, served.asked.notified()).await.unwrap();
    tokio::time::pause();
    let began = Instant::now();
    assert!(stream.read(&mut [0; 1]).await.unwrap_or(0) == 0);
    assert!((599..=600).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_read_as_it_comes_lasts_longer_than_a_connection() {
    let served = Served::start(8).await;
    let mut stream = served.sent("GET /stream HTTP/1.1\r\n\r\n").await;
    let mut buffer = [0; 1 << 10];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    tokio::time::pause();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3600) {
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "it was cut off after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn at_the_end_who_waits_for_an_answer_gets_a_second() {
    for answered in [true, false] {
        let served = Served::start(8).await;
        let mut waiting = served.sent("GET /held HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        timeout(PATIENCE, served.asked.notified()).await.unwrap();
        let mut idle = served.connect().await;
        // It is there: the next one is served.
        served.get("/").await;
        tokio::time::pause();
        let began = Instant::now();
        served.stop.send(()).unwrap();
        assert!(is_gone(&mut idle).await);
        assert_eq!(began.elapsed().as_secs(), 0, "nobody waits for the idle");
        if answered {
            served.go_on.notify_one();
            assert_eq!(Answer::read(&mut waiting).await.text(), "at last");
            assert_eq!(began.elapsed().as_secs(), 0);
        } else {
            assert!(is_gone(&mut waiting).await);
            assert_eq!(began.elapsed().as_secs(), 1);
        }
        served.task.await.unwrap();
        assert!(TcpStream::connect(served.address).await.is_err());
        tokio::time::resume();
    }
}
