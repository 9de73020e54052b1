//! Commands that change something, of one torrent or of several.

use crate::api::{Deed, Done, Facts, File, Key, Patch, Request, SessionPatch, Standing};
use crate::cli::args::{Filters, Whom};
use crate::cli::choice::{graded, only_these, prioritized};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::values;

use super::asking::Remote;
use super::names::Meant;
use super::{screens, words};

/// Has something done to each that is meant.
pub(super) async fn each(
    remote: &mut Remote,
    whom: &Whom,
    request: impl Fn(Key) -> Request,
    done: &str,
) -> Outcome {
    let meant = remote.whom(&whom.torrents, &whom.filters).await?;
    tell(remote, &meant, request, done).await
}

/// The same of what puts a torrent first: the last one that is put there is the first of all.
pub(super) async fn to_top(
    remote: &mut Remote,
    whom: &Whom,
    request: impl Fn(Key) -> Request,
) -> Outcome {
    let mut meant = remote.whom(&whom.torrents, &whom.filters).await?;
    meant.reverse();
    tell(remote, &meant, request, "first").await
}

/// Has something done to the one that is named.
pub(super) async fn one(remote: &mut Remote, torrent: &str, deed: Deed, done: &str) -> Outcome {
    let meant = remote.named(&[torrent.to_owned()]).await?;
    if meant.len() > 1 {
        return Err(Failure::usage("that is for one torrent, not several"));
    }
    tell(remote, &meant, |key| Request::Do(key, deed.clone()), done).await
}

async fn tell(
    remote: &mut Remote,
    meant: &[Meant],
    request: impl Fn(Key) -> Request,
    done: &str,
) -> Outcome {
    let mut act = async |remote: &mut Remote, one: &Meant| -> Result<(), Failure> {
        send(remote, one, &request(one.key.clone()), done).await
    };
    remote.for_each(meant, &mut act).await
}

/// Gives an order, and tells that it is carried out.
async fn send(
    remote: &mut Remote,
    one: &Meant,
    request: &Request,
    done: &str,
) -> Result<(), Failure> {
    let answer = remote.ask(request).await?;
    if remote.voice.quiet && !remote.voice.json {
        return Ok(());
    }
    remote.show::<Done>(answer, |answer, _| match &answer.note {
        Some(note) => format!("{}: {done}: {}\n", one.name, escape(note)),
        None => format!("{}: {done}\n", one.name),
    })
}

/// Adds trackers and takes others out, of each torrent that is named.
pub(super) async fn trackers(
    remote: &mut Remote,
    words: &[String],
    add: &[String],
    remove: &[String],
) -> Outcome {
    let meant = remote.named(words).await?;
    let mut act = async |remote: &mut Remote, one: &Meant| -> Result<(), Failure> {
        let facts: Facts = remote.ask(&Request::Facts(one.key.clone())).await?;
        let mut tiers = facts.trackers;
        if let Some(url) = remove.iter().find(|url| !tiers.iter().flatten().any(|it| it == *url)) {
            return Err(Failure::usage(format!("it has no tracker {}", escape(url))));
        }
        tiers.iter_mut().for_each(|tier| tier.retain(|url| !remove.contains(url)));
        let new = add.iter().filter(|url| !tiers.iter().flatten().any(|it| it == *url));
        let new: Vec<Vec<String>> = new.map(|url| vec![url.clone()]).collect();
        tiers.extend(new);
        let patch = Patch { trackers: Some(tiers), ..Patch::default() };
        let request = Request::Set(one.key.clone(), Box::new(patch));
        send(remote, one, &request, "its trackers are others now").await
    };
    remote.for_each(&meant, &mut act).await
}

pub(super) async fn limit(remote: &mut Remote, words: &[String], filters: &Filters) -> Outcome {
    let is_unfiltered = *filters == Filters::default();
    if let (Some((first, words)), true) = (words.split_first(), is_unfiltered)
        && first == "alternative"
    {
        return alternative(remote, words).await;
    }
    let (torrents, limited) = words::limits(words).map_err(Failure::usage)?;
    let (down, up) = (limited.down.map(words::bytes_of), limited.up.map(words::bytes_of));
    let is_of_all = torrents.is_empty() && is_unfiltered;
    if !limited.is_any() {
        if !is_of_all {
            let why = "say which limit, as limit --label linux down 500K";
            return Err(Failure::usage(why));
        }
        let answer = remote.ask(&Request::Session).await?;
        remote.show::<Standing>(answer, |it, _| format!("{}\n", screens::all_limits(it)))?;
        return Ok(Exit::Done);
    }
    if is_of_all {
        let patch = SessionPatch { limit_down: down, limit_up: up, ..SessionPatch::default() };
        let answer = remote.ask(&Request::SetSession(patch)).await?;
        if remote.voice.json || !remote.voice.quiet {
            remote.show::<Done>(answer, |_, _| "all together: limited\n".to_owned())?;
        }
        return Ok(Exit::Done);
    }
    let patch = Patch { limit_down: down, limit_up: up, ..Patch::default() };
    let meant = remote.whom(torrents, filters).await?;
    tell(remote, &meant, |key| Request::Set(key, Box::new(patch.clone())), "limited").await
}

/// Switches the alternative limits of all together, or sets them.
async fn alternative(remote: &mut Remote, words: &[String]) -> Outcome {
    let (is_on, rest) = match words.split_first() {
        Some((word, rest)) if word == "on" => (Some(true), rest),
        Some((word, rest)) if word == "off" => (Some(false), rest),
        _ => (None, words),
    };
    let (others, limited) = words::limits(rest).map_err(Failure::usage)?;
    if !others.is_empty() || (is_on.is_none() && !limited.is_any()) {
        let why = "write limit alternative on, off, or alternative down 500K up 100K";
        return Err(Failure::usage(why));
    }
    let patch = SessionPatch {
        alternative: is_on,
        alternative_down: limited.down.map(words::bytes_of),
        alternative_up: limited.up.map(words::bytes_of),
        ..SessionPatch::default()
    };
    let answer = remote.ask(&Request::SetSession(patch)).await?;
    if remote.voice.json || !remote.voice.quiet {
        let done = match is_on {
            Some(true) => "the alternative limits hold\n",
            Some(false) => "the usual limits hold\n",
            None => "alternative limits: set\n",
        };
        remote.show::<Done>(answer, |_, _| done.to_owned())?;
    }
    Ok(Exit::Done)
}

pub(super) async fn select(
    remote: &mut Remote,
    words: &[String],
    priority: Option<&str>,
    filters: &Filters,
) -> Outcome {
    let Some((chosen, torrents)) = words.split_last() else {
        return Err(Failure::usage("say which files: select 3 1-3,5"));
    };
    let ranges = values::ranges(chosen).map_err(Failure::usage)?;
    let meant = remote.whom(torrents, filters).await?;
    let mut act = async |remote: &mut Remote, one: &Meant| -> Result<(), Failure> {
        let files: Vec<File> = remote.ask(&Request::Files(one.key.clone())).await?;
        let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
        let these = only_these(&ranges, count).map_err(Failure::bad_input)?;
        let done = format!("{} of {count} {}", these.want.len(), priority.unwrap_or("wanted"));
        let patch = match priority.and_then(graded) {
            None => these,
            Some(priority) => prioritized(these.want, priority),
        };
        send(remote, one, &Request::SetFiles(one.key.clone(), patch), &done).await
    };
    remote.for_each(&meant, &mut act).await
}

pub(super) async fn order(remote: &mut Remote, words: &[String], filters: &Filters) -> Outcome {
    let (torrents, ordered) = words::ordered(words).map_err(Failure::usage)?;
    let meant = remote.whom(torrents, filters).await?;
    let done = words[torrents.len()..].join(", ");
    tell(remote, &meant, |key| Request::Set(key, Box::new(ordered.clone())), &done).await
}

pub(super) async fn label(
    remote: &mut Remote,
    words: &[String],
    clear: bool,
    filters: &Filters,
) -> Outcome {
    let is_filtered = *filters != Filters::default();
    let (torrents, labels) = match (clear, is_filtered, words) {
        (true, ..) => (words, [].as_slice()),
        (false, true, labels) => ([].as_slice(), labels),
        (false, false, [torrents, labels @ ..]) => (std::slice::from_ref(torrents), labels),
        (false, false, []) => ([].as_slice(), [].as_slice()),
    };
    // As other programs take several in one word.
    let labels = labels.iter().flat_map(|word| word.split(',')).map(str::trim);
    let labels: Vec<_> = labels.filter(|it| !it.is_empty()).map(str::to_owned).collect();
    if labels.is_empty() && !clear {
        return Err(Failure::usage("say a label, as label 3 linux; --clear takes all away"));
    }
    let meant = remote.whom(torrents, filters).await?;
    let done = match clear {
        true => "no label".to_owned(),
        false => escape(&labels.join(", ")),
    };
    let patch = Patch { labels: Some(labels), ..Patch::default() };
    tell(remote, &meant, |key| Request::Set(key, Box::new(patch.clone())), &done).await
}

pub(super) async fn relocate(remote: &mut Remote, words: &[String], filters: &Filters) -> Outcome {
    let split = words.split_last();
    let is_named = |torrents: &[String]| !torrents.is_empty() || *filters != Filters::default();
    let Some((dir, torrents)) = split.filter(|(_, torrents)| is_named(torrents)) else {
        return Err(Failure::usage("say which torrent, and then where to: move 3 /srv"));
    };
    let meant = remote.whom(torrents, filters).await?;
    let deed = Deed::Move { dir: remote.dir(dir)? };
    let done = format!("moves to {}", escape(dir));
    tell(remote, &meant, |key| Request::Do(key, deed.clone()), &done).await
}

pub(super) async fn rename(
    remote: &mut Remote,
    torrent: &str,
    name: &str,
    file: Option<u32>,
) -> Outcome {
    let deed = Deed::Rename { file, name: name.to_owned() };
    let done = match file {
        Some(number) => format!("file {number} renamed to {}", escape(name)),
        None => format!("renamed to {}", escape(name)),
    };
    one(remote, torrent, deed, &done).await
}
