//! The embedded tracker: announces and scrapes over HTTP and UDP, a catalogue of torrents by
//! name, numbers and a page. One task owns the peers (`keeper`), one thread the catalogue
//! (`library`); all others ask them over bounded queues. It is made for a lab or an office,
//! keeps no accounts, and forgets its peers at the end.
//! Source: BEPs 3, 7, 15, 23, 24, 31, 48.

mod announce;
mod catalogue;
mod config;
mod counters;
mod front;
mod introduction;
mod keeper;
mod library;
mod listing;
mod page;
mod press;
mod scrape;
mod shelf;
mod stats;
mod udp;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, put};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::info;

use crate::http::answer::{nothing_here, protect};
use crate::http::body::Scales;
use crate::http::connections;
use crate::tracker::connection_id::Minter;

pub use config::ServerConfig;
pub use library::Library;
pub use shelf::ShelfError;

use counters::Counters;
use front::Front;
use keeper::{Errand, Gate};
use library::Desk;
use press::Press;

/// How often silent peers are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// How often the log hears how things stand.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Connections at once, below the 1024 descriptors that a process usually may have.
const CONNECTIONS_MAX: usize = 800;

/// Bytes of uploads and torrents that are held at once.
const BODIES_BUDGET: usize = 96 << 20;

/// Time for the catalogue to be closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// A tracker ready to run.
pub struct Server {
    /// Where it is asked over HTTP.
    pub http: Vec<TcpListener>,
    /// Where it is asked over UDP.
    pub udp: Vec<UdpSocket>,
    /// How it behaves.
    pub config: ServerConfig,
    /// The catalogue, if it keeps one.
    pub library: Option<Library>,
}

/// Serves announces on `listener` until `shutdown` is ready; no UDP and no catalogue.
///
/// # Errors
/// As [`Server::run`].
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Server { http: vec![listener], udp: Vec::new(), config, library: None };
    server.run(shutdown).await
}

impl Server {
    /// Serves until `shutdown` is ready. Requests that are being answered get a second more.
    ///
    /// # Errors
    /// When the system gives us no thread for the catalogue.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { http, udp, config, library } = self;
        let counters = Arc::new(Counters::default());
        let (desk, closed) = library.map(Library::start).transpose()?.unzip();
        let (keeper, errands) = mpsc::channel(keeper::QUEUE_LEN);
        let registered = desk.as_ref().filter(|_| config.allow_catalogue);
        let gate = Gate {
            listed: config.allowed.clone(),
            catalogue: registered.map(|desk| desk.catalogue.clone()),
        };
        // All of them end when this is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper::keep(config.limits.clone(), gate, config.interval_s, errands));
        tasks.spawn(expire(keeper.clone()));
        let minter = Arc::new(Minter::new(rand::random()));
        for socket in udp {
            let socket = Arc::new(socket);
            tasks.spawn(udp::listen(socket, minter.clone(), keeper.clone(), counters.clone()));
        }
        let front = Arc::new(open(config, keeper, desk, counters.clone(), &mut tasks));
        tasks.spawn(report(front.clone()));
        let counted = counters.http.clone();
        connections::serve(http, router(front), CONNECTIONS_MAX, counted, shutdown).await;
        tasks.shutdown().await;
        if let Some(closed) = closed {
            // Whoever starts the next tracker finds the catalogue unlocked; a disk that hangs
            // holds nobody up.
            let _ = timeout(FAREWELL, closed).await;
        }
        Ok(())
    }
}

async fn expire(keeper: mpsc::Sender<Errand>) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    loop {
        ticks.tick().await;
        if keeper.send(Errand::Expire).await.is_err() {
            return;
        }
    }
}

/// Says each minute how things stand, in the log.
async fn report(front: Arc<Front>) {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(table) = front.totals().await else { return };
        info!(
            torrents = table.swarms,
            seeds = table.seeds,
            leeches = table.peers_v4 + table.peers_v6 - table.seeds,
            announces_http = counters::read(&front.counters.announces_http),
            announces_udp = counters::read(&front.counters.announces_udp),
            "tracking"
        );
    }
}

fn router(front: Arc<Front>) -> Router {
    let named = put(catalogue::put).get(catalogue::fetch).delete(catalogue::delete);
    Router::new()
        .route("/", get(page::answer))
        .route("/style.css", get(page::style))
        .route("/announce", get(announce::answer))
        .route("/scrape", get(scrape::answer))
        .route("/stats", get(stats::json))
        .route("/metrics", get(stats::metrics))
        .route("/introduction", get(introduction::answer))
        .route("/catalogue", get(catalogue::list))
        .route("/catalogue/{*name}", named)
        .fallback(nothing_here)
        .layer(map_response(protect))
        .with_state(front)
}

/// Opens the house: what is shown to all is made from now on, at most once in a while.
fn open(
    config: ServerConfig,
    keeper: mpsc::Sender<Errand>,
    desk: Option<Desk>,
    counters: Arc<Counters>,
    tasks: &mut JoinSet<()>,
) -> Front {
    let every = config.shown_for;
    let asked = keeper.clone();
    let totals = Press::start(tasks, every, move |_| {
        let asked = asked.clone();
        async move { keeper::totals(&asked).await }
    });
    let shown = (desk.clone(), keeper.clone());
    let page = Press::start(tasks, every, move |_| page::make(shown.0.clone(), shown.1.clone()));
    let (listed, lists) = ((desk.clone(), keeper.clone()), Scales::new(listing::LISTS_BUDGET));
    let list = Press::start(tasks, every, move |last| {
        listing::make(listed.0.clone(), listed.1.clone(), lists.clone(), last)
    });
    let (scales, began_at) = (Scales::new(BODIES_BUDGET), Instant::now());
    Front { config, keeper, desk, counters, scales, totals, page, list, began_at }
}
