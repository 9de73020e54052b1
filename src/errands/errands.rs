//! Who has all of it done: one owner of the tasks, which are begun again when the plan changes.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::plan::{Plan, Watch};
use super::standing::{Standing, WatchStanding};
use super::watch::{Pace, WatchConfig, watch as watch_folder};
use crate::api::Api;

/// How errands are run.
#[derive(Clone, Debug)]
pub struct ErrandsConfig {
    /// Who is asked to add.
    pub api: Api,
    /// Directory for what is kept of them, made when it is needed. Nobody else writes there.
    pub home: PathBuf,
    /// How long files of watched folders are waited for.
    pub pace: Pace,
}

/// A handle to the owner; cheap to clone.
#[derive(Clone, Debug)]
pub struct Errands {
    orders: mpsc::Sender<Order>,
    seats: watch::Receiver<Seats>,
}

#[derive(Debug)]
enum Order {
    Follow(Plan, oneshot::Sender<()>),
}

/// Where each task tells how it stands.
#[derive(Clone, Debug, Default)]
struct Seats {
    watches: Vec<watch::Receiver<WatchStanding>>,
}

impl Errands {
    /// Begins with all of the plan. They end with the last handle, or with an empty plan.
    pub fn start(config: ErrandsConfig, plan: Plan) -> Self {
        // Whoever orders waits until it is done.
        let (orders, ordered) = mpsc::channel(1);
        let (told, seats) = watch::channel(Seats::default());
        tokio::spawn(async move {
            let mut owner = Owner { config, watches: Vec::new(), told };
            owner.run(plan, ordered).await;
        });
        Self { orders, seats }
    }

    /// Goes on with another plan: what is in both goes on untouched. An empty one ends all.
    pub async fn follow(&self, plan: Plan) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Follow(plan, done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// How all of it stands.
    pub fn standing(&self) -> Standing {
        let seats = self.seats.borrow();
        Standing { watches: seats.watches.iter().map(|seat| seat.borrow().clone()).collect() }
    }
}

/// A task, and what it does.
struct Running<T, S> {
    what: T,
    task: JoinHandle<()>,
    seat: watch::Receiver<S>,
}

impl<T, S> Running<T, S> {
    /// Ends it, and waits until it has.
    async fn end(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

struct Owner {
    config: ErrandsConfig,
    watches: Vec<Running<Watch, WatchStanding>>,
    told: watch::Sender<Seats>,
}

impl Owner {
    async fn run(&mut self, plan: Plan, mut ordered: mpsc::Receiver<Order>) {
        self.follow(plan).await;
        while let Some(Order::Follow(plan, done)) = ordered.recv().await {
            self.follow(plan).await;
            let _ = done.send(());
        }
        self.follow(Plan::default()).await;
    }

    async fn follow(&mut self, plan: Plan) {
        let mut before = std::mem::take(&mut self.watches);
        let mut begun = Vec::new();
        for watch in plan.watches {
            match before.iter().position(|it| it.what == watch) {
                Some(at) => begun.push(Ok(before.swap_remove(at))),
                None => begun.push(Err(watch)),
            }
        }
        // Two never watch one folder.
        for running in before {
            running.end().await;
        }
        let begun = begun.into_iter().map(|it| it.unwrap_or_else(|watch| self.watch(watch)));
        self.watches = begun.collect();
        let watches = self.watches.iter().map(|it| it.seat.clone()).collect();
        self.told.send_replace(Seats { watches });
    }

    fn watch(&self, watch: Watch) -> Running<Watch, WatchStanding> {
        let dir = watch.dir.to_string_lossy().into_owned();
        let (standing, seat) = watch::channel(WatchStanding { dir, ..WatchStanding::default() });
        let ErrandsConfig { api, home, pace } = self.config.clone();
        let config = WatchConfig { watch: watch.clone(), api, home, pace };
        Running { what: watch, task: tokio::spawn(watch_folder(config, standing)), seat }
    }
}
