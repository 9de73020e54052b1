//! Metalinks: lists of files with their sizes, hashes and mirrors, in XML (RFC 5854). Read from
//! strangers, and made into what a torrent needs. Not here: fetching any of it, and metalinks of
//! version 3, which are another vocabulary.

pub mod plan;
mod read;
#[cfg(test)]
mod tests;

pub use read::{FILES_MAX, METALINK_LEN_MAX, MIRRORS_MAX, read};

/// Bytes at the beginning by which a metalink is known.
const LOOKED_AT_LEN: usize = 1024;

/// Why a text is of no use as a metalink. Always the fault of whoever made it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than [`METALINK_LEN_MAX`].
    #[error("metalink of {len} bytes, more than the limit of {METALINK_LEN_MAX}")]
    TooLarge {
        /// Its bytes.
        len: usize,
    },
    /// No XML, or XML that breaks off.
    #[error("not a metalink: {problem} at byte {offset}")]
    Xml {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A document type, which can make any text of any length.
    #[error("bad metalink: it declares a document type, which none needs")]
    Doctype,
    /// XML of another kind.
    #[error("not a metalink: its first element is {0:?}")]
    Other(String),
    /// The older vocabulary.
    #[error("metalink of version 3, which is another format: ask for one of version 4 (.meta4)")]
    Version3,
    /// Elements in elements in elements.
    #[error("bad metalink: its elements nest deeper than {0} levels")]
    Depth(usize),
    /// More files than [`FILES_MAX`].
    #[error("metalink of more than {FILES_MAX} files")]
    TooManyFiles,
    /// No file in it can be had.
    #[error("bad metalink: it names no file with a usable name")]
    NoFiles,
}

/// Whether bytes begin as a metalink of any version does. Of more than the first thousand nothing
/// is looked at.
pub fn begins(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..LOOKED_AT_LEN).unwrap_or(bytes);
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let has = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    bytes.starts_with(b"<") && (has("<metalink") || has("urn:ietf:params:xml:ns:metalink"))
}

/// What a metalink says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metalink {
    /// Its files in their order, no two of one name, at least one.
    pub files: Vec<Listed>,
    /// Files that were left out: without a usable name, or of a name that was there before.
    pub left_out: usize,
    /// `generator`: what made it. Texts of strangers, as all of these: escape them.
    pub generator: Option<String>,
    /// `origin`: where it is published.
    pub origin: Option<String>,
    /// `published`: when.
    pub published: Option<String>,
}

/// A file that a metalink lists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// Where it goes: relative, `/` between its elements, each of them safe to create.
    pub name: String,
    /// Its bytes.
    pub size: Option<u64>,
    /// The strongest hash of all of it that we know how to make.
    pub hash: Option<FileHash>,
    /// Hashes of its pieces, the first list that fits the size.
    pub pieces: Option<Pieces>,
    /// Where it can be had by http, the best first, at most [`MIRRORS_MAX`], none twice.
    pub mirrors: Vec<Mirror>,
    /// Torrents that hold it, the best first.
    pub torrents: Vec<MetaUrl>,
    /// Magnet links of such torrents, which some write as a mirror.
    pub magnets: Vec<String>,
}

/// How a hash is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HashKind {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl HashKind {
    /// Its bytes.
    pub fn hash_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// By its name at IANA, in any case, with or without the hyphen.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().replace('-', "").as_str() {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// The hash of a whole file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHash {
    /// How it is made.
    pub kind: HashKind,
    /// As many bytes as that has.
    pub bytes: Vec<u8>,
}

/// Hashes of parts of one length, the last one shorter. They are flat, no layer of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces {
    /// How they are made.
    pub kind: HashKind,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// One behind the other, as many as the size of the file makes pieces.
    pub hashes: Vec<u8>,
}

/// A place where a file can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mirror {
    /// Of the file itself: nothing is appended.
    pub url: String,
    /// 1 to 999999, lower ones first.
    pub priority: u32,
    /// The country it is in, two letters.
    pub location: Option<String>,
}

/// The URL of a .torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaUrl {
    /// Of the .torrent.
    pub url: String,
    /// 1 to 999999, lower ones first.
    pub priority: u32,
    /// Which file of a torrent of several it is.
    pub name: Option<String>,
}
