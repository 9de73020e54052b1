//! `driver resume`: lists the records of earlier downloads in the state directory, and clears those
//! that nobody needs any more. What a running program has is never touched, nor is any data.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::base::ids::InfoHash;
use crate::base::units::{duration, size};
use crate::cli::args::ResumeCommand;
use crate::cli::config::state_dir;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::{counted, wrap};
use crate::session::{Cleared, KeptRecord, kept_records};

const DAY: Duration = Duration::from_secs(86_400);

/// Which records are meant: those that are all of it.
#[derive(Debug)]
struct Meant {
    hashes: BTreeSet<InfoHash>,
    older_than: Option<Duration>,
    missing: bool,
}

impl Meant {
    fn is(&self, record: &KeptRecord, now: SystemTime) -> bool {
        let unused = now.duration_since(record.used).unwrap_or_default();
        (self.hashes.is_empty() || self.hashes.contains(&record.info_hash))
            && self.older_than.is_none_or(|time| unused > time)
            && (!self.missing || record.is_missing())
    }
}

/// Does it.
///
/// # Errors
/// When it is not said which are to be cleared, one that is named is not there (3) or in use (8),
/// or the directory cannot be read or changed (5).
pub fn run(command: &ResumeCommand) -> Outcome {
    let dir = state_dir()?;
    let now = SystemTime::now();
    let records = kept_records(&dir).map_err(|error| on_disk(&dir, &error))?;
    match command {
        ResumeCommand::List { json: true } => {
            let all: Vec<Value> = records.iter().map(about).collect();
            let dir = dir.to_string_lossy();
            out::deliver_json(&json!({ "state_dir": dir, "records": all }))?;
            Ok(Exit::Done)
        }
        ResumeCommand::List { json: false } => {
            out::deliver(&screen(&records, &dir, now, out::line_columns()))?;
            Ok(Exit::Done)
        }
        ResumeCommand::Clear { hashes, older_than, missing, all, dry_run, json } => {
            let is_any = !hashes.is_empty() || older_than.is_some() || *missing || *all;
            if !is_any {
                let words = "which ones? name info hashes, --older-than DAYS, --missing, or --all";
                return Err(Failure::usage(words));
            }
            let meant = Meant {
                hashes: hashes.iter().copied().collect(),
                older_than: older_than.map(|days| DAY * days),
                missing: *missing,
            };
            if let Some(unknown) =
                hashes.iter().find(|hash| !records.iter().any(|record| record.info_hash == **hash))
            {
                let words =
                    format!("{unknown}: nothing is kept of it: driver resume list shows all");
                return Err(Failure::bad_input(words));
            }
            let chosen: Vec<_> = records.iter().filter(|it| meant.is(it, now)).collect();
            let done = clear(&chosen, *dry_run)?;
            done.tell(*dry_run, *json)?;
            let is_held = !meant.hashes.is_empty() && !done.left.is_empty();
            Ok(if is_held { Exit::InUse } else { Exit::Done })
        }
    }
}

/// What came of clearing.
struct Done<'a> {
    cleared: Vec<&'a KeptRecord>,
    /// Those that were left alone, and why.
    left: Vec<(&'a KeptRecord, &'static str)>,
}

fn clear<'a>(chosen: &[&'a KeptRecord], is_dry: bool) -> Result<Done<'a>, Failure> {
    let mut done = Done { cleared: Vec::new(), left: Vec::new() };
    for &record in chosen {
        let came = match (is_dry, record.is_in_use) {
            (true, true) => Cleared::InUse,
            (true, false) => Cleared::Done,
            (false, _) => record.clear().map_err(|error| on_disk(&record.path, &error))?,
        };
        match came {
            Cleared::Done => done.cleared.push(record),
            Cleared::InUse => done.left.push((record, "a running program has it")),
            Cleared::Moving => {
                done.left.push((record, "its files are being moved: start it once more"));
            }
        }
    }
    Ok(done)
}

impl Done<'_> {
    fn tell(&self, is_dry: bool, is_json: bool) -> Result<(), Failure> {
        let bytes: u64 = self.cleared.iter().map(|record| record.len_bytes).sum();
        if is_json {
            let left = self.left.iter().map(|(record, why)| {
                json!({ "info_hash": record.info_hash.to_string(), "message": why })
            });
            return out::deliver_json(&json!({
                "dry_run": is_dry,
                "cleared": self.cleared.iter().map(|record| about(record)).collect::<Vec<_>>(),
                "left": left.collect::<Vec<_>>(),
                "bytes": bytes,
            }));
        }
        for (record, why) in &self.left {
            out::talk_wrapped(&format!("driver: {} is left: {why}", record.info_hash));
        }
        let mut text: String = self.cleared.iter().map(|record| title(record) + "\n").collect();
        let count = counted(self.cleared.len() as u64, "record");
        text += &match (is_dry, self.cleared.len()) {
            (_, 0) => "nothing to clear\n".to_owned(),
            (true, _) => format!("{count}, {} would be cleared\n", size(bytes)),
            (false, _) => format!("{count}, {} cleared; no data was touched\n", size(bytes)),
        };
        out::deliver(&text)
    }
}

/// `6f84758b... debian-13.iso`.
fn title(record: &KeptRecord) -> String {
    let name = record.name.as_ref().map(|name| format!(" {}", escape(name)));
    format!("{}{}", record.info_hash, name.unwrap_or_default())
}

/// The list, in lines of at most `columns`.
fn screen(records: &[KeptRecord], dir: &Path, now: SystemTime, columns: usize) -> String {
    let dir = escape(&dir.display().to_string());
    if records.is_empty() {
        return format!("nothing is kept in {dir}\n");
    }
    let mut screen = String::new();
    for record in records {
        let unused = now.duration_since(record.used).unwrap_or_default();
        let used = format!("used {} ago", duration(unused));
        let state = match (record.is_in_use, record.is_missing()) {
            (true, _) => ", in use now",
            (false, true) => ", its data is gone",
            (false, false) => "",
        };
        let place = match record.place() {
            Some(place) => format!("in {}", escape(&place.display().to_string())),
            None => "it does not say where its data is".to_owned(),
        };
        screen += &(wrap(&title(record), columns, 2) + "\n");
        let facts = format!("  {}, {used}{state}; {place}", size(record.len_bytes));
        screen += &(wrap(&facts, columns, 2) + "\n");
    }
    let bytes = records.iter().map(|record| record.len_bytes).sum();
    let count = counted(records.len() as u64, "record");
    screen + &wrap(&format!("{count}, {} in {dir}", size(bytes)), columns, 2) + "\n"
}

fn about(record: &KeptRecord) -> Value {
    let dir = record.home.as_ref().map(|home| home.dir.to_string_lossy());
    json!({
        "info_hash": record.info_hash.to_string(),
        "name": record.name,
        "dir": dir,
        "file": record.path.to_string_lossy(),
        "bytes": record.len_bytes,
        "used": humantime::format_rfc3339_seconds(record.used).to_string(),
        "in_use": record.is_in_use,
        "missing": record.is_missing(),
    })
}

fn on_disk(path: &Path, error: &std::io::Error) -> Failure {
    let path = escape(&path.display().to_string());
    Failure::new(Exit::Disk, format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Home;

    fn record(hash: u8, days: u32, dir: &Path) -> KeptRecord {
        KeptRecord {
            path: "x.resume".into(),
            info_hash: InfoHash([hash; 20]),
            name: (hash == 2).then(|| "a\x1bb".to_owned()),
            home: Some(Home::at(dir.to_owned())),
            len_bytes: 2048,
            used: SystemTime::UNIX_EPOCH + DAY * (100 - days),
            is_in_use: hash == 1,
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 100
    }

    #[test]
    fn those_are_meant_of_which_all_that_is_said_is_so() {
        let there = tempfile::tempdir().unwrap();
        let records = [
            record(1, 40, there.path()),
            record(2, 40, Path::new("/no/where")),
            record(3, 5, Path::new("/no/where")),
        ];
        let meant = |hashes: &[u8], days: Option<u32>, missing| {
            let hashes = hashes.iter().map(|hash| InfoHash([*hash; 20])).collect();
            let meant = Meant { hashes, older_than: days.map(|days| DAY * days), missing };
            let is = records.iter().filter(|record| meant.is(record, now()));
            is.map(|record| record.info_hash.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(meant(&[], None, false), [1, 2, 3]);
        assert_eq!(meant(&[], Some(30), false), [1, 2]);
        assert_eq!(meant(&[], Some(40), false), [0; 0], "not longer than that");
        assert_eq!(meant(&[], None, true), [2, 3]);
        assert_eq!(meant(&[], Some(30), true), [2]);
        assert_eq!(meant(&[3, 1], Some(30), false), [1]);
    }

    #[test]
    fn the_list_says_where_since_when_and_what_is_in_use_or_gone() {
        let there = tempfile::tempdir().unwrap();
        let records = [record(1, 40, there.path()), record(2, 2, Path::new("/no/where"))];
        let shown = screen(&records, Path::new("/s"), now(), usize::MAX);
        let dir = there.path().display();
        let (first, second) = ("01".repeat(20), "02".repeat(20));
        assert_eq!(
            shown,
            format!(
                "{first}\n  2.0 KiB, used 40d 0h ago, in use now; in {dir}\n{second} a\\x1bb\n  2.0 \
                 KiB, used 2d 0h ago, its data is gone; in /no/where/a\\x1bb\n2 records, 4.0 KiB \
                 in /s\n"
            )
        );
        assert_eq!(screen(&[], Path::new("/s"), now(), 80), "nothing is kept in /s\n");
        let narrow = screen(&records, Path::new("/s"), now(), 40);
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    }
}
