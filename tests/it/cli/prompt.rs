//! What commands of the prompt answer where nothing can come of them, or where they name torrents.

use std::time::{Duration, Instant};

use super::run::{LIMIT, Place, Running};
use crate::many;
use crate::process::driver;

/// Slow enough to be met in the middle: 3 MB in half a minute.
const SLOW: Option<u64> = Some(100_000);

/// The port in `Saving to out/   port 41189`.
fn port_of(line: &str) -> u16 {
    let (_, port) = line.rsplit_once("port ").expect("a port");
    port.trim().parse().expect("a number")
}

#[test]
fn our_own_address_is_no_peer() {
    let place = Place::new(SLOW);
    let mut running = Running::start(&mut place.command(&[]));
    let port = port_of(&running.line("Saving to out/"));
    running.type_line(&format!("add-peer 127.0.0.1:{port}"));
    let said = format!("127.0.0.1:{port} is this program itself: nobody else listens there");
    running.line(&said);
    // Another port of this machine is somebody else's.
    let other = place.seeder.address();
    running.type_line(&format!("add-peer {other}"));
    running.line(&format!("trying {other}"));
}

#[test]
fn what_is_complete_fetches_from_nobody() {
    let place = Place::new(None);
    place.payload.write_to(&place.out());
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path());
    command.args(["seed", "s.torrent", "out", "--no-trackers", "--port", "0"]);
    let mut running = Running::start(&mut command);
    running.line("Complete: ");
    running.type_line("add-web-seed http://127.0.0.1:1/");
    running.line("noted, but there is nothing to fetch: everything wanted is here");
}

/// Whoever waits for metadata hears why the peer that was added is of no use.
#[test]
fn a_search_tells_why_a_peer_was_not_reached() {
    let place = Place::new(None);
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path());
    let link = format!("magnet:?xt=urn:btih:{}", "6f".repeat(20));
    command.args([&link, "--no-trackers", "--port", "0"]);
    let mut running = Running::start(&mut command);
    running.type_line("add-peer 127.0.0.1:1");
    running.line("trying 127.0.0.1:1");
    let begun = Instant::now();
    loop {
        running.type_line("peers");
        let said = running.line("no peers connected");
        if said.starts_with("no peers connected; 127.0.0.1:1: ") {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{said}");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.type_line("why");
    running.line("Not reached: 127.0.0.1:1: ");
}

#[test]
fn pause_and_resume_take_the_numbers_of_the_list() {
    let place = many::Place::new(&[SLOW, SLOW]);
    let mut running = place.start(&["--max-active", "1", "a.torrent", "b.torrent"]);
    assert!(place.seeders[0].wait_served(100_000, LIMIT), "nothing was asked for");
    for (typed, answer) in [
        ("pause 2", "2 beta: paused; resume goes on"),
        ("pause 1", "1 alpha: paused; resume goes on"),
        ("status", "State      paused"),
        ("pause 7", "no torrent has number 7; list shows them"),
        ("resume 1", "1 alpha: going on"),
        ("resume 2", "2 beta: going on"),
        // Nothing of it ever began.
        ("remove 2", "removed 2 beta; it has no data on disk"),
        ("remove 1", "removed 1 alpha; its data stays in out/alpha"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
}
