//! How far lists went in the last minute: where somebody begins to read who asks what changed in
//! it. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::api::Mark;

/// What counts as lately.
pub(super) const LATELY: Duration = Duration::from_secs(60);
/// How often it is noted how far lists go.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// As many as a minute has, and those at its ends.
const MARKS_MAX: usize = (LATELY.as_secs() / STEP.as_secs()) as usize + 2;

/// Where lists stood, oldest first.
#[derive(Debug, Default)]
pub(super) struct Lately {
    marks: VecDeque<(Instant, Mark)>,
}

impl Lately {
    /// Notes how far lists go now.
    pub fn note(&mut self, mark: Mark, now: Instant) {
        while self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((now, mark));
    }

    /// Where to begin to hear of all changes of the last minute: the youngest place that is so old,
    /// or the oldest one that is known; none where nothing is.
    pub fn since(&self, now: Instant) -> Option<Mark> {
        let is_old = |(at, _): &&(Instant, Mark)| now.saturating_duration_since(*at) >= LATELY;
        let youngest = self.marks.iter().take_while(is_old).last();
        youngest.or(self.marks.front()).map(|(_, mark)| *mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Cursor;

    #[test]
    fn a_minute_of_changes_is_known_and_little_more() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(lately.since(start), None);
        let mark = |number| Mark(Cursor { boot: 1, number });
        for second in (0..1000).step_by(5) {
            lately.note(mark(second), at(second));
            let begins = second.saturating_sub(60);
            assert_eq!(lately.since(at(second)), Some(mark(begins)), "{second}");
            assert_eq!(lately.since(at(second + 4)), Some(mark(begins)));
        }
        assert!(lately.marks.len() <= MARKS_MAX);
    }
}
