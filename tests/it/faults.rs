//! Disks that misbehave while the program runs: full, read-only, unmounted, hung, and files that
//! others change. The file systems are real and small ([`mounts`]). What is asked each time: a
//! word that names the file and the reason, rest, other torrents that go on, no restart needed,
//! and the right bytes in the end.

mod few_fds;
mod full;
mod gone;
mod hung;
pub mod mounts;
mod touched;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::run::{LIMIT, Running};
use crate::many::{PIECE, Place};
use crate::process::driver;

impl Place {
    /// Where the program keeps its records.
    fn state(&self) -> PathBuf {
        self.home.path().join("state/driver")
    }

    fn command_into(&self, dir: &str) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path());
        command.args(["--no-trackers", "--port", "0", "--json", "--repl", "--dir", dir]);
        for (seeder, name) in self.seeders.iter().zip(["a.torrent", "b.torrent"]) {
            command.arg(name).arg("--peer").arg(seeder.address().to_string());
        }
        command
    }

    /// Starts all of them; they are in `out`.
    fn start_told(&self) -> Told {
        Told::of(Running::start(self.command_into("out").arg("-e")))
    }

    fn hash(&self, number: usize) -> String {
        self.payloads[number].info_hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes that were fetched in vain.
    fn wasted(&self, number: usize) -> u64 {
        let served = self.seeders[number].served_bytes();
        served.checked_sub(self.payloads[number].len()).expect("every byte was served")
    }
}

/// The program and the events it tells.
struct Told {
    running: Running,
    all: Vec<Value>,
    /// Lines of answers that were not asked for yet.
    answered: VecDeque<String>,
}

impl Told {
    fn of(running: Running) -> Self {
        Self { running, all: Vec::new(), answered: VecDeque::new() }
    }

    /// Waits for an event of this name, of this torrent if there are several.
    #[track_caller]
    fn event(&mut self, name: &str, info_hash: Option<&str>) -> Value {
        let deadline = Instant::now() + LIMIT;
        let is_wanted = |event: &Value| {
            let is_of = info_hash.is_none_or(|hash| event["info_hash"] == hash);
            event["event"] == name && is_of
        };
        if let Some(known) = self.all.iter().find(|event| is_wanted(event)) {
            return known.clone();
        }
        loop {
            assert!(Instant::now() < deadline, "no {name} in {:#?}", self.all);
            let line = self.running.line("");
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            self.all.push(event.clone());
            if is_wanted(&event) {
                return event;
            }
        }
    }

    /// Types `typed`, unless that is empty, and waits for a line that begins with `answer`.
    #[track_caller]
    fn ask(&mut self, typed: &str, answer: &str) {
        if !typed.is_empty() {
            self.running.type_line(typed);
        }
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            while let Some(line) = self.answered.pop_front() {
                if line.starts_with(answer) {
                    return;
                }
                seen.push(line);
            }
            assert!(Instant::now() < deadline, "no {answer:?} in {seen:#?}");
            let line = self.running.line("{");
            let event: Value = serde_json::from_str(&line).expect("a JSON line");
            match event["text"].as_str() {
                Some(text) if event["event"] == "answer" => {
                    self.answered.extend(text.lines().map(str::to_owned));
                }
                _ => self.all.push(event),
            }
        }
    }

    /// The message of the next trouble, which has to come within five seconds of `since`.
    #[track_caller]
    fn trouble(&mut self, since: Instant, info_hash: Option<&str>) -> String {
        let event = self.event("disk_trouble", info_hash);
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "told after {took:?}: {event}");
        event["message"].as_str().expect("a message").to_owned()
    }

    /// Waits for this message among those of troubles: what was noticed first may be a part of it.
    #[track_caller]
    fn told_of(&mut self, message: &str) {
        while self.trouble(Instant::now(), None) != message {
            self.all.retain(|event| event["event"] != "disk_trouble");
        }
    }

    fn count(&self, name: &str) -> usize {
        self.all.iter().filter(|event| event["event"] == name).count()
    }

    /// The share of one processor that it takes in the next two seconds.
    fn load(&self) -> f64 {
        let before = ticks(self.running.id());
        let span = Duration::from_secs(2);
        std::thread::sleep(span);
        // Linux counts 100 ticks a second.
        (ticks(self.running.id()) - before) as f64 / 100.0 / span.as_secs_f64()
    }

    /// Its end, by itself, with everything complete.
    #[track_caller]
    fn end(&mut self) {
        self.event("completed", None);
        let ran = self.running.wait();
        self.all.extend(ran.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()));
        assert_eq!(ran.code, Some(0), "{}\n{:#?}", ran.stderr, self.all);
    }
}

/// Processor time used so far.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    // Fields 14 and 15 of all; the first here is the third.
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().expect("a number")).sum()
}
