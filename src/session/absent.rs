//! A torrent that is listed and not here, as those of earlier runs and [links](super::seeks) whose
//! metadata is not known: how far it is on its way, how it is listed, and who waits for it. Values
//! only.
//!
//! One of which everything was on its device, with nothing to do, is *latent*: a row by what was
//! noted of it, without metadata, task or file, until somebody [calls](super::latent) it; trackers
//! [are told](super::announced) of it meanwhile.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::base::ids::TorrentId;
use crate::ledger::{Spec, Tally};
use crate::metainfo::Torrent;
use crate::roster::{Flags, Phase, Row};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::incoming::Incoming;
use crate::torrent::options::TorrentOptions;
use crate::torrent::outpost::Outpost;
use crate::torrent::seeking::Contacts;

use super::error::Error;
use super::member::{AddAnswer, Spent, row_of};

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Nothing is to be done before it is called.
    Latent,
    /// It is a link whose metadata is sought, or is to be.
    Seeks,
    /// Its metadata is being read, or is to be.
    Read,
    /// Its files are being looked at.
    Opens,
    /// It does not come, and why.
    Lost(Arc<str>),
    /// It is removed, and its trackers hear that.
    Leaves,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Absent {
    /// What it had done when this run began.
    pub before: Tally,
    /// How long it did what in this run.
    pub spent: Spent,
    pub stage: Stage,
    /// Lists show it as a seed that sleeps, by what was noted of it.
    pub is_whole: bool,
    /// It has seeded enough, and is to come for that.
    pub is_over: bool,
    /// It came by a link, and is sought by that.
    pub is_link: bool,
    /// Its announces, which go on when it comes. In a box: not all have any.
    pub outpost: Option<Box<Outpost>>,
}

/// Whoever waits for one.
pub(super) enum Caller {
    /// Who connected to it.
    Peer(Box<Incoming>),
    /// Who wants its handle.
    Asks(oneshot::Sender<Result<TorrentHandle, Error>>),
    /// What is to be added beside it.
    Adds(Box<Addition>),
}

/// A torrent that is to be added.
pub(super) struct Addition {
    pub torrent: Arc<Torrent>,
    pub options: TorrentOptions,
    pub contacts: Option<Box<Contacts>>,
    pub answer: AddAnswer,
    /// The link that it was found by, and that it is to become: it is none without that.
    pub link: Option<TorrentId>,
}

impl Absent {
    /// One that was found like this, at `now`.
    pub fn new(before: Tally, stage: Stage, now: Instant) -> Self {
        let (is_whole, is_link) = (stage == Stage::Latent, stage == Stage::Seeks);
        let (spent, is_over, outpost) = (Spent::begin(now), false, None);
        Self { before, spent, stage, is_whole, is_over, is_link, outpost }
    }

    /// Why it does not come.
    pub fn trouble(&self) -> Option<Arc<str>> {
        match &self.stage {
            Stage::Lost(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Will it be here, sooner or later?
    pub fn is_coming(&self) -> bool {
        !matches!(self.stage, Stage::Lost(_) | Stage::Leaves)
    }

    /// Is it a link that has not become a torrent?
    pub fn is_sought(&self) -> bool {
        self.is_link && self.stage != Stage::Opens
    }

    /// How it is listed.
    pub fn row(&self, spec: &Spec) -> Row {
        let (whole, is_lost) = (spec.whole.filter(|_| self.is_whole), self.trouble().is_some());
        let phase = match whole {
            _ if is_lost => Phase::Failed,
            _ if self.stage == Stage::Leaves => Phase::Stopping,
            _ if spec.paused => Phase::Paused,
            Some(_) => Phase::Complete,
            None if self.is_link && self.stage == Stage::Opens => Phase::Checking,
            None => Phase::Queued,
        };
        let row = row_of(spec, &self.before, phase);
        let flags = row.flags.with(Flags::IN_TROUBLE, is_lost);
        let Some(whole) = whole else { return Row { flags, ..row } };
        let flags = flags.with(Flags::ASLEEP, true).with(Flags::PRIVATE, whole.is_private);
        Row { flags, wanted_bytes: whole.bytes, done_bytes: whole.bytes, ..row }
    }

    /// What it has done in its life, until now.
    pub fn tally(&mut self, now: Instant) -> Tally {
        self.spent.go_on(now);
        self.spent.beside(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    #[test]
    fn the_time_of_a_latent_one_goes_on_but_for_pauses() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let before = Tally { uploaded: 7, active_s: 100, seeding_s: 50, ..Tally::default() };
        let mut latent = Absent::new(before, Stage::Latent, start);
        latent.spent.on(Phase::Complete, start);
        let times = |latent: &mut Absent, second| {
            let tally = latent.tally(at(second));
            (tally.uploaded, tally.active_s, tally.seeding_s)
        };
        assert_eq!(times(&mut latent, 10), (7, 110, 60));
        assert_eq!(times(&mut latent, 20), (7, 120, 70));
        latent.spent.on(Phase::Paused, at(20));
        assert_eq!(times(&mut latent, 3000), (7, 120, 70));
        latent.spent.on(Phase::Complete, at(3000));
        assert_eq!(times(&mut latent, 3001), (7, 121, 71));
        assert_eq!(latent.before, before, "goals count from here");
    }
}
