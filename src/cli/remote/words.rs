//! Words: what is typed behind `limit` and `order`, and how states and what happened are
//! told. Pure.

use std::time::{Duration, UNIX_EPOCH};

use crate::api::{Happened, Patch, State, What};
use crate::cli::choice::{ORDERS, order_of};
use crate::cli::escape::escape;
use crate::cli::values::{self, Rate};

/// The state for people.
pub(super) fn state_words(state: State) -> String {
    match state {
        State::Seeking => "seeking metadata".to_owned(),
        state => state.name().replace('_', " "),
    }
}

/// The limits that were typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Limited {
    pub down: Option<Rate>,
    pub up: Option<Rate>,
}

impl Limited {
    /// Does it set any?
    pub fn is_any(self) -> bool {
        self.down.is_some() || self.up.is_some()
    }
}

/// Splits `3 down 500K up off` into the torrents and their limits.
///
/// # Errors
/// In words for people.
pub(super) fn limits(words: &[String]) -> Result<(&[String], Limited), String> {
    let is_way = |word: &String| word == "down" || word == "up";
    let at = words.iter().position(is_way).unwrap_or(words.len());
    let (torrents, said) = words.split_at(at);
    let mut limited = Limited::default();
    for pair in said.chunks(2) {
        let [way, rate] = pair else {
            return Err(format!("{}: behind it comes a rate, as 2MiB, or off", escape(&pair[0])));
        };
        let rate = values::rate(rate).map_err(|why| format!("{}: {why}", escape(rate)))?;
        match way.as_str() {
            "down" => limited.down = Some(rate),
            "up" => limited.up = Some(rate),
            other => return Err(format!("{}: write down RATE or up RATE", escape(other))),
        }
    }
    if !torrents.is_empty() && !limited.is_any() {
        return Err("of torrents limits are set, as limit 3 down 500K; show tells them".to_owned());
    }
    Ok((torrents, limited))
}

/// A limit as the API takes it: 0 lifts it.
pub(super) fn bytes_of(rate: Rate) -> u64 {
    rate.0.unwrap_or(0)
}

/// Splits `3 sequential ends-first` into the torrents and the order of their pieces.
///
/// # Errors
/// In words for people.
pub(super) fn ordered(words: &[String]) -> Result<(&[String], Patch), String> {
    let is_order = |word: &&String| ORDERS.contains(&word.as_str());
    let count = words.iter().rev().take_while(is_order).count();
    let (torrents, orders) = words.split_at(words.len() - count);
    let (sequential, ends_first) = order_of(orders)?;
    let (sequential, ends_first) = (Some(sequential), Some(ends_first));
    Ok((torrents, Patch { sequential, ends_first, ..Patch::default() }))
}

/// When something happened: `2026-11-30T10:00:00Z`.
pub(super) fn time_words(at: u64) -> String {
    // What no clock says is not shown as a time.
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at.min(253_402_300_799)));
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string()).unwrap_or_default()
}

/// What happened, in a line; `name` is what the torrent is called.
pub(super) fn event_line(happened: &Happened, name: Option<&str>) -> String {
    let name = match (&happened.what, name) {
        (What::Removed { name }, _) => format!(" {}", escape(name)),
        (_, Some(name)) => format!(" {}", escape(name)),
        (_, None) => String::new(),
    };
    let what = match &happened.what {
        What::Added => "added".to_owned(),
        What::Removed { .. } => "removed".to_owned(),
        What::State { to, .. } => state_words(*to),
        What::Completed => "complete".to_owned(),
        What::Trouble { why } => format!("trouble: {}", escape(why)),
        What::Recovered => "recovered".to_owned(),
        What::Moved { dir } => format!("moved to {}", escape(dir)),
        What::Renamed { name } => format!("renamed to {}", escape(name)),
        What::Metadata { name } => format!("its metadata is known: it is {}", escape(name)),
    };
    format!("{}  {}{name}: {what}", time_words(happened.at), happened.id)
}

/// That some events were missed.
pub(super) fn gap_line(missed: Option<u64>) -> String {
    match missed {
        Some(1) => "(1 event was missed)".to_owned(),
        Some(missed) => format!("({missed} events were missed)"),
        None => "(the daemon was started again: what happened meanwhile is not known)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn states_are_spelled_as_the_api_does() {
        for state in State::ALL {
            assert_eq!(serde_json::json!(state), state.name());
        }
        assert_eq!(state_words(State::DiskTrouble), "disk trouble");
    }

    #[test]
    fn limits_are_of_all_or_of_those_that_stand_before() {
        let rate = |bytes| Some(Rate(bytes));
        let read = |text: &str| {
            let words = split(text);
            limits(&words).map(|(torrents, limited)| (torrents.join(" "), limited))
        };
        let none = Limited::default();
        assert_eq!(read(""), Ok((String::new(), none)));
        let down = Limited { down: rate(Some(2 << 20)), ..none };
        assert_eq!(read("down 2MiB"), Ok((String::new(), down)));
        let both = Limited { down: rate(Some(500_000)), up: rate(None) };
        assert_eq!(read("3 4 down 500K up off"), Ok(("3 4".to_owned(), both)));
        assert_eq!(both.up.map(bytes_of), Some(0));
        for (bad, why) in [
            ("3", "of torrents limits are set"),
            ("down", "down: behind it comes a rate"),
            ("3 down fast", "fast: not a rate"),
            ("down 1K 3 4", "3: write down RATE or up RATE"),
        ] {
            assert!(read(bad).unwrap_err().starts_with(why), "{bad}: {:?}", read(bad));
        }
    }

    #[test]
    fn the_order_of_pieces_stands_behind_the_torrents() {
        let read = |text: &str| {
            let words = split(text);
            let read = ordered(&words);
            read.map(|(torrents, it)| (torrents.join(" "), it.sequential, it.ends_first))
        };
        let ok = |torrents: &str, sequential, ends_first| {
            Ok((torrents.to_owned(), Some(sequential), Some(ends_first)))
        };
        assert_eq!(read("3 4 sequential"), ok("3 4", true, false));
        assert_eq!(read("3 rarest"), ok("3", false, false));
        assert_eq!(read("ends-first"), ok("", false, true));
        assert_eq!(read("all sequential ends-first"), ok("all", true, true));
        assert!(read("3").unwrap_err().starts_with("say how pieces are to come"));
        assert!(read("3 rarest sequential").unwrap_err().contains("not both"));
    }

    #[test]
    fn what_happened_is_a_line() {
        let line =
            |what, name| event_line(&Happened { number: 1, at: 1_700_000_000, id: 3, what }, name);
        let at = "2023-11-14T22:13:20Z  3";
        assert_eq!(line(What::Added, Some("a\nb")), format!("{at} a\\nb: added"));
        assert_eq!(line(What::Completed, None), format!("{at}: complete"));
        let removed = What::Removed { name: "x".into() };
        assert_eq!(line(removed, None), format!("{at} x: removed"));
        let state = What::State { from: State::Downloading, to: State::DiskTrouble };
        assert_eq!(line(state, Some("x")), format!("{at} x: disk trouble"));
        let state = What::State { from: State::Queued, to: State::Seeking };
        assert_eq!(line(state, Some("x")), format!("{at} x: seeking metadata"));
        let metadata = What::Metadata { name: "y\x1b".into() };
        let known = "its metadata is known: it is y\\x1b";
        assert_eq!(line(metadata, Some("x")), format!("{at} x: {known}"));
        let trouble = What::Trouble { why: "full\x1b".into() };
        assert_eq!(line(trouble, Some("x")), format!("{at} x: trouble: full\\x1b"));
        assert_eq!(gap_line(Some(7)), "(7 events were missed)");
        assert!(time_words(u64::MAX).starts_with("9999-"));
    }
}
