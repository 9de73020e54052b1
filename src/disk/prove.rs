//! Files that somebody else wrote to while we did: their pieces are read back and hashed, on the
//! spot, and those that are not right any more are lost. How that is noticed is not known here.

use std::path::Path;

use sha1::{Digest, Sha1};

use crate::base::ids::FileIndex;
use crate::base::layout::PieceIndex;
use crate::base::pages::Pages;

use super::error::Error;
use super::handles::Handles;
use super::job::DiskEvent;
use super::open::OpenTorrent;
use super::patience::patiently;
use super::pulse;
use super::store::{FileNews, FileStamp, READ_LEN};

/// A file that changes again while it is read is read so often at once, and later again.
const ROUNDS: usize = 3;
/// So many bytes of files that are back are read at once, or one file: then others of the device
/// get their turn.
const RESTORED_AT_ONCE: u64 = 256 << 20;
/// Pieces of them that are noted together.
const NOTED_AT_ONCE: usize = 64;

/// What became of files that were lost.
pub(super) struct Restored {
    /// Which of them are back, in words for people.
    pub reason: String,
    /// Their pieces that are right, and were missing.
    pub found: Vec<PieceIndex>,
    /// Bytes of these, of which nobody knows whether they are on the device.
    pub bytes: u64,
    /// Not all were looked at.
    pub more: bool,
}

impl OpenTorrent {
    /// Reads a file back and tells what is lost of it; true when nothing is. Waits for the disk.
    pub(super) fn on_doubt(&self, file: FileIndex, mut seen: FileStamp, reason: String) -> bool {
        for _ in 0..ROUNDS {
            let lost = self.prove(file);
            if self.is_closed() {
                // It stays in doubt: not all was read.
                return false;
            }
            let news = self.store.settle(file, seen);
            if !lost.is_empty() {
                self.tell(DiskEvent::FileTrouble { file, reason, lost, is_gone: false });
                return false;
            }
            match news {
                Some(FileNews::Doubted { seen: again, .. }) => seen = again,
                other => return self.on_news(other.into_iter().collect()),
            }
        }
        let lost = Vec::new();
        self.tell(DiskEvent::FileTrouble { file, reason, lost, is_gone: false });
        false
    }

    /// Looks whether files that were lost are back, and reads as many of those as are to be read
    /// at once. What counts of them still and is wrong there is lost, and told. Waits for the
    /// disk; ends early when the torrent is closed.
    pub(super) fn restore(&self) -> Restored {
        let back = self.store.back(RESTORED_AT_ONCE);
        let files = || back.iter().map(|(file, ..)| *file);
        let pieces = self.pieces_of(files());
        let pieces = pieces.iter_ones().filter_map(|number| self.layout.piece(number));
        let missing: Vec<_> = pieces.filter(|piece| !self.verified.has(*piece)).collect();
        let read = files().map(|file| self.store.range(file)).map(|range| range.end - range.start);
        let more = read.sum::<u64>() >= RESTORED_AT_ONCE;
        let reason = of_back(back.iter().map(|(_, _, path)| path.as_path()));
        for (file, seen, path) in back {
            let what = "written to or replaced";
            self.on_doubt(file, seen, Error::Disturbed { path, what }.to_string());
        }
        let (found, bytes) = self.find(&missing);
        Restored { reason, found, bytes, more }
    }

    /// Reads pieces that are missing: those that are right, which count from now on, and how many
    /// bytes are new.
    fn find(&self, missing: &[PieceIndex]) -> (Vec<PieceIndex>, u64) {
        let mut handles = Handles::new(1);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for some in missing.chunks(NOTED_AT_ONCE) {
            loop {
                // What is lost from now on is lost with what is found: that is read once more.
                let losses = self.losses();
                let open = some.iter().copied().take_while(|_| !self.is_closed());
                let right: Vec<_> = open.filter(|it| self.is_right(&mut handles, *it)).collect();
                for piece in &right {
                    let (offset, len) = self.range_of(*piece);
                    // Nobody knows whether what stands there is on the device.
                    self.store.mark_unsynced(offset, len);
                }
                bytes += self.on_written(&right, losses);
                if self.losses() == losses {
                    found.extend(right.into_iter().filter(|piece| self.verified.has(*piece)));
                    break;
                }
            }
        }
        (found, bytes)
    }

    /// The verified pieces of the file that are wrong on disk; they are lost.
    fn prove(&self, file: FileIndex) -> Vec<PieceIndex> {
        // What is noted from now on as it was before this is read is lost.
        self.count_loss();
        // A file of its own: what others have open is theirs.
        let mut handles = Handles::new(1);
        let pieces = self.layout.pieces().take_while(|_| !self.is_closed());
        let pieces = pieces.filter(|piece| {
            let (offset, len) = self.range_of(*piece);
            self.verified.has(*piece) && self.store.touches(file, offset, len)
        });
        let wrong: Vec<_> = pieces.filter(|it| !self.is_right(&mut handles, *it)).collect();
        self.lose(wrong.into_iter())
    }

    fn is_right(&self, handles: &mut Handles, piece: PieceIndex) -> bool {
        let (offset, len) = self.range_of(piece);
        let mut hasher = Sha1::new();
        let mut buffer = Pages::zeroed(READ_LEN.min(len as usize));
        for at in (offset..offset + len).step_by(READ_LEN) {
            let step = (offset + len - at).min(READ_LEN as u64);
            let part = &mut buffer[..step as usize];
            if patiently(|| self.store.read(handles, at, part)).is_err() {
                return false;
            }
            hasher.update(part);
            pulse::beat();
        }
        self.is_right_on_disk(piece, &hasher.finalize())
    }
}

fn of_back<'a>(mut paths: impl ExactSizeIterator<Item = &'a Path>) -> String {
    let Some(first) = paths.next() else { return String::new() };
    let first = first.display();
    match paths.len() {
        0 => format!("{first} is back"),
        1 => format!("{first} is back, and so is another file"),
        more => format!("{first} is back, and so are {more} more files"),
    }
}
