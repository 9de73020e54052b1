//! The catalogue over HTTP: `GET /catalogue` lists it, and `/catalogue/NAME` is put, fetched and
//! deleted. Errors are JSON, `{"error": "..."}`. Everybody may read; who wants to change
//! something needs the token, or, where there is none, has to be no web page. Not here: what
//! may be registered, and where it lies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;

use crate::http::answer::{Refused, json_answer};
use crate::http::body::{BodyError, Busy, Upload, drain};
use crate::http::origin;
use crate::http::token::bearer;
use crate::metainfo::Torrent;
use crate::tracker::catalogue::{self, Entry, TORRENT_LEN_MAX, Verdict, check_name};
use crate::tracker::door::{Knock, Shown};
use crate::tracker::proof::{SignedChange, body_hash};

use super::front::{Front, ending};
use super::library::{Desk, Order, OrderError};
use super::listing::List;

/// Where names begin in a path.
const PREFIX: &str = "/catalogue/";

/// What is taken of an upload.
const UPLOAD: Upload = Upload { len_max: TORRENT_LEN_MAX, within: Duration::from_secs(60) };

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
            drain(body);
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
        let list = self.list.get(is_current).await.ok_or_else(ending)?;
        Ok(([(CONTENT_TYPE, "application/json")], list.text).into_response())
    }

    async fn fetch(&self, uri: &Uri) -> Result<Response, Refused> {
        let desk = self.desk()?;
        let name = name_of(uri)?;
        let entry = desk.catalogue.borrow().find(&name).cloned();
        let entry = entry.ok_or(OrderError::Unknown)?;
        let len = usize::try_from(entry.torrent_len).unwrap_or(TORRENT_LEN_MAX);
        let busy = |Busy| not_received(BodyError::Busy);
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
        let received = self.scales.receive(body, UPLOAD).await;
        let (bytes, weight) = received.map_err(not_received)?;
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
        let judged = judged.await.map_err(|_| ending())?;
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

/// What is told to who sends a torrent that is not read, or asks for one that has no room.
fn not_received(error: BodyError) -> Refused {
    let most = TORRENT_LEN_MAX >> 20;
    match error {
        BodyError::TooLong => {
            let why = format!("a torrent may have at most {most} MiB");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why)
        }
        BodyError::Busy => {
            let why = "this tracker is busy with other torrents; try again later";
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        BodyError::Broken => Refused::new(StatusCode::BAD_REQUEST, "the torrent broke off"),
        BodyError::Late => {
            let why = format!("the torrent did not arrive within {} s", UPLOAD.within.as_secs());
            Refused::new(StatusCode::REQUEST_TIMEOUT, why)
        }
    }
}

impl Desk {
    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
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
        if origin::is_foreign(headers) {
            let why = "web pages of other sites may change nothing here";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        // A page whose own host name leads to this machine has one origin with us.
        let needs_token = self.introducer.token.is_some();
        if !needs_token && !origin::is_for_us(headers, &[]) {
            let why = "without a token, this tracker has to be addressed as localhost";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown(authorization, method, name);
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
        let refused = Refused::new(StatusCode::UNAUTHORIZED, why);
        Err(refused.with(WWW_AUTHENTICATE, "Bearer, Pigeon"))
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
