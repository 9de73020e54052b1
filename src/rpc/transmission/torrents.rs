//! What is asked of torrents: which ones, which fields of them, and in which form.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{Answer, Api, Key, Request, Torrent};

use super::about::{About, Closely, DETAILS, FACTS, FILES, Needs, PEERS, SOURCES, TRACKERS, hash};
use super::errors::Fault;
use super::fields::{Field, find};
use super::given::Given;
use super::whole::{All, Recent, Seen, Whole};
use super::{mapping, names};

/// A torrent that is meant.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub seen: Arc<Seen>,
    /// How many stand before it in the queue.
    pub position: usize,
}

impl Target {
    /// The number that it goes by.
    pub fn number(&self) -> u32 {
        self.seen.torrent.id
    }

    /// How it is named where orders go.
    pub fn key(&self) -> Key {
        Key::Id(self.number())
    }
}

/// Those that are meant.
pub(super) struct Meant {
    pub targets: Vec<Target>,
    /// Numbers that are gone, where what changed lately was asked for.
    pub removed: Option<Vec<u32>>,
}

/// Finds whom `ids` means: all without any, and none of those that are not there.
///
/// # Errors
/// The session has ended.
pub(super) async fn meant(whole: &Whole, given: &Given) -> Result<Meant, Fault> {
    let all = whole.all().await?;
    let Some(ids) = given.value("ids") else {
        return Ok(Meant { targets: everything(&all).collect(), removed: None });
    };
    let is_recent = |value: &Value| value.as_str().is_some_and(|it| names::are_one(it, RECENT));
    if is_recent(ids) {
        let recent = whole.recent().await?;
        return Ok(Meant { targets: changed(&all, &recent), removed: Some(recent.removed) });
    }
    let single = [ids.clone()];
    let named = ids.as_array().map_or(&single[..], Vec::as_slice);
    let index = Index::of(&all);
    let mut targets = Vec::new();
    for name in named {
        match is_recent(name) {
            true => targets.extend(changed(&all, &whole.recent().await?)),
            false => targets.extend(index.one(name)),
        }
    }
    Ok(Meant { targets, removed: None })
}

const RECENT: &str = "recently-active";

fn everything(all: &All) -> impl Iterator<Item = Target> {
    let torrents = all.torrents.iter().enumerate();
    torrents.map(|(position, seen)| Target { seen: seen.clone(), position })
}

fn changed(all: &All, recent: &Recent) -> Vec<Target> {
    let changed: HashSet<u32> = recent.changed.iter().copied().collect();
    everything(all).filter(|it| changed.contains(&it.number())).collect()
}

/// Where each number and hash stands: who names thousands does not wait for as many searches.
struct Index<'a> {
    all: &'a All,
    numbers: HashMap<u32, usize>,
    hashes: HashMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    fn of(all: &'a All) -> Self {
        let (mut numbers, mut hashes) = (HashMap::new(), HashMap::new());
        for (at, seen) in all.torrents.iter().enumerate() {
            let Torrent { id, hash, hash_v2, .. } = &seen.torrent;
            numbers.insert(*id, at);
            let all = hash.iter().chain(hash_v2).map(String::as_str);
            hashes.extend(all.chain([self::hash(&seen.torrent)]).map(|hash| (hash, at)));
        }
        Self { all, numbers, hashes }
    }

    /// The one of this number or hash. A number as text is none, as on the real server.
    fn one(&self, name: &Value) -> Option<Target> {
        match name {
            Value::Number(number) => {
                let number = u32::try_from(number.as_i64()?).ok()?;
                self.torrent(self.numbers.get(&number))
            }
            Value::String(hash) if hash.len() >= 40 => self.by_hash(&hash.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn torrent(&self, at: Option<&usize>) -> Option<Target> {
        let at = *at?;
        Some(Target { seen: self.all.torrents.get(at)?.clone(), position: at })
    }

    fn by_hash(&self, hash: &str) -> Option<Target> {
        self.torrent(self.hashes.get(hash))
    }
}

/// The answer to `torrent-get`, as text.
///
/// # Errors
/// No field is known, or the session has ended.
pub(super) async fn get(
    api: &Api,
    whole: &Whole,
    given: &Given,
    is_snake: bool,
) -> Result<Vec<u8>, Fault> {
    let asked = given.texts("fields").unwrap_or_default();
    let mut fields: Vec<&'static Field> = asked.into_iter().filter_map(find).collect();
    fields.sort_by_key(|field| field.name);
    fields.dedup_by_key(|field| field.name);
    if fields.is_empty() {
        return Err(Fault::invalid("no fields specified"));
    }
    let is_table = given.text("format") == Some("table");
    let needs = fields.iter().fold(0, |needs, field| needs | field.needs);
    let meant = meant(whole, given).await?;
    let mut out = Vec::with_capacity(64 + meant.targets.len() * fields.len() * 24);
    out.push(b'{');
    if let Some(removed) = &meant.removed {
        out.extend(format!("\"removed\":{},", json!(removed)).bytes());
    }
    let sheet = Sheet::new(fields, is_table, is_snake);
    sheet.begin(&mut out);
    let now = mapping::now();
    let is_named = sheet.fields.iter().any(|(_, field)| field.name == "name");
    for (nth, target) in meant.targets.iter().enumerate() {
        // Few have a name by their user that nobody has compared with those of their files yet.
        let asks_name = is_named && target.seen.torrent.is_own_name_unknown;
        let needs = if asks_name { needs | FACTS } else { needs };
        let closely = match needs {
            0 => Closely::default(),
            _ => look_closely(api, &target.seen.torrent, needs).await,
        };
        if nth > 0 || is_table {
            out.push(b',');
        }
        sheet.row(target, &closely, now, &mut out);
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// Rows of the same fields.
struct Sheet {
    /// Each with its name as it is written, in quotes.
    fields: Vec<(String, &'static Field)>,
    is_table: bool,
    is_snake: bool,
}

impl Sheet {
    fn new(fields: Vec<&'static Field>, is_table: bool, is_snake: bool) -> Self {
        let name = |field: &Field| match is_snake {
            true => names::snake(field.name),
            false => field.name.to_owned(),
        };
        let fields = fields.into_iter().map(|field| (format!("\"{}\"", name(field)), field));
        Self { fields: fields.collect(), is_table, is_snake }
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"torrents\":[");
        if self.is_table {
            let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
            out.extend(format!("[{}]", names.join(",")).bytes());
        }
    }

    fn row(&self, target: &Target, closely: &Closely, now: u64, out: &mut Vec<u8>) {
        let Target { seen, position } = target;
        let about = About {
            torrent: &seen.torrent,
            number: target.number(),
            position: *position,
            age_s: seen.at.elapsed().as_secs(),
            closely,
            now,
            is_snake: self.is_snake,
        };
        out.push(if self.is_table { b'[' } else { b'{' });
        for (nth, (name, field)) in self.fields.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            if !self.is_table {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
            }
            (field.write)(&about, out);
        }
        out.push(if self.is_table { b']' } else { b'}' });
    }
}

/// What lists do not show of a torrent, as far as it can be told: one that leaves at this moment is
/// told of all the same. One that sleeps is not woken: tools ask for everything of all of them.
async fn look_closely(api: &Api, torrent: &Torrent, needs: Needs) -> Closely {
    let (mut closely, key) = (Closely::default(), Key::Id(torrent.id));
    let rests = torrent.asleep || !torrent.metadata;
    let needs = if rests { needs & !(DETAILS | TRACKERS | PEERS | SOURCES) } else { needs };
    let asked = [
        (DETAILS, Request::Show(key.clone())),
        (FILES, Request::Files(key.clone())),
        (FACTS, Request::Facts(key.clone())),
        (TRACKERS, Request::Trackers(key.clone())),
        (PEERS, Request::Peers(key.clone(), false)),
        (SOURCES, Request::Sources(key.clone())),
    ];
    for (_, request) in asked.into_iter().filter(|(need, _)| needs & need != 0) {
        match api.answer(request).await {
            Ok(Answer::Torrent(details)) => closely.details = Some(details),
            Ok(Answer::Files(files)) => closely.files = files,
            Ok(Answer::Facts(facts)) => closely.facts = *facts,
            Ok(Answer::Trackers(trackers)) => closely.trackers = trackers,
            Ok(Answer::Peers(peers)) => closely.peers = peers,
            Ok(Answer::Sources(sources)) => closely.sources = sources,
            _ => {}
        }
    }
    closely
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_torrent_goes_by_its_number_and_any_hash() {
        let torrent = Torrent {
            id: 7,
            hash: Some("a".repeat(40)),
            hash_v2: Some("b".repeat(64)),
            ..Torrent::default()
        };
        let seen = Arc::new(Seen { torrent, at: Instant::now() });
        let all = All { torrents: vec![seen], ..All::default() };
        let index = Index::of(&all);
        let number = |name: Value| index.one(&name).map(|it| it.number());
        for name in [json!(7), json!("A".repeat(40)), json!("b".repeat(64))] {
            assert_eq!(number(name.clone()), Some(7), "{name}");
        }
        for name in [json!(8), json!("b".repeat(40)), json!("7"), json!(-7), json!(7.5)] {
            assert_eq!(number(name.clone()), None, "{name}");
        }
        let v2 = Torrent { hash_v2: Some("b".repeat(64)), ..Torrent::default() };
        assert_eq!(hash(&v2), "b".repeat(40), "tools know hashes of 40 digits alone");
    }
}
