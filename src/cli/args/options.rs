//! Options of a download, and of whatever else runs torrents.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};

use crate::cli::values::{self, Ranges, Rate};
use crate::net::egress::Remote;
use crate::tracker::find::FIND_PORT;

use super::conduct::{Blocklists, ConfigChoice};

/// Options of a download.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Save here; made when missing. Once for all torrents, or once for each
    #[arg(short, long, value_name = "DIR", default_value = "downloads", env = "DRIVER_DIR",
          aliases = ["output", "output-folder", "download-dir"], value_hint = ValueHint::DirPath)]
    pub dir: Vec<PathBuf>,
    /// Port to listen on; 0 is any [default: 6881 to 6889, else any]
    #[arg(
        short,
        long,
        value_name = "PORT",
        alias = "listen-port",
        env = "DRIVER_PORT",
        allow_negative_numbers = true
    )]
    pub port: Option<u16>,
    /// Most bytes a second to download: 500K, 2MiB; 0 is no limit
    #[arg(short = 'D', long, value_name = "RATE", default_value = "0",
          env = "DRIVER_DOWNLOAD_LIMIT", value_parser = values::rate,
          allow_negative_numbers = true, aliases = ["max-download-limit", "limit-rate"])]
    pub download_limit: Rate,
    /// Most bytes a second to upload: 500K, 2MiB; 0 is no limit
    #[arg(short = 'U', long, value_name = "RATE", default_value = "0",
          env = "DRIVER_UPLOAD_LIMIT", value_parser = values::rate,
          allow_negative_numbers = true, alias = "max-upload-limit")]
    pub upload_limit: Rate,
    /// Torrents that download at once; the others wait in the queue
    #[arg(long, value_name = "N", default_value_t = 5, env = "DRIVER_MAX_ACTIVE",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_active: u16,
    /// Most connected peers of a torrent
    #[arg(long, value_name = "N", default_value_t = 80, env = "DRIVER_MAX_PEERS",
          value_parser = clap::value_parser!(u16).range(1..=400))]
    pub max_peers: u16,
    /// Download only these files: 1-3,5; remembered until others are chosen, or all
    #[arg(long, value_name = "RANGES", alias = "select-file", env = "DRIVER_SELECT",
          value_parser = values::ranges)]
    pub select: Option<Ranges>,
    /// Download all but these files
    #[arg(long, value_name = "RANGES", env = "DRIVER_EXCLUDE", value_parser = values::ranges)]
    pub exclude: Option<Ranges>,
    /// Keep the .torrent that was fetched, or whose metadata peers sent, as this file
    #[arg(long, value_name = "FILE", env = "DRIVER_SAVE_TORRENT", value_hint = ValueHint::FilePath)]
    pub save_torrent: Option<PathBuf>,
    /// Connect to this peer: ADDRESS:PORT
    #[arg(long, value_name = "ADDR", env = "DRIVER_PEER", value_delimiter = ',',
          value_parser = values::peer)]
    pub peer: Vec<SocketAddr>,
    /// Ask this tracker too
    #[arg(short = 'a', long, value_name = "URL", env = "DRIVER_TRACKER",
          value_delimiter = ' ', value_hint = ValueHint::Url, value_parser = values::tracker)]
    pub tracker: Vec<String>,
    /// Also ask the providers of a course's chunk tracker
    #[arg(long, value_name = "ADDR", env = "DRIVER_CHUNK_TRACKER",
          value_parser = values::place)]
    pub chunk_tracker: Option<Remote>,
    /// Also ask the providers in a course's peers.ini and file.ini
    #[arg(long, value_name = "DIR", env = "DRIVER_CHUNK_CONFIG", value_hint = ValueHint::DirPath)]
    pub chunk_config: Option<PathBuf>,
    /// Fetch from this server, too: the URL of the file, or of what the torrent's name is below
    #[arg(short = 'w', long, value_name = "URL", env = "DRIVER_WEB_SEED",
          value_delimiter = ' ', value_hint = ValueHint::Url, value_parser = values::web_seed)]
    pub web_seed: Vec<String>,
    /// Fetch from no server that a torrent, a link or a metalink names
    #[arg(long, env = "DRIVER_NO_WEB_SEEDS", value_parser = BoolishValueParser::new())]
    pub no_web_seeds: bool,
    /// Most connections to a server of files, for each torrent
    #[arg(long, value_name = "N", default_value_t = 8, env = "DRIVER_WEB_CONNECTIONS",
          value_parser = clap::value_parser!(u16).range(1..=16))]
    pub web_connections: u16,
    /// Most bytes a second from all servers of files together: 500K, 2MiB; 0 is no limit
    #[arg(long, value_name = "RATE", default_value = "0", env = "DRIVER_WEB_LIMIT",
          value_parser = values::rate, allow_negative_numbers = true)]
    pub web_limit: Rate,
    /// Let torrents and redirects name servers in the own network and on this machine, too
    #[arg(long, env = "DRIVER_ALLOW_LOCAL_WEB_SEEDS", value_parser = BoolishValueParser::new())]
    pub allow_local_web_seeds: bool,
    /// Ask no tracker
    #[arg(long, env = "DRIVER_NO_TRACKERS", value_parser = BoolishValueParser::new())]
    pub no_trackers: bool,
    /// Take no part in the DHT (with private torrents it is never done)
    #[arg(long, env = "DRIVER_NO_DHT", value_parser = BoolishValueParser::new())]
    pub no_dht: bool,
    /// Enter the DHT here when no other node answers: HOST:PORT; '' is nowhere [default: three
    /// public routers]
    #[arg(long, value_name = "ADDR", env = "DRIVER_DHT_BOOTSTRAP", value_delimiter = ',',
          value_parser = values::node, hide_short_help = true)]
    pub dht_bootstrap: Vec<String>,
    /// Exchange no peers with peers (of private torrents it is never done)
    #[arg(long, env = "DRIVER_NO_PEX", value_parser = BoolishValueParser::new())]
    pub no_pex: bool,
    /// Look for no peers in the local network, and tell it nothing (--bind and --proxy do so, too)
    #[arg(long, env = "DRIVER_NO_LSD", value_parser = BoolishValueParser::new())]
    pub no_lsd: bool,
    /// Not there yet, so always in force
    #[arg(long, env = "DRIVER_NO_UTP", value_parser = BoolishValueParser::new(),
          hide_short_help = true)]
    pub no_utp: bool,
    /// Have no router open our ports by PCP, NAT-PMP or UPnP (with --proxy it is never done)
    #[arg(long, env = "DRIVER_NO_PORTMAP", value_parser = BoolishValueParser::new())]
    pub no_portmap: bool,
    /// Upload after completion: for ever, or up to this ratio
    #[arg(long, value_name = "RATIO", num_args = 0..=1, require_equals = true,
          default_missing_value = "inf", env = "DRIVER_SEED", value_parser = values::ratio)]
    pub seed: Option<f64>,
    /// Upload this long after completion: 30m, 2h
    #[arg(long, value_name = "DUR", env = "DRIVER_SEED_TIME", value_parser = values::duration,
          allow_negative_numbers = true)]
    pub seed_time: Option<Duration>,
    /// Exit when complete, even on a terminal
    #[arg(short, long, env = "DRIVER_EXIT_ON_FINISH", value_parser = BoolishValueParser::new())]
    pub exit_on_finish: bool,
    /// Look at every byte that is on disk
    #[arg(long, env = "DRIVER_CHECK", value_parser = BoolishValueParser::new())]
    pub check: bool,
    /// Ignore the saved state
    #[arg(long, env = "DRIVER_NO_RESUME", value_parser = BoolishValueParser::new())]
    pub no_resume: bool,
    /// Use existing files even when they differ
    #[arg(long, env = "DRIVER_OVERWRITE", value_parser = BoolishValueParser::new())]
    pub overwrite: bool,
    /// How files get their space
    #[arg(
        long,
        value_name = "HOW",
        default_value = "sparse",
        env = "DRIVER_ALLOCATE",
        alias = "file-allocation"
    )]
    pub allocate: Allocate,
    /// Pieces in order instead of rarest first
    #[arg(long, env = "DRIVER_SEQUENTIAL", value_parser = BoolishValueParser::new())]
    pub sequential: bool,
    /// Which connections to peers are encrypted
    #[arg(long, value_name = "HOW", default_value = "prefer", env = "DRIVER_ENCRYPTION")]
    pub encryption: Encryption,
    /// Whom nobody speaks to.
    #[command(flatten)]
    pub blocklists: Blocklists,
    /// Give up when no byte arrived for so long: 30s, 5m
    #[arg(long, value_name = "DUR", env = "DRIVER_TIMEOUT", value_parser = values::duration,
          allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Take commands [default: when stdin is a terminal and stdout too, or stdin a pipe]
    #[arg(long, env = "DRIVER_REPL", value_parser = BoolishValueParser::new())]
    pub repl: bool,
    /// Take no commands
    #[arg(long, env = "DRIVER_NO_REPL", value_parser = BoolishValueParser::new())]
    pub no_repl: bool,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
    /// Print events as JSON, one a line
    #[arg(long, env = "DRIVER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// UDP port to look for trackers at
    #[arg(long, value_name = "PORT", default_value_t = FIND_PORT, env = "DRIVER_FIND_PORT",
          hide = true)]
    pub find_port: u16,
}

/// `--allocate`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocate {
    /// Grow as data comes
    None,
    /// Full length at once, without blocks on disk
    Sparse,
    /// Full length and all blocks on disk
    #[value(alias = "falloc")]
    Full,
}

/// `--encryption`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// Encrypted handshakes first, plain ones too; the rest is encrypted if the peer wants that
    Prefer,
    /// Everything encrypted, and nobody else
    Require,
    /// Plain handshakes first, encrypted ones too
    Allow,
    /// Plain connections only
    Off,
}

impl From<Encryption> for crate::session::Encryption {
    fn from(encryption: Encryption) -> Self {
        match encryption {
            Encryption::Prefer => Self::Prefer,
            Encryption::Require => Self::Require,
            Encryption::Allow => Self::Allow,
            Encryption::Off => Self::Off,
        }
    }
}
