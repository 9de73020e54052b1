//! `driver catalogue share PATH`: makes a torrent, registers it under a name and uploads the data
//! from where it lies; `driver catalogue unshare NAME` takes the name back.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use crate::base::digest::sha256;
use crate::base::ids::InfoHash;
use crate::cli::args::{Common, ShareArgs, TrackerChoice};
use crate::cli::catalogue::{ask, choose, failure};
use crate::cli::config::{existing_state_dir, state_dir};
use crate::cli::engine::store_config;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::given::Hints;
use crate::cli::job::{Telling, Told};
use crate::cli::memory::memory_for;
use crate::cli::out;
use crate::cli::renewal::Shared;
use crate::cli::trusted::Trusted;
use crate::disk::create::is_unchanged;
use crate::disk::record_of;
use crate::metainfo::create::{CreateOptions, wrap};
use crate::metainfo::{Torrent, clean_name};
use crate::os::whole::{self, How};
use crate::tracker::catalogue::check_name;

use super::download::{Found, FoundTorrent, start_and_tell};
use super::{create, load};

/// The folder of the state directory in which is noted what was made of which path.
const MEMOS: &str = "made";

/// Something to share that has been looked at.
pub struct Made {
    /// Its torrent.
    pub torrent: Torrent,
    /// The same as a file.
    pub bytes: Vec<u8>,
    /// What it is known by.
    pub info_hash: InfoHash,
    /// The directory in which the data lies.
    pub dir: PathBuf,
}

/// Shares what is at the path until told to stop.
///
/// # Errors
/// When it cannot be read, there is no tracker, the tracker refuses it, or seeding fails.
pub fn run(arguments: &ShareArgs, common: &Common) -> Outcome {
    let ShareArgs { path, name, token, piece_length, options } = arguments;
    let path = real(path)?;
    // Nothing is uploaded before it is made.
    let memory_bytes = memory_for(common)?.alone_bytes();
    let mut options = options.clone();
    options.dir = vec![folder_of(&path)];
    let named = path.display().to_string();
    let telling = RefCell::new(None);
    let mut find = |_: &str| {
        let token = token.as_deref();
        let name = name.clone().unwrap_or_else(|| own_name(&path));
        check_name(&name).map_err(|error| Failure::bad_input(error.to_string()))?;
        let client = ask(async {
            let client = choose(&options.tracker, options.find_port, token, common).await?;
            let key = client.knock(&name, token).await.map_err(|error| failure(&error))?;
            if let Some(key) = key {
                Trusted::load().remember(key, client.base());
            }
            Ok(client)
        })?;
        let made = make(&path, client.announce(), *piece_length, memory_bytes, common.quiet)?;
        keep(&made)?;
        let (bytes, info_hash) = (made.bytes.clone(), made.info_hash);
        let shared = Shared { client, name, bytes, info_hash, token: token.map(str::to_owned) };
        // A name that nobody serves would only lead astray: first it has to run.
        let register: Telling = Box::pin(async move {
            shared.register().await.map_err(|error| failure(&error))?;
            Ok(Told { words: shared_line(&shared.name, shared.client.base()), shared })
        });
        telling.replace(Some(register));
        let (kept, trackers) = (Some(made.bytes), Some(Vec::new()));
        let torrent = made.torrent;
        let hints = Hints::default();
        Ok(Found::torrent(FoundTorrent { torrent, bytes: kept, trackers, hints }))
    };
    let mut tell = || telling.take();
    start_and_tell(&[named], &options, common, true, &mut find, &mut tell)
}

/// What others type to get it.
pub fn shared_line(name: &str, base: &str) -> String {
    let name = escape(name);
    // Quotes where a shell would want them.
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
    let name = if is_plain { name } else { format!("'{}'", name.replace('\'', "'\\''")) };
    format!("Shared. Others get it by: driver catalogue get {name} --tracker {base}")
}

/// Where `path` leads; its name there is the torrent's.
///
/// # Errors
/// When there is nothing, or nothing with a name.
pub fn real(path: &Path) -> Result<PathBuf, Failure> {
    let shown = escape(&path.display().to_string());
    let real = path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let near = load::hint(load::similar_entry(path));
            Failure::bad_input(format!("{shown}: no such file or directory{near}"))
        }
        _ => from_io(&format!("cannot read {shown}"), &error),
    })?;
    match real.file_name() {
        Some(_) => Ok(real),
        None => Err(Failure::bad_input(format!("{shown} has no name to share it by"))),
    }
}

/// The directory of something that [`real`] found.
pub fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// The name of something that [`real`] found, as others are to see it.
pub fn own_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    clean_name(name.as_encoded_bytes())
}

/// Makes the torrent of something that [`real`] found. Blocks until everything is hashed.
///
/// # Errors
/// When it cannot be read or makes no torrent.
pub fn make(
    path: &Path,
    announce: String,
    piece_length: Option<u64>,
    memory_bytes: usize,
    is_quiet: bool,
) -> Result<Made, Failure> {
    // Without a date the same data makes the same bytes.
    let trackers = vec![vec![announce]];
    let options = CreateOptions { piece_length, trackers, ..CreateOptions::default() };
    let known = made_before(path, piece_length);
    let bytes = match known.map(|torrent| wrap(torrent.raw_info(), &options)) {
        Some(wrapped) => wrapped.map_err(|error| Failure::usage(error.to_string()))?,
        None => {
            let created = create::make(path, &options, memory_bytes, is_quiet, false)?;
            create::note(&created, path);
            created.bytes
        }
    };
    let torrent = Torrent::parse(&bytes).map_err(|error| Failure::bad_input(error.to_string()))?;
    let info_hash = torrent.info_hash_v1;
    let info_hash = info_hash.ok_or_else(|| Failure::bad_input("the torrent has no info-hash"))?;
    remember(path, piece_length, info_hash);
    Ok(Made { torrent, bytes, info_hash, dir: folder_of(path) })
}

/// The torrent that was made of this path before, if nothing there has changed since: then none
/// of it need be read.
fn made_before(path: &Path, piece_length: Option<u64>) -> Option<Torrent> {
    let state = existing_state_dir()?;
    let hash = std::fs::read_to_string(memo_path(&state, path, piece_length)).ok()?;
    if hash.len() != 40 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let torrent = load::torrent(&state.join(format!("{hash}.torrent"))).ok()?;
    let record = record_of(&state, torrent.info_hash_v1?, &folder_of(path));
    let config = store_config(&torrent, &folder_of(path), record)?;
    let is_it = torrent.info_hash_v1.is_some_and(|it| it.to_string() == hash);
    let is_same = is_it && torrent.name == own_name(path);
    (is_same && is_unchanged(path, &torrent, config).unwrap_or(false)).then_some(torrent)
}

/// Notes which torrent was made of a path; without that it is made again, no worse.
fn remember(path: &Path, piece_length: Option<u64>, info_hash: InfoHash) {
    let noted = state_dir().map(|state| {
        let memo = memo_path(&state, path, piece_length);
        std::fs::create_dir_all(state.join(MEMOS))
            .and_then(|()| std::fs::write(memo, info_hash.to_string()))
    });
    tracing::debug!(is_noted = matches!(noted, Ok(Ok(()))), "torrent of the path");
}

/// Where it is noted which torrent was made of a path, with pieces of this length.
fn memo_path(state: &Path, path: &Path, piece_length: Option<u64>) -> PathBuf {
    let length = piece_length.unwrap_or_default().to_be_bytes();
    let key = sha256(&[&length, path.as_os_str().as_encoded_bytes()]);
    state.join(MEMOS).join(HEXLOWER.encode(&key))
}

/// Keeps the torrent in the state directory, as `<info-hash>.torrent`.
///
/// # Errors
/// When it cannot be written.
pub fn keep(made: &Made) -> Result<(), Failure> {
    let dir = state_dir()?;
    let path = dir.join(format!("{}.torrent", made.info_hash));
    let kept =
        std::fs::create_dir_all(&dir).and_then(|()| whole::replace(&path, &made.bytes, How::QUICK));
    kept.map_err(|error| {
        let shown = escape(&path.display().to_string());
        let failure = from_io(&format!("cannot keep {shown}"), &error);
        Failure { exit: Exit::Disk, ..failure }
    })
}

/// Takes a name out of the catalogue.
///
/// # Errors
/// When there is no tracker, no such name, or the token is wrong.
pub fn take_back(
    name: &str,
    tracker: &TrackerChoice,
    token: Option<&str>,
    common: &Common,
) -> Outcome {
    ask(async {
        let client = choose(&tracker.tracker, tracker.find_port, token, common).await?;
        client.remove(name, token).await.map_err(|error| failure(&error))
    })?;
    let shown = escape(name);
    out::deliver(&out::wrapped(&format!(
        "{shown} is listed no more; who has it keeps it, and may go on\n"
    )))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_others_can_be_copied_into_a_shell() {
        let line = |name| shared_line(name, "http://10.0.0.2:6969");
        let url = "--tracker http://10.0.0.2:6969";
        let shared = "Shared. Others get it by: driver catalogue get";
        assert_eq!(line("a-b.pdf"), format!("{shared} a-b.pdf {url}"));
        assert!(line("it's $HOME").contains("get 'it'\\''s $HOME' --tracker"));
    }

    #[test]
    fn only_what_has_a_name_is_shared() {
        assert_eq!(real(Path::new("/")).unwrap_err().exit, Exit::BadInput);
        let missing = real(Path::new("/nowhere/x")).unwrap_err();
        assert_eq!(missing.message, "/nowhere/x: no such file or directory");
        let here = real(Path::new(".")).unwrap();
        assert!(here.is_absolute() && folder_of(&here).is_dir());
    }
}
