//! Brings a torrent's files and their names to the device. When that is due, and what it means
//! for pieces, is not known here.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::base::ids::FileIndex;

use super::beneath::{self, Access, Whole};
use super::error::Error;
use super::files::FileStore;
use super::handles::{Handles, is_out_of_descriptors};
use super::pulse;
use super::store::Unsynced;

/// More files than these are brought to the device together, with all else on its file system:
/// one by one each costs a commit of its own (4 ms on ext4 on an SSD; 500 of them together 0.6 s).
const ONE_BY_ONE_MAX: usize = 64;

/// File systems that bring everything to the device when they are asked to, and wait for it:
/// ext2 to 4, XFS, Btrfs, F2FS. Others leave out the device's own cache (FAT), or do not ask who
/// serves them (FUSE).
const SYNCED_AS_A_WHOLE: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// Files that were brought to the device together when it refused something; whether they are new
/// under their names goes with them.
struct Refused {
    errno: Errno,
    files: Vec<(FileIndex, bool)>,
}

impl FileStore {
    /// Syncs the files that were written since they were synced last, and the directories of
    /// those that are new there. Each is tried once: what could not be opened stays marked as
    /// written, for the next time.
    pub(super) fn bring_to_device(&self, handles: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        let mut dirty = Vec::new();
        for (file, entry) in self.real() {
            let is_renamed = entry.renamed.swap(false, Ordering::AcqRel);
            if entry.dirty.swap(false, Ordering::AcqRel) || is_renamed {
                dirty.push((file, is_renamed));
            }
        }
        let mut refused = None;
        if dirty.len() > ONE_BY_ONE_MAX {
            (dirty, refused) = self.bring_together(dirty);
        }
        let mut unsynced = Vec::new();
        let mut directories = BTreeSet::new();
        for (file, is_renamed) in dirty {
            let entry = self.entry(file);
            if let Err(error) = self.bring(handles, file, is_renamed, &mut directories) {
                entry.dirty.store(true, Ordering::Release);
                entry.renamed.fetch_or(is_renamed, Ordering::AcqRel);
                entry.was_missing.fetch_or(is_missing(&error), Ordering::AcqRel);
                let is_unknown = says_nothing_of_the_data(&error);
                let kind = if is_unknown { Unsynced::Unknown } else { Unsynced::Lost };
                unsynced.push((file, kind(error)));
            }
        }
        if let Some(refused) = refused {
            self.explain(refused, &mut unsynced);
        }
        unsynced
    }

    /// The device refused something of files that were brought to it together: if none of them
    /// admits it, any may be meant, and all are lost.
    fn explain(&self, refused: Refused, unsynced: &mut Vec<(FileIndex, Unsynced)>) {
        let together: HashSet<FileIndex> = refused.files.iter().map(|(file, _)| *file).collect();
        let admits = |(file, why): &(FileIndex, Unsynced)| {
            together.contains(file) && matches!(why, Unsynced::Lost(_))
        };
        if unsynced.iter().any(admits) {
            return;
        }
        unsynced.retain(|(file, _)| !together.contains(file));
        for (file, is_renamed) in refused.files {
            let entry = self.entry(file);
            entry.dirty.store(true, Ordering::Release);
            entry.renamed.fetch_or(is_renamed, Ordering::AcqRel);
            let path = self.base.full(&entry.path);
            let error = Error::io("writing", path, io::Error::from(refused.errno));
            unsynced.push((file, Unsynced::Lost(error)));
        }
    }

    /// Syncs the file system at once with these files and their names on it; returns those
    /// that are left to be synced one by one. That is all of them when it failed, or had failed
    /// and another torrent was told: whose data was refused is told by each file. The base was
    /// opened before anything was written, so that it hears of every error.
    fn bring_together(
        &self,
        files: Vec<(FileIndex, bool)>,
    ) -> (Vec<(FileIndex, bool)>, Option<Refused>) {
        let Ok((base, _)) = self.base.parent(Path::new("base"), false) else {
            return (files, None);
        };
        let Some(device) = synced_as_a_whole(&base) else { return (files, None) };
        let is_there = |&(file, _): &(FileIndex, bool)| {
            pulse::beat();
            self.is_on(file, device)
        };
        let (together, alone): (Vec<_>, Vec<_>) = files.into_iter().partition(is_there);
        let whole = match together.len() > ONE_BY_ONE_MAX {
            true => self.base.sync_file_system(),
            false => Whole::Doubtful,
        };
        let all = [together.as_slice(), alone.as_slice()].concat();
        match whole {
            Whole::Taken => (alone, None),
            Whole::Doubtful => (all, None),
            Whole::Refused(errno) => (all, Some(Refused { errno, files: together })),
        }
    }

    /// Is the file there, the one that we know, and on this device?
    fn is_on(&self, file: FileIndex, device: u64) -> bool {
        let path = self.path_now(file);
        let Ok((parent, name)) = self.base.parent(&path, false) else { return false };
        let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let known = self.entry(file).inode.load(Ordering::Acquire);
        found.is_ok_and(|found| found.st_dev == device && found.st_ino == known)
    }

    /// Files that were written to since they were synced last.
    pub(super) fn dirty_count(&self) -> u64 {
        self.real().filter(|(_, entry)| entry.dirty.load(Ordering::Relaxed)).count() as u64
    }

    fn bring(
        &self,
        handles: &mut Handles,
        file: FileIndex,
        is_renamed: bool,
        directories: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        // For reading: what is only seeded may be on a medium that cannot be written.
        let synced = self.with_file(handles, file, |opened, _| beneath::sync_data(opened));
        match synced {
            Err(error) if is_missing(&error) => self.bring_renamed(file)?,
            other => other?,
        }
        let path = self.path_now(file);
        let directory = path.parent().unwrap_or(Path::new(""));
        if is_renamed && !directories.contains(directory) {
            let synced = self.base.sync_directories(directory);
            synced.map_err(|error| Error::io("writing", self.base.full(&path), error))?;
            directories.insert(directory.to_owned());
        }
        Ok(())
    }

    /// A file that was not there may just be getting its final name, or lose it: it is under
    /// one of the two, and then under the other or still there.
    fn bring_renamed(&self, file: FileIndex) -> Result<(), Error> {
        let (part, whole) = (self.part_path(file), &self.entry(file).path);
        let mut missing = Error::io("reading", self.base.full(whole), Errno::NOENT);
        for path in [&part, whole, &part] {
            let opened = self.base.open(path, Access::Read);
            let synced = opened.and_then(|opened| match self.is_ours(file, &opened)? {
                true => beneath::sync_data(&opened),
                false => Err(Errno::NOENT.into()),
            });
            match synced {
                Ok(()) => return Ok(()),
                Err(error) => missing = Error::io("reading", self.base.full(whole), error),
            }
            if !is_missing(&missing) {
                break;
            }
        }
        Err(missing)
    }
}

/// The device of a directory's file system, if syncing that as a whole can be relied on. Linux
/// reports what was refused since 5.8.
fn synced_as_a_whole(directory: &impl AsFd) -> Option<u64> {
    static IS_NEW: OnceLock<bool> = OnceLock::new();
    let release = || std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !IS_NEW.get_or_init(|| reports_errors(&release())) {
        return None;
    }
    let kind = u64::try_from(rustix::fs::fstatfs(directory).ok()?.f_type).ok()?;
    let device = rustix::fs::fstat(directory).ok()?.st_dev;
    SYNCED_AS_A_WHOLE.contains(&kind).then_some(device)
}

fn reports_errors(release: &str) -> bool {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    next().zip(next()).is_some_and(|version| version >= (5, 8))
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Could the file only not be opened, for lack of something that has nothing to do with it?
fn says_nothing_of_the_data(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let number = source.raw_os_error();
    let is_short_of = [Errno::NOMEM, Errno::NOBUFS, Errno::INTR, Errno::ACCESS, Errno::PERM];
    is_out_of_descriptors(source)
        || is_short_of.iter().any(|errno| number == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::world;

    fn failed(errno: Errno) -> Error {
        Error::io("writing", "x", errno)
    }

    #[test]
    fn what_the_device_refuses_is_lost_and_what_we_lack_is_not() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::STALE, Errno::NOENT] {
            assert!(!says_nothing_of_the_data(&failed(errno)), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS] {
            assert!(says_nothing_of_the_data(&failed(errno)), "{errno}");
        }
    }

    #[test]
    fn a_file_is_found_under_either_of_its_names_and_never_another_one() {
        let world = world(16384, &[("a", 10)]);
        let store = FileStore::new(1, world.config()).unwrap();
        let file = FileIndex(0);
        store.open(file, Access::Write).unwrap();
        // It is renamed behind the store's back, as between a name and the note of it.
        std::fs::rename(world.path("a.part"), world.path("a")).unwrap();
        store.entry(file).dirty.store(true, Ordering::Release);
        assert!(store.bring_to_device(&mut Handles::new(1)).is_empty());
        std::fs::rename(world.path("a"), world.path("aside")).unwrap();
        world.write_file("a", b"another");
        store.entry(file).dirty.store(true, Ordering::Release);
        let unsynced = store.bring_to_device(&mut Handles::new(1));
        assert!(matches!(unsynced[..], [(_, Unsynced::Lost(_))]), "{unsynced:?}");
        assert!(store.entry(file).dirty.load(Ordering::Acquire), "it is not forgotten");
    }

    #[test]
    fn many_files_go_together_and_those_that_are_not_ours_alone() {
        let names: Vec<String> =
            (0..100).map(|number| format!("{}/{number}", number % 3)).collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
        let world = world(16384, &files);
        let store = FileStore::new(1, world.config()).unwrap();
        for (file, entry) in store.real() {
            store.open(file, Access::Write).unwrap();
            entry.dirty.store(true, Ordering::Release);
        }
        std::fs::rename(world.path("0/99.part"), world.path("aside")).unwrap();
        world.write_file("0/99.part", b"another");
        std::fs::remove_file(world.path("1/1.part")).unwrap();
        let mut handles = Handles::new(100);
        let unsynced = store.bring_to_device(&mut handles);
        assert!(matches!(unsynced[..], [(FileIndex(1), Unsynced::Lost(_))]), "{unsynced:?}");
        assert_eq!(store.dirty_count(), 1);
        let (base, _) = store.base.parent(Path::new("x"), false).unwrap();
        if synced_as_a_whole(&base).is_some() {
            assert_eq!(handles.open_count(), 1, "only the one that is not ours was opened");
        }
    }

    #[test]
    fn a_refusal_that_no_file_admits_takes_all_that_went_together() {
        let world = world(16384, &[("a", 10), ("b", 10), ("c", 10)]);
        let store = FileStore::new(1, world.config()).unwrap();
        let files = [0, 1].map(|file| (FileIndex(file), true)).to_vec();
        let refused = || Refused { errno: Errno::IO, files: files.clone() };
        let unknown = |file| (FileIndex(file), Unsynced::Unknown(failed(Errno::MFILE)));
        let lost = |file| (FileIndex(file), Unsynced::Lost(failed(Errno::IO)));
        let mut admitted = vec![unknown(0), lost(1)];
        store.explain(refused(), &mut admitted);
        assert!(admitted.len() == 2 && store.dirty_count() == 0, "{admitted:?}");
        let mut other = vec![unknown(0), lost(2)];
        store.explain(refused(), &mut other);
        let lost = other.iter().filter(|(_, why)| matches!(why, Unsynced::Lost(_)));
        let lost: Vec<u32> = lost.map(|(file, _)| file.0).collect();
        assert_eq!((lost, other.len(), store.dirty_count()), (vec![2, 0, 1], 3, 2));
    }

    #[test]
    fn systems_that_report_errors_are_known_by_their_release() {
        assert!(["5.8.0", "6.18.44-fc", "10.0-rc1"].into_iter().all(reports_errors));
        assert!(!["5.7.19", "4.19.0-27-amd64", "", "x"].into_iter().any(reports_errors));
    }
}
