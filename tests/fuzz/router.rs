//! What routers answer, with any bytes.

use std::net::IpAddr;

use pigeon::net::portmap::igd::description::{Kind, Service, place, services};
use pigeon::net::portmap::igd::soap::{Action, Reply};
use pigeon::net::portmap::igd::xml::XML_LEN_MAX;
use pigeon::net::portmap::igd::{http, ssdp};
use pigeon::net::portmap::{Transport, natpmp, pcp};

/// A packet of a gateway: an answer of at most one protocol, but for "I do not speak that".
pub fn gateway_packet(bytes: &[u8]) {
    let (pcp, natpmp) = (pcp::read(bytes), natpmp::read(bytes));
    let is_both = pcp.is_some() && natpmp.is_some();
    assert!(!is_both || pcp == Some(pcp::Answer::Unsupported), "{pcp:?} {natpmp:?}");
    assert!(bytes.len() >= 4 || !(pcp.is_some() || natpmp.is_some()));
    if let Some(url) = ssdp::location(bytes) {
        let gateway: IpAddr = [192, 168, 1, 1].into();
        if let Ok((port, path)) = place(&url, gateway) {
            assert!(port > 0 && url.contains("192.168.1.1"), "{url}");
            assert!(path.starts_with('/') && path.bytes().all(|it| it.is_ascii_graphic()));
        }
    }
}

/// An answer of a router over HTTP, its description, and its word to what it was told.
pub fn router_answer(bytes: &[u8]) {
    let (now, at_end) = (http::read(bytes, false), http::read(bytes, true));
    if let Ok(Some((_, body))) = &now {
        assert!(body.len() <= XML_LEN_MAX && at_end == now);
    }
    assert!(!matches!(at_end, Ok(None)), "nothing follows");
    let body = match at_end {
        Ok(Some((_, body))) => body,
        _ => bytes.to_vec(),
    };
    let gateway: IpAddr = [192, 168, 1, 1].into();
    for service in services(&body, "http://192.168.1.1:5000/desc.xml", gateway).unwrap_or_default()
    {
        let Service { kind, name, port, path } = &service;
        let plain = |text: &str| text.bytes().all(|it| it.is_ascii_graphic());
        assert!(*port > 0 && path.starts_with('/') && plain(path) && plain(name), "{service:?}");
        assert!(matches!(kind, Kind::Connection | Kind::Firewall));
        assert!(!Action::Address.header(&service).contains(['\r', '\n']));
    }
    let look = Action::Look { transport: Transport::Tcp, external: 1 };
    let own = [192, 168, 1, 7].into();
    let hole = Action::AddPinhole { transport: Transport::Udp, internal: 1, own, lease_s: 1 };
    for action in [Action::Address, look, hole] {
        if let (Action::Address, Ok(Reply::Address(Some(address)))) = (action, action.read(&body)) {
            assert!(!address.is_unspecified());
        }
    }
}
