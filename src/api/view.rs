//! How values are made of what the session tells. Pure.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use data_encoding::{BASE64, HEXLOWER};

use crate::base::file_priority::FilePriority;
use crate::disk::Home;
use crate::ledger::Spec;
use crate::metainfo;
use crate::roster::{Flags, Row};
use crate::session::Listed;
use crate::swarm::SeekerLink;
use crate::swarm::event::Source as Namer;
use crate::swarm::report::Known;
use crate::swarm::waits::Cause;
use crate::torrent::status::{Method, PeerStatus, SourceStatus, State, Status, WhyReport};
use crate::tracker::tiers::status::TrackerStatus;

use super::torrent::{
    Details, Facts, File, Limits, Peer, Pieces, Share, Source, Torrent, Tracker, Why,
};

/// A torrent in a list.
pub(super) fn torrent(row: &Row, listed: &Listed) -> Torrent {
    let (spec, figures, moving) = (&listed.spec, &listed.figures, moving(listed));
    let has = |flag| row.flags.has(flag);
    let progress = match row.wanted_bytes {
        // What there is to want is not known.
        0 if is_sought(listed) => 0.0,
        0 => 1.0,
        wanted => row.done_bytes as f64 / wanted as f64,
    };
    let left = row.wanted_bytes.saturating_sub(row.done_bytes);
    Torrent {
        id: spec.id.0,
        hash: spec.info_hash.map(|hash| HEXLOWER.encode(&hash.0)),
        hash_v2: spec.info_hash_v2.map(|hash| HEXLOWER.encode(&hash.0)),
        name: spec.called().into_owned(),
        state: row.phase.into(),
        trouble: moving.trouble,
        wanted_bytes: row.wanted_bytes,
        done_bytes: row.done_bytes,
        progress,
        size: figures.size,
        files: figures.files,
        missing_bytes: row.missing_bytes,
        checked: moving.checked,
        down_rate: row.down_rate,
        up_rate: row.up_rate,
        left_s: left.checked_div(row.down_rate).filter(|_| left > 0),
        received_bytes: row.received_bytes,
        sent_bytes: row.sent_bytes,
        ratio: row.ratio(),
        peers: row.links,
        seeds: row.seeds,
        sending: moving.sending,
        receiving: moving.receiving,
        limits: Limits { down: spec.download_limit, up: spec.upload_limit },
        labels: labels(listed),
        trackers: listed.hosts.as_ref().map(|hosts| hosts.iter().map(|it| (**it).into()).collect()),
        dir: spec.dir.to_string_lossy().into_owned(),
        paused: spec.paused,
        private: has(Flags::PRIVATE),
        metadata: !is_sought(listed),
        asleep: has(Flags::ASLEEP),
        place: format!("{:016x}", row.queue_place),
        added_at: row.added_at,
        completed_at: row.completed_at.map(Into::into),
        active_at: row.active_at.map(Into::into),
        active_s: figures.active_s,
        seeding_s: figures.seeding_s,
        seed_ratio: spec.goals.ratio,
        seed_time_s: spec.goals.time.map(|time| time.as_secs()),
        sequential: spec.sequential,
        ends_first: spec.ends_first,
        own_name: moving.own_name,
        is_own_name_unknown: !moving.is_own_name_known && spec.shown_name.is_some(),
        names: figures.names,
    }
}

/// Is it a link whose metadata is not known?
pub(super) fn is_sought(listed: &Listed) -> bool {
    listed.handle.is_none() && listed.spec.link.is_some()
}

/// What it is sorted under, by its user first and then by rules.
fn labels(listed: &Listed) -> Vec<String> {
    let own = &listed.spec.labels;
    let more = listed.ruled.labels.iter().filter(|label| !own.contains(label));
    own.iter().chain(more).cloned().collect()
}

/// What a row has no room for, and moves.
#[derive(Default)]
struct Moving {
    /// What is wrong with it, in words for people.
    trouble: Option<String>,
    checked: Option<f64>,
    sending: u32,
    receiving: u32,
    own_name: Option<Box<str>>,
    is_own_name_known: bool,
}

fn moving(listed: &Listed) -> Moving {
    let now = listed.handle.as_ref().map(|handle| {
        handle.look(|status| {
            let (done, all) = status.checked_bytes;
            let is_checking = status.state == State::Checking;
            Moving {
                trouble: status.trouble().map(str::to_owned),
                checked: is_checking.then(|| if all == 0 { 0.0 } else { done as f64 / all as f64 }),
                sending: status.peers_sending,
                receiving: status.peers_receiving,
                own_name: status.home.as_deref().and_then(|home| own_name(listed, Some(home))),
                is_own_name_known: status.home.is_some(),
            }
        })
    });
    let now = now.unwrap_or_else(|| {
        // The files of one that is a row only are called as in the torrent.
        let own_name = listed.spec.whole.and_then(|_| own_name(listed, None));
        let is_own_name_known = listed.spec.whole.is_some();
        Moving { own_name, is_own_name_known, ..Moving::default() }
    });
    let absent = listed.trouble.as_ref().map(ToString::to_string);
    Moving { trouble: absent.or(now.trouble), ..now }
}

/// What its file or folder is called, if lists call it otherwise.
fn own_name(listed: &Listed, home: Option<&Home>) -> Option<Box<str>> {
    let (spec, is_single) = (&listed.spec, listed.figures.is_single);
    let renamed = home.and_then(|home| match is_single {
        true => home.names.values().next().map(|path| path.to_string_lossy()),
        false => home.folder.as_deref().map(Cow::from),
    });
    let own = renamed.unwrap_or_else(|| Cow::from(&spec.name));
    (own != spec.called()).then(|| own.into())
}

/// A torrent closely; `status` as it is now, if it is here.
pub(super) fn details(torrent: Torrent, spec: &Spec, status: &Status) -> Details {
    Details {
        torrent,
        pieces: status.piece_count,
        pieces_done: status.pieces_verified,
        wasted_bytes: status.wasted_bytes,
        hash_failures: status.hash_failures,
        peers_known: status.peers_known,
        sources: status.sources_connected,
        sources_known: status.sources_known,
        peers_max: spec.peers_max,
        extra_trackers: spec.extra_trackers.clone(),
        checked_bytes: status.checked_bytes.0,
        to_check_bytes: status.checked_bytes.1,
        moved_bytes: status.moved_bytes.0,
        to_move_bytes: status.moved_bytes.1,
        search: None,
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
        let pieces = pieces_of(torrent, file.offset, file.length);
        let share = torrent.layout.map(|it| it.share_done(&status.have, file.offset, file.length));
        Some(File {
            number,
            path: path.to_string_lossy().into_owned(),
            size: file.length,
            progress: share.unwrap_or_default(),
            wanted: priority.is_wanted(),
            priority: priority.into(),
            begin_piece: pieces.start,
            end_piece: pieces.end,
        })
    };
    seen_files(torrent).into_iter().enumerate().filter_map(file).collect()
}

/// The pieces with bytes of this range; the empty range at its begin where it has none.
fn pieces_of(torrent: &metainfo::Torrent, offset: u64, length: u64) -> Range<u32> {
    let at = |offset| Some(torrent.layout?.piece_at(offset)?.number());
    let begin = at(offset).unwrap_or(torrent.num_pieces);
    let last = length.checked_sub(1).and_then(|rest| at(offset.saturating_add(rest)));
    begin..last.map_or(begin, |last| last + 1)
}

/// What a torrent says of itself; `have` is the verified pieces in wire order.
pub(super) fn facts(
    torrent: &metainfo::Torrent,
    spec: &Spec,
    have: &[u8],
    home: Option<&Home>,
) -> Facts {
    let mut files = (0_u32..).zip(torrent.files.iter()).filter(|(_, file)| !file.is_pad);
    let first = files.next().map(|(at, file)| match home {
        Some(home) => home.path_of(at, file.path),
        None => file.path.to_owned(),
    });
    let servers = spec.web_seeds.iter().chain(&torrent.web_seeds);
    Facts {
        pieces: torrent.num_pieces,
        piece_length: torrent.piece_length,
        have: BASE64.encode(have),
        comment: torrent.comment.clone(),
        creator: torrent.created_by.clone(),
        created_at: torrent.creation_date,
        private: torrent.private,
        single: torrent.is_single_file(),
        first_file: first.unwrap_or_default().to_string_lossy().into_owned(),
        trackers: spec.tiers(&torrent.trackers),
        web_seeds: servers.cloned().collect(),
        magnet: torrent.magnet(),
    }
}

/// Its pieces: `have` in wire order, and how many peers have each.
pub(super) fn pieces(torrent: &metainfo::Torrent, have: &[u8], copies: Option<&Vec<u8>>) -> Pieces {
    Pieces {
        pieces: torrent.num_pieces,
        piece_length: torrent.piece_length,
        have: BASE64.encode(have),
        copies: copies.map(|copies| BASE64.encode(copies)),
    }
}

/// So many pieces, all of them here, in wire order.
pub(super) fn all_pieces(count: u32) -> Vec<u8> {
    let mut bits = vec![0xff; count.div_ceil(8) as usize];
    if let Some(last) = bits.last_mut().filter(|_| !count.is_multiple_of(8)) {
        *last <<= 8 - count % 8;
    }
    bits
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
        interesting: peer.interesting,
        interested: peer.interested,
        source: peer.source.map(|it| named_by(it).to_owned()),
        snubbed: peer.snubbed,
        encryption: peer.mse.map(|it| hidden_by(it).to_owned()),
        banned: peer.banned,
        error: peer.last_error.clone(),
        left_s: peer.left.map(|ago| ago.as_secs()),
    }
}

/// Who names peers, for programs.
fn named_by(source: Namer) -> &'static str {
    match source {
        Namer::User => "user",
        Namer::Listing => "listing",
        Namer::Incoming => "incoming",
        Namer::Tracker => "tracker",
        Namer::Lan => "local",
        Namer::Dht => "dht",
        Namer::Pex => "exchange",
    }
}

/// What hides a connection, for programs.
fn hidden_by(method: Method) -> &'static str {
    match method {
        Method::Rc4 => "rc4",
        Method::Plaintext => "plaintext",
    }
}

/// A peer that is asked for metadata.
pub(super) fn asked(link: &SeekerLink) -> Peer {
    peer(&PeerStatus {
        client: link.client.clone(),
        connected: true,
        incoming: link.incoming,
        ..PeerStatus::unconnected(link.address)
    })
}

/// One that is known, and not connected.
pub(super) fn known(known: &Known) -> Peer {
    let (last_error, left) = (known.last_error.clone(), known.left);
    peer(&PeerStatus { last_error, left, ..PeerStatus::unconnected(known.address) })
}

/// A tracker at `now`.
fn tracker(tracker: &TrackerStatus, now: Instant) -> Tracker {
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

/// All of a torrent at `now`.
pub(super) fn trackers(all: &[TrackerStatus], now: Instant) -> Vec<Tracker> {
    all.iter().map(|it| tracker(it, now)).collect()
}

/// Trackers that nobody asks.
pub(super) fn unasked(tiers: &[Vec<String>]) -> Vec<Tracker> {
    let tiers = tiers.iter().enumerate();
    tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| Tracker::unasked(url, tier))).collect()
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
