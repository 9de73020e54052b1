//! What is said of a torrent when it begins: what it is, where it goes, who leads to it, and what
//! is odd about it.

use serde_json::json;

use crate::session::TorrentOptions;

use super::escape::escape;
use super::item::Item;
use super::out;
use super::print::{facts_line, files_of, saving_line};
use super::voice::Voice;

/// What the words depend on, beside the torrent.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// How torrents of this run go, where nothing else is said.
    pub template: &'a TorrentOptions,
    /// Lines say which torrent they are about.
    pub is_several: bool,
    /// Others than trackers and peers lead to it.
    pub has_others: bool,
    /// Where peers reach us.
    pub port: u16,
}

/// Says it.
pub fn greet(voice: &mut Voice, item: &Item, options: &TorrentOptions, around: Around<'_>) {
    voice.event(&json!({
        "event": "started",
        "name": item.torrent.name,
        "info_hash": item.info_hash(),
        "total_size": item.torrent.total_size(),
        "files": files_of(&item.torrent).len(),
        "files_chosen": item.chosen().len(),
        "port": around.port,
        "dir": item.dir.to_string_lossy(),
    }));
    let number = if around.is_several { format!("{} ", item.number) } else { "".into() };
    let facts = facts_line(&item.torrent, out::line_columns().saturating_sub(number.len()));
    voice.result(&(number + &facts));
    if item.dir != around.template.dir {
        voice.result(&saving_line(&item.dir, 0, item.is_seed_only));
    }
    if let Some(line) = loneliness(item, options).filter(|_| !around.has_others) {
        voice.unasked(line);
    }
    voice.result(&item.choice_line());
    for flaw in item.torrent.flaws() {
        voice.urgent(&format!("driver: {}", escape(&flaw.to_string())));
    }
}

/// What is said at the start of a torrent that nobody leads to.
fn loneliness(item: &Item, options: &TorrentOptions) -> Option<&'static str> {
    let is_asked = options.use_trackers && item.torrent.trackers.iter().any(|it| !it.is_empty());
    let is_served = !item.is_seed_only
        && (!options.web_seeds.is_empty()
            || options.use_web_seeds
                && !(item.torrent.web_seeds.is_empty() && item.torrent.http_seeds.is_empty()));
    if is_asked || is_served || !options.extra_trackers.is_empty() || !options.peers.is_empty() {
        return None;
    }
    Some(match item.is_seed_only {
        true => "no tracker is named: only peers that are told of us will come (-a URL names one)",
        false => {
            "no tracker and no peer is named: nobody to ask (-a URL, --peer ADDR, add-peer ADDR)"
        }
    })
}
