//! How many bytes are free on the devices that the files of torrents are on. Each device is asked
//! every few seconds, aside, by one of its directories; one that hangs is not known, and holds up
//! nobody. Nothing is asked where nobody wants to know.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::ids::TorrentId;
use crate::disk::{Disk, room_of};
use crate::roster::rules::Device;

/// Answers that wait for the session; whoever has more waits too.
const ANSWERS_LEN: usize = 64;

/// Questions under way at once. A disk that hangs holds few of them: the rest asks others.
const ASKING_MAX: usize = 64;
/// How long a disk has for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Directories that are asked again in each round though their device is known.
const AGAIN_MAX: usize = 8;

/// What is known of a directory now.
#[derive(Debug)]
pub(super) struct Answer {
    dir: Arc<Path>,
    /// Its device, and what is free there, as far as both are known.
    pub found: Option<(Device, Option<u64>)>,
}

#[derive(Debug, Default)]
struct Place {
    torrents: BTreeSet<TorrentId>,
    device: Option<Device>,
    is_asked: bool,
}

/// The directories of all torrents.
#[derive(Debug)]
pub(super) struct Space {
    places: BTreeMap<Arc<Path>, Place>,
    of: BTreeMap<TorrentId, Arc<Path>>,
    /// Directories that nobody has asked yet.
    fresh: BTreeSet<Arc<Path>>,
    /// Questions under way.
    asking: usize,
    /// The last one that was asked again though its device was known: what is mounted there may be
    /// another one now.
    again: Option<Arc<Path>>,
    tell: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Default for Space {
    fn default() -> Self {
        let (tell, answers) = mpsc::channel(ANSWERS_LEN);
        let (places, of) = (BTreeMap::new(), BTreeMap::new());
        let (fresh, asking, again) = (BTreeSet::new(), 0, None);
        Self { places, of, fresh, asking, again, tell, answers }
    }
}

impl Space {
    /// A torrent's files are below this directory; the device that it is on, as far as it is known.
    pub fn place(&mut self, id: TorrentId, dir: &Path) -> Option<Device> {
        let known = self.of.get(&id).filter(|known| ***known == *dir);
        let known = match known {
            Some(known) => known.clone(),
            None => {
                self.forget(id);
                let known = self.places.get_key_value(dir).map(|(known, _)| known.clone());
                let dir = known.unwrap_or_else(|| {
                    let dir: Arc<Path> = dir.into();
                    self.fresh.insert(dir.clone());
                    dir
                });
                self.of.insert(id, dir.clone());
                self.places.entry(dir.clone()).or_default().torrents.insert(id);
                dir
            }
        };
        self.places.get(&known)?.device
    }

    /// A torrent is gone.
    pub fn forget(&mut self, id: TorrentId) {
        let Some(dir) = self.of.remove(&id) else { return };
        if let Some(place) = self.places.get_mut(&dir) {
            place.torrents.remove(&id);
            if place.torrents.is_empty() {
                self.places.remove(&dir);
                self.fresh.remove(&dir);
            }
        }
    }

    /// Nobody wants to know any more.
    pub fn clear(&mut self) {
        self.places.clear();
        self.of.clear();
        self.fresh.clear();
    }

    /// Are there directories that nobody has asked yet, and may they be asked now?
    pub fn has_new(&self) -> bool {
        !self.fresh.is_empty() && self.asking < ASKING_MAX
    }

    /// Asks those, as many as may be.
    pub fn ask_new(&mut self, disk: &Arc<Disk>) {
        while self.has_new() {
            let Some(dir) = self.fresh.pop_first() else { return };
            self.ask_one(&dir, disk);
        }
    }

    /// Asks each device once, each directory whose device is not known, and a few of the others
    /// by turns.
    pub fn ask(&mut self, disk: &Arc<Disk>) {
        let asked = self.places.values().filter(|place| place.is_asked);
        let mut asked: BTreeSet<Device> = asked.filter_map(|place| place.device).collect();
        let mut ask = Vec::new();
        for (dir, place) in self.places.iter().filter(|(_, place)| !place.is_asked) {
            if place.device.is_none_or(|device| asked.insert(device)) {
                ask.push(dir.clone());
            }
        }
        let behind = match &self.again {
            Some(last) => (Bound::Excluded(last.clone()), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let by_turns: Vec<_> = self.places.range::<Arc<Path>, _>(behind).take(AGAIN_MAX).collect();
        self.again = by_turns.last().map(|(dir, _)| (*dir).clone());
        ask.extend(by_turns.into_iter().map(|(dir, _)| dir.clone()));
        for dir in ask {
            if self.asking >= ASKING_MAX {
                return;
            }
            self.ask_one(&dir, disk);
        }
    }

    /// Asks a directory, unless that is under way.
    fn ask_one(&mut self, dir: &Arc<Path>, disk: &Arc<Disk>) {
        let Some(place) = self.places.get_mut(dir).filter(|place| !place.is_asked) else { return };
        place.is_asked = true;
        self.asking += 1;
        self.fresh.remove(dir);
        let (dir, disk, tell) = (dir.clone(), disk.clone(), self.tell.clone());
        tokio::spawn(async move {
            let path = dir.clone();
            let look = async {
                let leave = disk.leave(&path).await;
                let look = spawn_blocking(move || {
                    let _leave = leave;
                    room_of(&path).ok()
                });
                look.await.ok().flatten()
            };
            // What hangs is not known.
            let found = timeout(ANSWER_MAX, look).await.ok().flatten();
            // The session may have ended.
            let _ = tell.send(Answer { dir, found }).await;
        });
    }

    /// The next answer. Dropped, it loses none.
    pub async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// Takes one in, and names the torrents that are on another device than was known.
    pub fn on_answer(&mut self, answer: &Answer) -> Vec<TorrentId> {
        self.asking = self.asking.saturating_sub(1);
        // Nobody has files there any more.
        let Some(place) = self.places.get_mut(&answer.dir) else { return Vec::new() };
        place.is_asked = false;
        let device = answer.found.map(|(device, _)| device);
        match std::mem::replace(&mut place.device, device) == device {
            true => Vec::new(),
            false => place.torrents.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(dir: &str, device: Device) -> Answer {
        Answer { dir: Path::new(dir).into(), found: Some((device, Some(1))) }
    }

    #[test]
    fn what_is_new_is_asked_once_and_forgotten_with_the_rest() {
        let mut space = Space::default();
        space.place(TorrentId(1), Path::new("/d"));
        assert!(space.has_new());
        space.asking = ASKING_MAX;
        assert!(!space.has_new(), "others are asked");
        space.on_answer(&answer("/elsewhere", 1));
        assert!(space.has_new());
        space.clear();
        assert!(!space.has_new(), "nobody wants to know");
        space.place(TorrentId(1), Path::new("/d"));
        space.forget(TorrentId(1));
        assert!(!space.has_new(), "nobody is there");
    }

    #[test]
    fn a_torrent_is_on_the_device_of_its_directory() {
        let (a, b) = (TorrentId(1), TorrentId(2));
        let mut space = Space::default();
        assert_eq!(space.place(a, Path::new("/d")), None);
        assert_eq!(space.place(b, Path::new("/d")), None);
        assert_eq!(space.on_answer(&answer("/d", 7)), [a, b]);
        assert_eq!(space.on_answer(&answer("/d", 7)), []);
        assert_eq!(space.place(a, Path::new("/d")), Some(7));
        assert_eq!(space.place(a, Path::new("/e")), None, "it has moved");
        assert_eq!(space.on_answer(&answer("/d", 8)), [b]);
        space.forget(b);
        assert_eq!(space.on_answer(&answer("/d", 9)), []);
        assert_eq!(space.places.len(), 1);
    }
}
