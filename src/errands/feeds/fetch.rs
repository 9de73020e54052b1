//! A feed from its URL: asked for as everything else leaves, with what is known of the last answer,
//! redirects followed, and as much of it read as a feed may have.

use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::timeout;

use crate::errands::retry_after::retry_after;
use crate::net;
use crate::net::egress::Egress;
use crate::net::http::innermost;

/// Bytes of a feed at most, unpacked.
pub const FEED_LEN_MAX: usize = 10 << 20;
/// Bytes of what a server calls its answer; a longer one is not kept.
const NAME_LEN_MAX: usize = 1024;
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
    let asked = net::fetch::fetch(egress, url, |request| dress(request, known)).await;
    let net::fetch::Fetched { mut response, moved } = asked.map_err(failed)?;
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
