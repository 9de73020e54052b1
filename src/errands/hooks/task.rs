//! Reads what happens, and has hooks told: which jobs run when is decided in `queue`. Jobs of one
//! torrent may overtake each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::facts::{Facts, moment};
use super::program::{self, End, Ran};
use super::queue::{Job, Queue};
use super::webhook::{self, Failure};
use crate::api::{Answer, Api, Happened, Heads, HookStanding, Key, Mark, Request, Torrent};
use crate::errands::plan::{Act, Hook, Moment};
use crate::errands::standing::of_hook;
use crate::net::egress::Egress;

/// How hooks are run.
#[derive(Clone, Debug)]
pub struct HooksConfig {
    /// Who tells what happens.
    pub api: Api,
    /// By which servers are told.
    pub egress: Egress,
    /// How long a program, or a server, may take.
    pub limit: Duration,
}

/// Has hooks told of what happens from now on, until nobody can change them any more: what runs
/// then is ended.
pub async fn run(
    config: HooksConfig,
    mut hooks: watch::Receiver<Vec<Hook>>,
    standing: watch::Sender<Vec<HookStanding>>,
) {
    let mut heads = config.api.heads();
    let mut task = Task {
        config,
        hooks: Vec::new(),
        standing,
        queue: Queue::new(),
        running: JoinSet::new(),
        whose: HashMap::new(),
        since: None,
        known: HashMap::new(),
        run: rand::random(),
        told: 0,
    };
    let first = hooks.borrow_and_update().clone();
    task.on_hooks(first).await;
    loop {
        task.begin_what_may();
        let longest = Instant::now() + Duration::from_secs(3600);
        let timer = sleep_until(task.queue.next_timeout().unwrap_or(longest).into());
        tokio::select! {
            changed = hooks.changed() => {
                if changed.is_err() {
                    return task.running.shutdown().await;
                }
                let hooks = hooks.borrow_and_update().clone();
                task.on_hooks(hooks).await;
            }
            changed = heads.changed() => {
                if changed.is_err() {
                    return task.running.shutdown().await;
                }
                let now = *heads.borrow_and_update();
                task.on_heads(now).await;
            }
            Some(done) = task.running.join_next_with_id() => match done {
                Ok((id, (job, outcome))) => {
                    task.whose.remove(&id);
                    task.on_outcome(job, outcome);
                }
                // A panic, which the runtime tells: its place is free all the same.
                Err(lost) => {
                    if let Some(hook) = task.whose.remove(&lost.id()) {
                        task.queue.on_done(&hook);
                    }
                }
            },
            () = timer => {}
        }
    }
}

/// What a hook is to be told.
struct Work {
    facts: Facts,
    /// The same each time it is tried.
    delivery: String,
}

/// What a server is told.
#[derive(Serialize)]
struct Body<'a> {
    delivery: &'a str,
    #[serde(flatten)]
    facts: &'a Facts,
}

/// Why a hook was not told; in vain, or for now.
type Outcome = Result<(), Failure>;

struct Task {
    config: HooksConfig,
    hooks: Vec<Arc<Hook>>,
    standing: watch::Sender<Vec<HookStanding>>,
    queue: Queue<Arc<Hook>, Work>,
    running: JoinSet<(Job<Arc<Hook>, Work>, Outcome)>,
    /// Whose jobs those are.
    whose: HashMap<Id, Arc<Hook>>,
    /// Where events were read to; none as long as there are no hooks.
    since: Option<Mark>,
    /// How torrents were listed last, while a hook wants to hear of those that are gone.
    known: HashMap<u32, Torrent>,
    /// Another one each run, so that no delivery is called as one of an earlier run.
    run: u64,
    told: u64,
}

impl Task {
    async fn on_hooks(&mut self, hooks: Vec<Hook>) {
        let before = self.standing.borrow().clone();
        let old = std::mem::take(&mut self.hooks);
        self.hooks = hooks.into_iter().map(Arc::new).collect();
        let stand = |hook: &Arc<Hook>| {
            let at = old.iter().position(|old| old == hook);
            let known = at.and_then(|at| before.get(at)).cloned();
            known.unwrap_or_else(|| of_hook(hook))
        };
        self.standing.send_replace(self.hooks.iter().map(stand).collect());
        if self.hooks.is_empty() {
            self.since = None;
        } else if self.since.is_none()
            && let Ok(Answer::Events(events)) = self.config.api.answer(Request::Events(None)).await
        {
            self.since = Some(events.cursor);
        }
        self.known.clear();
        let wants_removed = self.hooks.iter().any(|hook| hook.on.contains(&Moment::Removed));
        if wants_removed
            && let Ok(Answer::List(list)) = self.config.api.answer(Request::List(None)).await
        {
            self.known = list.torrents.into_iter().map(|it| (it.id, it)).collect();
        }
    }

    async fn on_heads(&mut self, heads: Heads) {
        let Some(mut since) = self.since else { return };
        while since.0 != heads.events {
            let Ok(Answer::Events(events)) =
                self.config.api.answer(Request::Events(Some(since))).await
            else {
                return;
            };
            if events.has_gap {
                warn!(missed = events.missed, "hooks miss events: too many came at once");
            }
            let is_all = events.cursor == since;
            since = events.cursor;
            self.since = Some(since);
            for happened in &events.events {
                self.on_happened(happened).await;
            }
            if is_all {
                return;
            }
        }
    }

    async fn on_happened(&mut self, happened: &Happened) {
        let Some(moment) = moment(&happened.what) else { return };
        let keeps = self.hooks.iter().any(|hook| hook.on.contains(&Moment::Removed));
        let is_heard = self.hooks.iter().any(|hook| hook.on.contains(&moment));
        let torrent = match moment {
            Moment::Removed => self.known.remove(&happened.id),
            _ if is_heard || keeps => self.show(happened.id).await,
            _ => return,
        };
        if let Some(torrent) = torrent.as_ref().filter(|_| keeps && moment != Moment::Removed) {
            self.known.insert(happened.id, torrent.clone());
        }
        let facts = Facts::new(moment, happened, torrent.as_ref());
        for at in 0..self.hooks.len() {
            let Some(hook) = self.hooks.get(at).filter(|hook| hook.hears(moment, &facts.labels))
            else {
                continue;
            };
            self.told += 1;
            let delivery = format!("{:016x}-{}", self.run, self.told);
            let work = Work { facts: facts.clone(), delivery };
            if !self.queue.push(hook.clone(), work) {
                let event = moment.name();
                warn!(hook = ?hook.what(), event, torrent = happened.id, "dropped: too many wait");
                self.stand(at, |it| it.dropped += 1);
            }
        }
    }

    async fn show(&self, id: u32) -> Option<Torrent> {
        match self.config.api.answer(Request::Show(Key::Id(id))).await {
            Ok(Answer::Torrent(details)) => Some(details.torrent),
            _ => None,
        }
    }

    fn begin_what_may(&mut self) {
        while let Some(job) = self.queue.next(Instant::now()) {
            // One that is not wanted any more has nothing told.
            if !self.hooks.contains(&job.hook) {
                self.queue.on_done(&job.hook);
                continue;
            }
            let HooksConfig { egress, limit, .. } = self.config.clone();
            let hook = job.hook.clone();
            let running = self.running.spawn(async move {
                let outcome = tell(&job.hook, &job.what, &egress, limit).await;
                (job, outcome)
            });
            self.whose.insert(running.id(), hook);
        }
        let count = |hook| (self.queue.running(hook) as u64, self.queue.waiting(hook) as u64);
        let counts: Vec<_> = self.hooks.iter().map(count).collect();
        self.standing.send_if_modified(|all| {
            let is_new = all.iter().zip(&counts).any(|(it, now)| (it.running, it.waiting) != *now);
            let each = all.iter_mut().zip(&counts);
            each.for_each(|(it, now)| (it.running, it.waiting) = *now);
            is_new
        });
    }

    fn on_outcome(&mut self, job: Job<Arc<Hook>, Work>, outcome: Outcome) {
        let at = self.hooks.iter().position(|hook| *hook == job.hook);
        let (hook, event) = (job.hook.what(), job.what.facts.event.name());
        let torrent = job.what.facts.id;
        match outcome {
            Ok(()) => {
                self.queue.on_done(&job.hook);
                self.stand_of(at, |it| it.done += 1);
            }
            Err(Failure { why, comes_again: true, after }) => {
                let comes_again = self.queue.on_failed(job, after, Instant::now());
                warn!(?hook, event, torrent, why = ?why, comes_again, "the hook failed");
                self.stand_of(at, |it| {
                    it.failed += u64::from(!comes_again);
                    it.trouble = Some(why);
                });
            }
            Err(Failure { why, .. }) => {
                self.queue.on_done(&job.hook);
                warn!(?hook, event, torrent, why = ?why, "the hook failed");
                self.stand_of(at, |it| {
                    it.failed += 1;
                    it.trouble = Some(why);
                });
            }
        }
    }

    fn stand(&self, at: usize, change: impl FnOnce(&mut HookStanding)) {
        self.standing.send_modify(|all| {
            if let Some(it) = all.get_mut(at) {
                change(it);
            }
        });
    }

    /// Of a hook that may be gone.
    fn stand_of(&self, at: Option<usize>, change: impl FnOnce(&mut HookStanding)) {
        if let Some(at) = at {
            self.stand(at, change);
        }
    }
}

/// Tells a hook once.
async fn tell(hook: &Hook, work: &Work, egress: &Egress, limit: Duration) -> Outcome {
    let for_good = |why: String| Err(Failure { why, comes_again: false, after: None });
    match &hook.act {
        Act::Post { url, secret } => {
            let body = Body { delivery: &work.delivery, facts: &work.facts };
            let Ok(body) = serde_json::to_vec(&body) else {
                return for_good("it cannot be written as JSON".to_owned());
            };
            webhook::post(egress, url, secret.as_deref(), &body, limit).await
        }
        Act::Run(words) => {
            let ran = program::run(words, work.facts.variables(), limit).await;
            let Ran { end, output, said_more } = match ran {
                Ok(ran) => ran,
                Err(error) => return for_good(format!("it cannot be run: {error}")),
            };
            let (hook, event) = (hook.what(), work.facts.event.name());
            let torrent = work.facts.id;
            for line in String::from_utf8_lossy(&output).lines() {
                info!(?hook, event, torrent, said = ?line);
            }
            if said_more {
                info!(?hook, event, torrent, "it said more, which is not kept");
            }
            match end {
                End::Well => Ok(()),
                End::Code(code) => for_good(format!("it ended with code {code}")),
                End::Signal(signal) => for_good(format!("signal {signal} ended it")),
                End::TooLong => {
                    for_good(format!("it took longer than {} s and was ended", limit.as_secs_f32()))
                }
            }
        }
    }
}
