//! What is done with a whole file and its chunks on this machine: [`cut`], [`merge`] and
//! [`check`]. They block on the disk. Not here: the network, and words for people.

mod check;
mod cut;
mod merge;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::config::{self, FILE};
use super::ini::{self, FileDescription};
use super::store::ChunkStore;
use super::wire::{CHUNK_LEN_MAX, ChunkHash};

pub use check::{Checked, Fault, FaultKind, check};
pub use cut::{Cut, cut};
pub use merge::{Looked, Merged, merge};

/// Where the course's files lie.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Directory of `peers.ini` and `file.ini`.
    pub config: &'a Path,
    /// Directory of the chunks, one directory for each provider.
    pub chunks: &'a Path,
}

/// Why a tool gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A file that cannot be cut.
    #[error("cannot cut {}: {problem}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Chunks that nobody could take.
    #[error("chunks of {0} bytes: --chunk-size may be from 1 byte to 64MiB")]
    ChunkLen(u64),
    /// Chunks so small that they are too many.
    #[error(
        "{} in chunks of {chunk_len} bytes makes {count}, and 65535 are the most: \
         use --chunk-size {}", path.display(), size(*least)
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Bytes of a chunk that were asked for.
        chunk_len: u32,
        /// So many chunks that would make.
        count: u64,
        /// The least power of two that would do.
        least: u64,
    },
    /// The system refuses.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was tried, as in "writing".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A chunk that is nowhere as it should be.
    #[error("no right copy of chunk {number} ({hash}): {}", looked(tried))]
    NoChunk {
        /// Its number, from 0.
        number: usize,
        /// Its hash.
        hash: ChunkHash,
        /// Where it was looked for, and what was there.
        tried: Vec<(PathBuf, Looked)>,
    },
    /// Another file stands where the merged one should go.
    #[error("{} exists and differs: move it away or use --overwrite", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// A size as `--chunk-size` reads it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        1024..0x10_0000 => format!("{}KiB", bytes.div_ceil(1024)),
        _ => format!("{}MiB", bytes.div_ceil(1 << 20)),
    }
}

fn looked(tried: &[(PathBuf, Looked)]) -> String {
    if tried.is_empty() {
        return "no provider has it".to_owned();
    }
    let places = tried.iter().map(|(path, looked)| format!("{} {looked}", path.display()));
    places.collect::<Vec<_>>().join(", ")
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |error| Error::Io { doing, path: path.to_owned(), error }
}

/// The store of each provider named in `file.ini`, for each chunk in the order of its list.
fn holder_stores(
    places: &Places<'_>,
    description: &FileDescription,
) -> Result<Vec<Vec<ChunkStore>>, Error> {
    let mut stores = Vec::with_capacity(description.holders.len());
    for (number, names) in description.holders.iter().enumerate() {
        let store = |name: &String| {
            ChunkStore::new(places.chunks, name).map_err(|error| config::Error::Content {
                path: places.config.join(FILE),
                error: ini::Error::Value {
                    section: "chunks_peers".to_owned(),
                    key: number.to_string(),
                    problem: error.to_string(),
                },
            })
        };
        stores.push(names.iter().map(store).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(stores)
}

/// Reads until the buffer is full or the file ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
