//! The WebAPI of qBittorrent at `/api/v2`, as version 5.1.4 (2.11.4) speaks it: a view over the
//! API, for programs that know no other one. It has no truth of its own but who has logged in, and
//! a small book of categories, tags and preferences that nothing here has a counterpart for.
//!
//! | file | what |
//! |---|---|
//! | `desk` | what all answers are made of |
//! | `auth` | who may ask: hosts, origins, cookies, tokens |
//! | `form` | what a form says |
//! | `said` | answers, and their types |
//! | `mapping` | a torrent of ours as this dialect has it |
//! | `standing` | the session, likewise |
//! | `preferences` | preferences, likewise |
//! | `filter` | which torrents a list is of |
//! | `journal` | all torrents, kept up to date |
//! | `notes` | what changed when |
//! | `sync` | what changed, as it is written |
//! | `book` | what is kept |
//! | `app`, `torrents`, `orders`, `sorting`, `adding`, `trackers`, `transfer` | the endpoints |
//!
//! Source: the WebAPI of qBittorrent as it is on the wire, versions 4.5.2 to 5.3.0.

mod adding;
mod app;
mod auth;
mod book;
mod desk;
mod filter;
mod form;
mod journal;
mod mapping;
mod notes;
mod orders;
mod preferences;
mod said;
mod sorting;
mod standing;
mod sync;
mod torrents;
mod trackers;
mod transfer;

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Notify;

use crate::api::Api;
use crate::http::body::{Weight, drain};

use super::gate::{Gate, STRANGER_LEN_MAX, unread};
use auth::Guard;
use desk::{Asked, Desk};
use form::{Form, Media};
use said::{Fault, Reply};

/// What stands before all paths.
pub(super) const BASE: &str = "/api/v2/";
/// The longest body with torrents.
const ADDITION_LEN_MAX: usize = 32 << 20;
/// The longest of all others: the hashes of a hundred thousand torrents.
const BODY_LEN_MAX: usize = 4 << 20;

/// Paths that change something: no link of a page may lead there.
const WRITES: &[&str] = &[
    "app/setPreferences",
    "app/setCookies",
    "app/sendTestEmail",
    "app/shutdown",
    "auth/login",
    "auth/logout",
    "rss/addFeed",
    "rss/addFolder",
    "rss/markAsRead",
    "rss/moveItem",
    "rss/refreshItem",
    "rss/removeItem",
    "rss/removeRule",
    "rss/renameRule",
    "rss/setFeedURL",
    "rss/setRule",
    "search/delete",
    "search/downloadTorrent",
    "search/enablePlugin",
    "search/installPlugin",
    "search/start",
    "search/stop",
    "search/uninstallPlugin",
    "search/updatePlugins",
    "torrentcreator/addTask",
    "torrentcreator/deleteTask",
    "torrents/add",
    "torrents/addPeers",
    "torrents/addTags",
    "torrents/addTrackers",
    "torrents/addWebSeeds",
    "torrents/bottomPrio",
    "torrents/createCategory",
    "torrents/createTags",
    "torrents/decreasePrio",
    "torrents/delete",
    "torrents/deleteTags",
    "torrents/editCategory",
    "torrents/editTracker",
    "torrents/editWebSeed",
    "torrents/filePrio",
    "torrents/increasePrio",
    "torrents/pause",
    "torrents/reannounce",
    "torrents/recheck",
    "torrents/removeCategories",
    "torrents/removeTags",
    "torrents/removeTrackers",
    "torrents/removeWebSeeds",
    "torrents/rename",
    "torrents/renameFile",
    "torrents/renameFolder",
    "torrents/resume",
    "torrents/setAutoManagement",
    "torrents/setCategory",
    "torrents/setDownloadLimit",
    "torrents/setDownloadPath",
    "torrents/setForceStart",
    "torrents/setLocation",
    "torrents/setSSLParameters",
    "torrents/setSavePath",
    "torrents/setShareLimits",
    "torrents/setSuperSeeding",
    "torrents/setTags",
    "torrents/setUploadLimit",
    "torrents/start",
    "torrents/stop",
    "torrents/toggleFirstLastPiecePrio",
    "torrents/toggleSequentialDownload",
    "torrents/topPrio",
    "transfer/banPeers",
    "transfer/setDownloadLimit",
    "transfer/setSpeedLimitsMode",
    "transfer/setUploadLimit",
    "transfer/toggleSpeedLimitsMode",
];

/// Who answers in this dialect.
pub(super) struct Qbittorrent {
    desk: Desk,
    guard: Guard,
    gate: Gate,
}

impl Qbittorrent {
    /// For this session, behind this gate. `closes` is told when somebody orders the end.
    pub fn start(api: Api, gate: Gate, closes: Arc<Notify>) -> Self {
        Self { desk: Desk::start(api, closes), guard: Guard::start(gate.clone()), gate }
    }

    /// The answer to a request below [`BASE`]. A `local` one comes from whoever may open our
    /// socket, who needs to show nothing.
    pub async fn answer(&self, parts: &Parts, mut body: Body, local: bool) -> Response {
        let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
        let answered = self.reply(path, parts, &mut body, local).await;
        answered.unwrap_or_else(|fault| {
            drain(body);
            fault.into_response()
        })
    }

    async fn reply(
        &self,
        path: &str,
        parts: &Parts,
        body: &mut Body,
        local: bool,
    ) -> Result<Response, Fault> {
        auth::check_page(&parts.headers, local || self.gate.is_for_us(&parts.headers))?;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !is_read && parts.method != Method::POST {
            return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
        }
        if path == "auth/login" && !is_read {
            let (asked, _weight) = self.receive(path, parts, body).await?;
            return self.guard.log_in(parts, &asked, local).await;
        }
        let visit = self.guard.admit(parts, local).await?;
        if is_read && WRITES.contains(&path) {
            return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
        }
        if path == "auth/logout" {
            return Ok(self.guard.log_out(visit).await);
        }
        let (asked, _weight) = self.receive(path, parts, body).await?;
        Ok(self.serve(path, &asked).await?.into_response())
    }

    async fn serve(&self, path: &str, asked: &Asked) -> Reply {
        let (desk, form) = (&self.desk, &asked.form);
        match path.split_once('/').ok_or_else(Fault::not_found)? {
            ("app", action) => app::answer(desk, action, form).await,
            ("sync", action) => torrents::sync(desk, action, form).await,
            ("transfer", action) => transfer::answer(desk, action, form).await,
            ("torrents", "add") => adding::add(desk, asked).await,
            ("torrents", action) => match torrents::answer(desk, action, form).await {
                Some(reply) => reply,
                None => match sorting::answer(desk, action, form).await {
                    Some(reply) => reply,
                    None => orders::answer(desk, action, form).await,
                },
            },
            ("log" | "rss" | "search" | "torrentcreator", _) => {
                app::absent(path, WRITES.contains(&path))
            }
            _ => Err(Fault::not_found()),
        }
    }

    /// What is asked: for a read by GET what stands in the query, otherwise what stands in the
    /// body.
    async fn receive(
        &self,
        path: &str,
        parts: &Parts,
        body: &mut Body,
    ) -> Result<(Asked, Option<Weight>), Fault> {
        let bad = |_| Fault::bad("Bad Request");
        if parts.method != Method::POST {
            let query = parts.uri.query().unwrap_or_default();
            let form = Form::of_fields(query.as_bytes()).map_err(bad)?;
            return Ok((Asked { form, body: Vec::new() }, None));
        }
        let kind = parts.headers.get(CONTENT_TYPE).map(|it| it.to_str().unwrap_or("?"));
        let media = Media::of(kind);
        let (len_max, received) = match path {
            "auth/login" => (STRANGER_LEN_MAX, self.gate.receive_of_stranger(body).await),
            "torrents/add" => (ADDITION_LEN_MAX, self.gate.receive(body, ADDITION_LEN_MAX).await),
            _ => (BODY_LEN_MAX, self.gate.receive(body, BODY_LEN_MAX).await),
        };
        let (bytes, weight) = received.map_err(|error| {
            let (status, why) = unread(&error, len_max);
            Fault::new(status, why)
        })?;
        let form = match media {
            // Without a body its kind says nothing.
            _ if bytes.is_empty() && path != "torrents/add" => Form::default(),
            Ok(Media::Fields) => Form::of_fields(&bytes).map_err(bad)?,
            Ok(Media::Parts(boundary)) => Form::of_parts(&boundary, &bytes).map_err(bad)?,
            Ok(Media::Unsaid) if bytes.is_empty() => Form::default(),
            Ok(Media::Unsaid) | Err(_) => return Err(Fault::bad("")),
        };
        Ok((Asked { form, body: bytes }, Some(weight)))
    }
}
