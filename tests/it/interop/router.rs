//! Behind a router: `driver` in a local network, Debian's miniupnpd as its gateway, and the
//! Internet behind that, in three namespaces. Nobody comes in whom the router does not let in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::clients::hex;
use super::namespace::{Namespace, run};
use super::{asked_for, target};
use crate::payload::Payload;
use crate::process::{Process, driver_path, with_home};

/// The router's address on our side and on the other; it maps to no private or reserved one.
const GATEWAY: &str = "192.168.77.1";
const OUTSIDE: &str = "93.184.216.34";
const OUR_SIX: &str = "2001:db8:77::2";
/// Who is outside.
const FAR: &str = "93.184.216.35";
const NEIGHBOUR: &str = "192.168.77.3";
/// Where the program listens.
const PORT: &str = "7001";
/// For something that must come.
const LIMIT: Duration = Duration::from_secs(30);
/// A tracker that was told another port before is asked again after a minute.
const TOLD: Duration = Duration::from_secs(90);

/// What the router speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Speaks {
    Pcp,
    NatPmp,
    Upnp,
}

impl Speaks {
    fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

/// All three, and who runs there.
struct World {
    lan: Namespace,
    gateway: Namespace,
    far: Namespace,
    home: TempDir,
    payload: Payload,
    torrent: PathBuf,
    count: u32,
}

impl World {
    fn new() -> Self {
        let [lan, gateway, far] = [(); 3].map(|()| Namespace::empty());
        cable((&lan, "eth0"), (&gateway, "lan0"));
        cable((&gateway, "wan0"), (&far, "eth0"));
        for (namespace, device, address) in [
            (&lan, "eth0", "192.168.77.2/24"),
            (&lan, "eth0", "192.168.77.3/24"),
            (&lan, "eth0", "2001:db8:77::2/64"),
            (&gateway, "lan0", "192.168.77.1/24"),
            (&gateway, "lan0", "fe80::1/64"),
            (&gateway, "lan0", "2001:db8:77::1/64"),
            (&gateway, "wan0", "93.184.216.34/24"),
            (&gateway, "wan0", "2001:db8:78::1/64"),
            (&far, "eth0", "93.184.216.35/24"),
            (&far, "eth0", "2001:db8:78::2/64"),
        ] {
            let nodad = if address.contains(':') { &["nodad"][..] } else { &[] };
            let add = ["-n", namespace.name(), "addr", "add", address, "dev", device];
            run(&[&add, nodad].concat());
        }
        run(&["-n", lan.name(), "route", "add", "default", "via", GATEWAY]);
        let six = ["-6", "-n", lan.name(), "route", "add", "default"];
        run(&[&six[..], &["via", "fe80::1", "dev", "eth0"]].concat());
        run(&["-6", "-n", far.name(), "route", "add", "default", "via", "2001:db8:78::1"]);
        for way in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            let script = format!("echo 1 > /proc/sys/{way}");
            done(gateway.command("sh").args(["-c", &script]));
        }
        let home = tempfile::tempdir_in(target()).expect("a folder for the test");
        let payload = Payload::new(7, "router", 16 << 10, &[("a", 100_000)]);
        let torrent = home.path().join("router.torrent");
        fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
        Self { lan, gateway, far, home, payload, torrent, count: 0 }
    }

    /// The rules of a router that lets nobody in by itself.
    fn close(&self, speaks: Speaks) {
        let deaf = match speaks {
            // The first byte behind the head is the version: 2 is PCP's.
            Speaks::NatPmp => "udp dport 5351 @th,64,8 2 drop",
            _ => "accept",
        };
        let rules = format!(
            "flush ruleset; table inet filter {{
               chain miniupnpd {{ }}
               chain prerouting_miniupnpd {{ }}
               chain postrouting_miniupnpd {{ }}
               chain input {{ type filter hook input priority 0; {deaf}; }}
               chain forward {{ type filter hook forward priority 0; policy drop;
                 ct state established,related accept; iifname lan0 accept; jump miniupnpd; }}
               chain prerouting {{ type nat hook prerouting priority -100;
                 jump prerouting_miniupnpd; }}
               chain postrouting {{ type nat hook postrouting priority 100;
                 jump postrouting_miniupnpd; ip saddr 192.168.77.0/24 oifname wan0 masquerade; }}
             }}"
        );
        done(self.gateway.command("nft").arg(rules));
    }

    /// The router, which has just been switched on.
    fn router(&mut self, speaks: Speaks) -> Process {
        self.close(speaks);
        self.count += 1;
        let dir = self.home.path();
        let yes = |is_so| if is_so { "yes" } else { "no" };
        let settings = format!(
            "ext_ifname=wan0\next_ip={OUTSIDE}\nlistening_ip=lan0\nport=5000\nsecure_mode=yes\n\
             enable_upnp={}\nenable_natpmp={}\nmin_lifetime=20\nmax_lifetime=86400\n\
             upnp_table_name=filter\nupnp_nat_table_name=filter\nupnp_forward_chain=miniupnpd\n\
             upnp_nat_chain=prerouting_miniupnpd\n\
             upnp_nat_postrouting_chain=postrouting_miniupnpd\n\
             uuid=73a9cb68-a00b-4d2f-8412-75dc989f0c6\nsystem_uptime=no\n\
             allow 1024-65535 192.168.77.0/24 1024-65535\n",
            yes(speaks == Speaks::Upnp),
            yes(speaks != Speaks::Upnp),
        );
        let file = dir.join("miniupnpd.conf");
        fs::write(&file, settings).expect("write miniupnpd.conf");
        let mut command = self.gateway.command("miniupnpd");
        let pid = dir.join(format!("miniupnpd-{}.pid", self.count));
        command.args(["-d", "-f"]).arg(file).arg("-P").arg(pid);
        Process::start(&format!("miniupnpd-{}", self.count), command, dir)
    }

    /// The program, which has everything.
    fn driver(&self) -> Process {
        let dir = self.home.path().join("driver");
        self.payload.write_to(&dir);
        let mut command = with_home(self.lan.command(driver_path()), &dir);
        command.env_remove("DRIVER_NO_PORTMAP").env_remove("DRIVER_NO_DHT");
        command.args(["--seed", "--check", "--overwrite", "--json", "--port", PORT, "--dir"]);
        command.arg(&dir).args(["-a", &format!("http://{FAR}:6969/announce")]).arg(&self.torrent);
        Process::start("driver", command, self.home.path())
    }

    /// What somebody outside, or a neighbour, does.
    fn outside(namespace: &Namespace, words: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/outside.py");
        let mut command = namespace.command("python3");
        command.arg(script).args(words);
        command
    }

    fn tracker(&self) -> Process {
        Process::start("tracker", Self::outside(&self.far, &["tracker", FAR]), self.home.path())
    }

    /// Is a peer outside answered, and a node of the DHT?
    fn is_let_in(&self, address: &str, port: &str) -> [bool; 2] {
        let hash = hex(&self.payload.info_hash());
        [&["dial", address, port, &hash][..], &["ask", address, port]].map(|words| {
            let mut command = Self::outside(&self.far, words);
            command.stderr(std::process::Stdio::null());
            command.status().expect("start python3").success()
        })
    }
}

fn cable((one, device): (&Namespace, &str), (other, its_device): (&Namespace, &str)) {
    let ends = ["link", "add", device, "netns", one.name(), "type", "veth"];
    run(&[&ends[..], &["peer", "name", its_device, "netns", other.name()]].concat());
    run(&["-n", one.name(), "link", "set", device, "up"]);
    run(&["-n", other.name(), "link", "set", its_device, "up"]);
}

#[track_caller]
fn done(command: &mut Command) {
    let output = command.output().expect("start a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Waits until `what` is so.
#[track_caller]
fn until(limit: Duration, words: impl Fn() -> String, what: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !what() {
        assert!(Instant::now() < deadline, "not in {limit:?}:\n{}", words());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The ports outside that the program was told last for a family, with the protocol.
fn mapped(driver: &Process, family: &str) -> Option<(String, String)> {
    let lines = driver.output();
    let read = |it| serde_json::from_str::<serde_json::Value>(it).ok();
    let mut events = lines.lines().filter_map(read);
    let of = |it: &serde_json::Value| it["event"] == "port_mapping" && it["family"] == family;
    let event = events.rfind(of)?;
    Some((event["protocol"].as_str()?.to_owned(), event["tcp"].as_u64()?.to_string()))
}

/// The whole life of a mapping: it is made, others come in, the tracker knows the port outside, the
/// router is switched off and on, and at the end it is gone.
fn opened_by(speaks: Speaks) {
    if !asked_for(&format!("a router that speaks {}", speaks.name())) {
        return;
    }
    let mut world = World::new();
    let router = world.router(speaks);
    let tracker = world.tracker();
    until(LIMIT, || router.output(), || router.output().to_lowercase().contains("listening"));
    if speaks == Speaks::NatPmp {
        // A neighbour has the port that we would like.
        done(&mut World::outside(&world.lan, &["occupy", NEIGHBOUR, GATEWAY, PORT]));
    }
    let mut driver = world.driver();
    let words = || format!("{}\n---- the router\n{}", driver.output(), router.output());
    until(LIMIT, words, || mapped(&driver, "IPv4").is_some());
    let (protocol, port) = mapped(&driver, "IPv4").expect("it was");
    assert_eq!(protocol, speaks.name(), "{}", words());
    assert_eq!(port != PORT, speaks == Speaks::NatPmp, "{port}: {}", words());
    until(LIMIT, words, || world.is_let_in(OUTSIDE, &port) == [true; 2]);
    let told = format!("port {port} ");
    until(TOLD, || tracker.output(), || tracker.output().contains(&told));
    if speaks == Speaks::Pcp {
        until(LIMIT, words, || mapped(&driver, "IPv6").is_some());
        until(LIMIT, words, || world.is_let_in(OUR_SIX, PORT) == [true; 2]);
    }
    if speaks != Speaks::Upnp {
        // It forgets everything, and tells all when it is there again.
        drop(router);
        world.close(speaks);
        assert_eq!(world.is_let_in(OUTSIDE, &port), [false; 2], "the rules let everybody in");
        let router = world.router(speaks);
        let again = || {
            let port = mapped(&driver, "IPv4").map_or(port.clone(), |(_, port)| port);
            world.is_let_in(OUTSIDE, &port) == [true; 2]
        };
        until(LIMIT, || format!("{}\n{}", driver.output(), router.output()), again);
        end(&world, &mut driver);
        drop(router);
    } else {
        end(&world, &mut driver);
    }
}

/// Ends the program: nothing of it is left at the router.
fn end(world: &World, driver: &mut Process) {
    done(Command::new("kill").args(["-INT", &driver.id().to_string()]));
    driver.wait(LIMIT);
    let rules = world.gateway.command("nft").args(["list", "ruleset"]).output().expect("start nft");
    let rules = String::from_utf8_lossy(&rules.stdout);
    assert!(!rules.contains("192.168.77.2"), "{rules}");
}

#[test]
fn a_router_that_speaks_pcp_lets_others_in() {
    opened_by(Speaks::Pcp);
}

#[test]
fn a_router_that_speaks_natpmp_lets_others_in_at_another_port() {
    opened_by(Speaks::NatPmp);
}

#[test]
fn a_router_that_speaks_upnp_lets_others_in() {
    opened_by(Speaks::Upnp);
}
