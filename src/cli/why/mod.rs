//! The answer to `why`: what a download waited for, in plain words, and what can be done
//! about it. The numbers come from the swarm's accounting; this file only words them.

mod advice;
mod around;
mod causes;

use crate::api::Waiting;
use crate::base::digest::sha1_plan;
use crate::base::units::rate;
use crate::disk::{DiskRates, remedy_apart};
use crate::swarm::waits::Cause;
use crate::torrent::status::{State, WhyReport};

use super::escape::escape;
use super::print::{counted, dht_words, source_trouble, wrap};

use advice::advice;
pub use around::Among;
use around::Around;
use causes::{are_silent, explain, name, nothing, senders_words};

/// Causes with a smaller share are not worth a line.
const SHARE_MIN: f64 = 0.05;
/// Web sources in trouble that are named.
const SOURCES_NAMED: usize = 3;

/// What a torrent waits for, as the API tells it: lines that whoever shows them breaks. It is
/// called by `number`.
pub fn why_words(waiting: &Waiting, number: usize, among: Among) -> String {
    let Waiting { report, state, is_private, limit_of_all, .. } = waiting;
    let words = match (report, state) {
        (Some(report), _) => {
            let (state, is_private) = (state.clone(), *is_private);
            let limit_of_all = *limit_of_all;
            let (is_several, is_daemon) = (among != Among::Alone, among == Among::Daemon);
            let around = Around { state, number, is_several, is_private, is_daemon, limit_of_all };
            return why_text(report, &around);
        }
        (None, State::Queued) => {
            "waiting for its turn: others are downloading (resume starts it at once)"
        }
        (None, State::Finished) => {
            "complete, and seeded as long as was asked for (resume seeds on)"
        }
        (None, State::Paused) => "paused (resume goes on)",
        (None, State::Moving) => "its files are on their way to another place",
        (None, State::Checking) => "looking at what is on disk",
        (None, State::Complete) => "complete; it sleeps until a peer comes",
        (None, State::DiskTrouble(why) | State::Failed(why)) => {
            return format!("{}\nWhat to do: put that right, then resume\n", escape(why));
        }
        (None, _) => "nothing runs",
    };
    words.to_owned() + "\n"
}

/// The same in lines of at most `columns`.
pub fn why_screen(text: &str, columns: usize) -> String {
    text.lines().map(|line| wrap(line, columns, 2) + "\n").collect()
}

/// The lines of `why`: the last minute, the whole life, and what to do.
fn why_text(report: &WhyReport, around: &Around) -> String {
    let mut lines = Vec::new();
    if let Some(trouble) = &report.disk_trouble {
        let (wrong, _) = remedy_apart(trouble);
        let what = match report.waits.now {
            Some(Cause::Nothing) => "A file is in trouble, the rest goes on",
            _ => "Paused by the disk, and tried again by itself",
        };
        lines.push(format!("{what}: {}", escape(wrong)));
    }
    let minute = worth_telling(&report.waits.minute);
    let now = report.waits.now;
    // What ended a moment ago is no answer to "why now".
    if let Some(now) = now.filter(|now| minute.first().is_some_and(|(top, _)| top != now)) {
        let name = if now == Cause::Nothing { nothing(around) } else { name(now, report) };
        lines.push(format!("Now: {name}"));
    }
    lines.extend(stall(now, report).map(|stall| format!("Now: {stall}")));
    for (cause, share) in &minute {
        lines.push(format!(
            "{:.0} % of the last minute: {}",
            share * 100.0,
            explain(*cause, report, around)
        ));
    }
    if lines.is_empty() {
        lines.push("nothing to tell yet: ask again in a second".to_owned());
    }
    let life: Vec<String> = worth_telling(&report.waits.life)
        .iter()
        .map(|(cause, share)| format!("{:.0} % {}", share * 100.0, name(*cause, report)))
        .collect();
    if !life.is_empty() {
        lines.push(format!("Over its life: {}", life.join(", ")));
    }
    if let Some(dht) = report
        .dht
        .as_ref()
        .filter(|_| matches!(now, Some(Cause::Tracker | Cause::Peers | Cause::Pieces)))
    {
        lines.push(format!("DHT: {}", dht_words(dht)));
    }
    lines.extend(blocked(report));
    lines.extend(troubled(report));
    lines.extend(banned(report));
    lines.extend(hands(&report.disk));
    let remedy = report.disk_trouble.as_deref().and_then(|trouble| remedy_apart(trouble).1);
    if let Some(remedy) = remedy {
        lines.push(format!("What to do: {remedy}"));
    } else if let Some(cause) = now.or(minute.first().map(|(cause, _)| *cause)) {
        lines.extend(advice(cause, report, around).map(|advice| format!("What to do: {advice}")));
    }
    lines.join("\n") + "\n"
}

/// The largest shares first; always the largest of all.
fn worth_telling(shares: &[(Cause, f64)]) -> Vec<(Cause, f64)> {
    let kept = shares.iter().enumerate().filter(|(at, (_, share))| *at == 0 || *share >= SHARE_MIN);
    kept.map(|(_, entry)| *entry).collect()
}

/// Sources in trouble while the time goes elsewhere.
fn troubled(report: &WhyReport) -> Vec<String> {
    let is_told = |cause: &Cause| matches!(cause, Cause::SourceWaits | Cause::SourcesDiffer);
    if worth_telling(&report.waits.minute).iter().any(|(cause, _)| is_told(cause)) {
        return Vec::new();
    }
    let mut lines: Vec<String> = report.sources.iter().filter_map(source_trouble).collect();
    let more = lines.len().saturating_sub(SOURCES_NAMED);
    lines.truncate(SOURCES_NAMED);
    lines.iter_mut().for_each(|line| *line = format!("Web source {line}"));
    if more > 0 {
        lines.push(format!("Web sources in trouble: {more} more (web shows all)"));
    }
    lines
}

/// That the user's own list keeps peers away, if it does at present.
fn blocked(report: &WhyReport) -> Option<String> {
    let is_lonely = matches!(report.waits.now, Some(Cause::Tracker | Cause::Peers | Cause::Pieces));
    let others = report.connected + report.dialling + report.candidates;
    let (blocked, all) = (report.blocked, report.blocked.saturating_add(others));
    let words = match (blocked, all) {
        (1, 1) => "the only address that was named is on it".to_owned(),
        (blocked, all) if blocked == all => {
            format!("all {all} addresses that were named are on it")
        }
        (1, all) => format!("1 of {all} addresses is on it"),
        (blocked, all) => format!("{blocked} of {all} addresses are on it"),
    };
    (blocked > 0 && is_lonely).then(|| format!("Blocklist: {words} (net tells which list)"))
}

/// Who is not spoken to any more; none when nobody was banned.
fn banned(report: &WhyReport) -> Option<String> {
    let last = report.banned.last()?;
    let count = report.banned.len();
    Some(match count {
        1 => format!("Banned: {last}, which sent corrupt data"),
        _ => format!("Banned: {count} peers that sent corrupt data, the last {last} (peers -a)"),
    })
}

/// That nothing comes although it is asked for, before the peers count as silent.
fn stall(now: Option<Cause>, report: &WhyReport) -> Option<String> {
    let senders = report.interesting.saturating_sub(report.choking);
    if now != Some(Cause::Transfer) || report.down_rate > 0 || are_silent(report) {
        return None;
    }
    let busy = report.sources.iter().filter(|source| source.busy > 0).count();
    let are = if senders as usize + busy == 1 { "is" } else { "are" };
    Some(format!("nothing comes, though {} {are} asked", senders_words(senders, report)))
}

/// What the disk and the hashing did over the last minute, when they did anything.
fn hands(disk: &DiskRates) -> Vec<String> {
    let mut did = Vec::new();
    let parts = [
        ("writes", disk.write_rate, disk.write_share),
        ("reads", disk.read_rate, disk.read_share),
        ("brings to the device", disk.sync_rate, disk.sync_share),
    ];
    for (what, bytes, share) in parts.into_iter().filter(|(_, bytes, _)| *bytes > 0) {
        did.push(format!("{what} {} ({:.0} % of the time)", rate(bytes), share * 100.0));
    }
    let mut lines = Vec::new();
    if !did.is_empty() {
        lines.push(format!("Disk: {}", did.join(", ")));
    }
    if disk.hash_rate > 0 {
        lines.push(format!(
            "Hashing: {} on each of {} ({}), {:.1} pieces at once, {:.0} % of the time",
            rate(disk.hash_rate),
            counted(disk.workers, "worker"),
            engine_for_many(),
            disk.pieces_at_once,
            disk.hash_share * 100.0,
        ));
    }
    lines
}

/// What hashes when many pieces wait.
fn engine_for_many() -> &'static str {
    sha1_plan().engine(usize::MAX).name()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::around::MINUTE;
    use super::*;
    use crate::base::ids::{FileIndex, TorrentId};
    use crate::swarm::waits::WaitReport;
    use crate::torrent::status::{
        DhtStatus, SourceFileStatus, SourceScope, SourceState, SourceStatus, State, TrackerBrief,
    };
    use crate::tracker::tiers::status::TrackerState;

    fn around() -> Around {
        let (state, number) = (State::Downloading, 2);
        Around {
            state,
            number,
            is_several: true,
            is_private: false,
            is_daemon: false,
            limit_of_all: None,
        }
    }

    #[test]
    fn of_one_that_nothing_runs_of_its_state_is_told() {
        let said = |state| {
            let waiting = Waiting {
                report: None,
                state,
                id: TorrentId(1),
                is_private: false,
                limit_of_all: None,
                search: None,
            };
            why_words(&waiting, 1, Among::Alone)
        };
        assert!(said(State::Queued).starts_with("waiting for its turn: others are downloading"));
        assert_eq!(said(State::Paused), "paused (resume goes on)\n");
        assert!(said(State::Finished).contains("seeded as long as was asked for"));
    }

    fn report(minute: &[(Cause, f64)]) -> WhyReport {
        WhyReport {
            waits: WaitReport {
                now: minute.first().map(|(cause, _)| *cause),
                minute: minute.to_vec(),
                life: vec![(Cause::Transfer, 0.9), (Cause::Tracker, 0.06), (Cause::Hash, 0.04)],
            },
            connected: 5,
            interesting: 4,
            choking: 3,
            snubbed: 0,
            pieces_nobody_has: 0,
            dialling: 3,
            candidates: 12,
            down_rate: 11_953_766,
            limit_down: None,
            limit_age: None,
            last_error: None,
            blocked: 0,
            banned: Vec::new(),
            memory_blocks: (2500, 2560),
            pieces_at_disk: 9,
            disk_trouble: None,
            dht: None,
            sources: Vec::new(),
            limit_web: None,
            tracker: Some(TrackerBrief {
                url: "http://t/announce".to_owned(),
                state: TrackerState::Failing(1),
                error: Some("\x1b[5mno".to_owned()),
                peers: None,
                next_in: None,
            }),
            disk: DiskRates {
                write_rate: 43_201_331,
                write_share: 0.97,
                hash_rate: 1_181_116_006,
                hash_share: 0.04,
                received_rate: 80 << 20,
                workers: 2,
                pieces_at_once: 8.34,
                ..DiskRates::default()
            },
        }
    }

    #[test]
    fn a_disk_that_fails_comes_first() {
        let mut report = report(&[(Cause::Disk, 1.0)]);
        report.disk_trouble = Some("no space left".to_owned());
        let screen = why_text(&report, &around());
        let first = "Paused by the disk, and tried again by itself: no space left\n\
                     100 % of the last minute: the disk took nothing\n";
        assert!(screen.starts_with(first), "{screen}");
        assert!(!screen.contains("What to do"), "{screen}");
        // Who seeds waits for nothing.
        report.waits.now = Some(Cause::Nothing);
        let screen = why_text(&report, &around());
        let first = "A file is in trouble, the rest goes on: no space left\n";
        assert!(screen.starts_with(first), "{screen}");
    }

    #[test]
    fn the_whole_answer() {
        let minute = [(Cause::Unchoke, 0.62), (Cause::Transfer, 0.34), (Cause::Peers, 0.04)];
        let expected = "\
62 % of the last minute: 3 of 4 peers keep us choked
34 % of the last minute: data flowed as fast as 1 peer and the line allow (now 11.4 MiB/s)
Over its life: 90 % data flowing, 6 % waiting for the tracker
Disk: writes 41.2 MiB/s (97 % of the time)
Hashing: 1.1 GiB/s on each of 2 workers (ENGINE), 8.3 pieces at once, 4 % of the time
What to do: wait, or announce for more peers: they take turns, and serve those first \
who upload to them
";
        assert_eq!(
            why_text(&report(&minute), &around()),
            expected.replace("ENGINE", engine_for_many())
        );
    }

    #[test]
    fn a_new_limit_is_not_credited_with_the_time_before_it() {
        let mut limited = report(&[(Cause::Limit, 1.0)]);
        (limited.limit_down, limited.limit_age) = (Some(1024), Some(Duration::from_secs(3)));
        let said = why_text(&limited, &around());
        let first = "100 % of the last minute: your limit held it back (1.0 KiB/s since 3s)\n";
        assert!(said.starts_with(first), "{said}");
        limited.limit_age = Some(MINUTE);
        let said = why_text(&limited, &around());
        assert!(said.contains(": your limit of 1.0 KiB/s held it back\n"), "{said}");
    }

    #[test]
    fn who_is_banned_and_what_addresses_failed_with_is_told() {
        let mut alone = report(&[(Cause::Peers, 1.0)]);
        alone.connected = 0;
        alone.last_error = Some(("connection refused".to_owned(), 9));
        alone.banned = vec!["192.0.2.7:5".parse().unwrap()];
        let said = why_text(&alone, &around());
        let first = "no peer connected; 3 dials now, 12 addresses to try \
                     (9 failed: connection refused)\n";
        assert!(said.contains(first), "{said}");
        assert!(said.contains("\nBanned: 192.0.2.7:5, which sent corrupt data\n"), "{said}");
        alone.banned.push("192.0.2.8:5".parse().unwrap());
        let said = why_text(&alone, &around());
        let banned = "Banned: 2 peers that sent corrupt data, the last 192.0.2.8:5 (peers -a)";
        assert!(said.contains(banned), "{said}");
    }

    #[test]
    fn a_blocklist_is_named_while_it_is_what_keeps_peers_away() {
        let mut alone = report(&[(Cause::Peers, 1.0)]);
        (alone.connected, alone.dialling, alone.candidates) = (0, 1, 1);
        let said = |report: &WhyReport| why_text(report, &around());
        assert!(!said(&alone).contains("Blocklist"));
        alone.blocked = 7;
        assert!(said(&alone).contains("\nBlocklist: 7 of 9 addresses are on it (net tells which"));
        alone.waits.now = Some(Cause::Transfer);
        assert!(!said(&alone).contains("Blocklist"), "data flows");
        (alone.waits.now, alone.dialling, alone.candidates) = (Some(Cause::Tracker), 0, 0);
        assert!(said(&alone).contains("\nBlocklist: all 7 addresses that were named are on it"));
        alone.blocked = 1;
        assert!(said(&alone).contains("\nBlocklist: the only address that was named is on it"));
    }

    #[test]
    fn that_it_goes_on_by_itself_is_said_once_and_what_to_do_at_the_end() {
        let mut report = report(&[(Cause::Disk, 1.0)]);
        let full = "no space left on device writing out/x";
        report.disk_trouble = Some(format!("{full}: free some space, it goes on by itself"));
        let screen = why_text(&report, &around());
        let first = "Paused by the disk, and tried again by itself";
        assert!(screen.starts_with(&format!("{first}: {full}\n")), "{screen}");
        assert!(screen.ends_with("\nWhat to do: free some space\n"), "{screen}");
        assert_eq!(screen.matches("by itself").count(), 1, "{screen}");
        let silent = "/mnt/x has not answered for 12 s";
        report.disk_trouble = Some(format!("{silent}: it goes on by itself when it does"));
        let screen = why_text(&report, &around());
        assert!(screen.starts_with(&format!("{first}: {silent}\n")), "{screen}");
        assert!(
            screen.ends_with("\nWhat to do: wait, or see why it does not answer\n"),
            "{screen}"
        );
        assert_eq!(screen.matches("by itself").count(), 1, "{screen}");
    }

    #[test]
    fn what_holds_now_comes_before_what_held_longest() {
        let mut paused = report(&[(Cause::Limit, 0.9), (Cause::Nothing, 0.1)]);
        paused.waits.now = Some(Cause::Nothing);
        let said = why_text(&paused, &Around { state: State::Paused, ..around() });
        assert!(said.starts_with("Now: paused\n90 % of the last minute: "), "{said}");
        assert!(!said.contains("What to do"), "{said}");
    }

    #[test]
    fn without_a_tracker_nobody_waits_for_one() {
        let mut alone = report(&[(Cause::Tracker, 1.0)]);
        alone.tracker = None;
        alone.disk = DiskRates::default();
        alone.waits.life = alone.waits.minute.clone();
        assert_eq!(
            why_text(&alone, &around()),
            "100 % of the last minute: no peer known, and there is no tracker to ask\n\
             Over its life: 100 % no peer known\n\
             What to do: name a tracker with -a URL at the start, or use add-peer ADDR\n"
        );
    }

    #[test]
    fn where_the_dht_is_asked_it_is_told_how_that_goes() {
        let mut alone = report(&[(Cause::Tracker, 1.0)]);
        alone.tracker = None;
        alone.disk = DiskRates::default();
        alone.waits.life.clear();
        let silent = Some(Duration::from_secs(20));
        alone.dht = Some(DhtStatus { nodes: 3, known: 5, silent, announced: None });
        assert_eq!(
            why_text(&alone, &around()),
            "100 % of the last minute: no peer known, waiting for the DHT\n\
             DHT: has not answered for 20s, not announced yet\n\
             What to do: wait; dht shows how it fares, and add-peer ADDR adds a peer that you \
             know\n"
        );
        alone.waits.now = Some(Cause::Transfer);
        assert!(!why_text(&alone, &around()).contains("DHT:"), "data flows");
        // Where nobody is known, waiting is no advice.
        alone.waits.now = Some(Cause::Tracker);
        alone.dht = Some(DhtStatus::default());
        let said = why_text(&alone, &around());
        assert!(said.contains("no peer known, and the DHT has no node to ask"), "{said}");
        assert!(said.contains("What to do: name a node with --dht-bootstrap"), "{said}");
        alone.last_error = Some(("connection refused".to_owned(), 1));
        let said = why_text(&alone, &around());
        assert!(said.contains("no peer reached (1 failed: connection refused), and"), "{said}");
    }

    #[test]
    fn lines_break_at_spaces_and_passkeys_are_hidden() {
        let mut waiting = report(&[(Cause::Tracker, 1.0)]);
        waiting.tracker = waiting.tracker.map(|tracker| TrackerBrief {
            url: "http://t:1/k3y/announce".to_owned(),
            state: TrackerState::Announcing,
            error: None,
            ..tracker
        });
        let screen = why_screen(&why_text(&waiting, &around()), 40);
        assert!(screen.lines().all(|line| line.chars().count() <= 40), "{screen}");
        let words: Vec<&str> = screen.split_whitespace().collect();
        assert!(words.join(" ").contains("(http://t:1/...: announcing)"), "{screen}");
    }

    #[test]
    fn an_empty_report_is_no_crash() {
        let said = why_text(&WhyReport::default(), &around());
        assert_eq!(said, "nothing to tell yet: ask again in a second\n");
    }

    #[test]
    fn a_daemons_torrent_has_no_start_where_a_tracker_is_named() {
        let alone = report(&[(Cause::Tracker, 1.0)]);
        let alone = WhyReport { tracker: None, ..alone };
        let said = why_text(&alone, &Around { is_daemon: true, number: 7, ..around() });
        assert!(said.contains("trackers 7 --add URL"), "{said}");
        assert!(why_text(&alone, &around()).contains("-a URL at the start"));
    }

    #[test]
    fn every_cause_has_its_words() {
        let busy = report(&[]);
        let said: Vec<String> =
            Cause::ALL.iter().map(|cause| explain(*cause, &busy, &around())).collect();
        assert_eq!(
            said,
            [
                "data flowed as fast as 1 peer and the line allow (now 11.4 MiB/s)",
                "3 of 4 peers keep us choked",
                "no connected peer had a piece that was missing",
                "no peer was connected (now 5)",
                "no peer known, waiting for the tracker (http://t/announce: \\x1b[5mno)",
                "peers would have sent more than we asked them for",
                "memory was full of data waiting for the disk (now 2500 of 2560 blocks in use, \
             9 pieces in the queue): it writes 41.2 MiB/s, 97 % busy, and peers sent up to \
             80.0 MiB/s",
                "memory was full of data waiting to be hashed (now 2500 of 2560 blocks in use, \
             9 pieces in the queue): each worker does 1.1 GiB/s, 4 % busy, and peers sent up to \
             80.0 MiB/s",
                "your limit, lifted since, held it back",
                "no web source could be asked",
                "web sources sent next to nothing",
                "web sources have other files than the torrent",
                "nothing to wait for: complete or paused",
            ]
        );
    }

    /// One that has answered is not waited for.
    #[test]
    fn a_tracker_that_knows_nobody_is_told_as_such() {
        let mut facts = report(&[(Cause::Tracker, 1.0)]);
        let mut brief = facts.tracker.clone().unwrap();
        brief.state = TrackerState::Working;
        brief.error = None;
        brief.peers = Some(0);
        brief.next_in = Some(Duration::from_secs(754));
        facts.tracker = Some(brief.clone());
        let said = explain(Cause::Tracker, &facts, &around());
        assert_eq!(
            said,
            "no peer known, the tracker (http://t/announce) knows nobody else, and is asked again \
             in 12m 34s"
        );
        let screen = why_text(&facts, &around());
        assert!(!screen.contains("waiting"), "{screen}");
        assert!(screen.contains("What to do: wait for somebody to come"), "{screen}");
        brief.peers = Some(3);
        facts.tracker = Some(brief);
        let said = explain(Cause::Tracker, &facts, &around());
        assert!(said.contains("nobody was reached of the 3 peers that the tracker"), "{said}");
        let why = "it may not know encryption, which is required here";
        facts.last_error = Some((why.to_owned(), 3));
        let said = explain(Cause::Tracker, &facts, &around());
        assert_eq!(
            said,
            format!(
                "no peer reached (3 failed: {why}), the tracker (http://t/announce) named 3 peers, \
                 and is asked again in 12m 34s"
            )
        );
    }

    #[test]
    fn web_sources_are_named() {
        let mut served = report(&[(Cause::Transfer, 1.0)]);
        served.interesting = 0;
        served.choking = 0;
        let source = |state, busy| SourceStatus {
            site: "m.example".to_owned(),
            url: "http://m.example/".to_owned(),
            scope: SourceScope::All,
            state,
            links: 2,
            busy,
            coming: 0,
            down_rate: 0,
            downloaded_bytes: 0,
            files: Vec::new(),
        };
        let left = Some(Duration::from_secs(12));
        let waiting = || source(SourceState::Waits { left, why: "429: it is busy".into() }, 0);
        served.sources = vec![source(SourceState::Fit, 1), waiting()];
        let said = why_text(&served, &around());
        assert!(said.contains("as fast as m.example and the line allow"), "{said}");
        let line = "\nWeb source m.example: 429: it is busy, again in 12s\n";
        assert!(said.contains(line), "{said}");
        served.sources = vec![waiting(), waiting()];
        served.waits.minute = vec![(Cause::SourceWaits, 1.0)];
        served.waits.now = Some(Cause::SourceWaits);
        let said = why_text(&served, &around());
        let first = "100 % of the last minute: no web source could be asked (m.example: 429: it is \
                     busy, again in 12s; and 1 more: web shows all)\n";
        assert!(said.starts_with(first) && !said.contains("Web source"), "{said}");
        assert!(said.contains("What to do: wait: it is asked again by itself"), "{said}");
        let gone = SourceFileStatus {
            file: FileIndex(0),
            path: "x".to_owned(),
            url: None,
            why: Some("404: the file is not there".to_owned()),
            left: Some(Duration::from_secs(3599)),
            whole_only: false,
        };
        served.sources = vec![SourceStatus { files: vec![gone], ..source(SourceState::Fit, 0) }];
        let said = why_text(&served, &around());
        assert!(said.contains("What to do: web shows which URLs were asked for"), "{said}");
        served.limit_web = Some(1 << 20);
        let said = explain(Cause::Limit, &served, &around());
        assert_eq!(said, "your limit of 1.0 MiB/s for web sources held it back");
    }

    #[test]
    fn facts_change_the_words() {
        let mut facts = report(&[]);
        facts.choking = 4;
        facts.snubbed = 2;
        facts.pieces_nobody_has = 1;
        facts.limit_down = Some(2 << 20);
        facts.tracker = None;
        facts.connected = 0;
        let mut said = [Cause::Unchoke, Cause::Transfer, Cause::Pieces, Cause::Limit]
            .map(|cause| explain(cause, &facts, &around()))
            .to_vec();
        said.extend([Cause::Tracker, Cause::Peers].map(|cause| explain(cause, &facts, &around())));
        facts.dialling = 0;
        facts.candidates = 0;
        said.push(explain(Cause::Peers, &facts, &around()));
        facts.choking = 1;
        facts.interesting = 1;
        said.push(explain(Cause::Unchoke, &facts, &around()));
        let silent = WhyReport { choking: 0, down_rate: 0, snubbed: 1, ..facts.clone() };
        said.push(explain(Cause::Transfer, &silent, &around()));
        facts.choking = 0;
        facts.interesting = 0;
        said.push(explain(Cause::Unchoke, &facts, &around()));
        assert_eq!(
            said,
            [
                "all 4 useful peers keep us choked",
                "data flowed as fast as the peers and the line allow (now 11.4 MiB/s), \
             2 of them silent",
                "none of 0 connected peers has any of the 1 piece still missing",
                "your limit of 2.0 MiB/s held it back",
                "no peer known, and there is no tracker to ask",
                "no peer connected; 3 dials now, 12 addresses to try",
                "no peer connected, and no address left to try",
                "the only useful peer keeps us choked",
                "the peer that serves us is silent (now)",
                "every useful peer kept us choked (now there is none)",
            ]
        );
    }

    #[test]
    fn in_the_first_seconds_of_a_stall_nothing_flows() {
        let mut stalled = report(&[(Cause::Transfer, 1.0)]);
        stalled.down_rate = 0;
        let said = why_text(&stalled, &around());
        let first = "Now: nothing comes, though 1 peer is asked\n\
                     100 % of the last minute: 1 peer and the line set the pace\n";
        assert!(said.starts_with(first), "{said}");
        assert!(said.contains("What to do: wait: what a peer does not send"), "{said}");
        stalled.choking = 2;
        let said = why_text(&stalled, &around());
        assert!(said.starts_with("Now: nothing comes, though 2 peers are asked\n"), "{said}");
        stalled.snubbed = 2;
        let said = why_text(&stalled, &around());
        let first = "100 % of the last minute: all 2 peers that serve us are silent (now)\n";
        assert!(said.starts_with(first), "{said}");
    }

    #[test]
    fn all_that_the_disk_does_is_told() {
        let all = DiskRates {
            read_rate: 12 << 20,
            read_share: 0.014,
            sync_rate: 120 << 20,
            sync_share: 0.335,
            ..report(&[]).disk
        };
        let expected = "Disk: writes 41.2 MiB/s (97 % of the time), reads 12.0 MiB/s \
            (1 % of the time), brings to the device 120.0 MiB/s (34 % of the time)";
        assert_eq!(hands(&all)[0], expected);
    }

    #[test]
    fn who_asks_no_tracker_is_not_told_to_ask_it_again() {
        let causes = [Cause::Tracker, Cause::Peers, Cause::Unchoke, Cause::Pieces, Cause::Transfer];
        let dht = || Some(DhtStatus { nodes: 3, known: 5, ..DhtStatus::default() });
        for (cause, dht) in causes.into_iter().flat_map(|cause| [(cause, None), (cause, dht())]) {
            let asked = WhyReport { dialling: 0, down_rate: 0, snubbed: 1, dht, ..report(&[]) };
            let alone = WhyReport { tracker: None, ..asked.clone() };
            let said = |report| advice(cause, report, &around()).unwrap();
            assert!(said(&asked).contains("announce") || said(&asked).contains("trackers shows"));
            let said = said(&alone);
            assert!(!said.contains("announce") && !said.contains("trackers shows"), "{said}");
            assert!(said.contains("add-peer ADDR"), "{said}");
        }
    }

    #[test]
    fn of_a_private_torrent_nobody_is_told_to_add_peers() {
        let around = Around { is_private: true, ..around() };
        let causes = [Cause::Tracker, Cause::Peers, Cause::Unchoke, Cause::Pieces, Cause::Transfer];
        let answered = TrackerBrief {
            state: TrackerState::Working,
            peers: Some(0),
            ..report(&[]).tracker.unwrap()
        };
        for (cause, tracker) in causes.into_iter().flat_map(|cause| {
            [(cause, None), (cause, report(&[]).tracker), (cause, Some(answered.clone()))]
        }) {
            for (dialling, down_rate, snubbed) in [(0, 0, 1), (3, 0, 0), (0, 1, 0)] {
                let tracker = tracker.clone();
                let facts = WhyReport { tracker, dialling, down_rate, snubbed, ..report(&[]) };
                let said = advice(cause, &facts, &around).unwrap();
                assert!(!said.contains("add-peer") && !said.contains("--peer"), "{said}");
            }
        }
        let alone = WhyReport { tracker: Some(answered), ..report(&[(Cause::Tracker, 1.0)]) };
        let screen = why_text(&alone, &around);
        assert!(screen.contains("What to do: wait for the tracker's next answer"), "{screen}");
    }

    #[test]
    fn advice_fits_the_cause() {
        let facts = report(&[]);
        assert_eq!(advice(Cause::Nothing, &facts, &around()), None);
        // A limit that was lifted needs no lifting.
        assert_eq!(advice(Cause::Limit, &facts, &around()), None);
        let facts = WhyReport { limit_down: Some(2 << 20), ..facts };
        let lifted_by = |around: &Around| advice(Cause::Limit, &facts, around).unwrap();
        assert_eq!(lifted_by(&around()), "limit 2 down off lifts it");
        let all = Around { limit_of_all: Some(2 << 20), ..around() };
        assert_eq!(lifted_by(&all), "limit down off lifts it");
        let own = Around { limit_of_all: Some(9 << 20), ..around() };
        assert_eq!(lifted_by(&own), "limit 2 down off lifts it");
        for cause in Cause::ALL.into_iter().filter(|cause| *cause != Cause::Nothing) {
            assert!(advice(cause, &facts, &around()).is_some(), "{cause:?}");
        }
    }
}
