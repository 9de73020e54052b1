//! TCP: listening on both families, and dialling. The receive buffer is left to the system:
//! a fixed size would end its autotuning. Not here: what is spoken.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Error;

/// Ports that BEP 3 names and firewalls are opened for.
pub const USUAL_PORTS: RangeInclusive<u16> = 6881..=6889;
/// Connections that wait for `accept`; more than the half-open ones we would let in.
const BACKLOG: i32 = 256;

/// Sockets that listen on one port, one for each family that the machine has.
#[derive(Debug)]
pub struct Listening {
    /// The port.
    pub port: u16,
    /// One or two listeners.
    pub listeners: Vec<TcpListener>,
}

/// Listens on `bind`, or on every address of both families. Without a port the usual ones
/// are tried and then any; port 0 is any. Must run inside the runtime.
///
/// # Errors
/// `PortTaken` when the port that was asked for is in use; `Listen` for everything else.
pub fn listen(bind: Option<IpAddr>, port: Option<u16>) -> Result<Listening, Error> {
    match port {
        Some(port) => listen_on(bind, port),
        None => {
            for port in USUAL_PORTS {
                match listen_on(bind, port) {
                    Err(Error::PortTaken { .. }) => {}
                    done => return done,
                }
            }
            listen_on(bind, 0)
        }
    }
}

/// Connects to `address`, from `bind` if given; small writes leave at once.
///
/// # Errors
/// `Connect`, `ConnectTimeout`, or `Family` when `bind` is of the other family.
pub async fn connect(
    address: SocketAddr,
    bind: Option<IpAddr>,
    timeout: Duration,
) -> Result<TcpStream, Error> {
    if bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
        return Err(Error::Family { address });
    }
    let attempt = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bind) = bind {
            socket.bind(SocketAddr::new(bind, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result.map_err(|source| Error::Connect { address, source }),
        Err(_) => Err(Error::ConnectTimeout { address, timeout_s: timeout.as_secs() }),
    }
}

fn listen_on(bind: Option<IpAddr>, port: u16) -> Result<Listening, Error> {
    let both = super::open_on(bind, port, listen_at)?;
    let listeners: Vec<TcpListener> = both.into_iter().flatten().collect();
    let first = listeners.first().map(TcpListener::local_addr);
    let port = first.and_then(Result::ok).map_or(port, |local| local.port());
    Ok(Listening { port, listeners })
}

fn listen_at(address: SocketAddr) -> Result<(TcpListener, u16), Error> {
    let attempt = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    attempt().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken { port: address.port() },
        _ => Error::Listen { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_taken_port_is_an_error_when_asked_for() {
        let first = listen(Some(LOOPBACK), Some(0)).unwrap();
        let again = listen(Some(LOOPBACK), Some(first.port));
        assert!(matches!(again, Err(Error::PortTaken { port }) if port == first.port));
        let error = listen(None, Some(first.port)).unwrap_err();
        assert!(error.to_string().contains("in use"));
    }

    #[tokio::test]
    async fn without_a_port_any_free_one_is_found() {
        let held: Vec<Listening> = (0..12).map(|_| listen(Some(LOOPBACK), None).unwrap()).collect();
        let mut ports: Vec<u16> = held.iter().map(|listening| listening.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 12);
    }

    #[tokio::test]
    async fn both_families_listen_on_one_port_and_answer() {
        let listening = listen(None, Some(0)).unwrap();
        for listener in &listening.listeners {
            let local = listener.local_addr().unwrap();
            assert_eq!(local.port(), listening.port);
            let target: IpAddr = match local {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            let target = SocketAddr::new(target, listening.port);
            let dial = connect(target, Some(target.ip()), Duration::from_secs(5));
            let (dialled, accepted) = tokio::join!(dial, listener.accept());
            assert!(dialled.unwrap().nodelay().unwrap());
            assert_eq!(accepted.unwrap().1.ip(), target.ip());
        }
    }

    #[tokio::test]
    async fn refusal_and_wrong_family_are_told() {
        let port = listen(Some(LOOPBACK), Some(0)).unwrap().port;
        let target = SocketAddr::new(LOOPBACK, port);
        let refused = connect(target, None, Duration::from_secs(5)).await.unwrap_err();
        assert!(refused.to_string().starts_with("cannot connect to 127.0.0.1:"));
        let family =
            connect(target, Some(Ipv6Addr::LOCALHOST.into()), Duration::from_secs(5)).await;
        assert!(matches!(family, Err(Error::Family { .. })));
    }
}
