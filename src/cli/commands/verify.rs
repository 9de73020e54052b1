//! `driver verify`: compares data on disk with a torrent's hashes and says of each file what
//! is right, and of a wrong one which bytes are not. It changes nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::base::digest::Sha256Hash;
use crate::base::meter::Pace;
use crate::base::units::{average, elapsed, rate, size};
use crate::cli::args::Common;
use crate::cli::attend::{Words, attend};
use crate::cli::catalogue::ask;
use crate::cli::config::existing_state_dir;
use crate::cli::engine;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::given::Given;
use crate::cli::memory::memory_for;
use crate::cli::out;
use crate::cli::place::{elsewhere_words, followed_home};
use crate::cli::print::{WAITING, counted, grouped, pace_words};
use crate::cli::sums::{self, LIST_LEN_MAX, SumsList};
use crate::disk::{CheckProgress, CheckReport, FileCheck, FileReport, Home, home_of, lasting};
use crate::metainfo::Torrent;

/// More ranges of a file than this are only counted on the screen.
const RANGES_SHOWN: usize = 10;

/// Checks the data of the torrent `given` under `dir`; 0 when all of it is right, 5 when some
/// cannot be read, else 6.
///
/// # Errors
/// When the torrent is invalid, there is no such directory, or the user stopped it.
pub fn run(given: &Path, dir: &Path, sums: Option<&Path>, json: bool, common: &Common) -> Outcome {
    let memory_bytes = memory_for(common)?.alone_bytes();
    let list = sums.map(|path| sums_list(path, common.quiet)).transpose()?;
    let (egress, mut told) = (common.ways.egress(), Vec::new());
    let torrent = Arc::new(ask(Given::of(given)?.torrent(&egress, &mut told))?.torrent);
    if !common.quiet {
        told.iter().for_each(|line| out::talk_wrapped(&format!("driver: {line}")));
    }
    if let Some((list, path)) = list.as_ref().zip(sums) {
        names_any(list, &torrent, path)?;
    }
    let home = home_for(&torrent, dir, common.quiet)?;
    let progress = Arc::new(CheckProgress::default());
    let work = {
        let (torrent, progress, home) = (torrent.clone(), progress.clone(), home.clone());
        let wants_sums = list.is_some();
        move || {
            let (mut report, sums) = match wants_sums {
                true => engine::check_and_sum(&torrent, &home, &progress, memory_bytes)?,
                false => (engine::check(&torrent, &home, &progress, memory_bytes)?, Vec::new()),
            };
            let by_v2 = engine::right_by_v2(&torrent, &home, &mut report, memory_bytes);
            Ok::<_, Failure>((report, sums, by_v2))
        }
    };
    let (begun, mut pace) = (Instant::now(), Pace::new(Instant::now()));
    let words = |now| match progress.is_waiting() {
        true => Words::Waiting(WAITING),
        false => {
            let bytes = progress.bytes();
            Words::Going(pace_words("checking", bytes, pace.on_done(bytes.0, now)))
        }
    };
    let report = attend(work, words, Some(|| progress.cancel()), common.quiet)?.transpose()?;
    let report = report.filter(|(report, ..)| !report.is_cancelled);
    let Some((report, sums, by_v2)) = report else {
        return Err(Failure::new(Exit::Incomplete, stopped_words(&progress)));
    };
    for path in &by_v2 {
        let path = escape(&path.to_string_lossy());
        out::talk_wrapped(&format!(
            "driver: {path} is right by version 2, but not by version 1, whose hashes are wrong: \
             a download by these cannot be complete"
        ));
    }
    let mut looked = Looked::new(&torrent, &home, &report, progress.bytes().0, begun.elapsed());
    if let Some(list) = &list {
        looked.compare(&torrent, list, &sums);
    }
    if json {
        out::deliver_json(&looked.as_json())?;
    } else {
        out::deliver(&out::wrapped(&looked.screen(Telling::of(common))))?;
        let is_nothing_there = looked.files.iter().all(|it| it.report.check == FileCheck::Missing);
        let hint = elsewhere_words(&torrent, dir);
        if is_nothing_there && !hint.is_empty() {
            out::talk_wrapped(&format!("driver: {hint}"));
        }
    }
    Ok(match looked.is_complete() {
        true => Exit::Done,
        false if report.unreadable.is_some() => Exit::Disk,
        false => Exit::Mismatch,
    })
}

/// Where to look for somebody who names this directory: there, under the names that a run gave to
/// files, or where one moved them to, if nothing of the torrent's name is there.
fn home_for(torrent: &Torrent, dir: &Path, is_quiet: bool) -> Result<Home, Failure> {
    let real = followed_home(torrent, dir)?;
    let is_there = dir.join(&torrent.name).symlink_metadata().is_ok();
    let known = existing_state_dir()
        .zip(torrent.info_hash_v1)
        .and_then(|(state, hash)| home_of(&state, hash, dir));
    Ok(match known {
        Some(home) if is_there && home.dir == lasting(&real.dir) => {
            Home { names: names_in(torrent, &real, home.names), ..real }
        }
        Some(_) if is_there => real,
        // As it was named.
        Some(home) if home.dir == lasting(dir) => Home { dir: dir.to_owned(), ..home },
        Some(home) => {
            if !is_quiet {
                let place = escape(&home.dir.display().to_string());
                out::talk_wrapped(&format!(
                    "driver: looking in {place}: its files were moved there"
                ));
            }
            home
        }
        None => real,
    })
}

/// Of the names that a run gave to files, those that are there, and those of files that are not
/// there as the torrent calls them either. In a folder that has another name they mean nothing.
fn names_in(
    torrent: &Torrent,
    home: &Home,
    mut names: BTreeMap<u32, PathBuf>,
) -> BTreeMap<u32, PathBuf> {
    let is_there = |path: &Path| home.dir.join(path).symlink_metadata().is_ok();
    names.retain(|number, name| {
        let file = torrent.files.iter().nth(*number as usize);
        is_there(name) || file.is_some_and(|file| !is_there(&home.path_of(*number, file.path)))
    });
    names
}

/// Why there is no report.
fn stopped_words(progress: &CheckProgress) -> String {
    let (done, total) = progress.bytes();
    match total {
        0 => "stopped before anything was looked at".to_owned(),
        _ => format!("stopped: {} of {} looked at", size(done), size(total)),
    }
}

/// How much of it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Telling {
    /// Wrong files.
    Wrong,
    /// Those, and how many are right.
    Short,
    /// All files.
    All,
}

impl Telling {
    fn of(common: &Common) -> Self {
        match (common.quiet, common.verbose) {
            (true, _) => Self::Wrong,
            (false, 0) => Self::Short,
            (false, _) => Self::All,
        }
    }
}

/// What came of it.
struct Looked<'a> {
    /// All files but padding.
    files: Vec<LookedAt<'a>>,
    /// The files were compared with a list of sums.
    has_sums: bool,
    report: &'a CheckReport,
    read_bytes: u64,
    time: Duration,
}

/// What came of one file.
struct LookedAt<'a> {
    path: PathBuf,
    length: u64,
    report: &'a FileReport,
    /// As it is, and as a list says.
    sum: Option<Sha256Hash>,
    listed: Option<Sha256Hash>,
}

impl LookedAt<'_> {
    fn is_good(&self) -> bool {
        self.report.check == FileCheck::Whole && self.is_as_listed() != Some(false)
    }

    /// Whether it has the sum that is listed; none where either is unknown.
    fn is_as_listed(&self) -> Option<bool> {
        self.sum.zip(self.listed).map(|(sum, listed)| sum == listed)
    }

    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<String> {
        let differs = || (self.is_as_listed() == Some(false)).then(|| "sum differs".to_owned());
        problem(self.length, self.report).or_else(differs)
    }
}

impl<'a> Looked<'a> {
    fn new(
        torrent: &Torrent,
        home: &Home,
        report: &'a CheckReport,
        read_bytes: u64,
        time: Duration,
    ) -> Self {
        let files = (0..).zip(torrent.files.iter()).zip(&report.files);
        let files =
            files.filter(|((_, file), _)| !file.is_pad).map(|((number, file), report)| LookedAt {
                path: home.path_of(number, file.path),
                length: file.length,
                report,
                sum: None,
                listed: None,
            });
        Self { files: files.collect(), has_sums: false, report, read_bytes, time }
    }

    /// Compares the sums of all files, by their number, with those of a list. A file of another
    /// length than the torrent's has none.
    fn compare(&mut self, torrent: &Torrent, list: &SumsList, sums: &[Option<Sha256Hash>]) {
        let files = torrent.files.iter().zip(sums).filter(|(file, _)| !file.is_pad);
        for (looked, (file, sum)) in self.files.iter_mut().zip(files) {
            let is_there = matches!(looked.report.check, FileCheck::Whole | FileCheck::Wrong(_));
            looked.sum = sum.filter(|_| is_there);
            looked.listed = list.of(torrent, &file);
        }
        self.has_sums = true;
    }

    fn is_complete(&self) -> bool {
        self.files.iter().all(LookedAt::is_good)
    }

    /// Files with the sum that is listed, with another one, and all that are listed.
    fn sums(&self) -> [usize; 3] {
        let count = |is: &dyn Fn(&&LookedAt<'_>) -> bool| self.files.iter().filter(is).count();
        [
            count(&|file| file.is_as_listed() == Some(true)),
            count(&|file| file.is_as_listed() == Some(false)),
            count(&|file| file.listed.is_some()),
        ]
    }

    fn rate(&self) -> u64 {
        (self.read_bytes as f64 / self.time.as_secs_f64().max(0.001)) as u64
    }

    fn as_json(&self) -> Value {
        let files = self.files.iter().map(|file| file_json(file, self.has_sums));
        let files: Vec<_> = files.collect();
        let [right, wrong, listed] = self.sums();
        let CheckReport { have, looked_at, .. } = self.report;
        json!({
            "complete": self.is_complete(),
            "pieces": {
                "count": have.piece_count(),
                "right": have.ones(),
                "wrong": looked_at.ones() - have.ones(),
                "unread": have.piece_count() - looked_at.ones(),
            },
            "bytes_read": self.read_bytes,
            "seconds": self.time.as_secs_f64(),
            "rate": self.rate(),
            "sums": self.has_sums.then(|| {
                json!({ "right": right, "wrong": wrong, "unlisted": self.files.len() - listed })
            }),
            "files": files,
        })
    }

    fn screen(&self, telling: Telling) -> String {
        let mut screen = String::new();
        let is_told = |file: &&LookedAt<'_>| telling == Telling::All || !file.is_good();
        for file in self.files.iter().filter(is_told) {
            let words = file.problem().unwrap_or_else(|| "ok".to_owned());
            screen += &format!("{words:<32}  {}\n", escape(&file.path.to_string_lossy()));
            let report = file.report;
            screen += &ranges("wrong", &report.wrong);
            // Of a file that is not there all is missing, and of one cut short the end.
            if !matches!(report.check, FileCheck::Missing) && report.unreadable.is_none() {
                screen += &ranges("not checked", &report.unread);
            }
        }
        if telling == Telling::Wrong {
            return screen;
        }
        let good = self.files.iter().filter(|file| file.is_good()).count();
        screen += &format!("{good} of {} ok", counted(self.files.len() as u64, "file"));
        if self.read_bytes > 0 {
            screen += &format!("   {} read in {}", size(self.read_bytes), elapsed(self.time));
            let average = average(self.read_bytes, self.time);
            screen += &average.map(|it| format!(", {}", rate(it))).unwrap_or_default();
        }
        screen += "\n";
        if self.has_sums {
            let [right, _, listed] = self.sums();
            screen += &format!("{right} of {} right", counted(listed as u64, "sum"));
            if let Some(more @ 1..) = self.files.len().checked_sub(listed) {
                screen += &format!("   {} not in the list", counted(more as u64, "file"));
            }
            screen += "\n";
        }
        screen
    }
}

/// The list of sums at a path.
fn sums_list(path: &Path, is_quiet: bool) -> Result<SumsList, Failure> {
    let shown = escape(&path.display().to_string());
    let bad = |why: String| Failure::bad_input(format!("{shown}: {}", escape(&why)));
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    let mut text = Vec::new();
    let read = file.take(LIST_LEN_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| bad(error.to_string()))?;
    if text.len() as u64 > LIST_LEN_MAX {
        return Err(bad(format!("a list of sums of more than {}", size(LIST_LEN_MAX))));
    }
    let list = SumsList::parse(&text).map_err(|why| bad(format!("no list of sums: {why}")))?;
    if list.odd_lines > 0 && !is_quiet {
        let lines = counted(list.odd_lines as u64, "line");
        out::talk_wrapped(&format!("driver: {shown}: {lines} without a sum left out"));
    }
    Ok(list)
}

/// Refuses a list that is of something else, before anything is read.
fn names_any(list: &SumsList, torrent: &Torrent, path: &Path) -> Result<(), Failure> {
    let mut files = torrent.files.iter().filter(|file| !file.is_pad);
    if files.any(|file| list.of(torrent, &file).is_some()) {
        return Ok(());
    }
    let shown = escape(&path.display().to_string());
    Err(Failure::bad_input(format!(
        "{shown} has no sum of any of the torrent's files: is it of something else, or are its \
         names others? driver info --files tells those of the torrent"
    )))
}

fn file_json(file: &LookedAt<'_>, has_sums: bool) -> Value {
    let LookedAt { path, length, report, sum, .. } = file;
    let length = *length;
    let (state, present) = match report.check {
        FileCheck::Whole => ("ok", Some(length)),
        _ if report.unreadable.is_some() => ("unreadable", None),
        FileCheck::Missing => ("missing", None),
        FileCheck::TooShort(present) => ("too_short", Some(present)),
        FileCheck::TooLong(present) => ("too_long", Some(present)),
        FileCheck::Wrong(_) => ("wrong", Some(length)),
    };
    let pairs = |ranges: &[Range<u64>]| -> Vec<[u64; 2]> {
        ranges.iter().map(|range| [range.start, range.end]).collect()
    };
    let mut shown = json!({
        "path": path.to_string_lossy(),
        "length": length,
        "ok": file.is_good(),
        "state": state,
        "problem": file.problem(),
        "present_length": present,
        "pieces": report.piece_count,
        "wrong_pieces": report.wrong_pieces,
        "wrong_bytes": bytes_in(&report.wrong),
        "wrong": pairs(&report.wrong),
        "unread_bytes": bytes_in(&report.unread),
        "unread": pairs(&report.unread),
    });
    if has_sums {
        shown["sha256"] = sum.as_ref().map(sums::hex).into();
        shown["sha256_ok"] = file.is_as_listed().into();
    }
    shown
}

/// What is wrong with the file, if anything.
fn problem(length: u64, report: &FileReport) -> Option<String> {
    let wrong = match report.wrong_pieces {
        0 => None,
        pieces => Some(format!("{} wrong", counted(pieces.into(), "piece"))),
    };
    match (&report.unreadable, report.check) {
        (_, FileCheck::Whole) => None,
        (Some(why), _) => Some(format!("unreadable: {}", escape(why))),
        (_, FileCheck::Missing) => Some("missing".to_owned()),
        (_, FileCheck::TooShort(is)) => {
            let (is, length) = told_apart(is, length);
            Some(format!("too short: {is} of {length}"))
        }
        (_, FileCheck::TooLong(is)) => {
            let (is, length) = told_apart(is, length);
            Some(format!("too long: {is}, not {length}"))
        }
        (_, FileCheck::Wrong(pieces)) => {
            wrong.or_else(|| Some(format!("{} not checked", counted(pieces.into(), "piece"))))
        }
    }
}

/// Two lengths, to the byte where they would look the same.
fn told_apart(one: u64, other: u64) -> (String, String) {
    let bytes = |len| format!("{} bytes", grouped(len));
    match (size(one), size(other)) {
        (a, b) if a == b => (bytes(one), bytes(other)),
        sizes => sizes,
    }
}

/// Lines that name bytes of a file, first and last.
fn ranges(what: &str, ranges: &[Range<u64>]) -> String {
    let mut lines = String::new();
    for Range { start, end } in ranges.iter().take(RANGES_SHOWN) {
        lines += &format!("  {what}: bytes {start}-{} ({})\n", end - 1, size(end - start));
    }
    if let Some(more @ 1..) = ranges.len().checked_sub(RANGES_SHOWN) {
        let bytes = size(bytes_in(ranges));
        lines += &format!("  {what}: and {more} more ranges, {bytes} in all\n");
    }
    lines
}

fn bytes_in(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bitfield::Bitfield;

    fn report(check: FileCheck) -> FileReport {
        FileReport {
            check,
            piece_count: 4,
            wrong_pieces: 0,
            wrong: Vec::new(),
            unread: Vec::new(),
            unreadable: None,
        }
    }

    fn span(begin: u64, end: u64) -> Vec<Range<u64>> {
        std::iter::once(begin..end).collect()
    }

    fn looked<'a>(files: &[(&'a str, &'a FileReport)], whole: &'a CheckReport) -> Looked<'a> {
        let looked_at = |(path, report): &(&str, &'a FileReport)| LookedAt {
            path: PathBuf::from(*path),
            length: 2048,
            report,
            sum: None,
            listed: None,
        };
        let files = files.iter().map(looked_at).collect();
        let time = Duration::from_secs(2);
        Looked { files, has_sums: false, report: whole, read_bytes: 4096, time }
    }

    fn none_right(pieces: u32) -> CheckReport {
        CheckReport {
            have: Bitfield::none(pieces),
            looked_at: Bitfield::all(pieces),
            files: Vec::new(),
            unreadable: None,
            is_cancelled: false,
        }
    }

    #[test]
    fn every_file_has_its_verdict() {
        let whole = none_right(4);
        let wrong = FileReport {
            wrong_pieces: 1,
            wrong: span(0, 1024),
            unread: span(1024, 1025),
            ..report(FileCheck::Wrong(2))
        };
        let unreadable = FileReport {
            unreadable: Some("denied\x07".into()),
            unread: span(0, 9),
            ..report(FileCheck::Missing)
        };
        let unread = FileReport { unread: span(0, 9), ..report(FileCheck::Wrong(1)) };
        let missing = FileReport { unread: span(0, 2048), ..report(FileCheck::Missing) };
        let short = FileReport { unread: span(1000, 2048), ..report(FileCheck::TooShort(1024)) };
        let (good, long) = (report(FileCheck::Whole), report(FileCheck::TooLong(4096)));
        let files = [
            ("a/b", &good),
            ("c\x07", &wrong),
            ("d", &missing),
            ("e", &short),
            ("f", &long),
            ("g", &unread),
            ("h", &unreadable),
        ];
        let looked = looked(&files, &whole);
        let expected = "\
ok                                a/b
1 piece wrong                     c\\x07
  wrong: bytes 0-1023 (1.0 KiB)
  not checked: bytes 1024-1024 (1 B)
missing                           d
too short: 1.0 KiB of 2.0 KiB     e
  not checked: bytes 1000-2047 (1.0 KiB)
too long: 4.0 KiB, not 2.0 KiB    f
1 piece not checked               g
  not checked: bytes 0-8 (9 B)
unreadable: denied\\x07            h
1 of 7 files ok   4.0 KiB read in 2.0s, 2.0 KiB/s
";
        assert_eq!(looked.screen(Telling::All), expected);
        let wrong_ones = expected.replace("ok                                a/b\n", "");
        assert_eq!(looked.screen(Telling::Short), wrong_ones);
        let end = wrong_ones.find("1 of 7").unwrap();
        assert_eq!(looked.screen(Telling::Wrong), wrong_ones[..end]);
        let object = looked.as_json();
        let states: Vec<_> = object["files"].as_array().unwrap().iter().collect();
        let states: Vec<_> = states.iter().map(|file| file["state"].as_str().unwrap()).collect();
        let expected = ["ok", "wrong", "missing", "too_short", "too_long", "wrong", "unreadable"];
        assert_eq!(states, expected);
        assert_eq!(object["files"][1]["wrong"], json!([[0, 1024]]));
        assert_eq!(object["files"][1]["unread"], json!([[1024, 1025]]));
        assert_eq!(object["files"][3]["present_length"], 1024);
        assert_eq!(object["rate"], 2048);
    }

    #[test]
    fn lengths_that_look_the_same_are_told_to_the_byte() {
        let said = |check| problem(100_000, &report(check)).unwrap();
        assert_eq!(said(FileCheck::TooLong(100_001)), "too long: 100,001 bytes, not 100,000 bytes");
        assert_eq!(said(FileCheck::TooShort(99_999)), "too short: 99,999 bytes of 100,000 bytes");
        assert_eq!(said(FileCheck::TooShort(9)), "too short: 9 B of 97.7 KiB");
    }

    #[test]
    fn many_ranges_are_counted_on_the_screen_and_told_in_json() {
        let whole = none_right(40);
        let all: Vec<Range<u64>> = (0..12).map(|at| at * 100..at * 100 + 50).collect();
        let wrong = FileReport { wrong_pieces: 12, wrong: all, ..report(FileCheck::Wrong(12)) };
        let looked = looked(&[("a", &wrong)], &whole);
        let screen = looked.screen(Telling::Short);
        assert_eq!(screen.matches("  wrong: bytes").count(), 10);
        assert!(screen.contains("\n  wrong: and 2 more ranges, 600 B in all\n"), "{screen}");
        let object = looked.as_json();
        assert_eq!(object["files"][0]["wrong"].as_array().unwrap().len(), 12);
        assert_eq!(object["files"][0]["wrong_bytes"], 600);
        assert_eq!(object["pieces"], json!({"count": 40, "right": 0, "wrong": 40, "unread": 0}));
        assert_eq!(ranges("wrong", &[]), "");
    }
}
