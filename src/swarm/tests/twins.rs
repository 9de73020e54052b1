//! Two brains that dial each other at the same moment: whatever comes first, one link is left,
//! and both mean the same one.

use super::*;

/// The connections, by who dialled.
const DIALLED_BY: [usize; 2] = [0, 1];

struct Twins {
    sides: [Bench; 2],
    /// By side and connection: the link, and whether it is up there.
    ends: [[(LinkId, bool); 2]; 2],
    /// Connections that one side closed.
    closed: [bool; 2],
}

impl Twins {
    fn new() -> Self {
        let mut sides =
            [1, 2].map(|host| Bench::with(4, 4, |config| config.peer_id = peer_id(host)));
        let mut ends = [[(LinkId(0), false); 2]; 2];
        for connection in DIALLED_BY {
            let (near, far) = (connection, 1 - connection);
            let host = far as u8 + 1;
            assert_eq!(sides[near].learn(Source::Tracker, host..host + 1).len(), 1);
            let from = SocketAddr::new(address(near as u8 + 1).ip(), 40_000);
            let now = sides[far].now;
            ends[far][connection].0 = sides[far].swarm.admit(from, now).unwrap();
        }
        // The dial came first on one side, and second on the other.
        ends[0][0].0 = LinkId(0);
        ends[1][1].0 = LinkId(1);
        Self { sides, ends, closed: [false; 2] }
    }

    /// The handshake on this connection is over at this side.
    fn up(&mut self, side: usize, connection: usize) {
        let (link, is_up) = &mut self.ends[side][connection];
        *is_up = true;
        let (link, peer_id) = (*link, peer_id(2 - side as u8));
        self.handle(side, Input::LinkUp { link, peer_id, caps: caps(true) });
        self.end_closed();
    }

    fn handle(&mut self, side: usize, input: Input) {
        let bench = &mut self.sides[side];
        bench.swarm.handle(input, bench.now);
        while let Some(output) = bench.swarm.poll_output() {
            let Output::Send { link, command: LinkCommand::Close(_) } = output else { continue };
            let connection = self.ends[side].iter().position(|end| end.0 == link).unwrap();
            self.closed[connection] = true;
            self.ends[side][connection].1 = false;
        }
    }

    /// Whoever is up on a closed connection is told of its end.
    fn end_closed(&mut self) {
        for connection in DIALLED_BY {
            for side in [0, 1] {
                if self.closed[connection] && self.ends[side][connection].1 {
                    self.ends[side][connection].1 = false;
                    let link = self.ends[side][connection].0;
                    self.handle(side, Input::LinkDown { link, reason: lost() });
                }
            }
        }
    }
}

#[test]
fn in_every_order_the_same_one_of_two_links_stays() {
    let mut orders = vec![vec![]];
    for _ in 0..4 {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let rest = (0..4).filter(|step| !order.contains(step)).collect::<Vec<_>>();
                rest.into_iter().map(move |step| [order.clone(), vec![step]].concat())
            })
            .collect();
    }
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut twins = Twins::new();
        for step in &order {
            twins.up(step / 2, step % 2);
        }
        // What the peer with the higher id dialled stays.
        assert_eq!(twins.closed, [true, false], "{order:?}");
        for side in &twins.sides {
            assert_eq!(side.swarm.snapshot(side.now).connected, 1, "{order:?}");
        }
    }
}
