//! Announces and scrapes over HTTP as text and bytes: the URL to ask, the reply's meaning, and
//! which addresses a tracker may send us to. Nothing here opens a connection.
//! Source: BEP 3, BEP 7 (`peers6`), BEP 23 (compact), BEP 24, BEP 31, BEP 48 (scrape).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::addr::{
    Locality, canonical, canonical_ip, parse_compact_v4, parse_compact_v6, without_brackets,
};
use crate::base::ids::InfoHash;
use crate::bencode::{self, Value};
use crate::tracker::announce::{
    AnnounceReply, AnnounceRequest, Error, PeerAddr, RetryIn, SwarmCounts,
};

/// Longest reply we read, on the wire and unpacked.
pub const MAX_REPLY_LEN: usize = 1 << 20;

/// Most peers kept of one reply: a tracker may invent tens of thousands.
pub const MAX_PEERS: usize = 200;

/// Longest announce URL we accept from a torrent.
const MAX_URL_LEN: usize = 4096;

/// Longest text and tracker id kept of a reply.
pub const MAX_TEXT_LEN: usize = 1024;

/// Longest wait we take from a tracker, so that no sum of times overflows.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Query keys that are ours. A URL that brings them along is a forged request dressed as a
/// tracker. `key` is not among them, since private trackers use it for the passkey.
const OWN_KEYS: [&str; 7] =
    ["info_hash", "peer_id", "port", "uploaded", "downloaded", "left", "event"];

/// Whether `url` has a scheme that this file can speak.
pub fn is_http(url: &str) -> bool {
    has_scheme(url, "http") || has_scheme(url, "https")
}

/// The URL of an announce: `base` with its query, passkey and letter case untouched, then our
/// keys.
///
/// # Errors
/// [`Error::Url`] if `base` is not an HTTP URL of reasonable length, has control characters,
/// or brings keys that are ours.
pub fn announce_url(base: &str, request: &AnnounceRequest) -> Result<String, Error> {
    if !is_http(base) {
        return Err(Error::Url("only http and https are supported"));
    }
    check_text(base)?;
    let base = base.split_once('#').map_or(base, |(before, _)| before);
    let query = base.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    if names.into_iter().any(|name| OWN_KEYS.contains(&name)) {
        return Err(Error::Url("its query has keys of an announce"));
    }
    let mut url = String::with_capacity(base.len() + 320);
    url.push_str(base);
    open_query(&mut url);
    push_query(&mut url, request);
    Ok(url)
}

/// The URL of a scrape: in the last element of the path of `base`, `announce` at its beginning
/// becomes `scrape`; the query stays.
///
/// # Errors
/// [`Error::NoScrape`] if that element begins with something else, [`Error::Url`] as for
/// [`announce_url`].
pub fn scrape_url(base: &str, info_hash: InfoHash) -> Result<String, Error> {
    if !is_http(base) {
        return Err(Error::Url("only http and https are supported"));
    }
    check_text(base)?;
    let base = base.split_once('#').map_or(base, |(before, _)| before);
    let (address, query) = base.split_once('?').map_or((base, None), |(a, q)| (a, Some(q)));
    let (folder, last) = address.rsplit_once('/').ok_or(Error::NoScrape)?;
    let ending = last.strip_prefix("announce").ok_or(Error::NoScrape)?;
    // "http://announce" is a host without a path.
    if folder.ends_with("/") {
        return Err(Error::NoScrape);
    }
    let mut url = format!("{folder}/scrape{ending}");
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    open_query(&mut url);
    url.push_str("info_hash=");
    url.push_str(&urlencoding::encode_binary(&info_hash.0));
    Ok(url)
}

/// Judges one hop of an announce or a scrape: may we connect to `target` for `path`, coming
/// from a host that lies at `previous` (none for the torrent's own URL)?
///
/// A public host may not redirect to a local one. Loopback and link-local addresses, where
/// services of this machine and of its cloud listen, are asked for `/announce…` and `/scrape…`
/// only; private ones for a path with such an element.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_hop(previous: Option<Locality>, target: IpAddr, path: &str) -> Result<(), Error> {
    let words = ["/announce", "/scrape"];
    let locality = Locality::of(target);
    let from_outside = previous.is_some_and(|previous| !previous.is_local());
    let allowed = match locality {
        Locality::Public => true,
        Locality::Unroutable => false,
        Locality::Loopback | Locality::LinkLocal => {
            !from_outside && words.iter().any(|word| path.starts_with(word))
        }
        Locality::Private => !from_outside && words.iter().any(|word| path.contains(word)),
    };
    if allowed { Ok(()) } else { Err(Error::Forbidden(locality, canonical_ip(target))) }
}

/// Refuses host names with an internationalised element; two of them can look alike.
/// `host` is in its `xn--` form.
///
/// # Errors
/// [`Error::Idna`].
pub fn check_host(host: &str) -> Result<(), Error> {
    let is_idna = host.split('.').any(|label| label.starts_with("xn--"));
    if is_idna { Err(Error::Idna(host.to_owned())) } else { Ok(()) }
}

/// Reads a reply. Bad peers are skipped; the rest of the reply counts.
///
/// # Errors
/// [`Error::Refused`] for a `failure reason`, [`Error::WebPage`] or [`Error::Malformed`] for
/// what is no reply, [`Error::TooLong`] over [`MAX_REPLY_LEN`].
pub fn parse_reply(bytes: &[u8]) -> Result<AnnounceReply, Error> {
    let scan = scan_reply(bytes)?;
    let reply = accepted(&scan)?;
    let has_substance = ["interval", "peers", "peers6", "complete", "warning message"];
    if !has_substance.iter().any(|key| reply.value(key).is_some()) {
        return Err(Error::Malformed("it has neither peers nor an interval".to_owned()));
    }
    Ok(AnnounceReply {
        interval: reply.seconds("interval"),
        min_interval: reply.seconds("min interval"),
        peers: reply.peers(),
        complete: reply.count("complete"),
        incomplete: reply.count("incomplete"),
        tracker_id: reply
            .bytes("tracker id")
            .filter(|id| id.len() <= MAX_TEXT_LEN)
            .map(<[u8]>::to_vec),
        external_ip: reply.external_ip(),
        warning: reply.text("warning message"),
    })
}

/// Reads the answer to a scrape as far as it is about `info_hash`.
///
/// # Errors
/// As [`parse_reply`]; [`Error::Malformed`] too when the torrent is not in it.
pub fn parse_scrape(bytes: &[u8], info_hash: InfoHash) -> Result<SwarmCounts, Error> {
    let scan = scan_reply(bytes)?;
    let files = accepted(&scan)?.value("files").and_then(Value::dict);
    let counts = files.and_then(|files| files.find(&info_hash.0)).and_then(Value::dict);
    let counts = counts.map(Fields);
    let counts =
        counts.ok_or_else(|| Error::Malformed("it says nothing of this torrent".to_owned()))?;
    Ok(SwarmCounts {
        complete: counts.count("complete"),
        incomplete: counts.count("incomplete"),
        downloaded: counts.count("downloaded"),
    })
}

fn scan_reply(bytes: &[u8]) -> Result<bencode::Scan<'_>, Error> {
    if bytes.len() > MAX_REPLY_LEN {
        return Err(Error::TooLong(MAX_REPLY_LEN));
    }
    if bytes.trim_ascii_start().first() == Some(&b'<') {
        return Err(Error::WebPage);
    }
    bencode::scan(bytes, bencode::TRACKER).map_err(|cause| Error::Malformed(cause.to_string()))
}

/// The dictionary of a reply that is not a failure.
fn accepted<'a>(scan: &bencode::Scan<'a>) -> Result<Fields<'a>, Error> {
    let fields = scan.root().dict();
    let reply = Fields(fields.ok_or_else(|| Error::Malformed("not a dictionary".to_owned()))?);
    match reply.text("failure reason") {
        Some(reason) => Err(Error::Refused { reason, retry_in: reply.retry_in() }),
        None => Ok(reply),
    }
}

/// Refuses URLs that no honest torrent has, whatever their scheme.
pub(super) fn check_text(url: &str) -> Result<(), Error> {
    if url.len() > MAX_URL_LEN {
        return Err(Error::Url("longer than 4096 bytes"));
    }
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Error::Url("has spaces or control characters"));
    }
    Ok(())
}

/// Leaves `url` so that a key of its query may follow.
fn open_query(url: &mut String) {
    if !url.contains('?') {
        url.push('?');
    } else if !url.ends_with(['?', '&']) {
        url.push('&');
    }
}

pub(super) fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_once("://").is_some_and(|(before, _)| before.eq_ignore_ascii_case(scheme))
}

fn push_query(url: &mut String, request: &AnnounceRequest) {
    let fields = [
        ("info_hash", urlencoding::encode_binary(&request.info_hash.0).into_owned()),
        ("peer_id", urlencoding::encode_binary(&request.peer_id.0).into_owned()),
        ("port", request.port.to_string()),
        ("uploaded", request.uploaded.to_string()),
        ("downloaded", request.downloaded.to_string()),
        ("left", request.left.to_string()),
        ("corrupt", request.corrupt.to_string()),
        ("redundant", request.redundant.to_string()),
        ("compact", "1".to_owned()),
        ("no_peer_id", "1".to_owned()),
        ("numwant", request.numwant.to_string()),
        ("key", format!("{:08X}", request.key)),
    ];
    for (position, (name, value)) in fields.iter().enumerate() {
        if position > 0 {
            url.push('&');
        }
        url.push_str(name);
        url.push('=');
        url.push_str(value);
    }
    if let Some(event) = request.event {
        url.push_str("&event=");
        url.push_str(event.as_str());
    }
    if request.supports_crypto {
        url.push_str("&supportcrypto=1");
    }
    if request.requires_crypto {
        url.push_str("&requirecrypto=1");
    }
    if let Some(id) = &request.tracker_id {
        url.push_str("&trackerid=");
        url.push_str(&urlencoding::encode_binary(id));
    }
}

/// A bencoded dictionary read leniently: a field of the wrong kind is a field left out.
struct Fields<'a>(bencode::Dict<'a>);

impl<'a> Fields<'a> {
    fn value(&self, key: &str) -> Option<Value<'a>> {
        self.0.find(key.as_bytes())
    }

    fn bytes(&self, key: &str) -> Option<&'a [u8]> {
        self.value(key)?.bytes()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.bytes(key).map(words)
    }

    fn integer(&self, key: &str) -> Option<i64> {
        lenient_integer(self.value(key)?)
    }

    fn count(&self, key: &str) -> Option<u64> {
        self.integer(key).and_then(|number| u64::try_from(number).ok())
    }

    /// A negative time counts as 0: the tracker named one, if a silly one.
    fn seconds(&self, key: &str) -> Option<Duration> {
        let seconds = u64::try_from(self.integer(key)?).unwrap_or(0);
        Some(Duration::from_secs(seconds).min(MAX_WAIT))
    }

    fn retry_in(&self) -> Option<RetryIn> {
        if self.text("retry in").is_some_and(|text| text.trim().eq_ignore_ascii_case("never")) {
            return Some(RetryIn::Never);
        }
        let minutes = self.count("retry in").filter(|minutes| *minutes > 0);
        let told = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        // The times of a reply hold beside a failure too, where no other is named.
        let interval = self.seconds("interval").max(self.seconds("min interval"));
        let wait = told.or(interval.filter(|wait| !wait.is_zero()))?;
        Some(RetryIn::After(wait.min(MAX_WAIT)))
    }

    fn external_ip(&self) -> Option<IpAddr> {
        let bytes = self.bytes("external ip")?;
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Some(IpAddr::from(four));
        }
        <[u8; 16]>::try_from(bytes).ok().map(|six| canonical_ip(IpAddr::from(six)))
    }

    /// Both lists share the cap fairly: neither family may crowd the other out.
    fn peers(&self) -> Vec<PeerAddr> {
        let first = self.peer_list("peers", |bytes| {
            parse_compact_v4(bytes).take(MAX_PEERS).map(PeerAddr::Socket).collect()
        });
        let second = self.peer_list("peers6", |bytes| {
            parse_compact_v6(bytes).take(MAX_PEERS).map(PeerAddr::Socket).collect()
        });
        let second_room = second.len().min(MAX_PEERS / 2);
        let first_room = first.len().min(MAX_PEERS.saturating_sub(second_room));
        let second_room = MAX_PEERS.saturating_sub(first_room);
        first.into_iter().take(first_room).chain(second.into_iter().take(second_room)).collect()
    }

    fn peer_list(&self, key: &str, compact: impl Fn(&[u8]) -> Vec<PeerAddr>) -> Vec<PeerAddr> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match (value.bytes(), value.list()) {
            (Some(bytes), _) => compact(bytes),
            (None, Some(entries)) => {
                entries.flat_map(|entry| list_entry(entry, &compact)).take(MAX_PEERS).collect()
            }
            (None, None) => Vec::new(),
        }
    }
}

/// A tracker's words, cut to [`MAX_TEXT_LEN`], and where some end them with a NUL.
pub(super) fn words(bytes: &[u8]) -> String {
    let kept = bytes.get(..MAX_TEXT_LEN).unwrap_or(bytes);
    let end = kept.iter().position(|byte| *byte == 0).unwrap_or(kept.len());
    String::from_utf8_lossy(kept.get(..end).unwrap_or(kept)).into_owned()
}

/// An integer, or a string of digits, which several trackers send instead.
fn lenient_integer(value: Value<'_>) -> Option<i64> {
    value.integer().or_else(|| value.text()?.trim().parse().ok())
}

/// One entry of a peer list: a dictionary, or, in mixed lists, a compact string.
fn list_entry(entry: Value<'_>, compact: impl Fn(&[u8]) -> Vec<PeerAddr>) -> Vec<PeerAddr> {
    match (entry.bytes(), entry.dict()) {
        (Some(bytes), _) => compact(bytes),
        (None, Some(fields)) => dict_peer(&Fields(fields)).into_iter().collect(),
        (None, None) => Vec::new(),
    }
}

fn dict_peer(fields: &Fields<'_>) -> Option<PeerAddr> {
    let port = u16::try_from(fields.integer("port")?).ok().filter(|port| *port != 0)?;
    let host = fields.value("ip")?.text()?.trim();
    let bare = without_brackets(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(PeerAddr::Socket(canonical(SocketAddr::new(address, port))));
    }
    let is_name = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && host.bytes().any(|b| b.is_ascii_alphabetic());
    is_name.then(|| PeerAddr::Host { name: host.to_owned(), port })
}
