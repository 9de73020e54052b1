//! All torrents of a process and what they share: the listening port, the block pool, the
//! disk workers, the limits, the HTTP client, and whose turn it is. A [`Session`] is a handle;
//! the actor behind it owns the torrents. What outlives a session is kept by its ledger, if it is
//! to have one.

mod absent;
mod accepting;
mod actor;
mod announced;
mod answers;
mod calls;
mod claims;
mod command;
mod config;
mod dividing;
mod doomed;
mod erasing;
mod erasure;
pub mod error;
mod homes;
mod keeping;
mod latent;
mod leaving;
mod links;
mod listed;
mod listener;
mod local;
mod member;
mod memory;
mod opening;
mod origins;
mod outside;
mod overlay;
mod persist;
mod places;
mod ports;
mod records;
mod restoring;
mod returning;
mod rounds;
mod ruling;
mod searches;
mod seeks;
mod settings;
mod shares;
mod slumber;
mod space;
#[cfg(test)]
mod tests;
mod together;
mod told;
mod wanted;
mod way_out;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::base::ids::{InfoHash, PeerId, TorrentId};
use crate::base::pool::BlockPool;
use crate::dht::task::{Dht, DhtConfig};
use crate::disk::{Disk, DiskConfig, SyncPolicy};
use crate::link::Secrecy;
use crate::link::web::{Policy, Tls};
use crate::metainfo::{Magnet, Torrent};
use crate::net::blocklist::{self, Keeper};
use crate::net::egress::{Egress, Purpose};
use crate::net::limiter::Limiter;
use crate::net::portmap::{OwnPorts, PortMap};
use crate::net::udp::{Udp, UdpNews};
use crate::roster::rules::Book;
use crate::roster::{Changes, Cursor, Event, Lost};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::places::{Account, Shared};
use crate::torrent::resources::Resources;
use crate::torrent::seeking::{Contacts, SeekRequest, Seeking};
use crate::tracker::task::{
    Announcer, AnnouncerConfig, NetworkTiming, QUIET_DEFAULT, UdpClient, http_client,
};
use crate::tracker::tiers::Timing;
use crate::tracker::tiers::status::TrackerStatus;

pub use crate::torrent::options::{
    Allocate, CheckMode, Conduct, NamedBy, SeedLimits, TorrentOptions, WebSeed,
};
pub use config::{DhtOptions, SessionConfig};
pub use erasure::Erasure;
pub use error::Error;
pub use listed::{
    Figures, FileWish, LABEL_LEN_MAX, LABELS_MAX, Listed, NAME_LEN_MAX, Setting, TRACKERS_MAX,
};
pub use memory::Memory;
pub use overlay::Ruled;
pub use records::{Cleared, KeptRecord, kept_records};
pub use told::Heads;
pub use wanted::Rank;

pub use crate::base::file_priority::FilePriority;
pub use crate::ledger::{Error as LedgerError, Limits, SessionSpec, Spec, Trouble, Ways};
pub use crate::wire::mse::Encryption;
pub use together::SessionSetting;

use absent::Addition;
use actor::{Actor, Most};
use command::Command;
use local::Local;
use outside::Outside;
use overlay::Ruling;
use ports::Ports;
use restoring::Health;

/// Where the DHT's nodes are kept in the state directory.
pub const DHT_FILE: &str = "dht.dat";
/// Torrents that register while the listener is busy.
const REGISTRATIONS_LEN: usize = 16;
/// Sleeping torrents that open their files at once.
const WAKING_MAX: usize = 8;
/// Orders that wait for the actor; whoever gives more waits too.
const COMMANDS_LEN: usize = 16;

/// A running session; cheap to clone. It ends with its last handle, and its torrents with it.
#[derive(Clone, Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    port: u16,
    limiter: Arc<Limiter>,
    up_limiter: Arc<Limiter>,
    patient: watch::Sender<bool>,
    dht: Option<Dht>,
    portmap: Option<PortMap>,
    state_dir: Arc<Path>,
    /// How its ledger does.
    health: Health,
    heads: watch::Receiver<Heads>,
    /// Its lists are looked after for as long as it lives.
    _keeper: Arc<Keeper>,
}

/// A torrent that has its place in the queue, and whose files are being opened.
#[derive(Debug)]
pub struct Opening {
    opened: oneshot::Receiver<Result<TorrentHandle, Error>>,
}

impl Opening {
    /// Waits until they are.
    ///
    /// # Errors
    /// As [`Session::add`].
    pub async fn opened(self) -> Result<TorrentHandle, Error> {
        self.opened.await.unwrap_or(Err(Error::Ended))
    }
}

impl Session {
    /// Opens the port and starts the disk workers. With a ledger, the torrents of the last session
    /// are listed when this returns, and run as their turns come; [`troubles`](Self::troubles) says
    /// what of them could not be read.
    ///
    /// # Errors
    /// Another session has the ledger, or it cannot be read; a blocklist cannot be read, the port
    /// is taken or not allowed, the state directory cannot be made, or the system gives no threads.
    pub async fn start(config: SessionConfig) -> Result<Self, Error> {
        let (is_on, egress) = (config.local_discovery, config.egress.clone());
        Self::start_among(config, |port| Local::start(is_on, &egress, port)).await
    }

    /// The same, with what `local` makes of our port for the peers around.
    async fn start_among(
        config: SessionConfig,
        local: impl FnOnce(u16) -> Local,
    ) -> Result<Self, Error> {
        // Before anybody can come, and whoever is blocked.
        let _keeper = Arc::new(keep_lists(&config).await?);
        let kept = restoring::take(&config).await?;
        let Ports { listening, udp, mail } = ports::open(&config)?;
        let (pool, disk) = pool_and_disk(config.memory)?;
        let together = kept.as_ref().map(|(_, restored)| restored.session);
        let together = together::begun(together.unwrap_or_default(), &config);
        let ruling = Ruling::new(Arc::new(config.rules.clone()));
        let [limiter, up_limiter] = limiters(ruling.limits(&together));
        let (web, network) = (web_policy(&config, &limiter), network(&config));
        let egress = config.egress;
        let (registrations, registered) = mpsc::channel(REGISTRATIONS_LEN);
        let port = listening.port;
        let (mut outside, ports) =
            Outside::start(config.port_mapping, &egress, port, udp.port_told());
        let trackers = UdpClient::over(udp.clone(), mail.tracker, network.retry_udp);
        let peer_id = PeerId::ours(rand::random());
        let announcer = announcer(peer_id, &ports, config.encryption, network, trackers)?;
        let file = Some(config.state_dir.join(DHT_FILE));
        let dht = config.dht.map(|options| start_dht(options, &egress, udp, mail.dht, file));
        let dht = dht.flatten();
        outside.tell(dht.as_ref(), &ports);
        let (portmap, secrecy) = (outside.portmap().cloned(), Secrecy::new(config.encryption));
        let knocks = listener::start(&egress, listening, registered, secrecy.clone());
        let (bell, state_dir) = (Arc::new(Notify::new()), Arc::from(&*config.state_dir));
        let (patient, patience) = watch::channel(false);
        let resources = Resources {
            peer_id,
            ports,
            egress: egress.clone(),
            secrecy,
            state_dir: config.state_dir,
            pool,
            disk: Arc::new(disk),
            limiter: limiter.clone(),
            up_limiter: up_limiter.clone(),
            patient: patience,
            places: Account::new(Shared::new(bell.clone())),
            origins: origins::start(web),
            announcer,
            dht: dht.clone(),
            waking: Arc::new(Semaphore::new(WAKING_MAX)),
            bell,
        };
        let (commands, orders) = mpsc::channel(COMMANDS_LEN);
        let most = Most { active: config.max_active, awake: config.awake_max };
        let (wanted, health) = restoring::begin(kept, together, config.restored, knocks)?;
        let (resources, local) = (Arc::new(resources), local(port));
        let (actor, ringing, heads) =
            Actor::new(resources, registrations, most, local, (outside, ruling), wanted);
        tokio::spawn(actor.run(orders, ringing));
        Ok(Self {
            commands,
            port,
            limiter,
            up_limiter,
            patient,
            dht,
            portmap,
            state_dir,
            health,
            heads,
            _keeper,
        })
    }

    /// Takes a torrent in, behind those that are there. It looks at data on disk first, then
    /// downloads what is missing; with too many others active it waits for its turn.
    ///
    /// # Errors
    /// `Duplicate`; another process has this torrent, a directory cannot be made, or the
    /// torrent has no v1 half. `NotKept` when the ledger does not take it; it is not added then.
    pub async fn add(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
    ) -> Result<TorrentHandle, Error> {
        self.add_among(torrent, options, None).await
    }

    /// As [`add`](Self::add), for a torrent whose metadata was sought: it goes on with those whom
    /// the search has met.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn add_among(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Contacts>,
    ) -> Result<TorrentHandle, Error> {
        self.begin(torrent, options, contacts).await.opened().await
    }

    /// As [`add_among`](Self::add_among), but returns as soon as the torrent has its place in the
    /// queue: the files of several can be opened side by side.
    pub async fn begin(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Contacts>,
    ) -> Opening {
        let (answer, opened) = oneshot::channel();
        let contacts = contacts.map(Box::new);
        let addition = Box::new(Addition { torrent, options, contacts, answer, link: None });
        // Whether anybody heard it is seen by the answer.
        let _ = self.commands.send(Command::Add(addition)).await;
        Opening { opened }
    }

    /// Takes a link in, behind the torrents that are there, and gives its number at once. Its
    /// metadata is sought as soon as it is its turn, and then it is a torrent of this number, with
    /// what was set of it meanwhile; beside that it is run as [`SessionConfig::restored`] says,
    /// and not by the rest of `options`. Of its files those are wanted that `options` name,
    /// counted without pad files, or else those of the link (BEP 53).
    ///
    /// # Errors
    /// `Duplicate` when it, or its torrent, is there; `Refused`. `NotKept` when the ledger does not
    /// take it; it is not added then.
    pub async fn add_link(
        &self,
        link: Magnet,
        options: TorrentOptions,
    ) -> Result<TorrentId, Error> {
        let (link, options) = (Box::new(link), Box::new(options));
        let added = self.ask(|answer| Command::AddLink { link, options, answer }).await;
        added.unwrap_or(Err(Error::Ended))
    }

    /// Searches for the metadata of a torrent of which only a hash is known (BEP 9), which the
    /// session does not list. The search ends when it is found, or with its handle.
    ///
    /// # Errors
    /// `Duplicate` when the torrent is there; `Ended`.
    pub async fn seek(&self, request: SeekRequest) -> Result<Seeking, Error> {
        let begun = self.ask(|answer| Command::Seek { request, answer }).await;
        begun.unwrap_or(Err(Error::Ended))
    }

    /// Ends a torrent and takes it out; its data stays. False when there is none of this hash.
    /// Returns when everything is written and the trackers were told, or their time is over, and
    /// the ledger has given it up.
    ///
    /// # Errors
    /// `NotKept`: it has left, but may be there at the next start. `Ended`: the session has, and
    /// it is not known what came of it.
    pub async fn remove(&self, info_hash: InfoHash) -> Result<bool, Error> {
        let removed = self.ask(|answer| Command::Remove { info_hash, answer }).await;
        removed.unwrap_or(Err(Error::Ended))
    }

    /// As [`remove`](Self::remove), of the torrent of this number, whoever else has its hash.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn remove_number(&self, id: TorrentId) -> Result<bool, Error> {
        let removed = self.ask(|answer| Command::RemoveNumber { id, answer }).await;
        removed.unwrap_or(Err(Error::Ended))
    }

    /// The handle of a torrent. One of an earlier run that is not here is waited for; a latent one
    /// comes for that.
    ///
    /// # Errors
    /// `Unknown`; `Away` when it cannot come; `Ended`.
    pub async fn reach(&self, id: TorrentId) -> Result<TorrentHandle, Error> {
        self.ask(|answer| Command::Reach(id, answer)).await.unwrap_or(Err(Error::Ended))
    }

    /// Removes the torrent of this number with its files, wherever they were moved to. None when
    /// there is none. From when this is called nobody else gets to where the files are until they
    /// are gone, and where the process ends before that the next one with this ledger goes on.
    ///
    /// # Errors
    /// `FilesNeeded`, `DiskSilent`, `NoMetadata`: nothing was removed. `NotKept`: it has left, but
    /// may be there at the next start, and its files stay. `Ended`.
    pub async fn erase(&self, id: TorrentId) -> Result<Option<Erasure>, Error> {
        let erased = self.ask(|answer| Command::Erase { id, answer }).await;
        erased.unwrap_or(Err(Error::Ended))
    }

    /// Sets something of a torrent, also of one that only waits. A ledger has it within a second,
    /// or when [`kept`](Self::kept) returns.
    ///
    /// # Errors
    /// `Unknown`, `Refused`, `Ended`.
    pub async fn set(&self, id: TorrentId, setting: Setting) -> Result<(), Error> {
        loop {
            let setting = setting.clone();
            let set = self.ask(|answer| Command::Set { id, setting, answer }).await;
            if set.ok_or(Error::Ended)?? {
                return Ok(());
            }
            // It has many orders to read.
            let listed = self.find(id).await.ok_or(Error::Unknown(id))?;
            match listed.handle {
                Some(handle) => drop(handle.room().await),
                // It is on its way; if it does not come, that is set for later.
                None => drop(self.reach(id).await),
            }
        }
    }

    /// Returns when all that was set so far is kept: nothing that happens then undoes it. Without a
    /// ledger that is at once, and nothing is.
    ///
    /// # Errors
    /// `NotKept`: it holds, but only in this run, unless a later attempt succeeds. `Ended`.
    pub async fn kept(&self) -> Result<(), Error> {
        match self.ask(Command::Keep).await.ok_or(Error::Ended)? {
            Some(answer) => Ok(answer.wait().await?),
            None => Ok(()),
        }
    }

    /// What is known of a torrent; none when there is none of this number.
    pub async fn find(&self, id: TorrentId) -> Option<Listed> {
        self.ask(|answer| Command::Look(Some(id), answer)).await?.pop()
    }

    /// The same of the torrent that handshakes know by this hash: the beginning of the other one,
    /// where it has only that (BEP 52).
    pub async fn find_by_hash(&self, hash: InfoHash) -> Option<Listed> {
        self.ask(|answer| Command::LookByHash(hash, answer)).await?
    }

    /// The same of all, in the order of the queue; also of those of an earlier run that are not
    /// here yet.
    pub async fn find_all(&self) -> Vec<Listed> {
        self.ask(|answer| Command::Look(None, answer)).await.unwrap_or_default()
    }

    /// The metadata of a torrent that a ledger keeps, read from there.
    ///
    /// # Errors
    /// `Unknown`, `NoMetadata`, `Ended`.
    pub async fn metadata(&self, id: TorrentId) -> Result<Arc<Torrent>, Error> {
        self.ask(|answer| Command::Metadata(id, answer)).await.unwrap_or(Err(Error::Ended))
    }

    /// How the trackers stand of a torrent that is announced without being here, in the order they
    /// are asked; none of any other, which tells that itself.
    pub async fn trackers(&self, id: TorrentId) -> Vec<TrackerStatus> {
        self.ask(|answer| Command::Trackers(id, answer)).await.unwrap_or_default()
    }

    /// Where it keeps what it remembers.
    pub fn state_dir(&self) -> Arc<Path> {
        self.state_dir.clone()
    }

    /// What could not be read at the start of what was kept. The rest is as it was.
    pub fn troubles(&self) -> &[Trouble] {
        &self.health.troubles
    }

    /// Why changes cannot be written to the ledger, in one line, for as long as that is so; what
    /// was kept before stays as it was.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.health.trouble.as_ref().and_then(|trouble| trouble.borrow().clone())
    }

    /// The torrents, in the order of the queue.
    pub async fn list(&self) -> Vec<(InfoHash, TorrentHandle)> {
        self.ask(Command::List).await.unwrap_or_default()
    }

    /// How all torrents stand that changed since a list that was given before, in the time that
    /// their number takes; of the default cursor, all. None when the session has ended.
    pub async fn changes(&self, since: Cursor) -> Option<Changes> {
        self.ask(|answer| Command::Changes(since, answer)).await
    }

    /// The same, with what is known of those that changed, in the same order. One that is on its
    /// way in has a row alone.
    pub async fn listing(&self, since: Cursor) -> Option<(Changes, Vec<Listed>)> {
        self.ask(|answer| Command::Listing(since, answer)).await
    }

    /// What happened after the last event that a reader knows, oldest first; none when the session
    /// has ended.
    ///
    /// # Errors
    /// Some of it is not there any more, or the reader knows what never was.
    pub async fn events(&self, after: Cursor) -> Option<Result<Vec<Event>, Lost>> {
        self.ask(|answer| Command::Events(after, answer)).await
    }

    /// How far [`changes`](Self::changes) and [`events`](Self::events) can be read, to wait for
    /// more.
    pub fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.clone()
    }

    /// Sets something of all torrents together. A ledger has it within a second.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn set_all(&self, setting: SessionSetting) -> Result<(), Error> {
        self.ask(|answer| Command::SetAll(setting, answer)).await.ok_or(Error::Ended)
    }

    /// What is set of all torrents together; none when the session has ended.
    pub async fn settings(&self) -> Option<SessionSpec> {
        self.ask(Command::LookAtAll).await
    }

    /// The limits of all torrents together that hold now, and whether they are the alternative
    /// ones; none when the session has ended.
    pub async fn limits_now(&self) -> Option<(Limits, bool)> {
        self.ask(Command::LimitsNow).await
    }

    /// These rules, schedules, and room to stay hold from now on, instead of those before.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn set_rules(&self, rules: Book) -> Result<(), Error> {
        let rules = Arc::new(rules);
        self.ask(|answer| Command::Rules(rules, answer)).await.ok_or(Error::Ended)
    }

    /// What rules say of a torrent, and why; none when it is not here.
    pub async fn ruled(&self, id: TorrentId) -> Option<Ruled> {
        self.ask(|answer| Command::Ruled(id, answer)).await.flatten()
    }

    /// Waits until all torrents that it has now are complete.
    ///
    /// # Errors
    /// The first one that cannot go on, by time; `Ended`.
    pub async fn wait_until_complete(&self) -> Result<(), Error> {
        let mut waiting = JoinSet::new();
        for (_, handle) in self.ask(Command::List).await.ok_or(Error::Ended)? {
            waiting.spawn(async move { handle.wait_until_complete().await });
        }
        while let Some(complete) = waiting.join_next().await {
            complete.map_err(|_| Error::Ended)??;
        }
        Ok(())
    }

    /// Ends all torrents side by side; returns when everything is written and recorded and the
    /// trackers were told, or their three seconds are over, and after seven seconds in any case,
    /// unless it [is patient](Self::be_patient). What the ledger was given before is written first.
    /// The session takes no more.
    pub async fn stop(&self) {
        self.ask(Command::Stop).await;
    }

    /// Whether ends may take as long as the devices need to take what was written, as long as they
    /// answer. Otherwise, as at first, they have six seconds.
    pub fn be_patient(&self, patient: bool) {
        self.patient.send_replace(patient);
    }

    /// The port that peers can reach us at; 0 when there is none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who has the router open our ports, where that is done.
    pub fn portmap(&self) -> Option<&PortMap> {
        self.portmap.as_ref()
    }

    /// The DHT, where it runs.
    pub fn dht(&self) -> Option<&Dht> {
        self.dht.as_ref()
    }

    /// Sets or lifts the download limit of all torrents together, bytes per second, for this run;
    /// what is to be kept is [set](Self::set_all).
    pub fn limit_down(&self, limit: Option<u64>) {
        self.limiter.set_rate(limit);
    }

    /// Sets or lifts the upload limit of all torrents together likewise.
    pub fn limit_up(&self, limit: Option<u64>) {
        self.up_limiter.set_rate(limit);
    }

    /// None when the session has ended.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// What holds back all that is received, and all that is sent.
fn limiters(Limits { down, up }: Limits) -> [Arc<Limiter>; 2] {
    [down, up].map(|limit| Arc::new(Limiter::new(limit)))
}

/// How servers of files are spoken to.
fn web_policy(config: &SessionConfig, limiter: &Limiter) -> Policy {
    let limit = config.web_limit;
    Policy {
        tls: Tls::new(config.egress.policy().authorities.clone()),
        allows_local: config.allow_local_sources,
        believes_users: config.believes_names,
        connections: config.web_connections.max(1),
        limiter: limit.map(|limit| Arc::new(Limiter::beside(limiter, Some(limit)))),
        ..Policy::default()
    }
}

/// Takes part in the DHT, unless nothing of it may leave; its nodes are kept in `file`.
fn start_dht(
    options: DhtOptions,
    egress: &Egress,
    udp: Udp,
    mail: mpsc::Receiver<UdpNews>,
    file: Option<PathBuf>,
) -> Option<Dht> {
    let (egress, routers) = (egress.clone(), options.routers);
    let may = egress.off(Purpose::Dht).is_none();
    may.then(|| Dht::start(DhtConfig { egress, udp, mail, file, routers, read_only: false }))
}

/// The blocks of all torrents, and the workers that they go through.
fn pool_and_disk(memory: Memory) -> Result<(BlockPool, Disk), Error> {
    let pool = BlockPool::new(memory.pool_bytes).with_message_bytes(memory.message_bytes);
    let disk = Disk::start(DiskConfig {
        workers: None,
        pool: pool.clone(),
        check_bytes: memory.check_bytes,
        sync: SyncPolicy::default(),
    })?;
    Ok((pool, disk))
}

/// Reads the blocklists, and looks after them. What is fetched is kept in the state directory,
/// which is made here.
async fn keep_lists(config: &SessionConfig) -> Result<Keeper, Error> {
    let SessionConfig { state_dir, blocklists, egress, .. } = config;
    std::fs::create_dir_all(state_dir)
        .map_err(|cause| Error::StateDir { path: state_dir.clone(), cause })?;
    Ok(blocklist::start(blocklists.clone(), egress, Some(state_dir)).await?)
}

/// How trackers are reached.
fn network(config: &SessionConfig) -> NetworkTiming {
    let link_local = config.allow_local_sources;
    NetworkTiming { link_local, ..NetworkTiming::by(config.egress.clone()) }
}

/// Who announces the torrents of the session.
fn announcer(
    peer_id: PeerId,
    ports: &OwnPorts,
    encryption: Encryption,
    network: NetworkTiming,
    udp: UdpClient,
) -> Result<Announcer, Error> {
    let client = http_client(&network).map_err(|cause| Error::HttpClient(cause.to_string()))?;
    Ok(Announcer::start(AnnouncerConfig {
        peer_id,
        ports: ports.clone(),
        supports_crypto: encryption.takes_encrypted(),
        requires_crypto: !encryption.takes_plain(),
        client,
        udp: Some(udp),
        timing: Timing::default(),
        network,
        quiet: QUIET_DEFAULT,
    }))
}
