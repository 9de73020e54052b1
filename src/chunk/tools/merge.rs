//! Putting a file together from chunks that lie on this machine, whoever's they are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{
    CHUNK_LEN_MAX, ChunkHash, ChunkStore, Error, FileDescription, Places, fill, holder_stores,
    io_error,
};
use crate::base::digest::sha1;
use crate::base::pages::Pages;
use crate::chunk::config;
use crate::metainfo::clean_name;
use crate::os::whole::{How, NewFile};

/// Bytes that are compared at a time.
const COMPARED_LEN: usize = 1 << 20;

/// What was found where a chunk was looked for.
#[derive(Debug)]
pub enum Looked {
    /// Nothing.
    Nothing,
    /// Something with another SHA-1.
    Wrong,
    /// Something that cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("is missing"),
            Self::Wrong => f.write_str("is wrong"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// A file that was put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merged {
    /// Where it lies.
    pub path: PathBuf,
    /// Chunks it is made of.
    pub chunks: usize,
    /// Bytes of it.
    pub len: u64,
    /// It was there already, byte for byte, and was left alone.
    pub was_there: bool,
}

/// Puts the file that `file.ini` describes together in `dir`, which is made when missing. Each
/// chunk comes from the first place with a right copy: those who are said to have it, then
/// any other provider's directory. The file appears when it is whole, under a name made
/// safe.
///
/// # Errors
/// `Config`; `NoChunk` for the first chunk of which there is no right copy; `Exists` when
/// another file has the name and `overwrite` is off; `Io`.
pub fn merge(places: &Places<'_>, dir: &Path, overwrite: bool) -> Result<Merged, Error> {
    let description = config::file(places.config)?;
    let holders = holder_stores(places, &description)?;
    let path = dir.join(clean_name(description.filename.as_bytes()));
    let begun = fs::create_dir_all(dir).and_then(|()| NewFile::create(&path, How::QUICK));
    let mut file = begun.map_err(io_error("making a file in", dir))?;
    let len = assemble(places, &description, &holders, &mut file, &path)?;
    let merged =
        |was_there| Merged { path: path.clone(), chunks: description.chunks.len(), len, was_there };
    let found = match std::fs::symlink_metadata(&path) {
        Ok(there) if there.is_file() && there.len() == len => is_same(file.temporary(), &path),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.finish().map_err(io_error("writing", &path))?;
            return Ok(merged(false));
        }
        Err(error) => Err(error),
    };
    if found.map_err(io_error("reading", &path))? {
        return Ok(merged(true));
    } else if !overwrite {
        return Err(Error::Exists { path });
    }
    file.finish().map_err(io_error("writing", &path))?;
    Ok(merged(false))
}

/// Appends chunk after chunk, and tells how many bytes they are.
fn assemble(
    places: &Places<'_>,
    description: &FileDescription,
    holders: &[Vec<ChunkStore>],
    file: &mut NewFile,
    path: &Path,
) -> Result<u64, Error> {
    let everybody = everybody(places.chunks);
    let mut len = 0;
    for (number, (hash, holders)) in description.chunks.iter().zip(holders).enumerate() {
        let others = everybody.iter().filter(|store| !holders.contains(store));
        let claimed = holders.iter().map(|store| (store, true));
        let mut tried = Vec::new();
        let mut right = None;
        for (store, is_claimed) in claimed.chain(others.map(|store| (store, false))) {
            match find(store, *hash) {
                Ok(content) => {
                    right = Some(content);
                    break;
                }
                // Only what is there is news from those who never claimed to have it.
                Err(Looked::Nothing) if !is_claimed => {}
                Err(looked) => tried.push((store.path(*hash), looked)),
            }
        }
        let Some(content) = right else {
            return Err(Error::NoChunk { number, hash: *hash, tried });
        };
        file.write_all(&content).map_err(io_error("writing", path))?;
        len += content.len() as u64;
    }
    Ok(len)
}

/// The right bytes of a chunk, or what was there.
fn find(store: &ChunkStore, hash: ChunkHash) -> Result<Vec<u8>, Looked> {
    match store.read(hash, CHUNK_LEN_MAX).map_err(Looked::Unreadable)? {
        None => Err(Looked::Nothing),
        Some(content) if sha1(&[&content]) == hash.0 => Ok(content),
        Some(_) => Err(Looked::Wrong),
    }
}

/// The stores of all directories below `chunks`, by name. None when it cannot be listed: what
/// is missing then is told chunk by chunk.
fn everybody(chunks: &Path) -> Vec<ChunkStore> {
    let Ok(entries) = std::fs::read_dir(chunks) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.iter().filter_map(|name| ChunkStore::new(chunks, name).ok()).collect()
}

/// Whether two files have the same bytes.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut first, mut second) = (Pages::zeroed(COMPARED_LEN), Pages::zeroed(COMPARED_LEN));
    loop {
        let there = fill(&mut one, &mut first)?;
        if fill(&mut other, &mut second)? != there || first[..there] != second[..there] {
            return Ok(false);
        } else if there < COMPARED_LEN {
            return Ok(true);
        }
    }
}
