//! Where everything leaves: one object makes every socket of the program, each for a purpose, and
//! knows what the user allows: a device, an address, a proxy. It fails closed: what cannot go the
//! chosen way does not go at all, and says why. Not here: what is spoken, and who listens.
//!
//! A device is bound by name (`SO_BINDTODEVICE`) *and* by address. The name alone decides where
//! packets leave; a socket that is bound to an address only is routed elsewhere when the tunnel is
//! down. Both are looked up anew for each socket, so nothing that was true a moment ago counts.

mod connect;
mod device;
mod here;
mod http;
mod names;
mod policy;
mod proxy;
mod relay;
mod resolver;
mod socks;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Error;
use super::addresses::networks;
use super::blocklist::{Blocklist, Refused};

pub use device::Place;
pub use here::{address_towards, is_own};
pub use http::{Client, ClientConfig};
pub use policy::{Policy, Purpose, Remote, Standing, State};
pub use proxy::Proxy;
pub(in crate::net) use relay::{Relay, RelayEnd};

/// How often devices and addresses are looked at while nothing is opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes sockets; cheap to clone. The default one knows no rules.
#[derive(Clone, Debug)]
pub struct Egress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    policy: Policy,
    standing: watch::Sender<Standing>,
    blocklist: Blocklist,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Egress {
    /// One that keeps to `policy`.
    pub fn new(policy: Policy) -> Self {
        let standing = watch::Sender::new(Standing::default());
        let inner = Inner { policy, standing, blocklist: Blocklist::default() };
        let egress = Self { inner: Arc::new(inner) };
        egress.look();
        egress
    }

    /// One that speaks from this address, if any is given.
    pub fn from_address(bind: Option<IpAddr>) -> Self {
        Self::new(Policy { bind, ..Policy::default() })
    }

    /// What the user allows.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// Whom nobody connects to, lets in, or listens to. It blocks nobody before it has a list.
    pub fn blocklist(&self) -> &Blocklist {
        &self.inner.blocklist
    }

    /// How it stands, as of the last look.
    pub fn standing(&self) -> Standing {
        self.inner.standing.borrow().clone()
    }

    /// Tells of every change of it.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.inner.standing.subscribe()
    }

    /// Looks at devices and addresses for ever, so that somebody notices when they change.
    pub async fn look_around(self) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.look();
        }
    }

    /// Waits until what was opened at `since` is of no use any more: the device is gone, or has
    /// another address. For ever where no device is chosen.
    pub async fn lost(&self, since: Option<Place>) {
        if self.inner.policy.device.is_none() {
            return std::future::pending().await;
        }
        let mut watch = self.watch();
        // Its sender is ours, so it never ends.
        let _ = watch.wait_for(|standing| standing.place != since).await;
    }

    /// Why nothing leaves for this purpose under this policy, if so.
    pub fn off(&self, purpose: Purpose) -> Option<&'static str> {
        self.inner.policy.off(purpose)
    }

    /// Do connections for this purpose go through the proxy?
    pub fn is_proxied(&self, purpose: Purpose) -> bool {
        self.proxy_for(purpose).is_some()
    }

    /// May others connect to us? Behind a proxy nobody can.
    pub fn listens(&self) -> bool {
        self.inner.policy.proxy.is_none()
    }

    /// Where to listen: of each family (IPv4, IPv6) an address, if there is any.
    ///
    /// # Errors
    /// `Held` while the device is not there.
    pub fn addresses(&self) -> Result<[Option<IpAddr>; 2], Error> {
        let place = self.place()?;
        Ok(match (place, self.inner.policy.bind) {
            (Some(place), _) => [place.four.map(IpAddr::V4), place.six.map(IpAddr::V6)],
            (None, Some(bind)) if bind.is_ipv4() => [Some(bind), None],
            (None, Some(bind)) => [None, Some(bind)],
            (None, None) => {
                [Some(Ipv4Addr::UNSPECIFIED.into()), Some(Ipv6Addr::UNSPECIFIED.into())]
            }
        })
    }

    /// A socket of this family, bound to the device but to no address. TCP or UDP.
    ///
    /// # Errors
    /// `Held` while the device is not there, `Socket` when the system gives none.
    pub(in crate::net) fn socket(&self, is_v4: bool, is_tcp: bool) -> Result<Socket, Error> {
        self.place()?;
        let domain = if is_v4 { Domain::IPV4 } else { Domain::IPV6 };
        let (kind, protocol) =
            if is_tcp { (Type::STREAM, Protocol::TCP) } else { (Type::DGRAM, Protocol::UDP) };
        let socket = Socket::new(domain, kind, Some(protocol)).map_err(Error::Socket)?;
        if let Some(device) = &self.inner.policy.device {
            socket.bind_device(Some(device.as_bytes())).map_err(|cause| self.unbound(&cause))?;
        }
        Ok(socket)
    }

    /// A UDP socket at `local`, of the device's address where that is unspecified, for a purpose
    /// that needs no answers of those whom it did not ask. Must run inside the runtime.
    ///
    /// # Errors
    /// `Off` when datagrams for this purpose cannot leave, `Held`, `Socket`, `Family`.
    pub fn datagrams(&self, purpose: Purpose, local: SocketAddr) -> Result<UdpSocket, Error> {
        if let Some(why) = self.off(purpose) {
            return Err(Error::Off { why });
        }
        if self.is_proxied(purpose) {
            return Err(Error::Off {
                why: "datagrams to a whole network do not go through a proxy",
            });
        }
        let [four, six] = self.addresses()?;
        let own = if local.is_ipv4() { four } else { six };
        let own = own.ok_or(Error::Family { address: local })?;
        let ip = if local.ip().is_unspecified() { own } else { local.ip() };
        let socket = self.socket(local.is_ipv4(), false)?;
        socket.set_nonblocking(true).map_err(Error::Socket)?;
        socket.bind(&SocketAddr::new(ip, local.port()).into()).map_err(Error::Socket)?;
        UdpSocket::from_std(socket.into()).map_err(Error::Socket)
    }

    /// A UDP socket on `port` of every IPv4 address, which several programs may share: broadcasts
    /// come to no other. For servers that want to be found. Must run inside the runtime.
    ///
    /// # Errors
    /// What the system says: `AddrInUse` when a program that does not share has the port.
    pub fn shared_port(&self, port: u16) -> io::Result<UdpSocket> {
        let socket = self.socket(true, false).map_err(io::Error::from)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        UdpSocket::from_std(socket.into())
    }

    /// A UDP socket of a server at exactly `address`, which asks the system to hold so many bytes
    /// for it. Must run inside the runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn served(&self, address: SocketAddr, held_bytes: usize) -> io::Result<UdpSocket> {
        let socket = self.socket(address.is_ipv4(), false).map_err(io::Error::from)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // What the system does not grant is not needed to work.
        let _ = socket.set_recv_buffer_size(held_bytes);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// Connects for a purpose; small writes leave at once.
    ///
    /// # Errors
    /// `Held`, `Connect`, `ConnectTimeout`, `Lookup`; `Family` when our address is of the other
    /// family; `Proxy` when that does not connect; `Blocked` for peers that are.
    pub async fn connect(
        &self,
        to: &Remote,
        purpose: Purpose,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        if let (Purpose::Peer, Remote::Address(address)) = (purpose, to)
            && self.blocklist().refuses(address.ip(), Refused::Dial)
        {
            return Err(Error::Blocked { address: *address });
        }
        match (self.proxy_for(purpose), to) {
            (Some(proxy), to) => self.through(proxy, to, limit).await,
            (None, Remote::Address(address)) => self.dial(*address, limit).await,
            (None, Remote::Name { host, port }) => {
                let found = self.lookup(host, *port, purpose, limit).await?;
                self.dial_one(host, found, limit).await
            }
        }
    }

    /// Connects without a proxy.
    async fn dial(&self, address: SocketAddr, limit: Duration) -> Result<TcpStream, Error> {
        let [four, six] = self.addresses()?;
        let own = if address.is_ipv4() { four } else { six };
        let own = own.ok_or(Error::Family { address })?;
        let socket = self.socket(address.is_ipv4(), true)?;
        let attempt = async {
            socket.set_nonblocking(true)?;
            if !own.is_unspecified() {
                socket.bind(&SocketAddr::new(own, 0).into())?;
            }
            let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match timeout(limit, attempt).await {
            Ok(result) => result.map_err(|source| Error::Connect { address, source }),
            Err(_) => Err(Error::ConnectTimeout { address, timeout_s: limit.as_secs() }),
        }
    }

    /// The first of these addresses that takes the connection.
    async fn dial_one(
        &self,
        host: &str,
        found: Vec<SocketAddr>,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        let none =
            || Error::Lookup { host: host.to_owned(), cause: "it has no address".to_owned() };
        let mut last = None;
        for address in super::reach::to_try(found, self.policy().bind) {
            match self.dial(address, limit).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(none))
    }

    fn proxy_for(&self, purpose: Purpose) -> Option<&Proxy> {
        let Policy { proxy, only_peers, .. } = &self.inner.policy;
        proxy.as_ref().filter(|_| purpose == Purpose::Peer || !only_peers)
    }

    /// The device and its addresses as they are now; none where no device is chosen.
    fn place(&self) -> Result<Option<Place>, Error> {
        if self.inner.policy.device.is_none() {
            return Ok(None);
        }
        self.look();
        let standing = self.inner.standing.borrow();
        match (&standing.state, standing.place) {
            (State::Open, Some(place)) => Ok(Some(place)),
            (State::Waiting(why) | State::Closed(why), _) => Err(Error::Held { why: why.clone() }),
            (State::Open, None) => Err(Error::Held { why: "the device is not there".to_owned() }),
        }
    }

    /// Looks at the device and at the networks of this machine.
    fn look(&self) {
        let Policy { device, bind, .. } = &self.inner.policy;
        let found = device.as_deref().map(|name| device::look(name, *bind));
        let networks = networks().unwrap_or_default();
        self.inner.standing.send_if_modified(|standing| {
            let (state, place) = match &found {
                // What the system forbids stays forbidden.
                _ if matches!(standing.state, State::Closed(_)) => (standing.state.clone(), None),
                Some(Ok(place)) => (State::Open, Some(*place)),
                Some(Err(why)) => (State::Waiting(why.clone()), None),
                None => (State::Open, None),
            };
            let is_new =
                (&standing.state, standing.place, &standing.networks) != (&state, place, &networks);
            (standing.state, standing.place, standing.networks) = (state, place, networks.clone());
            is_new
        });
    }

    /// The device does not take a socket: it has just gone, or the system forbids it.
    fn unbound(&self, cause: &io::Error) -> Error {
        let device = self.inner.policy.device.as_deref().unwrap_or_default();
        if cause.kind() != io::ErrorKind::PermissionDenied {
            return Error::Held { why: format!("waits for {device}: {cause}") };
        }
        let why = format!("this system does not let us bind to {device}: {cause}");
        self.inner.standing.send_modify(|standing| {
            (standing.state, standing.place) = (State::Closed(why.clone()), None);
        });
        Error::Held { why }
    }

    /// What is wrong with the proxy, or nothing any more.
    fn tell_proxy(&self, trouble: Option<&str>) {
        self.inner.standing.send_if_modified(|standing| {
            let is_new = standing.proxy_trouble.as_deref() != trouble;
            standing.proxy_trouble = trouble.map(str::to_owned);
            is_new
        });
    }

    /// How datagrams through the proxy fare.
    fn tell_relay(&self, trouble: Option<&str>) {
        self.inner.standing.send_if_modified(|standing| {
            let is_new = standing.relay_trouble.as_deref() != trouble;
            standing.relay_trouble = trouble.map(str::to_owned);
            is_new
        });
    }
}

#[cfg(test)]
mod tests;
