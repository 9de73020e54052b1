//! Few file descriptors for many files and many who connect.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use super::Told;
use crate::cli::run::{LIMIT, Running};
use crate::payload::Payload;
use crate::process::driver_path;
use crate::process::with_home;
use crate::seeder::Seeder;

// qBittorrent#8296: spins and logs every two seconds.
#[test]
fn three_hundred_files_with_sixty_four_descriptors() {
    let names: Vec<String> = (0..300).map(|number| format!("{}/{number}", number % 7)).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10_000)).collect();
    let payload = Arc::new(Payload::new(9, "many", 65_536, &files));
    let home = tempfile::tempdir().expect("a folder for the test");
    std::fs::write(home.path().join("m.torrent"), payload.torrent(None)).expect("a torrent");
    let seeder = Seeder::start(payload.clone(), Some(1_500_000));
    let mut shell = with_home(Command::new("sh"), home.path());
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(driver_path());
    shell.args(["m.torrent", "--no-trackers", "--port", "0", "--dir", "out", "-e", "--json"]);
    shell.args(["--peer", &seeder.address().to_string()]).current_dir(home.path());
    let mut running = Running::start(&mut shell);
    let started: serde_json::Value =
        serde_json::from_str(&running.line("{\"")).expect("a JSON line");
    let port = u16::try_from(started["port"].as_u64().expect("a port")).expect("a port");
    assert!(seeder.wait_served(100_000, LIMIT), "nothing was asked for");
    // More than it has descriptors for; the system takes them all.
    let mut strangers: Vec<_> = (0..100).map(|_| TcpStream::connect(("127.0.0.1", port))).collect();
    assert!(strangers.iter().all(Result::is_ok));
    assert!(seeder.wait_served(2_000_000, LIMIT), "it came to a stop");
    strangers.clear();
    let mut told = Told::of(running);
    told.event("completed", None);
    let ran = told.running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    payload.assert_same(&home.path().join("out"));
    let words = ran.stderr.lines().count();
    assert!(words < 20, "{words} lines: {}", ran.stderr);
}
