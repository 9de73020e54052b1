//! What all requests share: ways to the owners of table and catalogue, and what is shown to all.
//! Not here: what is asked and answered.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;

use crate::http::answer::Refused;
use crate::http::body::Scales;
use crate::tracker::table::TableCounts;

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
        ending().into_response()
    }
}

/// The tracker ends before it could answer.
pub(super) fn ending() -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "this tracker is shutting down")
}
