//! What all requests share: ways to the owners of table and catalogue, and what is shown to all.
//! Not here: what is asked and answered.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::tracker::table::TableCounts;

use super::body::Scales;
use super::config::ServerConfig;
use super::counters::Counters;
use super::keeper::Errand;
use super::library::Desk;
use super::listing::List;
use super::press::Press;

/// What all requests share.
pub(super) struct Front {
    pub config: ServerConfig,
    pub keeper: mpsc::Sender<Errand>,
    pub desk: Option<Desk>,
    pub counters: Arc<Counters>,
    pub scales: Scales,
    pub totals: Press<TableCounts>,
    pub page: Press<Bytes>,
    pub list: Press<List>,
    pub began_at: Instant,
}

impl Front {
    /// What is told when the tracker ends before it could answer.
    pub(super) fn ending(&self) -> Response {
        let value = json!({ "error": "this tracker is shutting down" });
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &value)
    }
}

/// An answer of JSON.
pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}
