//! FlexGet, whose plugins speak to Transmission and to qBittorrent.

use std::process::Command;

use super::{Daemon, asked_for, installed, script};

#[test]
fn flexget_adds_by_either_plugin() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new(installed().join("venv/bin/python"));
    command.arg(script("tools_flexget.py"));
    let said = Daemon::start().run(command);
    assert_eq!(said, "transmission\nqbittorrent\n");
}
