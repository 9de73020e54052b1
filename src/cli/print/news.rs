//! What is printed unasked: news of a torrent as a line for people or as a JSON object, and
//! progress in both forms.

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::units::{duration, rate, size};
use crate::cli::escape::escape;
use crate::disk::ChangedFile;
use crate::swarm::event::Event;
use crate::torrent::handle::News;
use crate::torrent::status::{FoundPieces, Status};

use super::counted;
use super::web::{source_json, source_line};

/// Of more files that others changed only the number is told.
const CHANGED_NAMED: usize = 3;

/// The line for people; none for news that progress lines tell better. Of who only seeds nothing is
/// fetched: what is lost is looked for.
pub fn news_line(news: &News, is_seed_only: bool) -> Option<String> {
    Some(match news {
        News::Swarm(Event::PieceVerified(_) | Event::Completed) | News::Announced { .. } => {
            return None;
        }
        News::Swarm(Event::FirstPeer(address)) => format!("first peer: {address}"),
        News::Swarm(Event::HashFailed { piece, blamed: Some(peer) }) => {
            format!("piece {} failed its hash: {peer} sent wrong data", piece.number())
        }
        News::Swarm(Event::HashFailed { piece, blamed: None }) => {
            format!("piece {} failed its hash: fetching it again", piece.number())
        }
        News::Swarm(Event::Reassigned { piece, peer, client, why }) => format!(
            "piece {} was asked of {} {peer}, but {}; others are asked, if there are any",
            piece.number(),
            escape(client),
            escape(why)
        ),
        News::Swarm(Event::PieceLost { piece, why }) => {
            format!("piece {} is lost: {}", piece.number(), escape(why))
        }
        News::Swarm(Event::Banned(peer)) => format!("banned {peer} for wrong data"),
        News::Swarm(Event::DiskTrouble(why)) if why.contains("by itself") => {
            format!("disk trouble: {}", escape(why))
        }
        News::Swarm(Event::DiskTrouble(why)) => {
            format!("disk trouble: {} (tried again by itself)", escape(why))
        }
        News::Swarm(Event::DiskRecovered) => "the disk works again".to_owned(),
        News::Tracker(text) => format!("tracker: {}", escape(text)),
        News::NotMoved(why) => format!("not moved: {}", escape(why)),
        News::Course(text) => escape(text),
        News::Source(news) => return source_line(news),
        News::Checked(found) => return found_line(found, is_seed_only),
        News::FileChanged { why, pieces, bytes, fetched_in } => {
            let lost = lost_words(*pieces, *bytes);
            let what = match fetched_in {
                None => "not served any more".to_owned(),
                Some(Duration::ZERO) => "fetched again".to_owned(),
                Some(time) => format!("fetched again in {} if it is not back", duration(*time)),
            };
            format!("{}; {lost} {what}", escape(why))
        }
        News::FileBack { why, pieces, bytes } => {
            format!("{}: {} served again", escape(why), lost_words(*pieces, *bytes))
        }
    })
}

/// The news as one JSON object; none for single pieces, which `progress` counts.
pub fn news_json(news: &News) -> Option<Value> {
    Some(match news {
        News::Swarm(Event::PieceVerified(_) | Event::Completed) => return None,
        News::Swarm(Event::FirstPeer(address)) => {
            json!({ "event": "first_peer", "address": address.to_string() })
        }
        News::Swarm(Event::HashFailed { piece, blamed }) => json!({
            "event": "hash_failed",
            "piece": piece.number(),
            "blamed": blamed.map(|peer| peer.to_string()),
        }),
        News::Swarm(Event::Reassigned { piece, peer, client, why }) => json!({
            "event": "reassigned",
            "piece": piece.number(),
            "address": peer.to_string(),
            "name": client,
            "message": why,
        }),
        News::Swarm(Event::PieceLost { piece, why }) => {
            json!({ "event": "piece_lost", "piece": piece.number(), "message": why })
        }
        News::Swarm(Event::Banned(peer)) => {
            json!({ "event": "banned", "address": peer.to_string() })
        }
        News::Swarm(Event::DiskTrouble(why)) => json!({ "event": "disk_trouble", "message": why }),
        News::Swarm(Event::DiskRecovered) => json!({ "event": "disk_recovered" }),
        News::Tracker(text) => json!({ "event": "tracker", "message": text }),
        News::NotMoved(why) => json!({ "event": "not_moved", "message": why }),
        News::Source(news) => source_json(news),
        News::Course(text) => json!({ "event": "course", "message": text }),
        News::Checked(found) => json!({
            "event": "checked",
            "pieces": found.count,
            "by_record": found.by_record,
            "changed": found.changed.iter().map(changed_json).collect::<Vec<_>>(),
            "lacks_room": found.lacks_room,
            "ignored": found.ignored,
        }),
        News::FileChanged { why, pieces, bytes, fetched_in } => json!({
            "event": "file_changed",
            "message": why,
            "pieces": pieces,
            "bytes": bytes,
            "fetched": fetched_in.is_some(),
            "fetched_in": fetched_in.map(|time| time.as_secs()),
        }),
        News::FileBack { why, pieces, bytes } => json!({
            "event": "file_back",
            "message": why,
            "pieces": pieces,
            "bytes": bytes,
        }),
        News::Announced { nodes } => json!({ "event": "dht_announced", "nodes": nodes }),
    })
}

fn changed_json(file: &ChangedFile) -> Value {
    json!({
        "path": file.path.to_string_lossy(),
        "gone": file.is_gone,
        "pieces": file.pieces,
        "bytes": file.bytes,
    })
}

/// What was on disk, and how that is known; files that are not what they were come first.
fn found_line(found: &FoundPieces, is_seed_only: bool) -> Option<String> {
    let FoundPieces { count, by_record, .. } = *found;
    let pieces = |count: u32| counted(count.into(), "piece");
    let there = match count - by_record.min(count) {
        _ if count == 0 => None,
        0 => Some(format!("{} here already, by its record", pieces(count))),
        looked if looked == count => Some(format!("{} found on disk and verified", pieces(count))),
        looked => Some(format!(
            "{} here already: {looked} verified, {by_record} by its record",
            pieces(count)
        )),
    };
    let ignored = found.ignored.as_deref().map(escape);
    let room = found.lacks_room.as_deref();
    let room = room.map(|why| format!("{}; it begins anyway, and waits for it", escape(why)));
    let changed = changed_line(&found.changed, is_seed_only);
    let lines: Vec<String> = ignored.into_iter().chain(changed).chain(there).chain(room).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Files that others changed or took away since the last run; none when there are none.
fn changed_line(changed: &[ChangedFile], is_seed_only: bool) -> Option<String> {
    let then = match is_seed_only {
        true => "not served, and the file is looked for",
        false => "fetched again",
    };
    let words = |file: &ChangedFile| {
        let path = escape(&file.path.display().to_string());
        let what = if file.is_gone { "is gone" } else { "was changed" };
        format!("{path} {what}: {} {then}", lost_words(file.pieces, file.bytes))
    };
    let mut all: Vec<String> = changed.iter().take(CHANGED_NAMED).map(words).collect();
    if let Some(more @ 1..) = changed.len().checked_sub(CHANGED_NAMED) {
        let files = if more == 1 { "file" } else { "files" };
        all.push(format!("and so are {more} more {files}"));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

/// `1 piece (64.0 KiB) is`, before what is done with it.
fn lost_words(pieces: u32, bytes: u64) -> String {
    let verb = if pieces == 1 { "is" } else { "are" };
    format!("{} ({}) {verb}", counted(pieces.into(), "piece"), size(bytes))
}

/// `10 %   3 peers   3.4 MiB/s`.
pub fn progress_line(status: &Status) -> String {
    format!(
        "{:.0} %   {}   {}",
        (status.progress() * 100.0).floor(),
        company_words(status.peers_connected.into(), status.sources_connected.into()),
        rate(status.down_rate)
    )
}

/// `3 peers`, `1 web source`, or both.
pub fn company_words(peers: u64, sources: u64) -> String {
    match (peers, sources) {
        (_, 0) => counted(peers, "peer"),
        (0, _) => counted(sources, "web source"),
        _ => format!("{}, {}", counted(peers, "peer"), counted(sources, "web source")),
    }
}

/// The numbers of the moment as one JSON object.
pub fn progress_json(status: &Status) -> Value {
    json!({
        "event": "progress",
        "seconds": status.running.as_secs_f64(),
        "counted": status.counted.as_secs_f64(),
        "done": status.done_bytes,
        "wanted": status.wanted_bytes,
        "unsynced": status.unsynced_bytes,
        "downloaded": status.downloaded_bytes,
        "uploaded": status.uploaded_bytes,
        "down_rate": status.down_rate,
        "up_rate": status.up_rate,
        "peers": status.peers_connected,
        "sources": status.sources_connected,
        "pieces_verified": status.pieces_verified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;
    use crate::swarm::link::Endpoint;

    #[test]
    fn news_in_both_forms() {
        let piece = Layout::new(100, 10).unwrap().piece(7).unwrap();
        let peer = Endpoint::Peer("192.0.2.1:5".parse().unwrap());
        let failed = News::Swarm(Event::HashFailed { piece, blamed: Some(peer) });
        assert_eq!(
            news_line(&failed, false).unwrap(),
            "piece 7 failed its hash: 192.0.2.1:5 sent wrong data"
        );
        assert_eq!(
            news_json(&failed).unwrap().to_string(),
            r#"{"blamed":"192.0.2.1:5","event":"hash_failed","piece":7}"#
        );
        let tracker = News::Tracker("http://t: \x1b]0;x\x07".into());
        assert_eq!(news_line(&tracker, false).unwrap(), "tracker: http://t: \\x1b]0;x\\x07");
        assert_eq!(news_line(&News::Swarm(Event::PieceVerified(piece)), false), None);
        // Whoever only seeds downloads nothing.
        let trouble = News::Swarm(Event::DiskTrouble("a is unreadable".into()));
        let line = "disk trouble: a is unreadable (tried again by itself)";
        assert_eq!(news_line(&trouble, false).unwrap(), line);
        let full = "the disk is full: free some space, it goes on by itself";
        let trouble = News::Swarm(Event::DiskTrouble(full.into()));
        assert_eq!(news_line(&trouble, false), Some(format!("disk trouble: {full}")), "once");
    }

    #[test]
    fn what_was_looked_at_is_told_apart_from_what_the_record_says() {
        let line = |count, by_record| {
            let found = FoundPieces { count, by_record, ..FoundPieces::default() };
            news_line(&News::Checked(found.into()), false)
        };
        assert_eq!(line(0, 0), None);
        assert_eq!(line(9, 0).unwrap(), "9 pieces found on disk and verified");
        assert_eq!(line(9, 9).unwrap(), "9 pieces here already, by its record");
        assert_eq!(line(9, 7).unwrap(), "9 pieces here already: 2 verified, 7 by its record");
        let ignored = Some("its record, of files on \x07, is ignored".to_owned());
        let found = FoundPieces { count: 9, ignored, ..FoundPieces::default() };
        let line = news_line(&News::Checked(found.into()), false).unwrap();
        let expected = "its record, of files on \\x07, is ignored\n\
                        9 pieces found on disk and verified";
        assert_eq!(line, expected);
    }

    #[test]
    fn files_that_others_changed_are_named() {
        let file = |path: &str, is_gone, pieces| ChangedFile {
            path: path.into(),
            is_gone,
            pieces,
            bytes: u64::from(pieces) << 16,
        };
        let mut changed = vec![file("d/a\x07", false, 1), file("d/b", true, 3)];
        let expected = "d/a\\x07 was changed: 1 piece (64.0 KiB) is fetched again; \
                        d/b is gone: 3 pieces (192.0 KiB) are fetched again";
        assert_eq!(changed_line(&changed, false).unwrap(), expected);
        let looked_for = changed_line(&changed[..1], true).unwrap();
        assert!(!looked_for.contains("fetched"), "{looked_for}");
        assert!(looked_for.contains("d/a\\x07 was changed: 1 piece (64.0 KiB) is not served, and"));
        changed.extend((0..3).map(|_| file("d/c", true, 1)));
        assert!(changed_line(&changed, false).unwrap().ends_with("; and so are 2 more files"));
        let found = FoundPieces { count: 5, by_record: 5, changed, ..FoundPieces::default() };
        let found = News::Checked(found.into());
        assert!(news_line(&found, false).unwrap().starts_with("d/a\\x07 was changed"));
        assert_eq!(news_json(&found).unwrap()["changed"][1]["gone"], true);
        let news = |fetched_in: Option<u64>| News::FileChanged {
            why: "d/a is gone: somebody deleted, moved or renamed it".into(),
            pieces: 2,
            bytes: 2048,
            fetched_in: fetched_in.map(Duration::from_secs),
        };
        assert_eq!(
            news_line(&news(Some(0)), false).unwrap(),
            "d/a is gone: somebody deleted, moved or renamed it; 2 pieces (2.0 KiB) are \
             fetched again"
        );
        assert!(news_line(&news(None), false).unwrap().ends_with("are not served any more"));
        let awaited = news_line(&news(Some(30)), false).unwrap();
        assert!(awaited.ends_with("are fetched again in 30s if it is not back"), "{awaited}");
        let back = News::FileBack { why: "d/a is back".into(), pieces: 2, bytes: 2048 };
        assert_eq!(
            news_line(&back, false).unwrap(),
            "d/a is back: 2 pieces (2.0 KiB) are served again"
        );
    }

    #[test]
    fn progress_in_both_forms() {
        let status = Status {
            wanted_bytes: 1000,
            done_bytes: 109,
            peers_connected: 3,
            down_rate: 3_565_158,
            ..Status::default()
        };
        assert_eq!(progress_line(&status), "10 %   3 peers   3.4 MiB/s");
        let served = Status { peers_connected: 0, sources_connected: 1, ..status.clone() };
        assert_eq!(progress_line(&served), "10 %   1 web source   3.4 MiB/s");
        let both = Status { sources_connected: 2, ..status.clone() };
        assert_eq!(progress_line(&both), "10 %   3 peers, 2 web sources   3.4 MiB/s");
        assert_eq!(
            progress_json(&status).to_string(),
            concat!(
                r#"{"counted":0.0,"done":109,"down_rate":3565158,"downloaded":0,"event":"progress","#,
                r#""peers":3,"pieces_verified":0,"seconds":0.0,"sources":0,"unsynced":0,"#,
                r#""up_rate":0,"#,
                r#""uploaded":0,"wanted":1000}"#
            )
        );
    }
}
