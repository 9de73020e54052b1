//! A device of this machine: whether it is there, and which addresses it has. Looked up by name
//! each time, since one that was made anew is another one under the same name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
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
    /// For what speaks to this address alone.
    pub fn towards(self, to: SocketAddr) -> Self {
        self.of(to.is_ipv4(), to.is_ipv6())
    }

    /// For what speaks these families.
    pub(in crate::net) fn of(self, v4: bool, v6: bool) -> Self {
        Self { four: self.four.filter(|_| v4), six: self.six.filter(|_| v6), ..self }
    }

    /// Is what was opened at `since` as good here? It is as long as its device is the same, and has
    /// the addresses that it speaks from; others may have come.
    pub(super) fn holds(&self, since: &Self) -> bool {
        self.index == since.index
            && since.four.is_none_or(|four| self.four == Some(four))
            && since.six.is_none_or(|six| self.six == Some(six))
    }

    /// The address to speak from to this one; none when there is none of its family.
    pub(super) fn own(&self, to: SocketAddr) -> Option<IpAddr> {
        match to {
            SocketAddr::V4(_) => self.four.map(IpAddr::V4),
            SocketAddr::V6(_) => self.six.map(IpAddr::V6),
        }
    }
}

/// Why there is no place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Absence {
    /// It cannot be used, in words for people: `waits for tun0: there is no such device`.
    Away(String),
    /// The system does not say, as when there are no descriptors to ask with: nothing is known.
    Unknown(String),
}

/// The device of this name, with the address that is asked for, or else those of `held` that it
/// still has, or the first of each family. A device takes new addresses beside those that it has
/// (RFC 8981), and what speaks from an old one is as good as before.
///
/// # Errors
/// Why it is not had.
pub(super) fn look(
    name: &str,
    bind: Option<IpAddr>,
    held: Option<Place>,
) -> Result<Place, Absence> {
    let unknown = |error: Errno| Absence::Unknown(format!("cannot look at {name}: {error}"));
    let waits = |why: &str| Absence::Away(format!("waits for {name}: {why}"));
    let entries = getifaddrs().map_err(unknown)?;
    let mut found = Vec::new();
    let (mut is_there, mut is_up) = (false, false);
    for entry in entries.filter(|entry| entry.interface_name == name) {
        is_there = true;
        is_up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        found.extend(entry.address.as_ref().and_then(ip_of));
    }
    let index = match if_nametoindex(name) {
        Ok(index) if is_there => index,
        Ok(_) | Err(Errno::ENODEV | Errno::ENXIO) => {
            return Err(waits("there is no such device"));
        }
        Err(error) => return Err(unknown(error)),
    };
    if !is_up {
        return Err(waits("it is down"));
    }
    let held = held.filter(|held| held.index == index);
    choose(&found, bind, index, held).ok_or_else(|| match bind {
        Some(bind) => waits(&format!("it does not have the address {bind}")),
        None => waits("it has no address"),
    })
}

/// The addresses to speak from. A global IPv6 address goes before one of a site's own.
fn choose(
    found: &[IpAddr],
    bind: Option<IpAddr>,
    index: u32,
    held: Option<Place>,
) -> Option<Place> {
    let place = |four, six| Some(Place { index, four, six });
    match bind {
        Some(bind) if !found.contains(&bind) => return None,
        Some(IpAddr::V4(four)) => return place(Some(four), None),
        Some(IpAddr::V6(six)) => return place(None, Some(six)),
        None => {}
    }
    let is_here = |ip: IpAddr| found.contains(&ip);
    let old_four = held.and_then(|held| held.four).filter(|four| is_here((*four).into()));
    let old_six = held.and_then(|held| held.six).filter(|six| is_here((*six).into()));
    let four = found.iter().find_map(|ip| match ip {
        IpAddr::V4(four) => Some(*four),
        IpAddr::V6(_) => None,
    });
    let sixes = found.iter().filter_map(|ip| match ip {
        IpAddr::V6(six) if !six.is_unicast_link_local() => Some(*six),
        _ => None,
    });
    let six = sixes.min_by_key(Ipv6Addr::is_unique_local);
    let (four, six) = (old_four.or(four), old_six.or(six));
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
        let place = look("lo", None, None).unwrap();
        assert_eq!(place.four, Some(Ipv4Addr::LOCALHOST));
        let away = |why: &str| Absence::Away(why.to_owned());
        let why = look("tun77", None, None).unwrap_err();
        assert_eq!(why, away("waits for tun77: there is no such device"));
        let why = look("lo", "192.0.2.1".parse().ok(), None).unwrap_err();
        assert_eq!(why, away("waits for lo: it does not have the address 192.0.2.1"));
    }

    #[test]
    fn a_device_speaks_from_the_address_that_others_can_answer_to() {
        let found = ips(&["10.8.0.2", "fe80::1", "fd00::2", "2001:db8::2", "10.8.0.3"]);
        let place = |bind| choose(&found, bind, 7, None).map(|place| (place.four, place.six));
        let (four, six) = place(None).unwrap();
        assert_eq!((four, six), ("10.8.0.2".parse().ok(), "2001:db8::2".parse().ok()));
        assert_eq!(place("10.8.0.3".parse().ok()), Some(("10.8.0.3".parse().ok(), None)));
        assert_eq!(place("fd00::2".parse().ok()), Some((None, "fd00::2".parse().ok())));
        assert_eq!(place("10.8.0.4".parse().ok()), None);
        assert_eq!(choose(&ips(&["fe80::1"]), None, 7, None), None, "nobody answers to that");
        assert_eq!(choose(&[], None, 7, None), None);
    }

    #[test]
    fn an_address_that_is_still_there_is_kept_when_others_come_before_it() {
        let place = |four: &str, six: &str| Place {
            index: 7,
            four: four.parse().ok(),
            six: six.parse().ok(),
        };
        let held = place("10.8.0.2", "2001:db8::2");
        let of = |texts: &[&str]| choose(&ips(texts), None, 7, Some(held)).unwrap();
        let new_before = of(&["10.8.0.9", "10.8.0.2", "2001:db8::9", "2001:db8::2"]);
        assert_eq!(new_before, held);
        assert_eq!(of(&["10.8.0.2", "2001:db8::9"]), place("10.8.0.2", "2001:db8::9"));
        assert_eq!(of(&["2001:db8::2"]), place("", "2001:db8::2"));
    }

    #[test]
    fn what_is_held_is_lost_with_its_device_or_its_own_address_only() {
        let place = |index, four: &str, six: &str| Place {
            index,
            four: four.parse().ok(),
            six: six.parse().ok(),
        };
        let now = place(7, "10.8.0.2", "2001:db8::2");
        assert!(now.holds(&now) && now.holds(&place(7, "10.8.0.2", "")), "a family has come");
        assert!(now.holds(&place(7, "", "2001:db8::2")));
        assert!(!now.holds(&place(8, "10.8.0.2", "")), "another device of that name");
        assert!(!now.holds(&place(7, "10.8.0.3", "")));
        let since = place(7, "10.8.0.2", "2001:db8::1");
        assert!(!now.holds(&since));
        assert!(now.holds(&since.towards("192.0.2.1:1".parse().unwrap())), "it speaks IPv4");
        assert!(!now.holds(&since.towards("[2001:db8:1::]:1".parse().unwrap())));
    }
}
