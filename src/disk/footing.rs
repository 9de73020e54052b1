//! Is the directory of a torrent's files still the one that we use? It may have been unmounted
//! or moved away, and something else stands at its path: that must not be filled in its place.
//! Or it was deleted with all in it. What follows from that is the torrent's to decide.

use std::path::Path;

use super::beneath::{Base, Footing, Whereabouts};
use super::config::{StoreConfig, StoreFile};
use super::error::AWAY;
use super::part_names::PartNames;

/// The directory that the files are below is not at its path any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// What happened and what to do, in words for people.
    pub why: String,
    lost: Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lost {
    /// It does not exist any more.
    Deleted,
    /// It exists, but not at its path.
    Away {
        /// It.
        footing: Footing,
        /// The file system at its path now.
        instead: u64,
    },
}

impl Gone {
    /// Looks at what became of a directory; none when it is where it was, or cannot be seen.
    pub(super) fn of(base: &Base) -> Option<Self> {
        let dir = base.path().display();
        let (why, lost) = match base.whereabouts() {
            Whereabouts::Here => return None,
            Whereabouts::Deleted => {
                let why =
                    format!("{dir} was deleted: it is made again, and all in it fetched again");
                (why, Lost::Deleted)
            }
            Whereabouts::Away(footing) => {
                let instead = base.file_system_at_path().unwrap_or(0);
                let why = format!("{dir} is not the directory it was{AWAY}");
                (why, Lost::Away { footing, instead })
            }
        };
        Some(Self { why, lost })
    }

    /// May the torrent be opened again: is the directory back, or is there no way back? A
    /// directory with files of the torrent counts as well, if its file system came since: some
    /// number theirs anew with each mount. Waits for the disk; changes nothing.
    pub fn is_over(&self, config: &StoreConfig) -> bool {
        let Lost::Away { footing, instead } = self.lost else { return true };
        let base = Base::new(config.dir.clone());
        let Some(now) = base.footing() else { return false };
        now == footing || now.file_system != instead && has_any(&base, config)
    }
}

/// Is there any file of the torrent, under any name that we give?
fn has_any(base: &Base, config: &StoreConfig) -> bool {
    let is_there = |path: &Path| matches!(base.stat(path), Ok(Some(found)) if found.is_file);
    let files = (0u32..).zip(&config.files).filter(|(_, file)| !file.is_pad);
    let paths = files.clone().map(|(number, file)| (number, file.path.as_path()));
    let links = config.symlinks.iter().map(|(at, _)| at.as_path());
    let names = PartNames::new(paths, links, config.info_hash);
    files.filter(|(_, file)| file.len > 0).any(|(number, StoreFile { path, .. })| {
        is_there(path)
            || is_there(&names.plain(number, path))
            || is_there(&names.own(number, path))
            || is_there(&names.edges(number, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::beneath::Access;
    use crate::disk::tests::world;

    #[test]
    fn a_directory_that_was_moved_is_waited_for_and_a_deleted_one_is_not() {
        let world = world(16384, &[("a", 10)]);
        let base = Base::new(world.path(""));
        assert_eq!(Gone::of(&base), None, "not made yet");
        base.open(Path::new("a"), Access::Write).unwrap();
        assert_eq!(Gone::of(&base), None);
        let aside = world.root.path().join("aside");
        std::fs::rename(world.path(""), &aside).unwrap();
        let away = Gone::of(&base).unwrap();
        assert!(away.why.contains("is it mounted?") && !away.is_over(&world.config()), "{away:?}");
        std::fs::create_dir(world.path("")).unwrap();
        assert!(Gone::of(&base).is_some() && !away.is_over(&world.config()));
        // Another directory of the same file system, though there is a file of that name.
        world.write_file("a", b"other");
        assert!(!away.is_over(&world.config()));
        std::fs::remove_dir_all(world.path("")).unwrap();
        std::fs::rename(&aside, world.path("")).unwrap();
        assert!(Gone::of(&base).is_none() && away.is_over(&world.config()));
        std::fs::remove_dir_all(world.path("")).unwrap();
        let deleted = Gone::of(&base).unwrap();
        assert!(deleted.why.contains("was deleted") && deleted.is_over(&world.config()));
    }

    #[test]
    fn what_is_kept_under_any_of_our_names_tells_that_the_disk_is_back() {
        let world = world(16384, &[("t/a", 100_000), ("t/empty", 0)]);
        let (base, config) = (Base::new(world.path("")), world.config());
        world.write_file("t/empty", b"");
        assert!(!has_any(&base, &config), "anybody has empty files");
        for name in ["a", "a.part", "a.0707070707070707.part", "a.0707070707070707.edges"] {
            world.write_file(&format!("t/{name}"), b"x");
            assert!(has_any(&base, &config), "{name}");
            std::fs::remove_file(world.path("t").join(name)).unwrap();
        }
        world.write_file("t/a.0606060606060606.part", b"x");
        assert!(!has_any(&base, &config), "another torrent's");
    }
}
