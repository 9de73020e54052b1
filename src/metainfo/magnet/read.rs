//! Magnet links and bare info-hashes as strangers write them. What is unknown is skipped, what is
//! only additional and makes no sense is left out; what leaves open which torrent is meant, or
//! which files of it, is an error.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};

use crate::base::addr::{Teller, canonical, is_usable_peer};
use crate::base::ids::{InfoHash, InfoHashV2};
use crate::base::url;

use super::super::{WEB_SEEDS_MAX, paths, sources};
use super::{Error, KEPT_MAX, LINK_LEN_MAX, Magnet, PARAMETERS_MAX, Peer, TORRENT_URLS_MAX};

/// What the scheme and the sign behind it look like.
const BEGIN: &str = "magnet:?";
/// Before a v2 info-hash: the multihash of SHA-256 with its 32 bytes, in hexadecimal.
const SHA256_MULTIHASH: &str = "1220";

impl Magnet {
    /// Reads a magnet link: scheme and keys in any case, keys with or without a number behind a
    /// dot, values percent-encoded once.
    ///
    /// # Errors
    /// When it is none, is longer than anything honest, or leaves open what it means.
    pub fn parse(link: &str) -> Result<Self, Error> {
        let link = link.trim();
        if link.len() > LINK_LEN_MAX {
            return Err(Error::TooLong { len: link.len() });
        }
        let (begin, query) = link.split_at_checked(BEGIN.len()).ok_or(Error::Scheme)?;
        if !begin.eq_ignore_ascii_case(BEGIN) {
            return Err(Error::Scheme);
        }
        if query.split('&').nth(PARAMETERS_MAX).is_some() {
            return Err(Error::TooManyParameters);
        }
        let mut magnet = Self::default();
        for parameter in query.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            magnet.take(&plain_key(key), value)?;
        }
        magnet.wanted = in_order(std::mem::take(&mut magnet.wanted));
        match (magnet.info_hash_v1, magnet.info_hash_v2) {
            (None, None) => Err(Error::NoHash),
            _ => Ok(magnet),
        }
    }

    /// A bare info-hash: 40 hexadecimal digits or 32 of base32 for v1, 64 hexadecimal for v2, in
    /// any case. None when the text is something else.
    pub fn from_hash(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.len() {
            64 => Some(Self { info_hash_v2: Some(hash_v2(text)?), ..Self::default() }),
            _ => Some(Self { info_hash_v1: Some(hash_v1(text)?), ..Self::default() }),
        }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let bytes = urlencoding::decode_binary(value.as_bytes());
        match key {
            "xt" => self.take_topic(&String::from_utf8_lossy(&bytes))?,
            "so" => self.wanted.extend(ranges(&String::from_utf8_lossy(&bytes))?),
            "dn" => self.take_name(value),
            "tr" => keep(&mut self.trackers, sources::clean(&bytes), KEPT_MAX),
            "ws" => keep(&mut self.web_seeds, url::written(&bytes), WEB_SEEDS_MAX),
            "x.pe" => {
                let text = std::str::from_utf8(&bytes).ok();
                keep(&mut self.peers, text.and_then(|it| Peer::parse(it.trim())), KEPT_MAX);
            }
            "xs" => self.take_torrent_url(&bytes),
            "as" => {
                // Some name the data itself there, which only its first bytes tell.
                let url = url::written(&bytes).filter(|url| !is_of_torrent(url));
                keep(&mut self.web_seeds, url, WEB_SEEDS_MAX);
                self.take_torrent_url(&bytes);
            }
            _ => {}
        }
        Ok(())
    }

    /// `urn:btih:…` or `urn:btmh:1220…`; topics of other networks are skipped.
    fn take_topic(&mut self, topic: &str) -> Result<(), Error> {
        let bad = || Error::BadHash(topic.chars().take(100).collect());
        if let Some(hash) = behind(topic, "urn:btih:") {
            let hash = hash_v1(hash).ok_or_else(bad)?;
            only(&mut self.info_hash_v1, hash)
        } else if let Some(hash) = behind(topic, "urn:btmh:").filter(|it| is_sha256(it)) {
            let hash = behind(hash, SHA256_MULTIHASH).and_then(hash_v2).ok_or_else(bad)?;
            only(&mut self.info_hash_v2, hash)
        } else {
            Ok(())
        }
    }

    fn take_torrent_url(&mut self, url: &[u8]) {
        let url = sources::clean(url).filter(|url| is_http(url));
        keep(&mut self.torrent_urls, url, TORRENT_URLS_MAX);
    }

    /// The first name that is one. A plus is a space to those who wrote it: forms encode so.
    fn take_name(&mut self, value: &str) {
        let spaced = value.replace('+', " ");
        let bytes = urlencoding::decode_binary(spaced.as_bytes());
        let name = (!bytes.is_empty()).then(|| paths::clean(&bytes));
        if self.name.is_none() {
            self.name = name.filter(|name| !name.trim().is_empty());
        }
    }
}

impl Peer {
    /// Reads `192.0.2.1:6881`, `[2001:db8::1]:6881` or `host.example:6881`; none when it is none
    /// of those, or no host can have that address.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let address = canonical(address);
            return is_usable_peer(address, Teller::User).then_some(Self::Address(address));
        }
        let (name, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let is_name = (1..=253).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            && name.bytes().any(|b| b.is_ascii_alphabetic());
        is_name.then(|| Self::Host { name: name.to_ascii_lowercase(), port })
    }
}

/// The key in small letters, without a number behind a dot (`xt.1`), and without what is left of
/// `&amp;` where a link was copied out of a page's source.
fn plain_key(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    let key = key.strip_prefix("amp;").unwrap_or(&key);
    let plain = key.rsplit_once('.').filter(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    plain.map_or(key, |(plain, _)| plain).to_owned()
}

/// What stands behind `begin`, which is in small letters, in any case.
fn behind<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(begin.len())?;
    start.eq_ignore_ascii_case(begin).then_some(rest)
}

/// Whether a multihash is one of SHA-256, or is too short to be any; those of other functions
/// are unknown to BEP 52.
fn is_sha256(multihash: &str) -> bool {
    let begin = multihash.get(..SHA256_MULTIHASH.len());
    begin.is_none_or(|begin| begin == SHA256_MULTIHASH)
}

fn hash_v1(text: &str) -> Option<InfoHash> {
    let bytes = match text.len() {
        40 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()),
        32 => BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()),
        _ => return None,
    };
    bytes.ok()?.try_into().ok().map(InfoHash)
}

fn hash_v2(text: &str) -> Option<InfoHashV2> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(InfoHashV2)
}

/// Notes a hash that may be named twice, but not differently.
fn only<T: PartialEq + ToString>(known: &mut Option<T>, hash: T) -> Result<(), Error> {
    match known {
        Some(known) if *known != hash => Err(Error::TwoHashes(known.to_string(), hash.to_string())),
        _ => {
            *known = Some(hash);
            Ok(())
        }
    }
}

/// Keeps what makes sense, once, as long as there are fewer than `most`.
fn keep<T: PartialEq>(kept: &mut Vec<T>, item: Option<T>, most: usize) {
    let new = item.filter(|item| kept.len() < most && !kept.contains(item));
    kept.extend(new);
}

/// Whether the URL of a link leads to a .torrent by its name.
fn is_of_torrent(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    path.to_ascii_lowercase().ends_with(".torrent")
}

fn is_http(url: &str) -> bool {
    behind(url, "http://").or_else(|| behind(url, "https://")).is_some_and(|rest| !rest.is_empty())
}

/// `0,2,4-6`: positions and ranges with both ends. Nothing between commas is nothing.
fn ranges(text: &str) -> Result<Vec<RangeInclusive<u32>>, Error> {
    let shown = |part: &str| part.chars().take(100).collect::<String>();
    let number = |digits: &str, part: &str| {
        let digits = digits.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // No torrent has so many files: the largest number says as much as a larger one.
        is_number.then(|| digits.parse().unwrap_or(u32::MAX)).ok_or(Error::BadChoice(shown(part)))
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = parts.map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = number(first, part)?..=number(last, part)?;
        if range.is_empty() { Err(Error::Backwards(shown(part))) } else { Ok(range) }
    });
    read.collect()
}

/// The same numbers in order, in as few ranges as there can be.
fn in_order(mut ranges: Vec<RangeInclusive<u32>>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let mut joined: Vec<RangeInclusive<u32>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}
