//! The task of one BitTorrent link over TCP, after both handshakes: it reads and reports,
//! takes orders and writes, keeps the connection alive and gives up on a dead one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::base::ids::LinkId;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCaps, LinkCommand, Unit};
use crate::wire::handshake::Handshake;
use crate::wire::message::Message;

use super::dial::words;
use super::outbound::{After, Outbound, pipeline_max};
use super::stream::{Read, Reader};
use super::translate::Translator;
use super::{LinkConfig, LinkNews, LinkReport};

/// Runs a link on an open connection until either side ends it; reports `Up`, events and
/// `Down`.
#[expect(clippy::too_many_arguments, reason = "two callers, each with all of them at hand")]
pub(super) async fn run(
    config: Arc<LinkConfig>,
    link: LinkId,
    address: SocketAddr,
    theirs: Handshake,
    dialled: bool,
    mut stream: TcpStream,
    orders: mpsc::Receiver<Vec<LinkCommand>>,
    reports: mpsc::Sender<LinkReport>,
) {
    let (mut reading, mut writing) = stream.split();
    let task = Task::new(&config, link, address, theirs, dialled, orders, reports);
    task.run(theirs, address, &mut reading, &mut writing).await;
}

/// One link's state.
pub(super) struct Task {
    link: LinkId,
    config: Arc<LinkConfig>,
    caps: LinkCaps,
    reader: Reader,
    translator: Translator,
    outbound: Outbound,
    orders: mpsc::Receiver<Vec<LinkCommand>>,
    reports: mpsc::Sender<LinkReport>,
    heard: Instant,
    wrote: Instant,
}

impl Task {
    pub fn new(
        config: &Arc<LinkConfig>,
        link: LinkId,
        address: SocketAddr,
        theirs: Handshake,
        dialled: bool,
        orders: mpsc::Receiver<Vec<LinkCommand>>,
        reports: mpsc::Sender<LinkReport>,
    ) -> Self {
        // Ours always has both; what the remote lacks is not spoken.
        let Handshake { fast, extended, peer_id, .. } = theirs;
        let listen_port = config.listen_port.filter(|_| dialled);
        let now = Instant::now();
        let caps = LinkCaps {
            unit: Unit::Block,
            chokes: true,
            pipeline_max: pipeline_max(None, peer_id),
            can_upload_to: true,
            fast,
            extended,
        };
        let layout = config.layout;
        Self {
            link,
            config: config.clone(),
            caps,
            reader: Reader::new(layout.piece_count(), config.pool.clone(), config.limiter.clone()),
            translator: Translator::new(layout, fast, peer_id),
            outbound: Outbound::new(fast, extended, listen_port, address.ip()),
            orders,
            reports,
            heard: now,
            wrote: now,
        }
    }

    /// Until the end.
    pub async fn run(
        mut self,
        theirs: Handshake,
        address: SocketAddr,
        reading: &mut (impl AsyncRead + Unpin),
        writing: &mut (impl AsyncWrite + Unpin),
    ) {
        let (peer_id, caps) = (theirs.peer_id, self.caps.clone());
        if !self.report(LinkNews::Up { peer_id, caps, address }).await {
            return;
        }
        let reason = self.serve(reading, writing).await;
        self.report(LinkNews::Down(reason)).await;
    }

    async fn serve(
        &mut self,
        reading: &mut (impl AsyncRead + Unpin),
        writing: &mut (impl AsyncWrite + Unpin),
    ) -> DownReason {
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let alarm = self.next_alarm();
            let pending = !self.outbound.pending().is_empty();
            tokio::select! {
                read = self.reader.read(reading, &mut messages) => {
                    if let Err(reason) = self.on_read(read, &mut messages).await {
                        return reason;
                    }
                }
                orders = self.orders.recv() => {
                    let Some(orders) = orders else {
                        return DownReason::Closed(CloseReason::Stopping);
                    };
                    match self.outbound.queue(orders) {
                        After::GoOn => {}
                        After::Close(reason) => return DownReason::Closed(reason),
                        After::Full => return DownReason::TimedOut("it did not read"),
                    }
                }
                written = writing.write(self.outbound.pending()), if pending => match written {
                    Ok(written) if written > 0 => {
                        self.outbound.advance(written);
                        self.wrote = Instant::now();
                    }
                    Ok(_) => return DownReason::Lost("it closed the connection".into()),
                    Err(error) => return DownReason::Lost(words(&error)),
                },
                () = sleep_until(alarm) => {
                    if let Some(reason) = self.on_alarm(pending) {
                        return reason;
                    }
                }
            }
        }
    }

    async fn on_read(
        &mut self,
        read: io::Result<Read>,
        messages: &mut Vec<Message>,
    ) -> Result<(), DownReason> {
        match read {
            Ok(Read::Messages(_)) => {}
            Ok(Read::End) => return Err(DownReason::Lost("it closed the connection".into())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DownReason::Violated(error.to_string()));
            }
            Err(error) => return Err(DownReason::Lost(words(&error))),
        }
        self.heard = Instant::now();
        let events = self.translator.translate(messages).map_err(DownReason::Violated)?;
        if !events.is_empty() && !self.report(LinkNews::Events(events)).await {
            return Err(DownReason::Closed(CloseReason::Stopping));
        }
        Ok(())
    }

    /// When silence must be judged next.
    fn next_alarm(&self) -> Instant {
        let timeouts = &self.config.timeouts;
        (self.heard + timeouts.idle).min(self.wrote + timeouts.keep_alive)
    }

    fn on_alarm(&mut self, pending: bool) -> Option<DownReason> {
        let (now, timeouts) = (Instant::now(), self.config.timeouts);
        if now >= self.heard + timeouts.idle {
            return Some(DownReason::TimedOut("it was silent for two minutes"));
        }
        if now >= self.wrote + timeouts.keep_alive {
            if pending {
                return Some(DownReason::TimedOut("it did not read"));
            }
            self.outbound.keep_alive();
            // The write itself renews this; until then the alarm must not spin.
            self.wrote = now;
        }
        None
    }

    /// Tells the torrent; false when it is gone.
    async fn report(&mut self, news: LinkNews) -> bool {
        let link = self.link;
        self.reports.send(LinkReport { link, news }).await.is_ok()
    }
}
