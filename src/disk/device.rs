//! Which device a path is on: what waits for one must not wait for another. Waits for the disk.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The device that a path is on, or would be made on, as the system numbers it.
pub(super) fn device_of(path: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(path)?;
    let mut there = absolute.ancestors().map(std::fs::metadata);
    let last = Err(io::ErrorKind::NotFound.into());
    Ok(there.find(Result::is_ok).unwrap_or(last)?.dev())
}
