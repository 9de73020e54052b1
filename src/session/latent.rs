//! Torrents that are rows only, until they are called: by who connects to them, asks for more than
//! lists show, sets what only a torrent that is here can follow, or adds what may have the same
//! files; and by the rules, when one has seeded enough. Those that have a place in the DHT come by
//! themselves, [one after the other](super::calls), as do those that have trackers and may have
//! rules; in the same pace the others are [announced](super::announced), and the local network is
//! told of them. What of a latent one is not as it was is seen when it comes.

use std::time::Instant;

use crate::base::ids::TorrentId;
use crate::ledger::{Spec, Whole};
use crate::roster::policy::Input;
use crate::torrent::incoming::Incoming;

use super::absent::{Absent, Addition, Caller, Stage};
use super::actor::{Actor, unix_now};
use super::claims::tops;
use super::error::Error;
use super::listener::Notice;
use super::member::AddAnswer;
use super::restoring::{read_all, top_bits};
use super::wanted::{conduct_of, swarm_hashes};

/// Torrents that come because somebody knocked at them, at once. Who knows the hashes of thousands
/// is not to have all of them read.
const CALLED_MAX: usize = 64;
/// Those who knock at one of them meanwhile.
const PEERS_MAX: usize = 16;

/// What is done for a latent torrent that nobody called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    /// It comes: rules are to hold of it, or it has a seat in the DHT.
    Comes,
    /// Its trackers are told of it.
    IsAnnounced,
    /// The local network is told of it.
    IsTold,
    /// It is found by nobody who does not know us.
    Nothing,
}

impl Actor {
    /// Lists all that are to come back.
    pub(super) fn list_returning(&mut self) {
        let now = Instant::now();
        let mut hashes = Vec::new();
        for spec in self.wanted.in_order() {
            for hash in swarm_hashes(spec) {
                let id = self.hashes.entry(hash).or_insert(spec.id);
                // The one that was added last runs.
                *id = spec.id.max(*id);
            }
            let Some(absent) = self.returning.absent.get(&spec.id) else { continue };
            let row = absent.row(spec);
            self.told.list(row);
            if absent.is_link {
                self.links.judge(row);
            } else if absent.is_coming() {
                self.returning.tops.insert((top_bits(spec.name.as_bytes()), spec.id));
            }
            if absent.is_whole {
                let errand = spec.whole.map(|whole| self.errand(spec, whole));
                if errand.is_some_and(|errand| errand != Errand::Nothing) && !spec.paused {
                    self.returning.calls.push(spec.id, now);
                }
                // One that is paused is as if it were not here.
                hashes.extend(swarm_hashes(spec).filter(|_| !spec.paused));
                self.policy.handle(Input::Row(row), now);
            }
        }
        self.returning.notices.push(Notice::Latent(hashes));
        let latent = self.returning.absent.iter_mut().filter(|(_, it)| it.is_whole);
        let seeded: Vec<_> = latent
            .map(|(id, absent)| {
                absent.spent.on(self.told.row(*id).phase, now);
                (*id, absent.before.seeding_s)
            })
            .collect();
        seeded.into_iter().for_each(|(id, seeded_s)| self.set_goals(id, seeded_s, true));
    }

    /// Lists one of them as it is wanted now.
    pub(super) fn list_absent(&mut self, id: TorrentId) {
        let found = self.returning.absent.get_mut(&id).zip(self.wanted.get(id));
        let Some((absent, spec)) = found else { return };
        let row = absent.row(spec);
        if absent.is_link {
            return self.list_link(id, row);
        }
        if !absent.is_whole {
            return self.told.list(row);
        }
        let now = Instant::now();
        absent.spent.on(row.phase, now);
        let hashes = swarm_hashes(spec).collect();
        if absent.stage != Stage::Leaves && self.told.row(id).phase != row.phase {
            if let Some(outpost) = &absent.outpost {
                outpost.pause(spec.paused);
            }
            // One that rests is as if it were not here.
            let notice = if spec.paused { Notice::Leaves } else { Notice::Latent };
            self.returning.notices.push(notice(hashes));
            self.returning.calls.push(id, now);
        }
        self.told.apply(row, unix_now(), Default::default);
        self.judge(Input::Row(row));
    }

    /// Somebody connected to one of them, or to one that has come meanwhile.
    pub(super) async fn on_knock(&mut self, peer: Box<Incoming>) {
        let Some(id) = self.hashes.get(&peer.hello.info_hash).copied() else { return };
        if self.members.contains_key(&id) {
            // The listener lives as long as the session.
            let _ = self.registrations.send(Notice::Again(peer)).await;
            return;
        }
        let callers = &self.returning.callers;
        let (known, torrents) = (callers.get(&id).map_or(0, Vec::len), callers.len());
        let has_room = known < PEERS_MAX && (known > 0 || torrents < CALLED_MAX);
        if has_room && self.wanted.get(id).is_some_and(|spec| !spec.paused) {
            self.call(id, Some(Caller::Peer(peer)));
        }
    }

    /// Has a torrent that is not here come, and this one wait for it, whoever that is.
    pub(super) fn call(&mut self, id: TorrentId, caller: Option<Caller>) {
        let found = self.returning.absent.get_mut(&id).zip(self.wanted.get(id));
        let Some((absent, spec)) = found.filter(|_| !self.is_ending) else { return };
        if absent.stage == Stage::Latent {
            absent.stage = Stage::Read;
            if let Some(keeping) = self.wanted.keeping() {
                let torrents = vec![(id, swarm_hashes(spec).collect())];
                tokio::spawn(read_all(keeping, torrents, self.returning.tell.clone()));
            }
        }
        if let Some(caller) = caller {
            self.returning.callers.entry(id).or_default().push(caller);
        }
    }

    /// Has those come whose time it is.
    pub(super) fn call_next(&mut self) {
        while let Some(id) = self.returning.calls.next(Instant::now()) {
            let found = self.returning.absent.get(&id).zip(self.wanted.get(id));
            let Some((absent, spec)) = found else { continue };
            let whole = spec.whole.filter(|_| absent.stage == Stage::Latent && !spec.paused);
            let Some(whole) = whole else { continue };
            match self.errand(spec, whole) {
                _ if absent.is_over => self.call(id, None),
                Errand::Comes => self.call(id, None),
                Errand::IsAnnounced => self.announce(id),
                Errand::IsTold => {
                    spec.info_hash.into_iter().for_each(|hash| self.local.announce(hash));
                }
                Errand::Nothing => {}
            }
        }
    }

    /// What is to be done for one of which this is wanted, and was seen.
    pub(super) fn errand(&self, spec: &Spec, whole: Whole) -> Errand {
        let conduct = conduct_of(spec, &self.returning.rest);
        let has_trackers = match &spec.trackers {
            Some(tiers) => !tiers.is_empty(),
            None => whole.has_trackers || !spec.extra_trackers.is_empty(),
        };
        let has_dht = self.resources.dht.is_some() && !whole.is_private;
        let is_announced = conduct.use_trackers && has_trackers;
        let may_have_rules = is_announced && !self.ruling.rules.book().is_idle();
        if may_have_rules || (conduct.use_dht && has_dht) {
            return Errand::Comes;
        }
        match self.is_told(spec, whole) {
            _ if is_announced => Errand::IsAnnounced,
            true => Errand::IsTold,
            false => Errand::Nothing,
        }
    }

    /// Is the local network to be told of it?
    pub(super) fn is_told(&self, spec: &Spec, whole: Whole) -> bool {
        self.local.is_on() && spec.ways.lsd && !whole.is_private
    }

    /// One that is not here meets others by other ways.
    pub(super) fn call_by_ways(&mut self, id: TorrentId) {
        let found = self.returning.absent.get(&id).zip(self.wanted.get(id));
        let Some((_, spec)) = found.filter(|(absent, _)| absent.is_whole) else { return };
        if !spec.ways.lsd {
            spec.info_hash.into_iter().for_each(|hash| self.local.forget(hash));
        }
        let errand = spec.whole.map(|whole| self.errand(spec, whole));
        if matches!(errand, Some(Errand::IsTold | Errand::Nothing)) {
            self.withdraw(id);
        }
        self.returning.calls.push(id, Instant::now());
    }

    /// One that is not here has seeded enough.
    pub(super) fn call_over(&mut self, id: TorrentId) {
        let absent = self.returning.absent.get_mut(&id);
        if let Some(absent) = absent.filter(|absent| absent.is_whole && !absent.is_over) {
            absent.is_over = true;
            self.returning.calls.push(id, Instant::now());
        }
    }

    /// Answers with the handle of a torrent, when it is here.
    pub(super) fn reach(&mut self, id: TorrentId, answer: AddAnswer) {
        let member = self.members.get(&id).filter(|member| !member.is_leaving);
        let known = match (member, self.returning.absent.get(&id)) {
            (Some(member), _) => Ok(member.handle.clone()),
            (None, Some(absent)) if absent.stage == Stage::Seeks => {
                let why = "its metadata is not known yet: it is sought (why tells how far it is)";
                Err(Error::Away(why.to_owned()))
            }
            (None, Some(absent)) if absent.stage == Stage::Leaves => Err(Error::Unknown(id)),
            (None, Some(absent)) => match absent.trouble() {
                None => return self.call(id, Some(Caller::Asks(answer))),
                Some(why) => Err(Error::Away(why.to_string())),
            },
            (None, None) => Err(Error::Unknown(id)),
        };
        // Whoever asked may have gone.
        let _ = answer.send(known);
    }

    /// Adds a torrent; those that may have the same files come before, and one that is removed just
    /// now has left before it is added again.
    pub(super) fn add_beside(&mut self, addition: Addition) {
        let leaves = |id: &TorrentId| {
            self.returning.absent.get(id).is_some_and(|absent| absent.stage == Stage::Leaves)
        };
        let hashes = addition.torrent.swarm_hashes().into_iter();
        let mut known = hashes.filter_map(|hash| self.hashes.get(&hash).copied());
        if let Some(id) = known.find(leaves) {
            let callers = self.returning.callers.entry(id).or_default();
            return callers.push(Caller::Adds(Box::new(addition)));
        }
        match self.in_the_way(&addition) {
            Some(id) => self.call(id, Some(Caller::Adds(Box::new(addition)))),
            None => self.add(addition),
        }
    }

    /// A torrent that is not here, in the same directory, under a name at its top that this one
    /// has, too: what paths it has is known when it is here.
    fn in_the_way(&self, Addition { torrent, options, .. }: &Addition) -> Option<TorrentId> {
        let link = self.link_of(torrent);
        let is_there = link.is_none() && self.name_of(torrent.swarm_hashes()).is_some();
        if options.seed_only || is_there {
            return None;
        }
        let dir = link.and_then(|id| self.wanted.get(id)).map_or(&options.dir, |spec| &spec.dir);
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let of_name = |top: &std::ffi::OsString| {
            let bits = top_bits(top.as_encoded_bytes());
            let all = (bits, TorrentId(0))..=(bits, TorrentId(u32::MAX));
            let mut ids = self.returning.tops.range(all).map(|(_, id)| *id);
            ids.find(|id| {
                let is_coming = self.returning.absent.get(id).is_some_and(Absent::is_coming);
                let spec = self.wanted.get(*id).filter(|_| is_coming);
                spec.is_some_and(|spec| spec.dir == dir && !spec.seed_only)
            })
        };
        tops(torrent).iter().find_map(of_name)
    }
}
