//! Where a torrent says that its data can be found: trackers (BEP 3, 12), web seeds (BEP 19) and
//! nodes of the DHT (BEP 5). Nothing in here can lose the torrent: what makes no sense is left out.

use std::collections::HashSet;

use crate::base::url::{self, URL_LEN_MAX};
use crate::bencode::Value;

/// More trackers than this are not kept; real torrents have up to some hundred.
const URLS_MAX: usize = 1000;
/// Web seeds kept of a torrent or a link: each may have its state for each file.
pub const WEB_SEEDS_MAX: usize = 32;
/// Nodes that are kept; real torrents have some ten.
const NODES_MAX: usize = 32;
/// The longest host name (RFC 1035).
const HOST_LEN_MAX: usize = 253;

/// The tiers of `announce-list`, or `announce` alone when they are empty (BEP 12). Each URL
/// counts once, where it came first.
pub(super) fn trackers(list: Option<Value<'_>>, announce: Option<Value<'_>>) -> Vec<Vec<String>> {
    let mut seen = HashSet::new();
    let mut tiers = Vec::new();
    for tier in list.and_then(Value::list).into_iter().flatten() {
        // Some programs write a URL where a tier must stand.
        let alone = tier.bytes().is_some().then_some(tier);
        let urls = tier.list().into_iter().flatten().chain(alone);
        let mut kept = Vec::new();
        for url in urls.filter_map(|url| clean(url.bytes()?)) {
            if seen.len() < URLS_MAX && seen.insert(url.clone()) {
                kept.push(url);
            }
        }
        if !kept.is_empty() {
            tiers.push(kept);
        }
    }
    if tiers.is_empty() {
        tiers.extend(announce.and_then(|url| clean(url.bytes()?)).map(|url| vec![url]));
    }
    tiers
}

/// `url-list` or `httpseeds`: one URL or a list of them (BEP 19), each once. Others than of http,
/// and those without a host, are left out.
pub(super) fn web_seeds(value: Option<Value<'_>>) -> Vec<String> {
    let listed = value.and_then(Value::list).into_iter().flatten();
    let alone = value.filter(|value| value.bytes().is_some());
    let mut kept = Vec::new();
    for url in listed.chain(alone).filter_map(|url| url::written(url.bytes()?)) {
        if kept.len() < WEB_SEEDS_MAX && !kept.contains(&url) {
            kept.push(url);
        }
    }
    kept
}

/// `nodes`, a list of pairs of host and port (BEP 5); each once.
pub(super) fn nodes(value: Option<Value<'_>>) -> Vec<(String, u16)> {
    let node = |pair: Value<'_>| {
        let mut parts = pair.list()?;
        let host = std::str::from_utf8(parts.next()?.bytes()?).ok()?;
        let port = u16::try_from(parts.next()?.integer()?).ok().filter(|port| *port > 0)?;
        let is_odd = |letter: char| !(letter.is_ascii_alphanumeric() || "-._:".contains(letter));
        let is_host = !host.is_empty() && host.len() <= HOST_LEN_MAX && !host.contains(is_odd);
        is_host.then(|| (host.to_owned(), port))
    };
    let mut kept = Vec::new();
    for node in value.and_then(Value::list).into_iter().flatten().filter_map(node) {
        if kept.len() < NODES_MAX && !kept.contains(&node) {
            kept.push(node);
        }
    }
    kept
}

/// A URL that may be shown and asked: text without spaces or control characters.
pub(super) fn clean(url: &[u8]) -> Option<String> {
    let url = std::str::from_utf8(url).ok()?.trim();
    let odd = |letter: char| letter.is_control() || letter.is_whitespace();
    (!url.is_empty() && url.len() <= URL_LEN_MAX && !url.contains(odd)).then(|| url.to_owned())
}
