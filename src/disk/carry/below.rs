//! What moving needs of a directory beside opening and renaming files below it: room, mounts and
//! clearing up. Links are not followed here either.

use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::disk::beneath::{Base, Mount, mount};
use crate::disk::device::free_bytes;
use crate::disk::error::Error;

impl Base {
    /// Makes the directories that lead to a path, and tells whether files may be made and
    /// removed in the last one.
    pub(in crate::disk) fn prepare_for(&self, path: &Path) -> io::Result<()> {
        let (parent, _) = self.parent(path, true)?;
        let asked = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        Ok(rustix::fs::accessat(&parent, ".", asked, AtFlags::EACCESS)?)
    }

    /// Removes a directory if it is empty; tells whether it did.
    pub(in crate::disk) fn remove_directory(&self, path: &Path) -> bool {
        let Ok((parent, name)) = self.parent(path, false) else { return false };
        rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).is_ok()
    }

    /// Removes the directories that lead to a path, as far as they are empty.
    pub(in crate::disk) fn remove_empty_above(&self, path: &Path) {
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            // Not empty, or gone: then there is nothing to do above it either, or little.
            if !self.remove_directory(above) {
                return;
            }
        }
    }

    /// What the symbolic link at a path holds; none when no link stands there.
    pub(in crate::disk) fn content_of_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let (parent, name) = match self.parent(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Ok(content) => {
                Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(content.into_bytes()))))
            }
            Err(Errno::NOENT | Errno::INVAL | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes that a file takes on its device; holes take none.
    pub(in crate::disk) fn allocated(&self, path: &Path) -> io::Result<u64> {
        let (parent, name) = self.parent(path, false)?;
        let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(if is_file { len.min(blocks) } else { 0 })
    }

    /// Bytes that we may still write there; none where the system does not tell.
    pub(in crate::disk) fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(free_bytes(&rustix::fs::fstatvfs(self.nearest()?)?))
    }

    /// The mount that a file is on, or would be made on.
    pub(in crate::disk) fn mount_of(&self, path: &Path) -> io::Result<Mount> {
        for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            match self.parent(path, false) {
                Ok((parent, _)) => return mount(&parent),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        mount(&self.nearest()?)
    }
}

/// Refuses a place where something stands.
///
/// # Errors
/// `Occupied`; `Io`.
pub(in crate::disk) fn is_free(base: &Base, path: &Path) -> Result<(), Error> {
    match base.stands(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Occupied { path: base.full(path) }),
        Err(error) => Err(Error::io("looking at", base.full(path), error)),
    }
}
