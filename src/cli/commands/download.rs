//! `driver TORRENT`: checks what was asked for, starts the session, and follows the
//! download to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::cli::args::{self, Common, Encryption, Options, When};
use crate::cli::config::state_dir;
use crate::cli::engine::Engine;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::live::{End, Ending, Live};
use crate::cli::print::{info_screen, start_lines};
use crate::cli::repl::Talk;
use crate::cli::repl::answer::Desk;
use crate::cli::repl::reader::{PromptConfig, read_pipe, read_prompt, read_script};
use crate::cli::selection::wanted_files;
use crate::cli::stop::Stopper;
use crate::cli::voice::Voice;
use crate::cli::{logs, out};
use crate::metainfo::Torrent;
use crate::session::{Allocate, CheckMode, SessionConfig, TorrentOptions};
use crate::torrent::course::{self, Listing, ListingSource};
use crate::torrent::status::State;

use super::load;

/// Downloads the torrents named on the command line.
///
/// # Errors
/// When an option cannot be honoured, the torrent cannot be used, or the download fails.
pub fn run(torrents: &[String], options: &Options, common: &Common) -> Outcome {
    refuse_unsafe(options)?;
    let [name] = torrents else {
        return Err(Failure::usage("one torrent at a time for now: start driver once for each"));
    };
    let torrent = load::named(name)?;
    if torrent.layout.is_none() {
        out::answer(&info_screen(&torrent, out::columns()));
        return Err(Failure::bad_input("torrents of version 2 only cannot be downloaded yet"));
    }
    let talk = match options.json && !options.repl {
        true => Talk::Progress,
        false => Talk::choose(options.repl, options.no_repl),
    };
    if let Some(dir) = &options.chunk_config {
        // It is read again when the download runs; what is wrong with it is said now.
        let listing = Listing::of_config(dir);
        listing.map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
    }
    let job = Job {
        torrent_options: torrent_options(&torrent, options)?,
        session: session_config(options)?,
        torrent: Arc::new(torrent),
        ending: Ending {
            exit_when_complete: exits_when_complete(options, talk),
            seed_time: options.seed_time,
            timeout: options.timeout,
            providers: None,
        },
        open: Vec::new(),
        chunks_from: match (&options.chunk_tracker, &options.chunk_config) {
            (Some(tracker), _) => Some(ListingSource::Tracker(*tracker)),
            (None, Some(dir)) => Some(ListingSource::Config(dir.clone())),
            (None, None) => None,
        },
        talk,
        json: options.json,
        script: Vec::new(),
    };
    let state_dir = job.session.state_dir.clone();
    in_runtime(common, talk, &state_dir, async |stopper| job.download(common, stopper).await)
}

/// Options that would protect, were they there: never without saying so.
fn refuse_unsafe(options: &Options) -> Result<(), Failure> {
    if options.encryption == Encryption::Require {
        return Err(Failure::usage(
            "--encryption require is not supported yet: connections would not be encrypted",
        ));
    }
    if options.proxy.as_ref().is_some_and(|proxy| !proxy.is_empty()) {
        return Err(Failure::usage(
            "--proxy is not supported yet: connections would show your own address",
        ));
    }
    Ok(())
}

fn exits_when_complete(options: &Options, talk: Talk) -> bool {
    let stays = options.seed.is_some() || options.seed_time.is_some() || talk == Talk::Prompt;
    options.exit_on_finish || !stays
}

/// Everything that a download needs to start.
pub struct Job {
    /// What to download.
    pub torrent: Arc<Torrent>,
    /// How.
    pub torrent_options: TorrentOptions,
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
    /// Where to learn of course providers that have pieces of the torrent too.
    pub chunks_from: Option<ListingSource>,
    /// Commands that run by themselves at a progress, where nobody types.
    pub script: Vec<(f64, &'static str)>,
}

impl Job {
    /// The download from start to end, within a runtime.
    ///
    /// # Errors
    /// When the session or the torrent cannot start, or fails.
    pub async fn download(self, common: &Common, stopper: Stopper) -> Result<End, Failure> {
        let state_dir = self.session.state_dir.clone();
        let engine = Engine::start(self.session).await?;
        let dir = self.torrent_options.dir.clone();
        let wanted = self.torrent_options.wanted_files.clone();
        let wanted = wanted.unwrap_or_else(|| vec![true; self.torrent.files.len()]);
        let handle = engine.add(self.torrent.clone(), self.torrent_options).await?;
        if let Some(providers) = &self.ending.providers {
            handle.add_providers(providers.to_vec(), self.open).await;
        }
        let mut voice =
            Voice { talk: self.talk, quiet: common.quiet, json: self.json, printer: None };
        voice.event(&json!({
            "event": "started",
            "name": self.torrent.name,
            "info_hash": self.torrent.info_hash_v1.map(|hash| hash.to_string()),
            "total_size": self.torrent.total_size(),
            "port": engine.port(),
            "dir": dir.to_string_lossy(),
        }));
        voice.result(&start_lines(&self.torrent, &dir, engine.port(), out::columns()));
        let lines = match self.talk {
            Talk::Pipe => Some(read_pipe()),
            Talk::Prompt => {
                voice.result(
                    "Type help for commands. quit or Ctrl-D stops and keeps your progress.\n",
                );
                // A short check ends before the first prompt is drawn; a long one shows in it.
                let mut status = handle.watch();
                let checked = status.wait_for(|status| status.state != State::Checking);
                let _ = tokio::time::timeout(Duration::from_millis(400), checked).await;
                let prompt = read_prompt(PromptConfig {
                    plain: common.color == When::Never,
                    history: state_dir.join("history"),
                    status: handle.watch(),
                    stopper: stopper.clone(),
                });
                let (lines, printer) =
                    prompt.map_err(|error| anyhow::anyhow!("cannot open the prompt: {error}"))?;
                voice.printer = Some(printer);
                Some(lines)
            }
            Talk::Progress | Talk::Watched if self.script.is_empty() => None,
            Talk::Progress | Talk::Watched => Some(read_script(self.script, handle.watch())),
        };
        let desk = Desk::new(self.torrent.clone(), handle.clone(), wanted);
        let mut live = Live::new(desk, voice, lines, stopper, self.ending);
        if let Some(source) = self.chunks_from {
            tokio::spawn(course::join(handle, self.torrent, source));
        }
        live.run().await
    }
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| from_io("cannot start the runtime", &error))?;
    let end = runtime.block_on(async {
        stopper.listen().map_err(|error| from_io("cannot listen for signals", &error))?;
        work(stopper).await
    });
    // A reader of the terminal may still be waiting for a key.
    runtime.shutdown_background();
    Ok(match end? {
        End::Complete => Exit::Done,
        End::Stopped => Exit::Incomplete,
    })
}

fn prepare_state(state_dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(state_dir).map_err(|error| {
        let shown = crate::cli::escape::escape(&state_dir.display().to_string());
        let failure = from_io(&format!("cannot make the state directory {shown}"), &error);
        Failure { exit: Exit::Disk, ..failure }
    })
}

fn session_config(options: &Options) -> Result<SessionConfig, Failure> {
    Ok(SessionConfig {
        port: options.port,
        listen: true,
        bind: options.bind,
        state_dir: state_dir()?,
        pool_bytes: SessionConfig::POOL_BYTES,
        download_limit: options.download_limit.0,
        upload_limit: options.upload_limit.0,
    })
}

fn torrent_options(torrent: &Torrent, options: &Options) -> Result<TorrentOptions, Failure> {
    let chosen = options.select.is_some() || options.exclude.is_some();
    let wanted = wanted_files(torrent, options.select.as_ref(), options.exclude.as_ref());
    let wanted = wanted.map_err(Failure::usage);
    Ok(TorrentOptions {
        dir: options.dir.clone(),
        wanted_files: if chosen { Some(wanted?) } else { None },
        peers: options.peer.clone(),
        extra_trackers: options.tracker.clone(),
        use_trackers: !options.no_trackers,
        check: match (options.check, options.no_resume) {
            (true, _) => CheckMode::Force,
            (_, true) => CheckMode::NoResume,
            _ => CheckMode::Resume,
        },
        overwrite: options.overwrite,
        allocate: match options.allocate {
            args::Allocate::None => Allocate::None,
            args::Allocate::Sparse => Allocate::Sparse,
            args::Allocate::Full => Allocate::Full,
        },
        sequential: options.sequential,
        found: Vec::new(),
        max_peers: options.max_peers.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(line: &str) -> Options {
        args::Cli::try_parse_from(format!("driver {line} t").split(' ')).unwrap().options
    }

    #[test]
    fn protection_that_is_not_there_is_refused() {
        let refused = refuse_unsafe(&options("--encryption require")).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        let refused = refuse_unsafe(&options("--proxy socks5://x")).unwrap_err();
        assert_eq!(
            refused.message,
            "--proxy is not supported yet: connections would show your own address"
        );
        assert_eq!(refuse_unsafe(&options("--encryption off --no-dht")), Ok(()));
    }

    #[test]
    fn only_a_prompt_or_seeding_keeps_a_complete_download_running() {
        assert!(exits_when_complete(&options("-p 0"), Talk::Progress));
        assert!(!exits_when_complete(&options("-p 0"), Talk::Prompt));
        assert!(exits_when_complete(&options("-e"), Talk::Prompt));
        assert!(!exits_when_complete(&options("--seed"), Talk::Pipe));
        assert!(!exits_when_complete(&options("--seed-time 5m"), Talk::Pipe));
    }
}
