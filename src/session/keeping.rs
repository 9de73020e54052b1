//! What of torrents is kept while the session runs: by its ledger what each has done, and without
//! one what was sent and which files are wanted, beside its record.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::actor::Actor;
use super::persist::{News, write};

/// How often what was sent is kept, against a crash.
const KEEP_EVERY: Duration = Duration::from_secs(180);
/// A ledger hears of those that did something in between,
const TALLY_EVERY: Duration = Duration::from_secs(30);
/// and of all others, whose time goes on, once in so many of these.
const TALLY_ALL_IN: u32 = 120;
/// How long an ending session waits for its ledger.
const LEDGER_MAX: Duration = Duration::from_secs(5);
/// How long it waits for what is to be safe before anybody is told goodbye.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How long others wait for that.
const KEEP_MAX: Duration = Duration::from_secs(2);

impl Actor {
    /// How often to [keep](Self::keep_again).
    pub(super) fn keeps_every(&self) -> Duration {
        if self.wanted.are_kept() { TALLY_EVERY } else { KEEP_EVERY }
    }

    /// Keeps what is new, for the time of this number.
    pub(super) async fn keep_again(&mut self, nth: u32) {
        match self.wanted.are_kept() && !nth.is_multiple_of(TALLY_ALL_IN) {
            true => self.keep().await,
            false => self.keep_all().await,
        }
    }

    /// Keeps of all what is new.
    pub(super) async fn keep_all(&mut self) {
        self.unkept.extend(self.members.keys());
        let absent = self.returning.absent.iter();
        self.unkept.extend(absent.filter(|(_, it)| it.is_whole).map(|(id, _)| *id));
        self.keep().await;
    }

    /// Keeps what was sent since it was kept last, and which files are wanted, of those of whom
    /// that may be new.
    pub(super) async fn keep(&mut self) {
        if self.wanted.are_kept() {
            return self.tell_tallies().await;
        }
        match self.keeping.take() {
            // The disk hangs; what is lost is what was sent since.
            Some(work) if !work.is_finished() => {
                self.keeping = Some(work);
                return;
            }
            Some(work) => self.on_kept(work.await.unwrap_or_default()),
            None => {}
        }
        let mut news: Vec<News> = Vec::new();
        self.has_new_choice = false;
        let unkept = std::mem::take(&mut self.unkept);
        for member in unkept.iter().filter_map(|id| self.members.get(id)) {
            let is_seed_only = self.wanted.get(member.facts.id).is_some_and(|spec| spec.seed_only);
            let kept = member.to_keep(is_seed_only);
            if kept.uploaded > member.kept.uploaded || !kept.has_choices_of(&member.kept) {
                news.push(News {
                    info_hash: member.info_hash,
                    record: member.record.clone(),
                    kept,
                });
            }
        }
        if !news.is_empty() {
            let mut work = spawn_blocking(move || write(news));
            // A disk that hangs must not hold up everybody; a panic is told by the runtime.
            match timeout(KEEP_MAX, &mut work).await {
                Ok(kept) => self.on_kept(kept.unwrap_or_default()),
                Err(_) => self.keeping = Some(work),
            }
        }
    }

    /// The ledger hears what torrents have done.
    async fn tell_tallies(&mut self) {
        let now = std::time::Instant::now();
        for id in std::mem::take(&mut self.unkept) {
            let member = self.members.get_mut(&id).map(|member| member.tally(now));
            // The time of a latent one goes on as well.
            let tally = member.or_else(|| Some(self.returning.absent.get_mut(&id)?.tally(now)));
            if let Some(tally) = tally {
                self.wanted.tally(id, tally).await;
            }
        }
    }

    /// What could not be kept is tried again the next time.
    fn on_kept(&mut self, all: Vec<News>) {
        for News { info_hash, kept, .. } in all {
            let id = self.hashes.get(&info_hash);
            if let Some(member) = id.and_then(|id| self.members.get_mut(id)) {
                member.kept = kept;
            }
        }
    }

    /// What was accepted so far is kept, counts apart, unless the disk hangs.
    pub(super) async fn flush_ledger(&mut self) {
        let Some(keeping) = self.wanted.keeping() else { return };
        let written = async {
            self.wanted.keep().await;
            if let Err(error) = keeping.flush().await.wait().await {
                tracing::warn!(%error, "the last changes are not kept yet");
            }
        };
        if timeout(FLUSH_MAX, written).await.is_err() {
            tracing::warn!(
                "the state directory does not answer: the last changes are not kept yet"
            );
        }
    }

    /// What there is to keep is kept, unless the disk hangs.
    pub(super) async fn end_ledger(&mut self) {
        let written = async {
            self.wanted.keep().await;
            if let Some(stopped) = self.wanted.stop().await
                && let Err(error) = stopped.wait().await
            {
                tracing::warn!(%error, "the last changes are not kept");
            }
            while self.answers.next().await.is_some() {}
        };
        if timeout(LEDGER_MAX, written).await.is_err() {
            tracing::warn!("the state directory does not answer: the last changes are not kept");
        }
    }
}
