//! What people and programs may tell a running torrent. Answers go through one-shot
//! channels; nothing here decides.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use crate::base::file_priority::FilePriority;
use crate::base::ids::TorrentId;
use crate::disk::{Home, Relocation};
use crate::link::Provider;

use super::options::Conduct;
use super::sources::WebSeed;
use super::status::{PeerStatus, SourceStatus, WhyReport};

/// An order or question to the torrent's actor.
#[derive(Debug)]
pub enum Command {
    /// The peers: connected ones, and with `all` the known ones with their last error.
    Peers {
        /// Also those not connected.
        all: bool,
        /// The answer.
        answer: oneshot::Sender<Vec<PeerStatus>>,
    },
    /// The servers of its files.
    Sources(oneshot::Sender<Vec<SourceStatus>>),
    /// What the download waits for.
    Why(oneshot::Sender<WhyReport>),
    /// How many connected peers have each piece.
    Copies(oneshot::Sender<Vec<u8>>),
    /// Announce to the trackers now, as far as they allow; the answer is one line for people.
    Announce(oneshot::Sender<String>),
    /// Have trackers tell their numbers, those that have not lately.
    Scrape,
    /// Try this peer.
    AddPeer(SocketAddr),
    /// A peer announced itself in the local network (BEP 14).
    LocalPeer(SocketAddr),
    /// Ask these course providers for the chunks that a listing says they have.
    AddProviders {
        /// Their pieces are those of this torrent.
        providers: Vec<Provider>,
        /// Connections to some of them that are open already.
        open: Vec<(SocketAddr, TcpStream)>,
    },
    /// Fetch from this server, too.
    AddWebSeed(WebSeed),
    /// Stop transferring, keep everything.
    Pause,
    /// Go on. A queued torrent starts out of turn, a finished one seeds on.
    Resume,
    /// Go on if paused; a queued torrent keeps its turn, a finished one its rest.
    Unpause,
    /// Its turn has come: a queued torrent starts, any other has done so.
    Start {
        /// One of which everything is here sleeps until somebody comes.
        sleeps: bool,
    },
    /// Sleep as soon as there is nothing to do: others are asked more often.
    Sleep,
    /// It has seeded enough: leave peers and trackers, keep everything.
    Finish,
    /// This torrent's download limit in bytes per second, beside the session's; `None` lifts
    /// it.
    LimitDown(Option<u64>),
    /// This torrent's upload limit in bytes per second, beside the session's; `None` lifts it.
    LimitUp(Option<u64>),
    /// Move the files, or give them other names.
    Move(MoveOrder),
    /// Change which files are wanted, and how much.
    SelectFiles(Choice),
    /// Read and hash everything again: what is wrong is lost.
    Verify,
    /// Behave so from now on.
    Conduct(Conduct),
    /// Ask these trackers, by tier, and no others.
    Trackers(Arc<[Vec<String>]>),
    /// End: flush, record, announce `stopped`; answered when all is done.
    Stop(oneshot::Sender<()>),
}

/// A choice of files; one entry a file, pad files included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Which are wanted; those that are stay as urgent as they were.
    Wanted(Vec<bool>),
    /// How much each is.
    Priorities(Vec<FilePriority>),
}

impl Choice {
    /// How many files it is about.
    pub fn count(&self) -> usize {
        match self {
            Self::Wanted(wanted) => wanted.len(),
            Self::Priorities(priorities) => priorities.len(),
        }
    }

    /// What it makes of these priorities; of one that is missing there, normal is taken.
    pub fn over(self, before: &[FilePriority]) -> Vec<FilePriority> {
        let known = |at: usize| before.get(at).copied().unwrap_or_default();
        match self {
            Self::Wanted(wanted) => {
                let files = wanted.into_iter().enumerate();
                files.map(|(at, is_wanted)| known(at).chosen(is_wanted)).collect()
            }
            Self::Priorities(priorities) => priorities,
        }
    }
}

/// An order to move files or to give them other names.
#[derive(Debug)]
pub struct MoveOrder {
    /// What is to become of them.
    pub what: Relocation,
    /// What comes of it: an error is in words for people, and nothing was touched then.
    pub answer: oneshot::Sender<Result<Moving, String>>,
}

/// Files that are moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moving {
    /// Where they will be.
    pub home: Home,
    /// Bytes that are being copied; 0 when all is done.
    pub copy_bytes: u64,
}

/// Where a torrent is told things. Commands are in boxes: there is room for many, and most torrents
/// hear none for days.
#[derive(Clone, Debug)]
pub(super) struct Commander(mpsc::Sender<Box<Command>>);

/// Where it hears of them.
#[derive(Debug)]
pub(super) struct Commands(mpsc::Receiver<Box<Command>>);

/// Both ends, with room for so many commands that wait.
pub(super) fn commands(places: usize) -> (Commander, Commands) {
    let (sender, receiver) = mpsc::channel(places);
    (Commander(sender), Commands(receiver))
}

impl Commander {
    /// Waits for room.
    ///
    /// # Errors
    /// When the torrent has ended.
    pub async fn send(&self, command: Command) -> Result<(), SendError<Box<Command>>> {
        self.0.send(Box::new(command)).await
    }

    /// Does not wait.
    ///
    /// # Errors
    /// `Full`, `Closed`.
    pub fn try_send(&self, command: Command) -> Result<(), TrySendError<Box<Command>>> {
        self.0.try_send(Box::new(command))
    }

    /// Waits for room, and holds it for a command that somebody else gives. None when the torrent
    /// has ended.
    pub async fn room(&self) -> Option<Room> {
        self.0.clone().reserve_owned().await.map(Room).ok()
    }

    /// The same, where there is some at once.
    pub fn room_now(&self) -> Option<Room> {
        self.0.clone().try_reserve_owned().map(Room).ok()
    }

    /// Waits until the torrent has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Has the torrent ended?
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Room for one command.
#[derive(Debug)]
pub struct Room(OwnedPermit<Box<Command>>);

impl Room {
    /// Gives it. Never waits.
    pub fn send(self, command: Command) {
        self.0.send(Box::new(command));
    }
}

impl Commands {
    /// The next one, in order. None when nobody can give any more. Dropped, it loses none.
    pub async fn recv(&mut self) -> Option<Command> {
        self.0.recv().await.map(|command| *command)
    }
}

/// An order that sets something of a torrent. It goes by way of the session, which keeps what is
/// set and hands it on; as it has room with the torrent already, nobody waits there.
#[derive(Debug)]
pub struct Order {
    /// Which torrent.
    pub id: TorrentId,
    /// What is set.
    pub command: Command,
    /// Room for it.
    pub room: Room,
    /// Told when it was handed on, or why it is not.
    pub noted: oneshot::Sender<Result<(), String>>,
}
