//! The task of one link: waits for the socket, for orders, for room in the report channel
//! and for the clock, all at once, and passes what comes from one to the other. Not here:
//! what bytes mean; that is the `Dialect`'s.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::base::ids::LinkId;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCommand, LinkEvent, MetadataEvent};

use super::config::{LinkConfig, LinkTimeouts};
use super::dialect::{Dialect, Opened};
use super::error::device_lost;
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::report::{LinkNews, LinkReport};

/// What every link task has.
pub(super) struct Context {
    pub(super) config: Arc<LinkConfig>,
    pub(super) link: LinkId,
    pub(super) address: SocketAddr,
    pub(super) reports: mpsc::Sender<LinkReport>,
    pub(super) commands: mpsc::Receiver<Vec<LinkCommand>>,
}

/// Runs a link from `opening` to its end, and reports both.
pub(super) async fn run<D: Dialect>(
    mut context: Context,
    opening: impl Future<Output = Result<Opened<D>, DownReason>>,
) {
    let egress = context.config.egress.clone();
    // Where a proxy is, the link does not know.
    let speaks_directly = egress.policy().proxy.is_none();
    let since = egress.standing().place;
    let since = since.map(|at| if speaks_directly { at.towards(context.address) } else { at });
    let living = async {
        match open(&mut context.commands, opening).await {
            Ok((opened, early)) => live(&mut context, opened, early).await,
            Err(reason) => reason,
        }
    };
    let reason = tokio::select! {
        reason = living => reason,
        () = egress.lost(since) => device_lost(),
    };
    let Context { link, reports, commands, .. } = context;
    // From here on nobody can be waiting for us.
    drop(commands);
    let report = LinkReport { link, news: LinkNews::Down(reason), held: Vec::new() };
    // A torrent that is gone needs no report.
    let _ = reports.send(report).await;
}

/// Waits for the opening, but not longer than the brain wants; keeps orders that come early.
async fn open<D>(
    commands: &mut mpsc::Receiver<Vec<LinkCommand>>,
    opening: impl Future<Output = Result<Opened<D>, DownReason>>,
) -> Result<(Opened<D>, Vec<LinkCommand>), DownReason> {
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

async fn live<D: Dialect>(
    context: &mut Context,
    opened: Opened<D>,
    early: Vec<LinkCommand>,
) -> DownReason {
    let Opened { read, write, mut dialect } = opened;
    let (peer_id, caps) = (dialect.peer_id(), dialect.caps());
    let (link, reports) = (context.link, context.reports.clone());
    let up = LinkNews::Up { peer_id, caps, address: context.address };
    if reports.send(LinkReport { link, news: up, held: Vec::new() }).await.is_err() {
        return stopping();
    }
    let mut events = Vec::new();
    dialect.greet(&mut events);
    let inbound = Inbound::new(read, &context.config);
    let mut outbox = Outbox::new(write, &context.config);
    let begun = outbox.order(&mut dialect, early);
    let begun = begun.and_then(|()| dialect.catch_up(&mut events).map_err(DownReason::Violated));
    let reason = match begun {
        Ok(()) => pass_on(context, dialect, inbound, &mut outbox, &mut events).await,
        Err(reason) => reason,
    };
    // Whoever ended it: what the remote took until then counts.
    let untold = outbox.take_untold().map(LinkEvent::Sent);
    let sent = |event: &LinkEvent| matches!(event, LinkEvent::Sent(_));
    let last: Vec<LinkEvent> = events.into_iter().filter(sent).chain(untold).collect();
    if !last.is_empty() {
        let report = LinkReport { link, news: LinkNews::Events(last), held: Vec::new() };
        // A torrent that is gone counts no more.
        let _ = reports.send(report).await;
    }
    reason
}

fn stopping() -> DownReason {
    DownReason::Closed(CloseReason::Stopping)
}

/// Passes on what comes from either side, until the link ends; tells why. What was not reported
/// by then stays in `events`.
async fn pass_on<D: Dialect>(
    context: &mut Context,
    mut dialect: D,
    mut inbound: Inbound,
    outbox: &mut Outbox,
    events: &mut Vec<LinkEvent>,
) -> DownReason {
    let Context { config, link, reports, commands, .. } = context;
    let mut clock = Clock::new(config.timeouts);
    let mut timer = pin!(sleep_until(clock.next(&dialect, outbox)));
    let mut end = None;
    loop {
        tokio::select! {
            batch = commands.recv() => {
                let Some(batch) = batch else { return stopping() };
                clock.before_order(&dialect, outbox);
                if let Err(reason) = outbox.order(&mut dialect, batch) {
                    return reason;
                }
                // What the remote said before its torrent was known.
                if let Err(why) = dialect.catch_up(events) {
                    return DownReason::Violated(why);
                }
                clock.bring_forward(timer.as_mut(), &dialect, outbox);
            }
            sent = outbox.send(), if !outbox.is_empty() && end.is_none() => match sent {
                Ok(()) => clock.on_sent(),
                Err(reason) => end = Some(reason),
            },
            permit = reports.reserve(), if !events.is_empty() => {
                let Ok(permit) = permit else { return stopping() };
                let news = LinkNews::Events(std::mem::take(events));
                let held = inbound.take_held(&dialect);
                permit.send(LinkReport { link: *link, news, held });
                // A peer that always has data must not keep others from this thread.
                tokio::task::yield_now().await;
            }
            received = inbound.receive(&mut dialect, events),
                if end.is_none() && events.is_empty() => match received {
                    Ok(_) => {
                        clock.on_heard(outbox);
                        outbox.speak(&mut dialect);
                    }
                    Err(reason) => end = Some(reason),
                },
            () = &mut timer => {
                let we_do_not_read = !events.is_empty() || inbound.waits_for_us();
                clock.excuse(we_do_not_read, outbox.held_until());
                if let Some(reason) = clock.on_timer(&dialect, outbox) {
                    return reason;
                }
                timer.as_mut().reset(clock.next(&dialect, outbox));
            }
        }
        events.extend(outbox.take_sent().map(LinkEvent::Sent));
        let metadata = outbox.take_metadata_sent().map(MetadataEvent::Sent);
        events.extend(metadata.map(LinkEvent::Metadata));
        if let Some(reason) = end.take_if(|_| events.is_empty()) {
            return reason;
        }
    }
}

/// When something happened last, and what follows from it. The timer is set to the earliest
/// deadline and not put off while traffic flows; when it fires too early, it is set again.
struct Clock {
    timeouts: LinkTimeouts,
    /// When the remote last said something, or had nothing to say.
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

    fn on_heard(&mut self, outbox: &Outbox) {
        self.heard = Instant::now();
        if outbox.is_empty() {
            self.moved_out = self.heard;
        }
    }

    /// Bytes queued now cannot have been late before, nor an answer that nobody owed.
    fn before_order(&mut self, dialect: &impl Dialect, outbox: &Outbox) {
        let now = Instant::now();
        self.excuse(false, outbox.held_until());
        if outbox.is_empty() {
            self.moved_out = now;
        }
        if dialect.patience(&self.timeouts).is_none() {
            self.heard = now;
        }
    }

    fn next(&self, dialect: &impl Dialect, outbox: &Outbox) -> Instant {
        // Whoever owes nothing is asked about again when it can owe something for so long.
        let patience = dialect.patience(&self.timeouts);
        let silence = match patience {
            Some(patience) => self.heard + patience,
            None => Instant::now() + self.timeouts.idle,
        };
        // Bytes queued later than now cannot be late before this.
        let out = if outbox.is_empty() { Instant::now() } else { self.moved_out };
        let stuck = out + self.timeouts.write;
        let quiet = self.sent + self.timeouts.keep_alive;
        if outbox.is_empty() { silence.min(stuck).min(quiet) } else { silence.min(stuck) }
    }

    /// One that owed nothing may owe an answer now, sooner than the timer would tell.
    fn bring_forward(&self, timer: Pin<&mut Sleep>, dialect: &impl Dialect, outbox: &Outbox) {
        let next = self.next(dialect, outbox);
        if next < timer.deadline() {
            timer.reset(next);
        }
    }

    /// Silence that is our own doing says nothing of the remote.
    fn excuse(&mut self, we_do_not_read: bool, held_until: Option<Instant>) {
        if we_do_not_read {
            self.heard = Instant::now();
        }
        self.moved_out = self.moved_out.max(held_until.unwrap_or(self.moved_out));
    }

    fn on_timer(&mut self, dialect: &impl Dialect, outbox: &mut Outbox) -> Option<DownReason> {
        let now = Instant::now();
        let patience = dialect.patience(&self.timeouts);
        if patience.is_some_and(|patience| now >= self.heard + patience) {
            return Some(DownReason::TimedOut("it was silent for too long"));
        }
        if !outbox.is_empty() && now >= self.moved_out + self.timeouts.write {
            return Some(DownReason::TimedOut("it does not read what we send"));
        }
        if outbox.is_empty() && now >= self.sent + self.timeouts.keep_alive {
            self.moved_out = now;
            self.sent = now;
            outbox.keep_alive(dialect);
        }
        None
    }
}
