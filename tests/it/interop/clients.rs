//! The command lines of other people's programs, and driver's. Each seeder has its own address
//! and tells the tracker; by the DHT, local discovery or peer exchange somebody is found only
//! where a test asks for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::namespace::Namespace;
use crate::process::{driver_path, with_home};

const TRACKER: &str = "10.77.0.1:6969";
pub const ANNOUNCE: &str = "http://10.77.0.1:6969/announce";
/// The same tracker over UDP (BEP 15).
pub const ANNOUNCE_UDP: &str = "udp://10.77.0.1:6969/announce";

/// The node of the DHT that all are told of who take part in it: address and port.
pub const ENTRY: (&str, &str) = ("10.2.1.1", "6881");

/// A program that seeds.
#[derive(Clone, Copy)]
pub enum Seeder {
    Libtorrent,
    Transmission,
    Aria2,
}

/// How a program meets others besides trackers and links, and how fast it is.
#[derive(Clone, Copy, Default)]
pub struct Ways {
    /// Peer exchange (BEP 11).
    pub exchange: bool,
    /// Local service discovery (BEP 14).
    pub local: bool,
    /// The DHT (BEP 5), which it enters at `ENTRY`.
    pub dht: bool,
    /// It downloads 16 KiB a second: it stays a leecher.
    pub slow: bool,
    /// Which connections are encrypted.
    pub hides: Hides,
    /// driver moves 16 KiB a second, and takes commands: what stands in its screens then does not
    /// depend on how fast the machine is.
    pub held: bool,
}

/// Which connections of a program are encrypted. Each has its own words for it, and lacks some.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Hides {
    /// As it is made.
    #[default]
    AsMade,
    /// None.
    Nothing,
    /// Those of whom takes no others; driver alone is asked to be so.
    Unwilling,
    /// All, their handshakes alone.
    Handshakes,
    /// All, and everything in them.
    Everything,
}

/// What a program is started for; its files lie in `data` of its folder.
#[derive(Clone, Copy)]
pub enum Role {
    Seeder(Seeder),
    Driver,
    /// driver at this address and port, which gives as well as it takes.
    Citizen(&'static str, &'static str),
    /// aria2 in driver's place.
    Reference,
}

impl Role {
    pub fn leecher() -> Self {
        match std::env::var("PIGEON_INTEROP_LEECHER").as_deref() {
            Ok("aria2") => Role::Reference,
            Ok(other) => panic!("PIGEON_INTEROP_LEECHER may be aria2, not {other}"),
            Err(_) => Role::Driver,
        }
    }

    pub fn name(self) -> String {
        let name = match self {
            Role::Seeder(Seeder::Libtorrent) => "libtorrent",
            Role::Seeder(Seeder::Transmission) => "transmission",
            Role::Seeder(Seeder::Aria2) => "aria2",
            Role::Driver => "driver",
            Role::Citizen(ip, _) => return format!("driver-{ip}"),
            Role::Reference => "reference",
        };
        name.to_owned()
    }
}

/// Fails with the list of what is missing.
pub fn assert_installed() {
    let answers = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    let named = |name: &str, flag: &str| {
        let mut command = Command::new(name);
        command.arg(flag);
        answers(command)
    };
    let programs = [
        ("ip", "-V"),
        ("transmission-daemon", "-V"),
        ("aria2c", "-v"),
        ("opentracker", "-h"),
        ("rtorrent", "-h"),
        ("qbittorrent-nox", "-v"),
    ];
    let mut missing: Vec<String> = programs
        .iter()
        .filter(|(name, flag)| !named(name, flag))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let mut import = Command::new(python());
    import.args(["-c", "import libtorrent"]).stdin(Stdio::null());
    if !import.status().is_ok_and(|status| status.success()) {
        missing.push(format!("libtorrent for {} (PIGEON_PYTHON)", python().display()));
    }
    let mut import = Command::new("node");
    import.args(["-e", "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)"]);
    if !import.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
        || !webtorrent().join("node_modules/webtorrent/index.js").exists()
    {
        missing.push(format!("node, and webtorrent in {}", webtorrent().display()));
    }
    missing.extend(mainline().filter(|it| !it.exists()).map(|it| it.display().to_string()));
    assert!(missing.is_empty(), "interop was asked for, but not installed: {missing:?}");
}

/// opentracker on its address; Debian's build serves only the torrents of a list.
pub fn tracker(namespace: &Namespace, dir: &Path, info_hash: &[u8; 20]) -> Command {
    fs::create_dir_all(dir).expect("make the tracker's folder");
    fs::write(dir.join("whitelist"), hex(info_hash) + "\n").expect("write the whitelist");
    let mut command = namespace.command("opentracker");
    let (ip, port) = TRACKER.split_once(':').expect("address and port");
    command
        .args(["-i", ip, "-p", port, "-P", port, "-w", "whitelist", "-d"])
        .arg(dir)
        .current_dir(dir);
    command
}

/// `driver tracker` on the same address, over HTTP and UDP.
pub fn own_tracker(namespace: &Namespace, dir: &Path) -> Command {
    let mut command = namespace.command(driver_path());
    command.args(["tracker", "--listen", TRACKER, "--udp", "--no-catalogue", "--no-find"]);
    // Those who ask often meet soon.
    command.args(["--interval", "5s"]);
    with_home(command, dir)
}

/// Ends as soon as the tracker knows somebody who downloads.
pub fn wait_for_leecher(namespace: &Namespace, info_hash: &[u8; 20]) -> Command {
    let mut command = wait_for_seeds(namespace, info_hash, 1);
    command.arg("incomplete");
    command
}

/// Ends as soon as the tracker knows so many seeds.
pub fn wait_for_seeds(namespace: &Namespace, info_hash: &[u8; 20], count: usize) -> Command {
    let mut command = namespace.command(python());
    command.arg(script("wait_for_seeds.py")).args([TRACKER, &hex(info_hash), &count.to_string()]);
    command
}

/// The command line of a role, with `dir` as its home.
pub fn command(role: Role, namespace: &Namespace, torrent: &Path, dir: &Path) -> Command {
    let data = dir.join("data");
    fs::create_dir_all(&data).expect("make a folder for data");
    let command = match role {
        Role::Seeder(Seeder::Libtorrent) => {
            let mut command = namespace.command(python());
            command.arg(script("peer_libtorrent.py")).arg(torrent).arg(data);
            command.args(["10.77.0.3", "7003"]);
            command
        }
        Role::Seeder(Seeder::Transmission) => {
            // What it starts with. Peers get no metadata of this one: it would take that out of
            // a file that it had written itself.
            let torrents = dir.join("torrents");
            fs::create_dir_all(&torrents).expect("make a folder for torrents");
            fs::copy(torrent, torrents.join("payload.torrent")).expect("copy the torrent");
            transmission(namespace, ("10.77.0.4", "7004"), dir, Ways::default())
        }
        Role::Seeder(Seeder::Aria2) => {
            let mut command = aria2(namespace, ("10.77.0.5", "7005"), Ways::default());
            command.args(["--check-integrity=true", "--seed-ratio=0.0", "-d"]).arg(data);
            command.arg(torrent);
            command
        }
        Role::Reference => {
            let mut command = aria2(namespace, ("10.77.0.2", "7002"), Ways::default());
            command.args(["--seed-time=0", "-d"]).arg(data).arg(torrent);
            command
        }
        Role::Driver => {
            let mut command = namespace.command(driver_path());
            command.arg(torrent).arg("--dir").arg(data);
            command.args(["--port", "7002", "--no-repl", "--exit-on-finish"]);
            command
        }
        Role::Citizen(ip, port) => {
            let mut command = namespace.command(driver_path());
            command.arg(torrent).arg("--dir").arg(data).args(["--bind", ip, "--port", port]);
            // What lies there was written by nobody it knows.
            command.args(["--no-repl", "--seed", "--check", "--overwrite"]);
            command
        }
    };
    let mut command = with_home(command, dir);
    command.env_remove("DRIVER_ENCRYPTION");
    command
}

/// aria2 at this address and port, ready for a torrent or a link.
pub fn aria2(namespace: &Namespace, (ip, port): (&str, &str), ways: Ways) -> Command {
    let mut command = namespace.command("aria2c");
    command.args(["--no-conf", "--summary-interval=5", "--show-console-readout=false"]);
    command.args(["--enable-dht6=false", "--file-allocation=none"]);
    command.arg(format!("--enable-dht={}", ways.dht));
    if ways.dht {
        let (entry, at) = ENTRY;
        command
            .args([format!("--dht-entry-point={entry}:{at}"), format!("--dht-listen-port={port}")]);
    }
    command.arg(format!("--bt-enable-lpd={}", ways.local));
    command.arg(format!("--enable-peer-exchange={}", ways.exchange));
    command.args([format!("--interface={ip}"), format!("--listen-port={port}")]);
    if ways.slow {
        command.arg("--max-download-limit=16K");
    }
    match ways.hides {
        Hides::AsMade | Hides::Nothing | Hides::Unwilling => {}
        Hides::Handshakes => _ = command.arg("--bt-require-crypto=true"),
        Hides::Everything => _ = command.args(["--bt-force-encryption=true"]),
    }
    command
}

/// transmission-daemon with its settings, which it takes from its folder.
pub fn transmission(
    namespace: &Namespace,
    (ip, port): (&str, &str),
    dir: &Path,
    ways: Ways,
) -> Command {
    let port: u16 = port.parse().expect("a port");
    let settings = serde_json::json!({
        "bind-address-ipv4": ip,
        "peer-port": port,
        "download-dir": dir.join("data"),
        "incomplete-dir-enabled": false,
        "rename-partial-files": false,
        "start-added-torrents": true,
        "rpc-enabled": true,
        "rpc-bind-address": "127.0.0.1",
        "rpc-port": 9091,
        "rpc-authentication-required": false,
        "dht-enabled": ways.dht,
        "lpd-enabled": ways.local,
        "pex-enabled": ways.exchange,
        "utp-enabled": false,
        "port-forwarding-enabled": false,
        "ratio-limit-enabled": false,
        "idle-seeding-limit-enabled": false,
        "speed-limit-down": 16,
        "speed-limit-down-enabled": ways.slow,
        "message-level": 3,
        "encryption": match ways.hides {
            Hides::Nothing | Hides::Unwilling => 0,
            Hides::AsMade => 1,
            Hides::Handshakes | Hides::Everything => 2,
        },
    });
    fs::write(dir.join("settings.json"), settings.to_string()).expect("write settings");
    if ways.dht {
        let (entry, at) = ENTRY;
        fs::write(dir.join("dht.bootstrap"), format!("{entry} {at}\n")).expect("name a node");
    }
    let mut command = namespace.command("transmission-daemon");
    command.arg("-f").arg("-g").arg(dir);
    command
}

/// rtorrent with its settings, which it takes from its home; without a terminal it is a daemon.
pub fn rtorrent(
    namespace: &Namespace,
    (ip, port): (&str, &str),
    torrent: &Path,
    dir: &Path,
    hides: Hides,
) -> Command {
    let session = dir.join("session");
    fs::create_dir_all(&session).expect("make a folder for the session");
    let encryption = match hides {
        Hides::AsMade | Hides::Unwilling => "",
        Hides::Nothing => "protocol.encryption.set = none",
        Hides::Handshakes => "protocol.encryption.set = allow_incoming,try_outgoing,require",
        Hides::Everything => {
            "protocol.encryption.set = allow_incoming,try_outgoing,require,require_RC4"
        }
    };
    let settings = format!(
        "system.daemon.set = true\n\
         network.bind_address.set = {ip}\n\
         network.port_range.set = {port}-{port}\n\
         network.port_random.set = no\n\
         dht.mode.set = disable\n\
         protocol.pex.set = no\n\
         trackers.use_udp.set = no\n\
         {encryption}\n\
         directory.default.set = {}\n\
         session.path.set = {}\n\
         load.start = {}\n",
        dir.join("data").display(),
        session.display(),
        torrent.display(),
    );
    fs::write(dir.join(".rtorrent.rc"), settings).expect("write settings");
    namespace.command("rtorrent")
}

/// qbittorrent-nox with its settings, which it takes from its folder.
pub fn qbittorrent(
    namespace: &Namespace,
    (ip, port): (&str, &str),
    torrent: &Path,
    dir: &Path,
    hides: Hides,
) -> Command {
    let data = dir.join("data");
    let config = dir.join("qBittorrent/config");
    fs::create_dir_all(&config).expect("make a folder for settings");
    let encryption = match hides {
        Hides::AsMade | Hides::Unwilling => 0,
        Hides::Handshakes | Hides::Everything => 1,
        Hides::Nothing => 2,
    };
    let settings = format!(
        "[LegalNotice]\n\
         Accepted=true\n\
         [BitTorrent]\n\
         Session\\Encryption={encryption}\n\
         Session\\BTProtocol=TCP\n\
         Session\\DHTEnabled=false\n\
         Session\\PeXEnabled=false\n\
         Session\\LSDEnabled=false\n\
         Session\\QueueingSystemEnabled=false\n\
         Session\\InterfaceAddress={ip}\n\
         Session\\Port={port}\n\
         [Network]\n\
         PortForwardingEnabled=false\n\
         [Preferences]\n\
         WebUI\\Address=127.0.0.1\n\
         WebUI\\Port=8080\n"
    );
    fs::write(config.join("qBittorrent.conf"), settings).expect("write settings");
    let mut command = namespace.command("qbittorrent-nox");
    command.arg(format!("--profile={}", dir.display()));
    command.arg(format!("--save-path={}", data.display())).arg(torrent);
    command
}

/// Is there no webtorrent on this machine?
pub fn lacks_webtorrent() -> bool {
    std::env::var_os("PIGEON_WEBTORRENT").is_some_and(|folder| folder == "none")
}

/// The folder that npm installed webtorrent in: `PIGEON_WEBTORRENT`, or the one of `.ci/run`.
pub fn webtorrent() -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/webtorrent");
    std::env::var_os("PIGEON_WEBTORRENT").map_or_else(ours, PathBuf::from)
}

/// The program with nodes of the crate mainline: `PIGEON_MAINLINE`, or the one of `.ci/run`; none
/// where it is left out.
pub fn mainline() -> Option<PathBuf> {
    let ours =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/mainline/debug/dht-mainline");
    let path = std::env::var_os("PIGEON_MAINLINE").map_or_else(ours, PathBuf::from);
    (path.as_os_str() != "none").then_some(path)
}

/// The Python that has libtorrent: `PIGEON_PYTHON`, or the one of the system.
pub fn python() -> PathBuf {
    std::env::var_os("PIGEON_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
