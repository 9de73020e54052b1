//! Requests as HTTP has them, in the order in which the real server refuses them: who does not
//! know the token hears nothing of a session id, and who has none of a method that is wrong. Tools
//! find out by that whether anybody is here: a GET without an id is answered with 409.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;

use crate::api::Api;
use crate::http::body::{BodyError, drain};
use crate::http::origin::is_foreign;
use crate::rpc::gate::{Gate, Verdict, sender, shown_by_tool, unread};

use super::dialect;
use super::methods::Desk;
use super::passport::Passports;
use super::whole::Whole;

/// The longest body: a torrent of 16 MiB in base64, in lines, with what is said about it.
const BODY_LEN_MAX: usize = (16 << 20) / 3 * 4 + (16 << 20) / 48 + (64 << 10);
/// Where other answers are.
const OTHERS: [&str; 4] = ["api", "healthz", "metrics", "page"];
/// The header that names a session id.
const SESSION_ID: HeaderName = HeaderName::from_static("x-transmission-session-id");

/// A path below which all of it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix(String);

impl Default for Prefix {
    fn default() -> Self {
        Self("/transmission".to_owned())
    }
}

impl FromStr for Prefix {
    type Err = String;

    /// Plain letters, and nothing that leads elsewhere already.
    fn from_str(text: &str) -> Result<Self, String> {
        let path = folded(text);
        let path = path.trim_end_matches('/');
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.~/".contains(it);
        let parts = path.strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>());
        match parts.as_deref() {
            Some([first, ..]) if OTHERS.contains(first) => {
                Err(format!("/{first} leads elsewhere: another path, as /transmission"))
            }
            Some(parts) if path.chars().all(is_plain) && !parts.iter().any(is_no_name) => {
                Ok(Self(path.to_owned()))
            }
            _ => Err("a path of letters and digits below /, as /transmission".to_owned()),
        }
    }
}

impl Prefix {
    /// Is this path one of ours?
    pub(in crate::rpc) fn is_of(&self, path: &str) -> bool {
        let path = folded(path);
        path.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_no_name(part: &&str) -> bool {
    matches!(*part, "" | "." | "..")
}

/// A path with each row of slashes as one: some tools put one too many.
fn folded(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !folded.ends_with('/') {
            folded.push(letter);
        }
    }
    folded
}

/// Who answers there.
pub(in crate::rpc) struct Transmission {
    prefix: Prefix,
    gate: Gate,
    desk: Desk,
}

impl Transmission {
    /// For this session, below this path. `closes` is told when somebody wants the daemon to end.
    pub fn new(api: Api, prefix: Prefix, gate: Gate, closes: Arc<Notify>) -> Self {
        let whole = Whole::start(api.clone());
        let passports = Passports::new();
        let starts = AtomicBool::new(true);
        Self { prefix, gate, desk: Desk { api, whole, passports, starts, closes } }
    }

    /// Is this path one of ours?
    pub fn is_asked_at(&self, path: &str) -> bool {
        self.prefix.is_of(path)
    }

    /// Answers a request; on a `local` socket whoever may open it needs no token.
    pub async fn answer(&self, parts: &Parts, mut body: Body, local: bool) -> Response {
        match self.meet(parts, &mut body, local).await {
            Ok(answer) => answer,
            Err(refusal) => {
                drain(body);
                refusal
            }
        }
    }

    async fn meet(
        &self,
        parts: &Parts,
        body: &mut Body,
        local: bool,
    ) -> Result<Response, Response> {
        let headers = &parts.headers;
        if !local && !self.gate.is_for_us(headers) {
            let why = "it does not know that name as its own: driver daemon --host NAME";
            return Err(page(StatusCode::MISDIRECTED_REQUEST, why));
        }
        if is_foreign(headers) {
            return Err(page(StatusCode::FORBIDDEN, "pages of other sites may not ask"));
        }
        if !local {
            self.admit(parts).await?;
        }
        let path = folded(parts.uri.path());
        if path.trim_end_matches('/') != format!("{}/rpc", self.prefix.0) {
            return Err(page(StatusCode::NOT_FOUND, "there is nothing here"));
        }
        let named = headers.get(SESSION_ID).and_then(|value| value.to_str().ok());
        if !named.is_some_and(|id| self.desk.passports.knows(id)) {
            return Err(self.without_id());
        }
        if parts.method != Method::POST {
            let refusal = page(StatusCode::METHOD_NOT_ALLOWED, "this takes POST only");
            return Err(with(refusal, ALLOW, "POST"));
        }
        let (bytes, _weight) =
            self.gate.receive(body, BODY_LEN_MAX).await.map_err(|error| too_much(&error))?;
        Ok(match Box::pin(dialect::answer(&self.desk, bytes)).await {
            Some(text) => {
                ([(CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response()
            }
            None => StatusCode::NO_CONTENT.into_response(),
        })
    }

    async fn admit(&self, parts: &Parts) -> Result<(), Response> {
        match self.gate.look(sender(parts), shown_by_tool(&parts.headers)).await {
            Verdict::Welcome => Ok(()),
            Verdict::Wrong => {
                let why = "the password is the token of driver daemon; any user will do";
                let refusal = page(StatusCode::UNAUTHORIZED, why);
                Err(with(refusal, WWW_AUTHENTICATE, "Basic realm=\"Transmission\""))
            }
            Verdict::Unheard => {
                let why = "too many wrong tokens: wait ten seconds";
                Err(with(page(StatusCode::TOO_MANY_REQUESTS, why), RETRY_AFTER, "10"))
            }
        }
    }

    /// What tells the session id, in a header and in words.
    fn without_id(&self) -> Response {
        let id = self.desk.passports.now();
        let header = format!("X-Transmission-Session-Id: {id}");
        let why = format!("ask again with the header <code>{header}</code>");
        let mut refusal = page(StatusCode::CONFLICT, &why);
        if let Ok(id) = HeaderValue::from_str(&id) {
            refusal.headers_mut().insert(SESSION_ID, id);
        }
        refusal
    }
}

/// A page that says why, as the real server answers what is no RPC.
fn page(status: StatusCode, why: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let text = format!("<!doctype html><title>{title}</title><h1>{title}</h1><p>{why}</p>\n");
    (status, [(CONTENT_TYPE, "text/html; charset=UTF-8")], text).into_response()
}

fn with(mut answer: Response, name: HeaderName, value: &'static str) -> Response {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

fn too_much(error: &BodyError) -> Response {
    let (status, why) = unread(error, BODY_LEN_MAX);
    let refusal = page(status, &why);
    if *error == BodyError::Busy { with(refusal, RETRY_AFTER, "10") } else { refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_folded_and_nothing_else() {
        let usual = Prefix::default();
        for path in ["/transmission", "/transmission/rpc", "//transmission//rpc/", "/transmission/"]
        {
            assert!(usual.is_of(path), "{path}");
        }
        for path in ["/", "/transmissions/rpc", "/x/transmission/rpc", "/Transmission/rpc", ""] {
            assert!(!usual.is_of(path), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_a_plain_path_that_nothing_else_is_below() {
        for (text, path) in
            [("/x", "/x"), ("/t-1/y.z/", "/t-1/y.z"), ("//a//b", "/a/b"), ("/apis", "/apis")]
        {
            assert_eq!(text.parse(), Ok(Prefix(path.to_owned())));
        }
        for text in ["", "/", "x", "/x y", "/x?y", "/..", "/a/./b", "/api", "/api/v1", "/page"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
