//! URLs of http and https as they are asked (RFC 3986, as far as it is needed): read from
//! strangers, joined with redirects, told without their secrets. What is percent-encoded stays as
//! it is written, since `%2F` and `/` are two things to a server; what may not stand in a URL is
//! encoded. Not here: which URL a file has, and what address a host has.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest URL that is taken from strangers, in bytes: what servers commonly take.
pub const URL_LEN_MAX: usize = 8192;
/// The longest host name (RFC 1035).
const HOST_LEN_MAX: usize = 253;

/// A URL of http or https, without a fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    origin: Origin,
    /// What stands before the `@`, as it is written.
    userinfo: Option<String>,
    /// Path and query; begins with `/`.
    target: String,
}

/// Whom a connection leads to: scheme, host and port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
    is_tls: bool,
}

/// Who is spared too many connections at a time: a host under its usual ports is one, be it asked
/// by http or by https; another port may be another server.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Site {
    host: String,
    port: Option<u16>,
}

impl Url {
    /// Reads a URL, with or without what must be encoded in it; none when it is no URL of http or
    /// https, has no host that could be asked, or is longer than [`URL_LEN_MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        let text = written(text.as_bytes())?;
        let (is_tls, rest) = split_scheme(&text)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };
        let origin = Origin::parse(is_tls, host)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Some(Self { origin, userinfo, target: format!("{slash}{target}") })
    }

    /// Where a connection has to lead.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the request line asks for: path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path alone; begins with `/`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// What stands behind the `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// `user:password` for an `Authorization: Basic` of RFC 7617, decoded; of this origin only.
    pub fn credentials(&self) -> Option<Vec<u8>> {
        let userinfo = self.userinfo.as_deref().filter(|userinfo| !userinfo.is_empty())?;
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let decoded = |text: &str| urlencoding::decode_binary(text.as_bytes()).into_owned();
        Some([decoded(user), vec![b':'], decoded(password)].concat())
    }

    /// The same place at this origin with another path and query, which begin with `/`.
    pub fn at(&self, target: String) -> Self {
        Self { target, ..self.clone() }
    }

    /// The URL that a `Location` of an answer means, which was asked at this one (RFC 3986 §5.2).
    /// What a URL says of its user goes nowhere but to its own origin.
    pub fn join(&self, location: &[u8]) -> Option<Self> {
        let location = escaped(location.trim_ascii());
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.origin.is_tls { "https" } else { "http" };
        if has_scheme(location) {
            return Some(Self::parse(location)?.with_user_of(self));
        }
        if location.starts_with("//") {
            return Some(Self::parse(&format!("{scheme}:{location}"))?.with_user_of(self));
        }
        let target = match location.chars().next() {
            None => self.target.clone(),
            Some('?') => format!("{}{location}", self.path()),
            Some('/') => without_dots(location),
            Some(_) => {
                let folder = self.path().rfind('/').map_or("/", |end| &self.path()[..=end]);
                without_dots(&format!("{folder}{location}"))
            }
        };
        (target.len() <= URL_LEN_MAX).then(|| self.at(target))
    }

    fn with_user_of(mut self, other: &Self) -> Self {
        if self.userinfo.is_none() && self.origin == other.origin {
            self.userinfo.clone_from(&other.userinfo);
        }
        self
    }
}

/// Without user, password and query, any of which may be a secret; to be escaped for a terminal
/// no more, since all odd bytes in it are encoded.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query().is_some() { "?..." } else { "" };
        write!(f, "{}{}{query}", self.origin, self.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Origin {
    fn parse(is_tls: bool, text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (text, ""),
        };
        let usual = usual_port(is_tls);
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            "" => usual,
            _ => port.parse().ok().filter(|port| *port != 0 && is_number)?,
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => format!("[{}]", rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
            None => plain_host(host)?,
        };
        Some(Self { host, port, is_tls })
    }

    /// The host in small letters; an address of IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// What a `Host` header says: the port only where it is not the usual one.
    pub fn authority(&self) -> String {
        match self.port == usual_port(self.is_tls) {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whose patience its connections take.
    pub fn site(&self) -> Site {
        let is_usual = self.port == usual_port(self.is_tls);
        let host = self.host.strip_suffix('.').unwrap_or(&self.host).to_owned();
        Site { host, port: (!is_usual).then_some(self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// The host of a URL of any kind, as it is written; nothing where there is none.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let there = authority.rsplit_once('@').map_or(authority, |(_, there)| there);
    match there.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => there.split(':').next().unwrap_or_default(),
    }
}

/// Is it this host, or one of its domain?
pub fn is_on(host: &str, domain: &str) -> bool {
    let (name, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name == domain || name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// A stranger's URL of http or https as it can be kept and asked: trimmed, its fragment cut, and
/// what may not stand in a URL encoded, nothing else touched. None when it is no such URL, has no
/// host, or is longer than [`URL_LEN_MAX`].
pub fn written(url: &[u8]) -> Option<String> {
    let url = url.trim_ascii();
    let url = url.split(|byte| *byte == b'#').next().unwrap_or_default();
    if url.len() > URL_LEN_MAX {
        return None;
    }
    let url = escaped(url);
    let (is_tls, rest) = split_scheme(&url)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Origin::parse(is_tls, host)?;
    (url.len() <= URL_LEN_MAX).then_some(url)
}

/// Appends bytes so that they are one element of a path: all but unreserved characters encoded
/// (RFC 3986 §2.3), in capitals, since a cache takes `%c3` and `%C3` for two.
pub fn push_element(url: &mut String, element: &[u8]) {
    for byte in element {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(*byte));
            }
            _ => push_encoded(url, *byte),
        }
    }
}

/// What may not stand in a URL encoded, the rest as it is.
fn escaped(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len());
    for byte in url {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                push_encoded(&mut text, *byte);
            }
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => push_encoded(&mut text, *byte),
        }
    }
    text
}

fn push_encoded(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    text.push(DIGITS[usize::from(byte >> 4)]);
    text.push(DIGITS[usize::from(byte & 15)]);
}

/// Whether it is one of TLS, and what stands behind `http://` or `https://`.
fn split_scheme(url: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some((false, rest)),
        _ if scheme.eq_ignore_ascii_case("https") => Some((true, rest)),
        _ => None,
    }
}

/// Whether a reference begins with a scheme, of any kind (RFC 3986 §3.1).
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

fn plain_host(host: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_host = (1..=HOST_LEN_MAX).contains(&host.len()) && host.bytes().all(plain);
    is_host.then(|| host.to_ascii_lowercase())
}

/// A path and query whose elements `.` and `..` are resolved (RFC 3986 §5.2.4).
fn without_dots(target: &str) -> String {
    let end = target.find('?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let mut kept: Vec<&str> = Vec::new();
    let mut elements = path.split('/').skip(1).peekable();
    while let Some(element) = elements.next() {
        let is_last = elements.peek().is_none();
        match element {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(element),
        }
        if is_last && matches!(element, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let full = url(" HTTPS://me:p%40ss@Mirror.Example:8443/a%2Fb/c?d=/#e ");
        let origin = full.origin();
        assert_eq!((origin.host(), origin.port(), origin.is_tls()), ("mirror.example", 8443, true));
        assert_eq!((full.target(), full.path()), ("/a%2Fb/c?d=/", "/a%2Fb/c"));
        assert_eq!((full.query(), full.credentials()), (Some("d=/"), Some(b"me:p@ss".to_vec())));
        assert_eq!(url("http://h").target(), "/");
        assert_eq!(url("http://h?x").target(), "/?x");
        assert_eq!(url("http://h:/x").origin().authority(), "h");
        assert_eq!(url("http://[2001:DB8::1]:81/").origin().authority(), "[2001:db8::1]:81");
        assert_eq!(url("http://me@h/").credentials(), Some(b"me:".to_vec()));
        assert_eq!((url("http://@h/").credentials(), url("http://h/").credentials()), (None, None));
    }

    #[test]
    fn what_is_no_url_of_http_is_none() {
        let long = format!("http://h/{}", "x".repeat(URL_LEN_MAX));
        for text in [
            "",
            "http:/h",
            "http://",
            "http:///x",
            "ftp://h/",
            "file:///etc/passwd",
            "//h/x",
            "http://h:0/",
            "http://h:65536/",
            "http://h:+80/",
            "http://h:8a/",
            "http://[::1/",
            "http://[::1%25eth0]/",
            "http://a b/",
            "http://a%20b/",
            "http://h\u{e9}/",
            &long,
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
            assert_eq!(written(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_may_not_stand_in_it_is_encoded_and_nothing_else() {
        let written = |bytes: &[u8]| written(bytes).unwrap();
        assert_eq!(
            written(b"\thttp://h/a b\"<>\\^`{|}\x7f\xc3\xa9\n"),
            "http://h/a%20b%22%3C%3E%5C\
            %5E%60%7B%7C%7D%7F%C3%A9"
        );
        assert_eq!(written(b"http://h/a\r\nHost: x"), "http://h/a%0D%0AHost:%20x");
        let kept = "http://h/%2F%c3%zz/+[];:@&=!$'(),*~?a=b?c";
        assert_eq!(written(kept.as_bytes()), kept);
        assert_eq!(written(b"http://u:p@h/x#y?z"), "http://u:p@h/x");
    }

    #[test]
    fn a_site_is_a_host_whatever_the_scheme() {
        let site = |text: &str| url(text).origin().site();
        assert_eq!(site("http://M.example"), site("https://m.example./x/"));
        assert_eq!(site("http://m:8080/").to_string(), "m:8080");
        assert_ne!(site("http://m:8080/"), site("http://m/"));
        assert_ne!(url("http://m/").origin(), url("https://m/").origin());
    }

    #[test]
    fn nothing_secret_is_told() {
        let told = url("https://me:secret@h:444/a%1Bb?token=secret");
        assert_eq!(told.to_string(), "https://h:444/a%1Bb?...");
        assert_eq!(format!("{told:?}"), told.to_string());
    }

    // RFC 3986 §5.4 with its base, as far as a redirect to http can be of that form.
    #[test]
    fn references_are_joined_as_the_rfc_shows() {
        let base = url("http://a/b/c/d;p?q");
        let joined = |reference: &str| base.join(reference.as_bytes()).unwrap();
        for (reference, target) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
        ] {
            let found = joined(reference);
            assert_eq!((found.target(), found.origin()), (target, base.origin()), "{reference}");
        }
        assert_eq!(joined("//G/x").to_string(), "http://g/x");
        assert_eq!(joined("https://g").to_string(), "https://g/");
        assert_eq!(joined("caf\u{e9} x").target(), "/b/c/caf%C3%A9%20x");
        for refused in ["file:///etc/passwd", "magnet:?xt=x", "mailto:x", "http:g", "//"] {
            assert_eq!(base.join(refused.as_bytes()), None, "{refused}");
        }
        assert_eq!(base.join(&[b'x'; URL_LEN_MAX]), None);
    }

    #[test]
    fn the_user_of_a_url_goes_to_its_own_origin_only() {
        let base = url("http://me:p@h/x");
        let joined = |location: &str| base.join(location.as_bytes()).unwrap();
        let user = |location: &str| joined(location).credentials().is_some();
        assert!(user("/y") && user("http://h/z") && user("//h:80/z"));
        assert!(!user("https://h/z") && !user("http://other/z") && !user("http://h:81/z"));
        let other = joined("http://you:q@other/");
        assert_eq!(other.credentials(), Some(b"you:q".to_vec()));
    }
}
