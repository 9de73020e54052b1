//! The room over real sockets: a session of its own behind a server, and clients that send bytes
//! written by hand. Most of it is the table of `RPC and web page` threats, row by row.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::api::{Api, ApiConfig, Limits, Request, Roots};
use crate::net::egress::Egress;
use crate::session::{Session, SessionConfig, TorrentOptions};

use super::*;

mod bodies;
mod creating;
mod described;
mod doors;
mod lists;
mod page;
mod qbittorrent;
mod streams;
mod transmission;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running server with a session behind it; it ends when this is dropped.
struct Served {
    address: SocketAddr,
    socket: PathBuf,
    api: Api,
    /// Where files may go.
    root: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _home: TempDir,
}

/// A session that nobody connects to, and where its files may go. URLs that it is given lead to
/// this machine, too.
pub(super) async fn api(home: &TempDir) -> (Api, PathBuf) {
    api_that(home, true).await
}

async fn api_that(home: &TempDir, allows_local: bool) -> (Api, PathBuf) {
    let root = home.path().join("data");
    std::fs::create_dir_all(&root).unwrap();
    let config =
        SessionConfig::default().listen(false).ledger(true).state_dir(home.path().join("state"));
    let session = Session::start(config).await.unwrap();
    let config = ApiConfig {
        allows_local,
        version: "1.2.3",
        dir: root.clone(),
        roots: Roots::new(vec![root.clone()]),
        egress: Egress::default(),
        rest: TorrentOptions::default(),
        speaker: |_| "it waits".to_owned(),
    };
    (Api::new(session, config), root)
}

impl Served {
    async fn start() -> Self {
        Self::start_that(true).await
    }

    /// One whose URLs may lead to this machine, or not.
    async fn start_that(allows_local: bool) -> Self {
        Self::start_below(Prefix::default(), allows_local).await
    }

    /// The same, which is asked as Transmission is below this path.
    async fn start_below(transmission: Prefix, allows_local: bool) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), transmission, allows_local).await
    }

    /// The same with what an earlier one left there.
    async fn start_in(home: TempDir, transmission: Prefix, allows_local: bool) -> Self {
        let (api, root) = api_that(&home, allows_local).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = home.path().join("socket");
        let (stop, stopped) = oneshot::channel::<()>();
        let rpc = Rpc {
            listeners: vec![listener],
            local: Some(UnixListener::bind(&socket).unwrap()),
            token: Token::new(TOKEN),
            hosts: vec!["seedbox.lan".to_owned()],
            transmission,
            api: api.clone(),
        };
        let task = tokio::spawn(rpc.run(async {
            let _ = stopped.await;
        }));
        Self { address, socket, api, root, stop, task, _home: home }
    }

    /// The next run of it.
    async fn again(self) -> Self {
        let Self { api, socket, stop, task, _home, .. } = self;
        stop.send(()).unwrap();
        timeout(PATIENCE, task).await.expect("it ends").unwrap();
        timeout(PATIENCE, api.session().stop()).await.expect("its session ends");
        std::fs::remove_file(socket).unwrap();
        Self::start_in(_home, Prefix::default(), true).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The answer to bytes, on a connection of its own.
    async fn send(&self, head: &str, body: &[u8]) -> Told {
        Told::to(&mut self.connect().await, head, body).await
    }

    /// The answer to a request of these lines, with the token.
    async fn ask(&self, line: &str, more: &str) -> Told {
        self.send(&with_token(line, more), b"").await
    }

    async fn get(&self, path: &str) -> Told {
        self.ask(&format!("GET {path}"), "").await
    }

    /// The answer to a JSON body, with the token.
    async fn say(&self, line: &str, body: &Value) -> Told {
        let body = body.to_string();
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        self.send(&with_token(line, &more), body.as_bytes()).await
    }

    /// Adds a torrent of its own that rests; its number.
    async fn add(&self, name: &str) -> u32 {
        let body = json!({ "torrent": BASE64.encode(&torrent(name)), "paused": true });
        let added = self.say("POST /api/v1/torrents", &body).await;
        assert_eq!(added.status(), 201, "{added:?}");
        added.json()["id"].as_u64().unwrap().try_into().unwrap()
    }
}

/// The head of a request by somebody who knows the token.
fn with_token(line: &str, more: &str) -> String {
    let line = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    format!("{line}Authorization: Bearer {TOKEN}\r\n{more}\r\n")
}

/// A `.torrent` of one file that nobody has.
fn torrent(name: &str) -> Vec<u8> {
    let info = format!(
        "d6:lengthi20000e4:name{}:{name}12:piece lengthi16384e6:pieces40:{}e",
        name.len(),
        "x".repeat(40)
    );
    format!("d4:info{info}e").into_bytes()
}

/// An answer as it came, until the connection ended.
#[derive(Debug)]
struct Told {
    head: String,
    body: Vec<u8>,
}

impl Told {
    async fn to<S: AsyncRead + AsyncWrite + Unpin>(
        stream: &mut S,
        head: &str,
        body: &[u8],
    ) -> Self {
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has heard enough may close while we still send.
        let _ = stream.write_all(body).await;
        Self::read(stream).await
    }

    async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Self {
        let mut body = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut body)).await.unwrap().unwrap();
        let end = body.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&body)));
        let rest = body.split_off(end + 4);
        let told = Self { head: String::from_utf8(body).unwrap().to_lowercase(), body: rest };
        // Whatever it answers, no page of another site is to read it.
        assert!(!told.head.contains("access-control"), "{told:?}");
        told
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Why it is refused.
    fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json.as_object().map(|it| it.len()), Some(1), "{json}");
        json["error"].as_str().unwrap().to_owned()
    }

    fn has(&self, line: &str) -> bool {
        self.head.contains(&format!("\r\n{line}\r\n"))
    }
}
