//! Connections through the proxy: it is found and connected to, over the chosen device like
//! everything else, and then asked. What it says of itself is told to all. Not here: what is spoken
//! with it (`proxy`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::proxy::{ANSWER_MAX, Fault, Proxy, silent};
use super::remote::Remote;
use super::socks;
use super::way_out::Egress;
use crate::base::addr::Locality;
use crate::net::Error;
use crate::net::hop::{Hop, Trust};

/// How long it is believed where a proxy is that is named by a name.
const NAME_KEPT: Duration = Duration::from_secs(60);

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
    let hop = Hop { trust: Trust::Full, previous: Some(Locality::of(proxy)) };
    match relay.to_canonical() == proxy.to_canonical() {
        true => Ok(()),
        false => hop.check(relay).map_err(|_| format!("it names {relay} as its relay")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::egress::{Policy, Purpose};

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
        let policy = Policy { proxy: url.parse().ok(), ..Default::default() };
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
        let dial = || egress.connect(&to, Purpose::Peer, limit);
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
        let egress = Egress::new(Policy { proxy, ..Default::default() });
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
