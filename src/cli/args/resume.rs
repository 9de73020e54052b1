//! Options of `driver resume`.

use clap::Subcommand;

use crate::base::ids::InfoHash;
use crate::metainfo::Magnet;

/// What to do with the records.
#[derive(Subcommand, Clone, Debug)]
pub enum ResumeCommand {
    /// List what is kept of earlier downloads, the oldest first
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove records, never data: the next start of such a torrent reads all of it again
    Clear {
        /// Those of these torrents.
        #[arg(value_name = "HASH", value_parser = hash)]
        hashes: Vec<InfoHash>,
        /// Those that were not used for so many days
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u32>,
        /// Those whose data is gone; that of a disk which is not mounted is, too
        #[arg(long)]
        missing: bool,
        /// All of them
        #[arg(long, conflicts_with_all = ["hashes", "older_than", "missing"])]
        all: bool,
        /// Only say which
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn hash(text: &str) -> Result<InfoHash, String> {
    let link = Magnet::from_hash(text).and_then(|link| link.info_hash_v1);
    link.ok_or_else(|| "an info hash has 40 digits: driver resume list shows them".to_owned())
}
