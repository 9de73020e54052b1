//! A proxy as the user names it, and what is said to it over a connection that there is already: it
//! is given names as they are. Not here: how it is connected to (`through`).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::remote::Remote;
use super::{connect, socks};

/// How long a proxy may take to do what it is asked for, once it is connected to.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

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
    pub(super) host: String,
    pub(super) port: u16,
    login: Option<(String, String)>,
}

/// Whose fault it is that there is no connection, and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
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

/// Why nothing came of what it was asked for, in words for people.
pub(super) fn silent() -> String {
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
    pub(super) async fn greet<S>(&self, stream: &mut S) -> Result<(), Fault>
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
    pub(super) async fn ask<S>(&self, stream: &mut S, to: &Remote) -> Result<(), Fault>
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
    pub(super) async fn probe<S>(&self, stream: &mut S) -> Result<(), Fault>
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
}
