//! The hand of port mapping: one task a family carries packets, orders and time between the
//! gateway and its machine, notices when the way out is another one, and posts how it stands. All
//! its sockets are `egress`'s. It decides nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::fetch;
use super::gateway;
use super::igd::description::Service;
use super::igd::soap::{Fault, Reply};
use super::igd::ssdp::SSDP_PORT;
use super::mapper::{Input, Mapper, Output};
use super::ports::{OutsidePorts, OwnPorts};
use super::types::{Behind, Ports, State, Way};
use crate::net::egress::{Egress, Purpose};

/// Where gateways speak PCP and NAT-PMP, and where they tell all that they have begun anew.
const GATEWAY_PORT: u16 = 5351;
const ANNOUNCE_PORT: u16 = 5350;
/// How often it is looked whether the way out is the same. The egress tells of other addresses; of
/// another gateway nobody does.
const LOOK: Duration = Duration::from_secs(60);
/// The clock of the wall runs ahead of ours by more than this when the machine has slept.
const SLEPT: Duration = Duration::from_secs(30);
/// Longer packets are cut; none that is honest is so long (RFC 6887, 7).
const PACKET_LEN_MAX: usize = 1100;
/// How long the end waits in all.
const STOP_MAX: Duration = Duration::from_millis(2_200);

/// Where the machines' words go, which tests change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doors {
    pub gateway: u16,
    /// None hears nobody.
    pub announce: Option<u16>,
    pub ssdp: u16,
    pub look: fn(&Egress, bool) -> Result<Way, String>,
}

/// What is mapped.
#[derive(Debug)]
pub struct PortMapConfig {
    /// Where it leaves.
    pub egress: Egress,
    /// Our port for peers.
    pub tcp: u16,
    /// Our port for datagrams, which may be another one when a device is back.
    pub udp: watch::Receiver<u16>,
}

/// How it stands with both families.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// IPv4.
    pub four: State,
    /// IPv6.
    pub six: State,
}

impl Standing {
    /// Of one family.
    pub fn of(&self, is_v4: bool) -> &State {
        if is_v4 { &self.four } else { &self.six }
    }
}

/// Port mapping at work; cheap to clone. It ends with the last clone, and what routers opened then
/// lasts for its lifetime; [`stop`](Self::stop) gives it back.
#[derive(Clone, Debug)]
pub struct PortMap {
    standing: watch::Receiver<Standing>,
    stopping: watch::Sender<bool>,
    tasks: Arc<watch::Sender<usize>>,
    _running: Arc<JoinSet<()>>,
}

impl PortMap {
    /// Asks from now on, and tells our ports as they are outside. Nobody is asked through a proxy.
    /// Must run inside the runtime.
    pub fn start(config: PortMapConfig) -> (Self, OwnPorts) {
        let doors = Doors {
            gateway: GATEWAY_PORT,
            announce: Some(ANNOUNCE_PORT),
            ssdp: SSDP_PORT,
            look: gateway::look,
        };
        Self::start_at(config, doors)
    }

    pub(super) fn start_at(config: PortMapConfig, doors: Doors) -> (Self, OwnPorts) {
        let PortMapConfig { egress, tcp, udp } = config;
        let (own, outside) = OwnPorts::following(tcp, udp.clone());
        let (told, standing) = watch::channel(Standing::default());
        let stopping = watch::Sender::new(false);
        let tasks = Arc::new(watch::Sender::new(2));
        let mut running = JoinSet::new();
        let outside = Arc::new(outside);
        let anew = watch::Sender::new([0; 2]);
        let told = Arc::new(told);
        for is_v4 in [true, false] {
            let hand = Hand {
                egress: egress.clone(),
                is_v4,
                tcp,
                udp: udp.clone(),
                doors,
                told: told.clone(),
                outside: outside.clone(),
                anew: anew.clone(),
                socket: None,
                announced: None,
                job: JoinSet::new(),
            };
            let (stop, tasks) = (stopping.subscribe(), tasks.clone());
            running.spawn(async move {
                hand.run(stop).await;
                tasks.send_modify(|count| *count -= 1);
            });
        }
        (Self { standing, stopping, tasks, _running: Arc::new(running) }, own)
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Tells of every change of it.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives back what routers have opened, and ends; returns after two seconds at most.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut tasks = self.tasks.subscribe();
        let ended = tasks.wait_for(|count| *count == 0);
        // What could not be given back ends by itself.
        let _ = timeout(STOP_MAX, ended).await;
    }
}

/// What a job has brought.
enum Brought {
    Found(Result<Vec<Service>, String>),
    Answered(Result<Reply, Fault>),
}

/// One family.
struct Hand {
    egress: Egress,
    is_v4: bool,
    tcp: u16,
    udp: watch::Receiver<u16>,
    doors: Doors,
    told: Arc<watch::Sender<Standing>>,
    outside: Arc<watch::Sender<OutsidePorts>>,
    /// How often each family has noticed that its router has begun anew: it is mostly the same.
    anew: watch::Sender<[u64; 2]>,
    /// Connected to the gateway's port.
    socket: Option<UdpSocket>,
    /// Hears what gateways tell all.
    announced: Option<UdpSocket>,
    /// What is asked over HTTP, one thing at a time.
    job: JoinSet<Brought>,
}

impl Hand {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let rng = StdRng::seed_from_u64(rand::random());
        let mut mapper = Mapper::new(self.ports(), rng);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut around = self.egress.watch();
        let mut clocks = (Instant::now(), SystemTime::now());
        let (mut anew, other) = (self.anew.subscribe(), usize::from(self.is_v4));
        let mut seen = 0;
        let (mut packet, mut word) = (vec![0; PACKET_LEN_MAX], vec![0; PACKET_LEN_MAX]);
        let mut is_stopping = false;
        let mut udp = self.udp.clone();
        while !mapper.has_ended() {
            self.carry_out(&mut mapper).await;
            self.post(&mapper);
            self.tell_other(&mapper);
            let wake = mapper.next_timeout().map(Instant::from_std);
            tokio::select! {
                // Its sender is ours, and the sender of `stop` is as old as we are.
                _ = around.changed() => self.look(&mut mapper),
                () = changed(&mut udp) => mapper.handle(Input::Ports(self.ports()), now()),
                _ = look.tick() => {
                    if has_slept(&mut clocks) {
                        mapper.handle(Input::Doubtful, now());
                    }
                    self.look(&mut mapper);
                }
                received = receive(self.socket.as_ref(), &mut packet) => match received {
                    Ok(len) => {
                        let packet = packet.get(..len).unwrap_or_default();
                        mapper.handle(Input::Packet(packet), now());
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        mapper.handle(Input::Refused, now());
                    }
                    Err(error) => {
                        debug!(%error, "cannot hear the router");
                        self.socket = None;
                    }
                },
                Ok((len, from)) = hear(self.announced.as_ref(), &mut word) => {
                    let is_gateway = mapper.way().is_some_and(|way| way.gateway == from.ip());
                    if is_gateway {
                        let word = word.get(..len).unwrap_or_default();
                        mapper.handle(Input::Announcement(word), now());
                    }
                }
                count = more_than(&mut anew, other, seen) => {
                    seen = count;
                    mapper.handle(Input::Doubtful, now());
                }
                // A panic in there is told by the runtime.
                Some(Ok(brought)) = self.job.join_next(), if !self.job.is_empty() => {
                    let input = match brought {
                        Brought::Found(found) => Input::Found(found),
                        Brought::Answered(answer) => Input::Answered(answer),
                    };
                    mapper.handle(input, now());
                }
                // Not what `stop` says now: that may have changed while another branch was taken.
                _ = stop.wait_for(|stops| *stops), if !is_stopping => {
                    is_stopping = true;
                    mapper.handle(Input::Stop, now());
                }
                () = sleep_to(wake), if wake.is_some() => mapper.handle(Input::Wake, now()),
            }
        }
        // The last words wait for no answer.
        self.carry_out(&mut mapper).await;
    }

    fn ports(&self) -> Ports {
        [self.tcp, *self.udp.borrow()]
    }

    /// Looks for the way out, and tells the machine if it is another one.
    fn look(&mut self, mapper: &mut Mapper) {
        let way = match self.egress.off(Purpose::PortMap) {
            Some(why) => Err(why.to_owned()),
            None => (self.doors.look)(&self.egress, self.is_v4),
        };
        let is_new = match &way {
            Ok(way) => mapper.way() != Some(*way),
            Err(why) => *mapper.state() != State::Off(why.clone()),
        };
        if !is_new {
            return;
        }
        debug!(?way, "the way to the router");
        self.socket = None;
        self.job.abort_all();
        self.announced = match (&way, self.doors.announce) {
            (Ok(_), Some(port)) => self
                .egress
                .shared_port(self.is_v4, port)
                .inspect_err(|error| debug!(%error, "nobody tells us that a router begins anew"))
                .ok(),
            _ => None,
        };
        mapper.handle(Input::Way(way), now());
    }

    async fn carry_out(&mut self, mapper: &mut Mapper) {
        while let Some(output) = mapper.poll_output() {
            let Some(way) = mapper.way() else { continue };
            match output {
                Output::Send(packet) => self.send(&way, &packet).await,
                Output::Search => {
                    let (egress, port) = (self.egress.clone(), self.doors.ssdp);
                    self.begin(
                        async move { Brought::Found(fetch::search(&egress, &way, port).await) },
                    );
                }
                Output::Call(service, action) => {
                    let egress = self.egress.clone();
                    self.begin(async move {
                        Brought::Answered(fetch::call(&egress, &way, &service, action).await)
                    });
                }
            }
        }
    }

    /// Only the latest job counts.
    fn begin(&mut self, job: impl Future<Output = Brought> + Send + 'static) {
        self.job = JoinSet::new();
        self.job.spawn(job);
    }

    /// Sends to the gateway's port. What cannot be sent is repeated by the machine.
    async fn send(&mut self, way: &Way, packet: &[u8]) {
        if self.socket.is_none() {
            let open = || self.egress.datagrams(Purpose::PortMap, SocketAddr::new(way.own, 0));
            match open() {
                Ok(socket) => {
                    // Then nobody else is heard, and refusals are.
                    if let Err(error) = socket.connect(way.at(self.doors.gateway)).await {
                        return debug!(%error, "cannot speak to the router");
                    }
                    self.socket = Some(socket);
                }
                Err(error) => return debug!(%error, "cannot speak to the router"),
            }
        }
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(packet).await
        {
            // An earlier packet may have been refused, which is told only once.
            let _ = socket.send(packet).await;
            debug!(%error, "cannot send to the router");
        }
    }

    /// Tells the other family that the router has begun anew.
    fn tell_other(&self, mapper: &Mapper) {
        let own = usize::from(!self.is_v4);
        self.anew.send_if_modified(|counts| {
            let is_new = counts[own] < mapper.resets();
            counts[own] = mapper.resets();
            is_new
        });
    }

    /// Tells how it stands, if that is news.
    fn post(&self, mapper: &Mapper) {
        let (is_v4, state) = (self.is_v4, mapper.state());
        let mut before = None;
        self.told.send_if_modified(|told| {
            let of = if is_v4 { &mut told.four } else { &mut told.six };
            let is_new = of != state;
            if is_new {
                before = Some(std::mem::replace(of, state.clone()));
            }
            is_new
        });
        let Some(before) = before else { return };
        self.outside.send_if_modified(|outside| {
            let told = *outside;
            outside.note(is_v4, self.tcp, state);
            *outside != told
        });
        log(is_v4, &before, state);
    }
}

/// Tells the log: what is of use once, and what is not once for each reason.
fn log(is_v4: bool, before: &State, now: &State) {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    match now {
        State::Mapped(it) => {
            let (protocol, address, tcp, udp) = (it.protocol, it.address, it.tcp, it.udp);
            info!(family, %protocol, %address, tcp, ?udp, "the router lets peers in");
            match it.behind() {
                Some(Behind::Carrier) => {
                    warn!(%address, "the provider shares this address among its customers (CGNAT)");
                }
                Some(Behind::Router) => {
                    warn!(%address, "the router is itself behind another one (double NAT)");
                }
                None => {}
            }
        }
        State::Failed(why) => info!(family, why, "the router opens no port"),
        State::Off(why) => debug!(family, why, "no port mapping"),
        State::Asking if before.mapping().is_some() => {
            warn!(family, "the port that the router opened is lost; it is asked again");
        }
        State::Asking => {}
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Has more time passed on the wall than on our clock since it was asked last?
fn has_slept(clocks: &mut (Instant, SystemTime)) -> bool {
    let (ours, wall) = (Instant::now(), SystemTime::now());
    let counted = ours.duration_since(clocks.0);
    let passed = wall.duration_since(clocks.1).unwrap_or_default();
    *clocks = (ours, wall);
    passed > counted + SLEPT
}

/// Waits until one of these has grown beyond what was seen.
async fn more_than(counts: &mut watch::Receiver<[u64; 2]>, which: usize, seen: u64) -> u64 {
    let grown = counts.wait_for(|counts| counts[which] > seen).await.map(|counts| counts[which]);
    match grown.ok() {
        Some(count) => count,
        None => std::future::pending().await,
    }
}

/// Waits until there is another port; for ever when there are no sockets any more.
async fn changed(port: &mut watch::Receiver<u16>) {
    if port.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn sleep_to(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn receive(socket: Option<&UdpSocket>, room: &mut [u8]) -> io::Result<usize> {
    match socket {
        Some(socket) => socket.recv(room).await,
        None => std::future::pending().await,
    }
}

async fn hear(socket: Option<&UdpSocket>, room: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(room).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
