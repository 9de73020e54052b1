//! What the user allows, what each socket is for, and how things stand. Values only.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::device::{Absence, Place};
use super::proxy::Proxy;

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Connections to peers.
    Peer,
    /// Trackers, over HTTP and UDP.
    Tracker,
    /// The DHT.
    Dht,
    /// Peers of the local network.
    Lsd,
    /// Servers of files, and files that are fetched by URL.
    WebSeed,
    /// The router.
    PortMap,
    /// Trackers and providers of the course protocol.
    Course,
    /// Trackers' catalogues, and those of the local network.
    Catalogue,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Peer,
        Self::Tracker,
        Self::Dht,
        Self::Lsd,
        Self::WebSeed,
        Self::PortMap,
        Self::Course,
        Self::Catalogue,
    ];
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Peer => "peers",
            Self::Tracker => "trackers",
            Self::Dht => "DHT",
            Self::Lsd => "local discovery",
            Self::WebSeed => "web servers",
            Self::PortMap => "port mapping",
            Self::Course => "course protocol",
            Self::Catalogue => "catalogues",
        })
    }
}

/// What the user allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// The one device that anything leaves by.
    pub device: Option<String>,
    /// The address to speak from and listen on; one of the device's if there is one.
    pub bind: Option<IpAddr>,
    /// What connects for us.
    pub proxy: Option<Proxy>,
    /// Only peers are reached through the proxy; all others directly.
    pub only_peers: bool,
    /// Who resolves names, where the system must not.
    pub dns: Option<SocketAddr>,
    /// Files with certificates (PEM) of authorities that servers may prove their names with,
    /// besides those of the system.
    pub authorities: Vec<PathBuf>,
}

impl Policy {
    /// Why nothing leaves for this purpose, if so.
    pub(super) fn off(&self, purpose: Purpose) -> Option<&'static str> {
        let proxy = self.proxy.as_ref()?;
        match purpose {
            Purpose::Lsd => Some("who is behind a proxy does not show in the local network"),
            Purpose::PortMap => Some("nobody can connect to us through a proxy"),
            Purpose::Dht if !self.only_peers && !proxy.takes_datagrams() => {
                Some("datagrams (UDP) do not go through an HTTP proxy")
            }
            _ => None,
        }
    }
}

/// Whether anything may leave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// It may.
    #[default]
    Open,
    /// Not until the device is there again, for this reason.
    Waiting(String),
    /// Not at all: the system does not let us do what is asked for.
    Closed(String),
}

/// How things stand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Whether anything may leave.
    pub state: State,
    /// The device, where one is chosen and there.
    pub place: Option<Place>,
    /// The networks that this machine is in.
    pub networks: Vec<IpAddr>,
    /// What was wrong with the proxy when it was asked last.
    pub proxy_trouble: Option<String>,
    /// Why datagrams do not go through the proxy at present.
    pub relay_trouble: Option<String>,
}

impl Standing {
    /// How things stand at first under this policy.
    pub(super) fn at_first(policy: &Policy) -> Self {
        match policy.only_peers && policy.proxy.is_none() {
            // They would go directly.
            true => Self {
                state: State::Closed("peers are to go through a proxy, and none is named".into()),
                ..Self::default()
            },
            false => Self::default(),
        }
    }

    /// The same after a look at the device, if there is one, and at the networks. What the system
    /// does not say leaves standing what was known.
    pub(super) fn seen(
        &mut self,
        device: Option<&Result<Place, Absence>>,
        networks: Option<&[IpAddr]>,
    ) -> bool {
        let before = (self.state.clone(), self.place);
        match device {
            // What is forbidden stays forbidden.
            _ if matches!(self.state, State::Closed(_)) => self.place = None,
            Some(Ok(place)) => (self.state, self.place) = (State::Open, Some(*place)),
            Some(Err(Absence::Away(why))) => {
                (self.state, self.place) = (State::Waiting(why.clone()), None);
            }
            // Nothing was opened before, and nothing is yet.
            Some(Err(Absence::Unknown(why))) if self.place.is_none() => {
                self.state = State::Waiting(why.clone());
            }
            Some(Err(Absence::Unknown(_))) | None => {}
        }
        let is_elsewhere = networks.is_some_and(|networks| networks != self.networks);
        if let Some(networks) = networks.filter(|_| is_elsewhere) {
            self.networks = networks.to_vec();
        }
        is_elsewhere || before != (self.state.clone(), self.place)
    }

    /// Is what was opened at `since` still of use?
    pub(super) fn holds(&self, since: Option<Place>) -> bool {
        match (since, self.place) {
            (Some(since), Some(now)) => now.holds(&since),
            (since, now) => since.is_some() == now.is_some(),
        }
    }

    /// Is this machine, the device or the proxy where it was not before? Then others are to hear
    /// of it.
    pub fn is_elsewhere_than(&self, before: &Self) -> bool {
        if self.state != State::Open {
            return false;
        }
        let is_over = |was: &Option<String>, is: &Option<String>| was.is_some() && is.is_none();
        if is_over(&before.proxy_trouble, &self.proxy_trouble)
            || is_over(&before.relay_trouble, &self.relay_trouble)
        {
            return true;
        }
        let is_new = |network: &IpAddr| !before.networks.contains(network);
        match self.place {
            Some(place) => before.place != Some(place),
            None => self.networks.iter().any(is_new),
        }
    }

    /// That nothing leaves at present, or does not get behind the proxy, and why; in words for
    /// people.
    pub fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Waiting(why) | State::Closed(why) => Some(format!("nothing leaves: {why}")),
            State::Open => self.proxy_trouble.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_does_not_say_leaves_standing_what_was_known() {
        let place = Place { index: 3, four: "10.8.0.2".parse().ok(), six: None };
        let networks = ["10.8.0.2".parse().unwrap()];
        let mut standing = Standing::default();
        assert!(standing.seen(Some(&Ok(place)), Some(&networks)));
        let before = standing.clone();
        let unknown = Err(Absence::Unknown("cannot look at tun0: too many files".to_owned()));
        assert!(!standing.seen(Some(&unknown), None));
        assert_eq!(standing, before);
        let away = Err(Absence::Away("waits for tun0: it is down".to_owned()));
        assert!(standing.seen(Some(&away), None));
        assert_eq!((standing.place, standing.networks.len()), (None, 1));
        // Who cannot look at the start has nothing yet.
        let mut first = Standing::default();
        assert!(first.seen(Some(&unknown), None) && first.trouble().is_some());
    }

    #[test]
    fn what_is_forbidden_stays_so() {
        let policy = Policy { only_peers: true, ..Policy::default() };
        let mut standing = Standing::at_first(&policy);
        assert!(!standing.seen(None, None));
        let place = Place { index: 3, four: "10.8.0.2".parse().ok(), six: None };
        assert!(!standing.seen(Some(&Ok(place)), None) && standing.place.is_none());
        let why = "nothing leaves: peers are to go through a proxy, and none is named";
        assert_eq!(standing.trouble().as_deref(), Some(why));
    }

    #[test]
    fn others_hear_of_a_new_place_and_not_of_one_that_is_gone() {
        let at = |index| Place { index, four: "10.8.0.2".parse().ok(), six: None };
        let open = |place| Standing { place, ..Standing::default() };
        let away =
            Standing { state: State::Waiting("waits for tun0".to_owned()), ..Standing::default() };
        assert!(open(Some(at(3))).is_elsewhere_than(&away));
        assert!(open(Some(at(4))).is_elsewhere_than(&open(Some(at(3)))), "made anew");
        assert!(!open(Some(at(3))).is_elsewhere_than(&open(Some(at(3)))));
        assert!(!away.is_elsewhere_than(&open(Some(at(3)))));
        assert_eq!(away.trouble().as_deref(), Some("nothing leaves: waits for tun0"));
        let troubled = |proxy: bool, relay: bool| Standing {
            proxy_trouble: proxy.then(|| "it is not reached".to_owned()),
            relay_trouble: relay.then(|| "it carries none".to_owned()),
            ..open(Some(at(3)))
        };
        let well = troubled(false, false);
        assert!(well.is_elsewhere_than(&troubled(true, false)), "the proxy is back");
        assert!(troubled(true, false).is_elsewhere_than(&troubled(true, true)));
        assert!(!troubled(true, true).is_elsewhere_than(&well));
        let within = |networks: &[&str]| Standing {
            networks: networks.iter().map(|it| it.parse().unwrap()).collect(),
            ..Standing::default()
        };
        let home = within(&["192.168.1.7"]);
        assert!(within(&["192.168.1.7", "2001:db8:1::"]).is_elsewhere_than(&home));
        assert!(home.is_elsewhere_than(&within(&[])), "the cable is in again");
        assert!(!within(&[]).is_elsewhere_than(&home));
    }
}
