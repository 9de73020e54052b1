//! Which torrents are meant: by number, by hash or its first digits, by a part of the name, or by
//! what they have in common. Pure.

use crate::api::{Key, Torrent};
use crate::base::url::{host_of, is_on};
use crate::cli::escape::escape;

/// The first digits of a hash that are enough to name a torrent.
const PREFIX_LEN_MIN: usize = 6;
/// Torrents that are named where several fit.
const NAMED: usize = 4;

/// A torrent that is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Meant {
    /// What it is asked by.
    pub key: Key,
    /// What it is called on a screen.
    pub name: String,
}

impl Meant {
    /// One of a list.
    pub fn of(torrent: &Torrent) -> Self {
        Self { key: Key::Id(torrent.id), name: format!("{} {}", torrent.id, escape(&torrent.name)) }
    }
}

/// Does a torrent fit a label and a state, where they are said?
pub(super) fn fits(torrent: &Torrent, label: Option<&str>, state: Option<&str>) -> bool {
    label.is_none_or(|label| torrent.labels.iter().any(|it| it == label))
        && state.is_none_or(|state| torrent.state.name() == state)
}

/// Is the tracker of this URL on the host, or on one of its domain?
pub(super) fn is_on_host(url: &str, host: &str) -> bool {
    is_on(host_of(url), host)
}

/// The torrents that the words mean, each once, in their order.
///
/// # Errors
/// In words for people: a word means none, or several.
pub(super) fn meant(torrents: &[Torrent], words: &[String]) -> Result<Vec<Meant>, String> {
    let mut all: Vec<Meant> = Vec::new();
    for word in words {
        for one in by_word(torrents, word)? {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    Ok(all)
}

fn by_word(torrents: &[Torrent], word: &str) -> Result<Vec<Meant>, String> {
    if word == "all" {
        return Ok(torrents.iter().map(Meant::of).collect());
    }
    if word.is_empty() {
        return Err(unknown(word));
    }
    // The digits of a number that no torrent has may still begin a hash, or be a whole name.
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let ranges = ranges(word);
    if let Some(ranges) = &ranges {
        let is_in = |id: u32| ranges.iter().any(|(first, last)| (*first..=*last).contains(&id));
        let fit: Vec<Meant> = torrents.iter().filter(|it| is_in(it.id)).map(Meant::of).collect();
        let lacking = ranges.iter().find(|(first, last)| {
            !torrents.iter().any(|torrent| (*first..=*last).contains(&torrent.id))
        });
        match lacking {
            None => return Ok(fit),
            Some(_) if is_number => {}
            Some((first, last)) if first == last => return Err(unknown(&first.to_string())),
            Some((first, last)) => return Err(unknown(&format!("{first}-{last}"))),
        }
    }
    let small = word.to_lowercase();
    let is_hex = small.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && small.len() >= PREFIX_LEN_MIN {
        let begins = |hash: &Option<String>| hash.as_ref().is_some_and(|it| it.starts_with(&small));
        let fit = torrents.iter().filter(|it| begins(&it.hash) || begins(&it.hash_v2));
        if let Some(one) = only(word, fit)? {
            return Ok(vec![one]);
        }
        // What is sought by its hash alone has no number yet, and is in no list.
        if let Ok(key @ Key::Hash(_)) = small.parse() {
            return Ok(vec![Meant { key, name: small }]);
        }
    }
    let exact = torrents.iter().filter(|torrent| torrent.name == word);
    if let Some(one) = only(word, exact)? {
        return Ok(vec![one]);
    }
    let part = torrents.iter().filter(|torrent| torrent.name.to_lowercase().contains(&small));
    // Whoever means number 3 does not mean debian-13.
    match only(word, part.filter(|_| !is_number))? {
        Some(one) => Ok(vec![one]),
        None => Err(unknown(word)),
    }
}

fn unknown(word: &str) -> String {
    format!("there is no torrent {} (driver remote list shows all)", escape(word))
}

/// The only one that fits, if any does.
///
/// # Errors
/// Several do.
fn only<'a>(word: &str, fit: impl Iterator<Item = &'a Torrent>) -> Result<Option<Meant>, String> {
    let fit: Vec<&Torrent> = fit.collect();
    match fit.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(Meant::of(one))),
        several => {
            let named = several.iter().take(NAMED).map(|torrent| Meant::of(torrent).name);
            let mut named: Vec<String> = named.collect();
            if several.len() > NAMED {
                named.push(format!("{} more", several.len() - NAMED));
            }
            Err(format!("\"{}\" could be {}", escape(word), named.join(" or ")))
        }
    }
}

/// `3`, `1-3`, `1,4-6`; none when it is something else.
fn ranges(word: &str) -> Option<Vec<(u32, u32)>> {
    let part = |part: &str| {
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let both = is_plain(first) && is_plain(last);
        let range: (u32, u32) = both.then(|| Some((first.parse().ok()?, last.parse().ok()?)))??;
        (range.0 <= range.1).then_some(range)
    };
    word.split(',').map(part).collect()
}

#[cfg(test)]
mod tests {
    use crate::api::State;
    use crate::cli::remote::sample::torrent;

    use super::*;

    fn some() -> Vec<Torrent> {
        let with = |id, name: &str, hash: &str| {
            let hash = Some(hash.to_owned() + &"0".repeat(40 - hash.len()));
            Torrent { hash, ..torrent(id, name) }
        };
        vec![
            with(1, "debian-12.iso", "abcdef11"),
            with(2, "Debian-13.iso", "abcdef22"),
            with(5, "album", "12345678"),
            with(7, "album", "77"),
            with(9, "evil\u{202e}name", "99"),
        ]
    }

    fn ids(word: &str) -> Result<Vec<String>, String> {
        let words: Vec<String> = word.split(' ').map(str::to_owned).collect();
        Ok(meant(&some(), &words)?.into_iter().map(|one| one.key.to_string()).collect())
    }

    #[test]
    fn torrents_are_named_in_every_way() {
        let found = |word: &str| ids(word).map(|ids| ids.join(" "));
        let ok = |ids: &str| Ok(ids.to_owned());
        assert_eq!(found("5"), ok("5"));
        assert_eq!(found("all"), ok("1 2 5 7 9"));
        assert_eq!(found("1-5"), ok("1 2 5"));
        assert_eq!(found("9,1-2"), ok("1 2 9"));
        assert_eq!(found("2 1 2 1-2"), ok("2 1"), "each once");
        assert_eq!(found("abcdef1"), ok("1"));
        assert_eq!(found("ABCDEF2"), ok("2"));
        assert_eq!(found("123456"), ok("5"), "no number, but the begin of a hash");
        assert_eq!(found("12.iso"), ok("1"));
        assert_eq!(found("DEBIAN-13"), ok("2"));
        let sought = "f".repeat(40);
        assert_eq!(found(&sought), ok(&sought), "it may be sought still");
    }

    #[test]
    fn what_means_none_or_several_is_told() {
        let why = |word: &str| ids(word).unwrap_err();
        let none =
            |word: &str| format!("there is no torrent {word} (driver remote list shows all)");
        for word in ["3", "3-4", "fedora", "12345", "ffffffff"] {
            assert_eq!(why(word), none(word));
        }
        assert_eq!(why("1,3"), none("3"));
        assert_eq!(why(""), none(""));
        assert_eq!(why("abcdef"), "\"abcdef\" could be 1 debian-12.iso or 2 Debian-13.iso");
        assert_eq!(why("album"), "\"album\" could be 5 album or 7 album");
        assert!(why("e").ends_with("or 9 evil\\u{202e}name"), "{}", why("e"));
        assert_eq!(why("5-1"), none("5-1"));
    }

    #[test]
    fn many_that_fit_are_counted() {
        let many: Vec<Torrent> = (1..8).map(|id| torrent(id, "x")).collect();
        let why = meant(&many, &["x".to_owned()]).unwrap_err();
        assert_eq!(why, "\"x\" could be 1 x or 2 x or 3 x or 4 x or 3 more");
    }

    #[test]
    fn filters_hold_together() {
        let mut one = torrent(1, "x");
        one.labels = vec!["linux".to_owned()];
        one.state = State::DiskTrouble;
        assert!(fits(&one, None, None) && fits(&one, Some("linux"), Some("disk_trouble")));
        assert!(!fits(&one, Some("linu"), None) && !fits(&one, Some("linux"), Some("seeding")));
    }

    #[test]
    fn trackers_are_known_by_their_hosts() {
        for url in [
            "http://tracker.example.org:6969/announce",
            "udp://Tracker.Example.org",
            "https://user:word@example.org/a?b",
        ] {
            assert!(is_on_host(url, "example.ORG"), "{url}");
        }
        for url in ["http://badexample.org/", "http://example.org.evil/", "udp://[::1]:5"] {
            assert!(!is_on_host(url, "example.org"), "{url}");
        }
        assert!(is_on_host("udp://[::1]:5", "::1"));
    }
}
