//! What is known of one tracker of a torrent. Most have said nothing but numbers; what is rare
//! takes no room before it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ear::Ear;
use crate::tracker::announce::{AnnounceReply, Error};
use crate::tracker::http::is_http;
use crate::tracker::udp::is_udp;

pub(super) struct Tracker {
    pub url: Arc<str>,
    pub tier: usize,
    pub condition: Condition,
    /// In the order of `Family::BOTH`.
    pub ears: [Ear; 2],
    /// It has, over some family, at some time.
    pub has_answered: bool,
    /// An announce is on its way that no family has answered yet.
    pub is_asked: bool,
    /// Why a family failed that was asked, while the other one may answer.
    pub cause: Option<Box<Error>>,
    pub fails: u32,
    pub last_asked: Option<Instant>,
    /// `retry in` of BEP 31: not even the user gets past it.
    pub not_before: Option<Instant>,
    pub seeds: Option<u64>,
    pub leeches: Option<u64>,
    pub downloaded: Option<u64>,
    /// When the counts were last told or asked for.
    pub counted_at: Option<Instant>,
    pub peers: Option<usize>,
    /// None where there was nothing to note.
    said: Option<Box<Said>>,
}

/// What came with answers beside numbers.
#[derive(Default)]
pub(super) struct Said {
    /// Sent back to it.
    tracker_id: Option<Box<[u8]>>,
    /// Why it has failed at last.
    error: Option<Box<str>>,
    warning: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    NotSupported,
    Fresh,
    Working { since: Instant, interval: Duration, min_interval: Option<Duration> },
    Failing { retry_at: Instant },
    GaveUp,
}

impl Tracker {
    pub fn new(url: Arc<str>, tier: usize) -> Self {
        let is_spoken = is_http(&url) || is_udp(&url);
        let condition = if is_spoken { Condition::Fresh } else { Condition::NotSupported };
        Self {
            url,
            tier,
            condition,
            ears: [Ear::default(); 2],
            has_answered: false,
            is_asked: false,
            cause: None,
            fails: 0,
            last_asked: None,
            not_before: None,
            seeds: None,
            leeches: None,
            downloaded: None,
            counted_at: None,
            peers: None,
            said: None,
        }
    }

    /// Why it has failed at last, if it has since it last answered.
    pub fn error(&self) -> Option<&str> {
        self.said.as_ref()?.error.as_deref()
    }

    /// Its warning in its last reply.
    pub fn warning(&self) -> Option<&str> {
        self.said.as_ref()?.warning.as_deref()
    }

    pub fn note_reply(&mut self, reply: &AnnounceReply) {
        let before = self.said.take().and_then(|said| said.tracker_id);
        let tracker_id = reply.tracker_id.as_deref().map(Box::from).or(before);
        let warning = reply.warning.as_deref().map(Box::from);
        if tracker_id.is_some() || warning.is_some() {
            self.said = Some(Box::new(Said { tracker_id, error: None, warning }));
        }
    }

    /// To be sent back to it.
    pub fn id(&self) -> Option<&[u8]> {
        self.said.as_ref()?.tracker_id.as_deref()
    }

    pub fn note_error(&mut self, error: &Error) {
        self.said.get_or_insert_default().error = Some(error.to_string().into());
    }
}
