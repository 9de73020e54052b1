//! What becomes of a search when its torrent is there: whom it met, the trackers that it told of
//! itself, and the local network, which hears nothing of a private torrent.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::net::lsd::{LocalPeer, Lsd, LsdCommand};
use crate::torrent::seeking::Contacts;

const LIMIT: Duration = Duration::from_secs(20);

/// A tracker over HTTP that knows nobody.
struct Tracker {
    url: String,
    told: mpsc::Receiver<String>,
}

impl Tracker {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                    while !request.ends_with(b"\r\n\r\n") {
                        let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
                        request.extend_from_slice(&buffer[..count]);
                    }
                    let text = String::from_utf8_lossy(&request);
                    let event = text.split_once("event=").map_or("", |(_, rest)| rest);
                    let event = event.split(['&', ' ']).next().unwrap_or_default();
                    // It is asked again at its leisure, and for numbers.
                    if !event.is_empty() {
                        let _ = tell.send(event.to_owned()).await;
                    }
                    let body = "d8:intervali1800e5:peers0:e";
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
                    let reply = format!("{head}\r\nConnection: close\r\n\r\n{body}");
                    let _ = stream.write_all(reply.as_bytes()).await;
                });
            }
        });
        Self { url, told }
    }

    /// The next event that it is told of.
    async fn event(&mut self) -> String {
        timeout(LIMIT, self.told.recv()).await.expect("the tracker is told").unwrap()
    }

    /// Those that it was told of by now.
    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

/// A torrent that a leech has sought at a seed, and told a tracker of.
struct Met {
    home: tempfile::TempDir,
    seed: Session,
    leech: Session,
    tracker: Tracker,
    torrent: Arc<Torrent>,
    contacts: Option<Contacts>,
}

impl Met {
    /// The seed has these bytes, or else the metadata alone.
    async fn by_search(torrent: Arc<Torrent>, bytes: Option<&[u8]>, max_active: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let there = home.path().join("there");
        std::fs::create_dir_all(there.join("data")).unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(there.join("data/m"), bytes).unwrap();
        }
        let (seed, leech) =
            (session(&there, 5).await, session(&home.path().join("here"), max_active).await);
        let serving = seed.add(torrent.clone(), options(&there)).await.unwrap();
        let is_there = if bytes.is_some() { State::Complete } else { State::Downloading };
        until(&serving, is_there).await;
        let mut tracker = Tracker::start().await;
        let address = SocketAddr::from(([127, 0, 0, 1], seed.port()));
        let trackers = vec![vec![tracker.url.clone()]];
        let request = SeekRequest { trackers, ..request(&torrent, Vec::new()) };
        let seeking = leech.seek(request).await.unwrap();
        // Nobody is asked before the tracker has heard of it.
        assert_eq!(tracker.event().await, "started");
        seeking.desk().add_peer(address).await;
        let sought = timeout(LIMIT, seeking.found()).await.expect("in time").unwrap();
        let contacts = sought.contacts;
        assert!(contacts.is_some() && tracker.events().is_empty());
        Self { home, seed, leech, tracker, torrent, contacts }
    }

    fn options(&self) -> TorrentOptions {
        options(&self.home.path().join("here"))
    }

    async fn add(&mut self, options: TorrentOptions) -> Result<TorrentHandle, Error> {
        self.leech.add_among(self.torrent.clone(), options, self.contacts.take()).await
    }

    async fn end(self) {
        self.leech.stop().await;
        self.seed.stop().await;
    }
}

/// A torrent of 8 GiB whose data nobody has.
fn huge() -> Arc<Torrent> {
    let info = "d6:lengthi8589934592e4:name1:m12:piece lengthi16777216e6:pieces10240:";
    let info = [info.as_bytes(), &[b'x'; 10_240], b"e"].concat();
    Arc::new(Torrent::from_info(&info).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_of_a_search_hear_of_the_end_of_a_torrent_that_is_being_checked() {
    let mut met = Met::by_search(huge(), None, 5).await;
    let taken = met.options();
    std::fs::create_dir_all(&taken.dir).unwrap();
    // It takes no place on disk, and a while to look at.
    std::fs::File::create(taken.dir.join("m")).unwrap().set_len(8 << 30).unwrap();
    let checking = met.add(taken).await.unwrap();
    assert_eq!(checking.state(), State::Checking);
    assert!(met.leech.remove(met.torrent.info_hash_v1.unwrap()).await.unwrap());
    assert_eq!(met.tracker.events(), ["stopped"]);
    met.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_of_a_search_hear_of_the_end_of_a_torrent_that_fails() {
    let (torrent, bytes) = payload(false);
    let mut met = Met::by_search(torrent, Some(&bytes), 5).await;
    let taken = met.options().seed_only(true);
    std::fs::create_dir_all(&taken.dir).unwrap();
    std::fs::write(taken.dir.join("m"), &bytes[..bytes.len() - 20_000]).unwrap();
    // Of what is to be seeded something is missing.
    let failed = met.add(taken).await.unwrap();
    let mut status = failed.watch();
    let is_failed = status.wait_for(|status| matches!(status.state, State::Failed(_)));
    timeout(LIMIT, is_failed).await.expect("it fails").unwrap();
    assert_eq!(met.tracker.event().await, "stopped");
    met.leech.stop().await;
    assert!(met.tracker.events().is_empty(), "once is enough");
    met.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_of_a_search_hear_of_the_end_when_its_torrent_is_refused() {
    let (torrent, bytes) = payload(false);
    let mut met = Met::by_search(torrent.clone(), Some(&bytes), 5).await;
    // Somebody was quicker.
    met.leech.add(torrent, met.options()).await.unwrap();
    let taken = met.options();
    let refused = met.add(taken).await.unwrap_err();
    assert!(matches!(refused, Error::Duplicate { .. }), "{refused}");
    assert_eq!(met.tracker.event().await, "stopped");
    met.end().await;
}

/// It was complete before it was sought, as trackers see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_whole_leaves_its_trackers_as_a_search_before_it_comes_as_a_seed() {
    let (torrent, bytes) = payload(false);
    let mut met = Met::by_search(torrent, Some(&bytes), 5).await;
    let extra_trackers = vec![met.tracker.url.clone()];
    let taken = met.options().use_trackers(true).extra_trackers(extra_trackers);
    std::fs::create_dir_all(&taken.dir).unwrap();
    std::fs::write(taken.dir.join("m"), &bytes).unwrap();
    let seeding = met.add(taken).await.unwrap();
    until(&seeding, State::Complete).await;
    let told = [met.tracker.event().await, met.tracker.event().await];
    assert_eq!(told, ["stopped", "started"]);
    met.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_that_waits_for_its_turn_knows_then_whom_its_search_has_met() {
    let (torrent, bytes) = payload(false);
    let mut met = Met::by_search(torrent, Some(&bytes), 1).await;
    let first = super::torrent(1);
    let running = met.leech.add(first.clone(), met.options()).await.unwrap();
    until(&running, State::Downloading).await;
    // It asks no tracker, and nobody names a peer.
    let taken = met.options();
    let waiting = met.add(taken).await.unwrap();
    until(&waiting, State::Queued).await;
    assert_eq!(met.tracker.event().await, "stopped", "it has left");
    assert!(met.leech.remove(first.info_hash_v1.unwrap()).await.unwrap());
    until(&waiting, State::Complete).await;
    met.end().await;
}

/// BEP 27.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_network_is_told_nothing_of_private_torrents_nor_believed() {
    let home = tempfile::tempdir().unwrap();
    let (commands, mut ordered) = mpsc::channel(16);
    let (heard, peers) = mpsc::channel(16);
    let local = |_| Local::with(Some(Lsd { commands, peers }));
    let session = Session::start_among(config(home.path(), 5), local).await.unwrap();
    let ((public, _), (private, _)) = (payload(false), payload(true));
    let [here, there] = ["here", "there"].map(|name| options(&home.path().join(name)));
    let secret = session.add(private.clone(), here).await.unwrap();
    let open = session.add(public.clone(), there).await.unwrap();
    until(&secret, State::Downloading).await;
    until(&open, State::Downloading).await;
    let of = |torrent: &Torrent| torrent.info_hash_v1.unwrap();
    assert_eq!(ordered.recv().await, Some(LsdCommand::Add(of(&public))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for info_hash in [of(&private), of(&public)] {
        heard.send(LocalPeer { info_hash, address }).await.unwrap();
    }
    timeout(LIMIT, listener.accept()).await.expect("the other one calls").unwrap();
    // It has heard of it before the other one.
    assert!(secret.peers(true).await.is_empty());
    session.stop().await;
    assert!(
        !std::iter::from_fn(|| ordered.try_recv().ok())
            .any(|order| order == LsdCommand::Add(of(&private)))
    );
}

/// A file whose readers wait for a writer, as on a disk that hangs; they go on when this is
/// dropped.
struct Hung(PathBuf);

impl Hung {
    /// Where the metadata of this torrent is kept.
    fn of(torrent: &Torrent, home: &Path) -> Self {
        let state = home.join("state");
        std::fs::create_dir_all(&state).unwrap();
        let path = state.join(format!("{}.info", torrent.info_hash_v1.unwrap()));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        Self(path)
    }

    /// The disk answers at last.
    async fn answer(&self, bytes: Vec<u8>) {
        let path = self.0.clone();
        tokio::task::spawn_blocking(move || std::fs::write(path, bytes)).await.unwrap().unwrap();
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

/// BEP 27: as long as nobody knows whether it is private, only those are asked whom its link names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_makes_nothing_known_of_a_torrent_that_may_be_private() {
    let home = tempfile::tempdir().unwrap();
    let (commands, mut ordered) = mpsc::channel(16);
    let (heard, peers) = mpsc::channel(16);
    let local = |_| Local::with(Some(Lsd { commands, peers }));
    let config = config(home.path(), 5).bind([127, 0, 0, 1].into());
    let config = config.dht(Some(DhtOptions::default()));
    let session = Session::start_among(config, local).await.unwrap();
    let ((private, _), (public, _)) = (payload(true), payload(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let named = listener.local_addr().unwrap();
    let of = |torrent: &Torrent| torrent.info_hash_v1.unwrap();
    for (torrent, kept) in [(&private, private.raw_info().to_vec()), (&public, Vec::new())] {
        let hung = Hung::of(torrent, home.path());
        let seeking = session.seek(request(torrent, vec![named])).await.unwrap();
        let called = timeout(LIMIT, listener.accept()).await;
        let _stream = called.expect("who is named is asked").unwrap();
        let mut status = seeking.status();
        timeout(LIMIT, status.wait_for(|it| it.connected + it.dialling + it.candidates > 0))
            .await
            .expect("a status")
            .unwrap();
        assert!(!status.borrow().is_asking && status.borrow().dht.is_none());
        hung.answer(kept).await;
        if torrent.private {
            let sought = timeout(LIMIT, seeking.found()).await.expect("it was kept").unwrap();
            assert!(sought.torrent.private);
            sought.contacts.unwrap().leave().await;
        } else {
            let asked = status.wait_for(|it| it.is_asking && it.dht.is_some());
            timeout(LIMIT, asked).await.expect("all others are asked").unwrap();
            let told = timeout(LIMIT, ordered.recv()).await.expect("the local network is told");
            assert_eq!(told, Some(LsdCommand::Add(of(&public))), "and never of the private one");
        }
    }
    drop(heard);
    session.stop().await;
}

/// BEP 52: it is in two swarms, and one torrent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hybrid_that_runs_is_not_sought_by_its_second_hash() {
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 5).await;
    let bytes = include_bytes!("../../../tests/data/multi-hybrid.torrent");
    let hybrid = Arc::new(Torrent::parse(bytes).unwrap());
    let (v1, v2) = (hybrid.info_hash_v1, hybrid.info_hash_v2);
    session.add(hybrid.clone(), options(home.path())).await.unwrap();
    for (v1, v2) in [(v1, None), (None, v2), (v1, v2)] {
        let target = Target::new(v1, v2).unwrap();
        let refused = session.seek(SeekRequest { target, ..request(&hybrid, Vec::new()) }).await;
        assert!(matches!(refused, Err(Error::Duplicate { .. })), "{target:?}: {refused:?}");
    }
    session.stop().await;
}
