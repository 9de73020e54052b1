//! Which addresses belong together, since one party may have all of them, and which are ever
//! spoken to. Not here: limits that count them.

use std::net::{IpAddr, SocketAddr};

use crate::base::addr::{Locality, Teller, canonical_ip, is_usable_peer};

/// One of the two networks that have nothing in common but the protocol (BEP 32).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        match canonical_ip(address) {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The first bits of an address: what belongs to one party, or to one neighbourhood.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Net(IpAddr);

impl Net {
    /// The /24 or /64: what a single site has.
    pub fn site(address: IpAddr) -> Self {
        Self::prefix(address, 24, 64)
    }

    /// The /24 or /48: what has one vote on our own address.
    pub fn voter(address: IpAddr) -> Self {
        Self::prefix(address, 24, 48)
    }

    /// The /16 or /32: what a provider has.
    pub fn provider(address: IpAddr) -> Self {
        Self::prefix(address, 16, 32)
    }

    fn prefix(address: IpAddr, v4_bits: u32, v6_bits: u32) -> Self {
        Self(match canonical_ip(address) {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & !(u32::MAX >> v4_bits)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !(u128::MAX >> v6_bits)).into()),
        })
    }
}

/// Whether the limits on addresses that belong together do not hold for `address`: a test net
/// on one machine is one machine.
pub fn is_exempt(address: IpAddr) -> bool {
    Locality::of(address) == Locality::Loopback
}

/// Whether a node is spoken to at `address` when a node at `from` named it. Port 1 is what a
/// text search made of `implied_port` (jech/dht#29); local addresses are believed from local
/// ones only.
pub fn is_usable_node(address: SocketAddr, from: IpAddr) -> bool {
    address.port() != 1 && is_usable_peer(address, Teller::Remote(Locality::of(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nets_hold_addresses_with_the_same_first_bits() {
        assert_eq!(Net::site(ip("192.0.2.1")), Net::site(ip("192.0.2.254")));
        assert_ne!(Net::site(ip("192.0.2.1")), Net::site(ip("192.0.3.1")));
        assert_eq!(Net::site(ip("::ffff:192.0.2.1")), Net::site(ip("192.0.2.9")));
        assert_eq!(Net::site(ip("2001:db8:1:2::1")), Net::site(ip("2001:db8:1:2:3::1")));
        assert_ne!(Net::site(ip("2001:db8:1:2::1")), Net::site(ip("2001:db8:1:3::1")));
        assert_eq!(Net::voter(ip("2001:db8:1:2::1")), Net::voter(ip("2001:db8:1:3::1")));
        assert_eq!(Net::provider(ip("192.0.2.1")), Net::provider(ip("192.0.99.1")));
        assert_ne!(Net::provider(ip("192.0.2.1")), Net::provider(ip("192.1.2.1")));
        assert_eq!(Net::provider(ip("2001:db8:1::1")), Net::provider(ip("2001:db8:9::1")));
    }

    #[test]
    fn addresses_that_nobody_should_be_spoken_to_at() {
        let usable = |address: &str, from: &str| {
            is_usable_node(address.parse().unwrap(), from.parse().unwrap())
        };
        for bad in ["8.8.8.8:0", "8.8.8.8:1", "0.1.2.3:6881", "224.0.0.1:6881", "10.0.0.1:6881"] {
            assert!(!usable(bad, "9.9.9.9"), "{bad}");
        }
        assert!(usable("8.8.8.8:6881", "9.9.9.9"));
        assert!(usable("10.0.0.1:6881", "10.0.0.2"));
        assert!(usable("127.0.0.1:6881", "127.0.0.1"));
        assert!(!usable("127.0.0.1:6881", "9.9.9.9"));
    }

    #[test]
    fn families() {
        assert_eq!(Family::of(ip("::ffff:1.2.3.4")), Family::V4);
        assert_eq!(Family::of(ip("2001:db8::1")), Family::V6);
    }
}
