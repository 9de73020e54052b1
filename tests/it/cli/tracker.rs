//! `driver tracker` as a program: what it prints, its token, its catalogue over a restart, and
//! how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::run::{Running, finish};
use crate::payload::Payload;
use crate::process::driver;

fn tracker(home: &Path, more: &[&str]) -> Command {
    let mut command = driver(home);
    for name in ["TOKEN", "LISTEN", "STATE"] {
        command.env_remove(format!("DRIVER_{name}"));
    }
    command.current_dir(home).args(["tracker", "--no-find"]).args(more);
    command
}

/// A tracker with its address; on every address it is that of this machine.
pub fn start(home: &Path, more: &[&str]) -> (Running, String) {
    let mut running = Running::start(&mut tracker(home, more));
    let line = running.line("tracker on ");
    let address = line.trim_start_matches("tracker on ").replace("0.0.0.0", "127.0.0.1");
    (running, address)
}

/// What the tracker answers, head and body.
pub fn ask(address: &str, what: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connect to the tracker");
    let len = body.len();
    let head = format!(
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("ask the tracker");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read the answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn it_says_where_it_is_keeps_its_catalogue_and_ends_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    let torrent = Payload::new(3, "sample", 64 << 10, &[("a", 100_000)]).torrent(None);
    let (mut running, address) = start(home.path(), &["--listen", "127.0.0.1:0", "--udp"]);
    assert_eq!(running.line("  announce  "), format!("  announce  http://{address}/announce"));
    assert_eq!(running.line("    "), format!("            udp://{address}/announce"));
    let catalogue = format!("  catalogue http://{address}/catalogue (0 torrents)");
    assert_eq!(running.line("  catalogue"), catalogue);
    let put = ask(&address, "PUT /catalogue/lecture", "", &torrent);
    assert!(put.starts_with("HTTP/1.1 201 "), "{put}");

    let second = finish(&mut tracker(home.path(), &["--listen", &address, "--no-catalogue"]));
    assert_eq!((second.code, second.stdout.as_str()), (Some(8), ""));
    assert!(second.stderr.contains(" is in use by another program"), "{}", second.stderr);
    let third = finish(&mut tracker(home.path(), &["--listen", "127.0.0.1:0"]));
    assert_eq!(third.code, Some(8), "{}", third.stderr);
    assert!(third.stderr.contains("another tracker keeps its catalogue in "), "{}", third.stderr);
    assert_eq!(second.stderr.lines().count() + third.stderr.lines().count(), 2);

    // One who never asks anything holds nobody up.
    let _idle = TcpStream::connect(&address).expect("connect to the tracker");
    let asked = Instant::now();
    running.signal("TERM");
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());

    let (mut running, address) = start(home.path(), &["--listen", "127.0.0.1:0"]);
    running.line("  catalogue");
    let list = ask(&address, "GET /catalogue", "", b"");
    assert!(list.contains("\"name\":\"lecture\""), "{list}");
    running.signal("INT");
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn others_of_the_network_need_a_token() {
    let home = tempfile::tempdir().expect("a folder");
    let torrent = Payload::new(3, "sample", 64 << 10, &[("a", 100_000)]).torrent(None);
    let (mut running, address) = start(home.path(), &["--listen", "0.0.0.0:0"]);
    let line = running.line("  token     ");
    let token = line.split_whitespace().nth(1).expect("a token").to_owned();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let refused = ask(&address, "PUT /catalogue/a", "", &torrent);
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let put = ask(&address, "PUT /catalogue/a", &bearer, &torrent);
    assert!(put.starts_with("HTTP/1.1 201 "), "{put}");
    running.signal("TERM");
    running.wait();

    std::fs::write(home.path().join("token"), "s3cret\n").expect("write a token");
    let more = ["--listen", "0.0.0.0:0", "--token-file", "token", "--state", "elsewhere"];
    let (mut running, address) = start(home.path(), &more);
    assert_eq!(running.line("  token"), "  token     as given (to share with this tracker)");
    let put = ask(&address, "PUT /catalogue/a", "Authorization: Bearer s3cret\r\n", &torrent);
    assert!(put.starts_with("HTTP/1.1 201 "), "{put}");
    running.signal("TERM");
    running.wait();
}

#[test]
fn the_list_of_what_is_allowed_is_read_again_on_hangup() {
    let home = tempfile::tempdir().expect("a folder");
    let list = home.path().join("allow");
    std::fs::write(&list, "xyz\n").expect("write a list");
    let more = ["--listen", "127.0.0.1:0", "--allow", "allow", "--no-catalogue"];
    let bad = finish(&mut tracker(home.path(), &more));
    assert_eq!(bad.code, Some(3));
    assert!(bad.stderr.contains("allow: line 1 is not an info-hash"), "{}", bad.stderr);
    std::fs::write(&list, "").expect("write a list");
    let (mut running, address) = start(home.path(), &more);
    let announce = || {
        let query = format!("info_hash={0}&peer_id={0}&port=1&left=0", "a".repeat(20));
        ask(&address, &format!("GET /announce?{query}"), "", b"")
    };
    assert!(announce().contains("this tracker does not follow that torrent"));
    std::fs::write(&list, "61".repeat(20)).expect("write a list");
    running.signal("HUP");
    let end = Instant::now() + Duration::from_secs(20);
    while announce().contains("this tracker does not follow that torrent") {
        assert!(Instant::now() < end, "the list was not read again");
    }
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(0));
}
