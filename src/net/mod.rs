//! Sockets without meaning: listening, connecting, HTTP clients, and the shared rate limit. All of
//! them are made in `egress`.
//! Nothing here knows what the bytes are for, but for `lsd`, whose datagrams mean the same to
//! everybody.

pub mod addresses;
pub mod blocklist;
pub mod budget;
pub mod egress;
pub mod fetch;
pub mod guests;
mod hop;
pub mod http;
pub mod limiter;
pub mod lsd;
pub mod permits;
pub mod portmap;
pub mod reach;
pub mod tcp;
pub mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};

use tracing::debug;

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
    /// The chosen device has no address of this family, or the chosen address is of the other one.
    #[error("cannot connect to {address}: we have no {} address", family(address))]
    Family {
        /// To whom.
        address: SocketAddr,
    },
    /// The user's list has it.
    #[error("{address} is on the blocklist")]
    Blocked {
        /// Whom.
        address: SocketAddr,
    },
    /// Nothing leaves at present.
    #[error("nothing leaves: {why}")]
    Held {
        /// What is waited for, or forbidden: `waits for tun0: it is down`.
        why: String,
    },
    /// It cannot go the chosen way, and goes no other.
    #[error("{why}")]
    Off {
        /// Why not.
        why: &'static str,
    },
    /// The proxy does not connect us.
    #[error("cannot connect to {to} through the proxy: {why}")]
    Proxy {
        /// To whom.
        to: String,
        /// What the proxy says, or does not say.
        why: String,
    },
    /// The proxy itself is not reached, or does not take us: nobody behind it is to blame.
    #[error("{why}")]
    NoProxy {
        /// Which, and why: `the proxy socks5://10.0.0.1:1080 is not reached: no answer in 10 s`.
        why: String,
    },
    /// The host name has no address.
    #[error("cannot resolve the host {host}: {cause}")]
    Lookup {
        /// The host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// The system gives no socket, or it breaks.
    #[error("{0}")]
    Socket(io::Error),
    /// There is no HTTP client.
    #[error("cannot set up HTTP: {0}")]
    Http(String),
}

fn family(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

impl Error {
    /// Is it our own way out that is shut, whoever was to be reached?
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::NoProxy { .. })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Socket(cause)
            | Error::Connect { source: cause, .. }
            | Error::Listen { source: cause, .. } => cause,
            other => Self::other(other.to_string()),
        }
    }
}

/// How often a free port of one family may turn out taken in the other.
const ATTEMPTS: usize = 16;

/// Opens a socket at each of these addresses, one of a family (IPv4, IPv6), on one port; the first
/// is needed, the other one is had where the machine has that. With port 0 any port is taken that
/// both have free. `open_at` opens one, and tells its port.
///
/// # Errors
/// `PortTaken` when somebody has it, and what else `open_at` says.
fn open_on<T>(
    addresses: [Option<IpAddr>; 2],
    port: u16,
    open_at: impl Fn(SocketAddr) -> Result<(T, u16), Error>,
) -> Result<[Option<T>; 2], Error> {
    let mut opened = open_on_one(addresses, port, &open_at);
    for _ in 1..ATTEMPTS {
        if port > 0 || !matches!(opened, Err(Error::PortTaken { .. })) {
            break;
        }
        opened = open_on_one(addresses, port, &open_at);
    }
    opened
}

/// The second family takes the port that the first one got.
fn open_on_one<T>(
    [four, six]: [Option<IpAddr>; 2],
    mut port: u16,
    open_at: &impl Fn(SocketAddr) -> Result<(T, u16), Error>,
) -> Result<[Option<T>; 2], Error> {
    let mut opened = [None, None];
    if let Some(four) = four {
        let (socket, its_port) = open_at(SocketAddr::new(four, port))?;
        (opened[0], port) = (Some(socket), its_port);
    }
    let Some(six) = six else { return Ok(opened) };
    match open_at(SocketAddr::new(six, port)) {
        Ok((socket, _)) => opened[1] = Some(socket),
        Err(error) if opened[0].is_none() || matches!(error, Error::PortTaken { .. }) => {
            return Err(error);
        }
        // A machine without IPv6 speaks IPv4 alone.
        Err(error) => debug!(%error, "nothing over IPv6"),
    }
    Ok(opened)
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
    use std::net::{Ipv4Addr, Ipv6Addr};

    const BOTH: [Option<IpAddr>; 2] =
        [Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];

    fn taken(port: u16) -> Error {
        Error::PortTaken { port }
    }

    #[test]
    fn both_families_get_one_port_and_another_one_when_it_is_taken_in_one() {
        let tried = std::cell::Cell::new(0);
        let open_at = |address: SocketAddr| match address {
            SocketAddr::V4(_) => {
                tried.set(tried.get() + 1);
                Ok((address, if address.port() == 0 { 1000 + tried.get() } else { address.port() }))
            }
            SocketAddr::V6(_) if address.port() < 1003 => Err(taken(address.port())),
            SocketAddr::V6(_) => Ok((address, address.port())),
        };
        let [four, six] = open_on(BOTH, 0, open_at).unwrap();
        assert_eq!((four.unwrap().port(), six.unwrap().port(), tried.get()), (0, 1003, 3));
        let refused = open_on(BOTH, 7, open_at).map(|_| ());
        assert!(matches!(refused, Err(Error::PortTaken { port: 7 })) && tried.get() == 4);
        let always = |address: SocketAddr| Err::<((), u16), _>(taken(address.port()));
        assert!(open_on(BOTH, 0, always).is_err());
    }

    #[test]
    fn one_address_is_one_family_and_without_ipv6_there_is_ipv4() {
        let open_at = |address: SocketAddr| match address.is_ipv4() {
            true => Ok((address, 5)),
            false => Err(Error::Listen { address, source: io::ErrorKind::Unsupported.into() }),
        };
        let [four, six] = open_on(BOTH, 0, open_at).unwrap();
        assert!(four.is_some() && six.is_none());
        let bind = [None, "::1".parse().ok()];
        assert!(matches!(open_on(bind, 0, open_at), Err(Error::Listen { .. })));
        let any = |address: SocketAddr| Ok((address, 5));
        let [four, six] = open_on(bind, 9, any).unwrap();
        assert_eq!((four, six.map(|six| six.port())), (None, Some(9)));
    }

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
