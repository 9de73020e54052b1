//! Files of a running torrent that others took away or changed: which pieces are lost with them,
//! whether they are looked for, and when they are fetched again. How that is noticed is the disk's
//! business.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::base::bitfield::Bitfield;
use crate::base::ids::FileIndex;
use crate::base::layout::PieceIndex;
use crate::disk::Job;
use crate::swarm::event::{Event, Input};

use super::actor::Actor;
use super::handle::News;
use super::publish::wanted_pieces;

/// How often lost files are looked for: a look at each, and no more.
const RESTORE_EVERY: Duration = Duration::from_secs(10);
/// How long a finished torrent that is no mere seed looks for a file that is gone before it is
/// fetched again: who has moved it away may be about to put it back.
const FETCH_AFTER: Duration = Duration::from_secs(30);

/// What is wrong with a file as long as it is; of one that was changed, how much that is.
fn lasting_words(reason: &str, pieces: u32, is_gone: bool) -> String {
    match pieces {
        _ if is_gone => reason.to_owned(),
        0 => reason.to_owned(),
        1 => format!("{reason}: 1 piece of it is missing until it is as it was"),
        _ => format!("{reason}: {pieces} pieces of it are missing until it is as it was"),
    }
}

impl Actor {
    pub(super) fn on_file_trouble(&mut self, reason: String, lost: Vec<PieceIndex>, is_gone: bool) {
        warn!(reason, lost = lost.len(), "file trouble");
        let bytes = lost.iter().map(|piece| u64::from(self.layout.len_of(*piece))).sum();
        let pieces = lost.len() as u32;
        if is_gone && pieces > 0 && !self.is_seed_only && self.swarm.is_complete() {
            self.await_gone(&lost);
        }
        let is_awaited = self.awaits_lost();
        let fetched_in = match self.fetch_gone_at {
            _ if self.is_seed_only => None,
            Some(_) => Some(FETCH_AFTER),
            None => Some(Duration::ZERO),
        };
        self.lose(lost);
        // What is fetched again is no trouble.
        let is_trouble = pieces == 0 || is_awaited;
        let lasting = lasting_words(&reason, pieces, is_gone);
        let is_new = is_trouble && self.publisher.set_trouble(Some(lasting));
        let news = match pieces {
            0 if !is_new => None,
            0 => Some(News::Swarm(Event::DiskTrouble(reason))),
            // The same may happen to a file again.
            _ => Some(News::FileChanged { why: reason, pieces, bytes, fetched_in }),
        };
        news.into_iter().for_each(|news| self.news.send(news));
        self.publish();
    }

    /// Are lost files looked for, instead of fetched?
    pub(super) fn awaits_lost(&self) -> bool {
        self.is_seed_only || self.fetch_gone_at.is_some()
    }

    /// Are files that are gone awaited, or fetched again?
    pub(super) fn awaits_gone(&self) -> bool {
        self.fetch_gone_at.is_some() || self.fetches_gone
    }

    /// Are they looked for, be they fetched or not?
    fn looks_for_lost(&self) -> bool {
        self.awaits_lost() || self.fetches_gone
    }

    /// Nobody is asked for what is lost now, for a while.
    fn await_gone(&mut self, lost: &[PieceIndex]) {
        let now = Instant::now();
        self.fetch_gone_at.get_or_insert(now + FETCH_AFTER);
        let mut there = self.swarm.have().clone();
        for piece in lost {
            there.remove(*piece);
        }
        let wanted = self.wanted_pieces().intersection(&there);
        self.swarm.note(Input::Wanted(wanted), now);
    }

    /// What is still gone is fetched, once it is wanted.
    pub(super) fn await_no_more(&mut self) {
        if self.fetch_gone_at.take().is_some() {
            self.finish_again = None;
            self.publisher.set_trouble(None);
        }
        if std::mem::take(&mut self.fetches_gone) {
            self.finish_again = None;
        }
    }

    /// The pieces of the files that are wanted.
    pub(super) fn wanted_pieces(&self) -> Bitfield {
        let files = &self.wish.files;
        let is_wanted =
            |file: FileIndex| files.get(file.0 as usize).is_none_or(|it| it.is_wanted());
        wanted_pieces(&self.extents, &self.layout, is_wanted)
    }

    pub(super) fn lose(&mut self, pieces: Vec<PieceIndex>) {
        for piece in &pieces {
            self.publisher.lost(&self.extents, &self.layout, *piece);
        }
        if !pieces.is_empty() {
            self.look_for_lost();
        }
        self.swarm.note(Input::PiecesLost(pieces), Instant::now());
    }

    /// What is lost is looked for, unless it was never whole: its user may put it back.
    pub(super) fn look_for_lost(&mut self) {
        if self.looks_for_lost() {
            self.finish_again.get_or_insert(Instant::now() + RESTORE_EVERY);
        }
    }

    /// Files that were lost were looked for, not all of them when there are `more`.
    pub(super) fn on_restored(&mut self, why: String, mut found: Vec<PieceIndex>, more: bool) {
        let now = Instant::now();
        self.is_restoring = false;
        if !self.looks_for_lost() {
            // Other files were chosen meanwhile, and what was lost is asked for.
            if self.swarm.is_complete() {
                self.finish();
            }
            return;
        }
        // Some may be lost again, which was told before or will be.
        found.retain(|piece| self.jobs.store.is_verified(*piece));
        for piece in &found {
            self.publisher.found(&self.extents, &self.layout, *piece);
        }
        let is_whole = self.publisher.left().1 == 0;
        self.finish_again = (!is_whole).then(|| if more { now } else { now + RESTORE_EVERY });
        if is_whole {
            self.is_restoring = true;
            self.submit(Job::Finish);
        }
        if !found.is_empty() {
            let bytes = found.iter().map(|piece| u64::from(self.layout.len_of(*piece))).sum();
            let pieces = found.len() as u32;
            info!(why, pieces, "lost files are back");
            self.swarm.note(Input::PiecesFound(found), now);
            self.news.send(News::FileBack { why, pieces, bytes });
        }
        // Where nobody could bring it anyway it may as well be looked for.
        let has_others =
            !self.links.is_empty() || !self.sources.is_empty() || !self.swarm.known(now).is_empty();
        let is_time = self.fetch_gone_at.is_some_and(|at| now >= at) && has_others;
        if self.fetch_gone_at.is_some() && (is_whole || is_time) {
            self.await_no_more();
            self.fetches_gone = !is_whole;
            self.look_for_lost();
            let wanted = self.wanted_pieces();
            self.swarm.note(Input::Wanted(wanted), now);
        }
        self.publish();
    }

    /// Has every wanted file looked at; the answer is `Finished`. Where files that were lost are
    /// awaited, only those: their user may have put them back.
    pub(super) fn finish(&mut self) {
        self.finish_again = None;
        if self.is_restoring {
            // The answer says how it goes on.
            return;
        }
        self.is_restoring = self.looks_for_lost() && self.publisher.left().1 > 0;
        self.submit(if self.is_restoring { Job::Restore } else { Job::Finish });
    }
}

#[cfg(test)]
mod tests {
    use super::lasting_words;

    #[test]
    fn a_check_that_is_over_is_not_spoken_of() {
        let said = |pieces, is_gone| lasting_words("x was cut by somebody else", pieces, is_gone);
        let many = "x was cut by somebody else: 3 pieces of it are missing until it is as it was";
        assert_eq!(said(3, false), many);
        assert!(said(1, false).ends_with(": 1 piece of it is missing until it is as it was"));
        assert_eq!([said(0, false), said(3, true)], ["x was cut by somebody else"; 2]);
    }
}
