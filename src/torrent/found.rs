//! Pieces that are at hand elsewhere when a torrent starts: they go through the disk workers
//! as any piece does, hash first, and need not be fetched.

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use crate::base::bitfield::Bitfield;
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;
use crate::disk::{DiskEvent, Job, StoreHandle};
use crate::swarm::event::{Held, Verdict};

use super::options::{Found, FoundBytes};

/// Takes in what of `sources` is right and not in `have`, which it extends. One after the
/// other: there are a few, or they come from the same disk that they go to.
pub(super) async fn take(
    sources: &[Found],
    layout: Layout,
    pool: &BlockPool,
    store: &StoreHandle,
    disk_events: &mut mpsc::Receiver<DiskEvent>,
    have: &mut Bitfield,
) {
    for found in sources {
        let Some(piece) = layout.piece(found.piece).filter(|piece| !have.has(*piece)) else {
            continue;
        };
        let (source, pool) = (found.bytes.clone(), pool.clone());
        let read = spawn_blocking(move || read(&source, layout.len_of(piece), &pool)).await;
        let Some(blocks) = read.ok().flatten() else {
            debug!(piece = piece.number(), "a piece at hand cannot be used");
            continue;
        };
        if write(piece, blocks, store, disk_events, have).await {
            have.insert(piece);
        }
    }
}

/// The bytes of a piece in blocks; none when they are not as many as they should be, or the
/// pool is too small for them.
fn read(source: &FoundBytes, len: u32, pool: &BlockPool) -> Option<Vec<Block>> {
    let from_file;
    let bytes: &[u8] = match source {
        FoundBytes::Memory(bytes) => bytes,
        FoundBytes::File(path) => {
            let is_fit = std::fs::metadata(path).ok()?.len() == u64::from(len);
            from_file = if is_fit { std::fs::read(path).ok()? } else { return None };
            &from_file
        }
    };
    if bytes.len() != len as usize {
        return None;
    }
    let count = bytes.len().div_ceil(BLOCK_LEN);
    let mut blocks = Vec::new();
    if pool.take(count, &mut blocks) < count {
        return None;
    }
    for (block, bytes) in blocks.iter_mut().zip(bytes.chunks(BLOCK_LEN)) {
        block.append(bytes);
    }
    Some(blocks)
}

/// Has the piece hashed and written; true when it is right and there. What is lost meanwhile leaves
/// `have`.
async fn write(
    piece: PieceIndex,
    blocks: Vec<Block>,
    store: &StoreHandle,
    disk_events: &mut mpsc::Receiver<DiskEvent>,
    have: &mut Bitfield,
) -> bool {
    let blocks = blocks.into_iter().map(Held::Data).collect();
    let job = Job::Check { piece, blocks, want_block_hashes: false, may_wait: false };
    if store.submit(job).is_err() {
        return false;
    }
    while let Some(event) = disk_events.recv().await {
        match event {
            DiskEvent::Checked { verdict: Verdict::Good(_), .. } => return true,
            DiskEvent::Checked { verdict: Verdict::WriteFailed(_, why), .. } => {
                warn!(why, "cannot write a piece that is at hand");
                return false;
            }
            DiskEvent::Checked { .. } => return false,
            DiskEvent::FileTrouble { lost, .. } | DiskEvent::Unkept { lost, .. } => {
                for piece in lost {
                    have.remove(piece);
                }
            }
            _ => {}
        }
    }
    false
}
