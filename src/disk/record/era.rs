//! Where files stand: on which file system, and for how long the system's memory keeps what
//! was written there. That is until the machine starts anew or the file system is unmounted:
//! a boot and a mount make an era. Nothing here reads a data file.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::beneath::Base;
use super::super::patience::patiently;

/// The ground below a directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::disk) struct Ground {
    /// The boot and the mount, in no meaningful form; empty when the system does not tell.
    pub era: Vec<u8>,
    /// Which file system it is, over boots and mounts; 0 when the system does not tell.
    pub file_system: u64,
}

impl Ground {
    /// Looks at a directory, or at the nearest one above it when it is not there yet.
    pub(in crate::disk) fn below(dir: &Path) -> Self {
        let base = Base::new(dir.to_owned());
        let Ok(standing) = patiently(|| base.nearest()) else { return Self::default() };
        let file_system = rustix::fs::fstatvfs(&standing).map_or(0, |found| found.f_fsid);
        Self { era: era(&standing).unwrap_or_default(), file_system }
    }
}

#[cfg(target_os = "linux")]
fn era(dir: &OwnedFd) -> Option<Vec<u8>> {
    use rustix::fs::{AtFlags, StatxFlags, statx};

    /// `STATX_MNT_ID_UNIQUE` (since Linux 6.8): never used again within a boot.
    const MOUNT_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

    let boot = patiently(|| std::fs::read("/proc/sys/kernel/random/boot_id")).ok()?;
    let asked = StatxFlags::MNT_ID | MOUNT_UNIQUE;
    let found = statx(dir, c"", AtFlags::EMPTY_PATH, asked).ok()?;
    let told = StatxFlags::from_bits_retain(found.stx_mask);
    let mount = told.intersects(asked).then_some(found.stx_mnt_id)?;
    Some([boot.trim_ascii(), format!(" {mount}").as_bytes()].concat())
}

#[cfg(not(target_os = "linux"))]
fn era(_: &OwnedFd) -> Option<Vec<u8>> {
    None
}

/// The boot of an era.
pub(super) fn boot_of(era: &[u8]) -> &[u8] {
    era.split(|byte| *byte == b' ').next().unwrap_or_default()
}

/// When this machine started, nanoseconds since 1970, where the system tells.
pub(super) fn booted_ns() -> Option<i64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse::<i64>().ok()?.checked_mul(1_000_000_000)
}

/// The time by the system's clock, nanoseconds since 1970: the one that files carry.
pub(in crate::disk) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_stands_where_it_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let here = Ground::below(dir.path());
        assert_eq!(Ground::below(&dir.path().join("not/yet")), here);
        assert!(cfg!(not(target_os = "linux")) || !here.era.is_empty());
    }

    #[test]
    fn another_mount_is_another_era() {
        if cfg!(target_os = "linux") {
            assert_ne!(Ground::below(Path::new("/")).era, Ground::below(Path::new("/proc")).era);
        }
    }
}
