//! The catalogue over HTTP: `GET /catalogue` lists it, and `/catalogue/NAME` is put, fetched and
//! deleted. Errors are JSON, `{"error": "..."}`. Everybody may read; who wants to change
//! something needs the token, or, where there is none, has to be no web page. Not here: what
//! may be registered, and where it lies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::addr::{Locality, without_brackets};
use crate::metainfo::Torrent;
use crate::tracker::catalogue::{self, Entry, TORRENT_LEN_MAX, Verdict, check_name};
use crate::tracker::door::{Knock, Shown};
use crate::tracker::proof::{SignedChange, body_hash};

use super::body::{self, BodyError};
use super::front::{Front, json_answer};
use super::library::{Desk, Order, OrderError};
use super::listing::List;

/// Where names begin in a path.
const PREFIX: &str = "/catalogue/";

/// Time for an upload to arrive.
const UPLOAD_LIMIT: Duration = Duration::from_secs(60);

/// What a request cannot have, as it is told.
struct Refused {
    status: StatusCode,
    why: String,
    /// A header that belongs to it.
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, why: why.to_string(), header: None }
    }

    fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this tracker is shutting down")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut answer = json_answer(self.status, &json!({ "error": self.why }));
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        answer
    }
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        let status = match &error {
            OrderError::Unknown => StatusCode::NOT_FOUND,
            OrderError::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
            OrderError::Catalogue(error) => match error {
                catalogue::Error::Name(_) | catalogue::Error::NoHash => StatusCode::BAD_REQUEST,
                catalogue::Error::NameTaken(_) | catalogue::Error::TorrentTaken(_) => {
                    StatusCode::CONFLICT
                }
                catalogue::Error::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            },
        };
        Self::new(status, error)
    }
}

/// Answers `GET /catalogue`.
pub(super) async fn list(State(front): State<Arc<Front>>) -> Response {
    front.list().await.unwrap_or_else(Refused::into_response)
}

/// Answers `GET /catalogue/NAME` with the torrent.
pub(super) async fn fetch(State(front): State<Arc<Front>>, uri: Uri) -> Response {
    front.fetch(&uri).await.unwrap_or_else(Refused::into_response)
}

/// Answers `PUT /catalogue/NAME`: 201 when it is new, 200 when it was there.
pub(super) async fn put(
    State(front): State<Arc<Front>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, mut body) = request.into_parts();
    match front.put(remote, &head.uri, &head.headers, &mut body).await {
        Ok(answer) => answer,
        Err(refused) => {
            // Closed with bytes unread, the system would take the answer back.
            body::drain(body);
            refused.into_response()
        }
    }
}

/// Answers `DELETE /catalogue/NAME`: 204.
pub(super) async fn delete(
    State(front): State<Arc<Front>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    front.delete(remote, &uri, &headers).await.unwrap_or_else(Refused::into_response)
}

impl Front {
    fn desk(&self) -> Result<&Desk, Refused> {
        let none = || Refused::new(StatusCode::NOT_FOUND, "this tracker keeps no catalogue");
        self.desk.as_ref().ok_or_else(none)
    }

    async fn list(&self) -> Result<Response, Refused> {
        let current = &self.desk()?.catalogue;
        let is_current = |list: &List| Arc::ptr_eq(&list.of, &current.borrow());
        let list = self.list.get(is_current).await.ok_or_else(Refused::ending)?;
        Ok(([(CONTENT_TYPE, "application/json")], list.text).into_response())
    }

    async fn fetch(&self, uri: &Uri) -> Result<Response, Refused> {
        let desk = self.desk()?;
        let name = name_of(uri)?;
        let entry = desk.catalogue.borrow().find(&name).cloned();
        let entry = entry.ok_or(OrderError::Unknown)?;
        let len = usize::try_from(entry.torrent_len).unwrap_or(TORRENT_LEN_MAX);
        let busy = |_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, body::BUSY);
        let weight = self.scales.weigh(len).await.map_err(busy)?;
        let torrent = desk.ask(|answer| Order::Get { name, answer }).await??;
        let headers = [(CONTENT_TYPE, "application/x-bittorrent")];
        Ok((headers, weight.bytes(torrent)).into_response())
    }

    async fn put(
        &self,
        remote: SocketAddr,
        uri: &Uri,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Response, Refused> {
        let desk = self.desk()?;
        let name = name_of(uri)?;
        let claimed = desk.admit(remote, headers, &Method::PUT, &name).await?;
        check_name(&name).map_err(OrderError::from)?;
        let too_large = || {
            let most = TORRENT_LEN_MAX >> 20;
            let why = format!("a torrent may have at most {most} MiB");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why)
        };
        let announced = headers.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
        let announced = announced.or(body.size_hint().exact());
        if announced.is_some_and(|len: u64| len > TORRENT_LEN_MAX as u64) {
            return Err(too_large());
        }
        let busy = |_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, body::BUSY);
        let weight = self.scales.weigh(TORRENT_LEN_MAX).await.map_err(busy)?;
        let read = timeout(UPLOAD_LIMIT, body::read(body, TORRENT_LEN_MAX)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(BodyError::TooLong)) => return Err(too_large()),
            Ok(Err(BodyError::Broken)) => {
                return Err(Refused::new(StatusCode::BAD_REQUEST, "the torrent broke off"));
            }
            Err(_) => {
                let why = "the torrent did not arrive within 60 s";
                return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, why));
            }
        };
        if claimed.is_some_and(|claimed| claimed != body_hash(&bytes)) {
            let why = "the torrent is not the one that was signed";
            return Err(Refused::new(StatusCode::BAD_REQUEST, why));
        }
        let added_s = UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        // The most hostile 16 MiB take a while to judge.
        let judged = tokio::task::spawn_blocking(move || {
            let torrent = Torrent::parse(&bytes).map_err(|error| error.to_string())?;
            let entry = Entry::new(&name, &torrent, bytes.len() as u64, added_s);
            Ok((entry.map_err(|error| error.to_string())?, bytes))
        });
        let judged = judged.await.map_err(|_| Refused::ending())?;
        let (entry, torrent) =
            judged.map_err(|why: String| Refused::new(StatusCode::BAD_REQUEST, why))?;
        let shown = json!({ "name": entry.name, "info_hash": entry.info_hash.to_string() });
        let verdict = desk.ask(|answer| Order::Put { entry, torrent, answer }).await??;
        drop(weight);
        Ok(match verdict {
            Verdict::New => json_answer(StatusCode::CREATED, &shown),
            Verdict::Same => json_answer(StatusCode::OK, &shown),
        })
    }

    async fn delete(
        &self,
        remote: SocketAddr,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response, Refused> {
        let desk = self.desk()?;
        let name = name_of(uri)?;
        desk.admit(remote, headers, &Method::DELETE, &name).await?;
        desk.ask(|answer| Order::Delete { name, answer }).await??;
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

impl Desk {
    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| Refused::ending())?;
        answered.await.map_err(|_| Refused::ending())
    }

    /// Whether somebody may change the catalogue; the hash of the body that he is to send, if
    /// he signed that.
    async fn admit(
        &self,
        remote: SocketAddr,
        headers: &HeaderMap,
        method: &Method,
        name: &str,
    ) -> Result<Option<[u8; 32]>, Refused> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A browser says on whose behalf it asks, and no script can change that.
        if headers.contains_key(ORIGIN) && !is_same_origin(text(ORIGIN), text(HOST)) {
            let why = "web pages of other sites may change nothing here";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        // A page whose own host name leads to this machine has one origin with us.
        let needs_token = self.introducer.token.is_some();
        if !needs_token && headers.contains_key(HOST) && !is_this_machine(text(HOST)) {
            let why = "without a token, this tracker has to be addressed as localhost";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        let shown = shown(text(AUTHORIZATION), method, name);
        let claimed = match &shown {
            Shown::Signed { change, .. } => Some(change.body),
            _ => None,
        };
        let address = remote.ip();
        let why = match self.ask(|answer| Order::Knock { shown, address, answer }).await? {
            Knock::Welcome => return Ok(claimed),
            Knock::TooMany => {
                let why = "too many wrong tokens from your address; wait ten seconds";
                return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, why));
            }
            Knock::Missing => "a token is needed: the tracker's operator has it",
            Knock::Wrong => "that is not the tracker's token",
            Knock::Stale => "that nonce is no longer good: ask for another introduction",
        };
        let header = Some((WWW_AUTHENTICATE, "Bearer, Pigeon"));
        Err(Refused { header, ..Refused::new(StatusCode::UNAUTHORIZED, why) })
    }
}

/// What an `Authorization` shows.
fn shown(authorization: Option<&str>, method: &Method, name: &str) -> Shown {
    let Some(value) = authorization else { return Shown::Nothing };
    if let Some(change) = SignedChange::from_header(value) {
        let (method, name) = (method.as_str().to_owned(), name.to_owned());
        return Shown::Signed { change, method, name };
    }
    bearer(value).map_or(Shown::Nothing, |token| Shown::Token(token.to_owned()))
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn is_same_origin(origin: Option<&str>, host: Option<&str>) -> bool {
    let named = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    named.zip(host).is_some_and(|(named, host)| named.eq_ignore_ascii_case(host))
}

/// Whether a `Host` can only mean this machine.
fn is_this_machine(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let bare = without_brackets(bare);
    let address = bare.parse().map(Locality::of);
    bare.eq_ignore_ascii_case("localhost") || address == Ok(Locality::Loopback)
}

/// The name in a path: one segment, percent-encoded.
fn name_of(uri: &Uri) -> Result<String, Refused> {
    let bad = |why| Refused::new(StatusCode::BAD_REQUEST, why);
    let encoded = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if encoded.contains('/') {
        return Err(bad("bad name: it has a / or \\"));
    }
    let decoded = urlencoding::decode_binary(encoded.as_bytes()).into_owned();
    String::from_utf8(decoded).map_err(|_| bad("bad name: it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_nobody_can_point_here_are_this_machine() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:6969", "[::1]:6969", "127.9.9.9"] {
            assert!(is_this_machine(Some(host)), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"]
        {
            assert!(!is_this_machine(Some(host)), "{host}");
        }
    }

    #[test]
    fn an_origin_is_that_of_the_host_or_another() {
        assert!(is_same_origin(Some("http://127.0.0.1:6969"), Some("127.0.0.1:6969")));
        for origin in ["null", "http://evil.example", "http://127.0.0.1", "file://", ""] {
            assert!(!is_same_origin(Some(origin), Some("127.0.0.1:6969")), "{origin}");
        }
        assert!(!is_same_origin(Some("http://a"), None));
    }
}
