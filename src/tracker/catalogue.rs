//! The catalogue: torrents under the names that people share them by. A pure machine that knows
//! what is registered and what may be; the torrents themselves lie elsewhere. Not here: HTTP,
//! tokens, files, and who is in a swarm.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::ids::InfoHash;
use crate::metainfo::{Torrent, clean_name};

/// The largest torrent that is taken, in bytes, as by other ways over a network.
pub const TORRENT_LEN_MAX: usize = 16 << 20;

/// Longest name, in bytes; what file systems take.
const NAME_LEN_MAX: usize = 255;

/// Bounds of a catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueLimits {
    /// Torrents.
    pub entries: usize,
    /// Bytes of all of them, as files.
    pub bytes: u64,
}

impl Default for CatalogueLimits {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 256 << 20 }
    }
}

/// What is known of a registered torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name here, which need not be that inside the torrent.
    pub name: String,
    /// What its swarm is known by: the v1 info-hash, or the first 20 bytes of a v2-only one's.
    pub info_hash: InfoHash,
    /// Bytes of its files.
    pub size: u64,
    /// Files.
    pub files: usize,
    /// Pieces.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Bytes of the torrent itself.
    pub torrent_len: u64,
    /// When it was registered, in seconds since 1970.
    pub added_s: u64,
}

/// Why something is not registered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be one.
    #[error("bad name: {0}")]
    Name(&'static str),
    /// The name is that of another torrent.
    #[error("the name belongs to another torrent ({0}); choose another name, or delete that one")]
    NameTaken(InfoHash),
    /// The torrent has a name already.
    #[error("this torrent is registered already, under another name: {0}")]
    TorrentTaken(String),
    /// No room.
    #[error("the catalogue is full: {0}")]
    Full(&'static str),
    /// The torrent has neither of the two hashes.
    #[error("the torrent has no info-hash")]
    NoHash,
}

/// What a registration that is not refused comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is new.
    New,
    /// It is there already.
    Same,
}

/// Whether `name` may be one: 1 to 255 bytes that can stand for a file on any of our systems
/// as they are, and that look like what they are.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_LEN_MAX {
        "it has more than 255 bytes"
    } else if matches!(name, "." | "..") {
        "it stands for a directory"
    } else if name.contains(['/', '\\']) {
        "it has a / or \\"
    } else if clean_name(name.as_bytes()) != name {
        "it has control characters, or such as turn or hide text"
    } else {
        return Ok(());
    };
    Err(Error::Name(why))
}

impl Entry {
    /// What there is to know of `torrent`, registered as `name`.
    ///
    /// # Errors
    /// [`Error::NoHash`], and [`Error::Name`] as [`check_name`].
    pub fn new(
        name: &str,
        torrent: &Torrent,
        torrent_len: u64,
        added_s: u64,
    ) -> Result<Self, Error> {
        check_name(name)?;
        let info_hash = torrent.info_hash_v1;
        let info_hash = info_hash.or_else(|| Some(torrent.info_hash_v2?.truncated()));
        Ok(Self {
            name: name.to_owned(),
            info_hash: info_hash.ok_or(Error::NoHash)?,
            size: torrent.total_size(),
            files: torrent.files.iter().filter(|file| !file.is_pad).count(),
            pieces: torrent.num_pieces,
            piece_length: torrent.piece_length,
            torrent_len,
            added_s,
        })
    }

    /// The part of the torrent that a peer has who lacks `left` bytes: 0 to 1.
    pub fn share(&self, left: u64) -> f64 {
        let has = self.size.saturating_sub(left);
        match self.size {
            0 => f64::from(u8::from(left == 0)),
            size => (has as f64 / size as f64 * 10_000.0).floor() / 10_000.0,
        }
    }
}

/// What is registered, by name and by info-hash.
#[derive(Clone, Debug)]
pub struct Catalogue {
    limits: CatalogueLimits,
    by_name: BTreeMap<String, Arc<Entry>>,
    by_hash: HashMap<InfoHash, Arc<Entry>>,
    bytes: u64,
}

impl Catalogue {
    /// An empty one.
    pub fn new(limits: CatalogueLimits) -> Self {
        Self { limits, by_name: BTreeMap::new(), by_hash: HashMap::new(), bytes: 0 }
    }

    /// Whether `entry` may be registered, or is already.
    ///
    /// # Errors
    /// All of [`Error`] but `NoHash`.
    pub fn judge(&self, entry: &Entry) -> Result<Verdict, Error> {
        check_name(&entry.name)?;
        if let Some(there) = self.by_name.get(&entry.name) {
            let is_same = there.info_hash == entry.info_hash;
            return if is_same {
                Ok(Verdict::Same)
            } else {
                Err(Error::NameTaken(there.info_hash))
            };
        }
        if let Some(there) = self.by_hash.get(&entry.info_hash) {
            return Err(Error::TorrentTaken(there.name.clone()));
        }
        if self.by_name.len() >= self.limits.entries {
            return Err(Error::Full("no more names fit"));
        }
        if self.bytes.saturating_add(entry.torrent_len) > self.limits.bytes {
            return Err(Error::Full("no more bytes of torrents fit"));
        }
        Ok(Verdict::New)
    }

    /// Registers what [`Catalogue::judge`] called new.
    ///
    /// # Errors
    /// As `judge`; nothing is changed then.
    pub fn insert(&mut self, entry: Entry) -> Result<Verdict, Error> {
        let verdict = self.judge(&entry)?;
        if verdict == Verdict::New {
            self.bytes += entry.torrent_len;
            let entry = Arc::new(entry);
            self.by_hash.insert(entry.info_hash, entry.clone());
            self.by_name.insert(entry.name.clone(), entry);
        }
        Ok(verdict)
    }

    /// Takes a name out; returns what it stood for.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.by_name.remove(name)?;
        self.by_hash.remove(&entry.info_hash);
        self.bytes -= entry.torrent_len;
        Some(entry)
    }

    /// What is registered under a name.
    pub fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    /// What is registered with an info-hash.
    pub fn find_hash(&self, info_hash: &InfoHash) -> Option<&Arc<Entry>> {
        self.by_hash.get(info_hash)
    }

    /// Everything, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The index as it is kept: what the torrents do not say themselves.
    pub fn write_index(&self) -> String {
        let lines = self.iter().map(|entry| IndexLine {
            name: entry.name.clone(),
            info_hash: entry.info_hash.to_string(),
            added_s: entry.added_s,
        });
        let index = Index { version: INDEX_VERSION, torrents: lines.collect() };
        // Only maps with keys that are no strings, and numbers that are none, cannot be written.
        serde_json::to_string_pretty(&index).unwrap_or_default()
    }
}

/// Version of the index's format.
const INDEX_VERSION: u32 = 1;

/// The index as it is kept.
#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    torrents: Vec<IndexLine>,
}

/// One torrent in the index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IndexLine {
    /// Its name.
    pub name: String,
    /// Its info-hash, 40 hex digits.
    pub info_hash: String,
    /// When it was registered, in seconds since 1970.
    pub added_s: u64,
}

/// Reads an index.
///
/// # Errors
/// In words for people, when it is none, or one of a later version.
pub fn read_index(text: &str) -> Result<Vec<IndexLine>, String> {
    let index: Index =
        serde_json::from_str(text).map_err(|error| format!("not an index: {error}"))?;
    match index.version {
        INDEX_VERSION => Ok(index.torrents),
        version => Err(format!("it has version {version}, and only {INDEX_VERSION} is known here")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str, hash: u8, torrent_len: u64) -> Entry {
        Entry {
            name: name.to_owned(),
            info_hash: InfoHash([hash; 20]),
            size: 1000,
            files: 1,
            pieces: 1,
            piece_length: 1 << 14,
            torrent_len,
            added_s: 7,
        }
    }

    #[test]
    fn a_name_belongs_to_one_torrent_and_a_torrent_to_one_name() {
        let mut catalogue = Catalogue::new(CatalogueLimits::default());
        assert_eq!(catalogue.insert(entry("a", 1, 10)), Ok(Verdict::New));
        assert_eq!(catalogue.insert(entry("a", 1, 10)), Ok(Verdict::Same));
        let taken = Error::NameTaken(InfoHash([1; 20]));
        assert_eq!(catalogue.insert(entry("a", 2, 10)), Err(taken));
        let taken = Error::TorrentTaken("a".to_owned());
        assert_eq!(catalogue.insert(entry("b", 1, 10)), Err(taken));
        assert_eq!(catalogue.insert(entry("b", 2, 10)), Ok(Verdict::New));
        let names: Vec<&str> = catalogue.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(catalogue.remove("a").map(|entry| entry.info_hash), Some(InfoHash([1; 20])));
        assert_eq!((catalogue.remove("a"), catalogue.find_hash(&InfoHash([1; 20]))), (None, None));
        assert_eq!(catalogue.insert(entry("c", 1, 10)), Ok(Verdict::New));
    }

    #[test]
    fn it_is_full_by_count_and_by_bytes() {
        let mut catalogue = Catalogue::new(CatalogueLimits { entries: 2, bytes: 100 });
        catalogue.insert(entry("a", 1, 60)).unwrap();
        assert!(matches!(catalogue.insert(entry("b", 2, 41)), Err(Error::Full(_))));
        catalogue.insert(entry("b", 2, 40)).unwrap();
        catalogue.remove("a");
        catalogue.insert(entry("c", 3, 60)).unwrap();
        assert!(matches!(catalogue.insert(entry("d", 4, 0)), Err(Error::Full(_))));
        assert_eq!(catalogue.insert(entry("c", 3, 60)), Ok(Verdict::Same), "full or not");
    }

    #[test]
    fn names_with_tricks_are_refused() {
        let long = "x".repeat(256);
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "/etc/passwd",
            "..\\x",
            "a\0",
            "a\nb",
            "\x1b[2J",
            "\u{85}",
            "txt.\u{202e}exe",
            "a\u{200b}b",
            "\u{feff}a",
            "a\u{2028}b",
            &long,
        ] {
            assert!(matches!(check_name(name), Err(Error::Name(_))), "{name:?}");
            let mut catalogue = Catalogue::new(CatalogueLimits::default());
            assert!(catalogue.insert(entry(name, 1, 1)).is_err(), "{name:?}");
        }
        for name in ["a", "...", "Lecture 1 – 東京.iso", "100% sure?", "👩\u{200d}🚀", &long[1..]]
        {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn shares_are_between_nothing_and_all() {
        let entry = entry("a", 1, 1);
        let shares = [0, 1, 250, 1000, u64::MAX].map(|left| entry.share(left));
        assert_eq!(shares, [1.0, 0.999, 0.75, 0.0, 0.0]);
        let empty = Entry { size: 0, ..entry };
        assert_eq!((empty.share(0), empty.share(9)), (1.0, 0.0));
    }

    #[test]
    fn an_index_of_another_version_is_not_read() {
        let mut catalogue = Catalogue::new(CatalogueLimits::default());
        catalogue.insert(entry("a \"b\"", 0xab, 1)).unwrap();
        let text = catalogue.write_index();
        let line = IndexLine { name: "a \"b\"".into(), info_hash: "ab".repeat(20), added_s: 7 };
        assert_eq!(read_index(&text), Ok(vec![line]));
        let later = text.replace("\"version\": 1", "\"version\": 2");
        assert_eq!(read_index(&later).unwrap_err(), "it has version 2, and only 1 is known here");
        assert!(read_index(&text[..text.len() / 2]).is_err());
    }

    proptest! {
        #[test]
        fn names_that_pass_are_their_own_file_names(name in any::<String>()) {
            if check_name(&name).is_ok() {
                prop_assert_eq!(clean_name(name.as_bytes()), name.clone());
                prop_assert!(std::path::Path::new(&name).components().count() == 1);
            }
        }
    }
}
