//! What of a torrent goes on that is not here: trackers count it as a seed that has moved nothing
//! in this run. When it comes it goes on with that, and is not announced anew; dropped, it leaves
//! them. Not here: when that begins, and who is called for whom they name.

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::metainfo::Torrent;
use crate::tracker::task::{Announcer, Entry, Lookout, TransferStats};
use crate::tracker::tiers::status::TrackerStatus;

use super::options::TorrentOptions;
use super::trackers::{STOP_BUDGET, config_of, tiers_of};

/// The announces of a torrent that is not here.
#[derive(Debug)]
pub struct Outpost {
    pub(super) entry: Entry,
    /// Whom trackers named last that may lack something.
    pub(super) named: Vec<SocketAddr>,
}

impl Outpost {
    /// Announces a torrent that is wanted like this, and whole; none where there is nobody to ask.
    /// Of `torrent` nothing is kept but the URLs of its trackers.
    pub fn begin(
        announcer: &Announcer,
        torrent: &Torrent,
        options: &TorrentOptions,
        lookout: Lookout,
    ) -> Option<Self> {
        let tiers = tiers_of(torrent, options, options.trackers.as_deref());
        let config = config_of(torrent, tiers, true).filter(|_| options.use_trackers)?;
        let entry = announcer.enter_unseen(config, TransferStats::default(), lookout);
        Some(Self { entry, named: Vec::new() })
    }

    /// These are its trackers from now on, by tier.
    pub fn name(&self, tiers: Vec<Vec<String>>) {
        self.entry.name(tiers);
    }

    /// Whether it takes part at all.
    pub fn pause(&self, is_paused: bool) {
        self.entry.publish(TransferStats { is_paused, ..TransferStats::default() });
    }

    /// Trackers name these, whom it is to meet when it is here.
    pub fn meet(&mut self, addresses: Vec<SocketAddr>) {
        self.named = addresses;
    }

    /// Answers at once how its trackers stand.
    pub fn look(&self, answer: oneshot::Sender<Vec<TrackerStatus>>) {
        self.entry.look(answer);
    }

    /// All of them say goodbye to their trackers, side by side; the future ends when those were
    /// told or that takes too long, and need not be waited for.
    pub fn leave(all: impl Iterator<Item = Self>) -> impl Future<Output = ()> {
        let stops: Vec<_> = all.map(|outpost| outpost.entry.stop()).collect();
        async move {
            let stopped = async {
                for stop in stops {
                    stop.await;
                }
            };
            // Late or lost, they end all the same.
            let _ = timeout(STOP_BUDGET, stopped).await;
        }
    }
}
