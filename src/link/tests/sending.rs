//! Blocks out of real files, over the pipe in memory.

use super::*;
use crate::disk::{Allocate, Disk, DiskConfig, StoreConfig, StoreFile, SyncPolicy};

/// A torrent of ten pieces on disk, and what keeps it open.
struct OnDisk {
    home: tempfile::TempDir,
    _disk: Disk,
    config: LinkConfig,
}

impl OnDisk {
    fn new(up_limit: Option<u64>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config(32);
        let total = u64::from(PIECES) * 32_768;
        let dir = home.path().join("data");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("file"), vec![7; total as usize]).unwrap();
        let disk = Disk::start(DiskConfig {
            workers: Some(1),
            pool: config.pool.clone(),
            check_bytes: 8 << 20,
            sync: SyncPolicy::default(),
        });
        let disk = disk.unwrap();
        let store = StoreConfig {
            layout: config.layout(),
            piece_hashes: vec![0; 20 * PIECES as usize].into(),
            files: vec![StoreFile { path: ["file"].iter().collect(), len: total, is_pad: false }],
            symlinks: Vec::new(),
            dir,
            wanted: vec![true],
            allocate: Allocate::Sparse,
            overwrite: false,
            resume_path: home.path().join("resume"),
            info_hash: HASH,
            ignores_record: false,
        };
        let store = disk.open(store, mpsc::channel(100).0).unwrap();
        store.start(&Bitfield::all(PIECES)).unwrap();
        let up_limiter = Arc::new(Limiter::new(up_limit));
        let known = Known { layout: config.layout(), outlet: store.outlet(), metadata: None };
        let config = LinkConfig { subject: Subject::of(known), up_limiter, ..config };
        Self { home, _disk: disk, config }
    }

    fn ask(&self, piece: u32, begin: u32) -> Ask {
        Ask { piece: self.config.layout().piece(piece).unwrap(), begin, len: BLOCK_LEN as u32 }
    }
}

/// The `piece` message of this block.
fn sent(piece: u8, begin: u16) -> Vec<u8> {
    let mut bytes = framed(piece, begin);
    bytes[13..].fill(7);
    bytes
}

#[tokio::test(start_paused = true)]
async fn under_a_limit_messages_leave_at_once_and_blocks_whole() {
    let on_disk = OnDisk::new(Some(16_397));
    let (mut bench, _) = Bench::up(on_disk.config.clone(), HELLO_PLAIN).await;
    let asks = (0..8).map(|at| on_disk.ask(at / 2, at % 2 * 16_384)).collect();
    bench.order(vec![LinkCommand::Peer(PeerCommand::SendBlocks(asks))]).await;
    bench.expect(&sent(0, 0)).await;
    let begin = Instant::now();
    // Half a second before the next block is due, and at a time when a turn of bytes is.
    sleep(Duration::from_millis(500)).await;
    bench.order(vec![LinkCommand::Peer(PeerCommand::Interested)]).await;
    bench.expect(b"\0\0\0\x01\x02").await;
    assert_eq!(begin.elapsed().as_millis(), 500);
    let mut times = Vec::new();
    for at in 1..8u16 {
        bench.expect(&sent(at as u8 / 2, at % 2 * 16_384)).await;
        times.push(begin.elapsed().as_secs_f64());
    }
    // One block a second, and what the message cost.
    for (number, time) in times.iter().enumerate() {
        assert!((time - (number + 1) as f64).abs() < 0.1, "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_excuses_nobody_who_does_not_read_messages() {
    let on_disk = OnDisk::new(Some(16_397));
    let (mut bench, _) = Bench::up(on_disk.config.clone(), HELLO_PLAIN).await;
    let asks = vec![on_disk.ask(0, 0), on_disk.ask(1, 0)];
    bench.order(vec![LinkCommand::Peer(PeerCommand::SendBlocks(asks))]).await;
    bench.expect(&sent(0, 0)).await;
    let begin = Instant::now();
    // More than the pipe holds.
    let pieces = vec![bench.piece(1); 15_000];
    bench.order(vec![LinkCommand::Peer(PeerCommand::Have(pieces.into()))]).await;
    let Bench { peer, mut reports, handle: _handle, .. } = bench;
    let (_listening, mut speaking) = tokio::io::split(peer);
    tokio::spawn(async move {
        while speaking.write_all(b"\0\0\0\0").await.is_ok() {
            sleep(Duration::from_secs(30)).await;
        }
    });
    let reason = loop {
        let report = tokio::time::timeout(Duration::from_secs(600), reports.recv()).await;
        if let LinkNews::Down(reason) = report.unwrap().unwrap().news {
            break reason;
        }
    };
    assert_eq!(reason, DownReason::TimedOut("it does not read what we send"));
    assert!(begin.elapsed().as_secs() <= 125, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_cut_ends_the_link_as_our_own_doing() {
    let on_disk = OnDisk::new(None);
    let (mut bench, _) = Bench::up(on_disk.config.clone(), HELLO_PLAIN).await;
    bench.order(vec![LinkCommand::Peer(PeerCommand::SendBlocks(vec![on_disk.ask(0, 0)]))]).await;
    bench.expect(&sent(0, 0)).await;
    let file = std::fs::File::options().write(true).open(on_disk.home.path().join("data/file"));
    file.unwrap().set_len(20_000).unwrap();
    bench.order(vec![LinkCommand::Peer(PeerCommand::SendBlocks(vec![on_disk.ask(5, 0)]))]).await;
    assert_eq!(bench.down().await, DownReason::Closed(CloseReason::OurFiles));
}

#[tokio::test]
async fn no_file_is_opened_on_the_thread_of_a_link() {
    let on_disk = OnDisk::new(None);
    let outlet = on_disk.config.subject.known().unwrap().outlet.clone();
    let slice = outlet.as_ref().unwrap().slices(40_000, 10_000).next().unwrap();
    let mut ready = ready::Ready::default();
    ready.send_from(outlet.as_ref());
    {
        let mut preparing = std::pin::pin!(ready.prepare(&slice));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(preparing.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        // Dropped here: what was begun goes on.
    }
    assert!(ready.is_fetching() && ready.file(&slice).is_none());
    assert_eq!(ready.prepare(&slice).await.unwrap(), 10_000);
    assert!(!ready.is_fetching() && ready.file(&slice).is_some());
}

/// Whoever ends the link, and in the middle of a block.
#[tokio::test(start_paused = true)]
async fn what_was_sent_is_told_at_the_end_of_a_link() {
    for is_ours in [true, false] {
        let on_disk = OnDisk::new(None);
        let (mut bench, _) = Bench::up(on_disk.config.clone(), HELLO_PLAIN).await;
        let asks = (0..20).map(|at| on_disk.ask(at / 2, at % 2 * 16_384)).collect();
        bench.order(vec![LinkCommand::Peer(PeerCommand::SendBlocks(asks))]).await;
        // The pipe holds 64 KiB.
        bench.expect(&sent(0, 0)).await;
        sleep(Duration::from_millis(1)).await;
        match is_ours {
            true => bench.order(vec![LinkCommand::Close(CloseReason::Stopping)]).await,
            false => drop(std::mem::replace(&mut bench.peer, tokio::io::duplex(1).0)),
        }
        let mut told = 0;
        loop {
            match bench.news().await {
                LinkNews::Down(_) => break,
                LinkNews::Events(events) => {
                    told += events
                        .iter()
                        .map(|event| match event {
                            LinkEvent::Sent(bytes) => *bytes,
                            _ => 0,
                        })
                        .sum::<u32>();
                }
                up => panic!("{up:?}"),
            }
        }
        let heads = 5 * 13;
        assert!((16_384 + 65_536 - heads..=16_384 + 65_536).contains(&told), "{told}");
    }
}

/// Over TCP the system may hold blocks of a turn back, so that they go in full packets; what it
/// holds at the end of one would reach the peer a fifth of a second late.
#[tokio::test]
async fn nothing_is_held_back_behind_the_last_block() {
    let on_disk = OnDisk::new(None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialling = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let (peer, accepted) = tokio::join!(dialling, listener.accept());
    let (mut peer, ours) = (peer.unwrap(), accepted.unwrap().0.into_std().unwrap());
    let watched = socket2::Socket::from(ours.try_clone().unwrap());
    let ours = tokio::net::TcpStream::from_std(ours).unwrap();
    peer.write_all(HELLO_PLAIN).await.unwrap();
    let (sender, _reports) = mpsc::channel(100);
    let (hello, stream) =
        read_hello(ours.into(), Duration::from_secs(10), &Door::plain()).await.unwrap();
    let address = peer.local_addr().unwrap();
    let config = Arc::new(on_disk.config.clone());
    let handle = accept(config, LinkId(1), address, stream, hello, sender);
    let asks = (0..20).map(|at| on_disk.ask(at / 2, at % 2 * 16_384)).collect();
    let order = vec![LinkCommand::Peer(PeerCommand::SendBlocks(asks))];
    handle.commands.send(order).await.unwrap();
    let mut expected = OURS.to_vec();
    (0..20).for_each(|at| expected.extend(sent(at as u8 / 2, at % 2 * 16_384)));
    let mut came = vec![0; expected.len()];
    peer.read_exact(&mut came).await.unwrap();
    assert!(came == expected, "the bytes of twenty blocks in their order");
    let let_go = async {
        while watched.tcp_cork().unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), let_go).await.expect("let go");
}
