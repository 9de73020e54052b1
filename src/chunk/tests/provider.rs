//! A provider over real sockets, byte for byte: what it answers, what it survives, and that
//! its directory counts as it is.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::{
    Client, DISCOVER_TRACKER, GET_FILE_INFO, MALFORMED, NO_REQUEST, NOT_FOUND, PATIENCE, chunk,
    get_chunk,
};
use crate::base::digest::sha1;
use crate::chunk::provider::serve;
use crate::chunk::store::ChunkStore;
use crate::chunk::wire::ChunkHash;

/// Alice on a port of her own, and her directory.
struct Alice {
    address: SocketAddr,
    root: TempDir,
}

impl Alice {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("chunks/alice")).unwrap();
        let store = ChunkStore::new(&root.path().join("chunks"), "alice").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, store, std::future::pending()));
        Self { address, root }
    }

    fn path(&self, hash: [u8; 20]) -> PathBuf {
        self.root.path().join(format!("chunks/alice/{}.bin", ChunkHash(hash)))
    }

    /// Puts a chunk there; its hash.
    fn put(&self, content: &[u8]) -> [u8; 20] {
        let hash = sha1(&[content]);
        fs::write(self.path(hash), content).unwrap();
        hash
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

fn content(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[tokio::test]
async fn chunks_of_every_length_are_sent_byte_for_byte() {
    let alice = Alice::start().await;
    let mut client = alice.client().await;
    for len in [0, 1, 2, 3, 4, 5, 65_535, 512 << 10, (2 << 20) + 3] {
        let content = content(len, 1);
        let hash = alice.put(&content);
        client.ask(&get_chunk(hash), &chunk(hash, &content)).await;
    }
    let whole = "0105000000000009\
        a9993e364706816aba3e25717850c26c9cd0d89d00000003\
        61626300";
    let whole = data_encoding::HEXLOWER.decode(whole.as_bytes()).unwrap();
    alice.put(b"abc");
    client.ask(&get_chunk(whole[8..28].try_into().unwrap()), &whole).await;
}

#[tokio::test]
async fn each_fault_has_its_code_and_the_connection_goes_on() {
    let alice = Alice::start().await;
    let hash = alice.put(b"abc");
    let with = |head: &[u8], len: usize| {
        let mut bytes = head.to_vec();
        bytes.resize(len, 0);
        bytes
    };
    let cases: [(Vec<u8>, &[u8]); 15] = [
        (get_chunk([7; 20]), &NOT_FOUND),
        (GET_FILE_INFO.to_vec(), &NO_REQUEST),
        (DISCOVER_TRACKER.to_vec(), &NO_REQUEST),
        (MALFORMED.to_vec(), &NO_REQUEST),
        (with(&[1, 1, 0, 0, 0, 0, 0, 4], 16), &NO_REQUEST),
        (with(&[1, 3, 0, 0, 0, 0, 0, 3], 12), &NO_REQUEST),
        (chunk(hash, &[1; 300_000]), &NO_REQUEST),
        (with(&[0, 4, 0, 0, 0, 0, 0, 7], 28), &MALFORMED),
        (with(&[2, 4, 0, 0, 0, 0, 0, 7], 28), &MALFORMED),
        (with(&[1, 7, 0, 0, 0, 0, 0, 7], 28), &MALFORMED),
        (with(&[1, 255, 0, 0, 0, 0, 0, 2], 8), &MALFORMED),
        (with(&[1, 4, 0, 0, 0, 0, 0, 8], 32), &MALFORMED),
        (with(&[1, 4, 0, 0, 0, 0, 0, 6], 24), &MALFORMED),
        (with(&[1, 5, 0, 0, 0, 0, 0, 9], 36), &MALFORMED),
        (with(&[1, 9, 0, 0, 0, 4, 0, 0], 1 << 20), &MALFORMED),
    ];
    let mut client = alice.client().await;
    let found = chunk(hash, b"abc");
    for (request, error) in &cases {
        client.ask(request, error).await;
        client.ask(&get_chunk(hash), &found).await;
    }
    // The same in one go.
    let requests = cases.each_ref().map(|(request, _)| [&request[..], &get_chunk(hash)].concat());
    let answers = cases.each_ref().map(|(_, error)| [error, &found[..]].concat());
    let mut client = alice.client().await;
    client.ask(&requests.concat(), &answers.concat()).await;
}

#[tokio::test]
async fn whatever_stands_in_reserved_bytes_is_ignored() {
    let alice = Alice::start().await;
    let hash = alice.put(b"abc");
    let mut request = get_chunk(hash);
    request[2..4].copy_from_slice(&[0xab, 0xcd]);
    alice.client().await.ask(&request, &chunk(hash, b"abc")).await;
}

#[tokio::test]
async fn requests_come_in_pieces_or_many_at_once_or_before_a_half_close() {
    let alice = Alice::start().await;
    let (one, two) = (alice.put(b"one"), alice.put(&content(100_000, 2)));
    let mut client = alice.client().await;
    for byte in get_chunk(one) {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(&chunk(one, b"one")).await;
    let answers = [chunk(one, b"one"), chunk(two, &content(100_000, 2)), NOT_FOUND.to_vec()];
    let requests = [get_chunk(one), get_chunk(two), get_chunk([0; 20])];
    client.send(&requests.concat().repeat(50)).await;
    drop(requests);
    tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.unwrap();
    client.expect(&answers.concat().repeat(50)).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_message_without_an_end_is_answered_before_the_connection_is_closed() {
    let alice = Alice::start().await;
    for len in [[0, 0, 0, 0], [0, 0, 0, 1], [255; 4]] {
        for (version, kind) in [(1, 4), (1, 8), (2, 4)] {
            let mut client = alice.client().await;
            let head = [&[version, kind, 0, 0][..], &len].concat();
            // What follows stays unread, and must not cost the client its answer.
            client.send(&[head, vec![1; 60_000]].concat()).await;
            client.expect(&MALFORMED).await;
            client.expect_end().await;
        }
    }
}

#[tokio::test]
async fn who_announces_more_than_there_is_gets_an_answer_at_once() {
    let alice = Alice::start().await;
    let mut request = get_chunk([1; 20]);
    request[7] = 100;
    let mut client = alice.client().await;
    client.ask(&request, &MALFORMED).await;
    let hash = alice.put(b"abc");
    client.send(&[0; 400 - 28]).await;
    client.ask(&get_chunk(hash), &chunk(hash, b"abc")).await;
}

#[tokio::test]
async fn chunks_count_while_they_are_there() {
    let alice = Alice::start().await;
    let hash = sha1(&[b"abc"]);
    let mut client = alice.client().await;
    for _ in 0..3 {
        client.ask(&get_chunk(hash), &NOT_FOUND).await;
        alice.put(b"abc");
        client.ask(&get_chunk(hash), &chunk(hash, b"abc")).await;
        fs::remove_file(alice.path(hash)).unwrap();
    }
    // What lies under the name is sent as it is: checking it is the client's.
    fs::write(alice.path(hash), "wrong").unwrap();
    client.ask(&get_chunk(hash), &chunk(hash, b"wrong")).await;
    fs::remove_dir_all(alice.root.path()).unwrap();
    client.ask(&get_chunk(hash), &NOT_FOUND).await;
}

#[tokio::test]
async fn only_regular_files_of_her_own_that_fit_a_message_are_sent() {
    let alice = Alice::start().await;
    let mut client = alice.client().await;
    let secret = alice.root.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, alice.path([1; 20])).unwrap();
    fs::create_dir(alice.path([2; 20])).unwrap();
    let pipe = rustix::fs::Mode::RWXU;
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        alice.path([3; 20]),
        rustix::fs::FileType::Fifo,
        pipe,
        0,
    );
    made.unwrap();
    fs::File::create(alice.path([4; 20])).unwrap().set_len((64 << 20) + 1).unwrap();
    // Somebody else's.
    fs::create_dir(alice.root.path().join("chunks/bob")).unwrap();
    let bobs = alice.root.path().join(format!("chunks/bob/{}.bin", ChunkHash([5; 20])));
    fs::write(bobs, "bob's").unwrap();
    for hash in 1..=5 {
        client.ask(&get_chunk([hash; 20]), &NOT_FOUND).await;
    }
    // Bytes that would be a path if they were text.
    client.ask(&get_chunk(*b"../../../../../../et"), &NOT_FOUND).await;
}

#[tokio::test]
async fn a_chunk_that_shrinks_while_it_is_sent_ends_the_connection() {
    let alice = Alice::start().await;
    // More than the system's buffers take.
    let len = 48 << 20;
    fs::File::create(alice.path([9; 20])).unwrap().set_len(len).unwrap();
    let mut client = alice.client().await;
    client.send(&get_chunk([9; 20])).await;
    let dwords = (len as u32 + 32) / 4;
    client.expect(&[&[1, 5, 0, 0][..], &dwords.to_be_bytes(), &[9; 20]].concat()).await;
    fs::File::options().write(true).open(alice.path([9; 20])).unwrap().set_len(0).unwrap();
    let mut rest = Vec::new();
    // Cut or in good order: what was promised does not come.
    let _ = timeout(PATIENCE, client.0.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() < len as usize, "{}", rest.len());
}

#[tokio::test]
async fn clients_that_do_not_read_stall_nobody_else() {
    let alice = Alice::start().await;
    let large = content(8 << 20, 3);
    let hash = alice.put(&large);
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut client = alice.client().await;
        client.send(&get_chunk(hash).repeat(3)).await;
        stalled.push(client);
    }
    let mut client = alice.client().await;
    for _ in 0..3 {
        client.ask(&get_chunk(hash), &chunk(hash, &large)).await;
    }
    // They get it all once they read.
    let mut late = stalled.pop().unwrap();
    late.expect(&chunk(hash, &large).repeat(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_let_go() {
    let alice = Alice::start().await;
    fs::File::create(alice.path([9; 20])).unwrap().set_len(64 << 20).unwrap();
    let mut client = Client::connect(alice.address).await;
    // No patience here: that clock stands still.
    tokio::io::AsyncWriteExt::write_all(&mut client.0, &get_chunk([9; 20])).await.unwrap();
    client.0.readable().await.unwrap();
    let start = Instant::now();
    sleep(Duration::from_secs(61)).await;
    let mut rest = Vec::new();
    let _ = client.0.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 << 20 && rest.len() > 1000, "{}", rest.len());
    assert!(start.elapsed().as_secs() < 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_get_what_they_ask_for() {
    let alice = Alice::start().await;
    let contents: Vec<Vec<u8>> = (0..8).map(|seed| content(50_000 + seed, seed as u32)).collect();
    let chunks: Vec<_> = contents.iter().map(|content| (alice.put(content), content)).collect();
    let chunks: Vec<_> =
        chunks.iter().map(|(hash, content)| (*hash, chunk(*hash, content))).collect();
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let (address, chunks) = (alice.address, chunks.clone());
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for turn in 0..10 {
                let (hash, expected) = &chunks[(number + turn) % chunks.len()];
                client.ask(&get_chunk(*hash), expected).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}
