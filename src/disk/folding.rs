//! File systems that take names for one that differ only in case or in their normal form. Asked
//! without writing anything; a torrent's files get names there that stay apart
//! ([`folded_names`]). Everywhere else names are what the torrent says.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::metainfo::folded_names;

use super::config::StoreConfig;

/// Types of file systems (statfs(2)) that fold names, mounted as they mostly are: FAT, exFAT, HFS
/// and HFS+, CIFS, SMB2, SMB, NTFS of old kernels.
const FOLDING: [u64; 8] =
    [0x4d44, 0x2011_bab0, 0x4244, 0x482b, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x5346_544e];
/// The flag of a directory that folds, on ext4, f2fs and others (`FS_CASEFOLD_FL`).
const CASEFOLD_FLAG: u32 = 0x4000_0000;

impl StoreConfig {
    /// Gives files the names that they have where the directory folds names. Waits for the disk.
    pub(super) fn keep_apart(&mut self) {
        if !folds_names(&self.dir) {
            return;
        }
        let names = self.files.iter().map(|file| file.path.to_str().filter(|_| !file.is_pad));
        for (file, path) in folded_names(names) {
            self.files[file].path = path.into();
        }
    }
}

/// Are names one in this directory, or in the one that it will be made in, that differ only in
/// case? Waits for the disk.
pub fn folds_names(dir: &Path) -> bool {
    let Some(dir) = dir.ancestors().map(or_here).find(|dir| dir.is_dir()) else { return false };
    let opened = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let Ok(opened) = opened else { return false };
    let kind = rustix::fs::fstatfs(&opened).map_or(0, |it| u64::from(it.f_type as u32));
    // File systems without flags have none.
    let flags = rustix::fs::ioctl_getflags(&opened).map_or(0, |flags| flags.bits());
    FOLDING.contains(&kind) || flags & CASEFOLD_FLAG != 0 || answers_to_another_case(dir)
}

/// Is the directory itself there by its name in another case? Then what it stands in folds, and
/// with it the directory, if both are on one file system.
fn answers_to_another_case(dir: &Path) -> bool {
    let Some(swapped) = in_another_case(dir) else { return false };
    let file = |path: &Path| path.symlink_metadata().ok().map(|it| (it.dev(), it.ino()));
    let above = |path: &Path| path.parent().map(or_here)?.metadata().ok().map(|it| it.dev());
    let Some((device, inode)) = file(dir) else { return false };
    file(&swapped) == Some((device, inode)) && above(dir) == Some(device)
}

/// The path with the case of its last name turned; none when that is the same.
fn in_another_case(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let turn = |letter: char| match letter.is_ascii_uppercase() {
        true => letter.to_ascii_lowercase(),
        false => letter.to_ascii_uppercase(),
    };
    let turned: String = name.chars().map(turn).collect();
    (turned != name).then(|| path.with_file_name(turned))
}

/// An empty path is the current directory.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::world;

    #[test]
    fn directories_here_tell_names_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!folds_names(dir.path()));
        assert!(!folds_names(&dir.path().join("not/made/yet")));
        assert!(!folds_names(Path::new("made-later")), "in the current directory");
        // Another directory, though its name differs only in case.
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::create_dir(dir.path().join("D")).unwrap();
        assert!(!folds_names(&dir.path().join("d")));
    }

    #[test]
    fn a_name_that_leads_to_the_same_directory_in_another_case_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(in_another_case(Path::new("/x/aB.1")), Some("/x/Ab.1".into()));
        assert_eq!(in_another_case(Path::new("/x/12")), None);
        std::fs::create_dir(dir.path().join("d")).unwrap();
        // A link is not the directory: only a file system that folds gives the same inode.
        std::os::unix::fs::symlink("d", dir.path().join("D")).unwrap();
        assert!(!folds_names(&dir.path().join("d")));
    }

    #[test]
    fn twins_keep_their_names_where_the_directory_tells_them_apart() {
        let world = world(16384, &[("t/a", 10), ("t/A", 10)]);
        let mut config = world.config();
        config.keep_apart();
        let paths: Vec<_> = config.files.iter().map(|file| file.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["t/a", "t/A"]);
    }
}
