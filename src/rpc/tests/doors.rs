//! Who comes in, and by which words.

use axum::http::HeaderMap;
use axum::http::header::HOST;

use super::*;

#[tokio::test]
async fn without_the_token_nothing_is_had() {
    let served = Served::start().await;
    let bare = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
    };
    for line in [
        "GET /api/v1/session",
        "GET /api/v1/torrents",
        "DELETE /api/v1/torrents/1?data=true",
        "POST /api/v1/torrents",
        "GET /api/v1/events",
        "GET /metrics",
        "GET /nothing",
    ] {
        let right_prefix = format!("Authorization: Bearer {}\r\n", &TOKEN[..31]);
        for more in ["", "Authorization: Bearer wrong\r\n", "Authorization: x\r\n", &right_prefix] {
            let told = served.send(&bare(line, more), b"").await;
            assert_eq!(told.status(), 401, "{line} {more}");
            assert!(told.has("www-authenticate: bearer"), "{told:?}");
            assert!(told.error().contains("Bearer TOKEN"));
        }
    }
    assert_eq!(served.get("/api/v1/session").await.status(), 200);
    // What everybody may know: that it runs, and how it is asked.
    let health = served.send(&bare("GET /healthz", ""), b"").await;
    assert_eq!((health.status(), health.json()), (200, json!({ "ok": true, "trouble": false })));
    assert_eq!(served.send(&bare("GET /api/v1/openapi.json", ""), b"").await.status(), 200);
}

#[tokio::test]
async fn a_host_that_guesses_is_not_looked_at_any_more_and_others_are() {
    let served = Served::start().await;
    let guess = "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer no\r\n";
    let mut guesser = served.connect().await;
    let all = format!("{guess}\r\n").repeat(200) + guess + "Connection: close\r\n\r\n";
    let (mut reader, mut writer) = guesser.split();
    let mut answers = Vec::new();
    let (written, read) =
        tokio::join!(writer.write_all(all.as_bytes()), reader.read_to_end(&mut answers));
    written.unwrap();
    read.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 200);
    assert_eq!(answers.matches("HTTP/1.1 429 ").count(), 1, "the last one is not looked at");

    let right = served.get("/api/v1/session").await;
    assert_eq!(right.status(), 429, "he would learn that it is right");
    assert!(right.has("retry-after: 10"), "{right:?}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(served.address).await.unwrap();
    let told = Told::to(&mut other, &with_token("GET /api/v1/session", ""), b"").await;
    assert_eq!(told.status(), 200);
}

#[test]
fn addresses_that_it_listens_at_are_its_own() {
    let hosts =
        |address: &str| Hosts::new(vec!["nas".into()], [address.parse().unwrap()].into_iter());
    let knows = |address: &str, host: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        hosts(address).know(&headers)
    };
    for (address, host) in [
        ("192.0.2.7", "192.0.2.7:6880"),
        ("192.0.2.7", "127.0.0.1:6880"),
        ("192.0.2.7", "nas"),
        ("2001:db8::7", "[2001:db8:0::7]:6880"),
        ("0.0.0.0", "192.0.2.7:6880"),
        ("::", "[2001:db8::7]:6880"),
    ] {
        assert!(knows(address, host), "{address} {host}");
    }
    for (address, host) in [
        ("192.0.2.7", "192.0.2.8"),
        ("127.0.0.1", "192.0.2.7"),
        ("0.0.0.0", "evil.example"),
        ("0.0.0.0", "192.0.2.7.evil.example"),
        ("::", ""),
    ] {
        assert!(!knows(address, host), "{address} {host}");
    }
}

#[tokio::test]
async fn a_name_that_others_may_point_here_is_not_ours() {
    let served = Served::start().await;
    let ask = async |path: &str, host: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let told = served.send(&format!("{head}Authorization: Bearer {TOKEN}\r\n\r\n"), b"").await;
        told.status()
    };
    let port = served.address.port();
    for path in ["/api/v1/session", "/healthz", "/metrics", "/api/v1/openapi.json", "/"] {
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
            assert_eq!(ask(path, host).await, 403, "{path} {host}");
        }
    }
    let named = ["127.0.0.1", "localhost", "[::1]", "seedbox.lan"];
    for host in named.iter().map(|host| format!("{host}:{port}")) {
        assert_eq!(ask("/api/v1/session", &host).await, 200, "{host}");
        assert_eq!(ask("/healthz", &host).await, 200, "{host}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_whatever_they_know() {
    let served = Served::start().await;
    let body = json!({ "limit_down": 1 }).to_string();
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let more = format!(
            "Origin: {origin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let head = with_token("PATCH /api/v1/session", &more);
        assert_eq!(served.send(&head, body.as_bytes()).await.status(), 403, "{origin}");
        for line in ["OPTIONS /api/v1/torrents", "GET /healthz", "OPTIONS *"] {
            let asks = "Access-Control-Request-Method: POST\r\n";
            let told = served.ask(line, &format!("Origin: {origin}\r\n{asks}")).await;
            assert_eq!(told.status(), 403, "{line} {origin}");
        }
        let mut local = UnixStream::connect(&served.socket).await.unwrap();
        let head = with_token("GET /healthz", &format!("Origin: {origin}\r\n"));
        assert_eq!(Told::to(&mut local, &head, b"").await.status(), 403);
    }
    assert_eq!(served.get("/api/v1/session").await.json()["limits"]["down"], Value::Null);
    let own = served.ask("GET /api/v1/session", "Origin: http://localhost\r\n").await;
    assert_eq!(own.status(), 200, "a page of our own");
}

#[tokio::test]
async fn a_form_changes_nothing() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let body = b"{\"do\":\"pause\"}";
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        for line in [
            "POST /api/v1/torrents".to_owned(),
            format!("POST /api/v1/torrents/{id}/deeds"),
            format!("PATCH /api/v1/torrents/{id}"),
            "PATCH /api/v1/session".to_owned(),
        ] {
            let kind =
                if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
            let more = format!("{kind}Content-Length: {}\r\n", body.len());
            let told = served.send(&with_token(&line, &more), body).await;
            assert_eq!(told.status(), 415, "{line} {kind}: {told:?}");
        }
    }
}

#[tokio::test]
async fn what_changes_something_is_no_get() {
    let served = Served::start().await;
    for (line, allowed) in [
        ("GET /api/v1/torrents/1/deeds", "post"),
        ("OPTIONS /api/v1/torrents/1/deeds", "post"),
        ("POST /api/v1/session", "get, patch"),
        ("DELETE /api/v1/torrents", "get, post"),
        ("POST /api/v1/torrents/1", "get, patch, delete"),
        ("PUT /api/v1/torrents/1/files", "get, patch"),
        ("POST /api/v1/events", "get"),
        ("POST /healthz", "get"),
        ("DELETE /metrics", "get"),
        ("HEAD /api/v1/openapi.json", "get"),
    ] {
        let told = served.ask(line, "").await;
        assert_eq!(told.status(), 405, "{line}");
        assert!(told.has(&format!("allow: {allowed}")), "{line}: {told:?}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_api() {
    let served = Served::start().await;
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cx",
        "//etc/passwd",
        "/api/v1/../../etc/passwd",
        "/api/v1/session/",
        "/API/V1/SESSION",
    ] {
        let told = served.get(path).await;
        assert_eq!((told.status(), &*told.error()), (404, "there is nothing here"), "{path}");
        assert!(told.has("x-content-type-options: nosniff"), "{told:?}");
    }
    for key in ["..", "%2e%2e", "1%2f2", "+1", "0x1", "99999999999"] {
        let told = served.get(&format!("/api/v1/torrents/{key}")).await;
        assert_eq!(told.status(), 400, "{key}");
    }
    let unknown = served.get("/api/v1/torrents/4000000000").await;
    assert_eq!((unknown.status(), &*unknown.error()), (404, "there is no torrent 4000000000"));
}

#[tokio::test]
async fn whoever_may_open_the_socket_needs_no_token_and_no_name() {
    let served = Served::start().await;
    let mut local = UnixStream::connect(&served.socket).await.unwrap();
    let head = "GET /api/v1/session HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n";
    let told = Told::to(&mut local, head, b"").await;
    assert_eq!((told.status(), &told.json()["version"]), (200, &json!("1.2.3")));
    let client = Client::new(Target::Socket(served.socket.clone())).unwrap();
    let standing: Value = client.ask(&Request::Session).await.unwrap();
    assert_eq!(standing["torrents"], 0);
}

#[tokio::test]
async fn a_thousand_idle_connections_leave_room_for_who_asks() {
    let served = Served::start().await;
    let mut idle = std::collections::VecDeque::new();
    for _ in 0..1000 {
        idle.push_back(served.connect().await);
        // No more than have a place there are held here: the longest idle one has been closed.
        if idle.len() > CONNECTIONS_MAX {
            let mut first = idle.pop_front().unwrap();
            let gone = timeout(PATIENCE, first.read(&mut [0; 1])).await.unwrap();
            assert_eq!(gone.unwrap_or(0), 0);
        }
    }
    let began = Instant::now();
    assert_eq!(served.get("/api/v1/session").await.status(), 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn numbers_are_told_to_prometheus() {
    let served = Served::start().await;
    served.add("one").await;
    let told = served.get("/metrics").await;
    assert!(told.has("content-type: text/plain; version=0.0.4; charset=utf-8"), "{told:?}");
    let text = String::from_utf8(told.body).unwrap();
    for line in ["pigeon_torrents 1", "pigeon_changes_are_kept 1", "# TYPE pigeon_torrents gauge"] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn it_ends_when_it_is_told() {
    let served = Served::start().await;
    let mut idle = served.connect().await;
    served.get("/healthz").await;
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(served.address).await.is_err());
    assert!(UnixStream::connect(&served.socket).await.is_err());
}
