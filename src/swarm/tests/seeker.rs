//! The brain that seeks the metadata, fact by fact, and what it hands over.

use super::*;
use crate::base::digest::sha1;
use crate::seek::{CheckId, Target};
use crate::swarm::event::Room;
use crate::swarm::link::{Description, MetadataEvent};
use crate::swarm::{Refusal, Seeker, SeekerConfig, SeekerOutput};
use crate::wire::{Pex, PexFlags};

/// Bytes of the metadata: two pieces.
const LEN: u32 = 16_384 + 100;

/// A seeker and a clock. What is to be hashed waits for [`Hunt::hash`].
struct Hunt {
    seeker: Seeker,
    now: Instant,
    links: BTreeMap<u8, LinkId>,
    copy: Option<(CheckId, Vec<Box<[u8]>>)>,
}

/// A piece of the metadata, or of something else.
fn part(piece: u32, is_true: bool) -> Box<[u8]> {
    vec![if is_true { 7 } else { 8 }; if piece == 0 { 16_384 } else { 100 }].into()
}

fn ask(host: u8) -> String {
    format!("peer {host}: metadata Ask([0, 1])")
}

fn closed(host: u8, why: &str) -> String {
    format!("peer {host}: close, {why}")
}

impl Hunt {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SeekerConfig)) -> Self {
        let mut config = SeekerConfig {
            peer_id: peer_id(OURS),
            listen_port: 6881,
            max_peers: 50,
            exchanges_peers: true,
            memory: 1 << 20,
            seed: 1,
        };
        change(&mut config);
        let now = Instant::now();
        Self { seeker: Seeker::new(config, now), now, links: BTreeMap::new(), copy: None }
    }

    /// What follows, in words.
    fn said(&mut self) -> Vec<String> {
        self.seeker.settle(self.now);
        self.seeker.check_invariants();
        let outputs: Vec<_> = std::iter::from_fn(|| self.seeker.poll_output()).collect();
        let line = |output| match output {
            SeekerOutput::Do(output) => self.line(output),
            SeekerOutput::Found => "found".into(),
            SeekerOutput::Check { check, pieces } => {
                let line = format!("check {} pieces", pieces.len());
                self.copy = Some((check, pieces));
                line
            }
        };
        outputs.into_iter().map(line).collect()
    }

    fn line(&self, output: Output) -> String {
        match output {
            Output::Dial { link, address, .. } => {
                format!("dial {} as {}", host_of(address), link.0)
            }
            Output::Send { link, command } => {
                let host = self.links.iter().find(|(_, other)| **other == link);
                let host =
                    host.map_or(format!("link {}", link.0), |(host, _)| format!("peer {host}"));
                format!("{host}: {}", order(&command))
            }
            Output::Event(event) => news(&event),
            other => panic!("nothing is traded yet: {other:?}"),
        }
    }

    fn note(&mut self, input: Input) -> Vec<String> {
        self.seeker.note(input, self.now);
        self.said()
    }

    /// Lets time pass, with a tick whenever the brain wants one.
    fn wait(&mut self, seconds: u64) -> Vec<String> {
        let end = self.now + Duration::from_secs(seconds);
        let (mut lines, mut ticks_at_once) = (Vec::new(), 0);
        while let Some(at) = self.seeker.next_timeout().filter(|at| *at <= end) {
            ticks_at_once = if at > self.now { 0 } else { ticks_at_once + 1 };
            assert!(ticks_at_once < 4, "the brain asks for ticks without end");
            self.now = self.now.max(at);
            lines.extend(self.note(Input::Tick));
        }
        self.now = end;
        lines
    }

    fn up_as(&mut self, host: u8, id: u8) -> Vec<String> {
        let link = self.seeker.admit(address(host), self.now).unwrap();
        self.links.insert(host, link);
        self.note(Input::LinkUp { link, peer_id: peer_id(id), caps: caps(true) })
    }

    fn up(&mut self, host: u8) -> Vec<String> {
        self.up_as(host, host)
    }

    fn dialled(&mut self, link: u64, host: u8, id: u8) -> Vec<String> {
        self.links.insert(host, LinkId(link));
        let (link, peer_id) = (LinkId(link), peer_id(id));
        self.note(Input::LinkUp { link, peer_id, caps: caps(true) })
    }

    fn events(&mut self, host: u8, events: Vec<LinkEvent>) -> Vec<String> {
        self.note(Input::LinkEvents { link: self.links[&host], events })
    }

    /// The peer tells of itself.
    fn describe(&mut self, host: u8, metadata_len: Option<u32>) -> Vec<String> {
        let description = Description {
            takes_metadata: true,
            takes_peers: true,
            listen_port: Some(6881),
            metadata_len,
            ..Description::default()
        };
        self.events(host, vec![LinkEvent::Described(description)])
    }

    /// A peer that has the metadata comes up.
    fn holder(&mut self, host: u8) -> Vec<String> {
        self.up(host);
        self.describe(host, Some(LEN))
    }

    fn give(&mut self, host: u8, pieces: &[u32], is_true: bool) -> Vec<String> {
        let piece =
            |piece: &u32| MetadataEvent::Piece { piece: *piece, bytes: part(*piece, is_true) };
        let events = pieces.iter().map(piece).map(LinkEvent::Metadata).collect();
        self.events(host, events)
    }

    /// The copy at hand is hashed.
    fn hash(&mut self) -> Vec<String> {
        let (check, pieces) = self.copy.take().expect("a copy to hash");
        let hash = InfoHash(sha1(&[&part(0, true), &part(1, true)]));
        let verdict = Target::new(Some(hash), None).unwrap().check(&pieces);
        self.seeker.checked(check, verdict, self.now);
        self.said()
    }

    fn learn(&mut self, source: Source, hosts: std::ops::Range<u8>) -> Vec<String> {
        self.note(Input::Candidates { source, addresses: hosts.map(address).collect() })
    }

    fn tell_peers(&mut self, host: u8, hosts: std::ops::Range<u8>) -> Vec<String> {
        let added = hosts.map(|host| (address(host), PexFlags::default())).collect();
        self.events(host, vec![LinkEvent::Peers(Pex { added, dropped: Vec::new() })])
    }

    /// The torrent is known: the brain that trades, and what was said on the way.
    fn hand_over(self, is_private: bool) -> (Bench, Vec<String>) {
        let Self { seeker, now, links, .. } = self;
        let (company, outputs) = seeker.into_company(is_private, now);
        let config = SwarmConfig { is_private, exchanges_peers: true, ..config(4, 4) };
        let mut bench = Bench { links, now, ..Bench::new(4) };
        let mut lines: Vec<String> = outputs.into_iter().map(|it| bench.line(it)).collect();
        bench.swarm = Swarm::with_company(config, company, now);
        bench.swarm.settle(now);
        while let Some(output) = bench.swarm.poll_output() {
            lines.push(bench.line(output));
        }
        bench.swarm.check_invariants();
        (bench, lines)
    }
}

#[test]
fn a_link_is_told_that_nothing_is_here_and_asked_once_it_claims_to_have_it() {
    let mut hunt = Hunt::new();
    assert_eq!(hunt.up(1), ["first peer 1", "peer 1: have none"]);
    assert_eq!(hunt.describe(1, None), [""; 0], "a seeker, too");
    let refused = hunt.events(1, vec![LinkEvent::Metadata(MetadataEvent::Asked(3))]);
    assert_eq!(refused, ["peer 1: metadata Refuse(3)"]);
    assert_eq!(hunt.up(2), ["peer 2: have none"]);
    assert_eq!(hunt.describe(2, Some(LEN)), [ask(2)]);
    assert_eq!(hunt.describe(1, Some(LEN)), [""; 0], "one is asked for all of it");
    let is_holder = hunt.seeker.links().iter().map(|link| link.is_holder).collect::<Vec<_>>();
    assert_eq!(is_holder, [true, true]);
    assert_eq!(hunt.give(2, &[1], true), [""; 0]);
    assert_eq!(hunt.give(2, &[0], true), ["check 2 pieces"]);
    assert_eq!(hunt.hash(), ["found"]);
}

#[test]
fn what_a_link_that_ends_owes_is_asked_of_others() {
    let mut hunt = Hunt::new();
    hunt.holder(1);
    hunt.holder(2);
    hunt.give(1, &[0], true);
    let link = hunt.links[&1];
    let lines = hunt.note(Input::LinkDown { link, reason: lost() });
    assert_eq!(lines, ["peer 2: metadata Ask([1])"]);
    assert_eq!(hunt.give(2, &[1], true), ["check 2 pieces"]);
}

#[test]
fn a_liar_is_banned_and_its_link_closed() {
    let mut hunt = Hunt::new();
    hunt.holder(1);
    hunt.holder(2);
    hunt.give(1, &[0, 1], false);
    let end = closed(1, "it sent corrupt data");
    assert_eq!(hunt.hash(), ["banned 1".into(), end, ask(2)]);
    assert_eq!(hunt.seeker.admit(address(1), hunt.now), Err(Refusal::Banned));
    assert_eq!(hunt.learn(Source::User, 1..2), [""; 0]);
}

/// One that lies and leaves before that is known would lie again when it comes back.
#[test]
fn a_liar_that_has_left_is_banned_all_the_same() {
    let mut hunt = Hunt::new();
    hunt.holder(1);
    hunt.give(1, &[0, 1], false);
    hunt.note(Input::LinkDown { link: hunt.links[&1], reason: lost() });
    assert_eq!(hunt.hash(), ["banned 1"]);
    assert_eq!(hunt.seeker.admit(address(1), hunt.now), Err(Refusal::Banned));
}

#[test]
fn who_keeps_sending_what_nobody_asked_for_is_closed() {
    let mut hunt = Hunt::new();
    (1..4).for_each(|host| drop(hunt.up(host)));
    let strays = |count| (0..count).map(|_| LinkEvent::Stray(9)).collect();
    assert_eq!(hunt.events(1, strays(50)), [""; 0]);
    assert_eq!(hunt.events(1, strays(1)), [closed(1, "it kept sending what nobody asked for")]);
    hunt.describe(2, None);
    let why = "it kept sending metadata that nobody asked for";
    assert_eq!(hunt.give(2, &[0; 50], true), [""; 0]);
    assert_eq!(hunt.give(2, &[0], true), [closed(2, why)]);
    assert_eq!(hunt.give(2, &[0], true), [""; 0]);
    // Nobody is banned for it, and the third one is still there.
    assert!(hunt.seeker.admit(address(1), hunt.now).is_ok());
    assert_eq!(hunt.describe(3, Some(LEN)), [ask(3)]);
}

#[test]
fn of_two_links_to_the_same_peer_one_stays() {
    let mut hunt = Hunt::new();
    assert_eq!(hunt.learn(Source::Tracker, 1..2), ["dial 1 as 0"]);
    hunt.dialled(0, 1, 50);
    hunt.describe(1, Some(LEN));
    let why = "already connected to this peer";
    // It has the lower id, so that both keep what we dialled.
    assert_eq!(hunt.up_as(2, 50), [closed(2, why)]);
    assert_eq!(hunt.learn(Source::Tracker, 3..4), ["dial 3 as 2"]);
    hunt.dialled(2, 3, 200);
    assert_eq!(hunt.up_as(4, 200), [closed(3, why), "peer 4: have none".into()]);
    assert_eq!(hunt.up_as(5, OURS), [closed(5, "it is ourselves")]);
}

#[test]
fn a_pause_ends_all_links_and_nobody_is_met_until_it_ends() {
    let mut hunt = Hunt::new();
    hunt.learn(Source::Tracker, 1..3);
    hunt.dialled(0, 1, 1);
    hunt.describe(1, Some(LEN));
    assert_eq!(hunt.note(Input::Pause(true)), [closed(1, "we stopped")]);
    assert_eq!(hunt.dialled(1, 2, 2), [closed(2, "we stopped")], "it was on its way");
    assert_eq!(hunt.seeker.admit(address(3), hunt.now), Err(Refusal::Paused));
    assert_eq!(hunt.learn(Source::Tracker, 5..6), [""; 0]);
    assert_eq!(hunt.wait(600), [""; 0]);
    let mut lines = hunt.note(Input::Pause(false));
    lines.iter_mut().for_each(|line| line.truncate("dial 1".len()));
    lines.sort();
    assert_eq!(lines, ["dial 1", "dial 2", "dial 5"]);
}

#[test]
fn places_are_kept_to_and_holders_keep_theirs() {
    let mut hunt = Hunt::with(|config| config.max_peers = 2);
    hunt.note(Input::Room(Room { links: 1, ..Room::UNBOUNDED }));
    assert_eq!(hunt.learn(Source::Tracker, 1..4).len(), 1);
    assert_eq!(hunt.seeker.wanted_links(hunt.now), 1, "one more is its own limit");
    assert_eq!(hunt.seeker.admit(address(9), hunt.now), Err(Refusal::NoPlace));
    assert_eq!(hunt.note(Input::Room(Room::UNBOUNDED)).len(), 1);
    assert_eq!(hunt.seeker.admit(address(9), hunt.now), Err(Refusal::Full));
    let mut hunt = Hunt::with(|config| config.max_peers = 2);
    hunt.holder(1);
    hunt.up(2);
    hunt.wait(61);
    assert!(hunt.seeker.admit(address(3), hunt.now).is_ok());
    assert_eq!(hunt.said(), [closed(2, "its place went to another peer")]);
    assert!(hunt.seeker.links().iter().all(|link| link.address == address(1)));
    assert_eq!(hunt.seeker.admit(address(4), hunt.now), Err(Refusal::Full));
}

#[test]
fn peers_are_told_of_each_other() {
    let mut hunt = Hunt::new();
    (1..3).for_each(|host| drop(hunt.holder(host)));
    let told: Vec<String> =
        hunt.wait(16).into_iter().filter(|line| line.contains(": peers ")).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("peer 1") && line.contains("100.2:6881")));
    assert_eq!(hunt.tell_peers(1, 5..7).len(), 2, "two dials");
    // Told while there is no room, and one of them left again: that one comes last.
    hunt.note(Input::Room(Room { links: 0, ..Room::UNBOUNDED }));
    assert_eq!(hunt.tell_peers(1, 10..20), [""; 0]);
    let dropped = (10..19).map(address).collect();
    hunt.events(1, vec![LinkEvent::Peers(Pex { added: Vec::new(), dropped })]);
    let dialled = hunt.note(Input::Room(Room { links: 1, ..Room::UNBOUNDED }));
    assert_eq!(dialled, ["dial 19 as 4"]);
    let mut hunt = Hunt::with(|config| config.exchanges_peers = false);
    (1..3).for_each(|host| drop(hunt.holder(host)));
    assert!(hunt.wait(100).iter().all(|line| !line.contains(": peers ")));
    assert_eq!(hunt.tell_peers(1, 5..7), [""; 0]);
}

#[test]
fn whom_the_users_list_has_is_not_asked() {
    let mut hunt = Hunt::new();
    hunt.learn(Source::Tracker, 1..3);
    hunt.dialled(0, 1, 1);
    let lines = hunt.note(Input::Blocked(vec![LinkId(0), LinkId(1)]));
    assert!(lines.contains(&closed(1, "it is on the blocklist")), "{lines:?}");
    assert!(hunt.seeker.links().is_empty() && hunt.seeker.reach() == (0, 0));
    assert_eq!(hunt.wait(600), [""; 0]);
}

/// The links of a company are told what is here, as links that have just come up are, and what
/// was on its way comes up as if nothing had happened.
#[test]
fn links_addresses_and_bans_are_handed_over() {
    let mut hunt = Hunt::with(|config| config.max_peers = 5);
    hunt.holder(4);
    hunt.give(4, &[0, 1], false);
    hunt.hash();
    hunt.holder(1);
    hunt.note(Input::Room(Room { links: 2, ..Room::UNBOUNDED }));
    assert_eq!(hunt.learn(Source::Tracker, 2..3), ["dial 2 as 2"]);
    assert_eq!(hunt.learn(Source::Tracker, 3..5), ["dial 3 as 3"]);
    hunt.dialled(3, 3, 3);
    hunt.links.insert(2, LinkId(2));
    hunt.give(1, &[0, 1], true);
    assert_eq!(hunt.hash(), ["found"]);
    let (mut bench, lines) = hunt.hand_over(false);
    assert_eq!(lines, ["peer 1: have none", "peer 3: have none"]);
    let (link, caps) = (LinkId(2), caps(true));
    let up = bench.handle(Input::LinkUp { link, peer_id: peer_id(2), caps });
    assert_eq!(up, ["peer 2: have none"]);
    // Banned, and no number is given twice.
    assert_eq!(bench.swarm.admit(address(4), bench.now), Err(Refusal::Banned));
    bench.handle(Input::Room(Room::UNBOUNDED));
    assert_eq!(bench.learn(Source::Tracker, 4..6), ["dial 5 as 4"]);
    // What the links kept comes now, and the pieces are asked for in the same turn.
    let told = vec![LinkEvent::Availability(Availability::All), LinkEvent::Unchoked];
    let lines = bench.events(1, told);
    assert_eq!(lines[0], "peer 1: interested");
    assert!(lines[1].starts_with("peer 1: request 0.0"), "{lines:?}");
    // Metadata that comes late is no fault.
    let late = MetadataEvent::Piece { piece: 0, bytes: part(0, true) };
    assert_eq!(bench.event(1, LinkEvent::Metadata(late)), [""; 0]);
}

/// BEP 27: once the torrent proves to be private, whom only other peers named is left, be it still
/// on its way up, and nothing is said of others any more.
#[test]
fn of_a_private_torrent_only_peers_that_were_named_properly_are_handed_over() {
    let mut hunt = Hunt::new();
    hunt.holder(1);
    hunt.learn(Source::Tracker, 2..3);
    hunt.dialled(1, 2, 2);
    hunt.describe(2, None);
    assert_eq!(hunt.tell_peers(2, 3..7).len(), 4);
    // Which of them is dialled first is chance. One is named by the tracker, too.
    hunt.note(Input::LinkUp { link: LinkId(2), peer_id: peer_id(3), caps: caps(true) });
    hunt.note(Input::LinkUp { link: LinkId(3), peer_id: peer_id(4), caps: caps(true) });
    let is_at = |seeker: &Seeker, address| seeker.links().iter().any(|it| it.address == address);
    let named: Vec<u8> = (3..7).filter(|host| is_at(&hunt.seeker, address(*host))).collect();
    assert_eq!(named.len(), 2, "two are up and two on their way");
    hunt.learn(Source::Tracker, named[0]..named[0] + 1);
    hunt.give(1, &[0, 1], true);
    hunt.hash();
    let (mut bench, lines) = hunt.hand_over(true);
    let why = "close, the torrent is private, and no tracker named it";
    assert_eq!(lines.iter().filter(|line| line.ends_with(why)).count(), 3, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with("stop exchange")).count(), 3);
    assert_eq!(lines.iter().filter(|line| line.ends_with("have none")).count(), 3);
    let snapshot = bench.swarm.snapshot(bench.now);
    assert_eq!((snapshot.known, bench.swarm.links(bench.now).len()), (3, 3));
    // Those on their way up are over, too.
    for link in [4, 5] {
        let up = Input::LinkUp { link: LinkId(link), peer_id: peer_id(60), caps: caps(true) };
        let lines = bench.handle(up);
        assert!(lines.len() == 1 && lines[0].ends_with("close, we stopped"), "{lines:?}");
    }
    assert!(bench.wait(100.0).iter().all(|line| !line.contains(": peers ")));
    // One that came in is not dialled back when its link ends.
    assert_eq!(bench.down(1), [""; 0]);
    assert_eq!(bench.wait(600.0), [""; 0]);
}
