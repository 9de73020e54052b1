//! Names in both dialects. Legacy ones are written in one of two ways, each as it happens to be;
//! JSON-RPC has all of them in one. A name that is asked with is compared without regard to that:
//! tools mix them.

use serde_json::{Map, Value};

/// A name as it is compared: its letters and digits, in lower case.
pub(super) fn plain(name: &str) -> String {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(|byte| byte.to_ascii_lowercase() as char).collect()
}

/// Are they one name?
pub(super) fn are_one(name: &str, other: &str) -> bool {
    plain(name) == plain(other)
}

/// A legacy name as JSON-RPC has it.
pub(super) fn snake(name: &str) -> String {
    match name {
        "isUTP" => return "is_utp".to_owned(),
        "cache-size-mb" => return "cache_size_mib".to_owned(),
        "file-count" | "fileCount" => return "file_count".to_owned(),
        _ => {}
    }
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        match letter {
            '-' => text.push('_'),
            _ if letter.is_ascii_uppercase() => {
                text.push('_');
                text.push(letter.to_ascii_lowercase());
            }
            _ => text.push(letter),
        }
    }
    text
}

/// A value with all its names, and theirs, as JSON-RPC has them.
pub(super) fn snaked(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (snake(&name), snaked(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(snaked).collect()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_ways_to_write_a_name_are_one() {
        for name in ["torrent-get", "torrent_get", "torrentGet", "TORRENT-get"] {
            assert_eq!(plain(name), "torrentget");
            assert!(are_one(name, "torrent-get"));
        }
        assert!(!are_one("torrent-gets", "torrent-get") && !are_one("", "torrent-get"));
    }

    #[test]
    fn legacy_names_are_known_in_json_rpc() {
        for (legacy, snaked) in [
            ("hashString", "hash_string"),
            ("peer-limit-per-torrent", "peer_limit_per_torrent"),
            ("primary-mime-type", "primary_mime_type"),
            ("seedRatioLimit", "seed_ratio_limit"),
            ("isUTP", "is_utp"),
            ("total_size", "total_size"),
            ("cache-size-mb", "cache_size_mib"),
        ] {
            assert_eq!(snake(legacy), snaked);
        }
        let value =
            json!({ "current-stats": { "secondsActive": 1 }, "peersFrom": [{ "fromDht": 1 }] });
        let told =
            json!({ "current_stats": { "seconds_active": 1 }, "peers_from": [{ "from_dht": 1 }] });
        assert_eq!(self::snaked(value), told);
    }
}
