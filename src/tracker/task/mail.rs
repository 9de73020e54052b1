//! What torrents tell the announcer: one letter each, which grows until it is taken. So nobody
//! waits for the task, nothing is lost, and there is never more than a letter an entry.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use super::config::TrackerConfig;
use super::lookout::Lookout;
use super::news::{TrackerCommand, TrackerEvent, TransferStats};
use crate::tracker::tiers::ManualAnnounce;
use crate::tracker::tiers::status::TrackerStatus;

/// Wishes to announce, or to see how trackers stand, in one letter; more are not answered.
const WISHES_MAX: usize = 16;

/// One torrent, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct EntryId(u64);

/// A torrent that enters.
pub(super) struct Newcomer {
    pub config: TrackerConfig,
    pub stats: TransferStats,
    pub ears: Listener,
}

/// Who is to hear of a torrent.
#[derive(Debug)]
pub(super) enum Listener {
    Nobody,
    /// Whoever it is hears all.
    All(mpsc::Sender<TrackerEvent>),
    Lookout(Lookout),
}

/// What one torrent has told since the last letter, in the order in which it counts.
#[derive(Default)]
pub(super) struct Letter {
    pub newcomer: Option<Box<Newcomer>>,
    pub ears: Option<Listener>,
    /// The last of them.
    pub stats: Option<TransferStats>,
    /// All trackers, by tier.
    pub tiers: Option<Vec<Vec<String>>>,
    pub is_completed: bool,
    pub wants_scrape: bool,
    pub wishes: Vec<oneshot::Sender<ManualAnnounce>>,
    pub looks: Vec<oneshot::Sender<Vec<TrackerStatus>>>,
    pub stop: Option<oneshot::Sender<()>>,
    pub is_gone: bool,
}

impl Letter {
    pub fn look(&mut self, answer: oneshot::Sender<Vec<TrackerStatus>>) {
        if self.looks.len() < WISHES_MAX {
            self.looks.push(answer);
        }
    }

    pub fn order(&mut self, command: TrackerCommand) {
        match command {
            TrackerCommand::Announce(answer) if self.wishes.len() < WISHES_MAX => {
                self.wishes.push(answer);
            }
            TrackerCommand::Announce(_) => {}
            TrackerCommand::Completed => self.is_completed = true,
            TrackerCommand::Scrape => self.wants_scrape = true,
        }
    }
}

/// All letters that were not taken yet.
#[derive(Default)]
pub(super) struct Mail {
    letters: BTreeMap<EntryId, Letter>,
    entered: u64,
}

impl Mail {
    pub fn enter(&mut self, newcomer: Box<Newcomer>) -> EntryId {
        let id = EntryId(self.entered);
        self.entered += 1;
        self.letter(id).newcomer = Some(newcomer);
        id
    }

    pub fn letter(&mut self, id: EntryId) -> &mut Letter {
        self.letters.entry(id).or_default()
    }

    pub fn take(&mut self) -> BTreeMap<EntryId, Letter> {
        std::mem::take(&mut self.letters)
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("letters", &self.letters.len()).finish_non_exhaustive()
    }
}
