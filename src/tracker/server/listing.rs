//! The catalogue as a list with the peers of each torrent: JSON, made once for all who read it.
//! Not here: who asks for it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::http::body::Scales;
use crate::tracker::catalogue::{Catalogue, Entry};

use super::keeper::{Errand, SwarmPicture};
use super::library::Desk;

/// Peers that are listed of a torrent, and of all together: the whole list has 10 MB at most.
const HOLDERS_MAX: usize = 50;
const HOLDERS_IN_ALL: usize = 10_000;

/// Bytes of lists that are held at once: the latest one, and older ones as long as somebody reads
/// them.
pub(super) const LISTS_BUDGET: usize = 64 << 20;

/// The list as it is sent, and of which catalogue it is.
#[derive(Clone)]
pub(super) struct List {
    pub of: Arc<Catalogue>,
    pub text: Bytes,
}

/// Makes the list; as long as readers of older ones hold the budget, the last one stays. None at
/// the end.
pub(super) async fn make(
    desk: Option<Desk>,
    keeper: mpsc::Sender<Errand>,
    scales: Scales,
    last: Option<List>,
) -> Option<List> {
    let of = desk?.catalogue.borrow().clone();
    let (answer, pictures) = oneshot::channel();
    let errand = Errand::Picture {
        of: of.iter().map(|entry| entry.info_hash).collect(),
        peers_each: HOLDERS_MAX,
        peers: HOLDERS_IN_ALL,
        answer,
    };
    keeper.send(errand).await.ok()?;
    let pictures = pictures.await.ok()?;
    let torrents: Vec<Value> =
        of.iter().zip(&pictures).map(|(entry, picture)| describe(entry, picture)).collect();
    let text = json!({ "torrents": torrents }).to_string().into_bytes();
    if let Some(last) = last.as_ref().filter(|last| last.text == text) {
        return Some(List { of, text: last.text.clone() });
    }
    match scales.try_weigh(text.len()) {
        Some(weight) => Some(List { of, text: weight.bytes(text) }),
        None => last,
    }
}

fn describe(entry: &Entry, picture: &SwarmPicture) -> Value {
    let holders: Vec<Value> = picture
        .peers
        .iter()
        .map(|peer| json!({ "address": peer.address.to_string(), "share": entry.share(peer.left) }))
        .collect();
    let added = UNIX_EPOCH + Duration::from_secs(entry.added_s);
    json!({
        "name": entry.name,
        "info_hash": entry.info_hash.to_string(),
        "size": entry.size,
        "files": entry.files,
        "pieces": entry.pieces,
        "piece_length": entry.piece_length,
        "seeds": picture.counts.complete,
        "leeches": picture.counts.incomplete,
        "added": humantime::format_rfc3339_seconds(added).to_string(),
        "holders": holders,
    })
}
