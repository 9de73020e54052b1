//! Which paths belong to which torrent of a session: two that would write the same one are told
//! when the second is added. A pure machine; it looks at no disk, so that names which only some
//! file systems take for the same, and directories with two names, are left to whoever makes the
//! files: there nothing of others is ever written to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::TorrentId;
use crate::disk::Home;
use crate::metainfo::Torrent;

/// What the torrents of a session write.
#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: HashMap<TorrentId, Owner>,
    /// Who uses a name at the top of its directory.
    tops: HashMap<OsString, BTreeSet<TorrentId>>,
    /// Whose files have other names than the torrent gives them.
    renamed: BTreeSet<TorrentId>,
}

#[derive(Debug)]
struct Owner {
    torrent: Arc<Torrent>,
    /// Where its files are; not known before they are opened.
    home: Option<Arc<Home>>,
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
    /// Claims the paths of a torrent below `dir`, an absolute path. Where the files of another one
    /// are is not known before they are opened, and then the disk decides. One with the same files
    /// and the same bytes in them may share them.
    ///
    /// # Errors
    /// Nothing is claimed then.
    pub(super) fn claim(
        &mut self,
        id: TorrentId,
        torrent: &Arc<Torrent>,
        dir: &Path,
    ) -> Result<(), Taken> {
        let tops = tops(torrent);
        let of_name = tops.iter().filter_map(|top| self.tops.get(top)).flatten();
        let others: BTreeSet<_> = of_name.chain(&self.renamed).copied().collect();
        let mut ours = None;
        for owner in others.iter().filter_map(|other| self.owners.get(other)) {
            let Some(home) = &owner.home else { continue };
            let is_here = || std::path::absolute(&home.dir).is_ok_and(|it| it == dir);
            if !is_here() || is_equal(torrent, &owner.torrent) {
                continue;
            }
            let ours = ours.get_or_insert_with(|| Paths::of(torrent, &Home::at(dir.to_owned())));
            if let Some(path) = ours.meets(&Paths::of(&owner.torrent, home)) {
                return Err(Taken { path, owner: owner.torrent.name.clone() });
            }
        }
        self.register(id, torrent);
        Ok(())
    }

    /// The same without a look at others, for one whose files may have other names than it gives
    /// them.
    pub(super) fn register(&mut self, id: TorrentId, torrent: &Arc<Torrent>) {
        for top in tops(torrent) {
            self.tops.entry(top).or_default().insert(id);
        }
        self.owners.insert(id, Owner { torrent: torrent.clone(), home: None });
    }

    /// The torrent's files are there, if it has claimed any.
    pub(super) fn settle(&mut self, id: TorrentId, home: Option<&Arc<Home>>) {
        let Some((owner, home)) = self.owners.get_mut(&id).zip(home) else { return };
        match home.folder.is_some() || !home.names.is_empty() {
            true => self.renamed.insert(id),
            false => self.renamed.remove(&id),
        };
        owner.home = Some(home.clone());
    }

    /// What it uses at the top of its directory, if it has claimed anything.
    pub(super) fn tops_of(&self, id: TorrentId) -> HashSet<OsString> {
        self.owners.get(&id).map(|owner| tops(&owner.torrent)).unwrap_or_default()
    }

    /// The torrent has left.
    pub(super) fn release(&mut self, id: TorrentId) {
        let Some(owner) = self.owners.remove(&id) else { return };
        self.renamed.remove(&id);
        for top in tops(&owner.torrent) {
            let Some(users) = self.tops.get_mut(&top) else { continue };
            users.remove(&id);
            if users.is_empty() {
                self.tops.remove(&top);
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
pub(super) fn tops(torrent: &Torrent) -> HashSet<OsString> {
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
    fn settle(claims: &mut Claims, dir: &Path, ids: &[u32]) {
        let home = Arc::new(Home::at(dir.to_owned()));
        ids.iter().for_each(|id| claims.settle(TorrentId(*id), Some(&home)));
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
            claims.claim(TorrentId(0), &one, dir).unwrap();
            settle(&mut claims, dir, &[0]);
            let second = claims.claim(TorrentId(1), &other, dir);
            let taken = met.map(|path| Taken { path: path.into(), owner: one.name.clone() });
            assert_eq!(second.err(), taken, "{} {}", one.name, other.name);
            settle(&mut claims, dir, &[1]);
            let elsewhere = claims.claim(TorrentId(2), &other, Path::new("/e"));
            assert_eq!(elsewhere, Ok(()));
            claims.release(TorrentId(0));
            claims.release(TorrentId(1));
            let again = claims.claim(TorrentId(3), &other, dir);
            assert_eq!(again, Ok(()), "it is free again");
        }
    }

    #[test]
    fn equal_files_are_shared_and_what_is_not_opened_yet_refuses_nobody() {
        let dir = Path::new("/d");
        let mut claims = Claims::default();
        claims.claim(TorrentId(0), &torrent("x", &[], 1), dir).unwrap();
        assert_eq!(claims.claim(TorrentId(2), &torrent("x", &[], 2), dir), Ok(()));
        settle(&mut claims, dir, &[0]);
        assert_eq!(claims.claim(TorrentId(1), &torrent("x", &[], 1), dir), Ok(()));
        [0, 1, 2].iter().for_each(|id| claims.release(TorrentId(*id)));
        assert!(claims.owners.is_empty() && claims.tops.is_empty());
    }

    #[test]
    fn files_are_claimed_where_they_are_now() {
        let (dir, other) = (Path::new("/d"), Path::new("/e"));
        let mut claims = Claims::default();
        claims.claim(TorrentId(0), &torrent("x", &[], 1), dir).unwrap();
        let names = [(0, PathBuf::from("y"))].into();
        let renamed = Arc::new(Home { names, ..Home::at("/d".into()) });
        claims.settle(TorrentId(0), Some(&renamed));
        let taken = |path: &str| Err(Taken { path: path.into(), owner: "x".to_owned() });
        assert_eq!(claims.claim(TorrentId(1), &torrent("y", &[], 2), dir), taken("y"));
        assert_eq!(claims.claim(TorrentId(1), &torrent("x", &[], 2), dir), Ok(()));
        claims.release(TorrentId(1));
        settle(&mut claims, other, &[0]);
        assert_eq!(claims.claim(TorrentId(2), &torrent("x", &[], 2), other), taken("x"));
        assert_eq!(claims.claim(TorrentId(2), &torrent("x", &[], 2), dir), Ok(()));
    }
}
