//! Snapshots of a torrent for people and programs: plain numbers, never references into
//! live state. One snapshot serves the REPL, progress lines and JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::file_priority::FilePriority;
use crate::base::ids::FileIndex;
use crate::base::meter::{RateMeter, time_left};
use crate::disk::{ChangedFile, DiskRates, Home};
use crate::swarm::event::Source;
pub use crate::swarm::report::SourceState;
use crate::swarm::waits::WaitReport;
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};

pub use crate::wire::mse::Method;

/// What a torrent is doing.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum State {
    /// Looking at data that is already on disk.
    #[default]
    Checking,
    /// Its files are on their way to another place; nothing else runs.
    Moving,
    /// Waiting for its turn: nothing of it runs. `resume` starts it at once.
    Queued,
    /// Fetching.
    Downloading,
    /// Everything wanted is verified and written, and whoever wants it gets it.
    Complete,
    /// Complete, and seeded as long as was asked for: nothing of it runs. `resume` seeds on.
    Finished,
    /// Stopped by the user for now.
    Paused,
    /// On its way to the end.
    Stopping,
    /// The disk fails; tried again by itself. The text says how.
    DiskTrouble(String),
    /// It cannot go on: why, and what to do.
    Failed(String),
}

/// The torrent at one moment. Bytes are bytes, rates bytes per second.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Bytes of the files that are wanted, pad files left out.
    pub wanted_bytes: u64,
    /// Those of them that are verified and written.
    pub done_bytes: u64,
    /// What is verified and written, but not yet known to be on the device: a power loss may take
    /// it.
    pub unsynced_bytes: u64,
    /// What was on disk when it started; none before that was looked at.
    pub found: Option<Arc<FoundPieces>>,
    /// Bytes of the whole torrent that are missing, wanted or not, pad files left out.
    pub missing_bytes: u64,
    /// How much each file is wanted, by its position in the torrent.
    pub files: Arc<[FilePriority]>,
    /// Bytes looked at so far and to look at, while checking.
    pub checked_bytes: (u64, u64),
    /// Bytes copied so far and to copy, while its files are moved.
    pub moved_bytes: (u64, u64),
    /// Bytes copied a second, while its files are moved.
    pub move_rate: u64,
    /// Where its files are and what they are called; none before it was opened.
    pub home: Option<Arc<Home>>,
    /// Bytes looked at a second, recently.
    pub check_rate: u64,
    /// The check waits for another one that reads the same disk.
    pub check_waits: bool,
    /// Pieces of the torrent.
    pub piece_count: u32,
    /// Verified pieces.
    pub pieces_verified: u32,
    /// Of the pieces that hold bytes of wanted files, those that are verified, and all; both 0
    /// before it was opened.
    pub pieces_wanted: (u32, u32),
    /// Pieces with some blocks here or on their way.
    pub pieces_in_progress: u32,
    /// How often a piece failed its hash.
    pub hash_failures: u32,
    /// Payload received a second, recently.
    pub down_rate: u64,
    /// Payload sent a second, recently.
    pub up_rate: u64,
    /// What the rates come from, to add up those of several torrents; none where nothing moves.
    pub down_meter: Option<RateMeter>,
    /// Likewise.
    pub up_meter: Option<RateMeter>,
    /// Payload received in this run.
    pub downloaded_bytes: u64,
    /// What of that was of pieces that were right.
    pub verified_bytes: u64,
    /// Payload sent in this run.
    pub uploaded_bytes: u64,
    /// Payload sent in all runs before this one.
    pub uploaded_before_bytes: u64,
    /// Payload received in vain: twice, unasked, or wrong.
    pub wasted_bytes: u64,
    /// What of that was of pieces that were wrong.
    pub corrupt_bytes: u64,
    /// It is complete, and nothing of it runs: it wakes when somebody wants something of it.
    pub is_asleep: bool,
    /// Everything of the torrent has been here at some time of this run.
    pub was_whole: bool,
    /// Time since the start of this run.
    pub running: Duration,
    /// How long that was when the bytes were counted, up to half a second before.
    pub counted: Duration,
    /// When this was so; none while nothing of it runs.
    pub posted_at: Option<Instant>,
    /// Time spent fetching, from the first request to the last payload and without pauses, for
    /// averages.
    pub transferring: Duration,
    /// Links that are up.
    pub peers_connected: u32,
    /// Those of them that have everything.
    pub seeds_connected: u32,
    /// Links that sent payload in the last seconds.
    pub peers_sending: u32,
    /// Links that we send payload to.
    pub peers_receiving: u32,
    /// Addresses known, connected ones included.
    pub peers_known: u32,
    /// Servers of its files that there are connections to.
    pub sources_connected: u32,
    /// All servers of its files.
    pub sources_known: u32,
    /// Something is missing that nobody who is known can be expected to bring.
    pub out_of_reach: bool,
    /// Download limit in force: the session's or the torrent's, whichever is lower.
    pub limit_down: Option<u64>,
    /// Upload limit in force, likewise.
    pub limit_up: Option<u64>,
    /// The port we listen on, 0 when none.
    pub listen_port: u16,
    /// All trackers, in tier order.
    pub trackers: Vec<TrackerStatus>,
    /// What the DHT does for it; none where it does nothing.
    pub dht: Option<DhtStatus>,
    /// Verified pieces as the wire's bit set, for `files`.
    pub have: Vec<u8>,
    /// The disk's trouble, while it lasts.
    pub disk_trouble: Option<String>,
    /// Why the device did not take everything at the end, if it did not.
    pub flush_failure: Option<String>,
    /// Why verified pieces cannot be recorded, while they cannot.
    pub record_trouble: Option<String>,
}

/// What of a torrent was on disk when it started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FoundPieces {
    /// Pieces that are there.
    pub count: u32,
    /// Those of them that nobody looked at in this run: the record of earlier ones holds them for
    /// verified, and by length and time of change their files are as it says.
    pub by_record: u32,
    /// Files that others have changed or removed since the record was written, with what is wanted
    /// and lost of them.
    pub changed: Vec<ChangedFile>,
    /// Why what is missing cannot all be written now, where that is no reason not to begin.
    pub lacks_room: Option<String>,
    /// What the record says, where it was passed over (`--no-resume`).
    pub ignored: Option<String>,
}

impl Status {
    /// Wanted bytes that are done, 0 to 1; 1 when nothing is wanted.
    pub fn progress(&self) -> f64 {
        if self.wanted_bytes == 0 {
            return 1.0;
        }
        self.done_bytes as f64 / self.wanted_bytes as f64
    }

    /// Which files are wanted, by their position in the torrent.
    pub fn wanted_files(&self) -> Vec<bool> {
        self.files.iter().map(|file| file.is_wanted()).collect()
    }

    /// Whether it is complete and awake, and nobody is connected to it.
    pub fn is_alone(&self) -> bool {
        self.state == State::Complete && !self.is_asleep && self.peers_connected == 0
    }

    /// What is wrong with it, if anything is, in words for people.
    pub fn trouble(&self) -> Option<&str> {
        if let State::DiskTrouble(why) | State::Failed(why) = &self.state {
            return Some(why);
        }
        let others = [&self.disk_trouble, &self.record_trouble, &self.flush_failure];
        others.into_iter().flatten().next().map(String::as_str)
    }

    /// Bytes of wanted files that are missing.
    pub fn left_bytes(&self) -> u64 {
        self.wanted_bytes.saturating_sub(self.done_bytes)
    }

    /// Payload sent in the whole life of the torrent.
    pub fn uploaded_in_all(&self) -> u64 {
        self.uploaded_before_bytes.saturating_add(self.uploaded_bytes)
    }

    /// What was sent in the torrent's life for each byte of the wanted files; 0 when nothing is
    /// wanted. Not by what was received: data that came by other ways is seeded all the same. Nor
    /// by what is here, which grows meanwhile (Transmission: `uploadedEver / sizeWhenDone`).
    pub fn ratio(&self) -> f64 {
        match self.wanted_bytes {
            0 => 0.0,
            wanted => self.uploaded_in_all() as f64 / wanted as f64,
        }
    }

    /// This snapshot as it is at `now`: how long the run lasts, and rates, which fade.
    pub fn as_of(mut self, now: Instant) -> Self {
        let Some(posted_at) = self.posted_at else { return self };
        self.running += now.saturating_duration_since(posted_at);
        self.posted_at = Some(now);
        if let Some(meter) = &self.down_meter {
            self.down_rate = meter.shown(now);
        }
        if let Some(meter) = &self.up_meter {
            self.up_rate = meter.shown(now);
        }
        self
    }

    /// How long the rest of the check takes at its present rate.
    pub fn check_remaining(&self) -> Option<Duration> {
        let (done, all) = self.checked_bytes;
        time_left(all.saturating_sub(done), self.check_rate)
    }

    /// How long the rest takes at the present rate.
    pub fn remaining(&self) -> Option<Duration> {
        let rest = self.wanted_bytes.saturating_sub(self.done_bytes);
        rest.checked_div(self.down_rate).map(Duration::from_secs)
    }
}

/// The DHT as a torrent sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DhtStatus {
    /// Nodes that answer.
    pub nodes: usize,
    /// Nodes that were heard of, those that answer among them.
    pub known: usize,
    /// Since when nobody answered, though somebody was asked.
    pub silent: Option<Duration>,
    /// How long ago it was announced last, and at how many nodes.
    pub announced: Option<(Duration, usize)>,
}

/// What a torrent lacks that is to be whole.
pub(super) fn missing_words(count: usize, all: u32) -> String {
    match (count, all) {
        (_, 1) => "its only piece is missing or wrong".to_owned(),
        (1, _) => format!("1 of {all} pieces is missing or wrong"),
        _ => format!("{count} of {all} pieces are missing or wrong"),
    }
}

/// What several torrents receive and send a second together. Not the sum of their rates: one that
/// has just begun shows its own at once, while those that it took from fade.
pub fn rates_together(statuses: &[Status], now: Instant) -> (u64, u64) {
    let sum = |meter: fn(&Status) -> Option<&RateMeter>, rate: fn(&Status) -> u64| {
        let moving = statuses.iter().filter_map(meter);
        let others = statuses.iter().filter(|status| meter(status).is_none());
        RateMeter::together(moving, now) + others.map(rate).sum::<u64>()
    };
    let down = sum(|status| status.down_meter.as_ref(), |status| status.down_rate);
    (down, sum(|status| status.up_meter.as_ref(), |status| status.up_rate))
}

/// One peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Is it connected?
    pub connected: bool,
    /// What it calls itself; not yet escaped for a terminal.
    pub client: String,
    /// Share of the pieces it has, 0 to 1.
    pub have: f64,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload to it a second.
    pub up_rate: u64,
    /// Payload from it so far.
    pub downloaded_bytes: u64,
    /// Payload to it so far.
    pub uploaded_bytes: u64,
    /// We choke it.
    pub choked_by_us: bool,
    /// Requests outstanding, and how many we want to keep.
    pub requests: (u32, u32),
    /// Shortest time from request to block.
    pub latency: Option<Duration>,
    /// It connected to us.
    pub incoming: bool,
    /// It chokes us.
    pub choking: bool,
    /// We want data from it.
    pub interesting: bool,
    /// It wants data from us.
    pub interested: bool,
    /// It let requests time out.
    pub snubbed: bool,
    /// What hides the connection, if it began with an encrypted handshake.
    pub mse: Option<Method>,
    /// Who named it, if that is known still.
    pub source: Option<Source>,
    /// Why the last connection ended, for known peers.
    pub last_error: Option<String>,
    /// How long ago that was, if it ever stood.
    pub left: Option<Duration>,
    /// It sent corrupt data, and is not spoken to any more.
    pub banned: bool,
}

impl PeerStatus {
    /// A known address without a link.
    pub fn unconnected(address: SocketAddr) -> Self {
        Self {
            address,
            connected: false,
            client: String::new(),
            have: 0.0,
            down_rate: 0,
            up_rate: 0,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            choked_by_us: true,
            requests: (0, 0),
            latency: None,
            incoming: false,
            choking: false,
            interesting: false,
            interested: false,
            snubbed: false,
            mse: None,
            source: None,
            last_error: None,
            left: None,
            banned: false,
        }
    }
}

/// A tracker, as far as `why` speaks of it.
#[derive(Clone, PartialEq, Debug)]
pub struct TrackerBrief {
    /// Its announce URL.
    pub url: String,
    /// How it stands.
    pub state: TrackerState,
    /// Why its last announce failed.
    pub error: Option<String>,
    /// Peers in its last reply.
    pub peers: Option<usize>,
    /// How long until it is asked by itself.
    pub next_in: Option<Duration>,
}

/// A server of files.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceStatus {
    /// Its host, with the port if that is no usual one, and a number where it has several.
    pub site: String,
    /// Its URL without user, password and query.
    pub url: String,
    /// The files that it has.
    pub scope: SourceScope,
    /// What it is good for at present.
    pub state: SourceState,
    /// Connections to it.
    pub links: u32,
    /// Of those, with something under way.
    pub busy: u32,
    /// Connections that are waited for.
    pub coming: u32,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload from it so far.
    pub downloaded_bytes: u64,
    /// Files that it does not send at present, or only as a whole.
    pub files: Vec<SourceFileStatus>,
}

/// Which files a server has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SourceScope {
    /// All of them, below its URL.
    #[default]
    All,
    /// The one with this path, which its URL is of; not yet escaped for a terminal.
    File(String),
    /// So many, each at a URL of its own.
    Files(usize),
    /// It is several servers, that pieces come from which lie in so many files.
    Seams(usize),
}

/// A file that a server does not send as it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFileStatus {
    /// Which.
    pub file: FileIndex,
    /// Its path in the torrent; not yet escaped for a terminal.
    pub path: String,
    /// The URL that it has there, without user, password and query, if it can have one.
    pub url: Option<String>,
    /// Why it is not asked for, if it is not; not yet escaped for a terminal.
    pub why: Option<String>,
    /// For so long; none when it is not asked for any more, or is.
    pub left: Option<Duration>,
    /// It is sent from its first byte on only.
    pub whole_only: bool,
}

/// The answer to `why`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WhyReport {
    /// Time by cause.
    pub waits: WaitReport,
    /// Links that are up.
    pub connected: u32,
    /// Links whose remote has something that we lack.
    pub interesting: u32,
    /// Of those, links whose remote chokes us.
    pub choking: u32,
    /// Of those, links that let requests time out.
    pub snubbed: u32,
    /// Pieces that we lack and no connected peer has.
    pub pieces_nobody_has: u32,
    /// Dials under way.
    pub dialling: u32,
    /// Candidates that could be dialled now or later.
    pub candidates: u32,
    /// Payload received a second.
    pub down_rate: u64,
    /// The user's limit.
    pub limit_down: Option<u64>,
    /// How long ago that was changed; none when it never was.
    pub limit_age: Option<Duration>,
    /// What most addresses that are not connected failed with, and how many did.
    pub last_error: Option<(String, u32)>,
    /// Addresses that were named and are on the blocklist. The others do not count them.
    pub blocked: u32,
    /// The last peers that were banned for corrupt data.
    pub banned: Vec<SocketAddr>,
    /// Blocks in memory, those of other torrents and those at the disk too, and the most there
    /// may be.
    pub memory_blocks: (u32, u32),
    /// Pieces at the disk workers.
    pub pieces_at_disk: u32,
    /// Why the disk pauses the torrent, while it does.
    pub disk_trouble: Option<String>,
    /// The servers of its files.
    pub sources: Vec<SourceStatus>,
    /// The limit on what all of those together send.
    pub limit_web: Option<u64>,
    /// The tracker that matters, the first that works or else the first, when there is one.
    pub tracker: Option<TrackerBrief>,
    /// What the DHT does for it; none where it does nothing.
    pub dht: Option<DhtStatus>,
    /// What the disk workers did over the last minute, for all torrents.
    pub disk: DiskRates,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_and_the_bytes_are_those_of_when_they_were_counted() {
        let (running, posted_at) = (Duration::from_secs(4), Instant::now());
        let posted =
            Status { running, counted: running, posted_at: Some(posted_at), ..Status::default() };
        let shown = posted.as_of(posted_at + Duration::from_millis(400));
        assert_eq!((shown.running, shown.counted), (Duration::from_millis(4400), running));
    }
}
