//! What the disk must know of a torrent: its files, where they go and how they get their space.
//! Not here: what is found there.

use std::path::PathBuf;

use crate::base::hashes::PieceHashes;
use crate::base::ids::InfoHash;
use crate::base::layout::Layout;

/// How files get their space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocate {
    /// Grow as data comes.
    None,
    /// Full length at once, without blocks on disk.
    #[default]
    Sparse,
    /// Full length and all blocks on disk.
    Full,
}

/// A torrent's files, in its order.
#[derive(Clone, Debug)]
pub struct StoreFile {
    /// Where it goes below the directory: cleaned, relative, unique.
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Zeros that are not on disk (BEP 47).
    pub is_pad: bool,
}

/// Everything the disk must know of a torrent.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Its geometry.
    pub layout: Layout,
    /// SHA-1 of each piece, 20 bytes each, one behind the other.
    pub piece_hashes: PieceHashes,
    /// Its files.
    pub files: Vec<StoreFile>,
    /// Symbolic links: where, and what they hold. Those that lead out are not made.
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Directory that the files go below, made at the first write.
    pub dir: PathBuf,
    /// Which files are wanted; one entry a file.
    pub wanted: Vec<bool>,
    /// About space.
    pub allocate: Allocate,
    /// Use existing files that differ.
    pub overwrite: bool,
    /// The record of verified pieces; its directory is made when missing.
    pub resume_path: PathBuf,
    /// Whose record it is.
    pub info_hash: InfoHash,
    /// Where the record knows the files to be elsewhere than in `dir`, or on a file system that is
    /// not there, it is passed over.
    pub ignores_record: bool,
}
