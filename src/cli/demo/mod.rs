//! `driver demo`: a tracker, some seeders and a download in one process, over real sockets
//! of this machine. Nothing leaves it, and nothing outside `./driver-demo` is written.

mod content;
mod room;
mod seeder;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::base::units::size;
use crate::metainfo::Torrent;
use crate::session::{Memory, SessionConfig, TorrentOptions};
use crate::tracker::server::{ServerConfig, serve};

use super::args::{Common, DemoArgs};
use super::exit::{Exit, Failure, Outcome, from_io};
use super::job::Job;
use super::live::{End, Ending};
use super::logs::Unnamed;
use super::memory::memory_for;
use super::repl::Talk;
use super::repl::desk::{Chosen, Wanted};
use super::stop::Stopper;
use super::{logs, out};

pub use room::{Room, STATE_DIR};

use content::Sample;
use seeder::Seeder;

/// Where everything goes, below the working directory.
const DIR: &str = "driver-demo";
/// The largest sample: it is made in memory, and sent by several.
const SIZE_MAX: u64 = 1 << 30;
/// The torrent of the sample, below that.
const TORRENT_FILE: &str = "sample.torrent";
/// Where the seeders have their parts of the sample, below that.
const SEEDERS_DIR: &str = ".seeders";
/// What each seeder sends at most, in bytes per second, so that there is something to see.
const SEEDER_RATE: u64 = 1_258_291;
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
/// Commands that run by themselves where nobody types, and the progress to run them at.
const SCRIPT: [(f64, &str); 3] = [(0.0, "info"), (0.3, "peers"), (0.5, "status")];

/// Runs the demo.
///
/// # Errors
/// When the directory is taken, a port cannot be opened, or the download fails.
pub fn run(arguments: &DemoArgs, common: &Common) -> Outcome {
    let stopper = Stopper::new();
    let is_interactive = Talk::choose(false, false) == Talk::Prompt;
    if arguments.size > SIZE_MAX {
        let most = size(SIZE_MAX);
        return Err(Failure::usage(format!(
            "the sample is made in memory: --size is at most {most}"
        )));
    }
    let dir = PathBuf::from(DIR);
    let room = room();
    room.make()?;
    let state_dir = dir.join(STATE_DIR);
    logs::start(common, if is_interactive { Unnamed::In(&state_dir) } else { Unnamed::Errors })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| from_io("cannot start the runtime", &error))?;
    let outcome = runtime.block_on(async {
        let (swarm, stopped) = oneshot::channel::<()>();
        let outcome = play(arguments, common, &dir, is_interactive, stopper.clone(), async {
            // Dropping the sender ends it as well.
            let _ = stopped.await;
        });
        let outcome = outcome.await;
        drop(swarm);
        outcome
    });
    runtime.shutdown_background();
    if is_interactive && stopper.is_asked() {
        // Whoever sent a signal may not be there to answer a question.
        room.keep();
        out::answer(&format!("./{DIR} is kept\n"));
    } else {
        room.leave(arguments.keep, is_interactive);
        if is_interactive {
            out::answer_wrapped("Next: driver some.torrent      driver --help\n");
        }
    }
    if !is_interactive && matches!(outcome, Ok(Exit::Done)) {
        out::answer("demo ok\n");
    }
    outcome
}

/// Builds the swarm and downloads from it.
async fn play(
    arguments: &DemoArgs,
    common: &Common,
    dir: &Path,
    is_interactive: bool,
    stopper: Stopper,
    end: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let memory = memory_for(common)?;
    stopper.listen().map_err(|error| from_io("cannot listen for signals", &error))?;
    let sample = Sample::new(arguments.size);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(|error| from_io("cannot open a port", &error))?;
    let tracker = listener.local_addr().map_err(|error| from_io("cannot open a port", &error))?;
    tokio::spawn(serve(listener, ServerConfig::default(), end));
    let bytes = sample.torrent(&format!("http://{tracker}/announce"));
    let torrent = Torrent::parse(&bytes).map_err(|error| Failure::bad_input(error.to_string()))?;
    let torrent = Arc::new(torrent);
    std::fs::write(dir.join(TORRENT_FILE), &bytes)
        .map_err(|error| from_io(&format!("cannot write {DIR}/{TORRENT_FILE}"), &error))?;
    let rate = (!arguments.fast).then_some(SEEDER_RATE);
    let mut seeders = Vec::new();
    for number in 0..usize::from(arguments.peers) {
        let seeder = seeder_of(number, arguments.peers, &sample, rate);
        let name = seeder.name.clone();
        let seeding = seeder.start(&sample, torrent.clone(), &dir.join(SEEDERS_DIR)).await?;
        seeders.push((name, seeding));
    }
    let ports = seeders.iter().map(|(name, seeding)| format!("{name} :{}", seeding.port()));
    let ports: Vec<String> = ports.collect();
    let hash = torrent.info_hash_v1.map(|hash| hash.to_string()).unwrap_or_default();
    out::answer_wrapped(&format!(
        "Demo swarm on 127.0.0.1: tracker :{}\nSeeders {}\nInfo hash {hash}\n\
         Try: status, why, peers, info, watch, help. quit stops.\n",
        tracker.port(),
        // Each with its port where the line breaks.
        ports.join("   "),
    ));
    let end = job(torrent, dir, memory, is_interactive).run(common, stopper).await?;
    match end {
        End::Short(exit) => Ok(exit),
        // Whoever has the prompt may have moved, renamed or removed it.
        End::Complete if is_interactive => Ok(Exit::Done),
        End::Complete => compare(&sample, dir),
    }
}

/// The download, on loopback only.
fn job(torrent: Arc<Torrent>, dir: &Path, memory: Memory, is_interactive: bool) -> Job {
    let options = TorrentOptions::default().dir(dir);
    let named = TORRENT_FILE.to_owned();
    let chosen = Chosen { named, torrent, options: options.clone(), sums: Vec::new() };
    Job {
        torrents: vec![Wanted::Torrent(Box::new(chosen))],
        template: options,
        refused: Exit::Done,
        is_several: false,
        session: SessionConfig::default()
            .port(0)
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .state_dir(dir.join(STATE_DIR))
            .memory(memory),
        ending: Ending { exit_when_complete: !is_interactive, timeout: None, providers: None },
        talk: if is_interactive { Talk::Prompt } else { Talk::Progress },
        json: false,
        open: Vec::new(),
        chunks_from: None,
        telling: None,
        script: if is_interactive { Vec::new() } else { SCRIPT.to_vec() },
    }
}

/// Who a seeder is of so many, how fast, and which pieces it has: alice the first two thirds, or
/// all when alone, bob the last two thirds, everybody else everything but at a third of the speed.
fn seeder_of(number: usize, of: u8, sample: &Sample, rate: Option<u64>) -> Seeder {
    let count = sample.piece_count();
    let name = NAMES.get(number).map_or_else(|| format!("peer{number}"), |name| (*name).to_owned());
    let third = count.div_ceil(3);
    let part = (0..count).map(|piece| match number {
        0 => of == 1 || piece < 2 * third,
        1 => piece >= third,
        _ => true,
    });
    let is_slow = number > 1;
    let rate = rate.map(|rate| if is_slow { rate / 3 } else { rate });
    Seeder { name, part: part.collect(), rate }
}

/// Compares what was downloaded with where it came from, byte for byte.
fn compare(sample: &Sample, dir: &Path) -> Outcome {
    for (name, expected) in sample.files() {
        let path = dir.join(content::NAME).join(name);
        let shown = path.display();
        let found = std::fs::read(&path)
            .map_err(|error| from_io(&format!("cannot read {shown}"), &error))?;
        if found != expected {
            return Err(Failure::new(Exit::Mismatch, format!("{shown} is not what was sent")));
        }
    }
    Ok(Exit::Done)
}

/// The directory of the demo, and what a demo makes in it.
fn room() -> Room {
    Room::new(Path::new(DIR), &[content::NAME], |path| {
        let files = content::FILES.map(|name| Path::new(content::NAME).join(name));
        let parts = files.clone().map(|file| file.with_added_extension("part"));
        path == Path::new(TORRENT_FILE) || files.iter().chain(&parts).any(|ours| ours == path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeders_overlap_and_the_third_has_all() {
        let sample = Sample::new(2 << 20);
        let alice = seeder_of(0, 3, &sample, Some(300));
        assert_eq!((alice.name.as_str(), alice.rate), ("alice", Some(300)));
        let bob = seeder_of(1, 3, &sample, None).part;
        let alice = alice.part;
        assert!(alice[0] && !bob[0] && !alice[alice.len() - 1] && bob[bob.len() - 1]);
        assert!(alice.iter().zip(&bob).all(|(alice, bob)| *alice || *bob));
        let carol = seeder_of(2, 3, &sample, Some(300));
        assert_eq!((carol.name.as_str(), carol.rate), ("carol", Some(100)));
        assert!(carol.part.iter().all(|has| *has));
        assert!(seeder_of(0, 1, &sample, None).part.iter().all(|has| *has), "alone");
    }

    #[test]
    fn a_wrong_byte_is_noticed() {
        let sample = Sample::new(300_000);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(content::NAME)).unwrap();
        for (name, bytes) in sample.files() {
            std::fs::write(dir.path().join(content::NAME).join(name), bytes).unwrap();
        }
        assert_eq!(compare(&sample, dir.path()), Ok(Exit::Done));
        std::fs::write(dir.path().join(content::NAME).join("data.bin"), "x").unwrap();
        assert_eq!(compare(&sample, dir.path()).unwrap_err().exit, Exit::Mismatch);
    }
}
