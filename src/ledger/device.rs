//! What the ledger needs of a directory of files. A seam, so that tests can take the power away or
//! fill the disk; what is real here is only a thin layer over the system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::os::whole::{How, NewFile, sync_names};

/// What is written at once of a file that is written as a whole.
const BUFFER_LEN: usize = 1 << 20;

/// The files of a directory.
pub(super) trait Device: Send + Sync + std::fmt::Debug {
    /// Their names.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>>;
    /// Puts what `write` writes in the place of a file, made when missing: when this returns, it is
    /// on the device under its name. After a failure either file may have the name.
    fn replace(&self, name: &str, write: Fill<'_>) -> io::Result<()>;
    /// Takes a file's name away. After a loss of power it may have it again.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Brings all names to the device.
    fn sync_names(&self) -> io::Result<()>;
}

/// Writes a file from its beginning.
pub(super) type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// An open file.
pub(super) trait Medium: Send + Sync + std::fmt::Debug {
    /// Bytes that it has.
    fn length(&self) -> io::Result<u64>;
    /// Fills `into` from here.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes at this place, which may be its end.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Takes away what is behind its first `len` bytes.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Brings all of it to the device.
    fn sync(&self) -> io::Result<()>;
    /// It has no name any more: somebody removed or replaced it.
    fn is_gone(&self) -> io::Result<bool>;
}

/// A directory of the system.
#[derive(Debug)]
pub(super) struct Directory(pub PathBuf);

impl Device for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        // Ours are plain; others do not matter.
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().into_string().ok()).transpose()
        };
        fs::read_dir(&self.0)?.filter_map(name).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.0.join(name))?))
    }

    fn replace(&self, name: &str, write: Fill<'_>) -> io::Result<()> {
        // Who has the lock of the directory is alone in it.
        let how = How::DURABLE.private().alone();
        let mut file =
            BufWriter::with_capacity(BUFFER_LEN, NewFile::create(&self.0.join(name), how)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_names(&self.0.join(super::LEDGER))
    }
}

impl Medium for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn is_gone(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() == 0)
    }
}
