//! Who has all of it done: one owner of the tasks, which are begun again when the plan changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::feeds::{FeedConfig, follow as follow_feed, may_be_asked, unix_now};
use super::hooks::{self, HooksConfig};
use super::lasting::lasting;
use super::plan::{Feed, Hook, Plan, Watch};
use super::standing::{of_feed, of_watch};
use super::watch::{Pace, WatchConfig, watch as watch_folder};
use crate::api::{Api, Chore, Errands as Standing, FeedStanding, HookStanding, WatchStanding};
use crate::net::egress::Egress;

/// Feeds that are asked, read and added from at once: each may hold some 30 MiB meanwhile.
const FEEDS_AT_ONCE: usize = 8;
/// At the end hooks get this long to end the programs that they run.
const HOOKS_END: Duration = Duration::from_secs(2);

/// How errands are run.
#[derive(Clone, Debug)]
pub struct ErrandsConfig {
    /// Who is asked to add.
    pub api: Api,
    /// Directory for what is kept of them, made when it is needed. Nobody else writes there.
    pub home: PathBuf,
    /// By which servers are asked and told.
    pub egress: Egress,
    /// How long files of watched folders are waited for.
    pub pace: Pace,
    /// How long a hook may take.
    pub hook_limit: Duration,
}

impl ErrandsConfig {
    /// As long as hooks may take, usually.
    pub const HOOK_LIMIT: Duration = Duration::from_secs(60);
}

/// A handle to the owner; cheap to clone.
#[derive(Clone, Debug)]
pub struct Errands {
    orders: mpsc::Sender<Order>,
    seats: watch::Receiver<Seats>,
    /// How often somebody wanted all feeds asked.
    looks: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
enum Order {
    Follow(Plan, oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// Where each task tells how it stands.
#[derive(Clone, Debug, Default)]
struct Seats {
    watches: Vec<watch::Receiver<WatchStanding>>,
    hooks: Option<watch::Receiver<Vec<HookStanding>>>,
    feeds: Vec<watch::Receiver<FeedStanding>>,
}

impl Errands {
    /// Begins with all of the plan. They end with the last handle.
    pub fn start(config: ErrandsConfig, plan: Plan) -> Self {
        // Whoever orders waits until it is done.
        let (orders, ordered) = mpsc::channel(1);
        let (told, seats) = watch::channel(Seats::default());
        let looks = Arc::new(watch::Sender::new(0));
        let wanted = looks.clone();
        tokio::spawn(async move {
            Owner::new(config, told, wanted).run(plan, ordered).await;
        });
        Self { orders, seats, looks }
    }

    /// Goes on with another plan: what is in both goes on untouched, and hooks that run end as they
    /// would have.
    pub async fn follow(&self, plan: Plan) {
        self.order(|done| Order::Follow(plan, done)).await;
    }

    /// Ends all of it: nothing is done any more, and no program of a hook runs.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, is_done) = oneshot::channel();
        // An owner that has ended does nothing any more.
        if self.orders.send(order(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// Has that done, and says what comes of it, for people.
    pub fn chore(&self, Chore::Look {}: Chore) -> String {
        let now = unix_now();
        let feeds = self.standing().feeds;
        let asked = feeds.iter().filter(|feed| may_be_asked(feed.asked_at, now)).count();
        self.looks.send_modify(|looks| *looks += 1);
        match (asked, feeds.len()) {
            (_, 0) => "no feed is followed".to_owned(),
            (0, _) => "all feeds were asked less than a minute ago".to_owned(),
            (1, _) => "1 feed is asked now".to_owned(),
            (count, _) => format!("{count} feeds are asked now"),
        }
    }

    /// How all of it stands.
    pub fn standing(&self) -> Standing {
        let seats = self.seats.borrow();
        let hooks = seats.hooks.as_ref().map(|seat| seat.borrow().clone());
        Standing {
            watches: seats.watches.iter().map(|seat| seat.borrow().clone()).collect(),
            hooks: hooks.unwrap_or_default(),
            feeds: seats.feeds.iter().map(|seat| seat.borrow().clone()).collect(),
        }
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
    feeds: Vec<Running<Feed, FeedStanding>>,
    /// The hooks as they are wanted, and who has them told.
    hooks: (watch::Sender<Vec<Hook>>, Running<(), Vec<HookStanding>>),
    /// Who asks, of all feeds.
    turns: Arc<Semaphore>,
    told: watch::Sender<Seats>,
    looks: Arc<watch::Sender<u64>>,
}

impl Owner {
    fn new(
        config: ErrandsConfig,
        told: watch::Sender<Seats>,
        looks: Arc<watch::Sender<u64>>,
    ) -> Self {
        let ErrandsConfig { api, egress, hook_limit: limit, .. } = config.clone();
        let (wanted, hooks) = watch::channel(Vec::new());
        let (standing, seat) = watch::channel(Vec::new());
        let begin = move || {
            let (api, egress) = (api.clone(), egress.clone());
            hooks::run(HooksConfig { api, egress, limit }, hooks.clone(), standing.clone())
        };
        let task = tokio::spawn(lasting("hooks".to_owned(), begin));
        let hooks = (wanted, Running { what: (), task, seat });
        let turns = Arc::new(Semaphore::new(FEEDS_AT_ONCE));
        Self { config, watches: Vec::new(), feeds: Vec::new(), hooks, turns, told, looks }
    }

    async fn run(mut self, plan: Plan, mut ordered: mpsc::Receiver<Order>) {
        self.follow(plan).await;
        let done = loop {
            match ordered.recv().await {
                Some(Order::Follow(plan, done)) => {
                    self.follow(plan).await;
                    let _ = done.send(());
                }
                Some(Order::Stop(done)) => break Some(done),
                None => break None,
            }
        };
        self.follow(Plan::default()).await;
        let (wanted, running) = self.hooks;
        // It ends by itself then, with all that runs, unless it rests behind a fault.
        drop(wanted);
        let mut task = running.task;
        if timeout(HOOKS_END, &mut task).await.is_err() {
            task.abort();
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    async fn follow(&mut self, plan: Plan) {
        let config = self.config.clone();
        let begin = |watch| begin_watch(&config, watch);
        self.watches = renew(std::mem::take(&mut self.watches), plan.watches, begin).await;
        let begin = |feed| begin_feed(&config, self.turns.clone(), self.looks.subscribe(), feed);
        self.feeds = renew(std::mem::take(&mut self.feeds), plan.feeds, begin).await;
        let (wanted, running) = &self.hooks;
        wanted.send_if_modified(|hooks| std::mem::replace(hooks, plan.hooks.clone()) != plan.hooks);
        let watches = self.watches.iter().map(|it| it.seat.clone()).collect();
        let feeds = self.feeds.iter().map(|it| it.seat.clone()).collect();
        self.told.send_replace(Seats { watches, hooks: Some(running.seat.clone()), feeds });
    }
}

/// What is wanted now: those that run go on, the others of before are ended first, so that no two
/// are at one thing. One that has ended is begun again.
async fn renew<T: PartialEq, S>(
    mut before: Vec<Running<T, S>>,
    wanted: Vec<T>,
    begin: impl Fn(T) -> Running<T, S>,
) -> Vec<Running<T, S>> {
    let mut all = Vec::new();
    for what in wanted {
        match before.iter().position(|it| it.what == what && !it.task.is_finished()) {
            Some(at) => all.push(Ok(before.swap_remove(at))),
            None => all.push(Err(what)),
        }
    }
    for running in before {
        running.end().await;
    }
    all.into_iter().map(|it| it.unwrap_or_else(&begin)).collect()
}

fn begin_watch(config: &ErrandsConfig, watch: Watch) -> Running<Watch, WatchStanding> {
    let (standing, seat) = watch::channel(of_watch(&watch));
    let ErrandsConfig { api, home, pace, .. } = config.clone();
    let config = WatchConfig { watch: watch.clone(), api, home, pace };
    let called = watch.dir.to_string_lossy().into_owned();
    let begin = move || watch_folder(config.clone(), standing.clone());
    Running { what: watch, task: tokio::spawn(lasting(called, begin)), seat }
}

fn begin_feed(
    config: &ErrandsConfig,
    turns: Arc<Semaphore>,
    looks: watch::Receiver<u64>,
    feed: Feed,
) -> Running<Feed, FeedStanding> {
    let (standing, seat) = watch::channel(of_feed(&feed));
    let ErrandsConfig { api, home, egress, .. } = config.clone();
    let config = FeedConfig { feed: feed.clone(), api, egress, home, turns, looks };
    let called = feed.called();
    let begin = move || follow_feed(config.clone(), standing.clone());
    Running { what: feed, task: tokio::spawn(lasting(called, begin)), seat }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(what: u8, ends: bool) -> Running<u8, ()> {
        let (_, seat) = watch::channel(());
        let task = tokio::spawn(async move {
            if !ends {
                std::future::pending::<()>().await;
            }
        });
        Running { what, task, seat }
    }

    #[tokio::test]
    async fn what_runs_goes_on_and_what_has_ended_by_a_fault_begins_again() {
        let before = vec![running(1, false), running(2, true), running(3, false)];
        while !before[1].task.is_finished() {
            tokio::task::yield_now().await;
        }
        let begun = std::cell::RefCell::new(Vec::new());
        let all = renew(before, vec![2, 1, 4], |what| {
            begun.borrow_mut().push(what);
            running(what, false)
        })
        .await;
        assert_eq!(all.iter().map(|it| it.what).collect::<Vec<_>>(), [2, 1, 4]);
        assert_eq!(begun.into_inner(), [2, 4]);
        assert!(all.iter().all(|it| !it.task.is_finished()));
    }
}
