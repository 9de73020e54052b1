//! The order, the renewals and the end, in virtual time, against gateways of a few lines.

use std::net::IpAddr;

use rand::SeedableRng as _;

use super::*;
use crate::net::portmap::igd::description::Kind;
use crate::net::portmap::types::Behind;

const PORTS: Ports = [6881, 6881];

fn way() -> Way {
    Way {
        own: "192.168.1.7".parse().unwrap(),
        gateway: "192.168.1.1".parse().unwrap(),
        device: 2,
        is_guess: false,
    }
}

fn way_v6() -> Way {
    Way { own: "2001:db8::7".parse().unwrap(), gateway: "fe80::1".parse().unwrap(), ..way() }
}

/// The machine, a clock, and what its gateway is like.
struct Bench {
    mapper: Mapper,
    now: Instant,
    begun: Instant,
    /// When the gateway was switched on.
    epoch: Instant,
    /// What it makes of a packet.
    gateway: fn(&Gateway, &[u8]) -> Option<Vec<u8>>,
    /// What its services make of an order.
    router: fn(&Gateway, &Action) -> Result<Reply, Fault>,
    services: Result<Vec<Service>, String>,
    settings: Gateway,
    /// All that it heard.
    heard: Vec<Output>,
}

/// What a gateway goes by.
#[derive(Clone, Copy)]
struct Gateway {
    epoch_s: u32,
    address: [u8; 4],
    /// Port outside; 0 is the one that is asked for.
    external: u16,
    lifetime_s: u32,
    code: u8,
}

const GATEWAY: Gateway =
    Gateway { epoch_s: 0, address: [93, 184, 216, 34], external: 0, lifetime_s: 3600, code: 0 };

fn silent(_: &Gateway, _: &[u8]) -> Option<Vec<u8>> {
    None
}

fn pcp(gateway: &Gateway, asked: &[u8]) -> Option<Vec<u8>> {
    if asked[0] != 2 {
        return None;
    }
    let mut answer = asked.to_vec();
    answer[1] |= 128;
    answer[3] = gateway.code;
    if asked[4..8] != [0; 4] {
        answer[4..8].copy_from_slice(&gateway.lifetime_s.to_be_bytes());
    }
    answer[8..12].copy_from_slice(&gateway.epoch_s.to_be_bytes());
    answer[12..24].fill(0);
    if gateway.external > 0 {
        answer[42..44].copy_from_slice(&gateway.external.to_be_bytes());
    }
    if asked[8] == 0 {
        answer[56..60].copy_from_slice(&gateway.address);
    } else {
        answer[44..60].copy_from_slice(&asked[8..24]);
    }
    Some(answer)
}

fn natpmp(gateway: &Gateway, asked: &[u8]) -> Option<Vec<u8>> {
    let mut answer = vec![0, asked[1] | 128, 0, gateway.code];
    answer.extend(gateway.epoch_s.to_be_bytes());
    match asked {
        [0, 0] => answer.extend(gateway.address),
        [0, ..] => {
            answer.extend(&asked[4..6]);
            let external = [asked[6], asked[7]];
            answer.extend(match gateway.external {
                0 => external,
                other => other.to_be_bytes(),
            });
            let is_end = asked[8..12] == [0; 4];
            answer.extend(if is_end { [0; 4] } else { gateway.lifetime_s.to_be_bytes() });
        }
        // "version 0, result code 1".
        _ => answer[3] = 1,
    }
    Some(answer)
}

fn no_router(_: &Gateway, action: &Action) -> Result<Reply, Fault> {
    panic!("nobody is to be told {action:?}")
}

fn router(gateway: &Gateway, action: &Action) -> Result<Reply, Fault> {
    Ok(match action {
        Action::Address => Reply::Address(Some(IpAddr::from(gateway.address))),
        Action::Look { .. } => {
            Reply::Entry { client: Some(way().own), internal: 6881, lease_s: gateway.lifetime_s }
        }
        Action::AddPinhole { transport, .. } => Reply::Pinhole(transport.number().into()),
        _ => Reply::Done,
    })
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            mapper: Mapper::new(PORTS, StdRng::seed_from_u64(1)),
            now,
            begun: now,
            epoch: now,
            gateway: silent,
            router: no_router,
            services: Err("no router answers".to_owned()),
            settings: GATEWAY,
            heard: Vec::new(),
        }
    }

    fn with(gateway: fn(&Gateway, &[u8]) -> Option<Vec<u8>>) -> Self {
        Self { gateway, ..Self::new() }
    }

    fn with_router(kind: Kind, name: &str) -> Self {
        let name = format!("urn:schemas-upnp-org:service:{name}:1");
        let service = Service { kind, name, port: 5000, path: "/c".to_owned() };
        Self { router, services: Ok(vec![service]), ..Self::new() }
    }

    fn begin(&mut self, way: Way) {
        self.handle(Input::Way(Ok(way)));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.mapper.handle(input, self.now);
        self.answer();
    }

    fn answer(&mut self) {
        while let Some(output) = self.mapper.poll_output() {
            self.heard.push(output.clone());
            let passed = self.now.saturating_duration_since(self.epoch).as_secs();
            let settings = Gateway { epoch_s: passed as u32 + 100, ..self.settings };
            match output {
                Output::Send(packet) => {
                    if let Some(answer) = (self.gateway)(&settings, &packet) {
                        self.mapper.handle(Input::Packet(&answer), self.now);
                    }
                }
                Output::Search => {
                    self.mapper.handle(Input::Found(self.services.clone()), self.now);
                }
                Output::Call(_, action) => {
                    let answer = (self.router)(&settings, &action);
                    self.mapper.handle(Input::Answered(answer), self.now);
                }
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.mapper.next_timeout().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.handle(Input::Wake);
        }
        self.now = end;
    }

    fn seconds(&self) -> u64 {
        self.now.duration_since(self.begun).as_secs()
    }

    fn mapping(&self) -> Mapping {
        *self.mapper.state().mapping().unwrap_or_else(|| panic!("{:?}", self.mapper.state()))
    }

    fn why(&self) -> String {
        match self.mapper.state() {
            State::Failed(why) | State::Off(why) => why.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// How often it was spoken to, since this was asked last: in PCP, NAT-PMP, UPnP.
    fn counts(&mut self) -> [usize; 3] {
        let mut counts = [0; 3];
        for output in std::mem::take(&mut self.heard) {
            let place = match output {
                Output::Send(packet) if packet[0] == 2 => 0,
                Output::Send(_) => 1,
                Output::Search | Output::Call(..) => 2,
            };
            counts[place] += 1;
        }
        counts
    }

    /// The orders to its services, by name.
    fn orders(&mut self) -> Vec<&'static str> {
        let heard = std::mem::take(&mut self.heard).into_iter();
        let name = |output| match output {
            Output::Call(_, action) => Some(action.name()),
            _ => None,
        };
        heard.filter_map(name).collect()
    }
}

#[test]
fn pcp_comes_first_and_then_the_others_are_silent() {
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    let mapping = bench.mapping();
    assert_eq!((mapping.protocol, mapping.tcp, mapping.udp), (Protocol::Pcp, 6881, Some(6881)));
    assert_eq!(mapping.address.to_string(), "93.184.216.34");
    assert_eq!(mapping.lifetime, Some(Duration::from_secs(3600)));
    assert_eq!(bench.counts(), [2, 0, 0]);
    // Half of an hour.
    bench.pass(1799);
    assert_eq!(bench.counts(), [0, 0, 0]);
    bench.pass(2);
    assert_eq!(bench.counts(), [2, 0, 0]);
}

#[test]
fn one_that_knows_no_pcp_is_asked_in_natpmp_at_once() {
    let mut bench = Bench::with(natpmp);
    bench.begin(way());
    assert_eq!((bench.mapping().protocol, bench.seconds()), (Protocol::NatPmp, 0));
    assert_eq!(bench.counts(), [1, 3, 0]);
}

/// "fails where a gateway is silent to PCP yet speaks NAT-PMP"
#[test]
fn one_that_is_silent_to_pcp_is_asked_in_natpmp_all_the_same() {
    let mut bench = Bench::with(|it, asked| (asked[0] == 0).then(|| natpmp(it, asked))?);
    bench.begin(way());
    bench.pass(4);
    assert_eq!(bench.mapping().protocol, Protocol::NatPmp);
    assert_eq!(bench.counts(), [4, 3, 0]);
}

#[test]
fn upnp_is_the_last_and_all_together_take_seconds() {
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(way());
    bench.pass(8);
    assert_eq!(bench.mapping().protocol, Protocol::Upnp);
    assert_eq!(bench.counts(), [4, 4, 6]);
    bench.pass(1800);
    let again = ["GetExternalIPAddress", "AddPortMapping", "GetSpecificPortMappingEntry"];
    assert_eq!(bench.orders(), [&again[..], &again[1..]].concat());
}

#[test]
fn where_nobody_listens_at_the_port_nobody_waits_for_it() {
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(way());
    bench.handle(Input::Refused);
    assert_eq!((bench.mapping().protocol, bench.counts()), (Protocol::Upnp, [1, 0, 6]));
}

#[test]
fn who_opens_nothing_is_asked_again_ever_later() {
    let mut bench = Bench::new();
    bench.begin(way());
    bench.pass(8);
    assert_eq!(bench.why(), "PCP: no answer; NAT-PMP: no answer; UPnP: no router answers");
    bench.pass(32);
    bench.counts();
    let mut asked = Vec::new();
    for minute in 1..=120 {
        bench.pass(60);
        if bench.counts()[0] > 0 {
            asked.push(minute);
        }
    }
    assert_eq!(asked, [2, 6, 14, 30, 60, 91]);
    // Somebody switches it on.
    bench.gateway = natpmp;
    bench.handle(Input::Announcement(&[0, 128, 0, 0, 0, 0, 0, 0, 93, 184, 216, 34]));
    assert_eq!(bench.mapping().protocol, Protocol::NatPmp);
}

/// "NAT-PMP grants another port or a shorter life than asked; both must be obeyed."
#[test]
fn a_lease_of_a_minute_is_renewed_each_half_and_followed_to_another_port() {
    let mut bench = Bench::with(natpmp);
    bench.settings = Gateway { external: 40_000, lifetime_s: 60, ..GATEWAY };
    bench.begin(way());
    assert_eq!((bench.mapping().tcp, bench.mapping().udp), (40_000, Some(40_000)));
    bench.counts();
    bench.pass(300);
    assert_eq!(bench.counts(), [0, 30, 0]);
    bench.settings.external = 50_000;
    bench.pass(30);
    assert_eq!(bench.mapping().tcp, 50_000);
    let asked = bench.heard.iter().find_map(|it| match it {
        Output::Send(packet) if packet[1] == 2 => Some(u16::from_be_bytes([packet[6], packet[7]])),
        _ => None,
    });
    assert_eq!(asked, Some(40_000), "the port that we had is asked for");
}

#[test]
fn lifetimes_that_are_lies_do_not_make_us_ask_without_end() {
    for (lifetime_s, asked_in_an_hour) in [(1, 1080), (u32::MAX, 0)] {
        let mut bench = Bench::with(natpmp);
        bench.settings.lifetime_s = lifetime_s;
        bench.begin(way());
        bench.counts();
        bench.pass(3600);
        assert_eq!(bench.counts(), [0, asked_in_an_hour, 0], "{lifetime_s}");
        bench.mapping();
    }
    // "yes, for no time": as good as no.
    let mut bench = Bench::with(natpmp);
    bench.settings.lifetime_s = 0;
    bench.begin(way());
    let why = "PCP: does not speak it; NAT-PMP: it keeps it for no time at all; UPnP: no router \
               answers";
    assert_eq!(bench.why(), why);
}

#[test]
fn a_gateway_that_has_begun_anew_is_asked_at_once() {
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    bench.pass(600);
    bench.counts();
    bench.epoch = bench.now;
    let mut announce = vec![2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    announce.extend([0; 12]);
    bench.handle(Input::Announcement(&announce));
    assert_eq!((bench.counts(), bench.mapper.resets()), ([2, 0, 0], 1));
    // Whoever says so again and again is heeded once a minute.
    for second in 0..180 {
        let epoch = if second % 2 == 0 { 9 } else { 1 };
        announce[11] = epoch;
        bench.handle(Input::Announcement(&announce));
        bench.pass(1);
    }
    assert!(bench.counts()[0] <= 8, "{:?}", bench.counts());
    // An announcement is no answer: nothing else of it counts.
    let mapping = bench.mapping();
    let asked = Output::Send(natpmp(&GATEWAY, &[0, 0]).unwrap());
    let Output::Send(answer) = asked else { unreachable!() };
    bench.handle(Input::Announcement(&answer));
    assert_eq!(bench.mapping(), mapping);
}

/// miniupnpd begins with an announcement of PCP's, whatever its clients speak.
#[test]
fn one_that_begins_anew_in_pcp_is_asked_in_natpmp_all_the_same() {
    let mut bench = Bench::with(natpmp);
    bench.begin(way());
    bench.pass(600);
    bench.counts();
    bench.epoch = bench.now;
    let announce = [&[2, 128][..], &[0; 22]].concat();
    bench.handle(Input::Announcement(&announce));
    assert_eq!(bench.counts(), [0, 3, 0]);
}

/// The nonces of the requests that were made since this was asked last, in PCP.
fn nonces(bench: &mut Bench) -> Vec<Vec<u8>> {
    let packets = std::mem::take(&mut bench.heard).into_iter();
    let nonce = |it| match it {
        Output::Send(packet) if packet[0] == 2 => Some(packet[24..36].to_vec()),
        _ => None,
    };
    packets.filter_map(nonce).collect()
}

#[test]
fn a_new_nonce_is_for_a_new_mapping_only() {
    let nonce = |bench: &mut Bench| nonces(bench)[0].clone();
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    let first = nonce(&mut bench);
    bench.pass(1801);
    assert_eq!(nonce(&mut bench), first, "renewed");
    bench.handle(Input::Doubtful);
    assert_eq!(nonce(&mut bench), first, "perhaps it is still there");
    bench.gateway = silent;
    bench.pass(3600);
    bench.counts();
    bench.gateway = pcp;
    bench.pass(600);
    assert_eq!(nonce(&mut bench), first, "it may have heard what we did not hear the answer to");
    bench.handle(Input::Way(Err("waits for tun0".to_owned())));
    bench.pass(3601);
    bench.begin(way());
    assert_ne!(nonce(&mut bench), first, "it has let go of the old one");
    bench.mapping();
}

/// "If the nonce does not match, the server MUST return NOT_AUTHORIZED" (RFC 6887, 11.3).
#[test]
fn a_mapping_is_known_again_after_a_blip() {
    let away = || Input::Way(Err("waits for tun0".to_owned()));
    let other = Way { own: "192.168.1.8".parse().unwrap(), ..way() };
    let mut bench = Bench::with(pcp);
    bench.settings.external = 40_000;
    bench.begin(way());
    let [tcp, udp] = nonces(&mut bench).try_into().unwrap();
    // The device goes and comes back, also with another address in between.
    for meanwhile in [None, Some(other)] {
        bench.handle(away());
        bench.pass(60);
        if let Some(other) = meanwhile {
            bench.begin(other);
            let its = nonces(&mut bench);
            assert!(!its.contains(&tcp) && !its.contains(&udp), "it is another host there");
        }
        bench.begin(way());
        let external = bench.heard.iter().find_map(|it| match it {
            Output::Send(packet) => Some(u16::from_be_bytes([packet[42], packet[43]])),
            _ => None,
        });
        assert_eq!(external, Some(40_000), "the port that we had is asked for");
        assert_eq!(nonces(&mut bench), [tcp.clone(), udp.clone()]);
    }
    // The gateway is silent for so long that all begins anew.
    bench.gateway = silent;
    bench.pass(3700);
    nonces(&mut bench);
    bench.gateway = pcp;
    bench.pass(1900);
    assert_eq!(nonces(&mut bench)[0], tcp);
    assert_eq!(bench.mapping().protocol, Protocol::Pcp);
}

#[test]
fn an_answer_with_another_nonce_or_to_nothing_asked_is_none() {
    let mut bench = Bench::with(|it, asked| {
        let mut answer = pcp(it, asked)?;
        answer[30] ^= 1;
        Some(answer)
    });
    bench.begin(way());
    bench.pass(8);
    assert_eq!(bench.why(), "PCP: no answer; NAT-PMP: no answer; UPnP: no router answers");
    let mut bench = Bench::with(|it, asked| {
        let mut answer = natpmp(it, asked)?;
        if answer.len() == 16 {
            answer[8] ^= 1;
        }
        Some(answer)
    });
    bench.begin(way());
    bench.pass(8);
    assert!(bench.why().contains("NAT-PMP: no answer"), "{}", bench.why());
}

/// "PCP renewals answered NO_RESOURCES (bitcoin PR#30043)"
#[test]
fn a_refused_renewal_is_tried_again_while_it_holds_and_then_all_begins_anew() {
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    bench.settings.code = 8;
    bench.pass(3599);
    assert_eq!(bench.mapping().protocol, Protocol::Pcp, "it still holds");
    bench.gateway = |it, asked| match asked[0] {
        2 => pcp(it, asked),
        _ => natpmp(&Gateway { code: 0, ..*it }, asked),
    };
    bench.pass(10);
    assert_eq!(bench.mapping().protocol, Protocol::NatPmp);
}

/// "wants 0/0 as ports": whoever does not give the port that we would like may give any.
#[test]
fn any_port_is_asked_for_where_ours_is_refused() {
    let mut bench = Bench::with(|it, asked| {
        let wants_any = asked.len() == 2 || asked[6..8] == [0, 0];
        let (code, external) = if wants_any { (0, 41_000) } else { (3, 0) };
        natpmp(&Gateway { code, external, ..*it }, asked)
    });
    bench.begin(way());
    assert_eq!(bench.mapping().tcp, 41_000);
}

#[test]
fn no_port_and_no_address_are_no_mapping() {
    for (address, told) in [([0; 4], "it has no connection itself"), ([93, 1, 1, 1], "")] {
        let mut bench = Bench::with(natpmp);
        bench.settings.address = address;
        bench.begin(way());
        match told {
            "" => assert_eq!(bench.mapping().tcp, 6881),
            told => assert!(bench.why().contains(told), "{}", bench.why()),
        }
    }
    let mut bench = Bench::with(|it, asked| {
        let mut answer = pcp(it, asked)?;
        answer[42..44].fill(0);
        Some(answer)
    });
    bench.begin(way());
    bench.pass(8);
    assert!(bench.why().starts_with("PCP: it names no port outside"), "{}", bench.why());
}

#[test]
fn a_carrier_in_between_is_seen() {
    let mut bench = Bench::with(pcp);
    bench.settings.address = [100, 70, 1, 2];
    bench.begin(way());
    assert_eq!(bench.mapping().behind(), Some(Behind::Carrier));
}

#[test]
fn what_was_opened_is_given_back_at_the_end() {
    let lifetimes = |bench: &Bench| -> Vec<(u8, Vec<u8>)> {
        let heard = bench.heard.iter();
        heard
            .filter_map(|it| match it {
                Output::Send(packet) if packet[0] == 2 => Some((packet[36], packet[4..8].to_vec())),
                Output::Send(packet) => Some((packet[1], packet[8..12].to_vec())),
                Output::Call(..) | Output::Search => None,
            })
            .collect()
    };
    for (gateway, [tcp, udp]) in [(pcp as fn(&Gateway, &[u8]) -> _, [6, 17]), (natpmp, [2, 1])] {
        let mut bench = Bench::with(gateway);
        bench.begin(way());
        bench.counts();
        bench.handle(Input::Stop);
        assert!(bench.mapper.has_ended());
        assert_eq!(lifetimes(&bench), [(tcp, vec![0; 4]), (udp, vec![0; 4])]);
    }
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(way());
    bench.pass(8);
    bench.orders();
    bench.handle(Input::Stop);
    assert_eq!(bench.orders(), ["DeletePortMapping"; 2]);
    assert!(bench.mapper.has_ended());
}

/// Opcode or protocol, and the lifetime, of what was said to the gateway since this was asked last.
fn ended(bench: &mut Bench) -> Vec<u8> {
    let heard = std::mem::take(&mut bench.heard).into_iter();
    let end = |it| match it {
        Output::Send(packet) if packet[0] == 2 && packet[4..8] == [0; 4] => Some(packet[36]),
        Output::Send(packet) if packet.len() == 12 && packet[8..] == [0; 4] => Some(packet[1]),
        _ => None,
    };
    heard.filter_map(end).collect()
}

/// Whatever was asked for may have been done.
#[test]
fn what_was_asked_for_and_never_answered_is_given_back_too() {
    // At once, and when all protocols were tried.
    for passed in [0, 60] {
        let mut bench = Bench::new();
        bench.begin(way());
        bench.pass(passed);
        bench.handle(Input::Stop);
        assert_eq!(ended(&mut bench), [6], "after {passed} s");
        assert!(bench.mapper.has_ended(), "nobody waits for one that is silent");
    }
    // In NAT-PMP, where another question was answered.
    let mut bench = Bench::with(|it, asked| match asked.len() {
        2 => natpmp(it, asked),
        _ => None,
    });
    bench.begin(way());
    bench.pass(60);
    bench.handle(Input::Stop);
    bench.pass(2);
    let ends = ended(&mut bench);
    assert!(ends.contains(&6) && ends.contains(&2), "{ends:?}");
    assert!(bench.mapper.has_ended());
    // The second port's answer was lost.
    let mut bench = Bench::with(|it, asked| pcp(it, asked).filter(|_| asked[36] == 6));
    bench.begin(way());
    bench.pass(5);
    assert_eq!(bench.mapping().udp, None);
    bench.gateway = pcp;
    bench.handle(Input::Stop);
    assert_eq!(ended(&mut bench), [6, 17]);
    // What UPnP opened and what PCP may have.
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(way());
    bench.pass(8);
    bench.handle(Input::Stop);
    assert!(bench.mapper.has_ended());
    assert_eq!(ended(&mut bench), [6]);
    // One that says that it does not speak it has nothing, and what is over is over.
    let mut bench = Bench::with(|it, asked| natpmp(it, asked).filter(|_| asked[0] == 2));
    bench.begin(way());
    bench.pass(60);
    bench.handle(Input::Stop);
    assert!(ended(&mut bench).is_empty());
    let mut bench = Bench::new();
    bench.begin(way());
    bench.handle(Input::Way(Err("waits for tun0".to_owned())));
    bench.pass(3700);
    bench.handle(Input::Stop);
    assert!(ended(&mut bench).is_empty());
}

#[test]
fn what_a_router_never_answered_is_looked_at_and_given_back() {
    for (client, names) in [
        ("192.168.1.7", &["GetSpecificPortMappingEntry", "DeletePortMapping"][..]),
        // It is not ours to end.
        ("192.168.1.9", &["GetSpecificPortMappingEntry"][..]),
    ] {
        let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
        bench.router = |it, action| match action {
            Action::Add { .. } => Err(Fault::Broken("no answer within 5 s".to_owned())),
            action => router(it, action),
        };
        bench.begin(way());
        bench.pass(8);
        assert!(bench.why().contains("UPnP: no answer within 5 s"), "{}", bench.why());
        bench.orders();
        bench.router = match client {
            "192.168.1.7" => router,
            _ => |_, action| match action {
                Action::Look { .. } => {
                    let client = "192.168.1.9".parse().ok();
                    Ok(Reply::Entry { client, internal: 6881, lease_s: 9 })
                }
                action => panic!("{action:?}"),
            },
        };
        bench.handle(Input::Stop);
        assert!(bench.mapper.has_ended());
        assert_eq!(bench.orders(), names, "{client}");
    }
}

/// As when a device comes late, and somebody has the port there.
#[test]
fn another_port_of_ours_is_mapped_instead_of_the_one_before() {
    let ports = [6881, 50_000];
    for gateway in [pcp as fn(&Gateway, &[u8]) -> _, natpmp] {
        let mut bench = Bench::with(gateway);
        bench.begin(way());
        bench.counts();
        bench.handle(Input::Ports(PORTS));
        assert_eq!(bench.counts(), [0; 3], "the same");
        bench.handle(Input::Ports(ports));
        assert_eq!((bench.mapping().tcp, bench.mapping().udp), (6881, Some(50_000)));
        let internal = |it: &Output| match it {
            Output::Send(packet) if packet[0] == 2 => Some([packet[40], packet[41]]),
            Output::Send(packet) if packet.len() == 12 => Some([packet[4], packet[5]]),
            _ => None,
        };
        let internals: Vec<_> = bench.heard.iter().filter_map(internal).collect();
        let internals: Vec<_> = internals.into_iter().map(u16::from_be_bytes).collect();
        assert_eq!(internals.iter().filter(|port| **port == 50_000).count(), 1);
        assert_eq!(ended(&mut bench).len(), 1, "the old one is given back");
        bench.handle(Input::Stop);
        assert_eq!(ended(&mut bench).len(), 2);
    }
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.router = |it, action| match *action {
        Action::Look { external, .. } => {
            Ok(Reply::Entry { client: Some(way().own), internal: external, lease_s: 3600 })
        }
        _ => router(it, action),
    };
    bench.begin(way());
    bench.pass(8);
    bench.orders();
    bench.handle(Input::Ports(ports));
    assert_eq!((bench.mapping().tcp, bench.mapping().udp), (6881, Some(50_000)));
    assert_eq!(bench.orders().iter().filter(|it| **it == "DeletePortMapping").count(), 1);
    // Before anything is there.
    let mut bench = Bench::with(pcp);
    bench.handle(Input::Way(Err("waits for tun0".to_owned())));
    bench.handle(Input::Ports(ports));
    bench.begin(way());
    assert_eq!((bench.mapping().udp, bench.counts()), (Some(50_000), [2, 0, 0]));
}

/// Its mappings are gone again.
#[test]
fn a_gateway_that_begins_anew_twice_in_a_minute_is_asked_twice() {
    let mut announce = [&[2, 128][..], &[0; 22]].concat();
    // As long as it says in its answers.
    announce[11] = 100;
    for gateway in [pcp as fn(&Gateway, &[u8]) -> _, natpmp] {
        let mut bench = Bench::with(gateway);
        bench.begin(way());
        bench.pass(600);
        bench.epoch = bench.now;
        bench.handle(Input::Announcement(&announce));
        bench.pass(30);
        bench.counts();
        bench.epoch = bench.now;
        bench.handle(Input::Announcement(&announce));
        bench.pass(31);
        let asked = bench.counts();
        assert!(asked[0] + asked[1] >= 2, "{asked:?}");
        assert_eq!(bench.mapper.resets(), 2);
        bench.pass(600);
        assert_eq!(bench.counts(), [0; 3], "once");
    }
}

/// What it granted before in the same round is lost.
#[test]
fn a_gateway_that_begins_anew_between_two_answers_is_asked_for_both() {
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    bench.pass(1799);
    bench.counts();
    bench.gateway = |it, asked| {
        let epoch_s = if asked[36] == 17 { 1 } else { it.epoch_s };
        pcp(&Gateway { epoch_s, ..*it }, asked)
    };
    bench.pass(2);
    assert_eq!(bench.counts(), [3, 0, 0]);
}

#[test]
fn the_end_waits_two_seconds_at_most() {
    let mut bench = Bench::with(pcp);
    bench.begin(way());
    bench.gateway = silent;
    bench.handle(Input::Stop);
    assert!(!bench.mapper.has_ended());
    bench.pass(2);
    assert!(bench.mapper.has_ended());
    // Whoever has nothing ends at once.
    let mut bench = Bench::new();
    bench.begin(way());
    bench.handle(Input::Stop);
    assert!(bench.mapper.has_ended());
    bench.begin(way());
    assert!(bench.mapper.has_ended(), "over is over");
}

#[test]
fn another_way_out_is_another_gateway() {
    let mut bench = Bench::with(pcp);
    bench.handle(Input::Way(Err("there is no IPv4 network".to_owned())));
    assert_eq!((bench.why().as_str(), bench.counts()), ("there is no IPv4 network", [0; 3]));
    bench.begin(way());
    bench.counts();
    bench.begin(way());
    assert_eq!(bench.counts(), [0; 3], "the same");
    let own = "192.168.1.8".parse().unwrap();
    bench.begin(Way { own, ..way() });
    assert_eq!(bench.counts(), [2, 0, 0]);
    bench.handle(Input::Way(Err("waits for tun0".to_owned())));
    assert_eq!(bench.mapper.state(), &State::Off("waits for tun0".to_owned()));
    assert_eq!(bench.mapper.next_timeout(), None);
}

#[test]
fn the_other_end_of_a_tunnel_is_no_router_of_a_home() {
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(Way { is_guess: true, ..way() });
    bench.pass(8);
    assert_eq!(bench.why(), "PCP: no answer; NAT-PMP: no answer");
}

#[test]
fn ipv6_is_let_in_by_pcp_or_a_pinhole() {
    let mut bench = Bench::with(pcp);
    bench.begin(way_v6());
    assert_eq!((bench.mapping().protocol, bench.mapping().address), (Protocol::Pcp, way_v6().own));
    let mut bench = Bench::with_router(Kind::Firewall, "WANIPv6FirewallControl");
    bench.begin(way_v6());
    bench.pass(4);
    let mapping = bench.mapping();
    assert_eq!((mapping.protocol, mapping.address), (Protocol::Upnp, way_v6().own));
    assert_eq!((mapping.tcp, mapping.udp), (6881, Some(6881)));
    assert_eq!(bench.orders(), ["AddPinhole"; 2], "NAT-PMP knows no IPv6");
    bench.pass(1800);
    assert_eq!(bench.orders(), ["UpdatePinhole"; 2]);
    bench.router = |it, action| match action {
        Action::UpdatePinhole { .. } => Err(Fault::Code(704)),
        action => router(it, action),
    };
    bench.pass(1800);
    let again = ["UpdatePinhole", "AddPinhole", "UpdatePinhole", "AddPinhole"];
    assert_eq!(bench.orders(), again, "it was switched off meanwhile");
    bench.handle(Input::Stop);
    assert_eq!(bench.orders(), ["DeletePinhole"; 2]);
    // A router that has no such service.
    let mut bench = Bench::with_router(Kind::Connection, "WANIPConnection");
    bench.begin(way_v6());
    bench.pass(4);
    assert_eq!(bench.why(), "PCP: no answer; UPnP: it opens no ports of this family");
}
