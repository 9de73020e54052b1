//! The hand's part of UPnP: looks for the router by SSDP, and asks it over HTTP. Whatever it says,
//! only its own address is connected to, it has five seconds and 256 KiB, and redirects are not
//! followed. Not here: what is asked, and what it means.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::gateway;
use super::igd::description::{self, Service};
use super::igd::http;
use super::igd::soap::{Action, Fault, Reply};
use super::igd::ssdp::{self, ANSWER_LEN_MAX, GROUP_V4, GROUP_V6};
use super::types::Way;
use crate::net::egress::{Egress, Purpose};

/// For one question over HTTP, from connecting to the last byte.
const EXCHANGE: Duration = Duration::from_secs(5);
/// When it is asked who is there: datagrams get lost.
const ASKED_AT: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];
/// How long answers are waited for; the question allows a second.
const SEARCH: Duration = Duration::from_secs(4);
/// Descriptions that are fetched of one router.
const DESCRIPTIONS_MAX: usize = 4;
/// Multicast goes so far (UPnP Device Architecture 1.1, 1.3.2).
const HOPS: u32 = 2;
/// One read.
const READ_LEN: usize = 16 << 10;

/// Looks for the router of this way; its services.
///
/// # Errors
/// Why there are none, in words for people.
pub(super) async fn search(egress: &Egress, way: &Way, port: u16) -> Result<Vec<Service>, String> {
    let socket = open(egress, way).map_err(|error| error.to_string())?;
    let end = Instant::now() + SEARCH;
    let begin = Instant::now();
    let mut asked = ASKED_AT.iter();
    let mut next = asked.next();
    let mut known: Vec<String> = Vec::new();
    let mut last = "no router answers".to_owned();
    let mut answer = vec![0; ANSWER_LEN_MAX];
    loop {
        tokio::select! {
            () = sleep_until(end) => return Err(last),
            () = sleep_until(begin + *next.unwrap_or(&SEARCH)), if next.is_some() => {
                next = asked.next();
                ask(&socket, way, port).await;
            }
            received = socket.recv_from(&mut answer) => {
                // What our question met elsewhere is told here, too.
                let Ok((len, from)) = received else { continue };
                let answer = answer.get(..len).unwrap_or_default();
                let Some(url) = ssdp::location(answer).filter(|_| is_router(from.ip(), way))
                else {
                    continue;
                };
                if known.contains(&url) || known.len() == DESCRIPTIONS_MAX {
                    continue;
                }
                known.push(url.clone());
                match describe(egress, way, &url).await {
                    Ok(services) => return Ok(services),
                    Err(why) => {
                        debug!(url, why, "a router that is of no use");
                        last = why;
                    }
                }
            }
        }
    }
}

/// Tells the router's service something, or asks.
///
/// # Errors
/// What it says, or why there is no answer.
pub(super) async fn call(
    egress: &Egress,
    way: &Way,
    service: &Service,
    action: Action,
) -> Result<Reply, Fault> {
    let body = action.body(service);
    let more = format!(
        "Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: {}\r\nContent-Length: {}\r\n",
        action.header(service),
        body.len()
    );
    let request = request("POST", way, (service.port, &service.path), &more) + &body;
    let answer = exchange(egress, way, service.port, request.as_bytes()).await;
    let (status, body) = answer.map_err(Fault::Broken)?;
    match status {
        // A fault has the status 500.
        200..300 | 500 => action.read(&body),
        status => Err(Fault::Broken(refused(status))),
    }
}

fn open(egress: &Egress, way: &Way) -> Result<UdpSocket, crate::net::Error> {
    let cable = gateway::on_cable(way.device);
    let socket = egress.datagrams(Purpose::PortMap, asks_from(way, cable))?;
    // Without them the group is not reached, and the router alone may be.
    let _ = set_out(&SockRef::from(&socket), way);
    Ok(socket)
}

/// Where we ask from, who have this address on the cable of the device. Over IPv6 a router has
/// several addresses, and answers from one that reaches as far as whoever asks: the one that
/// packets go through is heard when it is asked from its like.
fn asks_from(way: &Way, cable: Option<Ipv6Addr>) -> SocketAddr {
    match (way.gateway, cable) {
        (IpAddr::V6(gateway), Some(own)) if gateway.is_unicast_link_local() => {
            SocketAddrV6::new(own, 0, 0, way.device).into()
        }
        _ => SocketAddr::new(way.own, 0),
    }
}

/// By which device the group is asked, and how far away.
fn set_out(options: &SockRef<'_>, way: &Way) -> io::Result<()> {
    match way.own {
        IpAddr::V4(own) => {
            options.set_multicast_if_v4(&own).and_then(|()| options.set_multicast_ttl_v4(HOPS))
        }
        IpAddr::V6(_) => options
            .set_multicast_if_v6(way.device)
            .and_then(|()| options.set_multicast_hops_v6(HOPS)),
    }
}

/// Asks the group, and the router alone: some networks carry no multicast.
async fn ask(socket: &UdpSocket, way: &Way, port: u16) {
    let group: IpAddr = if way.own.is_ipv4() { GROUP_V4.into() } else { GROUP_V6.into() };
    for to in [SocketAddr::new(group, port), way.at(port)] {
        for question in ssdp::questions(to) {
            if let Err(error) = socket.send_to(&question, to).await {
                debug!(%to, %error, "cannot ask for routers");
                break;
            }
        }
    }
}

/// Only the router counts: the one that our packets go through. Others of our network may say what
/// they want.
fn is_router(from: IpAddr, way: &Way) -> bool {
    from.to_canonical() == way.gateway
}

async fn describe(egress: &Egress, way: &Way, url: &str) -> Result<Vec<Service>, String> {
    let place = description::place(url, way.gateway).map_err(|error| error.to_string())?;
    let request = request("GET", way, (place.0, &place.1), "");
    let (status, body) = exchange(egress, way, place.0, request.as_bytes()).await?;
    if !(200..300).contains(&status) {
        return Err(refused(status));
    }
    description::services(&body, url, way.gateway).map_err(|error| error.to_string())
}

fn refused(status: u16) -> String {
    match status {
        300..400 => "it sends us to another address".to_owned(),
        status => format!("it answers with HTTP status {status}"),
    }
}

fn request(method: &str, way: &Way, (port, path): (u16, &str), more: &str) -> String {
    let mut host = way.at(port);
    if let SocketAddr::V6(six) = &mut host {
        six.set_scope_id(0);
    }
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pigeon/{}\r\nConnection: close\r\n\
         {more}\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Asks the router, and reads its answer: the status and the body.
async fn exchange(
    egress: &Egress,
    way: &Way,
    port: u16,
    request: &[u8],
) -> Result<(u16, Vec<u8>), String> {
    let attempt = async {
        let connecting = egress.connect_from(way.own, way.at(port), EXCHANGE);
        let mut stream = connecting.await.map_err(|error| error.to_string())?;
        stream.write_all(request).await.map_err(|error| error.to_string())?;
        let (mut raw, mut room) = (Vec::new(), vec![0; READ_LEN]);
        loop {
            let len = stream.read(&mut room).await.map_err(|error| error.to_string())?;
            raw.extend_from_slice(room.get(..len).unwrap_or_default());
            if let Some(answer) = http::read(&raw, len == 0).map_err(|error| error.to_string())? {
                return Ok(answer);
            }
        }
    };
    let told = || Err(format!("no answer within {} s", EXCHANGE.as_secs()));
    timeout(EXCHANGE, attempt).await.unwrap_or_else(|_| told())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(own: &str, gateway: &str) -> Way {
        let (own, gateway) = (own.parse().unwrap(), gateway.parse().unwrap());
        Way { own, gateway, device: 3, is_guess: false }
    }

    #[test]
    fn nobody_else_of_our_network_is_the_router() {
        let six = way("2001:db8::7", "fe80::1");
        let is_it = |from: &str, way: &Way| is_router(from.parse().unwrap(), way);
        assert!(is_it("fe80::1", &six));
        for other in ["2001:db8::9", "2001:db8::1", "fe80::2", "2001:db8:0:1::1"] {
            assert!(!is_it(other, &six), "{other}");
        }
        let four = way("192.168.1.7", "192.168.1.1");
        assert!(is_it("192.168.1.1", &four) && is_it("::ffff:192.168.1.1", &four));
        assert!(!is_it("192.168.1.9", &four));
    }

    #[test]
    fn a_router_is_asked_from_an_address_like_its_own() {
        let cable = "fe80::7".parse().ok();
        let six = way("2001:db8::7", "fe80::1");
        let from = asks_from(&six, cable);
        assert!(matches!(from, SocketAddr::V6(it) if it.scope_id() == 3), "{from}");
        assert_eq!(from.ip(), "fe80::7".parse::<IpAddr>().unwrap());
        assert_eq!(asks_from(&six, None).ip(), six.own);
        for (own, gateway) in [("2001:db8::7", "2001:db8::1"), ("192.168.1.7", "192.168.1.1")] {
            assert_eq!(asks_from(&way(own, gateway), cable).ip(), way(own, gateway).own);
        }
    }
}
