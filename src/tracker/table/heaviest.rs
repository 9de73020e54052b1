//! Which of some peers has the best reason to make room. A few are looked at that are chosen by
//! chance, for a host with much is met by chance as often as it has much. Not here: when somebody
//! has to (`fair`).

use std::cmp::Reverse;

use super::roll::{EntryIndex, Roll};

/// Peers that are looked at for one that makes room; all of them, when there are no more.
const PEERS_LOOKED_AT: usize = 16;

/// How good a reason there is for somebody to make room; the greater the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reason {
    /// What its host has.
    pub host_count: u32,
    /// When it was last heard of.
    pub seen_at_s: Reverse<u32>,
}

/// Why this one should make room.
pub(super) fn reason<const N: usize>(roll: &Roll<N>, entry_index: EntryIndex) -> Reason {
    let entry = roll.get(entry_index);
    let host_count = roll.host_len(&entry.who.ip);
    Reason { host_count, seen_at_s: Reverse(entry.seen_at_s) }
}

/// Of some peers, and the one silent for longest, the one with the best reason to go.
pub(super) fn heaviest<const N: usize>(
    roll: &Roll<N>,
    state: &mut u64,
) -> Option<(EntryIndex, Reason)> {
    let chosen: Vec<EntryIndex> = match roll.len() <= PEERS_LOOKED_AT {
        true => roll.oldest_first().collect(),
        false => (0..PEERS_LOOKED_AT).filter_map(|_| roll.nth(next_u32(state))).collect(),
    };
    let judged = chosen
        .into_iter()
        .chain(roll.oldest())
        .map(|entry_index| (entry_index, reason(roll, entry_index)));
    judged.max_by_key(|(entry_index, reason)| (*reason, Reverse(entry_index.0)))
}

/// Of some peers of a list, the one with the best reason to go.
pub(super) fn heaviest_of<const N: usize>(
    roll: &Roll<N>,
    list: &[EntryIndex],
    mut state: u64,
) -> Option<EntryIndex> {
    let len = u32::try_from(list.len()).ok().filter(|len| *len > 0)?;
    let chosen =
        (0..PEERS_LOOKED_AT).filter_map(|_| list.get((next_u32(&mut state) % len) as usize));
    chosen.max_by_key(|entry_index| roll.host_len(&roll.get(**entry_index).who.ip)).copied()
}

/// The next number of SplitMix64: fifty times the chance of one draw of a strong generator.
pub(super) fn next_u32(state: &mut u64) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 32) as u32
}
