//! Pieces through the workers: verdicts, block hashes, spilled and pad blocks, batches.

use super::*;

/// Open files would keep what was deleted, and a file system that was unmounted.
#[test]
fn a_closed_torrent_leaves_no_file_open() {
    // At rest, and with jobs on their way.
    for last in [20, 40] {
        let world = world(BLOCK_LEN as u32, &[("a", 40 * BLOCK_LEN as u64)]);
        let (mut running, _) = world.resume();
        running.fetch(&world, 0..20);
        for piece in 20..last {
            let (piece, blocks) = (world.piece(piece), world.blocks(world.piece(piece)));
            running
                .handle
                .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
                .unwrap();
        }
        let Running { handle, mut events, .. } = running;
        drop(handle);
        while events.blocking_recv().is_some() {}
        let is_open = || {
            let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let mut names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            names.any(|name| name.starts_with(world.root.path()))
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_open() {
            assert!(std::time::Instant::now() < deadline, "a file is still open");
            std::thread::yield_now();
        }
    }
}

#[test]
fn good_pieces_are_written_across_files_and_blocks_return_to_the_pool() {
    let world = world(50_000, &[("a", 30_000), ("empty", 0), ("b/c", 5), ("d", 100_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, [2, 0, 1]);
    for (file, name) in [(0, "a"), (1, "empty"), (2, "b/c"), (3, "d")] {
        assert_eq!(std::fs::read(world.path(name)).unwrap(), world.bytes_of(file), "{name}");
        assert!(!world.path(&format!("{name}.part")).exists());
    }
    assert_eq!(running.files_done(), [0, 2, 3]);
    assert_eq!(world.pool.in_use_blocks(), 0);
    assert!(running.finish());
    let stats = world.disk.stats();
    assert_eq!((stats.bytes_written, stats.bytes_hashed), (130_005, 130_005));
    assert!(stats.hash_ns > 0 && stats.write_ns > 0 && stats.pieces_checked == 3);
}

#[test]
fn files_that_neighbours_complete_together_get_their_names() {
    let lens = [("a", 30_000), ("b/c", 5), ("pad", 2_763), ("d", 200_000), ("e", 1), ("f", 90_000)];
    let world = world(BLOCK_LEN as u32, &lens);
    let (mut running, _) = world.resume();
    let mut pieces: Vec<PieceIndex> = world.layout.pieces().collect();
    let last = pieces.pop().unwrap();
    running.check_together(&world, &pieces);
    let mut done = running.files_done();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 3, 4], "the last piece is of the last one");
    running.check_together(&world, &[last]);
    for (file, name) in [(0, "a"), (1, "b/c"), (3, "d"), (4, "e"), (5, "f")] {
        assert_eq!(std::fs::read(world.path(name)).unwrap(), world.bytes_of(file), "{name}");
        assert!(!world.path(&format!("{name}.part")).exists());
    }
    assert!(running.finish());
    assert_eq!(world.pool.in_use_blocks(), 0);
}

#[test]
fn bad_pieces_are_not_written_and_every_block_is_hashed() {
    let world = world(40_000, &[("a", 40_000)]);
    let (mut running, _) = world.resume();
    let piece = world.piece(0);
    let mut blocks = world.blocks(piece);
    let lie = [9; BLOCK_LEN];
    blocks[1] = Held::Data(world.block(&lie));
    let Verdict::Bad(hashes) = running.check(piece, blocks) else { panic!("it is wrong") };
    let right = |range: std::ops::Range<usize>| sha1(&[&world.content[range]]);
    assert_eq!(hashes, [right(0..16384), sha1(&[&lie]), right(32768..40_000)]);
    assert!(!world.path("a.part").exists());
    assert_eq!(world.pool.in_use_blocks(), 0);
}

#[test]
fn block_hashes_of_good_pieces_come_when_wanted() {
    let world = world(20_000, &[("a", 20_000)]);
    let (mut running, _) = world.resume();
    let piece = world.piece(0);
    let blocks = world.blocks(piece);
    running
        .handle
        .submit(Job::Check { piece, blocks, want_block_hashes: true, may_wait: false })
        .unwrap();
    let hashes = running.wait(|event| match event {
        DiskEvent::Checked { verdict: Verdict::Good(hashes), .. } => Ok(hashes),
        other => Err(other),
    });
    let expected = [sha1(&[&world.content[..16384]]), sha1(&[&world.content[16384..]])];
    assert_eq!(hashes, Some(expected.to_vec()));
}

/// Spills block 1 of the piece and checks it with that block read back.
fn spill_and_check(world: &World, running: &mut Running, lie: bool) -> Verdict {
    let piece = world.piece(0);
    let mut blocks = world.blocks(piece);
    let at = world.layout.block(piece, 1).unwrap();
    let Held::Data(mut spilled) = std::mem::replace(&mut blocks[1], Held::OnDisk) else { panic!() };
    if lie {
        spilled = world.block(&[1; BLOCK_LEN]);
    }
    running.handle.submit(Job::Spill { piece, blocks: vec![(at, spilled)] }).unwrap();
    let failed = running.wait(|event| match event {
        DiskEvent::Spilled { failed, .. } => Ok(failed),
        other => Err(other),
    });
    assert!(failed.is_none());
    running.check(piece, blocks)
}

#[test]
fn spilled_blocks_are_read_back() {
    let world = world(5 * BLOCK_LEN as u32, &[("a", 20_000), ("b", 5 * BLOCK_LEN as u64 - 20_000)]);
    let (mut running, _) = world.resume();
    let Verdict::Bad(hashes) = spill_and_check(&world, &mut running, true) else { panic!() };
    assert_eq!(hashes[1], sha1(&[&[1; BLOCK_LEN]]));
    assert_eq!(hashes[2], sha1(&[&world.content[2 * BLOCK_LEN..3 * BLOCK_LEN]]));
    let verdict = spill_and_check(&world, &mut running, false);
    assert!(matches!(verdict, Verdict::Good(None)), "{verdict:?}");
    assert!(world.disk.stats().bytes_read >= BLOCK_LEN as u64);
    assert_eq!(std::fs::read(world.path("b")).unwrap(), world.bytes_of(1));
    assert_eq!(world.pool.in_use_blocks(), 0);
}

#[test]
fn pad_blocks_count_as_zeros_and_are_never_on_disk() {
    let pad = 2 * BLOCK_LEN as u64 - 100;
    let world = world(2 * BLOCK_LEN as u32, &[("a", 100), ("pad/1", pad), ("b", 10)]);
    let (mut running, _) = world.resume();
    let piece = world.piece(0);
    let mut blocks = world.blocks(piece);
    blocks[1] = Held::Pad;
    assert!(matches!(running.check(piece, blocks), Verdict::Good(None)));
    running.fetch(&world, [1]);
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.bytes_of(0));
    assert!(!world.path("pad").exists());
    assert!(running.finish());
}

#[test]
fn many_pieces_at_once_are_all_answered_and_share_batches() {
    let world = world(BLOCK_LEN as u32, &[("a", 300 * BLOCK_LEN as u64 + 5)]);
    let (mut running, _) = world.resume();
    for piece in world.layout.pieces() {
        let blocks = world.blocks(piece);
        running
            .handle
            .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
            .unwrap();
    }
    for _ in world.layout.pieces() {
        running.wait(|event| match event {
            DiskEvent::Checked { verdict, .. } => {
                assert!(matches!(verdict, Verdict::Good(None)));
                Ok(())
            }
            other => Err(other),
        });
    }
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.content);
    let stats = world.disk.stats();
    assert_eq!(stats.pieces_checked, 301);
    assert!(stats.batches < 200, "lanes stay empty: {} batches", stats.batches);
}

#[test]
fn shutdown_finishes_what_is_queued_and_refuses_more() {
    let world = world(BLOCK_LEN as u32, &[("a", 40 * BLOCK_LEN as u64)]);
    let (mut running, _) = world.resume();
    for piece in world.layout.pieces() {
        let blocks = world.blocks(piece);
        running
            .handle
            .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
            .unwrap();
    }
    let World { disk, root, .. } = world;
    disk.shutdown();
    let mut answers = 0;
    while let Ok(event) = running.events.try_recv() {
        answers += u32::from(matches!(event, DiskEvent::Checked { .. }));
    }
    assert_eq!(answers, 40);
    assert!(root.path().join("downloads/a").exists());
    assert!(matches!(running.handle.submit(Job::Flush), Err(Rejected::Stopped(Job::Flush))));
}

#[test]
fn few_handles_serve_many_files() {
    let names: Vec<String> = (0..50).map(|number| format!("dir{}/{number}", number % 7)).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    let world = world(BLOCK_LEN as u32, &files);
    let store = FileStore::new(99, world.config()).unwrap();
    let mut handles = Handles::new(3);
    let blocks: Vec<&[u8]> = world.content.chunks(700).collect();
    store.write(&mut handles, 0, &blocks).unwrap();
    let mut back = vec![0; world.content.len()];
    store.read(&mut handles, 0, &mut back).unwrap();
    assert!(back == world.content);
    assert_eq!(handles.open_count(), 3);

    assert!(world.path("dir0/49.part").exists());
}
