//! Links to servers of files (BEP 19): a run of pieces is fetched as ranges of files over HTTP/1.1.
//! A link has a lease, one of the slots that its session's pool gives for a site; `hand` runs it,
//! `exchange` makes blocks of what comes, `work` knows what is to be asked for next. Not here: who
//! gets a slot, and what is fetched from whom.

mod connect;
mod exchange;
mod hand;
mod lease;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod told;
mod work;

pub use lease::{Ask, Connection, Gauge, Lease, Order, Origins, Policy, Target};
pub use server::{NamedBy, Server};
pub use tls::Tls;

pub use super::report::Wait;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::base::ids::{InfoHash, LinkId};
use crate::net::egress::{Egress, Purpose};
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::LinkCommand;

use super::config::LinkConfig;
use super::error::device_lost;
use super::report::{LinkHandle, LinkNews, LinkReport};
use exchange::Exchange;
use hand::{Hand, stopping};

/// How long before a link ends that found nothing to leave by, when that is over already.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// Waits for a lease to a server and runs the link; never waits itself. The torrent lacks
/// `left_bytes`: one that lacks little comes first. `reports` gets `Waits` while there is no lease,
/// `Up` and later `Down`, or `Down` alone.
pub fn dial_server(
    config: Arc<LinkConfig>,
    (link, left_bytes): (LinkId, u64),
    server: Arc<Server>,
    origins: Origins,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (handle, mut commands) = LinkHandle::new();
    let config = match &origins.policy.limiter {
        Some(web) => {
            let limiter = Arc::new(Limiter::joint(config.limiter.clone(), web.clone()));
            Arc::new(LinkConfig { limiter, ..(*config).clone() })
        }
        None => config,
    };
    let running = async move {
        let torrent = (config.info_hash, left_bytes);
        let egress = config.egress.clone();
        let ends = (&*server, &origins, &egress);
        let leased = lease(link, torrent, ends, &reports, &mut commands).await;
        let reason = match leased {
            Ok(lease) => match config.subject.known().map(|known| known.layout) {
                Some(layout) => {
                    let extents = server.extents.clone();
                    let exchange = Exchange::new(layout, extents, server.is_script());
                    let ends = (origins, lease);
                    let (reports, who) = (reports.clone(), (config, link, server));
                    let since = egress.standing().place;
                    tokio::select! {
                        why = Hand::new(who, ends, reports, commands, exchange).run() => why,
                        () = egress.lost(since) => device_lost(),
                    }
                }
                // A torrent with sources is known.
                None => DownReason::DialFailed("nothing is known yet".to_owned()),
            },
            Err(reason) => reason,
        };
        // It would be tried again at once, though nobody knows what is waited for.
        if matches!(reason, DownReason::Held(_)) && egress.held(Purpose::WebSeed).is_none() {
            sleep(HELD_PAUSE).await;
        }
        let report = LinkReport { link, news: LinkNews::Down(reason), held: Vec::new() };
        // A torrent that is gone needs no report.
        let _ = reports.send(report).await;
    };
    tokio::spawn(running.in_current_span());
    handle
}

/// Waits until anything leaves, and for a lease, and tells why that takes long; not longer than the
/// brain wants. A lease that is had before keeps others out, and a connection that fails then says
/// nothing of the server.
async fn lease(
    link: LinkId,
    torrent: (InfoHash, u64),
    (server, origins, egress): (&Server, &Origins, &Egress),
    reports: &mpsc::Sender<LinkReport>,
    commands: &mut mpsc::Receiver<Vec<LinkCommand>>,
) -> Result<Lease, DownReason> {
    let (waits, mut told) = watch::channel(None);
    let asked = async move {
        if let Some(why) = egress.held(Purpose::WebSeed) {
            waits.send_replace(Some(Wait { until: None, why }));
            egress.open(Purpose::WebSeed).await;
        }
        origins.lease(server.site(), torrent, waits).await
    };
    let mut asked = std::pin::pin!(asked);
    loop {
        tokio::select! {
            lease = &mut asked => return lease.ok_or_else(stopping),
            Ok(()) = told.changed() => {
                let wait = told.borrow_and_update().clone();
                if let Some(wait) = wait {
                    let report = LinkReport { link, news: LinkNews::Waits(wait), held: Vec::new() };
                    reports.send(report).await.map_err(|_| stopping())?;
                }
            }
            batch = commands.recv() => {
                for command in batch.ok_or_else(stopping)? {
                    if let LinkCommand::Close(reason) = command {
                        return Err(DownReason::Closed(reason));
                    }
                }
            }
        }
    }
}
