//! Links to servers over the real pool, against the mock server.

#[path = "../../../tests/support/content.rs"]
mod content;
#[path = "../../../tests/support/mock_web.rs"]
mod mock_web;

mod apart;
mod faults;
mod redirects;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash, LinkId, PeerId};
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::base::units::BLOCK_LEN;
use crate::link::web::{NamedBy, Origins, Policy, Server, Wait, dial_server};
use crate::link::{LinkConfig, LinkHandle, LinkNews, LinkReport, LinkTimeouts, Secrecy, Subject};
use crate::metainfo::Torrent;
use crate::net::egress::{self, Egress};
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCommand, LinkEvent, Run, RunEnd, Trouble};
use crate::wire::mse::Encryption;

use content::Spec;
use mock_web::{MockWeb, Reply, Request};

const PIECE_LEN: u32 = 64 * 1024;

/// A torrent, and a pool for its links.
struct Rig {
    spec: Spec,
    torrent: Arc<Torrent>,
    extents: Arc<Extents>,
    config: Arc<LinkConfig>,
    origins: Origins,
}

/// A link to a server.
struct Link {
    handle: LinkHandle,
    reports: mpsc::Receiver<LinkReport>,
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Ended {
    at: u32,
    why: RunEnd,
    /// Blocks that came.
    blocks: usize,
    /// Those of them that were not as they should be.
    wrong: usize,
}

impl Rig {
    fn new(spec: Spec) -> Self {
        // Only where it is told otherwise is a link given up because nothing is ordered.
        Self::with_policy(spec, Policy { idle: Duration::from_secs(60), ..Policy::default() })
    }

    /// One that waits for no server.
    fn impatient(spec: Spec) -> Self {
        Self::with_policy(spec, Policy { patience: Duration::from_secs(1), ..Policy::default() })
    }

    fn with_policy(spec: Spec, policy: Policy) -> Self {
        let torrent =
            Arc::new(Torrent::parse(&spec.clone().with_tracker("http://t/").torrent()).unwrap());
        let extents = Arc::new(torrent.extents().unwrap());
        let layout = Layout::new(spec.total_len(), spec.piece_len).unwrap();
        let config = LinkConfig {
            info_hash: InfoHash(spec.info_hash()),
            peer_id: PeerId(*b"-PN0100-000000000000"),
            subject: Subject::with_layout(layout),
            exchanges_peers: false,
            pool: BlockPool::new(1 << 20),
            limiter: Arc::new(Limiter::new(None)),
            up_limiter: Arc::new(Limiter::new(None)),
            ports: None,
            dht: None,
            egress: Egress::default(),
            secrecy: Secrecy::new(Encryption::Off),
            timeouts: LinkTimeouts::default(),
        };
        let origins = super::start(policy);
        Self { spec, torrent, extents, config: Arc::new(config), origins }
    }

    /// The torrent's files as a server has them below `/pub/`.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let name = urlencoding::encode(&self.spec.name);
        if self.spec.files.is_empty() {
            return vec![(format!("/pub/{name}"), self.spec.file(0))];
        }
        let file = |index: usize| {
            let path = &self.spec.files[index].0;
            let path: Vec<_> = path.iter().map(|element| urlencoding::encode(element)).collect();
            (format!("/pub/{name}/{}", path.join("/")), self.spec.file(index))
        };
        (0..self.spec.files.len()).map(file).collect()
    }

    /// A server that has them.
    fn serve(&self, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> MockWeb {
        MockWeb::start(self.files(), behaviour)
    }

    fn dial(&self, url: &str, named_by: NamedBy) -> Link {
        let (torrent, extents) = (self.torrent.clone(), self.extents.clone());
        let server = Server::new(url, named_by, torrent, extents).unwrap();
        let (sender, reports) = mpsc::channel(4);
        let (config, origins) = (self.config.clone(), self.origins.clone());
        let handle = dial_server(config, (LinkId(7), 1), Arc::new(server), origins, sender);
        Link { handle, reports }
    }

    /// A link that is up to a server that the user names.
    async fn link(&self, server: &MockWeb) -> Link {
        let mut link = self.dial(&server.url("/pub/"), NamedBy::User);
        link.is_up().await;
        link
    }

    fn run(&self, first: u32, end: u32) -> Run {
        let layout = self.config.subject.known().unwrap().layout;
        Run { first: layout.piece(first).unwrap(), end, skip: 0, is_of_whole_file: false }
    }

    fn all(&self) -> Run {
        self.run(0, self.spec.piece_count())
    }

    /// Fetches a run to its end.
    async fn fetch(&self, link: &mut Link, run: Run) -> Ended {
        link.order(LinkCommand::Fetch(run)).await;
        self.end_of_run(link).await
    }

    async fn end_of_run(&self, link: &mut Link) -> Ended {
        let (mut blocks, mut wrong) = (0, 0);
        loop {
            let LinkNews::Events(events) = link.next().await else { panic!("no events") };
            for event in events {
                match event {
                    LinkEvent::Blocks(arrived) => {
                        for (block, data) in arrived {
                            let (begin, len) = (block.begin(), block.len_bytes());
                            let right = self.spec.block(block.piece().number(), begin, len);
                            blocks += 1;
                            wrong += usize::from(data.bytes() != right);
                        }
                    }
                    LinkEvent::RunEnded { at, why, .. } => return Ended { at, why, blocks, wrong },
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// All of it, and right.
    fn done(&self, run: Run) -> Ended {
        let layout = self.config.subject.known().unwrap().layout;
        let of = |number| layout.block_count(layout.piece(number).unwrap()) as usize;
        let blocks = (run.first.number()..run.end).map(of).sum();
        Ended { at: run.end, why: RunEnd::Done, blocks, wrong: 0 }
    }
}

impl Link {
    async fn next(&mut self) -> LinkNews {
        let report = timeout(Duration::from_secs(20), self.reports.recv()).await;
        report.expect("news in time").expect("a link says that it ends").news
    }

    async fn is_up(&mut self) {
        let news = self.next().await;
        assert!(matches!(news, LinkNews::Up { .. }), "{news:?}");
    }

    async fn order(&self, command: LinkCommand) {
        self.handle.commands.send(vec![command]).await.unwrap();
    }

    async fn down(&mut self) -> DownReason {
        match self.next().await {
            LinkNews::Down(reason) => reason,
            news => panic!("{news:?}"),
        }
    }

    async fn close(mut self) {
        self.order(LinkCommand::Close(CloseReason::BothComplete)).await;
        assert_eq!(self.down().await, DownReason::Closed(CloseReason::BothComplete));
    }
}

fn single() -> Spec {
    Spec::single(1, "a file", 10 * u64::from(PIECE_LEN) + 5, PIECE_LEN)
}

/// Files that begin and end within blocks, an empty one and one of padding.
fn several() -> Spec {
    let files = [
        ("one", 100_000),
        ("empty", 0),
        ("dir/two#?", 10),
        ("dir/three", 200_000),
        (".pad/27672", 27_672),
        ("last", 70_000),
    ];
    Spec::multi(2, "t", &files, PIECE_LEN)
}

fn ranges(requests: &[Request]) -> Vec<(u64, u64)> {
    requests.iter().filter_map(Request::range).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_file_come_over_one_connection_with_all_that_a_request_must_say() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    let mut link = rig.link(&server).await;
    for (first, end) in [(0, 1), (1, 4), (7, 11)] {
        let run = rig.run(first, end);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    }
    link.close().await;
    let requests = server.requests();
    let total = rig.spec.total_len();
    let piece = u64::from(PIECE_LEN);
    assert_eq!(ranges(&requests), [(0, piece - 1), (piece, 4 * piece - 1), (7 * piece, total - 1)]);
    assert_eq!(server.connections(), 1);
    for request in &requests {
        assert_eq!(request.target, "/pub/a%20file");
        assert_eq!(request.field("Host"), Some(server.address.to_string().as_str()));
        assert!(request.field("User-Agent").unwrap().starts_with("pigeon/"));
        assert_eq!(request.field("Accept"), Some("*/*"));
        assert_eq!(request.field("Accept-Encoding"), Some("identity"));
        assert_eq!(request.field("Authorization"), None);
        assert_eq!(request.field("Referer"), None);
    }
    assert_eq!(rig.config.pool.in_use_blocks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_over_files_asks_for_each_and_for_a_whole_one_without_a_range() {
    let rig = Rig::new(several());
    let server = rig.serve(|_| Reply::Honest);
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    assert_eq!((ended.at, ended.why, ended.wrong), (rig.spec.piece_count(), RunEnd::Done, 0));
    let requests = server.requests();
    let targets: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/pub/t/one", "/pub/t/dir/two%23%3F", "/pub/t/dir/three", "/pub/t/last"]);
    assert_eq!(ranges(&requests), []);
    // A block that is padding alone is made by nobody.
    let pad_blocks = 1;
    assert_eq!(ended.blocks + pad_blocks, rig.done(rig.all()).blocks);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_link_goes_on_over_the_connection_of_the_one_before() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    for piece in 0..3 {
        let mut link = rig.link(&server).await;
        let run = rig.run(piece, piece + 1);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
        link.close().await;
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_that_are_ordered_come_one_after_the_other() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    let mut link = rig.link(&server).await;
    let (first, second) = (rig.run(0, 3), rig.run(5, 9));
    link.order(LinkCommand::Fetch(first)).await;
    link.order(LinkCommand::Fetch(second)).await;
    assert_eq!(rig.end_of_run(&mut link).await, rig.done(first));
    assert_eq!(rig.end_of_run(&mut link).await, rig.done(second));
    link.close().await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_without_a_run_gives_its_slot_back_by_itself() {
    let rig = Rig::with_policy(single(), Policy { idle: Duration::ZERO, ..Policy::default() });
    let server = rig.serve(|_| Reply::Honest);
    let mut link = rig.link(&server).await;
    assert_eq!(link.down().await, DownReason::NoRoom);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_another_torrent_waits_a_link_ends_after_its_run() {
    let rig = Rig::new(single());
    let other = Rig {
        config: Arc::new(LinkConfig { info_hash: InfoHash([9; 20]), ..(*rig.config).clone() }),
        origins: rig.origins.clone(),
        ..Rig::new(single())
    };
    let server = rig.serve(|_| Reply::Honest);
    let mut links = [rig.link(&server).await, rig.link(&server).await];
    let mut waiting = other.dial(&server.url("/pub/"), NamedBy::User);
    let LinkNews::Waits(Wait { until, why }) = waiting.next().await else { panic!("no wait") };
    assert_eq!((until, why.as_str()), (None, "all 2 connections to it are in use"));
    let run = rig.run(0, 2);
    assert_eq!(rig.fetch(&mut links[0], run).await, rig.done(run));
    assert_eq!(links[0].down().await, DownReason::NoRoom);
    waiting.is_up().await;
    assert_eq!(other.fetch(&mut waiting, run).await, other.done(run));
    assert!(server.connections() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_wanted_any_more_ends_a_run_and_the_next_one_begins() {
    let rig = Rig::new(Spec::single(1, "a file", 40 * u64::from(PIECE_LEN), PIECE_LEN));
    // The first answer stops in the sixth piece.
    let server = rig.serve(|request| match request.number {
        0 => Reply::StallAfter(5 * u64::from(PIECE_LEN) + 100),
        _ => Reply::Honest,
    });
    let mut link = rig.link(&server).await;
    link.order(LinkCommand::Fetch(rig.all())).await;
    link.order(LinkCommand::Shorten(5)).await;
    let run = rig.run(0, 5);
    assert_eq!(rig.end_of_run(&mut link).await, rig.done(run));
    // More is left of the answer than is worth reading.
    let next = rig.run(30, 32);
    assert_eq!(rig.fetch(&mut link, next).await, rig.done(next));
    assert_eq!(server.connections(), 2);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_three_blocks_is_enough() {
    let mut rig = Rig::new(several());
    let pool = BlockPool::new(3 * BLOCK_LEN);
    rig.config = Arc::new(LinkConfig { pool, ..(*rig.config).clone() });
    let server = rig.serve(|request| match request.number {
        0 => Reply::Chunked(700),
        _ => Reply::Honest,
    });
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    assert_eq!((ended.why, ended.wrong), (RunEnd::Done, 0));
    link.close().await;
    assert_eq!(rig.config.pool.in_use_blocks(), 0);
}

/// A proxy that only connects, at this address.
async fn connect_for_others(address: std::net::SocketAddr) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let Some(to) = head.strip_prefix("CONNECT ") else { return };
            let to = to.split(' ').next().unwrap();
            let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_leaves_no_server_is_asked_and_none_has_failed() {
    let mut rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let proxy = format!("http://{address}").parse().ok();
    let egress = Egress::new(egress::Policy { proxy, ..Default::default() });
    let looking = tokio::spawn(egress.clone().look_around());
    let mut watch = egress.watch();
    watch.wait_for(|standing| standing.proxy_trouble.is_some()).await.unwrap();
    rig.config = Arc::new(LinkConfig { egress, ..(*rig.config).clone() });
    let mut link = rig.dial(&server.url("/pub/"), NamedBy::User);
    let LinkNews::Waits(Wait { until: None, why }) = link.next().await else { panic!() };
    assert!(why.contains(&format!("the proxy http://{address} is not reached")), "{why}");
    let proxy = tokio::spawn(connect_for_others(address));
    link.is_up().await;
    assert_eq!(rig.fetch(&mut link, rig.all()).await, rig.done(rig.all()));
    link.close().await;
    looking.abort();
    proxy.abort();

    let device = Some("tun77".to_owned());
    let egress = Egress::new(egress::Policy { device, ..Default::default() });
    rig.config = Arc::new(LinkConfig { egress, ..(*rig.config).clone() });
    let mut link = rig.dial(&server.url("/pub/"), NamedBy::User);
    let LinkNews::Waits(Wait { why, .. }) = link.next().await else { panic!() };
    assert_eq!(why, "nothing leaves: waits for tun77: there is no such device");
    link.order(LinkCommand::Close(CloseReason::Stopping)).await;
    assert_eq!(link.down().await, DownReason::Closed(CloseReason::Stopping));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_another_place_is_not_used_again() {
    let mut rig = Rig::new(several());
    let server = rig.serve(|_| Reply::Honest);
    let device = Some("lo".to_owned());
    let on_device = Egress::new(egress::Policy { device, ..Default::default() });
    let elsewhere = Egress::new(egress::Policy::default());
    for (egress, connections) in [(&on_device, 1), (&on_device, 1), (&elsewhere, 2)] {
        let egress = egress.clone();
        rig.config = Arc::new(LinkConfig { egress, ..(*rig.config).clone() });
        let mut link = rig.link(&server).await;
        let run = rig.run(0, 1);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
        link.close().await;
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_spelled_plainly_where_files_are_found_so() {
    let mut rig = Rig::new(several());
    let torrent = rig.spec.torrent();
    let name = torrent.windows(9).position(|bytes| bytes == b"4:name1:t").unwrap() + 9;
    let both = [&torrent[..name], b"10:name.utf-81:u", &torrent[name..]].concat();
    rig.torrent = Arc::new(Torrent::parse(&both).unwrap());
    let runs = [rig.run(0, 1), rig.run(2, 3), rig.run(5, 6)];
    for (there, missing, expected) in [
        // A file that is not there says nothing about the others.
        ("u", "one", ["u/one", "t/one", "u/dir/three", "u/last"]),
        ("t", "none", ["u/one", "t/one", "t/dir/three", "t/last"]),
    ] {
        let files = rig
            .files()
            .into_iter()
            .map(|(path, bytes)| (path.replacen("/t/", &format!("/{there}/"), 1), bytes));
        let files = files.filter(|(path, _)| !path.ends_with(missing)).collect();
        let server = MockWeb::start(files, |_| Reply::Honest);
        let mut link = rig.link(&server).await;
        for run in runs {
            let ended = rig.fetch(&mut link, run).await;
            let is_there = missing != "one" || run.first.number() > 0;
            assert_eq!(ended.why == RunEnd::Done, is_there, "{ended:?}");
        }
        let requests = server.requests();
        let targets: Vec<_> = requests.iter().map(|it| &it.target["/pub/".len()..]).collect();
        assert_eq!(targets, expected);
        link.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_limit_holds_over_a_connection_for_each_answer_too() {
    const RATE: u64 = 10 * 1024;
    // Answers that are read at once.
    let mut rig = Rig::new(Spec::single(1, "a file", 20 * 512, 512));
    let limiter = Arc::new(Limiter::new(Some(RATE)));
    rig.config = Arc::new(LinkConfig { limiter: limiter.clone(), ..(*rig.config).clone() });
    let server = rig.serve(|_| Reply::ThenClose);
    let mut link = rig.link(&server).await;
    for piece in 0..20 {
        let run = rig.run(piece, piece + 1);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    }
    assert_eq!(server.connections(), 20);
    // A second's worth has come. What is still owed is what the last reads are to wait for.
    let turn = limiter.turn_bytes().unwrap();
    let owed = limiter.spend(turn, std::time::Instant::now());
    assert!(owed < Duration::from_secs_f64(4.0 * turn as f64 / RATE as f64), "{owed:?}");
}
