//! A tracker's catalogue as the command line meets it: which tracker, a question from outside a
//! runtime, and what went wrong as exit codes. Not here: HTTP, and the table.

use std::future::Future;
use std::time::Duration;

use crate::tracker::catalogue_client::{CatalogueClient, Error, Listed, Listing};
use crate::tracker::find::{FoundTracker, find_at};

use super::escape::escape;
use super::exit::{Exit, Failure, from_io};
use super::out;
use super::print::nearest;

/// How long a tracker of the local network has to answer.
pub const PATIENCE: Duration = Duration::from_millis(1000);

/// Runs a question to the network to its end.
///
/// # Errors
/// As the question, or when there can be no runtime.
pub fn ask<T>(question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| from_io("cannot start the runtime", &error))?.block_on(question)
}

/// The catalogue of the first tracker given that is asked over HTTP, or of the only one on the
/// local network, which is told.
///
/// # Errors
/// When what was given is no address; when none is found (code 4) or several are (code 2, and
/// they are told).
pub async fn choose(
    given: &[String],
    find_port: u16,
    is_quiet: bool,
) -> Result<CatalogueClient, Failure> {
    if let Some(url) = first_of(given) {
        return CatalogueClient::new(url).map_err(|error| failure(&error));
    }
    let found = find_at(find_port, PATIENCE).await;
    match found.as_slice() {
        [] => Err(Failure::new(
            Exit::Network,
            "no tracker answers on this network: name one with --tracker URL, or start one with \
             driver tracker --listen 6969",
        )),
        [only] => {
            if !is_quiet {
                out::talk(&format!("Using the tracker {}", title(only)));
            }
            CatalogueClient::new(&only.url).map_err(|error| failure(&error))
        }
        several => {
            for tracker in several {
                out::talk(&format!("  {}", title(tracker)));
            }
            Err(Failure::usage("several trackers answer: choose one with --tracker URL"))
        }
    }
}

/// The tracker whose catalogue is meant: those of UDP keep none, and are there for announces.
pub fn first_of(given: &[String]) -> Option<&String> {
    let is_other = |url: &&String| url.to_ascii_lowercase().starts_with("udp://");
    given.iter().find(|url| !is_other(url)).or(given.first())
}

/// `http://10.0.0.2:6969 (lab)`.
pub fn title(tracker: &FoundTracker) -> String {
    format!("{} ({})", escape(&tracker.url), escape(&tracker.name))
}

/// What is listed under `name`.
///
/// # Errors
/// When there is none, with the nearest name as a hint.
pub fn find<'a>(listing: &'a Listing, name: &str, base: &str) -> Result<&'a Listed, Failure> {
    listing.find(name).ok_or_else(|| {
        let near = nearest(name, listing.torrents.iter().map(|listed| listed.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean \"{}\"?", escape(near)),
            None => "driver list shows what there is".to_owned(),
        };
        let name = escape(name);
        Failure::bad_input(format!("nobody shares \"{name}\" with the tracker at {base}: {hint}"))
    })
}

/// The exit code and words for each thing that can go wrong.
pub fn failure(error: &Error) -> Failure {
    let (exit, hint) = match error {
        Error::Url(_) | Error::Token => (Exit::Usage, ""),
        Error::Name(_) => (Exit::BadInput, ""),
        Error::Setup(_) => (Exit::Unexpected, ""),
        Error::Network { .. } => (Exit::Network, "; is it running, and the address right?"),
        Error::Refused { status: 401, .. } => {
            (Exit::BadInput, "; give it with --token or DRIVER_TOKEN")
        }
        Error::Refused { status: 409, .. } => (Exit::BadInput, " (--name, driver unshare)"),
        Error::Refused { status: 500.., .. } => (Exit::Network, "; try again later"),
        Error::Refused { .. } => (Exit::BadInput, ""),
        Error::TooLong { .. } | Error::Malformed { .. } => {
            (Exit::Network, "; is that the address of a driver tracker?")
        }
    };
    Failure::new(exit, escape(&error.to_string()) + hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::InfoHash;

    #[test]
    fn a_name_that_is_almost_right_brings_the_right_one() {
        let listed = |name: &str| Listed {
            name: name.to_owned(),
            info_hash: InfoHash([1; 20]),
            size: 1,
            files: 1,
            pieces: 1,
            seeds: 0,
            leeches: 0,
            holders: Vec::new(),
        };
        let listing = Listing { torrents: vec![listed("lecture"), listed("music")], left_out: 0 };
        assert!(find(&listing, "lecture", "x").is_ok());
        let said = |name: &str| find(&listing, name, "http://x").unwrap_err();
        let expected =
            "nobody shares \"lecutre\" with the tracker at http://x: did you mean \"lecture\"?";
        assert_eq!(said("lecutre").message, expected);
        assert_eq!(said("lecutre").exit, Exit::BadInput);
        assert!(said("zzzzz").message.ends_with(": driver list shows what there is"));
    }
}
