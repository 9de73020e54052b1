//! Keeps the sockets of a session open: opens them again when their device comes back or has
//! another address, and asks the proxy for another relay when one is gone. Meanwhile nothing is
//! sent.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info};

use super::{DATAGRAM_LEN, Line, Pair, Post, open_pair, read};
use crate::base::addr::canonical;
use crate::net::egress::{Egress, Place, Purpose, Relay, RelayEnd};

/// A socket that could not be opened again is tried so long after.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// A relay that is gone or refused is asked for again so long after, at first and at most; in
/// between ever longer, as libtorrent does it (`udp_socket.cpp`, `retry_connection`).
const RELAY_AGAIN: Duration = Duration::from_secs(5);
const RELAY_AGAIN_MAX: Duration = Duration::from_secs(120);

/// Runs for as long as the sockets are wanted, `opened` first.
pub(super) async fn run(
    egress: Egress,
    port: u16,
    (mut since, mut opened): (Option<Place>, Option<Pair>),
    told: watch::Sender<Line>,
    post: Post,
) {
    let mut attempt = 0;
    loop {
        let close = |why: String| drop(told.send_replace(Line::Closed(why.into())));
        if egress.is_proxied(Purpose::Dht) {
            match egress.relay(Purpose::Dht).await {
                Ok(Some(relay)) => {
                    attempt = 0;
                    tokio::select! {
                        () = carry(relay, &told, &post) => {}
                        () = egress.lost(since) => {}
                    }
                    close("the proxy carries no datagrams at present".to_owned());
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "no relay for datagrams");
                    close(error.to_string());
                }
            }
            sleep((RELAY_AGAIN + Duration::from_secs(attempt * attempt / 2)).min(RELAY_AGAIN_MAX))
                .await;
            attempt = (attempt + 1).min(60);
            since = egress.standing().place;
            continue;
        }
        match opened.take().map_or_else(|| open_pair(&egress, port), Ok) {
            Ok(pair) => {
                told.send_replace(Line::Own(pair.clone()));
                let mut readers = JoinSet::new();
                for socket in pair.into_iter().flatten() {
                    readers.spawn(read(socket, post.clone()));
                }
                egress.lost(since).await;
                close("the device is gone, or has another address".to_owned());
                // Nobody holds the sockets any more then, and their port is free.
                readers.shutdown().await;
                info!("datagrams: the device is gone, or has another address");
            }
            Err(error) => {
                debug!(%error, "no socket for datagrams");
                close(error.to_string());
                sleep(OPEN_AGAIN).await;
            }
        }
        since = egress.standing().place;
    }
}

/// Carries datagrams until the relay is gone.
async fn carry(mut relay: Relay, told: &watch::Sender<Line>, post: &Post) {
    let end = relay.end();
    told.send_replace(Line::Relay(end.clone()));
    tokio::select! {
        () = relay.ended() => {}
        () = read_relay(end, post) => {}
    }
}

async fn read_relay(end: RelayEnd, post: &Post) {
    let mut room = vec![0; DATAGRAM_LEN];
    loop {
        match end.receive(&mut room).await {
            Ok(Some((from, bytes))) => post.deliver(canonical(from), bytes),
            Ok(None) => {}
            Err(error) => return debug!(%error, "the relay is gone"),
        }
    }
}
