//! What `why` has to know beside the torrent's own report.

use std::time::Duration;

use crate::torrent::status::{State, WhyReport};

/// What the shares of the last minute are of.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Among whom the torrent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Among {
    /// The only one of its run.
    Alone,
    /// One of several.
    Several,
    /// One of a daemon, which is asked from elsewhere and goes on when whoever asks ends.
    Daemon,
}

/// What the answer needs beside the torrent's own report.
#[derive(Clone, Debug)]
pub struct Around {
    /// How the torrent stands.
    pub state: State,
    /// Its number, by which it is limited alone.
    pub number: usize,
    /// Are there others?
    pub is_several: bool,
    /// Only its trackers may name peers (BEP 27).
    pub is_private: bool,
    /// Is it one of a daemon?
    pub is_daemon: bool,
    /// The download limit of all torrents together.
    pub limit_of_all: Option<u64>,
}

impl Around {
    /// Is the limit in force that of all torrents together?
    pub(super) fn is_limit_of_all(&self, report: &WhyReport) -> bool {
        self.limit_of_all.is_some() && self.limit_of_all == report.limit_down
    }
}
