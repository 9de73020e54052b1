//! How many bytes are free on the devices that the files of torrents are on. Each device is asked
//! every few seconds, aside, by one of its directories; one that hangs has a question under way,
//! and holds up nobody. Nothing is asked where nobody wants to know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::base::ids::TorrentId;
use crate::disk::{Disk, room_of};
use crate::roster::rules::Device;

/// Answers that wait for the session; whoever has more waits too.
const ANSWERS_LEN: usize = 64;

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
    /// There are directories that nobody has asked yet.
    has_new: bool,
    tell: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Default for Space {
    fn default() -> Self {
        let (tell, answers) = mpsc::channel(ANSWERS_LEN);
        let (places, of) = (BTreeMap::new(), BTreeMap::new());
        Self { places, of, has_new: false, tell, answers }
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
                self.has_new |= known.is_none();
                let dir = known.unwrap_or_else(|| dir.into());
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
            }
        }
    }

    /// Nobody wants to know any more.
    pub fn clear(&mut self) {
        self.places.clear();
        self.of.clear();
    }

    /// Are there directories that nobody has asked yet?
    pub fn has_new(&self) -> bool {
        self.has_new
    }

    /// Asks each device once, and each directory whose device is not known.
    pub fn ask(&mut self, disk: &Arc<Disk>) {
        self.has_new = false;
        let asked = self.places.values().filter(|place| place.is_asked);
        let mut asked: BTreeSet<Device> = asked.filter_map(|place| place.device).collect();
        for (dir, place) in self.places.iter_mut().filter(|(_, place)| !place.is_asked) {
            if place.device.is_some_and(|device| !asked.insert(device)) {
                continue;
            }
            place.is_asked = true;
            let (dir, disk, tell) = (dir.clone(), disk.clone(), self.tell.clone());
            tokio::spawn(async move {
                let leave = disk.leave(&dir).await;
                let path = dir.clone();
                let look = spawn_blocking(move || {
                    let _leave = leave;
                    room_of(&path).ok()
                });
                let found = look.await.ok().flatten();
                // The session may have ended.
                let _ = tell.send(Answer { dir, found }).await;
            });
        }
    }

    /// The next answer. Dropped, it loses none.
    pub async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// Takes one in, and names the torrents that are on another device than was known.
    pub fn on_answer(&mut self, answer: &Answer) -> Vec<TorrentId> {
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
