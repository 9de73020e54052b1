//! The networks that this machine is in, and who is on them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use crate::base::addr::Locality;

/// Interfaces that are looked at: more than any machine has that is not built to have many.
const INTERFACES_MAX: usize = 64;

/// An interface that is up and carries multicast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its number in the system.
    pub index: u32,
    /// Its addresses with the masks of their networks.
    pub networks: Vec<(IpAddr, IpAddr)>,
}

impl Interface {
    /// Its first IPv4 address.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        self.networks.iter().find_map(|(address, _)| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }

    /// Has it an IPv6 address?
    pub fn has_v6(&self) -> bool {
        self.networks.iter().any(|(address, _)| address.is_ipv6())
    }

    fn holds(&self, host: IpAddr) -> bool {
        self.networks.iter().any(|(address, mask)| is_within(host, *address, *mask))
    }
}

/// The interfaces of this machine that are up, carry multicast and are no tunnels.
///
/// # Errors
/// When the system does not tell.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST;
    let unwanted = InterfaceFlags::IFF_POINTOPOINT | InterfaceFlags::IFF_LOOPBACK;
    let mut found: Vec<Interface> = Vec::new();
    for entry in getifaddrs()? {
        if !entry.flags.contains(wanted) || entry.flags.intersects(unwanted) {
            continue;
        }
        let v4 = |it: &nix::sys::socket::SockaddrStorage| it.as_sockaddr_in().map(|it| it.ip());
        let v6 = |it: &nix::sys::socket::SockaddrStorage| it.as_sockaddr_in6().map(|it| it.ip());
        let (Some(address), Some(mask)) = (entry.address, entry.netmask) else { continue };
        let network: (IpAddr, IpAddr) = match (v4(&address), v4(&mask), v6(&address), v6(&mask)) {
            (Some(address), Some(mask), ..) => (address.into(), mask.into()),
            (.., Some(address), Some(mask)) => (address.into(), mask.into()),
            _ => continue,
        };
        // It may be gone since.
        let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else { continue };
        if let Some(known) = found.iter_mut().find(|interface| interface.index == index) {
            known.networks.push(network);
        } else if found.len() < INTERFACES_MAX {
            found.push(Interface { index, networks: vec![network] });
        }
    }
    found.sort_by_key(|interface| interface.index);
    Ok(found)
}

/// Is `host` on one of these networks? An address that never leaves its cable is, and so is one
/// of a site's own (RFC 4193), of which the networks need not be known.
pub fn is_near(host: IpAddr, interfaces: &[Interface]) -> bool {
    let host = host.to_canonical();
    let is_own = |host: Ipv6Addr| host.is_unique_local();
    match Locality::of(host) {
        Locality::LinkLocal => true,
        Locality::Unroutable => false,
        _ if matches!(host, IpAddr::V6(v6) if is_own(v6)) => true,
        _ => interfaces.iter().any(|interface| interface.holds(host)),
    }
}

fn is_within(host: IpAddr, address: IpAddr, mask: IpAddr) -> bool {
    match (host, address, mask) {
        (IpAddr::V4(host), IpAddr::V4(address), IpAddr::V4(mask)) => {
            host.to_bits() & mask.to_bits() == address.to_bits() & mask.to_bits()
        }
        (IpAddr::V6(host), IpAddr::V6(address), IpAddr::V6(mask)) => {
            host.to_bits() & mask.to_bits() == address.to_bits() & mask.to_bits()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_on_a_network_of_ours_is_near() {
        let lan = Interface {
            index: 2,
            networks: vec![
                (ip("192.168.1.7"), ip("255.255.255.0")),
                (ip("2001:db8:1:2::7"), ip("ffff:ffff:ffff:ffff::")),
            ],
        };
        let near = |host| is_near(ip(host), std::slice::from_ref(&lan));
        for host in ["192.168.1.200", "2001:db8:1:2::99", "169.254.3.4", "fe80::1", "fd00::1"] {
            assert!(near(host), "{host}");
        }
        for host in ["192.168.2.1", "8.8.8.8", "2001:db8:1:3::1", "127.0.0.1", "0.0.0.0", "::1"] {
            assert!(!near(host), "{host}");
        }
        assert!(near("::ffff:192.168.1.9"), "an IPv4 address is one however it is written");
        assert!(!is_near(ip("192.168.1.200"), &[]));
    }

    #[test]
    fn the_system_tells_its_interfaces() {
        let found = interfaces().unwrap();
        let is_loopback = |(address, _): &(IpAddr, IpAddr)| address.is_loopback();
        assert!(found.iter().all(|it| !it.networks.iter().any(is_loopback)), "{found:?}");
        assert!(found.iter().all(|it| it.index > 0 && !it.networks.is_empty()), "{found:?}");
        assert!(found.is_sorted_by_key(|it| it.index));
    }
}
