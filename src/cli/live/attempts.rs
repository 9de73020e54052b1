//! The part of a run that looks at whole files: compares those of complete torrents with the hashes
//! that a metalink gives them, and where nothing else judges what came, tries other mirrors.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::base::ids::FileIndex;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::item::{Item, Summed};
use crate::cli::metalinked::kind_name;
use crate::torrent::status::State;

use super::Live;

impl Live {
    /// Whether whole files are what a metalink says of them: all pieces may be right, and the file
    /// another one all the same.
    pub(super) fn on_summed(&mut self, number: usize, summed: Vec<Summed>) {
        let mut is_all_right = true;
        for Summed { path, kind, is_right } in summed {
            let shown = escape(&path.display().to_string());
            self.event(
                number,
                json!({
                    "event": "file_hash",
                    "path": path.to_string_lossy(),
                    "kind": kind_name(kind),
                    "right": is_right.as_ref().ok(),
                    "message": is_right.as_ref().err(),
                }),
            );
            let (name, words) = (kind_name(kind), "of the metalink");
            let failed = match &is_right {
                Ok(true) => {
                    self.say(number, &format!("{shown} has the {name} {words}"));
                    continue;
                }
                Ok(false) => format!("{shown} does not have the {name} {words}"),
                Err(why) => format!("{shown} cannot be compared with the {name} {words}: {why}"),
            };
            is_all_right = false;
            self.voice.urgent(&format!("driver: {}{failed}", self.prefix(number)));
            let Some(item) = self.desk.item_mut(number) else { continue };
            match &mut item.attempts {
                Some(attempts) => attempts.was_wrong(format!("its {name} is wrong")),
                None => item.failed = Some(Exit::Mismatch),
            }
        }
        let Some(item) = self.desk.item_mut(number) else { return };
        item.is_summing = false;
        if is_all_right && item.completed.is_none() {
            self.on_complete(number);
        }
    }

    /// Everything of a torrent is here: that counts at once, unless only its hash can tell.
    pub(super) fn on_all_here(&mut self, number: usize) {
        let Some(item) = self.desk.item_mut(number) else { return };
        if !item.attempts.as_ref().is_some_and(|attempts| attempts.has_hash()) {
            self.on_complete(number);
        }
        self.desk.check_sums(number);
    }

    fn on_complete(&mut self, number: usize) {
        let Some(item) = self.desk.item_mut(number) else { return };
        item.completed = Some(Instant::now());
        let status = item.handle.status();
        // Files that were away and are back complete nothing anew.
        let told_at = item.told_complete_at.replace(status.downloaded_bytes);
        if told_at != item.told_complete_at {
            self.say_complete(number, &status);
        }
    }

    /// Files of which nothing tells the pieces come from their mirrors or not at all: is anything
    /// to be expected of those?
    pub(super) async fn look_at_mirrors(&mut self) {
        let is_waiting = |item: &&mut Item| item.exit() == Exit::Incomplete && !item.is_summing;
        for item in self.desk.items.iter_mut().filter(is_waiting) {
            let Some(attempts) = &mut item.attempts else { continue };
            if item.handle.state() == State::Downloading {
                let idle = item.progress.bytes_came.elapsed();
                let vain = attempts.judge(&item.handle.sources().await, idle);
                vain.into_iter().for_each(|why| attempts.was_not_there(why));
            }
        }
    }

    /// Whatever came to nothing is begun anew in another way, if there is one.
    ///
    /// # Errors
    /// When there is none for the only torrent.
    pub(super) async fn try_others(&mut self) -> Result<(), Failure> {
        let vain = |item: &mut Item| Some((item.number, item.attempts.as_mut()?.take_vain()?));
        let vain: Vec<_> = self.desk.items.iter_mut().filter_map(vain).collect();
        for (number, why) in vain {
            let why = escape(&why);
            match self.desk.try_others(number).await {
                Ok(Some(mirrors)) => {
                    self.event(
                        number,
                        json!({ "event": "again", "message": why, "sources": mirrors }),
                    );
                    let mirrors = escape(&mirrors.join(", "));
                    self.say(number, &format!("{why}: now all of it comes from {mirrors}"));
                }
                Ok(None) => self.give_up(number, &why)?,
                Err(failure) => self.on_failure(number, failure)?,
            }
        }
        Ok(())
    }

    /// No mirror has the file. One that is complete and wrong is of no use to anybody.
    fn give_up(&mut self, number: usize, why: &str) -> Result<(), Failure> {
        let Some(item) = self.desk.item_mut(number) else { return Ok(()) };
        let attempts = item.attempts.as_ref();
        let wrong = attempts.and_then(|it| it.wrong()).map(escape);
        let exit = if wrong.is_some() { Exit::Mismatch } else { Exit::Network };
        let mut words = format!("{}: none of its mirrors has it: {why}", escape(&item.name()));
        // The last one may have sent nothing, and another one something else.
        if let Some(wrong) = wrong.as_deref().filter(|wrong| *wrong != why) {
            words += &format!("; of what came, {wrong}");
        }
        let part = attempts.and_then(|it| it.part()).map(Path::to_owned);
        let useless = [item.place_of(FileIndex(0)), part].into_iter().flatten();
        for path in useless.filter(|path| wrong.is_some() && path.exists()) {
            if let Err(error) = fs::remove_file(&path) {
                words += &format!("; {} stays: {error}", escape(&path.display().to_string()));
            }
        }
        self.on_failure(number, Failure::new(exit, words))
    }
}
