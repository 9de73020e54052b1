//! A torrent's files and its record as they are found before anything is opened for good: which
//! home the record knows, which files are there, and which pieces can be believed. Changes no
//! data file, but for ending what a move or renaming left half done.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::bitfield::Bitfield;
use crate::base::ids::FileIndex;

use super::carry::recover;
use super::config::StoreConfig;
use super::error::Error;
use super::files::FileStore;
use super::patience::patiently;
use super::record::{
    Ground, Home, Loaded, Locked, RecordState, Reserved, Standing, Subject, lasting,
};
use super::survey::Survey;

/// What was found.
#[derive(Debug)]
pub(super) struct Looked {
    pub store: FileStore,
    /// The record, locked.
    pub loaded: Loaded,
    pub subject: Subject,
    /// The directory as its user spelled it, if the files are in that.
    pub dir: PathBuf,
    pub survey: Survey,
    /// Pieces that the record holds for verified, whatever became of their files.
    pub recorded: Bitfield,
    /// Those, and pieces in files that came since.
    pub to_look_at: Bitfield,
    /// Pieces that the record holds for verified and would be trusted, were it not for their files.
    pub believed: Bitfield,
    /// Those that were verified, in files that did not change since.
    pub trusted: Bitfield,
    /// Files of them that did.
    pub doubted: BTreeSet<FileIndex>,
    /// Those of the trusted ones that are on the device.
    pub durable: Bitfield,
    /// Files that look as we left them.
    pub ours: HashSet<FileIndex>,
    /// The record was passed over, and what it says, in words for people.
    pub ignored: Option<String>,
}

/// A torrent of which everything is here by its record, in files that have their names and look as
/// that says. Nothing of it is open.
#[derive(Debug)]
pub struct AtRest {
    /// Where the files are and what they are called.
    pub home: Arc<Home>,
    /// All of it is known to be on the device.
    pub is_durable: bool,
    /// Its record and place, which nobody else gets meanwhile.
    pub reserved: Reserved,
}

/// Looks whether a torrent is at rest. Waits for the disk; changes no data file. None when it is
/// not, or when that cannot be told: opening it tells why.
pub fn at_rest(config: StoreConfig) -> Option<AtRest> {
    if !config.resume_path.exists() {
        // Thousands may be new: nobody looks for the files of one that has no record.
        return None;
    }
    // Numbers tell open files apart: none is opened.
    let looked = Looked::at(0, config).ok()?;
    let Survey { part_count, missing_count, .. } = looked.survey;
    let is_as_recorded =
        part_count + missing_count == 0 && looked.loaded.state == RecordState::Loaded;
    (is_as_recorded && looked.trusted.is_full()).then(|| AtRest {
        is_durable: looked.durable == looked.trusted,
        home: Arc::new(looked.subject.home.called(looked.dir)),
        reserved: looked.loaded.reserve(),
    })
}

impl Looked {
    /// Looks for a torrent in its home: the directory that was asked for, or the one that its
    /// files were moved to from there, unless that is to be ignored.
    ///
    /// # Errors
    /// `InUse`, `NotMounted`, `NotAFile`, `UnsafePath`, `Inconsistent`, `Io`.
    pub(super) fn at(id: u64, mut config: StoreConfig) -> Result<Self, Error> {
        let asked = lasting(&config.dir);
        let mut locked = patiently(|| Locked::open(&config.resume_path))?;
        let known = locked.homes(config.info_hash);
        let (resume_path, info_hash) = (config.resume_path.clone(), config.info_hash);
        patiently(|| recover(&resume_path, info_hash, known.first()))?;
        let (home, others, mut ignored) = choose(known, &asked, config.ignores_record);
        if home.dir != asked {
            config.dir.clone_from(&home.dir);
        }
        patiently(|| locked.take_place(info_hash, &home.dir))?;
        config.keep_apart();
        config.live_at(&home);
        let (layout, dir, ignores) = (config.layout, config.dir.clone(), config.ignores_record);
        let subject = Subject { info_hash, layout, home, others };
        let store = FileStore::new(id, config)?;
        let ground = Ground::below(&dir);
        let mut loaded = locked.read(&subject, &store.extents, &ground);
        let (survey, seen) = patiently(|| store.survey())?;
        if survey.final_count + survey.part_count == 0 && loaded.was_elsewhere(&ground) {
            if !ignores {
                return Err(Error::NotMounted { dir });
            }
            loaded.forget();
            let why = "its record, of files on a file system that is not mounted here, is ignored";
            ignored = Some(why.to_owned());
        }
        let none = Bitfield::none(layout.piece_count());
        let believed = loaded.believed().unwrap_or(&none).clone();
        let described = loaded.described();
        let (trusted, doubted) = store.still_described(&layout, &believed, &described, &seen);
        let durable = loaded.durable().unwrap_or(&none).intersection(&trusted);
        let verified = loaded.verified().unwrap_or(&none);
        let ours = store.left_by_us(&layout, verified, &described, &seen);
        let recorded = loaded.recorded().unwrap_or_else(|| none.clone());
        let to_look_at = recorded.union(&store.never_seen(&layout, &recorded, &described));
        Ok(Self {
            store,
            loaded,
            subject,
            dir,
            survey,
            recorded,
            to_look_at,
            believed,
            trusted,
            doubted,
            durable,
            ours,
            ignored,
        })
    }

    /// Where the torrent stands, for a record that is written anew; without stamps.
    pub(super) fn standing(&self) -> Standing {
        // Sets of no piece, where no record is: nothing is known then.
        let known = |set: Bitfield| if self.loaded.is_read() { set } else { Bitfield::none(0) };
        Standing {
            verified: known(self.trusted.clone()),
            durable: known(self.durable.clone()),
            doubted: known(self.recorded.minus(&self.trusted)),
            stamps: Vec::new(),
            ours: Vec::new(),
            left: Vec::new(),
            ground: Ground::default(),
        }
    }
}

/// The home of somebody who names this directory, of those that are known, and the others; and
/// which of them is ignored, if that is asked for.
fn choose(known: Vec<Home>, asked: &Path, ignores: bool) -> (Home, Vec<Home>, Option<String>) {
    if !ignores {
        let (home, others) = Home::choose(known, asked);
        return (home, others, None);
    }
    let (meant, _) = Home::choose(known.clone(), asked);
    let ignored = (meant.dir != asked).then(|| {
        format!("its record, of files that were moved to {}, is ignored", meant.dir.display())
    });
    let (home, others) = Home::choose_here(known, asked);
    (home, others, ignored)
}

impl StoreConfig {
    /// Gives the files the names that they have in their home.
    pub(super) fn live_at(&mut self, home: &Home) {
        for (number, file) in (0u32..).zip(&mut self.files) {
            if !file.is_pad {
                file.path = home.path_of(number, &file.path);
            }
        }
        for (at, _) in &mut self.symlinks {
            *at = home.in_folder(at);
        }
    }
}
