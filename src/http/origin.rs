//! What a browser says of itself, and no script can change: for which name it came here (`Host`)
//! and on behalf of which page (`Origin`). A page of a stranger may have any browser ask us, and
//! a name of his may lead to this machine (DNS rebinding, CVE-2018-5702). Who is no browser says
//! what he likes, or nothing: these rules replace no token.
//! Source: RFC 6454, RFC 9110 section 7.2.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

use crate::base::addr::{Locality, without_brackets};

/// Whether a request comes from a web page that is not one of ours.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && !is_same_origin(only(headers, ORIGIN), only(headers, HOST))
}

/// Whether a request may have come here by no name but those that nobody else can point here:
/// `localhost`, addresses of this machine's loopback, and `allowed`, which are names or addresses
/// without ports. No browser leaves out `Host`, so who does so may.
pub fn is_for_us(headers: &HeaderMap, allowed: &[String]) -> bool {
    !headers.contains_key(HOST) || only(headers, HOST).is_some_and(|host| is_ours(host, allowed))
}

/// Whether a request names an address instead of a name. No name of a stranger leads here by one,
/// and a page that has one in its address bar came from there: [`is_foreign`] tells it apart.
pub fn is_by_address(headers: &HeaderMap) -> bool {
    only(headers, HOST).is_some_and(|host| bare(host).parse::<IpAddr>().is_ok())
}

/// The text of a header that is there once. More of them mean whatever their reader likes.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn is_same_origin(origin: Option<&str>, host: Option<&str>) -> bool {
    let named = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    named.zip(host).is_some_and(|(named, host)| named.eq_ignore_ascii_case(host))
}

/// A host without its port and brackets.
fn bare(host: &str) -> &str {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    without_brackets(bare)
}

fn is_ours(host: &str, allowed: &[String]) -> bool {
    let bare = bare(host);
    let address: Option<IpAddr> = bare.parse().ok();
    // An address may be written in several ways.
    let is_it = |name: &String| match address {
        Some(address) => without_brackets(name).parse() == Ok(address),
        None => name.eq_ignore_ascii_case(bare),
    };
    let is_loopback = address.map(Locality::of) == Some(Locality::Loopback);
    // An empty name is nobody's, even if a list has one.
    !bare.is_empty()
        && (is_loopback || bare.eq_ignore_ascii_case("localhost") || allowed.iter().any(is_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as they come, each with its value.
    fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
        let value = |bytes: &&[u8]| axum::http::HeaderValue::from_bytes(bytes).unwrap();
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, bytes)| _ = headers.append(name, value(bytes)));
        headers
    }

    fn for_us(host: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        is_for_us(&headers(&[(HOST, host.as_bytes())]), &allowed)
    }

    #[test]
    fn only_hosts_that_nobody_can_point_here_are_this_machine() {
        for host in
            ["localhost", "LOCALHOST:80", "localhost:", "127.0.0.1:6969", "[::1]:6969", "127.9.9.9"]
        {
            assert!(for_us(host, &[]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "localhost:80:80",
            "localhost:x",
            "localhost.",
            "",
            ":80",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
        ] {
            assert!(!for_us(host, &[]), "{host}");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        let by_address = |host: &str| is_by_address(&headers(&[(HOST, host.as_bytes())]));
        for host in ["10.0.0.1", "10.0.0.1:6880", "[fd00::6]:6880", "[::1]"] {
            assert!(by_address(host), "{host}");
        }
        for host in ["evil.example", "10.0.0.1.evil.example", "10.0.0.1:x", "1", "0x7f.1", ""] {
            assert!(!by_address(host), "{host}");
        }
        let twice = headers(&[(HOST, b"10.0.0.1"), (HOST, b"evil.example")]);
        assert!(!is_by_address(&twice) && !is_by_address(&HeaderMap::new()));
    }

    #[test]
    fn names_that_are_allowed_are_ours_and_no_others() {
        let allowed = ["seedbox.lan", "10.0.0.5", "fd00::5", ""];
        for host in
            ["seedbox.lan:9091", "SEEDBOX.lan", "10.0.0.5:9091", "[fd00:0::5]:9091", "localhost"]
        {
            assert!(for_us(host, &allowed), "{host}");
        }
        for host in
            ["a.seedbox.lan", "seedbox.lan.evil.example", "seedbox", "10.0.0.55", "[fd00::6]", ""]
        {
            assert!(!for_us(host, &allowed), "{host}");
        }
    }

    #[test]
    fn a_host_is_said_once_or_not_at_all() {
        assert!(is_for_us(&HeaderMap::new(), &[]), "no browser");
        let twice = headers(&[(HOST, b"localhost"), (HOST, b"evil.example")]);
        assert!(!is_for_us(&twice, &[]));
        assert!(!is_for_us(&headers(&[(HOST, b"localhost\xff")]), &[]), "no text");
    }

    #[test]
    fn an_origin_is_that_of_the_host_or_another() {
        let from = |origin: &str, host: &str| {
            is_foreign(&headers(&[(ORIGIN, origin.as_bytes()), (HOST, host.as_bytes())]))
        };
        assert!(!from("http://127.0.0.1:6969", "127.0.0.1:6969"));
        assert!(!from("https://Seedbox.lan", "seedbox.lan"), "behind a proxy that speaks TLS");
        for origin in ["null", "http://evil.example", "http://127.0.0.1", "file://", ""] {
            assert!(from(origin, "127.0.0.1:6969"), "{origin}");
        }
        assert!(is_foreign(&headers(&[(ORIGIN, b"http://a")])), "no host");
        assert!(!is_foreign(&headers(&[(HOST, b"a")])), "no page");
        let own = b"http://a".as_slice();
        let pages = headers(&[(ORIGIN, own), (ORIGIN, b"http://b"), (HOST, b"a")]);
        assert!(is_foreign(&pages), "two pages");
        assert!(is_foreign(&headers(&[(ORIGIN, own), (HOST, b"a"), (HOST, b"b")])), "two hosts");
        assert!(is_foreign(&headers(&[(ORIGIN, b"\xff"), (HOST, b"a")])), "no text");
    }
}
