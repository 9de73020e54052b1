//! Who comes in, and by which verbs.

use super::*;

#[tokio::test]
async fn whoever_knows_the_token_gets_a_cookie() {
    let served = Served::start().await;
    let log_in = async |body: &str| {
        served.send(&form_head("auth/login", "", body.len()), body.as_bytes()).await
    };
    for wrong in ["", "username=admin&password=adminadmin", "password=", &format!("token={TOKEN}")]
    {
        let told = log_in(wrong).await;
        assert_eq!((told.status(), told.text().as_str()), (200, "Fails."), "{wrong}");
        assert!(!told.head.contains("set-cookie"), "{told:?}");
    }
    let told = log_in(&format!("username=x&password={TOKEN}")).await;
    let line = told.head.lines().find(|line| line.starts_with("set-cookie: sid=")).unwrap();
    assert!(line.ends_with("; httponly; path=/; samesite=strict") && line.len() > 60, "{line}");

    let program = served.qbittorrent().await;
    // The whole line is sent back by some, and what follows the cookie is nothing.
    assert!(program.cookie.contains("httponly"));
    assert_eq!(program.get("app/version").await.text(), "v5.1.4");
    assert_eq!(program.get("app/webapiVersion").await.text(), "2.11.4");
    // That somebody is in says nothing of what is tried now.
    let again = program.post("auth/login", "username=x&password=wrong").await;
    assert_eq!(again.text(), "Fails.");
    let out = program.post("auth/logout", "").await;
    assert!(out.status() == 200 && out.head.contains("1970"), "{out:?}");
    assert_eq!(program.get("app/version").await.status(), 403);
}

#[tokio::test]
async fn without_it_nothing_is_there_and_nothing_is_401() {
    let served = Served::start().await;
    let ask = async |line: &str, more: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        served.send(&head, b"").await
    };
    let wrong = BASE64.encode(b"admin:adminadmin");
    for line in [
        "GET /api/v2/app/webapiVersion",
        "GET /api/v2/torrents/info",
        "GET /api/v2/nothing",
        "GET /api/v2/",
        "GET /api/v2/torrents/delete?hashes=all",
        "POST /api/v2/torrents/delete",
        "POST /api/v2/auth/logout",
        "HEAD /api/v2/app/version",
    ] {
        for more in ["", "Cookie: SID=\r\n", &format!("Cookie: SID={TOKEN}\r\n")] {
            assert_eq!(ask(line, more).await.status(), 403, "{line} {more}");
        }
        let told = ask(line, &format!("Authorization: Basic {wrong}\r\n")).await;
        assert_eq!(told.status(), 403, "{line}");
    }
    let right = BASE64.encode(format!("anybody:{TOKEN}").as_bytes());
    for more in [format!("Basic {right}"), format!("Bearer {TOKEN}")] {
        let told = ask("GET /api/v2/app/version", &format!("Authorization: {more}\r\n")).await;
        assert_eq!((told.status(), told.text().as_str()), (200, "v5.1.4"));
        assert!(!told.head.contains("set-cookie"), "nobody asked for one");
    }
    // By the socket whoever may open it is in.
    let mut socket = UnixStream::connect(&served.socket).await.unwrap();
    let head = "GET /api/v2/app/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(Told::to(&mut socket, head, b"").await.text(), "v5.1.4");
}

#[tokio::test]
async fn who_guesses_is_not_heard_and_who_is_in_stays_in() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let mut guesser = served.connect().await;
    let body = "username=admin&password=x";
    let head = form_head("auth/login", "", body.len()).replace("Connection: close\r\n", "");
    let last = "GET /api/v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let all = format!("{head}{body}").repeat(201) + last;
    let (mut reader, mut writer) = guesser.split();
    let mut answers = Vec::new();
    let (written, read) =
        tokio::join!(writer.write_all(all.as_bytes()), reader.read_to_end(&mut answers));
    written.unwrap();
    read.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("Fails.").count(), 200);
    assert_eq!(answers.matches("has been banned").count(), 2, "the last guess, and who follows");
    let body = format!("username=x&password={TOKEN}");
    let right = served.send(&form_head("auth/login", "", body.len()), body.as_bytes()).await;
    assert_eq!(right.status(), 403, "it would learn that it is right: {right:?}");
    assert_eq!(program.get("app/version").await.status(), 200);
}

#[tokio::test]
async fn strangers_who_log_in_hold_up_nobody_who_is_in() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let mut strangers = Vec::new();
    // Heads without bodies: long ones, and as many as may be under way of short ones.
    for len in [vec![4 << 20; 16], vec![4 << 10; 30]].concat() {
        let mut stranger = served.connect().await;
        stranger.write_all(form_head("auth/login", "", len).as_bytes()).await.unwrap();
        strangers.push(stranger);
    }
    let told = served.send(&form_head("auth/login", "", 4 << 20), b"").await;
    assert_eq!(told.status(), 413, "{told:?}");
    let asked = timeout(Duration::from_secs(5), program.post("torrents/createTags", "tags=a"));
    assert_eq!(asked.await.expect("nobody is waited for").status(), 200);
}

#[tokio::test]
async fn pages_of_other_sites_and_other_names_are_told_401() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let port = served.address.port();
    let ask = async |host: &str, more: &str| {
        let line = format!("GET /api/v2/app/version HTTP/1.1\r\nHost: {host}\r\n");
        let more = format!("Connection: close\r\nCookie: {}\r\n{more}\r\n", program.cookie);
        served.send(&format!("{line}{more}"), b"").await
    };
    for (host, more) in [
        ("evil.example".to_owned(), ""),
        (format!("127.0.0.1:{port}"), "Origin: http://evil.example\r\n"),
        (format!("127.0.0.1:{port}"), "Origin: null\r\n"),
        (format!("127.0.0.1:{port}"), "Referer: http://evil.example/\r\n"),
        (format!("127.0.0.1:{port}"), "Sec-Fetch-Site: cross-site\r\n"),
    ] {
        let told = ask(&host, more).await;
        assert_eq!((told.status(), told.text().as_str()), (401, "Unauthorized"), "{host} {more}");
    }
    let own = format!("Origin: http://127.0.0.1:{port}\r\nReferer: http://127.0.0.1:{port}/x\r\n");
    assert_eq!(ask(&format!("127.0.0.1:{port}"), &own).await.status(), 200);
    assert_eq!(ask(&format!("seedbox.lan:{port}"), "").await.status(), 200);
}

#[tokio::test]
async fn what_changes_something_is_posted_as_a_form() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    for path in [
        "torrents/delete?hashes=all",
        "torrents/stop?hashes=all",
        "app/setPreferences",
        "auth/logout",
    ] {
        assert_eq!(program.get(path).await.status(), 405, "{path}");
    }
    for path in ["torrents/Info", "torrents/info/", "torrents//info", "app", "torrents/burn", "x/y"]
    {
        assert_eq!(program.get(path).await.status(), 404, "{path}");
        assert_eq!(program.post(path, "hashes=all").await.status(), 404, "{path}");
    }
    let cookie = format!("Cookie: {}\r\n", program.cookie);
    let by = async |verb: &str, media: &str, body: &str| {
        let head = form_head("torrents/stop", &cookie, body.len());
        let head = head.replace("POST", verb).replace("application/x-www-form-urlencoded", media);
        served.send(&head, body.as_bytes()).await
    };
    for media in ["application/json", "text/plain", "multipart/form-data"] {
        assert_eq!(by("POST", media, "{\"hashes\":\"all\"}").await.status(), 400, "{media}");
    }
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    assert_eq!(by("POST", form, "hashes=all").await.status(), 200);
    assert_eq!(by("PUT", form, "hashes=all").await.status(), 405);
    assert_eq!(by("POST", form, "hash=all").await.status(), 400, "it says nothing of which");
    // A query says nothing beside a form.
    assert_eq!(program.post("torrents/stop?hashes=all", "").await.status(), 400);
    let long = format!("hashes={}", "a".repeat(5 << 20));
    assert_eq!(by("POST", form, &long).await.status(), 413);
    for path in ["log/main", "log/peers", "search/plugins", "torrentcreator/status"] {
        assert_eq!(program.json(path).await, json!([]), "{path}");
    }
    assert_eq!(program.json("rss/items").await, json!({}));
    assert_eq!(program.post("search/start", "pattern=x").await.status(), 409);
}
