//! A file that appears whole or not at all: written under a temporary name beside the one it
//! is to have, and renamed when it is complete. Not promised: that it outlives a crash of
//! the machine.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// So many temporary files of one name are left over at most before nobody makes another.
const LEFT_OVER_MAX: u32 = 1000;

/// A file being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Begins the file `target`; its directory is made when missing.
    pub(super) fn create(target: &Path) -> io::Result<Self> {
        let dir = target.parent().unwrap_or(Path::new(""));
        if !dir.as_os_str().is_empty() {
            fs::create_dir_all(dir)?;
        }
        let mut attempt = 0;
        loop {
            // The name is not made of the target's, which may be as long as names can be.
            let name = OsString::from(format!(".new-{}-{attempt}", std::process::id()));
            let temporary = dir.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok(Self { file, temporary, target: target.to_owned() }),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempt < LEFT_OVER_MAX =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Where it lies until it is finished.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name; what had the name before is gone.
    pub(super) fn finish(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After it was renamed there is none, and that is fine.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole file so.
pub(super) fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::create(target)?;
    file.write(bytes)?;
    file.finish()
}
