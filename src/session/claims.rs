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
    /// Who has a file or folder of this name at the top of a directory, under any name of it.
    tops: HashMap<(PathBuf, OsString), Vec<u64>>,
}

#[derive(Debug)]
struct Owner {
    torrent: Arc<Torrent>,
    dir: PathBuf,
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
    /// Claims the paths of a torrent below `dir`, an absolute path, for `number`. Where the files
    /// of another torrent are by now is asked of `home`; none while that is not known. One with
    /// the same files and the same bytes in them may share them.
    ///
    /// # Errors
    /// Nothing is claimed then.
    pub(super) fn claim(
        &mut self,
        number: u64,
        torrent: &Arc<Torrent>,
        dir: &Path,
        home: impl Fn(u64) -> Option<Arc<Home>>,
    ) -> Result<(), Taken> {
        let at_home = Home::at(dir.to_owned());
        let tops = tops(torrent);
        let others: HashSet<u64> = tops
            .iter()
            .filter_map(|top| self.tops.get(&(dir.to_owned(), top.clone())))
            .flatten()
            .copied()
            .collect();
        if !others.is_empty() {
            let ours = Paths::of(torrent, &at_home);
            for other in others {
                let Some(owner) = self.owners.get(&other) else { continue };
                let there = home(other).filter(|home| !home.dir.as_os_str().is_empty());
                let there = there.map_or_else(|| Home::at(owner.dir.clone()), |it| (*it).clone());
                let is_elsewhere = std::path::absolute(&there.dir).is_ok_and(|it| it != dir);
                if is_elsewhere || is_equal(torrent, &owner.torrent) {
                    continue;
                }
                if let Some(path) = ours.meets(&Paths::of(&owner.torrent, &there)) {
                    return Err(Taken { path, owner: owner.torrent.name.clone() });
                }
            }
        }
        for top in tops {
            self.tops.entry((dir.to_owned(), top)).or_default().push(number);
        }
        self.owners.insert(number, Owner { torrent: torrent.clone(), dir: dir.to_owned() });
        Ok(())
    }

    /// The torrent has left.
    pub(super) fn release(&mut self, number: u64) {
        let Some(owner) = self.owners.remove(&number) else { return };
        for top in tops(&owner.torrent) {
            let key = (owner.dir.clone(), top);
            if let Some(owners) = self.tops.get_mut(&key) {
                owners.retain(|other| *other != number);
                if owners.is_empty() {
                    self.tops.remove(&key);
                }
            }
        }
    }
}

impl Paths {
    fn of(torrent: &Torrent, home: &Home) -> Self {
        let mut paths = Self::default();
        let files = (0u32..).zip(torrent.files.iter()).filter(|(_, file)| !file.is_pad);
        for (number, file) in files {
            let path = home.path_of(number, file.path);
            paths.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
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

    fn nowhere(_: u64) -> Option<Arc<Home>> {
        None
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
            claims.claim(0, &one, dir, nowhere).unwrap();
            let second = claims.claim(1, &other, dir, nowhere);
            let taken = met.map(|path| Taken { path: path.into(), owner: one.name.clone() });
            assert_eq!(second.err(), taken, "{} {}", one.name, other.name);
            assert_eq!(claims.claim(2, &other, Path::new("/e"), nowhere), Ok(()));
            claims.release(0);
            claims.release(1);
            assert_eq!(claims.claim(3, &other, dir, nowhere), Ok(()), "it is free again");
        }
    }

    #[test]
    fn equal_files_are_shared_and_renamed_ones_are_free() {
        let dir = Path::new("/d");
        let mut claims = Claims::default();
        claims.claim(0, &torrent("x", &[], 1), dir, nowhere).unwrap();
        assert_eq!(claims.claim(1, &torrent("x", &[], 1), dir, nowhere), Ok(()));
        claims.release(1);
        let renamed = |_| {
            let names = [(0, PathBuf::from("y"))].into();
            Some(Arc::new(Home { names, ..Home::at("/d".into()) }))
        };
        assert_eq!(claims.claim(2, &torrent("x", &[], 2), dir, renamed), Ok(()));
        claims.release(2);
        let moved = |_| Some(Arc::new(Home::at("/e".into())));
        assert_eq!(claims.claim(3, &torrent("x", &[], 2), dir, moved), Ok(()));
        assert_eq!(claims.tops.len(), 2);
        claims.release(3);
        claims.release(0);
        assert!(claims.tops.is_empty() && claims.owners.is_empty());
    }
}
