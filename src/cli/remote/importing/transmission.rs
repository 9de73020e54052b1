//! What Transmission keeps: `torrents/NAME.torrent` and `resume/NAME.resume`, bencoded (as version
//! 3.00 writes it).

use std::path::Path;

use crate::api::{Addition, FilePatch};
use crate::cli::exit::Failure;
use crate::metainfo::Torrent;

use super::known::{
    Found, Known, Want, absolute, files_ending, read_pair, shown, wishes, with_ending,
};

/// What ends the names of files of which not all is there.
const PARTIAL: &str = ".part";
/// That a limit or a goal is the torrent's own.
const OWN: i64 = 1;

/// All torrents below this directory.
///
/// # Errors
/// It is none of Transmission's.
pub(super) fn read(dir: &Path) -> Result<Vec<Found>, Failure> {
    let torrents = files_ending(&dir.join("torrents"), ".torrent").map_err(|_| {
        Failure::bad_input(format!(
            "{} has no torrents of Transmission: name the directory with its settings.json, as \
             ~/.config/transmission-daemon, ~/.config/transmission, \
             /var/lib/transmission-daemon/info",
            shown(dir)
        ))
    })?;
    let pair = |(stem, torrent): (String, std::path::PathBuf)| {
        let state = dir.join("resume").join(format!("{stem}.resume"));
        let found = read_pair(&torrent, &state, taken, place);
        let name = found.as_ref().map_or(stem, |taken| taken.name.clone());
        (name, found)
    };
    let links = files_ending(&dir.join("torrents"), ".magnet").unwrap_or_default();
    let links = links.into_iter().map(|(stem, _)| {
        (stem, Err("its metadata was not here yet: add its magnet link".to_owned()))
    });
    Ok(torrents.into_iter().map(pair).chain(links).collect())
}

/// It keeps no queue: whoever came first stands first.
fn place(known: &Known<'_>) -> u64 {
    known.count("added-date").unwrap_or(u64::MAX)
}

fn taken(torrent: &Torrent, known: &Known<'_>) -> Result<(Addition, FilePatch), String> {
    let renamed = known.text("name").is_some_and(|name| name != torrent.name);
    if renamed || known.value("files").is_some() {
        return Err("its files were renamed there: rename them back, and import again".to_owned());
    }
    let mut dir = absolute(known.text("destination").ok_or("it has no directory there")?)?;
    // While not all is there, files may be elsewhere.
    let progress = known.inside("progress");
    let is_whole = progress.is_some_and(|it| it.text("blocks") == Some("all"));
    if let Some(elsewhere) = known.text("incomplete-dir").filter(|_| !is_whole) {
        let elsewhere = absolute(elsewhere)?;
        if elsewhere.join(&torrent.name).exists() {
            dir = elsewhere;
        }
    }
    if let Some(why) = with_ending(torrent, &dir, PARTIAL) {
        return Err(why);
    }
    let (unwanted, priorities) = (known.numbers("dnd"), known.numbers("priority"));
    let (files, patch) = wishes(torrent, |at| match (unwanted.get(at), priorities.get(at)) {
        (Some(1..), _) => Want::Off,
        (_, Some(..=-1)) => Want::Low,
        (_, Some(1..)) => Want::High,
        _ => Want::Normal,
    });
    let limit = |key| {
        let limit = known.inside(key).filter(|limit| limit.is("use-speed-limit"))?;
        limit.count("speed-Bps")
    };
    let goal = known.inside("ratio-limit").filter(|it| it.number("ratio-mode") == Some(OWN));
    // Bencode has no fractions: they are text.
    let seed_ratio = goal.and_then(|goal| goal.text("ratio-limit")?.parse().ok());
    let addition = Addition {
        dir: Some(dir.to_string_lossy().into_owned()),
        paused: known.is("paused"),
        labels: known.texts("labels"),
        limit_down: limit("speed-limit-down"),
        limit_up: limit("speed-limit-up"),
        seed_ratio: seed_ratio.filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0),
        sent_before: known.count("uploaded"),
        files,
        ..Addition::default()
    };
    Ok((addition, patch))
}
