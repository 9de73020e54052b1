//! The RPC of Transmission over real sockets: who comes in and in which order others are refused,
//! both dialects, and every method.

use super::*;

mod dialects;
mod fields;
mod orders;

/// The answer to a request of these lines, by somebody who has this password.
async fn ask(served: &Served, line: &str, password: &str, more: &str, body: &str) -> Told {
    let basic = BASE64.encode(format!("somebody:{password}").as_bytes());
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let length = format!("Content-Length: {}\r\n", body.len());
    let auth = format!("Authorization: Basic {basic}\r\n");
    served.send(&format!("{head}{auth}{length}{more}\r\n"), body.as_bytes()).await
}

/// The session id, as it is told to who has none.
async fn passport(served: &Served) -> String {
    let told = ask(served, "POST /transmission/rpc", TOKEN, "", "{}").await;
    assert_eq!(told.status(), 409, "{told:?}");
    let header = told.head.split("x-transmission-session-id: ").nth(1);
    header.expect("it is told").split("\r\n").next().unwrap().to_owned()
}

/// The answer to a body.
async fn post(served: &Served, body: &str) -> Told {
    let id = passport(served).await;
    // As transmission-remote says it, which sends no form.
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let more = format!("X-Transmission-Session-Id: {id}\r\n{kind}");
    ask(served, "POST /transmission/rpc", TOKEN, &more, body).await
}

/// The whole answer to a method of the legacy dialect.
async fn call(served: &Served, method: &str, arguments: Value) -> Value {
    let body = json!({ "method": method, "arguments": arguments, "tag": 7 });
    let told = post(served, &body.to_string()).await;
    assert_eq!(told.status(), 200, "{told:?}");
    assert!(told.has("content-type: application/json; charset=utf-8"), "{told:?}");
    let json = told.json();
    assert_eq!(json["tag"], 7, "{json}");
    json
}

/// What a method that succeeds tells.
#[track_caller]
fn told(answer: Value) -> Value {
    assert_eq!(answer["result"], "success", "{answer}");
    answer["arguments"].clone()
}

async fn get(served: &Served, ids: Value, fields: &[&str]) -> Vec<Value> {
    let arguments = json!({ "ids": ids, "fields": fields });
    let told = told(call(served, "torrent-get", arguments).await);
    told["torrents"].as_array().unwrap().clone()
}

pub(super) async fn first(served: &Served, ids: Value, field: &str) -> Value {
    get(served, ids, &[field]).await.remove(0)[field].clone()
}

/// Waits until a field of a torrent is this.
async fn until(served: &Served, id: u32, field: &str, value: Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = first(served, json!([id]), field).await;
        if now == value {
            return;
        }
        assert!(Instant::now() < deadline, "{field} is {now}, and not {value}");
        let mut heads = served.api.heads();
        let _ = timeout(Duration::from_millis(100), heads.changed()).await;
    }
}

#[tokio::test]
async fn it_may_be_asked_below_another_path() {
    let served = Served::start_below("/seedbox/t/".parse().unwrap(), true).await;
    let told = ask(&served, "POST //seedbox/t/rpc/", TOKEN, "", "{}").await;
    let names_id = |told: &Told| told.head.contains("x-transmission-session-id");
    assert_eq!((told.status(), names_id(&told)), (409, true), "{told:?}");
    let nothing = ask(&served, "POST /seedbox/t/web/", TOKEN, "", "").await;
    assert!(String::from_utf8_lossy(&nothing.body).contains("<h1>Not Found"), "{nothing:?}");
    let usual = ask(&served, "POST /transmission/rpc", TOKEN, "", "{}").await;
    assert!(usual.status() != 409 && !names_id(&usual), "{usual:?}");
}

#[tokio::test]
async fn refusals_come_in_the_order_that_tools_know() {
    let served = Served::start().await;
    let id = format!("X-Transmission-Session-Id: {}\r\n", passport(&served).await);
    let head = |line: &str, host: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
    };
    let rpc = "GET /transmission/rpc";
    // A name that others may point here, before a password is looked at.
    assert_eq!(served.send(&head(rpc, "evil.example", ""), b"").await.status(), 421);
    let foreign = "Origin: http://evil.example\r\n";
    assert_eq!(served.send(&head(rpc, "localhost", foreign), b"").await.status(), 403);
    for path in ["/transmission/rpc", "/transmission/nothing", "/transmission/web/"] {
        let bare = served.send(&head(&format!("POST {path}"), "localhost", &id), b"").await;
        assert_eq!(bare.status(), 401, "{path}");
        assert!(bare.has("www-authenticate: basic realm=\"transmission\""), "{bare:?}");
        assert!(!bare.head.contains("session-id"), "who is not known hears of no id: {bare:?}");
        let wrong = ask(&served, &format!("POST {path}"), "wrong", &id, "{}").await;
        assert_eq!(wrong.status(), 401, "{path}");
    }
    for path in
        ["/transmission", "/transmission/web/", "/transmission/rpcx", "/transmission/upload"]
    {
        let nothing = ask(&served, &format!("GET {path}"), TOKEN, "", "").await;
        assert_eq!(nothing.status(), 404, "{path}");
    }
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let line = format!("{method} /transmission/rpc");
        for more in ["", "X-Transmission-Session-Id: 1\r\n"] {
            let none = ask(&served, &line, TOKEN, more, "").await;
            assert_eq!(none.status(), 409, "{line}");
            assert!(String::from_utf8_lossy(&none.body).contains("X-Transmission-Session-Id: "));
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        let line = format!("{method} /transmission/rpc?method=session-stats");
        let told = ask(&served, &line, TOKEN, &id, "").await;
        assert_eq!((told.status(), told.has("allow: post")), (405, true), "{told:?}");
    }
    let body = r#"{"method":"session-get"}"#;
    for path in
        ["/transmission/rpc", "/transmission/rpc/", "/transmission//rpc/", "//transmission/rpc?x=1"]
    {
        let told = ask(&served, &format!("POST {path}"), TOKEN, &id, body).await;
        assert_eq!(
            (told.status(), told.json()["result"].clone()),
            (200, json!("success")),
            "{path}"
        );
        assert!(!told.head.contains("x-transmission"), "no tool is to leave the legacy dialect");
    }
}

#[tokio::test]
async fn wrong_passwords_are_counted_with_wrong_tokens() {
    let served = Served::start().await;
    for _ in 0..200 {
        let wrong = ask(&served, "POST /transmission/rpc", "no", "", "").await;
        assert_eq!(wrong.status(), 401);
    }
    let right = ask(&served, "POST /transmission/rpc", TOKEN, "", "").await;
    assert_eq!((right.status(), right.has("retry-after: 10")), (429, true));
    assert_eq!(served.get("/api/v1/session").await.status(), 429, "it is one door");
}

#[tokio::test]
async fn the_password_opens_nothing_else() {
    let served = Served::start().await;
    let told = ask(&served, "GET /api/v1/session", TOKEN, "", "").await;
    assert_eq!(told.status(), 401, "a browser would send it again by itself");
}

#[tokio::test]
async fn bodies_are_limited_before_they_are_held() {
    let served = Served::start().await;
    let id = format!("X-Transmission-Session-Id: {}\r\n", passport(&served).await);
    let basic = BASE64.encode(format!(":{TOKEN}").as_bytes());
    let head = format!(
        "POST /transmission/rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{id}\
         Authorization: Basic {basic}\r\nContent-Length: {}\r\n\r\n",
        64 << 20
    );
    assert_eq!(served.send(&head, b"").await.status(), 413);
    let deep = "[".repeat(1 << 20);
    let told = post(&served, &deep).await;
    assert_eq!((told.status(), told.json()["result"].clone()), (200, json!("no method name")));
    let many = format!("{{\"method\":\"session-get\",\"arguments\":[{}0]}}", "0,".repeat(300_000));
    assert_eq!(post(&served, &many).await.json()["result"], "no method name");
}

#[tokio::test]
async fn on_the_socket_no_password_is_needed() {
    let served = Served::start().await;
    let mut local = UnixStream::connect(&served.socket).await.unwrap();
    let head = "GET /transmission/rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(Told::to(&mut local, head, b"").await.status(), 409);
}
