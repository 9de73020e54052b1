//! A session with a ledger is killed at random moments, over and over in the same state directory:
//! what it said was accepted is so, and no more than the one order that it was about to accept is
//! otherwise.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use rand::{RngExt as _, SeedableRng as _};

use super::kept::keeping;
use super::*;

use crate::base::ids::TorrentId;

/// The child's home.
const HOME: &str = "PIGEON_TEST_KILLED_HOME";
const SEED: &str = "PIGEON_TEST_KILLED_SEED";
/// How many times, when not 10.
const KILLS: &str = "PIGEON_TEST_KILLS";
/// Torrents that it plays with.
const NUMBERS: u32 = 12;

/// What is known of a torrent: its number in the session, and its labels. Labels are kept with the
/// next addition or removal; until then any of the later ones may be found.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    id: u32,
    labels: Vec<String>,
}

/// What the child is: nothing when it is not told to be one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_is_killed() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let home = Path::new(&home);
    let session = Session::start(keeping(home, 1)).await.unwrap();
    for turn in 0u64.. {
        let number = rng.random_range(0..NUMBERS) as usize;
        let hash = torrent(number).info_hash_v1.unwrap();
        let known = session.find_all().await.into_iter().find(|it| it.spec.info_hash == Some(hash));
        // The line says what is begun, and the next one that it is accepted.
        match known {
            None => {
                say(&format!("begin add {number}"));
                let label = format!("{seed}.{turn}");
                let options = options(home).paused(true).labels(vec![label.clone()]);
                let handle = session.add(torrent(number), options).await.unwrap();
                say(&format!("added {number} {} {label}", handle.id().0));
            }
            Some(listed) if rng.random_bool(0.5) => {
                let label = format!("{seed}.{turn}");
                say(&format!("begin set {number} {label}"));
                let labels = Setting::Labels(vec![label.clone()]);
                session.set(listed.spec.id, labels).await.unwrap();
            }
            Some(_) => {
                say(&format!("begin remove {number}"));
                assert!(session.remove(hash).await.unwrap());
                say(&format!("removed {number}"));
            }
        }
    }
}

/// In one write: a line is there or not.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What the child's words make of what there was.
#[derive(Debug, Default)]
struct Told {
    torrents: BTreeMap<u32, Known>,
    /// The labels that each may have, the ones that it had when all was kept last first.
    labels: BTreeMap<u32, Vec<String>>,
    /// What it was about to do.
    pending: Option<(String, u32)>,
    last_id: u32,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        match words[0] {
            "begin" => {
                self.pending = Some((words[1].to_owned(), number(2)));
                if words[1] == "set" {
                    self.labels.entry(number(2)).or_default().push(words[3].to_owned());
                }
            }
            "added" => {
                self.all_is_kept();
                assert!(number(2) > self.last_id, "{line}: {} was used", self.last_id);
                self.last_id = number(2);
                let labels = vec![words[3].to_owned()];
                self.labels.insert(number(1), labels.clone());
                self.torrents.insert(number(1), Known { id: number(2), labels });
            }
            "removed" => {
                self.all_is_kept();
                self.torrents.remove(&number(1));
                self.labels.remove(&number(1));
            }
            other => panic!("{other}"),
        }
    }

    /// Whatever was set before something was accepted is on the device with that.
    fn all_is_kept(&mut self) {
        self.pending = None;
        for labels in self.labels.values_mut() {
            labels.drain(..labels.len() - 1);
        }
    }
}

#[test]
fn what_was_accepted_is_kept_however_often_it_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let kills = std::env::var(KILLS).map_or(10, |kills| kills.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let seed = rand::random();
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut told = Told::default();
    for nth in 0..kills {
        let lines = rng.random_range(1..60);
        let pause = Duration::from_micros(rng.random_range(0..3000));
        run_and_kill(home.path(), nth, lines, pause, &mut told);
        runtime.block_on(compare(home.path(), &mut told, &format!("seed {seed}, kill {nth}")));
    }
}

/// Runs the child until it has said so much, and a little longer.
fn run_and_kill(home: &Path, seed: u64, lines: usize, pause: Duration, told: &mut Told) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "session::tests::killed::the_one_that_is_killed", "--nocapture"])
        .env(HOME, home)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut count = 0;
    while let Some(Ok(line)) = said.next() {
        // The harness has words of its own.
        let Some((_, line)) = line.split_once('@') else { continue };
        told.hear(line);
        count += 1;
        if count == lines {
            let begun = std::time::Instant::now();
            while begun.elapsed() < pause {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
        }
    }
    assert!(count >= lines, "it ended by itself after {count} lines");
    child.wait().unwrap();
}

/// Compares what the next session has with what was said, and takes that over.
async fn compare(home: &Path, told: &mut Told, which: &str) {
    let session = Session::start(keeping(home, 1)).await.unwrap();
    assert_eq!(session.troubles(), [], "{which}");
    let listed = session.find_all().await;
    let mut found = BTreeMap::new();
    for spec in listed.iter().map(|listed| &listed.spec) {
        let number = spec.name.parse::<u32>().unwrap();
        found.insert(number, Known { id: spec.id.0, labels: spec.labels.clone() });
        assert!(spec.paused && listed.iter().all(|it| it.trouble.is_none()), "{which}");
    }
    let pending = told.pending.take();
    for number in 0..NUMBERS {
        let is_pending =
            |what| pending.as_ref().is_some_and(|(it, of)| it == what && *of == number);
        match (told.torrents.get(&number), found.get(&number)) {
            (None, None) => {}
            (Some(_), None) => assert!(is_pending("remove"), "{which}: {number} is lost"),
            (None, Some(_)) => assert!(is_pending("add"), "{which}: {number} came back"),
            (Some(was), Some(is)) => {
                assert_eq!(was.id, is.id, "{which}: {number}");
                let may = &told.labels[&number];
                assert!(may.contains(&is.labels[0]), "{which}: {number} {is:?}, not {may:?}");
            }
        }
    }
    let new = session.add(torrent(NUMBERS as usize), options(home)).await.unwrap();
    assert!(new.id() > TorrentId(told.last_id), "{which}: a number is used again");
    told.last_id = new.id().0;
    assert!(session.remove(torrent(NUMBERS as usize).info_hash_v1.unwrap()).await.unwrap());
    told.labels = found.iter().map(|(number, it)| (*number, it.labels.clone())).collect();
    told.torrents = found;
    session.stop().await;
}
