//! The actor that owns the torrents of a session: it lets them in and out, starts the next one
//! when there is a place, ends seeding when it was enough, and keeps what was sent. It sleeps
//! while no torrent changes its state. It moves no byte of data and draws no conclusions about
//! a transfer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::base::ids::InfoHash;
use crate::metainfo::Torrent;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::lifecycle::{self, Entry, Resources};
use crate::torrent::options::{SeedLimits, TorrentOptions};
use crate::torrent::places::{Account, LINKS_MAX};
use crate::torrent::status::State;

use super::error::Error;
use super::listener::Registration;
use super::places::{Standing, divide};
use super::{persist, queue, seeding};

/// How often seeding is measured against its limits, while there are any to reach.
const SEEDING_LOOK: Duration = Duration::from_secs(1);
/// How often what was sent is kept, against a crash.
const KEEP_EVERY: Duration = Duration::from_secs(180);

/// An order or question to the session.
#[derive(Debug)]
pub(super) enum Command {
    /// Take a torrent in.
    Add {
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        answer: oneshot::Sender<Result<TorrentHandle, Error>>,
    },
    /// End a torrent; answered when it has ended, with whether there was one.
    Remove { info_hash: InfoHash, answer: oneshot::Sender<bool> },
    /// Which torrents are there?
    List(oneshot::Sender<Vec<(InfoHash, TorrentHandle)>>),
    /// End all torrents and take no more; answered when they have ended.
    Stop(oneshot::Sender<()>),
}

/// One torrent as the session knows it.
struct Member {
    info_hash: InfoHash,
    name: String,
    handle: TorrentHandle,
    places: Account,
    seeding: Seeding,
    /// What the state directory says was sent.
    kept_bytes: u64,
    /// It is on its way out.
    is_leaving: bool,
}

/// How far a torrent's seeding is.
struct Seeding {
    limits: SeedLimits,
    complete_since: Option<Instant>,
    /// It has finished once: if it seeds again, somebody wanted that, without a limit.
    is_over: bool,
}

/// The owner of all torrents.
pub(super) struct Actor {
    resources: Resources,
    registrations: mpsc::Sender<Registration>,
    max_active: usize,
    /// In the order of the queue.
    members: Vec<Member>,
    /// Torrents that are ending, each with whoever waits for that.
    leaving: JoinSet<(InfoHash, oneshot::Sender<bool>)>,
    is_ending: bool,
}

impl Actor {
    pub fn new(
        resources: Resources,
        registrations: mpsc::Sender<Registration>,
        max_active: usize,
    ) -> Self {
        let (members, leaving) = (Vec::new(), JoinSet::new());
        Self { resources, registrations, max_active, members, leaving, is_ending: false }
    }

    /// Runs until every handle of the session is gone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let bell = self.resources.bell.clone();
        let mut keep = interval(KEEP_EVERY);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_limits = false;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                Some(left) = self.leaving.join_next(), if !self.leaving.is_empty() => {
                    if let Ok((info_hash, answer)) = left {
                        self.on_left(info_hash).await;
                        // Only now, so that who asked may add it again.
                        let _ = answer.send(true);
                    }
                }
                () = bell.notified() => {}
                () = sleep(SEEDING_LOOK), if has_limits => {}
                _ = keep.tick() => self.keep().await,
            }
            has_limits = self.end_seeding(Instant::now());
            self.start_next();
            self.divide_places();
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Add { torrent, options, answer } => {
                // The one who asked may have gone; the torrent runs all the same.
                let _ = answer.send(self.add(torrent, options).await);
            }
            Command::Remove { info_hash, answer } => self.remove(info_hash, answer),
            Command::List(answer) => {
                let staying = self.members.iter().filter(|member| !member.is_leaving);
                let listed = staying.map(|member| (member.info_hash, member.handle.clone()));
                let _ = answer.send(listed.collect());
            }
            Command::Stop(answer) => self.stop(answer).await,
        }
    }

    async fn add(
        &mut self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
    ) -> Result<TorrentHandle, Error> {
        if self.is_ending {
            return Err(Error::Ended);
        }
        let same = |member: &&Member| Some(member.info_hash) == torrent.info_hash_v1;
        if let Some(there) = self.members.iter().find(same) {
            return Err(Error::Duplicate { name: there.name.clone() });
        }
        let state_dir = &self.resources.state_dir;
        let kept_bytes = torrent.info_hash_v1.map_or(0, |hash| persist::uploaded(state_dir, hash));
        let states = self.states();
        let entry = Entry {
            is_queued: !queue::has_place(states.iter(), self.max_active),
            uploaded_before_bytes: kept_bytes,
        };
        let (name, limits) = (torrent.name.clone(), options.seeding);
        let places = self.resources.places.sibling();
        let resources = Resources { places: places.clone(), ..self.resources.clone() };
        let (handle, info_hash, incoming) =
            lifecycle::start(resources, torrent, options, entry).await?;
        // The listener lives as long as the session.
        let _ = self.registrations.send(Registration { info_hash, incoming }).await;
        let seeding = Seeding { limits, complete_since: None, is_over: false };
        let is_leaving = false;
        let member = Member { info_hash, name, handle, places, seeding, kept_bytes, is_leaving };
        let handle = member.handle.clone();
        self.members.push(member);
        Ok(handle)
    }

    fn remove(&mut self, info_hash: InfoHash, answer: oneshot::Sender<bool>) {
        let here = |member: &&mut Member| member.info_hash == info_hash && !member.is_leaving;
        let Some(member) = self.members.iter_mut().find(here) else {
            let _ = answer.send(false);
            return;
        };
        member.is_leaving = true;
        let handle = member.handle.clone();
        self.leaving.spawn(async move {
            handle.stop().await;
            (info_hash, answer)
        });
    }

    /// A torrent has ended: what it sent is known now, and its hash is free again.
    async fn on_left(&mut self, info_hash: InfoHash) {
        self.keep().await;
        self.members.retain(|member| member.info_hash != info_hash);
    }

    /// The goodbyes to trackers run side by side, so three seconds are enough for all.
    async fn stop(&mut self, answer: oneshot::Sender<()>) {
        self.is_ending = true;
        let mut ends = JoinSet::new();
        for member in &self.members {
            let handle = member.handle.clone();
            ends.spawn(async move { handle.stop().await });
        }
        while ends.join_next().await.is_some() {}
        self.keep().await;
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    fn states(&self) -> Vec<State> {
        // A torrent that died without a word holds no place.
        let state = |member: &Member| match member.is_leaving || member.handle.has_ended() {
            true => State::Stopping,
            false => member.handle.state(),
        };
        self.members.iter().map(state).collect()
    }

    fn start_next(&self) {
        if self.is_ending {
            return;
        }
        let states = self.states();
        for position in queue::due(states.iter(), self.max_active) {
            self.members[position].handle.start();
        }
    }

    /// Says how many connections each torrent may have.
    fn divide_places(&self) {
        let standing = |member: &Member| {
            let Member { places, .. } = member;
            Standing { held: places.held(), wanted: places.wanted() }
        };
        let standings: Vec<_> = self.members.iter().map(standing).collect();
        let allowed = divide(&standings, LINKS_MAX);
        self.members.iter().zip(allowed).for_each(|(member, most)| member.places.allow(most));
    }

    /// Ends seeding where it was enough; true when some torrent may come to that.
    fn end_seeding(&mut self, now: Instant) -> bool {
        let mut has_limits = false;
        for member in &mut self.members {
            let Seeding { limits, complete_since, is_over } = &mut member.seeding;
            if *limits == SeedLimits::default() || *is_over {
                continue;
            }
            match member.handle.state() {
                State::Finished => *is_over = true,
                State::Complete => {
                    has_limits = true;
                    let since = *complete_since.get_or_insert(now);
                    if seeding::is_enough(limits, &member.handle.status(), now - since) {
                        member.handle.finish();
                    }
                }
                _ => {}
            }
        }
        has_limits
    }

    /// Keeps what was sent since it was kept last.
    async fn keep(&mut self) {
        let mut news: Vec<(InfoHash, u64)> = Vec::new();
        for member in &mut self.members {
            let sent = member.handle.status().uploaded_in_all();
            if sent > member.kept_bytes {
                member.kept_bytes = sent;
                news.push((member.info_hash, sent));
            }
        }
        if !news.is_empty() {
            let state_dir = self.resources.state_dir.clone();
            // It waits for the disk; a panic in it is told by the runtime.
            let _ = spawn_blocking(move || write(&state_dir, &news)).await;
        }
    }
}

fn write(state_dir: &Path, news: &[(InfoHash, u64)]) {
    for (info_hash, sent) in news {
        if let Err(error) = persist::keep_uploaded(state_dir, *info_hash, *sent) {
            tracing::warn!(%info_hash, %error, "cannot keep what was sent");
        }
    }
}
