//! Reads a feed: RSS 2.0 and 1.0, Atom (RFC 4287), with what torrent sites add. Pure. Elements are
//! known by their names without prefixes, as sites mix these up. What is unknown is skipped;
//! entities of a document are not expanded. Not here: which items are wanted.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Items of a feed that are read; the rest is left out.
pub const ITEMS_MAX: usize = 1000;
/// Elements in elements.
const DEPTH_MAX: usize = 64;
/// Attributes looked at of an element.
const ATTRIBUTES_MAX: usize = 32;
/// Bytes of a text that are kept.
const TEXT_LEN_MAX: usize = 8192;
/// Bytes of a title: it is searched for all that its feed wants and does not want.
const TITLE_LEN_MAX: usize = 1024;
/// Links are left out that are longer: less than a text, so that none was cut.
const LINK_LEN_MAX: usize = 8000;
/// A length that an enclosure says of itself is that of its `.torrent` below this.
const CONTENT_LEN_MIN: u64 = 1 << 20;

/// An item.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Item {
    /// What it is known by: what the feed says, or its link.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where its torrent is to be had: a URL, a magnet link, or a hash in hex.
    pub link: String,
    /// Bytes of its files, where the feed says that.
    pub size: Option<u64>,
}

/// Why a feed is not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// It is no XML: where, and what is wrong.
    Xml(u64, String),
    /// It is XML of another kind.
    NoFeed,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Xml(at, why) => write!(f, "broken XML at byte {at}: {why}"),
            Self::NoFeed => f.write_str("it is no feed: neither RSS nor Atom"),
        }
    }
}

/// Reads the items that have a title and a link.
///
/// # Errors
/// It is no feed, or broken. Nothing of a broken one counts.
pub fn read(bytes: &[u8]) -> Result<Vec<Item>, Error> {
    // Old feeds are of one byte a letter.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => std::borrow::Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut reading = Reading::default();
    let broken = |at, why: &str| Error::Xml(at, why.escape_debug().take(200).collect());
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err(broken(reader.error_position(), &error.to_string())),
        };
        match event {
            Event::Start(start) => {
                if reading.open.len() == DEPTH_MAX {
                    return Err(broken(reader.buffer_position(), "elements are too deep"));
                }
                reading.on_start(&start);
            }
            Event::End(_) => reading.on_end(),
            Event::Text(text) => reading.on_text(&text),
            Event::CData(text) => reading.on_text(&text),
            Event::GeneralRef(name) => {
                let letter = name.resolve_char_ref().ok().flatten().map(String::from);
                let known = letter.or_else(|| resolve_predefined_entity(&name).map(str::to_owned));
                reading.on_text(&known.unwrap_or_default());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (reading.is_feed, reading.open.is_empty()) {
        (false, _) => Err(Error::NoFeed),
        (true, false) => Err(broken(bytes.len() as u64, "it ends early")),
        (true, true) => Ok(reading.items),
    }
}

/// How much a link is that of a torrent; lower ones come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Torrent,
    Magnet,
    Enclosure,
    Hash,
    Page,
}

#[derive(Default)]
struct Reading {
    items: Vec<Item>,
    is_feed: bool,
    /// Names of the elements that are open, without prefixes.
    open: Vec<String>,
    /// How deep the item is that is open.
    item_depth: Option<usize>,
    item: Item,
    links: Vec<(Rank, String)>,
    /// What an enclosure says that it has.
    enclosed: Option<u64>,
    /// The text of the element that is open.
    text: String,
}

impl Reading {
    fn on_start(&mut self, start: &BytesStart<'_>) {
        let name = local(start.name().into_inner());
        if self.open.is_empty() {
            self.is_feed = matches!(&*name, "rss" | "rdf" | "feed");
        }
        self.open.push(name.clone());
        self.text.clear();
        match (&*name, self.item_depth) {
            ("item" | "entry", None) if self.is_feed => {
                self.item_depth = Some(self.open.len());
                (self.item, self.enclosed) = (Item::default(), None);
                self.links.clear();
            }
            ("enclosure" | "content", Some(_)) => {
                let [url, kind, length] = attributes(start, ["url", "type", "length"]);
                self.enclosure(url, kind.as_deref(), length.as_deref());
            }
            ("link", Some(_)) => {
                let [url, kind, length, rel] = attributes(start, ["href", "type", "length", "rel"]);
                match rel.as_deref() {
                    Some("enclosure") => {
                        self.enclosure(url, kind.as_deref(), length.as_deref());
                    }
                    None | Some("alternate") => {
                        let is_torrent = kind.as_deref() == Some("application/x-bittorrent");
                        let rank = if is_torrent { Rank::Torrent } else { Rank::Page };
                        self.link(rank, url.unwrap_or_default());
                    }
                    Some(_) => {}
                }
            }
            // Torznab.
            ("attr", Some(_)) => {
                let [name, value] = attributes(start, ["name", "value"]);
                let value = value.unwrap_or_default();
                match name.as_deref() {
                    Some("magneturl") => self.link(Rank::Magnet, value),
                    Some("infohash") => self.hash(&value),
                    Some("size") => self.item.size = value.parse().ok(),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn enclosure(&mut self, url: Option<String>, kind: Option<&str>, length: Option<&str>) {
        let is_other = kind.is_some_and(|kind| {
            ["image/", "audio/", "video/", "text/"].iter().any(|begin| kind.starts_with(begin))
        });
        let Some(url) = url.filter(|_| !is_other) else { return };
        let is_torrent = kind == Some("application/x-bittorrent");
        self.link(if is_torrent { Rank::Torrent } else { Rank::Enclosure }, url);
        self.enclosed = length.and_then(|length| length.parse().ok());
    }

    fn link(&mut self, rank: Rank, link: String) {
        let link = link.trim();
        let begins =
            |begin: &str| link.get(..begin.len()).is_some_and(|it| it.eq_ignore_ascii_case(begin));
        let path = link.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let rank = match rank {
            _ if begins("magnet:?") => Rank::Magnet,
            _ if !begins("http://") && !begins("https://") => return,
            _ if path.ends_with(".torrent") => Rank::Torrent,
            Rank::Magnet => return,
            rank => rank,
        };
        // An item has a handful.
        if link.len() <= LINK_LEN_MAX && self.links.len() < ATTRIBUTES_MAX {
            self.links.push((rank, link.to_owned()));
        }
    }

    fn hash(&mut self, hash: &str) {
        let hash = hash.trim();
        let is_hash =
            matches!(hash.len(), 40 | 64) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash && self.links.len() < ATTRIBUTES_MAX {
            self.links.push((Rank::Hash, hash.to_ascii_lowercase()));
        }
    }

    fn on_text(&mut self, text: &str) {
        let room = TEXT_LEN_MAX.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        self.text.push_str(text.get(..end.unwrap_or(0)).unwrap_or_default());
    }

    fn on_end(&mut self) {
        let depth = self.open.len();
        let name = self.open.pop().unwrap_or_default();
        let text = std::mem::take(&mut self.text);
        match self.item_depth {
            Some(item) if item == depth => self.on_item(),
            Some(item) if item + 1 == depth => self.field(&name, text.trim()),
            // Inside of an element of a site's own.
            Some(_) if matches!(&*name, "magneturi" | "infohash" | "contentlength") => {
                self.field(&name, text.trim());
            }
            _ => {}
        }
    }

    fn field(&mut self, name: &str, text: &str) {
        match name {
            "title" if self.item.title.is_empty() => {
                text[..text.floor_char_boundary(TITLE_LEN_MAX)].clone_into(&mut self.item.title);
            }
            "guid" | "id" if self.item.id.is_empty() => text.clone_into(&mut self.item.id),
            "link" if !text.is_empty() => self.link(Rank::Page, text.to_owned()),
            "magneturi" => self.link(Rank::Magnet, text.to_owned()),
            "infohash" => self.hash(text),
            "contentlength" | "size" => self.item.size = text.parse().ok().or(self.item.size),
            _ => {}
        }
    }

    fn on_item(&mut self) {
        self.item_depth = None;
        let mut item = std::mem::take(&mut self.item);
        // The first of equals.
        let best = self.links.iter().min_by_key(|(rank, _)| *rank);
        let Some((_, link)) = best else { return };
        item.link.clone_from(link);
        if item.id.is_empty() {
            item.id.clone_from(link);
        }
        let enclosed = self.enclosed.filter(|len| *len >= CONTENT_LEN_MIN);
        item.size = item.size.filter(|size| *size > 0).or(enclosed);
        if !item.title.is_empty() && self.items.len() < ITEMS_MAX {
            self.items.push(item);
        }
    }
}

/// A name without its prefix, in lower case.
fn local(name: &str) -> String {
    let name = name.rsplit(':').next().unwrap_or_default();
    name.chars().take(64).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// These attributes of an element, by their names without prefixes.
fn attributes<const N: usize>(start: &BytesStart<'_>, names: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    for attribute in start.attributes().flatten().take(ATTRIBUTES_MAX) {
        let name = local(attribute.key.into_inner());
        let at = names.iter().position(|own| *own == name);
        if let Some(place) = at.and_then(|at| found.get_mut(at)) {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok();
            *place = value.map(std::borrow::Cow::into_owned);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(inside: &str) -> Vec<Item> {
        read(
            format!("<rss version='2.0'><channel><title>t</title>{inside}</channel></rss>")
                .as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn fuzz_feeds() {
        crate::fuzz::run("feed", |bytes| {
            let Ok(items) = read(bytes) else { return };
            assert!(items.len() <= ITEMS_MAX);
            for Item { id, title, link, .. } in &items {
                assert!(!title.is_empty() && title.len() <= TITLE_LEN_MAX, "{title:?}");
                assert!(!id.is_empty() && id.len() <= TEXT_LEN_MAX, "{id:?}");
                // One that is added leads where links of torrents do, and to nothing here.
                let begins = ["http://", "https://", "magnet:?"];
                let is_hash = link.bytes().all(|byte| byte.is_ascii_hexdigit());
                let is_link = begins.iter().any(|begin| link.to_lowercase().starts_with(begin));
                assert!((is_link || is_hash) && link.len() <= LINK_LEN_MAX, "{link:?}");
            }
        });
    }

    #[test]
    fn rss_says_it_with_enclosures_links_and_names_of_sites() {
        let hash = "AB".repeat(20);
        let all = items(&format!(
            "<item><title>a &amp; b &#x41;</title><guid isPermaLink='false'>1</guid>\
             <link>http://x/page</link><enclosure url='http://x/a.torrent?k=1&amp;l=2' \
             length='734003200' type='application/x-bittorrent'/></item>\
             <item><title><![CDATA[c <b>]]></title><link>http://x/get/3</link></item>\
             <item><title>d</title><link>http://x/page</link><enclosure url='http://x/d.jpg' \
             type='image/jpeg' length='9'/><torrent:magnetURI>magnet:?xt=1</torrent:magnetURI>\
             <torrent:contentLength>5</torrent:contentLength></item>\
             <item><title>e</title><torznab:attr name='size' value='7'/>\
             <torznab:attr name='infohash' value='{hash}'/><link>http://x/page</link></item>\
             <item><title>no link</title></item><item><link>http://x/no-title</link></item>\
             <item><title>f</title><link>ftp://x/f.torrent</link></item>"
        ));
        let told =
            |item: &Item| (item.id.clone(), item.title.clone(), item.link.clone(), item.size);
        let item = |id: &str, title: &str, link: &str, size| {
            (id.to_owned(), title.to_owned(), link.to_owned(), size)
        };
        let lower = hash.to_ascii_lowercase();
        assert_eq!(
            all.iter().map(told).collect::<Vec<_>>(),
            [
                item("1", "a & b A", "http://x/a.torrent?k=1&l=2", Some(734_003_200)),
                item("http://x/get/3", "c <b>", "http://x/get/3", None),
                item("magnet:?xt=1", "d", "magnet:?xt=1", Some(5)),
                item(&lower, "e", &lower, Some(7)),
            ]
        );
    }

    #[test]
    fn atom_says_it_with_links() {
        let text = "<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'><id>f</id>\
                    <entry><id>urn:1</id><title type='html'>one</title>\
                    <link href='http://x/page'/><link rel='self' href='http://x/a.torrent'/>\
                    <link rel='enclosure' href='http://x/one' length='300' \
                    type='application/x-bittorrent'/><content><div><title>no</title></div></content>\
                    </entry></feed>";
        let all = read(text.as_bytes()).unwrap();
        let item = Item {
            id: "urn:1".to_owned(),
            title: "one".to_owned(),
            link: "http://x/one".to_owned(),
            size: None,
        };
        assert_eq!(all, [item], "300 bytes are those of its .torrent");
    }

    #[test]
    fn what_is_broken_or_something_else_is_refused_as_a_whole() {
        let whole = "<rss><channel><item><title>a</title><link>http://x/</link></item>";
        for text in [whole, &format!("{whole}</rss>"), &"<rss>".repeat(DEPTH_MAX + 1), "<rss", "<"]
        {
            assert!(matches!(read(text.as_bytes()), Err(Error::Xml(..))), "{text}");
        }
        for text in ["", "<html><body><item/></body></html>", "hello"] {
            assert_eq!(read(text.as_bytes()), Err(Error::NoFeed), "{text}");
        }
        let bomb = "<!DOCTYPE rss [<!ENTITY a 'aaaa'>]><rss><channel><item><title>x&a;</title>\
                    <link>http://x/</link></item></channel></rss>";
        assert_eq!(read(bomb.as_bytes()).unwrap()[0].title, "x");
        let latin = b"<rss><channel><item><title>\xfc</title><link>http://x/</link></item>\
                      </channel></rss>";
        assert_eq!(read(latin).unwrap()[0].title, "ü");
    }

    #[test]
    fn a_title_ends_at_its_limit_between_letters() {
        let long = format!("x{}", "ü".repeat(3000));
        let feed = format!(
            "<rss><channel><item><title>{long}</title><link>http://x/</link></item></channel></rss>"
        );
        let title = read(feed.as_bytes()).unwrap().remove(0).title;
        assert_eq!(title, long[..TITLE_LEN_MAX - 1]);
    }

    #[test]
    fn whatever_bytes_come_nothing_panics() {
        let text = "<rss><channel><item><title>a &amp; b</title><torznab:attr name='size' value='7'/>\
                    <enclosure url='http://x/ü.torrent' length='9'/><link><![CDATA[http://x/]]></link>\
                    </item><entry><link rel='enclosure' href='magnet:?x'/></entry></channel></rss>";
        for at in 0..text.len() {
            let _ = read(&text.as_bytes()[..at]);
            for other in [0, b'<', b'>', b'&', b'/', b'\'', b':', b']', 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = other;
                let found = read(&bytes).unwrap_or_default();
                assert!(found.iter().all(|item| !item.title.is_empty() && !item.link.is_empty()));
            }
        }
    }

    #[test]
    fn neither_items_nor_texts_are_without_limit() {
        let item = "<item><title>a</title><link>http://x/</link></item>";
        assert_eq!(items(&item.repeat(ITEMS_MAX + 7)).len(), ITEMS_MAX);
        let long = "ü".repeat(TEXT_LEN_MAX);
        let all = items(&format!(
            "<item><title>a</title><guid>{long}</guid><link>http://x/</link></item>"
        ));
        assert_eq!(all[0].id.len(), TEXT_LEN_MAX);
        assert_eq!(
            items(&format!("<item><title>a</title><link>http://x/{long}</link></item>")),
            []
        );
    }
}
