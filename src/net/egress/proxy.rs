//! A proxy as the user names it, and connections through it: to the proxy, over the chosen device
//! like everything else, and then as its protocol has it. It is given names as they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::policy::Remote;
use super::{Egress, Error, connect, socks};
use crate::base::addr::Locality;
use crate::net::reach::Hop;

/// How long a proxy may take to do what it is asked for, once it is connected to.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long it is believed where a proxy is that is named by a name.
const NAME_KEPT: Duration = Duration::from_secs(60);

/// What a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Socks5,
    Http,
}

/// A proxy: `socks5://[USER:PASSWORD@]HOST:PORT`, or `http://` the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

/// Whose fault it is that there is no connection, and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fault {
    /// The proxy's own: nobody is reached through it.
    Proxy(String),
    /// Whom it was to connect to is not reached.
    Remote(String),
}

impl Fault {
    fn of(is_of_proxy: bool, error: &impl fmt::Display) -> Self {
        if is_of_proxy { Self::Proxy(error.to_string()) } else { Self::Remote(error.to_string()) }
    }
}

fn silent() -> String {
    format!("it does not answer in {} s", ANSWER_MAX.as_secs())
}

impl Proxy {
    /// Can it carry datagrams?
    pub fn takes_datagrams(&self) -> bool {
        self.kind == Kind::Socks5
    }

    /// As reqwest names it: names are resolved there.
    pub(super) fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Socks5 => "socks5h",
            Kind::Http => "http",
        };
        let login = self.login.as_ref().map(|(user, password)| {
            format!("{}:{}@", urlencoding::encode(user), urlencoding::encode(password))
        });
        format!("{scheme}://{}{}:{}", login.unwrap_or_default(), self.host, self.port)
    }

    /// Is it named by a name, which has to be looked up?
    pub fn has_name(&self) -> bool {
        matches!(Remote::of(&self.host, self.port), Remote::Name { .. })
    }

    /// Is this the host that it is named by?
    pub(super) fn is_at(&self, host: &str) -> bool {
        self.host == host
    }

    /// Has it say that it takes us, before it is asked for anything.
    async fn greet<S>(&self, stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.kind {
            Kind::Socks5 => match timeout(ANSWER_MAX, socks::greet(stream, self.login())).await {
                Ok(came) => came.map_err(|error| Fault::Proxy(error.to_string())),
                Err(_) => Err(Fault::Proxy(silent())),
            },
            // It is told with each request.
            Kind::Http => Ok(()),
        }
    }

    /// Has it connect to `to`.
    async fn ask<S>(&self, stream: &mut S, to: &Remote) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.greet(stream).await?;
        let asked = async {
            match self.kind {
                Kind::Socks5 => {
                    let came = socks::ask(stream, socks::Command::Connect, to).await;
                    came.map(drop).map_err(|error| Fault::of(error.is_of_proxy(), &error))
                }
                Kind::Http => {
                    let came = connect::ask(stream, self.login(), to).await;
                    came.map_err(|error| Fault::of(error.is_of_proxy(), &error))
                }
            }
        };
        // It may be waiting for whom it is to connect to.
        timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| Err(Fault::Remote(silent())))
    }

    /// Has it say that it is there and takes us, and nothing else.
    async fn probe<S>(&self, stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.greet(stream).await?;
        if self.kind == Kind::Socks5 {
            return Ok(());
        }
        let host = format!("{}:{}", self.host, self.port);
        match timeout(ANSWER_MAX, connect::probe(stream, self.login(), &host)).await {
            Ok(came) => came.map_err(|error| Fault::Proxy(error.to_string())),
            Err(_) => Err(Fault::Proxy(silent())),
        }
    }

    fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

impl FromStr for Proxy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a proxy; write socks5://[USER:PASSWORD@]HOST:PORT, or http://…";
        let (scheme, rest) = text.trim().split_once("://").ok_or(WRONG)?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => Kind::Socks5,
            "http" => Kind::Http,
            "socks4" | "socks4a" => return Err("SOCKS4 is not spoken here; write socks5://…"),
            "https" => return Err("proxies are not spoken to over TLS; write http://…"),
            _ => return Err(WRONG),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let plain = |text: &str| urlencoding::decode(text).map(|it| it.into_owned());
            Some((plain(user).ok()?, plain(password).ok()?))
        });
        let login = login.map(|login| login.ok_or(WRONG)).transpose()?;
        let is_short = |text: &String| text.len() <= usize::from(u8::MAX);
        if login.as_ref().is_some_and(|(user, password)| !is_short(user) || !is_short(password)) {
            return Err("a name or password of over 255 bytes has no place in SOCKS5");
        }
        let (host, port) = place.rsplit_once(':').ok_or("a proxy needs a port: HOST:PORT")?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("a proxy needs a port")?;
        let is_name = |host: &str| {
            let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"-._".contains(&letter);
            socks::fits(host) && host.bytes().all(fits)
        };
        let is_v6 = host.starts_with('[') && SocketAddr::from_str(&format!("{host}:1")).is_ok();
        if !is_v6 && !is_name(host) {
            return Err(WRONG);
        }
        Ok(Self { kind, host: host.to_owned(), port, login })
    }
}

impl fmt::Display for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.kind == Kind::Http { "http" } else { "socks5" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Egress {
    /// Connects to `to` through the proxy.
    pub(super) async fn through(
        &self,
        proxy: &Proxy,
        to: &Remote,
        limit: Duration,
    ) -> Result<TcpStream, Error> {
        let mut stream = self.dial_proxy(proxy, limit).await?;
        let asked = proxy.ask(&mut stream, to).await;
        self.judge(proxy, asked, &to.to_string()).map(|()| stream)
    }

    /// Asks the proxy to carry datagrams: the connection that has to stay open, and where the
    /// relay takes them.
    pub(super) async fn ask_for_relay(
        &self,
        proxy: &Proxy,
        limit: Duration,
    ) -> Result<(TcpStream, SocketAddr), Error> {
        const TO: &str = "anybody over UDP";
        let mut stream = self.dial_proxy(proxy, limit).await?;
        let refused = |why: String| Error::Proxy { to: TO.to_owned(), why };
        let peer = stream.peer_addr().map_err(Error::Socket)?;
        // From where we send is not known before it is.
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let greeted = proxy.greet(&mut stream).await;
        self.judge(proxy, greeted, TO)?;
        let (command, any) = (socks::Command::Associate, any.into());
        let came = timeout(ANSWER_MAX, socks::ask(&mut stream, command, &any)).await;
        let relay =
            came.map_err(|_| refused(silent()))?.map_err(|error| refused(error.to_string()))?;
        let relay = relay.filter(|relay| relay.port() > 0);
        let relay = relay.ok_or_else(|| refused("it names no relay".to_owned()))?;
        let ip = if relay.ip().is_unspecified() { peer.ip() } else { relay.ip() };
        check_relay(ip, peer.ip()).map_err(refused)?;
        Ok((stream, SocketAddr::new(ip, relay.port())))
    }

    /// Asks the proxy, if there is one, whether it is there and takes us, and tells.
    pub(super) async fn probe_proxy(&self) {
        let Some(proxy) = &self.policy().proxy else { return };
        // That it is not reached is told there.
        if let Ok(mut stream) = self.dial_proxy(proxy, ANSWER_MAX).await {
            let probed = proxy.probe(&mut stream).await;
            let _ = self.judge(proxy, probed, "anybody");
        }
    }

    /// What came of a question to the proxy. Whoever is answered tells that it is there.
    fn judge(&self, proxy: &Proxy, came: Result<(), Fault>, to: &str) -> Result<(), Error> {
        match came {
            Ok(()) => {
                self.tell_proxy(None);
                Ok(())
            }
            // It may be that it does not answer at all.
            Err(Fault::Remote(why)) => Err(Error::Proxy { to: to.to_owned(), why }),
            Err(Fault::Proxy(why)) => {
                let why = format!("the proxy {proxy} is of no use: {why}");
                self.tell_proxy(Some(&why));
                Err(Error::NoProxy { why })
            }
        }
    }

    /// Where the proxy itself is. A name is looked up once a minute, not for each connection.
    pub(super) async fn addresses_of(
        &self,
        proxy: &Proxy,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = match Remote::of(&proxy.host, proxy.port) {
            Remote::Address(address) => return Ok(vec![address]),
            Remote::Name { host, port } => (host, port),
        };
        let known = self.inner.proxy_at.borrow().clone();
        if let Some((_, found)) = known.filter(|(until, _)| Instant::now() < *until) {
            return Ok(found);
        }
        let found = self.lookup_directly(&host, port, limit).await?;
        self.inner.proxy_at.send_replace(Some((Instant::now() + NAME_KEPT, found.clone())));
        Ok(found)
    }

    async fn dial_proxy(&self, proxy: &Proxy, limit: Duration) -> Result<TcpStream, Error> {
        let dialled = match self.addresses_of(proxy, limit).await {
            Ok(found) => self.dial_one(&proxy.host, found, limit).await,
            Err(error) => Err(error),
        };
        dialled.map_err(|error| {
            if matches!(error, Error::Held { .. }) {
                return error;
            }
            // It may be elsewhere now.
            self.inner.proxy_at.send_replace(None);
            let why = format!("the proxy {proxy} is not reached: {error}");
            self.tell_proxy(Some(&why));
            Error::NoProxy { why }
        })
    }
}

/// A relay is where its proxy is, or no further inside than that: nobody is to have us send to our
/// own machine or network.
fn check_relay(relay: IpAddr, proxy: IpAddr) -> Result<(), String> {
    let hop = Hop { is_believed: true, previous: Some(Locality::of(proxy)) };
    match relay.to_canonical() == proxy.to_canonical() {
        true => Ok(()),
        false => hop.check(relay).map_err(|_| format!("it names {relay} as its relay")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_and_shown_without_the_password() {
        let read = |text: &str| text.parse::<Proxy>();
        let proxy = read("socks5://me:se%40cret@192.0.2.1:1080").unwrap();
        assert_eq!(proxy.login(), Some(("me", "se@cret")));
        assert_eq!(proxy.to_string(), "socks5://192.0.2.1:1080");
        assert_eq!(format!("{proxy:?}"), "Proxy(socks5://192.0.2.1:1080)");
        assert_eq!(proxy.url(), "socks5h://me:se%40cret@192.0.2.1:1080");
        let http = read("HTTP://[2001:db8::1]:3128/").unwrap();
        assert_eq!(http.url(), "http://[2001:db8::1]:3128");
        assert!(proxy.takes_datagrams() && !http.takes_datagrams());
        for wrong in [
            "",
            "192.0.2.1:1080",
            "ftp://a:1",
            "socks4://a:1",
            "https://a:1",
            "socks5://a",
            "socks5://a:0",
            "socks5://:1",
            "socks5://a b:1",
            "socks5://[::1:1",
            "socks5://a:1:2",
            "http://a/b:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&format!("socks5://{}:x@a:1", "u".repeat(256))).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_is_silent_is_given_up() {
        for proxy in ["socks5://192.0.2.1:1080", "http://192.0.2.1:3128"] {
            let proxy: Proxy = proxy.parse().unwrap();
            let (mut ours, _silent) = tokio::io::duplex(1024);
            let begin = tokio::time::Instant::now();
            let to = Remote::of("peer.example", 1);
            let fault = proxy.ask(&mut ours, &to).await.unwrap_err();
            let why = "it does not answer in 10 s".to_owned();
            let is_known = proxy.kind == Kind::Socks5;
            assert_eq!(fault, if is_known { Fault::Proxy(why) } else { Fault::Remote(why) });
            assert_eq!(begin.elapsed().as_secs(), 10);
        }
    }

    #[test]
    fn a_relay_is_no_further_inside_than_its_proxy() {
        let check = |relay: &str, proxy: &str| {
            check_relay(relay.parse().unwrap(), proxy.parse().unwrap()).is_ok()
        };
        for (relay, proxy) in [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("198.51.101.9", "198.51.101.7"),
            ("10.0.0.2", "10.0.0.1"),
            ("10.0.0.2", "127.0.0.1"),
        ] {
            assert!(check(relay, proxy), "{relay} by {proxy}");
        }
        for (relay, proxy) in [
            ("127.0.0.1", "8.8.8.8"),
            ("10.0.0.1", "8.8.8.8"),
            ("127.0.0.1", "10.0.0.1"),
            ("224.0.0.1", "8.8.8.8"),
        ] {
            assert!(!check(relay, proxy), "{relay} by {proxy}");
        }
    }

    /// A proxy that says this to the first, the second, and so on, as soon as it has heard enough.
    async fn proxy_saying(
        answers: Vec<Vec<(usize, &'static [u8])>>,
    ) -> (Egress, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("socks5://me:secret@{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            for said in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                for (heard, answer) in said {
                    stream.read_exact(&mut vec![0; heard]).await.unwrap();
                    stream.write_all(answer).await.unwrap();
                }
            }
        });
        let policy = super::super::Policy { proxy: url.parse().ok(), ..Default::default() };
        (Egress::new(policy), serving)
    }

    #[tokio::test]
    async fn a_proxy_that_does_not_take_us_is_told_and_whom_it_does_not_reach_is_not() {
        let greeting = (4, &[5, 2][..]);
        let to: Remote = "192.0.2.1:80".parse::<SocketAddr>().unwrap().into();
        let unreached = (10, &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0][..]);
        let (egress, serving) = proxy_saying(vec![
            vec![greeting, (11, &[1, 1])],
            vec![greeting, (11, &[1, 0])],
            vec![greeting, (11, &[1, 0]), unreached],
        ])
        .await;
        let limit = Duration::from_secs(5);
        let dial = || egress.connect(&to, super::super::Purpose::Peer, limit);
        let refused = dial().await.unwrap_err();
        assert!(refused.is_held(), "{refused}");
        let told = egress.standing().proxy_trouble.unwrap();
        assert!(told.ends_with("is of no use: it refuses the name and password"), "{told}");
        egress.probe_proxy().await;
        assert_eq!(egress.standing().proxy_trouble, None);
        let beyond = dial().await.unwrap_err();
        assert!(matches!(&beyond, Error::Proxy { .. }), "{beyond}");
        assert_eq!(egress.standing().proxy_trouble, None);
        serving.await.unwrap();
        // Nobody listens any more.
        let gone = dial().await.unwrap_err();
        assert!(gone.is_held() && egress.standing().proxy_trouble.is_some(), "{gone}");
    }

    #[tokio::test]
    async fn a_proxy_that_is_back_is_noticed_though_nobody_dials() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let proxy = format!("http://{address}").parse().ok();
        let egress = Egress::new(super::super::Policy { proxy, ..Default::default() });
        let looking = tokio::spawn(egress.clone().look_around());
        let mut watch = egress.watch();
        let limit = Duration::from_secs(20);
        let troubled = watch.wait_for(|standing| standing.proxy_trouble.is_some());
        timeout(limit, troubled).await.unwrap().unwrap();
        // Whoever takes the connection and leaves is there.
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let leaving = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let well = watch.wait_for(|standing| standing.proxy_trouble.is_none());
        timeout(limit, well).await.unwrap().unwrap();
        looking.abort();
        leaving.abort();
    }
}
