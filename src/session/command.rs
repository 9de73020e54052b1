//! What a session is asked and told. Values only.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::{Limits, SessionSpec, task};
use crate::metainfo::{Magnet, Torrent};
use crate::roster::rules::Book;
use crate::roster::{Changes, Cursor, Event, Lost};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::TorrentOptions;
use crate::torrent::seeking::{SeekRequest, Seeking};
use crate::tracker::tiers::status::TrackerStatus;

use super::absent::Addition;
use super::erasure::EraseAnswer;
use super::error::Error;
use super::links::LinkAnswer;
use super::listed::{Listed, Setting};
use super::member::{AddAnswer, RemoveAnswer};
use super::overlay::Ruled;
use super::together::SessionSetting;

/// An order or question to the session.
pub(super) enum Command {
    /// Take a torrent in.
    Add(Box<Addition>),
    /// Take in a link whose metadata is to be sought.
    AddLink { link: Box<Magnet>, options: Box<TorrentOptions>, answer: LinkAnswer },
    /// The handle of a torrent, which may have to come first.
    Reach(TorrentId, AddAnswer),
    /// Search for the metadata of a torrent.
    Seek { request: SeekRequest, answer: oneshot::Sender<Result<Seeking, Error>> },
    /// End a torrent; answered when it has ended, with whether there was one.
    Remove { info_hash: InfoHash, answer: RemoveAnswer },
    /// The same, of the torrent of this number.
    RemoveNumber { id: TorrentId, answer: RemoveAnswer },
    /// The same, with its files.
    Erase { id: TorrentId, answer: EraseAnswer },
    /// Which torrents are there?
    List(oneshot::Sender<Vec<(InfoHash, TorrentHandle)>>),
    /// What is known of this torrent, or of all?
    Look(Option<TorrentId>, oneshot::Sender<Vec<Listed>>),
    /// What is known of the torrent that runs under this hash, or would?
    LookByHash(InfoHash, oneshot::Sender<Option<Listed>>),
    /// How do the trackers stand of one that is announced and not here?
    Trackers(TorrentId, oneshot::Sender<Vec<TrackerStatus>>),
    /// The metadata of a torrent that a ledger keeps.
    Metadata(TorrentId, oneshot::Sender<Result<Arc<Torrent>, Error>>),
    /// Set something of a torrent; false when that has no room for an order now.
    Set { id: TorrentId, setting: Setting, answer: oneshot::Sender<Result<bool, Error>> },
    /// Set something of all together.
    SetAll(SessionSetting, oneshot::Sender<()>),
    /// Give the ledger all that was set; answered with what says when it is kept, if it is.
    Keep(oneshot::Sender<Option<task::Answer<()>>>),
    /// What is set of all together?
    LookAtAll(oneshot::Sender<SessionSpec>),
    /// Which limits hold now, and whether they are the alternative ones?
    LimitsNow(oneshot::Sender<(Limits, bool)>),
    /// These rules hold from now on.
    Rules(Arc<Book>, oneshot::Sender<()>),
    /// What do rules say of a torrent?
    Ruled(TorrentId, oneshot::Sender<Option<Ruled>>),
    /// How do torrents stand that changed since then?
    Changes(Cursor, oneshot::Sender<Changes>),
    /// The same, with what is known of each of them, as far as it is here.
    Listing(Cursor, oneshot::Sender<(Changes, Vec<Listed>)>),
    /// What happened after that?
    Events(Cursor, oneshot::Sender<Result<Vec<Event>, Lost>>),
    /// End all torrents and take no more; answered when they have ended.
    Stop(oneshot::Sender<()>),
}
