//! Links over real sockets, against the mock peer.

#[path = "support/content.rs"]
mod content;
#[path = "support/mock_peer.rs"]
mod mock_peer;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::Layout;
use pigeon::base::pool::BlockPool;
use pigeon::link::{
    Door, LinkConfig, LinkHandle, LinkNews, LinkReport, LinkTimeouts, Secrecy, Stream, Subject,
    accept, dial, read_hello,
};
use pigeon::net::limiter::Limiter;
use pigeon::net::tcp;
use pigeon::swarm::event::DownReason;
use pigeon::swarm::link::{
    Availability, CloseReason, LinkCommand, LinkEvent, MetadataCommand, MetadataEvent, PeerCommand,
};
use pigeon::wire::mse::{Encryption, Ways};
use tokio::sync::mpsc;

use content::Spec;
use mock_peer::{Answer, BITS_NONE, Behaviour, Metadata, MockPeer, Script};

use pigeon::net::egress::Egress;

const LINK: LinkId = LinkId(7);

fn spec() -> Arc<Spec> {
    Arc::new(Spec::single(1, "file", 40 * 65_536 + 5, 65_536))
}

fn config(spec: &Spec) -> Arc<LinkConfig> {
    Arc::new(LinkConfig {
        info_hash: InfoHash(spec.info_hash()),
        peer_id: PeerId(*b"-PN0100-000000000000"),
        subject: Subject::with_layout(Layout::new(spec.total_len(), spec.piece_len).unwrap()),
        exchanges_peers: false,
        pool: BlockPool::new(1 << 20),
        limiter: Arc::new(Limiter::new(None)),
        up_limiter: Arc::new(Limiter::new(None)),
        ports: None,
        dht: None,
        egress: Egress::default(),
        secrecy: Secrecy::new(Encryption::Off),
        timeouts: LinkTimeouts { handshake: Duration::from_millis(300), ..LinkTimeouts::default() },
    })
}

async fn next(reports: &mut mpsc::Receiver<LinkReport>) -> LinkNews {
    let report = tokio::time::timeout(Duration::from_secs(20), reports.recv()).await;
    report.expect("news in time").expect("a link says that it ends").news
}

/// Asks for everything as soon as it may and compares every byte.
async fn fetch_all(
    spec: &Spec,
    config: &LinkConfig,
    handle: &LinkHandle,
    reports: &mut mpsc::Receiver<LinkReport>,
) {
    let LinkNews::Up { .. } = next(reports).await else { panic!("not up") };
    let first = vec![
        LinkCommand::Peer(PeerCommand::Availability(Availability::None)),
        LinkCommand::Peer(PeerCommand::Interested),
    ];
    handle.commands.send(first).await.unwrap();
    let layout = config.subject.known().unwrap().layout;
    let mut left: usize = layout.pieces().map(|piece| layout.block_count(piece) as usize).sum();
    let mut has_all = false;
    while left > 0 {
        let LinkNews::Events(events) = next(reports).await else { panic!("link lost") };
        for event in events {
            match event {
                LinkEvent::Availability(Availability::All) => has_all = true,
                LinkEvent::Unchoked => {
                    let blocks = layout.pieces().flat_map(|piece| layout.blocks(piece)).collect();
                    handle.commands.send(vec![LinkCommand::Request(blocks)]).await.unwrap();
                }
                LinkEvent::Blocks(blocks) => {
                    for (block, data) in blocks {
                        let want =
                            spec.block(block.piece().number(), block.begin(), block.len_bytes());
                        assert!(data.bytes() == want, "{block:?}");
                        left -= 1;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(has_all);
    handle.commands.send(vec![LinkCommand::Close(CloseReason::BothComplete)]).await.unwrap();
    assert!(matches!(
        next(reports).await,
        LinkNews::Down(DownReason::Closed(CloseReason::BothComplete))
    ));
    assert_eq!(config.pool.in_use_blocks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_fetched_by_dialling() {
    for bits in [BITS_NONE, mock_peer::BITS_ALL] {
        let spec = spec();
        let config = config(&spec);
        let behaviour = Behaviour { bits, ..Behaviour::default() };
        let peer = MockPeer::listen(spec.clone(), behaviour).await;
        let (sender, mut reports) = mpsc::channel(4);
        let handle = dial(config.clone(), LINK, peer.address, Ways::default(), sender);
        fetch_all(&spec, &config, &handle, &mut reports).await;
        assert_eq!(peer.requests(), 40 * 4 + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_fetched_from_a_peer_that_dials() {
    let spec = spec();
    let config = config(&spec);
    let listening =
        tcp::listen(&Egress::from_address(Some(Ipv4Addr::LOCALHOST.into())), Some(0)).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listening.port));
    let dialling = MockPeer::dial(address, spec.clone(), Behaviour::default());
    let (_peer, accepted) = tokio::join!(dialling, listening.listeners[0].accept());
    let (stream, address) = accepted.unwrap();
    let (hello, stream) =
        read_hello(Stream::Tcp(stream), Duration::from_secs(5), &Door::plain()).await.unwrap();
    assert_eq!(hello.info_hash, config.info_hash);
    let (sender, mut reports) = mpsc::channel(4);
    let handle = accept(config.clone(), LINK, address, stream, hello, sender);
    fetch_all(&spec, &config, &handle, &mut reports).await;
}

/// The torrent comes to be known over the very link that then brings it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_makes_of_a_request_for_metadata_is_told_and_the_link_goes_on() {
    let spec = spec();
    let info = spec.info();
    let mut wrong = info.clone();
    wrong[9] ^= 1;
    let piece = |bytes: &[u8]| MetadataEvent::Piece { piece: 0, bytes: bytes.into() };
    for (metadata, answer) in [
        (Metadata::Honest, piece(&info)),
        (Metadata::Wrong, piece(&wrong)),
        (Metadata::Refused, MetadataEvent::Refused(0)),
        (Metadata::OfLength(77), piece(&[0; 77])),
    ] {
        let behaviour = Behaviour { metadata, ..Behaviour::default() };
        let peer = MockPeer::listen(spec.clone(), behaviour).await;
        let known = config(&spec);
        let config = Arc::new(LinkConfig { subject: Subject::default(), ..(*known).clone() });
        let (sender, mut reports) = mpsc::channel(16);
        let handle = dial(config.clone(), LINK, peer.address, Ways::default(), sender);
        let LinkNews::Up { .. } = next(&mut reports).await else { panic!("not up") };
        let none = || vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))];
        handle.commands.send(none()).await.unwrap();
        let mut told = Vec::new();
        let mut is_asked = false;
        while !told.iter().any(|event| matches!(event, LinkEvent::Metadata(_))) {
            let LinkNews::Events(events) = next(&mut reports).await else { panic!("link lost") };
            told.extend(events);
            let takes = |event: &LinkEvent| match event {
                LinkEvent::Described(described) => described.metadata_len.is_some(),
                _ => false,
            };
            if !is_asked && told.iter().any(takes) {
                is_asked = true;
                let ask = MetadataCommand::Ask(vec![0]).into();
                handle.commands.send(vec![ask]).await.unwrap();
            }
        }
        let is_of_pieces = |event: &LinkEvent| matches!(event, LinkEvent::Availability(_));
        assert!(!told.iter().any(is_of_pieces), "nobody knows what those would be: {told:?}");
        let Some(LinkEvent::Metadata(event)) = told.pop() else { panic!("{told:?}") };
        assert_eq!(event, answer);

        config.subject.know(known.subject.known().unwrap().clone());
        handle.commands.send(none()).await.unwrap();
        let mut has_all = false;
        while !has_all {
            let LinkNews::Events(events) = next(&mut reports).await else { panic!("link lost") };
            has_all = events
                .iter()
                .any(|event| matches!(event, LinkEvent::Availability(Availability::All)));
        }
    }
}

#[tokio::test]
async fn dials_that_fail_say_why() {
    let spec = spec();
    let config = config(&spec);
    let (sender, mut reports) = mpsc::channel(4);

    let port =
        tcp::listen(&Egress::from_address(Some(Ipv4Addr::LOCALHOST.into())), Some(0)).unwrap().port;
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let _handle = dial(config.clone(), LINK, closed, Ways::default(), sender.clone());
    let LinkNews::Down(DownReason::DialFailed(why)) = next(&mut reports).await else { panic!() };
    assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");

    let other = Behaviour { info_hash: Some([9; 20]), ..Behaviour::default() };
    let peer = MockPeer::listen(spec.clone(), other).await;
    let _handle = dial(config.clone(), LINK, peer.address, Ways::default(), sender.clone());
    let LinkNews::Down(reason) = next(&mut reports).await else { panic!() };
    assert_eq!(reason, DownReason::Violated("it answered for another torrent".to_owned()));

    let slow = Behaviour { handshake_delay: Duration::from_secs(60), ..Behaviour::default() };
    let peer = MockPeer::listen(spec.clone(), slow).await;
    let _handle = dial(config.clone(), LINK, peer.address, Ways::default(), sender.clone());
    let LinkNews::Down(reason) = next(&mut reports).await else { panic!() };
    let why = "it sent no handshake in time; it may require encryption, which is off here";
    assert_eq!(reason, DownReason::HandshakeFailed(why.to_owned()));
}

#[tokio::test]
async fn the_mock_misbehaves_as_told() {
    let spec = spec();
    let peer = MockPeer::listen(
        spec.clone(),
        Behaviour::answering(|asked| match asked.number {
            0 => Answer::Honest,
            1 => Answer::FlipBit,
            2 => Answer::Reject,
            3 => Answer::Raw(vec![0; 4]),
            4 => Answer::Choke(Duration::ZERO),
            5 => Answer::Ignore,
            6 => Answer::After(Duration::from_millis(1), Box::new(Answer::Corrupt)),
            _ => Answer::Close,
        }),
    )
    .await;
    let mut script = Script::dial(peer.address).await.unwrap();
    let ours = mock_peer::handshake(BITS_NONE, spec.info_hash(), [1; 20]);
    let theirs = script.shake_hands(&ours).await.unwrap();
    assert_eq!(theirs[28..48], spec.info_hash());
    assert_eq!(script.message().await.unwrap(), Some((14, Vec::new())));
    let ask = mock_peer::message(6, b"\0\0\0\x02\0\0\0\0\0\0\0\x02");
    script.send(&ask.repeat(8)).await.unwrap();
    let mut data = spec.block(2, 0, 2);
    let head = b"\0\0\0\x02\0\0\0\0";
    assert_eq!(script.message().await.unwrap(), Some((7, [&head[..], &data].concat())));
    data[0] ^= 1;
    assert_eq!(script.message().await.unwrap(), Some((7, [&head[..], &data].concat())));
    assert_eq!(script.message().await.unwrap(), Some((16, ask[5..].to_vec())));
    assert_eq!(script.message().await.unwrap(), None);
    assert_eq!(script.message().await.unwrap(), Some((0, Vec::new())));
    assert_eq!(script.message().await.unwrap(), Some((1, Vec::new())));
    let corrupt: Vec<u8> = spec.block(2, 0, 2).iter().map(|byte| !byte).collect();
    assert_eq!(script.message().await.unwrap(), Some((7, [&head[..], &corrupt].concat())));
    assert!(script.message().await.is_err());
    assert_eq!(peer.connections(), 1);
}

#[test]
fn content_is_the_same_from_any_offset() {
    let all = content::bytes(3, 0, 1_000);
    for (begin, len) in [(0, 1), (1, 7), (7, 9), (8, 8), (123, 456), (999, 1)] {
        assert_eq!(content::bytes(3, begin as u64, len), all[begin..begin + len]);
    }
    assert_ne!(content::bytes(4, 0, 1_000), all);
    let spec = Spec::multi(3, "dir", &[("a", 10), ("b/c", 20)], 16).with_tracker("http://t/");
    assert_eq!(spec.file(1), all[10..30]);
    let torrent = spec.torrent();
    let text = String::from_utf8_lossy(&torrent);
    assert!(text.starts_with(
        "d8:announce9:http://t/4:infod5:filesld6:lengthi10e4:pathl1:aeed6:lengthi20e4:path\
         l1:b1:ceee4:name3:dir12:piece lengthi16e6:pieces40:"
    ));
    assert_eq!(spec.piece_hashes().len(), 40);
}
