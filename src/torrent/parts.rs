//! A torrent's facts, options and means, checked to be there, as its task holds them from the
//! first moment to the last.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash};
use crate::base::layout::Layout;
use crate::disk::{StoreConfig, StoreFile, record_of};
use crate::metainfo::Torrent;

use super::meanwhile::at_disk;
use super::options::{CheckMode, TorrentOptions};
use super::places::Account;
use super::publish::{SoFar, wanted_pieces};
use super::resources::Resources;
use super::wish::Wish;

/// What of a torrent the actor needs, checked to be there.
pub(super) struct Parts {
    pub torrent: Arc<Torrent>,
    pub options: TorrentOptions,
    pub resources: Arc<Resources>,
    /// The connections that it may have.
    pub places: Account,
    pub info_hash: InfoHash,
    pub layout: Layout,
    pub extents: Extents,
    /// What may change at any time; the options say how that was at first.
    pub wish: Wish,
    pub uploaded_before_bytes: u64,
    /// Its record of verified pieces, once it was looked for.
    pub record: OnceLock<PathBuf>,
    pub so_far: SoFar,
    /// Everything is read and hashed when it is opened next, whatever is on record.
    pub verifies: bool,
}

impl Parts {
    /// Its record of verified pieces. May wait for the disk of its files, once.
    pub async fn record(&self) -> PathBuf {
        if let Some(record) = self.record.get() {
            return record.clone();
        }
        let state_dir = self.resources.state_dir.clone();
        let (info_hash, dir) = (self.info_hash, self.options.dir.clone());
        let find = {
            let dir = dir.clone();
            move || record_of(&state_dir, info_hash, &dir)
        };
        let record = at_disk(&self.resources.disk, &dir, find).await;
        self.record.get_or_init(|| record).clone()
    }
}

/// The torrent's files, as the disk is asked to open them. May wait for it, once.
pub(super) async fn store_config(parts: &Parts) -> StoreConfig {
    let resume_path = parts.record().await;
    let Parts { torrent, options, info_hash, layout, wish, .. } = parts;
    StoreConfig {
        layout: *layout,
        piece_hashes: torrent.shared_piece_hashes(),
        files: store_files(torrent),
        symlinks: store_links(torrent),
        dir: options.dir.clone(),
        wanted: wish.wanted_files(),
        allocate: options.allocate,
        overwrite: options.overwrite,
        resume_path,
        info_hash: *info_hash,
        ignores_record: options.check == CheckMode::NoResume,
    }
}

/// The torrent's files as the disk is told of them.
pub(super) fn store_files(torrent: &Torrent) -> Vec<StoreFile> {
    let files = torrent.files.iter().map(|file| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    });
    files.collect()
}

/// The same of its symbolic links.
pub(super) fn store_links(torrent: &Torrent) -> Vec<(PathBuf, PathBuf)> {
    torrent.symlinks.iter().map(|link| (link.path.clone(), link.content())).collect()
}

/// The pieces of the files that are wanted.
pub(super) fn wanted_of(parts: &Parts) -> Bitfield {
    let is_wanted =
        |file: FileIndex| parts.wish.files.get(file.0 as usize).is_none_or(|it| it.is_wanted());
    wanted_pieces(&parts.extents, &parts.layout, is_wanted)
}
