//! Where the catalogue's torrents lie: one directory, a file a torrent, named by its info-hash,
//! and an index with their names. Every file appears whole or not at all, also after a crash.
//! Not here: what may be registered.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::base::ids::InfoHash;
use crate::metainfo::Torrent;
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
    _lock: File,
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
        fs::create_dir_all(dir).map_err(fail("make", dir))?;
        let lock_path = dir.join(LOCK);
        let lock = OpenOptions::new().append(true).create(true).open(&lock_path);
        let lock = lock.map_err(fail("open", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(ShelfError::InUse { dir: dir.to_owned() });
            }
            Err(error) => return Err(fail("lock", &lock_path)(error.into())),
        }
        let shelf = Self { dir: dir.to_owned(), _lock: lock };
        let path = dir.join(INDEX);
        let text = match read_whole(&path, INDEX_LEN_MAX) {
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
        let seed: [u8; 32] = match read_whole(&path, 256) {
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
        read_whole(&self.dir.join(torrent_name(info_hash)), TORRENT_LEN_MAX as u64)
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
        let new_path = self.dir.join(format!("{name}.new"));
        let written = || {
            let mut how = OpenOptions::new();
            how.write(true).create(true).truncate(true);
            if name == IDENTITY {
                how.mode(0o600);
            }
            let mut file = how.open(&new_path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new_path, self.dir.join(name))?;
            File::open(&self.dir)?.sync_all()
        };
        written().inspect_err(|_| {
            // What is half written takes space that may be what is missing.
            let _ = fs::remove_file(&new_path);
        })
    }
}

fn torrent_name(info_hash: &InfoHash) -> String {
    format!("{info_hash}.torrent")
}

fn read_whole(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > len_max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large")),
        false => Ok(bytes),
    }
}
