//! The actor that owns the torrents of a session: it lets them in and out, looks at those that
//! ring, does what the rules make of that (whose turn it is, who has seeded enough, who sleeps),
//! and keeps what was sent and which files are wanted. Torrents to which nothing happens cost it
//! nothing. It moves no byte of data and draws no conclusions about a transfer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::base::ids::{InfoHash, TorrentId};
use crate::base::units::BLOCK_LEN;
use crate::dht::Hint;
use crate::ledger::Tally;
use crate::metainfo::Torrent;
use crate::net::lsd::LocalPeer;
use crate::roster::policy::{Input, Output, Policy};
use crate::roster::{EventKind, Flags, Phase};
use crate::torrent::bell::Bell;
use crate::torrent::command::Order;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::TorrentOptions;
use crate::torrent::places::Account;
use crate::torrent::resources::{Resources, Turn};
use crate::torrent::share::Share;

use super::absent::Addition;
use super::answers::Answers;
use super::claims::Claims;
use super::command::Command;
use super::doomed::Doomed;
use super::erasure::Step;
use super::error::Error;
use super::homes::Homes;
use super::links::Links;
use super::listener::{Notice, Registration};
use super::local::Local;
use super::member::{Arriving, Facts, Member, RemoveAnswer, Spent};
use super::opening::{self, Coming, Opened, in_turn, open};
use super::outside::Outside;
use super::overlay::{Ruling, claiming, held};
use super::persist::News;
use super::restoring::Returning;
use super::searches::Searches;
use super::slumber::{self, Slumber};
use super::together::active_max;
use super::told::{Heads, Told};
use super::wanted::Wanted;
use super::way_out::WayOut;

/// After a look at torrents that rang, others that ring wait for so long: many that change often
/// are looked at together.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Orders that set something of a torrent and wait to be noted; whoever gives more waits too.
const ORDERS_LEN: usize = 64;
/// Torrents that ring and are not looked at yet; each stands there once.
const RUNG_LEN: usize = 1 << 20;
/// Torrents that are looked at together at most.
const LOOK_BATCH: usize = 1024;

/// How many torrents do what at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Check and download.
    pub active: usize,
    /// Are open, complete, and have nobody.
    pub awake: usize,
}

/// The owner of all torrents.
pub(super) struct Actor {
    pub(super) resources: Arc<Resources>,
    pub(super) way_out: WayOut,
    pub(super) registrations: mpsc::Sender<Notice>,
    pub(super) local: Local,
    pub(super) outside: Outside,
    /// What holds before what is wanted.
    pub(super) ruling: Ruling,
    pub(super) searches: Searches,
    /// Links that are sought.
    pub(super) links: Links,
    /// In boxes: a tree that grows at its end has as much free room as it holds.
    pub(super) members: BTreeMap<TorrentId, Box<Member>>,
    /// Torrents whose files are being opened, by who does that.
    pub(super) arriving: HashMap<Id, Arriving>,
    pub(super) opening: JoinSet<Option<Opened>>,
    /// Who of them may.
    pub(super) turns: Arc<Semaphore>,
    /// Who has a hash, or is to have it.
    pub(super) hashes: HashMap<InfoHash, TorrentId>,
    /// What is wanted of each.
    pub(super) wanted: Wanted,
    /// Those of earlier runs that are not here yet.
    pub(super) returning: Returning,
    /// How lists show them, and what happened to them.
    pub(super) told: Told,
    /// Whose turn it is, and who has seeded enough.
    pub(super) policy: Policy,
    /// How many download at once where that was not set.
    pub(super) usual_active: usize,
    /// Who sleeps.
    pub(super) slumber: Slumber,
    /// Those that may have links.
    pub(super) linked: BTreeSet<TorrentId>,
    /// Those that download, or did when that was looked at last.
    pub(super) downloading: BTreeSet<TorrentId>,
    /// What paths they write.
    pub(super) claims: Claims,
    /// Whose files are being removed,
    pub(super) doomed: Doomed,
    /// and how far that is.
    pub(super) erasing: JoinSet<Step>,
    /// Whose files are elsewhere than was known.
    pub(super) homes: Homes,
    /// Torrents that are ending, each with whoever waits for that.
    pub(super) leaving: JoinSet<(TorrentId, RemoveAnswer)>,
    /// Whoever waits for the ledger.
    pub(super) answers: Answers,
    /// Searches whose torrent was refused tell their trackers that they are over.
    pub(super) goodbyes: JoinSet<()>,
    pub(super) is_ending: bool,
    /// Torrents ring here.
    rung: mpsc::Sender<TorrentId>,
    /// Their orders that set something come here.
    pub(super) orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
    /// Of whom something may be new that is to be kept, and whether that is a choice of files.
    pub(super) unkept: BTreeSet<TorrentId>,
    pub(super) has_new_choice: bool,
    /// What was sent is being kept, and the disk hangs.
    pub(super) keeping: Option<JoinHandle<Vec<News>>>,
}

impl Actor {
    /// One without torrents, where they ring, and where readers wait for what happens.
    pub fn new(
        resources: Arc<Resources>,
        registrations: mpsc::Sender<Notice>,
        most: Most,
        local: Local,
        (outside, ruling): (Outside, Ruling),
        (wanted, returning): (Wanted, Returning),
    ) -> (Self, mpsc::Receiver<TorrentId>, watch::Receiver<Heads>) {
        let (rung, ringing) = mpsc::channel(RUNG_LEN);
        let (told, heads) = Told::new(rand::random());
        let mut actor = Self {
            way_out: WayOut::watched(&resources.egress),
            resources,
            registrations,
            local,
            outside,
            ruling,
            searches: Searches::default(),
            links: Links::new(),
            members: BTreeMap::new(),
            arriving: HashMap::new(),
            opening: JoinSet::new(),
            turns: Arc::new(Semaphore::new(opening::AT_ONCE)),
            hashes: HashMap::new(),
            policy: Policy::new(active_max(wanted.together(), most.active)),
            usual_active: most.active,
            wanted,
            returning,
            told,
            slumber: Slumber::new(most.awake),
            linked: BTreeSet::new(),
            downloading: BTreeSet::new(),
            claims: Claims::default(),
            doomed: Doomed::default(),
            erasing: JoinSet::new(),
            homes: Homes::default(),
            leaving: JoinSet::new(),
            answers: Answers::default(),
            goodbyes: JoinSet::new(),
            is_ending: false,
            rung,
            orders: mpsc::channel(ORDERS_LEN),
            unkept: BTreeSet::new(),
            has_new_choice: false,
            keeping: None,
        };
        actor.list_returning();
        let to_erase = std::mem::take(&mut actor.returning.to_erase);
        actor.erase_again(&to_erase);
        (actor, ringing, heads)
    }

    /// Runs until every handle of the session is gone.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut ringing: mpsc::Receiver<TorrentId>,
    ) {
        let bell = self.resources.bell.clone();
        let (mut keep, mut kept) = (interval(self.keeps_every()), 0);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at = Instant::now();
        let mut rang = Vec::new();
        loop {
            let policy_at = self.policy.next_timeout();
            let slumber_at = self.slumber.next_timeout();
            let calls_at = self.returning.calls.next_timeout();
            tokio::select! {
                () = self.way_out.changed() => {}
                command = commands.recv() => match command {
                    Some(command) => {
                        self.catch_up(&mut ringing, &mut rang);
                        self.on_command(command).await;
                    }
                    None => return,
                },
                Some(left) = self.leaving.join_next(), if !self.leaving.is_empty() => {
                    if let Ok((id, answer)) = left {
                        self.on_left(id, answer).await;
                    }
                }
                Some(Ok(step)) = self.erasing.join_next(), if !self.erasing.is_empty() => {
                    self.on_erasing(step).await;
                }
                Some(order) = self.orders.1.recv() => self.on_order(order),
                Some((id, torrent)) = self.returning.read.recv() => {
                    self.on_read(id, torrent).await;
                }
                Some(peer) = self.returning.knocks.recv() => self.on_knock(peer).await,
                Some((id, peers)) = self.returning.named.1.recv() => self.on_named(id, peers),
                Some(lost) = self.answers.next() => self.on_not_kept(lost).await,
                heard = self.links.next() => self.on_link(heard),
                Some(elsewhere) = self.homes.next() => self.on_elsewhere(elsewhere),
                Some(_) = self.goodbyes.join_next() => {}
                Some(opened) = self.opening.join_next_with_id(), if !self.opening.is_empty() => {
                    self.on_opened(opened).await;
                }
                happened = self.ruling.next() => self.on_ruling(happened),
                peer = self.local.next() => self.on_local_peer(peer),
                1.. = ringing.recv_many(&mut rang, LOOK_BATCH), if rang.is_empty() => {}
                () = bell.notified() => {}
                () = sleep_until(look_at), if !rang.is_empty() => {
                    rang.drain(..).for_each(|id| self.look_at(id));
                    look_at = Instant::now() + LOOK_PAUSE;
                }
                () = sleep_until(policy_at.unwrap_or_else(std::time::Instant::now).into()),
                    if policy_at.is_some() => self.judge(Input::Tick),
                () = sleep_until(slumber_at.unwrap_or_else(std::time::Instant::now).into()),
                    if slumber_at.is_some() => {}
                () = sleep_until(calls_at.unwrap_or_else(std::time::Instant::now).into()),
                    if calls_at.is_some() => self.call_next(),
                _ = keep.tick() => {
                    kept += 1;
                    self.keep_again(kept).await;
                }
            }
            self.settle().await;
        }
    }

    /// Looks at what came before an order: whoever gives it may have seen that.
    fn catch_up(&mut self, ringing: &mut mpsc::Receiver<TorrentId>, rang: &mut Vec<TorrentId>) {
        while let Ok(id) = ringing.try_recv() {
            rang.push(id);
        }
        rang.drain(..).for_each(|id| self.look_at(id));
        while let Ok(order) = self.orders.1.try_recv() {
            self.on_order(order);
        }
    }

    /// Does what follows from all that.
    async fn settle(&mut self) {
        self.wanted.keep().await;
        for notice in std::mem::take(&mut self.returning.notices) {
            // The listener lives as long as the session.
            let _ = self.registrations.send(notice).await;
        }
        self.seek_due().await;
        self.local.look_at_seeks();
        self.searches.share_out();
        if self.has_new_choice && !self.wanted.are_kept() {
            self.keep().await;
        }
        self.lay_rules();
        self.carry_out();
        self.divide_places();
        self.share_out();
        self.told.ring();
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Add(addition) => self.add_beside(*addition),
            Command::AddLink { link, options, answer } => {
                self.add_link(&link, &options, answer).await;
            }
            Command::Reach(id, answer) => self.reach(id, answer),
            Command::Trackers(id, answer) => self.trackers(id, answer),
            Command::Seek { request, answer } => self.seek(request, answer).await,
            Command::Remove { info_hash, answer } => self.remove(info_hash, answer).await,
            Command::RemoveNumber { id, answer } => self.remove_number(id, answer).await,
            Command::Erase { id, answer } if self.is_sought(id) => {
                self.remove_sought(id, answer).await;
            }
            Command::Erase { id, answer } => self.erase(id, answer),
            Command::List(answer) => {
                let queue = self.wanted.in_order().filter_map(|spec| self.members.get(&spec.id));
                let staying = queue.filter(|member| !member.is_leaving);
                let listed = staying.map(|member| (member.info_hash, member.handle.clone()));
                let _ = answer.send(listed.collect());
            }
            Command::Look(which, answer) => drop(answer.send(self.listed(which))),
            Command::LookByHash(hash, answer) => drop(answer.send(self.listed_by_hash(hash))),
            Command::Metadata(id, answer) => self.metadata(id, answer),
            Command::Set { id, setting, answer } => {
                let _ = answer.send(self.set(id, setting));
            }
            Command::Changes(since, answer) => drop(answer.send(self.told.since(since))),
            Command::Listing(since, answer) => {
                let changes = self.told.since(since);
                let ids = changes.changed.iter().map(|row| row.id);
                let listed = ids.filter_map(|id| self.listed_one(id)).collect();
                let _ = answer.send((changes, listed));
            }
            Command::Events(after, answer) => drop(answer.send(self.told.after(after))),
            Command::SetAll(setting, answer) => {
                self.set_all(setting);
                let _ = answer.send(());
            }
            Command::Keep(answer) => drop(answer.send(self.wanted.kept().await)),
            Command::LookAtAll(answer) => drop(answer.send(*self.wanted.together())),
            Command::LimitsNow(answer) => {
                let wanted = self.wanted.together();
                let _ =
                    answer.send((self.ruling.limits(wanted), self.ruling.is_alternative(wanted)));
            }
            Command::Rules(book, answer) => {
                self.set_book(book);
                let _ = answer.send(());
            }
            Command::Ruled(id, answer) => drop(answer.send(self.ruled(id))),
            Command::Stop(answer) => self.stop(answer).await,
        }
    }

    /// Has the torrent's files opened, aside: one disk that hangs holds up nobody else.
    pub(super) fn add(&mut self, addition: Addition) {
        let Addition { torrent, mut options, contacts, answer, link } = addition;
        // A search that found it is over, before it is announced as a torrent.
        self.local.look_at_seeks();
        let sought = self.link_of(&torrent);
        let accepted = match (sought, link) {
            (Some(id), _) => self.accept_found(id, &torrent, &mut options),
            // It was removed, or its torrent came another way.
            (None, Some(id)) => Err(Error::Unknown(id)),
            (None, None) => self.accept(&torrent, &options),
        };
        let id = match accepted {
            Ok(id) => id,
            Err(refused) => {
                if let Some(id) = sought {
                    self.lost(id, refused.to_string());
                }
                let _ = answer.send(Err(refused));
                if let Some(contacts) = contacts {
                    self.goodbyes.spawn(contacts.leave());
                }
                return;
            }
        };
        // The hash of one whose pieces nothing judges is no name for it.
        let keeps_file = self.wanted.are_kept() && torrent.is_judged();
        if sought.is_none() {
            self.wanted.begin(id, &torrent, &options, unix_now());
        }
        let turn = match self.policy.has_place() {
            _ if options.paused => Turn::Waits,
            true if contacts.is_none() && self.slumber.is_full() => Turn::Sleeps,
            true => Turn::Begins,
            false if contacts.is_none() => Turn::Rests,
            false => Turn::Waits,
        };
        let places = contacts.as_ref().map(|contacts| contacts.account());
        let facts = self.facts(id, &torrent, places, Tally::default());
        let has_turn = matches!(turn, Turn::Begins | Turn::Sleeps);
        if let Some(spec) = self.wanted.get(id).filter(|_| has_turn) {
            // It holds its place from now on; one that waits has its turn when it is here.
            let row = claiming(facts.row(spec, Phase::Checking), spec, None);
            self.judge(Input::Row(row));
            self.slumber.note(id, slumber::Standing::Open, std::time::Instant::now());
        }
        let (info_hash, takes_peers) = (torrent.info_hash_v1, torrent.is_judged());
        let coming = self.coming(&facts, torrent, options, turn);
        let coming = Coming { contacts, keeps_file, ..coming };
        let (turns, resources) = (self.turns.clone(), self.resources.clone());
        let task = self.opening.spawn(in_turn(turns, || open(resources, coming)));
        let arriving = Arriving { facts, info_hash, takes_peers, answer, removal: None };
        self.arriving.insert(task.id(), arriving);
    }

    /// What is known of a torrent that is let in, with the connections that it has already; it is
    /// known by its hashes from now on, and has its goals.
    pub(super) fn facts(
        &mut self,
        id: TorrentId,
        torrent: &Arc<Torrent>,
        places: Option<Account>,
        before: Tally,
    ) -> Facts {
        let info_hash = torrent.info_hash_v1;
        let hashes = torrent.swarm_hashes();
        let second_hash = hashes.iter().copied().find(|hash| Some(*hash) != info_hash);
        self.hashes.extend(hashes.into_iter().map(|hash| (hash, id)));
        if let Some(dht) = self.resources.dht.as_ref().filter(|_| !torrent.private) {
            dht.names(&torrent.nodes);
        }
        self.set_goals(id, before.seeding_s, true);
        let tiers = self.wanted.get(id).map(|spec| spec.tiers(&torrent.trackers));
        let tiers = tiers.unwrap_or_else(|| torrent.trackers.clone());
        Facts {
            id,
            second_hash,
            is_private: torrent.private,
            has_trackers: torrent.trackers.iter().any(|tier| !tier.is_empty()),
            metadata: match self.wanted.are_kept() {
                true => Weak::new(),
                false => Arc::downgrade(torrent),
            },
            files: torrent.files.len(),
            seen_files: u32::try_from(torrent.files.iter().filter(|it| !it.is_pad).count())
                .unwrap_or(u32::MAX),
            is_single: torrent.is_single_file(),
            size: torrent.total_size(),
            hosts: self.ruling.hosts(tiers.iter().flatten()),
            piece_blocks: torrent
                .layout
                .map_or(0, |layout| (layout.piece_len() as usize).div_ceil(BLOCK_LEN)),
            before,
            places: places.unwrap_or_else(|| self.resources.places.sibling()),
            // None until it is known that it downloads.
            share: Share::default(),
            bell: Bell::new(id, self.rung.clone()),
        }
    }

    /// How a torrent of which this is known comes in.
    pub(super) fn coming(
        &self,
        facts: &Facts,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        turn: Turn,
    ) -> Coming {
        Coming {
            torrent,
            options,
            turn,
            places: facts.places.clone(),
            bell: facts.bell.clone(),
            share: facts.share.clone(),
            id: facts.id,
            orders: self.orders.0.clone(),
            contacts: None,
            keeps_file: false,
            kept: None,
            outpost: None,
        }
    }

    /// Somebody in the local network has a torrent.
    fn on_local_peer(&mut self, LocalPeer { info_hash, address }: LocalPeer) {
        if let Some(dht) = &self.resources.dht {
            // Its node mostly has the same port.
            dht.hint(address, Hint::Lan);
        }
        let member = self.hashes.get(&info_hash).and_then(|id| self.members.get(id));
        let is_open = |it: &Member| !it.facts.is_private && self.is_for_network(it.facts.id);
        if let Some(member) = member.filter(|it| is_open(it)) {
            member.handle.local_peer(address);
        }
        self.local.tell_seeks(info_hash, address);
    }

    /// A torrent's files are open, or will not be.
    pub(super) async fn on_opened(&mut self, opened: Result<(Id, Option<Opened>), JoinError>) {
        let (task, opened) = match opened {
            Ok(opened) => opened,
            // A panic, or the session does not wait for it; the one who asked finds no answer.
            Err(error) => (error.id(), None),
        };
        let Some(arriving) = self.arriving.remove(&task) else { return };
        if self.returning.absent.contains_key(&arriving.facts.id) {
            return self.come_back(arriving, opened).await;
        }
        let Arriving { facts, info_hash, takes_peers, answer, removal } = arriving;
        let (id, hashes) = (facts.id, [info_hash, facts.second_hash]);
        let Some(mut opened) = opened else {
            self.forget(id, hashes);
            return is_gone(removal);
        };
        let (file, imported) = (opened.file.take(), opened.to_import());
        let before = Tally { uploaded: opened.kept.uploaded, ..Tally::default() };
        if self.wanted.get(id).is_some_and(|spec| spec.selection.is_none()) {
            self.wanted.select(id, opened.wanted.as_deref());
        }
        let handle = match self.let_in(facts, opened, takes_peers).await {
            Ok(handle) => handle,
            Err(error) => {
                self.forget(id, hashes);
                let _ = answer.send(Err(error.into()));
                return is_gone(removal);
            }
        };
        let info_hash = hashes.into_iter().flatten().next();
        if self.is_ending {
            // Nobody waits for that.
            let removal = removal.unwrap_or_else(|| oneshot::channel().0);
            let _ = answer.send(Err(Error::Ended));
            self.end(id, removal);
            return;
        }
        let kept = match file.filter(|_| removal.is_none()) {
            Some(file) => self.wanted.add(id, file, before).await,
            None => None,
        };
        // The one who asked may have gone; the torrent runs all the same.
        self.answers.on_added((id, None), answer, handle, kept, imported);
        if let (Some(removal), Some(info_hash)) = (removal, info_hash) {
            self.remove(info_hash, removal).await;
        }
    }

    /// A torrent is here.
    pub(super) async fn let_in(
        &mut self,
        facts: Facts,
        opened: Opened,
        takes_peers: bool,
    ) -> Result<TorrentHandle, crate::torrent::Error> {
        let Opened { started, record, dir, kept, .. } = opened;
        let (handle, info_hash, incoming) = started?;
        let id = facts.id;
        // The listener lives as long as the session.
        let hashes = facts.second_hash.into_iter().chain([info_hash]);
        for info_hash in hashes.filter(|_| takes_peers) {
            let (incoming, status) = (incoming.clone(), Some(handle.watch()));
            let registration = Registration { info_hash, incoming, status };
            let _ = self.registrations.send(Notice::Takes(registration)).await;
        }
        if !facts.is_private && self.is_for_network(id) {
            self.local.announce(info_hash);
        }
        let spent = self.returning.absent.remove(&id).map(|absent| absent.spent);
        if spent.is_some() {
            self.part_with(id);
        }
        let member = Member {
            facts,
            info_hash,
            handle: handle.clone(),
            record: record.unwrap_or_default(),
            dir,
            kept,
            seen_choice: Arc::new([]),
            seen_home: None,
            names: 0,
            spent: spent.unwrap_or_else(|| Spent::begin(std::time::Instant::now())),
            active_at: None,
            is_leaving: false,
        };
        self.members.insert(id, Box::new(member));
        self.look_at(id);
        if spent.is_some() {
            // What its metadata tells is known from now on.
            self.told.touch(id);
        }
        Ok(handle)
    }

    /// Takes in how a torrent stands that rang.
    pub(super) fn look_at(&mut self, id: TorrentId) {
        // It is on its way in, or has left.
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(spec) = self.wanted.get(id) else { return };
        member.facts.bell.hear();
        let now_s = unix_now();
        let overlay = self.ruling.of(id);
        let row = held(member.row(spec, now_s), overlay, spec);
        let (handle, ruling) = (&member.handle, &self.ruling);
        let trouble = || {
            let own = || handle.look(|it| it.trouble().unwrap_or_default().to_owned());
            ruling.want_of_room(spec).unwrap_or_else(own).into()
        };
        self.told.apply(row, now_s, trouble);
        let row = if member.is_leaving { member.facts.row(spec, Phase::Stopping) } else { row };
        let claim = claiming(row, spec, overlay);
        let now = std::time::Instant::now();
        member.spent.on(row.phase, now);
        self.slumber.note(id, member.standing(), now);
        match member.may_have_links() {
            true => self.linked.insert(id),
            false => {
                // One that comes back takes what there is until it is looked at.
                member.facts.places.allow(usize::MAX);
                self.linked.remove(&id)
            }
        };
        if member.demand().is_some() {
            self.downloading.insert(id);
        }
        let (home, choice) =
            member.handle.look(|status| (status.home.clone(), status.files.clone()));
        self.claims.settle(id, home.as_ref());
        if let Some(first) = home.as_ref().filter(|_| member.seen_home.is_none()) {
            self.homes.compare(id, &spec.dir, &first.dir);
        }
        if member.take_names(home.as_ref()) {
            self.told.touch(id);
        }
        let moved = home.as_ref().zip(member.seen_home.as_ref());
        let moved = moved.filter(|(home, seen)| home.dir != seen.dir).map(|(home, _)| home);
        let completed_s = row.completed_at.map(NonZeroU64::get);
        let whole = match row.phase {
            Phase::Complete | Phase::Paused if row.flags.has(Flags::ASLEEP) => {
                member.whole(&row, spec)
            }
            // It was, and may be still: what it does now says nothing of that.
            Phase::Complete | Phase::Queued | Phase::Paused | Phase::Stopping => spec.whole,
            _ => None,
        };
        if moved.is_some() || (completed_s, whole) != (spec.completed_s, spec.whole) {
            self.wanted.change(id, |spec| {
                (spec.completed_s, spec.whole) = (completed_s, whole);
                moved.into_iter().for_each(|home| spec.dir.clone_from(&home.dir));
            });
        }
        if let Some(home) = moved {
            let dir = home.dir.display().to_string();
            self.told.note(id, now_s, EventKind::Moved(dir.into()));
        }
        member.seen_home = home.or(member.seen_home.take());
        self.unkept.insert(id);
        if !Arc::ptr_eq(&choice, &member.seen_choice) {
            member.seen_choice = choice;
            self.has_new_choice = true;
        }
        self.tell_rules(id);
        self.judge(Input::Row(claim));
    }

    /// What follows from this is done by [`carry_out`](Self::carry_out).
    pub(super) fn judge(&mut self, input: Input) {
        self.policy.handle(input, std::time::Instant::now());
    }

    /// Does what the rules say.
    fn carry_out(&mut self) {
        while let Some(order) = self.policy.poll_output() {
            let (Output::Start(id) | Output::Finish(id)) = order;
            let Some(member) = self.members.get(&id).filter(|_| !self.is_ending) else {
                self.call_over(id);
                continue;
            };
            match order {
                Output::Start(_) => member.handle.start(self.slumber.is_full()),
                Output::Finish(_) => member.handle.finish(),
            }
        }
        while let Some(id) = self.slumber.next(std::time::Instant::now()) {
            if let Some(member) = self.members.get(&id) {
                member.handle.sleep();
            }
        }
    }
}

/// One that was to be removed when it is here never came.
fn is_gone(removal: Option<RemoveAnswer>) {
    // The one who asked may have gone.
    removal.into_iter().for_each(|answer| drop(answer.send(Ok(true))));
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
