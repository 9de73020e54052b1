//! A feed from its URL: asked for as everything else leaves, with what is known of the last answer,
//! redirects followed, and as much of it read as a feed may have.

use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::time::timeout;

use crate::base::addr::Locality;
use crate::errands::retry_after::retry_after;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::net::http::{self, Mute, REDIRECTS_MAX, innermost, redirected, target};
use crate::net::reach::{self, Hop, Trust, check_port, to_try};

/// Bytes of a feed at most, unpacked.
pub const FEED_LEN_MAX: usize = 10 << 20;
/// Bytes of what a server calls its answer; a longer one is not kept.
const NAME_LEN_MAX: usize = 1024;
/// To resolve a host.
const LOOKUP: Duration = Duration::from_secs(5);
/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two reads.
const READ: Duration = Duration::from_secs(30);
/// For all of it.
const TOTAL: Duration = Duration::from_secs(120);

/// What is known of the last answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// What its server calls it.
    pub etag: Option<String>,
    /// When it was changed.
    pub modified: Option<String>,
}

/// What a server has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The same as before.
    Same,
    /// Another one.
    New {
        /// The feed.
        bytes: Vec<u8>,
        /// What to ask with the next time.
        known: Known,
        /// Where the URL leads for good, if it is moved.
        moved: Option<String>,
    },
}

/// Why there is nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// In words, without the URL, which may hold a key.
    pub why: String,
    /// When the server wants to be asked again.
    pub after: Option<Duration>,
}

fn failed(why: impl ToString) -> Failure {
    Failure { why: why.to_string(), after: None }
}

/// Fetches the feed at `url`, unless it is what is known.
///
/// # Errors
/// Why there is nothing.
pub async fn fetch(egress: &Egress, url: &str, known: &Known) -> Result<Fetched, Failure> {
    let fetched = timeout(TOTAL, fetch_for_ever(egress, url, known)).await;
    let late = || failed(format!("not fetched within {} s", TOTAL.as_secs()));
    fetched.unwrap_or_else(|_| Err(late()))
}

async fn fetch_for_ever(egress: &Egress, url: &str, known: &Known) -> Result<Fetched, Failure> {
    let (mut response, moved) = ask_all(egress, url, known).await?;
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED && *known != Known::default() {
        return Ok(Fetched::Same);
    }
    if !status.is_success() {
        let after = retry_after(response.headers(), SystemTime::now());
        return Err(Failure { why: format!("the server says {status}"), after });
    }
    let too_long = || failed(format!("it is longer than {} MiB", FEED_LEN_MAX >> 20));
    if response.content_length().is_some_and(|len| len > FEED_LEN_MAX as u64) {
        return Err(too_long());
    }
    let named = |response: &Response, name: HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        (value.len() <= NAME_LEN_MAX).then(|| value.to_owned())
    };
    let known = Known { etag: named(&response, ETAG), modified: named(&response, LAST_MODIFIED) };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|cause| failed(innermost(&cause)))? {
        if bytes.len().saturating_add(chunk.len()) > FEED_LEN_MAX {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Fetched::New { bytes, known, moved })
}

/// Asks at `url` and where it redirects; the answer, and where it is for good.
async fn ask_all(
    egress: &Egress,
    url: &str,
    known: &Known,
) -> Result<(Response, Option<String>), Failure> {
    let mut url = Url::parse(url).map_err(|_| failed("it cannot be read as a URL"))?;
    let client = Client::new(ClientConfig {
        egress: egress.clone(),
        purpose: Purpose::WebSeed,
        keeps_family: false,
        connect: CONNECT,
        read: READ,
        // All of it is limited, not each request.
        total: None,
        keeps_idle: false,
    });
    let client = client.map_err(failed)?;
    let (mut previous, mut moved, mut is_for_good) = (None, None, true);
    for _ in 0..=REDIRECTS_MAX {
        let host = url.host_str().ok_or_else(|| failed("it has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| failed("it has no port"))?;
        if previous.is_some() {
            check_port(port).map_err(failed)?;
        }
        let addresses = reach::resolve(egress, host, port, LOOKUP).await.map_err(failed)?;
        let addresses = to_try(addresses, egress.policy().bind);
        // The user may name any address; a redirect leads no further inside.
        let hop = Hop { trust: Trust::Full, previous };
        let asked = http::ask(&client, &url, &addresses, hop, |it| dress(it, known)).await;
        let (response, address) = asked.map_err(|mute| match mute {
            Mute::NoHost => failed("it has no host"),
            Mute::Forbidden(error) => failed(error),
            Mute::Unready(why) => failed(why),
            Mute::Broken(why) => failed(format!("cannot be fetched: {why}")),
        })?;
        let unusable = |_| failed("it redirects to an unusable address");
        let Some(told) = redirected(&response).map_err(unusable)? else {
            return Ok((response, moved));
        };
        url = target(&url, told).map_err(unusable)?;
        // Only what moves for good from the start on is the feed's new place (RFC 9110 §15.4).
        is_for_good &= matches!(response.status().as_u16(), 301 | 308);
        if is_for_good {
            moved = Some(url.to_string());
        }
        previous = Some(Locality::of(address));
    }
    Err(failed(format!("it redirects more than {REDIRECTS_MAX} times")))
}

fn dress(mut request: RequestBuilder, known: &Known) -> RequestBuilder {
    let kinds = "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.8";
    request = request.header(ACCEPT, kinds);
    if let Some(etag) = &known.etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    match &known.modified {
        Some(modified) => request.header(IF_MODIFIED_SINCE, modified),
        None => request,
    }
}
