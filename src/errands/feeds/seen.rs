//! What was seen of a feed, kept across restarts: which items and episodes were added, and what its
//! server said of the last answer. Written when items have been added, so a crash in between errs
//! on the side of adding again, which a session answers with the torrent that it has.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::os::whole::{self, How};

/// Items that are kept, and episodes: the oldest go first. A feed that is read has fewer items.
pub const KEPT_MAX: usize = 5000;
/// An item that its feed has not had for so long is forgotten, seconds.
const KEPT_FOR: u64 = 180 * 86_400;
/// The longest file: as many items and episodes with the longest names.
const LEN_MAX: u64 = 8 << 20;
/// How often an item is tried that cannot be added.
const TRIES_MAX: u32 = 5;

/// What was seen of a feed. Times are seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// What the rules were; with others, the last answer is no longer known.
    pub rules: String,
    /// When it was asked last.
    pub asked_at: Option<u64>,
    /// What its server calls the last answer (RFC 9110 §8.8.3).
    pub etag: Option<String>,
    /// When that was changed (RFC 9110 §8.8.2), as the server wrote it.
    pub modified: Option<String>,
    /// Where it has moved to for good.
    pub moved: Option<String>,
    /// Items that were added, by digests of what they are known by, and when a feed had them last.
    items: BTreeMap<String, u64>,
    /// Items that could not be added, and how often.
    tries: BTreeMap<String, u32>,
    /// Episodes, and when they were added.
    episodes: BTreeMap<String, u64>,
}

impl Seen {
    /// What is kept at this path; nothing when there is none, or none that can be read. Waits for
    /// the disk.
    pub fn at(path: &Path) -> Self {
        let read = whole::read(path, LEN_MAX).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes it. Waits for the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        whole::make_dir(path.parent().unwrap_or(Path::new("/")))?;
        whole::replace(path, &serde_json::to_vec(self)?, How::DURABLE.private().alone())
    }

    /// Was this item added, or tried often enough?
    pub fn has_item(&self, id: &str) -> bool {
        let key = digest(id);
        self.items.contains_key(&key) || self.tries.get(&key).is_some_and(|it| *it >= TRIES_MAX)
    }

    /// Was this episode?
    pub fn has_episode(&self, episode: &str) -> bool {
        self.episodes.contains_key(episode)
    }

    /// An item was added.
    pub fn note(&mut self, id: &str, episode: Option<&str>, at: u64) {
        let key = digest(id);
        self.tries.remove(&key);
        self.items.insert(key, at);
        if let Some(episode) = episode {
            self.episodes.insert(episode.to_owned(), at);
        }
    }

    /// An item could not be added; is it given up?
    pub fn note_failure(&mut self, id: &str) -> bool {
        let tries = self.tries.entry(digest(id)).or_default();
        *tries += 1;
        *tries >= TRIES_MAX
    }

    /// The feed has these items: forgets what it has not had for long, and what is too much.
    pub fn tidy<'a>(&mut self, ids: impl Iterator<Item = &'a str>, now: u64) {
        let there: Vec<String> = ids.map(digest).collect();
        self.tries.retain(|key, _| there.contains(key));
        for key in &there {
            if let Some(at) = self.items.get_mut(key) {
                *at = now;
            }
        }
        self.items.retain(|_, at| now.saturating_sub(*at) <= KEPT_FOR);
        drop_oldest(&mut self.items);
        drop_oldest(&mut self.episodes);
    }

    /// How many items are known.
    pub fn count(&self) -> usize {
        self.items.len()
    }
}

fn drop_oldest(all: &mut BTreeMap<String, u64>) {
    let over = all.len().saturating_sub(KEPT_MAX);
    let mut ages: Vec<(u64, String)> = all.iter().map(|(key, at)| (*at, key.clone())).collect();
    ages.sort();
    for (_, key) in ages.iter().take(over) {
        all.remove(key);
    }
}

/// What an item is known by, as short as all others.
fn digest(id: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
}

/// Where it is kept of this feed, below `home`.
pub fn path_of(home: &Path, url: &str) -> PathBuf {
    home.join(format!("feed-{}.json", digest(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_outlives_the_program() {
        let home = tempfile::tempdir().unwrap();
        let path = path_of(&home.path().join("errands"), "http://x/");
        let mut seen = Seen { etag: Some("\"1\"".to_owned()), ..Seen::at(&path) };
        seen.note("one", Some("show 1x2"), 7);
        seen.write(&path).unwrap();
        let read = Seen::at(&path);
        assert_eq!(read, seen);
        assert!(read.has_item("one") && read.has_episode("show 1x2") && !read.has_item("two"));
        std::fs::write(&path, "[").unwrap();
        assert_eq!(Seen::at(&path), Seen::default());
    }

    #[test]
    fn what_is_long_gone_or_too_much_is_forgotten() {
        let mut seen = Seen::default();
        seen.note("old", None, 0);
        seen.note("there", None, 0);
        seen.tidy(["there"].into_iter(), KEPT_FOR + 1);
        assert_eq!((seen.has_item("old"), seen.has_item("there")), (false, true));
        for number in 0..KEPT_MAX as u64 {
            seen.note(&number.to_string(), Some(&number.to_string()), number + KEPT_FOR);
        }
        seen.note("last", Some("last"), 2 * KEPT_FOR);
        seen.tidy(["there"].into_iter(), KEPT_FOR + 2);
        assert_eq!((seen.count(), seen.episodes.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!((seen.has_item("0"), seen.has_episode("0")), (false, false));
        assert!(seen.has_item("last") && seen.has_episode("last"));
    }

    #[test]
    fn what_cannot_be_added_is_tried_five_times() {
        let mut seen = Seen::default();
        let tries: Vec<bool> = (0..5).map(|_| seen.note_failure("x")).collect();
        assert_eq!(tries, [false, false, false, false, true]);
        assert!(seen.has_item("x"));
        seen.tidy([].into_iter(), 0);
        assert!(!seen.has_item("x"), "it is gone");
    }
}
