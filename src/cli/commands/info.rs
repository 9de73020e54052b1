//! `driver info`: what is in a torrent, for people, for programs, or byte for byte.

use std::path::Path;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;
use crate::cli::print::{InfoJson, files_screen, info_screen};

/// Prints what is in the torrent file.
///
/// # Errors
/// When it is no valid torrent.
pub fn run(file: &Path, files: bool, json: bool, raw: bool) -> Outcome {
    let torrent = super::load::torrent(file)?;
    if raw {
        out::deliver_by(|to| to.write_all(torrent.raw_info()))?;
    } else if json {
        out::deliver_json(&InfoJson::of(&torrent))?;
    } else {
        out::deliver(&info_screen(&torrent, out::line_columns()))?;
        if files {
            // Whole paths: this list is often read by other programs.
            out::deliver(&files_screen(&torrent, None, None, usize::MAX))?;
        }
    }
    Ok(Exit::Done)
}
