//! One announce or scrape over HTTP or HTTPS: resolve, judge the address, ask, follow
//! redirects, read a bounded body. Which tracker and when is decided elsewhere.
//!
//! Plain HTTP connects to exactly the addresses that were judged; HTTPS see [`net::http::get`].

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, RETRY_AFTER};
use reqwest::{Response, Url};
use tokio::sync::Semaphore;

use crate::base::addr::{Locality, canonical, without_brackets};
use crate::net;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::net::http::{REDIRECTS_MAX, get, innermost, redirected, target};
use crate::tracker::announce::{Error, Family, RetryIn};
use crate::tracker::exchange::RETRY;
use crate::tracker::http::{MAX_REPLY_LEN, MAX_WAIT, check_hop, check_host};

/// A reply this long is read at once: 200 peers and a few texts are less. Trackers that send more
/// take turns, so that however many torrents ask them at once, they cannot fill our memory.
const SHORT_REPLY_LEN: usize = 16 * 1024;

/// Longer replies that are read at the same time, of all torrents of a session together.
const LONG_REPLIES: usize = 2;

/// Addresses of one host tried, one after the other.
pub(super) const MAX_ADDRESSES: usize = 3;

/// The port of a UDP tracker whose URL names none: no standard has one, and others take this.
const UDP_PORT: u16 = 80;

/// How long the network may take, and where we speak from.
#[derive(Clone, Debug)]
pub struct NetworkTiming {
    /// Where it leaves; the address that it leaves from is the one that a tracker notes.
    pub egress: Egress,
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For the whole announce, redirects included.
    pub total: Duration,
    /// The same for `stopped`: the user is waiting for the program to end.
    pub total_stopped: Duration,
    /// For a whole announce over UDP, which has its own times to try again.
    pub total_udp: Duration,
    /// Before a datagram is sent again for the first time.
    pub retry_udp: Duration,
    /// To resolve a host name.
    pub lookup: Duration,
    /// Trackers on one cable with us are asked, where clouds have services that tell secrets to
    /// whoever asks.
    pub link_local: bool,
}

impl NetworkTiming {
    /// What is usual, by this way out.
    pub fn by(egress: Egress) -> Self {
        Self {
            egress,
            connect: Duration::from_secs(10),
            read: Duration::from_secs(10),
            total: Duration::from_secs(30),
            total_stopped: Duration::from_secs(5),
            // Three tries, at 0, 15 and 45 s; who is alone asks the next tracker long before.
            total_udp: Duration::from_secs(60),
            retry_udp: RETRY,
            lookup: Duration::from_secs(5),
            link_local: false,
        }
    }
}

/// The HTTP client of all trackers of a session. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    long_replies: Arc<Semaphore>,
}

/// Builds the [`HttpClient`].
///
/// # Errors
/// As [`Client::new`].
pub fn http_client(timing: &NetworkTiming) -> Result<HttpClient, net::Error> {
    Ok(HttpClient {
        client: client_of(timing)?,
        long_replies: Arc::new(Semaphore::new(LONG_REPLIES)),
    })
}

/// A reply and where it came from.
pub(super) struct Fetched<T> {
    pub(super) reply: T,
    /// Who sent it, at the end of all redirects.
    pub(super) tracker: SocketAddr,
    /// Who was asked first: an address of the announce URL's own host.
    pub(super) first_hop: SocketAddr,
}

impl HttpClient {
    /// Asks `url` over `family` and understands the body with `parse`; `addresses` are those
    /// of the URL's host. The caller limits the whole time.
    pub(super) async fn fetch<T>(
        &self,
        url: &str,
        family: Family,
        mut addresses: Vec<SocketAddr>,
        timing: &NetworkTiming,
        parse: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> Result<Fetched<T>, Error> {
        let mut url = parse_url(url)?;
        let mut previous = None;
        let mut first_hop = None;
        for _ in 0..=REDIRECTS_MAX {
            addresses.retain(|address| Family::of(*address) == family);
            let response = self.ask(&url, family, &addresses, previous).await?;
            // The end of a connection to a proxy says nothing of the tracker.
            let remote = response.remote_addr().filter(|_| !self.client.is_proxied());
            let tracker = remote.map(canonical);
            let tracker = tracker.or(addresses.first().copied()).ok_or(Error::Redirect)?;
            let first_hop = *first_hop.get_or_insert(tracker);
            let Some(target) = redirect_target(&response, &url)? else {
                let reply = read_reply(response, &self.long_replies, &parse).await?;
                return Ok(Fetched { reply, tracker, first_hop });
            };
            previous = Some(Locality::of(tracker.ip()));
            url = target;
            addresses = resolve(timing, &url).await?;
        }
        Err(Error::TooManyRedirects(REDIRECTS_MAX))
    }

    async fn ask(
        &self,
        url: &Url,
        family: Family,
        addresses: &[SocketAddr],
        previous: Option<Locality>,
    ) -> Result<Response, Error> {
        let mut last_error = Error::NoAddress(family);
        for address in addresses.iter().take(MAX_ADDRESSES) {
            check_hop(previous, address.ip(), url.path())?;
            let request = get(&self.client, url, address.ip()).await;
            let request = request.map_err(|error| Error::Unreachable(error.to_string()))?;
            let request = request.ok_or(Error::Url("has no host"))?;
            match request.send().await {
                Ok(response) => return Ok(response),
                Err(cause) => {
                    let can_retry = cause.is_connect() && url.scheme() == "http";
                    last_error = match cause.is_connect() {
                        true => Error::Unreachable(innermost(&cause)),
                        false => Error::Network(innermost(&cause)),
                    };
                    if !can_retry {
                        break;
                    }
                }
            }
        }
        Err(last_error)
    }
}

/// The addresses of a tracker's URL, both families, canonical. A literal address needs no
/// resolver; names go to the system's, off this thread.
pub(super) async fn resolve_url(
    timing: &NetworkTiming,
    url: &str,
) -> Result<Vec<SocketAddr>, Error> {
    let url = Url::parse(url).map_err(|_| Error::Url("cannot be read as a URL"))?;
    resolve(timing, &url).await
}

/// Those of them that may be asked at all.
async fn resolve(timing: &NetworkTiming, url: &Url) -> Result<Vec<SocketAddr>, Error> {
    let mut found = addresses_of(&timing.egress, url, timing.lookup).await?;
    let is_on_cable = |it: &SocketAddr| Locality::of(it.ip()) == Locality::LinkLocal;
    if let Some(first) = found.iter().copied().find(is_on_cable).filter(|_| !timing.link_local) {
        found.retain(|it| !is_on_cable(it));
        if found.is_empty() {
            return Err(Error::Forbidden(Locality::LinkLocal, first.ip()));
        }
    }
    Ok(found)
}

async fn addresses_of(
    egress: &Egress,
    url: &Url,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    let host = url.host_str().ok_or(Error::Url("has no host"))?;
    let default = (url.scheme() == "udp").then_some(UDP_PORT);
    let port = url.port_or_known_default().or(default).ok_or(Error::Url("has no port"))?;
    let bare = without_brackets(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![canonical(SocketAddr::new(address, port))]);
    }
    // Only in HTTP URLs is the host in small letters already.
    check_host(&host.to_ascii_lowercase())?;
    if url.scheme() == "udp" {
        return resolve_host(egress, host, port, limit).await;
    }
    let found = egress.whereabouts(host, port, Purpose::Tracker, limit).await;
    canonical_all(host, found)
}

/// The addresses of `host`, which is a name.
pub(super) async fn resolve_host(
    egress: &Egress,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    canonical_all(host, egress.lookup(host, port, Purpose::Tracker, limit).await)
}

fn canonical_all(
    host: &str,
    found: Result<Vec<SocketAddr>, net::Error>,
) -> Result<Vec<SocketAddr>, Error> {
    let found = found.map_err(|error| match error {
        net::Error::Lookup { host, cause } => Error::Lookup { host, cause },
        other => Error::Lookup { host: host.to_owned(), cause: other.to_string() },
    })?;
    Ok(found.into_iter().map(canonical).collect())
}

fn client_of(timing: &NetworkTiming) -> Result<Client, net::Error> {
    Client::new(ClientConfig {
        egress: timing.egress.clone(),
        purpose: Purpose::Tracker,
        // A tracker learns our address of a family from a connection of that family (BEP 7).
        keeps_family: true,
        connect: timing.connect,
        read: timing.read,
        // The lookup counts too (`errand`).
        total: None,
        // A tracker is asked again after half an hour.
        keeps_idle: false,
    })
}

fn parse_url(url: &str) -> Result<Url, Error> {
    let url = Url::parse(url).map_err(|_| Error::Url("cannot be read as a URL"))?;
    let is_http = matches!(url.scheme(), "http" | "https");
    if is_http { Ok(url) } else { Err(Error::Url("only http and https are supported")) }
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>, Error> {
    let told = redirected(response).map_err(|_| Error::Redirect)?;
    told.map(|told| target(from, told)).transpose().map_err(|_| Error::Redirect)
}

/// Reads and understands the body; the limit counts unpacked bytes, so that a small body that
/// unpacks to a large one ends there. Many trackers explain themselves with an error status,
/// so the body is looked at whatever the status is.
async fn read_reply<T>(
    mut response: Response,
    long_replies: &Semaphore,
    parse: impl Fn(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let (status, wait) = (response.status(), retry_after(&response));
    let is_packed = is_packed(&response);
    let announced_len = response.content_length().unwrap_or(0);
    if announced_len > MAX_REPLY_LEN as u64 {
        return Err(Error::TooLong(MAX_REPLY_LEN));
    }
    let mut body = Vec::new();
    let mut turn = None;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len().saturating_add(chunk.len()) > MAX_REPLY_LEN {
            return Err(Error::TooLong(MAX_REPLY_LEN));
        }
        if turn.is_none() && body.len().saturating_add(chunk.len()) > SHORT_REPLY_LEN {
            // Never closed. Who waits too long is timed out like one whose tracker is slow.
            turn = long_replies.acquire().await.ok();
        }
        body.extend_from_slice(&chunk);
    }
    if is_packed {
        body = unpack(&body)?;
    }
    match parse(&body) {
        Err(Error::Refused { reason, retry_in }) => {
            Err(Error::Refused { reason, retry_in: retry_in.or(wait) })
        }
        _ if !status.is_success() => Err(Error::Status { status: status.as_u16(), retry_in: wait }),
        parsed => parsed,
    }
}

/// Whether the body is packed by a name of gzip that the client did not know: names of codings
/// have no case, and `x-gzip` is gzip (RFC 9110, 8.4.1).
fn is_packed(response: &Response) -> bool {
    let coding = response.headers().get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
    coding.is_some_and(|coding| ["gzip", "x-gzip"].iter().any(|it| coding.eq_ignore_ascii_case(it)))
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let limit = MAX_REPLY_LEN as u64 + 1;
    MultiGzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|cause| Error::Malformed(cause.to_string()))?;
    if body.len() > MAX_REPLY_LEN { Err(Error::TooLong(MAX_REPLY_LEN)) } else { Ok(body) }
}

/// The time that the server names for the next try: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(response: &Response) -> Option<RetryIn> {
    let told = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match told.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(told).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    (!wait.is_zero()).then_some(RetryIn::After(wait.min(MAX_WAIT)))
}

fn broken(cause: reqwest::Error) -> Error {
    Error::Network(innermost(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_on_our_cable_is_asked_only_where_that_is_allowed() {
        let mut timing = NetworkTiming::by(Egress::default());
        for url in ["http://169.254.169.254/announce", "udp://[fe80::1]:80/announce"] {
            timing.link_local = false;
            let refused = resolve_url(&timing, url).await.unwrap_err();
            assert!(matches!(refused, Error::Forbidden(Locality::LinkLocal, _)), "{refused}");
            timing.link_local = true;
            assert_eq!(resolve_url(&timing, url).await.unwrap().len(), 1, "{url}");
        }
        timing.link_local = false;
        assert!(resolve_url(&timing, "http://127.0.0.1/announce").await.is_ok());
    }
}
