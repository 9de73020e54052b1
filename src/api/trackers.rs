//! Trackers that are named for a torrent which is here already: whether they are any. Pure but for
//! the question which ones it has.

use std::collections::BTreeSet;

use crate::base::url::host_of;
use crate::ledger::Spec;
use crate::metainfo::Magnet;
use crate::tracker::http::is_http;
use crate::tracker::udp::is_udp;

use super::answer::Refusal;
use super::desk::Api;
use super::request::Key;

/// The longest URL: those of private trackers have passkeys, and none comes near that.
const URL_LEN_MAX: usize = 2048;

/// What is said of other trackers for a private torrent.
pub(super) const OF_PRIVATE: &str =
    "it is private: a tracker that does not know its user may count that against them";

impl Api {
    /// All trackers of a torrent, by tier.
    ///
    /// # Errors
    /// There is no such torrent, or its metadata cannot be read.
    pub async fn tiers(&self, key: &Key) -> Result<Vec<Vec<String>>, Refusal> {
        let listed = self.find(key).await?;
        Ok(self.tiers_of(&listed.spec).await?.0)
    }

    /// The same, and whether the torrent is private.
    pub(super) async fn tiers_of(&self, spec: &Spec) -> Result<(Vec<Vec<String>>, bool), Refusal> {
        if let Some(link) = &spec.link {
            let link = Magnet::parse(link).map(|link| link.trackers).unwrap_or_default();
            let own: Vec<_> = link.into_iter().map(|url| vec![url]).collect();
            return Ok((spec.tiers(&own), false));
        }
        let torrent = self.session.metadata(spec.id).await.map_err(Refusal::from)?;
        Ok((spec.tiers(&torrent.trackers), torrent.private))
    }
}

/// Are these URLs of trackers? One that the torrent has already may be anything.
///
/// # Errors
/// One is none.
pub(super) fn check(tiers: &[Vec<String>], known: &[Vec<String>]) -> Result<(), Refusal> {
    let known: BTreeSet<&str> = known.iter().flatten().map(|url| url.trim()).collect();
    let mut named = tiers.iter().flatten().map(|url| url.trim());
    match named.find(|url| !url.is_empty() && !known.contains(url) && !is_tracker(url)) {
        None => Ok(()),
        Some(url) => {
            let shown: String = url.chars().take(80).collect();
            Err(Refusal::invalid(format!(
                "{shown} is no URL of a tracker: as http://tracker.example/announce, https:// or \
                 udp://"
            )))
        }
    }
}

fn is_tracker(url: &str) -> bool {
    let is_plain = url.len() <= URL_LEN_MAX && !url.contains(char::is_whitespace);
    is_plain && !url.contains(char::is_control) && (is_http(url) || is_udp(url)) && has_host(url)
}

fn has_host(url: &str) -> bool {
    host_of(url).contains(|letter: char| letter.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_torrent_has_already_may_be_no_tracker() {
        let tiers = |urls: &[&str]| vec![urls.iter().map(|url| (*url).to_owned()).collect()];
        let known = tiers(&["wss://a.example/"]);
        for right in ["http://a.example/x", "HTTPS://a:1/", "udp://[::1]:9", "wss://a.example/"] {
            assert_eq!(check(&tiers(&[right]), &known), Ok(()), "{right}");
        }
        let long = format!("http://a.example/{}", "x".repeat(URL_LEN_MAX));
        for wrong in ["x", "wss://b.example/", "http://", "udp:///x", "http://a/ b", &long] {
            assert!(check(&tiers(&["udp://a.example:1", wrong]), &known).is_err(), "{wrong}");
        }
    }
}
