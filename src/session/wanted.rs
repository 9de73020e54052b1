//! What is wanted of the torrents of a session: a [`Spec`] each, which nobody else has, in the
//! order of the queue. Where the session has a ledger, what changes is given to it. Not here: what
//! follows from a change for a torrent that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::task::{Answer, Keeping};
use crate::ledger::{Goals, Place, Selection, Spec, Tally};
use crate::metainfo::{Torrent, WEB_SEEDS_MAX};
use crate::torrent::command::Command;
use crate::torrent::options::{NamedBy, SeedLimits, TorrentOptions, WebSeed};

/// Where in the queue a torrent is to stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// Before all others.
    First,
    /// Behind all others.
    Last,
    /// One place further to the front.
    Up,
    /// One place further to the back.
    Down,
    /// Behind so many others, or all of them.
    At(usize),
}

/// The specs of all torrents.
#[derive(Debug)]
pub(super) struct Wanted {
    specs: BTreeMap<TorrentId, Spec>,
    queue: BTreeSet<(Place, TorrentId)>,
    /// The number of the next torrent; none when all were used.
    next: Option<TorrentId>,
    keeping: Option<Keeping>,
    /// Those that the ledger has.
    kept: BTreeSet<TorrentId>,
    /// Those of them that it has not as they are now.
    changed: BTreeSet<TorrentId>,
    /// The last number that was given and that it has not heard of: it may never be added.
    given: Option<TorrentId>,
}

impl Wanted {
    /// Without torrents. The numbers of those that come go on from `next`.
    pub fn new(keeping: Option<Keeping>, next: Option<TorrentId>) -> Self {
        Self {
            specs: BTreeMap::new(),
            queue: BTreeSet::new(),
            next,
            keeping,
            kept: BTreeSet::new(),
            changed: BTreeSet::new(),
            given: None,
        }
    }

    /// Does a ledger keep them?
    pub fn are_kept(&self) -> bool {
        self.keeping.is_some()
    }

    /// Who keeps them, if anybody does.
    pub fn keeping(&self) -> Option<Keeping> {
        self.keeping.clone()
    }

    /// A torrent of an earlier run, which the ledger has.
    pub fn restore(&mut self, spec: Spec) {
        self.queue.insert((spec.place, spec.id));
        self.kept.insert(spec.id);
        self.specs.insert(spec.id, spec);
    }

    /// The number that a new torrent has to have; the same until it is there.
    pub fn next_id(&self) -> Option<TorrentId> {
        self.next
    }

    /// A new torrent of this number at the end of the queue, added at this second since 1970. The
    /// ledger has it when it is [added](Self::add).
    pub fn begin(&mut self, id: TorrentId, torrent: &Torrent, options: &TorrentOptions, now: u64) {
        (self.next, self.given) = (id.0.checked_add(1).map(TorrentId), Some(id));
        // Where there is no room it goes in front, and is moved at once.
        let last = self.queue.last().map(|(place, _)| *place);
        let behind = Place::between(last, None);
        let spec = spec(id, behind.unwrap_or(Place(0)), torrent, options, now);
        self.queue.insert((spec.place, id));
        self.specs.insert(id, spec);
        if behind.is_none() {
            self.rank(id, Rank::Last);
        }
    }

    /// What is wanted of a torrent.
    pub fn get(&self, id: TorrentId) -> Option<&Spec> {
        self.specs.get(&id)
    }

    /// All of them, in the order of the queue.
    pub fn in_order(&self) -> impl Iterator<Item = &Spec> {
        self.queue.iter().filter_map(|(_, id)| self.specs.get(id))
    }

    /// Changes what is wanted of a torrent, but for its place.
    pub fn change(&mut self, id: TorrentId, change: impl FnOnce(&mut Spec)) {
        let Some(spec) = self.specs.get_mut(&id) else { return };
        let before = spec.clone();
        change(spec);
        if *spec != before && self.kept.contains(&id) {
            self.changed.insert(id);
        }
    }

    /// The same, for what may be longer than is kept.
    ///
    /// # Errors
    /// It is; then nothing is changed.
    pub fn lengthen(
        &mut self,
        id: TorrentId,
        change: impl FnOnce(&mut Spec),
    ) -> Result<(), String> {
        let Some(mut spec) = self.specs.get(&id).cloned() else { return Ok(()) };
        change(&mut spec);
        if !spec.fits() {
            return Err("its labels, trackers and servers are more than is kept".to_owned());
        }
        self.change(id, |it| *it = spec);
        Ok(())
    }

    /// These files are wanted, or all.
    pub fn select(&mut self, id: TorrentId, wanted: Option<&[bool]>) {
        self.change(id, |spec| spec.selection = wanted.and_then(selection));
    }

    /// Takes in an order on its way to a torrent.
    ///
    /// # Errors
    /// It is more than a torrent has, or than is kept: then it is not to get there.
    pub fn note(&mut self, id: TorrentId, order: &Command) -> Result<(), String> {
        match order {
            Command::Pause => self.change(id, |spec| spec.paused = true),
            Command::Resume | Command::Unpause => self.change(id, |spec| spec.paused = false),
            Command::LimitDown(limit) => self.change(id, |spec| spec.download_limit = *limit),
            Command::LimitUp(limit) => self.change(id, |spec| spec.upload_limit = *limit),
            Command::SelectFiles(wanted) => {
                return self.lengthen(id, |spec| spec.selection = selection(wanted));
            }
            Command::AddWebSeed(seed) => return self.note_server(id, seed),
            _ => {}
        }
        Ok(())
    }

    fn note_server(&mut self, id: TorrentId, seed: &WebSeed) -> Result<(), String> {
        let servers = self.specs.get(&id).map(|spec| &spec.web_seeds);
        let new = lasting(seed).filter(|url| servers.is_some_and(|known| !known.contains(url)));
        let Some(url) = new else { return Ok(()) };
        if servers.is_some_and(|known| known.len() >= WEB_SEEDS_MAX) {
            return Err(format!("it has {WEB_SEEDS_MAX} servers already, and takes no more"));
        }
        self.lengthen(id, |spec| spec.web_seeds.push(url))
    }

    /// Gives a torrent another place in the queue, and names those that have another one now: all
    /// of them where there was no room.
    pub fn rank(&mut self, id: TorrentId, rank: Rank) -> Vec<TorrentId> {
        let Some(spec) = self.specs.get(&id) else { return Vec::new() };
        let own = (spec.place, id);
        let mut forward = self.queue.range((Bound::Excluded(own), Bound::Unbounded));
        let mut back = self.queue.range(..own).rev();
        // Between whom it stands then.
        let (before, after) = match rank {
            Rank::First => (None, self.queue.first()),
            Rank::Last => (self.queue.last(), None),
            Rank::Up => {
                let after = back.next();
                (back.next(), after)
            }
            Rank::Down => {
                let before = forward.next();
                (before, forward.next())
            }
            Rank::At(count) => {
                let mut others = self.queue.iter().filter(|it| **it != own);
                let before = match count.checked_sub(1) {
                    Some(nth) => others.by_ref().take(nth + 1).last(),
                    None => None,
                };
                (before, others.next())
            }
        };
        let neighbours = [before, after].map(|it| it.copied());
        if neighbours.contains(&Some(own)) || neighbours == [None, None] {
            // It is there.
            return Vec::new();
        }
        self.stand(own, neighbours)
    }

    fn stand(
        &mut self,
        own: (Place, TorrentId),
        [before, after]: [Option<(Place, TorrentId)>; 2],
    ) -> Vec<TorrentId> {
        let place_of = |it: Option<(Place, TorrentId)>| it.map(|(place, _)| place);
        self.queue.remove(&own);
        if let Some(place) = Place::between(place_of(before), place_of(after)) {
            self.queue.insert((place, own.1));
            self.change(own.1, |spec| spec.place = place);
            return vec![own.1];
        }
        let mut order: Vec<_> = self.queue.iter().copied().collect();
        let at = before.map_or(0, |before| order.partition_point(|it| *it <= before));
        order.insert(at, own);
        let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
        self.queue.clear();
        for ((_, id), place) in order.iter().zip(Place::dealt(count)) {
            self.queue.insert((place, *id));
            self.change(*id, |spec| spec.place = place);
        }
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// Has a new torrent kept, with the bytes of its `.torrent` and what it has done before; none
    /// where nobody does.
    pub async fn add(
        &mut self,
        id: TorrentId,
        file: Arc<[u8]>,
        before: Tally,
    ) -> Option<Answer<()>> {
        let (keeping, spec) = self.keeping.as_ref().zip(self.specs.get(&id))?;
        self.kept.insert(id);
        Some(keeping.add_with(spec.clone(), Some(file), before).await)
    }

    /// Has the ledger give up a torrent; none when it does not have it.
    pub async fn remove(&mut self, id: TorrentId) -> Option<Answer<()>> {
        self.changed.remove(&id);
        let keeping = self.keeping.as_ref().filter(|_| self.kept.remove(&id))?;
        Some(keeping.remove(id).await)
    }

    /// Nothing is wanted of a torrent any more.
    pub fn forget(&mut self, id: TorrentId) {
        if let Some(spec) = self.specs.remove(&id) {
            self.queue.remove(&(spec.place, id));
        }
    }

    /// Gives the ledger what has changed.
    pub async fn keep(&mut self) {
        let Some(keeping) = &self.keeping else { return };
        if let Some(id) = self.given.take() {
            keeping.used(id).await;
        }
        while let Some(id) = self.changed.pop_first() {
            if let Some(spec) = self.specs.get(&id) {
                keeping.put(spec.clone()).await;
            }
        }
    }

    /// Gives the ledger what a torrent has done.
    pub async fn tally(&self, id: TorrentId, tally: Tally) {
        if let Some(keeping) = self.keeping.as_ref().filter(|_| self.kept.contains(&id)) {
            keeping.tally(id, tally).await;
        }
    }

    /// Ends the ledger, if there is one: what it was given is written then.
    pub async fn stop(&self) -> Option<Answer<()>> {
        match &self.keeping {
            Some(keeping) => Some(keeping.stop().await),
            None => None,
        }
    }
}

/// What these options want of a torrent.
fn spec(
    id: TorrentId,
    place: Place,
    torrent: &Torrent,
    options: &TorrentOptions,
    now: u64,
) -> Spec {
    Spec {
        id,
        info_hash: torrent.info_hash_v1,
        info_hash_v2: torrent.info_hash_v2,
        name: torrent.name.clone(),
        dir: std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone()),
        selection: options.wanted_files.as_deref().and_then(selection),
        download_limit: options.download_limit,
        upload_limit: options.upload_limit,
        labels: options.labels.clone(),
        goals: Goals { ratio: options.seeding.ratio, time: options.seeding.time },
        sequential: options.sequential,
        paused: options.paused,
        seed_only: options.seed_only,
        place,
        added_s: now,
        completed_s: None,
        extra_trackers: options.extra_trackers.clone(),
        web_seeds: options.web_seeds.iter().filter_map(lasting).collect(),
        link: None,
    }
}

/// How to run a torrent of which this is wanted; the rest is as for all of an earlier run.
pub(super) fn options_of(spec: &Spec, rest: &TorrentOptions, torrent: &Torrent) -> TorrentOptions {
    let wanted = spec.selection.as_ref().map(|it| it.wanted().collect::<Vec<_>>());
    rest.clone()
        .dir(&spec.dir)
        .wanted_files(wanted.filter(|wanted| wanted.len() == torrent.files.len()))
        .extra_trackers(spec.extra_trackers.clone())
        .web_seeds(spec.web_seeds.iter().map(WebSeed::of_user).collect())
        .sequential(spec.sequential)
        .seeding(SeedLimits { ratio: spec.goals.ratio, time: spec.goals.time })
        .seed_only(spec.seed_only)
        .paused(spec.paused)
        .download_limit(spec.download_limit)
        .upload_limit(spec.upload_limit)
        .labels(spec.labels.clone())
}

/// What handshakes know a torrent by, as [`Torrent::swarm_hashes`] has it.
pub(super) fn swarm_hashes(spec: &Spec) -> impl Iterator<Item = InfoHash> + use<> {
    let second = spec.info_hash_v2.map(|hash| InfoHash(std::array::from_fn(|at| hash.0[at])));
    spec.info_hash.into_iter().chain(second)
}

/// None when all files are wanted.
fn selection(wanted: &[bool]) -> Option<Selection> {
    Selection::of(wanted).filter(|_| wanted.contains(&false))
}

/// The URL of a server that is asked in later runs, too: one of all files that the user names.
fn lasting(seed: &WebSeed) -> Option<String> {
    let is_plain = seed.named_by == NamedBy::User && seed.file.is_none() && !seed.is_script;
    is_plain.then(|| seed.url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many torrents, numbered from 1.
    fn wanted(count: u32) -> Wanted {
        let mut wanted = Wanted::new(None, Some(TorrentId(1)));
        for nth in 1..=count {
            let info = format!("d6:lengthi1e4:name1:{nth}12:piece lengthi16384e6:pieces20:");
            let info = [info.as_bytes(), &[b'x'; 20], b"e"].concat();
            let torrent = Torrent::from_info(&info).unwrap();
            let id = wanted.next_id().unwrap();
            wanted.begin(id, &torrent, &TorrentOptions::default(), 0);
        }
        wanted
    }

    fn order(wanted: &Wanted) -> Vec<u32> {
        wanted.in_order().map(|spec| spec.id.0).collect()
    }

    #[test]
    fn whoever_is_moved_stands_where_it_was_told_to() {
        for (id, rank, expected) in [
            (3, Rank::First, [3, 1, 2, 4]),
            (1, Rank::First, [1, 2, 3, 4]),
            (2, Rank::Last, [1, 3, 4, 2]),
            (4, Rank::Last, [1, 2, 3, 4]),
            (3, Rank::Up, [1, 3, 2, 4]),
            (2, Rank::Up, [2, 1, 3, 4]),
            (1, Rank::Up, [1, 2, 3, 4]),
            (2, Rank::Down, [1, 3, 2, 4]),
            (3, Rank::Down, [1, 2, 4, 3]),
            (4, Rank::Down, [1, 2, 3, 4]),
            (1, Rank::At(2), [2, 3, 1, 4]),
            (4, Rank::At(0), [4, 1, 2, 3]),
            (4, Rank::At(1), [1, 4, 2, 3]),
            (2, Rank::At(1), [1, 2, 3, 4]),
            (1, Rank::At(99), [2, 3, 4, 1]),
        ] {
            let mut wanted = wanted(4);
            let moved = wanted.rank(TorrentId(id), rank);
            assert_eq!(order(&wanted), expected, "{id} {rank:?}");
            assert!(moved.is_empty() || moved == [TorrentId(id)], "{id} {rank:?}: {moved:?}");
        }
    }

    #[test]
    fn where_there_is_no_room_all_get_new_places() {
        let mut wanted = wanted(3);
        let mut dealt = 0;
        for turn in 0..200 {
            // The last one goes between the other two.
            let last = wanted.in_order().last().unwrap().id;
            let mut expected = order(&wanted);
            expected.pop();
            expected.insert(1, last.0);
            dealt += usize::from(wanted.rank(last, Rank::At(1)).len() == 3);
            assert_eq!(order(&wanted), expected, "turn {turn}");
        }
        assert!((1..50).contains(&dealt), "{dealt}");
        let places: BTreeSet<_> = wanted.in_order().map(|spec| spec.place).collect();
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn orders_are_noted() {
        let mut wanted = wanted(1);
        let id = TorrentId(1);
        let seeds = [WebSeed::of_user("http://a/"), WebSeed::of_torrent("http://b/")];
        let orders = [
            Command::Pause,
            Command::LimitDown(Some(7)),
            Command::LimitUp(Some(8)),
            Command::SelectFiles(vec![true, false]),
            Command::AddWebSeed(seeds[0].clone()),
            Command::AddWebSeed(seeds[0].clone()),
            Command::AddWebSeed(seeds[1].clone()),
            Command::Scrape,
        ];
        orders.iter().for_each(|order| wanted.note(id, order).unwrap());
        let spec = wanted.get(id).unwrap().clone();
        assert!(spec.paused);
        assert_eq!((spec.download_limit, spec.upload_limit), (Some(7), Some(8)));
        assert_eq!(spec.selection, Selection::of(&[true, false]));
        assert_eq!(spec.web_seeds, ["http://a/"]);
        wanted.note(id, &Command::Unpause).unwrap();
        wanted.note(id, &Command::SelectFiles(vec![true, true])).unwrap();
        let spec = wanted.get(id).unwrap();
        assert_eq!((spec.paused, spec.selection.as_ref()), (false, None));
    }

    #[test]
    fn more_servers_than_a_torrent_asks_and_longer_names_than_are_kept_are_refused() {
        let mut wanted = wanted(1);
        let id = TorrentId(1);
        let server = |nth: usize| Command::AddWebSeed(WebSeed::of_user(format!("http://{nth}/")));
        for nth in 0..WEB_SEEDS_MAX {
            wanted.note(id, &server(nth)).unwrap();
        }
        wanted.note(id, &server(0)).unwrap();
        let refused = wanted.note(id, &server(WEB_SEEDS_MAX)).unwrap_err();
        assert_eq!(refused, "it has 32 servers already, and takes no more");
        assert_eq!(wanted.get(id).unwrap().web_seeds.len(), WEB_SEEDS_MAX);
        let before = wanted.get(id).unwrap().clone();
        // By their length, and by their number.
        for labels in [vec!["x".repeat(1 << 20)], vec![String::new(); 10_000]] {
            assert!(wanted.lengthen(id, |spec| spec.labels = labels).is_err());
        }
        assert_eq!(wanted.get(id), Some(&before));
        let most = vec!["x".repeat(100); 9_000];
        wanted.lengthen(id, |spec| spec.labels = most).unwrap();
        // What has few bytes finds room all the same.
        wanted.note(id, &Command::LimitDown(Some(u64::MAX))).unwrap();
        wanted.change(id, |spec| spec.dir = "d/".repeat(2000).into());
    }
}
