//! The connections of a server for strangers: a bounded number, and always a place for one
//! more. When all are taken somebody has to go: of those who wait for nothing, and of all when
//! nobody does, one of the host that has the most connections, and of these the one that has
//! been idle for longest. So any number of idle or slow clients leaves room for those who ask.
//! Where that would be the newcomer's own host and nobody is idle, its running transfers stay and
//! the newcomer goes. Not here: what is served.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::base::addr::{Host, host_key};

/// Rest when the system has no descriptor left, instead of spinning.
const REST: Duration = Duration::from_secs(1);

/// The next connection on any of `listeners`, of which there are one or two. Never fails: what
/// is wrong with one connection is passed over, what is wrong with us is waited for. May be
/// dropped at any time.
pub async fn accept(listeners: &[TcpListener]) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = std::future::poll_fn(|cx| {
            let mut accepted = listeners.iter().map(|listener| listener.poll_accept(cx));
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accepted.await {
            Ok(connection) => return connection,
            Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection broke"),
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(REST).await;
            }
        }
    }
}

/// Whether the next connection may be there already. Linux also hands on here what the network
/// did to a connection before it was accepted (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

/// Everybody who is connected.
#[derive(Debug)]
pub struct Guests {
    most: usize,
    opened_at: Instant,
    tasks: JoinSet<()>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    task: AbortHandle,
    host: Host,
    presence: Presence,
}

/// What there is for a newcomer.
enum Room {
    /// A free place.
    Free,
    /// The place of another one, who had to go.
    Made,
    /// Nothing that would not cost its own host a transfer.
    None,
}

/// What a connection tells about itself: whether it waits for an answer of ours.
#[derive(Clone, Debug)]
pub struct Presence {
    opened_at: Instant,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Requests that are being answered.
    busy: AtomicU32,
    /// When the last one was, in milliseconds since the opening.
    idle_since_ms: AtomicU64,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub struct Busy(Presence);

impl Presence {
    /// A request has come.
    pub fn busy(&self) -> Busy {
        self.told.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn note_time(&self) {
        let since_ms = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.told.idle_since_ms.store(since_ms, Ordering::Relaxed);
    }

    /// Whether something is owed to it.
    pub fn is_busy(&self) -> bool {
        self.told.busy.load(Ordering::Relaxed) > 0
    }

    fn idle_since_ms(&self) -> u64 {
        self.told.idle_since_ms.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.note_time();
        self.0.told.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guests {
    /// Room for `most` connections.
    pub fn new(most: usize) -> Self {
        let (tasks, places) = (JoinSet::new(), Vec::new());
        Self { most, opened_at: Instant::now(), tasks, places }
    }

    /// Starts `serve` for a connection from `remote`; true when another one had to go for it, or
    /// it itself, unserved.
    pub fn admit<F>(&mut self, remote: SocketAddr, serve: impl FnOnce(Presence) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let host = host_key(remote.ip());
        let has_cost = match self.make_room(host) {
            Room::Free => false,
            Room::Made => true,
            Room::None => return true,
        };
        let presence = Presence { opened_at: self.opened_at, told: Arc::default() };
        presence.note_time();
        let task = self.tasks.spawn(serve(presence.clone()));
        self.places.push(Place { task, host, presence });
        has_cost
    }

    /// Waits for a connection to end; for ever when there is none. May be dropped.
    pub async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Ends the idle at once, and the others when they are done or after `farewell`.
    pub async fn leave(mut self, farewell: Duration) {
        for place in self.places.iter().filter(|place| !place.presence.is_busy()) {
            place.task.abort();
        }
        let done = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is cut off.
        let _ = timeout(farewell, done).await;
        self.tasks.shutdown().await;
    }

    fn make_room(&mut self, newcomer: Host) -> Room {
        if self.places.len() < self.most {
            return Room::Free;
        }
        self.places.retain(|place| !place.task.is_finished());
        if self.places.len() < self.most {
            return Room::Free;
        }
        let mut counts: HashMap<Host, usize> = HashMap::new();
        for place in &self.places {
            *counts.entry(place.host).or_default() += 1;
        }
        let worth = |place: &Place| {
            let count = counts.get(&place.host).copied().unwrap_or_default();
            let presence = &place.presence;
            (presence.is_busy(), std::cmp::Reverse(count), presence.idle_since_ms())
        };
        let victim = (0..self.places.len()).min_by_key(|at| worth(&self.places[*at]));
        if let Some(victim) = victim {
            let place = &self.places[victim];
            if place.host == newcomer && place.presence.is_busy() {
                return Room::None;
            }
            self.places.swap_remove(victim).task.abort();
        }
        Room::Made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guests that stay, each with what it tells.
    struct House {
        guests: Guests,
        told: Vec<Presence>,
    }

    impl House {
        fn new(most: usize) -> Self {
            Self { guests: Guests::new(most), told: Vec::new() }
        }

        async fn admit(&mut self, host: u8) -> bool {
            let told = &mut self.told;
            let has_cost = self.guests.admit(([10, 0, 0, host], 1).into(), |presence| {
                told.push(presence);
                std::future::pending()
            });
            tokio::time::advance(Duration::from_millis(10)).await;
            has_cost
        }

        /// Who is there, by the order of coming.
        fn there(&self) -> Vec<usize> {
            let is_there = |told: &Presence| {
                self.guests.places.iter().any(|it| Arc::ptr_eq(&it.presence.told, &told.told))
            };
            (0..self.told.len()).filter(|at| is_there(&self.told[*at])).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_goes_and_not_the_newcomer() {
        let mut house = House::new(3);
        for host in 1..=3 {
            assert!(!house.admit(host).await);
        }
        // The oldest has just been answered, and the next one is being answered.
        drop(house.told[0].busy());
        let busy = house.told[1].busy();
        assert!(house.admit(4).await);
        assert_eq!(house.there(), [0, 1, 3]);
        assert!(house.admit(5).await);
        assert_eq!(house.there(), [1, 3, 4]);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_with_many_connections_gives_its_own() {
        let mut house = House::new(4);
        for host in [1, 2, 2, 2] {
            house.admit(host).await;
        }
        house.admit(2).await;
        assert_eq!(house.there(), [0, 2, 3, 4]);
        // Also when all of them wait for answers.
        let _busy: Vec<Busy> = house.told.iter().map(Presence::busy).collect();
        house.admit(3).await;
        assert_eq!(house.there(), [0, 3, 4, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_waits_for_many_answers_loses_none_to_its_own_newcomer() {
        let mut house = House::new(3);
        for host in [1, 2, 2] {
            house.admit(host).await;
        }
        let _busy: Vec<Busy> = house.told.iter().map(Presence::busy).collect();
        assert!(house.admit(2).await);
        assert_eq!((house.there(), house.told.len()), (vec![0, 1, 2], 3));
        house.admit(3).await;
        assert_eq!(house.there(), [0, 2, 3]);
    }

    #[tokio::test]
    async fn one_that_has_left_makes_room_and_costs_nobody_a_place() {
        let mut guests = Guests::new(1);
        guests.admit(([10, 0, 0, 1], 1).into(), |_| async {});
        guests.ended().await;
        assert!(!guests.admit(([10, 0, 0, 2], 1).into(), |_| std::future::pending()));
        guests.leave(Duration::from_secs(1)).await;
    }

    #[test]
    fn what_is_wrong_with_one_connection_makes_nobody_wait() {
        // Numbers of Linux: ECONNABORTED, EHOSTUNREACH, ENETDOWN, ENETUNREACH.
        for code in [103, 113, 100, 101] {
            assert!(is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // EMFILE, ENFILE, ENOMEM.
        for code in [24, 23, 12] {
            assert!(!is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}
