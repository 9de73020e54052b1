//! Sockets without meaning: listening, connecting, HTTP clients, and the shared rate limit.
//! Nothing here knows what the bytes are for, but for `lsd`, whose datagrams mean the same to
//! everybody.

pub mod addresses;
pub mod guests;
pub mod http;
pub mod limiter;
pub mod lsd;
pub mod slots;
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
    #[error("cannot listen on {address}: {source}")]
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
