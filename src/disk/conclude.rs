//! The end of each file: its final name, which never covers what somebody else put there, and
//! whether it is still the file that we wrote.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::base::ids::FileIndex;

use super::beneath::{Access, Found};
use super::error::Error;
use super::files::{Entry, FileStore, Place};
use super::glance::Glance;
use super::in_use;
use super::making::{are_equal, is_taken};
use super::patience::patiently;
use super::pulse;
use super::store::{FileNews, FileStamp};

impl FileStore {
    /// Gives a whole file its final name, or tells why not. None when it is not due.
    pub(super) fn conclude(&self, glance: &mut Glance<'_>, file: FileIndex) -> Option<FileNews> {
        pulse::beat();
        let entry = self.entry(file);
        if !entry.wanted_now() || entry.concluding.fetch_add(1, Ordering::AcqRel) > 0 {
            // Whoever is at it looks once more.
            return None;
        }
        loop {
            let asked = entry.concluding.load(Ordering::Acquire);
            let news = entry.is_due().then(|| {
                self.try_conclude(glance, file).unwrap_or_else(|(error, recheck)| {
                    if recheck {
                        self.forget(file);
                    }
                    FileNews::Trouble { file, error, recheck }
                })
            });
            let news = news.filter(|news| !self.is_excused(file, news));
            let concluding = &entry.concluding;
            if news.is_some() {
                concluding.store(0, Ordering::Release);
                return news;
            }
            if concluding.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return None;
            }
        }
    }

    /// Can an empty file not be made where nothing can be made, though all others are there? That
    /// does not matter to whoever only seeds.
    fn is_excused(&self, file: FileIndex, news: &FileNews) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let FileNews::Trouble { error: Error::Io { source, .. }, .. } = news else { return false };
        let is_refused = matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem);
        let mut others = self.real().filter(|(_, it)| it.len > 0 && it.wanted_now()).peekable();
        let is_excused = is_refused
            && self.entry(file).len == 0
            && others.peek().is_some()
            && others.all(|(_, entry)| entry.is_whole() && entry.place() == Place::Final);
        self.entry(file).excused.fetch_or(is_excused, Ordering::AcqRel);
        is_excused
    }

    /// The error says as well whether the file's bytes are in doubt.
    fn try_conclude(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
    ) -> Result<FileNews, (Error, bool)> {
        let entry = self.entry(file);
        let full = self.base.full(&entry.path);
        let fail = |operation| {
            let full = full.clone();
            move |error: io::Error| (Error::io(operation, full, error), false)
        };
        if entry.len == 0 {
            return self.conclude_empty(file).map_err(|error| (error, false));
        }
        let found = match self.undisturbed(glance, file) {
            Err(Error::Disturbed { .. }) if self.has_its_name(file) => {
                self.undisturbed(glance, file)
            }
            other => other,
        };
        // That it cannot be looked at says nothing of its bytes.
        let is_disturbed = matches!(found, Err(Error::Disturbed { .. }));
        let found = found.map_err(|error| (error, is_disturbed))?;
        let stamp = FileStamp(found.stamp);
        if entry.is_doubtful(stamp) {
            return Ok(self.doubted(file, stamp));
        }
        if entry.place() == Place::Final {
            // Somebody else's, and right as it is.
            entry.guarded.store(false, Ordering::Release);
            self.remove_left_over(file);
            return Ok(FileNews::Done { file, stamp });
        }
        let part = self.part_path(file);
        if self.overwrite {
            match glance.stat(&entry.path).map_err(fail("looking at"))? {
                Some(found) if !found.is_file => {
                    return Err((Error::NotAFile { path: full }, false));
                }
                _ => self.base.rename(&part, &entry.path).map_err(fail("renaming"))?,
            }
        } else {
            let renamed = glance.rename(&part, &entry.path);
            if is_taken(&renamed) {
                return self.meet(file).map_err(|error| (error, false));
            }
            renamed.map_err(fail("renaming"))?;
        }
        in_use::release(&found);
        entry.put(Place::Final);
        entry.renamed.store(true, Ordering::Release);
        Ok(FileNews::Done { file, stamp })
    }

    /// Removes the unfinished file that is of no use beside the finished one. If that fails it
    /// takes a little space, and its user sees it.
    fn remove_left_over(&self, file: FileIndex) {
        let ours = self.entry(file).left_over.swap(0, Ordering::AcqRel);
        let part = self.part_path(file);
        let found = self.base.stat(&part).ok().flatten();
        if let Some(found) = found.filter(|it| ours != 0 && it.is_file && it.stamp.inode == ours) {
            in_use::release(&found);
            let _ = self.base.remove(&part);
        }
    }

    /// Did somebody else give our file its final name: its user, or another process that brings
    /// the same?
    fn has_its_name(&self, file: FileIndex) -> bool {
        let entry = self.entry(file);
        let known = entry.inode.load(Ordering::Relaxed);
        let found = self.base.stat(&entry.path).ok().flatten();
        let found = found.filter(|found| found.is_file && found.stamp.inode == known);
        if let Some(found) = found {
            in_use::release(&found);
            entry.set_place(Place::Final, Some(found));
        }
        found.is_some()
    }

    /// Something has the final name already: if that has the same bytes it is as good, and ours
    /// is not needed.
    fn meet(&self, file: FileIndex) -> Result<FileNews, Error> {
        let entry = self.entry(file);
        let full = self.base.full(&entry.path);
        let fail = |error| Error::io("looking at", &full, error);
        let found = self.base.stat(&entry.path).map_err(fail)?;
        let Some(found) = found.filter(|found| found.is_file) else {
            return Err(Error::NotAFile { path: full });
        };
        if found.len != entry.len || !self.is_same_as_part(file).map_err(fail)? {
            return Err(Error::Exists { path: full });
        }
        let part = self.part_path(file);
        if let Some(part) = self.base.stat(&part).map_err(fail)? {
            in_use::release(&part);
        }
        self.base.remove(&part).map_err(fail)?;
        entry.epoch.fetch_add(1, Ordering::AcqRel);
        entry.expect_unchanged(Some(found));
        entry.set_place(Place::Final, Some(found));
        entry.dirty.store(true, Ordering::Release);
        entry.renamed.store(true, Ordering::Release);
        Ok(FileNews::Done { file, stamp: FileStamp(found.stamp) })
    }

    fn is_same_as_part(&self, file: FileIndex) -> io::Result<bool> {
        let entry = self.entry(file);
        let part = self.base.open(&self.part_path(file), Access::Read)?;
        are_equal(&part, &self.base.open(&entry.path, Access::Read)?, entry.len)
    }

    fn conclude_empty(&self, file: FileIndex) -> Result<FileNews, Error> {
        let entry = self.entry(file);
        self.make_empty(file)?;
        let path = || self.base.full(&entry.path);
        let found = self.base.stat(&entry.path);
        let found = found.map_err(|error| Error::io("looking at", path(), error))?;
        let Some(found) = found else {
            return Err(Error::Disturbed { path: path(), what: Error::GONE });
        };
        Ok(FileNews::Done { file, stamp: FileStamp(found.stamp) })
    }

    /// The file that we wrote, if it is still there, in its full length.
    fn undisturbed(&self, glance: &mut Glance<'_>, file: FileIndex) -> Result<Found, Error> {
        let entry = self.entry(file);
        let path = self.path_now(file);
        let full = self.base.full(&path);
        let inode = entry.inode.load(Ordering::Relaxed);
        let what = match glance.stat(&path) {
            Err(error) => return Err(Error::io("looking at", full, error)),
            Ok(None) => Error::GONE,
            Ok(Some(found)) if !found.is_file || found.stamp.inode != inode => "replaced",
            Ok(Some(found)) if entry.is_whole() && found.len != entry.len => "cut or extended",
            Ok(Some(found)) => return Ok(found),
        };
        Err(Error::Disturbed { path: full, what })
    }

    fn doubted(&self, file: FileIndex, seen: FileStamp) -> FileNews {
        let path = self.base.full(&self.path_now(file));
        FileNews::Doubted { file, seen, error: Error::Disturbed { path, what: "written to" } }
    }

    /// Is a file not as it was when its pieces were checked? One that is another now, or has
    /// another length, is looked for anew; what of it is right has to be seen.
    pub(super) fn look_over_file(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
    ) -> Option<FileNews> {
        pulse::beat();
        match self.undisturbed(glance, file) {
            Ok(found) => {
                let seen = FileStamp(found.stamp);
                self.entry(file).is_doubtful(seen).then(|| self.doubted(file, seen))
            }
            Err(error @ Error::Disturbed { .. }) => {
                // In doubt before it is known by its new inode: others may look at it meanwhile.
                self.forget_with(file, true);
                let entry = self.entry(file);
                let found = self.look(glance, file, entry.place());
                Some(match found {
                    // What is there now may be the same, put back by its user.
                    Ok(Some(found)) if found.len == entry.len => {
                        FileNews::Doubted { file, seen: FileStamp(found.stamp), error }
                    }
                    _ => FileNews::Trouble { file, error, recheck: true },
                })
            }
            Err(error) => Some(FileNews::Trouble { file, error, recheck: false }),
        }
    }

    /// Files that were lost, and stand there again: one look at each. What still counted of them
    /// was read in what stood there before: they are in doubt. With `bytes` of them, it is enough.
    pub(super) fn back(&self, bytes: u64) -> Vec<(FileIndex, FileStamp, PathBuf)> {
        let mut glance = Glance::new(&self.base);
        let (mut back, mut read) = (Vec::new(), 0);
        for (file, entry) in self.real().filter(|(_, it)| it.wanted_now() && !it.is_whole()) {
            pulse::beat();
            if read >= bytes {
                break;
            }
            // What cannot be looked at now is looked at the next time.
            let Ok(found) = self.look(&mut glance, file, Place::Final) else { continue };
            let Some(found) = found else {
                entry.was_missing.store(true, Ordering::Release);
                continue;
            };
            // One that was there all the time was lost since the device refused it.
            let is_news = !entry.was_seen(&found) || entry.was_missing.load(Ordering::Acquire);
            if found.len == entry.len && is_news {
                entry.was_missing.store(false, Ordering::Release);
                self.forget_with(file, true);
                back.push((file, FileStamp(found.stamp), self.base.full(&entry.path)));
                read += entry.len;
            }
        }
        back
    }

    /// Looks for the file anew and stops using what is open of it. Another file than the one
    /// that we had is not ours. Where it cannot be looked at it is taken to be as it was.
    pub(super) fn forget(&self, file: FileIndex) {
        self.forget_with(file, false);
    }

    fn forget_with(&self, file: FileIndex, is_doubted: bool) {
        let entry = self.entry(file);
        entry.epoch.fetch_add(1, Ordering::AcqRel);
        let known = entry.inode.load(Ordering::Relaxed);
        let is_known = |found: &Found| found.stamp.inode == known;
        let look = |path: &Path| {
            let found = patiently(|| self.base.stat(path));
            found.map(|found| found.filter(|found| found.is_file))
        };
        let Ok(whole) = look(&entry.path) else { return };
        let mut has_own_part = entry.has_own_part.load(Ordering::Acquire);
        let mut part = None;
        if whole.is_none() {
            let Ok(found) = look(&self.part_path(file)) else { return };
            part = found;
            let is_another = part.as_ref().is_some_and(|part| !is_known(part));
            if !entry.in_edges() && !has_own_part && is_another {
                has_own_part = true;
                let Ok(found) = look(&self.parts.own(file.0, &entry.path)) else { return };
                part = found;
            }
        }
        if whole.as_ref().is_some_and(|whole| entry.place() == Place::Part && !is_known(whole)) {
            entry.left_over.store(known, Ordering::Release);
        }
        entry.expect_unchanged(None);
        entry.doubted.store(is_doubted, Ordering::Release);
        entry.allocated.store(false, Ordering::Release);
        entry.has_own_part.store(has_own_part, Ordering::Release);
        let is_guarded = match &whole {
            Some(found) => !(is_known(found) && entry.is_ours() || self.overwrite),
            None => false,
        };
        entry.guarded.store(is_guarded, Ordering::Release);
        let is_ours = if whole.is_some() { !is_guarded } else { part.is_some() };
        entry.ours.store(is_ours, Ordering::Release);
        match (whole, part) {
            (Some(found), _) => entry.set_place(Place::Final, Some(found)),
            (None, Some(found)) => entry.set_place(Place::Part, Some(found)),
            (None, None) => entry.set_place(Place::Nowhere, None),
        }
    }
}

impl Entry {
    /// Is it whole, and does not have its final name, or not been told of?
    fn is_due(&self) -> bool {
        let is_settled =
            !self.guarded.load(Ordering::Acquire) && self.left_over.load(Ordering::Acquire) == 0;
        let is_named = self.place() == Place::Final && is_settled;
        self.is_whole() && !is_named && !self.excused.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    use crate::disk::store::Store as _;
    use crate::disk::tests::world;

    /// Several threads read for peers. The one that comes a moment later knows the new file
    /// already, and must not take it for proven.
    #[test]
    fn two_readers_of_a_replaced_file_both_doubt_it() {
        let world = world(16384, &[("t/a", 10)]);
        world.write_file("t/a", world.bytes_of(0));
        let store = FileStore::new(1, world.config()).unwrap();
        store.survey().unwrap();
        let (file, both) = (FileIndex(0), Barrier::new(2));
        let look = || {
            both.wait();
            store.look_over_file(&mut Glance::new(&store.base), file)
        };
        for round in 0..500 {
            world.write_file("other", &[round as u8; 10]);
            std::fs::rename(world.path("other"), world.path("t/a")).unwrap();
            let news = std::thread::scope(|scope| {
                let [one, other] = [scope.spawn(look), scope.spawn(look)];
                [one.join().unwrap(), other.join().unwrap()]
            });
            let seen = news.map(|news| match news {
                Some(FileNews::Doubted { seen, .. }) => seen,
                other => panic!("round {round}: {other:?}"),
            });
            // What of it is right was seen.
            assert!(store.settle(file, seen[0]).is_none(), "round {round}");
        }
    }

    /// Those that wait come with the next look.
    #[test]
    fn of_files_that_are_back_so_many_are_told_as_can_be_read_at_once() {
        let world = world(16384, &[("a", 10), ("b", 10), ("c", 10)]);
        for (file, name) in ["a", "b", "c"].into_iter().enumerate() {
            world.write_file(name, world.bytes_of(file));
        }
        let store = FileStore::new(1, world.config()).unwrap();
        assert!(store.back(u64::MAX).len() == 3 && store.back(u64::MAX).is_empty());
        for name in ["a", "b", "c"] {
            std::fs::remove_file(world.path(name)).unwrap();
        }
        assert!(store.back(u64::MAX).is_empty());
        for (file, name) in ["a", "b", "c"].into_iter().enumerate() {
            world.write_file(name, world.bytes_of(file));
        }
        let files = || store.back(11).into_iter().map(|(file, ..)| file.0).collect::<Vec<_>>();
        assert_eq!([files(), files(), files()], [vec![0, 1], vec![2], vec![]]);
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_taken_to_be_as_it_was() {
        let world = world(16384, &[("t/a", 10)]);
        let store = FileStore::new(1, world.config()).unwrap();
        let (file, aside) = (FileIndex(0), world.path("aside"));
        store.open(file, Access::Write).unwrap();
        let entry = store.entry(file);
        let known = || (entry.place(), entry.inode.load(Ordering::Acquire), entry.is_ours());
        let (before, epoch) = (known(), entry.epoch.load(Ordering::Acquire));
        std::fs::rename(world.path("t"), &aside).unwrap();
        std::fs::write(world.path("t"), b"in the way").unwrap();
        store.forget(file);
        assert_eq!(known(), before);
        assert_eq!((before.0, entry.epoch.load(Ordering::Acquire)), (Place::Part, epoch + 1));
        std::fs::remove_file(world.path("t")).unwrap();
        store.forget(file);
        assert_eq!(known(), (Place::Nowhere, 0, false));
    }
}
