//! The course's two configuration files as values: `peers.ini`, who listens where, and
//! `file.ini`, which chunks there are and who is said to have them. Reads what Python's
//! `ConfigParser` writes with its defaults, and writes what it reads. Not here: the files
//! themselves (`config`).

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddrV4;

use configparser::ini::Ini;

use super::wire::{ChunkHash, FileInfo, ListedChunk};

/// The section of `peers.ini` that is no provider's.
const TRACKER: &str = "tracker";
const DESCRIPTION: &str = "description";
const CHUNKS: &str = "chunks";
const HOLDERS: &str = "chunks_peers";
/// The section whose values count in every other one, as Python has it.
const EVERYWHERE: &str = "DEFAULT";
/// A list or text of a message has its length in 16 bits.
const MOST: usize = u16::MAX as usize;

/// What is wrong in one of the files; the text does not name the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Not an ini file at all.
    #[error("{0}")]
    Syntax(String),
    /// A section that is needed.
    #[error("has no section [{0}]")]
    NoSection(String),
    /// A section that is there twice.
    #[error("has two sections [{0}]")]
    TwoSections(String),
    /// A value that is missing or makes no sense.
    #[error("[{section}] {key}: {problem}")]
    Value {
        /// Its section.
        section: String,
        /// Its key.
        key: String,
        /// What is wrong, as the rest of the sentence.
        problem: String,
    },
}

/// `peers.ini`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peers {
    /// Where the tracker listens, when it is named.
    pub tracker: Option<SocketAddrV4>,
    /// Where each provider listens, by name. Port 0 is read, for a server that is to take
    /// any port.
    pub providers: BTreeMap<String, SocketAddrV4>,
}

impl Peers {
    /// Reads `peers.ini`. Every section but `tracker` is a provider.
    ///
    /// # Errors
    /// When it is no ini file, or a section has no usable address and port.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file = Sections::read(text)?;
        let mut peers = Self::default();
        for section in file.0.iter().filter(|section| section.name != EVERYWHERE) {
            let address = file.address(section)?;
            if section.name == TRACKER {
                peers.tracker = Some(address);
            } else {
                peers.providers.insert(section.name.clone(), address);
            }
        }
        Ok(peers)
    }

    /// Where the provider `name` listens.
    ///
    /// # Errors
    /// `NoSection`.
    pub fn provider(&self, name: &str) -> Result<SocketAddrV4, Error> {
        let address = self.providers.get(name).copied();
        address.ok_or_else(|| Error::NoSection(name.to_owned()))
    }

    /// Where the tracker listens.
    ///
    /// # Errors
    /// `NoSection`.
    pub fn tracker(&self) -> Result<SocketAddrV4, Error> {
        self.tracker.ok_or_else(|| Error::NoSection(TRACKER.to_owned()))
    }
}

/// `file.ini`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileDescription {
    /// The file's name; may be a stranger's text.
    pub filename: String,
    /// Its chunks in file order.
    pub chunks: Vec<ChunkHash>,
    /// Names of the providers of each chunk, as many lists as chunks.
    pub holders: Vec<Vec<String>>,
}

impl FileDescription {
    /// Reads `file.ini`.
    ///
    /// # Errors
    /// When it is no ini file, a value is missing or makes no sense, or the numbers of the
    /// chunks are not 0 to `chunks_count` - 1 in this order.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file = Sections::read(text)?;
        let description = file.section(DESCRIPTION)?;
        let filename = file.value(description, "filename")?;
        let refuse = |problem: &str| Err(value(DESCRIPTION, "filename", problem));
        match filename.len() {
            0 => return refuse("is empty"),
            1..=MOST => {}
            _ => return refuse("is longer than 65535 bytes"),
        }
        let count: u16 = file.value(description, "chunks_count")?.parse().map_err(|_| {
            value(DESCRIPTION, "chunks_count", "is not a number between 0 and 65535")
        })?;
        let hashes = file.section(CHUNKS)?.numbered(count)?;
        let mut chunks = Vec::with_capacity(hashes.len());
        for (number, text) in hashes.iter().enumerate() {
            let hash = text.parse();
            chunks.push(hash.map_err(|error| value(CHUNKS, number, error))?);
        }
        let lists = file.section(HOLDERS)?.numbered(count)?;
        let mut holders = Vec::with_capacity(lists.len());
        for (number, text) in lists.iter().enumerate() {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            let names: Vec<String> = names.map(str::to_owned).collect();
            if names.len() > MOST {
                return Err(value(HOLDERS, number, "names more than 65535 providers"));
            }
            holders.push(names);
        }
        Ok(Self { filename, chunks, holders })
    }

    /// The text of `file.ini`, as Python's `ConfigParser` reads it back. What a value cannot
    /// say becomes `_`: line breaks, and spaces at its ends.
    pub fn render(&self) -> String {
        let mut text = format!(
            "[{DESCRIPTION}]\nfilename = {}\nchunks_count = {}\n\n[{CHUNKS}]\n",
            escaped(&expressible(&self.filename)),
            self.chunks.len()
        );
        // Writing to a String cannot fail.
        for (number, hash) in self.chunks.iter().enumerate() {
            let _ = writeln!(text, "{number} = {hash}");
        }
        let _ = write!(text, "\n[{HOLDERS}]\n");
        for (number, names) in self.holders.iter().enumerate() {
            let _ = writeln!(text, "{number} = {}", escaped(&expressible(&names.join(", "))));
        }
        text
    }

    /// The list that a tracker gives out: names become addresses.
    ///
    /// # Errors
    /// `Value` for a name that `peers` does not know.
    pub fn listing(&self, peers: &Peers) -> Result<FileInfo, Error> {
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for (number, (hash, names)) in self.chunks.iter().zip(&self.holders).enumerate() {
            let address = |name: &String| {
                peers.provider(name).map_err(|_| {
                    let problem = format!("names {name}, who has no section in peers.ini");
                    value(HOLDERS, number, problem)
                })
            };
            let peers = names.iter().map(address).collect::<Result<_, _>>()?;
            chunks.push(ListedChunk { hash: *hash, peers });
        }
        Ok(FileInfo { filename: self.filename.clone(), chunks })
    }
}

/// An ini file, sections and keys in their order; keys in lower case.
struct Sections(Vec<Section>);

struct Section {
    name: String,
    keys: Vec<(String, Option<String>)>,
}

impl Sections {
    fn read(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        refuse_repeated(&text)?;
        let mut ini = Ini::new_cs();
        let mut ways = ini.defaults();
        // File names may hold `;` and `#`.
        ways.enable_inline_comments = false;
        ways.multiline = true;
        ways.default_section = EVERYWHERE.to_owned();
        ini.load_defaults(ways);
        ini.read(text).map_err(Error::Syntax)?;
        let sections = std::mem::take(ini.get_mut_map()).into_iter().map(|(name, keys)| {
            let keys = keys.into_iter().map(|(key, value)| {
                let value = value.map(|text| text.trim().replace("%%", "%"));
                (key.to_lowercase(), value)
            });
            Section { name, keys: keys.collect() }
        });
        Ok(Self(sections.collect()))
    }

    fn section(&self, name: &str) -> Result<&Section, Error> {
        let found = self.0.iter().find(|section| section.name == name);
        found.ok_or_else(|| Error::NoSection(name.to_owned()))
    }

    fn value(&self, section: &Section, key: &str) -> Result<String, Error> {
        let everywhere = self.0.iter().filter(|section| section.name == EVERYWHERE);
        let mut places = std::iter::once(section).chain(everywhere);
        match places.find_map(|section| section.keys.iter().find(|(name, _)| name == key)) {
            Some((_, Some(text))) => Ok(text.clone()),
            Some((_, None)) => Err(value(&section.name, key, "has no value")),
            None => Err(value(&section.name, key, "is missing")),
        }
    }

    fn address(&self, section: &Section) -> Result<SocketAddrV4, Error> {
        let refuse = |key: &str, problem: &str| value(&section.name, key, problem);
        let (ip, port) = ("ip_address", "port_number");
        let ip = self
            .value(section, ip)?
            .parse()
            .map_err(|_| refuse(ip, "is not an IPv4 address such as 127.0.0.1"))?;
        let port = self
            .value(section, port)?
            .parse()
            .map_err(|_| refuse(port, "is not a port number between 0 and 65535"))?;
        Ok(SocketAddrV4::new(ip, port))
    }
}

impl Section {
    /// The values of the keys 0, 1, ... `count` - 1, which must be all the keys, in any order.
    fn numbered(&self, count: u16) -> Result<Vec<&str>, Error> {
        let refuse = |key: &str, problem: &str| Err(value(&self.name, key, problem));
        let mut values: BTreeMap<u16, &str> = BTreeMap::new();
        for (key, text) in &self.keys {
            let number = key.parse().ok().filter(|number: &u16| number.to_string() == *key);
            match (number, text) {
                (None, _) => return refuse(key, "is no chunk's number"),
                (Some(number), _) if number >= count => {
                    return refuse(key, &format!("is too many: chunks_count is {count}"));
                }
                (_, None) => return refuse(key, "has no value"),
                (Some(number), Some(text)) => values.insert(number, text),
            };
        }
        if let Some(missing) = (0..count).find(|number| !values.contains_key(number)) {
            let problem = format!("is missing: chunks_count is {count}");
            return refuse(&missing.to_string(), &problem);
        }
        Ok(values.into_values().collect())
    }
}

/// Refuses a section or key that is there twice, as Python does; the crate would take the
/// last one.
fn refuse_repeated(text: &str) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let mut section = "";
    let mut key_indent = None;
    for line in text.lines() {
        let bare = line.trim();
        let indent = line.len() - line.trim_start().len();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = bare.strip_prefix('[') {
            section = header.rsplit_once(']').map_or(header, |(name, _)| name.trim());
            key_indent = None;
            if !seen.insert((section, String::new())) {
                return Err(Error::TwoSections(section.to_owned()));
            }
            continue;
        }
        // A line that stands further right continues the value before it.
        if key_indent.is_some_and(|key_indent| indent > key_indent) {
            continue;
        }
        key_indent = Some(indent);
        let key = bare.split(['=', ':']).next().unwrap_or(bare).trim();
        if !seen.insert((section, key.to_lowercase())) {
            return Err(value(section, key, "is there twice"));
        }
    }
    Ok(())
}

fn value(section: &str, key: impl ToString, problem: impl ToString) -> Error {
    let (key, problem) = (key.to_string(), problem.to_string());
    Error::Value { section: section.to_owned(), key, problem }
}

/// `%` begins an interpolation for Python, unless it is doubled.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

/// A value that is read back as it was written.
fn expressible(value: &str) -> String {
    // Python strips more than Unicode's spaces.
    let is_space = |letter: char| letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter);
    let middle = value.trim_start_matches(is_space);
    let before = value.len() - middle.len();
    let middle = middle.trim_end_matches(is_space);
    let after = value[before + middle.len()..].chars().count();
    let before = value[..before].chars().count();
    "_".repeat(before) + &middle.replace(['\n', '\r'], "_") + &"_".repeat(after)
}
