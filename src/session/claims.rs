//! Which paths belong to which torrent of a session: two that would write the same one are told
//! when the second is added. A pure machine; it looks at no disk, so that names which only some
//! file systems take for the same, and directories with two names, are left to whoever makes the
//! files: there nothing of others is ever written to.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Home;
use crate::metainfo::Torrent;

/// What the torrents of a session write.
#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: HashMap<u64, Owner>,
}

#[derive(Debug)]
struct Owner {
    torrent: Arc<Torrent>,
    /// Names at the top of its directory, while none of its files is renamed.
    tops: HashSet<OsString>,
}

/// A path belongs to another torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    /// Below the directory.
    pub path: PathBuf,
    /// What the other torrent is called.
    pub owner: String,
}

/// The paths of one torrent.
#[derive(Default)]
struct Paths {
    files: HashSet<PathBuf>,
    parts: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
}

impl Claims {
    /// Claims the paths of a torrent below `dir`, an absolute path, for `number`. `homes` are
    /// those of the others that are known by now; where the files of another one are is not known
    /// before they are opened, and then the disk decides. One with the same files and the same
    /// bytes in them may share them.
    ///
    /// # Errors
    /// Nothing is claimed then.
    pub(super) fn claim(
        &mut self,
        number: u64,
        torrent: &Arc<Torrent>,
        dir: &Path,
        homes: impl Iterator<Item = (u64, Arc<Home>)>,
    ) -> Result<(), Taken> {
        let tops = tops(torrent);
        let mut ours = None;
        for (other, home) in homes {
            let Some(owner) = self.owners.get(&other) else { continue };
            let is_renamed = home.folder.is_some() || !home.names.is_empty();
            let is_apart = !is_renamed && owner.tops.is_disjoint(&tops);
            let is_here = || std::path::absolute(&home.dir).is_ok_and(|it| it == dir);
            if is_apart || !is_here() || is_equal(torrent, &owner.torrent) {
                continue;
            }
            let ours = ours.get_or_insert_with(|| Paths::of(torrent, &Home::at(dir.to_owned())));
            if let Some(path) = ours.meets(&Paths::of(&owner.torrent, &home)) {
                return Err(Taken { path, owner: owner.torrent.name.clone() });
            }
        }
        self.owners.insert(number, Owner { torrent: torrent.clone(), tops });
        Ok(())
    }

    /// The torrent has left.
    pub(super) fn release(&mut self, number: u64) {
        self.owners.remove(&number);
    }
}

impl Paths {
    fn of(torrent: &Torrent, home: &Home) -> Self {
        let mut paths = Self::default();
        let files = (0u32..).zip(torrent.files.iter()).filter(|(_, file)| !file.is_pad);
        for (number, file) in files {
            let path = home.path_of(number, file.path);
            for folder in path.ancestors().skip(1) {
                if paths.folders.contains(folder) {
                    // Those above it are there as well.
                    break;
                }
                paths.folders.insert(folder.to_owned());
            }
            paths.parts.insert(part_of(&path));
            paths.files.insert(path);
        }
        paths.folders.remove(Path::new(""));
        paths
    }

    /// A path that both would write, or that is a file of one and a folder of the other.
    fn meets(&self, other: &Self) -> Option<PathBuf> {
        let is_taken = |path: &&PathBuf| {
            other.files.contains(*path)
                || other.folders.contains(*path)
                || other.parts.contains(*path)
        };
        let ours = self.files.iter().filter(is_taken);
        let above = self.folders.iter().chain(&self.parts);
        let mut met: Vec<&PathBuf> =
            ours.chain(above.filter(|path| other.files.contains(*path))).collect();
        met.sort();
        met.first().map(|path| (*path).clone())
    }
}

fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// Names at the top of the directory that a torrent uses, unfinished ones too.
fn tops(torrent: &Torrent) -> HashSet<OsString> {
    let files = torrent.files.iter().filter(|file| !file.is_pad);
    let both = files.flat_map(|file| [file.path.to_owned(), part_of(file.path)]);
    both.filter_map(|path| Some(path.components().next()?.as_os_str().to_owned())).collect()
}

/// Have two torrents the same files with the same bytes?
fn is_equal(one: &Torrent, other: &Torrent) -> bool {
    let files = |torrent: &Torrent| {
        let files = torrent.files.iter();
        files.map(|file| (file.path.to_owned(), file.length, file.is_pad)).collect::<Vec<_>>()
    };
    one.layout == other.layout
        && one.shared_piece_hashes()[..] == other.shared_piece_hashes()[..]
        && files(one) == files(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A torrent of files of 16 KiB each, whose pieces have this byte in all their hashes.
    fn torrent(name: &str, files: &[&str], hash: u8) -> Arc<Torrent> {
        let mut info = b"d".to_vec();
        let total = files.len().max(1);
        match files {
            [] => info.extend(b"6:lengthi16384e"),
            _ => {
                info.extend(b"5:filesl");
                for path in files {
                    info.extend(b"d6:lengthi16384e4:pathl");
                    for element in path.split('/') {
                        info.extend(format!("{}:{element}", element.len()).bytes());
                    }
                    info.extend(b"ee");
                }
                info.extend(b"e");
            }
        }
        info.extend(format!("4:name{}:{name}", name.len()).bytes());
        info.extend(format!("12:piece lengthi16384e6:pieces{}:", 20 * total).bytes());
        info.extend(vec![hash; 20 * total]);
        info.extend(b"e");
        Arc::new(Torrent::from_info(&info).unwrap())
    }

    /// These torrents are where they were told to be.
    fn at(dir: &Path, numbers: &[u64]) -> impl Iterator<Item = (u64, Arc<Home>)> {
        let home = Arc::new(Home::at(dir.to_owned()));
        numbers.iter().map(move |number| (*number, home.clone()))
    }

    #[test]
    fn a_path_has_one_owner() {
        let dir = Path::new("/d");
        for (one, other, met) in [
            (torrent("x", &[], 1), torrent("x", &[], 2), Some("x")),
            (torrent("x", &[], 1), torrent("x", &["a"], 2), Some("x")),
            (torrent("x", &["a"], 1), torrent("x", &[], 2), Some("x")),
            (torrent("x", &[], 1), torrent("x.part", &[], 2), Some("x.part")),
            (torrent("x.part", &[], 1), torrent("x", &[], 2), Some("x.part")),
            (torrent("t", &["a", "b/c"], 1), torrent("t", &["b/c", "d"], 2), Some("t/b/c")),
            (torrent("t", &["a"], 1), torrent("t", &["a/b"], 2), Some("t/a")),
            (torrent("t", &["a/b"], 1), torrent("t", &["a"], 2), Some("t/a")),
            (torrent("t", &["a"], 1), torrent("t", &["b"], 2), None),
            (torrent("x", &[], 1), torrent("y", &[], 2), None),
            (torrent("x", &[], 1), torrent("X", &[], 2), None),
        ] {
            let mut claims = Claims::default();
            claims.claim(0, &one, dir, at(dir, &[])).unwrap();
            let second = claims.claim(1, &other, dir, at(dir, &[0]));
            let taken = met.map(|path| Taken { path: path.into(), owner: one.name.clone() });
            assert_eq!(second.err(), taken, "{} {}", one.name, other.name);
            let elsewhere = claims.claim(2, &other, Path::new("/e"), at(dir, &[0, 1]));
            assert_eq!(elsewhere, Ok(()));
            claims.release(0);
            claims.release(1);
            let again = claims.claim(3, &other, dir, at(dir, &[0, 1]));
            assert_eq!(again, Ok(()), "it is free again");
        }
    }

    #[test]
    fn equal_files_are_shared_and_what_is_not_opened_yet_refuses_nobody() {
        let dir = Path::new("/d");
        let mut claims = Claims::default();
        claims.claim(0, &torrent("x", &[], 1), dir, at(dir, &[])).unwrap();
        assert_eq!(claims.claim(1, &torrent("x", &[], 1), dir, at(dir, &[0])), Ok(()));
        assert_eq!(claims.claim(2, &torrent("x", &[], 2), dir, at(dir, &[])), Ok(()));
        [0, 1, 2].iter().for_each(|number| claims.release(*number));
        assert!(claims.owners.is_empty());
    }

    #[test]
    fn files_are_claimed_where_they_are_now() {
        let (dir, other) = (Path::new("/d"), Path::new("/e"));
        let mut claims = Claims::default();
        claims.claim(0, &torrent("x", &[], 1), dir, at(dir, &[])).unwrap();
        let renamed = || {
            let names = [(0, PathBuf::from("y"))].into();
            [(0, Arc::new(Home { names, ..Home::at("/d".into()) }))].into_iter()
        };
        let taken = |path: &str| Err(Taken { path: path.into(), owner: "x".to_owned() });
        assert_eq!(claims.claim(1, &torrent("y", &[], 2), dir, renamed()), taken("y"));
        assert_eq!(claims.claim(1, &torrent("x", &[], 2), dir, renamed()), Ok(()));
        claims.release(1);
        assert_eq!(claims.claim(2, &torrent("x", &[], 2), other, at(other, &[0])), taken("x"));
        assert_eq!(claims.claim(2, &torrent("x", &[], 2), dir, at(other, &[0])), Ok(()));
    }
}
