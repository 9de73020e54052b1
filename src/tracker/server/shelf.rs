//! Where the catalogue's torrents lie: one directory, a file a torrent, named by its info-hash,
//! and an index with their names. Every file appears whole or not at all, also after a crash.
//! Not here: what may be registered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::ids::InfoHash;
use crate::metainfo::Torrent;
use crate::os::lock::{FileLock, Refused};
use crate::os::whole::{self, How, make_dir};
use crate::tracker::catalogue::{
    Catalogue, CatalogueLimits, Entry, IndexLine, TORRENT_LEN_MAX, read_index,
};
use crate::tracker::proof::{Identity, decode};

const INDEX: &str = "index.json";
const LOCK: &str = "lock";
/// The seed of the tracker's key, in hexadecimal: a secret.
const IDENTITY: &str = "identity";

/// Longest index that is read: 10,000 names of 255 bytes, each six times as long when it is
/// escaped, and as much again for the rest.
const INDEX_LEN_MAX: u64 = 32 << 20;

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The directory cannot be used.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another tracker uses it.
    #[error("another tracker keeps its catalogue in {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The index is there and cannot be read; nothing is overwritten then.
    #[error("the catalogue's index {} is damaged: {why}; move it away to begin anew", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The directory, ours alone.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    _lock: FileLock,
}

impl Shelf {
    /// Takes the directory, made when missing, and reads what lies there. Returns the catalogue
    /// and a line for each torrent that is left out because it is damaged.
    pub(super) fn open(
        dir: &Path,
        limits: CatalogueLimits,
    ) -> Result<(Self, Catalogue, Vec<String>), ShelfError> {
        let fail = |what, path: &Path| {
            let path = path.to_owned();
            move |cause| ShelfError::Io { what, path, cause }
        };
        make_dir(dir).map_err(fail("make", dir))?;
        let lock = FileLock::take(&dir.join(LOCK)).map_err(|refused| match refused {
            Refused::InUse { dir, .. } => ShelfError::InUse { dir },
            Refused::Io { path, source } => fail("lock", &path)(source),
        })?;
        let shelf = Self { dir: dir.to_owned(), _lock: lock };
        let path = dir.join(INDEX);
        let text = match whole::read(&path, INDEX_LEN_MAX) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((shelf, Catalogue::new(limits), Vec::new()));
            }
            Err(error) => return Err(fail("read", &path)(error)),
        };
        let lines = read_index(&text).map_err(|why| ShelfError::Index { path, why })?;
        let mut catalogue = Catalogue::new(limits);
        let mut damaged = Vec::new();
        for line in lines {
            let entry = shelf.load(&line);
            let inserted =
                entry.and_then(|entry| catalogue.insert(entry).map_err(|error| error.to_string()));
            if let Err(why) = inserted {
                damaged.push(format!("{} ({}): {why}", line.name, line.info_hash));
            }
        }
        Ok((shelf, catalogue, damaged))
    }

    /// Which tracker this is: the same at every start, made at the first.
    pub(super) fn identity(&self) -> Result<Identity, ShelfError> {
        let path = self.dir.join(IDENTITY);
        let fail = |what| {
            let path = path.clone();
            move |cause| ShelfError::Io { what, path, cause }
        };
        let seed: [u8; 32] = match whole::read(&path, 256) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
                decode(text.trim()).ok_or_else(damaged).map_err(fail("read"))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seed: [u8; 32] = rand::random();
                let text = data_encoding::HEXLOWER.encode(&seed) + "\n";
                self.replace(IDENTITY, text.as_bytes()).map_err(fail("write"))?;
                seed
            }
            Err(error) => return Err(fail("read")(error)),
        };
        let none = || io::Error::new(io::ErrorKind::InvalidData, "it makes no key");
        Identity::from_seed(&seed).ok_or_else(none).map_err(fail("use"))
    }

    /// One torrent of the index, if it is still what the index says.
    fn load(&self, line: &IndexLine) -> Result<Entry, String> {
        let digits = line.info_hash.as_bytes();
        let hash = data_encoding::HEXLOWER.decode(digits).ok();
        let hash: Option<[u8; 20]> = hash.and_then(|hash| hash.try_into().ok());
        let info_hash = InfoHash(hash.ok_or("not an info-hash")?);
        let bytes = self.read(&info_hash).map_err(|error| error.to_string())?;
        let torrent = Torrent::parse(&bytes).map_err(|error| error.to_string())?;
        let entry = Entry::new(&line.name, &torrent, bytes.len() as u64, line.added_s)
            .map_err(|error| error.to_string())?;
        match entry.info_hash == info_hash {
            true => Ok(entry),
            false => Err("the file holds another torrent".to_owned()),
        }
    }

    /// Writes a torrent; it is on disk when this returns.
    pub(super) fn write(&self, info_hash: &InfoHash, torrent: &[u8]) -> io::Result<()> {
        self.replace(&torrent_name(info_hash), torrent)
    }

    /// Reads a torrent.
    pub(super) fn read(&self, info_hash: &InfoHash) -> io::Result<Vec<u8>> {
        whole::read(&self.dir.join(torrent_name(info_hash)), TORRENT_LEN_MAX as u64)
    }

    /// Removes a torrent. The index must not name it any more.
    pub(super) fn remove(&self, info_hash: &InfoHash) -> io::Result<()> {
        fs::remove_file(self.dir.join(torrent_name(info_hash)))
    }

    /// Replaces the index.
    pub(super) fn write_index(&self, text: &str) -> io::Result<()> {
        self.replace(INDEX, text.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // The directory is ours alone.
        let how = How::DURABLE.alone();
        let how = if name == IDENTITY { how.private() } else { how };
        whole::replace(&self.dir.join(name), bytes, how)
    }
}

fn torrent_name(info_hash: &InfoHash) -> String {
    format!("{info_hash}.torrent")
}
