//! What a magnet link says, as a screen and as JSON. Everything in it was written by strangers.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::cli::escape::escape;
use crate::metainfo::Magnet;
use crate::torrent::without_passkey;

use super::info::{info_row, sources, text_of};

/// The screen of `info` for a magnet link. Hashes and the link are not cut, as people copy them.
pub fn link_screen(link: &Magnet, columns: usize) -> String {
    let mut screen = String::new();
    let mut row = |name: &str, value: &str| screen += &info_row(name, value, columns);
    if let Some(name) = &link.name {
        row("Name", &text_of(name, columns));
    }
    if let Some(hash) = link.info_hash_v1 {
        row("Info hash", &hash.to_string());
    }
    if let Some(hash) = link.info_hash_v2 {
        row("Hash v2", &hash.to_string());
    }
    let shown: Vec<String> = link.trackers.iter().map(|url| without_passkey(url)).collect();
    let is_hidden = link.trackers != shown;
    row("Trackers", &sources(&shown));
    row("Web seeds", &sources(&link.web_seeds));
    if !link.peers.is_empty() {
        let peers: Vec<String> = link.peers.iter().map(ToString::to_string).collect();
        row("Peers", &sources(&peers));
    }
    if !link.wanted.is_empty() {
        row("Files", &chosen_words(link));
    }
    if !link.torrent_urls.is_empty() {
        let urls: Vec<String> = link.torrent_urls.iter().map(|url| without_passkey(url)).collect();
        row("Torrent at", &sources(&urls));
    }
    let mut bare = link.clone();
    if is_hidden {
        bare.trackers.clear();
    }
    if !link.torrent_urls.is_empty() {
        bare.torrent_urls.clear();
    }
    row("Magnet", &escape(&bare.to_string()));
    if bare != *link {
        row("", "(what may hold passkeys is hidden here: driver magnet and --json show it)");
    }
    screen
}

/// The files that a link chooses, by the numbers that all lists give them: from 1, where those of
/// the link itself are from 0 (BEP 53).
fn chosen_words(link: &Magnet) -> String {
    let ranges = link.wanted.iter().map(|range| {
        let [first, last] = [range.start(), range.end()].map(|it| u64::from(*it) + 1);
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// What a magnet link says, as one JSON object; lists are empty where it says nothing.
pub struct LinkJson<'a>(pub &'a Magnet);

impl Serialize for LinkJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("info_hash_v1", &link.info_hash_v1.map(|hash| hash.to_string()))?;
        map.serialize_entry("info_hash_v2", &link.info_hash_v2.map(|hash| hash.to_string()))?;
        map.serialize_entry("magnet", &link.to_string())?;
        map.serialize_entry("name", &link.name)?;
        let peers: Vec<String> = link.peers.iter().map(ToString::to_string).collect();
        map.serialize_entry("peers", &peers)?;
        map.serialize_entry("torrent_urls", &link.torrent_urls)?;
        // Tiers, as torrents have them.
        let tiers: Vec<[&String; 1]> = link.trackers.iter().map(|url| [url]).collect();
        map.serialize_entry("trackers", &tiers)?;
        // As the link has them, from 0.
        let wanted = link.wanted.iter().map(|range| [*range.start(), *range.end()]);
        map.serialize_entry("wanted", &wanted.collect::<Vec<_>>())?;
        map.serialize_entry("web_seeds", &link.web_seeds)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HASH: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";

    #[test]
    fn the_screen_of_a_link() {
        let text =
            format!("magnet:?xt=urn:btih:{HASH}&dn=a%1Bb&tr=http://t/announce&x.pe=h:5&so=4,0-2");
        let expected = format!(
            "\
Name        a_b
Info hash   {HASH}
Trackers    1  http://t/announce
Web seeds   none
Peers       1  h:5
Files       1-3,5
Magnet      magnet:?xt=urn:btih:{HASH}&dn=a_b&tr=http%3A%2F%2Ft%2Fannounce&x.pe=h:5&so=0-2,4
"
        );
        assert_eq!(link_screen(&Magnet::parse(&text).unwrap(), 80), expected);
    }

    #[test]
    fn passkeys_are_hidden() {
        let text = format!(
            "magnet:?xt=urn:btih:{HASH}&tr=http://t/k3y/announce&xs=http://s/k3y/x.torrent"
        );
        let screen = link_screen(&Magnet::parse(&text).unwrap(), 80);
        assert!(!screen.contains("k3y"), "{screen}");
        assert!(screen.contains("Torrent at  1  http://s/...\n"), "{screen}");
        assert!(
            screen.contains(&format!("\nMagnet      magnet:?xt=urn:btih:{HASH}\n")),
            "{screen}"
        );
        assert!(screen.contains("driver magnet"), "{screen}");
    }

    #[test]
    fn a_link_as_json() {
        let text = format!("magnet:?xt=urn:btih:{HASH}&tr=http://t/k3y&x.pe=[::1]:5&so=1-3,7");
        let link = Magnet::parse(&text).unwrap();
        let object = serde_json::to_value(LinkJson(&link)).unwrap();
        let expected = json!({
            "info_hash_v1": HASH,
            "info_hash_v2": null,
            "magnet": link.to_string(),
            "name": null,
            "peers": ["[::1]:5"],
            "torrent_urls": [],
            "trackers": [["http://t/k3y"]],
            "wanted": [[1, 3], [7, 7]],
            "web_seeds": [],
        });
        assert_eq!(object, expected);
    }
}
