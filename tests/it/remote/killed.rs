//! `kill -9` of the daemon while scripts work with it and others listen: whoever asks again what
//! was not answered sees each change once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{LIMIT, daemon, remote, says, torrent};
use crate::process::{Process, driver};

const SCRIPTS: u32 = 3;
/// Every so many of what a script takes in is a link, which nobody answers.
const LINK_IN: u32 = 2;
/// What each of them takes in.
const TORRENTS: u32 = 6;
/// After so many commands, of all scripts, the daemon is killed each time.
const KILLED_EVERY: u32 = 11;
/// A daemon that is killed is back soon.
const ASKED_AGAIN: Duration = Duration::from_millis(50);

/// A script that asks again until it is answered.
struct Script<'a> {
    home: &'a Path,
    /// Commands that were begun, by all.
    begun: &'a AtomicU32,
}

impl Script<'_> {
    /// Has that done.
    fn insists(&self, words: &[&str]) {
        let deadline = Instant::now() + LIMIT;
        for count in 1.. {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let (code, said, talked) = remote(self.home, words);
            match code {
                Some(0) => return,
                // Nobody is there, or it went away before it answered.
                Some(4) => assert!(Instant::now() < deadline, "{words:?}: {talked}"),
                // It was done, and only the answer was lost.
                Some(2) if words[0] == "remove" && count > 1 => return,
                _ => panic!("{words:?}: {code:?} {said}{talked}"),
            }
            thread::sleep(ASKED_AGAIN);
        }
    }

    /// Takes torrents in, sets something of each, and takes every third out. Gives the hashes of
    /// the others, with their labels.
    fn run(&self, number: u32) -> BTreeMap<String, String> {
        let mut kept = BTreeMap::new();
        for at in 0..TORRENTS {
            let name = format!("of{number}at{at}");
            let label = format!("label-{number}-{at}");
            let count = number * TORRENTS + at;
            let given = match at % LINK_IN {
                0 => format!("magnet:?xt=urn:btih:{count:040x}&dn={name}"),
                _ => torrent(self.home, count.into(), &name),
            };
            self.insists(&["add", &given, "--paused"]);
            self.insists(&["label", &name, &label]);
            self.insists(&["limit", &name, "up", "123K"]);
            self.insists(&["top", &name]);
            if at % 3 == 2 {
                self.insists(&["remove", &name]);
            } else {
                kept.insert(name, label);
            }
        }
        kept
    }
}

#[test]
fn scripts_that_ask_again_see_each_change_once() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let mut running = daemon(home);
    let mut listens = driver(home);
    listens.args(["remote", "log", "--follow", "--json"]);
    let listener = Process::start("listener", listens, home);
    let begun = AtomicU32::new(0);
    let mut kills = 0;
    let kept = thread::scope(|scope| {
        let scripts: Vec<_> = (0..SCRIPTS)
            .map(|number| {
                scope.spawn({
                    let begun = &begun;
                    move || Script { home, begun }.run(number)
                })
            })
            .collect();
        while !scripts.iter().all(|script| script.is_finished()) {
            if begun.load(Ordering::Relaxed) >= (kills + 1) * KILLED_EVERY {
                running.kill();
                kills += 1;
                running = daemon(home);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let all = scripts.into_iter().flat_map(|script| script.join().expect("a script ends"));
        all.collect::<BTreeMap<_, _>>()
    });
    assert!(kills >= 4, "{kills} kills");

    let check = || {
        let list: Value = serde_json::from_str(&says(home, "list --json")).expect("JSON");
        let list = list["torrents"].as_array().expect("a list").clone();
        let names = list.iter().map(|it| it["name"].as_str().expect("a name").to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), kept.keys().cloned().collect());
        assert_eq!(list.len(), kept.len(), "nothing is there twice");
        for it in &list {
            let label = &kept[it["name"].as_str().expect("a name")];
            assert_eq!((&it["labels"], &it["state"]), (&json!([label]), &json!("paused")));
            assert_eq!(it["limits"]["up"], 123_000, "{it}");
        }
        list.iter().map(|it| it["id"].as_u64().expect("a number")).collect::<BTreeSet<_>>()
    };
    let ids = check();
    running.kill();
    let _last = daemon(home);
    assert_eq!(check(), ids, "numbers stay");

    let last = torrent(home, 1000, "last");
    says(home, &format!("add {last} --paused"));
    let added = wait_for_last(home, &listener, "last");
    assert_eq!(added.values().filter(|count| **count > 1).count(), 0, "{added:?}");
}

/// How often the listener was told that each was added, when it has heard of the one of this name.
fn wait_for_last(home: &Path, listener: &Process, name: &str) -> BTreeMap<u64, u32> {
    let list: Value = serde_json::from_str(&says(home, "list --json")).expect("JSON");
    let list = list["torrents"].as_array().expect("a list");
    let last = list.iter().find(|it| it["name"] == name).expect("it is there");
    let deadline = Instant::now() + LIMIT;
    loop {
        let output = listener.output();
        let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let added = events.filter(|event| event["event"] == "added");
        let mut count = BTreeMap::new();
        added.for_each(|it| *count.entry(it["id"].as_u64().expect("a number")).or_insert(0) += 1);
        if count.contains_key(&last["id"].as_u64().expect("a number")) {
            return count;
        }
        assert!(Instant::now() < deadline, "it does not hear:\n{output}");
        thread::sleep(ASKED_AGAIN);
    }
}
