//! A device that forgets. What was not brought to it is gone when the power fails, in parts and in
//! any order; a synchronisation that fails has lost what it should have kept, and the next one does
//! not say so; a disk that is full takes the beginning of what is written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::io::Errno;

use super::super::device::{Device, Fill, Medium};

/// What a device writes as a whole or not at all.
const SECTOR: usize = 512;

/// The device.
#[derive(Debug)]
pub(super) struct Model(Mutex<State>);

#[derive(Debug)]
struct State {
    files: Vec<Bytes>,
    /// Names as programs see them.
    seen: BTreeMap<String, usize>,
    /// And as the device has had them one after the other, the last one for certain.
    kept: Vec<BTreeMap<String, usize>>,
    operations: u64,
    /// Operations until the power fails.
    power: Option<u64>,
    /// One operation in so many fails, but the device goes on.
    faults: Option<(u32, SmallRng)>,
    /// Bytes that have room.
    room: Option<u64>,
    reads: u64,
    bytes_read: u64,
}

#[derive(Clone, Default, Debug)]
struct Bytes {
    /// As programs see them.
    seen: Vec<u8>,
    /// As the device has them.
    kept: Vec<u8>,
    /// Sectors that the next synchronisation brings to the device.
    dirty: Vec<bool>,
    /// What the length may be after a loss of power.
    lengths: Vec<usize>,
}

impl Bytes {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.seen.len() {
            self.seen.resize(end, 0);
            self.lengths.push(end);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        self.dirty.resize(self.seen.len().div_ceil(SECTOR).max(self.dirty.len()), false);
        if offset < end {
            self.dirty[offset / SECTOR..=(end - 1) / SECTOR].fill(true);
        }
    }

    fn cut(&mut self, len: usize) {
        self.seen.truncate(len);
        self.dirty.truncate(len.div_ceil(SECTOR));
        self.lengths.push(len);
    }

    /// Brings to the device what is new of these sectors.
    fn keep(&mut self, mut is_kept: impl FnMut() -> bool) {
        for (sector, is_dirty) in self.dirty.iter_mut().enumerate() {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.seen.len());
            if *is_dirty && is_kept() {
                let end = range.end.max(self.kept.len());
                self.kept.resize(end, 0);
                self.kept[range.clone()].copy_from_slice(&self.seen[range]);
            }
            *is_dirty = false;
        }
    }

    fn sync(&mut self) {
        self.keep(|| true);
        self.kept.resize(self.seen.len(), 0);
        self.lengths = vec![self.seen.len()];
    }

    /// What is left when the power fails.
    fn left(&self, rng: &mut SmallRng) -> Self {
        let mut left = self.clone();
        left.keep(|| rng.random());
        if !left.lengths.is_empty() {
            let len = left.lengths[rng.random_range(0..left.lengths.len())];
            left.kept.resize(len, 0);
        }
        let lengths = vec![left.kept.len()];
        Self { seen: left.kept.clone(), kept: left.kept, dirty: Vec::new(), lengths }
    }
}

impl State {
    /// One operation more; none when there is no power.
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some(left) = &mut self.power {
            *left = left.checked_sub(1).ok_or(Errno::IO)?;
        }
        self.fault()
    }

    fn fault(&mut self) -> io::Result<()> {
        let Some((one_in, rng)) = &mut self.faults else { return Ok(()) };
        if rng.random_ratio(1, *one_in) { Err(Errno::IO.into()) } else { Ok(()) }
    }

    /// How much of this has room in a file of this length.
    fn takes(&self, file: usize, offset: u64, len: usize) -> usize {
        let Some(room) = self.room else { return len };
        let used: usize = self.seen.values().map(|file| self.files[*file].seen.len()).sum();
        let inside = (self.files[file].seen.len() as u64).saturating_sub(offset);
        let free = room.saturating_sub(used as u64) + inside;
        len.min(free as usize)
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let taken = match self.operation() {
            Ok(()) => self.takes(file, offset, bytes.len()),
            // What fails may be half done.
            Err(error) => {
                self.files[file].write(offset as usize, &bytes[..bytes.len() / 2]);
                return Err(error);
            }
        };
        self.files[file].write(offset as usize, &bytes[..taken]);
        if taken < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        if let Err(error) = self.operation() {
            if let Some((_, rng)) = &mut self.faults {
                // It is not tried again by itself.
                self.files[file].keep(|| rng.random());
            }
            return Err(error);
        }
        self.files[file].sync();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.operation()?;
        self.kept = vec![self.seen.clone()];
        Ok(())
    }

    fn name<T>(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, usize>) -> T,
    ) -> io::Result<()> {
        self.operation()?;
        change(&mut self.seen);
        self.kept.push(self.seen.clone());
        Ok(())
    }
}

impl Model {
    pub fn new() -> Self {
        Self(Mutex::new(State {
            files: Vec::new(),
            seen: BTreeMap::new(),
            kept: vec![BTreeMap::new()],
            operations: 0,
            power: None,
            faults: None,
            room: None,
            reads: 0,
            bytes_read: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panicked")
    }

    /// The power fails after so many operations more.
    pub fn cut_after(&self, operations: u64) {
        self.state().power = Some(operations);
    }

    pub fn has_power(&self) -> bool {
        self.state().power != Some(0)
    }

    /// One operation in so many fails from now on; none does when none.
    pub fn fail(&self, one_in: Option<u32>, seed: u64) {
        self.state().faults = one_in.map(|one_in| (one_in, SmallRng::seed_from_u64(seed)));
    }

    /// So many bytes have room in all.
    pub fn limit(&self, room: Option<u64>) {
        self.state().room = room;
    }

    /// Operations so far that change anything.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Calls that read, and what they read.
    pub fn reads(&self) -> (u64, u64) {
        let state = self.state();
        (state.reads, state.bytes_read)
    }

    /// The machine that starts after a loss of power.
    pub fn left(&self, rng: &mut SmallRng) -> Self {
        let state = self.state();
        let names = state.kept[rng.random_range(0..state.kept.len())].clone();
        let files: Vec<Bytes> = state.files.iter().map(|file| file.left(rng)).collect();
        let model = Self::new();
        {
            let mut new = model.state();
            new.files = files;
            new.kept = vec![names.clone()];
            new.seen = names;
        }
        model
    }

    /// The same machine after a crash of the process alone.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let model = Self::new();
        {
            let mut new = model.state();
            (new.files, new.seen) = (state.files.clone(), state.seen.clone());
            new.kept.clone_from(&state.kept);
        }
        model
    }

    pub fn file_names(&self) -> Vec<String> {
        self.state().seen.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.seen[name]].seen.clone()
    }

    /// Puts these bytes in the place of a file's, on the device.
    pub fn set_bytes(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let file = Bytes {
            seen: bytes.to_vec(),
            kept: bytes.to_vec(),
            dirty: Vec::new(),
            lengths: vec![bytes.len()],
        };
        state.files.push(file);
        let number = state.files.len() - 1;
        state.seen.insert(name.to_owned(), number);
        state.kept = vec![state.seen.clone()];
    }
}

/// An open file of it.
#[derive(Debug)]
struct Opened {
    model: Arc<Model>,
    file: usize,
}

impl Device for Arc<Model> {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.file_names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        let file = self.state().seen.get(name).copied();
        let file = file.ok_or(Errno::NOENT)?;
        Ok(Arc::new(Opened { model: self.clone(), file }))
    }

    fn replace(&self, name: &str, write: Fill<'_>) -> io::Result<()> {
        let beside = format!("{name}.new");
        let file = {
            let mut state = self.state();
            state.files.push(Bytes::default());
            let file = state.files.len() - 1;
            state.name(|names| names.insert(beside.clone(), file))?;
            file
        };
        let mut end = End { opened: Opened { model: self.clone(), file }, at: 0 };
        let written = write(&mut end).and_then(|()| self.state().sync(file));
        if let Err(error) = written {
            // As far as that works.
            let _ = self.state().name(|names| names.remove(&beside));
            return Err(error);
        }
        self.state().name(|names| {
            names.remove(&beside);
            names.insert(name.to_owned(), file);
        })?;
        self.state().sync_names()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().name(|names| names.remove(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.state().sync_names()
    }
}

/// The end of a file.
struct End {
    opened: Opened,
    at: u64,
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.opened.write(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Opened {
    fn length(&self) -> io::Result<u64> {
        Ok(self.model.state().files[self.file].seen.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.model.state();
        state.reads += 1;
        state.bytes_read += into.len() as u64;
        let bytes = state.files[self.file].seen.get(offset as usize..);
        let bytes = bytes.and_then(|bytes| bytes.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.model.state().write(self.file, offset, bytes)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.model.state();
        state.operation()?;
        state.files[self.file].cut(len as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.model.state().sync(self.file)
    }

    fn is_gone(&self) -> io::Result<bool> {
        Ok(!self.model.state().seen.values().any(|file| *file == self.file))
    }
}
