//! `driver catalogue` and its arguments: files shared by name with a tracker. What they mean is in
//! [`crate::cli::commands`].

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::values;
use crate::tracker::find::FIND_PORT;

use super::conduct::ConfigChoice;
use super::options::Options;

pub(super) const NOTES: &str = "\
A tracker (driver tracker) keeps a catalogue of torrents by name. The one on the local network is
found by itself; otherwise --tracker names it. A menu of the same: driver menu.";

const GET_NOTES: &str = "\
What exists as a file, ends in .torrent, or has a / is a torrent file; URLs, magnet links and
info hashes are what they look like. Anything else is a name in the catalogue of the tracker
given with --tracker, or of the one that is found on the local network.";

const SHARE_NOTES: &str = "\
Makes a torrent, registers it under its name with the tracker and uploads the data from where
it lies. Without --tracker the one on the local network is used. The name stays registered when
this program ends; driver catalogue unshare NAME takes it out. A tracker that others of the
network can reach wants a token: it prints one when it starts. -p is the piece length here.";

/// What to do with a catalogue.
#[derive(Subcommand, Debug)]
pub enum CatalogueCommand {
    /// List what is shared by name: sizes, seeds, leeches, and who has how much
    List {
        /// Which tracker.
        #[command(flatten)]
        tracker: TrackerChoice,
        /// Who has which share of the pieces; -v as well
        #[arg(long)]
        holders: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download by name; torrent files, URLs, magnet links and info hashes as well
    #[command(after_long_help = GET_NOTES)]
    Get {
        /// A name in the catalogue, or a .torrent file or its URL.
        #[arg(value_name = "NAME", required = true, value_hint = ValueHint::FilePath)]
        names: Vec<String>,
        /// How to download.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Share a file or directory by name: register it with a tracker, then upload it
    #[command(mut_arg("port", |arg| arg.short(None)), mut_arg("dir", |arg| arg.hide(true)),
              after_long_help = SHARE_NOTES)]
    Share(Box<ShareArgs>),
    /// Take a name out of a tracker's catalogue
    Unshare {
        /// The name.
        name: String,
        /// Which tracker.
        #[command(flatten)]
        tracker: TrackerChoice,
        /// The tracker's token; others of this machine can see it here
        #[arg(long, value_name = "TOKEN", env = "DRIVER_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
}

impl CatalogueCommand {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Get { .. } => "get",
            Self::Share(_) => "share",
            Self::Unshare { .. } => "unshare",
        }
    }
}

/// Options of `share`.
#[derive(Args, Clone, Debug)]
pub struct ShareArgs {
    /// The file or directory to share
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
    /// Share it under this name [default: that of the file or directory]
    #[arg(long)]
    pub name: Option<String>,
    /// The tracker's token; others of this machine can see it here
    #[arg(long, value_name = "TOKEN", env = "DRIVER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Bytes of a piece, a power of two: 256KiB [default: 16 KiB to 16 MiB, by the size]
    #[arg(short, long, value_name = "SIZE", value_parser = values::size)]
    pub piece_length: Option<u64>,
    /// How to upload.
    #[command(flatten)]
    pub options: Options,
}

/// Which tracker's catalogue.
#[derive(Args, Clone, Debug)]
pub struct TrackerChoice {
    /// The tracker [default: the one on the local network]
    #[arg(short = 'a', long, value_name = "URL", env = "DRIVER_TRACKER",
          value_delimiter = ' ', value_hint = ValueHint::Url)]
    pub tracker: Vec<String>,
    /// UDP port to look for trackers at
    #[arg(long, value_name = "PORT", default_value_t = FIND_PORT, env = "DRIVER_FIND_PORT",
          hide = true)]
    pub find_port: u16,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::args::{Cli, Command};

    #[test]
    fn each_word_may_stand_alone_but_is_listed_below_the_catalogue() {
        let command = Cli::command();
        let below = command.find_subcommand("catalogue").unwrap();
        for word in ["list", "get", "share", "unshare"] {
            assert!(!below.find_subcommand(word).unwrap().is_hide_set(), "{word}");
            assert!(command.find_subcommand(word).unwrap().is_hide_set(), "{word}");
            for (line, is_alone) in [("driver", true), ("driver catalogue", false)] {
                let argument = if word == "list" { "--json" } else { "x" };
                let line = format!("{line} {word} {argument}");
                let said = match Cli::try_parse_from(line.split(' ')).unwrap().command {
                    Some(Command::Alone(said)) if is_alone => said,
                    Some(Command::Catalogue { command }) if !is_alone => command,
                    other => panic!("{line}: {other:?}"),
                };
                assert_eq!(said.word(), word);
            }
        }
    }
}
