//! What a torrent tells at each tick: the disk's load and the limits to its brain, what has changed
//! about servers to whoever listens, and its snapshot to the board.

use std::time::{Duration, Instant};

use crate::base::units::BLOCK_LEN;
use crate::swarm::event::Input;

use super::actor::Actor;
use super::handle::News;
use super::seats::Needs;

/// How often the snapshot is renewed while anything moves.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// The same for a torrent that is paused, or complete and alone: a thousand of them cost next to
/// nothing.
const PUBLISH_IDLE: Duration = Duration::from_secs(30);

/// Is it nine tenths of the limit? Users may set any number.
fn is_near(rate: u64, limit: u64) -> bool {
    rate.saturating_mul(10) > limit.saturating_mul(9)
}

impl Actor {
    pub(super) fn on_publish_tick(&mut self) {
        let now = Instant::now();
        self.note_silence(now);
        self.note_starved(now);
        for ours in self.links.newly_found() {
            self.swarm.handle(Input::OurAddress(ours), now);
        }
        self.waits = [self.waits[1], self.links.config.pool.waits_count()];
        let stats = self.jobs.store.stats();
        let hashing = Duration::from_nanos(stats.hash_ns.saturating_sub(self.disk_stats.hash_ns));
        let writing = Duration::from_nanos(stats.write_ns.saturating_sub(self.disk_stats.write_ns));
        self.disk_stats = stats;
        self.swarm.handle(Input::DiskLoad { hashing, writing }, now);
        let rate = self.swarm.snapshot(now).down_rate;
        self.disk_meter.note(stats, rate, now);
        let limiter = &self.links.config.limiter;
        // A torrent alone at its limit, or one of several that share the session's. Under a limit
        // of less than a block a second there is no rate to tell that from.
        let limited = limiter.rate().is_some_and(|limit| {
            let has_rate = rate > 0 || limit < BLOCK_LEN as u64;
            is_near(rate, limit) || has_rate && limiter.holds_back(now)
        });
        let limited = limited || self.sources.limit(now).1;
        self.swarm.handle(Input::Limited(limited), now);
        self.tell_of_sources(now);
        self.tell_room();
        let up_limit = self.links.config.up_limiter.rate();
        self.swarm.handle(Input::UploadLimit(up_limit), now);
        self.look_around(now);
        self.publish();
    }

    /// What has changed about servers of files since it was told last.
    pub(super) fn tell_of_sources(&mut self, now: Instant) {
        if self.sources.is_empty() {
            return;
        }
        for news in self.sources.news(&self.swarm, now) {
            self.news.send(News::Source(news));
        }
    }

    /// Whoever connects wakes us, and then this is looked at again.
    pub(super) fn publish_pause(&self) -> Duration {
        // Who came, took all and left between two snapshots is to be seen in the next one.
        let is_told = self.swarm.moved_bytes() == self.published_bytes;
        let is_still = is_told && self.links.is_empty() && self.jobs_out == 0;
        // One that is to sleep waits for its device at most.
        match is_still && self.status.is_still() && !self.rests_when_it_can() {
            true => PUBLISH_IDLE,
            false => PUBLISH_EVERY,
        }
    }

    pub(super) fn publish(&mut self) {
        let now = Instant::now();
        let limits = (self.links.config.limiter.rate(), self.links.config.up_limiter.rate());
        let mut status = self.publisher.status(&self.swarm, &self.trackers.status, limits, now);
        status.unsynced_bytes = self.jobs.store.backlog().bytes;
        self.seats.take(Needs {
            takes_part: !self.publisher.is_paused() && !self.publisher.is_stopping(),
            is_seed: self.publisher.left().0 == 0,
            lacks: status.left_bytes() > 0,
            peers: status.peers_connected,
        });
        status.dht = self.seats.status(now);
        (status.sources_connected, status.sources_known) = self.sources.counts(&self.swarm, now);
        self.published_bytes = self.swarm.moved_bytes();
        let is_paused = self.publisher.is_paused();
        self.trackers.publish(&status, self.swarm.working_peers(), is_paused);
        self.status.post(status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_any_number() {
        assert!(is_near(91, 100) && !is_near(90, 100));
        assert!(!is_near(1 << 30, 3_000_000_000_000_000_000));
    }
}
