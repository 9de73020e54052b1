//! Options that many commands take: how much is said, what may leave and how, whom nobody speaks
//! to, and where settings are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum, ValueHint};

use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::values;
use crate::net::blocklist::{Lists, Source};
use crate::net::egress::{Egress, Policy, Proxy, authorities};

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Errors only
    #[arg(short, long, global = true, env = "DRIVER_QUIET",
          value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// More log lines (-vv: even more)
    #[arg(short, long, global = true, action = ArgAction::Count, env = "DRIVER_VERBOSE")]
    pub verbose: u8,
    /// Write log lines to this file
    #[arg(long, value_name = "FILE", global = true, env = "DRIVER_LOG")]
    pub log: Option<PathBuf>,
    /// Colours in help and where something goes wrong
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", env = "DRIVER_COLOR")]
    pub color: When,
    /// Most memory for data: 48MiB, at least 8MiB [default: an eighth of what there is, 16 to
    /// 52 MiB]
    #[arg(long, value_name = "SIZE", global = true, env = "DRIVER_MEMORY",
          value_parser = values::memory)]
    pub memory: Option<u64>,
    /// What may leave, and how.
    #[command(flatten)]
    pub ways: Ways,
}

/// The ways out, which every command that speaks to anybody keeps to.
#[derive(Args, Clone, Debug)]
pub struct Ways {
    /// Leave by this network device alone, with its address: tun0. Nothing leaves while it is not
    /// there
    #[arg(long, value_name = "DEV", global = true, env = "DRIVER_INTERFACE",
          value_parser = values::device)]
    pub interface: Option<String>,
    /// Listen on and speak from this address [default: all, both families]
    #[arg(long, value_name = "ADDR", global = true, env = "DRIVER_BIND")]
    pub bind: Option<IpAddr>,
    /// Connect through this proxy: socks5://[USER:PASSWORD@]HOST:PORT, or http://…
    #[arg(long, value_name = "URL", global = true, env = "DRIVER_PROXY",
          value_parser = values::proxy)]
    pub proxy: Option<Proxy>,
    /// Only peers through the proxy, all else directly
    #[arg(long, global = true, env = "DRIVER_PROXY_PEERS", value_parser = BoolishValueParser::new())]
    pub proxy_peers: bool,
    /// Ask this name server instead of the system's: 10.8.0.1, 10.8.0.1:53
    #[arg(long, value_name = "ADDR", global = true, env = "DRIVER_DNS",
          value_parser = values::name_server)]
    pub dns: Option<SocketAddr>,
    /// Trust the authorities in this file (PEM), too, whenever a server proves its name by TLS
    #[arg(long, value_name = "FILE", global = true, env = "DRIVER_CA",
          value_hint = ValueHint::FilePath)]
    pub ca: Vec<PathBuf>,
}

impl Ways {
    /// Looks whether files of certificates are there, and have some.
    ///
    /// # Errors
    /// `BadInput`: no server would ever be trusted by such a file.
    pub fn check(&self) -> Result<(), Failure> {
        let why = |why: String| Failure::bad_input(format!("--ca {}", escape(&why)));
        authorities(&self.ca).map(drop).map_err(why)
    }

    /// What makes the sockets.
    pub fn egress(&self) -> Egress {
        Egress::new(Policy {
            device: self.interface.clone(),
            bind: self.bind,
            proxy: self.proxy.clone(),
            only_peers: self.proxy_peers,
            dns: self.dns,
            authorities: self.ca.clone(),
        })
    }
}

/// Whom nothing is to be had to do with, for the commands that speak to peers or nodes.
#[derive(Args, Clone, Debug)]
pub struct Blocklists {
    /// Speak to no peer on this list, which is read again when it changes: P2P, DAT, CIDR, packed
    /// or not. May be given several times
    #[arg(long, value_name = "FILE|URL", env = "DRIVER_BLOCKLIST", value_hint = ValueHint::FilePath,
          value_parser = values::blocklist)]
    pub blocklist: Vec<Source>,
    /// Take a blocklist that blocks more than half of all addresses, too
    #[arg(long, env = "DRIVER_BLOCKLIST_FORCE", value_parser = BoolishValueParser::new(),
          hide_short_help = true)]
    pub blocklist_force: bool,
}

impl Blocklists {
    /// What is to be read.
    pub fn lists(&self) -> Lists {
        let (sources, is_forced) = (self.blocklist.clone(), self.blocklist_force);
        Lists { sources, is_forced, ..Lists::default() }
    }
}

/// Where settings are, for the commands that have any; read by [`crate::cli::config`] alone.
#[derive(Args, Clone, Debug)]
pub struct ConfigChoice {
    /// Read settings from this file
    #[arg(long, value_name = "FILE", env = "DRIVER_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Read no config file
    #[arg(long, env = "DRIVER_NO_CONFIG", value_parser = BoolishValueParser::new())]
    pub no_config: bool,
}

/// `--color`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// On a terminal that can
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
