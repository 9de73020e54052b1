//! A run from its beginning: opens the session, takes the torrents in, says what begins, opens
//! the prompt, and hands over to [`Live`]. What the torrents are and when the run ends is said
//! by whoever makes the [`Job`].

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::session::{SessionConfig, TorrentOptions};
use crate::torrent::course::{self, ListingSource};
use crate::torrent::status::State;

use super::args::Common;
use super::engine::Engine;
use super::escape::escape;
use super::exit::{Exit, Failure, Outcome, from_io};
use super::item::Item;
use super::live::{End, Ending, Live};
use super::memory::memory_for;
use super::print::{facts_line, saving_line};
use super::repl::Talk;
use super::repl::desk::{Chosen, Desk, Refused};
use super::repl::reader::{PromptConfig, read_pipe, read_prompt, read_script};
use super::stop::Stopper;
use super::voice::Voice;
use super::{logs, out};

/// Everything that a run needs to start.
pub struct Job {
    /// What to download or seed, at least one.
    pub torrents: Vec<Chosen>,
    /// How torrents run that are added later.
    pub template: TorrentOptions,
    /// What came of torrents that were named too and cannot be used; that was told.
    pub refused: Exit,
    /// More than one torrent was named: lines say which one they are about.
    pub is_several: bool,
    /// With what.
    pub session: SessionConfig,
    /// Until when.
    pub ending: Ending,
    /// How to talk meanwhile.
    pub talk: Talk,
    /// JSON lines instead of words.
    pub json: bool,
    /// Connections to providers that are open already.
    pub open: Vec<(SocketAddr, TcpStream)>,
    /// Where to learn of course providers that have pieces of the torrents too.
    pub chunks_from: Option<ListingSource>,
    /// Commands that run by themselves at a progress, where nobody types.
    pub script: Vec<(f64, &'static str)>,
    /// Whom to tell of the torrents once they run.
    pub telling: Option<Telling>,
}

/// What tells others of the torrents, and what is said then.
pub type Telling = Pin<Box<dyn Future<Output = Result<String, Failure>>>>;

impl Job {
    /// The run from start to end, within a runtime.
    ///
    /// # Errors
    /// When the session or the only torrent cannot start, or fails.
    pub async fn run(mut self, common: &Common, stopper: Stopper) -> Result<End, Failure> {
        let state_dir = self.session.state_dir.clone();
        let engine = Engine::start(self.session.clone()).await?;
        let mut voice =
            Voice { talk: self.talk, quiet: common.quiet, json: self.json, printer: None };
        let (mut desk, told) = Desk::new(engine, self.template.clone(), self.is_several);
        self.take_in(&mut desk, &mut voice).await?;
        if desk.items.is_empty() {
            return Ok(End::Short(self.refused));
        }
        if let Some(telling) = self.telling.take() {
            match telling.await {
                Ok(told) if common.quiet => drop(told),
                Ok(told) => out::talk(&told),
                Err(failure) => {
                    desk.engine.stop().await;
                    voice.event(&failed(&failure));
                    return Err(failure);
                }
            }
        }
        let is_serving = desk.items.iter().all(|item| item.is_seed_only);
        voice.result(&saving_line(&self.template.dir, desk.engine.port(), is_serving));
        let lines = match self.talk {
            Talk::Pipe => Some(read_pipe()),
            Talk::Prompt => {
                voice.result(
                    "Type help for commands. quit or Ctrl-D stops and keeps your progress.\n",
                );
                wait_for_short_checks(&desk).await;
                let prompt = read_prompt(PromptConfig {
                    history: state_dir.join("history"),
                    titles: desk.titles(),
                    stopper: stopper.clone(),
                });
                let (lines, printer) =
                    prompt.map_err(|error| anyhow::anyhow!("cannot open the prompt: {error}"))?;
                voice.printer = Some(printer);
                Some(lines)
            }
            Talk::Progress | Talk::Watched => {
                let first = desk.items.first().filter(|_| !self.script.is_empty());
                first.map(|item| read_script(self.script, item.handle.watch()))
            }
        };
        if let Some(source) = self.chunks_from {
            for item in &desk.items {
                let (handle, torrent) = (item.handle.clone(), item.torrent.clone());
                tokio::spawn(course::join(handle, torrent, source.clone()));
            }
        }
        let mut live = Live::new((desk, told), voice, lines, stopper, self.ending);
        live.refused = self.refused;
        live.run().await
    }

    /// Takes the torrents in and says what they are. Of several, those that cannot run are told
    /// and left out.
    async fn take_in(&mut self, desk: &mut Desk, voice: &mut Voice) -> Result<(), Failure> {
        let (columns, port) = (out::line_columns(), desk.engine.port());
        for chosen in std::mem::take(&mut self.torrents) {
            let options = chosen.options.clone();
            let item = match desk.add(chosen).await {
                Ok(item) => item,
                Err(Refused::Twice(words)) => {
                    out::talk(&format!("driver: {words}: ignored"));
                    continue;
                }
                Err(Refused::Failed(failure)) if self.is_several => {
                    voice.event(&failed(&failure));
                    out::talk(&format!("driver: {failure}"));
                    self.refused = self.refused.worst(failure.exit);
                    continue;
                }
                Err(Refused::Failed(failure)) => {
                    voice.event(&failed(&failure));
                    return Err(failure);
                }
            };
            if let Some(providers) = &self.ending.providers {
                let open = std::mem::take(&mut self.open);
                item.handle.add_providers(providers.to_vec(), open).await;
            }
            voice.event(&json!({
                "event": "started",
                "name": item.torrent.name,
                "info_hash": item.info_hash(),
                "total_size": item.torrent.total_size(),
                "port": port,
                "dir": item.dir.to_string_lossy(),
            }));
            let number = if self.is_several { format!("{} ", item.number) } else { "".into() };
            let facts = facts_line(&item.torrent, columns.saturating_sub(number.len()));
            voice.result(&(number + &facts));
            if item.dir != self.template.dir {
                voice.result(&saving_line(&item.dir, 0, item.is_seed_only));
            }
            let has_others = self.ending.providers.is_some() || self.chunks_from.is_some();
            if let Some(line) = loneliness(item, &options).filter(|_| !has_others) {
                voice.unasked(line);
            }
            voice.result(&item.choice_line());
            for flaw in item.torrent.flaws() {
                voice.urgent(&format!("driver: {}", escape(&flaw.to_string())));
            }
        }
        Ok(())
    }
}

/// What is said at the start of a torrent that nobody leads to.
fn loneliness(item: &Item, options: &TorrentOptions) -> Option<&'static str> {
    let is_asked = options.use_trackers && item.torrent.trackers.iter().any(|it| !it.is_empty());
    if is_asked || !options.extra_trackers.is_empty() || !options.peers.is_empty() {
        return None;
    }
    Some(match item.is_seed_only {
        true => "no tracker is named: only peers that are told of us will come (-a URL names one)",
        false => {
            "no tracker and no peer is named: nobody to ask (-a URL, --peer ADDR, add-peer ADDR)"
        }
    })
}

/// A torrent that could not begin, for programs.
pub fn failed(failure: &Failure) -> Value {
    json!({ "event": "failed", "message": failure.message })
}

/// A short check ends before the first prompt is drawn; a long one shows in it.
async fn wait_for_short_checks(desk: &Desk) {
    let checks = async {
        for item in &desk.items {
            let mut status = item.handle.watch();
            // One that has ended is checked as well.
            let _ = status.wait_for(|status| status.state != State::Checking).await;
        }
    };
    // Late or not, the prompt comes.
    let _ = tokio::time::timeout(Duration::from_millis(400), checks).await;
}

/// Runs `work` in a runtime, with logs set up and signals heard.
///
/// # Errors
/// As the work, or when the state directory or the runtime cannot be had.
pub fn in_runtime(
    common: &Common,
    talk: Talk,
    state_dir: &Path,
    work: impl AsyncFnOnce(Stopper) -> Result<End, Failure>,
) -> Outcome {
    let stopper = Stopper::new();
    prepare_state(state_dir)?;
    let log = state_dir.join("driver.log");
    logs::start(common, (talk == Talk::Prompt).then_some(log.as_path()))?;
    let threads = memory_for(common)?.threads;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| from_io("cannot start the runtime", &error))?;
    let end = runtime.block_on(async {
        stopper.listen().map_err(|error| from_io("cannot listen for signals", &error))?;
        work(stopper).await
    });
    // A reader of the terminal may still be waiting for a key.
    runtime.shutdown_background();
    Ok(match end? {
        End::Complete => Exit::Done,
        End::Short(exit) => exit,
    })
}

fn prepare_state(state_dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(state_dir).map_err(|error| {
        let shown = escape(&state_dir.display().to_string());
        let why = from_io(&format!("cannot make the state directory {shown}"), &error).message;
        Failure::new(Exit::Disk, format!("{why}: set XDG_STATE_HOME to a directory for it"))
    })
}
