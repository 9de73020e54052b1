//! What happens to a verified piece before its first byte goes to a peer: it is hashed again
//! when nobody did since the start, for disks rot, and read, so that the system has it in
//! memory. It sends nothing.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use sha1::{Digest, Sha1};

use crate::base::layout::PieceIndex;
use crate::base::pages::Pages;
use crate::swarm::event::Preparation;

use super::error::Error;
use super::open::OpenTorrent;
use super::reader::Reader;
use super::stats::{add, timed};
use super::store::{FileNews, READ_LEN};

/// Systems read ahead in runs of at least so much.
const TOUCH_EVERY: usize = 64 << 10;

impl Reader {
    /// Makes a verified piece ready to be sent; with `prove`, or where somebody wrote to its
    /// files, only if its hash is right. A piece that is not right any more counts as missing, in
    /// the record too; where its file tells why, so do all others that are wrong in it.
    pub(super) fn prepare(
        &mut self,
        torrent: &Arc<OpenTorrent>,
        piece: PieceIndex,
        prove: bool,
    ) -> Preparation {
        if !torrent.verified.has(piece) {
            return Preparation::Unreadable("it was lost in the meantime".to_owned());
        }
        let (offset, len) = torrent.range_of(piece);
        let (written, moved): (Vec<_>, Vec<_>) = torrent
            .store
            .look_over(offset, len)
            .into_iter()
            .partition(|news| matches!(news, FileNews::Doubted { .. }));
        torrent.on_news(moved);
        if !torrent.verified.has(piece) {
            return Preparation::Unreadable("its file is gone or another one".to_owned());
        }
        let why = match self.look(torrent, piece, prove || !written.is_empty()) {
            Ok(true) if torrent.verified.has(piece) => return Preparation::Ready,
            Ok(true) => return Preparation::Unreadable("it was lost in the meantime".to_owned()),
            Ok(false) => format!("piece {} on disk no longer matches its hash", piece.number()),
            Err(error) if is_gone(&error) => error.to_string(),
            Err(error) => return Preparation::Unreadable(error.to_string()),
        };
        // A file that somebody wrote to has more than one wrong piece: one event for all.
        torrent.on_news(written);
        match torrent.lose(std::iter::once(piece)).as_slice() {
            // Somebody else noticed in the meantime, and says so.
            [] => Preparation::Unreadable(why),
            _ => Preparation::Lost(why),
        }
    }

    /// Is the piece right, as far as it was looked at? Either way it is in memory afterwards, so
    /// that whoever sends it need not wait for the disk.
    fn look(
        &mut self,
        torrent: &OpenTorrent,
        piece: PieceIndex,
        prove: bool,
    ) -> Result<bool, Error> {
        let (offset, len) = torrent.range_of(piece);
        if !prove {
            self.touch(torrent, offset, len)?;
            return Ok(true);
        }
        let mut hasher = Sha1::new();
        let mut buffer = Pages::zeroed(READ_LEN.min(len as usize));
        let mut at = offset;
        while at < offset + len {
            let step = (offset + len - at).min(READ_LEN as u64);
            let part = &mut buffer[..step as usize];
            timed(&self.counters.read_ns, || torrent.store.read(&mut self.handles, at, part))?;
            timed(&self.counters.hash_ns, || hasher.update(&*part));
            at += step;
        }
        add(&self.counters.bytes_read, len);
        add(&self.counters.bytes_hashed, len);
        // All of it was read: whoever sends it next need not ask where it is.
        self.state.warmth.note(torrent.id, offset, len, Instant::now());
        Ok(torrent.is_right_on_disk(piece, &hasher.finalize()))
    }

    /// Has all of it read ahead, and waits until it is there: a byte here and there tells, for
    /// less than it costs to copy what is in memory anyhow.
    fn touch(&mut self, torrent: &OpenTorrent, offset: u64, len: u64) -> Result<(), Error> {
        torrent.store.read_ahead(&mut self.handles, offset, len)?;
        let last = offset + len - 1;
        for at in (offset..last).step_by(TOUCH_EVERY).chain([last]) {
            torrent.store.read(&mut self.handles, at, &mut [0])?;
        }
        Ok(())
    }
}

/// Was the file deleted or cut?
fn is_gone(error: &Error) -> bool {
    let kind = match error {
        Error::Io { source, .. } => source.kind(),
        _ => return false,
    };
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}
