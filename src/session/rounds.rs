//! Fair turns among the links that are sought, where more of them wait than may be sought at once:
//! one that has met nobody gives its place up after a while, and has another turn when all others
//! have had theirs. Pure. Not here: who of those that wait is next, which is the queue's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::TorrentId;
use crate::roster::{Phase, Row};

/// How long one is sought that meets nobody, while others wait: DHT lookups end within a minute,
/// and trackers that fail are asked again after a few.
pub(super) const TURN: Duration = Duration::from_secs(300);

/// Whose turn was, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Those that may begin as soon as there is a place.
    waiting: BTreeSet<TorrentId>,
    /// Those whose turn is over, with how they are listed since then.
    resting: BTreeMap<TorrentId, Option<Row>>,
}

impl Rounds {
    /// A link is listed like this; how it is for those who give turns.
    pub fn on_row(&mut self, row: Row) -> Row {
        if row.phase != Phase::Queued {
            self.forget(row.id);
            return row;
        }
        match self.resting.get_mut(&row.id) {
            Some(rests) => {
                *rests = Some(row);
                Row { phase: Phase::Paused, ..row }
            }
            None => {
                self.waiting.insert(row.id);
                row
            }
        }
    }

    /// It is no link any more, or not to be sought.
    pub fn forget(&mut self, id: TorrentId) {
        self.waiting.remove(&id);
        self.resting.remove(&id);
    }

    /// Whose turn is over, of those that are sought: each with when that began, and whether it is
    /// connected to anybody. No more than wait, the oldest first.
    pub fn over(
        &self,
        sought: impl Iterator<Item = (TorrentId, Instant, bool)>,
        now: Instant,
    ) -> Vec<TorrentId> {
        let late = sought.filter(|(_, begun, has_met)| !has_met && now >= *begun + TURN);
        let mut late: Vec<(Instant, TorrentId)> = late.map(|(id, begun, _)| (begun, id)).collect();
        late.sort_unstable();
        late.truncate(self.waiting.len());
        late.into_iter().map(|(_, id)| id).collect()
    }

    /// This one has had its turn.
    pub fn rest(&mut self, id: TorrentId) {
        self.waiting.remove(&id);
        self.resting.insert(id, None);
    }

    /// Those that are to have another turn, since nobody waits for a first one.
    pub fn next_round(&mut self) -> Vec<Row> {
        if !self.waiting.is_empty() {
            return Vec::new();
        }
        let rows: Vec<Row> = std::mem::take(&mut self.resting).into_values().flatten().collect();
        self.waiting.extend(rows.iter().map(|row| row.id));
        rows
    }

    /// Does anybody rest?
    pub fn has_resting(&self) -> bool {
        !self.resting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, phase: Phase) -> Row {
        Row { phase, ..Row::new(TorrentId(id)) }
    }

    #[test]
    fn who_meets_nobody_gives_way_and_comes_again_when_all_had_a_turn() {
        let (begin, mut rounds) = (Instant::now(), Rounds::default());
        let late = begin + TURN;
        let sought = |met: u32| (1..=3).map(move |id| (TorrentId(id), begin, id == met));
        assert!(rounds.over(sought(0), late).is_empty(), "nobody waits");
        for id in [8, 9] {
            assert_eq!(rounds.on_row(row(id, Phase::Queued)).phase, Phase::Queued);
        }
        assert!(rounds.over(sought(0), late - Duration::from_secs(1)).is_empty());
        assert_eq!(
            rounds.over(sought(1), late),
            [TorrentId(2), TorrentId(3)],
            "1 has met somebody"
        );
        assert_eq!(rounds.over(sought(0), late), [TorrentId(1), TorrentId(2)], "for two that wait");
        rounds.rest(TorrentId(1));
        rounds.rest(TorrentId(2));
        for id in [1, 2] {
            assert_eq!(rounds.on_row(row(id, Phase::Queued)).phase, Phase::Paused);
        }
        assert!(rounds.next_round().is_empty(), "8 and 9 come first");
        rounds.on_row(row(8, Phase::Seeking));
        assert!(rounds.next_round().is_empty());
        rounds.on_row(row(9, Phase::Seeking));
        let ids = rounds.next_round().into_iter().map(|row| row.id);
        assert_eq!(ids.collect::<Vec<_>>(), [TorrentId(1), TorrentId(2)]);
        assert_eq!(rounds.on_row(row(1, Phase::Queued)).phase, Phase::Queued);
        assert!(!rounds.has_resting());
        rounds.rest(TorrentId(3));
        rounds.forget(TorrentId(3));
        assert!(!rounds.has_resting());
    }
}
