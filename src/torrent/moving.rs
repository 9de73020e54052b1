//! Moving a torrent's files while nothing of it runs: the blocking work goes on beside, its
//! progress is shown, and an end stops it. What moving means is the disk's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, interval, timeout};

use crate::disk::{
    DiskEvent, Error, Home, MoveProgress, Relocation, StoreConfig, lasting, plan_move, refuse_move,
};

use super::actor::Actor;
use super::command::{Command, MoveOrder, Moving};
use super::ends::Ends;
use super::handle::News;
use super::meanwhile::{STOP_MAX, blocking, meanwhile};
use super::parked;
use super::parts::store_files;
use super::status::State;
use super::wish::Wish;

/// Workers that still hold the files get this long to let go.
const LET_GO: Duration = Duration::from_secs(10);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);

impl Actor {
    /// Has an order looked at aside, and only then lets go of links and files: one that comes to
    /// nothing costs nothing.
    pub(super) fn consider_move(&self, order: MoveOrder) {
        let (moves, torrent, store) =
            (self.moves.0.clone(), self.torrent.clone(), self.jobs.store.clone());
        tokio::spawn(async move {
            let what = order.what.clone();
            let refused = blocking(move || refuse_move(&store, &store_files(&torrent), &what));
            match refused.await {
                // An ended torrent moves no more.
                Ok(()) => drop(moves.send(order).await),
                Err(error) => drop(order.answer.send(Err(error.to_string()))),
            }
        });
    }
}

/// What came of an order.
pub(super) enum Relocated {
    /// The files are below this directory now.
    To(PathBuf),
    /// They are where they were.
    Stays,
    /// The torrent is to end.
    Stopped,
}

/// Moves the files that `config` describes, when `closing` has ended: then nobody holds them.
/// Orders for the running torrent are kept in `early`, what sets something is taken over.
pub(super) async fn relocate(
    ends: &mut Ends,
    config: StoreConfig,
    order: MoveOrder,
    closing: Option<mpsc::Receiver<DiskEvent>>,
    wish: &mut Wish,
    early: &mut Vec<Command>,
) -> Relocated {
    ends.status.change(|status| parked::rest(status, State::Moving));
    let MoveOrder { what, answer } = order;
    let mut answer = Some(answer);
    let dir = match &what {
        Relocation::Dir(dir) => dir.clone(),
        _ => config.dir.clone(),
    };
    let progress = Arc::new(MoveProgress::default());
    if let Some(mut closing) = closing {
        let closed = async { while closing.recv().await.is_some() {} };
        // Whoever holds them all the same is named by what comes now.
        if meanwhile(ends, early, timeout(LET_GO, closed)).await.is_none() {
            return Relocated::Stopped;
        }
    }
    let (mut work, mut begun) = begin(config, what, progress.clone());
    let (mut copy_bytes, mut began) = (0, Instant::now());
    let mut tick = interval(SHOW_EVERY);
    let done = loop {
        tokio::select! {
            done = &mut work => break match done {
                Ok(done) => done,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            Ok(moving) = &mut begun, if !begun.is_terminated() => {
                (copy_bytes, began) = (moving.copy_bytes, Instant::now());
                ends.status.change(|status| status.moved_bytes = (0, copy_bytes));
                if copy_bytes > 0 && let Some(answer) = answer.take() {
                    // The one who asked may have gone.
                    let _ = answer.send(Ok(moving));
                }
            }
            _ = tick.tick() => ends.status.change(|status| {
                let done_bytes = progress.done_bytes();
                status.moved_bytes = (done_bytes, copy_bytes);
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                status.move_rate = done_bytes.saturating_mul(1000) / millis.max(1);
            }),
            // Nobody is let in: dropping it closes the connection.
            Some(_) = ends.incoming.recv() => {}
            command = ends.commands.recv() => match command {
                Some(Command::Stop(answer)) => {
                    progress.cancel();
                    // The next start finds the note of the move.
                    ends.end_after(timeout(STOP_MAX, work), answer).await;
                    return Relocated::Stopped;
                }
                Some(order) => {
                    let other = wish.take(&ends.status, order);
                    other.into_iter().for_each(|order| parked::keep(early, order));
                }
                None => {
                    progress.cancel();
                    return Relocated::Stopped;
                }
            },
        }
    };
    conclude(ends, answer, done, dir)
}

/// Says what came of it, to whoever still waits for an answer or else to all.
fn conclude(
    ends: &Ends,
    answer: Option<oneshot::Sender<Result<Moving, String>>>,
    done: Result<Home, Error>,
    dir: PathBuf,
) -> Relocated {
    match done {
        Ok(home) => {
            // Not another name of a directory that it once was moved away from.
            let dir = if lasting(&dir) == home.dir { dir } else { home.dir.clone() };
            let home = home.called(dir.clone());
            let shown = Arc::new(home.clone());
            ends.status.change(|status| status.home = Some(shown));
            let moving = Moving { home, copy_bytes: 0 };
            if let Some(answer) = answer {
                // Whoever gave the order may have gone.
                let _ = answer.send(Ok(moving));
            }
            Relocated::To(dir)
        }
        Err(error) => {
            let why = error.to_string();
            match answer {
                Some(answer) => drop(answer.send(Err(why))),
                // Nobody may be listening.
                None => ends.news.send(News::NotMoved(why)),
            }
            Relocated::Stays
        }
    }
}

/// Starts the work; what it is going to do is told when it was found possible.
fn begin(
    config: StoreConfig,
    what: Relocation,
    progress: Arc<MoveProgress>,
) -> (JoinHandle<Result<Home, Error>>, oneshot::Receiver<Moving>) {
    let (tell, told) = oneshot::channel();
    let work = spawn_blocking(move || {
        let planned = plan_move(config, &what)?;
        let home = planned.home().clone();
        // The one who waits may have been stopped.
        let _ = tell.send(Moving { home: home.clone(), copy_bytes: planned.copy_bytes() });
        planned.carry_out(&progress, &|step| tracing::debug!(step, "moving"))?;
        Ok(home)
    });
    (work, told)
}
