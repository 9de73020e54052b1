//! Values as the API gives them, for tests.

use crate::api::{Details, Limits, State, Torrent};

/// A torrent of 100 MiB that downloads.
pub fn torrent(id: u32, name: &str) -> Torrent {
    Torrent {
        id,
        hash: Some(format!("{id:040x}")),
        hash_v2: None,
        name: name.to_owned(),
        state: State::Downloading,
        trouble: None,
        wanted_bytes: 100 << 20,
        done_bytes: 61 << 20,
        progress: 0.61,
        size: 100 << 20,
        files: 1,
        missing_bytes: 39 << 20,
        checked: None,
        down_rate: 2 << 20,
        up_rate: 0,
        left_s: Some(19),
        received_bytes: 61 << 20,
        sent_bytes: 6 << 20,
        ratio: 0.06,
        peers: 32,
        seeds: 21,
        sending: 4,
        receiving: 0,
        limits: Limits::default(),
        labels: Vec::new(),
        trackers: None,
        dir: "/srv".to_owned(),
        paused: false,
        private: false,
        metadata: true,
        asleep: false,
        place: format!("{id:016x}"),
        added_at: 1_700_000_000,
        completed_at: None,
        active_at: None,
        active_s: 60,
        seeding_s: 0,
        seed_ratio: None,
        seed_time_s: None,
        sequential: false,
        ends_first: false,
        own_name: None,
        is_own_name_unknown: false,
        names: 0,
    }
}

/// The same closely.
pub fn details(id: u32, name: &str) -> Details {
    Details {
        torrent: torrent(id, name),
        pieces: 400,
        pieces_done: 244,
        wasted_bytes: 0,
        hash_failures: 1,
        peers_known: 112,
        sources: 0,
        sources_known: 0,
        peers_max: None,
        extra_trackers: Vec::new(),
        checked_bytes: 0,
        to_check_bytes: 0,
        moved_bytes: 0,
        to_move_bytes: 0,
        search: None,
    }
}
