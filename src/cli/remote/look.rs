//! Commands that look, and change nothing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{
    Details, File, Key, List, Peer, Request, Source, Standing, Torrent, Tracker, Why,
};
use crate::cli::args::Filters;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::print::{files_screen, peers_screen, wrap};

use super::asking::{Hosts, Remote, Voice};
use super::names::Meant;
use super::{bar, screens, table};

pub(super) async fn list(remote: &mut Remote, filters: &Filters) -> Outcome {
    let mut answer: Value = remote.ask(&Request::List(None)).await?;
    let is_filtered = *filters != Filters::default();
    if is_filtered {
        let torrents = remote.read::<List>(answer.clone())?.torrents;
        let fit = remote.fitting(torrents, filters, &mut Hosts::new()).await?;
        let is_fit = |value: &Value| fit.iter().any(|torrent| value["id"] == torrent.id);
        if let Some(torrents) = answer["torrents"].as_array_mut() {
            torrents.retain(is_fit);
        }
    }
    remote.show::<List>(answer, |list, voice| {
        let torrents: Vec<&Torrent> = list.torrents.iter().collect();
        match torrents.is_empty() && is_filtered {
            true => "no torrent fits\n".to_owned(),
            false => table::list(&torrents, voice.columns, None),
        }
    })?;
    Ok(Exit::Done)
}

pub(super) async fn session(remote: &mut Remote) -> Outcome {
    let answer = remote.ask(&Request::Session).await?;
    remote.show::<Standing>(answer, |it, voice| screens::session(it, voice.columns))?;
    Ok(Exit::Done)
}

pub(super) async fn show(remote: &mut Remote, words: &[String]) -> Outcome {
    let screen = |it: &Details, voice: &Voice| screens::show(it, voice.columns);
    all(remote, words, Request::Show, screen, Head::Own).await
}

pub(super) async fn status(remote: &mut Remote, words: &[String]) -> Outcome {
    if !words.is_empty() {
        let screen = |it: &Details, voice: &Voice| screens::status(it, voice.columns);
        return all(remote, words, Request::Show, screen, Head::Own).await;
    }
    let request = if remote.voice.json { Request::Session } else { Request::List(None) };
    let answer = remote.ask(&request).await?;
    remote.show::<List>(answer, |list, _| {
        screens::glance(&list.torrents.iter().collect::<Vec<_>>())
    })?;
    Ok(Exit::Done)
}

pub(super) async fn why(remote: &mut Remote, words: &[String]) -> Outcome {
    let screen = |why: &Why, voice: &Voice| {
        let bars = bar::bars(&why.minute, voice.columns, voice.is_utf8);
        let lines = why.text.lines().map(crate::cli::escape::escape);
        let text: String = lines.map(|line| wrap(&line, voice.columns, 2) + "\n").collect();
        if bars.is_empty() { text } else { format!("{text}\nThe last minute:\n{bars}") }
    };
    all(remote, words, Request::Why, screen, Head::Name).await
}

pub(super) async fn peers(remote: &mut Remote, words: &[String], known: bool) -> Outcome {
    let screen = |peers: &Vec<Peer>, voice: &Voice| peers_screen(peers, &[], known, voice.columns);
    all(remote, words, |key| Request::Peers(key, known), screen, Head::Name).await
}

pub(super) async fn files(remote: &mut Remote, words: &[String]) -> Outcome {
    let screen = |files: &Vec<File>, voice: &Voice| files_screen(files, voice.columns);
    all(remote, words, Request::Files, screen, Head::Name).await
}

pub(super) async fn trackers(remote: &mut Remote, words: &[String]) -> Outcome {
    let screen = |them: &Vec<Tracker>, voice: &Voice| screens::trackers(them, voice.columns);
    all(remote, words, Request::Trackers, screen, Head::Name).await
}

pub(super) async fn sources(remote: &mut Remote, words: &[String]) -> Outcome {
    let screen = |them: &Vec<Source>, voice: &Voice| screens::sources(them, voice.columns);
    all(remote, words, Request::Sources, screen, Head::Name).await
}

/// What tells screens of several torrents apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Their names stand in them.
    Own,
    /// The name stands above.
    Name,
}

/// Asks for something of each torrent that is named, and shows it.
async fn all<T: DeserializeOwned>(
    remote: &mut Remote,
    words: &[String],
    request: impl Fn(Key) -> Request,
    screen: impl Fn(&T, &Voice) -> String,
    head: Head,
) -> Outcome {
    let meant = remote.named(words).await?;
    let are_several = meant.len() > 1;
    let mut is_first = true;
    let mut look = async |remote: &mut Remote, one: &Meant| -> Result<(), Failure> {
        let answer = remote.ask(&request(one.key.clone())).await?;
        let gap = if std::mem::replace(&mut is_first, false) { "" } else { "\n" };
        remote.show::<T>(answer, |it, voice| match (are_several, head) {
            (true, Head::Name) => format!("{gap}{}\n{}", one.name, screen(it, voice)),
            _ => format!("{gap}{}", screen(it, voice)),
        })
    };
    remote.for_each(&meant, &mut look).await
}
