//! What all who speak HTTP need: a request to exactly the address that was judged, and what went
//! wrong in one sentence. Which addresses may be asked, and what the answers mean, is decided where
//! they are asked. Not here: the clients themselves (`egress`).

use std::net::{IpAddr, SocketAddr};

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
pub async fn get(
    client: &Client,
    url: &Url,
    address: IpAddr,
) -> Result<Option<RequestBuilder>, Error> {
    let to = SocketAddr::new(address, url.port_or_known_default().unwrap_or_default());
    let ready = client.ready(to).await?;
    if url.scheme() != "http" || client.is_proxied() {
        return Ok(Some(ready.get(url.clone())));
    }
    let mut pinned = url.clone();
    if pinned.set_ip_host(address).is_err() {
        return Ok(None);
    }
    Ok(authority(url).map(|host| ready.get(pinned).header(HOST, host)))
}

/// Which of a host's addresses are asked for one after the other. Over HTTPS the host is resolved
/// again and all that it has of a family are tried, so that each family is asked for once: the one
/// alone that comes first, where both are spoken.
pub fn each_asked(client: &Client, url: &Url, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
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
