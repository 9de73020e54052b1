//! How a torrent leaves with its files. From the moment that is asked for nobody else gets to where
//! they are (`doomed`). It is looked, aside, whether another torrent has files there; then it is
//! noted with the removal that they are to go, the torrent ends, its files go, and the note with
//! them. Where that is cut off, the note is found at the next start, and followed again.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::ids::TorrentId;
use crate::disk::{Erased, Home, Relocation};
use crate::ledger::Spec;
use crate::torrent::status::State;

use super::actor::Actor;
use super::doomed::tops_of;
use super::erasure::{
    EraseAnswer, Erasure, Errand, Found, Neighbour, Step, look, metadata, remove_files,
};
use super::error::Error;
use super::wanted::swarm_hashes;

/// How long an ending session waits for files that are being removed. The next one goes on.
const ERASE_MAX: Duration = Duration::from_secs(2);

impl Actor {
    /// Removes a torrent with its files.
    pub(super) fn erase(&mut self, id: TorrentId, answer: EraseAnswer) {
        let is_listed = self.wanted.get(id).is_some_and(|spec| self.listing(spec).is_some());
        let member = self.members.get(&id);
        let refused = if self.is_ending {
            Some(Err(Error::Ended))
        } else if !is_listed {
            Some(Ok(None))
        } else if self.doomed.has(id) {
            Some(Err(Error::FilesNeeded("it is being removed with its files already".to_owned())))
        } else if member.is_some_and(|member| member.handle.state() == State::Moving) {
            let why = "its files are being moved: remove it when that is done";
            Some(Err(Error::FilesNeeded(why.to_owned())))
        } else {
            None
        };
        match (refused, self.wanted.get(id).cloned()) {
            (None, Some(spec)) => self.look_who_else(&spec, Errand { id, answer: Some(answer) }),
            // The one who asked may have gone, here and below.
            (refused, _) => drop(answer.send(refused.unwrap_or(Ok(None)))),
        }
    }

    /// Removes a link that never had any files.
    pub(super) async fn remove_sought(&mut self, id: TorrentId, answer: EraseAnswer) {
        let (leaves, left) = oneshot::channel();
        self.remove_number(id, leaves).await;
        tokio::spawn(async move {
            let left = left.await.unwrap_or(Err(Error::Ended));
            let gone = || Erasure::Gone(Erased::default());
            // The one who asked may have gone.
            let _ = answer.send(left.map(|is_gone| is_gone.then(gone)));
        });
    }

    /// Follows the notes of an earlier run.
    pub(super) fn erase_again(&mut self, specs: &[Spec]) {
        for spec in specs {
            self.look_who_else(spec, Errand { id: spec.id, answer: None });
        }
    }

    /// Claims where the torrent's files are, and looks, aside, whether others have files there.
    fn look_who_else(&mut self, spec: &Spec, errand: Errand) {
        let ours = self.neighbour(spec);
        if !self.doomed.has(spec.id) {
            let home = ours.home.as_deref().cloned();
            let home = home.unwrap_or_else(|| Home::at(spec.dir.clone()));
            self.doomed.claim(spec.id, &spec.name, tops_of(&home.dir, &home, &spec.name));
        }
        // Also of those that come in or leave at this moment.
        let others = self.wanted.in_order().filter(|other| other.id != spec.id);
        let others = others.filter(|other| !self.is_sought(other.id));
        let others: Vec<_> = others.map(|other| self.neighbour(other)).collect();
        let (next, keeping) = (self.wanted.next_id(), self.wanted.keeping());
        let (id, hashes) = (spec.id, swarm_hashes(spec).collect());
        let state_dir = self.resources.state_dir.clone();
        self.erasing.spawn(async move {
            let torrent = metadata(keeping, id, hashes).await;
            let found = match torrent {
                Ok(torrent) => look(torrent, ours, others, state_dir).await,
                Err(error) => Err(error),
            };
            Step::Looked { errand, next, found }
        });
    }

    fn neighbour(&self, spec: &Spec) -> Neighbour {
        let member = self.members.get(&spec.id);
        Neighbour {
            hash: spec.info_hash,
            name: spec.name.clone(),
            dir: spec.dir.clone(),
            home: member.and_then(|member| member.handle.look(|status| status.home.clone())),
        }
    }

    /// Goes on with one.
    pub(super) async fn on_erasing(&mut self, step: Step) {
        match step {
            Step::Looked { errand, next, found } => self.on_looked(errand, next, found).await,
            Step::Left { errand, left } => self.on_files_left(errand, left).await,
        }
    }

    async fn on_looked(
        &mut self,
        errand: Errand,
        next: Option<TorrentId>,
        found: Result<Found, Error>,
    ) {
        let id = errand.id;
        let is_note = errand.answer.is_none();
        let spec = self.wanted.get(id).filter(|spec| self.listing(spec).is_some()).cloned();
        let found = match found {
            Ok(_) if self.is_ending => Err(Error::Ended),
            // It was removed meanwhile, and its files are to stay.
            Ok(_) if !is_note && spec.is_none() => Err(Error::Unknown(id)),
            other => other,
        };
        let found = match found {
            Ok(found) => found,
            Err(why) => return self.give_up(errand, why).await,
        };
        self.doomed.claim(id, &found.torrent.name, found.tops.clone());
        if self.wanted.next_id() != next
            && let Some(spec) = &spec
        {
            // Somebody came before all names were known.
            return self.look_who_else(spec, errand);
        }
        let (leaves, left) = oneshot::channel();
        match spec {
            Some(spec) => {
                let kept = self.wanted.erase(Spec { dir: found.dir.clone(), ..spec }).await;
                self.leave(id, kept, leaves);
            }
            None => drop(leaves.send(Ok(true))),
        }
        let state_dir = self.resources.state_dir.clone();
        self.erasing.spawn(async move {
            let left = match left.await.unwrap_or(Err(Error::Ended)) {
                Ok(_) => Ok(remove_files(found, state_dir).await),
                Err(error) => Err(error),
            };
            Step::Left { errand, left }
        });
    }

    /// The files of a torrent stay, and so does it.
    async fn give_up(&mut self, Errand { id, answer }: Errand, why: Error) {
        self.doomed.release(id);
        let Some(answer) = answer else {
            tracing::warn!(id = id.0, %why, "the files of a torrent that was removed stay");
            if !matches!(why, Error::Ended | Error::DiskSilent) {
                // It will be no better the next time.
                self.wanted.erased(id).await;
            }
            return;
        };
        let _ = answer.send(if let Error::Unknown(_) = why { Ok(None) } else { Err(why) });
    }

    async fn on_files_left(&mut self, errand: Errand, left: Result<Erasure, Error>) {
        let Errand { id, answer } = errand;
        self.doomed.release(id);
        // Also when the removal was not kept: whoever comes there now is not to lose its files when
        // the note is written after all.
        self.wanted.erased(id).await;
        match answer {
            Some(answer) => drop(answer.send(left.map(Some))),
            None => tracing::info!(id = id.0, ?left, "the files of a torrent that was removed"),
        }
    }

    /// Why nothing may be moved there now: files are being removed from there.
    pub(super) fn refuse_move(&self, id: TorrentId, what: &Relocation) -> Result<(), String> {
        if self.doomed.has(id) {
            return Err("it is being removed with its files".to_owned());
        }
        let Some(spec) = self.wanted.get(id) else { return Ok(()) };
        let (dir, name) = match what {
            Relocation::Dir(dir) => (dir, OsStr::new(&spec.name)),
            Relocation::Torrent(name) => (&spec.dir, OsStr::new(name)),
            Relocation::File(_, name) => (&spec.dir, OsStr::new(name)),
        };
        let own = self.claims.tops_of(id);
        match self.doomed.meets(dir, own.iter().map(|top| &**top).chain([name])) {
            Some(name) => Err(format!("{name} is being removed with its files from there")),
            None => Ok(()),
        }
    }

    /// Waits for what is being removed, but not for long.
    pub(super) async fn end_erasing(&mut self) {
        let done = async {
            while let Some(step) = self.erasing.join_next().await {
                if let Ok(step) = step {
                    self.on_erasing(step).await;
                }
            }
        };
        if timeout(ERASE_MAX, done).await.is_err() {
            tracing::warn!("files that are to be removed are removed at the next start");
        }
    }
}
