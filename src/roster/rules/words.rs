//! What rules say, and why they match or not, in words for people. Names in them are those of
//! users and strangers, and not escaped.

use std::fmt::Display;
use std::time::Duration;

use crate::base::units::{duration, rate, size};

use super::book::Book;
use super::hours::Wall;
use super::rule::{Facts, Key, Queue, Rule, Span, Then, When};

/// What becomes of a rule for a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It matches, and what it says holds, at least in part.
    Fires,
    /// It matches, and later rules say otherwise of all that it says.
    Overruled,
    /// It does not match.
    Misses,
}

impl Fate {
    /// Does it match?
    pub fn matches(self) -> bool {
        self != Self::Misses
    }
}

/// A rule and a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What the rule is called.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Where it matches, why; otherwise the conditions that do not hold.
    pub because: Vec<String>,
    /// What it says.
    pub says: Vec<String>,
    /// What of that does not hold, since a later rule says otherwise.
    pub overruled: Vec<String>,
}

impl Book {
    /// What would become of each rule for a torrent with these facts.
    pub fn verdicts(&self, facts: &Facts, wall: Wall) -> Vec<Verdict> {
        let is_matching = |at: usize| self.rules[at].when.all_hold(&Key::ALL, facts, wall);
        self.judged(facts, wall, is_matching)
    }

    /// The same, of those that match by what was seen.
    pub(super) fn judged(
        &self,
        facts: &Facts,
        wall: Wall,
        is_matching: impl Fn(usize) -> bool,
    ) -> Vec<Verdict> {
        let judge = |(at, rule): (usize, &Rule)| {
            let matches = is_matching(at);
            let held = Key::ALL.into_iter().filter_map(|key| {
                let holds = rule.when.holds(key, facts, wall)?;
                Some((holds, reason(key, &rule.when, facts, wall, holds)))
            });
            let because = held.filter(|(holds, _)| *holds == matches).map(|(_, words)| words);
            let later = self.numbered().skip(at + 1);
            let later: Vec<&Then> =
                later.filter(|(at, _)| is_matching(*at)).map(|(_, it)| &it.then).collect();
            let (mut says, mut overruled) = (Vec::new(), Vec::new());
            for (is_said, words) in sayings(&rule.then) {
                if matches && later.iter().any(|then| is_said(then)) {
                    overruled.push(words.clone());
                }
                says.push(words);
            }
            let fate = match matches {
                false => Fate::Misses,
                true if says.len() == overruled.len() => Fate::Overruled,
                true => Fate::Fires,
            };
            let name = rule.name.clone();
            Verdict { name, fate, because: because.collect(), says, overruled }
        };
        self.numbered().map(judge).collect()
    }
}

/// What a rule asks of a torrent, one line a condition; none when it is about all.
pub fn conditions(when: &When) -> Vec<String> {
    Key::ALL.into_iter().filter_map(|key| wanted(key, when)).collect()
}

/// What a rule says, one line each.
pub fn effects(then: &Then) -> Vec<String> {
    sayings(then).into_iter().map(|(_, words)| words).collect()
}

/// Does a rule say something of the same, too?
type SaysToo = fn(&Then) -> bool;

/// What a rule says in words, each with how others that say something of it are known. Labels are
/// added up: nobody says otherwise.
fn sayings(then: &Then) -> Vec<(SaysToo, String)> {
    let mut all: Vec<(SaysToo, String)> = Vec::new();
    let limit = |limit: Option<u64>| limit.map_or("off".to_owned(), rate);
    if let Some(down) = then.download_limit {
        all.push((|it| it.download_limit.is_some(), format!("download limit {}", limit(down))));
    }
    if let Some(up) = then.upload_limit {
        all.push((|it| it.upload_limit.is_some(), format!("upload limit {}", limit(up))));
    }
    if let Some(ratio) = then.seed_ratio {
        all.push((|it| it.seed_ratio.is_some(), format!("seeded enough at ratio {ratio:.2}")));
    }
    if let Some(time) = then.seed_time {
        let words = format!("seeded enough after {}", duration(time));
        all.push((|it| it.seed_time.is_some(), words));
    }
    if let Some(queue) = then.queue {
        let place = if queue == Queue::First { "first" } else { "last" };
        all.push((|it| it.queue.is_some(), format!("{place} in the queue")));
    }
    if let Some(stop) = then.stop {
        let words = if stop { "stopped" } else { "not stopped" };
        all.push((|it| it.stop.is_some(), words.to_owned()));
    }
    all.extend(
        then.labels
            .iter()
            .map(|label| -> (SaysToo, String) { (|_| false, format!("label {label}")) }),
    );
    all
}

/// What a condition asks; none when there is none of this kind.
fn wanted(key: Key, when: &When) -> Option<String> {
    let age = |s| duration(Duration::from_secs(s));
    let any = |name: &str, all: &[String]| {
        (!all.is_empty()).then(|| format!("{name} {}", all.join(" or ")))
    };
    match key {
        Key::Tracker => any("tracker on", &when.trackers),
        Key::Label => any("label", &when.labels),
        Key::Private => when.private.map(|it| if it { "private" } else { "public" }.to_owned()),
        Key::Size => span("size", &when.size, size),
        Key::Age => span("age", &when.age, age),
        Key::Ratio => span("ratio", &when.ratio, two_digits),
        Key::Seeds => span("seeds", &when.seeds, |it| it.to_string()),
        Key::Free => span("free space", &when.free, size),
        Key::Hours => when.hours.map(|hours| format!("time {hours}")),
    }
}

fn two_digits(ratio: f64) -> String {
    format!("{ratio:.2}")
}

fn span<T: Copy, W: Display>(name: &str, span: &Span<T>, words: impl Fn(T) -> W) -> Option<String> {
    match (span.from, span.below) {
        (None, None) => None,
        (Some(from), None) => Some(format!("{name} at least {}", words(from))),
        (None, Some(below)) => Some(format!("{name} below {}", words(below))),
        (Some(from), Some(below)) => {
            Some(format!("{name} at least {} and below {}", words(from), words(below)))
        }
    }
}

/// Why a condition holds or not.
fn reason(key: Key, when: &When, facts: &Facts, wall: Wall, holds: bool) -> String {
    let found = match key {
        Key::Tracker if facts.trackers.is_empty() => "it has no tracker".to_owned(),
        Key::Tracker => format!("its trackers are on {}", listed(&facts.trackers)),
        Key::Label if facts.labels.is_empty() => "it has no label".to_owned(),
        Key::Label => format!("its labels are {}", listed(&facts.labels)),
        Key::Private => if facts.private { "it is private" } else { "it is public" }.to_owned(),
        Key::Size => format!("its size is {}", size(facts.size)),
        Key::Age => format!("its age is {}", duration(Duration::from_secs(facts.age_s(wall)))),
        Key::Ratio => format!("its ratio is {}", two_digits(facts.ratio)),
        Key::Seeds => format!("it has {} seeds", facts.seeds),
        Key::Free => match facts.free {
            Some(free) => format!("{} are free", size(free)),
            None => "free space is not known".to_owned(),
        },
        Key::Hours => format!("it is {wall}"),
    };
    let wanted = wanted(key, when).unwrap_or_default();
    match holds {
        true => format!("{found} ({wanted})"),
        false => format!("{found}, not {wanted}"),
    }
}

/// The first few, and how many more.
fn listed(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
