//! What is done to torrents.

use super::*;

#[tokio::test]
async fn a_torrent_stops_starts_and_takes_its_place() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let (one, two) = (program.add("one", &[]).await, program.add("two", &[]).await);
    for hash in [&one, &two] {
        program.until(hash, "state", json!("stoppedDL")).await;
    }
    for (start, stop) in [("start", "stop"), ("resume", "pause")] {
        program.does(&format!("torrents/{start}"), &format!("hashes={one}|{two}")).await;
        for hash in [&one, &two] {
            program.until(hash, "state", json!("stalledDL")).await;
        }
        program.does(&format!("torrents/{stop}"), "hashes=all").await;
        for hash in [&one, &two] {
            program.until(hash, "state", json!("stoppedDL")).await;
        }
    }
    program.does("torrents/setForceStart", &format!("hashes={one}&value=true")).await;
    program.until(&one, "state", json!("stalledDL")).await;
    assert_eq!(program.one(&one).await["priority"], json!(1));
    for (place, first) in
        [("topPrio", &two), ("bottomPrio", &one), ("increasePrio", &two), ("decreasePrio", &one)]
    {
        program.does(&format!("torrents/{place}"), &format!("hashes={two}")).await;
        program.until(first, "priority", json!(1)).await;
    }
    for path in ["recheck", "reannounce", "setAutoManagement", "setSuperSeeding"] {
        let fields = format!("hashes={one}|{}&enable=true&value=true", "0".repeat(40));
        program.does(&format!("torrents/{path}"), &fields).await;
    }
    for toggled in ["seq_dl", "f_l_piece_prio"] {
        let path = match toggled {
            "seq_dl" => "torrents/toggleSequentialDownload",
            _ => "torrents/toggleFirstLastPiecePrio",
        };
        for is_so in [true, false] {
            program.does(path, &format!("hashes={one}")).await;
            program.until(&one, toggled, json!(is_so)).await;
        }
    }
}

#[tokio::test]
async fn limits_are_set_and_told() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let hash = program.add("one", &[("dlLimit", "5000"), ("ratioLimit", "1.5")]).await;
    let it = program.one(&hash).await;
    assert_eq!((&it["dl_limit"], &it["ratio_limit"]), (&json!(5000), &json!(1.5)));
    program.does("torrents/setUploadLimit", &format!("hashes={hash}&limit=7000")).await;
    let none = "0".repeat(40);
    let told = program.json(&format!("torrents/uploadLimit?hashes={hash}|{none}")).await;
    assert_eq!(told, json!({ hash.clone(): 7000, none: -1 }));
    let shares = format!("hashes={hash}&ratioLimit=2.5&seedingTimeLimit=90");
    program.does("torrents/setShareLimits", &shares).await;
    let it = program.one(&hash).await;
    assert_eq!((&it["ratio_limit"], &it["seeding_time_limit"]), (&json!(2.5), &json!(90)));
    assert_eq!((&it["max_ratio"], &it["max_seeding_time"]), (&json!(2.5), &json!(90)));
    // What is not named stays.
    program.does("torrents/setShareLimits", &format!("hashes={hash}&ratioLimit=-1")).await;
    let it = program.one(&hash).await;
    assert_eq!((&it["max_ratio"], &it["seeding_time_limit"]), (&json!(-1), &json!(90)));
    program.does("torrents/setDownloadLimit", &format!("hashes={hash}&limit=-1")).await;
    assert_eq!(program.one(&hash).await["dl_limit"], json!(0));
    for wrong in ["hashes=all&limit=", "hashes=all&limit=much", "hashes=all"] {
        assert_eq!(program.post("torrents/setDownloadLimit", wrong).await.status(), 400, "{wrong}");
    }
    let wrong = program.post("torrents/setShareLimits", "hashes=all&ratioLimit=nan").await;
    assert_eq!(wrong.status(), 400);

    program.does("transfer/setDownloadLimit", "limit=204800").await;
    assert_eq!(program.get("transfer/downloadLimit").await.text(), "204800");
    let info = program.json("transfer/info").await;
    assert_eq!((info.as_object().unwrap().len(), &info["dl_rate_limit"]), (10, &json!(204_800)));
    program.does("transfer/toggleSpeedLimitsMode", "").await;
    assert_eq!(program.get("transfer/speedLimitsMode").await.text(), "1");
    program.does("transfer/setDownloadLimit", "limit=1024").await;
    program.does("transfer/setSpeedLimitsMode", "mode=0").await;
    assert_eq!(program.get("transfer/downloadLimit").await.text(), "204800");
    let preferences = program.json("app/preferences").await;
    assert_eq!(
        (&preferences["dl_limit"], &preferences["alt_dl_limit"]),
        (&json!(204_800), &json!(1024))
    );
    assert_eq!(program.post("transfer/setSpeedLimitsMode", "mode=true").await.status(), 400);
}

#[tokio::test]
async fn files_are_chosen_named_and_moved() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let torrent = folder("show", &["a", "b"]);
    let told = program.send("torrents/add", &[("stopped", "true")], &[("f", &torrent)]).await;
    assert_eq!(told.text(), "Ok.");
    let hash = program.json("torrents/info").await[0]["hash"].as_str().unwrap().to_owned();
    program.until(&hash, "state", json!("stoppedDL")).await;
    let files = async || program.json(&format!("torrents/files?hash={hash}")).await;
    program.does("torrents/filePrio", &format!("hash={hash}&id=1&priority=0")).await;
    assert_eq!(files().await[1]["priority"], json!(0));
    program.does("torrents/filePrio", &format!("hash={hash}&id=0|1&priority=6")).await;
    assert_eq!(
        (&files().await[0]["priority"], &files().await[1]["priority"]),
        (&json!(6), &json!(6))
    );
    program.does("torrents/filePrio", &format!("hash={hash}&id=0&priority=3")).await;
    assert_eq!(files().await[0]["priority"], json!(1));
    for (fields, status) in
        [("id=2&priority=1", 409), ("id=x&priority=1", 400), ("id=0&priority=8", 400)]
    {
        let told = program.post("torrents/filePrio", &format!("hash={hash}&{fields}")).await;
        assert_eq!(told.status(), status, "{fields}");
    }
    program.does("torrents/rename", &format!("hash={hash}&name=My+Show")).await;
    let it = program.until(&hash, "name", json!("My Show")).await;
    assert!(it["content_path"].as_str().unwrap().ends_with("/show"), "its files keep their names");
    assert_eq!(program.post("torrents/rename", &format!("hash={hash}&name=")).await.status(), 409);

    let name = |old: &str, new: &str| format!("hash={hash}&oldPath={old}&newPath={new}");
    program.does("torrents/renameFile", &name("show/a", "show/sub/c")).await;
    assert_eq!(files().await[0]["name"], json!("show/sub/c"));
    for (old, new, why) in [
        ("show/x", "show/y", "No such file: 'show/x'."),
        ("show/b", "/etc/x", "Absolute path isn't allowed: '/etc/x'."),
        ("show/b", "", "The new path is invalid: ''."),
        ("show/b", "show/../../x", "The new path is invalid: 'show/../../x'."),
        ("show/b", "other/b", "a file stays in the folder of its torrent"),
    ] {
        let told = program.post("torrents/renameFile", &name(old, new)).await;
        assert_eq!((told.status(), told.text().as_str()), (409, why), "{old} {new}");
    }
    program.does("torrents/renameFolder", &name("show", "series")).await;
    assert_eq!(files().await[1]["name"], json!("series/b"));
    let root = served.root.canonicalize().unwrap();
    let at = json!(root.join("series").to_str().unwrap());
    assert_eq!(program.until(&hash, "content_path", at).await["name"], json!("My Show"));

    program.does("torrents/setLocation", &format!("hashes={hash}&location=below")).await;
    program.until(&hash, "save_path", json!(root.join("below").to_str().unwrap())).await;
    for (location, status) in [("", 400), ("/etc", 409)] {
        let fields = format!("hashes={hash}&location={location}");
        assert_eq!(
            program.post("torrents/setLocation", &fields).await.status(),
            status,
            "{location}"
        );
    }
    let peers = format!("hashes={hash}&peers=127.0.0.1:1|x");
    program.does("torrents/start", &format!("hashes={hash}")).await;
    let told = program.post("torrents/addPeers", &peers).await;
    assert_eq!(told.json(), json!({ hash.clone(): { "added": 1, "failed": 0 } }));
    let none = program.post("torrents/addPeers", &format!("hashes={hash}&peers=x")).await;
    assert_eq!(none.status(), 400);
}

#[tokio::test]
async fn trackers_are_changed() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let told = program
        .send("torrents/add", &[("stopped", "true")], &[("f", &folder("show", &["a", "b"]))])
        .await;
    assert_eq!(told.text(), "Ok.");
    let all = program.json("torrents/info").await;
    let hash = all[0]["hash"].as_str().unwrap().to_owned();
    let rows = async || {
        let all = program.json(&format!("torrents/trackers?hash={hash}")).await;
        let named = all.as_array().unwrap().iter().skip(3);
        named.map(|it| json!([it["tier"], it["url"]])).collect::<Vec<_>>()
    };
    let (first, x, y, z) = ("http://127.0.0.1:1/a", "http://x/", "udp://y:1", "http://z/");
    assert_eq!(json!(rows().await), json!([[0, first]]));
    let fields = format!("hash={hash}&urls={x}%0A{first}%0A%0A{y}");
    program.does("torrents/addTrackers", &fields).await;
    assert_eq!(json!(rows().await), json!([[0, first], [1, x], [2, y]]));
    assert_eq!(program.until(&hash, "trackers_count", json!(3)).await["tracker"], json!(first));
    program.does("torrents/editTracker", &format!("hash={hash}&origUrl={x}&newUrl={z}")).await;
    program.does("torrents/removeTrackers", &format!("hash={hash}&urls={first}|http://no/")).await;
    assert_eq!(json!(rows().await), json!([[0, z], [1, y]]));
    for (path, fields, status) in [
        ("editTracker", format!("hash={hash}&origUrl={x}&newUrl={first}"), 409),
        ("editTracker", format!("hash={hash}&origUrl={y}&newUrl={z}"), 409),
        ("editTracker", format!("hash={hash}&origUrl={y}&newUrl=nonsense"), 409),
        ("editTracker", format!("hash={hash}&origUrl={y}"), 400),
        ("addTrackers", format!("hash={hash}&urls=nonsense"), 409),
        ("addTrackers", format!("hash={hash}"), 400),
        ("removeTrackers", format!("hash={}&urls={y}", "0".repeat(40)), 404),
    ] {
        let told = program.post(&format!("torrents/{path}"), &fields).await;
        assert_eq!(told.status(), status, "{path} {fields}");
    }
    assert_eq!(json!(rows().await), json!([[0, z], [1, y]]));
}

/// Adds two torrents, of which the one that is listed first must not be erased; the hashes of both.
async fn one_that_may_not_go(program: &Program<'_>, served: &Served) -> [String; 2] {
    let path = served.root.join("elsewhere");
    let kept = program.add("kept", &[("savepath", path.to_str().unwrap())]).await;
    let gone = program.add("gone", &[]).await;
    // Its folder leads out of where files may be, since then.
    let _ = std::fs::remove_dir_all(&path);
    std::os::unix::fs::symlink("/etc", &path).unwrap();
    [kept, gone]
}

#[tokio::test]
async fn one_that_is_refused_keeps_nobody_else_from_what_is_ordered() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let [kept, gone] = one_that_may_not_go(&program, &served).await;
    let fields = format!("hashes={kept}|{gone}&deleteFiles=true");
    let told = program.post("torrents/delete", &fields).await;
    assert_eq!(told.status(), 400, "{told:?}");
    let left = program.json("torrents/info").await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]["hash"]), (1, &json!(kept)));
}

#[tokio::test]
async fn what_one_cannot_have_the_others_get() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let full = program.add("full", &[]).await;
    let other = program.add("other", &[]).await;
    let sixteen: Vec<String> = (1..=16).map(|nth| format!("t{nth:02}")).collect();
    program.does("torrents/addTags", &format!("hashes={full}&tags={}", sixteen.join(","))).await;
    program.does("torrents/createCategory", "category=tv&savePath=").await;
    let both = format!("hashes={full}|{other}");
    let refused = async |path: &str, fields: &str| {
        let told = program.post(path, &format!("{both}&{fields}")).await;
        assert_eq!(told.status(), 409, "{path}: {told:?}");
    };
    refused("torrents/addTags", "tags=more").await;
    program.until(&other, "tags", json!("more")).await;
    refused("torrents/setCategory", "category=tv").await;
    program.until(&other, "category", json!("tv")).await;
    let it = program.one(&full).await;
    assert_eq!((&it["tags"], &it["category"]), (&json!(sixteen.join(", ")), &json!("")));
    // What others have there is not written over.
    let there = served.root.join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("full"), "of somebody").unwrap();
    refused("torrents/setLocation", &format!("location={}", there.display())).await;
    let there = there.canonicalize().unwrap();
    program.until(&other, "save_path", json!(there.to_str().unwrap())).await;
    assert_ne!(program.one(&full).await["save_path"], json!(there.to_str().unwrap()));
}
