//! Which pieces come before others, whatever their rarity: by the priorities of the files that they
//! hold bytes of, and those at the ends of files before all, where that is wanted. Which of equally
//! urgent ones is next is the picker's.

use std::sync::Arc;

use crate::base::extents::Extents;
use crate::base::file_priority::FilePriority;
use crate::base::ids::FileIndex;
use crate::base::layout::Layout;

/// How many grades there are, 0 the most urgent: the ends of files, then all other pieces, both by
/// the priorities of their files.
pub const GRADES: usize = 6;
/// Of a piece that nothing is said of.
const EVEN: u8 = 4;
/// Of the ends of files.
const ENDS: u8 = 3;

/// The grades of all pieces. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Urgency {
    /// One a piece; none when all are alike.
    grades: Option<Arc<[u8]>>,
}

impl Urgency {
    /// By the `priorities` of files; a piece of several is as urgent as the most urgent of them.
    /// With `ends_first` those with the first or the last byte of a wanted file come before all
    /// others.
    pub fn of(
        layout: &Layout,
        extents: &Extents,
        priorities: &[FilePriority],
        ends_first: bool,
    ) -> Self {
        let is_even = |it: &FilePriority| matches!(it, FilePriority::Off | FilePriority::Normal);
        if !ends_first && priorities.iter().all(is_even) {
            return Self::default();
        }
        let mut grades = vec![u8::MAX; layout.piece_count() as usize];
        let mut raise = |at: usize, grade: u8| {
            if let Some(known) = grades.get_mut(at) {
                *known = grade.min(*known);
            }
        };
        for file in (0..extents.file_count()).map(FileIndex) {
            let priority = priorities.get(file.0 as usize).copied().unwrap_or_default();
            let range = extents.file_range(file);
            let (Some(grade), false) = (grade_of(priority), range.is_empty()) else { continue };
            let piece_of = |byte: u64| (byte / u64::from(layout.piece_len())) as usize;
            let (first, last) = (piece_of(range.start), piece_of(range.end - 1));
            (first..=last).for_each(|at| raise(at, grade));
            if ends_first && !extents.is_pad(file) {
                [first, last].into_iter().for_each(|at| raise(at, grade - ENDS));
            }
        }
        // Those that nobody wants are in no order.
        grades.iter_mut().filter(|grade| **grade == u8::MAX).for_each(|grade| *grade = EVEN);
        Self { grades: Some(grades.into()) }
    }

    /// The grade of the piece with this number, less than [`GRADES`].
    #[inline]
    pub fn grade(&self, number: u32) -> usize {
        let known = self.grades.as_ref().and_then(|grades| grades.get(number as usize));
        usize::from(known.copied().unwrap_or(EVEN))
    }
}

/// None of one that is not wanted.
fn grade_of(priority: FilePriority) -> Option<u8> {
    match priority {
        FilePriority::Off => None,
        FilePriority::High => Some(EVEN - 1),
        FilePriority::Normal => Some(EVEN),
        FilePriority::Low => Some(EVEN + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FilePriority::{High, Low, Normal, Off};

    /// Three files of 40, 25 and 35 bytes, and padding of 20, in pieces of ten.
    fn grades(priorities: &[FilePriority], ends_first: bool) -> Vec<usize> {
        let extents = Extents::new([(40, false), (25, false), (20, true), (35, false)]);
        let layout = Layout::new(120, 10).unwrap();
        let urgency = Urgency::of(&layout, &extents, priorities, ends_first);
        (0..12).map(|number| urgency.grade(number)).collect()
    }

    #[test]
    fn a_piece_is_as_urgent_as_the_most_urgent_of_its_files() {
        assert_eq!(grades(&[Low, High, Off, Low], false), [5, 5, 5, 5, 3, 3, 3, 4, 5, 5, 5, 5]);
        assert_eq!(grades(&[Off, Low, Off, High], false), [4, 4, 4, 4, 5, 5, 5, 4, 3, 3, 3, 3]);
        assert_eq!(grades(&[Normal, Off, Off, Normal], false), [4; 12]);
    }

    #[test]
    fn the_ends_of_wanted_files_come_before_all_by_their_priorities() {
        let normal = grades(&[Normal, Off, Normal, Normal], true);
        assert_eq!(normal, [1, 4, 4, 1, 4, 4, 4, 4, 1, 4, 4, 1], "padding has no ends");
        let mixed = grades(&[Low, High, Off, Normal], true);
        assert_eq!(mixed, [2, 5, 5, 2, 0, 3, 0, 4, 1, 4, 4, 1]);
    }
}
