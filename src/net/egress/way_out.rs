//! The object that makes every socket, by what the user allows and as the way out is at present.
//! Not here: how a proxy is asked (`through`), names are looked up (`resolver`) and datagrams are
//! relayed (`relay`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::net::Error;
use crate::net::addresses::networks;
use crate::net::blocklist::blocked::{Blocklist, Refused};
use crate::net::hop::to_try;

use super::device::{self, Absence, Place};
use super::policy::{Policy, Purpose, Standing, State};
use super::proxy::Proxy;
use super::remote::Remote;

/// How often devices and addresses are looked at while nothing is opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A port that is kept from other programs for as long as this is there.
#[derive(Debug)]
pub(in crate::net) struct Kept {
    _socket: Socket,
}

/// A proxy that is not reached, or does not take us, is tried again so long after, at first and at
/// most; one that is well is looked at so often.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
const PROBE_AGAIN_MAX: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// Makes sockets; cheap to clone. The default one knows no rules.
#[derive(Clone, Debug)]
pub struct Egress {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
/// What all its clones share.
pub(super) struct Inner {
    policy: Policy,
    standing: watch::Sender<Standing>,
    /// Where a proxy is that is named by a name, and until when that is believed.
    pub proxy_at: watch::Sender<Option<(Instant, Vec<SocketAddr>)>>,
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
        let standing = watch::Sender::new(Standing::at_first(&policy));
        let (proxy_at, blocklist) = (watch::Sender::new(None), Blocklist::default());
        let egress = Self { inner: Arc::new(Inner { policy, standing, proxy_at, blocklist }) };
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

    /// Looks at devices, addresses and the proxy for ever, so that somebody notices when they
    /// change.
    pub async fn look_around(self) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                look.tick().await;
                self.look();
            }
        };
        tokio::join!(looking, self.look_after_proxy());
    }

    /// Nobody is dialled while the proxy is not reached, so nobody else would notice that it is
    /// there again.
    async fn look_after_proxy(&self) {
        if self.inner.policy.proxy.is_none() {
            return;
        }
        let mut watch = self.watch();
        let mut pause = PROBE_AGAIN;
        loop {
            self.probe_proxy().await;
            if self.inner.standing.borrow().proxy_trouble.is_some() {
                sleep(pause).await;
                pause = (pause * 2).min(PROBE_AGAIN_MAX);
                continue;
            }
            pause = PROBE_AGAIN;
            let troubled = watch.wait_for(|standing| standing.proxy_trouble.is_some());
            // Who only speaks HTTP to it does not tell.
            if timeout(PROBE_EVERY, troubled).await.is_ok() {
                sleep(pause).await;
            }
        }
    }

    /// Waits until what was opened at `since` is of no use any more: the device is gone, or does
    /// not have the addresses of `since`. For ever where no device is chosen.
    pub async fn lost(&self, since: Option<Place>) {
        if self.inner.policy.device.is_none() {
            return std::future::pending().await;
        }
        let mut watch = self.watch();
        // Its sender is ours, so it never ends.
        let _ = watch.wait_for(|standing| !standing.holds(since)).await;
    }

    /// Why nothing leaves for this purpose at present, if so: the device is away, or the proxy is
    /// not reached.
    pub fn held(&self, purpose: Purpose) -> Option<String> {
        self.held_at(purpose, &self.inner.standing.borrow())
    }

    /// Waits until something may leave for this purpose.
    pub async fn open(&self, purpose: Purpose) {
        let mut watch = self.watch();
        // Its sender is ours, so it never ends.
        let _ = watch.wait_for(|standing| self.held_at(purpose, standing).is_none()).await;
    }

    fn held_at(&self, purpose: Purpose, standing: &Standing) -> Option<String> {
        match &standing.state {
            State::Open if self.is_proxied(purpose) => standing.proxy_trouble.clone(),
            State::Open => None,
            State::Waiting(_) | State::Closed(_) => standing.trouble(),
        }
    }

    /// Is what was opened at `since` still of use, as of the last look?
    pub fn holds(&self, since: Option<Place>) -> bool {
        self.inner.standing.borrow().holds(since)
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
        self.place().map(|place| self.addresses_at(place))
    }

    /// The same as of a look that was just taken.
    pub(in crate::net) fn addresses_at(&self, place: Option<Place>) -> [Option<IpAddr>; 2] {
        match (place, self.inner.policy.bind) {
            (Some(place), _) => [place.four.map(IpAddr::V4), place.six.map(IpAddr::V6)],
            (None, Some(bind)) if bind.is_ipv4() => [Some(bind), None],
            (None, Some(bind)) => [None, Some(bind)],
            (None, None) => {
                [Some(Ipv4Addr::UNSPECIFIED.into()), Some(Ipv6Addr::UNSPECIFIED.into())]
            }
        }
    }

    /// The address to speak from to this one.
    fn own_address(&self, place: Option<Place>, to: SocketAddr) -> Result<IpAddr, Error> {
        let [four, six] = self.addresses_at(place);
        let own = if to.is_ipv4() { four } else { six };
        own.ok_or(Error::Family { address: to })
    }

    /// A socket of this family, bound to the device but to no address. TCP or UDP. It is asked for
    /// after [`place`](Self::place), which says whether there may be any.
    ///
    /// # Errors
    /// `Held` when the device has just gone, `Socket` when the system gives none.
    pub(in crate::net) fn socket(&self, is_v4: bool, is_tcp: bool) -> Result<Socket, Error> {
        if let State::Closed(why) = &self.inner.standing.borrow().state {
            return Err(Error::Held { why: why.clone() });
        }
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
        let own = self.own_address(self.place()?, local)?;
        // With its scope, where it is of one cable.
        let mut at = local;
        if local.ip().is_unspecified() {
            at.set_ip(own);
        }
        let socket = self.socket(local.is_ipv4(), false)?;
        socket.set_nonblocking(true).map_err(Error::Socket)?;
        socket.bind(&at.into()).map_err(Error::Socket)?;
        UdpSocket::from_std(socket.into()).map_err(Error::Socket)
    }

    /// A UDP socket on `port` of every address of a family, which several programs may share:
    /// broadcasts come to no other. For servers that want to be found, and for words to all. Must
    /// run inside the runtime.
    ///
    /// # Errors
    /// What the system says: `AddrInUse` when a program that does not share has the port.
    pub fn shared_port(&self, is_v4: bool, port: u16) -> io::Result<UdpSocket> {
        let socket = self.free_socket(is_v4).map_err(io::Error::from)?;
        let any: IpAddr = match is_v4 {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        if !is_v4 {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(any, port).into())?;
        UdpSocket::from_std(socket.into())
    }

    /// A UDP socket of a server at exactly `address`, which asks the system to hold so many bytes
    /// for it. Must run inside the runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn served(&self, address: SocketAddr, held_bytes: usize) -> io::Result<UdpSocket> {
        let socket = self.free_socket(address.is_ipv4()).map_err(io::Error::from)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // What the system does not grant is not needed to work.
        let _ = socket.set_recv_buffer_size(held_bytes);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }

    fn free_socket(&self, is_v4: bool) -> Result<Socket, Error> {
        self.place()?;
        self.socket(is_v4, false)
    }

    /// A UDP socket that speaks to this address alone, and hears nobody else.
    pub(super) fn talking_to(&self, to: SocketAddr) -> Result<UdpSocket, Error> {
        let own = self.own_address(self.place()?, to)?;
        let socket = self.socket(to.is_ipv4(), false)?;
        self.bind(&socket, own, Error::Socket)?;
        let talk = || {
            socket.set_nonblocking(true)?;
            socket.connect(&to.into())?;
            UdpSocket::from_std(socket.into())
        };
        talk().map_err(Error::Socket)
    }

    /// Gives a socket this address, on any port.
    pub(super) fn bind(
        &self,
        socket: &Socket,
        own: IpAddr,
        other: impl FnOnce(io::Error) -> Error,
    ) -> Result<(), Error> {
        let own = SocketAddr::new(own, 0);
        socket.bind(&own.into()).map_err(|source| match source.kind() {
            io::ErrorKind::AddrNotAvailable if self.inner.policy.device.is_some() => {
                self.not_bound(own, source)
            }
            _ => other(source),
        })
    }

    /// Has a TCP port that nobody else gets, of all addresses. Nobody listens there, and nothing
    /// leaves: it belongs to no device, and may be had while that is away. Port 0 is any.
    ///
    /// # Errors
    /// `PortTaken`, `Socket`.
    pub(in crate::net) fn kept_port(&self, port: u16) -> Result<(Kept, u16), Error> {
        let keep = |domain: Domain, ip: IpAddr| {
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            if domain == Domain::IPV6 {
                socket.set_only_v6(false)?;
            }
            socket.bind(&SocketAddr::new(ip, port).into())?;
            let port = socket.local_addr()?.as_socket().map_or(port, |local| local.port());
            Ok((Kept { _socket: socket }, port))
        };
        // Both families at once, where there are both.
        let kept = keep(Domain::IPV6, Ipv6Addr::UNSPECIFIED.into());
        let kept = kept.or_else(|error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => Err(error),
            _ => keep(Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        });
        kept.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Error::PortTaken { port },
            _ => Error::Socket(error),
        })
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

    /// Connects to the router from `own`, the address of ours that others are to reach.
    ///
    /// # Errors
    /// `Off` behind a proxy, `Held`, `Connect`, `ConnectTimeout`.
    pub async fn connect_from(
        &self,
        own: IpAddr,
        router: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        match self.off(Purpose::PortMap) {
            Some(why) => Err(Error::Off { why }),
            None => {
                self.place()?;
                self.dial_from(own, router, limit).await
            }
        }
    }

    /// Connects without a proxy.
    pub(super) async fn dial(
        &self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        let own = self.own_address(self.place()?, address)?;
        self.dial_from(own, address, limit).await
    }

    /// The same from this address, which `place` allows.
    async fn dial_from(
        &self,
        own: IpAddr,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        let socket = self.socket(address.is_ipv4(), true)?;
        if !own.is_unspecified() {
            self.bind(&socket, own, |source| Error::Connect { address, source })?;
        }
        let attempt = async {
            socket.set_nonblocking(true)?;
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
    pub(super) async fn dial_one(
        &self,
        host: &str,
        found: Vec<SocketAddr>,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        let none =
            || Error::Lookup { host: host.to_owned(), cause: "it has no address".to_owned() };
        let mut last = None;
        for address in to_try(found, self.policy().bind) {
            match self.dial(address, limit).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(none))
    }

    pub(super) fn proxy_for(&self, purpose: Purpose) -> Option<&Proxy> {
        let Policy { proxy, only_peers, .. } = &self.inner.policy;
        proxy.as_ref().filter(|_| purpose == Purpose::Peer || !only_peers)
    }

    /// The device and its addresses as they are now; none where no device is chosen.
    ///
    /// # Errors
    /// `Held` while it is not there, or nobody knows.
    pub(in crate::net) fn place(&self) -> Result<Option<Place>, Error> {
        let found = self.look_at_device();
        self.inner.standing.send_if_modified(|standing| standing.seen(found.as_ref(), None));
        let standing = self.inner.standing.borrow();
        match (&standing.state, found) {
            (State::Closed(why), _) => Err(Error::Held { why: why.clone() }),
            (_, None) => Ok(None),
            (_, Some(Ok(place))) => Ok(Some(place)),
            (_, Some(Err(Absence::Away(why) | Absence::Unknown(why)))) => Err(Error::Held { why }),
        }
    }

    fn look_at_device(&self) -> Option<Result<Place, Absence>> {
        let Policy { device, bind, .. } = &self.inner.policy;
        let held = self.inner.standing.borrow().place;
        device.as_deref().map(|name| device::look(name, *bind, held))
    }

    /// Looks at the device and at the networks of this machine.
    pub(super) fn look(&self) {
        let (found, networks) = (self.look_at_device(), networks().ok());
        self.inner
            .standing
            .send_if_modified(|standing| standing.seen(found.as_ref(), networks.as_deref()));
    }

    /// No socket can have this address. One of the device may still be on its way (RFC 4862, 5.4:
    /// "tentative"), or has just gone.
    pub(in crate::net) fn not_bound(&self, address: SocketAddr, source: io::Error) -> Error {
        match (source.kind(), &self.inner.policy.device) {
            (io::ErrorKind::AddrInUse, _) => Error::PortTaken { port: address.port() },
            (io::ErrorKind::AddrNotAvailable, Some(device)) => {
                let ip = address.ip();
                Error::Held { why: format!("waits for {device}: {ip} cannot be used yet") }
            }
            _ => Error::Listen { address, source },
        }
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
    pub(super) fn tell_proxy(&self, trouble: Option<&str>) {
        self.tell(|standing| &mut standing.proxy_trouble, trouble);
    }

    /// How datagrams through the proxy fare.
    pub(in crate::net) fn tell_relay(&self, trouble: Option<&str>) {
        self.tell(|standing| &mut standing.relay_trouble, trouble);
    }

    fn tell(&self, of: impl Fn(&mut Standing) -> &mut Option<String>, trouble: Option<&str>) {
        self.inner.standing.send_if_modified(|standing| {
            let told = of(standing);
            let is_new = told.as_deref() != trouble;
            *told = trouble.map(str::to_owned);
            is_new
        });
    }
}
