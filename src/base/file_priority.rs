//! How much a file of a torrent is wanted, beside its others. What follows from that for pieces is
//! the brain's.

/// How much a file is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum FilePriority {
    /// Not at all.
    Off,
    /// When nothing else is left to begin.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl FilePriority {
    /// Is it wanted at all?
    pub fn is_wanted(self) -> bool {
        self != Self::Off
    }

    /// As it is, if it is wanted or not from now on: one that was off is as most are.
    pub fn chosen(self, is_wanted: bool) -> Self {
        match (self, is_wanted) {
            (_, false) => Self::Off,
            (Self::Off, true) => Self::Normal,
            (_, true) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_leaves_what_was_wanted_as_it_was() {
        for priority in [FilePriority::Low, FilePriority::Normal, FilePriority::High] {
            assert_eq!(priority.chosen(true), priority);
            assert_eq!(priority.chosen(false), FilePriority::Off);
        }
        assert_eq!(FilePriority::Off.chosen(true), FilePriority::Normal);
    }
}
