//! Every decoder of strangers' bytes, and the reader of the journal, as a function that takes
//! any bytes, asserts what must hold of them, and is fuzzed. The decoders that nothing outside
//! their room can reach have such a function beside them: `fuzz` in their tests' names.

#[path = "fuzz/blocklist.rs"]
mod blocklist;
#[path = "fuzz/mse.rs"]
mod mse;
#[path = "fuzz/router.rs"]
mod router;
#[path = "support/fuzz.rs"]
mod support;
#[path = "fuzz/web.rs"]
mod web;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use pigeon::base::addr::{
    Locality, Teller, is_usable_peer, parse_compact_v4, parse_compact_v6, write_compact,
};
use pigeon::base::bitfield::Bitfield;
use pigeon::base::digest::sha1;
use pigeon::base::ids::{FileIndex, InfoHash};
use pigeon::base::pool::BlockPool;
use pigeon::base::units::BLOCK_LEN;
use pigeon::base::url::Url;
use pigeon::bencode::{self, Value};
use pigeon::chunk::ini::{FileDescription, Peers};
use pigeon::chunk::wire::{self as chunk_wire, CHUNK_HEAD_LEN, ChunkHead, FileInfo};
use pigeon::dht::NodeId;
use pigeon::dht::answer::{Answers, Around, Asked, Outcome};
use pigeon::dht::compact::{NODES_MAX, PEERS_MAX};
use pigeon::dht::gate::Gate;
use pigeon::dht::items::{Item, VALUE_LEN_MAX};
use pigeon::dht::message::{Body, Flaw, Message as DhtMessage, REPLY_LEN_MAX};
use pigeon::dht::nets::Family as DhtFamily;
use pigeon::dht::table::Table;
use pigeon::disk::{Home, record};
use pigeon::metainfo::magnet::{KEPT_MAX, LINK_LEN_MAX, TORRENT_URLS_MAX};
use pigeon::metainfo::{Magnet, Spelling, Torrent, WEB_SEEDS_MAX, clean_name};
use pigeon::seek::{CheckId, Input as SeekInput, Output as SeekOutput, Seek, Target};
use pigeon::tracker::announce::{AnnounceRequest, Family};
use pigeon::tracker::catalogue::{check_name, read_index};
use pigeon::tracker::exchange::{Ask, CallId, Exchanges, Output, RETRY};
use pigeon::tracker::http::{self, announce_url, parse_reply, parse_scrape, scrape_url};
use pigeon::tracker::proof::{Introduction, SignedChange};
use pigeon::tracker::udp::{self, Announce, Reply, Request};
use pigeon::web::url::file_url;
use pigeon::wire::{
    Decoder, ExtendedHandshake, HANDSHAKE_LEN, HELLO_LEN, Handshake, LSD_HASHES_MAX, LSD_LEN_MAX,
    LocalAnnounce, Message, MetadataMessage, Need, PEX_CONTACTS_MAX, Pex, read_hello,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use blocklist::blocklist;
use mse::mse_handshake;
use router::{gateway_packet, router_answer};
use web::{metalink, web_response};

/// Names the targets: one test for each, and all of them for whoever drives them otherwise.
macro_rules! targets {
    ($($target:ident)*) => {
        /// Every target with the name of its corpus.
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($target), $target)),*];

        mod fuzz {
            $(
                #[test]
                fn $target() {
                    super::support::run(stringify!($target), super::$target);
                }
            )*
        }
    };
}

targets! {
    bencode_values torrent handshake peer_messages extended_handshake compact_addresses bitfield
    tracker_reply tracker_url udp_reply udp_request udp_exchange catalogue_index chunk_message
    chunk_ini resume_record introduction signed_change magnet_link metadata_message pex_message
    lsd_datagram seek_facts dht_message web_response metalink mse_handshake
    gateway_packet router_answer blocklist
}

/// Samples that nothing reads any more would look like tests.
#[test]
fn every_corpus_has_a_target() {
    let root = env!("CARGO_MANIFEST_DIR");
    let inside = [
        "config_file",
        "feed",
        "fetched_body",
        "lan_datagrams",
        "ledger",
        "move_note",
        "repl_line",
        "tracker_list",
        "tracker_query",
        "upload_stats",
    ];
    for folder in std::fs::read_dir(format!("{root}/tests/corpus")).expect("the corpus") {
        let name = folder.expect("list the corpus").file_name().to_string_lossy().into_owned();
        let is_here = TARGETS.iter().any(|(target, _)| *target == name);
        assert!(is_here || inside.contains(&name.as_str()), "nothing reads {name}");
    }
}

/// A number that only depends on the bytes: where to cut them, say.
fn number_of(bytes: &[u8]) -> usize {
    bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
}

fn bencode_values(bytes: &[u8]) {
    for limits in [bencode::TORRENT, bencode::TRACKER, bencode::MESSAGE] {
        let Ok(scan) = bencode::scan(bytes, limits) else { continue };
        assert!(scan.len <= bytes.len());
        assert!(walk(scan.root(), bytes) <= limits.tokens);
        let _ = bencode::decode::<serde_bencode::value::Value>(bytes, limits);
    }
}

/// Looks at everything in a value, and counts it.
fn walk(value: Value<'_>, whole: &[u8]) -> u32 {
    assert_eq!(whole.get(value.span()), Some(value.raw()));
    let _ = (value.bytes(), value.text(), value.integer());
    let entries = value.dict().into_iter().flatten();
    let entries: u32 = entries.map(|(_, value)| 1 + walk(value, whole)).sum();
    let items: u32 = value.list().into_iter().flatten().map(|item| walk(item, whole)).sum();
    1 + entries + items
}

fn torrent(bytes: &[u8]) {
    let _ = Torrent::from_info(bytes);
    let Ok(torrent) = Torrent::parse(bytes) else { return };
    // What was accepted is safe to use.
    for path in torrent.files.iter().map(|file| file.path) {
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(path.components().all(is_plain), "{path:?}");
    }
    for link in &torrent.symlinks {
        assert!(link.path.is_relative() && link.target.is_relative(), "{link:?}");
    }
    assert!(torrent.info_hash_v1.is_some() || torrent.info_hash_v2.is_some());
    assert_eq!(torrent.layout.is_some(), torrent.extents().is_some());
    if let Some(layout) = torrent.layout {
        assert_eq!(torrent.piece_hashes().len(), layout.piece_count() as usize * 20);
        layout.pieces().for_each(|piece| assert!(layout.len_of(piece) > 0));
    }
    let magnet = Magnet::parse(&torrent.magnet()).expect("what is written can be read");
    assert!(magnet.is_of(&torrent));
    let again = Torrent::from_info(torrent.raw_info()).expect("it was read before");
    assert_eq!(again.files, torrent.files);
    let entry = Url::parse("http://h/").expect("a URL");
    for (number, file) in (0..).map(FileIndex).zip(torrent.files.iter()) {
        for spelling in [Spelling::Preferred, Spelling::Plain] {
            let Some(path) = torrent.written_path(number, spelling) else { continue };
            assert!(!file.is_pad && (path.len() == 1 || !torrent.is_single_file()));
            let url = file_url(&entry, torrent.is_single_file(), &path);
            let target = url.iter().map(|url| url.target());
            assert!(target.flat_map(str::bytes).all(|byte| byte.is_ascii_graphic()));
        }
    }
    for url in torrent.web_seeds.iter().chain(&torrent.http_seeds) {
        assert!(Url::parse(url).is_some(), "{url:?}");
    }
    assert!(torrent.web_seeds.len() <= WEB_SEEDS_MAX);
}

fn magnet_link(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for magnet in [Magnet::parse(&text).ok(), Magnet::from_hash(&text)].into_iter().flatten() {
        assert!(magnet.info_hash_v1.is_some() || magnet.info_hash_v2.is_some());
        if let Some(name) = &magnet.name {
            assert_eq!(*name, clean_name(name.as_bytes()), "cleaned once and for all");
        }
        assert!(magnet.web_seeds.len() <= WEB_SEEDS_MAX);
        for urls in [&magnet.trackers, &magnet.web_seeds, &magnet.torrent_urls] {
            assert!(urls.len() <= KEPT_MAX);
            assert!(urls.iter().all(|url| !url.contains(char::is_control)), "{urls:?}");
        }
        assert!(magnet.peers.len() <= KEPT_MAX && magnet.torrent_urls.len() <= TORRENT_URLS_MAX);
        assert!(magnet.wanted.iter().all(|range| range.start() <= range.end()));
        let is_apart = |pair: &[std::ops::RangeInclusive<u32>]| pair[0].end() < pair[1].start();
        assert!(magnet.wanted.windows(2).all(is_apart), "{:?}", magnet.wanted);
        let link = magnet.to_string();
        if link.len() <= LINK_LEN_MAX {
            assert_eq!(Magnet::parse(&link).as_ref(), Ok(&magnet), "{link}");
        }
    }
}

fn handshake(bytes: &[u8]) {
    let mut whole = [0; HANDSHAKE_LEN];
    let count = bytes.len().min(HANDSHAKE_LEN);
    whole[..count].copy_from_slice(&bytes[..count]);
    let hello: &[u8; HELLO_LEN] = whole.first_chunk().expect("it is shorter");
    let hello = read_hello(hello);
    assert_eq!(hello.is_ok(), Handshake::decode(&whole).is_ok());
    if let Ok(handshake) = Handshake::decode(&whole) {
        assert_eq!(Handshake::decode(&handshake.encode()).ok(), Some(handshake));
        assert_eq!(hello.ok(), Some((handshake.extensions, handshake.info_hash)));
    }
}

/// What is read does not depend on how the bytes came in.
fn peer_messages(bytes: &[u8]) {
    let at_once = messages(bytes, bytes.len().max(1));
    assert_eq!(messages(bytes, 1 + number_of(bytes) % 20), at_once);
}

/// Messages as they are written, or the id and length of an unknown one.
type Messages = Vec<(Vec<u8>, Option<u32>)>;

/// The messages of a stream that comes in parts of `len` bytes, and why it ended.
fn messages(bytes: &[u8], len: usize) -> (Messages, Option<String>) {
    let pool = BlockPool::new(8 * BLOCK_LEN);
    let (mut blocks, mut out) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new(Some(2));
    let mut said = Vec::new();
    for mut part in bytes.chunks(len) {
        while !part.is_empty() {
            pool.take(1 - blocks.len().min(1), &mut blocks);
            if let Need::Room(_) = decoder.need() {
                decoder.grant();
            }
            let used = decoder.feed(part, &mut blocks, &mut out);
            for message in out.drain(..) {
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                match message {
                    Message::Unknown { id, len } => said.push((vec![id], Some(len))),
                    Message::Piece { data, .. } => {
                        said.push((bytes, None));
                        pool.give_back([data]);
                    }
                    _ => said.push((bytes, None)),
                }
            }
            match used {
                Ok(used) => part = &part[used..],
                Err(error) => return (said, Some(error.to_string())),
            }
        }
    }
    (said, None)
}

fn extended_handshake(bytes: &[u8]) {
    let mut handshake = ExtendedHandshake::default();
    if handshake.update(bytes).is_ok() {
        let mut again = ExtendedHandshake::default();
        again.update(&handshake.encode()).expect("what was read can be written");
        assert_eq!(again, handshake);
    }
}

fn metadata_message(bytes: &[u8]) {
    let Ok(Some(message)) = MetadataMessage::decode(bytes) else { return };
    if let MetadataMessage::Data { bytes: data, .. } = message {
        assert!(bytes.ends_with(data) && data.len() < bytes.len());
    }
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(MetadataMessage::decode(&written).ok(), Some(Some(message)));
}

/// Any facts in any order, four bytes each: whatever peers do, the seeker asks for what exists,
/// comes to rest, and takes nothing for right that is not.
fn seek_facts(bytes: &[u8]) {
    let target = Target::new(Some(InfoHash(sha1(&[&[7; 40_000]]))), None).expect("a hash");
    let mut seek: Seek<u8> = Seek::new(200_000);
    let mut now = Instant::now();
    let mut checks: Vec<(CheckId, Vec<Box<[u8]>>)> = Vec::new();
    let mut claims = [0; 8];
    for fact in bytes.chunks_exact(4) {
        let (peer, piece) = (fact[1] % 8, u32::from(fact[2]) % 5);
        let len = [0, 40_000, 40_000, 16_384, 50_000, 200_000][usize::from(fact[2]) % 6];
        let input = match fact[0] % 8 {
            0 => SeekInput::Claimed { peer, len: Some(len) },
            1 => SeekInput::Rejected { peer, piece },
            2 => SeekInput::Gone { peer },
            3 => SeekInput::Claimed { peer, len: None },
            4 if !checks.is_empty() => {
                let (check, pieces) = checks.remove(usize::from(fact[1]) % checks.len());
                SeekInput::Checked { check, verdict: target.check(&pieces) }
            }
            4 => SeekInput::Allowance(usize::from(fact[1]) << 12),
            5 => {
                now += Duration::from_millis(u64::from(fact[1]) << 6);
                SeekInput::Tick
            }
            _ => {
                let rest = 40_000 - piece.min(2) * 16_384;
                let bytes = vec![7 + fact[3] % 2; rest.min(16_384) as usize].into();
                SeekInput::Data { peer, piece, bytes }
            }
        };
        if let SeekInput::Claimed { peer, len } = &input {
            claims[usize::from(*peer)] = len.unwrap_or(0).max(claims[usize::from(*peer)]);
        }
        seek.handle(input, now);
        while let Some(output) = seek.poll_output() {
            match output {
                SeekOutput::Ask { peer, pieces } => {
                    let most = claims[usize::from(peer)].div_ceil(16_384);
                    assert!(pieces.iter().all(|piece| *piece < most), "{pieces:?} of {most}");
                }
                SeekOutput::Check { check, pieces } => checks.push((check, pieces)),
                SeekOutput::Done => assert_eq!(seek.next_timeout(), None),
                SeekOutput::Ban { .. } | SeekOutput::Close { .. } => {}
            }
        }
        if let Some(due) = seek.next_timeout().filter(|due| *due <= now) {
            seek.handle(SeekInput::Tick, now);
            assert!(seek.next_timeout().is_none_or(|next| next > due.max(now)), "no rest");
        }
    }
}

/// Reads a datagram of the DHT, writes it again, and lets a node answer it.
fn dht_message(bytes: &[u8]) {
    let message = DhtMessage::decode(bytes);
    if let Ok(DhtMessage { transaction, body, .. }) = message {
        let mut written = Vec::new();
        match body {
            Body::Query(query) => {
                query.write(transaction, &mut written);
                let Ok(again) = DhtMessage::decode(&written) else {
                    // A value may fill the datagram.
                    assert!(written.len() > bytes.len(), "{query:?}");
                    return;
                };
                let Body::Query(again) = again.body else { panic!("{again:?}") };
                // Only some methods want anything.
                assert_eq!((again.id, again.method), (query.id, query.method));
            }
            Body::Reply(reply) => {
                assert!(reply.named().count() <= 2 * NODES_MAX);
                assert!(reply.values.iter().count() <= PEERS_MAX);
                let item = reply.item.and_then(|view| Item::checked(&view, &view.target(), b""));
                assert!(item.is_none_or(|item| item.value.len() <= VALUE_LEN_MAX));
            }
            Body::Error(_) => {}
        }
    }
    let (mut rng, now) = (StdRng::seed_from_u64(1), Instant::now());
    let own = NodeId([3; 20]);
    let mut answers = Answers::new(own, DhtFamily::V4, &mut rng, now);
    let (table, mut gate) = (Table::new(own, now), Gate::new(64, &mut rng, now));
    let asked = Asked { message, len: bytes.len(), from: ([9, 9, 9, 9], 6881).into() };
    let around = Around { table: &table, own_peer: None, gate: &mut gate, rng: &mut rng, now };
    let mut reply = Vec::new();
    let outcome = answers.answer(&asked, around, &mut reply);
    let is_query =
        matches!(message, Ok(DhtMessage { body: Body::Query(_), .. }) | Err(Flaw::Query { .. }));
    assert!(is_query || outcome == Outcome::Silent);
    assert!(reply.len() <= REPLY_LEN_MAX.min(10 * bytes.len()));
    answers.check_invariants();
    assert!(reply.is_empty() || DhtMessage::decode(&reply).is_ok());
}

fn pex_message(bytes: &[u8]) {
    let Ok(pex) = Pex::decode(bytes) else { return };
    assert!(pex.added.len() <= PEX_CONTACTS_MAX && pex.dropped.len() <= PEX_CONTACTS_MAX);
    let mut written = Vec::new();
    pex.encode(&mut written);
    assert_eq!(Pex::decode(&written).ok(), Some(pex));
}

fn lsd_datagram(bytes: &[u8]) {
    let Some(announce) = LocalAnnounce::decode(bytes) else { return };
    assert!(announce.port != 0 && (1..=LSD_HASHES_MAX).contains(&announce.hashes.len()));
    let mut written = Vec::new();
    let count = announce.encode(SocketAddr::from(([239, 192, 152, 143], 6771)), &mut written);
    assert!(written.len() <= LSD_LEN_MAX && count > 0);
    let again = LocalAnnounce::decode(&written).expect("what was read can be written");
    assert_eq!(again.hashes, announce.hashes[..count]);
    assert_eq!((again.port, again.cookie), (announce.port, announce.cookie));
}

fn compact_addresses(bytes: &[u8]) {
    let from = Teller::Remote(Locality::Public);
    let v4: Vec<SocketAddr> = parse_compact_v4(bytes).collect();
    let v6: Vec<SocketAddr> = parse_compact_v6(bytes).collect();
    assert_eq!((v4.len(), v6.len()), (bytes.len() / 6, bytes.len() / 18));
    for address in v4.iter().chain(&v6) {
        let _ = is_usable_peer(*address, from);
    }
    let mut written = Vec::new();
    v4.iter().for_each(|address| write_compact(*address, &mut written));
    assert_eq!(written, bytes[..written.len()]);
}

fn bitfield(bytes: &[u8]) {
    for piece_count in [bytes.len() as u32 * 8, (bytes.len() as u32 * 8).saturating_sub(3), 5] {
        if let Some(set) = Bitfield::from_wire(bytes, piece_count) {
            let spare = bytes.len() as u32 * 8 - piece_count;
            let (ours, last) = (set.as_bytes(), bytes.last().unwrap_or(&0));
            assert_eq!(ours.last().unwrap_or(&0), &(last >> spare << spare));
            assert!(ours.iter().rev().skip(1).eq(bytes.iter().rev().skip(1)));
            assert_eq!(set.iter_ones().count(), set.ones() as usize);
            assert!(set.iter_ones().all(|piece| piece < piece_count));
        }
    }
}

fn tracker_reply(bytes: &[u8]) {
    let _ = parse_reply(bytes);
    let _ = parse_scrape(bytes, InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"));
}

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: pigeon::base::ids::PeerId([2; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        corrupt: 0,
        redundant: 0,
        left: 1,
        event: None,
        key: 7,
        numwant: 50,
        tracker_id: None,
        supports_crypto: false,
        requires_crypto: false,
    }
}

fn tracker_url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let urls = [announce_url(&text, &request()), scrape_url(&text, InfoHash([1; 20]))];
    for url in urls.into_iter().flatten() {
        assert!(http::is_http(&url) && !url.contains(char::is_control), "{url:?}");
    }
    if let Ok(data) = udp::url_data(&text) {
        assert!(text.ends_with(data) || text.contains('#'));
        let announce = Announce::new(&request(), data);
        let mut datagram = Vec::new();
        let (connection, transaction) = (udp::ConnectionId(1), udp::TransactionId(2));
        Request::Announce { connection, transaction, announce }.encode(&mut datagram);
        assert!(Request::decode(&datagram).is_some(), "what is sent can be read");
    }
    let _ = http::check_host(&text);
    let clean = clean_name(bytes);
    assert!(!clean.contains(['/', '\0']) && clean != ".." && !clean.is_empty(), "{clean:?}");
}

fn udp_reply(bytes: &[u8]) {
    for family in Family::BOTH {
        if let Ok(reply) = Reply::decode(bytes, family) {
            if let Reply::Error { message, .. } = &reply {
                assert!(message.len() <= 3 * 1024, "what is no text becomes three bytes each");
                continue;
            }
            if let Reply::Announce { peers, .. } = &reply
                && peers.iter().any(|peer| Family::of(*peer) != family)
            {
                continue; // IPv4 written as IPv6 has no place in what we write.
            }
            let mut written = Vec::new();
            reply.encode(family, &mut written);
            assert_eq!(Reply::decode(&written, family).ok(), Some(reply));
        }
    }
}

fn udp_request(bytes: &[u8]) {
    if let Some(request) = Request::decode(bytes) {
        let mut written = Vec::new();
        request.encode(&mut written);
        assert_eq!(Request::decode(&written), Some(request), "what was read can be written");
    }
}

/// A tracker that answers each question with these bytes, under the right number.
fn udp_exchange(bytes: &[u8]) {
    let (call, now) = (CallId(1), Instant::now());
    let tracker = SocketAddr::from(([192, 0, 2, 1], 6969));
    let rng = StdRng::seed_from_u64(number_of(bytes) as u64);
    let mut exchanges = Exchanges::new(RETRY, rng);
    exchanges.begin(call, vec![tracker], Ask::Announce(Announce::new(&request(), "/a")), now);
    for step in 0..20 {
        let now = now + Duration::from_secs(step);
        match exchanges.poll_output() {
            Some(Output::Send { datagram, .. }) => {
                let mut answer = bytes.to_vec();
                if let Some(transaction) = answer.get_mut(4..8) {
                    transaction.copy_from_slice(&datagram[12..16]);
                }
                exchanges.on_datagram(tracker, &answer, now);
            }
            Some(Output::Done { result, .. }) => {
                assert!(!matches!(result, Ok(Reply::Connect { .. } | Reply::Error { .. })));
                assert_eq!(exchanges.next_timeout(), None, "nothing is open");
                return;
            }
            None => exchanges.tick(now),
        }
    }
}

fn catalogue_index(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in read_index(&text).unwrap_or_default() {
        if check_name(&line.name).is_ok() {
            assert!(!line.name.contains(['/', '\\', '\0', '\n']), "{:?}", line.name);
        }
    }
}

fn chunk_message(bytes: &[u8]) {
    chunk_message_as_it_is(bytes);
    // With a length that is right, so that more than the header is looked at.
    let mut right = bytes.to_vec();
    right.resize(bytes.len().next_multiple_of(4), 0);
    let dwords = u32::try_from(right.len() / 4).expect("inputs are short");
    if let Some(len) = right.get_mut(4..8) {
        len.copy_from_slice(&dwords.to_be_bytes());
        right[0] = chunk_wire::VERSION;
        chunk_message_as_it_is(&right);
    }
}

fn chunk_message_as_it_is(bytes: &[u8]) {
    if let Ok(message) = chunk_wire::Message::decode(bytes) {
        let mut written = Vec::new();
        message.encode(&mut written).expect("what was read can be written");
        assert_eq!(chunk_wire::Message::decode(&written), Ok(message));
    }
    let _ = FileInfo::decode_body(bytes);
    if let Some(Ok(head)) = bytes.first_chunk::<CHUNK_HEAD_LEN>().map(ChunkHead::decode) {
        assert_eq!(ChunkHead::decode(&head.encode().expect("it was read")), Ok(head));
    }
}

fn chunk_ini(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Peers::parse(&text);
    let section = |name| format!("[{name}]\nip_address = 192.0.2.1\nport_number = 8000\n");
    let peers = Peers::parse(&(section("alice") + &section("bob"))).expect("two providers");
    if let Ok(file) = FileDescription::parse(&text) {
        let _ = file.listing(&peers);
        let again = FileDescription::parse(&file.render()).expect("what was read can be written");
        assert_eq!(again.chunks, file.chunks);
    }
}

fn resume_record(bytes: &[u8]) {
    const TORRENT: &[u8] = b"d4:infod5:filesld6:lengthi70000e4:pathl1:aeed6:lengthi2768e4:path\
        l1:beee4:name1:x12:piece lengthi32768e6:pieces60:aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb\
        ccccccccccccccccccccee";
    let torrent = Torrent::parse(TORRENT).expect("it is one");
    let layout = torrent.layout.expect("of the first version");
    let home = Home::at("/downloads".into());
    let subject =
        record::Subject { info_hash: InfoHash([b'h'; 20]), layout, home, others: Vec::new() };
    let extents = torrent.extents().expect("as the layout");
    for bytes in [bytes.to_vec(), with_right_checks(bytes, subject.info_hash)] {
        if let Some(home) = record::home(&bytes, subject.info_hash) {
            let _ = (home.path_of(0, Path::new("x/a")), home.in_folder(Path::new("x/l")));
        }
        if let Ok(replayed) = record::replay(&bytes, &subject, &extents) {
            assert_eq!(replayed.verified.piece_count(), layout.piece_count());
            let durable = replayed.durable.iter_ones();
            let is_verified =
                |piece| layout.piece(piece).is_some_and(|piece| replayed.verified.has(piece));
            assert!(durable.into_iter().all(is_verified), "{replayed:?}");
        }
    }
}

/// The checks of a record made right, without which no change would get past them.
fn with_right_checks(bytes: &[u8], info_hash: InfoHash) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let head_len = bencode::scan(&bytes, bencode::TORRENT).map_or(0, |scan| scan.len);
    let (head, behind) = bytes.split_at_mut(head_len);
    let Some((check, entries)) = behind.split_at_mut_checked(20) else { return bytes };
    check.copy_from_slice(&sha1(&[head]));
    for entry in entries.chunks_exact_mut(32) {
        let (said, check) = entry.split_at_mut(24);
        // Some stay torn.
        if said[1] == 0 {
            check.copy_from_slice(&sha1(&[&info_hash.0, said])[..8]);
        }
    }
    bytes
}

/// What a tracker says about itself: a stranger has shown nothing by bytes alone.
fn introduction(bytes: &[u8]) {
    let Ok(said) = serde_json::from_slice::<Introduction>(bytes) else { return };
    assert!(said.check(&[7; 16]).is_none(), "nobody signed this");
}

fn signed_change(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(change) = SignedChange::from_header(text) {
        assert_eq!(SignedChange::from_header(&change.to_header()), Some(change));
    }
}
