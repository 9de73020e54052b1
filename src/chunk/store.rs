//! The chunks of one provider: the files `<chunks>/<name>/<sha1>.bin`. Looked up anew at
//! each request, so that a chunk counts as soon as it lies there. Nothing of a stranger
//! becomes part of a path but a hash as 40 hex digits.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::base::digest::sha1;
use crate::os::whole::{self, How};

use super::wire::ChunkHash;

/// A name that would lead out of the directory of chunks, or nowhere.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no name for a provider: its directory could not be called so")]
pub struct NotAName {
    /// The name.
    pub name: String,
}

/// One provider's directory. Cheap; nothing is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkStore {
    dir: PathBuf,
}

impl ChunkStore {
    /// The chunks of provider `name` in the directory `chunks`; neither need be there.
    ///
    /// # Errors
    /// When the name is not one plain element of a path.
    pub fn new(chunks: &Path, name: &str) -> Result<Self, NotAName> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
            return Err(NotAName { name: name.to_owned() });
        }
        Ok(Self { dir: chunks.join(name) })
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the chunk lies, or would.
    pub fn path(&self, hash: ChunkHash) -> PathBuf {
        self.dir.join(format!("{hash}.bin"))
    }

    /// Opens a chunk for reading and tells its length in bytes; none when it is not there, or
    /// what is there is no regular file. Its content is not looked at. Blocks on the disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(&self, hash: ChunkHash) -> io::Result<Option<(File, u64)>> {
        // Without NONBLOCK, opening a named pipe would wait for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::open(self.path(hash), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // LOOP is a link, NXIO a socket.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata.len())))
    }

    /// Reads a chunk of at most `most` bytes; none as [`open`](Self::open). Whether it is what
    /// its name says is not checked. Blocks on the disk.
    ///
    /// # Errors
    /// When the system refuses, and `InvalidData` when it is longer than `most`.
    pub fn read(&self, hash: ChunkHash, most: u32) -> io::Result<Option<Vec<u8>>> {
        let Some((file, len)) = self.open(hash)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(len.min(most.into()) as usize);
        // It may grow while it is read.
        file.take(u64::from(most) + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most.into() {
            let what = format!("chunk of over {most} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Some(bytes))
    }

    /// Writes a chunk, whose bytes must be those of the hash, and makes the directory when
    /// missing. Nobody ever sees a part of it. One that is there and right is left alone.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, hash: ChunkHash, bytes: &[u8]) -> io::Result<()> {
        debug_assert_eq!(hash.0, sha1(&[bytes]), "a chunk is written under its own hash");
        if self.holds(hash, bytes) {
            return Ok(());
        }
        let path = self.path(hash);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        whole::replace(&path, bytes, How::QUICK)
    }

    /// Whether just this is there already. What cannot be read is written anew.
    fn holds(&self, hash: ChunkHash, bytes: &[u8]) -> bool {
        let Ok(Some((file, len))) = self.open(hash) else { return false };
        if len != bytes.len() as u64 {
            return false;
        }
        let mut there = Vec::with_capacity(bytes.len());
        let read = file.take(len).read_to_end(&mut there);
        read.is_ok() && sha1(&[&there]) == hash.0
    }
}
