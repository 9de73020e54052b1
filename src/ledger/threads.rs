//! Threads of the ledger's own: what it does with its device waits behind no other device. One
//! writes, one reads, each does one thing after the other; both end with whoever feeds them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, oneshot};

/// Reads that wait for the one before; whoever wants more waits for room.
const READS_LEN: usize = 16;

/// Work that may wait for the device.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Where such work is done: a seam, so that in tests virtual time stands still meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Threads {
    writes: mpsc::Sender<Job>,
    reads: mpsc::Sender<Job>,
}

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        Self::with(|name, mut jobs| {
            let work = move || {
                while let Some(job) = jobs.blocking_recv() {
                    // It is told by the runtime, and whoever waits for it finds no answer.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
        })
    }

    /// Those that `start` makes, which do what they are given in that order.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn with(
        start: impl Fn(&'static str, mpsc::Receiver<Job>) -> io::Result<()>,
    ) -> io::Result<Self> {
        // There is one commit at a time.
        let (writes, written) = mpsc::channel(1);
        let (reads, read) = mpsc::channel(READS_LEN);
        start("ledger-write", written)?;
        start("ledger-read", read)?;
        Ok(Self { writes, reads })
    }

    /// Has this done at once. Never waits.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, ended) = oneshot::channel();
        // Whoever takes the answer gives the next one only then: there is room. Without a thread
        // there is no answer.
        let _ = self.writes.try_send(Box::new(move || drop(done.send(work()))));
        ended
    }

    /// A place for something that is done when those before are; none without a thread. May be
    /// dropped.
    pub async fn place_to_read(&self) -> Option<OwnedPermit<Job>> {
        self.reads.clone().reserve_owned().await.ok()
    }
}
