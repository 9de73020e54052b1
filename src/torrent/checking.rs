//! Looking at data on disk before a torrent runs, as far as its options and the record ask for it.
//! It can be stopped at any time, and how far it is outlives a crash. What looking means is the
//! disk's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, interval_at, timeout};
use tracing::warn;

use crate::base::bitfield::Bitfield;
use crate::base::layout::Layout;
use crate::base::meter::Pace;
use crate::disk::{CheckProgress, RecordState, StoreHandle};

use super::command::Command;
use super::ends::Ends;
use super::meanwhile::{STOP_MAX, meanwhile};
use super::options::CheckMode;
use super::parked;
use super::parts::Parts;
use super::status::State;

/// How often a check that goes on is kept: a crash costs no more than this of it.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// What is read in a second or two need not wait for its turn at the disk.
const TURN_WORTH: u64 = 1 << 30;
/// How often it is shown how far it is.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// What a check comes to.
pub(super) enum Checked {
    Pieces {
        /// What is there.
        have: Bitfield,
        /// What of it was not looked at.
        trusted: Bitfield,
    },
    /// It was to verify everything, and is to rest instead, as the orders say; how far it was is
    /// kept.
    Paused,
    Stopped,
}

/// Looks at data on disk as far as the options and the record ask for it.
/// Orders that come meanwhile are kept in `early`; questions find no answer yet.
pub(super) async fn check(
    parts: &Parts,
    store: &StoreHandle,
    ends: &mut Ends,
    early: &mut Vec<Command>,
) -> Checked {
    let plan = Plan::of(parts, store);
    if !plan.is_needed {
        return Checked::Pieces { have: plan.trusted.clone(), trusted: plan.trusted };
    }
    ends.status.change(|status| (status.state, status.is_asleep) = (State::Checking, false));
    let progress = Arc::new(CheckProgress::default());
    let trusted = plan.trusted.clone();
    let mut work = begin(parts, &plan, store, &progress);
    // How far it is, being kept: a disk that hangs must not hold up the end.
    let mut keeping: Option<JoinHandle<()>> = None;
    let mut tick = interval(SHOW_EVERY);
    let mut kept = interval_at((Instant::now() + KEEP_EVERY).into(), KEEP_EVERY);
    let mut pace = Pace::new(Instant::now());
    loop {
        tokio::select! {
            have = &mut work => {
                let have = match have {
                    Ok(have) => have,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                };
                // The record is one: it is not to be begun while it is still being kept.
                if let Some(keeping) = keeping.take()
                    && meanwhile(ends, early, keeping).await.is_none()
                {
                    return Checked::Stopped;
                }
                return Checked::Pieces { have, trusted };
            }
            _ = kept.tick() => {
                if keeping.as_ref().is_none_or(JoinHandle::is_finished) {
                    keeping = Some(plan.keep(store, &progress));
                }
            }
            _ = tick.tick() => show(parts, ends, &progress, &mut pace),
            command = ends.commands.recv() => match command {
                Some(Command::Stop(answer)) => {
                    progress.cancel();
                    let ended = end(work, keeping, || plan.keep(store, &progress));
                    ends.end_after(ended, answer).await;
                    return Checked::Stopped;
                }
                // It does.
                Some(Command::Verify) if parts.verifies => {}
                Some(Command::Pause) if parts.verifies => {
                    parked::keep(early, Command::Pause);
                    progress.cancel();
                    end(work, keeping, || plan.keep(store, &progress)).await;
                    return Checked::Paused;
                }
                Some(order) => parked::keep(early, order),
                None => {
                    progress.cancel();
                    return Checked::Stopped;
                }
            },
        }
    }
}

/// Shows how far it is.
fn show(parts: &Parts, ends: &Ends, progress: &CheckProgress, pace: &mut Pace) {
    let total = parts.torrent.total_size();
    ends.status.change(|status| {
        status.checked_bytes = progress.bytes();
        status.check_rate = pace.on_done(progress.bytes().0, Instant::now());
        status.check_waits = progress.is_waiting();
        status.wanted_bytes = total;
        status.piece_count = parts.layout.piece_count();
        status.listen_port = parts.resources.ports.listen();
    });
}

/// Waits until a check that was cancelled has ended, and has it kept how far it is. A disk that
/// hangs is left to itself.
async fn end(
    work: JoinHandle<Bitfield>,
    keeping: Option<JoinHandle<()>>,
    keep: impl FnOnce() -> JoinHandle<()>,
) {
    let ending = async {
        let _ = work.await;
        if let Some(keeping) = keeping {
            let _ = keeping.await;
        }
        let _ = keep().await;
    };
    let _ = timeout(STOP_MAX, ending).await;
}

/// Begins to look; a long look when it is this torrent's turn.
fn begin(
    parts: &Parts,
    plan: &Plan,
    store: &StoreHandle,
    progress: &Arc<CheckProgress>,
) -> JoinHandle<Bitfield> {
    let pieces = u64::from(parts.layout.piece_count() - plan.skipped.ones());
    let is_long = pieces * u64::from(parts.layout.piece_len()) >= TURN_WORTH;
    let (store, progress, plan) = (store.clone(), progress.clone(), plan.clone());
    let state_dir = parts.resources.state_dir.clone();
    spawn_blocking(move || {
        let _turn = is_long.then(|| store.take_turn(&state_dir, &progress));
        plan.result(&store.check(&plan.skipped, &progress).have)
    })
}

/// Which pieces to look at.
#[derive(Clone)]
struct Plan {
    is_needed: bool,
    /// Right without a look.
    trusted: Bitfield,
    /// Not looked at: trusted ones, and those that the record knows to be missing.
    skipped: Bitfield,
}

impl Plan {
    fn of(parts: &Parts, store: &StoreHandle) -> Self {
        let none = Bitfield::none(parts.layout.piece_count());
        let survey = store.survey();
        let anything = survey.final_count + survey.part_count > 0;
        let recorded = store.record_state() == RecordState::Loaded;
        if parts.verifies || parts.options.check != CheckMode::Resume || !recorded {
            return Self { is_needed: anything, trusted: none.clone(), skipped: none };
        }
        let (trusted, recorded) = (store.trusted(), store.recorded());
        if parts.options.seed_only {
            // Nobody fetches what it lacks, and its user may have put it back.
            let is_needed = anything && !trusted.is_full();
            return Self { is_needed, skipped: trusted.clone(), trusted };
        }
        let mut skipped = Bitfield::all(parts.layout.piece_count());
        for piece in parts.layout.pieces() {
            if recorded.has(piece) && !trusted.has(piece) {
                skipped.remove(piece);
            }
        }
        Self { is_needed: anything && !skipped.is_full(), trusted, skipped }
    }

    /// Has the record keep how far the check is, so that a start after a stop or a crash goes on
    /// from there.
    fn keep(&self, store: &StoreHandle, progress: &Arc<CheckProgress>) -> JoinHandle<()> {
        let (plan, store, progress) = (self.clone(), store.clone(), progress.clone());
        spawn_blocking(move || {
            let Some(found) = progress.snapshot() else { return };
            let looked_at = found.looked_at.union(&plan.skipped);
            let right = found.right.union(&plan.trusted);
            if let Err(error) = store.keep_check(&looked_at, &right) {
                warn!(%error, "how far the check is cannot be kept");
            }
        })
    }

    /// The pieces that are there, by what a check found.
    fn result(&self, found: &Bitfield) -> Bitfield {
        let mut have = self.trusted.clone();
        let layout = Layout::new(u64::from(found.piece_count()), 1);
        for piece in layout.iter().flat_map(Layout::pieces) {
            if !self.skipped.has(piece) && found.has(piece) {
                have.insert(piece);
            }
        }
        have
    }
}
