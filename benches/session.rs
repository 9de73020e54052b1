//! A session of many complete torrents: how long it takes to start and to stop, what memory and
//! processor each costs that sleeps, how long lists take, and how soon one answers a knock. Of
//! torrents of one small file each, without trackers.
//!
//! `cargo bench --bench session -- [TORRENTS]`

#[path = "many/knock.rs"]
mod knock;
#[path = "many/memory.rs"]
mod memory;
#[path = "many/processor.rs"]
mod processor;
#[path = "many/torrents.rs"]
mod torrents;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon::metainfo::Torrent;
use pigeon::roster::{Cursor, Flags, Phase};
use pigeon::session::{Session, TorrentOptions};

use knock::knock;
use memory::anon_kib;
use processor::cpu_seconds;

const TORRENTS: usize = 5_000;
const FILE_LEN: usize = 16_384;
const IDLE: Duration = Duration::from_secs(5);
const LISTS: u32 = 21;
const AWAKE: usize = 32;

#[tokio::main]
async fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let count = words.iter().find_map(|word| word.parse().ok()).unwrap_or(TORRENTS);
    if let Some(home) = words.iter().find_map(|word| word.strip_prefix("again=")) {
        return again(Path::new(home), count).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    let torrents: Vec<_> = (0..count).map(|number| torrent(home.path(), number)).collect();
    println!("{count} torrents of {FILE_LEN} bytes");
    let begun = Instant::now();
    let session = all_complete(home.path(), &torrents).await;
    println!("first start, with a check    {:>9.2} s", begun.elapsed().as_secs_f64());
    // What was checked is to be on its device, or a disk worker has it still at the next start.
    while awake(&session).await > AWAKE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("asleep after                 {:>9.2} s", begun.elapsed().as_secs_f64());
    session.stop().await;
    // In a process of its own, which has not had any memory yet.
    let driver = std::env::current_exe().expect("a program");
    let again = format!("again={}", home.path().display());
    let ran = std::process::Command::new(driver).args([again, count.to_string()]).status();
    assert!(ran.is_ok_and(|status| status.success()), "the second start");
}

/// A start with records of all.
async fn again(home: &Path, count: usize) {
    let torrents: Vec<_> = (0..count).map(|number| torrent(home, number)).collect();
    let (before, cpu) = (anon_kib(), cpu_seconds());
    let begun = Instant::now();
    let session = all_complete(home, &torrents).await;
    let took = begun.elapsed().as_secs_f64();
    println!("start                        {took:>9.2} s, {:.2} CPU-s", cpu_seconds() - cpu);
    let each = (anon_kib().saturating_sub(before)) as f64 / count as f64;
    println!("memory, metadata apart       {each:>9.2} KiB each");
    println!("asleep                       {:>9}", count - awake(&session).await);
    lists(&session).await;
    let cpu = cpu_seconds();
    tokio::time::sleep(IDLE).await;
    let idle = 100.0 * (cpu_seconds() - cpu) / IDLE.as_secs_f64();
    println!("idle                         {idle:>9.2} % of a core");
    knocks(session.port(), &torrents);
    let begun = Instant::now();
    session.stop().await;
    println!("stop                         {:>9.2} s", begun.elapsed().as_secs_f64());
}

async fn awake(session: &Session) -> usize {
    let listed = session.changes(Cursor::default()).await.expect("it runs");
    listed.changed.iter().filter(|row| !row.flags.has(Flags::ASLEEP)).count()
}

/// The torrent of this number, which is there.
fn torrent(home: &Path, number: usize) -> Arc<Torrent> {
    torrents::torrent(&home.join("data"), number, &format!("{number:06}"), FILE_LEN)
}

/// A session that seeds them all.
async fn all_complete(home: &Path, torrents: &[Arc<Torrent>]) -> Session {
    let config = torrents::config(&home.join("state"), AWAKE);
    let session = Session::start(config).await.expect("a session");
    let options = TorrentOptions::default().dir(home.join("data")).seed_only(true);
    let mut opening = Vec::new();
    for torrent in torrents {
        opening.push(session.begin(torrent.clone(), options.clone(), None).await);
    }
    for torrent in opening {
        torrent.opened().await.expect("a torrent");
    }
    let mut complete = 0;
    let mut since = Cursor::default();
    let mut known = std::collections::HashMap::new();
    while complete < torrents.len() {
        let news = session.changes(since).await.expect("it runs");
        known.extend(news.changed.iter().map(|row| (row.id, row.phase)));
        since = news.cursor;
        complete = known.values().filter(|phase| **phase == Phase::Complete).count();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    session
}

/// How long lists take, of everything and of one change.
async fn lists(session: &Session) {
    let handle = session.list().await.swap_remove(0).1;
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for turn in 1..=u64::from(LISTS) {
        let begun = Instant::now();
        let listed = session.changes(Cursor::default()).await.expect("it runs");
        all.push(begun.elapsed());
        handle.limit_up(Some(1_000_000 + turn)).await;
        let limited = Some(1_000_000 + turn);
        handle.watch().wait_for(|status| status.limit_up == limited).await.expect("it runs");
        let begun = Instant::now();
        session.changes(listed.cursor).await.expect("it runs");
        one.push(begun.elapsed());
    }
    println!("list of all                  {:>9.2} ms", median_ms(all));
    println!("list of one change           {:>9.2} ms", median_ms(one));
}

/// How soon torrents that sleep answer a handshake.
fn knocks(port: u16, torrents: &[Arc<Torrent>]) {
    let one = |torrent: &Arc<Torrent>| {
        let begun = Instant::now();
        knock(port, torrent).expect("an answer");
        begun.elapsed()
    };
    let last = torrents.len().saturating_sub(LISTS as usize);
    let took: Vec<_> = torrents[last..].iter().map(one).collect();
    let longest = took.iter().max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3);
    println!("answer to a knock            {:>9.2} ms, at most {longest:.2}", median_ms(took));
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64() * 1e3
}
