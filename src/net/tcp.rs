//! TCP: a port that both families listen on, and connections out. It reads and writes
//! nothing. Socket buffers are left to the system, whose tuning knows the path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// BEP 3: "try to listen on port 6881 and if that port is taken try 6882 […] and give up
/// after 6889". We then take any.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;
/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 256;

/// Why no port could be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program has the port.
    #[error("port {0} is taken; choose another with --port, or 0 for any")]
    Taken(u16),
    /// Anything else.
    #[error("cannot listen on port {port}: {cause}")]
    Failed {
        /// Which port.
        port: u16,
        /// The system's reason.
        cause: io::Error,
    },
}

/// One port, open for IPv4, IPv6 or both.
#[derive(Debug)]
pub struct Listeners {
    v4: Option<TcpListener>,
    v6: Option<TcpListener>,
    port: u16,
}

/// Opens `port`, or the first free of the usual ones, or any; on `bind` alone, or on all
/// addresses of both families.
///
/// # Errors
/// The named port is taken, or the system refuses.
pub fn listen(port: Option<u16>, bind: Option<IpAddr>) -> Result<Listeners, Error> {
    if let Some(port) = port {
        return open(port, bind);
    }
    for port in USUAL_PORTS {
        match open(port, bind) {
            Err(Error::Taken(_)) => {}
            other => return other,
        }
    }
    open(0, bind)
}

fn open(port: u16, bind: Option<IpAddr>) -> Result<Listeners, Error> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::AddrInUse => Error::Taken(port),
        _ => Error::Failed { port, cause },
    };
    if let Some(bind) = bind {
        let listener = open_one(SocketAddr::new(bind, port)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (v4, v6) = if bind.is_ipv4() { (Some(listener), None) } else { (None, Some(listener)) };
        return Ok(Listeners { v4, v6, port });
    }
    let v4 = open_one((Ipv4Addr::UNSPECIFIED, port).into()).map_err(failed)?;
    let port = v4.local_addr().map_err(failed)?.port();
    // A machine without IPv6 does with IPv4.
    let v6 = match open_one((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => return Err(Error::Taken(port)),
        other => other.ok(),
    };
    Ok(Listeners { v4: Some(v4), v6, port })
}

fn open_one(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a former run that linger must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listeners {
    /// The port that is open.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection of either family.
    ///
    /// # Errors
    /// As the system's `accept`, for example when there is no file descriptor left.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = tokio::select! {
            accepted = accept_on(self.v4.as_ref()) => accepted?,
            accepted = accept_on(self.v6.as_ref()) => accepted?,
        };
        stream.set_nodelay(true)?;
        Ok((stream, address))
    }
}

async fn accept_on(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Connects to `address`, from `bind` if that is of the same family.
///
/// # Errors
/// As the system's `connect`. There is no time limit here.
pub async fn connect(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(bind) = bind.filter(|bind| bind.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(bind, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_open_for_both_families_and_known() {
        let listeners = listen(Some(0), None).unwrap();
        let v4 = SocketAddr::from(([127, 0, 0, 1], listeners.port()));
        let (client, server) = tokio::join!(connect(v4, None), listeners.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
        if listeners.v6.is_some() {
            let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, listeners.port()));
            let (client, server) = tokio::join!(connect(v6, None), listeners.accept());
            assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = listen(Some(0), None).unwrap();
        let second = listen(Some(first.port()), None);
        let expected =
            format!("port {} is taken; choose another with --port, or 0 for any", first.port());
        assert_eq!(second.unwrap_err().to_string(), expected);
    }

    #[tokio::test]
    async fn connections_leave_from_the_bound_address() {
        let bind = IpAddr::from([127, 0, 0, 1]);
        let listeners = listen(Some(0), Some(bind)).unwrap();
        let address = SocketAddr::new(bind, listeners.port());
        let from = IpAddr::from([127, 0, 0, 9]);
        let (client, server) = tokio::join!(connect(address, Some(from)), listeners.accept());
        assert_eq!(client.unwrap().local_addr().unwrap().ip(), from);
        assert_eq!(server.unwrap().1.ip(), from);
    }
}
