//! `driver chunk get`: finds a listing in one of the three ways, learns what it does not tell,
//! and downloads the file as any torrent.

use std::io::Read as _;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::base::digest::sha1;
use crate::chunk::config::{self, FILE, PEERS};
use crate::chunk::discover::discover;
use crate::chunk::store::ChunkStore;
use crate::chunk::wire::{CHUNK_LEN_MAX, ChunkHash};
use crate::cli::args::Common;
use crate::cli::config::state_dir;
use crate::cli::escape::{self, escape};
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::given::address_of;
use crate::cli::job::{Job, in_runtime, unnamed};
use crate::cli::live::{End, Ending};
use crate::cli::memory::memory_for;
use crate::cli::out;
use crate::cli::place::may_be_directory;
use crate::cli::print::counted;
use crate::cli::repl::Talk;
use crate::cli::repl::desk::{Chosen, Wanted};
use crate::cli::stop::Stopper;
use crate::link::Provider;
use crate::metainfo::Torrent;
use crate::net::egress::{Egress, Remote};
use crate::session::{CheckMode, Memory, SessionConfig, TorrentOptions};
use crate::torrent::course::{self, Learnt, Listing, ListingSource, Sizes};
use crate::torrent::options::{Found, FoundBytes};

use super::GetArgs;

/// How long trackers have to answer a broadcast.
const DISCOVERY_WAIT: Duration = Duration::from_secs(1);
/// Trackers of one broadcast that are asked, and how many of them at the same time: each may
/// send a list of 16 MiB.
const TRACKERS_MAX: usize = 16;
const TRACKERS_AT_ONCE: usize = 3;
/// Providers that are connected at the same time.
const PROVIDERS_MAX: usize = 80;

/// Downloads the file.
///
/// # Errors
/// When the configuration makes no sense, no listing can be had, the sizes cannot be learnt,
/// or the download fails.
pub fn run(arguments: &GetArgs, common: &Common) -> Outcome {
    let talk = match arguments.json && !arguments.repl {
        true => Talk::Progress,
        false => Talk::choose(arguments.repl, arguments.no_repl),
    };
    // What makes no sense is said before anything is touched.
    Way::of(arguments)?;
    may_be_directory(&arguments.dir)?;
    let state = state_dir()?;
    in_runtime(common, unnamed(talk, &state), &state, async |stopper| {
        download(arguments, common, talk, &state, stopper).await
    })
}

/// The download from start to end, within a runtime.
///
/// # Errors
/// As [`run`].
pub(super) async fn download(
    arguments: &GetArgs,
    common: &Common,
    talk: Talk,
    state: &Path,
    stopper: Stopper,
) -> Result<End, Failure> {
    let (way, memory) = (Way::of(arguments)?, memory_for(common)?);
    let egress = common.ways.egress();
    let store = match arguments.keep_chunks {
        true => {
            let store = ChunkStore::new(&arguments.chunks, &arguments.name);
            Some(store.map_err(|error| Failure::usage(escape(&error.to_string())))?)
        }
        false => None,
    };
    let plan = tokio::select! {
        plan = Plan::make(&egress, &way, state, store.as_ref()) => plan?,
        () = stopper.asked() => return Ok(End::Short(Exit::Incomplete)),
    };
    plan.tell(&way, arguments.json, common.quiet);
    let torrent = plan.torrent.clone();
    let end =
        plan.job(arguments, memory, talk, (state.to_owned(), egress)).run(common, stopper).await?;
    if let (End::Complete, Some(store)) = (end, &store) {
        keep(&torrent, &arguments.dir, store)?;
    }
    Ok(end)
}

/// The three ways to a listing, by the course's numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    /// Step 1.
    Files(PathBuf),
    /// Step 2.
    Tracker(Remote),
    /// Step 3: where to broadcast to.
    Discover(SocketAddrV4),
}

impl Way {
    fn of(arguments: &GetArgs) -> Result<Self, Failure> {
        if arguments.discover {
            let target = SocketAddrV4::new(arguments.broadcast, arguments.discover_port);
            return Ok(Self::Discover(target));
        }
        if let Some(Some(tracker)) = &arguments.tracker {
            if arguments.config.is_some() {
                return Err(Failure::usage(
                    "--tracker ADDR needs no --config; --tracker alone takes the one of peers.ini",
                ));
            }
            return Ok(Self::Tracker(tracker.clone()));
        }
        let dir = arguments.config.clone().unwrap_or_else(|| PathBuf::from("config"));
        let has = |name: &str| dir.join(name).exists();
        if arguments.config.is_none() && !has(PEERS) && !has(FILE) {
            return Err(Failure::usage(
                "say where the listing is: --config DIR, --tracker ADDR or --discover",
            ));
        }
        if arguments.tracker.is_none() && (has(FILE) || !has(PEERS)) {
            return Ok(Self::Files(dir));
        }
        let peers =
            config::peers(&dir).map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
        let tracker = peers.tracker().map_err(|error| {
            Failure::bad_input(escape(&format!("{}: {error}", dir.join(PEERS).display())))
        })?;
        Ok(Self::Tracker(SocketAddr::from(tracker).into()))
    }
}

/// What is known before the download begins.
struct Plan {
    listing: Listing,
    /// The tracker that told it.
    tracker: Option<SocketAddrV4>,
    torrent: Arc<Torrent>,
    providers: Arc<[Provider]>,
    found: Vec<Found>,
    /// Who failed so far, in words for people.
    replaced: Vec<String>,
    /// Connections to providers that are open since.
    open: Vec<(SocketAddr, TcpStream)>,
}

impl Plan {
    async fn make(
        egress: &Egress,
        way: &Way,
        state: &Path,
        store: Option<&ChunkStore>,
    ) -> Result<Self, Failure> {
        let (source, tracker) = match way {
            Way::Files(dir) => (ListingSource::Config(dir.clone()), None),
            Way::Tracker(tracker) => {
                let tracker = address_of(tracker, egress).await?;
                (ListingSource::Tracker(tracker), Some(tracker))
            }
            Way::Discover(target) => return Self::discovered(egress, *target, state, store).await,
        };
        let listing = source.listing(egress).await.map_err(failure)?;
        Self::with(egress, listing, tracker, state, store).await
    }

    /// The listing of the tracker that gives it first; if it leads to nothing, the next one.
    async fn discovered(
        egress: &Egress,
        target: SocketAddrV4,
        state: &Path,
        store: Option<&ChunkStore>,
    ) -> Result<Self, Failure> {
        let trackers = discover(egress, target, DISCOVERY_WAIT).await;
        let trackers = trackers.map_err(|error| network(&error.to_string()))?;
        let mut trackers = trackers.into_iter().take(TRACKERS_MAX).map(|it| it.address);
        let mut asked = JoinSet::new();
        let mut told = Vec::new();
        loop {
            while asked.len() < TRACKERS_AT_ONCE
                && let Some(address) = trackers.next()
            {
                let (source, egress) = (ListingSource::Tracker(address), egress.clone());
                asked.spawn(async move { (address, source.listing(&egress).await) });
            }
            let (tracker, listing) = match asked.join_next().await {
                Some(Ok(answer)) => answer,
                // It ended by itself, which is no word about the others.
                Some(Err(_)) => continue,
                None => break,
            };
            let plan = match listing {
                Ok(listing) => Self::with(egress, listing, Some(tracker), state, store).await,
                Err(error) => Err(failure(error)),
            };
            match plan {
                Ok(plan) => return Ok(plan),
                Err(failure) => {
                    tracing::warn!(%tracker, %failure, "no use; trying the next tracker");
                    told.push(failure.message);
                }
            }
        }
        Err(match told.is_empty() {
            true => network(&format!("no tracker answered at UDP {target}; try --broadcast ADDR")),
            false => Failure::new(Exit::Network, told.join("; ")),
        })
    }

    async fn with(
        egress: &Egress,
        listing: Listing,
        tracker: Option<SocketAddrV4>,
        state: &Path,
        store: Option<&ChunkStore>,
    ) -> Result<Self, Failure> {
        let memo = state.join(format!("{}.chunks", listing.id()));
        let known = remembered(&memo).or_else(|| kept_sizes(&listing, store?));
        let known = known.and_then(|sizes| Some((sizes, listing.torrent(sizes).ok()?)));
        let (torrent, learnt) = match known {
            Some((sizes, torrent)) => (torrent, Learnt::known(sizes)),
            None => {
                let learnt = listing.fetch_sizes(egress).await.map_err(failure)?;
                (listing.torrent(learnt.sizes).map_err(failure)?, learnt)
            }
        };
        let Learnt { sizes, mut found, replaced, open } = learnt;
        remember(&memo, sizes);
        found.extend(store.iter().flat_map(|store| kept(&listing, store)));
        let providers: Arc<[Provider]> = listing.providers(&torrent).into();
        if providers.is_empty() && !listing.info.chunks.is_empty() {
            return Err(network("the listing names no provider that could be asked"));
        }
        let torrent = Arc::new(torrent);
        Ok(Self { listing, tracker, torrent, providers, found, replaced, open })
    }

    /// What people read first, and programs as far as something was odd.
    fn tell(&self, way: &Way, json: bool, quiet: bool) {
        if !json && !quiet {
            out::answer_wrapped(&self.line(way));
        }
        for line in self.listing.warning.iter().chain(&self.replaced) {
            match json {
                true => out::answer(
                    &(escape::json(&json!({"event": "course", "message": line})) + "\n"),
                ),
                false if quiet => {}
                false => out::talk_wrapped(&escape(line)),
            }
        }
    }

    fn line(&self, way: &Way) -> String {
        let from = match (way, self.tracker) {
            (Way::Files(dir), _) => escape(&dir.join(FILE).display().to_string()),
            (Way::Discover(_), Some(tracker)) => format!("tracker {tracker}, found by broadcast,"),
            (_, Some(tracker)) => format!("tracker {tracker}"),
            (_, None) => String::new(),
        };
        format!(
            "{from} lists {} at {}\n",
            counted(self.listing.info.chunks.len() as u64, "chunk"),
            counted(self.providers.len() as u64, "provider")
        )
    }

    fn job(
        self,
        arguments: &GetArgs,
        memory: Memory,
        talk: Talk,
        (state_dir, egress): (PathBuf, Egress),
    ) -> Job {
        let options = TorrentOptions::default()
            .dir(&arguments.dir)
            .use_trackers(false)
            .use_web_seeds(false)
            .check(if arguments.check { CheckMode::Force } else { CheckMode::Resume })
            .overwrite(arguments.overwrite)
            .found(self.found)
            .max_peers(PROVIDERS_MAX);
        let template = options.clone().found(Vec::new());
        let named = self.torrent.name.clone();
        Job {
            torrents: vec![Wanted::Torrent(Box::new(Chosen {
                named,
                torrent: self.torrent,
                options,
                sums: Vec::new(),
            }))],
            template,
            refused: Exit::Done,
            is_several: false,
            session: SessionConfig::default()
                .listen(false)
                .egress(egress)
                .state_dir(state_dir)
                .memory(memory)
                .download_limit(arguments.download_limit.0),
            ending: Ending {
                exit_when_complete: arguments.exit_on_finish || talk != Talk::Prompt,
                timeout: arguments.timeout,
                providers: Some(self.providers),
            },
            talk,
            json: arguments.json,
            open: self.open,
            chunks_from: None,
            telling: None,
            script: Vec::new(),
        }
    }
}

/// Sizes learnt in an earlier run.
fn remembered(memo: &Path) -> Option<Sizes> {
    let text = std::fs::read_to_string(memo).ok()?;
    // Without its last newline it was cut off.
    let (chunk_len, total_len) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Sizes { chunk_len: chunk_len.parse().ok()?, total_len: total_len.parse().ok()? })
}

fn remember(memo: &Path, sizes: Sizes) {
    let text = format!("{} {}\n", sizes.chunk_len, sizes.total_len);
    // Without it the next run learns them again.
    if let Err(error) = std::fs::write(memo, text) {
        tracing::debug!(%error, "the sizes are not remembered");
    }
}

/// Chunks of the listing that are in the store; whether they are right is for the check.
fn kept(listing: &Listing, store: &ChunkStore) -> Vec<Found> {
    let found = |(number, hash): (usize, ChunkHash)| {
        let path = store.path(hash);
        let bytes = path.is_file().then_some(FoundBytes::File(path))?;
        Some(Found { piece: number as u32, bytes })
    };
    let chunks = listing.info.chunks.iter().enumerate();
    chunks.filter_map(|(number, chunk)| found((number, chunk.hash))).collect()
}

/// The sizes, if the first and the last chunk are in the store and right.
fn kept_sizes(listing: &Listing, store: &ChunkStore) -> Option<Sizes> {
    let last = listing.info.chunks.len().checked_sub(1)?;
    let len = |number: usize| {
        let hash = listing.info.chunks[number].hash;
        let content = store.read(hash, CHUNK_LEN_MAX).ok()??;
        (sha1(&[&content]) == hash.0).then_some((number, content.len()))
    };
    listing.sizes([len(0)?, len(last)?]).ok()
}

/// Puts the chunks of the finished file into the store.
fn keep(torrent: &Torrent, dir: &Path, store: &ChunkStore) -> Result<(), Failure> {
    let path = dir.join(&torrent.name);
    let shown = escape(&path.display().to_string());
    let unreadable = |error| from_io(&format!("cannot read {shown}"), &error);
    let mut file = std::fs::File::open(&path).map_err(unreadable)?;
    let mut content = Vec::new();
    let Some(layout) = torrent.layout else { return Ok(()) };
    for piece in layout.pieces() {
        content.resize(layout.len_of(piece) as usize, 0);
        file.read_exact(&mut content).map_err(unreadable)?;
        let hash = ChunkHash(*torrent.piece_hash(piece));
        store.write(hash, &content).map_err(|error| {
            let path = escape(&store.path(hash).display().to_string());
            from_io(&format!("cannot write {path}"), &error)
        })?;
    }
    Ok(())
}

fn network(message: &str) -> Failure {
    Failure::new(Exit::Network, escape(message))
}

fn failure(error: course::Error) -> Failure {
    use course::Error;
    let exit = match &error {
        Error::Config(_) | Error::Listing { .. } | Error::Torrent(_) | Error::Sizes(_) => {
            Exit::BadInput
        }
        Error::Tracker { .. } | Error::Missing { .. } => Exit::Network,
    };
    Failure::new(exit, escape(&error.to_string()))
}
