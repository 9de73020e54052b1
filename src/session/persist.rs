//! What of a torrent outlives a run beside its data: how much it sent in its life, so that a
//! ratio is about the torrent and not about one run, and which of its files its user wants in each
//! directory where they were. `<info-hash>.stats` beside its record, a bencoded dictionary, written
//! under another name and renamed; a lost or broken file costs the count and the choices, never the
//! download. A ledger has both itself: it takes over what is here when a torrent is added, once.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::ids::InfoHash;
use crate::bencode;
use crate::os::whole::{self, How};
use crate::torrent::options::{CheckMode, TorrentOptions};

/// A bit for each file that a torrent may have, once for each choice, and some words; a longer one
/// is not ours.
const FILE_LEN_MAX: u64 = 4 << 20;
/// Files of version 1 have no choice in them. Not all of version 2 say where theirs was made; who
/// reads no more than those finds the last one.
const VERSION: i64 = 2;
/// Choices that are remembered beside the present one; of more, the oldest is forgotten.
const OTHERS_MAX: usize = 8;

/// What is kept of a torrent.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Kept {
    /// Bytes sent in its life.
    pub uploaded: u64,
    /// Which files are wanted where it is; none when all are.
    pub choice: Option<Chosen>,
    /// What was chosen where it was before, the last one first.
    pub others: Vec<Chosen>,
}

/// A choice of files.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Chosen {
    /// The lasting name of the directory that the files are below; none where that was not
    /// written: then it is a choice for whoever comes first.
    pub dir: Option<PathBuf>,
    /// Which files are wanted, by their position in the torrent.
    pub wanted: Arc<[bool]>,
}

#[derive(Serialize, Deserialize)]
struct Stats {
    /// Where `wanted` was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<ByteBuf>,
    /// How many files `wanted` speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Other>,
    uploaded: u64,
    version: i64,
    /// A bit a file, the first one the highest of the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<ByteBuf>,
}

/// A choice that was made in another directory, in the same words.
#[derive(Serialize, Deserialize)]
struct Other {
    dir: ByteBuf,
    files: u64,
    wanted: ByteBuf,
}

impl Kept {
    /// What is kept of a torrent of which nothing was chosen.
    pub fn sent(uploaded: u64) -> Self {
        Self { uploaded, ..Self::default() }
    }

    /// Was anything chosen, wherever that was?
    pub fn has_choices(&self) -> bool {
        self.choice.is_some() || !self.others.is_empty()
    }

    /// The same for files below this directory, which were moved there from those, the last one
    /// first.
    pub fn below(self, dir: &Path, came_from: &[PathBuf]) -> Self {
        let mut others: Vec<_> = self.choice.into_iter().chain(self.others).collect();
        let places = [dir].into_iter().chain(came_from.iter().map(PathBuf::as_path));
        let mut meant = places.map(Some).chain([None]);
        let found = meant.find_map(|dir| others.iter().position(|it| it.dir.as_deref() == dir));
        let choice = found.map(|place| others.remove(place));
        Self { uploaded: self.uploaded, choice, others }
    }

    /// The same when this is what is wanted, below this directory.
    pub fn choosing(&self, dir: &Path, wanted: Option<Arc<[bool]>>) -> Self {
        let others = self.others.iter().filter(|it| it.dir.as_deref() != Some(dir));
        Self {
            uploaded: self.uploaded,
            choice: wanted.map(|wanted| Chosen { dir: Some(dir.to_owned()), wanted }),
            others: others.take(OTHERS_MAX).cloned().collect(),
        }
    }

    /// Does the other one say the same of all choices?
    pub fn has_choices_of(&self, other: &Self) -> bool {
        self.choice == other.choice && self.others == other.others
    }

    /// The choice of earlier runs, where one of these options may be ruled by it: whoever only
    /// sends means everything, and so does who ignores what is on record.
    pub fn choice_for(&self, options: &TorrentOptions, files: usize) -> Option<Vec<bool>> {
        let is_ruled = !options.seed_only && options.check != CheckMode::NoResume;
        let chosen = self.choice.as_ref().map(|choice| &choice.wanted);
        chosen.filter(|wanted| is_ruled && wanted.len() == files).map(|wanted| wanted.to_vec())
    }
}

/// What was kept of the torrent with this record in earlier runs; nothing when nothing is known.
pub(super) fn kept(record: &Path) -> Kept {
    let path = path(record);
    match read(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "what was sent and which files are wanted is lost");
            Kept::default()
        }
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    if fs::metadata(path)?.len() > FILE_LEN_MAX {
        return Err(io::Error::other("it is too long"));
    }
    decode(&fs::read(path)?)
}

fn decode(bytes: &[u8]) -> io::Result<Kept> {
    let stats: Stats = bencode::decode(bytes, bencode::MESSAGE).map_err(io::Error::other)?;
    if !(1..=VERSION).contains(&stats.version) {
        return Err(io::Error::other("a newer program wrote it"));
    }
    let choice = match stats.files.zip(stats.wanted) {
        Some((count, bits)) => Some(chosen(stats.dir, count, &bits)?),
        None => None,
    };
    let others = stats.others.into_iter().take(OTHERS_MAX + 1);
    let others = others.map(|it| chosen(Some(it.dir), it.files, &it.wanted));
    Ok(Kept { uploaded: stats.uploaded, choice, others: others.collect::<io::Result<_>>()? })
}

fn chosen(dir: Option<ByteBuf>, count: u64, bits: &[u8]) -> io::Result<Chosen> {
    let dir = dir.map(|dir| PathBuf::from(OsString::from_vec(dir.into_vec())));
    Ok(Chosen { dir, wanted: flags(count, bits)? })
}

fn flags(count: u64, bits: &[u8]) -> io::Result<Arc<[bool]>> {
    if count.div_ceil(8) != bits.len() as u64 {
        return Err(io::Error::other("its choice of files is damaged"));
    }
    let flags = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    // The bits are here, so their number fits.
    Ok(flags.take(usize::try_from(count).unwrap_or(usize::MAX)).collect())
}

fn encode(kept: &Kept) -> Vec<u8> {
    let bits = |flags: &[bool]| {
        let byte = |flags: &[bool]| {
            (0..).zip(flags).fold(0, |byte, (bit, is_set)| byte | u8::from(*is_set) << (7 - bit))
        };
        ByteBuf::from(flags.chunks(8).map(byte).collect::<Vec<u8>>())
    };
    let bytes = |dir: &Path| ByteBuf::from(dir.as_os_str().as_bytes());
    let other = |it: &Chosen| {
        let (dir, files) = (bytes(it.dir.as_deref()?), it.wanted.len() as u64);
        Some(Other { dir, files, wanted: bits(&it.wanted) })
    };
    let choice = kept.choice.as_ref();
    bencode::encode(&Stats {
        dir: choice.and_then(|it| it.dir.as_deref()).map(bytes),
        files: choice.map(|it| it.wanted.len() as u64),
        others: kept.others.iter().filter_map(other).collect(),
        uploaded: kept.uploaded,
        version: VERSION,
        wanted: choice.map(|it| bits(&it.wanted)),
    })
}

/// Keeps this for the next run.
///
/// # Errors
/// When the file cannot be written.
fn keep(record: &Path, kept: &Kept) -> io::Result<()> {
    // The torrent's record is locked by this process: nobody else writes here.
    whole::replace(&path(record), &encode(kept), How::QUICK.alone())
}

/// A ledger has what was kept of the torrent with this record, but for the choices of other
/// directories.
pub(super) fn forget(record: &Path, others: Vec<Chosen>) {
    let forgotten = match others.is_empty() {
        true => fs::remove_file(path(record)),
        false => keep(record, &Kept { others, ..Kept::default() }),
    };
    match forgotten {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = path(record);
            let path = path.display();
            tracing::warn!(%path, %error, "what was sent counts again if it is added again");
        }
        _ => {}
    }
}

/// What is to be kept of a torrent from now on.
pub(super) struct News {
    pub info_hash: InfoHash,
    /// Its record of verified pieces.
    pub record: PathBuf,
    pub kept: Kept,
}

/// Keeps what is new of all of them, and returns what was written.
pub(super) fn write(mut news: Vec<News>) -> Vec<News> {
    news.retain(|News { info_hash, record, kept }| {
        let written = keep(record, kept);
        if let Err(error) = &written {
            tracing::warn!(%info_hash, %error, "cannot keep what was sent and which files are wanted");
        }
        written.is_ok()
    });
    news
}

/// Beside the record: what is in another place has its own.
fn path(record: &Path) -> PathBuf {
    record.with_extension("stats")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(dir: &Path) -> PathBuf {
        dir.join("0707.resume")
    }

    fn some(uploaded: u64, wanted: Option<&[bool]>) -> Kept {
        let choice = wanted.map(|wanted| Chosen { dir: None, wanted: wanted.into() });
        Kept { choice, ..Kept::sent(uploaded) }
    }

    /// What was chosen in this directory: the file of this number alone.
    fn chosen_in(dir: &str, file: usize) -> Chosen {
        let wanted = (0..3).map(|at| at == file).collect();
        Chosen { dir: Some(dir.into()), wanted }
    }

    #[test]
    fn what_was_kept_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(dir.path());
        assert_eq!(kept(&record), Kept::default());
        let mut choice = [false; 11];
        (choice[0], choice[8], choice[10]) = (true, true, true);
        for what in [some(123, None), some(1 << 40, Some(&choice)), some(5, None)] {
            keep(&record, &what).unwrap();
            assert_eq!(kept(&record), what);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(dir.path().join("0707.stats").exists());
        assert_eq!(kept(&dir.path().join("0707-8.resume")), Kept::default(), "in another place");
        let bytes = b"d5:filesi11e8:uploadedi1e7:versioni2e6:wanted2:\x80\xa0e";
        assert_eq!(encode(&some(1, Some(&choice))), bytes);
    }

    #[test]
    fn a_choice_is_one_of_its_directory() {
        let wanted = |kept: &Kept| kept.choice.clone();
        // One that says nothing of where it was made is for whoever comes first.
        let old = some(5, Some(&[true, false, false])).below(Path::new("/a"), &[]);
        let kept = old.choosing(Path::new("/a"), old.choice.clone().map(|it| it.wanted));
        assert!(!kept.has_choices_of(&old), "it is written once more");
        assert_eq!(kept, Kept { choice: Some(chosen_in("/a", 0)), ..Kept::sent(5) });
        // Another directory has none until one is made there, and takes none away.
        let there = kept.below(Path::new("/b"), &[]);
        assert_eq!(there, Kept { others: vec![chosen_in("/a", 0)], ..Kept::sent(5) });
        let there = there.choosing(Path::new("/b"), Some(chosen_in("/b", 1).wanted));
        let bytes = encode(&there);
        let written: &[u8] = b"d3:dir2:/b5:filesi3e6:othersld3:dir2:/a5:filesi3e6:wanted1:\x80ee\
            8:uploadedi5e7:versioni2e6:wanted1:\x40e";
        assert_eq!(bytes, written, "{}", bytes.escape_ascii());
        assert_eq!(decode(&bytes).unwrap(), there);
        // By turns, and when all are wanted again.
        let here = there.clone().below(Path::new("/a"), &[]);
        assert_eq!(wanted(&here), Some(chosen_in("/a", 0)));
        let here = here.choosing(Path::new("/a"), None);
        assert_eq!(here.others, [chosen_in("/b", 1)]);
        assert_eq!(wanted(&here.below(Path::new("/b"), &[])), Some(chosen_in("/b", 1)));
        // Moved to where another one was made before: that one is over, also when it was killed
        // before it said so, or nothing was chosen.
        let moved = there.choosing(Path::new("/a"), Some(chosen_in("/a", 1).wanted));
        assert_eq!(moved, Kept { choice: Some(chosen_in("/a", 1)), ..Kept::sent(5) });
        let found = there.clone().below(Path::new("/c"), &["/b".into(), "/a".into()]);
        assert_eq!(wanted(&found), Some(chosen_in("/b", 1)));
        let none = there.clone().below(Path::new("/c"), &[]);
        assert!(!none.choosing(Path::new("/a"), None).has_choices_of(&none));
    }

    #[test]
    fn of_many_choices_the_oldest_is_forgotten() {
        let dir = |number: usize| format!("/{number}");
        let kept = (0..20).fold(Kept::default(), |kept, number| {
            let dir = dir(number);
            let kept = kept.below(Path::new(&dir), &[]);
            kept.choosing(Path::new(&dir), Some(chosen_in(&dir, 0).wanted))
        });
        let others: Vec<_> = (11..19).rev().map(|number| chosen_in(&dir(number), 0)).collect();
        assert_eq!(kept.others, others);
        assert_eq!(decode(&encode(&kept)).unwrap(), kept);
    }

    #[test]
    fn a_ledger_takes_over_no_choice_of_another_directory() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(dir.path());
        keep(&record, &some(5, None)).unwrap();
        forget(&record, vec![chosen_in("/a", 0)]);
        let rest = Kept { others: vec![chosen_in("/a", 0)], ..Kept::default() };
        assert_eq!(kept(&record), rest);
        forget(&record, Vec::new());
        assert!(!path(&record).exists());
    }

    #[test]
    fn what_is_broken_or_newer_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(dir.path());
        let file = path(&record);
        let too_long = vec![b'x'; 5 << 20];
        let bad: [&[u8]; 7] = [
            b"",
            b"d8:uploadedi5e",
            b"d8:uploadedi5e7:versioni3ee",
            b"d5:filesi9e8:uploadedi5e7:versioni2e6:wanted1:xe",
            b"d5:filesi-1e8:uploadedi5e7:versioni2e6:wanted1:xe",
            b"d6:othersld3:dir2:/a5:filesi9e6:wanted1:xee8:uploadedi5e7:versioni2ee",
            &too_long,
        ];
        for bytes in bad {
            fs::write(&file, bytes).unwrap();
            assert_eq!(kept(&record), Kept::default(), "{:?}", bytes.get(..60));
        }
        fs::write(&file, b"d8:uploadedi5e7:versioni1ee").unwrap();
        assert_eq!(kept(&record), some(5, None));
    }

    #[test]
    fn fuzz_stats() {
        crate::fuzz::run("upload_stats", |bytes| {
            if let Ok(kept) = decode(bytes) {
                assert_eq!(decode(&encode(&kept)).ok(), Some(kept));
            }
        });
    }
}
