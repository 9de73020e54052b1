//! Links that we open.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::base::ids::LinkId;
use crate::net::egress::Purpose;
use crate::swarm::event::DownReason;

use super::bt;
use super::task::{self, Context};
use super::{LinkConfig, LinkHandle, LinkReport, Stream};

/// Connects to a peer and runs the link; never waits. `reports` gets `Up` and later `Down`,
/// or `Down` alone.
pub fn dial(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, commands) = LinkHandle::new();
    let opening = {
        let config = config.clone();
        async move {
            let (to, limit) = (address.into(), config.timeouts.connect);
            let connecting = config.egress.connect(&to, Purpose::Peer, limit);
            let stream =
                connecting.await.map_err(|error| DownReason::DialFailed(error.to_string()))?;
            let (read, write) = Stream::Tcp(stream).split();
            bt::shake_hands(read, write, &config, address).await
        }
    };
    tokio::spawn(
        task::run(Context { config, link, address, reports, commands }, opening).in_current_span(),
    );
    handle
}
