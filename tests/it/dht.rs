//! The DHT from end to end: several `driver`s find each other by it alone, and what it tells whom
//! is read byte by byte at nodes written by hand. Everything is on loopback, and no name of a
//! router stands in any command.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run::{LIMIT, Run, Running, finish};
use crate::mock_peer::{BITS_ALL, Script, handshake};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::mock_udp_tracker::MockUdpTracker;
use crate::payload::Payload;
use crate::process::driver;

/// A home with a torrent and its data.
struct Home {
    dir: TempDir,
    payload: Payload,
}

impl Home {
    fn new(seed: u64) -> Self {
        Self::of(Payload::new(seed, &format!("set{seed}"), 32 << 10, &[("a", 200_000)]), None)
    }

    fn of(payload: Payload, announce: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(dir.path().join("a.torrent"), payload.torrent(announce)).expect("a torrent");
        payload.write_to(&dir.path().join("data"));
        Self { dir, payload }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn hash(&self) -> String {
        self.payload.info_hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A command that takes part in the DHT, which it enters at `routers`.
    fn command(&self, arguments: &[&str], routers: &[SocketAddr]) -> Command {
        let mut command = driver(self.path());
        command.env_remove("DRIVER_NO_DHT").current_dir(self.path()).args(arguments);
        match routers {
            [] => command.args(["--dht-bootstrap", ""]),
            routers => routers.iter().fold(&mut command, |command, router| {
                command.args(["--dht-bootstrap", &router.to_string()])
            }),
        };
        command
    }

    /// Seeds what is there; peers come by the DHT alone.
    fn seed(&self, routers: &[SocketAddr]) -> Seed {
        let arguments = ["seed", "a.torrent", "data", "--port", "0", "--json", "--no-pex"];
        Seed::start(&mut self.command(&arguments, routers))
    }
}

/// A `driver` that seeds; it ends with this.
struct Seed {
    running: Running,
    port: u16,
}

impl Seed {
    fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let port = event(&mut running, "started")["port"].as_u64().expect("a port");
        Self { running, port: u16::try_from(port).expect("a port") }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Waits until it has everything and is announced to somebody, in whatever order; at how many
    /// nodes.
    fn ready(&mut self) -> u64 {
        let (mut is_complete, mut nodes) = (false, None);
        while !is_complete || nodes.is_none() {
            let event: Value = serde_json::from_str(&self.running.line("{")).expect("a JSON line");
            is_complete |= event["event"] == "completed";
            // Those who answer first may not be worth a word, and others are asked again later.
            let told = event["nodes"].as_u64().filter(|nodes| *nodes > 0);
            nodes = nodes.or(told.filter(|_| event["event"] == "dht_announced"));
        }
        nodes.expect("a number")
    }

    fn quit(mut self) -> Run {
        self.running.type_line("quit");
        self.running.wait()
    }
}

/// The next event of this name.
#[track_caller]
fn event(running: &mut Running, name: &str) -> Value {
    loop {
        let line = running.line("{");
        let event: Value = serde_json::from_str(&line).expect("a JSON line");
        if event["event"] == name {
            return event;
        }
    }
}

/// What it answers to a command.
#[track_caller]
fn answer(running: &mut Running, line: &str) -> String {
    running.type_line(line);
    let answer = event(running, "answer");
    answer["text"].as_str().expect("a text").to_owned()
}

/// Waits until nothing is announced: orders are on their way for a moment.
#[track_caller]
fn is_announced_no_more(running: &mut Running) {
    let begin = Instant::now();
    while !answer(running, "dht").contains("0 info hashes taking part") {
        assert!(begin.elapsed() < LIMIT, "it is announced still");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Three that are there for others to be found by.
struct Nodes {
    _homes: Vec<Home>,
    nodes: Vec<Seed>,
}

impl Nodes {
    fn start() -> Self {
        let homes: Vec<Home> = (101..104).map(Home::new).collect();
        let mut nodes: Vec<Seed> = Vec::new();
        for home in &homes {
            let routers: Vec<SocketAddr> = nodes.first().iter().map(|it| it.address()).collect();
            nodes.push(home.seed(&routers));
        }
        Self { _homes: homes, nodes }
    }

    fn routers(&self) -> [SocketAddr; 1] {
        [self.nodes[0].address()]
    }
}

fn out(home: &Home) -> PathBuf {
    home.path().join("out")
}

#[track_caller]
fn assert_code(ran: &Run, code: i32) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
}

/// A datagram, and who sent it.
type Heard = (SocketAddr, Vec<u8>);

/// A node by hand: it keeps what comes, and answers each query with what `reply` makes of it.
struct MockNode {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<AtomicBool>,
}

impl MockNode {
    fn start(reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a limit");
        let (heard, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (keep, end) = (heard.clone(), is_over.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let query = &buffer[..len];
                keep.lock().expect("a list").push((from, query.to_vec()));
                for bytes in reply(query) {
                    // Whoever asked may have gone.
                    let _ = socket.send_to(&bytes, from);
                }
            }
        });
        Self { address, heard, is_over }
    }

    /// Waits until something came that `is_it`.
    #[track_caller]
    fn hears(&self, what: &str, is_it: impl Fn(&[u8]) -> bool) -> SocketAddr {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            let heard = self.heard.lock().expect("a list");
            if let Some((from, _)) = heard.iter().find(|(_, bytes)| is_it(bytes)) {
                return *from;
            }
            drop(heard);
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} did not come");
    }

    fn heard_of(&self, hash: [u8; 20]) -> bool {
        let heard = self.heard.lock().expect("a list");
        heard.iter().any(|(_, bytes)| contains(bytes, &hash))
    }
}

impl Drop for MockNode {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The transaction of a query, which stands behind its key.
fn transaction(query: &[u8]) -> Option<&[u8]> {
    let at = query.windows(5).rposition(|window| window == b"1:t4:")? + 5;
    query.get(at..at + 4)
}

/// What a node without neighbours answers to anything.
fn honest(query: &[u8]) -> Vec<Vec<u8>> {
    let Some(transaction) = transaction(query).filter(|_| contains(query, b"1:y1:q")) else {
        return Vec::new();
    };
    let head = b"d1:rd2:id20:mnopqrstuvwxyz1234565:nodes0:5:token4:abcde1:t4:";
    vec![[&head[..], transaction, b"1:y1:re"].concat()]
}

#[test]
fn two_find_each_other_by_the_dht_alone() {
    let nodes = Nodes::start();
    let routers = nodes.routers();
    let (giver, taker) = (Home::new(1), tempfile::tempdir().expect("a folder"));
    let mut seed = giver.seed(&routers);
    assert!(seed.ready() > 0);
    let taker = Home { dir: taker, payload: Payload::new(1, "set1", 32 << 10, &[("a", 200_000)]) };
    let hash = giver.hash();
    let arguments = [&*hash, "-e", "-d", "out", "--port", "0", "--no-pex"];
    let ran = finish(&mut taker.command(&arguments, &routers));
    assert_code(&ran, 0);
    taker.payload.assert_same(&out(&taker));
    // Without it nobody is found.
    let alone = Home { dir: tempfile::tempdir().expect("a folder"), payload: taker.payload };
    let arguments = [&*hash, "-e", "--port", "0", "--timeout", "2s", "--no-dht"];
    assert_code(&finish(&mut alone.command(&arguments, &routers)), 4);
    let ran = finish(&mut alone.command(&["info", "--fetch", &*hash], &routers));
    assert_code(&ran, 0);
    assert!(ran.stdout.contains("Name        set1\n"), "{}", ran.stdout);
    assert_code(&seed.quit(), 0);
}

/// Nobody else is there to keep an announce: the one is told of it as soon as it is met.
#[test]
fn two_nodes_are_a_net() {
    let giver = Home::new(12);
    let mut seed = giver.seed(&[]);
    event(&mut seed.running, "completed");
    // It keeps nothing for others, so that nobody but the seed can tell it of the seed.
    let got = finish(&mut giver.command(&["dht", "get", &giver.hash()], &[seed.address()]));
    assert_code(&got, 0);
    assert!(got.stdout.contains(&format!("127.0.0.1:{}\n", seed.port)), "{}", got.stdout);
    let taker = tempfile::tempdir().expect("a folder");
    let taker =
        Home { dir: taker, payload: Payload::new(12, "set12", 32 << 10, &[("a", 200_000)]) };
    let arguments = ["info", "--fetch", &giver.hash(), "--timeout", "4s"];
    let ran = finish(&mut taker.command(&arguments, &[seed.address()]));
    assert_code(&ran, 0);
    assert!(ran.stdout.contains("Name        set12\n"), "{}", ran.stdout);
    assert_code(&seed.quit(), 0);
}

#[test]
fn people_ask_the_dht() {
    let nodes = Nodes::start();
    let routers = nodes.routers();
    let giver = Home::new(2);
    let mut seed = giver.seed(&routers);
    seed.ready();
    let ask = |words: &[&str]| {
        let mut arguments = vec!["dht"];
        arguments.extend(words);
        finish(&mut giver.command(&arguments, &routers))
    };
    let got = ask(&["get", &giver.hash()]);
    assert_code(&got, 0);
    assert!(got.stdout.contains(&format!("127.0.0.1:{}\n", seed.port)), "{}", got.stdout);
    assert!(got.stderr.contains("1 peer found"), "{}", got.stderr);
    // Until it was complete it was none, and some may have been told that only.
    let begin = Instant::now();
    while !ask(&["get", &giver.hash()]).stderr.contains("about 1 seed and 0 leechers") {
        assert!(begin.elapsed() < LIMIT, "nobody knows it as a seed: {}", got.stderr);
    }
    let got = ask(&["get", &giver.hash(), "--json"]);
    assert!(got.stdout.contains(r#"{"event":"swarm","leechers":0,"seeds":1}"#), "{}", got.stdout);
    // Whoever was asked so often may have used up what it answers a second.
    let ping = || ask(&["ping", &routers[0].to_string()]);
    let pong = loop {
        let pong = ping();
        if pong.code == Some(0) {
            break pong;
        }
        assert!(begin.elapsed() < LIMIT, "{}", pong.stderr);
    };
    assert!(pong.stdout.starts_with(&routers[0].to_string()), "{}", pong.stdout);
    let list = ask(&["nodes", "--json"]);
    assert_code(&list, 0);
    let list: Value = serde_json::from_str(&list.stdout).expect("one JSON object");
    assert!(list["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()), "{list}");
    let put = ask(&["put", "Hello World!"]);
    assert_code(&put, 0);
    // BEP 44, test vector 3.
    assert_eq!(put.stdout, "e5f96f6f38320f0f33959cb4d3d656452117aadb\n");
    let item = ask(&["item", put.stdout.trim()]);
    assert_code(&item, 0);
    assert_eq!(item.stdout.trim_end(), "Hello World!");
    for (seq, text) in [("1", "one"), ("2", "two")] {
        assert_code(&ask(&["put", text, "--key", "k", "--salt", "s", "--seq", seq]), 0);
    }
    let put = ask(&["put", "three", "--key", "k", "--salt", "s", "--seq", "3"]);
    let item = ask(&["item", put.stdout.trim(), "--salt", "s"]);
    assert_eq!((item.stdout.trim_end(), item.stderr.as_str()), ("three", "signed, number 3\n"));
    // Nothing is kept in this home, so that there is nobody to ask.
    let lost = Home::new(3);
    let ran = finish(&mut lost.command(&["dht", "get", &giver.hash(), "--wait", "1s"], &[]));
    ran.assert_refused(4, "no node of the DHT is known: none is kept from earlier runs");
    ask(&["get", "nonsense"]).assert_refused(2, "not an info hash");
    let text = answer(&mut seed.running, "dht");
    assert!(text.starts_with("IPv4  ") && text.contains("1 info hash taking part"), "{text}");
    assert!(text.contains("\nswarm "), "{text}");
    let answer = answer(&mut seed.running, "status");
    assert!(answer.contains("\nDHT        "), "{answer}");
    // Who is paused is announced no more.
    self::answer(&mut seed.running, "pause");
    is_announced_no_more(&mut seed.running);
}

#[test]
fn where_the_dht_is_entered_stands_in_the_settings() {
    let nodes = Nodes::start();
    let home = Home::new(13);
    let file = home.path().join("config/driver/config.toml");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let text = format!("dht-bootstrap = \"{}\"\njson = true\n", nodes.routers()[0]);
    std::fs::write(file, text).expect("settings");
    let ask = |more: &[&str]| {
        let mut command = driver(home.path());
        command.env_remove("DRIVER_NO_DHT").env_remove("DRIVER_DHT_BOOTSTRAP");
        // From there nobody is reached who is not on this machine.
        command.args(["dht", "nodes", "--bind", "127.0.0.1"]).args(more);
        finish(&mut command)
    };
    let list = ask(&[]);
    assert_code(&list, 0);
    let list: Value = serde_json::from_str(&list.stdout).expect("one JSON object");
    assert!(list["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()), "{list}");
    let nowhere = ["--dht-bootstrap", "", "--wait", "1s"];
    ask(&nowhere).assert_refused(4, "no node of the DHT is known");
    let without = [&nowhere[..], &["--no-config"]].concat();
    ask(&without).assert_refused(4, "no node of the DHT is known");
}

#[test]
fn nodes_that_were_met_are_enough_after_a_restart() {
    let nodes = Nodes::start();
    let home = Home::new(4);
    let mut seed = home.seed(&nodes.routers());
    seed.ready();
    assert_code(&seed.quit(), 0);
    assert!(home.path().join("state/driver/dht.dat").exists());
    let mut again = home.seed(&[]);
    assert!(again.ready() > 0);
}

/// BEP 27, and "private torrents never": neither a query nor an announce holds the hash.
#[test]
fn of_a_private_torrent_no_node_hears() {
    let node = MockNode::start(honest);
    let tracker = MockTracker::start(vec![Reply::peer([127, 0, 0, 1], 1)]);
    let payload = Payload::new(5, "set5", 32 << 10, &[("a", 200_000)]).private();
    let secret = payload.info_hash();
    let home = Home::of(payload, Some(&tracker.url()));
    let public = Home::new(6);
    let (torrent, data) = (public.path().join("a.torrent"), public.path().join("data"));
    let arguments = ["seed", "a.torrent", "data", "--port", "0", "--json"];
    let mut seed = Seed::start(&mut home.command(&arguments, &[node.address]));
    event(&mut seed.running, "completed");
    // It takes part in the DHT all the same.
    node.hears("any query", |bytes| contains(bytes, b"1:y1:q"));
    seed.running.type_line(&format!("add {} {}", torrent.display(), data.display()));
    let hash = public.payload.info_hash();
    node.hears("an announce", |it| contains(it, b"13:announce_peer") && contains(it, &hash));
    event(&mut seed.running, "completed");
    assert_code(&seed.quit(), 0);
    assert!(!node.heard_of(secret));
}

/// Before its metadata is there nobody can know that a torrent is private; from then on the DHT
/// hears nothing more of it.
#[test]
fn a_link_that_turns_out_to_be_private_is_forgotten_at_once() {
    let payload = || Payload::new(10, "set10", 32 << 10, &[("a", 200_000)]).private();
    let node = MockNode::start(honest);
    let giver = Home::of(payload(), None);
    let mut seed = giver.command(&["seed", "a.torrent", "data", "--port", "0", "--json"], &[]);
    let seed = Seed::start(&mut seed);
    let taker = Home { dir: tempfile::tempdir().expect("a folder"), payload: payload() };
    let (hash, peer) = (taker.hash(), seed.address().to_string());
    let arguments = [&*hash, "--port", "0", "--json", "--seed"];
    let mut taking = Running::start(&mut taker.command(&arguments, &[node.address]));
    node.hears("the search", |bytes| contains(bytes, &taker.payload.info_hash()));
    taking.type_line(&format!("add-peer {peer}"));
    event(&mut taking, "metadata_found");
    is_announced_no_more(&mut taking);
}

/// "A hybrid's two hashes are two DHT swarms."
#[test]
fn a_hybrid_is_announced_by_both_its_hashes() {
    let node = MockNode::start(honest);
    let home = Home::new(11);
    std::fs::remove_file(home.path().join("a.torrent")).expect("it was there");
    let create = ["create", "data/set11", "--hybrid", "-o", "a.torrent"];
    assert_code(&finish(driver(home.path()).current_dir(home.path()).args(create)), 0);
    let info = finish(driver(home.path()).current_dir(home.path()).args(["info", "a.torrent"]));
    let hashes: Vec<Vec<u8>> = info.stdout.lines().filter_map(hash_of).collect();
    let [one, two] = hashes.as_slice() else { panic!("{}", info.stdout) };
    let seed = home.seed(&[node.address]);
    for hash in [one, two] {
        let hash = &hash[..20];
        node.hears("an announce", |it| contains(it, b"13:announce_peer") && contains(it, hash));
    }
    drop(seed);
}

/// The digits at the end of a line, if it ends in a hash.
fn hash_of(line: &str) -> Option<Vec<u8>> {
    let word = line.split_whitespace().next_back().filter(|word| matches!(word.len(), 40 | 64))?;
    let byte = |at: usize| u8::from_str_radix(word.get(at..at + 2)?, 16).ok();
    (0..word.len()).step_by(2).map(byte).collect()
}

#[test]
fn garbage_of_a_node_does_nothing() {
    let mad = MockNode::start(|query| {
        let transaction = transaction(query).unwrap_or(b"aaaa").to_vec();
        let with = |body: &[u8]| [body, b"1:t4:", &transaction, b"1:y1:re"].concat();
        let mut deep = vec![b'd', b'1', b':', b'r'];
        deep.extend([b'l'; 1400]);
        vec![
            b"d".to_vec(),
            deep,
            with(b"d1:rd2:id19:mnopqrstuvwxyz1234e"),
            with(b"d1:rd2:id20:mnopqrstuvwxyz1234565:nodes7:1234567e"),
            with(b"d1:rd2:id20:mnopqrstuvwxyz1234566:valuesli99ei-1e3:abcee"),
            with(b"d1:rd2:id20:mnopqrstuvwxyz1234565:token0:e"),
            b"d1:eli201e1:xe1:t4:zzzz1:y1:ee".to_vec(),
            b"\0\0\0\x03garbage".to_vec(),
        ]
    });
    let nodes = Nodes::start();
    let home = Home::new(7);
    let mut seed = home.seed(&[mad.address, nodes.routers()[0]]);
    assert!(seed.ready() > 0);
    let ran = seed.quit();
    assert_code(&ran, 0);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    // Among others it may not have been asked before they were enough.
    let stranger = Home::new(8);
    let ask = ["dht", "get", &home.hash(), "--wait", "2s"];
    let alone = finish(&mut stranger.command(&ask, &[mad.address]));
    mad.hears("any query", |bytes| contains(bytes, b"1:y1:q"));
    alone.assert_refused(4, "");
    assert!(!alone.stderr.contains("panicked"), "{}", alone.stderr);
}

#[test]
fn trackers_and_the_dht_speak_from_the_port_that_we_listen_on() {
    let ports = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = ports.clone();
    let tracker = MockUdpTracker::start(move |asked| {
        seen.lock().expect("a set").insert(asked.from.port());
        asked.honest(&[127, 0, 0, 1, 0, 1]);
    });
    let node = MockNode::start(honest);
    let payload = Payload::new(8, "set8", 32 << 10, &[("a", 200_000)]);
    let home = Home::of(payload, Some(&tracker.url()));
    let mut seed = home.seed(&[node.address]);
    event(&mut seed.running, "completed");
    let from = node.hears("an announce", |it| contains(it, b"13:announce_peer"));
    let port = seed.port;
    let told = format!("4:porti{port}e");
    node.hears("our port", |it| contains(it, told.as_bytes()) && !contains(it, b"12:implied_port"));
    assert_code(&seed.quit(), 0);
    assert_eq!(from.port(), port);
    assert_eq!(*ports.lock().expect("a set"), BTreeSet::from([port]));
}

/// "Peers … should send a PORT message": the node that it names is all that we are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_tell_each_other_of_their_nodes() {
    let node = MockNode::start(honest);
    let home = Home::new(9);
    let mut seed = home.seed(&[]);
    tokio::task::block_in_place(|| event(&mut seed.running, "completed"));
    let mut peer = Script::dial(seed.address()).await.expect("the driver listens");
    let mut bits = BITS_ALL;
    bits[7] |= 1;
    let ours = handshake(bits, home.payload.info_hash(), *b"-MK0100-portportport");
    let theirs = peer.shake_hands(&ours).await.expect("a handshake");
    assert_eq!(theirs[27] & 1, 1, "it says that it has a node");
    let port = loop {
        match peer.message().await.expect("a message") {
            Some((9, body)) => break u16::from_be_bytes([body[0], body[1]]),
            _ => continue,
        }
    };
    assert_eq!(port, seed.port);
    let [high, low] = node.address.port().to_be_bytes();
    peer.send(&[0, 0, 0, 3, 9, high, low]).await.expect("it listens");
    let hash = home.payload.info_hash();
    tokio::task::block_in_place(|| {
        node.hears("an announce", |it| contains(it, b"13:announce_peer") && contains(it, &hash));
        assert_code(&seed.quit(), 0);
    });
}
