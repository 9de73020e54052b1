//! Follows a feed: asks when it is due, reads what comes, and has added what fits. When it is asked
//! and what fits is decided elsewhere (`clock`, `judge`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::clock::Clock;
use super::episode::Episodes;
use super::fetch::{Failure, Fetched, Known, fetch};
use super::judge::{Judgement, judge};
use super::read::{self, Item};
use super::seen::{Seen, path_of};
use crate::api::{Added, Addition, Answer, Api, FeedStanding, Kind, Refusal, Request};
use crate::base::addr::Teller;
use crate::errands::plan::Feed;
use crate::net::egress::Egress;
use crate::web;

/// How a feed is followed.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Which, and what of it is wanted.
    pub feed: Feed,
    /// Who adds.
    pub api: Api,
    /// By which it is asked.
    pub egress: Egress,
    /// Directory of what was seen.
    pub home: PathBuf,
    /// Who asks, of all feeds.
    pub turns: Arc<Semaphore>,
    /// Changes when somebody wants it asked now.
    pub looks: watch::Receiver<u64>,
}

/// Follows it until it is aborted, and tells how it stands.
pub async fn follow(config: FeedConfig, standing: watch::Sender<FeedStanding>) {
    let path = path_of(&config.home, &config.feed.url);
    let from = path.clone();
    let mut seen = spawn_blocking(move || Seen::at(&from)).await.unwrap_or_default();
    let rules = format!("{:?}", config.feed);
    let mut asked = seen.asked_at.map(|at| Duration::from_secs(unix_now().saturating_sub(at)));
    if seen.rules != rules {
        // What did not fit may fit now.
        asked = None;
        (seen.rules, seen.etag, seen.modified, seen.asked_at) = (rules, None, None, None);
        seen.moved = None;
    }
    let clock = Clock::new(config.feed.interval, asked, Instant::now());
    standing.send_modify(|it| (it.asked_at, it.seen) = (seen.asked_at, seen.count() as u64));
    let episodes = Episodes::new();
    Follower { config, standing, seen, clock, episodes, path }.run().await;
}

/// May one be asked out of turn that was asked then?
pub fn may_be_asked(asked_at: Option<u64>, now: u64) -> bool {
    asked_at.is_none_or(|at| now.saturating_sub(at) >= Feed::INTERVAL_MIN.as_secs())
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Waits until somebody wants it asked now.
async fn looked(looks: &mut watch::Receiver<u64>) {
    if looks.changed().await.is_err() {
        // Nobody can want it any more.
        std::future::pending().await
    }
}

/// A feed that changed.
struct New {
    items: Vec<Item>,
    known: Known,
    moved: Option<String>,
}

struct Follower {
    config: FeedConfig,
    standing: watch::Sender<FeedStanding>,
    seen: Seen,
    clock: Clock,
    episodes: Episodes,
    path: PathBuf,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let next = self.clock.next_timeout();
            let left = next.saturating_duration_since(Instant::now());
            let next_at = unix_now() + left.as_secs();
            self.standing.send_modify(|it| it.next_at = Some(next_at));
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = looked(&mut self.config.looks) => {
                    if !may_be_asked(self.seen.asked_at, unix_now()) {
                        continue;
                    }
                }
            }
            self.seen.asked_at = Some(unix_now());
            let asked = self.ask().await;
            self.on_asked(asked);
            self.keep().await;
        }
    }

    /// Asks at the place that the feed has moved to; at its own when that is of no use.
    async fn ask(&mut self) -> Result<(), Failure> {
        // What a feed holds in memory is little beside all of them together.
        let _turn = self.config.turns.clone().acquire_owned().await;
        let Seen { etag, modified, moved, .. } = &self.seen;
        let known = Known { etag: etag.clone(), modified: modified.clone() };
        let own = self.config.feed.url.clone();
        let url = moved.clone().unwrap_or_else(|| own.clone());
        let mut read = self.read(&url, &known).await;
        if read.is_err() && url != own {
            read = self.read(&own, &Known::default()).await;
            if read.is_ok() {
                self.seen.moved = None;
            }
        }
        let Some(New { items, known, moved }) = read? else { return Ok(()) };
        if let Some(moved) = moved {
            self.seen.moved = Some(moved);
        }
        let is_all_done = self.on_items(&items).await;
        // What could not be added yet is looked at again the next time, whether or not it changed.
        let known = if is_all_done { known } else { Known::default() };
        (self.seen.etag, self.seen.modified) = (known.etag, known.modified);
        Ok(())
    }

    /// What stands there; none when that has not changed.
    async fn read(&self, url: &str, known: &Known) -> Result<Option<New>, Failure> {
        let fetched = fetch(&self.config.egress, url, known).await?;
        let Fetched::New { bytes, known, moved } = fetched else { return Ok(None) };
        let items = spawn_blocking(move || read::read(&bytes)).await;
        let broken = |why: String| Failure { why, after: None };
        let items = items.map_err(|error| broken(error.to_string()))?;
        let items = items.map_err(|error| broken(error.to_string()))?;
        Ok(Some(New { items, known, moved }))
    }

    fn on_asked(&mut self, asked: Result<(), Failure>) {
        let (now, chance) = (Instant::now(), rand::random());
        let (at, seen) = (self.seen.asked_at, self.seen.count() as u64);
        let trouble = match asked {
            Ok(()) => {
                self.clock.on_answer(now, chance);
                None
            }
            Err(Failure { why, after }) => {
                self.clock.on_failure(now, after, chance);
                let feed = self.config.feed.called();
                warn!(?feed, why = ?why, "the feed: asked again later");
                Some(why)
            }
        };
        self.standing.send_modify(|it| {
            it.asked_at = at;
            it.seen = seen;
            it.trouble = trouble;
        });
    }

    /// Adds what fits; is all of that done?
    async fn on_items(&mut self, items: &[Item]) -> bool {
        let mut is_all_done = true;
        for item in items {
            let judgement = judge(&self.config.feed, item, &self.seen, &self.episodes);
            let Judgement::Wanted(episode) = judgement else { continue };
            let feed = self.config.feed.called();
            match self.add(item).await {
                Ok(added) => {
                    info!(?feed, id = added.id, torrent = ?added.name, added.was_there, "added");
                    self.seen.note(&item.id, episode.as_deref(), unix_now());
                    // Each is kept before the next one is added.
                    self.keep().await;
                    self.standing.send_modify(|it| match added.was_there {
                        true => it.known += 1,
                        false => it.added += 1,
                    });
                }
                Err(refusal) => {
                    // What the network or others are to blame for passes.
                    let is_its_fault = matches!(refusal.code, Kind::Invalid | Kind::NotFound);
                    let is_over = is_its_fault && self.seen.note_failure(&item.id);
                    is_all_done &= is_over;
                    warn!(?feed, item = ?item.title, why = ?refusal.error, is_over, "not added");
                    let why = format!("{}: {}", item.title, refusal.error);
                    self.standing.send_modify(|it| {
                        it.failed += u64::from(is_over);
                        it.last_refusal = Some(why);
                    });
                }
            }
        }
        self.seen.tidy(items.iter().map(|item| &*item.id), unix_now());
        self.standing.send_modify(|it| it.items = items.len() as u64);
        is_all_done
    }

    async fn add(&self, item: &Item) -> Result<Added, Refusal> {
        let link = item.link.clone();
        let is_web = link.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("http"));
        let addition = match is_web {
            false => Addition { link: Some(link), ..Addition::default() },
            true if self.config.feed.is_at_home(&link) => self.fetched(&link).await?,
            true => Addition { url: Some(link), ..Addition::default() },
        };
        let addition = self.config.feed.adding.dress(addition);
        match self.config.api.answer(Request::Add(Box::new(addition))).await? {
            Answer::Added(added) => Ok(added),
            _ => Err(Refusal::invalid("the session answers otherwise")),
        }
    }

    /// What lies at the server that the feed's user named, wherever that is.
    async fn fetched(&self, url: &str) -> Result<Addition, Refusal> {
        let limits = web::Limits::by(self.config.egress.clone());
        match web::fetch(url, Teller::User, &limits).await {
            Ok(web::Fetched::Torrent(bytes)) => {
                Ok(Addition { torrent: Some(BASE64.encode(&bytes)), ..Addition::default() })
            }
            Ok(web::Fetched::Link(link)) => {
                Ok(Addition { link: Some(link.to_string()), ..Addition::default() })
            }
            Ok(web::Fetched::Metalink(_)) => Err(Refusal::invalid("a metalink is no torrent")),
            Err(error) if error.is_of_network() => Err(Refusal::new(Kind::Failed, error)),
            Err(error) => Err(Refusal::invalid(error)),
        }
    }

    async fn keep(&self) {
        let (seen, path) = (self.seen.clone(), self.path.clone());
        if let Ok(Err(error)) = spawn_blocking(move || seen.write(&path)).await {
            let feed = self.config.feed.called();
            warn!(?feed, %error, "what was seen of the feed cannot be kept");
        }
    }
}
