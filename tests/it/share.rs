//! Sharing by name: `catalogue share`, `list`, `get`, `unshare` and the menu through a pipe, with
//! a tracker in a process of its own; then trackers that lie.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::run::{LIMIT, Running, finish};
use crate::cli::tracker::start as start_tracker;
use crate::mock_tracker::{MockTracker, Script, gzip_bomb};
use crate::payload::Payload;
use crate::process::driver;

/// A folder with data to share, and somewhere to keep homes in.
struct Place {
    dir: TempDir,
    payload: Payload,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let files = [("first.bin", 2_000_001), ("b/second", 999_000)];
        let payload = Payload::new(7, "album", 65_536, &files);
        payload.write_to(&dir.path().join("data"));
        Self { dir, payload }
    }

    fn home(&self, who: &str) -> PathBuf {
        self.dir.path().join(who)
    }

    /// `driver` of somebody with a home of his own, in which he is.
    fn driver(&self, who: &str, arguments: &[&str]) -> Command {
        let home = self.home(who);
        let mut command = driver(&home);
        for name in ["TOKEN", "TRACKER", "FIND_PORT"] {
            command.env_remove(format!("DRIVER_{name}"));
        }
        command.current_dir(home).args(arguments);
        command
    }

    fn tracker(&self, more: &[&str]) -> (Running, String) {
        let home = self.home("tracker");
        std::fs::create_dir_all(&home).expect("make a home");
        start_tracker(&home, more)
    }

    fn share(&self, who: &str, tracker: &str, more: &[&str]) -> Command {
        let arguments =
            ["catalogue", "share", "../data/album", "--tracker", tracker, "--port", "0"];
        let mut command = self.driver(who, &arguments);
        command.args(more);
        command
    }

    fn listed(&self, tracker: &str) -> Value {
        let ran = finish(
            &mut self.driver("lister", &["catalogue", "list", "--json", "--tracker", tracker]),
        );
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        serde_json::from_str(&ran.stdout).expect("a JSON object")
    }

    /// Waits until the only torrent has so many seeds.
    fn wait_seeds(&self, tracker: &str, seeds: u64) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let list = self.listed(tracker);
            if list["torrents"][0]["seeds"] == seeds {
                return list;
            }
            assert!(Instant::now() < end, "{list}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Downloads `name` to the end as somebody, who goes on to serve it.
    fn get(&self, who: &str, tracker: &str, name: &str) -> Running {
        // What lies beside under that name is not meant.
        std::fs::create_dir_all(self.home(who).join(name)).expect("make a folder");
        let arguments = ["catalogue", "get", name, "--tracker", tracker, "--port", "0", "--seed"];
        let mut getter = Running::start(&mut self.driver(who, &arguments));
        getter.line("Complete: ");
        self.payload.assert_same(&self.home(who).join("downloads"));
        getter
    }
}

fn hash_files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("read a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name"));
    names.filter(|name| name.ends_with(".torrent")).collect()
}

#[test]
fn what_one_shares_another_gets_and_serves_when_the_first_has_gone() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "127.0.0.1:0"]);
    let url = format!("http://{address}");
    let mut sharer = Running::start(&mut place.share("alice", &url, &["--name", "our album"]));
    sharer.line("Complete: ");
    let list = place.wait_seeds(&url, 1);
    let entry = &list["torrents"][0];
    assert_eq!((&entry["name"], &entry["size"]), (&json!("our album"), &json!(2_999_001)));
    assert_eq!(entry["holders"][0]["share"], 1.0, "{list}");
    let hash = entry["info_hash"].as_str().expect("a hash").to_owned();
    let kept = hash_files(&place.home("alice").join("state/driver"));
    assert_eq!(kept, [format!("{hash}.torrent")]);

    let shown =
        finish(&mut place.driver("lister", &["catalogue", "list", "--holders", "-a", &address]));
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("\nour album  "), "{}", shown.stdout);
    assert!(shown.stdout.contains("  2.9 MiB      1        0\n      127.0.0.1:"));

    let mut bob = place.get("bob", &url, "our album");
    place.wait_seeds(&url, 2);
    sharer.type_line("quit");
    let ran = sharer.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let line = format!("driver catalogue get 'our album' --tracker {url}");
    assert!(ran.stderr.contains(&line), "{}", ran.stderr);
    place.wait_seeds(&url, 1);
    // An announce URL means the same tracker.
    let mut carol = place.get("carol", &format!("{url}/announce"), "our album");
    for running in [&mut bob, &mut carol] {
        running.type_line("quit");
        assert_eq!(running.wait().code, Some(0));
    }
}

#[test]
fn a_getter_asks_the_tracker_that_it_was_given() {
    // The sharer knows the tracker by an address that leads nowhere for others.
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "127.0.0.1:0"]);
    let url = format!("http://{address}");
    let torrent = place.payload.torrent(Some("http://127.0.0.1:1/announce"));
    std::fs::write(place.dir.path().join("a.torrent"), &torrent).expect("write a torrent");
    let home = place.home("alice");
    std::fs::create_dir_all(&home).expect("make a home");
    let put = put(&address, "album", &torrent);
    assert!(put.starts_with("HTTP/1.1 201 "), "{put}");
    let arguments = ["seed", "../a.torrent", "../data", "--port", "0", "-a"];
    let mut command = place.driver("alice", &arguments);
    let mut seeder = Running::start(command.arg(format!("{url}/announce")));
    seeder.line("Complete");
    place.wait_seeds(&url, 1);
    place.get("bob", &url, "album");
}

fn put(address: &str, name: &str, torrent: &[u8]) -> String {
    crate::cli::tracker::ask(address, &format!("PUT /catalogue/{name}"), "", torrent)
}

#[test]
fn refusals_say_what_to_do() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "0.0.0.0:0", "--token", "s3cret"]);
    let url = format!("http://{address}");
    let missing = finish(&mut place.share("a", &url, &[]));
    missing.assert_refused(3, "a token is needed: the tracker's operator has it; give it with");
    let wrong = finish(&mut place.share("a", &url, &["--token", "secret"]));
    wrong.assert_refused(3, "that is not the tracker's token; give it with --token or DRIVER_T");
    // That is said before anything is looked at.
    std::fs::create_dir(place.dir.path().join("empty")).expect("make a folder");
    let empty = |token: &str| {
        let arguments = ["catalogue", "share", "../empty", "-a", &url, "--token", token];
        finish(&mut place.driver("a", &arguments))
    };
    empty("secret").assert_refused(3, "that is not the tracker's token");
    empty("s3cret").assert_refused(3, "holds no bytes: there is nothing to share");
    let odd = finish(&mut place.share("a", &url, &["--token", "two words"]));
    odd.assert_refused(2, "a token has to be letters, digits and signs");
    for name in ["../x", "a/b", "..", "txt.\u{202e}exe"] {
        let ran = finish(&mut place.share("a", &url, &["--token", "s3cret", "--name", name]));
        ran.assert_refused(3, "bad name: ");
    }
    assert_eq!(place.listed(&url)["torrents"], json!([]));
    let empty = finish(&mut place.driver("b", &["catalogue", "list", "-a", &url]));
    assert_eq!(empty.stdout, "nothing is shared yet: driver catalogue share PATH begins\n");

    let mut command = place.share("a", &url, &["-p", "32KiB"]);
    let mut sharer = Running::start(command.env("DRIVER_TOKEN", "s3cret"));
    sharer.line("Complete: ");
    assert_eq!(place.listed(&url)["torrents"][0]["pieces"], 92);
    let other = finish(&mut place.share("b", &url, &["--token", "s3cret", "-p", "64KiB"]));
    other.assert_refused(3, "the name belongs to another torrent (");
    let unknown = finish(&mut place.driver("c", &["catalogue", "get", "ablum", "-a", &url]));
    unknown.assert_refused(3, "nobody shares \"ablum\" with the tracker at ");
    assert!(unknown.stderr.ends_with(": did you mean \"album\"?\n"), "{}", unknown.stderr);
    // What looks like a file is one.
    let file = finish(&mut place.driver("c", &["catalogue", "get", "album.torrent", "-a", &url]));
    file.assert_refused(3, "album.torrent: no such file");

    let ran = finish(&mut place.driver("a", &["catalogue", "unshare", "album", "-a", &url]));
    ran.assert_refused(3, "a token is needed");
    let token = ["catalogue", "unshare", "album", "-a", &url, "--token", "s3cret"];
    let ran = finish(&mut place.driver("a", &token));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    finish(&mut place.driver("a", &token)).assert_refused(3, "no torrent has that name");
    assert_eq!(place.listed(&url)["torrents"], json!([]));
}

#[test]
fn the_words_alone_do_the_same_and_say_where_they_went() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "127.0.0.1:0"]);
    let run = |more: &[&str]| finish(&mut place.driver("a", &[more, &["-a", &address]].concat()));
    for (word, more, code) in [("list", "--json", 0), ("get", "album", 3), ("unshare", "album", 3)]
    {
        let (alone, below) = (run(&[word, more]), run(&["catalogue", word, more]));
        assert_eq!((alone.code, below.code), (Some(code), Some(code)), "{}", alone.stderr);
        assert_eq!(alone.stdout, below.stdout);
        let notice = format!("driver {word} is now driver catalogue {word}\n");
        assert_eq!(alone.stderr, notice + &below.stderr);
        assert_eq!(run(&["-q", word, more]).stderr, below.stderr, "-q says nothing of it");
    }
    // A torrent is none of a catalogue's, and needs no other word.
    let torrent = run(&["get", "nothing.torrent"]);
    torrent.assert_refused(3, "nothing.torrent: no such file");
    assert!(!torrent.stderr.contains("is now"), "{}", torrent.stderr);
}

#[test]
fn what_cannot_be_served_leaves_no_name_behind() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "127.0.0.1:0"]);
    let url = format!("http://{address}");
    let taken = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = taken.local_addr().expect("a listener's address").port().to_string();
    let arguments = ["catalogue", "share", "../data/album", "--tracker", &url, "--port", &port];
    let ran = finish(&mut place.driver("a", &arguments));
    assert_eq!(ran.code, Some(8), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(place.listed(&url)["torrents"], json!([]));
}

#[test]
fn a_tracker_of_the_network_is_found() {
    let place = Place::new();
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let port = socket.local_addr().expect("an address").port().to_string();
    drop(socket);
    let list = || {
        let mut command = place.driver("lister", &["catalogue", "list"]);
        finish(command.env("DRIVER_FIND_PORT", &port))
    };
    list().assert_refused(4, "no tracker answers on this network: name one with --tracker URL");
    let mut command = place.driver("lister", &["catalogue", "get", "album"]);
    let none = finish(command.env("DRIVER_FIND_PORT", &port));
    none.assert_refused(4, "album: no such file, and no tracker answers");
    let found = ["tracker", "--listen", "127.0.0.1:0", "--find-port", &port, "--state"];
    let start = |state: &str| {
        let mut command = place.driver("tracker", &found);
        let mut running = Running::start(command.arg(state));
        let line = running.line("tracker on ");
        // From here on it is found: who looks asks three times.
        running.line("  catalogue");
        (running, line.trim_start_matches("tracker on ").to_owned())
    };
    let (_one, address) = start("one");
    let ran = list();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let line = format!("Using the tracker http://{address} (");
    assert!(ran.stderr.starts_with(&line), "{}", ran.stderr);
    let (_two, other) = start("two");
    let ran = list();
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for words in [&address, &other, "several trackers answer: choose one with --tracker URL"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

/// Answers whoever looks for trackers at `port` with what the tracker there answers, but for the
/// address, which is its own. Tells what is said to it over HTTP.
fn copycat(port: u16) -> (String, mpsc::Receiver<String>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
    let socket = socket.expect("a socket");
    socket.set_reuse_address(true).expect("share the port");
    let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
    // It asks first, for an asker of this port would hear itself.
    let asker = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    asker.set_broadcast(true).expect("ask everybody");
    asker.set_read_timeout(Some(Duration::from_millis(200))).expect("wait");
    let question = [b"PIGEON?\x01".as_slice(), b"anything", &[0; 80]].concat();
    let mut answer = [0; 96];
    let deadline = Instant::now() + LIMIT;
    let len = loop {
        // It may not listen there yet.
        asker.send_to(&question, ("127.255.255.255", port)).expect("ask");
        match asker.recv_from(&mut answer) {
            Ok((len, _)) => break len,
            Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
        }
    };
    socket.bind(&everywhere.into()).expect("share the port");
    let socket = UdpSocket::from(socket);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        answer[28..30].copy_from_slice(&address.port().to_be_bytes());
        let mut question = [0; 96];
        while let Ok((_, asker)) = socket.recv_from(&mut question) {
            answer[8..16].copy_from_slice(&question[8..16]);
            let _ = socket.send_to(&answer[..len], asker);
        }
    });
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = vec![0; 1 << 16];
            let len = stream.read(&mut bytes).unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&bytes[..len]).into_owned());
            let nothing =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(nothing);
        }
    });
    (format!("http://{address}"), told)
}

#[test]
fn whoever_answers_for_the_tracker_gets_no_secret_and_replaces_nobody() {
    let place = Place::new();
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let port = socket.local_addr().expect("an address").port();
    drop(socket);
    let find = port.to_string();
    let listen = ["tracker", "--listen", "127.0.0.1:0", "--token", "s3cret", "--find-port", &find];
    let mut tracker = Running::start(&mut place.driver("tracker", &listen));
    let real = tracker.line("tracker on ").replace("tracker on ", "http://");
    tracker.line("  token");
    let (fake, told) = copycat(port);
    let found = |who: &str, arguments: &[&str]| {
        let mut command = place.driver(who, arguments);
        command.env("DRIVER_FIND_PORT", &find);
        command
    };
    let share = ["catalogue", "share", "../data/album", "--port", "0", "--token", "s3cret"];
    let mut sharer = Running::start(&mut found("alice", &share));
    sharer.line("Complete: ");
    // She knows it now, and another one does not.
    let ran = finish(&mut found("alice", &["catalogue", "list"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.starts_with(&format!("Using the tracker {real} (")), "{}", ran.stderr);
    assert!(ran.stdout.contains("\nalbum "), "{}", ran.stdout);
    let ran = finish(&mut found("bob", &["catalogue", "list"]));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for words in [&real, &fake, "several trackers answer: choose one with --tracker URL"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    sharer.type_line("quit");
    let ran = sharer.wait();
    assert!(ran.stderr.contains(&format!("--tracker {real}")), "{}", ran.stderr);
    tracker.signal("TERM");
    tracker.wait();
    let ran = finish(&mut found("alice", &share));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let words = "no tracker that answers has shown that it knows the token";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    let heard: Vec<String> = told.try_iter().collect();
    assert!(!heard.is_empty(), "it was found");
    assert!(heard.iter().all(|said| said.starts_with("GET /introduction?nonce=")), "{heard:?}");
    assert!(heard.iter().all(|said| !said.contains("s3cret")), "{heard:?}");
}

#[test]
fn the_menu_shares_lists_and_downloads() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "0.0.0.0:0", "--token", "s3cret"]);
    let menu = |who: &str| {
        let arguments = ["menu", "--port", "0", "-a", &address];
        Running::start(&mut place.driver(who, &arguments))
    };
    let mut alice = menu("alice");
    alice.line("  6  quit");
    for line in ["4", "nonsense", "1", "../nothing", "1", "'../data/album'", "", "wrong", "s3cret"]
    {
        alice.type_line(line);
    }
    for start in [
        "> Nothing runs",
        "> Type a number from 1 to 6",
        "> File or folder (empty: back): That did not work: ../nothing: no such file",
        "> File or folder (empty: back): Name for others (empty: album): a token is needed",
        "The tracker's token (empty: back): that is not the tracker's token",
        "The tracker's token (empty: back): Reading it...",
        "Shared. Others get it by: driver catalogue get album",
    ] {
        alice.line(start);
    }
    place.wait_seeds(&address, 1);
    let mut bob = menu("bob");
    for line in ["3", "2", "7", "2", "1"] {
        bob.type_line(line);
    }
    bob.line("album  ");
    bob.line("      127.0.0.1:");
    bob.line("   1 album ");
    bob.line(
        "Number, name, .torrent file, URL or magnet link (empty: back): That did not work: there is \
         no number 7",
    );
    bob.line(
        "Number, name, .torrent file, URL or magnet link (empty: back): Downloading 2.9 MiB to \
         downloads/album",
    );
    place.wait_seeds(&address, 2);
    place.payload.assert_same(&place.home("bob").join("downloads"));
    for running in [&mut bob, &mut alice] {
        running.type_line("4");
        running.line("   1 album ");
        running.type_line("6");
        let ran = running.wait();
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("Saved. 1 of 1 torrent complete. "), "{}", ran.stdout);
    }
}

#[test]
fn the_menu_says_when_nobody_is_there() {
    let place = Place::new();
    let (_tracker, address) = place.tracker(&["--listen", "127.0.0.1:0"]);
    put(&address, "album", &place.payload.torrent(None));
    let arguments = ["menu", "--port", "0", "-a", &address];
    let mut bob = Running::start(&mut place.driver("bob", &arguments));
    bob.type_line("2");
    bob.type_line("album");
    bob.line("Number, name, .torrent file, URL or magnet link (empty: back): Downloading ");
    bob.line("Nobody who has all of it is there now");
    bob.type_line("4");
    bob.line("1 album:");
    bob.type_line("5");
    bob.type_line("1");
    bob.line(
        "Number of the one to stop (empty: back): 1 album is stopped; what is there stays in ",
    );
    bob.type_line("6");
    assert_eq!(bob.wait().code, Some(0));
}

#[test]
fn without_a_terminal_and_without_words_there_is_help() {
    let place = Place::new();
    let ran = finish(&mut place.driver("a", &[]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("Usage: driver"), "{}", ran.stderr);
}

/// An entry of a list, with the hash of `payload`.
fn entry(name: &str, payload: &Payload) -> Value {
    let hash: String = payload.info_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": name, "info_hash": hash, "size": 1, "files": 1, "pieces": 1,
        "seeds": 1, "leeches": 0, "holders": [],
    })
}

fn list_of(entries: &[Value]) -> Script {
    Script::body(json!({ "torrents": entries }).to_string().as_bytes())
}

#[test]
fn names_with_tricks_lead_nowhere() {
    let place = Place::new();
    let tricks = ["../../x", "/etc/passwd", "a\\b", "\u{1b}[2Jclear", "..", "good"];
    let entries = tricks.map(|name| entry(name, &place.payload));
    let mock = MockTracker::start(vec![list_of(&entries)]);
    let ran = finish(&mut place.driver("a", &["catalogue", "list", "-a", &mock.url_of("/")]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    assert!(ran.stdout.contains("\ngood "), "{}", ran.stdout);
    let line = "5 entries left out: no torrent can have such a name or hash\n";
    assert!(ran.stdout.ends_with(line), "{}", ran.stdout);
    // A name that the command line takes for a name, and no catalogue may have.
    let ran = finish(&mut place.driver("a", &["catalogue", "get", "a\\b", "-a", &mock.url_of("")]));
    ran.assert_refused(3, "nobody shares \"a\\b\"");
    assert!(mock.requests().iter().all(|line| line.starts_with("GET /catalogue HTTP")));
}

#[test]
fn answers_that_are_too_long_or_lie_are_refused() {
    let place = Place::new();
    let other = Payload::new(8, "other", 65_536, &[("x", 1000)]);
    let good = || list_of(&[entry("album", &place.payload)]);
    let lie = || Script::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec());
    let bomb = Script::response("200 OK", "Content-Encoding: gzip\r\n", &gzip_bomb(300 << 20));
    let error = json!({ "error": "no\u{1b}[2J" }).to_string();
    let cases: Vec<(Vec<Script>, i32, &str)> = vec![
        (vec![lie()], 4, "sends more than 16777216 bytes for its list"),
        (vec![Script::Endless], 4, "sends more than 16777216 bytes for its list"),
        (vec![bomb], 4, "sends more than 16777216 bytes for its list"),
        (vec![Script::body(b"<html>")], 4, "sends no good answer: "),
        (vec![Script::body(b"{\"torrents\":[{}]}")], 4, "sends no good answer: missing field"),
        (vec![Script::Close], 4, "cannot be asked: "),
        (vec![Script::redirect("http://127.0.0.1:1/")], 3, "says no: status 302"),
        (vec![Script::response("404 Not Found", "", error.as_bytes())], 3, "says no: no\\x1b[2J"),
        (vec![good(), lie()], 4, "sends more than 16777216 bytes for a torrent"),
        (vec![good(), Script::Endless], 4, "sends more than 16777216 bytes for a torrent"),
        (vec![good(), Script::body(b"d4:spam")], 4, "sends no good answer: not a torrent"),
        (vec![good(), Script::body(&other.torrent(None))], 4, "it is another torrent than the one"),
    ];
    for (scripts, code, words) in cases {
        let mock = MockTracker::start(scripts);
        let ran =
            finish(&mut place.driver("a", &["catalogue", "get", "album", "-a", &mock.url_of("")]));
        ran.assert_refused(code, words);
    }
    assert!(!place.home("a").join("downloads").exists(), "something was downloaded");
    let mock = MockTracker::start(vec![Script::body(b"{\"name\":\"x\",\"info_hash\":\"\"}")]);
    let ran = finish(&mut place.share("a", &mock.url_of(""), &[]));
    ran.assert_refused(4, "it registered something else");
}
