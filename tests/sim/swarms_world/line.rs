//! The line of a node in the world of many brains: what of the blocks that were ordered leaves
//! when, as fast as the line up and the takers' lines down allow.

use pigeon::swarm::link::ExtendedCommand;

use super::*;

impl World {
    /// Lets the line of the node take the next block, if it is free: links have it in turn.
    pub(super) fn pump(&mut self, number: usize) {
        if self.nodes[number].sending {
            return;
        }
        for _ in 0..self.nodes[number].turns.len() {
            let Some((wire, end)) = self.nodes[number].turns.pop_front() else { return };
            let to = self.wires[wire].ends[1 - end].node;
            let from = &mut self.wires[wire].ends[end];
            let Some(ask) = from.parcels.front().copied() else {
                from.is_queued = false;
                continue;
            };
            let to = &mut self.nodes[to];
            if to.down_free > self.now + BACKLOG {
                to.holds_back = true;
                self.nodes[number].turns.push_back((wire, end));
                continue;
            }
            from.parcels.pop_front();
            from.is_sending = true;
            self.nodes[number].sending = true;
            self.nodes[number].turns.push_back((wire, end));
            let rate = self.nodes[number].member.up;
            return self.after(time_of(ask.len, rate), Happening::Sent(wire, end, ask));
        }
    }

    /// Less is on its way to this node: those who wait for that may send.
    pub(super) fn let_on(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if !node.holds_back || node.down_free > self.now + BACKLOG {
            return;
        }
        node.holds_back = false;
        let wires: Vec<(usize, usize)> = node.links.values().copied().collect();
        for (wire, end) in wires {
            let giver = &self.wires[wire].ends[1 - end];
            if !giver.parcels.is_empty() {
                self.pump(giver.node);
            }
        }
    }

    pub(super) fn sent(&mut self, wire: usize, end: usize, ask: Ask) {
        let [from, to] = [end, 1 - end].map(|end| self.wires[wire].ends[end].node);
        let latency = self.latency(from, to);
        self.nodes[from].sending = false;
        let taker = &mut self.nodes[to];
        let begins = taker.down_free.max(self.now + latency);
        taker.down_free = begins + time_of(ask.len, taker.member.down);
        let at = taker.down_free;
        let one = &mut self.wires[wire].ends[end];
        one.is_sending = false;
        one.last_arrival = one.last_arrival.max(at);
        let at = one.last_arrival;
        one.untold += ask.len;
        let tells = one.untold >= TELL_LEN || one.parcels.is_empty();
        let told = if tells { std::mem::take(&mut one.untold) } else { 0 };
        let held = std::mem::take(&mut one.held_words);
        let block = self.setup.layout.block_at(ask.piece.number(), ask.begin, ask.len);
        let block = block.expect("brains ask for blocks");
        self.at(at, Happening::Block(wire, end, block));
        if !held.is_empty() {
            self.say(wire, end, held);
        }
        if told > 0 && self.wires[wire].ends[end].is_open {
            self.wires[wire].ends[end].giving.sent(told);
            self.hear(wire, end, vec![LinkEvent::Sent(told)]);
        }
        self.pump(from);
    }
}

/// What the other side makes of an order.
pub(super) fn spoken(layout: &Layout, command: LinkCommand, fast: bool) -> Vec<LinkEvent> {
    let ask = |block: BlockRef| Ask {
        piece: block.piece(),
        begin: block.begin(),
        len: block.len_bytes(),
    };
    match command {
        LinkCommand::Request(blocks) => {
            blocks.into_iter().map(|block| LinkEvent::Requested(ask(block))).collect()
        }
        LinkCommand::Cancel(blocks) => {
            blocks.into_iter().map(|block| LinkEvent::Cancelled(ask(block))).collect()
        }
        LinkCommand::Peer(command) => spoken_to_peer(layout, command, fast),
        LinkCommand::Fetch(_) | LinkCommand::Shorten(_) => panic!("a run is asked of a peer"),
        LinkCommand::Close(_) => Vec::new(),
    }
}

fn spoken_to_peer(layout: &Layout, command: PeerCommand, fast: bool) -> Vec<LinkEvent> {
    match command {
        // BEP 3 has no word for nothing.
        PeerCommand::Availability(Availability::None) if !fast => Vec::new(),
        PeerCommand::Availability(pieces) => vec![LinkEvent::Availability(pieces)],
        PeerCommand::Have(pieces) => vec![LinkEvent::Haves(pieces.to_vec())],
        PeerCommand::Choke => vec![LinkEvent::Choked],
        PeerCommand::Unchoke => vec![LinkEvent::Unchoked],
        PeerCommand::Interested => vec![LinkEvent::Interested],
        PeerCommand::NotInterested => vec![LinkEvent::NotInterested],
        PeerCommand::AllowFast(pieces) => pieces.into_iter().map(LinkEvent::AllowedFast).collect(),
        PeerCommand::Refuse(ask) if fast => refused(layout, &ask).into_iter().collect(),
        PeerCommand::Extended(ExtendedCommand::UploadOnly(upload_only)) => {
            let word = Description { upload_only: Some(upload_only), ..Description::default() };
            vec![LinkEvent::Described(word)]
        }
        PeerCommand::Extended(ExtendedCommand::TellPeers(peers)) => vec![LinkEvent::Peers(peers)],
        PeerCommand::Refuse(_)
        | PeerCommand::SendBlocks(_)
        | PeerCommand::StopExchange
        | PeerCommand::Extended(ExtendedCommand::Metadata(_)) => Vec::new(),
    }
}
