//! What torrents are told to be.

use super::*;

/// A list as a typed tool asks it, for every field that is known there.
const EVERYTHING: &str = "activityDate addedDate availability bandwidthPriority comment corruptEver \
creator dateCreated desiredAvailable doneDate downloadDir downloadLimit downloadLimited \
downloadedEver editDate error errorString eta etaIdle file-count fileStats files group hashString \
haveUnchecked haveValid honorsSessionLimits id isFinished isPrivate isStalled labels leftUntilDone \
magnetLink manualAnnounceTime maxConnectedPeers metadataPercentComplete name peer-limit peers \
peersConnected peersFrom peersGettingFromUs peersSendingToUs percentComplete percentDone pieceCount \
pieceSize pieces primary-mime-type priorities queuePosition rateDownload rateUpload recheckProgress \
secondsDownloading secondsSeeding seedIdleLimit seedIdleMode seedRatioLimit seedRatioMode \
sequential_download sizeWhenDone source startDate status torrentFile totalSize trackerList \
trackerStats trackers uploadLimit uploadLimited uploadRatio uploadedEver wanted webseeds \
webseedsSendingToUs";
/// Those of them that may have a fraction.
const NUMBERS: [&str; 7] = [
    "percentDone",
    "percentComplete",
    "metadataPercentComplete",
    "recheckProgress",
    "uploadRatio",
    "seedRatioLimit",
    "progress",
];

/// No whole number has a fraction, however deep.
fn whole(name: &str, value: &Value) {
    match value {
        Value::Number(number) => {
            assert!(!number.is_f64() || NUMBERS.contains(&name), "{name} is {number}");
        }
        Value::Array(all) => all.iter().for_each(|it| whole(name, it)),
        Value::Object(fields) => fields.iter().for_each(|(name, it)| whole(name, it)),
        _ => {}
    }
}

#[tokio::test]
async fn everything_is_of_the_type_that_tools_expect() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let names: Vec<&str> = EVERYTHING.split(' ').collect();
    let it = get(&served, json!([id]), &names).await.remove(0);
    assert_eq!(it.as_object().unwrap().len(), names.len(), "{it}");
    whole("", &it);
    for (name, is_it) in [
        ("files", it["files"].is_array()),
        ("labels", it["labels"] == json!([])),
        ("wanted", it["wanted"] == json!([1])),
        (
            "fileStats",
            it["fileStats"] == json!([{ "bytesCompleted": 0, "priority": 0, "wanted": true }]),
        ),
        ("trackerList", it["trackerList"] == ""),
        ("pieces", it["pieces"] == "AA=="),
        ("availability", it["availability"] == json!([0, 0])),
        ("totalSize", it["totalSize"] == 20_000),
        ("leftUntilDone", it["leftUntilDone"] == 20_000),
        ("percentDone", it["percentDone"] == 0),
        ("uploadRatio", it["uploadRatio"] == 0),
        ("status", it["status"] == 0),
        ("seedRatioMode", it["seedRatioMode"] == 0),
        ("isFinished", it["isFinished"] == false),
        ("eta", it["eta"] == -1),
        ("downloadDir", it["downloadDir"] == served.root.display().to_string()),
        ("magnetLink", it["magnetLink"].as_str().unwrap().starts_with("magnet:?xt=urn:btih:")),
    ] {
        assert!(is_it, "{name}: {}", it[name]);
    }
    let file = json!({ "begin_piece": 0, "bytesCompleted": 0, "end_piece": 2, "length": 20000, "name": "one" });
    assert_eq!(it["files"], json!([file]));
}

#[tokio::test]
async fn a_torrent_is_named_by_number_or_hash_and_no_names_mean_none() {
    let served = Served::start().await;
    let (one, two) = (served.add("one").await, served.add("two").await);
    let hash = first(&served, json!([two]), "hashString").await.as_str().unwrap().to_owned();
    let ids = async |ids: Value| -> Vec<u64> {
        let all = get(&served, ids, &["id"]).await;
        all.iter().map(|it| it["id"].as_u64().unwrap()).collect()
    };
    let (one, two) = (u64::from(one), u64::from(two));
    for (named, found) in [
        (json!(one), vec![one]),
        (json!([two, one, two]), vec![two, one, two]),
        (json!(hash), vec![two]),
        (json!([hash.to_ascii_uppercase()]), vec![two]),
        (json!([]), vec![]),
        (json!(null), vec![]),
        (json!(""), vec![]),
        (json!("2"), vec![]),
        (json!([99, -1, 1.5, "x"]), vec![]),
        (json!(["recently-active"]), vec![one, two]),
    ] {
        assert_eq!(ids(named.clone()).await, found, "{named}");
    }
    let all = told(call(&served, "torrent-get", json!({ "fields": ["id"] })).await);
    assert_eq!(all, json!({ "torrents": [{ "id": one }, { "id": two }] }), "no ids mean all");
    let table = json!({ "fields": ["name", "id", "nothing"], "format": "table" });
    let table = told(call(&served, "torrent-get", table).await);
    assert_eq!(table["torrents"], json!([["id", "name"], [one, "one"], [two, "two"]]));
    let none = json!({ "fields": ["name"], "format": "table", "ids": [] });
    assert_eq!(told(call(&served, "torrent-get", none).await)["torrents"], json!([["name"]]));
}

#[tokio::test]
async fn what_changed_lately_is_told_with_what_is_gone() {
    let served = Served::start().await;
    let (one, two) = (served.add("one").await, served.add("two").await);
    let lately = json!({ "ids": "recently-active", "fields": ["id"] });
    let now = told(call(&served, "torrent-get", lately.clone()).await);
    assert_eq!(now, json!({ "removed": [], "torrents": [{ "id": one }, { "id": two }] }));
    told(call(&served, "torrent-remove", json!({ "ids": [one] })).await);
    let now = told(call(&served, "torrent-get", lately).await);
    assert_eq!(now, json!({ "removed": [one], "torrents": [{ "id": two }] }));
}

#[tokio::test]
async fn a_link_is_a_torrent_of_which_nothing_is_known() {
    let served = Served::start().await;
    let hash = "ab".repeat(20);
    let link = format!("magnet:?xt=urn:btih:{hash}&dn=film");
    let added = told(call(&served, "torrent-add", json!({ "filename": link })).await);
    let number = added["torrent-added"]["id"].as_u64().unwrap();
    assert_eq!(added["torrent-added"]["hashString"], hash);
    let again = told(call(&served, "torrent-add", json!({ "filename": link })).await);
    assert_eq!(again["torrent-duplicate"]["id"], number);
    let names: Vec<&str> = EVERYTHING.split(' ').collect();
    for named in [json!([number]), json!([hash]), json!("recently-active")] {
        let it = get(&served, named, &names).await.remove(0);
        whole("", &it);
        let known = ["name", "totalSize", "files", "metadataPercentComplete", "status", "pieces"];
        let values: Vec<_> = known.iter().map(|name| it[*name].clone()).collect();
        assert_eq!(values, [json!("film"), json!(0), json!([]), json!(0), json!(4), json!("")]);
    }
    // What is ordered meanwhile harms nothing.
    for method in ["torrent-stop", "torrent-start", "torrent-set", "queue-move-top"] {
        told(call(&served, method, json!({ "ids": [number], "labels": ["x"] })).await);
    }
    told(call(&served, "torrent-remove", json!({ "ids": [number], "delete-local-data": 1 })).await);
    let lately = json!({ "ids": "recently-active", "fields": ["id"] });
    let now = told(call(&served, "torrent-get", lately).await);
    assert_eq!(now, json!({ "removed": [number], "torrents": [] }));
}

#[tokio::test]
async fn trackers_of_a_torrent_that_rests_are_told() {
    let served = Served::start().await;
    let bytes = String::from_utf8(torrent("one")).unwrap();
    let tiers = "d13:announce-listll18:http://a.example/x19:udp://b.example:6/1el25:\
                 http://c.example/announceee4";
    let bytes = bytes.replacen("d4", tiers, 1);
    let arguments = json!({ "metainfo": BASE64.encode(bytes.as_bytes()), "paused": true });
    told(call(&served, "torrent-add", arguments).await);
    let fields = ["trackers", "trackerStats", "trackerList"];
    let it = get(&served, json!([1]), &fields).await.remove(0);
    let urls = ["http://a.example/x", "udp://b.example:6/1", "http://c.example/announce"];
    for list in ["trackers", "trackerStats"] {
        let all = it[list].as_array().unwrap();
        let told: Vec<_> =
            all.iter().map(|it| (it["announce"].clone(), it["tier"].clone())).collect();
        let tiers = urls.iter().zip([0, 0, 1]).map(|(url, tier)| (json!(url), json!(tier)));
        assert_eq!(told, tiers.collect::<Vec<_>>(), "{list}");
    }
    let first = &it["trackerStats"][0];
    assert_eq!((&first["hasAnnounced"], &first["seederCount"]), (&json!(false), &json!(-1)));
    let blank = format!("{}\n{}\n\n{}\n", urls[0], urls[1], urls[2]);
    assert_eq!(it["trackerList"], blank);
}
