//! Who may ask, and how answers look: hosts, origins, tokens, kinds and sizes of bodies. Each is
//! looked at before anything that is behind it costs anything.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request as HttpRequest;
use axum::http::header::{
    ACCEPT, ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::Notify;

use crate::api::{Answer, Api, Kind, Mark, Refusal, Request, TorrentFile};
use crate::http::answer::{Refused, json_answer, protect};
use crate::http::body::{BodyError, Weight, drain};
use crate::http::origin::is_foreign;

use super::call::{self, Media, Wrong};
use super::gate::{Gate, Verdict, sender, shown, unread};
use super::page::{self, Page};
use super::press::Press;
use super::qbittorrent::{self, Qbittorrent};
use super::transmission::{Prefix, Transmission};
use super::{metrics, stream};

/// The API as OpenAPI 3.1 has it.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
/// The longest torrent.
const TORRENT_LEN_MAX: usize = 16 << 20;
/// The longest body that brings one in base64, with what is said about it.
const ADDITION_LEN_MAX: usize = TORRENT_LEN_MAX / 3 * 4 + (64 << 10);
/// The longest of all others: a choice among a hundred thousand files.
const BODY_LEN_MAX: usize = 1 << 20;

/// What all requests meet.
pub(super) struct Front {
    api: Api,
    gate: Gate,
    press: Press,
    transmission: Transmission,
    qbittorrent: Qbittorrent,
    page: Page,
}

impl Front {
    /// It is asked as Transmission is below that path. `closes` is told when somebody who may
    /// orders the end.
    pub fn new(api: Api, transmission: Prefix, gate: Gate, closes: Arc<Notify>) -> Self {
        let press = Press::start(api.clone(), stream::written);
        let transmission =
            Transmission::new(api.clone(), transmission, gate.clone(), closes.clone());
        let qbittorrent = Qbittorrent::start(api.clone(), gate.clone(), closes);
        let page = Page::start(gate.clone());
        Self { api, gate, press, transmission, qbittorrent, page }
    }

    /// Whether whoever asks may: by a token, or by the cookie of who signed in at the page.
    async fn admit(&self, parts: &Parts) -> Result<(), Refused> {
        let shown = shown(&parts.headers);
        if shown.is_none() && self.page.knows(&parts.method, &parts.headers).await {
            return Ok(());
        }
        match self.gate.look(sender(parts), shown).await {
            Verdict::Welcome => Ok(()),
            Verdict::Wrong => {
                let why = "show the token: Authorization: Bearer TOKEN";
                Err(Refused::new(StatusCode::UNAUTHORIZED, why).with(WWW_AUTHENTICATE, "Bearer"))
            }
            Verdict::Unheard => {
                let why = "too many wrong tokens: wait ten seconds";
                Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, why).with(RETRY_AFTER, "10"))
            }
        }
    }
}

/// What answers on a socket; on a `local` one whoever may open it needs no token.
pub(super) fn router(front: Arc<Front>, local: bool) -> Router {
    let answer = move |request: HttpRequest| async move {
        let (parts, mut body) = request.into_parts();
        // Dialects of other programs have refusals of their own.
        match parts.uri.path() {
            path if front.transmission.is_asked_at(path) => {
                return Box::pin(front.transmission.answer(&parts, body, local)).await;
            }
            path if path.starts_with(qbittorrent::BASE) => {
                return Box::pin(front.qbittorrent.answer(&parts, body, local)).await;
            }
            _ => {}
        }
        let answered = answer(&front, &parts, &mut body, local).await;
        answered.unwrap_or_else(|refused| {
            drain(body);
            refused.into_response()
        })
    };
    Router::new().fallback(answer).layer(map_response(protect))
}

async fn answer(
    front: &Front,
    parts: &Parts,
    body: &mut Body,
    local: bool,
) -> Result<Response, Refused> {
    let (method, path, headers) = (&parts.method, parts.uri.path(), &parts.headers);
    if !local && !front.gate.is_for_us(headers) {
        let why =
            "it does not know that name as its own: driver daemon --host NAME allows one more";
        return Err(Refused::new(StatusCode::FORBIDDEN, why));
    }
    if is_foreign(headers) {
        return Err(Refused::new(StatusCode::FORBIDDEN, "pages of other sites may not ask"));
    }
    if page::is_of(path) {
        return front.page.answer(parts, body, local).await;
    }
    match (method, path) {
        (&Method::GET, "/healthz") => return Ok(healthy(front)),
        (&Method::GET, "/api/v1/openapi.json") => {
            return Ok(([(CONTENT_TYPE, "application/json")], OPENAPI).into_response());
        }
        (_, "/healthz" | "/api/v1/openapi.json" | "/metrics") if method != Method::GET => {
            return Err(wrong(&Wrong::Method(&["GET"])));
        }
        _ => {}
    }
    if !local {
        front.admit(parts).await?;
    }
    if path == "/metrics" {
        let standing = front.api.answer(Request::Session).await.map_err(refused)?;
        return Ok(metrics::answer(&standing));
    }
    let routed = call::route(method, path).map_err(|error| wrong(&error))?;
    let media = media_of(headers);
    let len_max = match (&routed, media) {
        (routed, Media::Torrent) if routed.takes_torrents() => TORRENT_LEN_MAX,
        (routed, _) if routed.takes_torrents() => ADDITION_LEN_MAX,
        _ => BODY_LEN_MAX,
    };
    // What is made of the bytes is as long as they are, and weighs as much until it is done with.
    let (bytes, _weight) = receive(front, (method, media), body, len_max).await?;
    let read = call::read(&routed, method, parts.uri.query(), (media, &bytes));
    let request = read.map_err(|error| wrong(&error))?;
    drop(bytes);
    if wants_stream(headers) {
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let last = last.and_then(|text| text.parse::<Mark>().ok());
        match request {
            Request::Events(since) => {
                return Ok(stream::answer(&front.api, front.press.clone(), last.or(since)));
            }
            Request::List(since) => return Ok(stream::lists(&front.api, last.or(since))),
            _ => {}
        }
    }
    if request == Request::List(None) {
        let list = front.press.list().await.map_err(refused)?;
        return Ok(([(CONTENT_TYPE, "application/json")], list).into_response());
    }
    front.api.answer(request).await.map(answered).map_err(refused)
}

/// Reads the body of a request, as far as one may have one.
async fn receive(
    front: &Front,
    (method, media): (&Method, Media),
    body: &mut Body,
    len_max: usize,
) -> Result<(Vec<u8>, Option<Weight>), Refused> {
    if matches!(*method, Method::GET | Method::DELETE) {
        return Ok((Vec::new(), None));
    }
    if matches!(media, Media::None | Media::Other) {
        return Err(wrong(&Wrong::Media));
    }
    match front.gate.receive(body, len_max).await {
        Ok((bytes, weight)) => Ok((bytes, Some(weight))),
        Err(error) => {
            let is_busy = error == BodyError::Busy;
            let (status, why) = unread(&error, len_max);
            let refused = Refused::new(status, why);
            Err(if is_busy { refused.with(RETRY_AFTER, "10") } else { refused })
        }
    }
}

fn media_of(headers: &HeaderMap) -> Media {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Media::None };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        it if it.eq_ignore_ascii_case("application/json") => Media::Json,
        it if it.eq_ignore_ascii_case("application/x-bittorrent") => Media::Torrent,
        _ => Media::Other,
    }
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    { accepts }.any(|accept| accept.contains("text/event-stream"))
}

fn healthy(front: &Front) -> Response {
    // It runs, and does its work: what cannot be written is told, and is no reason to restart it.
    // In what words is not for those who show no token.
    let body = json!({ "ok": true, "trouble": front.api.session().trouble().is_some() });
    json_answer(StatusCode::OK, &body)
}

fn answered(answer: Answer) -> Response {
    let answer = match answer {
        Answer::Made(file) => return saved(&file),
        answer => answer,
    };
    let status = match &answer {
        Answer::Added(added) if added.was_there => StatusCode::OK,
        Answer::Added(_) => StatusCode::CREATED,
        Answer::Making(_) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    match serde_json::to_vec(&answer) {
        Ok(mut text) => {
            text.push(b'\n');
            (status, [(CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(error) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// A torrent that browsers are to save under its name (RFC 6266, RFC 8187).
fn saved(file: &TorrentFile) -> Response {
    let name = urlencoding::encode(&file.name);
    let disposition = format!("attachment; filename*=UTF-8''{name}");
    let headers = [(CONTENT_TYPE, "application/x-bittorrent"), (CONTENT_DISPOSITION, &disposition)];
    (headers, Bytes::from_owner(file.bytes.clone())).into_response()
}

fn refused(refusal: Refusal) -> Refused {
    let status = match refusal.code {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        // Something that it depends on did: a disk, the network.
        Kind::Failed => StatusCode::FAILED_DEPENDENCY,
        Kind::Ended => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused::new(status, refusal.error)
}

fn wrong(wrong: &Wrong) -> Refused {
    match wrong {
        Wrong::NothingHere => Refused::new(StatusCode::NOT_FOUND, "there is nothing here"),
        Wrong::Method(methods) => {
            let allow = match methods {
                ["GET"] => "GET",
                ["POST"] => "POST",
                ["DELETE"] => "DELETE",
                ["GET", "POST"] => "GET, POST",
                ["GET", "PATCH"] => "GET, PATCH",
                _ => "GET, PATCH, DELETE",
            };
            let why = format!("this takes {allow} only");
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, why).with(ALLOW, allow)
        }
        Wrong::Media => {
            let why = "the body is to be of the type application/json";
            Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
        }
        Wrong::Sense(why) => Refused::new(StatusCode::BAD_REQUEST, why),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::token::Token;
    use crate::rpc::gate::Hosts;
    use crate::rpc::tests::api;

    #[tokio::test]
    async fn a_body_weighs_what_it_says_until_it_is_answered() {
        let home = tempfile::tempdir().unwrap();
        let (api, _) = api(&home).await;
        let gate = Gate::new(Token::new("x"), Hosts::default());
        let front = Arc::new(Front::new(api, Prefix::default(), gate, Arc::default()));
        // Somebody who is asked and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x.torrent", silent.local_addr().unwrap());
        let body = format!("{}{}", json!({ "url": url }), " ".repeat(15 << 20));
        let request = HttpRequest::post("/api/v1/torrents");
        let request = request.header(CONTENT_TYPE, "application/json");
        let (parts, mut body) = request.body(Body::from(body)).unwrap().into_parts();
        let asked = front.clone();
        let waits =
            tokio::spawn(async move { answer(&asked, &parts, &mut body, true).await.is_ok() });
        let _silent = silent.accept().await.unwrap();
        let room = |mib: usize| front.gate.scales().try_weigh(mib << 20);
        assert!(room(34).is_none(), "it is not done with");
        let rest = room(32);
        assert!(rest.is_some(), "it holds no more than it is long");
        waits.abort();
        assert!(waits.await.is_err());
        drop(rest);
        assert!(room(48).is_some(), "it is given back");
    }
}
