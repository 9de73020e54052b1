//! Peer exchange (BEP 11): what each link is told of the crowd, and what is believed of what it
//! tells. Whom to dial is decided elsewhere, and nothing here is bytes.
//!
//! A link is told what is new since it was told last, by comparison with what it knows: so that
//! whoever came and went in between is never named, and nobody is dropped that it never heard of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::addr::{self, Host, Locality, host_key, is_usable_peer};
use crate::base::ids::LinkId;
use crate::wire::{PEX_CONTACTS_MAX, Pex, PexFlags};

use super::candidates::HEARSAY_MAX;

/// When a link is told first: by then there is something to tell.
const FIRST_MS: std::ops::Range<u64> = 10_000..15_000;
/// Between two messages. "no more than 1 PEX message per minute"; anacrolix closes at less than
/// 45 seconds, libtorrent at six in a minute.
const PERIOD: Duration = Duration::from_secs(65);
/// A link that could have been told something is told of what comes next after this: seldom is
/// it alone.
const GATHER: Duration = Duration::from_secs(1);
/// "if a client is connected to less than 25 clients for a particular address family … it may
/// keep a list of up to 25 most recently established … connections for that address family"
const RECENT_MAX: usize = 25;
/// So many messages of a link are taken at once, for none of them is told again: Transmission 3.00
/// sends one after each of our extension handshakes, and of those there are up to three, when a
/// magnet link's metadata has come and when nothing is missing any more.
const TAKE_AT_ONCE: u32 = 4;
/// Then one more each time this has passed; others are ignored.
const TAKE_EVERY: Duration = Duration::from_secs(30);
/// After so many of those the link is closed.
const EARLY_MAX: u32 = 10;
/// Addresses that one link may fill.
const SHARE: u32 = HEARSAY_MAX as u32;
/// Then one more each time this has passed.
const SHARE_BACK: Duration = Duration::from_secs(10);

/// What is believed of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// These addresses.
    Contacts {
        /// May be dialled, after all others.
        added: Vec<(SocketAddr, PexFlags)>,
        /// Were left by the sender: less is to be expected of those that only peer exchange
        /// named.
        dropped: Vec<SocketAddr>,
    },
    /// Nothing: it came too soon.
    Ignored,
    /// The link is to be closed, why in words for people.
    Close(&'static str),
}

type Id = u32;

/// An address that links are told, or were.
#[derive(Debug)]
struct Contact {
    address: SocketAddr,
    flags: PexFlags,
    /// Links to it at present.
    live: u32,
    /// Links that were told, and places in the list of recent ones.
    noted: u32,
}

/// A link as peer exchange sees it.
#[derive(Debug)]
struct Told {
    /// The other end.
    at: SocketAddr,
    /// Where it listens.
    home: Option<Id>,
    /// It takes messages.
    takes: bool,
    /// When to tell it next; none while there was nothing to tell.
    due: Option<Instant>,
    /// What it knows by us.
    knows: BTreeSet<Id>,
    /// Behind whom to go on.
    cursor: Id,
    /// The last one of the recent contacts that it was told.
    recent_cursor: u64,
    /// Messages that are taken of it at once, and when that was reckoned.
    credit: u32,
    credited: Instant,
    /// Messages that were not.
    early: u32,
    /// Addresses that it filled, and when that was reckoned.
    filled: u32,
    reckoned: Instant,
}

/// Peer exchange of one torrent.
#[derive(Debug, Default)]
pub struct Exchange {
    links: BTreeMap<LinkId, Told>,
    contacts: BTreeMap<Id, Contact>,
    ids: BTreeMap<SocketAddr, Id>,
    next_id: Id,
    /// Contacts that we left for reasons of our own, numbered.
    recent: VecDeque<(u64, Id)>,
    next_recent: u64,
    is_off: bool,
}

impl Exchange {
    /// A link is up; `at` is its other end.
    pub fn joined(&mut self, link: LinkId, at: SocketAddr, now: Instant) {
        if self.is_off {
            return;
        }
        let told = Told {
            at,
            home: None,
            takes: false,
            due: None,
            knows: BTreeSet::new(),
            cursor: 0,
            recent_cursor: 0,
            credit: TAKE_AT_ONCE,
            credited: now,
            early: 0,
            filled: 0,
            reckoned: now,
        };
        self.links.insert(link, told);
    }

    /// What is known of the other end of a link: where it listens, if that is known, what others
    /// may be told of it, and whether it takes messages. Again whenever that changes.
    pub fn described(
        &mut self,
        link: LinkId,
        home: Option<SocketAddr>,
        flags: PexFlags,
        takes: bool,
        now: Instant,
        rng: &mut StdRng,
    ) {
        if !self.links.contains_key(&link) {
            return;
        }
        let id = home.filter(|home| home.port() > 1).map(|home| self.id(home));
        if let Some(contact) = id.and_then(|id| self.contacts.get_mut(&id)) {
            contact.flags = flags;
        }
        let Some(told) = self.links.get_mut(&link) else { return };
        let before = std::mem::replace(&mut told.home, id);
        if before != id {
            if let Some(contact) = id.and_then(|id| self.contacts.get_mut(&id)) {
                contact.live += 1;
            }
            before.into_iter().for_each(|before| self.unlink(before));
            self.stir(now);
        }
        let Some(told) = self.links.get_mut(&link).filter(|told| told.takes != takes) else {
            return;
        };
        told.takes = takes;
        let first = Duration::from_millis(rng.random_range(FIRST_MS));
        told.due = takes.then_some(now + first);
        if !takes {
            let known = std::mem::take(&mut told.knows);
            known.into_iter().for_each(|id| self.unnote(id));
        }
    }

    /// A link is over. `ours` when we ended it though nothing is wrong with the other end: it is
    /// connected by another address, nobody had anything for the other, or there was no room.
    pub fn left(&mut self, link: LinkId, ours: bool, now: Instant) {
        let Some(told) = self.links.remove(&link) else { return };
        if let Some(home) = told.home {
            if ours {
                self.remember(home);
            }
            self.unlink(home);
        }
        told.knows.into_iter().for_each(|id| self.unnote(id));
        self.stir(now);
    }

    /// Nothing is told or believed any more, for the torrent turned out to be private.
    pub fn stop(&mut self) {
        *self = Self { is_off: true, ..Self::default() };
    }

    /// When [`poll`](Self::poll) will have something to say, if nothing changes before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.links.values().filter_map(|told| told.due).min()
    }

    /// The next message that is due, and for whom; never an empty one.
    pub fn poll(&mut self, now: Instant) -> Option<(LinkId, Pex)> {
        loop {
            let due = |told: &Told| told.due.is_some_and(|due| due <= now);
            let link = *self.links.iter().find(|(_, told)| due(told))?.0;
            let pex = self.message(link);
            let told = self.links.get_mut(&link)?;
            told.due = (!pex.is_empty()).then_some(now + PERIOD);
            if !pex.is_empty() {
                return Some((link, pex));
            }
        }
    }

    /// What to believe of a message from this link. `ours` are our own addresses.
    pub fn take(&mut self, link: LinkId, pex: Pex, ours: &[SocketAddr], now: Instant) -> Taken {
        let Some(told) = self.links.get_mut(&link) else { return Taken::Ignored };
        if !told.is_in_time(now) {
            told.early += 1;
            return match told.early >= EARLY_MAX {
                true => Taken::Close("it exchanged peers again and again"),
                false => Taken::Ignored,
            };
        }
        let at = told.at;
        let mut hosts = BTreeSet::new();
        let mut may = |address: SocketAddr| {
            !ours.contains(&address) && address != at && is_believed(address, at, &mut hosts)
        };
        let mut added: Vec<_> = pex.added.into_iter().filter(|(it, _)| may(*it)).collect();
        let dropped = pex.dropped.into_iter().filter(|address| may(*address)).collect();
        let passed = now.saturating_duration_since(told.reckoned);
        let back = u32::try_from(passed.as_secs() / SHARE_BACK.as_secs()).unwrap_or(u32::MAX);
        told.filled = told.filled.saturating_sub(back);
        told.reckoned += SHARE_BACK * back;
        added.truncate((SHARE - told.filled.min(SHARE)) as usize);
        told.filled += u32::try_from(added.len()).unwrap_or(0);
        Taken::Contacts { added, dropped }
    }

    fn id(&mut self, address: SocketAddr) -> Id {
        if let Some(id) = self.ids.get(&address) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        let contact = Contact { address, flags: PexFlags::default(), live: 0, noted: 0 };
        self.contacts.insert(id, contact);
        self.ids.insert(address, id);
        id
    }

    fn unlink(&mut self, id: Id) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.live -= 1;
        }
        self.forget_unused(id);
    }

    fn unnote(&mut self, id: Id) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.noted -= 1;
        }
        self.forget_unused(id);
    }

    fn forget_unused(&mut self, id: Id) {
        let contact = self.contacts.get(&id).filter(|it| it.live == 0 && it.noted == 0);
        if let Some(address) = contact.map(|contact| contact.address) {
            self.contacts.remove(&id);
            self.ids.remove(&address);
        }
    }

    fn is_v6(&self, id: Id) -> bool {
        self.contacts.get(&id).is_some_and(|contact| contact.address.is_ipv6())
    }

    fn remember(&mut self, id: Id) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.noted += 1;
        }
        self.next_recent += 1;
        self.recent.push_back((self.next_recent, id));
        let is_v6 = self.is_v6(id);
        let family = self.recent.iter().filter(|(_, other)| self.is_v6(*other) == is_v6);
        if family.count() > RECENT_MAX
            && let Some(at) = self.recent.iter().position(|(_, id)| self.is_v6(*id) == is_v6)
            && let Some((_, oldest)) = self.recent.remove(at)
        {
            self.unnote(oldest);
        }
    }

    /// The crowd changed: whoever was told all there was may be told soon.
    fn stir(&mut self, now: Instant) {
        for told in self.links.values_mut().filter(|told| told.takes && told.due.is_none()) {
            told.due = Some(now + GATHER);
        }
    }

    /// What is new for a link; it counts as told.
    fn message(&mut self, link: LinkId) -> Pex {
        let Some(told) = self.links.get(&link) else { return Pex::default() };
        let is_live = |id: &Id| self.contacts.get(id).is_some_and(|contact| contact.live > 0);
        let known = told.knows.iter().copied();
        let dropped: Vec<Id> = known.filter(|id| !is_live(id)).take(PEX_CONTACTS_MAX).collect();
        let is_news = |id: &Id| {
            let contact = self.contacts.get(id);
            told.home != Some(*id)
                && !told.knows.contains(id)
                && contact.is_some_and(|contact| may_tell(contact.address, told.at))
        };
        let behind = self.contacts.range(told.cursor..).chain(self.contacts.range(..told.cursor));
        let live = behind.filter(|(_, contact)| contact.live > 0).map(|(id, _)| *id);
        let mut added: Vec<Id> = live.filter(is_news).take(PEX_CONTACTS_MAX).collect();
        let cursor = added.last().map_or(told.cursor, |last| last + 1);
        let mut recent_cursor = told.recent_cursor;
        for (number, id) in self.recent.iter().filter(|(number, _)| *number > told.recent_cursor) {
            if added.len() == PEX_CONTACTS_MAX {
                break;
            }
            recent_cursor = *number;
            if self.is_underpopulated(self.is_v6(*id)) && !is_live(id) && is_news(id) {
                added.push(*id);
            }
        }
        added.sort_unstable();
        added.dedup();
        let contact = |id: &Id| self.contacts.get(id).map(|it| (it.address, it.flags));
        let pex = Pex {
            added: added.iter().filter_map(contact).collect(),
            dropped: dropped.iter().filter_map(contact).map(|(address, _)| address).collect(),
        };
        for id in &added {
            if let Some(contact) = self.contacts.get_mut(id) {
                contact.noted += 1;
            }
        }
        if let Some(told) = self.links.get_mut(&link) {
            told.cursor = cursor;
            told.recent_cursor = recent_cursor;
            told.knows.extend(added);
            told.knows.retain(|id| dropped.binary_search(id).is_err());
        }
        dropped.into_iter().for_each(|id| self.unnote(id));
        pex
    }

    fn is_underpopulated(&self, is_v6: bool) -> bool {
        let live = self.contacts.values().filter(|contact| contact.live > 0);
        live.filter(|contact| contact.address.is_ipv6() == is_v6).count() < RECENT_MAX
    }
}

impl Told {
    /// Whether a message of it is taken at `now`, which counts as one.
    fn is_in_time(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.credited);
        let back = u32::try_from(passed.as_secs() / TAKE_EVERY.as_secs()).unwrap_or(u32::MAX);
        self.credit = self.credit.saturating_add(back).min(TAKE_AT_ONCE);
        self.credited = match self.credit {
            TAKE_AT_ONCE => now,
            _ => self.credited + TAKE_EVERY * back,
        };
        let is_in_time = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        is_in_time
    }
}

/// Whether who is at `to` can make use of `address`, and may know it.
fn may_tell(address: SocketAddr, to: SocketAddr) -> bool {
    let (address, to) = (Locality::of(address.ip()), Locality::of(to.ip()));
    match address {
        Locality::Public => true,
        Locality::Unroutable => false,
        local => local == to,
    }
}

/// Whether to believe `address` when `from` names it: of each public host one port only, since
/// "Duplicate IP addresses (e.g. with different ports) should be ignored". This machine is named
/// by itself only.
fn is_believed(address: SocketAddr, from: SocketAddr, hosts: &mut BTreeSet<Host>) -> bool {
    let (locality, theirs) = (Locality::of(address.ip()), Locality::of(from.ip()));
    let is_usable = is_usable_peer(address, addr::Teller::Remote(theirs)) && address.port() > 1;
    let is_near = locality != Locality::Loopback || theirs == Locality::Loopback;
    is_usable && is_near && (locality.is_local() || hosts.insert(host_key(address.ip())))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    struct Stage {
        exchange: Exchange,
        now: Instant,
        rng: StdRng,
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Where link `number` is.
    fn place(number: u64) -> SocketAddr {
        let [.., high, low] = number.to_be_bytes();
        SocketAddr::from(([20, 0, high, low], 6881))
    }

    impl Stage {
        fn new() -> Self {
            let rng = StdRng::seed_from_u64(1);
            Self { exchange: Exchange::default(), now: Instant::now(), rng }
        }

        fn join_at(&mut self, number: u64, at: SocketAddr, takes: bool) {
            let link = LinkId(number);
            self.exchange.joined(link, at, self.now);
            let flags = PexFlags::REACHABLE;
            self.exchange.described(link, Some(at), flags, takes, self.now, &mut self.rng);
        }

        fn join(&mut self, number: u64, takes: bool) {
            self.join_at(number, place(number), takes);
        }

        fn leave(&mut self, number: u64, ours: bool) {
            self.exchange.left(LinkId(number), ours, self.now);
        }

        /// What is sent in the next `seconds`, and after how many milliseconds.
        fn wait(&mut self, seconds: u64) -> Vec<(u64, u64, Pex)> {
            let (begin, end) = (self.now, self.now + Duration::from_secs(seconds));
            let mut sent = Vec::new();
            while let Some(due) = self.exchange.next_timeout().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                while let Some((link, pex)) = self.exchange.poll(self.now) {
                    let after = (self.now - begin).as_millis() as u64;
                    sent.push((after, link.0, pex));
                }
                let next = self.exchange.next_timeout();
                assert!(next.is_none_or(|next| next > self.now), "it would be woken for ever");
            }
            self.now = end;
            sent
        }
    }

    fn added(pex: &Pex) -> Vec<SocketAddr> {
        pex.added.iter().map(|(address, _)| *address).collect()
    }

    #[test]
    fn the_first_message_comes_after_ten_to_fifteen_seconds_and_the_next_when_there_is_news() {
        let mut it = Stage::new();
        it.join(1, true);
        it.join(2, false);
        let sent = it.wait(60);
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (after, link, pex) = &sent[0];
        assert!((10_000..15_000).contains(after) && *link == 1, "{after}");
        assert_eq!(pex.added, [(place(2), PexFlags::REACHABLE)]);
        assert_eq!(it.wait(1_000), [], "never an empty one");
        it.join(3, false);
        it.leave(2, false);
        let sent = it.wait(60);
        let pex = Pex { added: vec![(place(3), PexFlags::REACHABLE)], dropped: vec![place(2)] };
        assert_eq!(sent, [(1_000, 1, pex)]);
        it.join(4, false);
        let after: Vec<_> = it.wait(100).into_iter().map(|sent| sent.0).collect();
        assert_eq!(after, [6_000], "65 seconds after the last one");
    }

    #[test]
    fn who_came_and_went_in_between_is_not_told_and_nobody_is_dropped_unheard_of() {
        let mut it = Stage::new();
        it.join(1, true);
        it.join(2, false);
        it.wait(20);
        it.join(3, false);
        it.leave(3, false);
        it.leave(2, false);
        // It is back before anybody was told that it left.
        it.join_at(4, place(2), false);
        assert_eq!(it.wait(100), []);
    }

    #[test]
    fn fifty_at_a_time_until_all_are_told() {
        let mut it = Stage::new();
        it.join(0, true);
        (1..=120).for_each(|number| it.join(number, false));
        let sent = it.wait(300);
        let counts: Vec<_> = sent.iter().map(|(_, _, pex)| pex.added.len()).collect();
        assert_eq!(counts, [50, 50, 20]);
        let mut all: Vec<_> = sent.iter().flat_map(|(_, _, pex)| added(pex)).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=120).map(place).collect::<Vec<_>>());
        (1..=120).for_each(|number| it.leave(number, false));
        let counts: Vec<_> = it.wait(300).iter().map(|(_, _, pex)| pex.dropped.len()).collect();
        assert_eq!(counts, [50, 50, 20]);
        assert_eq!(it.exchange.contacts.len(), 1, "none is kept for nothing");
    }

    #[test]
    fn only_those_are_told_that_can_be_reached_and_local_ones_only_at_home() {
        let mut it = Stage::new();
        it.join_at(1, address("8.8.8.8:1000"), true);
        it.join_at(2, address("192.168.1.2:1000"), true);
        it.join_at(3, address("127.0.0.1:1000"), true);
        it.join_at(4, address("192.168.1.4:1000"), false);
        it.join_at(5, address("127.0.0.1:2000"), false);
        // Nobody knows where these listen.
        it.exchange.joined(LinkId(6), address("9.9.9.9:5555"), it.now);
        it.exchange.joined(LinkId(7), address("9.9.9.8:5555"), it.now);
        let none = PexFlags::default();
        it.exchange.described(LinkId(7), None, none, false, it.now, &mut it.rng);
        let mut sent: Vec<_> =
            it.wait(30).into_iter().map(|(_, link, pex)| (link, added(&pex))).collect();
        sent.sort_unstable();
        assert_eq!(
            sent,
            [
                (2, vec![address("8.8.8.8:1000"), address("192.168.1.4:1000")]),
                (3, vec![address("8.8.8.8:1000"), address("127.0.0.1:2000")]),
            ]
        );
    }

    /// BEP 11, "Filling underpopulated lists".
    #[test]
    fn those_that_we_left_are_told_once_and_dropped_with_the_next_message() {
        let mut it = Stage::new();
        it.join(1, true);
        it.join(2, false);
        it.leave(2, true);
        it.join(3, false);
        it.leave(3, false);
        let sent = it.wait(200);
        let told: Vec<_> = sent.iter().map(|(_, _, it)| (added(it), it.dropped.clone())).collect();
        assert_eq!(told, [(vec![place(2)], vec![]), (vec![], vec![place(2)])]);
        it.join(4, false);
        let sent = it.wait(200);
        let told: Vec<_> = sent.iter().map(|(_, _, it)| (added(it), it.dropped.clone())).collect();
        assert_eq!(told, [(vec![place(4)], vec![])], "not again");
    }

    #[test]
    fn a_crowd_needs_no_recent_contacts() {
        let mut it = Stage::new();
        it.join(0, true);
        (1..=30).for_each(|number| it.join(number, false));
        it.leave(1, true);
        let sent = it.wait(30);
        assert_eq!(sent[0].2.added.len(), 29);
        (100..200).for_each(|number| {
            it.join(number, false);
            it.leave(number, true);
        });
        assert_eq!(it.exchange.recent.len(), RECENT_MAX);
        assert!(it.exchange.contacts.len() <= 30 + 1 + RECENT_MAX);
    }

    #[test]
    fn nothing_is_told_to_who_takes_nothing_or_after_the_stop() {
        let mut it = Stage::new();
        it.join(1, true);
        it.join(2, true);
        let now = it.now;
        it.exchange.described(LinkId(2), None, PexFlags::default(), false, now, &mut it.rng);
        assert_eq!(it.wait(100), [], "where it listens is not known any more either");
        it.join(3, true);
        it.exchange.stop();
        it.join(4, true);
        it.join(5, true);
        assert_eq!(it.wait(100), []);
        let pex = Pex { added: vec![(place(9), PexFlags::SEED)], dropped: vec![] };
        assert_eq!(it.exchange.take(LinkId(4), pex, &[], it.now), Taken::Ignored);
    }

    fn takes(it: &mut Stage, link: u64, addresses: &[&str]) -> Taken {
        let added = addresses.iter().map(|text| (address(text), PexFlags::SEED)).collect();
        let ours = [address("7.7.7.7:6881")];
        it.exchange.take(LinkId(link), Pex { added, dropped: vec![] }, &ours, it.now)
    }

    fn believed(taken: Taken) -> Vec<String> {
        match taken {
            Taken::Contacts { added, .. } => added.iter().map(|(it, _)| it.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_what_is_told_only_what_can_be_a_peer_is_believed() {
        let mut it = Stage::new();
        let named = [
            "7.7.7.7:6881",
            "8.8.8.8:0",
            "8.8.8.8:1",
            "8.8.8.8:2",
            "8.8.8.8:3",
            "0.0.0.1:9",
            "224.0.0.1:9",
            "192.168.1.9:9",
            "127.0.0.1:9",
            "169.254.169.254:80",
            "[2001:db8::1]:9",
            "[2001:db8::2]:9",
            "20.0.0.1:6881",
        ];
        it.join(1, true);
        assert_eq!(believed(takes(&mut it, 1, &named)), ["8.8.8.8:2", "[2001:db8::1]:9"]);
        it.join_at(2, address("192.168.1.2:9"), true);
        let near = believed(takes(&mut it, 2, &named));
        assert!(near.contains(&"192.168.1.9:9".to_owned()), "{near:?}");
        assert!(!near.contains(&"127.0.0.1:9".to_owned()), "{near:?}");
        it.join_at(3, address("127.0.0.1:8"), true);
        let home = ["127.0.0.1:9", "127.0.0.1:10"];
        assert_eq!(believed(takes(&mut it, 3, &home)), home);
    }

    #[test]
    fn who_tells_too_often_is_ignored_and_closed_at_last() {
        let mut it = Stage::new();
        it.join(1, true);
        // One after each of our handshakes: what is in it is never told again.
        for _ in 0..TAKE_AT_ONCE {
            assert_eq!(believed(takes(&mut it, 1, &["8.8.8.8:9"])).len(), 1);
        }
        it.now += Duration::from_millis(29_999);
        for _ in 0..9 {
            assert_eq!(takes(&mut it, 1, &["8.8.8.9:9"]), Taken::Ignored);
        }
        it.now += Duration::from_millis(1);
        assert_eq!(believed(takes(&mut it, 1, &["8.8.8.9:9"])).len(), 1, "in time");
        assert!(matches!(takes(&mut it, 1, &["8.8.8.9:9"]), Taken::Close(_)));
        assert_eq!(takes(&mut it, 9, &["8.8.8.9:9"]), Taken::Ignored, "nobody knows it");
    }

    #[test]
    fn one_link_fills_a_quarter_of_what_is_known() {
        let mut it = Stage::new();
        it.join(1, true);
        let mut taken = 0;
        for round in 0..100_u8 {
            let named =
                (0..50).map(|host| (SocketAddr::from(([9, 9, round, host], 9)), PexFlags::SEED));
            let pex = Pex { added: named.collect(), dropped: vec![] };
            let Taken::Contacts { added, .. } = it.exchange.take(LinkId(1), pex, &[], it.now)
            else {
                panic!("it is in time");
            };
            taken += added.len();
            it.now += TAKE_EVERY;
        }
        assert_eq!(taken, 750 + 99 * 3);
    }

    /// Any crowd: what a link is told adds up to the crowd, whatever comes and goes.
    #[test]
    fn what_is_told_adds_up_to_the_crowd() {
        for seed in 0..60 {
            let mut it = Stage::new();
            it.rng = StdRng::seed_from_u64(seed);
            let mut heard: BTreeMap<u64, BTreeSet<SocketAddr>> = BTreeMap::new();
            let mut up: BTreeMap<u64, u64> = BTreeMap::new();
            let mut last: BTreeMap<u64, Instant> = BTreeMap::new();
            let mut begin = it.now;
            for step in 0..150 {
                let quiet = step >= 140;
                for _ in 0..it.rng.random_range(0..20) * u64::from(!quiet) {
                    let number = it.rng.random_range(0..90);
                    match up.remove(&number) {
                        Some(link) => {
                            let ours = it.rng.random();
                            it.leave(link, ours);
                            heard.remove(&link);
                            last.remove(&link);
                        }
                        None => {
                            let link = step * 1_000 + number;
                            up.insert(number, link);
                            it.join_at(link, place(number), number.is_multiple_of(3));
                        }
                    }
                }
                let seconds = if quiet { 70 } else { it.rng.random_range(0..40) };
                for (after, link, pex) in it.wait(seconds) {
                    let at = begin + Duration::from_millis(after);
                    let before = last.insert(link, at);
                    assert!(before.is_none_or(|before| at - before >= PERIOD));
                    assert!(!pex.is_empty() && pex.added.len() <= 50 && pex.dropped.len() <= 50);
                    let known = heard.entry(link).or_default();
                    for gone in &pex.dropped {
                        assert!(known.remove(gone), "seed {seed}: {gone} was never told");
                    }
                    for (new, _) in &pex.added {
                        assert!(!pex.dropped.contains(new), "in both lists");
                        assert!(known.insert(*new), "seed {seed}: {new} was told before");
                    }
                }
                begin = it.now;
            }
            for (number, link) in up.iter().filter(|(number, _)| number.is_multiple_of(3)) {
                let others = up.keys().filter(|other| *other != number).map(|it| place(*it));
                let known = heard.remove(link).unwrap_or_default();
                // Those that were left last may be known still: there was no news since.
                let live: BTreeSet<_> = others.collect();
                assert!(known.is_superset(&live), "seed {seed}: somebody was not told");
                assert!(known.len() <= live.len() + RECENT_MAX, "seed {seed}");
            }
        }
    }
}
