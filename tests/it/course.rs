//! The course chunk protocol between `driver` and an independent program, written in Python
//! from the specification alone: each of our roles against each of its, in all three steps,
//! and providers and trackers that do wrong. Ports are any that are free.

mod bench;
mod faults;
mod lan;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sha1::{Digest, Sha1};

use crate::process::Process;
use bench::{Bench, Side};

const SIDES: [Side; 2] = [Side::Ours, Side::Theirs];
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn step_1_both_files() {
    if !has_python() {
        return;
    }
    for (cutter, providers, client) in every_side() {
        let bench = Bench::cut(1_500_001, 65_536, cutter);
        let _providers = bench.providers(providers);
        bench.get(client, &["--config", "config"]).assert_complete();
    }
}

#[test]
fn step_2_a_tracker() {
    if !has_python() {
        return;
    }
    for (tracker, providers, client) in every_side() {
        let bench = Bench::cut(1_500_001, 65_536, Side::Ours);
        let _providers = bench.providers(providers);
        let _tracker = bench.tracker(tracker, &[]);
        let address = bench.address("tracker");
        bench.get(client, &["--tracker", &address]).assert_complete();
    }
}

#[test]
fn step_2_a_tracker_that_peers_ini_names() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(200_000, 65_536, Side::Ours);
    let _providers = bench.providers(Side::Theirs);
    let _tracker = bench.tracker(Side::Theirs, &[]);
    let told = bench.get(Side::Ours, &["--config", "config", "--tracker"]);
    told.assert_complete();
    assert!(told.output().starts_with(&format!("tracker {} lists", bench.address("tracker"))));
    // Where there is no file.ini, nothing else is left.
    fs::create_dir(bench.dir().join("only")).unwrap();
    fs::copy(bench.dir().join("config/peers.ini"), bench.dir().join("only/peers.ini")).unwrap();
    bench.start_over();
    bench.get(Side::Ours, &["--config", "only"]).assert_complete();
}

#[test]
fn step_3_a_broadcast() {
    if !has_python() {
        return;
    }
    for (tracker, providers, client) in every_side() {
        let bench = Bench::cut(1_500_001, 65_536, Side::Ours);
        let _providers = bench.providers(providers);
        let port = bench.discovery_port().to_string();
        let _tracker = bench.tracker(tracker, &["--discover-port", &port]);
        let way = ["--discover", "--broadcast", "127.255.255.255", "--discover-port", &port];
        bench.get(client, &way).assert_complete();
    }
}

/// Programs of the course look for a tracker of exactly this name.
#[test]
fn a_tracker_is_called_tracker_unless_it_is_named() {
    let bench = Bench::cut(1000, 65_536, Side::Ours);
    for (more, name) in [(&[][..], "tracker"), (&["--name", "lab 3"], "lab 3")] {
        let _tracker = bench.tracker(Side::Ours, more);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let to = ("127.0.0.1", bench.discovery_port());
        socket.send_to(&[1, 0, 0, 0, 0, 0, 0, 2], to).unwrap();
        let mut answer = [0; 64];
        let (len, _) = socket.recv_from(&mut answer).unwrap();
        let told = &answer[14..len];
        assert_eq!(told[..2], [0, u8::try_from(name.len()).unwrap()]);
        assert_eq!(&told[2..2 + name.len()], name.as_bytes());
    }
}

#[test]
fn what_one_cuts_the_other_puts_together() {
    if !has_python() {
        return;
    }
    for (cutter, merger) in [(Side::Ours, Side::Theirs), (Side::Theirs, Side::Ours)] {
        for len in [0, 1, 65_536, 300_000] {
            let bench = Bench::cut(len, 65_536, cutter);
            bench.merge(merger);
        }
    }
}

#[test]
fn chunks_on_disk_are_not_fetched_again() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(1_000_000, 65_536, Side::Ours);
    {
        let _providers = bench.providers(Side::Theirs);
        bench.get(Side::Ours, &["--config", "config", "--keep-chunks"]).assert_complete();
    }
    let kept = fs::read_dir(bench.dir().join("chunks/charlie")).unwrap().count();
    assert_eq!(kept, 16);
    // Nobody listens any more: the file itself is enough, and so are the chunks.
    bench.get(Side::Ours, &["--config", "config"]).assert_complete();
    bench.start_over();
    bench.get(Side::Ours, &["--config", "config", "--keep-chunks"]).assert_complete();
}

#[test]
fn the_repl_knows_providers_as_peers() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(400_000, 65_536, Side::Ours);
    let _alice = bench.provider(Side::Theirs, "alice", &["--fault", "slow:40000"]);
    let _bob = bench.provider(Side::Theirs, "bob", &["--fault", "slow:40000"]);
    let answers = bench.talk(&["alice", "bob"], &["info", "status", "why", "quit"]);
    assert!(answers.contains("Name        content.bin"), "{answers}");
    assert!(answers.contains("State      downloading"), "{answers}");
    assert!(answers.contains("Saved. Downloaded"), "{answers}");
}

/// A provider holds no chunk: fifty clients cost it next to nothing.
#[test]
fn fifty_clients_do_not_fill_a_provider() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(8 << 20, 2 << 20, Side::Ours);
    bench.share_all();
    let alice = bench.provider(Side::Ours, "alice", &[]);
    let address = bench.address("alice");
    let hashes: Vec<[u8; 20]> = bench.hashes(2 << 20);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(&address).unwrap();
                for hash in &hashes {
                    stream.write_all(&[&[1, 4, 0, 0, 0, 0, 0, 7], &hash[..]].concat()).unwrap();
                    let mut head = [0; 32];
                    stream.read_exact(&mut head).unwrap();
                    assert_eq!((head[1], &head[28..]), (5, &(2_u32 << 20).to_be_bytes()[..]));
                    let mut content = vec![0; 2 << 20];
                    stream.read_exact(&mut content).unwrap();
                    assert_eq!(Sha1::digest(&content).as_slice(), hash);
                }
            });
        }
    });
    let peak = alice.peak_rss_bytes().expect("it still runs");
    assert!(peak <= 32 << 20, "{peak} bytes");
}

/// "one connection per provider serves many chunks": all that a provider gets in a whole run,
/// the chunks that sizes are learnt from among it.
#[test]
fn a_provider_gets_one_connection() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(1_000_001, 65_536, Side::Ours);
    let alice = bench.counted("alice");
    let bob = bench.counted("bob");
    bench.get(Side::Ours, &["--config", "config"]).assert_complete();
    let connections = [alice, bob].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(connections, [1, 1]);
}

/// A torrent whose pieces are chunks: its only peer is gone, the course has them all.
#[test]
fn one_file_from_both_worlds() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(700_000, 65_536, Side::Ours);
    let _providers = bench.providers(Side::Theirs);
    let _tracker = bench.tracker(Side::Theirs, &[]);
    let torrent = bench.torrent(65_536);
    let address = bench.address("tracker");
    let torrent = torrent.to_str().unwrap();
    bench.download(&[torrent, "--chunk-tracker", &address]).assert_complete();
    bench.start_over();
    bench.download(&[torrent, "--chunk-config", "config"]).assert_complete();
    // Chunks of another size are no pieces of it.
    bench.start_over();
    let other = bench.torrent(32_768);
    let other = other.to_str().unwrap();
    let told = bench.download(&[other, "--chunk-config", "config", "--timeout", "2s"]);
    assert_eq!(told.code(), 4);
    assert!(told.output().contains("no chunk of the listing is a piece of this torrent"));
}

/// Every combination of three roles.
fn every_side() -> impl Iterator<Item = (Side, Side, Side)> {
    let pairs = SIDES.into_iter().flat_map(|one| SIDES.map(|two| (one, two)));
    // What is theirs alone tests nothing of ours.
    let triples = pairs.flat_map(|(one, two)| SIDES.map(|three| (one, two, three)));
    triples.filter(|(one, two, three)| [one, two, three].contains(&&Side::Ours))
}

/// Is there a Python to play the other side? Says so aloud when not; `CI` insists.
fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        let line = "SKIPPED the course protocol with an independent program: install python3\n";
        std::io::stderr().write_all(line.as_bytes()).expect("say that a test is skipped");
    }
    found
}

/// How a program ended.
struct Told {
    process: Process,
    code: i32,
    is_same: bool,
}

impl Told {
    #[track_caller]
    fn assert_complete(&self) {
        assert!(self.code == 0 && self.is_same, "exit {}:\n{}", self.code, self.output());
    }

    fn code(&self) -> i32 {
        self.code
    }

    fn output(&self) -> String {
        self.process.output()
    }
}
