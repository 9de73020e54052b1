//! What a metalink's file becomes (the three cases): a torrent that it names, pieces that make a
//! torrent of it, or bytes that only a hash of the whole file can judge, if any can. In all of
//! them mirrors never wait for a swarm, and the hash of the whole file is looked at in the end.
//! Pure: who fetches the torrent, and what of, is told.

use std::time::Duration;

use serde::Serialize;

use crate::base::ids::FileIndex;
use crate::bencode;
use crate::metainfo::{Spelling, Torrent};

use super::{HashKind, Listed, MetaUrl};

/// So long a download may wait for the .torrent of a file whose pieces the metalink does not tell.
/// Mirrors are asked then, if there is anything to judge them by.
pub const TORRENT_WAIT: Duration = Duration::from_secs(2);

/// Pieces of a file without hashes, so many at most, and of what length.
const PIECES_WISHED: u64 = 2048;
const PIECE_LEN_LEAST: u64 = 256 << 10;
const PIECE_LEN_MOST: u64 = 16 << 20;
/// As many pieces at most, whatever a metalink says of a file's length: 16 TiB.
const PIECES_MOST: u64 = 1 << 20;

/// How to come by a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way<'a> {
    /// A torrent decides what is right. Its file is found by [`file_in`], and the mirrors become
    /// exact web seeds of that file, unless their file is another one.
    Torrent {
        /// Where a .torrent is, the best first.
        torrents: &'a [MetaUrl],
        /// Magnet links, when there is no .torrent or none can be had.
        magnets: &'a [String],
        /// What to begin with at once, from the mirrors alone; otherwise the torrent is waited for,
        /// [`TORRENT_WAIT`] if there are mirrors.
        meanwhile: Option<Box<Way<'a>>>,
    },
    /// The bytes of an info dictionary without trackers, made of the pieces. Its one file is this
    /// one.
    Pieces {
        /// To be read by `Torrent::from_info`.
        info: Vec<u8>,
    },
    /// There is nothing to judge a part by. When the whole is wrong, it is fetched again from one
    /// mirror alone, then from the next: nobody can be blamed.
    Whole {
        /// The bytes of an info dictionary, to be read by `Torrent::unjudged`: the hashes in it
        /// are no hashes, but tell apart files that are to have another hash.
        info: Vec<u8>,
        /// The whole can be judged in the end.
        is_judged: bool,
    },
}

/// Why a file cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// Neither mirrors nor torrents.
    #[error("the metalink names no place where it can be had")]
    NoSource,
    /// Without a torrent its size has to be known.
    #[error("the metalink does not say how long it is, and names no torrent")]
    NoSize,
    /// More than can be fetched in parts.
    #[error("the metalink says that it has {0} bytes, which is too much")]
    TooLong(u64),
    /// The torrent has no such file.
    #[error("the torrent that the metalink names does not hold it")]
    NotInTorrent,
    /// It has another length in the torrent, which is the one that counts: the mirrors are of
    /// another file.
    #[error("it has {listed} bytes in the metalink, but {torrent} in the torrent")]
    OtherSize {
        /// Bytes in the metalink.
        listed: u64,
        /// Bytes in the torrent.
        torrent: u64,
    },
}

/// How to come by a file.
///
/// # Errors
/// `NoSource`, `NoSize`, `TooLong`.
pub fn plan(file: &Listed) -> Result<Way<'_>, Unusable> {
    let has_torrent = !file.torrents.is_empty() || !file.magnets.is_empty();
    if !has_torrent {
        return match (file.mirrors.is_empty(), file.size) {
            (true, _) => Err(Unusable::NoSource),
            (false, None) => Err(Unusable::NoSize),
            (false, Some(size)) => by_mirrors(file, size),
        };
    }
    let alone = file.size.and_then(|size| by_mirrors(file, size).ok());
    let meanwhile = alone.filter(|way| matches!(way, Way::Pieces { .. }));
    let meanwhile = meanwhile.filter(|_| !file.mirrors.is_empty()).map(Box::new);
    Ok(Way::Torrent { torrents: &file.torrents, magnets: &file.magnets, meanwhile })
}

/// From the mirrors alone.
fn by_mirrors(file: &Listed, size: u64) -> Result<Way<'static>, Unusable> {
    if let Some(pieces) = file.pieces.as_ref().filter(|pieces| pieces.kind == HashKind::Sha1) {
        let info = info(&file.name, size, pieces.piece_len, &pieces.hashes);
        return Ok(Way::Pieces { info });
    }
    let wished = (size / PIECES_WISHED).max(1).next_power_of_two();
    // Within the limits it is less than 2^32.
    let piece_len = wished.clamp(PIECE_LEN_LEAST, PIECE_LEN_MOST) as u32;
    let count = size.div_ceil(u64::from(piece_len));
    if count > PIECES_MOST {
        return Err(Unusable::TooLong(size));
    }
    let mut mark = file.hash.as_ref().map_or(Vec::new(), |hash| hash.bytes.clone());
    mark.resize(HashKind::Sha1.hash_len(), 0);
    let info = info(&file.name, size, piece_len, &mark.repeat(count as usize));
    Ok(Way::Whole { info, is_judged: file.hash.is_some() })
}

/// The info dictionary of a torrent of one file (BEP 3); in directories, if its name has some.
fn info(name: &str, size: u64, piece_len: u32, hashes: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct File<'a> {
        length: u64,
        path: Vec<&'a str>,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        files: Option<Vec<File<'a>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
        name: &'a str,
        #[serde(rename = "piece length")]
        piece_length: u32,
        #[serde(with = "serde_bytes")]
        pieces: &'a [u8],
    }
    let mut elements = name.split('/');
    let first = elements.next().unwrap_or_default();
    let path: Vec<&str> = elements.collect();
    let is_single = path.is_empty();
    bencode::encode(&Info {
        files: (!is_single).then(|| vec![File { length: size, path }]),
        length: is_single.then_some(size),
        name: first,
        piece_length: piece_len,
        pieces: hashes,
    })
}

/// The file of a torrent that is meant: the one that `name` says (`metaurl@name`), else the only
/// one, else the only one of equal size and name.
///
/// # Errors
/// `NotInTorrent`, `OtherSize`.
pub fn file_in(
    torrent: &Torrent,
    file: &Listed,
    name: Option<&str>,
) -> Result<FileIndex, Unusable> {
    let files = (0..).zip(torrent.files.iter()).filter(|(_, file)| !file.is_pad);
    let mut alike: Vec<(u32, u64)> = match name {
        Some(name) => {
            let files = files.filter(|(number, _)| is_called(torrent, *number, name));
            files.map(|(number, file)| (number, file.length)).collect()
        }
        None => files.map(|(number, file)| (number, file.length)).collect(),
    };
    if alike.len() > 1 {
        let last = file.name.rsplit('/').next();
        alike.retain(|(number, length)| {
            let listed = torrent.files.file(FileIndex(*number));
            let is_named = listed.is_some_and(|listed| {
                listed.path.file_name().and_then(|name| name.to_str()) == last
            });
            is_named && file.size.is_none_or(|size| size == *length)
        });
    }
    match (alike.as_slice(), file.size) {
        ([(_, length)], Some(size)) if *length != size => {
            Err(Unusable::OtherSize { listed: size, torrent: *length })
        }
        ([(number, _)], _) => Ok(FileIndex(*number)),
        _ => Err(Unusable::NotInTorrent),
    }
}

/// Whether a file is called so, below the torrent's name or with it.
fn is_called(torrent: &Torrent, number: u32, name: &str) -> bool {
    let path = torrent.written_path(FileIndex(number), Spelling::Preferred);
    let Some(path) = path else { return false };
    let whole = path.join(&b'/');
    let below = path.get(1..).unwrap_or_default().join(&b'/');
    whole == name.as_bytes() || (!below.is_empty() && below == name.as_bytes())
}
