//! `driver create`: makes a .torrent of a file or directory. What is made of the data is
//! `disk::create`; here are the options, the progress line and the file that is written.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueHint};
use serde_json::{Value, json};

use crate::base::units::{duration, rate, size};
use crate::cli::args::Common;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::cli::print::{info_json, info_screen};
use crate::cli::values;
use crate::disk::create::{Created, Error, Progress, Skipped, create};
use crate::metainfo::create::{CreateOptions, Error as FormatError};
use crate::metainfo::{Kind, Torrent};

/// More entries than this are not named that were left out.
const SKIPPED_SHOWN: usize = 10;
/// Between two progress lines.
const REDRAW_MS: u64 = 200;

/// Options of `create`.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// The file or directory to share
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
    /// Write the torrent here [default: NAME.torrent in the current directory]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// A tracker; each -a is a tier of its own, -a URL,URL one tier with both
    #[arg(short = 'a', long = "announce", value_name = "URL", alias = "tracker",
          value_hint = ValueHint::Url)]
    pub tiers: Vec<String>,
    /// A web seed: where the same data can be had by HTTP
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url)]
    pub web_seed: Vec<String>,
    /// Bytes of a piece, a power of two: 256KiB [default: 16 KiB to 16 MiB, by the size]
    #[arg(short, long, value_name = "SIZE", value_parser = values::size)]
    pub piece_length: Option<u64>,
    /// Find peers by these trackers only
    #[arg(long)]
    pub private: bool,
    /// Where the torrent is from; changes the info hash
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// A comment for whoever looks into the torrent
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Another name than that of the file or directory
    #[arg(long)]
    pub name: Option<String>,
    /// Version 2 only (BEP 52), for clients that know it
    #[arg(long, conflicts_with = "hybrid")]
    pub v2: bool,
    /// Versions 1 and 2 in one torrent
    #[arg(long)]
    pub hybrid: bool,
    /// Leave out when it was made [default: now, or SOURCE_DATE_EPOCH]
    #[arg(long)]
    pub no_date: bool,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Makes the torrent and writes it.
///
/// # Errors
/// When the options make no sense, the data cannot be read, or the torrent not written.
pub fn run(arguments: CreateArgs, common: &Common) -> Outcome {
    let options = options(&arguments, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
    let output = output(&arguments);
    // Better said before everything is hashed.
    assert_free(&output, &arguments)?;
    let Created { bytes, torrent, .. } = make(&arguments.path, &options, common.quiet)?;
    write(&output, &bytes, arguments.force).map_err(|error| {
        let failure = from_io(&format!("writing {}", shown(&output)), &error);
        Failure::new(Exit::Disk, failure.message)
    })?;
    out::answer(&match arguments.json {
        true => format!("{}\n", as_json(&torrent, &output)),
        false => {
            format!("{}File        {}\n", info_screen(&torrent, out::columns()), shown(&output))
        }
    });
    Ok(Exit::Done)
}

/// Makes a torrent of what is at `path`, with a progress line on a terminal, and tells what was
/// left out. Blocks until everything is hashed.
///
/// # Errors
/// When the options make no sense or the data cannot be read.
pub fn make(path: &Path, options: &CreateOptions, is_quiet: bool) -> Result<Created, Failure> {
    let line = ProgressLine::new(!is_quiet && std::io::stderr().is_terminal());
    let made = create(path, options, &|progress| line.show(progress), &AtomicBool::new(false));
    line.clear();
    let created = made.map_err(|error| failure(&error))?;
    if !is_quiet {
        skipped_lines(&created.skipped).iter().for_each(|line| out::talk(line));
    }
    Ok(created)
}

fn options(arguments: &CreateArgs, epoch: Option<&str>) -> Result<CreateOptions, Failure> {
    let creation_date = match epoch {
        _ if arguments.no_date => None,
        Some(seconds) => Some(seconds.trim().parse().map_err(|_| {
            let seconds = escape(seconds);
            Failure::usage(format!("SOURCE_DATE_EPOCH is {seconds}, not seconds since 1970"))
        })?),
        // A clock before 1970 tells nothing worth writing.
        None => SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
    };
    let tier = |urls: &String| urls.split(',').map(str::to_owned).collect();
    Ok(CreateOptions {
        kind: match (arguments.v2, arguments.hybrid) {
            (true, _) => Kind::V2,
            (_, true) => Kind::Hybrid,
            _ => Kind::V1,
        },
        name: arguments.name.clone(),
        piece_length: arguments.piece_length,
        private: arguments.private,
        source: arguments.source.clone(),
        trackers: arguments.tiers.iter().map(tier).collect(),
        web_seeds: arguments.web_seed.clone(),
        comment: arguments.comment.clone(),
        creation_date,
        ..CreateOptions::default()
    })
}

/// Where the torrent goes; below a directory it has its own name.
fn output(arguments: &CreateArgs) -> PathBuf {
    // `.` and `..` have their name from where they lead.
    let path = &arguments.path;
    let real = || path.canonicalize().ok()?.file_name().map(OsString::from);
    let given = || path.file_name().map(OsString::from);
    let name = arguments.name.clone().map(OsString::from).or_else(given).or_else(real);
    // Without any name no torrent will be made.
    let mut name = name.unwrap_or_default();
    name.push(".torrent");
    match &arguments.output {
        Some(output) if output.is_dir() => output.join(name),
        Some(output) => output.clone(),
        None => name.into(),
    }
}

/// An output that exists is replaced only when asked for, and never when it is part of what
/// is shared: then its hashes would be wrong at once.
fn assert_free(output: &Path, arguments: &CreateArgs) -> Result<(), Failure> {
    if output.is_dir() || output.symlink_metadata().is_err() {
        return Ok(());
    }
    if !arguments.force {
        let hint = "choose another with --output, or replace it with --force";
        return Err(Failure::new(Exit::Disk, format!("{} exists: {hint}", shown(output))));
    }
    let within = |(output, data): (PathBuf, PathBuf)| output.starts_with(data);
    let real = output.canonicalize().ok().zip(arguments.path.canonicalize().ok());
    match real.is_some_and(within) {
        true => Err(Failure::usage(format!(
            "{} is part of what is shared: choose another with --output",
            shown(output)
        ))),
        false => Ok(()),
    }
}

/// Writes the torrent whole or not at all.
fn write(output: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let path = match replace {
        // Its name is not made of the output's, which may be as long as names can be.
        true => output.with_file_name(format!(".new-{}.torrent", std::process::id())),
        false => output.to_owned(),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(bytes).and_then(|()| match replace {
        true => std::fs::rename(&path, output),
        false => Ok(()),
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&path);
    }
    written
}

fn as_json(torrent: &Torrent, output: &Path) -> Value {
    let mut object = info_json(torrent);
    object["file"] = json!(output.to_string_lossy());
    object
}

fn skipped_lines(skipped: &[Skipped]) -> Vec<String> {
    let named = skipped.iter().take(SKIPPED_SHOWN);
    let mut lines: Vec<String> =
        named.map(|it| format!("left out {}: it is {}", shown(&it.path), it.what)).collect();
    if skipped.len() > SKIPPED_SHOWN {
        lines.push(format!("left out {} more that are no files", skipped.len() - SKIPPED_SHOWN));
    }
    lines
}

fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Format(FormatError::PieceLength(_) | FormatError::Url { .. }) => Exit::Usage,
        Error::Format(FormatError::TooManyPieces { .. }) | Error::NoName { .. } => Exit::Usage,
        Error::Format(_) => Exit::BadInput,
        Error::Missing { .. } | Error::Special { .. } | Error::NotUtf8 { .. } => Exit::BadInput,
        Error::Disk(_) | Error::Changed { .. } => Exit::Disk,
        Error::Aborted => Exit::Incomplete,
    };
    Failure::new(exit, escape(&error.to_string()))
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// One line on stderr that is drawn over and over.
struct ProgressLine {
    is_shown: bool,
    begun: Instant,
    /// When it was drawn last, milliseconds after `begun`.
    drawn_ms: AtomicU64,
}

impl ProgressLine {
    fn new(is_shown: bool) -> Self {
        Self { is_shown, begun: Instant::now(), drawn_ms: AtomicU64::new(0) }
    }

    /// Called by all hashing threads; only one of them draws.
    fn show(&self, progress: Progress) {
        let since = self.begun.elapsed();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let last_ms = self.drawn_ms.load(Ordering::Relaxed);
        let is_due = self.is_shown && now_ms >= last_ms + REDRAW_MS;
        let order = Ordering::Relaxed;
        if is_due && self.drawn_ms.compare_exchange(last_ms, now_ms, order, order).is_ok() {
            self.draw(&progress_words(progress, since));
        }
    }

    fn clear(&self) {
        if self.drawn_ms.load(Ordering::Relaxed) > 0 {
            self.draw("");
        }
    }

    fn draw(&self, words: &str) {
        // Where nobody listens there is nobody to tell. `[K` clears to the end of the line.
        let _ = write!(std::io::stderr().lock(), "\r{words}\x1b[K");
    }
}

/// `hashing 61.2 %   479.2 MiB of 783.0 MiB   1.2 GiB/s   1s left`.
fn progress_words(progress: Progress, since: Duration) -> String {
    let Progress { done_bytes, total_bytes } = progress;
    let rate_bytes_per_s = done_bytes as f64 / since.as_secs_f64().max(0.001);
    let left_s = (total_bytes - done_bytes) as f64 / rate_bytes_per_s.max(1.0);
    let share = done_bytes as f64 / total_bytes.max(1) as f64;
    format!(
        "hashing {:.1} %   {} of {}   {}   {} left",
        (share * 1000.0).floor() / 10.0,
        size(done_bytes),
        size(total_bytes),
        rate(rate_bytes_per_s as u64),
        // At least a byte a second: fits by far.
        duration(Duration::from_secs_f64(left_s.min(1e9)))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_tells_rate_and_rest() {
        let progress = Progress { done_bytes: 600 << 20, total_bytes: 800 << 20 };
        let words = progress_words(progress, Duration::from_secs(6));
        assert_eq!(words, "hashing 75.0 %   600.0 MiB of 800.0 MiB   100.0 MiB/s   2s left");
    }

    #[test]
    fn what_is_left_out_is_named_up_to_a_point() {
        let it = |n| Skipped { path: format!("d/{n}\x07").into(), what: "a pipe" };
        let lines = skipped_lines(&(0..12).map(it).collect::<Vec<_>>());
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], "left out d/0\\x07: it is a pipe");
        assert_eq!(lines[10], "left out 2 more that are no files");
    }
}
