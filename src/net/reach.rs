//! Servers that may be asked over HTTP when it is not the user alone who names them: the host is
//! resolved once, its addresses are judged, and one of those is connected to. Not here: the judging
//! (`hop`), and trackers, which have a rule of their own.

use std::net::SocketAddr;
use std::time::Duration;

use super::egress::{Egress, Purpose};
use crate::base::addr::canonical;

pub use super::hop::{Error, Hop, Trust, check_port, to_try};

/// The addresses of a server of files, canonical; `host` may be an address, an IPv6 one in
/// brackets. Where only a proxy knows them, one that stands for them.
///
/// # Errors
/// `Lookup`, also when it takes longer than `limit`; `Held`.
pub async fn resolve(
    egress: &Egress,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    let found = egress.whereabouts(host, port, Purpose::WebSeed, limit).await?;
    Ok(found.into_iter().map(canonical).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_becomes_canonical() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:81"),
            ("[::1]", "[::1]:81"),
            ("[::ffff:127.0.0.1]", "127.0.0.1:81"),
        ] {
            let found =
                resolve(&Egress::default(), host, 81, Duration::from_secs(1)).await.unwrap();
            assert_eq!(found, [address.parse().unwrap()], "{host}");
        }
    }
}
