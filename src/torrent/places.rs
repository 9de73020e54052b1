//! The torrent's share of the connections that a session allows: a place for each link from its
//! first moment until its end was ordered, and one more among the dials until it is up. How many
//! a torrent may have while others want some is the session's to decide; here it is only obeyed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::base::ids::LinkId;
use crate::net::permits::{Permit, Permits};
use crate::swarm::event::{Exit, Room};

/// Connections of all torrents of a session.
pub const LINKS_MAX: usize = 400;
/// Of those, as many as complete torrents leave to those that download: a quarter.
const RESERVE: usize = LINKS_MAX / 4;
/// Dials under way in all torrents of a session.
pub const DIALS_MAX: usize = 100;
/// The last quarter of the dials is for torrents that have no more than a few under way.
const DIALS_RESERVE: usize = DIALS_MAX / 4;
/// How few those are.
const DIALS_FEW: usize = 5;

/// What all torrents of a session draw from.
#[derive(Clone, Debug)]
pub struct Shared {
    links: Arc<Permits>,
    dials: Arc<Permits>,
    /// Whether anything leaves.
    exit: watch::Sender<Exit>,
    /// Rung when the session should look at who has how many.
    bell: Arc<Notify>,
}

/// What one torrent holds and wants, for the session to see, and how much it may hold.
#[derive(Clone, Debug)]
pub struct Account(Arc<Figures>);

#[derive(Debug)]
struct Figures {
    shared: Shared,
    held: AtomicUsize,
    wanted: AtomicUsize,
    most: AtomicUsize,
    changed: Notify,
}

/// The places that one torrent holds.
#[derive(Debug)]
pub(super) struct Places {
    account: Account,
    exit: watch::Receiver<Exit>,
    links: BTreeMap<LinkId, Permit>,
    dials: BTreeMap<LinkId, Permit>,
}

impl Shared {
    /// All places free. `bell` wakes whoever divides them.
    pub fn new(bell: Arc<Notify>) -> Self {
        let exit = watch::Sender::new(Exit::Open);
        Self { links: Permits::new(LINKS_MAX), dials: Permits::new(DIALS_MAX), exit, bell }
    }
}

impl Account {
    /// One that holds nothing.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(Figures {
            shared,
            held: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
            changed: Notify::new(),
        }))
    }

    /// One of another torrent of the same session.
    pub fn sibling(&self) -> Self {
        Self::new(self.0.shared.clone())
    }

    /// Links that the torrent has, dials included.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Links that it would make beside them if there were places.
    pub fn wanted(&self) -> usize {
        self.0.wanted.load(Ordering::Relaxed)
    }

    /// It may hold so many from now on; above that it gives up its least useful links.
    pub fn allow(&self, most: usize) {
        let before = self.0.most.swap(most, Ordering::Relaxed);
        // With places free for it, one that waits is told each time.
        let may_more = self.held() < most && self.0.shared.links.free() > 0;
        if before != most || self.wanted() > 0 && may_more {
            self.0.changed.notify_one();
        }
    }

    /// Whether anything leaves, and anybody new is reached, for all torrents and searches of the
    /// session.
    pub fn leave(&self, is_open: bool, may_dial: bool) {
        let exit = match (is_open, may_dial) {
            (true, true) => Exit::Open,
            (true, false) => Exit::NoDials,
            (false, _) => Exit::Shut,
        };
        self.0.shared.exit.send_if_modified(|told| std::mem::replace(told, exit) != exit);
    }

    fn exit(&self) -> Exit {
        *self.0.shared.exit.borrow()
    }

    fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }
}

impl Places {
    pub fn new(account: Account) -> Self {
        let exit = account.0.shared.exit.subscribe();
        Self { account, exit, links: BTreeMap::new(), dials: BTreeMap::new() }
    }

    /// Where they are counted.
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// Takes places for a dial; false when there are none.
    pub fn dial(&mut self, link: LinkId) -> bool {
        if self.free_dials() == 0 {
            return false;
        }
        let Some(dial) = self.shared().dials.take() else { return false };
        if !self.take(link) {
            return false;
        }
        self.dials.insert(link, dial);
        true
    }

    /// Takes a place for a connection that came in; false when there is none.
    pub fn take(&mut self, link: LinkId) -> bool {
        if self.links.len() >= self.account.most() || self.account.exit() == Exit::Shut {
            return false;
        }
        let Some(place) = self.shared().links.take() else { return false };
        self.links.insert(link, place);
        self.account.0.held.store(self.links.len(), Ordering::Relaxed);
        true
    }

    /// The link is up, so it is no dial any more.
    pub fn up(&mut self, link: LinkId) {
        self.dials.remove(&link);
    }

    /// The link or the dial is over, or was told to end.
    pub fn down(&mut self, link: LinkId) {
        self.dials.remove(&link);
        if self.links.remove(&link).is_some() {
            self.account.0.held.store(self.links.len(), Ordering::Relaxed);
            if self.account.most() != usize::MAX {
                // Somebody waits for it.
                self.shared().bell.notify_one();
            }
        }
    }

    /// What the others leave to this torrent.
    pub fn room(&self) -> Room {
        let (most, exit) = (self.account.most(), self.account.exit());
        let links = self.shared().links.free().min(most.saturating_sub(self.links.len()));
        let links = if exit == Exit::Shut { 0 } else { links };
        Room { links, reserve: RESERVE, dials: self.free_dials(), most, exit }
    }

    /// Tells how many links more the torrent would make, and asks for them when others have all.
    pub fn want(&self, wanted: usize) {
        self.account.0.wanted.store(wanted, Ordering::Relaxed);
        if wanted > 0 && self.room().links == 0 {
            self.shared().bell.notify_one();
        }
    }

    /// What was told last.
    pub fn wanted(&self) -> usize {
        self.account.wanted()
    }

    /// Waits until the session allows more or fewer, or something leaves again or nothing more.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.account.0.changed.notified() => {}
            // The account has the sender.
            _ = self.exit.changed() => {}
        }
    }

    fn free_dials(&self) -> usize {
        if self.account.exit() != Exit::Open {
            return 0;
        }
        let free = self.shared().dials.free();
        let few = DIALS_FEW.saturating_sub(self.dials.len());
        free.saturating_sub(DIALS_RESERVE).max(few.min(free))
    }

    fn shared(&self) -> &Shared {
        &self.account.0.shared
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.account.0.held.store(0, Ordering::Relaxed);
        self.account.0.wanted.store(0, Ordering::Relaxed);
        self.account.0.most.store(usize::MAX, Ordering::Relaxed);
        self.shared().bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use crate::base::bitfield::Bitfield;
    use crate::base::extents::Extents;
    use crate::base::ids::{InfoHash, PeerId};
    use crate::base::layout::Layout;
    use crate::swarm::event::{Input, Output, Source};
    use crate::swarm::{Swarm, SwarmConfig};

    use super::*;

    fn account() -> Account {
        Account::new(Shared::new(Arc::new(Notify::new())))
    }

    #[tokio::test]
    async fn while_nothing_leaves_nobody_has_a_place_and_all_hear_when_that_is_over() {
        let root = account();
        // A search, which nobody divides places among.
        let mut search = Places::new(root.sibling());
        assert!(search.dial(LinkId(1)));
        root.leave(true, false);
        search.changed().await;
        assert_eq!((search.room().exit, search.room().dials), (Exit::NoDials, 0));
        assert!(!search.dial(LinkId(2)) && search.take(LinkId(3)), "who comes is let in");
        root.leave(false, false);
        search.changed().await;
        assert_eq!((search.room().exit, search.room().links), (Exit::Shut, 0));
        assert!(!search.dial(LinkId(4)) && !search.take(LinkId(4)));
        root.leave(true, true);
        search.changed().await;
        assert_eq!(search.room().exit, Exit::Open);
        assert!(search.dial(LinkId(4)));
        root.leave(true, true);
        let quiet = tokio::time::timeout(std::time::Duration::ZERO, search.changed()).await;
        assert!(quiet.is_err(), "nothing has changed");
    }

    /// A brain that has all or nothing.
    fn swarm(have: Bitfield, now: Instant) -> Swarm {
        let pieces = have.piece_count();
        let config = SwarmConfig {
            exchanges_peers: false,
            metadata: None,
            layout: Layout::new(u64::from(pieces), 1).unwrap(),
            extents: Extents::new([(u64::from(pieces), false)]),
            info_hash: InfoHash([7; 20]),
            proven: have.clone(),
            have,
            wanted: Bitfield::all(pieces),
            share_blocks: 64,
            max_peers: 80,
            listen_port: 6881,
            is_private: false,
            sequential: false,
            peer_id: PeerId([1; 20]),
            seed: 1,
        };
        Swarm::new(config, now)
    }

    /// Takes the brain's dials; how many found places.
    fn dialled(swarm: &mut Swarm, places: &mut Places) -> usize {
        let outputs: Vec<_> = std::iter::from_fn(|| swarm.poll_output()).collect();
        let mut taken = 0;
        for output in outputs {
            if let Output::Dial { link, .. } = output {
                taken += usize::from(places.dial(link));
            }
        }
        taken
    }

    fn hosts(range: std::ops::Range<u8>) -> Vec<SocketAddr> {
        range.map(|host| SocketAddr::from(([198, 51, 100, host], 6881))).collect()
    }

    fn learn(swarm: &mut Swarm, source: Source, addresses: Vec<SocketAddr>, now: Instant) {
        swarm.handle(Input::Candidates { source, addresses }, now);
    }

    #[test]
    fn a_complete_torrent_dials_as_long_as_a_quarter_of_the_places_is_free() {
        let now = Instant::now();
        let account = account();
        let mut others = Places::new(account.sibling());
        let mut places = Places::new(account);
        let mut seed = swarm(Bitfield::all(4), now);
        seed.handle(Input::Room(places.room()), now);
        learn(&mut seed, Source::Tracker, hosts(1..11), now);
        assert_eq!(dialled(&mut seed, &mut places), 10);
        let taken = (1000..).take(290).filter(|link| others.take(LinkId(*link))).count();
        assert_eq!(taken, 290);
        seed.handle(Input::Room(places.room()), now);
        learn(&mut seed, Source::Tracker, hosts(11..21), now);
        assert_eq!(dialled(&mut seed, &mut places), 0);
        learn(&mut seed, Source::User, hosts(30..31), now);
        assert_eq!(dialled(&mut seed, &mut places), 1, "the user named it");
        // One that downloads dials all the same.
        let mut leecher = swarm(Bitfield::none(4), now);
        leecher.handle(Input::Room(others.room()), now);
        learn(&mut leecher, Source::Tracker, hosts(1..11), now);
        assert_eq!(dialled(&mut leecher, &mut others), 10);
    }

    #[test]
    fn the_last_dials_are_for_those_who_have_few() {
        let account = account();
        let mut greedy = Places::new(account.sibling());
        let mut modest = Places::new(account);
        let dials = |places: &mut Places| (0..200).filter(|it| places.dial(LinkId(*it))).count();
        assert_eq!((dials(&mut greedy), dials(&mut modest)), (75, 5));
        greedy.up(LinkId(0));
        assert!(!greedy.dial(LinkId(300)));
    }

    #[test]
    fn what_the_session_allows_bounds_dials_and_comers_alike() {
        let account = account();
        let mut places = Places::new(account.clone());
        assert!((0..5).all(|link| places.take(LinkId(link))));
        account.allow(5);
        assert!(!places.take(LinkId(5)) && !places.dial(LinkId(5)));
        assert_eq!((places.room().links, places.room().most), (0, 5));
        places.down(LinkId(0));
        assert!(places.dial(LinkId(5)));
        drop(places);
        assert_eq!((account.held(), account.most()), (0, usize::MAX));
    }
}
