//! What all who speak HTTP need: a request to exactly the address that was judged, and what went
//! wrong in one sentence. Which addresses may be asked, and what the answers mean, is decided where
//! they are asked. Not here: the clients themselves (`egress`).

use std::net::IpAddr;

use reqwest::header::HOST;
use reqwest::{RequestBuilder, Url};

use super::Error;
use super::egress::Client;

/// A request for `url` to exactly `address`, one of its host's. Over HTTPS the host is resolved
/// again while connecting, which is harmless: nothing is sent before it has proved its name; and
/// through a proxy the host is named as it is. None when the URL has no host.
///
/// # Errors
/// As [`Client::ready`].
pub fn get(client: &Client, url: &Url, address: IpAddr) -> Result<Option<RequestBuilder>, Error> {
    let ready = client.ready()?;
    if url.scheme() != "http" || client.is_proxied() {
        return Ok(Some(ready.get(url.clone())));
    }
    let mut pinned = url.clone();
    if pinned.set_ip_host(address).is_err() {
        return Ok(None);
    }
    Ok(authority(url).map(|host| ready.get(pinned).header(HOST, host)))
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
