//! A torrent as its session lists it, and what of it can be set. Values only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::file_priority::FilePriority;
use crate::ledger::{Spec, Ways};
use crate::roster::Row;
use crate::roster::rules::Overlay;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::SeedLimits;
use crate::torrent::seeking::SeekDesk;
use crate::tracker::tiers::MAX_TRACKERS;

use super::wanted::Rank;

/// Labels that a torrent may have.
pub const LABELS_MAX: usize = 16;
/// The longest one, in bytes.
pub const LABEL_LEN_MAX: usize = 64;
/// Trackers that it may be given.
pub const TRACKERS_MAX: usize = MAX_TRACKERS;
/// The longest name that a torrent may be given in lists, in bytes: as long as one of a file.
pub const NAME_LEN_MAX: usize = 255;

/// Something that can be set of a torrent, whatever it is doing.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// It rests, or waits for its turn as others do.
    Paused(bool),
    /// Which files are wanted; one entry a file, pad files included.
    WantedFiles(Vec<bool>),
    /// How much each file is wanted, likewise.
    FilePriorities(Vec<FilePriority>),
    /// What is to change of some files, by their position, pad files included; all others stay as
    /// they are, whoever changes those.
    SomeFiles(Vec<(usize, FileWish)>),
    /// Whether pieces come in order instead of rarest first.
    Sequential(bool),
    /// Whether the first and the last piece of each wanted file come before all others.
    EndsFirst(bool),
    /// By which ways it may meet others, as far as its session has them.
    Ways(Ways),
    /// Most connected peers; as many as others have when none.
    PeersMax(Option<u32>),
    /// Most peers that are served at once; as many as the upload limit suggests when none.
    SlotsMax(Option<u32>),
    /// Its download limit in bytes per second, beside the session's.
    DownloadLimit(Option<u64>),
    /// Its upload limit in bytes per second, beside the session's.
    UploadLimit(Option<u64>),
    /// All its trackers by tier, in the place of those that it came with: at most
    /// [`TRACKERS_MAX`].
    Trackers(Vec<Vec<String>>),
    /// What its user sorts it under: at most [`LABELS_MAX`] of at most [`LABEL_LEN_MAX`] bytes.
    Labels(Vec<String>),
    /// What lists are to call it; by its own name when none. At most [`NAME_LEN_MAX`] bytes.
    ShownName(Option<String>),
    /// When it has seeded enough.
    Seeding(SeedLimits),
    /// At which ratio it has, whatever is said of the time; at none when none.
    SeedRatio(Option<f64>),
    /// After which time, whatever is said of the ratio.
    SeedTime(Option<Duration>),
    /// Its place in the queue.
    Rank(Rank),
}

impl Setting {
    /// Has the torrent itself to follow it?
    pub(super) fn is_of_torrent(&self) -> bool {
        !matches!(
            self,
            Self::Labels(_)
                | Self::ShownName(_)
                | Self::Seeding(_)
                | Self::SeedRatio(_)
                | Self::SeedTime(_)
                | Self::Rank(_)
        )
    }
}

/// How much a file is wanted from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileWish {
    /// It is, as urgently as before, or it is not.
    Wanted(bool),
    /// So much.
    Priority(FilePriority),
}

impl FileWish {
    /// What it makes of how much the file was wanted before.
    pub(super) fn over(self, before: FilePriority) -> FilePriority {
        match self {
            Self::Wanted(is_wanted) => before.chosen(is_wanted),
            Self::Priority(priority) => priority,
        }
    }
}

/// A torrent of a session.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What is wanted of it.
    pub spec: Arc<Spec>,
    /// How lists show it.
    pub row: Row,
    /// To ask and to tell it more; none of one of an earlier run that is not here yet, and of a
    /// latent one until it is [reached](super::Session::reach).
    pub handle: Option<TorrentHandle>,
    /// The search for its metadata, while that is sought: it goes on for as long as this is held.
    pub search: Option<SeekDesk>,
    /// Why it cannot be here, or is held back for want of room.
    pub trouble: Option<Arc<str>>,
    /// What holds of it by rules, before what is wanted.
    pub ruled: Overlay,
    /// How large it is, and what it has done.
    pub figures: Figures,
    /// Hosts of its trackers in lower case, each once; none while they are not known.
    pub hosts: Option<Arc<[Box<str>]>>,
}

/// What of a torrent is beside its row, since it is not worth a change there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Bytes of all its files, pad files left out; 0 before that is known.
    pub size: u64,
    /// How many files those are. Of a latent torrent pad files are counted, too.
    pub files: u32,
    /// It is one file without a folder around; false before that is known.
    pub is_single: bool,
    /// Another number whenever its files have got other names, in this run.
    pub names: u32,
    /// Seconds of its life that it was neither parked nor paused.
    pub active_s: u64,
    /// Seconds of them with all that is wanted.
    pub seeding_s: u64,
}

/// Tiers of trackers as they are kept, without what is empty or named before.
pub(super) fn check_trackers(tiers: Vec<Vec<String>>) -> Result<Arc<[Vec<String>]>, String> {
    let mut seen = BTreeSet::new();
    let tier = |mut tier: Vec<String>| {
        tier.retain(|url| !url.trim().is_empty() && seen.insert(url.trim().to_owned()));
        tier
    };
    let tiers: Vec<Vec<String>> = tiers.into_iter().map(tier).filter(|it| !it.is_empty()).collect();
    match seen.len() {
        ..=TRACKERS_MAX => Ok(tiers.into()),
        count => Err(format!("{count} trackers, where a torrent has {TRACKERS_MAX} at most")),
    }
}

/// Are there no more labels than a torrent may have, and none too long or empty?
pub(super) fn check_labels(labels: &[String]) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("{} labels are more than {LABELS_MAX}", labels.len()));
    }
    match labels.iter().find(|label| label.len() > LABEL_LEN_MAX || label.is_empty()) {
        Some(label) if label.is_empty() => Err("a label has no letters".to_owned()),
        Some(label) => {
            Err(format!("a label of {} bytes is longer than {LABEL_LEN_MAX}", label.len()))
        }
        None => Ok(()),
    }
}

/// Is it a name that lists can show?
pub(super) fn check_name(name: Option<&str>) -> Result<(), String> {
    match name {
        Some("") => Err("a name has no letters".to_owned()),
        Some(name) if name.len() > NAME_LEN_MAX => {
            Err(format!("a name of {} bytes is longer than {NAME_LEN_MAX}", name.len()))
        }
        _ => Ok(()),
    }
}
