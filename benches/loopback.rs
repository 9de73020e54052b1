//! The whole path of a block, from a socket of the loopback device to a file: a session
//! downloads 256 MiB from one seeder that does as little as possible, or as chunks from two
//! course providers. Compare within one run only; other clients are compared outside of the
//! repository.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use pigeon::base::bitfield::Bitfield;
use pigeon::chunk::provider;
use pigeon::chunk::store::ChunkStore;
use pigeon::chunk::wire::ChunkHash;
use pigeon::link::Provider;
use pigeon::metainfo::Torrent;
use pigeon::session::{Encryption, Session, SessionConfig, TorrentOptions};
use pigeon::wire::{Extensions, Handshake, Message};
use sha1::{Digest, Sha1};

const TOTAL_LEN: usize = 256 << 20;

fn main() {
    divan::main();
}

#[divan::bench(
    args = [16 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20],
    sample_count = 5,
    sample_size = 1
)]
fn download(bencher: Bencher, piece_len: usize) {
    let content: Arc<[u8]> = content().into();
    let torrent = Arc::new(torrent(&content, piece_len));
    let seeder = seed(content, torrent.clone(), piece_len);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    bencher.counter(BytesCount::new(TOTAL_LEN)).bench_local(|| {
        let home = tempfile::tempdir().expect("a directory");
        runtime.block_on(fetch(torrent.clone(), Some(seeder), Vec::new(), home.path()));
    });
}

#[divan::bench(args = [512 << 10, 1 << 20, 2 << 20], sample_count = 5, sample_size = 1)]
fn download_chunks(bencher: Bencher, chunk_len: usize) {
    let content = content();
    let torrent = Arc::new(torrent(&content, chunk_len));
    let chunks = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let addresses = ["alice", "bob"].map(|name| {
        let store = ChunkStore::new(chunks.path(), name).expect("a store");
        for (chunk, hash) in content.chunks(chunk_len).zip(hashes(&torrent)) {
            store.write(hash, chunk).expect("a chunk");
        }
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its number");
        runtime.spawn(provider::serve(listener, store, std::future::pending()));
        address
    });
    let hashes: Arc<[ChunkHash]> = hashes(&torrent).collect();
    let providers = addresses.map(|address| Provider {
        address,
        name: address.to_string(),
        pieces: Bitfield::all(torrent.num_pieces),
        hashes: hashes.clone(),
    });
    bencher.counter(BytesCount::new(TOTAL_LEN)).bench_local(|| {
        let home = tempfile::tempdir().expect("a directory");
        runtime.block_on(fetch(torrent.clone(), None, providers.to_vec(), home.path()));
    });
}

fn hashes(torrent: &Torrent) -> impl Iterator<Item = ChunkHash> {
    torrent.piece_hashes().as_chunks().0.iter().map(|hash| ChunkHash(*hash))
}

/// Bytes without a pattern that a wrong offset could hide in.
fn content() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..TOTAL_LEN / 8).flat_map(|_| next()).collect()
}

fn torrent(content: &[u8], piece_len: usize) -> Torrent {
    let mut bytes =
        format!("d4:infod6:lengthi{TOTAL_LEN}e4:name7:content12:piece lengthi{piece_len}e6:pieces")
            .into_bytes();
    let hashes: Vec<u8> = content.chunks(piece_len).flat_map(Sha1::digest).collect();
    bytes.extend(format!("{}:", hashes.len()).bytes());
    bytes.extend(hashes);
    bytes.extend(b"ee");
    Torrent::parse(&bytes).expect("our own torrent")
}

/// Serves whoever connects, each on a thread of its own.
fn seed(content: Arc<[u8]>, torrent: Arc<Torrent>, piece_len: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (content, torrent) = (content.clone(), torrent.clone());
            // The client hangs up when it is done.
            std::thread::spawn(move || serve(stream, &content, &torrent, piece_len));
        }
    });
    address
}

fn serve(
    mut stream: TcpStream,
    content: &[u8],
    torrent: &Torrent,
    piece_len: usize,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; 68])?;
    let info_hash = torrent.info_hash_v1.expect("a v1 torrent");
    let peer_id = pigeon::base::ids::PeerId(*b"-XX0001-loopbackseed");
    let ours = Handshake { extensions: Extensions::OURS, info_hash, peer_id };
    let mut out = ours.encode().to_vec();
    Message::HaveAll.encode(&mut out);
    Message::Unchoke.encode(&mut out);
    stream.write_all(&out)?;
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        pending.extend(&buffer[..read]);
        out.clear();
        let mut rest = &pending[..];
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let Some((body, after)) = after.split_at_checked(u32::from_be_bytes(*head) as usize)
            else {
                break;
            };
            rest = after;
            // A request: its type, then piece, begin and length.
            if let [6, numbers @ ..] = body {
                let (numbers, _) = numbers.as_chunks::<4>();
                let [piece, begin, len] = [0, 1, 2].map(|at| u32::from_be_bytes(numbers[at]));
                let from = piece as usize * piece_len + begin as usize;
                out.extend((9 + len).to_be_bytes());
                out.push(7);
                out.extend(numbers[0]);
                out.extend(numbers[1]);
                out.extend(&content[from..from + len as usize]);
            }
        }
        pending = rest.to_vec();
        stream.write_all(&out)?;
    }
}

async fn fetch(
    torrent: Arc<Torrent>,
    seeder: Option<SocketAddr>,
    providers: Vec<Provider>,
    home: &Path,
) {
    let config = SessionConfig::default().port(0).state_dir(home.join("state"));
    // The seeder speaks plainly.
    let config = config.encryption(Encryption::Off);
    let session = Session::start(config).await.expect("a session");
    let options = TorrentOptions::default().dir(home.join("downloads"));
    let options = options.peers(seeder.into_iter().collect()).use_trackers(false);
    let handle = session.add(torrent, options).await.expect("a torrent");
    handle.add_providers(providers, Vec::new()).await;
    handle.wait_until_complete().await.expect("it completes");
    handle.stop().await;
}
