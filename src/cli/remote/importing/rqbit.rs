//! What rqbit keeps: `session.json` with what is wanted of each torrent, and beside it
//! `HASH.torrent` (as version 8 writes them; not the database that it may use instead). Its
//! `HASH.bitv` says which pieces are there, and is not believed: it outlives files that somebody
//! changed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Addition, FilePatch};
use crate::cli::commands::load;
use crate::cli::exit::Failure;
use crate::metainfo::Torrent;

use super::known::{Found, Taken, Want, absolute, at_most, shown, wishes};

/// The file with all torrents.
const SESSION: &str = "session.json";
/// Bytes of it at most: all torrents are in it, with their trackers.
const SESSION_LEN_MAX: u64 = 256 << 20;

/// What it knows of all torrents, by numbers that go up.
#[derive(Deserialize)]
struct Session {
    torrents: Map<String, Value>,
}

/// What it knows of one.
#[derive(Deserialize)]
struct Known {
    info_hash: String,
    /// Its own and those that were named with it, in no order.
    #[serde(default)]
    trackers: Vec<String>,
    /// Where its files are, with the folder of several.
    output_folder: String,
    /// The files that are wanted, from 0, pad files counted; all when none.
    #[serde(default)]
    only_files: Option<HashSet<usize>>,
    #[serde(default)]
    is_paused: bool,
}

/// All torrents below this directory.
///
/// # Errors
/// It is none of rqbit's.
pub(super) fn read(dir: &Path) -> Result<Vec<Found>, Failure> {
    let path = dir.join(SESSION);
    if !path.exists() {
        return Err(Failure::bad_input(format!(
            "{} has no torrents of rqbit: name the directory with its {SESSION}, as \
             ~/.local/share/session",
            shown(dir)
        )));
    }
    let text = at_most(&path, SESSION_LEN_MAX).map_err(Failure::bad_input)?;
    let session: Session = serde_json::from_slice(&text)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", shown(&path))))?;
    let one = |(number, known): (String, Value)| match Known::deserialize(known) {
        Ok(known) => {
            let found = taken(dir, &number, &known);
            (found.as_ref().map_or(known.info_hash, |taken| taken.name.clone()), found)
        }
        Err(error) => (number, Err(format!("{SESSION}: {error}"))),
    };
    Ok(session.torrents.into_iter().map(one).collect())
}

fn taken(dir: &Path, number: &str, known: &Known) -> Result<Taken, String> {
    let hash = known.info_hash.as_str();
    if hash.len() != 40 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("{SESSION}: its hash is not one of 40 digits"));
    }
    let path = dir.join(format!("{hash}.torrent"));
    if !path.exists() {
        return Err(format!("its metadata is not kept there: add magnet:?xt=urn:btih:{hash}"));
    }
    let (torrent, bytes) = load::file(&path).map_err(|failure| failure.message)?;
    let below = place_of(&torrent, &absolute(&known.output_folder)?, &path)?;
    let (files, patch) = wishes(&torrent, |at| match &known.only_files {
        Some(only) if !only.contains(&at) => Want::Off,
        _ => Want::Normal,
    });
    let own: HashSet<String> = torrent.trackers.iter().flatten().map(|url| plain(url)).collect();
    let mut trackers: Vec<String> = known.trackers.clone();
    trackers.retain(|url| !own.contains(&plain(url)));
    trackers.sort_unstable();
    let addition = Addition {
        dir: Some(below.to_string_lossy().into_owned()),
        paused: known.is_paused,
        trackers,
        files,
        ..Addition::default()
    };
    debug_assert_eq!(patch, FilePatch::default(), "it knows no priorities");
    // Whoever came first stands first.
    let place = number.parse().unwrap_or(u64::MAX - 1);
    Ok(Taken { name: torrent.name, addition, files: patch, torrent: bytes, place })
}

/// A URL as rqbit writes it: of HTTP without the usual port, and with a path (RFC 3986, 6.2.3).
fn plain(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let usual = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return format!("{scheme}://{host}{path}"),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{}{slash}{path}", host.strip_suffix(usual).unwrap_or(&host))
}

/// The directory that holds the folder of the torrent, or its single file.
fn place_of(torrent: &Torrent, folder: &Path, path: &Path) -> Result<PathBuf, String> {
    if torrent.is_single_file() {
        return Ok(folder.to_owned());
    }
    let above = folder.parent();
    above.filter(|_| folder.file_name() == Some(OsStr::new(&torrent.name))).map_or_else(
        || {
            Err(format!(
                "its files are in {}, and are to be in a folder called {}: see to that, and have \
                 the daemon add {} with --dir",
                shown(folder),
                shown(Path::new(&torrent.name)),
                shown(path)
            ))
        },
        |above| Ok(above.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tracker_is_known_again_however_it_is_written() {
        for (one, other) in [
            ("HTTP://A.test:80/announce", "http://a.test/announce"),
            ("https://a:443", "https://a/"),
            ("http://a?x=1", "http://a/?x=1"),
            ("http://a:8080/Announce", "http://a:8080/Announce"),
            ("udp://A:80", "udp://a:80"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(super::plain(one), other);
        }
    }
}
