//! Reading a message.

use crate::base::ids::InfoHash;
use crate::bencode::{self, Limits, Value};

use super::{
    Body, ItemView, MESSAGE_LEN_MAX, Message, Method, Query, Refusal, Reply, Samples, SeenAt,
    SignedView, TOKEN_LEN_MAX, TRANSACTION_LEN_MAX, Want,
};
use crate::dht::compact::{self, Values};
use crate::dht::id::NodeId;

/// What libtorrent takes of a datagram.
const LIMITS: Limits = Limits { depth: 10, tokens: 500 };

/// Why a datagram is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw<'a> {
    /// Nobody can be told.
    Mute,
    /// A query that can be refused: [`super::code::PROTOCOL`].
    Query {
        /// Its `t`.
        transaction: &'a [u8],
        /// What is wrong with it.
        what: &'static str,
    },
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// When it is no dictionary within the limits, has no usable `t`, is of no known kind, or
    /// lacks what its kind needs.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Flaw<'a>> {
        if datagram.len() > MESSAGE_LEN_MAX || datagram.first() != Some(&b'd') {
            return Err(Flaw::Mute);
        }
        let scan = bencode::scan(datagram, LIMITS).map_err(|_| Flaw::Mute)?;
        let top = Top::of(scan.root());
        let transaction = top.transaction.ok_or(Flaw::Mute)?;
        let body = match top.kind {
            Some(b"q") => match query(&top) {
                Ok(query) => Body::Query(query),
                Err(what) => return Err(Flaw::Query { transaction, what }),
            },
            Some(b"r") => Body::Reply(top.reply.and_then(reply).ok_or(Flaw::Mute)?),
            Some(b"e") => Body::Error(refusal(top.error)),
            _ => return Err(Flaw::Mute),
        };
        Ok(Self { transaction, version: top.version, seen_at: top.seen_at, body })
    }
}

/// The outermost dictionary; the first of two equal keys counts.
#[derive(Default)]
struct Top<'a> {
    transaction: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    arguments: Option<Value<'a>>,
    reply: Option<Value<'a>>,
    error: Option<Value<'a>>,
    version: Option<&'a [u8]>,
    seen_at: Option<SeenAt>,
    read_only: bool,
}

impl<'a> Top<'a> {
    fn of(root: Value<'a>) -> Self {
        let mut top = Self::default();
        for (key, value) in root.dict().into_iter().flatten() {
            match key {
                b"t" => keep(&mut top.transaction, sized(value, TRANSACTION_LEN_MAX)),
                b"y" => keep(&mut top.kind, value.bytes()),
                b"q" => keep(&mut top.method, value.bytes()),
                b"a" => keep(&mut top.arguments, Some(value)),
                b"r" => keep(&mut top.reply, Some(value)),
                b"e" => keep(&mut top.error, Some(value)),
                b"v" => keep(&mut top.version, value.bytes()),
                b"ip" => keep(&mut top.seen_at, value.bytes().and_then(seen_at)),
                b"ro" => top.read_only |= flag(value),
                _ => {}
            }
        }
        top
    }
}

/// The arguments that any method has.
#[derive(Default)]
struct Arguments<'a> {
    id: Option<NodeId>,
    target: Option<NodeId>,
    hash: Option<NodeId>,
    want: Want,
    port: Option<i64>,
    implied: bool,
    seed: bool,
    noseed: bool,
    scrape: bool,
    token: Option<&'a [u8]>,
    seq: Option<i64>,
    cas: Option<Value<'a>>,
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    salt: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl<'a> Arguments<'a> {
    fn of(value: Value<'a>) -> Self {
        let mut all = Self::default();
        for (key, value) in value.dict().into_iter().flatten() {
            match key {
                b"id" => keep(&mut all.id, id(value)),
                b"target" => keep(&mut all.target, id(value)),
                b"info_hash" => keep(&mut all.hash, id(value)),
                b"want" => all.want = want(value),
                b"port" => keep(&mut all.port, value.integer()),
                b"implied_port" => all.implied |= flag(value),
                b"seed" => all.seed |= flag(value),
                b"noseed" => all.noseed |= flag(value),
                b"scrape" => all.scrape |= flag(value),
                b"token" => keep(&mut all.token, sized(value, TOKEN_LEN_MAX)),
                b"seq" => keep(&mut all.seq, value.integer()),
                b"cas" => keep(&mut all.cas, Some(value)),
                b"v" => keep(&mut all.value, Some(value.raw())),
                b"k" => keep(&mut all.key, Some(value.bytes().unwrap_or_default())),
                b"salt" => keep(&mut all.salt, value.bytes()),
                b"sig" => keep(&mut all.signature, value.bytes()),
                _ => {}
            }
        }
        all
    }

    fn announce(&self) -> Result<Method<'a>, &'static str> {
        let hash = self.hash.ok_or("info_hash is missing")?;
        let port = match self.port {
            Some(port) => u16::try_from(port).map_err(|_| "port is out of range")?,
            None if self.implied => 0,
            None => return Err("port is missing"),
        };
        if port == 0 && !self.implied {
            return Err("port is zero");
        }
        let (hash, token) = (InfoHash(hash.0), self.token.ok_or("token is missing")?);
        Ok(Method::AnnouncePeer { hash, port, implied: self.implied, seed: self.seed, token })
    }

    fn put(&self) -> Result<Method<'a>, &'static str> {
        let token = self.token.ok_or("token is missing")?;
        let value = self.value.ok_or("v is missing")?;
        let cas = match self.cas {
            Some(cas) => Some(cas.integer().ok_or("cas is no number")?),
            None => None,
        };
        let signed = match self.key {
            Some(key) => Some(SignedView {
                key: key.try_into().map_err(|_| "k has not 32 bytes")?,
                salt: self.salt.unwrap_or_default(),
                seq: self.seq.ok_or("seq is missing")?,
                signature: self
                    .signature
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or("sig has not 64 bytes")?,
            }),
            None => None,
        };
        Ok(Method::Put { token, item: ItemView { value, signed }, cas })
    }
}

fn query<'a>(top: &Top<'a>) -> Result<Query<'a>, &'static str> {
    let method = top.method.ok_or("q is missing")?;
    let all = Arguments::of(top.arguments.ok_or("a is missing")?);
    let id = all.id.ok_or("id has not 20 bytes")?;
    let target = all.target.or(all.hash);
    let needed = target.ok_or("target is missing");
    let method = match method {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: needed? },
        b"get_peers" => Method::GetPeers {
            hash: InfoHash(all.hash.ok_or("info_hash is missing")?.0),
            noseed: all.noseed,
            scrape: all.scrape,
        },
        b"announce_peer" => all.announce()?,
        b"get" => Method::Get { target: needed?, seq: all.seq },
        b"put" => all.put()?,
        b"sample_infohashes" => Method::SampleInfohashes { target: needed? },
        name => Method::Other { name, target },
    };
    Ok(Query { id, read_only: top.read_only, want: all.want, method })
}

fn reply(value: Value<'_>) -> Option<Reply<'_>> {
    let mut reply = Reply::default();
    let (mut sender, mut values) = (None, None);
    let (mut value_raw, mut key, mut signature) = (None, None, None);
    let (mut hashes, mut count, mut interval_s) = (None, None, None);
    for (name, value) in value.dict()? {
        match name {
            b"id" => keep(&mut sender, id(value)),
            b"nodes" => keep(&mut reply.nodes, value.bytes()),
            b"nodes6" => keep(&mut reply.nodes6, value.bytes()),
            b"values" => keep(&mut values, value.list().map(Values::List)),
            b"token" => keep(&mut reply.token, sized(value, TOKEN_LEN_MAX)),
            b"BFsd" => keep(&mut reply.seeds, array(value)),
            b"BFpe" => keep(&mut reply.leechers, array(value)),
            b"v" => keep(&mut value_raw, Some(value.raw())),
            b"k" => keep(&mut key, array(value)),
            b"sig" => keep(&mut signature, array(value)),
            b"seq" => keep(&mut reply.seq, value.integer()),
            b"samples" => keep(&mut hashes, value.bytes()),
            b"num" => keep(&mut count, number(value)),
            b"interval" => keep(&mut interval_s, number(value)),
            _ => {}
        }
    }
    reply.id = sender?;
    reply.values = values.unwrap_or_default();
    reply.item = value_raw.map(|value| {
        let signed = key.zip(signature).zip(reply.seq);
        let signed =
            signed.map(|((key, signature), seq)| SignedView { key, salt: &[], seq, signature });
        ItemView { value, signed }
    });
    reply.samples = hashes.map(|hashes| Samples {
        hashes,
        count: count.unwrap_or_default(),
        interval_s: interval_s.unwrap_or_default(),
    });
    Some(reply)
}

/// Any error means that there is somebody: its shape is not judged.
fn refusal(value: Option<Value<'_>>) -> Refusal<'_> {
    let mut items = value.and_then(Value::list).into_iter().flatten();
    let code = items.next().and_then(Value::integer).unwrap_or_default();
    Refusal { code, text: items.next().and_then(Value::bytes).unwrap_or_default() }
}

/// Keeps the first of several.
fn keep<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn id(value: Value<'_>) -> Option<NodeId> {
    NodeId::from_bytes(value.bytes()?)
}

fn array<const LEN: usize>(value: Value<'_>) -> Option<&[u8; LEN]> {
    value.bytes()?.try_into().ok()
}

fn number(value: Value<'_>) -> Option<u32> {
    value.integer()?.try_into().ok()
}

/// A string that is neither empty nor longer than `len_max`.
fn sized(value: Value<'_>, len_max: usize) -> Option<&[u8]> {
    value.bytes().filter(|bytes| (1..=len_max).contains(&bytes.len()))
}

fn flag(value: Value<'_>) -> bool {
    value.integer().is_some_and(|number| number != 0)
}

fn want(value: Value<'_>) -> Want {
    let mut want = Want::default();
    for family in value.list().into_iter().flatten().take(8).filter_map(Value::bytes) {
        want.v4 |= family == b"n4";
        want.v6 |= family == b"n6";
    }
    want
}

fn seen_at(bytes: &[u8]) -> Option<SeenAt> {
    match compact::peer(bytes) {
        Some(address) => Some(address.into()),
        None => Some(SeenAt { address: compact::address(bytes)?, port: None }),
    }
}
