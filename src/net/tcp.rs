//! TCP: listening on both families. The receive buffer is left to the system: a fixed size would
//! end its autotuning. Not here: dialling (`egress`), and what is spoken.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use tokio::net::TcpListener;

use super::Error;
use super::egress::Egress;

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

/// Listens where `egress` says, on every address of both families if it says nothing. Without a
/// port the usual ones are tried and then any; port 0 is any. Must run inside the runtime.
///
/// # Errors
/// `PortTaken` when the port that was asked for is in use; `Held`; `Listen` for everything else.
pub fn listen(egress: &Egress, port: Option<u16>) -> Result<Listening, Error> {
    match port {
        Some(port) => listen_on(egress, port),
        None => {
            for port in USUAL_PORTS {
                match listen_on(egress, port) {
                    Err(Error::PortTaken { .. }) => {}
                    done => return done,
                }
            }
            listen_on(egress, 0)
        }
    }
}

fn listen_on(egress: &Egress, port: u16) -> Result<Listening, Error> {
    let both = super::open_on(egress.addresses()?, port, |at| listen_at(egress, at))?;
    let listeners: Vec<TcpListener> = both.into_iter().flatten().collect();
    let first = listeners.first().map(TcpListener::local_addr);
    let port = first.and_then(Result::ok).map_or(port, |local| local.port());
    Ok(Listening { port, listeners })
}

fn listen_at(egress: &Egress, address: SocketAddr) -> Result<(TcpListener, u16), Error> {
    let socket = egress.socket(address.is_ipv4(), true)?;
    let attempt = || {
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
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;
    use crate::net::egress::Purpose;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(ip: IpAddr) -> Egress {
        Egress::from_address(Some(ip))
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_when_asked_for() {
        let first = listen(&at(LOOPBACK), Some(0)).unwrap();
        let again = listen(&at(LOOPBACK), Some(first.port));
        assert!(matches!(again, Err(Error::PortTaken { port }) if port == first.port));
        let error = listen(&Egress::default(), Some(first.port)).unwrap_err();
        assert!(error.to_string().contains("in use"));
    }

    #[tokio::test]
    async fn without_a_port_any_free_one_is_found() {
        let held: Vec<Listening> = (0..12).map(|_| listen(&at(LOOPBACK), None).unwrap()).collect();
        let mut ports: Vec<u16> = held.iter().map(|listening| listening.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 12);
    }

    #[tokio::test]
    async fn both_families_listen_on_one_port_and_answer() {
        let listening = listen(&Egress::default(), Some(0)).unwrap();
        for listener in &listening.listeners {
            let local = listener.local_addr().unwrap();
            assert_eq!(local.port(), listening.port);
            let target: IpAddr = match local {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            let target = SocketAddr::new(target, listening.port);
            let (egress, to) = (at(target.ip()), target.into());
            let dial = egress.connect(&to, Purpose::Peer, Duration::from_secs(5));
            let (dialled, accepted) = tokio::join!(dial, listener.accept());
            assert!(dialled.unwrap().nodelay().unwrap());
            assert_eq!(accepted.unwrap().1.ip(), target.ip());
        }
    }

    #[tokio::test]
    async fn refusal_and_wrong_family_are_told() {
        let port = listen(&at(LOOPBACK), Some(0)).unwrap().port;
        let target = SocketAddr::new(LOOPBACK, port);
        let (to, limit) = (target.into(), Duration::from_secs(5));
        let refused = Egress::default().connect(&to, Purpose::Peer, limit).await.unwrap_err();
        assert!(refused.to_string().starts_with("cannot connect to 127.0.0.1:"));
        let family = at(Ipv6Addr::LOCALHOST.into()).connect(&to, Purpose::Peer, limit).await;
        assert!(matches!(family, Err(Error::Family { .. })));
    }
}
