//! The hand that commits: at once for who waits, for all of them together; a second later for
//! whoever does not. Only threads of its own touch the device, and one of them writes; while it
//! does, what is said is gathered. After a failure the changes stay, and it is tried again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::base::ids::TorrentId;

use super::pace::Pace;
use super::threads::Threads;
use super::{Error, Ledger, Located, Ran, SessionSpec, Spec, Tally};

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

    /// What it means, before why.
    pub fn meaning(&self, words: &str) -> Self {
        Self(format!("{words}: {self}").into())
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
    Add { spec: Box<Spec>, torrent: Option<Arc<[u8]>>, before: Tally, waiting: Waiting },
    Used(TorrentId),
    Put(Box<Spec>),
    PutSession(SessionSpec),
    Remove { id: TorrentId, waiting: Waiting },
    Erase { spec: Box<Spec>, waiting: Waiting },
    Erased(TorrentId),
    Flush { waiting: Waiting },
    Tally { id: TorrentId, tally: Tally },
    Read { id: TorrentId, reading: Reading },
    Stop { waiting: Waiting },
}

impl Keeping {
    /// Keeps it from now on. The numbers of torrents that are added go on from
    /// [`Ledger::next_id`].
    ///
    /// # Errors
    /// `Io` when the system gives no thread.
    pub fn start(ledger: Ledger) -> Result<Self, Error> {
        match Threads::start() {
            Ok(threads) => Ok(Self::over(ledger, threads)),
            Err(source) => {
                Err(Error::Io { operation: "start threads for", path: ledger.dir, source })
            }
        }
    }

    /// The same, with these threads.
    pub(super) fn over(ledger: Ledger, threads: Threads) -> Self {
        let (orders, ordered) = mpsc::channel(ORDERS_LEN);
        let (tell, trouble) = watch::channel(None);
        let last_word = tell.clone();
        let hand = Hand {
            ledger,
            threads,
            pace: Pace::default(),
            waiting: Vec::new(),
            refused: BTreeSet::new(),
            under_way: None,
            tell,
        };
        let hand = tokio::spawn(hand.run(ordered));
        tokio::spawn(async move {
            if hand.await.is_err_and(|error| error.is_panic()) {
                last_word.send_replace(Some("nothing is kept any more: restart it".into()));
            }
        });
        Self { orders, trouble }
    }

    /// Adds a torrent, with its metadata if that is known. Returns when it is gathered; the answer
    /// comes when it is on the device. Where that fails it is tried again, but not there any more
    /// when this has ended well.
    pub async fn add(&self, spec: Spec, torrent: Option<Arc<[u8]>>) -> Answer<()> {
        self.add_with(spec, torrent, Tally::default()).await
    }

    /// The same, of one that has done something before.
    pub async fn add_with(
        &self,
        spec: Spec,
        torrent: Option<Arc<[u8]>>,
        before: Tally,
    ) -> Answer<()> {
        let spec = Box::new(spec);
        self.ask(|waiting| Order::Add { spec, torrent, before, waiting }).await
    }

    /// A number was given to a torrent that may never be added: no other one gets it, also in later
    /// runs.
    pub async fn used(&self, id: TorrentId) {
        // Whoever stopped it gives no numbers any more.
        let _ = self.orders.send(Order::Used(id)).await;
    }

    /// Keeps what is wanted of a torrent now. Nobody hears when, unless by [`flush`](Self::flush).
    pub async fn put(&self, spec: Spec) {
        // Whoever stopped it knows that nothing is kept any more.
        let _ = self.orders.send(Order::Put(Box::new(spec))).await;
    }

    /// Keeps what is wanted of all torrents together now. Nobody hears when, as above.
    pub async fn put_session(&self, session: SessionSpec) {
        // As above.
        let _ = self.orders.send(Order::PutSession(session)).await;
    }

    /// Removes a torrent. Returns when that is gathered; the answer comes when it is on the device.
    pub async fn remove(&self, id: TorrentId) -> Answer<()> {
        self.ask(|waiting| Order::Remove { id, waiting }).await
    }

    /// The same of one whose files are to go as well: they are told at the next start, unless they
    /// are [`erased`](Self::erased) before.
    pub async fn erase(&self, spec: Spec) -> Answer<()> {
        self.ask(|waiting| Order::Erase { spec: Box::new(spec), waiting }).await
    }

    /// The files of a torrent that was removed are gone, or are to stay. Nobody hears when.
    pub async fn erased(&self, id: TorrentId) {
        // Where that is not heard any more, the next start has nothing to do.
        let _ = self.orders.send(Order::Erased(id)).await;
    }

    /// Writes all that was said so far, but counts; the answer comes when it is on the device.
    pub async fn flush(&self) -> Answer<()> {
        self.ask(|waiting| Order::Flush { waiting }).await
    }

    /// Keeps what a torrent has done, within a minute.
    pub async fn tally(&self, id: TorrentId, tally: Tally) {
        // As there.
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

/// Whoever waits.
struct Waiter {
    /// The ticket of the last change of theirs.
    ticket: u64,
    /// A torrent that was not known before, if that is the change.
    added: Option<TorrentId>,
    waiting: Waiting,
}

struct Hand {
    ledger: Ledger,
    threads: Threads,
    pace: Pace,
    waiting: Vec<Waiter>,
    /// Torrents whose addition could not be written when somebody waited for it, who was told so.
    refused: BTreeSet<TorrentId>,
    under_way: Option<UnderWay>,
    tell: watch::Sender<Option<Arc<str>>>,
}

/// A commit that a thread runs.
struct UnderWay {
    running: oneshot::Receiver<Ran>,
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
        for Waiter { waiting, .. } in waiting {
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
            Order::Add { spec, torrent, before, waiting } => {
                self.add(&spec, torrent, before, waiting);
            }
            Order::Used(id) => {
                self.ledger.used(id);
                // Nobody waits, but somebody may have seen it.
                self.pace.on_change(true, now);
            }
            Order::Put(spec) => match self.ledger.put(&spec) {
                Ok(()) => self.pace.on_change(false, now),
                Err(error) => tracing::warn!(%error, "a change is not kept"),
            },
            Order::PutSession(session) => {
                self.ledger.put_session(session);
                self.pace.on_change(false, now);
            }
            Order::Remove { id, waiting } => {
                self.ledger.remove(id);
                self.gathered(None, waiting);
            }
            Order::Erase { spec, waiting } => match self.ledger.erase(&spec) {
                Ok(()) => self.gathered(None, waiting),
                Err(error) => drop(waiting.send(Err(error.into()))),
            },
            Order::Erased(id) => {
                self.ledger.erased(id);
                self.pace.on_change(false, now);
            }
            Order::Tally { id, tally } => {
                self.ledger.tally(id, tally);
                self.pace.on_count(now);
            }
            Order::Read { id, reading } => match self.ledger.locate(id) {
                None => drop(reading.send(Ok(None))),
                Some(located) => {
                    let threads = self.threads.clone();
                    // There are as many as callers that wait for one.
                    tokio::spawn(read(threads, located, reading));
                }
            },
            Order::Flush { waiting } | Order::Stop { waiting } => self.gathered(None, waiting),
        }
    }

    fn add(&mut self, spec: &Spec, torrent: Option<Arc<[u8]>>, before: Tally, waiting: Waiting) {
        let id = spec.id;
        let is_new = !self.ledger.knows(id) || self.refused.contains(&id);
        match self.ledger.add(spec, torrent) {
            Ok(()) => {
                if before != Tally::default() {
                    self.ledger.tally(id, before);
                    self.pace.on_count(Instant::now().into_std());
                }
                self.gathered(is_new.then_some(id), waiting);
            }
            Err(error) => drop(waiting.send(Err(error.into()))),
        }
    }

    /// A change was gathered, perhaps a torrent added, and this one waits for it.
    fn gathered(&mut self, added: Option<TorrentId>, waiting: Waiting) {
        self.pace.on_change(true, Instant::now().into_std());
        self.waiting.push(Waiter { ticket: self.ledger.ticket(), added, waiting });
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
            let running = self.threads.write(|| commit.run());
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
        let is_due = |it: &mut Waiter| how.is_err() || it.ticket <= committed;
        for Waiter { added, waiting, .. } in self.waiting.extract_if(.., is_due) {
            if let Some(id) = added {
                match how {
                    Ok(()) => self.refused.remove(&id),
                    Err(_) => self.refused.insert(id),
                };
            }
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
        // Whoever was told that it is not kept may have had no time to remove it.
        for id in std::mem::take(&mut self.refused) {
            self.ledger.remove(id);
        }
        while let Some(commit) = self.ledger.begin(true) {
            let running = self.threads.write(|| commit.run());
            self.under_way = Some(UnderWay { running, with_tallies: true, is_shortening: false });
            let (ran, ..) = ran(&mut self.under_way).await;
            self.ledger.end(ran)?;
        }
        Ok(())
    }
}

/// Has metadata read when those before are, unless whoever wants it goes meanwhile: a device that
/// hangs holds nobody who does not wait for it.
async fn read(threads: Threads, located: Located, mut reading: Reading) {
    let place = tokio::select! {
        place = threads.place_to_read() => place,
        () = reading.closed() => return,
    };
    let Some(place) = place else { return };
    place.send(Box::new(move || {
        if !reading.is_closed() {
            // They may go meanwhile.
            let _ = reading.send(located.read().map(Some).map_err(Into::into));
        }
    }));
}

/// Waits for the commit that is on its way; for ever when none is.
async fn ran(under_way: &mut Option<UnderWay>) -> (Ran, bool, bool) {
    let Some(UnderWay { running, with_tallies, is_shortening }) = under_way else {
        return std::future::pending().await;
    };
    let (with_tallies, is_shortening) = (*with_tallies, *is_shortening);
    // The thread has told of its panic.
    let Ok(ran) = running.await else { panic!("a commit has no end") };
    *under_way = None;
    (ran, with_tallies, is_shortening)
}
