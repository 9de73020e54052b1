//! Whom a torrent knows, while it has no crowd. Not here: who is connected.

use std::net::SocketAddr;
use std::time::Instant;

use super::candidates::Candidates;
use super::debts::Debts;

/// Candidates that are remembered of a torrent that may not run again for days.
const KEPT_MAX: usize = 100;

/// What a torrent knows of peers apart from its links. It outlives the brain when the files
/// are moved, for instance.
#[derive(Debug, Default)]
pub struct Acquaintances {
    candidates: Candidates,
    debts: Debts,
    /// Somebody was met, and that was told.
    met_anybody: bool,
}

impl Acquaintances {
    /// Leaves out what costs much and is of little use when the torrent runs again some day:
    /// all but the best hundred candidates. Bans and debts stay.
    pub fn keep_best(&mut self) {
        self.candidates.keep_best(KEPT_MAX);
    }

    /// Would any of these be dialled now?
    pub fn brings(&self, addresses: &[SocketAddr], now: Instant) -> bool {
        addresses.iter().any(|address| !self.candidates.is_left_alone(*address, now))
    }

    /// Of whom a crowd knew.
    pub(super) fn new(candidates: Candidates, debts: Debts, met_anybody: bool) -> Self {
        Self { candidates, debts, met_anybody }
    }

    /// The same in the order of [`new`](Self::new).
    pub(super) fn into_parts(self) -> (Candidates, Debts, bool) {
        (self.candidates, self.debts, self.met_anybody)
    }
}
