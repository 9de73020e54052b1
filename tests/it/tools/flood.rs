//! Flood, a page of its own in front of other clients, by either of the dialects that it asks them
//! in. Its buttons are clicked in Chromium.

use std::process::Command;

use super::{Daemon, asked_for, installed, script};

/// What the script sees done in each dialect.
const THINGS: usize = 10;

fn clicked_through(dialect: &str) {
    if !asked_for() {
        return;
    }
    let mut command = Command::new("node");
    command.arg(script("tools_flood.mjs")).arg(dialect).arg(installed().join("node"));
    let said = Daemon::start().run(command);
    assert_eq!(said.lines().count(), THINGS, "{said}");
}

#[test]
fn flood_is_clicked_through_as_for_transmission() {
    clicked_through("transmission");
}

#[test]
fn flood_is_clicked_through_as_for_qbittorrent() {
    clicked_through("qbittorrent");
}
