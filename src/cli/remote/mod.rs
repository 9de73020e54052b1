//! `driver remote`: asks a daemon by its API, and shows what it answers. It keeps no truth of its
//! own, and decides nothing about a download.
//!
//! | file | what |
//! |---|---|
//! | `place` | where the daemon is, and what opens it |
//! | `asking` | questions, answers and refusals |
//! | `names` | which torrents are meant |
//! | `commands` | what each command does |
//! | `look` | commands that look |
//! | `find` | torrents by words |
//! | `rules` | what rules do to torrents, and what those of a file would do |
//! | `change` | commands that change something |
//! | `adding` | `add` |
//! | `importing` | the torrents of other clients |
//! | `complete` | what shells offer for a word |
//! | `prompt` | commands one after the other |
//! | `watch`, `log` | what goes on until it is ended |
//! | `screens`, `table`, `bar`, `picture`, `words` | what people see |

mod adding;
mod asking;
mod bar;
mod change;
mod commands;
mod complete;
mod feeds;
mod find;
mod importing;
mod log;
mod look;
mod names;
mod picture;
mod place;
mod prompt;
mod rules;
#[cfg(test)]
mod sample;
mod screens;
mod table;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use super::args::{ImportArgs, RemoteArgs, RemoteCommand};
use super::catalogue::ask;
use super::exit::Outcome;

use asking::{Remote, Voice};
pub use rules::dry_run;

/// Runs the command.
///
/// # Errors
/// Nobody answers, the token is wrong, no torrent is meant, or what is asked for is refused.
pub fn run(arguments: &RemoteArgs, quiet: bool) -> Outcome {
    if let Some(RemoteCommand::Complete { words }) = &arguments.command {
        return complete::run(arguments, words);
    }
    let mut voice = Voice::of_process(arguments.json, quiet);
    if let Some(RemoteCommand::Import(what)) = &arguments.command
        && what.dry_run
    {
        return importing::dry_run(&mut voice, what);
    }
    let place = place::find(&arguments.daemon)?;
    ask(async {
        let mut remote = Remote::new(place, voice)?;
        match &arguments.command {
            Some(command) => commands::carry_out(&mut remote, command).await,
            None => prompt::run(&mut remote, arguments).await,
        }
    })
}

/// Takes over the torrents of another client.
///
/// # Errors
/// Nobody answers, the token is wrong, or nothing of that client is there.
pub fn import(arguments: &ImportArgs, quiet: bool) -> Outcome {
    let mut voice = Voice::of_process(false, quiet);
    if arguments.what.dry_run {
        return importing::dry_run(&mut voice, &arguments.what);
    }
    let place = place::find(&arguments.daemon)?;
    ask(async { importing::import(&mut Remote::new(place, voice)?, &arguments.what).await })
}
