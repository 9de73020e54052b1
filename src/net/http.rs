//! What all who speak HTTP need: a request to exactly the address that was judged, where a redirect
//! leads, and what went wrong in one sentence. Which addresses may be asked, and what the answers
//! mean, is decided where they are asked. Not here: the clients themselves (`egress`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::header::{HOST, LOCATION};
use reqwest::{Method, RequestBuilder, Response, Url};

use super::Error;
use super::egress::Client;
use super::reach::{self, Hop};

/// Redirects followed of one question, as in the clients we compared.
pub const REDIRECTS_MAX: usize = 5;

/// A request for `url` to exactly `address`, one of its host's. Over HTTPS the host is resolved
/// again while connecting, which is harmless: nothing is sent before it has proved its name; and
/// through a proxy the host is named as it is. None when the URL has no host.
///
/// # Errors
/// As [`Client::ready`].
pub async fn get(
    client: &Client,
    url: &Url,
    address: IpAddr,
) -> Result<Option<RequestBuilder>, Error> {
    request(client, Method::GET, url, address).await
}

async fn request(
    client: &Client,
    method: Method,
    url: &Url,
    address: IpAddr,
) -> Result<Option<RequestBuilder>, Error> {
    let to = SocketAddr::new(address, url.port_or_known_default().unwrap_or_default());
    let ready = client.ready(to).await?;
    if url.scheme() != "http" || client.is_proxied() {
        return Ok(Some(ready.request(method, url.clone())));
    }
    let mut pinned = url.clone();
    if pinned.set_ip_host(address).is_err() {
        return Ok(None);
    }
    Ok(authority(url).map(|host| ready.request(method, pinned).header(HOST, host)))
}

/// Why no address of a host has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mute {
    /// The URL names no host.
    NoHost,
    /// It must not be asked.
    Forbidden(reach::Error),
    /// Nothing leaves to it, in words.
    Unready(String),
    /// What went wrong, in words.
    Broken(String),
}

impl fmt::Display for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("it has no host"),
            Self::Forbidden(error) => error.fmt(f),
            Self::Unready(why) => f.write_str(why),
            Self::Broken(why) => write!(f, "cannot be fetched: {why}"),
        }
    }
}

/// Asks the addresses of a URL's host one after the other, each after `hop` has judged it and in
/// the words of `dress`, until one answers; its answer, and which it was.
///
/// # Errors
/// Why none has.
pub async fn ask(
    client: &Client,
    url: &Url,
    addresses: &[SocketAddr],
    hop: Hop,
    dress: impl Fn(RequestBuilder) -> RequestBuilder,
) -> Result<(Response, IpAddr), Mute> {
    ask_by(client, Method::GET, url, addresses, hop, dress).await
}

/// The same by another method.
///
/// # Errors
/// As [`ask`].
pub async fn ask_by(
    client: &Client,
    method: Method,
    url: &Url,
    addresses: &[SocketAddr],
    hop: Hop,
    dress: impl Fn(RequestBuilder) -> RequestBuilder,
) -> Result<(Response, IpAddr), Mute> {
    let mut last = Mute::Broken("the host has no address".to_owned());
    for address in each_asked(client, url, addresses) {
        hop.check(address.ip()).map_err(Mute::Forbidden)?;
        let request = match request(client, method.clone(), url, address.ip()).await {
            Ok(request) => request.ok_or(Mute::NoHost)?,
            Err(error) => {
                last = Mute::Unready(error.to_string());
                continue;
            }
        };
        match dress(request).send().await {
            Ok(response) => {
                // The end of a connection to a proxy says nothing of the server.
                let remote = response.remote_addr().filter(|_| !client.is_proxied());
                return Ok((response, remote.unwrap_or(address).ip()));
            }
            Err(cause) => {
                last = Mute::Broken(innermost(&cause));
                if !cause.is_connect() {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// Where an answer sends us, as it says; none when it is an answer.
///
/// # Errors
/// When it does not say where.
pub fn redirected(response: &Response) -> Result<Option<&str>, NoTarget> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let target = response.headers().get(LOCATION).ok_or(NoTarget)?;
    std::str::from_utf8(target.as_bytes()).map(|target| Some(target.trim())).map_err(|_| NoTarget)
}

/// The URL that a redirect from this one leads to.
///
/// # Errors
/// When it is none that can be asked over HTTP.
pub fn target(from: &Url, told: &str) -> Result<Url, NoTarget> {
    let target = from.join(told).map_err(|_| NoTarget)?;
    if matches!(target.scheme(), "http" | "https") { Ok(target) } else { Err(NoTarget) }
}

/// A redirect that leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoTarget;

/// Which of a host's addresses are asked for one after the other. Over HTTPS the host is resolved
/// again and all that it has of a family are tried, so that each family is asked for once: the one
/// alone that comes first, where both are spoken.
fn each_asked(client: &Client, url: &Url, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    if url.scheme() == "http" {
        return addresses.to_vec();
    }
    let first_of = |is_v4| addresses.iter().find(move |it| it.is_ipv4() == is_v4);
    let is_v4 = addresses.first().is_none_or(SocketAddr::is_ipv4);
    let most = if client.keeps_family() && !client.is_proxied() { 2 } else { 1 };
    [is_v4, !is_v4].into_iter().filter_map(first_of).take(most).copied().collect()
}

/// The host and port of the URL, as the `Host` header wants them.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The innermost cause, which says what happened; the outer ones repeat the URL, and with it
/// the passkey.
pub fn innermost(cause: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = cause;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if std::ptr::eq(innermost, std::ptr::from_ref(cause) as *const dyn std::error::Error) {
        return "the exchange broke off".to_owned();
    }
    innermost.to_string()
}
