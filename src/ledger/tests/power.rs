//! The power fails at any moment while torrents are added, changed and removed: nothing that was
//! committed is lost, nothing that was removed comes back, and what was only gathered is there or
//! not, but never half.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

const SEEDS: u64 = 100;
/// Losses of power in a row.
const CUTS: u32 = 4;

/// What was said of a torrent: none of what it is when it is not there.
type Word = Option<(Spec, Tally)>;

/// A session, and what it may find again.
struct Machine {
    model: Arc<Model>,
    ledger: Ledger,
    rng: SmallRng,
    /// As it is now.
    now: BTreeMap<u32, (Spec, Tally)>,
    /// What each torrent may be after a loss of power: what was committed, and each word since.
    words: BTreeMap<u32, Vec<Word>>,
    commits: u32,
    refused: u32,
    seed: u64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let model = Arc::new(Model::new());
        let (ledger, _) = open_model(&model).unwrap();
        let rng = SmallRng::seed_from_u64(seed);
        let (now, words) = (BTreeMap::new(), BTreeMap::new());
        Self { model, ledger, rng, now, words, commits: 0, refused: 0, seed }
    }

    fn say(&mut self, id: u32, word: Word) {
        match &word {
            Some(what) => drop(self.now.insert(id, what.clone())),
            None => drop(self.now.remove(&id)),
        }
        // Before it was there, it was not.
        self.words.entry(id).or_insert_with(|| vec![None]).push(word);
    }

    /// One of those that are there.
    fn any(&mut self) -> Option<u32> {
        let nth = self.rng.random_range(0..self.now.len().max(1));
        self.now.keys().nth(nth).copied()
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..3 => {
                let Some(id) = self.ledger.next_id() else { panic!("numbers are not used up") };
                self.ledger.add(&spec(id.0), Some(torrent(id.0))).unwrap();
                self.say(id.0, Some((spec(id.0), Tally::default())));
            }
            3..5 => {
                let Some(id) = self.any() else { return };
                let (mut spec, tally) = self.now[&id].clone();
                spec.place = Place(self.rng.random_range(0..1000));
                spec.labels = vec!["l".repeat(self.rng.random_range(0..900))];
                self.ledger.put(&spec).unwrap();
                self.say(id, Some((spec, tally)));
            }
            5 => {
                let Some(id) = self.any() else { return };
                self.ledger.remove(TorrentId(id));
                self.say(id, None);
            }
            6 => {
                let Some(id) = self.any() else { return };
                let (spec, mut tally) = self.now[&id].clone();
                tally.uploaded += 1;
                self.ledger.tally(TorrentId(id), tally);
                self.say(id, Some((spec, tally)));
            }
            _ => self.commit(),
        }
    }

    fn commit(&mut self) {
        let ticket = self.ledger.ticket();
        match self.ledger.commit() {
            Ok(()) => {
                assert!(self.ledger.committed() >= ticket && !self.ledger.has_tallies());
                self.commits += 1;
                // The last word holds.
                let ids: Vec<u32> = self.words.keys().copied().collect();
                self.words = ids.iter().map(|id| (*id, vec![self.now.get(id).cloned()])).collect();
            }
            Err(_) => self.refused += 1,
        }
    }

    /// The machine starts again with what is left.
    fn restart(&mut self, left: Model) {
        let seed = self.seed;
        self.model = Arc::new(left);
        let (ledger, restored) = open_model(&self.model).unwrap();
        self.ledger = ledger;
        let lost: Vec<_> = restored.troubles.iter().filter(|it| !is_torn(it)).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        let found: BTreeMap<u32, (Spec, Tally)> = restored
            .torrents
            .iter()
            .map(|found| (found.spec.id.0, (found.spec.clone(), found.tally)))
            .collect();
        for (id, words) in &self.words {
            let found = found.get(id);
            // A word of the count may be there without the one on the torrent, and the other way.
            let is_said = match found {
                None => words.contains(&None),
                Some((spec, tally)) => {
                    let said = || words.iter().flatten();
                    said().any(|it| it.0 == *spec) && said().any(|it| it.1 == *tally)
                }
            };
            let short = |it: &(Spec, Tally)| (it.0.place, it.0.labels[0].len(), it.1.uploaded);
            let words: Vec<_> = words.iter().map(|it| it.as_ref().map(short)).collect();
            let found = found.map(short);
            assert!(is_said, "seed {seed}: torrent {id} is {found:?}, and was {words:?}");
        }
        for torrent in &restored.torrents {
            let id = torrent.spec.id;
            assert!(self.words.contains_key(&id.0), "seed {seed}: torrent {id:?} of nowhere");
            let bytes = self.ledger.locate(id).unwrap().read().unwrap();
            assert_eq!(bytes, super::torrent(id.0), "seed {seed}, torrent {id:?}");
        }
        let next = self.ledger.next_id().unwrap().0;
        let committed = self.words.iter().filter(|(_, words)| words.len() == 1);
        assert!(committed.map(|(id, _)| *id).all(|id| id < next), "seed {seed}: {next} was used");
        // What was not committed and is not there was never said.
        self.words.retain(|id, words| words.len() == 1 || found.contains_key(id) || *id < next);
        self.words = self.words.keys().map(|id| (*id, vec![found.get(id).cloned()])).collect();
        self.now = found;
    }
}

/// Of a write that was cut off: nobody was told that it is kept.
fn is_torn(trouble: &Trouble) -> bool {
    !matches!(trouble, Trouble::NoMetadata { .. })
}

#[test]
fn after_any_loss_of_power_what_was_committed_is_there() {
    let (mut commits, mut rewritten) = (0, 0);
    for seed in 0..SEEDS {
        let mut machine = Machine::new(seed);
        for _ in 0..CUTS {
            let operations = machine.rng.random_range(1..120);
            machine.model.cut_after(operations);
            while machine.model.has_power() {
                machine.step();
            }
            rewritten += u32::from(machine.ledger.last_pack > 1);
            let left = machine.model.left(&mut machine.rng);
            machine.restart(left);
        }
        commits += machine.commits;
    }
    assert!(commits > SEEDS as u32 * CUTS * 5, "{commits} commits were tried");
    assert!(rewritten > 0, "no pack was written anew");
}

#[test]
fn a_device_that_fails_once_in_a_while_loses_nothing() {
    let (mut commits, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let mut machine = Machine::new(seed);
        for _ in 0..CUTS {
            let one_in = machine.rng.random_range(2..20);
            machine.model.fail(Some(one_in), seed);
            for _ in 0..60 {
                machine.step();
            }
            // It recovers, or loses its power at once.
            if machine.rng.random() {
                machine.model.fail(None, 0);
                machine.commit();
            }
            let left = match machine.rng.random() {
                true => machine.model.left(&mut machine.rng),
                false => machine.model.copy(),
            };
            machine.restart(left);
        }
        (commits, refused) = (commits + machine.commits, refused + machine.refused);
    }
    assert!(commits > 300 && refused > 300, "{commits} commits, {refused} refused");
}

#[test]
fn a_full_disk_keeps_what_was_and_takes_the_rest_when_there_is_room() {
    for seed in 0..SEEDS {
        let mut machine = Machine::new(seed);
        for _ in 0..30 {
            machine.step();
        }
        machine.commit();
        let used: usize =
            machine.model.file_names().iter().map(|it| machine.model.bytes(it).len()).sum();
        machine.model.limit(Some(used as u64 + machine.rng.random_range(0..2000)));
        for _ in 0..60 {
            machine.step();
        }
        let full = machine.model.copy();
        let now = machine.now.clone();
        machine.model.limit(None);
        machine.commit();
        machine.restart(machine.model.left(&mut machine.rng.clone()));
        assert_eq!(machine.now, now, "seed {seed}");
        assert!(open_model(&Arc::new(full)).is_ok(), "seed {seed}");
    }
}
