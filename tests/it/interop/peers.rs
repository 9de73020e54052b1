//! Programs that open a magnet link or hold what it names, at an address of their own, who meet
//! others by the ways that a test chooses.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::clients::{self, ANNOUNCE, ENTRY, Hides, Ways};
use super::namespace::Namespace;
use super::{READY, target, turn, written};
use crate::payload::Payload;
use crate::process::{Process, driver_path, with_home};

/// For a small payload to come over, when everybody is met.
pub const ARRIVAL: Duration = Duration::from_secs(120);

/// A seed that only one of the others is told of.
pub const UNTOLD: (&str, &str) = ("10.77.0.13", "7013");

/// Whose program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    Driver,
    Libtorrent,
    Transmission,
    Aria2,
    Webtorrent,
    /// This one and the next are given torrents alone, never links.
    Rtorrent,
    Qbittorrent,
}

impl Client {
    /// Is it to be left out on this machine?
    pub fn is_left_out(self) -> bool {
        self == Client::Webtorrent && clients::lacks_webtorrent()
    }

    pub fn name(self) -> &'static str {
        match self {
            Client::Driver => "driver",
            Client::Libtorrent => "libtorrent",
            Client::Transmission => "transmission",
            Client::Aria2 => "aria2",
            Client::Webtorrent => "webtorrent",
            Client::Rtorrent => "rtorrent",
            Client::Qbittorrent => "qbittorrent",
        }
    }

    /// Where it listens in a namespace of its own kind. webtorrent cannot choose its address, so
    /// it has the one of those who do not.
    pub fn at(self) -> (&'static str, &'static str) {
        match self {
            Client::Driver => ("10.77.0.6", "7006"),
            Client::Libtorrent => ("10.77.0.3", "7003"),
            Client::Transmission => ("10.77.0.4", "7004"),
            Client::Aria2 => ("10.77.0.5", "7005"),
            Client::Webtorrent => ("10.77.0.2", "7008"),
            Client::Rtorrent => ("10.77.0.8", "7009"),
            Client::Qbittorrent => ("10.77.0.9", "7010"),
        }
    }

    /// That as the parameter of a link.
    pub fn named(self) -> String {
        let (ip, port) = self.at();
        format!("&x.pe={ip}:{port}")
    }
}

/// What a program is started with.
pub enum Given<'a> {
    Torrent(&'a Path),
    Link(&'a str),
}

/// A payload of 2,500 small pieces, so that its metadata has four, and the programs around it.
pub struct Scene {
    payload: &'static Payload,
    source: &'static Path,
    home: TempDir,
    namespace: Namespace,
    running: Vec<Process>,
    /// Where programs of this scene run that were started before `go_to`.
    left: Vec<Namespace>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Scene {
    /// One that has the machine for itself.
    pub fn new() -> Self {
        let turn = turn();
        let mut scene = Self::beside_others();
        scene._turn = Some(turn);
        scene
    }

    /// One that waits most of the time, and shares the machine.
    pub fn beside_others() -> Self {
        Self::within(Namespace::new())
    }

    /// One that has the machine for itself, and room for the nodes of a DHT.
    pub fn in_dht() -> Self {
        let turn = turn();
        let mut scene = Self::within(Namespace::wide());
        scene._turn = Some(turn);
        scene
    }

    pub fn within(namespace: Namespace) -> Self {
        clients::assert_installed();
        let (payload, source) = small_payload();
        // Programs that drop their privileges have to reach their files too.
        let home = tempfile::tempdir_in(target()).expect("a folder for the test");
        Self {
            payload,
            source,
            home,
            namespace,
            running: Vec::new(),
            left: Vec::new(),
            _turn: None,
        }
    }

    /// What is started from now on is started there.
    pub fn go_to(&mut self, namespace: Namespace) {
        self.left.push(std::mem::replace(&mut self.namespace, namespace));
    }

    /// The link to the payload, with these parameters.
    pub fn link(&self, parameters: &str) -> String {
        format!("magnet:?xt=urn:btih:{}{parameters}", self.hash())
    }

    /// The .torrent, which names the tracker or nobody.
    pub fn torrent(&self, announce: bool) -> PathBuf {
        let name = if announce { "announced.torrent" } else { "silent.torrent" };
        let path = self.home.path().join(name);
        fs::write(&path, self.payload.torrent(announce.then_some(ANNOUNCE))).expect("a torrent");
        path
    }

    /// `driver tracker`, who is asked again soon.
    pub fn start_own_tracker(&mut self) {
        let dir = self.home.path().join("tracker");
        let tracker = clients::own_tracker(&self.namespace, &dir);
        self.keep("tracker", tracker);
    }

    pub fn start_tracker(&mut self) {
        let dir = self.home.path().join("tracker");
        let tracker = clients::tracker(&self.namespace, &dir, &self.payload.info_hash());
        self.keep("tracker", tracker);
    }

    /// Starts who has everything.
    pub fn start_seed(&mut self, client: Client, at: (&str, &str), torrent: &Path, ways: Ways) {
        self.start_seed_as("seed", client, at, torrent, ways);
    }

    /// Starts a program that has nothing yet; where its data will lie.
    pub fn start(&mut self, client: Client, name: &str, given: &Given, ways: Ways) -> PathBuf {
        self.start_at(client, client.at(), name, given, ways)
    }

    pub fn start_at(
        &mut self,
        client: Client,
        at: (&str, &str),
        name: &str,
        given: &Given,
        ways: Ways,
    ) -> PathBuf {
        let dir = self.dir(client, name);
        self.run(client, at, name, given, ways, &dir);
        dir.join("data")
    }

    fn run(
        &mut self,
        client: Client,
        at: (&str, &str),
        name: &str,
        given: &Given,
        ways: Ways,
        dir: &Path,
    ) {
        let command = self.command(client, given, at, ways, dir);
        let start = if ways.held { Process::start_reading } else { Process::start };
        self.running.push(start(&format!("{name}-{}", client.name()), command, self.home.path()));
        if client == Client::Transmission {
            let mut add = self.namespace.command(clients::python());
            add_word(add.arg(clients::script("add_to_transmission.py")), given);
            let mut add = Process::start("add", add, self.home.path());
            let done = add.ended_within(READY) && add.wait(READY).success();
            assert!(done, "nothing is added:\n{}\n{}", add.last_words(), self.words());
        }
    }

    /// The same with a folder of another name.
    pub fn start_seed_as(
        &mut self,
        name: &str,
        client: Client,
        at: (&str, &str),
        torrent: &Path,
        ways: Ways,
    ) {
        let dir = self.dir(client, name);
        self.payload.link_to(self.source, &dir.join("data"));
        self.run(client, at, name, &Given::Torrent(torrent), ways, &dir);
    }

    /// The number of the program that was started last.
    pub fn last(&self) -> usize {
        self.running.len() - 1
    }

    /// Asks driver for its peers until it shows one at this address that blocks come from or go
    /// to; the flags of that.
    #[track_caller]
    pub fn wait_for_flags(&mut self, driver: usize, ip: &str) -> String {
        let deadline = Instant::now() + READY;
        loop {
            self.running[driver].type_line("peers");
            let moving =
                |(address, flags): &(String, String)| address == ip && flags.contains(['D', 'U']);
            if let Some((_, flags)) = self.rows(driver).into_iter().find(moving) {
                return flags;
            }
            assert!(Instant::now() < deadline, "never met {ip}:\n{}", self.words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All rows that driver ever showed of its peers: address without port, and flags.
    pub fn rows(&self, driver: usize) -> Vec<(String, String)> {
        let output = self.running[driver].output();
        // The last line may be half written.
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let row = |line: &str| {
            let (address, rest) = line.split_once(' ')?;
            let address: SocketAddr = address.parse().ok()?;
            Some((address.ip().to_string(), rest.rsplit(' ').next()?.to_owned()))
        };
        whole.lines().filter_map(row).collect()
    }

    /// Lifts the limits of a driver that is held.
    pub fn let_go(&mut self, driver: usize) {
        self.running[driver].type_line("limit down off");
        self.running[driver].type_line("limit up off");
    }

    /// Ends the program that was started last.
    pub fn end_last(&mut self) {
        self.running.pop();
    }

    /// Waits for the tracker to know this many seeds.
    #[track_caller]
    pub fn wait_for_seeds(&self, count: usize) {
        let hash = self.payload.info_hash();
        self.wait_for(clients::wait_for_seeds(&self.namespace, &hash, count), "seeds");
    }

    /// Waits for the tracker to know somebody who downloads.
    #[track_caller]
    pub fn wait_for_leecher(&self) {
        let hash = self.payload.info_hash();
        self.wait_for(clients::wait_for_leecher(&self.namespace, &hash), "leecher");
    }

    #[track_caller]
    fn wait_for(&self, command: Command, whom: &str) {
        let mut wait = Process::start("wait", command, self.home.path());
        let done = wait.ended_within(READY);
        assert!(done, "no {whom} announced:\n{}\n{}", wait.last_words(), self.words());
    }

    /// Waits for a line of the program that was started last.
    #[track_caller]
    pub fn wait_for_line(&self, line: &str) {
        let process = self.running.last().expect("a program that runs");
        let deadline = Instant::now() + READY;
        while !process.output().lines().any(|it| it == line) {
            assert!(Instant::now() < deadline, "never said {line:?}:\n{}", self.words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for every byte of the payload to lie in this folder.
    #[track_caller]
    pub fn wait_for_payload(&mut self, data: &Path, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let wrong = self.payload.differences(data);
            if wrong.is_empty() {
                return;
            }
            let words = || format!("{wrong:#?}\n{}", self.words());
            assert!(Instant::now() < deadline, "not complete after {limit:?}: {}", words());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Opens a link with driver, and compares every byte of what came.
    #[track_caller]
    pub fn open_with_driver(&mut self, name: &str, parameters: &str) {
        let link = self.link(parameters);
        let data = self.start(Client::Driver, name, &Given::Link(&link), Ways::default());
        self.finish_driver(&data, ARRIVAL);
    }

    /// Waits for driver, started last, to end with everything.
    #[track_caller]
    pub fn finish_driver(&mut self, data: &Path, limit: Duration) {
        let mut driver = self.running.pop().expect("driver");
        let done = driver.ended_within(limit);
        let words = || format!("{}\n----\n{}", driver_words(&driver), self.words());
        assert!(done, "driver is not complete after {limit:?}:\n{}", words());
        let words = words();
        let status = driver.wait(limit);
        assert!(status.success(), "driver ended with {status}:\n{words}");
        self.payload.assert_same(data);
    }

    fn dir(&self, client: Client, name: &str) -> PathBuf {
        let dir = self.home.path().join(format!("{name}-{}", client.name()));
        fs::create_dir_all(dir.join("data")).expect("make a folder for data");
        dir
    }

    /// Starts a program of this scene, which ends with it.
    pub fn keep(&mut self, name: &str, command: Command) {
        let process = Process::start(name, command, self.home.path());
        self.running.push(process);
    }

    /// Where its programs run.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The folder of what they keep and print.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The info hash of the payload, in hex.
    pub fn hash(&self) -> String {
        clients::hex(&self.payload.info_hash())
    }

    /// The end of what all of them printed.
    pub fn words(&self) -> String {
        let all = self.running.iter().map(Process::last_words);
        all.collect::<Vec<_>>().join("\n----\n")
    }

    fn command(
        &self,
        client: Client,
        given: &Given,
        at: (&str, &str),
        ways: Ways,
        dir: &Path,
    ) -> Command {
        let command = match client {
            Client::Driver => self.driver(given, at, ways, dir),
            Client::Libtorrent => {
                let mut command = self.namespace.command(clients::python());
                command.arg(clients::script("peer_libtorrent.py"));
                add_word(&mut command, given).arg(dir.join("data")).args([at.0, at.1]);
                command.args(words_for(ways));
                command
            }
            Client::Transmission => clients::transmission(&self.namespace, at, dir, ways),
            Client::Aria2 => {
                let mut command = clients::aria2(&self.namespace, at, ways);
                command.args(["--check-integrity=true", "--seed-ratio=0.0", "-d"]);
                add_word(command.arg(dir.join("data")), given);
                command
            }
            Client::Webtorrent => {
                let mut command = self.namespace.command("node");
                command.arg(clients::script("peer_webtorrent.mjs")).arg(clients::webtorrent());
                add_word(&mut command, given).arg(dir.join("data")).arg(at.1).args(words_for(ways));
                command
            }
            Client::Rtorrent => {
                clients::rtorrent(&self.namespace, at, torrent_of(given), dir, ways.hides)
            }
            Client::Qbittorrent => {
                clients::qbittorrent(&self.namespace, at, torrent_of(given), dir, ways.hides)
            }
        };
        let mut command = with_home(command, dir);
        command.env_remove("DRIVER_ENCRYPTION");
        let policy = match ways.hides {
            Hides::AsMade => None,
            Hides::Nothing => Some("off"),
            Hides::Unwilling => Some("allow"),
            Hides::Handshakes | Hides::Everything => Some("require"),
        };
        if let (Client::Driver, Some(policy)) = (client, policy) {
            command.env("DRIVER_ENCRYPTION", policy);
        }
        if ways.local {
            command.env_remove("DRIVER_NO_LSD");
        }
        if ways.dht {
            let (entry, at) = ENTRY;
            command.env_remove("DRIVER_NO_DHT");
            command.env("DRIVER_DHT_BOOTSTRAP", format!("{entry}:{at}"));
        }
        command
    }

    /// driver with a link downloads and ends, with a torrent it stays and gives.
    fn driver(&self, given: &Given, at: (&str, &str), ways: Ways, dir: &Path) -> Command {
        let mut command = self.namespace.command(driver_path());
        add_word(&mut command, given).arg("--dir").arg(dir.join("data"));
        command.args(["-v", "--port", at.1]);
        if ways.held {
            command.args(["--download-limit", "16K", "--upload-limit", "16K"]);
        } else {
            command.arg("--no-repl");
        }
        match given {
            Given::Link(_) => command.arg("--exit-on-finish"),
            // What lies there was written by nobody it knows.
            Given::Torrent(_) => command.args(["--seed", "--check", "--overwrite"]),
        };
        if !ways.local {
            // With an address of its own it would not look around in the local network.
            command.args(["--bind", at.0]);
        }
        if !ways.exchange {
            command.arg("--no-pex");
        }
        if ways.slow {
            let (ip, port) = UNTOLD;
            command.args(["--download-limit", "16K", "--peer", &format!("{ip}:{port}")]);
        }
        command
    }
}

fn driver_words(driver: &Process) -> String {
    format!("driver:\n{}", driver.last_words())
}

fn torrent_of<'a>(given: &Given<'a>) -> &'a Path {
    match *given {
        Given::Torrent(path) => path,
        Given::Link(link) => panic!("a torrent is given to this client, not {link}"),
    }
}

fn add_word<'a>(command: &'a mut Command, given: &Given) -> &'a mut Command {
    match given {
        Given::Torrent(path) => command.arg(path),
        Given::Link(link) => command.arg(link),
    }
}

/// The ways as the scripts of this repository call them.
fn words_for(ways: Ways) -> Vec<String> {
    let dht = format!("dht={}:{}", ENTRY.0, ENTRY.1);
    let all = [
        (ways.exchange, "pex"),
        (ways.local, "lsd"),
        (ways.slow, "slow"),
        (ways.dht, dht.as_str()),
        (ways.hides == Hides::Nothing, "mse=off"),
        (ways.hides == Hides::Handshakes, "mse=handshake"),
        (ways.hides == Hides::Everything, "mse=rc4"),
    ];
    all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, word)| word.to_owned()).collect()
}

/// 40 MB, described and written once.
fn small_payload() -> (&'static Payload, &'static Path) {
    static PAYLOAD: OnceLock<(Payload, PathBuf)> = OnceLock::new();
    let (payload, dir) = PAYLOAD.get_or_init(|| {
        let files = [("one/first.bin", 25_000_001), ("second.bin", 15_000_007)];
        written(Payload::new(2027, "interop-magnet", 16 << 10, &files), "interop-magnet")
    });
    (payload, dir)
}
