//! `driver verify`: compares data on disk with a torrent's hashes and says per file what is
//! right. It changes nothing.

use std::path::Path;

use serde_json::json;

use crate::base::units::size;
use crate::cli::engine::{self, FileVerdict};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::counted;
use crate::disk::FileCheck;

/// Checks the data of the torrent `file` under `dir`; 0 when all of it is right, else 6.
///
/// # Errors
/// When the torrent is invalid or the directory cannot be read.
pub fn run(file: &Path, dir: &Path, json: bool) -> Outcome {
    let torrent = super::load::torrent(file)?;
    if torrent.layout.is_none() {
        return Err(Failure::bad_input("torrents of version 2 only cannot be verified yet"));
    }
    let verdicts = engine::check(&torrent, dir)?;
    let complete = verdicts.iter().all(is_good);
    if json {
        out::answer(&format!("{}\n", as_json(&verdicts, complete)));
    } else {
        out::answer(&screen(&verdicts));
    }
    Ok(if complete { Exit::Done } else { Exit::Mismatch })
}

fn is_good(verdict: &FileVerdict) -> bool {
    verdict.check == FileCheck::Whole
}

fn as_json(verdicts: &[FileVerdict], complete: bool) -> serde_json::Value {
    let files: Vec<_> = verdicts
        .iter()
        .map(|verdict| {
            json!({
                "path": verdict.path.to_string_lossy(),
                "length": verdict.length,
                "ok": is_good(verdict),
                "problem": problem(verdict),
            })
        })
        .collect();
    json!({ "complete": complete, "files": files })
}

/// What is wrong with the file, if anything.
fn problem(verdict: &FileVerdict) -> Option<String> {
    let length = size(verdict.length);
    match verdict.check {
        FileCheck::Whole => None,
        FileCheck::Missing => Some("missing".to_owned()),
        FileCheck::TooShort(is) => Some(format!("too short: {} of {length}", size(is))),
        FileCheck::TooLong(is) => Some(format!("too long: {}, not {length}", size(is))),
        FileCheck::Wrong(pieces) => Some(format!("{} wrong", counted(pieces.into(), "piece"))),
    }
}

fn screen(verdicts: &[FileVerdict]) -> String {
    let mut screen = String::new();
    for verdict in verdicts {
        let words = problem(verdict).unwrap_or_else(|| "ok".to_owned());
        screen += &format!("{words:<32}  {}\n", escape(&verdict.path.to_string_lossy()));
    }
    let good = verdicts.iter().filter(|verdict| is_good(verdict)).count();
    screen + &format!("{good} of {} ok\n", counted(verdicts.len() as u64, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_verdict() {
        let verdict = |path: &str, check| FileVerdict { path: path.into(), length: 2048, check };
        let verdicts = [
            verdict("a/b", FileCheck::Whole),
            verdict("c\x07", FileCheck::Wrong(1)),
            verdict("d", FileCheck::Missing),
            verdict("e", FileCheck::TooShort(1024)),
            verdict("f", FileCheck::TooLong(4096)),
        ];
        let expected = "\
ok                                a/b
1 piece wrong                     c\\x07
missing                           d
too short: 1.0 KiB of 2.0 KiB     e
too long: 4.0 KiB, not 2.0 KiB    f
1 of 5 files ok
";
        assert_eq!(screen(&verdicts), expected);
        let object = as_json(&verdicts, false);
        assert_eq!(
            (&object["files"][0]["ok"], &object["files"][1]["ok"]),
            (&true.into(), &false.into())
        );
        assert_eq!(object["files"][2]["problem"], "missing");
    }
}
