//! The UDP side of the tracker: a loop a socket that reads datagrams, answers connects and
//! hands the rest to the table's keeper in batches. It never waits for the keeper: when that is
//! busy, datagrams are lost, and their senders ask again. Nothing that is longer than its
//! question is sent to an address that has not shown that it can read: requests without a
//! valid connection id get no answer at all.
//! Source: BEP 15, BEP 41 (its options are read and mean nothing here).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::base::addr::{canonical, write_compact};
use crate::tracker::announce::Family;
use crate::tracker::connection_id::Minter;
use crate::tracker::table::Arrival;
use crate::tracker::udp::{Announce, ConnectionId, Counts, Reply, Request, TransactionId};

use super::counters::{Counters, bump};
use super::keeper::{Errand, Keeper};

/// Datagrams that go to the keeper at once; also how many are read without a pause.
const BATCH_LEN: usize = 64;

/// Longest datagram that is read whole: a scrape of 70 has 1416 bytes, an announce with a long
/// URL some hundred more. What is longer is cut, and an announce is still one then.
const READ_LEN: usize = 2048;

/// Most peers in a reply, so that it fits into one frame: 1220 and 1280 bytes.
const PEERS_MAX_V4: usize = 200;
const PEERS_MAX_V6: usize = 70;

/// Rest when the socket cannot be read, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// Datagrams of one socket whose connection ids are good.
struct Batch {
    socket: Arc<UdpSocket>,
    requests: Vec<(SocketAddr, Request)>,
    counters: Arc<Counters>,
}

/// Reads datagrams for ever.
pub(super) async fn listen(
    socket: Arc<UdpSocket>,
    minter: Arc<Minter>,
    keeper: mpsc::Sender<Errand>,
    counters: Arc<Counters>,
) {
    let began_at = Instant::now();
    let mut buffer = vec![0; READ_LEN];
    loop {
        if let Err(error) = socket.readable().await {
            warn!(%error, "cannot read datagrams");
            sleep(REST).await;
            continue;
        }
        let now_s = began_at.elapsed().as_secs();
        let mut requests = Vec::new();
        let mut errors = 0;
        for _ in 0..BATCH_LEN {
            let (len, sender) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Linux reports here that an earlier answer did not arrive.
                    debug!(%error, "a datagram was not read");
                    errors += 1;
                    continue;
                }
            };
            let datagram = buffer.get(..len).unwrap_or_default();
            match judge(datagram, sender, &minter, now_s) {
                Verdict::Connect(reply) => {
                    bump(&counters.udp_connects);
                    send(&socket, &reply, sender);
                }
                Verdict::Request(request) => requests.push((sender, request)),
                Verdict::Forged => bump(&counters.udp_forged),
                Verdict::Noise => bump(&counters.udp_noise),
            }
        }
        if errors == BATCH_LEN {
            // An error that lasts is no news of an answer.
            sleep(REST).await;
        }
        if requests.is_empty() {
            continue;
        }
        let count = requests.len() as u64;
        let batch = Batch { socket: socket.clone(), requests, counters: counters.clone() };
        match keeper.try_send(Errand::Batch(Box::new(|keeper, now| answer(batch, keeper, now)))) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                counters.udp_dropped.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// What a datagram deserves.
enum Verdict {
    /// A connection id, as long as the question.
    Connect(Vec<u8>),
    /// An answer of the table.
    Request(Request),
    /// Silence: its connection id is not ours, too old or of another address.
    Forged,
    /// Silence: it is no request.
    Noise,
}

fn judge(datagram: &[u8], sender: SocketAddr, minter: &Minter, now_s: u64) -> Verdict {
    let Some(request) = Request::decode(datagram) else { return Verdict::Noise };
    let connection = match &request {
        Request::Connect { transaction } => {
            let connection = ConnectionId(minter.mint(sender.ip(), now_s));
            let mut reply = Vec::with_capacity(16);
            Reply::Connect { transaction: *transaction, connection }
                .encode(Family::of(sender), &mut reply);
            return Verdict::Connect(reply);
        }
        Request::Announce { connection, .. } | Request::Scrape { connection, .. } => *connection,
    };
    match minter.is_valid(connection.0, sender.ip(), now_s) {
        true => Verdict::Request(request),
        false => Verdict::Forged,
    }
}

/// Answers a batch from the table.
fn answer(batch: Batch, keeper: &mut Keeper, now: Instant) {
    let mut out = Vec::with_capacity(READ_LEN);
    for (sender, request) in &batch.requests {
        out.clear();
        match request {
            Request::Announce { transaction, announce, .. } => {
                bump(&batch.counters.announces_udp);
                if !write_announced(*sender, *transaction, announce, keeper, now, &mut out) {
                    bump(&batch.counters.refused);
                }
            }
            Request::Scrape { transaction, info_hashes, .. } => {
                bump(&batch.counters.scrapes_udp);
                let counts = info_hashes.iter().map(|info_hash| {
                    let counts = keeper.counts(info_hash);
                    Counts {
                        seeders: counts.complete,
                        completed: counts.downloaded,
                        leechers: counts.incomplete,
                    }
                });
                let reply = Reply::Scrape { transaction: *transaction, counts: counts.collect() };
                reply.encode(Family::of(*sender), &mut out);
            }
            // The loop answers these itself.
            Request::Connect { .. } => continue,
        }
        send(&batch.socket, &out, *sender);
    }
}

/// Writes the answer to an announce; false when that is an error. Peers go from the table into
/// the datagram without a stop, since this is what a busy tracker does all day.
fn write_announced(
    sender: SocketAddr,
    transaction: TransactionId,
    announce: &Announce,
    keeper: &mut Keeper,
    now: Instant,
    out: &mut Vec<u8>,
) -> bool {
    let address = canonical(SocketAddr::new(sender.ip(), announce.port));
    // A socket for both families gets IPv4 as mapped addresses: BEP 15 goes by the packet.
    let peers_max = if address.is_ipv4() { PEERS_MAX_V4 } else { PEERS_MAX_V6 };
    let wanted = announce.numwant.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let arrival = Arrival {
        info_hash: announce.info_hash,
        peer_id: announce.peer_id,
        address,
        left: announce.left,
        event: announce.event,
        numwant: Some(wanted.unwrap_or(DEFAULT_PEERS).min(peers_max)),
        own_family_only: true,
    };
    // The counts stand before the peers and are known after them.
    let mut head = Vec::new();
    let reply = |leechers, seeders, interval_s| Reply::Announce {
        transaction,
        interval_s,
        leechers,
        seeders,
        peers: Vec::new(),
    };
    reply(0, 0, 0).encode(Family::of(address), out);
    let counts = keeper.announce(&arrival, now, |peer| write_compact(peer.address, out));
    match counts {
        Ok(counts) => {
            reply(counts.incomplete, counts.complete, keeper.interval_s)
                .encode(Family::of(address), &mut head);
            if let Some(place) = out.get_mut(..head.len()) {
                place.copy_from_slice(&head);
            }
            true
        }
        Err(refusal) => {
            out.clear();
            let message = refusal.to_string();
            Reply::Error { transaction, message }.encode(Family::of(address), out);
            false
        }
    }
}

/// Peers for a client that names no number, as over HTTP.
const DEFAULT_PEERS: usize = 50;

/// Sends now or not at all: a datagram that is lost is asked for again.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(datagram, to) {
        debug!(%to, %error, "an answer was not sent");
    }
}
