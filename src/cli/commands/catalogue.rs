//! `driver catalogue`: files shared by name with a tracker. Its words stood alone once, and still
//! may. What each does is in the file of its name.

use crate::cli::args::{CatalogueCommand, Common};
use crate::cli::exit::Outcome;
use crate::cli::out;

use super::{get, list, share};

/// Does it.
///
/// # Errors
/// As the command.
pub fn run(command: &CatalogueCommand, common: &Common) -> Outcome {
    match command {
        CatalogueCommand::List { tracker, holders, json } => {
            list::run(tracker, *holders || common.verbose > 0, *json, common)
        }
        CatalogueCommand::Get { names, options } => get::run(names, options, common),
        CatalogueCommand::Share(arguments) => share::run(arguments, common),
        CatalogueCommand::Unshare { name, tracker, token } => {
            share::take_back(name, tracker, token.as_deref(), common)
        }
    }
}

/// Does it, and says where the word has gone.
///
/// # Errors
/// As the command.
pub fn run_alone(command: &CatalogueCommand, common: &Common) -> Outcome {
    if let Some(notice) = notice(command).filter(|_| !common.quiet) {
        out::talk_wrapped(&notice);
    }
    run(command, common)
}

/// What is said of a word that stands alone; nothing where no catalogue is meant.
fn notice(command: &CatalogueCommand) -> Option<String> {
    let is_asked = match command {
        CatalogueCommand::Get { names, .. } => names.iter().any(|name| !get::is_torrent(name)),
        _ => true,
    };
    let word = command.word();
    is_asked.then(|| format!("driver {word} is now driver catalogue {word}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::{Cli, Command};

    use super::*;

    #[test]
    fn a_word_that_stands_alone_says_its_new_place() {
        let said = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Some(Command::Alone(command)) = cli.command else { panic!("{line}") };
            notice(&command)
        };
        let now = |word: &str| Some(format!("driver {word} is now driver catalogue {word}"));
        assert_eq!(said("driver list --json"), now("list"));
        assert_eq!(said("driver share album"), now("share"));
        assert_eq!(said("driver unshare album"), now("unshare"));
        assert_eq!(said("driver get album"), now("get"));
        assert_eq!(said("driver get a.torrent album"), now("get"));
        assert_eq!(said("driver get a.torrent magnet:?x"), None, "as without a command");
    }
}
