//! The stage before the torrent is known, in the world of many brains: what links keep until then,
//! what is said of metadata, the hand-over, and those who lie. Each step is checked: nobody is
//! asked who has not claimed to have the metadata, nobody honest is banned, and once a torrent is
//! known to be private nobody is dialled, kept or told of whom only peers have named.

use pigeon::base::digest::sha1;
use pigeon::base::layout::PieceIndex;
use pigeon::seek::Target;
use pigeon::swarm::event::Event;
use pigeon::swarm::link::{CloseReason, ExtendedCommand, MetadataCommand, MetadataEvent};
use pigeon::swarm::{SeekerConfig, SeekerOutput};
use pigeon::wire::METADATA_PIECE_LEN;

use super::super::swarms_setup::Lie;
use super::*;

/// Bytes of unproven metadata that a seeker holds at most.
const MEMORY: usize = 4 << 20;
/// How often a liar does what it does by itself, and dials whom it knows.
const LIES_EVERY: Duration = Duration::from_millis(200);
const LIAR_DIALS_EVERY: Duration = Duration::from_secs(7);

/// What a remote says of its pieces and wishes to one that does not know the torrent: what holds
/// in the end, as `link/early` keeps it.
#[derive(Default)]
pub struct Early {
    set: Option<Availability>,
    haves: Vec<PieceIndex>,
    allowed: Vec<PieceIndex>,
    is_unchoked: bool,
    is_interested: bool,
}

impl Early {
    /// Keeps what is said, if it is not for the seeker itself.
    fn note(&mut self, event: LinkEvent) -> Option<LinkEvent> {
        match event {
            LinkEvent::Described(_)
            | LinkEvent::Metadata(_)
            | LinkEvent::Peers(_)
            | LinkEvent::Stray(_) => return Some(event),
            LinkEvent::Availability(set) => (self.set, self.haves) = (Some(set), Vec::new()),
            LinkEvent::Haves(pieces) => self.haves.extend(pieces),
            LinkEvent::AllowedFast(piece) => self.allowed.push(piece),
            LinkEvent::Choked => self.is_unchoked = false,
            LinkEvent::Unchoked => self.is_unchoked = true,
            LinkEvent::Interested => self.is_interested = true,
            LinkEvent::NotInterested => self.is_interested = false,
            LinkEvent::Requested(_) => panic!("a request to one that has told of no piece"),
            _ => {}
        }
        None
    }

    fn into_events(self, told: Option<Description>) -> Vec<LinkEvent> {
        let haves = (!self.haves.is_empty()).then_some(LinkEvent::Haves(self.haves));
        let set = self.set.map(LinkEvent::Availability).into_iter().chain(haves);
        let unchoked = self.is_unchoked.then_some(LinkEvent::Unchoked);
        let interested = self.is_interested.then_some(LinkEvent::Interested);
        let states = unchoked.into_iter().chain(interested);
        let told = told.map(LinkEvent::Described);
        set.chain(self.allowed.into_iter().map(LinkEvent::AllowedFast))
            .chain(states)
            .chain(told)
            .collect()
    }
}

impl World {
    pub(super) fn seeker(&self, number: usize) -> Seeker {
        let config = SeekerConfig {
            peer_id: PeerId([number as u8; 20]),
            listen_port: 6881,
            max_peers: self.nodes[number].member.max_peers,
            exchanges_peers: self.setup.exchanges_peers,
            memory: MEMORY,
            seed: self.setup.seed * 1000 + number as u64,
        };
        Seeker::new(config, self.began + self.now)
    }

    pub(super) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    fn target(&self) -> Target {
        let hash = InfoHash(sha1(&[&self.setup.metadata]));
        Target::new(Some(hash), None).expect("a hash")
    }

    /// When the member had the metadata.
    pub fn found_at(&self, number: usize) -> Option<Duration> {
        self.nodes[number].found_at
    }

    /// How many addresses the member knows, those of its links included; none while it seeks.
    pub fn known_to(&self, number: usize) -> Option<u32> {
        let swarm = self.nodes[number].brain.as_ref()?.swarm()?;
        Some(swarm.snapshot(self.began + self.now).known)
    }

    /// Is this a brain that knows the torrent to be private?
    pub(super) fn is_private(&self, number: usize) -> bool {
        let brain = self.nodes[number].brain.as_ref();
        self.setup.is_private && brain.is_some_and(|brain| brain.swarm().is_some())
    }

    /// Hashes a copy in the time of a disk job.
    pub(super) fn hash(&mut self, number: usize, check: CheckId, pieces: &[Box<[u8]>]) {
        let verdict = self.target().check(pieces);
        let delay = self.nodes[number].member.disk;
        self.after(delay, Happening::Hashed(number, check, verdict));
    }

    pub(super) fn hashed(&mut self, number: usize, check: CheckId, verdict: Checked) {
        let now = self.began + self.now;
        let Some(Brain::Seeker(seeker)) = &mut self.nodes[number].brain else { return };
        seeker.checked(check, verdict, now);
        seeker.settle(now);
        self.settled(number);
    }

    /// The seeker has found it: the crowd goes to a brain that trades.
    pub(super) fn hand_over(&mut self, number: usize) {
        let now = self.began + self.now;
        let Some(Brain::Seeker(seeker)) = self.nodes[number].brain.take() else {
            panic!("{number} found the metadata twice")
        };
        let (company, outputs) = seeker.into_company(self.setup.is_private, now);
        let swarm = Swarm::with_company(self.swarm_config(number), company, now);
        self.nodes[number].brain = Some(Brain::Swarm(Box::new(swarm)));
        self.nodes[number].found_at = Some(self.now);
        self.reach("found");
        let mut words = BTreeMap::new();
        for output in outputs {
            self.note(number, &output);
            if let Output::Send { link, command } = output {
                if matches!(command, LinkCommand::Close(CloseReason::Private)) {
                    self.reach("left as private");
                }
                self.order(number, link, command, &mut words);
            }
        }
        words.into_iter().for_each(|((wire, end), events)| self.say(wire, end, events));
        let member = &self.nodes[number].member;
        let limit = member.knows_limit.then_some(member.up);
        self.handle(number, Input::UploadLimit(limit));
    }

    /// What of this is for a node that may be seeking; the rest is kept.
    pub(super) fn heard(
        &mut self,
        wire: usize,
        end: usize,
        events: Vec<LinkEvent>,
    ) -> Vec<LinkEvent> {
        let one = &mut self.wires[wire].ends[end];
        for event in &events {
            if let LinkEvent::Described(description) = event {
                one.heard = Some(description.clone());
            }
        }
        match &mut one.early {
            Some(early) => events.into_iter().filter_map(|event| early.note(event)).collect(),
            None => events,
        }
    }

    /// Our pieces are told, with what the link says of itself. The first time that is its
    /// introduction; else the torrent is known now, and what was kept comes behind this turn.
    fn introduce(
        &mut self,
        number: usize,
        (wire, end): (usize, usize),
        pieces: &Availability,
    ) -> Vec<LinkEvent> {
        let knows = self.nodes[number].brain.as_ref().is_some_and(|brain| brain.swarm().is_some());
        if self.is_private(number) {
            self.check_private(number, (wire, end));
        }
        let (layout, len) = (self.setup.layout, self.setup.metadata.len() as u32);
        let Wire { fast, ends, .. } = &mut self.wires[wire];
        let (fast, one) = (*fast, &mut ends[end]);
        one.told.metadata_len = knows.then_some(len);
        if knows && let Some(early) = one.early.take() {
            let events = early.into_events(one.heard.clone());
            if events.len() > 1 {
                *self.reached.entry("kept").or_default() += 1;
            }
            self.kept.push((number, one.link, events));
        }
        let told = LinkEvent::Described(one.told.clone());
        if !std::mem::replace(&mut one.is_introduced, true) {
            let mut words = spoken(&layout, PeerCommand::Availability(pieces.clone()).into(), fast);
            words.push(told);
            return words;
        }
        let has = |piece: &PieceIndex| match pieces {
            Availability::All => true,
            Availability::None => false,
            Availability::Some(bits) => bits.has(*piece),
        };
        let haves: Vec<PieceIndex> = layout.pieces().filter(has).collect();
        let haves = (!haves.is_empty()).then_some(LinkEvent::Haves(haves));
        haves.into_iter().chain([told]).collect()
    }

    /// A link says something more of itself.
    fn retell(
        &mut self,
        (wire, end): (usize, usize),
        change: impl FnOnce(&mut Description),
    ) -> Vec<LinkEvent> {
        let one = &mut self.wires[wire].ends[end];
        change(&mut one.told);
        let told = one.is_introduced.then(|| LinkEvent::Described(one.told.clone()));
        told.into_iter().collect()
    }

    /// A link of a torrent that is known to be private: we dialled only whom the user or a tracker
    /// named, and exchange no peers.
    fn check_private(&self, number: usize, (wire, end): (usize, usize)) {
        let Wire { ends, .. } = &self.wires[wire];
        assert!(!ends[end].told.takes_peers, "{number} offers to exchange peers");
        let other = ends[1 - end].node;
        let is_named = self.nodes[number].named.contains(&address(other));
        assert!(end == 1 || is_named, "{number} keeps {other}, whom only peers named");
    }

    /// What the other side makes of an order that concerns extensions; none for all others.
    pub(super) fn order_extended(
        &mut self,
        number: usize,
        at: (usize, usize),
        command: &LinkCommand,
    ) -> Option<Vec<LinkEvent>> {
        let LinkCommand::Peer(command) = command else { return None };
        Some(match command {
            PeerCommand::Availability(pieces) => self.introduce(number, at, pieces),
            PeerCommand::StopExchange => self.retell(at, |it| it.takes_peers = false),
            PeerCommand::Extended(ExtendedCommand::UploadOnly(is_so)) => {
                self.retell(at, |it| it.upload_only = Some(*is_so))
            }
            PeerCommand::Extended(ExtendedCommand::Metadata(command)) => {
                self.order_metadata(number, at, command)
            }
            PeerCommand::Extended(ExtendedCommand::TellPeers(_)) => {
                assert!(!self.is_private(number), "{number} tells of peers of a private torrent");
                let heard = self.wires[at.0].ends[at.1].heard.as_ref();
                assert!(heard.is_some_and(|it| it.takes_peers), "told to one that takes none");
                self.reach("told");
                return None;
            }
            _ => return None,
        })
    }

    fn order_metadata(
        &mut self,
        number: usize,
        (wire, end): (usize, usize),
        command: &MetadataCommand,
    ) -> Vec<LinkEvent> {
        match command {
            MetadataCommand::Ask(pieces) => {
                let heard = self.wires[wire].ends[end].heard.as_ref();
                let has_claimed =
                    heard.is_some_and(|it| it.takes_metadata && it.metadata_len > Some(0));
                assert!(has_claimed, "{number} asks one that has not claimed to have it");
                let asked = |piece: &u32| LinkEvent::Metadata(MetadataEvent::Asked(*piece));
                pieces.iter().map(asked).collect()
            }
            MetadataCommand::Refuse(piece) => {
                vec![LinkEvent::Metadata(MetadataEvent::Refused(*piece))]
            }
            MetadataCommand::Give { piece, range } => {
                let bytes = self.setup.metadata[range.clone()].into();
                self.give(number, (wire, end), *piece, bytes);
                Vec::new()
            }
        }
    }

    /// A piece of metadata takes its time on the line.
    fn give(&mut self, number: usize, (wire, end): (usize, usize), piece: u32, bytes: Box<[u8]>) {
        let node = &mut self.nodes[number];
        let took = time_of(bytes.len() as u32, node.member.up);
        node.words_free = node.words_free.max(self.now) + took;
        let at = node.words_free;
        self.at(at, Happening::Gave(wire, end, piece, bytes));
    }

    pub(super) fn gave(&mut self, wire: usize, end: usize, piece: u32, bytes: Box<[u8]>) {
        if !self.wires[wire].ends[end].is_open {
            return;
        }
        let sent = MetadataEvent::Sent(bytes.len());
        let node = self.wires[wire].ends[end].node;
        self.say(wire, end, vec![LinkEvent::Metadata(MetadataEvent::Piece { piece, bytes })]);
        match self.nodes[node].brain.as_ref().and_then(Brain::lie) {
            Some(Lie::HitAndRun) => self.break_wire(wire),
            Some(_) => {}
            None => self.hear(wire, end, vec![LinkEvent::Metadata(sent)]),
        }
    }

    /// The link is lost to both.
    pub(super) fn break_wire(&mut self, wire: usize) {
        for end in 0..2 {
            self.cut(wire, end);
        }
    }

    /// Nobody honest is banned, or closed for something that only liars do.
    pub(super) fn check_blame(&mut self, number: usize, output: &Output) {
        let guilty = match output {
            Output::Event(Event::Banned(address)) => Some(node_at(*address)),
            Output::Send {
                link,
                command: LinkCommand::Close(CloseReason::CorruptData | CloseReason::Misbehaved(_)),
            } => self.nodes[number]
                .links
                .get(link)
                .map(|(wire, end)| self.wires[*wire].ends[1 - end].node),
            _ => None,
        };
        if guilty.is_some() {
            let is_ban = matches!(output, Output::Event(_));
            self.reach(if is_ban { "banned" } else { "struck" });
        }
        let is_liar = |node: usize| {
            let member = &self.nodes[node].member;
            member.lie.is_some() || member.rider.is_some()
        };
        assert!(guilty.is_none_or(is_liar), "{number} blames {guilty:?}: {output:?}");
    }

    /// Somebody who lies is there: it says so to whoever it is connected to, and dials others.
    pub(super) fn liar_dials(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(Brain::Liar(liar)) = &mut node.brain else { return };
        let knows = node.member.knows.clone();
        let links: Vec<(usize, LinkId)> =
            knows.into_iter().map(|to| (to, liar.new_link())).collect();
        for (to, link) in links {
            let is_met = self.nodes[number]
                .links
                .values()
                .any(|(wire, end)| self.wires[*wire].ends[1 - end].node == to);
            if !is_met {
                let delay = self.latency(number, to) * 2;
                self.after(delay, Happening::Dialled { node: number, link, to });
            }
        }
        self.after(LIAR_DIALS_EVERY, Happening::LiarDials(number));
    }

    /// The first word of a liar on a link, and its deeds from then on.
    pub(super) fn lie_first(&mut self, wire: usize, end: usize, lie: Lie) {
        let len = self.setup.metadata.len() as u32;
        let claim = match lie {
            Lie::Size | Lie::Sizes => self.rng.random_range(1..2 * len),
            _ => len,
        };
        let told = &mut self.wires[wire].ends[end].told;
        (told.takes_metadata, told.metadata_len) = (true, Some(claim));
        let told = LinkEvent::Described(told.clone());
        self.say(wire, end, vec![told]);
        if matches!(lie, Lie::Sizes | Lie::Floods) {
            self.after(LIES_EVERY, Happening::Lie(wire, end));
        }
    }

    /// What a liar does by itself, again and again.
    pub(super) fn lie_again(&mut self, wire: usize, end: usize) {
        let one = &self.wires[wire].ends[end];
        let lie = self.nodes[one.node].brain.as_ref().and_then(Brain::lie);
        let Some(lie) = lie.filter(|_| one.is_open) else { return };
        if lie == Lie::Sizes {
            return self.lie_first(wire, end, lie);
        }
        let flood = (0..20).map(|piece| {
            let bytes = vec![1; METADATA_PIECE_LEN as usize].into();
            LinkEvent::Metadata(MetadataEvent::Piece { piece, bytes })
        });
        self.say(wire, end, flood.collect());
        self.after(LIES_EVERY, Happening::Lie(wire, end));
    }

    /// A liar is asked.
    pub(super) fn lie_to(&mut self, wire: usize, end: usize, lie: Lie, events: &[LinkEvent]) {
        let number = self.wires[wire].ends[end].node;
        let claim = self.wires[wire].ends[end].told.metadata_len.unwrap_or(0);
        for event in events {
            let LinkEvent::Metadata(MetadataEvent::Asked(piece)) = event else { continue };
            let begin = piece * METADATA_PIECE_LEN;
            let end_of = claim.min(begin + METADATA_PIECE_LEN).max(begin + 1);
            let mut bytes: Box<[u8]> = vec![number as u8; (end_of - begin) as usize].into();
            match lie {
                Lie::Silent | Lie::Floods => continue,
                Lie::Rejects => {
                    let no = LinkEvent::Metadata(MetadataEvent::Refused(*piece));
                    self.say(wire, end, vec![no]);
                    continue;
                }
                // All are right but the last one.
                Lie::OneWrong if end_of < claim => {
                    let right = &self.setup.metadata[begin as usize..end_of as usize];
                    bytes = right.into();
                }
                _ => {}
            }
            self.give(number, (wire, end), *piece, bytes);
        }
    }

    pub(super) fn poll(&mut self, number: usize) -> (Vec<Output>, bool) {
        let (mut outputs, mut is_found) = (Vec::new(), false);
        loop {
            let brain = self.nodes[number].brain.as_mut();
            let Some(output) = brain.and_then(Brain::poll_output) else { break };
            match output {
                SeekerOutput::Do(output) => outputs.push(output),
                SeekerOutput::Check { check, pieces } => self.hash(number, check, &pieces),
                SeekerOutput::Found => is_found = true,
            }
        }
        (outputs, is_found)
    }
}
