//! What of a torrent is on disk when it has left: what the disk must know to look for its files.
//! Nothing here looks for them, or removes any.

use std::path::Path;

use crate::disk::{Allocate, StoreConfig, record_of};
use crate::metainfo::Torrent;

use super::parts::{store_files, store_links};

/// The files of a torrent that has left, as the disk is asked for them: those below `dir`, or that
/// were moved from there. None of a torrent that cannot run. Waits for the disk.
pub fn store_left(torrent: &Torrent, state_dir: &Path, dir: &Path) -> Option<StoreConfig> {
    let (info_hash, layout) = (torrent.info_hash_v1?, torrent.layout?);
    Some(StoreConfig {
        layout,
        piece_hashes: torrent.shared_piece_hashes(),
        files: store_files(torrent),
        symlinks: store_links(torrent),
        dir: dir.to_owned(),
        wanted: vec![true; torrent.files.len()],
        allocate: Allocate::default(),
        overwrite: false,
        resume_path: record_of(state_dir, info_hash, dir),
        info_hash,
        ignores_record: false,
    })
}
