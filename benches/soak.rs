//! A session whose torrents come, finish, sleep, wake and go, for a long time: whether memory,
//! descriptors, threads or tasks grow. Of small torrents that another session of this process has.
//!
//! `cargo bench --bench soak -- [MINUTES [TORRENTS]]`: a line a minute, and in the end how the last
//! third stands to the second one; in the first one caches fill.

#[path = "many/knock.rs"]
mod knock;
#[path = "many/memory.rs"]
mod memory;
#[path = "many/torrents.rs"]
mod torrents;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon::metainfo::Torrent;
use pigeon::roster::{Cursor, Flags};
use pigeon::session::{Session, TorrentOptions};
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Handle;

use knock::knock;
use memory::{anon_kib, number};
use torrents::torrent;

const MINUTES: u64 = 60;
const TORRENTS: usize = 2_000;
const FILE_LEN: usize = 65_536;
/// Of those that are there, so many are woken and so many go in each round; as many come.
const KNOCKS: usize = 10;
const MOVES: usize = 20;
/// A round takes so long at least.
const ROUND: Duration = Duration::from_secs(1);
/// A fetch that takes longer is a failure.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// What must not grow.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    anon_kib: u64,
    descriptors: u64,
    threads: u64,
    tasks: u64,
}

/// One of them.
type Figure = fn(&Footprint) -> u64;

struct World {
    torrents: Vec<Arc<Torrent>>,
    /// Which are there.
    present: Vec<usize>,
    absent: Vec<usize>,
    origin: Session,
    session: Session,
    options: TorrentOptions,
    chance: SmallRng,
}

#[tokio::main]
async fn main() {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let minutes = words.first().copied().unwrap_or(MINUTES);
    let count = words.get(1).map_or(TORRENTS, |count| *count as usize);
    let home = tempfile::tempdir().expect("a directory");
    let mut world = World::new(home.path(), count).await;
    let (begun, mut rounds, mut seen) = (Instant::now(), 0_u64, Vec::new());
    println!("minute  rounds  torrents  asleep  anon KiB  descriptors  threads  tasks");
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        let round = Instant::now();
        world.round().await;
        rounds += 1;
        if begun.elapsed().as_secs() / 60 > seen.len() as u64 {
            let Footprint { anon_kib, descriptors, threads, tasks } = footprint();
            let (all, asleep) = world.count().await;
            println!(
                "{:>6}  {rounds:>6}  {all:>8}  {asleep:>6}  {anon_kib:>8}  {descriptors:>11}  \
                 {threads:>7}  {tasks:>5}",
                seen.len() + 1
            );
            seen.push(footprint());
        }
        tokio::time::sleep(ROUND.saturating_sub(round.elapsed())).await;
    }
    let third = seen.len() / 3;
    let of = |from: usize, what: Figure| {
        let mut values: Vec<_> = seen[from..from + third].iter().map(what).collect();
        values.sort_unstable();
        values.get(third / 2).copied().unwrap_or(0)
    };
    let facts: [(&str, Figure); 4] = [
        ("anon KiB", |it| it.anon_kib),
        ("descriptors", |it| it.descriptors),
        ("threads", |it| it.threads),
        ("tasks", |it| it.tasks),
    ];
    for (name, what) in facts {
        println!(
            "{name:>12}: {} in the second third, {} in the last",
            of(third, what),
            of(2 * third, what)
        );
    }
    world.session.stop().await;
    world.origin.stop().await;
}

impl World {
    /// Half of the torrents are there at first, in files of an earlier run.
    async fn new(home: &Path, count: usize) -> Self {
        let (there, here) = (home.join("origin"), home.join("here"));
        let torrents: Vec<_> = (0..count)
            .map(|number| torrent(&there, number, &format!("{number:06}"), FILE_LEN))
            .collect();
        let origin = started(&home.join("origin-state"), 32).await;
        let seeding = TorrentOptions::default().dir(there).seed_only(true);
        for torrent in &torrents {
            origin.begin(torrent.clone(), seeding.clone(), None).await;
        }
        let peers = vec![SocketAddr::from(([127, 0, 0, 1], origin.port()))];
        let options = TorrentOptions::default().dir(here).peers(peers);
        let session = started(&home.join("state"), 8).await;
        let (absent, chance) = ((0..count).collect(), SmallRng::seed_from_u64(1));
        let present = Vec::new();
        let mut world = Self { torrents, present, absent, origin, session, options, chance };
        while world.present.len() < count / 2 {
            world.come(MOVES).await;
        }
        world
    }

    async fn round(&mut self) {
        self.come(MOVES).await;
        for number in self.present.iter().copied().sample(&mut self.chance, KNOCKS) {
            // Where many knock at once, some are sent away.
            let _ = knock(self.session.port(), &self.torrents[number]);
        }
        for _ in 0..MOVES {
            let at = self.chance.random_range(0..self.present.len());
            let number = self.present.swap_remove(at);
            let torrent = &self.torrents[number];
            let hash = torrent.info_hash_v1.expect("a v1 torrent");
            assert!(self.session.remove(hash).await.is_ok_and(|was_there| was_there));
            fs::remove_file(self.options.dir.join(&torrent.name)).expect("it was fetched");
            self.absent.push(number);
        }
    }

    /// So many come, and are fetched.
    async fn come(&mut self, count: usize) {
        let mut opening = Vec::new();
        for _ in 0..count.min(self.absent.len()) {
            let at = self.chance.random_range(0..self.absent.len());
            let number = self.absent.swap_remove(at);
            let torrent = self.torrents[number].clone();
            opening.push(self.session.begin(torrent, self.options.clone(), None).await);
            self.present.push(number);
        }
        for torrent in opening {
            let handle = torrent.opened().await.expect("a torrent");
            let fetched = tokio::time::timeout(FETCH_MAX, handle.wait_until_complete()).await;
            fetched.expect("it is fetched in time").expect("it is fetched");
        }
    }

    /// How many there are, and how many of them sleep.
    async fn count(&self) -> (usize, usize) {
        let rows = self.session.changes(Cursor::default()).await.expect("it runs").changed;
        (rows.len(), rows.iter().filter(|row| row.flags.has(Flags::ASLEEP)).count())
    }
}

async fn started(state: &Path, awake: usize) -> Session {
    Session::start(torrents::config(state, awake)).await.expect("a session")
}

fn footprint() -> Footprint {
    let descriptors = fs::read_dir("/proc/self/fd").expect("Linux").count() as u64;
    let tasks = Handle::current().metrics().num_alive_tasks() as u64;
    Footprint { anon_kib: anon_kib(), descriptors, threads: number("Threads"), tasks }
}
