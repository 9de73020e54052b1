//! Questions to the daemon, its answers and refusals as exit codes, and who says what where.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Key, Kind, List, Request, Torrent, Tracker};
use crate::base::url::is_on;
use crate::cli::args::Filters;
use crate::cli::escape::{escape, json};
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::rpc::{Client, ClientError};

use super::bar::takes_utf8;
use super::names::{Meant, fits, is_on_host, meant};
use super::place::Place;

/// Takes a text, or says why it cannot.
type Say = Box<dyn FnMut(&str) -> Result<(), Failure>>;

/// Where answers go, and how they look.
pub(super) struct Voice {
    /// Takes what was asked for.
    pub say: Say,
    /// Takes what else there is to say.
    pub talk: Box<dyn FnMut(&str)>,
    /// Columns of a line.
    pub columns: usize,
    /// The terminal shows more than ASCII.
    pub is_utf8: bool,
    /// Answers as the API gives them.
    pub json: bool,
    /// Nothing is said that was not asked for.
    pub quiet: bool,
}

impl Voice {
    /// Speaks on stdout and stderr.
    pub fn of_process(json: bool, quiet: bool) -> Self {
        let said = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).ok());
        Self {
            say: Box::new(out::deliver),
            talk: Box::new(out::talk_wrapped),
            columns: out::line_columns().min(1 << 16),
            is_utf8: takes_utf8(said.iter().map(Option::as_deref)),
            json,
            quiet,
        }
    }
}

/// A daemon that is asked.
pub(super) struct Remote {
    pub client: Client,
    pub place: Place,
    pub voice: Voice,
}

impl Remote {
    /// One that asks there.
    ///
    /// # Errors
    /// The place is none.
    pub fn new(place: Place, voice: Voice) -> Result<Self, Failure> {
        let client = Client::new(place.target.clone()).map_err(|error| failure(error, &place))?;
        Ok(Self { client, place, voice })
    }

    /// The answer.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        self.client.ask(request).await.map_err(|error| failure(error, &self.place))
    }

    /// Shows an answer: as it is, or as a screen that is made of it.
    ///
    /// # Errors
    /// It makes no sense, or nobody takes it.
    pub fn show<T: DeserializeOwned>(
        &mut self,
        answer: Value,
        screen: impl FnOnce(&T, &Voice) -> String,
    ) -> Result<(), Failure> {
        let text = match self.voice.json {
            true => json(&answer) + "\n",
            false => screen(&self.read(answer)?, &self.voice),
        };
        (self.voice.say)(&text)
    }

    /// What an answer says.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Failure> {
        serde_json::from_value(answer).map_err(|error| {
            let (place, error) = (&self.place.shown, escape(&error.to_string()));
            Failure::new(Exit::Network, format!("the answer of {place} makes no sense: {error}"))
        })
    }

    /// Does something for each of these. What fails for one is told, and does not keep others from
    /// it; but nobody else is asked of a daemon that is gone.
    ///
    /// # Errors
    /// Nobody answers any more.
    pub async fn for_each(
        &mut self,
        all: &[Meant],
        mut act: impl AsyncFnMut(&mut Self, &Meant) -> Result<(), Failure>,
    ) -> Outcome {
        let mut worst = Exit::Done;
        for one in all {
            match act(self, one).await {
                Ok(()) => {}
                Err(failure) if failure.exit == Exit::Network => return Err(failure),
                Err(failure) => {
                    worst = worst.worst(failure.exit);
                    (self.voice.talk)(&format!("driver: {}: {failure}", one.name));
                }
            }
        }
        Ok(worst)
    }

    /// All torrents.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn torrents(&self) -> Result<Vec<Torrent>, Failure> {
        self.ask::<List>(&Request::List(None)).await.map(|list| list.torrents)
    }

    /// The torrents that these words name.
    ///
    /// # Errors
    /// A word names none or several, or nobody answers.
    pub async fn named(&self, words: &[String]) -> Result<Vec<Meant>, Failure> {
        meant(&self.torrents().await?, words).map_err(Failure::usage)
    }

    /// The torrents that these words name of those that fit; all that fit where there are no words.
    ///
    /// # Errors
    /// As [`named`](Self::named); nobody is meant.
    pub async fn whom(&self, words: &[String], filters: &Filters) -> Result<Vec<Meant>, Failure> {
        let is_filtered = *filters != Filters::default();
        if words.is_empty() && !is_filtered {
            return Err(Failure::usage("name a torrent, or all (driver remote list shows them)"));
        }
        let mut torrents = self.torrents().await?;
        if is_filtered {
            torrents = self.fitting(torrents, filters, &mut Hosts::new()).await?;
        }
        match words.is_empty() {
            true if torrents.is_empty() => Err(Failure::usage("no torrent fits")),
            true => Ok(torrents.iter().map(Meant::of).collect()),
            false => meant(&torrents, words).map_err(Failure::usage),
        }
    }

    /// Those that fit. Who tracks a torrent whose trackers no list tells is asked once.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn fitting(
        &self,
        mut torrents: Vec<Torrent>,
        filters: &Filters,
        hosts: &mut Hosts,
    ) -> Result<Vec<Torrent>, Failure> {
        let Filters { label, state, tracker } = filters;
        torrents.retain(|torrent| fits(torrent, label.as_deref(), state.as_deref()));
        let Some(host) = tracker else { return Ok(torrents) };
        let mut fit = Vec::new();
        for torrent in torrents {
            let is_tracked = match (&torrent.trackers, hosts.get(&torrent.id)) {
                (Some(own), _) => own.iter().any(|own| is_on(own, host)),
                (None, Some(known)) => *known,
                (None, None) => {
                    let is_tracked = self.is_tracked(&torrent, host).await?;
                    hosts.insert(torrent.id, is_tracked);
                    is_tracked
                }
            };
            if is_tracked {
                fit.push(torrent);
            }
        }
        Ok(fit)
    }

    /// A directory as the daemon names it. On this machine it is named from where we are.
    ///
    /// # Errors
    /// Where we are is not known, or cannot be said.
    pub fn dir(&self, dir: &str) -> Result<String, Failure> {
        if !self.place.is_here {
            return Ok(dir.to_owned());
        }
        let path = Path::new(dir);
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        let real = path.canonicalize().ok().filter(|_| goes_up);
        let whole = real.map_or_else(|| std::path::absolute(path), Ok);
        let whole = whole.map_err(|error| from_io(&escape(dir), &error))?;
        let text = whole.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::bad_input(format!("{}: not in UTF-8", escape(dir))))
    }

    async fn is_tracked(&self, torrent: &Torrent, host: &str) -> Result<bool, Failure> {
        match self.ask::<Vec<Tracker>>(&Request::Trackers(Key::Id(torrent.id))).await {
            Ok(trackers) => Ok(trackers.iter().any(|tracker| is_on_host(&tracker.url, host))),
            Err(failure) if failure.exit == Exit::Network => Err(failure),
            // One that is not here has none.
            Err(_) => Ok(false),
        }
    }
}

/// Torrents that were asked whether a host tracks them.
pub(super) type Hosts = BTreeMap<u32, bool>;

/// Why there is no answer, as an exit code and in words.
pub(super) fn failure(error: ClientError, place: &Place) -> Failure {
    let (is_here, place) = (place.is_here, &place.shown);
    match error {
        ClientError::Refused(refusal) => {
            let exit = match refusal.code {
                Kind::Invalid | Kind::NotFound | Kind::Conflict => Exit::BadInput,
                Kind::Failed => Exit::Unexpected,
                Kind::Ended => Exit::Network,
            };
            Failure::new(exit, escape(&refusal.error))
        }
        ClientError::Token(why) => Failure::bad_input(format!(
            "{place} does not take the token: --token-file FILE names the right one, which the \
             daemon keeps in daemon/token of its state directory (it says: {})",
            escape(&why)
        )),
        ClientError::Network(why) => {
            let why = escape(&why);
            let hint = match is_here {
                true => "start it with driver daemon",
                false => {
                    "does it run there, with --http for that address, and is there a way to it?"
                }
            };
            let words = format!("no daemon answers at {place} ({why}): {hint}");
            Failure::new(Exit::Network, words)
        }
    }
}
