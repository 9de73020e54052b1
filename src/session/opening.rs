//! Opening a torrent that comes in, aside: what is kept of it is read first, and then its files are
//! looked at.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::base::ids::InfoHash;
use crate::disk::record_of;
use crate::metainfo::Torrent;
use crate::torrent::bell::Bell;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::incoming::Incoming;
use crate::torrent::lifecycle;
use crate::torrent::options::TorrentOptions;
use crate::torrent::places::Account;
use crate::torrent::resources::{Entry, Resources, Turn};
use crate::torrent::seeking::Contacts;
use crate::torrent::share::Share;

use super::persist::{self, Kept};

/// How a torrent comes in.
pub(super) struct Coming {
    pub torrent: Arc<Torrent>,
    pub options: TorrentOptions,
    pub turn: Turn,
    pub places: Account,
    pub bell: Bell,
    pub share: Share,
    /// Whom the search for its metadata met. In a box: few have any, and many come in at once.
    pub contacts: Option<Box<Contacts>>,
}

/// What came of opening a torrent's files.
pub(super) struct Opened {
    pub started:
        Result<(TorrentHandle, InfoHash, mpsc::Sender<Box<Incoming>>), crate::torrent::Error>,
    /// Its record of verified pieces.
    pub record: PathBuf,
    /// What the state directory says of it.
    pub kept: Kept,
}

/// Opens it.
pub(super) async fn open(resources: Arc<Resources>, coming: Coming) -> Opened {
    let Coming { torrent, mut options, turn, places, bell, share, contacts } = coming;
    let (record, kept) = match torrent.info_hash_v1 {
        Some(hash) => {
            let (state_dir, dir) = (resources.state_dir.clone(), options.dir.clone());
            let read = spawn_blocking(move || {
                let record = record_of(&state_dir, hash, &dir);
                let kept = persist::kept(&record);
                (record, kept)
            });
            read.await.unwrap_or_default()
        }
        None => Default::default(),
    };
    let chosen = kept.choice_for(&options, torrent.files.len());
    options.wanted_files = options.wanted_files.or(chosen);
    let uploaded_before_bytes = kept.uploaded;
    let record_path = record.clone();
    let entry = Entry { turn, places, bell, uploaded_before_bytes, record: record_path, share };
    let started = lifecycle::start(resources, torrent, options, entry, contacts).await;
    Opened { started, record, kept }
}
