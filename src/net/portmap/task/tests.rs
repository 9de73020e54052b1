//! The hand over mock gateways on the loopback: packets from and to a socket, a router over HTTP,
//! and those that mean us harm.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::net::egress::Policy;
use crate::net::portmap::types::Protocol;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longest wait for something that must come: all three protocols together take some eight seconds.
const LIMIT: Duration = Duration::from_secs(30);

fn loopback(_: &Egress, is_v4: bool) -> Result<Way, String> {
    match is_v4 {
        true => Ok(Way { own: LOOPBACK, gateway: LOOPBACK, device: 1, is_guess: false }),
        false => Err("there is no IPv6 network".to_owned()),
    }
}

/// A port where nobody listens; the socket keeps others from it.
async fn deaf() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn fixed(port: u16) -> watch::Receiver<u16> {
    watch::channel(port).1
}

fn start(gateway: u16, ssdp: u16) -> (PortMap, OwnPorts) {
    let egress = Egress::from_address(Some(LOOPBACK));
    let config = PortMapConfig { egress, tcp: 6881, udp: fixed(6882) };
    let doors = Doors { gateway, announce: None, ssdp, look: loopback };
    PortMap::start_at(config, doors)
}

async fn state(portmap: &PortMap, is_it: impl Fn(&State) -> bool) -> State {
    let mut standing = portmap.watch();
    let reached = standing.wait_for(|standing| is_it(&standing.four));
    let reached = timeout(LIMIT, reached).await;
    match reached {
        Ok(reached) => reached.unwrap().four.clone(),
        Err(_) => panic!("it stays {:?}", portmap.standing()),
    }
}

async fn failure(portmap: &PortMap) -> String {
    match state(portmap, |it| matches!(it, State::Failed(_))).await {
        State::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// NAT-PMP of a gateway: another port than asked, for so long.
fn granted(asked: &[u8], external: u16, lifetime_s: u32) -> Vec<u8> {
    let mut answer = vec![0, asked[1] | 128, 0, 0, 0, 0, 0, 9];
    if asked.len() == 2 {
        answer.extend([93, 184, 216, 34]);
        return answer;
    }
    answer.extend(&asked[4..6]);
    let is_end = asked[8..12] == [0; 4];
    answer.extend(if is_end { 0 } else { external }.to_be_bytes());
    answer.extend(if is_end { 0 } else { lifetime_s }.to_be_bytes());
    answer
}

#[tokio::test]
async fn a_gateway_maps_our_ports_and_takes_them_back() {
    let (gateway, port) = deaf().await;
    let heard = tokio::spawn(async move {
        let (mut room, mut ended) = ([0; 1100], 0);
        while ended < 2 {
            let (len, from) = gateway.recv_from(&mut room).await.unwrap();
            let asked = &room[..len];
            // It knows no PCP.
            let answer = match asked[0] {
                2 => vec![0, 129, 0, 1],
                _ => granted(asked, 40_000 + u16::from(asked[1]), 7200),
            };
            ended += usize::from(len == 12 && asked[8..12] == [0; 4]);
            // From elsewhere nothing counts.
            let stranger = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
            stranger.send_to(&granted(&[0, 0], 1, 1), from).await.unwrap();
            gateway.send_to(&answer, from).await.unwrap();
        }
        ended
    });
    let (portmap, mut own) = start(port, 9);
    assert_eq!(own.peers_towards([93, 184, 216, 1].into()), 6881, "until it is known otherwise");
    let state = state(&portmap, |it| it.mapping().is_some()).await;
    let mapping = state.mapping().unwrap();
    assert_eq!(
        (mapping.protocol, mapping.tcp, mapping.udp),
        (Protocol::NatPmp, 40_002, Some(40_001))
    );
    timeout(LIMIT, own.changed()).await.unwrap();
    let host = [93, 184, 216, 1].into();
    assert_eq!((own.peers_towards(host), own.datagrams_towards(host)), (40_002, 40_001));
    assert_eq!(own.outside().four.peers_at, "93.184.216.34:40002".parse().ok());
    assert_eq!(portmap.standing().six, State::Off("there is no IPv6 network".to_owned()));
    portmap.stop().await;
    assert_eq!(timeout(LIMIT, heard).await.unwrap().unwrap(), 2, "both were given back");
}

/// A gateway that does all it is asked, and whose answers get lost.
#[tokio::test]
async fn what_was_never_answered_is_ended_all_the_same() {
    let (gateway, port) = deaf().await;
    let (portmap, _own) = start(port, 9);
    let mut room = [0; 1100];
    let (len, _) = timeout(LIMIT, gateway.recv_from(&mut room)).await.unwrap().unwrap();
    assert_eq!((len, room[0], &room[4..8]), (60, 2, &3600_u32.to_be_bytes()[..]));
    let nonce = room[24..36].to_vec();
    portmap.stop().await;
    let end = async {
        loop {
            let (len, _) = gateway.recv_from(&mut room).await.unwrap();
            if room[4..8] == [0; 4] {
                return room[..len].to_vec();
            }
        }
    };
    let end = timeout(LIMIT, end).await.unwrap();
    assert_eq!((end[36], &end[24..36]), (6, &nonce[..]));
}

/// Somebody has our port where the device is, when it comes.
#[tokio::test]
async fn another_port_for_datagrams_is_followed() {
    let (gateway, gateway_port) = deaf().await;
    let (heard, mut mapped) = tokio::sync::mpsc::channel(64);
    let serving = tokio::spawn(async move {
        let mut room = [0; 1100];
        loop {
            let (len, from) = gateway.recv_from(&mut room).await.unwrap();
            let asked = &room[..len];
            let answer = match asked[0] {
                2 => vec![0, 129, 0, 1],
                _ => granted(asked, 40_000 + u16::from(asked[1]), 7200),
            };
            gateway.send_to(&answer, from).await.unwrap();
            if len == 12 && asked[1] == 1 {
                let internal = u16::from_be_bytes([asked[4], asked[5]]);
                heard.send((internal, asked[8..12] != [0; 4])).await.unwrap();
            }
        }
    });
    let udp = watch::Sender::new(6882);
    let egress = Egress::from_address(Some(LOOPBACK));
    let config = PortMapConfig { egress, tcp: 6881, udp: udp.subscribe() };
    let doors = Doors { gateway: gateway_port, announce: None, ssdp: 9, look: loopback };
    let (portmap, own) = PortMap::start_at(config, doors);
    state(&portmap, |it| it.mapping().is_some()).await;
    assert_eq!(timeout(LIMIT, mapped.recv()).await.unwrap(), Some((6882, true)));
    udp.send_replace(50_000);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(timeout(LIMIT, mapped.recv()).await.unwrap().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, [(6882, false), (50_000, true)]);
    assert_eq!(own.datagrams_towards(LOOPBACK), 50_000);
    serving.abort();
}

#[tokio::test]
async fn a_silent_gateway_does_not_hold_up_the_end() {
    let (gateway, port) = deaf().await;
    let serving = tokio::spawn(async move {
        let mut room = [0; 1100];
        loop {
            let (len, from) = gateway.recv_from(&mut room).await.unwrap();
            let is_end = len == 12 && room[8..12] == [0; 4];
            if room[0] == 0 && !is_end {
                gateway.send_to(&granted(&room[..len], 40_000, 60), from).await.unwrap();
            }
        }
    });
    let (portmap, _own) = start(port, 9);
    state(&portmap, |it| it.mapping().is_some()).await;
    let begin = Instant::now();
    portmap.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_before_it_has_begun_does_so() {
    let (_gateway, port) = deaf().await;
    let (portmap, _own) = start(port, 9);
    portmap.stop().await;
    assert_eq!(*portmap.tasks.borrow(), 0, "they go on");
}

fn both_loopbacks(_: &Egress, is_v4: bool) -> Result<Way, String> {
    let own: IpAddr = if is_v4 { LOOPBACK } else { std::net::Ipv6Addr::LOCALHOST.into() };
    Ok(Way { own, gateway: own, device: 1, is_guess: false })
}

/// A gateway of one family that maps all in PCP, and tells of each request for a mapping.
async fn granting(socket: UdpSocket, asked: tokio::sync::mpsc::Sender<bool>, is_v4: bool) {
    let mut room = [0; 1100];
    loop {
        let (len, from) = socket.recv_from(&mut room).await.unwrap();
        let mut answer = room[..len].to_vec();
        answer[1] |= 128;
        answer[8..12].copy_from_slice(&1000_u32.to_be_bytes());
        answer[12..24].fill(0);
        answer[44..60].copy_from_slice(&room[8..24]);
        socket.send_to(&answer, from).await.unwrap();
        asked.send(is_v4).await.unwrap();
    }
}

/// One box is the router of both families; what it tells all over one, it means of both.
#[tokio::test]
async fn a_router_that_begins_anew_is_asked_over_both_families() {
    let (four, gateway) = deaf().await;
    let Ok(six) = UdpSocket::bind(("::1", gateway)).await else {
        return println!("skipped: there is no ::1, or its port is taken");
    };
    let (told, mut asked) = tokio::sync::mpsc::channel(64);
    let mut gateways = JoinSet::new();
    gateways.spawn(granting(four, told.clone(), true));
    gateways.spawn(granting(six, told, false));
    let (socket, announce) = deaf().await;
    drop(socket);
    let config = PortMapConfig { egress: Egress::default(), tcp: 6881, udp: fixed(6882) };
    let doors = Doors { gateway, announce: Some(announce), ssdp: 9, look: both_loopbacks };
    let (portmap, _own) = PortMap::start_at(config, doors);
    let mut standing = portmap.watch();
    let mapped = |it: &Standing| it.four.mapping().is_some() && it.six.mapping().is_some();
    timeout(LIMIT, standing.wait_for(mapped)).await.unwrap().unwrap();
    for _ in 0..4 {
        timeout(LIMIT, asked.recv()).await.unwrap().unwrap();
    }
    assert!(asked.try_recv().is_err(), "both ports over both families");
    let router = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let word = [&[2, 128][..], &[0; 22]].concat();
    router.send_to(&word, (LOOPBACK, announce)).await.unwrap();
    let mut again = [0, 0];
    while again != [2, 2] {
        let is_v4 = timeout(LIMIT, asked.recv()).await.expect("both are asked again").unwrap();
        again[usize::from(is_v4)] += 1;
    }
}

#[tokio::test]
async fn nobody_is_asked_through_a_proxy() {
    let (gateway, port) = deaf().await;
    let proxy = "socks5://127.0.0.1:9".parse().ok();
    let egress = Egress::new(Policy { proxy, only_peers: true, ..Policy::default() });
    let config = PortMapConfig { egress, tcp: 6881, udp: fixed(6882) };
    let doors = Doors { gateway: port, announce: None, ssdp: port, look: loopback };
    let (portmap, _own) = PortMap::start_at(config, doors);
    let state = state(&portmap, |it| matches!(it, State::Off(_))).await;
    assert_eq!(state, State::Off("nobody can connect to us through a proxy".to_owned()));
    portmap.stop().await;
    assert!(gateway.try_recv(&mut [0; 9]).is_err(), "something was sent");
}

/// A router that is found by SSDP, and answers over HTTP with what `serve` makes of a request.
struct Router {
    gateway: u16,
    ssdp: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Router {
    /// `location` is told by SSDP, with `{port}` for the port of the router's HTTP.
    async fn start(location: &str, serve: fn(&str, u16) -> String) -> Self {
        let mut tasks = JoinSet::new();
        let web = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = web.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (found, ssdp) = deaf().await;
        let location = location.replace("{port}", &port.to_string());
        tasks.spawn(async move {
            let mut room = [0; 2048];
            loop {
                let (len, from) = found.recv_from(&mut room).await.unwrap();
                assert!(room[..len].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                     LOCATION: {location}\r\n\r\n"
                );
                found.send_to(answer.as_bytes(), from).await.unwrap();
            }
        });
        let told = asked.clone();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = web.accept().await.unwrap();
                let request = request(&mut stream).await;
                let answer = serve(&request, port);
                told.lock().unwrap().push(request);
                // Who is refused in the middle does not read all.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        // Nobody listens there: ICMP tells it.
        let (socket, gateway) = deaf().await;
        drop(socket);
        Self { gateway, ssdp, asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// All of a request: its head, and as much as that says.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let (mut text, mut room) = (String::new(), [0; 4096]);
    loop {
        let len = stream.read(&mut room).await.unwrap_or(0);
        text += std::str::from_utf8(&room[..len]).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |it| it.parse().unwrap());
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length);
        if is_whole || len == 0 {
            return text;
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn description(control: &str) -> String {
    format!(
        "<root><device><serviceList><service><serviceType>\
         urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>{control}\
         </controlURL></service></serviceList></device></root>"
    )
}

fn soap(action: &str, inside: &str) -> String {
    let answer = format!("<u:{action}Response xmlns:u=\"x\">{inside}</u:{action}Response>");
    http("200 OK", &format!("<s:Envelope xmlns:s=\"e\"><s:Body>{answer}</s:Body></s:Envelope>"))
}

/// What an honest router answers.
fn honest(request: &str, _: u16) -> String {
    if request.starts_with("GET /desc.xml ") {
        return http("200 OK", &description("/control"));
    }
    assert!(request.starts_with("POST /control "), "{request}");
    let action = request.split_once('#').unwrap().1.split('"').next().unwrap();
    let inside = match action {
        "GetExternalIPAddress" => "<NewExternalIPAddress>93.184.216.34</NewExternalIPAddress>",
        "GetSpecificPortMappingEntry" if request.contains(">TCP<") => {
            "<NewInternalPort>6881</NewInternalPort><NewInternalClient>127.0.0.1\
             </NewInternalClient><NewLeaseDuration>3600</NewLeaseDuration>"
        }
        "GetSpecificPortMappingEntry" => {
            "<NewInternalPort>6882</NewInternalPort><NewInternalClient>127.0.0.1\
             </NewInternalClient><NewLeaseDuration>3600</NewLeaseDuration>"
        }
        _ => "",
    };
    soap(action, inside)
}

#[tokio::test]
async fn a_router_is_found_and_maps_our_ports() {
    let router = Router::start("http://127.0.0.1:{port}/desc.xml", honest).await;
    let (portmap, _own) = start(router.gateway, router.ssdp);
    let state = state(&portmap, |it| it.mapping().is_some()).await;
    let mapping = state.mapping().unwrap();
    assert_eq!((mapping.protocol, mapping.tcp, mapping.udp), (Protocol::Upnp, 6881, Some(6882)));
    let before = router.asked().len();
    portmap.stop().await;
    let asked = router.asked();
    let ends = asked[before..].iter().filter(|it| it.contains("#DeletePortMapping\""));
    assert_eq!(ends.count(), 2);
    let add = asked.iter().find(|it| it.contains("#AddPortMapping\"")).unwrap();
    assert!(add.contains("<NewInternalClient>127.0.0.1</NewInternalClient>"), "{add}");
}

/// A router that serves so; why it opens nothing, and what it was asked.
async fn refused(location: &str, serve: fn(&str, u16) -> String) -> (String, Vec<String>) {
    let router = Router::start(location, serve).await;
    let (portmap, _own) = start(router.gateway, router.ssdp);
    let why = failure(&portmap).await;
    let told = why.rsplit_once("UPnP: ").map(|(_, why)| why.to_owned());
    (told.unwrap_or(why), router.asked())
}

const HERE: &str = "http://127.0.0.1:{port}/desc.xml";

#[tokio::test]
async fn routers_that_lead_elsewhere_are_not_followed() {
    let elsewhere = "it sends us to another address";
    let (why, asked) = refused("http://127.0.0.2:{port}/desc.xml", honest).await;
    assert_eq!((why.as_str(), asked.len()), (elsewhere, 0));
    let (why, asked) = refused(HERE, |_, port| {
        format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/other\r\n\r\n")
    })
    .await;
    assert_eq!(why, elsewhere);
    assert!(asked.iter().all(|it| it.starts_with("GET /desc.xml ")), "{asked:?}");
    let (why, asked) = refused(HERE, |_, port| {
        http("200 OK", &description(&format!("http://127.0.0.2:{port}/control")))
    })
    .await;
    assert_eq!(why, elsewhere);
    assert!(asked.iter().all(|it| it.starts_with("GET ")), "{asked:?}");
}

#[tokio::test]
async fn bombs_and_endless_bodies_are_refused() {
    let (why, _) = refused(HERE, |_, _| {
        http("200 OK", &format!("<!DOCTYPE a [<!ENTITY b \"x\">]>{}", description("/&b;")))
    })
    .await;
    assert_eq!(why, "its answer declares a document type");
    let (why, _) = refused(HERE, |_, _| http("200 OK", &"<a>".repeat(700_000))).await;
    assert_eq!(why, "its answer is longer than 262144 bytes");
    // The same without saying so before.
    let (why, _) =
        refused(HERE, |_, _| format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(2 << 20))).await;
    assert_eq!(why, "its answer is longer than 262144 bytes");
    let (why, _) = refused(HERE, |_, _| http("200 OK", &"<a>".repeat(40))).await;
    assert_eq!(why, "its answer has elements more than 32 deep");
}

#[tokio::test]
async fn a_fault_of_a_service_is_told() {
    let (why, _) = refused(HERE, |request, port| {
        if !request.contains("#AddPortMapping\"") {
            return honest(request, port);
        }
        let fault = "<s:Envelope xmlns:s=\"e\"><s:Body><s:Fault><detail><UPnPError><errorCode>606\
                     </errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>";
        http("500 Internal Server Error", fault)
    })
    .await;
    assert_eq!(why, "it is not allowed there (error 606)");
}

/// "5 s": one that never answers is left alone.
#[tokio::test]
async fn a_router_that_accepts_and_says_nothing_is_left_alone() {
    let web = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = web.local_addr().unwrap().port();
    let way = loopback(&Egress::default(), true).unwrap();
    let egress = Egress::from_address(Some(LOOPBACK));
    let service = Service {
        kind: crate::net::portmap::igd::description::Kind::Connection,
        name: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
        port,
        path: "/c".to_owned(),
    };
    let action = crate::net::portmap::igd::soap::Action::Address;
    let answer = timeout(LIMIT, fetch::call(&egress, &way, &service, action)).await.unwrap();
    assert_eq!(answer, Err(Fault::Broken("no answer within 5 s".to_owned())));
}
