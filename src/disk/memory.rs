//! A store in memory whose faults are set from outside: for tests of what is above the
//! disk, and for simulations. One file, no names, nothing survives it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::base::ids::FileIndex;

use super::error::Error;
use super::handles::Handles;
use super::store::{Store, Unsynced};

/// Bytes of a torrent in memory, two bytes each: only for small ones.
#[derive(Debug)]
pub struct MemoryStore {
    cells: Vec<AtomicU16>,
    faults: Faults,
}

/// What goes wrong with a [`MemoryStore`], changed at any time.
#[derive(Debug, Default)]
pub struct Faults {
    /// Writes fail for lack of space.
    pub is_full: AtomicBool,
    /// Writes fail with an input/output error.
    pub fails_writes: AtomicBool,
    /// Reads fail with an input/output error.
    pub fails_reads: AtomicBool,
    /// Bringing data to the device fails.
    pub fails_sync: AtomicBool,
    /// Each read and write takes this long, in microseconds.
    pub delay_us: AtomicU64,
}

/// A cell that was never written.
const NOTHING: u16 = 0x100;

impl MemoryStore {
    /// Room for `len` bytes, none of them written.
    pub fn new(len: usize) -> Self {
        let cells = (0..len).map(|_| AtomicU16::new(NOTHING)).collect();
        Self { cells, faults: Faults::default() }
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// All bytes; none where nothing was written.
    pub fn content(&self) -> Vec<Option<u8>> {
        self.cells.iter().map(|cell| u8::try_from(cell.load(Ordering::Acquire)).ok()).collect()
    }

    fn cells(&self, offset: u64, len: u64) -> &[AtomicU16] {
        let begin = usize::try_from(offset).ok();
        let end = usize::try_from(offset.saturating_add(len)).ok();
        begin.zip(end).and_then(|(begin, end)| self.cells.get(begin..end)).unwrap_or(&[])
    }

    fn delay(&self) {
        match self.faults.delay_us.load(Ordering::Relaxed) {
            0 => {}
            us => std::thread::sleep(Duration::from_micros(us)),
        }
    }
}

fn fault(operation: &'static str, source: impl Into<io::Error>) -> Error {
    Error::io(operation, "memory", source)
}

impl Store for MemoryStore {
    fn write(&self, _: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        self.delay();
        if self.faults.is_full.load(Ordering::Relaxed) {
            return Err(fault("writing", Errno::NOSPC));
        }
        if self.faults.fails_writes.load(Ordering::Relaxed) {
            return Err(fault("writing", Errno::IO));
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let bytes = parts.iter().copied().flatten();
        for (cell, byte) in self.cells(offset, len as u64).iter().zip(bytes) {
            cell.store(u16::from(*byte), Ordering::Release);
        }
        Ok(())
    }

    fn read(&self, _: &mut Handles, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        self.delay();
        if self.faults.fails_reads.load(Ordering::Relaxed) {
            return Err(fault("reading", Errno::IO));
        }
        if !self.is_present(offset, into.len() as u64) {
            return Err(fault("reading", io::ErrorKind::UnexpectedEof));
        }
        for (cell, byte) in self.cells(offset, into.len() as u64).iter().zip(into) {
            *byte = u8::try_from(cell.load(Ordering::Acquire)).unwrap_or(0);
        }
        Ok(())
    }

    fn read_ahead(&self, _: &mut Handles, offset: u64, len: u64) -> Result<(), Error> {
        match self.is_present(offset, len) {
            true => Ok(()),
            false => Err(fault("reading", io::ErrorKind::UnexpectedEof)),
        }
    }

    fn is_present(&self, offset: u64, len: u64) -> bool {
        let cells = self.cells(offset, len);
        cells.len() as u64 == len
            && cells.iter().all(|cell| cell.load(Ordering::Acquire) != NOTHING)
    }

    fn sync(&self, _: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        match self.faults.fails_sync.load(Ordering::Relaxed) {
            true => vec![(FileIndex(0), Unsynced::Lost(fault("syncing", Errno::IO)))],
            false => Vec::new(),
        }
    }
}
