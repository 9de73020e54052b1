//! What a folder's later run is to know: which of its files were added. It errs on the side of
//! adding again: a session that has the torrent says so, and only one that was removed meanwhile
//! comes back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::ready::Look;
use crate::os::whole::{self, How};

/// The longest such file: ten thousand names as long as names can be.
const LEN_MAX: u64 = 8 << 20;

/// As it is written.
#[derive(Serialize, Deserialize, Default)]
struct Written {
    /// Device and number of the folder.
    folder: (u64, u64),
    /// Names in hex, which need not be text, with length and time.
    files: Vec<(String, u64, i64, i64)>,
}

/// Which files of a folder were added.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Device and number of the folder that they are in.
    pub folder: (u64, u64),
    /// By their names.
    pub files: BTreeMap<OsString, Look>,
}

impl Memory {
    /// What is kept at this path; nothing when there is none, or none that can be read. Waits for
    /// the disk.
    pub fn at(path: &Path) -> Self {
        let read = whole::read(path, LEN_MAX).ok();
        let read = read.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        let Written { folder, files } = read.unwrap_or_default();
        let named = files.into_iter().filter_map(|(name, len_bytes, seconds, nanoseconds)| {
            let name = HEXLOWER.decode(name.as_bytes()).ok()?;
            Some((OsString::from_vec(name), Look { len_bytes, changed: (seconds, nanoseconds) }))
        });
        Self { folder, files: named.collect() }
    }

    /// Writes it. Waits for the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let files = self.files.iter().map(|(name, look)| {
            let (seconds, nanoseconds) = look.changed;
            (HEXLOWER.encode(name.as_bytes()), look.len_bytes, seconds, nanoseconds)
        });
        let written = Written { folder: self.folder, files: files.collect() };
        whole::make_dir(path.parent().unwrap_or(Path::new("/")))?;
        whole::replace(path, &serde_json::to_vec(&written)?, How::DURABLE.private().alone())
    }
}

/// Where it is kept of this folder, below `home`.
pub fn path_of(home: &Path, dir: &Path) -> PathBuf {
    let digest = ring::digest::digest(&ring::digest::SHA256, dir.as_os_str().as_bytes());
    let short = digest.as_ref().get(..8).unwrap_or_default();
    home.join(format!("watched-{}.json", HEXLOWER.encode(short)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_broken_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = path_of(home.path(), Path::new("/srv/drop"));
        assert_ne!(path, path_of(home.path(), Path::new("/srv/drop2")));
        assert_eq!(Memory::at(&path), Memory::default());
        let look = Look { len_bytes: 3, changed: (1, 999) };
        let names = [OsString::from("a.torrent"), OsString::from_vec(b"\xff\n.torrent".to_vec())];
        let memory = Memory { folder: (1, u64::MAX), files: names.map(|it| (it, look)).into() };
        memory.write(&path).unwrap();
        assert_eq!(Memory::at(&path), memory);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Memory::at(&path), Memory::default());
    }
}
