//! Which episode a title is of: `Name S01E02 ...`, `Name 1x02`, `Name 2026-11-30`. Pure.

use regex_lite::Regex;

/// Bytes of a name that count.
const NAME_LEN_MAX: usize = 200;

/// Finds episodes in titles.
#[derive(Debug)]
pub struct Episodes {
    /// Each finds the two or three numbers of an episode.
    ways: Vec<Regex>,
}

impl Episodes {
    /// The ways that titles are written in.
    pub fn new() -> Self {
        let ways = [
            r"(?i)\bs(\d{1,4})[ ._-]?e(\d{1,4})",
            r"(?i)\b(\d{1,2})x(\d{2,3})\b",
            r"\b((?:19|20)\d\d)[-._ ](0[1-9]|1[0-2])[-._ ](0[1-9]|[12]\d|3[01])\b",
        ];
        Self { ways: ways.iter().filter_map(|way| Regex::new(way).ok()).collect() }
    }

    /// What all titles of one episode have in common; none of one that names no episode.
    pub fn of(&self, title: &str) -> Option<String> {
        let found = self.ways.iter().find_map(|way| way.captures(title))?;
        let begin = found.get(0)?.start();
        let numbers = found.iter().skip(1).flatten().filter_map(|it| it.as_str().parse().ok());
        let numbers: Vec<u32> = numbers.collect();
        let name = named(title.get(..begin)?);
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        Some(format!("{name} {}", numbers.join("x")))
    }
}

/// A name as it is compared: letters and digits in lower case, without a group in brackets before.
fn named(text: &str) -> String {
    let text = text.trim_start();
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |it| it.1);
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    let words = words.filter(|word| !word.is_empty()).map(str::to_lowercase);
    let mut name = words.collect::<Vec<_>>().join(" ");
    let end = (0..=NAME_LEN_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.truncate(end.unwrap_or(0));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_one_however_it_is_written() {
        let episodes = Episodes::new();
        let of = |title| episodes.of(title).unwrap_or_else(|| "none".to_owned());
        for title in [
            "Some.Show.S01E02.1080p.WEB.x264-GRP",
            "Some Show - s01e02 - The Name",
            "[GRP] Some_Show S1 E2 (1920x1080)",
            "some show 1x02",
        ] {
            assert_eq!(of(title), "some show 1x2", "{title}");
        }
        assert_eq!(of("News 2026.11.30 720p"), "news 2026x11x30");
        assert_eq!(of("News 2026-11-30"), of("NEWS.2026 11 30"));
        assert_ne!(of("Other Show S01E02"), of("Some Show S01E02"));
        for title in ["debian-13.1.0-amd64", "Film 2026 1920x1080", "x264", "", "S01 complete"] {
            assert_eq!(of(title), "none", "{title}");
        }
    }
}
