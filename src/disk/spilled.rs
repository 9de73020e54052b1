//! Pieces of which a part is on disk already: their bytes in order, without ever having all of
//! them in memory. What they are good for is not known here.

use crate::base::pages::Pages;
use crate::base::units::BLOCK_LEN;
use crate::swarm::event::Held;

use super::error::Error;
use super::handles::Handles;
use super::piece::{HeldExt as _, Piece, ZEROS};
use super::stats::{Counters, add, timed};
use super::store::READ_LEN;

/// Spilled blocks are read back in runs of up to this many.
const READ_BLOCKS_MAX: usize = READ_LEN / BLOCK_LEN;

impl Piece {
    /// Passes the blocks by in order, reading back the spilled ones in runs: a piece may be
    /// 512 MiB. Waits for the disk.
    pub(super) fn stream(
        &self,
        handles: &mut Handles,
        counters: &Counters,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let layout = &self.torrent.layout;
        let mut buffer = Pages::default();
        let mut blocks = layout.blocks(self.piece).zip(&self.blocks).peekable();
        while let Some((at, held)) = blocks.next() {
            let len = at.len_bytes() as usize;
            match held {
                Held::Data(block) => each(block.bytes()),
                Held::Pad => each(&ZEROS[..len]),
                Held::OnDisk => {
                    let mut run = len;
                    while run < READ_BLOCKS_MAX * BLOCK_LEN
                        && let Some((next, _)) = blocks.next_if(|(_, held)| held.is_on_disk())
                    {
                        run += next.len_bytes() as usize;
                    }
                    let part = buffer.room(run);
                    let offset = layout.block_offset(at);
                    timed(&counters.read_ns, || self.torrent.store.read(handles, offset, part))?;
                    add(&counters.bytes_read, run as u64);
                    part.chunks(BLOCK_LEN).for_each(&mut each);
                }
            }
        }
        Ok(())
    }
}
