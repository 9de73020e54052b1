//! `log`: what happened, as far as the daemon remembers it, and what happens, as it tells it. A
//! connection that breaks is made again, with the mark of the last event; what is missed then is
//! told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::api::{Events, Happened, List, Mark, Request};
use crate::cli::escape::json;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::rpc::ClientError;

use super::asking::{Remote, failure};
use super::words::{event_line, gap_line};

/// How long is waited before a daemon that is gone is asked again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What torrents are called, as far as that was asked.
#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<u32, String>,
    cursor: Option<Mark>,
}

pub(super) async fn log(remote: &mut Remote, follow: bool) -> Outcome {
    let mut names = Names::default();
    let since = told(remote, &mut names).await?;
    if !follow {
        return Ok(Exit::Done);
    }
    tokio::select! {
        ended = self::follow(remote, &mut names, since) => ended,
        // Nobody reads it any more.
        () = out::unread() => Ok(Exit::Done),
    }
}

/// Tells what is remembered; gives where to go on.
async fn told(remote: &mut Remote, names: &mut Names) -> Result<Mark, Failure> {
    let now: Events = remote.ask(&Request::Events(None)).await?;
    let mut since = now.cursor;
    since.0.number = 0;
    let mut all: Events = remote.ask(&Request::Events(Some(since))).await?;
    // One answer has so many and no more.
    while all.cursor != since {
        since = all.cursor;
        let more: Events = remote.ask(&Request::Events(Some(since))).await?;
        all.events.extend(more.events);
        all.cursor = more.cursor;
    }
    if remote.voice.json {
        (remote.voice.say)(&(json(&all) + "\n"))?;
        return Ok(all.cursor);
    }
    if all.has_gap {
        (remote.voice.say)(&(gap_line(all.missed) + "\n"))?;
    }
    names.refresh(remote).await;
    for happened in &all.events {
        tell(remote, names, happened)?;
    }
    Ok(all.cursor)
}

impl Names {
    /// Asks for what is new. A daemon that goes away now has told what happened all the same.
    async fn refresh(&mut self, remote: &Remote) {
        if let Ok(list) = remote.ask::<List>(&Request::List(self.cursor)).await {
            self.cursor = Some(list.cursor);
            let named = list.torrents.into_iter().map(|torrent| (torrent.id, torrent.name));
            self.known.extend(named);
        }
    }
}

fn tell(remote: &mut Remote, names: &Names, happened: &Happened) -> Result<(), Failure> {
    let name = names.known.get(&happened.id).map(String::as_str);
    (remote.voice.say)(&(event_line(happened, name) + "\n"))
}

/// Tells what happens after `since`, until nobody hears it any more.
async fn follow(remote: &mut Remote, names: &mut Names, since: Mark) -> Outcome {
    let (mut mark, mut wait, mut is_away) = (since, RETRY.0, false);
    loop {
        let why = match remote.client.events(Some(mark)).await {
            Ok(mut stream) => {
                if std::mem::take(&mut is_away) {
                    (remote.voice.talk)("driver: the daemon answers again");
                }
                wait = RETRY.0;
                loop {
                    match stream.next().await {
                        Ok(Some(event)) => {
                            mark = event.mark.unwrap_or(mark);
                            hear(remote, names, event.data).await?;
                        }
                        Ok(None) => break "it ends".to_owned(),
                        Err(error) => break error.to_string(),
                    }
                }
            }
            Err(ClientError::Network(why)) => why,
            Err(error) => return Err(failure(error, &remote.place)),
        };
        if !std::mem::replace(&mut is_away, true) && !remote.voice.quiet {
            let why = failure(ClientError::Network(why), &remote.place);
            (remote.voice.talk)(&format!("driver: {why}; tried again"));
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// Tells an event of a stream.
async fn hear(remote: &mut Remote, names: &mut Names, event: Value) -> Result<(), Failure> {
    if remote.voice.json {
        return (remote.voice.say)(&(json(&event) + "\n"));
    }
    if event["event"] == "gap" {
        return (remote.voice.say)(&(gap_line(event["missed"].as_u64()) + "\n"));
    }
    match serde_json::from_value::<Happened>(event.clone()) {
        Ok(happened) => {
            names.refresh(remote).await;
            tell(remote, names, &happened)
        }
        // A daemon of another version knows more events.
        Err(_) => (remote.voice.say)(&(json(&event) + "\n")),
    }
}
