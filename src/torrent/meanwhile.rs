//! Waiting for work that may wait for a disk, with an ear for orders: a torrent whose disk hangs
//! can still be told to end. What the work is does not matter here.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use crate::disk::Disk;

use super::command::Command;
use super::ends::Ends;
use super::parked;

/// How long an ending torrent waits for a disk: what hangs is left to itself.
pub(super) const STOP_MAX: Duration = Duration::from_secs(5);

/// Runs work that waits for the disk on a thread that may. A panic in it is our own and goes on
/// here. Dropped, it leaves the work to itself.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// The same for work that waits for the file system of this directory, once it has leave to.
pub(super) async fn at_disk<T: Send + 'static>(
    disk: &Disk,
    dir: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let leave = disk.leave(dir).await;
    let held = move || {
        // As long as the thread waits, whoever waits for it.
        let _leave = leave;
        work()
    };
    blocking(held).await
}

/// Waits for `work`. Orders that come meanwhile are kept in `early`. None when the torrent is to
/// end: whoever asked for that is answered when the work is done, or not done in time.
pub(super) async fn meanwhile<T>(
    ends: &mut Ends,
    early: &mut Vec<Command>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let command = tokio::select! {
            biased;
            done = &mut work => return Some(done),
            command = ends.commands.recv() => command,
        };
        match command {
            Some(Command::Stop(answer)) => {
                ends.end_after(timeout(STOP_MAX, work), answer).await;
                return None;
            }
            Some(order) => parked::keep(early, order),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::{mpsc, oneshot};

    use crate::torrent::bell::silent;
    use crate::torrent::board::Board;
    use crate::torrent::command::commands;
    use crate::torrent::handle::NewsSender;
    use crate::torrent::share::Share;
    use crate::torrent::status::Status;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_disk_that_hangs_can_be_told_to_end() {
        let (commands, orders) = commands(8);
        let board = Board::new(Status::default(), silent());
        let news = NewsSender::new(1);
        let (incoming, share) = (mpsc::channel(1).1, Share::default());
        let mut ends = Ends::new(orders, incoming, board, news, share);
        let mut early = Vec::new();
        assert_eq!(meanwhile(&mut ends, &mut early, async { 7 }).await, Some(7));

        // As long as this end is held, the disk hangs.
        let (thaw, frozen) = oneshot::channel::<()>();
        let (answer, answered) = oneshot::channel();
        commands.send(Command::Pause).await.unwrap();
        commands.send(Command::Stop(answer)).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(meanwhile(&mut ends, &mut early, frozen).await.is_none());
        assert_eq!(begun.elapsed(), STOP_MAX);
        assert!(answered.await.is_ok() && matches!(early[..], [Command::Pause]), "{early:?}");
        drop(thaw);
    }
}
