//! TCP: listening on both families. The receive buffer is left to the system: a fixed size would
//! end its autotuning. Not here: dialling (`egress`), and what is spoken.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use tokio::net::TcpListener;
use tracing::debug;

use super::Error;
use super::egress::{Egress, Kept, Place};

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
    /// Where they were opened, if a device is chosen.
    pub place: Option<Place>,
    /// Keeps the port from others while nobody listens.
    kept: Option<Kept>,
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
    let place = egress.place()?;
    let both = super::open_on(egress.addresses_at(place), port, |at| listen_at(egress, at))?;
    let listeners: Vec<TcpListener> = both.into_iter().flatten().collect();
    let first = listeners.first().map(TcpListener::local_addr);
    let port = first.and_then(Result::ok).map_or(port, |local| local.port());
    let place = place.map(|place| of_families(place, &listeners));
    Ok(Listening { port, listeners, place, kept: None })
}

fn has_family(listeners: &[TcpListener], is_v4: bool) -> bool {
    let has = |it: &TcpListener| it.local_addr().is_ok_and(|local| local.is_ipv4() == is_v4);
    listeners.iter().any(has)
}

fn of_families(place: Place, listeners: &[TcpListener]) -> Place {
    place.of(has_family(listeners, true), has_family(listeners, false))
}

impl Listening {
    /// Nobody listens, and nobody ever will.
    pub fn never() -> Self {
        Self { port: 0, listeners: Vec::new(), place: None, kept: None }
    }

    /// Nobody listens yet, and another program has the port.
    pub fn unkept(port: u16) -> Self {
        Self { port, ..Self::never() }
    }

    /// Nobody listens yet. `port` is kept from other programs; without one it is one of the usual
    /// ones that is free, or else any. Must run inside the runtime.
    ///
    /// # Errors
    /// `PortTaken`, `Socket`.
    pub fn later(egress: &Egress, port: Option<u16>) -> Result<Self, Error> {
        let choice = match port {
            Some(port) => vec![port],
            None => USUAL_PORTS.chain([0]).collect(),
        };
        let mut last = Error::PortTaken { port: port.unwrap_or_default() };
        for port in choice {
            match egress.kept_port(port) {
                Ok((kept, port)) => {
                    return Ok(Self { port, kept: Some(kept), ..Self::never() });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Stops listening, and keeps the port from others where that can be.
    pub fn rest(&mut self, egress: &Egress) {
        self.listeners.clear();
        if self.kept.is_none() && self.port > 0 {
            match egress.kept_port(self.port) {
                Ok((kept, _)) => self.kept = Some(kept),
                Err(error) => debug!(%error, "the port is not kept"),
            }
        }
    }

    /// Listens again on its port, as soon as anything may leave.
    ///
    /// # Errors
    /// As [`listen`]; then nobody listens.
    pub fn again(&mut self, egress: &Egress) -> Result<(), Error> {
        self.listeners.clear();
        egress.place()?;
        // It has to be free.
        self.kept = None;
        let opened = listen(egress, Some(self.port));
        match opened {
            Ok(opened) => *self = opened,
            Err(error) => {
                self.rest(egress);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Has the device a family that is not listened on?
    pub fn lacks_one(&self) -> bool {
        self.place.is_some() && self.listeners.len() == 1
    }

    /// Listens on that, too, if there is any and it can be used.
    pub fn complete(&mut self, egress: &Egress) {
        let Some(place) = egress.standing().place else { return };
        let addresses = egress.addresses_at(Some(place)).into_iter().flatten();
        for address in addresses.map(|ip| SocketAddr::new(ip, self.port)) {
            if has_family(&self.listeners, address.is_ipv4()) {
                continue;
            }
            match listen_at(egress, address) {
                Ok((listener, _)) => self.listeners.push(listener),
                Err(error) => debug!(%address, %error, "nobody can connect to us there"),
            }
        }
        self.place = Some(of_families(place, &self.listeners));
    }
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
    attempt().map_err(|source: io::Error| egress.not_bound(address, source))
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

    fn by_loopback() -> Egress {
        let device = Some("lo".to_owned());
        Egress::new(crate::net::egress::Policy { device, ..Default::default() })
    }

    #[tokio::test]
    async fn a_port_is_kept_until_it_is_listened_on_and_afterwards() {
        let egress = by_loopback();
        let mut later = Listening::later(&egress, None).unwrap();
        let taken = || listen(&Egress::default(), Some(later.port)).map(|_| ()).unwrap_err();
        assert!(matches!(taken(), Error::PortTaken { .. }));
        assert!(Listening::later(&egress, Some(later.port)).is_err());
        let to = SocketAddr::new(LOOPBACK, later.port).into();
        let dial = || egress.connect(&to, Purpose::Peer, Duration::from_secs(5));
        assert!(dial().await.is_err(), "it is kept, and nobody listens");
        later.again(&egress).unwrap();
        assert!(dial().await.is_ok());
        assert_eq!(later.listeners[0].local_addr().unwrap().port(), later.port);
        later.rest(&egress);
        assert!(dial().await.is_err());
        assert!(Listening::later(&egress, Some(later.port)).is_err(), "it is kept again");
    }

    #[tokio::test]
    async fn a_family_that_could_not_be_listened_on_is_tried_again() {
        let egress = by_loopback();
        let mut listening = listen(&egress, Some(0)).unwrap();
        if listening.listeners.len() < 2 {
            return eprintln!("skipped: the loopback has one family");
        }
        let six = listening.listeners.pop().unwrap();
        assert!(listening.lacks_one());
        listening.complete(&egress);
        assert!(listening.lacks_one(), "somebody has it still");
        drop(six);
        listening.complete(&egress);
        assert!(!listening.lacks_one());
        let six = listening.listeners[1].local_addr().unwrap();
        assert!(six.is_ipv6() && six.port() == listening.port);
        assert_eq!(listening.place, egress.standing().place);
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
