//! Connections that come in: read their handshake, find their torrent, hand them over. It
//! holds a bounded number of strangers that have not said what they want.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, warn};

use crate::base::addr::{Host, Locality, host_key};
use crate::base::digest::Sha1Hash;
use crate::base::ids::InfoHash;
use crate::link::{Door, Question, Secrecy, read_hello};
use crate::net::Error;
use crate::net::blocklist::Refused;
use crate::net::egress::Egress;
use crate::net::guests::accept;
use crate::net::tcp::Listening;
use crate::torrent::incoming::Incoming;
use crate::torrent::status::{State, Status};
use crate::wire::mse::torrent_key;

/// Connections that have not finished their handshake (limits table); more are closed.
const HALF_OPEN_MAX: usize = 256;
/// Of those, as many from one public host.
const HALF_OPEN_HOST_MAX: usize = 16;
/// And as many from one local address: behind it any number of honest peers may live, but a
/// public host always finds room.
const HALF_OPEN_LOCAL_MAX: usize = HALF_OPEN_MAX * 3 / 4;
/// And as many that begin encrypted handshakes from one public network, at a time and in a second:
/// who has what a secret costs us may leave at once and come again.
const HIDDEN_NETWORK_MAX: usize = 20;
/// The second of that.
const HIDDEN_EVERY: Duration = Duration::from_secs(1);
/// Questions that wait for an answer; who asks more waits too.
const QUESTIONS_LEN: usize = 64;
/// Connections to latent torrents that the session has not looked at; of more some are closed.
const KNOCKS_LEN: usize = 64;
/// Time for a stranger to say what it wants (limits table).
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A port that could not be listened on is tried again so long after.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How often those are forgotten whose torrent is gone: a channel takes some kilobytes.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A torrent that takes connections.
#[derive(Debug)]
pub(super) struct Registration {
    pub info_hash: InfoHash,
    pub incoming: mpsc::Sender<Box<Incoming>>,
    /// What it is doing; a search, which has none, lets everybody in.
    pub status: Option<watch::Receiver<Status>>,
}

/// What the listener is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// A torrent takes connections itself.
    Takes(Registration),
    /// The session takes those for these, which are not here.
    Latent(Vec<InfoHash>),
    /// It does so no more.
    Leaves(Vec<InfoHash>),
    /// Somebody who knocked at a torrent that has come meanwhile.
    Again(Box<Incoming>),
}

/// Where connections for a torrent go.
#[derive(Debug)]
struct Taker {
    incoming: mpsc::Sender<Box<Incoming>>,
    status: Option<watch::Receiver<Status>>,
}

impl Taker {
    /// Is the torrent here, and at work?
    fn is_at_work(&self) -> bool {
        let works = |status: &watch::Receiver<Status>| {
            use State::{Checking, Complete, DiskTrouble, Downloading};
            matches!(status.borrow().state, Checking | Complete | DiskTrouble(_) | Downloading)
        };
        !self.incoming.is_closed() && self.status.as_ref().is_none_or(works)
    }
}

/// Starts to accept, and returns where those come who want a latent torrent.
pub(super) fn start(
    egress: &Egress,
    listening: Listening,
    notices: mpsc::Receiver<Notice>,
    secrecy: Secrecy,
) -> mpsc::Receiver<Box<Incoming>> {
    let (knock, knocks) = mpsc::channel(KNOCKS_LEN);
    tokio::spawn(run(egress.clone(), listening, (notices, knock), secrecy));
    knocks
}

/// Accepts until the session is gone, and listens again when the device comes back or has another
/// address. On port 0 nobody is ever listened to.
async fn run(
    egress: Egress,
    mut listening: Listening,
    (mut notices, knocks): (mpsc::Receiver<Notice>, mpsc::Sender<Box<Incoming>>),
    secrecy: Secrecy,
) {
    let mut has_warned = false;
    let (asking, mut questions) = mpsc::channel(QUESTIONS_LEN);
    let most = half_open_max();
    let mut torrents = Torrents::new(knocks);
    let mut hellos = JoinSet::new();
    let mut strangers = Strangers::default();
    let mut forgetting = interval(FORGET_EVERY);
    let mut second = interval(HIDDEN_EVERY);
    let mut again = interval(LISTEN_AGAIN);
    for pace in [&mut forgetting, &mut second, &mut again] {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Some(notice) => torrents.hear(notice),
                None => return,
            },
            it = accept(&listening.listeners) => {
                if egress.blocklist().refuses(it.1.ip(), Refused::Connection) {
                    debug!(address = %it.1, "a connection from the blocklist; closed");
                } else if hellos.len() < most && strangers.may_try(it.1.ip()) {
                    let door = Door::new(secrecy.clone(), it.1, asking.clone());
                    hellos.spawn(hello(it, door));
                } else {
                    debug!("too many connections without a handshake; one closed");
                }
            }
            () = listens_anew(&egress, &listening, &mut again) => {
                listen_anew(&egress, &mut listening, &mut has_warned);
            }
            Some(done) = hellos.join_next(), if !hellos.is_empty() => {
                // A panic in there is our own and goes on here.
                let (from, incoming) = done.unwrap_or_else(|e| resume_unwind(e.into_panic()));
                strangers.leave(from);
                if let Some(incoming) = incoming {
                    torrents.route(incoming);
                }
            }
            Some((from, question)) = questions.recv() => match question {
                // Who does not wait for the answer has gone, and would not be seen to leave.
                Question::Begin(answer) => if !answer.is_closed() {
                    let _ = answer.send(strangers.may_hide(from));
                },
                Question::Find(key, answer) => _ = answer.send(torrents.named(&key)),
            },
            _ = forgetting.tick() => torrents.forget_gone(),
            _ = second.tick(), if !strangers.begun.is_empty() => strangers.begun.clear(),
        }
    }
}

/// Waits until it is time to listen anew: there is another device or address, nobody listens, or
/// not on all that there is.
async fn listens_anew(egress: &Egress, listening: &Listening, again: &mut Interval) {
    if listening.port == 0 {
        return std::future::pending().await;
    }
    let is_nobody = listening.listeners.is_empty();
    tokio::select! {
        () = egress.lost(listening.place), if !is_nobody => {}
        _ = again.tick(), if is_nobody || listening.lacks_one() => {}
        else => std::future::pending().await,
    }
}

/// Listens where that can be now. That somebody has the port is told once.
fn listen_anew(egress: &Egress, listening: &mut Listening, has_warned: &mut bool) {
    if !listening.listeners.is_empty() && egress.holds(listening.place) {
        return listening.complete(egress);
    }
    match listening.again(egress) {
        Ok(()) => *has_warned = false,
        Err(error @ Error::PortTaken { .. }) if !std::mem::replace(has_warned, true) => {
            warn!("nobody can connect to us at present: {error}");
        }
        Err(error) => {
            listening.rest(egress);
            debug!(%error, "nobody can connect to us at present");
        }
    }
}

/// As many as are let in without a handshake: where there are few descriptors, files and peers are
/// to have some of them.
fn half_open_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).min(HALF_OPEN_MAX)
}

/// Who has not said yet what it wants.
#[derive(Default)]
struct Strangers {
    hosts: HashMap<Host, usize>,
    /// Of those, who began an encrypted handshake, and how many there are of each network.
    hidden: HashSet<SocketAddr>,
    networks: HashMap<IpAddr, usize>,
    /// How many of each network began one in this second.
    begun: HashMap<IpAddr, usize>,
    /// A translator before us is told once.
    has_warned: bool,
}

impl Strangers {
    /// Counts a connection; false when its host has too many that say nothing.
    fn may_try(&mut self, address: IpAddr) -> bool {
        let count = self.hosts.entry(host_key(address)).or_default();
        let locality = Locality::of(address);
        let fits = match locality {
            Locality::Public => *count < HALF_OPEN_HOST_MAX,
            _ => *count < HALF_OPEN_LOCAL_MAX,
        };
        *count += usize::from(fits);
        // Honest neighbours may come many at once, and are never that many.
        let may_translate = !matches!(locality, Locality::Public | Locality::Loopback);
        if !fits && may_translate && !self.has_warned {
            self.has_warned = true;
            warn!(
                "{count} connections of {address} at once say nothing: if it translates the \
                 addresses of others (a container's bridge does), limits of one host count nobody; \
                 let the container use the network of its machine"
            );
        }
        fits
    }

    /// Whether one more of its network may begin an encrypted handshake, which counts as one. What
    /// this costs is ours to pay, and addresses of one network are cheap to have.
    fn may_hide(&mut self, from: SocketAddr) -> bool {
        let network = network_of(from.ip());
        let (count, begun) =
            (self.networks.entry(network).or_default(), self.begun.entry(network).or_default());
        let (most, at_once) = match Locality::of(from.ip()) {
            Locality::Public => (HIDDEN_NETWORK_MAX, HIDDEN_NETWORK_MAX),
            _ => (HALF_OPEN_LOCAL_MAX, usize::MAX),
        };
        let fits = *count < most && *begun < at_once && self.hidden.insert(from);
        *count += usize::from(fits);
        *begun += usize::from(fits);
        fits
    }

    fn leave(&mut self, from: SocketAddr) {
        count_down(&mut self.hosts, &host_key(from.ip()));
        if self.hidden.remove(&from) {
            count_down(&mut self.networks, &network_of(from.ip()));
        }
    }
}

fn count_down<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The network of an address that somebody may have all of: a /24, or a /56 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xFF).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 72 << 72).into(),
    }
}

async fn hello(
    (stream, address): (TcpStream, SocketAddr),
    door: Door,
) -> (SocketAddr, Option<Box<Incoming>>) {
    let incoming = match read_hello(stream.into(), HELLO_LIMIT, &door).await {
        Ok((hello, stream)) => Some(Box::new(Incoming { address, hello, stream })),
        Err(error) => {
            debug!(%address, %error, "no handshake");
            None
        }
    };
    (address, incoming)
}

/// Who takes connections for which torrent.
struct Torrents {
    takers: HashMap<InfoHash, Taker>,
    /// For these the session does, here.
    latent: HashSet<InfoHash>,
    knocks: mpsc::Sender<Box<Incoming>>,
    /// What encrypted handshakes call them. One look, however many there are.
    keys: HashMap<Sha1Hash, InfoHash>,
}

impl Torrents {
    fn new(knocks: mpsc::Sender<Box<Incoming>>) -> Self {
        Self { takers: HashMap::new(), latent: HashSet::new(), knocks, keys: HashMap::new() }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Takes(registration) => self.register(registration),
            Notice::Latent(hashes) => {
                self.keys.extend(hashes.iter().map(|hash| (torrent_key(*hash), *hash)));
                self.latent.extend(hashes);
            }
            Notice::Leaves(hashes) => {
                for hash in hashes {
                    self.latent.remove(&hash);
                    if !self.takers.contains_key(&hash) {
                        self.keys.remove(&torrent_key(hash));
                    }
                }
            }
            Notice::Again(incoming) => self.route(incoming),
        }
    }

    fn register(&mut self, Registration { info_hash, incoming, status }: Registration) {
        self.keys.insert(torrent_key(info_hash), info_hash);
        self.latent.remove(&info_hash);
        self.takers.insert(info_hash, Taker { incoming, status });
    }

    fn route(&mut self, incoming: Box<Incoming>) {
        let info_hash = incoming.hello.info_hash;
        if self.latent.contains(&info_hash) {
            // Where many knock at once some are sent away: they come again.
            let _ = self.knocks.try_send(incoming);
            return;
        }
        let Some(torrent) = self.takers.get(&info_hash) else {
            debug!(%info_hash, address = %incoming.address, "a peer asked for a torrent we lack");
            return;
        };
        // A torrent too busy for one more connection can do without it.
        if let Err(mpsc::error::TrySendError::Closed(_)) = torrent.incoming.try_send(incoming) {
            self.remove(info_hash);
        }
    }

    fn forget_gone(&mut self) {
        self.takers.retain(|_, torrent| !torrent.incoming.is_closed());
        let Self { takers, latent, keys, .. } = self;
        keys.retain(|_, hash| takers.contains_key(hash) || latent.contains(hash));
    }

    fn remove(&mut self, info_hash: InfoHash) {
        self.takers.remove(&info_hash);
        self.keys.remove(&torrent_key(info_hash));
    }

    /// The torrent that an encrypted handshake calls so. One that rests is as if it were not here:
    /// nobody is to learn what we had.
    fn named(&self, key: &Sha1Hash) -> Option<InfoHash> {
        let info_hash = self.keys.get(key)?;
        let is_at_work = self.takers.get(info_hash).is_some_and(Taker::is_at_work);
        (is_at_work || self.latent.contains(info_hash)).then_some(*info_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_host_may_be_silent_on_sixteen_connections_and_a_local_one_on_most() {
        let mut strangers = Strangers::default();
        let mut tried = |host: &str| {
            let host = host.parse().unwrap();
            (0..300).filter(|_| strangers.may_try(host)).count()
        };
        assert_eq!((tried("198.51.100.7"), tried("127.0.0.1")), (16, 192));
        let public: IpAddr = "198.51.100.7".parse().unwrap();
        let from = SocketAddr::new(public, 1);
        strangers.leave(from);
        assert!(strangers.may_try(public) && !strangers.may_try(public));
        (0..16).for_each(|_| strangers.leave(from));
        assert!(!strangers.hosts.contains_key(&host_key(public)));
    }

    #[test]
    fn one_address_for_many_strangers_is_told() {
        let mut strangers = Strangers::default();
        for (address, is_told) in [("127.0.0.1", false), ("8.8.8.8", false), ("172.17.0.1", true)] {
            (0..192).for_each(|_| _ = strangers.may_try(address.parse().unwrap()));
            assert!(!strangers.has_warned, "all of a local one found room");
            strangers.may_try(address.parse().unwrap());
            assert_eq!(strangers.has_warned, is_told, "{address}");
        }
    }

    #[test]
    fn a_site_of_ipv6_is_one_host() {
        let mut strangers = Strangers::default();
        let one_of = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, number, 0, 0, 1]);
        assert_eq!((0..100).filter(|it| strangers.may_try(one_of(*it))).count(), 16);
        (0..16).for_each(|number| strangers.leave(SocketAddr::new(one_of(number), 1)));
        assert!(strangers.hosts.is_empty());
    }

    #[test]
    fn removed_torrents_are_forgotten_though_nobody_asks_for_them() {
        let mut torrents = Torrents::new(mpsc::channel(1).0);
        let (kept, _takes) = mpsc::channel(1);
        let (gone, _) = mpsc::channel(1);
        torrents.register(Registration {
            info_hash: InfoHash([1; 20]),
            incoming: kept,
            status: None,
        });
        torrents.register(Registration {
            info_hash: InfoHash([2; 20]),
            incoming: gone,
            status: None,
        });
        torrents.forget_gone();
        assert_eq!(torrents.takers.keys().collect::<Vec<_>>(), [&InfoHash([1; 20])]);
        assert_eq!(torrents.keys.len(), 1);
    }

    #[test]
    fn a_latent_torrent_is_found_by_both_its_names_until_it_takes_connections_or_leaves() {
        let mut torrents = Torrents::new(mpsc::channel(1).0);
        let hashes = [1, 2, 3].map(|number| InfoHash([number; 20]));
        let named = |torrents: &Torrents| hashes.map(|it| torrents.named(&torrent_key(it)));
        torrents.hear(Notice::Latent(hashes.to_vec()));
        torrents.forget_gone();
        assert_eq!(named(&torrents), hashes.map(Some));
        let (incoming, takes) = mpsc::channel(1);
        let (status, told) = watch::channel(Status::default());
        status.send_modify(|status| status.state = State::Queued);
        let registration = Registration { info_hash: hashes[0], incoming, status: Some(told) };
        torrents.hear(Notice::Takes(registration));
        assert_eq!(named(&torrents), [None, Some(hashes[1]), Some(hashes[2])], "it waits");
        status.send_modify(|status| status.state = State::Complete);
        torrents.hear(Notice::Leaves(hashes[..2].to_vec()));
        assert_eq!(named(&torrents), [Some(hashes[0]), None, Some(hashes[2])]);
        assert_eq!((torrents.keys.len(), torrents.latent.len()), (2, 1));
        drop(takes);
    }

    #[test]
    fn a_network_may_begin_twenty_encrypted_handshakes_and_others_are_not_kept_out() {
        let mut strangers = Strangers::default();
        let mut begun = |network: &str| {
            let froms = (0..40).map(|host| format!("{network}{host}:1000").parse().unwrap());
            froms.filter(|from| strangers.may_hide(*from)).count()
        };
        assert_eq!((begun("198.51.100."), begun("203.0.113."), begun("192.168.1.")), (20, 20, 40));
        let one: SocketAddr = "198.51.100.3:1000".parse().unwrap();
        let late: SocketAddr = "198.51.100.30:1000".parse().unwrap();
        assert!(!strangers.may_hide(late));
        strangers.leave(one);
        assert!(!strangers.may_hide(late), "twenty of this second were through already");
        strangers.begun.clear();
        assert!(strangers.may_hide(late), "whoever is through makes room");
        strangers.leave("203.0.113.30:1000".parse().unwrap());
        let other = "203.0.113.31:1000".parse().unwrap();
        assert!(!strangers.may_hide(other), "one that was refused makes none");
    }

    #[test]
    fn a_site_of_ipv6_and_an_address_of_ipv4_in_ipv6_are_networks() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2ff:3::4"), "2001:db8:1:200::");
        assert_eq!(network("::ffff:198.51.100.7"), "198.51.100.0");
    }

    #[test]
    fn a_torrent_is_found_by_what_encrypted_handshakes_call_it_while_it_is_at_work() {
        let mut torrents = Torrents::new(mpsc::channel(1).0);
        let (incoming, takes) = mpsc::channel(1);
        let (status, told) = watch::channel(Status::default());
        let be = |state| status.send_modify(|status| status.state = state);
        be(State::Complete);
        for number in 0..100 {
            let info_hash = InfoHash([number; 20]);
            let (incoming, status) = (incoming.clone(), Some(told.clone()));
            torrents.register(Registration { info_hash, incoming, status });
        }
        let named = |torrents: &Torrents, it| torrents.named(&torrent_key(InfoHash([it; 20])));
        assert_eq!(named(&torrents, 70), Some(InfoHash([70; 20])));
        assert_eq!(named(&torrents, 100), None);
        be(State::Paused);
        assert_eq!(named(&torrents, 70), None, "it rests");
        be(State::Checking);
        assert_eq!(named(&torrents, 70), Some(InfoHash([70; 20])), "those who come plainly wait");
        be(State::Downloading);
        assert_eq!(named(&torrents, 70), Some(InfoHash([70; 20])));
        torrents.remove(InfoHash([70; 20]));
        assert_eq!(named(&torrents, 70), None);
        drop(takes);
        assert_eq!(named(&torrents, 71), None, "it ended");
    }
}
