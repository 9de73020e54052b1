//! Links among the torrents of a session: listed by their numbers from the moment that they are
//! added, and sought until peers have told their metadata, which makes torrents of them. Until then
//! they are [absent](super::absent), and all that is set of them is noted for later. So many are
//! sought at once, by the rules of the queue that are those of downloads; the others are rows that
//! wait. What cannot become a torrent is listed with the reason, and sought again when its user has
//! it go on.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::base::ids::TorrentId;
use crate::ledger::{Spec, Tally};
use crate::metainfo::{Magnet, Torrent};
use crate::roster::{EventKind, Phase, Row};
use crate::seek::Target;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::TorrentOptions;
use crate::torrent::resources::Resources;
use crate::torrent::seeking::{self, SeekRequest, Seeking};

use super::absent::{Absent, Addition, Stage};
use super::actor::{Actor, unix_now};
use super::claims::tops;
use super::error::Error;
use super::links::{Arrival, Found, Heard, LinkAnswer};
use super::listener::{Notice, Registration};
use super::member::AddAnswer;
use super::wanted::{conduct_of, options_of};

/// Connections of a search for metadata: beside it torrents are to have theirs.
const SEEK_LINKS_MAX: usize = 40;

impl Actor {
    /// Takes a link in, which is sought as soon as it is its turn.
    pub(super) async fn add_link(
        &mut self,
        link: &Magnet,
        options: &TorrentOptions,
        answer: LinkAnswer,
    ) {
        let id = match self.accept_link(link, options) {
            Ok(id) => id,
            // The one who asked may have gone.
            Err(refused) => return drop(answer.send(Err(refused))),
        };
        self.wanted.begin_link(id, link, options, unix_now());
        let absent = Absent::new(Tally::default(), Stage::Seeks, std::time::Instant::now());
        self.returning.absent.insert(id, absent);
        self.list_absent(id);
        let kept = self.wanted.add_link(id).await;
        self.answers.on_link(id, answer, kept);
    }

    fn accept_link(&mut self, link: &Magnet, options: &TorrentOptions) -> Result<TorrentId, Error> {
        let target = Target::new(link.info_hash_v1, link.info_hash_v2);
        let target = target.ok_or_else(|| Error::Refused("the link names no info hash".into()))?;
        let id = self.accept_hashes(target.swarm_hashes(), options)?;
        self.hashes.extend(target.swarm_hashes().map(|hash| (hash, id)));
        Ok(id)
    }

    /// Is this one of the links, also while its files are being opened?
    pub(super) fn is_link(&self, id: TorrentId) -> bool {
        self.returning.absent.get(&id).is_some_and(|absent| absent.is_link)
    }

    /// Is it a link, and no more?
    pub(super) fn is_sought(&self, id: TorrentId) -> bool {
        self.returning.absent.get(&id).is_some_and(Absent::is_sought)
    }

    /// The link that means this torrent.
    pub(super) fn link_of(&self, torrent: &Torrent) -> Option<TorrentId> {
        let ids = torrent.swarm_hashes().into_iter().filter_map(|hash| self.hashes.get(&hash));
        ids.copied().find(|id| self.is_sought(*id))
    }

    /// Lists a link, or what becomes of it, as its row is, but for its search.
    pub(super) fn list_link(&mut self, id: TorrentId, row: Row) {
        let row = match (row.phase, self.links.desk(id)) {
            (Phase::Queued, Some(desk)) => {
                let links = u32::try_from(desk.connected()).unwrap_or(u32::MAX);
                Row { phase: Phase::Seeking, links, ..row }
            }
            _ => row,
        };
        if self.is_sought(id) {
            if row.phase != Phase::Seeking {
                self.links.end(id);
            }
            self.links.judge(row);
        }
        let trouble = self.returning.absent.get(&id).and_then(Absent::trouble);
        self.told.apply(row, unix_now(), || trouble.unwrap_or_default());
    }

    /// A link that did not become a torrent is to be sought again.
    pub(super) fn seek_again(&mut self, id: TorrentId) {
        let absent = self.returning.absent.get_mut(&id).filter(|absent| absent.is_link);
        if let Some(absent) = absent.filter(|absent| !absent.is_coming()) {
            absent.stage = Stage::Seeks;
        }
    }

    /// Seeks those whose turn it is.
    pub(super) async fn seek_due(&mut self) {
        while let Some(id) = self.links.due() {
            if !self.is_ending {
                self.seek_link(id).await;
            }
        }
    }

    async fn seek_link(&mut self, id: TorrentId) {
        let Some(spec) = self.wanted.get(id).filter(|_| self.is_sought(id)) else { return };
        let (link, ways) = (spec.link.as_deref().map(Magnet::parse), spec.ways);
        let Some(Ok(link)) = link else {
            // A later program wrote it.
            return self.lost(id, "its link cannot be read: remove it, and add it again".into());
        };
        let target = Target::new(link.info_hash_v1, link.info_hash_v2);
        let Some(target) = target else { return };
        let conduct = conduct_of(spec, &self.returning.rest);
        let request = SeekRequest::of(target, &link);
        let named = spec.extra_trackers.iter().filter(|url| !link.trackers.contains(url));
        let usual = named.map(|url| vec![url.clone()]).chain(request.trackers).collect();
        let wanted = spec.trackers.as_deref().map(<[_]>::to_vec);
        let trackers: Vec<Vec<String>> = wanted.unwrap_or(usual);
        let request = SeekRequest {
            trackers: if conduct.use_trackers { trackers } else { Vec::new() },
            max_peers: conduct.max_peers,
            exchange_peers: conduct.exchange_peers,
            ..request
        };
        let seeking = self.begin_search(request, conduct.use_dht, ways.lsd).await;
        self.links.begin(id, seeking, link);
        self.list_absent(id);
    }

    /// Searches for the metadata of a torrent that the session does not list.
    pub(super) async fn seek(
        &mut self,
        request: SeekRequest,
        answer: oneshot::Sender<Result<Seeking, Error>>,
    ) {
        let begun = match self.name_of(request.target.swarm_hashes()) {
            _ if self.is_ending => Err(Error::Ended),
            Some(name) => Err(Error::Duplicate { name }),
            None => Ok(self.begin_search(request, true, true).await),
        };
        // Whoever asked may have gone; the search ends with its handle.
        let _ = answer.send(begun);
    }

    async fn begin_search(&mut self, request: SeekRequest, dht: bool, lsd: bool) -> Seeking {
        let places = self.resources.places.sibling();
        places.allow(SEEK_LINKS_MAX);
        let dht = self.resources.dht.clone().filter(|_| dht);
        let resources = Resources { places, dht, ..(*self.resources).clone() };
        let hashes = request.target.swarm_hashes();
        let allowance = self.searches.begin();
        let (seeking, info_hash, incoming) = seeking::start(resources, request, allowance);
        if lsd {
            self.local.seek(info_hash, seeking.watched());
        }
        // The listener lives as long as the session.
        for info_hash in hashes {
            let incoming = incoming.clone();
            let registration = Registration { info_hash, incoming, status: None };
            let _ = self.registrations.send(Notice::Takes(registration)).await;
        }
        seeking
    }

    /// Something happened to a search, or some time has passed.
    pub(super) fn on_link(&mut self, heard: Heard) {
        let (task, id, found) = match heard {
            Heard::Ended(task, id, found) => (task, id, found),
            Heard::Over(task, true) => {
                let broken = self.links.of(task);
                return broken.map_or((), |id| self.lost(id, "its search broke off".into()));
            }
            Heard::Over(_, false) => return,
            Heard::Time => {
                let over = self.links.take_turns();
                let sought = self.links.ids();
                return over.into_iter().chain(sought).for_each(|id| self.list_absent(id));
            }
        };
        let is_wanted = self.links.is_current(id, task) && !self.is_ending;
        match found {
            // Until it has its files it is as if it were sought: others may have to come before.
            Ok(Found { torrent, file, contacts }) if is_wanted => self.add_beside(Addition {
                torrent,
                options: TorrentOptions::default().file(file),
                contacts,
                answer: oneshot::channel().0,
                link: Some(id),
            }),
            Ok(Found { contacts: Some(contacts), .. }) => {
                self.goodbyes.spawn(contacts.leave());
            }
            Err(why) if is_wanted => self.lost(id, why),
            Ok(_) | Err(_) => {}
        }
    }

    /// The metadata of a link is known: it is to be this torrent, run as was set of it, which goes
    /// to `options`. It claims its paths then.
    pub(super) fn accept_found(
        &mut self,
        id: TorrentId,
        torrent: &Arc<Torrent>,
        options: &mut TorrentOptions,
    ) -> Result<TorrentId, Error> {
        let spec = self.wanted.get(id).filter(|_| !self.is_ending).ok_or(Error::Ended)?;
        let others = torrent.swarm_hashes().into_iter().filter(|hash| {
            // A hybrid, of which the link names one half.
            self.hashes.get(hash).is_some_and(|other| *other != id)
        });
        if let Some(name) = self.name_of(others) {
            return Err(Error::Duplicate { name });
        }
        let names = tops(torrent);
        if let Some(name) = self.doomed.meets(&spec.dir, names.iter().map(|top| &**top)) {
            return Err(Error::Doomed { name: name.to_owned() });
        }
        let chosen = chosen(spec, torrent).map_err(Error::Refused)?;
        // Which files that are is counted anew when they are here.
        let spec = Spec {
            info_hash: torrent.info_hash_v1,
            info_hash_v2: torrent.info_hash_v2,
            name: torrent.name.clone(),
            ..spec.clone()
        };
        let file = options.file.take();
        // It begins here, wherever it was in a life that is over.
        let anew = options_of(&spec, &self.returning.rest, torrent).begins_in_dir(true);
        *options = anew.file_priorities(None);
        (options.wanted_files, options.file) = (chosen, file);
        self.claim(id, torrent, options)?;
        self.links.forget(id);
        if let Some(absent) = self.returning.absent.get_mut(&id) {
            absent.stage = Stage::Opens;
        }
        let name = spec.called().into();
        self.wanted.change(id, |it| *it = spec);
        self.told.note(id, unix_now(), EventKind::Metadata(name));
        self.list_absent(id);
        Ok(id)
    }

    /// A link has become a torrent that is here: its metadata is kept instead.
    pub(super) async fn keep_found(
        &mut self,
        id: TorrentId,
        Arrival { file, wanted, imported }: Arrival,
        (handle, answer): (TorrentHandle, AddAnswer),
    ) {
        self.wanted.select(id, wanted.as_deref());
        let link = self.wanted.unlink(id);
        let kept = match file {
            Some(file) => self.wanted.add(id, file, Tally::default()).await,
            None => None,
        };
        self.answers.on_added((id, link), answer, handle, kept, imported);
    }
}

/// The files that are wanted of a torrent, by what was set of its link, or else by what that says
/// (BEP 53). Pad files are only with everything else.
fn chosen(spec: &Spec, torrent: &Torrent) -> Result<Option<Vec<bool>>, String> {
    let seen: Vec<usize> =
        torrent.files.iter().enumerate().filter(|(_, it)| !it.is_pad).map(|(at, _)| at).collect();
    let mut wanted = vec![false; torrent.files.len()];
    match &spec.selection {
        Some(selection) => {
            let numbers = selection.wanted().enumerate().filter(|(_, is_wanted)| *is_wanted);
            for (at, _) in numbers {
                let at = seen.get(at).ok_or_else(|| {
                    format!("there is no file {}: it has {} files", at + 1, seen.len())
                })?;
                wanted[*at] = true;
            }
        }
        None => {
            let link = spec.link.as_deref().and_then(|link| Magnet::parse(link).ok());
            let ranges = link.map(|link| link.wanted).unwrap_or_default();
            if ranges.is_empty() {
                return Ok(None);
            }
            for at in &seen {
                wanted[*at] = u32::try_from(*at)
                    .is_ok_and(|position| ranges.iter().any(|range| range.contains(&position)));
            }
        }
    }
    if !wanted.contains(&true) {
        return Err(format!("its link chooses none of the {} files that it has", seen.len()));
    }
    let is_all = seen.iter().all(|at| wanted[*at]);
    Ok(Some(wanted).filter(|_| !is_all))
}
