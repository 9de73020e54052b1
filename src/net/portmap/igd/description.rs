//! What a router says of itself (UPnP Device Architecture 1.1, 2.3): the services by which ports
//! are opened, and where they are spoken to, which has to be at the router itself. Not here: how
//! that is fetched.

use std::net::IpAddr;

use super::xml;
use crate::base::addr::without_brackets;

/// Services looked at.
const SERVICES_MAX: usize = 16;
/// Bytes of a path or of a service's name.
const NAME_LEN_MAX: usize = 512;

/// What a service does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Maps ports of IPv4: WANIPConnection and WANPPPConnection.
    Connection,
    /// Lets IPv6 in: WANIPv6FirewallControl.
    Firewall,
}

/// A service. Its name and its place belong together: a router may have several, of which one is
/// connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// What it does.
    pub kind: Kind,
    /// Its name: `urn:schemas-upnp-org:service:WANIPConnection:1`.
    pub name: String,
    /// The port of the router where it is spoken to.
    pub port: u16,
    /// The path there.
    pub path: String,
}

/// Why a router's word is of no use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0}")]
    Xml(#[from] xml::Error),
    /// A URL of it leads to somebody else.
    #[error("it sends us to another address")]
    Elsewhere,
    /// It opens no ports.
    #[error("it opens no ports for others")]
    NoService,
}

/// The port and path of a URL that a router names, if they are at the router itself. Over IPv6 a
/// router has several addresses; the port is used at the one that packets go through, whatever
/// the URL says.
///
/// # Errors
/// `Elsewhere`.
pub fn place(url: &str, gateway: IpAddr) -> Result<(u16, String), Error> {
    let scheme = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and_then(|_| url.get(7..)).ok_or(Error::Elsewhere)?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, Some(80)),
    };
    let bare = without_brackets(host);
    let bare = bare.split('%').next().unwrap_or(bare);
    let is_there = match bare.parse::<IpAddr>() {
        Ok(address) => address == gateway || (gateway.is_ipv6() && address.is_ipv6()),
        Err(_) => false,
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_plain = path.len() <= NAME_LEN_MAX && path.bytes().all(|it| it.is_ascii_graphic());
    match port.filter(|port| *port > 0) {
        Some(port) if is_there && is_plain => Ok((port, path)),
        _ => Err(Error::Elsewhere),
    }
}

/// The services of a description that was fetched from `base`, the ones to be tried first before
/// the others.
///
/// # Errors
/// When it cannot be read, leads elsewhere, or has none.
pub fn services(bytes: &[u8], base: &str, gateway: IpAddr) -> Result<Vec<Service>, Error> {
    let mut found: Vec<(Kind, String, String)> = Vec::new();
    let (mut name, mut url, mut base) = (String::new(), String::new(), base.to_owned());
    xml::read(bytes, |path, text| match path {
        [.., service, own] if service == "service" => match own.as_str() {
            "serviceType" => name = text.to_owned(),
            "controlURL" => url = text.to_owned(),
            _ => {}
        },
        [.., own] if own == "service" => {
            let (name, url) = (std::mem::take(&mut name), std::mem::take(&mut url));
            if let Some(kind) = kind_of(&name)
                && found.len() < SERVICES_MAX
            {
                found.push((kind, name, url));
            }
        }
        [_, own] if own == "URLBase" && !text.is_empty() => base = text.to_owned(),
        _ => {}
    })?;
    let mut leads_elsewhere = false;
    let mut services = Vec::new();
    for (kind, name, url) in found {
        match place(&joined(&base, &url), gateway) {
            Ok((port, path)) => services.push(Service { kind, name, port, path }),
            Err(_) => leads_elsewhere = true,
        }
    }
    // Later versions first; PPP is mostly there though nothing is connected by it.
    services.sort_by_key(|it| (it.name.contains("PPP"), std::cmp::Reverse(version_of(&it.name))));
    match (services.is_empty(), leads_elsewhere) {
        (false, _) => Ok(services),
        (true, true) => Err(Error::Elsewhere),
        (true, false) => Err(Error::NoService),
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    let is_plain = name.bytes().all(|it| it.is_ascii_alphanumeric() || b":-_.".contains(&it));
    if !is_plain || name.len() > NAME_LEN_MAX {
        return None;
    }
    let mut parts = name.rsplit(':').skip(1);
    match parts.next()? {
        "WANIPConnection" | "WANPPPConnection" => Some(Kind::Connection),
        "WANIPv6FirewallControl" => Some(Kind::Firewall),
        _ => None,
    }
}

fn version_of(name: &str) -> u32 {
    name.rsplit(':').next().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// A URL, or a path at the same host as `base`.
fn joined(base: &str, url: &str) -> String {
    // Whatever its scheme is.
    if url.contains("://") {
        return url.to_owned();
    }
    let host_end = base.get(7..).and_then(|it| it.find('/')).map_or(base.len(), |at| at + 7);
    let host = base.get(..host_end).unwrap_or(base);
    match url.strip_prefix('/') {
        Some(path) => format!("{host}/{path}"),
        None => {
            let folder = base.rfind('/').filter(|at| *at >= host_end).unwrap_or(host_end);
            format!("{}/{url}", base.get(..folder).unwrap_or(host))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://192.168.1.1:5000/igd/desc.xml";

    fn gateway() -> IpAddr {
        "192.168.1.1".parse().unwrap()
    }

    fn described(more: &str, services: &[(&str, &str)]) -> String {
        let list: String = services
            .iter()
            .map(|(name, url)| {
                format!(
                    "<service><serviceType>urn:schemas-upnp-org:service:{name}</serviceType>\
                     <controlURL>{url}</controlURL></service>"
                )
            })
            .collect();
        format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">{more}\
             <device><deviceList><device><serviceList>{list}</serviceList></device></deviceList>\
             </device></root>"
        )
    }

    fn read(more: &str, list: &[(&str, &str)]) -> Result<Vec<Service>, Error> {
        services(described(more, list).as_bytes(), BASE, gateway())
    }

    #[test]
    fn services_keep_their_name_and_place_together() {
        let list = [
            ("Layer3Forwarding:1", "/l3f"),
            ("WANPPPConnection:1", "/ppp"),
            ("WANIPConnection:1", "/ip1"),
            ("WANIPConnection:2", "http://192.168.1.1:6000/ip2"),
            ("WANIPv6FirewallControl:1", "six"),
        ];
        let found = read("", &list).unwrap();
        let short = |it: &Service| format!("{} {}{}", &it.name[29..], it.port, it.path);
        assert_eq!(
            found.iter().map(short).collect::<Vec<_>>(),
            [
                "WANIPConnection:2 6000/ip2",
                "WANIPConnection:1 5000/ip1",
                "WANIPv6FirewallControl:1 5000/igd/six",
                "WANPPPConnection:1 5000/ppp",
            ]
        );
        assert_eq!(found[2].kind, Kind::Firewall);
        let based = read("<URLBase>http://192.168.1.1:7000</URLBase>", &list[2..3]).unwrap();
        assert_eq!((based[0].port, based[0].path.as_str()), (7000, "/ip1"));
    }

    #[test]
    fn whoever_sends_us_elsewhere_is_not_followed() {
        let ip = "WANIPConnection:1";
        for url in [
            "http://192.168.1.2/c",
            "http://203.0.113.1:80/c",
            "http://router.example/c",
            "https://192.168.1.1/c",
            "http://192.168.1.1:0/c",
            "http://192.168.1.1:99999/c",
            "http://192.168.1.1@203.0.113.1/c",
            "http://192.168.1.1/a b",
        ] {
            assert_eq!(read("", &[(ip, url)]), Err(Error::Elsewhere), "{url}");
        }
        let base = "<URLBase>http://203.0.113.1/</URLBase>";
        assert_eq!(read(base, &[(ip, "/c")]), Err(Error::Elsewhere));
        assert_eq!(read("", &[("Lamp:1", "/c")]), Err(Error::NoService));
        assert!(matches!(services(b"<a>", BASE, gateway()), Err(Error::Xml(_))));
        // A line break in a name would be one more header of ours.
        assert_eq!(read("", &[("a\r\nX: y:WANIPConnection:1", "/c")]), Err(Error::NoService));
    }

    #[test]
    fn over_ipv6_only_the_port_counts() {
        let gateway = "fe80::1".parse().unwrap();
        assert_eq!(place("http://[2001:db8::1]:5000/d", gateway), Ok((5000, "/d".to_owned())));
        assert_eq!(place("http://[fe80::1%25eth0]/d", gateway), Ok((80, "/d".to_owned())));
        assert_eq!(place("http://192.168.1.1:5000/d", gateway), Err(Error::Elsewhere));
    }
}
