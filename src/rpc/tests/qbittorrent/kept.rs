//! Categories, tags and preferences, and what of them outlives the daemon.

use super::*;
use crate::rpc::gate::Gate;
use crate::rpc::qbittorrent::Qbittorrent;

#[tokio::test]
async fn categories_and_tags_are_labels() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let hash = program.add("one", &[("category", "tv"), ("tags", "x")]).await;
    let own = served.get(&format!("/api/v1/torrents/{hash}")).await.json();
    assert_eq!(own["labels"], json!(["tv", "x"]));
    for (path, fields, status) in [
        ("setCategory", format!("hashes={hash}&category=none"), 409),
        ("createCategory", "category=tv&savePath=".to_owned(), 409),
        ("createCategory", "category=&savePath=".to_owned(), 400),
        ("createCategory", "category=a//b".to_owned(), 409),
        ("editCategory", "category=none&savePath=/x".to_owned(), 409),
        ("editCategory", "category=tv&savePath=".to_owned(), 409),
    ] {
        let told = program.post(&format!("torrents/{path}"), &fields).await;
        assert_eq!(told.status(), status, "{path} {fields}: {told:?}");
    }
    program.does("torrents/createCategory", "category=films&savePath=films").await;
    program.does("torrents/setCategory", &format!("hashes={hash}&category=films")).await;
    let it = program.one(&hash).await;
    assert_eq!((&it["category"], &it["tags"]), (&json!("films"), &json!("x")));
    program.does("torrents/setTags", &format!("hashes={hash}&tags=z,y")).await;
    assert_eq!(program.one(&hash).await["tags"], json!("y, z"));
    program.does("torrents/removeTags", &format!("hashes={hash}&tags=z")).await;
    assert_eq!(program.one(&hash).await["tags"], json!("y"));
    program.does("torrents/removeTags", &format!("hashes={hash}&tags=")).await;
    let it = program.one(&hash).await;
    assert_eq!((&it["category"], &it["tags"]), (&json!("films"), &json!("")));
    program.does("torrents/setCategory", &format!("hashes={hash}&category=")).await;
    assert_eq!(program.one(&hash).await["category"], json!(""));
    assert_eq!(program.json("torrents/tags").await, json!(["x", "y", "z"]));
    // A label that another program gives is a tag.
    let body = json!({ "labels": ["linux"] });
    let told = served.say(&format!("PATCH /api/v1/torrents/{hash}"), &body).await;
    assert_eq!(told.status(), 200);
    assert_eq!(program.one(&hash).await["tags"], json!("linux"));
    assert_eq!(program.json("torrents/tags").await[0], json!("linux"));
    // The folder of a category is where it is asked for.
    let auto = program.add("two", &[("category", "films"), ("autoTMM", "true")]).await;
    let root = served.root.canonicalize().unwrap();
    let it = program.one(&auto).await;
    assert_eq!(it["save_path"], json!(root.join("films").to_str().unwrap()));
    let by_hand = program.add("three", &[("category", "films")]).await;
    assert_eq!(program.one(&by_hand).await["save_path"], json!(root.to_str().unwrap()));
}

#[tokio::test]
async fn preferences_are_kept_and_given_back() {
    let served = Served::start().await;
    let program = served.qbittorrent().await;
    let before = program.json("app/preferences").await;
    assert!(before["save_path"].as_str().unwrap().starts_with('/'));
    assert!(before.as_object().unwrap().len() > 150 && before.get("web_ui_password").is_none());
    // Some programs send braces as they are, and numbers as texts.
    let set = "json={\"dl_limit\":\"2048\",\"max_connec\":\"77\",\"pex\":false,\"mine\":[1]}";
    program.does("app/setPreferences", set).await;
    let after = program.json("app/preferences").await;
    assert_eq!((&after["dl_limit"], &after["max_connec"]), (&json!(2048), &json!(77)));
    assert_eq!((&after["pex"], &after["mine"]), (&json!(false), &json!([1])));
    program.does("app/setPreferences", "json=%7Bbroken").await;
    assert_eq!(program.post("app/setPreferences", "").await.status(), 400);
    assert_eq!(program.json("app/preferences").await, after);
    let stopped = "json={\"add_stopped_enabled\":true,\"max_ratio_enabled\":true,\"max_ratio\":3}";
    program.does("app/setPreferences", stopped).await;
    let told = program.send("torrents/add", &[], &[("f", &torrent("one"))]).await;
    assert_eq!(told.text(), "Ok.");
    let it = program.json("torrents/info").await[0].clone();
    assert_eq!(it["ratio_limit"], json!(3));
    program.until(it["hash"].as_str().unwrap(), "state", json!("stoppedDL")).await;
}

#[tokio::test]
async fn the_book_outlives_its_daemon_and_a_damaged_one_is_set_aside() {
    let home = tempfile::tempdir().unwrap();
    let (api, _) = api(&home).await;
    let path = home.path().join("state/qbittorrent.json");
    let start = |api: &Api| {
        let gate = Gate::new(Token::new(TOKEN), Hosts::default());
        Qbittorrent::start(api.clone(), gate, Arc::default())
    };
    let ask = async |dialect: &Qbittorrent, path: &str, body: &str| {
        let request = axum::http::Request::post(format!("/api/v2/{path}"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let (parts, body) =
            request.body(axum::body::Body::from(body.to_owned())).unwrap().into_parts();
        let answer = dialect.answer(&parts, body, true).await;
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let one = start(&api);
    assert_eq!(ask(&one, "torrents/createCategory", "category=tv&savePath=/x").await, "");
    assert_eq!(ask(&one, "torrents/createTags", "tags=a").await, "");
    assert_eq!(ask(&one, "app/setPreferences", "json={\"locale\":\"de\"}").await, "");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let two = start(&api);
    let tv = "{\"tv\":{\"name\":\"tv\",\"savePath\":\"/x\"}}";
    assert_eq!(ask(&two, "torrents/categories", "").await, tv);
    assert_eq!(ask(&two, "torrents/tags", "").await, "[\"a\"]");
    assert!(ask(&two, "app/preferences", "").await.contains("\"locale\":\"de\""));

    let whole = std::fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() - 3], b"", b"{}", b"[1]", &vec![b' '; (1 << 20) + 1]] {
        std::fs::write(&path, damaged).unwrap();
        let three = start(&api);
        assert_eq!(ask(&three, "torrents/categories", "").await, "{}");
        let aside = home.path().join("state/qbittorrent.damaged");
        assert_eq!(std::fs::read(&aside).unwrap(), damaged, "nothing is lost");
        assert_eq!(ask(&three, "torrents/createTags", "tags=b").await, "", "it goes on");
        assert!(path.exists());
    }
    // What a newer version wrote is read as far as it can be, and never changed.
    let newer = "{\"version\":2,\"categories\":{\"tv\":\"\"},\"more\":1}";
    std::fs::write(&path, newer).unwrap();
    let four = start(&api);
    assert!(ask(&four, "torrents/categories", "").await.contains("tv"));
    assert!(ask(&four, "torrents/createTags", "tags=c").await.contains("newer version"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
}
