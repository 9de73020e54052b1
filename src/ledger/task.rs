//! The hand that commits: at once for who waits, for all of them together; a second later for
//! whoever does not. Only a thread that may wait touches the device, one at a time; while it does,
//! what is said is gathered. After a failure the changes stay, and it is tried again.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::base::ids::TorrentId;

use super::pace::Pace;
use super::{Error, Ledger, Ran, Spec, Tally};

/// Orders that wait while the hand gathers; it never waits for the device in between.
const ORDERS_LEN: usize = 256;

/// A ledger that is being kept; cheap to clone. It ends with its last handle, and what was said by
/// then is written once more.
#[derive(Clone, Debug)]
pub struct Keeping {
    orders: mpsc::Sender<Order>,
    trouble: watch::Receiver<Option<Arc<str>>>,
}

/// Why something is not kept, in one line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(Arc<str>);

impl NotKept {
    fn ended() -> Self {
        Self("the session has ended".into())
    }
}

impl From<Error> for NotKept {
    fn from(error: Error) -> Self {
        Self(error.to_string().into())
    }
}

/// An answer that comes from the device.
#[derive(Debug)]
pub struct Answer<T>(oneshot::Receiver<Result<T, NotKept>>);

impl<T> Answer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// What went wrong. A change that could not be written stays gathered all the same.
    pub async fn wait(self) -> Result<T, NotKept> {
        self.0.await.unwrap_or(Err(NotKept::ended()))
    }
}

/// Whoever waits for a change to be kept.
type Waiting = oneshot::Sender<Result<(), NotKept>>;
/// Whoever waits for metadata.
type Reading = oneshot::Sender<Result<Option<Arc<[u8]>>, NotKept>>;

#[derive(Debug)]
enum Order {
    Add { spec: Box<Spec>, torrent: Option<Arc<[u8]>>, waiting: Waiting },
    Put(Box<Spec>),
    Remove { id: TorrentId, waiting: Waiting },
    Tally { id: TorrentId, tally: Tally },
    Read { id: TorrentId, reading: Reading },
    Stop { waiting: Waiting },
}

impl Keeping {
    /// Keeps it from now on. The numbers of torrents that are added go on from
    /// [`Ledger::next_id`].
    pub fn start(ledger: Ledger) -> Self {
        let (orders, ordered) = mpsc::channel(ORDERS_LEN);
        let (tell, trouble) = watch::channel(None);
        let last_word = tell.clone();
        let hand =
            Hand { ledger, pace: Pace::default(), waiting: Vec::new(), under_way: None, tell };
        let hand = tokio::spawn(hand.run(ordered));
        tokio::spawn(async move {
            if hand.await.is_err_and(|error| error.is_panic()) {
                last_word.send_replace(Some("nothing is kept any more: restart it".into()));
            }
        });
        Self { orders, trouble }
    }

    /// Adds a torrent, with its metadata if that is known. Returns when it is gathered; the answer
    /// comes when it is on the device.
    pub async fn add(&self, spec: Spec, torrent: Option<Arc<[u8]>>) -> Answer<()> {
        let spec = Box::new(spec);
        self.ask(|waiting| Order::Add { spec, torrent, waiting }).await
    }

    /// Keeps what is wanted of a torrent now. Nobody hears when.
    pub async fn put(&self, spec: Spec) {
        // Whoever stopped it knows that nothing is kept any more.
        let _ = self.orders.send(Order::Put(Box::new(spec))).await;
    }

    /// Removes a torrent. Returns when that is gathered; the answer comes when it is on the device.
    pub async fn remove(&self, id: TorrentId) -> Answer<()> {
        self.ask(|waiting| Order::Remove { id, waiting }).await
    }

    /// Keeps what a torrent has done, within a minute.
    pub async fn tally(&self, id: TorrentId, tally: Tally) {
        // As above.
        let _ = self.orders.send(Order::Tally { id, tally }).await;
    }

    /// The metadata of a torrent, the bytes of a `.torrent`; the answer is none when it is not
    /// known.
    pub async fn metadata(&self, id: TorrentId) -> Answer<Option<Arc<[u8]>>> {
        self.ask(|reading| Order::Read { id, reading }).await
    }

    /// Why changes cannot be written, in one line, for as long as that is so.
    pub fn trouble(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.trouble.clone()
    }

    /// Writes all that was said, counts too, and ends it. On a device that hangs the answer does
    /// not come.
    pub async fn stop(&self) -> Answer<()> {
        self.ask(|waiting| Order::Stop { waiting }).await
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, NotKept>>) -> Order,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        // Without an answer the hand has ended, which is one.
        let _ = self.orders.send(order(answer)).await;
        Answer(answered)
    }
}

struct Hand {
    ledger: Ledger,
    pace: Pace,
    /// Whoever waits, with the ticket of the last change of theirs.
    waiting: Vec<(u64, Waiting)>,
    under_way: Option<UnderWay>,
    tell: watch::Sender<Option<Arc<str>>>,
}

/// A commit that a thread runs.
struct UnderWay {
    running: JoinHandle<Ran>,
    with_tallies: bool,
    /// It only makes files shorter: that may fail.
    is_shortening: bool,
}

impl Hand {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let stopped = loop {
            self.begin();
            let due = self.pace.due().filter(|_| self.under_way.is_none()).map(Instant::from_std);
            tokio::select! {
                order = orders.recv() => match order {
                    None => break None,
                    Some(Order::Stop { waiting }) => break Some(waiting),
                    Some(order) => self.on_order(order),
                },
                ran = ran(&mut self.under_way) => self.on_ran(ran),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        };
        // Whoever speaks from now on hears that it has ended.
        orders.close();
        while let Some(order) = orders.recv().await {
            self.on_order(order);
        }
        let last = self.end().await;
        // Whoever hears that it has ended may open it again.
        let Self { ledger, waiting, .. } = self;
        drop(ledger);
        for (_, waiting) in waiting {
            let _ = waiting.send(last.clone());
        }
        if let Some(waiting) = stopped {
            // Whether anybody heard it changes nothing.
            let _ = waiting.send(last);
        }
    }

    fn on_order(&mut self, order: Order) {
        let now = Instant::now().into_std();
        match order {
            Order::Add { spec, torrent, waiting } => match self.ledger.add(&spec, torrent) {
                Ok(()) => self.gathered(Some(waiting)),
                Err(error) => drop(waiting.send(Err(error.into()))),
            },
            Order::Put(spec) => match self.ledger.put(&spec) {
                Ok(()) => self.gathered(None),
                Err(error) => tracing::warn!(%error, "a change is not kept"),
            },
            Order::Remove { id, waiting } => {
                self.ledger.remove(id);
                self.gathered(Some(waiting));
            }
            Order::Tally { id, tally } => {
                self.ledger.tally(id, tally);
                self.pace.on_count(now);
            }
            Order::Read { id, reading } => match self.ledger.locate(id) {
                None => drop(reading.send(Ok(None))),
                Some(located) => {
                    let read = move || reading.send(located.read().map(Some).map_err(Into::into));
                    drop(tokio::task::spawn_blocking(read));
                }
            },
            Order::Stop { waiting } => self.gathered(Some(waiting)),
        }
    }

    /// A change was gathered, and this one waits for it.
    fn gathered(&mut self, waiting: Option<Waiting>) {
        self.pace.on_change(waiting.is_some(), Instant::now().into_std());
        self.waiting.extend(waiting.map(|waiting| (self.ledger.ticket(), waiting)));
    }

    /// Begins what is due.
    fn begin(&mut self) {
        let now = Instant::now().into_std();
        if self.under_way.is_some() {
            return;
        }
        let (mut with_tallies, mut commit) = (false, None);
        if self.pace.due().is_some_and(|due| due <= now) {
            with_tallies = self.pace.begin(now);
            commit = self.ledger.begin(with_tallies);
            if commit.is_none() {
                // What they speak of is on the device already.
                self.answer(&Ok(()));
            }
        }
        let is_shortening = commit.is_none();
        if let Some(commit) = commit.or_else(|| self.ledger.shorten()) {
            let running = tokio::task::spawn_blocking(|| commit.run());
            self.under_way = Some(UnderWay { running, with_tallies, is_shortening });
        }
    }

    fn on_ran(&mut self, (ran, with_tallies, is_shortening): (Ran, bool, bool)) {
        let now = Instant::now().into_std();
        match self.ledger.end(ran) {
            Ok(()) => {
                self.answer(&Ok(()));
                if is_shortening {
                    return;
                }
                self.pace.on_success();
                self.tell.send_if_modified(|trouble| trouble.take().is_some());
                // Files that were gone are made anew first.
                if self.ledger.has_changes() {
                    self.pace.on_change(!self.waiting.is_empty(), now);
                }
                if with_tallies && self.ledger.has_tallies() {
                    self.pace.on_count(now);
                }
            }
            Err(error) if is_shortening => {
                tracing::warn!(%error, "the ledger could not be made shorter");
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                tracing::warn!(%error, "changes are not kept yet");
                self.pace.on_failure(with_tallies, now);
                self.answer(&Err(NotKept(why.clone())));
                // Whoever watches hears of what is new.
                self.tell.send_if_modified(|trouble| {
                    let is_new = trouble.as_deref() != Some(&*why);
                    *trouble = Some(why);
                    is_new
                });
            }
        }
    }

    /// Answers those whose changes are on the device; all of them when they are not.
    fn answer(&mut self, how: &Result<(), NotKept>) {
        let committed = self.ledger.committed();
        let is_due = |ticket: u64| how.is_err() || ticket <= committed;
        for (_, waiting) in self.waiting.extract_if(.., |(ticket, _)| is_due(*ticket)) {
            // They may have gone.
            let _ = waiting.send(how.clone());
        }
    }

    /// Writes what is left.
    async fn end(&mut self) -> Result<(), NotKept> {
        while self.under_way.is_some() {
            let ran = ran(&mut self.under_way).await;
            self.on_ran(ran);
        }
        while let Some(commit) = self.ledger.begin(true) {
            let running = tokio::task::spawn_blocking(|| commit.run());
            self.under_way = Some(UnderWay { running, with_tallies: true, is_shortening: false });
            let (ran, ..) = ran(&mut self.under_way).await;
            self.ledger.end(ran)?;
        }
        Ok(())
    }
}

/// Waits for the commit that is on its way; for ever when none is.
async fn ran(under_way: &mut Option<UnderWay>) -> (Ran, bool, bool) {
    let Some(UnderWay { running, with_tallies, is_shortening }) = under_way else {
        return std::future::pending().await;
    };
    let (with_tallies, is_shortening) = (*with_tallies, *is_shortening);
    let ran = running.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    *under_way = None;
    (ran, with_tallies, is_shortening)
}
