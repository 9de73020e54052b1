//! `driver catalogue get NAME...`: downloads what is shared by name, and whatever
//! `driver TORRENT` downloads.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::cli::args::{Common, Options};
use crate::cli::catalogue::{ask, choose, failure, find};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::given::Hints;
use crate::tracker::catalogue_client::{CatalogueClient, Listing};

use super::download::{Found, FoundTorrent, found, start_found};

/// Downloads what is named.
///
/// # Errors
/// As `driver TORRENT`; when a name is in no catalogue, or there is no tracker to ask.
pub fn run(names: &[String], options: &Options, common: &Common) -> Outcome {
    let mut catalogue = None;
    start_found(names, options, common, false, &mut |name| {
        if is_torrent(name) {
            return found(name, &common.ways.egress());
        }
        let (client, listing) = match &mut catalogue {
            Some(opened) => opened,
            none => none.insert(ask(open(name, options, common))?),
        };
        ask(fetch(client, listing, name)).map(Found::torrent)
    })
}

/// Whether a word of the command line means a torrent, and not a name in a catalogue: what is
/// shared may lie beside, under the same name.
pub fn is_torrent(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let is_hash = matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash
        || [".torrent", ".meta4", ".metalink"].iter().any(|end| lower.ends_with(end))
        || ["magnet:", "http://", "https://"].iter().any(|start| lower.starts_with(start))
        || word.contains('/')
        || begins_as_torrent(Path::new(word))
}

/// Is there a file that begins as a torrent does: with a dictionary?
fn begins_as_torrent(path: &Path) -> bool {
    let mut begin = [0; 2];
    let opened = path.is_file().then(|| File::open(path).ok()).flatten();
    let read = opened.and_then(|mut file| file.read_exact(&mut begin).ok());
    read.is_some() && begin[0] == b'd' && begin[1].is_ascii_digit()
}

async fn open(
    name: &str,
    options: &Options,
    common: &Common,
) -> Result<(CatalogueClient, Listing), Failure> {
    let chosen = choose(&options.tracker, options.find_port, None, common).await;
    let client = chosen.map_err(|failure| match failure.exit {
        Exit::Network => {
            let name = escape(name);
            Failure::new(failure.exit, format!("{name}: no such file, and {failure}"))
        }
        _ => failure,
    })?;
    let listing = client.list().await.map_err(|error| failure(&error))?;
    Ok((client, listing))
}

/// The torrent of this name, with the tracker that was asked: its announce URL may be one that
/// leads nowhere from here.
///
/// # Errors
/// When nobody shares it, or the tracker sends something else.
pub async fn fetch(
    client: &CatalogueClient,
    listing: &Listing,
    name: &str,
) -> Result<FoundTorrent, Failure> {
    let listed = find(listing, name, client.base())?;
    let torrent = client.fetch(listed).await.map_err(|error| failure(&error))?;
    let trackers = Some(vec![client.announce()]);
    Ok(FoundTorrent { torrent, bytes: None, trackers, hints: Hints::default() })
}

#[cfg(test)]
mod tests {
    use super::is_torrent;

    #[test]
    fn what_looks_like_a_torrent_is_one() {
        let hash = "ab".repeat(20);
        for word in ["a.torrent", "A.TORRENT", "magnet:?x", "HTTP://x", "./a", "a/b", &hash] {
            assert!(is_torrent(word), "{word}");
        }
        for word in ["lecture", "lecture.pdf", "two words", &hash[1..]] {
            assert!(!is_torrent(word), "{word}");
        }
    }

    #[test]
    fn what_lies_beside_under_a_shared_name_is_no_torrent() {
        // The tests run here.
        assert!(std::path::Path::new("commands").is_dir() && !is_torrent("commands"));
        assert!(std::path::Path::new("Cargo.toml").is_file() && !is_torrent("Cargo.toml"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (content, is_it) in [("d8:announce", true), ("data", false), ("d", false), ("", false)]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(super::begins_as_torrent(&path), is_it, "{content:?}");
        }
        assert!(!super::begins_as_torrent(dir.path()));
    }
}
