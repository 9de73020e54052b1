//! Which method is whose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::api::{Api, Deed, Place, Refusal};

use super::errors::Fault;
use super::given::Given;
use super::passport::Passports;
use super::preferences::{self, Own};
use super::whole::Whole;
use super::{adding, names, orders, torrents};

/// What is done to torrents, by plain names.
const ORDERS: &[&str] = &[
    "torrentstart",
    "torrentstartnow",
    "torrentstop",
    "torrentverify",
    "torrentreannounce",
    "torrentremove",
    "torrentset",
    "torrentsetlocation",
    "torrentrenamepath",
    "queuemovetop",
    "queuemoveup",
    "queuemovedown",
    "queuemovebottom",
];

/// What comes of a method.
pub(super) enum Done {
    /// A value with legacy names.
    Value(Value),
    /// The text of one, as it is in the dialect that it was asked in.
    Text(Vec<u8>),
}

/// What methods need.
pub(super) struct Desk {
    pub api: Api,
    pub whole: Whole,
    pub passports: Passports,
    /// Torrents begin when they are added: a setting of this run.
    pub starts: AtomicBool,
    /// Somebody wants the daemon to end.
    pub closes: Arc<Notify>,
}

impl Desk {
    /// Does what `method` is, by its plain name.
    ///
    /// # Errors
    /// What cannot be done; none where there is no such method.
    pub async fn call(
        &self,
        method: &str,
        given: Given,
        is_snake: bool,
    ) -> Option<Result<Done, Fault>> {
        if method == "torrentget" {
            let got = torrents::get(&self.api, &self.whole, &given, is_snake).await;
            return Some(got.map(Done::Text));
        }
        let done = if method == "torrentadd" {
            let starts = self.starts.load(Ordering::Relaxed);
            let (api, whole) = (self.api.clone(), self.whole.clone());
            // What is begun is done, also when nobody waits for the answer any more.
            let adds = tokio::spawn(async move { adding::add(&api, &whole, given, starts).await });
            adds.await.unwrap_or_else(|_| Err(Refusal::ended().into()))
        } else if ORDERS.contains(&method) {
            self.order(method, &given).await
        } else {
            self.ask(method, &given).await?
        };
        Some(done.map(Done::Value))
    }

    /// What is done to torrents: one of [`ORDERS`].
    async fn order(&self, order: &str, given: &Given) -> Result<Value, Fault> {
        let targets = torrents::meant(&self.whole, given).await?.targets;
        let api = &self.api;
        match order {
            "torrentstart" => orders::start(api, &targets, false).await,
            "torrentstartnow" => orders::start(api, &targets, true).await,
            "torrentstop" => orders::each(api, &targets, Deed::Pause).await,
            "torrentverify" => orders::each(api, &targets, Deed::Verify).await,
            "torrentreannounce" => orders::each(api, &targets, Deed::Announce).await,
            "torrentremove" => {
                let data = given.flag("delete-local-data").unwrap_or(false);
                orders::remove(api, &targets, data).await
            }
            "torrentset" => orders::set(api, &targets, given).await,
            "torrentsetlocation" => orders::relocate(api, &targets, given).await,
            "torrentrenamepath" => orders::rename(api, &targets, given).await,
            "queuemovetop" => orders::queue(api, targets, Place::Top).await,
            "queuemoveup" => orders::queue(api, targets, Place::Up).await,
            "queuemovedown" => orders::queue(api, targets, Place::Down).await,
            _ => orders::queue(api, targets, Place::Bottom).await,
        }
    }

    /// What is asked and set of all together.
    async fn ask(&self, method: &str, given: &Given) -> Option<Result<Value, Fault>> {
        Some(match method {
            "sessionget" => preferences::standing(&self.api)
                .await
                .map(|standing| preferences::get(&standing, &self.own(), given)),
            "sessionset" => {
                if let Some(starts) = given.flag("start-added-torrents") {
                    self.starts.store(starts, Ordering::Relaxed);
                }
                preferences::set(&self.api, given).await
            }
            "sessionstats" => self.stats().await,
            "sessionclose" => {
                self.closes.notify_one();
                Ok(json!({}))
            }
            "freespace" => preferences::free_space(&self.api, given).await,
            "porttest" => {
                Err(Fault::new(8, "no outside service is asked whether the port is open"))
            }
            "blocklistupdate" => {
                let why = "blocklists are files of the daemon, and are not fetched";
                Err(Fault::new(10, why))
            }
            "groupget" => Ok(json!({ "group": [] })),
            "groupset" => match given.text("name") {
                None | Some("") => Err(Fault::invalid("No group name given")),
                Some(_) => Err(Fault::not_here("there are no groups: limit each torrent, or all")),
            },
            _ => return None,
        })
    }

    fn own(&self) -> Own {
        Own {
            passport: self.passports.now(),
            starts: self.starts.load(Ordering::Relaxed),
            state_dir: self.api.session().state_dir().display().to_string(),
        }
    }

    async fn stats(&self) -> Result<Value, Fault> {
        let all = self.whole.all().await?;
        let standing = preferences::standing(&self.api).await?;
        Ok(preferences::stats(&standing, &all))
    }
}

/// A value as its dialect names it.
pub(super) fn named(value: Value, is_snake: bool) -> Value {
    if is_snake { names::snaked(value) } else { value }
}
