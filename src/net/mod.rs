//! Sockets without meaning: listening, connecting, HTTP clients, and the shared rate limit.
//! Nothing here knows what the bytes are for, but for `lsd`, whose datagrams mean the same to
//! everybody.

pub mod addresses;
pub mod budget;
pub mod guests;
pub mod http;
pub mod limiter;
pub mod lsd;
pub mod permits;
pub mod reach;
pub mod tcp;
pub mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// The chosen local address is of the other family.
    #[error("cannot connect to {address} from the chosen local address")]
    Family {
        /// To whom.
        address: SocketAddr,
    },
}

/// How often a free port of one family may turn out taken in the other.
const ATTEMPTS: usize = 16;

/// Opens a socket at `bind`, or one for each family on one port: IPv4 first, and IPv6 where the
/// machine has that. With port 0 any port is taken that both have free. `open_at` opens one, and
/// tells its port.
///
/// # Errors
/// `PortTaken` when somebody has it, and what else `open_at` says.
fn open_on<T>(
    bind: Option<IpAddr>,
    port: u16,
    open_at: impl Fn(SocketAddr) -> Result<(T, u16), Error>,
) -> Result<[Option<T>; 2], Error> {
    let mut opened = open_on_one(bind, port, &open_at);
    for _ in 1..ATTEMPTS {
        if port > 0 || !matches!(opened, Err(Error::PortTaken { .. })) {
            break;
        }
        opened = open_on_one(bind, port, &open_at);
    }
    opened
}

/// The second family takes the port that the first one got.
fn open_on_one<T>(
    bind: Option<IpAddr>,
    port: u16,
    open_at: &impl Fn(SocketAddr) -> Result<(T, u16), Error>,
) -> Result<[Option<T>; 2], Error> {
    if let Some(bind) = bind {
        let (socket, _) = open_at(SocketAddr::new(bind, port))?;
        return Ok(if bind.is_ipv4() { [Some(socket), None] } else { [None, Some(socket)] });
    }
    let (four, port) = open_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
    match open_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
        Ok((six, _)) => Ok([Some(four), Some(six)]),
        Err(taken @ Error::PortTaken { .. }) => Err(taken),
        Err(error) => {
            // A machine without IPv6 speaks IPv4 alone.
            debug!(%error, "nothing over IPv6");
            Ok([Some(four), None])
        }
    }
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
        let [four, six] = open_on(None, 0, open_at).unwrap();
        assert_eq!((four.unwrap().port(), six.unwrap().port(), tried.get()), (0, 1003, 3));
        let refused = open_on(None, 7, open_at).map(|_| ());
        assert!(matches!(refused, Err(Error::PortTaken { port: 7 })) && tried.get() == 4);
        let always = |address: SocketAddr| Err::<((), u16), _>(taken(address.port()));
        assert!(open_on(None, 0, always).is_err());
    }

    #[test]
    fn one_address_is_one_family_and_without_ipv6_there_is_ipv4() {
        let open_at = |address: SocketAddr| match address.is_ipv4() {
            true => Ok((address, 5)),
            false => Err(Error::Listen { address, source: io::ErrorKind::Unsupported.into() }),
        };
        let [four, six] = open_on(None, 0, open_at).unwrap();
        assert!(four.is_some() && six.is_none());
        let bind = "::1".parse().ok();
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
