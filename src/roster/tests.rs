//! Readers that poll whenever they like see what there is.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Apply { id: u32, links: u32, place: u64 },
    Touch { id: u32 },
    Remove { id: u32 },
    Poll { reader: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8u32, 0..3u32, 0..4u64)
            .prop_map(|(id, links, place)| Step::Apply { id, links, place }),
        1 => (0..8u32).prop_map(|id| Step::Touch { id }),
        2 => (0..8u32).prop_map(|id| Step::Remove { id }),
        2 => (0..3usize).prop_map(|reader| Step::Poll { reader }),
    ]
}

/// What somebody knows who reads now and then.
#[derive(Default)]
struct Reader {
    cursor: Cursor,
    rows: BTreeMap<TorrentId, Row>,
}

impl Reader {
    /// Reads what is new; whether that was everything.
    fn poll(&mut self, roster: &Roster) -> bool {
        let Changes { cursor, is_full, changed, removed } = roster.since(self.cursor);
        self.cursor = cursor;
        if is_full {
            self.rows.clear();
            assert_eq!(removed, []);
        }
        assert!(changed.iter().all(|row| !removed.contains(&row.id)), "it is there and gone");
        for id in removed {
            assert!(self.rows.remove(&id).is_some(), "it was never told of {id:?}");
        }
        self.rows.extend(changed.iter().map(|row| (row.id, *row)));
        is_full
    }
}

fn row(id: u32, links: u32, queue_place: u64) -> Row {
    Row { links, queue_place, ..Row::new(TorrentId(id)) }
}

fn bounded(removals_max: usize) -> Roster {
    Roster { removals_max, ..Roster::new(1) }
}

fn play(removals_max: usize, steps: Vec<Step>) {
    let mut roster = bounded(removals_max);
    let mut all: BTreeMap<TorrentId, Row> = BTreeMap::new();
    let mut readers: [Reader; 3] = Default::default();
    for step in steps {
        let before = roster.cursor().number;
        match step {
            Step::Apply { id, links, place } => {
                let row = row(id, links, place);
                let is_new = all.insert(row.id, row) != Some(row);
                let revision = roster.apply(row);
                assert_eq!(roster.cursor().number, before + u64::from(is_new));
                assert!(!is_new || revision == before + 1);
            }
            Step::Touch { id } => {
                let is_there = all.contains_key(&TorrentId(id));
                assert_eq!(roster.touch(TorrentId(id)), is_there.then_some(before + 1));
            }
            Step::Remove { id } => {
                let id = TorrentId(id);
                assert_eq!(roster.remove(id), all.remove(&id));
            }
            Step::Poll { reader } => {
                readers[reader].poll(&roster);
                assert_eq!(readers[reader].rows, all);
            }
        }
        assert_eq!(roster.len(), all.len());
        assert!(roster.removals.len() <= removals_max);
        assert_eq!(roster.by_revision.len(), all.len());
    }
    let mut sorted: Vec<_> = all.values().copied().collect();
    sorted.sort_by_key(|row| (row.queue_place, row.id));
    assert!(roster.rows().eq(&sorted));
    for reader in &mut readers {
        reader.poll(&roster);
        assert_eq!(reader.rows, all);
    }
}

proptest! {
    #[test]
    fn readers_see_what_there_is(steps in vec(step(), 0..200)) {
        play(REMOVALS_MAX, steps);
    }

    #[test]
    fn readers_see_what_there_is_though_removals_are_forgotten(
        removals_max in 0..4usize,
        steps in vec(step(), 0..200),
    ) {
        play(removals_max, steps);
    }
}

#[test]
fn nothing_new_is_no_revision() {
    let mut roster = Roster::new(1);
    assert_eq!(roster.apply(row(1, 0, 0)), 1);
    assert_eq!(roster.apply(row(2, 0, 0)), 2);
    assert_eq!(roster.apply(row(1, 0, 0)), 1);
    let told = roster.since(Cursor { boot: 1, number: 1 });
    let cursor = Cursor { boot: 1, number: 2 };
    let changed = vec![row(2, 0, 0)];
    assert_eq!(told, Changes { cursor, is_full: false, changed, removed: vec![] });
    let none = Changes { cursor, is_full: false, changed: vec![], removed: vec![] };
    assert_eq!(roster.since(cursor), none);
}

#[test]
fn many_changes_of_one_torrent_are_one() {
    let mut roster = Roster::new(1);
    roster.apply(row(1, 0, 0));
    roster.apply(row(2, 0, 0));
    let cursor = roster.cursor();
    for links in 1..100 {
        roster.apply(row(1, links, 0));
    }
    assert_eq!(roster.since(cursor).changed, [row(1, 99, 0)]);
    let cursor = roster.cursor();
    assert_eq!(roster.touch(TorrentId(2)), Some(102));
    assert_eq!(roster.since(cursor).changed, [row(2, 0, 0)]);
}

#[test]
fn removals_are_told_to_those_who_can_know() {
    let mut roster = Roster::new(1);
    roster.apply(row(1, 0, 0));
    let before = roster.cursor();
    roster.apply(row(2, 0, 0));
    let after = roster.cursor();
    roster.remove(TorrentId(2));
    roster.remove(TorrentId(1));
    assert_eq!(roster.since(before).removed, [TorrentId(1)]);
    assert_eq!(roster.since(after).removed, [TorrentId(2), TorrentId(1)]);
    assert_eq!(roster.since(roster.cursor()).removed, []);
}

#[test]
fn who_comes_after_the_ring_gets_everything() {
    let mut roster = bounded(2);
    for id in 1..=5 {
        roster.apply(row(id, 0, u64::from(10 - id)));
    }
    let cursors = [3, 2, 1].map(|id| {
        let cursor = roster.cursor();
        roster.remove(TorrentId(id));
        cursor
    });
    let told = roster.since(cursors[0]);
    assert!(told.is_full);
    // In the order of the queue.
    assert_eq!(told.changed, [row(5, 0, 5), row(4, 0, 6)]);
    let told = roster.since(cursors[1]);
    assert_eq!((told.is_full, told.removed), (false, vec![TorrentId(2), TorrentId(1)]));
}

#[test]
fn readers_of_another_life_get_everything() {
    let mut roster = Roster::new(1);
    roster.apply(row(1, 0, 0));
    for (boot, number, is_full) in [(1, 1, false), (2, 1, true), (1, 2, true), (1, 0, true)] {
        let told = roster.since(Cursor { boot, number });
        assert_eq!((told.is_full, told.cursor), (is_full, roster.cursor()));
        assert_eq!(told.changed.len(), usize::from(is_full));
    }
    assert!(Roster::new(1).since(Cursor::default()).is_full);
}
