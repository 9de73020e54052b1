//! What a user can do about what a download waits for.

use std::time::Duration;

use crate::swarm::waits::Cause;
use crate::torrent::status::{SourceFileStatus, SourceState, WhyReport};

use super::around::Around;
use super::causes::{has_answered, is_lost};

/// What is not asked for again for so long was not found.
const GONE_FOR: Duration = Duration::from_secs(1800);

/// What a user can do about the largest cause; none when there is nothing to improve.
pub(super) fn advice(cause: Cause, report: &WhyReport, around: &Around) -> Option<String> {
    let words = match cause {
        Cause::Limit => {
            return report.limit_down.map(|_| match around.is_limit_of_all(report) {
                true => "limit down off lifts it".to_owned(),
                false => format!("limit {} down off lifts it", around.number),
            });
        }
        Cause::Nothing => return None,
        Cause::Tracker | Cause::Peers | Cause::Unchoke | Cause::Pieces | Cause::Transfer
            if around.is_private =>
        {
            return Some(about_members(cause, report, around));
        }
        Cause::Tracker if report.tracker.is_none() => {
            return Some(about_the_unnamed(report, around));
        }
        Cause::Tracker => about_strangers(report),
        Cause::Peers
            if report.tracker.is_none() && report.dht.is_none() && report.dialling == 0 =>
        {
            return Some(format!(
                "add-peer ADDR adds one you know; {} names a tracker",
                namer(around)
            ));
        }
        Cause::Peers | Cause::Unchoke | Cause::Pieces | Cause::Transfer => {
            about_peers(cause, report)
        }
        Cause::Pipeline => "this is our fault: please report it with this text",
        // The reason says what to do.
        Cause::Disk if report.disk_trouble.is_some() => return None,
        Cause::Disk => "use a faster disk, or find what else keeps it busy",
        Cause::Hash => "the processor is the limit: find what else keeps it busy",
        Cause::SourceWaits if lacks_files(report) => {
            "web shows which URLs were asked for: see whether they are right, or wait"
        }
        Cause::SourceWaits => "wait: it is asked again by itself; web shows each source",
        Cause::SourceSlow => "nothing: other sources are used as soon as there are any",
        Cause::SourcesDiffer => "find a mirror that has the files of this torrent",
    };
    Some(words.to_owned())
}

/// How a tracker is named.
fn namer(around: &Around) -> String {
    match around.is_daemon {
        true => format!("trackers {} --add URL", around.number),
        false => "-a URL at the start".to_owned(),
    }
}

/// What to do where nobody is known, and trackers are asked.
fn about_strangers(report: &WhyReport) -> &'static str {
    match has_answered(report) {
        true => {
            "wait for somebody to come, or add-peer ADDR adds one you know; announce asks the \
             tracker again"
        }
        false => "trackers shows their answers; add-peer ADDR works without a tracker",
    }
}

/// What to do where nobody is known, and there is no tracker.
fn about_the_unnamed(report: &WhyReport, around: &Around) -> String {
    let by = namer(around);
    match &report.dht {
        Some(_) if is_lost(report) => format!(
            "name a node with --dht-bootstrap HOST:PORT at the start, or a tracker with {by}, or use \
             add-peer ADDR; a router whose name is not found is tried again by itself"
        ),
        Some(_) => {
            "wait; dht shows how it fares, and add-peer ADDR adds a peer that you know".into()
        }
        None => format!("name a tracker with {by}, or use add-peer ADDR"),
    }
}

/// What to do where only trackers may name peers (BEP 27): nobody else is to be added.
fn about_members(cause: Cause, report: &WhyReport, around: &Around) -> String {
    let is_asked = report.tracker.is_some();
    let words = match cause {
        Cause::Tracker | Cause::Peers if !is_asked => {
            return format!(
                "name its tracker with {}: it is private, and nobody else may name peers",
                namer(around)
            );
        }
        Cause::Tracker if has_answered(report) => {
            "wait for the tracker's next answer, or announce asks it now: it is private, and nobody \
             else may name peers"
        }
        Cause::Tracker => {
            "trackers shows their answers; it is private, and nobody else may name peers"
        }
        Cause::Peers if report.dialling > 0 => "wait; peers -a shows each address",
        Cause::Peers => "wait for the tracker's next answer, or announce asks it now",
        Cause::Unchoke | Cause::Pieces | Cause::Transfer if is_asked => about_peers(cause, report),
        Cause::Unchoke => "wait: they take turns, and serve those first who upload to them",
        Cause::Pieces => "wait for a seed",
        _ if report.down_rate == 0 && report.snubbed > 0 => {
            "look at your own line if it goes on; others take over when there are any"
        }
        _ => about_peers(cause, report),
    };
    words.to_owned()
}

/// What to do about those who are known. Trackers are asked again only where there are any.
fn about_peers(cause: Cause, report: &WhyReport) -> &'static str {
    let is_asked = report.tracker.is_some();
    match cause {
        Cause::Peers if report.dialling > 0 => {
            "wait, or add-peer ADDR adds one you know; peers -a shows each address"
        }
        Cause::Peers if is_asked => {
            "announce asks the trackers again; add-peer ADDR adds one you know"
        }
        Cause::Peers if report.dht.is_some() => {
            "wait: the DHT is asked again by itself; add-peer ADDR adds one you know"
        }
        Cause::Peers => "add-peer ADDR adds one you know",
        Cause::Unchoke if is_asked => {
            "wait, or announce for more peers: they take turns, and serve those first who upload \
             to them"
        }
        Cause::Unchoke => {
            "wait: they take turns, and serve those first who upload to them; add-peer ADDR adds \
             others that you know"
        }
        Cause::Pieces if is_asked => {
            "wait for a seed: trackers shows how many there are; announce finds more peers"
        }
        Cause::Pieces => "wait for a seed; add-peer ADDR adds one you know",
        _ if report.down_rate == 0 && report.snubbed > 0 => match is_asked {
            true => "look at your own line if it goes on; announce finds more peers",
            false => "look at your own line if it goes on; add-peer ADDR adds others you know",
        },
        _ if report.down_rate == 0 => {
            "wait: what a peer does not send within ten seconds is asked of others"
        }
        _ if report.snubbed > 0 => "nothing: what silent peers owe is asked of others",
        _ => "nothing is wrong; only more or faster peers would help",
    }
}

/// Does a source that could be asked lack files, so that it will not be asked for those for long?
fn lacks_files(report: &WhyReport) -> bool {
    let is_gone = |file: &SourceFileStatus| file.left.is_some_and(|left| left >= GONE_FOR);
    let fit = report.sources.iter().filter(|source| source.state == SourceState::Fit);
    fit.flat_map(|source| &source.files).any(is_gone)
}
