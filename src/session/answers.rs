//! Whoever waits until the ledger has what was promised: that a torrent which was added is there at
//! the next start, and one that was removed is not.

use std::collections::HashMap;
use std::path::PathBuf;

use tokio::task::{JoinSet, spawn_blocking};

use crate::base::ids::TorrentId;
use crate::ledger::task::Answer;
use crate::torrent::handle::TorrentHandle;

use super::links::LinkAnswer;
use super::member::{AddAnswer, RemoveAnswer};
use super::persist::{self, Chosen};

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Each ends with the torrent, if its addition is not kept.
    waiting: JoinSet<Option<Lost>>,
    /// What the ledger says of torrents that are on their way out.
    removed: HashMap<TorrentId, Answer<()>>,
}

/// A torrent whose addition is not kept.
#[derive(Debug)]
pub(super) struct Lost {
    pub id: TorrentId,
    /// The link that it came by, which is kept.
    pub link: Option<String>,
}

impl Answers {
    /// A torrent is here, and the ledger has been asked to keep it, if there is one, with what was
    /// kept beside the `imported` record before: that is of no use then, but for these choices. It
    /// may have come by a link, which was kept.
    pub fn on_added(
        &mut self,
        (id, link): (TorrentId, Option<String>),
        answer: AddAnswer,
        handle: TorrentHandle,
        kept: Option<Answer<()>>,
        imported: Option<(PathBuf, Vec<Chosen>)>,
    ) {
        let Some(kept) = kept else {
            // The one who asked may have gone, here and below.
            let _ = answer.send(Ok(handle));
            return;
        };
        self.waiting.spawn(async move {
            let kept = kept.wait().await;
            let lost = kept.is_err().then_some(Lost { id, link });
            let kept = kept.map_err(|why| why.meaning("it cannot be kept"));
            let _ = answer.send(kept.map(|()| handle).map_err(Into::into));
            if let Some((record, others)) = imported.filter(|_| lost.is_none()) {
                // A panic is told by the runtime.
                let _ = spawn_blocking(move || persist::forget(&record, others)).await;
            }
            lost
        });
    }

    /// A link is listed, and the ledger was asked to keep it, if there is one.
    pub fn on_link(&mut self, id: TorrentId, answer: LinkAnswer, kept: Option<Answer<()>>) {
        self.waiting.spawn(async move {
            let kept = match kept {
                Some(kept) => kept.wait().await,
                None => Ok(()),
            };
            let lost = kept.is_err().then_some(Lost { id, link: None });
            let kept = kept.map_err(|why| why.meaning("it cannot be kept"));
            // The one who asked may have gone.
            let _ = answer.send(kept.map(|()| id).map_err(Into::into));
            lost
        });
    }

    /// A torrent is to be removed, and the ledger was asked to do so.
    pub fn on_removed(&mut self, id: TorrentId, kept: Option<Answer<()>>) {
        self.removed.extend(kept.map(|kept| (id, kept)));
    }

    /// A torrent has left, and this one waits for that.
    pub fn on_left(&mut self, id: TorrentId, answer: RemoveAnswer) {
        let Some(kept) = self.removed.remove(&id) else {
            let _ = answer.send(Ok(true));
            return;
        };
        self.waiting.spawn(async move {
            let kept = kept.wait().await;
            let kept = kept.map_err(|why| {
                why.meaning("it has left, but may be there again at the next start")
            });
            let _ = answer.send(kept.map(|()| true).map_err(Into::into));
            None
        });
    }

    /// The next torrent whose addition is not kept; none when nobody waits. May be dropped without
    /// loss.
    pub async fn next(&mut self) -> Option<Lost> {
        while let Some(ended) = self.waiting.join_next().await {
            if let Ok(Some(lost)) = ended {
                return Some(lost);
            }
        }
        None
    }
}
