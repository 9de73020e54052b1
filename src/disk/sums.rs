//! The SHA-256 of whole files, from the bytes that are read for the hashes of pieces anyway. A
//! file's hash can only go on where it stopped, so whoever wants sums reads the torrent from its
//! beginning to its end in one thread, while another one sums (FIPS 180-4).

use std::panic::resume_unwind;

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::{Digest as _, Sha256};

use crate::base::digest::Sha256Hash;

/// Reads that may wait to be summed: a MiB each at most.
const WAITING_MAX: usize = 4;

/// A part of a file.
struct Part {
    file: usize,
    offset: u64,
    bytes: Vec<u8>,
}

/// Where a reader tells what it reads.
pub(super) struct Tap {
    to: Sender<Part>,
    /// Buffers to be used again.
    back: Receiver<Vec<u8>>,
}

impl Tap {
    /// Takes bytes of a file, by its number. What comes behind a gap is of no use: such a file has
    /// no sum. Waits for the one who sums.
    pub(super) fn take(&self, file: usize, offset: u64, bytes: &[u8]) {
        let mut kept = self.back.try_recv().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(bytes);
        // Whoever sums is there as long as the tap is.
        let _ = self.to.send(Part { file, offset, bytes: kept });
    }
}

/// Reads in this thread and sums in another: the sum of each file of these lengths, of those that
/// came whole and in order.
pub(super) fn beside<R>(
    lens: &[u64],
    read: impl FnOnce(&Tap) -> R,
) -> (R, Vec<Option<Sha256Hash>>) {
    let (to, parts) = bounded(WAITING_MAX);
    // With the one that is read and the one that is summed.
    let (give, back) = bounded(WAITING_MAX + 2);
    std::thread::scope(|scope| {
        let summing = scope.spawn(move || sum(lens, &parts, &give));
        let tap = Tap { to, back };
        let read = read(&tap);
        drop(tap);
        (read, summing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn sum(lens: &[u64], parts: &Receiver<Part>, give: &Sender<Vec<u8>>) -> Vec<Option<Sha256Hash>> {
    let of_nothing = |len: &u64| (*len == 0).then(|| Sha256::digest([]).into());
    let mut sums: Vec<Option<Sha256Hash>> = lens.iter().map(of_nothing).collect();
    // The file that goes on, how far it is, and its hash until there.
    let mut open: Option<(usize, u64, Sha256)> = None;
    for Part { file, offset, bytes } in parts {
        if offset == 0 {
            open = Some((file, 0, Sha256::new()));
        }
        let going_on = open.take().filter(|(which, end, _)| (*which, *end) == (file, offset));
        if let Some((_, end, mut hash)) = going_on {
            hash.update(&bytes);
            let end = end + bytes.len() as u64;
            match lens.get(file) {
                Some(len) if *len == end => sums[file] = Some(hash.finalize().into()),
                _ => open = Some((file, end, hash)),
            }
        }
        // One too many is let go.
        let _ = give.try_send(bytes);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_come_in_order_have_sums_and_those_with_gaps_have_not() {
        let data: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let lens = [100_000, 0, 5, 7, 9];
        let read = |tap: &Tap| {
            for (at, part) in data.chunks(999).enumerate() {
                tap.take(0, at as u64 * 999, part);
            }
            tap.take(2, 0, b"ab");
            tap.take(2, 3, b"cde");
            tap.take(3, 0, b"abcdefg");
            tap.take(4, 2, b"cdefghi");
            17
        };
        let (read, sums) = beside(&lens, read);
        let sum = |bytes: &[u8]| Some(Sha256::digest(bytes).into());
        assert_eq!(read, 17);
        assert_eq!(sums, [sum(&data), sum(b""), None, sum(b"abcdefg"), None]);
    }
}
