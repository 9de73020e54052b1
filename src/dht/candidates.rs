//! The nodes that one lookup knows, nearest to its target first: who named them and what came of
//! asking them. Not here: whom to ask next, and when enough was asked.

use std::net::SocketAddr;
use std::time::Duration;

use super::compact::NodeInfo;
use super::contacts::Start;
use super::id::{Distance, NodeId};
use super::nets::{Net, is_exempt};

/// Nodes that one lookup knows at most.
pub const CANDIDATES_MAX: usize = 200;
/// Dead nodes that one may name before those that only such ones named come last.
const DEAD_MAX: u8 = 3;
/// Sources that are told apart for one node: more would not change whom we ask.
const SOURCES_MAX: usize = 3;
/// Nodes of one provider whose ids were made for the target. More of them would fill the list and
/// leave no room for those farther out that nobody made.
const FORGED_MAX: usize = 4;
/// Ports of servers that would be flooded if we believed a single source: DNS and NTP.
const SERVER_PORTS: [u16; 2] = [53, 123];

/// Names one candidate for as long as its lookup lasts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CandidateIndex(u8);

/// How far it is with one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not asked.
    Known,
    /// Not asked, since its host was asked too much lately.
    Held,
    /// Asked.
    Asked,
    /// Asked, and slower than nine of ten.
    Stalled,
    /// Answered.
    Answered,
    /// No answer, an error, or the answer of another node.
    Failed,
}

/// What we gave one to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// Nothing.
    Nothing,
    /// Nothing, since its host was asked too much lately.
    Held,
    /// It was sent.
    Sent,
    /// It was sent, and takes long.
    Stalled,
    /// It was taken.
    Taken,
    /// It was refused, or no answer came.
    Refused,
}

/// A node that another one names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// Who and where.
    pub node: NodeInfo,
    /// Whether it did not answer us lately.
    pub is_absent: bool,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who and where.
    pub node: NodeInfo,
    /// Its latest round trip, if any is known.
    pub round_trip: Option<Duration>,
    /// How far it is with it.
    pub state: State,
    /// What it answered to be shown when it is given something to keep.
    pub token: Option<Box<[u8]>>,
    /// What it was given.
    pub stored: Stored,
    /// The transaction id under which it was asked.
    pub tid: [u8; 4],
    /// Whether it was asked once more.
    pub is_repeated: bool,
    /// Whether it was known before the lookup.
    is_start: bool,
    /// Whether it did not answer lately: it is asked last.
    is_absent: bool,
    sources: [u8; SOURCES_MAX],
    source_count: u8,
    /// Of those that it named: how many are dead or alive.
    named_dead: u8,
    named_alive: u8,
}

impl Candidate {
    /// How many named it, as far as they are told apart.
    pub fn score(&self) -> u8 {
        self.source_count + u8::from(self.is_start) * SOURCES_MAX as u8
    }

    fn sources(&self) -> impl Iterator<Item = CandidateIndex> + use<> {
        self.sources.into_iter().take(self.source_count.into()).map(CandidateIndex)
    }
}

/// All that a lookup knows.
#[derive(Debug)]
pub struct Candidates {
    target: NodeId,
    nodes: Vec<Candidate>,
    /// Indices of `nodes`, the nearest first.
    order: Vec<u8>,
    /// Bits that an id has in common with the target by chance, at most.
    natural: usize,
}

impl Candidates {
    /// None yet.
    pub fn new(target: NodeId) -> Self {
        Self { target, nodes: Vec::new(), order: Vec::new(), natural: usize::MAX }
    }

    /// Whoever has more than so many bits in common with the target has an id that was made for it.
    pub fn set_natural(&mut self, bits: usize) {
        self.natural = bits;
    }

    /// Whether an id was made for the target.
    pub fn is_forged(&self, id: &NodeId) -> bool {
        id.common_bits(&self.target) > self.natural
    }

    /// A node that is known from before.
    pub fn start(&mut self, start: Start) {
        if let Some(index) = self.insert(start.node) {
            let node = self.at_mut(index);
            node.is_start = true;
            node.is_absent |= start.is_absent;
            node.round_trip = node.round_trip.or(start.round_trip);
        }
    }

    /// A node that `source` named. One that breaks a rule is left out: a second one of the same
    /// address or site, or one farther than all when there is no room.
    pub fn named(&mut self, named: Named, source: CandidateIndex) {
        let Some(index) = self.insert(named.node) else { return };
        let is_absent = named.is_absent;
        let named = self.at_mut(index);
        named.is_absent |= is_absent;
        let count = usize::from(named.source_count);
        if index != source && count < SOURCES_MAX && !named.sources[..count].contains(&source.0) {
            named.sources[count] = source.0;
            named.source_count += 1;
        }
    }

    /// A node answered that nobody had named.
    pub fn adopt(&mut self, node: NodeInfo) -> Option<CandidateIndex> {
        let index = self.insert(node)?;
        self.at_mut(index).is_start = true;
        Some(index)
    }

    /// The one with an index.
    pub fn at(&self, index: CandidateIndex) -> &Candidate {
        &self.nodes[usize::from(index.0)]
    }

    /// The one with an index, to change all but its state.
    pub fn at_mut(&mut self, index: CandidateIndex) -> &mut Candidate {
        &mut self.nodes[usize::from(index.0)]
    }

    /// All of them, nearest first.
    pub fn iter(&self) -> impl Iterator<Item = (CandidateIndex, &Candidate)> + '_ {
        self.order.iter().map(|at| (CandidateIndex(*at), &self.nodes[usize::from(*at)]))
    }

    /// Notes how it went with one, which tells of those that named it.
    pub fn set_state(&mut self, index: CandidateIndex, state: State) {
        let verdict = |state| match state {
            State::Answered => (0, 1),
            State::Stalled | State::Failed => (1, 0),
            State::Known | State::Held | State::Asked => (0, 0),
        };
        let candidate = self.at_mut(index);
        let (before, after) = (verdict(candidate.state), verdict(state));
        candidate.state = state;
        for source in candidate.sources() {
            let source = self.at_mut(source);
            source.named_dead = (source.named_dead + after.0).saturating_sub(before.0);
            source.named_alive = (source.named_alive + after.1).saturating_sub(before.1);
        }
    }

    /// Whether a node is asked last: it did not answer lately, or all that is known of it comes
    /// from such as named only dead ones, three and more.
    pub fn is_suspect(&self, candidate: &Candidate) -> bool {
        let is_liar = |source: CandidateIndex| {
            let source = self.at(source);
            source.named_dead >= DEAD_MAX && source.named_alive == 0
        };
        let port = candidate.node.address.port();
        let is_server = SERVER_PORTS.contains(&port) && candidate.score() < 2;
        is_server
            || candidate.is_absent
            || (!candidate.is_start && candidate.sources().all(is_liar))
    }

    /// How many first bits a node has in common with the target.
    pub fn level(&self, candidate: &Candidate) -> usize {
        candidate.node.id.common_bits(&self.target)
    }

    /// What is looked for.
    pub fn target(&self) -> NodeId {
        self.target
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    fn insert(&mut self, node: NodeInfo) -> Option<CandidateIndex> {
        let distance = |at: &u8| self.nodes[usize::from(*at)].node.id.distance(&self.target);
        let wanted: Distance = node.id.distance(&self.target);
        let place = match self.order.binary_search_by_key(&wanted, distance) {
            // Whoever was named first keeps the id: the other may be a thief of it.
            Ok(place) => {
                let index = CandidateIndex(self.order[place]);
                return (self.at(index).node.address == node.address).then_some(index);
            }
            Err(place) => place,
        };
        let is_limited = !is_exempt(node.address.ip());
        if is_limited && (self.has_site(node.address) || self.is_one_too_many(&node)) {
            return None;
        }
        let candidate = Candidate {
            node,
            round_trip: None,
            state: State::Known,
            token: None,
            stored: Stored::Nothing,
            tid: [0; 4],
            is_repeated: false,
            is_start: false,
            is_absent: false,
            sources: [0; SOURCES_MAX],
            source_count: 0,
            named_dead: 0,
            named_alive: 0,
        };
        let (index, place) = if self.nodes.len() < CANDIDATES_MAX {
            self.nodes.push(candidate);
            (CandidateIndex(self.nodes.len() as u8 - 1), place)
        } else {
            let index = self.give_up_farther(place)?;
            *self.at_mut(index) = candidate;
            (index, place)
        };
        self.order.insert(place, index.0);
        Some(index)
    }

    /// Takes out the farthest that was not asked, if it is behind `place`: it named nobody.
    fn give_up_farther(&mut self, place: usize) -> Option<CandidateIndex> {
        let mut behind = self.order.iter().enumerate().skip(place).rev();
        let (at, index) =
            behind.find(|(_, at)| self.nodes[usize::from(**at)].state == State::Known)?;
        let index = CandidateIndex(*index);
        self.order.remove(at);
        Some(index)
    }

    /// Whether a live one has the same site: one address, one /24 or /64, one candidate. Those
    /// that failed leave their place to others, or who names wrong ids there would keep it.
    fn has_site(&self, address: SocketAddr) -> bool {
        let site = Net::site(address.ip());
        let lives = self.nodes.iter().filter(|known| known.state != State::Failed);
        { lives }.any(|known| Net::site(known.node.address.ip()) == site)
    }

    /// Whether its id was made for the target, and its provider has enough of these.
    fn is_one_too_many(&self, node: &NodeInfo) -> bool {
        let provider = |node: &NodeInfo| Net::provider(node.address.ip());
        let is_same = |known: &&Candidate| {
            self.is_forged(&known.node.id) && provider(&known.node) == provider(node)
        };
        self.is_forged(&node.id) && self.nodes.iter().filter(is_same).count() >= FORGED_MAX
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A node whose distance to the zero id is `far`; 256 sites are as many providers'.
    pub fn node(far: u16, site: u16) -> NodeInfo {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&far.to_be_bytes());
        let [high, low] = site.to_be_bytes();
        NodeInfo { id: NodeId(id), address: SocketAddr::from(([5, low, high, 1], 6881)) }
    }

    pub fn live(node: NodeInfo) -> Named {
        Named { node, is_absent: false }
    }

    fn nearest_first(candidates: &Candidates) -> Vec<u16> {
        let far = |candidate: &Candidate| {
            u16::from_be_bytes([candidate.node.id.0[0], candidate.node.id.0[1]])
        };
        candidates.iter().map(|(_, candidate)| far(candidate)).collect()
    }

    fn begun(with: &[u16]) -> (Candidates, Vec<CandidateIndex>) {
        let mut candidates = Candidates::new(NodeId::default());
        let indices = with.iter().map(|far| candidates.adopt(node(*far, *far)).unwrap()).collect();
        (candidates, indices)
    }

    #[test]
    fn the_nearest_come_first_each_once() {
        let (mut candidates, indices) = begun(&[30, 10, 20]);
        for far in [25, 5, 10, 25] {
            candidates.named(live(node(far, far)), indices[0]);
        }
        assert_eq!(nearest_first(&candidates), [5, 10, 20, 25, 30]);
    }

    #[test]
    fn one_for_each_site_unless_that_is_this_machine() {
        let (mut candidates, indices) = begun(&[30]);
        candidates.named(live(node(1, 7)), indices[0]);
        let mut neighbour = node(2, 7);
        neighbour.address.set_ip([5, 7, 0, 99].into());
        candidates.named(live(neighbour), indices[0]);
        assert_eq!(nearest_first(&candidates), [1, 30]);
        // It is a dead name for a live node: its place is free for the right one.
        let first = candidates.iter().next().unwrap().0;
        candidates.set_state(first, State::Failed);
        candidates.named(live(neighbour), indices[0]);
        assert_eq!(nearest_first(&candidates), [1, 2, 30]);
        for far in [40, 41] {
            let address = SocketAddr::from(([127, 0, 0, 1], 1_000 + far));
            candidates.named(live(NodeInfo { address, ..node(far, 0) }), indices[0]);
        }
        assert_eq!(nearest_first(&candidates), [1, 2, 30, 40, 41]);
    }

    #[test]
    fn a_provider_has_four_that_were_made_for_the_target() {
        let (mut candidates, indices) = begun(&[0x8000]);
        candidates.set_natural(8);
        // 16 first bits: the first eight are nearer than by chance.
        for far in 1..=20 {
            let mut named = node(far, far);
            named.address.set_ip([5, 7, far as u8, 1].into());
            candidates.named(live(named), indices[0]);
        }
        assert_eq!(nearest_first(&candidates), [1, 2, 3, 4, 0x8000]);
        candidates.named(live(node(30, 30)), indices[0]);
        for far in 0x4001..=0x4006 {
            let mut named = node(far, far);
            named.address.set_ip([5, 7, 100 + (far & 15) as u8, 1].into());
            candidates.named(live(named), indices[0]);
        }
        assert_eq!(candidates.count(), 5 + 1 + 6, "others of another, and those by chance");
    }

    #[test]
    fn an_id_stays_with_the_address_that_had_it_first() {
        let (mut candidates, indices) = begun(&[30, 31]);
        candidates.named(live(node(1, 7)), indices[0]);
        candidates.named(live(node(1, 8)), indices[1]);
        let (_, first) = candidates.iter().next().unwrap();
        assert_eq!((first.node, first.score()), (node(1, 7), 1));
        candidates.named(live(node(1, 7)), indices[1]);
        candidates.named(live(node(1, 7)), indices[1]);
        assert_eq!(candidates.iter().next().unwrap().1.score(), 2);
    }

    #[test]
    fn the_farthest_not_asked_makes_room() {
        let (mut candidates, indices) = begun(&[1]);
        for far in 100..299 {
            candidates.named(live(node(far, far)), indices[0]);
        }
        let farthest = candidates.iter().last().unwrap().0;
        candidates.set_state(farthest, State::Asked);
        candidates.named(live(node(50, 50)), indices[0]);
        candidates.named(live(node(400, 400)), indices[0]);
        let all = nearest_first(&candidates);
        assert_eq!((all.len(), all[1]), (CANDIDATES_MAX, 50));
        assert_eq!(all[CANDIDATES_MAX - 2..], [296, 298], "297 went, 298 was asked");
    }

    #[test]
    fn who_names_only_dead_ones_is_believed_last() {
        let (mut candidates, indices) = begun(&[30, 31]);
        for far in 1..=4 {
            candidates.named(live(node(far, far)), indices[0]);
        }
        candidates.named(live(node(4, 4)), indices[1]);
        candidates.named(live(node(5, 5)), indices[0]);
        let named: Vec<CandidateIndex> =
            candidates.iter().map(|(index, _)| index).take(5).collect();
        for index in &named[..2] {
            candidates.set_state(*index, State::Stalled);
            candidates.set_state(*index, State::Failed);
        }
        let suspect = |candidates: &Candidates, index| candidates.is_suspect(candidates.at(index));
        assert!(!suspect(&candidates, named[4]), "two dead ones may be chance");
        candidates.set_state(named[2], State::Stalled);
        assert!(suspect(&candidates, named[4]));
        assert!(!suspect(&candidates, named[3]), "another one named it, too");
        assert!(!suspect(&candidates, indices[0]));
        // It was only slow.
        candidates.set_state(named[2], State::Answered);
        assert!(!suspect(&candidates, named[4]));
        // Half of all are dead: who names a live one among three dead ones is no liar.
        candidates.set_state(named[3], State::Failed);
        assert!(!suspect(&candidates, named[4]));
    }

    #[test]
    fn ports_of_servers_need_two_sources() {
        let (mut candidates, indices) = begun(&[30, 31]);
        let mut server = node(1, 1);
        server.address.set_port(53);
        candidates.named(live(server), indices[0]);
        let first = candidates.iter().next().unwrap().0;
        assert!(candidates.is_suspect(candidates.at(first)));
        candidates.named(live(server), indices[1]);
        assert!(!candidates.is_suspect(candidates.at(first)));
    }
}
