//! Moving a torrent's files to another directory, and giving them other names, while nobody
//! uses them. Decides what goes where, and refuses before anything is touched.

mod copies;
mod names;
mod need;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::ids::FileIndex;

use self::copies::CopyNames;
use self::need::{Need, to_copy};
use super::beneath::{Base, Stamp};
use super::carry::{Intent, Move, MoveProgress, is_free, path_beside, prepare, recover, settle};
use super::config::{StoreConfig, StoreFile};
use super::error::Error;
use super::files::{FileStore, Place};
use super::folding::folds_names;
use super::looked::Looked;
use super::record::{Ground, Home, RecordState, Subject, lasting};
use super::room::is_of_kernel;
use super::store_handle::StoreHandle;

/// What is to become of a torrent's files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Relocation {
    /// They go to this directory.
    Dir(PathBuf),
    /// This one gets another name: a name in its directory, or a path in the torrent's folder.
    File(FileIndex, String),
    /// The torrent's folder gets another name, or its single file.
    Torrent(String),
}

/// A move that may begin. The record stays locked.
#[derive(Debug)]
pub struct Relocating {
    looked: Looked,
    intent: Intent,
    resume_path: PathBuf,
    /// Files that are there and stay as they are.
    staying: Vec<FileIndex>,
    need: Need,
}

/// Looks at a torrent that nobody has open, and at where its files are to go. Waits for the
/// disk; changes nothing.
///
/// # Errors
/// `Unmovable`, `Occupied` and `NoRoom` when it must not be; those of opening.
pub fn plan_move(mut config: StoreConfig, what: &Relocation) -> Result<Relocating, Error> {
    let looked = Looked::at(0, config.clone())?;
    if looked.loaded.state == RecordState::Newer {
        let why = "a newer program wrote the torrent's record: use that one".to_owned();
        return Err(Error::Unmovable(why));
    }
    config.dir.clone_from(&looked.subject.home.dir);
    config.keep_apart();
    let home = home_after(&looked.subject.home, &config.files, what)?;
    check_names(&home, &config)?;
    let resume_path = config.resume_path.clone();
    let mut planned = Plan::of(&looked, &home, config)?;
    let to_copy = planned.choose_ways()?;
    let torrent = (&looked.store, &looked.subject.layout, &looked.recorded);
    let need = Need::of(torrent, (&planned.from, &planned.to), to_copy)?;
    need.check(&planned.to)?;
    let dirs = planned.missing_dirs()?;
    let Plan { moves, links, staying, .. } = planned;
    let is_reserved = moves.iter().all(|it| it.copy.is_none());
    let from = looked.subject.home.dir.clone();
    let info_hash = looked.subject.info_hash;
    let intent = Intent { info_hash, from, home, moves, dirs, is_reserved, links };
    Ok(Relocating { looked, intent, resume_path, staying, need })
}

/// Where the files will be.
fn home_after(before: &Home, files: &[StoreFile], what: &Relocation) -> Result<Home, Error> {
    let home = match what {
        Relocation::Dir(dir) => before.moved_to(directory(lasting(dir))?),
        Relocation::File(file, typed) => names::rename_file(before, files, file.0, typed)?,
        Relocation::Torrent(typed) => names::rename_torrent(before, files, typed)?,
    };
    if !home.is_same_place(before) {
        return Ok(home);
    }
    Err(Error::Unmovable(match what {
        Relocation::Dir(dir) => format!("its files are in {} already", dir.display()),
        Relocation::File(_, typed) | Relocation::Torrent(typed) => {
            format!("{typed} is its name already")
        }
    }))
}

/// The same, if it is a directory, or may be made in one: of a path that leads nowhere no more is
/// made than its last part, since the others may be mistyped, or not mounted.
fn directory(dir: PathBuf) -> Result<PathBuf, Error> {
    let Some(there) = dir.ancestors().find(|above| above.exists()) else { return Ok(dir) };
    let mut below = dir.ancestors().take_while(|above| *above != there);
    let why = match (below.next(), below.last()) {
        _ if !there.is_dir() => {
            format!("{} is no directory: name one, or a new one", there.display())
        }
        _ if is_of_kernel(there) => return Err(Error::NoFiles { dir }),
        (Some(_), Some(missing)) => format!(
            "{} does not exist: make it first, or name a new directory in one that is there",
            missing.display()
        ),
        _ => return Ok(dir),
    };
    Err(Error::Unmovable(why))
}

/// Refuses what [`plan_move`] would, as far as that can be told while the torrent runs: then it
/// need not let go of anything for an order that comes to nothing. `files` are called as in the
/// torrent. Waits for the disk; changes nothing.
///
/// # Errors
/// `Unmovable`, `Occupied`, `NoRoom`; `Io`.
pub fn refuse_move(
    running: &StoreHandle,
    files: &[StoreFile],
    what: &Relocation,
) -> Result<(), Error> {
    let Some(on_disk) = &running.shared.files else { return Ok(()) };
    let home = &on_disk.home;
    let before = Home { dir: home.real().to_owned(), real: None, ..Home::clone(home) };
    let after = home_after(&before, files, what)?;
    if before.dir != after.dir {
        let torrent = &running.shared.torrent;
        let have = torrent.verified.to_bitfield(&torrent.layout);
        let (store, to) = (&on_disk.store, Base::new(after.dir.clone()));
        let to_copy = to_copy(store, &to)?;
        Need::of((store, &torrent.layout, &have), (&store.base, &to), to_copy)?.check(&to)?;
    }
    if folds_names(&before.dir) || folds_names(&after.dir) {
        // There files may have other names than in the torrent.
        return Ok(());
    }
    let real = || (0u32..).zip(files).filter(|(_, file)| !file.is_pad);
    let paths: Vec<PathBuf> =
        real().map(|(number, file)| after.path_of(number, &file.path)).collect();
    names::check_clashes(paths.iter().map(PathBuf::as_path), false)?;
    let base = Base::new(after.dir.clone());
    for ((number, file), path) in real().zip(&paths) {
        if before.dir != after.dir || before.path_of(number, &file.path) != *path {
            is_free(&base, path)?;
        }
    }
    Ok(())
}

fn check_names(home: &Home, config: &StoreConfig) -> Result<(), Error> {
    let mut renamed = config.clone();
    renamed.live_at(home);
    let real = |file: &&StoreFile| !file.is_pad;
    let files = renamed.files.iter().filter(real).map(|file| file.path.as_path());
    let paths = files.chain(renamed.symlinks.iter().map(|(at, _)| at.as_path()));
    names::check_clashes(paths, folds_names(&home.dir))
}

impl Relocating {
    /// Where the files will be.
    pub fn home(&self) -> &Home {
        &self.intent.home
    }

    /// Bytes to copy; 0 when all is done by renaming.
    pub fn copy_bytes(&self) -> u64 {
        self.need.to_copy
    }

    /// Does it. Waits for the disk; `on_step` is told before each change of something on disk,
    /// and now and then while copying.
    ///
    /// # Errors
    /// When it could not be done or was stopped: the files are where they were, but for an error
    /// that comes after the record names their new home; then the next start ends it.
    pub fn carry_out(self, progress: &MoveProgress, on_step: &dyn Fn(&str)) -> Result<(), Error> {
        let Self { looked, mut intent, resume_path, staying, need } = self;
        let note = path_beside(&resume_path);
        let info_hash = intent.info_hash;
        let to = Base::new(intent.home.dir.clone());
        let done = prepare(&mut intent, &note, progress, on_step)
            .and_then(|()| progress.go_on())
            // Others may have filled it meanwhile.
            .and_then(|()| Need { to_copy: 0, ..need }.check(&to))
            .and_then(|()| commit(looked, &intent, &staying, on_step));
        match done {
            Ok(_locked) => settle(&intent, &note, on_step),
            Err(error) => {
                // A failed write may have come through all the same: the record decides.
                let locked = super::record::Locked::open(&resume_path)?;
                let homes = locked.homes(info_hash);
                recover(&resume_path, info_hash, homes.first())?;
                match homes.first().is_some_and(|home| home.is_same_place(&intent.home)) {
                    true => Ok(()),
                    false if error.is_full() => Err(Error::Unmovable(format!(
                        "no space is left in {}: the files stay where they were",
                        to.path().display()
                    ))),
                    false => Err(error),
                }
            }
        }
    }
}

/// Has the record name the new home, with files that look as they do now. Returns the record,
/// locked.
fn commit(
    looked: Looked,
    intent: &Intent,
    staying: &[FileIndex],
    on_step: &dyn Fn(&str),
) -> Result<super::record::Loaded, Error> {
    let mut standing = looked.standing();
    let (from, to) = (Base::new(intent.from.clone()), Base::new(intent.home.dir.clone()));
    let here = staying.iter().map(|file| (file.0, &from, looked.store.path_now(*file)));
    let gone = intent.moves.iter().map(|it| match &it.copy {
        Some(copy) => (it.file, &to, copy.clone()),
        None => (it.file, &from, it.from.clone()),
    });
    for (file, base, path) in here.chain(gone) {
        let found = base.stat(&path);
        let found = found.map_err(|error| Error::io("looking at", base.full(&path), error))?;
        // What others changed is not ours because it was moved.
        let is_ours = looked.ours.contains(&FileIndex(file));
        let stamp = found.map(|found| if is_ours { found.stamp } else { Stamp::OF_NO_FILE });
        standing.stamps.extend(stamp.map(|stamp| (file, stamp)));
        // But one that we made is ours, whatever is in it.
        let is_made_here = looked.store.entry(FileIndex(file)).is_ours();
        let made_here = found.filter(|_| is_made_here);
        standing.ours.extend(made_here.map(|found| (file, found.stamp.inode)));
    }
    standing.ground = Ground::below(&intent.home.dir);
    let subject = Subject { home: intent.home.clone(), ..looked.subject };
    let mut loaded = looked.loaded;
    on_step("the record names the new home");
    loaded.rewrite(&subject, &standing)?;
    Ok(loaded)
}

/// What goes where.
struct Plan {
    from: Base,
    to: Base,
    moves: Vec<Move>,
    links: Vec<(PathBuf, PathBuf)>,
    staying: Vec<FileIndex>,
    copy_names: CopyNames,
}

impl Plan {
    /// Compares the files' places, and refuses when something stands at a new one.
    fn of(looked: &Looked, home: &Home, mut config: StoreConfig) -> Result<Self, Error> {
        let from = Base::new(looked.subject.home.dir.clone());
        let to = Base::new(home.dir.clone());
        let is_same_dir = looked.subject.home.dir == home.dir;
        let mut copy_names = CopyNames::default();
        let mut links = Vec::new();
        for (at, _) in &config.symlinks {
            let (before, after) = (looked.subject.home.in_folder(at), home.in_folder(at));
            copy_names.keep_free(&after);
            let found = from.content_of_link(&before);
            let found = found.map_err(|error| Error::io("looking at", from.full(&before), error));
            if found?.is_some() && !(is_same_dir && before == after) {
                is_free(&to, &after)?;
                links.push((before, after));
            }
        }
        config.live_at(home);
        config.dir.clone_from(&home.dir);
        let after = FileStore::new(0, config)?;
        let (mut moves, mut staying) = (Vec::new(), Vec::new());
        for (file, entry) in looked.store.real() {
            let place = entry.place();
            // An unfinished file of the plain name is whoever's made it.
            let is_foreign =
                place == Place::Part && !entry.has_own_name() && !looked.ours.contains(&file);
            let is_there = place != Place::Nowhere && !is_foreign;
            after.entry(file).be_called_like(entry);
            after.entry(file).set_place(place, None);
            let names = [
                (entry.path.clone(), after.entry(file).path.clone()),
                (looked.store.part_path(file), after.part_path(file)),
            ];
            names.iter().for_each(|(_, path)| copy_names.keep_free(path));
            let is_staying = is_same_dir && names[0].0 == names[0].1;
            if is_staying && names[1].0 != names[1].1 {
                let path = entry.path.display();
                let why = format!("unfinished, {path} is called so: choose another name");
                return Err(Error::Unmovable(why));
            }
            if is_staying {
                staying.extend(is_there.then_some(file));
                continue;
            }
            for (_, path) in &names {
                is_free(&to, path)?;
            }
            if is_there {
                let (from, to) = (looked.store.path_now(file), after.path_now(file));
                moves.push(Move { file: file.0, from, to, copy: None });
            }
        }
        Ok(Self { from, to, moves, links, staying, copy_names })
    }

    /// The directories that will have to be made, outer ones first.
    fn missing_dirs(&self) -> Result<Vec<PathBuf>, Error> {
        let above: BTreeSet<&Path> =
            self.moves.iter().flat_map(|it| it.to.ancestors().skip(1)).collect();
        let mut missing = Vec::new();
        for dir in above.into_iter().filter(|dir| !dir.as_os_str().is_empty()) {
            let stands = self.to.stands(dir);
            let fail = |error| Error::io("looking at", self.to.full(dir), error);
            if !stands.map_err(fail)? {
                missing.push(dir.to_owned());
            }
        }
        Ok(missing)
    }

    /// Finds out which files cannot just be renamed; how many bytes they are.
    fn choose_ways(&mut self) -> Result<u64, Error> {
        let mut copy_bytes = 0;
        for it in &mut self.moves {
            let fail = |path| move |error: std::io::Error| Error::io("looking at", path, error);
            let mounts = (
                self.from.mount_of(&it.from).map_err(fail(self.from.full(&it.from)))?,
                self.to.mount_of(&it.to).map_err(fail(self.to.full(&it.to)))?,
            );
            if mounts.0 != mounts.1 {
                it.copy = Some(self.copy_names.choose(&self.to, FileIndex(it.file), &it.to)?);
                let allocated = self.from.allocated(&it.from);
                copy_bytes += allocated.map_err(fail(self.from.full(&it.from)))?;
            }
        }
        Ok(copy_bytes)
    }
}
