//! What changed, as pages ask for it again and again.

use super::super::transmission::first;
use super::*;

/// What is new since an answer.
async fn news(program: &Program<'_>, since: &Value) -> Value {
    let rid = since.get("rid").cloned().unwrap_or_default();
    program.json(&format!("sync/maindata?rid={rid}")).await
}

/// The changes of one torrent from `since` on, until one of `key` is told; all of them together.
async fn until(program: &Program<'_>, since: &Value, hash: &str, key: &str) -> (Value, Value) {
    let until = Instant::now() + PATIENCE;
    let (mut last, mut all) = (since.clone(), json!({}));
    loop {
        last = news(program, &last).await;
        assert_eq!(last.get("full_update"), None, "{last}");
        for (key, value) in last["torrents"][hash].as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        if all.get(key).is_some() {
            return (last, all);
        }
        assert!(Instant::now() < until, "never {key}: {all}");
    }
}

#[tokio::test]
async fn only_what_changed_is_told_to_each_reader() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let hash = program.add("one", &[]).await;
    program.until(&hash, "state", json!("stoppedDL")).await;
    let full = news(&program, &json!({})).await;
    assert_eq!(full["full_update"], json!(true));
    let it = full["torrents"][&hash].as_object().unwrap();
    assert_eq!((it.len(), it.get("hash")), (56, None), "its hash stands before it");
    for key in ["categories", "tags", "trackers", "server_state"] {
        assert!(full.get(key).is_some(), "{key}: {full}");
    }
    let state = &full["server_state"];
    assert_eq!((state.as_object().unwrap().len(), &state["queueing"]), (27, &json!(true)));
    assert!(state["global_ratio"].is_string() && state["read_cache_hits"].is_string());

    let limit = format!("hashes={hash}&limit=10000");
    program.does("torrents/setDownloadLimit", &limit).await;
    let (told, changed) = until(&program, &full, &hash, "dl_limit").await;
    assert_eq!(changed["dl_limit"], json!(10_000));
    assert_eq!((changed.get("name"), told.get("categories")), (None, None), "{told}");
    // Another page that began later, and the same answer asked for again, disturb nobody.
    let other = news(&program, &json!({})).await;
    assert_eq!(other["full_update"], json!(true));
    let again = news(&program, &full).await;
    assert_eq!(again["torrents"][&hash]["dl_limit"], json!(10_000));
    assert!(again["rid"].as_u64() > other["rid"].as_u64() && again.get("full_update").is_none());

    let quiet = news(&program, &again).await;
    assert_eq!(quiet.get("torrents"), None, "{quiet}");
    for unknown in ["", "?rid=0", "?rid=-1", "?rid=x", "?rid=99999999999", "?rid=1"] {
        let told = program.json(&format!("sync/maindata{unknown}")).await;
        assert_eq!(told["full_update"], json!(true), "{unknown}");
    }
}

#[tokio::test]
async fn what_is_gone_is_told_and_what_comes_back_is_whole() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let torrent = folder("one", &["a", "b"]);
    let told = program.send("torrents/add", &[("stopped", "true")], &[("f", &torrent)]).await;
    assert_eq!(told.text(), "Ok.");
    program.does("torrents/createCategory", "category=tv&savePath=").await;
    program.does("torrents/createTags", "tags=a,b").await;
    let full = news(&program, &json!({})).await;
    let (hash, _) = full["torrents"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(full["categories"], json!({ "tv": { "name": "tv", "savePath": "" } }));
    assert_eq!(full["tags"], json!(["a", "b"]));
    assert_eq!(full["trackers"], json!({ "http://127.0.0.1:1/a": [hash] }));

    let both = format!("hashes={hash}&category=tv");
    program.does("torrents/setCategory", &both).await;
    program.does("torrents/addTags", &format!("hashes={hash}&tags=a,c")).await;
    program.does("torrents/editCategory", "category=tv&savePath=/x").await;
    let (told, changed) = until(&program, &full, hash, "category").await;
    assert_eq!((&changed["category"], &changed["tags"]), (&json!("tv"), &json!("a, c")));
    assert_eq!(told["categories"]["tv"]["savePath"], json!("/x"), "it comes whole");
    assert_eq!(told["tags"], json!(["c"]), "only new ones");

    program.does("torrents/removeCategories", "categories=tv%0Anone").await;
    program.does("torrents/deleteTags", "tags=a,b").await;
    let (gone, changed) = until(&program, &told, hash, "category").await;
    assert_eq!((&changed["category"], &changed["tags"]), (&json!(""), &json!("c")));
    assert_eq!(gone["categories_removed"], json!(["tv"]));
    assert_eq!(gone["tags_removed"], json!(["a", "b"]));

    program.does("torrents/delete", &format!("hashes={hash}&deleteFiles=true")).await;
    let left = news(&program, &gone).await;
    assert_eq!(left["torrents_removed"], json!([hash]));
    assert_eq!(left["trackers_removed"], json!(["http://127.0.0.1:1/a"]));
    let again = program.send("torrents/add", &[("stopped", "true")], &[("f", &torrent)]).await;
    assert_eq!(again.text(), "Ok.");
    let back = news(&program, &gone).await;
    assert_eq!(back.get("torrents_removed"), None, "it is there: {back}");
    assert_eq!(back["torrents"][hash].as_object().unwrap().len(), 56);
}

/// BEP 52: the link of a hybrid may name its v2 hash alone, and its metadata tells the other one,
/// by which it is known from then on.
#[tokio::test]
async fn the_link_of_a_hybrid_leaves_no_ghost_when_its_metadata_comes() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let bytes = include_bytes!("../../../../tests/data/multi-hybrid.torrent");
    let v1 = "3c25d68745a620f9b71d8ed4722d69a149dc77df";
    let v2 = "addd7a35e3879de391f727f0d642bc092ef0b60e91b8b52921a35779ca2b39a7";
    let link = format!("magnet:?xt=urn:btmh:1220{v2}");
    program.send("torrents/add", &[("urls", &link), ("stopped", "true")], &[]).await;
    let full = news(&program, &json!({})).await;
    let (old, _) = full["torrents"].as_object().unwrap().iter().next().unwrap();
    assert!(v2.starts_with(old.as_str()), "{old}");
    program.send("torrents/add", &[("stopped", "true")], &[("f", bytes)]).await;
    let until = Instant::now() + PATIENCE;
    let (mut last, mut gone) = (full.clone(), Vec::new());
    loop {
        last = news(&program, &last).await;
        gone.extend(last["torrents_removed"].as_array().into_iter().flatten().cloned());
        let whole = news(&program, &json!({})).await;
        let names: Vec<&String> = whole["torrents"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 1, "{whole}");
        if names[0] == v1 && !gone.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{names:?} {gone:?}");
    }
    assert_eq!(json!(gone), json!([old]));
}

/// Sends a deed to a torrent by the API.
async fn deed(served: &Served, hash: &str, body: Value) {
    let told = served.say(&format!("POST /api/v1/torrents/{hash}/deeds"), &body).await;
    assert_eq!(told.status(), 200, "{told:?}");
}

/// Programs import what is there: whoever gives files other names, all are told where they are.
#[tokio::test]
async fn what_files_are_called_elsewhere_is_where_they_are() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let one = program.add("one", &[]).await;
    for (name, files) in [("show", &["only"][..]), ("two", &["a", "b"])] {
        let torrent = folder(name, files);
        let told = program.send("torrents/add", &[("stopped", "true")], &[("f", &torrent)]).await;
        assert_eq!(told.text(), "Ok.");
    }
    let all = program.json("torrents/info").await;
    let hash = |name: &str| {
        let it = all.as_array().unwrap().iter().find(|it| it["name"] == *name);
        it.unwrap()["hash"].as_str().unwrap().to_owned()
    };
    let (show, two) = (hash("show"), hash("two"));
    for hash in [&one, &show, &two] {
        program.until(hash, "state", json!("stoppedDL")).await;
    }
    let root = served.root.canonicalize().unwrap();
    let at = |below: &str| json!(root.join(below).to_str().unwrap());
    let full = news(&program, &json!({})).await;
    assert_eq!(full["torrents"][&show]["content_path"], at("show/only"));

    // A file alone, and one in a folder of its own.
    deed(&served, &one, json!({ "do": "rename", "file": 1, "name": "uno" })).await;
    let (told, changed) = until(&program, &full, &one, "content_path").await;
    assert_eq!((&changed["content_path"], &changed["name"]), (&at("uno"), &json!("uno")));
    deed(&served, &show, json!({ "do": "rename", "file": 1, "name": "sole" })).await;
    let (told, changed) = until(&program, &told, &show, "content_path").await;
    assert_eq!((&changed["content_path"], changed.get("root_path")), (&at("show/sole"), None));
    // The folder of several, whose file that is no first one is nobody's path.
    deed(&served, &two, json!({ "do": "rename", "file": 2, "name": "c" })).await;
    deed(&served, &two, json!({ "do": "rename", "name": "duo" })).await;
    let (told, changed) = until(&program, &told, &two, "root_path").await;
    assert_eq!((&changed["content_path"], &changed["root_path"]), (&at("duo"), &at("duo")));
    assert_eq!(changed["name"], json!("duo"));
    assert_eq!(told.get("trackers"), None, "they are as they were: {told}");
    // What people call it in lists is no name of a file.
    let called = json!({ "name": "My two" });
    let set = served.say(&format!("PATCH /api/v1/torrents/{two}"), &called).await;
    assert_eq!(set.status(), 200, "{set:?}");
    let (_, changed) = until(&program, &told, &two, "name").await;
    assert_eq!((&changed["name"], changed.get("content_path")), (&json!("My two"), None));

    let served = served.again().await;
    let program = served.qbittorrent().await;
    for (hash, path, name) in
        [(&one, "uno", "uno"), (&show, "show/sole", "show"), (&two, "duo", "duo")]
    {
        let it = program.until(hash, "content_path", at(path)).await;
        assert_eq!(it["save_path"], json!(root.to_str().unwrap()));
        let full = news(&program, &json!({})).await;
        assert_eq!(full["torrents"][hash]["content_path"], at(path));
        // The other dialect has one name alone, by which files are found.
        assert_eq!(first(&served, json!([hash]), "name").await, *name);
    }
    let files = first(&served, json!([two]), "files").await;
    let names: Vec<_> = files.as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["duo/a", "duo/c"]);
}
