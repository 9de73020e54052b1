//! The port of a session: TCP for peers, UDP for trackers and the DHT, if possible of one number.

use crate::net::Error;
use crate::net::tcp::{self, Listening, USUAL_PORTS};
use crate::net::udp::{Udp, UdpMail};

use super::SessionConfig;

/// How often a port of the system's choice may turn out taken in the other protocol.
const ATTEMPTS: usize = 16;
/// Ports that nobody else is assigned (RFC 6335, 6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

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
    let egress = &config.egress;
    if !config.listen || !egress.listens() {
        let (udp, mail) = Udp::open(egress, 0)?;
        let listening = Listening { port: 0, listeners: Vec::new() };
        return Ok(Ports { listening, udp, mail });
    }
    if let Err(Error::Held { .. }) = egress.addresses() {
        // What cannot be tried now is opened later on one of the ports that others would get.
        let port = match config.port {
            None => *USUAL_PORTS.start(),
            Some(0) => rand::random_range(FREE_PORTS),
            Some(port) => port,
        };
        let (udp, mail) = Udp::open(egress, port)?;
        let listening = Listening { port, listeners: Vec::new() };
        return Ok(Ports { listening, udp, mail });
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

    fn config() -> SessionConfig {
        SessionConfig::default().bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
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
