//! What rules do to the torrents of a daemon, and what those of a config file would do to them.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::{Fate, Key, Request, Room, RuleFacts, Ruled, Torrent};
use crate::base::units::{rate, size};
use crate::cli::args::DaemonPlace;
use crate::cli::catalogue::ask;
use crate::cli::escape::{escape, json};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::os::zone::offset_at;
use crate::roster::rules::{Book, Caps, Facts, Rule, Wall, conditions, effects};

use super::asking::{Remote, Voice};
use super::names::Meant;
use super::place;

/// What rules do to these torrents, and why.
pub(super) async fn why(remote: &mut Remote, words: &[String]) -> Outcome {
    let meant = remote.named(words).await?;
    let are_several = meant.len() > 1;
    let mut look = async |remote: &mut Remote, one: &Meant| -> Result<(), Failure> {
        let answer = remote.ask(&Request::Rules(one.key.clone())).await?;
        remote.show::<Ruled>(answer, |ruled, _| match are_several {
            true => format!("{}\n{}", one.name, screen(ruled)),
            false => screen(ruled),
        })
    };
    remote.for_each(&meant, &mut look).await
}

fn screen(ruled: &Ruled) -> String {
    let mut screen = String::new();
    for (at, rule) in ruled.rules.iter().enumerate() {
        let fate = match rule.fate {
            Fate::Fires => "fires",
            Fate::Overruled => "matches, but later rules say otherwise",
            Fate::Misses => "does not match",
        };
        screen += &format!("{:>3}  {}: {fate}\n", at + 1, escape(&rule.name));
        let mut add = |name: &str, lines: &[String]| {
            if !lines.is_empty() {
                screen += &format!("     {name}  {}\n", escape(&lines.join("; ")));
            }
        };
        add("since", &rule.because);
        add("says ", &rule.says);
        add("not  ", &rule.overruled);
    }
    if ruled.rules.is_empty() {
        screen += "there are no rules: [[rule]] in the config file makes some\n";
    }
    screen + &ruled.rest.iter().map(|why| format!("{}\n", escape(why))).collect::<String>()
}

/// Shows rules as they are understood, and what they would do to the torrents of the daemon of this
/// user, if there is one.
///
/// # Errors
/// The daemon breaks off, or nobody takes the answer.
pub fn dry_run(book: &Book, is_json: bool, quiet: bool) -> Outcome {
    let mut voice = Voice::of_process(is_json, quiet);
    let there = match place::find(&DaemonPlace::default()) {
        Ok(place) => ask(async {
            let remote = Remote::new(place, Voice::of_process(is_json, quiet))?;
            judged(&remote, book).await.map(Some)
        }),
        Err(failure) => Err(failure),
    };
    let (torrents, absence) = match there {
        Ok(torrents) => (torrents, None),
        // The rules can be read without it.
        Err(failure) if failure.exit == Exit::Network => (None, Some(failure)),
        Err(failure) => return Err(failure),
    };
    let shown = match is_json {
        true => json(&as_json(book, torrents.as_deref())) + "\n",
        false => understood(book) + &torrents.iter().flatten().map(outcome).collect::<String>(),
    };
    (voice.say)(&shown)?;
    if let Some(failure) = absence {
        (voice.talk)(&format!("only read, not tried: {failure}"));
    }
    Ok(Exit::Done)
}

/// A torrent, and the rules that match it.
struct Judged {
    torrent: Torrent,
    rules: Vec<crate::roster::rules::Verdict>,
}

async fn judged(remote: &Remote, book: &Book) -> Result<Vec<Judged>, Failure> {
    let unix_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let wall = Wall { unix_s: unix_s.map_or(0, |it| it.as_secs()), offset: offset_at };
    let (mut all, mut rooms) = (Vec::new(), BTreeMap::new());
    for torrent in remote.torrents().await? {
        let ruled: Ruled = match remote.ask(&Request::Rules(Key::Id(torrent.id))).await {
            Ok(ruled) => ruled,
            Err(failure) if failure.exit == Exit::Network => return Err(failure),
            // One that is not here, or has just left.
            Err(_) => continue,
        };
        let mut facts = facts(ruled.facts);
        // A daemon looks at its devices only where its own rules ask.
        if facts.free.is_none() && book.needs_space() {
            facts.free = free(remote, &torrent.dir, &mut rooms).await?;
        }
        let rules = book.verdicts(&facts, wall);
        all.push(Judged { torrent, rules });
    }
    Ok(all)
}

/// Bytes that are free there, of what was asked before in `rooms`; none when that is not known.
async fn free(
    remote: &Remote,
    dir: &str,
    rooms: &mut BTreeMap<String, Option<u64>>,
) -> Result<Option<u64>, Failure> {
    if let Some(known) = rooms.get(dir) {
        return Ok(*known);
    }
    let free = match remote.ask::<Room>(&Request::Room(dir.to_owned())).await {
        Ok(room) => room.free_bytes,
        Err(failure) if failure.exit == Exit::Network => return Err(failure),
        Err(_) => None,
    };
    rooms.insert(dir.to_owned(), free);
    Ok(free)
}

fn facts(told: RuleFacts) -> Facts {
    Facts {
        trackers: told.trackers.into_iter().map(String::into_boxed_str).collect(),
        labels: told.labels,
        private: told.private,
        size: told.size,
        added_s: told.added_at,
        ratio: told.ratio,
        seeds: told.seeds,
        free: told.free_bytes,
    }
}

/// The rules in words.
fn understood(book: &Book) -> String {
    let mut screen = String::new();
    for (at, Rule { name, when, then }) in book.rules.iter().enumerate() {
        let when = conditions(when);
        let about = if when.is_empty() { "all torrents".to_owned() } else { when.join(", ") };
        let says = effects(then).join(", ");
        screen += &escape(&format!("rule {} ({name}): {about}: {says}", at + 1));
        screen.push('\n');
    }
    for (at, schedule) in book.schedules.iter().enumerate() {
        let limits = match schedule.limits {
            Some(Caps { down, up }) => format!("down {}   up {}", capped(down), capped(up)),
            None => "as they are set".to_owned(),
        };
        let (number, hours) = (at + 1, schedule.hours);
        screen += &format!("schedule {number}: {hours}: alternative limits: {limits}\n");
    }
    match book.keep_free {
        Some(keep) => screen + &format!("keep-free: {} on each device\n", size(keep)),
        None if screen.is_empty() => "the config file has no rules\n".to_owned(),
        None => screen,
    }
}

/// What a schedule says of one direction.
fn capped(cap: Option<Option<u64>>) -> String {
    match cap {
        Some(Some(limit)) => rate(limit),
        Some(None) => "unlimited".to_owned(),
        None => "as usual".to_owned(),
    }
}

/// What matches a torrent.
fn outcome(judged: &Judged) -> String {
    let mut line = format!("{} {}:", judged.torrent.id, escape(&judged.torrent.name));
    let matching = judged.rules.iter().enumerate().filter(|(_, it)| it.fate.matches());
    let mut is_any = false;
    for (at, rule) in matching {
        is_any = true;
        let holds: Vec<_> =
            rule.says.iter().filter(|says| !rule.overruled.contains(says)).cloned().collect();
        let holds = if holds.is_empty() { "overruled".to_owned() } else { holds.join(", ") };
        line += &escape(&format!(" rule {}: {holds};", at + 1));
    }
    if !is_any {
        line += " no rule";
    }
    line.trim_end_matches(';').to_owned() + "\n"
}

fn as_json(book: &Book, torrents: Option<&[Judged]>) -> serde_json::Value {
    let rules = book.rules.iter().map(|Rule { name, when, then }| {
        json!({ "name": name, "when": conditions(when), "then": effects(then) })
    });
    let schedules = book.schedules.iter().map(|schedule| {
        let limits = schedule.limits.map(|caps| json!({ "down": caps.down, "up": caps.up }));
        json!({ "when": schedule.hours.to_string(), "limits": limits })
    });
    let torrents = torrents.map(|torrents| {
        let one = |judged: &Judged| {
            let numbered = judged.rules.iter().enumerate();
            let matching = numbered.filter(|(_, it)| it.fate.matches()).map(|(at, _)| at + 1);
            json!({ "id": judged.torrent.id, "rules": matching.collect::<Vec<_>>() })
        };
        torrents.iter().map(one).collect::<Vec<_>>()
    });
    json!({
        "rules": rules.collect::<Vec<_>>(),
        "schedules": schedules.collect::<Vec<_>>(),
        "keep_free": book.keep_free,
        "torrents": torrents,
    })
}
