//! What of a torrent outlives a run beside its data: how much it sent in its life, so that a
//! ratio is about the torrent and not about one run, and which of its files its user wants.
//! `<info-hash>.stats` beside its record, a bencoded dictionary, written under another name and
//! renamed; a lost or broken file costs the count and the choice, never the download. A ledger has
//! both itself: it takes over what is here when a torrent is added, once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::ids::InfoHash;
use crate::bencode;
use crate::os::whole::{self, How};
use crate::torrent::options::{CheckMode, TorrentOptions};

/// A bit for each file that a torrent may have, and some words; a longer one is not ours.
const FILE_LEN_MAX: u64 = 4 << 20;
/// Files of version 1 have no choice in them.
const VERSION: i64 = 2;

/// What is kept of a torrent.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Kept {
    /// Bytes sent in its life.
    pub uploaded: u64,
    /// Which files are wanted, by their position in the torrent; none when all are.
    pub wanted: Option<Arc<[bool]>>,
}

#[derive(Serialize, Deserialize)]
struct Stats {
    /// How many files `wanted` speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    uploaded: u64,
    version: i64,
    /// A bit a file, the first one the highest of the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<ByteBuf>,
}

impl Kept {
    /// The choice of earlier runs, where one of these options may be ruled by it: whoever only
    /// sends means everything, and so does who ignores what is on record.
    pub fn choice_for(&self, options: &TorrentOptions, files: usize) -> Option<Vec<bool>> {
        let is_ruled = !options.seed_only && options.check != CheckMode::NoResume;
        let chosen = self.wanted.as_deref().filter(|wanted| is_ruled && wanted.len() == files);
        chosen.map(<[bool]>::to_vec)
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
    let wanted = stats.files.zip(stats.wanted);
    let wanted = wanted.map(|(count, bits)| flags(count, &bits)).transpose()?;
    Ok(Kept { uploaded: stats.uploaded, wanted })
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
    bencode::encode(&Stats {
        files: kept.wanted.as_ref().map(|flags| flags.len() as u64),
        uploaded: kept.uploaded,
        version: VERSION,
        wanted: kept.wanted.as_deref().map(bits),
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

/// A ledger has what was kept of the torrent with this record.
pub(super) fn forget(record: &Path) {
    let path = path(record);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
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
        Kept { uploaded, wanted: wanted.map(Arc::from) }
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
    fn what_is_broken_or_newer_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(dir.path());
        let file = path(&record);
        let too_long = vec![b'x'; 5 << 20];
        let bad: [&[u8]; 6] = [
            b"",
            b"d8:uploadedi5e",
            b"d8:uploadedi5e7:versioni3ee",
            b"d5:filesi9e8:uploadedi5e7:versioni2e6:wanted1:xe",
            b"d5:filesi-1e8:uploadedi5e7:versioni2e6:wanted1:xe",
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
