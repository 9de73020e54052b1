//! Verifying a torrent of which nothing runs: its files are opened, all of them are read and hashed
//! again, what is right is recorded, and it rests as before. One that runs does so at its next
//! opening instead, which comes at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::base::bitfield::Bitfield;
use crate::disk::{ChangedFile, DiskEvent};

use super::checking::{Checked, check};
use super::command::Command;
use super::ends::Ends;
use super::meanwhile::{blocking, meanwhile};
use super::opening::{Before, Opened, Outcome, open_now};
use super::parked::{self, Waiting};
use super::parts::{Parts, wanted_of};
use super::publish::payload_of;
use super::running::tell_found;
use super::status::{FoundPieces, State};

/// Workers that still hold the files get this long to let go.
const LET_GO: Duration = Duration::from_secs(10);

/// Waits until the disk workers have let go of the files of one that ran, and is to be verified.
/// None when the torrent is to end.
pub(super) async fn await_closed(
    ends: &mut Ends,
    mut closing: mpsc::Receiver<DiskEvent>,
    early: &mut Vec<Command>,
) -> Option<()> {
    ends.status.change(|status| parked::rest(status, State::Checking));
    let closed = async { while closing.recv().await.is_some() {} };
    // Whoever holds them all the same is named when they are opened.
    meanwhile(ends, early, timeout(LET_GO, closed)).await.map(drop)
}

/// Verifies one that waits, and says whether it could be looked at to the end; one that has seeded
/// enough and lacks something waits for its turn then. None when the torrent is to end.
pub(super) async fn verify_at_rest(
    parts: &mut Parts,
    ends: &mut Ends,
    waiting: &mut Waiting,
    early: &mut Vec<Command>,
) -> Option<bool> {
    ends.status.change(|status| parked::rest(status, State::Checking));
    let opened = match open_now(parts, ends, Before::Nothing, early).await? {
        Outcome::Opened(opened) => opened,
        Outcome::Away(why) | Outcome::Failed(why) => {
            // It is verified when it is to run.
            tracing::warn!(why, "it cannot be verified now");
            ends.status.change(|status| status.disk_trouble = Some(why));
            return Some(false);
        }
    };
    let Opened { store, disk_events, .. } = opened;
    ends.status.change(|status| status.home = store.home());
    // It was given up while its files were being opened.
    let is_over = early.iter().any(|order| matches!(order, Command::Pause));
    let checked = match is_over {
        true => Checked::Paused,
        false => check(parts, &store, ends, early).await,
    };
    let is_whole = matches!(checked, Checked::Pieces { .. });
    match checked {
        Checked::Stopped => return None,
        // The one who waits hears of that.
        Checked::Paused => {}
        Checked::Pieces { have, .. } => {
            let keeping = {
                let (store, have) = (store.clone(), have.clone());
                let all = Bitfield::all(parts.layout.piece_count());
                blocking(move || store.keep_check(&all, &have))
            };
            if let Err(error) = meanwhile(ends, early, keeping).await? {
                tracing::warn!(%error, "what was found cannot be kept");
            }
            let missing = wanted_of(parts).minus(&have);
            if missing.ones() > 0 && waiting.state == State::Finished {
                waiting.state = State::Queued;
            }
            tell(parts, ends, &have, store.changed(&missing));
        }
    }
    parts.verifies = false;
    drop(store);
    await_closed(ends, disk_events, early).await?;
    Some(is_whole)
}

/// What there is of it is shown.
fn tell(parts: &Parts, ends: &Ends, have: &Bitfield, changed: Vec<ChangedFile>) {
    let count = have.ones();
    let wanted = wanted_of(parts);
    let of = |pieces: &Bitfield| payload_of(&parts.extents, &parts.layout, pieces);
    ends.status.change(|status| {
        status.have = have.as_bytes().to_vec();
        status.pieces_verified = count;
        status.pieces_wanted = (wanted.intersection(have).ones(), wanted.ones());
        status.wanted_bytes = of(&wanted);
        status.done_bytes = of(&wanted.intersection(have));
        status.missing_bytes = of(&Bitfield::all(parts.layout.piece_count()).minus(have));
        status.checked_bytes = (0, 0);
        status.disk_trouble = None;
    });
    tell_found(ends, FoundPieces { count, changed, ..FoundPieces::default() });
}
