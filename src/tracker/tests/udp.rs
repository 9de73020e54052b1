//! UDP tracker datagrams from hand-written bytes, and round trips.

use std::net::SocketAddr;

use proptest::prelude::*;

use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::{Error, Event, Family};
use crate::tracker::http::MAX_PEERS;
use crate::tracker::udp::{
    ANNOUNCE_LEN, Announce, ConnectionId, Counts, MAX_SCRAPE, Reply, Request, TransactionId,
};

const TRANSACTION: TransactionId = TransactionId(0xdead_beef);
const CONNECTION: ConnectionId = ConnectionId(0x0102_0304_0506_0708);

fn announce() -> Announce {
    Announce {
        info_hash: InfoHash(*b"ABCDEFGHIJKLMNOPQRST"),
        peer_id: PeerId(*b"-PN0100-abcdefghijkl"),
        downloaded: 1,
        left: 0x0203,
        uploaded: u64::MAX,
        event: Some(Event::Started),
        key: 0x0a0b_0c0d,
        numwant: Some(80),
        port: 6881,
        url_data: Vec::new(),
    }
}

/// The BEP's table of offsets, typed by hand for [`announce`].
fn announce_bytes() -> Vec<u8> {
    [
        b"\x01\x02\x03\x04\x05\x06\x07\x08".as_slice(),
        b"\0\0\0\x01\xde\xad\xbe\xef",
        b"ABCDEFGHIJKLMNOPQRST-PN0100-abcdefghijkl",
        b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x02\x03\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\x02\0\0\0\0\x0a\x0b\x0c\x0d\0\0\0\x50\x1a\xe1",
    ]
    .concat()
}

fn encoded(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out
}

fn replied(reply: &Reply, family: Family) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(family, &mut out);
    out
}

fn wrapped(announce: Announce) -> Request {
    Request::Announce { connection: CONNECTION, transaction: TRANSACTION, announce }
}

fn url_data(options: &[u8]) -> Vec<u8> {
    match Request::decode(&[announce_bytes().as_slice(), options].concat()) {
        Some(Request::Announce { announce, .. }) => announce.url_data,
        other => panic!("{other:?}"),
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn connect_as_the_bep_lays_it_out() {
    let request = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\xde\xad\xbe\xef";
    let connect = Request::Connect { transaction: TRANSACTION };
    assert_eq!(encoded(&connect), request);
    assert_eq!(Request::decode(request), Some(connect));
    let mut forged = *request;
    forged[7] = 0x81;
    assert_eq!(Request::decode(&forged), None);

    let reply = b"\0\0\0\0\xde\xad\xbe\xef\x01\x02\x03\x04\x05\x06\x07\x08";
    let connected = Reply::Connect { transaction: TRANSACTION, connection: CONNECTION };
    assert_eq!(replied(&connected, Family::V4), reply);
    assert_eq!(Reply::decode(reply, Family::V6), Ok(connected));
}

#[test]
fn announce_as_the_bep_lays_it_out() {
    let bytes = announce_bytes();
    assert_eq!(bytes.len(), ANNOUNCE_LEN);
    assert_eq!(encoded(&wrapped(announce())), bytes);
    assert_eq!(Request::decode(&bytes), Some(wrapped(announce())));
    // -1 is "as many as you like"; the address field is not believed.
    let mut bytes = bytes;
    bytes[84..88].fill(9);
    bytes[92..96].fill(0xff);
    let expected = Announce { numwant: None, ..announce() };
    assert_eq!(Request::decode(&bytes), Some(wrapped(expected)));
}

// "0: none; 1: completed; 2: started; 3: stopped"
#[test]
fn events_have_the_numbers_of_the_bep() {
    let events = [None, Some(Event::Completed), Some(Event::Started), Some(Event::Stopped)];
    for (number, event) in (0_u8..).zip(events) {
        let mut bytes = announce_bytes();
        bytes[83] = number;
        let expected = wrapped(Announce { event, ..announce() });
        assert_eq!(encoded(&expected), bytes);
        assert_eq!(Request::decode(&bytes), Some(expected));
    }
    // There is none for a partial seed: libtorrent's 4 and all others count as none.
    let paused = encoded(&wrapped(Announce { event: Some(Event::Paused), ..announce() }));
    assert_eq!(paused[80..84], [0; 4]);
    for number in [4, 5, u32::MAX] {
        let mut bytes = announce_bytes();
        bytes[80..84].copy_from_slice(&number.to_be_bytes());
        assert_eq!(Request::decode(&bytes), Some(wrapped(Announce { event: None, ..announce() })));
    }
}

#[test]
fn the_text_of_an_error_ends_at_a_nul() {
    let reply = Reply::decode(b"\0\0\0\x03\0\0\0\x01not registered\0", Family::V4).unwrap();
    assert!(matches!(reply, Reply::Error { message, .. } if message == "not registered"));
}

// BEP 41's own three examples, and what it says of unknown options.
#[test]
fn options_after_an_announce() {
    assert_eq!(url_data(b"\x02\x0c/dir?a=b&c=d"), b"/dir?a=b&c=d");
    assert_eq!(url_data(b"\x02\x0c/dir?a=b&c=d\x01\x01\0"), b"/dir?a=b&c=d");
    assert_eq!(url_data(b"\x02\0"), b"");
    assert_eq!(url_data(b"\x02\x02/a\x09\x03xyz\x01\x02\x01b"), b"/ab");
    assert_eq!(url_data(b"\x02\x02/a\0\x02\x01b"), b"/a");
    // Cut off: what came before counts.
    assert_eq!(url_data(b"\x02\x02/a\x02\x05bc"), b"/a");
    assert_eq!(url_data(b"\x02"), b"");
}

#[test]
fn a_long_path_takes_several_options() {
    let path = vec![b'p'; 300];
    let bytes = encoded(&wrapped(Announce { url_data: path.clone(), ..announce() }));
    let options = &bytes[ANNOUNCE_LEN..];
    assert_eq!(
        (options.len(), &options[..2], &options[257..259]),
        (304, &[2, 255][..], &[2, 45][..])
    );
    assert_eq!(url_data(options), path);
}

#[test]
fn announce_replies_of_both_families() {
    let head = b"\0\0\0\x01\xde\xad\xbe\xef\0\0\x07\x08\0\0\0\x03\0\0\0\x05";
    let reply = |peers: &[&str]| Reply::Announce {
        transaction: TRANSACTION,
        interval_s: 1800,
        leechers: 3,
        seeders: 5,
        peers: peers.iter().map(|text| socket(text)).collect(),
    };
    let four = [head.as_slice(), b"\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\0\x01"].concat();
    let six = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1";
    let six = [head.as_slice(), six].concat();
    let all = reply(&["1.2.3.4:6881", "[2001:db8::1]:6881", "[::ffff:5.6.7.8]:1"]);
    assert_eq!(replied(&all, Family::V4), four);
    assert_eq!(replied(&all, Family::V6), six);
    let expected = reply(&["1.2.3.4:6881", "5.6.7.8:1"]);
    assert_eq!(Reply::decode(&four, Family::V4), Ok(expected.clone()));
    assert_eq!(Reply::decode(&six, Family::V6), Ok(reply(&["[2001:db8::1]:6881"])));
    // A truncated last peer is left out, and extensions of other lengths do not hurt.
    assert_eq!(Reply::decode(&[&four[..], b"\x09\x09"].concat(), Family::V4), Ok(expected));
    // No more is kept than of a reply over HTTP.
    let many = [head.as_slice(), &[7; 60_000]].concat();
    let Ok(Reply::Announce { peers, .. }) = Reply::decode(&many, Family::V4) else { panic!() };
    assert_eq!(peers.len(), MAX_PEERS);
}

#[test]
fn scrape_as_the_bep_lays_it_out() {
    let bytes = [
        b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x02\xde\xad\xbe\xef".as_slice(),
        b"ABCDEFGHIJKLMNOPQRSTaaaaaaaaaaaaaaaaaaaa",
    ]
    .concat();
    let hashes = vec![InfoHash(*b"ABCDEFGHIJKLMNOPQRST"), InfoHash([b'a'; 20])];
    let scrape = |info_hashes| Request::Scrape {
        connection: CONNECTION,
        transaction: TRANSACTION,
        info_hashes,
    };
    assert_eq!(encoded(&scrape(hashes.clone())), bytes);
    assert_eq!(Request::decode(&bytes), Some(scrape(hashes)));
    assert_eq!(Request::decode(&bytes[..35]), None);
    let long = [&bytes[..16], &[1; 20 * 100 + 3]].concat();
    assert_eq!(Request::decode(&long), Some(scrape(vec![InfoHash([1; 20]); MAX_SCRAPE])));

    let reply = b"\0\0\0\x02\xde\xad\xbe\xef\0\0\0\x0b\0\0\x35\xcc\0\0\0\x13\0\0\0\x15";
    let counts = vec![Counts { seeders: 11, completed: 13772, leechers: 19 }];
    let scraped = Reply::Scrape { transaction: TRANSACTION, counts };
    assert_eq!(Reply::decode(reply, Family::V4), Ok(scraped.clone()));
    assert_eq!(replied(&scraped, Family::V4), reply[..20]);
}

#[test]
fn errors_carry_words() {
    let bytes = b"\0\0\0\x03\xde\xad\xbe\xefbusy\xff";
    let message = "busy\u{fffd}".to_owned();
    let error = Reply::Error { transaction: TRANSACTION, message };
    assert_eq!(Reply::decode(bytes, Family::V4), Ok(error));
    let long = [&bytes[..8], &[b'x'; 60_000]].concat();
    let Ok(Reply::Error { message, .. }) = Reply::decode(&long, Family::V6) else { panic!() };
    assert_eq!(message.len(), 1024);
}

// "Check whether the packet is at least 16 bytes", "20 bytes", "8 bytes".
#[test]
fn shorter_than_the_minimum_is_nothing() {
    for (action, len) in [(0, 16), (1, 20), (2, 8), (3, 8)] {
        let mut bytes = vec![0; len];
        bytes[3] = action;
        assert!(Reply::decode(&bytes, Family::V4).is_ok(), "{action}");
        let short = Reply::decode(&bytes[..len - 1], Family::V4);
        assert!(matches!(short, Err(Error::Malformed(_))), "{action}: {short:?}");
    }
    assert!(Reply::decode(&[0, 0, 0, 4, 0, 0, 0, 0], Family::V4).is_err());
    let requests = [announce_bytes(), encoded(&Request::Connect { transaction: TRANSACTION })];
    for bytes in requests {
        assert!(Request::decode(&[&bytes[..], b"\0\0"].concat()).is_some());
        (0..bytes.len()).for_each(|len| assert_eq!(Request::decode(&bytes[..len]), None, "{len}"));
    }
}

fn any_event() -> impl Strategy<Value = Option<Event>> {
    prop_oneof![
        Just(None),
        Just(Some(Event::Started)),
        Just(Some(Event::Completed)),
        Just(Some(Event::Stopped)),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    let announce = (
        any::<([u8; 20], [u8; 20], u64, u64, u64, u32, u16)>(),
        (any_event(), proptest::option::of(0..=0x7fff_ffff_u32)),
        proptest::collection::vec(any::<u8>(), 0..600),
    );
    let announce = announce.prop_map(|(fields, (event, numwant), url_data)| {
        let (info_hash, peer_id, downloaded, left, uploaded, key, port) = fields;
        Announce {
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
            downloaded,
            left,
            uploaded,
            event,
            key,
            numwant,
            port,
            url_data,
        }
    });
    let hashes = proptest::collection::vec(any::<[u8; 20]>().prop_map(InfoHash), 1..=MAX_SCRAPE);
    let ids = any::<(u64, u32)>().prop_map(|(c, t)| (ConnectionId(c), TransactionId(t)));
    (ids, 0..3, announce, hashes).prop_map(
        |((connection, transaction), kind, announce, info_hashes)| match kind {
            0 => Request::Connect { transaction },
            1 => Request::Announce { connection, transaction, announce },
            _ => Request::Scrape { connection, transaction, info_hashes },
        },
    )
}

fn any_reply() -> impl Strategy<Value = (Reply, Family)> {
    let four = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let six = any::<([u8; 16], u16)>().prop_map(|(mut address, port)| {
        address[0] = 0x20;
        SocketAddr::from((address, port))
    });
    let four = (proptest::collection::vec(four, 0..=MAX_PEERS), Just(Family::V4));
    let six = (proptest::collection::vec(six, 0..=MAX_PEERS), Just(Family::V6));
    let counts = any::<(u32, u32, u32)>();
    let counts = counts.prop_map(|(s, c, l)| Counts { seeders: s, completed: c, leechers: l });
    (
        any::<(u32, u64, u32, u32, u32)>(),
        0..4,
        prop_oneof![four, six],
        proptest::collection::vec(counts, 0..=MAX_SCRAPE),
        ".{0,200}",
    )
        .prop_map(|(numbers, kind, (peers, family), counts, message)| {
            let (transaction, connection, interval_s, leechers, seeders) = numbers;
            let transaction = TransactionId(transaction);
            let reply = match kind {
                0 => Reply::Connect { transaction, connection: ConnectionId(connection) },
                1 => Reply::Announce { transaction, interval_s, leechers, seeders, peers },
                2 => Reply::Scrape { transaction, counts },
                // A NUL ends the text.
                _ => Reply::Error { transaction, message: message.replace("\0", "") },
            };
            (reply, family)
        })
}

proptest! {
    #[test]
    fn requests_round_trip(request in any_request()) {
        prop_assert_eq!(Request::decode(&encoded(&request)), Some(request));
    }

    #[test]
    fn replies_round_trip((reply, family) in any_reply()) {
        prop_assert_eq!(Reply::decode(&replied(&reply, family), family), Ok(reply));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Request::decode(&bytes);
        let _ = Reply::decode(&bytes, Family::V4);
        let _ = Reply::decode(&bytes, Family::V6);
    }
}
