//! What may be set of a torrent at any time, whatever it does: a running one follows it at once,
//! any other when it runs. It is noted here and shown; what follows from it is the actor's.

use std::sync::Arc;

use crate::base::file_priority::FilePriority;
use crate::net::limiter::Limiter;

use super::board::Board;
use super::command::Command;
use super::options::Conduct;

/// What is wanted of a torrent now.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// One entry a file.
    pub files: Vec<FilePriority>,
    pub conduct: Conduct,
    /// All trackers by tier, where they are not those that it came with.
    pub trackers: Option<Arc<[Vec<String>]>>,
    /// Its own limits, below the session's.
    pub limiter: Arc<Limiter>,
    pub up_limiter: Arc<Limiter>,
}

impl Wish {
    /// A flag a file.
    pub fn wanted_files(&self) -> Vec<bool> {
        self.files.iter().map(|file| file.is_wanted()).collect()
    }

    /// Takes over those of these orders that set something: what is set later is not to be undone
    /// by them.
    pub fn take_all(&mut self, board: &Board, orders: &mut Vec<Command>) {
        let others = std::mem::take(orders).into_iter();
        orders.extend(others.filter_map(|order| self.take(board, order)));
    }

    /// Takes over an order that sets something while nothing of the torrent runs; gives back any
    /// other.
    pub fn take(&mut self, board: &Board, order: Command) -> Option<Command> {
        match order {
            Command::SelectFiles(choice) => {
                self.files = choice.over(&self.files);
                board.change(|status| status.files = self.files.clone().into());
            }
            Command::Conduct(conduct) => self.conduct = conduct,
            Command::Trackers(tiers) => self.trackers = Some(tiers),
            Command::LimitDown(limit) => {
                self.limiter.set_rate(limit);
                board.change(|status| status.limit_down = self.limiter.rate());
            }
            Command::LimitUp(limit) => {
                self.up_limiter.set_rate(limit);
                board.change(|status| status.limit_up = self.up_limiter.rate());
            }
            other => return Some(other),
        }
        None
    }
}
