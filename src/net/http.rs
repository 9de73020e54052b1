//! What all who speak HTTP need: a client that works without certificates of authorities, a
//! request to exactly the address that was judged, and what went wrong in one sentence. Which
//! addresses may be asked, and what the answers mean, is decided where they are asked.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, RequestBuilder, Url, redirect};

/// How a client connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientConfig {
    /// The address that it speaks from; any when none.
    pub local: Option<IpAddr>,
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For a whole request, from connecting to the last byte of the answer; none when who asks
    /// limits more than one request at once.
    pub total: Option<Duration>,
    /// Whether idle connections are kept for the next request, 90 s long. They are of no use to
    /// who asks a host seldom.
    pub keeps_idle: bool,
}

/// A client that follows no redirects. Proxies of the environment are not used: peers could not
/// be reached through them either.
///
/// # Errors
/// When TLS cannot be set up at all. A machine without certificates of authorities gets a client
/// that speaks plain HTTP only.
pub fn client(config: &ClientConfig) -> Result<Client, reqwest::Error> {
    // Somebody else in the process may have installed a provider already; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // What reqwest keeps when nobody says otherwise.
    let idle_max = if config.keeps_idle { usize::MAX } else { 0 };
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("pigeon/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(config.connect)
            .read_timeout(config.read)
            .local_address(config.local)
            .pool_max_idle_per_host(idle_max);
        match config.total {
            Some(total) => builder.timeout(total),
            None => builder,
        }
    };
    // Without certificates the first build fails (reqwest#2988); plain HTTP needs none.
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// A request for `url` to exactly `address`, one of its host's. Over HTTPS the host is resolved
/// again while connecting, which is harmless: nothing is sent before it has proved its name. None
/// when the URL has no host.
pub fn get(client: &Client, url: &Url, address: IpAddr) -> Option<RequestBuilder> {
    if url.scheme() != "http" {
        return Some(client.get(url.clone()));
    }
    let mut pinned = url.clone();
    pinned.set_ip_host(address).ok()?;
    Some(client.get(pinned).header(HOST, authority(url)?))
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
