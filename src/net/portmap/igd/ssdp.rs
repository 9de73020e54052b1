//! SSDP: who here is a router (UPnP Device Architecture 1.1, 1.3)? Datagrams as bytes. Not here:
//! sockets, and whom to believe.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port of the groups, and of devices that are asked alone.
pub const SSDP_PORT: u16 = 1900;
/// The group of IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// The group of one cable.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
/// The longest answer that is read, in bytes; longer ones are cut.
pub const ANSWER_LEN_MAX: usize = 2048;

/// What is looked for. Not all routers know all names; none is asked for all devices, which would
/// have every lamp answer.
const TARGETS: [&str; 4] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// Headers looked at.
const HEADERS_MAX: usize = 64;

/// The questions for whoever is at `to`, who takes a second at most to answer.
pub fn questions(to: SocketAddr) -> impl Iterator<Item = Vec<u8>> {
    TARGETS.into_iter().map(move |target| {
        let mut host = to;
        // A scope means nothing to others.
        if let SocketAddr::V6(six) = &mut host {
            six.set_scope_id(0);
        }
        format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {host}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
             ST: {target}\r\n\r\n"
        )
        .into_bytes()
    })
}

/// Where the description of a router lies, if this is the answer of one.
pub fn location(answer: &[u8]) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).ok()?;
    // Many leave out the empty line at the end.
    if response.code != Some(200) || (parsed.is_partial() && response.headers.is_empty()) {
        return None;
    }
    let value = |name: &str| {
        let header = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let target = value("ST")?;
    let is_router = ["InternetGatewayDevice", "WANIPConnection", "WANPPPConnection"]
        .iter()
        .any(|name| target.contains(name));
    value("LOCATION").filter(|_| is_router).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_the_group_and_one_target() {
        let group = SocketAddr::from((GROUP_V4, SSDP_PORT));
        let asked: Vec<_> = questions(group).map(|it| String::from_utf8(it).unwrap()).collect();
        assert_eq!(
            asked[0],
            "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
             MX: 1\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
        );
        assert!(asked.iter().all(|it| !it.contains("ssdp:all")) && asked.len() == 4);
    }

    #[test]
    fn a_router_tells_where_its_description_lies_and_others_are_none() {
        let st = "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n";
        let answer =
            format!("HTTP/1.1 200 OK\r\n{st}Location:  http://192.168.1.1:5000/d.xml\r\n\r\n");
        let whole = location(answer.as_bytes());
        assert_eq!(whole.as_deref(), Some("http://192.168.1.1:5000/d.xml"));
        assert_eq!(location(answer.trim_end().as_bytes()), None, "cut within a line");
        let lamp = answer.replace("InternetGatewayDevice", "DimmableLight");
        assert_eq!(location(lamp.as_bytes()), None);
        assert_eq!(location(answer.replace("200 OK", "404 No").as_bytes()), None);
        let notify = answer.replace("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1");
        assert_eq!(location(notify.as_bytes()), None);
        assert_eq!(location(&[0xff; 40]), None);
    }
}
