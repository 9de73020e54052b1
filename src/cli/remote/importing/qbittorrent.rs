//! What qBittorrent keeps: `BT_backup/HASH.torrent` and `BT_backup/HASH.fastresume`, bencoded by
//! libtorrent with keys of its own (`qBt-…`), and the order of the queue in `BT_backup/queue`, a
//! hash a line (as version 4.5.2 writes them; not the database that it may use instead).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::api::{Addition, FilePatch};
use crate::cli::exit::Failure;
use crate::metainfo::Torrent;

use super::known::{
    Found, Known, Want, absolute, files_ending, read_pair, shown, small, wishes, with_ending,
};

/// Where it is below the directory of its data, or of a profile.
const PLACES: [&str; 4] = ["", "BT_backup", "data/BT_backup", "qBittorrent/data/BT_backup"];
/// What ends the names of files of which not all is there, where that was chosen.
const PARTIAL: &str = ".!qB";

/// All torrents below this directory.
///
/// # Errors
/// It is none of qBittorrent's.
pub(super) fn read(dir: &Path) -> Result<Vec<Found>, Failure> {
    let mut there = PLACES.iter().map(|place| dir.join(place));
    let is_it = |dir: &PathBuf| files_ending(dir, ".fastresume").is_ok_and(|it| !it.is_empty());
    let Some(dir) = there.find(is_it) else {
        let database = dir.join("torrents.db");
        let why = match database.exists() {
            true => "keeps its torrents in a database: have it use fastresume files (Advanced)",
            false => {
                "has no torrents of qBittorrent: name the directory BT_backup, as \
                 ~/.local/share/qBittorrent/BT_backup"
            }
        };
        return Err(Failure::bad_input(format!("{} {why}", shown(dir))));
    };
    let states = files_ending(&dir, ".fastresume")
        .map_err(|error| Failure::bad_input(format!("{}: {error}", shown(&dir))))?;
    let queue = small(&dir.join("queue")).unwrap_or_default();
    let queue = String::from_utf8_lossy(&queue).into_owned();
    let places: HashMap<&str, u64> = queue.lines().map(str::trim).zip(0..).collect();
    let pair = |(stem, state): (String, PathBuf)| {
        let torrent = dir.join(format!("{stem}.torrent"));
        if !torrent.exists() {
            let why = "its metadata was not here yet: add its magnet link".to_owned();
            return (stem, Err(why));
        }
        let place = places.get(stem.as_str()).copied().unwrap_or(u64::MAX - 1);
        let found = read_pair(&torrent, &state, taken, |_| place);
        (found.as_ref().map_or(stem, |taken| taken.name.clone()), found)
    };
    Ok(states.into_iter().map(pair).collect())
}

fn taken(torrent: &Torrent, known: &Known<'_>) -> Result<(Addition, FilePatch), String> {
    let is_renamed = known.value("mapped_files").is_some()
        // A single file has no folder to leave out.
        || torrent.files.len() > 1 && known.text("qBt-contentLayout") == Some("NoSubfolder");
    if is_renamed {
        return Err(
            "its files have other names there: rename them back, and import again".to_owned()
        );
    }
    let dir = known.text("save_path").or_else(|| known.text("qBt-savePath"));
    let dir = absolute(dir.ok_or("it has no directory there")?)?;
    if let Some(why) = with_ending(torrent, &dir, PARTIAL) {
        return Err(why);
    }
    let priorities = known.numbers("file_priority");
    let (files, patch) = wishes(torrent, |at| match priorities.get(at) {
        Some(..=0) => Want::Off,
        // What was never set is 4 in libtorrent, and 1 in qBittorrent.
        None | Some(1..=5) => Want::Normal,
        Some(_) => Want::High,
    });
    let category = known.text("qBt-category").map(str::to_owned);
    let tiers = known.value("trackers").and_then(|value| value.list()).into_iter().flatten();
    let urls = tiers.filter_map(|tier| tier.list()).flatten().filter_map(|url| url.text());
    let is_own = |url: &str| torrent.trackers.iter().flatten().any(|own| own == url);
    let addition = Addition {
        dir: Some(dir.to_string_lossy().into_owned()),
        // One that it manages by itself is paused by its queue, which is not its user's word.
        paused: known.is("paused") && !known.is("auto_managed"),
        labels: category.into_iter().chain(known.texts("qBt-tags")).collect(),
        sequential: known.is("sequential_download"),
        limit_down: known.count("download_rate_limit"),
        limit_up: known.count("upload_rate_limit"),
        // In thousandths; below zero: as all, or none.
        seed_ratio: known.count("qBt-ratioLimit").map(|ratio| ratio as f64 / 1000.0),
        seed_time_s: known.count("qBt-seedingTimeLimit").map(|minutes| minutes.saturating_mul(60)),
        trackers: urls.filter(|url| !is_own(url)).map(str::to_owned).collect(),
        sent_before: known.count("total_uploaded"),
        files,
        ..Addition::default()
    };
    Ok((addition, patch))
}
