//! Other trackers for a torrent, as `torrent-set` says which. Each goes by its number in the list
//! of all as `trackers` tells it, before anything is changed.

use crate::api::{Api, Key};

use super::errors::Fault;
use super::given::Given;

/// How the real server refuses trackers.
pub(super) const WRONG: &str = "error setting announce list";

/// All trackers of a torrent by tier, as they are to be; none where nothing is said of them.
///
/// # Errors
/// Numbers or URLs make no sense, or its trackers are not known.
pub(super) async fn named(
    api: &Api,
    key: &Key,
    given: &Given,
) -> Result<Option<Vec<Vec<String>>>, Fault> {
    let words = ["trackerAdd", "trackerRemove", "trackerReplace", "trackerList"];
    if !words.iter().any(|word| given.has(word)) {
        return Ok(None);
    }
    if let Some(list) = given.text("trackerList") {
        return Ok(Some(tiers_of(list)));
    }
    match api.tiers(key).await {
        Ok(tiers) => changed(tiers, given).map(Some),
        // It has left meanwhile.
        Err(refusal) if refusal.code == crate::api::Kind::NotFound => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Tiers of a text: a line each, and an empty one between two tiers.
fn tiers_of(list: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = list.lines().map(str::trim).collect();
    let tiers = lines.split(|line| line.is_empty()).filter(|tier| !tier.is_empty());
    tiers.map(|tier| tier.iter().map(|url| (*url).to_owned()).collect()).collect()
}

fn changed(tiers: Vec<Vec<String>>, given: &Given) -> Result<Vec<Vec<String>>, Fault> {
    let wrong = || Fault::trackers(WRONG);
    let known: Vec<String> = tiers.iter().flatten().cloned().collect();
    let at = |number: i64| usize::try_from(number).ok().filter(|at| *at < known.len());
    let mut urls: Vec<Option<String>> = known.iter().cloned().map(Some).collect();
    for number in given.numbers("trackerRemove").unwrap_or_default() {
        urls[at(number).ok_or_else(wrong)?] = None;
    }
    let pairs = given.value("trackerReplace").and_then(|value| value.as_array());
    let pairs = pairs.map(Vec::as_slice).unwrap_or_default().as_chunks::<2>();
    if !pairs.1.is_empty() {
        return Err(wrong());
    }
    for [number, url] in pairs.0 {
        let (number, url) = number.as_i64().zip(url.as_str()).ok_or_else(wrong)?;
        urls[at(number).ok_or_else(wrong)?] = Some(url.to_owned());
    }
    let mut urls = urls.into_iter();
    let left = |tier: &Vec<String>| urls.by_ref().take(tier.len()).flatten().collect();
    let mut tiers: Vec<Vec<String>> = tiers.iter().map(left).collect();
    for url in given.texts("trackerAdd").unwrap_or_default() {
        if tiers.iter().flatten().any(|known| known == url) {
            return Err(wrong());
        }
        tiers.push(vec![url.to_owned()]);
    }
    Ok(tiers)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn trackers_go_by_their_numbers_before_the_change() {
        let tiers: Vec<Vec<String>> = serde_json::from_value(json!([["a", "b"], ["c"]])).unwrap();
        let told = |given: Value| changed(tiers.clone(), &Given::new(Some(given)));
        let given = json!({
            "trackerRemove": [0], "tracker_replace": [1, "x", 2, "y"], "trackerAdd": ["a", "z"],
        });
        assert_eq!(json!(told(given).unwrap()), json!([["x"], ["y"], ["a"], ["z"]]));
        for wrong in [
            json!({ "trackerRemove": [3] }),
            json!({ "trackerRemove": ["x"] }),
            json!({ "trackerReplace": [0] }),
            json!({ "trackerReplace": [[0, "x"]] }),
            json!({ "trackerReplace": [9, "x"] }),
            json!({ "trackerAdd": ["b"] }),
        ] {
            assert!(told(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(tiers_of("a\nb\n\n\n c \n"), tiers_of("a\nb\n\nc"));
        assert_eq!(json!(tiers_of("a\nb\n\n\n c \n")), json!([["a", "b"], ["c"]]));
    }
}
