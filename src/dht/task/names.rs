//! Nodes that are known by name: `nodes` of torrents, and public routers, which are asked last.
//! Names are resolved aside, so that a resolver that hangs holds up nobody. Not here: what
//! becomes of the addresses.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::debug;

use crate::dht::event::Hint;
use crate::net::Error;
use crate::net::egress::{Egress, Purpose};

/// Names of torrents that wait to be resolved (as many hints as are kept of peers).
const NAMES_MAX: usize = 200;
/// Names that are resolved at once.
const LOOKUPS_MAX: usize = 4;
/// How long a resolver may take.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// How long those who are known from elsewhere have to answer before routers are asked.
const GRACE: Duration = Duration::from_secs(3);
/// When routers are asked again that did not help, at first; each time it is twice as long.
const AGAIN: Duration = Duration::from_secs(10);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// Names that are to become addresses.
pub(super) struct Names {
    egress: Egress,
    routers: Vec<String>,
    /// When routers may be asked, and how long it is until the next time.
    routers_at: Instant,
    pause: Duration,
    waiting: VecDeque<String>,
    lookups: JoinSet<(Vec<SocketAddr>, Hint)>,
}

impl Names {
    pub(super) fn new(egress: Egress, routers: Vec<String>, now: Instant) -> Self {
        Self {
            egress,
            routers,
            routers_at: now + GRACE,
            pause: AGAIN,
            waiting: VecDeque::new(),
            lookups: JoinSet::new(),
        }
    }

    /// A torrent names nodes. Those that are addresses are returned at once.
    pub(super) fn of_torrent(&mut self, nodes: Vec<(String, u16)>) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for (host, port) in nodes {
            match host.parse() {
                Ok(ip) => addresses.push(SocketAddr::new(ip, port)),
                Err(_) if self.waiting.len() < NAMES_MAX => {
                    self.waiting.push_back(format!("{host}:{port}"));
                }
                Err(_) => {}
            }
        }
        addresses
    }

    /// The network is another one: what did not help there may help here.
    pub(super) fn start_again(&mut self, now: Instant) {
        (self.routers_at, self.pause) = (now + GRACE, AGAIN);
    }

    /// Begins to resolve what is to be resolved: `is_lonely` when over some family nobody answers,
    /// and `is_lost` when nobody is known who could.
    pub(super) fn look(&mut self, is_lonely: bool, is_lost: bool, now: Instant) {
        if !is_lonely {
            self.start_again(now);
            self.waiting.clear();
            return;
        }
        let is_first = self.pause == AGAIN;
        if now >= self.routers_at || is_lost && is_first {
            self.routers_at = now + self.pause;
            self.pause = (self.pause * 2).min(AGAIN_MAX);
            for router in self.routers.clone() {
                self.lookups.spawn(look_up(self.egress.clone(), router, Hint::Router));
            }
        }
        while self.lookups.len() < LOOKUPS_MAX
            && let Some(name) = self.waiting.pop_front()
        {
            self.lookups.spawn(look_up(self.egress.clone(), name, Hint::Torrent));
        }
    }

    /// The addresses of the next name that was resolved.
    pub(super) async fn next(&mut self) -> (Vec<SocketAddr>, Hint) {
        loop {
            match self.lookups.join_next().await {
                Some(Ok(resolved)) => return resolved,
                Some(Err(_)) => {}
                None => pending::<()>().await,
            }
        }
    }
}

/// The addresses of `HOST:PORT`.
pub(super) async fn resolve(
    egress: &Egress,
    name: &str,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    let split = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let wrong = || Error::Lookup { host: name.to_owned(), cause: "it has no port".to_owned() };
    let (host, port) = split.ok_or_else(wrong)?;
    egress.lookup(host, port, Purpose::Dht, limit).await
}

async fn look_up(egress: Egress, name: String, by: Hint) -> (Vec<SocketAddr>, Hint) {
    let addresses = resolve(&egress, &name, LOOKUP_MAX).await.unwrap_or_else(|error| {
        debug!(name, %error, "cannot resolve a node's name");
        Vec::new()
    });
    (addresses, by)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn names(now: Instant) -> Names {
        Names::new(Egress::default(), vec!["127.0.0.1:6881".to_owned()], now)
    }

    async fn next(names: &mut Names) -> Option<(Vec<SocketAddr>, Hint)> {
        match names.lookups.is_empty() {
            true => None,
            false => timeout(LIMIT, names.next()).await.ok(),
        }
    }

    fn router() -> Option<(Vec<SocketAddr>, Hint)> {
        Some((vec!["127.0.0.1:6881".parse().unwrap()], Hint::Router))
    }

    #[tokio::test]
    async fn routers_are_asked_where_nobody_else_answers_and_ever_more_rarely() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut names = names(now);
        names.look(true, false, at(2));
        assert_eq!(next(&mut names).await, None, "others may answer yet");
        names.look(true, false, at(3));
        assert_eq!(next(&mut names).await, router());
        for (second, is_due) in [(12, false), (13, true), (32, false), (33, true), (72, false)] {
            names.look(true, true, at(second));
            assert_eq!(next(&mut names).await.is_some(), is_due, "{second}");
        }
        // Somebody answers, and falls silent again.
        names.look(false, false, at(74));
        names.look(true, false, at(75));
        assert_eq!(next(&mut names).await, None);
        names.look(true, false, at(77));
        assert_eq!(next(&mut names).await, router());
    }

    #[tokio::test]
    async fn where_nobody_is_known_routers_are_asked_at_once() {
        let now = Instant::now();
        let mut names = names(now);
        names.look(true, true, now);
        assert_eq!(next(&mut names).await, router());
        names.look(true, true, now);
        assert_eq!(next(&mut names).await, None);
        names.start_again(now);
        names.look(true, true, now);
        assert_eq!(next(&mut names).await, router());
    }

    #[tokio::test]
    async fn addresses_need_no_resolver_and_names_are_bounded() {
        let now = Instant::now();
        let mut names = Names::new(Egress::default(), Vec::new(), now);
        let nodes = vec![("127.0.0.1".to_owned(), 7), ("::1".to_owned(), 8)];
        let addresses = ["127.0.0.1:7", "[::1]:8"].map(|text| text.parse().unwrap());
        assert_eq!(names.of_torrent(nodes), addresses);
        let many = (1..300).map(|port| ("localhost".to_owned(), port)).collect();
        assert_eq!(names.of_torrent(many), []);
        assert_eq!(names.waiting.len(), NAMES_MAX);
        names.look(true, false, now);
        assert_eq!(names.lookups.len(), LOOKUPS_MAX);
        let (addresses, by) = next(&mut names).await.expect("the name of this machine");
        assert!(by == Hint::Torrent && addresses.iter().all(|it| it.ip().is_loopback()));
        names.look(false, false, now);
        assert!(names.waiting.is_empty(), "enough are known");
    }
}
