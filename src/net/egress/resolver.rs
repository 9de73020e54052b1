//! Names to addresses, without showing them to anybody beside the chosen way: the system's resolver
//! only where nothing is chosen. Behind a device the name server is asked through it; behind a
//! proxy names are the proxy's, and where an address is needed all the same (datagrams), the server
//! that the user names is asked through it, over TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::names::{A, AAAA, Answer, answer, question};
use super::policy::Purpose;
use super::proxy::Proxy;
use super::way_out::Egress;
use crate::base::addr::without_brackets;
use crate::net::Error;

/// Stands for a host whose address only the proxy knows: one of documentation (RFC 5737), which is
/// nobody's.
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 0);
/// Where the system says which name servers there are (resolv.conf(5)).
const SERVERS_FILE: &str = "/etc/resolv.conf";
/// Of those, as many are asked.
const SERVERS_MAX: usize = 3;
/// How long one of them may take; each is asked twice.
const SERVER_MAX: Duration = Duration::from_millis(1500);
const TRIES: usize = 2;
/// The longest answer over UDP without extensions (RFC 1035, 2.3.4), with room to spare.
const DATAGRAM_LEN: usize = 1500;
const PORT: u16 = 53;

impl Egress {
    /// The addresses of a host, or, where only the proxy knows them, one that stands for it: good
    /// enough for [`connect`](Self::connect) by name, and nobody's.
    ///
    /// # Errors
    /// `Lookup`, `Held`.
    pub async fn whereabouts(
        &self,
        host: &str,
        port: u16,
        purpose: Purpose,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        if !self.is_proxied(purpose) || without_brackets(host).parse::<IpAddr>().is_ok() {
            return self.lookup(host, port, purpose, limit).await;
        }
        match is_of_here(host) {
            true => Err(failed(host, "a name of one's own network means another host to a proxy")),
            false => Ok(vec![SocketAddr::new(SOMEWHERE.into(), port)]),
        }
    }

    /// The addresses of a host; it may be an address itself, an IPv6 one in brackets.
    ///
    /// # Errors
    /// `Lookup`, also when it takes longer than `limit`; `Held`.
    pub async fn lookup(
        &self,
        host: &str,
        port: u16,
        purpose: Purpose,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(ip) = without_brackets(host).parse::<IpAddr>() {
            // 0.0.0.0 is a host's own, and to a proxy its own.
            let is_nobody = ip.to_canonical().is_unspecified() && self.is_proxied(purpose);
            let refused = || failed(host, "it is nobody's address");
            return if is_nobody { Err(refused()) } else { Ok(vec![SocketAddr::new(ip, port)]) };
        }
        let Some(proxy) = self.proxy_for(purpose) else {
            return self.lookup_directly(host, port, limit).await;
        };
        let Some(server) = self.policy().dns else {
            let why = "its address has to be known here, and names are not resolved beside the \
                       proxy: --dns ADDR names a server to ask through it";
            return Err(failed(host, why));
        };
        let [four, six] = questions(host)?;
        let (four, six) =
            (self.over_proxy(proxy, server, &four), self.over_proxy(proxy, server, &six));
        gather(host, port, both(four, six, limit, || too_late(host, limit)).await)
    }

    /// The same without a proxy: by the system where no device is chosen.
    pub(super) async fn lookup_directly(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let looked_up = async {
            if self.policy().device.is_none() && self.policy().dns.is_none() {
                let found = lookup_host((host, port)).await;
                let found = found.map_err(|cause| failed(host, &cause.to_string()))?;
                return Ok(found.collect());
            }
            self.place()?;
            let servers = self.servers().await;
            if servers.is_empty() {
                let why = "no name server can be reached through the device: --dns ADDR names one";
                return Err(failed(host, why));
            }
            let mut last = failed(host, "no name server answers");
            for server in servers.iter().cycle().take(servers.len() * TRIES) {
                match self.ask_both(host, port, *server).await {
                    Ok(found) => return Ok(found),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        timeout(limit, looked_up).await.unwrap_or_else(|_| Err(too_late(host, limit)))
    }

    /// Those that the user names, or else the system's, but none of this machine: it would ask
    /// another one by any device.
    async fn servers(&self) -> Vec<SocketAddr> {
        if let Some(server) = self.policy().dns {
            return vec![server];
        }
        let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(Path::new(SERVERS_FILE)));
        let text = read.await.ok().and_then(Result::ok).unwrap_or_default();
        servers_in(&text)
    }

    /// The addresses of both families, as a server says.
    async fn ask_both(
        &self,
        host: &str,
        port: u16,
        server: SocketAddr,
    ) -> Result<Vec<SocketAddr>, Error> {
        let [four, six] = questions(host)?;
        let (four, six) = (self.over_udp(server, &four), self.over_udp(server, &six));
        let silent = || failed(host, "no name server answers");
        gather(host, port, both(four, six, SERVER_MAX, silent).await)
    }

    /// Asks a server by datagram, and over TCP what does not fit one.
    async fn over_udp(&self, server: SocketAddr, question: &[u8]) -> Result<Answer, Error> {
        let socket = self.talking_to(server)?;
        socket.send(question).await.map_err(Error::Socket)?;
        let mut room = [0; DATAGRAM_LEN];
        loop {
            let len = socket.recv(&mut room).await.map_err(Error::Socket)?;
            match room.get(..len).and_then(|message| answer(message, question)) {
                Some(Answer::Cut) => {
                    let mut stream = self.dial(server, SERVER_MAX).await?;
                    return over_tcp(&mut stream, question).await;
                }
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }

    /// Asks a server through the proxy.
    async fn over_proxy(
        &self,
        proxy: &Proxy,
        server: SocketAddr,
        question: &[u8],
    ) -> Result<Answer, Error> {
        let mut stream = self.through(proxy, &server.into(), SERVER_MAX).await?;
        over_tcp(&mut stream, question).await
    }
}

/// Asks a server over TCP (RFC 7766).
async fn over_tcp(stream: &mut TcpStream, question: &[u8]) -> Result<Answer, Error> {
    let len = u16::try_from(question.len()).unwrap_or(u16::MAX);
    let question_with_len = [len.to_be_bytes().as_slice(), question].concat();
    stream.write_all(&question_with_len).await.map_err(Error::Socket)?;
    let len = stream.read_u16().await.map_err(Error::Socket)?;
    let mut message = vec![0; len.into()];
    stream.read_exact(&mut message).await.map_err(Error::Socket)?;
    Ok(answer(&message, question).unwrap_or(Answer::Failed(u8::MAX)))
}

/// What comes of both questions. Each has a limit of its own: a server that does not answer for one
/// family (RFC 4074 has several such) is not to take the other one with it.
async fn both<A>(
    four: impl Future<Output = Result<A, Error>>,
    six: impl Future<Output = Result<A, Error>>,
    limit: Duration,
    late: impl Fn() -> Error,
) -> [Result<A, Error>; 2] {
    let (four, six) = tokio::join!(timeout(limit, four), timeout(limit, six));
    [four, six].map(|came| came.unwrap_or_else(|_| Err(late())))
}

/// The questions for the addresses of both families.
fn questions(host: &str) -> Result<[Vec<u8>; 2], Error> {
    let impossible = || failed(host, "no host can have such a name");
    let ask = |kind| question(rand::random(), host, kind).ok_or_else(impossible);
    Ok([ask(A)?, ask(AAAA)?])
}

/// What both answers come to: addresses, or why there are none.
fn gather(
    host: &str,
    port: u16,
    answers: [Result<Answer, Error>; 2],
) -> Result<Vec<SocketAddr>, Error> {
    let mut found = Vec::new();
    let mut why = None;
    for came in answers {
        match came {
            Ok(Answer::Addresses(ips)) => {
                found.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port)));
            }
            Ok(Answer::NoName) => why = Some(failed(host, "there is no such name")),
            Ok(Answer::Failed(code)) => {
                why = Some(failed(host, &format!("the name server fails ({code})")));
            }
            Ok(Answer::Cut) => why = Some(failed(host, "the answer is cut")),
            Err(error) => why = Some(error),
        }
    }
    match (found.is_empty(), why) {
        (true, Some(why)) => Err(why),
        (true, None) => Err(failed(host, "it has no address")),
        (false, _) => Ok(found),
    }
}

/// Does the name mean a host of this machine or network, as far as it tells?
fn is_of_here(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    !host.contains('.') || matches!(last, "localhost" | "local" | "lan" | "internal" | "arpa")
}

fn servers_in(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let ip = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        let ip: IpAddr = ip.split('%').next()?.parse().ok()?;
        (!ip.is_loopback() && !ip.is_unspecified()).then(|| SocketAddr::new(ip, PORT))
    };
    text.lines().filter_map(server).take(SERVERS_MAX).collect()
}

fn failed(host: &str, cause: &str) -> Error {
    Error::Lookup { host: host.to_owned(), cause: cause.to_owned() }
}

fn too_late(host: &str, limit: Duration) -> Error {
    failed(host, &format!("no answer within {} s", limit.as_secs_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_this_machine_are_not_asked_through_a_device() {
        let text = "# a\nsearch lan\nnameserver 127.0.0.53\n nameserver 10.8.0.1 \nnameserver\n\
                    nameserver 2001:db8::53\nnameserver fe80::1%eth0\nnameserver 9.9.9.9\n";
        let found: Vec<String> = servers_in(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["10.8.0.1:53", "[2001:db8::53]:53", "[fe80::1]:53"]);
    }

    #[test]
    fn names_of_here_are_told_from_others() {
        for here in ["localhost", "nas", "a.localhost.", "x.LOCAL", "router.lan", "1.in-addr.arpa"]
        {
            assert!(is_of_here(here), "{here}");
        }
        for there in ["tracker.example", "local.example.org", "a.internal.example"] {
            assert!(!is_of_here(there), "{there}");
        }
    }

    #[tokio::test]
    async fn a_server_that_drops_questions_for_one_family_answers_for_the_other() {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = server.local_addr().ok();
        let answering = tokio::spawn(async move {
            let mut room = [0; 512];
            loop {
                let (len, from) = server.recv_from(&mut room).await.unwrap();
                let asked = &room[..len];
                if asked[len - 3] != 1 {
                    continue;
                }
                let mut answer = asked.to_vec();
                (answer[2], answer[7]) = (0x81, 1);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
                server.send_to(&answer, from).await.unwrap();
            }
        });
        let egress = Egress::new(super::super::Policy { dns, ..Default::default() });
        let limit = Duration::from_secs(9);
        let found = egress.lookup("a.example", 80, Purpose::Peer, limit).await.unwrap();
        assert_eq!(found, ["192.0.2.9:80".parse().unwrap()]);
        answering.abort();
    }

    #[tokio::test]
    async fn behind_a_proxy_a_name_stays_a_name() {
        let proxy = "socks5://192.0.2.7:1080".parse().ok();
        let policy = super::super::Policy { proxy, ..Default::default() };
        let egress = Egress::new(policy.clone());
        let limit = Duration::from_secs(5);
        let of = |host: &'static str, purpose| {
            let egress = egress.clone();
            async move { egress.whereabouts(host, 80, purpose, limit).await }
        };
        let found = of("tracker.example", Purpose::Tracker).await.unwrap();
        assert_eq!(found, ["192.0.2.0:80".parse().unwrap()]);
        assert!(matches!(of("localhost", Purpose::WebSeed).await, Err(Error::Lookup { .. })));
        assert!(matches!(of("0.0.0.0", Purpose::WebSeed).await, Err(Error::Lookup { .. })));
        assert_eq!(of("[::1]", Purpose::Tracker).await.unwrap(), ["[::1]:80".parse().unwrap()]);
        let why = egress.lookup("tracker.example", 80, Purpose::Tracker, limit).await.unwrap_err();
        assert!(why.to_string().contains("--dns ADDR"), "{why}");
        let only_peers = Egress::new(super::super::Policy { only_peers: true, ..policy });
        assert!(!only_peers.is_proxied(Purpose::Tracker) && only_peers.is_proxied(Purpose::Peer));
    }
}
