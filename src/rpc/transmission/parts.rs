//! What of a torrent stands in lists of their own: files, trackers, peers. As the legacy dialect
//! names it.

use serde_json::{Value, json};

use crate::api::{File, Peer, Tracker};

use super::about::{About, hash};
use super::mapping;

/// Peers that a torrent has at most, where nothing was set; the real server's default.
const PEERS_USUALLY: u32 = 50;

fn each<T>(all: &[T], value: impl Fn(&T) -> Value) -> Value {
    all.iter().map(value).collect::<Vec<_>>().into()
}

/// Bytes of a file that are here.
fn bytes_here(file: &File) -> u64 {
    ((file.progress * file.size as f64).round() as u64).min(file.size)
}

/// Files with the folder around them.
pub(super) fn files(about: &About<'_>) -> Value {
    each(&about.closely.files, |file| {
        json!({
            "begin_piece": file.begin_piece,
            "bytesCompleted": bytes_here(file),
            "end_piece": file.end_piece,
            "length": file.size,
            "name": file.path,
        })
    })
}

/// How they stand, in the same order.
pub(super) fn file_stats(about: &About<'_>) -> Value {
    each(&about.closely.files, |file| {
        json!({
            "bytesCompleted": bytes_here(file),
            "priority": mapping::priority(file.priority),
            "wanted": file.wanted,
        })
    })
}

/// How much each is wanted.
pub(super) fn priorities(about: &About<'_>) -> Value {
    each(&about.closely.files, |file| mapping::priority(file.priority).into())
}

/// Whether it is: 0 or 1, or what that means in JSON-RPC.
pub(super) fn wanted(about: &About<'_>) -> Value {
    each(&about.closely.files, |file| match about.is_snake {
        true => file.wanted.into(),
        false => u8::from(file.wanted).into(),
    })
}

/// Peers that have each piece, -1 where we have it: connected ones that have everything, since who
/// has what else is not told.
pub(super) fn availability(about: &About<'_>) -> Value {
    let facts = &about.closely.facts;
    let have = data_encoding::BASE64.decode(facts.have.as_bytes()).unwrap_or_default();
    let has = |piece: u32| {
        let byte = have.get(piece as usize / 8).copied().unwrap_or(0);
        byte << (piece % 8) & 0x80 != 0
    };
    let seeds = i64::from(about.torrent.seeds);
    (0..facts.pieces).map(|piece| if has(piece) { -1 } else { seeds }).collect::<Vec<_>>().into()
}

/// What its file or folder is called: tools find files by that, below the directory.
pub(super) fn name<'a>(about: &'a About<'_>) -> &'a str {
    let torrent = about.torrent;
    let first = about.closely.facts.first_file.split('/').next().unwrap_or_default();
    match &torrent.own_name {
        Some(own) => own,
        None if torrent.is_own_name_unknown && !first.is_empty() => first,
        None => &torrent.name,
    }
}

/// A magnet link for it.
pub(super) fn magnet(about: &About<'_>) -> String {
    match about.closely.facts.magnet.as_str() {
        "" => format!("magnet:?xt=urn:btih:{}", hash(about.torrent)),
        magnet => magnet.to_owned(),
    }
}

/// Connected peers at most.
pub(super) fn peers_max(about: &About<'_>) -> u32 {
    about.closely.details.as_ref().and_then(|it| it.peers_max).unwrap_or(PEERS_USUALLY)
}

/// The host of a URL with its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// The name of a site: `example` of `http://tracker.example.org:80/announce`.
fn site(url: &str) -> &str {
    let host = host(url);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if name.parse::<std::net::Ipv4Addr>().is_ok() || name.starts_with('[') {
        return name;
    }
    name.rsplit('.').nth(1).unwrap_or(name)
}

/// Where a tracker tells its numbers (BEP 48); nothing where it does not.
fn scrape(url: &str) -> String {
    match url.rsplit_once('/') {
        Some((before, last)) if last.starts_with("announce") => {
            format!("{before}/{}", last.replacen("announce", "scrape", 1))
        }
        _ if url.starts_with("udp://") => url.to_owned(),
        _ => String::new(),
    }
}

/// All trackers with their tiers.
pub(super) fn trackers(about: &About<'_>) -> Value {
    let tiers = about.closely.facts.trackers.iter().enumerate();
    let urls = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    let told = urls.enumerate().map(|(id, (tier, url))| {
        json!({
            "announce": url,
            "id": id,
            "scrape": scrape(url),
            "sitename": site(url),
            "tier": tier,
        })
    });
    told.collect::<Vec<_>>().into()
}

/// Their URLs, a blank line between tiers.
pub(super) fn tracker_list(about: &About<'_>) -> String {
    let tiers = about.closely.facts.trackers.iter().map(|tier| tier.join("\n") + "\n");
    tiers.collect::<Vec<_>>().join("\n")
}

/// How each tracker stands.
pub(super) fn tracker_stats(about: &About<'_>) -> Value {
    let (known, tiers) = (&about.closely.trackers, &about.closely.facts.trackers);
    // Nobody asks those of a torrent that rests, and all the same it has them.
    let unasked = tiers.iter().enumerate().filter(|_| known.is_empty());
    let unasked =
        unasked.flat_map(|(tier, urls)| urls.iter().map(move |url| Tracker::unasked(url, tier)));
    let trackers = known.iter().cloned().chain(unasked).enumerate();
    let told = trackers.map(|(id, tracker)| tracker_stat(id, &tracker, about.now));
    told.collect::<Vec<_>>().into()
}

fn tracker_stat(id: usize, tracker: &Tracker, now: u64) -> Value {
    let works = tracker.state == "working";
    let (is_asked, fails) = (tracker.state == "announcing", tracker.error.is_some());
    let counted = |count: Option<u64>| count.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1);
    let result = match &tracker.error {
        Some(error) => error.as_str(),
        None if works => "Success",
        None => "",
    };
    json!({
        "announce": tracker.url,
        "announceState": if is_asked { 3 } else { u8::from(tracker.next_in_s.is_some()) },
        "downloadCount": -1,
        "downloader_count": counted(tracker.leeches),
        "hasAnnounced": works || fails,
        "hasScraped": tracker.seeds.is_some(),
        "host": host(&tracker.url),
        "id": id,
        "isBackup": tracker.state == "not asked yet" && id > 0,
        "lastAnnouncePeerCount": tracker.peers.unwrap_or(0),
        "lastAnnounceResult": result,
        "lastAnnounceStartTime": 0,
        "lastAnnounceSucceeded": works,
        "lastAnnounceTime": 0,
        "lastAnnounceTimedOut": result.contains("timed out"),
        "lastScrapeResult": "",
        "lastScrapeStartTime": 0,
        "lastScrapeSucceeded": tracker.seeds.is_some(),
        "lastScrapeTime": 0,
        "lastScrapeTimedOut": false,
        "leecherCount": counted(tracker.leeches),
        "nextAnnounceTime": tracker.next_in_s.map_or(0, |rest| now.saturating_add(rest)),
        "nextScrapeTime": 0,
        "scrape": scrape(&tracker.url),
        "scrapeState": 0,
        "seederCount": counted(tracker.seeds),
        "sitename": site(&tracker.url),
        "tier": tracker.tier.saturating_sub(1),
    })
}

/// Who is connected.
pub(super) fn peers(about: &About<'_>) -> Value {
    each(&about.closely.peers, peer)
}

fn peer(peer: &Peer) -> Value {
    // Without the brackets of IPv6.
    let (address, port) = match peer.address.parse::<std::net::SocketAddr>() {
        Ok(address) => (address.ip().to_string(), address.port()),
        Err(_) => (peer.address.clone(), 0),
    };
    let (is_from, is_to) = (peer.down_rate > 0, peer.up_rate > 0);
    json!({
        "address": address,
        "bytes_to_client": peer.received_bytes,
        "bytes_to_peer": peer.sent_bytes,
        "clientIsChoked": peer.choking,
        "clientIsInterested": peer.interesting,
        "clientName": peer.client,
        "flagStr": flags(peer),
        "isDownloadingFrom": is_from,
        "isEncrypted": peer.encrypted,
        "isIncoming": peer.incoming,
        "isUTP": false,
        "isUploadingTo": is_to,
        "peerIsChoked": peer.choked,
        "peerIsInterested": peer.interested,
        "peer_id": "",
        "port": port,
        "progress": peer.progress,
        "rateToClient": peer.down_rate,
        "rateToPeer": peer.up_rate,
    })
}

/// Letters for how a connection stands, as the real server has them.
fn flags(peer: &Peer) -> String {
    let all = [
        ('D', peer.down_rate > 0),
        ('d', peer.down_rate == 0 && peer.interesting && peer.choking),
        ('U', peer.up_rate > 0),
        ('u', peer.up_rate == 0 && peer.interested && !peer.choked),
        ('K', !peer.choking && !peer.interesting),
        ('?', !peer.choked && !peer.interested),
        ('E', peer.encrypted),
        ('H', peer.source.as_deref() == Some("dht")),
        ('X', peer.source.as_deref() == Some("exchange")),
        ('I', peer.incoming),
    ];
    all.into_iter().filter(|(_, is_so)| *is_so).map(|(letter, _)| letter).collect()
}

/// Who named those that are connected.
pub(super) fn peers_from(about: &About<'_>) -> Value {
    let from = |names: &[&str]| {
        let is_it = |peer: &&Peer| peer.source.as_deref().is_some_and(|it| names.contains(&it));
        about.closely.peers.iter().filter(is_it).count()
    };
    json!({
        "fromCache": from(&["user", "listing"]),
        "fromDht": from(&["dht"]),
        "fromIncoming": from(&["incoming"]),
        "fromLpd": from(&["local"]),
        "fromLtep": 0,
        "fromPex": from(&["exchange"]),
        "fromTracker": from(&["tracker"]),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tracker_is_told_by_its_host_and_site() {
        for (url, host, site, scrape) in [
            (
                "http://tracker.example.org:80/announce?x=1",
                "tracker.example.org:80",
                "example",
                "http://tracker.example.org:80/scrape?x=1",
            ),
            ("udp://10.0.0.1:6969", "10.0.0.1:6969", "10.0.0.1", "udp://10.0.0.1:6969"),
            ("https://u:p@a.b/t/key", "a.b", "a", ""),
            (
                "http://[fd00::1]:80/announce.php",
                "[fd00::1]:80",
                "[fd00::1]",
                "http://[fd00::1]:80/scrape.php",
            ),
            ("localhost", "localhost", "localhost", ""),
        ] {
            assert_eq!((super::host(url), super::site(url)), (host, site), "{url}");
            assert_eq!(super::scrape(url), scrape);
        }
    }
}
