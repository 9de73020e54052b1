//! What rules say of a torrent. Values only, and how they are made of what the session tells.

use serde::{Deserialize, Serialize};

use crate::roster::rules::{self, Facts, Verdict};
use crate::session;

use super::torrent::Limits;

/// What rules say of a torrent, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ruled {
    /// The rules in their order.
    pub rules: Vec<RuleFate>,
    /// Limits that hold by rules or, where none says something, by its user.
    pub limits_now: Limits,
    /// Labels that rules give it.
    pub labels: Vec<String>,
    /// Why it rests by rules, or for want of room, in words for people.
    pub rest: Option<String>,
    /// What of it rules are asked with.
    pub facts: RuleFacts,
}

/// What becomes of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It matches, and what it says holds, at least in part.
    Fires,
    /// It matches, and later rules say otherwise of all that it says.
    Overruled,
    /// It does not match.
    Misses,
}

/// A rule and a torrent. All texts are for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleFate {
    /// What it is called.
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

/// What of a torrent rules are asked with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RuleFacts {
    /// Hosts of its trackers.
    pub trackers: Vec<String>,
    /// Labels that its user gave it.
    pub labels: Vec<String>,
    /// Only its trackers name peers (BEP 27).
    pub private: bool,
    /// Bytes of all its files.
    pub size: u64,
    /// When it was added.
    pub added_at: u64,
    /// What was sent for each byte of the wanted files.
    pub ratio: f64,
    /// Seeds that its trackers count, or those that it is connected to.
    pub seeds: u64,
    /// Bytes that are free where its files are; none when no rule asks for that, or nobody knows.
    pub free_bytes: Option<u64>,
}

impl From<rules::Fate> for Fate {
    fn from(fate: rules::Fate) -> Self {
        match fate {
            rules::Fate::Fires => Self::Fires,
            rules::Fate::Overruled => Self::Overruled,
            rules::Fate::Misses => Self::Misses,
        }
    }
}

impl From<Verdict> for RuleFate {
    fn from(Verdict { name, fate, because, says, overruled }: Verdict) -> Self {
        Self { name, fate: fate.into(), because, says, overruled }
    }
}

impl From<Facts> for RuleFacts {
    fn from(facts: Facts) -> Self {
        Self {
            trackers: facts.trackers.iter().map(ToString::to_string).collect(),
            labels: facts.labels,
            private: facts.private,
            size: facts.size,
            added_at: facts.added_s,
            ratio: facts.ratio,
            seeds: facts.seeds,
            free_bytes: facts.free,
        }
    }
}

/// What is told of a torrent that has these limits by its user.
pub(super) fn ruled(ruled: session::Ruled, own: Limits) -> Ruled {
    let overlay = ruled.overlay;
    Ruled {
        rules: ruled.verdicts.into_iter().map(RuleFate::from).collect(),
        limits_now: Limits {
            down: overlay.download_limit.unwrap_or(own.down),
            up: overlay.upload_limit.unwrap_or(own.up),
        },
        labels: overlay.labels,
        rest: ruled.rest,
        facts: ruled.facts.into(),
    }
}
