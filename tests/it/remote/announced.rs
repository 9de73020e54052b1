//! A daemon that begins again with seeds of which only their tracker is to hear: it is told of all
//! of them, once, and none is opened for that.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::{LIMIT, daemon, says, until};
use crate::mock_tracker::{MockTracker, Script};
use crate::payload::Payload;
use crate::process::Process;

const COUNT: usize = 24;

/// What the tracker is told of that many torrents next, by their hashes as they stand there.
fn told(tracker: &MockTracker, event: &str, count: usize) -> BTreeMap<String, String> {
    let mut heard = BTreeMap::new();
    while heard.len() < count {
        let line = tracker.next_request(LIMIT).unwrap_or_else(|| panic!("{event}: {heard:?}"));
        assert!(line.contains(&format!("event={event}")), "{line}");
        let pair = line.split(['?', '&']).find(|pair| pair.starts_with("info_hash="));
        let before = heard.insert(pair.expect("a hash").to_owned(), line.clone());
        assert_eq!(before, None, "it is told twice of {line}");
    }
    heard
}

fn end(daemon: &mut Process) {
    let id = Pid::from_raw(daemon.id().try_into().expect("an id")).expect("an id");
    kill_process(id, Signal::INT).expect("interrupt it");
    assert!(daemon.wait(LIMIT).success(), "{}", daemon.last_words());
}

/// How many files below this directory it has open.
fn open_below(daemon: &Process, dir: &Path) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("its descriptors");
    let targets = open.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(dir)).count()
}

/// How many are listed as seeds that sleep.
fn rows_asleep(home: &Path) -> usize {
    let list: serde_json::Value = serde_json::from_str(&says(home, "list --json")).expect("JSON");
    let all = list["torrents"].as_array().expect("a list");
    all.iter().filter(|it| it["asleep"] == true && it["state"] == "seeding").count()
}

#[test]
fn seeds_of_before_are_announced_once_without_being_opened() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    // It knows of seeds alone.
    let reply = b"d8:completei3e10:incompletei0e8:intervali1800e5:peers6:\x7f\0\0\x01\0\x09e";
    let tracker = MockTracker::start(vec![Script::body(reply)]);
    let mut hashes = Vec::new();
    let mut words = "add".to_owned();
    for number in 0..COUNT {
        let name = format!("seed{number:02}");
        let payload = Payload::new(number as u64, &name, 1 << 15, &[("a", 40_000)]).private();
        payload.write_to(&home.join("out"));
        let path = home.join(format!("{name}.torrent"));
        std::fs::write(&path, payload.torrent(Some(&tracker.url()))).expect("write a torrent");
        words.push_str(&format!(" {}", path.display()));
        hashes.push(payload.info_hash());
    }
    let mut first = daemon(home);
    says(home, &words);
    told(&tracker, "started", COUNT);
    let is_seeding = |it: &serde_json::Value| {
        let all = it["torrents"].as_array().expect("a list");
        all.iter().all(|it| it["state"] == "seeding")
    };
    until(home, "list --json", "seeding", is_seeding);
    end(&mut first);
    told(&tracker, "stopped", COUNT);

    // Whoever looked at its files would not find them.
    let [data, away] = ["seed03", "away"].map(|name| home.join("out").join(name));
    std::fs::rename(&data, &away).expect("take them away");
    let mut second = daemon(home);
    for line in told(&tracker, "started", COUNT).values() {
        assert!(line.contains("left=0") && line.contains("uploaded=0"), "{line}");
    }
    assert_eq!(rows_asleep(home), COUNT);
    assert_eq!(open_below(&second, &home.join("out")), 0);
    let works = |it: &serde_json::Value| it[0]["state"] == "working" && it[0]["seeds"] == 3;
    until(home, "trackers 7 --json", "answered", works);
    std::fs::rename(&away, &data).expect("bring them back");
    // Who knocks is answered, and its tracker is not told again.
    let port = until(home, "session --json", "there", |_| true)["port"].as_u64().expect("a port");
    let mut peer = TcpStream::connect(("127.0.0.1", port as u16)).expect("it listens");
    peer.set_read_timeout(Some(LIMIT)).expect("a limit");
    let hello = [b"\x13BitTorrent protocol", &[0; 8][..], &hashes[6], b"-XX0001-knockknockkn"];
    peer.write_all(&hello.concat()).expect("send it");
    let mut answer = [0; 68];
    peer.read_exact(&mut answer).expect("a handshake");
    assert_eq!(answer[28..48], hashes[6]);
    drop(peer);
    end(&mut second);
    told(&tracker, "stopped", COUNT);
    assert_eq!(tracker.requests(), Vec::<String>::new());
}
