//! Whether a torrent may come in, by what the session has already. Not here: its files.

use std::sync::Arc;

use crate::base::ids::{InfoHash, TorrentId};
use crate::metainfo::Torrent;
use crate::torrent::options::TorrentOptions;
use crate::tracker::tiers::MAX_TRACKERS;

use super::actor::Actor;
use super::claims::{Taken, tops};
use super::error::Error;
use super::listed::{check_labels, check_name};

impl Actor {
    /// Whether a torrent may come in, and with what number; it claims its paths then.
    pub(super) fn accept(
        &mut self,
        torrent: &Arc<Torrent>,
        options: &TorrentOptions,
    ) -> Result<TorrentId, Error> {
        let id = self.accept_hashes(torrent.swarm_hashes(), options)?;
        let tops = tops(torrent);
        if let Some(name) = self.doomed.meets(&options.dir, tops.iter().map(|top| &**top)) {
            return Err(Error::Doomed { name: name.to_owned() });
        }
        self.claim(id, torrent, options)?;
        Ok(id)
    }

    /// The same as far as it is known of one that has these hashes. It claims nothing.
    pub(super) fn accept_hashes(
        &self,
        hashes: impl IntoIterator<Item = InfoHash>,
        options: &TorrentOptions,
    ) -> Result<TorrentId, Error> {
        if self.is_ending {
            return Err(Error::Ended);
        }
        if let Some(name) = self.name_of(hashes) {
            return Err(Error::Duplicate { name });
        }
        if options.extra_trackers.len() > MAX_TRACKERS {
            let count = options.extra_trackers.len();
            let why = format!("{count} trackers, where a torrent has {MAX_TRACKERS} at most");
            return Err(Error::Refused(why));
        }
        let names = check_name(options.shown_name.as_deref());
        check_labels(&options.labels).and(names).map_err(Error::Refused)?;
        self.wanted.next_id().ok_or(Error::NoNumber)
    }

    /// Claims the paths of a torrent, unless it only sends what is there.
    pub(super) fn claim(
        &mut self,
        id: TorrentId,
        torrent: &Arc<Torrent>,
        options: &TorrentOptions,
    ) -> Result<(), Error> {
        if options.seed_only {
            return Ok(());
        }
        let dir = std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone());
        let claimed = self.claims.claim(id, torrent, &dir);
        claimed.map_err(|Taken { path, owner }| Error::Taken { path: dir.join(path), owner })
    }

    /// The name of the torrent with one of these hashes, if it is there or on its way in.
    pub(super) fn name_of(&self, hashes: impl IntoIterator<Item = InfoHash>) -> Option<String> {
        let id = hashes.into_iter().find_map(|hash| self.hashes.get(&hash).copied())?;
        Some(self.wanted.get(id).map(|spec| spec.called().into_owned()).unwrap_or_default())
    }
}
