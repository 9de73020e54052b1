//! The part of a run that hears what happens to its torrents, and tells it: news, how far each is,
//! what a change of its state means, what it failed with.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::base::units::size;
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::print::{checking_words, news_json, news_line, progress_line};
use crate::cli::repl::Talk;
use crate::swarm::event::Event;
use crate::torrent::handle::News;
use crate::torrent::status::{State, Status};

use super::Live;
use super::last_words::{complete_line, whole_line};

/// A check that takes longer than this is told, and again as often.
const TELL_CHECK: Duration = Duration::from_secs(5);

impl Live {
    pub(super) fn on_news(&mut self, number: usize, told: &News) {
        if let Some(object) = news_json(told) {
            self.event(number, object);
        }
        let item = self.desk.item_mut(number);
        let is_again = item.as_ref().is_some_and(|item| item.life > 0);
        let is_seed_only = item.is_some_and(|item| item.is_seed_only);
        if is_again && matches!(told, News::Checked(_)) {
            // What was there is of no use, which was said.
            return;
        }
        if self.is_of_many(number, told) {
            return;
        }
        let Some(line) = news_line(told, is_seed_only) else { return };
        let is_trouble = matches!(
            told,
            News::Tracker(_) | News::Swarm(Event::DiskTrouble(_) | Event::HashFailed { .. })
        );
        if is_trouble {
            tracing::warn!("{line}");
        }
        // Many torrents have one tracker, and its trouble is one.
        if let News::Tracker(words) = told
            && self.desk.is_several
            && !self.troubles.is_news(words, Instant::now())
        {
            return;
        }
        if let (News::Swarm(event), Some(item)) = (told, self.desk.item_mut(number))
            && !item.progress.is_worth_telling(event, Instant::now())
        {
            return;
        }
        line.lines().for_each(|line| self.say(number, line));
    }

    /// Is this news told in a sum, of many torrents? What is wrong never is.
    fn is_of_many(&mut self, number: usize, told: &News) -> bool {
        let Some(crowd) = &mut self.crowd else { return false };
        match told {
            News::Checked(found) => {
                crowd.on_looked_at(number);
                let is_plain = found.lacks_room.is_none() && found.ignored.is_none();
                is_plain && found.changed.is_empty()
            }
            News::Swarm(Event::FirstPeer(_)) => true,
            _ => false,
        }
    }

    /// Tells how many of many torrents were looked at, if that is due.
    pub(super) fn tell_crowd(&mut self, is_checking: bool) {
        let due = self.crowd.as_mut().and_then(|crowd| crowd.due(is_checking, Instant::now()));
        if let Some(line) = due {
            self.desk.remember(&line);
            self.voice.result(&(line + "\n"));
        }
    }

    pub(super) fn on_status(&mut self, number: usize, status: &Status) {
        let now = Instant::now();
        let pause = self.pause();
        let is_several = self.desk.is_several;
        let Some(item) = self.desk.item_mut(number) else { return };
        let is_receiving =
            matches!(status.state, State::Downloading | State::DiskTrouble(_) | State::Queued);
        let progress = &mut item.progress;
        if status.downloaded_bytes != progress.bytes || !is_receiving {
            progress.bytes = status.downloaded_bytes;
            progress.bytes_came = now;
        }
        let before = std::mem::replace(&mut progress.state, status.state.clone());
        if status.state == State::Checking && before != State::Checking {
            // Long is what takes long from here on.
            progress.told = now;
        }
        let tenth = (status.progress() * 10.0) as u64;
        // The rest is in the sum of several.
        let is_time = now - progress.told >= pause && !is_several;
        let is_due = tenth > progress.tenth || is_time;
        progress.tenth = tenth;
        // What was found on disk is no progress.
        let is_found = !is_time && status.downloaded_bytes == 0;
        if status.state == State::Downloading && is_due && !is_found {
            progress.told = now;
            self.tell(number, &progress_line(status));
        }
        if matches!(status.state, State::Checking) && before == State::Checking {
            self.tell_check(number, status, now);
        }
        self.on_home(number, status);
        self.on_state(number, &before, status);
    }

    /// A long check is told now and then.
    fn tell_check(&mut self, number: usize, status: &Status, now: Instant) {
        if self.crowd.is_some() {
            return;
        }
        let Some(item) = self.desk.item_mut(number) else { return };
        if now - item.progress.told >= TELL_CHECK {
            item.progress.told = now;
            self.tell(number, &checking_words(status));
        }
    }

    /// Tells once where files are that are not where they were said to be.
    fn on_home(&mut self, number: usize, status: &Status) {
        let Some(home) = &status.home else { return };
        let Some(item) = self.desk.item_mut(number).filter(|item| item.dir != home.dir) else {
            return;
        };
        item.dir.clone_from(&home.dir);
        let is_answered = item.progress.moved_to.take().as_ref() == Some(&home.dir);
        self.event(number, json!({ "event": "moved", "dir": home.dir.to_string_lossy() }));
        // Who gave the order has had the answer.
        if is_answered {
            return;
        }
        let dir = escape(&home.dir.display().to_string());
        self.say(number, &format!("its files were moved to {dir}"));
    }

    /// Tells what a change of the state means.
    fn on_state(&mut self, number: usize, before: &State, status: &Status) {
        let Some(item) = self.desk.item_mut(number) else { return };
        // What had been sent in earlier runs may be enough: then nobody sees it complete.
        let is_complete = matches!(status.state, State::Complete | State::Finished);
        if is_complete && item.completed.is_none() && !item.is_summing {
            self.on_all_here(number);
        }
        let Some(item) = self.desk.item_mut(number) else { return };
        match &status.state {
            State::Finished if *before != State::Finished => self.say_finished(number, status),
            State::Checking if *before == State::Queued && self.crowd.is_none() => {
                self.say(number, "its turn has come");
            }
            // One that was moved is looked at again, and is as complete as before.
            State::Downloading if status.progress() >= 1.0 => {}
            // More was selected: there is something to do again.
            State::Downloading | State::DiskTrouble(_) => item.completed = None,
            _ => {}
        }
    }

    pub(super) fn failure_of(&self, number: usize, status: &Status) -> Option<Failure> {
        let item = self.desk.items.iter().find(|item| item.number == number)?;
        item.failure(status).filter(|_| item.failed.is_none())
    }

    /// The failure of the only torrent is that of the run; others go on without it.
    pub(super) fn on_failure(&mut self, number: usize, failure: Failure) -> Result<(), Failure> {
        let is_several = self.desk.is_several;
        if let Some(item) = self.desk.item_mut(number) {
            item.failed = Some(failure.exit);
        }
        if let Some(crowd) = &mut self.crowd {
            crowd.on_looked_at(number);
        }
        self.event(number, json!({ "event": "failed", "message": failure.message }));
        if !is_several {
            return Err(failure);
        }
        let line = format!("{}{failure}", self.prefix(number));
        self.desk.remember(&line);
        self.voice.urgent(&format!("driver: {line}"));
        Ok(())
    }

    pub(super) fn say_complete(&mut self, number: usize, status: &Status) {
        self.event(
            number,
            json!({
                "event": "completed",
                "downloaded": status.downloaded_bytes,
                "seconds": status.running.as_secs_f64(),
            }),
        );
        let item = self.desk.items.iter().find(|item| item.number == number);
        let before = item.map_or(0, |item| item.fetched_before);
        let attempts = item.and_then(|item| item.attempts.as_ref());
        let line = match attempts.map(|attempts| attempts.has_hash()) {
            None => complete_line(status, before),
            Some(has_hash) => whole_line(status, has_hash),
        };
        let found = status.found.as_deref().filter(|_| status.verified_bytes + before == 0);
        match self.crowd.as_mut().zip(found) {
            // It was here, as most are at such a start.
            Some((crowd, found)) => crowd.on_complete(found.by_record == found.count),
            None => {
                let line = self.prefix(number) + &line;
                self.desk.remember(line.trim_end());
                self.voice.result(&line);
            }
        }
        let is_all = self.desk.searches.is_empty()
            && self.desk.items.iter().all(|item| item.completed.is_some());
        if is_all {
            self.tell_crowd(false);
        }
        if is_all && !self.ending.exit_when_complete && self.voice.talk == Talk::Prompt {
            self.voice.result("Now seeding; quit to leave.\n");
        }
    }

    fn say_finished(&mut self, number: usize, status: &Status) {
        let (uploaded, ratio) = (status.uploaded_in_all(), status.ratio());
        self.event(number, json!({ "event": "finished", "uploaded": uploaded, "ratio": ratio }));
        let line = format!("seeded enough: {} sent, ratio {ratio:.2}", size(uploaded));
        self.say(number, &line);
    }
}
