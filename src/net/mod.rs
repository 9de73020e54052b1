//! Sockets without meaning: listening, connecting, HTTP clients, and the shared rate limit.
//! Nothing here knows what the bytes are for, but for `lsd`, whose datagrams mean the same to
//! everybody.

pub mod addresses;
pub mod guests;
pub mod http;
pub mod limiter;
pub mod lsd;
pub mod permits;
pub mod reach;
pub mod tcp;
pub mod udp;

use std::io;
use std::net::SocketAddr;

/// Why the network did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user asked for a port that another program has.
    #[error("port {port} is in use by another program; choose another one or leave it out")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Listening failed for another reason.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The connection was refused or the network said no.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// To whom.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No answer to the attempt to connect.
    #[error("cannot connect to {address}: no answer in {timeout_s} s")]
    ConnectTimeout {
        /// To whom.
        address: SocketAddr,
        /// How long we waited.
        timeout_s: u64,
    },
    /// The chosen local address is of the other family.
    #[error("cannot connect to {address} from the chosen local address")]
    Family {
        /// To whom.
        address: SocketAddr,
    },
}

/// What to do when the system does not let us listen.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrNotAvailable => "; it has to be an address of this machine",
        io::ErrorKind::PermissionDenied => "; ports from 1024 on need no permission",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_listen_is_told_what_to_do() {
        let address = "192.0.2.1:80".parse().unwrap();
        let said = |source: io::ErrorKind| Error::Listen { address, source: source.into() };
        let words = said(io::ErrorKind::AddrNotAvailable).to_string();
        assert!(words.ends_with("; it has to be an address of this machine"), "{words}");
        let words = said(io::ErrorKind::PermissionDenied).to_string();
        assert!(words.ends_with("; ports from 1024 on need no permission"), "{words}");
    }
}
