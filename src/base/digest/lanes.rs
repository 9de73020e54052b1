//! Keeps the lanes of a vector kernel filled with messages of any lengths. Not a kernel and
//! not a thread pool: one core, many messages.

use super::message::{Block, Job};
use super::queue::Queue;

/// The state words of an algorithm, each of all lanes.
pub(super) type State<const LANES: usize, const WORDS: usize> = [[u32; LANES]; WORDS];

/// Equally many blocks for each lane.
pub(super) type Runs<'a, const LANES: usize> = [&'a [Block]; LANES];

/// Hashes jobs side by side while this engine `is_for` so many as are left; then the queue gets
/// them back with the state they have reached. A lane whose message ends takes the next job at
/// once.
pub(super) fn run<'a, const LANES: usize, const WORDS: usize>(
    queue: &mut Queue<'a, WORDS, impl ExactSizeIterator<Item = Job<'a, WORDS>>>,
    hashes: &mut [[u32; WORDS]],
    is_for: impl Fn(usize) -> bool,
    compress: impl Fn(&mut State<LANES, WORDS>, &Runs<LANES>),
) {
    let mut lanes: Vec<Job<'a, WORDS>> = Vec::with_capacity(LANES);
    loop {
        lanes.extend(queue.by_ref().take(LANES - lanes.len()));
        if lanes.is_empty() || !is_for(lanes.len() + queue.len()) {
            return queue.put_back(lanes);
        }
        step(&mut lanes, &compress);
        lanes.retain(|job| {
            let done = job.message.is_done();
            if done {
                job.store(hashes);
            }
            !done
        });
    }
}

/// Advances every lane by the shortest of their runs.
fn step<const LANES: usize, const WORDS: usize>(
    lanes: &mut [Job<'_, WORDS>],
    compress: &impl Fn(&mut State<LANES, WORDS>, &Runs<LANES>),
) {
    let blocks = lanes.iter().map(|job| job.message.run().len()).min().unwrap_or(0);
    let mut state = [[0; LANES]; WORDS];
    // A lane without a job repeats the first one's blocks, and nobody reads its state.
    let mut runs: Runs<LANES> = [&lanes[0].message.run()[..blocks]; LANES];
    for (lane, job) in lanes.iter().enumerate() {
        runs[lane] = &job.message.run()[..blocks];
        for (words, word) in state.iter_mut().zip(job.state) {
            words[lane] = word;
        }
    }
    compress(&mut state, &runs);
    for (lane, job) in lanes.iter_mut().enumerate() {
        for (words, word) in state.iter().zip(&mut job.state) {
            *word = words[lane];
        }
        job.message.advance(blocks);
    }
}
