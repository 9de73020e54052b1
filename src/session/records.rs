//! The records of a state directory that no run needs at present, to look at and to clear: of each
//! torrent what is verified (`.resume`), what it has sent (`.stats`), and metadata that peers sent
//! (`.info`). Without a record the next start reads all data again; nothing else is lost but the
//! count of what was sent and the choice of files. Waits for the disk.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::ids::InfoHash;
use crate::disk::{Home, home_in, is_used, reserve};
use crate::metainfo::{Magnet, Torrent};

/// Metadata that is longer is not read for a name.
const METADATA_LEN_MAX: u64 = 32 << 20;

/// A torrent's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptRecord {
    /// Its file.
    pub path: PathBuf,
    /// The torrent.
    pub info_hash: InfoHash,
    /// What the torrent is called, if its metadata was kept; not yet escaped for a terminal.
    pub name: Option<String>,
    /// Where the torrent's files are; none where the record does not tell.
    pub home: Option<Home>,
    /// Bytes on disk, with what stands beside it.
    pub len_bytes: u64,
    /// When it was written to last.
    pub used: SystemTime,
    /// A program that runs has it.
    pub is_in_use: bool,
}

/// What came of [`KeptRecord::clear`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cleared {
    /// It is gone.
    Done,
    /// A program that runs has it, or its files: nothing was touched.
    InUse,
    /// Its files were being moved when a run ended: the record says how that goes on.
    Moving,
}

/// All records of a state directory, the one that was used longest ago first.
///
/// # Errors
/// The directory is there and cannot be read.
pub fn kept_records(state_dir: &Path) -> io::Result<Vec<KeptRecord>> {
    let entries = match fs::read_dir(state_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut records: Vec<_> =
        entries.filter_map(|entry| KeptRecord::of(entry.ok()?.path())).collect();
    records.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(records)
}

impl KeptRecord {
    /// None where the file is no record, or is gone meanwhile.
    fn of(path: PathBuf) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".resume")?;
        let hash = stem.split_once('-').map_or(stem, |(hash, _)| hash);
        let info_hash = Magnet::from_hash(hash)?.info_hash_v1?;
        if info_hash.to_string() != hash {
            return None;
        }
        let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let beside = fs::metadata(path.with_extension("stats")).map_or(0, |it| it.len());
        Some(Self {
            info_hash,
            name: name_of(&metadata_beside(&path, info_hash)),
            home: home_in(&path, info_hash),
            len_bytes: found.len() + beside,
            used: found.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            is_in_use: is_used(&path),
            path,
        })
    }

    /// Where its data is, as far as that is known: the torrent's file or folder, or the directory
    /// that it is in.
    pub fn place(&self) -> Option<PathBuf> {
        let home = self.home.as_ref()?;
        let name = home.folder.as_ref().or(self.name.as_ref().filter(|_| home.names.is_empty()));
        Some(name.map_or(home.dir.clone(), |name| home.dir.join(name)))
    }

    /// Is its data away? That of a disk that is not mounted is, too. Files have another name while
    /// they are not whole.
    pub fn is_missing(&self) -> bool {
        let Some(place) = self.place() else { return false };
        let mut part = place.clone().into_os_string();
        part.push(".part");
        !place.exists() && !Path::new(&part).exists()
    }

    /// Removes the record, what stands beside it, and, with the last record of the torrent, its
    /// metadata. Nobody else gets it meanwhile.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear(&self) -> io::Result<Cleared> {
        let dir = self.home.as_ref().map_or(Path::new(""), |home| &home.dir);
        let Some(_reserved) = reserve(&self.path, self.info_hash, dir) else {
            return Ok(Cleared::InUse);
        };
        if self.path.with_extension("move").exists() {
            return Ok(Cleared::Moving);
        }
        remove(&self.path)?;
        remove(&self.path.with_extension("stats"))?;
        let state_dir = self.path.parent().unwrap_or(Path::new("."));
        let others = kept_records(state_dir)?;
        if !others.iter().any(|other| other.info_hash == self.info_hash) {
            remove(&metadata_beside(&self.path, self.info_hash))?;
        }
        Ok(Cleared::Done)
    }
}

fn metadata_beside(record: &Path, info_hash: InfoHash) -> PathBuf {
    record.with_file_name(format!("{info_hash}.info"))
}

/// What a torrent is called by its metadata, if that was kept.
fn name_of(metadata: &Path) -> Option<String> {
    let is_short = fs::metadata(metadata).is_ok_and(|it| it.len() <= METADATA_LEN_MAX);
    let bytes = is_short.then(|| fs::read(metadata).ok()).flatten()?;
    Some(Torrent::from_info(&bytes).ok()?.name)
}

/// One that is gone already is as good.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
