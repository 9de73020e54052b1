//! What is printed unasked: news of a torrent as a line for people or as a JSON object, and
//! progress in both forms.

use serde_json::{Value, json};

use crate::base::units::rate;
use crate::cli::escape::escape;
use crate::swarm::event::Event;
use crate::torrent::status::Status;

use crate::torrent::handle::News;

use super::counted;

/// The line for people; none for news that progress lines tell better.
pub fn news_line(news: &News) -> Option<String> {
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
            format!("piece {} is lost: {}; fetching it again", piece.number(), escape(why))
        }
        News::Swarm(Event::Banned(peer)) => format!("banned {peer} for wrong data"),
        News::Swarm(Event::DiskTrouble(why)) => {
            format!("disk trouble: {} (the download waits and tries again)", escape(why))
        }
        News::Swarm(Event::DiskRecovered) => "the disk works again".to_owned(),
        News::Tracker(text) => format!("tracker: {}", escape(text)),
        News::NotMoved(why) => format!("not moved: {}", escape(why)),
        News::Course(text) => escape(text),
        News::Checked { pieces: 0 } => return None,
        News::Checked { pieces } => {
            format!("{} found on disk and verified", counted((*pieces).into(), "piece"))
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
        News::Course(text) => json!({ "event": "course", "message": text }),
        News::Checked { pieces } => json!({ "event": "checked", "pieces": pieces }),
        News::Announced { nodes } => json!({ "event": "dht_announced", "nodes": nodes }),
    })
}

/// `10 %   3 peers   3.4 MiB/s`.
pub fn progress_line(status: &Status) -> String {
    format!(
        "{:.0} %   {}   {}",
        (status.progress() * 100.0).floor(),
        counted(status.peers_connected.into(), "peer"),
        rate(status.down_rate)
    )
}

/// The numbers of the moment as one JSON object.
pub fn progress_json(status: &Status) -> Value {
    json!({
        "event": "progress",
        "seconds": status.running.as_secs_f64(),
        "done": status.done_bytes,
        "wanted": status.wanted_bytes,
        "unsynced": status.unsynced_bytes,
        "downloaded": status.downloaded_bytes,
        "uploaded": status.uploaded_bytes,
        "down_rate": status.down_rate,
        "up_rate": status.up_rate,
        "peers": status.peers_connected,
        "pieces_verified": status.pieces_verified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;

    #[test]
    fn news_in_both_forms() {
        let piece = Layout::new(100, 10).unwrap().piece(7).unwrap();
        let peer = "192.0.2.1:5".parse().unwrap();
        let failed = News::Swarm(Event::HashFailed { piece, blamed: Some(peer) });
        assert_eq!(
            news_line(&failed).unwrap(),
            "piece 7 failed its hash: 192.0.2.1:5 sent wrong data"
        );
        assert_eq!(
            news_json(&failed).unwrap().to_string(),
            r#"{"blamed":"192.0.2.1:5","event":"hash_failed","piece":7}"#
        );
        let tracker = News::Tracker("http://t: \x1b]0;x\x07".into());
        assert_eq!(news_line(&tracker).unwrap(), "tracker: http://t: \\x1b]0;x\\x07");
        assert_eq!(news_line(&News::Swarm(Event::PieceVerified(piece))), None);
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
        assert_eq!(
            progress_json(&status).to_string(),
            concat!(
                r#"{"done":109,"down_rate":3565158,"downloaded":0,"event":"progress","#,
                r#""peers":3,"pieces_verified":0,"seconds":0.0,"unsynced":0,"up_rate":0,"#,
                r#""uploaded":0,"wanted":1000}"#
            )
        );
    }
}
