//! Looks for trackers: broadcasts DISCOVER_TRACKER and collects what comes back (step 3 of the
//! course). Not here: choosing one, and asking it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::wire::{Message, TrackerInfo};
use crate::net::egress::{Egress, Purpose};

/// When the question is sent, in milliseconds from the start: a datagram may get lost.
const ASK_AT_MS: [u64; 3] = [0, 250, 500];
/// More trackers than anybody would choose from.
const TRACKERS_MAX: usize = 64;
/// Longer than any datagram over IPv4, so that none is cut.
const DATAGRAM_LEN_MAX: usize = 1 << 16;

/// Why no tracker could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket.
    #[error("cannot look for trackers: {0}")]
    Socket(io::Error),
    /// The system does not send to that address.
    #[error(
        "cannot ask {target} for trackers: {cause}; \
         name the broadcast address of your network with --broadcast ADDR"
    )]
    Send {
        /// Who was to be asked.
        target: SocketAddrV4,
        /// What the system said.
        cause: io::Error,
    },
}

/// Asks `target` (255.255.255.255:9000 reaches everybody on the network) for trackers and
/// waits for as long as `wait`, about a second, for all answers. The address in an answer
/// counts, not where it came from; nobody has checked that a tracker is there. At most 64,
/// none twice, in the order of their answers.
///
/// # Errors
/// When nothing could be sent. That nobody answers is no error.
pub async fn discover(
    egress: &Egress,
    target: SocketAddrV4,
    wait: Duration,
) -> Result<Vec<TrackerInfo>, Error> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = egress.datagrams(Purpose::Course, any);
    let socket = socket.map_err(|error| Error::Socket(error.into()))?;
    socket.set_broadcast(true).map_err(Error::Socket)?;
    let mut question = Vec::new();
    // A message without fields has nothing that could be too long.
    let _ = Message::DiscoverTracker.encode(&mut question);
    let start = Instant::now();
    let end = start + wait;
    let mut found = Vec::new();
    for (number, at_ms) in ASK_AT_MS.into_iter().enumerate() {
        let at = start + Duration::from_millis(at_ms);
        if number > 0 && at >= end {
            break;
        }
        match socket.send_to(&question, target).await {
            Err(cause) if number == 0 => return Err(Error::Send { target, cause }),
            Err(error) => debug!(%target, %error, "cannot ask again"),
            Ok(_) => {}
        }
        let next = ASK_AT_MS.get(number + 1).map(|ms| start + Duration::from_millis(*ms));
        let until = next.map_or(end, |next| next.min(end));
        // Its end is that of its time.
        let _ = timeout_at(until, collect(&socket, &mut found)).await;
        if found.len() >= TRACKERS_MAX {
            break;
        }
    }
    Ok(found)
}

/// Collects answers until there are too many of them.
async fn collect(socket: &UdpSocket, found: &mut Vec<TrackerInfo>) {
    let mut datagram = vec![0; DATAGRAM_LEN_MAX];
    while found.len() < TRACKERS_MAX {
        let (len, sender) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "cannot read answers");
                // Asking again may help; spinning does not.
                return std::future::pending().await;
            }
        };
        match Message::decode(datagram.get(..len).unwrap_or_default()) {
            Ok(Message::TrackerInfo(info)) if !is_usable(info.address) => {
                debug!(%sender, address = %info.address, "a tracker at an impossible address");
            }
            Ok(Message::TrackerInfo(info)) => {
                if found.iter().all(|known| known.address != info.address) {
                    found.push(info);
                }
            }
            Ok(_) => debug!(%sender, "an answer that is no TRACKER_INFO"),
            Err(error) => debug!(%sender, %error, "a malformed answer"),
        }
    }
}

/// Whether somebody can listen there.
fn is_usable(address: SocketAddrV4) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast()
}
