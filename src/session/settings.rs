//! What can be set of a torrent: it is noted in what is wanted of it, which the ledger keeps, and
//! handed on to the torrent where that has to know. Orders that set something come the same way,
//! whoever gives them.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::{Selection, Spec, Tally};
use crate::metainfo::Torrent;
use crate::roster::EventKind;
use crate::roster::policy::{Goals, Input};
use crate::roster::rules::{Overlay, Switch};
use crate::torrent::command::{Choice, Command, MoveOrder, Order};
use crate::torrent::options::SeedLimits;

use super::absent::{Absent, Stage};
use super::actor::{Actor, unix_now};
use super::error::Error;
use super::listed::{Figures, FileWish, Listed, Setting, check_labels, check_name, check_trackers};
use super::member::Member;
use super::overlay;
use super::restoring::read_one;
use super::together::{SessionSetting, active_max};
use super::wanted::{conduct_of, swarm_hashes};

impl Actor {
    /// Notes an order and hands it on.
    pub(super) fn on_order(&mut self, Order { id, command, room, noted }: Order) {
        // One that has ended would never read it.
        let is_here = self.members.get(&id).is_some_and(|member| !member.handle.has_ended());
        let answer = if is_here { self.note(id, &command) } else { Ok(()) };
        match (&answer, command) {
            (Ok(()), command) if is_here => {
                room.send(overlay::ruled(self.ruling.of(id), command));
            }
            (Ok(()), _) => {}
            (Err(why), command) => {
                tracing::warn!(id = id.0, why, "an order is refused");
                if let Command::Move(MoveOrder { answer, .. }) = command {
                    // Whoever gave it may have gone, here and below.
                    let _ = answer.send(Err(why.clone()));
                }
            }
        }
        self.look_at(id);
        let _ = noted.send(answer);
    }

    fn note(&mut self, id: TorrentId, order: &Command) -> Result<(), String> {
        if let Command::Move(order) = order {
            self.refuse_move(id, &order.what)?;
        }
        if let Command::SelectFiles(choice) = order {
            let count = self.files_of(id)?;
            if count != choice.count() {
                return Err(format!("it has {count} files, and not {}", choice.count()));
            }
        }
        self.wanted.note(id, order)
    }

    /// How many files it has.
    fn files_of(&self, id: TorrentId) -> Result<usize, String> {
        let count = match (self.members.get(&id), self.wanted.get(id)) {
            (Some(member), _) => Some(member.facts.files),
            _ if self.is_sought(id) => None,
            (None, spec) => spec.and_then(|spec| match (&spec.selection, spec.whole) {
                (Some(selection), _) => Some(selection.wanted().count()),
                (None, whole) => usize::try_from(whole?.files).ok(),
            }),
        };
        count.ok_or_else(|| "its files are not known yet".to_owned())
    }

    /// The choice of all files that is made of one of some.
    fn choice_of(&self, id: TorrentId, some: &[(usize, FileWish)]) -> Result<Choice, String> {
        let count = self.files_of(id)?;
        let selection = self.wanted.get(id).and_then(|spec| spec.selection.as_ref());
        let known = selection.into_iter().flat_map(Selection::priorities);
        let mut files: Vec<FilePriority> = known.take(count).collect();
        files.resize(count, FilePriority::Normal);
        for (at, wish) in some {
            let file = files.get_mut(*at);
            let file = file.ok_or_else(|| format!("it has {count} files, and none is {at}"))?;
            *file = wish.over(*file);
        }
        Ok(Choice::Priorities(files))
    }

    /// Sets something of a torrent. False when that has no room for it now: then nothing is set.
    pub(super) fn set(&mut self, id: TorrentId, setting: Setting) -> Result<bool, Error> {
        let member = self.members.get(&id);
        if member.is_some_and(|member| member.is_leaving) {
            return Err(Error::Unknown(id));
        }
        let absent = self.returning.absent.get(&id).filter(|it| it.stage != Stage::Leaves);
        if member.is_none() && absent.is_none() {
            return Err(Error::Unknown(id));
        }
        if absent.is_some_and(|absent| absent.stage == Stage::Opens) && setting.is_of_torrent() {
            // How it is to be was taken over, and there is nobody yet to be told otherwise.
            return Ok(false);
        }
        let order = match setting {
            Setting::Paused(true) => Command::Pause,
            Setting::Paused(false) => Command::Unpause,
            Setting::WantedFiles(wanted) => Command::SelectFiles(Choice::Wanted(wanted)),
            Setting::FilePriorities(priorities) => {
                Command::SelectFiles(Choice::Priorities(priorities))
            }
            Setting::SomeFiles(some) => {
                Command::SelectFiles(self.choice_of(id, &some).map_err(Error::Refused)?)
            }
            Setting::Trackers(tiers) => {
                Command::Trackers(check_trackers(tiers).map_err(Error::Refused)?)
            }
            Setting::DownloadLimit(limit) => Command::LimitDown(limit),
            Setting::UploadLimit(limit) => Command::LimitUp(limit),
            Setting::Sequential(_)
            | Setting::EndsFirst(_)
            | Setting::Ways(_)
            | Setting::PeersMax(_)
            | Setting::SlotsMax(_) => return Ok(self.set_conduct(id, &setting)),
            own => {
                self.set_own(id, own).map_err(Error::Refused)?;
                return Ok(true);
            }
        };
        match member.filter(|member| !member.handle.has_ended()) {
            Some(member) => {
                let Some(room) = member.handle.room_now() else { return Ok(false) };
                self.note(id, &order).map_err(Error::Refused)?;
                self.sort_by_trackers(id, &order);
                room.send(overlay::ruled(self.ruling.of(id), order));
                self.look_at(id);
            }
            None => {
                self.note(id, &order).map_err(Error::Refused)?;
                if matches!(order, Command::Unpause) {
                    self.seek_again(id);
                }
                if let Command::Trackers(tiers) = &order {
                    self.name_trackers(id, tiers);
                    // A search begins again with them, and who is at rest is to be announced.
                    self.links.end(id);
                    self.call_by_ways(id);
                }
                self.list_absent(id);
                if matches!(order, Command::SelectFiles(_)) {
                    // What is here of them, and what is to be done, is not known from here.
                    self.call(id, None);
                }
            }
        }
        Ok(true)
    }

    /// Rules sort it by the trackers that it has from now on.
    fn sort_by_trackers(&mut self, id: TorrentId, order: &Command) {
        let Command::Trackers(tiers) = order else { return };
        let hosts = self.ruling.hosts(tiers.iter().flatten());
        if let Some(member) = self.members.get_mut(&id) {
            member.facts.hosts = hosts;
        }
        self.tell_rules_anew(id);
        self.told.touch(id);
    }

    /// Sets how a torrent behaves. False when that has no room for it now: then nothing is set.
    fn set_conduct(&mut self, id: TorrentId, setting: &Setting) -> bool {
        let here = self.members.get(&id).filter(|member| !member.handle.has_ended());
        let room = here.map(|member| member.handle.room_now());
        if room.as_ref().is_some_and(Option::is_none) {
            return false;
        }
        self.wanted.change(id, |spec| match setting {
            Setting::Sequential(sequential) => spec.sequential = *sequential,
            Setting::EndsFirst(ends_first) => spec.ends_first = *ends_first,
            Setting::Ways(ways) => spec.ways = *ways,
            Setting::PeersMax(most) => spec.peers_max = *most,
            Setting::SlotsMax(most) => spec.slots_max = *most,
            _ => {}
        });
        if let (Some(spec), Some(room)) = (self.wanted.get(id), room.flatten()) {
            room.send(Command::Conduct(conduct_of(spec, &self.returning.rest)));
        }
        if matches!(setting, Setting::Ways(_)) {
            self.tell_network(id);
            self.call_by_ways(id);
            // By these from now on.
            self.links.end(id);
        }
        self.look_at(id);
        self.list_absent(id);
        true
    }

    /// The local network is told of a torrent, or not any more.
    pub(super) fn tell_network(&self, id: TorrentId) {
        let Some(member) = self.members.get(&id).filter(|member| !member.is_leaving) else {
            return;
        };
        match self.is_for_network(id) && !member.facts.is_private {
            true => self.local.announce(member.info_hash),
            false => self.local.forget(member.info_hash),
        }
    }

    /// May the local network be told of a torrent?
    pub(super) fn is_for_network(&self, id: TorrentId) -> bool {
        self.wanted.get(id).is_some_and(|spec| spec.ways.lsd)
    }

    /// Sets what the torrent itself need not know.
    fn set_own(&mut self, id: TorrentId, setting: Setting) -> Result<(), String> {
        match setting {
            Setting::Labels(labels) => {
                check_labels(&labels)?;
                self.wanted.lengthen(id, |spec| spec.labels = labels)?;
                self.tell_rules_anew(id);
                self.told.touch(id);
            }
            Setting::ShownName(name) => {
                check_name(name.as_deref())?;
                let called = self.wanted.get(id).map(|spec| spec.called().into_owned());
                self.wanted.lengthen(id, |spec| spec.shown_name = name)?;
                let now = self.wanted.get(id).map(Spec::called);
                if let Some(now) = now.filter(|now| called.as_deref() != Some(now)) {
                    self.told.note(id, unix_now(), EventKind::Renamed((*now).into()));
                }
            }
            Setting::Seeding(_) | Setting::SeedRatio(_) | Setting::SeedTime(_) => {
                self.wanted.change(id, |spec| match setting {
                    Setting::SeedRatio(ratio) => spec.goals.ratio = ratio,
                    Setting::SeedTime(time) => spec.goals.time = time,
                    Setting::Seeding(SeedLimits { ratio, time }) => {
                        spec.goals = crate::ledger::Goals { ratio, time };
                    }
                    _ => {}
                });
                let before = match (self.members.get(&id), self.returning.absent.get(&id)) {
                    (Some(member), _) => Some(member.facts.before),
                    (None, absent) => absent.filter(|it| it.is_whole).map(|absent| absent.before),
                };
                if let Some(before) = before {
                    self.set_goals(id, before.seeding_s, true);
                }
                self.told.touch(id);
            }
            Setting::Rank(rank) => {
                for moved in self.wanted.rank(id, rank) {
                    self.look_at(moved);
                    self.list_absent(moved);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Has its goals watched; it has seeded for so many seconds in earlier runs.
    pub(super) fn set_goals(&mut self, id: TorrentId, seeded_s: u64, are_by_hand: bool) {
        let Some(spec) = self.wanted.get(id) else { return };
        let seeded = std::time::Duration::from_secs(seeded_s);
        let goals = overlay::goals(self.ruling.of(id), spec.goals);
        let time = goals.time.map(|time| time.saturating_sub(seeded));
        let goals = Goals { ratio: goals.ratio, time };
        self.judge(Input::Goals { id, goals, are_by_hand });
    }

    /// Sets something of all.
    pub(super) fn set_all(&mut self, setting: SessionSetting) {
        let before = *self.wanted.together();
        let mut spec = before;
        match setting {
            SessionSetting::Limits(limits) => spec.limits = limits,
            SessionSetting::Alternative(limits) => spec.alternative = limits,
            SessionSetting::UsesAlternative(uses) => {
                spec.uses_alternative = uses;
                // Until a schedule switches next.
                self.ruling.switch = Switch::ByHand;
            }
            SessionSetting::ActiveMax(most) => spec.active_max = most,
        }
        self.wanted.set_together(spec);
        // What was set for this run alone ends with what is set for all.
        if !matches!(setting, SessionSetting::ActiveMax(_)) {
            self.limit_all();
        }
        if spec.active_max != before.active_max {
            self.judge(Input::Places(active_max(&spec, self.usual_active)));
        }
    }

    /// The torrent that lists show under this hash.
    pub(super) fn listed_by_hash(&self, hash: InfoHash) -> Option<Listed> {
        let spec = self.hashes.get(&hash).and_then(|id| self.wanted.get(*id))?;
        self.listing(spec)
    }

    /// This torrent, or all in the order of the queue.
    pub(super) fn listed(&self, which: Option<TorrentId>) -> Vec<Listed> {
        match which {
            Some(id) => {
                self.wanted.get(id).and_then(|spec| self.listing(spec)).into_iter().collect()
            }
            None => self.wanted.in_order().filter_map(|spec| self.listing(spec)).collect(),
        }
    }

    /// Reads the metadata of a torrent, aside.
    pub(super) fn metadata(
        &self,
        id: TorrentId,
        answer: oneshot::Sender<Result<Arc<Torrent>, Error>>,
    ) {
        let Some(spec) = self.wanted.get(id) else {
            let _ = answer.send(Err(Error::Unknown(id)));
            return;
        };
        let member = self.members.get(&id);
        if let Some(metadata) = member.and_then(|member| member.facts.metadata.upgrade()) {
            // They may go at this moment, here and below.
            let _ = answer.send(Ok(metadata));
            return;
        }
        let (hashes, keeping) = (swarm_hashes(spec).collect(), self.wanted.keeping());
        tokio::spawn(async move {
            let mut answer = answer;
            let read = async {
                match keeping {
                    Some(keeping) => read_one(&keeping, id, hashes).await,
                    None => Some(Err("no ledger keeps it".to_owned())),
                }
            };
            let read = tokio::select! {
                read = read => read,
                // Whoever asked has gone: a device that hangs is not waited for.
                () = answer.closed() => return,
            };
            let read = read.unwrap_or_else(|| Err("it is not known".to_owned()));
            let _ = answer.send(read.map_err(Error::NoMetadata));
        });
    }

    /// What is known of a torrent that lists show, also of one on its way out; none while it is on
    /// its way in.
    pub(super) fn listed_one(&self, id: TorrentId) -> Option<Listed> {
        let spec = self.wanted.get(id)?;
        let leaving = self.members.get(&id).filter(|member| member.is_leaving);
        let listed = leaving.and_then(|member| {
            Some(Listed {
                spec: self.wanted.shared(id)?,
                row: self.told.row(id),
                handle: Some(member.handle.clone()),
                search: None,
                trouble: None,
                ruled: Overlay::default(),
                figures: figures(member),
                hosts: Some(member.facts.hosts.clone()),
            })
        });
        listed.or_else(|| self.listing(spec))
    }

    /// None while it is on its way in or out.
    pub(super) fn listing(&self, spec: &Spec) -> Option<Listed> {
        let (row, spec) = (self.told.row(spec.id), self.wanted.shared(spec.id)?);
        if let Some(absent) = self.returning.absent.get(&spec.id) {
            if absent.stage == Stage::Leaves {
                return None;
            }
            let search = self.links.desk(spec.id).cloned();
            let (trouble, ruled) = (absent.trouble(), Overlay::default());
            let figures = absent_figures(absent, &spec);
            // Of those that it came with its metadata tells, which is not here.
            let hosts =
                spec.trackers.as_ref().map(|tiers| overlay::hosts_of(tiers.iter().flatten()));
            let handle = None;
            return Some(Listed { spec, row, handle, search, trouble, ruled, figures, hosts });
        }
        let member = self.members.get(&spec.id).filter(|member| !member.is_leaving)?;
        let ruled = self.ruling.of(spec.id).cloned().unwrap_or_default();
        let trouble = self.ruling.want_of_room(&spec).map(Arc::from);
        let (handle, figures) = (Some(member.handle.clone()), figures(member));
        let (search, hosts) = (None, Some(member.facts.hosts.clone()));
        Some(Listed { spec, row, handle, search, trouble, ruled, figures, hosts })
    }
}

/// What is known now of a torrent that is here.
fn figures(member: &Member) -> Figures {
    let Tally { active_s, seeding_s, .. } = member.spent.until(Instant::now(), member.facts.before);
    let (facts, names) = (&member.facts, member.names);
    let (size, files, is_single) = (facts.size, facts.seen_files, facts.is_single);
    Figures { size, files, is_single, names, active_s, seeding_s }
}

/// The same of one that is not.
fn absent_figures(absent: &Absent, spec: &Spec) -> Figures {
    let Tally { active_s, seeding_s, .. } = absent.spent.until(Instant::now(), absent.before);
    let (size, files) = spec.whole.map_or((0, 0), |whole| (whole.bytes, whole.files));
    Figures { size, files, active_s, seeding_s, ..Figures::default() }
}
