//! Torrents that are added, and what is told of them.

use super::*;

/// The kind of a value, as programs with fixed types tell it apart.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "b",
        Value::Number(number) if number.is_f64() => "n",
        Value::Number(_) => "i",
        Value::String(_) => "s",
        Value::Array(_) => "a",
        Value::Object(_) => "o",
    }
}

#[tokio::test]
async fn a_torrent_is_told_with_all_keys_in_their_kinds() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let hash = program.add("one", &[("category", "tv"), ("tags", "b, a")]).await;
    let it = program.until(&hash, "state", json!("stoppedDL")).await;
    assert_eq!(it.as_object().unwrap().len(), 57, "{it}");
    let root = served.root.canonicalize().unwrap();
    let dir = root.to_str().unwrap();
    for (key, value) in [
        ("name", json!("one")),
        ("infohash_v1", json!(hash)),
        ("infohash_v2", json!("")),
        ("size", json!(20_000)),
        ("total_size", json!(20_000)),
        ("progress", json!(0)),
        ("amount_left", json!(20_000)),
        ("dl_limit", json!(0)),
        ("eta", json!(8_640_000)),
        ("ratio_limit", json!(-2)),
        ("seeding_time_limit", json!(-2)),
        ("max_ratio", json!(-1)),
        ("category", json!("tv")),
        ("tags", json!("a, b")),
        ("save_path", json!(dir)),
        ("content_path", json!(format!("{dir}/one"))),
        ("root_path", json!("")),
        ("completion_on", json!(-1)),
        ("priority", json!(1)),
        ("private", json!(false)),
        ("has_metadata", json!(true)),
        ("auto_tmm", json!(false)),
    ] {
        assert_eq!(it[key], value, "{key}");
    }
    for (key, value) in it.as_object().unwrap() {
        let is_text = matches!(
            key.as_str(),
            "hash"
                | "infohash_v1"
                | "infohash_v2"
                | "name"
                | "magnet_uri"
                | "state"
                | "category"
                | "tags"
                | "save_path"
                | "download_path"
                | "content_path"
                | "root_path"
                | "tracker"
                | "comment"
        );
        let is_flag = matches!(
            key.as_str(),
            "auto_tmm"
                | "f_l_piece_prio"
                | "force_start"
                | "seq_dl"
                | "super_seeding"
                | "has_metadata"
                | "private"
        );
        let wanted = if is_text {
            "s"
        } else if is_flag {
            "b"
        } else {
            "i"
        };
        assert_eq!(kind(value), wanted, "{key}: a whole number has no point");
    }
}

#[tokio::test]
async fn what_is_added_is_there_and_what_was_there_fails() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let (one, two) = (torrent("one"), torrent("two"));
    // Several of one name are all added.
    let both = [("f", &one[..]), ("f", &two)];
    let told = program.send("torrents/add", &[("stopped", "True")], &both).await;
    assert_eq!(told.text(), "Ok.");
    let all = program.json("torrents/info").await;
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    let names = [&all[0]["name"], &all[1]["name"]];
    assert_eq!(names, [&json!("one"), &json!("two")], "in the order of the queue");
    for (fields, files, status, text) in [
        (&[][..], &[("f", &one[..])][..], 200, "Fails."),
        (&[("urls", "nonsense")], &[], 200, "Fails."),
        (&[("urls", "file:///etc/passwd\nhttp://169.254.169.254/x")], &[], 200, "Fails."),
        (&[("savepath", "/etc")], &[("f", &torrent("three")[..])], 400, ""),
        (&[], &[], 400, "Bad Request"),
        (&[], &[("bad", b"d3:fooe")], 415, "Error: 'bad' is not a valid torrent file."),
    ] {
        let told = program.send("torrents/add", fields, files).await;
        assert_eq!(told.status(), status, "{fields:?} {told:?}");
        assert!(told.has("content-type: text/plain; charset=utf-8"), "{told:?}");
        assert!(text.is_empty() || told.text() == text, "{told:?}");
    }
    // With one that is none, the others are in.
    let mixed = [("bad", &b"x"[..]), ("good", &torrent("three")[..])];
    assert_eq!(program.send("torrents/add", &[("paused", "true")], &mixed).await.status(), 415);
    assert_eq!(program.get("torrents/count").await.text(), "3");
    let told = program.post("torrents/add", &format!("urls={}", "ab".repeat(20))).await;
    assert_eq!(told.text(), "Ok.", "a bare hash is a link");
    let it = program.one(&"ab".repeat(20)).await;
    assert_eq!((&it["state"], &it["size"]), (&json!("metaDL"), &json!(0)));
    assert_eq!((&it["total_size"], &it["private"]), (&json!(-1), &Value::Null));
    assert_eq!(it["content_path"], json!(""));
    program.does("torrents/delete", &format!("hashes={}", "AB".repeat(20))).await;
    assert_eq!(program.get("torrents/count").await.text(), "3");
}

#[tokio::test]
async fn a_link_has_its_category_before_its_metadata() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let link = format!("magnet:?xt=urn:btih:{}&dn=film", "cd".repeat(20));
    let told = program.send("torrents/add", &[("urls", &link), ("category", "tv")], &[]).await;
    assert_eq!(told.text(), "Ok.");
    let list = program.json("torrents/info?category=tv").await;
    assert_eq!((&list[0]["name"], &list[0]["state"]), (&json!("film"), &json!("metaDL")));
    assert!(list[0]["added_on"].as_i64().unwrap() > 1_600_000_000, "{list}");
    let hash = "cd".repeat(20);
    assert_eq!(program.json(&format!("torrents/files?hash={hash}")).await, json!([]));
    let properties = program.json(&format!("torrents/properties?hash={hash}")).await;
    assert_eq!((&properties["pieces_num"], &properties["total_size"]), (&json!(-1), &json!(-1)));
    assert_eq!(program.get(&format!("torrents/export?hash={hash}")).await.status(), 409);
    let prio = format!("hash={hash}&id=0&priority=0");
    assert_eq!(program.post("torrents/filePrio", &prio).await.status(), 409);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let a = program.add("a", &[("category", "tv"), ("tags", "x,y")]).await;
    let b = program.add("b", &[("category", "films")]).await;
    let c = program.add("c", &[("tags", "x")]).await;
    for hash in [&a, &b, &c] {
        program.until(hash, "state", json!("stoppedDL")).await;
    }
    let names = async |query: &str| {
        let list = program.json(&format!("torrents/info?{query}")).await;
        let names = list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
        names.map(str::to_owned).collect::<String>()
    };
    let upper = a.to_ascii_uppercase();
    for (query, wanted) in [
        ("", "abc"),
        ("category=tv", "a"),
        ("category=", "c"),
        ("category=none", ""),
        ("tag=x", "ac"),
        ("tag=", "b"),
        ("filter=stopped", "abc"),
        ("filter=paused", "abc"),
        ("filter=downloading", "abc"),
        ("filter=running", ""),
        ("filter=completed", ""),
        ("filter=nobody-knows", "abc"),
        ("hashes=all", "abc"),
        ("hashes=ALL", ""),
        ("private=false", "abc"),
        ("private=true", ""),
        ("sort=name&reverse=true", "cba"),
        ("sort=priority&limit=2", "ab"),
        ("sort=name&offset=-1", "c"),
        ("offset=3", ""),
        ("offset=1&limit=1", "b"),
        (&format!("hashes={upper}|{c}|{}", "0".repeat(40)), "ac"),
    ] {
        assert_eq!(names(query).await, wanted, "{query}");
    }
    assert_eq!(program.get("torrents/info?sort=nothing").await.status(), 400);
    assert_eq!(program.post("torrents/info", "category=tv").await.json()[0]["name"], json!("a"));
}

#[tokio::test]
async fn a_torrent_is_told_closely() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let files = [("f", &folder("show", &["e1", "e2"])[..]), ("g", &folder("lone", &["only"])[..])];
    let told = program.send("torrents/add", &[("stopped", "true")], &files).await;
    assert_eq!(told.text(), "Ok.");
    let list = program.json("torrents/info?sort=name&includeTrackers=true").await;
    let (lone, show) = (&list[0], &list[1]);
    let root = served.root.canonicalize().unwrap();
    let at = |path: &str| json!(root.join(path).to_str().unwrap());
    assert_eq!((&show["content_path"], &show["root_path"]), (&at("show"), &at("show")));
    // A folder with one file is that file.
    assert_eq!((&lone["content_path"], &lone["root_path"]), (&at("lone/only"), &at("lone")));
    assert_eq!(
        (&show["tracker"], &show["trackers_count"]),
        (&json!("http://127.0.0.1:1/a"), &json!(1))
    );
    assert_eq!(
        (show["trackers"].as_array().unwrap().len(), &show["comment"]),
        (4, &json!("words"))
    );
    let hash = show["hash"].as_str().unwrap();
    program.until(hash, "state", json!("stoppedDL")).await;

    let files = program.json(&format!("torrents/files?hash={hash}")).await;
    assert_eq!((&files[0]["name"], &files[1]["name"]), (&json!("show/e1"), &json!("show/e2")));
    assert_eq!(
        (&files[0]["piece_range"], &files[1]["piece_range"]),
        (&json!([0, 1]), &json!([1, 2]))
    );
    assert_eq!((&files[0]["is_seed"], files[1].get("is_seed")), (&json!(false), None));
    let second = program.json(&format!("torrents/files?hash={hash}&indexes=1")).await;
    assert_eq!((second.as_array().unwrap().len(), &second[0]["index"]), (1, &json!(1)));
    for wrong in ["2", "x", "0|9"] {
        let path = format!("torrents/files?hash={hash}&indexes={wrong}");
        assert_eq!(program.get(&path).await.status(), 409, "{wrong}");
    }
    let trackers = program.json(&format!("torrents/trackers?hash={hash}")).await;
    assert_eq!((&trackers[0]["url"], &trackers[0]["tier"]), (&json!("** [DHT] **"), &json!(-1)));
    assert_eq!(
        (&trackers[3]["url"], &trackers[3]["tier"]),
        (&json!("http://127.0.0.1:1/a"), &json!(0))
    );
    let properties = program.json(&format!("torrents/properties?hash={hash}")).await;
    assert_eq!(properties.as_object().unwrap().len(), 43, "{properties}");
    assert_eq!((&properties["piece_size"], &properties["pieces_num"]), (&json!(16384), &json!(3)));
    assert_eq!((&properties["dl_limit"], &properties["up_limit"]), (&json!(-1), &json!(-1)));
    let states = program.json(&format!("torrents/pieceStates?hash={hash}")).await;
    assert_eq!(states, json!([0, 0, 0]));
    let hashes = program.json(&format!("torrents/pieceHashes?hash={hash}")).await;
    assert_eq!(hashes[2], json!("79".repeat(20)));
    assert_eq!(program.json(&format!("torrents/webseeds?hash={hash}")).await, json!([]));
    let file = program.get(&format!("torrents/export?hash={hash}")).await;
    assert!(file.has("content-type: application/x-bittorrent"), "{file:?}");
    assert!(file.head.contains("content-disposition: attachment"), "{file:?}");
    assert!(file.body.starts_with(b"d8:announce20:http://127.0.0.1:1/a"));
    for path in
        ["files", "properties", "trackers", "pieceStates", "pieceHashes", "webseeds", "export"]
    {
        let none = format!("torrents/{path}?hash={}", "0".repeat(40));
        assert_eq!(program.get(&none).await.status(), 404, "{path}");
        assert_eq!(program.get(&format!("torrents/{path}")).await.status(), 400, "{path}");
    }
    let peers = program.json(&format!("sync/torrentPeers?hash={hash}")).await;
    assert_eq!((&peers["full_update"], &peers["peers"]), (&json!(true), &json!({})));
    let next = format!("sync/torrentPeers?hash={hash}&rid={}", peers["rid"]);
    assert_eq!(program.json(&next).await.as_object().unwrap().len(), 1, "nothing is new");
}
