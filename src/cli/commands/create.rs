//! `driver create`: makes a .torrent of a file or directory. What is made of the data is
//! `disk::create`; here are the options, the progress line and the file that is written.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueHint};
use rustix::fs::Access;
use rustix::io::Errno;

use crate::base::meter::Pace;
use crate::base::units::size;
use crate::cli::args::{Common, ConfigChoice};
use crate::cli::attend::{Words, attend};
use crate::cli::config::{existing_state_dir, state_dir};
use crate::cli::engine::store_config;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::memory::memory_for;
use crate::cli::out;
use crate::cli::print::{InfoJson, WAITING, info_screen, pace_words};
use crate::cli::sums;
use crate::cli::values;
use crate::disk::create::{Created, Error, Progress, Skipped, create, create_and_sum};
use crate::disk::record_of;
use crate::disk::turn;
use crate::metainfo::create::{CreateOptions, Error as FormatError};
use crate::metainfo::{Kind, clean_name};
use crate::os::whole::{self, How};

use super::load::{hint, similar_entry};

/// More entries than this are not named that were left out.
const SKIPPED_SHOWN: usize = 10;

const NO_TRACKER: &str =
    "It names no tracker: only the DHT finds others by it (-a URL names one).\n";

const NOBODY: &str =
    "It is private and names no tracker, so nobody finds others by it: -a URL names one.\n";

const V2_ONLY: &str = "driver: a torrent of version 2 only is for other programs: driver cannot \
                       download, seed or verify it yet (--hybrid works with both)";

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
    /// A web seed: where the same data can be had by HTTP; @FILE names a list of such URLs, one a
    /// line
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
    /// Write the SHA-256 sums of the files here, as sha256sum does; - is the terminal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sha256sums: Option<PathBuf>,
    /// Leave out when it was made [default: now, or SOURCE_DATE_EPOCH]
    #[arg(long)]
    pub no_date: bool,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

/// Makes the torrent and writes it.
///
/// # Errors
/// When the options make no sense, the data cannot be read, or the torrent not written.
pub fn run(arguments: CreateArgs, common: &Common) -> Outcome {
    let options = options(&arguments, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
    let output = output(&arguments);
    if !arguments.path.exists() && !arguments.path.is_symlink() {
        return Err(failure(&Error::Missing { path: arguments.path }));
    }
    // Better said before everything is hashed.
    assert_free(&output, &arguments)?;
    let list = arguments.sha256sums.as_deref();
    let is_shown = list == Some(Path::new("-"));
    let list = list.filter(|_| !is_shown);
    if is_shown && arguments.json {
        return Err(Failure::usage("--json and --sha256sums - both print to the terminal"));
    }
    if let Some(list) = list {
        assert_free(list, &arguments)?;
        if list == output {
            let list = shown(list);
            return Err(Failure::usage(format!(
                "{list} cannot be the torrent and the list of sums"
            )));
        }
    }
    let memory_bytes = memory_for(common)?.alone_bytes();
    let wants_sums = arguments.sha256sums.is_some();
    let created = made(
        &arguments.path,
        &options,
        memory_bytes,
        common.quiet,
        true,
        Making { wants_sums, ..Making::default() },
    )?;
    let written = write(&output, &created.bytes, arguments.force);
    written.map_err(|error| unwritable(&output, &error.to_string()))?;
    note(&created, &arguments.path);
    if let Some(list) = list {
        let written = write(list, sums_list(&created).as_bytes(), arguments.force);
        written.map_err(|error| unwritable(list, &error.to_string()))?;
    }
    if is_shown {
        out::deliver(&sums_list(&created))?;
        return Ok(Exit::Done);
    }
    if arguments.v2 && !common.quiet {
        out::talk_wrapped(V2_ONLY);
    }
    let torrent = created.torrent;
    match arguments.json {
        true => out::deliver_json(&InfoJson::in_file(&torrent, &output))?,
        // What was asked for is the file.
        false if common.quiet => {}
        false => {
            let screen = info_screen(&torrent, out::line_columns());
            let note = tracker_note(&torrent.trackers, torrent.private);
            let note = out::wrapped(&note);
            out::deliver(&format!("{screen}File        {}\n{note}", shown(&output)))?;
        }
    }
    Ok(Exit::Done)
}

/// A list of the sums, as `sha256sum` would write it within the torrent's folder.
fn sums_list(created: &Created) -> String {
    let files = created.torrent.files.iter().filter(|file| !file.is_pad);
    let lines = files.zip(&created.sums);
    lines.map(|(file, sum)| sums::line(&sums::name_in(&created.torrent, &file), sum)).collect()
}

/// What is likely to be missing of its trackers.
fn tracker_note(tiers: &[Vec<String>], is_private: bool) -> String {
    if tiers.is_empty() {
        return if is_private { NOBODY } else { NO_TRACKER }.to_owned();
    }
    let lacks_path = |url: &&String| values::tracker(url).is_ok_and(|whole| whole != **url);
    match tiers.iter().flatten().find(lacks_path) {
        Some(url) => {
            let url = escape(url.trim_end_matches('/'));
            format!("{url} has no path: most trackers answer at {url}/announce.\n")
        }
        None => String::new(),
    }
}

/// Makes a torrent of what is at `path` with at most `memory_bytes` of it in memory, with a
/// progress line, and tells what was left out.
/// Blocks until everything is hashed, or unless `is_stoppable` is off until the user asks for
/// the end: then nothing is left behind.
///
/// # Errors
/// When the options make no sense or the data cannot be read; when it was stopped.
pub fn make(
    path: &Path,
    options: &CreateOptions,
    memory_bytes: usize,
    is_quiet: bool,
    is_stoppable: bool,
) -> Result<Created, Failure> {
    made(path, options, memory_bytes, is_quiet, is_stoppable, Making::default())
}

fn made(
    path: &Path,
    options: &CreateOptions,
    memory_bytes: usize,
    is_quiet: bool,
    is_stoppable: bool,
    making: Making,
) -> Result<Created, Failure> {
    let making = Arc::new(making);
    let work = {
        let (path, options, making) = (path.to_owned(), options.clone(), making.clone());
        move || making.make(&path, &options, memory_bytes)
    };
    let mut pace = Pace::new(Instant::now());
    let words = |now| making.words(&mut pace, now);
    let stop = is_stoppable.then_some(|| making.stop.set());
    let made = attend(work, words, stop, is_quiet)?;
    let created = made.unwrap_or(Err(Error::Aborted)).map_err(|error| failure(&error))?;
    if !is_quiet {
        skipped_lines(&created.skipped).iter().for_each(|line| out::talk_wrapped(line));
    }
    Ok(created)
}

/// Remembers that the data was read, so that whoever seeds it from here need not read it again.
/// Without that it is read again: nothing to speak of.
pub fn note(created: &Created, path: &Path) {
    let noted = || {
        let real = path.canonicalize().ok()?;
        let state = state_dir().ok()?;
        std::fs::create_dir_all(&state).ok()?;
        let record = record_of(&state, created.torrent.info_hash_v1?, real.parent()?);
        created.note(store_config(&created.torrent, real.parent()?, record)?).ok()
    };
    let is_noted = noted().unwrap_or(false);
    tracing::debug!(is_noted, "record of the new torrent");
}

/// A torrent in the making, as its thread and the line about it see it.
#[derive(Default)]
struct Making {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    is_waiting: AtomicBool,
    wants_sums: bool,
    stop: turn::Stop,
}

impl Making {
    fn make(
        &self,
        path: &Path,
        options: &CreateOptions,
        memory_bytes: usize,
    ) -> Result<Created, Error> {
        let on_wait = || self.is_waiting.store(true, Ordering::Relaxed);
        let place = turn::Place::default();
        let _turn = existing_state_dir()
            .and_then(|dir| turn::wait(&dir, path, &place, on_wait, &self.stop));
        self.is_waiting.store(false, Ordering::Relaxed);
        let on_progress = |progress: Progress| {
            self.total_bytes.store(progress.total_bytes, Ordering::Relaxed);
            self.done_bytes.fetch_max(progress.done_bytes, Ordering::Relaxed);
        };
        let create = if self.wants_sums { create_and_sum } else { create };
        create(path, options, memory_bytes, &on_progress, self.stop.flag())
    }

    fn words(&self, pace: &mut Pace, now: Instant) -> Words {
        if self.is_waiting.load(Ordering::Relaxed) {
            return Words::Waiting(WAITING);
        }
        let total = self.total_bytes.load(Ordering::Relaxed);
        let done = self.done_bytes.load(Ordering::Relaxed);
        Words::Going(pace_words("hashing", (done, total), pace.on_done(done, now)))
    }
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
        web_seeds: web_seeds(&arguments.web_seed)?,
        comment: arguments.comment.clone(),
        creation_date,
        ..CreateOptions::default()
    })
}

/// The web seeds that are named, those of lists among them: a line each, but for empty ones and
/// those that begin with `#`.
fn web_seeds(named: &[String]) -> Result<Vec<String>, Failure> {
    let mut urls = Vec::new();
    for name in named {
        let Some(list) = name.strip_prefix('@') else {
            urls.push(name.clone());
            continue;
        };
        let text = std::fs::read_to_string(list)
            .map_err(|error| Failure::bad_input(format!("{}: {error}", escape(list))))?;
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        urls.extend(lines.map(str::to_owned));
    }
    Ok(urls)
}

/// Where the torrent goes; below a directory it has its own name.
fn output(arguments: &CreateArgs) -> PathBuf {
    // `.` and `..` have their name from where they lead.
    let path = &arguments.path;
    let real = || path.canonicalize().ok()?.file_name().map(OsString::from);
    let given = || path.file_name().map(OsString::from);
    // One that cannot be is refused when the torrent is made.
    let chosen = arguments.name.as_deref().map(|name| OsString::from(clean_name(name.as_bytes())));
    let name = chosen.or_else(given).or_else(real);
    // Without any name no torrent will be made.
    let mut name = name.unwrap_or_default();
    name.push(".torrent");
    match &arguments.output {
        Some(output) if output.is_dir() => output.join(name),
        Some(output) => output.clone(),
        None => name.into(),
    }
}

fn unwritable(output: &Path, why: &str) -> Failure {
    Failure::new(Exit::Disk, format!("writing {}: {why}", shown(output)))
}

/// An output that exists is replaced only when asked for, and never when it is part of what
/// is shared: then its hashes would be wrong at once. One that cannot be made is refused.
fn assert_free(output: &Path, arguments: &CreateArgs) -> Result<(), Failure> {
    if output.is_dir() {
        return Err(unwritable(output, "it is a directory"));
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if parent.exists() && !parent.is_dir() {
        return Err(unwritable(output, "Not a directory"));
    }
    rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let hint = match error {
            Errno::NOENT => ": make its directory first",
            Errno::ACCESS | Errno::ROFS => ": choose another place with --output",
            _ => "",
        };
        unwritable(output, &format!("{}{hint}", std::io::Error::from(error)))
    })?;
    match output.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unwritable(output, &error.to_string())),
        Ok(_) => {}
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

/// Writes the torrent whole or not at all; over another file only with `replace`.
///
/// # Errors
/// When it exists, or cannot be written.
pub fn write(output: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    if replace {
        return whole::replace(output, bytes, How::QUICK);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(output)?;
    file.write_all(bytes).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(output);
    })
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
    let words = match error {
        Error::Missing { path } => error.to_string() + &hint(similar_entry(path)),
        Error::Format(FormatError::PieceLength(asked)) => match near_length(*asked) {
            Some(near) => {
                format!("{asked} is not a power of two from 16 KiB to 128 MiB: try {near}")
            }
            None => error.to_string(),
        },
        _ => error.to_string(),
    };
    Failure::new(exit, escape(&words))
}

/// The nearest piece length that programs take, as `-p` takes it.
fn near_length(asked: u64) -> Option<String> {
    const LEAST: u64 = 16 << 10;
    const MOST: u64 = 128 << 20;
    let above = asked.clamp(LEAST, MOST).checked_next_power_of_two()?;
    let below = (above / 2).max(LEAST);
    let near = if above - asked.min(above) <= asked.saturating_sub(below) { above } else { below };
    Some(size(near).replace(".0 ", ""))
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_up_to_a_point() {
        let it = |n| Skipped { path: format!("d/{n}\x07").into(), what: "a pipe" };
        let lines = skipped_lines(&(0..12).map(it).collect::<Vec<_>>());
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], "left out d/0\\x07: it is a pipe");
        assert_eq!(lines[10], "left out 2 more that are no files");
    }

    #[test]
    fn a_tracker_without_a_path_is_told() {
        let note = |url: &str| tracker_note(&[vec![url.to_owned()]], false);
        let words = "http://t:1 has no path: most trackers answer at http://t:1/announce.\n";
        assert_eq!((note("http://t:1"), note("http://t:1/")), (words.into(), words.into()));
        assert_eq!([note("http://t/x"), note("udp://t:1")], ["", ""]);
        assert_eq!(tracker_note(&[], false), NO_TRACKER);
        assert_eq!(tracker_note(&[], true), NOBODY);
    }

    #[test]
    fn the_nearest_piece_length_is_suggested() {
        let near = |asked| near_length(asked).unwrap();
        assert_eq!([near(1_000_000), near(300_000), near(5)], ["1MiB", "256KiB", "16KiB"]);
        assert_eq!([near(200 << 20), near(u64::MAX)], ["128MiB", "128MiB"]);
    }

    #[test]
    fn lists_of_web_seeds_are_read_line_by_line() {
        let home = tempfile::tempdir().unwrap();
        let list = home.path().join("list");
        std::fs::write(&list, "# mirrors\nhttp://a/x\n\n  http://b/y \r\n").unwrap();
        let named = ["http://c".to_owned(), format!("@{}", list.display())];
        assert_eq!(web_seeds(&named).unwrap(), ["http://c", "http://a/x", "http://b/y"]);
        let refused = web_seeds(&["@/no/such/file".to_owned()]).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
    }
}
