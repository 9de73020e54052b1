//! What is wanted of all torrents of a session together, as values and as bytes. Pure.

use serde::{Deserialize, Serialize};

use crate::bencode;

/// What a session's user has set of it. Nothing, at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionSpec {
    /// Limits of all torrents together.
    pub limits: Limits,
    /// Others, which hold instead while that is wanted: at night, or while somebody calls.
    pub alternative: Limits,
    /// They hold.
    pub uses_alternative: bool,
    /// How many check and download at once; as many as the session begins with when none.
    pub active_max: Option<u32>,
}

/// Limits in bytes per second; none is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// On what is received.
    pub down: Option<u64>,
    /// On what is sent.
    pub up: Option<u64>,
}

/// A [`SessionSpec`] as a dictionary. What is not there is off or none; keys that are not known are
/// stepped over.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "active max")]
    active_max: Option<u32>,
    #[serde(default, rename = "alternative")]
    uses_alternative: u8,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "alternative down limit")]
    alternative_down: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "alternative up limit")]
    alternative_up: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "down limit")]
    down: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "up limit")]
    up: Option<u64>,
}

impl SessionSpec {
    /// The limits that hold.
    pub fn limits_now(&self) -> Limits {
        if self.uses_alternative { self.alternative } else { self.limits }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // The largest number that bencode's readers know.
        let whole = |limit: Option<u64>| limit.map(|it| it.min(i64::MAX.cast_unsigned()));
        bencode::encode(&Body {
            active_max: self.active_max,
            uses_alternative: self.uses_alternative.into(),
            alternative_down: whole(self.alternative.down),
            alternative_up: whole(self.alternative.up),
            down: whole(self.limits.down),
            up: whole(self.limits.up),
        })
    }

    /// None when it makes no sense.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let body: Body = bencode::decode(bytes, bencode::MESSAGE).ok()?;
        Some(Self {
            limits: Limits { down: body.down, up: body.up },
            alternative: Limits { down: body.alternative_down, up: body.alternative_up },
            uses_alternative: body.uses_alternative != 0,
            active_max: body.active_max,
        })
    }
}
