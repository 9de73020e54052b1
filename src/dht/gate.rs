//! How much passes: queries of each host, replies of ours, and queries to addresses that cheap
//! routers would need a new entry for. Bounded memory, however many addresses there are. Not
//! here: who is worth an answer, and what is asked.

mod recent;
#[cfg(test)]
mod tests;

use std::hash::Hash as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::event::Haste;
use super::nets::is_exempt;
use super::token::Secret;
use crate::base::addr::host_key;
use recent::Recent;

/// Queries a second that a host may send for long: libtorrent bans at the same rate.
const QUERIES_PER_S: u32 = 5;
/// Queries that it may send at once: mainline and rqbit send everything twice.
const QUERIES_BURST: u32 = 50;
/// How long whoever sends more is not heard (libtorrent).
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// Hosts whose queries are counted.
const HOSTS_MAX: usize = 4_096;
/// Bytes of replies a second: what libtorrent gives the DHT, there for its own queries as well.
const REPLY_BYTES_PER_S: u32 = 8_000;
/// Bytes of replies at once.
const REPLY_BYTES_BURST: u32 = 2 * REPLY_BYTES_PER_S;
/// A translator forgets a mapping of UDP after so long in the worst case; within it, datagrams
/// to the same address need no new entry.
const FLOW_LIFE: Duration = Duration::from_secs(30);
/// Addresses spoken to in that time that are told apart: twice the budget of both hastes, since
/// a collision counts as a fresh one.
const FLOWS_MAX: usize = 8_192;
/// Within this time ...
const ASK_WINDOW: Duration = Duration::from_secs(5);
/// ... so many queries go to one host: whoever is named by thousands is not flooded by us.
const ASKS_PER_WINDOW: u32 = 2;
/// Queries to one host at once.
const ASKS_BURST: u32 = 4;
/// Hosts that queries of ours are counted for.
const ASKED_MAX: usize = 2_048;

/// Counts what passes.
#[derive(Debug)]
pub struct Gate {
    secret: Secret,
    began: Instant,
    callers: Recent,
    flows: Recent,
    asked: Recent,
    replies: Pace,
    background: Pace,
    urgent: Pace,
}

impl Gate {
    /// For `fresh_flows` queries a second to addresses that were not spoken to in the last 30 s,
    /// and as many again for urgent ones.
    pub fn new(fresh_flows: u32, rng: &mut StdRng, now: Instant) -> Self {
        Self {
            secret: Secret::new(rng),
            began: now,
            callers: Recent::new(HOSTS_MAX),
            flows: Recent::new(FLOWS_MAX),
            asked: Recent::new(ASKED_MAX),
            replies: Pace::new(REPLY_BYTES_PER_S, REPLY_BYTES_BURST, now),
            background: Pace::new(fresh_flows, 2 * fresh_flows, now),
            urgent: Pace::new(fresh_flows, 2 * fresh_flows, now),
        }
    }

    /// Whether a query from there is looked at; counts it. Who asks more than five times a
    /// second for long is not heard for five minutes.
    pub fn admits(&mut self, from: IpAddr, now: Instant) -> bool {
        if is_exempt(from) {
            return true;
        }
        let now_ms = self.millis(now);
        let key = self.secret.hash(|hasher| host_key(from).hash(hasher));
        let until = self.callers.until(key, now_ms);
        let cost = 1_000 / QUERIES_PER_S;
        let limit = now_ms + u64::from(cost * QUERIES_BURST);
        let paid = (*until).max(now_ms) + u64::from(cost);
        if paid <= limit {
            *until = paid;
            return true;
        }
        // While it is silenced its time does not grow. Behind the silence it has no burst.
        if *until <= limit {
            *until = limit + SILENCE.as_millis() as u64;
        }
        false
    }

    /// Whether any reply may go out: without one nothing is looked up or stored for a query.
    pub fn has_reply_left(&self, to: IpAddr, now: Instant) -> bool {
        is_exempt(to) || self.replies.ready_at(1, now) <= now
    }

    /// Whether a reply of so many bytes may go out; counts it.
    pub fn may_reply(&mut self, to: IpAddr, len: usize, now: Instant) -> bool {
        is_exempt(to) || self.replies.take(u32::try_from(len).unwrap_or(u32::MAX), now)
    }

    /// Whether a query may go out; counts it.
    ///
    /// # Errors
    /// When it may not, with when to try again.
    pub fn ask(&mut self, to: SocketAddr, haste: Haste, now: Instant) -> Result<(), Instant> {
        if is_exempt(to.ip()) {
            return Ok(());
        }
        let now_ms = self.millis(now);
        let host = self.secret.hash(|hasher| host_key(to.ip()).hash(hasher));
        let flow = self.secret.hash(|hasher| to.hash(hasher));
        let cost = ASK_WINDOW.as_millis() as u64 / u64::from(ASKS_PER_WINDOW);
        let limit = now_ms + cost * u64::from(ASKS_BURST);
        let paid = (*self.asked.until(host, now_ms)).max(now_ms) + cost;
        if paid > limit {
            return Err(now + Duration::from_millis(paid - limit));
        }
        let is_fresh = *self.flows.until(flow, now_ms) <= now_ms;
        if is_fresh && !self.take_flow(haste, now) {
            return Err(self.next_flow(haste, now));
        }
        *self.flows.until(flow, now_ms) = now_ms + FLOW_LIFE.as_millis() as u64;
        *self.asked.until(host, now_ms) = paid;
        Ok(())
    }

    /// When a query to a fresh address may go out; now, if it may.
    pub fn next_flow(&self, haste: Haste, now: Instant) -> Instant {
        let background = self.background.ready_at(1, now);
        match haste {
            Haste::Background => background,
            Haste::Urgent => background.min(self.urgent.ready_at(1, now)),
        }
    }

    fn take_flow(&mut self, haste: Haste, now: Instant) -> bool {
        let is_urgent = haste == Haste::Urgent;
        (is_urgent && self.urgent.take(1, now)) || self.background.take(1, now)
    }

    fn millis(&self, now: Instant) -> u64 {
        // Never zero, which an unused place has.
        1 + now.saturating_duration_since(self.began).as_millis() as u64
    }
}

/// So much a second, and some at once.
#[derive(Debug)]
pub(super) struct Pace {
    each: Duration,
    burst: Duration,
    /// Until when it is used up.
    until: Instant,
}

impl Pace {
    pub(super) fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        let each = Duration::from_secs(1) / per_s.max(1);
        Self { each, burst: each * burst, until: now }
    }

    /// Whether so many may pass; counts them.
    pub(super) fn take(&mut self, count: u32, now: Instant) -> bool {
        let paid = self.paid(count, now);
        let fits = paid <= now + self.burst;
        if fits {
            self.until = paid;
        }
        fits
    }

    fn ready_at(&self, count: u32, now: Instant) -> Instant {
        now + self.paid(count, now).saturating_duration_since(now + self.burst)
    }

    fn paid(&self, count: u32, now: Instant) -> Instant {
        self.until.max(now) + self.each.saturating_mul(count)
    }
}
