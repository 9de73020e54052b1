//! What unfinished files are called: `NAME.part`, unless that is another file or folder of the
//! torrent, too long, or somebody else's on disk. Edges of files are kept under names that nobody
//! else gives. Looks at no disk.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::base::ids::InfoHash;

/// The longest name in bytes that common file systems take.
pub(super) const NAME_LEN_MAX: usize = 255;
/// Room for the longest suffix: a tag, a file number, and what is around them.
const SUFFIX_LEN_MAX: usize = 40;

/// The unfinished names of one torrent's files.
#[derive(Debug)]
pub(super) struct PartNames {
    /// Those that could not be just `NAME.part`, by file number.
    odd: HashMap<u32, PathBuf>,
    /// In names that nobody else gives, since it comes from the info-hash: 64 bits, so that no
    /// torrent can be made whose own files are called so.
    tag: String,
}

impl PartNames {
    /// Of files and links at these paths.
    pub(super) fn new<'a>(
        files: impl Iterator<Item = (u32, &'a Path)> + Clone,
        links: impl Iterator<Item = &'a Path>,
        info_hash: InfoHash,
    ) -> Self {
        let paths = files.clone().map(|(_, path)| path).chain(links);
        // With the folders: a file cannot be called as one of them either.
        let taken: HashSet<&Path> = paths.flat_map(Path::ancestors).collect();
        let mut odd = HashMap::new();
        for (file, path) in files {
            let plain = with_suffix(path, ".part");
            let too_long = plain.file_name().is_some_and(|name| name.len() > NAME_LEN_MAX);
            if !too_long && !taken.contains(plain.as_path()) {
                continue;
            }
            let short = shortened(path);
            let tries = (0u32..).map(|again| with_suffix(&short, &format!(".{file}-{again}.part")));
            let free = tries.into_iter().find(|path| !taken.contains(path.as_path()));
            odd.extend(free.map(|path| (file, path)));
        }
        let tag = info_hash.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { odd, tag }
    }

    /// The name that a file has while nobody else uses that.
    pub(super) fn plain(&self, file: u32, path: &Path) -> PathBuf {
        self.odd.get(&file).cloned().unwrap_or_else(|| with_suffix(path, ".part"))
    }

    /// A name that only this torrent gives.
    pub(super) fn own(&self, file: u32, path: &Path) -> PathBuf {
        self.tagged(file, path, "part")
    }

    /// What the file is called that holds its edges only.
    pub(super) fn edges(&self, file: u32, path: &Path) -> PathBuf {
        self.tagged(file, path, "edges")
    }

    /// What a file is called while its edges are brought to their places.
    pub(super) fn unfolding(&self, file: u32, path: &Path) -> PathBuf {
        self.tagged(file, path, "unfolding")
    }

    fn tagged(&self, file: u32, path: &Path, kind: &str) -> PathBuf {
        let whole = with_suffix(path, &format!(".{}.{kind}", self.tag));
        match whole.file_name().is_some_and(|name| name.len() > NAME_LEN_MAX) {
            true => with_suffix(&shortened(path), &format!(".{}-{file}.{kind}", self.tag)),
            false => whole,
        }
    }
}

fn shortened(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(cut(name, NAME_LEN_MAX - SUFFIX_LEN_MAX))
}

/// The name, cut to at most `len_max` bytes, between characters where it is UTF-8.
pub(super) fn cut(name: &OsStr, len_max: usize) -> OsString {
    match name.to_str() {
        Some(text) => text[..text.floor_char_boundary(len_max)].into(),
        None => OsStr::from_bytes(&name.as_bytes()[..len_max.min(name.len())]).to_owned(),
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_unfinished_name_is_another_file_or_folder_of_the_torrent() {
        let long = "é".repeat(126);
        let paths = ["t/a", "t/a.part/b", "t/c", "t/c.part", "t/l", long.as_str()];
        let files = (0u32..).zip(paths.iter().map(Path::new));
        let links = [Path::new("t/l.part")];
        let names = PartNames::new(files.clone(), links.into_iter(), InfoHash([0xab; 20]));
        let plain: Vec<PathBuf> = files.clone().map(|(n, path)| names.plain(n, path)).collect();
        assert_eq!(plain[0], Path::new("t/a.0-0.part"));
        assert_eq!(plain[1], Path::new("t/a.part/b.part"));
        assert_eq!(plain[2], Path::new("t/c.2-0.part"));
        assert_eq!(plain[4], Path::new("t/l.4-0.part"));
        let own: Vec<PathBuf> = files.clone().map(|(n, path)| names.own(n, path)).collect();
        let edges: Vec<PathBuf> =
            files.flat_map(|(n, path)| [names.edges(n, path), names.unfolding(n, path)]).collect();
        assert_eq!(own[0], Path::new("t/a.abababababababab.part"));
        assert_eq!(edges[0], Path::new("t/a.abababababababab.edges"));
        let all: HashSet<&PathBuf> = plain.iter().chain(&own).chain(&edges).collect();
        assert_eq!(all.len(), 24);
        assert!(all.iter().all(|path| path.file_name().unwrap().len() <= NAME_LEN_MAX));
    }
}
