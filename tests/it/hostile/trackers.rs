//! Hostile trackers: each alone with a peer that the user named, and each before an honest one
//! of the next tier (limits and threats: trackers).

use std::time::Duration;

use super::{HONEST_RATE, PAYLOAD, all, judge, run};
use crate::mock_tracker::{MockTracker, Script, gzip_bomb};
use crate::seeder::Seeder;

/// Announces that a tracker may get in one download, whatever it says.
const ANNOUNCES_MAX: usize = 15;

fn scripts() -> Vec<(&'static str, Vec<Script>)> {
    let reply = |body: &str| vec![Script::body(body.as_bytes())];
    let deep = [b"l".repeat(200_000), b"e".repeat(200_000)].concat();
    let gzip = "Content-Encoding: gzip\r\n";
    let own = [b"d8:intervali0e5:peers12:".as_slice(), &[127, 0, 0, 1, 0, 0], &[0; 6], b"e"];
    let pages = "<!DOCTYPE html><title>404</title><script>alert(1)</script>";
    let headers = "X-Header: yes\r\n".repeat(100_000);
    let slow = Script::Drip(b"HTTP/1.1 200 OK\r\nX: ".repeat(50), Duration::from_millis(200));
    vec![
        ("hangs", vec![Script::Hang]),
        ("closes", vec![Script::Close]),
        ("drips", vec![slow]),
        ("never ends its reply", vec![Script::Endless]),
        ("sends a gzip bomb", vec![Script::response("200 OK", gzip, &gzip_bomb(300 << 20))]),
        ("redirects in a loop", vec![Script::redirect("/announce")]),
        ("redirects to a file", vec![Script::redirect("file:///etc/passwd")]),
        ("redirects to nowhere", vec![Script::redirect("http://127.0.0.1:1/announce")]),
        ("sends garbage", reply("d8:intervali1800e5:peers")),
        ("nests deeply", vec![Script::body(&deep)]),
        ("sends nothing", vec![Script::body(b"")]),
        ("invents peers", vec![Script::body(&invented(20_000))]),
        ("names only unusable peers", vec![Script::body(&own.concat())]),
        ("cuts its peers", reply("d8:intervali1800e5:peers7:abcdefge")),
        ("has an interval of 0", reply("d8:intervali0e12:min intervali0e5:peers0:e")),
        ("has a negative interval", reply("d8:intervali-5e5:peers0:e")),
        ("has an endless interval", reply("d8:intervali9223372036854775807e5:peers0:e")),
        ("fails for ever", reply("d14:failure reason2:no8:retry in5:nevere")),
        (
            "sends a page",
            vec![Script::response("200 OK", "Content-Type: text/html\r\n", pages.as_bytes())],
        ),
        (
            "is unavailable",
            vec![Script::response("503 Service Unavailable", "Retry-After: 0\r\n", b"")],
        ),
        ("sends huge headers", vec![Script::response("200 OK", &headers, b"d5:peers0:e")]),
        ("speaks no HTTP", vec![Script::Raw(b"\x13BitTorrent protocol".repeat(1000))]),
        ("injects escapes", reply("d14:failure reason19:\x1b]0;pwned\x07\x1b[2J\r\n\u{202e}e")),
        (
            "lies about its length",
            vec![Script::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nd".to_vec(),
            )],
        ),
        (
            "lies about its chunks",
            vec![Script::Raw(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
                    .to_vec(),
            )],
        ),
    ]
}

/// Compact peers of this machine at which nobody listens.
fn invented(count: u32) -> Vec<u8> {
    let mut body = format!("d8:intervali1800e5:peers{}:", count * 6).into_bytes();
    for number in 0..count {
        let [_, _, high, low] = number.to_be_bytes();
        body.extend([127, 9, high, low, 0, 1]);
    }
    body.push(b'e');
    body
}

#[test]
fn no_misbehaviour_of_a_tracker_stops_a_download_from_a_named_peer() {
    let scripts = scripts();
    all(scripts.len(), |index| {
        let (name, script) = &scripts[index];
        let tracker = MockTracker::start(script.clone());
        let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
        let outcome = run(&[seeder.address()], &["--tracker", &tracker.url()], |_| ());
        checked(name, outcome, &tracker)
    });
}

#[test]
fn behind_a_tracker_that_misbehaves_the_next_tier_is_asked() {
    let scripts = scripts();
    all(scripts.len(), |index| {
        let (name, script) = &scripts[index];
        let tracker = MockTracker::start(script.clone());
        let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
        let honest =
            MockTracker::start(vec![Script::peer([127, 0, 0, 1], seeder.address().port())]);
        let urls = ["--tracker", &tracker.url(), "--tracker", &honest.url()];
        checked(name, run(&[], &urls, |_| ()), &tracker)
    });
}

fn checked(
    name: &str,
    outcome: Result<super::Outcome, String>,
    tracker: &MockTracker,
) -> Result<(), String> {
    let scrapes = tracker.scrapes().len();
    if scrapes > ANNOUNCES_MAX {
        return Err(format!("{name}: it was scraped {scrapes} times"));
    }
    judged(name, outcome, tracker.requests().len())
}

/// Judges a run beside a tracker that was asked so often.
pub(super) fn judged(
    name: &str,
    outcome: Result<super::Outcome, String>,
    asked_count: usize,
) -> Result<(), String> {
    let dangerous = |letter: char| letter.is_control() && letter != '\n';
    if let Ok(outcome) = &outcome
        && outcome.output.contains(dangerous)
    {
        return Err(format!("{name}: control characters in {:?}", outcome.output));
    }
    judge(&format!("a tracker that {name}"), outcome)?;
    match asked_count {
        0 => Err(format!("{name}: it was never asked")),
        count if count > ANNOUNCES_MAX => Err(format!("{name}: it was asked {count} times")),
        _ => Ok(()),
    }
}

#[test]
fn a_tracker_cannot_write_to_the_terminal() {
    let (_, script) = scripts().into_iter().find(|(name, _)| *name == "injects escapes").unwrap();
    let tracker = MockTracker::start(script);
    let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = home.path().join("prey.torrent");
    std::fs::write(&torrent, PAYLOAD.torrent(Some(&tracker.url()))).expect("write the torrent");
    let mut command = crate::process::driver(home.path());
    command.arg(torrent).arg("--dir").arg(home.path().join("out")).arg("-v");
    command.args(["--port", "0", "--no-repl", "--exit-on-finish"]);
    command.args(["--peer", &seeder.address().to_string()]);
    let mut process = crate::process::Process::start("driver", command, home.path());
    let status = process.wait(super::HANG);
    let output = process.output();
    assert!(status.success(), "{status}:\n{output}");
    assert!(output.contains("pwned"), "the reason is not told:\n{output}");
    assert!(!output.contains(['\x1b', '\x07', '\u{202e}']), "{output:?}");
}
