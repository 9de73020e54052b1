//! The actor that owns the torrents of a session: it lets them in and out, starts the next one
//! when there is a place, ends seeding when it was enough, and keeps what was sent. It sleeps
//! while no torrent changes its state. It moves no byte of data and draws no conclusions about
//! a transfer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::base::ids::InfoHash;
use crate::base::units::BLOCK_LEN;
use crate::metainfo::Torrent;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::lifecycle::{self, Entry, Resources};
use crate::torrent::options::{SeedLimits, TorrentOptions};
use crate::torrent::status::{State, Status};

use super::error::Error;
use super::listener::Registration;
use super::queue::{self, Claim};
use super::shares::{self, Demand};
use super::{persist, seeding};

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
    seeding: Seeding,
    /// Blocks of a piece.
    piece_blocks: usize,
    /// Blocks that its open pieces may hold; the torrent reads the other end.
    share: watch::Sender<usize>,
    /// What the state directory says was sent.
    kept_bytes: u64,
    /// It is on its way out.
    is_leaving: bool,
}

impl Member {
    fn claim(&self) -> Claim {
        // A torrent that died without a word holds no place.
        match self.is_leaving || self.handle.has_ended() {
            true => Claim::Nothing,
            false => self.handle.look(|status| Claim::of(&status.state)),
        }
    }

    /// None when it downloads nothing.
    fn demand(&self) -> Option<Demand> {
        let rest_bytes = match self.is_leaving || self.handle.has_ended() {
            true => 0,
            false => self.handle.look(|status| match status.state {
                State::Downloading | State::DiskTrouble(_) => status.left_bytes(),
                _ => 0,
            }),
        };
        // More than memory can address is as good as that.
        let rest = usize::try_from(rest_bytes.div_ceil(BLOCK_LEN as u64)).unwrap_or(usize::MAX);
        (rest > 0).then_some(Demand { piece_blocks: self.piece_blocks, rest_blocks: rest })
    }
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
            self.share_out();
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
        // None until it is known that it downloads.
        let (share, its_share) = watch::channel(0);
        let entry = Entry {
            is_queued: !queue::has_place(self.claims(), self.max_active),
            uploaded_before_bytes: kept_bytes,
            share: its_share,
        };
        let piece_len = torrent.layout.map_or(0, |layout| layout.piece_len() as usize);
        let piece_blocks = piece_len.div_ceil(BLOCK_LEN);
        let (name, limits) = (torrent.name.clone(), options.seeding);
        let (handle, info_hash, incoming) =
            lifecycle::start(self.resources.clone(), torrent, options, entry).await?;
        // The listener lives as long as the session.
        let _ = self.registrations.send(Registration { info_hash, incoming }).await;
        let seeding = Seeding { limits, complete_since: None, is_over: false };
        let member = Member {
            info_hash,
            name,
            handle: handle.clone(),
            seeding,
            piece_blocks,
            share,
            kept_bytes,
            is_leaving: false,
        };
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

    fn claims(&self) -> impl Iterator<Item = Claim> + Clone {
        self.members.iter().map(Member::claim)
    }

    fn start_next(&self) {
        if self.is_ending {
            return;
        }
        for position in queue::due(self.claims(), self.max_active) {
            self.members[position].handle.start();
        }
    }

    /// Divides half of the pool among those that download. Each torrent reads the latest word,
    /// however busy it is. What is taken away is told first.
    fn share_out(&self) {
        let demands: Vec<_> = self.members.iter().map(Member::demand).collect();
        let total = shares::total(self.resources.pool.budget_blocks());
        let known: Vec<_> = demands.iter().flatten().copied().collect();
        let mut given = shares::divide(total, &known).into_iter();
        let share = |demand: &Option<Demand>| demand.and_then(|_| given.next()).unwrap_or(0);
        let shares: Vec<_> = demands.iter().map(share).collect();
        for less in [true, false] {
            for (member, share) in self.members.iter().zip(&shares) {
                member.share.send_if_modified(|told| {
                    let is_due = if less { share < told } else { share > told };
                    if is_due {
                        *told = *share;
                    }
                    is_due
                });
            }
        }
    }

    /// Ends seeding where it was enough; true when some torrent may come to that.
    fn end_seeding(&mut self, now: Instant) -> bool {
        let mut has_limits = false;
        for member in &mut self.members {
            let Seeding { limits, complete_since, is_over } = &mut member.seeding;
            if *limits == SeedLimits::default() || *is_over {
                continue;
            }
            let is_enough = member.handle.look(|status| match status.state {
                State::Finished => {
                    *is_over = true;
                    false
                }
                State::Complete => {
                    has_limits = true;
                    let since = *complete_since.get_or_insert(now);
                    seeding::is_enough(limits, status, now - since)
                }
                _ => false,
            });
            if is_enough {
                member.handle.finish();
            }
        }
        has_limits
    }

    /// Keeps what was sent since it was kept last.
    async fn keep(&mut self) {
        let mut news: Vec<(InfoHash, u64)> = Vec::new();
        for member in &mut self.members {
            let sent = member.handle.look(Status::uploaded_in_all);
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
