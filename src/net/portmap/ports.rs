//! The ports that others are told: inside the one that we listen on, outside the one that a router
//! maps to it, which may be another for each family and may change. Values, and a way to hear of
//! changes.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::watch;

use super::types::{State, Transport};
use crate::base::addr::Locality;

/// How one family is reached from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// The port of peers.
    pub tcp: u16,
    /// The port of datagrams that a router has opened; none where it is as it is inside.
    pub udp: Option<u16>,
    /// Where peers find us, if a router has opened a port and nothing else is between.
    pub peers_at: Option<SocketAddr>,
    /// The same for datagrams.
    pub datagrams_at: Option<SocketAddr>,
}

/// How both are reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsidePorts {
    /// Over IPv4.
    pub four: Outside,
    /// Over IPv6.
    pub six: Outside,
}

impl OutsidePorts {
    /// Nobody maps our ports: they are the same outside.
    pub fn unmapped(tcp: u16) -> Self {
        let outside = Outside { tcp, udp: None, peers_at: None, datagrams_at: None };
        Self { four: outside, six: outside }
    }

    /// Of one family.
    pub fn of(&self, is_v4: bool) -> Outside {
        if is_v4 { self.four } else { self.six }
    }

    /// Do peers find us elsewhere than before? Then trackers are to hear of it.
    pub fn is_elsewhere_than(&self, before: &Self) -> bool {
        let families = [(self.four, before.four), (self.six, before.six)];
        families.iter().any(|(now, before)| {
            let have_both = now.peers_at.is_some() && before.peers_at.is_some();
            now.tcp != before.tcp || have_both && now.peers_at != before.peers_at
        })
    }

    /// Notes how it stands with one family, whose peers come to this port inside.
    pub fn note(&mut self, is_v4: bool, tcp: u16, state: &State) {
        let mapping = state.mapping();
        let outside = Outside {
            tcp: mapping.map_or(tcp, |it| it.tcp),
            udp: mapping.and_then(|it| it.udp),
            peers_at: mapping.and_then(|it| it.public(Transport::Tcp)),
            datagrams_at: mapping.and_then(|it| it.public(Transport::Udp)),
        };
        *(if is_v4 { &mut self.four } else { &mut self.six }) = outside;
    }
}

/// Our ports, inside and outside; cheap to clone.
#[derive(Clone, Debug)]
pub struct OwnPorts {
    listen: u16,
    udp: watch::Receiver<u16>,
    outside: watch::Receiver<OutsidePorts>,
}

impl OwnPorts {
    /// Ports that nobody maps; 0 is none.
    pub fn fixed(listen: u16, udp: u16) -> Self {
        Self::mapped(listen, udp).0
    }

    /// Ports that somebody may map, who tells of it by the other end.
    pub fn mapped(listen: u16, udp: u16) -> (Self, watch::Sender<OutsidePorts>) {
        Self::following(listen, watch::channel(udp).1)
    }

    /// The same, where that of datagrams may become another one.
    pub fn following(
        listen: u16,
        udp: watch::Receiver<u16>,
    ) -> (Self, watch::Sender<OutsidePorts>) {
        let (told, outside) = watch::channel(OutsidePorts::unmapped(listen));
        (Self { listen, udp, outside }, told)
    }

    /// The port that we listen on for peers; 0 where nobody can connect.
    pub fn listen(&self) -> u16 {
        self.listen
    }

    /// How we are reached from outside now.
    pub fn outside(&self) -> OutsidePorts {
        *self.outside.borrow()
    }

    /// The port of peers to be told to whoever is at `host`: whoever is in our own network does
    /// not come through the router.
    pub fn peers_towards(&self, host: IpAddr) -> u16 {
        let host = host.to_canonical();
        match Locality::of(host).is_local() {
            true => self.listen,
            false => self.outside().of(host.is_ipv4()).tcp,
        }
    }

    /// The same for datagrams.
    pub fn datagrams_towards(&self, host: IpAddr) -> u16 {
        let host = host.to_canonical();
        let outside = self.outside().of(host.is_ipv4()).udp;
        let mapped = outside.filter(|_| !Locality::of(host).is_local());
        mapped.unwrap_or_else(|| *self.udp.borrow())
    }

    /// Waits until we are reached otherwise than when this was asked last; for ever, where nobody
    /// maps anything any more.
    pub async fn changed(&mut self) {
        if self.outside.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::portmap::types::{Mapping, Protocol};

    fn mapped(address: &str) -> State {
        State::Mapped(Mapping {
            protocol: Protocol::NatPmp,
            gateway: "192.168.1.1".parse().unwrap(),
            address: address.parse().unwrap(),
            tcp: 40_000,
            udp: Some(40_001),
            lifetime: None,
        })
    }

    #[test]
    fn trackers_hear_of_another_port_or_address_and_not_that_nothing_changes() {
        let before = OutsidePorts::unmapped(40_000);
        let noted = |address: &str, inside| {
            let mut outside = OutsidePorts::unmapped(inside);
            outside.note(true, inside, &mapped(address));
            outside
        };
        let same = noted("93.184.216.1", 40_000);
        assert!(!same.is_elsewhere_than(&before), "the port is what they were told");
        assert!(same.is_elsewhere_than(&OutsidePorts::unmapped(6881)));
        assert!(noted("93.184.216.2", 40_000).is_elsewhere_than(&same));
    }

    #[tokio::test]
    async fn who_comes_through_the_router_is_told_the_port_outside() {
        let (mut own, told) = OwnPorts::mapped(6881, 6882);
        let towards = |own: &OwnPorts, host: &str| {
            let host = host.parse().unwrap();
            (own.peers_towards(host), own.datagrams_towards(host))
        };
        assert_eq!(towards(&own, "93.184.216.34"), (6881, 6882));
        told.send_modify(|all| all.note(true, 6881, &mapped("93.184.216.1")));
        own.changed().await;
        assert_eq!(towards(&own, "93.184.216.34"), (40_000, 40_001));
        assert_eq!(towards(&own, "::ffff:93.184.216.34"), (40_000, 40_001));
        for other in ["192.168.1.9", "127.0.0.1", "2001:db8::1"] {
            assert_eq!(towards(&own, other), (6881, 6882), "{other}");
        }
        let four = own.outside().four;
        assert_eq!(four.peers_at, "93.184.216.1:40000".parse().ok());
        assert_eq!(four.datagrams_at, "93.184.216.1:40001".parse().ok());
        told.send_modify(|all| all.note(true, 6881, &mapped("100.64.0.9")));
        assert_eq!(own.outside().four.peers_at, None, "nobody finds us there");
        told.send_modify(|all| all.note(true, 6881, &State::Asking));
        assert_eq!(own.outside(), OutsidePorts::unmapped(6881));
    }
    #[test]
    fn the_port_of_datagrams_is_that_of_now() {
        let (now, udp) = watch::channel(6882);
        let (own, told) = OwnPorts::following(6881, udp);
        let towards = |host: &str| own.datagrams_towards(host.parse().unwrap());
        now.send_replace(50_000);
        assert_eq!((towards("192.168.1.9"), towards("93.184.216.34")), (50_000, 50_000));
        told.send_modify(|all| all.note(true, 6881, &mapped("93.184.216.1")));
        assert_eq!((towards("192.168.1.9"), towards("93.184.216.34")), (50_000, 40_001));
    }
}
