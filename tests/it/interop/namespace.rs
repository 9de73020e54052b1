//! A network namespace with nothing but loopback, where every address of 10.77.0.0/24 is local.
//! Transmission takes no peers in 127/8, and each peer needs an address of its own. A program
//! that does not choose its address speaks from 10.77.0.2.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The addresses of a pair that is joined by a cable.
pub const LAN: [&str; 2] = ["10.78.0.1", "10.78.0.2"];

/// Made on creation; removed on drop, also by a panic.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn new() -> Self {
        Self::where_local("10.77.0.0/24")
    }

    /// One where all of 10/8 is local: each of many may have a /24 of its own.
    pub fn wide() -> Self {
        Self::where_local("10.0.0.0/8")
    }

    fn where_local(addresses: &str) -> Self {
        let namespace = Self::empty();
        let name = namespace.name.as_str();
        run(&["-n", name, "addr", "add", "10.77.0.2/32", "dev", "lo"]);
        let whole = ["local", addresses, "dev", "lo", "src", "10.77.0.2"];
        run(&[&["-n", name, "route", "add"], whole.as_slice()].concat());
        namespace
    }

    /// One with a plain loopback device.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pigeon-{}-{count}", std::process::id());
        run(&["netns", "add", &name]);
        let namespace = Self { name };
        run(&["-n", namespace.name.as_str(), "link", "set", "lo", "up"]);
        namespace
    }

    /// Two that are joined by a cable, and may speak to each other alone: multicast, too, as on
    /// a local network. Their addresses are `LAN`.
    pub fn pair() -> [Self; 2] {
        let both = [Self::empty(), Self::empty()];
        let [one, other] = both.each_ref().map(Self::name);
        let cable = ["link", "add", "lan", "netns", one, "type", "veth"];
        run(&[cable.as_slice(), &["peer", "name", "lan", "netns", other]].concat());
        for (name, address) in [one, other].into_iter().zip(LAN) {
            run(&["-n", name, "addr", "add", &format!("{address}/24"), "dev", "lan"]);
            run(&["-n", name, "link", "set", "lan", "up"]);
            // Some leave it to the system through which interface multicast goes.
            run(&["-n", name, "route", "add", "default", "dev", "lan"]);
        }
        both
    }

    /// What `ip` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same command inside.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut inside = self.command(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside
    }

    /// `program` inside; `ip` becomes the program, so its process id is the child's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A panic here, perhaps during another, would end the whole test binary.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[track_caller]
pub fn run(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("start ip (iproute2)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}(root is needed)", arguments.join(" "));
}
