//! `driver chunk ...`: every role of the course chunk protocol, one file each, and the
//! words of their command lines.

mod check;
mod cut;
mod failure;
mod merge;
mod provide;
mod tracker;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::chunk::tools;
use crate::chunk::wire::DISCOVERY_PORT;
use crate::cli::args::Common;
use crate::cli::exit::Outcome;
use crate::cli::values;

/// The roles and tools.
#[derive(Subcommand, Debug)]
pub enum ChunkCommand {
    /// Cut a file into chunks: writes file.ini and the chunks of alice and bob
    Cut(CutArgs),
    /// Serve the chunks of one provider
    Provide(ProvideArgs),
    /// Tell clients what there is and who has it
    Tracker(TrackerArgs),
    /// Put a file together from its chunks
    Merge(MergeArgs),
    /// Check that every chunk is where file.ini says, and is what it says
    Check(CheckArgs),
}

/// Runs one of them.
///
/// # Errors
/// As each of them says.
pub fn run(command: &ChunkCommand, common: &Common) -> Outcome {
    match command {
        ChunkCommand::Cut(arguments) => cut::run(arguments),
        ChunkCommand::Provide(arguments) => provide::run(arguments, common),
        ChunkCommand::Tracker(arguments) => tracker::run(arguments, common),
        ChunkCommand::Merge(arguments) => merge::run(arguments),
        ChunkCommand::Check(arguments) => check::run(arguments),
    }
}

/// Where the course's files lie.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// Directory of peers.ini and file.ini
    #[arg(long, value_name = "DIR", default_value = "config", value_hint = ValueHint::DirPath)]
    pub config: PathBuf,
    /// Directory of the chunks: <DIR>/<name>/<sha1>.bin
    #[arg(long, value_name = "DIR", default_value = "chunks", value_hint = ValueHint::DirPath)]
    pub chunks: PathBuf,
}

impl Places {
    fn borrowed(&self) -> tools::Places<'_> {
        tools::Places { config: &self.config, chunks: &self.chunks }
    }
}

/// Options of `chunk cut`.
#[derive(Args, Debug)]
pub struct CutArgs {
    /// The file to cut.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where the course's files lie.
    #[command(flatten)]
    pub places: Places,
    /// Bytes of a chunk; the last one is shorter
    #[arg(long, value_name = "SIZE", default_value = "512KiB", value_parser = values::size)]
    pub chunk_size: u64,
}

/// Options of `chunk provide`.
#[derive(Args, Debug)]
pub struct ProvideArgs {
    /// The provider: its section of peers.ini, its directory of chunks.
    pub name: String,
    /// Where the course's files lie.
    #[command(flatten)]
    pub places: Places,
}

/// Options of `chunk tracker`.
#[derive(Args, Debug)]
pub struct TrackerArgs {
    /// Directory of peers.ini and file.ini
    #[arg(long, value_name = "DIR", default_value = "config", value_hint = ValueHint::DirPath)]
    pub config: PathBuf,
    /// UDP port to be discovered at; 0 is any
    #[arg(long, value_name = "PORT", default_value_t = DISCOVERY_PORT)]
    pub discover_port: u16,
}

/// Options of `chunk merge`.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// Where the course's files lie.
    #[command(flatten)]
    pub places: Places,
    /// Save here; made when missing
    #[arg(short, long, value_name = "DIR", default_value = "downloads",
          value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    pub overwrite: bool,
}

/// Options of `chunk check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Where the course's files lie.
    #[command(flatten)]
    pub places: Places,
}
