//! `driver chunk tracker`: tells clients what there is and who has it until it is told to end.

use tokio::net::UdpSocket;

use crate::chunk::config::{self, Live};
use crate::chunk::tracker::{Listing, bind_discovery, serve};
use crate::cli::args::Common;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::logs::Unnamed;
use crate::cli::{logs, out};

use super::TrackerArgs;
use super::provide::{listen, until_told};

/// Runs it.
///
/// # Errors
/// When the configuration files cannot be used or do not fit each other, or a port cannot be
/// opened.
pub fn run(arguments: &TrackerArgs, common: &Common) -> Outcome {
    let dir = &arguments.config;
    logs::start(common, Unnamed::Errors)?;
    let bad = |text: String| Failure::bad_input(escape(&text));
    let mut live = Live::open(dir).map_err(|error| bad(error.to_string()))?;
    let (peers, _, _) = live.current();
    let peers_path = dir.join(config::PEERS);
    let address =
        peers.tracker().map_err(|error| bad(format!("{}: {error}", peers_path.display())))?;
    let listing = Listing::new(live)
        .map_err(|error| bad(format!("{}: {error}", dir.join(config::FILE).display())))?;
    until_told(async |stopper| {
        let (tcp, address) = listen(address, "tracker", &peers_path)?;
        let (udp, port) = discovery(arguments.discover_port)?;
        let file = listing.file();
        let what = match file.chunks.len() {
            1 => format!("{} (1 chunk)", file.filename),
            count => format!("{} ({count} chunks)", file.filename),
        };
        let line = format!("tracker for {what} on {address}, discovered at UDP {port}");
        out::answer_wrapped(&format!("{}\n", escape(&line)));
        serve(tcp, udp, listing, arguments.name.clone(), stopper.asked()).await;
        Ok(Exit::Done)
    })
}

/// Opens the port to be discovered at, and tells which it is.
fn discovery(port: u16) -> Result<(UdpSocket, u16), Failure> {
    let open = || {
        let udp = bind_discovery(port)?;
        let address = udp.local_addr()?;
        Ok((udp, address.port()))
    };
    open().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(
            Exit::InUse,
            format!(
                "cannot be discovered at UDP port {port}: another program has it and does not \
                 share; end it, or choose another one with --discover-port"
            ),
        ),
        _ => Failure::new(Exit::Network, format!("cannot open UDP port {port}: {error}")),
    })
}
