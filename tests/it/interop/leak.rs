//! What leaves, and by which door: the program stands in a namespace with two cables, `tun0` as a
//! tunnel would be and `eth0` beside it, and the kernel counts what it sends over the latter.
//! Behind both is `far_side.py`, which plays all whom it may speak to, and would be reached by
//! either. The count is also shown to see a program that keeps to no rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::namespace::{Namespace, run};
use super::{asked_for, target};
use crate::payload::Payload;
use crate::process::{Process, driver_path, with_home};

/// Where everybody is.
const FAR: &str = "10.99.0.1";
const FAR_SIX: &str = "fd99::1";
/// For something that must come: the DHT asks where it is entered after three seconds.
const LIMIT: Duration = Duration::from_secs(40);
/// A tracker that answered is asked again no sooner than after a minute, whatever has happened.
const TOLD: Duration = Duration::from_secs(80);
/// "Listening again within 5 s".
const LISTENING: Duration = Duration::from_secs(5);
/// How long it is left alone with a door that is shut.
const ALONE: Duration = Duration::from_secs(6);
/// Where the program listens.
const PORT: &str = "7001";

/// How a tunnel goes.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// It is there, and down.
    Down,
    /// It is another one afterwards.
    Deleted,
    /// It is there without an address.
    Unnamed,
}

/// Both namespaces, the cables, and who runs there.
struct World {
    inside: Namespace,
    far: Namespace,
    home: TempDir,
    torrent: PathBuf,
    names: PathBuf,
    /// Whether everything has IPv6, too.
    has_six: bool,
    count: u32,
}

impl World {
    fn new() -> Self {
        let (inside, far) = (Namespace::empty(), Namespace::empty());
        let home = tempfile::tempdir_in(target()).expect("a folder for the test");
        let payload = Payload::new(7, "leak", 16 << 10, &[("a", 100_000)]);
        let torrent = home.path().join("leak.torrent");
        fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
        // Whoever asks the system's resolver asks beside the tunnel.
        let names = Path::new("/etc/netns").join(inside.name());
        fs::create_dir_all(&names).expect("make a folder for the resolver");
        fs::write(names.join("resolv.conf"), "nameserver 10.78.0.2\n").expect("write resolv.conf");
        let mut world = Self { inside, far, home, torrent, names, has_six: false, count: 0 };
        world.far_ip(&["addr", "add", &format!("{FAR}/32"), "dev", "lo"]);
        world.cable("eth0", "10.78.0.1", "10.78.0.2", "100");
        world.nft(
            "add table inet leak; add counter inet leak beside; \
             add chain inet leak out { type filter hook output priority 0; }; \
             add rule inet leak out oifname eth0 meta l4proto { tcp, udp } counter name beside",
        );
        world
    }

    /// The same with IPv6, which would also be reached by either cable.
    fn with_six() -> Self {
        let mut world = Self::new();
        world.has_six = true;
        world.far_ip(&["addr", "add", &format!("{FAR_SIX}/128"), "dev", "lo"]);
        world.far_ip(&["addr", "add", "fd78::2/64", "dev", "eth0", "nodad"]);
        world.ip(&["addr", "add", "fd78::1/64", "dev", "eth0", "nodad"]);
        world.ip(&["route", "add", "default", "via", "fd78::2", "dev", "eth0", "metric", "100"]);
        world
    }

    /// Gives the tunnel an IPv6 address, which is tentative at first, and a way over it.
    fn six_by_tunnel(&self, near: &str) {
        self.ip(&["addr", "add", &format!("{near}/64"), "dev", "tun0"]);
        let way = ["default", "via", "fd08::1", "dev", "tun0", "metric", "50"];
        self.ip(&[&["-6", "route", "replace"][..], &way].concat());
    }

    /// A cable from inside to the far side, and a way over it that is taken by its number.
    fn cable(&mut self, name: &str, near: &str, far: &str, metric: &str) {
        let (inside, outside) = (self.inside.name(), self.far.name());
        let ends = ["link", "add", name, "netns", inside, "type", "veth"];
        run(&[&ends[..], &["peer", "name", name, "netns", outside]].concat());
        self.far_ip(&["addr", "add", &format!("{far}/24"), "dev", name]);
        self.far_ip(&["link", "set", name, "up"]);
        self.ip(&["addr", "add", &format!("{near}/24"), "dev", name]);
        self.up(name, far, metric);
    }

    fn up(&self, name: &str, far: &str, metric: &str) {
        self.ip(&["link", "set", name, "up"]);
        self.ip(&["route", "add", "default", "via", far, "dev", name, "metric", metric]);
    }

    fn tunnel(&mut self, near: &str) {
        self.cable("tun0", near, "10.8.0.1", "50");
    }

    fn ip(&self, arguments: &[&str]) {
        run(&[&["-n", self.inside.name()][..], arguments].concat());
    }

    fn far_ip(&self, arguments: &[&str]) {
        run(&[&["-n", self.far.name()][..], arguments].concat());
    }

    fn nft(&self, what: &str) -> String {
        let output = self.inside.command("nft").arg(what).output().expect("start nft (nftables)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft {what}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Packets that went beside.
    fn beside(&self) -> u64 {
        let listed = self.nft("list counter inet leak beside");
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).expect("a count of packets")
    }

    /// All whom it may speak to.
    fn far_side(&mut self, proxy: &str) -> Process {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/far_side.py");
        let mut command = self.far.command("python3");
        let addresses = if self.has_six { format!("{FAR},{FAR_SIX}") } else { FAR.to_owned() };
        command.arg(script).args([&addresses, proxy]);
        self.count += 1;
        let name = format!("far-{}", self.count);
        let far = Process::start(&name, command, self.home.path());
        heard(&far, LIMIT, "ready");
        far
    }

    /// The program, which speaks for every purpose that it has.
    fn driver(&mut self, rules: &[&str]) -> Process {
        self.count += 1;
        let dir = self.home.path().join(format!("driver-{}", self.count));
        let mut command = with_home(self.inside.command(driver_path()), &dir);
        let off = ["DRIVER_NO_LSD", "DRIVER_NO_DHT", "DRIVER_NO_PORTMAP"];
        off.into_iter().for_each(|name| _ = command.env_remove(name));
        command.args(["--peer", &format!("{FAR}:6881"), "--port", PORT, "--dir"]).arg(&dir);
        command.args(["-a", "http://tracker.example:6969", "-a", "udp://tracker.example:6970"]);
        command.args(["-w", "http://files.example/", "--dht-bootstrap", "node.example:6771"]);
        command.args(["--chunk-tracker", &format!("{FAR}:9000")]).args(rules).arg(&self.torrent);
        Process::start(&format!("driver-{}", self.count), command, self.home.path())
    }

    /// Can the far side connect to the program at this address?
    fn is_reached(&self, near: &str) -> bool {
        let dial = format!("import socket; socket.create_connection(('{near}', {PORT}), 1)");
        let mut command = self.far.command("python3");
        command.args(["-c", &dial]).stderr(std::process::Stdio::null());
        command.status().expect("start python3").success()
    }

    #[track_caller]
    fn assert_reached_within(&self, limit: Duration, near: &str, driver: &Process) {
        let deadline = Instant::now() + limit;
        while !self.is_reached(near) {
            let words = driver.last_words();
            assert!(
                Instant::now() < deadline,
                "nobody listens at {near} after {limit:?}:\n{words}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A panic here, perhaps during another, would end the whole test binary.
        let _ = fs::remove_dir_all(&self.names);
    }
}

/// Waits until somebody says a line that begins so, more often than before.
#[track_caller]
fn heard_again(far: &Process, limit: Duration, line: &str, before: usize) {
    let deadline = Instant::now() + limit;
    while said(far, line) <= before {
        assert!(Instant::now() < deadline, "no `{line}` in {limit:?}:\n{}", far.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn heard(far: &Process, limit: Duration, line: &str) {
    heard_again(far, limit, line, 0);
}

/// How many lines begin so.
fn said(far: &Process, line: &str) -> usize {
    far.output().lines().filter(|said| said.starts_with(line)).count()
}

/// The program behind a tunnel that goes in these ways and comes back with these addresses: nothing
/// leaves beside it meanwhile, then it listens, and the tracker hears of it.
fn behind_a_tunnel(doors: &[(Door, &str)]) {
    if !asked_for("a tunnel that goes and comes back") {
        return;
    }
    let mut world = World::new();
    world.tunnel("10.8.0.2");
    let far = world.far_side("works");
    let driver = world.driver(&["--interface", "tun0", "--dns", FAR]);
    for who in ["dns", "tracker", "udp-tracker", "files", "dht", "peer"] {
        heard(&far, LIMIT, &format!("{who} 10.8.0.2"));
    }
    world.assert_reached_within(LISTENING, "10.8.0.2", &driver);

    let mut before = "10.8.0.2";
    for &(door, near) in doors {
        // The first tracker hears of it, the next one only if no peers come of that (BEP 12).
        let told = format!("tracker {near}");
        let before_it = said(&far, &told);
        match door {
            Door::Down => world.ip(&["link", "set", "tun0", "down"]),
            Door::Deleted => world.ip(&["link", "del", "tun0"]),
            Door::Unnamed => {
                world.ip(&["addr", "del", &format!("{before}/24"), "dev", "tun0"]);
            }
        }
        std::thread::sleep(ALONE);
        assert_eq!(world.beside(), 0, "with tun0 {door:?}:\n{}", driver.output());
        match door {
            Door::Down => world.up("tun0", "10.8.0.1", "50"),
            Door::Deleted => world.tunnel(near),
            Door::Unnamed => {
                world.ip(&["addr", "add", &format!("{near}/24"), "dev", "tun0"]);
                let way = ["default", "via", "10.8.0.1", "dev", "tun0", "metric", "50"];
                world.ip(&[&["route", "replace"][..], &way].concat());
            }
        }
        world.assert_reached_within(LISTENING, near, &driver);
        heard_again(&far, TOLD, &told, before_it);
        before = near;
    }
    assert_eq!(world.beside(), 0, "{}", driver.output());
}

#[test]
fn nothing_leaves_beside_a_tunnel_that_is_down() {
    behind_a_tunnel(&[(Door::Down, "10.8.0.2")]);
}

#[test]
fn nothing_leaves_beside_a_tunnel_that_is_made_anew() {
    behind_a_tunnel(&[(Door::Deleted, "10.8.0.2")]);
}

#[test]
fn nothing_leaves_beside_a_tunnel_that_has_another_address_each_time() {
    behind_a_tunnel(&[(Door::Unnamed, "10.8.0.4"), (Door::Deleted, "10.8.0.3")]);
}

#[test]
fn nothing_leaves_beside_a_tunnel_over_ipv6() {
    if !asked_for("a tunnel with IPv6") {
        return;
    }
    let mut world = World::with_six();
    world.tunnel("10.8.0.2");
    world.far_ip(&["addr", "add", "fd08::1/64", "dev", "tun0", "nodad"]);
    world.six_by_tunnel("fd08::2");
    let far = world.far_side("works");
    let peer = format!("[{FAR_SIX}]:6881");
    let driver = world.driver(&["--interface", "tun0", "--dns", FAR, "--peer", &peer]);
    // A tracker over HTTP is asked over one family or the other.
    heard(&far, LIMIT, "tracker ");
    for who in ["udp-tracker", "dht", "peer"] {
        for near in ["10.8.0.2", "fd08::2"] {
            heard(&far, LIMIT, &format!("{who} {near}"));
        }
    }
    for near in ["10.8.0.2", "fd08::2"] {
        world.assert_reached_within(LISTENING, near, &driver);
    }

    // The family goes and comes back with another address, which is not to be had at once.
    world.ip(&["addr", "del", "fd08::2/64", "dev", "tun0"]);
    std::thread::sleep(ALONE);
    assert_eq!(world.beside(), 0, "{}", driver.output());
    world.assert_reached_within(LISTENING, "10.8.0.2", &driver);
    world.six_by_tunnel("fd08::3");
    world.assert_reached_within(LISTENING, "fd08::3", &driver);
    heard(&far, TOLD, "dht fd08::3");

    world.ip(&["link", "set", "tun0", "down"]);
    std::thread::sleep(ALONE);
    assert_eq!(world.beside(), 0, "{}", driver.output());
}

#[test]
fn nothing_leaves_before_a_tunnel_is_there() {
    if !asked_for("a tunnel that comes late") {
        return;
    }
    let mut world = World::new();
    let far = world.far_side("works");
    let late = world.driver(&["--interface", "tun0", "--dns", FAR]);
    std::thread::sleep(ALONE);
    assert_eq!(world.beside(), 0, "{}", late.output());
    assert!(late.output().contains("waits for tun0"), "{}", late.output());
    world.tunnel("10.8.0.5");
    world.assert_reached_within(LISTENING, "10.8.0.5", &late);
    heard(&far, TOLD, "tracker 10.8.0.5");
    assert_eq!(world.beside(), 0, "{}", late.output());
    drop(late);

    // The count sees who keeps to no rule: with the tunnel down everything goes beside it.
    world.ip(&["link", "set", "tun0", "down"]);
    let _unbound = world.driver(&["--dns", FAR]);
    heard(&far, LIMIT, "tracker 10.78.0.1");
    assert!(world.beside() > 0, "what goes beside is not counted");
}

#[test]
fn nothing_leaves_beside_a_proxy() {
    if !asked_for("a proxy that works, is silent, refuses datagrams, or is dead") {
        return;
    }
    let mut world = World::new();
    // What goes to the proxy and its relay is not beside it.
    for to in ["tcp dport 1080", "udp dport 1081"] {
        world.nft(&format!("insert rule inet leak out ip daddr {FAR} {to} accept"));
    }
    // That nobody listens is said by the kernel, to whom has asked.
    let refusal = format!("tcp sport {PORT} tcp flags & (syn | rst) == rst");
    world.nft(&format!("insert rule inet leak out {refusal} accept"));
    let proxy = format!("socks5://{FAR}:1080");
    let rules = ["--proxy", proxy.as_str(), "--dns", FAR];

    let far = world.far_side("works");
    let driver = world.driver(&rules);
    for line in [
        "socks connect tracker.example 6969",
        "socks connect files.example 80",
        "socks connect 10.99.0.1 6881",
        "socks connect 10.99.0.1 9000",
        "socks connect 10.99.0.1 53",
        "socks associate",
        "relay 10.99.0.1 6970",
        "relay 10.99.0.1 6771",
        "tracker 10.99.0.1",
        "udp-tracker 10.99.0.1",
        "dht 10.99.0.1",
        "peer 10.99.0.1",
    ] {
        heard(&far, LIMIT, line);
    }
    assert!(!world.is_reached("10.78.0.1"), "it listens, though it is behind a proxy");
    assert_eq!(world.beside(), 0, "{}", driver.output());

    // The proxy dies under it.
    drop(far);
    std::thread::sleep(ALONE);
    assert_eq!(world.beside(), 0, "with a dead proxy:\n{}", driver.output());
    // All are told that it is back, though nobody dials meanwhile.
    let far = world.far_side("works");
    for line in ["peer 10.99.0.1", "tracker 10.99.0.1", "dht 10.99.0.1"] {
        heard(&far, TOLD, line);
    }
    drop(driver);
    drop(far);

    for faulty in ["silent", "refuses-udp"] {
        let far = world.far_side(faulty);
        let driver = world.driver(&rules);
        if faulty == "refuses-udp" {
            heard(&far, LIMIT, "tracker 10.99.0.1");
        }
        std::thread::sleep(ALONE);
        assert_eq!(world.beside(), 0, "with a proxy that {faulty}:\n{}", driver.output());
        assert_eq!(said(&far, "dht"), 0, "{}", far.output());
    }

    // The count sees who keeps to no rule.
    let far = world.far_side("works");
    let _unbound = world.driver(&["--dns", FAR]);
    heard(&far, LIMIT, "tracker 10.78.0.1");
    assert!(world.beside() > 0, "what goes beside is not counted");
}

#[test]
fn nothing_leaves_beside_an_http_proxy() {
    if !asked_for("an HTTP proxy") {
        return;
    }
    let mut world = World::new();
    world.nft(&format!("insert rule inet leak out ip daddr {FAR} tcp dport 3128 accept"));
    let far = world.far_side("works");
    let proxy = format!("http://{FAR}:3128");
    let driver = world.driver(&["--proxy", &proxy, "--dns", FAR]);
    for line in [
        "http get tracker.example 6969",
        "http connect files.example 80",
        "http connect 10.99.0.1 6881",
        "http connect 10.99.0.1 9000",
        "tracker 10.99.0.1",
        "peer 10.99.0.1",
    ] {
        heard(&far, LIMIT, line);
    }
    std::thread::sleep(ALONE);
    assert_eq!(said(&far, "udp-tracker") + said(&far, "dht"), 0, "{}", far.output());
    assert_eq!(world.beside(), 0, "{}", driver.output());
}

#[test]
fn peers_alone_go_through_a_proxy_and_none_beside_it() {
    if !asked_for("a proxy for peers") {
        return;
    }
    let mut world = World::new();
    let far = world.far_side("works");
    let proxy = format!("socks5://{FAR}:1080");
    let driver = world.driver(&["--proxy", &proxy, "--proxy-peers", "--dns", FAR]);
    for line in [
        "socks connect 10.99.0.1 6881",
        "peer 10.99.0.1",
        "tracker 10.78.0.1",
        "udp-tracker 10.78.0.1",
        "files 10.78.0.1",
        "dht 10.78.0.1",
    ] {
        heard(&far, LIMIT, line);
    }
    drop(far);
    // Without the proxy all others go on, and peers are not reached otherwise.
    let far = world.far_side("silent");
    std::thread::sleep(ALONE);
    assert_eq!(said(&far, "peer"), 0, "{}", driver.output());
    assert!(!world.is_reached("10.78.0.1"), "nobody can connect to it");
}
