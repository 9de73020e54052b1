//! `dht.dat`: the nodes of both families between runs. What a family's bytes mean is its
//! machine's; what is damaged counts as nothing.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::bencode;
use crate::os::whole::{self, How};

/// The longest file that is read: twice what a machine keeps at most, and the names around it.
const FILE_LEN_MAX: u64 = 2 * (64 << 10) + 64;

/// What is kept for each family; nothing where nothing is known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub four: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub six: Option<ByteBuf>,
}

/// What an earlier run kept; nothing when that cannot be read.
pub(super) fn load(path: &Path) -> Kept {
    match read(path) {
        Ok(kept) => kept,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(path = %path.display(), %error, "the DHT's nodes are lost");
            }
            Kept::default()
        }
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    let bytes = whole::read(path, FILE_LEN_MAX)?;
    bencode::decode(&bytes, bencode::MESSAGE).map_err(io::Error::other)
}

/// Keeps this instead of what was there, at once and as a whole. It tells with whom we spoke, so
/// that only its owner may read it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn store(path: &Path, kept: &Kept) -> io::Result<()> {
    whole::replace(path, &bencode::encode(kept), How::QUICK.private().alone())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_found_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht.dat");
        assert_eq!(load(&path), Kept::default());
        let long = ByteBuf::from(vec![7; 64 << 10]);
        for kept in [
            Kept { four: Some(ByteBuf::from(b"four".to_vec())), six: None },
            Kept { four: Some(long.clone()), six: Some(long) },
        ] {
            fs::write(path.with_extension("dat.new"), b"left behind").unwrap();
            store(&path, &kept).unwrap();
            assert_eq!(load(&path), kept);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_damaged_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht.dat");
        for bytes in [&b""[..], b"d4:four5:aee", b"le", &vec![b'x'; 1 << 20]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(load(&path), Kept::default());
        }
    }
}
