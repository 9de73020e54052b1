//! Which device a path is on: what waits for one must not wait for another. And how much is free
//! there. Waits for the disk.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::StatVfs;

/// The device that a path is on, or would be made on, as the system numbers it.
pub(super) fn device_of(path: &Path) -> io::Result<u64> {
    nearest(&std::path::absolute(path)?).map(|(_, there)| there.dev())
}

/// The same, and how many bytes we may still write there; none where the system does not tell.
///
/// # Errors
/// Nothing of the path can be looked at.
pub fn room_of(path: &Path) -> io::Result<(u64, Option<u64>)> {
    let absolute = std::path::absolute(path)?;
    let (above, there) = nearest(&absolute)?;
    Ok((there.dev(), free_bytes(&rustix::fs::statvfs(above)?)))
}

/// Bytes that we may still write on a file system; none where it does not tell.
pub(super) fn free_bytes(found: &StatVfs) -> Option<u64> {
    let blocks = match rustix::process::geteuid().is_root() {
        true => found.f_bfree,
        false => found.f_bavail,
    };
    (found.f_blocks > 0).then(|| blocks.saturating_mul(found.f_frsize))
}

/// What of the path is there.
fn nearest(path: &Path) -> io::Result<(&Path, Metadata)> {
    let mut there = path.ancestors().map(|above| Ok((above, std::fs::metadata(above)?)));
    let last: io::Result<_> = Err(io::ErrorKind::NotFound.into());
    there.find(Result::is_ok).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_to_be_made_is_where_its_directory_is() {
        let dir = tempfile::tempdir().unwrap();
        let (device, free) = room_of(&dir.path().join("a/b")).unwrap();
        assert_eq!(device, device_of(dir.path()).unwrap());
        assert!(free.is_some_and(|free| free > 0));
        assert_ne!(room_of(Path::new("/proc")).unwrap(), (device, free));
    }
}
