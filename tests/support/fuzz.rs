//! Tries a decoder with bytes that nobody would write: the corpus as it is, cut at every
//! length, and then changed at random until the time is up. Nothing may panic, nor take long.
//! Not guided by coverage; what a target finds out is its own assertions.
//!
//! The corpus of a target is the files in `tests/corpus/TARGET/`. An input that fails is kept
//! in a file, which belongs into the corpus once the decoder is mended.
//!
//! - `PIGEON_FUZZ_SECONDS`: time for each target; a third of a second without it.
//! - `PIGEON_FUZZ_SEED`: tries the same inputs again, and keeps each before it is tried, so
//!   that it is there when the process dies of it.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Longer inputs are cut.
const LEN_MAX: usize = 64 << 10;
/// Samples up to here are tried cut at every length.
const CUT_MAX: usize = 1 << 10;
/// No input of [`LEN_MAX`] takes a decoder a hundredth of it, even built without optimisation.
const TIME_MAX: Duration = Duration::from_secs(10);
/// So many changed inputs at least, however slow the machine.
const ROUNDS_MIN: u64 = 100;

/// Fuzzes one target.
///
/// # Panics
/// When it has no corpus, and when an input fails.
pub fn run(target: &str, decode: impl Fn(&[u8])) {
    let setting = |name: &str| std::env::var(name).ok();
    let seed = setting("PIGEON_FUZZ_SEED").map(|text| text.parse().expect("a number as seed"));
    let seconds = setting("PIGEON_FUZZ_SECONDS").and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs_f64(seconds.unwrap_or(0.3));
    let corpus = corpus(target);
    let attempt = Attempt {
        target,
        decode,
        seed: seed.unwrap_or_else(rand::random),
        keeps_all: seed.is_some(),
    };
    for (_, sample) in &corpus {
        attempt.run(sample);
        if sample.len() <= CUT_MAX {
            (0..sample.len()).for_each(|len| attempt.run(&sample[..len]));
        }
    }
    let mut changes = Changes {
        rng: StdRng::seed_from_u64(attempt.seed),
        words: corpus.iter().flat_map(|(_, sample)| words(sample)).collect(),
        samples: corpus.into_iter().map(|(_, sample)| sample).collect(),
    };
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || Instant::now() < end {
        attempt.run(&changes.next_input());
        rounds += 1;
    }
    println!("{target}: {rounds} inputs from seed {}", attempt.seed);
}

/// The samples of a target and their names, in an order that is the same everywhere.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    // A room's package lies below the one that has the corpus.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = above.map(|folder| folder.join("tests/corpus")).find(|folder| folder.is_dir());
    let folder = corpora.expect("a corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut samples: Vec<_> = files
        .map(|file| {
            let path = file.expect("list the corpus").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("read a sample"))
        })
        .collect();
    samples.sort();
    assert!(!samples.is_empty(), "{folder:?} is empty");
    samples
}

/// What dictionaries, ini files and addresses are made of: runs of letters and digits.
fn words(sample: &[u8]) -> Vec<Vec<u8>> {
    let words = sample.split(|byte| !byte.is_ascii_alphanumeric());
    words.filter(|word| (1..=24).contains(&word.len())).map(<[u8]>::to_vec).collect()
}

struct Attempt<'a, D> {
    target: &'a str,
    decode: D,
    seed: u64,
    keeps_all: bool,
}

impl<D: Fn(&[u8])> Attempt<'_, D> {
    fn run(&self, input: &[u8]) {
        if self.keeps_all {
            self.keep("last", input);
        }
        let begin = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (self.decode)(input)));
        let took = begin.elapsed();
        if result.is_ok() && took < TIME_MAX {
            return;
        }
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = self.keep(&format!("{:016x}", hasher.finish()), input);
        panic!(
            "an input of {} bytes fails (after {took:?}, from seed {}): {}\n\
             it is kept as {}; mend the decoder and copy it into tests/corpus/{}/",
            input.len(),
            self.seed,
            input[..input.len().min(200)].escape_ascii(),
            path.display(),
            self.target,
        );
    }

    /// Writes an input below the folder of builds, which version control leaves out.
    fn keep(&self, name: &str, input: &[u8]) -> PathBuf {
        let program = std::env::current_exe().expect("this program has a path");
        let folder = program.with_file_name("fuzz").join(self.target);
        fs::create_dir_all(&folder).expect("make a folder for failing inputs");
        let path = folder.join(name);
        fs::write(&path, input).expect("keep an input");
        path
    }
}

struct Changes {
    rng: StdRng,
    samples: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Changes {
    fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.sample();
        for _ in 0..self.rng.random_range(1..8) {
            self.change(&mut bytes);
            bytes.truncate(LEN_MAX);
        }
        bytes
    }

    fn sample(&mut self) -> Vec<u8> {
        let at = self.rng.random_range(0..self.samples.len());
        self.samples[at].clone()
    }

    /// Two places in order, rarely far from each other.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let begin = self.rng.random_range(0..=len);
        let far = if self.rng.random_ratio(1, 4) { len } else { 16 };
        (begin, begin + self.rng.random_range(0..=far.min(len - begin)))
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (begin, end) = self.range(bytes.len());
        match self.rng.random_range(0..11) {
            0 if begin < bytes.len() => bytes[begin] = self.rng.random(),
            1 if begin < bytes.len() => bytes[begin] ^= 1 << self.rng.random_range(0..8),
            2 => drop(bytes.drain(begin..end)),
            3 => bytes.truncate(begin),
            4 => {
                let copies = if self.rng.random_ratio(1, 4) { 200 } else { 1 };
                let copy = bytes[begin..end].repeat(copies);
                bytes.splice(begin..begin, copy.into_iter().take(LEN_MAX));
            }
            5 => {
                let kinds = b"ldei0-9:;=,%[({<\"' \n\0\xff";
                let kind = kinds[self.rng.random_range(0..kinds.len())];
                let count = self.rng.random_range(1..200);
                bytes.splice(begin..begin, std::iter::repeat_n(kind, count));
            }
            6 => self.number(bytes, begin),
            7 => self.digits(bytes, begin),
            8 if !self.words.is_empty() => {
                let word = self.words[self.rng.random_range(0..self.words.len())].clone();
                bytes.splice(begin..end.min(begin + word.len()), word);
            }
            9 => {
                let other = self.sample();
                bytes.truncate(begin);
                bytes.extend_from_slice(&other[begin.min(other.len())..]);
            }
            _ => {
                let (left, right) = bytes.split_at_mut(begin);
                let count = left.len().min(right.len()).min(end - begin);
                left[..count].swap_with_slice(&mut right[..count]);
            }
        }
    }

    /// Overwrites a binary number with one at a border, or a small one, as lengths are.
    fn number(&mut self, bytes: &mut [u8], begin: usize) {
        let width = [2, 4, 8][self.rng.random_range(0..3)];
        let Some(place) = bytes.get_mut(begin..begin + width) else { return };
        let small = self.rng.random_range(0..64);
        let borders = [0, 1, u64::MAX, u64::MAX >> 1, 1 << 63, 1 << 31, 0x7fff_ffff, small];
        let number = borders[self.rng.random_range(0..borders.len())];
        place.copy_from_slice(&number.to_be_bytes()[8 - width..]);
    }

    /// Replaces the next decimal number by one at a border.
    fn digits(&mut self, bytes: &mut Vec<u8>, begin: usize) {
        let Some(first) = bytes[begin..].iter().position(u8::is_ascii_digit) else { return };
        let first = begin + first;
        let count = bytes[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let borders: [&[u8]; 10] = [
            b"0",
            b"-1",
            b"1",
            b"00",
            b"65536",
            b"2147483648",
            b"4294967296",
            b"9223372036854775808",
            b"18446744073709551616",
            b"99999999999999999999999999",
        ];
        let number = borders[self.rng.random_range(0..borders.len())];
        bytes.splice(first..first + count, number.iter().copied());
    }
}
