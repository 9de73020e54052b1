//! Files that are being sent from: open, and with the bytes that are sent next in the page
//! cache. The system is asked first whether they are there; if not, a thread that may wait for
//! the disk fetches them, one at a time for each link and a few for each device. So a slow or
//! hung disk holds up nobody but the links that send from it. Not here: the sending.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::base::extents::FileSlice;
use crate::disk::{Outlet, OutletFile, WARM_BELIEVED};

/// Bytes that are fetched at once: one wait for many blocks that follow each other.
const AHEAD: u64 = 256 * 1024;
/// Bytes between those that are touched: the smallest page.
const PAGE: usize = 4096;

/// The file that was sent from last, and the thread that fetches from it.
#[derive(Debug, Default)]
pub(super) struct Ready {
    outlet: Option<Outlet>,
    open: Option<Opened>,
    fetching: Option<JoinHandle<io::Result<Opened>>>,
}

/// A file, and which of its bytes are in the page cache, up to the second.
#[derive(Debug)]
struct Opened {
    file: OutletFile,
    begin: u64,
    end: u64,
    since: Instant,
}

impl Ready {
    /// From now on it sends from here.
    pub(super) fn send_from(&mut self, outlet: Option<&Outlet>) {
        if self.outlet.is_none() {
            self.outlet = outlet.cloned();
        }
    }

    /// The parts of files that these bytes of the torrent are.
    pub(super) fn slices(
        &self,
        offset: u64,
        len: u64,
    ) -> io::Result<impl Iterator<Item = FileSlice>> {
        Ok(self.outlet.as_ref().ok_or_else(no_outlet)?.slices(offset, len))
    }

    /// Waits until the front of this part can be sent without waiting for the disk; tells how
    /// many of its bytes. May be dropped at any time without loss.
    pub(super) async fn prepare(&mut self, slice: &FileSlice) -> io::Result<u64> {
        loop {
            if let Some(fetching) = &mut self.fetching {
                let fetched = fetching.await;
                self.fetching = None;
                self.open = Some(fetched.map_err(io::Error::other)??);
            }
            if let Some(len) = self.at_hand(slice) {
                return Ok(len);
            }
            let outlet = self.outlet.clone().ok_or_else(no_outlet)?;
            let open = self.open.take().map(|open| open.file);
            self.fetching = Some(begin_fetch(outlet, open, *slice));
        }
    }

    /// Is the front of this part known to be sent without waiting for the disk?
    pub(super) fn is_at_hand(&mut self, slice: &FileSlice) -> bool {
        self.fetching.is_none() && self.at_hand(slice).is_some()
    }

    /// Does it wait for the disk?
    pub(super) fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// The file, once this part is prepared, and where in it the part stands.
    pub(super) fn file(&self, slice: &FileSlice) -> Option<(&File, u64)> {
        let opened = &self.open.as_ref()?.file;
        Some((&opened.file, opened.place_of(slice)?))
    }

    /// How many bytes of the part's front are open and in the page cache, if any.
    fn at_hand(&mut self, slice: &FileSlice) -> Option<u64> {
        let outlet = self.outlet.as_ref()?;
        let open = self.open.as_mut().filter(|it| outlet.is_current(&it.file, slice.file))?;
        let begin = open.file.place_of(slice)?;
        let now = Instant::now();
        let is_known = (open.begin..open.end).contains(&begin) && now < open.since + WARM_BELIEVED;
        if !is_known {
            let known = outlet.known_warm(slice, now.into_std());
            let asked = || ask(outlet, &open.file, slice, begin).map(|len| (len, Duration::ZERO));
            let (len, age) = known.or_else(asked)?;
            let since = now.checked_sub(age).unwrap_or(now);
            (open.begin, open.end, open.since) = (begin, begin + len, since);
        }
        Some(slice.len.min(open.end - begin))
    }
}

impl Drop for Ready {
    /// Nobody takes what is being fetched any more: it does not stay in the line.
    fn drop(&mut self) {
        if let Some(fetching) = &self.fetching {
            fetching.abort();
        }
    }
}

/// Asks the system how many bytes of the part's front, which stands at `begin` in its file, are in
/// the page cache, and of what follows it there; tells the others that send from the device.
fn ask(outlet: &Outlet, open: &OutletFile, slice: &FileSlice, begin: u64) -> Option<u64> {
    if !open.is_whole() {
        return warm_end(&open.file, begin, begin + slice.len).map(|end| end - begin);
    }
    let stretch = outlet.stretch_of(slice);
    let len = warm_end(&open.file, begin, begin + stretch.len)? - begin;
    outlet.note_warm(&FileSlice { len, ..stretch }, std::time::Instant::now());
    Some(len)
}

/// Up to where the bytes from `begin` to `end` are in the page cache, from the front. Every page is
/// asked for: one that is not there would keep the thread of many links. A byte of each is cheaper
/// than a copy of all.
fn warm_end(file: &File, begin: u64, end: u64) -> Option<u64> {
    let mut at = begin;
    while at < end {
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        match preadv2(file, &mut parts, at, ReadWriteFlags::NOWAIT) {
            // Where nothing is read the file ends; whoever sends will see it.
            Ok(0) => return Some(end),
            Ok(_) => at = (at / PAGE as u64 + 1) * PAGE as u64,
            Err(_) => return (at > begin).then_some(at),
        }
    }
    Some(end)
}

/// Fetches on a thread that may wait for the disk, as soon as there is one for this disk: of one
/// that does not answer, a few wait and not all there are.
fn begin_fetch(
    outlet: Outlet,
    open: Option<OutletFile>,
    slice: FileSlice,
) -> JoinHandle<io::Result<Opened>> {
    let senders = outlet.senders().clone();
    let work = move |permit: OwnedSemaphorePermit| {
        let fetched = fetch(&outlet, open, &slice);
        drop(permit);
        fetched
    };
    match senders.clone().try_acquire_owned() {
        Ok(permit) => spawn_blocking(move || work(permit)),
        Err(_) => tokio::spawn(async move {
            let permit = senders.acquire_owned().await.map_err(io::Error::other)?;
            spawn_blocking(move || work(permit)).await.map_err(io::Error::other)?
        }),
    }
}

/// Opens the file, unless it is open, and reads the part and some bytes behind it.
fn fetch(outlet: &Outlet, open: Option<OutletFile>, slice: &FileSlice) -> io::Result<Opened> {
    let file = match open.filter(|open| outlet.is_current(open, slice.file)) {
        Some(file) => file,
        None => outlet.open(slice.file)?,
    };
    // What is verified has a place.
    let begin = file.place_of(slice).ok_or(io::ErrorKind::UnexpectedEof)?;
    let end = begin + AHEAD.max(slice.len);
    // Only to be faster: the reads below do the same, page by page.
    let _ = fadvise(&file.file, begin, std::num::NonZeroU64::new(end - begin), Advice::WillNeed);
    for at in (begin..end).step_by(PAGE) {
        if file.file.read_at(&mut [0], at)? == 0 {
            break;
        }
    }
    Ok(Opened { file, begin, end, since: Instant::now() })
}

/// Is this a failure of our files, and not of the connection?
pub(super) fn is_ours(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::IO | Errno::STALE | Errno::NXIO | Errno::NODEV))
}

fn no_outlet() -> io::Error {
    io::Error::other("there are no files to send from")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(file: &File, begin: u64, len: u64) -> Option<u64> {
        warm_end(file, begin, begin + len)
    }

    #[test]
    fn the_page_cache_is_asked_for_every_page_of_a_part() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; 600_000], 0).unwrap();
        // Where the system does not answer the question, the answer is no.
        if preadv2(&file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT).is_err() {
            return;
        }
        assert_eq!(warm(&file, 5, 16_384), Some(16_389));
        assert_eq!(warm(&file, 500_000, 16_384), Some(516_384));
        // Behind the end there is nothing to wait for.
        assert_eq!(warm(&file, 599_000, 16_384), Some(615_384));
        // A hole is in no cache, unless the file is in memory as a whole.
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        file.write_all_at(&vec![1; 600_000], 12_288).unwrap();
        if preadv2(&file, &mut [IoSliceMut::new(&mut [0])], 8192, ReadWriteFlags::NOWAIT).is_ok() {
            return;
        }
        assert_eq!(warm(&file, 100, 16_284), Some(4096));
        assert_eq!(warm(&file, 8000, 8_384), None);
    }
}
