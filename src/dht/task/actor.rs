//! The actor that owns the machines, one a family: it feeds them datagrams, orders and time, does
//! what they say, and knows which torrent or person waits for which answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use serde_bytes::ByteBuf;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant as TimerInstant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::clock::Surroundings;
use super::keep::{self, Kept};
use super::names::Names;
use super::{Answer, DhtConfig, DhtNews, Look, Order, Question, Standing, Wish, now};
use crate::base::ids::InfoHash;
use crate::dht::Node;
use crate::dht::event::{Config, Haste, Health, Hint, Input, Output, Tally, Ticket};
use crate::dht::rouse::ENOUGH;
use crate::net::blocklist::{Blocklist, Refused};
use crate::net::udp::{Udp, UdpNews};

/// How often it is looked how the machines fare, and whether anything around us has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the start waits for what an earlier run kept: a disk that hangs does not hold up the
/// DHT, nor those who ask for it.
const LOAD_MAX: Duration = Duration::from_secs(2);
/// Datagrams taken in before anything else has a turn.
const BATCH: usize = 64;
/// Between two times of asking how many a swarm has, and swarms of which that is known.
const COUNT_EACH: Duration = Duration::from_secs(60);
const COUNTS_MAX: usize = 16;
/// Queries a second that reach addresses not spoken to in the last 30 s, so that a cheap router
/// holds at most some 2,000 of them at a time.
const FRESH_FLOWS: u32 = 64;

/// A machine and its family.
struct Side {
    is_v4: bool,
    node: Node,
}

/// A torrent that waits for peers.
struct Member {
    number: u64,
    post: mpsc::Sender<DhtNews>,
}

/// Somebody who waits for answers, of so many families.
struct Asker {
    post: mpsc::Sender<Answer>,
    families: usize,
}

/// How many a swarm has, by what nodes told.
struct Count {
    hash: InfoHash,
    /// The question to them, and when it was asked.
    ticket: Ticket,
    asked: Instant,
    /// Of the families that answered it, or of an earlier one.
    swarm: Option<(usize, usize)>,
    is_answered: bool,
}

struct Actor {
    udp: Udp,
    /// Nodes there are neither heard nor asked.
    blocklist: Blocklist,
    sides: Vec<Side>,
    members: BTreeMap<InfoHash, Member>,
    askers: BTreeMap<Ticket, Asker>,
    counts: Vec<Count>,
    next_ticket: u64,
    names: Names,
    around: Surroundings,
    told: watch::Sender<Standing>,
    file: Option<PathBuf>,
    kept: Kept,
    /// What is kept has changed since it was written, or is being written.
    is_stale: bool,
    writing: Option<JoinHandle<()>>,
}

/// Runs until it is stopped, or its last handle is gone.
pub(super) async fn run(
    config: DhtConfig,
    mut orders: mpsc::Receiver<Order>,
    mut named: mpsc::Receiver<SocketAddr>,
    told: watch::Sender<Standing>,
) {
    let (mut actor, mut mail) = Actor::start(config, told).await;
    let mut news = Vec::with_capacity(BATCH);
    let mut nodes = Vec::with_capacity(BATCH);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One timer for all: an answered query moves it only if something is due at another time.
    let mut timer = pin!(sleep_until(now().into()));
    loop {
        let wake = actor.sides.iter().filter_map(|side| side.node.next_timeout()).min();
        if let Some(wake) = wake.map(TimerInstant::from)
            && timer.deadline() != wake
        {
            timer.as_mut().reset(wake);
        }
        tokio::select! {
            1.. = mail.recv_many(&mut news, BATCH) => {
                news.drain(..).for_each(|news| actor.on_news(&news));
                if actor.told.borrow().good() == 0 {
                    // Somebody may wait for the first that answers.
                    actor.tell();
                }
            }
            order = orders.recv() => match order {
                Some(Order::Stop(answer)) => {
                    actor.end().await;
                    // The one who asked may have gone.
                    let _ = answer.send(());
                    return;
                }
                Some(order) => actor.on_order(order),
                None => return actor.end().await,
            },
            1.. = named.recv_many(&mut nodes, BATCH) => {
                nodes.drain(..).for_each(|address| actor.hint(address, Hint::Peer));
            }
            (addresses, by) = actor.names.next() => actor.on_resolved(addresses, by),
            () = &mut timer, if wake.is_some() => {
                actor.each(|_| Some(Input::Wake));
            }
            _ = look.tick() => actor.look_around(),
        }
        actor.carry_out();
    }
}

impl Actor {
    async fn start(
        config: DhtConfig,
        told: watch::Sender<Standing>,
    ) -> (Self, mpsc::Receiver<UdpNews>) {
        let DhtConfig { egress, udp, mail, file, routers, read_only } = config;
        let path = file.clone();
        let loading = spawn_blocking(move || path.as_deref().map(keep::load).unwrap_or_default());
        let (kept, file) = match timeout(LOAD_MAX, loading).await {
            // A panic is told by the runtime.
            Ok(loaded) => (loaded.unwrap_or_default(), file),
            Err(_) => {
                warn!("the disk does not answer: the DHT's nodes of earlier runs stay as they are");
                // What was not read is not overwritten.
                (Kept::default(), None)
            }
        };
        let start = |is_v4: bool, saved: Option<&ByteBuf>| {
            let host: IpAddr =
                if is_v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let config = Config {
                local: SocketAddr::new(host, udp.port()),
                seed: rand::random(),
                read_only,
                fresh_flows: FRESH_FLOWS,
            };
            Side { is_v4, node: Node::new(config, saved.map(|bytes| bytes.as_slice()), now()) }
        };
        let four = udp.has_v4().then(|| start(true, kept.four.as_ref()));
        let six = udp.has_v6().then(|| start(false, kept.six.as_ref()));
        let actor = Self {
            sides: four.into_iter().chain(six).collect(),
            udp,
            blocklist: egress.blocklist().clone(),
            members: BTreeMap::new(),
            askers: BTreeMap::new(),
            counts: Vec::new(),
            next_ticket: 0,
            names: Names::new(egress, routers, now()),
            around: Surroundings::look(),
            told,
            file,
            kept,
            is_stale: false,
            writing: None,
        };
        (actor, mail)
    }

    /// Tells each machine something.
    fn each<'a>(&mut self, mut input: impl FnMut(&Side) -> Option<Input<'a>>) {
        for side in &mut self.sides {
            if let Some(input) = input(side) {
                side.node.handle(input, now());
            }
        }
    }

    fn on_news(&mut self, news: &UdpNews) {
        let (UdpNews::Datagram { from: other, .. } | UdpNews::Refused { to: other }) = news;
        if matches!(news, UdpNews::Datagram { .. }) && self.is_refused(*other) {
            return;
        }
        self.each(|side| {
            (side.is_v4 == other.is_ipv4()).then(|| match news {
                UdpNews::Datagram { from, bytes } => Input::Datagram { from: *from, bytes },
                UdpNews::Refused { to } => Input::Refused { to: *to },
            })
        });
    }

    fn is_refused(&self, address: SocketAddr) -> bool {
        self.blocklist.refuses(address.ip(), Refused::Datagram)
    }

    fn hint(&mut self, address: SocketAddr, by: Hint) {
        if self.blocklist.contains(address.ip()) {
            return;
        }
        self.each(|side| {
            (side.is_v4 == address.is_ipv4()).then_some(Input::Hinted { address, by })
        });
    }

    /// A name is resolved. Routers are for families over which few answer: the first of them may
    /// do so before the others are resolved, and know nobody.
    fn on_resolved(&mut self, addresses: Vec<SocketAddr>, by: Hint) {
        for address in addresses {
            self.each(|side| {
                let is_its = side.is_v4 == address.is_ipv4();
                let is_needed = by != Hint::Router || side.node.health(now()).good < ENOUGH;
                (is_its && is_needed).then_some(Input::Hinted { address, by })
            });
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Wish { hash, number, wish, post } => self.on_wish(hash, number, wish, post),
            Order::Leave { hash, number } => self.leave(hash, number),
            Order::Hint { address, by } => self.hint(address, by),
            Order::Names(nodes) => {
                let addresses = self.names.of_torrent(nodes);
                addresses.into_iter().for_each(|address| self.hint(address, Hint::Torrent));
            }
            Order::Mapped(ports) => self.each(|side| {
                let address = ports.of(side.is_v4).datagrams_at;
                Some(Input::Mapped { address })
            }),
            Order::Ask { question, post } => self.ask(question, post),
            Order::Look(answer) => {
                let contacts = self.sides.iter().flat_map(|side| side.node.contacts(now()));
                let lookups = self.sides.iter().flat_map(|side| side.node.lookups(now()));
                let look = Look { contacts: contacts.collect(), lookups: lookups.collect() };
                // The one who asked may have gone.
                let _ = answer.send(look);
            }
            Order::Count { hash, answer } => {
                let _ = answer.send(self.count(hash));
            }
            // It ends the loop.
            Order::Stop(_) => {}
        }
    }

    fn on_wish(&mut self, hash: InfoHash, number: u64, wish: Wish, post: mpsc::Sender<DhtNews>) {
        self.members.insert(hash, Member { number, post });
        let Wish { ports, seed, haste } = wish;
        self.each(|side| {
            Some(match ports.map(|ports| ports.of(side.is_v4).tcp) {
                // Peers connect over TCP: what port our datagrams seem to come from is no answer.
                Some(port) => Input::Announce { hash, port, implied: false, seed, haste },
                None => Input::Seek { hash, seed, haste },
            })
        });
    }

    fn leave(&mut self, hash: InfoHash, number: u64) {
        if self.members.get(&hash).is_some_and(|member| member.number == number) {
            self.members.remove(&hash);
            self.each(|_| Some(Input::Forget { hash }));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn ask(&mut self, question: Question, post: mpsc::Sender<Answer>) {
        let ticket = self.ticket();
        let mut families = 0;
        // Where nobody answers a lookup would only wait for somebody.
        let reaches = |side: &Side| side.node.health(now()).good > 0;
        let reaches_any = self.sides.iter().any(reaches);
        // A ping goes to the node itself, whoever else answers there.
        let is_ping = matches!(question, Question::Ping(_));
        self.each(|side| {
            if !is_ping && reaches_any && !reaches(side) {
                return None;
            }
            let input = match &question {
                Question::Find(hash) => Input::Find { ticket, hash: *hash, haste: Haste::Urgent },
                Question::Scrape(hash) => Input::Scrape { ticket, hash: *hash },
                Question::Ping(address) if address.is_ipv4() != side.is_v4 => return None,
                Question::Ping(address) => Input::Ping { ticket, address: *address },
                Question::Get { target, salt } => {
                    Input::Get { ticket, target: *target, salt: salt.clone() }
                }
                Question::Put(item) => Input::Put { ticket, item: item.clone() },
            };
            families += 1;
            Some(input)
        });
        if families > 0 {
            self.askers.insert(ticket, Asker { post, families });
        }
    }

    /// What nodes told last of a swarm; they are asked, if that is long ago.
    fn count(&mut self, hash: InfoHash) -> Option<(usize, usize)> {
        let known = self.counts.iter().position(|count| count.hash == hash);
        let swarm = known.and_then(|at| self.counts[at].swarm);
        let is_recent = known.is_some_and(|at| self.counts[at].asked.elapsed() < COUNT_EACH);
        if !is_recent {
            known.map(|at| self.counts.remove(at));
            if self.counts.len() == COUNTS_MAX {
                self.counts.remove(0);
            }
            let (ticket, asked, is_answered) = (self.ticket(), now(), false);
            self.counts.push(Count { hash, ticket, asked, swarm, is_answered });
            self.each(|_| Some(Input::Scrape { ticket, hash }));
        }
        swarm
    }

    fn on_counted(&mut self, ticket: Ticket, (seeds, leechers): (usize, usize)) {
        if let Some(count) = self.counts.iter_mut().find(|count| count.ticket == ticket) {
            let other = count.swarm.filter(|_| count.is_answered).unwrap_or_default();
            count.swarm = Some((seeds + other.0, leechers + other.1));
            count.is_answered = true;
        }
    }

    /// Does what the machines say.
    fn carry_out(&mut self) {
        for at in 0..self.sides.len() {
            while let Some(output) = self.sides[at].node.poll_output() {
                self.on_output(self.sides[at].is_v4, output);
            }
        }
    }

    fn on_output(&mut self, is_v4: bool, output: Output) {
        match output {
            // As if nobody listened there.
            Output::Send { to, .. } if self.is_refused(to) => {
                self.each(|side| (side.is_v4 == is_v4).then_some(Input::Refused { to }));
            }
            Output::Send { to, bytes } => {
                // The machine waits for the answer, and that does not come.
                if let Err(error) = self.udp.send_or_lose(to, &bytes) {
                    debug!(%to, %error, "cannot send");
                }
            }
            Output::Peers { hash, peers, ticket } => self.on_peers(hash, peers, ticket),
            Output::Found { ticket, item } => self.answer(ticket, Answer::Found(item)),
            Output::Ended { ticket, tally } => self.on_ended(ticket, tally),
            Output::Announced { hash, nodes, .. } => {
                if let Some(member) = self.members.get(&hash) {
                    // One that is behind with its news hears of the next announce.
                    let _ = member.post.try_send(DhtNews::Announced { nodes });
                }
            }
            // The other machine asks them, and they answer or not.
            Output::Others { nodes } => {
                nodes.into_iter().for_each(|address| self.hint(address, Hint::Other));
            }
            Output::Public { address } => info!(%address, "our address as the DHT sees it"),
            Output::Save { bytes } => self.keep(is_v4, bytes),
        }
    }

    fn on_peers(&mut self, hash: InfoHash, peers: Vec<SocketAddr>, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket.filter(|ticket| self.askers.contains_key(ticket)) {
            return self.answer(ticket, Answer::Peers(peers));
        }
        if let Some(member) = self.members.get(&hash) {
            // One that is behind hears of them again.
            let _ = member.post.try_send(DhtNews::Peers(peers));
        }
    }

    fn on_ended(&mut self, ticket: Ticket, tally: Tally) {
        if let Some(swarm) = tally.swarm {
            self.on_counted(ticket, swarm);
        }
        self.answer(ticket, Answer::Ended(tally));
        if let Some(asker) = self.askers.get_mut(&ticket) {
            asker.families -= 1;
            if asker.families == 0 {
                self.askers.remove(&ticket);
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(asker) = self.askers.get(&ticket) {
            // One that does not listen misses some.
            let _ = asker.post.try_send(answer);
        }
    }

    fn keep(&mut self, is_v4: bool, bytes: Vec<u8>) {
        let place = if is_v4 { &mut self.kept.four } else { &mut self.kept.six };
        let bytes = Some(ByteBuf::from(bytes));
        self.is_stale |= *place != bytes;
        *place = bytes;
        self.write();
    }

    /// Writes what is kept, aside; later, when the disk is still busy with an earlier writing.
    fn write(&mut self) {
        let is_busy = self.writing.as_ref().is_some_and(|work| !work.is_finished());
        let Some(path) = self.file.clone().filter(|_| self.is_stale && !is_busy) else { return };
        self.is_stale = false;
        let kept = self.kept.clone();
        self.writing = Some(spawn_blocking(move || {
            if let Err(error) = keep::store(&path, &kept) {
                warn!(path = %path.display(), %error, "cannot keep the DHT's nodes");
            }
        }));
    }

    fn look_around(&mut self) {
        if let Some(slept) = self.around.changed() {
            info!(?slept, "the network has changed, or the machine slept");
            self.names.start_again(now());
            self.each(|_| Some(Input::Changed { slept }));
        }
        let gone: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.post.is_closed())
            .map(|(hash, member)| (*hash, member.number))
            .collect();
        gone.into_iter().for_each(|(hash, number)| self.leave(hash, number));
        self.write();
        let standing = self.tell();
        let good = |health: &Option<Health>| health.as_ref().map_or(0, |health| health.good);
        let (four, six) = (good(&standing.four), good(&standing.six));
        self.each(|side| Some(Input::Other { good: if side.is_v4 { six } else { four } }));
        // Where there is no way out over IPv6, nobody is missed there.
        let wants_v6 = standing.four.is_none() || self.around.has_v6();
        let is_lonely =
            standing.four.is_some() && four == 0 || standing.six.is_some() && six == 0 && wants_v6;
        let is_lost = standing.both().all(|health| health.known + health.hints == 0);
        self.names.look(is_lonely, is_lost, now());
    }

    /// Tells how it fares.
    fn tell(&self) -> Standing {
        let health = |is_v4: bool| {
            let side = self.sides.iter().find(|side| side.is_v4 == is_v4);
            side.map(|side| side.node.health(now()))
        };
        let standing = Standing { four: health(true), six: health(false) };
        self.told.send_if_modified(|told| {
            let is_news = *told != standing;
            told.clone_from(&standing);
            is_news
        });
        standing
    }

    /// Keeps what is known.
    async fn end(&mut self) {
        for at in 0..self.sides.len() {
            let bytes = self.sides[at].node.save(now());
            self.keep(self.sides[at].is_v4, bytes);
        }
        if let Some(work) = self.writing.take() {
            let _ = work.await;
        }
        self.write();
        if let Some(work) = self.writing.take() {
            let _ = work.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::net::egress::Egress;

    #[tokio::test]
    async fn a_router_that_answers_first_and_knows_nobody_shuts_no_other_out() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (udp, mail) = Udp::open(&Egress::from_address(Some(here)), 0).unwrap();
        let (egress, routers, told) = (Egress::default(), Vec::new(), Standing::default());
        let config =
            DhtConfig { egress, udp, mail: mail.dht, file: None, routers, read_only: false };
        let (mut actor, _mail) = Actor::start(config, watch::channel(told).0).await;
        let [poor, other] = [0; 2].map(|_| UdpSocket::bind((here, 0)).unwrap());
        let address = |socket: &UdpSocket| socket.local_addr().unwrap();
        actor.on_resolved(vec![address(&poor)], Hint::Router);
        actor.each(|_| Some(Input::Wake));
        actor.carry_out();
        let mut query = [0; 1_500];
        let len = poor.recv(&mut query).unwrap();
        let at = query[..len].windows(5).rposition(|key| key == b"1:t4:").unwrap() + 5;
        let mut bytes = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:".to_vec();
        bytes.extend_from_slice(&query[at..at + 4]);
        bytes.extend_from_slice(b"1:y1:re");
        actor.on_news(&UdpNews::Datagram { from: address(&poor), bytes });
        assert_eq!(actor.sides[0].node.health(now()).good, 1);
        actor.on_resolved(vec![address(&other)], Hint::Router);
        assert_eq!(actor.sides[0].node.health(now()).hints, 1, "it is forgotten");
    }
}
