//! The announces of all torrents of a session: one task that does what each torrent's
//! [`super::tiers`] says, over the network. It keeps no peers and dials none; they leave as events.
//!
//! A torrent has an [`Entry`] with the [`Announcer`]. What it says there is kept until the task
//! takes it (`mail`), which does not wait for anybody; its part of the task is a `member`; what it
//! has no ears for is not told. All that is to be asked waits for its turn ([`super::turns`]).

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use config::{AnnouncerConfig, QUIET_DEFAULT, TrackerConfig};
pub use fetch::{HttpClient, NetworkTiming, http_client};
pub use lines::{HTTP_BOUNDS, HTTP_GOODBYES, UDP_BOUNDS, UDP_GOODBYES};
pub use lookout::{Lookout, Named};
pub use news::{TrackerCommand, TrackerEvent, TransferStats};
pub use udp::UdpClient;

mod clock;
mod config;
mod desk;
mod ears;
mod errand;
mod fetch;
mod lines;
mod lookout;
mod mail;
mod member;
mod news;
mod udp;

use super::tiers::status::TrackerStatus;
use desk::Desk;
use mail::{EntryId, Letter, Listener, Mail, Newcomer};

/// Announces for all torrents of a session. A handle to the task, which ends when the last of
/// these and all entries are gone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Announcer {
    post: Arc<Post>,
}

/// The way to the task.
#[derive(Debug)]
struct Post {
    mail: watch::Sender<Mail>,
    /// Closed with the last of those who may write.
    _open: mpsc::Sender<Infallible>,
}

impl Announcer {
    /// Starts the task. Must run inside the runtime.
    pub fn start(config: AnnouncerConfig) -> Self {
        let (mail, delivered) = watch::channel(Mail::default());
        let (open, closed) = mpsc::channel(1);
        tokio::spawn(Desk::new(config, mail.clone()).run(delivered, closed));
        Self { post: Arc::new(Post { mail, _open: open }) }
    }

    /// Begins to announce a torrent. `events` hears of it, as after [`Entry::listen`].
    pub fn enter(
        &self,
        config: TrackerConfig,
        stats: TransferStats,
        events: Option<mpsc::Sender<TrackerEvent>>,
    ) -> Entry {
        self.let_in(config, stats, events.map_or(Listener::Nobody, Listener::All))
    }

    /// The same of a torrent that is not here: nobody hears of it but `lookout`, until
    /// [`Entry::listen`].
    pub fn enter_unseen(
        &self,
        config: TrackerConfig,
        stats: TransferStats,
        lookout: Lookout,
    ) -> Entry {
        self.let_in(config, stats, Listener::Lookout(lookout))
    }

    fn let_in(&self, config: TrackerConfig, stats: TransferStats, ears: Listener) -> Entry {
        let newcomer = Box::new(Newcomer { config, stats, ears });
        let mut id = None;
        self.post.mail.send_modify(|mail| id = Some(mail.enter(newcomer)));
        Entry { id: id.unwrap_or_default(), post: self.post.clone() }
    }
}

/// A torrent that is announced. Dropped, it leaves its trackers as after [`Entry::stop`].
#[derive(Debug)]
pub struct Entry {
    id: EntryId,
    post: Arc<Post>,
}

impl Entry {
    /// Tells the figures of the torrent.
    pub fn publish(&self, stats: TransferStats) {
        self.write(|letter| letter.stats = Some(stats));
    }

    /// Gives an order.
    pub fn tell(&self, command: TrackerCommand) {
        self.write(|letter| letter.order(command));
    }

    /// These are its trackers from now on, by tier: those that are not among them hear that we
    /// leave.
    pub fn name(&self, tiers: Vec<Vec<String>>) {
        self.write(|letter| letter.tiers = Some(tiers));
    }

    /// Who hears of the torrent from now on, beginning with how its trackers stand; with none,
    /// trackers are asked for no peers.
    pub fn listen(&self, events: Option<mpsc::Sender<TrackerEvent>>) {
        self.write(|letter| letter.ears = Some(events.map_or(Listener::Nobody, Listener::All)));
    }

    /// Answers at once how its trackers stand, in the order they are asked; not, where too many
    /// want to know that, or it has been stopped.
    pub fn look(&self, answer: oneshot::Sender<Vec<TrackerStatus>>) {
        self.write(|letter| letter.look(answer));
    }

    /// Says goodbye to all trackers that know the torrent, which is announced no more. The future
    /// ends when they were told, within the stop budget.
    pub fn stop(&self) -> impl Future<Output = ()> + use<> {
        let (done, stopped) = oneshot::channel();
        self.write(|letter| letter.stop = Some(done));
        async move {
            // It may have been stopped before.
            let _ = stopped.await;
        }
    }

    fn write(&self, words: impl FnOnce(&mut Letter)) {
        self.post.mail.send_modify(|mail| words(mail.letter(self.id)));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.write(|letter| letter.is_gone = true);
    }
}
