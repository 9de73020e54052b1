//! `sync/maindata` and `sync/torrentPeers` as they are written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::api::Peer;

use super::book::Book;
use super::journal::News;
use super::mapping::{Object, rounded, whole};

/// The first bit of a torrent's keys is its hash, which is written before the object here.
const WITHOUT_HASH: u64 = !1;
/// Earlier answers about peers that are remembered, of all torrents and readers together.
const SHOWN_MAX: usize = 64;
/// Questions that wait.
const QUESTIONS_LEN: usize = 16;

impl Serialize for News {
    /// What is empty is left out, unless it is everything there is.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("rid", &self.rid)?;
        if self.is_full {
            map.serialize_entry("full_update", &true)?;
        }
        let is_told = |len: usize| self.is_full || len > 0;
        if is_told(self.torrents.len()) {
            map.serialize_entry("torrents", &Torrents(self))?;
        }
        if is_told(self.categories.len()) {
            let told = self.categories.iter().map(|name| (name, category(&self.book, name)));
            map.serialize_entry("categories", &told.collect::<BTreeMap<_, _>>())?;
        }
        if is_told(self.tags.len()) {
            map.serialize_entry("tags", &self.tags)?;
        }
        if is_told(self.trackers.len()) {
            let told = self.trackers.iter().map(|(url, hashes)| {
                (&**url, hashes.iter().map(|hash| &**hash).collect::<Vec<&str>>())
            });
            map.serialize_entry("trackers", &told.collect::<BTreeMap<_, _>>())?;
        }
        if is_told(self.session.len()) {
            map.serialize_entry("server_state", &self.session)?;
        }
        for (key, gone) in [
            ("torrents_removed", &self.torrents_removed),
            ("trackers_removed", &self.trackers_removed),
        ] {
            if !gone.is_empty() {
                let gone: Vec<&str> = gone.iter().map(|it| &**it).collect();
                map.serialize_entry(key, &gone)?;
            }
        }
        for (key, gone) in
            [("categories_removed", &self.categories_removed), ("tags_removed", &self.tags_removed)]
        {
            if !gone.is_empty() {
                map.serialize_entry(key, gone)?;
            }
        }
        map.end()
    }
}

struct Torrents<'a>(&'a News);

impl Serialize for Torrents<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let book = &self.0.book;
        to.collect_map(
            self.0.torrents.iter().map(|(seen, which)| {
                (&*seen.hash, Object { seen, book, which: which & WITHOUT_HASH })
            }),
        )
    }
}

/// A category as it is written.
pub(super) fn category(book: &Book, name: &str) -> Value {
    let folder = book.categories.get(name).map(String::as_str).unwrap_or_default();
    json!({ "name": name, "savePath": folder })
}

/// What somebody was shown of the peers of a torrent.
struct Shown {
    rid: u64,
    hash: Arc<str>,
    peers: BTreeMap<String, Value>,
}

struct Question {
    hash: Arc<str>,
    since: u64,
    peers: BTreeMap<String, Value>,
    answer: oneshot::Sender<Value>,
}

/// What was shown of peers, to tell what is new; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Crowds {
    questions: mpsc::Sender<Question>,
}

impl Crowds {
    /// Nothing was shown yet.
    pub fn start() -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep(asked));
        Self { questions }
    }

    /// What is new of the peers of a torrent to whoever had the answer of this number, if any.
    pub async fn news(&self, hash: Arc<str>, since: u64, peers: &[Peer]) -> Option<Value> {
        let peers = peers.iter().filter(|it| it.connected).filter_map(peer).collect();
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { hash, since, peers, answer }).await.ok()?;
        answered.await.ok()
    }
}

async fn keep(mut asked: mpsc::Receiver<Question>) {
    let (mut shown, mut rid): (VecDeque<Shown>, u64) =
        (VecDeque::new(), rand::random_range(1..1 << 29));
    while let Some(Question { hash, since, peers, answer }) = asked.recv().await {
        rid += 1;
        let before = shown.iter().find(|it| it.rid == since && it.hash == hash);
        let told = match before {
            None => json!({ "rid": rid, "full_update": true, "show_flags": true, "peers": peers }),
            Some(before) => delta(rid, &before.peers, &peers),
        };
        shown.truncate(SHOWN_MAX - 1);
        shown.push_front(Shown { rid, hash, peers });
        // Whoever asked may have gone.
        let _ = answer.send(told);
    }
}

fn delta(rid: u64, before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Value {
    let mut told = Map::from_iter([("rid".to_owned(), json!(rid))]);
    let new_of = |name: &String, value: &Value| -> Option<Value> {
        let (new, old) = (value.as_object()?, before.get(name).and_then(Value::as_object));
        let Some(old) = old else { return Some(value.clone()) };
        let new = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
        let new: Map<String, Value> = new.map(|(key, it)| (key.clone(), it.clone())).collect();
        (!new.is_empty()).then_some(Value::Object(new))
    };
    let changed = now.iter().filter_map(|(name, it)| Some((name.clone(), new_of(name, it)?)));
    let changed: Map<String, Value> = changed.collect();
    if !changed.is_empty() {
        told.insert("peers".to_owned(), Value::Object(changed));
    }
    let gone: Vec<&String> = before.keys().filter(|name| !now.contains_key(*name)).collect();
    if !gone.is_empty() {
        told.insert("peers_removed".to_owned(), json!(gone));
    }
    Value::Object(told)
}

/// A peer, by its address and port.
fn peer(peer: &Peer) -> Option<(String, Value)> {
    let address: std::net::SocketAddr = peer.address.parse().ok()?;
    let flags = [
        (peer.interesting && !peer.choking, "D", "interested (local) and unchoked (peer)"),
        (peer.interesting && peer.choking, "d", "interested (local) and choked (peer)"),
        (peer.interested && !peer.choked, "U", "interested (peer) and unchoked (local)"),
        (peer.interested && peer.choked, "u", "interested (peer) and choked (local)"),
        (peer.incoming, "I", "incoming connection"),
        (peer.encrypted, "E", "encrypted traffic"),
    ];
    let flags: Vec<_> = flags.into_iter().filter(|(is_so, ..)| *is_so).collect();
    let letters: Vec<&str> = flags.iter().map(|(_, letter, _)| *letter).collect();
    let words: Vec<String> = flags.iter().map(|(_, it, words)| format!("{it} = {words}")).collect();
    let value = json!({
        "client": peer.client,
        "connection": "BT",
        "country": "",
        "country_code": "",
        "dl_speed": whole(peer.down_rate),
        "downloaded": whole(peer.received_bytes),
        "files": "",
        "flags": letters.join(" "),
        "flags_desc": words.join("\n"),
        "ip": address.ip().to_string(),
        "peer_id_client": "",
        "port": address.port(),
        "progress": super::mapping::number_value(rounded(peer.progress)),
        "relevance": 0,
        "up_speed": whole(peer.up_rate),
        "uploaded": whole(peer.sent_bytes),
    });
    Some((address.to_string(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_at(address: &str, down_rate: u64) -> Peer {
        let peer = json!({
            "address": address, "client": "x", "connected": true, "incoming": true,
            "encrypted": false, "progress": 0.5, "down_rate": down_rate, "up_rate": 0,
            "received_bytes": 1, "sent_bytes": 2, "choking": false, "choked": true,
            "interesting": true, "interested": true, "source": null, "banned": false, "error": null,
        });
        serde_json::from_value(peer).unwrap()
    }

    #[tokio::test]
    async fn peers_that_change_are_told_and_those_that_go() {
        let crowds = Crowds::start();
        let hash: Arc<str> = "a".into();
        let news =
            async |since, peers: &[Peer]| crowds.news(hash.clone(), since, peers).await.unwrap();
        let (one, two) = (peer_at("192.0.2.1:6881", 5), peer_at("[2001:db8::1]:7", 0));
        let full = news(0, &[one.clone(), two]).await;
        assert_eq!(full["full_update"], json!(true));
        let it = &full["peers"]["192.0.2.1:6881"];
        assert_eq!((&it["ip"], &it["port"]), (&json!("192.0.2.1"), &json!(6881)));
        assert_eq!((&it["flags"], &it["progress"]), (&json!("D u I"), &json!(0.5)));
        assert_eq!(full["peers"]["[2001:db8::1]:7"]["ip"], json!("2001:db8::1"));

        let since = full["rid"].as_u64().unwrap();
        let told = news(since, &[peer_at("192.0.2.1:6881", 6)]).await;
        let changed = json!({ "192.0.2.1:6881": { "dl_speed": 6 } });
        assert_eq!((&told["peers"], told.get("full_update")), (&changed, None));
        assert_eq!(told["peers_removed"], json!(["[2001:db8::1]:7"]));
        // Of another torrent that number says nothing.
        let other = crowds.news("b".into(), since, &[one]).await.unwrap();
        assert_eq!(other["full_update"], json!(true));
    }
}
