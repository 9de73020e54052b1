//! The actor's side of the announcer: its entry there, an event stream and the last status. A
//! torrent without trackers has one that never says anything.

use std::future::{Future, pending};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::base::units::duration;
use crate::metainfo::Torrent;
use crate::tracker::task::{
    Announcer, Entry, TrackerCommand, TrackerConfig, TrackerEvent, TransferStats,
};
use crate::tracker::tiers::ManualAnnounce;
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};

use super::options::TorrentOptions;
use super::resources::NUMWANT;
use super::status::{Status, TrackerBrief};

/// Events on their way from the announcer; it keeps what does not fit.
const EVENTS_LEN: usize = 64;
/// A little over the budget that it keeps by itself for all goodbyes of a torrent.
pub(super) const STOP_BUDGET: Duration = Duration::from_millis(3500);

/// The trackers of one torrent.
#[derive(Debug)]
pub(super) struct Trackers {
    /// None when there is nobody to ask.
    entry: Option<Entry>,
    /// None when there is nobody to ask.
    events: Option<mpsc::Receiver<TrackerEvent>>,
    pub status: Vec<TrackerStatus>,
    stats: TransferStats,
    /// Which tracker of a private torrent answered last.
    private: Option<String>,
}

impl Trackers {
    /// Starts announcing; with no `config` there is nobody to ask.
    pub fn start(
        announcer: &Announcer,
        config: Option<TrackerConfig>,
        stats: TransferStats,
    ) -> Self {
        let enter = |config| {
            let (news, events) = mpsc::channel(EVENTS_LEN);
            (announcer.enter(config, stats, Some(news)), events)
        };
        let (entry, events) = config.map(enter).unzip();
        Self { entry, events, status: Vec::new(), stats, private: None }
    }

    /// Goes on with what was announced before anybody listened.
    pub fn hear(entry: Entry, stats: TransferStats) -> Self {
        let (news, events) = mpsc::channel(EVENTS_LEN);
        entry.listen(Some(news));
        let (entry, events) = (Some(entry), Some(events));
        Self { entry, events, status: Vec::new(), stats, private: None }
    }

    /// Announces with another `config` from now on: trackers that are in both are not left.
    pub fn follow(&mut self, announcer: &Announcer, config: Option<TrackerConfig>) {
        match (&self.entry, config) {
            (Some(entry), Some(config)) => entry.name(config.tiers),
            (_, config) => {
                let others = Self::start(announcer, config, self.stats);
                // Nobody waits for that.
                drop(std::mem::replace(self, others).leave());
            }
        }
    }

    /// The next event; waits for ever when there is nobody to ask. May be dropped without loss.
    pub async fn next(&mut self) -> TrackerEvent {
        match &mut self.events {
            // The announcer lives as long as its entry.
            Some(events) => match events.recv().await {
                Some(event) => event,
                None => pending().await,
            },
            None => pending().await,
        }
    }

    /// Gives an order.
    pub fn tell(&self, command: TrackerCommand) {
        if let Some(entry) = &self.entry {
            entry.tell(command);
        }
    }

    /// Tells the announcer what trackers are told, how many peers do or may serve us, and whether
    /// the torrent takes part at all.
    pub fn publish(&mut self, status: &Status, working_peers: usize, is_paused: bool) {
        let stats = TransferStats {
            uploaded: status.uploaded_bytes,
            downloaded: status.verified_bytes,
            corrupt: status.corrupt_bytes,
            redundant: status.wasted_bytes.saturating_sub(status.corrupt_bytes),
            left: status.missing_bytes,
            wanted_left: status.left_bytes(),
            peers_connected: status.peers_connected as usize,
            working_peers,
            is_paused,
        };
        let before = std::mem::replace(&mut self.stats, stats);
        if let Some(entry) = self.entry.as_ref().filter(|_| before != stats) {
            entry.publish(stats);
        }
    }

    /// Tells the announcer whether the torrent takes part at all; the rest is as before.
    pub fn pause(&mut self, is_paused: bool) {
        let stats = TransferStats { is_paused, ..self.stats };
        if let Some(entry) = self.entry.as_ref().filter(|_| self.stats != stats) {
            entry.publish(stats);
        }
        self.stats = stats;
    }

    /// Announces now, as far as they allow; one line for people.
    pub async fn announce(&self) -> String {
        let (reply, replied) = oneshot::channel();
        self.tell(TrackerCommand::Announce(reply));
        // The tracker task answers at once; it never waits for the network here.
        replied.await.map_or_else(|_| no_tracker(), manual_announce)
    }

    /// Whether all trackers that answered say that nobody lacks anything.
    pub fn knows_nobody_to_serve(&self) -> bool {
        let mut told = self.status.iter().filter_map(|tracker| tracker.leeches).peekable();
        told.peek().is_some() && told.all(|leeches| leeches == 0)
    }

    /// Notes which tracker of a private torrent has answered; is it another one than before?
    pub fn is_another(&mut self, url: String) -> bool {
        let before = self.private.replace(url);
        before.is_some() && before != self.private
    }

    /// How the first tracker stands, in words.
    pub fn words(&self) -> Option<String> {
        let first = self.status.first()?;
        Some(match first.last_error.as_deref() {
            Some(error) => format!("{}: {error}", first.url),
            None => format!("{}: {}", first.url, first.state),
        })
    }

    /// How the tracker that matters stands, for `why`.
    pub fn brief(&self, now: Instant) -> Option<TrackerBrief> {
        let works = self.status.iter().find(|tracker| tracker.state == TrackerState::Working);
        let tracker = works.or(self.status.first())?;
        Some(TrackerBrief {
            url: tracker.url.clone(),
            state: tracker.state,
            error: tracker.last_error.clone(),
            peers: tracker.peers,
            next_in: tracker.next_announce_at.map(|at| at.saturating_duration_since(now)),
        })
    }

    /// Says goodbye to all trackers, aside.
    pub fn leave(self) -> Goodbye {
        Goodbye(tokio::spawn(async move { self.stop().await }))
    }

    /// Says goodbye to all trackers; the future ends when that is done or takes too long.
    pub fn stop(&self) -> impl Future<Output = ()> + use<> {
        let stop = self.entry.as_ref().map(Entry::stop);
        async move {
            if let Some(stop) = stop {
                // Late or lost, the torrent ends all the same.
                let _ = timeout(STOP_BUDGET, stop).await;
            }
        }
    }
}

/// Trackers are told that we leave, whatever becomes of who waits for that.
#[derive(Debug)]
pub(super) struct Goodbye(JoinHandle<()>);

impl Goodbye {
    /// Waits until they were told, or their time is over.
    pub async fn said(self) {
        // A panic is told by the runtime.
        let _ = self.0.await;
    }
}

/// An announce URL as far as it may be logged: paths and queries of private trackers hold
/// passkeys, so only a plain `/announce` is shown.
pub fn without_passkey(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    // A user and password may stand before the host.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = if path.is_empty() || path == "/announce" { path } else { "/..." };
    format!("{scheme}://{host}{path}")
}

/// What a tracker said, or did not, in one line for people; it is logged, too.
pub(super) fn trouble_words(url: &str, verb: &str, text: &str) -> String {
    let shown = without_passkey(url);
    warn!(url = shown, text, "tracker {verb}");
    format!("{shown} {verb}: {text}")
}

fn no_tracker() -> String {
    "no tracker to ask".to_owned()
}

fn manual_announce(answer: ManualAnnounce) -> String {
    match answer {
        ManualAnnounce::Asking(url) => format!("asking {url}"),
        ManualAnnounce::AllowedIn(url, wait) => {
            format!("{url} allows it in {}", duration(wait))
        }
        ManualAnnounce::Paused => "paused: trackers were told that we left".to_owned(),
        ManualAnnounce::NoTracker => no_tracker(),
    }
}

/// The trackers of a torrent by tier: `wanted` in the place of all others.
pub(super) fn tiers_of(
    torrent: &Torrent,
    options: &TorrentOptions,
    wanted: Option<&[Vec<String>]>,
) -> Vec<Vec<String>> {
    match wanted {
        Some(tiers) => tiers.to_vec(),
        None => {
            let named = options.extra_trackers.iter().map(|url| vec![url.clone()]);
            named.chain(torrent.trackers.iter().cloned()).collect()
        }
    }
}

/// What to announce a torrent with; none when there is nobody to ask, or its hash is no name for
/// it.
pub(super) fn config_of(
    torrent: &Torrent,
    tiers: Vec<Vec<String>>,
    was_complete: bool,
) -> Option<TrackerConfig> {
    let info_hash = torrent.info_hash_v1.filter(|_| torrent.is_judged())?;
    (!tiers.is_empty()).then(|| TrackerConfig {
        tiers,
        info_hash,
        key: rand::random(),
        numwant: NUMWANT,
        is_private: torrent.private,
        was_complete,
        rng_seed: rand::random(),
    })
}

/// What trackers are told at the start: bytes of the torrent that are missing, wanted or not,
/// and the wanted ones of them.
pub(super) fn first_stats((left, wanted_left): (u64, u64)) -> TransferStats {
    TransferStats { left, wanted_left, ..TransferStats::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_not_shown() {
        let shown = |url| without_passkey(url);
        assert_eq!(shown("http://a.example:80/announce"), "http://a.example:80/announce");
        assert_eq!(shown("http://a.example/announce?passkey=1"), "http://a.example/...");
        assert_eq!(shown("https://u:p@a.example/0123/announce"), "https://a.example/...");
        assert_eq!(shown("udp://[::1]:6969"), "udp://[::1]:6969");
    }
}
