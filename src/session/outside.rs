//! How a session is reached from outside: a router is asked to open its ports, and the DHT is told
//! what comes of it. Torrents and links look at the ports themselves. Whom to ask and how is
//! `net::portmap`'s.

use std::net::IpAddr;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dht::task::Dht;
use crate::net::egress::{Egress, Purpose};
use crate::net::portmap::{OwnPorts, PortMap, PortMapConfig};

/// The way in, which may be nobody's to open.
#[derive(Debug)]
pub(super) struct Outside {
    portmap: Option<PortMap>,
    /// It ends with this.
    telling: JoinSet<()>,
}

impl Outside {
    /// Has the ports opened, where that is wanted and of any use; and our ports as they are
    /// outside. Must run inside the runtime.
    pub(super) fn start(
        is_on: bool,
        egress: &Egress,
        tcp: u16,
        udp: watch::Receiver<u16>,
    ) -> (Self, OwnPorts) {
        let is_of_use = tcp > 0 && may_be_reached(egress);
        let (portmap, ports) = if is_on && is_of_use {
            let (portmap, ports) =
                PortMap::start(PortMapConfig { egress: egress.clone(), tcp, udp });
            (Some(portmap), ports)
        } else {
            (None, OwnPorts::following(tcp, udp).0)
        };
        (Self { portmap, telling: JoinSet::new() }, ports)
    }

    /// Tells the DHT where it is found, as often as that changes.
    pub(super) fn tell(&mut self, dht: Option<&Dht>, ports: &OwnPorts) {
        let Some(dht) = dht.filter(|_| self.portmap.is_some()).cloned() else { return };
        let mut ports = ports.clone();
        self.telling.spawn(async move {
            loop {
                ports.changed().await;
                dht.mapped(ports.outside()).await;
            }
        });
    }

    /// Who opens the ports.
    pub(super) fn portmap(&self) -> Option<&PortMap> {
        self.portmap.as_ref()
    }
}

/// Could anybody come through a router? Not to this machine alone, and not past a proxy.
fn may_be_reached(egress: &Egress) -> bool {
    let is_here = egress.policy().bind.is_some_and(|bind| IpAddr::is_loopback(&bind));
    !is_here && egress.off(Purpose::PortMap).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::egress::Policy;

    #[tokio::test]
    async fn no_router_is_asked_without_need() {
        let asks = |is_on, egress: &Egress, tcp| {
            Outside::start(is_on, egress, tcp, watch::channel(1).1).0.portmap().is_some()
        };
        // Tests run anywhere: only here nobody is asked whatever happens.
        let away = Policy { device: Some("tun77".to_owned()), ..Policy::default() };
        let away = Egress::new(away);
        assert!(asks(true, &away, 6881), "it would ask as soon as the device is there");
        assert!(!asks(false, &away, 6881) && !asks(true, &away, 0));
        let loopback = Egress::from_address("127.0.0.1".parse().ok());
        let proxy = "socks5://192.0.2.1:1080".parse().ok();
        let proxied = Egress::new(Policy { proxy, ..Policy::default() });
        assert!(!asks(true, &loopback, 6881) && !asks(true, &proxied, 6881));
    }

    /// As when a device comes late, and somebody has the port there.
    #[tokio::test]
    async fn the_port_of_datagrams_is_that_of_now() {
        let udp = watch::Sender::new(6881);
        let loopback = Egress::from_address("127.0.0.1".parse().ok());
        let (_outside, ports) = Outside::start(true, &loopback, 6881, udp.subscribe());
        udp.send_replace(50_000);
        assert_eq!(ports.datagrams_towards("93.184.216.34".parse().unwrap()), 50_000);
    }
}
