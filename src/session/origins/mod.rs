//! The pool of connections to servers of files, for all torrents of a session: one actor carries
//! out what the plan says. It also remembers where redirects lead, so that not every link has to
//! ask anew. Not here: what is said over the connections.

mod plan;
mod redirects;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::base::url::{Origin, Site};
use crate::link::web::{Ask, Connection, Gauge, Lease, Order, Origins, Policy, Wait};

use plan::{Busy, Open, Output, Plan};
use redirects::Redirects;

/// How often what sites send is measured, and whether those who wait still do is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Open for Connection {
    type Origin = Origin;

    fn origin(&self) -> &Origin {
        self.origin()
    }
}

/// Starts the pool; it ends with its last handle.
pub(super) fn start(policy: Policy) -> Origins {
    let torrent_max = policy.connections;
    let (origins, orders) = Origins::new(policy);
    let actor = Actor {
        plan: Plan::new(torrent_max, rand::random()),
        redirects: Redirects::default(),
        gauges: BTreeMap::new(),
        waiting: BTreeMap::new(),
        ends: JoinSet::new(),
        next_ticket: 0,
        look_at: Instant::now() + LOOK_EVERY,
    };
    tokio::spawn(actor.run(orders));
    origins
}

struct Actor {
    plan: Plan<Connection>,
    redirects: Redirects,
    gauges: BTreeMap<Site, Arc<Gauge>>,
    /// Those who wait for a lease, by ticket.
    waiting: BTreeMap<u64, Waiting>,
    /// Ends of leases: a ticket, and the connections that may be used again.
    ends: JoinSet<(u64, Vec<Connection>)>,
    next_ticket: u64,
    look_at: Instant,
}

struct Waiting {
    site: Site,
    waits: watch::Sender<Option<Wait>>,
    answer: oneshot::Sender<Lease>,
}

impl Actor {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            self.carry_out();
            let timeout = self.timeout();
            tokio::select! {
                // A lease that is given back is told before it is dropped, and to be heard so.
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return,
                },
                Some(Ok((ticket, connections))) = self.ends.join_next() => {
                    self.plan.end(ticket, connections, now());
                }
                () = sleep_until(timeout.unwrap_or_else(Instant::now)), if timeout.is_some() => {
                    self.look();
                }
            }
        }
    }

    /// While nobody uses or wants anything, only what the plan waits for.
    fn timeout(&self) -> Option<Instant> {
        let is_used = !self.waiting.is_empty() || !self.ends.is_empty();
        let look = is_used.then_some(self.look_at);
        look.into_iter().chain(self.plan.next_timeout().map(Instant::from_std)).min()
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Lease(Ask { site, torrent, left_bytes, waits, answer }) => {
                if self.waiting.is_empty() && self.ends.is_empty() {
                    self.look_at = Instant::now() + LOOK_EVERY;
                }
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                let waiting = Waiting { site: site.clone(), waits, answer };
                self.waiting.insert(ticket, waiting);
                self.plan.ask(ticket, site, (torrent, left_bytes), now());
            }
            // That it was dropped as well is heard later, and nothing new.
            Order::End { ticket, connections } => self.plan.end(ticket, connections, now()),
            Order::Brings { ticket } => self.plan.brings(ticket, now()),
            Order::Busy { ticket, why, retry_after, answer } => {
                let wait = self.plan.busy(ticket, Busy { why, retry_after }, now());
                // It may have ended meanwhile.
                let _ = answer.send(wait);
            }
            Order::Target { url, answer } => {
                let _ = answer.send(self.redirects.target(&url, now()));
            }
            Order::NoRedirect { url, target } => self.redirects.disprove(&url, &target),
            Order::Redirect { url, target } => self.redirects.remember(&url, target, now()),
        }
    }

    fn look(&mut self) {
        let now = now();
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK_EVERY;
            for (site, gauge) in &self.gauges {
                let (bytes, answers) = gauge.read();
                self.plan.measure(site, bytes, answers, now);
            }
            let gone = |waiting: &mut Waiting| waiting.answer.is_closed();
            for (ticket, _) in self.waiting.extract_if(.., |_, waiting| gone(waiting)) {
                self.plan.end(ticket, Vec::new(), now);
            }
        }
        self.plan.tick(now);
        self.gauges.retain(|site, _| self.plan.knows(site));
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.plan.poll_output() {
            match output {
                Output::Grant { ticket, connections } => self.grant(ticket, connections),
                Output::Wait { ticket, until, why } => {
                    if let Some(waiting) = self.waiting.get(&ticket) {
                        waiting.waits.send_replace(Some(Wait { until, why }));
                    }
                }
                Output::Contended { site, is } => self.gauge(&site).contend(is),
            }
        }
    }

    fn grant(&mut self, ticket: u64, connections: Vec<Connection>) {
        let Some(Waiting { site, answer, .. }) = self.waiting.remove(&ticket) else {
            return self.plan.end(ticket, connections, now());
        };
        let (lease, over) = Lease::new(ticket, self.gauge(&site), connections);
        self.ends.spawn(async move { (ticket, over.await.unwrap_or_default()) });
        // Whoever wants it no more gives it back at once by that.
        let _ = answer.send(lease);
    }

    fn gauge(&mut self, site: &Site) -> Arc<Gauge> {
        self.gauges.entry(site.clone()).or_default().clone()
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
