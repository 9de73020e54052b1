//! Links of all kinds read, as people and programs write them, and what is written read again.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const V1: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";
const V2: &str = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";

fn read(link: &str) -> Magnet {
    Magnet::parse(link).unwrap_or_else(|error| panic!("{error}: {link}"))
}

/// What a v1 link says with these parameters behind its hash.
fn with(parameters: &str) -> Magnet {
    read(&format!("magnet:?xt=urn:btih:{V1}&{parameters}"))
}

fn refused(link: &str) -> Error {
    Magnet::parse(link).expect_err(link)
}

#[test]
fn a_link_with_everything() {
    let magnet = read(&format!(
        "magnet:?xt=urn:btih:{V1}&xt=urn:btmh:1220{V2}&dn=a%20b%26c&tr=http%3A%2F%2Ft%2Fa\
         &ws=http://w/f&x.pe=192.0.2.1:6881&so=0,2&xs=http://s/a.torrent&as=https://s/b.torrent"
    ));
    let expected = Magnet {
        info_hash_v1: Magnet::from_hash(V1).unwrap().info_hash_v1,
        info_hash_v2: Magnet::from_hash(V2).unwrap().info_hash_v2,
        name: Some("a b&c".to_owned()),
        trackers: vec!["http://t/a".to_owned()],
        web_seeds: vec!["http://w/f".to_owned()],
        peers: vec![Peer::Address("192.0.2.1:6881".parse().unwrap())],
        wanted: vec![0..=0, 2..=2],
        torrent_urls: vec!["http://s/a.torrent".to_owned(), "https://s/b.torrent".to_owned()],
    };
    assert_eq!(magnet, expected);
    assert_eq!(magnet.info_hash_v1.unwrap().to_string(), V1);
    assert_eq!(magnet.info_hash_v2.unwrap().to_string(), V2);
}

#[test]
fn scheme_keys_and_hashes_have_no_case_and_keys_may_be_numbered() {
    let magnet = read(&format!(
        " MAGNET:?XT.1=URN:BTIH:{}&xt.2=urn%3Abtmh%3A1220{}&Tr.0=http://a/&tR.17=http://b/\
         &amp;X.PE.1=[::1]:5&DN=x\n",
        V1.to_uppercase(),
        V2.to_uppercase(),
    ));
    assert_eq!(magnet.info_hash_v1.unwrap().to_string(), V1);
    assert_eq!(magnet.info_hash_v2.unwrap().to_string(), V2);
    assert_eq!(magnet.trackers, ["http://a/", "http://b/"]);
    assert_eq!(magnet.peers, [Peer::Address("[::1]:5".parse().unwrap())]);
    assert_eq!(magnet.name.as_deref(), Some("x"));
}

#[test]
fn base32_is_read_in_any_case() {
    let base32 = "N6CHLCYN3WG4AWCAX6JSU54TLWFVXC4T";
    for hash in [base32.to_owned(), base32.to_lowercase()] {
        let magnet = read(&format!("magnet:?xt=urn:btih:{hash}"));
        assert_eq!(magnet.info_hash_v1.unwrap().to_string(), V1);
        assert_eq!(Magnet::from_hash(&hash), Some(magnet));
    }
}

#[test]
fn a_bare_hash_is_a_link_of_its_own() {
    for hash in [V1.to_owned(), V1.to_uppercase()] {
        let bare = Magnet::from_hash(&hash).unwrap();
        assert_eq!(bare, read(&format!("magnet:?xt=urn:btih:{V1}")));
    }
    let bare = Magnet::from_hash(V2).unwrap();
    assert_eq!(bare, read(&format!("magnet:?xt=urn:btmh:1220{V2}")));
    for other in ["", "debian", &V1[1..], &"g".repeat(40), &"1".repeat(32), &"é".repeat(20)] {
        assert_eq!(Magnet::from_hash(other), None, "{other}");
    }
}

#[test]
fn what_is_unknown_is_skipped() {
    let magnet = read(&format!(
        "magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C&xt=urn:btmh:1114{V1}\
         &xt=urn:btih:{V1}&kt=martin&x.pe&&=&mt=http://x&xs=urn:btpk:{V2}&xs=ftp://x/a&xs=http://"
    ));
    assert_eq!(magnet, Magnet::from_hash(V1).unwrap());
}

#[test]
fn one_hash_of_a_kind_and_no_other() {
    let link = format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{}", V1.to_uppercase());
    assert_eq!(read(&link), Magnet::from_hash(V1).unwrap());
    let other = "0".repeat(40);
    let both = refused(&format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{other}"));
    assert_eq!(both, Error::TwoHashes(V1.to_owned(), other));
    let other = "0".repeat(64);
    let both = refused(&format!("magnet:?xt=urn:btmh:1220{V2}&xt=urn:btmh:1220{other}"));
    assert_eq!(both, Error::TwoHashes(V2.to_owned(), other));
}

#[test]
fn what_names_no_torrent_is_refused() {
    for link in ["magnet:?", "magnet:?dn=x", "magnet:?xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0"]
    {
        assert_eq!(refused(link), Error::NoHash);
    }
    for hash in ["btih:", "btih:01", &format!("btih:{V2}"), "btmh:12", "btmh:1220", "btmh:1220zz"] {
        let topic = format!("urn:{hash}");
        assert_eq!(refused(&format!("magnet:?xt={topic}")), Error::BadHash(topic));
    }
    for text in
        ["", "magnet", "magnet:xt=urn:btih:0", "http://x/?xt=urn:btih:0", "é".repeat(9).as_str()]
    {
        assert_eq!(refused(text), Error::Scheme);
    }
}

#[test]
fn floods_are_refused_before_they_are_read() {
    let long = format!("magnet:?xt=urn:btih:{V1}&dn={}", "x".repeat(LINK_LEN_MAX));
    assert_eq!(refused(&long), Error::TooLong { len: long.len() });
    let many = |count: usize| format!("magnet:?xt=urn:btih:{V1}{}", "&".repeat(count - 1));
    assert!(Magnet::parse(&many(PARAMETERS_MAX)).is_ok());
    assert_eq!(refused(&many(PARAMETERS_MAX + 1)), Error::TooManyParameters);
}

#[test]
fn names_are_shown_and_nothing_else() {
    let name = |value: &str| with(&format!("dn={value}")).name;
    assert_eq!(name("..%2F..%2Fetc"), Some(".._.._etc".to_owned()));
    assert_eq!(name("a%0Ab%1B%5B31m%E2%80%AEgpj"), Some("a_b_[31mgpj".to_owned()));
    assert_eq!(name("one+two%2Bthree"), Some("one two+three".to_owned()));
    assert_eq!(name("100%25%32%35"), Some("100%25".to_owned()), "decoded once");
    assert_eq!(name("%E9t%E9%"), Some("_t_%".to_owned()));
    assert_eq!((name(""), name("%20"), with("dn=&dn=b").name), (None, None, Some("b".to_owned())));
}

#[test]
fn urls_are_kept_once_and_only_so_many() {
    let mut trackers = String::from("tr=http://t/0&tr=http://a%20b/&tr=&tr=x%0Ay");
    (0..100).for_each(|n| write!(trackers, "&tr=http://t/{n}").unwrap());
    let magnet = with(&trackers);
    assert_eq!(magnet.trackers.len(), KEPT_MAX);
    assert_eq!(magnet.trackers[..2], ["http://t/0", "http://t/1"]);
    let seeds: String = (0..100).map(|n| format!("&ws=http://w/{n}&xs=http://x/{n}")).collect();
    let magnet = with(&seeds);
    let kept = (magnet.web_seeds.len(), magnet.torrent_urls.len());
    assert_eq!(kept, (WEB_SEEDS_MAX, TORRENT_URLS_MAX));
    assert_eq!(with("tr=http://t/a+b%2Bc").trackers, ["http://t/a+b+c"], "a plus of a URL stays");
}

#[test]
fn web_seeds_are_named_by_two_keys() {
    let magnet = with("&ws=http://w/a%20b&ws=ftp://w/&as=http://k/x.zim&as=http://t/x.torrent?k=1");
    assert_eq!(magnet.web_seeds, ["http://w/a%20b", "http://k/x.zim"]);
    assert_eq!(magnet.torrent_urls, ["http://k/x.zim", "http://t/x.torrent?k=1"]);
}

#[test]
fn peers_are_addresses_or_names_with_a_port() {
    let peers = |values: &[&str]| {
        let all: String = values.iter().map(|value| format!("&x.pe={value}")).collect();
        with(&all).peers.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        peers(&["192.0.2.1:1", "%5B2001:db8::1%5D:2", "[::ffff:192.0.2.1]:1", "Host.example:3"]),
        ["192.0.2.1:1", "[2001:db8::1]:2", "host.example:3"]
    );
    assert_eq!(peers(&["127.0.0.1:5", "192.168.0.9:5"]).len(), 2, "somebody on the same network");
    for bad in [
        "192.0.2.1:0",
        "192.0.2.1",
        "h:0",
        "h:65536",
        ":5",
        "a b:5",
        "1.2.3:5",
        "0.0.0.0:5",
        "::1:5",
    ] {
        assert_eq!(peers(&[bad]), Vec::<String>::new(), "{bad}");
    }
    let many: Vec<String> = (1..=100).map(|port| format!("h:{port}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(peers(&many).len(), KEPT_MAX);
}

#[test]
fn a_choice_of_files_stays_in_ranges() {
    let wanted = |value: &str| with(&format!("so={value}")).wanted;
    assert_eq!(wanted("0,2,4,6-8"), [0..=0, 2..=2, 4..=4, 6..=8]);
    assert_eq!(wanted("9-12,3,%204-6,1,11-40"), [1..=1, 3..=6, 9..=40]);
    assert_eq!(wanted("0-99999999999"), [0..=u32::MAX], "as many as there are");
    assert_eq!(with("so=7&so.1=5-6").wanted, [5..=7]);
    assert_eq!((wanted(""), wanted(",")), (vec![], vec![]), "all");
    let why = |value: &str| refused(&format!("magnet:?xt=urn:btih:{V1}&so={value}"));
    assert_eq!(why("1,8-6"), Error::Backwards("8-6".to_owned()));
    for bad in ["a", "-1", "1-", "1-2-3", "1;2", "+1"] {
        assert_eq!(why(bad), Error::BadChoice(bad.to_owned()));
    }
}

#[test]
fn errors_are_one_clear_line() {
    let hash = "0".repeat(40);
    for (link, words) in [
        ("x".to_owned(), "does not begin with magnet:?"),
        ("magnet:?dn=x".to_owned(), "without an info hash"),
        ("magnet:?xt=urn:btih:01".to_owned(), "\"urn:btih:01\" is not 40 hexadecimal digits"),
        (format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{hash}"), "contradicts itself"),
        (format!("magnet:?xt=urn:btih:{V1}&so=3-1"), "\"3-1\" counts backwards"),
        (format!("magnet:?xt=urn:btih:{V1}&so=x"), "\"x\" is not like 0,2,4-6"),
        (format!("magnet:?xt=urn:btih:%0A{}", "z".repeat(999)), "\"urn:btih:\\nzzz"),
    ] {
        let said = refused(&link).to_string();
        assert!(said.contains(words) && !said.contains('\n') && said.len() < 300, "{said}");
    }
}

const HYBRID: &[u8] = include_bytes!("../../../tests/data/multi-hybrid.torrent");
const V2_ONLY: &[u8] = include_bytes!("../../../tests/data/multi-v2.torrent");

#[test]
fn the_link_of_a_torrent_reads_as_that_torrent() {
    for bytes in [HYBRID, V2_ONLY] {
        let mut torrent = Torrent::parse(bytes).unwrap();
        torrent.trackers = vec![vec!["http://t/a?k=1&l=2".to_owned(), "udp://u:1".to_owned()]];
        torrent.web_seeds = vec!["http://w/".to_owned()];
        let magnet = read(&torrent.magnet());
        assert_eq!(magnet, Magnet::of(&torrent));
        assert!(magnet.is_of(&torrent));
        let other = Magnet::from_hash(V2).unwrap().info_hash_v2;
        assert!(!Magnet { info_hash_v2: other, ..magnet }.is_of(&torrent), "both have to match");
    }
}

#[test]
fn the_link_of_a_torrent_is_never_too_long_to_be_read() {
    let mut torrent = Torrent::parse(V2_ONLY).unwrap();
    let url = |n: usize| format!("http://t/{n}/{}", "/".repeat(2000));
    torrent.trackers = (0..1000).map(|n| vec![url(n)]).collect();
    torrent.web_seeds = (0..1000).map(url).collect();
    let few = read(&torrent.magnet());
    assert!((4..KEPT_MAX).contains(&few.trackers.len()), "{}", few.trackers.len());
    torrent.trackers = (0..1000).map(|n| vec![format!("http://t/{n}")]).collect();
    assert_eq!(read(&torrent.magnet()).trackers.len(), KEPT_MAX);
}

fn any_peer() -> impl Strategy<Value = Peer> {
    let address = (any::<std::net::IpAddr>(), 1..=u16::MAX).prop_map(SocketAddr::from);
    let usable = |address: &SocketAddr| {
        use crate::base::addr::{Teller, is_usable_peer};
        is_usable_peer(*address, Teller::User)
    };
    let address = address.prop_map(crate::base::addr::canonical).prop_filter("usable", usable);
    let host = ("[a-z][a-z0-9._-]{0,20}", 1..=u16::MAX);
    prop_oneof![
        address.prop_map(Peer::Address),
        host.prop_map(|(name, port)| Peer::Host { name, port })
    ]
}

/// Texts without repetition, as they are kept.
fn urls(most: usize) -> impl Strategy<Value = Vec<String>> {
    let url = "https?://[a-z]{1,8}/[!-~é日]{0,12}";
    proptest::collection::hash_set(url, 0..most).prop_map(|set| set.into_iter().collect())
}

/// The same as they are kept of web seeds: what may not stand in a URL is encoded.
fn web_seeds() -> impl Strategy<Value = Vec<String>> {
    urls(9).prop_map(|urls| {
        let kept = urls.iter().filter_map(|url| crate::base::url::written(url.as_bytes()));
        kept.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    })
}

fn any_magnet() -> impl Strategy<Value = Magnet> {
    let hashes = (any::<Option<[u8; 20]>>(), any::<[u8; 32]>(), any::<bool>());
    let name = any::<Vec<u8>>().prop_map(|name| crate::metainfo::clean_name(&name));
    let name = name.prop_filter("not of spaces alone", |name| !name.trim().is_empty());
    let name = proptest::option::of(name);
    let peers = proptest::collection::hash_set(any_peer(), 0..KEPT_MAX);
    let wanted = proptest::collection::vec((any::<u32>(), 0_u32..99), 0..9);
    (hashes, name, urls(KEPT_MAX), web_seeds(), urls(TORRENT_URLS_MAX), peers, wanted).prop_map(
        |((v1, v2, is_v2), name, trackers, web_seeds, torrent_urls, peers, wanted)| {
            let wanted = wanted.into_iter().map(|(first, more)| first..=first.saturating_add(more));
            let wanted: Vec<_> = wanted.collect();
            let choice = Magnet { wanted, ..Magnet::from_hash(V1).unwrap() };
            Magnet {
                info_hash_v1: v1.map(InfoHash),
                info_hash_v2: (is_v2 || v1.is_none()).then_some(InfoHashV2(v2)),
                name,
                trackers,
                web_seeds,
                torrent_urls,
                peers: peers.into_iter().collect(),
                // Only reading puts ranges in order.
                wanted: read(&choice.to_string()).wanted,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(magnet in any_magnet()) {
        let link = magnet.to_string();
        prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic()), "{}", link);
        prop_assert_eq!(Magnet::parse(&link), Ok(magnet));
    }
}
