//! `driver remote` against a `driver daemon`: by its socket, by HTTP with its token, and when
//! nobody is there.

mod announced;
mod killed;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::payload::Payload;
use crate::process::{Process, driver};

const LIMIT: Duration = Duration::from_secs(60);

/// What `driver remote` of these words comes to: its exit code, and both streams.
fn remote(home: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = driver(home);
    let ran: Output = command.arg("remote").args(words).output().expect("run driver");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
}

#[track_caller]
fn says(home: &Path, line: &str) -> String {
    let (code, said, talked) = remote(home, &line.split(' ').collect::<Vec<_>>());
    assert_eq!((code, talked.as_str()), (Some(0), ""), "{line}: {said}");
    said
}

fn daemon(home: &Path) -> Process {
    let mut command = driver(home);
    command.args(["daemon", "--http", "127.0.0.1:0", "-p", "0", "--dir"]).arg(home.join("out"));
    let mut daemon = Process::start("daemon", command, home);
    let deadline = Instant::now() + LIMIT;
    while !daemon.output().contains("driver remote list") {
        let is_there = daemon.ended().is_none() && Instant::now() < deadline;
        assert!(is_there, "the daemon does not begin:\n{}", daemon.last_words());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon
}

fn torrent(home: &Path, seed: u64, name: &str) -> String {
    let payload = Payload::new(seed, name, 1 << 16, &[("a.bin", 100_000), ("b.bin", 50_000)]);
    let path = home.join(format!("{name}.torrent"));
    std::fs::write(&path, payload.torrent(None)).expect("write the torrent");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn what_was_told_outlives_a_daemon_that_is_killed() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let (one, two) = (torrent(home, 1, "one"), torrent(home, 2, "two"));
    let mut first = daemon(home);
    assert_eq!(says(home, &format!("add {one} {two} --paused")), "1 one: added\n2 two: added\n");
    assert_eq!(says(home, "label two linux"), "2 two: linux\n");
    assert_eq!(says(home, "select 2 1"), "2 two: 1 of 2 wanted\n");
    assert_eq!(says(home, "remove one"), "1 one: removed\n");
    first.kill();
    let (code, _, talked) = remote(home, &["list"]);
    assert_eq!(code, Some(4), "{talked}");
    assert!(talked.contains("start it with driver daemon"), "{talked}");

    let _second = daemon(home);
    let list: Value = serde_json::from_str(&says(home, "list --json")).expect("JSON");
    assert_eq!(list["torrents"].as_array().map(Vec::len), Some(1), "{list}");
    let it = &list["torrents"][0];
    assert_eq!((&it["id"], &it["state"]), (&2.into(), &"paused".into()));
    assert_eq!(it["labels"], serde_json::json!(["linux"]));
    let list = says(home, "list --label linux");
    assert!(list.starts_with("  NO DONE") && list.contains(" paused   two\n"), "{list}");
    assert!(says(home, "files 2").contains("   skip"), "the choice is kept");
}

/// Waits until the answer to a question is such a one.
#[track_caller]
fn until(home: &Path, line: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer: Value = serde_json::from_str(&says(home, line)).expect("JSON");
        if is_so(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {what}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn film() -> Payload {
    Payload::new(7, "film", 1 << 16, &[("a.bin", 300_000), ("b.bin", 50_000)])
}

/// A payload that another daemon seeds, the home of that one, and its port.
fn seeded(home: &Path) -> (Payload, Process, Value) {
    let payload = film();
    std::fs::create_dir_all(home.join("out")).expect("make a folder");
    payload.write_to(&home.join("out"));
    let path = home.join("film.torrent");
    std::fs::write(&path, payload.torrent(None)).expect("write the torrent");
    let seed = daemon(home);
    says(home, &format!("add {}", path.display()));
    until(home, "show 1 --json", "seeding", |it| it["state"] == "seeding");
    let port = until(home, "session --json", "there", |_| true)["port"].clone();
    (payload, seed, port)
}

#[test]
fn a_damaged_byte_is_found_when_all_is_verified_and_fetched_again() {
    let (theirs, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let home = dir.path();
    let (payload, _seed, port) = seeded(theirs.path());
    let _daemon = daemon(home);
    says(home, &format!("add {}", theirs.path().join("film.torrent").display()));
    says(home, &format!("add-peer 1 127.0.0.1:{port}"));
    until(home, "show 1 --json", "seeding", |it| it["state"] == "seeding");
    let path = home.join("out/film/a.bin");
    let deadline = Instant::now() + LIMIT;
    while !path.exists() {
        assert!(Instant::now() < deadline, "it has not its name: {}", says(home, "show 1"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let right = std::fs::read(&path).expect("read the file");
    assert_eq!((right.len(), payload.contents()[0].1 == right), (300_000, true));
    let time = std::fs::metadata(&path).and_then(|it| it.modified()).expect("its time");
    let mut wrong = right.clone();
    wrong[70_000] ^= 0x40;
    std::fs::write(&path, &wrong).expect("damage it");
    let file = std::fs::File::open(&path).expect("open it");
    file.set_modified(time).expect("as if nothing had happened");
    assert_eq!(says(home, "verify 1"), "1 film: all of it is read again\n");
    let deadline = Instant::now() + LIMIT;
    // Until it is whole again it has the name of a part.
    while std::fs::read(&path).ok().as_ref() != Some(&right) {
        assert!(Instant::now() < deadline, "it is not mended: {}", says(home, "show 1"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let whole = |it: &Value| it["state"] == "seeding" && it["pieces_done"] == it["pieces"];
    until(home, "show 1 --json", "whole", whole);
    let log = says(home, "log");
    assert!(log.contains("1 film: checking\n"), "{log}");
}

#[test]
fn a_link_is_a_torrent_from_the_first_and_complete_under_its_number_after_a_kill() {
    let (theirs, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let home = dir.path();
    let mut first = daemon(home);
    let hash: String = film().info_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let link = format!("magnet:?xt=urn:btih:{hash}&dn=told&so=1");
    assert_eq!(says(home, &format!("add {link} --label linux")), "1 told: added\n");
    assert_eq!(says(home, &format!("add {link}")), "1 told: it is there already\n");
    until(home, "show 1 --json", "sought", |it| it["state"] == "seeking");
    let list = says(home, "list --state seeking");
    assert!(list.contains("   1    -         -") && list.contains(" metadata told\n"), "{list}");
    let show = says(home, "show 1");
    assert!(show.contains("seeking metadata\nSearch     looking for peers"), "{show}");
    let why = says(home, "why told");
    assert!(why.contains("Waits for a peer") && why.contains("add-peer 1 ADDR"), "{why}");
    assert_eq!(says(home, "limit 1 up 123K"), "1 told: limited\n");
    first.kill();

    let mut second = daemon(home);
    let it = until(home, "show 1 --json", "sought on", |it| it["state"] == "seeking");
    assert_eq!(
        (&it["labels"], &it["limits"]["up"]),
        (&serde_json::json!(["linux"]), &123_000.into())
    );
    let (payload, _seed, port) = seeded(theirs.path());
    says(home, &format!("add-peer 1 127.0.0.1:{port}"));
    let it = until(home, "show 1 --json", "complete", |it| it["state"] == "seeding");
    assert_eq!((&it["name"], &it["labels"]), (&"film".into(), &serde_json::json!(["linux"])));
    let log = says(home, "log");
    assert!(log.contains("1 film: its metadata is known: it is film\n"), "{log}");
    assert!(says(home, "files 1").contains("   skip"), "the link chose the other one");
    second.kill();

    let _third = daemon(home);
    let it = until(home, "show 1 --json", "there", |it| it["state"] == "seeding");
    assert_eq!((&it["hash"], &it["done_bytes"]), (&hash.into(), &50_000.into()));
    let path = home.join("out/film/b.bin");
    assert_eq!(std::fs::read(path).ok().as_ref(), Some(&payload.contents()[1].1));
}

#[test]
fn how_much_files_are_wanted_and_in_which_order_is_told() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let _daemon = daemon(home);
    says(home, &format!("add {} --paused", torrent(home, 1, "one")));
    assert_eq!(says(home, "select 1 2 --priority high"), "1 one: 1 of 2 high\n");
    let files = until(home, "files 1 --json", "there", |_| true);
    let told: Vec<_> = files.as_array().into_iter().flatten().map(|it| &it["priority"]).collect();
    assert_eq!(told, ["normal", "high"]);
    assert!(says(home, "files 1").contains("  high    one/b.bin\n"), "{}", says(home, "files 1"));
    assert_eq!(says(home, "order 1 sequential ends-first"), "1 one: sequential, ends-first\n");
    let it = until(home, "show 1 --json", "there", |_| true);
    assert_eq!((&it["sequential"], &it["ends_first"]), (&true.into(), &true.into()));
    assert_eq!(says(home, "order 1 rarest"), "1 one: rarest\n");
    let it = until(home, "show 1 --json", "there", |_| true);
    assert_eq!((&it["sequential"], &it["ends_first"]), (&false.into(), &false.into()));
}

#[test]
fn by_http_the_token_opens() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let running = daemon(home);
    let output = running.output();
    let url = output.split("Asked at ").nth(1).and_then(|rest| rest.split("/api").next());
    let url = url.expect("it says where it is asked");
    // The token of this user is found by itself, and is not shown to others.
    assert!(says(home, &format!("session --url {url}")).starts_with("Version    "));
    let token = home.join("state/driver/daemon/token");
    let token = token.to_str().expect("a path in UTF-8");
    let elsewhere = home.join("elsewhere");
    let by_file = ["list", "--url", url, "--token-file", token];
    assert_eq!(remote(&elsewhere, &by_file).0, Some(0));
    let (code, said, talked) = remote(home, &["list", "--url", url, "--token", "0123456789abcdef"]);
    assert_eq!((code, said.as_str()), (Some(3), ""), "{talked}");
    assert!(talked.contains("does not take the token"), "{talked}");
    let (code, _, talked) = remote(&elsewhere, &["list", "--url", url]);
    assert_eq!(code, Some(2), "{talked}");
    assert!(talked.contains("wants a token"), "{talked}");
}

/// Whoever presses Tab is to see candidates, and nothing else.
#[test]
fn shells_are_offered_torrents_and_hear_of_no_trouble() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    assert_eq!(says(home, "--complete -- pause "), "", "nobody is there");
    let _daemon = daemon(home);
    says(home, &format!("add {} --paused", torrent(home, 1, "one")));
    assert_eq!(says(home, "--complete -- pause "), "1\tone\nall\t1 torrent\n");
    assert_eq!(says(home, "--complete pause o"), "one\ttorrent 1\n");
    assert_eq!(says(home, "--complete -- remove --data -- on"), "one\ttorrent 1\n");
    for nothing in ["add o", "pause x", "--socket nowhere pause o", "pause --socket nowhere o"] {
        assert_eq!(says(home, &format!("--complete -- {nothing}")), "", "{nothing}");
    }
}

#[test]
fn without_a_daemon_it_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let (code, said, talked) = remote(dir.path(), &["list"]);
    assert_eq!((code, said.as_str()), (Some(4), ""), "{talked}");
    assert!(talked.starts_with("driver: no daemon runs here: start one"), "{talked}");
    let (code, _, talked) = remote(dir.path(), &["watch", "--socket", "nowhere"]);
    assert_eq!(code, Some(2), "{talked}");
    let (code, _, talked) = remote(dir.path(), &["lsit"]);
    assert_eq!(code, Some(2), "{talked}");
}

#[test]
fn the_token_is_taken_from_the_environment_and_the_socket_goes_with_its_daemon() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let mut running = daemon(home);
    let output = running.output();
    let url = output.split("Asked at ").nth(1).and_then(|rest| rest.split("/api").next());
    let url = url.expect("it says where it is asked");
    let own = home.join("state/driver/daemon");
    let token = std::fs::read_to_string(own.join("token")).expect("a token");
    let elsewhere = home.join("elsewhere");
    let with = |token: &str| {
        let mut command = driver(&elsewhere);
        command.args(["remote", "list", "--url", url]).env("DRIVER_REMOTE_TOKEN", token);
        let ran = command.output().expect("run driver");
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    assert_eq!(with(token.trim()), (Some(0), String::new()));
    let (code, talked) = with("0123456789abcdef");
    assert_eq!(code, Some(3), "{talked}");
    assert!(talked.contains("does not take the token"), "{talked}");
    // Half a token is none.
    let (code, talked) = with(&token.trim()[..16]);
    assert_eq!(code, Some(3), "{talked}");
    let socket = own.join("socket");
    assert!(socket.exists());
    let pid = rustix::process::Pid::from_raw(running.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(running.wait(LIMIT).code(), Some(0), "{}", running.last_words());
    assert!(!socket.exists(), "nobody is there");
}

/// Of the table of threats: bodies of 64 MiB, and as many connections as are let in.
#[test]
fn large_bodies_and_many_connections_cost_the_daemon_little_memory() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let running = daemon(home);
    let output = running.output();
    let address =
        output.split("Asked at http://").nth(1).and_then(|rest| rest.split("/api").next());
    let address = address.expect("it says where it is asked").to_owned();
    let token = std::fs::read_to_string(home.join("state/driver/daemon/token")).expect("a token");
    says(home, "list");
    let before = running.peak_rss_bytes().expect("Linux");
    let head = |len: usize| {
        let line = "POST /api/v1/torrents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let kind = "Content-Type: application/json\r\n";
        format!(
            "{line}{kind}Authorization: Bearer {}\r\nContent-Length: {len}\r\n\r\n",
            token.trim()
        )
    };
    // Some are as long as they may be, and never end; one is too long.
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.write_all(head(20 << 20).as_bytes()).expect("it listens");
        held.push(stream);
    }
    let part = vec![b' '; 19 << 20];
    for stream in held.iter_mut().rev().take(8) {
        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket");
        // Whom there is no room for is told so, and hears no more.
        let _ = stream.write_all(&part);
    }
    let mut long = TcpStream::connect(&address).expect("it listens");
    let _ = long.write_all(head(64 << 20).as_bytes());
    let mut answer = [0; 12];
    long.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    says(home, "list");
    let grown = running.peak_rss_bytes().expect("Linux") - before;
    assert!(grown <= 64 << 20, "{} MiB", grown >> 20);
    drop(held);
}
