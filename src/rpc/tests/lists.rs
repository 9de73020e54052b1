//! Lists, what changes in them, and what is set.

use super::*;

fn ids(list: &Value) -> Vec<u64> {
    let torrents = list["torrents"].as_array().unwrap();
    torrents.iter().map(|it| it["id"].as_u64().unwrap()).collect()
}

/// The list after `cursor` as soon as something is in it.
async fn news(served: &Served, cursor: &Value) -> Value {
    let path = format!("/api/v1/torrents?since={}", cursor.as_str().unwrap());
    let until = Instant::now() + PATIENCE;
    loop {
        let list = served.get(&path).await.json();
        if !ids(&list).is_empty() || list["removed"] != json!([]) || list["full"] == json!(true) {
            return list;
        }
        assert!(Instant::now() < until, "nothing changes");
        let mut heads = served.api.heads();
        let _ = timeout(Duration::from_millis(100), heads.changed()).await;
    }
}

/// The list when its torrents have come to rest.
async fn settled(served: &Served) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = served.get("/api/v1/torrents").await.json();
        let torrents = list["torrents"].as_array().unwrap();
        if torrents.iter().all(|it| it["state"] == "paused") {
            return list;
        }
        assert!(Instant::now() < until, "{list}");
        let mut heads = served.api.heads();
        let _ = timeout(Duration::from_millis(100), heads.changed()).await;
    }
}

#[tokio::test]
async fn a_list_since_another_tells_only_what_changed() {
    let served = Served::start().await;
    let (one, two) = (served.add("one").await, served.add("two").await);
    let all = settled(&served).await;
    assert_eq!(all["full"], json!(true));
    assert_eq!(ids(&all), [u64::from(one), u64::from(two)]);
    let since = format!("/api/v1/torrents?since={}", all["cursor"].as_str().unwrap());
    let none = served.get(&since).await.json();
    assert_eq!((ids(&none), &none["full"]), (vec![], &json!(false)));
    assert_eq!(none["cursor"], all["cursor"]);

    let path = format!("/api/v1/torrents/{two}");
    let set = served.say(&format!("PATCH {path}"), &json!({ "labels": ["linux"] })).await;
    assert_eq!((set.status(), set.json()), (200, json!({ "id": two })));
    let changed = news(&served, &all["cursor"]).await;
    assert_eq!((ids(&changed), &changed["full"]), (vec![u64::from(two)], &json!(false)));
    assert_eq!(changed["torrents"][0]["labels"], json!(["linux"]));

    let hash = all["torrents"][0]["hash"].as_str().unwrap();
    let gone = served.ask(&format!("DELETE /api/v1/torrents/{hash}"), "").await;
    assert_eq!((gone.status(), gone.json()), (200, json!({ "id": one })));
    let removed = news(&served, &changed["cursor"]).await;
    assert_eq!(removed["removed"], json!([one]));
    // Who read before all that hears all of it.
    let both = news(&served, &all["cursor"]).await;
    assert_eq!((ids(&both), &both["removed"]), (vec![u64::from(two)], &json!([one])));
    // A cursor of another run, or of what never was, is told everything.
    for cursor in ["1-2", "ffffffffffffffff-ffffffffffffffff"] {
        let full = news(&served, &json!(cursor)).await;
        assert_eq!((ids(&full), &full["full"]), (vec![u64::from(two)], &json!(true)));
        assert_eq!(full["removed"], json!([]));
    }
    assert_eq!(served.get("/api/v1/torrents?since=1-2-3").await.status(), 400);
}

#[tokio::test]
async fn what_cannot_be_set_sets_nothing() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let path = format!("/api/v1/torrents/{id}");
    let patch = format!("PATCH {path}");
    let unset = settled(&served).await["torrents"][0].clone();
    let long: Vec<String> = (0..11_000).map(|number| format!("{number}")).collect();
    for (body, status) in [
        (json!({ "limit_down": 7, "labels": long }), 409),
        (json!({ "limit_down": 7, "seed_ratio": -1 }), 400),
        (json!({ "limit_down": 7, "limit_donw": 7 }), 400),
        (json!({ "limit_down": -7 }), 400),
        (json!({ "limit_down": 7, "place": "middle" }), 400),
        (json!({}), 200),
        (json!({ "limit_down": null, "labels": null }), 200),
    ] {
        let told = served.say(&patch, &body).await;
        assert_eq!(told.status(), status, "{told:?}");
        let now = served.get("/api/v1/torrents").await.json()["torrents"][0].clone();
        assert_eq!(now, unset, "{told:?}");
    }
    let body = json!({ "limit_down": 7, "limit_up": 8, "labels": ["a"], "seed_ratio": 1.5 });
    assert_eq!(served.say(&patch, &body).await.status(), 200);
    let now = served.get(&path).await.json();
    assert_eq!(now["limits"], json!({ "down": 7, "up": 8 }));
    assert_eq!((&now["labels"], &now["seed_ratio"]), (&json!(["a"]), &json!(1.5)));
    let body = json!({ "limit_down": 0, "seed_ratio": 0 });
    assert_eq!(served.say(&patch, &body).await.status(), 200);
    let now = served.get(&path).await.json();
    assert_eq!(now["limits"], json!({ "down": null, "up": 8 }));
    assert_eq!(now["seed_ratio"], Value::Null);

    let session = json!({ "limit_up": 9 });
    assert_eq!(served.say("PATCH /api/v1/session", &session).await.status(), 200);
    let limits = served.get("/api/v1/session").await.json()["limits"].clone();
    assert_eq!(limits, json!({ "down": null, "up": 9 }));
}

#[tokio::test]
async fn numbers_as_large_as_there_are_break_nothing() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let path = format!("/api/v1/torrents/{id}");
    let most = u64::MAX;
    let body = json!({
        "limit_down": most, "limit_up": most, "seed_time_s": most, "seed_ratio": f64::MAX,
        "place": { "at": u32::MAX },
    });
    assert_eq!(served.say(&format!("PATCH {path}"), &body).await.status(), 200);
    let session = json!({ "limit_up": most, "limit_down": most });
    assert_eq!(served.say("PATCH /api/v1/session", &session).await.status(), 200);
    let told = served.get(&path).await.json();
    assert_eq!((&told["seed_time_s"], &told["limits"]["up"]), (&json!(most), &json!(most)));
    let files = json!({ "want": [1], "skip": [u32::MAX] });
    assert_eq!(served.say(&format!("PATCH {path}/files"), &files).await.status(), 400);
    let resume = json!({ "do": "resume" });
    assert_eq!(served.say(&format!("POST {path}/deeds"), &resume).await.status(), 200);
    assert_eq!(served.get(&path).await.status(), 200);
}

#[tokio::test]
async fn a_torrent_is_shown_closely() {
    let served = Served::start().await;
    let id = served.add("one").await;
    settled(&served).await;
    let path = format!("/api/v1/torrents/{id}");
    let files = served.get(&format!("{path}/files")).await.json();
    let file = json!({
        "number": 1, "path": "one", "size": 20000, "progress": 0.0, "wanted": true,
        "priority": "normal", "begin_piece": 0, "end_piece": 2,
    });
    assert_eq!(files, json!([file]));
    for rest in ["peers", "peers?all=true", "trackers", "sources"] {
        assert_eq!(served.get(&format!("{path}/{rest}")).await.json(), json!([]), "{rest}");
    }
    assert_eq!(served.get(&format!("{path}/why")).await.json()["text"], json!("it waits"));
    let skip = json!({ "skip": [1] });
    assert_eq!(served.say(&format!("PATCH {path}/files"), &skip).await.status(), 200);
    assert_eq!(served.get(&format!("{path}/files")).await.json()[0]["wanted"], json!(false));
    let data = served.ask(&format!("DELETE {path}?data=true"), "").await;
    assert_eq!(data.status(), 200, "{data:?}");
    assert_eq!(served.get(&path).await.status(), 404, "it has left");
}

#[tokio::test]
async fn the_list_of_all_is_what_it_would_be_if_it_were_made_anew() {
    let served = Served::start().await;
    let press = press::Press::start(served.api.clone(), stream::written);
    let compare = async |count: usize| {
        let until = Instant::now() + PATIENCE;
        loop {
            let made: Value = serde_json::from_slice(&press.list().await.unwrap()).unwrap();
            let anew = served.api.answer(Request::List(None)).await.unwrap();
            let anew = serde_json::to_value(&anew).unwrap();
            // Something may have happened in between.
            if made["cursor"] == anew["cursor"] {
                assert_eq!(made, anew);
                assert_eq!(ids(&made).len(), count);
                return;
            }
            assert!(Instant::now() < until, "it never rests");
        }
    };
    compare(0).await;
    let numbers = [served.add("one").await, served.add("two").await, served.add("three").await];
    settled(&served).await;
    compare(3).await;
    let (one, again) = (press.list().await.unwrap(), press.list().await.unwrap());
    assert_eq!(one.as_ptr(), again.as_ptr(), "nothing has changed");
    assert!(one.ends_with(b"\n"));
    for body in [json!({ "labels": ["linux"] }), json!({ "place": "top" })] {
        let told = served.say(&format!("PATCH /api/v1/torrents/{}", numbers[2]), &body).await;
        assert_eq!(told.status(), 200, "{told:?}");
        compare(3).await;
    }
    let first = served.get("/api/v1/torrents").await.json();
    assert_eq!(ids(&first)[0], u64::from(numbers[2]), "in the order of the queue");
    let gone = served.ask(&format!("DELETE /api/v1/torrents/{}", numbers[0]), "").await;
    assert_eq!(gone.status(), 200);
    compare(2).await;
    tokio::time::pause();
    // What nobody asks for is given up, and made again.
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    compare(2).await;
}
