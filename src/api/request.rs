//! What can be asked and ordered, and how a torrent is named. Values only.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::roster::Cursor;

use super::creation::Creation;
use super::errands::Chore;
use super::whole;

/// A torrent, as people and programs name it: by its number, or by either of its hashes in hex.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// Its number.
    Id(u32),
    /// 40 digits (BEP 3) or 64 (BEP 52), in lower case.
    Hash(String),
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.parse() {
            _ if is_hash => Ok(Self::Hash(text.to_ascii_lowercase())),
            Ok(id) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self::Id(id)),
            _ => Err("a torrent is named by its number, or by its hash of 40 or 64 digits".into()),
        }
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Hash(hash) => f.write_str(hash),
        }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// How far somebody has read: a [`Cursor`] as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark(pub Cursor);

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a cursor is what an earlier answer gave, as 1f3a-2c".to_owned();
        let (boot, number) = text.split_once('-').ok_or_else(wrong)?;
        let read = |digits: &str| {
            let is_plain =
                (1..=16).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).ok().filter(|_| is_plain).ok_or_else(wrong)
        };
        Ok(Self(Cursor { boot: read(boot)?, number: read(number)? }))
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0.boot, self.0.number)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

/// What can be asked and ordered.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// How the session stands.
    Session,
    /// Set something of the session.
    SetSession(SessionPatch),
    /// All torrents, or those that changed since an earlier list.
    List(Option<Mark>),
    /// Take a torrent in.
    Add(Box<Addition>),
    /// All about one.
    Show(Key),
    /// Its files.
    Files(Key),
    /// What it says of itself, and which pieces are here.
    Facts(Key),
    /// Which of its pieces are here, and how many peers have each.
    Pieces(Key),
    /// Its peers; also those that are not connected.
    Peers(Key, bool),
    /// Its trackers.
    Trackers(Key),
    /// The servers of its files.
    Sources(Key),
    /// What it waits for.
    Why(Key),
    /// What rules say of it, and why.
    Rules(Key),
    /// Set something of it.
    Set(Key, Box<Patch>),
    /// Say which of its files are wanted.
    SetFiles(Key, FilePatch),
    /// Have something done to it.
    Do(Key, Deed),
    /// Take it out; with its files, unless another torrent may have the same.
    Remove(Key, bool),
    /// What happened since.
    Events(Option<Mark>),
    /// Which torrents have these words in their names or files.
    Find(String),
    /// How much room there is for this directory, where files may go.
    Room(String),
    /// What is done without anybody asking, and how that goes.
    Errands,
    /// Have something of that done now.
    Chore(Chore),
    /// How far torrents are that are being made, and which were.
    Makings,
    /// Make a torrent of what lies on this machine.
    Create(Box<Creation>),
    /// Give the one of this number up, or forget that it was made.
    GiveUp(u32),
    /// The one of this number.
    Made(u32),
}

impl Request {
    /// Does it set something that is to be kept? What is added and removed is kept by itself.
    pub(super) fn sets(&self) -> bool {
        matches!(self, Self::SetSession(_) | Self::Set(..) | Self::SetFiles(..) | Self::Do(..))
    }
}

/// What of a session can be set; what is not there stays.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionPatch {
    /// Bytes a second that all torrents receive at most; 0 lifts the limit.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_down: Option<u64>,
    /// Bytes a second that all torrents send at most; 0 lifts the limit.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_up: Option<u64>,
    /// Whether the alternative limits hold instead, until a schedule switches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternative: Option<bool>,
    /// As `limit_down`, of the alternative limits.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub alternative_down: Option<u64>,
    /// As `limit_up`, of the alternative limits.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub alternative_up: Option<u64>,
    /// How many check and download at once; 0: as many as the session began with.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub active_max: Option<u32>,
}

/// A torrent to be taken in, by exactly one of `torrent`, `link` and `url`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Addition {
    /// The bytes of a `.torrent`, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torrent: Option<String>,
    /// A magnet link, or a hash in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Where a `.torrent` is to be had by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Directory that its files go under; the usual one when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// It is not to begin yet.
    pub paused: bool,
    /// What it is sorted under.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// Bytes a second that it receives at most.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_down: Option<u64>,
    /// Bytes a second that it sends at most.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_up: Option<u64>,
    /// It has seeded enough when it has sent so many times its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed_ratio: Option<f64>,
    /// It has seeded enough after so many seconds.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub seed_time_s: Option<u64>,
    /// Trackers besides its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trackers: Vec<String>,
    /// Servers of its files besides its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub web_seeds: Vec<String>,
    /// Bytes of it that another program has sent before, for the ratio.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub sent_before: Option<u64>,
    /// Only these files are wanted: their numbers, from 1; all when none.
    #[serde(deserialize_with = "whole::maybe_several", skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<u32>>,
}

/// What of a torrent can be set; what is not there stays.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patch {
    /// Bytes a second that it receives at most; 0 lifts the limit.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_down: Option<u64>,
    /// Bytes a second that it sends at most; 0 lifts the limit.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub limit_up: Option<u64>,
    /// What it is sorted under, instead of what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// What lists call it, whatever its files are called; empty: by its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It has seeded enough when it has sent so many times its size; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed_ratio: Option<f64>,
    /// It has seeded enough after so many seconds; 0: never.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub seed_time_s: Option<u64>,
    /// Its place in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Pieces in order instead of rarest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<bool>,
    /// The first and the last piece of each wanted file before all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_first: Option<bool>,
    /// Most connected peers; 0: as many as others have.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub peers_max: Option<u32>,
    /// All its trackers by tier, in the place of those that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trackers: Option<Vec<Vec<String>>>,
}

/// A place in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before all others.
    Top,
    /// Behind all others.
    Bottom,
    /// One further to the front.
    Up,
    /// One further to the back.
    Down,
    /// Behind so many others.
    At(#[serde(deserialize_with = "whole::one")] u32),
}

/// Which files are wanted and how much, by their numbers, from 1. Those that are not named stay as
/// they are; of one that is named in several lists, the last holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilePatch {
    /// These are, as much as they were before.
    #[serde(deserialize_with = "whole::several", skip_serializing_if = "Vec::is_empty")]
    pub want: Vec<u32>,
    /// These are, behind others.
    #[serde(deserialize_with = "whole::several", skip_serializing_if = "Vec::is_empty")]
    pub low: Vec<u32>,
    /// These are, as most are.
    #[serde(deserialize_with = "whole::several", skip_serializing_if = "Vec::is_empty")]
    pub normal: Vec<u32>,
    /// These are, before others.
    #[serde(deserialize_with = "whole::several", skip_serializing_if = "Vec::is_empty")]
    pub high: Vec<u32>,
    /// These are not.
    #[serde(deserialize_with = "whole::several", skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<u32>,
}

/// Something that is done to a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// It rests.
    #[serde(deserialize_with = "nothing_more")]
    Pause,
    /// It goes on; one that is queued starts at once.
    #[serde(deserialize_with = "nothing_more")]
    Resume,
    /// It goes on if it rests, when its turn comes; one that has seeded enough does not seed on.
    #[serde(deserialize_with = "nothing_more")]
    Unpause,
    /// It is announced now, as far as its trackers allow.
    #[serde(deserialize_with = "nothing_more")]
    Announce,
    /// Everything of it is read and hashed again; what is wrong is lost.
    #[serde(deserialize_with = "nothing_more")]
    Verify,
    /// Its files move to this directory.
    Move {
        /// Which, absolute.
        dir: String,
    },
    /// It, or one of its files, gets another name.
    Rename {
        /// The number of the file, from 1; the torrent itself when none.
        #[serde(
            default,
            deserialize_with = "whole::maybe",
            skip_serializing_if = "Option::is_none"
        )]
        file: Option<u32>,
        /// How it is called from then on.
        name: String,
    },
    /// A peer is tried.
    AddPeer {
        /// Its address and port.
        address: String,
    },
    /// A server of its files is used, too.
    AddSource {
        /// Its URL.
        url: String,
    },
}

/// For those of a [`Deed`] that have no fields: serde takes any for them.
fn nothing_more<'de, D: Deserializer<'de>>(rest: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(rest).map(|Nothing {}| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_named_by_its_number_or_its_hash() {
        let hash = "AB".repeat(20);
        assert_eq!("12".parse(), Ok(Key::Id(12)));
        assert_eq!(hash.parse(), Ok(Key::Hash(hash.to_ascii_lowercase())));
        let digits = "1".repeat(40);
        assert_eq!(digits.parse(), Ok(Key::Hash(digits.clone())), "it has the length of one");
        assert_eq!("c".repeat(64).parse(), Ok(Key::Hash("c".repeat(64))));
        for wrong in ["", "+1", "-1", "99999999999", "debian", &"g".repeat(40), "1 "] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_mark_is_what_was_given() {
        let mark = Mark(Cursor { boot: 0x1f3a, number: 0x2c });
        assert_eq!(mark.to_string(), "1f3a-2c");
        assert_eq!("1f3a-2c".parse(), Ok(mark));
        for wrong in
            ["", "-", "1f3a", "1f3a-", "-2c", "x-2c", "+1-2", "1-2-3", "1-00000000000000000"]
        {
            assert!(wrong.parse::<Mark>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_order_says_nothing_that_is_not_known() {
        let deed = |text| serde_json::from_str::<Deed>(text).map_err(|error| error.to_string());
        assert_eq!(deed(r#"{"do":"move","dir":"/srv"}"#), Ok(Deed::Move { dir: "/srv".into() }));
        assert!(deed(r#"{"do":"move","dir":"/srv","away":true}"#).is_err());
        assert!(deed(r#"{"do":"burn"}"#).is_err());
        assert_eq!(deed(r#"{"do":"pause"}"#), Ok(Deed::Pause));
        assert!(deed(r#"{"do":"pause","until":3}"#).is_err_and(|why| why.contains("until")));
        let patch = |text| serde_json::from_str::<Patch>(text).map_err(|error| error.to_string());
        let top = Patch { place: Some(Place::Top), ..Patch::default() };
        assert_eq!(patch(r#"{"place":"top"}"#), Ok(top));
        assert!(patch(r#"{"limit_donw":3}"#).is_err_and(|why| why.contains("limit_donw")));
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        let patch = |text: &str| serde_json::from_str::<Patch>(text).ok();
        let limit = |limit| Some(Patch { limit_down: limit, ..Patch::default() });
        assert_eq!(patch(r#"{"limit_down":703.0}"#), limit(Some(703)));
        assert_eq!(patch(r#"{"limit_down":18446744073709551615}"#), limit(Some(u64::MAX)));
        assert_eq!(patch(r#"{"limit_down":null}"#), limit(None));
        for wrong in ["-1", "-0.5", "0.5", "1e300", "18446744073709551616", "\"1\"", "true", "[1]"]
        {
            assert_eq!(patch(&format!("{{\"limit_down\":{wrong}}}")), None, "{wrong}");
        }
        let at = Patch { place: Some(Place::At(3)), ..Patch::default() };
        assert_eq!(patch(r#"{"place":{"at":3.0}}"#), Some(at));
        assert_eq!(patch(r#"{"place":{"at":4294967296}}"#), None);
        let files = serde_json::from_str::<FilePatch>(r#"{"want":[1,2.0]}"#).unwrap();
        assert_eq!(files, FilePatch { want: vec![1, 2], ..FilePatch::default() });
        let files = serde_json::from_str::<Addition>(r#"{"files":[2.0]}"#).unwrap().files;
        assert_eq!(files, Some(vec![2]));
        let rename = r#"{"do":"rename","file":2.0,"name":"x"}"#;
        let rename = serde_json::from_str::<Deed>(rename).unwrap();
        assert_eq!(rename, Deed::Rename { file: Some(2), name: "x".into() });
    }
}
