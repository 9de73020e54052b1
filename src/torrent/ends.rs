//! What the torrent's task holds of everybody else, whatever it is doing: where orders and
//! connections come from, where its snapshot and news go, and whom it knew when it rested.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::dht::task::DhtNews;
use crate::disk::{DiskEvent, Reserved};
use crate::swarm::Acquaintances;
use crate::swarm::waits::Waits;
use crate::tracker::task::TrackerEvent;

use super::board::Board;
use super::command::Commands;
use super::handle::NewsSender;
use super::incoming::Incoming;
use super::seats::Seats;
use super::seeking::Contacts;
use super::share::Share;
use super::trackers::{Goodbye, Trackers};

/// What of a torrent goes on while it sleeps.
pub(super) struct Dormant {
    pub trackers: Trackers,
    pub seats: Seats,
    /// The record and its files are its own still.
    pub reserved: Option<Reserved>,
    /// Ends when the disk workers have let go of its files, if they had them a moment ago.
    pub closing: Option<mpsc::Receiver<DiskEvent>>,
    /// By its user: it takes part in nothing.
    pub is_paused: bool,
}

/// What woke a torrent, for the actor that it gets.
#[derive(Default)]
pub(super) struct Knocks {
    /// Who connected.
    pub incoming: Option<Box<Incoming>>,
    /// Its leave to open the files.
    pub turn: Option<OwnedSemaphorePermit>,
    /// Whom a tracker named.
    pub tracker: Option<TrackerEvent>,
    /// Whom the DHT named.
    pub dht: Option<DhtNews>,
    /// Our address, as a tracker saw it last.
    pub our_address: Option<IpAddr>,
}

/// The ends that whoever runs the torrent holds.
pub(super) struct Ends {
    pub commands: Commands,
    /// In boxes: few ever come, and there is room for many.
    pub incoming: mpsc::Receiver<Box<Incoming>>,
    pub status: Board,
    pub news: NewsSender,
    /// Whom its last actor knew.
    pub known: Box<Acquaintances>,
    /// What that one waited for.
    pub waits: Option<Box<Waits>>,
    /// Whom the search for its metadata met.
    pub contacts: Option<Box<Contacts>>,
    /// What went on while it slept.
    pub dormant: Option<Box<Dormant>>,
    /// What woke it.
    pub knocks: Knocks,
    /// The search's trackers, or its own, hear that it is over.
    pub goodbye: Option<Goodbye>,
    pub share: Share,
}

impl Ends {
    /// Those of a torrent that knows nobody yet.
    pub fn new(
        commands: Commands,
        incoming: mpsc::Receiver<Box<Incoming>>,
        status: Board,
        news: NewsSender,
        share: Share,
    ) -> Self {
        Self {
            commands,
            incoming,
            status,
            news,
            known: Box::default(),
            waits: None,
            contacts: None,
            dormant: None,
            knocks: Knocks::default(),
            goodbye: None,
            share,
        }
    }

    /// Trackers named these before the torrent was here: it wakes for them when it hears how many
    /// lack something.
    pub fn meet(&mut self, addresses: Vec<SocketAddr>) {
        if !addresses.is_empty() {
            self.knocks.tracker = Some(TrackerEvent::Peers { addresses });
        }
    }

    /// The torrent does not go on now: whom the search for its metadata met is left, but
    /// remembered, and trackers hear that.
    pub fn let_go(&mut self) {
        self.knocks = Knocks::default();
        if let Some(dormant) = self.dormant.take() {
            let Dormant { trackers, seats, .. } = *dormant;
            drop(seats);
            self.goodbye = self.goodbye.take().or(Some(trackers.leave()));
        }
        let Some(contacts) = self.contacts.take() else { return };
        let Contacts { company, links, trackers, goodbye, seats } = *contacts;
        drop((links, seats));
        *self.known = company.acquaintances();
        let later = goodbye.or(trackers.map(Trackers::leave));
        self.goodbye = self.goodbye.take().or(later);
    }

    /// Waits until the search's trackers have heard that it is over, if it is.
    async fn say_goodbye(&mut self) {
        if let Some(goodbye) = self.goodbye.take() {
            goodbye.said().await;
        }
    }

    /// The torrent ends before it ran: whoever wants that is told when its trackers are.
    pub async fn end(&mut self, answer: oneshot::Sender<()>) {
        self.let_go();
        self.say_goodbye().await;
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    /// The same, when `work` has come to its end, too.
    pub async fn end_after(&mut self, work: impl Future, answer: oneshot::Sender<()>) {
        self.let_go();
        tokio::join!(work, self.say_goodbye());
        // The one who asked may have gone.
        let _ = answer.send(());
    }
}
