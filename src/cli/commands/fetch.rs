//! `driver info --fetch`: the metadata of a link from its peers, in a session that lives no longer
//! than that, and takes no connections.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::interval;

use crate::base::units::duration;
use crate::cli::args::Common;
use crate::cli::config::state_dir;
use crate::cli::engine::Engine;
use crate::cli::exit::{Exit, Failure};
use crate::cli::given::Loaded;
use crate::cli::item::{Told, What};
use crate::cli::job::in_runtime;
use crate::cli::live::End;
use crate::cli::logs::Unnamed;
use crate::cli::memory::memory_for;
use crate::cli::out;
use crate::cli::search::{LONELY_ALONE, Search, Wish};
use crate::cli::stop::Stopper;
use crate::metainfo::Magnet;
use crate::session::{SessionConfig, TorrentOptions};

use super::download::dht_options;
use super::info::InfoArgs;

/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_millis(200);
/// How long the same words go untold.
const PAUSE: Duration = Duration::from_secs(10);

/// The torrent that a link means, from its peers.
///
/// # Errors
/// When nobody can be asked, nothing comes for as long as was asked for, what comes is no torrent,
/// or the user stops it.
pub fn fetched(link: Magnet, arguments: &InfoArgs, common: &Common) -> Result<Loaded, Failure> {
    let state_dir = state_dir()?;
    let config = SessionConfig::default()
        .egress(common.ways.egress())
        .blocklists(arguments.blocklists.lists())
        .listen(false)
        .state_dir(&state_dir)
        .memory(memory_for(common)?)
        .encryption(arguments.encryption.into())
        .dht(dht_options(arguments.no_dht, &arguments.dht_bootstrap));
    let options = TorrentOptions::default()
        .peers(arguments.peer.clone())
        .extra_trackers(arguments.tracker.clone());
    let wish = Wish::new(arguments.torrent.display().to_string(), link, options);
    let mut loaded = None;
    in_runtime(common, Unnamed::Errors, Path::new(&state_dir), async |stopper| {
        let engine = Engine::start(config).await?;
        let came = search(&engine, wish, arguments.timeout, common.quiet, stopper).await;
        engine.stop().await;
        loaded = Some(came?);
        Ok(End::Complete)
    })?;
    loaded.ok_or_else(|| Failure::new(Exit::Unexpected, "the search ended without a word"))
}

async fn search(
    engine: &Engine,
    wish: Wish,
    timeout: Option<Duration>,
    is_quiet: bool,
    stopper: Stopper,
) -> Result<Loaded, Failure> {
    let seeking = engine.seek(wish.request()?).await?;
    let (told, mut heard) = mpsc::channel(1);
    let has_dht = engine.dht().is_some();
    let mut search = Search::follow(1, wish, seeking, engine.egress().clone(), has_dht, told);
    let mut look = interval(LOOK);
    let came = loop {
        tokio::select! {
            biased;
            Some(Told { what, .. }) = heard.recv() => match what {
                What::Sought(found) => break *found,
                What::Said(line) => out::talk_wrapped(&format!("driver: {line}")),
                _ => {}
            },
            () = stopper.asked() => {
                let why = "stopped before the metadata was found";
                break Err(Failure::new(Exit::Incomplete, why));
            }
            _ = look.tick() => {
                if search.is_lonely() && search.status().is_asking {
                    break Err(Failure::new(Exit::Network, LONELY_ALONE));
                }
                if let Some(words) = search.due(PAUSE, Instant::now()).filter(|_| !is_quiet) {
                    out::talk_wrapped(&words);
                }
                if let Some(timeout) = timeout.filter(|timeout| search.idle() >= *timeout) {
                    let (waited, words) = (duration(timeout), search.words());
                    let why = format!(
                        "no metadata for {waited}: {words}; try --peer ADDR or --tracker URL"
                    );
                    break Err(Failure::new(Exit::Network, why));
                }
            }
        }
    };
    search.stop().await;
    let found = came?;
    found.told.iter().for_each(|line| out::talk_wrapped(&format!("driver: {line}")));
    if let Some(contacts) = found.contacts {
        contacts.leave().await;
    }
    Ok(found.loaded)
}
