//! Checking that everybody has the chunks that `file.ini` says, and that they are right. It
//! changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::io;

use super::{CHUNK_LEN_MAX, ChunkHash, ChunkStore, Error, Places, holder_stores};
use crate::base::digest::sha1;
use crate::chunk::config;

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The file's name; may be a stranger's text.
    pub filename: String,
    /// Its chunks.
    pub chunks: usize,
    /// Bytes of all chunks but the last; none when there is no right copy of any of those.
    pub chunk_len: Option<u64>,
    /// Copies that should be there.
    pub copies: usize,
    /// Providers that should have some.
    pub providers: usize,
    /// All that is wrong, in the order of the chunks.
    pub faults: Vec<Fault>,
}

/// Something that is not as `file.ini` says.
#[derive(Debug)]
pub struct Fault {
    /// The chunk's number, from 0.
    pub number: usize,
    /// Its hash.
    pub hash: ChunkHash,
    /// What it is.
    pub kind: FaultKind,
}

/// What is wrong with a chunk.
#[derive(Debug)]
pub enum FaultKind {
    /// No provider is said to have it.
    Nobody,
    /// A provider does not have it.
    Missing(String),
    /// A provider's copy has another SHA-1.
    Wrong(String),
    /// A provider's copy cannot be read.
    Unreadable(String, io::Error),
    /// It is right, and has not the length that it should have among the others.
    Length {
        /// Bytes that it has.
        is: u64,
        /// Bytes that all chunks but the last have.
        others: u64,
    },
}

/// Looks at every copy that `file.ini` tells of.
///
/// # Errors
/// `Config`.
pub fn check(places: &Places<'_>) -> Result<Checked, Error> {
    let description = config::file(places.config)?;
    let stores = holder_stores(places, &description)?;
    let mut faults = Vec::new();
    let mut lens = Vec::with_capacity(stores.len());
    // Identical chunks are one file, which is read once.
    let mut right: HashMap<(ChunkHash, &str), u64> = HashMap::new();
    let lists = description.holders.iter().zip(&stores);
    for (number, (hash, (names, stores))) in description.chunks.iter().zip(lists).enumerate() {
        let mut fault = |kind| faults.push(Fault { number, hash: *hash, kind });
        let mut found = None;
        if names.is_empty() {
            fault(FaultKind::Nobody);
        }
        for (name, store) in names.iter().zip(stores) {
            if let Some(len) = right.get(&(*hash, name.as_str())) {
                found = Some(*len);
                continue;
            }
            match look(store, name, *hash) {
                Ok(len) => {
                    right.insert((*hash, name), len);
                    found = Some(len);
                }
                Err(kind) => fault(kind),
            }
        }
        lens.push(found);
    }
    let chunk_len = lens.iter().rev().skip(1).rev().find_map(|len| *len);
    odd_lengths(&description.chunks, &lens, chunk_len, &mut faults);
    let providers: BTreeSet<&String> = description.holders.iter().flatten().collect();
    Ok(Checked {
        chunks: description.chunks.len(),
        chunk_len,
        copies: description.holders.iter().map(Vec::len).sum(),
        providers: providers.len(),
        filename: description.filename.clone(),
        faults,
    })
}

/// The length of a right copy.
fn look(store: &ChunkStore, name: &str, hash: ChunkHash) -> Result<u64, FaultKind> {
    let own = || name.to_owned();
    match store.read(hash, CHUNK_LEN_MAX) {
        Err(error) => Err(FaultKind::Unreadable(own(), error)),
        Ok(None) => Err(FaultKind::Missing(own())),
        Ok(Some(content)) if sha1(&[&content]) == hash.0 => Ok(content.len() as u64),
        Ok(Some(_)) => Err(FaultKind::Wrong(own())),
    }
}

/// All chunks but the last must have one length, and the last no more.
fn odd_lengths(
    chunks: &[ChunkHash],
    lens: &[Option<u64>],
    chunk_len: Option<u64>,
    faults: &mut Vec<Fault>,
) {
    let Some(others) = chunk_len else { return };
    for (number, (hash, len)) in chunks.iter().zip(lens).enumerate() {
        let is_last = number + 1 == chunks.len();
        let odd = |len: &u64| if is_last { *len > others } else { *len != others };
        if let Some(is) = len.filter(odd) {
            faults.push(Fault { number, hash: *hash, kind: FaultKind::Length { is, others } });
        }
    }
    faults.sort_by_key(|fault| fault.number);
}
