//! Rules, schedules and the room to stay free, as the config file has them: `[[rule]]`,
//! `[[schedule]]` and `keep-free`. Pure.

use std::time::Duration;

use toml::{Table, Value};

use crate::cli::values;
use crate::roster::rules::{
    Book, Caps, DAY_MINUTES, DAYS, Hours, Queue, RULES_MAX, Rule, Schedule, Span, Then, When,
};
use crate::session::LABEL_LEN_MAX;

/// Keys that are no long flags.
pub(super) const KEYS: [&str; 3] = ["rule", "schedule", "keep-free"];

/// What the file says of that.
///
/// # Errors
/// In one line: which rule or schedule, which key, and what is to be done.
pub(super) fn book(table: &Table) -> Result<Book, String> {
    let keep_free = match table.get("keep-free") {
        Some(value) => {
            Some(size(value).map_err(|why| format!("keep-free: {why}"))?).filter(|it| *it > 0)
        }
        None => None,
    };
    let rules = each(table, "rule", rule)?;
    if rules.len() > RULES_MAX {
        return Err(format!("{} rules are more than {RULES_MAX}", rules.len()));
    }
    Ok(Book { rules, schedules: each(table, "schedule", schedule)?, keep_free })
}

/// Reads all tables of this name.
fn each<T>(
    table: &Table,
    name: &str,
    read: impl Fn(&Table) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let tables = match table.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(tables)) => tables,
        Some(_) => return Err(format!("{name}: write [[{name}]] above its keys")),
    };
    let read = |(at, one): (usize, &Value)| {
        let called = one.get("name").and_then(Value::as_str);
        let called = called.map(|called| format!(" ({called})")).unwrap_or_default();
        let one = one.as_table().ok_or_else(|| "no table".to_owned());
        one.and_then(&read).map_err(|why| format!("{name} {}{called}: {why}", at + 1))
    };
    tables.iter().enumerate().map(read).collect()
}

fn rule(table: &Table) -> Result<Rule, String> {
    let mut rule = Rule { name: "unnamed".to_owned(), ..Rule::default() };
    let mut clock = Clock::default();
    for (key, value) in table {
        let known = match key.as_str() {
            "name" => text(value).map(|name| rule.name = name),
            key => match clock.take(key, value) {
                Some(taken) => taken,
                None => condition(&mut rule.when, key, value)
                    .or_else(|| effect(&mut rule.then, key, value))
                    .unwrap_or_else(|| Err("there is no such key".to_owned())),
            },
        };
        known.map_err(|why| format!("{key}: {why}"))?;
    }
    rule.when.hours = clock.hours()?;
    let When { size, age, ratio, seeds, free, .. } = &rule.when;
    let are_empty = [is_empty(size), is_empty(age), is_empty(seeds), is_empty(free)];
    let names = ["size", "age", "seeds", "free", "ratio"];
    let empty = names.iter().zip(are_empty.into_iter().chain([is_empty(ratio)]));
    if let Some((name, _)) = empty.into_iter().find(|(_, is_empty)| *is_empty) {
        return Err(format!("min-{name} and below-{name}: nothing lies between them"));
    }
    match rule.then == Then::default() {
        true => Err("it does nothing: add download-limit, stop or another effect".to_owned()),
        false => Ok(rule),
    }
}

fn is_empty<T: PartialOrd>(span: &Span<T>) -> bool {
    matches!((&span.from, &span.below), (Some(from), Some(below)) if from >= below)
}

/// Takes in a condition; none when the key is another one.
fn condition(when: &mut When, key: &str, value: &Value) -> Option<Result<(), String>> {
    let (bound, name) = match key.split_once('-') {
        Some((bound @ ("min" | "below"), name)) => (bound, name),
        _ => ("", key),
    };
    fn put<T>(span: &mut Span<T>, bound: &str, value: T) {
        match bound {
            "min" => span.from = Some(value),
            _ => span.below = Some(value),
        }
    }
    Some(match (bound, name) {
        ("", "tracker") => texts(value).map(|hosts| when.trackers = hosts),
        ("", "label") => texts(value).map(|labels| when.labels = labels),
        ("", "private") => switch(value).map(|private| when.private = Some(private)),
        ("", _) => return None,
        (_, "size") => size(value).map(|it| put(&mut when.size, bound, it)),
        (_, "age") => seconds(value).map(|it| put(&mut when.age, bound, it)),
        (_, "ratio") => ratio(value).map(|it| put(&mut when.ratio, bound, it)),
        (_, "seeds") => count(value).map(|it| put(&mut when.seeds, bound, it)),
        (_, "free") => size(value).map(|it| put(&mut when.free, bound, it)),
        _ => return None,
    })
}

/// The same of an effect.
fn effect(then: &mut Then, key: &str, value: &Value) -> Option<Result<(), String>> {
    Some(match key {
        "download-limit" => rate(value).map(|limit| then.download_limit = Some(limit)),
        "upload-limit" => rate(value).map(|limit| then.upload_limit = Some(limit)),
        "seed-ratio" => ratio(value).map(|ratio| then.seed_ratio = Some(ratio)),
        "seed-time" => {
            let time = written(value).and_then(|text| values::duration(&text));
            time.map(|time| then.seed_time = Some(time))
        }
        "queue" => queue(value).map(|queue| then.queue = Some(queue)),
        "stop" => switch(value).map(|stop| then.stop = Some(stop)),
        "give-label" => labels(value).map(|labels| then.labels = labels),
        _ => return None,
    })
}

fn queue(value: &Value) -> Result<Queue, String> {
    match value.as_str() {
        Some("first") => Ok(Queue::First),
        Some("last") => Ok(Queue::Last),
        _ => Err("write first or last".to_owned()),
    }
}

pub(super) fn labels(value: &Value) -> Result<Vec<String>, String> {
    let labels = texts(value)?;
    match labels.iter().all(|label| label.len() <= LABEL_LEN_MAX) {
        true => Ok(labels),
        false => Err(format!("a label has {LABEL_LEN_MAX} bytes at most")),
    }
}

fn schedule(table: &Table) -> Result<Schedule, String> {
    let (mut clock, mut caps) = (Clock::default(), Caps::default());
    let mut limits = None;
    for (key, value) in table {
        let known = match key.as_str() {
            "name" => text(value).map(drop),
            "download-limit" => rate(value).map(|down| {
                caps.down = Some(down);
                limits = Some(caps);
            }),
            "upload-limit" => rate(value).map(|up| {
                caps.up = Some(up);
                limits = Some(caps);
            }),
            key => clock.take(key, value).unwrap_or_else(|| Err("there is no such key".to_owned())),
        };
        known.map_err(|why| format!("{key}: {why}"))?;
    }
    let hours = clock.hours()?.ok_or("say when: days, from, to")?;
    Ok(Schedule { hours, limits })
}

/// Days and hours, as far as they are said.
#[derive(Default)]
struct Clock {
    days: Option<u8>,
    from: Option<u16>,
    to: Option<u16>,
}

impl Clock {
    /// None when the key is another one.
    fn take(&mut self, key: &str, value: &Value) -> Option<Result<(), String>> {
        Some(match key {
            "days" => days(value).map(|days| self.days = Some(days)),
            "from" => minute(value).map(|from| self.from = Some(from)),
            "to" => minute(value).map(|to| self.to = Some(to)),
            _ => return None,
        })
    }

    fn hours(&self) -> Result<Option<Hours>, String> {
        let Self { days, from, to } = *self;
        if (days, from, to) == (None, None, None) {
            return Ok(None);
        }
        if from.is_some() && from == to {
            return Err("from and to: they are the same; leave both out for whole days".to_owned());
        }
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(DAY_MINUTES));
        if from == DAY_MINUTES || to == 0 {
            return Err("from and to: a day is from 00:00 to 24:00".to_owned());
        }
        Ok(Some(Hours { days: days.unwrap_or(Hours::EVERY_DAY), from, to }))
    }
}

/// `mon`, `mon-fri`, `fri-mon`, several of them.
fn days(value: &Value) -> Result<u8, String> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim().to_ascii_lowercase());
    let mut days = 0;
    for word in texts(value)?.iter().flat_map(|text| text.split(',')) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let ends = day(first).zip(day(last));
        let (mut at, last) =
            ends.ok_or_else(|| format!("{word:?} is no day; write mon-fri,sun"))?;
        days |= 1 << at;
        while at != last {
            at = (at + 1) % DAYS.len();
            days |= 1 << at;
        }
    }
    Ok(days)
}

/// `08:00`; a day ends at `24:00`.
fn minute(value: &Value) -> Result<u16, String> {
    let wrong = || "not a time of day; write 08:00".to_owned();
    let (hour, minute) = value.as_str().and_then(|text| text.split_once(':')).ok_or_else(wrong)?;
    let digits = |text: &str| {
        let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_plain)
    };
    let both = digits(hour).zip(digits(minute)).filter(|(_, minute)| *minute < 60);
    let minute = both.map(|(hour, minute)| hour * 60 + minute);
    minute.filter(|minute| *minute <= DAY_MINUTES).ok_or_else(wrong)
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "write it in quotes".to_owned())
}

/// One text or several.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    let all = match value {
        Value::Array(values) => values.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        one => vec![text(one)?],
    };
    match all.is_empty() || all.iter().any(|text| text.trim().is_empty()) {
        true => Err("it is empty".to_owned()),
        false => Ok(all),
    }
}

pub(super) fn switch(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "write true or false".to_owned())
}

/// What may be a number or stand in quotes.
fn written(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err("not a number".to_owned()),
    }
}

pub(super) fn size(value: &Value) -> Result<u64, String> {
    values::size(&written(value)?)
}

fn rate(value: &Value) -> Result<Option<u64>, String> {
    values::rate(&written(value)?).map(|rate| rate.0)
}

fn ratio(value: &Value) -> Result<f64, String> {
    values::ratio(&written(value)?)
}

pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    values::duration(&written(value)?)
}

fn seconds(value: &Value) -> Result<u64, String> {
    duration(value).map(|time| time.as_secs())
}

fn count(value: &Value) -> Result<u64, String> {
    written(value)?.parse().map_err(|_| "not a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Book, String> {
        book(&text.parse().unwrap())
    }

    #[test]
    fn a_rule_says_all_that_there_is() {
        let text = r#"
            keep-free = "5 GiB"
            [[rule]]
            name = "nights"
            tracker = "example.org"
            label = ["linux", "iso"]
            private = false
            min-size = "1 GiB"
            below-size = 2_000_000_000
            min-age = "30d"
            below-ratio = 1.5
            min-seeds = 3
            below-free = "20 GiB"
            days = ["fri-sun", "mon"]
            from = "22:00"
            to = "6:30"
            download-limit = "2MiB"
            upload-limit = 0
            seed-ratio = 2
            seed-time = "2h"
            queue = "last"
            stop = true
            give-label = "night"
            [[schedule]]
            days = "mon-fri"
            from = "08:00"
            download-limit = "500K"
            [[schedule]]
            to = "06:00"
        "#;
        let nights = Rule {
            name: "nights".to_owned(),
            when: When {
                trackers: vec!["example.org".to_owned()],
                labels: vec!["linux".to_owned(), "iso".to_owned()],
                private: Some(false),
                size: Span { from: Some(1 << 30), below: Some(2_000_000_000) },
                age: Span { from: Some(30 * 86_400), below: None },
                ratio: Span { from: None, below: Some(1.5) },
                seeds: Span { from: Some(3), below: None },
                free: Span { from: None, below: Some(20 << 30) },
                hours: Some(Hours { days: 0b111_0001, from: 22 * 60, to: 6 * 60 + 30 }),
            },
            then: Then {
                download_limit: Some(Some(2 << 20)),
                upload_limit: Some(None),
                seed_ratio: Some(2.0),
                seed_time: Some(Duration::from_secs(7200)),
                queue: Some(Queue::Last),
                stop: Some(true),
                labels: vec!["night".to_owned()],
            },
        };
        let work = Hours { days: 0x1f, from: 8 * 60, to: DAY_MINUTES };
        let limits = Some(Caps { down: Some(Some(500_000)), up: None });
        let night = Hours { days: Hours::EVERY_DAY, from: 0, to: 6 * 60 };
        let schedules =
            vec![Schedule { hours: work, limits }, Schedule { hours: night, limits: None }];
        let book = Book { rules: vec![nights], schedules, keep_free: Some(5 << 30) };
        assert_eq!(read(text), Ok(book));
        assert_eq!(read("port = 7"), Ok(Book::default()));
        assert_eq!(read("keep-free = 0").unwrap().keep_free, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_rule_and_key() {
        let rule = |line: &str| read(&format!("[[rule]]\nstop = true\n[[rule]]\n{line}")).err();
        for (line, why) in [
            ("lable = 'x'", "rule 2: lable: there is no such key"),
            ("name = 'x'\nstop = 'yes'", "rule 2 (x): stop: write true or false"),
            ("label = []", "rule 2: label: it is empty"),
            ("min-size = 'big'", "rule 2: min-size: not a size; write 500K or 2MiB"),
            ("min-stop = true", "rule 2: min-stop: there is no such key"),
            ("max-size = 3", "rule 2: max-size: there is no such key"),
            ("queue = 'top'", "rule 2: queue: write first or last"),
            ("from = '25:00'", "rule 2: from: not a time of day; write 08:00"),
            ("days = 'noday'", "rule 2: days: \"noday\" is no day; write mon-fri,sun"),
            ("give-label = ''", "rule 2: give-label: it is empty"),
            (
                "download-limit = -1",
                "rule 2: download-limit: not a rate; write 500K, 2MiB, or 0 for none",
            ),
            ("min-seeds = 1.5", "rule 2: min-seeds: not a whole number"),
            (
                "min-age = 9\nbelow-age = 9\nstop = true",
                "rule 2: min-age and below-age: nothing lies between them",
            ),
            (
                "from = '1:00'\nto = '1:00'\nstop = true",
                "rule 2: from and to: they are the same; leave both out for whole days",
            ),
            ("label = 'x'", "rule 2: it does nothing: add download-limit, stop or another effect"),
        ] {
            assert_eq!(rule(line).as_deref(), Some(why), "{line}");
        }
        for (text, why) in [
            ("keep-free = 'much'", "keep-free: not a size; write 500K or 2MiB"),
            ("rule = 3", "rule: write [[rule]] above its keys"),
            ("[[schedule]]\nupload-limit = 5", "schedule 1: say when: days, from, to"),
            ("[[schedule]]\nlabel = 'x'", "schedule 1: label: there is no such key"),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        let many = "[[rule]]\nstop = true\n".repeat(RULES_MAX + 1);
        assert_eq!(read(&many).unwrap_err(), "65 rules are more than 64");
    }
}
