//! HTTP clients that leave as everything else does. A client belongs to a device and its address:
//! when either is another one, it is made anew, and the connections that it kept are not used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::sync::watch;

use super::{Egress, Error, Place, Purpose};

/// To resolve a name that is connected to again, or the proxy's own.
const LOOKUP: Duration = Duration::from_secs(5);

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where it leaves.
    pub egress: Egress,
    /// What it is for.
    pub purpose: Purpose,
    /// The one family that it speaks; any when none. To a proxy any is spoken.
    pub is_v4: Option<bool>,
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
    made: Arc<watch::Sender<(Option<Place>, reqwest::Client)>>,
}

impl Client {
    /// One that follows no redirects. Proxies of the environment are not used: peers could not be
    /// reached through them either.
    ///
    /// # Errors
    /// When TLS cannot be set up at all. A machine without certificates of authorities gets a
    /// client that speaks plain HTTP only.
    pub fn new(config: ClientConfig) -> Result<Self, reqwest::Error> {
        // Somebody else in the process may have installed a provider already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = config.egress.standing().place;
        let made = make(&config, place)?;
        Ok(Self { config, made: Arc::new(watch::Sender::new((place, made))) })
    }

    /// Is a host's name resolved by a proxy, so that no address of it counts?
    pub fn is_proxied(&self) -> bool {
        self.config.egress.is_proxied(self.config.purpose)
    }

    /// The client of this moment.
    ///
    /// # Errors
    /// `Held` while the device is not there, `Http` when no client can be made.
    pub fn ready(&self) -> Result<reqwest::Client, Error> {
        let place = self.config.egress.place()?;
        if place.is_some() && local(&self.config, place).is_some_and(|ip| ip.is_unspecified()) {
            let family = if self.config.is_v4 == Some(true) { "IPv4" } else { "IPv6" };
            return Err(Error::Held { why: format!("the device has no {family} address") });
        }
        let made = self.made.borrow().clone();
        if made.0 == place {
            return Ok(made.1);
        }
        let client = make(&self.config, place).map_err(|cause| Error::Http(cause.to_string()))?;
        self.made.send_replace((place, client.clone()));
        Ok(client)
    }
}

fn make(config: &ClientConfig, place: Option<Place>) -> Result<reqwest::Client, reqwest::Error> {
    let policy = config.egress.policy();
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
            .local_address(local(config, place))
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
    // Without certificates the first build fails (reqwest#2988); plain HTTP needs none.
    builder()?.build().or_else(|_| builder()?.tls_certs_only([]).build())
}

/// The address to speak from, by which reqwest also knows the family.
fn local(config: &ClientConfig, place: Option<Place>) -> Option<IpAddr> {
    let any = |is_v4| -> IpAddr {
        if is_v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    };
    let is_v4 = config.is_v4.filter(|_| !config.egress.is_proxied(config.purpose));
    let own = match (place, is_v4) {
        (Some(place), Some(true)) => place.four.map(IpAddr::V4),
        (Some(place), Some(false)) => place.six.map(IpAddr::V6),
        // Of both families the system chooses, by the device.
        (Some(_), None) => None,
        (None, _) => config.egress.policy().bind,
    };
    own.or(is_v4.map(any))
}

/// Resolves what reqwest resolves itself: hosts of HTTPS, and the proxy.
struct Resolver(Egress);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            // Whatever goes through a proxy is not resolved here.
            let found = egress.lookup_directly(name.as_str(), 0, LOOKUP).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
