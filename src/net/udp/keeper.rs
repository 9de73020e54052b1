//! Keeps the sockets of a session open: opens them again when their device comes back or has
//! another address, and asks the proxy for another relay when one is gone. Meanwhile nothing is
//! sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::inbox::DATAGRAM_LEN;
use super::line::Line;
use super::pair::{Opened, Pair, open_pair};
use super::post::{Post, read};
use crate::base::addr::canonical;
use crate::net::Error;
use crate::net::egress::{Egress, Purpose, Relay, RelayEnd};

/// A socket that could not be opened again is tried so long after.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// A relay that is gone or refused is asked for again so long after, at first and at most; in
/// between ever longer, as libtorrent does it (`udp_socket.cpp`, `retry_connection`).
const RELAY_AGAIN: Duration = Duration::from_secs(5);
const RELAY_AGAIN_MAX: Duration = Duration::from_secs(120);
/// A relay that lasted so long was one.
const RELAY_HELD: Duration = Duration::from_secs(10);
/// What is said while there is none that there was.
const NO_RELAY: &str = "the proxy carries no datagrams at present: it has closed their relay";

/// What the users of the sockets are told.
pub(super) struct Told {
    pub line: watch::Sender<Line>,
    pub port: watch::Sender<u16>,
}

impl Told {
    /// Nothing is sent until what was lost is back.
    fn pause(&self, why: &str) {
        self.line.send_replace(Line::Closed { why: why.into(), is_brief: true });
    }

    /// Nothing could be opened.
    fn close(&self, error: &Error) {
        let is_brief = error.is_held() || matches!(error, Error::PortTaken { .. });
        self.line.send_replace(Line::Closed { why: error.to_string().into(), is_brief });
    }

    pub(super) fn open(&self, pair: &Pair) {
        let own_port = |socket: &Arc<UdpSocket>| socket.local_addr().map(|at| at.port()).ok();
        if let Some(port) = pair.iter().flatten().find_map(own_port) {
            self.port.send_replace(port);
        }
        self.line.send_replace(Line::Own(pair.clone()));
    }
}

/// Runs for as long as the sockets are wanted, `opened` first.
pub(super) async fn run(
    egress: Egress,
    port: u16,
    mut opened: Option<Opened>,
    told: Told,
    post: Post,
) {
    let mut again = Again::default();
    let mut around = egress.watch();
    let mut has_warned = false;
    loop {
        if egress.is_proxied(Purpose::Dht) {
            relayed(&egress, &told, &post, &mut again).await;
            continue;
        }
        // What changes from here on is worth another attempt.
        around.mark_unchanged();
        match opened.take().map_or_else(|| open_again(&egress, port, &mut has_warned), Ok) {
            Ok(opened) => {
                hold(&egress, opened, &told, &post).await;
                info!("datagrams: the device is gone, or has another address");
            }
            Err(error) => {
                debug!(%error, "no socket for datagrams");
                told.close(&error);
                tokio::select! {
                    () = sleep(OPEN_AGAIN) => {}
                    // Its sender is ours.
                    _ = around.changed() => {}
                }
            }
        }
    }
}

/// Carries datagrams by a relay, if the proxy grants one, and waits until another may be asked for.
async fn relayed(egress: &Egress, told: &Told, post: &Post, again: &mut Again) {
    let before = egress.standing();
    let came = match egress.relay(Purpose::Dht).await {
        Ok(Some(relay)) => {
            let begun = Instant::now();
            let ended = tokio::select! {
                () = carry(relay, told, post) => true,
                () = egress.lost(before.place) => false,
            };
            told.pause(NO_RELAY);
            if ended {
                egress.tell_relay(Some(NO_RELAY));
            }
            Came::Relay(begun.elapsed())
        }
        Ok(None) => Came::Nothing,
        Err(error) => {
            debug!(%error, "no relay for datagrams");
            told.close(&error);
            if error.is_held() { Came::Nothing } else { Came::Refusal }
        }
    };
    let mut around = egress.watch();
    let before = egress.standing();
    let back = around.wait_for(|standing| standing.is_elsewhere_than(&before));
    let _ = timeout(again.after(came), back).await;
}

/// What came of asking for a relay.
#[derive(Clone, Copy, Debug)]
enum Came {
    /// One that lasted so long.
    Relay(Duration),
    /// The proxy does not want.
    Refusal,
    /// It was not asked: it or the device is away.
    Nothing,
}

/// When a relay is asked for again.
#[derive(Default)]
struct Again {
    attempts: u64,
}

impl Again {
    /// How long after. One that was granted and closed at once is no better than none.
    fn after(&mut self, came: Came) -> Duration {
        match came {
            Came::Relay(lasted) if lasted >= RELAY_HELD => self.attempts = 0,
            Came::Nothing => self.attempts = 0,
            Came::Relay(_) | Came::Refusal => {}
        }
        let pause = RELAY_AGAIN + Duration::from_secs(self.attempts * self.attempts / 2);
        self.attempts = (self.attempts + 1).min(60);
        pause.min(RELAY_AGAIN_MAX)
    }
}

/// The sockets on the port that they had, or on any when somebody took it meanwhile.
pub(super) fn open_again(
    egress: &Egress,
    port: u16,
    has_warned: &mut bool,
) -> Result<Opened, Error> {
    match open_pair(egress, port) {
        Err(Error::PortTaken { .. }) if port > 0 => {
            if !std::mem::replace(has_warned, true) {
                warn!(port, "another program has this UDP port; any other one is used");
            }
            open_pair(egress, 0)
        }
        opened => opened,
    }
}

/// Reads until the sockets are of no use. A family that the device comes to have is opened, too.
async fn hold(egress: &Egress, mut opened: Opened, told: &Told, post: &Post) {
    told.open(&opened.pair);
    let mut readers = JoinSet::new();
    for socket in opened.pair.iter().flatten() {
        readers.spawn(read(socket.clone(), post.clone()));
    }
    loop {
        tokio::select! {
            () = egress.lost(opened.place) => break,
            () = sleep(OPEN_AGAIN), if opened.place.is_some_and(|_| opened.lacks_one()) => {
                if let Some(socket) = opened.complete(egress) {
                    told.open(&opened.pair);
                    readers.spawn(read(socket, post.clone()));
                }
            }
        }
    }
    told.pause("the device is gone, or has another address");
    drop(opened);
    // Nobody holds the sockets any more then, and their port is free.
    readers.shutdown().await;
}

/// Carries datagrams until the relay is gone.
async fn carry(mut relay: Relay, told: &Told, post: &Post) {
    let end = relay.end();
    told.line.send_replace(Line::Relay(end.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_asked_for_ever_more_seldom_unless_one_lasted_or_nothing_left() {
        let mut again = Again::default();
        let mut after = |came| again.after(came).as_secs();
        let at_once = Came::Relay(Duration::from_secs(1));
        let pauses = [Came::Refusal, at_once, Came::Refusal, at_once].map(&mut after);
        assert_eq!(pauses, [5, 5, 7, 9], "granted and closed at once");
        assert_eq!(after(Came::Nothing), 5, "nobody refused");
        assert_eq!(after(Came::Nothing), 5);
        assert_eq!([Came::Refusal, Came::Refusal].map(&mut after), [5, 7]);
        assert_eq!(after(Came::Relay(RELAY_HELD)), 5);
        (0..99).for_each(|_| _ = after(Came::Refusal));
        assert_eq!(after(Came::Refusal), 120);
    }
}
