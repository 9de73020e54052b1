//! Writing a message: keys sorted, as bencode demands and strict readers check.

use std::net::SocketAddr;

use super::{Method, Query, Refusal, Reply, VERSION};
use crate::base::addr::write_compact;
use crate::dht::id::NodeId;

impl Query<'_> {
    /// Appends the datagram that asks this. Our own node never sends `find_node`,
    /// `sample_infohashes` or an unknown method: whoever plays another one does.
    pub fn write(&self, transaction: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"d1:ad");
        let name = self.write_arguments(out);
        out.extend_from_slice(b"e1:q");
        string(name, out);
        if self.read_only {
            out.extend_from_slice(b"2:roi1e");
        }
        finish(transaction, b'q', out);
    }

    /// The arguments; returns the method's name.
    fn write_arguments(&self, out: &mut Vec<u8>) -> &[u8] {
        if let Method::Put { cas: Some(cas), .. } = self.method {
            integer(b"cas", cas, out);
        }
        id(b"id", &self.id, out);
        match self.method {
            Method::Ping => b"ping",
            Method::FindNode { target } => {
                id(b"target", &target, out);
                self.write_want(out);
                b"find_node"
            }
            Method::GetPeers { hash, noseed, scrape } => {
                id(b"info_hash", &hash.into(), out);
                flag(b"noseed", noseed, out);
                flag(b"scrape", scrape, out);
                self.write_want(out);
                b"get_peers"
            }
            Method::AnnouncePeer { hash, port, implied, seed, token } => {
                // Never `implied_port` 0: rqbit drops an announce without the key and reads
                // any number, old nodes look for the text alone.
                flag(b"implied_port", implied, out);
                id(b"info_hash", &hash.into(), out);
                integer(b"port", port.into(), out);
                flag(b"seed", seed, out);
                entry(b"token", token, out);
                b"announce_peer"
            }
            Method::Get { target, seq } => {
                if let Some(seq) = seq {
                    integer(b"seq", seq, out);
                }
                id(b"target", &target, out);
                self.write_want(out);
                b"get"
            }
            Method::Put { token, item, .. } => {
                if let Some(signed) = item.signed {
                    entry(b"k", signed.key, out);
                    if !signed.salt.is_empty() {
                        entry(b"salt", signed.salt, out);
                    }
                    integer(b"seq", signed.seq, out);
                    entry(b"sig", signed.signature, out);
                }
                entry(b"token", token, out);
                string(b"v", out);
                out.extend_from_slice(item.value);
                b"put"
            }
            Method::SampleInfohashes { target } => {
                id(b"target", &target, out);
                self.write_want(out);
                b"sample_infohashes"
            }
            Method::Other { name, target } => {
                if let Some(target) = target {
                    id(b"target", &target, out);
                }
                self.write_want(out);
                name
            }
        }
    }

    fn write_want(&self, out: &mut Vec<u8>) {
        if self.want.v4 || self.want.v6 {
            out.extend_from_slice(b"4:wantl");
            for (wanted, name) in [(self.want.v4, b"2:n4"), (self.want.v6, b"2:n6")] {
                if wanted {
                    out.extend_from_slice(name);
                }
            }
            out.push(b'e');
        }
    }
}

impl Reply<'_> {
    /// Appends the datagram that answers a query from `to` with this. It never says `ro`, which
    /// would make mainline drop it.
    pub fn write(&self, transaction: &[u8], to: SocketAddr, out: &mut Vec<u8>) {
        begin(to, out);
        out.extend_from_slice(b"1:rd");
        let signed = self.item.and_then(|item| item.signed);
        optional(b"BFpe", self.leechers.map(<[u8; 256]>::as_slice), out);
        optional(b"BFsd", self.seeds.map(<[u8; 256]>::as_slice), out);
        id(b"id", &self.id, out);
        if let Some(samples) = self.samples {
            integer(b"interval", samples.interval_s.into(), out);
        }
        optional(b"k", signed.map(|signed| signed.key.as_slice()), out);
        optional(b"nodes", self.nodes, out);
        optional(b"nodes6", self.nodes6, out);
        if let Some(samples) = self.samples {
            integer(b"num", samples.count.into(), out);
            entry(b"samples", samples.hashes, out);
        }
        if let Some(seq) = self.seq {
            integer(b"seq", seq, out);
        }
        optional(b"sig", signed.map(|signed| signed.signature.as_slice()), out);
        optional(b"token", self.token, out);
        if let Some(item) = self.item {
            string(b"v", out);
            out.extend_from_slice(item.value);
        }
        if !self.values.is_empty() {
            out.extend_from_slice(b"6:valuesl");
            self.values.strings().for_each(|peer| string(peer, out));
            out.push(b'e');
        }
        out.push(b'e');
        finish(transaction, b'r', out);
    }
}

impl Refusal<'_> {
    /// Appends the datagram that refuses a query from `to`.
    pub fn write(&self, transaction: &[u8], to: SocketAddr, out: &mut Vec<u8>) {
        out.extend_from_slice(b"d1:el");
        number(self.code, out);
        string(self.text, out);
        out.push(b'e');
        own_address(to, out);
        finish(transaction, b'e', out);
    }
}

fn begin(to: SocketAddr, out: &mut Vec<u8>) {
    out.push(b'd');
    own_address(to, out);
}

/// "all DHT responses SHOULD include a top-level field called ip, containing a compact binary
/// representation of the requestor's IP and port" (BEP 42).
fn own_address(to: SocketAddr, out: &mut Vec<u8>) {
    let len = if to.ip().to_canonical().is_ipv4() { b"2:ip6:".as_slice() } else { b"2:ip18:" };
    out.extend_from_slice(len);
    write_compact(to, out);
}

fn finish(transaction: &[u8], kind: u8, out: &mut Vec<u8>) {
    entry(b"t", transaction, out);
    entry(b"v", &VERSION, out);
    entry(b"y", &[kind], out);
    out.push(b'e');
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    decimal(bytes.len() as u64, out);
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn entry(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    string(key, out);
    string(value, out);
}

fn optional(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        entry(key, value, out);
    }
}

fn id(key: &[u8], id: &NodeId, out: &mut Vec<u8>) {
    entry(key, &id.0, out);
}

fn flag(key: &[u8], is_set: bool, out: &mut Vec<u8>) {
    if is_set {
        integer(key, 1, out);
    }
}

fn integer(key: &[u8], value: i64, out: &mut Vec<u8>) {
    string(key, out);
    number(value, out);
}

fn number(value: i64, out: &mut Vec<u8>) {
    out.push(b'i');
    if value < 0 {
        out.push(b'-');
    }
    decimal(value.unsigned_abs(), out);
    out.push(b'e');
}

/// Without the formatter, which takes most of a reply with many values.
fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}
