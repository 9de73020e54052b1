//! One torrent as its session knows it, and its row: what lists show of it.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{InfoHash, TorrentId};
use crate::base::units::BLOCK_LEN;
use crate::disk::Home;
use crate::ledger::{Spec, Tally, Whole};
use crate::metainfo::Torrent;
use crate::roster::{Flags, Phase, Row};
use crate::torrent::bell::Bell;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::places::Account;
use crate::torrent::share::Share;
use crate::torrent::status::{State, Status};

use super::error::Error;
use super::persist::Kept;
use super::shares::Demand;
use super::slumber::Standing;

/// Where it is told what came of an addition.
pub(super) type AddAnswer = oneshot::Sender<Result<TorrentHandle, Error>>;
/// Where it is told that a torrent has left, or that there was none.
pub(super) type RemoveAnswer = oneshot::Sender<Result<bool, Error>>;

/// What is known of a torrent from the moment that it is let in.
#[derive(Debug)]
pub(super) struct Facts {
    pub id: TorrentId,
    /// What a hybrid is called by those who know its other half.
    pub second_hash: Option<InfoHash>,
    pub is_private: bool,
    /// It names trackers itself.
    pub has_trackers: bool,
    /// Its metadata, for as long as somebody has that; none where a ledger gives it.
    pub metadata: Weak<Torrent>,
    /// How many files it has, pad files included.
    pub files: usize,
    /// How many it has without those.
    pub seen_files: u32,
    /// It is one file without a folder around.
    pub is_single: bool,
    /// Bytes of all files.
    pub size: u64,
    /// Where its trackers are.
    pub hosts: Arc<[Box<str>]>,
    /// Blocks of a piece.
    pub piece_blocks: usize,
    /// What it has done in earlier runs.
    pub before: Tally,
    pub places: Account,
    /// Blocks that its open pieces may hold; the torrent reads the other end.
    pub share: Share,
    pub bell: Bell,
}

/// A torrent.
pub(super) struct Member {
    pub facts: Facts,
    pub info_hash: InfoHash,
    pub handle: TorrentHandle,
    /// Its record of verified pieces.
    pub record: PathBuf,
    /// Where its files were thought to be before they were opened, by a lasting name.
    pub dir: PathBuf,
    /// What the state directory says of it.
    pub kept: Kept,
    /// The choice of files that was looked at last.
    pub seen_choice: Arc<[FilePriority]>,
    /// Where its files were when that was looked at last.
    pub seen_home: Option<Arc<Home>>,
    /// How often their names were others than was known before.
    pub names: u32,
    /// How long it did what.
    pub spent: Spent,
    /// When payload came or went last, in seconds since 1970.
    pub active_at: Option<NonZeroU64>,
    /// It is on its way out.
    pub is_leaving: bool,
}

/// A torrent whose files are being opened. There are as many as callers that wait for that.
pub(super) struct Arriving {
    pub facts: Facts,
    pub info_hash: Option<InfoHash>,
    pub takes_peers: bool,
    pub answer: AddAnswer,
    /// It is to leave again.
    pub removal: Option<RemoveAnswer>,
}

/// Time that a torrent spends in one phase or another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    active: Duration,
    seeding: Duration,
    phase: Phase,
    since: Instant,
}

impl Spent {
    /// It begins now.
    pub fn begin(now: Instant) -> Self {
        Self { active: Duration::ZERO, seeding: Duration::ZERO, phase: Phase::Queued, since: now }
    }

    /// From now on it is in this phase.
    pub fn on(&mut self, phase: Phase, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Complete => {
                self.active += passed;
                self.seeding += passed;
            }
            Phase::Checking | Phase::Moving | Phase::Downloading => self.active += passed,
            _ => {}
        }
        (self.phase, self.since) = (phase, now);
    }

    /// It goes on with what it does.
    pub fn go_on(&mut self, now: Instant) {
        self.on(self.phase, now);
    }

    /// What was done in earlier runs, and the time that it has spent until `now` beside it.
    pub fn until(mut self, now: Instant, before: Tally) -> Tally {
        self.go_on(now);
        self.beside(before)
    }

    /// The same beside what was done in earlier runs.
    pub fn beside(&self, before: Tally) -> Tally {
        Tally {
            active_s: before.active_s.saturating_add(self.active.as_secs()),
            seeding_s: before.seeding_s.saturating_add(self.seeding.as_secs()),
            ..before
        }
    }
}

impl Facts {
    /// The row of a torrent in this phase, of which nothing else is known.
    pub fn row(&self, spec: &Spec, phase: Phase) -> Row {
        let row = row_of(spec, &self.before, phase);
        Row { flags: row.flags.with(Flags::PRIVATE, self.is_private), ..row }
    }
}

/// The row of a torrent of which this is wanted, and which has done that.
pub(super) fn row_of(spec: &Spec, before: &Tally, phase: Phase) -> Row {
    let flags = Flags::default()
        .with(Flags::SEED_ONLY, spec.seed_only)
        .with(Flags::SEQUENTIAL, spec.sequential)
        .with(Flags::ENDS_FIRST, spec.ends_first);
    Row {
        phase,
        flags,
        queue_place: spec.place.0,
        received_bytes: before.downloaded.saturating_add(before.wasted),
        sent_bytes: before.uploaded,
        limit_down: spec.download_limit.and_then(NonZeroU64::new),
        limit_up: spec.upload_limit.and_then(NonZeroU64::new),
        added_at: spec.added_s,
        completed_at: spec.completed_s.and_then(NonZeroU64::new),
        ..Row::new(spec.id)
    }
}

impl Member {
    /// How it stands, at this second since 1970.
    pub fn row(&mut self, spec: &Spec, now: u64) -> Row {
        let has_ended = self.handle.has_ended();
        let facts = &self.facts;
        let row = self.handle.look(|status| {
            // One that died without a word holds no place.
            let phase = if has_ended { Phase::Stopping } else { phase_of(&status.state) };
            let row = facts.row(spec, phase);
            Row {
                flags: row
                    .flags
                    .with(Flags::ASLEEP, status.is_asleep)
                    .with(Flags::IN_TROUBLE, status.trouble().is_some()),
                links: status.peers_connected,
                seeds: status.seeds_connected,
                wanted_bytes: status.wanted_bytes,
                done_bytes: status.done_bytes,
                missing_bytes: status.missing_bytes,
                down_rate: status.down_rate,
                up_rate: status.up_rate,
                received_bytes: row.received_bytes.saturating_add(status.downloaded_bytes),
                sent_bytes: status.uploaded_in_all(),
                ..row
            }
        });
        if row.down_rate + row.up_rate > 0 {
            self.active_at = NonZeroU64::new(now);
        }
        let completed_at = match row.phase {
            Phase::Complete => row.completed_at.or(NonZeroU64::new(now)),
            // Its last piece came while it was ending.
            Phase::Stopping if self.handle.look(has_all) => {
                row.completed_at.or(NonZeroU64::new(now))
            }
            _ => row.completed_at,
        };
        Row { completed_at, active_at: self.active_at, ..row }
    }

    /// What it has done in its life, until now.
    pub fn tally(&mut self, now: Instant) -> Tally {
        self.spent.go_on(now);
        let before = self.spent.beside(self.facts.before);
        self.handle.look(|status| Tally {
            uploaded: status.uploaded_in_all(),
            downloaded: before
                .downloaded
                .saturating_add(status.downloaded_bytes.saturating_sub(status.wasted_bytes)),
            wasted: before.wasted.saturating_add(status.wasted_bytes),
            ..before
        })
    }

    /// What is to be noted of it for the next run, if it stands like this: where nothing is to be
    /// done, by all that can be seen from here.
    pub fn whole(&self, row: &Row, spec: &Spec) -> Option<Whole> {
        let is_here = row.missing_bytes == 0
            && row.done_bytes == row.wanted_bytes
            && !row.flags.has(Flags::IN_TROUBLE)
            && wants_all(spec);
        // What its files are called is in its record.
        let is_there = self.handle.look(|status| {
            status.unsynced_bytes == 0 && status.home.as_ref().is_some_and(|it| is_plain(it))
        });
        let files = u32::try_from(self.facts.files).ok()?;
        (is_here && is_there).then_some(Whole {
            bytes: row.wanted_bytes,
            files,
            is_private: self.facts.is_private,
            has_trackers: self.facts.has_trackers,
        })
    }

    /// Takes in where its files are; whether they have other names than was known.
    pub fn take_names(&mut self, home: Option<&Arc<Home>>) -> bool {
        let is_same =
            |one: &Home, other: &Home| (&one.folder, &one.names) == (&other.folder, &other.names);
        let is_other = match (home, &self.seen_home) {
            (Some(now), Some(seen)) => !Arc::ptr_eq(now, seen) && !is_same(now, seen),
            // Before they were opened they were taken to be called as in the torrent.
            (Some(now), None) => !is_plain(now),
            (None, _) => false,
        };
        self.names = self.names.wrapping_add(is_other.into());
        is_other
    }

    /// Seeds that its trackers count, or those that it is connected to.
    pub fn seeds(&self) -> u64 {
        self.handle.look(|status| {
            let counted = status.trackers.iter().filter_map(|tracker| tracker.seeds).max();
            counted.unwrap_or(0).max(status.seeds_connected.into())
        })
    }

    /// Whether it is to sleep, when there are many.
    pub fn standing(&self) -> Standing {
        if self.is_leaving || self.handle.has_ended() {
            return Standing::Other;
        }
        self.handle.look(|status| match status.state {
            State::Checking => Standing::Open,
            // Its files are looked at once more.
            State::Downloading if status.left_bytes() == 0 => Standing::Open,
            _ if status.is_alone() => Standing::Alone,
            _ => Standing::Other,
        })
    }

    /// Whether it may have links.
    pub fn may_have_links(&self) -> bool {
        self.handle.look(|status| match status.state {
            State::Complete => !status.is_asleep,
            State::Queued | State::Paused | State::Finished | State::Moving | State::Failed(_) => {
                false
            }
            _ => true,
        })
    }

    /// What is to be kept of it.
    pub fn to_keep(&self, is_seed_only: bool) -> Kept {
        self.handle.look(|status| {
            let wanted = Some(status.wanted_files()).filter(|files| files.contains(&false));
            let home = status.home.as_ref().or(self.seen_home.as_ref());
            let dir = home.map_or(self.dir.as_path(), |home| home.real());
            // What a run that only sends does with all files says nothing about downloads.
            let kept = match is_seed_only {
                true => self.kept.clone(),
                false => self.kept.choosing(dir, wanted.map(Arc::from)),
            };
            Kept { uploaded: status.uploaded_in_all(), ..kept }
        })
    }

    /// None when it downloads nothing.
    pub fn demand(&self) -> Option<Demand> {
        let rest_bytes = match self.is_leaving || self.handle.has_ended() {
            true => 0,
            false => self.handle.look(|status| match status.state {
                State::Downloading | State::DiskTrouble(_) => status.left_bytes(),
                _ => 0,
            }),
        };
        // More than memory can address is as good as that.
        let rest = usize::try_from(rest_bytes.div_ceil(BLOCK_LEN as u64)).unwrap_or(usize::MAX);
        let piece_blocks = self.facts.piece_blocks;
        (rest > 0).then_some(Demand { piece_blocks, rest_blocks: rest })
    }
}

/// Are files called as in their torrent?
fn is_plain(home: &Home) -> bool {
    home.folder.is_none() && home.names.is_empty()
}

/// Are all files of a torrent wanted?
pub(super) fn wants_all(spec: &Spec) -> bool {
    spec.selection.as_ref().is_none_or(|selection| selection.wanted().all(|it| it))
}

/// Is everything here that is wanted?
fn has_all(status: &Status) -> bool {
    status.wanted_bytes > 0 && status.left_bytes() == 0
}

fn phase_of(state: &State) -> Phase {
    match state {
        State::Checking => Phase::Checking,
        State::Moving => Phase::Moving,
        State::Queued => Phase::Queued,
        State::Downloading => Phase::Downloading,
        State::Complete => Phase::Complete,
        State::Finished => Phase::Finished,
        State::Paused => Phase::Paused,
        State::Stopping => Phase::Stopping,
        State::DiskTrouble(_) => Phase::DiskTrouble,
        State::Failed(_) => Phase::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::overlay::claiming;
    use super::super::wanted::Wanted;
    use super::*;
    use crate::metainfo::Torrent;
    use crate::roster::policy::{Input, Output, Policy};
    use crate::torrent::command::Command;
    use crate::torrent::options::TorrentOptions;

    /// In virtual time: the rows that a session sees when all are resumed, those that wait first.
    #[test]
    fn a_place_is_held_by_who_was_told_to_go_on_and_is_paused_still() {
        let (now, torrents) = (Instant::now(), [1, 2].map(TorrentId));
        let mut wanted = Wanted::new(None, Some(torrents[0]), Default::default());
        for (id, name) in torrents.into_iter().zip(["a", "b"]) {
            let info = format!("d6:lengthi1e4:name1:{name}12:piece lengthi16384e6:pieces20:");
            let info = [info.as_bytes(), &[b'x'; 20], b"e"].concat();
            let torrent = Torrent::from_info(&info).unwrap();
            wanted.begin(id, &torrent, &TorrentOptions::default().paused(true), 0);
        }
        let mut policy = Policy::new(1);
        let mut show = |wanted: &Wanted, id: TorrentId, phase| {
            let spec = wanted.get(id).unwrap();
            let row = claiming(row_of(spec, &Tally::default(), phase), spec, None);
            policy.handle(Input::Row(row), now);
            std::iter::from_fn(|| policy.poll_output()).collect::<Vec<_>>()
        };
        for id in torrents {
            assert_eq!(show(&wanted, id, Phase::Paused), []);
        }
        for id in torrents {
            wanted.note(id, &Command::Unpause).unwrap();
        }
        assert_eq!(show(&wanted, torrents[0], Phase::Paused), []);
        // The second has read its order before the first one has.
        assert_eq!(show(&wanted, torrents[1], Phase::Queued), [], "there is one place");
        assert_eq!(show(&wanted, torrents[0], Phase::Downloading), []);
        wanted.note(torrents[0], &Command::Pause).unwrap();
        assert_eq!(show(&wanted, torrents[0], Phase::Paused), [Output::Start(torrents[1])]);
    }

    #[test]
    fn time_counts_for_what_a_torrent_did_in_it() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut spent = Spent::begin(start);
        // Each from that second on.
        for (phase, second) in [
            (Phase::Checking, 1),
            (Phase::Downloading, 3),
            (Phase::Paused, 7),
            (Phase::Complete, 15),
            (Phase::Complete, 20),
            (Phase::Finished, 31),
        ] {
            spent.on(phase, at(second));
        }
        let tally = spent.until(at(100), Tally { seeding_s: 1, ..Tally::default() });
        assert_eq!((tally.active_s, tally.seeding_s), (2 + 4 + 16, 1 + 16));
        let mut seeds = Spent::begin(start);
        seeds.on(Phase::Complete, start);
        assert_eq!(seeds.until(at(9), Tally::default()).seeding_s, 9, "the last phase counts");
        spent.on(Phase::Finished, at(100));
        let seconds = [spent.active, spent.seeding].map(|time| time.as_secs());
        assert_eq!(seconds, [2 + 4 + 16, 16]);
    }
}
