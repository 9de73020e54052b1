//! The hand of one lease: fetches runs from a server over one connection at a time, makes a new
//! one where the old one ends or a redirect leads elsewhere, and asks one answer ahead. What heads
//! and bodies come to is the `Exchange`'s; what follows on answers that bring nothing is told in
//! `told`.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::base::addr::Locality;
use crate::base::extents::FileSlice;
use crate::base::ids::{FileIndex, LinkId, PeerId};
use crate::base::units::BLOCK_LEN;
use crate::base::url::{Origin, Url};
use crate::link::config::LinkConfig;
use crate::link::error::lost;
use crate::link::inbound::{Debt, Inbound};
use crate::link::report::{LinkNews, LinkReport};
use crate::link::stream::WriteSide;
use crate::metainfo::Spelling;
use crate::net::egress::Place;
use crate::net::reach::Hop;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCaps, LinkCommand, LinkEvent, RunEnd, Trouble, Unit};
use crate::web::url::script_part;

use super::connect::{self, connect};
use super::exchange::Exchange;
use super::lease::{Connection, Lease, Origins, Target};
use super::request::write_get;
use super::server::Server;

/// Connections and answers in a row that ended with less than a block of what was asked for: after
/// as many the link is given up.
const BREAKS_MAX: u32 = 2;
/// How long a link goes by what it knows of where a file lies. Others may have learnt more, or its
/// redirect may be over.
pub(super) const WAY_KEPT: Duration = Duration::from_secs(10);
/// Runs at a time: one at hand, and one behind it.
const RUNS_MAX: u32 = 2;

/// One lease, and what is done with it.
pub(super) struct Hand {
    pub config: Arc<LinkConfig>,
    pub link: LinkId,
    pub server: Arc<Server>,
    pub origins: Origins,
    pub lease: Lease,
    pub reports: mpsc::Sender<LinkReport>,
    pub commands: mpsc::Receiver<Vec<LinkCommand>>,
    pub exchange: Exchange,
    /// What was not told yet.
    pub events: Vec<LinkEvent>,
    /// The connection at hand.
    pub live: Option<Live>,
    /// Another one that is open, as to where redirects come from.
    pub spare: Option<Connection>,
    /// How names of files are spelled in URLs.
    pub spelling: Spelling,
    /// A file came under the plain spelling.
    pub is_plain: bool,
    /// It tells no length of whole files, so that they are asked for as parts.
    pub names_ranges: bool,
    /// Where the file lies that was asked for last.
    pub way: Option<Way>,
    breaks: u32,
    /// What the rate limit makes us wait after the last read, over whatever connection.
    owed: Option<Debt>,
}

/// The connection at hand.
pub(super) struct Live {
    origin: Origin,
    pub address: SocketAddr,
    place: Option<Place>,
    inbound: Inbound,
    write: WriteSide,
    /// What is to be sent.
    out: Vec<u8>,
    needs_flush: bool,
    /// It was used before.
    is_reused: bool,
    /// An answer or a block of what was asked for came over it.
    has_brought: bool,
    /// Bytes that came since an answer ended with too few.
    brought: u64,
    /// When the server last sent something, or had nothing to send.
    heard: Instant,
}

/// Where a file lies.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub file: FileIndex,
    /// Where the server has it.
    pub first: Url,
    /// Where that leads.
    pub url: Url,
    pub hop: Hop,
    /// Redirects followed.
    pub redirects: usize,
    /// For how long the redirects may be kept.
    pub keep: Duration,
    /// From then on it is looked up again.
    pub until: Instant,
    /// It was told a moment ago, so that a failure there is one.
    pub is_fresh: bool,
}

/// What happened at a connection.
enum Happened {
    Ordered(Option<Vec<LinkCommand>>),
    Reported,
    Sent(io::Result<()>),
    Received(Result<usize, DownReason>),
    Late,
}

impl Hand {
    /// One that has its lease and nothing else.
    pub fn new(
        (config, link, server): (Arc<LinkConfig>, LinkId, Arc<Server>),
        (origins, lease): (Origins, Lease),
        reports: mpsc::Sender<LinkReport>,
        commands: mpsc::Receiver<Vec<LinkCommand>>,
        exchange: Exchange,
    ) -> Self {
        Self {
            config,
            link,
            server,
            origins,
            lease,
            reports,
            commands,
            exchange,
            events: Vec::new(),
            live: None,
            spare: None,
            spelling: Spelling::Preferred,
            is_plain: false,
            names_ranges: false,
            way: None,
            breaks: 0,
            owed: None,
        }
    }

    /// Runs the link to its end, and tells why it ended.
    pub async fn run(mut self) -> DownReason {
        let reason = match self.begin().await {
            Ok(()) => match self.serve().await {
                Ok(never) => match never {},
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        let events = std::mem::take(&mut self.events);
        let is_wanted = !matches!(reason, DownReason::Closed(_)) && !events.is_empty();
        if is_wanted {
            self.report(LinkNews::Events(events)).await;
        }
        self.give_back().await;
        reason
    }

    /// Connects, unless there is an open connection, and tells that the link is up. What is wrong
    /// with the server itself is told when something is to be fetched.
    async fn begin(&mut self) -> Result<(), DownReason> {
        let hop = self.server.hop(self.server.url(), &self.origins.policy);
        // What others have opened may lead where this server must not.
        // Those of a device that is gone are dead, though nothing says so.
        let egress = self.config.egress.clone();
        let is_usable = |it: &Connection| {
            it.is_at_rest() && hop.check(it.address.ip()).is_ok() && egress.holds(it.place)
        };
        let mut open = std::mem::take(&mut self.lease.connections).into_iter();
        let first = open.find(is_usable);
        self.spare = open.find(is_usable);
        match first {
            Some(connection) => self.go_live(connection, true),
            None => {
                let origin = self.server.url().origin().clone();
                match self.connect_to(origin, hop).await? {
                    Ok(connection) => self.go_live(connection, false),
                    Err(connect::Error::Held(why)) => return Err(DownReason::Held(why)),
                    Err(error) if error.is_of_network() => return self.no_connection(error).await,
                    Err(_) => {}
                }
            }
        }
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = self.live.as_ref().map_or(unknown, |live| live.address);
        let up = LinkNews::Up { peer_id: peer_id(self.link), caps: caps(), address };
        if self.report(up).await { Ok(()) } else { Err(stopping()) }
    }

    /// Fetches run after run.
    async fn serve(&mut self) -> Result<std::convert::Infallible, DownReason> {
        loop {
            if self.lease.is_contended() && self.exchange.is_between_runs() {
                return Err(DownReason::NoRoom);
            }
            if self.live.is_none() {
                // What was asked for over one that is gone never comes.
                self.exchange.begin_connection(0);
            }
            let Some(slice) = self.exchange.next_ask() else {
                self.rest().await?;
                continue;
            };
            if let Some(way) = self.way_to(slice.file).await?
                && self.be_connected(&way).await?
            {
                self.converse(&way).await?;
            }
        }
    }

    /// Waits for a run, as long as that is of use.
    async fn rest(&mut self) -> Result<(), DownReason> {
        let mut over = pin!(sleep(self.origins.policy.idle));
        while self.exchange.is_idle() {
            let is_told = self.events.is_empty();
            if is_told && self.lease.is_contended() && self.exchange.is_between_runs() {
                return Err(DownReason::NoRoom);
            }
            tokio::select! {
                heard = self.hear() => heard?,
                () = &mut over, if is_told => return Err(DownReason::NoRoom),
            }
        }
        Ok(())
    }

    /// Takes orders, or tells what there is to tell.
    async fn hear(&mut self) -> Result<(), DownReason> {
        let happened = tokio::select! {
            batch = self.commands.recv() => Happened::Ordered(batch),
            permit = self.reports.reserve(), if !self.events.is_empty() => {
                let permit = permit.map_err(|_| stopping())?;
                permit.send(report(self.link, std::mem::take(&mut self.events)));
                Happened::Reported
            }
        };
        match happened {
            Happened::Ordered(batch) => self.order(batch),
            _ => Ok(()),
        }
    }

    /// Hears orders while something else is waited for.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, DownReason> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                heard = self.hear() => heard?,
            }
        }
    }

    fn order(&mut self, batch: Option<Vec<LinkCommand>>) -> Result<(), DownReason> {
        for command in batch.ok_or_else(stopping)? {
            match command {
                LinkCommand::Fetch(run) => self.exchange.fetch(run, &mut self.events),
                LinkCommand::Shorten(end) => self.exchange.shorten(end, &mut self.events),
                LinkCommand::Close(reason) => return Err(DownReason::Closed(reason)),
                LinkCommand::Request(_) | LinkCommand::Cancel(_) | LinkCommand::Peer(_) => {
                    debug_assert!(false, "no order for this link: {command:?}");
                }
            }
        }
        Ok(())
    }

    /// Where a file lies, as far as that is known; none when it cannot be had, which ends the run.
    async fn way_to(&mut self, file: FileIndex) -> Result<Option<Way>, DownReason> {
        let holds = |way: &&Way| way.file == file && (way.is_fresh || Instant::now() < way.until);
        if let Some(way) = self.way.as_ref().filter(holds) {
            return Ok(Some(way.clone()));
        }
        let spelled = self.server.url_of(file, self.spelling);
        let Some(first) = spelled.or_else(|| self.server.url_of(file, Spelling::Preferred)) else {
            let why = "no URL can be made of the file's name".to_owned();
            self.end_run(RunEnd::File(file, Trouble { why, rest: None }));
            return Ok(None);
        };
        let hop = self.server.hop(&first, &self.origins.policy);
        let origins = self.origins.clone();
        let asked = first.clone();
        let known = self.meanwhile(async move { origins.target(asked).await }).await?;
        let way = Way {
            file,
            url: first.clone(),
            first,
            hop,
            redirects: 0,
            keep: Duration::MAX,
            until: Instant::now() + WAY_KEPT,
            is_fresh: false,
        };
        let way = match known {
            Some(Target { url, from }) => Way { url, redirects: 1, ..way }.behind(from),
            None => way,
        };
        self.way = Some(way.clone());
        Ok(Some(way))
    }

    /// Has a connection to where the file lies; false when there is none, and that was seen to.
    async fn be_connected(&mut self, way: &Way) -> Result<bool, DownReason> {
        let origin = way.url.origin();
        let open = self.live.as_ref().map(|live| (&live.origin, live.address));
        let open = open.into_iter().chain(self.spare.as_ref().map(|it| (&it.origin, it.address)));
        let checked = open
            .filter(|(its, _)| *its == origin)
            .try_for_each(|(_, address)| way.hop.check(address.ip()));
        if let Err(error) = checked {
            self.on_unconnected(error.into(), way).await?;
            return Ok(false);
        }
        // What came before it was asked for is no answer.
        self.live.take_if(|live| live.origin == *origin && !live.inbound.is_at_rest());
        if self.live.as_ref().is_some_and(|live| live.origin == *origin) {
            return Ok(true);
        }
        let before = self.take_live();
        let spare = self.spare.take();
        match spare {
            Some(spare) if spare.origin == *origin && spare.is_at_rest() => {
                self.go_live(spare, true);
                self.spare = before;
                return Ok(true);
            }
            spare => self.spare = before.or(spare),
        }
        match self.connect_to(origin.clone(), way.hop).await? {
            Ok(connection) => {
                self.go_live(connection, false);
                Ok(true)
            }
            Err(error) => {
                self.on_unconnected(error, way).await?;
                Ok(false)
            }
        }
    }

    async fn connect_to(
        &mut self,
        origin: Origin,
        hop: Hop,
    ) -> Result<Result<Connection, connect::Error>, DownReason> {
        let (policy, egress) = (self.origins.policy.clone(), self.config.egress.clone());
        self.meanwhile(async move { connect(origin, hop, &egress, &policy.tls).await }).await
    }

    fn go_live(&mut self, connection: Connection, is_reused: bool) {
        let Connection { origin, address, place, read, write, clean } = connection;
        self.exchange.begin_connection(clean);
        let mut inbound = Inbound::new(read, &self.config);
        inbound.owe(self.owed.take());
        self.live = Some(Live {
            origin,
            address,
            place,
            inbound,
            write,
            out: Vec::new(),
            needs_flush: false,
            is_reused,
            has_brought: false,
            brought: 0,
            heard: Instant::now(),
        });
    }

    /// The connection at hand, if it can be used again.
    fn take_live(&mut self) -> Option<Connection> {
        let live = self.live.take()?;
        if self.exchange.is_answering() || self.exchange.is_spent() || !live.out.is_empty() {
            return None;
        }
        let (origin, address, place, write) = (live.origin, live.address, live.place, live.write);
        let read = live.inbound.into_side()?;
        Some(Connection { origin, address, place, read, write, clean: self.exchange.clean() })
    }

    /// Whoever comes next may use what is open.
    async fn give_back(mut self) {
        let open = [self.spare.take(), self.take_live()];
        self.lease.connections = open.into_iter().flatten().collect();
        self.origins.end(self.lease).await;
    }

    /// Asks for what comes next, and for more as long as the connection lasts.
    async fn converse(&mut self, way: &Way) -> Result<(), DownReason> {
        if self.exchange.next_ask().is_none_or(|slice| slice.file != way.file) {
            // It has changed since.
            return Ok(());
        }
        self.ask(&way.url);
        loop {
            if let Some(told) = self.exchange.take_told() {
                let address = self.live.as_ref().map(|live| live.address.ip());
                self.drop_spent();
                if told.slice.file != way.file && told.verdict.is_of_way() {
                    // It was asked for ahead. It is asked for again, on a way of its own.
                    return Ok(());
                }
                let from = address.map_or(Locality::Unroutable, Locality::of);
                // It may have answered well since it was redirected to.
                let is_fresh = self.way.as_ref().is_some_and(|way| way.is_fresh);
                let way = Way { is_fresh, ..way.clone() };
                return self.on_told(told, &way, from).await;
            }
            if self.exchange.take_poor() {
                return self.on_poor(way).await;
            }
            if self.exchange.is_spent() {
                // It brought what it was to bring, or we want no more of it.
                self.live = None;
                return Ok(());
            }
            if !self.exchange.is_answering() {
                return Ok(());
            }
            self.ask_ahead(way);
            match self.happens().await {
                Happened::Ordered(batch) => self.order(batch)?,
                Happened::Reported | Happened::Sent(Ok(())) => {}
                Happened::Sent(Err(error)) => return self.end_live(lost(&error), way).await,
                Happened::Received(Ok(_)) => self.on_received().await,
                Happened::Received(Err(reason)) => {
                    let is_end = reason == lost(&io::ErrorKind::UnexpectedEof.into());
                    if !is_end || !self.exchange.on_end(&mut self.events) {
                        return self.end_live(reason, way).await;
                    }
                    self.on_received().await;
                }
                Happened::Late => self.on_late(way).await?,
            }
        }
    }

    /// Waits for whatever comes first.
    async fn happens(&mut self) -> Happened {
        let patience = self.origins.policy.patience;
        let Self { live, exchange, events, commands, reports, link, .. } = self;
        let Some(live) = live else { return Happened::Late };
        let Live { inbound, write, out, needs_flush, heard, .. } = live;
        let has_to_send = !out.is_empty() || *needs_flush;
        tokio::select! {
            batch = commands.recv() => Happened::Ordered(batch),
            permit = reports.reserve(), if !events.is_empty() => match permit {
                Ok(permit) => {
                    permit.send(report(*link, std::mem::take(events)));
                    // A server that always sends must not keep others from this thread.
                    tokio::task::yield_now().await;
                    Happened::Reported
                }
                Err(_) => Happened::Ordered(None),
            },
            sent = send(write, out, needs_flush), if has_to_send => Happened::Sent(sent),
            received = inbound.receive(exchange, events), if events.is_empty() => {
                Happened::Received(received)
            }
            () = sleep_until(*heard + patience) => Happened::Late,
        }
    }

    async fn on_received(&mut self) {
        let (bytes, answers) = self.exchange.take_counts();
        self.lease.on_bytes(bytes);
        (0..answers).for_each(|_| self.lease.on_answer());
        let Some(live) = &mut self.live else { return };
        live.heard = Instant::now();
        self.owed = live.inbound.debt();
        live.brought += bytes;
        if live.brought >= BLOCK_LEN as u64 || answers > 0 {
            live.has_brought = true;
            self.breaks = 0;
            if let Some(way) = &mut self.way {
                way.is_fresh = false;
                if self.spelling == Spelling::Plain && !self.is_plain {
                    let plain = self.server.url_of(way.file, Spelling::Plain);
                    self.is_plain = plain.is_some_and(|plain| plain == way.first);
                }
            }
            self.origins.brings(&mut self.lease).await;
        }
    }

    /// Nothing came for long. When it is we who did not read, that says nothing.
    async fn on_late(&mut self, way: &Way) -> Result<(), DownReason> {
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.inbound.waits_for_us() || !self.events.is_empty() {
            live.heard = Instant::now();
            return Ok(());
        }
        let reason = DownReason::TimedOut(match self.exchange.is_in_body() {
            true => "it was silent in the middle of a file",
            false => "it did not answer",
        });
        self.end_live(reason, way).await
    }

    fn ask(&mut self, url: &Url) {
        let Some(slice) = self.exchange.next_ask() else { return };
        let Some(live) = &mut self.live else { return };
        if !self.exchange.is_answering() {
            live.heard = Instant::now();
        }
        let wish = self.exchange.wish(slice);
        if self.server.is_script() {
            let part = wish.part().map(|(first, last)| script_part(url, first, last));
            write_get(part.as_ref().unwrap_or(url), None, &mut live.out);
            return self.exchange.on_asked(Instant::now().into_std());
        }
        let all = || self.names_ranges.then(|| format!("bytes=0-{}", wish.file_len - 1));
        write_get(url, wish.header().or_else(all).as_deref(), &mut live.out);
        self.exchange.on_asked(Instant::now().into_std());
    }

    /// Asks for what comes next before the answer at hand has come whole. Of another file only
    /// where files are not elsewhere: where they are has to be asked for.
    fn ask_ahead(&mut self, way: &Way) {
        let now = Instant::now().into_std();
        if self.lease.is_contended() || !self.exchange.may_ask_ahead(now) {
            return;
        }
        let Some(FileSlice { file, .. }) = self.exchange.next_ask() else { return };
        if file == way.file {
            return self.ask(&way.url);
        }
        let next = self.server.url_of(file, self.spelling).filter(|_| way.redirects == 0);
        if let Some(next) = next.filter(|url| url.origin() == way.url.origin()) {
            self.ask(&next);
        }
    }

    /// The connection broke.
    async fn end_live(&mut self, reason: DownReason, way: &Way) -> Result<(), DownReason> {
        let live = self.live.take();
        match reason {
            DownReason::Lost(_) => {}
            reason => {
                // Whoever comes next asks the origin where else the file is.
                if way.redirects > 0 {
                    self.forget(way).await;
                }
                return Err(reason);
            }
        }
        match live {
            // It may have ended before it was asked.
            Some(live) if live.has_brought || live.is_reused => Ok(()),
            _ => self.on_break(reason, way.redirects > 0 && !way.is_fresh, way).await,
        }
    }

    /// An answer ended that has brought next to nothing, however well it was said.
    async fn on_poor(&mut self, way: &Way) -> Result<(), DownReason> {
        match &mut self.live {
            Some(live) if !self.exchange.is_spent() && !self.exchange.is_answering() => {
                live.brought = 0;
            }
            live => *live = None,
        }
        let is_fresh = self.way.as_ref().is_some_and(|way| way.is_fresh);
        let reason = DownReason::Lost("its answers end too early".to_owned());
        self.on_break(reason, way.redirects > 0 && !is_fresh, way).await
    }

    /// A connection or an answer ended that has brought nothing.
    async fn on_break(
        &mut self,
        reason: DownReason,
        is_redirect: bool,
        way: &Way,
    ) -> Result<(), DownReason> {
        if is_redirect {
            self.forget(way).await;
            return Ok(());
        }
        self.breaks += 1;
        if self.breaks >= BREAKS_MAX { Err(reason) } else { Ok(()) }
    }

    fn drop_spent(&mut self) {
        if self.exchange.is_spent() || self.exchange.is_answering() {
            self.live = None;
        }
    }

    /// Does the file lie elsewhere than at the site that we have a slot of?
    pub fn is_away(&self, way: &Way) -> bool {
        way.redirects > 0 || way.first.origin().site() != self.server.site()
    }

    /// The redirect on this way is of no use any more: the server is asked anew.
    pub async fn forget(&mut self, way: &Way) {
        self.way = None;
        self.origins.forget(way.first.clone(), way.url.clone()).await;
    }

    /// The run at hand is over.
    pub fn end_run(&mut self, why: RunEnd) {
        self.exchange.end_run(why, &mut self.events);
        self.way = None;
    }

    async fn report(&mut self, news: LinkNews) -> bool {
        let report = LinkReport { link: self.link, news, held: Vec::new() };
        self.reports.send(report).await.is_ok()
    }
}

impl Way {
    /// The same behind a redirect of a server that lies there.
    pub fn behind(self, from: Locality) -> Self {
        Self { hop: Hop { previous: Some(from), ..self.hop }, ..self }
    }
}

fn report(link: LinkId, events: Vec<LinkEvent>) -> LinkReport {
    LinkReport { link, news: LinkNews::Events(events), held: Vec::new() }
}

/// Sends some of `out`, and once all of it is written, what a layer in between keeps of it.
async fn send(write: &mut WriteSide, out: &mut Vec<u8>, needs_flush: &mut bool) -> io::Result<()> {
    if out.is_empty() {
        poll_fn(|cx| Pin::new(&mut *write).poll_flush(cx)).await?;
        *needs_flush = false;
        return Ok(());
    }
    let sent = poll_fn(|cx| Pin::new(&mut *write).poll_write(cx, out)).await?;
    if sent == 0 {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    out.drain(..sent);
    *needs_flush = true;
    Ok(())
}

fn caps() -> LinkCaps {
    LinkCaps {
        unit: Unit::Run,
        chokes: false,
        pipeline_max: RUNS_MAX,
        can_upload_to: false,
        fast: true,
        extended: false,
        mse: None,
        is_way_unsure: false,
    }
}

/// Servers have no id; each link is one of its own.
fn peer_id(link: LinkId) -> PeerId {
    let mut id = *b"web                 ";
    id[12..].copy_from_slice(&link.0.to_be_bytes());
    PeerId(id)
}

pub(super) fn stopping() -> DownReason {
    DownReason::Closed(CloseReason::Stopping)
}
