//! A running torrent follows what is set of it: which files are wanted and how much, by which ways
//! it meets others, and how many of them. What it does not follow at once, a link that is up, ends
//! by itself.

use std::sync::Arc;
use std::time::Instant;

use crate::disk::Job;
use crate::link::LinkConfig;
use crate::swarm::event::Input;
use crate::swarm::urgency::Urgency;

use super::actor::Actor;
use super::birth;
use super::command::Choice;
use super::options::Conduct;
use super::parts::Parts;

impl Actor {
    /// Other files are wanted, or otherwise.
    pub(super) fn select(&mut self, choice: Choice) {
        let is_of_priorities = matches!(choice, Choice::Priorities(_));
        let before = self.wish.wanted_files();
        self.wish.files = choice.over(&self.wish.files);
        self.swarm.handle(Input::Urgency(self.urgency()), Instant::now());
        let wanted_files = self.wish.wanted_files();
        if is_of_priorities && wanted_files == before {
            self.publisher.set_files(&self.wish.files);
            return self.publish();
        }
        let wanted = self.wanted_pieces();
        let have = self.swarm.have();
        self.publisher.set_wanted(&self.extents, &self.layout, &wanted, &self.wish.files, have);
        self.submit(Job::Want(wanted_files));
        self.await_no_more();
        let was_complete = self.swarm.is_complete();
        if !self.is_seed_only {
            self.swarm.handle(Input::Wanted(wanted), Instant::now());
        }
        if was_complete && self.swarm.is_complete() {
            self.finish();
        }
        self.publish();
    }

    fn urgency(&self) -> Urgency {
        let ends_first = self.wish.conduct.ends_first;
        Urgency::of(&self.layout, &self.extents, &self.wish.files, ends_first)
    }

    /// It behaves so from now on.
    pub(super) fn follow(&mut self, conduct: Conduct, parts: &Parts) {
        let before = std::mem::replace(&mut self.wish.conduct, conduct);
        let now = Instant::now();
        let mut told = vec![
            Input::Sequential(conduct.sequential),
            Input::PeersMax(birth::max_peers(parts, conduct)),
            Input::SlotsMax(conduct.max_uploads),
        ];
        if conduct.ends_first != before.ends_first {
            told.push(Input::Urgency(self.urgency()));
        }
        let exchanges_peers = birth::exchanges_peers(parts, conduct);
        let dht = birth::dht_end(parts, conduct);
        if (conduct.exchange_peers, conduct.use_dht) != (before.exchange_peers, before.use_dht) {
            // Links that come from now on are so.
            let config = (*self.links.config).clone();
            self.links.config = Arc::new(LinkConfig { exchanges_peers, dht, ..config });
            told.push(Input::ExchangesPeers(exchanges_peers));
            self.seats.change(birth::dht(parts, conduct));
        }
        if conduct.use_trackers != before.use_trackers {
            self.change_trackers(parts);
        }
        if conduct.use_web_seeds != before.use_web_seeds && !self.is_seed_only {
            told.extend(self.sources.use_own(conduct.use_web_seeds));
        }
        told.into_iter().for_each(|input| self.swarm.handle(input, now));
        self.tell_room();
        self.publish();
    }

    /// These are its trackers from now on.
    pub(super) fn name_trackers(&mut self, tiers: Arc<[Vec<String>]>, parts: &Parts) {
        self.wish.trackers = Some(tiers);
        let is_complete = self.publisher.left().0 == 0;
        let config = birth::tracker_config(parts, &self.wish, is_complete);
        self.trackers.follow(&parts.resources.announcer, config);
        self.publish();
    }

    /// Those that were asked hear that we leave, or all are told that we are here.
    fn change_trackers(&mut self, parts: &Parts) {
        let left = self.publisher.left();
        let trackers = birth::start_trackers(parts, &self.wish, left.0 == 0, left);
        let before = std::mem::replace(&mut self.trackers, trackers);
        // Nobody waits for that.
        drop(before.leave());
    }
}

#[cfg(test)]
mod tests {
    use crate::base::file_priority::FilePriority::{High, Low, Normal, Off};

    use super::*;

    #[test]
    fn a_choice_of_files_leaves_the_others_as_urgent_as_they_were() {
        let before = [High, Low, Off, Normal];
        let chosen = Choice::Wanted(vec![true, true, true, false]);
        assert_eq!(chosen.count(), 4);
        assert_eq!(chosen.over(&before), [High, Low, Normal, Off]);
        let priorities = Choice::Priorities(vec![Low, Off, High, Low]);
        assert_eq!(priorities.over(&before), [Low, Off, High, Low]);
    }
}
