//! The note of a move under way: `<info-hash>.move` beside the record. It is on the device
//! before anything else is touched and goes last, so that the next start can end what was left
//! half done. It says what is to be done, not how far it is: that shows in the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_bytes::Bytes;

use crate::base::digest::sha1;
use crate::base::ids::InfoHash;
use crate::bencode::{self, Value};
use crate::disk::error::Error;
use crate::disk::record::{Home, Written, as_bytes, path_of};
use crate::os::whole::{self, How};

const VERSION: i64 = 1;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::disk) struct Intent {
    pub info_hash: InfoHash,
    /// The directory that paths before are below.
    pub from: PathBuf,
    /// Where the files are afterwards.
    pub home: Home,
    pub moves: Vec<Move>,
    /// Directories below the new one that were not there before, outer ones first.
    pub dirs: Vec<PathBuf>,
    /// The copies were made by us, be it without bytes. Before that, a file of such a name may
    /// be somebody else's.
    pub is_reserved: bool,
    /// Symbolic links: where they are before and afterwards.
    pub links: Vec<(PathBuf, PathBuf)>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::disk) struct Move {
    /// Its number in the torrent.
    pub file: u32,
    /// Where it is before, below the directory that is left.
    pub from: PathBuf,
    /// Where it is afterwards, below the new one.
    pub to: PathBuf,
    /// The name of its copy until all are made; none when it is renamed.
    pub copy: Option<PathBuf>,
}

#[derive(Serialize)]
struct WrittenIntent<'a> {
    dirs: Vec<&'a Bytes>,
    from: &'a Bytes,
    home: Written<'a>,
    #[serde(rename = "info-hash")]
    info_hash: &'a Bytes,
    links: Vec<(&'a Bytes, &'a Bytes)>,
    moves: Vec<(u32, &'a Bytes, &'a Bytes, &'a Bytes)>,
    reserved: i64,
    version: i64,
}

/// Where the note of a torrent's move is.
pub(in crate::disk) fn path_beside(resume_path: &Path) -> PathBuf {
    resume_path.with_extension("move")
}

impl Intent {
    fn encode(&self) -> Vec<u8> {
        let none = Path::new("");
        let moves = self.moves.iter().map(|it| {
            let copy = it.copy.as_deref().unwrap_or(none);
            (it.file, as_bytes(&it.from), as_bytes(&it.to), as_bytes(copy))
        });
        let mut bytes = bencode::encode(&WrittenIntent {
            dirs: self.dirs.iter().map(|dir| as_bytes(dir)).collect(),
            from: as_bytes(&self.from),
            home: self.home.written(),
            info_hash: Bytes::new(&self.info_hash.0),
            links: self.links.iter().map(|(from, to)| (as_bytes(from), as_bytes(to))).collect(),
            moves: moves.collect(),
            reserved: i64::from(self.is_reserved),
            version: VERSION,
        });
        let check = sha1(&[&bytes]);
        bytes.extend(check);
        bytes
    }

    fn decode(bytes: &[u8], info_hash: InfoHash) -> Option<Self> {
        let scan = bencode::scan(bytes, bencode::TORRENT).ok()?;
        let (text, check) = bytes.split_at_checked(scan.len)?;
        let note = scan.root().dict()?;
        let is_ours = sha1(&[text]) == check
            && note.find(b"version")?.integer()? == VERSION
            && note.find(b"info-hash")?.bytes()? == info_hash.0;
        if !is_ours {
            return None;
        }
        let links = note.find(b"links")?.list()?.map(|link| {
            let mut link = link.list()?;
            Some((path_of(link.next()?)?, path_of(link.next()?)?))
        });
        Some(Self {
            info_hash,
            from: path_of(note.find(b"from")?)?,
            dirs: note.find(b"dirs")?.list()?.map(path_of).collect::<Option<_>>()?,
            is_reserved: note.find(b"reserved")?.integer()? == 1,
            home: Home::read(note.find(b"home")?.dict()?)?,
            moves: note.find(b"moves")?.list()?.map(Move::read).collect::<Option<_>>()?,
            links: links.collect::<Option<_>>()?,
        })
    }

    /// Reads a note; none when there is none.
    ///
    /// # Errors
    /// `Io`; `BadNote` when it is not whole.
    pub(in crate::disk) fn read(path: &Path, info_hash: InfoHash) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Error::io("reading", path, error))?,
        };
        let bad = || Error::BadNote { note: path.to_owned() };
        Self::decode(&bytes, info_hash).map(Some).ok_or_else(bad)
    }

    /// Writes it to the device, all of it or nothing.
    ///
    /// # Errors
    /// `Io`.
    pub(in crate::disk) fn write(&self, path: &Path) -> Result<(), Error> {
        // The torrent's record is locked by this process: nobody else writes here.
        let written = whole::replace(path, &self.encode(), How::DURABLE.alone());
        written.map_err(|error| Error::io("writing", path, error))
    }

    /// Removes it, for good.
    ///
    /// # Errors
    /// `Io`.
    pub(in crate::disk) fn remove(path: &Path) -> Result<(), Error> {
        whole::remove(path).map_err(|error| Error::io("removing", path, error))
    }
}

impl Move {
    fn read(value: Value<'_>) -> Option<Self> {
        let mut parts = value.list()?;
        let file = u32::try_from(parts.next()?.integer()?).ok()?;
        let (from, to) = (path_of(parts.next()?)?, path_of(parts.next()?)?);
        let copy = path_of(parts.next()?)?;
        let copy = (!copy.as_os_str().is_empty()).then_some(copy);
        Some(Self { file, from, to, copy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        let one = Move { file: 0, from: "t/a".into(), to: "t/b".into(), copy: None };
        let two = Move { file: 2, copy: Some("u/c.moving".into()), ..one.clone() };
        Intent {
            info_hash: InfoHash([3; 20]),
            from: "/from".into(),
            home: Home { names: [(0, "t/b".into())].into(), ..Home::at("/to".into()) },
            moves: vec![one, two],
            dirs: vec!["u".into(), "u/v".into()],
            is_reserved: true,
            links: vec![("t/l".into(), "u/l".into())],
        }
    }

    #[test]
    fn what_is_noted_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.move");
        assert_eq!(Intent::read(&path, InfoHash([3; 20])).unwrap(), None);
        intent().write(&path).unwrap();
        assert_eq!(Intent::read(&path, InfoHash([3; 20])).unwrap(), Some(intent()));
        let refused = Intent::read(&path, InfoHash([4; 20])).unwrap_err();
        assert!(refused.to_string().starts_with(path.to_str().unwrap()), "{refused}");
        let mut bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(Intent::decode(&bytes, InfoHash([3; 20])), None);
            bytes[at] ^= 1;
            assert_eq!(Intent::decode(&bytes[..at], InfoHash([3; 20])), None);
        }
        Intent::remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn fuzz_note() {
        crate::fuzz::run("move_note", |bytes| {
            // Hardly any input has the right check by itself.
            for bytes in [bytes.to_vec(), [bytes, &sha1(&[bytes])].concat()] {
                if let Some(intent) = Intent::decode(&bytes, InfoHash([b'h'; 20])) {
                    assert_eq!(Intent::decode(&intent.encode(), intent.info_hash), Some(intent));
                }
            }
        });
    }
}
