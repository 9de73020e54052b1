//! A reader of the XML that routers send: small, flat, and to be believed in nothing. What it does
//! not know it skips; a document type, too much depth or too many bytes end it. Entities are never
//! resolved, but for the five of XML itself.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

/// The longest answer that is read, in bytes.
pub const XML_LEN_MAX: usize = 256 << 10;
/// Elements in elements; descriptions of honest routers are some ten deep.
const DEPTH_MAX: usize = 32;
/// Bytes of a text that are kept: the longest honest one is a URL.
const TEXT_LEN_MAX: usize = 2048;

/// Why it is not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It has more bytes than any honest one.
    #[error("its answer is longer than {XML_LEN_MAX} bytes")]
    TooLong,
    /// It is deeper than any honest one.
    #[error("its answer has elements more than {DEPTH_MAX} deep")]
    TooDeep,
    /// It declares a document type, by which a few bytes may mean gigabytes.
    #[error("its answer declares a document type")]
    Doctype,
    /// It is no XML.
    #[error("its answer is no XML")]
    Broken,
}

/// Reads a document, and shows each element when it ends: the names that it stands in, without
/// their prefixes, its own as the last; and its text.
///
/// # Errors
/// When it is no document that a router would send.
pub fn read(bytes: &[u8], mut show: impl FnMut(&[String], &str)) -> Result<(), Error> {
    if bytes.len() > XML_LEN_MAX {
        return Err(Error::TooLong);
    }
    // Whatever alphabet is meant, what matters is written in ASCII.
    let text = String::from_utf8_lossy(bytes);
    // Zeros behind the end, which some send, are no part of it.
    let mut reader = Reader::from_str(text.trim_matches(['\0', '\u{feff}', ' ', '\r', '\n', '\t']));
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<String> = Vec::new();
    let (mut texts, mut has_root): (Vec<String>, bool) = (Vec::new(), false);
    let add = |texts: &mut Vec<String>, more: &str| {
        if let Some(text) = texts.last_mut()
            && text.len() + more.len() <= TEXT_LEN_MAX
        {
            text.push_str(more);
        }
    };
    loop {
        match reader.read_event().map_err(|_| Error::Broken)? {
            Event::Start(start) => {
                if open.len() == DEPTH_MAX {
                    return Err(Error::TooDeep);
                }
                has_root = true;
                open.push(start.local_name().as_ref().to_owned());
                texts.push(String::new());
            }
            Event::End(_) => {
                let text = texts.pop().unwrap_or_default();
                show(&open, text.trim());
                open.pop();
            }
            Event::Text(text) => add(&mut texts, &text),
            Event::CData(text) => add(&mut texts, &text),
            Event::GeneralRef(name) => {
                let letter = name.resolve_char_ref().ok().flatten().map(String::from);
                let known = letter.or_else(|| resolve_predefined_entity(&name).map(str::to_owned));
                add(&mut texts, &known.unwrap_or_default());
            }
            Event::DocType(_) => return Err(Error::Doctype),
            Event::Eof => break,
            _ => {}
        }
    }
    if has_root && open.is_empty() { Ok(()) } else { Err(Error::Broken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        read(text.as_bytes(), |path, text| found.push(format!("{}={text}", path.join("/"))))?;
        Ok(found)
    }

    #[test]
    fn elements_are_shown_as_they_end() {
        let text = "<?xml version=\"1.0\"?>\r\n<s:a xmlns:s='u'><b> x &amp; \
                    &#65;<![CDATA[<y>]]></b>\
                    <c/></s:a>\0\0";
        assert_eq!(shown(text).unwrap(), ["a/b=x & A<y>", "a/c=", "a="]);
    }

    #[test]
    fn bombs_and_scraps_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"xxxxxxxxxx\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>";
        assert_eq!(shown(bomb), Err(Error::Doctype));
        assert_eq!(shown("<a>&c;</a>").unwrap(), ["a="], "an entity that nobody declared");
        assert_eq!(shown(&"<a>".repeat(33)), Err(Error::TooDeep));
        assert_eq!(shown(&("<a>".repeat(32) + &"</a>".repeat(32))).unwrap().len(), 32);
        for scrap in ["", "hello", "<a><b></a>", "<a>", "</a>", "{\"a\":1}"] {
            assert_eq!(shown(scrap), Err(Error::Broken), "{scrap}");
        }
        assert_eq!(shown(&format!("<a>{}</a>", "x".repeat(300_000))), Err(Error::TooLong));
        let long = format!("<a>{}&amp;b</a>", "x".repeat(3000));
        assert_eq!(shown(&long).unwrap(), ["a=&b"], "a text that is no URL");
    }
}
