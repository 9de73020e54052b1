//! The power fails: what was not brought to the device is gone, in parts and in any order. Real
//! workers, syncer and record; only the device is a model, cut off after a number of
//! operations. Whatever is left, no piece that the next start believes may be wrong.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::base::ids::FileIndex;
use crate::disk::record::{self, Journal, RecordFile, Replayed};

const PIECES: u32 = 12;
const PIECE_LEN: u32 = 2 * BLOCK_LEN as u32;
/// What a device writes as a whole or not at all.
const SECTOR: usize = 512;
const RECORD_ROOM: usize = 16 << 10;
const CUTS: u64 = 500;

/// Operations until the power fails.
#[derive(Debug)]
struct Power(AtomicU64);

impl Power {
    /// One operation more; none when there is no power.
    fn operation(&self) -> io::Result<()> {
        let left =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| rustix::io::Errno::IO.into())
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Bytes on a device.
#[derive(Debug)]
struct Medium {
    bytes: Mutex<Bytes>,
    power: Arc<Power>,
}

#[derive(Debug)]
struct Bytes {
    /// As programs see them.
    seen: Vec<u8>,
    /// As the device has them.
    kept: Vec<u8>,
}

impl Medium {
    fn new(content: Vec<u8>, power: Arc<Power>) -> Self {
        Self { bytes: Mutex::new(Bytes { seen: content.clone(), kept: content }), power }
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().expect("nobody panicked")
    }

    fn write(&self, mut offset: usize, parts: &[&[u8]]) -> io::Result<()> {
        self.power.operation()?;
        let seen = &mut self.bytes().seen;
        for part in parts {
            seen[offset..][..part.len()].copy_from_slice(part);
            offset += part.len();
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.power.operation()?;
        let Bytes { seen, kept } = &mut *self.bytes();
        kept.copy_from_slice(seen);
        Ok(())
    }

    /// What is left after the cut: of each sector what the device had, or what was on its way.
    fn left(&self, rng: &mut SmallRng) -> Vec<u8> {
        let Bytes { seen, kept } = &*self.bytes();
        let sectors = kept.chunks(SECTOR).zip(seen.chunks(SECTOR));
        sectors.flat_map(|(kept, seen)| if rng.random() { kept } else { seen }).copied().collect()
    }
}

/// A store on such a medium.
struct Forgetful(Medium);

impl Store for Forgetful {
    fn write(&self, _: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        self.0.write(offset as usize, parts).map_err(|error| Error::io("writing", "model", error))
    }

    fn read(&self, _: &mut Handles, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        into.copy_from_slice(&self.0.bytes().seen[offset as usize..][..into.len()]);
        Ok(())
    }

    fn read_ahead(&self, _: &mut Handles, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn is_present(&self, _: u64, _: u64) -> bool {
        true
    }

    fn sync(&self, _: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        let failed = self.0.sync().err();
        failed
            .map(|error| Unsynced::Lost(Error::io("syncing", "model", error)))
            .map(|lost| (FileIndex(0), lost))
            .into_iter()
            .collect()
    }
}

/// A record on such a medium. It only grows.
#[derive(Clone, Debug)]
struct RecordModel {
    medium: Arc<Medium>,
    len: Arc<AtomicUsize>,
    kept_len: Arc<AtomicUsize>,
    /// Words in it that are about several pieces.
    together: Arc<AtomicUsize>,
}

impl RecordModel {
    /// One whose `head` has reached the device.
    fn new(head: &[u8], power: Arc<Power>) -> Self {
        let mut room = head.to_vec();
        room.resize(RECORD_ROOM, 0);
        let len = || Arc::new(AtomicUsize::new(head.len()));
        let medium = Arc::new(Medium::new(room, power));
        Self { medium, len: len(), kept_len: len(), together: Arc::default() }
    }

    fn left(&self, rng: &mut SmallRng) -> Vec<u8> {
        let (kept, len) = (self.kept_len.load(Ordering::Acquire), self.len.load(Ordering::Acquire));
        let mut left = self.medium.left(rng);
        left.truncate(rng.random_range(kept..=len));
        left
    }
}

impl RecordFile for RecordModel {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let is_of_many = |entry: &&[u8]| entry[0] == 1 && entry[8..24] != [0; 16];
        let many = bytes.chunks(32).filter(is_of_many).count();
        self.together.fetch_add(many, Ordering::AcqRel);
        let at = self.len.fetch_add(bytes.len(), Ordering::AcqRel);
        self.medium.write(at, &[bytes])
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Acquire) as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let len = self.len.load(Ordering::Acquire);
        self.medium.sync()?;
        self.kept_len.store(len, Ordering::Release);
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.medium.power.operation()?;
        let Bytes { seen, kept } = &mut *self.medium.bytes();
        seen[..bytes.len()].copy_from_slice(bytes);
        kept.copy_from_slice(seen);
        self.len.store(bytes.len(), Ordering::Release);
        self.kept_len.store(bytes.len(), Ordering::Release);
        Ok(())
    }
}

/// A torrent on a device of which this much is left.
struct Machine {
    world: World,
    subject: Subject,
    content: Vec<u8>,
    believed: Replayed,
    /// Words of its records that were about several pieces.
    together: usize,
}

impl Machine {
    fn new() -> Self {
        let len = u64::from(PIECES) * u64::from(PIECE_LEN) - 777;
        let world = world(PIECE_LEN, &[("film", len)]);
        let subject = Subject::of(InfoHash([7; 20]), world.layout, world.root.path());
        let content = vec![0; len as usize];
        let none = Bitfield::none(PIECES);
        let believed = read(&head(&subject, &none), &subject, &world);
        Self { world, subject, content, believed, together: 0 }
    }

    /// Runs until the power fails after `operations` or everything is there, then looks at what
    /// is left. Returns the pieces whose word was given before the cut that they are durable.
    fn run(&mut self, operations: u64, rng: &mut SmallRng) {
        let power = Arc::new(Power(AtomicU64::new(operations)));
        let have = self.believed.durable.clone();
        let store = Arc::new(Forgetful(Medium::new(self.content.clone(), power.clone())));
        let record = RecordModel::new(&head(&self.subject, &have), power.clone());
        let sync = SyncPolicy { after: Duration::from_millis(20), bytes: 3 * u64::from(PIECE_LEN) };
        let config = DiskConfig {
            workers: Some(2),
            pool: self.world.pool.clone(),
            check_bytes: 24 << 20,
            sync,
        };
        let disk = Disk::start(config).unwrap();
        let (sender, events) = mpsc::channel(1000);
        let layout = self.world.layout;
        let handle = disk.open_store(layout, self.world.hashes(), store.clone(), sender).unwrap();
        let torrent = &handle.shared.torrent;
        torrent.start_with(&have);
        let journal = Journal::within(Box::new(record.clone()), self.subject.clone());
        torrent.journal.set(journal).expect("no journal before");
        let mut running = Running { handle, events, others: Vec::new() };
        let mut missing: Vec<_> = layout.pieces().filter(|piece| !have.has(*piece)).collect();
        while power.is_on() && !missing.is_empty() {
            let first = rng.random_range(0..missing.len());
            if rng.random() {
                let count = rng.random_range(1..5).min(missing.len() - first);
                let pieces: Vec<_> = missing.drain(first..first + count).collect();
                running.check_together(&self.world, &pieces);
            } else {
                running.bring(&self.world, missing.swap_remove(first), rng);
            }
        }
        if power.is_on() {
            running.flush();
        }
        self.content = store.0.left(rng);
        self.believed = read(&record.left(rng), &self.subject, &self.world);
        self.together += record.together.load(Ordering::Acquire);
    }

    /// Every piece that counts is right.
    fn assert_right(&self, words: &str) {
        for number in self.believed.durable.iter_ones() {
            let piece = self.world.piece(number);
            let begin = self.world.layout.piece_offset(piece) as usize;
            let range = begin..begin + self.world.layout.len_of(piece) as usize;
            let is_right = self.content[range.clone()] == self.world.content[range];
            assert!(is_right, "piece {number} is believed and wrong: {words}");
        }
    }
}

impl Running {
    /// Brings a piece: wrong once in a while, or spilled before it is whole.
    fn bring(&mut self, world: &World, piece: PieceIndex, rng: &mut SmallRng) {
        let mut blocks = world.blocks(piece);
        match rng.random_range(0..6) {
            0 => {
                let (first, rest) = (blocks.remove(0), blocks);
                let Held::Data(first) = first else { panic!("blocks are in memory") };
                let at = world.layout.block(piece, 0).unwrap();
                self.handle.submit(Job::Spill { piece, blocks: vec![(at, first)] }).unwrap();
                let failed = self.wait(|event| match event {
                    DiskEvent::Spilled { failed, .. } => Ok(failed.is_some()),
                    other => Err(other),
                });
                blocks = match failed {
                    true => return,
                    false => std::iter::once(Held::OnDisk).chain(rest).collect(),
                };
            }
            1 => {
                let wrong = vec![0xee; blocks[0].bytes_len()];
                blocks[0] = Held::Data(world.block(&wrong));
                assert!(!matches!(self.check(piece, blocks), Verdict::Good(_)));
                blocks = world.blocks(piece);
            }
            _ => {}
        }
        self.check(piece, blocks);
    }
}

trait HeldLen {
    fn bytes_len(&self) -> usize;
}

impl HeldLen for Held {
    fn bytes_len(&self) -> usize {
        match self {
            Held::Data(block) => block.len_bytes(),
            Held::Pad | Held::OnDisk => 0,
        }
    }
}

fn head(subject: &Subject, have: &Bitfield) -> Vec<u8> {
    let none = Bitfield::none(have.piece_count());
    record::begin(
        subject,
        &Standing {
            verified: have.clone(),
            durable: have.clone(),
            doubted: none,
            stamps: Vec::new(),
            ours: Vec::new(),
            left: Vec::new(),
            ground: Ground::default(),
        },
        1,
    )
}

fn read(record: &[u8], subject: &Subject, world: &World) -> Replayed {
    let extents = Extents::new(world.files.iter().map(|file| (file.len, file.is_pad)));
    record::replay(record, subject, &extents).expect("the head is on the device")
}

#[test]
fn after_any_cut_no_wrong_piece_is_believed_and_the_rest_can_be_fetched() {
    let (mut believed, mut together) = (0, 0);
    for seed in 0..CUTS / 2 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut machine = Machine::new();
        // Twice in a row: the second time on what the first one left.
        for cut in 0..2 {
            machine.run(rng.random_range(1..70), &mut rng);
            machine.assert_right(&format!("seed {seed}, cut {cut}"));
        }
        believed += machine.believed.durable.ones();
        machine.run(u64::MAX, &mut rng);
        machine.assert_right(&format!("seed {seed}, the end"));
        assert!(machine.believed.durable.is_full(), "seed {seed}: a flush covers everything");
        assert_eq!(machine.content, machine.world.content, "seed {seed}");
        together += machine.together;
    }
    assert!(together > 0, "no pieces were noted together");
    // Else nothing was tried: a third of all pieces outlive two cuts.
    assert!(believed > CUTS as u32 / 2 * PIECES / 3, "{believed} pieces outlived their cuts");
}
