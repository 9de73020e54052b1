//! Where files are whose torrent was moved before anybody knew where they were: while it waited for
//! its turn, or when the last word of a move did not reach the ledger. Names of directories are
//! compared on disk, aside.

use std::path::{Path, PathBuf, absolute};

use tokio::task::{JoinSet, spawn_blocking};

use crate::base::ids::TorrentId;
use crate::disk::lasting;

/// A torrent whose files are elsewhere than was known.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub id: TorrentId,
    /// Where they were thought to be.
    pub before: PathBuf,
    /// Where they are.
    pub now: PathBuf,
}

/// Those that are being looked at.
#[derive(Debug, Default)]
pub(super) struct Homes(JoinSet<Option<Elsewhere>>);

impl Homes {
    /// The files of a torrent are in the second directory, and were thought to be in the first.
    pub fn compare(&mut self, id: TorrentId, before: &Path, now: &Path) {
        // Most are: nobody is to look at the disk for thousands.
        if before == now || absolute(before).is_ok_and(|before| before == now) {
            return;
        }
        let (before, now) = (before.to_owned(), now.to_owned());
        self.0.spawn(async move {
            let compared = spawn_blocking(move || {
                (lasting(&before) != lasting(&now)).then_some(Elsewhere { id, before, now })
            });
            compared.await.ok().flatten()
        });
    }

    /// The next one that is elsewhere; none when no more are looked at. May be dropped without
    /// loss.
    pub async fn next(&mut self) -> Option<Elsewhere> {
        while let Some(compared) = self.0.join_next().await {
            if let Ok(Some(elsewhere)) = compared {
                return Some(elsewhere);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_names_of_a_directory_are_no_news() {
        let root = tempfile::tempdir().unwrap();
        let [real, link, other] = ["real", "link", "other"].map(|name| root.path().join(name));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut homes = Homes::default();
        homes.compare(TorrentId(1), &link, &real);
        homes.compare(TorrentId(1), &link, &link);
        assert!(homes.next().await.is_none());
        homes.compare(TorrentId(2), &link, &other);
        let elsewhere = homes.next().await.unwrap();
        assert_eq!((elsewhere.id, elsewhere.before, elsewhere.now), (TorrentId(2), link, other));
        // By their names alone.
        homes.compare(TorrentId(3), Path::new("."), &std::env::current_dir().unwrap());
        assert!(homes.0.is_empty());
    }
}
