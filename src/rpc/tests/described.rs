//! `openapi.json` says what is there: every route, and every field of what goes in and out.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::call::ROUTES;
use super::super::front::OPENAPI;
use super::*;
use crate::api::{
    Added, Addition, Chore, Creation, Deed, Details, Done, Errands, Events, Facts, Fate,
    FeedStanding, File, FilePatch, Format, Found, FoundFile, FoundTorrent, Happened, HookStanding,
    List, Making, Mark, Patch, Peer, Pieces, Place, Priority, Room, RuleFacts, RuleFate, Ruled,
    SessionPatch, Share, Source, Stage, Standing, State, Torrent, Tracker, WatchStanding, What,
    Why,
};

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn schema(name: &str) -> Value {
    let schema = description()["components"]["schemas"][name].clone();
    assert!(schema.is_object(), "there is no schema {name}");
    schema
}

/// The properties of a schema, and those of them that are always there.
fn fields(schema: &Value) -> (serde_json::Map<String, Value>, BTreeSet<String>) {
    let (mut properties, mut required) = (serde_json::Map::new(), BTreeSet::new());
    for part in schema["allOf"].as_array().unwrap_or(&vec![schema.clone()]) {
        let part = match part["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
            Some(name) => self::schema(name),
            None => part.clone(),
        };
        properties.extend(part["properties"].as_object().unwrap().clone());
        let all = part["required"].as_array().cloned().unwrap_or_default();
        required.extend(all.iter().map(|name| name.as_str().unwrap().to_owned()));
    }
    (properties, required)
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// Compares a schema with a value that has all there may be, and one that has as little as there
/// may be.
fn holds<T: Serialize>(schema: &Value, full: &T, least: &T) {
    let (full, least) = (json!(full), json!(least));
    let (properties, required) = fields(schema);
    assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), keys(&full));
    assert_eq!(required, keys(&least), "{least}");
    for (name, value) in least.as_object().unwrap() {
        let kinds = &properties[name]["type"];
        let may_be_null = kinds.as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
        assert_eq!(may_be_null, value.is_null(), "{name}");
    }
    for (name, value) in full.as_object().unwrap() {
        let kinds = &properties[name]["type"];
        let kinds = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]);
        let kind = match value {
            Value::String(_) => "string",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Array(_) => "array",
            // What another schema tells, or has several forms.
            Value::Object(_) | Value::Null => continue,
        };
        let is_told_elsewhere =
            properties[name]["$ref"].is_string() || !properties[name]["anyOf"].is_null();
        assert!(is_told_elsewhere || kinds.contains(&json!(kind)), "{name}: {kind}");
    }
}

/// The same for what is asked: nothing of it has to be there, and nothing else may be.
fn takes<T: Serialize>(name: &str, full: &T) {
    let schema = schema(name);
    let (properties, required) = fields(&schema);
    assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), keys(&json!(full)), "{name}");
    assert_eq!((required.len(), &schema["additionalProperties"]), (0, &json!(false)), "{name}");
}

#[test]
fn the_paths_are_those_that_are_served() {
    let mut served: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, methods) in ROUTES {
        let path = format!("/api/v1{path}");
        served.extend(methods.iter().map(|method| (path.clone(), method.to_lowercase())));
    }
    for path in ["/healthz", "/metrics", "/api/v1/openapi.json"] {
        served.insert((path.to_owned(), "get".to_owned()));
    }
    let paths = description()["paths"].as_object().unwrap().clone();
    let described = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(|method| (path.clone(), method.clone()))
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), served);
}

#[test]
fn whatever_is_referred_to_is_there_and_the_rest_is_referred_to() {
    let all = description();
    let mut named = BTreeSet::new();
    let mut rest = vec![&all];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(fields) => {
                let refs = fields.get("$ref").and_then(Value::as_str);
                named.extend(refs.map(|it| it.trim_start_matches('#').to_owned()));
                rest.extend(fields.values());
            }
            Value::Array(values) => rest.extend(values),
            _ => {}
        }
    }
    for name in &named {
        assert!(all.pointer(name).is_some(), "{name}");
    }
    for kind in ["schemas", "responses", "parameters"] {
        for name in keys(&all["components"][kind]) {
            let path = format!("/components/{kind}/{name}");
            assert!(named.contains(&path) || path.ends_with("/Mark"), "{path}");
        }
    }
}

fn mark() -> Mark {
    "1f3a-2c".parse().unwrap()
}

fn torrent() -> Torrent {
    let text = || Some("x".to_owned());
    Torrent {
        id: 1,
        hash: text(),
        hash_v2: text(),
        name: String::new(),
        state: State::Seeding,
        trouble: text(),
        wanted_bytes: 1,
        done_bytes: 1,
        progress: 1.0,
        size: 1,
        files: 1,
        missing_bytes: 1,
        checked: Some(0.5),
        down_rate: 1,
        up_rate: 1,
        left_s: Some(1),
        received_bytes: 1,
        sent_bytes: 1,
        ratio: 1.0,
        peers: 1,
        seeds: 1,
        sending: 1,
        receiving: 1,
        limits: Limits::default(),
        labels: Vec::new(),
        trackers: Some(Vec::new()),
        dir: String::new(),
        paused: false,
        private: false,
        metadata: true,
        asleep: false,
        place: String::new(),
        added_at: 1,
        completed_at: Some(1),
        active_at: Some(1),
        active_s: 1,
        seeding_s: 1,
        seed_ratio: Some(1.5),
        seed_time_s: Some(1),
        sequential: true,
        ends_first: true,
        own_name: None,
        is_own_name_unknown: false,
        names: 0,
    }
}

fn bare() -> Torrent {
    Torrent {
        hash: None,
        hash_v2: None,
        trackers: None,
        trouble: None,
        checked: None,
        left_s: None,
        completed_at: None,
        active_at: None,
        seed_ratio: None,
        seed_time_s: None,
        ..torrent()
    }
}

#[test]
fn torrents_are_as_described() {
    holds(&schema("Torrent"), &torrent(), &bare());
    let closely = |torrent, peers_max, search| Details {
        torrent,
        pieces: 1,
        pieces_done: 1,
        wasted_bytes: 1,
        hash_failures: 1,
        peers_known: 1,
        sources: 1,
        sources_known: 1,
        peers_max,
        extra_trackers: Vec::new(),
        checked_bytes: 1,
        to_check_bytes: 1,
        moved_bytes: 1,
        to_move_bytes: 1,
        search,
    };
    holds(
        &schema("Details"),
        &closely(torrent(), Some(1), Some(String::new())),
        &closely(bare(), None, None),
    );
    let limits = Limits { down: Some(1), up: Some(1) };
    holds(&schema("Limits"), &limits, &Limits::default());
    let file = File {
        number: 1,
        path: String::new(),
        size: 1,
        progress: 0.5,
        wanted: true,
        priority: Priority::High,
        begin_piece: 0,
        end_piece: 1,
    };
    holds(&schema("File"), &file, &file);
    let all: BTreeSet<_> = State::ALL.iter().map(|state| json!(state).to_string()).collect();
    let told = schema("State")["enum"].as_array().unwrap().clone();
    assert_eq!(told.iter().map(Value::to_string).collect::<BTreeSet<_>>(), all);
}

/// Whoever adds a state adds it to the list of all, too.
#[test]
fn no_state_is_forgotten() {
    let count = State::ALL.iter().filter(|state| match state {
        State::Checking | State::Moving | State::Queued | State::Downloading => true,
        State::Seeding | State::Finished | State::Paused | State::Stopping => true,
        State::DiskTrouble | State::Failed | State::Seeking => true,
    });
    assert_eq!(count.count(), 11);
}

#[test]
fn what_is_beside_a_torrent_is_as_described() {
    let text = || Some("x".to_owned());
    let peer = |error: Option<String>| Peer {
        address: String::new(),
        client: String::new(),
        connected: true,
        incoming: true,
        encrypted: true,
        progress: 0.5,
        down_rate: 1,
        up_rate: 1,
        received_bytes: 1,
        sent_bytes: 1,
        choking: true,
        choked: true,
        interesting: true,
        interested: true,
        source: error.clone(),
        snubbed: true,
        encryption: error.clone(),
        banned: true,
        left_s: error.as_ref().map(|_| 1),
        error,
    };
    holds(&schema("Peer"), &peer(text()), &peer(None));
    let tracker = |count: Option<u64>, words: Option<String>| Tracker {
        url: String::new(),
        tier: 1,
        state: String::new(),
        seeds: count,
        leeches: count,
        peers: count.map(|_| 1),
        next_in_s: count,
        error: words.clone(),
        warning: words,
    };
    holds(&schema("Tracker"), &tracker(Some(1), text()), &tracker(None, None));
    let source =
        Source { url: String::new(), connections: 1, busy: 1, down_rate: 1, received_bytes: 1 };
    holds(&schema("Source"), &source, &source);
    let facts = |words: Option<String>| Facts {
        comment: words.clone(),
        created_at: words.as_ref().map(|_| 1),
        creator: words,
        ..Facts::default()
    };
    holds(&schema("Facts"), &facts(text()), &facts(None));
    let pieces = |copies| Pieces { copies, ..Pieces::default() };
    holds(&schema("Pieces"), &pieces(text()), &pieces(None));
    let share = Share { cause: String::new(), share: 0.5 };
    holds(&schema("Share"), &share, &share);
    let why = |now| Why { now, minute: Vec::new(), life: Vec::new(), text: String::new() };
    holds(&schema("Why"), &why(text()), &why(None));
}

#[test]
fn what_rules_say_is_as_described() {
    let facts = |free_bytes| RuleFacts {
        trackers: Vec::new(),
        labels: Vec::new(),
        private: true,
        size: 1,
        added_at: 1,
        ratio: 0.5,
        seeds: 1,
        free_bytes,
    };
    holds(&schema("RuleFacts"), &facts(Some(1)), &facts(None));
    let fate = RuleFate {
        name: String::new(),
        fate: Fate::Fires,
        because: Vec::new(),
        says: Vec::new(),
        overruled: Vec::new(),
    };
    holds(&schema("RuleFate"), &fate, &fate);
    let fates = [Fate::Fires, Fate::Overruled, Fate::Misses];
    assert_eq!(schema("RuleFate")["properties"]["fate"]["enum"], json!(fates));
    let ruled = |rest| Ruled {
        rules: Vec::new(),
        limits_now: Limits::default(),
        labels: Vec::new(),
        rest,
        facts: facts(None),
    };
    holds(&schema("Ruled"), &ruled(Some(String::new())), &ruled(None));
}

#[test]
fn answers_are_as_described() {
    let list = List { cursor: mark(), full: true, torrents: Vec::new(), removed: Vec::new() };
    holds(&schema("List"), &list, &list);
    let added = |id| Added { id, hash: String::new(), name: String::new(), was_there: true };
    holds(&schema("Added"), &added(Some(1)), &added(None));
    let done = Done { id: Some(1), note: Some(String::new()) };
    holds(&schema("Done"), &done, &Done::default());
    let standing = |number: Option<u64>, trouble| Standing {
        version: String::new(),
        uptime_s: 1,
        port: 1,
        torrents: 1,
        downloading: 1,
        seeding: 1,
        seeking: 1,
        in_trouble: 1,
        down_rate: 1,
        up_rate: 1,
        limits: Limits::default(),
        alternative_limits: Limits::default(),
        alternative: true,
        limits_now: Limits::default(),
        active_max: number.map(|_| 1),
        dht_nodes: number.map(|_| 1),
        dir: String::new(),
        free_bytes: number,
        trouble,
        lost: Vec::new(),
        rows: mark(),
        events: mark(),
    };
    holds(&schema("Standing"), &standing(Some(1), Some(String::new())), &standing(None, None));
    let room =
        |bytes| Room { dir: String::new(), exists: true, free_bytes: bytes, total_bytes: bytes };
    holds(&schema("Room"), &room(Some(1)), &room(None));
    let file = FoundFile { number: 1, path: String::new(), size: 1 };
    holds(&schema("FoundFile"), &file, &file);
    let torrent =
        FoundTorrent { id: 1, name: String::new(), named: true, files: vec![file], files_found: 1 };
    holds(&schema("FoundTorrent"), &torrent, &torrent);
    let found = Found { torrents: vec![torrent], more: true, unread: 1 };
    holds(&schema("Found"), &found, &found);
    let events = |missed| Events { cursor: mark(), missed, has_gap: true, events: Vec::new() };
    holds(&schema("Events"), &events(Some(1)), &events(None));
    let (error, health) = (json!({ "error": "x" }), json!({ "ok": true, "trouble": false }));
    holds(&schema("Error"), &error, &error);
    holds(&schema("Health"), &health, &health);
}

#[test]
fn what_is_done_without_anybody_asking_is_as_described() {
    let errands = Errands::default();
    holds(&schema("Errands"), &errands, &errands);
    let chore = schema("Chore");
    assert_eq!(json!(Chore::Look {}), json!({ "do": chore["properties"]["do"]["const"] }));
    assert_eq!(chore["additionalProperties"], json!(false));
    let text = || Some(String::new());
    let watch = WatchStanding::default();
    let full = WatchStanding { trouble: text(), last_refusal: text(), ..watch.clone() };
    holds(&schema("WatchStanding"), &full, &watch);
    let hook = HookStanding::default();
    holds(&schema("HookStanding"), &HookStanding { trouble: text(), ..hook.clone() }, &hook);
    let feed = FeedStanding::default();
    let full = FeedStanding {
        asked_at: Some(1),
        next_at: Some(1),
        trouble: text(),
        last_refusal: text(),
        ..feed.clone()
    };
    holds(&schema("FeedStanding"), &full, &feed);
}

/// The schemas that one of several is, each with its name; the field that tells them apart.
fn alternatives(name: &str, by: &str) -> Vec<(String, Value)> {
    let schema = schema(name);
    assert_eq!(schema["discriminator"]["propertyName"], json!(by));
    let mapping = schema["discriminator"]["mapping"].as_object().unwrap().clone();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), mapping.len());
    let named = mapping.into_iter().map(|(word, path)| {
        assert!(schema["oneOf"].as_array().unwrap().contains(&json!({ "$ref": path })));
        let schema = self::schema(path.as_str().unwrap().rsplit('/').next().unwrap());
        assert_eq!(schema["properties"][by]["const"], json!(word));
        (word, schema)
    });
    named.collect()
}

#[test]
fn events_are_as_described() {
    let text = String::new;
    let all = [
        What::Added,
        What::Removed { name: text() },
        What::State { from: State::Queued, to: State::Checking },
        What::Completed,
        What::Trouble { why: text() },
        What::Recovered,
        What::Moved { dir: text() },
        What::Renamed { name: text() },
        What::Metadata { name: text() },
    ];
    let mut schemas = alternatives("Happened", "event");
    for what in all {
        // Whoever adds one adds it above, too.
        match &what {
            What::Added | What::Removed { .. } | What::State { .. } | What::Completed => {}
            What::Trouble { .. } | What::Recovered | What::Moved { .. } | What::Renamed { .. } => {}
            What::Metadata { .. } => {}
        }
        let happened = Happened { number: 1, at: 1, id: 1, what };
        let word = json!(happened)["event"].clone();
        let at = schemas.iter().position(|(name, _)| word == json!(name)).unwrap();
        let mut schema = schemas.swap_remove(at).1;
        schema["properties"]["event"]["type"] = json!("string");
        holds(&schema, &happened, &happened);
    }
    assert!(schemas.is_empty(), "{schemas:?}");
}

#[test]
fn what_is_asked_is_as_described() {
    let text = || Some("x".to_owned());
    let patch = SessionPatch {
        limit_down: Some(1),
        limit_up: Some(1),
        alternative: Some(true),
        alternative_down: Some(1),
        alternative_up: Some(1),
        active_max: Some(1),
    };
    takes("SessionPatch", &patch);
    let addition = Addition {
        torrent: text(),
        link: text(),
        url: text(),
        dir: text(),
        paused: true,
        labels: vec![String::new()],
        sequential: true,
        limit_down: Some(1),
        limit_up: Some(1),
        seed_ratio: Some(1.0),
        seed_time_s: Some(1),
        trackers: vec![String::new()],
        web_seeds: vec![String::new()],
        sent_before: Some(1),
        files: Some(vec![1]),
    };
    takes("Addition", &addition);
    let patch = Patch {
        limit_down: Some(1),
        limit_up: Some(1),
        labels: Some(Vec::new()),
        name: Some(String::new()),
        seed_ratio: Some(1.0),
        seed_time_s: Some(1),
        place: Some(Place::Top),
        sequential: Some(true),
        ends_first: Some(true),
        peers_max: Some(1),
        trackers: Some(vec![vec![String::new()]]),
    };
    takes("Patch", &patch);
    let one = || vec![1];
    let files = FilePatch { want: one(), low: one(), normal: one(), high: one(), skip: one() };
    takes("FilePatch", &files);
    let all = [Priority::Off, Priority::Low, Priority::Normal, Priority::High];
    assert_eq!(schema("Priority")["enum"], json!(all));
    let words = &schema("Place")["oneOf"][0]["enum"];
    assert_eq!(words, &json!([Place::Top, Place::Bottom, Place::Up, Place::Down]));
    let (properties, _) = fields(&schema("Place")["oneOf"][1]);
    assert_eq!(properties.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["at"]);
    assert_eq!(json!(Place::At(3)), json!({ "at": 3 }));
}

#[test]
fn what_is_made_is_as_described() {
    let text = || Some("x".to_owned());
    let creation = Creation {
        path: String::new(),
        name: text(),
        format: Format::Hybrid,
        piece_length: Some(1),
        private: true,
        source: text(),
        comment: text(),
        trackers: vec![vec![String::new()]],
        web_seeds: vec![String::new()],
        seed: true,
        labels: vec![String::new()],
    };
    takes("Creation", &creation);
    let formats = &schema("Creation")["properties"]["format"]["enum"];
    assert_eq!(formats, &json!([Format::V1, Format::Hybrid]));
    let least = Making::default();
    let full = Making {
        name: text(),
        hash: text(),
        magnet: text(),
        torrent: Some(1),
        note: text(),
        error: text(),
        ..least.clone()
    };
    holds(&schema("Making"), &full, &least);
    let stages = [Stage::Waiting, Stage::Hashing, Stage::Done, Stage::Failed];
    assert_eq!(schema("Making")["properties"]["stage"]["enum"], json!(stages));
}

#[test]
fn deeds_are_as_described() {
    let text = String::new;
    let rename = |file| Deed::Rename { file, name: text() };
    let all = [
        [Deed::Pause, Deed::Pause],
        [Deed::Resume, Deed::Resume],
        [Deed::Unpause, Deed::Unpause],
        [Deed::Announce, Deed::Announce],
        [Deed::Verify, Deed::Verify],
        [Deed::Move { dir: text() }, Deed::Move { dir: text() }],
        [rename(Some(1)), rename(None)],
        [Deed::AddPeer { address: text() }, Deed::AddPeer { address: text() }],
        [Deed::AddSource { url: text() }, Deed::AddSource { url: text() }],
    ];
    let mut schemas = alternatives("Deed", "do");
    for [full, least] in all {
        // Whoever adds one adds it above, too.
        match &full {
            Deed::Pause | Deed::Resume | Deed::Unpause | Deed::Announce => {}
            Deed::Verify | Deed::Move { .. } => {}
            Deed::Rename { .. } | Deed::AddPeer { .. } | Deed::AddSource { .. } => {}
        }
        let word = json!(full)["do"].clone();
        let at = schemas.iter().position(|(name, _)| word == json!(name)).unwrap();
        let schema = schemas.swap_remove(at).1;
        assert_eq!(schema["additionalProperties"], json!(false), "{word}");
        let (properties, required) = fields(&schema);
        assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), keys(&json!(full)));
        assert_eq!(required, keys(&json!(least)));
    }
    assert!(schemas.is_empty(), "{schemas:?}");
}
