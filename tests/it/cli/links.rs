//! Torrents that are no files: URLs of them, magnet links and bare info-hashes, read, written,
//! fetched and refused.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::run::{Place, Running, finish, run};
use crate::mock_tracker::{MockTracker, Script};
use crate::payload::Payload;
use crate::process::driver;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn hex(hash: [u8; 20]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A download of what is named, into `out`.
fn download(home: &Path, arguments: &[&str]) -> Command {
    let mut command = driver(home);
    command.current_dir(home).args(["--no-trackers", "--dir", "out", "--port", "0"]);
    command.args(arguments);
    command
}

/// A torrent that nobody has.
fn other_torrent() -> Vec<u8> {
    Payload::new(9, "other", 16 << 10, &[("a", 1000)]).torrent(None)
}

#[test]
fn a_torrent_is_downloaded_from_its_url_and_kept() {
    let place = Place::new(None);
    let torrent = place.payload.torrent(None);
    let server = MockTracker::start(vec![Script::redirect("/moved"), Script::body(&torrent)]);
    let url = server.url_of("/s.torrent?key=1");
    let peer = place.seeder.address().to_string();
    let arguments = [&url, "--peer", &peer, "--save-torrent", "kept.torrent"];
    let ran = finish(&mut download(place.home.path(), &arguments));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    place.payload.assert_same(&place.out());
    assert_eq!(std::fs::read(place.home.path().join("kept.torrent")).expect("kept"), torrent);
    let asked: Vec<String> = server.requests();
    assert_eq!(asked, ["GET /s.torrent?key=1 HTTP/1.1", "GET /moved HTTP/1.1"]);
    // Another torrent is not written over it.
    let server = MockTracker::start(vec![Script::body(&other_torrent())]);
    let arguments = [&server.url_of("/o.torrent"), "--save-torrent", "kept.torrent"];
    let refused = finish(&mut download(place.home.path(), &arguments));
    refused.assert_refused(5, "kept.torrent exists");
}

#[test]
fn what_a_url_leads_to_instead_of_a_torrent_is_told() {
    let home = home();
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nd".to_vec();
    let table = [
        (Script::response("404 Not Found", "", b"no"), 3, "the server says 404 Not Found"),
        (Script::response("502 Bad Gateway", "", b"no"), 4, "the server says 502 Bad Gateway"),
        (Script::body(b"\n<!DOCTYPE html>\x1b[2J\n"), 3, "the server sends \"<!DOCTYPE html>[2J\""),
        (Script::body(b""), 3, "the server sends nothing"),
        (Script::body(b"d4:infod4:name9:cut"), 3, "cut off after 19 B"),
        (Script::body(b"d4:infoi7ee"), 3, "bad torrent"),
        (Script::Endless, 3, "the server sends \"xxxx"),
        (Script::Raw(long), 3, "more than 64 MiB"),
        (Script::redirect("/again"), 3, "redirects more than 5 times"),
        (Script::redirect("ftp://127.0.0.1/"), 3, "redirects to an unusable address"),
        (Script::redirect("http://0.0.0.0/x.torrent"), 3, "the unroutable address 0.0.0.0"),
        (Script::redirect("magnet:?dn=x"), 3, "redirects to a magnet link without an info hash"),
        (Script::Close, 4, "cannot be fetched"),
    ];
    for (script, code, words) in table {
        let server = MockTracker::start(vec![script]);
        let url = server.url_of("/k3y/x.torrent");
        let ran = finish(&mut download(home.path(), &[&url]));
        ran.assert_refused(code, words);
        assert!(!ran.stderr.contains("k3y"), "a passkey is told: {}", ran.stderr);
    }
    let gone = run(home.path(), &["info", "http://127.0.0.1:1/x.torrent"]);
    gone.assert_refused(4, "http://127.0.0.1:1/...: cannot be fetched");
    run(home.path(), &["verify", "http://", "."]).assert_refused(3, "not a URL of a .torrent");
}

#[test]
fn a_url_may_lead_to_a_link() {
    let home = home();
    let server = MockTracker::start(vec![Script::redirect(&format!("magnet:?xt=urn:btih:{HASH}"))]);
    let url = server.url_of("/x.torrent");
    let ran = finish(&mut download(home.path(), &[&url, "--timeout", "1s"]));
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("nobody to ask for its metadata"), "{}", ran.stderr);
}

#[test]
fn looking_at_a_url_is_looking_at_its_file() {
    let home = home();
    let torrent = Payload::new(1, "x", 16 << 10, &[("a", 1000), ("b", 5)]).torrent(None);
    std::fs::write(home.path().join("x.torrent"), &torrent).expect("write a torrent");
    let server = MockTracker::start(vec![Script::body(&torrent)]);
    let url = server.url_of("/x.torrent");
    for arguments in
        [["info", "--files"].as_slice(), &["info", "--json"], &["info", "--raw"], &["magnet"]]
    {
        let of = |name: &str| {
            let ran = run(home.path(), &[arguments, &[name]].concat());
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
            ran.stdout
        };
        assert_eq!(of(&url), of("x.torrent"), "{arguments:?}");
    }
    // A file is meant where there is one, whatever it is called.
    std::fs::write(home.path().join(HASH), &torrent).expect("write a torrent");
    let [by_hash, by_name] = [HASH, "x.torrent"].map(|name| run(home.path(), &["info", name]));
    assert_eq!(by_hash.stdout, by_name.stdout);
    let kept = run(home.path(), &["info", &url, "--save-torrent", "kept.torrent"]);
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    assert_eq!(std::fs::read(home.path().join("kept.torrent")).expect("kept"), torrent);
}

#[test]
fn info_tells_what_a_link_says_and_asks_nobody() {
    let home = home();
    let server = MockTracker::start(vec![Script::Close]);
    let link = format!(
        "magnet:?xt=urn:btih:{}&dn=a%1b%5B2J&tr={}&x.pe=127.0.0.1:5&so=0,2-4&xs={}",
        HASH.to_uppercase(),
        server.url_of("/announce"),
        server.url_of("/x.torrent"),
    );
    let ran = run(home.path(), &["info", &link]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for line in [
        "Name        a_[2J".to_owned(),
        format!("Info hash   {HASH}"),
        format!("Trackers    1  {}", server.url()),
        "Peers       1  127.0.0.1:5".to_owned(),
        "Files       1,3-5".to_owned(),
    ] {
        assert!(ran.stdout.lines().any(|it| it == line), "{line:?} in {}", ran.stdout);
    }
    let ran = run(home.path(), &["info", "--json", &link]);
    let object: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(object["info_hash_v1"], HASH);
    assert_eq!(object["wanted"], json!([[0, 0], [2, 4]]));
    assert_eq!(object["torrent_urls"], json!([server.url_of("/x.torrent")]));
    assert_eq!(server.requests(), [""; 0]);
    let bare = run(home.path(), &["info", HASH]);
    assert_eq!(bare.code, Some(0), "{}", bare.stderr);
    assert!(bare.stdout.ends_with(&format!("Magnet      magnet:?xt=urn:btih:{HASH}\n")));
    run(home.path(), &["info", "--raw", HASH]).assert_refused(2, "--raw is for the torrent itself");
}

#[test]
fn links_that_leave_open_what_they_mean_are_refused() {
    let home = home();
    let other = "f".repeat(40);
    for (link, words) in [
        ("magnet:?xt=urn:btih:01", "bad info hash: \"urn:btih:01\""),
        ("magnet:?dn=x", "without an info hash"),
        (&format!("magnet:?xt=urn:btih:{HASH}&xt=urn:btih:{other}"), "contradicts itself"),
        (&format!("magnet:?xt=urn:btih:{HASH}&so=5-1"), "\"5-1\" counts backwards"),
        (&format!("magnet:?xt=urn:btih:{HASH}{}", "&tr=x".repeat(256)), "256 parameters"),
        (&format!("magnet:?xt=urn:btih:{HASH}&dn={}", "x".repeat(70_000)), "limit of 65536"),
    ] {
        run(home.path(), &["info", link]).assert_refused(3, words);
        run(home.path(), &[link]).assert_refused(3, words);
    }
}

#[test]
fn a_link_that_says_where_its_torrent_is_is_downloaded() {
    let place = Place::new(None);
    // The first one is another torrent, the second no torrent.
    let server = MockTracker::start(vec![
        Script::body(&other_torrent()),
        Script::response("404 Not Found", "", b""),
        Script::body(&place.payload.torrent(None)),
    ]);
    let link = format!(
        "magnet:?xt=urn:btih:{}&xs={}&as={}&xs={}&x.pe={}&so=0",
        hex(place.payload.info_hash()),
        server.url_of("/1.torrent"),
        server.url_of("/2.torrent"),
        server.url_of("/3.torrent"),
        place.seeder.address(),
    );
    let ran = finish(&mut download(place.home.path(), &[&link]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let told: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("/...: ")).collect();
    assert!(told[0].contains("another torrent than the magnet link means"), "{}", ran.stderr);
    assert!(told[1].contains("404 Not Found"), "{}", ran.stderr);
    assert_eq!(server.requests().len(), 3);
    // The link chose the first file, and named who has it.
    let first = std::fs::metadata(place.out().join("sample/first.bin")).expect("the first file");
    assert_eq!(first.len(), 2_000_001);
    assert!(!place.out().join("sample/b/second").exists(), "the second file");
    // All of them, because the user says so.
    let server = MockTracker::start(vec![Script::body(&place.payload.torrent(None))]);
    let link = format!(
        "magnet:?xt=urn:btih:{}&xs={}&x.pe={}&so=0",
        hex(place.payload.info_hash()),
        server.url_of("/1.torrent"),
        place.seeder.address(),
    );
    let ran = finish(&mut download(place.home.path(), &[&link, "--select", "all"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    place.payload.assert_same(&place.out());
}

#[test]
fn a_link_whose_urls_are_no_good_says_why() {
    let home = home();
    let server = MockTracker::start(vec![
        Script::body(&other_torrent()),
        Script::redirect(&format!("magnet:?xt=urn:btih:{HASH}")),
    ]);
    let link = format!(
        "magnet:?xt=urn:btih:{HASH}&xs={}&xs={}&xs={}",
        server.url_of("/1.torrent"),
        server.url_of("/2.torrent"),
        server.url_of("/reboot"),
    );
    let refused = run(home.path(), &[&link, "--timeout", "1s", "--port", "0"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    for words in [
        "another torrent than the magnet link means",
        "it leads to a magnet link again",
        "the loopback address 127.0.0.1, which is not allowed",
        "nobody to ask for its metadata",
    ] {
        assert!(refused.stderr.contains(words), "{words:?} in {}", refused.stderr);
    }
    assert_eq!(
        server.requests().len(),
        2,
        "a stranger's link asks local servers for torrents only"
    );
}

#[test]
fn of_a_private_torrent_a_link_names_no_peers() {
    let home = home();
    let payload = Payload::new(1, "x", 16 << 10, &[("a", 1000)]).private();
    let server = MockTracker::start(vec![Script::body(&payload.torrent(None))]);
    let link = format!(
        "magnet:?xt=urn:btih:{}&xs={}&x.pe=127.0.0.1:1",
        hex(payload.info_hash()),
        server.url_of("/1.torrent"),
    );
    let ran = finish(&mut download(home.path(), &[&link, "--timeout", "1"]));
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("private: 1 peer of the magnet link left out"), "{}", ran.stderr);
}

#[test]
fn links_and_urls_are_added_at_the_prompt() {
    let place = Place::new(Some(100_000));
    let other = Payload::new(7, "other", 64 << 10, &[("a", 300_000)]);
    let seeder = crate::seeder::Seeder::start(std::sync::Arc::new(other), None);
    let other = Payload::new(7, "other", 64 << 10, &[("a", 300_000)]);
    let server = MockTracker::start(vec![
        Script::body(b"<html>"),
        Script::body(&other.torrent(None)),
        Script::body(&other.torrent(None)),
    ]);
    let mut running = Running::start(&mut place.command(&[]));
    running.line("Saving to out/");
    running.type_line(&format!("add {}", server.url_of("/page.torrent")));
    running.line("http://127.0.0.1:");
    running.type_line("add magnet:?xt=urn:btih:01");
    running.line("magnet link with a bad info hash");
    running.type_line(&format!("add {HASH}"));
    running.line("2 01234567: looking for its metadata");
    let link = format!(
        "magnet:?xt=urn:btih:{}&xs={}&x.pe={}",
        hex(other.info_hash()),
        server.url_of("/o.torrent"),
        seeder.address()
    );
    running.type_line(&format!("add {link} elsewhere"));
    let hash = hex(other.info_hash());
    running.line(&format!("3 {}: looking for its metadata", &hash[..8]));
    running.line("3 other: Complete");
    other.assert_same(&place.home.path().join("elsewhere"));
    running.type_line(&format!("add {}", server.url_of("/o?get=1")));
    running.line("http://127.0.0.1:");
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(7));
}

#[test]
fn nobody_who_leaves_waits_for_a_server() {
    let place = Place::new(Some(100_000));
    let server = MockTracker::start(vec![Script::Hang]);
    let mut running = Running::start(&mut place.command(&[]));
    running.line("Saving to out/");
    running.type_line(&format!("add {}", server.url_of("/x.torrent")));
    let limit = super::run::LIMIT;
    assert!(server.next_request(limit).is_some(), "it asks");
    let asked = Instant::now();
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(7));
    // A server that says nothing is waited for twice as long.
    assert!(asked.elapsed() < limit / 6, "{:?}", asked.elapsed());
}

#[test]
fn a_link_is_written_as_asked_for() {
    let home = home();
    let files = [("a", 1000), ("b", 5), ("c", 7)];
    let payload = Payload::new(1, "x y", 16 << 10, &files);
    let torrent = payload.torrent(Some("http://t.example/k3y/announce"));
    std::fs::write(home.path().join("x.torrent"), torrent).expect("write a torrent");
    let start = format!("magnet:?xt=urn:btih:{}&dn=x%20y", hex(payload.info_hash()));
    let tracker = "&tr=http%3A%2F%2Ft.example%2Fk3y%2Fannounce";
    for (arguments, rest) in [
        (&[] as &[&str], tracker.to_owned()),
        (&["--no-trackers"], String::new()),
        (&["--select", "2-3", "--no-trackers"], "&so=1-2".to_owned()),
        (&["--select", "all"], tracker.to_owned()),
        (
            &["--peer", "192.0.2.1:5,h.example:6", "--peer", "[::1]:7"],
            format!("{tracker}&x.pe=192.0.2.1:5&x.pe=h.example:6&x.pe=[::1]:7"),
        ),
    ] {
        let ran = run(home.path(), &[&["magnet", "x.torrent"], arguments].concat());
        assert_eq!((ran.code, ran.stdout), (Some(0), format!("{start}{rest}\n")), "{}", ran.stderr);
    }
    let again = run(home.path(), &["magnet", "--no-trackers", &format!("{start}{tracker}&so=0-1")]);
    assert_eq!(again.stdout, format!("{start}&so=0-1\n"));
    let refused = run(home.path(), &["magnet", "x.torrent", "--select", "4"]);
    refused.assert_refused(2, "there is no file 4: the torrent has 3 files");
    let bad = run(home.path(), &["magnet", "x.torrent", "--peer", "h.example"]);
    assert!(bad.stderr.contains("not a peer; write 192.0.2.1:6881"), "{}", bad.stderr);
}
