//! What a torrent sent in its life: `<info-hash>.stats` in the state directory, a bencoded
//! dictionary, so that a ratio is about the torrent and not about one run. Written under
//! another name and renamed; a lost or broken file costs the count, never the download.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::ids::InfoHash;
use crate::bencode;

/// The file has three entries; a longer one is not ours.
const FILE_LEN_MAX: u64 = 4096;
const VERSION: i64 = 1;

#[derive(Serialize, Deserialize)]
struct Stats {
    uploaded: u64,
    version: i64,
}

/// Bytes sent in earlier runs; 0 when nothing is known.
pub(super) fn uploaded(state_dir: &Path, info_hash: InfoHash) -> u64 {
    let path = path(state_dir, info_hash);
    match read(&path) {
        Ok(uploaded) => uploaded,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the count of what was sent is lost");
            0
        }
    }
}

fn read(path: &Path) -> io::Result<u64> {
    if fs::metadata(path)?.len() > FILE_LEN_MAX {
        return Err(io::Error::other("it is too long"));
    }
    decode(&fs::read(path)?)
}

fn decode(bytes: &[u8]) -> io::Result<u64> {
    let stats: Stats = bencode::decode(bytes, bencode::MESSAGE).map_err(io::Error::other)?;
    match stats.version {
        VERSION => Ok(stats.uploaded),
        _ => Err(io::Error::other("a newer program wrote it")),
    }
}

/// Keeps the bytes sent so far, for the next run.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn keep_uploaded(
    state_dir: &Path,
    info_hash: InfoHash,
    uploaded: u64,
) -> io::Result<()> {
    let path = path(state_dir, info_hash);
    // The torrent's record is locked by this process: nobody else writes here.
    let new = path.with_extension("stats.new");
    fs::write(&new, bencode::encode(&Stats { uploaded, version: VERSION }))?;
    fs::rename(&new, &path)
}

fn path(state_dir: &Path, info_hash: InfoHash) -> PathBuf {
    state_dir.join(format!("{info_hash}.stats"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash([7; 20]);

    #[test]
    fn what_was_kept_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(uploaded(dir.path(), HASH), 0);
        keep_uploaded(dir.path(), HASH, 123).unwrap();
        keep_uploaded(dir.path(), HASH, 1 << 40).unwrap();
        assert_eq!(uploaded(dir.path(), HASH), 1 << 40);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(uploaded(dir.path(), InfoHash([8; 20])), 0);
    }

    #[test]
    fn what_is_broken_or_newer_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path(), HASH);
        for bytes in [&b""[..], b"d8:uploadedi5e", b"d8:uploadedi5e7:versioni2ee", &[b'x'; 5000]] {
            fs::write(&file, bytes).unwrap();
            assert_eq!(uploaded(dir.path(), HASH), 0, "{bytes:?}");
        }
        fs::write(&file, b"d8:uploadedi5e7:versioni1ee").unwrap();
        assert_eq!(uploaded(dir.path(), HASH), 5);
    }

    #[test]
    fn fuzz_stats() {
        crate::fuzz::run("upload_stats", |bytes| {
            if let Ok(uploaded) = decode(bytes) {
                let written = bencode::encode(&Stats { uploaded, version: VERSION });
                assert_eq!(decode(&written).ok(), Some(uploaded));
            }
        });
    }
}
