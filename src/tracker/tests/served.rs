//! A tracker on loopback with whatever a test wants of it, and clients that send bytes written
//! by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::tracker::catalogue::CatalogueLimits;
use crate::tracker::server::{Library, Server, ServerConfig};

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running tracker; it ends when this is dropped.
pub struct Served {
    pub http: SocketAddr,
    pub udp: SocketAddr,
    _stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub async fn start(config: ServerConfig, library: Option<Library>) -> Self {
        Self::start_at("127.0.0.1:0", config, library).await
    }

    /// What it shows is always as of the question.
    pub async fn start_at(bind: &str, config: ServerConfig, library: Option<Library>) -> Self {
        let config = ServerConfig { shown_for: Duration::ZERO, ..config };
        let listener = TcpListener::bind(bind).await.unwrap();
        let socket = UdpSocket::bind(bind).await.unwrap();
        let (http, udp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server { http: vec![listener], udp: vec![socket], config, library };
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { http, udp, _stop: stop, task }
    }

    /// With a catalogue in `dir`.
    pub async fn with_catalogue(dir: &Path, token: Option<&str>) -> Self {
        let (library, damaged) = open(dir, CatalogueLimits::default(), token);
        assert_eq!(damaged, [""; 0]);
        Self::start(ServerConfig::default(), Some(library)).await
    }

    /// Ends it, and waits until it has let go of everything.
    pub async fn stop(self) {
        drop(self._stop);
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"), b"")
            .await
    }

    /// A request with a body; `headers` are whole lines.
    pub async fn request(&self, what: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.http,
            body.len()
        );
        self.send(&head, body).await
    }

    pub async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has heard enough may close while we still send.
        let _ = stream.write_all(body).await;
        timeout(PATIENCE, Answer::read(&mut stream)).await.unwrap()
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads until the connection ends.
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    #[track_caller]
    pub fn error(&self) -> String {
        self.json()["error"].as_str().expect("an error").to_owned()
    }
}

pub fn open(dir: &Path, limits: CatalogueLimits, token: Option<&str>) -> (Library, Vec<String>) {
    Library::open(dir, limits, token.map(str::to_owned)).unwrap()
}

/// A torrent of one file of 100,000 bytes in 4 pieces whose hash differs with `seed`.
pub fn torrent(seed: u8) -> Vec<u8> {
    let mut bytes =
        b"d4:infod6:lengthi100000e4:name4:data12:piece lengthi32768e6:pieces80:".to_vec();
    bytes.extend([seed; 80]);
    bytes.extend(b"ee");
    bytes
}

/// The info-hash of [`torrent`].
pub fn info_hash(seed: u8) -> [u8; 20] {
    let bytes = torrent(seed);
    crate::metainfo::Torrent::parse(&bytes).unwrap().info_hash_v1.unwrap().0
}
