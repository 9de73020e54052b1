//! What is to be done. Values only.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::Addition;

/// Folders that are watched at most.
pub const WATCHES_MAX: usize = 64;

/// Feeds at most.
pub const FEEDS_MAX: usize = 256;
/// Hooks at most.
pub const HOOKS_MAX: usize = 64;

/// All that is to be done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Folders that are watched.
    pub watches: Vec<Watch>,
    /// What is told of torrents, and to whom.
    pub hooks: Vec<Hook>,
    /// Feeds that are followed.
    pub feeds: Vec<Feed>,
}

/// A folder whose `.torrent`s and links are added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which, absolute.
    pub dir: PathBuf,
    /// How what comes of it is run.
    pub adding: Adding,
    /// What becomes of a file whose torrents are added.
    pub after: After,
}

/// What becomes of a file whose torrents are added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum After {
    /// It stays, and is not looked at again before it changes.
    #[default]
    Keep,
    /// It is removed.
    Delete,
}

/// How a torrent is run that was added so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adding {
    /// Directory that its files go under, absolute; the usual one when none.
    pub into: Option<PathBuf>,
    /// What it is sorted under.
    pub labels: Vec<String>,
    /// It begins at once.
    pub starts: bool,
}

impl Default for Adding {
    fn default() -> Self {
        Self { into: None, labels: Vec::new(), starts: true }
    }
}

impl Adding {
    /// This addition, to be run so.
    pub(super) fn dress(&self, addition: Addition) -> Addition {
        Addition {
            dir: self.into.as_ref().map(|into| into.to_string_lossy().into_owned()),
            labels: self.labels.clone(),
            paused: !self.starts,
            ..addition
        }
    }
}

/// Somebody who is told when something happens to a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// When.
    pub on: Vec<Moment>,
    /// Only of torrents with one of these labels; of all when there are none.
    pub labels: Vec<String>,
    /// Who.
    pub act: Act,
}

/// Who is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// A program, by its path, and its arguments.
    Run(Vec<String>),
    /// A server.
    Post {
        /// Where.
        url: String,
        /// What signs what it is told.
        secret: Option<String>,
    },
}

/// What happens to a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It was added.
    Added,
    /// Its metadata has come.
    Metadata,
    /// Everything wanted is here for the first time.
    Done,
    /// It has seeded enough.
    Seeded,
    /// It was removed.
    Removed,
    /// Something is wrong.
    Error,
    /// Nothing is wrong any more.
    Recovered,
    /// Its files are in another place.
    Moved,
}

impl Moment {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Added,
        Self::Metadata,
        Self::Done,
        Self::Seeded,
        Self::Removed,
        Self::Error,
        Self::Recovered,
        Self::Moved,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Metadata => "metadata",
            Self::Done => "done",
            Self::Seeded => "seeded",
            Self::Removed => "removed",
            Self::Error => "error",
            Self::Recovered => "recovered",
            Self::Moved => "moved",
        }
    }
}

impl Hook {
    /// Does it want to hear of this, of a torrent with these labels?
    pub(super) fn hears(&self, moment: Moment, labels: &[String]) -> bool {
        let is_labelled =
            self.labels.is_empty() || self.labels.iter().any(|label| labels.contains(label));
        is_labelled && self.on.contains(&moment)
    }

    /// Who is told, without what may be secret: arguments, and all but the host of a URL.
    pub(super) fn what(&self) -> String {
        match &self.act {
            Act::Run(words) => words.first().cloned().unwrap_or_default(),
            Act::Post { url, .. } => host_of(url),
        }
    }
}

/// The host of a URL: the rest may hold keys.
pub(super) fn host_of(url: &str) -> String {
    let read = reqwest::Url::parse(url).ok();
    let host = read.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
    });
    host.unwrap_or_else(|| "a URL that cannot be read".to_owned())
}

/// A feed whose items are added.
#[derive(Clone, PartialEq, Debug)]
pub struct Feed {
    /// What it is called; by the host of its URL when nothing is said.
    pub name: Option<String>,
    /// Where it is.
    pub url: String,
    /// How often it is asked.
    pub interval: Duration,
    /// Only items whose title fits one of these; all when there are none.
    pub include: Vec<Pattern>,
    /// No items whose title fits one of these.
    pub exclude: Vec<Pattern>,
    /// Only items that say that they have so many bytes at least.
    pub min_size: Option<u64>,
    /// Only items that say that they have so many bytes at most.
    pub max_size: Option<u64>,
    /// Of each episode only the first item.
    pub once: bool,
    /// How what comes of it is run.
    pub adding: Adding,
}

impl Feed {
    /// How often a feed is asked when nothing is said.
    pub const INTERVAL: Duration = Duration::from_secs(30 * 60);
    /// How often it may be asked.
    pub const INTERVAL_MIN: Duration = Duration::from_secs(60);
    /// How seldom.
    pub const INTERVAL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

    /// What it is called.
    pub(super) fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| host_of(&self.url))
    }

    /// Is this a URL of the server that its user named?
    pub(super) fn is_at_home(&self, url: &str) -> bool {
        let origin = |url: &str| reqwest::Url::parse(url).ok().map(|url| url.origin());
        origin(url).is_some_and(|it| it.is_tuple() && origin(&self.url) == Some(it))
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            name: None,
            url: String::new(),
            interval: Self::INTERVAL,
            include: Vec::new(),
            exclude: Vec::new(),
            min_size: None,
            max_size: None,
            once: false,
            adding: Adding::default(),
        }
    }
}

/// A regular expression that titles are searched for, whatever the case of ASCII letters.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    read: regex_lite::Regex,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let read = regex_lite::RegexBuilder::new(text).case_insensitive(true).build();
        let read = read.map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), read })
    }

    /// Is it found in this title?
    pub(super) fn fits(&self, title: &str) -> bool {
        self.read.is_match(title)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
