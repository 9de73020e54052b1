//! Tools for qBittorrent. Their scripts print a line for each thing that they did and saw done, and
//! how many of them there were.

use std::process::Command;

use super::{Daemon, asked_for, installed, script};

/// How many things a script did, all of which it saw done.
fn count(said: &str) -> usize {
    let last = said.lines().last().unwrap_or_default();
    let count = last.strip_suffix(" passed, 0 failed").and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn qbittorrent_api_does_what_it_does_elsewhere() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new(installed().join("venv/bin/python"));
    command.arg(script("tools_qbittorrent.py"));
    let said = Daemon::start().run(command);
    assert!(count(&said) >= 50, "{said}");
}

#[test]
fn ctrl_qbittorrent_does_what_it_does_elsewhere() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new("node");
    command.arg(script("tools_qbittorrent.mjs")).arg(installed().join("node"));
    let said = Daemon::start().run(command);
    assert!(count(&said) >= 30, "{said}");
}

#[test]
fn answers_are_shaped_as_those_of_qbittorrent_nox() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg(script("beside_qbittorrent.py"));
    let said = Daemon::start().run(command);
    assert!(count(&said) >= 80, "{said}");
}
