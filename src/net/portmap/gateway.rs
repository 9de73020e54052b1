//! Whom to ask for ports: our address of a family, the device that has it, and the gateway by
//! which that leads out, as the kernel tells them. Not the gateway of all: where a device or an
//! address is chosen, the one behind it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use super::types::Way;
use crate::base::addr::Locality;
use crate::net::egress::{Egress, State, address_towards};

/// Whoever is far away: the way there is asked of the kernel, and nothing is sent.
const FAR_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), 9);
const FAR_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)), 9);
/// Prefixes so short lead everywhere: tunnels take two halves, to go before the default route.
const PREFIX_MAX_V4: u32 = 1;
const PREFIX_MAX_V6: u32 = 3;
/// Flags of routes (linux/route.h).
const UP: u32 = 1;
const REJECT: u32 = 0x200;
/// Flags of IPv6 addresses that are not to be known outside, or not to be used: temporary,
/// duplicate, deprecated, tentative (linux/if_addr.h).
const PASSING: u32 = 0x01 | 0x08 | 0x20 | 0x40;

/// A device that has our address.
#[derive(Debug)]
struct Device {
    name: String,
    index: u32,
    is_tunnel: bool,
    /// Who is at the other end of a tunnel.
    other_end: Option<IpAddr>,
}

/// The way out of a family now.
///
/// # Errors
/// Why nobody is to be asked for ports, in words for people.
pub(super) fn look(egress: &Egress, is_v4: bool) -> Result<Way, String> {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    let own = own_address(egress, is_v4)?.ok_or_else(|| format!("there is no {family} network"))?;
    let device = device_of(own).ok_or_else(|| format!("no device has our address {own}"))?;
    let own = if is_v4 { own } else { stable(own, &device)? };
    match Locality::of(own) {
        Locality::Loopback => return Err("we are bound to this machine alone".to_owned()),
        Locality::Public if is_v4 => {
            return Err(format!("not needed: our address {own} is no private one"));
        }
        Locality::Private if !is_v4 => {
            return Err(format!("our address {own} is of this site alone"));
        }
        _ => {}
    }
    let routed = if is_v4 {
        let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
        gateway_v4(&table, &device.name).map(IpAddr::V4)
    } else {
        let table = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
        gateway_v6(&table, &device.name).map(IpAddr::V6)
    };
    let guessed = || guess(own, &device);
    let gateway = routed.or_else(guessed);
    let gateway = gateway.ok_or_else(|| format!("no router is known behind {}", device.name))?;
    Ok(Way { own, gateway, device: device.index, is_guess: routed.is_none() })
}

/// The address that we speak from, if we have any of this family.
fn own_address(egress: &Egress, is_v4: bool) -> Result<Option<IpAddr>, String> {
    let standing = egress.standing();
    if let State::Waiting(why) | State::Closed(why) = standing.state {
        return Err(why);
    }
    if egress.policy().device.is_some() {
        let place = standing.place;
        return Ok(match is_v4 {
            true => place.and_then(|place| place.four).map(IpAddr::V4),
            false => place.and_then(|place| place.six).map(IpAddr::V6),
        });
    }
    match egress.policy().bind {
        Some(bind) if bind.is_unspecified() => {}
        Some(bind) => return Ok(Some(bind).filter(|bind| bind.is_ipv4() == is_v4)),
        None => {}
    }
    Ok(address_towards(if is_v4 { FAR_V4 } else { FAR_V6 }))
}

fn device_of(own: IpAddr) -> Option<Device> {
    let is_its = |it: &InterfaceAddress| it.address.as_ref().and_then(ip_of) == Some(own);
    let found = getifaddrs().ok()?.find(is_its)?;
    let is_tunnel = found.flags.contains(InterfaceFlags::IFF_POINTOPOINT);
    let other_end = found.destination.as_ref().and_then(ip_of).filter(|it| *it != own);
    let index = if_nametoindex(found.interface_name.as_str()).ok()?;
    Some(Device { name: found.interface_name, index, is_tunnel, other_end })
}

fn ip_of(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

/// The address of the device that stays: one that is given up tomorrow is not to be opened.
fn stable(own: IpAddr, device: &Device) -> Result<IpAddr, String> {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let all = stable_addresses(&table, &device.name);
    let same = all.iter().find(|it| IpAddr::V6(**it) == own);
    let found = same.or_else(|| all.first()).map(|it| IpAddr::V6(*it));
    found.ok_or_else(|| format!("{} has no IPv6 address that stays", device.name))
}

/// Our address on the cable of a device, by which its other ends are asked.
pub(super) fn on_cable(device: u32) -> Option<Ipv6Addr> {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    cable_address(&table, device)
}

fn cable_address(table: &str, device: u32) -> Option<Ipv6Addr> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, index, _, scope, flags, _] = words.as_slice() else { return None };
        let number = |word: &str| u32::from_str_radix(word, 16).ok();
        let is_it = number(index)? == device && *scope == "20" && number(flags)? & PASSING == 0;
        is_it.then_some(())?;
        Some(Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?))
    })
}

/// The lasting global addresses of a device, public ones first.
fn stable_addresses(table: &str, device: &str) -> Vec<Ipv6Addr> {
    let mut found: Vec<Ipv6Addr> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _, _, scope, flags, name] = words.as_slice() else { return None };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            (*scope == "00" && flags & PASSING == 0 && *name == device).then_some(())?;
            Some(Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?))
        })
        .collect();
    found.sort_by_key(|it| Locality::of(IpAddr::V6(*it)) != Locality::Public);
    found
}

/// The gateway of the best route that leads everywhere by this device.
fn gateway_v4(table: &str, device: &str) -> Option<Ipv4Addr> {
    let routes = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, target, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else {
            return None;
        };
        let address = |word: &str| {
            let bytes = u32::from_str_radix(word, 16).ok()?.to_ne_bytes();
            Some(Ipv4Addr::from(bytes))
        };
        let prefix = address(mask)?.to_bits().count_ones();
        let is_wide = prefix <= PREFIX_MAX_V4 && (prefix > 0 || address(target)?.is_unspecified());
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let gateway = address(gateway)?;
        let is_good = flags & UP > 0 && flags & REJECT == 0 && !gateway.is_unspecified();
        (is_wide && is_good && *name == device).then_some((metric.parse::<u32>().ok()?, gateway))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

/// The same for IPv6.
fn gateway_v6(table: &str, device: &str) -> Option<Ipv6Addr> {
    let number = |word: &str| u32::from_str_radix(word, 16).ok();
    let routes = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, prefix, _, _, gateway, metric, _, _, flags, name] = words.as_slice() else {
            return None;
        };
        let gateway = Ipv6Addr::from_bits(u128::from_str_radix(gateway, 16).ok()?);
        let flags = number(flags)?;
        let is_good = flags & UP > 0 && flags & REJECT == 0 && !gateway.is_unspecified();
        let is_wide = number(prefix)? <= PREFIX_MAX_V6;
        (is_wide && is_good && *name == device).then_some((number(metric)?, gateway))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

/// Who may be the gateway of a tunnel, whose routes name none: its other end, or else the first
/// address of the network, where providers of tunnels mostly are (ProtonVPN at 10.2.0.1).
fn guess(own: IpAddr, device: &Device) -> Option<IpAddr> {
    let IpAddr::V4(four) = own else { return None };
    if !device.is_tunnel {
        return None;
    }
    let [a, b, c, _] = four.octets();
    let first = IpAddr::from([a, b, c, 1]);
    let other_end = device.other_end.filter(IpAddr::is_ipv4);
    other_end.or(Some(first)).filter(|it| *it != own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::egress::Policy;

    const HEAD: &str =
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    /// Name, target, gateway, flags, metric and mask.
    type Row<'a> = (&'a str, [u8; 4], [u8; 4], u32, u32, [u8; 4]);

    fn v4(rows: &[Row<'_>]) -> String {
        let hex = |it: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(it));
        let row = |(name, target, gateway, flags, metric, mask): &Row<'_>| {
            let (target, gateway, mask) = (hex(*target), hex(*gateway), hex(*mask));
            format!("{name}\t{target}\t{gateway}\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        rows.iter().map(row).fold(HEAD.to_owned(), |all, row| all + &row)
    }

    #[test]
    fn the_gateway_is_that_of_the_device() {
        let (any, lan) = ([0; 4], [255, 255, 255, 0]);
        let table = v4(&[
            ("eth0", any, [192, 168, 1, 254], 3, 200, any),
            ("eth0", any, [192, 168, 1, 1], 3, 100, any),
            ("eth0", [192, 168, 1, 0], any, 1, 100, lan),
            ("eth0", [10, 0, 0, 0], [192, 168, 1, 9], 3, 0, lan),
            ("tun0", any, [10, 8, 0, 1], 3, 0, [128, 0, 0, 0]),
            ("wg0", any, any, 1, 0, any),
            ("bad0", any, [10, 9, 0, 1], 0x203, 0, any),
        ]);
        let gateway = |device| gateway_v4(&table, device).map(|it| it.to_string());
        assert_eq!(gateway("eth0").as_deref(), Some("192.168.1.1"));
        assert_eq!(gateway("tun0").as_deref(), Some("10.8.0.1"));
        assert_eq!((gateway("wg0"), gateway("bad0"), gateway("eth1")), (None, None, None));
        assert_eq!(gateway_v4("nonsense\na b c d e f g h\n", "a"), None);
    }

    #[test]
    fn the_same_over_ipv6() {
        let zero = "0".repeat(32);
        let row = |prefix: &str, gateway: &str, metric: &str, flags: &str, name: &str| {
            format!(
                "{zero} {prefix} {zero} 00 {gateway} {metric} 00000001 00000000 {flags} {name}\n"
            )
        };
        let (one, two) = (format!("fe80{}1", "0".repeat(27)), format!("fe80{}2", "0".repeat(27)));
        let table = [
            row("00", &two, "00000400", "00450003", "eth0"),
            row("00", &one, "00000100", "00450003", "eth0"),
            row("40", &two, "00000001", "00450003", "eth0"),
            row("00", &zero, "ffffffff", "00200200", "lo"),
        ]
        .concat();
        assert_eq!(gateway_v6(&table, "eth0"), "fe80::1".parse().ok());
        assert_eq!(gateway_v6(&table, "lo"), None);
    }

    #[test]
    fn only_addresses_that_stay_are_opened() {
        let row = |last: &str, scope: &str, flags: &str, name: &str| {
            format!("20010db800000000000000000000000{last} 02 40 {scope} {flags} {name}\n")
        };
        let table = [
            row("1", "00", "01", "eth0"),
            row("2", "00", "20", "eth0"),
            row("3", "00", "00", "eth1"),
            "fd000000000000000000000000000004 02 40 00 80 eth0\n".to_owned(),
            row("5", "00", "80", "eth0"),
            row("6", "20", "80", "eth0"),
        ]
        .concat();
        let found = stable_addresses(&table, "eth0");
        assert_eq!(found, ["2001:db8::5", "fd00::4"].map(|it| it.parse::<Ipv6Addr>().unwrap()));
    }

    #[test]
    fn a_cable_is_spoken_to_from_the_address_that_we_have_on_it() {
        let row = |last: &str, index: &str, scope: &str, flags: &str| {
            format!("fe80000000000000000000000000000{last} {index} 40 {scope} {flags} eth0\n")
        };
        let table = [
            row("1", "02", "20", "80"),
            row("2", "0a", "00", "80"),
            row("3", "0a", "20", "40"),
            row("4", "0a", "20", "80"),
        ]
        .concat();
        assert_eq!(cable_address(&table, 10), "fe80::4".parse().ok(), "the index is hexadecimal");
        assert_eq!(cable_address(&table, 3), None);
        assert_eq!(cable_address("nonsense\n", 3), None);
    }

    #[test]
    fn a_tunnel_without_a_gateway_has_one_at_its_other_end_or_its_first_address() {
        let device = |is_tunnel, other_end: Option<&str>| Device {
            name: "wg0".to_owned(),
            index: 3,
            is_tunnel,
            other_end: other_end.and_then(|it| it.parse().ok()),
        };
        let own: IpAddr = "10.2.0.2".parse().unwrap();
        let told = |it: &Device| guess(own, it).map(|it| it.to_string());
        assert_eq!(told(&device(true, None)).as_deref(), Some("10.2.0.1"));
        assert_eq!(told(&device(true, Some("10.8.0.5"))).as_deref(), Some("10.8.0.5"));
        assert_eq!(told(&device(false, None)), None);
        assert_eq!(guess("10.2.0.1".parse().unwrap(), &device(true, None)), None);
    }

    #[test]
    fn nobody_is_asked_for_this_machine_alone() {
        let look = |egress: &Egress| look(egress, true).unwrap_err();
        let here = Egress::from_address("127.0.0.1".parse().ok());
        assert_eq!(look(&here), "we are bound to this machine alone");
        let device = Egress::new(Policy { device: Some("lo".to_owned()), ..Policy::default() });
        assert_eq!(look(&device), "we are bound to this machine alone");
        let six = Egress::from_address("::1".parse().ok());
        assert_eq!(look(&six), "there is no IPv4 network");
        let away = Egress::new(Policy { device: Some("tun77".to_owned()), ..Policy::default() });
        assert_eq!(look(&away), "waits for tun77: there is no such device");
    }
}
