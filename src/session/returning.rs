//! How torrents of earlier runs come back to their session: as they are read, or as latent ones are
//! called.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::base::ids::TorrentId;
use crate::metainfo::Torrent;
use crate::roster::policy::Input;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::resources::Turn;

use super::absent::{Caller, Stage};
use super::actor::Actor;
use super::error::Error;
use super::links::Arrival;
use super::listener::Notice;
use super::member::{Arriving, RemoveAnswer};
use super::opening::{Coming, Opened, in_turn, open};
use super::persist::Kept;
use super::restoring::{Read, top_bits};
use super::wanted::{options_of, swarm_hashes};

impl Actor {
    /// The metadata of one was read, or cannot be.
    pub(super) async fn on_read(&mut self, id: TorrentId, read: Read) {
        // It may have been removed meanwhile.
        let Some(absent) = self.returning.absent.get(&id).filter(|_| !self.is_ending) else {
            return;
        };
        match (read, &absent.stage) {
            (Ok(torrent), Stage::Read) => self.bring_back(id, torrent).await,
            (Ok(torrent), Stage::Latent) => self.begin_outpost(id, &torrent),
            (Err(why), Stage::Read | Stage::Latent) => self.lose(id, why, None).await,
            // It was read twice: to be announced, and when somebody called it meanwhile.
            (_, Stage::Opens | Stage::Seeks | Stage::Lost(_) | Stage::Leaves) => {}
        }
    }

    /// Has it open its files, or wait for its turn.
    async fn bring_back(&mut self, id: TorrentId, torrent: Arc<Torrent>) {
        let found = self.wanted.get(id).zip(self.returning.absent.get_mut(&id));
        let Some((spec, absent)) = found else { return };
        absent.stage = Stage::Opens;
        let (before, outpost) = (absent.before, absent.outpost.take());
        let options = options_of(spec, &self.returning.rest, &torrent);
        // There is much to be done for one that was never complete: it touches no disk before that.
        let may_sleep = spec.completed_s.is_some();
        let turn = if may_sleep { Turn::Rests } else { Turn::Waits };
        if !options.seed_only {
            // It was accepted in an earlier run; what names its files have is known when they open.
            self.claims.register(id, &torrent);
        }
        let facts = self.facts(id, &torrent, None, before);
        let (info_hash, takes_peers) = (torrent.info_hash_v1, torrent.is_judged());
        let kept = Some(Kept::sent(before.uploaded));
        let coming = Coming { kept, outpost, ..self.coming(&facts, torrent, options, turn) };
        let answer = oneshot::channel().0;
        let arriving = Arriving { facts, info_hash, takes_peers, answer, removal: None };
        let resources = self.resources.clone();
        if may_sleep {
            // Whoever is waited for stands behind nobody.
            let turns = match self.returning.callers.contains_key(&id) {
                true => Arc::new(Semaphore::new(1)),
                false => self.turns.clone(),
            };
            let task = self.opening.spawn(in_turn(turns, || open(resources, coming)));
            self.arriving.insert(task.id(), arriving);
        } else {
            let opened = open(resources, coming).await;
            self.come_back(arriving, Some(opened)).await;
        }
    }

    /// It is here, or will not be.
    pub(super) async fn come_back(&mut self, arriving: Arriving, opened: Option<Opened>) {
        let Arriving { facts, takes_peers, removal, answer, .. } = arriving;
        let (id, is_link) = (facts.id, self.is_link(facts.id));
        let mut sought = None;
        let come = match opened {
            Some(mut opened) => {
                if is_link {
                    let imported = opened.to_import();
                    let (file, wanted) = (opened.file.take(), opened.wanted.take());
                    sought = Some(Arrival { file, wanted, imported });
                }
                let come = self.let_in(facts, opened, takes_peers).await;
                come.map_err(|error| error.to_string())
            }
            // Nobody waits for it any more.
            None if self.is_ending => return,
            // It panicked.
            None => Err("its files cannot be looked at".to_owned()),
        };
        match come {
            Ok(handle) if self.is_ending => {
                drop(handle);
                self.end(id, removal.unwrap_or_else(|| oneshot::channel().0));
            }
            Ok(handle) => {
                if let Some(found) = sought {
                    self.keep_found(id, found, (handle.clone(), answer)).await;
                }
                self.tell_callers(id, &handle).await;
                if let Some(removal) = removal {
                    self.remove_number(id, removal).await;
                }
            }
            Err(why) => {
                // Nobody waits but for a link whose torrent was given.
                let _ = answer.send(Err(Error::Away(why.clone())));
                self.lose(id, why, removal).await;
            }
        }
    }

    /// Whoever waited for it has it.
    async fn tell_callers(&mut self, id: TorrentId, handle: &TorrentHandle) {
        for caller in self.returning.callers.remove(&id).unwrap_or_default() {
            match caller {
                // The listener lives as long as the session.
                Caller::Peer(peer) => {
                    drop(self.registrations.send(Notice::Again(peer)).await);
                }
                // Whoever asked may have gone.
                Caller::Asks(answer) => drop(answer.send(Ok(handle.clone()))),
                Caller::Adds(addition) => self.add_beside(*addition),
            }
        }
    }

    /// It does not come: that is listed, unless it is to be removed.
    async fn lose(&mut self, id: TorrentId, why: String, removal: Option<RemoveAnswer>) {
        match removal {
            Some(removal) => self.remove_number(id, removal).await,
            None => self.lost(id, why),
        }
    }

    /// The same of one that is to stay.
    pub(super) fn lost(&mut self, id: TorrentId, why: String) {
        let Some(absent) = self.returning.absent.get_mut(&id) else { return };
        tracing::warn!(id = id.0, why, "a torrent does not come");
        (absent.stage, absent.is_whole) = (Stage::Lost(why.clone().into()), false);
        // Its trackers hear that nobody has it here.
        absent.outpost = None;
        self.claims.release(id);
        self.judge(Input::Removed(id));
        self.part_with(id);
        self.list_absent(id);
        for caller in self.returning.callers.remove(&id).unwrap_or_default() {
            match caller {
                Caller::Peer(peer) => drop(peer),
                Caller::Asks(answer) => drop(answer.send(Err(Error::Away(why.clone())))),
                Caller::Adds(addition) => self.add_beside(*addition),
            }
        }
    }

    /// A torrent is latent no more.
    pub(super) fn part_with(&mut self, id: TorrentId) {
        let Some(spec) = self.wanted.get(id) else { return };
        self.returning.tops.remove(&(top_bits(spec.name.as_bytes()), id));
        self.returning.notices.push(Notice::Leaves(swarm_hashes(spec).collect()));
    }
}
