//! Blocklists from end to end: whom a list has is not dialled, not let in, and left when the list
//! comes later; and a list that is none starts nothing.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{BITS_ALL, Behaviour, MockPeer, Script, handshake};
use crate::mock_web::{MockWeb, Reply};
use crate::process::driver;

/// Where the peer is that lists have.
const BLOCKED: &str = "127.0.0.9";

fn place() -> (TempDir, Arc<Spec>) {
    let home = tempfile::tempdir().expect("a folder for the test");
    let spec = Spec::single(19, "listed", 300_001, 65_536);
    std::fs::write(home.path().join("t.torrent"), spec.torrent()).expect("write the torrent");
    (home, Arc::new(spec))
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = driver(home);
    command.current_dir(home).args(arguments).args(["--port", "0", "--no-trackers", "--json"]);
    command
}

/// The next event of this name.
#[track_caller]
fn event(running: &mut Running, name: &str) -> Value {
    loop {
        let event: Value = serde_json::from_str(&running.line("{")).expect("a JSON line");
        if event["event"] == name {
            return event;
        }
    }
}

/// What it answers to a command, once that has these words.
#[track_caller]
fn answer(running: &mut Running, line: &str, words: &str) -> String {
    let begin = Instant::now();
    loop {
        running.type_line(line);
        let answer = event(running, "answer")["text"].as_str().expect("a text").to_owned();
        // Lines break where the screen is narrow.
        if answer.split_whitespace().collect::<Vec<_>>().join(" ").contains(words) {
            return answer;
        }
        assert!(begin.elapsed() < LIMIT, "{words:?} is not in {answer}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Connects from the address that lists have; true when nothing is said before it is closed.
fn is_closed_at_once(port: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from: IpAddr = BLOCKED.parse().expect("an address");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("somebody listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_list_has_is_not_met_until_the_list_says_otherwise() {
    let (home, spec) = place();
    let peer = MockPeer::listen_at(BLOCKED, spec.clone(), Behaviour::default()).await;
    let list = home.path().join("list.p2p");
    std::fs::write(&list, "Some: Org:127.0.0.9-127.0.0.9\r\nwhat?\r\n").expect("write the list");
    let named = peer.address.to_string();
    let arguments = ["t.torrent", "--blocklist", "list.p2p", "--peer", &named, "--dir", "out"];
    block_in_place(|| {
        let mut running = Running::start(&mut command(home.path(), &arguments));
        let port = event(&mut running, "started")["port"].as_u64().expect("a port");
        let told = event(&mut running, "blocklist");
        assert_eq!((&told["ranges"], &told["bad"]), (&1.into(), &1.into()), "{told}");
        assert!(told["list"].as_str().is_some_and(|it| it.ends_with("list.p2p")), "{told}");
        answer(&mut running, "why", "the only address that was named is on it");
        assert!(is_closed_at_once(u16::try_from(port).expect("a port")));
        let words = "1 range, 1 dial and 1 connection refused";
        answer(&mut running, "status", &format!("Blocklist {words}"));
        answer(&mut running, "net", &format!("blocklist {words} list.p2p: 1 range, 1 line cannot"));
        answer(&mut running, "add-peer 127.0.0.9:9", "is on the blocklist: nobody connects to it");
        assert_eq!(peer.connections(), 0);
        // Nothing of a list that cannot be read, and all of the next one.
        std::fs::write(&list, "gone\n").expect("write the list");
        let told = event(&mut running, "blocklist");
        let message = told["message"].as_str().expect("why not");
        assert!(message.ends_with("stays in force"), "{message}");
        assert_eq!((&told["ranges"], peer.connections()), (&1.into(), 0));
        std::fs::write(&list, "127.0.0.10\n").expect("write the list");
        event(&mut running, "completed");
        assert_eq!(running.wait().code, Some(0));
    });
    assert!(peer.connections() > 0);
    let data = std::fs::read(home.path().join("out/listed")).expect("the data");
    assert!(data == spec.file(0), "every byte is right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_when_the_list_comes_is_left() {
    let (home, spec) = place();
    std::fs::write(home.path().join("listed"), spec.file(0)).expect("write the data");
    let list = home.path().join("list.dat");
    std::fs::write(&list, "127.000.000.009 - 127.000.000.009 , 000 , x\n").expect("a list");
    let arguments = ["seed", "t.torrent", ".", "--blocklist", "list.dat"];
    let mut running = Running::start(&mut command(home.path(), &arguments));
    let port = block_in_place(|| event(&mut running, "started")["port"].as_u64()).expect("a port");
    let to = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
    let mut peer = Script::dial(to).await.expect("it listens");
    let ours = handshake(BITS_ALL, spec.info_hash(), *b"-MK0100-whoisblocked");
    peer.shake_hands(&ours).await.expect("it is let in");
    std::fs::write(&list, "127.000.000.001 - 127.000.000.001 , 000 , x\n").expect("a list");
    let left = async { while peer.message().await.is_ok() {} };
    tokio::time::timeout(LIMIT, left).await.expect("it is left");
    // Allowed, by whoever made the list: a list of nothing is none, so there is another line.
    let allowed = "127.0.0.1 - 127.0.0.1 , 200 , x\n9.9.9.9 - 9.9.9.9 , 0 , x\n";
    std::fs::write(&list, allowed).expect("a list");
    block_in_place(|| {
        while event(&mut running, "blocklist")["message"] != Value::Null {}
        let begin = Instant::now();
        while is_refused(to) {
            assert!(begin.elapsed() < LIMIT, "it is let in again");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        running.type_line("quit");
        assert_eq!(running.wait().code, Some(0));
    });
}

/// Is a connection closed before anything is said?
fn is_refused(to: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a limit");
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_list_that_is_none_starts_nothing() {
    let (home, _) = place();
    for (name, text) in
        [("empty", "# nothing\n"), ("page", "<html>\n"), ("all", "0.0.0.0/0\n"), ("xz", "\u{1}")]
    {
        std::fs::write(home.path().join(name), text).expect("write a list");
    }
    std::fs::write(home.path().join("xz"), b"\xfd7zXZ\0").expect("write a list");
    for (list, code, words) in [
        ("none", 3, "blocklist none: cannot be read: No such file"),
        (".", 3, "blocklist .: it is no regular file"),
        ("empty", 3, "nothing in it is an address or a range of addresses (0 lines"),
        ("page", 3, "(1 line cannot be read)"),
        ("xz", 3, "it is packed by xz; unpack it first"),
        ("all", 3, "--blocklist-force takes it all the same"),
        ("http://127.0.0.1:1/secret?pin=7", 4, "blocklist http://127.0.0.1:1/secret?...: "),
        ("http://", 2, "not a URL that can be asked"),
    ] {
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(["t.torrent", "--no-trackers", "--port", "0"]);
        let ran = finish(command.args(["--blocklist", list]));
        assert_eq!(ran.code, Some(code), "{list}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && !ran.stderr.contains("pin"), "{}", ran.stderr);
        if code != 2 {
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        }
    }
    let arguments = ["t.torrent", "--blocklist", "all", "--blocklist-force", "--timeout", "1s"];
    let ran = finish(&mut command(home.path(), &arguments));
    assert_eq!(ran.code, Some(4), "it runs, and reaches nobody: {}", ran.stderr);
    assert!(ran.stdout.contains(r#""event":"blocklist""#), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_fetched_blocks_at_the_next_start_without_network_too() {
    let (home, spec) = place();
    let peer = MockPeer::listen_at(BLOCKED, spec.clone(), Behaviour::default()).await;
    let files = vec![("/list".to_owned(), b"a:127.0.0.9-127.0.0.9\n".to_vec())];
    let web = MockWeb::start(files, |_| Reply::Whole);
    let url = format!("http://{}/list?pin=7", web.address);
    let named = peer.address.to_string();
    let arguments = ["t.torrent", "--blocklist", &url, "--peer", &named, "--timeout", "1s"];
    let run = || block_in_place(|| finish(&mut command(home.path(), &arguments)));
    let first = run();
    assert_eq!((first.code, peer.connections()), (Some(4), 0), "{}{}", first.stdout, first.stderr);
    drop(web);
    let second = run();
    assert_eq!((second.code, peer.connections()), (Some(4), 0), "{}", second.stderr);
    assert!(second.stdout.contains(r#""ranges":1"#) && !second.stdout.contains("pin"));
}
