//! Which networks this machine is in, to see that it came into another one. Tunnels count: a
//! connection that goes through one is another.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// The IPv4 addresses of this machine, and the /64 networks of its IPv6 addresses, in which it
/// takes new addresses by itself (RFC 8981); in order, each once, without those that never leave it
/// or its cable.
///
/// # Errors
/// When the system does not tell.
pub fn networks() -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = getifaddrs()?
        .filter(|it| it.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|it| it.address.as_ref().and_then(network_of))
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Is this an address of this machine? Where the system does not tell, its loopback ones alone are.
pub fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let own = |it: &SockaddrStorage| match it.as_sockaddr_in() {
        Some(four) => Some(IpAddr::from(four.ip())),
        None => it.as_sockaddr_in6().map(|six| six.ip().into()),
    };
    let mut all = getifaddrs().into_iter().flatten().filter_map(|it| own(&it.address?));
    ip.is_loopback() || ip.is_unspecified() || all.any(|own| own == ip)
}

fn network_of(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(four) = address.as_sockaddr_in() {
        let ip = four.ip();
        return (!ip.is_loopback() && !ip.is_link_local()).then_some(ip.into());
    }
    let ip = address.as_sockaddr_in6()?.ip();
    let network = Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64);
    (!ip.is_loopback() && !ip.is_unicast_link_local()).then_some(network.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_in_order_and_without_the_loopback() {
        let found = networks().unwrap();
        assert!(found.is_sorted() && !found.iter().any(IpAddr::is_loopback), "{found:?}");
        assert_eq!(networks().unwrap(), found);
    }

    #[test]
    fn own_addresses_are_known() {
        for own in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        assert!(networks().unwrap().into_iter().filter(IpAddr::is_ipv4).all(is_own));
        assert!(!is_own("192.0.2.1".parse().unwrap()), "for documentation only (RFC 5737)");
    }
}
