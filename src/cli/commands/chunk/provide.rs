//! `driver chunk provide`: serves the chunks of one provider until it is told to end.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use tokio::net::TcpListener;

use crate::chunk::store::ChunkStore;
use crate::chunk::{config, provider};
use crate::cli::args::Common;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::logs::Unnamed;
use crate::cli::stop::Stopper;
use crate::cli::{logs, out};
use crate::net::egress::Egress;
use crate::net::{self, tcp};

use super::ProvideArgs;

/// Runs it.
///
/// # Errors
/// When `peers.ini` cannot be used or does not know the provider, or its port cannot be
/// opened.
pub fn run(arguments: &ProvideArgs, common: &Common) -> Outcome {
    let ProvideArgs { name, places } = arguments;
    logs::start(common, Unnamed::Errors)?;
    let peers = config::peers(&places.config)
        .map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
    let peers_path = places.config.join(config::PEERS);
    let address = peers.provider(name).map_err(|error| {
        let text = format!("{}: {error}{}", peers_path.display(), known(peers.providers.keys()));
        Failure::bad_input(escape(&text))
    })?;
    let store = ChunkStore::new(&places.chunks, name)
        .map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
    until_told(async |stopper| {
        let (listener, address) = listen(address, name, &peers_path)?;
        let line = format!("{name} serves {} on {address}", store.dir().display());
        out::answer_wrapped(&format!("{}\n", escape(&line)));
        provider::serve(listener, store, stopper.asked()).await;
        Ok(Exit::Done)
    })
}

/// Who there is, as the end of a sentence that says who there is not.
fn known<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

/// Runs a server that ends when the stopper says so: on SIGINT, SIGTERM, and SIGHUP of a
/// terminal.
///
/// # Errors
/// What the server says, or the system when it gives us no threads.
pub(in crate::cli::commands) fn until_told(serve: impl AsyncFnOnce(Stopper) -> Outcome) -> Outcome {
    let stopper = Stopper::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Looking up chunks; a disk has no use for more at once.
        .max_blocking_threads(8)
        .build()
        .map_err(|error| from_io("cannot start the runtime", &error))?;
    let outcome = runtime.block_on(async {
        stopper.listen().map_err(|error| from_io("cannot listen for signals", &error))?;
        serve(stopper).await
    });
    // A lookup that waits for a disk is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Listens where the section `section` of `peers.ini` says; tells where that is, because
/// port 0 becomes any.
///
/// # Errors
/// When another program has the port, or the address is not of this machine.
pub(super) fn listen(
    address: SocketAddrV4,
    section: &str,
    peers_path: &Path,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let here = Egress::from_address(Some((*address.ip()).into()));
    let listening = tcp::listen(&here, Some(address.port()));
    let key = |key: &str| escape(&format!("{key} of [{section}] in {}", peers_path.display()));
    let listening = listening.map_err(|error| match error {
        net::Error::PortTaken { .. } => Failure::new(
            Exit::InUse,
            format!(
                "cannot listen on {address}: another program has that port; end it, or change {}",
                key("port_number")
            ),
        ),
        net::Error::Listen { source, .. } => Failure::new(
            Exit::Network,
            format!(
                "cannot listen on {address}: {source}; {} has to be an address of this machine",
                key("ip_address")
            ),
        ),
        other => Failure::new(Exit::Network, other.to_string()),
    })?;
    let found = listening.listeners.into_iter().next();
    let listener = found.ok_or_else(|| Failure::new(Exit::Unexpected, "no socket to listen on"))?;
    let address = listener.local_addr().map_err(|error| from_io("cannot open a port", &error))?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_in_the_way_of_listening_is_told_with_what_to_change() {
        let peers_path = Path::new("config/peers.ini");
        let (taken, address) = listen("127.0.0.1:0".parse().unwrap(), "bob", peers_path).unwrap();
        assert_ne!(address.port(), 0);
        let SocketAddr::V4(address) = address else { panic!("{address} is no IPv4 address") };
        let failure = listen(address, "alice", peers_path).unwrap_err();
        assert_eq!(failure.exit, Exit::InUse);
        let hint = "end it, or change port_number of [alice] in config/peers.ini";
        assert!(failure.message.ends_with(hint), "{failure}");
        drop(taken);
        // An address for documents, which no machine has.
        let failure = listen("192.0.2.1:80".parse().unwrap(), "a\x1b", peers_path).unwrap_err();
        assert_eq!(failure.exit, Exit::Network);
        assert!(failure.message.contains("; ip_address of [a\\x1b] in config/"), "{failure}");
    }

    #[test]
    fn those_who_are_there_are_named() {
        let names = ["alice".to_owned(), "bob".to_owned()];
        assert_eq!(known(names.iter()), "; it has alice, bob");
        assert_eq!(known([].iter()), "");
    }
}
