//! Both dialects, and what is wrong in them.

use super::*;

/// The answer to a JSON-RPC body.
async fn rpc(served: &Served, body: Value) -> Value {
    let told = post(served, &body.to_string()).await;
    assert_eq!(told.status(), 200, "{told:?}");
    told.json()
}

#[tokio::test]
async fn the_legacy_dialect_answers_whatever_it_is_sent() {
    let served = Served::start().await;
    for (body, result) in [
        ("", "no method name"),
        ("{", "no method name"),
        ("{}", "no method name"),
        (r#"{"method":7}"#, "no method name"),
        (r#"{"method":"torrent-fly"}"#, "method name not recognized"),
        (r#"{"method":"session-get","arguments":[]}"#, "success"),
        (r#"{"method":"session_get"}"#, "success"),
        (r#"{"method":"torrent-get","arguments":{"fields":["nothing"]}}"#, "no fields specified"),
        (r#"{"method":"torrent-get","arguments":{"fields":[]}}"#, "no fields specified"),
        (r#"{"method":"torrent-stop","arguments":{"what":1}}"#, "success"),
        (r#"{"method":"torrent-add"}"#, "no filename or metainfo specified"),
        (r#"{"method":"queue-add"}"#, "method name not recognized"),
    ] {
        let told = post(&served, body).await;
        let json = told.json();
        assert_eq!((told.status(), &json["result"]), (200, &json!(result)), "{body}");
        assert!(json["arguments"].is_object() && json.get("tag").is_none(), "{json}");
        assert!(told.body.ends_with(b"}\n"));
    }
    for (tag, back) in [("7", json!(7)), ("\"a\"", json!("a")), ("1.5", json!(1.5))] {
        let body = format!("{{\"method\":\"session-stats\",\"tag\":{tag}}}");
        assert_eq!(post(&served, &body).await.json()["tag"], back);
    }
    let null = post(&served, r#"{"method":"session-stats","tag":null}"#).await.json();
    assert!(null.get("tag").is_none(), "{null}");
}

#[tokio::test]
async fn json_rpc_has_its_own_names_and_errors() {
    let served = Served::start().await;
    let one = served.add("one").await;
    let ask = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 });
    let got = rpc(&served, ask("session_get", json!({}))).await;
    assert_eq!((&got["id"], &got["jsonrpc"]), (&json!(1), &json!("2.0")));
    assert_eq!(got["result"]["rpc_version_semver"], "5.3.0");
    assert!(
        got["result"]["units"]["speed_units"].is_array() && got["result"]["cache_size_mib"] == 4
    );
    let fields = ["hash_string", "peer_limit", "file_stats", "wanted", "peers_from"];
    let params = json!({ "ids": [one], "fields": fields });
    let got = rpc(&served, ask("torrent_get", params)).await;
    let it = got["result"]["torrents"][0].clone();
    assert_eq!(it.as_object().unwrap().len(), 5, "{it}");
    assert_eq!(
        (&it["wanted"], &it["file_stats"][0]["bytes_completed"]),
        (&json!([true]), &json!(0))
    );
    assert!(it["peers_from"]["from_dht"].is_u64(), "{it}");

    for (body, code) in [
        (json!({ "jsonrpc": "1.0", "method": "session_get", "id": 1 }), -32600),
        (json!({ "jsonrpc": "2.0", "method": "session_get", "id": true }), -32600),
        (json!({ "jsonrpc": "2.0", "id": 1 }), -32600),
        (json!(7), -32600),
        (json!([]), -32600),
        (ask("nothing", json!({})), -32601),
        (ask("torrent_get", json!({ "fields": [] })), -32602),
        (ask("torrent_set_location", json!({ "location": "x" })), 3),
        (ask("torrent_set", json!({ "tracker_add": ["a"] })), 1),
    ] {
        let told = rpc(&served, body.clone()).await;
        assert_eq!(told["error"]["code"], code, "{body}: {told}");
        assert!(told["error"]["data"]["error_string"].is_string(), "{told}");
    }
    let nowhere = served.root.join("nowhere");
    let free = rpc(&served, ask("free_space", json!({ "path": nowhere }))).await;
    assert_eq!(free["error"]["data"]["result"]["size_bytes"], -1, "{free}");
}

#[tokio::test]
async fn who_sends_no_id_hears_nothing_and_a_list_is_answered_in_its_order() {
    let served = Served::start().await;
    let one = served.add("one").await;
    let note = json!({
        "jsonrpc": "2.0", "method": "torrent_set", "params": { "ids": [one], "labels": ["x"] }
    });
    let told = post(&served, &note.to_string()).await;
    assert_eq!((told.status(), told.body.len()), (204, 0));
    assert_eq!(first(&served, json!([one]), "labels").await, json!(["x"]), "it was done");
    assert_eq!(post(&served, &json!([note, note]).to_string()).await.status(), 204);
    let ask = |id: Value| json!({ "jsonrpc": "2.0", "method": "session_stats", "id": id });
    let all = json!([ask(json!("a")), note, { "method": "session-stats" }, ask(json!(null))]);
    let told = rpc(&served, all).await;
    let ids: Vec<_> = told.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [json!("a"), json!(null), json!(null)]);
    assert_eq!(
        (&told[1]["error"]["code"], &told[2]["result"]["torrent_count"]),
        (&json!(-32600), &json!(1))
    );
    let many = vec![ask(json!(1)); 65];
    assert_eq!(rpc(&served, json!(many)).await["error"]["code"], -32600);
}
