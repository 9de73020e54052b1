//! What is said of a torrent when it begins: what it is, where it goes, who leads to it, and what
//! is odd about it.

use serde_json::json;

use crate::base::units::size;
use crate::metainfo::Torrent;
use crate::session::TorrentOptions;

use super::escape::escape;
use super::item::Item;
use super::out;
use super::print::{counted, facts_line, files_of, saving_line};
use super::voice::Voice;

/// What the words depend on, beside the torrent.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// How torrents of this run go, where nothing else is said.
    pub template: &'a TorrentOptions,
    /// Lines say which torrent they are about.
    pub is_several: bool,
    /// It is one of so many that of each nothing is said.
    pub is_of_many: bool,
    /// Nobody else says where it goes, if not where the others do.
    pub tells_dir: bool,
    /// Others than trackers, peers and the DHT lead to it.
    pub has_others: bool,
    /// The DHT is asked for all that are not private.
    pub has_dht: bool,
    /// Where peers reach us.
    pub port: u16,
}

/// Says it; true where nobody leads to it, and that was not said: of one of many programs alone
/// are told, and people of what is odd about it.
pub fn greet(voice: &mut Voice, item: &Item, options: &TorrentOptions, around: Around<'_>) -> bool {
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
    let lonely = loneliness(&item.torrent, item.is_seed_only, options, around);
    if !around.is_of_many {
        introduce(voice, item, lonely, around);
    }
    for flaw in item.torrent.flaws() {
        voice.urgent(&format!("driver: {}", escape(&flaw.to_string())));
    }
    around.is_of_many && lonely.is_some()
}

/// What it is and where it goes, for people.
fn introduce(voice: &mut Voice, item: &Item, lonely: Option<&str>, around: Around<'_>) {
    let number = if around.is_several { format!("{} ", item.number) } else { "".into() };
    let facts = facts_line(&item.torrent, out::line_columns().saturating_sub(number.len()));
    voice.result(&(number + &facts));
    if around.tells_dir && item.dir != around.template.dir {
        voice.result(&saving_line(&item.dir, 0, item.is_seed_only));
    }
    if let Some(line) = lonely {
        voice.unasked(line);
    }
    voice.result(&item.choice_line());
}

/// What is said of many torrents, instead: how many they are, and how many nobody leads to.
pub fn greet_many(voice: &mut Voice, items: &[Item], lonely: u64) {
    let bytes = items.iter().map(|item| item.torrent.total_size()).fold(0, u64::saturating_add);
    let all = counted(items.len() as u64, "torrent");
    voice.result(&format!("{all}   {}\n", size(bytes)));
    if lonely > 0 {
        let verb = if lonely == 1 { "names" } else { "name" };
        voice.unasked(&format!(
            "{lonely} of them {verb} no tracker and no peer: nobody to ask, and nobody finds us \
             (-a URL names a tracker for all)"
        ));
    }
}

/// What is said at the start of a torrent that nobody leads to.
fn loneliness(
    torrent: &Torrent,
    is_seed_only: bool,
    options: &TorrentOptions,
    around: Around<'_>,
) -> Option<&'static str> {
    let is_led = around.has_others || around.has_dht && !torrent.private;
    let is_asked = options.use_trackers && torrent.trackers.iter().any(|it| !it.is_empty());
    let is_served = !is_seed_only
        && (!options.web_seeds.is_empty()
            || options.use_web_seeds
                && !(torrent.web_seeds.is_empty() && torrent.http_seeds.is_empty()));
    let is_named = !options.extra_trackers.is_empty() || !options.peers.is_empty();
    if is_led || is_asked || is_served || is_named {
        return None;
    }
    Some(match is_seed_only {
        _ if torrent.private => {
            "no tracker is named, and the torrent is private: nobody else may name peers (-a URL \
             names one)"
        }
        true => "no tracker is named: only peers that are told of us will come (-a URL names one)",
        false => {
            "no tracker and no peer is named: nobody to ask (-a URL, --peer ADDR, add-peer ADDR)"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent(is_private: bool) -> Torrent {
        let end: &[u8] = if is_private { b"7:privatei1ee" } else { b"e" };
        let info =
            [b"d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:".as_slice(), &[1; 20], end];
        Torrent::from_info(&info.concat()).unwrap()
    }

    #[test]
    fn nobody_to_ask_is_said_only_where_nobody_is_asked() {
        let template = TorrentOptions::default();
        let around = |has_others, has_dht| Around {
            template: &template,
            is_several: false,
            is_of_many: false,
            tells_dir: true,
            has_others,
            has_dht,
            port: 0,
        };
        let said = |is_private, is_seed_only, around| {
            loneliness(&torrent(is_private), is_seed_only, &template, around)
        };
        assert!(said(false, false, around(false, false)).unwrap().contains("nobody to ask"));
        assert!(said(false, true, around(false, false)).unwrap().contains("only peers that are"));
        assert_eq!(said(false, false, around(true, false)), None);
        assert_eq!(said(false, false, around(false, true)), None, "the DHT is asked");
        let private = said(true, false, around(false, true)).unwrap();
        assert!(private.contains("is private") && !private.contains("peer ADDR"), "{private}");
        let named = TorrentOptions::default().peers(vec!["192.0.2.1:6".parse().unwrap()]);
        assert_eq!(loneliness(&torrent(true), false, &named, around(false, false)), None);
    }
}
