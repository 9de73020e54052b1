//! The actor's side of its tracker task: a sender, an event stream and the last status. A
//! torrent without trackers has one that never says anything.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::tracker::task::{TrackerCommand, TrackerConfig, TrackerEvent, TransferStats, spawn};
use crate::tracker::tiers::status::TrackerStatus;

use super::status::Status;

/// Orders on their way to the tracker task; it takes them at once.
const COMMANDS_LEN: usize = 16;
/// Events on their way from it; it keeps what does not fit.
const EVENTS_LEN: usize = 64;
/// A little over the budget that the task keeps by itself for all its goodbyes.
const STOP_BUDGET: Duration = Duration::from_millis(3500);

/// The tracker task of one torrent.
pub(super) struct Trackers {
    commands: mpsc::Sender<TrackerCommand>,
    pub events: mpsc::Receiver<TrackerEvent>,
    pub status: Vec<TrackerStatus>,
    stats: watch::Sender<TransferStats>,
}

impl Trackers {
    /// Starts announcing; with no `config` there is nobody to ask.
    pub fn start(config: Option<TrackerConfig>, stats: TransferStats) -> Self {
        let (commands, orders) = mpsc::channel(COMMANDS_LEN);
        let (news, events) = mpsc::channel(EVENTS_LEN);
        let (stats, seen) = watch::channel(stats);
        if let Some(config) = config {
            spawn(config, seen, orders, news);
        }
        Self { commands, events, status: Vec::new(), stats }
    }

    /// Gives an order. One that finds the task busy with sixteen others is dropped: all but
    /// `Completed` can be given again, and that one comes first of all.
    pub fn tell(&self, command: TrackerCommand) {
        let _ = self.commands.try_send(command);
    }

    /// More peers would help; the trackers' own limits decide whether they are asked.
    pub fn want_peers(&self) {
        let (answer, _) = oneshot::channel();
        self.tell(TrackerCommand::Announce(answer));
    }

    /// Tells the task what trackers are told.
    pub fn publish(&self, status: &Status) {
        let stats = TransferStats {
            uploaded: status.uploaded_bytes,
            downloaded: status.downloaded_bytes,
            left: status.wanted_bytes - status.done_bytes.min(status.wanted_bytes),
            peers_connected: status.peers_connected as usize,
            working_peers: status.peers_connected as usize,
        };
        let changed = |old: &mut TransferStats| std::mem::replace(old, stats) != stats;
        self.stats.send_if_modified(changed);
    }

    /// How the first tracker stands, in words.
    pub fn words(&self) -> Option<String> {
        super::actor::tracker_words(&self.status)
    }

    /// Says goodbye to all trackers; the future ends when that is done or takes too long.
    pub fn stop(&self) -> impl Future<Output = ()> + use<> {
        let (answer, done) = oneshot::channel();
        self.tell(TrackerCommand::Stop(answer));
        async move {
            // Late or lost, the torrent ends all the same.
            let _ = timeout(STOP_BUDGET, done).await;
        }
    }
}

/// What trackers are told at the start.
pub(super) fn first_stats(left: u64) -> TransferStats {
    TransferStats { left, ..TransferStats::default() }
}
