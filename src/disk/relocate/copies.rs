//! What copies are called until they count. The names go into the note of the move, so that a
//! later start need not find them again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::base::ids::FileIndex;
use crate::disk::beneath::Base;
use crate::disk::error::Error;
use crate::disk::part_names::{NAME_LEN_MAX, cut, with_suffix};
use crate::metainfo::fold_name;

/// Room for the longest suffix: two numbers, and `.moving`.
const SUFFIX_LEN_MAX: usize = 40;
/// If all of these names are taken, somebody takes them on purpose.
const TRIES_MAX: u32 = 100;

/// Names that no copy may have.
#[derive(Debug, Default)]
pub(super) struct CopyNames {
    /// As file systems see them that do not tell upper from lower case.
    taken: HashSet<String>,
}

impl CopyNames {
    /// Keeps a path of the torrent free, and those of the directories that lead to it.
    pub(super) fn keep_free(&mut self, path: &Path) {
        for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            if !self.taken.insert(folded(path)) {
                return;
            }
        }
    }

    /// A name for the copy that is to become `path`: `NAME.moving`, or another when that is
    /// too long, or something else is called so, or will be.
    ///
    /// # Errors
    /// `Io`; `Occupied` when there are far too many things of such names.
    pub(super) fn choose(
        &mut self,
        to: &Base,
        file: FileIndex,
        path: &Path,
    ) -> Result<PathBuf, Error> {
        let name = path.file_name().unwrap_or_default();
        let short = path.with_file_name(cut(name, NAME_LEN_MAX - SUFFIX_LEN_MAX));
        let others = (0..TRIES_MAX).map(|again| format!(".{}-{again}.moving", file.0));
        for suffix in std::iter::once(".moving".to_owned()).chain(others) {
            let copy = with_suffix(&short, &suffix);
            let stands = to.stands(&copy);
            let stands = stands.map_err(|error| Error::io("looking at", to.full(&copy), error))?;
            if !stands && self.taken.insert(folded(&copy)) {
                return Ok(copy);
            }
        }
        Err(Error::Occupied { path: to.full(&with_suffix(&short, ".moving")) })
    }
}

fn folded(path: &Path) -> String {
    fold_name(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_copy_is_called_as_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.moving"), b"").unwrap();
        let to = Base::new(dir.path().to_owned());
        let long = ["x", "y"].map(|end| format!("t/{}{end}", "ä".repeat(127)));
        let paths = ["a.moving", "a", "B.MOVING/c", "b", "mine", "t/f", &long[0], &long[1]];
        let mut names = CopyNames::default();
        paths.iter().for_each(|path| names.keep_free(Path::new(path)));
        let chosen: Vec<String> = (0u32..)
            .zip(paths)
            .map(|(file, path)| names.choose(&to, FileIndex(file), Path::new(path)).unwrap())
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        let plain = ["a.moving.moving", "a.1-0.moving", "B.MOVING/c.moving", "b.3-0.moving"];
        assert_eq!(chosen[..4], plain);
        assert_eq!(chosen[4..6], ["mine.4-0.moving", "t/f.moving"]);
        assert_ne!(chosen[6], chosen[7]);
        let name_len = |path: &String| Path::new(path).file_name().unwrap().len();
        assert!(chosen.iter().all(|path| name_len(path) <= NAME_LEN_MAX), "{chosen:?}");
    }
}
