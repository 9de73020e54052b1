//! Disks that are full, broken or slow, by a store in memory.

use super::*;
use std::sync::atomic::Ordering;

fn in_memory(world: &World) -> (Arc<MemoryStore>, Running) {
    let store = Arc::new(MemoryStore::new(world.content.len()));
    // More than any test sends.
    let (sender, events) = mpsc::channel(100);
    let handle =
        world.disk.open_store(world.layout, world.hashes(), store.clone(), sender).unwrap();
    (store, Running { handle, events, others: Vec::new() })
}

#[test]
fn a_full_disk_gives_the_blocks_back_with_words_and_works_again_later() {
    let world = world(40_000, &[("a", 80_000)]);
    let (store, mut running) = in_memory(&world);
    store.faults().is_full.store(true, Ordering::Relaxed);
    let piece = world.piece(1);
    let verdict = running.check(piece, world.blocks(piece));
    let Verdict::WriteFailed(blocks, reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        reason,
        "no space left on device writing memory: free some space, it goes on by itself"
    );
    assert_eq!((blocks.len(), world.pool.in_use_blocks()), (3, 3));
    store.faults().is_full.store(false, Ordering::Relaxed);
    assert!(matches!(running.check(piece, blocks), Verdict::Good(None)));
    assert!(
        store.content()[40_000..].iter().zip(&world.content[40_000..]).all(|(a, b)| *a == Some(*b))
    );
    assert!(store.content()[..40_000].iter().all(Option::is_none));
}

#[test]
fn spilled_blocks_that_cannot_be_written_come_back() {
    let world = world(40_000, &[("a", 40_000)]);
    let (store, mut running) = in_memory(&world);
    store.faults().fails_writes.store(true, Ordering::Relaxed);
    let at = world.layout.block(world.piece(0), 0).unwrap();
    let block = world.block(&world.content[..BLOCK_LEN]);
    running.handle.submit(Job::Spill { piece: at.piece(), blocks: vec![(at, block)] }).unwrap();
    let failed = running.wait(|event| match event {
        DiskEvent::Spilled { failed, .. } => Ok(failed),
        other => Err(other),
    });
    let (blocks, reason) = failed.unwrap();
    assert_eq!((blocks.len(), blocks[0].0), (1, at));
    assert!(reason.contains("error writing memory"), "{reason}");
}

#[test]
fn spilled_blocks_that_cannot_be_read_are_told_and_the_rest_is_given_up() {
    let world = world(40_000, &[("a", 40_000)]);
    let (store, mut running) = in_memory(&world);
    store.faults().fails_reads.store(true, Ordering::Relaxed);
    let mut blocks = world.blocks(world.piece(0));
    blocks[2] = Held::OnDisk;
    let verdict = running.check(world.piece(0), blocks);
    assert!(matches!(verdict, Verdict::ReadFailed(_)), "{verdict:?}");
    assert_eq!(world.pool.in_use_blocks(), 0);
}

#[test]
fn one_torrent_with_a_broken_disk_does_not_hurt_another() {
    let world = world(BLOCK_LEN as u32, &[("a", 64 * BLOCK_LEN as u64)]);
    let (broken, mut bad) = in_memory(&world);
    let (slow, mut good) = in_memory(&world);
    broken.faults().fails_writes.store(true, Ordering::Relaxed);
    slow.faults().delay_us.store(100, Ordering::Relaxed);
    for piece in world.layout.pieces() {
        for running in [&bad, &good] {
            let blocks = world.blocks(piece);
            running
                .handle
                .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
                .unwrap();
        }
    }
    for _ in world.layout.pieces() {
        good.wait(|event| match event {
            DiskEvent::Checked { verdict, .. } => {
                assert!(matches!(verdict, Verdict::Good(None)));
                Ok(())
            }
            other => Err(other),
        });
        bad.wait(|event| match event {
            DiskEvent::Checked { verdict, .. } => {
                assert!(matches!(verdict, Verdict::WriteFailed(..)));
                Ok(())
            }
            other => Err(other),
        });
    }
    assert!(good.others.is_empty() && bad.others.is_empty());
}

#[test]
fn a_directory_that_cannot_be_made_names_itself() {
    let world = world(BLOCK_LEN as u32, &[("a", 10)]);
    std::fs::write(world.root.path().join("downloads"), b"in the way").unwrap();
    let refused = world.open(world.config()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("downloads"), "{refused}");
}

#[test]
fn a_failing_sync_is_told_and_takes_what_it_concerns() {
    let world = world(BLOCK_LEN as u32, &[("a", 10)]);
    let (store, mut running) = in_memory(&world);
    running.fetch(&world, [0]);
    store.faults().fails_sync.store(true, Ordering::Relaxed);
    assert!(running.flush().unwrap().contains("syncing"));
    let lost = running.others.iter().find_map(|event| match event {
        DiskEvent::Unkept { lost, .. } => Some(lost.clone()),
        _ => None,
    });
    assert_eq!(lost, Some(vec![world.piece(0)]), "it may be gone though it still reads well");
    store.faults().fails_sync.store(false, Ordering::Relaxed);
    running.fetch(&world, [0]);
    assert_eq!(running.flush(), None);
}

/// What a download writes later must not hide what others wrote before.
#[test]
fn a_file_that_others_write_to_is_read_back_when_it_is_whole() {
    use std::os::unix::fs::FileExt as _;
    let world = world(BLOCK_LEN as u32, &[("a", 160_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..5);
    let touch = || {
        // Times of change are as coarse as the system's clock.
        let path = world.path("a.part");
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        while std::fs::metadata(&path).unwrap().modified().unwrap() == before {
            file.write_all_at(&[world.content[40_000] ^ 1], 40_000).unwrap();
        }
    };
    touch();
    running.fetch(&world, 5..9);
    let piece = world.piece(9);
    let verdict = running.check(piece, world.blocks(piece));
    assert!(matches!(verdict, Verdict::Good(None)), "{verdict:?}");
    let lost = running.others.drain(..).find_map(|event| match event {
        DiskEvent::FileTrouble { lost, reason, .. } => {
            assert!(reason.contains("a.part was written to by somebody else"), "{reason}");
            Some(lost)
        }
        _ => None,
    });
    assert_eq!(lost.unwrap(), [world.piece(2)], "no other piece is fetched again");
    assert!(!world.path("a").exists() && !running.finish());
    running.fetch(&world, [2]);
    assert!(running.finish());
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.content);
    // Also behind our back, after its last piece.
    let file = std::fs::File::options().write(true).open(world.path("a")).unwrap();
    file.write_all_at(&[world.content[100_000] ^ 1], 100_000).unwrap();
    assert!(!running.finish());
    running.fetch(&world, [6]);
    assert!(running.finish());
}

#[test]
fn a_file_that_was_only_touched_is_whole_all_the_same() {
    let world = world(BLOCK_LEN as u32, &[("a", 160_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..5);
    let file = std::fs::File::options().write(true).open(world.path("a.part")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    running.fetch(&world, 5..10);
    assert!(running.finish() && world.path("a").exists());
    assert_eq!(running.files_done(), [0]);
}

#[test]
fn spilled_blocks_that_the_device_did_not_keep_are_not_read_back() {
    let world = world(2 * BLOCK_LEN as u32, &[("a", 4 * BLOCK_LEN as u64)]);
    let (store, mut running) = in_memory(&world);
    let (whole, spilled) = (world.piece(0), world.piece(1));
    let mut blocks = world.blocks(spilled);
    let Held::Data(first) = blocks.remove(0) else { panic!("blocks are in memory") };
    let at = world.layout.block(spilled, 0).unwrap();
    running.handle.submit(Job::Spill { piece: spilled, blocks: vec![(at, first)] }).unwrap();
    running.wait(|event| match event {
        DiskEvent::Spilled { failed: None, .. } => Ok(()),
        other => Err(other),
    });
    running.fetch(&world, [whole.number()]);
    store.faults().fails_sync.store(true, Ordering::Relaxed);
    assert!(running.flush().is_some());
    store.faults().fails_sync.store(false, Ordering::Relaxed);
    blocks.insert(0, Held::OnDisk);
    let verdict = running.check(spilled, blocks);
    assert!(matches!(verdict, Verdict::Lost), "{verdict:?}");
    running.fetch(&world, [0, 1]);
    assert_eq!(running.flush(), None);
}
