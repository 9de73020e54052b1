//! Where the files of a torrent are and what they are called: as it says itself, or by its record
//! as long as nobody has opened them in this run.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::disk::{Home, home_of};
use crate::metainfo::Torrent;
use crate::session::Listed;

use super::desk::Api;

impl Api {
    /// None where they are called as in the torrent, as far as is known.
    pub(super) async fn home(&self, listed: &Listed, torrent: &Torrent) -> Option<Arc<Home>> {
        let known = listed.handle.as_ref().and_then(|it| it.look(|status| status.home.clone()));
        // Of one that is noted to be whole that was noted, too.
        if known.is_some() || listed.spec.whole.is_some() {
            return known;
        }
        let (state_dir, dir) = (self.session.state_dir(), listed.spec.dir.clone());
        let hash = *torrent.swarm_hashes().first()?;
        spawn_blocking(move || home_of(&state_dir, hash, &dir)).await.ok().flatten().map(Arc::new)
    }
}
