//! Causes that a download waits for, in plain words with the facts of the moment.

use std::time::Duration;

use crate::base::units::{duration, rate};
use crate::cli::escape::escape;
use crate::cli::print::{counted, hide_keys, source_trouble};
use crate::swarm::waits::Cause;
use crate::torrent::status::{State, TrackerBrief, WhyReport};
use crate::tracker::tiers::status::TrackerState;

use super::around::{Around, MINUTE};

/// The cause with the facts of the moment.
pub(super) fn explain(cause: Cause, report: &WhyReport, around: &Around) -> String {
    match cause {
        Cause::Nothing => format!("nothing to wait for: {}", nothing(around)),
        Cause::Tracker => match &report.tracker {
            Some(tracker) => {
                format!("{}, {}", no_peer_words(report), tracker_words(report, tracker))
            }
            None if is_lost(report) => {
                format!("{}, and the DHT has no node to ask", no_peer_words(report))
            }
            None if report.dht.is_some() => {
                format!("{}, waiting for the DHT", no_peer_words(report))
            }
            None => format!("{}, and there is no tracker to ask", no_peer_words(report)),
        },
        Cause::Peers => no_peers(report),
        Cause::Unchoke => chokers(report),
        Cause::Pieces if report.pieces_nobody_has > 0 => format!(
            "none of {} has any of the {} still missing",
            counted(report.connected.into(), "connected peer"),
            counted(report.pieces_nobody_has.into(), "piece"),
        ),
        Cause::Pieces => "no connected peer had a piece that was missing".to_owned(),
        Cause::Transfer => transfer(report),
        Cause::Pipeline => "peers would have sent more than we asked them for".to_owned(),
        Cause::Disk if report.disk_trouble.is_some() => "the disk took nothing".to_owned(),
        Cause::Disk => format!(
            "memory was full of data waiting for the disk (now {}): {}",
            memory(report),
            against_peers("it writes", report.disk.write_rate, report.disk.write_share, report),
        ),
        Cause::Hash => format!(
            "memory was full of data waiting to be hashed (now {}): {}",
            memory(report),
            against_peers(
                "each worker does",
                report.disk.hash_rate,
                report.disk.hash_share,
                report
            ),
        ),
        Cause::Limit => limit_words(report, around),
        Cause::SourceWaits => format!("no web source could be asked{}", sources_words(report)),
        Cause::SourceSlow => "web sources sent next to nothing".to_owned(),
        Cause::SourcesDiffer => {
            format!("web sources have other files than the torrent{}", sources_words(report))
        }
    }
}

/// Behind a cause: the sources that are in trouble, if any.
fn sources_words(report: &WhyReport) -> String {
    let troubles: Vec<String> = report.sources.iter().filter_map(source_trouble).collect();
    match troubles.as_slice() {
        [] => String::new(),
        [only] => format!(" ({only})"),
        [first, others @ ..] => format!(" ({first}; and {} more: web shows all)", others.len()),
    }
}

/// That there is nobody, or why those who were named did not count.
fn no_peer_words(report: &WhyReport) -> String {
    match &report.last_error {
        None => "no peer known".to_owned(),
        Some((why, 1)) => format!("no peer reached (1 failed: {})", escape(why)),
        Some((why, count)) => format!("no peer reached ({count} failed: {})", escape(why)),
    }
}

/// Is there a DHT, and nobody in it whom it could ask?
pub(super) fn is_lost(report: &WhyReport) -> bool {
    report.dht.as_ref().is_some_and(|dht| dht.nodes.max(dht.known) == 0)
}

/// What the tracker has to do with it that no peer is known.
fn tracker_words(report: &WhyReport, tracker: &TrackerBrief) -> String {
    let url = escape(&hide_keys(&tracker.url));
    let next = tracker.next_in.map(|next| match next {
        Duration::ZERO => ", and is asked again now".to_owned(),
        next => format!(", and is asked again in {}", duration(next)),
    });
    let next = next.unwrap_or_default();
    match (tracker.state, &tracker.error, tracker.peers) {
        (TrackerState::Working, _, None | Some(0)) => {
            format!("the tracker ({url}) knows nobody else{next}")
        }
        (TrackerState::Working, _, Some(peers)) if report.last_error.is_some() => {
            let named = counted(peers as u64, "peer");
            format!("the tracker ({url}) named {named}{next}")
        }
        (TrackerState::Working, _, Some(peers)) => {
            let named = counted(peers as u64, "peer");
            format!("nobody was reached of the {named} that the tracker ({url}) named{next}")
        }
        (_, Some(error), _) => {
            let error = escape(&hide_keys(error));
            format!("waiting for the tracker ({url}: {error})")
        }
        (state, None, _) => format!("waiting for the tracker ({url}: {state})"),
    }
}

/// Has the tracker said what it knows?
pub(super) fn has_answered(report: &WhyReport) -> bool {
    report.tracker.as_ref().is_some_and(|tracker| tracker.state == TrackerState::Working)
}

/// The limit that holds it back; one that is new is not credited with what others did before.
fn limit_words(report: &WhyReport, around: &Around) -> String {
    let is_shared = around.is_several && around.is_limit_of_all(report);
    let whose = if is_shared { " for all torrents together" } else { "" };
    match (report.limit_down, report.limit_age.filter(|age| *age < MINUTE)) {
        (Some(limit), None) => format!("your limit of {}{whose} held it back", rate(limit)),
        (Some(limit), Some(age)) => format!(
            "your limit{whose} held it back ({} since {})",
            rate(limit),
            duration(age.max(Duration::from_secs(1)))
        ),
        (None, _) => match report.limit_web {
            Some(limit) => format!("your limit of {} for web sources held it back", rate(limit)),
            None => "your limit, lifted since, held it back".to_owned(),
        },
    }
}

fn no_peers(report: &WhyReport) -> String {
    match (report.connected, report.dialling, report.candidates) {
        (0, 0, 0) => "no peer connected, and no address left to try".to_owned(),
        (0, dialling, candidates) => format!(
            "no peer connected; {} now, {} to try{}",
            counted(dialling.into(), "dial"),
            match candidates {
                1 => "1 address".to_owned(),
                n => format!("{n} addresses"),
            },
            match &report.last_error {
                Some((why, 1)) => format!(" (one failed: {})", escape(why)),
                Some((why, count)) => format!(" ({count} failed: {})", escape(why)),
                None => String::new(),
            }
        ),
        (connected, ..) => {
            format!("no peer was connected (now {connected})")
        }
    }
}

fn chokers(report: &WhyReport) -> String {
    match (report.choking, report.interesting) {
        (0, 0) => "every useful peer kept us choked (now there is none)".to_owned(),
        (0, _) => "every useful peer kept us choked (now one lets us in)".to_owned(),
        (1, 1) => "the only useful peer keeps us choked".to_owned(),
        (choking, interesting) if choking >= interesting => {
            format!("all {interesting} useful peers keep us choked")
        }
        (choking, interesting) => format!("{choking} of {interesting} peers keep us choked"),
    }
}

/// Does nobody of those who serve us send?
pub(super) fn are_silent(report: &WhyReport) -> bool {
    let senders = report.interesting.saturating_sub(report.choking);
    report.down_rate == 0 && senders > 0 && report.snubbed >= senders
}

fn transfer(report: &WhyReport) -> String {
    let senders = report.interesting.saturating_sub(report.choking);
    if are_silent(report) {
        return match senders {
            1 => "the peer that serves us is silent (now)".to_owned(),
            _ => format!("all {senders} peers that serve us are silent (now)"),
        };
    }
    if report.down_rate == 0 {
        return format!("{} and the line set the pace", senders_words(senders, report));
    }
    let mut words = format!(
        "data flowed as fast as {} and the line allow (now {})",
        senders_words(senders, report),
        rate(report.down_rate)
    );
    if report.snubbed > 0 {
        words += &format!(", {} of them silent", report.snubbed);
    }
    words
}

/// Who sends.
pub(super) fn senders_words(peers: u32, report: &WhyReport) -> String {
    let sources = report.sources.iter().filter(|source| source.busy > 0);
    let sites: Vec<&str> = sources.map(|source| source.site.as_str()).collect();
    let sources = match sites.as_slice() {
        [] => None,
        [only] => Some((*only).to_owned()),
        several => Some(counted(several.len() as u64, "web source")),
    };
    match (peers, sources) {
        (0, None) => "the peers".to_owned(),
        (0, Some(sources)) => sources,
        (peers, None) => counted(peers.into(), "peer"),
        (peers, Some(sources)) => format!("{} and {sources}", counted(peers.into(), "peer")),
    }
}

fn memory(report: &WhyReport) -> String {
    let (used, budget) = report.memory_blocks;
    let pieces = counted(report.pieces_at_disk.into(), "piece");
    format!("{used} of {budget} blocks in use, {pieces} in the queue")
}

/// What one of our hands does, and what peers sent when nothing held them back.
fn against_peers(what: &str, done: u64, share: f64, report: &WhyReport) -> String {
    format!(
        "{what} {}, {:.0} % busy, and peers sent up to {}",
        rate(done),
        share * 100.0,
        rate(report.disk.received_rate),
    )
}

/// Why there is nothing to wait for.
pub(super) fn nothing(around: &Around) -> &'static str {
    match around.state {
        State::Paused => "paused",
        State::Complete | State::Finished => "complete",
        _ => "complete or paused",
    }
}

/// The cause as one or two words, for the list over the whole life.
pub(super) fn name(cause: Cause, report: &WhyReport) -> &'static str {
    match cause {
        Cause::Nothing => "complete or paused",
        Cause::Tracker if report.tracker.is_none() && report.dht.is_some() => "waiting for the DHT",
        Cause::Tracker if report.tracker.is_none() || has_answered(report) => "no peer known",
        Cause::Tracker => "waiting for the tracker",
        Cause::Peers => "no peers",
        Cause::Unchoke => "choked",
        Cause::Pieces => "nobody had the pieces",
        Cause::Transfer => "data flowing",
        Cause::Pipeline => "our own requests",
        Cause::Disk => "disk",
        Cause::Hash => "hashing",
        Cause::Limit => "your limit",
        Cause::SourceWaits => "waiting for a web source",
        Cause::SourceSlow => "slow web sources",
        Cause::SourcesDiffer => "other files at web sources",
    }
}
