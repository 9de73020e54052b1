//! Messages by hand, by BEP, and there and back.

use proptest::prelude::*;

use super::*;
use crate::dht::compact::NODE_V4_LEN;

const A: NodeId = NodeId(*b"abcdefghij0123456789");
const M: NodeId = NodeId(*b"mnopqrstuvwxyz123456");

fn asker() -> SocketAddr {
    "1.2.3.4:6881".parse().unwrap()
}

fn query_of(bytes: &[u8]) -> Query<'_> {
    match Message::decode(bytes).unwrap().body {
        Body::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

fn reply_of(bytes: &[u8]) -> Reply<'_> {
    match Message::decode(bytes).unwrap().body {
        Body::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn flaw(bytes: &[u8]) -> Flaw<'_> {
    Message::decode(bytes).unwrap_err()
}

fn asked(method: Method<'_>) -> Query<'_> {
    Query { id: A, read_only: false, want: Want::default(), method }
}

/// The datagrams of BEP 5, "DHT Queries".
#[test]
fn the_examples_of_bep_5_are_read() {
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    assert_eq!(Message::decode(ping).unwrap().transaction, b"aa");
    assert_eq!(query_of(ping), asked(Method::Ping));
    let reply = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
    assert_eq!(reply_of(reply).id, M);
    let find = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e\
        1:q9:find_node1:t2:aa1:y1:qe";
    assert_eq!(query_of(find), asked(Method::FindNode { target: M }));
    let peers = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e\
        1:q9:get_peers1:t2:aa1:y1:qe";
    let hash = InfoHash(M.0);
    assert_eq!(query_of(peers), asked(Method::GetPeers { hash, noseed: false, scrape: false }));
    let values = b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee\
        1:t2:aa1:y1:re";
    let reply = reply_of(values);
    assert_eq!(reply.token, Some(&b"aoeusnth"[..]));
    assert_eq!(reply.values.iter().count(), 2);
    let announce = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e\
        9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe\
        1:q13:announce_peer1:t2:aa1:y1:qe";
    let method =
        Method::AnnouncePeer { hash, port: 6881, implied: true, seed: false, token: b"aoeusnth" };
    assert_eq!(query_of(announce), asked(method));
    let error = b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";
    match Message::decode(error).unwrap().body {
        Body::Error(refusal) => assert_eq!((refusal.code, refusal.text.len()), (201, 23)),
        other => panic!("{other:?}"),
    }
}

/// What we send is written by hand here, so that no error of the reader hides one of the writer.
#[test]
fn what_is_written_has_its_keys_sorted() {
    let mut out = Vec::new();
    asked(Method::Ping).write(b"aa", &mut out);
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:v4:PN\x00\x011:y1:qe";
    assert_eq!(out, ping);
    out.clear();
    let hash = InfoHash(M.0);
    let mut query = asked(Method::GetPeers { hash, noseed: true, scrape: true });
    query.read_only = true;
    query.want = Want { v4: true, v6: true };
    query.write(b"abcd", &mut out);
    let expected = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456\
        6:noseedi1e6:scrapei1e4:wantl2:n42:n6ee1:q9:get_peers2:roi1e1:t4:abcd1:v4:PN\x00\x01\
        1:y1:qe";
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
    out.clear();
    let announce =
        Method::AnnouncePeer { hash, port: 80, implied: true, seed: true, token: b"tok" };
    asked(announce).write(b"abcd", &mut out);
    let expected = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e\
        9:info_hash20:mnopqrstuvwxyz1234564:porti80e4:seedi1e5:token3:toke\
        1:q13:announce_peer1:t4:abcd1:v4:PN\x00\x011:y1:qe";
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
    // Never `implied_port` 0: what is read of it differs.
    out.clear();
    let announce =
        Method::AnnouncePeer { hash, port: 80, implied: false, seed: false, token: b"tok" };
    asked(announce).write(b"abcd", &mut out);
    let expected = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456\
        4:porti80e5:token3:toke1:q13:announce_peer1:t4:abcd1:v4:PN\x00\x011:y1:qe";
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
    out.clear();
    let nodes = [7; NODE_V4_LEN];
    let reply = Reply {
        id: M,
        nodes: Some(&nodes),
        values: Values::Packed(b"axje.uidhtnm", Family::V4),
        token: Some(b"aoeusnth"),
        ..Reply::default()
    };
    reply.write(b"aa", asker(), &mut out);
    let mut expected = b"d2:ip6:\x01\x02\x03\x04\x1a\xe11:rd2:id20:mnopqrstuvwxyz123456\
        5:nodes26:"
        .to_vec();
    expected.extend(nodes);
    expected.extend(b"5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:v4:PN\x00\x011:y1:re");
    assert_eq!(out, expected);
    out.clear();
    Refusal { code: code::METHOD_UNKNOWN, text: b"no" }.write(b"aa", asker(), &mut out);
    let expected = b"d1:eli204e2:noe2:ip6:\x01\x02\x03\x04\x1a\xe11:t2:aa1:v4:PN\x00\x011:y1:ee";
    assert_eq!(out, expected);
}

#[test]
fn unsorted_keys_trailing_bytes_and_odd_extras_pass() {
    let odd = b"d1:y1:q1:t20:AAAAAAAAAAAAAAAAAAAA1:v6:longer1:zli1ee1:q4:ping2:roi1e\
        1:ad1:xi1e2:id20:abcdefghij0123456789eetrailing";
    let message = Message::decode(odd).unwrap();
    assert_eq!(message.version, Some(&b"longer"[..]));
    let mut expected = asked(Method::Ping);
    expected.read_only = true;
    assert_eq!(query_of(odd), expected);
    // libtorrent: `ip` beside `r`, `p` inside, values an empty list.
    let reply = b"d2:ip6:\x01\x02\x03\x04\x1a\xe11:rd2:id20:mnopqrstuvwxyz1234561:pi6881e\
        5:token4:abcd6:valueslee1:t4:abcd1:y1:re";
    assert_eq!(Message::decode(reply).unwrap().seen_at, Some(SeenAt::from(asker())));
    let reply = reply_of(reply);
    assert!(reply.values.is_empty() && reply.nodes.is_none());
    // An address without a port, and one that is none.
    let ip = |text: &[u8]| {
        let mut bytes = b"d2:ip".to_vec();
        bytes.extend(text);
        bytes.extend(b"1:rd2:id20:mnopqrstuvwxyz123456e1:t1:a1:y1:re");
        Message::decode(&bytes).unwrap().seen_at
    };
    let address = "1.2.3.4".parse().unwrap();
    assert_eq!(ip(b"4:\x01\x02\x03\x04"), Some(SeenAt { address, port: None }));
    assert_eq!(ip(b"5:\x01\x02\x03\x04\x05"), None);
    assert_eq!(ip(b"i7e"), None);
}

#[test]
fn what_cannot_be_answered_is_mute() {
    let long = [b"d1:t2:aa1:y1:q1:z1500:".to_vec(), vec![0; 1_500], b"e".to_vec()].concat();
    let many = [b"d1:zl".to_vec(), b"0:".repeat(500), b"e1:t2:aa1:y1:qe".to_vec()].concat();
    let deep = [b"d1:z".to_vec(), b"l".repeat(10), b"e".repeat(10), b"1:t1:a1:y1:qe".to_vec()];
    let blank = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t0:1:y1:qe".to_vec();
    let id_65 = [b"d1:ade1:q4:ping1:t65:".to_vec(), vec![b'x'; 65], b"1:y1:qe".to_vec()];
    for bytes in [
        long,
        many,
        deep.concat(),
        blank,
        id_65.concat(),
        b"".to_vec(),
        b"le".to_vec(),
        b"de".to_vec(),
        b"i1e".to_vec(),
        b"d1:t2:aa1:y1:xe".to_vec(),
        b"d1:t2:aae".to_vec(),
        b"d1:ti7e1:y1:qe".to_vec(),
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:q".to_vec(),
        // Nobody is told that his reply is bad.
        b"d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re".to_vec(),
        b"d1:t2:aa1:y1:re".to_vec(),
        b"d1:rle1:t2:aa1:y1:re".to_vec(),
    ] {
        assert_eq!(flaw(&bytes), Flaw::Mute, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_malformed_query_says_what_is_wrong_with_it() {
    let with = |method: &str, rest: &str| {
        let len = method.len();
        let text =
            format!("d1:ad2:id20:abcdefghij0123456789{rest}e1:q{len}:{method}1:t2:aa1:y1:qe");
        match Message::decode(text.as_bytes()) {
            Err(Flaw::Query { transaction: b"aa", what }) => what,
            other => panic!("{text}: {other:?}"),
        }
    };
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    assert_eq!(with("find_node", ""), "target is missing");
    assert_eq!(with("find_node", "6:target19:mnopqrstuvwxyz12345"), "target is missing");
    assert_eq!(with("get_peers", "6:target20:mnopqrstuvwxyz123456"), "info_hash is missing");
    let announce = |rest: &str| with("announce_peer", &format!("{hash}{rest}"));
    assert_eq!(announce("5:token1:a"), "port is missing");
    for port in ["65536", "-1", "99999999999999999999"] {
        let what = announce(&format!("4:porti{port}e5:token1:a"));
        let expected = if port.len() > 6 { "port is missing" } else { "port is out of range" };
        assert_eq!(what, expected, "{port}");
    }
    assert_eq!(announce("4:porti0e5:token1:a"), "port is zero");
    assert_eq!(announce("4:porti80e"), "token is missing");
    assert_eq!(announce("4:porti80e5:token0:"), "token is missing");
    assert_eq!(with("put", "5:token1:a"), "v is missing");
    assert_eq!(with("put", "1:k3:abc5:token1:a1:v1:x"), "k has not 32 bytes");
    let key = format!("1:k32:{}", "k".repeat(32));
    assert_eq!(with("put", &format!("{key}5:token1:a1:v1:x")), "seq is missing");
    assert_eq!(with("put", &format!("{key}3:seqi1e5:token1:a1:v1:x")), "sig has not 64 bytes");
    assert_eq!(with("put", "3:cas1:x5:token1:a1:v1:x"), "cas is no number");
    assert_eq!(flaw(b"d1:q4:ping1:t1:a1:y1:qe"), missing("a is missing"));
    assert_eq!(flaw(b"d1:ade1:t1:a1:y1:qe"), missing("q is missing"));
    let short = b"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t1:a1:y1:qe";
    assert_eq!(flaw(short), missing("id has not 20 bytes"));
}

fn missing(what: &'static str) -> Flaw<'static> {
    Flaw::Query { transaction: b"a", what }
}

#[test]
fn unknown_methods_keep_their_target() {
    let vote = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e\
        1:q4:vote1:t2:aa1:y1:qe";
    assert_eq!(query_of(vote), asked(Method::Other { name: b"vote", target: Some(M) }));
    let hash = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e\
        1:q1:x1:t2:aa1:y1:qe";
    assert_eq!(query_of(hash), asked(Method::Other { name: b"x", target: Some(M) }));
    let bare = b"d1:ad2:id20:abcdefghij0123456789e1:q1:x1:t2:aa1:y1:qe";
    assert_eq!(query_of(bare), asked(Method::Other { name: b"x", target: None }));
}

#[test]
fn nodes_of_both_families_are_named_and_odd_ones_told() {
    let nodes = [7; 2 * NODE_V4_LEN + 1];
    let nodes6 = [8; 38];
    let reply = Reply { nodes: Some(&nodes), nodes6: Some(&nodes6), ..Reply::default() };
    assert_eq!(reply.named().count(), 3);
    assert!(reply.is_odd());
    assert!(!Reply { nodes: Some(&nodes[1..]), ..Reply::default() }.is_odd());
    assert!(!Reply::default().is_odd());
}

#[test]
fn want_is_of_the_datagrams_family_unless_it_is_said() {
    let neither = Want::default();
    assert!(neither.covers(Family::V4, Family::V4) && !neither.covers(Family::V6, Family::V4));
    let v6 = Want { v4: false, v6: true };
    assert!(v6.covers(Family::V6, Family::V4) && !v6.covers(Family::V4, Family::V4));
}

#[test]
fn a_reply_of_a_get_is_read_with_its_raw_value() {
    let key = "k".repeat(32);
    let sig = "s".repeat(64);
    let text = format!(
        "d1:rd2:id20:mnopqrstuvwxyz1234561:k32:{key}3:seqi4e3:sig64:{sig}5:token1:a\
        1:vd1:bi01e1:ali1eeee1:t2:aa1:y1:re"
    );
    let reply = reply_of(text.as_bytes());
    let item = reply.item.unwrap();
    assert_eq!(item.value, b"d1:bi01e1:ali1eee");
    assert_eq!(item.signed.map(|signed| (signed.seq, signed.salt)), Some((4, &b""[..])));
    assert_eq!(reply.seq, Some(4));
    // Only the number, when the asker has the value.
    let only = b"d1:rd2:id20:mnopqrstuvwxyz1234563:seqi4ee1:t2:aa1:y1:re";
    let reply = reply_of(only);
    assert_eq!((reply.seq, reply.item), (Some(4), None));
    // Part of a signature is none.
    let part = b"d1:rd2:id20:mnopqrstuvwxyz1234563:seqi4e1:v1:xe1:t2:aa1:y1:re";
    assert_eq!(reply_of(part).item.unwrap().signed, None);
}

fn methods() -> impl Strategy<Value = Method<'static>> {
    let signed = SignedView { key: &[3; 32], salt: b"s", seq: -4, signature: &[5; 64] };
    let any_id = any::<[u8; 20]>();
    prop_oneof![
        Just(Method::Ping),
        any_id.prop_map(|id| Method::FindNode { target: NodeId(id) }),
        (any_id, any::<bool>(), any::<bool>()).prop_map(|(hash, noseed, scrape)| {
            Method::GetPeers { hash: InfoHash(hash), noseed, scrape }
        }),
        (any_id, 1..=u16::MAX, any::<bool>(), any::<bool>()).prop_map(
            |(hash, port, implied, seed)| Method::AnnouncePeer {
                hash: InfoHash(hash),
                port,
                implied,
                seed,
                token: b"token",
            }
        ),
        (any_id, any::<Option<i64>>())
            .prop_map(|(target, seq)| Method::Get { target: NodeId(target), seq }),
        (any::<bool>(), any::<Option<i64>>()).prop_map(move |(is_signed, cas)| Method::Put {
            token: b"t",
            item: ItemView { value: b"d1:ai1ee", signed: is_signed.then_some(signed) },
            cas,
        }),
        any_id.prop_map(|id| Method::SampleInfohashes { target: NodeId(id) }),
        any::<Option<[u8; 20]>>()
            .prop_map(|id| Method::Other { name: b"index", target: id.map(NodeId) }),
    ]
}

proptest! {
    #[test]
    fn queries_there_and_back(
        method in methods(), id: [u8; 20], read_only: bool, v4: bool, v6: bool,
        transaction in proptest::collection::vec(any::<u8>(), 1..=TRANSACTION_LEN_MAX),
    ) {
        let has_want = !matches!(
            method, Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. }
        );
        let want = if has_want { Want { v4, v6 } } else { Want::default() };
        let query = Query { id: NodeId(id), read_only, want, method };
        let mut out = Vec::new();
        query.write(&transaction, &mut out);
        let message = Message::decode(&out).unwrap();
        prop_assert_eq!(message.transaction, &transaction[..]);
        prop_assert_eq!(message.version, Some(&VERSION[..]));
        prop_assert_eq!(query_of(&out), query);
    }

    #[test]
    fn replies_there_and_back(
        id: [u8; 20], seq: Option<i64>, count: u32,
        nodes in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        peers in proptest::collection::vec(any::<[u8; 6]>(), 0..20),
        is_full: bool,
    ) {
        let packed = peers.concat();
        let (filter, samples) = ([9; 256], [4; 40]);
        let signed = SignedView {
            key: &[3; 32], salt: b"", seq: seq.unwrap_or_default(), signature: &[5; 64],
        };
        let reply = Reply {
            id: NodeId(id),
            nodes: nodes.as_deref(),
            nodes6: nodes.as_deref(),
            values: Values::Packed(&packed, Family::V4),
            token: is_full.then_some(b"token"),
            seeds: is_full.then_some(&filter),
            leechers: is_full.then_some(&filter),
            item: is_full.then_some(ItemView { value: b"1:x", signed: seq.map(|_| signed) }),
            seq,
            samples: is_full.then_some(Samples { hashes: &samples, count, interval_s: 7 }),
        };
        let mut out = Vec::new();
        reply.write(b"tt", asker(), &mut out);
        if out.len() <= MESSAGE_LEN_MAX {
            let keys = bencode_keys(&out);
            prop_assert!(keys.is_sorted(), "{:?}", keys);
            let read = reply_of(&out);
            prop_assert_eq!(read.values.iter().count(), peers.len());
            let bare = |reply: Reply<'_>| format!("{:?}", Reply {
                values: Values::default(), ..reply
            });
            prop_assert_eq!(bare(read), bare(reply));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&[b"d1:t2:aa1:y1:r1:r", &bytes[..]].concat());
    }
}

/// The keys of the dictionary of a reply.
fn bencode_keys(bytes: &[u8]) -> Vec<&[u8]> {
    let scan = crate::bencode::scan(bytes, crate::bencode::MESSAGE).unwrap();
    let reply = scan.root().dict().unwrap().find(b"r").unwrap();
    reply.dict().unwrap().map(|(key, _)| key).collect()
}
