//! The part of a run that looks for metadata: tells how far the searches are, and takes in the
//! torrents that they find.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::base::units::duration;
use crate::cli::exit::{Exit, Failure};
use crate::cli::greeting::{Around, greet};
use crate::cli::print::{counted, glance_of};
use crate::cli::repl::desk::Refused;
use crate::cli::search::{Found, Search};
use crate::torrent::status::Status;

use super::Live;

/// At a prompt the same words come again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(60);

impl Live {
    /// There is something to say of a search.
    pub(super) fn on_said(&mut self, number: usize, line: &str) {
        // One that was removed has nothing more to say.
        if self.desk.searches.iter().any(|search| search.number == number) {
            let prefix = self.prefix(number);
            self.voice.urgent(&format!("driver: {prefix}{line}"));
        }
    }

    /// The search for a torrent's metadata has ended: what was found runs from now on.
    pub(super) async fn on_sought(
        &mut self,
        number: usize,
        found: Result<Found, Failure>,
    ) -> Result<(), Failure> {
        // One that was removed has nothing more to say.
        if !self.desk.searches.iter().any(|search| search.number == number) {
            return Ok(());
        }
        let prefix = self.prefix(number);
        let has_met = found.as_ref().is_ok_and(|found| found.contacts.is_some());
        if let Ok(found) = &found {
            let torrent = &found.loaded.torrent;
            let (hash, name) = (torrent.info_hash_v1, &torrent.name);
            self.voice.event(&json!({
                "event": "metadata_found",
                "info_hash": hash.map(|hash| hash.to_string()),
                "info_hash_v2": torrent.info_hash_v2.map(|hash| hash.to_string()),
                "name": name,
                "size": torrent.raw_info().len(),
                "kept": found.contacts.is_none(),
            }));
            let from = match found.contacts {
                Some(_) => "metadata found",
                None => "metadata known from an earlier run",
            };
            self.voice.unasked(&format!("{prefix}{from}"));
        }
        let mut told = Vec::new();
        // A disk may take its time; nobody who wants to leave waits for it.
        let stopper = self.stopper.clone();
        let taken = tokio::select! {
            biased;
            () = stopper.asked() => {
                self.refused = self.refused.worst(Exit::Incomplete);
                return Ok(());
            }
            taken = self.desk.take_found(number, found, &mut told) => taken,
        };
        for line in told {
            self.voice.urgent(&format!("driver: {prefix}{line}"));
        }
        match taken {
            Ok(Some(options)) => {
                let desk = &self.desk;
                let around = Around {
                    template: &desk.template,
                    is_several: desk.is_several,
                    is_of_many: false,
                    tells_dir: true,
                    has_others: has_met,
                    has_dht: desk.engine.dht().is_some(),
                    port: desk.engine.port(),
                };
                if let Some(item) = desk.items.iter().find(|item| item.number == number) {
                    greet(&mut self.voice, item, &options, around);
                }
            }
            Ok(None) => {}
            Err(Refused::Twice(words, given)) => self.voice.urgent(&format!("{words}{given}")),
            Err(Refused::Failed(failure)) => return self.on_search_failed(&prefix, failure),
        }
        Ok(())
    }

    /// The failure of the only torrent is that of the run; others go on without it.
    fn on_search_failed(&mut self, prefix: &str, failure: Failure) -> Result<(), Failure> {
        self.voice.event(&crate::cli::job::failed(&failure));
        self.refused = self.refused.worst(failure.exit);
        if !self.desk.is_several {
            return Err(failure);
        }
        let line = format!("{prefix}{failure}");
        self.desk.remember(&line);
        self.voice.urgent(&format!("driver: {line}"));
        Ok(())
    }

    /// Tells how far the searches are, where there are news or it is time.
    pub(super) fn tell_searches(&mut self) {
        let now = Instant::now();
        let pause = self.pause().min(TELL_AGAIN);
        let is_several = self.desk.is_several;
        let mut lines = Vec::new();
        for search in &mut self.desk.searches {
            self.voice.event(&search.event());
            if let Some(words) = search.due(pause, now) {
                let prefix = if is_several { search.prefix() } else { String::new() };
                lines.push(prefix + &words);
            }
        }
        lines.iter().for_each(|line| self.voice.unasked(line));
    }

    /// How all stand, in a line for each search and one for the torrents.
    pub(super) fn glance(&self, statuses: &[Status]) -> String {
        let searches = self.desk.searches.iter().map(|search| {
            let prefix = if self.desk.is_several { search.prefix() } else { String::new() };
            prefix + &search.words() + "\n"
        });
        let searches: String = searches.collect();
        match statuses {
            [] if !searches.is_empty() => searches,
            _ => format!("{searches}{}\n", glance_of(statuses)),
        }
    }

    /// What programs are told of searches that end without a torrent.
    pub(super) fn sought_events(&self) -> Vec<Value> {
        let event = |search: &Search| {
            json!({
                "event": "stopped",
                "info_hash": search.wish.info_hash(),
                "complete": false,
                "downloaded": 0,
                "seconds": search.running().as_secs_f64(),
            })
        };
        self.desk.searches.iter().map(event).collect()
    }

    /// Why no metadata came, and what to do.
    pub(super) async fn gave_up_searching(&self, timeout: Duration) -> String {
        let waited = duration(timeout);
        let advice = "try --peer ADDR or another --tracker URL";
        match self.desk.searches.as_slice() {
            [only] => {
                let failed = only.failed().await.map(|why| format!(" ({why})"));
                let failed = failed.unwrap_or_default();
                format!("no metadata for {waited}: {}{failed}; {advice}", only.words())
            }
            several => {
                let count = counted(several.len() as u64, "torrent");
                format!("no metadata for {waited} for any of {count}; {advice}")
            }
        }
    }
}

/// The last words when nothing was found.
pub(super) fn goodbye_to_searches(count: usize) -> String {
    match count {
        1 => "Stopped before its metadata was found; nothing is kept.\n".to_owned(),
        _ => format!("Stopped before the metadata of {count} torrents was found.\n"),
    }
}

/// Ends searches side by side.
pub async fn stop_all(searches: Vec<Search>) {
    let mut ends = JoinSet::new();
    for search in searches {
        ends.spawn(search.stop());
    }
    while ends.join_next().await.is_some() {}
}
