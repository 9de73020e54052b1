//! The last words about a torrent, or several: how it ended, how much came and how fast. Pure.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::base::units::{duration, elapsed, rate, size};
use crate::cli::escape::escape;
use crate::cli::print::{average_down, counted, source_trouble, tracker_words, without_address};
use crate::torrent::status::{PeerStatus, SourceStatus, State, Status};

/// Why nothing came, and what to do. `peers` and `sources` are all that are known. Of a private
/// torrent only trackers may name peers.
pub(super) fn gave_up(
    status: &Status,
    peers: &[PeerStatus],
    (sources, is_private): (&[SourceStatus], bool),
    timeout: Duration,
) -> String {
    if let State::DiskTrouble(why) = &status.state {
        return format!("nothing could be written for {}: {}", duration(timeout), escape(why));
    }
    let tracker = match status.trackers.as_slice() {
        [] => "no tracker to ask".to_owned(),
        trackers => format!("tracker: {}", tracker_words(trackers, Instant::now())),
    };
    let (sources, others) = match sources.iter().find_map(source_trouble) {
        _ if sources.is_empty() => (String::new(), " or --tracker URL"),
        None => (", web sources that sent nothing".to_owned(), ", --tracker or --web-seed URL"),
        Some(why) => (format!(", web source {why}"), ", --tracker or --web-seed URL"),
    };
    let remedy = match is_private {
        true => "wait for its tracker, or name another with --tracker URL".to_owned(),
        false => format!("try another --peer ADDR{others}"),
    };
    format!(
        "no data for {}: {} connected of {} known{}, {tracker}{sources}; {remedy}",
        duration(timeout),
        counted(status.peers_connected.into(), "peer"),
        status.peers_known,
        failed_words(peers),
    )
}

/// Why those that are known are not connected, if any of them tells: one of them is named.
fn failed_words(peers: &[PeerStatus]) -> String {
    let absent = peers.iter().filter(|peer| !peer.connected);
    let mut failed = absent.filter_map(|peer| Some((peer.address, peer.last_error.as_deref()?)));
    let Some((address, why)) = failed.next() else { return String::new() };
    let why = escape(without_address(why, address));
    match failed.count() {
        0 => format!(" ({address}: {why})"),
        others => format!(" ({address}: {why}; {others} more failed)"),
    }
}

/// The same of a file whose pieces nothing judges, but perhaps its hash the whole.
pub(super) fn whole_line(status: &Status, has_hash: bool) -> String {
    let wanted = size(status.wanted_bytes);
    let pace = if status.downloaded_bytes > 0 { pace_of(status) } else { String::new() };
    match has_hash {
        true => format!("Complete: {wanted}{pace}, its hash is right.\n"),
        false => format!(
            "Complete: {wanted}{pace}; nothing says whether it is right: the metalink has no \
             hash.\n"
        ),
    }
}

/// How long ago the torrent was begun, where that is more than what the transfer took: it waited
/// for peers, or for its turn.
fn since_start(status: &Status) -> String {
    match status.running.saturating_sub(status.transferring) >= Duration::from_secs(1) {
        true => format!(", {} since the start", duration(status.running)),
        false => String::new(),
    }
}

/// `before`: bytes that came before the download began.
pub(super) fn complete_line(status: &Status, before: u64) -> String {
    let wanted = size(status.wanted_bytes);
    // What came twice or was wrong is no part of it.
    let came = status.verified_bytes + before;
    let found = status.found.as_deref().map_or((0, 0), |found| (found.count, found.by_record));
    if came == 0 {
        return match found {
            (_, 0) => format!("Complete: {wanted}, all of it found on disk and verified.\n"),
            (count, by_record) if count == by_record => format!(
                "Complete: {wanted}, here already by its record; --check reads \
                 it again.\n"
            ),
            _ => format!("Complete: {wanted}, found on disk, some of it by the record only.\n"),
        };
    }
    let pace = pace_of(status) + &since_start(status);
    let fetched = match came.cmp(&status.wanted_bytes) {
        Ordering::Less => format!(", {} of it downloaded{pace}", size(came)),
        Ordering::Equal => pace,
        // Of files that are not wanted any more came some, too: the time is not that of the others.
        Ordering::Greater => String::new(),
    };
    match found {
        (_, 0) => format!("Complete: {wanted}{fetched}, every piece verified.\n"),
        _ => format!("Complete: {wanted}{fetched} and verified; the rest was here.\n"),
    }
}

pub(super) fn goodbye_line(status: &Status, before: u64) -> String {
    // What the next start finds: of pieces that were begun nothing is kept.
    let saved = size(status.verified_bytes + before);
    let sent = size(status.uploaded_bytes);
    let opening = opening(std::slice::from_ref(status));
    format!("{opening} Downloaded {saved}{}, uploaded {sent}.\n", pace_of(status))
}

/// ` in 1m 21s (9.7 MiB/s)`: how long what was downloaded took, if anything was, and how fast it
/// came in that time, if it was long enough to tell.
fn pace_of(status: &Status) -> String {
    if status.verified_bytes == 0 {
        return String::new();
    }
    let average = average_down(status).map(|average| format!(" ({})", rate(average)));
    format!(" in {}{}", elapsed(status.transferring), average.unwrap_or_default())
}

/// What the last words begin with: that it is safe is not said where a disk is in trouble.
fn opening(statuses: &[Status]) -> &'static str {
    let is_unsafe = |status: &Status| {
        status.flush_failure.is_some()
            || status.disk_trouble.is_some()
            || matches!(status.state, State::DiskTrouble(_) | State::Failed(_))
    };
    if statuses.iter().any(is_unsafe) { "Stopped." } else { "Saved." }
}

/// The last words about several torrents.
pub fn goodbye_to(statuses: &[Status], complete: usize) -> String {
    let sum = |bytes: fn(&Status) -> u64| size(statuses.iter().map(bytes).sum());
    format!(
        "{} {complete} of {} complete. Downloaded {}, uploaded {}.\n",
        opening(statuses),
        counted(statuses.len() as u64, "torrent"),
        sum(|status| status.verified_bytes),
        sum(|status| status.uploaded_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::status::FoundPieces;
    use crate::torrent::status::{SourceScope, SourceState};

    fn status() -> Status {
        Status {
            wanted_bytes: 821_035_008,
            downloaded_bytes: 821_035_008,
            verified_bytes: 821_035_008,
            uploaded_bytes: 23_173_530,
            running: Duration::from_secs(81),
            transferring: Duration::from_secs(81),
            peers_known: 3,
            ..Status::default()
        }
    }

    #[test]
    fn last_words() {
        assert_eq!(
            goodbye_line(&status(), 0),
            "Saved. Downloaded 783.0 MiB in 1m 21s (9.7 MiB/s), uploaded 22.1 MiB.\n"
        );
        assert_eq!(
            complete_line(&status(), 0),
            "Complete: 783.0 MiB in 1m 21s (9.7 MiB/s), every piece verified.\n"
        );
        let late = Status { running: Duration::from_secs(200), ..status() };
        assert_eq!(
            complete_line(&late, 0),
            "Complete: 783.0 MiB in 1m 21s (9.7 MiB/s), 3m 20s since the start, every piece \
             verified.\n"
        );
        let found_status = || Status { verified_bytes: 0, ..status() };
        assert_eq!(
            complete_line(&found_status(), 0),
            "Complete: 783.0 MiB, all of it found on disk and verified.\n"
        );
        let moment =
            Status { running: Duration::ZERO, transferring: Duration::from_millis(11), ..status() };
        assert_eq!(
            complete_line(&moment, 0),
            "Complete: 783.0 MiB in less than 0.1s, every piece verified.\n"
        );
        let fewer = Status { wanted_bytes: 1 << 20, ..status() };
        assert_eq!(complete_line(&fewer, 0), "Complete: 1.0 MiB, every piece verified.\n");
        let found_as = |count, by_record| {
            let found = FoundPieces { count, by_record, ..FoundPieces::default() };
            complete_line(&Status { found: Some(found.into()), ..found_status() }, 0)
        };
        assert!(found_as(9, 0).ends_with("found on disk and verified.\n"));
        assert!(found_as(9, 9).contains("here already by its record; --check "));
        assert!(found_as(9, 2).ends_with("some of it by the record only.\n"));
        let half = Status { verified_bytes: 1 << 20, downloaded_bytes: 2 << 20, ..status() };
        let short = Duration::from_millis(310);
        let short = Status { running: short, transferring: short, ..half };
        assert_eq!(
            complete_line(&short, 0),
            "Complete: 783.0 MiB, 1.0 MiB of it downloaded in 0.3s (3.2 MiB/s), every piece \
             verified.\n"
        );
    }

    #[test]
    fn what_came_before_the_download_was_not_found_on_disk() {
        let wanted = Status { wanted_bytes: 3 << 20, ..status() };
        let rest = Status { verified_bytes: 2 << 20, ..wanted.clone() };
        let line = "Complete: 3.0 MiB in 1m 21s (25.3 KiB/s), every piece verified.\n";
        assert_eq!(complete_line(&rest, 1 << 20), line);
        let none = Status { verified_bytes: 0, ..wanted };
        let line = "Complete: 3.0 MiB, every piece verified.\n";
        assert_eq!(complete_line(&none, 3 << 20), line);
        let line = "Saved. Downloaded 3.0 MiB in 1m 21s (25.3 KiB/s), uploaded 22.1 MiB.\n";
        assert_eq!(goodbye_line(&rest, 1 << 20), line);
    }

    #[test]
    fn of_a_resumed_download_only_what_came_was_verified() {
        let found = FoundPieces { count: 9, by_record: 9, ..FoundPieces::default() };
        let second = Duration::from_secs(1);
        let resumed = Status { verified_bytes: 1 << 20, found: Some(found.into()), ..status() };
        assert_eq!(
            complete_line(&Status { running: second, transferring: second, ..resumed }, 0),
            "Complete: 783.0 MiB, 1.0 MiB of it downloaded in 1.0s (1.0 MiB/s) and verified; the \
             rest was here.\n"
        );
    }

    #[test]
    fn the_last_words_speak_of_what_is_kept() {
        let short = Status { verified_bytes: 1 << 20, ..status() };
        assert!(goodbye_line(&short, 0).starts_with("Saved. Downloaded 1.0 MiB in 1m 21s ("));
        let none = Status { verified_bytes: 0, uploaded_bytes: 0, ..status() };
        assert_eq!(goodbye_line(&none, 0), "Saved. Downloaded 0 B, uploaded 0 B.\n");
    }

    #[test]
    fn nothing_is_called_saved_where_a_disk_is_in_trouble() {
        let why = "no space left on device";
        let lost = Status { flush_failure: Some(why.to_owned()), ..status() };
        assert!(goodbye_line(&lost, 0).starts_with("Stopped. Downloaded 783.0 MiB"));
        assert!(goodbye_to(&[status(), lost], 1).starts_with("Stopped. 1 of 2 torrents"));
        let full = Status { state: State::DiskTrouble(why.to_owned()), ..status() };
        assert!(goodbye_line(&full, 0).starts_with("Stopped. "));
    }

    #[test]
    fn last_words_about_several_add_up() {
        assert_eq!(
            goodbye_to(&[status(), status()], 1),
            "Saved. 1 of 2 torrents complete. Downloaded 1.5 GiB, uploaded 44.2 MiB.\n"
        );
    }

    #[test]
    fn giving_up_says_why_and_what_to_do() {
        assert_eq!(
            gave_up(&status(), &[], (&[], false), Duration::from_secs(60)),
            "no data for 1m 0s: 0 peers connected of 3 known, no tracker to ask; \
             try another --peer ADDR or --tracker URL"
        );
        let source = |state| SourceStatus {
            site: "m.example".to_owned(),
            url: "http://m.example/".to_owned(),
            scope: SourceScope::All,
            state,
            links: 0,
            busy: 0,
            coming: 0,
            down_rate: 0,
            downloaded_bytes: 0,
            files: Vec::new(),
        };
        let off = source(SourceState::Off { why: "401: it wants a password".to_owned() });
        let said =
            gave_up(&status(), &[], (&[source(SourceState::Fit), off], false), Duration::ZERO);
        assert!(
            said.ends_with(
                ", no tracker to ask, web source m.example: 401: it wants a password; not asked \
                 any more; try another --peer ADDR, --tracker or --web-seed URL"
            ),
            "{said}"
        );
        let said = gave_up(&status(), &[], (&[], true), Duration::ZERO);
        assert!(said.ends_with("; wait for its tracker, or name another with --tracker URL"));
        let refused = |port| PeerStatus {
            last_error: Some(format!("cannot connect to 192.0.2.1:{port}: connection refused")),
            ..PeerStatus::unconnected(([192, 0, 2, 1], port).into())
        };
        assert_eq!(failed_words(&[refused(7)]), " (192.0.2.1:7: connection refused)");
        let met = PeerStatus { connected: true, ..refused(6) };
        assert_eq!(
            failed_words(&[met, refused(7), refused(8)]),
            " (192.0.2.1:7: connection refused; 1 more failed)"
        );
        let state = State::DiskTrouble("no space left on device: free some space".to_owned());
        assert_eq!(
            gave_up(&Status { state, ..status() }, &[], (&[], false), Duration::from_secs(3)),
            "nothing could be written for 3s: no space left on device: free some space"
        );
    }
}
