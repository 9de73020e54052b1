//! Options of `daemon`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueHint};

use crate::cli::values::{self, Listen};
use crate::rpc::Prefix;

use super::options::Options;

/// What its help says behind the options.
pub(super) const DAEMON_NOTES: &str = "\
It keeps which torrents there are and what is wanted of them, and begins with those of the last
time. Ask it with driver remote, or by HTTP at /api/v1 (GET /api/v1/openapi.json tells what there
is); who asks by HTTP shows the token, who may open the socket needs none. Torrents go below --dir
and --root, wherever those who ask want them.

SIGHUP reads the limits, rules and schedules of the settings again, SIGTERM ends it within eight
seconds. Under systemd it tells when it is ready, and takes the sockets it is given.";

/// Options of `daemon`.
#[derive(Args, Clone, Debug)]
pub struct DaemonArgs {
    /// Be asked by HTTP here; nothing of that is encrypted
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6880", env = "DRIVER_HTTP",
          value_parser = values::door)]
    pub http: Listen,
    /// Be asked by nothing but the socket
    #[arg(long, env = "DRIVER_NO_HTTP", value_parser = BoolishValueParser::new())]
    pub no_http: bool,
    /// Be asked at this Unix socket, too [default: daemon/socket, in driver's state directory]
    #[arg(long, value_name = "FILE", env = "DRIVER_SOCKET", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// The token is in this file, made when missing [default: daemon/token, in the state directory]
    #[arg(long, value_name = "FILE", env = "DRIVER_DAEMON_TOKEN_FILE",
          value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// A name that it is asked by, besides localhost, addresses and what this machine is called
    #[arg(long, value_name = "NAME", env = "DRIVER_HOST", value_delimiter = ',')]
    pub host: Vec<String>,
    /// Tools for Transmission ask below this path: at PATH/rpc
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/transmission",
        env = "DRIVER_TRANSMISSION_PREFIX"
    )]
    pub transmission_prefix: Prefix,
    /// Torrents may go below this directory, too
    #[arg(long, value_name = "DIR", env = "DRIVER_ROOT", value_hint = ValueHint::DirPath)]
    pub root: Vec<PathBuf>,
    /// Downloads rest on a device with less room than this: 5GiB; 0 is off
    #[arg(long, value_name = "SIZE", env = "DRIVER_KEEP_FREE", value_parser = values::size)]
    pub keep_free: Option<u64>,
    /// How torrents are run.
    #[command(flatten)]
    pub options: Options,
}
