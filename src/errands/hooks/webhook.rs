//! A server that a hook tells: JSON by POST, by the daemon's own way out. The URL is its user's,
//! who may name any address; a redirect is a failure.

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use ring::hmac;
use tokio::time::timeout;

use crate::errands::retry_after::retry_after;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::net::http::{self, Mute};
use crate::net::reach::{self, Hop, Trust, to_try};

/// To resolve a host.
const LOOKUP: Duration = Duration::from_secs(5);
/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// Why a server was not told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// In words, without the URL, which may hold a secret.
    pub why: String,
    /// It may be otherwise later.
    pub comes_again: bool,
    /// When the server wants to be asked again.
    pub after: Option<Duration>,
}

impl Failure {
    fn of_network(why: impl ToString) -> Self {
        Self { why: why.to_string(), comes_again: true, after: None }
    }

    fn for_good(why: impl ToString) -> Self {
        Self { why: why.to_string(), comes_again: false, after: None }
    }
}

/// The signature of a body: HMAC-SHA256 (RFC 2104) with the secret, in hex.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, body).as_ref()))
}

/// Tells it.
///
/// # Errors
/// Why it was not told.
pub async fn post(
    egress: &Egress,
    url: &str,
    secret: Option<&str>,
    body: &[u8],
    limit: Duration,
) -> Result<(), Failure> {
    let posted = timeout(limit, post_for_ever(egress, url, secret, body)).await;
    let late = || Failure::of_network(format!("no answer within {} s", limit.as_secs_f32()));
    posted.unwrap_or_else(|_| Err(late()))
}

async fn post_for_ever(
    egress: &Egress,
    url: &str,
    secret: Option<&str>,
    body: &[u8],
) -> Result<(), Failure> {
    let url = Url::parse(url).map_err(|_| Failure::for_good("it cannot be read as a URL"))?;
    let host = url.host_str().ok_or_else(|| Failure::for_good("it has no host"))?;
    let port = url.port_or_known_default().unwrap_or_default();
    let client = Client::new(ClientConfig {
        egress: egress.clone(),
        purpose: Purpose::WebSeed,
        keeps_family: false,
        connect: CONNECT,
        read: CONNECT,
        // All of it is limited.
        total: None,
        keeps_idle: false,
    });
    let client = client.map_err(Failure::for_good)?;
    let addresses = reach::resolve(egress, host, port, LOOKUP).await;
    let addresses = to_try(addresses.map_err(Failure::of_network)?, egress.policy().bind);
    let dress = |request: RequestBuilder| {
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        match secret {
            Some(secret) => request.header("X-Pigeon-Signature", signature(secret, body)),
            None => request,
        }
    };
    let hop = Hop { trust: Trust::Full, previous: None };
    let asked = http::ask_by(&client, Method::POST, &url, &addresses, hop, dress).await;
    let (response, _) = asked.map_err(|mute| match mute {
        Mute::NoHost => Failure::for_good("it has no host"),
        Mute::Forbidden(error) => Failure::for_good(error),
        Mute::Unready(why) | Mute::Broken(why) => Failure::of_network(why),
    })?;
    let status = response.status();
    let after = retry_after(response.headers(), SystemTime::now());
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => {
            Err(Failure::for_good(format!("the server says {status}: name where that leads")))
        }
        status => {
            let comes_again = status.is_server_error() || busy.contains(&status);
            Err(Failure { why: format!("the server says {status}"), comes_again, after })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_rfc() {
        // RFC 4231, test case 2.
        let known = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), known);
    }
}
