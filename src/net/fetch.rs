//! What a user named by URL and what changes there: asked for as everything else leaves, with
//! redirects followed. What the answers mean is decided where they are asked for. Not here:
//! torrents by URL, which others may name (`web`), and trackers.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, Url};

use crate::base::addr::Locality;

use super::egress::{Client, ClientConfig, Egress, Purpose};
use super::http::{self, REDIRECTS_MAX, redirected, target};
use super::reach::{Hop, Trust, check_port, resolve, to_try};

/// To resolve a host.
const LOOKUP: Duration = Duration::from_secs(5);
/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two reads.
const READ: Duration = Duration::from_secs(30);

/// What a server has answered.
#[derive(Debug)]
pub struct Fetched {
    /// Its answer, which is no redirect; the body is still to be read.
    pub response: Response,
    /// Where the URL leads for good, if it is moved.
    pub moved: Option<String>,
}

/// Asks at `url`, in the words of `dress`, and where it redirects, [`REDIRECTS_MAX`] times at most.
/// The user may name any address; a redirect leads no further inside. Bounded between two reads:
/// whoever asks bounds all of it.
///
/// # Errors
/// What went wrong in words, without the URL, which may hold a key.
pub async fn fetch(
    egress: &Egress,
    url: &str,
    dress: impl Fn(RequestBuilder) -> RequestBuilder,
) -> Result<Fetched, String> {
    let mut url = Url::parse(url).map_err(|_| "it cannot be read as a URL")?;
    let client = Client::new(ClientConfig {
        egress: egress.clone(),
        purpose: Purpose::WebSeed,
        keeps_family: false,
        connect: CONNECT,
        read: READ,
        total: None,
        keeps_idle: false,
    });
    let client = client.map_err(|error| error.to_string())?;
    let (mut previous, mut moved, mut is_for_good) = (None, None, true);
    for _ in 0..=REDIRECTS_MAX {
        let host = url.host_str().ok_or("it has no host")?;
        let port = url.port_or_known_default().ok_or("it has no port")?;
        if previous.is_some() {
            check_port(port).map_err(|error| error.to_string())?;
        }
        let addresses = resolve(egress, host, port, LOOKUP).await;
        let addresses = addresses.map_err(|error| error.to_string())?;
        let addresses = to_try(addresses, egress.policy().bind);
        let hop = Hop { trust: Trust::Full, previous };
        let asked = http::ask(&client, &url, &addresses, hop, &dress).await;
        let (response, address) = asked.map_err(|mute| mute.to_string())?;
        let unusable = |_| "it redirects to an unusable address";
        let Some(told) = redirected(&response).map_err(unusable)? else {
            return Ok(Fetched { response, moved });
        };
        url = target(&url, told).map_err(unusable)?;
        // Only what moves for good from the start on is its new place (RFC 9110 §15.4).
        is_for_good &= matches!(response.status().as_u16(), 301 | 308);
        if is_for_good {
            moved = Some(url.to_string());
        }
        previous = Some(Locality::of(address));
    }
    Err(format!("it redirects more than {REDIRECTS_MAX} times"))
}
