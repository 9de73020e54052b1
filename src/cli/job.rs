//! A run from its beginning: opens the session, takes the torrents in, says what begins, opens
//! the prompt, and hands over to [`Live`]. What the torrents are and when the run ends is said
//! by whoever makes the [`Job`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::os::arenas;
use crate::session::{SessionConfig, TorrentOptions};
use crate::torrent::course::{self, ListingSource};
use crate::torrent::status::State;

use super::args::Common;
use super::engine::Engine;
use super::escape::escape;
use super::exit::{Exit, Failure, Outcome, from_io};
use super::greeting::{Around, greet, greet_many};
use super::item::Item;
use super::live::{End, Ending, Live};
use super::logs::Unnamed;
use super::memory::memory_for;
use super::print::saving_line;
use super::renewal::Shared;
use super::repl::Talk;
use super::repl::complete::complete;
use super::repl::desk::{Coming, Desk, Refused, Wanted};
use super::repl::reader::{Line, PromptConfig, read_pipe, read_prompt, read_script};
use super::search::Wish;
use super::stop::Stopper;
use super::voice::Voice;
use super::{logs, out};

/// Torrents whose files are opened side by side: each waits for its device a few times.
const OPENED_AT_ONCE: usize = 16;
/// So many torrents are told of one by one.
const TOLD_SINGLY_MAX: usize = 10;

/// Everything that a run needs to start.
pub struct Job {
    /// What to download or seed, at least one.
    pub torrents: Vec<Wanted>,
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

/// The torrents on their way in.
#[derive(Default)]
struct Intake {
    /// Those whose files are being opened.
    coming: VecDeque<(Coming, TorrentOptions)>,
    /// They are so many that of each nothing is said.
    is_of_many: bool,
    /// Of how many it was not said that nobody leads to them.
    lonely: u64,
}

/// What tells others of the torrent.
pub type Telling = Pin<Box<dyn Future<Output = Result<Told, Failure>>>>;

/// What was told to others.
pub struct Told {
    /// What is said of it.
    pub words: String,
    /// The name that is to be kept alive.
    pub shared: Shared,
}

impl Job {
    /// The run from start to end, within a runtime.
    ///
    /// # Errors
    /// When the session or the only torrent cannot start, or fails.
    pub async fn run(mut self, common: &Common, stopper: Stopper) -> Result<End, Failure> {
        let engine = started(self.session.clone(), &stopper).await?;
        let mut voice =
            Voice { talk: self.talk, quiet: common.quiet, json: self.json, printer: None };
        let (mut desk, told) = Desk::new(engine, self.template.clone(), self.is_several);
        let is_many = self.is_many();
        self.take_in(&mut desk, &mut voice).await?;
        if desk.items.is_empty() && desk.searches.is_empty() {
            return Ok(End::Short(self.refused));
        }
        if let Some(telling) = self.telling.take() {
            match telling.await {
                Ok(Told { words, shared }) => {
                    if !common.quiet {
                        out::talk_wrapped(&words);
                    }
                    if let Some(item) = desk.items.first() {
                        tokio::spawn(shared.keep(item.handle.clone()));
                    }
                }
                Err(failure) => {
                    desk.engine.stop().await;
                    voice.event(&failed(&failure));
                    return Err(failure);
                }
            }
        }
        let is_serving = desk.items.iter().all(|item| item.is_seed_only)
            && desk.searches.iter().all(|search| search.wish.options.seed_only);
        wait_for_short_checks(&desk).await;
        // What cannot go there says so, and nothing else.
        let has_failed = |item: &Item| matches!(item.handle.state(), State::Failed(_));
        let is_begun = !desk.searches.is_empty() || !desk.items.iter().all(has_failed);
        if is_begun {
            let dir = common_dir(&desk).unwrap_or_else(|| self.template.dir.clone());
            voice.result(&saving_line(&dir, desk.engine.port(), is_serving));
        }
        if is_begun && self.talk == Talk::Prompt {
            voice.result("Type help for commands. quit or Ctrl-D stops and keeps your progress.\n");
        }
        let lines = self.lines(&desk, &mut voice, &stopper)?;
        if let Some(source) = self.chunks_from {
            join_course(&desk, &source);
        }
        let mut live = Live::new((desk, told), voice, lines, stopper, self.ending);
        live.refused = self.refused;
        if is_many {
            live.add_up();
        }
        live.run().await
    }

    /// Lines of the user, or what takes their place; none where nobody can say anything.
    fn lines(
        &mut self,
        desk: &Desk,
        voice: &mut Voice,
        stopper: &Stopper,
    ) -> Result<Option<mpsc::Receiver<Line>>, Failure> {
        Ok(match self.talk {
            Talk::Pipe => Some(read_pipe()),
            Talk::Prompt => {
                let titles = desk.titles();
                let prompt = read_prompt(PromptConfig {
                    history: self.session.state_dir.join("history"),
                    offer: Box::new(move |typed| complete(typed, &titles.borrow())),
                    stopper: stopper.clone(),
                });
                let (lines, printer) =
                    prompt.map_err(|error| anyhow::anyhow!("cannot open the prompt: {error}"))?;
                voice.printer = Some(printer);
                Some(lines)
            }
            Talk::Progress | Talk::Watched => {
                let first = desk.items.first().filter(|_| !self.script.is_empty());
                let script = std::mem::take(&mut self.script);
                first.map(|item| read_script(script, item.handle.watch()))
            }
        })
    }

    /// Takes the torrents in and says what they are, in their order, or of many how many they are.
    /// Of several, those that cannot run are told and left out.
    async fn take_in(&mut self, desk: &mut Desk, voice: &mut Voice) -> Result<(), Failure> {
        let mut intake = Intake { is_of_many: self.is_many(), ..Intake::default() };
        desk.items.reserve_exact(self.torrents.len());
        for wanted in std::mem::take(&mut self.torrents) {
            let refused = match wanted {
                Wanted::Torrent(chosen) => {
                    let torrent = chosen.torrent.clone();
                    let is_near = |(it, _): &(Coming, _)| {
                        it.torrent.info_hash_v1 == torrent.info_hash_v1
                            || it.torrent.name == torrent.name
                    };
                    // Who comes a second time is told of the first, and who would write the same
                    // files is refused as soon as it is known where those of the first are.
                    let is_met = intake.coming.iter().any(is_near);
                    let most = if is_met { 0 } else { OPENED_AT_ONCE - 1 };
                    self.settle(&mut intake, most, desk, voice).await?;
                    let options = chosen.options.clone();
                    match desk.begin(*chosen, None, None).await {
                        Ok(begun) => {
                            intake.coming.push_back((begun, options));
                            continue;
                        }
                        Err(refused) => refused,
                    }
                }
                Wanted::Link(wish) => {
                    self.settle(&mut intake, 0, desk, voice).await?;
                    match seek(desk, voice, *wish).await {
                        Ok(()) => continue,
                        Err(refused) => refused,
                    }
                }
            };
            self.settle(&mut intake, 0, desk, voice).await?;
            self.refuse(voice, refused)?;
        }
        self.settle(&mut intake, 0, desk, voice).await?;
        if intake.is_of_many && !desk.items.is_empty() {
            greet_many(voice, &desk.items, intake.lonely);
        }
        Ok(())
    }

    /// Are the torrents so many that nobody would read what is said of each?
    fn is_many(&self) -> bool {
        self.torrents.len() > TOLD_SINGLY_MAX
    }

    /// Waits for the files of those that came first, until at most so many are being opened.
    async fn settle(
        &mut self,
        intake: &mut Intake,
        most: usize,
        desk: &mut Desk,
        voice: &mut Voice,
    ) -> Result<(), Failure> {
        let (port, is_several) = (desk.engine.port(), self.is_several);
        let has_dht = desk.engine.dht().is_some();
        let has_others = self.ending.providers.is_some() || self.chunks_from.is_some();
        while intake.coming.len() > most
            && let Some((first, options)) = intake.coming.pop_front()
        {
            let item = match desk.settle(first).await {
                Ok(item) => item,
                Err(refused) => {
                    self.refuse(voice, refused)?;
                    continue;
                }
            };
            if let Some(providers) = &self.ending.providers {
                let open = std::mem::take(&mut self.open);
                item.handle.add_providers(providers.to_vec(), open).await;
            }
            let around = Around {
                template: &self.template,
                is_several,
                is_of_many: intake.is_of_many,
                tells_dir: is_several,
                has_others,
                has_dht,
                port,
            };
            intake.lonely += u64::from(greet(voice, item, &options, around));
        }
        Ok(())
    }

    /// Says why a torrent is left out.
    ///
    /// # Errors
    /// The failure, if it was the only one.
    fn refuse(&mut self, voice: &mut Voice, refused: Refused) -> Result<(), Failure> {
        match refused {
            Refused::Twice(words, given) => {
                let given = if given.is_empty() { ": ignored" } else { &given };
                out::talk_wrapped(&format!("driver: {words}{given}"));
            }
            Refused::Failed(failure) => {
                voice.event(&failed(&failure));
                if !self.is_several {
                    return Err(failure);
                }
                out::talk_wrapped(&format!("driver: {failure}"));
                self.refused = self.refused.worst(failure.exit);
            }
        }
        Ok(())
    }
}

/// The engine, unless the user stops it before: a blocklist may take a while to come.
async fn started(session: SessionConfig, stopper: &Stopper) -> Result<Engine, Failure> {
    tokio::select! {
        engine = Engine::start(session) => engine,
        () = stopper.asked() => {
            Err(Failure::new(Exit::Incomplete, "stopped before anything began"))
        }
    }
}

/// Lets all torrents use the providers of a course listing, too.
fn join_course(desk: &Desk, source: &ListingSource) {
    for item in &desk.items {
        let (egress, handle) = (desk.engine.egress().clone(), item.handle.clone());
        tokio::spawn(course::join(egress, handle, item.torrent.clone(), source.clone()));
    }
}

/// Where the files of all torrents are, if that is one place; they may have been moved there.
fn common_dir(desk: &Desk) -> Option<PathBuf> {
    let home = |item: &Item| item.handle.look(|status| status.home.clone());
    let mut dirs = desk.items.iter().map(|item| match home(item) {
        Some(home) => home.dir.clone(),
        None => item.dir.clone(),
    });
    let first = dirs.next().filter(|_| desk.searches.is_empty())?;
    dirs.all(|dir| dir == first).then_some(first)
}

/// Begins to look for what a link means, and says so.
async fn seek(desk: &mut Desk, voice: &mut Voice, wish: Wish) -> Result<(), Refused> {
    let lonely = wish.loneliness().filter(|_| desk.engine.dht().is_none());
    let search = desk.seek(wish).await?;
    voice.event(&json!({
        "event": "searching",
        "name": search.wish.link.name,
        "info_hash": search.wish.info_hash(),
    }));
    let title = search.title();
    voice.result(&format!("{title}: looking for its metadata\n"));
    if let Some(line) = lonely
        && search.is_asking().await
    {
        voice.unasked(line);
    }
    Ok(())
}

/// A torrent that could not begin, for programs.
pub fn failed(failure: &Failure) -> Value {
    json!({ "event": "failed", "message": failure.message })
}

/// A short check ends before it is said where files go, and before the first prompt is drawn; a
/// long one shows in it.
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

/// Where log lines go when no file is named: a prompt has the terminal to itself.
pub fn unnamed(talk: Talk, state_dir: &Path) -> Unnamed<'_> {
    match talk {
        Talk::Prompt => Unnamed::In(state_dir),
        Talk::Pipe | Talk::Progress | Talk::Watched => Unnamed::Errors,
    }
}

/// Runs `work` in a runtime, with logs set up and signals heard.
///
/// # Errors
/// As the work, or when the state directory or the runtime cannot be had.
pub fn in_runtime(
    common: &Common,
    unnamed: Unnamed<'_>,
    state_dir: &Path,
    work: impl AsyncFnOnce(Stopper) -> Result<End, Failure>,
) -> Outcome {
    let stopper = Stopper::new();
    prepare_state(state_dir)?;
    logs::start(common, unnamed)?;
    let threads = memory_for(common)?.threads;
    arenas::fit_into(getrlimit(Resource::As).current);
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
