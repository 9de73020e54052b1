//! A disk worker: takes pieces of all torrents, hashes those side by side that come together,
//! and hands them to the lanes that write them. It never waits for a device, nor for a torrent.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::base::digest::sha1_many;

use super::piece::Piece;
use super::queue::{Collector, Work};
use super::stats::{Counters, add, timed};
use super::writer::Writes;

/// One worker.
pub(super) struct Worker {
    pub counters: Arc<Counters>,
}

impl Worker {
    /// Takes the token, collects, hands it on, works; until the workers end. The channel of
    /// the token has one place, and there is one token.
    pub(super) fn run(self, give: &Sender<Collector>, take: &Receiver<Collector>) {
        while let Ok(mut collector) = take.recv() {
            let batch = collector.collect();
            // Nobody takes it when we are the last to end.
            let _ = give.send(collector);
            match batch {
                Some(batch) => self.work(batch),
                None => return,
            }
        }
    }

    fn work(&self, batch: Vec<Work>) {
        let mut pieces = Vec::with_capacity(batch.len());
        for work in batch {
            if let Work::Check(writes, piece, _) = work {
                pieces.push((writes, piece));
            }
        }
        if pieces.is_empty() {
            return;
        }
        add(&self.counters.batches, 1);
        add(&self.counters.pieces_checked, pieces.len() as u64);
        self.compare(&mut pieces);
        pieces.sort_by_key(|(writes, _)| writes.lane);
        let mut pieces = pieces.into_iter().peekable();
        while let Some((writes, first)) = pieces.next() {
            let mut of_lane = vec![first];
            while let Some((_, piece)) = pieces.next_if(|(next, _)| next.lane == writes.lane) {
                of_lane.push(piece);
            }
            writes.pieces(of_lane);
        }
    }

    /// Sets each outcome to good or bad.
    fn compare(&self, pieces: &mut [(Writes, Piece)]) {
        let hashes = timed(&self.counters.hash_ns, || {
            let messages: Vec<Vec<&[u8]>> = pieces.iter().map(|(_, piece)| piece.parts()).collect();
            sha1_many(&messages)
        });
        for ((_, piece), hash) in pieces.iter_mut().zip(hashes) {
            add(&self.counters.bytes_hashed, piece.len());
            piece.judge(&hash);
        }
    }
}

/// Starts a worker on a thread of its own.
pub(super) fn spawn(
    number: usize,
    worker: Worker,
    give: Sender<Collector>,
    take: Receiver<Collector>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let name = format!("disk-{number}");
    std::thread::Builder::new().name(name).spawn(move || worker.run(&give, &take))
}
