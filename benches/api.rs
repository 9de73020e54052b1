//! The API of a session of many complete torrents that sleep: how long lists take over TCP and over
//! the Unix socket, of everything and of what changed, while others hear events and poll; what
//! processor and memory that takes. Those who ask are a process of their own.
//!
//! `cargo bench --bench api -- [TORRENTS]`

#[path = "many/memory.rs"]
mod memory;
#[path = "many/processor.rs"]
mod processor;
#[path = "many/torrents.rs"]
mod torrents;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon::api::{Api, ApiConfig, Roots};
use pigeon::base::ids::TorrentId;
use pigeon::http::token::Token;
use pigeon::net::egress::Egress;
use pigeon::roster::{Cursor, Flags, Phase};
use pigeon::rpc::{Prefix, Rpc};
use pigeon::session::{Session, Setting, TorrentOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use memory::anon_kib;
use processor::cpu_seconds;

const TORRENTS: usize = 10_000;
const FILE_LEN: usize = 512;
const AWAKE: usize = 32;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const READERS: usize = 50;
const POLLERS: usize = 20;
/// Time between two lists of a poller: those of pages and of people who watch.
const POLL: Duration = Duration::from_millis(500);
/// How long they poll.
const WATCH: Duration = Duration::from_secs(30);
/// Full lists over each of the doors.
const FULL: usize = 50;
/// Changes a second.
const CHANGES: u32 = 50;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if let Some(port) = words.iter().find_map(|word| word.strip_prefix("port=")) {
        let socket = words.iter().find_map(|word| word.strip_prefix("socket="));
        let doors = (port.parse().expect("a port"), PathBuf::from(socket.expect("a socket")));
        return runtime.block_on(ask(doors));
    }
    let count = words.iter().find_map(|word| word.parse().ok()).unwrap_or(TORRENTS);
    runtime.block_on(answer(count));
}

/// The side that answers.
async fn answer(count: usize) {
    let home = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let session = all_asleep(home.path(), count).await;
    println!("{count} torrents asleep after {:.1} s", begun.elapsed().as_secs_f64());
    let config = ApiConfig {
        version: "bench",
        dir: home.path().join("data"),
        roots: Roots::new(Vec::new()),
        egress: Egress::default(),
        allows_local: false,
        rest: TorrentOptions::default(),
        speaker: |_| String::new(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let socket = home.path().join("socket");
    let rpc = Rpc {
        listeners: vec![listener],
        local: Some(UnixListener::bind(&socket).expect("a socket")),
        token: Token::new(TOKEN),
        hosts: Vec::new(),
        transmission: Prefix::default(),
        api: Api::new(session.clone(), config),
    };
    tokio::spawn(rpc.run(std::future::pending()));
    let changing = tokio::spawn(change(session.clone()));
    let driver = std::env::current_exe().expect("a program");
    let words = [format!("port={port}"), format!("socket={}", socket.display())];
    let mut asking = tokio::task::spawn_blocking(move || {
        std::process::Command::new(driver).args(words).status().expect("a process")
    });
    // Once it is warm, by ten seconds of its life.
    let (mut before, mut shares) = ((Instant::now(), cpu_seconds()), Vec::new());
    let mut memory = Vec::new();
    loop {
        tokio::select! {
            status = &mut asking => break assert!(status.expect("a process").success()),
            () = sleep(Duration::from_secs(10)) => {}
        }
        let now = (Instant::now(), cpu_seconds());
        shares.push(100.0 * (now.1 - before.1) / (now.0 - before.0).as_secs_f64());
        memory.push(anon_kib() as f64 / 1024.0);
        before = now;
    }
    changing.abort();
    println!("processor, % of a core, by 10 s  {shares:.0?}");
    println!("memory, MiB, by 10 s             {memory:.1?}");
    session.stop().await;
}

/// Changes labels, and has some rest and go on, which makes events.
async fn change(session: Session) {
    let ids: Vec<TorrentId> = session.find_all().await.iter().map(|it| it.spec.id).collect();
    let mut ticks = interval(Duration::from_secs(1) / CHANGES);
    for turn in 0.. {
        ticks.tick().await;
        let id = ids[turn * 7919 % ids.len()];
        let setting = match turn % 10 {
            0 => Setting::Paused(turn % 20 == 0),
            _ => Setting::Labels(vec![format!("label {turn}")]),
        };
        session.set(id, setting).await.expect("it is there");
    }
}

/// The side that asks.
async fn ask(doors: (u16, PathBuf)) {
    let doors = Arc::new(doors);
    let readers: Vec<_> =
        (0..READERS).map(|number| tokio::spawn(hear(doors.clone(), number % 2 == 0))).collect();
    let polling = (0..POLLERS).map(|number| tokio::spawn(poll(doors.clone(), number % 2 == 0)));
    let polling: Vec<_> = polling.collect();
    let [mut tcp, mut unix] = [Vec::new(), Vec::new()];
    for (number, poller) in polling.into_iter().enumerate() {
        let took = poller.await.expect("lists");
        if number % 2 == 0 { tcp.extend(took) } else { unix.extend(took) }
    }
    tell("changes, TCP", tcp);
    tell("changes, Unix socket", unix);
    // They go on meanwhile.
    let still: Vec<_> =
        (0..POLLERS).map(|number| tokio::spawn(poll(doors.clone(), number % 2 == 0))).collect();
    for (name, over_tcp) in [("full, TCP", true), ("full, Unix socket", false)] {
        let mut took = Vec::new();
        let mut len = 0;
        let mut stream = connect(&doors, over_tcp).await;
        for _ in 0..FULL {
            let begun = Instant::now();
            len = get(&mut stream, "/api/v1/torrents").await.len();
            took.push(begun.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        tell(&format!("{name}, {:.1} MB", len as f64 / 1e6), took);
    }
    still.iter().for_each(|task| task.abort());
    let mut heard = 0;
    for reader in readers {
        assert!(!reader.is_finished(), "a reader was let go");
        reader.abort();
        heard += 1;
    }
    println!("readers of events there until the end: {heard}");
}

async fn connect(doors: &(u16, PathBuf), over_tcp: bool) -> BufReader<Box<dyn Stream>> {
    let stream: Box<dyn Stream> = match over_tcp {
        true => {
            let stream = TcpStream::connect(("127.0.0.1", doors.0)).await.expect("a server");
            stream.set_nodelay(true).expect("a socket");
            Box::new(stream)
        }
        false => Box::new(UnixStream::connect(&doors.1).await.expect("a server")),
    };
    BufReader::with_capacity(256 << 10, stream)
}

/// The body of an answer on a connection that stays.
async fn get(stream: &mut BufReader<Box<dyn Stream>>, path: &str) -> Vec<u8> {
    let head = send(stream, path, "*/*").await;
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.expect("a length").parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    body
}

/// Asks, and reads the head of the answer.
async fn send(stream: &mut BufReader<Box<dyn Stream>>, path: &str, accept: &str) -> String {
    let line = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n");
    let asked = format!("{line}Authorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("a server");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    head
}

async fn hear(doors: Arc<(u16, PathBuf)>, over_tcp: bool) {
    let mut stream = connect(&doors, over_tcp).await;
    send(&mut stream, "/api/v1/events", "text/event-stream").await;
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
}

/// Asks for what changed, again and again; how long each took.
async fn poll(doors: Arc<(u16, PathBuf)>, over_tcp: bool) -> Vec<Duration> {
    let mut stream = connect(&doors, over_tcp).await;
    let session = get(&mut stream, "/api/v1/session").await;
    let cursor = |body: &[u8], name: &str| {
        let text = String::from_utf8_lossy(body);
        let (_, behind) = text.split_once(&format!("\"{name}\":\"")).expect("a cursor");
        behind.split('"').next().unwrap_or_default().to_owned()
    };
    let mut since = cursor(&session, "rows");
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < WATCH {
        ticks.tick().await;
        let asked = Instant::now();
        let body = get(&mut stream, &format!("/api/v1/torrents?since={since}")).await;
        took.push(asked.elapsed());
        since = cursor(&body, "cursor");
    }
    took
}

fn tell(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let (half, most) = (at(50), at(99));
    println!("{name:<32} {half:>8.2} ms, 99 % within {most:.2} ms, of {}", took.len());
}

/// A session that seeds so many, and nobody wants any.
async fn all_asleep(home: &Path, count: usize) -> Session {
    let config = torrents::config(&home.join("state"), AWAKE);
    let session = Session::start(config).await.expect("a session");
    let options = TorrentOptions::default().dir(home.join("data")).seed_only(true);
    let mut opening = Vec::new();
    for number in 0..count {
        let name = format!("some.name.of.a.usual.length.{number:06}");
        let torrent = torrents::torrent(&home.join("data"), number, &name, FILE_LEN);
        opening.push(session.begin(torrent, options.clone(), None).await);
    }
    for torrent in opening {
        torrent.opened().await.expect("a torrent");
    }
    loop {
        let listed = session.changes(Cursor::default()).await.expect("it runs").changed;
        let is_done = |row: &&pigeon::roster::Row| row.phase == Phase::Complete;
        let awake = listed.iter().filter(|row| !row.flags.has(Flags::ASLEEP)).count();
        if listed.iter().filter(is_done).count() == count && awake <= AWAKE {
            return session;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
