//! Small torrents of one file, and the session that has many of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pigeon::base::digest::sha1;
use pigeon::metainfo::Torrent;
use pigeon::session::{Encryption, SessionConfig};

const PIECE_LEN: usize = 16_384;

/// A torrent of one file of this name below `dir`, where it is made if it is not there: so many
/// bytes, which the number tells apart.
pub fn torrent(dir: &Path, number: usize, name: &str, len_bytes: usize) -> Arc<Torrent> {
    let content = number.to_le_bytes().repeat(len_bytes / size_of::<usize>());
    fs::create_dir_all(dir).expect("a directory");
    let file = dir.join(name);
    if !file.exists() {
        fs::write(file, &content).expect("room");
    }
    let hashes: Vec<u8> = content.chunks(PIECE_LEN).flat_map(|piece| sha1(&[piece])).collect();
    let (name_len, hashes_len) = (name.len(), hashes.len());
    let info = format!(
        "d6:lengthi{len_bytes}e4:name{name_len}:{name}12:piece lengthi{PIECE_LEN}e\
         6:pieces{hashes_len}:"
    );
    let bytes = [b"d4:info", info.as_bytes(), &hashes, b"ee"].concat();
    Arc::new(Torrent::parse(&bytes).expect("a torrent"))
}

/// A session in this state directory, of whose complete torrents so many stay awake with nobody.
pub fn config(state_dir: &Path, awake: usize) -> SessionConfig {
    SessionConfig::default()
        .port(0)
        .encryption(Encryption::Off)
        .max_active(64)
        .awake_max(awake)
        .state_dir(state_dir)
}
