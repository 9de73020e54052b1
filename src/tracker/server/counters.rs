//! What the tracker has done so far, counted where it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::connections;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub announces_http: AtomicU64,
    pub announces_udp: AtomicU64,
    pub scrapes_http: AtomicU64,
    pub scrapes_udp: AtomicU64,
    /// Announces and scrapes that got a reason instead of an answer.
    pub refused: AtomicU64,
    pub udp_connects: AtomicU64,
    /// Datagrams with a connection id that is not valid.
    pub udp_forged: AtomicU64,
    /// Datagrams that are no request.
    pub udp_noise: AtomicU64,
    /// Datagrams for which the table was too busy.
    pub udp_dropped: AtomicU64,
    pub http: Arc<connections::Counters>,
}

/// One more.
pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many so far.
pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
