//! What changes about the servers of a torrent's files that people and programs are told of: a
//! comparison of snapshots, twice a second. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::ids::{FileIndex, SourceId};

use crate::swarm::report::{SourceSnapshot, SourceState};

/// Files of one server that are told of: one that has none of them all is told of soon.
const FILES_TOLD_MAX: usize = 32;

/// A server of files stands otherwise than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceNews {
    /// Its host, with the port if that is no usual one.
    pub site: String,
    /// Its URL without user, password and query.
    pub url: String,
    /// What is new.
    pub what: SourceChange,
}

/// What is new about a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceChange {
    /// There are connections to it.
    Up,
    /// There are none any more.
    Down,
    /// It is left alone for a while.
    Waits {
        /// Why; not yet escaped for a terminal.
        why: String,
        /// For so long.
        left: Duration,
    },
    /// It is not asked any more.
    Off {
        /// Why; not yet escaped for a terminal.
        why: String,
    },
    /// It sent a piece that failed its hash.
    Wrong {
        /// The piece's number.
        piece: u32,
    },
    /// One of its files is not asked for.
    FileOff {
        /// Its path in the torrent; not yet escaped for a terminal.
        path: String,
        /// Why; not yet escaped for a terminal.
        why: String,
        /// For so long; none when it is not asked for any more.
        left: Option<Duration>,
    },
}

/// What was told of each server, by its place in the list.
#[derive(Debug, Default)]
pub(super) struct SourceWatch {
    told: Vec<Told>,
}

#[derive(Debug, Default)]
struct Told {
    is_up: bool,
    /// Why it is left alone, if it is; and whether for good.
    trouble: Option<(String, bool)>,
    files: BTreeSet<FileIndex>,
}

impl SourceWatch {
    /// What is new of which; the list only ever grows at its end. `path` is that of a file of the
    /// torrent; it is asked only of what is told.
    pub fn look(
        &mut self,
        sources: &[SourceSnapshot],
        path: impl Fn(FileIndex) -> String,
    ) -> Vec<(SourceId, SourceChange)> {
        self.told.resize_with(sources.len().max(self.told.len()), Told::default);
        let mut news = Vec::new();
        for (told, source) in self.told.iter_mut().zip(sources) {
            let changes = told.changes(source, &path);
            news.extend(changes.into_iter().map(|what| (source.source, what)));
        }
        news
    }
}

impl Told {
    fn changes(
        &mut self,
        source: &SourceSnapshot,
        path: impl Fn(FileIndex) -> String,
    ) -> Vec<SourceChange> {
        let mut changes = Vec::new();
        let is_up = source.links > 0;
        if is_up != std::mem::replace(&mut self.is_up, is_up) {
            changes.push(if is_up { SourceChange::Up } else { SourceChange::Down });
        }
        for file in &source.files {
            let Some(why) = &file.why else { continue };
            if self.files.len() >= FILES_TOLD_MAX {
                break;
            }
            if self.files.insert(file.file) {
                let (path, why) = (path(file.file), why.to_string());
                changes.push(SourceChange::FileOff { path, why, left: file.left });
            }
        }
        let trouble = match &source.state {
            SourceState::Off { why } => Some((why, None)),
            SourceState::Waits { left: Some(left), why } => Some((why, Some(*left))),
            // That others use it is no news.
            SourceState::Waits { left: None, .. } | SourceState::Fit | SourceState::Slow => None,
        };
        let kept = trouble.map(|(why, left)| (why.clone(), left.is_none()));
        if kept != self.trouble {
            changes.extend(trouble.map(|(why, left)| match left {
                Some(left) => SourceChange::Waits { why: why.clone(), left },
                None => SourceChange::Off { why: why.clone() },
            }));
            self.trouble = kept;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::report::FileSnapshot;

    fn source(state: SourceState, links: u32) -> SourceSnapshot {
        SourceSnapshot {
            source: SourceId(0),
            state,
            links,
            busy: 0,
            coming: 0,
            down_rate: 0,
            downloaded_bytes: 0,
            files: Vec::new(),
        }
    }

    fn looks(watch: &mut SourceWatch, source: &SourceSnapshot) -> Vec<SourceChange> {
        let news = watch.look(std::slice::from_ref(source), |file| file.0.to_string());
        news.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn what_lasts_is_told_once() {
        let mut watch = SourceWatch::default();
        let fit = |links| source(SourceState::Fit, links);
        let waits = |left: Option<u64>| {
            let left = left.map(Duration::from_secs);
            source(SourceState::Waits { left, why: "429".to_owned() }, 0)
        };
        assert_eq!(looks(&mut watch, &fit(0)), []);
        assert_eq!(looks(&mut watch, &fit(2)), [SourceChange::Up]);
        assert_eq!(looks(&mut watch, &fit(1)), []);
        let (why, left) = ("429".to_owned(), Duration::from_secs(9));
        let told = [SourceChange::Down, SourceChange::Waits { why, left }];
        assert_eq!(looks(&mut watch, &waits(Some(9))), told);
        assert_eq!(looks(&mut watch, &waits(Some(8))), [], "it still does");
        assert_eq!(looks(&mut watch, &waits(None)), [], "all connections are in use");
        let told = SourceChange::Waits { why: "429".to_owned(), left: Duration::from_secs(9) };
        assert_eq!(looks(&mut watch, &waits(Some(9))), [told], "again");
        let why = "gone".to_owned();
        let off = source(SourceState::Off { why: why.clone() }, 0);
        assert_eq!(looks(&mut watch, &off), [SourceChange::Off { why }]);
    }

    #[test]
    fn of_many_files_only_the_first_are_told() {
        let mut watch = SourceWatch::default();
        let mut many = source(SourceState::Fit, 0);
        let file = |number: u32, why: Option<&str>| FileSnapshot {
            file: FileIndex(number),
            why: why.map(Into::into),
            left: None,
            whole_only: why.is_none(),
        };
        many.files = vec![file(0, None), file(1, Some("404"))];
        let told = looks(&mut watch, &many);
        let first = SourceChange::FileOff { path: "1".into(), why: "404".into(), left: None };
        assert_eq!(told, [first]);
        many.files = (0..1000).map(|number| file(number, Some("404"))).collect();
        assert_eq!(looks(&mut watch, &many).len(), FILES_TOLD_MAX - 1);
        assert_eq!(looks(&mut watch, &many), []);
    }
}
