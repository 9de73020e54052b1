//! `driver chunk ...`: every role of the course chunk protocol, one file each, and the
//! words of their command lines.

mod check;
mod cut;
mod demo;

mod failure;
mod get;
mod merge;
mod provide;
mod tracker;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

pub(super) use provide::until_told;

use crate::chunk::tools;
use crate::chunk::wire::DISCOVERY_PORT;
use crate::cli::args::Common;
use crate::cli::exit::Outcome;
use crate::cli::values::{self, Rate};
use crate::net::egress::Remote;

/// The roles and tools.
#[derive(Subcommand, Debug)]
pub enum ChunkCommand {
    /// Download a file from the providers that a listing names
    Get(Box<GetArgs>),
    /// Cut a file into chunks: writes file.ini and the chunks of alice and bob
    Cut(CutArgs),
    /// Serve the chunks of one provider
    Provide(ProvideArgs),
    /// Tell clients what there is and who has it
    Tracker(TrackerArgs),
    /// Put a file together from its chunks
    Merge(MergeArgs),
    /// Try it out: alice, bob, a tracker and charlie on this machine, through all three steps
    Demo(DemoArgs),
    /// Check that every chunk is where file.ini says, and is what it says
    Check(CheckArgs),
}

/// Runs one of them.
///
/// # Errors
/// As each of them says.
pub fn run(command: &ChunkCommand, common: &Common) -> Outcome {
    match command {
        ChunkCommand::Get(arguments) => get::run(arguments, common),
        ChunkCommand::Cut(arguments) => cut::run(arguments),
        ChunkCommand::Provide(arguments) => provide::run(arguments, common),
        ChunkCommand::Tracker(arguments) => tracker::run(arguments, common),
        ChunkCommand::Demo(arguments) => demo::run(arguments, common),
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

/// Options of `chunk get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Step 1: the listing of peers.ini and file.ini in this directory; step 2: without
    /// file.ini, the tracker of peers.ini [default: config]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub config: Option<PathBuf>,
    /// Step 2: the listing of this tracker; without ADDR that of peers.ini
    #[arg(long, value_name = "ADDR", num_args = 0..=1, value_parser = values::place)]
    pub tracker: Option<Option<Remote>>,
    /// Step 3: look for trackers by broadcast, use the one that answers first
    #[arg(long, conflicts_with_all = ["config", "tracker"])]
    pub discover: bool,
    /// Where to broadcast to
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::BROADCAST, requires = "discover")]
    pub broadcast: Ipv4Addr,
    /// UDP port that trackers are discovered at
    #[arg(long, value_name = "PORT", default_value_t = DISCOVERY_PORT, requires = "discover")]
    pub discover_port: u16,
    /// Keep the chunks too, as <chunks>/<name>/<sha1>.bin, and use those that are there
    #[arg(long)]
    pub keep_chunks: bool,
    /// Directory of kept chunks
    #[arg(long, value_name = "DIR", default_value = "chunks", value_hint = ValueHint::DirPath)]
    pub chunks: PathBuf,
    /// What to call ourselves in it
    #[arg(long, value_name = "NAME", default_value = "charlie")]
    pub name: String,
    /// Save here; made when missing
    #[arg(short, long, value_name = "DIR", default_value = "downloads",
          value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Most bytes a second to download: 500K, 2MiB; 0 is no limit
    #[arg(short = 'D', long, value_name = "RATE", default_value = "0", value_parser = values::rate)]
    pub download_limit: Rate,
    /// Exit when complete, even on a terminal
    #[arg(short, long)]
    pub exit_on_finish: bool,
    /// Look at every byte that is on disk
    #[arg(long)]
    pub check: bool,
    /// Use existing files even when they differ
    #[arg(long)]
    pub overwrite: bool,
    /// Give up when no byte arrived for so long: 30s, 5m
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub timeout: Option<Duration>,
    /// Take commands [default: when stdin is a terminal and stdout too, or stdin a pipe]
    #[arg(long)]
    pub repl: bool,
    /// Take no commands
    #[arg(long, conflicts_with = "repl")]
    pub no_repl: bool,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub json: bool,
}

/// Options of `chunk demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Keep ./driver-chunk-demo afterwards
    #[arg(long)]
    pub keep: bool,
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
    /// Replace a file.ini that is there already
    #[arg(long)]
    pub overwrite: bool,
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
    /// What to call ourselves; some programs look for exactly this name
    #[arg(long, value_name = "NAME", default_value = "tracker")]
    pub name: String,
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
