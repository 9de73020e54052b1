//! Whom to connect to, by address or by name.

use std::net::SocketAddr;

use crate::base::addr::without_brackets;

/// Whom to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remote {
    /// An address.
    Address(SocketAddr),
    /// A host by name, resolved by the proxy where there is one.
    Name {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl Remote {
    /// The host, which may be an address, an IPv6 one in brackets.
    pub fn of(host: &str, port: u16) -> Self {
        match without_brackets(host).parse() {
            Ok(ip) => Self::Address(SocketAddr::new(ip, port)),
            Err(_) => Self::Name { host: host.to_owned(), port },
        }
    }
}

impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
