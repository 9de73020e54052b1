//! How people write rates, sizes, durations and file ranges on the command line and in the
//! config file. Only reading; writing is `base::units`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytesize::ByteSize;

use crate::base::url::Url;
use crate::metainfo::magnet::Peer;
use crate::net::blocklist::Source;
use crate::net::egress::{Proxy, Remote};
use crate::session::Memory;

/// Where trackers listen, when they are called by their host alone.
const TRACKER_PORT: u16 = 6969;

/// Reads a rate in bytes per second: `500K`, `2MiB`, `1.5M/s`; `0`, `off` and `none` lift it.
///
/// # Errors
/// In words for people, when it is none of those.
pub fn rate(text: &str) -> Result<Rate, String> {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("off") || trimmed.eq_ignore_ascii_case("none") {
        return Ok(Rate(None));
    }
    let plain = trimmed.strip_suffix("/s").unwrap_or(trimmed);
    let bytes =
        size(plain).map_err(|_| "not a rate; write 500K, 2MiB, or 0 for none".to_owned())?;
    Ok(Rate((bytes > 0).then_some(bytes)))
}

/// A rate limit, bytes per second; none when lifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(pub Option<u64>);

/// Reads a ratio of bytes sent to bytes had: `1`, `2.5`; `inf` has no end.
///
/// # Errors
/// In words for people.
pub fn ratio(text: &str) -> Result<f64, String> {
    let parsed = text.trim().parse().ok().filter(|ratio: &f64| *ratio >= 0.0);
    parsed.ok_or_else(|| "not a ratio; write 1 or 2.5".to_owned())
}

/// Reads a size in bytes: `K`, `M`, `G` are powers of 1000, `KiB`, `MiB`, `GiB` of 1024.
///
/// # Errors
/// In words for people.
pub fn size(text: &str) -> Result<u64, String> {
    let parsed = text.trim().parse::<ByteSize>();
    parsed.map(|size| size.as_u64()).map_err(|_| "not a size; write 500K or 2MiB".to_owned())
}

/// Reads the memory that may be used, as [`size`] does.
///
/// # Errors
/// In words for people, when it is no size or too little to run with.
pub fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    match bytes >= Memory::MIN {
        true => Ok(bytes),
        false => Err(format!("too little to run with; at least {}MiB", Memory::MIN >> 20)),
    }
}

/// Reads a duration: `90`, `30s`, `4m 51s`, `2h`.
///
/// # Errors
/// In words for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed = humantime::parse_duration(text.trim());
    parsed.map_err(|_| "not a duration; write 30s, 5m or 2h".to_owned())
}

/// Where to listen: one address, or every address of both families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// The address; none for all.
    pub ip: Option<IpAddr>,
    /// The port; 0 is any.
    pub port: u16,
}

/// Reads `127.0.0.1:6969`, `[::1]:6969` or `6969`.
///
/// # Errors
/// In words for people.
pub fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.trim().parse() {
        return Ok(Listen { ip: None, port });
    }
    let address: Result<SocketAddr, _> = text.trim().parse();
    let address = address.map_err(|_| "not an address; write 127.0.0.1:6969 or 6969".to_owned())?;
    Ok(Listen { ip: Some(address.ip()), port: address.port() })
}

/// Reads `127.0.0.1:6880`, or a port alone, which is one of this machine: what may be ordered
/// there is not for a whole network by leaving something out.
///
/// # Errors
/// In words for people, when it is neither.
pub fn door(text: &str) -> Result<Listen, String> {
    let Listen { ip, port } = listen(text)?;
    Ok(Listen { ip: ip.or(Some(Ipv4Addr::LOCALHOST.into())), port })
}

/// Reads `127.0.0.1:8000` or `localhost:8000`; names are resolved when they are needed.
///
/// # Errors
/// In words for people, when it is none of those.
pub fn place(text: &str) -> Result<Remote, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddrV4>() {
        return Ok(SocketAddr::from(address).into());
    }
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match split {
        Some((host, port)) if !host.is_empty() && !host.contains([':', '[', ' ']) => {
            Ok(Remote::of(host, port))
        }
        _ => Err("not an address; write 127.0.0.1:8000".to_owned()),
    }
}

/// Reads the name of a network device.
///
/// # Errors
/// In words for people.
pub fn device(text: &str) -> Result<String, String> {
    let text = text.trim();
    // IFNAMSIZ, with the zero at the end.
    let is_name = (1..16).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:".contains(&byte));
    match is_name {
        true => Ok(text.to_owned()),
        false => Err("not a network device; write tun0, as `ip link` names it".to_owned()),
    }
}

/// Reads `socks5://HOST:PORT` and the like.
///
/// # Errors
/// In words for people.
pub fn proxy(text: &str) -> Result<Proxy, String> {
    text.parse().map_err(str::to_owned)
}

/// Reads where a name server is: an address, with a port or without.
///
/// # Errors
/// In words for people.
pub fn name_server(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let alone = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    let address = alone.or_else(|_| text.parse());
    address.map_err(|_| "not an address; write 10.8.0.1 or 10.8.0.1:53".to_owned())
}

/// Reads where a tracker is asked, as a URL. Of a host alone, and of a URL without a path, the
/// rest is what trackers have: `10.0.0.2` is `http://10.0.0.2:6969/announce`. A word that may be
/// anything is no host.
///
/// # Errors
/// In words for people.
pub fn tracker(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = match (text.contains("://"), text.contains(':')) {
        (true, _) => text.to_owned(),
        (false, true) => format!("http://{text}"),
        (false, false) => format!("http://{text}:{TRACKER_PORT}"),
    };
    let (scheme, place) = url.split_once("://").unwrap_or_default();
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let is_word = !text.contains(['.', ':']) && !text.eq_ignore_ascii_case("localhost");
    // Who is asked by datagrams is named as others are.
    let is_somewhere = Url::parse(&format!("http://{place}")).is_some();
    if is_word || !is_somewhere || !(is_http || scheme.eq_ignore_ascii_case("udp")) {
        return Err("not a tracker; write http://, https:// or udp://, and its address".to_owned());
    }
    let host = place.strip_suffix('/').unwrap_or(place);
    let has_path = host.contains(['/', '?', '#']);
    Ok(if is_http && !has_path { format!("{scheme}://{host}/announce") } else { url })
}

/// Reads the URL of a server of files.
///
/// # Errors
/// In words for people.
pub fn web_seed(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = Url::parse(text).ok_or_else(|| "not a URL of http or https".to_owned());
    url.map(|_| text.to_owned())
}

/// Reads where a node of the DHT is: `router.example.org:6881`, or nothing for none.
///
/// # Errors
/// In words for people.
pub fn node(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_node = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_bare_v6 = host.contains(':') && !host.starts_with('[');
        !host.is_empty() && !is_bare_v6 && is_port(port)
    });
    match text.is_empty() || is_node {
        true => Ok(text.to_owned()),
        false => Err("not a node; write router.example.org:6881, or '' for none".to_owned()),
    }
}

/// Reads where a node of the DHT is that is to be asked, which must be somewhere.
///
/// # Errors
/// In words for people.
pub fn node_to_ask(text: &str) -> Result<String, String> {
    let named = node(text).ok().filter(|node| !node.is_empty());
    named.ok_or_else(|| "not a node; write 192.0.2.1:6881 or router.example.org:6881".to_owned())
}

/// Reads a peer's address: `192.0.2.1:6881`, `[2001:db8::1]:6881`.
///
/// # Errors
/// In words for people.
pub fn peer(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.trim().parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    parsed.ok_or_else(|| {
        "not an address with a port; write 192.0.2.1:6881 or [2001:db8::1]:6881, no names"
            .to_owned()
    })
}

/// Reads a peer as magnet links name it: as [`peer`], or `host.example:6881`.
///
/// # Errors
/// In words for people.
pub fn link_peer(text: &str) -> Result<Peer, String> {
    let parsed = Peer::parse(text.trim());
    parsed.ok_or_else(|| {
        "not a peer; write 192.0.2.1:6881, [2001:db8::1]:6881 or host.example:6881".to_owned()
    })
}

/// File numbers as `info --files` lists them, from 1: ranges, both ends included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges(Vec<(u32, u32)>);

/// Where a blocklist comes from: a file, or the URL of one.
///
/// # Errors
/// In words for people.
pub fn blocklist(text: &str) -> Result<Source, String> {
    Source::parse(text).map_err(|error| error.to_string())
}

/// Reads `1-3,5`; an open end as in `7-` means to the last, and `all` means all.
///
/// # Errors
/// In words for people.
pub fn ranges(text: &str) -> Result<Ranges, String> {
    if text.trim() == "all" {
        return Ok(Ranges(vec![(1, u32::MAX)]));
    }
    let mut read = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = match part.split_once('-') {
            Some((first, "")) => (number(first, text)?, u32::MAX),
            Some((first, last)) => (number(first, text)?, number(last, text)?),
            None => {
                let only = number(part, text)?;
                (only, only)
            }
        };
        if first > last {
            return Err(format!("{part} counts backwards"));
        }
        read.push((first, last));
    }
    Ok(Ranges(read))
}

fn number(text: &str, whole: &str) -> Result<u32, String> {
    let parsed = text.trim().parse().ok().filter(|number| *number > 0);
    let whole = super::escape::escape(whole);
    parsed.ok_or_else(|| format!("{whole:?} is not a list of file numbers like 1-3,5"))
}

impl Ranges {
    /// Is file number `number` (from 1) among them?
    pub fn contains(&self, number: u32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// First and last number of each, from 1; the largest number stands for the last file.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    /// Are they all files, of any torrent?
    pub fn is_all(&self) -> bool {
        self.0.contains(&(1, u32::MAX))
    }

    /// The first number that is beyond `count` files.
    pub fn beyond(&self, count: u32) -> Option<u32> {
        let named =
            self.0.iter().map(|(first, last)| if *last == u32::MAX { *first } else { *last });
        named.filter(|number| *number > count).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_si_unless_they_say_iec() {
        assert_eq!(rate("500K"), Ok(Rate(Some(500_000))));
        assert_eq!(rate("2MiB"), Ok(Rate(Some(2 << 20))));
        assert_eq!(rate("1.5M/s"), Ok(Rate(Some(1_500_000))));
        assert_eq!(rate("0"), Ok(Rate(None)));
        assert_eq!(rate("off"), Ok(Rate(None)));
        assert_eq!(rate("fast"), Err("not a rate; write 500K, 2MiB, or 0 for none".to_owned()));
        assert!(rate("-1").is_err());
    }

    #[test]
    fn memory_is_enough_to_run_with() {
        assert_eq!((memory("48MiB"), memory("8MiB")), (Ok(48 << 20), Ok(8 << 20)));
        for little in ["0", "8M", "7.9MiB"] {
            assert_eq!(memory(little), Err("too little to run with; at least 8MiB".to_owned()));
        }
        for bad in ["-1", "much", "", "48MiB/s"] {
            assert_eq!(memory(bad), Err("not a size; write 500K or 2MiB".to_owned()), "{bad}");
        }
    }

    #[test]
    fn ratios_are_not_negative() {
        assert_eq!((ratio("2.5"), ratio("0")), (Ok(2.5), Ok(0.0)));
        assert!(ratio("inf").is_ok_and(f64::is_infinite));
        for bad in ["-1", "NaN", "twice", ""] {
            assert_eq!(ratio(bad), Err("not a ratio; write 1 or 2.5".to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn durations_are_seconds_unless_they_say_more() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("4m 51s"), Ok(Duration::from_secs(291)));
        assert_eq!(duration("soon"), Err("not a duration; write 30s, 5m or 2h".to_owned()));
    }

    #[test]
    fn a_port_alone_listens_everywhere_but_where_orders_come_in() {
        assert_eq!(listen("6969"), Ok(Listen { ip: None, port: 6969 }));
        let here = Ok(Listen { ip: Some(Ipv4Addr::LOCALHOST.into()), port: 6880 });
        assert_eq!((door("6880"), door("127.0.0.1:6880")), (here.clone(), here));
        let six = Listen { ip: Some("::1".parse().unwrap()), port: 0 };
        assert_eq!(listen("[::1]:0"), Ok(six));
        for bad in ["", "localhost:1", "1.2.3.4", "70000", "::1"] {
            assert!(listen(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn trackers_are_asked_where_they_answer() {
        for (text, url) in [
            ("http://10.0.0.2:6969", "http://10.0.0.2:6969/announce"),
            ("HTTPS://lab.example/", "HTTPS://lab.example/announce"),
            ("http://lab.example/x", "http://lab.example/x"),
            ("http://lab.example?key=1", "http://lab.example?key=1"),
            ("udp://10.0.0.2:6969", "udp://10.0.0.2:6969"),
            ("localhost:7000", "http://localhost:7000/announce"),
            ("10.0.0.2", "http://10.0.0.2:6969/announce"),
        ] {
            assert_eq!(tracker(text).as_deref(), Ok(url));
        }
        for host in ["localhost", "lab.example", "lab:6969", "http://lab", "udp://lab:6969"] {
            assert!(tracker(host).is_ok(), "{host}");
        }
        for bad in [
            "",
            "http://",
            "ftp://x/announce",
            "magnet:?x=://y",
            "notaurl",
            "not a url",
            "lab:port",
            "http://a b/announce",
            "http://lab:0/",
            "udp://",
            "udp://:6969",
            "https:///announce",
        ] {
            assert!(tracker(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn peers_have_an_address_and_a_port() {
        assert_eq!(peer("[::1]:5"), Ok("[::1]:5".parse().unwrap()));
        for bad in ["localhost", "localhost:5", "127.0.0.1", "::1", "127.0.0.1:0", ""] {
            assert!(peer(bad).is_err_and(|why| why.contains("192.0.2.1:6881")), "{bad:?}");
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        let read = ranges("1-3, 5").unwrap();
        let chosen: Vec<u32> = (1..8).filter(|number| read.contains(*number)).collect();
        assert_eq!(chosen, [1, 2, 3, 5]);
        assert_eq!((read.beyond(5), read.beyond(4)), (None, Some(5)));
        assert_eq!(ranges("7-").unwrap().beyond(6), Some(7));
        assert_eq!(ranges("3-1"), Err("3-1 counts backwards".to_owned()));
        for bad in ["", "0", "1,,2", "a", "-3", "99999999999"] {
            assert!(ranges(bad).is_err(), "{bad:?}");
        }
    }
}
