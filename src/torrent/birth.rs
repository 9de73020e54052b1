//! What an actor is made of: its brain, links, trackers and publisher, from the parts of its
//! torrent and from what an earlier actor, or the search for its metadata, has left.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::base::bitfield::Bitfield;
use crate::dht::task::Dht;
use crate::disk::{DiskEvent, DiskMeter, DiskStats, StoreHandle};
use crate::link::{DhtEnd, Known, LinkConfig, LinkTimeouts, Subject};
use crate::swarm::event::{Input, Source};
use crate::swarm::urgency::Urgency;
use crate::swarm::{Swarm, SwarmConfig};
use crate::tracker::task::{TrackerConfig, TransferStats};

use super::actor::Actor;
use super::ends::{Dormant, Ends};
use super::jobs::Jobs;
use super::links::Links;
use super::options::Conduct;
use super::outpost::Outpost;
use super::parts::{Parts, wanted_of};
use super::places::Places;
use super::publish::Publisher;
use super::seats::Seats;
use super::sources::Sources;
use super::trackers::{Trackers, config_of, first_stats, tiers_of};
use super::wish::Wish;

/// The brain, and whom it knows.
struct Company {
    swarm: Swarm,
    links: Links,
    /// Those that were asked already.
    trackers: Option<Trackers>,
    seats: Option<Seats>,
}

/// The actor of a torrent whose files are open; `proven` are the pieces that were hashed since the
/// start.
pub(super) fn actor(
    parts: &Parts,
    store: StoreHandle,
    disk_events: mpsc::Receiver<DiskEvent>,
    mut ends: Box<Ends>,
    have: Bitfield,
    proven: Bitfield,
) -> Actor {
    let wanted = wanted_of(parts);
    let mut publisher = publisher(parts, &store);
    publisher.set_wanted(&parts.extents, &parts.layout, &wanted, &parts.wish.files, &have);
    let share_blocks = ends.share.blocks();
    let left = publisher.left();
    let was_complete = left.0 == 0 || parts.so_far.was_whole();
    let config = swarm_config(parts, share_blocks, [have, proven, fetched(parts, wanted)]);
    let mut company = company(parts, config, &store, &mut ends);
    let sources = sources(parts, &mut company.swarm);
    // What was lost in its sleep is fetched, and then it is complete anew.
    let has_slept = ends.dormant.is_some() && left == (0, 0);
    if has_slept {
        publisher.set_complete();
    }
    let Dormant { trackers, seats, .. } = match ends.dormant {
        Some(dormant) => *dormant,
        None => introduced(parts, (company.trackers, company.seats), was_complete, left),
    };
    Actor {
        swarm: company.swarm,
        layout: parts.layout,
        extents: parts.extents.clone(),
        links: company.links,
        sources,
        providers: Default::default(),
        open: Default::default(),
        jobs: Jobs::new(store),
        disk_events,
        disk_stats: DiskStats::default(),
        disk_meter: DiskMeter::default(),
        published_bytes: (0, 0),
        waits: [parts.resources.pool.waits_count(); 2],
        jobs_out: 0,
        flushed: false,
        finish_again: None,
        fetch_gone_at: None,
        fetches_gone: false,
        is_restoring: false,
        look_at: Instant::now(),
        is_looking: false,
        gone: None,
        move_order: None,
        verifies: false,
        is_to_sleep: false,
        has_slept,
        knocks: ends.knocks,
        moves: mpsc::channel(1),
        torrent: parts.torrent.clone(),
        is_seed_only: parts.options.seed_only,
        patient: parts.resources.patient.clone(),
        commands: ends.commands,
        incoming: ends.incoming,
        trackers,
        seats,
        publisher,
        news: ends.news,
        share: ends.share,
        status: ends.status,
        wish: parts.wish.clone(),
    }
}

/// Trackers and the DHT of one that did not sleep, with so many bytes of it, and wanted bytes,
/// missing; those that the search for its metadata `had` go on.
fn introduced(
    parts: &Parts,
    had: (Option<Trackers>, Option<Seats>),
    was_complete: bool,
    left: (u64, u64),
) -> Dormant {
    // A search has told its trackers that something is missing: that is not to become complete.
    let trackers = had.0.filter(|_| !was_complete);
    let seats = had.1.filter(|seats| seats.are_of(&parts.torrent.swarm_hashes()));
    Dormant {
        trackers: trackers
            .unwrap_or_else(|| start_trackers(parts, &parts.wish, was_complete, left)),
        seats: seats.unwrap_or_else(|| no_seats(parts)),
        reserved: None,
        closing: None,
        is_paused: false,
    }
}

/// Trackers and the DHT of a torrent that has everything, and sleeps from the start; one that was
/// announced before it was here goes on with that, if it is to be.
pub(super) fn dormant(parts: &Parts, is_paused: bool, outpost: Option<Outpost>) -> Dormant {
    let stats = TransferStats { is_paused, ..first_stats((0, 0)) };
    let trackers = match (tracker_config(parts, &parts.wish, true), outpost) {
        (Some(_), Some(outpost)) => Trackers::hear(outpost.entry, stats),
        (config, _) => Trackers::start(&parts.resources.announcer, config, stats),
    };
    Dormant { trackers, seats: no_seats(parts), reserved: None, closing: None, is_paused }
}

/// Announces, with so many bytes of the torrent, and wanted bytes, missing.
pub(super) fn start_trackers(
    parts: &Parts,
    wish: &Wish,
    was_complete: bool,
    left: (u64, u64),
) -> Trackers {
    let config = tracker_config(parts, wish, was_complete);
    Trackers::start(&parts.resources.announcer, config, first_stats(left))
}

/// Its place in the DHT, which it has not taken yet.
fn no_seats(parts: &Parts) -> Seats {
    Seats::new(
        dht(parts, parts.wish.conduct),
        parts.torrent.swarm_hashes(),
        parts.resources.ports.clone(),
    )
}

/// Who only seeds sends what there is, and fetches nothing of what is lost: its user may have meant
/// to change it.
fn fetched(parts: &Parts, wanted: Bitfield) -> Bitfield {
    match parts.options.seed_only {
        true => Bitfield::none(parts.layout.piece_count()),
        false => wanted,
    }
}

fn company(parts: &Parts, config: SwarmConfig, store: &StoreHandle, ends: &mut Ends) -> Company {
    let now = Instant::now();
    let torrent = Known {
        layout: parts.layout,
        outlet: store.outlet(),
        metadata: Some(parts.torrent.shared_info()),
    };
    let mut company = match ends.contacts.take() {
        Some(met) => {
            let met = *met;
            let subject = met.links.config.subject.clone();
            subject.know(torrent);
            let mut links = met.links;
            links.config = Arc::new(link_config(parts, subject));
            let swarm = Swarm::with_company(config, met.company, now);
            Company { swarm, links, trackers: met.trackers, seats: met.seats }
        }
        None => {
            let mut swarm = Swarm::new(config, now);
            swarm.remember(std::mem::take(&mut *ends.known));
            let places = Places::new(parts.places.clone());
            let links = Links::new(link_config(parts, Subject::of(torrent)), places);
            Company { swarm, links, trackers: None, seats: None }
        }
    };
    let Conduct { ends_first, max_uploads, .. } = parts.wish.conduct;
    let urgency = Urgency::of(&parts.layout, &parts.extents, &parts.wish.files, ends_first);
    company.swarm.handle(Input::Urgency(urgency), now);
    company.swarm.handle(Input::SlotsMax(max_uploads), now);
    if let Some(waits) = ends.waits.take() {
        company.swarm.remember_waits(*waits, now);
    }
    let addresses = company.links.blocked.sift(Source::User, parts.options.peers.clone());
    company.swarm.handle(Input::Candidates { source: Source::User, addresses }, now);
    company
}

fn swarm_config(
    parts: &Parts,
    share_blocks: usize,
    [have, proven, wanted]: [Bitfield; 3],
) -> SwarmConfig {
    SwarmConfig {
        layout: parts.layout,
        extents: parts.extents.clone(),
        info_hash: parts.info_hash,
        have,
        proven,
        wanted,
        share_blocks,
        max_peers: max_peers(parts, parts.wish.conduct),
        is_private: parts.torrent.private,
        sequential: parts.wish.conduct.sequential,
        listen_port: parts.resources.ports.listen(),
        peer_id: parts.resources.peer_id,
        exchanges_peers: exchanges_peers(parts, parts.wish.conduct),
        metadata: Some(parts.torrent.shared_info()),
        seed: rand::random(),
    }
}

/// Of a file whose pieces nothing judges, whatever a peer sent would count: it has none.
pub(super) fn max_peers(parts: &Parts, conduct: Conduct) -> usize {
    if parts.torrent.is_judged() { conduct.max_peers } else { 0 }
}

/// The servers that are known at the start; one that only seeds has none.
fn sources(parts: &Parts, swarm: &mut Swarm) -> Sources {
    let (torrent, extents) = (parts.torrent.clone(), parts.extents.clone());
    let options = &parts.options;
    let mut sources = Sources::new(torrent, extents, parts.resources.origins.clone());
    if !options.seed_only {
        let known = sources.begin(parts.wish.conduct.use_web_seeds, &options.web_seeds);
        swarm.handle(Input::Sources(known), Instant::now());
    }
    sources
}

/// BEP 27: of a private torrent the DHT hears nothing.
pub(super) fn dht(parts: &Parts, conduct: Conduct) -> Option<Dht> {
    parts.resources.dht.clone().filter(|_| conduct.use_dht && !parts.torrent.private)
}

/// The same for its links.
pub(super) fn dht_end(parts: &Parts, conduct: Conduct) -> Option<DhtEnd> {
    parts.resources.dht_end().filter(|_| conduct.use_dht && !parts.torrent.private)
}

/// BEP 27: of a private torrent peers tell nobody.
pub(super) fn exchanges_peers(parts: &Parts, conduct: Conduct) -> bool {
    conduct.exchange_peers && !parts.torrent.private
}

fn publisher(parts: &Parts, store: &StoreHandle) -> Publisher {
    Publisher::new(
        parts.layout.piece_count(),
        parts.resources.pool.clone(),
        parts.resources.ports.listen(),
        parts.uploaded_before_bytes,
        parts.so_far.clone(),
        store.home(),
    )
}

fn link_config(parts: &Parts, subject: Subject) -> LinkConfig {
    let resources = &parts.resources;
    LinkConfig {
        info_hash: parts.info_hash,
        peer_id: resources.peer_id,
        subject,
        exchanges_peers: exchanges_peers(parts, parts.wish.conduct),
        pool: resources.pool.clone(),
        limiter: parts.wish.limiter.clone(),
        up_limiter: parts.wish.up_limiter.clone(),
        ports: Some(resources.ports.clone()),
        dht: dht_end(parts, parts.wish.conduct),
        egress: resources.egress.clone(),
        secrecy: resources.secrecy.clone(),
        timeouts: LinkTimeouts::default(),
    }
}

/// What to announce with; none when there is nobody to ask.
pub(super) fn tracker_config(
    parts: &Parts,
    wish: &Wish,
    was_complete: bool,
) -> Option<TrackerConfig> {
    if !wish.conduct.use_trackers {
        return None;
    }
    let tiers = tiers_of(&parts.torrent, &parts.options, wish.trackers.as_deref());
    config_of(&parts.torrent, tiers, was_complete)
}
