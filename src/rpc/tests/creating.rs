//! Torrents that are made of what lies below the root, and fetched.

use super::*;

#[tokio::test]
async fn one_is_made_told_of_fetched_under_its_name_and_forgotten() {
    let served = Served::start().await;
    std::fs::write(served.root.join("ä \"b\".bin"), vec![7; 50_000]).unwrap();
    let path = served.root.join("ä \"b\".bin");
    let told = served.say("POST /api/v1/creations", &json!({ "path": path })).await;
    assert_eq!(told.status(), 202, "{told:?}");
    assert_eq!((&told.json()["number"], &told.json()["path"]), (&json!(1), &json!(path)));
    let begin = Instant::now();
    loop {
        let all = served.get("/api/v1/creations").await.json();
        if all[0]["stage"] == "done" {
            break;
        }
        assert!(begin.elapsed() < PATIENCE && all[0]["error"].is_null(), "{all}");
    }
    let made = served.get("/api/v1/creations/1/torrent").await;
    assert_eq!(made.status(), 200);
    assert!(made.has("content-type: application/x-bittorrent"), "{}", made.head);
    let name = "content-disposition: attachment; filename*=utf-8''%c3%a4%20%22b%22.bin.torrent";
    assert!(made.has(name), "{}", made.head);
    assert!(made.body.starts_with(b"d") && made.body.ends_with(b"ee"));
    let unknown = json!({ "path": path, "sede": true });
    assert_eq!(served.say("POST /api/v1/creations", &unknown).await.status(), 400);
    let outside = served.say("POST /api/v1/creations", &json!({ "path": "/etc/passwd" })).await;
    assert!(outside.status() == 400 && outside.error().contains("outside"), "{outside:?}");
    let posted = served.say("POST /api/v1/creations/1", &json!({})).await;
    assert!(posted.status() == 405 && posted.has("allow: delete"), "{posted:?}");
    assert_eq!(served.ask("DELETE /api/v1/creations/1", "").await.status(), 200);
    assert_eq!(served.get("/api/v1/creations/1/torrent").await.status(), 404);
    assert_eq!(served.get("/api/v1/creations").await.json(), json!([]));
}
