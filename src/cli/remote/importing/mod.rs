//! `import`: the torrents of another client, taken over where their files are. What that client
//! keeps is read here and never written; the daemon reads and hashes the files before it believes
//! anything of them.

mod qbittorrent;
mod transmission;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use crate::api::{Added, Addition, FilePatch, Key, Request};
use crate::bencode::{self, Value};
use crate::cli::args::{Imported, OtherClient};
use crate::cli::commands::load;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::print::{counted, files_of};
use crate::metainfo::Torrent;

use super::asking::Remote;

/// The longest file with what a client knows of a torrent: a few bytes for each of two million
/// pieces.
const STATE_LEN_MAX: u64 = 16 << 20;

/// A torrent of another client, as it is taken over.
#[derive(Clone, PartialEq, Debug)]
struct Taken {
    name: String,
    /// Without the bytes of the `.torrent`.
    addition: Addition,
    /// How much files are wanted.
    files: FilePatch,
    torrent: Vec<u8>,
    /// Its place in the queue of that client, where it has one.
    place: u64,
}

/// A torrent of another client: by what name it is known there, and what becomes of it, or why it
/// is left out.
type Found = (String, Result<Taken, String>);

/// Takes over what the words name.
///
/// # Errors
/// Nothing of that client is there, or nobody answers.
pub(super) async fn import(remote: &mut Remote, what: &Imported) -> Outcome {
    let mut all = match what.client {
        OtherClient::Transmission => transmission::read(&what.dir)?,
        OtherClient::Qbittorrent => qbittorrent::read(&what.dir)?,
    };
    all.sort_by_key(|(_, found)| found.as_ref().map_or(u64::MAX, |taken| taken.place));
    let (count, mut taken_over, mut worst) = (all.len(), 0, Exit::Done);
    for (name, found) in all {
        let came = match found {
            Ok(taken) if what.dry_run => tell(remote, &taken, "would be taken over").map(|()| true),
            Ok(taken) => take_over(remote, taken, what.paused).await,
            Err(why) => Err(Failure::bad_input(why)),
        };
        match came {
            Ok(is_new) => taken_over += usize::from(is_new),
            Err(failure) if failure.exit == Exit::Network => return Err(failure),
            Err(failure) => {
                worst = worst.worst(Exit::BadInput);
                (remote.voice.talk)(&format!("driver: {}: {failure}", escape(&name)));
            }
        }
    }
    if !remote.voice.quiet {
        let of = counted(count as u64, "torrent");
        (remote.voice.talk)(&match (what.dry_run, taken_over) {
            (true, _) => format!("{taken_over} of {of} would be taken over; nothing is changed"),
            (false, 0) => format!("none of {of} is new"),
            (false, _) => {
                format!("{taken_over} of {of} taken over; their files are looked at now")
            }
        });
    }
    Ok(worst)
}

/// Takes one over; whether it is new there.
async fn take_over(remote: &mut Remote, taken: Taken, paused: bool) -> Result<bool, Failure> {
    let addition = Addition {
        torrent: Some(BASE64.encode(&taken.torrent)),
        paused: taken.addition.paused || paused,
        ..taken.addition.clone()
    };
    let added: Added = remote.ask(&Request::Add(Box::new(addition))).await?;
    if added.was_there {
        tell(remote, &taken, "it is there already")?;
        return Ok(false);
    }
    if let Some(id) = added.id.filter(|_| taken.files != FilePatch::default()) {
        let wanted = Request::SetFiles(Key::Id(id), taken.files.clone());
        remote.ask::<serde_json::Value>(&wanted).await?;
    }
    tell(remote, &taken, "taken over").map(|()| true)
}

fn tell(remote: &mut Remote, taken: &Taken, what: &str) -> Result<(), Failure> {
    if remote.voice.quiet {
        return Ok(());
    }
    let dir = escape(taken.addition.dir.as_deref().unwrap_or_default());
    (remote.voice.say)(&format!("{}: {what}, in {dir}\n", escape(&taken.name)))
}

/// The files of a directory that have this ending, by their names without it.
fn files_ending(dir: &Path, ending: &str) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(stem) = name.strip_suffix(ending) {
            files.push((stem.to_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}

/// The `.torrent` at this path, and what its client knows of it, which is beside it; both are
/// handed on, to become what is taken over.
fn read_pair(
    torrent: &Path,
    state: &Path,
    taken: impl FnOnce(&Torrent, &Known<'_>) -> Result<(Addition, FilePatch), String>,
) -> Result<Taken, String> {
    let (parsed, bytes) = load::file(torrent).map_err(|failure| failure.message)?;
    let text = small(state)?;
    let scanned = bencode::scan(&text, bencode::TORRENT);
    let known = scanned.map_err(|error| format!("{}: {error}", shown(state)))?;
    let (addition, files) = taken(&parsed, &Known(known.root()))?;
    Ok(Taken { name: parsed.name, addition, files, torrent: bytes, place: u64::MAX })
}

fn small(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", shown(path));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(STATE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match bytes.len() as u64 > STATE_LEN_MAX {
        true => Err(format!("{}: longer than {STATE_LEN_MAX} bytes", shown(path))),
        false => Ok(bytes),
    }
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// What a client knows of a torrent: a dictionary that may lack anything.
struct Known<'a>(Value<'a>);

impl<'a> Known<'a> {
    fn value(&self, key: &str) -> Option<Value<'a>> {
        self.0.dict()?.find(key.as_bytes())
    }

    fn inside(&self, key: &str) -> Option<Self> {
        self.value(key).filter(|value| value.dict().is_some()).map(Self)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.value(key)?.integer()
    }

    /// A number that says yes.
    fn is(&self, key: &str) -> bool {
        self.number(key).is_some_and(|number| number != 0)
    }

    /// A number above zero.
    fn count(&self, key: &str) -> Option<u64> {
        self.number(key).and_then(|number| u64::try_from(number).ok()).filter(|it| *it > 0)
    }

    /// A text that is not empty.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.text().filter(|text| !text.is_empty())
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let list = self.value(key).and_then(|value| value.list());
        list.into_iter().flatten().filter_map(|it| it.text()).map(str::to_owned).collect()
    }

    fn numbers(&self, key: &str) -> Vec<i64> {
        let list = self.value(key).and_then(|value| value.list());
        list.into_iter().flatten().map(|it| it.integer().unwrap_or(0)).collect()
    }
}

/// How much a file is wanted in another client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Want {
    Off,
    Low,
    Normal,
    High,
}

/// Which files are to be had at all, and how much, of what is said for each file of a torrent in its
/// order, pad files included; none where all are wanted as most are.
fn wishes(torrent: &Torrent, said: impl Fn(usize) -> Want) -> (Option<Vec<u32>>, FilePatch) {
    let (mut wanted, mut patch) = (Vec::new(), FilePatch::default());
    let seen = files_of(torrent);
    for (number, at) in (1..).zip(&seen) {
        match said(*at) {
            Want::Off => continue,
            Want::Low => patch.low.push(number),
            Want::High => patch.high.push(number),
            Want::Normal => {}
        }
        wanted.push(number);
    }
    ((wanted.len() < seen.len()).then_some(wanted), patch)
}

/// Why a torrent cannot be taken over that has files with this ending, of which not all is there.
fn with_ending(torrent: &Torrent, dir: &Path, ending: &str) -> Option<String> {
    let files = torrent.files.iter().filter(|file| !file.is_pad);
    let mut partial = files.map(|file| {
        let mut path = dir.join(file.path).into_os_string();
        path.push(ending);
        PathBuf::from(path)
    });
    let there = partial.find(|path| path.exists())?;
    Some(format!(
        "{} is not whole: give it its name without {ending}, with that client ended, and import \
         again",
        shown(&there)
    ))
}

/// A directory that another program names.
fn absolute(dir: &str) -> Result<PathBuf, String> {
    let dir = PathBuf::from(dir);
    match dir.is_absolute() {
        true => Ok(dir),
        false => Err(format!("its directory {} is no absolute path", shown(&dir))),
    }
}

#[cfg(test)]
mod tests;
