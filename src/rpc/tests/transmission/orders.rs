//! What is done to torrents and to all of them.

use super::*;

#[tokio::test]
async fn torrents_come_in_by_their_bytes_and_stay_as_they_were() {
    let served = Served::start().await;
    let bytes = BASE64.encode(&torrent("one"));
    let (before, after) = bytes.split_at(76);
    let sub = served.root.join("tv");
    let arguments = json!({
        "metainfo": format!("{before}\n{after}\n"), "paused": 1, "labels": [" tv ", "tv", "x"],
        "download-dir": sub, "peer-limit": 30, "bandwidthPriority": 1, "cookies": "a=b",
    });
    let added = told(call(&served, "torrent-add", arguments).await)["torrent-added"].clone();
    assert_eq!((&added["id"], &added["name"]), (&json!(1), &json!("one")));
    let fields = ["labels", "downloadDir", "status", "peer-limit", "hashString"];
    let it = get(&served, json!([1]), &fields).await.remove(0);
    let told_it = json!({
        "downloadDir": sub, "hashString": added["hashString"], "labels": ["tv", "x"],
        "peer-limit": 30, "status": 0,
    });
    assert_eq!(it, told_it);
    let again = json!({ "metainfo": &bytes, "labels": ["y"], "paused": false });
    let again = told(call(&served, "torrent-add", again).await);
    assert_eq!(again, json!({ "torrent-duplicate": added }), "that is a success");
    assert_eq!(first(&served, json!([1]), "labels").await, json!(["tv", "x"]));

    for (arguments, why) in [
        (json!({ "metainfo": "no base64!" }), "the torrent is not base64"),
        (json!({ "metainfo": BASE64.encode(b"d4:infodee") }), "invalid torrent"),
        (json!({ "filename": "/etc/passwd" }), "unrecognized info"),
        (json!({ "filename": "file:///etc/passwd" }), "unrecognized info"),
        (json!({ "filename": "magnet:?dn=x" }), ""),
        (json!({ "filename": "" }), "no filename or metainfo specified"),
        (
            json!({ "metainfo": bytes, "download-dir": "x" }),
            "download directory path is not absolute",
        ),
        (json!({ "metainfo": bytes, "download-dir": "/etc" }), "outside of what may be written to"),
        (json!({ "metainfo": bytes, "labels": ["a,b"] }), "comma"),
        (json!({ "metainfo": bytes, "labels": [" "] }), "empty"),
    ] {
        let answer = call(&served, "torrent-add", arguments.clone()).await;
        let result = answer["result"].as_str().unwrap();
        let is_it = result != "success" && (result.contains(why) || why == "invalid torrent");
        assert!(is_it, "{arguments}: {answer}");
        assert_eq!(answer["arguments"], json!({}));
    }
}

#[tokio::test]
async fn a_url_leads_only_where_it_may() {
    let served = Served::start_that(false).await;
    for url in ["http://127.0.0.1/x.torrent", "http://169.254.169.254/latest"] {
        let answer = call(&served, "torrent-add", json!({ "filename": url })).await;
        assert!(answer["result"].as_str().unwrap().contains("not allowed"), "{answer}");
    }
}

#[tokio::test]
async fn files_that_are_named_at_first_are_chosen_before_it_begins() {
    let served = Served::start().await;
    let info = "d5:filesld6:lengthi9000e4:pathl1:aeed6:lengthi9000e4:pathl1:beee4:name3:two\
                12:piece lengthi16384e6:pieces40:";
    let bytes = format!("d4:info{info}{}ee", "x".repeat(40));
    let arguments = json!({
        "metainfo": BASE64.encode(bytes.as_bytes()), "files-unwanted": [0], "priority-high": [1],
    });
    let added = told(call(&served, "torrent-add", arguments).await)["torrent-added"].clone();
    let id = added["id"].as_u64().unwrap() as u32;
    let chosen =
        get(&served, json!([id]), &["wanted", "priorities", "sizeWhenDone"]).await.remove(0);
    assert_eq!((&chosen["wanted"], &chosen["priorities"]), (&json!([0, 1]), &json!([0, 1])));
    until(&served, id, "status", json!(4)).await;
    until(&served, id, "sizeWhenDone", json!(9000)).await;
    // A list without numbers means all of them.
    let all = json!({ "ids": [id], "files-wanted": [], "priority-low": [] });
    told(call(&served, "torrent-set", all).await);
    let chosen = get(&served, json!([id]), &["wanted", "priorities"]).await.remove(0);
    assert_eq!((&chosen["wanted"], &chosen["priorities"]), (&json!([1, 1]), &json!([-1, -1])));
    let wrong = call(&served, "torrent-set", json!({ "ids": [id], "files-wanted": [2] })).await;
    assert_eq!(wrong["result"], "file index out of range");
    // What was never wanted at all is no download that is done.
    told(call(&served, "torrent-set", json!({ "ids": [id], "files-unwanted": [] })).await);
    until(&served, id, "sizeWhenDone", json!(0)).await;
    until(&served, id, "status", json!(0)).await;
    assert_eq!(first(&served, json!([id]), "percentDone").await, 0);
}

#[tokio::test]
async fn what_is_set_is_told() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let set = async |arguments: Value| {
        let mut arguments = arguments;
        arguments["ids"] = json!([id]);
        call(&served, "torrent-set", arguments).await["result"].clone()
    };
    let fields = [
        "downloadLimit",
        "downloadLimited",
        "uploadLimit",
        "uploadLimited",
        "seedRatioLimit",
        "seedRatioMode",
        "labels",
        "sequential_download",
        "maxConnectedPeers",
    ];
    let arguments = json!({
        "downloadLimit": "77", "downloadLimited": 1, "upload_limit": 50, "uploadLimited": "true",
        "seedRatioLimit": "1.5", "seedRatioMode": 1, "labels": ["b", "a"],
        "sequential_download": true, "peer-limit": 7, "honorsSessionLimits": false, "location": "/x",
        "seedIdleLimit": 9, "seedIdleMode": 1, "group": "g", "bandwidthPriority": -1,
    });
    assert_eq!(set(arguments).await, "success");
    let it = get(&served, json!([id]), &fields).await.remove(0);
    let expected = json!({
        "downloadLimit": 77, "downloadLimited": true, "labels": ["b", "a"], "maxConnectedPeers": 7,
        "seedRatioLimit": 1.5, "seedRatioMode": 1, "sequential_download": true, "uploadLimit": 50,
        "uploadLimited": true,
    });
    assert_eq!(it, expected);
    // A goal alone is heard of, too.
    assert_eq!(set(json!({ "seedRatioLimit": 2.5 })).await, "success");
    assert_eq!(first(&served, json!([id]), "seedRatioLimit").await, 2.5);
    let limits = served.get(&format!("/api/v1/torrents/{id}")).await.json()["limits"].clone();
    assert_eq!(limits, json!({ "down": 77_000, "up": 50_000 }), "a kB is 1000 bytes");
    let off = json!({ "downloadLimited": false, "seedRatioMode": 2, "labels": [] });
    assert_eq!(set(off).await, "success");
    let it = get(&served, json!([id]), &fields).await.remove(0);
    let told = (&it["downloadLimited"], &it["seedRatioMode"], &it["labels"]);
    assert_eq!(told, (&json!(false), &json!(0), &json!([])));
    for wrong in [json!({ "labels": ["a,b"] }), json!({ "trackerAdd": ["a"] })] {
        assert_ne!(set(wrong).await, "success");
    }
}

#[tokio::test]
async fn torrents_start_stop_and_stand_in_a_queue() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        ids.push(served.add(name).await);
    }
    let order = async || {
        let all =
            told(call(&served, "torrent-get", json!({ "fields": ["id", "queuePosition"] })).await);
        let all = all["torrents"].as_array().unwrap().clone();
        for (nth, it) in all.iter().enumerate() {
            assert_eq!(it["queuePosition"], nth, "without gaps");
        }
        all.iter().map(|it| it["id"].as_u64().unwrap() as u32).collect::<Vec<_>>()
    };
    let [a, b, c, d] = ids[..] else { panic!() };
    for (method, moved, expected) in [
        ("queue-move-top", vec![c, d], [c, d, a, b]),
        ("queue-move-down", vec![c, d], [a, c, d, b]),
        ("queue-move-up", vec![d, b], [a, d, b, c]),
        ("queue-move-bottom", vec![d, a], [b, c, a, d]),
    ] {
        told(call(&served, method, json!({ "ids": moved })).await);
        assert_eq!(order().await, expected, "{method}");
    }
    told(call(&served, "torrent-set", json!({ "ids": [d], "queuePosition": 1 })).await);
    assert_eq!(order().await, [b, d, c, a]);

    told(call(&served, "session-set", json!({ "download-queue-size": 1 })).await);
    told(call(&served, "torrent-start", json!({ "ids": [b, d] })).await);
    until(&served, b, "status", json!(4)).await;
    until(&served, d, "status", json!(3)).await;
    let stats = told(call(&served, "session-stats", json!({})).await);
    assert_eq!(
        (&stats["activeTorrentCount"], &stats["pausedTorrentCount"]),
        (&json!(1), &json!(3))
    );
    told(call(&served, "torrent-start-now", json!({ "ids": [d] })).await);
    until(&served, d, "status", json!(4)).await;
    told(call(&served, "torrent-stop", json!({})).await);
    for id in ids {
        until(&served, id, "status", json!(0)).await;
    }
    for method in ["torrent-verify", "torrent-reannounce"] {
        told(call(&served, method, json!({ "ids": [b, 99] })).await);
    }
}

#[tokio::test]
async fn torrents_move_get_other_names_and_leave() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let to = served.root.join("elsewhere");
    let moved = json!({ "ids": [id], "location": to, "move": true });
    told(call(&served, "torrent-set-location", moved).await);
    until(&served, id, "downloadDir", json!(to)).await;
    for (arguments, why) in [
        (json!({ "ids": [id] }), "no location"),
        (json!({ "ids": [id], "location": "x" }), "new location path is not absolute"),
    ] {
        assert_eq!(call(&served, "torrent-set-location", arguments).await["result"], why);
    }
    let outside = json!({ "ids": [id], "location": "/etc" });
    let outside = call(&served, "torrent-set-location", outside).await["result"].clone();
    assert!(outside.as_str().unwrap().contains("outside of what may be written to"), "{outside}");

    let rename = |path: &str, name: &str| json!({ "ids": [id], "path": path, "name": name });
    let renamed = call(&served, "torrent-rename-path", rename("one", "uno")).await;
    assert_eq!(told(renamed), json!({ "id": id, "name": "uno", "path": "one" }));
    until(&served, id, "name", json!("uno")).await;
    for (arguments, why) in [
        (rename("uno", "a/b"), "Invalid argument"),
        (rename("", "x"), "Invalid argument"),
        (rename("uno", ".."), "Invalid argument"),
        (rename("other", "x"), "Invalid argument: only the torrent and its files get other names"),
        (
            json!({ "path": "uno", "name": "x" , "ids": [] }),
            "torrent-rename-path requires 1 torrent",
        ),
    ] {
        let answer = call(&served, "torrent-rename-path", arguments).await;
        assert_eq!(answer["result"], why);
        let is_one = why != "torrent-rename-path requires 1 torrent";
        assert_eq!(answer["arguments"]["path"].is_string(), is_one, "{answer}");
    }
    told(call(&served, "torrent-remove", json!({ "ids": [id, 77], "delete-local-data": 1 })).await);
    assert!(get(&served, json!([id]), &["id"]).await.is_empty());
}

#[tokio::test]
async fn preferences_are_told_and_those_that_are_ours_are_set() {
    let served = Served::start().await;
    let session = async || told(call(&served, "session-get", json!({})).await);
    let before = session().await;
    for (name, value) in [
        ("rpc-version", json!(17)),
        ("rpc-version-minimum", json!(14)),
        ("speed-limit-down", json!(100)),
        ("speed-limit-down-enabled", json!(false)),
        ("download-queue-size", json!(5)),
        ("download-dir", json!(served.root)),
        ("session-id", json!(passport(&served).await)),
        ("version", json!("4.0.6 (pigeon 1.2.3)")),
    ] {
        assert_eq!(before[name], value, "{name}");
    }
    assert!(before["config-dir"].as_str().unwrap().starts_with('/'));
    assert!(before["units"]["speed-units"].as_array().is_some_and(|it| it.len() == 4));
    let set = json!({
        "speed-limit-down": 700, "speed-limit-down-enabled": true, "alt-speed-up": 9,
        "alt-speed-enabled": 1, "download-queue-size": 3, "start-added-torrents": false,
        "dht-enabled": false, "unknown": 1,
    });
    told(call(&served, "session-set", set).await);
    let now = session().await;
    for (name, value) in [
        ("speed-limit-down", json!(700)),
        ("speed-limit-down-enabled", json!(true)),
        ("speed-limit-up-enabled", json!(false)),
        ("alt-speed-up", json!(9)),
        ("alt-speed-enabled", json!(true)),
        ("download-queue-size", json!(3)),
        ("start-added-torrents", json!(false)),
    ] {
        assert_eq!(now[name], value, "{name}");
    }
    let bytes = BASE64.encode(&torrent("one"));
    told(call(&served, "torrent-add", json!({ "metainfo": bytes })).await);
    until(&served, 1, "status", json!(0)).await;
    for (off, enabled) in [(true, false), (false, true)] {
        let set = json!({ "download-queue-enabled": !off });
        told(call(&served, "session-set", set).await);
        assert_eq!(session().await["download-queue-enabled"], enabled);
    }
    for wrong in [json!({ "download-dir": "x" }), json!({ "encryption": "none" })] {
        assert_ne!(call(&served, "session-set", wrong).await["result"], "success");
    }
    let some = json!({ "fields": ["version", "rpc_version", "nothing"] });
    let some = told(call(&served, "session-get", some).await);
    assert_eq!(some, json!({ "rpc-version": 17, "version": "4.0.6 (pigeon 1.2.3)" }));
}

#[tokio::test]
async fn what_is_asked_of_the_whole_is_answered() {
    let served = Served::start().await;
    let free = told(call(&served, "free-space", json!({ "path": served.root })).await);
    assert!(free["size-bytes"].as_i64().unwrap() > 0 && free["total_size"].as_i64().unwrap() > 0);
    let relative = call(&served, "free-space", json!({ "path": "x" })).await;
    assert_eq!(relative["result"], "directory path is not absolute");
    let nothing = json!({ "path": served.root.join("nowhere") });
    let nothing = call(&served, "free-space", nothing).await;
    assert_eq!(nothing["result"], "No such file or directory");
    assert_eq!(nothing["arguments"]["size-bytes"], -1);
    let outside = call(&served, "free-space", json!({ "path": "/etc" })).await;
    assert!(outside["result"].as_str().unwrap().contains("outside"), "{outside}");
    assert_eq!(told(call(&served, "group-get", json!({})).await), json!({ "group": [] }));
    assert_eq!(call(&served, "group-set", json!({})).await["result"], "No group name given");
    for method in ["port-test", "blocklist-update"] {
        assert_ne!(call(&served, method, json!({})).await["result"], "success", "{method}");
    }
    let stats = told(call(&served, "session-stats", json!({})).await);
    for name in ["cumulative-stats", "current-stats"] {
        assert_eq!(stats[name].as_object().unwrap().len(), 5, "{stats}");
    }
}

#[tokio::test]
async fn a_session_that_is_closed_ends() {
    let served = Served::start().await;
    told(call(&served, "session-close", json!({})).await);
    timeout(PATIENCE, served.task).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn trackers_are_changed() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let set = async |given: Value| {
        let mut given = given;
        given["ids"] = json!([id]);
        call(&served, "torrent-set", given).await["result"].as_str().unwrap().to_owned()
    };
    let urls = async || {
        let all = first(&served, json!([id]), "trackers").await;
        let all = all.as_array().unwrap().iter();
        all.map(|it| json!([it["tier"], it["announce"]])).collect::<Vec<_>>()
    };
    let list = "http://a/\nhttp://b/\n\nudp://c:1\n";
    assert_eq!(set(json!({ "trackerList": list })).await, "success");
    assert_eq!(first(&served, json!([id]), "trackerList").await, list);
    let given = json!({ "trackerRemove": [0], "trackerReplace": [2, "http://d/"],
        "trackerAdd": ["http://e/"] });
    assert_eq!(set(given).await, "success");
    let now = json!([[0, "http://b/"], [1, "http://d/"], [2, "http://e/"]]);
    assert_eq!(json!(urls().await), now);
    for wrong in [
        json!({ "trackerAdd": ["http://b/"] }),
        json!({ "trackerAdd": ["nonsense"] }),
        json!({ "trackerRemove": [7] }),
        json!({ "trackerList": "http://b/\nnonsense" }),
    ] {
        let said = set(wrong.clone()).await;
        assert!(said.starts_with("error setting announce list"), "{wrong}: {said}");
    }
    assert_eq!(json!(urls().await), now);
}

#[tokio::test]
async fn one_that_is_refused_keeps_nobody_else_from_what_is_ordered() {
    let served = Served::start().await;
    let path = served.root.join("elsewhere");
    let body = json!({ "torrent": BASE64.encode(&torrent("kept")), "paused": true, "dir": path });
    assert_eq!(served.say("POST /api/v1/torrents", &body).await.status(), 201);
    let gone = served.add("gone").await;
    let _ = std::fs::remove_dir_all(&path);
    std::os::unix::fs::symlink("/etc", &path).unwrap();
    let arguments = json!({ "ids": [1, gone], "delete-local-data": true });
    let told = call(&served, "torrent-remove", arguments).await;
    assert_ne!(told["result"], "success", "{told}");
    let left = get(&served, json!([1, gone]), &["name"]).await;
    assert_eq!(json!(left), json!([{ "name": "kept" }]));
}

#[tokio::test]
async fn what_one_cannot_have_the_others_get() {
    let served = Served::start().await;
    let one = served.add("one").await;
    let info = "d5:filesld6:lengthi9000e4:pathl1:aeed6:lengthi9000e4:pathl1:beee4:name3:two\
                12:piece lengthi16384e6:pieces40:";
    let bytes = format!("d4:info{info}{}ee", "x".repeat(40));
    let arguments = json!({ "metainfo": BASE64.encode(bytes.as_bytes()), "paused": true });
    let two = told(call(&served, "torrent-add", arguments).await)["torrent-added"]["id"].clone();
    // What is wrong is told in the words of the real server, and the rest is done.
    let given = json!({
        "ids": [one, two], "files-unwanted": [1, 7], "downloadLimit": 77, "downloadLimited": true,
    });
    let answer = call(&served, "torrent-set", given).await;
    assert_eq!(answer["result"], "file index out of range");
    let stand = get(&served, json!([one, two]), &["wanted", "downloadLimit"]).await;
    assert_eq!(stand[0], json!({ "wanted": [1], "downloadLimit": 77 }));
    assert_eq!(stand[1], json!({ "wanted": [1, 0], "downloadLimit": 77 }));
    told(call(&served, "torrent-set", json!({ "ids": [two], "trackerAdd": ["http://a/"] })).await);
    let given = json!({ "ids": [one, two], "trackerRemove": [0], "labels": ["x"] });
    let answer = call(&served, "torrent-set", given).await;
    assert_eq!(answer["result"], "error setting announce list");
    let stand = get(&served, json!([one, two]), &["labels", "trackers"]).await;
    assert_eq!(
        json!(stand),
        json!([{ "labels": ["x"], "trackers": [] }, { "labels": ["x"], "trackers": [] }])
    );
}
