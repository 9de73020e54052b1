//! The catalogue over HTTP: what may be registered, by whom, and that it is still there after a
//! restart.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::served::{Answer, Served, info_hash, open, torrent};
use crate::tracker::catalogue::CatalogueLimits;
use crate::tracker::server::{Library, ServerConfig, ShelfError};

const TOKEN: &str = "0123456789abcdef";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn announce(seed: u8, peer: char, port: u16, left: u64) -> String {
    let hash = urlencoding::encode_binary(&info_hash(seed)).into_owned();
    let peer = peer.to_string().repeat(20);
    format!("/announce?info_hash={hash}&peer_id={peer}&port={port}&left={left}&compact=1")
}

#[tokio::test]
async fn a_torrent_is_put_listed_fetched_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    let put =
        served.request("PUT /catalogue/Lecture%201%20%E2%80%93%20a%2Bb", "", &torrent(1)).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let again =
        served.request("PUT /catalogue/Lecture%201%20%E2%80%93%20a%2Bb", "", &torrent(1)).await;
    assert_eq!(again.status, 200);
    served.get(&announce(1, 'a', 1001, 0)).await;
    served.get(&announce(1, 'b', 1002, 25_000)).await;

    let list = served.get("/catalogue").await;
    assert!(list.head.contains("content-type: application/json"), "{}", list.head);
    let mut list = list.json();
    let entry = list["torrents"][0].take();
    let added = humantime::parse_rfc3339(entry["added"].as_str().unwrap()).unwrap();
    assert!(added.elapsed().unwrap() < Duration::from_secs(600));
    let expected = serde_json::json!({
        "name": "Lecture 1 – a+b",
        "info_hash": data_encoding::HEXLOWER.encode(&info_hash(1)),
        "size": 100_000, "files": 1, "pieces": 4, "piece_length": 32768,
        "seeds": 1, "leeches": 1, "added": entry["added"],
        "holders": [
            { "address": "127.0.0.1:1001", "share": 1.0 },
            { "address": "127.0.0.1:1002", "share": 0.75 },
        ],
    });
    assert_eq!(entry, expected);

    let fetched = served.get("/catalogue/Lecture%201%20%E2%80%93%20a%2Bb").await;
    assert!(fetched.head.contains("content-type: application/x-bittorrent"), "{}", fetched.head);
    assert_eq!(fetched.body, torrent(1));
    let page = served.get("/").await.text();
    assert!(page.contains("Lecture 1 – a+b<br>") && page.contains("88 %"), "{page}");

    let deleted =
        served.request("DELETE /catalogue/Lecture%201%20%E2%80%93%20a%2Bb", "", b"").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(served.get("/catalogue/Lecture%201%20%E2%80%93%20a%2Bb").await.status, 404);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().ends_with(".torrent")), "{left:?}");
}

#[tokio::test]
async fn names_and_torrents_are_not_taken_twice() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    assert_eq!(served.request("PUT /catalogue/a", "", &torrent(1)).await.status, 201);
    let taken = served.request("PUT /catalogue/a", "", &torrent(2)).await;
    assert_eq!(taken.status, 409);
    assert!(taken.error().contains("belongs to another torrent"), "{}", taken.error());
    let twin = served.request("PUT /catalogue/b", "", &torrent(1)).await;
    assert_eq!((twin.status, twin.error().contains("another name: a")), (409, true));
    assert_eq!(served.request("DELETE /catalogue/b", "", b"").await.status, 404);
}

#[tokio::test]
async fn tricks_with_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    for name in [
        ".",
        "..",
        "%2e%2e",
        "a%2Fb",
        "..%2f..%2fetc%2fpasswd",
        "a/b",
        "..%5c..%5cx",
        "a%00b",
        "%0a",
        "%1b%5b2J",
        "%e2%80%ae",
        "a%e2%80%8bb",
        "%ff",
        "%c0%af",
        &"x".repeat(256),
    ] {
        let put = served.request(&format!("PUT /catalogue/{name}"), "", &torrent(1)).await;
        assert_eq!(put.status, 400, "{name}: {}", put.text());
        assert!(put.error().starts_with("bad name: "), "{name}: {}", put.error());
    }
    assert_eq!(served.request("PUT /catalogue/", "", &torrent(1)).await.status, 404);
    for target in ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%5c..%5cx", "//etc/passwd"]
    {
        assert_eq!(served.get(target).await.status, 404, "{target}");
    }
    assert_eq!(served.get("/catalogue/..%2findex.json").await.status, 404);
    assert!(served.get("/catalogue").await.json()["torrents"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn hostile_uploads_are_refused_and_others_served() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    let mut deep = b"d4:info".to_vec();
    deep.extend(vec![b'l'; 1 << 20]);
    for bad in [b"".as_slice(), b"hello", b"d4:infodee", &deep, &torrent(1)[..60]] {
        let put = served.request("PUT /catalogue/bad", "", bad).await;
        assert_eq!(put.status, 400, "{}", put.text());
        assert!(put.error().contains("torrent"), "{}", put.error());
    }
    let seventeen = vec![b'x'; 17 << 20];
    let put = served.request("PUT /catalogue/big", "", &seventeen).await;
    assert_eq!((put.status, put.error().as_str()), (413, "a torrent may have at most 16 MiB"));
    // Without a length it is noticed on the way.
    let head = format!(
        "PUT /catalogue/big HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        served.http
    );
    let mut chunked = format!("{:x}\r\n", seventeen.len()).into_bytes();
    chunked.extend(&seventeen);
    chunked.extend(b"\r\n0\r\n\r\n");
    assert_eq!(served.send(&head, &chunked).await.status, 413);
    // A length that is only claimed costs nothing and is refused before a byte of it.
    let head = head.replace("Transfer-Encoding: chunked", "Content-Length: 99999999999");
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let status = async {
        let mut bytes = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes).await.unwrap();
        bytes
    };
    assert_eq!(&status.await, b"HTTP/1.1 413");
    assert_eq!(served.request("PUT /catalogue/good", "", &torrent(1)).await.status, 201);
}

#[tokio::test]
async fn a_slow_upload_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    let head = format!(
        "PUT /catalogue/slow HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 99\r\n\r\nd",
        served.http
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = 0;
    while served.get("/stats").await.json()["http"]["requests"].as_u64() != Some(asked + 2) {
        asked += 1;
    }
    // It stands behind the upload at the catalogue's thread, which knows no virtual time.
    assert_eq!(served.request("DELETE /catalogue/none", "", b"").await.status, 404);
    tokio::time::pause();
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.error(), "the torrent did not arrive within 60 s");
}

#[tokio::test]
async fn changes_need_the_token_and_reading_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), Some(TOKEN)).await;
    let put = |header: String| {
        let served = &served;
        async move { served.request("PUT /catalogue/a", &header, &torrent(1)).await }
    };
    let missing = put(String::new()).await;
    assert_eq!(missing.status, 401);
    assert!(missing.head.contains("www-authenticate: Bearer"), "{}", missing.head);
    assert!(missing.error().contains("a token is needed"), "{}", missing.error());
    for wrong in ["x", "0123456789abcde", "0123456789abcdeF"] {
        let answer = put(bearer(wrong)).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.error(), "that is not the tracker's token");
    }
    assert_eq!(put(format!("Authorization: Basic {TOKEN}\r\n")).await.status, 401);
    assert_eq!(put(bearer(TOKEN)).await.status, 201);
    assert_eq!(served.get("/catalogue").await.status, 200);
    assert_eq!(served.get("/catalogue/a").await.status, 200);
    assert_eq!(served.request("DELETE /catalogue/a", "", b"").await.status, 401);
    let guess = |token, more| {
        format!("DELETE /catalogue/b HTTP/1.1\r\nHost: t\r\n{}{more}\r\n", bearer(token))
    };
    let guesses = guess("guess", "").repeat(200) + &guess(TOKEN, "Connection: close\r\n");
    let answers = served.send(&guesses, b"").await;
    let answers = format!("{}{}", answers.head, answers.text());
    assert!(answers.rfind("HTTP/1.1 429 ") > answers.rfind("HTTP/1.1 401 "), "{answers}");
    assert_eq!(served.get("/catalogue/a").await.status, 200);
}

#[tokio::test]
async fn web_pages_of_others_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    let own = format!("Origin: http://{}\r\n", served.http);
    for origin in ["http://evil.example", "null", "http://127.0.0.1", "file://"] {
        let header = format!("Origin: {origin}\r\n");
        let put = served.request("PUT /catalogue/a", &header, &torrent(1)).await;
        assert_eq!(put.status, 403, "{origin}");
        let deleted = served.request("DELETE /catalogue/a", &header, b"").await;
        assert_eq!(deleted.status, 403, "{origin}");
    }
    // A name that leads here is no page of ours.
    let rebound = "PUT /catalogue/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\
                   Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(served.send(rebound, b"").await.status, 403);
    let twice = "PUT /catalogue/a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\
                 Connection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(served.send(twice, b"").await.status, 403);
    assert_eq!(served.request("POST /catalogue/a", "", &torrent(1)).await.status, 405);
    let asked =
        served.request("OPTIONS /catalogue/a", "Origin: http://evil.example\r\n", b"").await;
    assert!(!asked.head.to_lowercase().contains("access-control"), "{}", asked.head);
    assert_eq!(served.request("PUT /catalogue/a", &own, &torrent(1)).await.status, 201);
}

#[tokio::test]
async fn the_catalogue_outlives_a_restart_and_damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    for seed in 1..=3 {
        let target = format!("PUT /catalogue/t{seed}");
        assert_eq!(served.request(&target, "", &torrent(seed)).await.status, 201);
    }
    let before = served.get("/catalogue").await.text();
    let held = Library::open(dir.path(), CatalogueLimits::default(), None);
    assert!(matches!(held, Err(ShelfError::InUse { .. })));
    served.stop().await;
    let served = Served::with_catalogue(dir.path(), None).await;
    assert_eq!(served.get("/catalogue").await.text(), before);
    assert_eq!(served.get("/catalogue/t2").await.body, torrent(2));
    served.stop().await;

    let path = |seed| {
        let hash = data_encoding::HEXLOWER.encode(&info_hash(seed));
        dir.path().join(format!("{hash}.torrent"))
    };
    std::fs::write(path(1), torrent(9)).unwrap();
    std::fs::remove_file(path(2)).unwrap();
    let (library, damaged) = open(dir.path(), CatalogueLimits::default(), None);
    assert_eq!(library.len(), 1);
    assert_eq!(damaged.len(), 2);
    assert!(
        damaged[0].starts_with("t1 (") && damaged[0].ends_with("another torrent"),
        "{damaged:?}"
    );
    assert!(damaged[1].starts_with("t2 ("), "{damaged:?}");
    drop(library);
    std::fs::write(dir.path().join("index.json"), "{").unwrap();
    let broken = Library::open(dir.path(), CatalogueLimits::default(), None);
    assert!(matches!(broken, Err(ShelfError::Index { .. })));
}

#[tokio::test]
async fn a_full_catalogue_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let limits = CatalogueLimits { entries: 1, bytes: 1 << 20 };
    let (library, _) = open(dir.path(), limits, None);
    let served = Served::start(ServerConfig::default(), Some(library)).await;
    assert_eq!(served.request("PUT /catalogue/a", "", &torrent(1)).await.status, 201);
    let full = served.request("PUT /catalogue/b", "", &torrent(2)).await;
    assert_eq!((full.status, full.error().contains("full")), (507, true));
}

#[tokio::test]
async fn only_registered_torrents_are_tracked_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (library, _) = open(dir.path(), CatalogueLimits::default(), None);
    let config = ServerConfig { allow_catalogue: true, ..ServerConfig::default() };
    let served = Served::start(config, Some(library)).await;
    let refused = served.get(&announce(1, 'a', 1, 0)).await.text();
    assert_eq!(
        refused,
        "d14:failure reason41:this tracker does not follow that torrent8:retry in2:30e"
    );
    served.request("PUT /catalogue/a", "", &torrent(1)).await;
    assert!(served.get(&announce(1, 'a', 1, 0)).await.text().starts_with("d8:completei1e"));
    let none = Served::start(ServerConfig::default(), None).await;
    assert_eq!(none.get("/catalogue").await.status, 404);
}
