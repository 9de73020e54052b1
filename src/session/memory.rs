//! One memory budget, and who gets how much of it: blocks between socket and disk, the check
//! of data that is on disk, and the buffers of threads. Arithmetic only: what the machine has
//! is asked elsewhere.
//!
//! What does not grow with the traffic is outside the budget: the program itself, some hundred
//! bytes for each piece, file and address of a torrent, a few kilobytes for each connection, of
//! which there is a most, what is kept while only a hash is known (`base::pool::Kept`, `searches`),
//! and what trackers answer: 16 KiB for each torrent that asks one, and two
//! longer replies of a MiB at once ([`Memory::BESIDE`]).

use crate::base::pool::MESSAGE_BYTES;
use crate::base::units::BLOCK_LEN;
use crate::disk::{READ_LEN as DISK_READ_LEN, SCAN_BYTES_MAX, WORKERS_MAX};
use crate::link::READ_LEN as LINK_READ_LEN;

const MIB: u64 = 1 << 20;
/// Messages on their way between tasks, without the blocks that they carry: 256 batches a
/// torrent of some hundred bytes each, jobs of 64 bytes, and what people and logs are told.
const QUEUES: u64 = MIB;
/// The least for long messages that are collected: two of the longest, for they take turns.
const MESSAGES_MIN: u64 = MIB / 2;

/// How many bytes each part of a session may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Blocks that are received, wait to be hashed, and are being written.
    pub pool_bytes: usize,
    /// The check of data that is on disk, all its threads together.
    pub check_bytes: usize,
    /// Read buffers of threads, and queues.
    pub buffer_bytes: usize,
    /// Long messages of peers until they are whole and the brain has taken them: sets of pieces
    /// and extended messages, of all links together.
    pub message_bytes: usize,
    /// Threads that read from sockets, for each has a buffer.
    pub threads: usize,
}

impl Memory {
    /// The least budget, in bytes: 128 blocks and more must be left, or a few fast links hold
    /// all of them.
    pub const MIN: u64 = 8 * MIB;

    /// The budget in bytes when nothing is asked for and the machine has plenty: of it, 16
    /// pieces of 1 MiB are hashed side by side while half as many again arrive.
    pub const DEFAULT_MAX: u64 = 52 * MIB;

    /// What the program takes beside its budget, in bytes, with a common torrent.
    pub const BESIDE: u64 = 32 * MIB;

    /// The least budget when nothing is asked for, where there is room for it.
    const DEFAULT_MIN: u64 = 16 * MIB;

    /// The budget in bytes when nothing is asked for, on a machine that lets us have
    /// `limit_bytes`: an eighth of them, from 16 to 52 MiB, but on a very small one less.
    pub fn default_budget(limit_bytes: u64) -> u64 {
        let wanted = (limit_bytes / 8).clamp(Self::DEFAULT_MIN, Self::DEFAULT_MAX);
        wanted.min(Self::most(limit_bytes))
    }

    /// The largest budget in bytes on a machine that lets us have `limit_bytes`. The least one
    /// is tried anywhere.
    pub fn most(limit_bytes: u64) -> u64 {
        limit_bytes.saturating_sub(Self::BESIDE).max(Self::MIN)
    }

    /// Splits a budget of at least [`MIN`](Self::MIN) bytes on a machine of so many cores.
    /// Buffers come first, for threads cannot do without; of the rest a third is for checks,
    /// since a torrent may be checked while others download, and two thirds for blocks.
    pub fn split(budget_bytes: u64, cores: usize) -> Self {
        let budget = budget_bytes.max(Self::MIN);
        let threads = ((budget / 8) as usize / LINK_READ_LEN).clamp(1, cores.max(1));
        let workers = cores.clamp(1, WORKERS_MAX);
        let buffers = QUEUES + (threads * LINK_READ_LEN + workers * DISK_READ_LEN) as u64;
        let messages = (budget / 16).clamp(MESSAGES_MIN, MESSAGE_BYTES as u64);
        let rest = budget - buffers - messages;
        let check = (rest / 3).min(SCAN_BYTES_MAX as u64);
        let pool = (rest - check) / BLOCK_LEN as u64 * BLOCK_LEN as u64;
        // A budget beyond the address space is more than any machine has.
        let bytes = |part: u64| usize::try_from(part).unwrap_or(usize::MAX);
        Self {
            pool_bytes: bytes(pool),
            check_bytes: bytes(check),
            buffer_bytes: bytes(buffers),
            message_bytes: bytes(messages),
            threads,
        }
    }

    /// What a check may hold, or the making of a torrent, when nothing else goes on.
    pub fn alone_bytes(self) -> usize {
        self.check_bytes.saturating_add(self.pool_bytes).min(SCAN_BYTES_MAX)
    }
}

impl Default for Memory {
    /// What a common machine gets: the default budget on four cores.
    fn default() -> Self {
        Self::split(Self::DEFAULT_MAX, 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::CARRY_OWN;
    use crate::wire::COLLECT_OWN;

    fn total(memory: Memory) -> u64 {
        let Memory { pool_bytes, check_bytes, buffer_bytes, message_bytes, .. } = memory;
        (pool_bytes + check_bytes + buffer_bytes + message_bytes) as u64
    }

    #[test]
    fn the_parts_are_never_more_than_the_whole() {
        for budget in [8, 9, 10, 16, 48, 64, 100, 1000, 100_000].map(|mib| mib * MIB + 77) {
            for cores in [0, 1, 2, 4, 16, 64, 1000] {
                let memory = Memory::split(budget, cores);
                assert!(total(memory) <= budget, "{budget} {cores} {memory:?}");
                assert!(total(memory) > budget - 2 * BLOCK_LEN as u64, "nothing is left over");
                assert!(memory.pool_bytes >= 128 * BLOCK_LEN, "{budget} {cores} {memory:?}");
                assert!(memory.check_bytes >= MIB as usize && memory.threads >= 1);
                // The longest messages: a set of as many pieces as a torrent may have (2^21).
                assert!(memory.message_bytes >= 2 * (1 << 21) / 8, "{memory:?}");
            }
        }
    }

    #[test]
    fn what_a_user_gets() {
        let default = Memory::split(Memory::DEFAULT_MAX, 2);
        let in_mib = |bytes: usize| bytes as f64 / MIB as f64;
        assert!((40.0..44.0).contains(&in_mib(default.pool_bytes)), "{default:?}");
        assert_eq!(default.check_bytes, SCAN_BYTES_MAX);
        assert_eq!(default.threads, 2);
        assert_eq!(default.alone_bytes(), SCAN_BYTES_MAX);
        let least = Memory::split(Memory::MIN, 2);
        assert!((5.4..=5.5).contains(&in_mib(least.alone_bytes())), "{least:?}");
        // Threads give way before blocks do.
        assert_eq!(Memory::split(Memory::MIN, 64).threads, 4);
        // A check has no use for more than its most; blocks do.
        let large = Memory::split(1024 * MIB, 2);
        assert_eq!(large.check_bytes, SCAN_BYTES_MAX);
        assert!(in_mib(large.pool_bytes) > 950.0);
    }

    /// What each connection may hold without asking, when there are as many as may be (400 links
    /// and 256 without a handshake, of 68 bytes and a task each).
    #[test]
    fn connections_that_say_nothing_of_use_take_a_part_of_what_is_beside() {
        let links = 400 * (COLLECT_OWN + CARRY_OWN);
        let half_open = 256 * (68 + 2048);
        assert!((links + half_open) as u64 <= Memory::BESIDE / 8);
    }

    #[test]
    fn the_default_is_an_eighth_within_bounds() {
        let of = |mib: u64| Memory::default_budget(mib * MIB) / MIB;
        assert_eq!([of(128), of(256), of(400), of(512), of(65_536)], [16, 32, 50, 52, 52]);
        assert_eq!([of(1), of(24), of(40), of(44), of(48)], [8, 8, 8, 12, 16]);
    }

    #[test]
    fn a_budget_below_the_least_counts_as_the_least() {
        assert_eq!(Memory::split(0, 2), Memory::split(Memory::MIN, 2));
    }
}
