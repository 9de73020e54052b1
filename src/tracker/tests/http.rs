//! Announce URLs and replies, from hand-written bytes.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::addr::Locality;
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::{AnnounceRequest, Error, Event, PeerAddr, RetryIn, SwarmCounts};
use crate::tracker::http::{
    MAX_PEERS, MAX_REPLY_LEN, announce_url, check_hop, check_host, parse_reply, parse_scrape,
    scrape_url,
};

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash(*b"\x124\xffa& '~-_.Zz09/?#=%"),
        peer_id: PeerId(*b"-PN0100-abcdefghijkl"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        corrupt: 4,
        redundant: 5,
        left: 3,
        event: Some(Event::Started),
        key: 0xab,
        numwant: 80,
        tracker_id: None,
        supports_crypto: false,
        requires_crypto: false,
    }
}

const QUERY: &str = "info_hash=%124%FFa%26%20%27~-_.Zz09%2F%3F%23%3D%25\
    &peer_id=-PN0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=3\
    &corrupt=4&redundant=5&compact=1&no_peer_id=1&numwant=80&key=000000AB&event=started";

fn socket(text: &str) -> PeerAddr {
    PeerAddr::Socket(text.parse().unwrap())
}

fn peers(bytes: &[u8]) -> Vec<PeerAddr> {
    parse_reply(bytes).unwrap().peers
}

#[test]
fn url_keeps_path_query_and_passkey_as_they_are() {
    let url = |base: &str| announce_url(base, &request()).unwrap();
    assert_eq!(url("http://t.example/announce"), format!("http://t.example/announce?{QUERY}"));
    assert_eq!(
        url("https://T.example:81/Announce.php?PassKey=Zz%2f&b=1"),
        format!("https://T.example:81/Announce.php?PassKey=Zz%2f&b=1&{QUERY}")
    );
    assert_eq!(url("http://t/a?"), format!("http://t/a?{QUERY}"));
    assert_eq!(url("http://t/a?k=1&"), format!("http://t/a?k=1&{QUERY}"));
    assert_eq!(url("HTTP://t/a#fragment"), format!("HTTP://t/a?{QUERY}"));
}

#[test]
fn url_carries_tracker_id_and_leaves_out_no_event() {
    let request =
        AnnounceRequest { event: None, tracker_id: Some(b"a&\xff".to_vec()), ..request() };
    let url = announce_url("http://t/announce", &request).unwrap();
    assert!(url.ends_with("&key=000000AB&trackerid=a%26%FF"), "{url}");
}

#[test]
fn url_tells_of_encryption_only_where_there_is_some() {
    let url = |supports_crypto, requires_crypto| {
        let request = AnnounceRequest { supports_crypto, requires_crypto, ..request() };
        announce_url("http://t/announce", &request).unwrap()
    };
    let plain = url(false, false);
    assert!(!plain.contains("crypto"), "{plain}");
    let either = url(true, false);
    assert!(either.contains("&supportcrypto=1") && !either.contains("requirecrypto"), "{either}");
    let both = url(true, true);
    assert!(both.contains("&supportcrypto=1&requirecrypto=1"), "{both}");
}

#[test]
fn urls_that_are_no_tracker_are_refused() {
    let long = format!("http://t/{}", "a".repeat(5000));
    let bad = [
        "udp://t:80",
        "file:///etc/passwd",
        "wss://t/announce",
        "t/announce",
        "",
        &long,
        "http://t/a b",
        "http://t/a\r\nX: y",
        "http://t/?info_hash=x",
        "http://t/?a=1&port=22",
    ];
    for base in bad {
        assert!(matches!(announce_url(base, &request()), Err(Error::Url(_))), "{base}");
    }
}

#[test]
fn compact_peers_of_both_families() {
    let bytes = b"d8:completei5e10:incompletei7e8:intervali1800e12:min intervali900e\
        5:peers12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x006:peers618:\
        \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe110:tracker id3:\xff&xe";
    let reply = parse_reply(bytes).unwrap();
    assert_eq!(
        reply.peers,
        [socket("1.2.3.4:6881"), socket("5.6.7.8:0"), socket("[2001:db8::1]:6881")]
    );
    assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
    assert_eq!(reply.min_interval, Some(Duration::from_secs(900)));
    assert_eq!((reply.complete, reply.incomplete), (Some(5), Some(7)));
    assert_eq!(reply.tracker_id.as_deref(), Some(b"\xff&x".as_slice()));
}

#[test]
fn truncated_tails_are_left_out() {
    let bytes = b"d5:peers8:\x01\x02\x03\x04\x1a\xe1\x05\x066:peers63:abce";
    assert_eq!(peers(bytes), [socket("1.2.3.4:6881")]);
}

#[test]
fn dictionary_peers_skip_the_bad_and_keep_the_rest() {
    let bytes = b"d5:peersl\
        d2:ip7:1.2.3.44:porti6881ee\
        d2:ip3:::14:porti1ee\
        d2:ip5:[::1]4:porti2ee\
        d2:ip14:::ffff:5.6.7.84:porti3ee\
        d2:ip12:peer.example4:port2:80e\
        d2:ip7:1.2.3.44:porti0ee\
        d2:ip7:1.2.3.44:porti70000ee\
        d2:ip7:1.2.3.44:porti-1ee\
        d2:ip7:1.2.3.4e\
        d4:porti6881ee\
        d2:ip9:a b\x1b[31m/4:porti1ee\
        d2:ip3:9.94:porti1ee\
        i5e6:\x09\x09\x09\x09\x00\x09leee";
    assert_eq!(
        peers(bytes),
        [
            socket("1.2.3.4:6881"),
            socket("[::1]:1"),
            socket("[::1]:2"),
            socket("5.6.7.8:3"),
            PeerAddr::Host { name: "peer.example".to_owned(), port: 80 },
            socket("9.9.9.9:9"),
        ]
    );
}

#[test]
fn no_more_than_two_hundred_peers_and_both_families_among_them() {
    let mut bytes = b"d5:peers120000:".to_vec();
    bytes.extend([7; 120_000]);
    bytes.push(b'e');
    assert_eq!(peers(&bytes).len(), MAX_PEERS);

    bytes.pop();
    bytes.extend(b"6:peers6180:");
    bytes.extend([0x20; 180]);
    bytes.push(b'e');
    let both = peers(&bytes);
    assert_eq!(both.len(), MAX_PEERS);
    let six = |peer: &&PeerAddr| matches!(peer, PeerAddr::Socket(address) if address.is_ipv6());
    assert_eq!(both.iter().filter(six).count(), 10);
}

#[test]
fn failure_reason_and_retry_in() {
    let refused = |bytes: &[u8]| match parse_reply(bytes) {
        Err(Error::Refused { reason, retry_in }) => (reason, retry_in),
        other => panic!("{other:?}"),
    };
    let five = Some(RetryIn::After(Duration::from_secs(300)));
    assert_eq!(refused(b"d14:failure reason4:busye"), ("busy".to_owned(), None));
    assert_eq!(refused(b"d14:failure reason4:busy8:retry in1:5e").1, five);
    assert_eq!(refused(b"d14:failure reason4:busy8:retry ini5ee").1, five);
    assert_eq!(refused(b"d14:failure reason1:x8:retry in5:nevere").1, Some(RetryIn::Never));
    assert_eq!(refused(b"d14:failure reason1:x8:retry ini0ee").1, None);
    // The times of a reply hold beside a failure, the longer one, where it names no other.
    let hour = Some(RetryIn::After(Duration::from_secs(3600)));
    assert_eq!(refused(b"d14:failure reason1:x8:intervali3600ee").1, hour);
    assert_eq!(refused(b"d14:failure reason1:x12:min intervali3600ee").1, hour);
    assert_eq!(refused(b"d14:failure reason1:x8:intervali60e12:min intervali3600ee").1, hour);
    assert_eq!(refused(b"d14:failure reason1:x8:intervali3600e8:retry in1:5e").1, five);
    assert_eq!(refused(b"d14:failure reason1:x8:intervali0e12:min intervali-1ee").1, None);
    assert_eq!(refused(b"d14:failure reason5:busy\0e").0, "busy");
    assert_eq!(refused(b"d14:failure reason1:x8:retry ini-5ee").1, None);
    assert_eq!(refused(b"d14:failure reason1:x8:retry in4:soone").1, None);
    // A hostile number does not overflow anything.
    let long = refused(b"d14:failure reason1:x8:retry ini9223372036854775807ee").1;
    assert_eq!(long, Some(RetryIn::After(Duration::from_secs(30 * 24 * 3600))));
    // Peers beside a failure do not make it a success, and bad text is no problem.
    assert_eq!(refused(b"d14:failure reason2:\xff!5:peers0:e").0, "\u{fffd}!");
}

#[test]
fn warnings_are_not_failures() {
    let reply = parse_reply(b"d5:peers0:15:warning message7:be nicee").unwrap();
    assert_eq!(reply.warning.as_deref(), Some("be nice"));
}

#[test]
fn external_address_of_four_or_sixteen_bytes() {
    let external = |bytes: &[u8]| parse_reply(bytes).unwrap().external_ip;
    let four: IpAddr = "1.2.3.4".parse().unwrap();
    assert_eq!(external(b"d11:external ip4:\x01\x02\x03\x045:peers0:e"), Some(four));
    let mapped = b"d11:external ip16:\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x045:peers0:e";
    assert_eq!(external(mapped), Some(four));
    assert_eq!(external(b"d11:external ip7:1.2.3.45:peers0:e"), None);
}

#[test]
fn odd_intervals() {
    let interval = |bytes: &[u8]| parse_reply(bytes).unwrap().interval;
    assert_eq!(interval(b"d5:peers0:e"), None);
    assert_eq!(interval(b"d8:intervali0ee"), Some(Duration::ZERO));
    assert_eq!(interval(b"d8:intervali-9ee"), Some(Duration::ZERO));
    assert_eq!(interval(b"d8:interval2:60e"), Some(Duration::from_secs(60)));
    assert_eq!(interval(b"d8:intervalle5:peers0:e"), None);
}

#[test]
fn what_is_no_reply() {
    assert_eq!(parse_reply(b" \n<!DOCTYPE html><p>404</p>"), Err(Error::WebPage));
    assert_eq!(parse_reply(&vec![b'd'; MAX_REPLY_LEN + 1]), Err(Error::TooLong(MAX_REPLY_LEN)));
    let endless_list = [b"d1:x".as_slice(), &vec![b'l'; 500_000]].concat();
    let long_string = b"d5:peers99999999999:xe".as_slice();
    let bad: [&[u8]; 8] =
        [b"", b"not found", b"le", b"i5e", b"de", b"d5:peers", long_string, &endless_list];
    for bytes in bad {
        let result = parse_reply(bytes);
        let start = &bytes[..bytes.len().min(30)];
        assert!(matches!(result, Err(Error::Malformed(_))), "{start:?}: {result:?}");
    }
}

#[test]
fn hops_from_outside_do_not_reach_inside() {
    let hop =
        |previous, target: &str, path| check_hop(previous, target.parse().unwrap(), path).is_ok();
    let public = Some(Locality::Public);
    for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"]
    {
        assert!(!hop(public, inside, "/announce"), "{inside}");
        assert!(hop(None, inside, "/announce"), "{inside}");
        assert!(hop(None, inside, "/announce.php"), "{inside}");
        assert!(hop(Some(Locality::Private), inside, "/announce"), "{inside}");
        assert!(!hop(None, inside, "/latest/meta-data"), "{inside}");
    }
    assert!(!hop(None, "127.0.0.1", "/delete/announce"));
    assert!(hop(None, "192.168.1.2", "/tracker/announce.php"));
    assert!(hop(public, "8.8.8.8", "/anything"));
    assert!(!hop(None, "0.0.0.0", "/announce"));
}

#[test]
fn internationalised_hosts_are_refused_by_their_plain_form() {
    assert_eq!(
        check_host("tracker.xn--e1afmkfd.example").unwrap_err().to_string(),
        "tracker host tracker.xn--e1afmkfd.example is an internationalised name, \
         which we do not contact"
    );
    assert!(check_host("tracker.example").is_ok());
}

#[test]
fn scrape_urls_replace_the_last_element_only() {
    let query = "info_hash=%124%FFa%26%20%27~-_.Zz09%2F%3F%23%3D%25";
    let url = |base: &str| scrape_url(base, request().info_hash);
    let good = |base: &str| url(base).unwrap();
    assert_eq!(good("http://t.example/announce"), format!("http://t.example/scrape?{query}"));
    assert_eq!(good("HTTP://t/x/announce"), format!("HTTP://t/x/scrape?{query}"));
    assert_eq!(good("http://t/announce.php"), format!("http://t/scrape.php?{query}"));
    assert_eq!(
        good("http://t/announce/announce?k=/announce&#x"),
        format!("http://t/announce/scrape?k=/announce&{query}")
    );
    for base in ["http://t/a", "http://t/announce/x", "http://t/x%064announce", "http://announce"] {
        assert_eq!(url(base), Err(Error::NoScrape), "{base}");
    }
    for base in ["udp://t:1/announce", "http://t/x y/announce"] {
        assert!(matches!(url(base), Err(Error::Url(_))), "{base}");
    }
}

// The reply in BEP 48, with a's and b's for the hashes.
#[test]
fn scrape_replies_are_read_for_one_torrent() {
    let scraped = |bytes: &[u8], byte| parse_scrape(bytes, InfoHash([byte; 20]));
    let bytes = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei11e10:downloadedi13772e\
        10:incompletei19ee20:bbbbbbbbbbbbbbbbbbbbd8:completei21e10:downloadedi206e\
        10:incompletei20eeee";
    let counts = |complete, downloaded, incomplete| SwarmCounts {
        complete: Some(complete),
        incomplete: Some(incomplete),
        downloaded: Some(downloaded),
    };
    assert_eq!(scraped(bytes, b'a'), Ok(counts(11, 13772, 19)));
    assert_eq!(scraped(bytes, b'b'), Ok(counts(21, 206, 20)));
    assert!(matches!(scraped(bytes, b'c'), Err(Error::Malformed(_))));
    let odd = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei-1e10:incompletelee";
    assert!(scraped(odd, b'a').is_err());
    let odd = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei-1e10:incompleteleeee";
    assert_eq!(scraped(odd, b'a'), Ok(SwarmCounts::default()));
    assert!(matches!(scraped(b"d14:failure reason2:noe", b'a'), Err(Error::Refused { .. })));
    assert_eq!(scraped(b"<html>", b'a'), Err(Error::WebPage));
    assert_eq!(scraped(&vec![b'd'; MAX_REPLY_LEN + 1], b'a'), Err(Error::TooLong(MAX_REPLY_LEN)));
}
