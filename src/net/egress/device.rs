//! A device of this machine: whether it is there, and which addresses it has. Looked up by name
//! each time, since one that was made anew is another one under the same name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

/// A device and the addresses that are spoken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its number in the system.
    pub index: u32,
    /// Its IPv4 address, if it has one.
    pub four: Option<Ipv4Addr>,
    /// Its IPv6 address, if it has one that others can answer to.
    pub six: Option<Ipv6Addr>,
}

impl Place {
    /// The address to speak from to this one; none when there is none of its family.
    pub(super) fn own(&self, to: SocketAddr) -> Option<IpAddr> {
        match to {
            SocketAddr::V4(_) => self.four.map(IpAddr::V4),
            SocketAddr::V6(_) => self.six.map(IpAddr::V6),
        }
    }
}

/// The device of this name, with the address that is asked for or else the first of each family.
///
/// # Errors
/// Why it cannot be used, in words for people: `waits for tun0: there is no such device`.
pub(super) fn look(name: &str, bind: Option<IpAddr>) -> Result<Place, String> {
    let waits = |why: &str| format!("waits for {name}: {why}");
    let entries = getifaddrs().map_err(|error| waits(error.desc()))?;
    let mut found = Vec::new();
    let (mut is_there, mut is_up) = (false, false);
    for entry in entries.filter(|entry| entry.interface_name == name) {
        is_there = true;
        is_up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        found.extend(entry.address.as_ref().and_then(ip_of));
    }
    let index = if_nametoindex(name).ok().filter(|_| is_there);
    let index = index.ok_or_else(|| waits("there is no such device"))?;
    if !is_up {
        return Err(waits("it is down"));
    }
    choose(&found, bind, index).ok_or_else(|| match bind {
        Some(bind) => waits(&format!("it does not have the address {bind}")),
        None => waits("it has no address"),
    })
}

/// The addresses to speak from. A global IPv6 address goes before one of a site's own.
fn choose(found: &[IpAddr], bind: Option<IpAddr>, index: u32) -> Option<Place> {
    let place = |four, six| Some(Place { index, four, six });
    match bind {
        Some(bind) if !found.contains(&bind) => return None,
        Some(IpAddr::V4(four)) => return place(Some(four), None),
        Some(IpAddr::V6(six)) => return place(None, Some(six)),
        None => {}
    }
    let four = found.iter().find_map(|ip| match ip {
        IpAddr::V4(four) => Some(*four),
        IpAddr::V6(_) => None,
    });
    let sixes = found.iter().filter_map(|ip| match ip {
        IpAddr::V6(six) if !six.is_unicast_link_local() => Some(*six),
        _ => None,
    });
    let six = sixes.min_by_key(Ipv6Addr::is_unique_local);
    if four.is_none() && six.is_none() { None } else { place(four, six) }
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_loopback_is_there_and_what_is_not_is_waited_for() {
        let place = look("lo", None).unwrap();
        assert_eq!(place.four, Some(Ipv4Addr::LOCALHOST));
        let why = look("tun77", None).unwrap_err();
        assert_eq!(why, "waits for tun77: there is no such device");
        let why = look("lo", "192.0.2.1".parse().ok()).unwrap_err();
        assert_eq!(why, "waits for lo: it does not have the address 192.0.2.1");
    }

    #[test]
    fn a_device_speaks_from_the_address_that_others_can_answer_to() {
        let found = ips(&["10.8.0.2", "fe80::1", "fd00::2", "2001:db8::2", "10.8.0.3"]);
        let place = |bind| choose(&found, bind, 7).map(|place| (place.four, place.six));
        let (four, six) = place(None).unwrap();
        assert_eq!((four, six), ("10.8.0.2".parse().ok(), "2001:db8::2".parse().ok()));
        assert_eq!(place("10.8.0.3".parse().ok()), Some(("10.8.0.3".parse().ok(), None)));
        assert_eq!(place("fd00::2".parse().ok()), Some((None, "fd00::2".parse().ok())));
        assert_eq!(place("10.8.0.4".parse().ok()), None);
        assert_eq!(choose(&ips(&["fe80::1"]), None, 7), None, "nobody answers to that");
        assert_eq!(choose(&[], None, 7), None);
    }
}
