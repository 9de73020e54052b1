//! The sockets of both families, opened where the way out is at present.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tracing::debug;

use super::refusals;
use crate::net::egress::{Egress, Place};
use crate::net::{Error, open_on};

/// What the system is asked to hold for us while we do other things: some 700 replies. It may
/// give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One of each family, IPv4 first.
pub(super) type Pair = [Option<Arc<UdpSocket>>; 2];

/// Sockets, and where they were opened, if a device is chosen.
pub(super) struct Opened {
    pub pair: Pair,
    pub place: Option<Place>,
}

impl Opened {
    pub(super) fn lacks_one(&self) -> bool {
        self.pair.iter().any(Option::is_none)
    }

    /// Opens the family that is lacking, if the device has it now, on the port of the other one.
    pub(super) fn complete(&mut self, egress: &Egress) -> Option<Arc<UdpSocket>> {
        // One that is lost is opened anew, both families at once.
        let place = egress.standing().place.filter(|_| egress.holds(self.place))?;
        let port = self.pair.iter().flatten().find_map(|socket| socket.local_addr().ok())?.port();
        let addresses = egress.addresses_at(Some(place));
        let slot = self.pair.iter().position(Option::is_none)?;
        let address = SocketAddr::new(*addresses.get(slot)?.as_ref()?, port);
        match open_at(egress, address) {
            Ok((socket, _)) => {
                self.pair[slot] = Some(socket.clone());
                self.place = Some(place);
                Some(socket)
            }
            Err(error) => {
                debug!(%address, %error, "no socket for datagrams of this family");
                None
            }
        }
    }
}

/// Opens a port of both families; 0 is any.
///
/// # Errors
/// `PortTaken`, `Listen`; `Held` while nothing leaves.
pub(super) fn open_pair(egress: &Egress, port: u16) -> Result<Opened, Error> {
    let place = egress.place()?;
    let pair = open_on(egress.addresses_at(place), port, |address| open_at(egress, address))?;
    let [has_v4, has_v6] = [0, 1].map(|family: usize| pair[family].is_some());
    Ok(Opened { pair, place: place.map(|place| place.of(has_v4, has_v6)) })
}

/// The one place where these sockets are made.
fn open_at(egress: &Egress, address: SocketAddr) -> Result<(Arc<UdpSocket>, u16), Error> {
    let socket = egress.socket(address.is_ipv4(), false)?;
    let attempt = || {
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        // Less than that is enough where little is going on.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        if let Err(error) = refusals::enable(&socket, address.is_ipv6()) {
            debug!(%error, "the system does not tell who refuses datagrams");
        }
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let port = socket.local_addr()?.port();
        Ok((Arc::new(socket), port))
    };
    attempt().map_err(|source: io::Error| egress.not_bound(address, source))
}
