//! The hands of a move: copying, renaming, clearing up, in an order that loses nothing. What
//! goes where was decided before; which home counts is said by the record.

use std::collections::BTreeSet;
use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::base::ids::InfoHash;
use crate::base::pages::Pages;
use crate::disk::beneath::{Access, Base, Found};
use crate::disk::error::Error;
use crate::disk::record::Home;

use super::below::is_free;
use super::intent::{self, Intent, Move};
use super::progress::MoveProgress;

/// What is copied at once: large enough for disks, small enough to be stopped soon.
const COPY_LEN: usize = 1 << 20;
/// What is copied before it is brought to the device: who stops a move waits for no more.
const SYNC_EVERY: u64 = 64 << 20;

/// Notes what is to be done and copies what has to be copied, all of it to the device.
///
/// # Errors
/// `Io`; `Unmovable` when it was stopped, or a file was changed meanwhile.
pub(in crate::disk) fn prepare(
    intent: &mut Intent,
    note: &Path,
    progress: &MoveProgress,
    on_step: &dyn Fn(&str),
) -> Result<(), Error> {
    let (from, to) = bases(intent);
    on_step("noting what is to be done");
    intent.write(note)?;
    for it in &intent.moves {
        // What is refused later could not be undone so simply.
        let fail = |base: &Base, path: &Path| {
            let full = base.full(path);
            move |error: io::Error| Error::io("moving to or from", full, error)
        };
        on_step("making directories");
        to.prepare_for(&it.to).map_err(fail(&to, &it.to))?;
        from.prepare_for(&it.from).map_err(fail(&from, &it.from))?;
    }
    reserve(intent, note, on_step)?;
    let mut copied = Vec::new();
    for (it, copy) in intent.moves.iter().filter_map(|it| Some((it, it.copy.as_ref()?))) {
        on_step("copying a file");
        let before = look(&from, &it.from)?;
        copy_file((&from, &it.from), (&to, copy), progress, on_step)?;
        is_as_before(&from, &it.from, before)?;
        copied.push((&it.from, before));
    }
    on_step("bringing the copies' names to the device");
    sync_above(&to, copies(intent))?;
    // The first one may have been copied an hour ago.
    copied.into_iter().try_for_each(|(path, before)| is_as_before(&from, path, before))
}

/// Makes the copies, without bytes yet, and notes that they are ours: somebody may have made
/// such a file since the move was planned, and his is not to be cleared up.
fn reserve(intent: &mut Intent, note: &Path, on_step: &dyn Fn(&str)) -> Result<(), Error> {
    if intent.is_reserved {
        return Ok(());
    }
    let (_, to) = bases(intent);
    for (made, copy) in copies(intent).enumerate() {
        on_step("reserving the name of a copy");
        if let Err(error) = to.create(copy) {
            copies(intent).take(made).for_each(|copy| discard(&to, copy));
            remove_made_directories(intent, &to);
            Intent::remove(note)?;
            return Err(Error::io("making", to.full(copy), error));
        }
    }
    on_step("noting that the copies are ours");
    intent.is_reserved = true;
    intent.write(note)
}

fn copies(intent: &Intent) -> impl Iterator<Item = &Path> {
    intent.moves.iter().filter_map(|it| it.copy.as_deref())
}

fn look(base: &Base, path: &Path) -> Result<Option<Found>, Error> {
    base.stat(path).map_err(|error| Error::io("looking at", base.full(path), error))
}

/// Refuses a file that was changed or replaced: its copy may be half old and half new.
fn is_as_before(base: &Base, path: &Path, before: Option<Found>) -> Result<(), Error> {
    if look(base, path)? == before {
        return Ok(());
    }
    let path = base.full(path);
    let why = format!(
        "{} was changed while it was copied: the files stay where they were; stop the program \
         that writes it, and move them again",
        path.display()
    );
    Err(Error::Unmovable(why))
}

/// Brings a copy of a file to the device, with its holes and its time of change.
fn copy_file(
    (from, from_path): (&Base, &Path),
    (to, to_path): (&Base, &Path),
    progress: &MoveProgress,
    on_step: &dyn Fn(&str),
) -> Result<(), Error> {
    let reading = |error| Error::io("reading", from.full(from_path), error);
    let writing = |error| Error::io("writing", to.full(to_path), error);
    let source = from.open(from_path, Access::Read).map_err(reading)?;
    let found = source.metadata().map_err(reading)?;
    let target = to.open(to_path, Access::Write).map_err(writing)?;
    let mut buffer = Pages::zeroed(COPY_LEN);
    let (mut at, mut unsynced) = (0, 0);
    while let Some(data) = next_data(&source, at, found.len()).map_err(reading)? {
        at = data.start;
        while at < data.end {
            progress.go_on()?;
            on_step("copying");
            let len = (data.end - at).min(COPY_LEN as u64) as usize;
            source.read_exact_at(&mut buffer[..len], at).map_err(reading)?;
            target.write_all_at(&buffer[..len], at).map_err(writing)?;
            progress.on_copied(len as u64);
            at += len as u64;
            unsynced += len as u64;
            if unsynced >= SYNC_EVERY {
                unsynced = 0;
                target.sync_data().map_err(writing)?;
            }
        }
    }
    target.set_len(found.len()).map_err(writing)?;
    target.set_permissions(found.permissions()).map_err(writing)?;
    let modified = found.modified().map_err(reading)?;
    target.set_times(FileTimes::new().set_modified(modified)).map_err(writing)?;
    target.sync_all().map_err(writing)
}

/// The next bytes of a file that are no hole, from `at`.
fn next_data(file: &File, at: u64, len: u64) -> io::Result<Option<std::ops::Range<u64>>> {
    if at >= len {
        return Ok(None);
    }
    let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        // This file system knows of no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(at..len)),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(begin))?.min(len);
    Ok((begin < end).then_some(begin..end))
}

/// Gives the files their names in the new home, and clears up the old one. May be begun again
/// at any point.
///
/// # Errors
/// `Occupied` when somebody put something at a new place meanwhile: his stays, and what is to
/// go there keeps its name of before. `Io`.
pub(in crate::disk) fn settle(
    intent: &Intent,
    note: &Path,
    on_step: &dyn Fn(&str),
) -> Result<(), Error> {
    let (from, to) = bases(intent);
    for it in &intent.moves {
        let (base, path) = match &it.copy {
            Some(copy) => (&to, copy),
            None => (&from, &it.from),
        };
        let fail = |error| Error::io("renaming", base.full(path), error);
        if base.stat(path).map_err(fail)?.is_none() {
            continue;
        }
        is_free(&to, &it.to)?;
        on_step("giving a file its name");
        base.hand_over(path, &to, &it.to).map_err(fail)?;
    }
    for (before, after) in &intent.links {
        let fail = |error| Error::io("making", to.full(after), error);
        if let Some(content) = from.content_of_link(before).map_err(fail)? {
            on_step("making a link");
            to.link(&content, after).map_err(fail)?;
            from.remove(before).map_err(fail)?;
        }
    }
    on_step("bringing names to the device");
    sync_above(&to, intent.moves.iter().map(|it| it.to.as_path()))?;
    for it in intent.moves.iter().filter(|it| it.copy.is_some()) {
        on_step("removing what was copied");
        remove_copied(&from, &to, it);
    }
    on_step("removing empty directories");
    let links = intent.links.iter().map(|(before, _)| before.as_path());
    let left: Vec<&Path> = intent.moves.iter().map(|it| it.from.as_path()).chain(links).collect();
    left.iter().for_each(|path| from.remove_empty_above(path));
    sync_above(&from, left.into_iter())?;
    on_step("removing the note");
    Intent::remove(note)
}

/// Removes a file whose copy has its name. What cannot be removed only takes space.
fn remove_copied(from: &Base, to: &Base, it: &Move) {
    let (Ok(source), Ok(target)) = (from.stat(&it.from), to.stat(&it.to)) else { return };
    let Some(source) = source.filter(|source| source.is_file) else { return };
    let is_copied = target.is_some_and(|target| target.is_file && target.len >= source.len);
    let removed = match is_copied {
        true => from.remove(&it.from),
        false => Err(io::Error::other("its copy is gone")),
    };
    if let Err(error) = removed {
        let path = from.full(&it.from);
        tracing::warn!(path = %path.display(), %error, "a file that was moved stays as well");
    }
}

/// Ends what a crash left half done: a move whose home the record names goes on, any other is
/// undone. Changes nothing when there is no note.
///
/// # Errors
/// `HalfMoved` when the new home is away; `BadNote`; `Occupied`; `Io`.
pub(in crate::disk) fn recover(
    resume_path: &Path,
    info_hash: InfoHash,
    home: Option<&Home>,
) -> Result<(), Error> {
    let note = intent::path_beside(resume_path);
    let Some(intent) = Intent::read(&note, info_hash)? else { return Ok(()) };
    if !home.is_some_and(|home| home.is_same_place(&intent.home)) {
        tracing::info!("a move that had not come far is undone");
        undo(&intent);
        return Intent::remove(&note);
    }
    if !is_anything_there(&intent) {
        return Err(Error::HalfMoved { dir: intent.home.dir, note });
    }
    tracing::info!("a move that was interrupted goes on");
    settle(&intent, &note, &|_| {})
}

/// Removes the copies. Nothing else was changed yet, and the files are still where they were.
fn undo(intent: &Intent) {
    let (from, to) = bases(intent);
    for it in &intent.moves {
        let is_safe = matches!(from.stat(&it.from), Ok(Some(source)) if source.is_file);
        // Before the note says that they are ours, ours have no bytes yet.
        let is_ours = |copy: &&PathBuf| {
            intent.is_reserved || matches!(to.stat(copy), Ok(Some(copy)) if copy.len == 0)
        };
        if let Some(copy) = it.copy.as_ref().filter(|_| is_safe).filter(is_ours) {
            discard(&to, copy);
        }
    }
    remove_made_directories(intent, &to);
}

fn discard(to: &Base, copy: &Path) {
    if let Err(error) = to.remove(copy) {
        let path = to.full(copy);
        tracing::warn!(path = %path.display(), %error, "half a copy cannot be removed");
    }
}

/// Removes the directories that were made for the move, as far as they are empty.
fn remove_made_directories(intent: &Intent, to: &Base) {
    for dir in intent.dirs.iter().rev() {
        to.remove_directory(dir);
    }
}

/// Is any of the files anywhere? If none is, a file system is not mounted.
fn is_anything_there(intent: &Intent) -> bool {
    let (from, to) = bases(intent);
    let is_there = |base: &Base, path: &Path| matches!(base.stat(path), Ok(Some(_)));
    let is_found = |it: &Move| match &it.copy {
        Some(copy) => is_there(&to, copy) || is_there(&to, &it.to),
        None => is_there(&from, &it.from) || is_there(&to, &it.to),
    };
    intent.moves.is_empty() || intent.moves.iter().any(is_found)
}

fn bases(intent: &Intent) -> (Base, Base) {
    (Base::new(intent.from.clone()), Base::new(intent.home.dir.clone()))
}

/// Brings the names in the directories of these paths to the device.
fn sync_above<'a>(base: &Base, paths: impl Iterator<Item = &'a Path>) -> Result<(), Error> {
    let parents: BTreeSet<PathBuf> =
        paths.filter_map(|path| Some(path.parent()?.to_owned())).collect();
    for parent in parents {
        // Of directories that were removed, those above are what counts.
        for above in parent.ancestors() {
            match base.sync_directories(above) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => {
                    other.map_err(|error| Error::io("writing", base.full(above), error))?;
                    break;
                }
            }
        }
    }
    Ok(())
}
