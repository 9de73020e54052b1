//! Devices that do not answer, by stores that wait to be let go: what they hold up, and what is
//! told of it.

use super::*;

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::base::ids::FileIndex;

/// A gate that calls stop at while it is shut.
struct Gate {
    is_shut: AtomicBool,
    arrive: Sender<()>,
    arrived: Receiver<()>,
    go: Sender<()>,
    going: Receiver<()>,
}

impl Gate {
    fn shut() -> Self {
        // More than any test lets through.
        let ((arrive, arrived), (go, going)) = (bounded(100), bounded(100));
        Self { is_shut: AtomicBool::new(true), arrive, arrived, go, going }
    }

    fn pass(&self) {
        if self.is_shut.load(Ordering::SeqCst) {
            self.arrive.send(()).unwrap();
            self.going.recv().unwrap();
        }
    }

    fn wait_for_arrival(&self) {
        self.arrived.recv().unwrap();
    }

    /// Whoever waits goes on, and nobody waits any more.
    fn open(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
        for _ in 0..self.going.capacity().unwrap() {
            let _ = self.go.try_send(());
        }
    }
}

/// A store whose writes or syncs stop at a gate.
struct Hanging {
    memory: MemoryStore,
    writes: Option<Gate>,
    syncs: Option<Gate>,
    /// Syncs that find no descriptors, from the first on.
    without_descriptors: AtomicUsize,
    /// `w` for each write, `s` for each sync that has ended.
    log: (Sender<char>, Receiver<char>),
}

impl Hanging {
    fn new(world: &World) -> Self {
        Self {
            memory: MemoryStore::new(world.content.len()),
            writes: None,
            syncs: None,
            without_descriptors: AtomicUsize::new(0),
            log: bounded(1000),
        }
    }
}

impl Store for Hanging {
    fn write(&self, handles: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        self.writes.iter().for_each(Gate::pass);
        self.log.0.send('w').unwrap();
        self.memory.write(handles, offset, parts)
    }

    fn read(&self, handles: &mut Handles, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        self.memory.read(handles, offset, into)
    }

    fn read_ahead(&self, handles: &mut Handles, offset: u64, len: u64) -> Result<(), Error> {
        self.memory.read_ahead(handles, offset, len)
    }

    fn is_present(&self, offset: u64, len: u64) -> bool {
        self.memory.is_present(offset, len)
    }

    fn sync(&self, handles: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        self.syncs.iter().for_each(Gate::pass);
        self.log.0.send('s').unwrap();
        let fewer = |left: usize| left.checked_sub(1);
        let lacking =
            self.without_descriptors.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
        if lacking.is_ok() {
            let error = Error::io("reading", "memory", rustix::io::Errno::MFILE);
            return vec![(FileIndex(0), Unsynced::Unknown(error))];
        }
        self.memory.sync(handles)
    }
}

fn open_on(disk: &Disk, world: &World, store: Arc<dyn Store>) -> Running {
    // More than any test sends.
    let (sender, events) = mpsc::channel(1000);
    let handle = disk.open_store(world.layout, world.hashes(), store, sender).unwrap();
    Running { handle, events, others: Vec::new() }
}

fn submit(world: &World, running: &Running, numbers: std::ops::Range<u32>) {
    for piece in numbers.map(|number| world.piece(number)) {
        let blocks = world.blocks(piece);
        running
            .handle
            .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
            .unwrap();
    }
}

fn wait_good(running: &mut Running, count: usize) {
    for _ in 0..count {
        running.wait(|event| match event {
            DiskEvent::Checked { verdict, .. } => {
                assert!(matches!(verdict, Verdict::Good(None)), "{verdict:?}");
                Ok(())
            }
            other => Err(other),
        });
    }
}

const PIECE: u64 = BLOCK_LEN as u64;

#[test]
fn a_device_that_hangs_holds_up_its_own_torrents_only() {
    let world = world(BLOCK_LEN as u32, &[("a", 64 * PIECE)]);
    let hung = Arc::new(Hanging { writes: Some(Gate::shut()), ..Hanging::new(&world) });
    let mut bad = open_on(&world.disk, &world, hung.clone());
    let mut good = open_on(&world.disk, &world, Arc::new(Hanging::new(&world)));
    // The first is caught, and more batches come behind it than there are threads.
    submit(&world, &bad, 0..1);
    let gate = hung.writes.as_ref().unwrap();
    gate.wait_for_arrival();
    for number in 1..40 {
        submit(&world, &bad, number..number + 1);
        bad.handle.submit(Job::Look).unwrap();
    }
    submit(&world, &good, 0..64);
    wait_good(&mut good, 64);
    assert!(good.flush().is_none());
    gate.open();
    wait_good(&mut bad, 40);
    assert_eq!(world.pool.in_use_blocks(), 0);
}

#[test]
fn a_silent_device_is_told_of_takes_nothing_and_goes_on_when_it_answers() {
    let world = world(BLOCK_LEN as u32, &[("a", 8 * PIECE)]);
    let hung = Arc::new(Hanging { writes: Some(Gate::shut()), ..Hanging::new(&world) });
    let mut bad = open_on(&world.disk, &world, hung.clone());
    let mut good = open_on(&world.disk, &world, Arc::new(Hanging::new(&world)));
    assert_eq!(bad.handle.silence(), None);
    let begin = Instant::now();
    submit(&world, &bad, 0..1);
    let silence = bad.wait(|event| match event {
        DiskEvent::Silent(silence) => Ok(silence),
        other => Err(other),
    });
    assert!(begin.elapsed() >= pulse::PATIENCE && silence.since >= begin);
    assert_eq!(bad.handle.silence(), Some(silence));
    assert!(matches!(bad.handle.submit(Job::Look), Err(Rejected::Silent(Job::Look))));
    good.fetch(&world, 0..8);
    assert!(good.handle.silence().is_none() && good.others.is_empty());
    hung.writes.as_ref().unwrap().open();
    bad.wait(|event| match event {
        DiskEvent::Answers => Ok(()),
        other => Err(other),
    });
    assert_eq!(bad.handle.silence(), None);
    bad.fetch(&world, 1..8);
}

#[test]
fn the_end_leaves_a_device_behind_that_does_not_answer() {
    let world = world(BLOCK_LEN as u32, &[("a", PIECE)]);
    let hung = Arc::new(Hanging { writes: Some(Gate::shut()), ..Hanging::new(&world) });
    let running = open_on(&world.disk, &world, hung.clone());
    submit(&world, &running, 0..1);
    hung.writes.as_ref().unwrap().wait_for_arrival();
    let begin = Instant::now();
    world.disk.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(matches!(running.handle.submit(Job::Look), Err(Rejected::Stopped(Job::Look))));
    hung.writes.as_ref().unwrap().open();
}

/// What a power loss may take has a bound, however slow the device is.
#[test]
fn writing_waits_for_a_device_that_is_slower() {
    let world = world(BLOCK_LEN as u32, &[("a", 12 * PIECE)]);
    let sync = SyncPolicy { after: Duration::from_secs(3600), bytes: PIECE };
    let (pool, check_bytes) = (world.pool.clone(), 1 << 20);
    let disk = Disk::start(DiskConfig { workers: Some(2), pool, check_bytes, sync }).unwrap();
    let slow = Arc::new(Hanging { syncs: Some(Gate::shut()), ..Hanging::new(&world) });
    let mut running = open_on(&disk, &world, slow.clone());
    running.fetch(&world, 0..1);
    let gate = slow.syncs.as_ref().unwrap();
    gate.wait_for_arrival();
    // Four times what a sync is due at, and the one that goes beyond.
    running.fetch(&world, 1..5);
    assert_eq!(running.handle.backlog(), Backlog { bytes: 5 * PIECE, files: 0 });
    submit(&world, &running, 5..12);
    gate.open();
    wait_good(&mut running, 7);
    assert_eq!(running.flush(), None);
    assert_eq!(running.handle.backlog(), Backlog::default());
    let log: String = slow.log.1.try_iter().collect();
    assert!(log.starts_with("wwwwws"), "{log}");
}

/// A file may not be opened any more for lack of rights, and will not be for days.
#[test]
fn writing_goes_on_though_nothing_can_be_brought_to_the_device_and_that_is_told() {
    let world = world(BLOCK_LEN as u32, &[("a", 6 * PIECE)]);
    let sync = SyncPolicy { after: Duration::from_secs(3600), bytes: PIECE };
    let (pool, check_bytes) = (world.pool.clone(), 1 << 20);
    let disk = Disk::start(DiskConfig { workers: Some(2), pool, check_bytes, sync }).unwrap();
    let store = Arc::new(Hanging::new(&world));
    store.without_descriptors.store(usize::MAX, Ordering::SeqCst);
    let mut running = open_on(&disk, &world, store.clone());
    running.fetch(&world, 0..6);
    assert_eq!(running.handle.backlog().bytes, 6 * PIECE);
    let told = running.others.iter().filter_map(|event| match event {
        DiskEvent::FileTrouble { reason, lost, .. } => Some((reason.as_str(), lost.len())),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let [(reason, 0)] = told[..] else { panic!("{told:?}") };
    assert!(reason.starts_with("cannot bring it to the device: "), "{reason}");
    store.without_descriptors.store(0, Ordering::SeqCst);
    assert_eq!(running.flush(), None);
    assert_eq!(running.handle.backlog(), Backlog::default());
}

#[test]
fn a_flush_that_finds_no_descriptors_is_tried_again() {
    let world = world(BLOCK_LEN as u32, &[("a", PIECE)]);
    let store = Arc::new(Hanging::new(&world));
    store.without_descriptors.store(2, Ordering::SeqCst);
    let mut running = open_on(&world.disk, &world, store.clone());
    running.fetch(&world, 0..1);
    assert_eq!(running.flush(), None);
    assert_eq!(store.log.1.try_iter().collect::<String>(), "wsss");
    assert_eq!(running.handle.backlog().bytes, 0);
}

#[test]
fn torrents_of_one_device_share_a_lane_and_it_goes_with_the_last() {
    let world = world(BLOCK_LEN as u32, &[("a", PIECE)]);
    let (first, _) = world.resume();
    let other = StoreConfig {
        dir: world.root.path().join("elsewhere/not/there"),
        resume_path: world.root.path().join("state/y.resume"),
        ..world.config()
    };
    let second = world.open(other).unwrap();
    assert_eq!(world.disk.lanes.all().len(), 1);
    // A device of its own on every Linux.
    let proc = StoreConfig {
        dir: PathBuf::from("/proc/self"),
        resume_path: world.root.path().join("state/z.resume"),
        ..world.config()
    };
    let third = world.open(proc).unwrap();
    assert_eq!(world.disk.lanes.all().len(), 2);
    drop((first, second, third));
    assert_eq!(world.disk.lanes.all().len(), 0);
}

/// A folder of thousands of files may be deleted while it downloads.
#[test]
fn one_event_tells_of_all_files_in_trouble() {
    let names: Vec<String> = (0..300).map(|number| format!("d/{number}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    let world = world(BLOCK_LEN as u32, &files);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..world.layout.piece_count());
    running.others.clear();
    std::fs::remove_dir_all(world.path("d")).unwrap();
    assert!(!running.finish());
    let [DiskEvent::FileTrouble { file, reason, lost, is_gone: true }] = &running.others[..] else {
        panic!("{:?}", running.others)
    };
    assert_eq!((*file, lost.len()), (FileIndex(0), world.layout.piece_count() as usize));
    assert!(reason.contains("d/0 is gone") && reason.ends_with("; and 299 more files"));
}
