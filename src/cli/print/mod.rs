//! Screens as text: snapshots in, lines of at most the given columns out. Nothing here
//! prints or asks; what strangers wrote is escaped here.

mod info;
mod lists;
mod many;
mod news;
mod peers;
mod reach;
mod shared;
mod status;

pub use info::{InfoJson, facts_line, info_screen, saving_line};
pub use lists::{files_lacking, files_of, files_screen, path_in, trackers_screen};
pub use many::{Row, list_screen, prompt_of, sum_line};
pub use news::{news_json, news_line, progress_json, progress_line};
pub use peers::peers_screen;
pub use reach::out_of_reach;
pub use shared::{shared_json, shared_screen};
pub use status::{status_screen, tracker_words};

use crate::base::meter::time_left;
use crate::base::units;

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

/// The known word most like `word`, when one is like it at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.75).map(|(_, known)| known)
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
fn size_of_size(part: u64, whole: u64) -> String {
    let (part, whole) = (units::size(part), units::size(whole));
    match (part.split_once(' '), whole.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// Per cent with one decimal, rounded down: 100.0 only when all is done.
fn per_cent(share: f64) -> String {
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
    }
}
