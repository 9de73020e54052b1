//! `driver get NAME...`: downloads what is shared by name, and whatever `driver TORRENT`
//! downloads.

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
            return found(name, options);
        }
        let (client, listing) = match &mut catalogue {
            Some(opened) => opened,
            none => none.insert(ask(open(name, options, common))?),
        };
        ask(fetch(client, listing, name)).map(Found::torrent)
    })
}

/// Whether a word of the command line means a torrent, and not a name in a catalogue.
pub fn is_torrent(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let is_hash = matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash
        || lower.ends_with(".torrent")
        || ["magnet:", "http://", "https://"].iter().any(|start| lower.starts_with(start))
        || word.contains('/')
        || Path::new(word).exists()
}

async fn open(
    name: &str,
    options: &Options,
    common: &Common,
) -> Result<(CatalogueClient, Listing), Failure> {
    let chosen = choose(&options.tracker, options.find_port, None, common.quiet).await;
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
        assert!(is_torrent("Cargo.toml"), "it exists");
        for word in ["lecture", "lecture.pdf", "two words", &hash[1..]] {
            assert!(!is_torrent(word), "{word}");
        }
    }
}
