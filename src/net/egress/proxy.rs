//! A proxy as the user names it, and connections through it: to the proxy, over the chosen device
//! like everything else, and then as its protocol has it. It is given names as they are.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::policy::Remote;
use super::{Egress, Error, connect, socks};

/// How long a proxy may take to do what it is asked for, once it is connected to.
const ANSWER_MAX: Duration = Duration::from_secs(10);

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

    /// Has it connect to `to`.
    async fn ask<S>(&self, stream: &mut S, to: &Remote) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let asked = async {
            match self.kind {
                Kind::Socks5 => {
                    let command = socks::Command::Connect;
                    let came = socks::ask(stream, self.login(), command, to).await;
                    came.map(drop).map_err(|error| error.to_string())
                }
                Kind::Http => {
                    let came = connect::ask(stream, self.login(), to).await;
                    came.map_err(|error| error.to_string())
                }
            }
        };
        let silent = || format!("it does not answer in {} s", ANSWER_MAX.as_secs());
        let came = timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| Err(silent()));
        came.map_err(|why| Error::Proxy { to: to.to_string(), why })
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
        proxy.ask(&mut stream, to).await.map(|()| stream)
    }

    /// Asks the proxy to carry datagrams: the connection that has to stay open, and where the
    /// relay takes them.
    pub(super) async fn ask_for_relay(
        &self,
        proxy: &Proxy,
        limit: Duration,
    ) -> Result<(TcpStream, SocketAddr), Error> {
        let mut stream = self.dial_proxy(proxy, limit).await?;
        let refused = |why: String| Error::Proxy { to: "anybody over UDP".to_owned(), why };
        let peer = stream.peer_addr().map_err(Error::Socket)?;
        // From where we send is not known before it is.
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let command = socks::Command::Associate;
        let (login, any) = (proxy.login(), any.into());
        let came = timeout(ANSWER_MAX, socks::ask(&mut stream, login, command, &any)).await;
        let silent = || refused(format!("it does not answer in {} s", ANSWER_MAX.as_secs()));
        let relay = came.map_err(|_| silent())?.map_err(|error| refused(error.to_string()))?;
        let relay = relay.filter(|relay| relay.port() > 0);
        let relay = relay.ok_or_else(|| refused("it names no relay".to_owned()))?;
        let ip = if relay.ip().is_unspecified() { peer.ip() } else { relay.ip() };
        Ok((stream, SocketAddr::new(ip, relay.port())))
    }

    /// Where the proxy itself is.
    pub(super) async fn addresses_of(
        &self,
        proxy: &Proxy,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        match Remote::of(&proxy.host, proxy.port) {
            Remote::Address(address) => Ok(vec![address]),
            Remote::Name { host, port } => self.lookup_directly(&host, port, limit).await,
        }
    }

    async fn dial_proxy(&self, proxy: &Proxy, limit: Duration) -> Result<TcpStream, Error> {
        let found = self.addresses_of(proxy, limit).await?;
        let dialled = self.dial_one(&proxy.host, found, limit).await;
        match &dialled {
            Ok(_) => self.tell_proxy(None),
            Err(Error::Held { .. }) => {}
            Err(error) => {
                self.tell_proxy(Some(&format!("the proxy {proxy} is not reached: {error}")))
            }
        }
        dialled
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
            let error = proxy.ask(&mut ours, &to).await.unwrap_err();
            let why =
                "cannot connect to peer.example:1 through the proxy: it does not answer in 10 s";
            assert_eq!(error.to_string(), why);
            assert_eq!(begin.elapsed().as_secs(), 10);
        }
    }
}
