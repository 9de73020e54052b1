//! `driver chunk demo`: alice, bob, a tracker and charlie in one process, over real sockets of
//! this machine, through all three steps. Nothing outside `./driver-chunk-demo` is written.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::TcpListener;

use crate::chunk::config::{Live, PEERS};
use crate::chunk::provider;
use crate::chunk::store::ChunkStore;
use crate::chunk::tools::{self, cut};
use crate::chunk::tracker::{self, Listing, bind_discovery};
use crate::cli::args::{Cli, Command, Common};
use crate::cli::demo::{Room, STATE_DIR};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::job::in_runtime;
use crate::cli::live::End;
use crate::cli::logs::Unnamed;
use crate::cli::out;
use crate::cli::repl::Talk;
use crate::cli::stop::Stopper;

use super::failure::failure;
use super::{ChunkCommand, DemoArgs, GetArgs, get};

/// Where everything goes, below the working directory.
const DIR: &str = "driver-chunk-demo";
/// The file that is shared.
const FILE: &str = "lecture.bin";
/// Its bytes: eleven chunks, the last one short.
const FILE_LEN: usize = (5 << 20) + 12_345;
/// The folders in it.
const FOLDERS: [&str; 7] =
    ["config", "chunks", "chunks/alice", "chunks/bob", "step1", "step2", "step3"];
/// Bytes of a chunk.
const CHUNK_LEN: u64 = 512 << 10;
/// Broadcasts of this machine only.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// Runs the demo.
///
/// # Errors
/// When the directory is taken, a port cannot be opened, or a download fails.
pub fn run(arguments: &DemoArgs, common: &Common) -> Outcome {
    let dir = PathBuf::from(DIR);
    let room = Room::new(&dir, &FOLDERS, is_ours);
    room.make()?;
    let state = dir.join(STATE_DIR);
    let outcome = in_runtime(common, Unnamed::Errors, &state, async |stopper| {
        play(&dir, common, stopper).await
    });
    room.leave(arguments.keep, false);
    if matches!(outcome, Ok(Exit::Done)) {
        out::answer("demo ok\n");
    }
    outcome
}

async fn play(dir: &Path, common: &Common, stopper: Stopper) -> Result<End, Failure> {
    let mut content = vec![0; FILE_LEN];
    StdRng::seed_from_u64(1).fill_bytes(&mut content);
    let file = dir.join(FILE);
    let written = std::fs::write(&file, &content);
    written.map_err(|error| from_io(&format!("cannot write {DIR}/{FILE}"), &error))?;
    let discovery_port = start_roles(dir, &file).await?;
    let ways = [
        ("Step 1: charlie reads peers.ini and file.ini", format!("--config {DIR}/config")),
        (
            "Step 2: charlie asks the tracker of peers.ini",
            format!("--config {DIR}/config --tracker"),
        ),
        (
            "Step 3: charlie looks for a tracker by broadcast",
            format!("--discover --broadcast {BROADCAST} --discover-port {discovery_port}"),
        ),
    ];
    for (number, (title, way)) in (1..).zip(ways) {
        let line = format!("driver chunk get {way} -d {DIR}/step{number}");
        out::answer(&format!("\n{title}\n$ {line}\n"));
        // Each step begins with nothing.
        let state = dir.join(STATE_DIR).join(format!("step{number}"));
        let made = std::fs::create_dir_all(&state);
        made.map_err(|error| from_io(&format!("cannot write in {DIR}"), &error))?;
        let arguments = arguments(&line)?;
        let end = get::download(&arguments, common, Talk::Progress, &state, stopper.clone());
        if let end @ End::Short(_) = end.await? {
            return Ok(end);
        }
        let got = arguments.dir.join(FILE);
        let shown = got.display();
        let bytes = std::fs::read(&got)
            .map_err(|error| from_io(&format!("cannot read {shown}"), &error))?;
        if bytes != content {
            return Err(Failure::new(Exit::Mismatch, format!("{shown} is not what was shared")));
        }
    }
    Ok(End::Complete)
}

/// Is this a file that the demo makes, by its path in the directory?
fn is_ours(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
    let is_hex = |hash: &str| hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    match folder {
        "" => name == FILE,
        "config" => [PEERS, crate::chunk::config::FILE].contains(&name),
        "step1" | "step2" | "step3" => name.strip_suffix(".part").unwrap_or(name) == FILE,
        // The chunks of alice and bob.
        _ => name.strip_suffix(".bin").is_some_and(|hash| hash.len() == 40 && is_hex(hash)),
    }
}

/// The options as the command line makes them, so that what is shown is what runs.
fn arguments(line: &str) -> Result<Box<GetArgs>, Failure> {
    let parsed = Cli::try_parse_from(line.split(' '));
    match parsed.map(|cli| cli.command) {
        Ok(Some(Command::Chunk { command: ChunkCommand::Get(arguments) })) => Ok(arguments),
        Ok(_) => Err(Failure::usage(format!("not a download: {line}"))),
        Err(error) => Err(Failure::usage(escape(&error.to_string()))),
    }
}

/// Cuts the file and starts alice, bob and the tracker; returns the UDP port that the tracker
/// is discovered at.
async fn start_roles(dir: &Path, file: &Path) -> Result<u16, Failure> {
    let (config, chunks) = (dir.join("config"), dir.join("chunks"));
    let mut peers = String::new();
    let tracker = listen("tracker", &mut peers).await?;
    let providers =
        [("alice", listen("alice", &mut peers).await?), ("bob", listen("bob", &mut peers).await?)];
    let written =
        std::fs::create_dir_all(&config).and_then(|()| std::fs::write(config.join(PEERS), &peers));
    written.map_err(|error| from_io(&format!("cannot write in {DIR}"), &error))?;
    cut(file, &tools::Places { config: &config, chunks: &chunks }, CHUNK_LEN).map_err(failure)?;
    for (name, listener) in providers {
        let store = ChunkStore::new(&chunks, name);
        let store = store.map_err(|error| Failure::usage(escape(&error.to_string())))?;
        tokio::spawn(provider::serve(listener, store, std::future::pending()));
    }
    let live = Live::open(&config).map_err(|error| failure(error.into()))?;
    let listing = Listing::new(live);
    let listing = listing.map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
    let udp = bind_discovery(0).map_err(no_port)?;
    let port = udp.local_addr().map_err(no_port)?.port();
    let end = std::future::pending();
    tokio::spawn(tracker::serve(tracker, udp, listing, "demo".to_owned(), end));
    out::answer(&format!("{peers}The tracker is discovered at UDP {port}.\n"));
    Ok(port)
}

/// Opens any port, and writes the section of `peers.ini` for it.
async fn listen(name: &str, peers: &mut String) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
    let port = listener.local_addr().map_err(no_port)?.port();
    *peers += &format!("[{name}]\nip_address = 127.0.0.1\nport_number = {port}\n\n");
    Ok(listener)
}

fn no_port(error: std::io::Error) -> Failure {
    from_io("cannot open a port", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_knows_its_own_files() {
        let chunk = format!("chunks/alice/{}.bin", "0a".repeat(20));
        let ours = [FILE, "config/peers.ini", "config/file.ini", "step1/lecture.bin", &chunk];
        assert!(ours.iter().all(|path| is_ours(Path::new(path))), "{ours:?}");
        let theirs = ["notes.txt", "config/x", "step1/notes.txt", "chunks/alice/x.bin", "step2/a"];
        assert!(!theirs.iter().any(|path| is_ours(Path::new(path))), "{theirs:?}");
    }
}
