//! `driver magnet TORRENT`: the link that others find it by.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::{Common, ConfigChoice};
use crate::cli::catalogue::ask;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::given::{Given, Input};
use crate::cli::out;
use crate::cli::print::files_of;
use crate::cli::selection::positions;
use crate::cli::values::{self, Ranges};
use crate::metainfo::Magnet;
use crate::metainfo::magnet::Peer;

/// Options of `magnet`.
#[derive(Args, Clone, Debug)]
pub struct MagnetArgs {
    /// The .torrent file or its URL; or a magnet link, which is written anew
    #[arg(value_name = "TORRENT", value_hint = ValueHint::FilePath)]
    pub torrent: PathBuf,
    /// Leave trackers out, and with them their passkeys
    #[arg(long)]
    pub no_trackers: bool,
    /// Choose these files for whoever opens the link: 1-3,5
    #[arg(long, value_name = "RANGES", value_parser = values::ranges)]
    pub select: Option<Ranges>,
    /// Name this peer: ADDRESS:PORT or NAME:PORT
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = values::link_peer)]
    pub peer: Vec<Peer>,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

/// Prints the link.
///
/// # Errors
/// When the torrent cannot be read, or has no such files.
pub fn run(arguments: &MagnetArgs, common: &Common) -> Outcome {
    let given = Given::of(&arguments.torrent)?;
    // A link is written by what it says itself.
    let input = match given {
        Given::Link(link) => Input::Link(link),
        given => ask(given.open(&common.ways.egress()))?,
    };
    let (mut link, shown_files) = match input {
        Input::Torrent(loaded) => (Magnet::of(&loaded.torrent), Some(files_of(&loaded.torrent))),
        Input::Link(link) => (*link, None),
        Input::Metalink(_) => {
            let why = "a metalink has no magnet link; driver info shows its torrents";
            return Err(Failure::bad_input(why));
        }
    };
    if arguments.no_trackers {
        link.trackers.clear();
    }
    if let Some(ranges) = &arguments.select {
        link.wanted = positions(ranges, shown_files.as_deref()).map_err(Failure::usage)?;
    }
    for peer in &arguments.peer {
        if !link.peers.contains(peer) {
            link.peers.push(peer.clone());
        }
    }
    out::deliver(&format!("{}\n", escape(&link.to_string())))?;
    Ok(Exit::Done)
}
