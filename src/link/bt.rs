//! The task of one BitTorrent link: waits for the socket, for orders, for room in the report
//! channel and for the clock, all at once, and passes what comes from one to the other.
//! Not here: the meaning of messages (`translate`), nor their bytes (`wire`).

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::base::ids::LinkId;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCommand};
use crate::wire::{ExtendedHandshake, Extensions, HANDSHAKE_LEN, Handshake};

use super::inbound::Inbound;
use super::outbox::Outbox;
use super::stream::{ReadSide, WriteSide};
use super::translate::Translator;
use super::{Error, LinkConfig, LinkNews, LinkReport, LinkTimeouts, lost};

/// What we call ourselves in extension handshakes.
const CLIENT: &str = "Pigeon 0.1.0";
/// `reqq`: requests of one peer that we hold.
const REQUEST_QUEUE: u32 = 500;

/// What every link task has.
pub(super) struct Context {
    pub(super) config: Arc<LinkConfig>,
    pub(super) link: LinkId,
    pub(super) address: SocketAddr,
    pub(super) reports: mpsc::Sender<LinkReport>,
    pub(super) commands: mpsc::Receiver<Vec<LinkCommand>>,
}

/// A connection after its handshakes.
pub(super) struct Opened {
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
    pub(super) remote: Handshake,
    /// Did we dial?
    pub(super) is_outgoing: bool,
}

/// Runs a link from `opening` to its end, and reports both.
pub(super) async fn run(
    mut context: Context,
    opening: impl Future<Output = Result<Opened, DownReason>>,
) {
    let reason = match open(&mut context.commands, opening).await {
        Ok((opened, early)) => live(&mut context, opened, early).await,
        Err(reason) => reason,
    };
    let Context { link, reports, commands, .. } = context;
    // From here on nobody can be waiting for us.
    drop(commands);
    let report = LinkReport { link, news: LinkNews::Down(reason) };
    // A torrent that is gone needs no report.
    let _ = reports.send(report).await;
}

/// Sends our handshake.
pub(super) async fn send_handshake(
    write: &mut WriteSide,
    config: &LinkConfig,
) -> Result<(), Error> {
    let ours = Handshake {
        extensions: Extensions::OURS,
        info_hash: config.info_hash,
        peer_id: config.peer_id,
    };
    Ok(write.write_all(&ours.encode()).await?)
}

/// Exchanges handshakes on a connection of ours.
pub(super) async fn shake_hands(
    mut read: ReadSide,
    mut write: WriteSide,
    config: &LinkConfig,
) -> Result<Opened, DownReason> {
    let exchange = async {
        send_handshake(&mut write, config).await?;
        let mut bytes = [0; HANDSHAKE_LEN];
        read.read_exact(&mut bytes).await?;
        Ok(Handshake::decode(&bytes)?)
    };
    let exchanged: Result<_, Error> = tokio::time::timeout(config.timeouts.handshake, exchange)
        .await
        .unwrap_or(Err(Error::Silent));
    let remote = exchanged?;
    if remote.info_hash != config.info_hash {
        return Err(DownReason::Violated("it answered for another torrent".to_owned()));
    }
    Ok(Opened { read, write, remote, is_outgoing: true })
}

/// Waits for the opening, but not longer than the brain wants; keeps orders that come early.
async fn open(
    commands: &mut mpsc::Receiver<Vec<LinkCommand>>,
    opening: impl Future<Output = Result<Opened, DownReason>>,
) -> Result<(Opened, Vec<LinkCommand>), DownReason> {
    let mut opening = pin!(opening);
    let mut early = Vec::new();
    loop {
        tokio::select! {
            opened = &mut opening => return Ok((opened?, early)),
            batch = commands.recv() => {
                for command in batch.ok_or(DownReason::Closed(CloseReason::Stopping))? {
                    match command {
                        LinkCommand::Close(reason) => return Err(DownReason::Closed(reason)),
                        command => early.push(command),
                    }
                }
            }
        }
    }
}

async fn live(context: &mut Context, opened: Opened, early: Vec<LinkCommand>) -> DownReason {
    let Context { config, link, address, reports, commands } = context;
    let Opened { read, write, remote, is_outgoing } = opened;
    let agreed = Extensions::OURS.common(remote.extensions);
    let mut translator = Translator::new(config.layout, agreed, remote.peer_id);
    let mut inbound = Inbound::new(read, config);
    let introduction = introduction(config, *address, is_outgoing).encode();
    let mut outbox = Outbox::new(write, config.layout, agreed, introduction);
    let up = LinkNews::Up { peer_id: remote.peer_id, caps: translator.caps(), address: *address };
    let ours = || DownReason::Closed(CloseReason::Stopping);
    if reports.send(LinkReport { link: *link, news: up }).await.is_err() {
        return ours();
    }
    if let Err(reason) = outbox.order(early) {
        return reason;
    }
    let mut clock = Clock::new(config.timeouts);
    let mut timer = pin!(sleep_until(clock.next(&outbox)));
    let mut events = Vec::new();
    let mut end = None;
    loop {
        tokio::select! {
            batch = commands.recv() => {
                let Some(batch) = batch else { return ours() };
                if outbox.is_empty() {
                    clock.moved_out = Instant::now();
                }
                if let Err(reason) = outbox.order(batch) {
                    return reason;
                }
            }
            sent = outbox.send(), if !outbox.is_empty() && end.is_none() => match sent {
                Ok(()) => clock.on_sent(),
                Err(error) => end = Some(lost(&error)),
            },
            permit = reports.reserve(), if !events.is_empty() => {
                let Ok(permit) = permit else { return ours() };
                let events = std::mem::take(&mut events);
                permit.send(LinkReport { link: *link, news: LinkNews::Events(events) });
                // A peer that always has data must not keep others from this thread.
                tokio::task::yield_now().await;
            }
            received = inbound.receive(&mut translator, &mut events),
                if end.is_none() && events.is_empty() => match received {
                    Ok(_) => clock.heard = Instant::now(),
                    Err(reason) => end = Some(reason),
                },
            () = &mut timer => {
                if !events.is_empty() || inbound.waits_for_us() {
                    clock.heard = Instant::now();
                }
                if let Some(reason) = clock.on_timer(&mut outbox) {
                    return reason;
                }
                timer.as_mut().reset(clock.next(&outbox));
            }
        }
        if events.is_empty()
            && let Some(reason) = end.take()
        {
            return reason;
        }
    }
}

fn introduction(config: &LinkConfig, address: SocketAddr, is_outgoing: bool) -> ExtendedHandshake {
    ExtendedHandshake {
        client: Some(CLIENT.to_owned()),
        request_queue: Some(REQUEST_QUEUE),
        // Whoever dialled us knows our port.
        listen_port: config.listen_port.filter(|_| is_outgoing),
        your_address: Some(address.ip().to_canonical()),
        ..ExtendedHandshake::default()
    }
}

/// When something happened last, and what follows from it. The timer is set to the earliest
/// deadline and not moved while traffic flows; when it fires too early, it is set again.
struct Clock {
    timeouts: LinkTimeouts,
    heard: Instant,
    sent: Instant,
    /// When the peer last took bytes, or had none to take.
    moved_out: Instant,
}

impl Clock {
    fn new(timeouts: LinkTimeouts) -> Self {
        let now = Instant::now();
        Self { timeouts, heard: now, sent: now, moved_out: now }
    }

    fn on_sent(&mut self) {
        self.sent = Instant::now();
        self.moved_out = self.sent;
    }

    fn next(&self, outbox: &Outbox) -> Instant {
        // Bytes queued later than now cannot be late before this.
        let out = if outbox.is_empty() { Instant::now() } else { self.moved_out };
        let silence = self.heard + self.timeouts.idle;
        let stuck = out + self.timeouts.write;
        let quiet = self.sent + self.timeouts.keep_alive;
        if outbox.is_empty() { silence.min(stuck).min(quiet) } else { silence.min(stuck) }
    }

    fn on_timer(&mut self, outbox: &mut Outbox) -> Option<DownReason> {
        let now = Instant::now();
        if now >= self.heard + self.timeouts.idle {
            return Some(DownReason::TimedOut("it was silent for too long"));
        }
        if !outbox.is_empty() && now >= self.moved_out + self.timeouts.write {
            return Some(DownReason::TimedOut("it does not read what we send"));
        }
        if outbox.is_empty() && now >= self.sent + self.timeouts.keep_alive {
            self.moved_out = now;
            outbox.keep_alive();
        }
        None
    }
}
