//! How values are made of what the session tells. Pure.

use std::time::Instant;

use data_encoding::HEXLOWER;

use crate::base::file_priority::FilePriority;
use crate::ledger::Spec;
use crate::metainfo;
use crate::roster::{Flags, Row};
use crate::session::Listed;
use crate::swarm::waits::Cause;
use crate::torrent::status::{PeerStatus, SourceStatus, Status, WhyReport};
use crate::tracker::tiers::status::TrackerStatus;

use super::torrent::{Details, File, Limits, Peer, Share, Source, Torrent, Tracker, Why};

/// A torrent in a list.
pub(super) fn torrent(row: &Row, listed: &Listed) -> Torrent {
    let spec = &listed.spec;
    let has = |flag| row.flags.has(flag);
    let progress = match row.wanted_bytes {
        0 => 1.0,
        wanted => row.done_bytes as f64 / wanted as f64,
    };
    let left = row.wanted_bytes.saturating_sub(row.done_bytes);
    Torrent {
        id: spec.id.0,
        hash: spec.info_hash.map(|hash| HEXLOWER.encode(&hash.0)),
        hash_v2: spec.info_hash_v2.map(|hash| HEXLOWER.encode(&hash.0)),
        name: spec.name.clone(),
        state: row.phase.into(),
        trouble: trouble(listed),
        wanted_bytes: row.wanted_bytes,
        done_bytes: row.done_bytes,
        progress,
        down_rate: row.down_rate,
        up_rate: row.up_rate,
        left_s: left.checked_div(row.down_rate).filter(|_| left > 0),
        received_bytes: row.received_bytes,
        sent_bytes: row.sent_bytes,
        ratio: row.ratio(),
        peers: row.links,
        seeds: row.seeds,
        limits: Limits { down: spec.download_limit, up: spec.upload_limit },
        labels: labels(listed),
        dir: spec.dir.to_string_lossy().into_owned(),
        paused: spec.paused,
        private: has(Flags::PRIVATE),
        asleep: has(Flags::ASLEEP),
        place: format!("{:016x}", row.queue_place),
        added_at: row.added_at,
        completed_at: row.completed_at.map(Into::into),
        active_at: row.active_at.map(Into::into),
    }
}

/// What it is sorted under, by its user first and then by rules.
fn labels(listed: &Listed) -> Vec<String> {
    let own = &listed.spec.labels;
    let more = listed.ruled.labels.iter().filter(|label| !own.contains(label));
    own.iter().chain(more).cloned().collect()
}

/// What is wrong with a torrent, in words for people.
fn trouble(listed: &Listed) -> Option<String> {
    let words = |status: &Status| status.trouble().map(str::to_owned);
    let absent = listed.trouble.as_ref().map(ToString::to_string);
    absent.or_else(|| listed.handle.as_ref().and_then(|handle| handle.look(words)))
}

/// A torrent closely; `status` as it is now, if it is here.
pub(super) fn details(torrent: Torrent, spec: &Spec, status: &Status) -> Details {
    Details {
        torrent,
        pieces: status.piece_count,
        pieces_done: status.pieces_verified,
        missing_bytes: status.missing_bytes,
        wasted_bytes: status.wasted_bytes,
        hash_failures: status.hash_failures,
        peers_known: status.peers_known,
        sources: status.sources_connected,
        sources_known: status.sources_known,
        sequential: spec.sequential,
        ends_first: spec.ends_first,
        seed_ratio: spec.goals.ratio,
        seed_time_s: spec.goals.time.map(|time| time.as_secs()),
        extra_trackers: spec.extra_trackers.clone(),
        checked_bytes: status.checked_bytes.0,
        to_check_bytes: status.checked_bytes.1,
        moved_bytes: status.moved_bytes.0,
        to_move_bytes: status.moved_bytes.1,
    }
}

/// The files of a torrent that people see, with their positions in it.
pub(super) fn seen_files(torrent: &metainfo::Torrent) -> Vec<usize> {
    let files = torrent.files.iter().enumerate().filter(|(_, file)| !file.is_pad);
    files.map(|(at, _)| at).collect()
}

/// The same with how they stand.
pub(super) fn files(torrent: &metainfo::Torrent, spec: &Spec, status: &Status) -> Vec<File> {
    let chosen: Option<Vec<FilePriority>> =
        spec.selection.as_ref().map(|selection| selection.priorities().collect());
    let paths: Vec<_> = torrent.files.iter().collect();
    let file = |(number, at): (usize, usize)| {
        let file = &paths[at];
        let number = u32::try_from(number + 1).ok()?;
        let path = match (&status.home, u32::try_from(at)) {
            (Some(home), Ok(at)) => home.path_of(at, file.path),
            _ => file.path.to_owned(),
        };
        let chosen = chosen.as_ref().and_then(|chosen| chosen.get(at));
        let priority = chosen.copied().unwrap_or_default();
        let share = torrent.layout.map(|it| it.share_done(&status.have, file.offset, file.length));
        Some(File {
            number,
            path: path.to_string_lossy().into_owned(),
            size: file.length,
            progress: share.unwrap_or_default(),
            wanted: priority.is_wanted(),
            priority: priority.into(),
        })
    };
    seen_files(torrent).into_iter().enumerate().filter_map(file).collect()
}

/// A peer.
pub(super) fn peer(peer: &PeerStatus) -> Peer {
    Peer {
        address: peer.address.to_string(),
        client: peer.client.clone(),
        connected: peer.connected,
        incoming: peer.incoming,
        encrypted: peer.mse.is_some(),
        progress: peer.have,
        down_rate: peer.down_rate,
        up_rate: peer.up_rate,
        received_bytes: peer.downloaded_bytes,
        sent_bytes: peer.uploaded_bytes,
        choking: peer.choking,
        choked: peer.choked_by_us,
        banned: peer.banned,
        error: peer.last_error.clone(),
    }
}

/// A tracker at `now`.
pub(super) fn tracker(tracker: &TrackerStatus, now: Instant) -> Tracker {
    let next = tracker.next_announce_at.map(|at| at.saturating_duration_since(now).as_secs());
    Tracker {
        url: tracker.url.clone(),
        tier: tracker.tier + 1,
        state: tracker.state.to_string(),
        seeds: tracker.seeds,
        leeches: tracker.leeches,
        peers: tracker.peers,
        next_in_s: next,
        error: tracker.last_error.clone(),
        warning: tracker.warning.clone(),
    }
}

/// A server of files.
pub(super) fn source(source: &SourceStatus) -> Source {
    Source {
        url: source.url.clone(),
        connections: source.links,
        busy: source.busy,
        down_rate: source.down_rate,
        received_bytes: source.downloaded_bytes,
    }
}

/// What a torrent waits for; `text` is the same in words.
pub(super) fn why(report: &WhyReport, text: String) -> Why {
    let shares = |shares: &[(Cause, f64)]| {
        shares
            .iter()
            .map(|(cause, share)| Share { cause: name(*cause).into(), share: *share })
            .collect()
    };
    Why {
        now: report.waits.now.map(|cause| name(cause).to_owned()),
        minute: shares(&report.waits.minute),
        life: shares(&report.waits.life),
        text,
    }
}

/// The name of a cause, for programs.
fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::Nothing => "nothing",
        Cause::Tracker => "tracker",
        Cause::Peers => "peers",
        Cause::Unchoke => "unchoke",
        Cause::Pieces => "pieces",
        Cause::Transfer => "transfer",
        Cause::Pipeline => "pipeline",
        Cause::Disk => "disk",
        Cause::Hash => "hash",
        Cause::Limit => "limit",
        Cause::SourceWaits => "source_waits",
        Cause::SourceSlow => "source_slow",
        Cause::SourcesDiffer => "sources_differ",
    }
}
