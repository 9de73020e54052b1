//! The files of a folder: what is there, read, removed, moved aside. Names are taken below the open
//! folder, and no link is followed. Everything here waits for the disk.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};

use super::ready::Look;

/// Files of a folder that are looked at; others wait until some of them are gone.
pub const FILES_MAX: usize = 10_000;
/// Where files go that are refused.
const REFUSED: &str = "refused";
/// So many names are tried for a file that is moved aside.
const NAMES_MAX: u32 = 1000;

/// What a file is to be read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A `.torrent`.
    Torrent,
    /// Links, one a line.
    Links,
}

impl Kind {
    /// By its name; none of one that is nothing to us. Those that begin with a dot are on their way
    /// to another name.
    pub fn of(name: &OsStr) -> Option<Self> {
        let lower = name.as_bytes().to_ascii_lowercase();
        match &lower {
            _ if lower.starts_with(b".") => None,
            lower if lower.ends_with(b".torrent") => Some(Self::Torrent),
            lower if lower.ends_with(b".magnet") => Some(Self::Links),
            _ => None,
        }
    }

    /// The longest one that is read.
    const fn len_max(self) -> u64 {
        match self {
            // What a session is given as a torrent (`api`).
            Self::Torrent => 16 << 20,
            Self::Links => 1 << 20,
        }
    }
}

/// A folder, open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What is in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Files that are to be read.
    pub files: Vec<(OsString, Look)>,
    /// There are more of them than are looked at.
    pub are_more: bool,
}

/// Why a file is not read.
#[derive(Debug)]
pub enum Unread {
    /// It is another one than it was, or gone.
    Changed,
    /// It is longer than what is read.
    TooLong(u64),
    /// The system does not give it.
    Failed(io::Error),
}

impl Folder {
    /// Opens it; a link to it is followed, since its user named it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Its device and number: another one is another folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Is it what this path leads to now?
    pub fn is_at(&self, path: &Path) -> bool {
        let now = Self::open(path).and_then(|now| now.identity());
        self.identity().is_ok_and(|own| now.is_ok_and(|now| own == now))
    }

    /// Its files that are to be read.
    ///
    /// # Errors
    /// What the system says.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in Dir::read_from(&self.0)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if Kind::of(&name).is_none() {
                continue;
            }
            let Ok(stat) = self.stat(&name) else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                continue;
            }
            if listing.files.len() == FILES_MAX {
                listing.are_more = true;
                break;
            }
            listing.files.push((name, look_of(&stat)));
        }
        Ok(listing)
    }

    fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Reads a file that still looks so.
    ///
    /// # Errors
    /// Why it is not read.
    pub fn read(&self, name: &OsStr, kind: Kind, look: Look) -> Result<Vec<u8>, Unread> {
        // What has become a pipe meanwhile is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.0, name, flags, Mode::empty());
        let file = opened.map_err(|errno| match errno {
            rustix::io::Errno::NOENT | rustix::io::Errno::LOOP => Unread::Changed,
            errno => Unread::Failed(errno.into()),
        })?;
        let is_same = |file: &OwnedFd| -> Result<bool, Unread> {
            let stat = rustix::fs::fstat(file).map_err(|errno| Unread::Failed(errno.into()))?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            Ok(is_file && look_of(&stat) == look)
        };
        if !is_same(&file)? {
            return Err(Unread::Changed);
        }
        if look.len_bytes > kind.len_max() {
            return Err(Unread::TooLong(kind.len_max()));
        }
        let mut bytes = Vec::new();
        let mut file = File::from(file);
        let read = (&mut file).take(kind.len_max()).read_to_end(&mut bytes);
        read.map_err(Unread::Failed)?;
        match is_same(&file.into())? && bytes.len() as u64 == look.len_bytes {
            true => Ok(bytes),
            false => Err(Unread::Changed),
        }
    }

    /// Removes a file that still looks so.
    ///
    /// # Errors
    /// What the system says; another one of its name stays, without an error.
    pub fn remove(&self, name: &OsStr, look: Look) -> io::Result<()> {
        match self.stat(name) {
            Ok(stat) if look_of(&stat) == look => {
                Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves a file to `refused/`, with the reason beside it. Nothing that is there is replaced.
    ///
    /// # Errors
    /// What the system says; the file stays where it is then.
    pub fn refuse(&self, name: &OsStr, reason: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, REFUSED, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let aside = rustix::fs::openat(&self.0, REFUSED, flags, Mode::empty())?;
        for attempt in 0..NAMES_MAX {
            let mut target = name.to_owned();
            if attempt > 0 {
                target.push(format!(".{attempt}"));
            }
            match move_anew(&self.0, name, &aside, &target) {
                Ok(()) => return tell(&aside, target, reason),
                Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Moves a file to a name that nobody has.
fn move_anew(from: &OwnedFd, name: &OsStr, to: &OwnedFd, target: &OsStr) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(from, name, to, target, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
        done => return done,
    }
    match rustix::fs::statat(to, target, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(rustix::io::Errno::EXIST),
        Err(_) => rustix::fs::renameat(from, name, to, target),
    }
}

/// Writes the reason beside a file that was moved aside.
fn tell(aside: &OwnedFd, mut name: OsString, reason: &str) -> io::Result<()> {
    name.push(".reason.txt");
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let told = rustix::fs::openat(aside.as_fd(), &*name, flags, Mode::from_raw_mode(0o666))?;
    File::from(told).write_all(format!("{reason}\n").as_bytes())
}

fn look_of(stat: &Stat) -> Look {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Look { len_bytes: stat.st_size.max(0) as u64, changed: (stat.st_mtime, nanoseconds) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn only(folder: &Folder) -> (OsString, Look) {
        let mut files = folder.list().unwrap().files;
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn plain_files_of_our_names_are_listed_and_no_links() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("drop");
        fs::create_dir_all(dir.join("d.torrent")).unwrap();
        fs::write(home.path().join("out.torrent"), "de").unwrap();
        symlink(home.path().join("out.torrent"), dir.join("link.torrent")).unwrap();
        for name in ["a.torrent", ".b.torrent", "c.torrent.part", "e.txt", "F.MAGNET"] {
            fs::write(dir.join(name), "de").unwrap();
        }
        let folder = Folder::open(&dir).unwrap();
        let mut names: Vec<_> = folder.list().unwrap().files.into_iter().map(|it| it.0).collect();
        names.sort();
        assert_eq!(names, ["F.MAGNET", "a.torrent"]);
        // One that has become a link since it was listed.
        let look = folder.list().unwrap().files[0].1;
        let read = folder.read("link.torrent".as_ref(), Kind::Torrent, look);
        assert!(matches!(read, Err(Unread::Changed)), "{read:?}");
    }

    #[test]
    fn a_file_is_read_and_removed_only_as_it_was_seen() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.torrent");
        fs::write(&path, "de").unwrap();
        let folder = Folder::open(home.path()).unwrap();
        let (name, look) = only(&folder);
        assert_eq!(folder.read(&name, Kind::Torrent, look).unwrap(), b"de");
        fs::write(&path, "another").unwrap();
        assert!(matches!(folder.read(&name, Kind::Torrent, look), Err(Unread::Changed)));
        folder.remove(&name, look).unwrap();
        assert!(path.exists(), "it is another one");
        let (_, look) = only(&folder);
        folder.remove(&name, look).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_long_file_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let file = File::create(home.path().join("a.magnet")).unwrap();
        file.set_len((1 << 20) + 1).unwrap();
        let folder = Folder::open(home.path()).unwrap();
        let (name, look) = only(&folder);
        let read = folder.read(&name, Kind::Links, look);
        assert!(matches!(read, Err(Unread::TooLong(max)) if max == 1 << 20), "{read:?}");
    }

    #[test]
    fn what_is_refused_replaces_nothing_and_no_link_leads_it_away() {
        let home = tempfile::tempdir().unwrap();
        let [dir, other] = ["drop", "other"].map(|name| home.path().join(name));
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir(&other).unwrap();
        let folder = Folder::open(&dir).unwrap();
        for (text, reason) in [("1", "why 1"), ("2", "why 2")] {
            fs::write(dir.join("a.torrent"), text).unwrap();
            folder.refuse("a.torrent".as_ref(), reason).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.join("refused").join(name)).unwrap();
        assert_eq!((&*read("a.torrent"), &*read("a.torrent.reason.txt")), ("1", "why 1\n"));
        assert_eq!((&*read("a.torrent.1"), &*read("a.torrent.1.reason.txt")), ("2", "why 2\n"));
        fs::remove_dir_all(dir.join("refused")).unwrap();
        symlink(&other, dir.join("refused")).unwrap();
        fs::write(dir.join("a.torrent"), "3").unwrap();
        assert!(folder.refuse("a.torrent".as_ref(), "why").is_err());
        assert!(dir.join("a.torrent").exists() && fs::read_dir(&other).unwrap().next().is_none());
    }
}
