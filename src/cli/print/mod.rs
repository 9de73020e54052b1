//! Screens as text: snapshots in, lines of at most the given columns out. Nothing here
//! prints or asks; what strangers wrote is escaped here.

mod dht;
mod info;
mod link;
mod lists;
mod many;
mod metalink;
mod net;
mod news;
mod outside;
mod peers;
mod reach;
mod shared;
mod status;
mod web;

pub use dht::{
    announced_words, dht_json, dht_reach, dht_screen, dht_words, swarm_line, swarm_words,
};
pub use info::{InfoJson, facts_line, info_screen, saving_line};
pub use link::{LinkJson, link_screen};
pub use lists::{contents_screen, files_lacking, files_of, files_screen, path_in, trackers_screen};
pub use many::{Row, glance_of, list_screen, sum_line};
pub use metalink::{metalink_json, metalink_screen};
pub use net::{blocklist_words, net_lines};
use news::company_words;
pub use news::{news_json, news_line, progress_json, progress_line};
pub use outside::{outside_event, outside_lines, outside_row, outside_trouble, router_lines};
pub use peers::{peers_screen, seekers_screen, without_address};
pub use reach::out_of_reach;
pub use shared::{shared_json, shared_screen};
pub use status::{
    Around, average_down, bar, checking_words, glance, row, status_screen, tracker_words,
};
pub use web::{source_trouble, web_screen};

use unicode_width::UnicodeWidthStr as _;

use crate::base::meter::time_left;
use crate::base::units;
use crate::torrent::without_passkey;

/// More slips than these make another word, however long it is.
const SLIPS_MAX: usize = 3;

/// Why a check does not begin.
pub const WAITING: &str = "waiting: another check reads this disk";

/// How far a check or a new torrent is: `checking 61.2 %   479.2 of 783.0 MiB   1.2 GiB/s   1s
/// left`.
pub fn pace_words(what: &str, (done, total): (u64, u64), rate_bytes_per_s: u64) -> String {
    let mut words = format!(
        "{what} {}   {}   {}",
        per_cent(done as f64 / total.max(1) as f64),
        size_of_size(done, total),
        units::rate(rate_bytes_per_s),
    );
    if let Some(left) = time_left(total.saturating_sub(done), rate_bytes_per_s) {
        words += &format!("   {} left", units::duration(left));
    }
    words
}

/// The known word most like `word`: one that begins so, or differs by a slip in every three
/// letters at most, capitals or not.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let letters = word.chars().count();
    let scored = known.into_iter().filter_map(|known| {
        let other = known.to_lowercase();
        let slips = match letters >= 2 && other.starts_with(&word) {
            true => 0,
            false => strsim::damerau_levenshtein(&word, &other),
        };
        let likeness = strsim::jaro_winkler(&word, &other);
        (slips <= (letters / 3).min(SLIPS_MAX)).then_some((slips, likeness, known))
    });
    let best = scored.min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    best.map(|(_, _, known)| known)
}

/// A text in which URLs show no passkeys.
pub fn hide_keys(text: &str) -> String {
    let hide = |word: &str| {
        let Some(at) = word.find("://") else { return word.to_owned() };
        let begin = word[..at].trim_end_matches(|it: char| it.is_ascii_alphanumeric()).len();
        let end = word.trim_end_matches([':', ',', ';', ')', '.']).len().max(begin);
        format!("{}{}{}", &word[..begin], without_passkey(&word[begin..end]), &word[end..])
    };
    text.split(' ').map(hide).collect::<Vec<_>>().join(" ")
}

/// Breaks a line at spaces where it would be longer than `columns`, at wide gaps first; what
/// follows begins with `indent` spaces. A word that is longer stays whole. The text must be
/// escaped before.
pub fn wrap(text: &str, columns: usize, indent: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let body = text.trim_start_matches(' ');
    let begin = text.len() - body.len();
    let mut lines = Lines { text: " ".repeat(begin), used: begin, columns, indent };
    // Words without a gap in their midst stay together where there is room for them.
    for (number, part) in body.split(GAP).enumerate() {
        let words = part.trim_start_matches(' ');
        let gap = if number == 0 { 0 } else { GAP.len() + part.len() - words.len() };
        if lines.has_room(gap, words) || indent + words.width() <= columns {
            lines.add(gap, words);
            continue;
        }
        for (number, word) in words.split(' ').enumerate() {
            lines.add(if number == 0 { gap } else { 1 }, word);
        }
    }
    lines.text
}

/// What stands between parts of a line that belong together.
const GAP: &str = "   ";

/// Lines that are filled one after the other.
struct Lines {
    text: String,
    /// Columns of the last one.
    used: usize,
    columns: usize,
    indent: usize,
}

impl Lines {
    fn has_room(&self, gap: usize, word: &str) -> bool {
        self.used + gap + word.width() <= self.columns
    }

    fn add(&mut self, gap: usize, word: &str) {
        // A new line that gives no more room is not begun.
        if self.has_room(gap, word) || self.used + gap <= self.indent || self.used == 0 {
            self.text.extend(std::iter::repeat_n(' ', gap));
            self.used += gap + word.width();
        } else {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', self.indent));
            self.used = self.indent + word.width();
        }
        self.text += word;
    }
}

/// `1 file`, `3 files`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A number with its thousands set apart: `821,035,008`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Two sizes with one unit where they share it: `479.2 of 783.0 MiB`.
pub fn size_of_size(part: u64, whole: u64) -> String {
    let (part, whole) = (units::size(part), units::size(whole));
    match (part.split_once(' '), whole.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// Per cent with one decimal, rounded down: 100.0 only when all is done.
pub fn per_cent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(821_035_008), "821,035,008");
        assert_eq!(grouped(999), "999");
        assert_eq!(size_of_size(502_477_619, 821_035_008), "479.2 of 783.0 MiB");
        assert_eq!(size_of_size(1000, 1 << 20), "1000 B of 1.0 MiB");
        assert_eq!(per_cent(0.9999), "99.9 %");
        assert_eq!(counted(1, "file"), "1 file");
    }

    #[test]
    fn a_pace_tells_rate_and_rest() {
        let bytes = (600 << 20, 800 << 20);
        let words = pace_words("hashing", bytes, 100 << 20);
        assert_eq!(words, "hashing 75.0 %   600.0 of 800.0 MiB   100.0 MiB/s   2s left");
        assert!(pace_words("hashing", bytes, 0).ends_with("   0 B/s"));
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("peeers", ["peers", "pause", "info"]), Some("peers"));
        assert_eq!(nearest("xyz", ["peers", "pause", "info"]), None);
        assert_eq!(nearest("nope", ["many", "page", "hang"]), None);
        assert_eq!(nearest("my", ["My album", "mine"]), Some("My album"));
        assert_eq!(nearest("debain-13", ["debian-12", "debian-13"]), Some("debian-13"));
        assert_eq!(nearest("", ["peers"]), None);
    }

    #[test]
    fn passkeys_in_texts_are_hidden() {
        let text = "http://t:1/k3y/announce: failed (http://t/a?k=k3y), http://t/announce";
        assert_eq!(hide_keys(text), "http://t:1/...: failed (http://t/...), http://t/announce");
        assert_eq!(hide_keys("no  url é:// x"), "no  url é:// x");
    }

    #[test]
    fn long_lines_break_at_spaces() {
        let text = "Speed      down 2.8 MiB/s   up 0 B/s";
        assert_eq!(wrap(text, 40, 11), text);
        assert_eq!(wrap(text, 30, 11), "Speed      down 2.8 MiB/s\n           up 0 B/s");
        assert_eq!(wrap("  a longword b", 6, 2), "  a\n  longword\n  b");
        assert_eq!(
            wrap("Peers      32 connected (21 seeds)", 25, 11),
            "Peers      32 connected\n           (21 seeds)"
        );
        assert_eq!(wrap("日本 語", 5, 0), "日本\n語");
    }
}
