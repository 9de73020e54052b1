//! Screens made of what the API tells: values in, lines of at most the given columns out. What
//! strangers wrote is escaped here. Pure.

use std::time::Duration;

use crate::api::{Details, Limits, Source, Standing, Torrent, Tracker};
use crate::base::units::{duration, rate, size};
use crate::cli::escape::escape;
use crate::cli::print::{bar, counted, grouped, hide_keys, per_cent, row, size_of_size, wrap};

use super::words::{state_words, time_words};

/// Columns of a bar of progress, and the fewest that say anything.
const BAR: (usize, usize) = (24, 8);
/// Columns of what stands before and behind it.
const BESIDE_BAR: usize = 15;

/// All torrents in a line: `2 of 3 done   12 peers   down 3.4 MiB/s   up 0 B/s`.
pub(super) fn glance(torrents: &[&Torrent]) -> String {
    let is_done = |torrent: &&&Torrent| torrent.progress >= 1.0;
    let sum = |of: fn(&Torrent) -> u64| torrents.iter().map(|torrent| of(torrent)).sum::<u64>();
    format!(
        "{} of {} done   {}   down {}   up {}\n",
        torrents.iter().filter(is_done).count(),
        torrents.len(),
        counted(sum(|torrent| torrent.peers.into()), "peer"),
        rate(sum(|torrent| torrent.down_rate)),
        rate(sum(|torrent| torrent.up_rate)),
    )
}

/// A torrent at a glance.
pub(super) fn status(details: &Details, columns: usize) -> String {
    let it = &details.torrent;
    let mut screen = String::new();
    let mut add = |name: &str, value: &str| screen += &row(name, value, columns);
    add("Torrent", &format!("{}  {}", it.id, escape(&it.name)));
    add("State", &state_words(it.state));
    if let Some(search) = &details.search {
        // What else there is to tell is known with the metadata.
        add("Search", &escape(search));
        return screen;
    }
    if let Some(trouble) = &it.trouble {
        add("Trouble", &escape(trouble));
    }
    let share = it.progress.clamp(0.0, 1.0);
    let words = format!("{}   {}", per_cent(share), size_of_size(it.done_bytes, it.wanted_bytes));
    let room = columns.saturating_sub(BESIDE_BAR + words.len()).min(BAR.0);
    let drawn = if room < BAR.1 { words } else { format!("[{}]  {words}", bar(share, room)) };
    add("Progress", &drawn);
    let (pieces, failed) = (details.pieces, details.hash_failures);
    add("Pieces", &format!("{} of {pieces} verified, {failed} failed", details.pieces_done));
    for (what, (done, all)) in [
        ("Checking", (details.checked_bytes, details.to_check_bytes)),
        ("Moving", (details.moved_bytes, details.to_move_bytes)),
    ] {
        if done < all {
            add(what, &size_of_size(done, all));
        }
    }
    add("Speed", &format!("down {}   up {}", rate(it.down_rate), rate(it.up_rate)));
    if let Some(left) = it.left_s {
        add("Remaining", &duration(Duration::from_secs(left)));
    }
    let known = details.peers_known;
    let seeds = counted(it.seeds.into(), "seed");
    add("Peers", &format!("{} connected ({seeds}), {known} known", it.peers));
    if details.sources_known > 0 {
        let (connected, known) = (details.sources, details.sources_known);
        add("Sources", &format!("{connected} connected of {known}"));
    }
    add("Uploaded", &format!("{}   ratio {:.2}", size(it.sent_bytes), it.ratio));
    screen
}

/// Facts of a torrent.
pub(super) fn show(details: &Details, columns: usize) -> String {
    let it = &details.torrent;
    let mut screen = String::new();
    let mut add = |name: &str, value: &str| screen += &row(name, value, columns);
    let exact = |bytes: u64| match bytes {
        0..1024 => size(bytes),
        _ => format!("{} ({} bytes)", size(bytes), grouped(bytes)),
    };
    let yes = |is_so: bool| if is_so { "yes" } else { "no" };
    add("Name", &escape(&it.name));
    add("Number", &it.id.to_string());
    // Hashes are as long as they are: a terminal breaks them.
    it.hash.iter().for_each(|hash| add("Info hash", hash));
    it.hash_v2.iter().for_each(|hash| add("Hash v2", hash));
    add("State", &state_words(it.state));
    details.search.iter().for_each(|search| add("Search", &escape(search)));
    it.trouble.iter().for_each(|trouble| add("Trouble", &escape(trouble)));
    add("Wanted", &exact(it.wanted_bytes));
    add("Done", &format!("{}   {}", per_cent(it.progress.clamp(0.0, 1.0)), exact(it.done_bytes)));
    add("Directory", &escape(&it.dir));
    let labels: Vec<String> = it.labels.iter().map(|label| escape(label)).collect();
    add("Labels", &if labels.is_empty() { "none".to_owned() } else { labels.join(", ") });
    add("Limits", &limits(it.limits));
    let ratio = it.seed_ratio.map(|ratio| format!("ratio {ratio}"));
    let time = it.seed_time_s.map(|time| duration(Duration::from_secs(time)));
    let goals: Vec<String> = ratio.into_iter().chain(time).collect();
    add(
        "Seeds",
        &if goals.is_empty() { "on".to_owned() } else { format!("to {}", goals.join(", ")) },
    );
    add(
        "Received",
        &format!("{}   wasted {}", size(it.received_bytes), size(details.wasted_bytes)),
    );
    add("Sent", &format!("{}   ratio {:.2}", size(it.sent_bytes), it.ratio));
    add("Pieces", order_words(it));
    add("Private", yes(it.private));
    add("Added", &time_words(it.added_at));
    it.completed_at.iter().for_each(|at| add("Completed", &time_words(*at)));
    it.active_at.iter().for_each(|at| add("Active", &time_words(*at)));
    screen
}

fn order_words(torrent: &Torrent) -> &'static str {
    match (torrent.sequential, torrent.ends_first) {
        (false, false) => "rarest first",
        (false, true) => "ends of files first",
        (true, false) => "in order",
        (true, true) => "ends of files first, then in order",
    }
}

/// The limits of all together that hold, and those that wait.
pub(super) fn all_limits(standing: &Standing) -> String {
    let now = limits(standing.limits_now);
    match standing.alternative {
        true => format!("{now}   (alternative; usually {})", limits(standing.limits)),
        false => now,
    }
}

/// `down 2.0 MiB/s   up unlimited`.
pub(super) fn limits(limits: Limits) -> String {
    let words = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), rate);
    format!("down {}   up {}", words(limits.down), words(limits.up))
}

/// The trackers by tier, with what each said last.
pub(super) fn trackers(trackers: &[Tracker], columns: usize) -> String {
    if trackers.is_empty() {
        return "no trackers\n".to_owned();
    }
    let mut screen = "TIER  TRACKER\n".to_owned();
    for tracker in trackers {
        screen += &format!("{:>4}  {}\n", tracker.tier, escape(&hide_keys(&tracker.url)));
        let seeds = tracker.seeds.map(|seeds| counted(seeds, "seed"));
        let plural = |count| if count == 1 { "" } else { "es" };
        let leeches = tracker.leeches.map(|count| format!("{count} leech{}", plural(count)));
        let peers = tracker.peers.map(|peers| counted(peers as u64, "peer"));
        let next = tracker
            .next_in_s
            .map(|next| format!("next announce in {}", duration(Duration::from_secs(next))));
        let state = Some(escape(&hide_keys(&tracker.state)));
        let parts = [state, seeds, leeches, peers, next];
        let words: Vec<String> = parts.into_iter().flatten().collect();
        let mut lines = vec![words.join(", ")];
        let said = |what: &str, text: &String| format!("{what}: {}", escape(&hide_keys(text)));
        lines.extend(tracker.error.as_ref().map(|text| said("error", text)));
        lines.extend(tracker.warning.as_ref().map(|text| said("warning", text)));
        for line in lines {
            screen += &(wrap(&format!("      {line}"), columns, 6) + "\n");
        }
    }
    screen
}

/// The servers of files.
pub(super) fn sources(sources: &[Source], columns: usize) -> String {
    if sources.is_empty() {
        return "no sources\n".to_owned();
    }
    let mut screen = String::new();
    for source in sources {
        screen += &format!("{}\n", escape(&source.url));
        let words = format!(
            "  {}, {} busy   {}   {} received",
            counted(source.connections.into(), "connection"),
            source.busy,
            rate(source.down_rate),
            size(source.received_bytes),
        );
        screen += &(wrap(&words, columns, 2) + "\n");
    }
    screen
}

/// How the daemon stands.
pub(super) fn session(standing: &Standing, columns: usize) -> String {
    let mut screen = String::new();
    let mut add = |name: &str, value: &str| screen += &row(name, value, columns);
    let running = duration(Duration::from_secs(standing.uptime_s));
    add("Version", &format!("{}   running {running}", escape(&standing.version)));
    let (down, seed) = (standing.downloading, standing.seeding);
    let seek = match standing.seeking {
        0 => String::new(),
        seek => format!("   {seek} seeking metadata"),
    };
    let torrents = format!("{}   {down} downloading   {seed} seeding{seek}", standing.torrents);
    add(
        "Torrents",
        &match standing.in_trouble {
            0 => torrents,
            troubled => format!("{torrents}   {troubled} in trouble"),
        },
    );
    add("Speed", &format!("down {}   up {}", rate(standing.down_rate), rate(standing.up_rate)));
    add("Limits", &all_limits(standing));
    add(
        "Port",
        &match standing.port {
            0 => "none: nobody can connect to us".to_owned(),
            port => port.to_string(),
        },
    );
    if let Some(nodes) = standing.dht_nodes {
        add("DHT", &counted(nodes.into(), "node"));
    }
    let free = standing.free_bytes.map(|free| format!("   {} free", size(free)));
    add("Directory", &format!("{}{}", escape(&standing.dir), free.unwrap_or_default()));
    for trouble in standing.trouble.iter().chain(&standing.lost) {
        add("Trouble", &escape(trouble));
    }
    screen
}

#[cfg(test)]
mod tests {
    use crate::cli::remote::sample::{details, torrent};

    use super::*;

    #[test]
    fn a_torrent_at_a_glance() {
        let expected = "\
Torrent    3  debian
State      downloading
Progress   [###############---------]  61.0 %   61.0 of 100.0 MiB
Pieces     244 of 400 verified, 1 failed
Speed      down 2.0 MiB/s   up 0 B/s
Remaining  19s
Peers      32 connected (21 seeds), 112 known
Uploaded   6.0 MiB   ratio 0.06
";
        assert_eq!(status(&details(3, "debian"), 80), expected);
        let mut troubled = details(3, "x");
        troubled.torrent.trouble = Some("disk\x1b full".into());
        (troubled.checked_bytes, troubled.to_check_bytes) = (1 << 20, 3 << 20);
        troubled.sources_known = 2;
        let screen = status(&troubled, 40);
        assert!(screen.contains("disk\\x1b full"), "{screen}");
        assert!(screen.contains("1.0 of 3.0 MiB") && screen.contains("0 connected of 2"));
        let done = Torrent { progress: 1.0, ..torrent(2, "y") };
        let words = "1 of 2 done   64 peers   down 4.0 MiB/s   up 0 B/s\n";
        assert_eq!(glance(&[&torrent(1, "x"), &done]), words);
    }

    #[test]
    fn facts_of_a_torrent() {
        let mut of = details(3, "evil\x1bname");
        of.torrent.labels = vec!["linux".into(), "iso".into()];
        of.torrent.limits.down = Some(500_000);
        (of.torrent.seed_ratio, of.torrent.seed_time_s) = (Some(2.0), Some(7200));
        let expected = "\
Name       evil\\x1bname
Number     3
Info hash  0000000000000000000000000000000000000003
State      downloading
Wanted     100.0 MiB (104,857,600 bytes)
Done       61.0 %   61.0 MiB (63,963,136 bytes)
Directory  /srv
Labels     linux, iso
Limits     down 488.3 KiB/s   up unlimited
Seeds      to ratio 2, 2h 0m
Received   61.0 MiB   wasted 0 B
Sent       6.0 MiB   ratio 0.06
Pieces     rarest first
Private    no
Added      2023-11-14T22:13:20Z
";
        assert_eq!(show(&of, 80), expected);
    }

    #[test]
    fn trackers_and_sources_tell_no_secrets() {
        let tracker = Tracker {
            url: "http://t.example/k3y/announce".into(),
            tier: 1,
            state: "ok".into(),
            seeds: Some(44),
            leeches: Some(12),
            peers: Some(1),
            next_in_s: Some(90),
            error: Some("a\nb at http://t.example/k3y/announce".into()),
            warning: None,
        };
        let expected = "\
TIER  TRACKER
   1  http://t.example/...
      ok, 44 seeds, 12 leeches, 1 peer, next announce in 1m 30s
      error: a\\nb at http://t.example/...
";
        assert_eq!(trackers(&[tracker], 80), expected);
        let source = Source {
            url: "http://m.example/\x1b".into(),
            connections: 2,
            busy: 1,
            down_rate: 1 << 20,
            received_bytes: 5 << 20,
        };
        let expected = "\
http://m.example/\\x1b
  2 connections, 1 busy   1.0 MiB/s   5.0 MiB received
";
        assert_eq!(sources(&[source], 80), expected);
        assert_eq!((trackers(&[], 80), sources(&[], 80)), {
            ("no trackers\n".to_owned(), "no sources\n".to_owned())
        });
    }

    #[test]
    fn the_daemon_tells_how_it_stands() {
        let standing = Standing {
            version: "0.1.0".into(),
            uptime_s: 100,
            port: 6881,
            active_max: None,
            torrents: 3,
            downloading: 1,
            seeding: 2,
            seeking: 3,
            in_trouble: 1,
            down_rate: 1 << 20,
            up_rate: 0,
            limits: Limits::default(),
            alternative_limits: Limits { down: Some(2 << 20), up: None },
            alternative: false,
            limits_now: Limits { down: Some(2 << 20), up: None },
            dht_nodes: Some(1),
            dir: "/srv".into(),
            free_bytes: Some(5 << 30),
            trouble: Some("no room".into()),
            lost: vec!["two torrents".into()],
            rows: "1-2".parse().unwrap(),
            events: "1-2".parse().unwrap(),
        };
        let expected = "\
Version    0.1.0   running 1m 40s
Torrents   3   1 downloading   2 seeding   3 seeking metadata   1 in trouble
Speed      down 1.0 MiB/s   up 0 B/s
Limits     down 2.0 MiB/s   up unlimited
Port       6881
DHT        1 node
Directory  /srv   5.0 GiB free
Trouble    no room
Trouble    two torrents
";
        assert_eq!(session(&standing, 80), expected);
    }
}
