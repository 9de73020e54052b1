//! The page at `/`: what is tracked, for people. Plain HTML, made here and without scripts; every
//! text in it is escaped, and the browser is told to run and load nothing. Made at most once in a
//! while, for all who ask.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use crate::base::units;
use crate::tracker::catalogue::Entry;
use crate::tracker::table::TableCounts;

use super::front::Front;
use super::keeper::{Errand, SwarmPicture, totals};
use super::library::Desk;

/// Torrents on the page: the largest swarms.
const ROWS_MAX: usize = 200;

/// Peers that a torrent's share is reckoned from.
const PEERS_MAX: usize = 100;

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;\
padding:0 1rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;\
padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}td.n,th.n{text-align:right}\
code{font-size:.85em}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}";

/// Answers `/style.css`.
pub(super) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// Answers `/`.
pub(super) async fn answer(State(front): State<Arc<Front>>) -> Response {
    let Some(page) = front.page.get(|_| true).await else { return front.ending() };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page).into_response()
}

/// Makes the page; none at the end.
pub(super) async fn make(desk: Option<Desk>, keeper: mpsc::Sender<Errand>) -> Option<Bytes> {
    let (answer, largest) = oneshot::channel();
    let errand = Errand::Largest { most: ROWS_MAX, peers_each: PEERS_MAX, answer };
    keeper.send(errand).await.ok()?;
    let (largest, totals) = (largest.await.ok()?, totals(&keeper).await?);
    let catalogue = desk.map(|desk| desk.catalogue.borrow().clone());
    let rows = largest.iter().map(|picture| {
        let entry = catalogue.as_ref().and_then(|it| it.find_hash(&picture.info_hash));
        row(picture, entry.map(|entry| &**entry))
    });
    Some(page(&rows.collect::<String>(), &totals).into())
}

fn page(rows: &str, totals: &TableCounts) -> String {
    let peers = totals.peers_v4 + totals.peers_v6;
    let hidden = match totals.swarms.saturating_sub(ROWS_MAX) {
        0 => String::new(),
        count => format!("<p>{count} smaller ones are not shown.</p>"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Pigeon tracker</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"></head><body><h1>Pigeon tracker</h1>\
         <p>{} torrents, {} seeds, {} leeches. Clients announce at <code>/announce</code>.</p>\
         <table><thead><tr><th>Torrent</th><th class=\"n\">Size</th><th class=\"n\">Seeds</th>\
         <th class=\"n\">Leeches</th><th class=\"n\">Share</th></tr></thead><tbody>{rows}</tbody>\
         </table>{hidden}<p>Share: what a peer has of the torrent on average. Numbers: \
         <a href=\"/stats\">JSON</a>, <a href=\"/metrics\">Prometheus</a>; names: \
         <a href=\"/catalogue\">catalogue</a>.</p></body></html>\n",
        totals.swarms,
        totals.seeds,
        peers - totals.seeds,
    )
}

fn row(picture: &SwarmPicture, entry: Option<&Entry>) -> String {
    let mut row = "<tr><td>".to_owned();
    // Writing to a string cannot fail.
    if let Some(entry) = entry {
        let _ = write!(row, "{}<br>", escape_html(&entry.name));
    }
    let _ = write!(row, "<code>{}</code></td>", picture.info_hash);
    let size = entry.map_or_else(|| "-".to_owned(), |entry| units::size(entry.size));
    let share = entry.and_then(|entry| average_share(picture, entry));
    let share = share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let counts = picture.counts;
    for cell in [size, counts.complete.to_string(), counts.incomplete.to_string(), share] {
        let _ = write!(row, "<td class=\"n\">{cell}</td>");
    }
    row + "</tr>\n"
}

fn average_share(picture: &SwarmPicture, entry: &Entry) -> Option<f64> {
    let shares = picture.peers.iter().map(|peer| entry.share(peer.left));
    let count = picture.peers.len();
    (count > 0).then(|| shares.sum::<f64>() / count as f64)
}

/// Text as it may stand between tags and in attributes.
fn escape_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}
