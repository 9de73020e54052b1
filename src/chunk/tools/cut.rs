//! Cutting a file: its chunks into the directories of those who get them, and at last the
//! `file.ini` that lists them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use super::{CHUNK_LEN_MAX, ChunkHash, ChunkStore, Error, FileDescription, Places, fill, io_error};
use crate::base::digest::sha1_many;
use crate::base::pages::Pages;
use crate::chunk::config;
use crate::chunk::cut::{PROVIDERS, holders};

/// Chunks that are hashed side by side, as many as the widest engine has lanes ...
const BATCH_CHUNKS: usize = 16;
/// ... unless they take more memory than this, in bytes.
const BATCH_LEN: usize = 32 << 20;

/// A file that was cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// What `file.ini` says now.
    pub description: FileDescription,
    /// Bytes of the file.
    pub len: u64,
    /// Chunks of each provider.
    pub shares: Vec<(&'static str, usize)>,
}

/// Cuts `file` into chunks of `chunk_len` bytes, the last one shorter, and writes them and
/// `file.ini`. Identical chunks become one file, and those that are there already stay. An
/// empty file has no chunks.
///
/// # Errors
/// `Input`, `ChunkLen` and `TooMany` before anything is written; `Input` also when the file
/// changes meanwhile; `Io` and `Config` when something cannot be written.
pub fn cut(file: &Path, places: &Places<'_>, chunk_len: u64) -> Result<Cut, Error> {
    let refuse = |problem: &str| Error::Input { path: file.to_owned(), problem: problem.into() };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => refuse("no such file"),
        _ => refuse(&error.to_string()),
    };
    let step = match u32::try_from(chunk_len) {
        Ok(step @ 1..=CHUNK_LEN_MAX) => step,
        _ => return Err(Error::ChunkLen(chunk_len)),
    };
    let mut source = open(file).map_err(unreadable)?;
    let len = source.metadata().map_err(unreadable)?.len();
    let name = file.file_name().and_then(OsStr::to_str);
    let name = name.ok_or_else(|| refuse("its name is not UTF-8; rename it"))?;
    let count = count(file, len, step)?;
    let stores = PROVIDERS.map(|name| ChunkStore::new(places.chunks, name));
    let stores: Vec<ChunkStore> = stores.into_iter().flatten().collect();

    let mut chunks = Vec::with_capacity(count);
    let mut written = HashSet::new();
    let step = step as usize;
    let mut buffer = Pages::zeroed(step * (BATCH_LEN / step).clamp(1, BATCH_CHUNKS));
    while chunks.len() < count {
        let there = fill(&mut source, &mut buffer).map_err(unreadable)?;
        let contents = buffer[..there].chunks(step);
        let batch: Vec<Vec<&[u8]>> = contents.clone().map(|content| vec![content]).collect();
        if batch.is_empty() || chunks.len() + batch.len() > count {
            return Err(refuse("it changed meanwhile"));
        }
        for (hash, content) in sha1_many(&batch).into_iter().map(ChunkHash).zip(contents) {
            for name in holders(chunks.len(), count) {
                let store = PROVIDERS.iter().zip(&stores).find(|(provider, _)| *provider == name);
                if let Some((_, store)) = store.filter(|_| written.insert((hash, name))) {
                    let path = store.path(hash);
                    store.write(hash, content).map_err(io_error("writing", &path))?;
                }
            }
            chunks.push(hash);
        }
    }
    // Growing by less than a chunk's rest shows only in the length.
    if source.metadata().map_err(unreadable)?.len() != len {
        return Err(refuse("it changed meanwhile"));
    }
    let description = FileDescription {
        filename: name.to_owned(),
        holders: (0..count).map(|at| owned(holders(at, count))).collect(),
        chunks,
    };
    config::write_file(places.config, &description)?;
    let shares = PROVIDERS.map(|name| {
        let lists = (0..count).map(|number| holders(number, count));
        (name, lists.filter(|names| names.contains(&name)).count())
    });
    Ok(Cut { description, len, shares: shares.to_vec() })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn open(file: &Path) -> io::Result<File> {
    // Opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(file)?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    } else if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(file)
}

/// So many chunks the file makes.
fn count(file: &Path, len: u64, chunk_len: u32) -> Result<usize, Error> {
    const MOST: u64 = u16::MAX as u64;
    let count = len.div_ceil(chunk_len.into());
    if count <= MOST {
        return Ok(count as usize);
    }
    let least = len.div_ceil(MOST).next_power_of_two();
    if least > CHUNK_LEN_MAX.into() {
        let problem = "it is over 4 TiB, more than 65535 chunks of 64 MiB".to_owned();
        return Err(Error::Input { path: file.to_owned(), problem });
    }
    Err(Error::TooMany { path: file.to_owned(), chunk_len, count, least })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_at_most_as_many_as_16_bits_can_count() {
        let said =
            |len, chunk_len| count(Path::new("f"), len, chunk_len).map_err(|e| e.to_string());
        assert_eq!(said(0, 1), Ok(0));
        assert_eq!(said(1, 512 << 10), Ok(1));
        assert_eq!(said(65_535, 1), Ok(65_535));
        let text = "f in chunks of 1 bytes makes 65536, and 65535 are the most: use --chunk-size 2";
        assert_eq!(said(65_536, 1), Err(text.to_owned()));
        let text = "f in chunks of 524288 bytes makes 81920, and 65535 are the most: \
                    use --chunk-size 1MiB";
        assert_eq!(said(40 << 30, 512 << 10), Err(text.to_owned()));
        let text = "f in chunks of 4 bytes makes 16777216, and 65535 are the most: \
                    use --chunk-size 2KiB";
        assert_eq!(said(64 << 20, 4), Err(text.to_owned()));
        assert_eq!(said(65_535 * (64 << 20), 64 << 20), Ok(65_535));
        let text = "cannot cut f: it is over 4 TiB, more than 65535 chunks of 64 MiB";
        assert_eq!(said(65_535 * (64 << 20) + 1, 64 << 20), Err(text.to_owned()));
    }
}
