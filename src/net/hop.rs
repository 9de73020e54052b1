//! Where whoever names a server may lead us. Neither a torrent nor a redirect is to aim us at our
//! own network, or at a port where nobody speaks HTTP. Pure; not here: trackers, which have a rule
//! of their own.

use std::net::{IpAddr, SocketAddr};

use crate::base::addr::{Locality, canonical_ip};

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Ports of other protocols, some of which take a request for something else: those that browsers
/// refuse (WHATWG Fetch, "port blocking").
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

/// Why a host is not asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The address lies where the URL must not lead.
    #[error("it leads to the {0} address {1}, which is not allowed")]
    Forbidden(Locality, IpAddr),
    /// The port is that of another protocol.
    #[error("it leads to port {0}, which is not one of HTTP")]
    Port(u16),
    /// The host name has no address.
    #[error("{0}")]
    Lookup(String),
    /// Nothing leaves at present, whoever was to be reached.
    #[error("{0}")]
    Held(String),
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        match error.is_held() {
            true => Self::Held(error.to_string()),
            false => Self::Lookup(error.to_string()),
        }
    }
}

/// How far whoever names a URL is believed that it may lead into our own network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Anywhere: it is the user's own word.
    Full,
    /// To its hosts and to this machine, but not to those that are on one cable with us: there
    /// clouds have services that tell secrets to whoever asks.
    Inside,
    /// Not at all.
    None,
}

/// One step on the way to a server: a URL that somebody named, or a redirect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Whether whoever named the URL may name one of our own network.
    pub trust: Trust,
    /// Where the server lies that redirects here; none for the first step.
    pub previous: Option<Locality>,
}

impl Hop {
    /// May we connect to `target`? A redirect may stay where it comes from or lead outwards,
    /// never further inside.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check(self, target: IpAddr) -> Result<(), Error> {
        let depth = |locality: Locality| match locality {
            Locality::Public => Some(0),
            Locality::Private => Some(1),
            Locality::LinkLocal => Some(2),
            Locality::Loopback => Some(3),
            Locality::Unroutable => None,
        };
        let locality = Locality::of(target);
        let is_inwards = self.previous.is_some_and(|previous| depth(previous) < depth(locality));
        let is_allowed = match locality {
            Locality::Unroutable => false,
            Locality::Public => true,
            Locality::LinkLocal => !is_inwards && self.trust == Trust::Full,
            _ => !is_inwards && self.trust != Trust::None,
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Error::Forbidden(locality, canonical_ip(target))),
        }
    }
}

/// May HTTP be spoken to this port?
///
/// # Errors
/// `Port`.
pub fn check_port(port: u16) -> Result<(), Error> {
    if BAD_PORTS.contains(&port) { Err(Error::Port(port)) } else { Ok(()) }
}

/// Those of a host's addresses that are tried from `bind`, in this order: both families in turn
/// (RFC 8305 §4), for one of them may lead nowhere; only its own when `bind` is given.
pub fn to_try(addresses: Vec<SocketAddr>, bind: Option<IpAddr>) -> Vec<SocketAddr> {
    let fits = |it: &SocketAddr| bind.is_none_or(|bind| bind.is_ipv4() == it.is_ipv4());
    let Some(first) = addresses.iter().copied().find(fits) else {
        // Why not is said when it is tried.
        return addresses.into_iter().take(1).collect();
    };
    let (alike, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().filter(fits).partition(|it| it.is_ipv4() == first.is_ipv4());
    let (mut alike, mut others) = (alike.into_iter(), others.into_iter());
    let in_turn = std::iter::from_fn(|| {
        let pair = [alike.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    in_turn.flatten().flatten().take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_in_turn_and_only_the_one_that_is_bound() {
        let parse = |it: &str| SocketAddr::new(it.parse().unwrap(), 80);
        let tried = |bind: Option<&str>| -> Vec<String> {
            let six = (1..=5).map(|number| format!("2001:db8::{number}"));
            let all = six.chain(["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]);
            let all = all.map(|it| parse(&it)).collect();
            let tried = to_try(all, bind.map(|bind| bind.parse().unwrap()));
            tried.iter().map(|it| it.ip().to_string()).collect()
        };
        assert_eq!(tried(None), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]);
        assert_eq!(tried(Some("127.0.0.1")), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(tried(Some("::1")).len(), 4);
        assert_eq!(to_try(vec![parse("::1")], Some("127.0.0.1".parse().unwrap())).len(), 1);
        assert!(to_try(Vec::new(), None).is_empty());
    }

    const INWARDS: [(&str, Locality); 7] = [
        ("192.168.1.1", Locality::Private),
        ("100.64.3.1", Locality::Private),
        ("fd00::1", Locality::Private),
        ("169.254.169.254", Locality::LinkLocal),
        ("127.0.0.1", Locality::Loopback),
        ("::1", Locality::Loopback),
        ("::ffff:10.0.0.1", Locality::Private),
    ];

    fn allowed(is_believed: bool, previous: Option<Locality>, target: &str) -> bool {
        let trust = if is_believed { Trust::Full } else { Trust::None };
        Hop { trust, previous }.check(target.parse().unwrap()).is_ok()
    }

    #[test]
    fn what_clouds_tell_on_our_cable_is_for_the_user_alone() {
        let allowed = |trust, target: &str| {
            let target = target.parse().unwrap();
            let hops = [None, Some(Locality::LinkLocal), Some(Locality::Loopback)];
            hops.map(|previous| Hop { trust, previous }.check(target).is_ok())
        };
        for target in ["169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254"] {
            assert_eq!(allowed(Trust::Full, target), [true; 3], "{target}");
            assert_eq!(allowed(Trust::Inside, target), [false; 3], "{target}");
            assert_eq!(allowed(Trust::None, target), [false; 3], "{target}");
        }
        assert_eq!(allowed(Trust::Inside, "127.0.0.1"), [true, false, true]);
        assert_eq!(allowed(Trust::Inside, "10.0.0.1"), [true; 3]);
        assert_eq!(allowed(Trust::None, "192.0.3.1"), [true; 3]);
    }

    #[test]
    fn only_who_is_believed_leads_into_a_network_and_no_redirect_leads_further_in() {
        for previous in [None, Some(Locality::Public), Some(Locality::Loopback)] {
            assert!(allowed(false, previous, "192.0.3.1"));
        }
        for (target, locality) in INWARDS {
            assert!(allowed(true, None, target), "{target} may be named");
            assert!(allowed(true, Some(locality), target), "{target} is no further in");
            assert!(!allowed(true, Some(Locality::Public), target), "{target}");
            assert!(!allowed(false, None, target) && !allowed(false, Some(locality), target));
        }
        assert!(!allowed(true, Some(Locality::Private), "127.0.0.1"));
        assert!(allowed(true, Some(Locality::Loopback), "10.0.0.1"));
        for nobody in ["224.0.0.1", "0.0.0.0", "::", "255.255.255.255"] {
            assert!(!allowed(true, None, nobody), "{nobody}");
        }
    }

    #[test]
    fn ports_of_other_protocols_are_refused() {
        for port in [22, 25, 6667, 0] {
            assert_eq!(check_port(port), Err(Error::Port(port)));
        }
        for port in [80, 443, 8080, 6881, 50_000] {
            assert_eq!(check_port(port), Ok(()));
        }
        assert!(BAD_PORTS.is_sorted());
    }
}
