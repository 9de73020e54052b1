//! What is sent: too long, too deep, too slow, and leading where nothing may be led.

use super::*;

#[tokio::test]
async fn a_body_is_as_long_as_it_may_be_and_no_longer() {
    let served = Served::start().await;
    let zeros = vec![b'0'; 64 << 20];
    let json = |line: &str, len: usize| {
        let more = format!("Content-Type: application/json\r\nContent-Length: {len}\r\n");
        with_token(line, &more)
    };
    // The client sends all of it before it reads, and hears the answer all the same.
    let told = served.send(&json("POST /api/v1/torrents", zeros.len()), &zeros).await;
    assert_eq!((told.status(), &*told.error()), (413, "the body is longer than 21 MiB"));
    let more = "Content-Type: application/x-bittorrent\r\nContent-Length: 16777217\r\n";
    let told = served.send(&with_token("POST /api/v1/torrents", more), &zeros[..1000]).await;
    assert_eq!(told.status(), 413);
    for line in ["PATCH /api/v1/session", "POST /api/v1/torrents/1/deeds"] {
        let told = served.send(&json(line, (1 << 20) + 1), &zeros[..=1 << 20]).await;
        assert_eq!((told.status(), &*told.error()), (413, "the body is longer than 1 MiB"));
    }
    // Where nothing is, nothing is waited for.
    let told = served.send(&json("POST /nothing", zeros.len()), &zeros).await;
    assert_eq!(told.status(), 404);
}

#[tokio::test]
async fn what_is_nested_deeply_is_refused() {
    let served = Served::start().await;
    let deep = "[".repeat(10 << 20);
    for (begin, len) in [("", deep.len()), ("{\"labels\":", deep.len()), ("{\"x\":", deep.len())] {
        let body = format!("{begin}{deep}");
        let more =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", begin.len() + len);
        let told = served.send(&with_token("POST /api/v1/torrents", &more), body.as_bytes()).await;
        assert_eq!(told.status(), 400, "{begin}");
    }
    let body = format!("{{\"do\":\"move\",\"dir\":{}", "[".repeat(900_000));
    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let head = with_token("POST /api/v1/torrents/1/deeds", &more);
    assert_eq!(served.send(&head, body.as_bytes()).await.status(), 400);
}

#[tokio::test]
async fn a_head_has_an_end() {
    let served = Served::start().await;
    let long = format!("X: {}\r\n", "y".repeat(1 << 20));
    assert_eq!(served.ask("GET /api/v1/session", &long).await.status(), 431);
    assert_eq!(served.get(&format!("/{}", "y".repeat(1 << 20))).await.status(), 431);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_ends_after_ten_seconds() {
    let served = Served::start().await;
    let (mut reader, mut writer) = served.connect().await.into_split();
    writer.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    // Who comes later has been served, so that the time of the first one runs.
    served.get("/healthz").await;
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
async fn files_go_where_they_may_and_nowhere_else() {
    let served = Served::start().await;
    let torrent = BASE64.encode(&torrent("one"));
    let outside = served.root.parent().unwrap().join("other").display().to_string();
    std::os::unix::fs::symlink("/etc", served.root.join("link")).unwrap();
    let link = served.root.join("link/x").display().to_string();
    let up = served.root.join("../other").display().to_string();
    let nul = served.root.join("a\0b").display().to_string();
    for dir in ["/etc", "etc", "", "/", &outside, &link, &up, &nul] {
        let body = json!({ "torrent": torrent, "paused": true, "dir": dir });
        let told = served.say("POST /api/v1/torrents", &body).await;
        assert_eq!(told.status(), 400, "{dir}: {told:?}");
    }
    assert_eq!(served.get("/api/v1/torrents").await.json()["torrents"], json!([]));
    let below = served.root.join("a/b").display().to_string();
    let body = json!({ "torrent": torrent, "paused": true, "dir": below });
    let added = served.say("POST /api/v1/torrents", &body).await;
    assert_eq!(added.status(), 201, "{added:?}");
    let path = format!("/api/v1/torrents/{}", added.json()["id"]);
    assert_eq!(served.get(&path).await.json()["dir"], json!(below));
    // Nor are they moved there.
    let deeds = format!("POST {path}/deeds");
    let moved = served.say(&deeds, &json!({ "do": "move", "dir": "/etc" })).await;
    assert_eq!(moved.status(), 400, "{moved:?}");
    let body = json!({ "torrent": torrent, "paused": true });
    let again = served.say("POST /api/v1/torrents", &body).await;
    assert_eq!((again.status(), &again.json()["was_there"]), (200, &json!(true)));
}

/// Answers whoever asks with a redirect.
async fn redirect_to(target: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let line = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\n");
            let head = format!("{line}Content-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn nobody_reads_our_network_by_our_eyes() {
    let (served, strict) = (Served::start().await, Served::start_that(false).await);
    let local = "http://127.0.0.1:9/x";
    let mut urls = vec![
        "http://169.254.169.254/".to_owned(),
        "http://[::ffff:169.254.169.254]/latest".to_owned(),
        local.to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/x.torrent".to_owned(),
    ];
    for target in ["http://169.254.169.254/", "file:///etc/passwd"] {
        // Whose path is that of a torrent, and so is asked.
        urls.push(format!("http://{}/x.torrent", redirect_to(target).await));
    }
    for url in urls {
        // Where it may lead to this machine it leads no further all the same.
        let all = [&strict, &served];
        for served in &all[..if url == local { 1 } else { 2 }] {
            let told = served.say("POST /api/v1/torrents", &json!({ "url": url })).await;
            assert_eq!(told.status(), 400, "{url}: {told:?}");
            assert!(!told.error().contains("root:"), "{told:?}");
        }
    }
    // What is no torrent is not shown.
    let secret = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.torrent", secret.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = secret.accept().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("{head}secret").as_bytes()).await.unwrap();
        while stream.read(&mut [0; 512]).await.unwrap_or(0) > 0 {}
    };
    let body = json!({ "url": url });
    let (told, ()) = tokio::join!(served.say("POST /api/v1/torrents", &body), serve);
    assert_eq!((told.status(), &*told.error()), (400, "what is there is no torrent"));
}

#[tokio::test]
async fn a_torrent_is_added_by_its_bytes_alone() {
    let served = Served::start().await;
    let bytes = torrent("one");
    let more =
        format!("Content-Type: application/x-bittorrent\r\nContent-Length: {}\r\n", bytes.len());
    let told = served.send(&with_token("POST /api/v1/torrents", &more), &bytes).await;
    assert_eq!(told.status(), 201, "{told:?}");
    for body in [
        json!({}),
        json!({ "torrent": "ZA==", "link": "x" }),
        json!({ "torrent": "no base64" }),
        json!({ "torrent": BASE64.encode(b"de") }),
        json!({ "link": "magnet:?dn=x" }),
        json!({ "torrent": BASE64.encode(&torrent("two")), "seed_ratio": -1 }),
        json!({ "torrent": BASE64.encode(&torrent("two")), "files": [2] }),
    ] {
        let told = served.say("POST /api/v1/torrents", &body).await;
        assert_eq!(told.status(), 400, "{body}: {told:?}");
    }
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    let sought = served.say("POST /api/v1/torrents", &json!({ "link": link })).await;
    assert_eq!((sought.status(), &sought.json()["id"]), (201, &json!(2)));
    let again = served.say("POST /api/v1/torrents", &json!({ "link": link })).await;
    assert_eq!((again.status(), &again.json()["was_there"]), (200, &json!(true)));
    let listed = served.get("/api/v1/torrents/2").await.json();
    assert_eq!((&listed["name"], &listed["progress"]), (&json!("ab".repeat(20)), &json!(0.0)));
    let ended = served.ask(&format!("DELETE /api/v1/torrents/{}", "AB".repeat(20)), "").await;
    assert_eq!((ended.status(), ended.json()), (200, json!({ "id": 2 })));
    assert_eq!(served.get("/api/v1/torrents/2").await.status(), 404);
}

#[tokio::test]
async fn so_many_urls_are_fetched_at_once() {
    let served = Served::start().await;
    // It takes whoever comes, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.torrent", silent.local_addr().unwrap());
    let body = json!({ "url": url });
    let (mut asking, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        let text = body.to_string();
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", text.len());
        let mut stream = served.connect().await;
        let all = with_token("POST /api/v1/torrents", &more) + &text;
        stream.write_all(all.as_bytes()).await.unwrap();
        asking.push(stream);
        asked.push(timeout(PATIENCE, silent.accept()).await.unwrap().unwrap());
    }
    let told = served.say("POST /api/v1/torrents", &body).await;
    assert_eq!(told.status(), 409, "{told:?}");
    assert_eq!(told.error(), "16 URLs are being fetched: again when some are here");
    let form = format!("urls={url}");
    let more = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        form.len()
    );
    let head = with_token("POST /api/v2/torrents/add", &more);
    assert_eq!(served.send(&head, form.as_bytes()).await.status(), 409);
    // One of them ends, and another one has its place.
    drop(asked.pop());
    let until = Instant::now() + PATIENCE;
    while served
        .say("POST /api/v1/torrents", &json!({ "url": "http://127.0.0.1:1/x" }))
        .await
        .status()
        == 409
    {
        assert!(Instant::now() < until, "its place stays taken");
    }
}
