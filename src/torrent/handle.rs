//! The handle of a running torrent: a cheap clone of a sender and of the latest snapshot.
//! It holds no state and never waits for the torrent but for an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::base::file_priority::FilePriority;
use crate::base::ids::TorrentId;
use crate::base::url::Url;
use crate::disk::Relocation;
use crate::link::Provider;

use super::Error;
use super::command::{Choice, Command, Commander, MoveOrder, Moving, Order, Room};
use super::source_news::SourceNews;
use super::sources::WebSeed;
use super::status::{FoundPieces, PeerStatus, SourceStatus, State, Status, WhyReport};

/// News of a torrent, for printing above a prompt or as JSON lines.
#[derive(Clone, PartialEq, Debug)]
pub enum News {
    /// The brain's news.
    Swarm(crate::swarm::event::Event),
    /// A tracker failed or warned; the text names it.
    Tracker(String),
    /// The files could not be moved, after that had begun; why.
    NotMoved(String),
    /// What came of looking for course providers.
    Course(String),
    /// It was announced in the DHT, at so many nodes.
    Announced {
        /// How many.
        nodes: usize,
    },
    /// How a server of files stands has changed.
    Source(SourceNews),
    /// It is known what is on disk.
    Checked(Arc<FoundPieces>),
    /// Somebody else wrote to a file, or took it away, while it was in use.
    FileChanged {
        /// Which file and what happened to it, in words for people.
        why: String,
        /// Pieces that are lost by that, 1 at least.
        pieces: u32,
        /// Their bytes.
        bytes: u64,
        /// After which time they are fetched again, unless the file is back by then; never by a
        /// torrent that only seeds.
        fetched_in: Option<Duration>,
    },
    /// Files that were lost stand there again, and what of them is right is served as before.
    FileBack {
        /// Which files, in words for people.
        why: String,
        /// Their pieces that are right, 1 at least.
        pieces: u32,
        /// Their bytes.
        bytes: u64,
    },
}

/// Where a torrent tells its news. Their places are allocated at once, so each holds an address.
#[derive(Clone, Debug)]
pub(super) struct NewsSender(broadcast::Sender<Arc<News>>);

/// Hears a torrent's news.
#[derive(Debug)]
pub struct NewsReceiver(broadcast::Receiver<Arc<News>>);

impl NewsSender {
    /// With so many places for a slow reader.
    pub fn new(places: usize) -> Self {
        Self(broadcast::channel(places).0)
    }

    /// Tells it to whoever listens, and nobody may.
    pub fn send(&self, news: News) {
        if self.0.receiver_count() > 0 {
            let _ = self.0.send(Arc::new(news));
        }
    }

    fn subscribe(&self) -> NewsReceiver {
        NewsReceiver(self.0.subscribe())
    }
}

impl NewsReceiver {
    /// The next news. May be dropped without loss.
    ///
    /// # Errors
    /// `Lagged` when some were lost, `Closed` when the torrent has ended.
    pub async fn recv(&mut self) -> Result<News, RecvError> {
        self.0.recv().await.map(Arc::unwrap_or_clone)
    }

    /// The next news that are there.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); `Empty`.
    pub fn try_recv(&mut self) -> Result<News, TryRecvError> {
        self.0.try_recv().map(Arc::unwrap_or_clone)
    }
}

/// A running torrent.
#[derive(Clone, Debug)]
pub struct TorrentHandle {
    pub(super) id: TorrentId,
    pub(super) commands: Commander,
    pub(super) status: watch::Receiver<Status>,
    pub(super) news: NewsSender,
    /// To the session, which keeps what is set.
    pub(super) orders: mpsc::Sender<Order>,
}

impl TorrentHandle {
    /// Its number in the session, which no other torrent gets.
    pub fn id(&self) -> TorrentId {
        self.id
    }

    /// The latest snapshot, renewed at least every half second; the time and the rates are of now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone().as_of(Instant::now())
    }

    /// The state alone, without a copy of everything else.
    pub fn state(&self) -> State {
        self.status.borrow().state.clone()
    }

    /// Looks at the latest snapshot without a copy of it. The torrent waits meanwhile, so this
    /// is for short looks.
    pub fn look<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status.borrow())
    }

    /// To wait for changes of the snapshot.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until everything wanted is verified and written, however long that takes: also while
    /// it is paused, queued, or in trouble with its disk.
    ///
    /// # Errors
    /// `Failed` when it cannot go on, `Ended`.
    pub async fn wait_until_complete(&self) -> Result<(), Error> {
        let is_over = |status: &Status| {
            matches!(status.state, State::Complete | State::Finished | State::Failed(_))
        };
        let mut status = self.watch();
        match status.wait_for(is_over).await.map(|status| status.state.clone()) {
            Ok(State::Failed(why)) => Err(Error::Failed(why)),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Ended),
        }
    }

    /// News from now on. A slow reader loses the oldest.
    pub fn news(&self) -> NewsReceiver {
        self.news.subscribe()
    }

    /// The peers; none when the torrent has ended.
    pub async fn peers(&self, all: bool) -> Vec<PeerStatus> {
        self.ask(|answer| Command::Peers { all, answer }).await.unwrap_or_default()
    }

    /// The servers of its files; none when the torrent has ended.
    pub async fn sources(&self) -> Vec<SourceStatus> {
        self.ask(Command::Sources).await.unwrap_or_default()
    }

    /// What the download waits for; none when the torrent has ended.
    pub async fn why(&self) -> Option<WhyReport> {
        self.ask(Command::Why).await
    }

    /// How many connected peers have each piece, 255 where more do; none of one that is asleep, at
    /// rest, or has ended.
    pub async fn copies(&self) -> Vec<u8> {
        self.ask(Command::Copies).await.unwrap_or_default()
    }

    /// Announces now, as far as the trackers allow; one line for people.
    pub async fn announce(&self) -> Option<String> {
        self.ask(Command::Announce).await
    }

    /// Asks trackers for their numbers of seeds and leeches, those whose numbers are older than
    /// an announce interval; what they say is in a later [`Status`].
    pub async fn scrape(&self) {
        self.tell(Command::Scrape).await;
    }

    /// Tries this peer.
    pub async fn add_peer(&self, address: SocketAddr) {
        self.tell(Command::AddPeer(address)).await;
    }

    /// Asks these course providers too; their pieces must be those of this torrent. The
    /// connections in `open` are used instead of new ones.
    pub async fn add_providers(
        &self,
        providers: Vec<Provider>,
        open: Vec<(SocketAddr, TcpStream)>,
    ) {
        self.tell(Command::AddProviders { providers, open }).await;
    }

    /// Fetches from this server, too (BEP 19), unless there are too many.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub async fn add_web_seed(&self, seed: WebSeed) -> Result<(), String> {
        if Url::parse(&seed.url).is_none() {
            return Err("not a URL of http or https".to_owned());
        }
        self.order(Command::AddWebSeed(seed)).await
    }

    /// Stops transferring.
    pub async fn pause(&self) {
        self.set(Command::Pause).await;
    }

    /// Goes on. A queued torrent starts out of turn, a finished one seeds on.
    pub async fn resume(&self) {
        self.set(Command::Resume).await;
    }

    /// Goes on if it is paused; a queued torrent keeps its turn, a finished one its rest.
    pub async fn unpause(&self) {
        self.set(Command::Unpause).await;
    }

    /// Starts a queued torrent whose turn has come. Never waits: one that has so many orders
    /// to read is told again.
    #[doc(hidden)]
    pub fn start(&self, sleeps: bool) {
        // The session looks again within a second.
        let _ = self.commands.try_send(Command::Start { sleeps });
    }

    /// A peer announced itself in the local network (BEP 14). Never waits.
    #[doc(hidden)]
    pub fn local_peer(&self, address: SocketAddr) {
        // It does so again in five minutes.
        let _ = self.commands.try_send(Command::LocalPeer(address));
    }

    /// Ends seeding, because it was enough; `resume` goes on with it. Never waits.
    #[doc(hidden)]
    pub fn finish(&self) {
        // The session looks again within a second.
        let _ = self.commands.try_send(Command::Finish);
    }

    /// Has a complete torrent let go of everything as soon as nobody is connected. Never waits.
    #[doc(hidden)]
    pub fn sleep(&self) {
        // The session tells it again later.
        let _ = self.commands.try_send(Command::Sleep);
    }

    /// Whether the torrent has ended: nobody hears orders any more.
    pub fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }

    /// Sets or lifts this torrent's download limit, bytes per second; the session's stays.
    pub async fn limit_down(&self, limit: Option<u64>) {
        self.set(Command::LimitDown(limit)).await;
    }

    /// Sets or lifts this torrent's upload limit, bytes per second; the session's stays.
    pub async fn limit_up(&self, limit: Option<u64>) {
        self.set(Command::LimitUp(limit)).await;
    }

    /// Moves the files or gives them other names. Answered when that is done, or when copying
    /// has begun; none when nobody can do it.
    ///
    /// # Errors
    /// Why not, in words for people; nothing was touched then.
    pub async fn relocate(&self, what: Relocation) -> Option<Result<Moving, String>> {
        let (answer, answered) = oneshot::channel();
        self.set(Command::Move(MoveOrder { what, answer })).await;
        tokio::select! {
            biased;
            answer = answered => answer.ok(),
            // What is sent to one that has just ended is never read.
            () = self.commands.closed() => None,
        }
    }

    /// Changes which files are wanted; one entry a file, pad files included. Those that are stay as
    /// urgent as they were.
    pub async fn select_files(&self, wanted: Vec<bool>) {
        self.set(Command::SelectFiles(Choice::Wanted(wanted))).await;
    }

    /// Changes how much each file is wanted, likewise.
    pub async fn prioritize(&self, priorities: Vec<FilePriority>) {
        self.set(Command::SelectFiles(Choice::Priorities(priorities))).await;
    }

    /// Has everything read and hashed again, whatever it is doing: what is wrong is lost, and
    /// fetched again. A pause ends that early.
    pub async fn verify(&self) {
        self.tell(Command::Verify).await;
    }

    /// Ends the torrent; returns when everything is written and recorded and the trackers
    /// were told, or their three seconds are over.
    pub async fn stop(&self) {
        self.ask(Command::Stop).await;
    }

    /// Room for an order of its session; none when it has ended.
    #[doc(hidden)]
    pub async fn room(&self) -> Option<Room> {
        self.commands.room().await
    }

    /// The same, where there is some at once.
    #[doc(hidden)]
    pub fn room_now(&self) -> Option<Room> {
        self.commands.room_now()
    }

    /// Gives an order that sets something; returns when the torrent has it.
    async fn set(&self, command: Command) {
        // The session has told of what it refuses.
        let _ = self.order(command).await;
    }

    /// The same.
    ///
    /// # Errors
    /// Why its session does not take it.
    async fn order(&self, command: Command) -> Result<(), String> {
        let Some(room) = self.room().await else { return Ok(()) };
        let (noted, is_noted) = oneshot::channel();
        let order = Order { id: self.id, command, room, noted };
        // A session that ends sets nothing any more.
        match self.orders.send(order).await {
            Ok(()) => is_noted.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }

    async fn tell(&self, command: Command) {
        // An ended torrent has nothing to do.
        let _ = self.commands.send(command).await;
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}
