//! What is wanted of the torrents of a session: a [`Spec`] each, which nobody else has, in the
//! order of the queue. Where the session has a ledger, what changes is given to it. Not here: what
//! follows from a change for a torrent that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::task::{Answer, Keeping};
use crate::ledger::{Goals, Place, Selection, SessionSpec, Spec, Tally, Ways};
use crate::metainfo::{Magnet, Torrent, WEB_SEEDS_MAX};
use crate::torrent::command::{Choice, Command};
use crate::torrent::options::{Conduct, NamedBy, SeedLimits, TorrentOptions, WebSeed};

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
    /// Apart: a tree that grows at its end has as much free room as it holds. Shared with whoever
    /// lists them: what changes is another one.
    specs: BTreeMap<TorrentId, Arc<Spec>>,
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
    /// Of all torrents together, and whether the ledger has it otherwise.
    together: SessionSpec,
    is_together_changed: bool,
}

impl Wanted {
    /// Without torrents. The numbers of those that come go on from `next`.
    pub fn new(keeping: Option<Keeping>, next: Option<TorrentId>, together: SessionSpec) -> Self {
        Self {
            specs: BTreeMap::new(),
            queue: BTreeSet::new(),
            next,
            keeping,
            kept: BTreeSet::new(),
            changed: BTreeSet::new(),
            given: None,
            together,
            is_together_changed: false,
        }
    }

    /// What is wanted of all torrents together.
    pub fn together(&self) -> &SessionSpec {
        &self.together
    }

    /// The same from now on.
    pub fn set_together(&mut self, together: SessionSpec) {
        self.is_together_changed |= self.together != together;
        self.together = together;
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
        self.specs.insert(spec.id, Arc::new(spec));
    }

    /// The number that a new torrent has to have; the same until it is there.
    pub fn next_id(&self) -> Option<TorrentId> {
        self.next
    }

    /// A new torrent of this number at the end of the queue, added at this second since 1970. The
    /// ledger has it when it is [added](Self::add).
    pub fn begin(&mut self, id: TorrentId, torrent: &Torrent, options: &TorrentOptions, now: u64) {
        self.enter(Spec {
            info_hash: torrent.info_hash_v1,
            info_hash_v2: torrent.info_hash_v2,
            name: torrent.name.clone(),
            selection: match &options.file_priorities {
                Some(priorities) => uneven(priorities),
                None => options.wanted_files.as_deref().and_then(selection),
            },
            ..spec(id, options, now)
        });
    }

    /// The same of a link whose metadata is not known: the ledger has it when it is
    /// [added](Self::add_link).
    pub fn begin_link(&mut self, id: TorrentId, link: &Magnet, options: &TorrentOptions, now: u64) {
        let flag = |wanted: &bool| FilePriority::Normal.chosen(*wanted);
        let chosen = options.wanted_files.as_ref();
        self.enter(Spec {
            info_hash: link.info_hash_v1,
            info_hash_v2: link.info_hash_v2,
            name: link.name.clone().unwrap_or_default(),
            // Those behind the last one are not wanted, though all that are named are.
            selection: chosen
                .and_then(|files| Selection::of(&files.iter().map(flag).collect::<Vec<_>>())),
            link: Some(link.to_string()),
            ..spec(id, options, now)
        });
    }

    fn enter(&mut self, spec: Spec) {
        let id = spec.id;
        (self.next, self.given) = (id.0.checked_add(1).map(TorrentId), Some(id));
        // Where there is no room it goes in front, and is moved at once.
        let last = self.queue.last().map(|(place, _)| *place);
        let behind = Place::between(last, None);
        let spec = Spec { place: behind.unwrap_or(Place(0)), ..spec };
        self.queue.insert((spec.place, id));
        self.specs.insert(id, Arc::new(spec));
        if behind.is_none() {
            self.rank(id, Rank::Last);
        }
    }

    /// What is wanted of a torrent.
    pub fn get(&self, id: TorrentId) -> Option<&Spec> {
        self.specs.get(&id).map(Arc::as_ref)
    }

    /// The same as it is now, to keep.
    pub fn shared(&self, id: TorrentId) -> Option<Arc<Spec>> {
        self.specs.get(&id).cloned()
    }

    /// All of them, in the order of the queue.
    pub fn in_order(&self) -> impl Iterator<Item = &Spec> {
        self.queue.iter().filter_map(|(_, id)| self.get(*id))
    }

    /// Changes what is wanted of a torrent, but for its place.
    pub fn change(&mut self, id: TorrentId, change: impl FnOnce(&mut Spec)) {
        let Some(spec) = self.specs.get_mut(&id) else { return };
        let before = spec.clone();
        change(Arc::make_mut(spec));
        if self.kept.contains(&id) && before != *spec {
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
        let Some(mut spec) = self.get(id).cloned() else { return Ok(()) };
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
            Command::SelectFiles(choice) => {
                return self.lengthen(id, |spec| {
                    spec.selection = chosen(choice.clone(), spec.selection.as_ref());
                });
            }
            Command::AddWebSeed(seed) => return self.note_server(id, seed),
            Command::Trackers(tiers) => {
                return self.lengthen(id, |spec| spec.trackers = Some(tiers.clone()));
            }
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

    /// Has a new link kept; none where nobody does.
    pub async fn add_link(&mut self, id: TorrentId) -> Option<Answer<()>> {
        let (keeping, spec) = self.keeping.as_ref().zip(self.specs.get(&id))?;
        self.kept.insert(id);
        Some(keeping.add(Spec::clone(spec), None).await)
    }

    /// The metadata of a link is known, and to be [added](Self::add) if it is kept; the link, which
    /// nobody needs then. Until that is done the ledger has to have it.
    pub fn unlink(&mut self, id: TorrentId) -> Option<String> {
        self.changed.remove(&id);
        Arc::make_mut(self.specs.get_mut(&id)?).link.take()
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
        Some(keeping.add_with(Spec::clone(spec), Some(file), before).await)
    }

    /// Has the ledger give up a torrent; none when it does not have it.
    pub async fn remove(&mut self, id: TorrentId) -> Option<Answer<()>> {
        self.changed.remove(&id);
        let keeping = self.keeping.as_ref().filter(|_| self.kept.remove(&id))?;
        Some(keeping.remove(id).await)
    }

    /// The same of one whose files are to go as well, of which this was wanted.
    pub async fn erase(&mut self, spec: Spec) -> Option<Answer<()>> {
        self.changed.remove(&spec.id);
        let keeping = self.keeping.as_ref().filter(|_| self.kept.remove(&spec.id))?;
        Some(keeping.erase(spec).await)
    }

    /// They are gone, or stay.
    pub async fn erased(&self, id: TorrentId) {
        if let Some(keeping) = &self.keeping {
            keeping.erased(id).await;
        }
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
                keeping.put(Spec::clone(spec)).await;
            }
        }
        if std::mem::take(&mut self.is_together_changed) {
            keeping.put_session(self.together).await;
        }
    }

    /// Gives it to the ledger, and says when it is kept; none where nobody keeps it.
    pub async fn kept(&mut self) -> Option<Answer<()>> {
        self.keep().await;
        Some(self.keeping.as_ref()?.flush().await)
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

/// What these options want of a torrent, whatever it is.
fn spec(id: TorrentId, options: &TorrentOptions, now: u64) -> Spec {
    Spec {
        id,
        info_hash: None,
        info_hash_v2: None,
        name: String::new(),
        dir: std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone()),
        selection: None,
        download_limit: options.download_limit,
        upload_limit: options.upload_limit,
        peers_max: as_bound(options.max_peers, TorrentOptions::MAX_PEERS),
        slots_max: options.max_uploads.map(saturated),
        labels: options.labels.clone(),
        shown_name: options.shown_name.clone(),
        goals: Goals { ratio: options.seeding.ratio, time: options.seeding.time },
        sequential: options.sequential,
        ends_first: options.ends_first,
        ways: Ways {
            trackers: options.use_trackers,
            exchange: options.exchange_peers,
            dht: options.use_dht,
            lsd: options.use_lsd,
            web_seeds: options.use_web_seeds,
        },
        paused: options.paused,
        seed_only: options.seed_only,
        place: Place(0),
        added_s: now,
        completed_s: None,
        extra_trackers: options.extra_trackers.clone(),
        trackers: options.trackers.clone(),
        web_seeds: options.web_seeds.iter().filter_map(lasting).collect(),
        link: None,
        whole: None,
    }
}

/// How to run a torrent of which this is wanted; the rest is as for all of an earlier run.
pub(super) fn options_of(spec: &Spec, rest: &TorrentOptions, torrent: &Torrent) -> TorrentOptions {
    let files = spec.selection.as_ref().map(|it| it.priorities().collect::<Vec<_>>());
    let conduct = conduct_of(spec, rest);
    rest.clone()
        .dir(&spec.dir)
        .file_priorities(files.filter(|files| files.len() == torrent.files.len()))
        .use_trackers(conduct.use_trackers)
        .use_web_seeds(conduct.use_web_seeds)
        .use_dht(conduct.use_dht)
        .exchange_peers(conduct.exchange_peers)
        .max_peers(conduct.max_peers)
        .max_uploads(conduct.max_uploads)
        .ends_first(conduct.ends_first)
        .extra_trackers(spec.extra_trackers.clone())
        .trackers(spec.trackers.clone())
        .web_seeds(spec.web_seeds.iter().map(WebSeed::of_user).collect())
        .sequential(spec.sequential)
        .seeding(SeedLimits { ratio: spec.goals.ratio, time: spec.goals.time })
        .seed_only(spec.seed_only)
        .paused(spec.paused)
        .download_limit(spec.download_limit)
        .upload_limit(spec.upload_limit)
        .labels(spec.labels.clone())
}

/// How a torrent behaves of which this is wanted: what is off for all stays off.
pub(super) fn conduct_of(spec: &Spec, rest: &TorrentOptions) -> Conduct {
    let bound = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
    let Ways { trackers, exchange, dht, web_seeds, .. } = spec.ways;
    Conduct {
        use_trackers: trackers && rest.use_trackers,
        use_web_seeds: web_seeds && rest.use_web_seeds,
        use_dht: dht && rest.use_dht,
        exchange_peers: exchange && rest.exchange_peers,
        max_peers: spec.peers_max.map_or(rest.max_peers, bound),
        max_uploads: spec.slots_max.map(bound).or(rest.max_uploads),
        sequential: spec.sequential,
        ends_first: spec.ends_first,
    }
}

/// None where it is as many as usual.
fn as_bound(most: usize, usual: usize) -> Option<u32> {
    (most != usual).then(|| saturated(most))
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What handshakes know a torrent by, as [`Torrent::swarm_hashes`] has it.
pub(super) fn swarm_hashes(spec: &Spec) -> impl Iterator<Item = InfoHash> + use<> {
    let second = spec.info_hash_v2.map(|hash| InfoHash(std::array::from_fn(|at| hash.0[at])));
    spec.info_hash.into_iter().chain(second)
}

/// None when all files are wanted.
fn selection(wanted: &[bool]) -> Option<Selection> {
    chosen(Choice::Wanted(wanted.to_vec()), None)
}

/// What a choice makes of what was wanted before.
fn chosen(choice: Choice, before: Option<&Selection>) -> Option<Selection> {
    let before: Vec<_> = before.into_iter().flat_map(Selection::priorities).collect();
    uneven(&choice.over(&before))
}

/// None when all files are wanted as most are.
fn uneven(priorities: &[FilePriority]) -> Option<Selection> {
    let is_even = priorities.iter().all(|it| *it == FilePriority::Normal);
    Selection::of(priorities).filter(|_| !is_even)
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
        let mut wanted = Wanted::new(None, Some(TorrentId(1)), SessionSpec::default());
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
            Command::SelectFiles(Choice::Wanted(vec![true, false])),
            Command::AddWebSeed(seeds[0].clone()),
            Command::AddWebSeed(seeds[0].clone()),
            Command::AddWebSeed(seeds[1].clone()),
            Command::Scrape,
        ];
        orders.iter().for_each(|order| wanted.note(id, order).unwrap());
        let spec = wanted.get(id).unwrap().clone();
        assert!(spec.paused);
        assert_eq!((spec.download_limit, spec.upload_limit), (Some(7), Some(8)));
        assert_eq!(spec.selection, Selection::of(&[FilePriority::Normal, FilePriority::Off]));
        assert_eq!(spec.web_seeds, ["http://a/"]);
        wanted.note(id, &Command::Unpause).unwrap();
        wanted.note(id, &Command::SelectFiles(Choice::Wanted(vec![true, true]))).unwrap();
        let spec = wanted.get(id).unwrap();
        assert_eq!((spec.paused, spec.selection.as_ref()), (false, None));
        // What is wanted stays as urgent as it was.
        let priorities = vec![FilePriority::High, FilePriority::Off];
        wanted.note(id, &Command::SelectFiles(Choice::Priorities(priorities))).unwrap();
        wanted.note(id, &Command::SelectFiles(Choice::Wanted(vec![true, true]))).unwrap();
        let selection = wanted.get(id).unwrap().selection.clone().unwrap();
        assert!(selection.priorities().eq([FilePriority::High, FilePriority::Normal]));
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
