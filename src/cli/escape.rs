//! Text of strangers made safe to print: names, paths, client ids, tracker messages. Control
//! characters, bidi overrides and invisible characters become visible escapes, so that they
//! cannot move the cursor, recolour the terminal or turn a name around. In JSON they become
//! `\uXXXX`, which is the same text to whoever reads it. Not for file names on disk.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text in one line with everything dangerous written as `\n`, `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if letter.is_ascii_control() => {
                safe.push_str(&format!("\\x{:02x}", u32::from(letter)));
            }
            _ if is_deceptive(letter) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            _ => safe.push(letter),
        }
    }
    safe
}

/// Escapes a text and cuts it to `columns`, with an ellipsis for what is missing.
pub fn shorten(text: &str, columns: usize) -> String {
    let safe = escape(text);
    if safe.width() <= columns {
        return safe;
    }
    let mut short = String::new();
    let mut used = 0;
    for letter in safe.chars() {
        let width = letter.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        short.push(letter);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// As [`shorten`], but what is missing is missing in the midst: paths differ at their ends.
pub fn shorten_path(text: &str, columns: usize) -> String {
    let safe = escape(text);
    if safe.width() <= columns {
        return safe;
    }
    // With the ellipsis.
    let head = shorten(&safe, columns.div_ceil(3));
    let (mut begin, mut room) = (safe.len(), columns.saturating_sub(head.width()));
    for (at, letter) in safe.char_indices().rev() {
        let Some(left) = room.checked_sub(letter.width().unwrap_or(0)) else { break };
        (begin, room) = (at, left);
    }
    head + &safe[begin..]
}

/// As [`shorten`], and filled with spaces to exactly `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = shorten(text, columns);
    let rest = columns.saturating_sub(fitted.width());
    fitted.extend(std::iter::repeat_n(' ', rest));
    fitted
}

/// Writes a value as one line of JSON in which nothing is dangerous to look at.
///
/// # Errors
/// When it cannot be written.
pub fn write_json(to: impl io::Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(to, Plain);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// A value as one line of JSON in which nothing is dangerous to look at.
pub fn json(value: &impl Serialize) -> String {
    let mut line = Vec::new();
    // Writing to memory cannot fail, and our keys are strings.
    let _ = write_json(&mut line, value);
    String::from_utf8_lossy(&line).into_owned()
}

/// JSON without characters that only computers see.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_hidden = |letter: char| letter == '\u{7f}' || is_deceptive(letter);
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hidden) {
            to.write_all(&rest.as_bytes()[..at])?;
            let mut letters = rest[at..].chars();
            let mut units = [0; 2];
            for unit in letters.next().unwrap_or_default().encode_utf16(&mut units) {
                write!(to, "\\u{unit:04x}")?;
            }
            rest = letters.as_str();
        }
        to.write_all(rest.as_bytes())
    }
}

/// Characters that are not seen, or change how others are seen.
fn is_deceptive(letter: char) -> bool {
    matches!(letter,
        '\u{80}'..='\u{9f}'           // C1 controls: some terminals obey them
        | '\u{ad}'                    // soft hyphen
        | '\u{61c}'                   // Arabic letter mark
        | '\u{115f}' | '\u{1160}'     // Hangul fillers
        | '\u{180e}'                  // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'     // zero-width characters and direction marks
        | '\u{2028}'..='\u{202e}'     // line separators, bidi embeddings and overrides
        | '\u{2060}'..='\u{206f}'     // word joiner, bidi isolates, deprecated formats
        | '\u{3164}'                  // Hangul filler
        | '\u{feff}'                  // zero-width no-break space
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'     // interlinear annotations
        | '\u{e0000}'..='\u{e0fff}'   // tags and more variation selectors
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_or_hides_gets_through() {
        assert_eq!(escape("a\x1b[2Jb\r\nc\x07\x7f"), "a\\x1b[2Jb\\r\\nc\\x07\\x7f");
        assert_eq!(escape("txt.\u{202e}exe"), "txt.\\u{202e}exe");
        assert_eq!(escape("\u{9b}31m\u{200b}\u{2066}\u{e0041}"), {
            "\\u{9b}31m\\u{200b}\\u{2066}\\u{e0041}"
        });
        assert_eq!(escape("Ürümqi 日本 🎬"), "Ürümqi 日本 🎬");
    }

    #[test]
    fn json_hides_nothing_and_stays_the_same_text() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{1b}\"日本 🎬\n";
        let line = json(&serde_json::json!({ "name": text }));
        let hidden = r"a\u009b31m\u007f\u202e\udb40\udc41\u001b";
        assert_eq!(line, format!("{{\"name\":\"{hidden}\\\"日本 🎬\\n\"}}"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], text);
        assert_eq!(json(&"\u{7f}"), r#""\u007f""#);
    }

    #[test]
    fn long_names_end_in_an_ellipsis_and_wide_letters_count_twice() {
        assert_eq!(shorten("debian.iso", 10), "debian.iso");
        assert_eq!(shorten("debian.iso", 9), "debian.i…");
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(shorten("abc", 0), "");
        assert_eq!(shorten_path("album/cd1/01.flac", 17), "album/cd1/01.flac");
        assert_eq!(shorten_path("album/cd1/01.flac", 13), "albu…/01.flac");
        assert_eq!(shorten_path("日本語日本語", 7), "日…本語");
        assert_eq!(shorten_path("abc", 0), "");
    }
}
