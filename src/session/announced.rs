//! Latent torrents that trackers are told of. Their metadata is read for that, and forgotten again;
//! from then on each has an [outpost](crate::torrent::outpost) with the session's announcer, and is
//! a row as before. Whoever has one come, be it a tracker that names somebody who lacks something,
//! has it go on with that.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::base::ids::TorrentId;
use crate::metainfo::Torrent;
use crate::torrent::outpost::Outpost;
use crate::tracker::task::Lookout;
use crate::tracker::tiers::status::TrackerStatus;

use super::absent::Stage;
use super::actor::Actor;
use super::latent::Errand;
use super::restoring::read_all;
use super::wanted::{options_of, swarm_hashes};

impl Actor {
    /// Has its trackers told of a latent one, when its metadata is read.
    pub(super) fn announce(&self, id: TorrentId) {
        let found = self.returning.absent.get(&id).zip(self.wanted.get(id));
        let Some((_, spec)) = found.filter(|(absent, _)| absent.outpost.is_none()) else { return };
        if let Some(keeping) = self.wanted.keeping() {
            let torrents = vec![(id, swarm_hashes(spec).collect())];
            tokio::spawn(read_all(keeping, torrents, self.returning.tell.clone()));
        }
    }

    /// It is read: trackers are told of it, if it is still as it was.
    pub(super) fn begin_outpost(&mut self, id: TorrentId, torrent: &Torrent) {
        let Some(spec) = self.wanted.get(id).filter(|spec| !spec.paused) else { return };
        let Some(whole) = spec.whole else { return };
        let is_told = self.is_told(spec, whole);
        if self.errand(spec, whole) != Errand::IsAnnounced {
            // Something else is to be done for it since this was asked for.
            return self.returning.calls.push(id, Instant::now());
        }
        let Some(absent) = self.returning.absent.get_mut(&id) else { return };
        if absent.outpost.is_some() {
            return;
        }
        let options = options_of(spec, &self.returning.rest, torrent);
        let lookout = Lookout { id, named: self.returning.named.0.clone() };
        let outpost = Outpost::begin(&self.resources.announcer, torrent, &options, lookout);
        absent.outpost = outpost.map(Box::new);
        if is_told {
            spec.info_hash.into_iter().for_each(|hash| self.local.announce(hash));
        }
    }

    /// No tracker is to be told of it any more.
    pub(super) fn withdraw(&mut self, id: TorrentId) {
        if let Some(absent) = self.returning.absent.get_mut(&id) {
            // Dropped, it says goodbye.
            absent.outpost = None;
        }
    }

    /// These are its trackers from now on, if it is announced; otherwise they are asked when it is.
    pub(super) fn name_trackers(&mut self, id: TorrentId, tiers: &[Vec<String>]) {
        let absent = self.returning.absent.get_mut(&id);
        if let Some(outpost) = absent.and_then(|absent| absent.outpost.as_ref()) {
            outpost.name(tiers.to_vec());
        }
    }

    /// A tracker names somebody who may lack something: it comes to meet them.
    pub(super) fn on_named(&mut self, id: TorrentId, peers: Vec<SocketAddr>) {
        let is_paused = self.wanted.get(id).is_none_or(|spec| spec.paused);
        let absent = self.returning.absent.get_mut(&id);
        let outpost = absent.and_then(|absent| absent.outpost.as_mut());
        // One that has come meanwhile hears of them with the next announce.
        if let Some(outpost) = outpost.filter(|_| !is_paused) {
            outpost.meet(peers);
            self.call(id, None);
        }
    }

    /// Rules hold of those that are here: who has trackers comes, if there are any.
    pub(super) fn call_for_rules(&mut self) {
        if self.ruling.rules.book().is_idle() {
            return;
        }
        let now = Instant::now();
        let announced = self.returning.absent.iter().filter(|(_, it)| it.outpost.is_some());
        announced.for_each(|(id, _)| self.returning.calls.push(*id, now));
    }

    /// Answers how the trackers of one stand that is announced and not here; nothing of any other.
    pub(super) fn trackers(&self, id: TorrentId, answer: oneshot::Sender<Vec<TrackerStatus>>) {
        let absent = self.returning.absent.get(&id).filter(|it| it.stage == Stage::Latent);
        if let Some(outpost) = absent.and_then(|absent| absent.outpost.as_ref()) {
            outpost.look(answer);
        }
    }

    /// All of them say goodbye; the future ends when their trackers were told.
    pub(super) fn leave_outposts(&mut self) -> impl Future<Output = ()> + use<> {
        let absent = self.returning.absent.values_mut();
        let outposts: Vec<_> = absent.filter_map(|absent| absent.outpost.take()).collect();
        Outpost::leave(outposts.into_iter().map(|outpost| *outpost))
    }
}
