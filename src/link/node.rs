//! What two peers tell each other of their DHT nodes (BEP 5): a bit in the handshake, and a message
//! with the node's port. Neither is believed; the DHT asks the node itself.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::net::portmap::OwnPorts;

/// Ports that one remote may name; Transmission and libtorrent tell theirs at the handshake, and
/// libtorrent again in reply to ours.
const HEARD_MAX: u8 = 4;

/// The DHT as links know it.
#[derive(Clone, Debug)]
pub struct DhtEnd {
    /// Our ports, of which the one for datagrams is our node's.
    pub ports: OwnPorts,
    /// Where nodes of remotes are told. What does not fit is lost.
    pub nodes: mpsc::Sender<SocketAddr>,
}

/// What was said of nodes on one link.
#[derive(Debug)]
pub(super) struct Neighbour {
    end: DhtEnd,
    remote: SocketAddr,
    heard: u8,
    /// Our port is to be told.
    is_due: bool,
    is_told: bool,
}

impl Neighbour {
    /// On a link to `remote`; `has_node` as its handshake says, `is_home` where it listens there.
    pub(super) fn new(end: DhtEnd, remote: SocketAddr, has_node: bool, is_home: bool) -> Self {
        let neighbour = Self { end, remote, heard: 0, is_due: has_node, is_told: false };
        if has_node && is_home {
            // Its node mostly has the same port.
            neighbour.name(remote.port());
        }
        neighbour
    }

    /// The remote names the port of its node; whoever does is told ours.
    pub(super) fn on_port(&mut self, port: u16) {
        self.is_due = !self.is_told;
        if self.heard < HEARD_MAX {
            self.heard += 1;
            self.name(port);
        }
    }

    /// The port to tell now, once.
    pub(super) fn poll(&mut self) -> Option<u16> {
        let is_due = std::mem::take(&mut self.is_due);
        self.is_told |= is_due;
        is_due.then(|| self.end.ports.datagrams_towards(self.remote.ip()))
    }

    fn name(&self, port: u16) {
        if port > 1 {
            let _ = self.end.nodes.try_send(SocketAddr::new(self.remote.ip(), port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(has_node: bool, is_home: bool) -> (Neighbour, mpsc::Receiver<SocketAddr>) {
        let (nodes, named) = mpsc::channel(10);
        let remote = "192.0.2.1:51413".parse().unwrap();
        (
            Neighbour::new(
                DhtEnd { ports: OwnPorts::fixed(6880, 6881), nodes },
                remote,
                has_node,
                is_home,
            ),
            named,
        )
    }

    fn all(mut named: mpsc::Receiver<SocketAddr>) -> Vec<String> {
        std::iter::from_fn(|| named.try_recv().ok()).map(|it| it.to_string()).collect()
    }

    /// "Peers supporting the DHT set the last bit of the 8-byte reserved flags … Peer receiving
    /// this indicator should send a PORT message."
    #[test]
    fn who_has_a_node_is_told_of_ours_once_and_named() {
        let (mut neighbour, named) = meet(true, true);
        assert_eq!((neighbour.poll(), neighbour.poll()), (Some(6881), None));
        neighbour.on_port(7000);
        assert_eq!(neighbour.poll(), None, "it was told");
        assert_eq!(all(named), ["192.0.2.1:51413", "192.0.2.1:7000"]);
    }

    #[test]
    fn who_only_sends_a_port_is_answered_and_a_flood_is_not_carried_on() {
        let (mut neighbour, named) = meet(false, true);
        assert_eq!(neighbour.poll(), None);
        (0..9).for_each(|port| neighbour.on_port(port));
        assert_eq!((neighbour.poll(), neighbour.poll()), (Some(6881), None));
        assert_eq!(all(named), ["192.0.2.1:2", "192.0.2.1:3"], "0 and 1 are no ports");
        // Where a connection comes from is not where it listens.
        assert_eq!(all(meet(true, false).1), [""; 0]);
    }
}
