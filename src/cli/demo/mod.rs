//! `driver demo`: a tracker, some seeders and a download in one process, over real sockets
//! of this machine. Nothing leaves it, and nothing outside `./driver-demo` is written.

mod content;
mod seeder;

use std::future::Future;
use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::termios::{QueueSelector, tcflush};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::base::units::size;
use crate::metainfo::Torrent;
use crate::net::blocklist::Lists;
use crate::net::egress::Egress;
use crate::session::{
    Allocate, CheckMode, Encryption, Memory, SeedLimits, SessionConfig, TorrentOptions,
};
use crate::tracker::server::{ServerConfig, serve};

use super::args::{Common, DemoArgs};
use super::escape::escape;
use super::exit::{Exit, Failure, Outcome, from_io};
use super::job::Job;
use super::live::{End, Ending};
use super::memory::memory_for;
use super::repl::Talk;
use super::repl::desk::{Chosen, Wanted};
use super::stop::Stopper;
use super::{logs, out};

use content::Sample;
use seeder::Seeder;

/// Where everything goes, below the working directory.
const DIR: &str = "driver-demo";
/// The largest sample: it is made in memory, and sent by several.
const SIZE_MAX: u64 = 1 << 30;
/// Marks the directory as ours.
const TORRENT_FILE: &str = "sample.torrent";
/// What the program keeps for itself, below that.
const STATE_DIR: &str = ".state";
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
    make_room(&dir)?;
    let state_dir = dir.join(STATE_DIR);
    std::fs::create_dir_all(&state_dir)
        .map_err(|error| from_io(&format!("cannot make ./{DIR}"), &error))?;
    let log = state_dir.join("driver.log");
    logs::start(common, is_interactive.then_some(log.as_path()))?;
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
        out::answer(&format!("./{DIR} is kept\n"));
    } else {
        leave(&dir, arguments.keep, is_interactive);
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
    let options = TorrentOptions {
        dir: dir.to_owned(),
        wanted_files: None,
        peers: Vec::<SocketAddr>::new(),
        extra_trackers: Vec::new(),
        use_trackers: true,
        web_seeds: Vec::new(),
        use_web_seeds: true,
        check: CheckMode::Resume,
        overwrite: false,
        waits_for_disk: false,
        checks_room: true,
        allocate: Allocate::Sparse,
        sequential: false,
        found: Vec::new(),
        max_peers: 80,
        exchange_peers: true,
        seeding: SeedLimits::default(),
        seed_only: false,
    };
    let named = TORRENT_FILE.to_owned();
    let chosen = Chosen { named, torrent, options: options.clone(), sums: Vec::new() };
    Job {
        torrents: vec![Wanted::Torrent(Box::new(chosen))],
        template: options,
        refused: Exit::Done,
        is_several: false,
        session: SessionConfig {
            port: Some(0),
            listen: true,
            egress: Egress::from_address(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            blocklists: Lists::default(),
            encryption: Encryption::default(),
            state_dir: dir.join(STATE_DIR),
            memory,
            download_limit: None,
            max_active: SessionConfig::MAX_ACTIVE,
            local_discovery: false,
            allow_local_sources: false,
            web_connections: SessionConfig::WEB_CONNECTIONS,
            web_limit: None,
            authorities: Vec::new(),
            dht: None,
            upload_limit: None,
        },
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

/// Takes away what an earlier demo left; refuses what is not ours.
///
/// # Errors
/// When it, or something in it, is not ours, or cannot be removed.
pub fn make_room(dir: &Path) -> Result<(), Failure> {
    if !dir.exists() {
        return Ok(());
    }
    let shown = dir.display();
    let is_ours = dir.join(TORRENT_FILE).exists() || dir.join(STATE_DIR).exists();
    if !is_ours {
        return Err(Failure::usage(format!("./{shown} exists and is not of a demo: move it away")));
    }
    let failed = |error| from_io(&format!("cannot empty ./{shown}"), &error);
    if let Some(other) = others_in(dir).map_err(failed)? {
        let other = escape(&other.display().to_string());
        return Err(Failure::usage(format!(
            "./{other} is not of the demo, and ./{shown} would be emptied: move it away"
        )));
    }
    std::fs::remove_dir_all(dir).map_err(failed)
}

/// The first thing in the directory that no demo made. What the demo keeps for itself has names
/// that begin with a dot, and nobody looks there for room.
fn others_in(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let sample = dir.join(content::NAME);
    let is_ours = |path: &Path| {
        let of_demo = [TORRENT_FILE, STATE_DIR, SEEDERS_DIR].map(|name| dir.join(name));
        let files = content::FILES.map(|name| sample.join(name));
        let part = files.clone().map(|file| file.with_added_extension("part"));
        path == sample || [&of_demo[..], &files, &part].concat().iter().any(|ours| ours == path)
    };
    let folders = [dir, sample.as_path()].into_iter().filter(|folder| folder.is_dir());
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if !is_ours(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Removes the directory, unless it is to be kept; what others put there stays.
pub fn leave(dir: &Path, keep: bool, is_interactive: bool) {
    // It could not even be made.
    if !dir.exists() {
        return;
    }
    if !keep && is_interactive {
        // What was typed before the question is no answer to it: on a terminal it is dropped.
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
        out::answer(&format!("Remove ./{}? [Y/n] ", dir.display()));
        let mut answer = String::new();
        // No answer counts as yes, as an empty one does.
        let _ = std::io::stdin().lock().read_line(&mut answer);
        if !is_yes(&answer) {
            return out::answer(&format!("./{} is kept\n", dir.display()));
        }
    }
    if keep {
        return;
    }
    match others_in(dir) {
        Ok(Some(other)) => {
            let other = escape(&other.display().to_string());
            out::talk(&format!(
                "driver: ./{} is kept: ./{other} is not of the demo",
                dir.display()
            ));
        }
        Ok(None) if std::fs::remove_dir_all(dir).is_ok() => {}
        _ => out::talk(&format!("driver: ./{} could not be removed", dir.display())),
    }
}

/// Is it yes, or nothing, which the question's capital letter makes a yes? Of anything else nobody
/// knows what it means, and nothing is removed for it.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_or_nothing_removes_the_demo() {
        assert!(["", "\n", "y\n", " Y\n", "yes", "YES\n"].into_iter().all(is_yes));
        assert!(!["n", "no", "N\n", "quit", "yn", "status", "?", "0"].into_iter().any(is_yes));
    }

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
    fn only_directories_of_demos_are_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("d");
        std::fs::create_dir(&ours).unwrap();
        assert_eq!(make_room(&ours).unwrap_err().exit, Exit::Usage);
        std::fs::write(ours.join(TORRENT_FILE), "").unwrap();
        assert_eq!(make_room(&ours), Ok(()));
        assert!(!ours.exists());
    }

    #[test]
    fn what_others_put_into_a_kept_demo_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, sample) = (dir.path().join("d"), dir.path().join("d").join(content::NAME));
        for theirs in ["d/notes.txt", "d/driver-sample/mine.bin", "d/more/x"] {
            std::fs::create_dir_all(ours.join(STATE_DIR)).unwrap();
            std::fs::create_dir_all(&sample).unwrap();
            std::fs::write(ours.join(TORRENT_FILE), "").unwrap();
            std::fs::write(sample.join("data.bin.part"), "").unwrap();
            let theirs = dir.path().join(theirs);
            std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
            std::fs::write(&theirs, "mine").unwrap();
            let refused = make_room(&ours).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.message.contains("is not of the demo"), "{refused}");
            leave(&ours, false, false);
            assert_eq!(std::fs::read(&theirs).unwrap(), b"mine");
            std::fs::remove_file(&theirs).unwrap();
            let _ = std::fs::remove_dir(ours.join("more"));
            assert_eq!(make_room(&ours), Ok(()), "all of it is the demo's");
        }
        assert!(!ours.exists());
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
