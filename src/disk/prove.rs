//! Files that somebody else wrote to while we did: their pieces are read back and hashed, on the
//! spot, and those that are not right any more are lost. How that is noticed is not known here.

use sha1::{Digest, Sha1};

use crate::base::ids::FileIndex;
use crate::base::layout::PieceIndex;
use crate::base::pages::Pages;

use super::handles::Handles;
use super::job::DiskEvent;
use super::open::OpenTorrent;
use super::patience::patiently;
use super::pulse;
use super::store::{FileNews, FileStamp};

/// A file that changes again while it is read is read so often at once, and later again.
const ROUNDS: usize = 3;
const READ_LEN: usize = 256 << 10;

impl OpenTorrent {
    /// Reads a file back and tells what is lost of it; true when nothing is. Waits for the disk.
    pub(super) fn on_doubt(&self, file: FileIndex, mut seen: FileStamp, reason: String) -> bool {
        for _ in 0..ROUNDS {
            let lost = self.prove(file);
            let news = self.store.settle(file, seen);
            if !lost.is_empty() {
                self.tell(DiskEvent::FileTrouble { file, reason, lost });
                return false;
            }
            match news {
                Some(FileNews::Doubted { seen: again, .. }) => seen = again,
                other => return self.on_news(other.into_iter().collect()),
            }
        }
        self.tell(DiskEvent::FileTrouble { file, reason, lost: Vec::new() });
        false
    }

    /// Looks whether files that were lost are back, and reads those: which ones, in words for
    /// people, and their pieces that are right, which count again. Waits for the disk.
    pub(super) fn restore(&self) -> (String, Vec<PieceIndex>) {
        // What is lost from now on is lost with what is found.
        let losses = self.losses();
        let back = self.store.back();
        let Some((_, first)) = back.first() else { return (String::new(), Vec::new()) };
        let first = first.display();
        let reason = match back.len() {
            1 => format!("{first} is back"),
            2 => format!("{first} is back, and so is another file"),
            more => format!("{first} is back, and so are {} more files", more - 1),
        };
        let pieces = self.pieces_of(back.iter().map(|(file, _)| *file));
        let pieces = pieces.iter_ones().filter_map(|number| self.layout.piece(number));
        let mut handles = Handles::new(1);
        let missing = pieces.filter(|piece| !self.verified.has(*piece));
        let mut found: Vec<_> = missing.filter(|it| self.is_right(&mut handles, *it)).collect();
        for piece in &found {
            let (offset, len) = self.range_of(*piece);
            // Nobody knows whether what stands there is on the device.
            self.store.mark_unsynced(offset, len);
        }
        self.on_written(&found, losses);
        found.retain(|piece| self.verified.has(*piece));
        (reason, found)
    }

    /// The verified pieces of the file that are wrong on disk; they are lost.
    fn prove(&self, file: FileIndex) -> Vec<PieceIndex> {
        // A file of its own: what others have open is theirs.
        let mut handles = Handles::new(1);
        let pieces = self.layout.pieces().filter(|piece| {
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
