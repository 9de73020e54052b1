//! A server of HTTP/1.1 that answers as a test wants, byte for byte, and tells what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// What is asked for.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

pub struct Server {
    address: SocketAddr,
    asked: watch::Receiver<Vec<Asked>>,
}

impl Server {
    /// One that answers so: `answer` is given how often it was asked before, and what.
    pub async fn start(answer: impl Fn(usize, &Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = watch::channel(Vec::new());
        let (told, answer) = (Arc::new(told), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, answer) = (told.clone(), answer.clone());
                tokio::spawn(async move {
                    serve(stream, |asked| {
                        let before = told.borrow().len();
                        told.send_modify(|all| all.push(asked.clone()));
                        answer(before, asked)
                    })
                    .await
                });
            }
        });
        Self { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }
}

/// An answer with these headers, each ended by CRLF, and this body.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

async fn serve(mut stream: TcpStream, answer: impl FnOnce(&Asked) -> Vec<u8>) -> Option<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut asked = Asked { head, body: Vec::new() };
    let len = asked.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    while read.len() < end + len {
        (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
    }
    asked.body = read[end..].to_vec();
    let answer = answer(&asked);
    stream.write_all(&answer).await.ok()?;
    stream.shutdown().await.ok()
}
