//! Entries of pieces, whole, torn and damaged. The one that is read first is written by hand.

use super::*;

const PIECES: u32 = 500;
const PIECE_LEN: u32 = 16 << 10;
/// Pieces of one entry at most.
const TOGETHER: u32 = 129;

struct World {
    subject: Subject,
    extents: Extents,
}

impl World {
    fn new() -> Self {
        let len = u64::from(PIECES) * u64::from(PIECE_LEN);
        let layout = Layout::new(len, PIECE_LEN).unwrap();
        let home = Home::at("/downloads".into());
        let subject = Subject { info_hash: InfoHash([7; 20]), layout, home, others: Vec::new() };
        Self { subject, extents: Extents::new([(len, false)]) }
    }

    /// A record of no piece, with a stamp of its file.
    fn head(&self) -> Vec<u8> {
        let none = Bitfield::none(PIECES);
        let standing = Standing {
            verified: none.clone(),
            durable: none.clone(),
            doubted: none,
            stamps: Vec::new(),
            ours: Vec::new(),
            left: Vec::new(),
            ground: Ground::default(),
        };
        begin(&self.subject, &standing, 1)
    }

    fn verified(&self, pieces: impl IntoIterator<Item = u32>) -> Vec<u8> {
        verified(self.subject.info_hash, &pieces.into_iter().collect::<Vec<_>>())
    }

    fn read(&self, record: &[u8]) -> Replayed {
        replay(record, &self.subject, &self.extents).unwrap()
    }

    /// What a record says with these bytes behind its head.
    fn with(&self, entries: &[&[u8]]) -> Vec<u32> {
        self.read(&[self.head(), entries.concat()].concat()).verified.iter_ones().collect()
    }
}

#[test]
fn an_entry_by_hand_is_about_its_piece_and_those_behind_it_whose_bits_are_set() {
    let world = World::new();
    let mut entry = vec![1, 0, 0, 0, 0, 0, 0, 5];
    entry.extend([0b1010_0000, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 1]);
    entry.extend(&sha1(&[&[7; 20], &entry])[..8]);
    let pieces = [5, 6, 8, 69, 70, 133];
    assert_eq!(world.with(&[&entry]), pieces);
    assert_eq!(entry, world.verified(pieces));
}

#[test]
fn an_entry_of_version_2_is_about_one_piece_and_its_record_is_read() {
    let world = World::new();
    let mut entry = vec![1, 0, 0, 0, 0, 0, 0, 9];
    entry.extend([0; 16]);
    entry.extend(&sha1(&[&[7; 20], &entry])[..8]);
    let head = world.head();
    let of_version = |version: &[u8]| {
        let text = &head[..head.len() - 20];
        let text = [text.strip_suffix(b"i3ee").unwrap(), b"i", version, b"ee"].concat();
        [text.as_slice(), &sha1(&[&text]), &entry].concat()
    };
    let found = world.read(&of_version(b"2"));
    assert_eq!(found.verified.iter_ones().collect::<Vec<_>>(), [9]);
    assert!(found.is_whole && !found.is_current);
    assert!(world.read(&of_version(b"3")).is_current);
    let refused = |version| replay(&of_version(version), &world.subject, &world.extents);
    assert!(matches!(refused(b"1"), Err(Unfit::Because(_))));
    assert_eq!(refused(b"4"), Err(Unfit::Newer));
}

#[test]
fn runs_of_every_length_and_pieces_with_gaps_are_read_as_they_were_written() {
    let world = World::new();
    for len in 0..2 * TOGETHER + 2 {
        let run: Vec<u32> = (3..3 + len).collect();
        let entries = world.verified(run.clone());
        assert_eq!(entries.len(), len.div_ceil(TOGETHER) as usize * ENTRY_LEN);
        assert_eq!(world.with(&[&entries]), run);
    }
    for gap in 1..PIECES {
        let pieces: Vec<u32> = (0..PIECES).step_by(gap as usize).collect();
        assert_eq!(world.with(&[&world.verified(pieces.clone())]), pieces, "every {gap}th");
    }
    // In no order they take more, and none is left out.
    assert_eq!(world.with(&[&world.verified([9, 8, 200, 8, 201])]), [8, 9, 200, 201]);
    assert!(world.verified([]).is_empty());
}

#[test]
fn pieces_that_are_lost_together_are_missing_again() {
    let world = World::new();
    let lost = lost(world.subject.info_hash, &(10..90).collect::<Vec<_>>());
    assert_eq!(lost.len(), ENTRY_LEN);
    let all = world.verified(0..100);
    assert_eq!(world.with(&[&all, &lost]), (0..10).chain(90..100).collect::<Vec<_>>());
    assert_eq!(world.with(&[&lost, &all]), (0..100).collect::<Vec<_>>());
}

#[test]
fn an_entry_torn_at_any_byte_costs_its_pieces_and_no_others() {
    let world = World::new();
    let entries = world.verified(0..300);
    let (first, rest) = entries.split_at(ENTRY_LEN);
    let (second, third) = rest.split_at(ENTRY_LEN);
    let without_second: Vec<u32> = (0..TOGETHER).chain(2 * TOGETHER..300).collect();
    for len in 0..entries.len() {
        let whole = (len / ENTRY_LEN) as u32 * TOGETHER;
        assert_eq!(world.with(&[&entries[..len]]), (0..whole).collect::<Vec<_>>(), "{len} bytes");
    }
    for len in 0..ENTRY_LEN {
        let (torn, tail) = second.split_at(len);
        assert_eq!(world.with(&[first, torn, third]), without_second, "its first {len} bytes");
        if len > 0 {
            assert_eq!(world.with(&[first, tail, third]), without_second, "not its first {len}");
        }
    }
}

#[test]
fn an_entry_with_any_bit_flipped_costs_its_pieces_and_no_others() {
    let world = World::new();
    let entries = world.verified((0..300).step_by(2));
    let even = (0..300).step_by(2);
    let without_second: Vec<u32> = even.filter(|piece| !(130..260).contains(piece)).collect();
    for bit in 0..8 * ENTRY_LEN {
        let mut damaged = entries.clone();
        damaged[ENTRY_LEN + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(world.with(&[&damaged]), without_second, "bit {bit}");
    }
}

#[test]
fn a_mark_covers_an_entry_as_a_whole_or_not_at_all() {
    let world = World::new();
    let (head, entries) = (world.head(), world.verified(0..2 * TOGETHER));
    let covered_by = |len: usize| {
        let len = (head.len() + len) as u64;
        let mark = mark(world.subject.info_hash, len, 1);
        let found = world.read(&[head.as_slice(), &entries, &mark].concat());
        assert_eq!(found.verified.ones(), 2 * TOGETHER);
        found.durable.iter_ones().collect::<Vec<_>>()
    };
    for len in 0..=entries.len() + ENTRY_LEN {
        let whole = (len / ENTRY_LEN).min(2) as u32 * TOGETHER;
        assert_eq!(covered_by(len), (0..whole).collect::<Vec<_>>(), "{len} bytes");
    }
}

#[test]
fn pieces_beyond_the_last_one_are_none() {
    let world = World::new();
    let entry = |number| entry(world.subject.info_hash, PIECES_VERIFIED, number, u64::MAX, -1);
    assert_eq!(world.with(&[&entry(PIECES - 2)]), [PIECES - 2, PIECES - 1]);
    for number in [PIECES, u32::MAX - 1, u32::MAX] {
        assert!(world.with(&[&entry(number)]).is_empty(), "{number}");
    }
}

#[test]
fn what_is_written_to_a_file_after_its_stamp_ends_that() {
    let world = World::new();
    let stamp = Stamp { inode: 1, modified_ns: 2 };
    let (stamped, pieces) =
        (stamped(world.subject.info_hash, &[(0, stamp)]), world.verified([1, 2]));
    let read = |entries: [&[u8]; 2]| world.read(&[world.head(), entries.concat()].concat());
    assert_eq!(read([&pieces, &stamped]).stamps.get(&0), Some(&stamp));
    assert_eq!(read([&stamped, &pieces]).stamps.get(&0), None);
}

#[test]
fn how_a_file_was_left_holds_until_more_is_noted_of_it() {
    let world = World::new();
    let (hash, stamp) = (world.subject.info_hash, Stamp { inode: 1, modified_ns: 2 });
    let (left, pieces) = (left(hash, &[(0, stamp)]), world.verified([1, 2]));
    let (stamped, lost) = (stamped(hash, &[(0, stamp)]), lost(hash, &[1]));
    let read = |entries: [&[u8]; 3]| world.read(&[world.head(), entries.concat()].concat());
    assert_eq!(read([&pieces, &left, &lost]).left.get(&0), Some(&stamp));
    assert_eq!(
        read([&left, &pieces, &[]]).left.get(&0),
        None,
        "a write that nobody noted the end of"
    );
    let found = read([&pieces, &stamped, &left]);
    assert_eq!(
        (found.stamps.get(&0), found.left.get(&0)),
        (None, Some(&stamp)),
        "it was spilled to"
    );
    let found = read([&pieces, &left, &stamped]);
    assert_eq!((found.stamps.get(&0), found.left.get(&0)), (Some(&stamp), None));
}
