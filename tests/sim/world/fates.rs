//! What befalls a torrent from outside of its links: wishes of the user, words of trackers,
//! devices that refuse, shares and places that the session gives and takes.

use pigeon::swarm::event;

use super::*;

/// One thing that happens to the torrent.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The user wants these pieces.
    Wants(Bitfield),
    Pauses(bool),
    /// Somebody changed files: of a hundred verified pieces, those that are lost.
    Changes(u32),
    /// A device refuses what was written, and loses of a hundred verified pieces so many.
    Refuses(u32),
    /// Links that other torrents leave to us.
    Room(usize),
    Limited(bool),
    /// The disk workers hashed and wrote for so long.
    Worked(Duration, Duration),
    OtherTracker,
    OurAddress,
    /// The disk does not answer, or does again.
    Silent(bool),
    /// Blocks of the pool that open pieces may hold.
    Share(usize),
    UploadLimit(Option<u64>),
}

impl World {
    pub(super) fn befall(&mut self, fate: Fate) {
        self.fates_left -= 1;
        match fate {
            Fate::Wants(wanted) => {
                let layout = self.setup.layout;
                let unwanted = layout.pieces().filter(|piece| !wanted.has(*piece));
                unwanted.for_each(|piece| self.ledger.dropped(piece));
                self.tell(Input::Wanted(wanted));
            }
            Fate::Pauses(pause) => self.tell(Input::Pause(pause)),
            Fate::Changes(share) => self.lose(share),
            Fate::Refuses(share) => {
                self.lose(share);
                self.tell(Input::DiskFailed("input/output error".into()));
            }
            Fate::Silent(true) => self.tell(Input::DiskSilent("it has not answered".into())),
            Fate::Silent(false) => self.tell(Input::DiskAnswers),
            Fate::Room(links) => self.tell(room(links)),
            Fate::Limited(limited) => self.tell(Input::Limited(limited)),
            Fate::Worked(hashing, writing) => self.tell(Input::DiskLoad { hashing, writing }),
            Fate::OtherTracker => {
                self.tell(Input::TrackerChanged);
                self.announce();
            }
            Fate::OurAddress => {
                let ours = std::net::SocketAddr::from(([192, 0, 2, 1], 6881));
                self.tell(Input::OurAddress(ours));
            }
            Fate::Share(blocks) => self.tell(Input::Share(blocks)),
            Fate::UploadLimit(limit) => self.tell(Input::UploadLimit(limit)),
        }
    }

    fn lose(&mut self, share: u32) {
        let have = self.swarm.have().clone();
        let lost: Vec<_> = self.setup.layout.pieces().filter(|piece| have.has(*piece)).collect();
        let lost = lost.into_iter().filter(|_| self.rng.random_range(0..100) < share);
        let lost: Vec<_> = lost.collect();
        for piece in &lost {
            self.disk.good.remove(&piece.number());
        }
        self.tell(Input::PiecesLost(lost));
    }

    /// The session gives the torrent another share of the pool.
    pub fn share(&mut self, blocks: usize, now: Duration) {
        self.now = now;
        self.tell(Input::Share(blocks));
    }
}

/// Places for so many links more, all of which may be dials.
fn room(links: usize) -> Input {
    Input::Room(event::Room { links, dials: links, ..event::Room::UNBOUNDED })
}
