//! Makes snapshots for people out of the brain's numbers, and keeps the few that only
//! people need: verified bytes of wanted files, how long a run lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::extents::{Extents, FileSlice};
use crate::base::file_priority::FilePriority;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pool::BlockPool;
use crate::disk::{DiskRates, Home};
use crate::metainfo::Torrent;
use crate::swarm::Swarm;
use crate::swarm::report::{Known, LinkSnapshot};
use crate::tracker::tiers::status::TrackerStatus;

use super::status::{PeerStatus, State, Status, TrackerBrief, WhyReport};

/// What a torrent did in this run before its actor began: one that was parked, moved or away has
/// had others.
#[derive(Clone, Debug)]
pub(super) struct SoFar {
    began: Instant,
    downloaded_bytes: u64,
    verified_bytes: u64,
    uploaded_bytes: u64,
    wasted_bytes: u64,
    corrupt_bytes: u64,
    transferring: Duration,
    was_whole: bool,
}

impl SoFar {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self {
            began: Instant::now(),
            downloaded_bytes: 0,
            verified_bytes: 0,
            uploaded_bytes: 0,
            wasted_bytes: 0,
            corrupt_bytes: 0,
            transferring: Duration::ZERO,
            was_whole: false,
        }
    }

    /// Takes over what the last actor posted.
    pub fn take(&mut self, status: &Status) {
        self.downloaded_bytes = status.downloaded_bytes;
        self.uploaded_bytes = status.uploaded_bytes;
        self.verified_bytes = status.verified_bytes;
        self.wasted_bytes = status.wasted_bytes;
        self.corrupt_bytes = status.corrupt_bytes;
        self.transferring = status.transferring;
        self.was_whole |= status.was_whole;
    }

    /// Everything of the torrent has been here at some time of this run.
    pub fn was_whole(&self) -> bool {
        self.was_whole
    }
}

/// What only people need to know of a torrent.
pub(super) struct Publisher {
    so_far: SoFar,
    uploaded_before_bytes: u64,
    home: Option<Arc<Home>>,
    paused: bool,
    stopping: bool,
    /// Every wanted file was looked at after its last piece.
    complete: bool,
    /// What is wrong with a file, until all are whole.
    trouble: Option<String>,
    /// What is wrong with the record of verified pieces, while it is.
    record_trouble: Option<String>,
    /// Why the device did not take everything at the end.
    flush_failure: Option<String>,
    /// The pieces that are counted as here: each once, in whatever order it is told of.
    here: Bitfield,
    wanted: Bitfield,
    /// One entry a file.
    files: Arc<[FilePriority]>,
    wanted_bytes: u64,
    done_bytes: u64,
    missing_bytes: u64,
    done_pieces: u32,
    piece_count: u32,
    pool: BlockPool,
    listen_port: u16,
}

impl Publisher {
    pub fn new(
        piece_count: u32,
        pool: BlockPool,
        listen_port: u16,
        uploaded_before_bytes: u64,
        so_far: SoFar,
        home: Option<Arc<Home>>,
    ) -> Self {
        Self {
            so_far,
            uploaded_before_bytes,
            home,
            paused: false,
            stopping: false,
            complete: false,
            trouble: None,
            record_trouble: None,
            flush_failure: None,
            here: Bitfield::none(piece_count),
            wanted: Bitfield::none(piece_count),
            files: Arc::new([]),
            wanted_bytes: 0,
            done_bytes: 0,
            missing_bytes: 0,
            done_pieces: 0,
            piece_count,
            pool,
            listen_port,
        }
    }

    /// Counts bytes anew for another choice of pieces.
    pub fn set_wanted(
        &mut self,
        extents: &Extents,
        layout: &Layout,
        wanted: &Bitfield,
        files: &[FilePriority],
        have: &Bitfield,
    ) {
        self.here = have.clone();
        self.wanted = wanted.clone();
        self.files = files.into();
        self.complete = false;
        (self.wanted_bytes, self.done_bytes, self.missing_bytes) = (0, 0, 0);
        self.done_pieces = 0;
        for piece in layout.pieces() {
            let (bytes, chosen) =
                (payload(extents, layout, piece), self.chosen(extents, layout, piece));
            let (is_wanted, is_here) = (wanted.has(piece), have.has(piece));
            self.wanted_bytes += if is_wanted { chosen } else { 0 };
            self.done_bytes += if is_wanted && is_here { chosen } else { 0 };
            self.done_pieces += u32::from(is_wanted && is_here);
            self.missing_bytes += if is_here { 0 } else { bytes };
        }
        self.note_whole();
    }

    /// The same files are wanted, but not as much as before.
    pub fn set_files(&mut self, files: &[FilePriority]) {
        self.files = files.into();
    }

    /// Bytes of a piece that are of wanted files: one that they share with others is fetched whole,
    /// but nobody asked for the rest.
    fn chosen(&self, extents: &Extents, layout: &Layout, piece: PieceIndex) -> u64 {
        let is_wanted = |slice: &FileSlice| {
            let priority = self.files.get(slice.file.0 as usize);
            !slice.is_pad && priority.is_none_or(|it| it.is_wanted())
        };
        let slices = extents.slices(layout.piece_offset(piece), u64::from(layout.len_of(piece)));
        slices.filter(is_wanted).map(|slice| slice.len).sum()
    }

    fn note_whole(&mut self) {
        self.so_far.was_whole |= self.missing_bytes == 0;
    }

    /// A piece that was received is right.
    pub fn verified(&mut self, extents: &Extents, layout: &Layout, piece: PieceIndex) {
        self.found(extents, layout, piece);
        self.so_far.verified_bytes += payload(extents, layout, piece);
    }

    /// A piece is not right any more. Whoever noticed may not have been the only one.
    pub fn lost(&mut self, extents: &Extents, layout: &Layout, piece: PieceIndex) {
        if !self.here.remove(piece) {
            return;
        }
        let bytes = payload(extents, layout, piece);
        if self.wanted.has(piece) {
            let chosen = self.chosen(extents, layout, piece);
            self.complete = false;
            self.done_bytes -= chosen;
            self.done_pieces -= 1;
        }
        self.missing_bytes += bytes;
    }

    /// A piece that was lost is there again.
    pub fn found(&mut self, extents: &Extents, layout: &Layout, piece: PieceIndex) {
        if !self.here.insert(piece) {
            return;
        }
        if self.wanted.has(piece) {
            self.done_bytes += self.chosen(extents, layout, piece);
            self.done_pieces += 1;
        }
        self.missing_bytes -= payload(extents, layout, piece);
    }

    /// Bytes of the torrent that are missing, wanted or not; and the wanted ones of them.
    pub fn left(&self) -> (u64, u64) {
        (self.missing_bytes, self.wanted_bytes - self.done_bytes)
    }

    /// Notes what is wrong with a file; true when that is news.
    pub fn set_trouble(&mut self, trouble: Option<String>) -> bool {
        let changed = self.trouble != trouble;
        self.trouble = trouble;
        changed
    }

    /// Whether nothing is wrong with files, record or device.
    pub fn is_untroubled(&self) -> bool {
        self.trouble.is_none() && self.record_trouble.is_none() && self.flush_failure.is_none()
    }

    pub fn set_record_trouble(&mut self, trouble: Option<String>) {
        self.record_trouble = trouble;
    }

    pub fn set_flush_failure(&mut self, failure: String) {
        self.flush_failure = Some(failure);
    }

    pub fn set_complete(&mut self) {
        self.complete = true;
        self.note_whole();
    }

    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// The files that a piece is of, in words for people.
    pub fn files_of(
        &self,
        torrent: &Torrent,
        extents: &Extents,
        layout: &Layout,
        piece: PieceIndex,
    ) -> String {
        let slices = extents.slices(layout.piece_offset(piece), layout.len_of(piece).into());
        let name = |slice: FileSlice| {
            let path = torrent.files.iter().nth(slice.file.0 as usize)?.path.to_owned();
            let here = self.home.as_ref().map(|home| home.path_of(slice.file.0, &path));
            Some(here.unwrap_or(path).display().to_string())
        };
        let mut names = slices.filter(|slice| !slice.is_pad).filter_map(name);
        let first = names.next().unwrap_or_default();
        match names.count() {
            0 => first,
            1 => format!("{first} and another file"),
            more => format!("{first} and {more} more files"),
        }
    }

    pub fn set_stopping(&mut self) {
        self.stopping = true;
    }

    pub fn status(
        &self,
        swarm: &Swarm,
        trackers: &[TrackerStatus],
        (limit_down, limit_up): (Option<u64>, Option<u64>),
        now: Instant,
    ) -> Status {
        let numbers = swarm.snapshot(now);
        let state = self.state(swarm.is_complete(), numbers.disk_trouble.as_ref());
        let running = now.saturating_duration_since(self.so_far.began);
        Status {
            found: None,
            // The actor asks its disk.
            unsynced_bytes: 0,
            state,
            wanted_bytes: self.wanted_bytes,
            done_bytes: self.done_bytes,
            missing_bytes: self.missing_bytes,
            files: self.files.clone(),
            checked_bytes: (0, 0),
            moved_bytes: (0, 0),
            move_rate: 0,
            home: self.home.clone(),
            check_rate: 0,
            check_waits: false,
            piece_count: self.piece_count,
            pieces_verified: numbers.pieces_verified,
            pieces_wanted: (self.done_pieces, self.wanted.ones()),
            pieces_in_progress: numbers.pieces_in_progress,
            hash_failures: numbers.hash_failures,
            down_rate: numbers.down_rate,
            up_rate: numbers.up_rate,
            down_meter: swarm.down_meter().cloned(),
            up_meter: swarm.up_meter().cloned(),
            downloaded_bytes: self.so_far.downloaded_bytes + numbers.downloaded_bytes,
            verified_bytes: self.so_far.verified_bytes,
            uploaded_bytes: self.so_far.uploaded_bytes + numbers.uploaded_bytes,
            uploaded_before_bytes: self.uploaded_before_bytes,
            wasted_bytes: self.so_far.wasted_bytes + numbers.wasted_bytes,
            corrupt_bytes: self.so_far.corrupt_bytes + numbers.corrupt_bytes,
            is_asleep: false,
            was_whole: self.so_far.was_whole,
            running,
            counted: running,
            posted_at: Some(now),
            transferring: self.so_far.transferring + swarm.transferred_for(),
            peers_connected: numbers.connected,
            seeds_connected: numbers.seeds,
            peers_sending: numbers.sending,
            peers_receiving: numbers.receiving,
            peers_known: numbers.known,
            // The actor asks its servers.
            sources_connected: 0,
            sources_known: 0,
            out_of_reach: swarm.is_out_of_reach(),
            limit_down,
            limit_up,
            listen_port: self.listen_port,
            trackers: trackers.to_vec(),
            // The actor asks its seats.
            dht: None,
            have: swarm.have().as_bytes().to_vec(),
            disk_trouble: numbers.disk_trouble,
            record_trouble: self.record_trouble.clone(),
            flush_failure: self.flush_failure.clone(),
        }
    }

    fn state(&self, is_complete: bool, disk_trouble: Option<&String>) -> State {
        let trouble = self.trouble.as_ref().filter(|_| is_complete);
        match disk_trouble.or(trouble) {
            _ if self.stopping => State::Stopping,
            _ if self.paused => State::Paused,
            _ if is_complete && self.complete => State::Complete,
            Some(why) => State::DiskTrouble(why.clone()),
            None => State::Downloading,
        }
    }

    pub fn peers(&self, swarm: &Swarm, all: bool, now: Instant) -> Vec<PeerStatus> {
        let mut peers: Vec<_> = swarm.links(now).into_iter().map(connected).collect();
        if all {
            let connected: BTreeSet<_> = peers.iter().map(|peer| peer.address).collect();
            let known = swarm.known(now).into_iter();
            let idle = known.filter(|known| !connected.contains(&known.address));
            peers.extend(idle.map(|known| PeerStatus {
                last_error: known.last_error,
                left: known.left,
                ..PeerStatus::unconnected(known.address)
            }));
            let banned = swarm.banned().into_iter().map(PeerStatus::unconnected);
            peers.extend(banned.map(|peer| PeerStatus { banned: true, ..peer }));
        }
        peers
    }

    pub fn why(
        &self,
        swarm: &Swarm,
        (limit_down, limit_age): (Option<u64>, Option<Duration>),
        tracker: Option<TrackerBrief>,
        disk: DiskRates,
        now: Instant,
    ) -> WhyReport {
        let numbers = swarm.snapshot(now);
        WhyReport {
            waits: swarm.waits(now),
            connected: numbers.connected,
            interesting: numbers.interesting,
            choking: numbers.choking,
            snubbed: numbers.snubbed,
            pieces_nobody_has: swarm.nobody_has(),
            dialling: numbers.dialling,
            candidates: numbers.candidates,
            down_rate: numbers.down_rate,
            limit_down,
            limit_age,
            last_error: most_common_error(swarm.known(now)),
            banned: swarm.banned(),
            memory_blocks: (self.pool.in_use_blocks() as u32, self.pool.budget_blocks() as u32),
            pieces_at_disk: numbers.pieces_at_disk,
            disk_trouble: numbers.disk_trouble.or(self.trouble.clone()),
            tracker,
            // The actor asks its links, its seats and its servers.
            blocked: 0,
            dht: None,
            sources: Vec::new(),
            limit_web: None,
            disk,
        }
    }
}

/// What most of these addresses failed with, and how many did.
fn most_common_error(known: Vec<Known>) -> Option<(String, u32)> {
    let mut counts = BTreeMap::new();
    for Known { address, last_error, .. } in known {
        let Some(why) = last_error else { continue };
        // Those of dials name the address, and people want to know what they have in common.
        let why = why.replacen(&format!(" to {address}"), "", 1);
        *counts.entry(why).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}

fn connected(link: LinkSnapshot) -> PeerStatus {
    PeerStatus {
        connected: true,
        client: link.client,
        have: link.have,
        down_rate: link.down_rate,
        downloaded_bytes: link.downloaded_bytes,
        up_rate: link.up_rate,
        uploaded_bytes: link.uploaded_bytes,
        choked_by_us: link.choked_by_us,
        requests: link.requests,
        latency: link.latency,
        incoming: link.incoming,
        choking: link.choking,
        interesting: link.interesting,
        interested: link.interested,
        snubbed: link.snubbed,
        mse: link.mse,
        source: link.source,
        ..PeerStatus::unconnected(link.address)
    }
}

/// Bytes of these pieces that are not padding.
pub(super) fn payload_of(extents: &Extents, layout: &Layout, pieces: &Bitfield) -> u64 {
    let pieces = pieces.iter_ones().filter_map(|number| layout.piece(number));
    pieces.map(|piece| payload(extents, layout, piece)).sum()
}

/// Bytes of a piece that are not padding.
fn payload(extents: &Extents, layout: &Layout, piece: PieceIndex) -> u64 {
    let slices = extents.slices(layout.piece_offset(piece), u64::from(layout.len_of(piece)));
    slices.filter(|slice| !slice.is_pad).map(|slice| slice.len).sum()
}

/// The pieces that hold bytes of wanted files. Pad bytes make no piece wanted.
pub fn wanted_pieces(
    extents: &Extents,
    layout: &Layout,
    is_wanted: impl Fn(FileIndex) -> bool,
) -> Bitfield {
    let mut wanted = Bitfield::none(layout.piece_count());
    for number in 0..extents.file_count() {
        let file = FileIndex(number);
        let range = extents.file_range(file);
        let is_pad = || extents.slices(range.start, 1).any(|slice| slice.is_pad);
        if range.is_empty() || !is_wanted(file) || is_pad() {
            continue;
        }
        let first = layout.piece_at(range.start).map(PieceIndex::number);
        let last = layout.piece_at(range.end - 1).map(PieceIndex::number);
        let (Some(first), Some(last)) = (first, last) else { continue };
        for piece in (first..=last).filter_map(|number| layout.piece(number)) {
            wanted.insert(piece);
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece that a chosen file shares with others is fetched whole, and counts with the file.
    #[test]
    fn a_choice_of_files_is_as_large_as_they_are() {
        let (first, second) = (5_000, 3 * 16_384 - 5_000);
        let layout = Layout::new(first + second, 16_384).unwrap();
        let extents = Extents::new([(first, false), (second, false)]);
        let files = [FilePriority::Low, FilePriority::Off];
        let wanted = wanted_pieces(&extents, &layout, |it| files[it.0 as usize].is_wanted());
        assert_eq!(wanted.ones(), 1);
        let pool = BlockPool::new(1 << 20);
        let mut publisher = Publisher::new(3, pool, 0, 0, SoFar::nothing(), None);
        publisher.set_wanted(&extents, &layout, &wanted, &files, &Bitfield::none(3));
        assert_eq!(publisher.left(), (first + second, first));
        let piece = layout.piece(0).unwrap();
        publisher.verified(&extents, &layout, piece);
        assert_eq!(publisher.left(), (first + second - 16_384, 0));
        publisher.lost(&extents, &layout, piece);
        publisher.found(&extents, &layout, piece);
        assert_eq!(publisher.left(), (first + second - 16_384, 0));
        publisher.lost(&extents, &layout, piece);
        assert_eq!(publisher.left(), (first + second, first));
    }

    /// Several may notice the same, and what was found may be lost before that is told.
    #[test]
    fn a_piece_counts_once_however_often_it_is_lost_and_found() {
        let layout = Layout::new(3 * 16_384, 16_384).unwrap();
        let extents = Extents::new([(3 * 16_384, false)]);
        let pool = BlockPool::new(1 << 20);
        let mut publisher = Publisher::new(3, pool, 0, 0, SoFar::nothing(), None);
        let all = Bitfield::all(3);
        publisher.set_wanted(&extents, &layout, &all, &[FilePriority::High], &all);
        let piece = layout.piece(1).unwrap();
        for _ in 0..2 {
            publisher.found(&extents, &layout, piece);
        }
        assert_eq!(publisher.left(), (0, 0));
        for _ in 0..2 {
            publisher.lost(&extents, &layout, piece);
        }
        assert_eq!(publisher.left(), (16_384, 16_384));
        for _ in 0..2 {
            publisher.verified(&extents, &layout, piece);
        }
        assert_eq!(publisher.left(), (0, 0));
    }
}
