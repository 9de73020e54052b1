//! The page: what is served, to whom, and what a browser must not do with it.

use super::*;

const JSON: &str = "Content-Type: application/json\r\n";

/// The head of a request by a browser that knows no token.
fn bare(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
}

async fn sign_in_with(served: &Served, token: &str, more: &str) -> Told {
    let body = json!({ "token": token }).to_string();
    let more = format!("{more}Content-Length: {}\r\n", body.len());
    served.send(&bare("POST /page/session", &more), body.as_bytes()).await
}

/// The cookie of somebody who signs in, as a header.
async fn sign_in(served: &Served) -> String {
    let more = format!("{JSON}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n");
    let told = sign_in_with(served, TOKEN, &more).await;
    assert_eq!(told.status(), 204, "{told:?}");
    let line = told.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(line.ends_with("; path=/; httponly; samesite=strict"), "{line}");
    let pair = line.split(';').next().unwrap();
    assert!(pair.strip_prefix("pigeon=").is_some_and(|value| value.len() == 32), "{line}");
    assert!(!line.contains(TOKEN));
    format!("Cookie: {pair}\r\n")
}

#[tokio::test]
async fn it_is_served_to_all_and_lets_nothing_in() {
    let served = Served::start().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let told = served.send(&bare(&format!("GET {path}"), ""), b"").await;
        assert_eq!(told.status(), 200, "{path}");
        assert!(told.has(&format!("content-type: {kind}")), "{told:?}");
        assert!(told.has("x-content-type-options: nosniff"), "{told:?}");
        assert!(told.has("referrer-policy: no-referrer"), "{told:?}");
        let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src \
            'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; \
            frame-ancestors 'none'; base-uri 'none'";
        assert!(told.has(policy), "{told:?}");
        let posted = served.send(&bare(&format!("POST {path}"), ""), b"").await;
        assert!(posted.status() == 405 && posted.has("allow: get"), "{posted:?}");
    }
}

#[tokio::test]
async fn pieces_are_told_and_wake_nothing() {
    let served = Served::start().await;
    let id = served.add("one").await;
    let told = served.get(&format!("/api/v1/torrents/{id}/pieces")).await.json();
    let expected = json!({ "pieces": 2, "piece_length": 16384, "have": "AA==", "copies": null });
    assert_eq!(told, expected);
    let told = served.get("/api/v1/torrents/77/pieces").await;
    assert_eq!(told.status(), 404);
}

/// What the policy forbids does not stand in the files, so that nobody has to loosen it.
#[test]
fn nothing_stands_in_the_document_but_the_document() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page/files");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        count += 1;
        for line in text.lines() {
            let line = line.to_lowercase();
            for word in ["innerhtml", "outerhtml", "insertadjacent", "document.write", "eval("] {
                assert!(!line.contains(word), "{word} in {}", path.display());
            }
            let has_url = line.contains("http://") || line.contains("https://");
            let is_namespace = line.contains("http://www.w3.org/2000/svg");
            assert!(!has_url || is_namespace, "{line} in {}", path.display());
            if path.extension().is_some_and(|it| it == "html") {
                for word in [" style=", " onload=", " onclick=", " onerror=", "<style"] {
                    assert!(!line.contains(word), "{word} in {}", path.display());
                }
                assert!(!line.contains("<script") || line.contains(" src="), "{line}");
            }
        }
    }
    assert!(count >= 4, "{count}");
}

#[tokio::test]
async fn a_name_that_others_may_point_here_gets_no_page() {
    let served = Served::start().await;
    let cookie = sign_in(&served).await;
    for path in ["/", "/page/app.js", "/page/session", "/api/v1/session"] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{cookie}\r\n"
        );
        assert_eq!(served.send(&head, b"").await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn no_path_of_the_page_leads_out_of_it() {
    let served = Served::start().await;
    for path in [
        "/page/",
        "/page/../../../etc/passwd",
        "/page/%2e%2e/%2e%2e/etc/passwd",
        "/page/..%5c..%5cx",
        "/page//etc/passwd",
        "/page/app.js/",
        "/page/App.js",
        "/page/mod.rs",
    ] {
        let told = served.send(&bare(&format!("GET {path}"), ""), b"").await;
        assert_eq!((told.status(), &*told.error()), (404, "there is nothing here"), "{path}");
    }
}

#[tokio::test]
async fn who_signs_in_needs_no_token_until_he_signs_out() {
    let served = Served::start().await;
    let cookie = sign_in(&served).await;
    let own = format!("{cookie}Sec-Fetch-Site: same-origin\r\n");
    let get = |more: &str| bare("GET /api/v1/session", more);
    assert_eq!(served.send(&get(&own), b"").await.status(), 200);
    // Browsers that say nothing of the page, and send no cookie to others.
    assert_eq!(served.send(&get(&cookie), b"").await.status(), 200);
    let patch = json!({ "limit_down": 1000 }).to_string();
    let set = async |more: &str| {
        let more = format!("{more}{JSON}Content-Length: {}\r\n", patch.len());
        served.send(&bare("PATCH /api/v1/session", &more), patch.as_bytes()).await.status()
    };
    let same = "Origin: http://localhost\r\n";
    assert_eq!(set(&format!("{own}{same}")).await, 200);
    assert_eq!(set(&format!("{cookie}{same}")).await, 200);
    // It is no token, nor the cookie of another dialect, and a wrong one is none.
    for other in [
        cookie.replace("Cookie: pigeon=", "Authorization: Bearer "),
        cookie.replace("pigeon=", "SID="),
        "Cookie: pigeon=\r\n".to_owned(),
        format!("Cookie: pigeon={}\r\n", "0".repeat(32)),
    ] {
        assert_eq!(served.send(&get(&other), b"").await.status(), 401, "{other}");
    }
    let asked = cookie.replace("pigeon=", "SID=");
    let there = served.send(&bare("GET /api/v2/app/version", &asked), b"").await;
    assert_eq!(there.status(), 403);

    let out = bare("DELETE /page/session", &format!("{own}{same}"));
    let told = served.send(&out, b"").await;
    assert_eq!(told.status(), 204);
    assert!(told.head.contains("set-cookie: pigeon=; max-age=0;"), "{told:?}");
    assert_eq!(served.send(&get(&own), b"").await.status(), 401);
}

#[tokio::test]
async fn a_page_of_another_site_has_no_use_of_the_cookie() {
    let served = Served::start().await;
    let cookie = sign_in(&served).await;
    let body = json!({ "limit_down": 1 }).to_string();
    let len = format!("Content-Length: {}\r\n", body.len());
    for (more, status) in [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost:1\r\nSec-Fetch-Site: same-site\r\n", 403),
        ("Origin: http://localhost\r\nSec-Fetch-Site: same-site\r\n", 401),
        ("Origin: http://localhost\r\nSec-Fetch-Site: cross-site\r\n", 401),
        ("Sec-Fetch-Site: none\r\n", 401),
        ("", 401),
    ] {
        let more = format!("{cookie}{JSON}{len}{more}");
        let told = served.send(&bare("PATCH /api/v1/session", &more), body.as_bytes()).await;
        assert_eq!(told.status(), status, "{more}");
    }
    for site in ["same-site", "cross-site", "none", "same-origin\r\nSec-Fetch-Site: same-origin"] {
        for path in ["/api/v1/torrents", "/api/v1/events", "/metrics"] {
            let more = format!("{cookie}Sec-Fetch-Site: {site}\r\nAccept: text/event-stream\r\n");
            let told = served.send(&bare(&format!("GET {path}"), &more), b"").await;
            assert_eq!(told.status(), 401, "{path} {site}");
        }
        // Nor does it sign anybody in or out.
        let more = format!("{JSON}Origin: http://localhost\r\nSec-Fetch-Site: {site}\r\n");
        assert_eq!(sign_in_with(&served, TOKEN, &more).await.status(), 403, "{site}");
        let out = bare("DELETE /page/session", &format!("{cookie}{more}"));
        assert_eq!(served.send(&out, b"").await.status(), 403, "{site}");
    }
    assert_eq!(served.get("/api/v1/session").await.json()["limits"]["down"], Value::Null);
    let still = served.send(&bare("GET /api/v1/session", &cookie), b"").await;
    assert_eq!(still.status(), 200);
}

#[tokio::test]
async fn who_signs_in_says_what_he_is_asked() {
    let served = Served::start().await;
    let same = "Origin: http://localhost\r\n";
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"] {
        let told = sign_in_with(&served, TOKEN, &format!("{kind}{same}")).await;
        assert_eq!(told.status(), 415, "{kind}");
    }
    for body in ["", "{}", "[]", "{\"token\":1}", "{\"token\":\"x\",\"more\":1}"] {
        let more = format!("{JSON}{same}Content-Length: {}\r\n", body.len());
        let told = served.send(&bare("POST /page/session", &more), body.as_bytes()).await;
        assert_eq!(told.status(), 400, "{body}");
    }
    let long = sign_in_with(&served, &"x".repeat(5000), &format!("{JSON}{same}")).await;
    assert_eq!(long.status(), 400);
    for method in ["GET", "PUT", "PATCH"] {
        let told = served.send(&bare(&format!("{method} /page/session"), same), b"").await;
        assert!(told.status() == 405 && told.has("allow: post, delete"), "{told:?}");
    }
}

#[tokio::test]
async fn who_guesses_at_the_page_guesses_tokens() {
    let served = Served::start().await;
    let more = format!("{JSON}Origin: http://localhost\r\n");
    for _ in 0..200 {
        assert_eq!(sign_in_with(&served, "wrong", &more).await.status(), 403);
    }
    let right = sign_in_with(&served, TOKEN, &more).await;
    assert!(right.status() == 429 && right.has("retry-after: 10"), "{right:?}");
    assert!(!right.head.contains("set-cookie"));
    assert_eq!(served.get("/api/v1/session").await.status(), 429, "it is one budget");
}
