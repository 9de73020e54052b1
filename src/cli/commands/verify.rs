//! `driver verify`: compares data on disk with a torrent's hashes and says per file what is
//! right. It changes nothing.

use std::path::Path;

use serde_json::json;

use crate::base::units::size;
use crate::cli::engine::{self, FileCheck};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::counted;

/// Checks the data of the torrent `file` under `dir`; 0 when all of it is right, else 6.
///
/// # Errors
/// When the torrent is invalid or the directory cannot be read.
pub fn run(file: &Path, dir: &Path, json: bool) -> Outcome {
    let torrent = super::load::torrent(file)?;
    if torrent.layout.is_none() {
        return Err(Failure::bad_input("torrents of version 2 only cannot be verified yet"));
    }
    let checks = engine::check(&torrent, dir)?;
    let complete = checks.iter().all(is_good);
    if json {
        out::answer(&format!("{}\n", as_json(&checks, complete)));
    } else {
        out::answer(&screen(&checks));
    }
    Ok(if complete { Exit::Done } else { Exit::Mismatch })
}

fn is_good(check: &FileCheck) -> bool {
    check.exists && check.good_bytes == check.length
}

fn as_json(checks: &[FileCheck], complete: bool) -> serde_json::Value {
    let files: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "path": check.path.to_string_lossy(),
                "length": check.length,
                "good_bytes": check.good_bytes,
                "exists": check.exists,
                "ok": is_good(check),
            })
        })
        .collect();
    json!({ "complete": complete, "files": files })
}

fn screen(checks: &[FileCheck]) -> String {
    let mut screen = String::new();
    for check in checks {
        let verdict = match check {
            check if is_good(check) => "ok".to_owned(),
            FileCheck { exists: false, .. } => "missing".to_owned(),
            FileCheck { good_bytes, length, .. } => {
                format!("{} of {} right", size(*good_bytes), size(*length))
            }
        };
        screen += &format!("{verdict:<28}  {}\n", escape(&check.path.to_string_lossy()));
    }
    let good = checks.iter().filter(|check| is_good(check)).count();
    screen + &format!("{good} of {} ok\n", counted(checks.len() as u64, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_verdict() {
        let check = |path: &str, good_bytes, exists| FileCheck {
            path: path.into(),
            length: 2048,
            good_bytes,
            exists,
        };
        let checks = [check("a/b", 2048, true), check("c\x07", 1024, true), check("d", 0, false)];
        let expected = "\
ok                            a/b
1.0 KiB of 2.0 KiB right      c\\x07
missing                       d
1 of 3 files ok
";
        assert_eq!(screen(&checks), expected);
        let object = as_json(&checks, false);
        assert_eq!(object["files"][1]["ok"], false);
        assert_eq!(object["files"][0]["ok"], true);
    }
}
