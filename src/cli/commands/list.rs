//! `driver catalogue list`: what is shared by name with a tracker.

use crate::cli::args::{Common, TrackerChoice};
use crate::cli::catalogue::{ask, choose, failure};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;
use crate::cli::print::{shared_json, shared_screen};

/// Lists it.
///
/// # Errors
/// When there is no tracker, or it does not answer well.
pub fn run(tracker: &TrackerChoice, with_holders: bool, is_json: bool, common: &Common) -> Outcome {
    let (client, listing) = ask(async {
        let client = choose(&tracker.tracker, tracker.find_port, None, common).await?;
        let listing = client.list().await.map_err(|error| failure(&error))?;
        Ok((client, listing))
    })?;
    match is_json {
        true => out::deliver_json(&shared_json(&listing, client.base()))?,
        false => {
            out::deliver(&shared_screen(&listing, false, with_holders, out::columns()))?;
        }
    }
    Ok(Exit::Done)
}
