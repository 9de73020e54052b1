//! HTTP clients that leave as everything else does. A client belongs to a device and one of its
//! addresses, so there is one a family: when the device is another one, or its address, it is made
//! anew, and the connections that it kept are not used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::sync::watch;

use super::authorities::authorities;
use super::device::Place;
use super::policy::Purpose;
use super::way_out::Egress;
use crate::net::Error;

/// To resolve a name that is connected to again, or the proxy's own.
const LOOKUP: Duration = Duration::from_secs(5);

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where it leaves.
    pub egress: Egress,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether the family of the address that was judged is spoken alone, also where a host has
    /// both. Behind a device it always is: what leaves has an address of the device.
    pub keeps_family: bool,
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For a whole request, from connecting to the last byte of the answer; none when who asks
    /// limits more than one request at once.
    pub total: Option<Duration>,
    /// Whether idle connections are kept for the next request, 90 s long. They are of no use to
    /// who asks a host seldom.
    pub keeps_idle: bool,
}

/// Makes clients of one kind; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    config: ClientConfig,
    /// One for each address that is spoken from, of the place of this moment.
    made: Arc<watch::Sender<Vec<(Local, reqwest::Client)>>>,
}

/// What a client is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Local {
    /// The device.
    index: Option<u32>,
    /// The address to speak from, by which reqwest also knows the family.
    address: Option<IpAddr>,
}

impl Client {
    /// One that follows no redirects. Proxies of the environment are not used: peers could not be
    /// reached through them either.
    ///
    /// # Errors
    /// `Http` when TLS cannot be set up at all, or the user's authorities cannot be read. A machine
    /// without any gets a client that speaks plain HTTP only.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        // Somebody else in the process may have installed a provider already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let local = Local { index: None, address: config.egress.policy().bind };
        let made = vec![(local, make(&config, local.address)?)];
        Ok(Self { config, made: Arc::new(watch::Sender::new(made)) })
    }

    /// Is a host's name resolved by a proxy, so that no address of it counts?
    pub fn is_proxied(&self) -> bool {
        self.config.egress.is_proxied(self.config.purpose)
    }

    /// Is it the family of the address that was judged alone that is connected to?
    pub fn keeps_family(&self) -> bool {
        self.config.keeps_family || self.config.egress.policy().device.is_some()
    }

    /// The client of this moment for an address, one of the host's. Waits only for the address of a
    /// proxy that is named by a name.
    ///
    /// # Errors
    /// `Held` while the device is not there, `Family` when it has no address of that family,
    /// `Lookup` for the proxy's, `Http` when no client can be made.
    pub async fn ready(&self, to: SocketAddr) -> Result<reqwest::Client, Error> {
        let place = self.config.egress.place()?;
        let address = match (place, self.is_proxied()) {
            (None, true) => self.config.egress.policy().bind,
            (None, false) => self.local_anywhere(to)?,
            (Some(place), is_proxied) => {
                let to = if is_proxied { self.proxy_address(place).await? } else { to };
                Some(place.own(to).ok_or(Error::Family { address: to })?)
            }
        };
        self.at(Local { index: place.map(|place| place.index), address }, place)
    }

    /// The same for a host none of whose addresses is judged.
    ///
    /// # Errors
    /// As [`ready`](Self::ready); `Lookup`.
    pub async fn ready_for(&self, host: &str, port: u16) -> Result<reqwest::Client, Error> {
        let egress = &self.config.egress;
        let found = match (egress.place()?, self.is_proxied()) {
            (Some(place), false) => {
                let found = egress.lookup(host, port, self.config.purpose, LOOKUP).await?;
                nearest(&found, place)
            }
            _ => None,
        };
        self.ready(found.unwrap_or((Ipv4Addr::UNSPECIFIED, port).into())).await
    }

    /// Where no device is chosen.
    fn local_anywhere(&self, to: SocketAddr) -> Result<Option<IpAddr>, Error> {
        let any = || -> IpAddr {
            match to {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            }
        };
        match (self.config.egress.policy().bind, self.config.keeps_family) {
            (Some(bind), true) if bind.is_ipv4() != to.is_ipv4() => {
                Err(Error::Family { address: to })
            }
            (None, true) => Ok(Some(any())),
            (bind, _) => Ok(bind),
        }
    }

    /// Where the proxy is, if possible of a family that the device has.
    async fn proxy_address(&self, place: Place) -> Result<SocketAddr, Error> {
        let egress = &self.config.egress;
        let none = || Error::Http("there is no proxy".to_owned());
        let proxy = egress.proxy_for(self.config.purpose).ok_or_else(none)?;
        let found = egress.addresses_of(proxy, LOOKUP).await?;
        nearest(&found, place).ok_or_else(none)
    }

    fn at(&self, local: Local, place: Option<Place>) -> Result<reqwest::Client, Error> {
        let found = |made: &Vec<(Local, reqwest::Client)>| {
            let it = made.iter().find(|(its, _)| *its == local)?;
            Some(it.1.clone())
        };
        if let Some(client) = found(&self.made.borrow()) {
            return Ok(client);
        }
        let client = make(&self.config, local.address)?;
        self.made.send_modify(|made| {
            made.retain(|(its, _)| its.is_of(place));
            made.push((local, client.clone()));
        });
        Ok(client)
    }
}

impl Local {
    /// Is it of this place, or of none where none is chosen?
    fn is_of(&self, place: Option<Place>) -> bool {
        let is_own = |place: Place| match self.address {
            Some(IpAddr::V4(four)) => place.four == Some(four),
            Some(IpAddr::V6(six)) => place.six == Some(six),
            None => false,
        };
        self.index == place.map(|place| place.index) && place.is_none_or(is_own)
    }
}

/// The first of these that the device has the family of, or the first at all.
fn nearest(found: &[SocketAddr], place: Place) -> Option<SocketAddr> {
    let fits = |it: &&SocketAddr| place.own(**it).is_some();
    found.iter().find(fits).or(found.first()).copied()
}

/// One that speaks from this address.
fn make(config: &ClientConfig, address: Option<IpAddr>) -> Result<reqwest::Client, Error> {
    let policy = config.egress.policy();
    let trusted = authorities(&policy.authorities).map_err(Error::Http)?;
    let trusted = trusted.iter().map(|it| reqwest::Certificate::from_der(it));
    let trusted: Vec<_> = trusted.collect::<Result<_, _>>().map_err(set_up)?;
    // What reqwest keeps when nobody says otherwise.
    let idle_max = if config.keeps_idle { usize::MAX } else { 0 };
    let proxy = config.egress.proxy_for(config.purpose);
    let builder = || -> Result<reqwest::ClientBuilder, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pigeon/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(config.connect)
            .read_timeout(config.read)
            .local_address(address)
            .pool_max_idle_per_host(idle_max);
        if let Some(device) = &policy.device {
            builder = builder.interface(device);
        }
        if policy.device.is_some() || policy.dns.is_some() || proxy.is_some() {
            builder = builder.dns_resolver(Resolver(config.egress.clone()));
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.url())?);
        }
        Ok(match config.total {
            Some(total) => builder.timeout(total),
            None => builder,
        })
    };
    // Without the system's certificates the first build fails (reqwest#2988); plain HTTP needs
    // none.
    let all = builder().and_then(|it| it.tls_certs_merge(trusted.clone()).build());
    all.or_else(|_| builder()?.tls_certs_only(trusted).build()).map_err(set_up)
}

/// A client that asks a server of our own user, which may be on a Unix socket. It is no part of
/// what leaves by the chosen way: whoever steers the program does so from where he sits. It follows
/// no redirects, and uses no proxy.
///
/// # Errors
/// `Http` when no client can be made.
pub fn own_server(socket: Option<&Path>, connect: Duration) -> Result<reqwest::Client, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("pigeon/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(connect);
        match socket {
            Some(socket) => builder.unix_socket(socket),
            None => builder,
        }
    };
    // Without the system's certificates the first build fails (reqwest#2988).
    builder().build().or_else(|_| builder().tls_certs_only([]).build()).map_err(set_up)
}

fn set_up(cause: reqwest::Error) -> Error {
    Error::Http(cause.to_string())
}

/// Resolves what reqwest resolves itself: hosts of HTTPS, and the proxy.
struct Resolver(Egress);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            // Whatever goes through a proxy is not resolved here, but for its own name.
            let proxy = egress.policy().proxy.as_ref().filter(|proxy| proxy.is_at(name.as_str()));
            let found = match proxy {
                Some(proxy) => egress.addresses_of(proxy, LOOKUP).await?,
                None => egress.lookup_directly(name.as_str(), 0, LOOKUP).await?,
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    fn client(policy: Policy) -> Client {
        let config = ClientConfig {
            egress: Egress::new(policy),
            purpose: Purpose::WebSeed,
            keeps_family: false,
            connect: LOOKUP,
            read: LOOKUP,
            total: None,
            keeps_idle: false,
        };
        Client::new(config).unwrap()
    }

    fn spoken_from(client: &Client) -> Vec<Option<IpAddr>> {
        client.made.borrow().iter().map(|(local, _)| local.address).collect()
    }

    #[tokio::test]
    async fn behind_a_device_each_family_has_a_client_that_speaks_from_its_address() {
        let device = Some("lo".to_owned());
        let (four, six): (SocketAddr, SocketAddr) =
            ("192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let bound = client(Policy { device: device.clone(), bind: Some(own), ..Policy::default() });
        bound.ready(four).await.unwrap();
        bound.ready(four).await.unwrap();
        assert_eq!(spoken_from(&bound), [Some(own)], "one client, made once");
        assert!(matches!(bound.ready(six).await, Err(Error::Family { address }) if address == six));
        // Only the proxy's family counts then.
        let proxy = "socks5://127.0.0.1:1080".parse().ok();
        let proxied = client(Policy { device: device.clone(), proxy, ..Policy::default() });
        proxied.ready(six).await.unwrap();
        assert_eq!(spoken_from(&proxied), [Some(own)]);
        let proxy = "socks5://[::1]:1080".parse().ok();
        let other = Policy { device, proxy, bind: Some(own), ..Policy::default() };
        assert!(matches!(client(other).ready(four).await, Err(Error::Family { .. })));
    }

    #[tokio::test]
    async fn a_client_of_a_place_that_is_no_more_is_not_kept() {
        let place = |index| Place { index, four: "127.0.0.1".parse().ok(), six: None };
        let local = |index| Local { index: Some(index), address: "127.0.0.1".parse().ok() };
        let client = client(Policy::default());
        for index in [7, 8] {
            client.at(local(index), Some(place(index))).unwrap();
        }
        let kept: Vec<_> = client.made.borrow().iter().map(|(local, _)| local.index).collect();
        assert_eq!(kept, [Some(8)]);
    }

    #[tokio::test]
    async fn without_a_device_both_families_are_spoken_unless_one_alone_counts() {
        let six: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        let any = client(Policy::default());
        any.ready(six).await.unwrap();
        assert_eq!(spoken_from(&any), [None]);
        let mut one = client(Policy::default());
        one.config.keeps_family = true;
        one.ready(six).await.unwrap();
        assert_eq!(spoken_from(&one), [None, "::".parse().ok()]);
        one.config.egress = Egress::from_address("127.0.0.1".parse().ok());
        assert!(matches!(one.ready(six).await, Err(Error::Family { .. })));
    }
}
