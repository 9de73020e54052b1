//! A .torrent or a metalink from the web: resolve, judge the address, ask, follow redirects, read a
//! bounded body that begins as one does. What is in it is judged by `metainfo` and `metalink`,
//! whether it is what was wanted by whoever asks. Trackers are asked elsewhere. Beside it, on the
//! lowest floor: what is asked of web seeds and how their answers are read.

pub mod chunked;
pub mod expiry;
pub mod head;
pub mod range;
#[cfg(test)]
mod tests;
pub mod url;

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use crate::base::addr::{Locality, Teller};
use crate::metainfo::Magnet;
use crate::metainfo::magnet;
use crate::metalink;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::net::http::{self, Mute, REDIRECTS_MAX, innermost};
use crate::net::reach::{self, Hop, Trust};

/// The longest .torrent that is fetched, in bytes, on the wire and unpacked: one of three million
/// pieces. A file may be longer, since nobody made us read it.
pub const FETCHED_LEN_MAX: usize = 64 << 20;

/// The longest URL: what servers commonly take.
const URL_LEN_MAX: usize = 8192;
/// As much is read of what is no torrent, to quote its first line.
const LOOKED_AT_LEN: usize = 1024;
/// Characters of that line that are quoted.
const QUOTED_LEN: usize = 60;
/// How a gzip stream begins (RFC 1952). Some servers send a packed file as it lies.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How long a fetch may take, and where we speak from.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Where it leaves.
    pub egress: Egress,
    /// To resolve a host name.
    pub lookup: Duration,
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For everything, redirects included.
    pub total: Duration,
    /// Strangers may name torrents in our own network and on this machine.
    pub believes_strangers: bool,
}

impl Limits {
    /// What is usual, by this way out.
    pub fn by(egress: Egress) -> Self {
        Self {
            egress,
            lookup: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            total: Duration::from_secs(30),
            believes_strangers: true,
        }
    }
}

/// What a URL led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// Bytes that begin as a torrent does.
    Torrent(Vec<u8>),
    /// Bytes that begin as a metalink does.
    Metalink(Vec<u8>),
    /// A redirect to a magnet link.
    Link(Box<Magnet>),
}

/// Why nothing was fetched. Texts of servers inside are unescaped; no URL is, which may hold a
/// passkey.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// HTTP cannot be set up on this machine.
    #[error("{0}")]
    Setup(String),
    /// The URL cannot be asked.
    #[error("not a URL of a .torrent: {0}")]
    Url(&'static str),
    /// The URL, or a redirect, leads where it must not, or nowhere.
    #[error(transparent)]
    Reach(#[from] reach::Error),
    /// A redirect with a missing or bad target.
    #[error("it redirects to an unusable address")]
    Redirect,
    /// A redirect to a magnet link that is none.
    #[error("it redirects to a {0}")]
    Link(#[from] magnet::Error),
    /// More redirects than are followed.
    #[error("it redirects more than {REDIRECTS_MAX} times")]
    TooManyRedirects,
    /// The host is not reached, or the exchange broke off.
    #[error("cannot be fetched: {0}")]
    Network(String),
    /// Not everything came in time.
    #[error("not fetched within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// An HTTP status that is no success.
    #[error("the server says {0}")]
    Status(StatusCode),
    /// More bytes than [`FETCHED_LEN_MAX`].
    #[error("more than {} MiB, which is too much for a .torrent", FETCHED_LEN_MAX >> 20)]
    TooLong,
    /// A packed body that cannot be unpacked.
    #[error("cannot be unpacked: {0}")]
    Packed(String),
    /// A body without bytes.
    #[error("not a torrent: the server sends nothing")]
    Empty,
    /// A body that does not begin as a torrent does.
    #[error("not a torrent: the server sends {0:?}")]
    Other(String),
}

impl Error {
    /// Whether it may be otherwise later: the network's fault or that of a busy server.
    pub fn is_of_network(&self) -> bool {
        match self {
            Self::Reach(reach::Error::Lookup(_) | reach::Error::Held(_))
            | Self::Network(_)
            | Self::Timeout(_) => true,
            Self::Status(status) => status.is_server_error(),
            _ => false,
        }
    }
}

/// Fetches the .torrent, or the metalink, at `url`. `from` says who named it: the user may name any
/// address, a link of a stranger a local one only for a path that ends in `.torrent`, if `limits`
/// believe it, and never one of the same cable, where clouds have their services. No redirect
/// leads from outside into a network, or onto this machine.
///
/// # Errors
/// When the address is not allowed or not reached, or what is there is no torrent.
pub async fn fetch(url: &str, from: Teller, limits: &Limits) -> Result<Fetched, Error> {
    let fetched = timeout(limits.total, follow(url, from, limits)).await;
    fetched.unwrap_or(Err(Error::Timeout(limits.total)))
}

async fn follow(url: &str, from: Teller, limits: &Limits) -> Result<Fetched, Error> {
    match ask_all(url, from, limits).await? {
        Led::Answer(response) => read(response).await,
        Led::Link(link) => Ok(Fetched::Link(link)),
    }
}

/// What a URL leads to through all redirects.
enum Led {
    Answer(Response),
    Link(Box<Magnet>),
}

/// Asks at `url` and where it redirects.
async fn ask_all(url: &str, from: Teller, limits: &Limits) -> Result<Led, Error> {
    let mut url = parse_url(url)?;
    let config = ClientConfig {
        egress: limits.egress.clone(),
        purpose: Purpose::WebSeed,
        keeps_family: false,
        connect: limits.connect,
        read: limits.read,
        // The whole way through all redirects is limited, not each request.
        total: None,
        keeps_idle: false,
    };
    let client = Client::new(config).map_err(|cause| Error::Setup(cause.to_string()))?;
    let mut previous = None;
    for _ in 0..=REDIRECTS_MAX {
        let addresses = resolve(&url, (from, previous), limits).await?;
        let (response, address) = ask(&client, &url, &addresses, (from, previous), limits).await?;
        match redirect_target(&response, &url)? {
            None => return Ok(Led::Answer(response)),
            Some(Target::Link(link)) => return Ok(Led::Link(link)),
            Some(Target::Url(target)) => {
                previous = Some(Locality::of(address));
                url = target;
            }
        }
    }
    Err(Error::TooManyRedirects)
}

fn parse_url(url: &str) -> Result<Url, Error> {
    if url.len() > URL_LEN_MAX {
        return Err(Error::Url("it is too long"));
    }
    let url = Url::parse(url).map_err(|_| Error::Url("it cannot be read as one"))?;
    let is_http = matches!(url.scheme(), "http" | "https");
    if is_http { Ok(url) } else { Err(Error::Url("only http and https are supported")) }
}

/// The addresses of the URL's host that are tried, canonical. Only the user's own word leads to a
/// port of another protocol.
async fn resolve(
    url: &Url,
    (from, previous): (Teller, Option<Locality>),
    limits: &Limits,
) -> Result<Vec<SocketAddr>, Error> {
    let host = url.host_str().ok_or(Error::Url("it has no host"))?;
    let port = url.port_or_known_default().ok_or(Error::Url("it has no port"))?;
    if from != Teller::User || previous.is_some() {
        reach::check_port(port)?;
    }
    let egress = &limits.egress;
    let addresses = reach::resolve(egress, host, port, limits.lookup).await?;
    Ok(reach::to_try(addresses, egress.policy().bind))
}

/// A step to the URL with this path, coming from a host that lies at `previous`, that `from` named.
fn hop((from, previous): (Teller, Option<Locality>), path: &str, believes_strangers: bool) -> Hop {
    let is_torrent = || path.to_ascii_lowercase().ends_with(".torrent");
    let trust = match from {
        Teller::User => Trust::Full,
        Teller::Remote(_) if believes_strangers && is_torrent() => Trust::Inside,
        Teller::Remote(_) => Trust::None,
    };
    Hop { trust, previous }
}

/// The answer, and the address that gave it.
async fn ask(
    client: &Client,
    url: &Url,
    addresses: &[SocketAddr],
    way: (Teller, Option<Locality>),
    limits: &Limits,
) -> Result<(Response, IpAddr), Error> {
    let hop = hop(way, url.path(), limits.believes_strangers);
    let asked = http::ask(client, url, addresses, hop, |request| request).await;
    asked.map_err(|mute| match mute {
        Mute::NoHost => Error::Url("it has no host"),
        Mute::Forbidden(error) => error.into(),
        Mute::Unready(why) | Mute::Broken(why) => Error::Network(why),
    })
}

/// Where a redirect leads.
enum Target {
    Url(Url),
    Link(Box<Magnet>),
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Target>, Error> {
    let Some(told) = http::redirected(response).map_err(|_| Error::Redirect)? else {
        return Ok(None);
    };
    if told.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("magnet:?")) {
        return Ok(Some(Target::Link(Box::new(Magnet::parse(told)?))));
    }
    let target = http::target(from, told).map_err(|_| Error::Redirect)?;
    Ok(Some(Target::Url(target)))
}

/// Reads the body as long as it may be a torrent. The client unpacks it as it comes, and the
/// limit counts unpacked bytes.
async fn read(mut response: Response) -> Result<Fetched, Error> {
    if !response.status().is_success() {
        return Err(Error::Status(response.status()));
    }
    if response.content_length().is_some_and(|len| len > FETCHED_LEN_MAX as u64) {
        return Err(Error::TooLong);
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|cause| Error::Network(innermost(&cause)))?
    {
        if body.len().saturating_add(chunk.len()) > FETCHED_LEN_MAX {
            return Err(Error::TooLong);
        }
        body.extend_from_slice(&chunk);
        if !begins_well(&body) && body.len() >= LOOKED_AT_LEN {
            break;
        }
    }
    // Of no use to others meanwhile: to unpack it may take a while.
    let judging = tokio::task::spawn_blocking(move || torrent_in(body)).await;
    judging.map_err(|cause| Error::Packed(cause.to_string()))?
}

/// The torrent, or the metalink, in a body, unpacked if it is packed.
fn torrent_in(mut body: Vec<u8>) -> Result<Fetched, Error> {
    if body.starts_with(&GZIP) {
        body = unpack(&body)?;
    }
    match body.first() {
        None => Err(Error::Empty),
        Some(b'd') => Ok(Fetched::Torrent(body)),
        Some(_) if metalink::begins(&body) => Ok(Fetched::Metalink(body)),
        Some(_) => Err(Error::Other(first_line(&body))),
    }
}

/// Whether it may become a torrent or a metalink, or a packed one.
fn begins_well(body: &[u8]) -> bool {
    body.starts_with(b"d")
        || metalink::begins(body)
        || body.starts_with(&GZIP)
        || GZIP.starts_with(body)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let unpacked =
        MultiGzDecoder::new(packed).take(FETCHED_LEN_MAX as u64 + 1).read_to_end(&mut body);
    unpacked.map_err(|cause| Error::Packed(cause.to_string()))?;
    if body.len() > FETCHED_LEN_MAX { Err(Error::TooLong) } else { Ok(body) }
}

/// The first line that is not empty, without control characters, cut.
fn first_line(body: &[u8]) -> String {
    let looked_at = body.get(..LOOKED_AT_LEN).unwrap_or(body);
    let text = String::from_utf8_lossy(looked_at);
    let text = text.trim_start_matches('\u{feff}');
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let plain = line.chars().filter(|letter| !letter.is_control());
    let mut quoted: String = plain.clone().take(QUOTED_LEN).collect();
    if plain.count() > QUOTED_LEN {
        quoted.push_str("...");
    }
    quoted
}
