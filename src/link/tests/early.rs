//! Links that are up before anybody knows their torrent (BEP 9), what they then carry, and the
//! exchange of peers (BEP 11): byte by byte, by hand.

use super::*;
use crate::swarm::link::{MetadataCommand, MetadataEvent, PeerCommand};
use crate::wire::{Pex, PexFlags};

/// Our extension handshake with the exchange of peers in it, and the other without.
const BOTH: &[u8] = b"d1:md11:ut_metadatai2e6:ut_pexi1ee4:reqqi500e\
    1:v12:Pigeon 0.1.06:yourip4:\x7f\0\0\x01e";
const NO_PEX: &[u8] = b"d1:md11:ut_metadatai2ee4:reqqi500e\
    1:v12:Pigeon 0.1.06:yourip4:\x7f\0\0\x01e";

/// Nobody knows the torrent, and peers are exchanged.
fn unknown() -> LinkConfig {
    LinkConfig { subject: Subject::default(), exchanges_peers: true, ..config(32) }
}

/// What the torrent turns out to be, with metadata of so many bytes.
fn known(metadata_len: usize) -> Known {
    let metadata = (0..metadata_len).map(|at| b'a' + at as u8).collect();
    Known { layout: config(1).layout(), outlet: None, metadata: Some(metadata) }
}

/// A message of the extension protocol.
fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 2).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[20, id]);
    bytes.extend_from_slice(payload);
    bytes
}

impl Bench {
    async fn say(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
    }

    /// So many events, as text.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            told.extend(self.events().await.iter().map(|event| format!("{event:?}")));
        }
        told
    }

    /// Nothing is told, and nothing is sent but for a message that is ordered now.
    async fn is_quiet(&mut self) {
        self.order(vec![LinkCommand::Peer(PeerCommand::NotInterested)]).await;
        self.expect(b"\0\0\0\x01\x03").await;
        let news = tokio::time::timeout(Duration::from_secs(9), self.reports.recv()).await;
        assert!(news.is_err(), "{news:?}");
    }

    async fn none_here(&mut self, introduction: &[u8]) {
        self.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
        self.expect(b"\0\0\0\x01\x0f").await;
        self.expect(&extended(0, introduction)).await;
    }
}

fn described(text: &str) -> bool {
    text.starts_with("Described")
}

#[tokio::test(start_paused = true)]
async fn what_a_remote_says_before_its_torrent_is_known_is_told_with_our_pieces() {
    let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
    bench.none_here(BOTH).await;
    // Pieces 0 and 9, then 3; unchoked; what only holds for a moment is passed over.
    bench.say(b"\0\0\0\x03\x05\x80\x40\0\0\0\x05\x04\0\0\0\x03\0\0\0\x01\x01").await;
    bench.say(b"\0\0\0\x0d\x06\0\0\0\x01\0\0\0\0\0\0\x40\0").await;
    bench.is_quiet().await;
    bench.say(&extended(0, b"d1:md11:ut_metadatai3ee13:metadata_sizei10ee")).await;
    let told = bench.told(1).await;
    assert!(described(&told[0]) && told[0].contains("metadata_len: Some(10)"), "{told:?}");
    bench.config.subject.know(known(10));
    bench.is_quiet().await;
    let mut ours = Bitfield::none(PIECES);
    ours.insert(bench.piece(4));
    bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::Some(ours)))]).await;
    // Our pieces are news, and so is it that we have the metadata.
    bench.expect(b"\0\0\0\x05\x04\0\0\0\x04").await;
    bench.expect(&extended(0, b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei10ee")).await;
    let told = bench.told(4).await;
    assert!(told[0].starts_with("Availability(Some"), "{told:?}");
    assert!(told[1].starts_with("Haves([") && told[1].contains('3'), "{told:?}");
    assert_eq!(told[2], "Unchoked");
    assert!(described(&told[3]) && told.len() == 4, "{told:?}");
    // From now on it is as any link.
    bench.say(b"\0\0\0\x05\x04\0\0\0\x05\0\0\0\x01\x02").await;
    assert_eq!(bench.told(2).await[1], "Interested");
    bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
    bench.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_in_the_torrent_ends_the_link_once_that_is_known() {
    let cases: [(&[u8; 68], &[u8], &str); 3] = [
        (HELLO_ALL, b"\0\0\0\x04\x05\x80\x40\0", "it sent a bitfield of 3 bytes"),
        (HELLO_ALL, b"\0\0\0\x05\x04\0\0\0\x0a", "it named piece 10, which does not exist"),
        (HELLO_PLAIN, b"\0\0\0\x01\x0e", "it sent have-all without the fast extension"),
    ];
    for (hello, bytes, why) in cases {
        let (mut bench, _) = Bench::up(unknown(), hello).await;
        bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
        bench.say(bytes).await;
        sleep(Duration::from_secs(5)).await;
        bench.config.subject.know(known(10));
        bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
        assert_eq!(bench.down().await, DownReason::Violated(why.to_owned()));
    }
}

/// The torrent is found while a link comes up: its first word says all of it.
#[tokio::test(start_paused = true)]
async fn a_link_that_came_up_too_late_to_seek_says_that_the_metadata_is_here() {
    let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
    bench.config.subject.know(known(10));
    let introduction = b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei10e4:reqqi500e\
        1:v12:Pigeon 0.1.06:yourip4:\x7f\0\0\x01e";
    bench.none_here(introduction).await;
    bench.say(b"\0\0\0\x01\x0e").await;
    assert_eq!(bench.told(1).await, ["Availability(All)"]);
}

#[tokio::test(start_paused = true)]
async fn metadata_goes_both_ways_byte_by_byte() {
    let subject = Subject::of(known(10));
    let (mut bench, _) = Bench::up(LinkConfig { subject, ..unknown() }, HELLO_ALL).await;
    let ask = || LinkCommand::from(MetadataCommand::Ask(vec![0, 7]));
    // It has not said under which number it takes them.
    bench.order(vec![ask()]).await;
    bench.is_quiet().await;
    bench.say(&extended(0, b"d1:md11:ut_metadatai3eee")).await;
    bench.told(1).await;
    let give = MetadataCommand::Give { piece: 1, range: 3..8 }.into();
    let refuse = MetadataCommand::Refuse(5).into();
    bench.order(vec![ask(), give, refuse]).await;
    bench.expect(&extended(3, b"d8:msg_typei0e5:piecei0ee")).await;
    bench.expect(&extended(3, b"d8:msg_typei0e5:piecei7ee")).await;
    bench.expect(&extended(3, b"d8:msg_typei1e5:piecei1e10:total_sizei10eedefgh")).await;
    bench.expect(&extended(3, b"d8:msg_typei2e5:piecei5ee")).await;
    let sent = bench.events().await;
    assert!(matches!(sent[..], [LinkEvent::Metadata(MetadataEvent::Sent(5))]), "{sent:?}");
    bench.say(&extended(2, b"d8:msg_typei0e5:piecei4ee")).await;
    bench.say(&extended(2, b"d3:addi1e8:msg_typei1e5:piecei1e10:total_sizei5eeeexee")).await;
    bench.say(&extended(2, b"d8:msg_typei2e5:piecei9ee")).await;
    // "To extend this protocol … a client MUST ignore unrecognized message types."
    bench.say(&extended(2, b"d8:msg_typei9ee")).await;
    let asked = MetadataEvent::Asked(4);
    let piece = MetadataEvent::Piece { piece: 1, bytes: b"eexee".as_slice().into() };
    let refused = MetadataEvent::Refused(9);
    let expected = [asked, piece, refused].map(|event| format!("{:?}", LinkEvent::Metadata(event)));
    assert_eq!(bench.told(3).await, expected);
    bench.is_quiet().await;
    // Switched off by a second handshake (BEP 10).
    bench.say(&extended(0, b"d1:md11:ut_metadatai0eee")).await;
    bench.told(1).await;
    bench.order(vec![ask()]).await;
    bench.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_read_ends_the_link() {
    let long = [b"d8:msg_typei1e5:piecei0ee".as_slice(), &[0; 18 * 1024]].concat();
    for payload in [&b"d8:msg_typei0ee"[..], b"le", b"", &long[..]] {
        let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
        bench.say(&extended(2, payload)).await;
        assert!(matches!(bench.down().await, DownReason::Violated(_)));
    }
}

const THREE: &[u8] = b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x1a\xe27:added.f2:\
    \x02\x107:dropped6:\x09\x09\x09\x09\x1a\xe1e";

fn three() -> Pex {
    let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
    let added = vec![
        (at([1, 2, 3, 4], 6881), PexFlags::SEED),
        (at([5, 6, 7, 8], 6882), PexFlags::REACHABLE),
    ];
    Pex { added, dropped: vec![at([9, 9, 9, 9], 6881)] }
}

#[tokio::test(start_paused = true)]
async fn peers_are_exchanged_both_ways_until_that_is_stopped() {
    let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
    bench.none_here(BOTH).await;
    // It has not said under which number it takes them.
    bench.order(vec![ExtendedCommand::TellPeers(three()).into()]).await;
    bench.is_quiet().await;
    bench.say(&extended(0, b"d1:md6:ut_pexi7eee")).await;
    assert!(bench.told(1).await[0].contains("takes_peers: true"));
    bench.order(vec![ExtendedCommand::TellPeers(three()).into()]).await;
    bench.expect(&extended(7, THREE)).await;
    bench.say(&extended(1, THREE)).await;
    assert_eq!(bench.told(1).await, [format!("{:?}", LinkEvent::Peers(three()))]);
    // Not under its own number.
    bench.say(&extended(7, THREE)).await;
    bench.is_quiet().await;
    bench.order(vec![PeerCommand::StopExchange.into()]).await;
    bench.expect(&extended(0, b"d1:md11:ut_metadatai2e6:ut_pexi0eee")).await;
    bench.say(&extended(1, THREE)).await;
    bench.say(&extended(1, b"nonsense")).await;
    bench.order(vec![ExtendedCommand::TellPeers(three()).into()]).await;
    bench.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_to_exchange_no_peers_never_says_that_it_does() {
    // As when the torrent turns out to be private while it comes up.
    let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
    bench.order(vec![PeerCommand::StopExchange.into()]).await;
    bench.none_here(NO_PEX).await;
    let (mut never, _) =
        Bench::up(LinkConfig { exchanges_peers: false, ..unknown() }, HELLO_ALL).await;
    never.none_here(NO_PEX).await;
    for mut bench in [bench, never] {
        bench.say(&extended(0, b"d1:md6:ut_pexi7eee")).await;
        bench.told(1).await;
        bench.say(&extended(1, THREE)).await;
        bench.say(&extended(1, b"nonsense")).await;
        bench.order(vec![ExtendedCommand::TellPeers(three()).into()]).await;
        bench.is_quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_cannot_be_read_end_the_link() {
    for payload in [&b"d5:added5:abcdee"[..], b"nonsense"] {
        let (mut bench, _) = Bench::up(unknown(), HELLO_ALL).await;
        bench.say(&extended(1, payload)).await;
        assert!(matches!(bench.down().await, DownReason::Violated(_)));
    }
}

// "Peers supporting the DHT set the last bit of the 8-byte reserved flags […] Peer receiving this
// indicator […] should send a PORT message" (BEP 5); our pieces come first all the same (BEP 6).
#[tokio::test(start_paused = true)]
async fn ports_of_nodes_are_told_behind_our_pieces_and_once() {
    const PORT: &[u8] = b"\0\0\0\x03\x09\x1a\xe1";
    let (nodes, mut named) = mpsc::channel(8);
    for (has_node, hello) in [(true, HELLO_ALL), (false, HELLO_PLAIN)] {
        let mut hello = *hello;
        hello[27] |= u8::from(has_node);
        let dht = Some(DhtEnd { ports: OwnPorts::fixed(6880, 6881), nodes: nodes.clone() });
        let mut bench = Bench::begin(LinkConfig { dht, ..config(32) }, &hello, 64 * 1024).await;
        let mut answer = [0; 68];
        bench.peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[27], 0x05, "the fast extension and a node");
        bench.news().await;
        bench.say(b"\0\0\0\x03\x09\x1b\x58").await;
        let node = named.recv().await.unwrap();
        assert_eq!(node, SocketAddr::from(([127, 0, 0, 1], 7000)));
        bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
        if has_node {
            bench.expect(b"\0\0\0\x01\x0f").await;
            bench.expect(INTRODUCTION).await;
        }
        bench.expect(PORT).await;
        // Asked again, it says nothing more: the choke comes next.
        bench.say(b"\0\0\0\x03\x09\x1b\x58").await;
        named.recv().await.unwrap();
        bench.order(vec![LinkCommand::Peer(PeerCommand::Choke)]).await;
        bench.expect(b"\0\0\0\x01\x00").await;
    }
}

// BEP 27: a private torrent has no part in the DHT.
#[tokio::test(start_paused = true)]
async fn nodes_are_neither_told_nor_heard_of_once_the_torrent_proves_private() {
    let (nodes, mut named) = mpsc::channel(8);
    let mut hello = *HELLO_ALL;
    hello[27] |= 1;
    let dht = Some(DhtEnd { ports: OwnPorts::fixed(6880, 6881), nodes });
    let mut bench = Bench::begin(LinkConfig { dht, ..config(32) }, &hello, 64 * 1024).await;
    bench.peer.read_exact(&mut [0; 68]).await.unwrap();
    bench.news().await;
    bench.order(vec![PeerCommand::StopExchange.into()]).await;
    bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
    bench.expect(b"\0\0\0\x01\x0f").await;
    bench.expect(INTRODUCTION).await;
    bench.say(b"\0\0\0\x03\x09\x1b\x58").await;
    bench.is_quiet().await;
    assert!(named.try_recv().is_err(), "a node is named");
}

// BEP 52: a hybrid is in two swarms, by either of its hashes.
#[tokio::test(start_paused = true)]
async fn whoever_calls_by_another_hash_is_answered_by_it() {
    let (mut peer, ours) = tokio::io::duplex(1024);
    let mut hello = *HELLO_ALL;
    hello[28..48].fill(b'z');
    peer.write_all(&hello).await.unwrap();
    let (hello, stream) =
        read_hello(ours.into(), Duration::from_secs(10), &Door::plain()).await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 5));
    let (reports, mut news) = mpsc::channel(8);
    let config = Arc::new(config(32));
    let _handle = accept(config, LinkId(1), address, stream, hello, reports);
    let mut answer = [0; 68];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[28..48], [b'z'; 20]);
    assert!(matches!(news.recv().await.unwrap().news, LinkNews::Up { .. }));
}
