//! Preferences: those that map to something of ours, and all others, which are kept and given back.
//! Nothing is done with those; the first time that one is set, the log says so.

use serde_json::{Map, Value, json};

use crate::api::{SessionPatch, Standing};

use super::book::Book;
use super::mapping::whole;

/// Keys that are ours, and stand in no book. Some can only be told.
const OURS: &[&str] = &[
    "dl_limit",
    "up_limit",
    "alt_dl_limit",
    "alt_up_limit",
    "max_active_downloads",
    "listen_port",
    "dht",
    "web_ui_password",
];
/// Keys that say what becomes of torrents that are added later. They are kept, and do something.
const OF_ADDITIONS: &[&str] = &[
    "save_path",
    "add_stopped_enabled",
    "start_paused_enabled",
    "auto_tmm_enabled",
    "use_category_paths_in_manual_mode",
    "add_to_top_of_queue",
    "max_ratio",
    "max_ratio_enabled",
    "max_seeding_time",
    "max_seeding_time_enabled",
];

/// Preferences of 5.1.4 as they are where nothing was set, as far as programs look at them.
const ORIGINALS: &str = include_str!("preferences.json");
/// Preferences that may be kept.
const KEPT_MAX: usize = 1000;

/// What a preference was set to comes to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Set {
    /// What of it is the session's.
    pub patch: SessionPatch,
    /// What of it is kept.
    pub kept: Map<String, Value>,
    /// What nothing is done with, whether it is kept or not.
    pub idle: Vec<String>,
}

/// All preferences.
pub(super) fn all(standing: &Standing, book: &Book) -> Value {
    let mut all = originals();
    all.extend(book.preferences.iter().map(|(key, value)| (key.clone(), value.clone())));
    let limit = |limit: Option<u64>| json!(limit.map_or(0, whole));
    let mut set = |key: &str, value: Value| _ = all.insert(key.to_owned(), value);
    set("dl_limit", limit(standing.limits.down));
    set("up_limit", limit(standing.limits.up));
    set("alt_dl_limit", limit(standing.alternative_limits.down));
    set("alt_up_limit", limit(standing.alternative_limits.up));
    set("listen_port", json!(standing.port));
    set("dht", json!(standing.dht_nodes.is_some()));
    if let Some(count) = standing.active_max {
        set("max_active_downloads", json!(count));
    }
    let dir = default_dir(book).unwrap_or(&standing.dir);
    set("save_path", json!(dir));
    // It is written, and never read.
    all.remove("web_ui_password");
    Value::Object(all)
}

/// The folder that was chosen for new torrents, if one was.
pub(super) fn default_dir(book: &Book) -> Option<&str> {
    let dir = book.preferences.get("save_path").and_then(Value::as_str);
    dir.filter(|dir| dir.starts_with('/'))
}

/// A preference that is so or not.
pub(super) fn is_set(book: &Book, key: &str) -> bool {
    book.preferences.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A preference that is a number and is in force.
pub(super) fn limit_in_force(book: &Book, key: &str) -> Option<f64> {
    let number = book.preferences.get(key).and_then(Value::as_f64);
    number.filter(|it| *it >= 0.0 && is_set(book, &format!("{key}_enabled")))
}

/// What these preferences come to, in the types of those that are there.
pub(super) fn set(given: Map<String, Value>, book: &Book) -> Set {
    let (types, mut set) = (originals(), Set::default());
    // Without its switch a ratio says nothing, as in the original.
    let has_switch = given.contains_key("max_ratio_enabled");
    for (key, value) in given {
        let known = types.get(&key).or_else(|| book.preferences.get(&key));
        let value = known.map_or_else(|| value.clone(), |known| as_kind(&value, known));
        let number = value.as_i64().map(|it| u64::try_from(it).unwrap_or_default());
        match key.as_str() {
            "dl_limit" => set.patch.limit_down = number,
            "up_limit" => set.patch.limit_up = number,
            "alt_dl_limit" => set.patch.alternative_down = number,
            "alt_up_limit" => set.patch.alternative_up = number,
            "max_active_downloads" => {
                set.patch.active_max = value.as_i64().and_then(|it| u32::try_from(it).ok());
            }
            "max_ratio" if !has_switch => {}
            key if OURS.contains(&key) => set.idle.push(key.to_owned()),
            _ => {
                let is_new = book.preferences.get(&key) != Some(&value);
                if is_new && !OF_ADDITIONS.contains(&key.as_str()) {
                    set.idle.push(key.clone());
                }
                set.kept.insert(key, value);
            }
        }
    }
    set
}

/// Puts them into a book.
///
/// # Errors
/// There are too many.
pub(super) fn keep(kept: Map<String, Value>, book: &mut Book) -> Result<(), String> {
    book.preferences.extend(kept);
    match book.preferences.len() > KEPT_MAX {
        true => Err(format!("more than {KEPT_MAX} preferences are not kept")),
        false => Ok(()),
    }
}

/// A value in the kind of another: some programs send numbers and booleans as text.
fn as_kind(value: &Value, kind: &Value) -> Value {
    match (value, kind) {
        (Value::String(text), Value::Number(_)) => {
            let whole = text.parse::<i64>().map(|it| json!(it));
            whole.or_else(|_| text.parse::<f64>().map(|it| json!(it))).unwrap_or(json!(0))
        }
        (Value::String(text), Value::Bool(_)) => json!(text.eq_ignore_ascii_case("true")),
        (Value::Number(number), Value::Bool(_)) => json!(number.as_f64() != Some(0.0)),
        (Value::Number(number), Value::Number(like)) if like.is_i64() => {
            // 5.0 is five.
            let plain = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 9e15);
            plain.map_or_else(|| value.clone(), |it| json!(it as i64))
        }
        _ => value.clone(),
    }
}

/// What the original has where nothing was set.
fn originals() -> Map<String, Value> {
    // Our own words are an object; a test reads them.
    serde_json::from_str(ORIGINALS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_ours_is_set_and_the_rest_is_kept() {
        let book = Book::default();
        let all = json!({
            "dl_limit": "204800", "up_limit": 0, "alt_dl_limit": 1024.0, "max_connec": "7",
            "pex": "false", "scan_dirs": { "/a": 1 }, "mine": [1], "web_ui_password": "x",
        });
        let set = set(given(all), &book);
        assert_eq!((set.patch.limit_down, set.patch.limit_up), (Some(204_800), Some(0)));
        assert_eq!((set.patch.alternative_down, set.patch.alternative_up), (Some(1024), None));
        let kept = json!({ "max_connec": 7, "pex": false, "scan_dirs": { "/a": 1 }, "mine": [1] });
        assert_eq!(Value::Object(set.kept.clone()), kept, "no password is kept");
        assert_eq!(set.idle, ["max_connec", "mine", "pex", "scan_dirs", "web_ui_password"]);
        let mut after = book;
        keep(set.kept, &mut after).unwrap();
        let again = super::set(given(json!({ "max_connec": 7 })), &after);
        assert_eq!(again.idle, [""; 0], "it is said once");
    }

    #[test]
    fn a_ratio_without_its_switch_says_nothing() {
        let mut book = Book::default();
        let set_all = |value: Value, book: &mut Book| {
            let kept = set(given(value), book).kept;
            keep(kept, book).unwrap();
        };
        set_all(json!({ "max_ratio": 2 }), &mut book);
        assert_eq!(limit_in_force(&book, "max_ratio"), None);
        set_all(json!({ "max_ratio": 2.5, "max_ratio_enabled": true }), &mut book);
        assert_eq!(limit_in_force(&book, "max_ratio"), Some(2.5));
        set_all(json!({ "max_ratio_enabled": false }), &mut book);
        assert_eq!(limit_in_force(&book, "max_ratio"), None);
    }

    #[test]
    fn what_was_never_set_is_as_the_original_has_it() {
        let all = originals();
        assert!(all.len() > 150, "{}", all.len());
        assert_eq!((&all["max_connec"], &all["proxy_type"]), (&json!(500), &json!("None")));
        assert!(!all.contains_key("web_ui_password"));
    }

    #[test]
    fn there_are_as_many_as_a_book_can_have() {
        let many: Map<String, Value> =
            (0..=KEPT_MAX).map(|nth| (format!("key{nth}"), json!(nth))).collect();
        assert!(keep(many, &mut Book::default()).is_err());
    }
}
