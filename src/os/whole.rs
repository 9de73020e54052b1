//! Whole files: written beside the one that is to be replaced, and renamed. Whoever reads sees
//! the old one or the new one, whatever happens in between. What is half written is removed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// So many temporary files of one process are left over at most before nobody makes another.
const LEFT_OVER_MAX: u32 = 1000;

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    is_durable: bool,
    is_private: bool,
    is_ours: bool,
}

impl How {
    /// It is on the device, under its name, when it is finished: a loss of power keeps the old
    /// file or the new one.
    pub const DURABLE: Self = Self { is_durable: true, is_private: false, is_ours: false };
    /// Nothing waits for the device: what a loss of power takes can be made again.
    pub const QUICK: Self = Self { is_durable: false, ..Self::DURABLE };

    /// Only its owner may read it.
    #[must_use]
    pub const fn private(self) -> Self {
        Self { is_private: true, ..self }
    }

    /// Nobody else writes this file at the same time: a lock or the directory sees to that. What a
    /// crash left beside it, `NAME.new`, is then replaced by the next one.
    #[must_use]
    pub const fn alone(self) -> Self {
        Self { is_ours: true, ..self }
    }
}

/// A file being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    how: How,
    is_finished: bool,
}

impl NewFile {
    /// Begins the file `target`, whose directory is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(target: &Path, how: How) -> io::Result<Self> {
        let (file, temporary) = match how.is_ours {
            true => beside(target, how)?,
            false => among_others(target, how)?,
        };
        Ok(Self { file, temporary, target: target.to_owned(), how, is_finished: false })
    }

    /// Where it lies until it is finished.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name; what had the name before is gone.
    ///
    /// # Errors
    /// The old file is still whole then, unless the device refused to keep the new name.
    pub fn finish(mut self) -> io::Result<()> {
        if self.how.is_durable {
            self.file.sync_all()?;
        }
        fs::rename(&self.temporary, &self.target)?;
        self.is_finished = true;
        if self.how.is_durable { sync_names(&self.target) } else { Ok(()) }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // What is half written takes space that may be what is missing.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a whole file so.
///
/// # Errors
/// As [`NewFile`]'s.
pub fn replace(target: &Path, bytes: &[u8], how: How) -> io::Result<()> {
    let mut file = NewFile::create(target, how)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Reads a file that has no more than `len_max` bytes.
///
/// # Errors
/// `FileTooLarge`, and what the system says.
pub fn read(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > len_max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long")),
        false => Ok(bytes),
    }
}

/// Removes a file, for good.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_names(path)
}

/// Makes a directory and those above that lack, for good.
///
/// # Errors
/// What the system says.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().try_for_each(sync_names)
}

/// Brings to the device which files the directory of this one has.
///
/// # Errors
/// What the system says.
pub fn sync_names(path: &Path) -> io::Result<()> {
    File::open(dir_of(path))?.sync_all()
}

fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// `NAME.new`, in the place of one that a crash left: that may be another user's to read.
fn beside(target: &Path, how: How) -> io::Result<(File, PathBuf)> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = target.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok((create(&temporary, how)?, temporary))
}

/// A name of this process's own. It is not made of the target's, which may be as long as names
/// can be.
fn among_others(target: &Path, how: How) -> io::Result<(File, PathBuf)> {
    let mut attempt = 0;
    loop {
        let name = OsString::from(format!(".new-{}-{attempt}", std::process::id()));
        let temporary = target.with_file_name(name);
        match create(&temporary, how) {
            Ok(file) => return Ok((file, temporary)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && attempt < LEFT_OVER_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn create(path: &Path, how: How) -> io::Result<File> {
    let mode = if how.is_private { 0o600 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_one_takes_the_place_and_nothing_else_is_left() {
        for how in [How::DURABLE, How::QUICK, How::DURABLE.alone(), How::QUICK.private().alone()] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            for bytes in [&b"one"[..], b"two"] {
                replace(&path, bytes, how).unwrap();
                assert_eq!(read(&path, 3).unwrap(), bytes);
            }
            assert_eq!(names(dir.path()), ["a"], "{how:?}");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode == 0o600, how.is_private, "{mode:o}");
        }
    }

    #[test]
    fn the_old_one_stays_until_the_new_one_is_finished() {
        for how in [How::DURABLE, How::QUICK.alone()] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            fs::write(&path, "old").unwrap();
            let mut file = NewFile::create(&path, how).unwrap();
            file.write_all(b"half").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert!(file.temporary().exists());
            drop(file);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(names(dir.path()), ["a"]);
        }
    }

    #[test]
    fn two_writers_do_not_mix_and_leftovers_are_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut one = NewFile::create(&path, How::QUICK).unwrap();
        let mut other = NewFile::create(&path, How::QUICK).unwrap();
        one.write_all(b"one").unwrap();
        other.write_all(b"other").unwrap();
        one.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        other.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"other");
        // Readable for all, and longer than what comes.
        fs::write(dir.path().join("a.new"), "left by a crash").unwrap();
        replace(&path, b"new", How::QUICK.private().alone()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_name_as_long_as_can_be_can_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        replace(&path, b"one", How::QUICK).unwrap();
        replace(&path, b"two", How::QUICK).unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read(&path, u64::MAX).unwrap(), b"four");
    }

    #[test]
    fn directories_are_made_and_files_removed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make_dir(&deep).unwrap();
        make_dir(&deep).unwrap();
        replace(&deep.join("f"), b"", How::DURABLE).unwrap();
        remove(&deep.join("f")).unwrap();
        assert!(names(&deep).is_empty());
        assert!(remove(&deep.join("f")).is_err());
    }
}
