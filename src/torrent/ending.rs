//! The end of a torrent's actor: its links are closed, pieces that are at the disk are waited for,
//! everything is brought to the device, and trackers hear that we leave. What has to be given up
//! is said. When to end is not known here.

use std::time::{Duration, Instant};

use tokio::time::{interval, sleep_until, timeout};
use tracing::{debug, warn};

use crate::base::units::{duration, size};
use crate::disk::Job;
use crate::swarm::event::Input;
use crate::swarm::link::CloseReason;

use super::actor::Actor;

/// How long links have to say what they sent last. They wait for nothing then, so that it takes
/// no time.
const LAST_WORDS_BUDGET: Duration = Duration::from_millis(500);
/// How long the device has for what is left. Longer when somebody is patient, and it answers.
const FLUSH_BUDGET: Duration = Duration::from_secs(6);
/// How often it is shown how much is left.
const SHOW_EVERY: Duration = Duration::from_millis(250);

impl Actor {
    /// Ends everything that runs.
    pub(super) async fn end(&mut self) {
        // One that is moved or looked at keeps its place in the queue.
        if self.move_order.is_none() && !self.verifies {
            self.publisher.set_stopping();
        }
        self.publish();
        self.swarm.note(Input::Pause(true), Instant::now());
        self.tell_room();
        self.carry_out();
        self.links.close_all(CloseReason::Stopping);
        self.hear_last_words().await;
        // Trackers are told of it all.
        self.publish();
        let goodbye = self.trackers.stop();
        self.flush().await;
        goodbye.await;
        self.publish();
    }

    /// Waits until all links have ended: what was sent over them counts, here and in ratios.
    async fn hear_last_words(&mut self) {
        let words = async {
            while let Some(report) = self.links.reports.recv().await {
                self.on_report(report);
            }
        };
        // One that hangs is not waited for.
        let _ = timeout(LAST_WORDS_BUDGET, words).await;
        self.swarm.settle(Instant::now());
        self.carry_out();
    }

    /// Waits for verdicts, which count though nothing new is begun, then for the device.
    async fn flush(&mut self) {
        let deadline = Instant::now() + FLUSH_BUDGET;
        let mut show = interval(SHOW_EVERY);
        let mut is_asked = false;
        while !self.flushed {
            if self.jobs_out == 0 && !is_asked {
                is_asked = true;
                self.submit(Job::Flush);
            }
            let offer_at = self.jobs.again_at();
            tokio::select! {
                event = self.disk_events.recv() => {
                    // None when the workers have ended.
                    let Some(event) = event else { break };
                    self.on_disk_event(event);
                    self.swarm.settle(Instant::now());
                    self.carry_out();
                }
                () = sleep_until(offer_at.unwrap_or_else(Instant::now).into()),
                    if offer_at.is_some() => self.jobs.offer(Instant::now()),
                _ = show.tick() => {
                    self.publish();
                    let may_wait = *self.patient.borrow() && self.jobs.store.silence().is_none();
                    if Instant::now() >= deadline && !may_wait {
                        return self.give_up();
                    }
                }
            }
        }
    }

    /// Says what is not on the device. Who only seeds wrote none of it: its files are as safe as
    /// whoever made them left them.
    fn give_up(&mut self) {
        if self.is_seed_only {
            return debug!("a seed ends before its files are known to be on their device");
        }
        let bytes = self.jobs.store.backlog().bytes;
        if bytes == 0 && self.jobs_out == 0 {
            return;
        }
        let why = match self.jobs.store.silence() {
            Some(silence) => {
                let silent = duration(silence.since.elapsed());
                format!("{} has not answered for {silent}", silence.dir.display())
            }
            None if bytes == 0 => "its last pieces are not written yet".to_owned(),
            None => format!("{} of it are not on the device yet", size(bytes)),
        };
        warn!(why, "the torrent ends before everything is on its device");
        self.publisher.set_flush_failure(why);
    }
}
