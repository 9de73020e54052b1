//! The record of a torrent that was made here: its data was just read and hashed, and need not be
//! again by whoever seeds it. Also whether the data of an earlier one is as it was then.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::base::bitfield::Bitfield;
use crate::metainfo::Torrent;

use super::super::beneath::Stamp;
use super::super::config::{Allocate, StoreConfig, StoreFile};
use super::super::looked::Looked;
use super::super::record::{Ground, RecordState, record_of};
use super::error::Error;
use super::make::Created;
use super::walk::walk;

impl Created {
    /// Writes the record of the torrent in this state directory, if its data lies below `dir` and
    /// can be seeded from there: see [`note`](Self::note).
    ///
    /// # Errors
    /// As `note`.
    pub fn remember(&self, state_dir: &Path, dir: &Path) -> Result<bool, Error> {
        let torrent = &self.torrent;
        let known = torrent.layout.zip(torrent.info_hash_v1);
        let Some((layout, info_hash)) = known else { return Ok(false) };
        let files = torrent.files.iter().map(|file| StoreFile {
            path: file.path.to_owned(),
            len: file.length,
            is_pad: file.is_pad,
        });
        let files: Vec<StoreFile> = files.collect();
        self.note(StoreConfig {
            layout,
            piece_hashes: torrent.shared_piece_hashes(),
            wanted: vec![true; files.len()],
            files,
            symlinks: Vec::new(),
            dir: dir.to_owned(),
            allocate: Allocate::None,
            overwrite: false,
            resume_path: record_of(state_dir, info_hash, dir),
            info_hash,
            ignores_record: false,
        })
    }

    /// Writes the record of the torrent whose data `config` describes, if those are the files that
    /// were read, as they were then, and nothing else is known of the torrent; false when not.
    /// Waits for the disk.
    ///
    /// # Errors
    /// `Disk`: the record is in use, or cannot be written.
    pub fn note(&self, config: StoreConfig) -> Result<bool, Error> {
        let mut looked = Looked::at(0, config)?;
        let real = self.torrent.files.iter().enumerate().filter(|(_, file)| !file.is_pad);
        let real = real.map(|(number, _)| number as u32);
        let read: Vec<(u32, Stamp)> = real.zip(self.stamps.iter().copied()).collect();
        let found = looked.store.looks().into_iter();
        let found: Vec<_> = found.map(|(file, stamp)| (file.0, stamp)).collect();
        // One that knows of pieces, or of another place, may know more.
        let is_news = looked.loaded.state == RecordState::New;
        if found != read || looked.survey.part_count > 0 || !is_news {
            return Ok(false);
        }
        let pieces = looked.recorded.piece_count();
        let mut standing = looked.standing();
        standing.verified = Bitfield::all(pieces);
        // What was read may be in the system's memory alone.
        standing.durable = Bitfield::none(pieces);
        standing.doubted = Bitfield::none(pieces);
        // These say as well that the files are ours.
        standing.stamps = read;
        standing.ground = Ground::below(&looked.subject.home.dir);
        looked.loaded.rewrite(&looked.subject, &standing)?;
        Ok(true)
    }
}

/// Is what lies at `path` the torrent's data, every byte as its record remembers it? Looks at the
/// files and reads none of them.
///
/// # Errors
/// As [`super::create`] for what cannot be looked at, and `Disk`.
pub fn is_unchanged(path: &Path, torrent: &Torrent, config: StoreConfig) -> Result<bool, Error> {
    let found = walk(path, &AtomicBool::new(false))?;
    let mut files = found.files.iter();
    let are_same = torrent.files.iter().filter(|file| !file.is_pad).all(|file| {
        let Some(found) = files.next() else { return false };
        let below = match found.source.path.as_str() {
            "" => Path::new(&torrent.name).to_owned(),
            below => Path::new(&torrent.name).join(below),
        };
        below == file.path && found.source.length == file.length
    });
    if !are_same || files.next().is_some() {
        return Ok(false);
    }
    let looked = Looked::at(0, config)?;
    let is_whole = looked.trusted.ones() == looked.trusted.piece_count();
    Ok(is_whole && looked.survey.part_count + looked.survey.missing_count == 0)
}
