//! What keeps a shared name alive as long as its sharer runs. A tracker that was started anew has
//! forgotten who is there, and may have lost its catalogue; it asks nobody, and the next announce
//! may be half an hour away. So it is asked now and then since when it runs. Not here: sharing.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::base::ids::InfoHash;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::status::State;
use crate::tracker::catalogue_client::{CatalogueClient, Error, Listing};

/// How often the tracker is asked since when it runs: some hundred bytes.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Every so many looks it is seen whether the name is listed still, which costs the whole list.
const LIST_EVERY: u32 = 3;
/// Times of a start that are so near are of one: it is told in whole seconds, and takes its way.
const SAME_START: Duration = Duration::from_secs(5);

/// A name in a catalogue, and what it stands for.
pub struct Shared {
    /// The tracker.
    pub client: CatalogueClient,
    /// The name.
    pub name: String,
    /// The torrent as a file.
    pub bytes: Vec<u8>,
    /// What it is known by.
    pub info_hash: InfoHash,
    /// What to know to change the catalogue.
    pub token: Option<String>,
}

impl Shared {
    /// Registers the name; no error if it is registered so already.
    ///
    /// # Errors
    /// As [`CatalogueClient::register`].
    pub async fn register(&self) -> Result<(), Error> {
        let Self { client, name, bytes, info_hash, token } = self;
        client.register(name, bytes.clone(), *info_hash, token.as_deref()).await
    }

    /// Tells the tracker again whenever it was started anew, until the torrent has ended.
    pub async fn keep(self, handle: TorrentHandle) {
        let mut memory = Memory::default();
        let mut looks = 0u32;
        while !handle.has_ended() {
            if let Ok(uptime) = self.client.uptime().await {
                let is_anew = memory.is_anew(Instant::now(), uptime);
                if (is_anew || looks.is_multiple_of(LIST_EVERY))
                    && let Ok(listing) = self.client.list().await
                    && memory.is_to_be_registered(self.is_in(&listing))
                {
                    let registered = self.register().await;
                    tracing::info!(name = self.name, ?registered, "shared again");
                    memory.on_registered(registered.is_ok());
                }
                looks += 1;
            }
            // One that is paused has left its tracker.
            let is_there = !matches!(handle.state(), State::Paused | State::Finished);
            if memory.owes_announce && is_there {
                // Trackers are not asked more often than they allow.
                let said = handle.announce().await.unwrap_or_default();
                memory.owes_announce = !said.starts_with("asking ");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn is_in(&self, listing: &Listing) -> bool {
        listing.find(&self.name).is_some_and(|listed| listed.info_hash == self.info_hash)
    }
}

/// What is remembered of the tracker.
#[derive(Debug, Default)]
struct Memory {
    began: Option<Instant>,
    /// It was started anew, and its list not looked at since.
    is_unseen: bool,
    /// The name was not listed when it should have been: somebody took it back.
    is_taken_back: bool,
    owes_announce: bool,
}

impl Memory {
    /// Was the tracker, which runs for so long, started anew since it was asked last?
    fn is_anew(&mut self, now: Instant, uptime: Duration) -> bool {
        let began = now.checked_sub(uptime).unwrap_or(now);
        let before = self.began.replace(began);
        let is_anew = before.is_some_and(|before| began > before + SAME_START);
        self.is_unseen |= is_anew;
        self.owes_announce |= is_anew;
        self.is_unseen
    }

    /// The list was seen: has the tracker lost the name? Who took it back meant it.
    fn is_to_be_registered(&mut self, is_listed: bool) -> bool {
        let is_anew = std::mem::take(&mut self.is_unseen);
        let is_lost = !is_listed && is_anew && !self.is_taken_back;
        self.is_taken_back = !is_listed && !is_lost;
        is_lost
    }

    /// The name is tried again if that failed.
    fn on_registered(&mut self, is_done: bool) {
        self.is_unseen |= !is_done;
        // Before, a tracker of registered torrents only refused it.
        self.owes_announce = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_that_was_started_anew_is_told_again() {
        let start = Instant::now() + Duration::from_secs(10_000);
        let at = |s: u64| start + Duration::from_secs(s);
        let mut memory = Memory::default();
        assert!(!memory.is_anew(at(0), Duration::from_secs(5000)), "nothing is known before");
        assert!(!memory.is_to_be_registered(true));
        assert!(!memory.is_anew(at(20), Duration::from_secs(5019)));
        assert!(!memory.owes_announce);
        assert!(memory.is_anew(at(40), Duration::from_secs(3)));
        assert!(memory.owes_announce);
        assert!(!memory.is_to_be_registered(true), "it has kept the name");
        assert!(!memory.is_anew(at(60), Duration::from_secs(23)), "it is the same still");
        assert!(memory.is_anew(at(80), Duration::ZERO));
        assert!(memory.is_to_be_registered(false), "it has lost it");
        memory.on_registered(false);
        assert!(memory.is_anew(at(100), Duration::from_secs(20)), "that failed");
        assert!(memory.is_to_be_registered(false));
        memory.on_registered(true);
        assert!(!memory.is_anew(at(120), Duration::from_secs(40)));
    }

    #[test]
    fn a_name_that_was_taken_back_is_not_registered_again() {
        let start = Instant::now() + Duration::from_secs(10_000);
        let mut memory = Memory::default();
        memory.is_anew(start, Duration::from_secs(50));
        assert!(!memory.is_to_be_registered(false));
        let later = start + Duration::from_secs(20);
        assert!(memory.is_anew(later, Duration::ZERO));
        assert!(!memory.is_to_be_registered(false));
        assert!(!memory.is_anew(later, Duration::ZERO), "the list was seen");
    }
}
