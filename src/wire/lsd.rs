//! Datagrams of local service discovery (BEP 14): text in the manner of HTTP that tells who on
//! this network has which torrents. Not here: how often it is told, and to whom.

use std::io::Write as _;
use std::net::SocketAddr;

use crate::base::ids::InfoHash;

/// Hashes of one datagram that are looked at: twice as many as fit into 1,400 bytes.
pub const LSD_HASHES_MAX: usize = 50;
/// "the packet length should not exceed 1400 bytes to avoid MTU/fragmentation problems"
pub const LSD_LEN_MAX: usize = 1400;
/// Bytes of a cookie that are kept; the longest seen has twelve.
const COOKIE_MAX: usize = 64;
/// A line for one hash.
const HASH_LINE_LEN: usize = "Infohash: \r\n".len() + 40;

/// What one datagram tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalAnnounce<'a> {
    /// The port that the sender listens on, never 0. Its address is that of the datagram.
    pub port: u16,
    /// The torrents that it has, none twice, at least one.
    pub hashes: Vec<InfoHash>,
    /// By which a sender knows its own datagrams.
    pub cookie: Option<&'a [u8]>,
}

impl<'a> LocalAnnounce<'a> {
    /// Reads a datagram, or nothing when it is no announce: names of headers in any case, lines
    /// that end without CR, hashes in either case and several of them, headers that nobody knows.
    /// `Host` is not looked at, since several clients write other things there.
    pub fn decode(datagram: &'a [u8]) -> Option<Self> {
        let mut lines = datagram.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let mut head = lines.next()?.split(u8::is_ascii_whitespace);
        if !head.next()?.eq_ignore_ascii_case(b"BT-SEARCH") {
            return None;
        }
        let (mut port, mut cookie, mut hashes) = (None, None, Vec::new());
        let mut looked_at = 0;
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
            let (name, value) = (name.trim_ascii(), value.trim_ascii());
            if name.eq_ignore_ascii_case(b"Port") {
                port = port.or(number(value));
            } else if name.eq_ignore_ascii_case(b"cookie") {
                cookie = cookie.or(Some(value)).filter(|cookie| cookie.len() <= COOKIE_MAX);
            } else if name.eq_ignore_ascii_case(b"Infohash") && looked_at < LSD_HASHES_MAX {
                looked_at += 1;
                hashes.extend(hash(value));
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        let port = port.filter(|port| *port != 0)?;
        (!hashes.is_empty()).then_some(Self { port, hashes, cookie })
    }

    /// Appends the datagram that is sent to `group`, with headers in the order of BEP 14; tells
    /// how many of the hashes fit. Ours have a cookie of letters and digits.
    pub fn encode(&self, group: SocketAddr, into: &mut Vec<u8>) -> usize {
        let begin = into.len();
        // Writing to memory cannot fail.
        let _ = write!(into, "BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n", self.port);
        let mut tail = Vec::new();
        if let Some(cookie) = self.cookie {
            tail.extend_from_slice(b"cookie: ");
            tail.extend_from_slice(cookie);
            tail.extend_from_slice(b"\r\n");
        }
        tail.extend_from_slice(b"\r\n\r\n");
        let room = LSD_LEN_MAX.saturating_sub(into.len() - begin + tail.len());
        let count = self.hashes.len().min(room / HASH_LINE_LEN);
        for hash in self.hashes.iter().take(count) {
            let _ = write!(into, "Infohash: {hash}\r\n");
        }
        into.extend_from_slice(&tail);
        count
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn hash(digits: &[u8]) -> Option<InfoHash> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?;
    Some(InfoHash(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> SocketAddr {
        "239.192.152.143:6771".parse().unwrap()
    }

    fn written(announce: &LocalAnnounce<'_>, group: SocketAddr) -> (String, usize) {
        let mut bytes = Vec::new();
        let count = announce.encode(group, &mut bytes);
        (String::from_utf8(bytes).unwrap(), count)
    }

    #[test]
    fn ours_byte_by_byte() {
        let hashes = vec![InfoHash([0xab; 20]), InfoHash([0xcd; 20])];
        let announce = LocalAnnounce { port: 6881, hashes, cookie: Some(b"pigeon01") };
        let text = "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
            Infohash: abababababababababababababababababababab\r\n\
            Infohash: cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\r\n\
            cookie: pigeon01\r\n\r\n\r\n";
        assert_eq!(written(&announce, group()), (text.to_owned(), 2));
        assert_eq!(LocalAnnounce::decode(text.as_bytes()), Some(announce));
    }

    #[test]
    fn as_many_hashes_as_fit_into_1400_bytes() {
        let hashes: Vec<_> = (0..60).map(|number| InfoHash([number; 20])).collect();
        let announce = LocalAnnounce { port: 65_535, hashes, cookie: Some(b"0123456789ab") };
        let v6: SocketAddr = "[ff15::efc0:988f]:6771".parse().unwrap();
        for group in [group(), v6] {
            let (text, count) = written(&announce, group);
            assert_eq!(count, 25);
            assert!((1340..=1400).contains(&text.len()), "{}", text.len());
            assert!(text.contains(&format!("Host: {group}\r\n")));
            assert_eq!(LocalAnnounce::decode(text.as_bytes()).unwrap().hashes.len(), 25);
        }
    }

    /// What libtorrent, Transmission, rqbit and others differ in.
    #[test]
    fn headers_of_others() {
        let upper = "ABABABABABABABABABABABABABABABABABABABAB";
        let text = format!(
            "bt-search * http/1.1\nHOST: [ff15::efc0:988f]:6771\nport:  51413\nX-Odd\n\
             INFOHASH: {upper}\ninfohash: {}\nInfohash:{upper}\nInfohash: 12\nX-Y: z\n\
             Cookie: 4281\n\nInfohash: {}\n",
            "0".repeat(40),
            "1".repeat(40),
        );
        let announce = LocalAnnounce::decode(text.as_bytes()).unwrap();
        assert_eq!(announce.port, 51_413);
        assert_eq!(announce.hashes, [InfoHash([0; 20]), InfoHash([0xab; 20])]);
        assert_eq!(announce.cookie, Some(&b"4281"[..]));
    }

    #[test]
    fn what_is_no_announce_is_nothing() {
        let hash = "0".repeat(40);
        let head = "BT-SEARCH * HTTP/1.1\r\n";
        for bad in [
            String::new(),
            head.to_owned(),
            format!("GET * HTTP/1.1\r\nPort: 1\r\nInfohash: {hash}\r\n\r\n"),
            format!("{head}Infohash: {hash}\r\n\r\n"),
            format!("{head}Port: 0\r\nInfohash: {hash}\r\n\r\n"),
            format!("{head}Port: 65536\r\nInfohash: {hash}\r\n\r\n"),
            format!("{head}Port: +1\r\nInfohash: {hash}\r\n\r\n"),
            format!("{head}Port: 1\r\nInfohash: {hash}0\r\n\r\n"),
            format!("{head}Port: 1\r\n\r\nInfohash: {hash}\r\n\r\n"),
        ] {
            assert_eq!(LocalAnnounce::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn fifty_hashes_are_looked_at() {
        let lines: Vec<_> = (0..1_000).map(|n| format!("Infohash: {n:040}\n")).collect();
        let text = format!("BT-SEARCH\nPort: 1\n{}", lines.concat());
        assert_eq!(LocalAnnounce::decode(text.as_bytes()).unwrap().hashes.len(), 50);
    }
}
