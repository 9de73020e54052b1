//! One torrent of the announcer: its machine, what it announces with, what is on its way and what
//! it remembers of its trackers' hosts. Small: a session has one for each of its torrents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::clock::now;
use super::config::AnnouncerConfig;
use super::ears::{Ears, Room};
use super::errand::sockets;
use super::fetch::{Fetched, MAX_ADDRESSES};
use super::lines::{Line, Lines};
use super::lookout::Lookout;
use super::mail::{Listener, Newcomer};
use super::news::{TrackerEvent, TransferStats};
use crate::base::addr::{Locality, Teller, is_usable_peer};
use crate::base::ids::InfoHash;
use crate::tracker::announce::{AnnounceReply, AnnounceRequest, Error, Event, Family};
use crate::tracker::tiers::{Call, Input, MAX_TRACKERS, Standing, Tiers, Timing, TrackerIndex};
use crate::tracker::turns::{Class, Turn};

/// An announce that waits or is on its way.
pub(super) struct Flight {
    pub call: Call,
    pub event: Option<Event>,
    pub stage: Stage,
}

pub(super) enum Stage {
    Waits(Line, Turn),
    Flies(AbortHandle),
}

pub(super) struct Member {
    pub tiers: Tiers,
    pub info_hash: InfoHash,
    key: u32,
    numwant: u32,
    is_private: bool,
    pub is_stopping: bool,
    /// As the machine knows them.
    pub stats: TransferStats,
    /// What was missing when trackers were last told, or were to be; and a quarter of all that was
    /// missing at the start.
    left_told: u64,
    quarter: u64,
    pub ears: Option<Box<Ears>>,
    /// Who hears of its peers in their place.
    lookout: Option<Box<Lookout>>,
    pub flights: Vec<Flight>,
    /// Tracker addresses that worked, so that `stopped` needs no resolver.
    known: Vec<(TrackerIndex, Family, SocketAddr)>,
    /// None of one whose trackers answer.
    troubles: Option<Box<Troubles>>,
    pub stop_done: Option<oneshot::Sender<()>>,
    /// When trackers are to hear that we have another address, which they do not want yet.
    pub elsewhere_at: Option<Instant>,
    /// When it is looked at by itself.
    pub wake: Option<Instant>,
}

#[derive(Default)]
struct Troubles {
    /// How many of a host's addresses were tried in vain: the next ones come first then.
    failed: Vec<(TrackerIndex, Family, usize)>,
    /// When complaints were told.
    told_at: Vec<(TrackerIndex, Instant)>,
}

impl Member {
    /// With these trackers. It enters its swarm now.
    pub fn new(newcomer: Newcomer, tiers: Vec<Vec<Arc<str>>>, timing: Arc<Timing>) -> Self {
        let Newcomer { config, stats, ears } = newcomer;
        let count: usize = tiers.iter().map(Vec::len).sum();
        let all = (count > MAX_TRACKERS).then(|| tiers.clone());
        let mut tiers = Tiers::new(tiers, timing, StdRng::seed_from_u64(config.rng_seed));
        let standing = stats.standing();
        tiers.handle(Input::Started { standing, was_complete: config.was_complete }, now());
        let mut member = Self {
            tiers,
            info_hash: config.info_hash,
            key: config.key,
            numwant: config.numwant,
            is_private: config.is_private,
            is_stopping: false,
            stats: TransferStats {
                peers_connected: 0,
                working_peers: 0,
                is_paused: false,
                ..stats
            },
            left_told: stats.left,
            quarter: stats.left / 4,
            ears: None,
            lookout: None,
            flights: Vec::new(),
            known: Vec::new(),
            troubles: None,
            stop_done: None,
            elsewhere_at: None,
            wake: None,
        };
        member.hear(ears);
        member.on_stats(stats);
        all.into_iter().for_each(|all| member.tell_refused(&all));
        member
    }

    /// Who hears of it from now on.
    pub fn hear(&mut self, listener: Listener) {
        (self.ears, self.lookout) = match listener {
            Listener::Nobody => (None, None),
            Listener::All(events) => (Some(Box::new(Ears::new(events))), None),
            Listener::Lookout(lookout) => (None, Some(Box::new(lookout))),
        };
    }

    /// These are its trackers from now on.
    pub fn name(&mut self, tiers: Vec<Vec<Arc<str>>>) {
        self.tiers.name(tiers.clone(), now());
        self.tell_refused(&tiers);
    }

    /// Says which trackers are not asked, if there are too many.
    fn tell_refused(&mut self, tiers: &[Vec<Arc<str>>]) {
        let Some((count, first)) = self.tiers.beyond(tiers) else { return };
        let text = format!(
            "it is not asked: a torrent has {MAX_TRACKERS} trackers at most, and {count} more are \
             named"
        );
        self.tell(TrackerEvent::Failure { url: first.to_owned(), text });
    }

    /// Who goes before it, when it wants to announce with this event.
    pub fn class(&self, event: Option<Event>) -> Class {
        match event {
            _ if self.is_stopping => Class::Urgent,
            Some(Event::Stopped) => Class::Urgent,
            Some(Event::Completed) => Class::Download,
            _ if self.stats.standing() == Standing::Leech => Class::Download,
            _ if self.ears.is_some() => Class::Seed,
            _ => Class::Asleep,
        }
    }

    /// Byte counts change all the time and matter only when an announce leaves.
    pub fn on_stats(&mut self, stats: TransferStats) {
        let before = std::mem::replace(&mut self.stats, stats);
        if stats.is_paused != before.is_paused && !self.is_stopping {
            if stats.is_paused {
                // One that enters paused has told nobody that it is there.
                self.tiers.withdraw_untold();
            }
            self.handle(if stats.is_paused { Input::Paused } else { Input::Resumed });
        }
        let peers = |stats: &TransferStats| (stats.peers_connected, stats.working_peers);
        if peers(&stats) != peers(&before) {
            let (connected, working) = peers(&stats);
            self.handle(Input::Peers { connected, working });
        }
        let standing = stats.standing();
        if standing != before.standing() {
            self.handle(Input::Stands(standing));
        }
        let has_grown = stats.left.saturating_add(self.quarter) <= self.left_told;
        if has_grown && standing == Standing::Leech {
            self.left_told = stats.left;
            self.handle(Input::Grown);
        }
    }

    pub fn handle(&mut self, input: Input) {
        self.tiers.handle(input, now());
    }

    /// What a tracker is told; the figures are those of now.
    pub fn request(
        &mut self,
        config: &AnnouncerConfig,
        call: Call,
        event: Option<Event>,
    ) -> AnnounceRequest {
        let stats = self.stats;
        self.left_told = stats.left;
        let hears = self.hears_of_peers() && event != Some(Event::Stopped);
        AnnounceRequest {
            info_hash: self.info_hash,
            peer_id: config.peer_id,
            port: config.ports.listen(),
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            corrupt: stats.corrupt,
            redundant: stats.redundant,
            left: stats.left,
            event,
            key: self.key,
            numwant: if hears { self.numwant } else { 0 },
            tracker_id: self.tiers.tracker_id(call.tracker).map(<[u8]>::to_vec),
            supports_crypto: config.supports_crypto,
            requires_crypto: config.requires_crypto,
        }
    }

    /// The address that answered last; `stopped` must not wait for a resolver, while other
    /// announces follow a name that moves.
    pub fn known(&self, call: Call, event: Option<Event>) -> Option<SocketAddr> {
        let own = |(tracker, family, _): &&_| (*tracker, *family) == (call.tracker, call.family);
        let known = self.known.iter().find(own).map(|(_, _, address)| *address);
        known.filter(|_| self.is_stopping || event == Some(Event::Stopped))
    }

    pub fn skip(&self, call: Call) -> usize {
        let own = |(tracker, family, _): &&_| (*tracker, *family) == (call.tracker, call.family);
        let failed = self.troubles.as_ref().and_then(|all| all.failed.iter().find(own));
        failed.map_or(0, |(_, _, count)| *count)
    }

    /// Nobody waits any more for what came of this announce.
    pub fn cut_off(&mut self, call: Call, lines: &mut Lines) {
        match self.landed(call).map(|flight| flight.stage) {
            Some(Stage::Waits(line, turn)) => drop(lines.of(line).cancel(&turn)),
            Some(Stage::Flies(job)) => job.abort(),
            None => {}
        }
    }

    /// The torrent leaves, for good if it is stopping: of what has not left nothing is to be told
    /// but a goodbye and that the download is complete.
    pub fn withdraw(&mut self, lines: &mut Lines) {
        for mut flight in std::mem::take(&mut self.flights) {
            let Stage::Waits(line, turn) = &mut flight.stage else {
                self.flights.push(flight);
                continue;
            };
            if !matches!(flight.event, Some(Event::Completed | Event::Stopped)) {
                lines.of(*line).cancel(turn);
                self.tiers.withdraw(flight.call);
                continue;
            }
            if self.is_stopping
                && let Some(ticket) = lines.of(*line).cancel(turn)
            {
                *line = line.goodbye();
                *turn = lines.of(*line).wait(turn.site().clone(), Class::Urgent, ticket);
            }
            self.flights.push(flight);
        }
    }

    /// An announce waits or is on its way.
    pub fn took_off(&mut self, flight: Flight) {
        push_exact(&mut self.flights, flight);
    }

    /// Takes out of what waits or is on its way; an empty list takes no memory.
    pub fn landed(&mut self, call: Call) -> Option<Flight> {
        let own = self.flights.iter().position(|flight| flight.call == call)?;
        let flight = self.flights.swap_remove(own);
        if self.flights.is_empty() {
            self.flights = Vec::new();
        }
        Some(flight)
    }

    pub fn on_failed(&mut self, call: Call, error: Error, quiet: Duration) {
        let Call { tracker, family, .. } = call;
        let url = self.tiers.url(tracker);
        tracing::debug!(hash = %self.info_hash, tracker = url, ?family, %error, "announce failed");
        // There are no others to try of a family that the host does not have.
        if !matches!(error, Error::NoAddress(_)) {
            self.troubles.get_or_insert_default().tried(tracker, family);
        }
        let (before, _) = self.tiers.failure(tracker);
        self.handle(Input::Failed { call, error });
        let (fails, why) = self.tiers.failure(tracker);
        // One family that fails beside another is no news.
        if fails != before
            && let Some(text) = why.map(str::to_owned)
            && self.may_tell(tracker, quiet)
        {
            let url = self.tiers.url(tracker).to_owned();
            self.tell(TrackerEvent::Failure { url, text });
        }
    }

    pub fn on_replied(&mut self, call: Call, fetched: Fetched<AnnounceReply>, quiet: Duration) {
        let tracker = call.tracker;
        let Fetched { reply, tracker: address, first_hop } = fetched;
        let own = |(of, over, _): &&mut _| (*of, *over) == (tracker, call.family);
        match self.known.iter_mut().find(own) {
            Some((_, _, known)) => *known = first_hop,
            None => push_exact(&mut self.known, (tracker, call.family, first_hop)),
        }
        if self.takes_peers() {
            if self.is_private && self.tiers.has(tracker) {
                self.tell(TrackerEvent::PrivateAnswered(self.tiers.url(tracker).to_owned()));
            }
            self.tell_peers(sockets(&reply), Locality::of(address.ip()));
        }
        if let Some(external) = reply.external_ip {
            self.tell(TrackerEvent::ExternalIp(external));
        }
        if let Some(text) = reply.warning.clone().filter(|_| self.may_tell(tracker, quiet)) {
            let url = self.tiers.url(tracker).to_owned();
            self.tell(TrackerEvent::Warning { url, text });
        }
        // One that was left says nothing of who is there.
        let is_heard = self.lookout.is_some() && self.tiers.has(tracker);
        let named = if is_heard { sockets(&reply) } else { Vec::new() };
        self.handle(Input::Replied { call, reply: Box::new(reply) });
        // Now it is known how many lack something there.
        self.look_out(named, Locality::of(address.ip()));
    }

    fn hears_of_peers(&self) -> bool {
        self.ears.is_some() || self.lookout.is_some()
    }

    /// Who looks out hears of them, unless all are seeds as the torrent is.
    fn look_out(&self, addresses: Vec<SocketAddr>, from: Locality) {
        let Some(lookout) = self.lookout.as_ref().filter(|_| self.takes_peers()) else { return };
        let addresses = usable(addresses, from);
        if !addresses.is_empty() && !self.tiers.knows_nobody_to_serve() {
            lookout.tell(addresses);
        }
    }

    /// Somebody hears of peers, and answers do not speak of a torrent that took part before it
    /// paused.
    pub fn takes_peers(&self) -> bool {
        self.hears_of_peers() && !self.is_stopping && !self.stats.is_paused
    }

    pub fn tell_peers(&mut self, addresses: Vec<SocketAddr>, from: Locality) {
        let addresses = usable(addresses, from);
        if !addresses.is_empty() {
            self.tell(TrackerEvent::Peers { addresses });
        }
    }

    /// Peers that were names in an answer have addresses now.
    pub fn on_resolved(&mut self, addresses: Vec<SocketAddr>, from: Locality) {
        match self.ears.is_some() {
            true => self.tell_peers(addresses, from),
            false => self.look_out(addresses, from),
        }
    }

    /// There is room for what its ears have not heard yet.
    pub fn on_room(&mut self, room: Room) {
        if let Some(ears) = &mut self.ears {
            ears.on_room(room);
        }
    }

    pub fn tell_status(&mut self) {
        if let Some(ears) = &mut self.ears {
            ears.tell_status(self.tiers.status());
            if ears.is_deaf() {
                self.ears = None;
            }
        }
    }

    fn tell(&mut self, event: TrackerEvent) {
        if let Some(ears) = &mut self.ears {
            ears.tell(event);
        }
    }

    /// Whether somebody hears, and this tracker's last complaint is long enough ago; if so, another
    /// one counts.
    fn may_tell(&mut self, tracker: TrackerIndex, quiet: Duration) -> bool {
        self.ears.is_some() && self.troubles.get_or_insert_default().may_tell(tracker, quiet)
    }
}

impl Troubles {
    /// As many of the tracker's addresses as are tried at once.
    fn tried(&mut self, tracker: TrackerIndex, family: Family) {
        let own = |(of, over, _): &&mut _| (*of, *over) == (tracker, family);
        match self.failed.iter_mut().find(own) {
            Some((_, _, count)) => *count = count.wrapping_add(MAX_ADDRESSES),
            None => push_exact(&mut self.failed, (tracker, family, MAX_ADDRESSES)),
        }
    }

    fn may_tell(&mut self, tracker: TrackerIndex, quiet: Duration) -> bool {
        let now = now();
        self.told_at.retain(|(_, told_at)| now.saturating_duration_since(*told_at) < quiet);
        let may_tell = self.told_at.iter().all(|(index, _)| *index != tracker);
        if may_tell {
            push_exact(&mut self.told_at, (tracker, now));
        }
        may_tell
    }
}

/// Those that may be dialled, by the word of a tracker there.
fn usable(mut addresses: Vec<SocketAddr>, from: Locality) -> Vec<SocketAddr> {
    addresses.retain(|address| is_usable_peer(*address, Teller::Remote(from)));
    addresses
}

/// Room for one more and no further.
fn push_exact<T>(all: &mut Vec<T>, item: T) {
    all.reserve_exact(1);
    all.push(item);
}
