//! Opening, renaming and looking at files below one directory without following a link
//! below it: every element of a path is opened on its own with `O_NOFOLLOW`. The directory
//! itself may be reached through links; it is the user's. Knows nothing of torrents.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::only::Only;

/// The directory that everything is below. It is opened at the first need and then held, so
/// that a directory mounted over it later, or moved, changes nothing. All that hold the same one
/// share a descriptor.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    held: OnceLock<Arc<HeldDir>>,
    /// How many refusals of its file system had come when this base last asked.
    refusals_seen: AtomicU64,
    /// The file system that it would have been made on when it was first found missing.
    missing_on: OnceLock<u64>,
}

/// An open directory, shared by all that hold it.
#[derive(Debug)]
struct HeldDir {
    fd: OwnedFd,
    /// How often its file system, synced as a whole, had refused something. The system tells each
    /// refusal once for each open directory, to whoever asks first.
    refusals: Only<u64>,
}

/// The directories that are held, by mount and inode.
static HELD: LazyLock<Only<HeldDirs>> = LazyLock::new(|| Only::new(HashMap::new()));

type HeldDirs = HashMap<(Mount, u64), Weak<HeldDir>>;

/// What came of syncing a file system as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whole {
    /// All that was written is on the device.
    Taken,
    /// The device refused something, of whomever.
    Refused(Errno),
    /// It refused something earlier, and another one was told.
    Doubtful,
}

/// Between two places of one mount files can be renamed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Mount {
    device: u64,
    /// 0 where the system does not tell.
    id: u64,
}

impl Mount {
    /// Is it of the same device, though files may not be renamed between the two?
    pub(super) fn is_on_device_of(&self, other: &Self) -> bool {
        self.device == other.device
    }
}

/// The mount of an open directory.
pub(super) fn mount(dir: &impl AsFd) -> io::Result<Mount> {
    let device = rustix::fs::fstat(dir)?.st_dev;
    Ok(Mount { device, id: mount_id(dir).unwrap_or(0) })
}

#[cfg(target_os = "linux")]
fn mount_id(dir: &impl AsFd) -> Option<u64> {
    use rustix::fs::{StatxFlags, statx};

    let found = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let told = StatxFlags::from_bits_retain(found.stx_mask);
    told.contains(StatxFlags::MNT_ID).then_some(found.stx_mnt_id)
}

#[cfg(not(target_os = "linux"))]
fn mount_id(_: &impl AsFd) -> Option<u64> {
    None
}

/// The descriptor that others hold this directory by, if any do.
fn shared(fd: OwnedFd) -> Arc<HeldDir> {
    let key = || Ok::<_, io::Error>((mount(&fd)?, rustix::fs::fstat(&fd)?.st_ino));
    let key = key();
    let new = || Arc::new(HeldDir { fd, refusals: Only::new(0) });
    let Ok(key) = key else { return new() };
    HELD.with(|held| match held.get(&key).and_then(Weak::upgrade) {
        Some(there) => there,
        None => {
            let new = new();
            held.insert(key, Arc::downgrade(&new));
            new
        }
    })
}

impl Drop for Base {
    fn drop(&mut self) {
        let ours = self.held.take().filter(|ours| Arc::strong_count(ours) == 1);
        let Some(ours) = ours.as_ref().map(Arc::downgrade) else { return };
        HELD.with(|held| held.retain(|_, there| !there.ptr_eq(&ours)));
    }
}

/// Which directory it is, over mounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Footing {
    /// As the system numbers it; 0 when it does not tell.
    pub file_system: u64,
    pub inode: u64,
}

/// What became of a directory that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whereabouts {
    /// It is at its path; or it was not opened yet, or cannot be seen for another reason.
    Here,
    /// It does not exist any more.
    Deleted,
    /// Something else is at its path, or nothing.
    Away(Footing),
}

/// What to open a file for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Access {
    /// Reading; it must be there.
    Read,
    /// Reading and writing; made when missing, with its directories.
    Write,
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// A regular file, and no link, directory or device?
    pub is_file: bool,
    /// Bytes.
    pub len: u64,
    /// Which file it is and when it was last changed.
    pub stamp: Stamp,
    /// The device that its inode is of.
    pub device: u64,
    /// It has no name any more: whoever has it open is the last to see it.
    pub is_deleted: bool,
}

/// Identity and last change of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    /// Inode.
    pub inode: u64,
    /// Last change of its bytes, nanoseconds since 1970.
    pub modified_ns: i64,
}

impl Stamp {
    /// One that no file has.
    pub(super) const OF_NO_FILE: Self = Self { inode: 0, modified_ns: i64::MIN };
}

/// A directory on the way to a file: the base, or one opened below it.
pub(super) struct Parent<'a> {
    base: &'a OwnedFd,
    below: Option<OwnedFd>,
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.below.as_ref().unwrap_or(self.base).as_fd()
    }
}

impl Parent<'_> {
    /// Opens a regular file in it; anything else that stands there is refused.
    pub(super) fn open(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        // Without NONBLOCK, opening a named pipe would wait for ever.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(self, name, flags, FILE_MODE)?);
        // What was just made is one.
        match flags.contains(OFlags::EXCL) || found_open(&file)?.is_file {
            true => Ok(file),
            false => Err(Errno::ISDIR.into()),
        }
    }
}

impl Base {
    pub(super) fn new(path: PathBuf) -> Self {
        let (held, refusals_seen) = (OnceLock::new(), AtomicU64::new(0));
        Self { path, held, refusals_seen, missing_on: OnceLock::new() }
    }

    /// Its own path, for people.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something below, for people.
    pub(super) fn full(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// What became of the directory since it was opened.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        let Some(held) = self.held.get().map(|held| &held.fd) else { return Whereabouts::Here };
        let Ok(ours) = rustix::fs::fstat(held) else { return Whereabouts::Here };
        let is_away = match rustix::fs::stat(&self.path) {
            Ok(there) => (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino),
            Err(error) => matches!(error, Errno::NOENT | Errno::NOTDIR),
        };
        match is_away {
            false => Whereabouts::Here,
            true if ours.st_nlink == 0 => Whereabouts::Deleted,
            true => match footing(held) {
                Ok(footing) => Whereabouts::Away(footing),
                Err(_) => Whereabouts::Here,
            },
        }
    }

    /// Which directory it is; none while there is none.
    pub(super) fn footing(&self) -> Option<Footing> {
        footing(self.base(false).ok()?).ok()
    }

    /// Which file system is at its path now, as the system numbers it; 0 when it does not
    /// tell. While the directory is missing, that of the nearest one above it which is there:
    /// the one on which it would be made.
    pub(super) fn file_system_at_path(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstatvfs(self.nearest()?)?.f_fsid)
    }

    /// The directory, or the nearest one above it that is there.
    pub(super) fn nearest(&self) -> io::Result<OwnedFd> {
        let absolute = std::path::absolute(&self.path)?;
        let mut missing = io::Error::from(io::ErrorKind::NotFound);
        for path in absolute.ancestors() {
            match open_anywhere(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
                other => return other,
            }
        }
        Err(missing)
    }

    /// Opens a file. What is there and not a regular file is refused.
    pub(super) fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let (parent, name) = self.parent(path, access == Access::Write)?;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR | OFlags::CREATE,
        };
        parent.open(name, flags)
    }

    /// Makes a file that is not there yet, with its directories.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let (parent, name) = self.parent(path, true)?;
        parent.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// What stands at the path; none when there is nothing, or no directory that leads there.
    pub(super) fn stat(&self, path: &Path) -> io::Result<Option<Found>> {
        let stat = self.parent(path, false).and_then(|(parent, name)| {
            Ok(rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
        });
        match stat {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What stands in a directory, in no order; the empty path is the base itself. Of links
    /// it tells that they are links, not what they lead to.
    pub(super) fn entries(&self, path: &Path) -> io::Result<Vec<(OsString, Stat)>> {
        let dir = self.directory(path, false)?;
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&dir)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push((name, stat)),
                // Gone since the directory was read.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(entries)
    }

    /// The directory of this path, made when asked for; the empty path is the base itself.
    pub(super) fn directory(&self, path: &Path, make: bool) -> io::Result<Parent<'_>> {
        let mut dir = Parent { base: self.base(make)?, below: None };
        for element in path {
            dir.below = Some(open_directory(&dir, element, make)?);
        }
        Ok(dir)
    }

    /// Renames `from` to `to` below another directory of the same mount, unless something
    /// stands there.
    pub(super) fn hand_over(&self, from: &Path, into: &Base, to: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from, false)?;
        let (to_parent, to_name) = into.parent(to, true)?;
        rename_unless_taken((&from_parent, from_name), (&to_parent, to_name))
    }

    /// Does anything stand there, whatever it is?
    pub(super) fn stands(&self, path: &Path) -> io::Result<bool> {
        match self.stat(path) {
            Ok(found) => Ok(found.is_some()),
            // A file is where a directory would have to be.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes a file or a link; one that is gone is fine.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = match self.parent(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames a file; whatever stood at `to` is gone.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from, false)?;
        let (to_parent, to_name) = self.parent(to, true)?;
        Ok(rustix::fs::renameat(&from_parent, from_name, &to_parent, to_name)?)
    }

    /// Brings the names in a directory, and those of the directories that lead to it, to the
    /// device. The empty path is the base itself.
    pub(super) fn sync_directories(&self, path: &Path) -> io::Result<()> {
        let mut dir = Parent { base: self.base(false)?, below: None };
        taken(rustix::fs::fsync(&dir))?;
        for element in path {
            dir.below = Some(open_directory(&dir, element, false)?);
            taken(rustix::fs::fsync(&dir))?;
        }
        Ok(())
    }

    /// Makes the symbolic link `path` with this content; one that is there already stays.
    pub(super) fn link(&self, content: &Path, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        match rustix::fs::symlinkat(content, &parent, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of a path below, made when asked for, and the path's last element.
    pub(super) fn parent<'a, 'p>(
        &'a self,
        path: &'p Path,
        make: bool,
    ) -> io::Result<(Parent<'a>, &'p OsStr)> {
        let mut parent = Parent { base: self.base(make)?, below: None };
        let mut elements = path.components().peekable();
        while let Some(element) = elements.next() {
            let Component::Normal(name) = element else { break };
            if elements.peek().is_none() {
                return Ok((parent, name));
            }
            parent.below = Some(open_directory(&parent, name, make)?);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "path leaves its directory"))
    }

    /// Refuses to make the directory on another file system than the one that was there when
    /// it was first looked for: that was unmounted.
    fn may_make(&self) -> io::Result<()> {
        let here = self.file_system_at_path()?;
        match *self.missing_on.get_or_init(|| here) == here {
            true => Ok(()),
            false => Err(io::Error::other("its file system is not mounted any more")),
        }
    }

    fn make(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        // Its own name has to outlive a power loss as well.
        match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    fn base(&self, make: bool) -> io::Result<&OwnedFd> {
        if let Some(held) = self.held.get() {
            return Ok(&held.fd);
        }
        let fd = match open_anywhere(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.may_make()?;
                if !make {
                    return Err(error);
                }
                self.make()?;
                open_anywhere(&self.path)?
            }
            other => other?,
        };
        // Two workers may come here at once; either descriptor will do.
        let held = self.held.get_or_init(|| {
            let held = shared(fd);
            // What was refused before anything of ours was written does not concern us.
            self.refusals_seen.store(held.refusals.with(|count| *count), Ordering::Release);
            held
        });
        Ok(&held.fd)
    }

    /// Syncs the file system that the directory is on. The directory has to be open since
    /// before anything was written that this is to tell of.
    pub(super) fn sync_file_system(&self) -> Whole {
        self.sync_by(|fd| rustix::fs::syncfs(fd))
    }

    fn sync_by(&self, sync: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>) -> Whole {
        let Some(held) = self.held.get() else { return Whole::Doubtful };
        // One at a time: nobody is to look at the count between a refusal and its note.
        held.refusals.with(|count| {
            let synced = sync(&held.fd);
            *count += u64::from(synced.is_err());
            let seen = self.refusals_seen.swap(*count, Ordering::AcqRel);
            match synced {
                Err(errno) => Whole::Refused(errno),
                Ok(()) if seen != *count => Whole::Doubtful,
                Ok(()) => Whole::Taken,
            }
        })
    }
}

/// Which directory this is.
fn footing(held: &OwnedFd) -> io::Result<Footing> {
    let file_system = rustix::fs::fstatvfs(held)?.f_fsid;
    Ok(Footing { file_system, inode: rustix::fs::fstat(held)?.st_ino })
}

/// Both are narrowed by the user's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// Renames a file, unless something stands at its new name.
pub(super) fn rename_unless_taken(
    (from, from_name): (&Parent<'_>, &OsStr),
    (to, to_name): (&Parent<'_>, &OsStr),
) -> io::Result<()> {
    match rustix::fs::renameat_with(from, from_name, to, to_name, RenameFlags::NOREPLACE) {
        // Some file systems know only the plain call.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::statat(to, to_name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => Ok(rustix::fs::renameat(from, from_name, to, to_name)?),
                Ok(_) => Err(Errno::EXIST.into()),
                Err(error) => Err(error.into()),
            }
        }
        other => Ok(other?),
    }
}

/// Opens a directory of the user's, links followed.
fn open_anywhere(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn open_directory(parent: &Parent<'_>, name: &OsStr, make: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) if make => match rustix::fs::mkdirat(parent, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(open()?),
            Err(error) => Err(error.into()),
        },
        other => Ok(other?),
    }
}

/// Brings what was written to an open file to the device.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    taken(rustix::fs::fdatasync(file))
}

/// File systems that cannot be written have nothing to bring, and some say so as an error.
fn taken(synced: rustix::io::Result<()>) -> io::Result<()> {
    match synced {
        Err(Errno::INVAL | Errno::ROFS | Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}

/// What `fstat` says of an open file.
pub(super) fn found_open(file: &File) -> io::Result<Found> {
    Ok(found(&rustix::fs::fstat(file)?))
}

/// What `stat` says.
pub(super) fn found(stat: &Stat) -> Found {
    let seconds: i64 = stat.st_mtime;
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Found {
        is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        len: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev,
        is_deleted: stat.st_nlink == 0,
        stamp: Stamp {
            inode: stat.st_ino,
            modified_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
        },
    }
}

/// Are all elements plain names: not absolute, no `..`, not empty?
pub(super) fn is_plain(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|element| matches!(element, Component::Normal(_)))
}

/// Does a link at `at` with content `content` stay below the directory that `at` is
/// relative to? Judged by the text: it may climb only at its beginning, where the way back
/// is made of real directories. Behind a name that may itself be a link, `..` leads anywhere.
pub(super) fn link_stays_inside(at: &Path, content: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    let mut climbing = true;
    content.components().all(|element| match element {
        Component::Normal(_) => {
            climbing = false;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if climbing && depth > 0 => {
            depth -= 1;
            true
        }
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn directories_are_made_and_links_on_the_way_refused() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let base = Base::new(dir.path().join("new"));
        base.open(Path::new("a/b/c"), Access::Write).unwrap();
        assert!(dir.path().join("new/a/b/c").is_file());
        symlink(outside.path(), dir.path().join("new/evil")).unwrap();
        symlink(outside.path().join("y"), dir.path().join("new/a/y")).unwrap();
        let through = base.open(Path::new("evil/x"), Access::Write).unwrap_err();
        assert_eq!(through.kind(), io::ErrorKind::NotADirectory);
        assert!(base.open(Path::new("a/y"), Access::Write).is_err());
        assert!(base.open(Path::new("../x"), Access::Write).is_err());
        assert!(base.open(Path::new("a/../../x"), Access::Write).is_err());
        assert!(base.open(outside.path(), Access::Write).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_base_itself_may_be_a_link_and_is_not_made_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        symlink(dir.path().join("real"), dir.path().join("alias")).unwrap();
        Base::new(dir.path().join("alias")).open(Path::new("x"), Access::Write).unwrap();
        assert!(dir.path().join("real/x").is_file());
        let missing = Base::new(dir.path().join("missing"));
        assert_eq!(missing.stat(Path::new("x")).unwrap(), None);
        assert!(!dir.path().join("missing").exists());
    }

    #[test]
    fn a_missing_directory_is_on_the_file_system_that_it_would_be_made_on() {
        let dir = tempfile::tempdir().unwrap();
        let here = Base::new(dir.path().to_owned()).file_system_at_path().unwrap();
        let missing = Base::new(dir.path().join("not/there"));
        assert_eq!(missing.file_system_at_path().unwrap(), here);
        assert_ne!(Base::new("/proc".into()).file_system_at_path().unwrap(), here);
        assert!(!dir.path().join("not").exists());
    }

    /// The system tells of a refusal once for each open directory.
    #[test]
    fn all_that_share_a_directory_hear_of_what_one_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let base = Base::new(dir.path().to_owned());
            base.base(false).unwrap();
            base
        };
        let (one, other) = (open(), open());
        let (takes, refuses) = (|_: &OwnedFd| Ok(()), |_: &OwnedFd| Err(Errno::IO));
        assert_eq!((one.sync_by(takes), other.sync_by(takes)), (Whole::Taken, Whole::Taken));
        assert_eq!(one.sync_by(refuses), Whole::Refused(Errno::IO));
        assert_eq!(other.sync_by(takes), Whole::Doubtful);
        let later = open();
        for base in [&one, &other, &later] {
            assert_eq!(base.sync_by(takes), Whole::Taken);
        }
    }

    #[test]
    fn links_are_judged_by_where_they_lead() {
        let stays = |at: &str, content: &str| link_stays_inside(Path::new(at), Path::new(content));
        assert!(stays("t/a/link", "../b/file"));
        assert!(stays("t/a/link", "file"));
        assert!(!stays("link", "../file"));
        assert!(!stays("t/link", "other_link/../../file"));
        assert!(!stays("t/link", "../../file"));
        assert!(!stays("t/link", "/etc/passwd"));
    }
}
