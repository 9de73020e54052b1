//! `/scrape`: numbers of some swarms. Somebody who names none is refused: an answer about all
//! swarms has no bound, few clients ask for one, and people have the page at `/`.
//! Source: BEP 48.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use tokio::sync::oneshot;

use crate::base::ids::InfoHash;
use crate::tracker::udp::MAX_SCRAPE;

use super::announce::{failure, push_bytes, push_number, twenty_bytes};
use super::counters::bump;
use super::front::Front;
use super::keeper::Errand;

/// Longest query that is read: 70 times a name and 20 bytes, all of them escaped.
const MAX_QUERY_LEN: usize = MAX_SCRAPE * (11 + 3 * 20) + 256;

/// Answers a scrape.
pub(super) async fn answer(
    State(front): State<Arc<Front>>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    bump(&front.counters.scrapes_http);
    let body = match parse(query.as_deref().unwrap_or("")) {
        Ok(info_hashes) => front.scrape(info_hashes).await,
        Err(reason) => {
            bump(&front.counters.refused);
            failure(reason, None)
        }
    };
    ([(CONTENT_TYPE, "text/plain")], body)
}

impl Front {
    async fn scrape(&self, info_hashes: Vec<InfoHash>) -> Vec<u8> {
        let (answer, counts) = oneshot::channel();
        let errand = Errand::Scrape(info_hashes.clone(), answer);
        // Where the keeper is gone, nobody answers either.
        let _ = self.keeper.send(errand).await;
        let Ok(counts) = counts.await else {
            return failure("this tracker is shutting down", Some(1));
        };
        let mut out = b"d5:filesd".to_vec();
        for (info_hash, counts) in info_hashes.iter().zip(counts) {
            push_bytes(&mut out, &info_hash.0);
            out.push(b'd');
            push_number(&mut out, "complete", counts.complete.into());
            push_number(&mut out, "downloaded", counts.downloaded.into());
            push_number(&mut out, "incomplete", counts.incomplete.into());
            out.push(b'e');
        }
        out.extend_from_slice(b"ee");
        out
    }
}

/// The torrents of a query, none twice, in the order that bencoding demands.
fn parse(query: &str) -> Result<Vec<InfoHash>, &'static str> {
    const MANY: &str = "a scrape is for at most 70 torrents";
    if query.len() > MAX_QUERY_LEN {
        return Err(MANY);
    }
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("info_hash="));
    let mut info_hashes = BTreeSet::new();
    for value in values {
        info_hashes.insert(InfoHash(twenty_bytes(value).ok_or("info_hash is not 20 bytes")?));
    }
    match info_hashes.len() {
        0 => Err("a scrape has to name its torrents with info_hash"),
        1..=MAX_SCRAPE => Ok(info_hashes.into_iter().collect()),
        _ => Err(MANY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_queries() {
        crate::fuzz::run("tracker_query", |bytes| {
            if let Ok(info_hashes) = parse(&String::from_utf8_lossy(bytes)) {
                assert!((1..=MAX_SCRAPE).contains(&info_hashes.len()));
                assert!(info_hashes.is_sorted_by(|a, b| a < b), "none twice");
            }
        });
    }
}
