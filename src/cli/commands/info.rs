//! `driver info`: what is in a torrent, for people, for programs, or byte for byte.

use std::io::Write as _;
use std::path::Path;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;
use crate::cli::print::{files_screen, info_json, info_screen};

/// Prints what is in the torrent file.
///
/// # Errors
/// When it is no valid torrent.
pub fn run(file: &Path, files: bool, json: bool, raw: bool) -> Outcome {
    let torrent = super::load::torrent(file)?;
    if raw {
        // As with all answers, a reader who left is no error.
        let _ = std::io::stdout().lock().write_all(torrent.raw_info());
    } else if json {
        out::answer(&format!("{}\n", info_json(&torrent)));
    } else {
        let columns = out::columns();
        out::answer(&info_screen(&torrent, columns));
        if files {
            // Whole paths: this list is often read by other programs.
            out::answer(&files_screen(&torrent, None, None, usize::MAX));
        }
    }
    Ok(Exit::Done)
}
