//! The system's word on what happens in a folder (inotify(7)). A hand: what it rings is only a
//! reason to look; where the system has no such bell, somebody looks now and then.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::ready::Rung;

/// Bytes of what is read at once: some 250 events.
const BUFFER_LEN: usize = 8192;
/// Events that are told at once.
const RUNG_MAX: usize = 4096;

/// Rings when something happens in a folder.
#[derive(Debug)]
pub struct Bell(AsyncFd<OwnedFd>);

impl Bell {
    /// For the folder of this path. Waits for the disk.
    ///
    /// # Errors
    /// What the system says, as when there are too many.
    pub fn hang(path: &Path) -> io::Result<Self> {
        let bell = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let flags = WatchFlags::ONLYDIR
            | WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&bell, path, flags)?;
        #[expect(deprecated, reason = "it is unsound with what lies about its descriptor")]
        let bell = AsyncFd::new(bell)?;
        Ok(Self(bell))
    }

    /// Waits until something has happened. Nothing is lost when nobody waits any more.
    ///
    /// # Errors
    /// What the system says: the bell is broken then.
    pub async fn rung(&mut self) -> io::Result<Vec<Rung>> {
        loop {
            let mut guard = self.0.readable().await?;
            let rung = read(guard.get_inner())?;
            match rung.is_empty() {
                true => guard.clear_ready(),
                false => return Ok(rung),
            }
        }
    }
}

/// What can be read without waiting.
fn read(bell: &OwnedFd) -> io::Result<Vec<Rung>> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_LEN];
    let mut reader = Reader::new(bell, &mut buffer);
    let mut rung = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| name.to_bytes().to_vec());
                let name = name.map(OsString::from_vec);
                let has = |flag| event.events().contains(flag);
                rung.push(match name {
                    Some(name) if has(ReadFlags::MODIFY) => Rung::Written(name),
                    Some(name) if has(ReadFlags::CLOSE_WRITE) => Rung::Closed(name),
                    _ => Rung::Other,
                });
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(rung),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if reader.is_buffer_empty() && rung.len() >= RUNG_MAX {
            return Ok(rung);
        }
    }
}
