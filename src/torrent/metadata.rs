//! Metadata that peers sent once is kept beside the records, `<info-hash>.info`, byte for byte as
//! its maker wrote it, so that nobody is asked for it again. It is written under another name and
//! renamed, and counts only when its hash is right: a broken file is as good as none.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::metainfo::Torrent;
use crate::seek::Target;
use crate::wire::METADATA_LEN_MAX;

/// What was kept of the torrent that is sought; none where there is nothing, or nothing right.
/// Reads the disk.
pub(super) fn kept(state_dir: &Path, target: &Target) -> Option<Torrent> {
    target.names().iter().find_map(|name| {
        let path = path(state_dir, name);
        match read(&path, target) {
            Ok(torrent) => Some(torrent),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "kept metadata is of no use");
                None
            }
        }
    })
}

fn read(path: &Path, target: &Target) -> io::Result<Torrent> {
    let mut bytes = Vec::new();
    // A byte more than is allowed, so that its hash is wrong.
    fs::File::open(path)?.take(u64::from(METADATA_LEN_MAX) + 1).read_to_end(&mut bytes)?;
    if !target.check(&[bytes.as_slice().into()]).is_right {
        return Err(io::Error::other("its hash is wrong"));
    }
    Torrent::from_info(&bytes).map_err(io::Error::other)
}

/// Keeps the metadata under every hash that the torrent can be asked for by. Writes to the disk.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn keep(state_dir: &Path, torrent: &Torrent) -> io::Result<()> {
    let Some(target) = Target::new(torrent.info_hash_v1, torrent.info_hash_v2) else {
        return Ok(());
    };
    for name in target.names() {
        let path = path(state_dir, &name);
        // Whoever else writes here writes the same.
        let new = path.with_extension(format!("info.{}", std::process::id()));
        let written = fs::write(&new, torrent.raw_info()).and_then(|()| fs::rename(&new, &path));
        written.inspect_err(|_| drop(fs::remove_file(&new)))?;
    }
    Ok(())
}

fn path(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join(format!("{name}.info"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent() -> Torrent {
        let info = b"d6:lengthi9e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        Torrent::from_info(info).unwrap()
    }

    fn target(torrent: &Torrent) -> Target {
        Target::new(torrent.info_hash_v1, torrent.info_hash_v2).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_by_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let (torrent, state) = (torrent(), dir.path());
        let target = target(&torrent);
        assert!(kept(state, &target).is_none());
        keep(state, &torrent).unwrap();
        keep(state, &torrent).unwrap();
        assert_eq!(kept(state, &target).unwrap().raw_info(), torrent.raw_info());
        let hash = torrent.info_hash_v1.unwrap();
        let names: Vec<_> =
            fs::read_dir(state).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [format!("{hash}.info").as_str()], "and nothing else is left there");
        let absent = state.join("none");
        assert!(keep(&absent, &torrent).is_err() && kept(&absent, &target).is_none());
    }

    #[test]
    fn a_hybrid_is_found_by_either_hash() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = include_bytes!("../../tests/data/multi-hybrid.torrent");
        let torrent = Torrent::parse(bytes).unwrap();
        keep(dir.path(), &torrent).unwrap();
        let (v1, v2) = (torrent.info_hash_v1, torrent.info_hash_v2);
        for target in [Target::new(v1, None), Target::new(None, v2), Target::new(v1, v2)] {
            assert!(kept(dir.path(), &target.unwrap()).is_some(), "{target:?}");
        }
    }

    #[test]
    fn what_is_broken_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = torrent();
        let target = target(&torrent);
        keep(dir.path(), &torrent).unwrap();
        let path = path(dir.path(), &target.names()[0]);
        let right = fs::read(&path).unwrap();
        let mut changed = right.clone();
        changed[5] ^= 1;
        for bytes in [b"".as_slice(), &right[..40], &changed, &[right.as_slice(), b"x"].concat()] {
            fs::write(&path, bytes).unwrap();
            assert!(kept(dir.path(), &target).is_none(), "{bytes:?}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(kept(dir.path(), &target).is_none());
    }
}
