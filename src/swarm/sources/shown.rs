//! What people may know of sources: the state of each, and of its files.

use std::time::Instant;

use crate::base::ids::{FileIndex, SourceId};
use crate::swarm::report::{FileSnapshot, SourceState};

use super::Sources;
use super::source::{File, Off, Source};

/// What people may know.
impl Sources {
    /// All of them, in order.
    pub(in crate::swarm) fn ids(&self) -> impl Iterator<Item = SourceId> + '_ {
        self.known.keys().copied()
    }

    /// What it is told of, and its state.
    pub(in crate::swarm) fn state(&self, source: SourceId, now: Instant) -> Option<SourceState> {
        let source = self.known.get(&source)?;
        let left = |until: Option<Instant>| until.map(|at| at.saturating_duration_since(now));
        if source.is_barred {
            let why = "its user has switched off the servers that the torrent names".to_owned();
            return Some(SourceState::Off { why });
        }
        if let Some(off) = source.off.as_ref().filter(|off| off.holds(now)) {
            let why = off.why.to_string();
            return Some(match off.until {
                None => SourceState::Off { why },
                until => SourceState::Waits { left: left(until), why },
            });
        }
        if let Some((until, why)) = &source.waits {
            return Some(SourceState::Waits { left: left(*until), why: why.clone() });
        }
        Some(if source.is_slow(now) { SourceState::Slow } else { SourceState::Fit })
    }

    /// Files of it that are not asked for, or only as a whole.
    pub(in crate::swarm) fn files(&self, source: SourceId, now: Instant) -> Vec<FileSnapshot> {
        let files = self.known.get(&source).into_iter().flat_map(|source| &source.files);
        let snapshot = |(file, known): (&FileIndex, &File)| {
            let off = known.off.as_ref().filter(|off| off.holds(now));
            let left = off.and_then(|off| Some(off.until?.saturating_duration_since(now)));
            let is_told = off.is_some() || known.whole_only;
            let why = off.map(|off| off.why.clone());
            is_told.then_some(FileSnapshot { file: *file, why, left, whole_only: known.whole_only })
        };
        files.filter_map(snapshot).collect()
    }

    /// Payload from it, in bytes.
    pub(in crate::swarm) fn downloaded_bytes(&self, source: SourceId) -> u64 {
        self.known.get(&source).map_or(0, |source| source.downloaded_bytes)
    }

    /// Does one of them have other files than the torrent?
    pub(in crate::swarm) fn differ(&self) -> bool {
        let is_other = |file: &File| file.off.as_ref().is_some_and(Off::is_for_good);
        let is_off = |source: &Source| source.off.as_ref().is_some_and(Off::is_for_good);
        self.known.values().any(|it| is_off(it) || it.files.values().any(is_other))
    }

    /// Is one of them not asked for a while?
    pub(in crate::swarm) fn any_rests(&self, now: Instant) -> bool {
        self.known.values().any(|source| {
            let mut offs = source.off.iter().chain(source.files.values().flat_map(|it| &it.off));
            let is_rest = |off: &Off| off.holds(now) && !off.is_for_good();
            source.waits.is_some() || offs.any(is_rest)
        })
    }
}
