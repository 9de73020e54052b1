//! Step 3 as it is meant: client, trackers and providers are hosts of their own on one
//! broadcast domain, joined by a bridge, each in a network namespace. Needs root, as the tests
//! in `interop`, and is asked for in the same way.

use std::process::Command;

use super::bench::{Bench, Side};
use crate::interop::asked_for;
use crate::interop::namespace::{Namespace, run};
use crate::process::Process;

/// Hosts and the switch between them.
struct Lan {
    switch: Namespace,
    hosts: Vec<Namespace>,
}

impl Lan {
    /// Hosts 10.78.0.1, .2 and so on.
    fn new(count: usize) -> Self {
        let switch = Namespace::empty();
        let name = switch.name();
        run(&["-n", name, "link", "add", "br0", "type", "bridge"]);
        run(&["-n", name, "link", "set", "br0", "up"]);
        let hosts = (1..=count).map(|number| {
            let host = Namespace::empty();
            let port = format!("port{number}");
            let peer = ["peer", "name", "eth0", "netns", host.name()];
            run(&[&["-n", name, "link", "add", &port, "type", "veth"], peer.as_slice()].concat());
            run(&["-n", name, "link", "set", &port, "master", "br0", "up"]);
            let address = format!("10.78.0.{number}/24");
            run(&["-n", host.name(), "addr", "add", &address, "brd", "+", "dev", "eth0"]);
            run(&["-n", host.name(), "link", "set", "eth0", "up"]);
            // Every real host has one; without it there is no way to 255.255.255.255.
            run(&["-n", host.name(), "route", "add", "default", "dev", "eth0"]);
            host
        });
        let hosts = hosts.collect();
        Self { switch, hosts }
    }

    /// `command` on host `number`, counted from 1.
    fn on(&self, number: usize, command: &Command) -> Command {
        self.hosts[number - 1].wrap(command)
    }
}

/// Hosts 1 and 2 are trackers, of which the first dies once it is discovered; 3 and 4 are alice
/// and bob; 5 is charlie.
#[test]
fn two_trackers_of_which_one_dies_after_discovery() {
    if !asked_for("a broadcast domain") {
        return;
    }
    let lan = Lan::new(5);
    assert!(!lan.switch.name().is_empty());
    let bench = Bench::cut(2_000_000, 65_536, Side::Ours);
    let sections = [("tracker", 2, 8000), ("alice", 3, 8001), ("bob", 4, 8002)];
    bench.write_peers("config", &sections.map(|(name, host, port)| (name, lan_ip(host), port)));
    bench.write_peers("dying", &[("tracker", lan_ip(1), 8000)]);
    bench.copy_listing("dying");
    let start = |host: usize, side: Side, name: &str, arguments: &[&str], ready: &str| -> Process {
        let command = lan.on(host, &bench.command(side, arguments));
        bench.wait_for(Process::start(name, command, bench.dir()), name, ready)
    };
    let dying = ["tracker", "--config", "dying", "--quirk", "die-after-discovery"];
    let _dying = start(1, Side::Theirs, "dying", &dying, "ready");
    let _tracker =
        start(2, Side::Ours, "tracker", &["tracker", "--config", "config"], "tracker for");
    let alice = ["provide", "alice", "--config", "config"];
    let _alice = start(3, Side::Ours, "alice", &alice, "serves");
    let bob = ["provider", "bob", "--config", "config"];
    let _bob = start(4, Side::Theirs, "bob", &bob, "ready");
    let told = bench.get_with(&["--discover"], |command| lan.on(5, command));
    told.assert_complete();
    let said = told.output();
    assert!(said.starts_with("tracker 10.78.0.2:8000, found by broadcast, lists"), "{said}");
    // A directed broadcast does as well, and the dead one does not answer any more.
    bench.start_over();
    let way = ["--discover", "--broadcast", "10.78.0.255"];
    bench.get_with(&way, |command| lan.on(5, command)).assert_complete();
}

fn lan_ip(host: u8) -> [u8; 4] {
    [10, 78, 0, host]
}
