//! The reader of metalinks: events of XML, one after the other, and a place among known elements.
//! What is unknown is skipped, what makes no sense is left out.

use std::collections::HashSet;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::base::layout::Layout;
use crate::base::url::{self, URL_LEN_MAX};
use crate::metainfo::clean_name;

use super::{Error, FileHash, HashKind, Listed, MetaUrl, Metalink, Mirror, Pieces};

/// The longest metalink that is read, in bytes.
pub const METALINK_LEN_MAX: usize = 4 << 20;
/// More files than this are refused.
pub const FILES_MAX: usize = 10_000;
/// Mirrors kept of a file: the longest honest lists have some three hundred.
pub const MIRRORS_MAX: usize = 512;

/// Elements in elements; those of the format are five deep.
const DEPTH_MAX: usize = 16;
/// Attributes looked at of an element, which has three at most.
const ATTRIBUTES_MAX: usize = 32;
/// .torrent files and magnet links kept of a file.
const TORRENTS_MAX: usize = 8;
/// Bytes of a path, and its elements.
const NAME_LEN_MAX: usize = 4096;
const NAME_DEPTH_MAX: usize = 100;
/// Bytes of a text that is only shown.
const SHOWN_LEN_MAX: usize = 256;

/// The vocabulary of RFC 5854.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:metalink";
/// That of version 3.
const NAMESPACE_3: &str = "http://www.metalinker.org/";
/// The last one, for those that have none (RFC 5854 §4.2.16.1).
const PRIORITY_MAX: u32 = 999_999;

/// Where a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Element {
    Root,
    File,
    Size,
    Hash,
    Pieces,
    PieceHash,
    Url,
    MetaUrl,
    Generator,
    Origin,
    Published,
    /// Unknown, with all that is in it.
    Other,
}

impl Element {
    /// The element called `name` of our vocabulary, within this one.
    fn inner(self, name: &str) -> Self {
        match (self, name) {
            (Self::Root, "file") => Self::File,
            (Self::Root, "generator") => Self::Generator,
            (Self::Root, "origin") => Self::Origin,
            (Self::Root, "published") => Self::Published,
            (Self::File, "size") => Self::Size,
            (Self::File, "hash") => Self::Hash,
            (Self::File, "pieces") => Self::Pieces,
            (Self::Pieces, "hash") => Self::PieceHash,
            (Self::File, "url") => Self::Url,
            (Self::File, "metaurl") => Self::MetaUrl,
            _ => Self::Other,
        }
    }
}

/// Reads a metalink of version 4.
///
/// # Errors
/// When it is too large, no metalink, or lists nothing that could be had.
pub fn read(bytes: &[u8]) -> Result<Metalink, Error> {
    if bytes.len() > METALINK_LEN_MAX {
        return Err(Error::TooLarge { len: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to() as u64;
        Error::Xml { offset, problem: "text that is not UTF-8".to_owned() }
    })?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().expand_empty_elements = true;
    let mut reading = Reading::default();
    loop {
        let event = reader.read_resolved_event();
        let (namespace, event) = match event {
            Ok((ResolveResult::Bound(Namespace(name)), event)) => (Some(name.to_owned()), event),
            Ok((_, event)) => (None, event),
            Err(error) => {
                // It may repeat names from the file, which may be any letters, and long.
                let problem = error.to_string();
                let problem = problem.escape_debug().take(SHOWN_LEN_MAX).collect();
                return Err(Error::Xml { offset: reader.error_position(), problem });
            }
        };
        match event {
            Event::Start(start) => reading.on_start(namespace.as_deref(), &start)?,
            Event::End(_) => reading.on_end()?,
            Event::Text(text) => reading.on_text(&text),
            Event::CData(text) => reading.on_text(&text),
            Event::GeneralRef(name) => {
                let letter = name.resolve_char_ref().ok().flatten().map(String::from);
                let known = letter.or_else(|| resolve_predefined_entity(&name).map(str::to_owned));
                reading.on_text(&known.unwrap_or_default());
            }
            Event::DocType(_) => return Err(Error::Doctype),
            Event::Eof => break,
            _ => {}
        }
    }
    if !reading.open.is_empty() || !reading.has_root {
        let problem = "the text ends early".to_owned();
        return Err(Error::Xml { offset: bytes.len() as u64, problem });
    }
    match reading.found.files.is_empty() {
        true => Err(Error::NoFiles),
        false => Ok(reading.found),
    }
}

#[derive(Default)]
struct Reading {
    found: Metalink,
    names: HashSet<String>,
    /// The elements that are open.
    open: Vec<Element>,
    has_root: bool,
    /// What is known of the file that is open.
    file: Option<Draft>,
    /// Attributes of the innermost element that has a text, and the text.
    attributes: Attributes,
    text: String,
}

/// A file while it is read.
#[derive(Default)]
struct Draft {
    listed: Listed,
    /// The list of pieces that is open.
    pieces: Option<(HashKind, u32, Vec<u8>)>,
    /// Those that ended.
    lists: Vec<(HashKind, u32, Vec<u8>)>,
}

/// The attributes that mean something, on whatever element.
#[derive(Default)]
struct Attributes {
    name: Option<String>,
    kind: Option<String>,
    length: Option<String>,
    priority: Option<String>,
    location: Option<String>,
    media_type: Option<String>,
}

impl Attributes {
    fn of(start: &BytesStart<'_>) -> Self {
        let mut found = Self::default();
        // Nobody looks whether one is there twice, which takes long when there are many.
        let mut attributes = start.attributes();
        attributes.with_checks(false);
        for attribute in attributes.take(ATTRIBUTES_MAX).filter_map(Result::ok) {
            let field = match attribute.key.as_ref() {
                "name" => &mut found.name,
                "type" => &mut found.kind,
                "length" => &mut found.length,
                "priority" => &mut found.priority,
                "location" => &mut found.location,
                "mediatype" => &mut found.media_type,
                _ => continue,
            };
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok();
            *field = field.take().or(value.map(|value| value.into_owned()));
        }
        found
    }

    fn priority(&self) -> u32 {
        let said = self.priority.as_deref().and_then(|text| text.trim().parse().ok());
        said.filter(|priority| (1..=PRIORITY_MAX).contains(priority)).unwrap_or(PRIORITY_MAX)
    }
}

impl Reading {
    fn on_start(&mut self, namespace: Option<&str>, start: &BytesStart<'_>) -> Result<(), Error> {
        if self.open.len() == DEPTH_MAX {
            return Err(Error::Depth(DEPTH_MAX));
        }
        let local = start.local_name();
        let name: &str = local.as_ref();
        let element = match self.open.last() {
            None if namespace == Some(NAMESPACE_3) => return Err(Error::Version3),
            None if self.has_root || namespace != Some(NAMESPACE) || name != "metalink" => {
                return Err(Error::Other(name.chars().take(60).collect()));
            }
            None => Element::Root,
            Some(_) if namespace != Some(NAMESPACE) => Element::Other,
            Some(within) => within.inner(name),
        };
        self.has_root = true;
        self.open.push(element);
        self.text.clear();
        match element {
            Element::File => {
                if self.found.files.len() + self.found.left_out == FILES_MAX {
                    return Err(Error::TooManyFiles);
                }
                let name = Attributes::of(start).name.as_deref().and_then(clean_path);
                let listed = Listed { name: name.unwrap_or_default(), ..Listed::default() };
                self.file = Some(Draft { listed, ..Draft::default() });
            }
            Element::Pieces => {
                let attributes = Attributes::of(start);
                let kind = attributes.kind.as_deref().and_then(HashKind::named);
                let len = attributes.length.as_deref().and_then(|text| text.trim().parse().ok());
                if let Some(file) = &mut self.file {
                    file.pieces = kind.zip(len).map(|(kind, len)| (kind, len, Vec::new()));
                }
            }
            Element::Root | Element::Other => {}
            _ => self.attributes = Attributes::of(start),
        }
        Ok(())
    }

    /// Text within an element that has one; only so much as can mean anything.
    fn on_text(&mut self, text: &str) {
        let is_kept = !matches!(
            self.open.last(),
            None | Some(Element::Root | Element::File | Element::Pieces | Element::Other)
        );
        if is_kept && self.text.len() + text.len() <= 2 * URL_LEN_MAX {
            self.text.push_str(text);
        }
    }

    fn on_end(&mut self) -> Result<(), Error> {
        let Some(element) = self.open.pop() else { return Ok(()) };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let shown = || Some(text.chars().take(SHOWN_LEN_MAX).collect::<String>());
        match (element, &mut self.file) {
            (Element::Generator, _) => self.found.generator = shown(),
            (Element::Origin, _) => self.found.origin = shown(),
            (Element::Published, _) => self.found.published = shown(),
            (Element::File, file) => {
                if let Some(draft) = file.take() {
                    self.on_file(draft);
                }
            }
            (element, Some(file)) => file.take(element, &self.attributes, text),
            _ => {}
        }
        Ok(())
    }

    fn on_file(&mut self, draft: Draft) {
        let file = draft.finish();
        if file.name.is_empty() || !self.names.insert(file.name.clone()) {
            self.found.left_out += 1;
        } else {
            self.found.files.push(file);
        }
    }
}

impl Draft {
    /// Takes an element of the file that ended.
    fn take(&mut self, element: Element, attributes: &Attributes, text: &str) {
        match element {
            Element::Size => {
                let size = text.parse().ok().filter(|size| i64::try_from(*size).is_ok());
                self.listed.size = self.listed.size.or(size);
            }
            Element::Hash => {
                let hash = attributes.kind.as_deref().and_then(HashKind::named);
                let hash =
                    hash.and_then(|kind| Some(FileHash { kind, bytes: hash_bytes(kind, text)? }));
                let known = self.listed.hash.take();
                // The first of the strongest.
                self.listed.hash = match (known, hash) {
                    (Some(known), Some(hash)) if hash.kind > known.kind => Some(hash),
                    (known, hash) => known.or(hash),
                };
            }
            Element::PieceHash => {
                let hash = self.pieces.as_ref().and_then(|(kind, ..)| hash_bytes(*kind, text));
                match (&mut self.pieces, hash) {
                    (Some((_, _, hashes)), Some(hash)) => hashes.extend(hash),
                    // Those behind a broken one would be of other pieces.
                    (pieces, _) => *pieces = None,
                }
            }
            Element::Pieces => self.lists.extend(self.pieces.take()),
            Element::Url => self.take_url(attributes, text),
            Element::MetaUrl => {
                let kind = attributes.media_type.as_deref().unwrap_or_default().trim();
                let url = url::written(text.as_bytes());
                if let Some(url) = url.filter(|_| kind.eq_ignore_ascii_case("torrent")) {
                    let name = attributes.name.clone();
                    let torrent = MetaUrl { url, priority: attributes.priority(), name };
                    keep(&mut self.listed.torrents, torrent, TORRENTS_MAX);
                }
            }
            _ => {}
        }
    }

    fn take_url(&mut self, attributes: &Attributes, text: &str) {
        let is_magnet = text.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("magnet:?"));
        if is_magnet {
            keep(&mut self.listed.magnets, text.to_owned(), TORRENTS_MAX);
        } else if let Some(url) = url::written(text.as_bytes()) {
            let location = attributes.location.as_deref().map(str::to_ascii_lowercase);
            let location = location.filter(|it| it.len() == 2 && it.is_ascii());
            let mirror = Mirror { url, priority: attributes.priority(), location };
            self.listed.mirrors.push(mirror);
        }
    }

    fn finish(self) -> Listed {
        let mut listed = self.listed;
        listed.mirrors.sort_by_key(|mirror| mirror.priority);
        let mut seen = HashSet::new();
        listed.mirrors.retain(|mirror| seen.insert(mirror.url.clone()));
        listed.mirrors.truncate(MIRRORS_MAX);
        listed.torrents.sort_by_key(|torrent| torrent.priority);
        let size = listed.size;
        let fitting = self.lists.into_iter().filter(|(kind, piece_len, hashes)| {
            let layout = size.and_then(|size| Layout::new(size, *piece_len));
            let count = layout.map(|layout| layout.piece_count() as usize);
            count.is_some_and(|count| count > 0 && count * kind.hash_len() == hashes.len())
        });
        // Those of SHA-1 are the ones that a torrent can have.
        let best = fitting.min_by_key(|(kind, ..)| *kind);
        listed.pieces = best.map(|(kind, piece_len, hashes)| Pieces { kind, piece_len, hashes });
        listed
    }
}

/// Keeps what is new, as long as there are fewer than `most`.
fn keep<T: PartialEq>(kept: &mut Vec<T>, item: T, most: usize) {
    if kept.len() < most && !kept.contains(&item) {
        kept.push(item);
    }
}

fn hash_bytes(kind: HashKind, text: &str) -> Option<Vec<u8>> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    (bytes.len() == kind.hash_len()).then_some(bytes)
}

/// The place of a file as it can be created; none when it leads upwards or nowhere (RFC 5854
/// §4.1.2.1 forbids that), or is too long.
fn clean_path(name: &str) -> Option<String> {
    let is_odd = |element: &str| matches!(element, "" | "." | "..");
    let elements = name.split('/');
    if name.len() > NAME_LEN_MAX
        || elements.clone().any(is_odd)
        || elements.clone().count() > NAME_DEPTH_MAX
    {
        return None;
    }
    let cleaned: Vec<String> = elements.map(|element| clean_name(element.as_bytes())).collect();
    Some(cleaned.join("/"))
}
