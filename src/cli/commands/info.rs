//! `driver info`: what is in a torrent, or what a magnet link says, for people, for programs, or
//! byte for byte.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueHint};

use crate::cli::args::{Blocklists, Common, ConfigChoice, Encryption};
use crate::cli::catalogue::ask;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::given::{Given, Input, Loaded, save};
use crate::cli::out;
use crate::cli::print::{
    InfoJson, LinkJson, contents_screen, info_screen, link_screen, metalink_json, metalink_screen,
};
use crate::cli::values;
use crate::metainfo::Magnet;
use crate::metalink::Metalink;

use super::fetch::fetched;

/// Options of `info`.
#[derive(Args, Clone, Debug)]
pub struct InfoArgs {
    /// The .torrent file or metalink, or the URL of one; or a magnet link or info hash, of which
    /// nobody is asked without --fetch
    #[arg(value_name = "TORRENT", value_hint = ValueHint::FilePath)]
    pub torrent: PathBuf,
    /// List all files, with the numbers that --select takes
    #[arg(short, long)]
    pub files: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// Write the info dictionary as it is, byte for byte
    #[arg(long)]
    pub raw: bool,
    /// Get the torrent of a magnet link or info hash from its peers
    #[arg(long)]
    pub fetch: bool,
    /// With --fetch: give up when nothing came for so long: 30s, 5m
    #[arg(long, value_name = "DUR", value_parser = values::duration, requires = "fetch")]
    pub timeout: Option<Duration>,
    /// With --fetch: ask this peer too
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = values::peer,
          requires = "fetch")]
    pub peer: Vec<SocketAddr>,
    /// With --fetch: ask this tracker too
    #[arg(short = 'a', long, value_name = "URL", value_delimiter = ',', requires = "fetch",
          value_parser = values::tracker)]
    pub tracker: Vec<String>,
    /// With --fetch: do not ask the DHT
    // What the environment says is said of every `info`, so that it needs no --fetch.
    #[arg(long, env = "DRIVER_NO_DHT", value_parser = BoolishValueParser::new())]
    pub no_dht: bool,
    /// With --fetch: enter the DHT here when no other node answers: HOST:PORT; '' is nowhere
    /// [default: three public routers]
    #[arg(long, value_name = "ADDR", env = "DRIVER_DHT_BOOTSTRAP", value_delimiter = ',',
          value_parser = values::node, hide_short_help = true)]
    pub dht_bootstrap: Vec<String>,
    /// With --fetch: which connections to peers are encrypted
    #[arg(
        long,
        value_name = "HOW",
        default_value = "prefer",
        env = "DRIVER_ENCRYPTION",
        hide_short_help = true
    )]
    pub encryption: Encryption,
    /// Whom --fetch does not ask.
    #[command(flatten)]
    pub blocklists: Blocklists,
    /// Keep the .torrent that was fetched as this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub save_torrent: Option<PathBuf>,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

/// Prints what is in the torrent, or what the link says.
///
/// # Errors
/// When it is no valid torrent or link, a link is asked for what only its torrent has, or nobody
/// has that.
pub fn run(arguments: &InfoArgs, common: &Common) -> Outcome {
    let input = match Given::of(&arguments.torrent)? {
        Given::Link(link) => Input::Link(link),
        given => ask(given.open(&common.ways.egress()))?,
    };
    match input {
        Input::Torrent(loaded) => of_torrent(&loaded, arguments)?,
        Input::Link(link) if arguments.fetch => {
            of_torrent(&fetched(*link, arguments, common)?, arguments)?;
        }
        Input::Link(link) => of_link(&link, arguments)?,
        Input::Metalink(metalink) => of_metalink(&metalink, arguments)?,
    }
    Ok(Exit::Done)
}

fn of_torrent(loaded: &Loaded, arguments: &InfoArgs) -> Result<(), Failure> {
    let torrent = &loaded.torrent;
    if let Some(path) = &arguments.save_torrent {
        save(&loaded.bytes, path)?;
    }
    if arguments.raw {
        out::deliver_by(|to| to.write_all(torrent.raw_info()))
    } else if arguments.json {
        out::deliver_json(&InfoJson::of(torrent))
    } else {
        out::deliver(&info_screen(torrent, out::line_columns()))?;
        match arguments.files {
            // Whole paths: this list is often read by other programs.
            true => out::deliver(&contents_screen(torrent, None, usize::MAX)),
            false => Ok(()),
        }
    }
}

fn of_metalink(metalink: &Metalink, arguments: &InfoArgs) -> Result<(), Failure> {
    let beyond = [
        ("--raw", arguments.raw),
        ("--fetch", arguments.fetch),
        ("--save-torrent", arguments.save_torrent.is_some()),
    ];
    if let Some((option, _)) = beyond.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::usage(format!("{option} is for a torrent, and this is a metalink")));
    }
    match arguments.json {
        true => out::deliver_json(&metalink_json(metalink)),
        false => out::deliver(&metalink_screen(metalink, out::line_columns())),
    }
}

fn of_link(link: &Magnet, arguments: &InfoArgs) -> Result<(), Failure> {
    let beyond = [
        ("--files", arguments.files),
        ("--raw", arguments.raw),
        ("--save-torrent", arguments.save_torrent.is_some()),
    ];
    if let Some((option, _)) = beyond.iter().find(|(_, is_given)| *is_given) {
        let why = format!(
            "{option} is for the torrent itself, which a magnet link does not hold: --fetch gets it"
        );
        return Err(Failure::usage(why));
    }
    match arguments.json {
        true => out::deliver_json(&LinkJson(link)),
        false => out::deliver(&link_screen(link, out::line_columns())),
    }
}
