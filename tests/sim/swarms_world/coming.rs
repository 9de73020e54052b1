//! How nodes come and go in the world of many brains, whom they hear of, and how links begin.

use super::*;

impl World {
    pub(super) fn join(&mut self, number: usize) {
        let member = &self.nodes[number].member;
        let (limit, user) = (member.knows_limit.then_some(member.up), member.knows.clone());
        let brain = match member.lie {
            Some(lie) => Brain::Liar(Liar::new(lie)),
            None if member.seeks => Brain::Seeker(Box::new(self.seeker(number))),
            None => {
                let config = self.swarm_config(number);
                Brain::Swarm(Box::new(Swarm::new(config, self.began + self.now)))
            }
        };
        let is_complete = brain.swarm().is_some_and(Swarm::is_complete);
        let node = &mut self.nodes[number];
        node.complete_at = is_complete.then_some(self.now);
        node.brain = Some(brain);
        if node.member.lie.is_some() {
            return self.liar_dials(number);
        }
        self.handle(number, Input::UploadLimit(limit));
        if !user.is_empty() {
            self.name(number, Source::User, user);
        }
        if self.setup.has_tracker {
            self.announce(number);
        }
    }

    pub(super) fn swarm_config(&self, number: usize) -> SwarmConfig {
        let Setup { layout, metadata, .. } = &self.setup;
        let member = &self.nodes[number].member;
        SwarmConfig {
            exchanges_peers: self.setup.exchanges_peers,
            metadata: self.setup.describes.then(|| metadata.clone()),
            layout: *layout,
            extents: Extents::new([(layout.total_len(), false)]),
            info_hash: InfoHash([7; 20]),
            have: member.has.clone(),
            proven: Bitfield::none(layout.piece_count()),
            wanted: Bitfield::all(layout.piece_count()),
            share_blocks: 2048,
            max_peers: member.max_peers,
            sequential: false,
            listen_port: 6881,
            is_private: self.setup.is_private,
            peer_id: PeerId([number as u8; 20]),
            seed: self.setup.seed * 1000 + number as u64,
        }
    }

    /// Tells a brain of others.
    fn name(&mut self, number: usize, source: Source, others: Vec<usize>) {
        let addresses: Vec<SocketAddr> = others.into_iter().map(address).collect();
        self.nodes[number].named.extend(&addresses);
        self.handle(number, Input::Candidates { source, addresses });
    }

    pub(super) fn leave(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.brain = None;
        for (wire, end) in std::mem::take(&mut node.links).into_values() {
            self.cut(wire, end);
        }
    }

    /// As a tracker that is asked every half minute.
    pub(super) fn announce(&mut self, number: usize) {
        if self.nodes[number].brain.is_none() {
            return;
        }
        self.after(ANNOUNCE_EVERY, Happening::Announce(number));
        let honest = self.nodes[number].member.rider.is_none();
        for (wire, end) in self.nodes[number].links.values().filter(|_| honest) {
            self.wires[*wire].ends[*end].giving.check_waiting(self.now);
        }
        let there = |other: &usize| {
            let it = &self.nodes[*other];
            *other != number && it.brain.is_some() && it.member.is_listed
        };
        let known = if self.setup.star { 1 } else { self.nodes.len() };
        let mut others: Vec<usize> = (0..known).filter(there).collect();
        others.shuffle(&mut self.rng);
        others.truncate(TOLD);
        self.name(number, Source::Tracker, others);
    }

    pub(super) fn latency(&self, a: usize, b: usize) -> Duration {
        self.nodes[a].member.latency + self.nodes[b].member.latency
    }

    pub(super) fn dialled(&mut self, number: usize, link: LinkId, to: usize) {
        if self.nodes[number].brain.is_none() {
            return;
        }
        let port = 20_000 + (link.0 % 40_000) as u16;
        let from = SocketAddr::new(address(number).ip(), port);
        let now = self.began + self.now;
        let admitted = self.nodes[to].brain.as_mut().and_then(|brain| brain.admit(from, now));
        let Some(other) = admitted else {
            let reason = DownReason::DialFailed("refused".into());
            return self.handle(number, Input::LinkDown { link, reason });
        };
        let fast = self.nodes[number].member.fast && self.nodes[to].member.fast;
        let wire = self.wires.len();
        let mut ends = [End::new(number, link), End::new(to, other)];
        for (end, one) in ends.iter_mut().enumerate() {
            let brain = self.nodes[one.node].brain.as_ref();
            one.early = brain.is_some_and(Brain::is_seeker).then(Early::default);
            let is_stopped = self.nodes[one.node].stopped.contains(&one.link)
                || end == 1 && self.is_private(one.node);
            one.told = Description {
                takes_metadata: true,
                takes_peers: self.setup.exchanges_peers && !is_stopped,
                // Who was dialled knows the port already.
                listen_port: (end == 0).then_some(6881),
                ..Description::default()
            };
        }
        self.wires.push(Wire { fast, since: self.now, ends });
        for (end, (node, link, peer)) in
            [(number, link, to), (to, other, number)].into_iter().enumerate()
        {
            self.nodes[node].links.insert(link, (wire, end));
            if let Some(lie) = self.nodes[node].brain.as_ref().and_then(Brain::lie) {
                self.lie_first(wire, end, lie);
            }
            let caps = LinkCaps {
                unit: Unit::Block,
                chokes: true,
                pipeline_max: 500,
                can_upload_to: true,
                fast,
                extended: true,
                mse: None,
                is_way_unsure: false,
            };
            self.handle(node, Input::LinkUp { link, peer_id: PeerId([peer as u8; 20]), caps });
        }
        if self.setup.breaks > 0 && self.rng.random_range(0..100) < self.setup.breaks {
            let after = Duration::from_millis(self.rng.random_range(100..20_000));
            self.after(after, Happening::Break(wire));
        }
    }
}
