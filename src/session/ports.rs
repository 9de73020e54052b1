//! The port of a session: TCP for peers, UDP for trackers and the DHT, if possible of one number.

use tracing::warn;

use crate::net::Error;
use crate::net::tcp::{self, Listening, USUAL_PORTS};
use crate::net::udp::{Udp, UdpMail};

use super::SessionConfig;

/// How often a port of the system's choice may turn out taken in the other protocol.
const ATTEMPTS: usize = 16;

/// What is open.
#[derive(Debug)]
pub(super) struct Ports {
    pub listening: Listening,
    pub udp: Udp,
    pub mail: UdpMail,
}

/// Opens what the configuration asks for. Without a port the usual ones are tried, and then any;
/// one that is free in both protocols is preferred.
///
/// # Errors
/// `PortTaken` when the TCP port that was asked for is in use; `Listen` for everything else.
pub(super) fn open(config: &SessionConfig) -> Result<Ports, Error> {
    match open_now(config) {
        Err(Error::Held { .. }) => open_later(config),
        opened => opened,
    }
}

/// What cannot be opened now: a port that is free at present is kept for it.
fn open_later(config: &SessionConfig) -> Result<Ports, Error> {
    let listening = match (Listening::later(&config.egress, config.port), config.port) {
        // It may be free on the device, when that is there.
        (Err(Error::PortTaken { port }), Some(_)) => {
            warn!("another program has port {port}; it is tried again when anything may leave");
            Listening::unkept(port)
        }
        (listening, _) => listening?,
    };
    let (udp, mail) = Udp::open(&config.egress, listening.port)?;
    Ok(Ports { listening, udp, mail })
}

fn open_now(config: &SessionConfig) -> Result<Ports, Error> {
    let egress = &config.egress;
    if !config.listen || !egress.listens() {
        let (udp, mail) = Udp::open(egress, 0)?;
        return Ok(Ports { listening: Listening::never(), udp, mail });
    }
    let any = std::iter::repeat_n(0, ATTEMPTS);
    let choice: Vec<u16> = match config.port {
        None => USUAL_PORTS.chain(any).collect(),
        Some(0) => any.collect(),
        Some(_) => Vec::new(),
    };
    for port in choice {
        let listening = match tcp::listen(egress, Some(port)) {
            Err(Error::PortTaken { .. }) => continue,
            listening => listening?,
        };
        match Udp::open_exactly(egress, listening.port) {
            Err(Error::PortTaken { .. }) => {}
            opened => {
                let (udp, mail) = opened?;
                return Ok(Ports { listening, udp, mail });
            }
        }
    }
    let listening = tcp::listen(egress, config.port)?;
    let (udp, mail) = Udp::open(egress, listening.port)?;
    Ok(Ports { listening, udp, mail })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    use super::*;
    use crate::net::egress::{Egress, Policy};

    fn config() -> SessionConfig {
        SessionConfig::default().bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    #[tokio::test]
    async fn a_port_that_is_opened_later_is_free_and_kept_from_others() {
        let device = || Egress::new(Policy { device: Some("tun77".into()), ..Policy::default() });
        let waiting = || SessionConfig::default().egress(device());
        let (one, other) = (open(&waiting()).unwrap(), open(&waiting()).unwrap());
        assert_ne!(one.listening.port, other.listening.port, "each its own");
        let taken = tcp::listen(&Egress::default(), Some(one.listening.port));
        assert!(matches!(taken, Err(Error::PortTaken { .. })));
        // Somebody has the very port: perhaps only until the device is there.
        let third = open(&waiting().port(one.listening.port)).unwrap();
        assert_eq!(third.listening.port, one.listening.port);
        assert!(open(&waiting().port(0)).unwrap().listening.port > 0);
    }

    #[tokio::test]
    async fn both_protocols_have_one_port_where_that_can_be() {
        for config in [config(), config().port(0)] {
            let ports = open(&config).unwrap();
            assert_eq!(ports.listening.port, ports.udp.port());
        }
        let none = open(&config().listen(false)).unwrap();
        assert!(none.listening.listeners.is_empty() && none.udp.port() > 0);
        // Somebody has the UDP port that was asked for: peers reach us there all the same.
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        if let Ok(ports) = open(&config().port(port)) {
            assert_eq!(ports.listening.port, port);
            assert_ne!(ports.udp.port(), port);
        }
    }
}
