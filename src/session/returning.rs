//! How torrents of earlier runs come back to their session, one after the other as they are read.

use std::sync::Arc;

use crate::base::ids::TorrentId;
use crate::ledger::Tally;
use crate::metainfo::Torrent;
use crate::roster::policy::Input;
use crate::torrent::resources::Turn;

use super::actor::Actor;
use super::opening::{Coming, open};
use super::persist::Kept;
use super::restoring::Read;
use super::wanted::{options_of, swarm_hashes};

impl Actor {
    /// Lists all that are to come back.
    pub(super) fn list_returning(&mut self) {
        for spec in self.wanted.in_order() {
            for hash in swarm_hashes(spec) {
                let id = self.hashes.entry(hash).or_insert(spec.id);
                // The one that was added last runs.
                *id = spec.id.max(*id);
            }
            if let Some(absent) = self.returning.absent.get(&spec.id) {
                self.told.list(absent.row(spec));
            }
        }
    }

    /// Lists one of them as it is wanted now.
    pub(super) fn list_absent(&mut self, id: TorrentId) {
        let absent = self.returning.absent.get(&id).zip(self.wanted.get(id));
        if let Some((absent, spec)) = absent {
            self.told.list(absent.row(spec));
        }
    }

    /// The metadata of one was read, or cannot be.
    pub(super) async fn on_read(&mut self, id: TorrentId, read: Read) {
        // It may have been removed meanwhile.
        let Some(absent) = self.returning.absent.get(&id).filter(|_| !self.is_ending) else {
            return;
        };
        let before = absent.tally;
        let back = match read {
            Ok(torrent) => self.bring_back(id, torrent, before).await,
            Err(why) => Err(why),
        };
        match (back, self.returning.absent.get_mut(&id)) {
            (Ok(()), _) => drop(self.returning.absent.remove(&id)),
            (Err(why), Some(absent)) => {
                tracing::warn!(id = id.0, why, "a torrent does not come back");
                absent.trouble = Some(why.into());
                self.list_absent(id);
            }
            (Err(_), None) => {}
        }
    }

    async fn bring_back(
        &mut self,
        id: TorrentId,
        torrent: Arc<Torrent>,
        before: Tally,
    ) -> Result<(), String> {
        let Some(spec) = self.wanted.get(id) else { return Ok(()) };
        let options = options_of(spec, &self.returning.rest, &torrent);
        if !options.seed_only {
            // It was accepted in an earlier run; what names its files have is known when they open.
            self.claims.register(id, &torrent);
        }
        let facts = self.facts(id, &torrent, None, before);
        let takes_peers = torrent.is_judged();
        let kept = Some(Kept::sent(before.uploaded));
        let coming = self.coming(&facts, torrent, options, Turn::Waits);
        // Who waits for its turn touches no disk.
        let opened = open(self.resources.clone(), Coming { kept, ..coming }).await;
        let come = self.let_in(facts, opened, takes_peers).await;
        come.map(drop).map_err(|error| {
            self.claims.release(id);
            self.judge(Input::Removed(id));
            error.to_string()
        })
    }
}
