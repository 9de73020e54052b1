//! Peer addresses: the compact form trackers and peers exchange (BEP 7, BEP 23), where in
//! the network an address lies, and whether we would ever connect to it. It is not an IP
//! filter, and it resolves no names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a compact IPv4 peer: four of address, two of port (BEP 23).
pub const COMPACT_V4_LEN: usize = 6;

/// Bytes of a compact IPv6 peer: sixteen of address, two of port (BEP 7).
pub const COMPACT_V6_LEN: usize = 18;

/// Where an address lies, seen from this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locality {
    /// This machine: 127.0.0.0/8, `::1`.
    Loopback,
    /// A site's own network: RFC 1918, carrier NAT (RFC 6598), `fc00::/7` (RFC 4193).
    Private,
    /// One cable: 169.254.0.0/16, `fe80::/10`. Cloud metadata services live here.
    LinkLocal,
    /// Everything else that a host may have.
    Public,
    /// No host has it: unspecified, multicast, broadcast, reserved.
    Unroutable,
}

/// One party as limits, bans and debts count it: an IPv4 address, or an IPv6 /64, since that much
/// is given to the smallest site (RFC 6177) and whoever has it has all 2^64 addresses in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Host(IpAddr);

/// Who told us an address. It decides whether local addresses are believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Teller {
    /// The user typed it.
    User,
    /// A tracker or peer whose own address lies there.
    Remote(Locality),
}

impl Locality {
    /// Classifies `address`; an IPv4 address inside an IPv6 one counts as the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match canonical_ip(address) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// Whether a stranger on the Internet has no business naming such an address.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::LinkLocal)
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, ..] = address.octets();
        // 240.0.0.0/4 is reserved and holds the broadcast address.
        if a == 0 || a >= 240 || address.is_multicast() {
            Self::Unroutable
        } else if address.is_loopback() {
            Self::Loopback
        } else if address.is_link_local() {
            Self::LinkLocal
        } else if address.is_private() || (a == 100 && (64..128).contains(&b)) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        if address.is_unspecified() || address.is_multicast() {
            Self::Unroutable
        } else if address.is_loopback() {
            Self::Loopback
        } else if address.is_unicast_link_local() {
            Self::LinkLocal
        // Site-local fec0::/10 is deprecated (RFC 3879) and still a site's own.
        } else if address.is_unique_local() || segments[0] & 0xffc0 == 0xfec0 {
            Self::Private
        } else if let Some(inner) = translated_v4(&segments) {
            Self::of_v4(inner)
        } else {
            Self::Public
        }
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Public => "public",
            Self::Unroutable => "unroutable",
        })
    }
}

/// The same address with an IPv4-mapped IPv6 address written as IPv4, so that one host has
/// one name in our tables.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match canonical_ip(address.ip()) {
        IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// [`canonical`] without a port.
pub fn canonical_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The host that limits count `address` with. An IPv4 address inside an IPv6 one, mapped or
/// translated, counts as the IPv4 address: a gateway's /64 holds all of them.
pub fn host_key(address: IpAddr) -> Host {
    let IpAddr::V6(v6) = canonical_ip(address) else { return Host(canonical_ip(address)) };
    let segments = v6.segments();
    match translated_v4(&segments) {
        Some(inner) if !v6.is_loopback() => Host(IpAddr::V4(inner)),
        _ => {
            let [a, b, c, d, ..] = segments;
            Host(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
        }
    }
}

/// Whether to keep `address` as a candidate when `from` named it. Port 0 and addresses no
/// host can have are refused; local addresses are believed from the user and from a source
/// that is local itself, so that a public tracker cannot aim us at our own network.
pub fn is_usable_peer(address: SocketAddr, from: Teller) -> bool {
    if address.port() == 0 {
        return false;
    }
    match Locality::of(address.ip()) {
        Locality::Unroutable => false,
        Locality::Public => true,
        _ => match from {
            Teller::User => true,
            Teller::Remote(locality) => locality.is_local(),
        },
    }
}

/// The peers of a compact IPv4 list (BEP 23). A truncated last entry is left out.
pub fn parse_compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (entries, _) = bytes.as_chunks::<COMPACT_V4_LEN>();
    entries.iter().map(|[a, b, c, d, high, low]| {
        SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])))
    })
}

/// The peers of a compact IPv6 list (BEP 7), mapped IPv4 addresses made canonical. A
/// truncated last entry is left out.
pub fn parse_compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (entries, _) = bytes.as_chunks::<COMPACT_V6_LEN>();
    entries.iter().filter_map(|entry| {
        let (address, port) = entry.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(canonical(SocketAddr::from((Ipv6Addr::from(*address), port))))
    })
}

/// Appends the compact form: 6 bytes for IPv4 and IPv4-mapped addresses, 18 for IPv6. The
/// caller keeps the two kinds in separate lists, as the formats demand.
pub fn write_compact(address: SocketAddr, out: &mut Vec<u8>) {
    match canonical_ip(address.ip()) {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// The IPv4 address that a gateway would reach: NAT64 `64:ff9b::/96` (RFC 6052), 6to4
/// `2002::/16` (RFC 3056) and the deprecated compatible form `::a.b.c.d`.
fn translated_v4(segments: &[u16; 8]) -> Option<Ipv4Addr> {
    let (high, low) = match *segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

/// The host of a URL or of `HOST:PORT`, an IPv6 address without the brackets that it stands in.
pub fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn locality(text: &str) -> Locality {
        Locality::of(text.parse().unwrap())
    }

    #[test]
    fn localities_of_both_families() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert_eq!(locality(text), Locality::Loopback, "{text}");
        }
        for text in ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1"] {
            assert_eq!(locality(text), Locality::Private, "{text}");
        }
        for text in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1"] {
            assert_eq!(locality(text), Locality::LinkLocal, "{text}");
        }
        for text in ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            assert_eq!(locality(text), Locality::Unroutable, "{text}");
        }
        for text in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert_eq!(locality(text), Locality::Public, "{text}");
        }
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_a_64_of_ipv6() {
        let same = |a: &str, b: &str| host_key(a.parse().unwrap()) == host_key(b.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
        // Two behind one NAT64 gateway are two, and a 6to4 site is its gateway.
        assert!(same("64:ff9b::192.0.2.1", "192.0.2.1"));
        assert!(!same("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"));
        assert!(same("2002:c000:201:1::1", "2002:c000:201:2::1"));
    }

    #[test]
    fn local_peers_are_believed_from_local_sources_only() {
        let usable = |text: &str, from| is_usable_peer(text.parse().unwrap(), from);
        let public = Teller::Remote(Locality::Public);
        for local in ["127.0.0.1:6881", "192.168.1.2:6881", "[fe80::2]:6881", "[fd00::2]:6881"] {
            assert!(!usable(local, public), "{local}");
            assert!(usable(local, Teller::User), "{local}");
            assert!(usable(local, Teller::Remote(Locality::Loopback)), "{local}");
            assert!(usable(local, Teller::Remote(Locality::Private)), "{local}");
        }
        assert!(usable("8.8.8.8:6881", public));
        for bad in ["8.8.8.8:0", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1"] {
            assert!(!usable(bad, Teller::User), "{bad}");
        }
    }

    #[test]
    fn compact_lists_leave_out_a_truncated_tail() {
        let bytes = [1, 2, 3, 4, 0x1a, 0xe1, 9, 9, 9];
        let peers: Vec<_> = parse_compact_v4(&bytes).collect();
        assert_eq!(peers, ["1.2.3.4:6881".parse().unwrap()]);
        assert_eq!(parse_compact_v6(&[0; 17]).count(), 0);
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        let mut bytes = vec![0; 10];
        bytes.extend([0xff, 0xff, 1, 2, 3, 4, 0x1a, 0xe1]);
        let peers: Vec<SocketAddr> = parse_compact_v6(&bytes).collect();
        assert_eq!(peers, ["1.2.3.4:6881".parse().unwrap()]);
    }

    proptest! {
        #[test]
        fn compact_round_trip(v4: [u8; 4], v6: [u8; 16], port: u16) {
            let four = SocketAddr::from((v4, port));
            let mut bytes = Vec::new();
            write_compact(four, &mut bytes);
            prop_assert_eq!(bytes.len(), COMPACT_V4_LEN);
            prop_assert_eq!(parse_compact_v4(&bytes).collect::<Vec<_>>(), vec![four]);

            let six = SocketAddr::from((v6, port));
            if canonical(six).is_ipv6() {
                let mut bytes = Vec::new();
                write_compact(six, &mut bytes);
                prop_assert_eq!(bytes.len(), COMPACT_V6_LEN);
                prop_assert_eq!(parse_compact_v6(&bytes).collect::<Vec<_>>(), vec![six]);
            }
        }
    }

    #[test]
    fn brackets_are_taken_off_in_pairs() {
        for (host, bare) in [("[::1]", "::1"), ("a.example", "a.example"), ("[::1", "[::1")] {
            assert_eq!(without_brackets(host), bare);
        }
    }
}
