//! The words that the machines of port mapping share. Values only.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use crate::base::addr::Locality;

/// What a port is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Peers connect to it.
    Tcp,
    /// Nodes of the DHT ask it.
    Udp,
}

impl Transport {
    /// Both, in the order in which they are asked for.
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::Udp];

    /// Its number in the Internet protocol.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Its place in pairs.
    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Udp)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// How a gateway is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP's Internet gateway device.
    Upnp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// The way out of one family: where we are, and whom it goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Our address, which is to be reached.
    pub own: IpAddr,
    /// The gateway.
    pub gateway: IpAddr,
    /// The number of the device.
    pub device: u32,
    /// The route names no gateway, as in tunnels: this address is where one mostly is.
    pub is_guess: bool,
}

impl Way {
    /// The gateway at a port; an address of one cable gets the number of that.
    pub fn at(&self, port: u16) -> SocketAddr {
        match self.gateway {
            IpAddr::V6(six) if six.is_unicast_link_local() => {
                SocketAddrV6::new(six, port, 0, self.device).into()
            }
            gateway => SocketAddr::new(gateway, port),
        }
    }
}

/// Our ports, in the order of [`Transport::BOTH`]; 0 is none.
pub type Ports = [u16; 2];

/// A port of ours as it is known outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// By what it was had.
    pub protocol: Protocol,
    /// From whom.
    pub gateway: IpAddr,
    /// The address outside.
    pub address: IpAddr,
    /// The port outside for peers.
    pub tcp: u16,
    /// The port outside for datagrams, where it was had, too.
    pub udp: Option<u16>,
    /// How long the gateway keeps it if we do not ask again; none for ever.
    pub lifetime: Option<Duration>,
}

/// Why a port that was mapped is of no use all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behind {
    /// The provider translates addresses, too (RFC 6598): many customers share one.
    Carrier,
    /// Another router translates addresses, too.
    Router,
}

impl Mapping {
    /// What is between the address outside and the Internet, if anything is.
    pub fn behind(&self) -> Option<Behind> {
        match self.address {
            IpAddr::V4(four) if four.octets()[0] == 100 && four.octets()[1] & 0xC0 == 64 => {
                Some(Behind::Carrier)
            }
            address if Locality::of(address).is_local() => Some(Behind::Router),
            _ => None,
        }
    }

    /// Where others find us; none where something is between.
    pub fn public(&self, transport: Transport) -> Option<SocketAddr> {
        let port = match transport {
            Transport::Tcp => Some(self.tcp),
            Transport::Udp => self.udp,
        };
        let port = port.filter(|_| self.behind().is_none())?;
        Some(SocketAddr::new(self.address, port))
    }
}

/// How it stands with the ports of one family.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Nobody is asked, for this reason.
    Off(String),
    /// The gateway is being asked.
    #[default]
    Asking,
    /// They are open.
    Mapped(Mapping),
    /// Nobody opens them, for this reason; it is tried again.
    Failed(String),
}

impl State {
    /// The mapping, if there is one.
    pub fn mapping(&self) -> Option<&Mapping> {
        match self {
            Self::Mapped(mapping) => Some(mapping),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(address: &str) -> Mapping {
        Mapping {
            protocol: Protocol::Pcp,
            gateway: "192.168.1.1".parse().unwrap(),
            address: address.parse().unwrap(),
            tcp: 6881,
            udp: None,
            lifetime: None,
        }
    }

    #[test]
    fn an_address_of_no_use_outside_is_known() {
        let behind = |address: &str| mapping(address).behind();
        assert_eq!(behind("93.184.216.34"), None);
        assert_eq!(behind("100.64.0.1"), Some(Behind::Carrier));
        assert_eq!(behind("100.127.255.254"), Some(Behind::Carrier));
        assert_eq!((behind("100.63.0.1"), behind("100.128.0.1")), (None, None));
        for private in ["192.168.0.2", "10.0.0.2", "172.16.0.2", "169.254.1.1", "fd00::1"] {
            assert_eq!(behind(private), Some(Behind::Router), "{private}");
        }
        let seen = mapping("93.184.216.34");
        assert_eq!(seen.public(Transport::Tcp), "93.184.216.34:6881".parse().ok());
        assert_eq!(seen.public(Transport::Udp), None);
        assert_eq!(mapping("100.64.0.1").public(Transport::Tcp), None);
    }

    #[test]
    fn a_gateway_of_one_cable_is_reached_over_that() {
        let own = "2001:db8::7".parse().unwrap();
        let way = Way { own, gateway: "fe80::1".parse().unwrap(), device: 3, is_guess: false };
        assert!(matches!(way.at(5351), SocketAddr::V6(six) if six.scope_id() == 3));
        let way = Way { gateway: "192.168.1.1".parse().unwrap(), ..way };
        assert_eq!(way.at(5351), "192.168.1.1:5351".parse().unwrap());
    }
}
