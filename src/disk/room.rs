//! Can what is missing be written where a torrent's files go? Asked before anything is fetched, so
//! that nobody waits for what cannot end well. An answer of this moment: it reserves nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Access;

use crate::base::units::size;

use super::error::Error;
use super::files::{FileStore, Place};
use super::store_handle::StoreHandle;

impl StoreHandle {
    /// Is there room for `missing` bytes beside the `present` ones of the torrent, and may we write
    /// there? Waits for the disk.
    ///
    /// # Errors
    /// `NoSpace`, `NoFiles`; `Io` when nothing may be written.
    pub fn check_room(&self, missing: u64, present: u64) -> Result<(), Error> {
        let Some(files) = &self.shared.files else { return Ok(()) };
        let dir = &files.home.dir;
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let Some(there) = absolute.ancestors().find(|above| above.exists()) else { return Ok(()) };
        if is_of_kernel(there) {
            return Err(Error::NoFiles { dir: dir.clone() });
        }
        let may_write = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK);
        may_write.map_err(|error| Error::io("writing", dir, error))?;
        // What files take beyond their right bytes is overwritten, not taken anew.
        let spare = allocated(&files.store).saturating_sub(present);
        let wanted = missing.saturating_sub(spare);
        let free = files.store.base.free_bytes().ok().flatten();
        match free.filter(|free| *free < wanted) {
            None => Ok(()),
            Some(free) => {
                let (wanted, free) = (size(wanted), size(free));
                Err(Error::NoSpace { dir: dir.clone(), wanted, free })
            }
        }
    }
}

/// File systems that show what the kernel knows: linux/magic.h. Root may write there, and no file
/// can be made.
const OF_KERNEL: [u64; 7] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
];

pub(super) fn is_of_kernel(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|found| OF_KERNEL.contains(&(found.f_type as u64)))
}

fn allocated(store: &FileStore) -> u64 {
    let there = store.real().filter(|(_, entry)| entry.place() != Place::Nowhere);
    let found = there
        .filter_map(|(file, _)| store.base.full(&store.path_now(file)).symlink_metadata().ok());
    found.map(|found| found.blocks().saturating_mul(512)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_file_systems_keep_no_files() {
        assert!(is_of_kernel(Path::new("/proc")) && is_of_kernel(Path::new("/sys")));
        assert!(!is_of_kernel(Path::new("/")) && !is_of_kernel(Path::new("/nowhere")));
    }
}
