//! The page that people look at: its files, which are compiled in, and who has signed in there.
//! What it shows and orders it asks of the API, as programs do, with a cookie in the place of a
//! token. A cookie is sent by the browser, whoever has it ask: so it opens nothing but to a page
//! of ours (`Origin`, `Sec-Fetch-Site`).
//! Source: W3C Fetch Metadata Request Headers, RFC 6265, CSP Level 3.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::http::answer::Refused;

use super::gate::{Gate, Verdict, sender};
use super::visitors::{Visitors, cookies};

/// Where who signs in and out.
const SESSION: &str = "/page/session";
/// Name of the cookie.
const COOKIE: &str = "pigeon";
/// How long a cookie lasts that nobody shows.
const IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Only what comes from here, and nothing that stands in the document itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; \
    base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file: where it is, what it is, and its bytes.
type File = (&'static str, &'static str, &'static [u8]);

/// All there are. Nothing else has a path: none is looked for on a disk.
const FILES: &[File] = &[
    ("/", HTML, include_bytes!("files/index.html")),
    ("/page/style.css", STYLE, include_bytes!("files/style.css")),
    ("/page/icon.svg", PICTURE, include_bytes!("files/icon.svg")),
    ("/page/add.js", SCRIPT, include_bytes!("files/add.js")),
    ("/page/app.js", SCRIPT, include_bytes!("files/app.js")),
    ("/page/ask.js", SCRIPT, include_bytes!("files/ask.js")),
    ("/page/bencode.js", SCRIPT, include_bytes!("files/bencode.js")),
    ("/page/create.js", SCRIPT, include_bytes!("files/create.js")),
    ("/page/dialogs.js", SCRIPT, include_bytes!("files/dialogs.js")),
    ("/page/errands.js", SCRIPT, include_bytes!("files/errands.js")),
    ("/page/history.js", SCRIPT, include_bytes!("files/history.js")),
    ("/page/list.js", SCRIPT, include_bytes!("files/list.js")),
    ("/page/one.js", SCRIPT, include_bytes!("files/one.js")),
    ("/page/plot.js", SCRIPT, include_bytes!("files/plot.js")),
    ("/page/store.js", SCRIPT, include_bytes!("files/store.js")),
    ("/page/tree.js", SCRIPT, include_bytes!("files/tree.js")),
    ("/page/words.js", SCRIPT, include_bytes!("files/words.js")),
];

/// Who serves it.
pub(super) struct Page {
    gate: Gate,
    visitors: Visitors,
}

/// What somebody shows to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// Is this a path of the page?
pub(super) fn is_of(path: &str) -> bool {
    path == "/" || path.starts_with("/page/")
}

impl Page {
    /// Nobody has signed in.
    pub fn start(gate: Gate) -> Self {
        Self { gate, visitors: Visitors::start(IDLE_MAX) }
    }

    /// Has somebody signed in who asks by a page of ours?
    pub async fn knows(&self, method: &Method, headers: &HeaderMap) -> bool {
        if !may_use_cookies(method, headers) {
            return false;
        }
        for cookie in cookies(headers, COOKIE) {
            if self.visitors.know(cookie).await {
                return true;
            }
        }
        false
    }

    /// The answer to a request of one of its paths, from a host and an origin that may ask.
    ///
    /// # Errors
    /// As it is told.
    pub async fn answer(
        &self,
        parts: &Parts,
        body: &mut Body,
        local: bool,
    ) -> Result<Response, Refused> {
        let path = parts.uri.path();
        if path == SESSION {
            return match parts.method {
                Method::POST => self.sign_in(parts, body, local).await,
                Method::DELETE => self.sign_out(parts).await,
                _ => Err(not_allowed("POST, DELETE")),
            };
        }
        let Some((_, kind, bytes)) = FILES.iter().find(|(name, ..)| *name == path) else {
            return Err(Refused::new(StatusCode::NOT_FOUND, "there is nothing here"));
        };
        if parts.method != Method::GET {
            return Err(not_allowed("GET"));
        }
        let mut answer = ([(CONTENT_TYPE, *kind)], *bytes).into_response();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(answer)
    }

    async fn sign_in(
        &self,
        parts: &Parts,
        body: &mut Body,
        local: bool,
    ) -> Result<Response, Refused> {
        if !may_use_cookies(&parts.method, &parts.headers) {
            return Err(foreign());
        }
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("application/json") {
            let why = "the body is to be of the type application/json";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let received = self.gate.receive_of_stranger(body).await;
        let unread = |_| Refused::new(StatusCode::BAD_REQUEST, "the body is too long, or late");
        let (bytes, _weight) = received.map_err(unread)?;
        let said: Option<SignIn> = serde_json::from_slice(&bytes).ok();
        let said = said.ok_or_else(|| {
            Refused::new(StatusCode::BAD_REQUEST, "the body is to be {\"token\": \"...\"}")
        })?;
        let verdict = match local {
            true => Verdict::Welcome,
            false => self.gate.look(sender(parts), Some(said.token)).await,
        };
        match verdict {
            Verdict::Welcome => {
                let ended = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "it ends");
                let cookie = self.visitors.enter().await.ok_or_else(ended)?;
                Ok(with_cookie(&cookie, IDLE_MAX))
            }
            Verdict::Wrong => {
                Err(Refused::new(StatusCode::FORBIDDEN, "this is not the token of the daemon"))
            }
            Verdict::Unheard => {
                let why = "too many wrong tokens: wait ten seconds";
                Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, why).with(RETRY_AFTER, "10"))
            }
        }
    }

    async fn sign_out(&self, parts: &Parts) -> Result<Response, Refused> {
        if !may_use_cookies(&parts.method, &parts.headers) {
            return Err(foreign());
        }
        for cookie in cookies(&parts.headers, COOKIE) {
            self.visitors.leave(cookie).await;
        }
        Ok(with_cookie("", Duration::ZERO))
    }
}

/// Whether what a browser says of the page that has it ask lets cookies count. Pages at other
/// ports of this host are of the same site, so `SameSite` says nothing of them. Browsers that
/// leave out `Sec-Fetch-Site`, as they do away from loopback without TLS, name the `Origin` of
/// whatever changes something, and let nobody else read the rest. That a foreign `Origin` is
/// refused is taken for done.
fn may_use_cookies(method: &Method, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) => site == "same-origin",
        (Some(_), Some(_)) => false,
        (None, _) => *method == Method::GET || headers.contains_key(ORIGIN),
    }
}

fn with_cookie(value: &str, lasts: Duration) -> Response {
    let age = lasts.as_secs();
    let line = format!("{COOKIE}={value}; Max-Age={age}; Path=/; HttpOnly; SameSite=Strict");
    let mut answer = StatusCode::NO_CONTENT.into_response();
    // Our own words are a header.
    if let Ok(line) = HeaderValue::from_str(&line) {
        answer.headers_mut().insert(SET_COOKIE, line);
    }
    answer
}

fn foreign() -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "only the page itself may ask this")
}

fn not_allowed(methods: &'static str) -> Refused {
    let why = format!("this takes {methods} only");
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, why).with(ALLOW, methods)
}
