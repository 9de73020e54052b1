//! Messages of the DHT as others write them: by hand, so that our encoder cannot agree with our
//! decoder's mistake.

use std::net::{IpAddr, SocketAddr};

/// What kind of message a datagram is, by its last key: writers sort them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Query,
    Reply,
    Error,
    Other,
}

pub fn kind(bytes: &[u8]) -> Kind {
    match bytes.strip_suffix(b"e").and_then(|rest| rest.split_last()) {
        Some((kind, rest)) if rest.ends_with(b"1:y1:") => match kind {
            b'q' => Kind::Query,
            b'r' => Kind::Reply,
            b'e' => Kind::Error,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

fn behind<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(key.len()).position(|part| part == key)?;
    Some(&bytes[at + key.len()..])
}

/// The string behind a key: `5:token` → its bytes.
pub fn text<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let rest = behind(bytes, key)?;
    let colon = rest.iter().take(5).position(|byte| *byte == b':')?;
    let len: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    rest.get(colon + 1..colon + 1 + len)
}

pub fn number(bytes: &[u8], key: &[u8]) -> Option<u16> {
    let rest = behind(bytes, key)?.strip_prefix(b"i")?;
    let end = rest.iter().take(8).position(|byte| *byte == b'e')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// The transaction of a message whose sender wrote `v` of four bytes behind it, or nothing.
pub fn transaction(bytes: &[u8]) -> &[u8] {
    let key = bytes.windows(3).rposition(|part| part == b"1:t").unwrap_or(bytes.len());
    text(&bytes[key.min(bytes.len())..], b"1:t").unwrap_or_default()
}

pub fn hash(bytes: &[u8]) -> Option<[u8; 20]> {
    let found = text(bytes, b"9:info_hash").or_else(|| text(bytes, b"6:target"));
    found.and_then(|hash| hash.try_into().ok())
}

pub fn is_announce(bytes: &[u8]) -> bool {
    behind(bytes, b"1:q13:announce_peer").is_some()
}

pub fn compact(address: SocketAddr) -> Vec<u8> {
    let mut out = match address.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    out.extend_from_slice(&address.port().to_be_bytes());
    out
}

pub fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => <[u8; 4]>::try_from(ip).ok()?.into(),
        16 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// The addresses of the nodes that a reply names.
pub fn named(bytes: &[u8]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for (key, len) in [(b"5:nodes".as_slice(), 26), (b"6:nodes6", 38)] {
        let nodes = text(bytes, key).unwrap_or_default();
        all.extend(nodes.chunks_exact(len).filter_map(|node| address(&node[20..])));
    }
    all
}

/// What one answers with.
#[derive(Default)]
pub struct Letter<'a> {
    pub id: [u8; 20],
    pub seen: Option<SocketAddr>,
    pub nodes: Option<&'a [u8]>,
    pub token: Option<&'a [u8]>,
    pub values: Option<&'a [SocketAddr]>,
    pub has_port: bool,
}

fn string(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(format!("{}:", value.len()).as_bytes());
    out.extend_from_slice(value);
}

impl Letter<'_> {
    pub fn write(&self, transaction: &[u8]) -> Vec<u8> {
        let mut out = b"d".to_vec();
        if let Some(seen) = self.seen {
            string(b"2:ip", &compact(seen), &mut out);
        }
        out.extend_from_slice(b"1:rd");
        string(b"2:id", &self.id, &mut out);
        if let Some(nodes) = self.nodes {
            string(b"5:nodes", nodes, &mut out);
        }
        if let (true, Some(seen)) = (self.has_port, self.seen) {
            out.extend_from_slice(format!("1:pi{}e", seen.port()).as_bytes());
        }
        if let Some(token) = self.token {
            string(b"5:token", token, &mut out);
        }
        if let Some(values) = self.values {
            out.extend_from_slice(b"6:valuesl");
            values.iter().for_each(|peer| string(b"", &compact(*peer), &mut out));
            out.push(b'e');
        }
        out.push(b'e');
        string(b"1:t", transaction, &mut out);
        out.extend_from_slice(b"1:y1:re");
        out
    }
}

pub fn error(code: u16, text: &str, transaction: &[u8]) -> Vec<u8> {
    let mut out = format!("d1:eli{code}e{}:{text}e", text.len()).into_bytes();
    string(b"1:t", transaction, &mut out);
    out.extend_from_slice(b"1:y1:ee");
    out
}

pub fn get_peers(id: &[u8; 20], hash: &[u8; 20], transaction: &[u8]) -> Vec<u8> {
    let mut out = b"d1:ad".to_vec();
    string(b"2:id", id, &mut out);
    string(b"9:info_hash", hash, &mut out);
    out.extend_from_slice(b"e1:q9:get_peers");
    string(b"1:t", transaction, &mut out);
    out.extend_from_slice(b"1:y1:qe");
    out
}

pub fn announce_peer(id: &[u8; 20], hash: &[u8; 20], token: &[u8], transaction: &[u8]) -> Vec<u8> {
    let mut out = b"d1:ad".to_vec();
    string(b"2:id", id, &mut out);
    string(b"9:info_hash", hash, &mut out);
    out.extend_from_slice(b"4:porti6881e");
    string(b"5:token", token, &mut out);
    out.extend_from_slice(b"e1:q13:announce_peer");
    string(b"1:t", transaction, &mut out);
    out.extend_from_slice(b"1:y1:qe");
    out
}

pub fn ping(id: &[u8; 20], transaction: &[u8]) -> Vec<u8> {
    let mut out = b"d1:ad".to_vec();
    string(b"2:id", id, &mut out);
    out.extend_from_slice(b"e1:q4:ping");
    string(b"1:t", transaction, &mut out);
    out.extend_from_slice(b"1:y1:qe");
    out
}
