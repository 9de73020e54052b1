//! What another client knows of a torrent, and what is taken over of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::api::{Addition, FilePatch};
use crate::bencode::{self, Value};
use crate::cli::commands::load;
use crate::cli::escape::escape;
use crate::cli::print::files_of;
use crate::metainfo::Torrent;

/// The longest file with what a client knows of a torrent: a few bytes for each of two million
/// pieces.
pub(super) const STATE_LEN_MAX: u64 = 16 << 20;

/// A torrent of another client, as it is taken over.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Taken {
    pub name: String,
    /// Without the bytes of the `.torrent`.
    pub addition: Addition,
    /// How much files are wanted.
    pub files: FilePatch,
    /// The bytes of the `.torrent`.
    pub torrent: Vec<u8>,
    /// Its place in the queue of that client, where it has one.
    pub place: u64,
}

/// A torrent of another client: by what name it is known there, and what becomes of it, or why it
/// is left out.
pub(super) type Found = (String, Result<Taken, String>);

/// The files of a directory that have this ending, by their names without it.
pub(super) fn files_ending(dir: &Path, ending: &str) -> std::io::Result<Vec<(String, PathBuf)>> {
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
pub(super) fn read_pair(
    torrent: &Path,
    state: &Path,
    taken: impl FnOnce(&Torrent, &Known<'_>) -> Result<(Addition, FilePatch), String>,
    place: impl FnOnce(&Known<'_>) -> u64,
) -> Result<Taken, String> {
    let (parsed, bytes) = load::file(torrent).map_err(|failure| failure.message)?;
    let text = small(state)?;
    let scanned = bencode::scan(&text, bencode::TORRENT);
    let known = scanned.map_err(|error| format!("{}: {error}", shown(state)))?;
    let known = Known(known.root());
    let (addition, files) = taken(&parsed, &known)?;
    Ok(Taken { name: parsed.name, addition, files, torrent: bytes, place: place(&known) })
}

pub(super) fn small(path: &Path) -> Result<Vec<u8>, String> {
    at_most(path, STATE_LEN_MAX)
}

/// What a file has, if that is no more than so many bytes.
pub(super) fn at_most(path: &Path, len_max: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", shown(path));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(len_max + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match bytes.len() as u64 > len_max {
        true => Err(format!("{}: longer than {len_max} bytes", shown(path))),
        false => Ok(bytes),
    }
}

pub(super) fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// What a client knows of a torrent: a dictionary that may lack anything.
pub(super) struct Known<'a>(pub Value<'a>);

impl<'a> Known<'a> {
    pub fn value(&self, key: &str) -> Option<Value<'a>> {
        self.0.dict()?.find(key.as_bytes())
    }

    pub fn inside(&self, key: &str) -> Option<Self> {
        self.value(key).filter(|value| value.dict().is_some()).map(Self)
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.value(key)?.integer()
    }

    /// A number that says yes.
    pub fn is(&self, key: &str) -> bool {
        self.number(key).is_some_and(|number| number != 0)
    }

    /// A number above zero.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.number(key).and_then(|number| u64::try_from(number).ok()).filter(|it| *it > 0)
    }

    /// A text that is not empty.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.text().filter(|text| !text.is_empty())
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        let list = self.value(key).and_then(|value| value.list());
        list.into_iter().flatten().filter_map(|it| it.text()).map(str::to_owned).collect()
    }

    pub fn numbers(&self, key: &str) -> Vec<i64> {
        let list = self.value(key).and_then(|value| value.list());
        list.into_iter().flatten().map(|it| it.integer().unwrap_or(0)).collect()
    }
}

/// How much a file is wanted in another client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    Off,
    Low,
    Normal,
    High,
}

/// Which files are to be had at all, and how much, of what is said for each file of a torrent in
/// its order, pad files included; none where all are wanted as most are.
pub(super) fn wishes(
    torrent: &Torrent,
    said: impl Fn(usize) -> Want,
) -> (Option<Vec<u32>>, FilePatch) {
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
pub(super) fn with_ending(torrent: &Torrent, dir: &Path, ending: &str) -> Option<String> {
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
pub(super) fn absolute(dir: &str) -> Result<PathBuf, String> {
    let dir = PathBuf::from(dir);
    match dir.is_absolute() {
        true => Ok(dir),
        false => Err(format!("its directory {} is no absolute path", shown(&dir))),
    }
}
