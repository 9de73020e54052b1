//! What a hook is told: which event, and the torrent's facts, as variables of an environment and as
//! JSON. Pure.

use serde::Serialize;

use crate::api::{Happened, State, Torrent, What};
use crate::errands::plan::Moment;

/// Bytes of a variable at most: Linux takes 128 KiB for one.
const VALUE_LEN_MAX: usize = 32 << 10;

/// What happened to which torrent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// What.
    pub event: Moment,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Number of the torrent.
    pub id: u32,
    /// Its hash in hex (BEP 3), where it is known and it has one.
    pub hash: Option<String>,
    /// Its other hash in hex (BEP 52), likewise.
    pub hash_v2: Option<String>,
    /// What it is called.
    pub name: String,
    /// Directory that its files are under.
    pub dir: String,
    /// What it is sorted under.
    pub labels: Vec<String>,
    /// Bytes of all its files; 0 before that is known.
    pub size: u64,
    /// What is wrong, of `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The moment that an event is, if hooks can be on it.
pub fn moment(what: &What) -> Option<Moment> {
    Some(match what {
        What::Added => Moment::Added,
        What::Metadata { .. } => Moment::Metadata,
        What::Completed => Moment::Done,
        // Others are found finished when they are looked at again after a start.
        What::State { from: State::Seeding | State::Downloading, to: State::Finished } => {
            Moment::Seeded
        }
        What::Removed { .. } => Moment::Removed,
        What::Trouble { .. } => Moment::Error,
        What::Recovered => Moment::Recovered,
        What::Moved { .. } => Moment::Moved,
        What::State { .. } | What::Renamed { .. } => return None,
    })
}

impl Facts {
    /// Of an event that is this moment; `known` is how the torrent was listed last.
    pub fn new(event: Moment, happened: &Happened, known: Option<&Torrent>) -> Self {
        let known = known.cloned().unwrap_or_default();
        let (name, why) = match &happened.what {
            What::Removed { name } | What::Metadata { name } => (name.clone(), None),
            What::Trouble { why } => (known.name, Some(why.clone())),
            _ => (known.name, None),
        };
        let dir = match &happened.what {
            What::Moved { dir } => dir.clone(),
            _ => known.dir,
        };
        Self {
            event,
            at: happened.at,
            id: happened.id,
            hash: known.hash,
            hash_v2: known.hash_v2,
            name,
            dir,
            labels: known.labels,
            size: known.size,
            why,
        }
    }

    /// Variables for a program. Control characters in them are replaced, and nothing is longer than
    /// a system takes.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let all = [
            ("PIGEON_EVENT", self.event.name().to_owned()),
            ("PIGEON_AT", self.at.to_string()),
            ("PIGEON_ID", self.id.to_string()),
            ("PIGEON_HASH", text(&self.hash)),
            ("PIGEON_HASH_V2", text(&self.hash_v2)),
            ("PIGEON_NAME", self.name.clone()),
            ("PIGEON_DIR", self.dir.clone()),
            ("PIGEON_LABEL", self.labels.first().cloned().unwrap_or_default()),
            ("PIGEON_LABELS", self.labels.join(",")),
            ("PIGEON_SIZE", self.size.to_string()),
            ("PIGEON_WHY", text(&self.why)),
        ];
        all.map(|(name, value)| (name, safe(&value))).into()
    }
}

/// A value that a program may be given.
fn safe(value: &str) -> String {
    let mut safe = String::new();
    for letter in value.chars() {
        let letter = if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
        if safe.len() + letter.len_utf8() > VALUE_LEN_MAX {
            break;
        }
        safe.push(letter);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(what: What) -> Happened {
        Happened { number: 1, at: 1700, id: 7, what }
    }

    fn torrent() -> Torrent {
        Torrent {
            id: 7,
            hash: Some("ab".repeat(20)),
            name: "a\0b\n$(x)\u{85}ü".to_owned(),
            dir: "/srv".to_owned(),
            labels: vec!["one".to_owned(), "two".to_owned()],
            size: 5,
            ..Torrent::default()
        }
    }

    #[test]
    fn an_event_is_a_moment_or_none() {
        let state = |from, to| moment(&What::State { from, to });
        assert_eq!(state(State::Seeding, State::Finished), Some(Moment::Seeded));
        assert_eq!(state(State::Checking, State::Finished), None, "it has been so before");
        assert_eq!(state(State::Queued, State::Downloading), None);
        assert_eq!(moment(&What::Completed), Some(Moment::Done));
        assert_eq!(moment(&What::Trouble { why: String::new() }), Some(Moment::Error));
    }

    #[test]
    fn a_program_gets_no_control_characters_and_nothing_too_long() {
        let torrent = torrent();
        let facts = Facts::new(Moment::Done, &happened(What::Completed), Some(&torrent));
        let variables = facts.variables();
        let value = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| &**value).unwrap()
        };
        assert_eq!(value("PIGEON_NAME"), "a\u{fffd}b\u{fffd}$(x)\u{fffd}ü");
        assert_eq!((value("PIGEON_EVENT"), value("PIGEON_ID")), ("done", "7"));
        assert_eq!((value("PIGEON_LABEL"), value("PIGEON_LABELS")), ("one", "one,two"));
        assert_eq!((value("PIGEON_SIZE"), value("PIGEON_WHY")), ("5", ""));
        let long = safe(&"ü".repeat(VALUE_LEN_MAX));
        assert_eq!(long.len(), VALUE_LEN_MAX);
    }

    #[test]
    fn json_has_names_as_they_are() {
        let torrent = torrent();
        let why = "the disk is full".to_owned();
        let facts = Facts::new(Moment::Error, &happened(What::Trouble { why }), Some(&torrent));
        let json = serde_json::to_value(&facts).unwrap();
        assert_eq!(json["event"], "error");
        assert_eq!(
            (&json["name"], &json["why"]),
            (&torrent.name.into(), &"the disk is full".into())
        );
        let removed = happened(What::Removed { name: "gone".to_owned() });
        let facts = Facts::new(Moment::Removed, &removed, None);
        assert_eq!((&*facts.name, facts.hash), ("gone", None));
    }
}
