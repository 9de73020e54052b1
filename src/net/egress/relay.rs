//! Datagrams through a SOCKS5 proxy (RFC 1928, 7): one connection that has to stay open, and one
//! socket to the relay that the proxy named. What comes from anybody else is not heard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UdpSocket};

use super::policy::Purpose;
use super::proxy::Proxy;
use super::socks;
use super::way_out::Egress;
use crate::net::Error;

/// To connect to the proxy.
const CONNECT: Duration = Duration::from_secs(10);

/// A relay that carries our datagrams for as long as its connection is open.
#[derive(Debug)]
pub(in crate::net) struct Relay {
    socket: Arc<UdpSocket>,
    control: TcpStream,
}

/// The end that sends and receives; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::net) struct RelayEnd(Arc<UdpSocket>);

impl Relay {
    /// What to send and receive with.
    pub fn end(&self) -> RelayEnd {
        RelayEnd(self.socket.clone())
    }

    /// Waits until the proxy closes the connection: the relay is no more then.
    pub async fn ended(&mut self) {
        // Whatever it says there means nothing.
        while self.control.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {}
    }
}

impl RelayEnd {
    /// Sends a datagram as soon as there is room for it.
    ///
    /// # Errors
    /// When it cannot leave.
    pub async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.0.send(&socks::wrap(to, bytes)).await.map(drop)
    }

    /// Sends a datagram, if there is room for it.
    ///
    /// # Errors
    /// `WouldBlock`, or when it cannot leave.
    pub fn try_send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.0.try_send(&socks::wrap(to, bytes)).map(drop)
    }

    /// The next datagram, who sent it and what, in `room`; none for what is no datagram.
    ///
    /// # Errors
    /// When the relay is gone.
    pub async fn receive<'a>(
        &self,
        room: &'a mut [u8],
    ) -> io::Result<Option<(SocketAddr, &'a [u8])>> {
        let len = self.0.recv(room).await?;
        let room: &'a [u8] = room;
        Ok(room.get(..len).and_then(socks::unwrap))
    }
}

impl Egress {
    /// A relay for datagrams of this purpose; none where they leave directly.
    ///
    /// # Errors
    /// `Off` when the proxy takes no datagrams at all; `Proxy`, and what connecting says.
    pub(in crate::net) async fn relay(&self, purpose: Purpose) -> Result<Option<Relay>, Error> {
        let Some(proxy) = self.proxy_for(purpose) else { return Ok(None) };
        if let Some(why) = self.off(purpose) {
            return Err(Error::Off { why });
        }
        let came = self.associate(proxy).await;
        match &came {
            Ok(_) => self.tell_relay(None),
            // That nothing leaves at all is told elsewhere.
            Err(error) if error.is_held() => {}
            Err(error) => self.tell_relay(Some(&error.to_string())),
        }
        came.map(Some)
    }

    async fn associate(&self, proxy: &Proxy) -> Result<Relay, Error> {
        let (control, relay) = self.ask_for_relay(proxy, CONNECT).await?;
        // From now on only its datagrams come in.
        let socket = Arc::new(self.talking_to(relay)?);
        Ok(Relay { socket, control })
    }
}
