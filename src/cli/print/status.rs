//! The `status` screen, and its essence in one line.

use std::time::{Duration, Instant};

use crate::api::Limits;
use crate::base::units::{average, duration, elapsed, rate, size};
use crate::cli::escape::escape;
use crate::torrent::status::{State, Status};
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};

use super::{WAITING, counted, dht_words, hide_keys, per_cent, size_of_size, wrap};

/// Less than this is on its way all the time.
const UNSYNCED_SHOWN: u64 = 64 << 20;

/// Numbers of a tracker that are older say so.
const COUNTS_OLD: Duration = Duration::from_secs(60);

const BAR_COLUMNS: usize = 24;
/// A bar of fewer columns shows nothing.
const BAR_MIN: usize = 6;
/// Columns of the names of rows.
const NAME_COLUMNS: usize = 11;
/// On a narrower terminal values stand below their names.
const NARROW: usize = 36;

/// What `status` tells that the torrent itself does not know.
#[derive(Clone, Copy, Default, Debug)]
pub struct Around<'a> {
    /// Limits of all torrents together, where there are several.
    pub limits_of_all: Option<Limits>,
    /// The tracker that is asked first.
    pub first_tracker: Option<&'a str>,
    /// Our ports as they are outside, where a router has opened any.
    pub outside: Option<&'a str>,
}

/// The screen of `status`, in lines of at most `columns`.
pub fn status_screen(status: &Status, around: Around<'_>, now: Instant, columns: usize) -> String {
    let average = average_down(status).map(|it| format!("   average down {}", rate(it)));
    let mut rows = vec![
        ("State", state_words(status)),
        ("Progress", progress_words(status, columns)),
        (
            "Pieces",
            format!(
                "{}, {} in progress, {} failed",
                pieces_words(status),
                status.pieces_in_progress,
                status.hash_failures
            ),
        ),
        (
            "Speed",
            format!(
                "down {}   up {}{}",
                rate(status.down_rate),
                rate(status.up_rate),
                average.unwrap_or_default()
            ),
        ),
    ];
    rows.extend(limit_row(status, around.limits_of_all));
    if status.state == State::Downloading {
        rows.push(("Remaining", status.remaining().map_or("unknown".into(), duration)));
    }
    rows.extend([
        (
            "Peers",
            format!(
                "{} connected ({}), {} sending to us, {} receiving, {} known",
                status.peers_connected,
                counted(status.seeds_connected.into(), "seed"),
                status.peers_sending,
                status.peers_receiving,
                status.peers_known
            ),
        ),
        ("Uploaded", uploaded_words(status)),
        ("Tracker", tracker_row(status, around.first_tracker, now)),
    ]);
    if status.sources_known > 0 {
        let (up, all) = (status.sources_connected, status.sources_known);
        rows.push(("Web", format!("{up} of {} connected", counted(all.into(), "source"))));
    }
    rows.extend(status.dht.as_ref().map(|dht| ("DHT", dht_words(dht))));
    rows.extend(around.outside.map(|outside| ("Outside", outside.to_owned())));
    rows.extend(moving(status));
    rows.extend(unsynced(status));
    rows.extend(troubles(status));
    rows.push(("Running", running_words(status)));
    rows.iter().map(|(name, value)| row(name, value, columns)).collect()
}

/// A row of the screen.
pub fn row(name: &str, value: &str, columns: usize) -> String {
    match columns < NARROW {
        true => format!("{name}\n{}\n", wrap(&format!("  {value}"), columns, 2)),
        false => wrap(&format!("{name:<NAME_COLUMNS$}{value}"), columns, NAME_COLUMNS) + "\n",
    }
}

/// What came and was right, a second of the time in which it was fetched; none before any, or where
/// that time is too short to tell.
pub fn average_down(status: &Status) -> Option<u64> {
    average(status.verified_bytes, status.transferring).filter(|average| *average > 0)
}

/// Since when it runs; of that the time in which it fetched, which averages are of.
fn running_words(status: &Status) -> String {
    let fetched = match status.transferring.is_zero() {
        true => String::new(),
        false => format!("   fetched for {}", elapsed(status.transferring)),
    };
    format!("{}{fetched}   wasted {}", duration(status.running), wasted_words(status))
}

/// `3.0 MiB (2.0 MiB failed the hash, 1.0 MiB twice, unasked, or not kept)`: what came in vain, and
/// why.
fn wasted_words(status: &Status) -> String {
    let (wasted, wrong) = (status.wasted_bytes, status.corrupt_bytes.min(status.wasted_bytes));
    let (failed, twice) = ("failed the hash", "twice, unasked, or not kept");
    match (wrong, wasted - wrong) {
        (0, 0) => size(0),
        (0, _) => format!("{} ({twice})", size(wasted)),
        (_, 0) => format!("{} ({failed})", size(wasted)),
        (wrong, rest) => {
            format!("{} ({} {failed}, {} {twice})", size(wasted), size(wrong), size(rest))
        }
    }
}

/// `1917 of 3132 verified`; where not all are wanted, of those that are.
fn pieces_words(status: &Status) -> String {
    match status.pieces_wanted {
        (done, wanted) if wanted > 0 && wanted < status.piece_count => {
            format!("{done} of {wanted} wanted verified ({} in all)", status.piece_count)
        }
        _ => format!("{} of {} verified", status.pieces_verified, status.piece_count),
    }
}

/// `[####----]  61.2 %   479.2 of 783.0 MiB`: where there is little room the bar gives way.
fn progress_words(status: &Status, columns: usize) -> String {
    let share = status.progress();
    let words =
        format!("{}   {}", per_cent(share), size_of_size(status.done_bytes, status.wanted_bytes));
    // The brackets, and two spaces behind them.
    let room = columns.saturating_sub(NAME_COLUMNS + words.len() + 4).min(BAR_COLUMNS);
    match room < BAR_MIN {
        true => words,
        false => format!("[{}]  {words}", bar(share, room)),
    }
}

/// The limits in force, and whose they are where there are several torrents.
fn limit_row(status: &Status, of_all: Option<Limits>) -> Option<(&'static str, String)> {
    let words = |name, limit: Option<u64>, of_all: Option<u64>| {
        let limit = limit?;
        let whose = if of_all == Some(limit) { " (all together)" } else { "" };
        Some(format!("{name} {}{whose}", rate(limit)))
    };
    let of_all = of_all.unwrap_or_default();
    let down = words("down", status.limit_down, of_all.down);
    let limits: Vec<_> = down.into_iter().chain(words("up", status.limit_up, of_all.up)).collect();
    (!limits.is_empty()).then(|| ("Limit", limits.join("   ")))
}

/// How the tracker stands, or which one is to be asked.
fn tracker_row(status: &Status, first: Option<&str>, now: Instant) -> String {
    match first {
        // It is about to be, or when its turn comes.
        Some(first) if status.trackers.is_empty() => {
            format!("{}: not asked yet", escape(&hide_keys(first)))
        }
        _ => tracker_words(&status.trackers, now),
    }
}

/// How far a move is; none while nothing is copied.
fn moving(status: &Status) -> Option<(&'static str, String)> {
    let (done, all) = status.moved_bytes;
    let copied = size_of_size(done.min(all), all);
    let words =
        format!("{}   {copied}   {}", per_cent(moved_share(status)), rate(status.move_rate));
    (status.state == State::Moving && all > 0).then_some(("Moving", words))
}

/// What a power loss might take, when that is worth a word.
fn unsynced(status: &Status) -> Option<(&'static str, String)> {
    let words = format!("{} of it not yet on the device", size(status.unsynced_bytes));
    (status.unsynced_bytes >= UNSYNCED_SHOWN).then_some(("Writing", words))
}

/// What is wrong with the disk or the record.
fn troubles(status: &Status) -> impl Iterator<Item = (&'static str, String)> {
    let disk = match &status.state {
        State::DiskTrouble(why) => Some(why),
        _ => status.disk_trouble.as_ref(),
    };
    let disk = disk.map(|why| ("Disk", escape(why)));
    let record = status.record_trouble.as_ref().map(|why| ("Record", escape(why)));
    disk.into_iter().chain(record)
}

/// The state in one line: `61 %   32 peers   11.4 MiB/s`.
pub fn glance(status: &Status) -> String {
    let per_cent = (status.progress() * 100.0).floor();
    let peers = counted(status.peers_connected.into(), "peer");
    match status.state {
        State::Checking => checking_words(status),
        State::Moving => format!("moving   {:.0} %", (moved_share(status) * 100.0).floor()),
        State::Queued => format!("{per_cent:.0} %   queued"),
        State::Complete => format!("seeding   {peers}   up {}", rate(status.up_rate)),
        State::Finished => "finished".to_owned(),
        State::Paused => format!("{per_cent:.0} %   paused"),
        State::Stopping => format!("{per_cent:.0} %   stopping"),
        State::DiskTrouble(_) => format!("{per_cent:.0} %   disk trouble   {peers}"),
        State::Failed(_) => format!("{per_cent:.0} %   failed"),
        State::Downloading => super::progress_line(status),
    }
}

/// How the tracker that matters stands: the first that works, or else the first.
pub fn tracker_words(trackers: &[TrackerStatus], now: Instant) -> String {
    let works = trackers.iter().find(|tracker| tracker.state == TrackerState::Working);
    let Some(tracker) = works.or(trackers.first()) else { return "none".to_owned() };
    let mut words = match tracker.state {
        TrackerState::Working => "ok".to_owned(),
        _ => tracker.state.to_string(),
    };
    if let Some(error) = tracker.last_error.as_ref().filter(|_| works.is_none()) {
        words += &format!(": {}", escape(&hide_keys(error)));
    }
    let counts = [
        (tracker.seeds, "seed", "seeds"),
        (tracker.leeches, "leech", "leeches"),
        (tracker.downloaded, "download", "downloads"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter_map(|(count, one, many)| {
            count.map(|count| format!("{count} {}", if count == 1 { one } else { many }))
        })
        .collect();
    if !counts.is_empty() {
        words += &format!(", {}", counts.join(" "));
        let age = tracker.counted_at.map(|at| now.saturating_duration_since(at));
        if let Some(age) = age.filter(|age| *age >= COUNTS_OLD) {
            words += &format!(" ({} ago)", duration(age));
        }
    }
    if let Some(next) = tracker.next_announce_at {
        words += &format!(", next announce in {}", duration(next.saturating_duration_since(now)));
    }
    words
}

fn state_words(status: &Status) -> String {
    match &status.state {
        State::Checking => checking_words(status),
        State::Moving => "moving its files to another place".to_owned(),
        State::Downloading => "downloading".to_owned(),
        State::Queued => "queued: waiting for its turn (resume starts it at once)".to_owned(),
        State::Complete if status.is_asleep => {
            "complete; it sleeps until a peer comes (there are many)".to_owned()
        }
        State::Complete => "complete, seeding".to_owned(),
        State::Finished => "finished: complete, and seeded as long as was asked for".to_owned(),
        State::Paused => "paused".to_owned(),
        State::Stopping => "stopping".to_owned(),
        // The disk works, but a file is not as it was.
        State::DiskTrouble(_) if status.disk_trouble.is_none() && status.posted_at.is_some() => {
            "a file is in trouble, the rest goes on".to_owned()
        }
        State::DiskTrouble(_) => "paused by the disk, tried again by itself".to_owned(),
        State::Failed(why) => format!("failed: {}", escape(why)),
    }
}

/// `checking what is on disk, 41.0 %, 3.1 GiB/s, 12s left`.
pub fn checking_words(status: &Status) -> String {
    if status.check_waits {
        return format!("checking: {WAITING}");
    }
    let mut words = format!("checking what is on disk, {}", per_cent(checked_share(status)));
    if status.check_rate > 0 {
        words += &format!(", {}", rate(status.check_rate));
    }
    if let Some(left) = status.check_remaining() {
        words += &format!(", {} left", duration(left));
    }
    words
}

/// What was sent in this run, and the ratio of the torrent's life.
fn uploaded_words(status: &Status) -> String {
    let before = match status.uploaded_before_bytes {
        0 => String::new(),
        before => format!(" (and {} before)", size(before)),
    };
    format!("{}{before}   ratio {:.2}", size(status.uploaded_bytes), status.ratio())
}

fn moved_share(status: &Status) -> f64 {
    let (done, all) = status.moved_bytes;
    (done as f64 / all.max(1) as f64).min(1.0)
}

fn checked_share(status: &Status) -> f64 {
    let (done, all) = status.checked_bytes;
    done as f64 / all.max(1) as f64
}

/// A bar of so many columns that is full only when all is done.
pub fn bar(share: f64, columns: usize) -> String {
    let rounded = (share * columns as f64).round() as usize;
    let most = if share < 1.0 { columns - 1 } else { columns };
    let full = rounded.min(most);
    "#".repeat(full) + &"-".repeat(columns - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(now: Instant) -> Status {
        Status {
            state: State::Downloading,
            wanted_bytes: 821_035_008,
            done_bytes: 502_477_619,
            piece_count: 3132,
            pieces_verified: 1917,
            pieces_in_progress: 14,
            down_rate: 11_953_766,
            up_rate: 327_680,
            downloaded_bytes: 480_016_384,
            verified_bytes: 480_000_000,
            uploaded_bytes: 12_897_485,
            wasted_bytes: 16_384,
            running: Duration::from_secs(49),
            transferring: Duration::from_secs(47),
            peers_connected: 32,
            seeds_connected: 21,
            peers_sending: 18,
            peers_receiving: 4,
            peers_known: 112,
            trackers: vec![TrackerStatus {
                url: "http://t/announce".into(),
                tier: 0,
                state: TrackerState::Working,
                seeds: Some(44),
                leeches: Some(12),
                downloaded: Some(9),
                counted_at: Some(now),
                peers: Some(50),
                next_announce_at: Some(now + Duration::from_secs(1451)),
                last_error: None,
                warning: None,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn what_was_wasted_says_why() {
        let said = |wasted_bytes, corrupt_bytes| {
            wasted_words(&Status { wasted_bytes, corrupt_bytes, ..Status::default() })
        };
        assert_eq!(said(0, 0), "0 B");
        assert_eq!(said(16_384, 0), "16.0 KiB (twice, unasked, or not kept)");
        assert_eq!(said(2 << 20, 2 << 20), "2.0 MiB (failed the hash)");
        let both = "3.0 MiB (2.0 MiB failed the hash, 1.0 MiB twice, unasked, or not kept)";
        assert_eq!(said(3 << 20, 2 << 20), both);
    }

    /// A quotient of what is shown elsewhere, and not of another count.
    #[test]
    fn the_average_is_that_of_the_last_words() {
        let now = Instant::now();
        let time = Duration::from_millis(4200);
        let came = Status { verified_bytes: 42 << 20, transferring: time, ..sample(now) };
        let screen = status_screen(&came, Around::default(), now, 80);
        assert!(screen.contains("average down 10.0 MiB/s"), "{screen}");
        assert!(screen.contains("   fetched for 4.2s"), "{screen}");
        assert_eq!(average_down(&Status { verified_bytes: 0, ..came }), None);
    }

    #[test]
    fn the_screen_of_a_running_download() {
        let now = Instant::now();
        let expected = "\
State      downloading
Progress   [###############---------]  61.2 %   479.2 of 783.0 MiB
Pieces     1917 of 3132 verified, 14 in progress, 0 failed
Speed      down 11.4 MiB/s   up 320.0 KiB/s   average down 9.7 MiB/s
Remaining  26s
Peers      32 connected (21 seeds), 18 sending to us, 4 receiving, 112 known
Uploaded   12.3 MiB   ratio 0.02
Tracker    ok, 44 seeds 12 leeches 9 downloads, next announce in 24m 11s
Running    49s   fetched for 47s   wasted 16.0 KiB (twice, unasked, or not kept)
";
        let screen = |columns| status_screen(&sample(now), Around::default(), now, columns);
        assert_eq!(screen(80), expected);
        assert_eq!(screen(usize::MAX), expected);
        let later = tracker_words(&sample(now).trackers, now + Duration::from_secs(125));
        assert!(later.starts_with("ok, 44 seeds 12 leeches 9 downloads (2m 5s ago), "), "{later}");
        for columns in [60, 40, 36, 20] {
            let screen = screen(columns);
            assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
            // The bar gives way, and no number does.
            let words: Vec<&str> = screen.split_whitespace().collect();
            assert!(words.join(" ").contains("61.2 % 479.2 of 783.0 MiB"), "{screen}");
            assert!(words.join(" ").contains("next announce in 24m 11s"), "{screen}");
        }
        assert!(screen(60).contains("\nProgress   [###########-------]  61.2 %"), "{}", screen(60));
        assert!(
            screen(40).contains("\nProgress   61.2 %   479.2 of 783.0 MiB\n"),
            "{}",
            screen(40)
        );
        assert!(
            screen(20).starts_with("State\n  downloading\nProgress\n  61.2 %"),
            "{}",
            screen(20)
        );
    }

    #[test]
    fn pieces_count_to_what_is_wanted() {
        let mut status = sample(Instant::now());
        status.pieces_wanted = (1917, 3132);
        assert_eq!(pieces_words(&status), "1917 of 3132 verified");
        status.pieces_wanted = (600, 611);
        assert_eq!(pieces_words(&status), "600 of 611 wanted verified (3132 in all)");
    }

    #[test]
    fn a_limit_says_whose_it_is() {
        let mut status = sample(Instant::now());
        (status.limit_down, status.limit_up) = (Some(1 << 20), Some(2 << 20));
        let all = Limits { down: Some(1 << 20), up: Some(9 << 20) };
        let words = |all| limit_row(&status, all).unwrap().1;
        assert_eq!(words(Some(all)), "down 1.0 MiB/s (all together)   up 2.0 MiB/s");
        assert_eq!(words(None), "down 1.0 MiB/s   up 2.0 MiB/s");
        assert_eq!(limit_row(&sample(Instant::now()), Some(all)), None);
    }

    #[test]
    fn what_waits_for_its_turn_names_its_tracker() {
        let now = Instant::now();
        let queued = Status { state: State::Queued, ..Status::default() };
        let words = tracker_row(&queued, Some("http://t/k3y/announce"), now);
        assert_eq!(words, "http://t/...: not asked yet");
        // As one that has just begun, and one that sleeps from the start.
        for state in [State::Downloading, State::Complete] {
            let begun = Status { state, ..Status::default() };
            assert_eq!(tracker_row(&begun, Some("http://t/k3y/announce"), now), words);
        }
        assert_eq!(tracker_row(&queued, None, now), "none");
        assert!(tracker_row(&sample(now), Some("x"), now).starts_with("ok, 44 seeds"));
    }

    #[test]
    fn a_check_tells_its_rate_and_its_end_or_what_it_waits_for() {
        let mut status = Status { checked_bytes: (41 << 20, 100 << 20), ..Status::default() };
        assert_eq!(checking_words(&status), "checking what is on disk, 41.0 %");
        status.check_rate = 5 << 20;
        let expected = "checking what is on disk, 41.0 %, 5.0 MiB/s, 11s left";
        assert_eq!(checking_words(&status), expected);
        status.check_waits = true;
        assert_eq!(checking_words(&status), "checking: waiting: another check reads this disk");
    }

    #[test]
    fn a_glance_carries_the_state() {
        let mut status = sample(Instant::now());
        assert_eq!(glance(&status), "61 %   32 peers   11.4 MiB/s");
        status.state = State::Paused;
        assert_eq!(glance(&status), "61 %   paused");
        status.state = State::Complete;
        assert_eq!(glance(&status), "seeding   32 peers   up 320.0 KiB/s");
        status.state = State::Checking;
        status.checked_bytes = (1, 4);
        assert_eq!(glance(&status), "checking what is on disk, 25.0 %");
    }

    #[test]
    fn trackers_cannot_paint_the_terminal() {
        let now = Instant::now();
        let mut trackers = sample(now).trackers;
        trackers[0].state = TrackerState::Failing(3);
        trackers[0].last_error = Some("no\x1b[31mwarez".into());
        trackers[0].seeds = None;
        trackers[0].leeches = None;
        trackers[0].downloaded = None;
        trackers[0].next_announce_at = None;
        assert_eq!(tracker_words(&trackers, now), "failed 3 times: no\\x1b[31mwarez");
        assert_eq!(tracker_words(&[], now), "none");
    }

    #[test]
    fn a_move_shows_how_far_it_is() {
        let now = Instant::now();
        let mut status = sample(now);
        status.state = State::Moving;
        let shown = |status: &Status| status_screen(status, Around::default(), now, 80);
        assert!(!shown(&status).contains("\nMoving"), "nothing is copied");
        (status.moved_bytes, status.move_rate) = ((430 << 20, 1 << 30), 120 << 20);
        let screen = shown(&status);
        let row = "\nMoving     41.9 %   430.0 MiB of 1.0 GiB   120.0 MiB/s\n";
        assert!(screen.contains(row), "{screen}");
        assert_eq!(glance(&status), "moving   41 %");
    }

    #[test]
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!(bar(0.999, 24), format!("{}-", "#".repeat(23)));
        assert_eq!(bar(1.0, 24), "#".repeat(24));
    }
}
